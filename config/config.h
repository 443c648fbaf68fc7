// SPDX-License-Identifier: MIT
/*
 * config.h - YAML and command line to one validated, immutable struct config
 *
 * Every problem is found in one pass and told as file:line:column: message. One table of keys (config_keys.h) is
 * shared by the parser, the flags and the help. No I/O after loading. Contract of the file: design, section 5.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/addr.h"

#define CFG_FILE_MAX MIB(1)
#define CFG_UPSTREAMS_MAX 64U
#define CFG_TARGETS_MAX 16U
#define CFG_ROUTES_MAX 16384U
#define CFG_SUFFIXES_MAX 256U
#define CFG_ACCESS_MAX 64U
#define CFG_PROBLEMS_MAX 100U

enum cfg_action { CFG_TO_UPSTREAM, CFG_TO_DIRECT, CFG_TO_REJECT, CFG_TO_DROP };
enum cfg_host_key { CFG_HOST_KEY_ACCEPT_NEW, CFG_HOST_KEY_STRICT, CFG_HOST_KEY_PINNED };
enum cfg_match_order { CFG_ORDER_UNSET, CFG_ORDER_SPECIFIC, CFG_ORDER_FIRST };
enum cfg_dns_mode { CFG_DNS_FAKE_IP, CFG_DNS_TUNNEL, CFG_DNS_OFF };
enum cfg_dns_manager {
	CFG_MANAGER_AUTO,
	CFG_MANAGER_RESOLVED,
	CFG_MANAGER_RESOLVCONF,
	CFG_MANAGER_FILE,
	CFG_MANAGER_NONE
};
enum cfg_match { CFG_MATCH_PREFIX, CFG_MATCH_VPC, CFG_MATCH_NAME };

/* Where a value stands, for messages and `config show`. */
struct cfg_place {
	const char *file; /* path, "flag --x", or "default" */
	uint32_t line, column;
};

struct cfg_aws {
	const char *profile, *region;			     /* NULL: not set */
	const char *access_key, *secret_key, *session_token; /* NULL: not set; secrets */
	const char *endpoint_url;			     /* of the ssm API */
	const char *data_endpoint; /* host[:port] that replaces the WebSocket's */
	const char *ca_bundle;	   /* absolute path */
};

struct cfg_ssh {
	const char *user;
	const char *key; /* absolute path, "~" expanded; NULL: ssh-agent, unless instance_connect */
	bool instance_connect; /* key: instance-connect */
	uint16_t port;
	enum cfg_host_key host_key;
	const char *fingerprint; /* "SHA256:…" with CFG_HOST_KEY_PINNED */
};

struct cfg_upstream {
	const char *name;
	const char
		*targets[CFG_TARGETS_MAX]; /* failover order; each is good for aws_target_parse() */
	size_t n_targets;
	struct cfg_aws aws;
	struct cfg_ssh ssh;
	uint32_t sessions_min, sessions_max;
	uint32_t pace_per_s; /* messages a second; 0: off */
	bool pace_set;	     /* else the default of decision 7 */
	struct net_endpoint
		resolver; /* DNS server as its far side sees it; 169.254.169.253, port 53 */
	bool ipv6;	  /* its VPC carries IPv6: names get AAAA */
	const char *document;
	const char *reason; /* StartSession's Reason; NULL: none */
	struct cfg_place place;
};

struct cfg_route {
	enum cfg_match match;	  /* vpc: whatever the VPC of the upstream's target reaches */
	struct net_prefix prefix; /* with CFG_MATCH_PREFIX */
	const char *name;	  /* with CFG_MATCH_NAME: dname_pattern()'s form */
	uint32_t order; /* place in the file: with match_order: first it decides among names */
	enum cfg_action action;
	uint32_t upstream; /* index, with CFG_TO_UPSTREAM: always so with CFG_MATCH_VPC */
	bool override;	   /* wins over an equal prefix of the main table */
	struct cfg_place place;
};

struct cfg_limits {
	uint32_t flows;		    /* 4096 */
	uint32_t connect_budget_ms; /* 10000 */
	uint32_t pending_opens;	    /* 256 per upstream */
	uint64_t memory_bytes;	    /* 96 MiB of payload */
	uint32_t vpc_refresh_ms;    /* 10 min: how often what a VPC reaches is asked anew */
};

