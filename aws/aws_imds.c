// SPDX-License-Identifier: MIT
/*
 * aws_imds.c - the source "iam-role": the instance metadata service of EC2, the last of the chain
 *
 * Theory of operation: three requests one after the other, for a token (IMDSv2), the role's name, its keys; without a token the
 * other two go as IMDSv1. All together have AWS_METADATA_SERVICE_TIMEOUT (1 s) for each of AWS_METADATA_SERVICE_NUM_ATTEMPTS
 * (1); the token may take three quarters of that, since in a container behind one hop more its answer gets lost while IMDSv1's
 * does not. Where nothing answers this is no instance: the source does not apply, and is not asked again for
 * imds_quiet_ms, so that calls elsewhere don't pay for it one by one. An instance whose keys are at their end already has a service
 * that is late with new ones: the old ones are used on, as AWS wants it.
 * Source: botocore 1.29 utils.py IMDSFetcher, InstanceMetadataFetcher; aws-cli v2 for ec2_metadata_v1_disabled
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define TIMEOUT_MAX_S 60U /* ours */
#define ATTEMPTS_MAX 10U  /* ours */
#define ROLE_MAX 128U	  /* ours; IAM: 64 */
#define EXTEND_MIN_S 120U /* botocore _evaluate_expiration: 2 to 10 minutes */
#define EXTEND_SPREAD_S 480U
#define ROLE_PATH "latest/meta-data/iam/security-credentials/"

enum step { STEP_TOKEN, STEP_ROLE, STEP_KEYS };

struct imds {
	struct aws_walk *w;
	const char *base; /* borrowed from environment or profile */
	enum step step;
	unsigned attempt, attempts; /* of this step, from 1 */
	uint32_t timeout_ms;	    /* of one request */
	uint64_t deadline_ms;	    /* of all */
	bool v1_disabled;
	char *token; /* a header line, secret; NULL: IMDSv1 */
	char role[ROLE_MAX];
	aws_call call; /* 0: none */
};

static const char *name(void)
{
	return aws_source_imds.name;
}

/* ---- settings ---- */

static const char *setting(const struct aws_walk *w, const char *variable, const char *key)
{
	const char *value = aws_env(w->acc->aws, variable);

	return value ? value : aws_profile_get(&w->profile, key);
}

static bool is_true(const char *value)
{
	return value && strcasecmp(value, "true") == 0;
}

/* What is no number from 1 to @max is as if it were not set. */
static unsigned number(const struct aws_walk *w, const char *variable, const char *key,
		       unsigned max)
{
	const char *value = setting(w, variable, key);
	char *end = NULL;
	unsigned long n = value ? strtoul(value, &end, 10) : 1;

	return (value && *end) || n < 1 ? 1 : (unsigned)MIN(n, (unsigned long)max);
}

/* Return: false with @error filled in: the mode is none */
static bool base_find(struct imds *m, struct aws_error *error)
{
	const struct aws_walk *w = m->w;
	const char *mode = setting(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
				   "ec2_metadata_service_endpoint_mode");
	const char *url = setting(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
				  "ec2_metadata_service_endpoint");
	bool v6 = mode ? strcasecmp(mode, "ipv6") == 0
		       : is_true(setting(w, "AWS_IMDS_USE_IPV6", "imds_use_ipv6"));

	m->base = url ? url : v6 ? "http://[fd00:ec2::254]/" : w->acc->aws->imds_base;
	if (!mode || v6 || strcasecmp(mode, "ipv4") == 0)
		return true;
	aws_error_set(error, ST_EAUTH,
		      "Invalid EC2 Instance Metadata endpoint mode: %s Valid endpoint modes "
		      "(case-insensitive): ['ipv4', 'ipv6'].",
		      text_safe(mode).s);
	error->person = true;
	return false;
}

/* ---- requests ---- */

static void ask(struct imds *m);

static void quiet(struct imds *m, const char *why)
{
	struct aws_account *acc = m->w->acc;

	acc->imds_quiet_until_ms = loop_now_ms(acc->aws->loop) + acc->aws->limits.imds_quiet_ms;
	aws_walk_skip(m->w, "no instance metadata service: %s", why);
}

static uint32_t left_ms(const struct imds *m)
{
	const uint64_t now_ms = loop_now_ms(m->w->acc->aws->loop);

	return now_ms < m->deadline_ms ? (uint32_t)(m->deadline_ms - now_ms) : 0;
}

