// SPDX-License-Identifier: MIT
/*
 * fakesvc.h - the service and the agent in one: StartSession over plain HTTP, a WebSocket, the agent's end of the SSM
 * channel, and TCP to a port, all on the test's loop
 */
#ifndef TESTS_TUNNEL_FAKESVC_H
#define TESTS_TUNNEL_FAKESVC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/svc.h"
#include "ws/ws.h"

struct fakesvc;

/* A call that is none of SSM's sessions; fakesvc_reply() answers it, at once. */
struct fakesvc_call {
	struct fakesvc *f;
	ws_req r;
	const char *op;	    /* behind the dot of X-Amz-Target; of a form: its Action */
	const char *region; /* of the credential scope */
	const char *body;   /* NUL-terminated */
};

struct fakesvc_conf {
	uint16_t ssh_port;	/* where the agent connects; 0: it never does and is silent */
	const char *bad_target; /* answered TargetNotConnected; NULL: none */
	const char *no_target;	/* answered InvalidInstanceId */
	bool no_resume;		/* ResumeSession gives no token */
	bool agent_deaf;	/* no handshake */
	bool closes_sockets;	/* at their open message */
	bool portal;	 /* ResumeSession is answered by somebody else: HTTP 403 and a page */
	bool expired;	 /* every call is answered ExpiredTokenException */
	bool terminated; /* ResumeSession is answered by an error: already terminated */
	bool repeat_down,
		repeat_up; /* the agent repeats the next bytes that it relays, once (ssm-protocol, 4.3) */
	uint32_t max_payload; /* 0: not announced */
	const char *
		stream_at; /* "host:port" that stream URLs have; NULL: where the sockets really are */
	const char *kms_key_id; /* the agent wants its sessions encrypted; NULL: no */
	/* what is not played here; NULL: there is no such call */
	void (*other)(const struct fakesvc_call *c);
};

struct fakesvc_counts {
	uint32_t start, resume, terminate, sockets, flags,
		calls; /* calls; sockets with a good open message; TerminateSession flags; all calls */
};

void fakesvc_reply(const struct fakesvc_call *c, int status, const char *text);
/** fakesvc_scope() - region of the last StartSession, ResumeSession or TerminateSession: what the signature says */
const char *fakesvc_scope(const struct fakesvc *f);
/** fakesvc_target() - of the last StartSession */
const char *fakesvc_target(const struct fakesvc *f);
/* A data key as this KMS encrypts it; the agent gets it back. */
void fakesvc_encrypt(uint8_t out[64], const uint8_t key[64]);

void fakesvc_start(struct fakesvc **out, struct loop *loop, struct ws_ctx *ws,
		   const struct fakesvc_conf *conf);
void fakesvc_stop(struct fakesvc *f);
void fakesvc_conf_set(struct fakesvc *f, const struct fakesvc_conf *conf);
uint16_t fakesvc_port(const struct fakesvc *f);
struct fakesvc_counts fakesvc_counts(const struct fakesvc *f);
void fakesvc_cut(struct fakesvc *f);	   /* drops all sockets */
void fakesvc_cut_first(struct fakesvc *f); /* drops that of the oldest session */
void fakesvc_mute(
	struct fakesvc *f); /* reads no socket of now any more: they stay open and silent */
void fakesvc_close(struct fakesvc *f, const char *output); /* channel_closed to all */

/** fakesvc_host() - the Host header of the last socket */
const char *fakesvc_host(const struct fakesvc *f);
/** fakesvc_svc() - resolves literal addresses and names below .local.test (127.0.0.1), and runs jobs, in the next turn */
const struct svc *fakesvc_svc(struct fakesvc *f);

#endif
