// SPDX-License-Identifier: MIT
/*
 * aws_answer.c - fuzz target: any bytes as the answer to each operation, as a success and as an error
 *
 * The first byte chooses the operation, the second the status and whether a header has the code. Whatever comes, what is
 * told about it is printable.
 */
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(const char *s, size_t cap)
{
	size_t len = strlen(s), n;

	ST_ASSERT(len < cap);
	for (; len > 0; s += n, len -= n) {
		n = text_plain_len(s, len);
		ST_ASSERT(n > 0);
	}
}

static void success(enum aws_op op, json_t *root)
{
	const struct aws_op_row *row = &aws_ops[op];
	struct aws_session s;
	struct aws_error e;

	if (row->list)
		aws_list(root, row->list);
	if (row->token_out)
		aws_text(root, row->token_out);
	if (op != AWS_START_SESSION && op != AWS_RESUME_SESSION)
		return;
	if (aws_session_read(&s, op, root, true, &e) == 0)
		ST_ASSERT(s.session_id && s.token && strncmp(s.stream_url, "wss://", 6) == 0);
	else
		check_plain(e.text, sizeof(e.text));
}

static void failure(enum aws_op op, const json_t *root, uint8_t how)
{
	static const long statuses[] = { 400, 401, 403, 404, 429, 500, 503, 302 };
	const struct aws_endpoint at = { .region = "eu-west-1", .region_from = "AWS_REGION" };
	struct aws_answer_head head = { .status = statuses[how % ARRAY_LEN(statuses)] };
	const struct aws_failure f = { .op = op,
				       .subject = how & 0x20 ? "i-1" : NULL,
				       .at = &at,
				       .head = &head,
				       .root = root,
				       .profile = "x",
				       .retries = how >> 6 };
	struct aws_error e;

	if (how & 0x10)
		strcpy(head.error_type, "ns#ExpiredTokenException:http://x");
	aws_error_from_answer(&e, &f);
	ST_ASSERT(e.err < 0);
	check_plain(e.text, sizeof(e.text));
	check_plain(e.hint, sizeof(e.hint));
	check_plain(e.code, sizeof(e.code));
	check_plain(e.request_id, sizeof(e.request_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum aws_op op;
	json_t *root;
	int err;

	if (size < 2)
		return 0;
	op = (enum aws_op)(data[0] % AWS_OP_N);
	err = aws_proto_read(&root, op, data + 2, size - 2);
	ST_ASSERT(err == 0 || err == ST_EFORMAT);
	ST_ASSERT((err == 0) == (root != NULL));
	if (root)
		success(op, root);
	failure(op, root, data[1]);
	json_decref(root);
	return 0;
}
