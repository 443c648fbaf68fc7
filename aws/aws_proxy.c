// SPDX-License-Identifier: MIT
/*
 * aws_proxy.c - which proxy a connection takes, for API calls and the WebSocket alike
 *
 * Theory of operation: as botocore, which asks Python's urllib: https_proxy or http_proxy by the URL's scheme, the name in lower
 * case first; no_proxy is a list of names apart by commas, each for itself and what ends in it; no networks, no
 * ALL_PROXY. Two differences: "::1" may stand without brackets, and what is fetched from loopback or link-local addresses
 * (container, IMDS) never takes a proxy, since it is this machine that is meant.
 * Source: CPython 3.11 urllib/request.py getproxies_environment(), proxy_bypass_environment(); botocore httpsession.py
 * ProxyConfiguration, utils.py get_environ_proxies()
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/log.h"

/* One entry of NO_PROXY: the name itself or what ends in ".name"; with a port if the entry has one. */
static bool entry_covers(const char *entry, size_t len, const char *const forms[3])
{
	while (len && *entry == '.') {
		entry++;
		len--;
	}
	for (size_t i = 0; len && i < 3; i++) {
		size_t whole = strlen(forms[i]);
		const char *tail;

		if (whole < len)
			continue;
		tail = forms[i] + whole - len;
		if (strncasecmp(tail, entry, len) == 0 && (whole == len || tail[-1] == '.'))
			return true;
	}
	return false;
}

static bool is_bypassed(const char *list, bool tls, const char *host, uint16_t port)
{
	const bool is_v6 = strchr(host, ':') != NULL;
	char bracketed[AWS_HOST_MAX + 2], with_port[AWS_HOST_MAX + 10];
	const char *const forms[3] = { host, bracketed, with_port };

	if (strcmp(list, "*") == 0)
		return true;
	snprintf(bracketed, sizeof(bracketed), is_v6 ? "[%s]" : "%s", host);
	snprintf(with_port, sizeof(with_port), "%s", bracketed);
	if (port != (tls ? 443 : 80)) /* urllib sees a port only where the URL has one */
		snprintf(with_port, sizeof(with_port), "%s:%u", bracketed, port);
	while (*list) {
		const size_t whole = strcspn(list, ",");
		const char *start = list + strspn(list, " \t\r\n");
		const char *end = list + whole;

		while (end > start && strchr(" \t\r\n", end[-1]))
			end--;
		if (end > start && entry_covers(start, (size_t)(end - start), forms))
			return true;
		list += whole + (list[whole] == ',');
	}
	return false;
}

/* The lower-case name wins, also when it is set to nothing. */
static const char *env_either(const struct aws *a, const char *lower, const char *upper)
{
	const char *value = a->getenv ? a->getenv(a->getenv_ctx, lower) : NULL;

	if (!value && a->getenv)
		value = a->getenv(a->getenv_ctx, upper);
	return value && *value ? value : NULL;
}

int aws_proxy_find(char **out, const struct aws *a, bool tls, const char *host, uint16_t port)
{
	const char *url = tls ? env_either(a, "https_proxy", "HTTPS_PROXY")
			      : env_either(a, "http_proxy", "HTTP_PROXY");
	const char *except = env_either(a, "no_proxy", "NO_PROXY");

	*out = NULL;
	if (!url || (except && is_bypassed(except, tls, host, port)))
		return 0;
	if (strstr(url, "://")) /* another scheme than http and https is told by whoever reads it */
		return (*out = strdup(url)) ? 0 : ST_ENOMEM;
	if (asprintf(out, "http:%s%s", strncmp(url, "//", 2) != 0 ? "//" : "", url) < 0) {
		*out = NULL;
		return ST_ENOMEM;
	}
	return 0;
}

/* fd00:ec2::/32 is AWS's "link" of IPv6: IMDS at ::254, EKS's agent at ::23 */
bool aws_proxy_is_never(const char *host)
{
	static const uint8_t link6[] = { 0xfd, 0x00, 0x0e, 0xc2 };
	struct net_addr addr;

	if (net_addr_parse(&addr, host) < 0)
		return strcasecmp(host, "localhost") == 0;
	return net_addr_is_local_only(&addr) ||
	       (addr.family == 6 && memcmp(addr.b, link6, sizeof(link6)) == 0);
}

const char *aws_account_proxy(struct aws_account *acc, bool tls, const char *host, uint16_t port)
{
	aws_secret_free(acc->proxy_found);
	acc->proxy_found = NULL;
	if (acc->aws && aws_proxy_find(&acc->proxy_found, acc->aws, tls, host, port) < 0)
		log_error("aws: no memory for the proxy's URL");
	return acc->proxy_found;
}