static void step_begin(struct imds *m, enum step step)
{
	m->step = step;
	m->attempt = 0;
	ask(m);
}

/* Another try of this step. Return: false if there is none left */
static bool again(struct imds *m)
{
	if (m->attempt >= m->attempts || left_ms(m) == 0)
		return false;
	ask(m);
	return true;
}

/* No token: as IMDSv1, unless that is forbidden. */
static void go_without_token(struct imds *m, const char *why)
{
	struct aws_error error;

	if (!m->v1_disabled) {
		log_trace("aws: no token of the instance metadata service: %s", why);
		step_begin(m, STEP_ROLE);
		return;
	}
	aws_retrieval_error(&error, ST_EAUTH, name(),
			    "Unable to retrieve token for use in IMDSv2 call and IMDSv1 has been "
			    "disabled: %s",
			    why);
	aws_error_hint(&error, "see AWS_EC2_METADATA_V1_DISABLED and the instance's metadata "
			       "options");
	aws_walk_fail(m->w, &error);
}

/* ---- answers ---- */

static void token_take(struct imds *m, long status, const char *body, size_t len)
{
	char why[64];

	snprintf(why, sizeof(why), "its answer has status %ld", status);
	if (status == 200 && len > 0 && len <= AWS_TOKEN_MAX && strlen(body) == len &&
	    strcspn(body, "\r\n") == len) {
		if (asprintf(&m->token, "X-aws-ec2-metadata-token: %s", body) < 0)
			m->token = NULL;
		step_begin(m, STEP_ROLE);
	} else if (status == 400) {
		aws_walk_skip(m->w, "the instance metadata service calls a request bad");
	} else if (status == 403 || status == 404 || status == 405 || !again(m)) {
		go_without_token(m, why);
	}
}

static void role_take(struct imds *m, long status, const char *body, size_t len)
{
	const size_t end = strcspn(body, "\r\n");

	if (status == 404) {
		aws_walk_skip(m->w, "the instance has no role");
	} else if (status == 200 && len > 0) {
		if (end == 0 || end >= sizeof(m->role) || strcspn(body, "/?#% \t\\") < end) {
			aws_walk_skip(m->w, "the role of the instance has an odd name: %s",
				      text_safe(body).s);
			return;
		}
		memcpy(m->role, body, end);
		step_begin(m, STEP_KEYS);
	} else if (!again(m)) {
		aws_walk_skip(m->w, "the instance metadata service gives no role, status %ld%s",
			      status, status == 401 ? " (it wants a token)" : "");
	}
}

/* AWS: "credential service availability": go on with what there is, and ask again in a while. */
static void extend(const struct imds *m, struct aws_creds *c)
{
	const int64_t now_s = (int64_t)time(NULL) + m->w->acc->skew_s;
	char ended[AWS_TIME_STR];
	uint32_t pause_s;

	if (c->expires_s - now_s > AWS_REFRESH_S)
		return;
	codec_random(&pause_s, sizeof(pause_s));
	pause_s = EXTEND_MIN_S + pause_s % (EXTEND_SPREAD_S + 1);
	log_info("aws: the instance metadata service gives credentials that end at %s and has no "
		 "newer ones: they are used on, and it is asked again in %u s",
		 aws_time_print(ended, c->expires_s), pause_s);
	c->again_s = now_s + pause_s;
	c->expires_s = c->again_s + AWS_REFRESH_S;
}

/* An error in the form of an answer: the role can't be assumed, as EC2 is not trusted. Return: false if it is none */
static bool is_refusal(const struct imds *m, const json_t *root, struct aws_error *error)
{
	const char *code = aws_text(root, "Code"), *message = aws_text(root, "Message");

	if (!code || strcasecmp(code, "Success") == 0)
		return false;
	aws_retrieval_error(error, ST_EAUTH, name(), "role %s: %s: %s", text_safe(m->role).s,
			    text_safe(code).s, message ? text_safe(message).s : "");
	aws_error_hint(error, "see the role of this instance and its trust policy");
	return true;
}

