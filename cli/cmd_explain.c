// SPDX-License-Identifier: MIT
/*
 * cmd_explain.c - `ssm-tun explain HOST|IP[:PORT]`: where it goes and why
 *
 * Asks the running daemon; with -c it is read from that file alone, and nothing need run.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_ask.h"
#include "cli/cli_config.h"

static void print_rule(const json_t *x)
{
	const json_t *rule = json_object_get(x, "rule");
	const char *by = cli_str(rule, "by");

	if (by[0] == 'n' && by[1] == 'e') {
		puts("rule: none: loopback, link-local and multicast are never routed");
		return;
	}
	if (strcmp(by, "no-ipv6") == 0) {
		puts("rule: none holds it, and the default upstream does not carry IPv6 (`ipv6: "
		     "true` if its VPC does): unreachable");
		return;
	}
	if (!cli_str(rule, "match")[0])
		printf("rule: none holds it: default, %s\n", cli_str(x, "action"));
	else if (cli_num(rule, "line"))
		printf("rule: %s (by %s), %s:%d: %s\n", cli_str(rule, "match"), by,
		       cli_str(rule, "file"), (int)cli_num(rule, "line"), cli_str(x, "action"));
	else
		printf("rule: %s (by %s): %s\n", cli_str(rule, "match"), by, cli_str(x, "action"));
}

static void print_address(const json_t *x)
{
	const char *name = cli_str(x, "name"), *address = cli_str(x, "address");

	if (cli_bool(x, "unknown_fake"))
		printf("address: %s is a fake address that stands for no name: connections are "
		       "reset\n",
		       address);
	else if (cli_bool(x, "fake"))
		printf("address: %s, the fake address of %s\n", address, name);
	else if (cli_bool(x, "learned"))
		printf("address: %s, learned from an answer for %s\n", address, name);
	else if (address[0])
		printf("address: %s\n", address);
}

static void print_upstream(const json_t *u)
{
	const json_t *sessions = json_object_get(u, "sessions");

	if (!json_is_object(u))
		return;
	printf("upstream: %s, %s\n", cli_str(u, "name"), cli_str(u, "state"));
	for (size_t i = 0; i < json_array_size(sessions); i++) {
		const json_t *s = json_array_get(sessions, i);

		printf("  session %s on %s, %s\n", cli_str(s, "session_id"), cli_str(s, "target"),
		       cli_str(s, "state"));
	}
	if (cli_str(u, "last_error")[0])
		printf("  last error: %s\n", cli_str(u, "last_error"));
}

static void print_former(const json_t *dns)
{
	const json_t *former = json_object_get(dns, "former");

	if (json_array_size(former) == 0) {
		puts(" (none are known)");
		return;
	}
	for (size_t i = 0; i < json_array_size(former); i++)
		printf("%s %s", i ? "," : "", json_string_value(json_array_get(former, i)));
	putchar('\n');
}

static void print_dns(const json_t *dns)
{
	const char *way = cli_str(dns, "way");

	if (!json_is_object(dns))
		return;
	if (way[0] == 'u')
		printf("name: asked of %s through %s%s%s\n", cli_str(dns, "resolver"),
		       cli_str(dns, "upstream"),
		       cli_bool(dns, "fake") ? ", answered by a fake address" : "",
		       cli_bool(dns, "ipv6") ? ", IPv6 too" : "");
	else if (way[0] == 'n')
		puts("name: answered that there is none (reject, drop)");
	else if (json_object_get(dns, "former"))
		fputs("name: asked of the resolvers that were there before:", stdout);
	else
		puts("name: asked of the machine's own resolvers");
	if (way[0] == 'l' && json_object_get(dns, "former"))
		print_former(dns);
	if (json_object_get(dns, "manager"))
		printf("resolver of this machine: %s, %s\n", cli_str(dns, "manager"),
		       cli_bool(dns, "system_asks_us") ? "which asks us for it"
						       : "which does not ask us for it");
}

static void print_kernel(const json_t *k)
{
	if (!json_is_object(k))
		return;
	if (cli_str(k, "error")[0])
		printf("kernel: %s: %s\n", cli_str(k, "address"), cli_str(k, "error"));
	else
		printf("kernel: %s by %s, table %d%s%s%s%s\n", cli_str(k, "address"),
		       cli_str(k, "device"), (int)cli_num(k, "table"),
		       cli_str(k, "gateway")[0] ? ", gateway " : "", cli_str(k, "gateway"),
		       cli_str(k, "source")[0] ? ", from " : "", cli_str(k, "source"));
}

static void print(const json_t *x)
{
	printf("%s", cli_str(x, "asked"));
	if (cli_num(x, "port"))
		printf(" port %d (rules know no ports)", (int)cli_num(x, "port"));
	putchar('\n');
	print_rule(x);
	print_address(x);
	print_upstream(json_object_get(x, "upstream"));
	print_dns(json_object_get(x, "dns"));
	print_kernel(json_object_get(x, "kernel"));
	if (json_is_false(json_object_get(x, "allowed")))
		puts("access: your user is not on the list: your packets go as without us");
}

static int ask_daemon(const char *host, json_t **out)
{
	char who[DAEMON_NAME_MAX + 1];
	json_t *request = json_pack("{s:s, s:s, s:i}", "cmd", "explain", "host", host, "uid",
				    (int)getuid());
	int r;

	if (!request) { /* no UTF-8 */
		fputs("ssm-tun: explain takes a name or an address\n", stderr);
		return CLI_USAGE;
	}
	r = cli_ask(NULL, request, out, who);
	json_decref(request);
	return r;
}

static int ask_file(const struct cli_args *a, const char *host, json_t **out)
{
	struct cli_args args = *a;
	struct config *c = NULL;

	args.name = NULL;
	int r = cli_load_config(&args, &c);
	if (r == CLI_OK)
		*out = daemon_explain_file(c, host);
	cfg_free(c);
	return r;
}

int cmd_explain(const struct cli_args *a)
{
	json_t *x = NULL;
	int r;

	if (!a->name) {
		fputs("ssm-tun: usage: ssm-tun explain HOST|IP[:PORT] [-c FILE] [--json]\n",
		      stderr);
		return CLI_USAGE;
	}
	r = a->config_path || a->n_flags ? ask_file(a, a->name, &x) : ask_daemon(a->name, &x);
	if (r != CLI_OK)
		return r;
	if (!cli_bool(x, "ok")) {
		fprintf(stderr, "ssm-tun: %s\n", cli_str(x, "error"));
		r = CLI_FAILED;
	} else if (a->json) {
		cli_print_json(x);
	} else {
		print(x);
	}
	json_decref(x);
	return r;
}
