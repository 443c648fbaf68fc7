// SPDX-License-Identifier: MIT
/*
 * direct.h - flows that leave by a marked socket of this machine
 *
 * For what reached us although the machine's own routes should carry it: the default action, a direct rule of a name. Marked
 * sockets (TUN_MARK) pass our own policy rules by. Same calls and events as tunnel's channels, so that the router's sides are alike.
 */
#ifndef DIRECT_DIRECT_H
#define DIRECT_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"

#define DIR_FLOWS_MAX 4096U
#define DIR_CONNECT_BUDGET_MS 10000U

struct dir;
typedef handle dir_conn; /* stale handles are harmless */

enum dir_failure {
	DIR_REFUSED,
	DIR_HOST_UNREACHABLE,
	DIR_NET_UNREACHABLE,
	DIR_PROHIBITED,
	DIR_TIMEOUT,
	DIR_LIMIT,
	DIR_FAILED,
	DIR_FAILURE_N
};

/* From the loop, never from inside a dir_ call. */
struct dir_events {
	void (*opened)(void *arg, dir_conn c);
	void (*failed)(void *arg, dir_conn c, enum dir_failure why,
		       const char *text);	 /* the last event */
	void (*readable)(void *arg, dir_conn c); /* bytes or end of file wait for dir_read() */
	void (*writable)(void *arg, dir_conn c); /* dir_room() is no longer 0 */
	void (*gone)(void *arg, dir_conn c);	 /* reset; the last event */
};

struct dir_opts {
	struct loop *loop;
	uint32_t mark, flows_max, connect_budget_ms; /* 0: as above; mark 0: none */
};

int dir_new(struct dir **out, const struct dir_opts *opts); /* Return: 0; ST_ENOMEM */
void dir_free(struct dir *d);		  /* resets what is open, without events; NULL is fine */
size_t dir_buffered(const struct dir *d); /* bytes in our buffers, of all flows; not the kernel's */

/** dir_open() - connect to @dst. Addresses that nothing may open (net_addr_is_local_only()) are refused unless @any.
 * Return: 0 and *@out, events follow; ST_EINVAL (no address, or port 0); ST_EFULL (flows_max, or the loop's watches); ST_EPERM (such an
 * address, or the socket can't be marked, which is logged); ST_ENOMEM; ST_ESYS */
int dir_open(struct dir *d, dir_conn *out, const struct net_endpoint *dst, bool any,
	     const struct dir_events *events, void *arg);
/* As ns_conn_*: read returns bytes, 0 for the end, ST_EAGAIN, ST_ECLOSED; write takes all of @len <= room. Return of write: 0; ST_ECLOSED (not
 * open, after dir_shutdown(), or over); ST_ENOMEM. A flow that read or write find over still has its gone event to come. */
ssize_t dir_read(struct dir *d, dir_conn id, uint8_t *buf, size_t cap);
size_t dir_room(struct dir *d, dir_conn id);
int dir_write(struct dir *d, dir_conn id, const uint8_t *p, size_t len);
void dir_shutdown(struct dir *d, dir_conn id); /* FIN after what was written; reading goes on */
void dir_close(
	struct dir *d,
	dir_conn
		id); /* in any state (RST unless both ways ended in order: then what was written still goes out); the handle is stale
		       afterwards and no event follows */

#endif
