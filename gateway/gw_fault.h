// SPDX-License-Identifier: MIT
/* gw_fault.h - a relay that misbehaves on purpose: --fault loss=…,ack-loss=…,reorder=…,… */
#ifndef GATEWAY_GW_FAULT_H
#define GATEWAY_GW_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/util.h"

#define GWF_HELD_MAX MIB(4) /* bytes that wait in one direction; more are lost */
#define GWF_NEVER UINT64_MAX

/* Probabilities are 0..1. All zero: a faithful relay. */
struct gwf_spec {
	double loss;	    /* of a stream message */
	double ack_loss;    /* of an acknowledge */
	double reorder;	    /* of a message being held back while later ones pass */
	double dup;	    /* of a message being sent twice */
	uint32_t delay_ms;  /* of every message */
	uint64_t cut_after; /* bytes that a data socket carries before it is cut; 0: never */
	bool cut_client,
		cut_agent; /* whose socket is cut; cut-side=client|agent|both, default client */
	uint32_t
		pause_unacked; /* a sender with more messages unacknowledged gets pause_publication; 0: never */
	uint64_t seed; /* of the dice; 0: one is drawn */
};

/**
 * gwf_parse() - "loss=0.01,delay=20,seed=7", "" or "off"
 * Return: 0; ST_EINVAL, then *@why is a static text and *@out untouched
 */
int gwf_parse(struct gwf_spec *out, const char *text, const char **why);
bool gwf_active(const struct gwf_spec *spec);

/* One direction of one session. */
struct gwf_dir {
	struct list queue; /* of messages that wait, the earliest first */
	size_t queued_bytes;
	uint64_t dice;
};

void gwf_init(struct gwf_dir *d, uint64_t seed);
void gwf_fini(struct gwf_dir *d);
/** gwf_put() - a message (copied) meets its fate; @is_ack: an acknowledge */
void gwf_put(struct gwf_dir *d, const struct gwf_spec *spec, const uint8_t *p, size_t len,
	     bool is_ack, uint64_t now_ms);
/** gwf_take() - the next message that is due, to be freed by free(*@mem); NULL if none is */
const uint8_t *gwf_take(struct gwf_dir *d, size_t *len, void **mem, uint64_t now_ms);
/** gwf_deadline() - when the next one is due; GWF_NEVER if none waits */
uint64_t gwf_deadline(const struct gwf_dir *d);

#endif
