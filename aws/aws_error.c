// SPDX-License-Identifier: MIT
/*
 * aws_error.c - what went wrong, in the AWS CLI's words, and what to do about it
 *
 * Theory of operation: a service's error code is looked up in one table that gives our code, whether and when the same
 * call may succeed by itself, and the kind of hint (aws_hint.c). An unknown code is judged by the HTTP status. Texts of the service are
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

/* When the same call may succeed without a person. */
enum again {
	NEVER,
	LATER, /* by whoever calls */
	SOON,  /* within the call: botocore's standard retry mode */
};

struct code_row {
	const char *code;
	int err;
	enum again again;
	enum aws_hint hint;
};

static const struct code_row codes[] = {
	/* ssm */
	{ "TargetNotConnected", ST_ECLOSED, LATER, HINT_OFFLINE },
	{ "DoesNotExistException", ST_ENOENT, NEVER, HINT_SESSION },
	{ "InvalidInstanceId", ST_ENOENT, NEVER, HINT_TARGET },
	{ "InvalidTarget", ST_ENOENT, NEVER, HINT_TARGET },
	{ "InvalidDocument", ST_EINVAL, NEVER, HINT_DOCUMENT },
	{ "InvalidParameters", ST_EINVAL, NEVER, HINT_NONE },
	{ "ValidationException", ST_EINVAL, NEVER, HINT_NONE },
	{ "ValidationError", ST_EINVAL, NEVER, HINT_NONE },
	/* of every service */
	{ "AccessDenied", ST_EPERM, NEVER, HINT_DENIED },
	{ "UnauthorizedOperation", ST_EPERM, NEVER, HINT_DENIED },
	{ "NotAuthorized", ST_EPERM, NEVER, HINT_DENIED },
	{ "OptInRequired", ST_EPERM, NEVER, HINT_ACCOUNT },
	{ "Blocked", ST_EPERM, NEVER, HINT_ACCOUNT },
	{ "PendingVerification", ST_EPERM, NEVER, HINT_ACCOUNT },
	{ "ExpiredToken", ST_EAUTH, NEVER, HINT_EXPIRED },
	{ "RequestExpired", ST_EAUTH, NEVER, HINT_EXPIRED }, /* the clock's, or the token's; EC2 */
	{ "RequestTimeTooSkewed", ST_EAUTH, NEVER, HINT_SIGNATURE },
	{ "UnrecognizedClientException", ST_EAUTH, NEVER, HINT_UNKNOWN_KEY },
	{ "InvalidClientTokenId", ST_EAUTH, NEVER, HINT_UNKNOWN_KEY },
	{ "AuthFailure", ST_EAUTH, NEVER, HINT_UNKNOWN_KEY },
	{ "InvalidSignatureException", ST_EAUTH, NEVER, HINT_SIGNATURE },
	{ "SignatureDoesNotMatch", ST_EAUTH, NEVER, HINT_SIGNATURE },
	{ "IncompleteSignature", ST_EAUTH, NEVER, HINT_SIGNATURE },
	{ "MissingAuthenticationToken", ST_EAUTH, NEVER, HINT_NO_KEY },
	/* ec2, ec2-instance-connect */
	{ "InvalidInstanceID.NotFound", ST_ENOENT, NEVER, HINT_UNKNOWN },
	{ "InvalidVpcID.NotFound", ST_ENOENT, NEVER, HINT_UNKNOWN },
	{ "InvalidPrefixListID.NotFound", ST_ENOENT, NEVER, HINT_UNKNOWN },
	{ "InvalidInstanceID.Malformed", ST_EINVAL, NEVER, HINT_NONE },
	{ "InvalidParameterValue", ST_EINVAL, NEVER, HINT_NONE },
	{ "AuthException", ST_EPERM, NEVER, HINT_DENIED },
	{ "InvalidArgsException", ST_EINVAL, NEVER, HINT_NONE },
	{ "EC2InstanceNotFoundException", ST_ENOENT, NEVER, HINT_UNKNOWN },
	{ "EC2InstanceStateInvalidException", ST_ECLOSED, LATER, HINT_STOPPED },
	{ "EC2InstanceUnavailableException", ST_ECLOSED, LATER, HINT_STOPPED },
	{ "ServiceException", ST_EAGAIN, SOON, HINT_SERVICE },
	/* sts */
	{ "RegionDisabledException", ST_EPERM, NEVER, HINT_ACCOUNT },
	{ "PackedPolicyTooLarge", ST_EINVAL, NEVER, HINT_NONE },
	{ "MalformedPolicyDocument", ST_EINVAL, NEVER, HINT_NONE },
	{ "InvalidIdentityToken", ST_EAUTH, NEVER, HINT_NONE },
	{ "IDPRejectedClaim", ST_EAUTH, NEVER, HINT_NONE },
	{ "IDPCommunicationError", ST_EAGAIN, SOON, HINT_SERVICE },
	/* sso, sso-oidc; the pace of a login is its owner's */
	{ "UnauthorizedException", ST_EAUTH, NEVER, HINT_LOGIN },
	{ "ForbiddenException", ST_EPERM, NEVER, HINT_NO_ROLE },
	{ "ResourceNotFoundException", ST_EPERM, NEVER, HINT_NO_ROLE },
	{ "InvalidRequestException", ST_EINVAL, NEVER, HINT_NONE },
	{ "InvalidGrantException", ST_EAUTH, NEVER, HINT_LOGIN },
	{ "InvalidClientException", ST_EAUTH, NEVER, HINT_LOGIN },
	{ "UnauthorizedClientException", ST_EAUTH, NEVER, HINT_LOGIN },
	{ "AuthorizationPendingException", ST_EAGAIN, LATER, HINT_NONE },
	{ "SlowDownException", ST_EAGAIN, LATER, HINT_NONE },
	/* kms, route53 */
	{ "NotFoundException", ST_ENOENT, NEVER, HINT_KMS },
	{ "DisabledException", ST_EINVAL, NEVER, HINT_KMS },
	{ "KMSInvalidStateException", ST_EINVAL, NEVER, HINT_KMS },
	{ "InvalidKeyUsageException", ST_EINVAL, NEVER, HINT_KMS },
	{ "KeyUnavailableException", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "DependencyTimeoutException", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "KMSInternalException", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "InvalidInput", ST_EINVAL, NEVER, HINT_NONE },
	/* throttling and transient codes of botocore's standard retry mode; ssm-protocol.md 1.1 */
	{ "Throttling", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "ThrottledException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "RequestThrottledException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "RequestThrottled", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "TooManyRequestsException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "ProvisionedThroughputExceededException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "TransactionInProgressException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "RequestLimitExceeded", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "BandwidthLimitExceeded", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "LimitExceededException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "SlowDown", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "PriorRequestNotComplete", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "EC2ThrottledException", ST_EAGAIN, SOON, HINT_THROTTLED },
	{ "RequestTimeout", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "InternalServerError", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "InternalServerException", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "InternalFailure", ST_EAGAIN, SOON, HINT_SERVICE },
	{ "ServiceUnavailable", ST_EAGAIN, SOON, HINT_SERVICE },
};

