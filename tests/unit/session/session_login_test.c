// SPDX-License-Identifier: MIT
/*
 * Cases: a login in a process of its own, with the runner's jobs; the process can't be dumped meanwhile; a signal breaks it off; a
 * profile that is not there; a home where nothing can be written. A child process each, as the verb has one.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "session/session.h"
#include "tests/unit/aws/sso_fixture.h"

#define SCRIPT(polls_)                                                                             \
	"{\"RegisterClient\":[{\"body\":{\"clientId\":\"cid\",\"clientSecret\":\"csecret\","       \
	"\"clientSecretExpiresAt\":4102444800}}],\"StartDeviceAuthorization\":[{\"body\":{"        \
	"\"deviceCode\":\"dcode\",\"userCode\":\"ABCD-EFGH\",\"verificationUri\":\"https://a/\","  \
	"\"verificationUriComplete\":\"https://a/?c\",\"expiresIn\":600,\"interval\":1}}],"        \
	"\"CreateToken\":[" polls_ "],\"GetRoleCredentials\":[{\"body\":{\"roleCredentials\":{"    \
	"\"accessKeyId\":\"ASIA\",\"secretAccessKey\":\"s\",\"sessionToken\":\"t\","               \
	"\"expiration\":4102444800000}}}]}"
#define TOKEN "{\"body\":{\"accessToken\":\"at-1\",\"expiresIn\":28800}}"
#define PENDING "{\"status\":400,\"body\":{\"error\":\"authorization_pending\"}}"

/* What the child tells by its exit status, as bits. */
enum { SAW_CODE = 1, SAW_DONE = 2, SAW_ERROR = 4, SAW_DUMPABLE = 8, SAW_BROKEN_OFF = 16 };

static int saw;

static void on_code(void *arg, const struct aws_login_code *c)
{
	struct rlimit core;

	(void)arg;
	saw |= SAW_CODE;
	if (strcmp(c->code, "ABCD-EFGH") != 0 || prctl(PR_GET_DUMPABLE) != 0 ||
	    getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		saw |= SAW_DUMPABLE;
}

static void on_done(void *arg, const struct aws_error *error, const struct aws_login_result *r)
{
	(void)arg;
	saw |= error ? SAW_ERROR : SAW_DONE;
	if (r && (strcmp(r->role, "Reader") != 0 || !r->needed))
		saw |= SAW_ERROR;
}

static const struct aws_login_events events = { .code = on_code, .done = on_done };

static pid_t verb(struct fx *f, const char *profile)
{
	const gid_t group = getegid();
	const struct session_caller caller = {
		.uid = geteuid(),
		.gid = group,
		.groups = &group,
		.n_groups = 1,
		.home = f->home,
		.getenv = fx_getenv,
		.getenv_ctx = f,
	};
	struct session *s;
	const pid_t pid = fork();
	int r;

	if (pid != 0)
		return pid;
	if (session_new(&s, &caller) < 0)
		_exit(64);
	r = session_login(s, profile, &events, NULL);
	session_free(s);
	if (r == ST_ECANCELED)
		saw |= SAW_BROKEN_OFF;
	else if ((r == 0) != ((saw & SAW_DONE) != 0))
		saw |= 64;
	_exit(saw);
}

static int result(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void logs_in(void **state)
{
	struct fx *f = *state;
	char *token;

	fx_script(f, SCRIPT(PENDING "," TOKEN));
	assert_int_equal(result(verb(f, "dev")), SAW_CODE | SAW_DONE);
	token = fx_file(f, CORP_FILE);
	assert_non_null(token);
	assert_non_null(strstr(token, "at-1"));
	free(token);
}

static void broken_off(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM };
	struct fx *f = *state;

	fx_script(f, SCRIPT(PENDING));
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		const unsigned before = fx_asked(f, "CreateToken");
		const pid_t pid = verb(f, "dev");

		for (unsigned n = 0; fx_asked(f, "CreateToken") == before; n++) {
			assert_true(n < 500);
			usleep(20000);
		}
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(result(pid), SAW_CODE | SAW_BROKEN_OFF);
		assert_null(fx_file(f, CORP_FILE));
	}
}

static void no_such_profile(void **state)
{
	struct fx *f = *state;

	fx_script(f, "{}");
	assert_int_equal(result(verb(f, "nobody")), SAW_ERROR);
	assert_int_equal(fx_asked(f, NULL), 0);
}

/* The folder of the cache is a file. */
static void nothing_can_be_written(void **state)
{
	struct fx *f = *state;

	fx_write(f, "sso", "");
	fx_script(f, SCRIPT(TOKEN));
	assert_int_equal(result(verb(f, "dev")), SAW_CODE | SAW_ERROR);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, sso_setup, sso_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(logs_in),
		CASE(broken_off),
		CASE(no_such_profile),
		CASE(nothing_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
