// SPDX-License-Identifier: MIT
/*
 * tnl_session_io.c - the bytes of a session, both ways, and its farewell
 *
 * Theory of operation: bytes are only moved by the flush task, once at the end of a turn: it pumps SSH, cuts what SSH wants
 * to send into SSM messages straight from its buffer, and gives messages to the wire while that has room. What the SSM
 * channel has queued counts against SSH's high-water mark, so that a session holds TNL_SSH_OUT_HIGH bytes in all beyond the SSM
 * window. When the level has fallen below half of it, whether by sending or by acknowledgements, SSH is pumped again: only
 * its pass over the channels tells them that they may write.
 */
#include "base/err.h"
#include "base/log.h"
#include "tunnel/tnl_session_internal.h"

#define FLUSH_ROUNDS 4 /* ours: then other tasks get their turn */
#define SLEPT_MS 5000U /* ours: no turn of the loop lasts so long */

void tnl_session_kick(struct tnl_session *s)
{
	loop_task_post(s->u->loop, &s->flush);
}

/* Bytes of SSH that wait for the SSM window: SSH's own and what the SSM channel has queued. */
static size_t waiting_bytes(struct tnl_session *s)
{
	struct ssm_chan_stats st;

	ssm_chan_stats(s->ssm, &st);
	return ssh_conn_out(s->ssh)->len + st.queued_bytes;
}

/* SSH's bytes to the SSM channel. */
static void ssm_feed(struct tnl_session *s)
{
	struct buf *out = ssh_conn_out(s->ssh);
	size_t n = 0;

	if (waiting_bytes(s) > TNL_SSH_OUT_HIGH / 2)
		s->was_high = true;
	if (out->len > 0)
		n = ssm_chan_send(s->ssm, buf_data(out), out->len, loop_now_us(s->u->loop));
	if (n > 0)
		buf_consume(out, n);
}

static void ssm_to_wire(struct tnl_session *s)
{
	const uint64_t now_us = loop_now_us(s->u->loop);
	const uint8_t *p;
	size_t len;

	while (tnl_wire_room(s->wire) && ssm_chan_next_output(s->ssm, &p, &len, now_us) == 1) {
		if (tnl_wire_send(s->wire, p, len) < 0)
			return; /* counts as lost: it is sent again */
	}
}

static void ssm_timer_arm(struct tnl_session *s)
{
	const uint64_t at_us = ssm_chan_deadline(s->ssm);

	if (at_us == SSM_TIME_NEVER)
		loop_timer_cancel(s->u->loop, &s->ssm_timer);
	else
		loop_timer_set(s->u->loop, &s->ssm_timer, at_us / 1000 + (at_us % 1000 != 0));
}

static void on_ssm_timer(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	/* So late is a suspend. The path has forgotten us, most likely, and the time must not count as the far side's silence. */
	if (s->stage < SES_CLOSING && now_ms - MIN(s->ssm_timer.at_ms, now_ms) > SLEPT_MS)
		tnl_wire_distrust(s->wire);
	ssm_chan_expire(s->ssm, loop_now_us(s->u->loop));
	tnl_session_kick(s);
}

static void terminate_done(void *arg, const struct aws_error *e)
{
	struct tnl_session *s = arg;

	s->terminate = 0;
	if (e != NULL)
		log_debug("%s: TerminateSession: %s", s->u->o.name, e->text);
	tnl_session_kick(s);
}

/* SSH says goodbye, the flag and the close go behind it, and the service is told by its API. */
static void farewell(struct tnl_session *s)
{
	struct tnl_upstream *u = s->u;

	s->ended = true;
	if (s->ssh != NULL) {
		ssh_conn_disconnect(s->ssh);
		if (s->ssm != NULL)
			ssm_feed(s);
	}
	if (s->ssm != NULL) {
		ssm_chan_terminate(s->ssm, loop_now_us(u->loop));
		ssm_to_wire(s);
	}
	tnl_wire_close(s->wire);
	if (tnl_wire_session_id(s->wire)[0] != '\0' &&
	    aws_terminate_session(u->o.account, &s->terminate, tnl_wire_session_id(s->wire),
				  tnl_wire_found(s->wire)->region, terminate_done, s) < 0)
		s->terminate = 0;
}

static void pump_rounds(struct tnl_session *s)
{
	bool again = true;

	for (int i = 0; again && i < FLUSH_ROUNDS && s->stage < SES_CLOSING; i++) {
		struct ssm_chan_stats st;

		if (s->pump_due) {
			s->pump_due = false;
			ssh_conn_pump(s->ssh);
		}
		if (s->stage == SES_KEX && ssh_conn_state(s->ssh) == SSH_AUTH)
			tnl_session_stage_set(s, SES_AUTH, "host key accepted");
		ssm_feed(s);
		ssm_to_wire(s);
		ssm_chan_stats(s->ssm, &st);
		ssh_conn_backlog(s->ssh, st.queued_bytes);
		/* Fallen below half, now or since the last turn: channels may write again, and only SSH's pump tells them. */
		if (s->was_high && waiting_bytes(s) <= TNL_SSH_OUT_HIGH / 2) {
			s->was_high = false;
			s->pump_due = true; /* also when it is the next turn that goes on */
		}
		/* SSH may wait for somebody else, an agent for one; what makes it go on kicks. */
		if (s->input_refused && ssh_conn_has_room(s->ssh)) {
			s->input_refused = false;
			s->pump_due = true;
			ssm_chan_resume_input(s->ssm, loop_now_us(s->u->loop));
		}
		again = s->pump_due;
	}
	if (again)
		tnl_session_kick(s);
}

static void on_flush(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	(void)now_ms;
	if (s->stage == SES_DONE)
		return;
	if (s->stage == SES_CLOSING) {
		loop_timer_cancel(s->u->loop, &s->ssm_timer);
		if (!s->ended)
			farewell(s);
		if (s->wire_closed && s->terminate == 0)
			tnl_session_done(s);
		return;
	}
	if (s->ssm == NULL)
		return;
	if (s->ssh != NULL)
		pump_rounds(s);
	if (s->stage >= SES_CLOSING)
		return;
	ssm_to_wire(s);
	ssm_timer_arm(s);
}

void tnl_session_io_init(struct tnl_session *s)
{
	loop_timer_init(&s->ssm_timer, on_ssm_timer, s);
	loop_task_init(&s->flush, LOOP_FLUSH, on_flush, s);
}

void tnl_session_io_fini(struct tnl_session *s)
{
	loop_timer_cancel(s->u->loop, &s->ssm_timer);
	loop_task_cancel(&s->flush);
	if (s->terminate != 0)
		aws_cancel(s->u->aws, s->terminate);
}
