// SPDX-License-Identifier: MIT
/* ag_cli.c - options of ssm-tun-agent, wiring, signals */
#include "gateway/ag_cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/ag_internal.h"
#include "gateway/ag_keys.h"
#include "gateway/gw_register.h"
#include "gateway/gw_signal.h"
#include "proto/ssm_chan.h"

#define STREAMS_MAX 4096U /* ours: half of what the loop watches */
#define FDS_KEPT 640U	  /* two for each session, the look-ups, and a few */

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE };

static const char usage_text[] =
	"usage: ssm-tun-agent --gateway URL --state DIR [options]\n"
	"       ssm-tun-agent authorized-keys [--dir DIR] USER\n"
	"\n"
	"  --gateway URL         wss://host:port or ws://127.0.0.1:port, the gateway's agents "
	"listener\n"
	"  --ca FILE             trust this CA (the gateway's ca.pem) instead of the system's\n"
	"  --state DIR           key and tokens (default /var/lib/ssm-tun-agent)\n"
	"  --host-id ID          our name as a target (default: the host name)\n"
	"  --org ID              organisation (default: default)\n"
	"  --ssh-port PORT       where sshd listens (default 22); sessions for port 22 go there\n"
	"  --allow HOST:PORT     what else sessions may reach; repeatable\n"
	"  --authorized-keys-dir DIR\n"
	"                        take SSH keys that the gateway hands on, valid for a minute; sshd "
	"asks\n"
	"                        for them by its AuthorizedKeysCommand, the second form above "
	"(default\n"
	"                        of its --dir: /run/ssm-tun-agent/keys)\n"
	"  --max-payload BYTES   of one message, 1024 to 65536 (default 65536)\n"
	"  --pace stock          one message of at most 1024 bytes, then 1 ms, as the stock agent\n"
	"  -v, -q                more, less in the log   --log-format text|json\n"
	"  --help, --version\n";

enum option_id {
	O_GATEWAY = 256,
	O_CA,
	O_STATE,
	O_HOST_ID,
	O_ORG,
	O_PACE,
	O_MAX_PAYLOAD,
	O_SSH_PORT,
	O_ALLOW,
	O_KEYS_DIR,
	O_LOG_FORMAT,
	O_HELP,
	O_VERSION
};

static const struct option long_options[] = {
	{ "gateway", required_argument, NULL, O_GATEWAY },
	{ "ca", required_argument, NULL, O_CA },
	{ "state", required_argument, NULL, O_STATE },
	{ "host-id", required_argument, NULL, O_HOST_ID },
	{ "org", required_argument, NULL, O_ORG },
	{ "pace", required_argument, NULL, O_PACE },
	{ "max-payload", required_argument, NULL, O_MAX_PAYLOAD },
	{ "ssh-port", required_argument, NULL, O_SSH_PORT },
	{ "allow", required_argument, NULL, O_ALLOW },
	{ "authorized-keys-dir", required_argument, NULL, O_KEYS_DIR },
	{ "log-format", required_argument, NULL, O_LOG_FORMAT },
	{ "help", no_argument, NULL, O_HELP },
	{ "version", no_argument, NULL, O_VERSION },
	{ NULL, 0, NULL, 0 },
};

struct cli {
	struct ag_opts ag;
	char gateway[256];
	int level;
	enum log_format format;
};

