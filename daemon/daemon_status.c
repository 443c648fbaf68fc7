// SPDX-License-Identifier: MIT
/* daemon_status.c - what `ssm-tun status` shows, as one JSON object; the names in it are an interface */
#include "daemon/daemon_internal.h"

#include <string.h>
#include <unistd.h>

#include "base/text.h"

static const char *phase_name(enum daemon_phase p)
{
	switch (p) {
	case DAEMON_STARTING: return "starting";
	case DAEMON_RUNNING: return "running";
	case DAEMON_STOPPING: return "stopping";
	}
	return "?";
}

static json_t *session_json(const struct tnl_session_status *s)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:I, s:i, s:I, s:I, s:I, s:I, s:I}",
			 "session_id", s->session_id, "target", s->target, "state", s->state,
			 "age_ms", (json_int_t)s->age_ms, "paused_ms", (json_int_t)s->paused_ms,
			 "channels", (int)s->channels, "pending_opens", (int)s->pending_opens,
			 "rtt_us", (json_int_t)s->rtt_us, "max_payload", (int)s->max_payload,
			 "bytes_in", (json_int_t)s->bytes_in, "bytes_out", (json_int_t)s->bytes_out,
			 "messages_in", (json_int_t)s->messages_in, "messages_out",
			 (json_int_t)s->messages_out, "resent", (json_int_t)s->resent);
}

/* A word for programs, without blanks. */
static const char *state_token(enum tnl_state s)
{
	return s == TNL_WAITING ? "waiting-for-login" : tnl_state_name(s);
}

static json_t *upstream_json(const struct upstream *u)
{
	json_t *sessions = json_array();
	struct tnl_status st;

	tnl_upstream_status(u->tnl, &st);
	for (uint32_t i = 0; i < st.sessions && i < TNL_SESSIONS_MAX; i++)
		json_array_append_new(sessions, session_json(&st.session[i]));
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o}", "name", u->name, "state",
			 state_token(st.state), "last_error", st.last_text, "sessions_min",
			 (int)st.sessions_min, "sessions_max", (int)st.sessions_max, "channels",
			 (int)st.channels, "pending_opens", (int)st.pending_opens, "sessions",
			 sessions);
}

/* Lists of VPCs are shortened beyond this, all rules together; the counts beside them are whole. Ours: less than half of
 * CONTROL_BACKLOG_MAX, so that the answer fits, and enough for 1,024 prefixes beside 256 names of the longest */
#define LISTS_BYTES KIB(96)

static void list_put(json_t *list, const char *text, size_t *room)
{
	size_t need = strlen(text) + 4;

	if (*room < need)
		return;
	*room -= need;
	json_array_append_new(list, json_string(text));
}

static json_t *prefixes_json(const struct aws_vpc *found, size_t *room)
{
	json_t *list = json_array();
	char text[NET_PREFIX_STR];

	for (size_t i = 0; i < found->n_own; i++)
		list_put(list, net_prefix_str(text, &found->own[i]), room);
	for (size_t i = 0; i < found->n_routed; i++)
		list_put(list, net_prefix_str(text, &found->routed[i]), room);
	return list;
}

/* What was found, put into @out. */
static void found_json(json_t *out, const struct vpc_rule *v, size_t *room)
{
	const struct aws_vpc *found = v->found;
	json_t *names = json_array(), *missing = json_array();

	for (size_t i = 0; i < found->n_suffixes; i++)
		list_put(names, found->suffixes[i], room);
	for (size_t i = 0; i < found->n_missing; i++)
		json_array_append_new(missing, json_string(found->missing[i]));
	json_object_update_new(
		out,
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "vpc_id",
			  found->vpc_id, "instance_id", found->instance_id, "region", found->region,
			  "age_ms", (json_int_t)(loop_now_ms(v->daemon->loop) - v->found_ms),
			  "n_prefixes", (json_int_t)(found->n_own + found->n_routed),
			  "n_prefixes_used", (json_int_t)v->n_used, "n_dns_suffixes",
			  (json_int_t)found->n_suffixes, "prefixes", prefixes_json(found, room),
			  "dns_suffixes", names, "missing", missing));
	if (found->zones_error[0])
		json_object_set_new(out, "dns_error", json_string(found->zones_error));
}

