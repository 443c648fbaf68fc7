// SPDX-License-Identifier: MIT
/*
 * keep_resolved.c - systemd-resolved's link settings, over the system's bus
 *
 * Theory of operation: nothing here waits for a single answer. Calls are sent one after the other, their answers counted, and the whole
 * of them waited for under one time, which a hang-up of the daemon's end cuts short: a bus or a resolved that hangs costs that time, once.
 * What the link must not be, even for a moment, decides the order: it is no default route before it has a server, and
 * no server without its domains. Settings that only some versions know may fail.
 *
 * DNSSEC and DNS over TLS are off for our link alone: the answers are ours, so neither can hold there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-bus.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"
#include "keeper/keep_dns.h"

#define RESOLVED "org.freedesktop.resolve1"
#define OBJECT "/org/freedesktop/resolve1"
#define MANAGER "org.freedesktop.resolve1.Manager"
#define BUS "org.freedesktop.DBus"
#define BUS_OBJECT "/org/freedesktop/DBus"
#define DOMAINS_MAX 1024U /* a link's; systemd 252, LINK_SEARCH_DOMAINS_MAX */
#define CALL_USEC                                                                                  \
	(UINT64_C(30) * 1000000) /* sd-bus gives a call up then; ours: nobody waits that long */

struct keep_bus {
	sd_bus *bus;
	uint32_t waiting;   /* answers */
	char why[KEEP_WHY]; /* the first refusal; "" */
	bool gone;	    /* a refusal was the bus's own: nobody has the name */
	bool restarted;
	bool found; /* by keep_bus_has_resolved() */
};

static int sys_error(struct keep_bus *b, int r, const char *what)
{
	log_debug("keeper: bus: %s: %s", what, strerror(-r));
	if (!b->why[0])
		snprintf(b->why, sizeof(b->why), "the system's bus: %s", strerror(-r));
	return r == -ENOMEM ? ST_ENOMEM : ST_ESYS;
}

/* ---- waiting ---- */

static bool is_answered(struct keep_bus *b)
{
	return b->waiting == 0;
}

static bool is_ready(struct keep_bus *b)
{
	return sd_bus_is_ready(b->bus) > 0;
}

static int timeout_of(struct keep_bus *b)
{
	uint64_t due, now_ms = keep_now_ms();

	if (sd_bus_get_timeout(b->bus, &due) < 0 || due == UINT64_MAX)
		return -1;
	due = (due + 999) / 1000;
	return due <= now_ms ? 0 : (int)MIN(due - now_ms, (uint64_t)INT32_MAX);
}

int keep_bus_poll(struct keep_bus *b, struct pollfd *p)
{
	int events = sd_bus_get_events(b->bus);

	*p = (struct pollfd){ .fd = sd_bus_get_fd(b->bus),
			      .events = (short)(events > 0 ? events : POLLIN) };
	return timeout_of(b);
}

/* One round of work. Return: more than 0 if there may be more at once; 0; ST_ESYS */
static int work(struct keep_bus *b)
{
	int r = sd_bus_process(b->bus, NULL);

	return r < 0 ? sys_error(b, r, "process") : r;
}

static int wait_for(struct keep_bus *b, bool (*done)(struct keep_bus *), uint32_t wait_ms,
		    int stop_fd)
{
	const uint64_t end = keep_now_ms() + wait_ms;
	struct pollfd p[2] = { { .fd = -1 }, { .fd = stop_fd, .events = POLLRDHUP } };
	int timeout, r;

	for (;;) {
		uint64_t now = keep_now_ms();

		if ((r = work(b)) < 0)
			return r;
		if (done(b))
			return 0;
		if (now >= end)
			return ST_ETIMEOUT;
		if (r > 0)
			continue;
		timeout = keep_bus_poll(b, &p[0]);
		if (timeout < 0 || (uint64_t)timeout > end - now)
			timeout = (int)(end - now);
		if (poll(p, 2, timeout) < 0 && errno != EINTR)
			return ST_ESYS;
		if (p[1].revents)
			return ST_ECLOSED;
	}
}

/* ---- opening ---- */

int keep_bus_open(struct keep_bus **out, uint32_t wait_ms, int stop_fd, char why[KEEP_WHY])
{
	struct keep_bus *b = calloc(1, sizeof(*b));
	int r;

	*out = NULL;
	if (!b)
		return ST_ENOMEM;
	if ((r = sd_bus_open_system(&b->bus)) < 0)
		r = sys_error(b, r, "open");
	else if ((r = wait_for(b, is_ready, wait_ms, stop_fd)) == ST_ETIMEOUT)
		snprintf(b->why, sizeof(b->why), "the system's bus does not answer");
	text_copy(why, KEEP_WHY, b->why);
	if (r < 0) {
		keep_bus_close(b);
		return r;
	}
	*out = b;
	return 0;
}

