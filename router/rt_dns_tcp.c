// SPDX-License-Identifier: MIT
/*
 * rt_dns_tcp.c - the DNS server's clients by TCP (RFC 7766): accepted at once, pipelined, answered in any order
 *
 * Theory of operation: a client has an input of at most one message, an output, and the queries under way. Whatever happens to it only
 * marks it ready; clients_step() then writes, takes messages and reads, in this order, as far as its limits let: with QUERIES_MAX
 * under way or OUT_HIGH bytes unread by the client nothing is read, so that its window closes. Lengths that no query can have, an output that
 * does not fit and a silence of IDLE_MS end it. It closes after the client's FIN once all is answered.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "router/rt_internal.h"

#define CLIENTS_MAX 64U			/* ours; more are reset */
#define CLIENTS_MANY (CLIENTS_MAX / 2U) /* with more, silence is borne for a shorter time */
#define QUERIES_MAX 64U			/* of one client under way */
#define IDLE_MS 30000U			/* ours: after its last query or answer; RFC 7766, 6.2.3 */
#define IDLE_MANY_MS 10000U
#define LINGER_MS 10000U /* ours: from our FIN to the client's */
#define LENGTH_BYTES 2U
#define QUERY_MIN 12U /* bytes: a header; RFC 1035, 4.1.1 */
#define OUT_HIGH KIB(64)
#define OUT_MAX KIB(256) /* at least OUT_HIGH and two answers of any length */

struct client {
	struct rt_app app;
	struct rt_dns_tcp *tcp;
	struct list_node all;	/* in tcp->clients or tcp->dead */
	struct list_node ready; /* in tcp->ready */
	ns_conn conn;
	struct ns_flow_key key;
	struct buf in, out;
	struct list queries; /* of struct query */
	uint32_t n_queries;
	bool established, eof, shut, dead;
	bool overrun;		 /* an answer did not fit */
	bool may, may_known;	 /* use our routes */
	struct loop_timer timer; /* its silence, or lingering */
	uint64_t active_ms;	 /* the last query or answer */
};

struct query {
	struct list_node node;
	struct client *client;
	handle h;
};

struct rt_dns_tcp {
	struct rt *rt;
	struct list clients, ready, dead;
	uint32_t n;
	struct loop_task step_task, reap_task;
};

static void client_wake(struct client *c)
{
	if (c->dead || list_linked(&c->ready))
		return;
	list_push_back(&c->tcp->ready, &c->ready);
	loop_task_post(c->tcp->rt->loop, &c->tcp->step_task);
}

static void query_free(struct query *q)
{
	list_del(&q->node);
	q->client->n_queries--;
	free(q);
}

/* Nothing of it is left but its memory, which the reaper takes. */
static void client_end(struct client *c, bool reset)
{
	struct rt *r = c->tcp->rt;

	if (c->dead)
		return;
	c->dead = true;
	if (reset)
		ns_conn_abort(r->ns, c->conn);
	list_for_each (n, &c->queries) {
		struct query *q = container_of(n, struct query, node);

		dns_cancel(rt_dns_of(r), q->h);
		query_free(q);
	}
	loop_timer_cancel(r->loop, &c->timer);
	list_del(&c->ready);
	list_del(&c->all);
	list_push_back(&c->tcp->dead, &c->all);
	loop_task_post(r->loop, &c->tcp->reap_task);
}

/* ---- silence */

static uint32_t patience_ms(const struct client *c)
{
	if (c->shut)
		return LINGER_MS;
	return c->tcp->n > CLIENTS_MANY ? IDLE_MANY_MS : IDLE_MS;
}

static void shut(struct client *c)
{
	c->shut = true;
	c->active_ms = loop_now_ms(c->tcp->rt->loop);
	ns_conn_shutdown(c->tcp->rt->ns, c->conn);
}

