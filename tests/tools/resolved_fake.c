// SPDX-License-Identifier: MIT
/*
 * resolved_fake.c - plays systemd-resolved for tests: its D-Bus interface and, if asked to, its stub resolver
 *
 *   resolved_fake --state FILE [--stub ADDRESS] [--global ADDRESS]… [--conf FILE] [--slow MS] [--refuse]
 *
 * Theory of operation: it owns org.freedesktop.resolve1 on the bus of DBUS_SYSTEM_BUS_ADDRESS. The manager has the signatures of
 * systemd 252 (org.freedesktop.resolve1(5)) and its refusals: who is not uid 0 may change nothing, a link must exist and not be
 * loopback, the root is no search domain, 1024 domains a link. A link's settings go when the link goes. Each change writes FILE (JSON, replaced
 * by rename); --conf FILE is /run/systemd/resolve/resolv.conf. "ready" is printed once the name is owned and the stub bound.
 * The stub (resolved_fake_stub.c) sends a name to the links whose domain is the longest suffix of it, else to the default routes.
 *
 * --slow: a setter is answered that much later, and nothing else is done meanwhile. --refuse: every setter is refused.
 */
#include "resolved_fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#define MANAGER "/org/freedesktop/resolve1"
#define INTERFACE "org.freedesktop.resolve1.Manager"
#define LINKS MANAGER "/link"
#define NO_SUCH_LINK "org.freedesktop.resolve1.NoSuchLink"
#define LINK_BUSY "org.freedesktop.resolve1.LinkBusy"

static const char *const setting_names[] = { "llmnr", "mdns", "dns_over_tls", "dnssec" };

bool fake_server_set(struct fake_server *s, int family, const void *bytes, size_t size,
		     uint16_t port)
{
	*s = (struct fake_server){ .family = family, .size = size };
	if (port == 0)
		port = 53;
	if (family == AF_INET && size == 4) {
		s->to.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&s->to.in.sin_addr, bytes, size);
		s->len = sizeof(s->to.in);
	} else if (family == AF_INET6 && size == 16) {
		s->to.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
						   .sin6_port = htons(port) };
		memcpy(&s->to.in6.sin6_addr, bytes, size);
		s->len = sizeof(s->to.in6);
	} else {
		return false;
	}
	memcpy(s->bytes, bytes, size);
	return true;
}

/* ---- the state, on disk ---- */

static json_t *servers_json(const struct fake_link *l)
{
	json_t *list = json_array();
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < l->n_servers; i++)
		json_array_append_new(
			list, json_string(inet_ntop(l->servers[i].family, l->servers[i].bytes, text,
						    sizeof(text))));
	return list;
}

