// SPDX-License-Identifier: MIT
/*
 * aws_chain.c - the chain of credential sources, who waits for it, and what it keeps
 *
 * Theory of operation: calls ask the chain for every attempt. What is known to expire is kept and given out until shortly
 * before that, or until a profile file changes: what was kept under an older one is no stand-in for what the new one fails to
 * give. Everything else is looked for anew, since a person may just have mended a file. One walk is under way at a time, for
 * all who wait. A walk asks its sources in turn: each answers, does not apply, or fails, which ends the walk: going on would use
 * another identity than the AWS CLI does. A role's source walks for its own source profile, below it. What a source says is
 * told once, and again when it says something else: calls are many.
 * Source: botocore 1.29 credentials.py create_credential_resolver(), RefreshableCredentials; aws-cli v2 has the same order
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define WAITS_MAX AWS_CALLS_MAX
#define TOLD_MAX 128U	 /* ours: sources of a profile and of its source profiles */
#define WHY_MAX 1024U	 /* bytes of a source's reason; as aws_error.text */
#define RENEW_PAUSE_S 30 /* ours: between tries to renew what still serves */
#define SPARE_S 60	 /* ours: what lives so long may still be sent */

/* clang-format off */
const struct aws_source *const aws_sources[] = { /* one a line */
	&aws_source_given,
	&aws_source_env,
	&aws_source_role,
	&aws_source_web,
	&aws_source_sso,
	&aws_source_shared,
	&aws_source_login,
	&aws_source_process,
	&aws_source_config,
	&aws_source_container,
	&aws_source_imds,
	NULL,
};

/* botocore ProfileProviderBuilder.providers(); a role of its own comes first, unless the profile has keys */
const struct aws_source *const aws_sources_of_profile[] = {
	&aws_source_role,
	&aws_source_web,
	&aws_source_sso,
	&aws_source_shared,
	&aws_source_login,
	&aws_source_process,
	&aws_source_config,
	&aws_source_lacking,
	NULL,
};
/* clang-format on */

/* One who waits. */
struct wait {
	handle id;
	aws_creds_fn *done;
	void *arg;
};

/* What was told last of one source for one profile, both as hashes; forgotten by the oldest row when all are taken. */
struct told {
	uint64_t who, what;
};

/* The profile files as they were read. */
struct files {
	char *paths[2]; /* NULL: none */
	struct aws_watch_seen seen[2];
};

struct aws_chain {
	struct aws_account *acc;
	struct told told[TOLD_MAX];
	size_t n_told;
	struct aws_creds kept; /* access_key NULL: none */
	int64_t refresh_s;     /* Unix time from which on it is renewed */
	uint64_t stamp;	       /* of the profile files when the last walk began */
	uint64_t kept_stamp;   /* of those that led to what is kept */
	struct hnd_table waits;
	struct aws_walk *walk;
	struct loop_timer tell; /* what is kept is given out from the loop */
	struct files files;	/* of the last walk */
	bool telling,
		gone; /* gone: freed by one whom it tells; the memory goes when all are told */
};

/* ---- a walk ---- */

static const struct aws_source *source_of(const struct aws_walk *w)
{
	return w->sources[w->at];
}

static uint64_t hash(uint64_t h, const char *s) /* FNV-1a */
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/* Return: true if @line is not what was told last of @topic of this source */
static bool is_news(struct aws_walk *w, const char *topic, const char *line)
{
	const uint64_t start = UINT64_C(0xcbf29ce484222325) + w->depth;
	const struct told t = {
		hash(hash(hash(start, source_of(w)->name), topic), w->profile.name),
		hash(start, line),
	};
	struct aws_chain *chain = w->acc->chain;
	struct told *row = chain ? chain->told : NULL;

	if (!chain)
		return true;
	while (row < chain->told + MIN(chain->n_told, TOLD_MAX) && row->who != t.who)
		row++;
	if (row == chain->told + MIN(chain->n_told, TOLD_MAX))
		row = &chain->told[chain->n_told++ % TOLD_MAX];
	else if (row->what == t.what)
		return false;
	*row = t;
	return true;
}

static void say(struct aws_walk *w, const char *what, const char *why)
{
	char line[WHY_MAX + 64];

	snprintf(line, sizeof(line), "%s%s", what, why);
	if (log_enabled(LOG_DEBUG) && is_news(w, "", line))
		log_debug("aws: credentials of profile %s: %s: %s", text_safe(w->profile.name).s,
			  source_of(w)->name, line);
}