/* Looks every IDLE_MANY_MS: how long it may be silent depends on how many others there are. */
static void arm(struct client *c, uint64_t now_ms)
{
	if (loop_timer_set(c->tcp->rt->loop, &c->timer, now_ms + IDLE_MANY_MS) < 0)
		client_end(c, true);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct client *c = arg;
	const bool silent = c->n_queries == 0 && now_ms - c->active_ms >= patience_ms(c);

	if (silent && (c->shut || !c->established || c->out.len > 0)) {
		client_end(c, true);
		return;
	}
	if (silent)
		shut(c);
	arm(c, now_ms);
	client_wake(c);
}

/* ---- answers */

static void on_reply(void *arg, const uint8_t *msg, size_t len)
{
	struct query *q = arg;
	struct client *c = q->client;
	uint8_t length[LENGTH_BYTES];

	query_free(q);
	client_wake(c);
	c->active_ms = loop_now_ms(c->tcp->rt->loop);
	if (len == 0 || c->overrun)
		return;
	be16_put(length, (uint16_t)len);
	if (len > DNS_MESSAGE_MAX || buf_room(&c->out) < LENGTH_BYTES + len ||
	    buf_put(&c->out, length, sizeof(length)) < 0 || buf_put(&c->out, msg, len) < 0)
		c->overrun = true;
}

static int flush(struct client *c)
{
	size_t n = MIN(ns_conn_room(c->tcp->rt->ns, c->conn), c->out.len);
	int r;

	if (n == 0)
		return 0;
	if ((r = ns_conn_write(c->tcp->rt->ns, c->conn, buf_data(&c->out), n)) == 0)
		buf_consume(&c->out, n);
	return r;
}

/* ---- queries */

static bool may(struct client *c)
{
	if (!c->may_known)
		c->may = rt_dns_may(c->tcp->rt, &c->key, true);
	c->may_known = true;
	return c->may;
}

static int ask(struct client *c, const uint8_t *msg, size_t len)
{
	const struct dns_ask how = { .tcp = true, .no_fake = !may(c) };
	struct query *q = calloc(1, sizeof(*q));
	handle h;

	if (!q)
		return ST_ENOMEM;
	q->client = c;
	list_node_init(&q->node);
	list_push_back(&c->queries, &q->node);
	c->n_queries++;
	c->active_ms = loop_now_ms(c->tcp->rt->loop);
	h = dns_query(rt_dns_of(c->tcp->rt), msg, len, &how, on_reply, q);
	if (h) /* else it has been answered, and @q is gone */
		q->h = h;
	return 0;
}

/* One message from the input. Return: 1; 0: it is not complete; ST_EPEER: nobody could mean that length; as ask() */
static int take_message(struct client *c)
{
	const uint8_t *p = buf_data(&c->in);
	size_t len;
	int r;

	if (c->in.len < LENGTH_BYTES)
		return 0;
	len = be16_get(p);
	if (len < QUERY_MIN)
		return ST_EPEER;
	if (c->in.len - LENGTH_BYTES < len)
		return 0;
	r = ask(c, p + LENGTH_BYTES, len);
	buf_consume(&c->in, LENGTH_BYTES + len);
	return r < 0 ? r : 1;
}

/* More bytes to the input. Return: as ns_conn_read(), and as buf_put() */
static ssize_t read_some(struct client *c, size_t cap)
{
	struct rt *r = c->tcp->rt;
	ssize_t n = ns_conn_read(r->ns, c->conn, r->scratch, MIN(buf_room(&c->in), cap));
	int e;

	if (n == 0)
		c->eof = true;
	if (n <= 0 || c->shut) /* what comes after our FIN is let go */
		return n;
	e = buf_put(&c->in, r->scratch, (size_t)n);
	return e < 0 ? e : n;
}

static bool has_room(const struct client *c)
{
	return !c->overrun && c->n_queries < QUERIES_MAX && c->out.len < OUT_HIGH;
}

