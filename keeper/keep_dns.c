// SPDX-License-Identifier: MIT
/*
 * keep_dns.c - the system's resolver settings in the keeper's process: set, held and looked at
 *
 * Theory of operation: one manager at a time is told of us. The journal says which before it is told, so that whoever finds the journal can
 * undo it. Then it is held: resolved gets its settings again when it comes back (its name on the bus changes owner) or the bus does; the
 * file is put right again when others rewrite it, WRITES times a minute at most, after which it is theirs. Nothing here wakes up
 * the process while all is well: there is the bus's descriptor or that of inotify.
 *
 * The daemon is only half trusted: what it names ends up in files of root's, so suffixes are checked byte by byte and servers are addresses.
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"
#include "keeper/keep_dns.h"

#define SETTLE_MS 100U /* ours: who rewrites the file may do so in several steps */
#define WRITES 5U      /* ours: a DHCP client writes once, a fight doesn't end */
#define MINUTE_MS 60000U
#define RETRY_FIRST_MS 1000U /* ours: a bus that is restarted is back by then */
#define RETRY_MAX_MS 60000U
#define LABEL_MAX 63U /* RFC 1035, 2.3.4 */

/* ---- suffixes ---- */

static void names_clear(struct keep_names *n)
{
	while (n->n > 0)
		free(n->name[--n->n]);
}

/* As base/dname.h makes them: labels of lower case letters, digits, hyphens and underscores. */
static bool suffix_ok(const char *suffix, size_t cap)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
	size_t len = strnlen(suffix, cap), label = 0;

	if (len == 0 || len == cap || strspn(suffix, allowed) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (suffix[i] != '.' && ++label > LABEL_MAX)
			return false;
		if (suffix[i] != '.')
			continue;
		if (label == 0)
			return false;
		label = 0;
	}
	return label > 0;
}

int keep_dns_add(struct keep_dns_run *d, const char *suffix, size_t cap)
{
	struct keep_names *s = &d->staged;

	int r = 0;

	if (!suffix_ok(suffix, cap))
		r = ST_EINVAL;
	else if (s->n == KEEP_SUFFIXES_MAX)
		r = ST_EFULL;
	else if (!(s->name[s->n] = strdup(suffix)))
		r = ST_ENOMEM;
	else
		s->n++;
	if (r < 0) /* nor are the others meant for what is set next */
		names_clear(s);
	return r;
}

/* ---- what is wanted ---- */

static bool read_want(struct keep_dns *out, const struct keep_request *req)
{
	bool any = false;

	if (req->manager >= KEEP_DNS_MANAGER_N)
		return false;
	*out = (struct keep_dns){ .manager = (enum keep_dns_manager)req->manager,
				  .ifindex = req->ifindex,
				  .default_route = req->default_route != 0 };
	for (size_t i = 0; i < KEEP_SERVERS; i++) {
		const struct net_addr *a = &req->servers[i];

		if (a->family != 0 && a->family != 4 && a->family != 6)
			return false;
		out->servers[i].family = a->family;
		memcpy(out->servers[i].b, a->b, a->family == 0 ? 0 : net_addr_bytes(a));
		any = any || a->family != 0;
	}
	return any || out->manager == KEEP_DNS_NONE;
}

void keep_dns_init(struct keep_dns_run *d, struct keep_journal *j, int stop_fd)
{
	*d = (struct keep_dns_run){
		.journal = j, .stop_fd = stop_fd, .watch_fd = -1, .wait_ms = RETRY_FIRST_MS
	};
}

/* No longer held; what was set stands. */
static void let_go(struct keep_dns_run *d)
{
	keep_bus_close(d->bus);
	d->bus = NULL;
	if (d->watch_fd >= 0)
		close(d->watch_fd);
	d->watch_fd = -1;
	d->check_ms = d->retry_ms = 0;
	d->wait_ms = RETRY_FIRST_MS;
	d->stands = false;
}

void keep_dns_fini(struct keep_dns_run *d)
{
	let_go(d);
	names_clear(&d->staged);
	names_clear(&d->names);
}

