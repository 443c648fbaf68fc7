// SPDX-License-Identifier: MIT
/*
 * look.c - asks the C library for names, one line each: name, addresses, or the error
 *
 *   look NAME…
 *
 * Built by a scenario with musl, whose resolver asks all servers of resolv.conf at once for A and AAAA, and takes the first answer.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void show(const struct addrinfo *a)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (a->ai_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a->ai_addr)->sin_addr, text,
			  sizeof(text));
	else if (a->ai_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr, text,
			  sizeof(text));
	printf(" %s", text);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
		struct addrinfo *list = NULL;
		const int r = getaddrinfo(argv[i], NULL, &hints, &list);

		printf("%s", argv[i]);
		for (const struct addrinfo *a = list; a && r == 0; a = a->ai_next)
			show(a);
		if (r != 0)
			printf(" error: %s", gai_strerror(r));
		printf("\n");
		if (list)
			freeaddrinfo(list);
	}
	return 0;
}
