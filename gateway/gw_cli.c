// SPDX-License-Identifier: MIT
/*
 * gw_cli.c - init, keys, agents and serve
 *
 * keys and agents work on the store directly: the running gateway reads it anew for every request.
 * Data goes to stdout, messages to stderr.
 */
#include "gateway/gw_cli.h"

#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_init.h"
#include "gateway/gw_serve.h"

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE };

static const char usage_text[] =
	"usage: ssm-tun-gateway init DIR [--name NAME]...\n"
	"       ssm-tun-gateway keys add NAME [--targets GLOB] [--dir DIR]\n"
	"       ssm-tun-gateway keys add NAME --agent --targets GLOB [--dir DIR]\n"
	"       ssm-tun-gateway keys list|remove NAME [--dir DIR]\n"
	"       ssm-tun-gateway agents list|approve HOST|remove HOST [--dir DIR]\n"
	"       ssm-tun-gateway serve --dir DIR [options]\n"
	"\n"
	"  --dir DIR             the folder that init made (default /var/lib/ssm-tun-gateway)\n"
	"  --name NAME           init: a further name or address of the server certificate\n"
	"  --targets GLOB        keys add: host ids that the key sees (default *)\n"
	"  --agent               keys add: a key for stock amazon-ssm-agents of the instance ids "
	"GLOB\n"
	"  --control ADDR:PORT   AWS-compatible API (default 127.0.0.1:8443)\n"
	"  --agents ADDR:PORT    agents (default 127.0.0.1:8080)\n"
	"  --actions ADDR:PORT   registration over HTTP, list of agents (default 127.0.0.1:8083)\n"
	"                        port 0: any; \"/tls\" or \"/plain\" behind the port chooses\n"
	"  --enrol open|approve  new agents at once, or when approved (default: open on loopback)\n"
	"  --insecure            allow plain text and faults off loopback\n"
	"  --fault SPEC          misbehave: loss=, ack-loss=, reorder=, dup=, delay=, cut-after=,\n"
	"                        cut-side=, pause-unacked=, seed=\n"
	"  --port-file FILE      write the ready line there instead of stdout\n"
	"  -v, -q                more, less in the log   --log-format text|json\n"
	"  --help, --version\n";

enum option_id {
	O_DIR = 256,
	O_NAME,
	O_TARGETS,
	O_AGENT,
	O_CONTROL,
	O_AGENTS,
	O_ACTIONS,
	O_ENROL,
	O_INSECURE,
	O_FAULT,
	O_PORT_FILE,
	O_LOG_FORMAT,
	O_HELP,
	O_VERSION
};

static const struct option long_options[] = {
	{ "dir", required_argument, NULL, O_DIR },
	{ "name", required_argument, NULL, O_NAME },
	{ "targets", required_argument, NULL, O_TARGETS },
	{ "agent", no_argument, NULL, O_AGENT },
	{ "control", required_argument, NULL, O_CONTROL },
	{ "agents", required_argument, NULL, O_AGENTS },
	{ "actions", required_argument, NULL, O_ACTIONS },
	{ "enrol", required_argument, NULL, O_ENROL },
	{ "insecure", no_argument, NULL, O_INSECURE },
	{ "fault", required_argument, NULL, O_FAULT },
	{ "port-file", required_argument, NULL, O_PORT_FILE },
	{ "log-format", required_argument, NULL, O_LOG_FORMAT },
	{ "help", no_argument, NULL, O_HELP },
	{ "version", no_argument, NULL, O_VERSION },
	{ NULL, 0, NULL, 0 },
};

struct cli {
	struct gw_serve_opts serve;
	const char *names[GW_NAMES_MAX];
	size_t n_names;
	const char *targets;
	bool agent; /* keys add: an agent's key */
	int level;
	enum log_format format;
	const char *args[4]; /* without options: verb, action, object */
	int n_args;
};

