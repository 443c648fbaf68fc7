// SPDX-License-Identifier: MIT
/*
 * aws_container.c - the source "container-role": the credentials endpoint of ECS, EKS and whoever plays them
 *
 * Theory of operation: the environment names a path of the agent's address or a whole URL, and a token or a file that has it. The file
 * is read by a job each time, since the agent changes it. One request at a time, AWS_ATTEMPTS_MAX in all, a pause between them; a
 * whole URL may only lead to this machine, to the agents' addresses, or anywhere by TLS, so that a variable that
 * somebody else has set can't send the token away in clear text.
 * Source: botocore 1.29 ContainerProvider, ContainerMetadataFetcher; AWS SDK for JavaScript v3 credential-provider-http
 * (EKS's addresses, https, the token file, which wins)
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

#define RELATIVE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

#define WORDS_MAX 200U /* bytes of what the endpoint says that fit a message; ours */

struct container {
	struct aws_walk *w;
	const char *from; /* the variable that led here, for hints */
	char *url, *auth; /* auth: a header line, secret; NULL: none */
	handle job;	  /* reads the token; 0: none */
	aws_call call;	  /* 0: none */
	struct loop_timer pause;
	unsigned attempt; /* from 1 */
};

static const char *name(void)
{
	return aws_source_container.name;
}

static void fail(struct container *c, struct aws_error *error)
{
	if (!error->hint[0])
		aws_error_hint(error, "see %s and what answers there", c->from);
	aws_walk_fail(c->w, error);
}

static void fail_text(struct container *c, int err, const char *what, const char *more)
{
	struct aws_error error;

	aws_retrieval_error(&error, err, name(), "%s%s", what, more);
	fail(c, &error);
}

/* ---- where to ask ---- */

/* In clear text only to this machine and to the agents of ECS and EKS. */
static const char *const near[] = { "127.0.0.0/8", "::1", "169.254.170.2", "169.254.170.23",
				    "fd00:ec2::23" };

static bool host_is_near(const char *host)
{
	struct net_prefix prefix;
	struct net_addr addr;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (net_addr_parse(&addr, host) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(near); i++)
		if (net_prefix_parse(&prefix, near[i]) == 0 && net_prefix_has(&prefix, &addr))
			return true;
	return false;
}

/* Return: 0; ST_EAUTH, ST_EINVAL, ST_ENOMEM with @error filled in */
static int full_check(const struct container *c, struct aws_error *error)
{
	struct aws_endpoint at;
	int err = aws_endpoint_url(&at, c->w->acc, c->url, error);

	if (err < 0)
		return err;
	if (!at.tls && !host_is_near(at.host))
		err = aws_retrieval_error(error, ST_EAUTH, name(),
					  "Unsupported host '%s'.  Can only retrieve metadata from "
					  "these hosts: loopback addresses, 169.254.170.2, "
					  "169.254.170.23, fd00:ec2::23, localhost, or by https",
					  text_safe(at.host).s);
	aws_endpoint_fini(&at);
	return err;
}

/* Return: as full_check(), and c->url */
static int url_find(struct container *c, struct aws_error *error)
{
	const struct aws *a = c->w->acc->aws;
	const char *relative = aws_env(a, RELATIVE);

	c->from = relative ? RELATIVE : FULL;
	if (relative && relative[0] != '/') /* "@host" would lead elsewhere */
		return aws_retrieval_error(error, ST_EAUTH, name(),
					   RELATIVE " does not begin with a slash");
	if (asprintf(&c->url, "%s%s", relative ? a->container_base : "",
		     relative ? relative : aws_env(a, FULL)) < 0) {
		c->url = NULL;
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	}
	return relative ? 0 : full_check(c, error);
}

/* ---- asking ---- */

static void ask(struct container *c);

static void on_pause(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	ask(arg);
}

static void again_or_fail(struct container *c, struct aws_error *error)
{
	struct aws *a = c->w->acc->aws;

	if (c->attempt >= AWS_ATTEMPTS_MAX ||
	    loop_timer_set(a->loop, &c->pause,
			   loop_now_ms(a->loop) + a->limits.container_pause_ms) < 0)
		fail(c, error);
}

/* What an answer that is no success says: its message if it is JSON, or a plain sentence; who knows what else holds. */
static void words_of(char out[WORDS_MAX + 4], const char *body, size_t len)
{
	static const char *const keys[] = { "message", "Message", "code", "Code" };
	const bool is_plain = strcspn(body, "{[\"'=:<") == len;
	json_t *root = json_loadb(body, len, 0, NULL);
	const char *text = NULL;

	for (size_t i = 0; root && !text && i < ARRAY_LEN(keys); i++)
		text = aws_text(root, keys[i]);
	if (text)
		text_escape(out, WORDS_MAX, text, strlen(text), true);
	else
		text_escape(out, WORDS_MAX, body, is_plain ? len : 0, true);
	json_decref(root);
}

static int answer_read(struct aws_creds *creds, long status, const char *body, size_t len,
		       struct aws_error *error)
{
	char words[WORDS_MAX + 4];
	json_t *root;
	int err;

