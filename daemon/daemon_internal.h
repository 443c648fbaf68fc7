// SPDX-License-Identifier: MIT
/* daemon_internal.h - the daemon's one struct, for its own files only */
#ifndef DAEMON_DAEMON_INTERNAL_H
#define DAEMON_DAEMON_INTERNAL_H

#include <jansson.h>

#include "aws/aws.h"
#include "base/ask.h"
#include "base/loop.h"
#include "config/config.h"
#include "daemon/control.h"
#include "daemon/daemon_policy.h"
#include "daemon/daemon.h"
#include "daemon/identity.h"
#include "daemon/launch.h"
#include "daemon/state.h"
#include "keeper/keeper.h"
#include "netstack/netstack.h"
#include "router/router.h"
#include "router/rt_kernel.h"
#include "runner/runner.h"
#include "tun/tun.h"
#include "tunnel/tunnel.h"
#include "ws/ws.h"

/*
 * STARTING  device and rules stand, upstreams come up; ends by RUNNING, or STOPPING if start fails or is interrupted
 * RUNNING   `up` has reported success
 * STOPPING  nothing new is taken; upstreams say goodbye; the loop ends when they have, or at a second signal
 */
enum daemon_phase { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_STOPPING };

/*
 * A slot for an upstream, which the router's rules name by its number; it never moves.
 *
 * FREE      nothing is in it
 * USED      an upstream of the configuration
 * DRAINING  a reload has changed or removed it: its flows go on, no new ones come; ends when they have gone, or by time
 * STOPPING  it says goodbye; then it is freed
 */
enum slot_state { SLOT_FREE, SLOT_USED, SLOT_DRAINING, SLOT_STOPPING };

struct upstream {
	struct daemon *daemon;
	enum slot_state slot;
	char *name;			/* its own: outlives the configuration that it came from */
	const struct cfg_upstream *cfg; /* of the configuration in force; NULL unless USED */
	struct aws_account *account;
	struct tnl_upstream *tnl;
	enum tnl_state state;
	bool stopped;
	struct vpc_rule *vpc; /* its rule "match: vpc"; NULL: none */
	struct loop_timer drain_timer;
	uint64_t drain_end_ms;
};

/*
 * A rule "match: vpc".
 *
 * WAITING  nothing is known, and the upstream is not up yet or the question is under way or will be repeated; `up` waits
 * KNOWN    found is what the VPC reached when it was last told; kept while later questions fail
 * FAILED   nothing is known, and a person must change something; asked again at the usual interval
 */
enum vpc_state { VPC_WAITING, VPC_KNOWN, VPC_FAILED };

struct vpc_rule {
	struct daemon *daemon;
	struct upstream *upstream;
	enum vpc_state state;
	struct aws_vpc_ask *ask; /* under way; NULL: none */
	unsigned candidate;	 /* which of the instances that may be asked about */
	struct loop_timer timer; /* the next question */
	uint32_t retry_ms;	 /* the last pause while nothing is known */
	struct aws_vpc *found;	 /* NULL: nothing is known */
	uint64_t found_ms;	 /* when; the loop's clock */
	size_t n_used;	    /* of its prefixes: fewer than were found if all rules found too many */
	bool unset;	    /* what was found could not all be set: again at the next answer */
	char trouble[1600]; /* why the last question failed; "" */
};

/* What a configuration becomes: swapped as one by a reload. */
struct plan {
	struct config *config;
	uint32_t slots[CFG_UPSTREAMS_MAX]; /* of config->upstreams */
	struct policy_users users;	   /* of its access list */
};

/* A route of the machine that stands against one of ours, as it was told. */
struct collision {
	struct net_prefix ours, theirs;
	char ifname[TUN_NAME_MAX + 1];
	bool rule;     /* ours is a rule's; else our own addresses, or system mode */
	uint32_t line; /* of the rule; 0: a flag's */
	bool theirs_wins;
};

#define COLLISIONS_MAX 256U /* ours: known at a time; beyond they are not told */
#define ENDPOINTS_MAX 16U   /* ours: hosts of our own whose addresses are compared with the rules */

