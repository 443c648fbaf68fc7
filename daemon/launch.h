// SPDX-License-Identifier: MIT
/*
 * launch.h - `up -d`: the starter waits until the tunnel is really up, then leaves the daemon alone
 *
 * Also the daemon's log after that (the journal if it is there, else a file of 10 MiB with one predecessor), and sd_notify.
 */
#ifndef DAEMON_LAUNCH_H
#define DAEMON_LAUNCH_H

#include <stdbool.h>

#include "daemon/state.h"

struct launch {
	int report_fd; /* to the starter; -1: none or told already */
};

/**
 * launch_detach() - fork; the child returns and goes on as the daemon, the parent waits and exits with what the
 * child reports (1 if it dies without a word)
 * Return: 0 in the child; ST_ESYS
 */
int launch_detach(struct launch *l);

/**
 * launch_ready() - tell the starter and systemd; when detached, move the log and leave the terminal
 * Return: the descriptor that the log goes to from now on, for the helper processes (borrowed); -1: where it was
 */
int launch_ready(struct launch *l, const struct state_paths *paths, const char *summary);
/** launch_stopping() - tell systemd; a starter that still waits learns @status */
void launch_stopping(struct launch *l, int status);

#endif