static void step_end(struct aws_walk *w)
{
	const struct aws_source *s = source_of(w);

	if (s && s->end)
		s->end(w);
	w->state = NULL;
	w->stepped = true;
}

static void walk_tell(struct aws_walk *w)
{
	const bool failed = w->error.err < 0;

	w->done(w->arg, failed ? &w->error : NULL, failed ? NULL : &w->result);
}

static void walk_end(struct aws_walk *w)
{
	step_end(w);
	w->over = true;
	if (!w->stepping)
		walk_tell(w);
}

static void none_found(struct aws_walk *w)
{
	const struct aws_profile *p = &w->profile;

	aws_error_set(&w->error, ST_EAUTH, "Unable to locate credentials");
	w->error.person = true;
	aws_error_hint(&w->error,
		       "looked for %saws_access_key_id in [%s] of %s and in the same profile of "
		       "%s; run `aws configure`, or give --profile; -v tells what each "
		       "source said",
		       w->use_env ? "AWS_ACCESS_KEY_ID in the environment, " : "",
		       text_safe(p->name).s,
		       p->creds_path ? text_safe(p->creds_path).s : "the credentials file",
		       p->config_path ? text_safe(p->config_path).s : "the config file");
	walk_end(w);
}

static void walk_run(struct aws_walk *w)
{
	do {
		w->stepped = false;
		w->stepping = true;
		if (source_of(w))
			source_of(w)->begin(w);
		else
			none_found(w);
		w->stepping = false;
	} while (w->stepped && !w->over);
	if (w->over)
		walk_tell(w);
}

