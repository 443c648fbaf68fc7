// SPDX-License-Identifier: MIT
/* rt_side.c - netstack's connections, tunnel's channels and direct's sockets as sides of a flow */
#include "router/rt_side.h"

static ssize_t ns_side_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	return ns_conn_read(owner, h, buf, cap);
}

static size_t ns_side_room(void *owner, handle h)
{
	return ns_conn_room(owner, h);
}

static int ns_side_write(void *owner, handle h, const uint8_t *p, size_t len)
{
	return ns_conn_write(owner, h, p, len);
}

static void ns_side_shutdown(void *owner, handle h)
{
	ns_conn_shutdown(owner, h);
}

static void ns_side_reset(void *owner, handle h)
{
	ns_conn_abort(owner, h);
}

static ssize_t tnl_side_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	return tnl_chan_read(owner, h, buf, cap);
}

static size_t tnl_side_room(void *owner, handle h)
{
	return tnl_chan_room(owner, h);
}

static int tnl_side_write(void *owner, handle h, const uint8_t *p, size_t len)
{
	return tnl_chan_write(owner, h, p, len);
}

static void tnl_side_shutdown(void *owner, handle h)
{
	tnl_chan_shutdown(owner, h);
}

static void tnl_side_reset(void *owner, handle h)
{
	tnl_chan_close(owner, h);
}

static ssize_t dir_side_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	return dir_read(owner, h, buf, cap);
}

static size_t dir_side_room(void *owner, handle h)
{
	return dir_room(owner, h);
}

static int dir_side_write(void *owner, handle h, const uint8_t *p, size_t len)
{
	return dir_write(owner, h, p, len);
}

static void dir_side_shutdown(void *owner, handle h)
{
	dir_shutdown(owner, h);
}

static void dir_side_reset(void *owner, handle h)
{
	dir_close(owner, h);
}

struct rt_side rt_side_netstack(struct ns *ns, ns_conn c)
{
	static const struct rt_side_ops ops = {
		.read = ns_side_read,
		.room = ns_side_room,
		.write = ns_side_write,
		.shutdown = ns_side_shutdown,
		.reset = ns_side_reset,
	};

	return (struct rt_side){ .ops = &ops, .owner = ns, .h = c };
}

struct rt_side rt_side_tunnel(struct tnl_upstream *u, tnl_chan c)
{
	static const struct rt_side_ops ops = {
		.read = tnl_side_read,
		.room = tnl_side_room,
		.write = tnl_side_write,
		.shutdown = tnl_side_shutdown,
		.reset = tnl_side_reset,
	};

	return (struct rt_side){ .ops = &ops, .owner = u, .h = c };
}

struct rt_side rt_side_direct(struct dir *d, dir_conn c)
{
	static const struct rt_side_ops ops = {
		.read = dir_side_read,
		.room = dir_side_room,
		.write = dir_side_write,
		.shutdown = dir_side_shutdown,
		.reset = dir_side_reset,
	};

	return (struct rt_side){ .ops = &ops, .owner = d, .h = c };
}
