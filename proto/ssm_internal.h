// SPDX-License-Identifier: MIT
/*
 * ssm_internal.h - the parts of a channel, for the files of proto/ only
 *
 * ssm_chan.c is the API and what moves messages in and out, ssm_session.c the states, ssm_steps.c the
 * handshake, ssm_queue.c and ssm_send.c the outgoing numbers, ssm_recv.c the incoming ones. Sender
 * and receiver know nothing of each other.
 */
#ifndef PROTO_SSM_INTERNAL_H
#define PROTO_SSM_INTERNAL_H

#include "base/list.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_crypt.h"
#include "proto/ssm_handshake.h"
#include "proto/ssm_pace.h"
#include "proto/ssm_version.h"
#include "proto/ssm_window.h"

#define SSM_SESSION_ID_MAX 96U /* characters; ssm-protocol, 1.2 */

/* Outgoing messages remembered at once, queued ones included; a power of two above what the
 * largest window and the queue hold in full messages (ours) */
#define SSM_SEND_RING_MAX 16384U
/* Messages in flight, whatever their size: the stock client's buffers end at 10,000 (4.5) */
#define SSM_FLIGHT_MSGS 8192U
#define SSM_BACKOFF_N 7U /* RTO_MIN doubled so often is beyond RTO_MAX */
/* Lists of messages in flight: by times resent, and two kinds with a pace of their own */
#define SSM_FLIGHT_HANDSHAKE SSM_BACKOFF_N
#define SSM_FLIGHT_FIRST (SSM_BACKOFF_N + 1U)
#define SSM_FLIGHT_N (SSM_BACKOFF_N + 2U)
/* A message sent so often while later ones were acknowledged leaves the window: the stock client
 * acknowledges a number once only, and its acknowledgement may be lost (4.3) */
#define SSM_STALE_SENDS 3U
/* An agent all of whose messages in flight were sent so often, and none acknowledged, sends a new one
 * past the window: perhaps the client has them all, and will only acknowledge something new. In bytes: */
#define SSM_PROBE_BYTES KIB(64)
/* Of these, since the ring of numbers is no bound in bytes; at the limit they stay in the window (ours: the acknowledgements of
 * two of the largest windows in messages, eight in bytes may be lost for good within SSM_STALE_PROOF messages) */
#define SSM_STALE_MAX 8192U
#define SSM_STALE_BYTES MIB(32)
/* What a stock client keeps out of order (4.3): with more later numbers acknowledged it has this one */
#define SSM_STALE_PROOF 10000
/* Handshake messages: the other end may come much later (7.4), so no back-off; as the stock agent */
#define SSM_HANDSHAKE_RETRY_US UINT64_C(300000)
#define SSM_HANDSHAKE_SENDS 50U /* 15 s of them; then every SSM_RTO_MAX_US */
/* The first data message: the agent is silent until its port is connected (4.3, 11) */
#define SSM_FIRST_RETRY_US UINT64_C(100000)
#define SSM_FIRST_RETRY_FOR_US UINT64_C(2000000) /* then the ordinary back-off (ours) */
/* The agent's data waits for the acknowledgement of HandshakeComplete, and all but the first message
 * for that of the first. The stock client acknowledges once only (4.3): after so many sendings, or a
 * data message from the client, it counts as given (ours) */
#define SSM_READY_SENDS 10U
#define SSM_READY_DELAY_US UINT64_C(5000) /* from HandshakeComplete to the first data (4.4) */
/* A client gives up when its oldest message was not acknowledged for so long, counted anew on a new
 * connection; as the stock client (4.5) */
#define SSM_GIVE_UP_US UINT64_C(300000000)
#define SSM_ACK_QUEUE_MAX                                                                          \
	16384U /* at the limit the oldest is dropped: the peer resends, we acknowledge again */
#define SSM_UUID_POOL 32U
#define SSM_CHALLENGE_LEN 64U /* random bytes that prove that both ends have the data key (5.5) */

/* Where the handshake is; ssm_steps.c. */
enum ssm_step {
	SSM_STEP_FIRST,	 /* waits for the other end's first message */
	SSM_STEP_KEY,	 /* waits for the owner's data key */
	SSM_STEP_ANSWER, /* client: has answered; agent: has sent the challenge */
	SSM_STEP_OVER,	 /* nothing is awaited */
	SSM_STEP_N
};

/* Bytes of a message with room for @cap payload bytes and for what encryption adds */
#define SSM_OUT_SIZE(cap) (sizeof(struct ssm_out) + SSM_OVERHEAD + SSM_CRYPT_OVERHEAD + (cap))

/* One outgoing stream message. Queued: clear payload only, may grow. Once sent: @wire is final, the payload encrypted
 * if the session is. */
