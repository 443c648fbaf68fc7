// SPDX-License-Identifier: MIT
/* gw_signal.h - SIGTERM and SIGINT stop a loop; for both programs of this folder */
#ifndef GATEWAY_GW_SIGNAL_H
#define GATEWAY_GW_SIGNAL_H

#include "base/loop.h"

struct gw_signals {
	struct loop *loop; /* NULL: not open */
	loop_watch watch;
	int fd;
};

/** gw_signals_open() - also ignores SIGPIPE. Return: 0; ST_ESYS (logged). @s is placed by the caller until _close() */
int gw_signals_open(struct gw_signals *s, struct loop *loop);
void gw_signals_close(struct gw_signals *s); /* not open is fine if it is all zero */

#endif