/* SSO-OIDC's "error" of RFC 6749, 5.2 and RFC 8628, 3.5, where no header has the code. */
static const struct aws_name oauth_codes[] = {
	{ "access_denied", "AccessDeniedException" },
	{ "authorization_pending", "AuthorizationPendingException" },
	{ "expired_token", "ExpiredTokenException" },
	{ "invalid_client", "InvalidClientException" },
	{ "invalid_grant", "InvalidGrantException" },
	{ "invalid_request", "InvalidRequestException" },
	{ "invalid_scope", "InvalidScopeException" },
	{ "server_error", "InternalServerException" },
	{ "slow_down", "SlowDownException" },
	{ "unauthorized_client", "UnauthorizedClientException" },
	{ "unsupported_grant_type", "UnsupportedGrantTypeException" },
};

static const struct code_row row_denied = { NULL, ST_EPERM, NEVER, HINT_DENIED };
static const struct code_row row_transient = { NULL, ST_EAGAIN, SOON, HINT_SERVICE };
static const struct code_row row_nonsense = { NULL, ST_EPEER, NEVER, HINT_NONE };

int aws_error_set(struct aws_error *e, int err, const char *fmt, ...)
{
	va_list ap;

	*e = (struct aws_error){ .err = err };
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return err;
}

void aws_error_line(char *out, size_t cap, const char *before, const struct aws_error *e)
{
	size_t len = strlen(e->text);

	if (len && e->hint[0] && e->text[len - 1] == '.')
		len--;
	snprintf(out, cap, "%s%s%.*s%s%s", before, *before ? ": " : "", (int)len, e->text,
		 e->hint[0] ? "; " : "", e->hint);
}

