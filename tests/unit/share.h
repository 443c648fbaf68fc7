// SPDX-License-Identifier: MIT
/*
 * share.h - a list of cases that mostly wait, as several processes at once
 *
 * Theory of operation: st_unit_test(... SHARES n) registers the program n times, the k-th with SHARE=k/n in its environment. Such
 * a process runs the k-th of every n cases, with a fixture of its own, so that each case runs in one of them. Without the
 * variable, as by hand, the program runs them all. Needs cmocka.h and what it asks for before.
 */
#ifndef TESTS_UNIT_SHARE_H
#define TESTS_UNIT_SHARE_H

#include <stdio.h>
#include <stdlib.h>

#define SHARE_CASES_MAX 128U /* ours: beyond any list */

/** share_run() - as cmocka_run_group_tests_name(), of this process's share. Return: the number of cases that failed. */
static inline int share_run(const char *name, const struct CMUnitTest *tests, size_t count,
			    CMFixtureFunction setup, CMFixtureFunction teardown)
{
	static struct CMUnitTest mine[SHARE_CASES_MAX];
	const char *share = getenv("SHARE");
	unsigned k = 1, n = 1;
	size_t kept = 0;

	if (share && (sscanf(share, "%u/%u", &k, &n) != 2 || k < 1 || k > n)) {
		fprintf(stderr, "SHARE=%s is not k/n\n", share);
		return 1;
	}
	for (size_t i = k - 1; i < count && kept < SHARE_CASES_MAX; i += n)
		mine[kept++] = tests[i];
	if (kept != (count + n - k) / n) {
		fprintf(stderr, "%zu cases are more than SHARE_CASES_MAX\n", count);
		return 1;
	}
	return _cmocka_run_group_tests(name, mine, kept, setup, teardown);
}

#define share_run_tests(name, tests, setup, teardown)                                              \
	share_run(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#endif