static json_t *vpcs_json(const struct daemon *d)
{
	static const char *const states[] = {
		[VPC_WAITING] = "waiting", [VPC_KNOWN] = "known", [VPC_FAILED] = "failed"
	};
	json_t *list = json_array();
	size_t room = LISTS_BYTES;

	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++) {
		const struct vpc_rule *v = d->upstreams[i].vpc;
		json_t *one;

		if (!v)
			continue;
		one = json_pack("{s:s, s:s, s:s}", "upstream", v->upstream->name, "state",
				states[v->state], "last_error", v->trouble);
		if (v->found && one)
			found_json(one, v, &room);
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *flows_json(const struct daemon *d)
{
	struct rt_stats rt;
	struct ns_stats ns;

	rt_stats(d->rt, &rt);
	ns_stats(d->ns, &ns);
	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "now", (int)rt.flows,
			 "opening", (int)rt.opening, "opened", (json_int_t)rt.opened, "refused",
			 (json_int_t)rt.refused, "timed_out", (json_int_t)rt.timed_out, "reset",
			 (json_int_t)rt.reset, "bytes_up", (json_int_t)rt.bytes_up, "bytes_down",
			 (json_int_t)rt.bytes_down, "buffered_bytes",
			 (json_int_t)ns.buffered_bytes);
}

/* ---- the whole */

static void clear_lists(json_t *st, const char *list, const char *const *keys, size_t n_keys)
{
	json_t *all = json_object_get(st, list);

	for (size_t i = 0; i < json_array_size(all); i++)
		for (size_t k = 0; k < n_keys; k++)
			json_array_clear(json_object_get(json_array_get(all, i), keys[k]));
}

/* What goes first is what is longest and least missed. */
static void clear_step(json_t *st, unsigned step)
{
	static const char *const found[] = { "prefixes", "dns_suffixes" }, *const sessions[] = {
		"sessions"
	};

	switch (step) {
	case 0: json_array_clear(json_object_get(st, "routes")); break;
	case 1: clear_lists(st, "vpcs", found, ARRAY_LEN(found)); break;
	case 2: clear_lists(st, "draining", sessions, ARRAY_LEN(sessions)); break;
	case 3: clear_lists(st, "upstreams", sessions, ARRAY_LEN(sessions)); break;
	case 4: json_array_clear(json_object_get(st, "draining")); break;
	case 5: json_array_clear(json_object_get(st, "vpcs")); break;
	default: break;
	}
}

void daemon_status_fit(json_t *st, size_t room)
{
	const unsigned steps = 6;

	for (unsigned i = 0; i < steps && json_dumpb(st, NULL, 0, JSON_COMPACT) > room; i++) {
		json_object_set_new(st, "cut", json_true());
		clear_step(st, i);
	}
}

static json_t *all_json(struct daemon *d)
{
	const struct config *c = d->plan.config;
	json_t *upstreams = json_array(), *draining = json_array();

	daemon_dns_refresh(d);
	for (size_t i = 0; i < c->n_upstreams; i++)
		json_array_append_new(upstreams, upstream_json(daemon_upstream_at(d, i)));
	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].tnl && d->upstreams[i].slot != SLOT_USED)
			json_array_append_new(draining, upstream_json(&d->upstreams[i]));
	return json_pack(
		"{s:b, s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:{s:I, s:I}}",
		"ok", 1, "name", d->name, "version", SSM_TUN_VERSION, "state", phase_name(d->phase),
		"pid", (int)getpid(), "uid", (int)d->id.uid, "uptime_ms",
		(json_int_t)(loop_now_ms(d->loop) - d->start_ms), "config",
		c->file ? text_safe(c->file).s : "(flags)", "device", tun_name(d->tun), "routes",
		daemon_status_routes(d), "vpcs", vpcs_json(d), "dns", daemon_status_dns(d),
		"network", daemon_status_network(d), "upstreams", upstreams, "draining", draining,
		"flows", flows_json(d), "loop", "turns", (json_int_t)loop_turns(d->loop),
		"longest_turn_us", (json_int_t)loop_longest_us(d->loop));
}

json_t *daemon_status(struct daemon *d)
{
	json_t *st = all_json(d);

	if (st)
		daemon_status_fit(st, CONTROL_BACKLOG_MAX - 1); /* and a line end */
	return st;
}
