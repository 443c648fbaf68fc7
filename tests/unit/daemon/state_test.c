// SPDX-License-Identifier: MIT
/* state_test.c - the state folder and the IPv6 prefix that is made once and kept */
#include "daemon/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"

static void paths_and_prefix(void **state)
{
	char dir[] = "/tmp/ssm-tun-test-XXXXXX", var[96], file[PATH_MAX + 8];
	char user[] = "somebody", home[] = "/nonexistent";
	struct identity id = { .user = user, .home = home, .env = { var }, .n_env = 1 };
	struct net_addr first, second;
	struct state_paths p;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(var, sizeof(var), "XDG_STATE_HOME=%s", dir);
	assert_int_equal(state_prepare(&p, &id, "prod"), 0);
	assert_int_equal(stat(p.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_non_null(strstr(p.log, "/ssm-tun/prod.log"));

	assert_int_equal(state_ula(&p, &first), 0);
	assert_int_equal(first.b[0], 0xfd);
	for (size_t i = 8; i < 16; i++)
		assert_int_equal(first.b[i], 0);
	assert_int_equal(state_ula(&p, &second), 0);
	assert_true(net_addr_eq(&first, &second));

	/* A file that says something else is replaced, not believed. */
	snprintf(file, sizeof(file), "%s/ula", p.dir);
	int fd = open(file, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "fe80::1\n", 8), 8);
	close(fd);
	assert_int_equal(state_ula(&p, &second), 0);
	assert_int_equal(second.b[0], 0xfd);

	unlink(file);
	rmdir(p.dir);
	rmdir(dir);
}

static void a_relative_state_home_is_ignored(void **state)
{
	char dir[] = "/tmp/ssm-tun-test-XXXXXX", var[] = "XDG_STATE_HOME=relative";
	char user[] = "somebody";
	struct identity id = { .user = user, .home = dir, .env = { var }, .n_env = 1 };
	struct state_paths p;
	char command[96];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(state_prepare(&p, &id, "prod"), 0);
	assert_non_null(strstr(p.dir, "/.local/state/ssm-tun"));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_and_prefix),
		cmocka_unit_test(a_relative_state_home_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
