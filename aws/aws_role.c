// SPDX-License-Identifier: MIT
/*
 * aws_role.c - a profile that assumes a role with the credentials of another profile, or of the machine
 *
 * Theory of operation: the profile's keys are checked as the AWS CLI checks them, before anything is asked for. Then the cache is
 * looked into; what it lacks needs the source's credentials, which a walk below this one finds: through the sources that
 * a source_profile may use (a role again among them), or through the one that credential_source names. Then the person is
 * asked for a code if there is an mfa_serial, and STS is called.
 *
 *   cache ──▶ (another one asks) ──▶ source's walk ──▶ (code) ──▶ AssumeRole ──▶ cache       a refused code, expired source: back
 *
 * Source: botocore credentials.py AssumeRoleProvider, AssumeRoleCredentialFetcher
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define DURATION_MIN_S 900 /* STS model roleDurationSecondsType */

struct role {
	struct aws_assume assume;
	struct aws_mfa mfa;
	bool has_mfa;
	const char *serial;	/* NULL: no MFA; as the next two borrowed from the profile */
	const char *source;	/* source_profile; NULL: credential_source */
	const char *machine;	/* credential_source */
	struct aws_walk *walk;	/* of the source; NULL: not under way */
	struct aws_creds creds; /* what it found */
	bool renewed;		/* the source was asked again once */
};

/* ---- the source's walk, and its end when there is nothing */

static void lacking_begin(struct aws_walk *w)
{
	const char *machine = aws_profile_get(&w->profile, "credential_source");
	const struct text_safe name = text_safe(w->profile.name);
	struct aws_error e;

	if (w->use_env) /* see source_walk() */
		aws_error_set(&e, ST_EAUTH,
			      "Error when retrieving credentials from %s: No credentials found in "
			      "credential_source referenced in profile %s",
			      text_safe(machine).s, name.s);
	else
		aws_error_set(&e, ST_EAUTH, "The source profile \"%s\" must have credentials.",
			      name.s);
	aws_walk_fail(w, &e);
}

const struct aws_source aws_source_lacking = { .name = "source", .begin = lacking_begin };

static const struct aws_source *const of_env[] = { &aws_source_env, &aws_source_lacking, NULL };
static const struct aws_source *const of_imds[] = { &aws_source_imds, &aws_source_lacking, NULL };
static const struct aws_source *const of_container[] = { &aws_source_container, &aws_source_lacking,
							 NULL };

/* credential_source: botocore's CANONICAL_NAME of a provider */
static const struct {
	const char *name;
	const struct aws_source *const *sources;
} machines[] = {
	{ "Environment", of_env },
	{ "Ec2InstanceMetadata", of_imds },
	{ "EcsContainer", of_container },
};

static const struct aws_source *const *machine_sources(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		if (strcmp(machines[i].name, name) == 0)
			return machines[i].sources;
	return NULL;
}

/* ---- is the profile right? */

static bool has_keys(const struct aws_profile *p)
{
	return aws_profile_get(p, "aws_access_key_id") ||
	       aws_profile_get(p, "aws_secret_access_key");
}

bool aws_role_applies(const struct aws_profile *p)
{
	return aws_profile_get(p, "role_arn") && !aws_profile_get(p, "web_identity_token_file");
}

/* "['a', 'b']": the profiles from the account's own down to @w's. */
static void visited_write(char *out, size_t cap, const struct aws_walk *w)
{
	size_t len;

	if (w->above)
		visited_write(out, cap, w->above);
	else
		text_copy(out, cap, "");
	len = strlen(out);
	snprintf(out + len, cap - len, "%s'%s'", len ? ", " : "", text_safe(w->profile.name).s);
}

static bool was_visited(const struct aws_walk *w, const char *name)
{
	for (; w; w = w->above)
		if (strcmp(w->profile.name, name) == 0)
			return true;
	return false;
}

static int endless(const struct aws_walk *w, const char *source, struct aws_error *e)
{
	char visited[512];

	visited_write(visited, sizeof(visited), w);
	return aws_error_set(e, ST_EAUTH,
			     "Infinite loop in credential configuration detected. Attempting to "
			     "load from profile %s which has already been visited. Visited "
			     "profiles: [%s]",
			     text_safe(source).s, visited);
}

/* A profile may be its own source if it has keys. Return: 0; ST_EAUTH with @e */
static int source_check(const struct aws_walk *w, const char *source, struct aws_error *e)
{
	const struct text_safe name = text_safe(source);
	struct aws_profile p;

	aws_profile_select(&p, &w->profile, source);
	if (!p.exists)
		return aws_error_set(e, ST_EAUTH,
				     "The source_profile \"%s\" referenced in the profile \"%s\" "
				     "does not exist.",
				     name.s, text_safe(w->profile.name).s);
	if (was_visited(w, source) && (strcmp(source, w->profile.name) != 0 || !has_keys(&p)))
		return endless(w, source, e);
	if (w->depth + 1 > AWS_ROLES_MAX)
		return aws_error_set(e, ST_EAUTH,
				     "profile \"%s\": these are more than %u roles on roles",
				     text_safe(w->profile.name).s, AWS_ROLES_MAX);
	return 0;
}

