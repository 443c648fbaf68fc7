// SPDX-License-Identifier: MIT
/* keep_dns.h - what the files of keeper/ that hold the system's resolver settings ask of each other; only keeper/ and its tests include it */
#ifndef KEEPER_KEEP_DNS_H
#define KEEPER_KEEP_DNS_H

#include <poll.h>

#include "base/buf.h"
#include "keeper/keeper_internal.h"

#define KEEP_CONF_MAX                                                                              \
	KIB(64) /* bytes of a resolv.conf that we touch; ours: real ones have less than one */
#define KEEP_SERVERS 2U		/* of ours: one each family */
#define KEEP_NOBODY "127.0.0.1" /* whom libraries ask where no server is named; resolv.conf(5) */
#define KEEP_WHY 160U /* bytes of a reason for people; the text of struct keep_dns_state */

/* ---- keep_text.c: resolv.conf as text ---- */

/* Every line of ours stands behind a comment line of ours that says so, so the file itself says what to take out, also after a
 * reboot that lost the journal. */

/** keep_text_strip() - appends @in without our lines, and without a "nameserver" of @servers. Return: 0; ST_EFULL; ST_ENOMEM */
int keep_text_strip(struct buf *out, const struct buf *in,
		    const struct net_addr servers[KEEP_SERVERS]);
/** keep_text_make() - appends @former with the first of our servers in front and `options timeout:1` behind; 127.0.0.1 where @former names
 * nobody, as libraries do then. Return: 0; ST_EFULL; ST_ENOMEM */
int keep_text_make(struct buf *out, const struct buf *former, const char *name,
		   const struct net_addr servers[KEEP_SERVERS]);
/** keep_text_servers() - the addresses of "nameserver" lines in their order, at most @cap; zones are left out. Return: how many */
uint32_t keep_text_servers(struct net_addr *out, uint32_t cap, const struct buf *in);
/** keep_text_names_any() - is there a "nameserver" line, whatever it names? */
bool keep_text_names_any(const struct buf *in);
/** keep_text_has_ours() - is there a line that keep_text_make() marked? */
bool keep_text_has_ours(const struct buf *in);
/** keep_text_nss_resolve() - nsswitch.conf: does "hosts:" name resolve, and before dns? */
bool keep_text_nss_resolve(const struct buf *in);

/* ---- keep_file.c: /etc/resolv.conf ---- */

/** keep_etc_path() - @path behind the root that keep_set_root() chose. Return: @out */
const char *keep_etc_path(char out[KEEP_PATH_MAX], const char *path);
/** keep_file_read() - what /etc/resolv.conf leads to, by any links. Return: 0; ST_ENOENT; ST_EFULL; ST_ESYS … as file_read_follow() */
int keep_file_read(struct buf *out);
/** keep_file_set() - our servers first, after a copy of what was there was put into the instance's folder; nothing is written if it stands
 * already. Return: 1 if it was written, else 0; ST_EPERM: it can't be written safely or at all, @why says what is in the way; ST_ENOMEM */
int keep_file_set(const char *name, const struct net_addr servers[KEEP_SERVERS],
		  char why[KEEP_WHY]);
/** keep_file_stands() - would keep_file_set() have nothing to write? */
bool keep_file_stands(const char *name, const struct net_addr servers[KEEP_SERVERS]);
/** keep_file_undo() - what was there, byte for byte, if it is still as keep_file_set() made it; else only our lines go.
 * Return: 0, also if nothing of ours is there; ST_ESYS (logged) */
int keep_file_undo(const char *name, const struct net_addr servers[KEEP_SERVERS]);
/** keep_file_watch() - an inotify descriptor on the folder of /etc/resolv.conf and of what it links to. Return: fd; ST_ESYS (logged) */
int keep_file_watch(void);
/** keep_file_touched() - reads the events of @fd. Return: was one of them about the file? */
bool keep_file_touched(int fd);

/* ---- keep_choice.c: what is in force ---- */

enum keep_rconf { KEEP_RCONF_NONE, KEEP_RCONF_DEBIAN, KEEP_RCONF_OPEN };
/** keep_rconf_kind() - which resolvconf program is there? One that is resolvectl under another name is none */
enum keep_rconf keep_rconf_kind(void);
/** keep_choose() - the manager for @wish, never AUTO; NONE with @why if the wished one is not in force. May start the bus (at most KEEP_BUS_MS);
 * @stop_fd: a hang-up there ends the wait */
enum keep_dns_manager keep_choose(enum keep_dns_manager wish, int stop_fd, char why[KEEP_WHY]);
/** keep_choose_other() - what AUTO takes where systemd-resolved is not in force: RESOLVCONF or FILE */
enum keep_dns_manager keep_choose_other(void);
/** keep_former() - the machine's resolvers without us (@servers); 127.0.0.1 where nobody is named. Return: how many, at most KEEP_RESOLVERS_MAX */
uint32_t keep_former(struct net_addr *out, const struct net_addr servers[KEEP_SERVERS]);

/* ---- keep_rconf.c: resolvconf and openresolv ---- */

/** keep_rconf_set() - the first of our servers as the record "DEVICE.NAME". Return: 0; ST_ESYS, ST_ETIMEOUT, ST_EUNSUPPORTED: @why */
int keep_rconf_set(const struct keep_journal *j, int stop_fd, char why[KEEP_WHY]);
/** keep_rconf_undo() - the record goes; none is fine. Return: 0; ST_ESYS, ST_ETIMEOUT (logged) */
int keep_rconf_undo(const struct keep_journal *j);

