// SPDX-License-Identifier: MIT
/*
 * resolved_fake_stub.c - how the fake systemd-resolved answers names: the stub on UDP, and ResolveHostname
 *
 * Theory of operation: a question is an ask. It goes to every best matching link at once (as systemd-resolved does: the most labels of
 * a domain win; without one, the links that are default routes and the global servers), from a socket of its own and a random ID,
 * by the link's own interface. The first NOERROR wins; else the last answer; after a second each link's next server is asked, and after
 * four of them nobody answered. Nothing is cached: a test sees each question.
 */
#include "resolved_fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include <ldns/ldns.h>

#define MESSAGE_MAX 4096U /* bytes; design, 8 */
#define ASKS_MAX 512U
#define TRY_US 1000000U
#define TRIES 4U

struct ask {
	struct fake *f;
	uint8_t query[MESSAGE_MAX], answer[MESSAGE_MAX];
	size_t len, answer_len;
	uint16_t id; /* the asker's */
	int ifindexes[FAKE_LINKS + 1];
	size_t n_scopes, waiting;
	unsigned tries;
	int fd;
	sd_event_source *io, *timer;
	fake_done *done;
	void *arg;
};

static unsigned asks;

/* Return: labels of the longest domain that @name is below, or -1 */
static int match(const struct fake_link *l, const char *name)
{
	size_t len = strlen(name);
	int best = -1;

	for (size_t i = 0; i < l->n_domains; i++) {
		const char *d = l->domains[i].name;
		size_t n = strlen(d);
		int labels = n > 0;

		if (n > len || strcasecmp(name + len - n, d) != 0 ||
		    (n > 0 && n < len && name[len - n - 1] != '.'))
			continue;
		for (const char *p = d; *p; p++)
			labels += *p == '.';
		if (labels > best)
			best = labels;
	}
	return best;
}

/* As the real one: what was said, else true unless the link has domains for routing only. */
static bool is_default(const struct fake_link *l)
{
	if (l->default_route >= 0)
		return l->default_route;
	for (size_t i = 0; i < l->n_domains; i++)
		if (l->domains[i].route_only)
			return false;
	return true;
}

static void find_scopes(struct ask *a, const char *name)
{
	struct fake *f = a->f;
	int best = -2;

	for (size_t i = 0; i <= f->n_links; i++) {
		const struct fake_link *l = i == 0 ? &f->global : f->links[i - 1];
		int score = match(l, name);

		if (l->n_servers == 0 || (score < 0 && !is_default(l)) || score < best)
			continue;
		if (score > best)
			a->n_scopes = 0;
		best = score;
		a->ifindexes[a->n_scopes] = l->ifindex;
		a->n_scopes++;
	}
}

static void finish(struct ask *a, const uint8_t *msg, size_t len)
{
	sd_event_source_unref(a->io);
	sd_event_source_unref(a->timer);
	if (a->fd >= 0)
		close(a->fd);
	asks--;
	a->done(a->arg, msg, len);
	free(a);
}

static const struct fake_link *scope_of(const struct fake *f, int ifindex)
{
	if (ifindex == 0)
		return &f->global;
	for (size_t i = 0; i < f->n_links; i++)
		if (f->links[i]->ifindex == ifindex)
			return f->links[i];
	return NULL;
}

static void send_to(struct ask *a, const struct fake_server *s, int ifindex)
{
	uint32_t out = htonl((uint32_t)ifindex);
	union {
		struct sockaddr_in6 in6;
		struct sockaddr sa;
	} mapped = { .in6 = { .sin6_family = AF_INET6, .sin6_port = s->to.in6.sin6_port } };

	if (s->family == AF_INET) { /* the socket is of both families */
		mapped.in6.sin6_port = s->to.in.sin_port;
		mapped.in6.sin6_addr.s6_addr[10] = mapped.in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&mapped.in6.sin6_addr.s6_addr[12], s->bytes, 4);
	} else {
		mapped.in6.sin6_addr = s->to.in6.sin6_addr;
	}
	setsockopt(a->fd, IPPROTO_IPV6, IPV6_UNICAST_IF, &out, sizeof(out));
	setsockopt(a->fd, IPPROTO_IP, IP_UNICAST_IF, &out, sizeof(out));
	if (sendto(a->fd, a->query, a->len, 0, &mapped.sa, sizeof(mapped.in6)) == (ssize_t)a->len)
		a->waiting++;
}

