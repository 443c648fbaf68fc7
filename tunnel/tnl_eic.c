// SPDX-License-Identifier: MIT
/*
 * tnl_eic.c - see tnl_eic.h
 *
 *   wanted ──▶ pushing ──▶ valid ──▶ spent      a pair that can't be pushed is dropped, its log-ins fail
 *      ▲──────────┘ throttled
 */
#include "tunnel/tnl_eic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "tunnel/ssh_key.h"

#define BACKOFF_FIRST_MS 2000U /* ours: after the call's own three attempts */
#define BACKOFF_MAX_MS 30000U

/* wanted: its log-ins wait for its turn. pushing: the call is out. valid: sshd takes it, and more log-ins may share it.
 * spent: those that use it go on, nobody else does; without any it is freed. */
enum pair_state { EIC_WANTED, EIC_PUSHING, EIC_VALID, EIC_SPENT };

struct eic_pair {
	struct list_node node;
	enum pair_state state;
	struct tnl_found to;
	bool own_gateway;
	struct tnl_key *key; /* from pushing on */
	uint64_t until_ms;   /* valid so long */
	struct list logins;
};

struct tnl_eic {
	struct tnl_upstream *u;
	struct list pairs;
	uint32_t n;
	struct eic_pair *pushing;
	aws_call call;
	uint64_t next_ms;   /* no push before it */
	uint32_t throttled; /* pushes in a row */
	struct loop_timer turn, expiry;
};

static void go(struct tnl_eic *e);

/* ---- pairs ---- */

static struct tnl_eic_login *login_of(struct list_node *n)
{
	return container_of(n, struct tnl_eic_login, node);
}

static void pair_free(struct tnl_eic *e, struct eic_pair *p)
{
	list_del(&p->node);
	e->n--;
	tnl_key_free(p->key);
	free(p);
}

static void pair_drop_if_idle(struct tnl_eic *e, struct eic_pair *p)
{
	if (list_empty(&p->logins) && (p->state == EIC_WANTED || p->state == EIC_SPENT))
		pair_free(e, p);
}

static void kick_all(struct eic_pair *p)
{
	list_for_each (n, &p->logins)
		login_of(n)->kick(login_of(n)->arg);
}

static struct eic_pair *pair_find(struct tnl_eic *e, const struct tnl_eic_login *l)
{
	const uint64_t now_ms = loop_now_ms(e->u->loop);

	list_for_each (n, &e->pairs) {
		struct eic_pair *p = container_of(n, struct eic_pair, node);

		if (strcmp(p->to.id, l->to->id) == 0 && strcmp(p->to.region, l->to->region) == 0 &&
		    p->own_gateway == l->own_gateway && p->state != EIC_SPENT &&
		    (p->state != EIC_VALID || now_ms < p->until_ms))
			return p;
	}
	return NULL;
}

static struct eic_pair *pair_new(struct tnl_eic *e, const struct tnl_eic_login *l)
{
	struct eic_pair *p = e->n < TNL_EIC_PAIRS_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (p == NULL)
		return NULL;
	p->to = *l->to;
	p->own_gateway = l->own_gateway;
	list_node_init(&p->node);
	list_init(&p->logins);
	list_push_back(&e->pairs, &p->node);
	e->n++;
	return p;
}

/* The keys of valid pairs are wiped when their time is over and nobody uses them. */
static void on_expiry(void *arg, uint64_t now_ms)
{
	struct tnl_eic *e = arg;
	uint64_t next_ms = UINT64_MAX;

	list_for_each (n, &e->pairs) {
		struct eic_pair *p = container_of(n, struct eic_pair, node);

		if (p->state == EIC_VALID && p->until_ms <= now_ms) {
			p->state = EIC_SPENT;
			pair_drop_if_idle(e, p);
		} else if (p->state == EIC_VALID) {
			next_ms = MIN(next_ms, p->until_ms);
		}
	}
	if (next_ms != UINT64_MAX)
		loop_timer_set(e->u->loop, &e->expiry, next_ms);
}

