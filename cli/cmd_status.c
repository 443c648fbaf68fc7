// SPDX-License-Identifier: MIT
/* cmd_status.c - `ssm-tun status`: one screen for people, or the daemon's own JSON */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli_ask.h"

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
	const char *state = cli_str(o, "state");

	return strcmp(state, "waiting-for-login") == 0 ? "waiting for login" : state;
}

static void print_session(const json_t *s)
{
	char age[32], in[32], out[32], paused[64] = "";

	if (cli_num(s, "paused_ms") > 0)
		snprintf(paused, sizeof(paused), " for %s", duration(age, cli_num(s, "paused_ms")));
	printf("    %-10s%s %s on %s, %s, %" JSON_INTEGER_FORMAT
	       " channels, RTT %.1f ms, %s in, %s out\n",
	       state_of(s), paused, cli_str(s, "session_id"), cli_str(s, "target"),
	       duration(age, cli_num(s, "age_ms")), cli_num(s, "channels"),
	       (double)cli_num(s, "rtt_us") / 1000, bytes(in, cli_num(s, "bytes_in")),
	       bytes(out, cli_num(s, "bytes_out")));
}

static void print_upstream(const json_t *u)
{
	const json_t *sessions = json_object_get(u, "sessions");

	printf("  %s: %s, %zu sessions (%" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
	       "), %" JSON_INTEGER_FORMAT " channels\n",
	       cli_str(u, "name"), state_of(u), json_array_size(sessions),
	       cli_num(u, "sessions_min"), cli_num(u, "sessions_max"), cli_num(u, "channels"));
	if (cli_str(u, "last_error")[0])
		printf("    last error: %s\n", cli_str(u, "last_error"));
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

	if (cli_str(v, "vpc_id")[0]) {
		printf("  %s: %s, the VPC of %s in %s, asked %s ago\n", cli_str(v, "upstream"),
		       cli_str(v, "vpc_id"), cli_str(v, "instance_id"), cli_str(v, "region"),
		       duration(age, cli_num(v, "age_ms")));
		print_list("prefixes:", json_object_get(v, "prefixes"), cli_num(v, "n_prefixes"));
		print_list("names:", json_object_get(v, "dns_suffixes"),
			   cli_num(v, "n_dns_suffixes"));
		print_list("missing permissions:", missing, (json_int_t)json_array_size(missing));
	} else {
		printf("  %s: %s\n", cli_str(v, "upstream"), cli_str(v, "state"));
	}
	if (cli_str(v, "dns_error")[0])
		printf("    names: %s\n", cli_str(v, "dns_error"));
	if (cli_str(v, "last_error")[0])
		printf("    last error: %s\n", cli_str(v, "last_error"));
}

/* ---- names and this machine's network */

static void print_words(const char *head, const json_t *list)
{
	if (json_array_size(list) == 0)
		return;
	fputs(head, stdout);
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s %s", i ? "," : "", json_string_value(json_array_get(list, i)));
	putchar('\n');
}

static void print_dns(const json_t *dns)
{
	const json_t *n = json_object_get(dns, "counts");

	printf("names: %s, resolver of this machine: %s%s%s, server %s\n", cli_str(dns, "mode"),
	       cli_str(dns, "manager"), cli_str(dns, "text")[0] ? ": " : "", cli_str(dns, "text"),
	       cli_str(dns, "server"));
	if (strcmp(cli_str(dns, "mode"), "off") == 0)
		return;
	if (strcmp(cli_str(dns, "manager"), "none") == 0)
		puts("  nobody asks us of himself");
	else if (cli_bool(dns, "all_names"))
		puts("  all names are asked of us");
	else
		printf("  %" JSON_INTEGER_FORMAT " suffixes are asked of us\n",
		       cli_num(dns, "n_suffixes"));
	print_words("  asked for the others:", json_object_get(dns, "former"));
	printf("  %" JSON_INTEGER_FORMAT " queries, %" JSON_INTEGER_FORMAT
	       " fake answers, %" JSON_INTEGER_FORMAT " by upstreams, %" JSON_INTEGER_FORMAT
	       " forwarded, %" JSON_INTEGER_FORMAT " from the cache, %" JSON_INTEGER_FORMAT
	       " failed; %" JSON_INTEGER_FORMAT " fake addresses in use\n",
	       cli_num(n, "queries"), cli_num(n, "faked"), cli_num(n, "by_upstream"),
	       cli_num(n, "forwarded"), cli_num(n, "cached"), cli_num(n, "failed"),
	       cli_num(n, "fakes"));
}

