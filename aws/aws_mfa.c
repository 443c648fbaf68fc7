// SPDX-License-Identifier: MIT
/*
 * aws_mfa.c - asking a person for the code of an MFA device, once for all who need it
 *
 * Theory of operation: a code is good for one call of AssumeRole, and what that gives is kept in the cache's file. So whoever
 * comes first for a file leads: asks, calls, and tells the others what came of it, from a task at the end of the turn,
 * since whom it tells may free anything. A leader that goes away without an outcome leaves the others to begin again.
 * Source: botocore credentials.py AssumeRoleCredentialFetcher (the prompt, hidden as getpass does it)
 */
#include <stdio.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define TRIES_MAX 3U   /* ours; the AWS CLI gives up after one */
#define CODE_DIGITS 6U /* STS model tokenCodeType */

static void on_tell(void *arg, uint64_t now_ms)
{
	struct aws_mfa *m = arg;
	struct aws_creds own = m->given;
	const struct aws_error error = m->error;

	(void)now_ms;
	m->given = (struct aws_creds){ 0 };
	m->how->told(m->arg, error.err < 0 ? &error : NULL, own.access_key ? &own : NULL);
	aws_creds_wipe(&own);
}

void aws_mfa_init(struct aws_mfa *m, struct aws_account *acc, const char *serial, const char *path,
		  const struct aws_mfa_how *how, void *arg)
{
	*m = (struct aws_mfa){ .acc = acc, .serial = serial, .path = path, .how = how, .arg = arg };
	aws_watch_look(&m->seen, path);
	list_node_init(&m->node);
	list_init(&m->followers);
	loop_task_init(&m->tell, LOOP_FLUSH, on_tell, m);
}

bool aws_mfa_lead(struct aws_mfa *m)
{
	if (m->is_leader)
		return true;
	list_for_each (it, &m->acc->aws->mfa) {
		struct aws_mfa *leader = container_of(it, struct aws_mfa, node);

		if (strcmp(leader->path, m->path) != 0)
			continue;
		log_debug("aws: somebody is being asked for a code of %s already",
			  text_safe(m->serial).s);
		list_push_back(&leader->followers, &m->node);
		return false;
	}
	list_push_back(&m->acc->aws->mfa, &m->node);
	m->is_leader = true;
	return true;
}

/* ---- the person ---- */

static void not_given(struct aws_mfa *m, const char *why)
{
	const struct shell_word profile = aws_shell_word(aws_account_profile(m->acc));
	struct aws_error e;

	aws_error_set(&e, ST_EAUTH, "AssumeRole needs a code of the MFA device %s: %s",
		      text_safe(m->serial).s, why);
	e.person = true;
	aws_error_hint(&e, "run: ssm-tun login %s (or: aws sts get-caller-identity --profile %s)",
		       profile.s, profile.s);
	aws_watch_add_since(m->acc, m->path, &m->seen);
	m->how->failed(m->arg, &e);
}

static void unanswered(struct aws_mfa *m, int err)
{
	struct aws_error e;

	switch (err) {
	case ST_ENOENT: not_given(m, "nobody is there to be asked"); break;
	case ST_ETIMEOUT: not_given(m, "nobody has typed it"); break;
	case ST_ECANCELED:
		aws_error_set(&e, err, "no code of the MFA device %s was given",
			      text_safe(m->serial).s);
		m->how->failed(m->arg, &e);
		break;
	default: not_given(m, st_strerror(err)); break;
	}
}

/* Return: false if it is no code */
static bool code_take(char out[CODE_DIGITS + 1], const uint8_t *line, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == ' ' || line[i] == '\t')
			continue; /* many devices show two groups of three */
		if (line[i] < '0' || line[i] > '9' || n == CODE_DIGITS)
			return false;
		out[n++] = (char)line[i];
	}
	out[n] = '\0';
	return n == CODE_DIGITS;
}

static void on_line(void *arg, int err, const uint8_t *line, size_t len)
{
	struct aws_mfa *m = arg;
	char code[CODE_DIGITS + 1];

	m->question = 0;
	text_copy(m->why, sizeof(m->why), "A code has 6 digits");
	if (err < 0)
		unanswered(m, err);
	else if (code_take(code, line, len))
		m->how->code(m->arg, code);
	else if (m->tries < TRIES_MAX)
		aws_mfa_ask(m);
	else
		not_given(m, "what was typed is none: it has 6 digits");
	codec_wipe(code, sizeof(code));
}

void aws_mfa_ask(struct aws_mfa *m)
{
	const struct svc *svc = m->acc->aws->svc;
	char prompt[TEXT_SAFE_MAX + sizeof(m->why) + 64];
	int err = ST_ENOENT;

	m->tries++;
	snprintf(prompt, sizeof(prompt), "%s%sEnter MFA code for %s: ", m->why,
		 m->why[0] ? ". " : "", text_safe(m->serial).s);
	if (svc->ask)
		err = svc->ask(svc->ctx, &m->question, prompt, true, m->acc->aws->limits.mfa_ms,
			       on_line, m);
	if (err < 0) {
		m->question = 0;
		unanswered(m, err);
	}
}

bool aws_mfa_refused(struct aws_mfa *m, struct aws_error *e)
{
	const struct shell_word profile = aws_shell_word(aws_account_profile(m->acc));
	const char *why = strstr(e->text, "MultiFactorAuthentication failed");

	if (e->err != ST_EPERM || !why)
		return false;
	text_copy(m->why, sizeof(m->why), why);
	m->why[strcspn(m->why, ".")] = '\0';
	if (m->tries < TRIES_MAX)
		return true;
	e->err = ST_EAUTH;
	e->person = true;
	aws_error_hint(e,
		       "is %s the right device, and its clock right? Run: ssm-tun login %s (or: "
		       "aws sts get-caller-identity --profile %s)",
		       text_safe(m->serial).s, profile.s, profile.s);
	aws_watch_add_since(m->acc, m->path, &m->seen);
	return false;
}

/* ---- those who wait ---- */

static void follower_give(struct aws_mfa *f, const struct aws_error *error,
			  const struct aws_creds *c)
{
	list_del(&f->node);
	if (error)
		f->error = *error;
	else if (c && aws_creds_copy(&f->given, c) < 0)
		aws_error_set(&f->error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	if (error && error->person)
		aws_watch_add_since(f->acc, f->path, &f->seen);
	loop_task_post(f->acc->aws->loop, &f->tell);
}

void aws_mfa_over(struct aws_mfa *m, const struct aws_error *error, const struct aws_creds *c)
{
	if (!m->is_leader)
		return;
	m->is_leader = false;
	list_del(&m->node);
	list_for_each (it, &m->followers)
		follower_give(container_of(it, struct aws_mfa, node), error, c);
}

void aws_mfa_fini(struct aws_mfa *m)
{
	const struct svc *svc = m->acc->aws->svc;

	if (m->question)
		svc->ask_cancel(svc->ctx, m->question);
	m->question = 0;
	aws_mfa_over(m, NULL, NULL);
	list_del(&m->node);
	loop_task_cancel(&m->tell);
	aws_creds_wipe(&m->given);
}
