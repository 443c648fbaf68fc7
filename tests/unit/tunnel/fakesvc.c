// SPDX-License-Identifier: MIT
#include "fakesvc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "proto/ssm_chan.h"
#include "tunnel/tunnel.h"

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* One session's agent end. */
struct ses {
	struct list_node node;
	struct fakesvc *f;
	unsigned int nr;
	char id[32], token[32];
	ws_conn conn; /* 0: none */
	struct ssm_chan *ssm;
	int fd;
	loop_watch watch;
	struct buf out; /* to sshd */
	bool refused, eof;
	struct loop_timer timer;
	struct loop_task flush;
};

/* An answer that is due in the next turn. */
struct later {
	struct list_node node;
	handle id;
	svc_resolved_fn *resolved;
	svc_done_fn *done;
	void *arg;
	int err;
	struct net_addr addr;
	uint8_t *out;
	size_t len;
};

struct fakesvc {
	struct loop *loop;
	struct ws_ctx *ws;
	struct ws_server *server;
	struct fakesvc_conf conf;
	struct fakesvc_counts counts;
	struct list sessions, laters;
	struct loop_task later_task;
	unsigned int next;
	char scope[64], target[512];
	handle next_later;
	struct svc svc;
	char host[128]; /* the Host header of the last socket */
};

/* ---- svc ---- */

static void on_later(void *arg, uint64_t now_ms)
{
	struct fakesvc *f = arg;
	struct list_node *n;

	(void)now_ms;
	while ((n = list_pop_front(&f->laters)) != NULL) {
		struct later *l = container_of(n, struct later, node);

		if (l->resolved != NULL)
			l->resolved(l->arg, l->err, &l->addr, l->err == 0 ? 1 : 0, "no such name");
		else
			l->done(l->arg, l->err, l->out, l->len);
		free(l->out);
		free(l);
	}
}

static struct later *later_new(struct fakesvc *f, handle *out, void *arg)
{
	struct later *l = calloc(1, sizeof(*l));

	MUST(l != NULL);
	l->id = *out = ++f->next_later;
	l->arg = arg;
	list_push_back(&f->laters, &l->node);
	loop_task_post(f->loop, &f->later_task);
	return l;
}

static int svc_resolve(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg)
{
	struct later *l = later_new(ctx, out, arg);

	(void)timeout_ms;
	l->resolved = done;
	if (strstr(host, ".local.test"))
		host = "127.0.0.1";
	l->err = net_addr_parse(&l->addr, host) < 0 ? ST_ENOENT : 0;
	return 0;
}

static int svc_run(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		   uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	static int (*const jobs[SVC_JOB_N])(const uint8_t *, size_t, uint8_t *, size_t *) = {
		[SVC_SSH_AGENT] = tnl_agent_job,
		[SVC_AWS_READ] = aws_read_job,
		[SVC_AWS_WRITE] = aws_write_job,
	};
	struct later *l = later_new(ctx, out, arg);

	(void)timeout_ms;
	MUST(kind < SVC_JOB_N && jobs[kind] != NULL);
	l->done = done;
	l->out = malloc(KIB(192));
	l->err = jobs[kind](in, len, l->out, &l->len);
	return 0;
}

static void svc_cancel(void *ctx, handle job)
{
	struct fakesvc *f = ctx;

	list_for_each (n, &f->laters) {
		struct later *l = container_of(n, struct later, node);

		if (l->id == job) {
			list_del(n);
			free(l->out);
			free(l);
		}
	}
}

const char *fakesvc_host(const struct fakesvc *f)
{
	return f->host;
}

const struct svc *fakesvc_svc(struct fakesvc *f)
{
	return &f->svc;
}

/* ---- the agent ---- */

/* channel_closed, as the service composes it */
static void ses_tell_closed(struct ses *s, const char *output)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "MessageId", "m",
			      "CreatedDate", "1700000000000", "DestinationId", "d", "SessionId",
			      s->id, "MessageType", "channel_closed", "SchemaVersion", 1, "Output",
			      output);
	char *text = json_dumps(o, 0);
	const struct ssm_msg m = { .type = SSM_CHANNEL_CLOSED,
				   .schema_version = 1,
				   .created_ms = 1700000000000,
				   .flags = SSM_FLAGS_ACK,
				   .payload = (const uint8_t *)text,
				   .payload_len = strlen(text) };
	uint8_t wire[2048];
	ssize_t len = ssm_msg_encode(wire, sizeof(wire), &m);

	MUST(len > 0);
	if (s->conn != 0)
		ws_send(s->f->ws, s->conn, wire, (size_t)len, false);
	free(text);
	json_decref(o);
}