static void send_round(struct ask *a)
{
	a->waiting = 0;
	for (size_t i = 0; i < a->n_scopes; i++) {
		const struct fake_link *l = scope_of(a->f, a->ifindexes[i]);

		if (l && l->n_servers > 0)
			send_to(a, &l->servers[a->tries % l->n_servers], l->ifindex);
	}
	a->tries++;
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct ask *a = arg;
	uint8_t msg[MESSAGE_MAX];
	ssize_t got = recv(fd, msg, sizeof(msg), MSG_DONTWAIT);

	(void)source, (void)events;
	if (got < 12) {
		if (got < 0 && errno != EAGAIN && a->waiting > 0)
			a->waiting--; /* an ICMP error: one has nobody there */
		return 0;
	}
	if (memcmp(msg, a->query, 2) != 0 || !(msg[2] & 0x80))
		return 0;
	memcpy(a->answer, msg, (size_t)got);
	a->answer_len = (size_t)got;
	if (a->waiting > 0)
		a->waiting--;
	if ((msg[3] & 0x0f) != 0 && a->waiting > 0)
		return 0;
	a->answer[0] = (uint8_t)(a->id >> 8);
	a->answer[1] = (uint8_t)a->id;
	finish(a, a->answer, a->answer_len);
	return 0;
}

