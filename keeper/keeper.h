// SPDX-License-Identifier: MIT
/*
 * keeper.h - the root process that restores the host whatever happens (design, decision 14)
 *
 * Forked first. Takes fixed-size requests over a socket pair, no network input, and acts only on our device, table,
 * rules, socket and journal. When the daemon's end closes without a goodbye it undoes everything within 1 s.
 */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

#define KEEP_NAME_MAX 32U /* instance names: [A-Za-z0-9_-]{1,32} */
#define KEEP_RUN_DIR "/run/ssm-tun"

/* What the journal says about an instance: enough for the keeper, `down` and the next `up` to undo it. */
struct keep_journal {
	char name[KEEP_NAME_MAX + 1];
	char device[16]; /* "" before there is one */
	uint32_t daemon_pid, keeper_pid;
	uint64_t daemon_start; /* field 22 of /proc/pid/stat: tells a reused pid */
	uint64_t keeper_start; /* the same of the keeper */
	uint32_t uid;
	bool rules; /* policy rules may stand */
	bool fail_closed; /* after a crash rules and unreachable routes stay until `down` or the next `up` */
	bool filter;		    /* our nftables table may stand */
	int src_valid_mark;	    /* the sysctl's former value; -1: not touched */
	uint32_t resolver;	    /* enum keep_dns_manager that was told of us; 0: none */
	struct net_addr servers[2]; /* what it was told; family 0: none */
};

/* Who holds the system's resolver settings. */
enum keep_dns_manager {
	KEEP_DNS_NONE,	     /* nobody is told */
	KEEP_DNS_AUTO,	     /* as a wish: whichever is in force */
	KEEP_DNS_RESOLVED,   /* systemd-resolved, over D-Bus */
	KEEP_DNS_RESOLVCONF, /* resolvconf or openresolv */
	KEEP_DNS_FILE, /* /etc/resolv.conf itself, with a copy of what it was in the instance's folder */
	KEEP_DNS_MANAGER_N
};

#define KEEP_SUFFIXES_MAX                                                                          \
	1024U /* of any manager; systemd-resolved takes 1024 search and routing domains of a link together */
#define KEEP_RESOLVERS_MAX 8U

struct keep_dns {
	enum keep_dns_manager manager; /* the wish: dns: {manager: …} */
	uint32_t ifindex;
	struct net_addr servers[2]; /* ours; family 0: none */
	bool default_route;	    /* all names come to us (system mode) */
};

/* What came of it. */
struct keep_dns_state {
	enum keep_dns_manager manager; /* in force */
	struct net_addr former
		[KEEP_RESOLVERS_MAX]; /* the machine's resolvers without us, link-local zones left out */
	uint32_t n_former;
	char text[160]; /* one line for people: why none, what was chosen; "" */
};

/* ---- before the fork, as root ---- */

/**
 * keep_claim() - make /run/ssm-tun/NAME/ (0700, owner @uid/@gid) and its journal, after undoing what a dead instance left
 * Return: 0; ST_EEXIST if an instance is alive: *@other is its journal (same name: it is up already; another: one TUN instance a machine);
 * ST_EINVAL bad name; ST_ESYS (logged)
 */
int keep_claim(const char *name, uid_t uid, gid_t gid, struct keep_journal *other);
/** keep_fork() - fork the keeper of a name that keep_claim() gave. It has its own session, ignores SIGINT, SIGTERM, SIGHUP and
 * SIGQUIT, and keeps no descriptor but stderr and its end. Only the daemon may hold *@fd (close-on-exec): the last close is what the
 * keeper acts on. Return: 0, *@fd (ours, SOCK_SEQPACKET) and *@pid (the caller's to wait for); ST_EINVAL; ST_ESYS (logged) */
int keep_fork(int *fd, int *pid, const char *name);

/* ---- the daemon's requests over @fd; each waits for the keeper's answer (microseconds, 5 s at most) ----
 * Return: 0; ST_ECLOSED (the keeper has gone); ST_ETIMEOUT; what is said below; ST_ESYS (the journal could not be written) */

/** keep_note_daemon() - this process is the daemon now; ST_EPERM if @pid is not the caller's own (the kernel tells) */
int keep_note_daemon(int fd, pid_t pid);
/** keep_note_device() - the device's name, before it is made; keep_note_rules(): rules will be added now */
int keep_note_device(int fd, const char *device);
int keep_note_rules(int fd);
/** keep_note_fail_closed() - from now on a crash leaves rules, routes, the nftables table and the journal until `down` or the next `up`; @on false: no
 * longer. The resolver's settings are given back all the same: queries of the whole machine are caught by the rules that stay (system mode) and
 * end at the unreachable routes, and a resolver that points to nobody would only add time */