/* ---- what goes wrong ---- */

/* What the service's codes mean here; ssm-protocol.md 1.4 */
static const struct {
	const char *code;
	int err;
	const char *hint;
} codes[] = {
	{ "EC2InstanceNotFoundException", ST_ENOENT,
	  "no EC2 instance of this account and region has that id; EC2 Instance Connect does not "
	  "serve nodes "
	  "outside of EC2 (mi-…)" },
	{ "EC2InstanceStateInvalidException", ST_ECLOSED, "the instance is not running: start it" },
	{ "EC2InstanceUnavailableException", ST_EAGAIN,
	  "the instance does not answer the service; it is tried again later" },
	{ "EC2InstanceTypeInvalidException", ST_EINVAL,
	  "EC2 Instance Connect does not serve this type of instance: set ssh.key to a key of "
	  "yours" },
	{ "InvalidArgsException", ST_EINVAL, "is ssh.user a user of the instance?" },
	{ "AuthException", ST_EPERM,
	  "the IAM identity needs ec2-instance-connect:SendSSHPublicKey on the instance, and for "
	  "this user, "
	  "if the policy has a condition on ec2:osuser" },
	{ "AccessDeniedException", ST_EPERM,
	  "the IAM identity needs ec2-instance-connect:SendSSHPublicKey on the instance, and for "
	  "this user, "
	  "if the policy has a condition on ec2:osuser" },
	{ "UnsupportedOperation", ST_EUNSUPPORTED,
	  "the host's agent takes no keys this way: start it with --authorized-keys-dir, or set "
	  "ssh.key" },
};

static bool is_final(int err)
{
	return err == ST_EPERM || err == ST_ENOENT || err == ST_ECLOSED || err == ST_EINVAL ||
	       err == ST_EUNSUPPORTED || err == ST_EAUTH;
}

static void login_fail(struct tnl_eic_login *l, const struct tnl_fault *f)
{
	l->fault = *f;
	text_copy(l->text, sizeof(l->text), f->text);
	l->fault.text = l->text;
}

/* The pair's log-ins end for @f; so does the pair. */
static void pair_fail(struct tnl_eic *e, struct eic_pair *p, const struct tnl_fault *f)
{
	struct list_node *n;

	while ((n = list_pop_front(&p->logins)) != NULL) {
		struct tnl_eic_login *l = login_of(n);

		l->pair = NULL;
		login_fail(l, f);
		l->kick(l->arg);
	}
	pair_free(e, p);
}

static void push_failed(struct tnl_eic *e, struct eic_pair *p, const struct aws_error *error)
{
	char text[TNL_TEXT_MAX + 256]; /* is cut */
	struct tnl_fault f = { .err = error->err, .person = error->person, .text = text };
	struct aws_error told = *error;
	char before[1024];

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(error->code, codes[i].code) == 0) {
			f.err = codes[i].err;
			text_copy(told.hint, sizeof(told.hint), codes[i].hint);
		}
	f.for_good = !f.person && is_final(f.err);
	snprintf(before, sizeof(before), "%s: the key for %s@%s could not be pushed", e->u->o.name,
		 text_safe(e->u->o.ssh_user).s, text_safe(p->to.id).s);
	aws_error_line(text, sizeof(text), before, &told);
	pair_fail(e, p, &f);
}

