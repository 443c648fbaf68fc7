// SPDX-License-Identifier: MIT
/*
 * control_test.c - the control socket between this process (the loop) and a thread that plays clients
 *
 * Good and bad requests, too many clients, one that reads nothing, garbage, and what the client's own call reports.
 */
#include "daemon/control.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

struct stage {
	char dir[64], path[96];
	struct loop *loop;
	struct control *control;
	atomic_bool done; /* the client thread has finished */
	int wake[2];	  /* … and says so to the loop */
	loop_watch watch;
	unsigned asked;
};

static char longest[CONTROL_BACKLOG_MAX];

static json_t *answer(void *arg, const json_t *request)
{
	struct stage *s = arg;
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	s->asked++;
	if (cmd && strcmp(cmd, "long") == 0) {
		memset(longest, 'x', sizeof(longest) - 1);
		return json_pack("{s:b, s:s}", "ok", 1, "text", longest);
	}
	return json_pack("{s:b, s:s}", "ok", 1, "you_said", cmd ? cmd : "");
}

static void on_done(void *arg, uint32_t events, uint64_t now_ms)
{
	struct stage *s = arg;

	(void)events;
	(void)now_ms;
	loop_stop(s->loop);
}

static int set_up(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	strcpy(s->dir, "/tmp/ssm-tun-test-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop) < 0 || pipe(s->wake) < 0)
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/control.sock", s->dir);
	if (control_listen(&s->control, s->loop, s->path, getuid(), answer, s) < 0)
		return -1;
	if (loop_fd_add(s->loop, &s->watch, s->wake[0], EPOLLIN, on_done, s) < 0)
		return -1;
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;

	control_free(s->control);
	loop_fd_del(s->loop, &s->watch);
	close(s->wake[0]);
	close(s->wake[1]);
	loop_free(s->loop);
	if (access(s->path, F_OK) == 0 || rmdir(s->dir) < 0)
		return -1; /* the socket must be gone */
	free(s);
	return 0;
}

/* Runs @client in a thread while the loop serves it. */
static void play(struct stage *s, void *(*client)(void *))
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, client, s), 0);
	assert_int_equal(loop_run(s->loop), 0);
	void *failure;
	pthread_join(t, &failure);
	if (failure)
		fail_msg("client: %s", (const char *)failure);
}

static void *finish(struct stage *s, const char *failure)
{
	(void)!write(s->wake[1], "x", 1);
	return (void *)(uintptr_t)failure;
}

static int raw_connect(const struct stage *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, s->path, strlen(s->path));
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : fd;
}

/* Sends @text, reads to the end. Return: bytes read into @out */
static ssize_t raw_ask(const struct stage *s, const char *text, size_t len, char *out, size_t cap)
{
	int fd = raw_connect(s);
	size_t got = 0;
	ssize_t n;

	(void)!send(fd, text, len, MSG_NOSIGNAL);
	while (got < cap - 1 && (n = recv(fd, out + got, cap - 1 - got, 0)) > 0)
		got += (size_t)n;
	out[got] = 0;
	close(fd);
	return (ssize_t)got;
}

/* What does not fit is told, not left to be guessed from silence. */
static void *client_asks_for_too_much(void *arg)
{
	struct stage *s = arg;
	json_t *out = NULL;

	if (control_cmd(s->path, "long", 5000, &out) != 0)
		return finish(s, "no answer");
	const char *said = json_string_value(json_object_get(out, "error"));
	bool good = json_is_false(json_object_get(out, "ok")) && said && strstr(said, "longer");
	json_decref(out);
	return finish(s, good ? NULL : "another answer");
}

static void *client_asks(void *arg)
{
	struct stage *s = arg;
	json_t *out = NULL;

	if (control_cmd(s->path, "status", 5000, &out) != 0)
		return finish(s, "no answer");
	const char *said = json_string_value(json_object_get(out, "you_said"));
	bool good = said && strcmp(said, "status") == 0;
	json_decref(out);
	return finish(s, good ? NULL : "another answer");
}