int keep_note_fail_closed(int fd, bool on);
/** keep_filter() - our nftables table `ssm_tun` (the mark of our own connections is saved and restored by conntrack; answers of
 * connections that came from outside, and connections that stood before it did, keep out of our rules) and
 * net.ipv4.conf.all.src_valid_mark=1; @on false: both back. Wants the device's name, and to stand before the rules do.
 * Return also: ST_EUNSUPPORTED (this kernel has no nftables, or no conntrack); ST_ESYS (logged with the sysctl to change) */
int keep_filter(int fd, bool on);
/** keep_dns_suffix() - one more suffix (normal, base/dname.h) for the next keep_dns_set(). ST_EFULL beyond KEEP_SUFFIXES_MAX; ST_EINVAL; after
 * either the list is empty again */
int keep_dns_suffix(int fd, const char *suffix);
/** keep_dns_set() - point the system's resolver at us for the suffixes given since the last time, or correct what was said before; flushes its
 * cache. Made again by the keeper itself when systemd-resolved restarts and when /etc/resolv.conf is rewritten by others.
 * Return also: ST_EUNSUPPORTED (the wished manager is not in force, or refuses: @out->text says why). After a failure @out->manager stands,
 * which may be none: another one that was told before has been let go for the new one */
int keep_dns_set(int fd, const struct keep_dns *want, struct keep_dns_state *out);
/** keep_dns_look() - what stands now, and the former resolvers as they are now (another Wi-Fi); changes nothing. KEEP_DNS_NONE before
 * keep_dns_set(), which it may precede */
int keep_dns_look(int fd, struct keep_dns_state *out);
/** keep_note_log() - the keeper writes its log to @log_fd (borrowed) from now on: a detached daemon's keeper must not hold the
 * launcher's stderr open */
int keep_note_log(int fd, int log_fd);
/** keep_goodbye() - undo everything now and end; Return: 0 when the host is as before; ST_ESYS if something could not be undone (logged by the keeper) */
int keep_goodbye(int fd);

/* ---- `down` and the next `up`, as root ---- */

/** keep_journal_read() - Return: 0; ST_ENOENT no journal; ST_EFORMAT: not a regular file that only we can have written (the user owns
 * its folder), or fields that no journal has */
int keep_journal_read(const char *name, struct keep_journal *out);
/** keep_alive() - does the daemon (else the keeper) of @j still run? */
bool keep_alive(const struct keep_journal *j);
/** keep_daemon_alive() - is the process of that pid still the daemon of @j? */
bool keep_daemon_alive(const struct keep_journal *j);
/** keep_undo() - remove rules, throw routes, socket, pid file, journal and folder of a dead instance;
 * nothing there is fine, and one that lives, unless it is the caller's own, is left alone (it was started since the caller looked). Rules and routes stay if another instance lives. Return: 0; ST_EINVAL bad name; ST_ESYS (logged) */
int keep_undo(const char *name);
/** keep_undo_crashed() - keep_undo(), but what fail_closed keeps after a crash stays, with its journal */
int keep_undo_crashed(const char *name);
/** keep_first() - the first instance with a journal, for "which NAME is up?". Return: 0; ST_ENOENT */
int keep_first(struct keep_journal *out);

/** keep_first_name() - the first instance's name, also for a user who may not read its journal; it need not live.
 * Return: 0; ST_ENOENT */
int keep_first_name(char out[KEEP_NAME_MAX + 1]);

/** keep_path() - "/run/ssm-tun/NAME/FILE"; FILE: "control.sock", "pid", "journal" */
void keep_path(char *out, size_t cap, const char *name, const char *file);
/** keep_set_run_dir() - another folder than KEEP_RUN_DIR, 63 bytes at most; for tests, before anything else here */
void keep_set_run_dir(const char *path);
/** keep_set_root() - another folder than / for /etc/resolv.conf, /etc/nsswitch.conf, /run/systemd/resolve and the program resolvconf;
 * 127 bytes at most; for tests, before anything else here */
void keep_set_root(const char *path);
/** keep_name_ok() - [A-Za-z0-9_-]{1,32} */
bool keep_name_ok(const char *name);

#endif
