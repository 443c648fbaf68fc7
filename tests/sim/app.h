// SPDX-License-Identifier: MIT
/*
 * app.h - what stands behind an end: a source of known bytes, and a sink that checks the other's
 *
 * Two kinds of stream. Plain: a pattern by side and position, every wrong byte is a failure of the
 * run. SSH: records with a check value over their number, which is not in the record, and their
 * content, as SSH has; a record that is repeated, missing or changed is noticed by the sink, which
 * then ends the session, as sshd and ssh do.
 */
#ifndef TEST_SIM_APP_H
#define TEST_SIM_APP_H

#include "sim.h"

#define APP_RECORD ((size_t)256) /* bytes of an SSH record, the last 8 are the check value */

struct sim_app {
	struct sim_end *end;
	bool ssh;
	uint64_t to_send, sent;
	uint64_t expect, received;
	unsigned refuse_permille; /* how often the sink takes nothing for a while */
	bool refusing;
	bool broken;				       /* SSH: the check value was wrong */
	void (*on_take)(struct sim_app *a, void *arg); /* after bytes were taken; NULL: none */
	void *arg;
	uint8_t out[APP_RECORD], in[APP_RECORD];
};

/** app_peek() - the next bytes to send. Return: how many stand at *@p, at most @max; 0: all is sent */
size_t app_peek(struct sim_app *a, const uint8_t **p, size_t max);
void app_advance(struct sim_app *a, size_t n);
/** app_take() - bytes have arrived in order. Return: 0; ST_EAGAIN: not now, SIM_EV_APP comes when it takes again;
 * ST_EPEER: SSH's check failed, the session must end */
int app_take(struct sim_app *a, const uint8_t *p, size_t len);
/** app_done() - has everything arrived here? */
bool app_done(const struct sim_app *a);

#endif
