// SPDX-License-Identifier: MIT
/* ssh_internal.h - what ssh_conn.c, ssh_auth.c and ssh_chan.c share of one connection */
#ifndef TUNNEL_SSH_INTERNAL_H
#define TUNNEL_SSH_INTERNAL_H

#include "base/codec.h"
#include "tunnel/ssh_agent.h"
#include "tunnel/ssh_conn.h"
#include "tunnel/ssh_key.h"
#include "tunnel/ssh_open.h"

#define SSH_TRIED_MAX 400U /* text */
#define SSH_CANDIDATES (SSH_AGENT_TRIES + 1U)

/* A key that will be tried. */
struct ssh_candidate {
	uint8_t *blob; /* owned; NULL for a file whose public half is unknown */
	size_t blob_len;
	bool by_agent;
};

enum ssh_auth_step { SSH_AUTH_LIST, SSH_AUTH_TRY, SSH_AUTH_DONE };

struct ssh_auth {
	enum ssh_auth_step step;
	struct ssh_candidate cand[SSH_CANDIDATES];
	size_t n, at;
	const struct tnl_key *key; /* of the file or of the source; NULL: none */
	handle job;		   /* request to the agent under way; 0: none */
	/* the signature asked for: 0 not yet, 1 asked, 2 answered */
	enum { SSH_SIGN_IDLE, SSH_SIGN_ASKED, SSH_SIGN_ANSWERED } sign;
	int sign_err;
	struct buf answer;	   /* of the agent */
	bool agent_down;	   /* it could not be asked */
	char tried[SSH_TRIED_MAX]; /* for the message: "ssh-ed25519 SHA256:… (agent), …" */
};

struct ssh_conn {
	struct ssh_conn_opts o;
	enum ssh_conn_state state;
	LIBSSH2_SESSION *s;
	int dummy_fd; /* libssh2 wants a descriptor, and never uses it */
	struct buf in, out;
	uint32_t pumps; /* since the last sweep */
	size_t backlog;
	bool eof, pumping, prefer_set;
	struct ssh_auth auth;
	struct list chans;	  /* opening, open */
	struct list closing;	  /* closed by us, the library not yet done; and zombies */
	struct list_node *cursor; /* next channel of a pass; moves on when that one goes */
	struct ssh_chan *current; /* of a pass; NULL when it went */
	bool broken;	  /* the transport failed inside a channel call; the next pump tells */
	uint32_t n_chans; /* of both lists */
	uint32_t n_opening;
	uint32_t n_zombies;
	char peer_words[160]; /* SSH_MSG_DISCONNECT's description, made safe */
};

enum ssh_chan_phase {
	SSH_CHAN_QUEUED,  /* CHANNEL_OPEN could not be sent yet: keys are exchanged */
	SSH_CHAN_OPENING, /* sent */
	SSH_CHAN_OPEN,
	SSH_CHAN_ZOMBIE, /* given up while opening: a confirmation is answered with CHANNEL_CLOSE */
	SSH_CHAN_CLOSING, /* libssh2_channel_free() returned EAGAIN */
};

struct ssh_chan {
	struct list_node node;
	struct ssh_conn *conn;
	LIBSSH2_CHANNEL *lib; /* NULL while queued */
	enum ssh_chan_phase phase;
	const struct ssh_chan_events *events;
	void *arg;
	struct net_endpoint dst, src;
	struct buf stash; /* accepted while keys are exchanged */
	bool want_eof;	  /* after the stash */
	bool eof_sent;
	bool read_armed;  /* readable() is due when something comes */
	bool write_armed; /* writable() is due when there is room */
	bool window_grown;
	uint64_t moved; /* bytes received */
};

/** ssh_conn_fail() - once; the event comes from the running or the next pump */
void ssh_conn_fail(struct ssh_conn *c, int err, const char *fmt, ...) ST_PRINTF(3, 4);
/** ssh_conn_last() - the library's last error, made safe */
struct text_safe ssh_conn_last(struct ssh_conn *c);

/** ssh_auth_run() - one step of the log-in. Return: 0 logged in; ST_EAGAIN; ST_EAUTH or other with @text */
int ssh_auth_run(struct ssh_conn *c, char *text, size_t cap);
void ssh_auth_fini(struct ssh_conn *c);

/** ssh_chans_pump() - deliver answers, flush stashes, signal events */
void ssh_chans_pump(struct ssh_conn *c);
/** ssh_chans_free() - all of them without event */
void ssh_chans_free(struct ssh_conn *c);

#endif