static int note(struct keep_dns_run *d, enum keep_dns_manager manager)
{
	d->manager = manager;
	d->journal->resolver = manager;
	memcpy(d->journal->servers, d->want.servers, sizeof(d->journal->servers));
	return keep_journal_write(d->journal);
}

/* Whoever was told is told that we have gone. A resolvconf that fails stays in the journal: it is asked again at the end. */
static int take_back(struct keep_dns_run *d)
{
	const enum keep_dns_manager was = d->manager;
	int r;

	let_go(d);
	if (was == KEEP_DNS_FILE && (r = keep_dns_undo_file(d->journal)) < 0)
		return r;
	if (was != KEEP_DNS_FILE && was != KEEP_DNS_NONE && keep_dns_undo_others(d->journal) < 0)
		return 0;
	return note(d, KEEP_DNS_NONE);
}

/* ---- setting ---- */

static int set_resolved(struct keep_dns_run *d)
{
	char name[IF_NAMESIZE];
	int r;

	if (!if_indextoname(d->want.ifindex, name) || strcmp(name, d->journal->device) != 0)
		return ST_EINVAL; /* only our own link */
	if (!d->bus && ((r = keep_bus_open(&d->bus, KEEP_BUS_MS, d->stop_fd, d->why)) < 0 ||
			(r = keep_bus_watch(d->bus)) < 0))
		return r;
	if ((r = keep_bus_send(d->bus, &d->want, &d->names)) < 0)
		return r;
	r = keep_bus_wait(d->bus, KEEP_SET_MS, d->stop_fd, d->why);
	d->stands = r == 0;
	return r;
}

/* Before the file is looked at, so that no change falls between; the link may lead elsewhere now. Without it, what others write is only
 * not put right again. */
static void watch_anew(struct keep_dns_run *d)
{
	if (d->watch_fd >= 0)
		close(d->watch_fd);
	d->watch_fd = keep_file_watch();
}

static int set_file(struct keep_dns_run *d)
{
	int r;

	watch_anew(d);
	r = keep_file_set(d->journal->name, d->want.servers, d->why);
	d->stands = r >= 0;
	return r < 0 ? r : 0;
}

static int set_rconf(struct keep_dns_run *d)
{
	int r = keep_rconf_set(d->journal, d->stop_fd, d->why);

	d->stands = r == 0;
	return r;
}

static int (*const setters[KEEP_DNS_MANAGER_N])(struct keep_dns_run *) = {
	[KEEP_DNS_RESOLVED] = set_resolved,
	[KEEP_DNS_RESOLVCONF] = set_rconf,
	[KEEP_DNS_FILE] = set_file,
};

static void retry_later(struct keep_dns_run *d, uint64_t now_ms)
{
	d->retry_ms = now_ms + d->wait_ms;
	d->wait_ms = MIN(d->wait_ms * 2, RETRY_MAX_MS);
}

/* The bus knows how to start systemd-resolved, and could not: it is switched off, and nobody looks names up by it. @why stays the text. */
static int set_other(struct keep_dns_run *d, const char *why)
{
	const enum keep_dns_manager choice = keep_choose_other();
	int r = note(d, choice);

	if (r < 0)
		return r;
	if ((r = setters[choice](d)) == 0)
		text_copy(d->why, sizeof(d->why), why);
	else if (r != ST_ECLOSED)
		r = take_back(d);
	return r;
}

