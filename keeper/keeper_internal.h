// SPDX-License-Identifier: MIT
/* keeper_internal.h - what the files of keeper/ share: the journal on disk and the run-time folder */
#ifndef KEEPER_KEEPER_INTERNAL_H
#define KEEPER_KEEPER_INTERNAL_H

#include "base/dname.h"
#include "keeper/keeper.h"

#define KEEP_FOLDER_MAX                                                                            \
	64U /* bytes of the run-time folder's path, NUL included; ours: leaves room in a sockaddr_un */

#define KEEP_PATH_MAX 512U /* bytes of a path below keep_set_root()'s folder, NUL included */

/** keep_run_dir() - KEEP_RUN_DIR, or what keep_set_run_dir() chose */
const char *keep_run_dir(void);

/** keep_proc_start() - field 22 of /proc/@pid/stat. Return: 0 if there is no such process, or only its zombie */
uint64_t keep_proc_start(uint32_t pid);

/** keep_device_ok() - a name that tun_open() would take, or "" */
bool keep_device_ok(const char *device);

/** keep_keeper_alive() - the other half of keep_alive() */
bool keep_keeper_alive(const struct keep_journal *j);

/** keep_journal_write() - replaces the journal of j->name. Return: 0; ST_ESYS (logged); ST_ENOMEM */
int keep_journal_write(const struct keep_journal *j);

/** keep_journal_read_at() - the journal in the folder @name of the open run-time folder. Return: as keep_journal_read() */
int keep_journal_read_at(int run_fd, const char *name, struct keep_journal *out);

/* What travels between daemon and keeper, both of them the same program: one struct a packet. */
enum keep_op {
	KEEP_OP_DAEMON = 1,
	KEEP_OP_DEVICE,
	KEEP_OP_RULES,
	KEEP_OP_LOG, /* with a descriptor */
	KEEP_OP_GOODBYE,
	KEEP_OP_FAIL_CLOSED,
	KEEP_OP_FILTER,
	KEEP_OP_SUFFIX,
	KEEP_OP_DNS_SET,
	KEEP_OP_DNS_LOOK,
	KEEP_OP_N
};

struct keep_request {
	uint32_t number, op;
	uint32_t pid;
	char device[sizeof(((struct keep_journal *)0)->device)];
	char suffix[DNAME_MAX];
	uint8_t on;
	/* struct keep_dns, in types that hold whatever bytes come */
	uint8_t default_route;
	uint32_t manager, ifindex;
	struct net_addr servers[2];
};

struct keep_answer {
	uint32_t number;
	int32_t result;		   /* 0 or a negative ST_E* */
	struct keep_dns_state dns; /* of KEEP_OP_DNS_SET and KEEP_OP_DNS_LOOK */
};

/** keep_undo_own() - keep_undo() by the keeper itself, with what it knows if the journal on disk has gone: does nothing if a later instance
 * lives under that name. @crashed: the daemon gave no goodbye, so that fail_closed counts */
int keep_undo_own(const struct keep_journal *j, bool crashed);

/** keep_trusted_open() - @file in the folder @name of the open run-time folder, if nobody but ourselves can have written it.
 * Return: 0 and *@out; ST_ENOENT; ST_EFORMAT */
int keep_trusted_open(int run_fd, const char *name, const char *file, int *out);

/** keep_now_ms() - CLOCK_MONOTONIC */
uint64_t keep_now_ms(void);

#endif