static void print_collision(const json_t *c)
{
	printf("  %s collides with %s on %s: %s\n", cli_str(c, "ours"), cli_str(c, "theirs"),
	       cli_str(c, "device"),
	       strcmp(cli_str(c, "wins"), "ours") == 0 ? "ours wins" : "the local one wins");
}

static void print_network(const json_t *net)
{
	const json_t *access = json_object_get(net, "access");
	const json_t *collisions = json_object_get(net, "collisions");

	printf("mode: %s", cli_str(net, "mode"));
	if (strcmp(cli_str(net, "mode"), "system") == 0)
		printf(" into %s%s", cli_str(net, "default"),
		       cli_bool(net, "engaged") ? "" : " (begins once all is up)");
	printf("%s%s\n", cli_bool(net, "forward") ? ", forwarded packets too" : "",
	       cli_bool(net, "fail_closed") ? ", fail_closed" : "");
	if (json_is_array(access))
		print_words("access:", access);
	if (json_array_size(collisions))
		puts("collisions:");
	for (size_t i = 0; i < json_array_size(collisions); i++)
		print_collision(json_array_get(collisions, i));
}

static void print_routes(const json_t *routes, json_int_t n)
{
	puts("routes:");
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *r = json_array_get(routes, i);

		printf("  %-20s %s\n", cli_str(r, "match"), cli_str(r, "upstream"));
	}
	if ((json_int_t)json_array_size(routes) < n)
		printf("  and %" JSON_INTEGER_FORMAT " more\n",
		       n - (json_int_t)json_array_size(routes));
}

/* @head: a line before them, if there are any; NULL: none */
static void print_upstreams(const char *head, const json_t *list)
{
	if (head && json_array_size(list))
		puts(head);
	for (size_t i = 0; i < json_array_size(list); i++)
		print_upstream(json_array_get(list, i));
}

static void print_status(const json_t *st)
{
	const json_t *vpcs = json_object_get(st, "vpcs");
	const json_t *network = json_object_get(st, "network");
	const json_t *flows = json_object_get(st, "flows");
	char up[32], a[32], b[32];

	printf("%s: %s for %s, pid %" JSON_INTEGER_FORMAT ", device %s, configuration %s\n",
	       cli_str(st, "name"), cli_str(st, "state"), duration(up, cli_num(st, "uptime_ms")),
	       cli_num(st, "pid"), cli_str(st, "device"), cli_str(st, "config"));
	print_routes(json_object_get(st, "routes"), cli_num(network, "n_routes"));
	if (json_array_size(vpcs))
		puts("VPCs:");
	for (size_t i = 0; i < json_array_size(vpcs); i++)
		print_vpc(json_array_get(vpcs, i));
	puts("upstreams:");
	print_upstreams(NULL, json_object_get(st, "upstreams"));
	print_upstreams("being drained:", json_object_get(st, "draining"));
	print_network(network);
	print_dns(json_object_get(st, "dns"));
	if (cli_bool(st, "cut"))
		puts("lists are left out: they would be too long");
	printf("flows: %" JSON_INTEGER_FORMAT " now, %" JSON_INTEGER_FORMAT
	       " opened, %" JSON_INTEGER_FORMAT " refused, %" JSON_INTEGER_FORMAT
	       " without answer, %s up, %s down\n",
	       cli_num(flows, "now"), cli_num(flows, "opened"), cli_num(flows, "refused"),
	       cli_num(flows, "timed_out"), bytes(a, cli_num(flows, "bytes_up")),
	       bytes(b, cli_num(flows, "bytes_down")));
}

int cmd_status(const struct cli_args *a)
{
	char who[DAEMON_NAME_MAX + 1];
	json_t *request = json_pack("{s:s}", "cmd", "status"), *st = NULL;
	int r = cli_ask(a->name, request, &st, who);

	json_decref(request);
	if (r != CLI_OK)
		return r;
	if (!cli_bool(st, "ok")) {
		fprintf(stderr, "ssm-tun: %s does not answer: %s\n", who,
			text_safe(cli_str(st, "error")).s);
		r = CLI_FAILED;
	} else if (a->json) {
		cli_print_json(st);
	} else {
		print_status(st);
	}
	json_decref(st);
	return r;
}
