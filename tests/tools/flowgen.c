// SPDX-License-Identifier: MIT
/*
 * flowgen.c - TCP traffic whose every byte is checked, and its speed
 *
 *   flowgen serve ADDRESS PORT                                      a thread per connection; "ready" on stdout
 *   flowgen xfer ADDRESS PORT [--up N] [--down N] [-n FLOWS] [--rate BYTES/S] [--no-digest]
 *   flowgen echo ADDRESS PORT [--count N] [--interval-us T]         1 byte there and back: percentiles
 *   flowgen connect ADDRESS PORT [--count N] [-n AT-ONCE]           connections a second, each with one byte echoed
 *
 * A client prints one JSON object. Exit status: 0 if everything that was sent arrived as it was.
 */
#include "tests/tools/flowgen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double fg_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int fg_address(struct sockaddr_storage *ss, socklen_t *len, const char *address, const char *port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	unsigned long p = strtoul(port, NULL, 10);

	memset(ss, 0, sizeof(*ss));
	if (p > 0 && p < 65536 && inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
		v4.sin_port = htons((uint16_t)p);
		memcpy(ss, &v4, sizeof(v4));
		*len = sizeof(v4);
		return 0;
	}
	if (p > 0 && p < 65536 && inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
		v6.sin6_port = htons((uint16_t)p);
		memcpy(ss, &v6, sizeof(v6));
		*len = sizeof(v6);
		return 0;
	}
	fprintf(stderr, "flowgen: %s %s is no address and port\n", address, port);
	return -1;
}

/* A descriptor a connection. */
static void raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return fg_serve(argv[2], argv[3]);
	if (argc >= 4)
		return fg_client(argc, argv);
	fputs("flowgen: serve|xfer|echo|connect ADDRESS PORT [options]; see flowgen.c\n", stderr);
	return 2;
}
