// SPDX-License-Identifier: MIT
/*
 * tnl_kms.c - the data key of a session that is encrypted by a KMS key
 *
 * Theory of operation: the agent names the key, KMS makes a data key and encrypts it, the channel sends that to the agent, which
 * has KMS decrypt it under the same context. The agent waits 15 s for it. Without a key the agent is told so, and the
 * session is lost for what KMS said.
 * Source: ssm-protocol.md 5.5
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/codec.h"
#include "base/err.h"
#include "tunnel/tnl_session_internal.h"

#define CIPHER_KEY_MAX 6144U /* KMS: CiphertextBlob; what ssm_chan_key() takes */

static void key_fail(struct tnl_session *s, const struct tnl_fault *f)
{
	ssm_chan_key_failed(s->ssm, "the client got no data key from KMS", loop_now_us(s->u->loop));
	tnl_session_lost(s, f);
}

static void key_fail_text(struct tnl_session *s, int err, const char *what)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = { .err = err, .text = text };

	snprintf(text, sizeof(text), "%s: the session with %s is to be encrypted: %s", s->u->o.name,
		 s->target, what);
	key_fail(s, &f);
}

static void refused(struct tnl_session *s, const struct aws_error *e)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = {
		.err = e->err,
		.person = e->person,
		.for_good = !e->person && !e->retryable,
		.text = text,
	};
	const bool denied = e->err == ST_EPERM;

	snprintf(text, sizeof(text), "%s: the session with %s is to be encrypted: %s; %s",
		 s->u->o.name, s->target, e->text,
		 denied ? "the IAM identity needs kms:GenerateDataKey on that key; the account's "
			  "Session "
			  "Manager preferences name it"
		 : e->hint[0] != '\0'
			 ? e->hint
			 : "see the KMS key in the account's Session Manager preferences");
	key_fail(s, &f);
}

/* Return: bytes; ST_EFORMAT; ST_EFULL */
static ssize_t member_read(uint8_t *out, size_t cap, const json_t *answer, const char *name)
{
	const char *text = aws_text(answer, name);

	return text != NULL ? codec_b64_decode(out, cap, text, strlen(text)) : ST_EFORMAT;
}

static void on_answer(void *arg, const struct aws_error *error, json_t *answer)
{
	struct tnl_session *s = arg;
	uint8_t key[SSM_DATA_KEY_LEN], cipher[CIPHER_KEY_MAX];
	ssize_t cipher_len;
	int r = ST_EPEER;

	s->data_key = 0;
	if (error != NULL) {
		refused(s, error);
		return;
	}
	cipher_len = member_read(cipher, sizeof(cipher), answer, "CiphertextBlob");
	if (cipher_len > 0 &&
	    member_read(key, sizeof(key), answer, "Plaintext") == (ssize_t)sizeof(key))
		r = ssm_chan_key(s->ssm, key, cipher, (size_t)cipher_len, loop_now_us(s->u->loop));
	codec_wipe(key, sizeof(key));
	if (r < 0) {
		key_fail_text(s, r,
			      r == ST_EPEER ? "KMS answered without a data key" : st_strerror(r));
		return;
	}
	tnl_session_stage_limit(s);
	tnl_session_kick(s);
}

static json_t *question(const struct tnl_session *s, const struct ssm_key_wanted *w)
{
	return json_pack("{s:s, s:i, s:{s:s, s:s, s:s*}}", "KeyId", w->key_id, "NumberOfBytes",
			 (int)SSM_DATA_KEY_LEN, "EncryptionContext", "aws:ssm:SessionId",
			 tnl_wire_session_id(s->wire), "aws:ssm:TargetId",
			 tnl_wire_found(s->wire)->id, "aws:ssm:RandomChallenge", w->challenge);
}

void tnl_kms_ask(struct tnl_session *s, const struct ssm_key_wanted *w)
{
	const struct aws_at at = { .region = tnl_wire_found(s->wire)->region };
	int r;

	r = aws_ask_at(s->u->o.account, &s->data_key, AWS_GENERATE_DATA_KEY, question(s, w),
		       w->key_id, &at, on_answer, s);
	if (r == 0) {
		loop_timer_cancel(s->u->loop, &s->limit); /* the call has limits */
		return;
	}
	s->data_key = 0;
	key_fail_text(s, r, st_strerror(r));
}

void tnl_kms_cancel(struct tnl_session *s)
{
	if (s->data_key != 0)
		aws_cancel(s->u->aws, s->data_key);
	s->data_key = 0;
}