void keep_bus_close(struct keep_bus *b)
{
	if (!b)
		return;
	sd_bus_close(b->bus); /* what was sent and not yet written is lost: callers wait */
	sd_bus_unref(b->bus);
	free(b);
}

/* ---- is it there? ---- */

static int on_owner(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct keep_bus *b = arg;
	int has = 0;

	(void)error;
	b->waiting--;
	if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "b", &has) >= 0 &&
	    has)
		b->found = true;
	return 0;
}

static int on_activatable(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct keep_bus *b = arg;
	const char *name;

	(void)error;
	b->waiting--;
	if (sd_bus_message_is_method_error(m, NULL) ||
	    sd_bus_message_enter_container(m, 'a', "s") < 0)
		return 0;
	while (sd_bus_message_read(m, "s", &name) > 0)
		if (strcmp(name, RESOLVED) == 0)
			b->found = true;
	return 0;
}

static bool ask_owner(struct keep_bus *b)
{
	b->found = false;
	if (sd_bus_call_method_async(b->bus, NULL, BUS, BUS_OBJECT, BUS, "NameHasOwner", on_owner,
				     b, "s", RESOLVED) < 0)
		return false;
	b->waiting++;
	return true;
}

bool keep_bus_is_owned(struct keep_bus *b, int stop_fd)
{
	return !ask_owner(b) || wait_for(b, is_answered, KEEP_BUS_MS, stop_fd) < 0 || b->found;
}

bool keep_bus_has_resolved(struct keep_bus *b, int stop_fd)
{
	if (!ask_owner(b))
		return false;
	if (sd_bus_call_method_async(b->bus, NULL, BUS, BUS_OBJECT, BUS, "ListActivatableNames",
				     on_activatable, b, "") < 0)
		return false;
	b->waiting++;
	return wait_for(b, is_answered, KEEP_BUS_MS, stop_fd) == 0 && b->found;
}

static int on_owner_changed(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct keep_bus *b = arg;
	const char *name, *before, *after;

	(void)error;
	if (sd_bus_message_read(m, "sss", &name, &before, &after) >= 0 &&
	    strcmp(name, RESOLVED) == 0 && after[0] != '\0')
		b->restarted = true;
	return 0;
}

int keep_bus_watch(struct keep_bus *b)
{
	int r = sd_bus_add_match_async(b->bus, NULL,
				       "type='signal',sender='" BUS "',interface='" BUS
				       "',member='NameOwnerChanged',arg0='" RESOLVED "'",
				       on_owner_changed, NULL, b);

	return r < 0 ? sys_error(b, r, "watch") : 0;
}

/* ---- calls ---- */

static int on_answer(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct keep_bus *b = arg;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct text_safe text;

	(void)error;
	b->waiting--;
	if (!e)
		return 0;
	text = text_safe(e->message ? e->message : e->name);
	log_debug("keeper: systemd-resolved: %s", text.s);
	b->gone = b->gone || strcmp(e->name, SD_BUS_ERROR_SERVICE_UNKNOWN) == 0;
	if (!b->why[0])
		snprintf(b->why, sizeof(b->why), "systemd-resolved: %.120s", text.s);
	return 0;
}

/* For what older versions don't have, and what does no harm. */
static int on_optional(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct keep_bus *b = arg;
	const sd_bus_error *e = sd_bus_message_get_error(m);

	(void)error;
	b->waiting--;
	if (e)
		log_debug("keeper: systemd-resolved: %s",
			  text_safe(e->message ? e->message : e->name).s);
	return 0;
}

static int new_call(struct keep_bus *b, sd_bus_message **out, const char *method, uint32_t ifindex)
{
	int r = sd_bus_message_new_method_call(b->bus, out, RESOLVED, OBJECT, MANAGER, method);

	return r < 0 ? r : sd_bus_message_append(*out, "i", (int)ifindex);
}

/* Takes @m. @r: what became of making it */
static int send_call(struct keep_bus *b, sd_bus_message *m, int r, sd_bus_message_handler_t handler)
{
	if (r >= 0)
		r = sd_bus_call_async(b->bus, NULL, m, handler, b, CALL_USEC);
	sd_bus_message_unref(m);
	if (r < 0)
		return sys_error(b, r, "send");
	b->waiting++;
	return 0;
}