/* A host that this process itself connects to. */
struct endpoint {
	struct daemon *daemon;
	char host[DNS_NAME_MAX];
	run_job job;		  /* 0: none under way */
	struct net_prefix inside; /* the rule's prefix that was told; addr.family 0: none */
	struct net_addr addrs[RUN_RESOLVE_ADDRS];
	size_t n_addrs;
};

#define CACHES_KNOWN 4U /* programs that look up names for others */

/* The system's resolver: daemon_dns.c */
struct names {
	bool started;		     /* the router serves names */
	bool set;		     /* the keeper was asked to tell the system of us */
	bool unsure;		     /* … and could not: what stands may be nothing */
	struct keep_dns_state state; /* as the keeper said last */
	char **suffixes;	     /* that the system was told */
	size_t n_suffixes, folded, n_wild;
	bool default_route;
	enum keep_dns_manager wish;
	struct net_addr
		thrown[KEEP_RESOLVERS_MAX]; /* former resolvers inside of our prefixes, told */
	size_t n_thrown;
	struct net_endpoint forwarders[DNS_FORWARDERS_MAX]; /* as the router was told */
	size_t n_forwarders;
	bool told_stub;	   /* that the only resolver is a program of this machine */
	char refusal[160]; /* why the keeper has refused the last wish */
	uint32_t caches
		[CACHES_KNOWN]; /* users whose queries are everybody's; 0: none of that name */
	bool told_uid;		/* that queries of a caching resolver count as everybody's */
};

struct daemon {
	const struct up_opts *opts;
	const char *name;
	enum daemon_phase phase;
	int status;	  /* exit status once stopping */
	bool on_terminal; /* stderr was one at the start */
	uint64_t start_ms;
	struct identity id;
	struct state_paths paths;
	struct plan plan;
	struct launch launch;

	struct loop *loop;
	struct runner *runner;
	struct ask *ask;
	struct run_svc svc;
	int (*resolve)(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg); /* the runner's, behind svc.svc.resolve */
	struct ws_ctx *ws;
	struct aws *aws;
	struct upstream *upstreams; /* RT_UPSTREAMS_MAX slots */
	struct rt *rt;
	struct ns *ns;
	struct tun *tun;
	struct net_addr own4, stack4, own6, stack6;
	struct net_prefix range4, range6; /* the device's addresses and fake ones */
	bool device6;			  /* the device has its IPv6 address */
	struct control *control;

	/* what stands in the kernel */
	bool engaged; /* the rules are those of the plan; before `up` is up system mode is held back */
	bool rules_stand;
	bool filter;	  /* keep_filter() */
	bool filter_told; /* that it can't be had */
	bool fail_closed; /* keep_note_fail_closed() */
	bool stays_closed; /* … and that is how we end: not asked to, so that rules and unreachable routes are left */
	bool keeper_died;
	struct tun_policy policy;
	struct collision *collisions; /* n_collisions of COLLISIONS_MAX */
	size_t n_collisions;
	struct endpoint endpoints[ENDPOINTS_MAX];
	size_t n_endpoints;
	struct names names;

	int keeper_fd, signal_fd, monitor_fd;
	int clone_fd; /* /dev/net/tun, opened as root; -1 once the device has it */
	loop_watch keeper_watch, signal_watch, monitor_watch, tun_watch;
	struct loop_timer start_timer, routes_timer, look_timer;
	uint64_t
		change_ms; /* of this machine's network: the first that was not looked at; 0: none */
	unsigned looks;	   /* for the resolvers of this machine, since its network has changed */
	char trouble[600]; /* why the last upstream could not be made; "" */
	uint8_t *packet;   /* one packet from the device */
};

/** daemon_run() - the daemon proper, already the caller; takes @runner_fd. Return: exit status */
int daemon_run(struct daemon *d, int runner_fd);

/** daemon_stop() - begin or hasten the end with exit status @status */
void daemon_stop(struct daemon *d, int status, const char *why);

/** daemon_config_load() - as `up` did. Return: as cfg_load(), and ST_ENOMEM; *@report is the caller's to free */
int daemon_config_load(struct daemon *d, struct config **out, struct cfg_report **report);

