// SPDX-License-Identifier: MIT
/*
 * ws.h - WebSocket client and server, and plain HTTP routes, on our loop
 *
 * The only folder that includes libwebsockets. One ws_ctx serves one loop. Nothing here resolves
 * names (that blocks): the caller passes an address. Callbacks come from the loop only, never from
 * inside a ws_ call; inside any callback every ws_ call is allowed but ws_ctx_free(). One ws_ctx a
 * process: lws keeps process-wide numbers, and a second context made later breaks TLS handshakes that
 * run in the first. Descriptors above 16383 are refused.
 */
#ifndef WS_WS_H
#define WS_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"

#define WS_MESSAGE_MAX MIB(1)	  /* one received message; beyond: closed with 1009 */
#define WS_QUEUE_MAX MIB(2)	  /* bytes queued for one connection; beyond: ST_EAGAIN */
#define WS_BATCH_MAX 16000U	  /* whole frames put into one TLS record; tech-notes C2 */
#define WS_CONNECT_MS 15000U	  /* ours: TCP, proxy, TLS and upgrade together */
#define WS_HTTP_BODY_MAX KIB(256) /* one HTTP request's body; beyond: 413 */

struct ws_ctx;

struct ws_ctx_opts {
	const char *
		ca_bundle; /* PEM file that replaces the system's CA store for clients; NULL: the system's */
};

/** ws_ctx_new() - Return: 0; ST_ETLS if the CA bundle can't be used (logged); ST_ESYS; ST_ENOMEM */
int ws_ctx_new(struct ws_ctx **out, struct loop *loop, const struct ws_ctx_opts *opts);
/** ws_ctx_free() - closes what is open without callbacks; NULL is fine */
void ws_ctx_free(struct ws_ctx *ctx);

typedef handle ws_conn; /* stale handles are harmless in every call */

/* One connection's events, client and server side alike. */
struct ws_events {
	void (*open)(void *arg, ws_conn c);
	/* a whole message, fragments joined; borrowed until return */
	void (*message)(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text);
	/* after ws_send() returned ST_EAGAIN or ws_queued() was above WS_QUEUE_MAX / 2: it has fallen below a quarter */
	void (*writable)(void *arg, ws_conn c);
	/* the last event, exactly once, also when open() never came (not after ws_drop()). @err: ST_ECLOSED orderly or 1006,
	 * ST_EREFUSED TCP refused, ST_EUNREACH, ST_ETIMEOUT, ST_ETLS, ST_EPEER (not 101, protocol broken). @status: HTTP status of a
	 * refused upgrade or WebSocket close code, 0 if none. @reason: foreign text: X509's own words, close reason, … */
	void (*closed)(void *arg, ws_conn c, int err, int status, const char *reason);
	/* a pong or ping arrived, or a piece of a longer message; NULL: not wanted. (lws answers pings itself and tells
	 * nobody: something that came and gave no message is taken for one. A ping in one read with messages is not told.) */
	void (*alive)(void *arg, ws_conn c);
};

struct ws_connect_opts {
	/* ws:// or wss://, path and query used byte for byte; never logged. ST_EINVAL: user@, a fragment, blanks, a host
	 * of more than 110 bytes, path and query of 2000 or more (lws's buffers) */
	const char *url;
	struct net_endpoint
		address; /* where to connect: the host of @url or the proxy, already resolved */
	const char *proxy_auth;	    /* "user:password" for the proxy; NULL: none */
	bool via_proxy;		    /* @address is an HTTP proxy: CONNECT to the URL's host first */
	const char *ca_bundle;	    /* PEM for this connection; NULL: the context's */
	const char *const *headers; /* "Name", "value" pairs, NULL-terminated; NULL: none */
	uint32_t timeout_ms;	    /* 0: WS_CONNECT_MS */
	uint32_t
		ping_ms; /* a ping when nothing was received for so long, closed with ST_ETIMEOUT if nothing came after as much again; 0: none */
	uint32_t mark;	 /* SO_MARK of the socket, 0: none */
	const char *client_cert, *client_key; /* PEM files or NULL */
};

/** ws_connect() - everything in @opts is borrowed until return. Return: 0 and *@out; ST_EINVAL for a bad URL; ST_EFULL; ST_ETLS; ST_ESYS */
int ws_connect(struct ws_ctx *ctx, ws_conn *out, const struct ws_connect_opts *opts,
	       const struct ws_events *events, void *arg);

