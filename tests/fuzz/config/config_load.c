// SPDX-License-Identifier: MIT
/* config_load.c - any bytes as a configuration file: no crash, no leak, and what loads can be shown */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "config/config_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cfg_file file = { .path = "/d/f", .st = { .st_mode = S_IFREG | 0600 } };
	static const struct cfg_flag flags[] = { { "upstreams.p.aws.region", "r" },
						 { "tun.name", "t" } };
	static struct cfg_report report;
	const struct cfg_opts opts = { .home = "/h",
				       .flags = flags,
				       .n_flags = size & 1 ? ARRAY_LEN(flags) : 0 };
	struct config *c = NULL;
	static char shown[65536]; /* a longer text is cut: that it can be made is the point */
	FILE *to;
	int err = cfg_load_text(&c, &opts, &report, &file, (const char *)data, size);

	if ((err == 0) != (c != NULL) || (err == 0) != (report.n_errors == 0))
		abort();
	if (!(to = fmemopen(shown, sizeof(shown), "w")))
		abort();
	cfg_report_print(&report, to);
	if (c)
		cfg_show(c, to);
	fclose(to);
	cfg_free(c);
	return 0;
}
