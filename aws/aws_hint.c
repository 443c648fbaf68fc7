// SPDX-License-Identifier: MIT
/*
 * aws_hint.c - the one line that says what to do about a service's error
 *
 * Theory of operation: the table of codes in aws_error.c names a kind of hint, which is written here with what is known of the call:
 * its subject, its region and where that was found, its operation's IAM action, the clock. Where the service's text itself names
 * the action, the resource and the policy that denies, the hint has these.
 * Source: AWS IAM User Guide, "Troubleshoot access denied error messages"; EC2 API Reference, "Error codes"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/text.h"

#define CLOCK_SKEW_S 240 /* AWS refuses beyond 300 s; ours: name the clock a little earlier */

struct region_text aws_region_text(const struct aws_endpoint *at)
{
	struct region_text t = { "" };

	if (at->region_from[0])
		snprintf(t.s, sizeof(t.s), "%s (from %s)", at->region, at->region_from);
	else
		text_copy(t.s, sizeof(t.s), at->region);
	return t;
}

struct shell_word aws_shell_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_@%+=:,./-";
	const struct text_safe safe = text_safe(word);
	const size_t cap = sizeof(((struct shell_word *)0)->s);
	struct shell_word out = { "" };
	size_t n = 0;

	if (*word && *word != '-' && strspn(word, plain) == strlen(word) &&
	    text_copy(out.s, cap, word))
		return out;
	out.s[n++] = '\'';
	for (const char *c = safe.s; *c && n + 6 < cap; c++)
		n += (size_t)snprintf(out.s + n, cap - n, *c == '\'' ? "'\\''" : "%c", *c);
	snprintf(out.s + n, cap - n, "'");
	return out;
}

/* ---- no permission ---- */

/* What a message says: "… is not authorized to perform: A on resource: R because no P allows the A action", "… with an
 * explicit deny in a P". Empty where it says nothing. */
struct denial {
	char action[128], resource[TEXT_SAFE_MAX + 4], policy[80];
	bool is_explicit;
};

static void word_after(char *out, size_t cap, const char *text, const char *before,
		       const char *stop)
{
	const char *at = strstr(text, before);
	struct text_safe word;
	size_t len;

	out[0] = '\0';
	if (!at)
		return;
	at += strlen(before);
	len = strcspn(at, stop);
	while (len && strchr(".,", at[len - 1]))
		len--;
	word = text_safe_n(at, len);
	text_copy(out, cap, word.s);
}

static void denial_read(struct denial *d, const char *message)
{
	*d = (struct denial){ .is_explicit = strstr(message, "explicit deny") != NULL };
	word_after(d->action, sizeof(d->action), message, "to perform: ", " ");
	word_after(d->resource, sizeof(d->resource), message, "on resource: ", " ");
	if (d->is_explicit)
		word_after(d->policy, sizeof(d->policy), message, "explicit deny in ", ":;\n");
	else
		word_after(d->policy, sizeof(d->policy), message, "because no ", ":;\n");
	char *end = strstr(d->policy, " allows ");

	if (end)
		*end = '\0';
}

static void hint_denied(struct aws_error *e, const struct aws_failure *f, const char *message)
{
	const char *action = aws_ops[f->op].iam, *resource = f->subject ? f->subject : "*";
	struct denial d;

	denial_read(&d, message);
	if (d.action[0])
		action = d.action;
	if (!action)
		return;
	if (d.resource[0])
		resource = d.resource;
	if (d.is_explicit)
		aws_error_hint(
			e, "%s on %s is denied explicitly%s%s: allowing it elsewhere does not help",
			action, text_safe(resource).s, d.policy[0] ? " in " : " by a policy",
			d.policy);
	else if (d.policy[0])
		aws_error_hint(e, "the IAM identity needs %s on %s; what has to allow it: %s",
			       action, text_safe(resource).s, d.policy);
	else
		aws_error_hint(e, "the IAM identity needs %s on %s%s", action,
			       text_safe(resource).s,
			       f->op == AWS_START_SESSION && !d.resource[0]
				       ? " and on the session document"
				       : "");
}

/* ---- the clock, and keys ---- */

/* Return: true if the request was dated so that no service takes it, and the hint says so */
static bool hint_clock(struct aws_error *e, const struct aws_failure *f)
{
	const int64_t ahead_s = f->head->date_s ? (int64_t)time(NULL) - f->head->date_s : 0;
	const int64_t left_s = ahead_s + f->skew_s;

	if (!ahead_s || (left_s <= CLOCK_SKEW_S && left_s >= -CLOCK_SKEW_S))
		return false;
	aws_error_hint(e, "this machine's clock is %lld s %s the service's: set it right",
		       llabs((long long)ahead_s), ahead_s < 0 ? "behind" : "ahead of");
	return true;
}

