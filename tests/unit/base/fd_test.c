// SPDX-License-Identifier: MIT
/*
 * fd_test.c - base/fd.c
 *
 * Cases: standard descriptors that were closed get /dev/null; all but one are closed; a write larger than the pipe's
 * buffer, and one to nobody; a hang-up; one descriptor passed, two passed at once, none; limits raised, as
 * far as they go, and never lowered.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"

static bool is_null_device(int fd)
{
	struct stat st, null;

	return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* @fn's answer, in a process of its own */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int closes_std_and_opens(void)
{
	int probe;

	close(STDIN_FILENO);
	close(STDERR_FILENO);
	if (!fd_open_std())
		return 1;
	if (!is_null_device(STDIN_FILENO) || !is_null_device(STDERR_FILENO))
		return 2;
	probe = dup(STDIN_FILENO); /* nothing but 0 to 2 was left open */
	close(probe);
	if (!fd_open_std() || dup(STDIN_FILENO) != probe)
		return 3;
	return probe > STDERR_FILENO ? 0 : 4;
}

static void closed_standard_descriptors_are_opened(void **state)
{
	(void)state;
	assert_int_equal(in_child(closes_std_and_opens), 0);
}

static int keeps(int keep)
{
	int pair[2];

	fd_open_std();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || dup2(pair[0], keep) != keep ||
	    dup2(pair[0], 200) != 200)
		return 1;
	fd_keep_only(keep);
	for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
		if (is_open(fd) != (fd == keep))
			return 2;
	if (!is_null_device(STDIN_FILENO) || !is_null_device(STDOUT_FILENO))
		return 3;
	return is_open(STDERR_FILENO) ? 0 : 4;
}

static int keeps_the_lowest(void)
{
	return keeps(STDERR_FILENO + 1);
}

static int keeps_one_between(void)
{
	return keeps(100);
}

static void all_but_one_are_closed(void **state)
{
	(void)state;
	assert_int_equal(in_child(keeps_the_lowest), 0);
	assert_int_equal(in_child(keeps_one_between), 0);
}

#define LARGE MIB(1) /* a pipe holds 64 KiB */

struct reading {
	int fd;
	size_t got;
	bool wrong;
};

static void *read_all(void *arg)
{
	struct reading *r = arg;
	uint8_t piece[4096];
	ssize_t n;

	while ((n = read(r->fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < n; i++)
			r->wrong |= piece[i] != (uint8_t)(r->got++ % 251);
	return NULL;
}

static void a_large_write_is_whole(void **state)
{
	uint8_t *data = malloc(LARGE);
	struct reading reading;
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < LARGE; i++)
		data[i] = (uint8_t)(i % 251);
	assert_int_equal(pipe(fds), 0);
	reading = (struct reading){ .fd = fds[0] };
	assert_int_equal(pthread_create(&thread, NULL, read_all, &reading), 0);
	assert_int_equal(fd_write_all(fds[1], data, LARGE), 0);
	close(fds[1]);
	pthread_join(thread, NULL);
	assert_int_equal(reading.got, LARGE);
	assert_false(reading.wrong);
	close(fds[0]);
	free(data);
}

static void a_write_to_nobody_fails(void **state)
{
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(fd_write_all(fds[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(fd_write_all(fds[1], "x", 0), 0);
	close(fds[1]);
}

static void a_hang_up_is_seen(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_false(fd_hung_up(pair[0]));
	assert_int_equal(send(pair[1], "", 0, 0), 0);
	assert_false(fd_hung_up(pair[0]));
	close(pair[1]);
	assert_true(fd_hung_up(pair[0]));
	close(pair[0]);
}

/* Sends one byte with @n descriptors of pipe @fds, receives it. Return: what fd_passed() says */
static int send_and_take(const int fds[2], size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} room;
	char byte = 'x';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_room one;
	int pair[2], taken;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	if (n == 1)
		fd_pass(&msg, &one, fds[0]);
	if (n == 2) {
		msg.msg_control = &room;
		msg.msg_controllen = sizeof(room);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
							 .cmsg_type = SCM_RIGHTS,
							 .cmsg_len = CMSG_LEN(2 * sizeof(int)) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, 2 * sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	msg = (struct msghdr){ .msg_iov = &iov,
			       .msg_iovlen = 1,
			       .msg_control = &room,
			       .msg_controllen = sizeof(room) };
	assert_int_equal(recvmsg(pair[1], &msg, 0), 1);
	taken = fd_passed(&msg);
	close(pair[0]);
	close(pair[1]);
	return taken;
}

static void a_descriptor_is_passed(void **state)
{
	char byte = 0;
	int fds[2], taken;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	taken = send_and_take(fds, 1);
	assert_true(taken > fds[1]);
	assert_int_equal(write(fds[1], "y", 1), 1);
	assert_int_equal(read(taken, &byte, 1), 1);
	assert_int_equal(byte, 'y');
	close(taken);
	assert_int_equal(send_and_take(fds, 0), -1);
	close(fds[0]);
	close(fds[1]);
}

static void the_second_descriptor_is_closed(void **state)
{
	char byte;
	int fds[2], taken;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	taken = send_and_take(fds, 2);
	assert_true(taken > fds[1]);
	close(fds[1]);
	assert_int_equal(read(taken, &byte, 1),
			 0); /* the end: no copy of the writing side is left */
	close(taken);
	close(fds[0]);
}

static void limits_are_raised(void **state)
{
	struct rlimit before, now = { 0 };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){ .rlim_cur = 64, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(fd_limit_raise(32), 64);
	assert_int_equal(fd_limit_raise(100), 100);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, 100);
	assert_int_equal(now.rlim_max, before.rlim_max);
	assert_int_equal(fd_limit_raise(SIZE_MAX), before.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_standard_descriptors_are_opened),
		cmocka_unit_test(all_but_one_are_closed),
		cmocka_unit_test(a_large_write_is_whole),
		cmocka_unit_test(a_write_to_nobody_fails),
		cmocka_unit_test(a_hang_up_is_seen),
		cmocka_unit_test(a_descriptor_is_passed),
		cmocka_unit_test(the_second_descriptor_is_closed),
		cmocka_unit_test(limits_are_raised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