/* Its log-ins go on waiting: a new session would only call more often. */
static void push_throttled(struct tnl_eic *e, struct eic_pair *p, const struct aws_error *error)
{
	const uint64_t bound_ms = MIN((uint64_t)BACKOFF_FIRST_MS << MIN(e->throttled, 8U),
				      BACKOFF_MAX_MS);
	const uint64_t now_ms = loop_now_ms(e->u->loop);
	uint32_t random;

	codec_random(&random, sizeof(random));
	e->throttled++;
	e->next_ms = now_ms + bound_ms / 2 + random % (bound_ms / 2 + 1);
	tnl_key_free(p->key);
	p->key = NULL;
	p->state = EIC_WANTED;
	log_limited(now_ms, LOG_WARN, "%s: EC2 Instance Connect is asked again in %llu ms: %s",
		    e->u->o.name, (unsigned long long)(e->next_ms - now_ms), error->text);
	list_for_each (n, &p->logins)
		snprintf(login_of(n)->text, TNL_TEXT_MAX, ": %s", error->text);
	pair_drop_if_idle(e, p);
}

static bool is_throttled(const struct aws_error *e)
{
	return e->err == ST_EAGAIN &&
	       (strcasestr(e->code, "throttl") != NULL || e->http_status == 429 ||
		strcmp(e->code, "TooManyRequestsException") == 0 ||
		strcmp(e->code, "RequestLimitExceeded") == 0);
}

/* ---- pushing ---- */

static void push_done(struct tnl_eic *e, struct eic_pair *p)
{
	e->throttled = 0;
	p->state = EIC_VALID;
	log_debug("%s: a key for %s@%s is pushed", e->u->o.name, text_safe(e->u->o.ssh_user).s,
		  text_safe(p->to.id).s);
	kick_all(p);
	on_expiry(e, loop_now_ms(e->u->loop));
}

static void on_pushed(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_error no = { .err = ST_EPEER };
	struct tnl_eic *e = arg;
	struct eic_pair *p = e->pushing;

	e->call = 0;
	e->pushing = NULL;
	if (error == NULL && !json_is_true(json_object_get(answer, "Success"))) {
		text_copy(no.text, sizeof(no.text),
			  "SendSSHPublicKey was answered without success");
		error = &no;
	}
	if (error == NULL)
		push_done(e, p);
	else if (is_throttled(error))
		push_throttled(e, p, error);
	else
		push_failed(e, p, error);
	go(e);
}

static int push_send(struct tnl_eic *e, struct eic_pair *p)
{
	const struct aws_at at = { .region = p->to.region, .own_gateway = p->own_gateway };
	char line[SSH_KEY_LINE];
	json_t *params = json_pack("{s:s, s:s, s:s}", "InstanceId", p->to.id, "InstanceOSUser",
				   e->u->o.ssh_user, "SSHPublicKey", ssh_key_line(line, p->key));

	return aws_ask_at(e->u->o.account, &e->call, AWS_SEND_SSH_PUBLIC_KEY, params, p->to.id, &at,
			  on_pushed, e);
}

static void push_start(struct tnl_eic *e, struct eic_pair *p)
{
	const uint64_t now_ms = loop_now_ms(e->u->loop);
	char text[256];
	struct tnl_fault f = { .text = text };

	e->next_ms = now_ms + TNL_EIC_PACE_MS;
	f.err = ssh_key_make(&p->key, "instance-connect");
	if (f.err == 0)
		f.err = push_send(e, p);
	if (f.err == 0) {
		p->state = EIC_PUSHING;
		p->until_ms = now_ms + TNL_EIC_SHARE_MS;
		e->pushing = p;
		return;
	}
	e->call = 0;
	snprintf(text, sizeof(text), "%s: no key could be pushed: %s", e->u->o.name,
		 st_strerror(f.err));
	pair_fail(e, p, &f);
}

/* Begins the next push if there is one and its time has come. */
static void go(struct tnl_eic *e)
{
	struct eic_pair *next = NULL;

	if (e->pushing != NULL)
		return;
	list_for_each (n, &e->pairs) {
		struct eic_pair *p = container_of(n, struct eic_pair, node);

		if (p->state == EIC_WANTED && next == NULL)
			next = p;
	}
	if (next == NULL)
		return;
	if (loop_now_ms(e->u->loop) < e->next_ms)
		loop_timer_set(e->u->loop, &e->turn, e->next_ms);
	else
		push_start(e, next);
}

