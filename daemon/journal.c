// SPDX-License-Identifier: MIT
/* journal.c - a file of its own, since sd-journal.h brings syslog's LOG_INFO, which base/log.h has as its own */
#include "daemon/journal.h"

#include <stdbool.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

int journal_open(const char *identifier)
{
	return sd_journal_stream_fd(identifier, LOG_INFO, true);
}
