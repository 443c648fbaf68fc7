// SPDX-License-Identifier: MIT
/*
 * ssh_chan.c - direct-tcpip channels of one connection
 *
 * Theory of operation: an open is sent at once and answered later (ssh_open.h); until then the channel has no data. A channel
 * that is read only up to what has come in keeps the peer within its window: nothing is read from libssh2 unless the owner
 * asks, and the window is raised inside the read. Writes are bounded by ssh_chan_room(), so they succeed, but for one
 * case: the peer starts a key exchange between the question and the write. Then the bytes go to the stash, and the very
 * same write is repeated until it succeeds, as libssh2 demands. EOF goes behind the stash, CLOSE behind EOF. An open that was given
 * up is a zombie: nothing can cancel it, and a late confirmation is answered with CLOSE.
 *
 *   queued ──▶ opening ──▶ open ──▶ closing        opening ──▶ zombie ──▶ closing
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tunnel/ssh_internal.h"

#define WRITE_CHUNK 32000U /* libssh2 cuts at 32,700 */
#define MANY_CHANS 256U	   /* above it new channels stay at WINDOW_SMALL; design, section 8 */
#define WINDOW_SMALL KIB(32)
#define WINDOW_LARGE KIB(256)
#define GROW_AFTER MIB(1)

/* Reasons of RFC 4254, 5.1 */
enum { OPEN_PROHIBITED = 1, OPEN_CONNECT_FAILED = 2, OPEN_SHORTAGE = 4 };

static void chan_free(struct ssh_chan *ch)
{
	buf_fini(&ch->stash);
	free(ch);
}

/* Takes @ch out of its list; a pass that stands on it goes on behind it. */
static void chan_unlink(struct ssh_chan *ch)
{
	struct ssh_conn *c = ch->conn;

	if (c->cursor == &ch->node)
		c->cursor = ch->node.next;
	if (c->current == ch)
		c->current = NULL;
	list_del(&ch->node);
}

static void chan_end(struct ssh_chan *ch)
{
	chan_unlink(ch);
	ch->conn->n_chans--;
	chan_free(ch);
}

/* ---- opening ---- */

static void chan_start(struct ssh_chan *ch)
{
	struct ssh_conn *c = ch->conn;
	char host[NET_ADDR_STR], source[NET_ADDR_STR];
	const struct ssh_open_target t = {
		.host = net_addr_str(host, &ch->dst.addr),
		.port = ch->dst.port,
		.source = net_addr_str(source, &ch->src.addr),
		.source_port = ch->src.port,
		.window = c->n_chans > MANY_CHANS ? WINDOW_SMALL : TNL_WINDOW_BYTES,
		.arg = ch,
	};
	const int r = ssh_open_start(c->s, &ch->lib, &t);

	if (r == 0)
		ch->phase = SSH_CHAN_OPENING;
	else if (r != ST_EAGAIN)
		c->broken = true;
}

int ssh_chan_open(struct ssh_conn *c, struct ssh_chan **out, const struct net_endpoint *dst,
		  const struct net_endpoint *src, const struct ssh_chan_events *events, void *arg)
{
	struct ssh_chan *ch;

	if (c->state != SSH_READY || c->broken)
		return ST_ECLOSED;
	if (c->n_chans >= c->o.chans_max)
		return ST_EFULL;
	ch = calloc(1, sizeof(*ch));
	if (ch == NULL)
		return ST_ENOMEM;
	*ch = (struct ssh_chan){ .conn = c,
				 .phase = SSH_CHAN_QUEUED,
				 .events = events,
				 .arg = arg,
				 .dst = *dst,
				 .src = *src,
				 .read_armed = true };
	buf_init(&ch->stash, TNL_SSH_OUT_HIGH);
	list_push_back(&c->chans, &ch->node);
	c->n_chans++;
	c->n_opening++;
	chan_start(ch);
	c->o.events->kick(c->o.arg);
	*out = ch;
	return 0;
}

/* Design, decision 5: what sshd's words say about the target. */
static enum tnl_open_failure failure_of(uint32_t reason, const char *text)
{
	static const struct {
		const char *text;
		enum tnl_open_failure why;
	} words[] = {
		{ "Connection refused", TNL_OPEN_REFUSED },
		{ "No route to host", TNL_OPEN_HOST_UNREACHABLE },
		{ "Host is down", TNL_OPEN_HOST_UNREACHABLE },
		{ "Connection timed out", TNL_OPEN_HOST_UNREACHABLE },
		{ "Network is unreachable", TNL_OPEN_NET_UNREACHABLE },
	};