struct config {
	const char *file; /* the file that was used; NULL: flags alone */
	struct cfg_upstream *upstreams;
	size_t n_upstreams;
	struct cfg_route *
		routes; /* prefixes most specific first, also with CFG_ORDER_FIRST: what an earlier rule covered is out; then vpc rules; names
			   last, in the order of the file */
	size_t n_routes;
	enum cfg_match_order match_order;
	enum cfg_action default_action;
	uint32_t default_upstream;
	const char *tun_name;
	bool system;	  /* tun.mode: system */
	bool ipv6_direct; /* ipv6: direct: IPv6 that no upstream carries is left alone in system mode */
	bool forward;	  /* containers and machines behind this one too */
	bool fail_closed; /* unreachable routes stay until `down` */
	const char *access
		[CFG_ACCESS_MAX]; /* user names, numbers, or ranges of them (1000-1999); n_access 0: all */
	size_t n_access;
	enum cfg_dns_mode dns_mode;
	enum cfg_dns_manager dns_manager;
	bool dns_public_local; /* dns: {public: local}: system mode leaves names without a rule to the resolvers that were there */
	bool dns_rebind_block; /* dns: {rebind: block} */
	const char
		*dns_suffixes[CFG_SUFFIXES_MAX]; /* asked of us beside those of the rules; normal */
	size_t n_dns_suffixes;
	const char *run_as; /* user name; NULL: not set; honoured only from a root-owned file */
	bool file_is_roots; /* the file and its folder belong to root */
	struct cfg_limits limits;
};

struct cfg_problem {
	struct cfg_place place;
	bool warning; /* a note: loading goes on */
	char text[512];
};

/* 70 KiB: not for a small stack. */
struct cfg_report {
	struct cfg_problem problems[CFG_PROBLEMS_MAX];
	size_t n;
	size_t n_errors; /* all, also those that found no room above */
	char names
		[16384]; /* what place.file of the problems points into: the report outlives the config */
	size_t names_len;
};

struct cfg_flag {
	const char *
		name; /* "tun.name", "target", "profile", "region", "user", "route", "reason" … without dashes */
	const char *value;
};

struct cfg_opts {
	const char *path; /* -c FILE; NULL: search */
	const char *name; /* `up NAME`: /etc/ssm-tun/NAME.yaml; NULL: none */
	const char *home; /* of the caller, for ~ and the search; never the environment's */
	const char *xdg_config_home; /* NULL: home/.config */
	uid_t caller; /* owner that files must have (or root); the process already has this uid's rights */
	const struct cfg_flag *flags;
	size_t n_flags;
};

/**
 * cfg_load() - find, read, parse, merge flags, validate
 * --target without -c or NAME reads no file: it builds an upstream named "default". --profile, --region, --user, --route, --domain,
 * --reason, --endpoint-url and --ca-bundle are for the only upstream; with several, --upstreams.NAME.key=VALUE. --system makes the
 * only upstream the default where none is set.
 * @report: filled with every problem, errors and notes, in the order of the file. Return: 0 and *@out (cfg_free());
 * ST_ENOENT: no file was found and no --target given (the report says where it looked); ST_ECONFIG: see the report; ST_ENOMEM
 */
int cfg_load(struct config **out, const struct cfg_opts *opts, struct cfg_report *report);
void cfg_free(struct config *c); /* wipes the secrets; NULL is fine */

/** cfg_report_print() - "file:line:column: message" lines */
void cfg_report_print(const struct cfg_report *report, FILE *to);
/** cfg_show() - the effective configuration as YAML, each value with the place it came from in a comment, secrets masked */
void cfg_show(const struct config *c, FILE *to);
/** cfg_flag_known() - may "--name=value" be given? *@takes_list: it may be repeated. *@later: known, served by a later version */
bool cfg_flag_known(const char *name, bool *takes_list, bool *later);
/** cfg_flag_takes_value() - of a known flag: "--name=value", or "--name" alone (--system)? */
bool cfg_flag_takes_value(const char *name);
/** cfg_flags_help() - the table of keys as help text */
void cfg_flags_help(FILE *to);

#endif
