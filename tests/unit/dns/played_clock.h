// SPDX-License-Identifier: MIT
/* played_clock.h - the loop's clock, moved by the test; included by one file of a program */
#ifndef TESTS_UNIT_DNS_PLAYED_CLOCK_H
#define TESTS_UNIT_DNS_PLAYED_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ms = 1000000;

/* A definition of the program's own comes before libc's. Only the loop reads CLOCK_BOOTTIME. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_BOOTTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(clock_ms / 1000);
	ts->tv_nsec = (long)(clock_ms % 1000) * 1000000L;
	return 0;
}

#endif