/* sshd has closed its connection, and the client has acknowledged all that it said: the session ends; ssm-protocol, 7.3 */
static void ses_end_if_done(struct ses *s)
{
	struct ssm_chan_stats st;

	if (!s->eof || s->conn == 0)
		return;
	ssm_chan_stats(s->ssm, &st);
	if (st.in_flight_bytes > 0 || st.queued_bytes > 0)
		return;
	s->eof = false;
	ses_tell_closed(s, "");
}

static void ses_flush(void *arg, uint64_t now_ms)
{
	struct ses *s = arg;
	const uint64_t now_us = loop_now_us(s->f->loop);
	const uint8_t *p;
	uint64_t at;
	size_t len;

	(void)now_ms;
	if (s->ssm == NULL)
		return;
	while (s->conn != 0 && ws_queued(s->f->ws, s->conn) < WS_QUEUE_MAX / 2 &&
	       ssm_chan_next_output(s->ssm, &p, &len, now_us) == 1)
		ws_send(s->f->ws, s->conn, p, len, false);
	ses_end_if_done(s);
	at = ssm_chan_deadline(s->ssm);
	if (at == SSM_TIME_NEVER)
		loop_timer_cancel(s->f->loop, &s->timer);
	else
		loop_timer_set(s->f->loop, &s->timer, at / 1000 + 1);
}

static void ses_kick(struct ses *s)
{
	loop_task_post(s->f->loop, &s->flush);
}

static void ses_timer(void *arg, uint64_t now_ms)
{
	struct ses *s = arg;

	(void)now_ms;
	ssm_chan_expire(s->ssm, loop_now_us(s->f->loop));
	ses_kick(s);
}

static void tcp_close(struct ses *s)
{
	if (s->fd < 0)
		return;
	loop_fd_del(s->f->loop, &s->watch);
	close(s->fd);
	s->fd = -1;
}

