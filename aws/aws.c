// SPDX-License-Identifier: MIT
/*
 * aws.c - the beginning and end of everything, the allocators that wipe, and the accounts
 */
#include "aws/aws.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "aws/aws_sso.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

/* connect and whole attempt: as design, decision 15; the rest is ours. botocore itself waits 60 s for each. */
static const struct aws_limits default_limits = {
	.connect_ms = 5000,
	.attempt_ms = 15000,
	.call_ms = 40000,
	.backoff_ms = 1000,
	.poll_ms = 1000,
	.idle_ms = 5000,
	.process_ms = 60000,
	.file_ms = 5000,
	.container_ms = 2000, /* both: botocore ContainerMetadataFetcher */
	.container_pause_ms = 1000,
	.imds_quiet_ms = 60000,
	.mfa_ms = 300000,
};

void aws_free_wiping(void *p)
{
	if (p)
		codec_wipe(p, malloc_usable_size(p));
	free(p);
}

/* A piece that grows may leave its old place unwiped otherwise. */
static void *realloc_wiping(void *p, size_t size)
{
	size_t old = p ? malloc_usable_size(p) : 0;
	void *more;

	if (size && size <= old && size >= old / 2)
		return p;
	if (!(more = malloc(size ? size : 1)))
		return NULL;
	if (p)
		memcpy(more, p, MIN(old, size));
	aws_free_wiping(p);
	return more;
}

const char *aws_env(const struct aws *a, const char *name)
{
	const char *value = a->getenv ? a->getenv(a->getenv_ctx, name) : NULL;

	return value && *value ? value : NULL;
}

int aws_new(struct aws **out, const struct aws_opts *opts)
{
	struct aws *a;

	json_set_alloc_funcs(malloc, aws_free_wiping);
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, aws_free_wiping, realloc_wiping,
				 strdup, calloc) != CURLE_OK) {
		log_error("aws: libcurl can't be initialised");
		return ST_ESYS;
	}
	if (!(a = calloc(1, sizeof(*a))))
		goto fail_global;
	*a = (struct aws){
		.loop = opts->loop,
		.svc = opts->svc,
		.home = strdup(opts->home ? opts->home : "/"),
		.getenv = opts->getenv,
		.getenv_ctx = opts->getenv_ctx,
		.mark = opts->mark,
		.limits = default_limits,
		.container_base = "http://169.254.170.2",
		.imds_base = "http://169.254.169.254/",
	};
	if (!a->home)
		goto fail_alloc;
	list_init(&a->accounts);
	list_init(&a->mfa);
	hnd_init(&a->calls, AWS_CALLS_MAX);
	aws_multi_init(a);
	*out = a;
	return 0;
fail_alloc:
	free(a);
fail_global:
	curl_global_cleanup();
	return ST_ENOMEM;
}

void aws_free(struct aws *a)
{
	if (!a)
		return;
	list_for_each (it, &a->accounts) {
		aws_chain_free(container_of(it, struct aws_account, node));
		aws_watch_free(container_of(it, struct aws_account, node));
	}
	aws_calls_drop(a, NULL);
	aws_multi_close(a);
	aws_sso_memory_free(a);
	list_for_each (it, &a->accounts) {
		container_of(it, struct aws_account, node)->aws = NULL;
		list_del(it);
	}
	hnd_fini(&a->calls);
	free(a->home);
	free(a);
	curl_global_cleanup();
}

/* Copies @src if there is one that says something. Return: false without memory */
static bool copy_opt(char **out, const char *src)
{
	*out = src && *src ? strdup(src) : NULL;
	return *out || !src || !*src;
}

int aws_account_new(struct aws_account **out, struct aws *a, const struct aws_account_opts *opts)
{
	struct aws_account *acc = calloc(1, sizeof(*acc));

	if (!acc)
		return ST_ENOMEM;
	acc->aws = a;
	list_node_init(&acc->node);
	if (!copy_opt(&acc->profile, opts->profile) || !copy_opt(&acc->region, opts->region) ||
	    !copy_opt(&acc->access_key, opts->access_key) ||
	    !copy_opt(&acc->secret_key, opts->secret_key) ||
	    !copy_opt(&acc->session_token, opts->session_token) ||
	    !copy_opt(&acc->endpoint_url, opts->endpoint_url) ||
	    !copy_opt(&acc->ca_bundle, opts->ca_bundle)) {
		aws_account_free(acc);
		return ST_ENOMEM;
	}
	acc->changed = opts->changed;
	acc->changed_arg = opts->changed_arg;
	list_push_back(&a->accounts, &acc->node);
	*out = acc;
	return 0;
}

void aws_account_free(struct aws_account *acc)
{
	if (!acc)
		return;
	if (acc->aws) {
		aws_chain_free(acc);
		aws_watch_free(acc);
		aws_calls_drop(acc->aws, acc);
	}
	list_del(&acc->node);
	aws_explained_free(acc->explained);
	free(acc->profile_found);
	free(acc->profile);
	free(acc->region);
	free(acc->endpoint_url);
	free(acc->ca_bundle);
	free(acc->ca_bundle_found);
	free(acc->ended_key);
	free(acc->ended);
	aws_secret_free(acc->access_key);
	aws_secret_free(acc->secret_key);
	aws_secret_free(acc->session_token);
	aws_secret_free(acc->proxy_found);
	free(acc);
}

const char *aws_account_ca_bundle(struct aws_account *acc)
{
	struct aws_profile p;
	struct aws_error error;

	free(acc->ca_bundle_found);
	acc->ca_bundle_found = NULL;
	if (!acc->aws)
		return NULL;
	if (aws_profile_load(&p, acc, &error) < 0) /* told by the next API call */
		p = (struct aws_profile){ .name = "default" };
	if (aws_ca_bundle_find(&acc->ca_bundle_found, acc, &p) < 0)
		log_error("aws: no memory for the CA bundle's path");
	aws_profile_fini(&p);
	return acc->ca_bundle_found;
}

const char *aws_account_region(struct aws_account *acc)
{
	struct aws_profile p;
	struct aws_error error;
	const char *region;
	char from[64];

	if (!acc->aws || aws_profile_load(&p, acc, &error) < 0)
		return NULL;
	region = aws_region_find(acc, &p, from);
	acc->region_found[0] = '\0';
	if (region && aws_region_is_valid(region))
		aws_region_plain(acc->region_found, region);
	aws_profile_fini(&p);
	return acc->region_found[0] ? acc->region_found : NULL;
}

const char *aws_account_profile(struct aws_account *acc)
{
	const char *name = acc->profile;

	if (!name && acc->aws)
		name = aws_env(acc->aws, "AWS_PROFILE");
	if (!name && acc->aws)
		name = aws_env(acc->aws, "AWS_DEFAULT_PROFILE");
	free(acc->profile_found);
	acc->profile_found = strdup(name ? name : "default");
	return acc->profile_found ? acc->profile_found : "default";
}
