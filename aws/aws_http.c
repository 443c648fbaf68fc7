// SPDX-License-Identifier: MIT
/*
 * aws_http.c - one HTTP request by libcurl, signed or not: its options, headers and answer
 *
 * Theory of operation: names are resolved by svc->resolve and given to libcurl as CURLOPT_RESOLVE; libcurl itself looks up
 * nothing. All headers but libcurl's own Accept and Content-Length are made here, before they are signed (aws_sign.c); Host
 * among them. CURLOPT_VERBOSE is never set: it prints credentials. What we hold of secrets is wiped when the attempt ends,
 * libcurl's own copies by its allocator (aws.c).
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"

#define RESOLVE_ADDRS_MAX 16U /* ours: addresses of one name given to libcurl */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct aws_http *h = arg;
	int err = buf_put(&h->answer, p, size * n);

	if (err < 0)
		h->too_big = err == ST_EFULL;
	return err < 0 ? 0 : size * n;
}

static bool header_copy(const char *line, size_t len, const char *name, char *out, size_t cap)
{
	size_t at = strlen(name), n;

	if (len <= at || strncasecmp(line, name, at) != 0 || line[at] != ':')
		return false;
	at++;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (len > at && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	n = MIN(len - at, cap - 1);
	memcpy(out, line + at, n);
	out[n] = '\0';
	return true;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct aws_http *h = arg;
	char date[64], seconds[16];
	size_t len = size * n;

	if (len > 5 && strncmp(p, "HTTP/", 5) == 0)
		h->head = (struct aws_answer_head){ 0 };
	header_copy(p, len, "x-amzn-RequestId", h->head.request_id, sizeof(h->head.request_id));
	header_copy(p, len, "x-amz-request-id", h->head.request_id, sizeof(h->head.request_id));
	header_copy(p, len, "x-amzn-ErrorType", h->head.error_type, sizeof(h->head.error_type));
	if (header_copy(p, len, "Date", date, sizeof(date)))
		h->head.date_s = MAX(curl_getdate(date, NULL), 0);
	if (header_copy(p, len, "Retry-After", seconds, sizeof(seconds)))
		h->head.retry_after_s = (uint32_t)MIN(strtoul(seconds, NULL, 10), 86400UL);
	return len;
}

static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	const struct aws_http *h = arg;

	(void)purpose;
	if (h->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &h->mark, sizeof(h->mark)) < 0) {
		log_sys("aws: mark of a socket");
		return CURL_SOCKOPT_ERROR; /* unmarked it could be routed into our own device */
	}
	return CURL_SOCKOPT_OK;
}

static bool header_add(struct aws_http *h, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	if ((more = curl_slist_append(h->headers, line)))
		h->headers = more;
	aws_secret_free(line);
	return more != NULL;
}

static bool headers_own(struct aws_http *h, const struct aws_http_send *s)
{
	const struct aws_outgoing *o = s->out;
	const char *token = s->creds ? s->creds->token : NULL;
	struct curl_slist *more;

	for (const char *const *line = o->headers; line && *line; line++) {
		if (!(more = curl_slist_append(h->headers, *line)))
			return false;
		h->headers = more;
	}
	return (!o->content_type || header_add(h, "Content-Type", o->content_type)) &&
	       (!o->target[0] || header_add(h, "X-Amz-Target", o->target)) &&
	       (!o->bearer || header_add(h, "x-amz-sso_bearer_token", o->bearer)) &&
	       (!token || header_add(h, "X-Amz-Security-Token", token));
}

static bool host_add(struct aws_http *h, const struct aws_endpoint *at)
{
	const bool is_v6 = strchr(at->host, ':');
	char host[AWS_HOST_MAX + 16];

	if (at->port_is_default)
		snprintf(host, sizeof(host), is_v6 ? "[%s]" : "%s", at->host);
	else
		snprintf(host, sizeof(host), is_v6 ? "[%s]:%u" : "%s:%u", at->host, at->port);
	return header_add(h, "Host", host);
}

/* Dates and signs what is in the list by now. */
static bool signature_add(struct aws_http *h, const struct aws_http_send *s, const char *url)
{
	const time_t now_s = time(NULL) + (time_t)s->skew_s;
	char date[32];
	struct tm tm;
	struct buf b;
	bool done;

	if (!gmtime_r(&now_s, &tm) || !strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm) ||
	    !header_add(h, "X-Amz-Date", date))
		return false;
	buf_init(&b, KIB(2));
	done = aws_sign(&b,
			&(struct aws_to_sign){
				.method = s->out->method,
				.url = url,
				.headers = h->headers,
				.body = s->out->body ? s->out->body : "",
				.body_len = s->out->body ? strlen(s->out->body) : 0,
				.date = date,
				.region = s->at->sign_region,
				.service = s->signing,
				.creds = s->creds,
			}) == 0 &&
	       buf_put(&b, "", 1) == 0 &&
	       header_add(h, "Authorization", (const char *)buf_data(&b));
	buf_fini(&b);
	return done;
}

static bool headers_make(struct aws_http *h, const struct aws_http_send *s, const char *url)
{
	return host_add(h, s->at) && headers_own(h, s) && (!s->creds || signature_add(h, s, url));
}