struct ssm_out {
	struct list_node node;	     /* in one of flight[] or resend; once sent */
	struct list_node stale_node; /* in stale; once sent */
	int64_t seq;
	uint64_t first_us; /* sent first on this connection */
	uint64_t sent_us;  /* last time */
	uint64_t tx_no;	   /* position of the last sending among all sendings */
	uint32_t payload_type;
	uint32_t len; /* payload bytes */
	uint32_t cap; /* clear payload bytes that @wire has room for */
	uint32_t sends;
	bool resent;  /* its acknowledgement gives no RTT */
	bool counted; /* once sent: in flight_bytes and flight_msgs, else it is stale */
	uint8_t wire[];
};

struct ssm_snd {
	struct ssm_out **ring; /* number & (cap - 1); NULL: acknowledged or moved to stale */
	uint32_t cap;
	int64_t base;			  /* every number below is acknowledged or stale */
	int64_t next_send;		  /* numbers below were sent */
	int64_t next_seq;		  /* numbers below are taken */
	struct list flight[SSM_FLIGHT_N]; /* each in order of sending */
	struct list resend;		  /* due now */
	struct list stale;		  /* unacknowledged below base */
	uint32_t stale_n;		  /* all that are stale, in the list or still in the ring */
	size_t stale_bytes;
	int64_t known_n; /* messages that the peer has for certain: acknowledged or proven */
	uint32_t flight_msgs;
	size_t flight_bytes;
	size_t queued_bytes;
	uint64_t tx_no;
	uint64_t limited_tx; /* tx_no when the window last held a message back */
	/* the latest sendings of messages sent once that were acknowledged, falling */
	uint64_t acked_tx[3];
	struct ssm_window window;
	int64_t first_data_seq; /* -1: none sent yet */
	uint64_t first_data_us;
	int64_t complete_seq;	/* HandshakeComplete; -1: not sent by this end */
	bool peer_ready;	/* it takes data: some was acknowledged, or came from the client */
	bool no_reack;		/* agent: the client may not acknowledge a number again */
	uint64_t hold_until_us; /* no data before */
	bool paused;
	bool urgent; /* the queue is the TerminateSession flag: nothing holds it back */
	bool want_writable;
};

/* One incoming message that can't be delivered yet. */
struct ssm_slot {
	uint8_t *p; /* NULL: empty slot */
	uint32_t len;
	uint32_t payload_type;
	uint8_t id[CODEC_UUID_LEN];
	bool acked;
};

struct ssm_ack_item {
	uint8_t id[CODEC_UUID_LEN];
	int64_t seq;
};

struct ssm_rcv {
	struct ssm_slot *ring; /* number & (cap - 1) */
	uint32_t cap;
	uint32_t count;
	size_t bytes;
	int64_t expected;
	bool stalled;  /* data() refused the expected message, which is in the ring */
	bool draining; /* data() is running */
	struct ssm_ack_item *acks;
	uint32_t ack_cap, ack_head, ack_n;
};

struct ssm_chan {
	enum ssm_role role;
	enum ssm_chan_state state;
	const struct ssm_chan_events *events;
	void *arg;
	uint64_t now_us; /* of the latest call */
	uint64_t start_us, unix_ms;
	uint32_t max_payload;
	bool up;
	enum ssm_step step;
	uint64_t handshake_timeout_us;
	uint64_t
		handshake_start_us; /* first time that the transport was up; SSM_TIME_NEVER: not yet */
	uint64_t
		step_us; /* since when this step lasts; SSM_TIME_NEVER: the transport was not up yet */
	void (*uuid)(void *arg, uint8_t out[CODEC_UUID_LEN]);
	struct ssm_snd snd;
	struct ssm_rcv rcv;
	struct ssm_pace pace;
	bool ack_was_last; /* the latest message out */
	struct ssm_chan_stats stats;
	int close_err;
	char close_reason[SSM_REASON_MAX];
	char client_version[SSM_VERSION_MAX];
	char peer_version[SSM_VERSION_MAX];
	char refused
		[SSM_VERSION_MAX]; /* client: the first action of the request that was not done */
	char session_id[SSM_SESSION_ID_MAX + 1];
	char session_type[SSM_SESSION_TYPE_MAX];
	char *properties_json; /* NULL: none */
	struct ssm_properties properties;
	struct ssm_features features; /* of the other end */
	/* encryption */
	char *kms_key_id; /* agent: the owner's; client: of the request; NULL: no encryption is asked for */
	char *challenge;  /* base64, for the encryption context; NULL: none */
	uint8_t *request; /* client: the HandshakeRequest until it is answered */
	size_t request_len;
	uint8_t proof[SSM_CHALLENGE_LEN]; /* agent: what the client must send back */
	bool challenged;		  /* client: it was sent back */
	struct ssm_crypt *crypt;	  /* NULL: payloads are clear */
	uint8_t *plain;			  /* a decrypted payload, @plain_cap bytes */
	size_t plain_cap;
	uint8_t ack_wire[SSM_OVERHEAD + SSM_ACK_MAX];
	uint8_t uuids[SSM_UUID_POOL][CODEC_UUID_LEN];
	uint32_t uuids_left;
};

