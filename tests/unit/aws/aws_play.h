// SPDX-License-Identifier: MIT
/* aws_play.h - tests/aws/play.py as a child of a unit test: group setup and teardown, and its control interface */
#ifndef TESTS_AWS_PLAY_H
#define TESTS_AWS_PLAY_H

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/aws/aws_fixture.h"

static struct {
	pid_t pid;
	int stdin_fd;
	char url[64], control[64]; /* of all services, without TLS; of the control interface */
	char container[64], imds[64];
	int container_port;
	char access_key[64], secret_key[128]; /* alice's */
} play;

static inline int play_url(char out[64], const json_t *ready, const char *port, const char *path)
{
	const int n = (int)json_integer_value(json_object_get(ready, port));

	snprintf(out, 64, "http://127.0.0.1:%d%s", n, path);
	return n;
}

static inline int play_ready(const char *line)
{
	json_t *ready = json_loads(line, 0, NULL);

	if (!ready)
		return -1;
	play_url(play.url, ready, "http", "");
	play_url(play.control, ready, "control", "/_play");
	play_url(play.imds, ready, "imds", "");
	play.container_port = play_url(play.container, ready, "container", "");
	snprintf(play.access_key, sizeof(play.access_key), "%s", aws_text(ready, "access_key"));
	snprintf(play.secret_key, sizeof(play.secret_key), "%s", aws_text(ready, "secret_key"));
	json_decref(ready);
	return 0;
}

/* Return: 0; -1: it said nothing */
static inline int play_start(void **state)
{
	int in[2], out[2];
	char line[2048];
	ssize_t n = 0, r;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	play.pid = fork();
	if (play.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "tests/aws/play.py", "--plain", "127.0.0.1:0",
		      (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	play.stdin_fd = in[1];
	while ((r = read(out[0], line + n, sizeof(line) - 1 - (size_t)n)) > 0) {
		n += r;
		if (line[n - 1] == '\n')
			break;
	}
	line[n] = '\0';
	close(out[0]);
	return play_ready(line);
}

static inline int play_stop(void **state)
{
	int status;

	(void)state;
	close(play.stdin_fd);
	return waitpid(play.pid, &status, 0) == play.pid && status == 0 ? 0 : -1;
}

static inline size_t play_take(char *data, size_t one, size_t n, void *arg)
{
	return buf_put(arg, data, one * n) == 0 ? one * n : 0;
}

/* One verb of the control interface (tests/aws/README.md). Return: its answer; caller: json_decref() */
static inline json_t *play_ask(const char *verb)
{
	CURL *easy = curl_easy_init();
	long status = 0;
	struct buf b;
	json_t *answer;

	buf_init(&b, MIB(4));
	curl_easy_setopt(easy, CURLOPT_URL, play.control);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, verb);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, play_take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &b);
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	if (status != 200)
		print_error("%s: %.*s\n", verb, (int)b.len, (const char *)buf_data(&b));
	assert_int_equal(status, 200);
	answer = json_loadb((const char *)buf_data(&b), b.len, 0, NULL);
	assert_non_null(answer);
	buf_fini(&b);
	return answer;
}

/* Several verbs, one a line; "" and NULL: none */
static inline void play_do(const char *verbs)
{
	while (verbs && *verbs) {
		char *verb = strndup(verbs, strcspn(verbs, "\n"));

		json_decref(play_ask(verb));
		verbs += strlen(verb);
		verbs += *verbs == '\n';
		free(verb);
	}
}

/* Requests of @operation since the last "clear". */
static inline unsigned play_count(const char *operation)
{
	char verb[128];
	json_t *answer;
	unsigned n;

	snprintf(verb, sizeof(verb), "{\"do\": \"count\", \"operation\": \"%s\"}", operation);
	answer = play_ask(verb);
	n = (unsigned)json_integer_value(json_object_get(answer, "count"));
	json_decref(answer);
	return n;
}

/* ---- who one is, with the credentials that the account's chain finds ---- */

struct play_who {
	struct fx *f;
	struct aws_error error; /* err 0: none */
	char arn[256];
	unsigned told, wanted; /* the loop is stopped when all that are wanted were told */
};

static inline void play_on_who(void *arg, const struct aws_error *error, json_t *answer)
{
	struct play_who *w = arg;

	w->error = error ? *error : (struct aws_error){ 0 };
	snprintf(w->arn, sizeof(w->arn), "%s", error ? "" : aws_text(answer, "Arn"));
	if (++w->told >= w->wanted)
		loop_stop(w->f->loop);
}

/* The environment from here on: the play is all services. */
static inline void play_env(struct fx *f)
{
	f->n_env = 0;
	fx_setenv(f, "AWS_ENDPOINT_URL", play.url);
}

static inline int play_account(struct fx *f, struct aws_account **out, const char *profile)
{
	const struct aws_account_opts o = { .profile = profile, .region = "us-east-1" };

	return aws_account_new(out, f->aws, &o);
}

static inline void play_who_start(struct aws_account *acc, struct play_who *w)
{
	assert_int_equal(
		aws_ask(acc, NULL, AWS_GET_CALLER_IDENTITY, json_object(), NULL, play_on_who, w),
		0);
}

/* A new account's first call. Return: 0, or its error, with @w filled in */
static inline int play_who(struct fx *f, const char *profile, struct play_who *w)
{
	struct aws_account *acc;

	*w = (struct play_who){ .f = f, .wanted = 1 };
	assert_int_equal(play_account(f, &acc, profile), 0);
	play_who_start(acc, w);
	assert_int_equal(loop_run(f->loop), 0);
	aws_account_free(acc);
	return w->error.err;
}

/* Takes away ~/.aws/cli, or whatever is in its place. */
static inline void play_cache_clear(const struct fx *f)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/.aws/cli", f->home);
	nftw(path, fx_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
