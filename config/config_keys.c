// SPDX-License-Identifier: MIT
/*
 * config_keys.c - the one table of keys, read by parser, flags, help and show
 *
 * A row's path is the key's place in the file with "*" for a name or a place in a list; the part before its last dot is its
 * section. What the design knows and a later version serves is in the table too, so that it is told from a typing error.
 * Source: design, sections 4, 5, 8
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/config_internal.h"

#define IN_C(field) offsetof(struct config, field)
#define IN_U(field) offsetof(struct cfg_upstream, field)
#define IN_R(field) offsetof(struct cfg_route, field)

static const char *const order_choices[] = { "", "specific", "first",
					     NULL }; /* enum cfg_match_order */
static const char *const dns_choices[] = { "fake-ip", "tunnel", "off",
					   NULL }; /* enum cfg_dns_mode */
static const char *const manager_choices[] = {
	"auto", "resolved", "resolvconf", "file", "none", NULL
};								      /* enum cfg_dns_manager */
static const char *const tun_choices[] = { "split", "system", NULL }; /* the second is true */
static const char *const ipv6_choices[] = { "tunnel", "direct", NULL };
static const char *const public_choices[] = { "tunnel", "local", NULL };
static const char *const rebind_choices[] = { "allow", "block", NULL };
static const char *const off_only[] = { "off", NULL };
static const char *const ssh_document[] = { "AWS-StartSSHSession", NULL };

static bool is_made_of(const char *text, const char *more)
{
	for (; *text; text++) {
		bool is_alnum = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
				(*text >= '0' && *text <= '9');

		if (!is_alnum && !strchr(more, *text))
			return false;
	}
	return true;
}

bool cfg_name_is_valid(const char *name)
{
	return *name && strlen(name) <= CFG_NAME_MAX && is_made_of(name, "_-");
}

static bool is_region(const char *text)
{
	size_t len = strlen(text);

	return is_made_of(text, "-") && text[0] != '-' && text[len - 1] != '-';
}

static bool is_url(const char *text)
{
	size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
			: strncmp(text, "http://", 7) == 0 ? 7
							   : 0;

	return scheme && text[scheme] && is_made_of(text + scheme, ".-_:/[]%~");
}

static bool is_host_port(const char *text)
{
	return is_made_of(text, ".-_:[]");
}

