// SPDX-License-Identifier: MIT
/*
 * aws.c - libcurl's multi interface on our loop, and the accounts
 *
 * Theory of operation: libcurl says which descriptors it wants watched (socket callback) and is asked after every action
 * when it wants to be called again (curl_multi_timeout); both become a watch and a timer of our loop, so nothing wakes an
 * idle process. The timer callback of libcurl is not used: it does not repeat itself when a timer fired a moment early.
 * A connection stays usable for the next call; when no call was made for idle_ms the whole multi handle goes,
 * with its connections, TLS state and CA store. Finished transfers are taken from libcurl's queue outside its
 * callbacks, so that an owner's callback may make, cancel and free whatever it likes except the struct aws itself.
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

/* One descriptor that libcurl wants watched. */
struct sock {
	struct aws *aws;
	loop_watch watch;
	curl_socket_t fd;
};

static void multi_drain(struct aws *a)
{
	CURLMsg *msg;
	int left;

	while (a->multi && (msg = curl_multi_info_read(a->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			aws_call_done(a, msg->easy_handle, msg->data.result);
}

static void multi_arm(struct aws *a)
{
	long wait_ms = -1;

	if (!a->multi || curl_multi_timeout(a->multi, &wait_ms) != CURLM_OK || wait_ms < 0) {
		loop_timer_cancel(a->loop, &a->multi_timer);
		return;
	}
	if (loop_timer_set(a->loop, &a->multi_timer, loop_now_ms(a->loop) + (uint64_t)wait_ms) < 0)
		log_error("aws: no memory for a timer");
}

static void idle_arm(struct aws *a)
{
	uint32_t pos = 0;

	if (!a->multi)
		return;
	if (hnd_next(&a->calls, &pos))
		loop_timer_cancel(a->loop, &a->idle_timer);
	else if (!loop_timer_armed(&a->idle_timer) &&
		 loop_timer_set(a->loop, &a->idle_timer, loop_now_ms(a->loop) + a->limits.idle_ms) <
			 0)
		log_error("aws: no memory for a timer");
}

static void multi_act(struct aws *a, curl_socket_t fd, int what)
{
	int running;
	CURLMcode rc = curl_multi_socket_action(a->multi, fd, what, &running);

	if (rc != CURLM_OK)
		log_error("aws: libcurl: %s", curl_multi_strerror(rc));
	multi_drain(a);
	multi_arm(a);
	idle_arm(a);
}

static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	struct sock *s = arg;
	int what = 0;

	(void)now_ms;
	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	multi_act(s->aws, s->fd, what);
}

static void on_multi_timer(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void sock_drop(struct aws *a, struct sock *s)
{
	if (!s)
		return;
	loop_fd_del(a->loop, &s->watch);
	free(s);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
	static const uint32_t events[] = {
		[CURL_POLL_NONE] = 0,
		[CURL_POLL_IN] = EPOLLIN,
		[CURL_POLL_OUT] = EPOLLOUT,
		[CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
	};
	struct aws *a = arg;
	struct sock *s = sock_arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		sock_drop(a, s);
		curl_multi_assign(a->multi, fd, NULL);
		return 0;
	}
	if (s)
		return loop_fd_mod(a->loop, s->watch, events[what]) < 0 ? -1 : 0;
	if (!(s = calloc(1, sizeof(*s))))
		return -1;
	*s = (struct sock){ .aws = a, .fd = fd };
	if (loop_fd_add(a->loop, &s->watch, fd, events[what], on_socket, s) < 0) {
		free(s);
		return -1;
	}
	curl_multi_assign(a->multi, fd, s);
	return 0;
}

static void multi_close(struct aws *a)
{
	CURLM *multi = a->multi;

	if (!multi)
		return;
	curl_multi_cleanup(multi); /* still calls on_curl_socket */
	a->multi = NULL;
	loop_timer_cancel(a->loop, &a->multi_timer);
	loop_timer_cancel(a->loop, &a->idle_timer);
}

static void on_idle(void *arg, uint64_t now_ms)
{
	struct aws *a = arg;
	uint32_t pos = 0;

	(void)now_ms;
	if (hnd_next(&a->calls, &pos))
		return;
	multi_close(a);
	malloc_trim(0); /* a CA store is thousands of small pieces: glibc keeps them otherwise */
}

CURLM *aws_multi(struct aws *a)
{
	if (a->multi)
		return a->multi;
	if (!(a->multi = curl_multi_init()))
		return NULL;
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETDATA, a);
	return a->multi;
}

void aws_multi_kick(struct aws *a)
{
	multi_arm(a);
	idle_arm(a);
}

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
	loop_timer_init(&a->multi_timer, on_multi_timer, a);
	loop_timer_init(&a->idle_timer, on_idle, a);
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
	multi_close(a);
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
