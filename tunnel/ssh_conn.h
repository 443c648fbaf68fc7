// SPDX-License-Identifier: MIT
/*
 * ssh_conn.h - one SSH connection over bytes in and bytes out, with channels to addresses behind the far side
 *
 * No socket and no loop: the owner puts received bytes in, takes bytes to send out, and calls ssh_conn_pump() after either a kick
 * or input. Events come from ssh_conn_pump() only; in them every function is allowed but ssh_conn_free() and
 * ssh_conn_pump().
 */
#ifndef TUNNEL_SSH_CONN_H
#define TUNNEL_SSH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/svc.h"
#include "tunnel/ssh_hosts.h"
#include "tunnel/tunnel.h"

#define SSH_CONN_IN_MAX KIB(512)
#define SSH_CONN_OUT_MAX                                                                           \
	MIB(2) /* ours: channel data stops at TNL_SSH_OUT_HIGH, the rest is for window and open messages */
#define SSH_AGENT_TRIES 3U /* keys of an agent per connection; decision 16 */

struct ssh_conn;
struct ssh_chan;

enum ssh_conn_state { SSH_KEX, SSH_AUTH, SSH_READY, SSH_DEAD, SSH_CONN_STATE_N };

struct ssh_conn_events {
	void (*ready)(void *arg);
	/* the last event. @err: ST_EHOSTKEY, ST_EAUTH, ST_EPEER, ST_ECLOSED, ST_ESYS, ST_ENOMEM; @text: one line, made safe */
	void (*failed)(void *arg, int err, const char *text);
	/* something is to be pumped or sent: call ssh_conn_pump() and look at ssh_conn_out() soon, not from in here */
	void (*kick)(void *arg);
};

/* The agent key that worked last; kept by the upstream. */
struct ssh_auth_memo {
	uint8_t sha256[32];
	bool valid;
};

/* A key that is made valid for a log-in when that is due, and not before. */
struct ssh_key_source {
	/* Return: 0 and *@key, borrowed until refused() or the connection's end; ST_EAGAIN: kick the connection when there is
	 * news; ST_EAUTH with @text: there is none */
	int (*get)(void *arg, const struct tnl_key **key, char *text, size_t cap);
	/* sshd did not take it. Return: 0: get() may have another; ST_EAUTH with @text: it is over */
	int (*refused)(void *arg, char *text, size_t cap);
	void *arg;
};

struct ssh_conn_opts {
	const char *user;
	const char *target;		     /* the name in known_hosts and in messages */
	const struct tnl_key *key;	     /* NULL: agent keys */
	const struct ssh_key_source *source; /* instead of key and agent; may be NULL */
	bool agent;
	const struct svc *svc; /* for the agent; NULL: none */
	struct ssh_hosts hosts;
	struct ssh_auth_memo *memo; /* may be NULL */
	uint32_t chans_max;	    /* 0: TNL_CHANNELS_MAX */
	const struct ssh_conn_events *events;
	void *arg;
};

/** ssh_conn_new() - strings and pointers of @opts are borrowed for life. Return: 0; ST_ENOMEM; ST_ESYS */
int ssh_conn_new(struct ssh_conn **out, const struct ssh_conn_opts *opts);
/** ssh_conn_free() - channels left end without event; NULL is fine */
void ssh_conn_free(struct ssh_conn *c);

/** ssh_conn_input() - bytes from the peer, copied. Return: 0; ST_EAGAIN beyond SSH_CONN_IN_MAX: pump first */
int ssh_conn_input(struct ssh_conn *c, const void *p, size_t len);
/** ssh_conn_has_room() - half of SSH_CONN_IN_MAX is free: after ssh_conn_input() said ST_EAGAIN, not to be asked before */
bool ssh_conn_has_room(const struct ssh_conn *c);
/** ssh_conn_eof() - the peer's stream ended */
void ssh_conn_eof(struct ssh_conn *c);
void ssh_conn_pump(struct ssh_conn *c);
/** ssh_conn_out() - bytes to send, which the owner consumes */
struct buf *ssh_conn_out(struct ssh_conn *c);
/** ssh_conn_backlog() - bytes that the owner took and that still wait: they count against TNL_SSH_OUT_HIGH */
void ssh_conn_backlog(struct ssh_conn *c, size_t bytes);
/** ssh_conn_disconnect() - put SSH_MSG_DISCONNECT behind what waits; channels end without event */
void ssh_conn_disconnect(struct ssh_conn *c);

enum ssh_conn_state ssh_conn_state(const struct ssh_conn *c);
/** ssh_conn_chans() - channels that use one of the peer's descriptors: open, being opened, given up but not answered */
uint32_t ssh_conn_chans(const struct ssh_conn *c);
uint32_t ssh_conn_opens(const struct ssh_conn *c); /* those being opened */
/** ssh_conn_methods() - "curve25519-sha256 ssh-ed25519 aes128-ctr hmac-…" for the log; to @out */
void ssh_conn_methods(struct ssh_conn *c, char *out, size_t cap);

/* ---- channels ---- */

struct ssh_chan_events {
	void (*opened)(void *arg);
	void (*failed)(void *arg, enum tnl_open_failure why,
		       const char *text); /* the last event; the channel is gone */
	void (*readable)(void *arg);
	void (*writable)(void *arg);
	void (*gone)(void *arg); /* the last event; the channel is gone */
};

/** ssh_chan_open() - Return: 0 and *@out, valid until failed(), gone() or ssh_chan_close(); ST_EFULL; ST_ENOMEM; ST_ECLOSED */
int ssh_chan_open(struct ssh_conn *c, struct ssh_chan **out, const struct net_endpoint *dst,
		  const struct net_endpoint *src, const struct ssh_chan_events *events, void *arg);
/* As tnl_chan_*(). */
ssize_t ssh_chan_read(struct ssh_chan *ch, uint8_t *buf, size_t cap);
size_t ssh_chan_room(struct ssh_chan *ch);
int ssh_chan_write(struct ssh_chan *ch, const uint8_t *p, size_t len);
void ssh_chan_shutdown(struct ssh_chan *ch);
/** ssh_chan_close() - in any state; of a pending open the late answer is dealt with. No event follows. */
void ssh_chan_close(struct ssh_chan *ch);

#endif