#define SET(option, value) (curl_easy_setopt(h->easy, (option), (value)) == CURLE_OK)

static bool set_callbacks(struct aws_http *h, struct aws *a, void *owner)
{
	return SET(CURLOPT_PRIVATE, owner) && SET(CURLOPT_WRITEFUNCTION, on_body) &&
	       SET(CURLOPT_WRITEDATA, h) && SET(CURLOPT_HEADERFUNCTION, on_header) &&
	       SET(CURLOPT_HEADERDATA, h) && SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket) &&
	       SET(CURLOPT_SOCKOPTDATA, h) && SET(CURLOPT_OPENSOCKETFUNCTION, aws_socket_open) &&
	       SET(CURLOPT_OPENSOCKETDATA, a) && SET(CURLOPT_ERRORBUFFER, h->text);
}

static bool set_body(struct aws_http *h, const struct aws_outgoing *o)
{
	if (strcmp(o->method, "GET") == 0)
		return SET(CURLOPT_HTTPGET, 1L);
	return SET(CURLOPT_POSTFIELDS, o->body ? o->body : "") &&
	       (strcmp(o->method, "POST") == 0 || SET(CURLOPT_CUSTOMREQUEST, o->method));
}

static bool set_request(struct aws_http *h, const struct aws_http_send *s)
{
	size_t base = strlen(s->at->url);
	char *url;
	bool done;

	if (base && s->at->url[base - 1] == '/' && s->out->path[0] == '/')
		base--;
	if (asprintf(&url, "%.*s%s", (int)base, s->at->url, s->out->path) < 0)
		return false;
	done = headers_make(h, s, url) && SET(CURLOPT_URL, url) && set_body(h, s->out) &&
	       SET(CURLOPT_HTTPHEADER, h->headers);
	free(url);
	return done;
}

/* Only what is in it: libcurl's own folder of CAs would count beside it. */
static bool set_ca(struct aws_http *h, const char *ca)
{
	return !ca || (SET(CURLOPT_CAINFO, ca) && SET(CURLOPT_CAPATH, (char *)NULL) &&
		       SET(CURLOPT_PROXY_CAINFO, ca) && SET(CURLOPT_PROXY_CAPATH, (char *)NULL));
}

static bool set_transport(struct aws_http *h, const struct aws_endpoint *at, uint32_t connect_ms,
			  uint32_t within_ms)
{
	/* An empty PROXY and NOPROXY keep libcurl from reading the environment by itself. */
	return SET(CURLOPT_PROTOCOLS_STR, "http,https") && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
	       SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
	       SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       SET(CURLOPT_PROXY, at->proxy ? at->proxy : "") && SET(CURLOPT_NOPROXY, "") &&
	       SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) && set_ca(h, at->ca_bundle) &&
	       (!h->resolve || SET(CURLOPT_RESOLVE, h->resolve)) &&
	       SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) &&
	       SET(CURLOPT_TIMEOUT_MS, (long)within_ms);
}

int aws_http_send(struct aws_http *h, struct aws *a, const struct aws_http_send *s)
{
	CURLM *multi = aws_multi(a);

	buf_init_secret(&h->answer, AWS_ANSWER_MAX);
	h->mark = a->mark;
	if (!multi || !(h->easy = curl_easy_init()))
		return ST_ENOMEM;
	if (set_callbacks(h, a, s->owner) && set_request(h, s) &&
	    set_transport(h, s->at, MIN(a->limits.connect_ms, s->within_ms), s->within_ms) &&
	    curl_multi_add_handle(multi, h->easy) == CURLM_OK)
		return 0;
	log_error("aws: libcurl does not take the request");
	return ST_ENOMEM;
}

int aws_http_resolve(struct aws_http *h, const char *host, uint16_t port,
		     const struct net_addr *addrs, size_t n)
{
	struct buf b;
	char text[NET_ADDR_STR];
	int err;

	/* "host:port:addr[,addr]"; in brackets if IPv6 */
	buf_init(&b, KIB(4));
	err = buf_printf(&b, "%s:%u:", host, port);
	for (size_t i = 0; !err && i < MIN(n, RESOLVE_ADDRS_MAX); i++)
		err = buf_printf(&b, addrs[i].family == 6 ? "%s[%s]" : "%s%s", i ? "," : "",
				 net_addr_str(text, &addrs[i]));
	if (!err && buf_put(&b, "", 1) == 0)
		h->resolve = curl_slist_append(NULL, (const char *)buf_data(&b));
	buf_fini(&b);
	return h->resolve ? 0 : ST_ENOMEM;
}

void aws_http_end(struct aws_http *h, struct aws *a)
{
	if (h->easy) {
		curl_multi_remove_handle(a->multi, h->easy);
		curl_easy_cleanup(h->easy);
	}
	for (struct curl_slist *line = h->headers; line; line = line->next)
		codec_wipe(line->data, strlen(line->data)); /* one of them is the token */
	curl_slist_free_all(h->headers);
	curl_slist_free_all(h->resolve);
	buf_wipe(&h->answer);
	*h = (struct aws_http){ 0 };
}
