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
#include "daemon/daemon.h"
#include "daemon/identity.h"
#include "daemon/launch.h"
#include "daemon/state.h"
#include "netstack/netstack.h"
#include "router/router.h"
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

struct upstream {
	struct daemon *daemon;
	const struct cfg_upstream *cfg;
	struct aws_account *account;
	struct tnl_upstream *tnl;
	enum tnl_state state;
	bool stopped;
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
	const struct cfg_route *cfg;
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

struct daemon {
	const struct up_opts *opts;
	const char *name;
	enum daemon_phase phase;
	int status; /* exit status once stopping */
	uint64_t start_ms;
	struct identity id;
	struct state_paths paths;
	struct config *config;
	struct launch launch;

	struct loop *loop;
	struct runner *runner;
	struct ask *ask;
	struct run_svc svc;
	struct ws_ctx *ws;
	struct aws *aws;
	struct upstream *upstreams; /* config->n_upstreams of them */
	struct vpc_rule *vpcs;	    /* n_vpcs of them */
	size_t n_vpcs;
	struct rt *rt;
	struct ns *ns;
	struct tun *tun;
	struct net_addr own4, stack4, own6, stack6;
	struct control *control;

	int keeper_fd, signal_fd, monitor_fd;
	int clone_fd; /* /dev/net/tun, opened as root; -1 once the device has it */
	loop_watch keeper_watch, signal_watch, monitor_watch, tun_watch;
	struct loop_timer start_timer, routes_timer;
	uint8_t *packet; /* one packet from the device */
};

/** daemon_run() - the daemon proper, already the caller; takes @runner_fd. Return: exit status */
int daemon_run(struct daemon *d, int runner_fd);

/** daemon_stop() - begin or hasten the end with exit status @status */
void daemon_stop(struct daemon *d, int status, const char *why);

/* daemon_rules.c: what the router and the kernel are told */
enum rt_action daemon_action_of(enum cfg_action a);
/** daemon_rules_make() - the file's rules and, behind them, what VPCs were found to reach. Return: 0 and *@out; ST_ENOMEM */
int daemon_rules_make(struct daemon *d, struct rt_rules **out);

/* daemon_net.c: device, addresses, routes, rules, packets */
int daemon_net_open(struct daemon *d);
/** daemon_net_route() - the router alone takes @rules; the kernel's routes are made by daemon_net_open() */
void daemon_net_route(struct daemon *d, struct rt_rules *rules);
/** daemon_net_set_rules() - takes @rules: router and kernel routes follow them; what newly collides with this machine's routes is
 * told. Return: 0; ST_ENOMEM; as tun_routes_set(); the router has the new rules in any case */
int daemon_net_set_rules(struct daemon *d, struct rt_rules *rules);
void daemon_net_undo_rules(struct daemon *d);
void daemon_net_close(struct daemon *d);

/* daemon_upstreams.c: configuration to accounts and upstreams; what "up" means */
int daemon_upstreams_new(struct daemon *d);
void daemon_upstreams_start(struct daemon *d);
void daemon_upstreams_stop(struct daemon *d);
void daemon_upstreams_free(struct daemon *d);
/** daemon_check_ready() - something that `up` waits for has changed: it may be up now, or have failed */
void daemon_check_ready(struct daemon *d);

/* daemon_vpc.c: rules "match: vpc" */
int daemon_vpcs_new(struct daemon *d); /* after the upstreams */
/** daemon_vpc_upstream_up() - @u has a session: its VPC is asked for if it is not known, or if the session's instance is another one */
void daemon_vpc_upstream_up(struct upstream *u);
/** daemon_vpc_credentials_changed() - a question that has failed is asked again now */
void daemon_vpc_credentials_changed(struct upstream *u);
void daemon_vpcs_stop(struct daemon *d); /* no further question */
void daemon_vpcs_free(struct daemon *d); /* before the upstreams */

/* daemon_vpc_log.c: what changed, in one line each */
/** daemon_vpc_tell() - @now was found; @before: what was known until now, NULL: nothing */
void daemon_vpc_tell(const struct vpc_rule *v, const struct aws_vpc *before,
		     const struct aws_vpc *now);

/* daemon_status.c: the answer to {"cmd":"status"} */
json_t *daemon_status(struct daemon *d);

#endif