static int on_try_over(sd_event_source *source, uint64_t now, void *arg)
{
	struct ask *a = arg;

	(void)now;
	if (a->tries >= TRIES || a->n_scopes == 0) {
		finish(a, a->answer, a->answer_len);
		return 0;
	}
	send_round(a);
	sd_event_source_set_time_relative(source, TRY_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int fake_ask(struct fake *f, const char *name, const uint8_t *query, size_t len, fake_done *done,
	     void *arg)
{
	struct ask *a = len >= 12 && len <= MESSAGE_MAX && asks < ASKS_MAX ? calloc(1, sizeof(*a))
									   : NULL;
	int off = 0;

	if (!a)
		return -ENOMEM;
	a->f = f, a->done = done, a->arg = arg, a->len = len;
	a->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0) {
		free(a);
		return -errno;
	}
	setsockopt(a->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	asks++;
	memcpy(a->query, query, len);
	a->id = (uint16_t)(query[0] << 8 | query[1]);
	if (getrandom(a->query, 2, 0) != 2)
		abort();
	find_scopes(a, name);
	sd_event_add_io(f->event, &a->io, a->fd, EPOLLIN, on_answer, a);
	send_round(a);
	sd_event_add_time_relative(f->event, &a->timer, CLOCK_MONOTONIC,
				   a->n_scopes > 0 ? TRY_US : 0, 0, on_try_over, a);
	return 0;
}

/* ---- the stub ---- */

struct stub_client {
	int fd;
	struct sockaddr_storage from;
	socklen_t from_len;
	uint8_t query[MESSAGE_MAX];
	size_t len;
};

static void stub_answer(void *arg, const uint8_t *msg, size_t len)
{
	struct stub_client *c = arg;

	if (len == 0) { /* SERVFAIL to the question as it came */
		c->query[2] |= 0x80;
		c->query[3] = 0x82;
		msg = c->query, len = c->len;
	}
	sendto(c->fd, msg, len, 0, (struct sockaddr *)&c->from, c->from_len);
	free(c);
}

/* The name of a message's only question, without the last dot. Return: false if it has none */
static bool question_name(char *out, size_t cap, const uint8_t *msg, size_t len)
{
	ldns_pkt *pkt;
	ldns_rr *q;
	char *text = NULL;

	if (ldns_wire2pkt(&pkt, msg, len) != LDNS_STATUS_OK)
		return false;
	q = ldns_rr_list_rr(ldns_pkt_question(pkt), 0);
	if (q)
		text = ldns_rdf2str(ldns_rr_owner(q));
	ldns_pkt_free(pkt);
	if (!text)
		return false;
	snprintf(out, cap, "%s", text);
	free(text);
	if (out[0] && out[strlen(out) - 1] == '.')
		out[strlen(out) - 1] = '\0';
	return true;
}

static int on_query(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct stub_client *c = calloc(1, sizeof(*c));
	char name[FAKE_NAME * 4];
	ssize_t got;

	(void)source, (void)events;
	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->from_len = sizeof(c->from);
	got = recvfrom(fd, c->query, sizeof(c->query), MSG_DONTWAIT, (struct sockaddr *)&c->from,
		       &c->from_len);
	c->len = got > 0 ? (size_t)got : 0;
	if (c->len < 12 || (c->query[2] & 0x80) ||
	    !question_name(name, sizeof(name), c->query, c->len) ||
	    fake_ask(arg, name, c->query, c->len, stub_answer, c) < 0)
		free(c);
	return 0;
}

int fake_stub_open(struct fake *f, const char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };

	if (inet_pton(AF_INET, text, &sa.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	f->stub_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->stub_fd < 0 || bind(f->stub_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return sd_event_add_io(f->event, NULL, f->stub_fd, EPOLLIN, on_query, f) < 0 ? -1 : 0;
}

/* ---- ResolveHostname ---- */

struct lookup {
	struct fake *f;
	sd_bus_message *m;
	char name[FAKE_NAME];
	int families[2]; /* still to ask; 0: none */
	struct {
		int family;
		uint8_t bytes[16];
		size_t size;
	} found[32];
	size_t n;
	bool nxdomain, answered;
};

static int lookup_reply(struct lookup *l)
{
	sd_bus_message *reply = NULL;
	int r;

	if (l->n == 0)
		return sd_bus_reply_method_errorf(
			l->m,
			l->nxdomain   ? "org.freedesktop.resolve1.DnsError.NXDOMAIN"
			: l->answered ? "org.freedesktop.resolve1.NoSuchRR"
				      : "org.freedesktop.resolve1.NoNameServers",
			"'%s' has no address", l->name);
	r = sd_bus_message_new_method_return(l->m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(iiay)");
	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		sd_bus_message_open_container(reply, 'r', "iiay");
		sd_bus_message_append(reply, "ii", 0, l->found[i].family);
		sd_bus_message_append_array(reply, 'y', l->found[i].bytes, l->found[i].size);
		r = sd_bus_message_close_container(reply);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_message_append(reply, "st", l->name, (uint64_t)1);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static void lookup_next(struct lookup *l);

static void take_addresses(struct lookup *l, const uint8_t *msg, size_t len)
{
	ldns_pkt *pkt;
	const ldns_rr_list *list;

	if (ldns_wire2pkt(&pkt, msg, len) != LDNS_STATUS_OK)
		return;
	l->answered = true;
	l->nxdomain = l->nxdomain || ldns_pkt_get_rcode(pkt) == LDNS_RCODE_NXDOMAIN;
	list = ldns_pkt_answer(pkt);
	for (size_t i = 0; i < ldns_rr_list_rr_count(list) && l->n < 32; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		ldns_rr_type type = ldns_rr_get_type(rr);

		if (type != LDNS_RR_TYPE_A && type != LDNS_RR_TYPE_AAAA)
			continue;
		l->found[l->n].family = type == LDNS_RR_TYPE_A ? AF_INET : AF_INET6;
		l->found[l->n].size = type == LDNS_RR_TYPE_A ? 4 : 16;
		memcpy(l->found[l->n].bytes, ldns_rdf_data(ldns_rr_rdf(rr, 0)),
		       l->found[l->n].size);
		l->n++;
	}
	ldns_pkt_free(pkt);
}

static void lookup_answer(void *arg, const uint8_t *msg, size_t len)
{
	if (len > 0)
		take_addresses(arg, msg, len);
	lookup_next(arg);
}

static bool lookup_ask(struct lookup *l, int family)
{
	ldns_pkt *pkt = NULL;
	uint8_t *wire = NULL;
	size_t len = 0;
	bool ok = false;

	if (ldns_pkt_query_new_frm_str(&pkt, l->name,
				       family == AF_INET ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA,
				       LDNS_RR_CLASS_IN, LDNS_RD) == LDNS_STATUS_OK) {
		if (ldns_pkt2wire(&wire, pkt, &len) == LDNS_STATUS_OK)
			ok = fake_ask(l->f, l->name, wire, len, lookup_answer, l) >= 0;
		ldns_pkt_free(pkt);
	}
	free(wire);
	return ok;
}

static void lookup_next(struct lookup *l)
{
	for (size_t i = 0; i < 2; i++) {
		int family = l->families[i];

		l->families[i] = 0;
		if (family != 0 && lookup_ask(l, family))
			return;
	}
	lookup_reply(l);
	sd_bus_message_unref(l->m);
	free(l);
}

int fake_lookup(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct lookup *l;
	const char *name;
	uint64_t flags;
	int ifindex, family, r = sd_bus_message_read(m, "isit", &ifindex, &name, &family, &flags);

	if (r < 0)
		return r;
	if (strlen(name) >= FAKE_NAME ||
	    (family != AF_INET && family != AF_INET6 && family != AF_UNSPEC))
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"Invalid hostname or family");
	if (!(l = calloc(1, sizeof(*l))))
		return -ENOMEM;
	l->f = arg;
	l->m = sd_bus_message_ref(m);
	snprintf(l->name, sizeof(l->name), "%s", name);
	if (l->name[0] && l->name[strlen(l->name) - 1] == '.')
		l->name[strlen(l->name) - 1] = '\0';
	l->families[0] = family == AF_INET6 ? 0 : AF_INET;
	l->families[1] = family == AF_INET ? 0 : AF_INET6;
	lookup_next(l);
	return 1;
}
