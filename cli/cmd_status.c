// SPDX-License-Identifier: MIT
/* cmd_status.c - `ssm-tun status`: one screen for people, or the daemon's own JSON */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/text.h"
#include "daemon/daemon.h"

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "2h 03m", "4m 05s", "12 s" */
static const char *duration(char out[32], json_int_t ms)
{
	json_int_t s = ms / 1000;

	if (s >= 3600)
		snprintf(out, 32, "%" JSON_INTEGER_FORMAT "h %02" JSON_INTEGER_FORMAT "m", s / 3600,
			 s / 60 % 60);
	else if (s >= 60)
		snprintf(out, 32, "%" JSON_INTEGER_FORMAT "m %02" JSON_INTEGER_FORMAT "s", s / 60,
			 s % 60);
	else
		snprintf(out, 32, "%" JSON_INTEGER_FORMAT " s", s);
	return out;
}

static const char *bytes(char out[32], json_int_t n)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t i = 0;

	for (; v >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1000;
	snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", v, units[i]);
	return out;
}

/* The daemon's word for programs, for people. */
static const char *state_of(const json_t *o)
{
	const char *state = str(o, "state");

	return strcmp(state, "waiting-for-login") == 0 ? "waiting for login" : state;
}

static void print_session(const json_t *s)
{
	char age[32], in[32], out[32], paused[64] = "";

	if (num(s, "paused_ms") > 0)
		snprintf(paused, sizeof(paused), " for %s", duration(age, num(s, "paused_ms")));
	printf("    %-10s%s %s on %s, %s, %" JSON_INTEGER_FORMAT
	       " channels, RTT %.1f ms, %s in, %s out\n",
	       state_of(s), paused, str(s, "session_id"), str(s, "target"),
	       duration(age, num(s, "age_ms")), num(s, "channels"), (double)num(s, "rtt_us") / 1000,
	       bytes(in, num(s, "bytes_in")), bytes(out, num(s, "bytes_out")));
}

static void print_upstream(const json_t *u)
{
	const json_t *sessions = json_object_get(u, "sessions");

	printf("  %s: %s, %zu sessions (%" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
	       "), %" JSON_INTEGER_FORMAT " channels\n",
	       str(u, "name"), state_of(u), json_array_size(sessions), num(u, "sessions_min"),
	       num(u, "sessions_max"), num(u, "channels"));
	if (str(u, "last_error")[0])
		printf("    last error: %s\n", str(u, "last_error"));
	for (size_t i = 0; i < json_array_size(sessions); i++)
		print_session(json_array_get(sessions, i));
}

static void print_list(const char *head, const json_t *list, json_int_t n)
{
	if (n == 0)
		return;
	printf("    %s", head);
	for (size_t i = 0; i < json_array_size(list); i++)
		printf(" %s", json_string_value(json_array_get(list, i)));
	if ((json_int_t)json_array_size(list) < n)
		printf(" and %" JSON_INTEGER_FORMAT " more", n - (json_int_t)json_array_size(list));
	putchar('\n');
}

static void print_vpc(const json_t *v)
{
	const json_t *missing = json_object_get(v, "missing");
	char age[32];

	if (str(v, "vpc_id")[0]) {
		printf("  %s: %s, the VPC of %s in %s, asked %s ago\n", str(v, "upstream"),
		       str(v, "vpc_id"), str(v, "instance_id"), str(v, "region"),
		       duration(age, num(v, "age_ms")));
		print_list("prefixes:", json_object_get(v, "prefixes"), num(v, "n_prefixes"));
		print_list("names:", json_object_get(v, "dns_suffixes"), num(v, "n_dns_suffixes"));
		print_list("missing permissions:", missing, (json_int_t)json_array_size(missing));
	} else {
		printf("  %s: %s\n", str(v, "upstream"), str(v, "state"));
	}
	if (str(v, "dns_error")[0])
		printf("    names: %s\n", str(v, "dns_error"));
	if (str(v, "last_error")[0])
		printf("    last error: %s\n", str(v, "last_error"));
}

static void print_status(const json_t *st)
{
	const json_t *vpcs = json_object_get(st, "vpcs");
	const json_t *upstreams = json_object_get(st, "upstreams");
	const json_t *routes = json_object_get(st, "routes"), *flows = json_object_get(st, "flows");
	char up[32], a[32], b[32];

	printf("%s: %s for %s, pid %" JSON_INTEGER_FORMAT ", device %s, configuration %s\n",
	       str(st, "name"), str(st, "state"), duration(up, num(st, "uptime_ms")),
	       num(st, "pid"), str(st, "device"), str(st, "config"));
	puts("routes:");
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *r = json_array_get(routes, i);

		printf("  %-20s %s\n", str(r, "match"), str(r, "upstream"));
	}
	if (json_array_size(vpcs))
		puts("VPCs:");
	for (size_t i = 0; i < json_array_size(vpcs); i++)
		print_vpc(json_array_get(vpcs, i));
	puts("upstreams:");
	for (size_t i = 0; i < json_array_size(upstreams); i++)
		print_upstream(json_array_get(upstreams, i));
	printf("flows: %" JSON_INTEGER_FORMAT " now, %" JSON_INTEGER_FORMAT
	       " opened, %" JSON_INTEGER_FORMAT " refused, %" JSON_INTEGER_FORMAT
	       " without answer, %s up, %s down\n",
	       num(flows, "now"), num(flows, "opened"), num(flows, "refused"),
	       num(flows, "timed_out"), bytes(a, num(flows, "bytes_up")),
	       bytes(b, num(flows, "bytes_down")));
}

int cmd_status(const struct cli_args *a)
{
	char name[DAEMON_NAME_MAX + 1] = "";
	json_t *st = NULL;
	uid_t owner;

	if (a->name && !daemon_name_ok(a->name))
		return cli_bad_name(a->name);
	if (a->name)
		text_copy(name, sizeof(name), a->name);
	int r = daemon_ask(name, "status", &st, &owner);
	if (r == ST_ENOENT) {
		fprintf(stderr, "ssm-tun: %s is not running\n", name);
		return CLI_NOT_RUNNING;
	}
	if (r == ST_EPERM) {
		fprintf(stderr,
			"ssm-tun: %s belongs to user id %d: only that user and root may ask it\n",
			name, (int)owner);
		return CLI_FAILED;
	}
	if (r < 0 || !json_is_true(json_object_get(st, "ok"))) {
		fprintf(stderr, "ssm-tun: %s does not answer: %s\n", name,
			r < 0 ? st_strerror(r) : text_safe(str(st, "error")).s);
		json_decref(st);
		return CLI_FAILED;
	}
	if (a->json) {
		json_dumpf(st, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_status(st);
	}
	json_decref(st);
	return CLI_OK;
}
