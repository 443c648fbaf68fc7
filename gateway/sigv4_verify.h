// SPDX-License-Identifier: MIT
/* sigv4_verify.h - checks AWS Signature Version 4 of a received request (header form) */
#ifndef GATEWAY_SIGV4_VERIFY_H
#define GATEWAY_SIGV4_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGV4_SKEW_S 300	  /* X-Amz-Date may be so far off; gateway.md, Setting up */
#define SIGV4_ACCESS_KEY_MAX 128U /* characters; AWS's own limit */
#define SIGV4_SECRET_MAX 128U

/* A request as received. All is borrowed until return. */
struct sigv4_request {
	const char *method;
	const char *path;  /* as sent, without the query */
	const char *query; /* behind '?', as sent; "" if none */
	const uint8_t *body;
	size_t body_len;
	/* a header's value by its lower-case name; NULL if absent; valid until sigv4_verify() returns */
	const char *(*header)(void *arg, const char *name);
	void *arg;
};

/* Finds a secret: true and @secret (NUL-terminated) for a known access key. */
typedef bool sigv4_secret_fn(void *arg, const char *access_key, char secret[SIGV4_SECRET_MAX + 1]);

struct sigv4_result {
	char access_key[SIGV4_ACCESS_KEY_MAX + 1]; /* whose signature it is; "" unless it is good */
	char region[65], service[65];		   /* of the scope */
	const char *code;			   /* AWS's error code, NULL if good */
	const char *message;			   /* AWS's words for it */
};

/**
 * sigv4_verify() - is @req signed by a key that we know?
 * Every body counts as hashed; what X-Amz-Content-Sha256 says must agree (UNSIGNED-PAYLOAD does not).
 * Signatures are compared in constant time, and an unknown key takes as long as a wrong signature.
 * Return: 0; ST_EAUTH with out->code MissingAuthenticationTokenException, IncompleteSignatureException,
 * UnrecognizedClientException or InvalidSignatureException
 * Source: AWS General Reference, "Signature Version 4 signing process"; botocore/auth.py for the details
 */
int sigv4_verify(struct sigv4_result *out, const struct sigv4_request *req, sigv4_secret_fn *secret,
		 void *secret_arg, int64_t unix_s);

#endif