/* Return: 0; ST_EAUTH with @e */
static int config_check(const struct aws_walk *w, const struct role *r, struct aws_error *e)
{
	const struct text_safe name = text_safe(w->profile.name);

	if (r->machine && r->source)
		return aws_error_set(e, ST_EAUTH,
				     "The profile \"%s\" contains both source_profile and "
				     "credential_source.",
				     name.s);
	if (!r->machine && !r->source)
		return aws_error_set(e, ST_EAUTH,
				     "Partial credentials found in %s, missing: source_profile or "
				     "credential_source",
				     aws_source_role.name);
	if (r->machine && !machine_sources(r->machine))
		return aws_error_set(e, ST_EAUTH,
				     "The credential source \"%s\" referenced in profile \"%s\" is "
				     "not valid.",
				     text_safe(r->machine).s, name.s);
	return r->source ? source_check(w, r->source, e) : 0;
}

/* Of the request, by the profile's key. */
static const struct {
	const char *key, *member;
} arguments[] = {
	{ "role_arn", "RoleArn" },
	{ "role_session_name", "RoleSessionName" },
	{ "external_id", "ExternalId" },
	{ "mfa_serial", "SerialNumber" },
};

/* What is no number is passed over, as the AWS CLI does. Return: 0; an error code with @e */
static int duration_put(json_t *args, const struct aws_profile *p, struct aws_error *e)
{
	const char *text = aws_profile_get(p, "duration_seconds");
	char *end;
	long long s;

	if (!text)
		return 0;
	errno = 0;
	s = strtoll(text, &end, 10);
	if (errno || end == text || *end) {
		log_debug("aws: duration_seconds of profile %s is no number: not used",
			  text_safe(p->name).s);
		return 0;
	}
	if (s < DURATION_MIN_S)
		return aws_error_set(e, ST_EAUTH,
				     "Parameter validation failed: Invalid value for parameter "
				     "DurationSeconds, value: %lld, valid min value: %d",
				     s, DURATION_MIN_S);
	if (json_object_set_new(args, "DurationSeconds", json_integer(s)) < 0)
		return aws_error_set(e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	return 0;
}

/* Return: 0; an error code with @e */
static int args_make(json_t **out, const struct aws_profile *p, struct aws_error *e)
{
	json_t *args = json_object();
	int err = args ? 0 : aws_error_set(e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));

	for (size_t i = 0; !err && i < ARRAY_LEN(arguments); i++) {
		const char *value = aws_profile_get(p, arguments[i].key);

		if (value && json_object_set_new(args, arguments[i].member, json_string(value)) < 0)
			err = aws_error_set(e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	}
	if (!err)
		err = duration_put(args, p, e);
	if (err < 0) {
		json_decref(args);
		return err;
	}
	*out = args;
	return 0;
}

/* ---- asking */

static struct role *role_of(struct aws_assume *s)
{
	return container_of(s, struct role, assume);
}

static void on_code(void *arg, const char *code)
{
	struct role *r = arg;

	aws_assume_call(&r->assume, &r->creds, "TokenCode", code);
}

static void on_no_code(void *arg, const struct aws_error *error)
{
	struct role *r = arg;

	aws_assume_fail(&r->assume, error);
}

static void on_told(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct role *r = arg;

	if (error)
		aws_assume_fail(&r->assume, error);
	else if (c)
		aws_assume_found(&r->assume, c);
	else
		aws_assume_again(&r->assume);
}

static const struct aws_mfa_how mfa_how = { on_code, on_no_code, on_told };

static void on_source(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct role *r = arg;
	struct aws_error own = error ? *error : (struct aws_error){ 0 };

	aws_creds_wipe(&r->creds);
	if (!error && aws_creds_copy(&r->creds, c) < 0)
		aws_error_set(&own, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	aws_walk_free(r->walk); /* with what @error and @c point to */
	r->walk = NULL;
	if (own.err < 0)
		aws_assume_fail(&r->assume, &own);
	else if (r->serial)
		aws_mfa_ask(&r->mfa);
	else
		aws_assume_call(&r->assume, &r->creds, NULL, NULL);
}

static void source_walk(struct role *r)
{
	struct aws_walk *w = r->assume.w;
	const struct aws_source *const *sources = r->machine ? machine_sources(r->machine)
							     : aws_sources_of_profile;
	struct aws_error e;

	if (aws_walk_new(&r->walk, w, r->machine ? w->profile.name : r->source, sources, on_source,
			 r) < 0) {
		r->walk = NULL;
		aws_error_set(&e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		aws_assume_fail(&r->assume, &e);
		return;
	}
	r->walk->use_env = r->machine != NULL; /* the machine's own are of the environment */
}

static void on_miss(struct aws_assume *s)
{
	struct role *r = role_of(s);

	if (!r->serial || aws_mfa_lead(&r->mfa))
		source_walk(r);
}

/* ---- what STS says */

static void hint_denied(const struct role *r, struct aws_error *e)
{
	const struct aws_walk *w = r->assume.w;
	const char *lacks = aws_profile_get(&w->profile, "external_id") ? NULL : "external_id";
	char more[128] = "";

	if (!r->serial)
		lacks = lacks ? "external_id or mfa_serial" : "mfa_serial";
	if (lacks)
		snprintf(more, sizeof(more), "; it may want %s, which the profile lacks", lacks);
	aws_error_hint(e,
		       "the trust policy of the role that profile %s assumes must name the "
		       "identity of %s %s, which needs sts:AssumeRole on it%s",
		       text_safe(w->profile.name).s, r->source ? "profile" : "credential_source",
		       text_safe(r->source ? r->source : r->machine).s, more);
}

static bool on_failed(struct aws_assume *s, struct aws_error *e)
{
	struct role *r = role_of(s);
	const struct text_safe name = text_safe(s->w->profile.name);
	const struct text_safe source = text_safe(r->source ? r->source : r->machine);

	if (aws_error_is_expired(e) && r->creds.expires_s && !r->renewed) {
		r->renewed = true;
		text_copy(s->w->acc->refused, sizeof(s->w->acc->refused), r->creds.access_key);
		source_walk(r);
		return false;
	}
	if (r->serial && aws_mfa_refused(&r->mfa, e)) {
		aws_mfa_ask(&r->mfa);
		return false;
	}
	if (aws_error_is_expired(e))
		aws_error_hint(
			e, "give new keys to %s %s, whose identity assumes the role of profile %s",
			r->source ? "profile" : "credential_source", source.s, name.s);
	else if (e->err == ST_EPERM)
		hint_denied(r, e);
	else if (strcmp(e->code, "ValidationError") == 0)
		aws_error_hint(e,
			       "see duration_seconds, external_id, role_session_name and role_arn "
			       "of profile %s",
			       name.s);
	return true;
}

static void on_ending(struct aws_assume *s, const struct aws_error *error,
		      const struct aws_creds *c)
{
	struct role *r = role_of(s);

	if (r->has_mfa)
		aws_mfa_over(&r->mfa, error, c);
}

static const struct aws_assume_how how = {
	.op = AWS_ASSUME_ROLE, .miss = on_miss, .failed = on_failed, .ending = on_ending
};

/* ---- the step */

/* Does a role above ask for a code for the very same file? It waits for us: we can't wait for it. */
static bool is_asked_above(const struct aws_walk *w, const char *path)
{
	for (w = w->above; w; w = w->above) {
		const struct role *r = w->state;

		if (w->sources[w->at] == &aws_source_role && r->serial &&
		    strcmp(r->assume.cache.path, path) == 0)
			return true;
	}
	return false;
}

/* Return: 0; an error code with @e */
static int role_init(struct aws_walk *w, struct role *r, struct aws_error *e)
{
	json_t *args;
	int err;

	r->source = aws_profile_get(&w->profile, "source_profile");
	r->machine = aws_profile_get(&w->profile, "credential_source");
	r->serial = aws_profile_get(&w->profile, "mfa_serial");
	if ((err = config_check(w, r, e)) < 0 || (err = args_make(&args, &w->profile, e)) < 0)
		return err;
	if ((err = aws_assume_init(&r->assume, w, &how, args)) < 0)
		return aws_error_set(e, err, "%s", st_strerror(err));
	if (r->serial && is_asked_above(w, r->assume.cache.path))
		return endless(w, w->profile.name, e);
	r->has_mfa = r->serial != NULL;
	if (r->has_mfa)
		aws_mfa_init(&r->mfa, w->acc, r->serial, r->assume.cache.path, &mfa_how, r);
	return 0;
}

static void role_begin(struct aws_walk *w)
{
	struct aws_error e;
	struct role *r;

	if (!aws_role_applies(&w->profile)) {
		aws_walk_skip(w, "profile %s has no role_arn, or one for a web identity",
			      text_safe(w->profile.name).s);
		return;
	}
	if (w->above && has_keys(&w->profile)) {
		aws_walk_skip(w, "the keys of a source profile come before its role_arn");
		return;
	}
	if (!(r = calloc(1, sizeof(*r)))) {
		aws_error_set(&e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		aws_walk_fail(w, &e);
		return;
	}
	w->state = r;
	if (role_init(w, r, &e) < 0)
		aws_walk_fail(w, &e);
	else
		aws_assume_again(&r->assume);
}

static void role_end(struct aws_walk *w)
{
	struct role *r = w->state;

	if (!r)
		return;
	aws_walk_free(r->walk);
	if (r->has_mfa)
		aws_mfa_fini(&r->mfa);
	aws_assume_end(&r->assume);
	aws_creds_wipe(&r->creds);
	free(r);
}

const struct aws_source aws_source_role = { .name = "assume-role",
					    .begin = role_begin,
					    .end = role_end };
