// SPDX-License-Identifier: MIT
/*
 * aws_process.c - the source "custom-process": credential_process of a profile
 *
 * Theory of operation: the command is run by the job of aws_exec.c, in the runner; here is what its answer means. It is read
 * anew from the profile for every walk. Without an Expiration the AWS CLI runs it once for each of its short lives; we keep
 * what it gave for KEEP_S, since it may ask a person for a touch or a code.
 * Source: botocore 1.29 credentials.py ProcessProvider
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

#define KEEP_S 900 /* ours: as the AWS CLI's time before expiry at which it asks again */

#define WORDS_MAX 600U /* bytes of what the job says that fit a message; ours */

struct process {
	struct aws_walk *w;
	handle job; /* 0: none */
};

static void hint(const struct aws_walk *w, struct aws_error *error)
{
	aws_error_hint(error,
		       "run the credential_process of profile %s by hand (no shell reads it "
		       "here): it must print {\"Version\": 1, \"AccessKeyId\": …}",
		       text_safe(w->profile.name).s);
}

/* What the job's code means; with ST_EPERM @words say it. */
static int judge(struct aws_walk *w, int err, const void *words, size_t len,
		 struct aws_error *error)
{
	const char *name = aws_source_process.name;
	char text[WORDS_MAX + 4];

	if (err == 0)
		return 0;
	if (err == ST_EPERM) {
		text_escape(text, WORDS_MAX, words, len, false);
		err = aws_retrieval_error(error, ST_EAUTH, name, "%s", text);
	} else if (err == ST_ETIMEOUT) {
		err = aws_retrieval_error(error, ST_EAUTH, name,
					  "it did not end within %u s and was killed",
					  w->acc->aws->limits.process_ms / 1000);
	} else {
		err = aws_retrieval_error(error, ST_EAGAIN, name, "%s", st_strerror(err));
	}
	hint(w, error);
	return err;
}

/* Return: 0; ST_EAUTH with @error filled in */
static int version_check(const json_t *root, struct aws_error *error)
{
	const json_t *version = json_object_get(root, "Version");
	char *text;

	if (json_is_number(version) && json_number_value(version) == 1.0)
		return 0;
	text = version ? json_dumps(version, JSON_ENCODE_ANY) : NULL;
	aws_retrieval_error(
		error, ST_EAUTH, aws_source_process.name,
		"Unsupported version '%.40s' for credential process provider, supported "
		"versions: 1",
		text ? text_safe(text).s : "<Version key not provided>");
	free(text);
	return ST_EAUTH;
}

static int output_read(struct aws_creds *c, const char *text, size_t len, struct aws_error *error)
{
	const char *name = aws_source_process.name;
	json_error_t where; /* its text quotes what was read: only the place is told */
	json_t *root = json_loadb(text, len, 0, &where);
	int err;

	if (!root)
		return aws_retrieval_error(error, ST_EAUTH, name,
					   "its output is no JSON (line %d, column %d)", where.line,
					   where.column);
	if (!json_is_object(root))
		err = aws_retrieval_error(error, ST_EAUTH, name,
					  "its output is JSON, but no object");
	else if (!(err = version_check(root, error)))
		err = aws_creds_read(c, root, "SessionToken", name, error);
	json_decref(root);
	return err;
}

static void on_done(void *arg, int err, const uint8_t *out, size_t len)
{
	struct process *p = arg;
	struct aws_walk *w = p->w;
	struct aws_creds c = { 0 };
	struct aws_error error;

	p->job = 0;
	if ((err = judge(w, err, out, len, &error)) == 0 &&
	    (err = output_read(&c, (const char *)out, len, &error)) == ST_EAUTH)
		hint(w, &error);
	if (!err && !c.expires_s)
		c.again_s = (int64_t)time(NULL) + w->acc->skew_s + KEEP_S;
	if (err < 0)
		aws_walk_fail(w, &error);
	else
		aws_walk_found(w, &c);
}

static void process_begin(struct aws_walk *w)
{
	const char *command = aws_profile_get(&w->profile, "credential_process");
	const struct svc *svc = w->acc->aws->svc;
	struct process *p;
	struct aws_error error;
	int err = ST_ENOMEM;

	if (!command) {
		aws_walk_skip(w, "no credential_process in profile %s",
			      text_safe(w->profile.name).s);
		return;
	}
	if ((w->state = p = calloc(1, sizeof(*p)))) {
		p->w = w;
		err = svc->run(svc->ctx, &p->job, SVC_AWS_PROCESS, command, strlen(command),
			       w->acc->aws->limits.process_ms, on_done, p);
	}
	if (err < 0) {
		if (p)
			p->job = 0;
		judge(w, err, "", 0, &error);
		aws_walk_fail(w, &error);
	}
}

static void process_end(struct aws_walk *w)
{
	const struct svc *svc = w->acc->aws->svc;
	struct process *p = w->state;

	if (p && p->job)
		svc->cancel(svc->ctx, p->job);
	free(p);
}

const struct aws_source aws_source_process = { .name = "custom-process",
					       .begin = process_begin,
					       .end = process_end };
