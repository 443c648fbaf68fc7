// SPDX-License-Identifier: MIT
/*
 * ssm_chan.h - one end of a Session Manager data channel, without I/O and without a clock
 *
 * Whole WebSocket messages and times in; whole messages, events and a deadline out. The owner puts
 * messages from ssm_chan_next_output() on the socket, feeds received ones to ssm_chan_input(), and
 * calls ssm_chan_expire() when the deadline has come. All times are µs of one monotonic clock.
 */
#ifndef PROTO_SSM_CHAN_H
#define PROTO_SSM_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "proto/ssm_crypt.h"
#include "proto/ssm_msg.h"

#define SSM_TIME_NEVER UINT64_MAX

/* Limits; design, section 8 and decision 7 */
#define SSM_REORDER_MSGS 10000U
#define SSM_REORDER_BYTES MIB(8)
#define SSM_WINDOW_START KIB(64)
#define SSM_WINDOW_MAX_FOREIGN KIB(256) /* the largest known stable on AWS */
#define SSM_WINDOW_MAX_OWN MIB(4)
#define SSM_SEND_QUEUE_MAX                                                                         \
	MIB(1)		/* ours: payload bytes accepted by ssm_chan_send() beyond the window */
#define SSM_CHUNK 1024U /* payload bytes of a message unless the service announced more */

enum ssm_role { SSM_ROLE_CLIENT, SSM_ROLE_AGENT };

enum ssm_chan_state {
	SSM_CHAN_HANDSHAKE, /* waiting for the peer's handshake messages; data is held */
	SSM_CHAN_READY,	    /* data flows */
	SSM_CHAN_CLOSED,    /* over; ssm_chan_close_reason() tells why */
	SSM_CHAN_STATE_N
};

/* A session is to be encrypted and its data key of SSM_DATA_KEY_LEN bytes is wanted from KMS; ssm-protocol, 5.5. The
 * encryption context holds aws:ssm:SessionId, aws:ssm:TargetId and, if there is a challenge, aws:ssm:RandomChallenge. */
struct ssm_key_wanted {
	const char *key_id;    /* foreign text in the client role */
	const char *challenge; /* base64 text as it goes into the context; NULL: none */
	/* agent role: what KMS Decrypt is to decrypt; client role: NULL, GenerateDataKey makes one */
	const uint8_t *cipher_key;
	size_t cipher_len;
};

/* What the channel tells its owner. Callbacks run inside ssm_chan_input(), ssm_chan_resume_input(), ssm_chan_key(),
 * ssm_chan_key_failed() and ssm_chan_expire(), ready() of an agent whose session has no handshake inside the first
 * ssm_chan_transport_up(), writable() also at the start of ssm_chan_next_output(), before a message is picked; they may
 * call any ssm_chan function but ssm_chan_free() and ssm_chan_input(). A callback that is NULL is not called. */
struct ssm_chan_events {
	/* the handshake is complete: @customer_message is foreign text or "" */
	void (*ready)(void *arg, const char *customer_message);
	/* once, during the handshake: ssm_chan_key() or ssm_chan_key_failed() answers, at once or later; @w is borrowed until
	 * return. A client without it refuses encrypted sessions. */
	void (*key_wanted)(void *arg, const struct ssm_key_wanted *w);
	/* stream payload in order; borrowed until return. Return: 0 taken (it is acknowledged); ST_EAGAIN not now:
	 * it stays unacknowledged and is offered again on ssm_chan_resume_input() or the peer's retransmission;
	 * another ST_E*: the channel closes with it. Every payload type but the handshake's comes here */
	int (*data)(void *arg, uint32_t payload_type, const uint8_t *p, size_t len);
	/* room for ssm_chan_send() again after it returned less than asked */
	void (*writable)(void *arg);
	/* the session is over (channel_closed from the service, flag 2 from the peer, handshake refused or timed
	 * out, retransmission given up): @err ST_ECLOSED, ST_ETIMEOUT, ST_EPEER…; @reason is foreign text or "" */
	void (*closed)(void *arg, int err, const char *reason);
};

