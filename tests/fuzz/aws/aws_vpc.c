// SPDX-License-Identifier: MIT
/*
 * aws_vpc.c - any answers of EC2 and Route 53 to the questions about a VPC
 *
 * The input is pieces that end in a NUL byte, each the answer to the next call: XML, or "!" denied, "?" a prefix list that is not there,
 * "~" throttled; its first byte says whether the first or the last call under way is answered. What follows from them must be
 * sorted, disjoint and bounded; broken off at the end of the input, nothing may be left. The calls themselves are made here, in
 * place of aws_call.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 8U /* steps of a question */

struct asked {
	aws_call id;
	enum aws_op op;
	aws_answer_fn *done;
	void *arg;
};

static struct asked asked[CALLS_MAX];
static size_t n_asked;
static aws_call last_id;

int aws_ask_as(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	       const char *subject, const struct aws_as *as, aws_answer_fn *done, void *arg)
{
	(void)acc;
	(void)subject;
	(void)as;
	if (!params || n_asked == CALLS_MAX)
		abort();
	json_decref(params);
	*out = ++last_id;
	asked[n_asked++] = (struct asked){ last_id, op, done, arg };
	return 0;
}

static struct asked take(size_t at)
{
	struct asked a = asked[at];

	memmove(&asked[at], &asked[at + 1], (--n_asked - at) * sizeof(a));
	return a;
}

void aws_cancel(struct aws *a, aws_call call)
{
	(void)a;
	for (size_t i = 0; i < n_asked; i++)
		if (asked[i].id == call) {
			take(i);
			return;
		}
	abort();
}

const char *aws_account_region(struct aws_account *acc)
{
	(void)acc;
	return "eu-west-1";
}

void aws_free_wiping(void *p)
{
	free(p);
}

/* ---- what must hold of a result */

static void check_prefixes(const struct net_prefix *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].len < 7 || net_addr_is_local_only(&v[i].addr))
			abort();
		if (i > 0 && (net_addr_cmp(&v[i - 1].addr, &v[i].addr) >= 0 ||
			      net_prefix_covers(&v[i - 1], &v[i])))
			abort();
	}
}

static void check(const struct aws_vpc *v)
{
	if (!v->n_own || v->n_own + v->n_routed > AWS_VPC_PREFIXES_MAX ||
	    v->n_suffixes > AWS_VPC_SUFFIXES_MAX || v->n_missing > AWS_VPC_MISSING_MAX ||
	    strncmp(v->instance_id, "i-", 2) != 0 || !v->vpc_id[0])
		abort();
	check_prefixes(v->own, v->n_own);
	check_prefixes(v->routed, v->n_routed);
	for (size_t i = 0; i < v->n_suffixes; i++)
		if (!v->suffixes[i][0] || strlen(v->suffixes[i]) > 253 ||
		    (i > 0 && strcmp(v->suffixes[i - 1], v->suffixes[i]) >= 0))
			abort();
}

static bool over;

static void on_vpc(void *arg, const struct aws_error *error, struct aws_vpc *vpc)
{
	(void)arg;
	if (over || n_asked || !error != !!vpc || (error && (error->err >= 0 || !error->text[0])))
		abort();
	over = true;
	if (vpc)
		check(vpc);
	aws_vpc_free(vpc);
}

/* ---- the answers */

static void answer(const struct asked *a, const char *piece, size_t len)
{
	static const struct {
		char mark;
		int err;
		const char *code;
	} errors[] = { { '!', ST_EPERM, "UnauthorizedOperation" },
		       { '?', ST_EPEER, "InvalidPrefixListID.NotFound" },
		       { '~', ST_EAGAIN, "RequestLimitExceeded" } };
	struct aws_error error = { .err = ST_EPEER, .code = "", .text = "it can't be read" };
	json_t *root = NULL;

	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (len == 1 && piece[0] == errors[i].mark) {
			error.err = errors[i].err;
			strcpy(error.code, errors[i].code);
		}
	if (!error.code[0])
		aws_xml_read(&root, aws_ops[a->op].item, piece, len);
	a->done(a->arg, root ? NULL : &error, root);
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct aws_account account; /* only named */
	struct aws_vpc_ask *q;
	size_t at = 1;

	over = false;
	if (size == 0 || aws_vpc_find(&account, &q, "i-0123456789abcdef0", NULL, on_vpc, NULL) < 0)
		return 0;
	while (!over && at < size) {
		const char *piece = (const char *)data + at;
		size_t len = strnlen(piece, size - at);
		struct asked a = take(data[0] & 1 ? n_asked - 1 : 0);

		answer(&a, piece, len);
		at += len + 1;
	}
	if (!over)
		aws_vpc_cancel(q);
	if (n_asked)
		abort();
	return 0;
}
