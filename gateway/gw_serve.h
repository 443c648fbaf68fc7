// SPDX-License-Identifier: MIT
/* gw_serve.h - the running gateway */
#ifndef GATEWAY_GW_SERVE_H
#define GATEWAY_GW_SERVE_H

#include <stdbool.h>

#include "gateway/gw_internal.h"

enum gw_tls { GW_TLS_DEFAULT, GW_TLS_ON, GW_TLS_OFF };

struct gw_serve_opts {
	const char *dir;
	struct net_endpoint address[GW_DOOR_N];
	enum gw_tls tls[GW_DOOR_N]; /* default: control always, the others off loopback */
	bool insecure;		    /* plain text and faults also off loopback */
	enum {
		GW_ENROL_DEFAULT,
		GW_ENROL_OPEN,
		GW_ENROL_APPROVE
	} enrol; /* default: open if agents and actions are on loopback */
	struct gwf_spec fault;
	bool fault_given;      /* --fault, be it "off": POST /faults may change it */
	const char *port_file; /* NULL: the ready line goes to stdout */
};

/** gw_endpoint_parse() - "127.0.0.1:8443", "[::1]:0", each optionally with "/tls" or "/plain". Return: 0; ST_EFORMAT */
int gw_endpoint_parse(struct net_endpoint *out, enum gw_tls *tls, const char *s);

/**
 * gw_serve() - runs until SIGTERM or SIGINT
 * Return: 0; ST_ECONFIG for options that contradict each other (logged); ST_ENOENT without a store; ST_E* (logged)
 */
int gw_serve(const struct gw_serve_opts *opts);

#endif