struct ssm_chan_opts {
	enum ssm_role role;
	uint64_t now_us;
	uint64_t unix_ms;	    /* wall clock at now_us, for CreatedDate */
	const char *session_id;	    /* borrowed until return */
	const char *client_version; /* four parts above 1.2.331.0; NULL: ours */
	const char *agent_version;  /* agent role; NULL: ours */
	/* agent role: the handshake's SessionType ("Port") and Properties as JSON text ({"portNumber":"22"}). Shells
	 * (Standard_Stream, InteractiveCommands) have no handshake unless they are encrypted. */
	const char *session_type;
	const char *properties_json;
	const char *kms_key_id; /* agent role: encrypt with a data key of this KMS key; NULL: no */
	uint32_t max_payload; /* bytes of a stream message; 0: SSM_CHUNK; at most SSM_PAYLOAD_MAX */
	size_t window_max;    /* bytes in flight; 0: SSM_WINDOW_MAX_FOREIGN */
	uint32_t pace_per_s; /* messages a second toward the service, acks included; 0: unlimited */
	uint64_t handshake_timeout_us; /* of each of its steps; 0: 15 s */
	/* 16 random bytes for a message id; NULL: codec_uuid4. A simulation passes a seeded one. */
	void (*uuid)(void *arg, uint8_t out[CODEC_UUID_LEN]);
	const struct ssm_chan_events *events; /* borrowed for life */
	void *arg;
};

struct ssm_chan;

/** ssm_chan_new() - Return: 0 and *@out; ST_ENOMEM; ST_EINVAL for options out of their bounds */
int ssm_chan_new(struct ssm_chan **out, const struct ssm_chan_opts *opts);
void ssm_chan_free(struct ssm_chan *c);

enum ssm_chan_state ssm_chan_state(const struct ssm_chan *c);
/** ssm_chan_close_reason() - Return: the ST_E* that closed() got, 0 while it is not closed; *@reason (may be NULL): its
 * foreign text or "", valid as long as @c */
int ssm_chan_close_reason(const struct ssm_chan *c, const char **reason);

/**
 * ssm_chan_input() - one whole WebSocket message arrived
 * Return: 0, also for what is ignored; ST_E* of ssm_msg_decode() or ssm_ack_read() for a message that is dropped (the caller
 * logs it rate-limited and goes on); ST_ECLOSED when the channel is over
 */
int ssm_chan_input(struct ssm_chan *c, const uint8_t *msg, size_t len, uint64_t now_us);

/** ssm_chan_key() - the data key that key_wanted() asked for; @key is copied and should be wiped by the caller
 * @cipher_key: client role: the same key as KMS encrypted it, @cipher_len bytes; agent role: NULL, 0
 * Return: 0; ST_EINVAL if no key is awaited (any more) or @cipher_len is 0 or above 6,144; ST_ENOMEM */
int ssm_chan_key(struct ssm_chan *c, const uint8_t key[SSM_DATA_KEY_LEN], const uint8_t *cipher_key,
		 size_t cipher_len, uint64_t now_us);
/** ssm_chan_key_failed() - there is no key: the client tells the agent @why, which ends the session; the agent closes
 * with ST_EAUTH. Nothing happens if no key is awaited. */
void ssm_chan_key_failed(struct ssm_chan *c, const char *why, uint64_t now_us);

/** ssm_chan_room() - payload bytes that ssm_chan_send() would take now; 0 before READY */
size_t ssm_chan_room(const struct ssm_chan *c);

/**
 * ssm_chan_send() - queue stream bytes (SSM_PT_OUTPUT), cut into messages of max_payload
 * Return: bytes taken, at most ssm_chan_room(); the rest must be offered again after writable()
 */
size_t ssm_chan_send(struct ssm_chan *c, const uint8_t *p, size_t len, uint64_t now_us);
/** ssm_chan_send_typed() - one message of another payload type (size, flag…). Return: 0; ST_EFULL;
 * ST_EAGAIN before READY; ST_ECLOSED; ST_EINVAL if it is empty or longer than SSM_PAYLOAD_MAX; ST_ENOMEM */
