// SPDX-License-Identifier: MIT
/*
 * gw_api_filter.c - the filters of DescribeInstanceInformation and DescribeSessions
 *
 * Theory of operation: keys are checked once for the whole call, so that a misspelt one is an error and not
 * an empty list; then each element is asked. Filters are joined by and, the values of one by or. What no agent of
 * ours has (tags, roles, associations) matches nothing.
 */
#include "gateway/gw_api_internal.h"

#include <string.h>
#include <time.h>

#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_instance.h"

#define FILTERS_MAX 10U /* ours; the service takes 6 of sessions */

/* ---- instances ---- */

const char *gw_ping_status(const struct gw_call *c, const struct gw_agent_rec *rec)
{
	return gw_host_is_online(c->gw, rec->uid, NULL) ? "Online" : "ConnectionLost";
}

static const char *const instance_keys[] = {
	"InstanceIds",	 "AgentVersion", "PingStatus",	 "PlatformTypes",
	"ActivationIds", "IamRole",	 "ResourceType", "AssociationStatus",
	"SourceIds",	 "SourceTypes",	 "tag-key"
};

static const char *instance_value(const struct gw_call *c, const char *key,
				  const struct gw_agent_rec *rec)
{
	if (strcmp(key, "InstanceIds") == 0)
		return rec->host_id;
	if (strcmp(key, "PingStatus") == 0)
		return gw_ping_status(c, rec);
	if (strcmp(key, "PlatformTypes") == 0)
		return gwi_platform_type(rec);
	if (strcmp(key, "AgentVersion") == 0)
		return rec->version;
	if (strcmp(key, "ResourceType") == 0)
		return "ManagedInstance";
	if (strcmp(key, "SourceIds") == 0)
		return rec->uid;
	if (strcmp(key, "SourceTypes") == 0)
		return GW_SOURCE_TYPE;
	return NULL;
}

static bool instance_passes(const struct gw_call *c, const json_t *filter, const char *key_name,
			    const char *values_name, const struct gw_agent_rec *rec)
{
	const char *key = json_str(filter, key_name), *have = instance_value(c, key, rec);
	const json_t *values = json_object_get(filter, values_name), *v;
	size_t i;

	json_array_foreach((json_t *)values, i, v)
	{
		const char *want = json_string_value(v);

		if (want && have &&
		    (strcmp(want, have) == 0 ||
		     (strcmp(key, "InstanceIds") == 0 && strcmp(want, rec->uid) == 0)))
			return true;
	}
	return false;
}

static bool key_known(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* @values_name: the member that must be there, a list of strings or (sessions) a string */
static bool filters_ok(struct gw_call *c, const char *member, const char *key_name,
		       const char *values_name, const char *const *keys, size_t n)
{
	const json_t *list = json_object_get(c->in, member), *f;
	size_t i;

	if (!list || json_is_null(list))
		return true;
	if (!json_is_array(list) || json_array_size(list) > FILTERS_MAX) {
		gw_call_fail(c, "ValidationException", "%s must be a list of at most %u filters.",
			     member, FILTERS_MAX);
		return false;
	}
	json_array_foreach(list, i, f)
	{
		const char *key = json_str(f, key_name);

		if (!key || !json_object_get(f, values_name)) {
			gw_call_fail(c, "ValidationException", "A filter needs %s and %s.",
				     key_name, values_name);
			return false;
		}
		if (!key_known(key, keys, n) &&
		    (keys != instance_keys || strncmp(key, "tag:", 4) != 0)) {
			gw_call_fail(c, "InvalidFilterKey", "The specified key %s isn't valid.",
				     text_safe(key).s);
			return false;
		}
	}
	return true;
}

bool gw_instance_filters_ok(struct gw_call *c)
{
	return filters_ok(c, "Filters", "Key", "Values", instance_keys, ARRAY_LEN(instance_keys)) &&
	       filters_ok(c, "InstanceInformationFilterList", "key", "valueSet", instance_keys,
			  ARRAY_LEN(instance_keys));
}

bool gw_instance_filters_pass(const struct gw_call *c, const struct gw_agent_rec *rec)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(c->in, "Filters"), i, f)
	{
		if (!instance_passes(c, f, "Key", "Values", rec))
			return false;
	}
	json_array_foreach(json_object_get(c->in, "InstanceInformationFilterList"), i, f)
	{
		if (!instance_passes(c, f, "key", "valueSet", rec))
			return false;
	}
	return true;
}

/* ---- sessions ---- */

static const char *const session_keys[] = { "InvokedAfter", "InvokedBefore", "Target",
					    "Owner",	    "Status",	     "SessionId" };

/* "2018-08-29T00:00:00Z" as Unix seconds; -1 for another form */
static int64_t time_read(const char *s)
{
	struct tm tm = { 0 };
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? (int64_t)timegm(&tm) : -1;
}

bool gw_session_filters_ok(struct gw_call *c)
{
	const json_t *f;
	size_t i;

	if (!filters_ok(c, "Filters", "key", "value", session_keys, ARRAY_LEN(session_keys)))
		return false;
	json_array_foreach(json_object_get(c->in, "Filters"), i, f)
	{
		const char *value = json_str(f, "value");

		if (value &&
		    (strncmp(json_str(f, "key"), "Invoked", 7) != 0 || time_read(value) >= 0))
			continue;
		gw_call_fail(c, "ValidationException",
			     value ? "A time of a filter must read like 2018-08-29T00:00:00Z."
				   : "The value of a filter must be a string.");
		return false;
	}
	return true;
}

static bool session_passes(const char *key, const char *value, const struct gw_session_rec *rec,
			   const char *status)
{
	if (strcmp(key, "InvokedAfter") == 0)
		return rec->started >= time_read(value);
	if (strcmp(key, "InvokedBefore") == 0)
		return rec->started < time_read(value);
	if (strcmp(key, "Target") == 0)
		return strcmp(value, rec->host_id) == 0 || strcmp(value, rec->agent_uid) == 0;
	if (strcmp(key, "Owner") == 0)
		return strcmp(value, rec->key_name) == 0;
	if (strcmp(key, "Status") == 0)
		return strcmp(value, status) == 0;
	return strcmp(value, rec->id) == 0;
}

bool gw_session_filters_pass(const struct gw_call *c, const struct gw_session_rec *rec,
			     const char *status)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(c->in, "Filters"), i, f)
	{
		if (!session_passes(json_str(f, "key"), json_str(f, "value"), rec, status))
			return false;
	}
	return true;
}