/* Return: 0; a negative ST_E*: it is over with this client */
static int take(struct client *c)
{
	size_t left = RT_TURN_BYTES;

	while (has_room(c)) {
		int r = c->shut ? 0 : take_message(c);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (c->eof)
			return 0;
		if (left == 0) {
			client_wake(c);
			return 0;
		}
		ssize_t n = read_some(c, left);
		if (n == ST_EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		left -= (size_t)n;
	}
	return c->overrun ? ST_EFULL : 0;
}

static void step(struct client *c)
{
	int r = flush(c);

	if (r == 0 && (r = take(c)) == 0)
		r = flush(c);
	if (r < 0) {
		log_debug("dns: a client by TCP is reset: %s", st_strerror(r));
		client_end(c, true);
		return;
	}
	if (c->eof && !c->shut && c->n_queries == 0 && c->out.len == 0)
		shut(c);
}

static void clients_step(void *arg, uint64_t now_ms)
{
	struct rt_dns_tcp *t = arg;
	struct list turn;
	struct list_node *n;

	(void)now_ms;
	list_init(&turn);
	list_splice_back(&turn, &t->ready);
	while ((n = list_pop_front(&turn)))
		step(container_of(n, struct client, ready));
}

/* ---- the netstack's events */

static void on_established(struct rt_app *app)
{
	struct client *c = container_of(app, struct client, app);

	c->established = true;
	client_wake(c);
}

static void on_io(struct rt_app *app)
{
	struct client *c = container_of(app, struct client, app);

	if (c->established)
		client_wake(c);
}

static void on_end(struct rt_app *app, bool orderly)
{
	(void)orderly;
	client_end(container_of(app, struct client, app), false);
}

/* ---- life */

static void reap(void *arg, uint64_t now_ms)
{
	struct rt_dns_tcp *t = arg;
	struct list_node *n;

	(void)now_ms;
	while ((n = list_pop_front(&t->dead))) {
		struct client *c = container_of(n, struct client, all);

		t->n--;
		buf_fini(&c->in);
		buf_fini(&c->out);
		free(c);
	}
}

int rt_dns_tcp_new(struct rt_dns_tcp **out, struct rt *r)
{
	struct rt_dns_tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return ST_ENOMEM;
	t->rt = r;
	list_init(&t->clients);
	list_init(&t->ready);
	list_init(&t->dead);
	loop_task_init(&t->step_task, LOOP_FLUSH, clients_step, t);
	loop_task_init(&t->reap_task, LOOP_REAP, reap, t);
	*out = t;
	return 0;
}

void rt_dns_tcp_free(struct rt_dns_tcp *t)
{
	if (!t)
		return;
	list_for_each (n, &t->clients)
		client_end(container_of(n, struct client, all), true);
	reap(t, 0);
	loop_task_cancel(&t->step_task);
	loop_task_cancel(&t->reap_task);
	free(t);
}

uint32_t rt_dns_tcp_count(const struct rt_dns_tcp *t)
{
	return t->n;
}

struct rt_app *rt_dns_tcp_accept(struct rt *r, ns_conn conn, const struct ns_flow_key *key)
{
	static const struct rt_app_ops ops = {
		.established = on_established,
		.io = on_io,
		.end = on_end,
	};
	struct rt_dns_tcp *t = r->dns->tcp;
	const uint64_t now_ms = loop_now_ms(r->loop);
	struct client *c = t->n < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		log_limited(now_ms, LOG_WARN, "dns: a client by TCP is reset: %u are there", t->n);
		return NULL;
	}
	*c = (struct client){
		.app.ops = &ops, .tcp = t, .conn = conn, .key = *key, .active_ms = now_ms
	};
	buf_init(&c->in, LENGTH_BYTES + DNS_MESSAGE_MAX);
	buf_init(&c->out, OUT_MAX);
	list_init(&c->queries);
	list_node_init(&c->all);
	list_node_init(&c->ready);
	list_push_back(&t->clients, &c->all);
	t->n++;
	loop_timer_init(&c->timer, on_timer, c);
	ns_conn_accept(r->ns, conn);
	arm(c, now_ms);
	return &c->app;
}