static void on_turn(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	go(arg);
}

/* ---- log-ins ---- */

/* Return: false: no pair can be had */
static bool login_join(struct tnl_eic_login *l)
{
	struct eic_pair *p = pair_find(l->eic, l);

	l->shared = p != NULL && p->state == EIC_VALID;
	if (p == NULL)
		p = pair_new(l->eic, l);
	if (p == NULL)
		return false;
	l->pair = p;
	list_push_back(&p->logins, &l->node);
	return true;
}

static void login_leave(struct tnl_eic_login *l, bool spent)
{
	struct eic_pair *p = l->pair;

	if (p == NULL)
		return;
	l->pair = NULL;
	list_del(&l->node);
	if (spent && p->state == EIC_VALID)
		p->state = EIC_SPENT;
	pair_drop_if_idle(l->eic, p);
}

static int source_get(void *arg, const struct tnl_key **key, char *text, size_t cap)
{
	struct tnl_eic_login *l = arg;
	const struct tnl_fault no_room = { .err = ST_EFULL,
					   .text = "too many keys are being pushed" };

	if (l->fault.err == 0 && l->pair == NULL) {
		if (login_join(l))
			go(l->eic); /* may fail it at once */
		else
			login_fail(l, &no_room);
	}
	if (l->fault.err != 0) {
		text_copy(text, cap, l->text);
		return ST_EAUTH;
	}
	if (l->pair->state != EIC_VALID && l->pair->state != EIC_SPENT)
		return ST_EAGAIN;
	*key = l->pair->key;
	return 0;
}

static int source_refused(void *arg, char *text, size_t cap)
{
	struct tnl_eic_login *l = arg;
	const struct tnl_opts *o = &l->eic->u->o;
	const bool once_more = l->shared && !l->again;

	login_leave(l, true);
	if (once_more) {
		l->again = true;
		return 0;
	}
	snprintf(text, cap,
		 "ssh: %s@%s refuses the key that EC2 Instance Connect took for it just now: is "
		 "the package "
		 "ec2-instance-connect installed on %s, is %s a user there, and does its sshd run "
		 "the AuthorizedKeysCommand?",
		 text_safe(o->ssh_user).s, text_safe(l->to->id).s, text_safe(l->to->id).s,
		 text_safe(o->ssh_user).s);
	return ST_EAUTH;
}

void tnl_eic_login_init(struct tnl_eic_login *l, struct tnl_eic *e, const struct tnl_found *to,
			bool own_gateway, void (*kick)(void *arg), void *arg)
{
	*l = (struct tnl_eic_login){
		.eic = e, .to = to, .own_gateway = own_gateway, .kick = kick, .arg = arg
	};
	l->source = (struct ssh_key_source){ source_get, source_refused, l };
	list_node_init(&l->node);
}

void tnl_eic_login_end(struct tnl_eic_login *l)
{
	if (l->eic != NULL)
		login_leave(l, false);
}

/* ---- life ---- */

int tnl_eic_new(struct tnl_eic **out, struct tnl_upstream *u)
{
	struct tnl_eic *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return ST_ENOMEM;
	e->u = u;
	list_init(&e->pairs);
	loop_timer_init(&e->turn, on_turn, e);
	loop_timer_init(&e->expiry, on_expiry, e);
	*out = e;
	return 0;
}

void tnl_eic_free(struct tnl_eic *e)
{
	struct list_node *n;

	if (e == NULL)
		return;
	if (e->call != 0)
		aws_cancel(e->u->aws, e->call);
	while ((n = list_pop_front(&e->pairs)) != NULL)
		pair_free(e, container_of(n, struct eic_pair, node));
	loop_timer_cancel(e->u->loop, &e->turn);
	loop_timer_cancel(e->u->loop, &e->expiry);
	free(e);
}
