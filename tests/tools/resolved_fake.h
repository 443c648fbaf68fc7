// SPDX-License-Identifier: MIT
/* resolved_fake.h - what the two files of the fake systemd-resolved share; see resolved_fake.c */
#ifndef TESTS_TOOLS_RESOLVED_FAKE_H
#define TESTS_TOOLS_RESOLVED_FAKE_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define FAKE_LINKS 32U
#define FAKE_SERVERS 8U	   /* of a link; the real one takes 256 */
#define FAKE_DOMAINS 1024U /* of a link; LINK_SEARCH_DOMAINS_MAX of the real one */
#define FAKE_NAME 256U

struct fake_server {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	socklen_t len;
	int family;
	uint8_t bytes[16];
	size_t size;
};

struct fake_domain {
	char *name;	 /* without the last dot; "" is the root */
	bool route_only; /* "~name" */
};

/* A link, or the global scope (ifindex 0). */
struct fake_link {
	int ifindex;
	char ifname[IF_NAMESIZE];
	struct fake_server servers[FAKE_SERVERS];
	size_t n_servers;
	struct fake_domain domains[FAKE_DOMAINS];
	size_t n_domains;
	int default_route;    /* -1: not said */
	char settings[4][32]; /* LLMNR, MulticastDNS, DNSOverTLS, DNSSEC; "": the default */
};

struct fake {
	sd_event *event;
	sd_bus *bus;
	struct fake_link global, *links[FAKE_LINKS];
	size_t n_links;
	unsigned flushes, refused, changes;
	const char *state_path, *conf_path;
	unsigned slow_ms;
	bool refuse;
	int stub_fd;
};

/* The whole answer to a question, or @len 0 if nobody answered. */
typedef void fake_done(void *arg, const uint8_t *msg, size_t len);

/** fake_ask() - forwards the @len bytes of a query for @name to the servers of the best matching links; @done comes once, from the loop */
int fake_ask(struct fake *f, const char *name, const uint8_t *query, size_t len, fake_done *done,
	     void *arg);
/** fake_stub_open() - answers queries on UDP @text:53. Return: 0; -1 and errno */
int fake_stub_open(struct fake *f, const char *text);
/** fake_lookup() - the D-Bus method ResolveHostname */
int fake_lookup(sd_bus_message *m, void *arg, sd_bus_error *error);
bool fake_server_set(struct fake_server *s, int family, const void *bytes, size_t size,
		     uint16_t port);

#endif