int ssm_chan_send_typed(struct ssm_chan *c, uint32_t payload_type, const void *p, size_t len,
			uint64_t now_us);
/** ssm_chan_send_flag() - as ssm_chan_send_typed(), one flag; SSM_FLAG_TERMINATE has ssm_chan_terminate() */
int ssm_chan_send_flag(struct ssm_chan *c, enum ssm_flag flag, uint64_t now_us);
/** ssm_chan_terminate() - queue flag TerminateSession past window, pace and pause; the owner flushes it and then
 * closes. What was queued and not yet sent is dropped.
 * Return: true if the flag is queued; false if there is none to send, and only the TerminateSession API ends the
 * session: in the agent role, when it is closed, when the agent is too old to know the flag (5.4), without memory, or when it
 * left a number unacknowledged until no other was free */
bool ssm_chan_terminate(struct ssm_chan *c, uint64_t now_us);

/**
 * ssm_chan_next_output() - the next message to put on the wire, acks first
 * Calling it commits: the message counts as sent at @now_us. Not called while the socket is down or full.
 * Return: 1 and *@msg, *@len (borrowed until the next call on @c); 0 if there is none now (window, pace, empty)
 */
int ssm_chan_next_output(struct ssm_chan *c, const uint8_t **msg, size_t *len, uint64_t now_us);
/** ssm_chan_has_output() - would ssm_chan_next_output() return 1? */
bool ssm_chan_has_output(const struct ssm_chan *c, uint64_t now_us);

/** ssm_chan_transport_down(), _up() - the WebSocket is gone, or a new one has sent its open message: while it is down
 * nothing is due but the handshake's time-out, which runs from the first time up; when it is up everything
 * unacknowledged is sent again in order. A new channel is down. */
void ssm_chan_transport_down(struct ssm_chan *c, uint64_t now_us);
void ssm_chan_transport_up(struct ssm_chan *c, uint64_t now_us);

/** ssm_chan_resume_input() - data() can take again after ST_EAGAIN */
void ssm_chan_resume_input(struct ssm_chan *c, uint64_t now_us);

/** ssm_chan_deadline() - when ssm_chan_expire() must be called, SSM_TIME_NEVER if nothing is pending (an idle channel
 * has no deadline). May change with every call on @c; a past time means now; after ssm_chan_expire() it is in the future.
 * After ssm_chan_expire() there may be output. */
uint64_t ssm_chan_deadline(const struct ssm_chan *c);
void ssm_chan_expire(struct ssm_chan *c, uint64_t now_us);

struct ssm_chan_stats {
	uint64_t msgs_in, msgs_out, bytes_in, bytes_out; /* stream payload bytes, once each */
	uint64_t resent, duplicates_in, dropped_in, pauses;
	size_t in_flight_bytes, window_bytes, queued_bytes, reorder_bytes;
	uint32_t rtt_us, rttvar_us;
};
void ssm_chan_stats(const struct ssm_chan *c, struct ssm_chan_stats *out);
/* What the handshake told of the session; the texts are valid as long as the channel. */
struct ssm_peer {
	const char
		*version; /* foreign text; "" before the handshake and in a session without one */
	const char *session_type;    /* foreign text in the client role; "" while it is not known */
	const char *properties_json; /* foreign text in the client role; NULL: none */
	bool encrypted;		     /* a data key is in use */
	bool mux; /* a port session of several connections (ssm_mux.h), else the bytes of one */
	bool mux_keepalive;   /* both ends of the mux send keepalives: very old peers */
	bool separate_output; /* SSM_PT_STDERR and SSM_PT_EXIT_CODE come, or may be sent */
};
void ssm_chan_peer(const struct ssm_chan *c, struct ssm_peer *out);
/** ssm_chan_agent_version() - the peer's AgentVersion (in the agent role its ClientVersion), foreign text; "" before
 * the handshake */
const char *ssm_chan_agent_version(const struct ssm_chan *c);

#endif
