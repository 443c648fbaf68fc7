// SPDX-License-Identifier: MIT
/* tnl_internal.h - what the files of an upstream share: the upstream itself, its sessions and its channels */
#ifndef TUNNEL_TNL_INTERNAL_H
#define TUNNEL_TNL_INTERNAL_H

#include "base/list.h"
#include "base/text.h"
#include "tunnel/ssh_conn.h"
#include "tunnel/tnl_target.h"
#include "tunnel/tunnel.h"

#define TNL_TEXT_MAX 2048U /* an error's line: what the service said and what to do */
#define TNL_NEGATIVES 512U /* ours: destinations in the negative cache */
#define TNL_LOGINS_MAX 4U  /* sessions on their way at once; decision 9 */

/* Why something of the tunnel failed. */
struct tnl_fault {
	int err;
	bool for_good;	  /* the same attempt will fail again unless something is changed */
	bool person;	  /* waits for a person: credentials */
	bool over;	  /* the service's own word: this session can't be resumed */
	bool login;	  /* sshd took none of the keys: the next probe comes late */
	const char *text; /* one line, made safe, with what to do; borrowed until return */
};

struct tnl_eic;
struct tnl_session;

/* One application connection. */
enum tnl_chan_state {
	TNL_CHAN_HELD,	  /* waits for a session */
	TNL_CHAN_OPENING, /* CHANNEL_OPEN is on its way */
	TNL_CHAN_OPEN,
	TNL_CHAN_FAILED, /* failed() is due in the next turn */
};

struct chan {
	struct list_node
		node; /* in u->pending (held, opening), u->failed or its session's list (open) */
	struct tnl_upstream *u;
	struct tnl_session *s; /* opening, open */
	struct ssh_chan *ssh;  /* the same */
	handle h;
	enum tnl_chan_state state;
	const struct tnl_chan_events *events;
	void *arg;
	struct net_endpoint dst, src;
	uint64_t deadline_ms, give_up_ms; /* of the budget; of a budget that stands still */
	uint64_t left_ms;		  /* of the budget, while the upstream waits for a person */
	enum tnl_open_failure why;
	char text[128];
};

struct negative {
	struct net_endpoint dst;
	uint64_t until_ms;
	bool address_dead; /* nothing of that address answered since */
};

struct tnl_upstream {
	struct loop *loop;
	struct ws_ctx *ws;
	struct aws *aws;
	const struct svc *svc;
	struct tnl_opts o;			    /* strings are ours */
	struct tnl_target targets[TNL_TARGETS_MAX]; /* their texts are ours */
	struct tnl_found last_found; /* of the session that was started last; id "": none yet */
	struct ssh_auth_memo memo;
	struct tnl_eic *eic; /* with instance_connect; else NULL */

	/* tnl_upstream.c */
	enum tnl_state state;
	bool started, stopping, was_up;
	int last_err;
	char last_text[TNL_TEXT_MAX];
	struct list sessions; /* on their way, ready, or ready and paused */
	struct list dying;    /* ending in good order, or waiting for the reaper */
	uint32_t n_sessions, n_ready;
	size_t target_at;
	uint32_t round_fails, round_for_good; /* of attempts since one succeeded */
	uint32_t rounds; /* of attempts since a session was stable: the back-off's exponent */
	uint64_t last_ready_ms;
	uint32_t want; /* sessions that should be there */
	struct loop_timer retry, stop_timer;
	struct loop_task reap;
	loop_fn *stopped;
	void *stopped_arg;

	/* tnl_opens.c */
	struct hnd_table chans;
	struct list pending, failed;
	uint32_t n_pending;
	struct loop_timer budget;
	struct loop_task tell_failed;
	struct negative negative[TNL_NEGATIVES];
	size_t negative_at; /* next to be overwritten */
};

/* ---- tnl_opens.c ---- */
void tnl_opens_init(struct tnl_upstream *u);
void tnl_opens_fini(struct tnl_upstream *u);
/** tnl_opens_place() - give held opens to sessions that have room */
void tnl_opens_place(struct tnl_upstream *u);
/** tnl_opens_wait() - the upstream begins (true) or ends waiting for a person: budgets stand still meanwhile */
void tnl_opens_wait(struct tnl_upstream *u, bool waiting);
/** tnl_opens_lost() - @s is lost: its open channels get gone(), those being opened are held again */
void tnl_opens_lost(struct tnl_upstream *u, struct tnl_session *s);
/** tnl_opens_reset() - all channels end: gone() or failed() */
void tnl_opens_reset(struct tnl_upstream *u);

/* ---- tnl_session.c ---- */
int tnl_session_new(struct tnl_session **out, struct tnl_upstream *u, struct tnl_target *target);
/** tnl_session_free() - at once, without events */
void tnl_session_free(struct tnl_session *s);
/** tnl_session_close() - end it in good order; tnl_upstream_session_done() follows */
void tnl_session_close(struct tnl_session *s);
struct ssh_conn *tnl_session_ssh(struct tnl_session *s);
bool tnl_session_is_done(const struct tnl_session *s);
/** tnl_session_load() - channels, for placing: fewer is better; UINT32_MAX takes none now (paused, full, not ready) */
uint32_t tnl_session_load(const struct tnl_session *s);
/** tnl_session_carries() - ready, and its wire is up */
bool tnl_session_carries(const struct tnl_session *s);
/** tnl_session_is_paused() - it was ready and its wire is down: its flows wait for ResumeSession */
bool tnl_session_is_paused(const struct tnl_session *s);
/** tnl_session_waits() - it is paused because a person must act first */
bool tnl_session_waits(const struct tnl_session *s);
/** tnl_session_hurry() - the network has changed: if it waits for its next try, that comes soon; a wire that is up is probed */
void tnl_session_hurry(struct tnl_session *s);
/** tnl_session_retry_login() - if it waits for a person it tries now */
void tnl_session_retry_login(struct tnl_session *s);
/** tnl_session_answers() - is the far side there: its wire is up, and what was sent is acknowledged or it spoke just now */
bool tnl_session_answers(const struct tnl_session *s);
/** tnl_session_is_short() - sshd said "resource shortage": place nothing more there for a while */
void tnl_session_is_short(struct tnl_session *s);
struct list *tnl_session_chans(struct tnl_session *s); /* of struct chan, open */
void tnl_session_status_get(struct tnl_session *s, struct tnl_session_status *out);
struct list_node *tnl_session_node(struct tnl_session *s);
struct tnl_session *tnl_session_of(struct list_node *node);

/* ---- tnl_upstream.c: what sessions report ---- */
void tnl_upstream_session_ready(struct tnl_upstream *u, struct tnl_session *s);
/** tnl_upstream_session_lost() - it will never be ready, or is no longer; it ends by itself */
void tnl_upstream_session_lost(struct tnl_upstream *u, struct tnl_session *s, bool was_ready,
			       const struct tnl_fault *f);
/** tnl_upstream_session_paused() - a session's wire was lost or could not be had again, for @f; it is tried again */
void tnl_upstream_session_paused(struct tnl_upstream *u, const struct tnl_fault *f);
/** tnl_upstream_session_resumed() - a wire is back */
void tnl_upstream_session_resumed(struct tnl_upstream *u);
void tnl_upstream_session_done(struct tnl_upstream *u, struct tnl_session *s);
/** tnl_upstream_grow() - flows starve: one session more, up to sessions_max */
void tnl_upstream_grow(struct tnl_upstream *u);

#endif
