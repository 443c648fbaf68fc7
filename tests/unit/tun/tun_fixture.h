// SPDX-License-Identifier: MIT
/* tun_fixture.h - a network namespace of our own, iproute2's view of it, and what the log said */
#ifndef TESTS_UNIT_TUN_TUN_FIXTURE_H
#define TESTS_UNIT_TUN_TUN_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "tun/tun.h"

#define DEV "ssmtest0"
#define WAIT_MS 5000

static char log_text[8192];

static inline void keep_log(void *arg, enum log_level level, const char *line)
{
	size_t len = strlen(log_text);

	(void)arg;
	(void)level;
	snprintf(log_text + len, sizeof(log_text) - len, "%s\n", line);
}

static inline void run(const char *cmd)
{
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

/* The output of @cmd; static, until the next call. */
static inline const char *output(const char *cmd)
{
	static char text[1 << 20];
	FILE *f = popen(cmd, "r");
	size_t len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	pclose(f);
	return text;
}

static inline void assert_says(const char *cmd, const char *want)
{
	const char *text = output(cmd);

	if (!strstr(text, want))
		fail_msg("%s: no %s in: %s", cmd, want, text);
}

static inline void assert_silent_about(const char *cmd, const char *unwanted)
{
	const char *text = output(cmd);

	if (strstr(text, unwanted))
		fail_msg("%s: %s in: %s", cmd, unwanted, text);
}

static inline void sysctl_put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

static const char *why_not;

static inline bool enter_namespace(void)
{
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		why_not = "/dev/net/tun can't be opened";
	else if (unshare(CLONE_NEWNET) < 0)
		why_not = "no right to a network namespace of our own";
	else
		run("ip link set lo up");
	return !why_not;
}

/* Stands for all the tests where there are no rights to run them. */
static inline void needs_rights(void **state)
{
	(void)state;
	print_message("skipping all of tun: %s\n", why_not);
	skip();
}

static inline int each_setup(void **state)
{
	(void)state;
	log_text[0] = '\0';
	log_tee(keep_log, NULL);
	return 0;
}

static inline struct tun *open_dev(void)
{
	struct tun *t = NULL;

	assert_int_equal(tun_open(&t, DEV, tun_clone_open()), 0);
	assert_non_null(t);
	return t;
}

static inline struct net_addr addr(const char *s)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, s), 0);
	return a;
}

static inline struct tun_route route(const char *prefix, enum tun_route_kind kind)
{
	struct tun_route r = { .kind = kind };

	assert_int_equal(net_prefix_parse(&r.prefix, prefix), 0);
	return r;
}

static inline void await(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

/* ---- packets */

/* RFC 1071, without the last inversion */
static inline uint32_t sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += be16_get(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

#define IP_LEN 20U
#define UDP_LEN 8U

/* Turns a UDP packet into its answer: ends swapped, checksum field holding the pseudo-header's sum. */
static inline void turn_round(uint8_t *p, size_t len)
{
	uint8_t swap[4];
	uint32_t pseudo;

	memcpy(swap, p + 12, 4);
	memcpy(p + 12, p + 16, 4);
	memcpy(p + 16, swap, 4);
	memcpy(swap, p + IP_LEN, 2);
	memcpy(p + IP_LEN, p + IP_LEN + 2, 2);
	memcpy(p + IP_LEN + 2, swap, 2);
	be16_put(p + 10, 0);
	be16_put(p + 10, (uint16_t)~sum_of(p, IP_LEN, 0));
	pseudo = sum_of(p + 12, 8, 17 + (uint32_t)(len - IP_LEN));
	be16_put(p + IP_LEN + 6, (uint16_t)pseudo);
}

#define RUN_IN_NAMESPACE(tests)                                                                    \
	do {                                                                                       \
		const struct CMUnitTest none[] = { cmocka_unit_test(needs_rights) };               \
                                                                                                   \
		if (!enter_namespace())                                                            \
			return cmocka_run_group_tests_name("tun", none, NULL, NULL);               \
		return cmocka_run_group_tests_name("tun", tests, NULL, NULL);                      \
	} while (0)

#endif
