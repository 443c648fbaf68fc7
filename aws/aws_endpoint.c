// SPDX-License-Identifier: MIT
/*
 * aws_endpoint.c - where a call goes: region, URL, CA bundle, proxy
 *
 * Theory of operation: flag or configuration before environment before profile, as the AWS CLI does it: endpoint_url of our
 * own (of the ssm API alone, as the AWS CLI's --endpoint-url is of the one service that it calls), AWS_ENDPOINT_URL_<ID>,
 * AWS_ENDPOINT_URL, the profile's services section, its endpoint_url, else the partition's host. The profile is the account's
 * also for the calls of a role's chain, whichever profile that reads its keys from. FIPS and dual-stack choose among AWS's own
 * hosts: with a configured URL they mean nothing. The host and port that libcurl will connect to are known here, so
 * that the name can be resolved outside of libcurl.
 * Source: ssm-protocol.md 1.5; aws-cli v2 awscli/botocore/configprovider.py ConfiguredEndpointProvider, args.py
 * compute_endpoint_resolver_builtin_defaults(), endpoint.py (REQUESTS_CA_BUNDLE)
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

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
	if (aws_region_is_valid(region)) {
		out->fips = aws_region_plain(out->region, region);
		if (aws_region_is_valid(out->region))
			return 0;
	}
	aws_error_set(error, ST_EINVAL,
		      "Provided region_name '%s' doesn't match a supported format.",
		      text_safe(region).s);
	if (out->region_from[0])
		aws_error_hint(error, "it is from %s", out->region_from);
	return ST_EINVAL;
}

/* ---- configured URLs ---- */

/* botocore utils.py ensure_boolean(); environment before profile */
static bool flag(const struct aws_account *acc, const struct aws_profile *p, const char *variable,
		 const char *key)
{
	const char *value = aws_env(acc->aws, variable);

	if (!value)
		value = aws_profile_get(p, key);
	return value && strcasecmp(value, "true") == 0;
}

static int copy_of(char **out, const char *value, struct aws_error *error)
{
	*out = strdup(value);
	return *out ? 0 : aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
}

/* "services = x" of the profile and "[services x]" with a nested "ssm =" (the service's id) that holds endpoint_url. */
static int url_of_services(char **out, const struct aws_profile *p, const char *id,
			   struct aws_error *error)
{
	const char *name = aws_profile_get(p, "services"), *section;
	int err;

	if (!name)
		return 0;
	section = p->config ? aws_ini_section(p->config, "services", name) : NULL;
	if (!section)
		return aws_error_set(error, ST_EINVAL,
				     "The profile is configured to use the services section but "
				     "the \"%s\" services configuration does not exist.",
				     text_safe(name).s);
	err = aws_ini_nested(out, p->config, section, id, "endpoint_url");
	if (err == ST_ENOENT)
		return 0;
	return err < 0 ? aws_error_set(error, err, "%s", st_strerror(err)) : 0;
}

static int url_of_profile(char **out, const struct aws_profile *p, const char *id,
			  struct aws_error *error)
{
	const char *url;
	int err = url_of_services(out, p, id, error);

	if (err < 0 || *out)
		return err;
	url = aws_profile_get(p, "endpoint_url");
	return url ? copy_of(out, url, error) : 0;
}

/* Return: 0 and *@out (caller frees; NULL: nothing is configured) or the error's code */
static int url_configured(char **out, const struct aws_account *acc, const struct aws_profile *p,
			  enum aws_service service, struct aws_error *error)
{
	const char *id = aws_services[service].id, *url;
	char variable[64];

