// SPDX-License-Identifier: MIT
/*
 * mux_owner.h - one end of a multiplexed port session whose owner notes what it is told; the test is the peer
 *
 * The log reads "[accept 3][data 3]abc[closed 3]": bytes of one stream in a row make one entry, however they
 * were cut. Checks of the harness itself are cmocka assertions.
 */
#ifndef TEST_PROTO_MUX_OWNER_H
#define TEST_PROTO_MUX_OWNER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_mux.h"

#define NOW UINT64_C(1000000)
#define CONNS 8U

/* Allocations of the library until one fails, and all later ones; the linker sends them here (--wrap). */
extern unsigned allocs_left;
extern const struct ssm_mux_events events;

struct owner;

struct conn {
	struct owner *o;
	handle h;
	uint32_t id;
	const char *text; /* what pull() gives; all of it again and again with endless */
	bool endless;
	size_t take;		     /* what data() takes at most of one offer */
	void (*act)(struct conn *c); /* from inside data(), pull(), accept(), closed() */
};

struct owner {
	struct ssm_mux *m;
	struct conn conn[CONNS];
	size_t n;
	size_t take;			   /* of new connections */
	void (*on_accept)(struct conn *c); /* from inside accept() */
	void (*act)(struct conn *c);	   /* of new connections */
	char log[4096];
	size_t log_n;
	uint32_t data_id; /* of the data that the log ends with; 0: it ends otherwise */
	unsigned unblocked;
	uint8_t out[65536];
	size_t out_n;
};

/* what conn.act and owner.on_accept may be; also called by the tests */
void accept_ok(struct conn *c);
void accept_fail(struct conn *c);
void close_it(struct conn *c);

/** start() - role, frame_max, first_id and keepalive are taken from @with */
void start(struct owner *o, const struct ssm_mux_opts *with);
void start_client(struct owner *o);
void start_agent(struct owner *o); /* dials succeed at once */
struct conn *open_conn(struct owner *o);
void ready(struct conn *c, const char *text);

int feed_bytes(struct owner *o, const void *p, size_t len);
/** feed() - one frame of the peer's, with data unless @text is NULL or "". Return: as ssm_mux_input() */
int feed(struct owner *o, enum ssm_mux_cmd cmd, uint32_t id, const char *text);
void fed(struct owner *o, enum ssm_mux_cmd cmd, uint32_t id, const char *text); /* 0 is returned */
/** fill() - the buffer for stream @id, until @to bytes wait in the mux */
void fill(struct owner *o, uint32_t id, size_t to);
void logged(struct owner *o, const char *text); /* the log is @text; it is forgotten */
void forget(struct owner *o);
void pump(struct owner *o, size_t cap);
/** sent() - all output is @text: one letter a frame (S F P N), its id, its data */
void sent(struct owner *o, const char *text);
void nothing_left(struct owner *o);
struct ssm_mux_stats stats(const struct owner *o);
void ends(struct owner *o, int err); /* the mux has ended with @err; 0: it has not */

#endif
