// SPDX-License-Identifier: MIT
/*
 * tunnel.h - an upstream: a pool of sessions, each StartSession + WebSocket + SSM channel + SSH
 *
 * The only folder that includes libssh2, whose types stop here. A channel is one TCP connection made by the far side's sshd.
 * Opens run in parallel within a session and report why they failed (decision 5). Everything is asynchronous on the loop.
 */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"
#include "base/svc.h"
#include "ws/ws.h"

#define TNL_CHANNELS_MAX 800U /* per session: sshd's descriptors; decision 9 */
#define TNL_SESSIONS_MAX 12U  /* per upstream */
#define TNL_TARGETS_MAX 16U
#define TNL_OPENS_MAX 256U /* pending per upstream */
#define TNL_OPENS_PER_ADDRESS 128U
#define TNL_OPENS_PER_DEAD_ADDRESS 4U /* for an address whose last open ran out of its budget */
#define TNL_CONNECT_BUDGET_MS 10000U
/* SSH window of a channel at first; 256 KiB after 1 MiB; 32 KiB with more than 256 channels */
#define TNL_WINDOW_BYTES KIB(128)
/* SSH bytes of a session that wait for the SSM window; above it room is 0 */
#define TNL_SSH_OUT_HIGH KIB(256)
#define TNL_NEGATIVE_MS 60000U /* negative cache per destination */
/* Silence for so long: a ping; for as long again: the wire is dead and the session is resumed. So a path that lost its state without a
 * word (no RST) is noticed within 60 s, at once after a suspend of more. Ours; the stock agent pings every 54 s */
#define TNL_PING_MS 30000U
#define TNL_PROBE_MS                                                                               \
	5000U /* ours: the same when this machine's network has changed: another Wi-Fi, another address */

/* ---- SSH keys ---- */

struct tnl_key; /* a private key in locked memory, or the wish to use the agent */

/* Ask for the passphrase of @path on the terminal: NUL-terminated into @out. Return: 0; ST_ENOENT if there is no terminal;
 * ST_ECANCELED if the person broke off: it is not asked again */
typedef int tnl_ask_fn(void *arg, const char *path, char *out, size_t cap);
/**
 * tnl_key_load() - read and check the private key file @path now, so that a wrong one is told before anything starts
 * @agent: an agent may hold it (an encrypted file is then no error without a terminal)
 * Return: 0; ST_ENOENT, ST_EPERM, ST_EFORMAT, ST_EAUTH (wrong passphrase, or no terminal to ask: @text names ssh-add),
 * ST_ECANCELED (as @ask). @text: one line for the user.
 */
int tnl_key_load(struct tnl_key **out, const char *path, bool agent, tnl_ask_fn *ask, void *arg,
		 char *text, size_t cap);
void tnl_key_free(struct tnl_key *k); /* wiped; NULL is fine */

/** tnl_agent_job() - the SVC_SSH_AGENT job that run_fork() registers: talks to the socket named by SSH_AUTH_SOCK in the runner's child;
 * signature of run_job_fn */
int tnl_agent_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);

/* ---- upstreams ---- */

enum tnl_host_key { TNL_HOST_KEY_ACCEPT_NEW, TNL_HOST_KEY_STRICT, TNL_HOST_KEY_PINNED };

enum tnl_state {
	TNL_DOWN,     /* no session, none being started */
	TNL_STARTING, /* no session yet, at least one on its way */
	TNL_UP, /* at least one session carries flows, or did and is being resumed: its flows pause */
	TNL_WAITING, /* a person must act (login, key): tnl_status says what; paused flows stay */
	TNL_FAILED, /* the first start failed for good: unknown target, wrong key, denied, bad host key */
	TNL_STATE_N
};
/** tnl_state_name() - for people: "waiting for login" */
const char *tnl_state_name(enum tnl_state s);

struct tnl_upstream;

struct tnl_events {
	/* the upstream's state changed; @err and @text (one line with what to do, made safe) tell why for TNL_WAITING, TNL_FAILED and a lost session */
	void (*state)(void *arg, struct tnl_upstream *u, enum tnl_state s, int err,
		      const char *text);
};

struct tnl_opts {
	const char *name;
	const char *const *targets; /* as base/aws_target.h has them; failover order, @n_targets */
	size_t n_targets;
	struct aws_account *account;
	const char *document, *reason, *data_endpoint,
		*ca_bundle; /* reason, data_endpoint, ca_bundle may be NULL */
	const char *ssh_user;
	uint16_t ssh_port;
	struct tnl_key *key; /* takes; NULL: agent keys */
	bool agent;	     /* SSH_AUTH_SOCK is set */
	bool instance_connect; /* a pair of our own, pushed by EC2 Instance Connect, is the only key; @key is NULL */
	enum tnl_host_key host_key;
	const char *fingerprint;      /* TNL_HOST_KEY_PINNED */
	const char *known_hosts;      /* our own file, read and written */
	const char *user_known_hosts; /* ~/.ssh/known_hosts: read only; NULL: none */
	uint32_t sessions_min, sessions_max;
	uint32_t pace_per_s; /* 0: unlimited */
	bool pace_default; /* decision 7's default: paced toward a service that announced no MaxPayloadBytes */
	uint32_t connect_budget_ms, opens_max;
	uint32_t ping_ms; /* 0: TNL_PING_MS */
	uint32_t mark;	  /* SO_MARK of our sockets, 0: none */
	const struct tnl_events *events;
	void *arg;
};

