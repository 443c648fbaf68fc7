// SPDX-License-Identifier: MIT
/*
 * identity_test.c - who calls, and that dropping to the caller drops everything but CAP_NET_ADMIN
 *
 * Each case runs in a child, whose exit status is the number of the check that failed. Needs root for the cases that change users; as
 * another user only the plain case runs.
 */
#include "daemon/identity.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cap-ng.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		log_setup(LOG_ERROR, LOG_TEXT);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define CHECK(n, cond)                                                                             \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return n;                                                                  \
	} while (0)

static void forget_callers(void)
{
	unsetenv("SUDO_UID");
	unsetenv("DOAS_USER");
	unsetenv("PKEXEC_UID");
}

static int order_of_callers(void)
{
	struct passwd *nobody = getpwnam("nobody"), *daemon = getpwnam("daemon");
	struct identity id;
	char uid[16];

	CHECK(1, nobody && daemon);
	uid_t nobody_uid = 65534;
	forget_callers();
	snprintf(uid, sizeof(uid), "%u", (unsigned)nobody_uid);
	setenv("DOAS_USER", "daemon", 1);
	CHECK(2, identity_find(&id, NULL) == 0 && strcmp(id.user, "daemon") == 0);
	CHECK(3, strcmp(id.origin, "DOAS_USER") == 0);
	identity_fini(&id);
	setenv("SUDO_UID", uid, 1);
	CHECK(4, identity_find(&id, "daemon") == 0 && id.uid == nobody_uid);
	CHECK(5, strcmp(id.home, getpwuid(nobody_uid)->pw_dir) == 0);
	identity_fini(&id);
	forget_callers();
	CHECK(6, identity_needs_run_as());
	CHECK(7, identity_find(&id, "daemon") == 0 && strcmp(id.origin, "run_as") == 0);
	identity_fini(&id);
	CHECK(8, getpwnam(IDENTITY_USER) || identity_find(&id, NULL) == ST_EPERM);
	CHECK(9, identity_find(&id, "no-such-user-here") == ST_ENOENT);
	return 0;
}

static int bad_callers(void)
{
	static const char *const bad[] = { "-1", "12x", "", "4294967295", "99999999999999999999" };
	struct identity id;

	forget_callers();
	for (size_t i = 0; i < 5; i++) {
		setenv("SUDO_UID", bad[i], 1);
		CHECK((int)i + 1, identity_find(&id, "root") < 0);
	}
	return 0;
}

static int kept_environment(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	setenv("AWS_PROFILE", "prod", 1);
	setenv("XDG_STATE_HOME", "/x", 1);
	setenv("LD_PRELOAD_NOT_OURS", "/evil", 1);
	setenv("HOME", "/root", 1);
	CHECK(1, identity_find(&id, NULL) == 0);
	CHECK(2, strcmp(identity_getenv(&id, "AWS_PROFILE"), "prod") == 0);
	CHECK(3, strcmp(identity_getenv(&id, "XDG_STATE_HOME"), "/x") == 0);
	CHECK(4, !identity_getenv(&id, "LD_PRELOAD_NOT_OURS"));
	CHECK(5, !identity_getenv(&id, "HOME"));
	CHECK(6, !identity_getenv(&id, "AWS"));
	identity_fini(&id);
	return 0;
}

static int assume_drops(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	CHECK(1, identity_find(&id, NULL) == 0);
	CHECK(2, identity_assume(&id, true) == 0);
	CHECK(3, getuid() == id.uid && geteuid() == id.uid && getgid() == id.gid);
	CHECK(4, capng_get_caps_process() == 0);
	CHECK(5, capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) == 1);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		CHECK(6, cap == CAP_NET_ADMIN || !capng_have_capability(CAPNG_PERMITTED, cap));
		CHECK(7, !capng_have_capability(CAPNG_INHERITABLE, cap));
		CHECK(8, prctl(PR_CAPBSET_READ, (unsigned long)cap) <= 0 || cap == CAP_NET_ADMIN);
	}
	CHECK(9, prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1);
	CHECK(10, prctl(PR_GET_DUMPABLE) == 0);
	CHECK(11, setuid(0) < 0);
	CHECK(12, access("/etc/shadow", R_OK) < 0);
	return 0;
}

static int assume_without_net_admin(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	CHECK(1, identity_find(&id, NULL) == 0 && identity_assume(&id, false) == 0);
	CHECK(2, capng_get_caps_process() == 0);
	CHECK(3, capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE);
	return 0;
}

static void run_as_root(int (*fn)(void))
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(in_child(fn), 0);
}

#define ROOT_TEST(fn)                                                                              \
	static void test_##fn(void **state)                                                        \
	{                                                                                          \
		(void)state;                                                                       \
		run_as_root(fn);                                                                   \
	}

ROOT_TEST(order_of_callers)
ROOT_TEST(bad_callers)
ROOT_TEST(kept_environment)
ROOT_TEST(assume_drops)
ROOT_TEST(assume_without_net_admin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_callers),
		cmocka_unit_test(test_bad_callers),
		cmocka_unit_test(test_kept_environment),
		cmocka_unit_test(test_assume_drops),
		cmocka_unit_test(test_assume_without_net_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