void aws_error_hint(struct aws_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
}

/* Models and the wire of the query services differ by an "Exception" at the end. */
static bool code_is(const char *code, const char *known)
{
	const size_t len = strlen(known);

	return strncmp(code, known, len) == 0 &&
	       (code[len] == '\0' || strcmp(code + len, "Exception") == 0);
}

static const struct code_row *row_find(const char *code, long status)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (code_is(code, codes[i].code))
			return &codes[i];
	if (status == 429 || status == 500 || (status >= 502 && status <= 504))
		return &row_transient;
	return status == 401 || status == 403 ? &row_denied : &row_nonsense;
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

static const char *const code_keys[] = { "__type", "Code", "code", NULL };
static const char *const text_keys[] = { "message", "Message", "error_description", NULL };
static const char *const id_keys[] = { "RequestId", "RequestID", NULL };

static const char *oauth_code(const json_t *root)
{
	const char *error = aws_text(root, "error");

	for (size_t i = 0; error && i < ARRAY_LEN(oauth_codes); i++)
		if (strcmp(oauth_codes[i].api, error) == 0)
			return oauth_codes[i].wire;
	return error ? error : "";
}

/* REST services have it in a header, which counts before the body; the others may have it there. */
static void code_find(struct aws_error *e, const struct aws_failure *f)
{
	const bool rest = aws_ops[f->op].protocol == AWS_REST_JSON;
	const char *header = f->head->error_type, *raw = rest && *header ? header : NULL;

	if (!raw)
		raw = first_text(error_object(f->root), code_keys);
	if (!raw)
		raw = *header ? header : oauth_code(f->root);
	code_copy(e->code, sizeof(e->code), raw);
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

bool aws_error_is_transient(const struct aws_error *e)
{
	return row_find(e->code, e->http_status)->again == SOON;
}

static const char *status_phrase(long status)
{
	static const struct {
		long status;
		const char *phrase;
	} phrases[] = {
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 407, "Proxy Authentication Required" },
		{ 413, "Request Entity Too Large" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

/* As botocore's ClientError says it; an answer without a code has its status instead. */
static void text_fill(struct aws_error *e, const struct aws_failure *f, const char *message,
		      bool exhausted)
{
	char code[sizeof(e->code)], tries[48] = "";
	size_t at;

	if (e->code[0])
		memcpy(code, e->code, sizeof(code));
	else
		snprintf(code, sizeof(code), "%ld", f->head->status);
	if (exhausted)
		snprintf(tries, sizeof(tries), " (reached max retries: %u)", f->retries);
	at = (size_t)snprintf(e->text, sizeof(e->text),
			      "An error occurred (%s) when calling the %s operation%s: ", code,
			      aws_ops[f->op].name, tries);
	text_escape(e->text + at, sizeof(e->text) - at - 4, message, strlen(message), true);
}

void aws_error_from_answer(struct aws_error *e, const struct aws_failure *f)
{
	const char *message = first_text(error_object(f->root), text_keys);
	const struct code_row *row;

	*e = (struct aws_error){ .http_status = (int)f->head->status };
	code_find(e, f);
	request_id_find(e, f);
	row = row_find(e->code, f->head->status);
	e->err = row->err;
	e->retryable = row->again != NEVER;
	e->person = row->hint == HINT_EXPIRED || row->hint == HINT_LOGIN;
	if (!message)
		message = e->code[0] ? "(no text)" : status_phrase(f->head->status);
	text_fill(e, f, message, row->again == SOON && f->retries + 1 >= AWS_ATTEMPTS_MAX);
	aws_hint_fill(e, row->hint, f, message);
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
	/* 401: what tinyproxy says of a wrong password */
	bool is_auth = t->connect_status == 407 || t->connect_status == 401;

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