static int send_setting(struct keep_bus *b, uint32_t ifindex, const char *method, const char *value)
{
	sd_bus_message *m = NULL;
	int r = new_call(b, &m, method, ifindex);

	if (r >= 0)
		r = sd_bus_message_append(m, "s", value);
	return send_call(b, m, r, on_optional);
}

static int send_default_route(struct keep_bus *b, const struct keep_dns *want)
{
	sd_bus_message *m = NULL;
	int r = new_call(b, &m, "SetLinkDefaultRoute", want->ifindex);

	if (r >= 0)
		r = sd_bus_message_append(m, "b", (int)want->default_route);
	return send_call(b, m, r, on_answer);
}

static int send_domains(struct keep_bus *b, const struct keep_dns *want,
			const struct keep_names *names)
{
	uint32_t max = DOMAINS_MAX - want->default_route;
	sd_bus_message *m = NULL;
	int r = new_call(b, &m, "SetLinkDomains", want->ifindex);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sb)");
	if (r >= 0 && want->default_route)
		r = sd_bus_message_append(m, "(sb)", ".", 1);
	for (uint32_t i = 0; r >= 0 && i < names->n && i < max; i++)
		r = sd_bus_message_append(m, "(sb)", names->name[i], 1);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return send_call(b, m, r, on_answer);
}

static int append_server(sd_bus_message *m, const struct net_addr *a)
{
	int r = sd_bus_message_open_container(m, 'r', "iay");

	if (r >= 0)
		r = sd_bus_message_append(m, "i", a->family == 6 ? AF_INET6 : AF_INET);
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', a->b, net_addr_bytes(a));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int send_servers(struct keep_bus *b, const struct keep_dns *want)
{
	sd_bus_message *m = NULL;
	int r = new_call(b, &m, "SetLinkDNS", want->ifindex);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(iay)");
	for (size_t i = 0; r >= 0 && i < KEEP_SERVERS; i++)
		if (want->servers[i].family != 0)
			r = append_server(m, &want->servers[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return send_call(b, m, r, on_answer);
}

/* @start: may the call start it? */
static int send_flush(struct keep_bus *b, bool start)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(b->bus, &m, RESOLVED, OBJECT, MANAGER,
					       "FlushCaches");

	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, start);
	return send_call(b, m, r, on_optional);
}

int keep_bus_send(struct keep_bus *b, const struct keep_dns *want, const struct keep_names *names)
{
	static const char *const off[] = { "SetLinkLLMNR", "SetLinkMulticastDNS",
					   "SetLinkDNSOverTLS", "SetLinkDNSSEC" };
	int r = 0;

	b->why[0] = '\0';
	b->gone = false;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(off); i++)
		r = send_setting(b, want->ifindex, off[i], "no");
	if (r < 0 || (r = send_default_route(b, want)) < 0 ||
	    (r = send_domains(b, want, names)) < 0 || (r = send_servers(b, want)) < 0)
		return r;
	return send_flush(b, true);
}

static int send_revert(struct keep_bus *b, uint32_t ifindex)
{
	sd_bus_message *m = NULL;
	int r = new_call(b, &m, "RevertLink", ifindex);

	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, 0);
	return send_call(b, m, r, on_optional);
}

int keep_bus_revert(struct keep_bus *b, uint32_t ifindex)
{
	int r = ifindex != 0 ? send_revert(b, ifindex) : 0;

	return r < 0 ? r : send_flush(b, false);
}

int keep_bus_result(const struct keep_bus *b, char why[KEEP_WHY])
{
	if (b->waiting > 0)
		return ST_EAGAIN;
	text_copy(why, KEEP_WHY, b->why);
	if (b->gone)
		return ST_ENOENT;
	return b->why[0] ? ST_ESYS : 0;
}

int keep_bus_wait(struct keep_bus *b, uint32_t wait_ms, int stop_fd, char why[KEEP_WHY])
{
	int r = wait_for(b, is_answered, wait_ms, stop_fd);

	if (r == 0 && b->why[0])
		r = ST_ESYS;
	text_copy(why, KEEP_WHY, r == ST_ETIMEOUT ? "systemd-resolved does not answer" : b->why);
	return r;
}

int keep_bus_process(struct keep_bus *b, bool *restarted)
{
	int r;

	while ((r = work(b)) > 0)
		;
	*restarted = b->restarted;
	b->restarted = false;
	return r < 0 ? ST_ECLOSED : 0;
}