	*out = NULL;
	if (acc->endpoint_url && service == AWS_SSM)
		return copy_of(out, acc->endpoint_url, error);
	if (flag(acc, p, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))
		return 0;
	snprintf(variable, sizeof(variable), "AWS_ENDPOINT_URL_%s", id);
	for (char *c = variable; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	if ((url = aws_env(acc->aws, variable)) || (url = aws_env(acc->aws, "AWS_ENDPOINT_URL")))
		return copy_of(out, url, error);
	return url_of_profile(out, p, id, error);
}

/* ---- URLs ---- */

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

static bool url_is_bare(CURLU *u)
{
	return !url_has(u, CURLUPART_QUERY) && !url_has(u, CURLUPART_FRAGMENT);
}

static bool endpoint_read(struct aws_endpoint *out, CURLU *u, const char *url)
{
	char *whole;

	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
		return false;
	out->tls = url_is_scheme(u, "https");
	if (!out->tls && !url_is_scheme(u, "http"))
		return false;
	if (url_has(u, CURLUPART_USER) || url_has(u, CURLUPART_PASSWORD))
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

/* @bare: without query and fragment */
static int endpoint_set(struct aws_endpoint *out, const char *url, bool bare,
			struct aws_error *error)
{
	CURLU *u = curl_url();
	int err = 0;

	if (!u)
		err = aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	else if (!endpoint_read(out, u, url) || (bare && !url_is_bare(u)))
		err = aws_error_set(error, ST_EINVAL,
				    "Invalid endpoint: %s (https://host[:port][/path] is expected)",
				    /* it may hold a password */
				    strchr(url, '@') ? "a URL with '@'" : text_safe(url).s);
	curl_url_cleanup(u);
	return err;
}

static int url_find(struct aws_endpoint *out, const struct aws_account *acc,
		    const struct aws_profile *p, enum aws_service service, struct aws_error *error)
{
	char host[AWS_HOST_MAX], built[AWS_HOST_MAX + 16], *url;
	const bool fips = flag(acc, p, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint") || out->fips;
	const bool dual = flag(acc, p, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
	int err = url_configured(&url, acc, p, service, error);

	if (err < 0)
		return err;
	aws_host_find(host, out->sign_region, service, out->region, fips, dual);
	if (url) /* who serves that is signed for in the region that was chosen */
		text_copy(out->sign_region, sizeof(out->sign_region), out->region);
	snprintf(built, sizeof(built), "https://%s/", host);
	err = endpoint_set(out, url ? url : built, true, error);
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
	if (!path)
		path = aws_env(acc->aws, "REQUESTS_CA_BUNDLE");
	if (path && !(*out = aws_path_expand(acc->aws, path)))
		return ST_ENOMEM;
	return 0;
}

/* ---- the proxy ---- */

/* libcurl's own default for a proxy without a port is 1080: the URL gets the one of its scheme. */
static bool proxy_read(struct aws_endpoint *out, CURLU *u)
{
	char port[8], *whole;

	if (curl_url_set(u, CURLUPART_URL, out->proxy, 0) != CURLUE_OK ||
	    (!url_is_scheme(u, "http") && !url_is_scheme(u, "https")) ||
	    !url_host(u, out->proxy_host) || !(out->proxy_port = url_port(u)))
		return false;
	snprintf(port, sizeof(port), "%u", out->proxy_port);
	if (curl_url_set(u, CURLUPART_PORT, port, 0) != CURLUE_OK ||
	    !(whole = url_part(u, CURLUPART_URL, 0)))
		return false;
	aws_secret_free(out->proxy);
	out->proxy = strdup(whole);
	curl_free(whole);
	return out->proxy != NULL;
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
	fits = proxy_read(out, u);
	curl_url_cleanup(u);
	if (fits)
		return 0;
	/* not the value: it may hold a password */
	aws_error_set(error, ST_EINVAL, "the proxy URL of %s_PROXY can't be read",
		      out->tls ? "HTTPS" : "HTTP");
	aws_error_hint(error, "http://[user:password@]host[:port] is expected");
	return ST_EINVAL;
}

/* ---- the whole ---- */

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
	int err;

	*out = (struct aws_endpoint){ 0 };
	err = endpoint_set(out, url, false, error);
	if (!err && !aws_proxy_is_never(out->host))
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