/** tnl_upstream_new() - strings are copied. Return: 0; ST_ENOMEM; ST_EINVAL */
int tnl_upstream_new(struct tnl_upstream **out, struct loop *loop, struct ws_ctx *ws,
		     struct aws *aws, const struct svc *svc, const struct tnl_opts *opts);
/** tnl_upstream_start() - start sessions_min sessions and keep them; state events follow */
void tnl_upstream_start(struct tnl_upstream *u);
/** tnl_upstream_hurry() - the network of this machine has changed: sessions that wait for the next try to resume try now, those
 * whose wire is up find out within TNL_PROBE_MS whether it still is */
void tnl_upstream_hurry(struct tnl_upstream *u);
/** tnl_upstream_retry_login() - somebody may have logged in, or given new keys: whatever waits for a person tries now, not at its next
 * look a few seconds later; nothing else is moved. From the loop, not from inside one of its events */
void tnl_upstream_retry_login(struct tnl_upstream *u);
/** tnl_upstream_stop() - reset all channels, end the SSH sessions, send TerminateSession, call the TerminateSession API; @stopped once, when all is
 * said or after 3 s */
void tnl_upstream_stop(struct tnl_upstream *u, loop_fn *stopped, void *arg);
/** tnl_upstream_free() - drops what is left, without events; not from inside one of its events but @stopped */
void tnl_upstream_free(struct tnl_upstream *u);

/* ---- channels ---- */

typedef handle tnl_chan; /* stale handles are harmless */

/* Why an open failed; what the application sees is the router's choice (decision 5). */
enum tnl_open_failure {
	TNL_OPEN_REFUSED, /* the target refused the connection */
	TNL_OPEN_HOST_UNREACHABLE,
	TNL_OPEN_NET_UNREACHABLE,
	TNL_OPEN_PROHIBITED, /* sshd does not permit it */
	TNL_OPEN_TIMEOUT, /* the connect budget ended, or the negative cache knows the destination */
	TNL_OPEN_NO_SESSION, /* no session came up within the budget */
	TNL_OPEN_LIMIT,	     /* too many pending opens: the SYN is dropped, the kernel repeats it */
	TNL_OPEN_FAILED,     /* sshd said something else: RST */
};

struct tnl_chan_events {
	void (*opened)(void *arg, tnl_chan c);
	void (*failed)(void *arg, tnl_chan c, enum tnl_open_failure why,
		       const char *text);	 /* the last event */
	void (*readable)(void *arg, tnl_chan c); /* bytes or EOF wait for tnl_chan_read() */
	void (*writable)(void *arg, tnl_chan c); /* tnl_chan_room() is no longer 0 */
	void (*gone)(
		void *arg,
		tnl_chan
			c); /* closed by the far side without EOF both ways, or its session was lost: reset the flow; the last event */
};

/** tnl_open() - connect the far side to @dst for an application at @src; held up to the connect budget while sessions come up; stands still while the
 * upstream waits for a person. Return: 0 and *@out; events follow from the loop. ST_ENOMEM */
int tnl_open(struct tnl_upstream *u, tnl_chan *out, const struct net_endpoint *dst,
	     const struct net_endpoint *src, const struct tnl_chan_events *events, void *arg);

/* As ns_conn_*: read returns bytes, 0 for EOF, ST_EAGAIN, ST_ECLOSED; write takes all of @len <= room. */
ssize_t tnl_chan_read(struct tnl_upstream *u, tnl_chan c, uint8_t *buf, size_t cap);
size_t tnl_chan_room(struct tnl_upstream *u, tnl_chan c);
int tnl_chan_write(struct tnl_upstream *u, tnl_chan c, const uint8_t *p, size_t len);
void tnl_chan_shutdown(struct tnl_upstream *u, tnl_chan c); /* EOF; reading goes on */
/** tnl_chan_close() - done with it, in any state; the handle is stale afterwards and no event follows */
void tnl_chan_close(struct tnl_upstream *u, tnl_chan c);

/* ---- status ---- */

struct tnl_session_status {
	char session_id[97]; /* foreign text made safe */
	char target[256];    /* "tag:Name=bastion (i-0abc…)"; made safe */
	const char *
		state; /* "ws-opening", "handshake", "ssh-auth", "ready", "resuming", "waiting-for-login", … */
	uint64_t age_ms;
	uint64_t paused_ms; /* since its WebSocket was lost; 0: it is up */
	uint32_t channels, pending_opens;
	uint32_t rtt_us;
	uint32_t max_payload;
	uint64_t bytes_in, bytes_out, messages_in, messages_out, resent;
};
struct tnl_status {
	enum tnl_state state;
	int last_err;
	char last_text[512]; /* the last failure, "" if none */
	uint32_t sessions, sessions_min, sessions_max, channels, pending_opens;
	struct tnl_session_status session[TNL_SESSIONS_MAX];
};
void tnl_upstream_status(struct tnl_upstream *u, struct tnl_status *out);
/** tnl_upstream_target() - the id of the instance that StartSession took last for one of the upstream's sessions; NULL: none yet.
 * *@region (may be NULL): of it; "": the account's. Both are valid until the loop goes on */
const char *tnl_upstream_target(const struct tnl_upstream *u, const char **region);

#endif
