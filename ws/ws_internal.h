// SPDX-License-Identifier: MIT
/* ws_internal.h - what the files of ws/ share; lws types stop here */
#ifndef WS_WS_INTERNAL_H
#define WS_WS_INTERNAL_H

#include <libwebsockets.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "ws/ws.h"

#define WS_CONNS_MAX 8192U /* ours: as many as the loop can watch */
#define WS_TICK_MS                                                                                 \
	250U /* lws's own timers, only while something is not settled; design, decision 1 */
#define WS_HTTP_IDLE_MS                                                                            \
	15000U /* ours: a request's headers and body, or the pause between two requests */
#define WS_HTTP_SEND_MS 60000U /* ours: the same while an answer is on its way */
#define WS_CLOSE_MS 10000U     /* ours: the rest of the queue, the Close frame and its answer */
#define WS_FDS 16384U	       /* ours: lws's tables; twice what the loop can watch */
#define WS_SERV_BUF 65536U     /* lws's read buffer, shared; larger than any TLS record */
#define WS_RX_TURN KIB(64)     /* ours: read from one connection in one turn */
#define WS_RX_CHUNK 16384U     /* one TLS record, so that lws leaves nothing behind in OpenSSL */
#define WS_HEADERS_MAX 16384U  /* headers of one request; a session token alone can take 2 KiB */
#define WS_HOST_MAX 120U       /* lws prints "Host: ...\r\n" into 128 bytes */
#define WS_PATH_MAX 2000U      /* lws prints the request line into 2048 bytes */
#define WS_REASON_MAX 256U
#define WS_CONTROL_MAX 125U   /* payload of a control frame; RFC 6455 5.5 */
#define WS_CONTROL_ROOM 1024U /* our pings fit in a full queue */

enum ws_opcode { WS_OP_TEXT = 0x1, WS_OP_BINARY = 0x2, WS_OP_PING = 0x9 };

/*
 * Life of a connection.
 * TCP:     client; our own socket connects
 * PROXY:   client; CONNECT was sent on our own socket, its answer is awaited
 * UPGRADE: client; lws has the socket: TLS and the upgrade run
 * HTTP:    server; lws has the socket: TLS, then requests one after the other
 * OPEN:    messages flow
 * CLOSING: ws_close() was called, or we refused a message: the rest of the queue, the Close frame, its answer
 * DEAD:    no socket any more; closed() is told at the end of the turn, then it is reaped
 */
enum conn_state {
	CONN_TCP,
	CONN_PROXY,
	CONN_UPGRADE,
	CONN_HTTP,
	CONN_OPEN,
	CONN_CLOSING,
	CONN_DEAD,
	CONN_STATE_N
};

struct ws_header {
	struct list_node node;
	char *value;
	char name[]; /* lower case */
};

/* The one request of a server connection; served is false until the owner saw it. */
struct http_req {
	ws_req handle;	    /* 0: none waits for an answer */
	const char *method; /* static */
	char *path, *query;
	struct list headers; /* struct ws_header: what ws_req_header() handed out */
	struct buf body;
	struct buf reply; /* the whole answer, written at the end of the turn */
	bool head;	  /* HEAD: the answer has no body */
	bool close;	  /* the connection ends with this answer */
};

struct conn {
	struct list_node node;	/* ctx->conns or ctx->graves */
	struct list_node dirty; /* ctx->dirty */
	struct ws_ctx *ctx;
	struct ws_server *server; /* NULL: client, or its server has gone */
	ws_conn handle;
	enum conn_state state;
	bool client;
	const struct ws_events *events; /* NULL: nobody listens */
	void *arg;

	int fd; /* ours in TCP and PROXY, else lws's; -1: none */
	loop_watch watch;
	uint32_t watched; /* EPOLL* */
	struct lws *wsi;

	struct buf tx;	    /* whole frames */
	size_t in_lws;	    /* bytes of the last batch while lws holds a rest of it */
	bool want_writable; /* the owner waits for writable() */
	struct buf rx;	    /* the message so far */
	bool rx_busy, rx_text;
	size_t rx_turn; /* bytes of messages in this event */
	bool paused, resume;
	bool kill; /* end it at the end of this turn, without a Close frame */
	bool close_sent;
	uint16_t close_code;
	char close_reason[WS_CONTROL_MAX - 1];

	int err, status; /* for closed(); the first cause wins */
	char reason[WS_REASON_MAX];

	struct loop_timer limit; /* client: the whole of connecting */
	struct loop_timer ping;
	uint32_t ping_ms;
	uint64_t last_rx_ms;
	bool ping_sent;
	uint64_t probe_until_ms; /* an answer to ws_probe()'s ping is due; 0: none */
	bool saw_any; /* a message or pong in this event; else a ping came, or a part of a frame */