static void keys_take(struct imds *m, long status, const char *body, size_t len)
{
	json_t *root = status == 200 ? json_loadb(body, len, 0, NULL) : NULL;
	struct aws_creds c = { 0 };
	struct aws_error error;

	if (!root) {
		if (!again(m))
			aws_walk_skip(m->w, "the keys of role %s can't be read, status %ld",
				      text_safe(m->role).s, status);
	} else if (is_refusal(m, root, &error)) {
		aws_walk_fail(m->w, &error);
	} else if (aws_creds_read(&c, root, "Token", name(), &error) < 0) {
		aws_walk_fail(m->w, &error);
	} else {
		extend(m, &c);
		aws_walk_found(m->w, &c);
	}
	json_decref(root);
}

static void on_answer(void *arg, const struct aws_error *failure, long status, const char *body,
		      size_t len)
{
	static void (*const take[])(struct imds *, long, const char *, size_t) = {
		[STEP_TOKEN] = token_take, [STEP_ROLE] = role_take, [STEP_KEYS] = keys_take
	};
	struct imds *m = arg;

	m->call = 0;
	if (!failure)
		take[m->step](m, status, body, len);
	else if (failure->err == ST_EINVAL) /* not a URL: a setting to be mended */
		aws_walk_fail(m->w, failure);
	else if (m->step == STEP_TOKEN && failure->err == ST_ETIMEOUT && left_ms(m) > 0 &&
		 !m->v1_disabled)
		go_without_token(m, failure->text);
	else if (!again(m))
		quiet(m, failure->text);
}

static void ask(struct imds *m)
{
	const char *const token_headers[] = { "X-aws-ec2-metadata-token-ttl-seconds: 21600", NULL };
	const char *const headers[] = { m->token, NULL };
	const size_t base_len = strlen(m->base);
	struct aws_fetch f = { .method = m->step == STEP_TOKEN ? "PUT" : "GET" };
	char url[KIB(2)];
	int err;

	snprintf(url, sizeof(url), "%s%s%s%s", m->base,
		 base_len && m->base[base_len - 1] == '/' ? "" : "/",
		 m->step == STEP_TOKEN ? "latest/api/token" : ROLE_PATH,
		 m->step == STEP_KEYS ? m->role : "");
	f.url = url;
	f.headers = m->step == STEP_TOKEN ? token_headers : headers;
	f.within_ms = MIN(left_ms(m), m->timeout_ms);
	if (m->step == STEP_TOKEN)
		f.within_ms = f.within_ms / 4 * 3;
	f.within_ms = MAX(f.within_ms, 1U);
	m->attempt++;
	if ((err = aws_fetch(m->w->acc, &m->call, &f, on_answer, m)) < 0) {
		m->call = 0;
		aws_walk_skip(m->w, "the instance metadata service can't be asked: %s",
			      st_strerror(err));
	}
}

static void imds_begin(struct aws_walk *w)
{
	struct aws_account *acc = w->acc;
	const uint64_t now_ms = loop_now_ms(acc->aws->loop);
	struct aws_error error;
	struct imds *m;

	if (is_true(aws_env(acc->aws, "AWS_EC2_METADATA_DISABLED"))) {
		aws_walk_skip(w, "AWS_EC2_METADATA_DISABLED is true");
		return;
	}
	if (now_ms < acc->imds_quiet_until_ms) {
		aws_walk_skip(w, "there was no instance metadata service a moment ago");
		return;
	}
	if (!(w->state = m = calloc(1, sizeof(*m)))) {
		aws_error_set(&error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		aws_walk_fail(w, &error);
		return;
	}
	m->w = w;
	m->timeout_ms = 1000 * number(w, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout",
				      TIMEOUT_MAX_S);
	m->attempts = number(w, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
			     "metadata_service_num_attempts", ATTEMPTS_MAX);
	m->deadline_ms = now_ms + (uint64_t)m->timeout_ms * m->attempts;
	m->v1_disabled =
		is_true(setting(w, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled"));
	if (base_find(m, &error))
		step_begin(m, STEP_TOKEN);
	else
		aws_walk_fail(w, &error);
}

static void imds_end(struct aws_walk *w)
{
	struct imds *m = w->state;

	if (!m)
		return;
	if (m->call)
		aws_cancel(w->acc->aws, m->call);
	aws_secret_free(m->token);
	free(m);
}

const struct aws_source aws_source_imds = { .name = "iam-role",
					    .begin = imds_begin,
					    .end = imds_end };