static int usage(const char *why, const char *what)
{
	if (why)
		fprintf(stderr, "ssm-tun-gateway: %s%s%s\n", why, what ? ": " : "",
			what ? text_safe(what).s : "");
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

/* ---- reading the command line ---- */

static bool option_enrol(struct cli *c, const char *v)
{
	if (strcmp(v, "open") == 0)
		c->serve.enrol = GW_ENROL_OPEN;
	else if (strcmp(v, "approve") == 0)
		c->serve.enrol = GW_ENROL_APPROVE;
	else
		return false;
	return true;
}

static bool option_format(struct cli *c, const char *v)
{
	c->format = strcmp(v, "json") == 0 ? LOG_JSON : LOG_TEXT;
	return strcmp(v, "json") == 0 || strcmp(v, "text") == 0;
}

static bool option_door(struct cli *c, enum gw_door door, const char *v)
{
	return gw_endpoint_parse(&c->serve.address[door], &c->serve.tls[door], v) == 0;
}

static bool option_name(struct cli *c, const char *v)
{
	if (c->n_names == GW_NAMES_MAX)
		return false;
	c->names[c->n_names++] = v;
	return true;
}

static bool option_fault(struct cli *c, const char *v)
{
	const char *why;

	c->serve.fault_given = true;
	if (gwf_parse(&c->serve.fault, v, &why) == 0)
		return true;
	fprintf(stderr, "ssm-tun-gateway: --fault: %s\n", why);
	return false;
}

static bool option_take(struct cli *c, int id, const char *v)
{
	switch (id) {
	case O_DIR: c->serve.dir = v; return true;
	case O_NAME: return option_name(c, v);
	case O_TARGETS: c->targets = v; return true;
	case O_AGENT: c->agent = true; return true;
	case O_CONTROL: return option_door(c, GW_CONTROL, v);
	case O_AGENTS: return option_door(c, GW_AGENTS, v);
	case O_ACTIONS: return option_door(c, GW_ACTIONS, v);
	case O_ENROL: return option_enrol(c, v);
	case O_INSECURE: c->serve.insecure = true; return true;
	case O_FAULT: return option_fault(c, v);
	case O_PORT_FILE: c->serve.port_file = v; return true;
	case O_LOG_FORMAT: return option_format(c, v);
	case 'v': c->level++; return true;
	case 'q': c->level--; return true;
	default: return false;
	}
}

/* Return: -1 to go on; else the exit status */
static int parse(struct cli *c, int argc, char **argv)
{
	int id;

	while ((id = getopt_long(argc, argv, "vq", long_options, NULL)) != -1) {
		if (id == O_HELP) {
			fputs(usage_text, stdout);
			return EXIT_FINE;
		}
		if (id == O_VERSION) {
			puts("ssm-tun-gateway " SSM_TUN_VERSION);
			return EXIT_FINE;
		}
		if (id == '?' || !option_take(c, id, optarg))
			return usage(id == '?' ? NULL : "bad value", id == '?' ? NULL : optarg);
	}
	for (; optind < argc && c->n_args < (int)ARRAY_LEN(c->args); optind++)
		c->args[c->n_args++] = argv[optind];
	return optind < argc ? usage("too many arguments", argv[optind]) : -1;
}

/* ---- verbs ---- */

/* Who changes the store, for its audit log. */
static const char *operator_name(void)
{
	const struct passwd *pw = getpwuid(getuid());

	return pw ? pw->pw_name : "operator";
}

static int verb_init(struct cli *c)
{
	if (c->n_args != 2)
		return usage("init takes one folder", NULL);
	if (gw_init(c->args[1], c->names, c->n_names) < 0)
		return EXIT_FAILED;
	fprintf(stderr, "made %s: CA certificate for clients and agents: %s/" GW_CA_CERT "\n",
		text_safe(c->args[1]).s, text_safe(c->args[1]).s);
	return EXIT_FINE;
}

static bool key_name_ok(const char *s)
{
	return gwr_name_ok(s) && strlen(s) <= GW_KEY_NAME_MAX;
}

static int keys_add(struct gw_store *s, struct cli *c)
{
	struct gw_key_rec rec = { .kind = c->agent ? GW_KEY_AGENT : GW_KEY_CLIENT };
	int r;

	if (c->agent && !c->targets)
		return usage("--agent needs --targets: the instance ids that the key may be", NULL);
	if (!key_name_ok(c->args[2]) ||
	    !text_copy(rec.targets, sizeof(rec.targets), c->targets ? c->targets : "*"))
		return usage("a key's name is 1 to 64 of A-Z a-z 0-9 . _ -", c->args[2]);
	text_copy(rec.name, sizeof(rec.name), c->args[2]);
	r = gw_store_key_add(s, &rec, operator_name());
	if (r == ST_EEXIST)
		fprintf(stderr, "ssm-tun-gateway: there is a key %s already\n", rec.name);
	if (r == 0)
		printf("aws_access_key_id = %s\naws_secret_access_key = %s\n", rec.access_key,
		       rec.secret);
	codec_wipe(&rec, sizeof(rec));
	return r == 0 ? EXIT_FINE : EXIT_FAILED;
}

static void key_print(void *arg, const struct gw_key_rec *rec)
{
	char at[GW_TIME_STR];

	(void)arg;
	gw_time_str(at, rec->created);
	printf("%-20s %s  %s  %-6s  %s\n", rec->name, rec->access_key, at,
	       rec->kind == GW_KEY_AGENT ? "agent" : "client", text_safe(rec->targets).s);
}

static int keys_list(struct gw_store *s, struct cli *c)
{
	(void)c;
	return gw_store_key_each(s, key_print, NULL) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int report(int r, const char *what, const char *name)
{
	if (r == ST_ENOENT)
		fprintf(stderr, "ssm-tun-gateway: no such %s: %s\n", what, text_safe(name).s);
	return r == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int keys_remove(struct gw_store *s, struct cli *c)
{
	return report(gw_store_key_remove(s, c->args[2], operator_name()), "key", c->args[2]);
}

static void agent_print(void *arg, const struct gw_agent_rec *rec)
{
	char at[GW_TIME_STR];

	(void)arg;
	gw_time_str(at, rec->last_seen);
	printf("%-24s %s  %-8s  %s  %s\n", rec->host_id, rec->uid,
	       rec->approved ? "approved" : "pending", at, text_safe(rec->org_id).s);
}

static int agents_list(struct gw_store *s, struct cli *c)
{
	(void)c;
	return gw_store_agent_each(s, agent_print, NULL) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int agents_approve(struct gw_store *s, struct cli *c)
{
	return report(gw_store_agent_approve(s, c->args[2], operator_name()), "agent", c->args[2]);
}

static int agents_remove(struct gw_store *s, struct cli *c)
{
	return report(gw_store_agent_remove(s, c->args[2], operator_name()), "agent", c->args[2]);
}

static const struct {
	const char *verb, *action;
	int n_args;
	int (*fn)(struct gw_store *s, struct cli *c);
} store_verbs[] = {
	{ "keys", "add", 3, keys_add },
	{ "keys", "list", 2, keys_list },
	{ "keys", "remove", 3, keys_remove },
	{ "agents", "list", 2, agents_list },
	{ "agents", "approve", 3, agents_approve },
	{ "agents", "remove", 3, agents_remove },
};

static int verb_store(struct cli *c)
{
	struct gw_store *s;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(store_verbs); i++) {
		if (strcmp(c->args[0], store_verbs[i].verb) != 0 || c->n_args < 2 ||
		    strcmp(c->args[1], store_verbs[i].action) != 0)
			continue;
		if (c->n_args != store_verbs[i].n_args)
			return usage("wrong number of arguments", NULL);
		if (gw_store_open(&s, c->serve.dir) < 0)
			return EXIT_FAILED;
		r = store_verbs[i].fn(s, c);
		gw_store_close(s);
		return r;
	}
	return usage("no such command", c->args[0]);
}

static int verb_serve(struct cli *c)
{
	int r;

	if (c->n_args != 1)
		return usage("serve takes no further arguments", c->args[1]);
	r = gw_serve(&c->serve);
	return r == 0 ? EXIT_FINE : r == ST_ECONFIG ? EXIT_USAGE : EXIT_FAILED;
}

int gw_cli_main(int argc, char **argv)
{
	struct cli c = { .level = LOG_INFO, .serve = { .dir = "/var/lib/ssm-tun-gateway" } };
	int r;

	umask(077); /* the store's files hold secrets */
	option_door(&c, GW_CONTROL, "127.0.0.1:8443");
	option_door(&c, GW_AGENTS, "127.0.0.1:8080");
	option_door(&c, GW_ACTIONS, "127.0.0.1:8083");
	if ((r = parse(&c, argc, argv)) >= 0)
		return r;
	if (!c.n_args)
		return usage("a command is needed", NULL);
	log_setup((enum log_level)MAX(LOG_ERROR, MIN(c.level, LOG_TRACE)), c.format);
	if (strcmp(c.args[0], "init") == 0)
		return verb_init(&c);
	if (strcmp(c.args[0], "serve") == 0 || strcmp(c.args[0], "run") == 0)
		return verb_serve(&c);
	return verb_store(&c);
}
