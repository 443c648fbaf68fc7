// SPDX-License-Identifier: MIT
/* gw_host.h - a host, whichever kind of agent stands behind it */
#ifndef GATEWAY_GW_HOST_H
#define GATEWAY_GW_HOST_H

#include "gateway/gw_agents.h"
#include "gateway/gw_mgs.h"

/** gw_host_is_online() - has the agent @uid a control connection? *@last_seen (Unix seconds, may be NULL) is of its last sign of life */
static inline bool gw_host_is_online(const struct gw *gw, const char *uid, int64_t *last_seen)
{
	return gwa_is_online(gw->agents, uid, last_seen) || gwm_is_online(gw->mgs, uid, last_seen);
}

#endif
