// SPDX-License-Identifier: MIT
/* tnl_session_internal.h - one session, for tnl_session.c (stages and events) and tnl_session_io.c (bytes) only */
#ifndef TUNNEL_TNL_SESSION_INTERNAL_H
#define TUNNEL_TNL_SESSION_INTERNAL_H

#include "proto/ssm_chan.h"
#include "tunnel/tnl_eic.h"
#include "tunnel/tnl_resume.h"
#include "tunnel/tnl_wire.h"

enum stage {
	SES_CONNECTING,
	SES_HANDSHAKE,
	SES_KEX,
	SES_AUTH,
	SES_READY,
	SES_CLOSING,
	SES_DONE,
	SES_STAGE_N
};

struct tnl_session {
	struct list_node node;
	struct tnl_upstream *u;
	const char *target; /* for people: the wire's label; made safe */
	enum stage stage;
	struct tnl_wire *wire;
	struct ssm_chan *ssm;
	struct ssh_conn *ssh;
	struct list chans;
	struct loop_timer limit, ssm_timer, resume_timer;
	struct loop_task flush;
	uint64_t born_ms, short_until_ms;
	struct tnl_resume resume; /* from KEX on; the wire is down as long as it says so */
	bool waits;		  /* for a person, before it can be resumed */
	uint64_t heard_ms;	  /* when a message came last */
	uint32_t max_payload;
	bool own_gateway;	    /* it announced its max_payload */
	struct tnl_eic_login login; /* with instance_connect, from KEX on */
	aws_call data_key;	    /* GenerateDataKey under way */
	uint64_t kex_since_ms;
	bool sshd_spoke;    /* bytes came out of the port */
	bool input_refused; /* data() said EAGAIN */
	bool pump_due;
	bool was_high; /* more than half of TNL_SSH_OUT_HIGH waited, and channels were not told since that it fell */
	bool ended; /* the farewell was said */
	bool wire_closed;
	aws_call terminate;
};

/** tnl_session_stage_set() - the one place that moves the stage */
void tnl_session_stage_set(struct tnl_session *s, enum stage next, const char *why);

/** tnl_session_done() - from closing: nothing is left to say */
void tnl_session_done(struct tnl_session *s);

/** tnl_session_stage_limit() - the stage's limit begins anew */
void tnl_session_stage_limit(struct tnl_session *s);
/** tnl_session_lost() - the session is over for @f, unless it is already; it ends in good order by itself */
void tnl_session_lost(struct tnl_session *s, const struct tnl_fault *f);

/* ---- tnl_kms.c: the data key of a session that the account's preferences have encrypted ---- */
/** tnl_kms_ask() - answers key_wanted(): the channel goes on, or the session is lost; the stage's limit stands still meanwhile */
void tnl_kms_ask(struct tnl_session *s, const struct ssm_key_wanted *w);
void tnl_kms_cancel(struct tnl_session *s);

/* ---- tnl_session_io.c ---- */
/** tnl_session_io_init() - timer and task */
void tnl_session_io_init(struct tnl_session *s);
void tnl_session_io_fini(struct tnl_session *s);
/** tnl_session_kick() - move bytes at the end of this turn */
void tnl_session_kick(struct tnl_session *s);

#endif