	if (status != 200) {
		words_of(words, body, len);
		return aws_retrieval_error(
			error, status >= 500 || status == 429 ? ST_EAGAIN : ST_EAUTH, name(),
			"Received non 200 response (%ld) from ECS metadata: %s", status, words);
	}
	if (!(root = json_loadb(body, len, 0, NULL)))
		return aws_retrieval_error(error, ST_EAGAIN, name(),
					   "Unable to parse JSON returned from ECS metadata "
					   "services");
	err = aws_creds_read(creds, root, "Token", name(), error);
	json_decref(root);
	return err;
}

static void on_answer(void *arg, const struct aws_error *failure, long status, const char *body,
		      size_t len)
{
	struct container *c = arg;
	struct aws_creds creds = { 0 };
	struct aws_error error;

	c->call = 0;
	if (failure)
		aws_retrieval_error(&error, ST_EAGAIN, name(),
				    "Received error when attempting to retrieve ECS metadata: %s",
				    failure->text);
	else if (answer_read(&creds, status, body, len, &error) == 0) {
		aws_walk_found(c->w, &creds);
		return;
	} else if (status == 200 && error.err == ST_EAUTH) { /* it has said what it has to say */
		fail(c, &error);
		return;
	}
	again_or_fail(c, &error);
}

static void ask(struct container *c)
{
	const char *const headers[] = { "Accept: application/json", c->auth, NULL };
	const struct aws_fetch f = { .method = "GET",
				     .url = c->url,
				     .headers = headers,
				     .within_ms = c->w->acc->aws->limits.container_ms };
	int err;

	c->attempt++;
	err = aws_fetch(c->w->acc, &c->call, &f, on_answer, c);
	if (err < 0) {
		c->call = 0;
		fail_text(c, ST_EAGAIN, "", st_strerror(err));
	}
}

/* ---- the token ---- */

/* It becomes a header: nothing that could end one. Return: 0; ST_EAUTH; ST_ENOMEM */
static int auth_set(struct container *c, const char *token, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)token[i] < 0x20 || token[i] == 0x7f)
			return ST_EAUTH;
	if (len == 0 || len > AWS_TOKEN_MAX)
		return ST_EAUTH;
	if (asprintf(&c->auth, "Authorization: %.*s", (int)len, token) >= 0)
		return 0;
	c->auth = NULL;
	return ST_ENOMEM;
}

static void token_take(struct container *c, const char *token, size_t len, const char *variable)
{
	int err = auth_set(c, token, len);

	if (err == ST_EAUTH)
		fail_text(c, err, "Auth token value is not a legal header value: ", variable);
	else if (err < 0)
		fail_text(c, ST_EAGAIN, "", st_strerror(err));
	else
		ask(c);
}

static void on_token(void *arg, int err, const uint8_t *out, size_t len)
{
	struct container *c = arg;

	c->job = 0;
	if (err < 0)
		fail_text(c, ST_EAUTH, TOKEN_FILE " can't be read: ",
			  len ? text_safe_n(out, len).s : st_strerror(err));
	else
		token_take(c, (const char *)out + sizeof(uint32_t), len - sizeof(uint32_t),
			   TOKEN_FILE);
}

static void token_find(struct container *c)
{
	const struct aws *a = c->w->acc->aws;
	const char *path = aws_env(a, TOKEN_FILE), *token = aws_env(a, TOKEN);
	int err;

	if (path) {
		err = a->svc->run(a->svc->ctx, &c->job, SVC_AWS_READ, path, strlen(path),
				  a->limits.file_ms, on_token, c);
		if (err < 0) {
			c->job = 0;
			fail_text(c, ST_EAGAIN, TOKEN_FILE " can't be read: ", st_strerror(err));
		}
	} else if (token) {
		token_take(c, token, strlen(token), TOKEN);
	} else {
		ask(c);
	}
}

static void container_begin(struct aws_walk *w)
{
	struct container *c;
	struct aws_error error;

	if (!aws_env(w->acc->aws, RELATIVE) && !aws_env(w->acc->aws, FULL)) {
		aws_walk_skip(w, "neither " RELATIVE " nor " FULL " is set");
		return;
	}
	if (!(w->state = c = calloc(1, sizeof(*c)))) {
		aws_error_set(&error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		aws_walk_fail(w, &error);
		return;
	}
	c->w = w;
	loop_timer_init(&c->pause, on_pause, c);
	if (url_find(c, &error) < 0)
		fail(c, &error);
	else
		token_find(c);
}

static void container_end(struct aws_walk *w)
{
	struct aws *a = w->acc->aws;
	struct container *c = w->state;

	if (!c)
		return;
	if (c->job)
		a->svc->cancel(a->svc->ctx, c->job);
	if (c->call)
		aws_cancel(a, c->call);
	loop_timer_cancel(a->loop, &c->pause);
	aws_secret_free(c->auth);
	free(c->url);
	free(c);
}

const struct aws_source aws_source_container = { .name = "container-role",
						 .begin = container_begin,
						 .end = container_end };
