// SPDX-License-Identifier: MIT
/* ns_port.c - what port/arch/cc.h promises to lwIP */
#include <arch/cc.h>

#include "base/codec.h"
#include "base/util.h"

void ns_lwip_assert(const char *what, const char *file, int line)
{
	st_bug(file, line, "lwIP: %s", what);
}

uint32_t ns_lwip_rand(void)
{
	uint32_t v;

	codec_random(&v, sizeof(v));
	return v;
}
