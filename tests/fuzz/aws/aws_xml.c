// SPDX-License-Identifier: MIT
/* aws_xml.c - fuzz target: any bytes as an XML answer; the first one chooses the name of its lists */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t depth_of(const json_t *value)
{
	size_t deepest = 0, depth, i;
	const char *key;
	json_t *child;

	json_array_foreach(value, i, child)
	{
		depth = depth_of(child);
		deepest = MAX(deepest, depth);
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, child)
	{
		depth = depth_of(child);
		deepest = MAX(deepest, depth);
	}
	return deepest + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const items[] = { NULL, "HostedZoneSummary", "a" };
	json_t *root;
	char *text;
	int err;

	if (size == 0)
		return 0;
	err = aws_xml_read(&root, items[data[0] % ARRAY_LEN(items)], data + 1, size - 1);
	ST_ASSERT(err == 0 || err == ST_EFORMAT);
	ST_ASSERT((err == 0) == json_is_object(root));
	if (err < 0)
		return 0;
	ST_ASSERT(depth_of(root) <= 32);
	text = json_dumps(root, JSON_COMPACT); /* all of it is valid UTF-8 */
	ST_ASSERT(text);
	free(text);
	json_decref(root);
	return 0;
}
