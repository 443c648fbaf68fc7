// SPDX-License-Identifier: MIT
/*
 * gw_api_agent.c - what a stock agent calls at its start and while it lives; ssm-protocol 8.3
 *
 * Every other call of it (inventory, associations' results, …) is answered with
 * UnknownOperationException, which it takes for a failure of that one thing.
 */
#include "gateway/gw_api_internal.h"

#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_poll.h"

/* The instance that the call names by @member, which the key must be allowed to be. Return: false and the call has
 * failed */
static bool instance_of(struct gw_call *c, const char *member, struct gw_agent_rec *rec)
{
	const char *id = json_str(c->in, member);
	int r = id ? gwi_seen(c->gw, &c->key, id, rec) : ST_EINVAL;

	if (r == ST_EINVAL)
		gw_call_fail(c, "ValidationException", "%s must be an instance id.", member);
	else if (r == ST_EPERM)
		gw_call_fail(c, "AccessDeniedException", "Key %s may not be instance %s.",
			     c->key.name, text_safe(id).s);
	else if (r < 0)
		gw_call_fail(c, r == ST_EFULL ? "ThrottlingException" : "InternalServerError",
			     "The instance could not be enrolled: %s.", st_strerror(r));
	return r == 0;
}

void gw_call_update_instance(struct gw_call *c)
{
	struct gw_agent_rec rec;

	if (!instance_of(c, "InstanceId", &rec))
		return;
	if (gwi_update(c->gw, &rec, c->in) < 0)
		gw_call_fail(c, "InternalServerError", "The store failed.");
	else
		c->out = json_object();
}

void gw_call_list_associations(struct gw_call *c)
{
	struct gw_agent_rec rec;

	if (instance_of(c, "InstanceId", &rec))
		c->out = json_pack("{s:[]}", "Associations");
}

void gw_call_get_messages(struct gw_call *c)
{
	const char *request_id = json_str(c->in, "MessagesRequestId");
	struct gw_agent_rec rec;
	int r;

	if (!instance_of(c, "Destination", &rec))
		return;
	r = request_id ? gwp_wait(c->gw->polls, c->req, rec.host_id, request_id) : ST_EINVAL;
	c->later = r == 0;
	if (r == ST_EINVAL)
		gw_call_fail(c, "ValidationException",
			     "MessagesRequestId must be a string of 1 to %u characters.",
			     GWP_TEXT_MAX);
	else if (r < 0)
		gw_call_fail(c, r == ST_EFULL ? "ThrottlingException" : "InternalServerError",
			     "Too many calls are waiting.");
}
