// SPDX-License-Identifier: MIT
/* testkit.c - see testkit.h; certificates are made anew with OpenSSL in a temporary folder */
#include "testkit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/addr.h"

/* ---- certificates ---- */

static void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* @issuer NULL: a CA that signs itself. @to_s: end of validity, seconds from now */
static X509 *make_cert(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
		       const char *san, long to_s)
{
	static long serial;
	X509 *cert = X509_new();
	X509_NAME *subject;

	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial + (long)getpid());
	X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
	X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
	subject = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(cert, key);
	add_ext(cert, issuer ? issuer : cert, NID_basic_constraints,
		issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		add_ext(cert, issuer, NID_subject_alt_name, san);
	assert_true(X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0);
	return cert;
}

static void save_cert(const char *path, X509 *cert)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
}

static void save_key(const char *path, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static void make_pki(struct kit *k)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256"),
		 *key = EVP_EC_gen("P-256");
	X509 *ca = make_cert(ca_key, "test CA", NULL, NULL, NULL, 86400);
	X509 *other = make_cert(other_key, "other CA", NULL, NULL, NULL, 86400);
	const char *san = "DNS:localhost,DNS:gw.test,IP:127.0.0.1,IP:::1";
	X509 *cert = make_cert(key, "localhost", ca, ca_key, san, 86400);
	X509 *expired = make_cert(key, "localhost", ca, ca_key, san, -60);
	X509 *client = make_cert(key, "agent seven", ca, ca_key, NULL, 86400);

	strcpy(k->dir, "/tmp/ws_test.XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	snprintf(k->ca, sizeof(k->ca), "%s/ca.pem", k->dir);
	snprintf(k->other_ca, sizeof(k->other_ca), "%s/other.pem", k->dir);
	snprintf(k->cert, sizeof(k->cert), "%s/cert.pem", k->dir);
	snprintf(k->expired_cert, sizeof(k->expired_cert), "%s/expired.pem", k->dir);
	snprintf(k->client_cert, sizeof(k->client_cert), "%s/client.pem", k->dir);
	snprintf(k->key, sizeof(k->key), "%s/key.pem", k->dir);
	strcpy(k->client_key, k->key);
	save_cert(k->ca, ca);
	save_cert(k->other_ca, other);
	save_cert(k->cert, cert);
	save_cert(k->expired_cert, expired);
	save_cert(k->client_cert, client);
	save_key(k->key, key);
	X509_free(ca);
	X509_free(other);
	X509_free(cert);
	X509_free(expired);
	X509_free(client);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(key);
}

static void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[512];

	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	rmdir(dir);
}

/* ---- what a side sees ---- */

void seen_init(struct seen *s, struct kit *k)
{
	*s = (struct seen){ .kit = k };
	buf_init(&s->last, WS_MESSAGE_MAX);
}

void seen_fini(struct seen *s)
{
	buf_fini(&s->last);
	EVP_MD_CTX_free(s->digest);
	s->digest = NULL;
}

static void on_open(void *arg, ws_conn c)
{
	struct seen *s = arg;

	s->conn = c;
	s->opened++;
	if (s->pause_at_open)
		ws_pause(s->kit->ctx, c, true);
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct seen *s = arg;
	const uint64_t n = len;

	assert_true(c == s->conn);
	s->messages++;
	s->bytes += len;
	s->text = text;
	buf_consume(&s->last, s->last.len);
	assert_int_equal(buf_put(&s->last, p, len), 0);
	if (s->digest) {
		EVP_DigestUpdate(s->digest, &n, sizeof(n));
		EVP_DigestUpdate(s->digest, p, len);
	}
	if (s->echo)
		assert_int_equal(ws_send(s->kit->ctx, c, p, len, text), 0);
}