	if (reason == OPEN_PROHIBITED)
		return TNL_OPEN_PROHIBITED;
	if (reason == OPEN_SHORTAGE)
		return TNL_OPEN_NO_SESSION;
	for (size_t i = 0; reason == OPEN_CONNECT_FAILED && i < ARRAY_LEN(words); i++) {
		if (strstr(text, words[i].text) != NULL)
			return words[i].why;
	}
	return TNL_OPEN_FAILED;
}

static void open_failed(struct ssh_chan *ch, const struct ssh_open_result *r)
{
	const struct ssh_chan_events *ev = ch->events;
	const enum ssh_chan_phase phase = ch->phase;
	void *arg = ch->arg;

	ssh_open_drop(ch->lib);
	if (phase == SSH_CHAN_OPENING)
		ch->conn->n_opening--;
	else
		ch->conn->n_zombies--;
	chan_end(ch);
	if (phase == SSH_CHAN_OPENING)
		ev->failed(arg, failure_of(r->reason, r->text), text_safe(r->text).s);
}

static void answer_take(const struct ssh_open_result *r)
{
	struct ssh_chan *ch = r->arg;

	if (ch->phase != SSH_CHAN_OPENING && ch->phase != SSH_CHAN_ZOMBIE)
		return; /* a second answer to one open: the peer's fault, no harm */
	if (!r->open) {
		open_failed(ch, r);
		return;
	}
	/* direct-tcpip has no second stream; what a peer sends there all the same must not stay in the queue */
	libssh2_channel_handle_extended_data2(ch->lib, LIBSSH2_CHANNEL_EXTENDED_DATA_MERGE);
	if (ch->phase == SSH_CHAN_ZOMBIE) {
		ch->phase = SSH_CHAN_CLOSING;
		ch->conn->n_zombies--;
		return;
	}
	ch->phase = SSH_CHAN_OPEN;
	ch->conn->n_opening--;
	ch->events->opened(ch->arg);
}

/* ---- data ---- */

ssize_t ssh_chan_read(struct ssh_chan *ch, uint8_t *buf, size_t cap)
{
	struct ssh_conn *c = ch->conn;
	struct ssh_open_state st;
	ssize_t n;

	if (ch->phase != SSH_CHAN_OPEN || c->state != SSH_READY)
		return ST_EAGAIN;
	ssh_open_state(ch->lib, &st);
	if (st.readable == 0 && st.eof)
		return st.closed && !ch->eof_sent ? ST_ECLOSED : 0;
	ch->read_armed = true;
	if (st.readable == 0 || cap == 0)
		return ST_EAGAIN;
	/* never more than is there: a larger buffer raises the window by itself */
	n = libssh2_channel_read_ex(ch->lib, 0, (char *)buf, MIN(cap, st.readable));
	if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
		return ST_EAGAIN;
	if (n < 0) {
		c->broken = true;
		c->o.events->kick(c->o.arg);
		return ST_ECLOSED;
	}
	ch->moved += (size_t)n;
	if (!ch->window_grown && ch->moved >= GROW_AFTER && c->n_chans <= MANY_CHANS) {
		ch->window_grown = true;
		ssh_open_window_set(ch->lib, WINDOW_LARGE);
	}
	c->o.events->kick(c->o.arg); /* a window message may wait, or more input */
	return n;
}

static size_t chan_room(const struct ssh_chan *ch)
{
	const struct ssh_conn *c = ch->conn;
	const size_t waiting = c->out.len + c->backlog;
	struct ssh_open_state st;

	if (ch->phase != SSH_CHAN_OPEN || c->state != SSH_READY || ch->want_eof || ch->eof_sent ||
	    ch->stash.len > 0 || waiting >= TNL_SSH_OUT_HIGH || ssh_open_rekeying(c->s))
		return 0;
	ssh_open_state(ch->lib, &st);
	return st.closed ? 0 : MIN((size_t)st.send_window, TNL_SSH_OUT_HIGH - waiting);
}

size_t ssh_chan_room(struct ssh_chan *ch)
{
	const size_t room = chan_room(ch);

	if (room == 0)
		ch->write_armed = true;
	return room;
}

/* Return: bytes that libssh2 took; ST_EAGAIN; ST_ECLOSED */
static ssize_t chunk_write(struct ssh_chan *ch, const uint8_t *p, size_t len)
{
	const ssize_t n = libssh2_channel_write_ex(ch->lib, 0, (const char *)p,
						   MIN(len, WRITE_CHUNK));

	if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
		return ST_EAGAIN;
	if (n < 0) {
		ch->conn->broken = true;
		return ST_ECLOSED;
	}
	return n;
}