void aws_walk_warn(struct aws_walk *w, const char *fmt, ...)
{
	char line[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (is_news(w, "warning", line))
		log_warn("aws: %s", line);
}

/* Return: true if it was given back as a failure */
static bool has_expired(struct aws_walk *w, const struct aws_creds *c)
{
	const int64_t late_s = (int64_t)time(NULL) + w->acc->skew_s - c->expires_s;
	char when[AWS_TIME_STR];
	struct aws_error error;

	if (!c->expires_s || late_s < 0)
		return false;
	aws_error_set(&error, ST_EAUTH,
		      "Credentials were refreshed, but the refreshed credentials are still "
		      "expired: %s gave what ended at %s, %lld s ago",
		      source_of(w)->name, aws_time_print(when, c->expires_s), (long long)late_s);
	error.person = true;
	aws_error_hint(&error,
		       "renew what profile %s takes its credentials from, and see that "
		       "this machine's clock is right",
		       text_safe(w->profile.name).s);
	aws_walk_fail(w, &error);
	return true;
}

void aws_walk_found(struct aws_walk *w, struct aws_creds *c)
{
	char until[AWS_TIME_STR];

	if (has_expired(w, c)) {
		aws_creds_wipe(c);
		return;
	}
	w->result = *c;
	*c = (struct aws_creds){ 0 };
	if (!w->result.source[0])
		text_copy(w->result.source, sizeof(w->result.source), source_of(w)->name);
	say(w, "found", "");
	if (w->result.expires_s)
		log_debug("aws: credentials of profile %s: they end at %s",
			  text_safe(w->profile.name).s, aws_time_print(until, w->result.expires_s));
	walk_end(w);
}

void aws_walk_skip(struct aws_walk *w, const char *fmt, ...)
{
	char why[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	say(w, "not asked: ", why);
	step_end(w);
	w->at++;
	if (!w->stepping)
		walk_run(w);
}

void aws_walk_fail(struct aws_walk *w, const struct aws_error *error)
{
	w->error = *error;
	say(w, "", error->text);
	walk_end(w);
}

static void on_walk_begin(void *arg, uint64_t now_ms)
{
	struct aws_walk *w = arg;

	(void)now_ms;
	if (w->over) /* the files could not be read */
		walk_tell(w);
	else
		walk_run(w);
}

static struct aws_walk *walk_alloc(struct aws_account *acc, const struct aws_source *const *sources,
				   aws_creds_fn *done, void *arg)
{
	struct aws_walk *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->acc = acc;
	w->sources = sources;
	w->done = done;
	w->arg = arg;
	loop_timer_init(&w->begin, on_walk_begin, w);
	return w;
}

/* Ends what is under way and frees; the same after the end. */
void aws_walk_free(struct aws_walk *w)
{
	if (!w)
		return;
	if (!w->over)
		step_end(w);
	loop_timer_cancel(w->acc->aws->loop, &w->begin);
	aws_creds_wipe(&w->result);
	aws_profile_fini(&w->profile);
	free(w);
}

static int walk_post(struct aws_walk *w)
{
	struct loop *loop = w->acc->aws->loop;

	return loop_timer_set(loop, &w->begin, loop_now_ms(loop));
}

int aws_walk_new(struct aws_walk **out, const struct aws_walk *above, const char *name,
		 const struct aws_source *const *sources, aws_creds_fn *done, void *arg)
{
	struct aws_walk *w = walk_alloc(above->acc, sources, done, arg);

	if (!w)
		return ST_ENOMEM;
	aws_profile_select(&w->profile, &above->profile, name);
	w->above = above;
	w->depth = above->depth + 1;
	if (walk_post(w) < 0) {
		aws_walk_free(w);
		return ST_ENOMEM;
	}
	*out = w;
	return 0;
}

/* ---- who waits ---- */

/* @error NULL: @c. Whoever is told may free the account, and the chain with it: the last thing that is done with it. */
static void tell_all(struct aws_chain *chain, const struct aws_error *error,
		     const struct aws_creds *c)
{
	uint32_t pos = 0;
	struct wait *wait;

	chain->telling = true;
	while (!chain->gone && (wait = hnd_next(&chain->waits, &pos))) {
		const struct wait own = *wait;

		hnd_del(&chain->waits, wait->id);
		free(wait);
		own.done(own.arg, error, error ? NULL : c);
	}
	chain->telling = false;
	if (chain->gone)
		free(chain);
}

static int64_t service_now_s(const struct aws_chain *chain)
{
	return (int64_t)time(NULL) + chain->acc->skew_s;
}

/* When to ask the source of @c again: in time before they end, or when it says. 0: they are not kept */
static int64_t renew_at_s(const struct aws_creds *c, int64_t now_s)
{
	const int64_t left_s = c->expires_s - now_s;

	if (c->again_s)
		return c->again_s;
	return c->expires_s ? c->expires_s - MIN((int64_t)AWS_REFRESH_S, left_s / 2) : 0;
}

static void keep(struct aws_chain *chain, const struct aws_creds *c)
{
	const int64_t at_s = renew_at_s(c, service_now_s(chain));

	aws_creds_wipe(&chain->kept);
	if (!at_s || aws_creds_copy(&chain->kept, c) < 0)
		return;
	chain->refresh_s = at_s;
	chain->kept_stamp = chain->stamp;
}

/* Are there kept ones, and is it not yet @until_s? 0: without end */
static bool kept_lives(const struct aws_chain *chain, int64_t until_s)
{
	return chain->kept.access_key && (!until_s || service_now_s(chain) < until_s);
}

static void files_forget(struct files *f)
{
	free(f->paths[0]);
	free(f->paths[1]);
	*f = (struct files){ 0 };
}

static void files_look(struct files *f, const struct aws_profile *p)
{
	const char *const paths[2] = { p->config_path, p->creds_path };

	files_forget(f);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (paths[i] && (f->paths[i] = strdup(paths[i])))
			aws_watch_look(&f->seen[i], paths[i]);
}

void aws_chain_watch(struct aws_account *acc)
{
	const struct files *f = acc->chain ? &acc->chain->files : NULL;

	for (size_t i = 0; f && i < ARRAY_LEN(f->paths); i++)
		if (f->paths[i])
			aws_watch_add_since(acc, f->paths[i], &f->seen[i]);
}

static void on_walked(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct aws_chain *chain = arg;
	struct aws_error why = error ? *error : (struct aws_error){ 0 };
	struct aws_creds own = { 0 };
	int err = 0;

	if (!error) {
		keep(chain, c);
		err = aws_creds_copy(&own, c);
	} else if (kept_lives(chain, chain->kept.expires_s)) {
		log_warn("aws: credentials could not be renewed, the old ones still serve: %s",
			 error->text);
		chain->refresh_s = service_now_s(chain) + RENEW_PAUSE_S;
		if (chain->kept.expires_s)
			chain->refresh_s = MIN(chain->refresh_s, chain->kept.expires_s);
		err = aws_creds_copy(&own, &chain->kept);
	}
	if (err < 0)
		aws_error_set(&why, err, "%s", st_strerror(err));
	if (!own.access_key && why.person)
		aws_chain_watch(chain->acc);
	aws_walk_free(chain->walk); /* with what @error and @c point to */
	chain->walk = NULL;
	tell_all(chain, own.access_key ? NULL : &why, &own);
	aws_creds_wipe(&own);
}

static void on_tell(void *arg, uint64_t now_ms)
{
	struct aws_chain *chain = arg;
	struct aws_creds own = { 0 };
	struct aws_error error;
	int err;

	(void)now_ms;
	if (!chain->kept.access_key)
		return; /* refused since: a walk is under way */
	if ((err = aws_creds_copy(&own, &chain->kept)) < 0)
		aws_error_set(&error, err, "%s", st_strerror(err));
	tell_all(chain, err < 0 ? &error : NULL, &own);
	aws_creds_wipe(&own);
}

static int walk_start(struct aws_chain *chain)
{
	struct aws_walk *w = walk_alloc(chain->acc, aws_sources, on_walked, chain);

	if (!w)
		return ST_ENOMEM;
	chain->stamp = aws_profile_stamp(chain->acc);
	/* An error of the files is told as the walk's. */
	if (aws_profile_load(&w->profile, chain->acc, &w->error) < 0)
		w->over = true; /* in the middle of an edit: what is kept may serve */
	else if (chain->kept_stamp != chain->stamp)
		aws_creds_wipe(&chain->kept); /* they may name somebody else now */
	files_look(&chain->files, &w->profile);
	w->use_env = !w->profile.is_chosen;
	if (walk_post(w) < 0) {
		aws_walk_free(w);
		return ST_ENOMEM;
	}
	chain->walk = w;
	return 0;
}

static struct aws_chain *chain_of(struct aws_account *acc)
{
	struct aws_chain *chain = acc->chain;

	if (chain || !(chain = calloc(1, sizeof(*chain))))
		return chain;
	chain->acc = acc;
	hnd_init(&chain->waits, WAITS_MAX);
	loop_timer_init(&chain->tell, on_tell, chain);
	acc->chain = chain;
	return chain;
}

/* What is kept serves while it is renewed: a person may be asked for a code meanwhile. */
static int chain_go(struct aws_chain *chain)
{
	struct loop *loop = chain->acc->aws->loop;
	const bool same = chain->stamp == aws_profile_stamp(chain->acc);
	const int64_t end_s = chain->kept.expires_s;
	const bool serves = same && end_s && kept_lives(chain, end_s - SPARE_S);
	int err;

	if (!chain->walk && !(same && kept_lives(chain, chain->refresh_s)) &&
	    (err = walk_start(chain)) < 0)
		return err;
	if (serves || !chain->walk)
		return loop_timer_set(loop, &chain->tell, loop_now_ms(loop));
	loop_timer_cancel(loop, &chain->tell);
	return 0;
}

int aws_chain_get(struct aws_account *acc, handle *out, const char *refused, aws_creds_fn *done,
		  void *arg)
{
	struct aws_chain *chain = chain_of(acc);
	struct wait *wait;
	int err;

	if (!chain || !(wait = calloc(1, sizeof(*wait))))
		return ST_ENOMEM;
	*wait = (struct wait){ .done = done, .arg = arg };
	if (refused)
		text_copy(acc->refused, sizeof(acc->refused), refused);
	if (refused && chain->kept.access_key && strcmp(chain->kept.access_key, refused) == 0)
		aws_creds_wipe(&chain->kept);
	if ((err = hnd_add(&chain->waits, wait, &wait->id)) < 0) {
		free(wait);
		return err;
	}
	if ((err = chain_go(chain)) < 0) {
		hnd_del(&chain->waits, wait->id);
		free(wait);
		return err;
	}
	*out = wait->id;
	return 0;
}

void aws_chain_cancel(struct aws_account *acc, handle wait)
{
	if (acc->chain)
		free(hnd_del(&acc->chain->waits, wait));
}

void aws_chain_free(struct aws_account *acc)
{
	struct aws_chain *chain = acc->chain;
	uint32_t pos = 0;
	struct wait *wait;

	if (!chain)
		return;
	acc->chain = NULL;
	while ((wait = hnd_next(&chain->waits, &pos)))
		free(hnd_del(&chain->waits, wait->id));
	hnd_fini(&chain->waits);
	loop_timer_cancel(acc->aws->loop, &chain->tell);
	aws_walk_free(chain->walk);
	aws_creds_wipe(&chain->kept);
	files_forget(&chain->files);
	chain->gone = true;
	if (!chain->telling)
		free(chain);
}