static void tcp_write(struct ses *s)
{
	while (s->out.len > 0) {
		ssize_t n = send(s->fd, buf_data(&s->out), s->out.len, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		buf_consume(&s->out, (size_t)n);
	}
	if (s->refused && s->out.len == 0) {
		s->refused = false;
		ssm_chan_resume_input(s->ssm, loop_now_us(s->f->loop));
	}
}

static void relay_down(struct ses *s, const uint8_t *p, size_t n)
{
	const uint64_t now_us = loop_now_us(s->f->loop);

	MUST(ssm_chan_send(s->ssm, p, n, now_us) == n);
	if (s->f->conf.repeat_down && ssm_chan_send(s->ssm, p, n, now_us) > 0)
		s->f->conf.repeat_down = false;
}

static void tcp_event(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ses *s = arg;
	static uint8_t buf[65536];
	size_t room = MIN(ssm_chan_room(s->ssm), sizeof(buf));
	ssize_t n;

	(void)now_ms;
	(void)events;
	tcp_write(s);
	if (room > 0) {
		n = recv(s->fd, buf, room, 0);
		if (n > 0)
			relay_down(s, buf, (size_t)n);
		else if (n == 0 || errno != EAGAIN) {
			tcp_close(s);
			s->eof = true;
		}
	}
	if (s->fd >= 0)
		loop_fd_mod(s->f->loop, s->watch,
			    (ssm_chan_room(s->ssm) > 0 ? EPOLLIN : 0U) |
				    (s->out.len > 0 ? EPOLLOUT : 0U));
	ses_kick(s);
}

static void tcp_open(struct ses *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(s->f->conf.ssh_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (s->f->conf.ssh_port == 0)
		return;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(connect(s->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EINPROGRESS);
	MUST(loop_fd_add(s->f->loop, &s->watch, s->fd, EPOLLIN | EPOLLOUT, tcp_event, s) == 0);
}

static void ssm_ready(void *arg, const char *message)
{
	(void)message;
	tcp_open(arg);
}

static int ssm_data(void *arg, uint32_t type, const uint8_t *p, size_t len)
{
	struct ses *s = arg;

	if (type == SSM_PT_FLAG) {
		s->f->counts.flags += len == 4 && be32_get(p) == SSM_FLAG_TERMINATE;
		return 0;
	}
	if (s->fd < 0)
		return s->f->conf.ssh_port == 0 ? ST_EAGAIN : 0;
	if (buf_put(&s->out, p, len) < 0) {
		s->refused = true;
		return ST_EAGAIN;
	}
	if (s->f->conf.repeat_up && buf_put(&s->out, p, len) == 0)
		s->f->conf.repeat_up = false;
	loop_fd_mod(s->f->loop, s->watch, EPOLLIN | EPOLLOUT);
	return 0;
}

static void ssm_writable(void *arg)
{
	struct ses *s = arg;

	if (s->fd >= 0)
		loop_fd_mod(s->f->loop, s->watch, EPOLLIN | (s->out.len > 0 ? EPOLLOUT : 0U));
}

static void ssm_closed(void *arg, int err, const char *reason)
{
	struct ses *s = arg;

	(void)reason;
	s->f->counts.flags += err == ST_ECLOSED;
}

void fakesvc_encrypt(uint8_t out[64], const uint8_t key[64])
{
	for (size_t i = 0; i < 64; i++)
		out[i] = key[i] ^ 0x5a;
}

static void ssm_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	struct ses *s = arg;
	uint8_t key[64];

	MUST(w->cipher_len == sizeof(key));
	fakesvc_encrypt(key, w->cipher_key);
	MUST(ssm_chan_key(s->ssm, key, NULL, 0, loop_now_us(s->f->loop)) == 0);
}

static const struct ssm_chan_events ssm_ev = { .ready = ssm_ready,
					       .key_wanted = ssm_key_wanted,
					       .data = ssm_data,
					       .writable = ssm_writable,
					       .closed = ssm_closed };

static void ssm_begin(struct ses *s)
{
	struct timespec t;
	struct ssm_chan_opts o = {
		.role = SSM_ROLE_AGENT,
		.now_us = loop_now_us(s->f->loop),
		.session_id = s->id,
		.session_type = "Port",
		.properties_json = "{\"portNumber\":\"22\"}",
		.max_payload = s->f->conf.max_payload,
		.kms_key_id = s->f->conf.kms_key_id,
		.events = &ssm_ev,
		.arg = s,
	};

	clock_gettime(CLOCK_REALTIME, &t);
	o.unix_ms = (uint64_t)t.tv_sec * 1000;
	MUST(ssm_chan_new(&s->ssm, &o) == 0);
}

/* ---- the WebSocket ---- */

static struct ses *by_conn(struct fakesvc *f, ws_conn c)
{
	list_for_each (n, &f->sessions) {
		struct ses *s = container_of(n, struct ses, node);

		if (s->conn == c)
			return s;
	}
	return NULL;
}

static void open_message(struct fakesvc *f, ws_conn c, const uint8_t *p, size_t len)
{
	json_t *o = json_loadb((const char *)p, len, 0, NULL);
	const char *token = json_string_value(json_object_get(o, "TokenValue"));

	MUST(token != NULL && json_string_value(json_object_get(o, "RequestId")) != NULL &&
	     json_string_value(json_object_get(o, "ClientId")) != NULL);
	list_for_each (n, &f->sessions) {
		struct ses *s = container_of(n, struct ses, node);

		if (strcmp(s->token, token) != 0)
			continue;
		if (f->conf.closes_sockets) {
			ws_drop(f->ws, c);
			break;
		}
		f->counts.sockets++;
		s->conn = c;
		s->token[0] = '\0'; /* it serves once */
		if (s->ssm == NULL && !f->conf.agent_deaf)
			ssm_begin(s);
		if (s->ssm != NULL)
			ssm_chan_transport_up(s->ssm, loop_now_us(f->loop));
		ses_kick(s);
	}
	json_decref(o);
}

static void on_open(void *arg, ws_conn c)
{
	(void)arg;
	(void)c;
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct fakesvc *f = arg;
	struct ses *s = by_conn(f, c);

	if (s == NULL) {
		MUST(text);
		open_message(f, c, p, len);
		return;
	}
	if (s->ssm != NULL)
		ssm_chan_input(s->ssm, p, len, loop_now_us(f->loop));
	ses_kick(s);
}

static void on_writable(void *arg, ws_conn c)
{
	struct ses *s = by_conn(arg, c);

	if (s != NULL)
		ses_kick(s);
}

static void conn_lost(struct ses *s)
{
	s->conn = 0;
	if (s->ssm != NULL)
		ssm_chan_transport_down(s->ssm, loop_now_us(s->f->loop));
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct ses *s = by_conn(arg, c);

	(void)err;
	(void)status;
	(void)reason;
	if (s != NULL)
		conn_lost(s);
}

static const struct ws_events ws_ev = { on_open, on_message, on_writable, on_closed, NULL };

static int on_upgrade(void *arg, ws_req r, const struct ws_request *req,
		      const struct ws_events **events, void **events_arg)
{
	struct fakesvc *f = arg;
	const char *host = ws_req_header(f->ws, r, "host");

	(void)req;
	snprintf(f->host, sizeof(f->host), "%s", host != NULL ? host : "");
	*events = &ws_ev;
	*events_arg = arg;
	return 0;
}

/* ---- the API ---- */

static void reply(struct fakesvc *f, ws_req r, int status, json_t *o)
{
	char *text = json_dumps(o, 0);

	ws_reply(f->ws, r, status, "application/x-amz-json-1.1", text, strlen(text), NULL);
	free(text);
	json_decref(o);
}

static void reply_session(struct fakesvc *f, ws_req r, struct ses *s)
{
	char url[128], at[32];
	json_t *o;

	snprintf(s->token, sizeof(s->token), "token-%u", ++f->next);
	snprintf(at, sizeof(at), "127.0.0.1:%u", fakesvc_port(f));
	snprintf(url, sizeof(url), "ws://%s/v1/data-channel/%s",
		 f->conf.stream_at ? f->conf.stream_at : at, s->id);
	o = json_pack("{s:s, s:s, s:s}", "SessionId", s->id, "TokenValue", s->token, "StreamUrl",
		      url);
	if (f->conf.max_payload > 0)
		json_object_set_new(o, "MaxPayloadBytes", json_integer(f->conf.max_payload));
	reply(f, r, 200, o);
}

static void start_session(struct fakesvc *f, ws_req r, json_t *in)
{
	const char *target = json_string_value(json_object_get(in, "Target"));
	struct ses *s;

	f->counts.start++;
	MUST(target != NULL);
	snprintf(f->target, sizeof(f->target), "%s", target);
	if (f->conf.bad_target != NULL && strcmp(target, f->conf.bad_target) == 0) {
		reply(f, r, 400,
		      json_pack("{s:s, s:s}", "__type", "TargetNotConnected", "message",
				"the target is not connected."));
		return;
	}
	if (f->conf.no_target != NULL && strcmp(target, f->conf.no_target) == 0) {
		reply(f, r, 400,
		      json_pack("{s:s, s:s}", "__type", "InvalidInstanceId", "Message",
				"no such instance"));
		return;
	}
	s = calloc(1, sizeof(*s));
	MUST(s != NULL);
	s->f = f;
	s->fd = -1;
	snprintf(s->id, sizeof(s->id), "user-%u", ++f->next);
	buf_init(&s->out, MIB(1));
	loop_timer_init(&s->timer, ses_timer, s);
	loop_task_init(&s->flush, LOOP_FLUSH, ses_flush, s);
	list_push_back(&f->sessions, &s->node);
	reply_session(f, r, s);
}

static void resume_session(struct fakesvc *f, ws_req r, json_t *in)
{
	const char *id = json_string_value(json_object_get(in, "SessionId"));

	f->counts.resume++;
	if (f->conf.portal) {
		ws_reply(f->ws, r, 403, "text/html", "<p>Welcome", 10, NULL);
		return;
	}
	if (f->conf.terminated) {
		reply(f, r, 400,
		      json_pack("{s:s, s:s}", "__type", "ValidationException", "message",
				"Session is already terminated"));
		return;
	}
	list_for_each (n, &f->sessions) {
		struct ses *s = container_of(n, struct ses, node);

		if (!f->conf.no_resume && id != NULL && strcmp(s->id, id) == 0) {
			reply_session(f, r, s);
			return;
		}
	}
	reply(f, r, 200, json_pack("{s:s}", "SessionId", id));
}

/* "Credential=KEY/DATE/REGION/…" */
static void scope_read(struct fakesvc *f, ws_req r, char out[64])
{
	const char *p = ws_req_header(f->ws, r, "authorization");

	for (int i = 0; p != NULL && i < 2; i++)
		p = strchr(p + 1, '/');
	MUST(p != NULL);
	snprintf(out, 64, "%.*s", (int)strcspn(p + 1, "/"), p + 1);
}

static void other_call(struct fakesvc *f, ws_req r, const char *target,
		       const struct ws_request *req)
{
	char *body = strndup((const char *)req->body, req->body_len), action[64], region[64];
	struct fakesvc_call c = { .f = f, .r = r, .op = action, .region = region, .body = body };

	MUST(f->conf.other != NULL && body != NULL);
	scope_read(f, r, region);
	if (target != NULL)
		snprintf(action, sizeof(action), "%s", strchr(target, '.') + 1);
	else
		MUST(sscanf(body, "Action=%63[A-Za-z]", action) == 1);
	f->conf.other(&c);
	free(body);
}

void fakesvc_reply(const struct fakesvc_call *c, int status, const char *text)
{
	ws_reply(c->f->ws, c->r, status, text[0] == '<' ? "text/xml" : "application/x-amz-json-1.1",
		 text, strlen(text), NULL);
}

const char *fakesvc_scope(const struct fakesvc *f)
{
	return f->scope;
}

const char *fakesvc_target(const struct fakesvc *f)
{
	return f->target;
}

static void on_request(void *arg, ws_req r, const struct ws_request *req)
{
	struct fakesvc *f = arg;
	const char *op = ws_req_header(f->ws, r, "x-amz-target");
	json_t *in;

	if (op == NULL || strncmp(op, "AmazonSSM.", 10) != 0) {
		other_call(f, r, op, req);
		return;
	}
	in = json_loadb((const char *)req->body, req->body_len, 0, NULL);
	MUST(in != NULL);
	scope_read(f, r, f->scope);
	f->counts.calls++;
	if (f->conf.expired) {
		reply(f, r, 400,
		      json_pack("{s:s, s:s}", "__type", "ExpiredTokenException", "message",
				"The security token included in the request is expired"));
	} else if (strstr(op, "StartSession") != NULL) {
		start_session(f, r, in);
	} else if (strstr(op, "ResumeSession") != NULL) {
		resume_session(f, r, in);
	} else if (strstr(op, "DescribeInstanceInformation") != NULL) {
		reply(f, r, 400,
		      json_pack("{s:s, s:s}", "__type", "AccessDeniedException", "message", "no"));
	} else {
		f->counts.terminate++;
		reply(f, r, 200, json_pack("{s:O}", "SessionId", json_object_get(in, "SessionId")));
	}
	json_decref(in);
}

static const struct ws_server_events server_ev = { on_request, on_upgrade };

/* ---- life ---- */

void fakesvc_start(struct fakesvc **out, struct loop *loop, struct ws_ctx *ws,
		   const struct fakesvc_conf *conf)
{
	struct fakesvc *f = calloc(1, sizeof(*f));
	const struct ws_listen_opts o = { .address = { .addr = { .family = 4,
								 .b = { 127, 0, 0, 1 } } } };

	MUST(f != NULL);
	f->loop = loop;
	f->ws = ws;
	f->conf = *conf;
	list_init(&f->sessions);
	list_init(&f->laters);
	loop_task_init(&f->later_task, LOOP_FLUSH, on_later, f);
	f->svc = (struct svc){
		.ctx = f, .resolve = svc_resolve, .run = svc_run, .cancel = svc_cancel
	};
	MUST(ws_listen(ws, &f->server, &o, &server_ev, f) == 0);
	*out = f;
}

static void ses_free(struct ses *s)
{
	tcp_close(s);
	if (s->conn != 0)
		ws_drop(s->f->ws, s->conn);
	loop_timer_cancel(s->f->loop, &s->timer);
	loop_task_cancel(&s->flush);
	if (s->ssm != NULL)
		ssm_chan_free(s->ssm);
	buf_fini(&s->out);
	free(s);
}

void fakesvc_stop(struct fakesvc *f)
{
	struct list_node *n;

	while ((n = list_pop_front(&f->sessions)) != NULL)
		ses_free(container_of(n, struct ses, node));
	MUST(list_empty(&f->laters));
	loop_task_cancel(&f->later_task);
	ws_server_free(f->server);
	free(f);
}

void fakesvc_conf_set(struct fakesvc *f, const struct fakesvc_conf *conf)
{
	f->conf = *conf;
}

uint16_t fakesvc_port(const struct fakesvc *f)
{
	return ws_server_port(f->server);
}

struct fakesvc_counts fakesvc_counts(const struct fakesvc *f)
{
	return f->counts;
}

static void ses_cut(struct ses *s)
{
	if (s->conn != 0)
		ws_drop(s->f->ws, s->conn);
	conn_lost(s);
}

void fakesvc_cut(struct fakesvc *f)
{
	list_for_each (n, &f->sessions)
		ses_cut(container_of(n, struct ses, node));
}

void fakesvc_cut_first(struct fakesvc *f)
{
	MUST(!list_empty(&f->sessions));
	ses_cut(container_of(f->sessions.head.next, struct ses, node));
}

void fakesvc_mute(struct fakesvc *f)
{
	list_for_each (n, &f->sessions) {
		struct ses *s = container_of(n, struct ses, node);

		if (s->conn != 0)
			ws_pause(f->ws, s->conn, true);
		conn_lost(s); /* what is left of the socket is nobody's */
	}
}

void fakesvc_close(struct fakesvc *f, const char *output)
{
	list_for_each (n, &f->sessions)
		ses_tell_closed(container_of(n, struct ses, node), output);
}