static json_t *domains_json(const struct fake_link *l)
{
	json_t *list = json_array();
	char text[FAKE_NAME + 1];

	for (size_t i = 0; i < l->n_domains; i++) {
		const char *name = l->domains[i].name;

		snprintf(text, sizeof(text), "%s%s", l->domains[i].route_only ? "~" : "",
			 *name ? name : ".");
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *link_json(const struct fake_link *l)
{
	json_t *o = json_pack("{s:i, s:s, s:o, s:o}", "ifindex", l->ifindex, "name", l->ifname,
			      "dns", servers_json(l), "domains", domains_json(l));

	json_object_set_new(o, "default_route",
			    l->default_route < 0 ? json_null() : json_boolean(l->default_route));
	for (size_t i = 0; i < 4; i++)
		json_object_set_new(o, setting_names[i],
				    l->settings[i][0] ? json_string(l->settings[i]) : json_null());
	return o;
}

static void write_conf(const struct fake *f)
{
	char text[INET6_ADDRSTRLEN];
	FILE *out = f->conf_path ? fopen(f->conf_path, "w") : NULL;

	if (!out)
		return;
	for (size_t i = 0; i <= f->n_links; i++) {
		const struct fake_link *l = i == 0 ? &f->global : f->links[i - 1];

		for (size_t k = 0; k < l->n_servers; k++)
			fprintf(out, "nameserver %s\n",
				inet_ntop(l->servers[k].family, l->servers[k].bytes, text,
					  sizeof(text)));
	}
	fclose(out);
}

static void write_state(struct fake *f)
{
	json_t *root, *links = json_object();
	char path[4096];

	for (size_t i = 0; i < f->n_links; i++)
		json_object_set_new(links, f->links[i]->ifname, link_json(f->links[i]));
	root = json_pack("{s:o, s:i, s:i, s:i, s:i}", "links", links, "flushes", (int)f->flushes,
			 "refused", (int)f->refused, "changes", (int)f->changes, "pid",
			 (int)getpid());
	snprintf(path, sizeof(path), "%s.tmp", f->state_path);
	if (json_dump_file(root, path, JSON_INDENT(1) | JSON_SORT_KEYS) < 0 ||
	    rename(path, f->state_path) < 0)
		fprintf(stderr, "resolved_fake: write %s: %s\n", f->state_path, strerror(errno));
	json_decref(root);
	write_conf(f);
}

/* ---- links ---- */

static void clear_domains(struct fake_link *l)
{
	while (l->n_domains > 0)
		free(l->domains[--l->n_domains].name);
}

static void drop_link(struct fake *f, size_t i)
{
	clear_domains(f->links[i]);
	free(f->links[i]);
	f->links[i] = f->links[--f->n_links];
}

static void drop_gone(struct fake *f)
{
	char name[IF_NAMESIZE];
	size_t before = f->n_links;

	for (size_t i = f->n_links; i-- > 0;)
		if (!if_indextoname((unsigned)f->links[i]->ifindex, name))
			drop_link(f, i);
	if (f->n_links != before)
		write_state(f);
}

static struct fake_link *find_link(struct fake *f, int ifindex)
{
	for (size_t i = 0; i < f->n_links; i++)
		if (f->links[i]->ifindex == ifindex)
			return f->links[i];
	return NULL;
}

/* The link of a setter, made if it has none yet. Return: NULL with *@error set */
static struct fake_link *link_of(struct fake *f, int ifindex, sd_bus_error *error)
{
	struct fake_link *l;
	char name[IF_NAMESIZE];

	drop_gone(f);
	if (ifindex <= 0 || !if_indextoname((unsigned)ifindex, name)) {
		sd_bus_error_setf(error, NO_SUCH_LINK, "Link %i not known", ifindex);
		return NULL;
	}
	if (strcmp(name, "lo") == 0) {
		sd_bus_error_setf(error, LINK_BUSY, "Link %s is loopback device.", name);
		return NULL;
	}
	if ((l = find_link(f, ifindex)))
		return l;
	if (f->n_links == FAKE_LINKS || !(l = calloc(1, sizeof(*l)))) {
		sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many links");
		return NULL;
	}
	l->ifindex = ifindex;
	l->default_route = -1;
	memcpy(l->ifname, name, sizeof(name));
	f->links[f->n_links++] = l;
	return l;
}

/* ---- who may, and how slow ---- */

static int may_change(struct fake *f, sd_bus_message *m, sd_bus_error *error)
{
	sd_bus_creds *creds = NULL;
	uid_t uid = (uid_t)-1;
	int r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds);

	if (r >= 0)
		r = sd_bus_creds_get_euid(creds, &uid);
	sd_bus_creds_unref(creds);
	if (f->slow_ms > 0)
		usleep(f->slow_ms * 1000);
	if (r >= 0 && uid == 0 && !f->refuse)
		return 0;
	f->refused++;
	write_state(f);
	return sd_bus_error_set(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
				"Interactive authentication required.");
}

/* Reads the ifindex in front of a setter's arguments, after asking whether the sender may. */
static int setter_link(struct fake *f, sd_bus_message *m, sd_bus_error *error,
		       struct fake_link **out)
{
	int ifindex, r = may_change(f, m, error);

	if (r < 0)
		return r;
	if ((r = sd_bus_message_read(m, "i", &ifindex)) < 0)
		return r;
	*out = link_of(f, ifindex, error);
	return *out ? 0 : -ENOENT;
}

static int changed(struct fake *f, sd_bus_message *m)
{
	f->changes++;
	write_state(f);
	return sd_bus_reply_method_return(m, "");
}

/* ---- the setters ---- */

/* a(iay), or a(iayqs) with @ex */
static int read_servers(sd_bus_message *m, bool ex, struct fake_server *out, size_t *n)
{
	int r = sd_bus_message_enter_container(m, 'a', ex ? "(iayqs)" : "(iay)");

	*n = 0;
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'r', ex ? "iayqs" : "iay")) > 0) {
		const char *sni;
		const void *bytes;
		uint16_t port = 0;
		int family;
		size_t size;

		if ((r = sd_bus_message_read(m, "i", &family)) < 0 ||
		    (r = sd_bus_message_read_array(m, 'y', &bytes, &size)) < 0 ||
		    (ex && (r = sd_bus_message_read(m, "qs", &port, &sni)) < 0) ||
		    (r = sd_bus_message_exit_container(m)) < 0)
			return r;
		if (*n == FAKE_SERVERS)
			return -E2BIG;
		if (!fake_server_set(&out[(*n)++], family, bytes, size, port))
			return -EINVAL;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int set_servers(sd_bus_message *m, struct fake *f, sd_bus_error *error, bool ex)
{
	struct fake_server servers[FAKE_SERVERS];
	struct fake_link *l;
	size_t n;
	int r;

	if ((r = setter_link(f, m, error, &l)) < 0)
		return r;
	if (read_servers(m, ex, servers, &n) < 0)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Invalid DNS server");
	memcpy(l->servers, servers, sizeof(servers));
	l->n_servers = n;
	return changed(f, m);
}

static int set_dns(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_servers(m, arg, error, false);
}

static int set_dns_ex(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_servers(m, arg, error, true);
}

static bool domain_ok(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len == 0 || len >= FAKE_NAME)
		return false;
	for (const char *p = name; *p; p++) {
		if (*p == '.' && label == 0 && len > 1)
			return false;
		label = *p == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return true;
}

static int add_domain(struct fake_link *l, const char *name, bool route_only, sd_bus_error *error)
{
	size_t len = strlen(name);

	if (!domain_ok(name))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "Invalid search domain %s", name);
	if (!route_only && strcmp(name, ".") == 0)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"Root domain is not suitable as search domain");
	if (l->n_domains == FAKE_DOMAINS)
		return -E2BIG;
	if (name[len - 1] == '.')
		len--;
	l->domains[l->n_domains].name = strndup(name, len);
	l->domains[l->n_domains++].route_only = route_only;
	return 0;
}