/**
 * ws_send() - queue one message; frames queued in one turn leave together, WS_BATCH_MAX a TLS record
 * @p is copied (and masked). Return: 0; ST_EAGAIN if the queue would exceed WS_QUEUE_MAX: nothing was taken, wait for writable();
 * ST_ECLOSED; ST_ENOMEM; ST_EINVAL if @len is above WS_QUEUE_MAX. Before open() messages are queued.
 */
int ws_send(struct ws_ctx *ctx, ws_conn h, const uint8_t *p, size_t len, bool text);
/** ws_queued() - bytes not yet given to the kernel; 0 for a stale handle */
size_t ws_queued(struct ws_ctx *ctx, ws_conn h);
/** ws_close() - send what is queued, then a Close frame; closed() follows, with @code and @reason, within 10 s. No
 * message() comes after it. @reason: at most 123 bytes are sent. Stale is fine. */
void ws_close(struct ws_ctx *ctx, ws_conn h, uint16_t code, const char *reason);
/** ws_drop() - at once, without a Close frame, and no event follows */
void ws_drop(struct ws_ctx *ctx, ws_conn h);
/** ws_pause() - stop (true) or go on (false) reading from this connection: back-pressure by TCP */
void ws_pause(struct ws_ctx *ctx, ws_conn h, bool stop);
/** ws_probe() - a ping at once; closed with ST_ETIMEOUT if nothing at all comes within @within_ms. Ignored while it is paused, while
 * another probe runs, and when it is stale */
void ws_probe(struct ws_ctx *ctx, ws_conn h, uint32_t within_ms);
/** ws_set_events() - events and their arg from now on (an accepted server connection finds its owner) */
void ws_set_events(struct ws_ctx *ctx, ws_conn h, const struct ws_events *events, void *arg);

/* ---- server: HTTP routes and upgrades of one listener ---- */

struct ws_server;
typedef handle ws_req; /* one HTTP request or upgrade that waits for its answer */

struct ws_request {
	const char *method; /* "GET", "POST", "HEAD", … */
	/* As sent, without the query. Exceptions, where lws's decoded form is given: it has "//" or a "." or ".." segment (they
	 * are resolved), the request was pipelined behind another one, or the line is longer than 2 KiB. */
	const char *path;
	const char *query; /* behind '?', as sent, with the same exceptions; "" if none */
	const uint8_t *body;
	size_t body_len;
	struct net_endpoint peer;
	bool tls;
	const char *client_cert_name; /* CN of a verified client certificate; NULL: none */
};

/** ws_req_header() - the value of a header (case-insensitive name) of a request that waits for its answer; NULL if
 * absent. Valid until the answer. */
const char *ws_req_header(struct ws_ctx *ctx, ws_req r, const char *name);

struct ws_server_events {
	/* a whole request with its body; answer now or later with ws_reply(); borrowed until return. Answered by ws/ itself:
	 * unknown method 405, no Content-Length where a body is due or a chunked body 411 (lws 4.1.6 reads none), above
	 * WS_HTTP_BODY_MAX 413. A connection without a whole request for 15 s is closed. */
	void (*request)(void *arg, ws_req r, const struct ws_request *req);
	/* an upgrade: return 0 and fill *@events, *@events_arg to accept, or an HTTP status (4xx, 5xx) to refuse; open() follows */
	int (*upgrade)(void *arg, ws_req r, const struct ws_request *req,
		       const struct ws_events **events, void **events_arg);
};

struct ws_listen_opts {
	struct net_endpoint address;	  /* port 0: any, see ws_server_port() */
	const char *cert_file, *key_file; /* PEM; both NULL: plain text */
	const char *
		client_ca_file; /* accept client certificates of this CA (optional for the client); NULL: no */
	uint32_t max_conns; /* 0: 4096; beyond: left in the kernel's queue */
};

/** ws_listen() - Return: 0 and *@out; ST_ESYS (address in use…, logged); ST_ETLS (certificate, logged) */
int ws_listen(struct ws_ctx *ctx, struct ws_server **out, const struct ws_listen_opts *opts,
	      const struct ws_server_events *events, void *arg);
uint16_t ws_server_port(const struct ws_server *s);
/** ws_server_free() - stops listening and closes what is not upgraded; open WebSockets stay. NULL is fine. */
void ws_server_free(struct ws_server *s);

/** ws_reply() - answer with @status and a body (copied); stale is fine. @headers: further "Name", "value" pairs, NULL-terminated */
void ws_reply(struct ws_ctx *ctx, ws_req r, int status, const char *content_type, const void *body,
	      size_t len, const char *const *headers);

#endif
