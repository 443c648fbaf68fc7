// SPDX-License-Identifier: MIT
/*
 * aws_error.c - what went wrong, in the AWS CLI's words, and what to do about it
 *
 * Theory of operation: a service's error code is looked up in one table that gives our code, whether the same call may
 * succeed later by itself, and a hint. An unknown code is judged by the HTTP status. Texts of the service are
 * foreign and go through text_safe().
 * Source: ssm-protocol.md 1.1, 1.2; botocore exceptions.py for the wording
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

#define CLOCK_SKEW_S 240 /* AWS refuses beyond 300 s; ours: name the clock a little earlier */

enum hint {
	HINT_NONE,
	HINT_DENIED,
	HINT_EXPIRED,
	HINT_UNKNOWN_KEY,
	HINT_SIGNATURE,
	HINT_NO_KEY,
	HINT_OFFLINE,
	HINT_DOCUMENT,
	HINT_SESSION,
	HINT_TARGET,
	HINT_THROTTLED,
	HINT_SERVICE,
};

struct code_row {
	const char *code;
	int err;
	bool retryable;
	enum hint hint;
};

static const struct code_row codes[] = {
	{ "TargetNotConnected", ST_ECLOSED, true, HINT_OFFLINE },
	{ "DoesNotExistException", ST_ENOENT, false, HINT_SESSION },
	{ "InvalidInstanceId", ST_ENOENT, false, HINT_TARGET },
	{ "InvalidTarget", ST_ENOENT, false, HINT_TARGET },
	{ "InvalidDocument", ST_EINVAL, false, HINT_DOCUMENT },
	{ "ValidationException", ST_EINVAL, false, HINT_NONE },
	{ "AccessDeniedException", ST_EPERM, false, HINT_DENIED },
	{ "AccessDenied", ST_EPERM, false, HINT_DENIED },
	{ "UnauthorizedOperation", ST_EPERM, false, HINT_DENIED },
	{ "ExpiredTokenException", ST_EAUTH, false, HINT_EXPIRED },
	{ "ExpiredToken", ST_EAUTH, false, HINT_EXPIRED },
	{ "RequestExpired", ST_EAUTH, false, HINT_SIGNATURE },
	{ "RequestTimeTooSkewed", ST_EAUTH, false, HINT_SIGNATURE },
	{ "UnrecognizedClientException", ST_EAUTH, false, HINT_UNKNOWN_KEY },
	{ "InvalidClientTokenId", ST_EAUTH, false, HINT_UNKNOWN_KEY },
	{ "InvalidSignatureException", ST_EAUTH, false, HINT_SIGNATURE },
	{ "SignatureDoesNotMatch", ST_EAUTH, false, HINT_SIGNATURE },
	{ "IncompleteSignatureException", ST_EAUTH, false, HINT_SIGNATURE },
	{ "IncompleteSignature", ST_EAUTH, false, HINT_SIGNATURE },
	{ "MissingAuthenticationTokenException", ST_EAUTH, false, HINT_NO_KEY },
	{ "MissingAuthenticationToken", ST_EAUTH, false, HINT_NO_KEY },
	/* throttling and transient codes of botocore's standard retry mode; ssm-protocol.md 1.1 */
	{ "Throttling", ST_EAGAIN, true, HINT_THROTTLED },
	{ "ThrottlingException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "ThrottledException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "RequestThrottledException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "RequestThrottled", ST_EAGAIN, true, HINT_THROTTLED },
	{ "TooManyRequestsException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "ProvisionedThroughputExceededException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "TransactionInProgressException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "RequestLimitExceeded", ST_EAGAIN, true, HINT_THROTTLED },
	{ "BandwidthLimitExceeded", ST_EAGAIN, true, HINT_THROTTLED },
	{ "LimitExceededException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "SlowDown", ST_EAGAIN, true, HINT_THROTTLED },
	{ "PriorRequestNotComplete", ST_EAGAIN, true, HINT_THROTTLED },
	{ "EC2ThrottledException", ST_EAGAIN, true, HINT_THROTTLED },
	{ "RequestTimeout", ST_EAGAIN, true, HINT_SERVICE },
	{ "RequestTimeoutException", ST_EAGAIN, true, HINT_SERVICE },
	{ "InternalServerError", ST_EAGAIN, true, HINT_SERVICE },
	{ "ServiceUnavailable", ST_EAGAIN, true, HINT_SERVICE },
};

static const struct code_row row_denied = { NULL, ST_EPERM, false, HINT_DENIED };
static const struct code_row row_transient = { NULL, ST_EAGAIN, true, HINT_SERVICE };
static const struct code_row row_nonsense = { NULL, ST_EPEER, false, HINT_NONE };

int aws_error_set(struct aws_error *e, int err, const char *fmt, ...)
{
	va_list ap;

	*e = (struct aws_error){ .err = err };
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return err;
}

void aws_error_hint(struct aws_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
}

static const struct code_row *row_find(const char *code, long status)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i].code, code) == 0)
			return &codes[i];
	if (status == 429 || status == 500 || (status >= 502 && status <= 504))
		return &row_transient;
	return status == 401 || status == 403 ? &row_denied : &row_nonsense;
}