static int set_domains(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct fake *f = arg;
	struct fake_link *l;
	const char *name;
	int r, route_only;

	if ((r = setter_link(f, m, error, &l)) < 0 ||
	    (r = sd_bus_message_enter_container(m, 'a', "(sb)")) < 0)
		return r;
	clear_domains(l);
	while ((r = sd_bus_message_read(m, "(sb)", &name, &route_only)) > 0)
		if ((r = add_domain(l, name, route_only, error)) < 0) {
			clear_domains(l);
			return r;
		}
	return r < 0 ? r : changed(f, m);
}

static int set_default_route(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct fake_link *l;
	int r = setter_link(arg, m, error, &l), on;

	if (r < 0 || (r = sd_bus_message_read(m, "b", &on)) < 0)
		return r;
	l->default_route = on;
	return changed(arg, m);
}

static int set_setting(sd_bus_message *m, void *arg, sd_bus_error *error, size_t which)
{
	struct fake_link *l;
	const char *value;
	int r = setter_link(arg, m, error, &l);

	if (r < 0 || (r = sd_bus_message_read(m, "s", &value)) < 0)
		return r;
	if (strlen(value) >= sizeof(l->settings[which]))
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Invalid setting");
	memcpy(l->settings[which], value, strlen(value) + 1);
	return changed(arg, m);
}

static int set_llmnr(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_setting(m, arg, error, 0);
}

static int set_mdns(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_setting(m, arg, error, 1);
}

static int set_dns_over_tls(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_setting(m, arg, error, 2);
}

static int set_dnssec(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	return set_setting(m, arg, error, 3);
}

static int revert_link(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct fake *f = arg;
	struct fake_link *l;
	int r = setter_link(f, m, error, &l);

	if (r < 0)
		return r;
	for (size_t i = 0; i < f->n_links; i++)
		if (f->links[i] == l) {
			drop_link(f, i);
			break;
		}
	return changed(f, m);
}

static int flush_caches(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	struct fake *f = arg;

	(void)error;
	f->flushes++;
	write_state(f);
	return sd_bus_reply_method_return(m, "");
}

static int get_link(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	char text[16], *path = NULL;
	int ifindex, r = sd_bus_message_read(m, "i", &ifindex);

	if (r < 0)
		return r;
	if (!link_of(arg, ifindex, error))
		return -ENOENT;
	snprintf(text, sizeof(text), "%d", ifindex);
	if ((r = sd_bus_path_encode(LINKS, text, &path)) >= 0)
		r = sd_bus_reply_method_return(m, "o", path);
	free(path);
	return r;
}

