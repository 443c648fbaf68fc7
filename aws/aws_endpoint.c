// SPDX-License-Identifier: MIT
/*
 * aws_endpoint.c - where a call goes: region, URL, CA bundle, proxy
 *
 * Theory of operation: flag or configuration before environment before profile, as the AWS CLI does it. The host and
 * port that libcurl will connect to are known here, so that the name can be resolved outside of libcurl.
 * Source: ssm-protocol.md 1.5; aws-cli v2 configprovider.py; CPython urllib/request.py getproxies_environment(),
 * proxy_bypass_environment(); botocore httpsession.py ProxyConfiguration
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

/* The first prefix that fits; the last row fits all. */
static const struct {
	const char *region_prefix, *suffix;
} partitions[] = {
	{ "cn-", "amazonaws.com.cn" },	  { "us-isob-", "sc2s.sgov.gov" },
	{ "us-isof-", "csp.hci.ic.gov" }, { "us-iso-", "c2s.ic.gov" },
	{ "eu-isoe-", "cloud.adc-e.uk" }, { "eusc-", "amazonaws.eu" },
	{ "", "amazonaws.com" },
};

/* ^(?![0-9]+$)(?!-)[a-zA-Z0-9-]{,63}(?<!-)$, not empty; botocore utils.py validate_region_name() */
bool aws_region_is_valid(const char *region)
{
	size_t len = strlen(region), digits = strspn(region, "0123456789");

	if (len == 0 || len >= AWS_REGION_MAX || digits == len)
		return false;
	if (region[0] == '-' || region[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)region[i]) && region[i] != '-')
			return false;
	return true;
}

const char *aws_region_find(const struct aws_account *acc, const struct aws_profile *p,
			    char from[64])
{
	static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };
	const char *region = acc->region;

	snprintf(from, 64, "--region");
	for (size_t i = 0; !region && i < ARRAY_LEN(variables); i++) {
		region = aws_env(acc->aws, variables[i]);
		snprintf(from, 64, "%s", variables[i]);
	}
	if (!region) {
		region = aws_profile_get(p, "region");
		snprintf(from, 64, "profile %.50s", text_safe(p->name).s);
	}
	return region;
}

static int region_find(struct aws_endpoint *out, const struct aws_account *acc,
		       const struct aws_profile *p, const char *region, struct aws_error *error)
{
	if (!region)
		region = aws_region_find(acc, p, out->region_from);
	if (!region) {
		aws_error_set(error, ST_EINVAL,
			      "You must specify a region. You can also configure your region by "
			      "running \"aws configure\".");
		aws_error_hint(error,
			       "give --region, aws.region of the upstream, AWS_REGION, or region "
			       "in the profile (%s)",
			       text_safe(p->name).s);
		return ST_EINVAL;
	}
	if (!aws_region_is_valid(region))
		return aws_error_set(error, ST_EINVAL,
				     "Provided region_name '%s' doesn't match a supported format.",
				     text_safe(region).s);
	text_copy(out->region, sizeof(out->region), region);
	text_copy(out->sign_region, sizeof(out->sign_region), region);
	return 0;
}

/* "services = x" of a profile and "[services x]" with a nested "ssm =" (the service's id) that holds endpoint_url. */
static char *services_url(const struct aws_profile *p, const char *id)
{
	const char *name = aws_profile_get(p, "services"), *block, *line;
	char section[300];

	if (!name || !p->config || strlen(name) > 256)
		return NULL;
	snprintf(section, sizeof(section), "services %s", name);
	if (!(block = aws_ini_get(p->config, section, id)))
		return NULL;
	for (line = strchr(block, '\n'); line; line = strchr(line, '\n')) {
		size_t word;

		line++;
		word = strcspn(line, " \t=\n");
		if (word == strlen("endpoint_url") && strncmp(line, "endpoint_url", word) == 0) {
			const char *value = line + word + strspn(line + word, " \t=");

			return strndup(value, strcspn(value, " \t\n"));
		}
	}
	return NULL;
}