/* A manager that was chosen and did not take it: names go on without us, unless resolved is only slow, or not what is in force. */
static int set_failed(struct keep_dns_run *d, int r)
{
	char why[KEEP_WHY];
	bool absent;

	if (r == ST_EINVAL || r == ST_ECLOSED)
		return r;
	if (r == ST_ETIMEOUT && d->manager == KEEP_DNS_RESOLVED &&
	    d->want.manager == KEEP_DNS_AUTO) {
		snprintf(d->why, sizeof(d->why),
			 "systemd-resolved does not answer; it counts once it does");
		if (!d->bus)
			retry_later(d, keep_now_ms());
		return 0;
	}
	text_copy(why, sizeof(why), d->why);
	absent = d->manager == KEEP_DNS_RESOLVED && d->bus &&
		 !keep_bus_is_owned(d->bus, d->stop_fd);
	if (take_back(d) < 0)
		return ST_ESYS;
	if (absent && d->want.manager == KEEP_DNS_AUTO)
		return set_other(d, why);
	text_copy(d->why, sizeof(d->why), why);
	return d->want.manager == KEEP_DNS_AUTO ? 0 : ST_EUNSUPPORTED;
}

static int apply(struct keep_dns_run *d, const struct keep_dns *want)
{
	char why[KEEP_WHY];
	enum keep_dns_manager choice = keep_choose(want->manager, d->stop_fd, why);
	int r;

	if (choice == KEEP_DNS_NONE && want->manager != KEEP_DNS_NONE) {
		text_copy(d->why, sizeof(d->why), why);
		return ST_EUNSUPPORTED;
	}
	if (d->manager != KEEP_DNS_NONE && d->manager != choice && (r = take_back(d)) < 0)
		return r;
	names_clear(&d->names);
	d->names = d->staged;
	d->staged.n = 0;
	d->want = *want;
	text_copy(d->why, sizeof(d->why), why);
	d->rewrites = 0;
	if (choice == KEEP_DNS_NONE)
		return 0;
	if ((r = note(d, choice)) < 0)
		return r;
	r = setters[choice](d);
	return r < 0 ? set_failed(d, r) : 0;
}

int keep_dns_apply(struct keep_dns_run *d, const struct keep_request *req,
		   struct keep_dns_state *out)
{
	struct keep_dns want;
	int r = read_want(&want, req) ? apply(d, &want) : ST_EINVAL;

	names_clear(&d->staged);
	keep_dns_state(d, out);
	return r;
}

void keep_dns_state(struct keep_dns_run *d, struct keep_dns_state *out)
{
	*out = (struct keep_dns_state){ .manager = d->stands ? d->manager : KEEP_DNS_NONE };
	text_copy(out->text, sizeof(out->text), d->why);
	out->n_former = keep_former(out->former, d->journal->servers);
}

/* ---- holding ---- */

static void bus_lost(struct keep_dns_run *d, uint64_t now_ms)
{
	if (d->stands)
		log_warn("keeper: the system's bus has gone; systemd-resolved is told again when "
			 "it is back");
	keep_bus_close(d->bus);
	d->bus = NULL;
	d->stands = false;
	snprintf(d->why, sizeof(d->why), "the system's bus has gone");
	retry_later(d, now_ms);
}

/* Without waiting for the answers: they come as events. */
static void tell_again(struct keep_dns_run *d, uint64_t now_ms)
{
	d->retry_ms = 0;
	d->stands = false;
	if (!d->bus && (keep_bus_open(&d->bus, KEEP_BUS_MS, d->stop_fd, d->why) < 0 ||
			keep_bus_watch(d->bus) < 0)) {
		bus_lost(d, now_ms);
		return;
	}
	if (keep_bus_send(d->bus, &d->want, &d->names) < 0)
		bus_lost(d, now_ms);
}

static void process_bus(struct keep_dns_run *d, uint64_t now_ms)
{
	bool restarted;
	int r;

	if (keep_bus_process(d->bus, &restarted) < 0) {
		bus_lost(d, now_ms);
		return;
	}
	if (restarted) {
		log_info("keeper: systemd-resolved has started: it is told of \"%s\" again",
			 d->journal->name);
		tell_again(d, now_ms);
		return;
	}
	if (d->stands || d->retry_ms != 0 || (r = keep_bus_result(d->bus, d->why)) == ST_EAGAIN)
		return;
	if (r == ST_ENOENT)
		return; /* its name on the bus will tell */
	if (r < 0) {
		if (d->wait_ms == RETRY_FIRST_MS)
			log_warn("keeper: %s: %s", d->journal->name, d->why);
		retry_later(d, now_ms);
		return;
	}
	d->stands = true;
	d->wait_ms = RETRY_FIRST_MS;
	log_info("keeper: systemd-resolved knows \"%s\" again", d->journal->name);
}