/* daemon_rules.c: what the router is told */
enum rt_action daemon_action_of(enum cfg_action a);
/** daemon_table_make() - the plan's rules and, behind them, what VPCs were found to reach and to be called. Return: 0 and *@out, whose rules
 * and names are the caller's; ST_ENOMEM; ST_EFULL */
int daemon_table_make(struct daemon *d, struct rt_table *out);
void daemon_table_free(struct rt_table *t);

/* daemon_net.c: device, addresses, policy rules, packets */
int daemon_net_open(struct daemon *d);
/** daemon_net_set_table() - takes @t: router, kernel routes and the system's suffixes follow it; what newly collides with this machine's
 * routes is told. Return: 0; ST_ENOMEM; as tun_routes_set(); the router has the new table in any case */
int daemon_net_set_table(struct daemon *d, const struct rt_table *t);
/** daemon_net_filter() - our nftables table as @c needs it. Return: 0; ST_EUNSUPPORTED: @c can't be served without it (told) */
int daemon_net_filter(struct daemon *d, const struct config *c);
/** daemon_net_policy() - policy rules, both tables and the journal as the plan needs them now. Return: 0; ST_E* (logged) */
int daemon_net_policy(struct daemon *d);
/** daemon_net_engage() - what system mode had to wait for: all that the plan says is in force now. Return: as daemon_net_policy() */
int daemon_net_engage(struct daemon *d);
void daemon_net_undo_rules(struct daemon *d);
void daemon_net_close(struct daemon *d);

#define LOCAL_ROUTES_MAX 4096U /* ours: routes of the main table that are looked at */

/* daemon_routes.c: tables 5373 and 5374 */
/** daemon_routes_apply() - makes them fit the rules and the machine's own routes, and tells what newly collides. Return: 0; ST_ENOMEM; as
 * tun_main_routes() and tun_routes_set() */
int daemon_routes_apply(struct daemon *d);

/* daemon_guard.c: what collides, told once */
struct guard_input {
	const struct config *config;
	struct net_prefix range; /* of our own and of fake addresses; family 0: not chosen yet */
	const struct rt_collision *rules; /* as rt_kernel_routes() found them */
	size_t n_rules;
	const struct tun_main_route *main_routes;
	size_t n_main;
};
/** daemon_guard_find() - Return: count */
size_t daemon_guard_find(struct collision out[COLLISIONS_MAX], const struct guard_input *in);
/** daemon_guard_text() - one line: where it is written, what collides, what was chosen */
void daemon_guard_text(char *out, size_t cap, const struct config *config,
		       const struct collision *c);
/** daemon_guard_tell() - logs those that are news, and remembers all */
void daemon_guard_tell(struct daemon *d, const struct guard_input *in);
/** daemon_guard_endpoint() - @host is one of our own: its addresses are compared with the rules, now and at each reload */
void daemon_guard_endpoint(struct daemon *d, const char *host);
void daemon_guard_endpoints_look(struct daemon *d);
void daemon_guard_free(struct daemon *d);

/* daemon_dns.c: names, and the system's resolver */
/** daemon_dns_watch_names() - from now on the router learns which hosts this process itself looks up */
void daemon_dns_watch_names(struct daemon *d);
/** daemon_dns_start() - the server in the stack, before the first packet. Return: as rt_dns_start() */
int daemon_dns_start(struct daemon *d);
/** daemon_dns_look() - the former resolvers as they are now. Return: true if they have changed */
bool daemon_dns_look(struct daemon *d);
/** daemon_dns_refresh() - who holds now what the system was told, which others may have undone; what follows is done by the loop's next turn */
void daemon_dns_refresh(struct daemon *d);
/** daemon_dns_doubt() - if nobody holds any more what the system was told, the next daemon_dns_set() tells it again */
void daemon_dns_doubt(struct daemon *d);
/** daemon_dns_set() - the system is told what the plan and @t need; nothing is done if that is as before. Return: 0;
 * ST_EUNSUPPORTED: not the manager that was asked for (told); as keep_dns_set() */
