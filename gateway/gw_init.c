// SPDX-License-Identifier: MIT
/*
 * gw_init.c - a private CA and a server certificate by OpenSSL, EC P-256 both
 *
 * The CA signs the server's certificate and, if the operator likes, client certificates for the
 * actions API. Keys are written 0600 into a folder of 0700. The store comes last: a folder with a
 * store is complete.
 */
#include "gateway/gw_init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_store.h"

#define CA_DAYS 3650L	 /* ours */
#define SERVER_DAYS 825L /* ours: the longest that Apple's and other stores accept */
#define SAN_MAX 8192U

int gw_path(char *out, size_t cap, const char *dir, const char *file)
{
	int n = snprintf(out, cap, "%s/%s", dir, file);

	return n > 0 && (size_t)n < cap ? 0 : ST_EINVAL;
}

static int ssl_error(const char *what)
{
	char text[256];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	log_error("init: %s: %s", what, text);
	return ST_ETLS;
}

/* ---- the folder ---- */

static int dir_prepare(const char *dir)
{
	static const char *const ours[] = { GW_CA_CERT, GW_CA_KEY, GW_SERVER_CERT, GW_SERVER_KEY,
					    "store.db" };
	char path[4096];
	int r;

	if ((r = file_mkdirs(dir, 0700)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if ((r = gw_path(path, sizeof(path), dir, ours[i])) < 0)
			return r;
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
			log_error("%s exists already: nothing was changed", text_safe(path).s);
			return ST_EEXIST;
		}
	}
	return chmod(dir, 0700) < 0 ? log_sys("chmod %s", text_safe(dir).s) : 0;
}

static int write_bio(const char *dir, const char *file, BIO *bio)
{
	char path[4096], *data;
	long len = BIO_get_mem_data(bio, &data);
	int r;

	if ((r = gw_path(path, sizeof(path), dir, file)) < 0)
		return r;
	return len > 0 ? file_write_atomic(path, data, (size_t)len, 0600) : ssl_error(file);
}

static int write_key(const char *dir, const char *file, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int r = ST_ETLS;

	if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		r = write_bio(dir, file, bio);
	else
		ssl_error(file);
	BIO_free(bio);
	return r;
}

/* The server's file holds its chain: own certificate, then the CA's. */
static int write_certs(const char *dir, const char *file, X509 *first, X509 *second)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int r = ST_ETLS;

	if (bio && PEM_write_bio_X509(bio, first) == 1 &&
	    (!second || PEM_write_bio_X509(bio, second) == 1))
		r = write_bio(dir, file, bio);
	else
		ssl_error(file);
	BIO_free(bio);
	return r;
}

/* ---- certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool set_serial(X509 *cert)
{
	unsigned char rnd[16];
	BIGNUM *bn;
	bool ok;

	if (RAND_bytes(rnd, sizeof(rnd)) != 1)
		return false;
	rnd[0] &= 0x7f;
	bn = BN_bin2bn(rnd, sizeof(rnd), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok;
}

/* A certificate without extensions and signature. NULL: OpenSSL failed */
static X509 *cert_new(EVP_PKEY *key, const char *cn, long days)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -3600) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), days * 86400L) ||
	    X509_set_pubkey(cert, key) != 1 ||
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
				       0) != 1) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static X509 *ca_make(EVP_PKEY *key)
{
	X509 *ca = cert_new(key, "ssm-tun gateway CA", CA_DAYS);

	if (ca && X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
	    add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_extension(ca, ca, NID_subject_key_identifier, "hash") &&
	    X509_sign(ca, key, EVP_sha256()) > 0)
		return ca;
	X509_free(ca);
	return NULL;
}

static X509 *server_make(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const char *san)
{
	X509 *cert = cert_new(key, "ssm-tun gateway", SERVER_DAYS);

	if (cert && X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
	    add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
	    add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
	    add_extension(cert, ca, NID_authority_key_identifier, "keyid") &&
	    add_extension(cert, ca, NID_subject_alt_name, san) &&
	    X509_sign(cert, ca_key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static int san_build(struct buf *b, const char *const *names, size_t n)
{
	static const char host_chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-*";
	int r = buf_printf(b, "DNS:localhost,IP:127.0.0.1,IP:::1");
	struct net_addr addr;

	for (size_t i = 0; i < n && r == 0; i++) {
		bool is_addr = net_addr_parse(&addr, names[i]) == 0;
		size_t len = strlen(names[i]);

		/* A comma or colon would be syntax of the extension's text form. */
		if (!is_addr && (!len || len > 253 || strspn(names[i], host_chars) != len)) {
			log_error("--name %s is neither a host name nor an address",
				  text_safe(names[i]).s);
			return ST_EINVAL;
		}
		r = buf_printf(b, ",%s:%s", is_addr ? "IP" : "DNS", names[i]);
	}
	return r < 0 ? r : buf_put(b, "", 1);
}

static int certs_make(const char *dir, const char *san)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = NULL, *cert = NULL;
	int r = ST_ETLS;

	if (!ca_key || !key || !(ca = ca_make(ca_key)) ||
	    !(cert = server_make(key, ca, ca_key, san)))
		ssl_error("certificates");
	else if ((r = write_key(dir, GW_CA_KEY, ca_key)) == 0 &&
		 (r = write_key(dir, GW_SERVER_KEY, key)) == 0 &&
		 (r = write_certs(dir, GW_CA_CERT, ca, NULL)) == 0)
		r = write_certs(dir, GW_SERVER_CERT, cert, ca);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return r;
}

int gw_init(const char *dir, const char *const *names, size_t n)
{
	struct buf san;
	int r;

	buf_init(&san, SAN_MAX);
	if ((r = san_build(&san, names, n)) == 0 && (r = dir_prepare(dir)) == 0 &&
	    (r = certs_make(dir, (const char *)buf_data(&san))) == 0)
		r = gw_store_create(dir);
	buf_fini(&san);
	return r;
}
