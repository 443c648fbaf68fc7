// SPDX-License-Identifier: MIT
/* gateway_test.h - a store in a temporary folder */
#ifndef TESTS_GATEWAY_TEST_H
#define TESTS_GATEWAY_TEST_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gw_store.h"

static inline int test_store_make(char dir[64], struct gw_store **out)
{
	int r;

	strcpy(dir, "/tmp/ssm-tun-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	r = gw_store_create(dir);
	return r < 0 || !out ? r : gw_store_open(out, dir);
}

static inline int test_remove_one(const char *path, const struct stat *st, int type,
				  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void test_dir_remove(const char *dir)
{
	nftw(dir, test_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
