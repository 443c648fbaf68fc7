// SPDX-License-Identifier: MIT
/* rt_world.c - what is played, and direct, datagrams, pings and states of upstreams, scripted */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"

struct world *world;

void world_new(void)
{
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->state = TNL_UP;
}

void world_free(void)
{
	for (size_t i = 0; i < WORLD_MANY; i++) {
		free(world->conn[i].bytes);
		free(world->chan[i].bytes);
	}
	free(world);
	world = NULL;
}

struct net_addr world_addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, text), 0);
	return a;
}

void world_fake_add(const char *name, const char *addr)
{
	struct world_fake *f = &world->fake[world->n_fakes++];

	text_copy(f->name, sizeof(f->name), name);
	f->addr = world_addr(addr);
}

/* ---- direct */

struct dir {
	int unused;
};
static struct dir the_dir;

int dir_new(struct dir **out, const struct dir_opts *opts)
{
	(void)opts;
	*out = &the_dir;
	return 0;
}

void dir_free(struct dir *d)
{
	(void)d;
}

size_t dir_buffered(const struct dir *d)
{
	(void)d;
	return world->dir_buffered;
}

int dir_open(struct dir *d, dir_conn *out, const struct net_endpoint *dst, bool any,
	     const struct dir_events *events, void *arg)
{
	const size_t i = world->n_dirs++;

	(void)d;
	assert_true(i < WORLD_MANY);
	if (world->open_fails)
		return world->open_fails;
	world->dir[i] = (struct world_dir){
		.open = true, .dst = *dst, .any = any, .events = events, .arg = arg
	};
	*out = i + 1;
	return 0;
}

ssize_t dir_read(struct dir *d, dir_conn c, uint8_t *buf, size_t cap)
{
	(void)d;
	(void)c;
	(void)buf;
	(void)cap;
	return ST_EAGAIN;
}

size_t dir_room(struct dir *d, dir_conn c)
{
	(void)d;
	(void)c;
	return 0;
}

int dir_write(struct dir *d, dir_conn c, const uint8_t *p, size_t len)
{
	(void)d;
	(void)c;
	(void)p;
	return len ? ST_ECLOSED : 0;
}

void dir_shutdown(struct dir *d, dir_conn c)
{
	(void)d;
	(void)c;
}

void dir_close(struct dir *d, dir_conn c)
{
	(void)d;
	assert_true(world->dir[c - 1].open);
	world->dir[c - 1].open = false;
	world->dir[c - 1].closed = true;
}

/* ---- datagrams, pings, states */

int ns_udp_send(struct ns *ns, const struct net_endpoint *from, const struct net_endpoint *to,
		const uint8_t *p, size_t len)
{
	struct world_datagram *g = &world->sent[world->n_sent++];

	(void)ns;
	*g = (struct world_datagram){ .from = *from, .to = *to, .len = len };
	memcpy(g->p, p, MIN(len, sizeof(g->p)));
	return 0;
}

void ns_echo_reply(struct ns *ns, const uint8_t *packet, size_t len)
{
	(void)ns;
	(void)packet;
	assert_true(len > 0);
	world->echo_replies++;
}

void ns_refuse_packet(struct ns *ns, const uint8_t *packet, size_t len, enum ns_refusal why)
{
	(void)ns;
	(void)packet;
	assert_true(len > 0);
	world->packets_refused++;
	world->packet_refusal = why;
}

void tnl_upstream_status(struct tnl_upstream *u, struct tnl_status *out)
{
	(void)u;
	*out = (struct tnl_status){ .state = world->state };
}
