// SPDX-License-Identifier: MIT
/* aws_served.h - aws_fixture.h with ssm_server.py beside it, and calls to it */
#ifndef TESTS_AWS_SERVED_H
#define TESTS_AWS_SERVED_H

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/aws/aws_fixture.h"

static struct {
	pid_t pid;
	int stdin_fd;
	unsigned http, https, proxy, closed;
	char folder[128];
} server;

static inline int server_start(void **state)
{
	int in[2], out[2];
	char line[256];
	ssize_t n = 0, r;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	server.pid = fork();
	if (server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "tests/unit/aws/ssm_server.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.stdin_fd = in[1];
	while ((r = read(out[0], line + n, sizeof(line) - 1 - (size_t)n)) > 0) {
		n += r;
		if (line[n - 1] == '\n')
			break;
	}
	line[n] = '\0';
	close(out[0]);
	return sscanf(line, "%u %u %u %u %127s", &server.http, &server.https, &server.proxy,
		      &server.closed, server.folder) == 5
		       ? 0
		       : -1;
}

static inline int server_stop(void **state)
{
	int status;

	(void)state;
	close(server.stdin_fd);
	return waitpid(server.pid, &status, 0) == server.pid && status == 0 ? 0 : -1;
}

struct got {
	unsigned calls;
	bool ok;
	struct aws_error error;
	char session_id[64], stream_url[1024];
	size_t token_len;
	uint32_t max_payload;
	struct aws_account *to_free;
};

static inline void on_session(void *arg, const struct aws_error *error, const struct aws_session *s)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	if (error) {
		g->error = *error;
	} else {
		snprintf(g->session_id, sizeof(g->session_id), "%s", s->session_id);
		snprintf(g->stream_url, sizeof(g->stream_url), "%s", s->stream_url);
		g->token_len = strlen(s->token);
		g->max_payload = s->max_payload;
	}
	aws_account_free(g->to_free);
}

static inline void on_done(void *arg, const struct aws_error *error)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	if (error)
		g->error = *error;
}

static inline struct aws_account *account(struct fx *f, const struct aws_account_opts *opts)
{
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws, opts), 0);
	return acc;
}

static inline const char *url_of(const char *scheme, const char *host, unsigned port)
{
	static char url[128];

	snprintf(url, sizeof(url), "%s://%s:%u", scheme, host, port);
	return url;
}

static inline struct aws_account *plain_account(struct fx *f)
{
	return account(f, &(struct aws_account_opts){
				  .region = "eu-west-1",
				  .access_key = "AKIDTEST",
				  .secret_key = "secret/+test",
				  .endpoint_url = url_of("http", "127.0.0.1", server.http) });
}

static inline void run_until(struct fx *f, const struct got *g, unsigned calls)
{
	uint64_t end_ms = loop_now_ms(f->loop) + 30000;

	while (g->calls < calls && loop_now_ms(f->loop) < end_ms)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(g->calls, calls);
}

/* One StartSession to its end with @acc, which is freed. */
static inline struct got start(struct fx *f, struct aws_account *acc, const char *target)
{
	struct got g = { 0 };
	aws_call call;

	f->aws->limits.backoff_ms = 2;
	assert_int_equal(aws_start_session(acc, &call,
					   &(struct aws_start){ .target = target,
								.document = "AWS-StartSSHSession" },
					   on_session, &g),
			 0);
	assert_int_equal(g.calls, 0); /* never from within the call */
	run_until(f, &g, 1);
	aws_account_free(acc);
	return g;
}

#endif