/* ---- properties ---- */

static int append_servers(sd_bus_message *reply, const struct fake_link *l, bool with_link, bool ex)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < l->n_servers; i++) {
		const struct fake_server *s = &l->servers[i];

		r = sd_bus_message_open_container(
			reply, 'r', with_link ? (ex ? "iiayqs" : "iiay") : (ex ? "iayqs" : "iay"));
		if (r >= 0 && with_link)
			r = sd_bus_message_append(reply, "i", l->ifindex);
		if (r >= 0)
			r = sd_bus_message_append(reply, "i", s->family);
		if (r >= 0)
			r = sd_bus_message_append_array(reply, 'y', s->bytes, s->size);
		if (r >= 0 && ex)
			r = sd_bus_message_append(reply, "qs", 0, "");
		if (r >= 0)
			r = sd_bus_message_close_container(reply);
	}
	return r;
}

static int all_servers(sd_bus_message *reply, struct fake *f, bool ex)
{
	int r = sd_bus_message_open_container(reply, 'a', ex ? "(iiayqs)" : "(iiay)");

	if (r >= 0)
		r = append_servers(reply, &f->global, true, ex);
	for (size_t i = 0; r >= 0 && i < f->n_links; i++)
		r = append_servers(reply, f->links[i], true, ex);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_dns(sd_bus *bus, const char *path, const char *interface, const char *property,
		   sd_bus_message *reply, void *arg, sd_bus_error *error)
{
	(void)bus, (void)path, (void)interface, (void)error;
	drop_gone(arg);
	return all_servers(reply, arg, strcmp(property, "DNSEx") == 0);
}

static int get_current(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *arg, sd_bus_error *error)
{
	struct fake *f = arg;
	struct fake_link first = f->global;

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	if (first.n_servers == 0)
		return sd_bus_message_append(reply, "(iiay)", 0, 0, 0);
	first.n_servers = 1;
	return append_servers(reply, &first, true, false);
}

static int get_domains(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *arg, sd_bus_error *error)
{
	struct fake *f = arg;
	int r = sd_bus_message_open_container(reply, 'a', "(isb)");

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	for (size_t i = 0; i < f->n_links; i++)
		for (size_t k = 0; r >= 0 && k < f->links[i]->n_domains; k++) {
			const struct fake_domain *d = &f->links[i]->domains[k];

			r = sd_bus_message_append(reply, "(isb)", f->links[i]->ifindex,
						  *d->name ? d->name : ".", d->route_only);
		}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_link_dns(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *arg, sd_bus_error *error)
{
	int r = sd_bus_message_open_container(reply, 'a', "(iay)");

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	if (r >= 0)
		r = append_servers(reply, arg, false, false);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_link_domains(sd_bus *bus, const char *path, const char *interface,
			    const char *property, sd_bus_message *reply, void *arg,
			    sd_bus_error *error)
{
	struct fake_link *l = arg;
	int r = sd_bus_message_open_container(reply, 'a', "(sb)");

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	for (size_t k = 0; r >= 0 && k < l->n_domains; k++)
		r = sd_bus_message_append(reply, "(sb)",
					  *l->domains[k].name ? l->domains[k].name : ".",
					  l->domains[k].route_only);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_link_default(sd_bus *bus, const char *path, const char *interface,
			    const char *property, sd_bus_message *reply, void *arg,
			    sd_bus_error *error)
{
	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	return sd_bus_message_append(reply, "b", ((struct fake_link *)arg)->default_route != 0);
}

static int find_link_object(sd_bus *bus, const char *path, const char *interface, void *arg,
			    void **found, sd_bus_error *error)
{
	char *text = NULL;
	int r = sd_bus_path_decode(path, LINKS, &text);

	(void)bus, (void)interface, (void)error;
	if (r <= 0)
		return r;
	*found = find_link(arg, atoi(text));
	free(text);
	return *found ? 1 : 0;
}

#define SETTER(name, signature, fn)                                                                \
	SD_BUS_METHOD(name, signature, "", fn, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SETTER("SetLinkDNS", "ia(iay)", set_dns),
	SETTER("SetLinkDNSEx", "ia(iayqs)", set_dns_ex),
	SETTER("SetLinkDomains", "ia(sb)", set_domains),
	SETTER("SetLinkDefaultRoute", "ib", set_default_route),
	SETTER("SetLinkLLMNR", "is", set_llmnr),
	SETTER("SetLinkMulticastDNS", "is", set_mdns),
	SETTER("SetLinkDNSOverTLS", "is", set_dns_over_tls),
	SETTER("SetLinkDNSSEC", "is", set_dnssec),
	SETTER("RevertLink", "i", revert_link),
	SETTER("FlushCaches", "", flush_caches),
	SD_BUS_METHOD("GetLink", "i", "o", get_link, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("ResolveHostname", "isit", "a(iiay)st", fake_lookup,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("DNS", "a(iiay)", get_dns, 0, 0),
	SD_BUS_PROPERTY("DNSEx", "a(iiayqs)", get_dns, 0, 0),
	SD_BUS_PROPERTY("CurrentDNSServer", "(iiay)", get_current, 0, 0),
	SD_BUS_PROPERTY("Domains", "a(isb)", get_domains, 0, 0),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable link_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("DNS", "a(iay)", get_link_dns, 0, 0),
	SD_BUS_PROPERTY("Domains", "a(sb)", get_link_domains, 0, 0),
	SD_BUS_PROPERTY("DefaultRoute", "b", get_link_default, 0, 0),
	SD_BUS_VTABLE_END,
};

/* ---- start ---- */

static int on_link_change(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	char room[8192];

	(void)source, (void)events;
	while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
	drop_gone(arg);
	return 0;
}

static int watch_links(struct fake *f)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return sd_event_add_io(f->event, NULL, fd, EPOLLIN, on_link_change, f);
}

static int start_bus(struct fake *f)
{
	int r;

	if ((r = sd_event_default(&f->event)) < 0 || (r = sd_bus_open_system(&f->bus)) < 0 ||
	    (r = sd_bus_attach_event(f->bus, f->event, 0)) < 0 ||
	    (r = sd_bus_add_object_vtable(f->bus, NULL, MANAGER, INTERFACE, manager_vtable, f)) <
		    0 ||
	    (r = sd_bus_add_fallback_vtable(f->bus, NULL, LINKS, "org.freedesktop.resolve1.Link",
					    link_vtable, find_link_object, f)) < 0 ||
	    (r = watch_links(f)) < 0)
		return r;
	write_state(f);
	return sd_bus_request_name(f->bus, "org.freedesktop.resolve1", 0);
}

static bool add_global(struct fake *f, const char *text)
{
	struct fake_link *l = &f->global;
	uint8_t bytes[16];
	bool v6 = strchr(text, ':') != NULL;

	return l->n_servers < FAKE_SERVERS &&
	       inet_pton(v6 ? AF_INET6 : AF_INET, text, bytes) == 1 &&
	       fake_server_set(&l->servers[l->n_servers++], v6 ? AF_INET6 : AF_INET, bytes,
			       v6 ? 16 : 4, 0);
}

static int usage(void)
{
	fprintf(stderr, "usage: resolved_fake --state FILE [--stub ADDRESS] [--global ADDRESS]... "
			"[--conf FILE] [--slow MS] [--refuse]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 's' },
		{ "stub", required_argument, NULL, 'l' },
		{ "global", required_argument, NULL, 'g' },
		{ "conf", required_argument, NULL, 'c' },
		{ "slow", required_argument, NULL, 'w' },
		{ "refuse", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	static struct fake f = { .stub_fd = -1, .global = { .default_route = 1 } };
	const char *stub = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 's': f.state_path = optarg; break;
		case 'l': stub = optarg; break;
		case 'c': f.conf_path = optarg; break;
		case 'w': f.slow_ms = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': f.refuse = true; break;
		case 'g':
			if (!add_global(&f, optarg))
				return usage();
			break;
		default: return usage();
		}
	}
	if (!f.state_path || optind != argc)
		return usage();
	if ((r = start_bus(&f)) < 0) {
		fprintf(stderr, "resolved_fake: bus: %s\n", strerror(-r));
		return 1;
	}
	if (stub && fake_stub_open(&f, stub) < 0) {
		fprintf(stderr, "resolved_fake: %s: %s\n", stub, strerror(errno));
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	return sd_event_loop(f.event) < 0 ? 1 : 0;
}
