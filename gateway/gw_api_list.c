// SPDX-License-Identifier: MIT
/*
 * gw_api_list.c - DescribeInstanceInformation and DescribeSessions
 *
 * A page is cut out while the store is read; NextToken is the offset of the next page. A key sees
 * the hosts of its glob and the sessions that it has started.
 */
#include "gateway/gw_api_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_session.h"

/* MaxResults and NextToken (an offset) of a list call. */
struct page {
	size_t from, max, at;
	bool more;
};

static bool page_read(struct gw_call *c, struct page *p, json_int_t min_allowed,
		      json_int_t max_allowed)
{
	const json_t *max = json_object_get(c->in, "MaxResults");
	const char *token = json_str(c->in, "NextToken");

	*p = (struct page){ .max = (size_t)max_allowed };
	if (json_is_integer(max)) {
		if (json_integer_value(max) < min_allowed ||
		    json_integer_value(max) > max_allowed) {
			gw_call_fail(c, "ValidationException", "MaxResults must be %d to %d.",
				     (int)min_allowed, (int)max_allowed);
			return false;
		}
		p->max = (size_t)json_integer_value(max);
	}
	if (!token || !*token)
		return true;
	if (!gw_charset_ok(token, 1, 9, "0123456789")) {
		gw_call_fail(c, "InvalidNextToken", "The specified token is not valid.");
		return false;
	}
	p->from = strtoul(token, NULL, 10);
	return true;
}

/* Does this element belong to the page? */
static bool page_takes(struct page *p)
{
	size_t i = p->at++;

	if (i < p->from)
		return false;
	p->more = i - p->from >= p->max;
	return !p->more;
}

static void page_answer(struct gw_call *c, const struct page *p, const char *name, json_t *list)
{
	char token[24];

	c->out = json_pack("{s:o}", name, list);
	if (!p->more)
		return;
	snprintf(token, sizeof(token), "%zu", p->from + p->max);
	json_object_set_new(c->out, "NextToken", json_string(token));
}

struct instance_list {
	struct gw_call *c;
	struct page page;
	json_t *list;
};

/* What the instance has told about itself; a member without a value is left out. */
static void told_add(json_t *o, const struct gw_agent_rec *rec, const char *member,
		     const char *fallback)
{
	char *v = gwi_text(rec, member, fallback);

	if (v && *v)
		json_object_set_new(o, member, json_string(v));
	free(v);
}

static void instance_add(void *arg, const struct gw_agent_rec *rec)
{
	static const char *const told[] = { "ComputerName", "IPAddress", "PlatformName",
					    "PlatformVersion" };
	struct instance_list *l = arg;
	int64_t seen = rec->last_seen;
	json_t *o;

	if (!rec->approved || !gw_key_may(&l->c->key, rec->host_id) ||
	    !gw_instance_filters_pass(l->c, rec) || !page_takes(&l->page))
		return;
	gw_host_is_online(l->c->gw, rec->uid, &seen);
	o = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:I, s:s, s:s}", "InstanceId",
		      rec->host_id, "PingStatus", gw_ping_status(l->c, rec), "PlatformType",
		      gwi_platform_type(rec), "LastPingDateTime", (json_int_t)seen, "AgentVersion",
		      rec->version, "ResourceType", "ManagedInstance", "Name", rec->host_id,
		      "RegistrationDate", (json_int_t)rec->created, "SourceId", rec->uid,
		      "SourceType", GW_SOURCE_TYPE);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		told_add(o, rec, told[i], strcmp(told[i], "ComputerName") == 0 ? rec->host_id : "");
	json_array_append_new(l->list, o);
}

void gw_call_describe_instances(struct gw_call *c)
{
	struct instance_list l = { .c = c };

	if (!gw_instance_filters_ok(c) || !page_read(c, &l.page, 5, 50))
		return;
	l.list = json_array();
	if (gw_store_agent_each(c->gw->store, instance_add, &l) < 0) {
		json_decref(l.list);
		gw_call_fail(c, "InternalServerError", "The store failed.");
		return;
	}
	page_answer(c, &l.page, "InstanceInformationList", l.list);
}

struct session_list {
	const struct gw_call *c;
	struct page page;
	json_t *list;
	bool active;
};

static void session_add(void *arg, const struct gw_session_rec *rec)
{
	struct session_list *l = arg;
	const char *status = l->active ? gws_status(l->c->gw->sessions, rec->id) : "Terminated";
	json_t *o;

	if (!gw_session_filters_pass(l->c, rec, status) || !page_takes(&l->page))
		return;
	o = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s}", "SessionId", rec->id, "Target",
		      rec->host_id, "Status", status, "StartDate", (json_int_t)rec->started,
		      "DocumentName", rec->document, "Owner", rec->key_name, "Reason", rec->reason);
	if (!l->active)
		json_object_set_new(o, "EndDate", json_integer((json_int_t)rec->ended));
	if (rec->output[0])
		json_object_set_new(o, "Details", json_string(rec->output));
	json_array_append_new(l->list, o);
}

void gw_call_describe_sessions(struct gw_call *c)
{
	const char *state = json_str(c->in, "State");
	struct session_list l = { .c = c, .active = state && strcmp(state, "Active") == 0 };

	if (!state || (!l.active && strcmp(state, "History") != 0)) {
		gw_call_fail(c, "ValidationException", "State must be Active or History.");
		return;
	}
	if (!gw_session_filters_ok(c) || !page_read(c, &l.page, 1, 200))
		return;
	l.list = json_array();
	if (gw_store_session_each(c->gw->store, c->key.name, l.active, session_add, &l) < 0) {
		json_decref(l.list);
		gw_call_fail(c, "InternalServerError", "The store failed.");
		return;
	}
	page_answer(c, &l.page, "Sessions", l.list);
}
