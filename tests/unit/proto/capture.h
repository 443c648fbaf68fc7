// SPDX-License-Identifier: MIT
/*
 * capture.h - the recorded sessions of tests/data/capture.txt
 *
 * What a stock client, a stock agent and an emulated service wrote to each other, in order and with
 * times. For tests only: a malformed file ends the program.
 */
#ifndef TESTS_UNIT_PROTO_CAPTURE_H
#define TESTS_UNIT_PROTO_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cap_who { CAP_CLIENT, CAP_AGENT, CAP_SERVICE };

struct cap_frame {
	uint64_t at_us; /* since the session's first frame */
	enum cap_who from, to;
	bool control; /* of the agent's control channel */
	bool text;    /* the open message; everything else is binary */
	uint8_t *p;
	size_t len;
};

struct cap_session {
	char title[128];
	struct cap_frame *frames;
	size_t n;
};

struct capture {
	struct cap_session *sessions;
	size_t n;
};

/** capture_load() - reads the whole file, to be given to capture_drop() */
void capture_load(struct capture *out);
void capture_drop(struct capture *c);

#endif
