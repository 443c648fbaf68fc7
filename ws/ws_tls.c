// SPDX-License-Identifier: MIT
/*
 * ws_tls.c - TLS settings of both sides, and the real reason when TLS fails
 *
 * Theory of operation: clients use SSL_CTXs of our own, one per CA bundle and client certificate,
 * each with an lws vhost. lws sets the name to verify itself, but from at most 127 bytes and up to
 * the first ':': so the name is set once more, from the URL, when the handshake starts. What the
 * verification said is in the SSL object when lws reports its own, general text.
 */
#include "ws/ws_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/text.h"

static int log_tls(const char *what, const char *path)
{
	char text[WS_REASON_MAX];
	unsigned long code = ERR_peek_last_error();

	ERR_error_string_n(code, text, sizeof(text));
	log_error("ws: %s %s: %s", what, path,
		  code && ERR_reason_error_string(code) ? ERR_reason_error_string(code) : text);
	ERR_clear_error();
	return ST_ETLS;
}

static struct conn *conn_of(const SSL *ssl)
{
	struct ws_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const int fd = SSL_get_fd(ssl);

	list_for_each (n, &ctx->conns) {
		struct conn *c = container_of(n, struct conn, node);

		if (c->client && c->fd == fd && c->state == CONN_UPGRADE)
			return c;
	}
	return NULL;
}

static void set_name(SSL *ssl, const struct conn *c)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (c->host_is_ip) {
		X509_VERIFY_PARAM_set1_host(param, NULL, 0);
		X509_VERIFY_PARAM_set1_ip_asc(param, c->host);
		SSL_set_tlsext_host_name(ssl, NULL);
		return;
	}
	X509_VERIFY_PARAM_set1_host(param, c->host, 0);
	SSL_set_tlsext_host_name(ssl, c->host);
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct conn *c;
	char text[WS_REASON_MAX];

	if (where & SSL_CB_HANDSHAKE_START) {
		c = conn_of(ssl);
		if (c)
			set_name((SSL *)(uintptr_t)ssl, c);
		return;
	}
	if (where == SSL_CB_CONNECT_EXIT && value <= 0 && ERR_peek_error()) {
		/* lws empties OpenSSL's error queue before it calls us */
		c = conn_of(ssl);
		if (c && SSL_get_verify_result(ssl) == X509_V_OK)
			conn_cause(c, ST_ETLS, 0, ERR_reason_error_string(ERR_peek_error()));
		else if (c)
			tls_failure(c);
		return;
	}
	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL) {
		c = conn_of(ssl);
		snprintf(text, sizeof(text), "the server's alert: %s",
			 SSL_alert_desc_string_long(value));
		if (c)
			conn_cause(c, ST_ETLS, 0, text);
	}
}

void tls_failure(struct conn *c)
{
	const SSL *ssl = c->wsi ? lws_get_ssl(c->wsi) : NULL;
	const long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (verdict != X509_V_OK)
		conn_cause(c, ST_ETLS, 0, X509_verify_cert_error_string(verdict));
	else if (c->tls && ssl && !SSL_is_init_finished(ssl))
		conn_cause(c, ST_ETLS, 0, "the TLS handshake failed");
	else
		conn_cause(c, ST_ECLOSED, 0, "the server closed the connection during the upgrade");
}

static int client_tls_new(SSL_CTX **out, struct ws_ctx *ctx, const char *ca, const char *cert,
			  const char *key)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	int r = ST_ENOMEM;

	if (!tls)
		return ST_ENOMEM;
	ERR_clear_error();
	SSL_CTX_set_app_data(tls, ctx);
	SSL_CTX_set_info_callback(tls, on_info);
	SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	if (!SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION))
		goto fail;
	if (!ca && !SSL_CTX_set_default_verify_paths(tls)) {
		r = log_tls("CA bundle", "of the system");
		goto fail;
	}
	if (ca && *ca && !SSL_CTX_load_verify_file(tls, ca)) {
		r = log_tls("CA bundle", ca);
		goto fail;
	}
	if (cert && SSL_CTX_use_certificate_chain_file(tls, cert) != 1) {
		r = log_tls("client certificate", cert);
		goto fail;
	}
	if (key && (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
		    SSL_CTX_check_private_key(tls) != 1)) {
		r = log_tls("client key", key);
		goto fail;
	}
	*out = tls;
	return 0;
fail:
	SSL_CTX_free(tls);
	return r;
}

static void vhost_free(struct vhost *v)
{
	SSL_CTX_free(v->tls);
	free(v->key);
	free(v);
}

int tls_vhost_get(struct ws_ctx *ctx, struct vhost **out, const char *ca, const char *cert,
		  const char *key)
{
	struct lws_context_creation_info info;
	struct vhost *v = calloc(1, sizeof(*v));
	int r = ST_ENOMEM;

	if (!v || asprintf(&v->key, "%s\n%s\n%s", ca ? ca : "system", cert ? cert : "",
			   key ? key : "") < 0) {
		free(v);
		return ST_ENOMEM;
	}
	list_for_each (n, &ctx->vhosts) {
		struct vhost *old = container_of(n, struct vhost, node);

		if (strcmp(old->key, v->key) == 0) {
			*out = old;
			vhost_free(v);
			return 0;
		}
	}
	if ((r = client_tls_new(&v->tls, ctx, ca, cert, key)) < 0)
		goto fail;
	vhost_info_init(&info, ctx);
	info.provided_client_ssl_ctx = v->tls;
	ctx->quiet = true;
	v->lws = lws_create_vhost(ctx->lws, &info);
	ctx->quiet = false;
	if (!v->lws) {
		r = ST_ENOMEM;
		goto fail;
	}
	list_push_back(&ctx->vhosts, &v->node);
	*out = v;
	return 0;
fail:
	vhost_free(v);
	return r;
}

/* After the lws context: its vhosts are gone by then. */
void tls_vhosts_free(struct ws_ctx *ctx)
{
	struct list_node *n;

	while ((n = list_pop_front(&ctx->vhosts)))
		vhost_free(container_of(n, struct vhost, node));
}

/* lws would report a bad file in its own log only. */
int tls_server_check(const struct ws_listen_opts *opts)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	int r = 0;

	if (!tls)
		return ST_ENOMEM;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(tls, opts->cert_file) != 1)
		r = log_tls("certificate", opts->cert_file);
	else if (!opts->key_file ||
		 SSL_CTX_use_PrivateKey_file(tls, opts->key_file, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(tls) != 1)
		r = log_tls("key", opts->key_file ? opts->key_file : "(none)");
	else if (opts->client_ca_file && !SSL_CTX_load_verify_file(tls, opts->client_ca_file))
		r = log_tls("CA of clients", opts->client_ca_file);
	SSL_CTX_free(tls);
	return r;
}

int tls_server_setup(const struct ws_server *s, SSL_CTX *tls)
{
	static const unsigned char session_id[] = "ws";

	if (!SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION))
		return -1;
	/* lws chooses a certificate by SNI among all vhosts without a port: two servers of ours would mix. */
	SSL_CTX_set_tlsext_servername_callback(tls, NULL);
	if (!s->client_ca_file)
		return 0;
	if (!SSL_CTX_load_verify_file(tls, s->client_ca_file))
		return -1;
	SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(s->client_ca_file));
	SSL_CTX_set_session_id_context(tls, session_id, sizeof(session_id));
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	return 0;
}
