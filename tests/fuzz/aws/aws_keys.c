// SPDX-License-Identifier: MIT
/*
 * aws_keys.c - fuzz target: what processes, containers, IMDS and profiles say of credentials
 *
 * The first byte chooses: a command line, a time, keys in JSON of a process or of an endpoint.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 16U

static void words(const char *text)
{
	const size_t room_len = strlen(text) + 1;
	char *room = malloc(room_len), *list[WORDS_MAX];
	const char *why = NULL;
	int n = room ? aws_words_split(list, WORDS_MAX, room, text, &why) : 0;

	ST_ASSERT(n >= 0 || n == ST_EFULL || n == ST_EFORMAT);
	ST_ASSERT(n >= 0 || why);
	ST_ASSERT(n <= (int)WORDS_MAX);
	for (int i = 0; i < n; i++)
		ST_ASSERT(list[i] >= room && list[i] + strlen(list[i]) < room + room_len);
	free(room);
}

static void a_time(const char *text)
{
	char printed[AWS_TIME_STR];
	int64_t t = 0, again = 0;
	int err = aws_time_parse(&t, text);

	ST_ASSERT(err == 0 || err == ST_EFORMAT);
	if (err < 0 || t < 0)
		return; /* an offset may lead to before 1970 */
	aws_time_print(printed, t);
	ST_ASSERT(strlen(printed) > 20 || (aws_time_parse(&again, printed) == 0 && again == t));
}

static void keys(const char *text, size_t len, const char *token_key)
{
	json_t *root = json_loadb(text, len, 0, NULL);
	struct aws_creds c;
	struct aws_error error;
	int err;

	if (!root)
		return;
	err = aws_creds_read(&c, root, token_key, "fuzz", &error);
	ST_ASSERT(err == 0 || (err == ST_EAUTH && error.text[0] && error.person));
	ST_ASSERT(err < 0 || (c.access_key[0] && c.secret_key[0]));
	ST_ASSERT(err < 0 || !c.token || strpbrk(c.token, " \r\n") == NULL);
	ST_ASSERT(err == 0 || (!c.access_key && !c.secret_key && !c.token));
	aws_creds_wipe(&c);
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = size ? strndup((const char *)data + 1, size - 1) : NULL;

	if (!text)
		return 0;
	switch (data[0] % 4) {
	case 0: words(text); break;
	case 1: a_time(text); break;
	case 2: keys((const char *)data + 1, size - 1, "SessionToken"); break;
	default: keys((const char *)data + 1, size - 1, "Token");
	}
	free(text);
	return 0;
}
