// SPDX-License-Identifier: MIT
/* gw_internal.h - the running gateway, as its own files see it */
#ifndef GATEWAY_GW_INTERNAL_H
#define GATEWAY_GW_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/loop.h"
#include "gateway/gw_fault.h"
#include "gateway/gw_register.h"
#include "gateway/gw_store.h"
#include "ws/ws.h"

struct gwa;
struct gwk;
struct gwm;
struct gwp;
struct gws;

/* The three listeners; gateway.md, Ports. */
enum gw_door { GW_CONTROL, GW_AGENTS, GW_ACTIONS, GW_DOOR_N };

struct gw_listener {
	struct gw *gw; /* for the callbacks of ws_listen(), whose arg is this struct */
	enum gw_door door;
	struct net_endpoint address;
	bool tls;
	struct ws_server *server;
};

struct gw {
	struct loop *loop;
	struct ws_ctx *ws;
	struct gw_store *store;
	struct gwr *reg;
	struct gwa *agents;
	struct gwm *mgs;
	struct gwp *polls;
	struct gwk *keys;
	struct gws *sessions;
	struct gwf_spec fault;
	bool fault_allowed; /* started with --fault */
	struct gw_listener doors[GW_DOOR_N];
	uint64_t started_ms;
	/* GET /health */
	uint64_t total_connections, messages_received, messages_sent;
};

/** gw_is_loopback() - 127.0.0.0/8 or ::1 */
static inline bool gw_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->family == 4 ? a->b[0] == 127 : a->family == 6 && memcmp(a->b, one, 16) == 0;
}

/** gw_unix_ms() - the wall clock; for events that come from the network, never for intervals */
int64_t gw_unix_ms(void);
static inline int64_t gw_unix_s(void)
{
	return gw_unix_ms() / 1000;
}

#endif