	/* client */
	char *host, *path, *headers, *proxy_request;
	uint16_t port;
	bool tls, host_is_ip;
	struct vhost *vhost;
	struct buf proxy_answer;

	/* server */
	struct net_endpoint peer;
	struct http_req req;
	uint64_t http_since_ms; /* 0: the owner has the request */
	struct buf line;	/* the first line of the request as it was sent */
	bool line_done;
};

/* An lws vhost of ours for clients: one per CA bundle and client certificate. */
struct vhost {
	struct list_node node;
	struct lws_vhost *lws;
	SSL_CTX *tls;
	char *key;
};

struct ws_server {
	struct list_node node;
	struct ws_ctx *ctx;
	const struct ws_server_events *events;
	void *arg;
	int fd;
	loop_watch watch;
	struct loop_timer retry; /* accept again after the process ran out of descriptors */
	struct lws_vhost *vhost;
	const char *client_ca_file; /* during ws_listen() only */
	bool tls;
	uint16_t port;
	uint32_t conns, max_conns;
};

struct ws_ctx {
	struct loop *loop;
	struct lws_context *lws;
	struct hnd_table handles;  /* struct conn */
	struct hnd_table requests; /* struct conn */
	struct list conns, graves, dirty;
	struct list vhosts, servers;
	SSL_CTX *no_tls; /* for vhosts that are no client's */
	char *ca_bundle;
	int park_fd, park_filler_fd;
	char park_address[32];
	struct ws_server *new_server; /* whose vhost lws is making */
	struct loop_timer tick;
	struct loop_task flush, reap;
	bool quiet; /* lws's complaints are expected */
	uint8_t masks[4096];
	size_t masks_used;
};

/* ws_ctx.c */
void vhost_info_init(struct lws_context_creation_info *info, struct ws_ctx *ctx);
/* Something is not settled: lws's timers must run. */
void ctx_busy(struct ws_ctx *ctx);

/* ws_conn.c */
int conn_new(struct conn **out, struct ws_ctx *ctx, bool client);
void conn_free(struct conn *c);
void conn_set_state(struct conn *c, enum conn_state next, const char *why);
/* Watch the descriptor for what the connection can use now. */
void conn_watch(struct conn *c);
void conn_unwatch(struct conn *c);
/* Let lws serve the descriptor: POLL* */
void conn_service(struct conn *c, short revents);
void conn_mark(struct conn *c);
/* Note why it ends; the first cause wins. */
void conn_cause(struct conn *c, int err, int status, const char *reason);
/* End it now, without ceremony. */
void conn_kill(struct conn *c, int err, int status, const char *reason);
/* It has no socket any more. */
void conn_dead(struct conn *c);
/* Closing may take WS_CLOSE_MS. */
void conn_close_limit(struct conn *c);
void conn_flush(struct conn *c);
void conn_on_fd(void *arg, uint32_t events, uint64_t now_ms);
void conn_on_receive(struct conn *c, const uint8_t *p, size_t len);
int conn_on_writeable(struct conn *c);
void conn_on_open(struct conn *c);
void conn_on_pong(struct conn *c);
void conn_probe(struct conn *c, uint32_t within_ms); /* as ws_probe() */
uint64_t conn_now(const struct conn *c);

/* ws_frame.c */
int frame_put(struct ws_ctx *ctx, struct buf *out, bool masked, enum ws_opcode op, const uint8_t *p,
	      size_t len);
size_t frame_batch(const struct buf *tx);

/* ws_dial.c */
void dial_on_fd(struct conn *c, uint32_t events);
int dial_park_open(struct ws_ctx *ctx);
void dial_park_close(struct ws_ctx *ctx);

/* ws_tls.c */
/* @ca: NULL: the system's store; "": none, for plain text */
int tls_vhost_get(struct ws_ctx *ctx, struct vhost **out, const char *ca, const char *cert,
		  const char *key);
void tls_vhosts_free(struct ws_ctx *ctx);
int tls_server_check(const struct ws_listen_opts *opts);
int tls_server_setup(const struct ws_server *s, SSL_CTX *tls);
void tls_failure(struct conn *c);

/* ws_http.c */
int http_on_request(struct conn *c, const char *path);
int http_on_body(struct conn *c, const uint8_t *p, size_t len);
int http_on_body_end(struct conn *c);
int http_on_upgrade(struct conn *c, const char *to);
void http_flush(struct conn *c);
void http_req_init(struct http_req *q);
void http_req_fini(struct conn *c);

/* ws_reqline.c */
void reqline_look(struct conn *c);
void reqline_use(struct conn *c);
void reqline_reset(struct conn *c);

#endif