static void hint_signature(struct aws_error *e, const struct aws_failure *f)
{
	if (hint_clock(e, f))
		return;
	if (f->skew_s)
		aws_error_hint(e,
			       "the secret access key does not belong to this access key id (this "
			       "machine's clock, %lld s %s the "
			       "service's, has been allowed for)",
			       llabs((long long)f->skew_s), f->skew_s < 0 ? "ahead of" : "behind");
	else
		aws_error_hint(e, "the secret access key does not belong to this access key id%s",
			       f->head->date_s ? "" : ", or this machine's clock is wrong");
}

static void hint_unknown_key(struct aws_error *e, const struct aws_failure *f)
{
	if (!hint_clock(e, f))
		aws_error_hint(e,
			       "the access key is unknown, deleted, inactive, or of another "
			       "partition than region %s",
			       aws_region_text(f->at).s);
}

static void hint_login(struct aws_error *e, const struct aws_failure *f)
{
	if (f->profile && strcmp(f->profile, "default") != 0)
		aws_error_hint(e, "run: aws sso login --profile %s", aws_shell_word(f->profile).s);
	else
		aws_error_hint(e, "run: aws sso login");
}

static void hint_expired(struct aws_error *e, const struct aws_failure *f)
{
	const char *source = f->source ? f->source : "";

	if (hint_clock(e, f))
		return;
	if (strcmp(source, "sso") == 0)
		hint_login(e, f);
	else if (strcmp(source, "env") == 0)
		aws_error_hint(e, "the temporary credentials of the environment have expired: get "
				  "new ones and start again");
	else
		aws_error_hint(e,
			       "the temporary credentials%s%s have expired: get new ones (for SSO: "
			       "aws sso login)",
			       source[0] ? " of " : "", source);
}

/* ---- targets ---- */

static void hint_offline(struct aws_error *e, const struct aws_failure *f, const char *subject)
{
	aws_error_hint(e,
		       "the agent of %s is offline, or %s is of another account or region than %s; "
		       "see: aws ssm "
		       "describe-instance-information --region %s",
		       subject, subject, aws_region_text(f->at).s, f->at->region);
}

static void hint_of_region(struct aws_error *e, const struct aws_failure *f, const char *what,
			   const char *subject)
{
	aws_error_hint(e, "%s %s in region %s, in this account", subject, what,
		       aws_region_text(f->at).s);
}

void aws_hint_fill(struct aws_error *e, enum aws_hint hint, const struct aws_failure *f,
		   const char *message)
{
	const struct text_safe subject = text_safe(f->subject ? f->subject : "what was asked for");
	const char *op = aws_ops[f->op].name;

	switch (hint) {
	case HINT_NONE: break;
	case HINT_DENIED: hint_denied(e, f, message); break;
	case HINT_EXPIRED: hint_expired(e, f); break;
	case HINT_LOGIN: hint_login(e, f); break;
	case HINT_NO_ROLE:
		aws_error_hint(e, "this user has not been given that role in that account: see "
				  "sso_account_id and sso_role_name");
		break;
	case HINT_UNKNOWN_KEY: hint_unknown_key(e, f); break;
	case HINT_SIGNATURE: hint_signature(e, f); break;
	case HINT_NO_KEY:
		aws_error_hint(e,
			       "something on the way took the Authorization header off; a proxy?");
		break;
	case HINT_OFFLINE: hint_offline(e, f, subject.s); break;
	case HINT_DOCUMENT:
		aws_error_hint(
			e, "the session document is unknown in region %s, or not one for sessions",
			aws_region_text(f->at).s);
		break;
	case HINT_SESSION: aws_error_hint(e, "the session is over; a new one is needed"); break;
	case HINT_TARGET: hint_of_region(e, f, "is not a managed node", subject.s); break;
	case HINT_UNKNOWN: hint_of_region(e, f, "does not exist", subject.s); break;
	case HINT_STOPPED: aws_error_hint(e, "%s does not run: start it", subject.s); break;
	case HINT_KMS:
		aws_error_hint(
			e, "see the state of the KMS key that Session Manager's preferences name");
		break;
	case HINT_ACCOUNT:
		aws_error_hint(e,
			       "the account can't use this: see its state, and whether region %s "
			       "is enabled for it",
			       aws_region_text(f->at).s);
		break;
	case HINT_THROTTLED:
		aws_error_hint(e, "the account calls %s too often; it is tried again later", op);
		break;
	case HINT_SERVICE:
		aws_error_hint(e, "a fault of the service; it is tried again later");
		break;
	}
}