static void a_question_is_answered(void **state)
{
	struct stage *s = *state;
	struct stat st;

	play(s, client_asks);
	assert_int_equal(s->asked, 1);
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void an_answer_that_is_too_long(void **state)
{
	play(*state, client_asks_for_too_much);
}

static void *client_garbage(void *arg)
{
	static const char *const bad[] = { "hello\n", "[1,2]\n", "{\"cmd\":\n", "\n",
					   "\xff\xfe\n" };
	struct stage *s = arg;
	char out[512];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (raw_ask(s, bad[i], strlen(bad[i]), out, sizeof(out)) <= 0 ||
		    !strstr(out, "one JSON object"))
			return finish(s, bad[i]);
	return client_asks(s);
}

static void garbage_is_answered_and_harms_nobody(void **state)
{
	struct stage *s = *state;

	play(s, client_garbage);
	assert_int_equal(s->asked, 1);
}

static void *client_too_long(void *arg)
{
	struct stage *s = arg;
	char *text = malloc(CONTROL_LINE_MAX + 10), out[512];

	if (!text)
		return finish(s, "memory");
	memset(text, 'x', CONTROL_LINE_MAX + 10);
	raw_ask(s, text, CONTROL_LINE_MAX + 10, out, sizeof(out));
	free(text);
	/* The rest that was still on its way may turn our answer into a reset; the daemon lives in any case. */
	return client_asks(s);
}

static void a_line_without_end_is_refused(void **state)
{
	struct stage *s = *state;

	play(s, client_too_long);
	assert_int_equal(s->asked, 1);
}

static void *client_crowd(void *arg)
{
	struct stage *s = arg;
	int fds[CONTROL_CLIENTS_MAX];
	char out[512];
	const char *failure = NULL;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = raw_connect(s);
	if (raw_ask(s, "{}\n", 3, out, sizeof(out)) <= 0 || !strstr(out, "8 clients"))
		failure = "a ninth client was served";
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	return finish(s, failure);
}

static void clients_have_a_limit(void **state)
{
	play(*state, client_crowd);
}

/* The next free descriptor is beyond the limit: a connection can't be accepted. */
static void descriptors_exhaust(struct rlimit *before)
{
	struct rlimit few;
	int next = dup(STDERR_FILENO);

	assert_true(next > 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	few = *before;
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static void out_of_descriptors_it_waits(void **state)
{
	static const char request[] = "{\"cmd\":\"status\"}\n";
	struct stage *s = *state;
	struct rlimit before;
	char out[128];
	int fd = raw_connect(s);
	uint64_t turns, until_ms;

	assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	descriptors_exhaust(&before);
	assert_int_equal(loop_turn(s->loop, 1000), 0);
	until_ms = loop_now_ms(s->loop) + 150;
	turns = loop_turns(s->loop);
	while (loop_now_ms(s->loop) < until_ms)
		assert_int_equal(loop_turn(s->loop, 50), 0);
	assert_true(loop_turns(s->loop) - turns < 10);
	assert_int_equal(s->asked, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	while (s->asked == 0)
		assert_int_equal(loop_turn(s->loop, 5000), 0);
	assert_true(recv(fd, out, sizeof(out), 0) > 0);
	close(fd);
}

static void nobody_listens(void **state)
{
	json_t *out;

	(void)state;
	assert_int_equal(control_cmd("/tmp/ssm-tun-no-such-socket", "status", 100, &out),
			 ST_ENOENT);
}

/* Answers whoever connects to @arg, a listening socket, with something that is no object. */
static void *array_server(void *arg)
{
	int fd = accept(*(const int *)arg, NULL, NULL);
	char line[128];

	(void)!recv(fd, line, sizeof(line), 0);
	(void)!send(fd, "[1]\n", 4, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

/* The run-time folder is the user's: who listens there may say anything to root's `down`. */
static void an_answer_that_is_no_object_leaves_nothing_to_release(void **state)
{
	char dir[] = "/tmp/ssm-tun-test-XXXXXX";
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_t *out = NULL;
	pthread_t t;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control.sock", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pthread_create(&t, NULL, array_server, &fd), 0);
	assert_int_equal(control_cmd(sa.sun_path, "down", 5000, &out), ST_EFORMAT);
	assert_null(out);
	pthread_join(t, NULL);
	close(fd);
	unlink(sa.sun_path);
	rmdir(dir);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_question_is_answered),
		SCENE(an_answer_that_is_too_long),
		SCENE(garbage_is_answered_and_harms_nobody),
		SCENE(a_line_without_end_is_refused),
		SCENE(clients_have_a_limit),
		SCENE(out_of_descriptors_it_waits),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(an_answer_that_is_no_object_leaves_nothing_to_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
