// SPDX-License-Identifier: MIT
/* gw_http.h - the routes of the three listeners; gateway.md, Ports */
#ifndef GATEWAY_GW_HTTP_H
#define GATEWAY_GW_HTTP_H

#include "gateway/gw_internal.h"

/* For ws_listen(), with a struct gw_listener as the arg. */
extern const struct ws_server_events gw_http_events;

#endif