int ssh_chan_write(struct ssh_chan *ch, const uint8_t *p, size_t len)
{
	struct ssh_conn *c = ch->conn;

	if (len > chan_room(ch))
		return ST_EFULL;
	c->o.events->kick(c->o.arg);
	while (len > 0) {
		const ssize_t n = chunk_write(ch, p, len);

		if (n == ST_EAGAIN)
			return buf_put(&ch->stash, p, len);
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	if (chan_room(ch) == 0)
		ch->write_armed = true;
	return 0;
}

/* Return: true if nothing is left to be sent before CLOSE. */
static bool chan_flush(struct ssh_chan *ch)
{
	while (ch->stash.len > 0) {
		const ssize_t n = chunk_write(ch, buf_data(&ch->stash), ch->stash.len);

		if (n < 0)
			return n != ST_EAGAIN;
		buf_consume(&ch->stash, (size_t)n);
	}
	if (ch->want_eof && !ch->eof_sent) {
		if (libssh2_channel_send_eof(ch->lib) == LIBSSH2_ERROR_EAGAIN)
			return false;
		ch->eof_sent = true;
	}
	return true;
}

void ssh_chan_shutdown(struct ssh_chan *ch)
{
	if (ch->phase != SSH_CHAN_OPEN || ch->want_eof)
		return;
	ch->want_eof = true;
	if (ch->conn->state == SSH_READY)
		chan_flush(ch);
	ch->conn->o.events->kick(ch->conn->o.arg);
}

/* ---- closing ---- */

static void chan_retire(struct ssh_chan *ch, enum ssh_chan_phase phase)
{
	chan_unlink(ch);
	ch->phase = phase;
	ch->events = NULL;
	ch->arg = NULL;
	list_push_back(&ch->conn->closing, &ch->node);
}

void ssh_chan_close(struct ssh_chan *ch)
{
	struct ssh_conn *c = ch->conn;

	switch (ch->phase) {
	case SSH_CHAN_QUEUED:
		c->n_opening--;
		chan_end(ch);
		break;
	case SSH_CHAN_OPENING:
		c->n_opening--;
		c->n_zombies++;
		chan_retire(ch, SSH_CHAN_ZOMBIE);
		break;
	case SSH_CHAN_OPEN:
		chan_retire(ch, SSH_CHAN_CLOSING);
		c->o.events->kick(c->o.arg);
		break;
	default: ST_BUG("ssh channel closed twice");
	}
}

static void closing_pump(struct ssh_conn *c)
{
	list_for_each (node, &c->closing) {
		struct ssh_chan *ch = container_of(node, struct ssh_chan, node);

		if (ch->phase == SSH_CHAN_CLOSING && chan_flush(ch) &&
		    libssh2_channel_free(ch->lib) != LIBSSH2_ERROR_EAGAIN)
			chan_end(ch);
	}
}

static void list_free(struct list *l)
{
	list_for_each (node, l)
		chan_free(container_of(node, struct ssh_chan, node));
	list_init(l);
}

void ssh_chans_free(struct ssh_conn *c)
{
	list_free(&c->chans);
	list_free(&c->closing);
	/* the LIBSSH2_CHANNELs are the session's: libssh2_session_free() ends them */
	c->n_chans = c->n_opening = c->n_zombies = 0;
}

/* ---- the pass over all channels ---- */

static void chan_gone(struct ssh_chan *ch)
{
	const struct ssh_chan_events *ev = ch->events;
	void *arg = ch->arg;

	chan_retire(ch, SSH_CHAN_CLOSING);
	ev->gone(arg);
}

static void chan_signal(struct ssh_chan *ch)
{
	struct ssh_conn *c = ch->conn;
	struct ssh_open_state st;

	chan_flush(ch);
	ssh_open_state(ch->lib, &st);
	if (st.closed && st.readable == 0 && !ch->eof_sent) {
		chan_gone(ch);
		return;
	}
	if (ch->read_armed && (st.readable > 0 || st.eof)) {
		ch->read_armed = false;
		ch->events->readable(ch->arg);
		if (c->current == NULL)
			return;
	}
	if (ch->write_armed && c->out.len + c->backlog <= TNL_SSH_OUT_HIGH / 2 &&
	    chan_room(ch) > 0) {
		ch->write_armed = false;
		ch->events->writable(ch->arg);
	}
}

void ssh_chans_pump(struct ssh_conn *c)
{
	struct ssh_open_result r;

	while (c->n_opening + c->n_zombies > 0 && ssh_open_next(c->s, &r))
		answer_take(&r);
	c->cursor = c->chans.head.next;
	while (c->cursor != &c->chans.head) {
		struct ssh_chan *ch = container_of(c->cursor, struct ssh_chan, node);

		c->current = ch;
		c->cursor = c->cursor->next;
		if (ch->phase == SSH_CHAN_QUEUED)
			chan_start(ch);
		else if (ch->phase == SSH_CHAN_OPEN)
			chan_signal(ch);
	}
	c->current = NULL;
	closing_pump(c);
}
