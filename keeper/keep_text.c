// SPDX-License-Identifier: MIT
/*
 * keep_text.c - resolv.conf and nsswitch.conf as text
 *
 * Theory of operation: what we add is, each behind a comment line that begins with MARK, one "nameserver" line at the top and
 * "options timeout:1" at the end (the last one counts). One server of ours, though we may have two: glibc and musl read three at most, and
 * the former ones are what names resolve by when we are gone. Where nobody is named, these libraries ask 127.0.0.1; our line would
 * end that, so it is named, too. Taking out goes by those comments: a marked line and
 * its comment go, everything else stays as it is. So whatever others did to the file meanwhile, what is theirs is kept. Who rewrites the
 * file and drops comments may keep our server: a "nameserver" line with its very address goes, too.
 */
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "keeper/keep_dns.h"

#define MARK "# ssm-tun: "
#define BLANKS " \t"

/* One line without its end; *@at moves behind it. Return: false at the end of @in */
static bool next_line(const struct buf *in, size_t *at, const char **line, size_t *len)
{
	const char *text = (const char *)buf_data(in);
	const char *end;

	if (*at >= in->len)
		return false;
	*line = text + *at;
	end = memchr(*line, '\n', in->len - *at);
	*len = end ? (size_t)(end - *line) : in->len - *at;
	*at += *len + (end != NULL);
	return true;
}

static bool starts(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* The address of a "nameserver" line. */
static bool server_of(struct net_addr *out, const char *line, size_t len)
{
	static const char word[] = "nameserver";
	char text[NET_ADDR_STR];
	size_t at = sizeof(word) - 1, n;

	if (!starts(line, len, word) || at == len || !strchr(BLANKS, line[at]))
		return false;
	while (at < len && strchr(BLANKS, line[at]))
		at++;
	for (n = 0; at + n < len && line[at + n] != '\0' && !strchr(BLANKS "\r", line[at + n]);)
		n++;
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, line + at, n);
	text[n] = '\0';
	return net_addr_parse(out, text) == 0;
}

static bool is_own_server(const char *line, size_t len, const struct net_addr *servers)
{
	struct net_addr a;

	if (!server_of(&a, line, len))
		return false;
	for (size_t i = 0; i < KEEP_SERVERS; i++)
		if (servers[i].family != 0 && net_addr_eq(&a, &servers[i]))
			return true;
	return false;
}

/* May a line behind a mark be ours? Not what others put there. */
static bool may_be_marked(const char *line, size_t len)
{
	struct net_addr a;

	return server_of(&a, line, len) || starts(line, len, "options timeout:1");
}

int keep_text_strip(struct buf *out, const struct buf *in,
		    const struct net_addr servers[KEEP_SERVERS])
{
	const char *line;
	size_t at = 0, start = 0, len;
	bool marked = false;
	int r = 0;

	for (; r == 0 && next_line(in, &at, &line, &len); start = at) {
		bool ours = (marked && may_be_marked(line, len)) ||
			    is_own_server(line, len, servers);

		marked = starts(line, len, MARK);
		if (!marked && !ours)
			r = buf_put(out, line, at - start);
	}
	return r;
}

bool keep_text_names_any(const struct buf *in)
{
	static const char word[] = "nameserver";
	const char *line;
	size_t at = 0, len;

	while (next_line(in, &at, &line, &len))
		if (starts(line, len, word) && len >= sizeof(word) &&
		    strchr(BLANKS, line[sizeof(word) - 1]))
			return true;
	return false;
}

bool keep_text_has_ours(const struct buf *in)
{
	const char *line;
	size_t at = 0, len;

	while (next_line(in, &at, &line, &len))
		if (starts(line, len, MARK))
			return true;
	return false;
}

int keep_text_make(struct buf *out, const struct buf *former, const char *name,
		   const struct net_addr servers[KEEP_SERVERS])
{
	const uint8_t *text = buf_data(former);
	const struct net_addr *server = &servers[servers[0].family == 0];
	char addr[NET_ADDR_STR];
	int r = 0;

	if (server->family != 0)
		r = buf_printf(out,
			       MARK "\"%s\" is up; names resolve without the next line, too, "
				    "and \"ssm-tun down\" takes it out\nnameserver %s\n",
			       name, net_addr_str(addr, server));
	if (r == 0)
		r = buf_put(out, text, former->len);
	if (r == 0 && former->len > 0 && text[former->len - 1] != '\n')
		r = buf_put(out, "\n", 1);
	if (r == 0 && !keep_text_names_any(former))
		r = buf_printf(out, MARK "who is asked where nobody is named\nnameserver %s\n",
			       KEEP_NOBODY);
	if (r == 0)
		r = buf_printf(out, MARK "the same, for the next line\noptions timeout:1\n");
	return r;
}

uint32_t keep_text_servers(struct net_addr *out, uint32_t cap, const struct buf *in)
{
	const char *line;
	size_t at = 0, len;
	uint32_t n = 0;

	while (n < cap && next_line(in, &at, &line, &len))
		if (server_of(&out[n], line, len))
			n++;
	return n;
}

/* "hosts: files resolve [!UNAVAIL=return] dns": the words in their order, up to one of the two. */
static bool resolve_before_dns(const char *line, size_t len)
{
	while (len > 0) {
		size_t n = 0;

		while (n < len && !strchr(BLANKS, line[n]))
			n++;
		if (n == 7 && memcmp(line, "resolve", n) == 0)
			return true;
		if (n == 3 && memcmp(line, "dns", n) == 0)
			return false;
		n += n < len;
		line += n, len -= n;
	}
	return false;
}

bool keep_text_nss_resolve(const struct buf *in)
{
	static const char word[] = "hosts:";
	const char *line;
	size_t at = 0, len;

	while (next_line(in, &at, &line, &len)) {
		while (len > 0 && strchr(BLANKS, *line))
			line++, len--;
		if (starts(line, len, word))
			return resolve_before_dns(line + sizeof(word) - 1,
						  len - (sizeof(word) - 1));
	}
	return false;
}