/* What goes into an HTTP header. */
static bool is_key_text(const char *text)
{
	for (; *text; text++)
		if (*text < 0x21 || *text > 0x7e)
			return false;
	return true;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

bool cfg_user_is_valid(const char *text)
{
	return text[0] != '-' && is_made_of(text, "._-$@+\\");
}

/* IFNAMSIZ is 16; the kernel's dev_valid_name() */
static bool is_device(const char *text)
{
	return strcmp(text, ".") != 0 && strcmp(text, "..") != 0 && is_made_of(text, "._-");
}

const struct cfg_key cfg_keys[] = {
	{ .path = "listen", .serve = CFG_LATER, .help = "SOCKS5 listener beside the device" },
	{ .path = "auth.user", .serve = CFG_LATER, .help = "user of the SOCKS5 listener" },
	{ .path = "auth.pass", .serve = CFG_LATER, .kind = CFG_K_SECRET, .help = "its password" },
	{ .path = "upstreams.*.instances",
	  .kind = CFG_K_TARGETS,
	  .offset = IN_U(targets),
	  .help = "targets in failover order: i-…, mi-…, i-…--REGION, an ARN, tag:KEY=VALUE, a "
		  "private DNS name or address, a gateway's host id" },
	{ .path = "upstreams.*.aws.profile",
	  .offset = IN_U(aws.profile),
	  .min = 1,
	  .max = 256,
	  .is_valid = is_printable,
	  .help = "profile of ~/.aws" },
	{ .path = "upstreams.*.aws.region",
	  .offset = IN_U(aws.region),
	  .min = 1,
	  .max = 63,
	  .is_valid = is_region,
	  .help = "region of the targets" },
	{ .path = "upstreams.*.aws.access_key",
	  .offset = IN_U(aws.access_key),
	  .min = 16,
	  .max = 128,
	  .is_valid = is_key_text,
	  .help = "access key id; needs secret_key and region" },
	{ .path = "upstreams.*.aws.secret_key",
	  .kind = CFG_K_SECRET,
	  .offset = IN_U(aws.secret_key),
	  .min = 1,
	  .max = 256,
	  .is_valid = is_key_text,
	  .help = "secret access key" },
	{ .path = "upstreams.*.aws.session_token",
	  .kind = CFG_K_SECRET,
	  .offset = IN_U(aws.session_token),
	  .min = 1,
	  .max = 16384,
	  .is_valid = is_key_text,
	  .help = "token of temporary keys" },
	{ .path = "upstreams.*.aws.endpoint_url",
	  .offset = IN_U(aws.endpoint_url),
	  .min = 1,
	  .max = 1024,
	  .is_valid = is_url,
	  .help = "URL of the ssm API" },
	{ .path = "upstreams.*.aws.data_endpoint",
	  .offset = IN_U(aws.data_endpoint),
	  .min = 1,
	  .max = 300,
	  .is_valid = is_host_port,
	  .help = "host[:port] of the WebSocket" },
	{ .path = "upstreams.*.aws.ca_bundle",
	  .kind = CFG_K_PATH,
	  .offset = IN_U(aws.ca_bundle),
	  .help = "PEM file of the CAs for both" },
	{ .path = "upstreams.*.ssh.user",
	  .offset = IN_U(ssh.user),
	  .min = 1,
	  .max = 64,
	  .is_valid = cfg_user_is_valid,
	  .def = "ec2-user",
	  .help = "user at the target" },
	{ .path = "upstreams.*.ssh.key",
	  .kind = CFG_K_SSH_KEY,
	  .offset = IN_U(ssh.key),
	  .help = "private key file, or instance-connect; absent: ssh-agent" },
	{ .path = "upstreams.*.ssh.port",
	  .kind = CFG_K_U16,
	  .offset = IN_U(ssh.port),
	  .min = 1,
	  .max = 65535,
	  .def = "22",
	  .help = "port of its sshd" },
	{ .path = "upstreams.*.ssh.host_key",
	  .kind = CFG_K_HOST_KEY,
	  .def = "accept-new",
	  .help = "accept-new, strict or SHA256:…" },
	{ .path = "upstreams.*.sessions.min",
	  .kind = CFG_K_U32,
	  .offset = IN_U(sessions_min),
	  .min = 1,
	  .max = 12,
	  .def = "1",
	  .help = "sessions kept ready" },
	{ .path = "upstreams.*.sessions.max",
	  .kind = CFG_K_U32,
	  .offset = IN_U(sessions_max),
	  .min = 1,
	  .max = 12,
	  .def = "8",
	  .help = "most sessions at a time" },
	{ .path = "upstreams.*.sessions.pace",
	  .kind = CFG_K_PACE,
	  .help = "messages a second toward the service, or off" },
	{ .path = "upstreams.*.sessions.idle",
	  .kind = CFG_K_NOTHING,
	  .choices = off_only,
	  .help = "off: sessions stay" },
	{ .path = "upstreams.*.resolver",
	  .kind = CFG_K_RESOLVER,
	  .offset = IN_U(resolver),
	  .def = "169.254.169.253",
	  .help = "DNS server as seen from the far side, ADDRESS[:PORT]" },
	{ .path = "upstreams.*.ipv6",
	  .kind = CFG_K_BOOL,
	  .offset = IN_U(ipv6),
	  .def = "false",
	  .help = "its VPC carries IPv6: names get AAAA too" },
	{ .path = "upstreams.*.document",
	  .offset = IN_U(document),
	  .min = 3,
	  .max = 128,
	  .choices = ssh_document,
	  .def = "AWS-StartSSHSession",
	  .help = "session document" },
	{ .path = "upstreams.*.reason",
	  .offset = IN_U(reason),
	  .min = 1,
	  .max = 256,
	  .is_valid = is_printable,
	  .help = "why, for the account's audit trail" },
	{ .path = "routes.*.match",
	  .kind = CFG_K_MATCH,
	  .help = "prefix or address; a name, *.SUFFIX or a pattern with * and ?; vpc: whatever "
		  "the "
		  "target's VPC reaches" },
	{ .path = "routes.*.upstream",
	  .kind = CFG_K_ACTION,
	  .help = "an upstream's name, direct, reject or drop" },
	{ .path = "routes.*.override",
	  .kind = CFG_K_BOOL,
	  .offset = IN_R(override),
	  .def = "false",
	  .help = "win over an equal prefix of the main table" },
	{ .path = "default",
	  .kind = CFG_K_ACTION,
	  .def = "direct",
	  .help = "for flows that reach us without a rule" },
	{ .path = "match_order",
	  .kind = CFG_K_CHOICE,
	  .offset = IN_C(match_order),
	  .choices = order_choices,
	  .help = "specific or first, where the two differ" },
	{ .path = "forward",
	  .kind = CFG_K_BOOL,
	  .offset = IN_C(forward),
	  .def = "false",
	  .is_guarded = true,
	  .help = "serve containers and machines behind this one too" },
	{ .path = "fail_closed",
	  .kind = CFG_K_BOOL,
	  .offset = IN_C(fail_closed),
	  .def = "false",
	  .help = "what was routed stays unreachable until down, whatever happens" },
	{ .path = "access",
	  .kind = CFG_K_ACCESS,
	  .def = "all",
	  .help = "who may use it: all, or users by name, number or range as 1000-1999" },
	{ .path = "ipv6",
	  .kind = CFG_K_EITHER,
	  .offset = IN_C(ipv6_direct),
	  .choices = ipv6_choices,
	  .def = "tunnel",
	  .help = "of system mode: tunnel, or direct for what no upstream carries" },
	{ .path = "tun.name",
	  .offset = IN_C(tun_name),
	  .min = 1,
	  .max = 15,
	  .is_valid = is_device,
	  .def = "ssm0",
	  .help = "name of the device" },
	{ .path = "tun.mode",
	  .kind = CFG_K_EITHER,
	  .offset = IN_C(system),
	  .choices = tun_choices,
	  .def = "split",
	  .is_guarded = true,
	  .help = "split, or system: the whole machine goes into default" },
	{ .path = "dns.mode",
	  .kind = CFG_K_CHOICE,
	  .offset = IN_C(dns_mode),
	  .choices = dns_choices,
	  .def = "fake-ip",
	  .help = "fake-ip, tunnel or off" },
	{ .path = "dns.manager",
	  .kind = CFG_K_CHOICE,
	  .offset = IN_C(dns_manager),
	  .choices = manager_choices,
	  .def = "auto",
	  .is_guarded = true,
	  .help = "how the system's resolver is set: auto, resolved, resolvconf, file or none" },
	{ .path = "dns.suffixes",
	  .kind = CFG_K_NAMES,
	  .help = "suffixes asked of us beside those of the rules" },
	{ .path = "dns.public",
	  .kind = CFG_K_EITHER,
	  .offset = IN_C(dns_public_local),
	  .choices = public_choices,
	  .def = "tunnel",
	  .help = "who is asked for names without a rule in system mode: tunnel or local" },
	{ .path = "dns.rebind",
	  .kind = CFG_K_EITHER,
	  .offset = IN_C(dns_rebind_block),
	  .choices = rebind_choices,
	  .def = "allow",
	  .help = "block: public names may not answer inside of a routed prefix" },
	{ .path = "run_as",
	  .offset = IN_C(run_as),
	  .min = 1,
	  .max = 64,
	  .is_valid = cfg_user_is_valid,
	  .help = "user of the daemon; only in a file of root's" },
	{ .path = "limits.flows",
	  .kind = CFG_K_U32,
	  .offset = IN_C(limits.flows),
	  .min = 1,
	  .max = 65536,
	  .def = "4096",
	  .help = "flows at a time" },
	{ .path = "limits.connect_budget",
	  .kind = CFG_K_MS,
	  .offset = IN_C(limits.connect_budget_ms),
	  .min = 100,
	  .max = 127000,
	  .def = "10s",
	  .help = "how long a connection may take to open" },
	{ .path = "limits.pending_opens",
	  .kind = CFG_K_U32,
	  .offset = IN_C(limits.pending_opens),
	  .min = 1,
	  .max = 4096,
	  .def = "256",
	  .help = "openings under way per upstream" },
	{ .path = "limits.memory",
	  .kind = CFG_K_BYTES,
	  .offset = IN_C(limits.memory_bytes),
	  .min = MIB(1),
	  .max = UINT64_C(64) << 30,
	  .def = "96MiB",
	  .help = "payload bytes of the process" },
	{ .path = "limits.vpc_refresh",
	  .kind = CFG_K_MS,
	  .offset = IN_C(limits.vpc_refresh_ms),
	  .min = 1000,
	  .max = 86400000,
	  .def = "10m",
	  .help = "how often what a VPC reaches is asked anew" },
	{ .path = "sleep_detection_threshold",
	  .serve = CFG_NOTED,
	  .kind = CFG_K_NOTHING,
	  .help = "of session-proxy",
	  .note = "accepted and not needed: sleep is noticed anyway" },
};
const size_t cfg_keys_n = ARRAY_LEN(cfg_keys);
_Static_assert(ARRAY_LEN(cfg_keys) <= CFG_KEYS_MAX, "a set of keys must fit 64 bits");

const struct cfg_key *cfg_key_find(const char *path)
{
	for (size_t i = 0; i < cfg_keys_n; i++)
		if (strcmp(cfg_keys[i].path, path) == 0)
			return &cfg_keys[i];
	return NULL;
}

/* The rest of @path below @section, or NULL. */
static const char *below(const char *path, const char *section)
{
	size_t len = strlen(section);

	if (!len)
		return path;
	return strncmp(path, section, len) == 0 && path[len] == '.' ? path + len + 1 : NULL;
}

bool cfg_key_is_list(const struct cfg_key *key)
{
	return key->kind == CFG_K_TARGETS || key->kind == CFG_K_NAMES || key->kind == CFG_K_ACCESS;
}

bool cfg_key_is_section(const char *path)
{
	for (size_t i = 0; i < cfg_keys_n; i++)
		if (below(cfg_keys[i].path, path))
			return true;
	return false;
}

const char *cfg_key_near(char out[CFG_PATH_MAX], const char *section, const char *word)
{
	char names[CFG_KEYS_MAX][32];
	const char *list[CFG_KEYS_MAX], *near;
	size_t n = 0;

	for (size_t i = 0; i < cfg_keys_n; i++) {
		const char *rest = below(cfg_keys[i].path, section);

		if (!rest || *rest == '*')
			continue;
		snprintf(names[n], sizeof(names[n]), "%.*s", (int)strcspn(rest, "."), rest);
		list[n] = names[n];
		n++;
	}
	if (!(near = text_near(word, list, n)))
		return NULL;
	snprintf(out, CFG_PATH_MAX, "%s", near);
	return out;
}