static int usage(const char *why, const char *what)
{
	if (why)
		fprintf(stderr, "ssm-tun-agent: %s%s%s\n", why, what ? ": " : "",
			what ? text_safe(what).s : "");
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

static bool number(unsigned long *out, const char *v, unsigned long min, unsigned long max)
{
	char *end;

	errno = 0;
	*out = strtoul(v, &end, 10);
	return *v >= '0' && *v <= '9' && !*end && !errno && *out >= min && *out <= max;
}

static bool option_gateway(struct cli *c, const char *v)
{
	size_t n;

	if ((strncmp(v, "ws://", 5) != 0 && strncmp(v, "wss://", 6) != 0) ||
	    !text_copy(c->gateway, sizeof(c->gateway), v))
		return false;
	n = strlen(c->gateway);
	if (c->gateway[n - 1] == '/')
		c->gateway[n - 1] = '\0';
	c->ag.gateway = c->gateway;
	return true;
}

static bool option_name(char *dst, const char *v)
{
	return gwr_name_ok(v) && text_copy(dst, GW_NAME_MAX + 1, v);
}

/* "localhost:9000", "db.example.net:5432", "[fd00::1]:80" */
static bool option_allow(struct cli *c, const char *v)
{
	struct ag_target *t = &c->ag.allow[c->ag.n_allow];
	const char *colon = strrchr(v, ':');
	unsigned long port;
	size_t len;

	if (!colon || c->ag.n_allow == AG_ALLOW_MAX || !number(&port, colon + 1, 1, 65535))
		return false;
	len = (size_t)(colon - v);
	if (len > 2 && v[0] == '[' && v[len - 1] == ']') {
		v++;
		len -= 2;
	} else if (memchr(v, ':', len)) {
		return false; /* which of them is before the port? */
	}
	if (len >= sizeof(t->host))
		return false;
	memcpy(t->host, v, len);
	t->host[len] = '\0';
	t->port = (uint16_t)port;
	c->ag.n_allow++;
	return gw_document_host_ok(t->host);
}

static bool option_number(struct cli *c, int id, const char *v)
{
	unsigned long n;

	if (id == O_SSH_PORT && number(&n, v, 1, 65535)) {
		c->ag.ssh_port = (uint16_t)n;
		return true;
	}
	if (id == O_MAX_PAYLOAD && number(&n, v, SSM_CHUNK, SSM_PAYLOAD_MAX)) {
		c->ag.max_payload = (uint32_t)n;
		return true;
	}
	return false;
}

static bool option_take(struct cli *c, int id, const char *v)
{
	switch (id) {
	case O_GATEWAY: return option_gateway(c, v);
	case O_CA: c->ag.ca = v; return true;
	case O_STATE: c->ag.state_dir = v; return true;
	case O_HOST_ID: return option_name(c->ag.host_id, v);
	case O_ORG: return option_name(c->ag.org_id, v);
	case O_PACE: c->ag.stock_pace = true; return strcmp(v, "stock") == 0;
	case O_MAX_PAYLOAD:
	case O_SSH_PORT: return option_number(c, id, v);
	case O_ALLOW: return option_allow(c, v);
	case O_KEYS_DIR: c->ag.keys_dir = v; return v[0] == '/';
	case O_LOG_FORMAT:
		c->format = strcmp(v, "json") == 0 ? LOG_JSON : LOG_TEXT;
		return strcmp(v, "json") == 0 || strcmp(v, "text") == 0;
	case 'v': c->level++; return true;
	case 'q': c->level--; return true;
	default: return false;
	}
}

/* The host name with what a host_id can't hold replaced. */
static void host_id_default(struct cli *c)
{
	char name[GW_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
		text_copy(name, sizeof(name), "agent");
	for (char *p = name; *p; p++) {
		char one[3] = { 'a', *p, '\0' };

		if (!gwr_name_ok(one))
			*p = '-';
	}
	if (name[0] == '-' || name[0] == '.' || name[0] == '_')
		name[0] = 'x';
	text_copy(c->ag.host_id, sizeof(c->ag.host_id), name);
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
			puts("ssm-tun-agent " SSM_TUN_VERSION);
			return EXIT_FINE;
		}
		if (id == '?' || !option_take(c, id, optarg))
			return usage(id == '?' ? NULL : "bad value", id == '?' ? NULL : optarg);
	}
	if (optind < argc)
		return usage("too many arguments", argv[optind]);
	if (!c->ag.gateway)
		return usage("--gateway is needed", NULL);
	if (!c->ag.host_id[0])
		host_id_default(c);
	if (c->ag.stock_pace)
		c->ag.max_payload = SSM_CHUNK;
	return -1;
}

