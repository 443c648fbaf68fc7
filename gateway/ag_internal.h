// SPDX-License-Identifier: MIT
/* ag_internal.h - ssm-tun-agent, as its own files see it */
#ifndef GATEWAY_AG_INTERNAL_H
#define GATEWAY_AG_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/loop.h"
#include "gateway/gw_document.h"
#include "gateway/gw_store.h"
#include "ws/ws.h"

#define AG_ALLOW_MAX 64U

/* A host and a port that sessions may reach. */
struct ag_target {
	char host[GW_DOC_HOST_MAX + 1]; /* "localhost", an address, or a name */
	uint16_t port;
};

struct ag_opts {
	const char *gateway; /* ws://host:port or wss://host:port */
	const char *ca;	     /* NULL: the system's CA store */
	const char *state_dir;
	char host_id[GW_NAME_MAX + 1], org_id[GW_NAME_MAX + 1];
	bool stock_pace; /* one message of at most 1024 bytes, then 1 ms, as the stock agent */
	uint32_t max_payload;
	uint16_t ssh_port;		      /* what a session for port 22 is connected to */
	struct ag_target allow[AG_ALLOW_MAX]; /* beside port 22 of this machine */
	size_t n_allow;
	const char *
		keys_dir; /* where keys that the gateway hands us are put for sshd; NULL: we take none */
};

/* Who we are: a key made once, and what the gateway gave us. */
struct ag_identity {
	uint8_t seed[32], pubkey[GW_PUBKEY_LEN]; /* Ed25519 */
	char uid[CODEC_UUID_STR];		 /* "": not registered */
	char token[GW_TOKEN_STR];		 /* the bootstrap token */
};

struct ag_keys;
struct ag_link;
struct ags;

struct ag {
	struct loop *loop;
	struct ws_ctx *ws;
	const struct ag_opts *opts;
	struct ag_identity id;
	char boot_id[CODEC_UUID_STR]; /* of this process */
	struct ag_link *link;
	struct ags *sessions;
	struct ag_keys *keys;	       /* NULL: we take none */
	uint32_t lookups;	       /* of names, running now; ag_connect.h */
	uint32_t streams, streams_max; /* connections of all multiplexed sessions; ag_mux.c */
};

/* ---- ag_state.c: the state folder ---- */

/** ag_state_load() - key (made and stored if there is none) and tokens. Return: 0; ST_ESYS; ST_EFORMAT (logged) */
int ag_state_load(struct ag_identity *id, const char *dir);
/** ag_state_save() - uid and token, atomically. Return: 0; ST_ESYS (logged) */
int ag_state_save(const struct ag_identity *id, const char *dir);
/** ag_sign() - Ed25519 of @text by our key */
void ag_sign(const struct ag_identity *id, const void *text, size_t len, uint8_t sig[64]);

/* ---- ag_dial.c: addresses ---- */

/**
 * ag_resolve() - where the host of a ws:// or wss:// URL is; blocks in getaddrinfo()
 * Return: 0; ST_EINVAL bad URL; ST_EUNREACH no address (logged)
 */
int ag_resolve(struct net_endpoint *out, const char *url);
/** ag_url_is_safe() - may a data channel go there? Never from a wss:// gateway to a ws:// URL */
bool ag_url_is_safe(const char *gateway, const char *url);

/* ---- ag_link.c: the control connection ---- */

int ag_link_new(struct ag_link **out, struct ag *ag);
void ag_link_free(struct ag_link *l);
bool ag_link_is_online(const struct ag_link *l);
/** ag_link_request() - a request to the gateway, @body borrowed. Return: 0; ST_EAGAIN while there is no connection; ST_ENOMEM */
int ag_link_request(struct ag_link *l, const char *channel, const json_t *body);
/** ag_link_address() - of the gateway as last resolved, for data channels to the same host:port */
bool ag_link_address(const struct ag_link *l, const char *url, struct net_endpoint *out);

/* ---- ag_session.c: sessions ---- */

int ags_new(struct ags **out, struct ag *ag);
void ags_free(struct ags *all);
/** ags_start() - session.start; @body is foreign and borrowed */
void ags_start(struct ags *all, const json_t *body);
void ags_terminate(struct ags *all, const json_t *body);
/** ags_reopened() - the answer to session.reopen */
void ags_reopened(struct ags *all, const json_t *body);
uint32_t ags_count(const struct ags *all);
/** ags_online() - the control connection stands (again): ends that could not be told are told, lost sockets reopened */
void ags_online(struct ags *all);

#endif