static void hint_signature(struct aws_error *e, int64_t date_s)
{
	int64_t skew_s = date_s ? (int64_t)time(NULL) - date_s : 0;

	if (skew_s > CLOCK_SKEW_S || skew_s < -CLOCK_SKEW_S)
		aws_error_hint(e, "this machine's clock is %lld s %s the service's: set it right",
			       (long long)(skew_s < 0 ? -skew_s : skew_s),
			       skew_s < 0 ? "behind" : "ahead of");
	else
		aws_error_hint(e, "the secret access key does not belong to this access key id, or "
				  "this machine's clock is wrong");
}

static void hint_fill(struct aws_error *e, enum hint hint, const struct aws_failure *f)
{
	const struct text_safe subject = text_safe(f->subject ? f->subject : "this");
	const char *region = f->at->region;

	switch (hint) {
	case HINT_NONE: break;
	case HINT_DENIED:
		if (aws_ops[f->op].iam)
			aws_error_hint(e, "the IAM identity needs %s on %s%s", aws_ops[f->op].iam,
				       f->subject ? subject.s : "*",
				       f->op == AWS_START_SESSION ? " and on the session document"
								  : "");
		break;
	case HINT_EXPIRED:
		aws_error_hint(e, "the temporary credentials have expired: get new ones (for SSO: "
				  "aws sso login)");
		break;
	case HINT_UNKNOWN_KEY:
		aws_error_hint(e,
			       "the access key is unknown, deleted, inactive, or of another "
			       "partition than region %s",
			       region);
		break;
	case HINT_SIGNATURE: hint_signature(e, f->head->date_s); break;
	case HINT_NO_KEY:
		aws_error_hint(e,
			       "something on the way took the Authorization header off; a proxy?");
		break;
	case HINT_OFFLINE:
		aws_error_hint(e,
			       "the agent of %s is offline or in another account or region than "
			       "%s; see: aws ssm describe-instance-information --region %s",
			       subject.s, region, region);
		break;
	case HINT_DOCUMENT:
		aws_error_hint(e,
			       "the session document is unknown in region %s, or not one for "
			       "sessions",
			       region);
		break;
	case HINT_SESSION: aws_error_hint(e, "the session is over; a new one is needed"); break;
	case HINT_TARGET:
		aws_error_hint(e, "%s is not a managed node of this account in region %s",
			       subject.s, region);
		break;
	case HINT_THROTTLED:
		aws_error_hint(e, "the account calls %s too often; it is tried again later",
			       aws_ops[f->op].name);
		break;
	case HINT_SERVICE:
		aws_error_hint(e, "a fault of the service; it is tried again later");
		break;
	}
}

/* "ns#Code:more" to "Code" */
static void code_copy(char *out, size_t cap, const char *raw)
{
	const char *start = strrchr(raw, '#');
	size_t len;

	start = start ? start + 1 : raw;
	len = strcspn(start, ":");
	text_copy(out, cap, text_safe_n(start, MIN(len, cap - 1)).s);
}

/* Where a protocol puts the code and the text: XML inside Error, EC2's inside Errors. */
static const json_t *error_object(const json_t *root)
{
	const json_t *error = json_object_get(root, "Error");

	if (!json_is_object(error))
		error = json_object_get(json_object_get(root, "Errors"), "Error");
	return json_is_object(error) ? error : root;
}

static const char *first_text(const json_t *object, const char *const *keys)
{
	const char *text = NULL;

	for (; *keys && !(text && *text); keys++)
		text = aws_text(object, *keys);
	return text && *text ? text : NULL;
}

/* "error": SSO-OIDC, after RFC 6749, 5.2 */
static const char *const code_keys[] = { "__type", "Code", "code", "error", NULL };
static const char *const text_keys[] = { "message", "Message", "error_description", NULL };
static const char *const id_keys[] = { "RequestId", "RequestID", NULL };

static void code_find(struct aws_error *e, const struct aws_failure *f)
{
	const char *raw = first_text(error_object(f->root), code_keys);

	code_copy(e->code, sizeof(e->code), raw ? raw : f->head->error_type);
}

static void request_id_find(struct aws_error *e, const struct aws_failure *f)
{
	const char *id = f->head->request_id[0] ? f->head->request_id
						: first_text(f->root, id_keys);

	text_copy(e->request_id, sizeof(e->request_id), text_safe(id ? id : "").s);
}

bool aws_error_is_expired(const struct aws_error *e)
{
	const struct code_row *row = row_find(e->code, e->http_status);

	return e->err == ST_EAUTH && (row->hint == HINT_EXPIRED || row->hint == HINT_UNKNOWN_KEY);
}