static void leave_file(struct keep_dns_run *d)
{
	d->stands = false;
	close(d->watch_fd);
	d->watch_fd = -1;
	snprintf(d->why, sizeof(d->why),
		 "others keep rewriting /etc/resolv.conf: left to them; \"ssm-tun reload\" tries "
		 "again");
	log_warn("keeper: %s: %s", d->journal->name, d->why);
}

/* Somebody touched the file or its folder. */
static void check_file(struct keep_dns_run *d, uint64_t now_ms)
{
	int r;

	d->check_ms = 0;
	if (now_ms - d->rewrites_from_ms >= MINUTE_MS) {
		d->rewrites_from_ms = now_ms;
		d->rewrites = 0;
	}
	if (d->rewrites >= WRITES && !keep_file_stands(d->journal->name, d->want.servers)) {
		leave_file(d);
		return;
	}
	watch_anew(d);
	r = keep_file_set(d->journal->name, d->want.servers, d->why);
	if (r > 0) {
		d->rewrites++;
		log_info("keeper: /etc/resolv.conf was rewritten by others: our server is first "
			 "again, before theirs");
	} else if (r < 0 && d->stands) { /* once, not for each file of its folder that changes */
		log_warn("keeper: %s: %s", d->journal->name, d->why);
	}
	d->stands = r >= 0;
}

int keep_dns_poll(struct keep_dns_run *d, struct pollfd p[2], uint64_t now_ms)
{
	uint64_t due = 0;
	int timeout = -1, left;

	p[0] = p[1] = (struct pollfd){ .fd = -1 };
	if (d->bus)
		timeout = keep_bus_poll(d->bus, &p[0]);
	if (d->watch_fd >= 0)
		p[1] = (struct pollfd){ .fd = d->watch_fd, .events = POLLIN };
	due = d->check_ms && d->retry_ms ? MIN(d->check_ms, d->retry_ms)
					 : d->check_ms + d->retry_ms;
	if (due == 0)
		return timeout;
	left = due <= now_ms ? 0 : (int)(due - now_ms);
	return timeout < 0 ? left : MIN(timeout, left);
}

void keep_dns_process(struct keep_dns_run *d, const struct pollfd p[2], uint64_t now_ms)
{
	if (d->bus) /* also for its own times */
		process_bus(d, now_ms);
	if (d->watch_fd >= 0 && p[1].revents && keep_file_touched(d->watch_fd))
		d->check_ms = now_ms + SETTLE_MS;
	if (d->check_ms != 0 && d->check_ms <= now_ms)
		check_file(d, now_ms);
	if (d->retry_ms != 0 && d->retry_ms <= now_ms)
		tell_again(d, now_ms);
}

/* ---- undoing ---- */

int keep_dns_undo_file(const struct keep_journal *j)
{
	return keep_file_undo(j->name, j->servers);
}

static void undo_resolved(const struct keep_journal *j)
{
	struct keep_bus *bus;
	char why[KEEP_WHY] = "";
	int r = keep_bus_open(&bus, KEEP_REVERT_MS, -1, why);

	if (r == 0) {
		r = keep_bus_revert(bus, j->device[0] ? if_nametoindex(j->device) : 0);
		if (r == 0)
			r = keep_bus_wait(bus, KEEP_REVERT_MS, -1, why);
		keep_bus_close(bus);
	}
	if (r < 0) /* its settings of our link go with the link */
		log_debug("keeper: %s: %s", j->name, why);
}

int keep_dns_undo_others(const struct keep_journal *j)
{
	if (j->resolver == KEEP_DNS_RESOLVED)
		undo_resolved(j);
	return j->resolver == KEEP_DNS_RESOLVCONF ? keep_rconf_undo(j) : 0;
}
