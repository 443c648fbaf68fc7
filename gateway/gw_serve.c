// SPDX-License-Identifier: MIT
/*
 * gw_serve.c - wiring: store, loop, three listeners, signals, the ready line
 *
 * Theory of operation: everything is made before the first listener opens, so that no request meets
 * half a gateway. When all three listen, one JSON line tells their real addresses (stdout or
 * --port-file) and systemd is told READY=1. SIGTERM and SIGINT stop the loop; sessions stay active in
 * the store and come back with the next start.
 */
#include "gateway/gw_serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <systemd/sd-daemon.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_agents.h"
#include "gateway/gw_http.h"
#include "gateway/gw_init.h"
#include "gateway/gw_mgs.h"
#include "gateway/gw_poll.h"
#include "gateway/gw_push.h"
#include "gateway/gw_session.h"
#include "gateway/gw_signal.h"

static const char *const door_names[] = {
	[GW_CONTROL] = "control",
	[GW_AGENTS] = "agents",
	[GW_ACTIONS] = "actions",
};
_Static_assert(ARRAY_LEN(door_names) == GW_DOOR_N, "door_names[] and enum gw_door differ");

int64_t gw_unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int gw_endpoint_parse(struct net_endpoint *out, enum gw_tls *tls, const char *s)
{
	char copy[80], *host = copy, *colon, *slash, *end;
	unsigned long port;

	if (!text_copy(copy, sizeof(copy), s))
		return ST_EFORMAT;
	*tls = GW_TLS_DEFAULT;
	if ((slash = strchr(copy, '/'))) {
		*slash++ = '\0';
		if (strcmp(slash, "tls") == 0)
			*tls = GW_TLS_ON;
		else if (strcmp(slash, "plain") == 0)
			*tls = GW_TLS_OFF;
		else
			return ST_EFORMAT;
	}
	if (!(colon = strrchr(copy, ':')) || colon[1] < '0' || colon[1] > '9')
		return ST_EFORMAT;
	*colon = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return ST_EFORMAT;
	if (*host == '[' && colon > host + 1 && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	out->port = (uint16_t)port;
	return net_addr_parse(&out->addr, host);
}

/* Which listeners take TLS, and whether that is allowed. */
static int doors_check(struct gw *gw, const struct gw_serve_opts *o)
{
	for (int i = 0; i < GW_DOOR_N; i++) {
		struct gw_listener *l = &gw->doors[i];
		bool local = gw_is_loopback(&o->address[i].addr);

		*l = (struct gw_listener){ .gw = gw,
					   .door = (enum gw_door)i,
					   .address = o->address[i] };
		l->tls = o->tls[i] == GW_TLS_DEFAULT ? i == GW_CONTROL || !local
						     : o->tls[i] == GW_TLS_ON;
		if (l->tls || local || o->insecure)
			continue;
		log_error("--%s: plain text is accepted only on loopback (or with --insecure)",
			  door_names[i]);
		return ST_ECONFIG;
	}
	gw->fault_allowed = o->fault_given;
	if (o->fault_given && !o->insecure &&
	    (!gw_is_loopback(&o->address[GW_CONTROL].addr) ||
	     !gw_is_loopback(&o->address[GW_AGENTS].addr))) {
		log_error("--fault is refused off loopback (or with --insecure)");
		return ST_ECONFIG;
	}
	gw->fault = o->fault;
	return 0;
}

static bool must_approve(const struct gw_serve_opts *o)
{
	if (o->enrol != GW_ENROL_DEFAULT)
		return o->enrol == GW_ENROL_APPROVE;
	return !gw_is_loopback(&o->address[GW_AGENTS].addr) ||
	       !gw_is_loopback(&o->address[GW_ACTIONS].addr);
}

static int door_open(struct gw *gw, struct gw_listener *l, const char *dir)
{
	char cert[4096], key[4096], ca[4096], at[NET_ENDPOINT_STR];
	struct ws_listen_opts o = { .address = l->address };
	int r;

	if ((r = gw_path(cert, sizeof(cert), dir, GW_SERVER_CERT)) < 0 ||
	    (r = gw_path(key, sizeof(key), dir, GW_SERVER_KEY)) < 0 ||
	    (r = gw_path(ca, sizeof(ca), dir, GW_CA_CERT)) < 0)
		return r;
	if (l->tls) {
		o.cert_file = cert;
		o.key_file = key;
		o.client_ca_file = l->door == GW_ACTIONS ? ca : NULL;
	}
	if ((r = ws_listen(gw->ws, &l->server, &o, &gw_http_events, l)) < 0)
		return r;
	l->address.port = ws_server_port(l->server);
	log_info("%s: listening on %s%s", door_names[l->door], net_endpoint_str(at, &l->address),
		 l->tls ? " (TLS)" : "");
	return 0;
}

/* ---- ready ---- */

static int ready_line(struct gw *gw, const char *port_file)
{
	char at[GW_DOOR_N][NET_ENDPOINT_STR], line[512];
	int n = snprintf(line, sizeof(line),
			 "{\"control\":\"%s\",\"agents\":\"%s\",\"actions\":\"%s\"}\n",
			 net_endpoint_str(at[0], &gw->doors[GW_CONTROL].address),
			 net_endpoint_str(at[1], &gw->doors[GW_AGENTS].address),
			 net_endpoint_str(at[2], &gw->doors[GW_ACTIONS].address));

	if (port_file)
		return file_write_atomic(port_file, line, (size_t)n, 0644);
	fputs(line, stdout);
	fflush(stdout);
	return 0;
}

/* ---- all of it ---- */

static int gw_open(struct gw *gw, const struct gw_serve_opts *o)
{
	int r;

	if ((r = doors_check(gw, o)) < 0 || (r = gw_store_open(&gw->store, o->dir)) < 0 ||
	    (r = loop_new(&gw->loop)) < 0 ||
	    (r = ws_ctx_new(&gw->ws, gw->loop, &(struct ws_ctx_opts){ 0 })) < 0 ||
	    (r = gwr_new(&gw->reg, gw->store, must_approve(o))) < 0 ||
	    (r = gwa_new(&gw->agents, gw)) < 0 || (r = gwm_new(&gw->mgs, gw)) < 0 ||
	    (r = gwp_new(&gw->polls, gw)) < 0 || (r = gwk_new(&gw->keys, gw)) < 0 ||
	    (r = gws_new(&gw->sessions, gw)) < 0)
		return r;
	gw->started_ms = loop_now_ms(gw->loop);
	for (int i = 0; i < GW_DOOR_N; i++)
		if ((r = door_open(gw, &gw->doors[i], o->dir)) < 0)
			return r;
	return 0;
}

static void gw_close(struct gw *gw)
{
	for (int i = 0; i < GW_DOOR_N; i++)
		if (gw->doors[i].server)
			ws_server_free(gw->doors[i].server);
	gws_free(gw->sessions);
	gwp_free(gw->polls);
	gwk_free(gw->keys);
	gwm_free(gw->mgs);
	gwa_free(gw->agents);
	gwr_free(gw->reg);
	ws_ctx_free(gw->ws);
	loop_free(gw->loop);
	gw_store_close(gw->store);
}

int gw_serve(const struct gw_serve_opts *opts)
{
	struct gw gw = { 0 };
	struct gw_signals sig = { 0 };
	int r;

	if ((r = gw_open(&gw, opts)) < 0 || (r = gw_signals_open(&sig, gw.loop)) < 0)
		goto out;
	if ((r = ready_line(&gw, opts->port_file)) == 0) {
		sd_notify(0, "READY=1");
		r = loop_run(gw.loop);
		sd_notify(0, "STOPPING=1");
	}
out:
	gw_signals_close(&sig);
	gw_close(&gw);
	return r;
}