/* ssm_chan.c */
/** ssm_chan_now_set() - the clock of the channel; it never goes back */
void ssm_chan_now_set(struct ssm_chan *c, uint64_t now_us);
/** ssm_chan_unix_ms() - wall clock for CreatedDate */
uint64_t ssm_chan_unix_ms(const struct ssm_chan *c);
void ssm_chan_uuid(struct ssm_chan *c, uint8_t out[CODEC_UUID_LEN]);

/* ssm_session.c */
void ssm_session_fini(struct ssm_chan *c);
/** ssm_session_up() - the transport is up, perhaps for the first time */
void ssm_session_up(struct ssm_chan *c);
/** ssm_session_ready() - once: the handshake is complete */
void ssm_session_ready(struct ssm_chan *c, const char *customer_message);
/** ssm_session_close() - once: state, buffers of the sender, closed() */
void ssm_session_close(struct ssm_chan *c, int err, const char *reason);
/** ssm_session_deliver() - the next stream message in order. Return: 0 taken; ST_EAGAIN */
int ssm_session_deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len);
/** ssm_session_deadline() - when the handshake times out; SSM_TIME_NEVER */
uint64_t ssm_session_deadline(const struct ssm_chan *c);
/** ssm_session_time_out() - the handshake's time is over */
void ssm_session_time_out(struct ssm_chan *c);

/* ssm_steps.c */
/** ssm_steps_start() - agent: the HandshakeRequest is queued if there is to be one. Return: 0; ST_EINVAL for texts that
 * are no JSON or no UTF-8; ST_ENOMEM */
int ssm_steps_start(struct ssm_chan *c, const struct ssm_chan_opts *opts);
void ssm_steps_fini(struct ssm_chan *c);
/** ssm_steps_input() - a message in state handshake, in order. Return: true if it was a step or is to be ignored; false
 * if it shows that this session has no handshake */
bool ssm_steps_input(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len);

/* ssm_queue.c */
static inline struct ssm_out **ssm_snd_slot(const struct ssm_snd *s, int64_t seq)
{
	return &s->ring[(uint64_t)seq & (s->cap - 1)];
}

/* The first queued message, NULL if there is none. */
static inline struct ssm_out *ssm_snd_head(const struct ssm_snd *s)
{
	return s->next_send < s->next_seq ? *ssm_snd_slot(s, s->next_send) : NULL;
}

void ssm_snd_init(struct ssm_chan *c, size_t window_max);
void ssm_snd_fini(struct ssm_chan *c);
/** ssm_snd_queue() - one message of its own. Return: 0; ST_EFULL; ST_ENOMEM */
int ssm_snd_queue(struct ssm_chan *c, uint32_t payload_type, const void *p, size_t len);
/** ssm_snd_append() - stream bytes. Return: bytes taken */
size_t ssm_snd_append(struct ssm_chan *c, const uint8_t *p, size_t len);
/** ssm_snd_room() - payload bytes that the queue takes, whatever the state */
size_t ssm_snd_room(const struct ssm_chan *c);
/** ssm_snd_drop_queue() - forgets what was never sent; its numbers are free again */
void ssm_snd_drop_queue(struct ssm_chan *c);

/* ssm_send.c */
/** ssm_snd_next() - sends the next message. Return: it; NULL if none may go */
const struct ssm_out *ssm_snd_next(struct ssm_chan *c);
/** ssm_snd_blocked() - nothing more to send now: notes whether the window is the reason */
void ssm_snd_blocked(struct ssm_chan *c);
/** ssm_snd_waiting() - would ssm_snd_next() find one at @now_us? */
bool ssm_snd_waiting(const struct ssm_chan *c, uint64_t now_us);
/** ssm_snd_ack() - number @seq is acknowledged; @peer_ms: the date of the acknowledgement */
void ssm_snd_ack(struct ssm_chan *c, int64_t seq, uint64_t peer_ms);
/** ssm_snd_collect() - moves messages whose time-out ran out to the resend list */
void ssm_snd_collect(struct ssm_chan *c);
/** ssm_snd_resend_all() - a new connection: everything unacknowledged is due, in order */
void ssm_snd_resend_all(struct ssm_chan *c);
uint64_t ssm_snd_deadline(const struct ssm_chan *c);
/** ssm_snd_given_up() - is the time for an acknowledgement over? */
bool ssm_snd_given_up(const struct ssm_chan *c);

/* ssm_recv.c */
void ssm_rcv_fini(struct ssm_chan *c);
void ssm_rcv_stream(struct ssm_chan *c, const struct ssm_msg *m);
void ssm_rcv_drain(struct ssm_chan *c);
/** ssm_rcv_ack_next() - writes the next acknowledgement to c->ack_wire. Return: its length; 0: none */
size_t ssm_rcv_ack_next(struct ssm_chan *c);

#endif
