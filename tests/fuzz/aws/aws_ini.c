// SPDX-License-Identifier: MIT
/* aws_ini.c - fuzz target: any bytes as one of the AWS CLI's two files */
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const profiles[] = { "default", "x", "x y", "" };
	static const char *const keys[] = { "region", "output", "s3", "aws_access_key_id" };
	struct aws_ini *ini = NULL;
	uint32_t line = 0;
	int err = aws_ini_parse(&ini, (const char *)data, size, &line);

	ST_ASSERT(err == 0 || (err == ST_EFORMAT && line > 0));
	ST_ASSERT((err == 0) == (ini != NULL));
	for (size_t i = 0; ini && i < ARRAY_LEN(profiles); i++) {
		const char *section = aws_ini_profile(ini, profiles[i]);

		ST_ASSERT(!section || aws_ini_has(ini, section));
		for (size_t k = 0; section && k < ARRAY_LEN(keys); k++) {
			const char *value = aws_ini_get(ini, section, keys[k]);

			ST_ASSERT(!value || strlen(value) <= size);
		}
	}
	aws_ini_free(ini);
	return 0;
}
