// SPDX-License-Identifier: MIT
/* util.c - the way out for our own bugs */
#include "base/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

void st_bug(const char *file, int line, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_error("bug at %s:%d: %s", file, line, what);
	abort();
}