static void on_writable(void *arg, ws_conn c)
{
	struct seen *s = arg;

	(void)c;
	s->writable++;
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct seen *s = arg;

	(void)c;
	s->closed++;
	s->err = err;
	s->status = status;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static void on_alive(void *arg, ws_conn c)
{
	struct seen *s = arg;

	(void)c;
	s->alive++;
}

const struct ws_events kit_events = {
	.open = on_open,
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
	.alive = on_alive,
};

/* ---- the server ---- */

static void note_request(struct kit *k, ws_req r, const struct ws_request *req)
{
	const char *value = k->header_name ? ws_req_header(k->ctx, r, k->header_name) : NULL;

	k->request = r;
	snprintf(k->method, sizeof(k->method), "%s", req->method);
	snprintf(k->path, sizeof(k->path), "%s", req->path);
	snprintf(k->query, sizeof(k->query), "%s", req->query);
	snprintf(k->header, sizeof(k->header), "%s", value ? value : "(none)");
	snprintf(k->cert_name, sizeof(k->cert_name), "%s",
		 req->client_cert_name ? req->client_cert_name : "");
	buf_consume(&k->body, k->body.len);
	assert_int_equal(buf_put(&k->body, req->body, req->body_len), 0);
}

static void on_request(void *arg, ws_req r, const struct ws_request *req)
{
	static const char *const headers[] = { "X-Test", "yes", NULL };
	struct kit *k = arg;

	k->requests++;
	note_request(k, r, req);
	if (k->hold)
		return;
	if (strcmp(req->path, "/missing") == 0)
		ws_reply(k->ctx, r, 404, "text/plain", "no such page\n", 13, NULL);
	else
		ws_reply(k->ctx, r, 200, "application/json",
			 req->body_len ? (const char *)req->body : "{}",
			 req->body_len ? req->body_len : 2, headers);
}

static int on_upgrade(void *arg, ws_req r, const struct ws_request *req,
		      const struct ws_events **events, void **events_arg)
{
	struct kit *k = arg;

	k->upgrades++;
	note_request(k, r, req);
	if (k->refuse)
		return k->refuse;
	*events = &kit_events;
	*events_arg = &k->srv;
	return 0;
}

static const struct ws_server_events server_events = { .request = on_request,
						       .upgrade = on_upgrade };

struct net_endpoint kit_local(uint16_t port)
{
	return (struct net_endpoint){ .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
				      .port = port };
}

void kit_server(struct kit *k, const struct ws_listen_opts *opts)
{
	assert_int_equal(ws_listen(k->ctx, &k->server, opts, &server_events, k), 0);
}

void kit_new(struct kit *k, bool tls)
{
	struct ws_listen_opts listen_opts = { .address = kit_local(0) };
	struct ws_ctx_opts opts = { .ca_bundle = k->ca };

	memset(k, 0, sizeof(*k));
	buf_init(&k->body, WS_HTTP_BODY_MAX);
	make_pki(k);
	seen_init(&k->srv, k);
	k->srv.echo = true;
	assert_int_equal(loop_new(&k->loop), 0);
	assert_int_equal(ws_ctx_new(&k->ctx, k->loop, &opts), 0);
	if (tls) {
		listen_opts.cert_file = k->cert;
		listen_opts.key_file = k->key;
		listen_opts.client_ca_file = k->ca;
	}
	kit_server(k, &listen_opts);
}

void kit_free(struct kit *k)
{
	ws_ctx_free(k->ctx);
	loop_free(k->loop);
	seen_fini(&k->srv);
	buf_fini(&k->body);
	remove_dir(k->dir);
}

/* ---- the client ---- */

struct ws_connect_opts kit_opts(const struct kit *k, char url[256])
{
	snprintf(url, 256, "wss://localhost:%u/v1/data-channel/s-1?role=publish_subscribe",
		 ws_server_port(k->server));
	return (struct ws_connect_opts){ .url = url,
					 .address = kit_local(ws_server_port(k->server)) };
}

int kit_connect(struct kit *k, struct seen *s, const struct ws_connect_opts *opts)
{
	return ws_connect(k->ctx, &s->conn, opts, &kit_events, s);
}

void kit_open(struct kit *k, struct seen *s)
{
	char url[256];
	struct ws_connect_opts opts = kit_opts(k, url);

	seen_init(s, k);
	assert_int_equal(kit_connect(k, s, &opts), 0);
	kit_until(k, s->closed || (s->opened && k->srv.opened));
	if (s->closed)
		fail_msg("%s: %s", st_strerror(s->err), s->reason);
}

int kit_dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

int kit_listen(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}