/* Return: the configured URL, caller frees; NULL if there is none */
static char *url_configured(const struct aws_account *acc, const struct aws_profile *p,
			    const char *id)
{
	const struct aws *a = acc->aws;
	const char *off = aws_env(a, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), *url;
	char *nested, variable[64];

	if (acc->endpoint_url && strcmp(id, "ssm") == 0) /* of the ssm API alone */
		return strdup(acc->endpoint_url);
	snprintf(variable, sizeof(variable), "AWS_ENDPOINT_URL_%s", id);
	for (char *c = variable; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	if (!off)
		off = aws_profile_get(p, "ignore_configured_endpoint_urls");
	if (off && strcasecmp(off, "true") == 0)
		return NULL;
	if ((url = aws_env(a, variable)) || (url = aws_env(a, "AWS_ENDPOINT_URL")))
		return strdup(url);
	if ((nested = services_url(p, id)))
		return nested;
	url = aws_profile_get(p, "endpoint_url");
	return url ? strdup(url) : NULL;
}

static char *url_of_region(const char *region, const char *prefix)
{
	char *url;
	size_t i = 0;

	while (strncmp(region, partitions[i].region_prefix, strlen(partitions[i].region_prefix)) !=
	       0)
		i++;
	if (asprintf(&url, "https://%s.%s.%s/", prefix, region, partitions[i].suffix) < 0)
		return NULL;
	return url;
}

static char *url_part(CURLU *u, CURLUPart part, unsigned flags)
{
	char *value = NULL;

	return curl_url_get(u, part, &value, flags) == CURLUE_OK ? value : NULL;
}

/* Host without brackets. Return: false if there is none, or it has characters that no name or address has */
static bool url_host(CURLU *u, char out[AWS_HOST_MAX])
{
	char *host = url_part(u, CURLUPART_HOST, 0);
	size_t len = host ? strlen(host) : 0;
	bool fits;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	fits = host && *host && text_copy(out, AWS_HOST_MAX, host) &&
	       strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") ==
		       strlen(out);
	curl_free(host);
	return fits;
}

static uint16_t url_port(CURLU *u)
{
	char *port = url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	unsigned long n = port ? strtoul(port, NULL, 10) : 0;

	curl_free(port);
	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

static bool url_has(CURLU *u, CURLUPart part)
{
	char *value = url_part(u, part, 0);

	curl_free(value);
	return value != NULL;
}

static bool url_is_scheme(CURLU *u, const char *scheme)
{
	char *value = url_part(u, CURLUPART_SCHEME, 0);
	bool is = value && strcasecmp(value, scheme) == 0;

	curl_free(value);
	return is;
}

static bool endpoint_read(struct aws_endpoint *out, CURLU *u, const char *url)
{
	char *whole;

	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
		return false;
	out->tls = url_is_scheme(u, "https");
	if (!out->tls && !url_is_scheme(u, "http"))
		return false;
	if (url_has(u, CURLUPART_QUERY) || url_has(u, CURLUPART_FRAGMENT) ||
	    url_has(u, CURLUPART_USER) || url_has(u, CURLUPART_PASSWORD))
		return false;
	if (!url_host(u, out->host) || !(out->port = url_port(u)))
		return false;
	out->port_is_default = out->port == (out->tls ? 443 : 80);
	if (!(whole = url_part(u, CURLUPART_URL, 0)))
		return false;
	out->url = strdup(whole);
	curl_free(whole);
	return out->url != NULL;
}

static int url_find(struct aws_endpoint *out, const struct aws_account *acc,
		    const struct aws_profile *p, enum aws_service service, struct aws_error *error)
{
	char *url = url_configured(acc, p, aws_services[service].id);
	CURLU *u = curl_url();
	int err = 0;

	if (!url)
		url = url_of_region(out->region, aws_services[service].prefix);
	if (!url || !u)
		err = aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	else if (!endpoint_read(out, u, url))
		err = aws_error_set(error, ST_EINVAL,
				    "Invalid endpoint: %s (https://host[:port][/path] is expected)",
				    text_safe(url).s);
	curl_url_cleanup(u);
	free(url);
	return err;
}

int aws_ca_bundle_find(char **out, const struct aws_account *acc, const struct aws_profile *p)
{
	const char *path = acc->ca_bundle;

	*out = NULL;
	if (!path)
		path = aws_env(acc->aws, "AWS_CA_BUNDLE");
	if (!path)
		path = aws_profile_get(p, "ca_bundle");
	if (path && !(*out = aws_path_expand(acc->aws, path)))
		return ST_ENOMEM;
	return 0;
}

/* One entry of NO_PROXY: the name itself or what ends in ".name"; with a port if the entry has one. */
static bool entry_covers(const char *entry, size_t len, const char *host, const char *host_port)
{
	const char *const forms[] = { host, host_port };

	while (len && *entry == '.') {
		entry++;
		len--;
	}
	for (size_t i = 0; len && i < ARRAY_LEN(forms); i++) {
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

static bool is_bypassed(const char *list, const char *host, uint16_t port)
{
	char host_port[AWS_HOST_MAX + 8];

	if (strcmp(list, "*") == 0)
		return true;
	snprintf(host_port, sizeof(host_port), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	while (*list) {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (entry_covers(list, len, host, host_port))
			return true;
		list += len;
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
	if (!url || (except && is_bypassed(except, host, port)))
		return 0;
	if (strncasecmp(url, "http:", 5) == 0 || strncasecmp(url, "https:", 6) == 0)
		return (*out = strdup(url)) ? 0 : ST_ENOMEM;
	if (asprintf(out, "http:%s%s", strncmp(url, "//", 2) != 0 ? "//" : "", url) < 0) {
		*out = NULL;
		return ST_ENOMEM;
	}
	return 0;
}

static int proxy_find(struct aws_endpoint *out, const struct aws *a, struct aws_error *error)
{
	CURLU *u;
	bool fits;

	if (aws_proxy_find(&out->proxy, a, out->tls, out->host, out->port) < 0)
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	if (!out->proxy)
		return 0;
	if (!(u = curl_url()))
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	fits = curl_url_set(u, CURLUPART_URL, out->proxy, 0) == CURLUE_OK &&
	       url_host(u, out->proxy_host) && (out->proxy_port = url_port(u)) != 0;
	curl_url_cleanup(u);
	if (fits)
		return 0;
	/* not the value: it may hold a password */
	aws_error_set(error, ST_EINVAL, "the proxy URL of %s_PROXY can't be read",
		      out->tls ? "HTTPS" : "HTTP");
	aws_error_hint(error, "http://[user:password@]host[:port] is expected");
	return ST_EINVAL;
}

int aws_endpoint_find(struct aws_endpoint *out, const struct aws_account *acc,
		      const struct aws_profile *p, enum aws_service service, const char *region,
		      struct aws_error *error)
{
	int err;

	*out = (struct aws_endpoint){ 0 };
	if ((err = region_find(out, acc, p, region, error)) < 0 ||
	    (err = url_find(out, acc, p, service, error)) < 0 ||
	    (err = proxy_find(out, acc->aws, error)) < 0)
		goto fail;
	if (aws_ca_bundle_find(&out->ca_bundle, acc, p) < 0) {
		err = aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		goto fail;
	}
	return 0;
fail:
	aws_endpoint_fini(out);
	return err;
}

int aws_endpoint_url(struct aws_endpoint *out, const struct aws_account *acc, const char *url,
		     struct aws_error *error)
{
	CURLU *u = curl_url();
	int err = 0;

	*out = (struct aws_endpoint){ 0 };
	if (!u)
		err = aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	else if (!endpoint_read(out, u, url))
		err = aws_error_set(error, ST_EINVAL,
				    "Invalid URL: %s (http[s]://host[:port][/path] is expected)",
				    text_safe(url).s);
	curl_url_cleanup(u);
	if (!err)
		err = proxy_find(out, acc->aws, error);
	if (err < 0)
		aws_endpoint_fini(out);
	return err;
}

void aws_endpoint_fini(struct aws_endpoint *e)
{
	free(e->url);
	free(e->ca_bundle);
	aws_secret_free(e->proxy);
	*e = (struct aws_endpoint){ 0 };
}