void aws_error_from_answer(struct aws_error *e, const struct aws_failure *f)
{
	const char *message = first_text(error_object(f->root), text_keys);
	const struct code_row *row;
	char tries[48] = "";

	*e = (struct aws_error){ .http_status = (int)f->head->status };
	code_find(e, f);
	request_id_find(e, f);
	row = row_find(e->code, f->head->status);
	e->err = row->err;
	e->retryable = row->retryable;
	e->person = row->hint == HINT_EXPIRED;
	if (row->retryable && f->retries + 1 >= AWS_ATTEMPTS_MAX)
		snprintf(tries, sizeof(tries), " (reached max retries: %u)", f->retries);
	if (e->code[0])
		snprintf(e->text, sizeof(e->text),
			 "An error occurred (%s) when calling the %s operation%s: %s", e->code,
			 aws_ops[f->op].name, tries, message ? text_safe(message).s : "(no text)");
	else
		snprintf(e->text, sizeof(e->text),
			 "%s was answered with HTTP status %ld and no error code%s%s%s",
			 aws_ops[f->op].name, f->head->status, tries, message ? ": " : "",
			 message ? text_safe(message).s : "");
	hint_fill(e, row->hint, f);
	if (row == &row_nonsense && !e->code[0])
		aws_error_hint(e, "is the endpoint URL one of AWS?");
}

static int errno_code(long os_errno)
{
	switch (os_errno) {
	case ECONNREFUSED: return ST_EREFUSED;
	case ETIMEDOUT: return ST_ETIMEOUT;
	default: return ST_EUNREACH;
	}
}

static void from_connect(struct aws_error *e, const struct aws_transport *t)
{
	const struct aws_endpoint *at = t->endpoint;

	if (at->proxy) {
		aws_error_set(e, errno_code(t->os_errno), "Failed to connect to proxy %s:%u: %s",
			      at->proxy_host, at->proxy_port,
			      t->os_errno ? strerror((int)t->os_errno) : text_safe(t->detail).s);
		aws_error_hint(e, "see HTTPS_PROXY and NO_PROXY");
		return;
	}
	aws_error_set(e, errno_code(t->os_errno),
		      "Could not connect to the endpoint URL: \"%s\"%s%s", text_safe(at->url).s,
		      t->os_errno ? ": " : "", t->os_errno ? strerror((int)t->os_errno) : "");
	aws_error_hint(e, "%s",
		       t->os_errno == ECONNREFUSED
			       ? "nothing listens there: see the endpoint URL and the region"
			       : "see the network, the region and, behind a proxy, HTTPS_PROXY");
}

static void from_tls(struct aws_error *e, const struct aws_transport *t)
{
	aws_error_set(e, ST_ETLS, "SSL validation failed for %s: %s", text_safe(t->endpoint->url).s,
		      text_safe(t->detail).s);
	if (t->code == CURLE_SSL_CACERT_BADFILE)
		aws_error_hint(e, "the CA bundle %s can't be read as PEM",
			       t->endpoint->ca_bundle ? text_safe(t->endpoint->ca_bundle).s
						      : "of the system");
	else
		aws_error_hint(e, "if a proxy of your company opens TLS, name its CA with "
				  "--ca-bundle, AWS_CA_BUNDLE or ca_bundle in the profile");
}

static void from_proxy_answer(struct aws_error *e, const struct aws_transport *t)
{
	bool is_auth = t->connect_status == 407;

	aws_error_set(e, is_auth ? ST_EAUTH : ST_EREFUSED,
		      "the proxy %s:%u answered %ld to CONNECT %s:%u", t->endpoint->proxy_host,
		      t->endpoint->proxy_port, t->connect_status, t->endpoint->host,
		      t->endpoint->port);
	aws_error_hint(e, "%s",
		       is_auth ? "the proxy wants a user and password: HTTPS_PROXY=http://user:"
				 "password@host:port"
			       : "the proxy does not let this host pass; see NO_PROXY");
}

void aws_error_from_transport(struct aws_error *e, const struct aws_transport *t)
{
	const struct text_safe url = text_safe(t->endpoint->url);

	if (t->too_big) {
		aws_error_set(e, ST_EPEER, "the answer of %s is larger than %zu bytes", url.s,
			      AWS_ANSWER_MAX);
		return;
	}
	if (t->connect_status >= 300) {
		from_proxy_answer(e, t);
		return;
	}
	switch (t->code) {
	case CURLE_COULDNT_CONNECT: from_connect(e, t); break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR: from_tls(e, t); return;
	case CURLE_OPERATION_TIMEDOUT:
		aws_error_set(e, ST_ETIMEOUT, "Timeout on endpoint URL: \"%s\": %s", url.s,
			      text_safe(t->detail).s);
		aws_error_hint(e, "see the network and, behind a proxy, HTTPS_PROXY");
		break;
	case CURLE_OUT_OF_MEMORY: aws_error_set(e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM)); break;
	case CURLE_SSL_CONNECT_ERROR:
		aws_error_set(e, ST_ETLS, "no TLS connection to %s: %s", url.s,
			      text_safe(t->detail).s);
		aws_error_hint(e, "does the endpoint speak TLS on port %u?", t->endpoint->port);
		break;
	default:
		aws_error_set(e, ST_EPEER, "the connection to %s failed: %s", url.s,
			      *t->detail ? text_safe(t->detail).s : curl_easy_strerror(t->code));
		break;
	}
	e->retryable = true;
}
