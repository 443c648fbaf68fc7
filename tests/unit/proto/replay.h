// SPDX-License-Identifier: MIT
/*
 * replay.h - one end of ours stands where a stock peer stood in a recorded session
 *
 * It is fed what the service passed on to that peer, in the recorded order and at the recorded
 * times, and asked to send what that peer's owner sent. Everything that it writes is compared with
 * what the stock peer wrote in that place: acknowledgements with acknowledgements and stream
 * messages with stream messages, each in order (the stock peers' threads race between the two).
 * Message ids and dates are not compared, nor is the time that the handshake took. Versions are: our
 * end announces the recorded one.
 */
#ifndef TESTS_UNIT_PROTO_REPLAY_H
#define TESTS_UNIT_PROTO_REPLAY_H

#include "capture.h"
#include "proto/ssm_chan.h"

#define REPLAY_MESSAGES 256U
#define REPLAY_BYTES 65536U

enum replay_kind { REPLAY_ACK, REPLAY_STREAM, REPLAY_KIND_N };

/* One written message; the bytes are the record's or a copy of ours. */
struct replay_item {
	const uint8_t *p;
	size_t len;
	uint64_t at_us;
};

struct replay_list {
	struct replay_item items[REPLAY_MESSAGES];
	size_t n;
};

struct replay_bytes {
	uint8_t p[REPLAY_BYTES];
	size_t n;
};

struct replay {
	enum ssm_role role;
	struct ssm_chan *chan;
	const struct cap_session *session;
	uint64_t now_us, shift_us;
	struct replay_list ours[REPLAY_KIND_N], theirs[REPLAY_KIND_N];
	/* acknowledgements of what ours had not yet written, fed when it had; all of them, p is NULL if fed */
	struct replay_list early_acks;
	struct replay_list lost; /* written by ours just before a cut: not in the record */
	struct replay_bytes delivered, expected;
	enum ssm_chan_state state;
	char trace[1024]; /* "ready at handshake-complete; closed at …" */
	unsigned opens, cuts;
	bool refuse;	 /* data() is not ready */
	int64_t next_in; /* numbers below were fed */
	/* where ours and the stock peer are known to differ */
	unsigned reacks;	      /* acknowledgements of old numbers, ours alone */
	unsigned late[REPLAY_KIND_N]; /* later than the stock peer wrote it */
	unsigned resent;	      /* by ours */
	unsigned stock_resent;	      /* by the stock peer */
	char version[64], type[64];   /* of the record, for our end */
	char *properties;
};

/**
 * replay_run() - the whole session; the channel stays open for the caller to look at
 * @slow_port: our end's owner takes no data until the peer repeats some
 */
void replay_run(struct replay *r, const struct cap_session *session, enum ssm_role role,
		bool slow_port);
/** replay_drain() - what our end writes now joins r->ours */
void replay_drain(struct replay *r);
void replay_drop(struct replay *r);

/* replay_list.c */
/** replay_decoded() - a message that must decode */
void replay_decoded(struct ssm_msg *m, const uint8_t *p, size_t len);
bool replay_is_stream(const struct ssm_msg *m);
int64_t replay_acked_number(const struct ssm_msg *m);
/** replay_copy() - for a list whose items replay_list_drop() frees */
const uint8_t *replay_copy(const uint8_t *p, size_t len);
/** replay_list_add() - @p is borrowed for the list's life */
void replay_list_add(struct replay_list *l, const uint8_t *p, size_t len, uint64_t at_us);
/** replay_number_of() - a stream message's own number, or the one that it acknowledges */
int64_t replay_number_of(const struct replay_item *item);
/** replay_list_find() - Return: the first from @from on with this number; l->n if there is none */
size_t replay_list_find(const struct replay_list *l, size_t from, int64_t number);
/** replay_item_compare() - equal but for id, date and the time that the handshake took */
void replay_item_compare(const struct replay_item *ours, const struct replay_item *theirs);
/** replay_list_drop() - frees the items' bytes */
void replay_list_drop(struct replay_list *l);

#endif