/* ---- keep_resolved.c: systemd-resolved ---- */

#define KEEP_BUS_MS 1000U /* ours: until a bus has taken us; it takes 1 ms */
#define KEEP_SET_MS                                                                                \
	3000U /* ours: until resolved has answered all; below keeper.h's 5 s, and above what its own start takes */
#define KEEP_REVERT_MS 400U /* ours: the undoing must not wait longer for the bus */

struct keep_names {
	char *name[KEEP_SUFFIXES_MAX];
	uint32_t n;
};

/* One connection to the system's bus. */
struct keep_bus;

/** keep_bus_open() - Return: 0; ST_ESYS, ST_ETIMEOUT, ST_ECLOSED (@stop_fd hung up): @why */
int keep_bus_open(struct keep_bus **out, uint32_t wait_ms, int stop_fd, char why[KEEP_WHY]);
void keep_bus_close(struct keep_bus *b); /* NULL is fine */
/** keep_bus_has_resolved() - does systemd-resolved run, or would a call start it? Within KEEP_BUS_MS */
bool keep_bus_has_resolved(struct keep_bus *b, int stop_fd);
/** keep_bus_is_owned() - does it run, now? Within KEEP_BUS_MS; true if that is not known */
bool keep_bus_is_owned(struct keep_bus *b, int stop_fd);
/** keep_bus_watch() - from now on keep_bus_process() tells of resolved's restarts. Return: 0; ST_ESYS */
int keep_bus_watch(struct keep_bus *b);
/** keep_bus_send() - all of @want and @names, without waiting. Return: 0; ST_ESYS, ST_ENOMEM: the connection is of no more use */
int keep_bus_send(struct keep_bus *b, const struct keep_dns *want, const struct keep_names *names);
/** keep_bus_revert() - the link's settings go, and what is cached; @ifindex 0: only the latter. Does not wait */
int keep_bus_revert(struct keep_bus *b, uint32_t ifindex);
/** keep_bus_wait() - until everything that was sent is answered. Return: 0; ST_ETIMEOUT, ST_ECLOSED, ST_ESYS (refused): @why */
int keep_bus_wait(struct keep_bus *b, uint32_t wait_ms, int stop_fd, char why[KEEP_WHY]);
/** keep_bus_result() - of what was sent last. Return: 0: resolved took it; ST_EAGAIN: not all is answered; ST_ENOENT: it does not run; ST_ESYS:
 * it refused, or did not answer in 30 s: @why */
int keep_bus_result(const struct keep_bus *b, char why[KEEP_WHY]);
/** keep_bus_poll() - fills @p. Return: ms until keep_bus_process() is due without an event; -1: never */
int keep_bus_poll(struct keep_bus *b, struct pollfd *p);
/** keep_bus_process() - *@restarted: resolved is there anew. Return: 0; ST_ECLOSED: the bus has gone */
int keep_bus_process(struct keep_bus *b, bool *restarted);

/* ---- keep_dns.c: in the keeper's process ---- */

struct keep_dns_run {
	struct keep_journal *journal;
	int stop_fd; /* the daemon's end */
	struct keep_names staged, names;
	struct keep_dns want;
	enum keep_dns_manager manager; /* that was told of us, or should be */
	bool stands;		       /* it took it */
	char why[KEEP_WHY];
	struct keep_bus *bus;	   /* of RESOLVED */
	int watch_fd;		   /* of FILE; -1 */
	uint64_t check_ms;	   /* when the file is looked at; 0: no need */
	uint64_t rewrites_from_ms; /* the minute that is counted */
	uint32_t rewrites;
	uint64_t retry_ms; /* when the bus is tried again; 0: no need */
	uint32_t wait_ms;  /* for the try after that */
};

void keep_dns_init(struct keep_dns_run *d, struct keep_journal *j, int stop_fd);
void keep_dns_fini(struct keep_dns_run *d); /* gives up descriptors and memory; undoes nothing */
/** keep_dns_add() - keep_dns_suffix()'s other half; @suffix has @cap bytes of any content */
int keep_dns_add(struct keep_dns_run *d, const char *suffix, size_t cap);
/** keep_dns_apply(), keep_dns_state() - the other halves of keep_dns_set() and keep_dns_look() */
int keep_dns_apply(struct keep_dns_run *d, const struct keep_request *req,
		   struct keep_dns_state *out);
void keep_dns_state(struct keep_dns_run *d, struct keep_dns_state *out);
/** keep_dns_poll() - fills @p[0] and @p[1] (fd -1: none). Return: ms until keep_dns_process() is due anyway; -1: never */
int keep_dns_poll(struct keep_dns_run *d, struct pollfd p[2], uint64_t now_ms);
void keep_dns_process(struct keep_dns_run *d, const struct pollfd p[2], uint64_t now_ms);

/* ---- undoing, by anyone who has a journal ---- */

/** keep_dns_undo_file() - what takes no time: /etc/resolv.conf. Return: 0; ST_ESYS (logged: it must be tried again) */
int keep_dns_undo_file(const struct keep_journal *j);
/** keep_dns_undo_others() - what may wait for others: resolvconf, systemd-resolved. Return: 0, also where systemd-resolved does not answer,
 * since its settings go with the link; ST_ESYS, ST_ETIMEOUT: resolvconf failed (logged): a second try may do, but must not be waited for */
int keep_dns_undo_others(const struct keep_journal *j);

#endif
