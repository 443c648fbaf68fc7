// SPDX-License-Identifier: MIT
/* testkit.h - certificates, an echo server, a recording client and raw peers for the tests of ws/ */
#ifndef TESTS_UNIT_WS_TESTKIT_H
#define TESTS_UNIT_WS_TESTKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"
#include "ws/ws.h"

#define KIT_WAIT_MS 10000U

struct kit;

/* What one side of a connection saw. */
struct seen {
	struct kit *kit;
	ws_conn conn;
	unsigned opened, closed, messages, writable, alive;
	size_t bytes;
	bool text;
	int err, status;
	char reason[256];
	struct buf last;    /* the last message */
	EVP_MD_CTX *digest; /* of all messages with their lengths, if not NULL */
	bool echo, pause_at_open;
};

struct kit {
	struct loop *loop;
	struct ws_ctx *ctx;
	struct ws_server *server;
	struct seen srv; /* the newest accepted connection */
	int refuse;	 /* HTTP status for upgrades; 0: accept */
	unsigned requests, upgrades;
	ws_req request; /* the newest */
	char method[16], path[512], query[512], header[512], cert_name[128];
	const char *header_name; /* read into header when a request or upgrade comes */
	struct buf body;
	bool hold; /* requests are not answered by themselves */
	char dir[64];
	char ca[96], cert[96], key[96], other_ca[96], expired_cert[96], client_cert[96],
		client_key[96];
};

extern const struct ws_events kit_events;

/* @tls: the server takes wss; all folders and files are removed by kit_free() */
void kit_new(struct kit *k, bool tls);
void kit_server(struct kit *k, const struct ws_listen_opts *opts);
void kit_free(struct kit *k);
void seen_init(struct seen *s, struct kit *k);
void seen_fini(struct seen *s);
/* Options for this kit's server; change before use. */
struct ws_connect_opts kit_opts(const struct kit *k, char url[256]);
int kit_connect(struct kit *k, struct seen *s, const struct ws_connect_opts *opts);
/* Connects and waits until both ends are open. */
void kit_open(struct kit *k, struct seen *s);
struct net_endpoint kit_local(uint16_t port);
/* A blocking TCP connection to 127.0.0.1:@port */
int kit_dial(uint16_t port);
/* A listening socket on 127.0.0.1 */
int kit_listen(uint16_t *port);

/* Turns until @cond, at most KIT_WAIT_MS */
#define kit_until(k, cond)                                                                         \
	do {                                                                                       \
		const uint64_t until_ = loop_now_ms((k)->loop) + KIT_WAIT_MS;                      \
		while (!(cond)) {                                                                  \
			assert_int_equal(loop_turn((k)->loop, 200), 0);                            \
			if (loop_now_ms((k)->loop) > until_)                                       \
				fail_msg("not in time: %s", #cond);                                \
		}                                                                                  \
	} while (0)

#endif
