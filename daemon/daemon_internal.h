// SPDX-License-Identifier: MIT
/* daemon_internal.h - the daemon's one struct, for its own files only */
#ifndef DAEMON_DAEMON_INTERNAL_H
#define DAEMON_DAEMON_INTERNAL_H

#include <jansson.h>

#include "aws/aws.h"
#include "base/loop.h"
#include "base/svc.h"
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
	struct svc svc;
	struct ws_ctx *ws;
	struct aws *aws;
	struct upstream *upstreams; /* config->n_upstreams of them */
	struct tnl_upstream **tnl;  /* the same, for the router */
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

/* daemon_net.c: device, addresses, routes, rules, packets */
int daemon_net_open(struct daemon *d);
void daemon_net_undo_rules(struct daemon *d);
void daemon_net_close(struct daemon *d);

/* daemon_upstreams.c: configuration to accounts and upstreams; what "up" means */
int daemon_upstreams_new(struct daemon *d);
void daemon_upstreams_start(struct daemon *d);
void daemon_upstreams_stop(struct daemon *d);
void daemon_upstreams_free(struct daemon *d);

/* daemon_status.c: the answer to {"cmd":"status"} */
json_t *daemon_status(struct daemon *d);

#endif