int daemon_dns_set(struct daemon *d, const struct rt_table *t);
/** daemon_dns_forwarders() - whom the router asks for the names that no rule has, as the plan and the keeper's word have it */
void daemon_dns_forwarders(struct daemon *d);
/** daemon_dns_tell_thrown() - former resolvers that a rule's prefix holds, once each */
void daemon_dns_tell_thrown(struct daemon *d);
/** daemon_dns_undo() - the system's resolver as it was before; never set is fine */
void daemon_dns_undo(struct daemon *d);
void daemon_dns_free(struct daemon *d);
enum rt_dns_mode daemon_dns_mode_of(const struct config *c);
/** daemon_manager_name() - "systemd-resolved", … */
const char *daemon_manager_name(enum keep_dns_manager m);

/* daemon_upstreams.c: configuration to accounts and upstreams */
int daemon_upstreams_new(struct daemon *d);
/** daemon_upstream_make() - fills the free slot @u; neither told to the router nor started. @may_ask: a passphrase may be asked for on the
 * terminal, which waits. Return: 0; ST_E* (logged), the slot is free again */
int daemon_upstream_make(struct daemon *d, struct upstream *u, const struct config *c,
			 const struct cfg_upstream *cfg, bool may_ask);
/** daemon_upstream_drop() - frees a slot's contents without a word to the far side */
void daemon_upstream_drop(struct upstream *u);
/** daemon_upstream_free_slot() - Return: a free slot; NULL: none */
struct upstream *daemon_upstream_free_slot(struct daemon *d);
/** daemon_upstream_tell_router() - slot, resolver and ipv6 as the plan has them now */
void daemon_upstream_tell_router(struct daemon *d, struct upstream *u);
/** daemon_upstream_drain() - no rule names it any more */
void daemon_upstream_drain(struct upstream *u);
struct upstream *daemon_upstream_at(struct daemon *d, size_t i); /* of the plan's i-th */
void daemon_upstreams_start(struct daemon *d);
void daemon_upstreams_stop(struct daemon *d);
void daemon_upstreams_free(struct daemon *d);

/* daemon_ready.c: what "up" means */
/** daemon_check_ready() - something that `up` waits for has changed: it may be up now, or have failed */
void daemon_check_ready(struct daemon *d);

/* daemon_vpc.c: rules "match: vpc" */
int daemon_vpcs_new(struct daemon *d); /* after the upstreams */
/** daemon_vpc_new() - a rule of @u, not asked for yet. Return: 0; ST_ENOMEM */
int daemon_vpc_new(struct upstream *u);
void daemon_vpc_free(struct upstream *u); /* before the upstream; none is fine */
/** daemon_vpc_upstream_up() - @u has a session: its VPC is asked for if it is not known, or if the session's instance is another one */
void daemon_vpc_upstream_up(struct upstream *u);
/** daemon_vpc_credentials_changed() - a question that has failed is asked again now */
void daemon_vpc_credentials_changed(struct upstream *u);
void daemon_vpcs_stop(struct daemon *d); /* no further question */

/* daemon_vpc_log.c: what changed, in one line each */
/** daemon_vpc_tell() - @now was found; @before: what was known until now, NULL: nothing */
void daemon_vpc_tell(const struct vpc_rule *v, const struct aws_vpc *before,
		     const struct aws_vpc *now);

/* daemon_reload.c */
/** daemon_reload() - the configuration anew. Return: the answer to {"cmd":"reload"}, also what SIGHUP logs */
json_t *daemon_reload(struct daemon *d);

/* daemon_status.c, daemon_status_net.c: the answer to {"cmd":"status"} */
json_t *daemon_status(struct daemon *d);
/** daemon_status_fit() - leaves lists out until the answer has @room bytes at most, and says so by "cut": true. The lists of one upstream
 * are bounded; with 64 of them and all their sessions they are too much together */
void daemon_status_fit(json_t *st, size_t room);
json_t *daemon_status_routes(const struct daemon *d);
json_t *daemon_status_dns(const struct daemon *d);
json_t *daemon_status_network(const struct daemon *d);

/* daemon_host.c: a plan of @c without anything behind it; d->upstreams is the caller's to free. Return: 0; ST_ENOMEM */
int daemon_host_stage(struct daemon *d, const struct config *c);

/* daemon_explain.c: the answer to {"cmd":"explain","host":…} */
json_t *daemon_explain(struct daemon *d, const json_t *request);

#endif