/* ---- running ---- */

/* Connections of multiplexed sessions take what the sessions themselves leave of our descriptors. */
static uint32_t streams_allowed(void)
{
	struct rlimit l;
	rlim_t want = STREAMS_MAX + FDS_KEPT, have;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return FDS_KEPT;
	if (l.rlim_cur < want) {
		l.rlim_cur = MIN(l.rlim_max, want);
		if (setrlimit(RLIMIT_NOFILE, &l) < 0)
			log_sys("RLIMIT_NOFILE");
	}
	have = MIN(l.rlim_cur, want);
	return (uint32_t)(have > 2 * (rlim_t)FDS_KEPT ? have - FDS_KEPT : have / 2);
}

static int agent_run(const struct ag_opts *opts)
{
	struct ag ag = { .opts = opts, .streams_max = streams_allowed() };
	const struct ws_ctx_opts wo = { .ca_bundle = opts->ca };
	struct gw_signals sig = { 0 };
	uint8_t raw[CODEC_UUID_LEN];
	int r;

	codec_uuid4(raw);
	codec_uuid_str(ag.boot_id, raw);
	if ((r = ag_state_load(&ag.id, opts->state_dir)) == 0 && (r = loop_new(&ag.loop)) == 0 &&
	    (r = ws_ctx_new(&ag.ws, ag.loop, &wo)) == 0 &&
	    (!opts->keys_dir || (r = ag_keys_new(&ag.keys, ag.loop, opts->keys_dir)) == 0) &&
	    (r = ags_new(&ag.sessions, &ag)) == 0 && (r = ag_link_new(&ag.link, &ag)) == 0 &&
	    (r = gw_signals_open(&sig, ag.loop)) == 0)
		r = loop_run(ag.loop);
	gw_signals_close(&sig);
	ags_free(ag.sessions);
	ag_link_free(ag.link);
	ag_keys_free(ag.keys);
	ws_ctx_free(ag.ws);
	loop_free(ag.loop);
	codec_wipe(&ag.id, sizeof(ag.id));
	return r;
}

/* What sshd runs: authorized-keys [--dir DIR] USER */
static int keys_main(int argc, char **argv)
{
	const char *dir = AG_KEYS_DIR;
	int r;

	if (argc == 5 && strcmp(argv[2], "--dir") == 0) {
		dir = argv[3];
		argv += 2;
		argc -= 2;
	}
	if (argc != 3 || dir[0] != '/')
		return usage("authorized-keys [--dir DIR] USER is expected", NULL);
	r = ag_keys_print(dir, argv[2], stdout);
	if (r < 0)
		fprintf(stderr, "ssm-tun-agent: keys of %s in %s: %s\n", text_safe(argv[2]).s,
			text_safe(dir).s, st_strerror(r));
	return r == 0 && fflush(stdout) == 0 ? EXIT_FINE : EXIT_FAILED;
}

int ag_cli_main(int argc, char **argv)
{
	struct cli c = { .level = LOG_INFO,
			 .ag = { .state_dir = "/var/lib/ssm-tun-agent",
				 .org_id = "default",
				 .max_payload = SSM_PAYLOAD_MAX,
				 .ssh_port = 22 } };
	int r;

	umask(077);
	if (argc > 1 && strcmp(argv[1], "authorized-keys") == 0)
		return keys_main(argc, argv);
	if ((r = parse(&c, argc, argv)) >= 0)
		return r;
	log_setup((enum log_level)MAX(LOG_ERROR, MIN(c.level, LOG_TRACE)), c.format);
	return agent_run(&c.ag) == 0 ? EXIT_FINE : EXIT_FAILED;
}
