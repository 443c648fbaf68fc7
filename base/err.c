// SPDX-License-Identifier: MIT
/* err.c - names and texts of the error codes, from the one list in err.h */
#include "base/err.h"

#include <stddef.h>

#include "base/util.h"

static const struct {
	const char *name;
	const char *text;
} errors[] = { [ST_ORD_OK] = { "ST_OK", "success" },
#define ST_ERR_ROW(err_name, err_text) [ST_ORD_##err_name] = { "ST_" #err_name, err_text },
	       ST_ERRORS(ST_ERR_ROW)
#undef ST_ERR_ROW
};

static size_t ordinal(int err)
{
	if (err > 0 || err <= -(int)ST_ERR_N)
		return ARRAY_LEN(errors);
	return (size_t)-err;
}

const char *st_strerror(int err)
{
	size_t i = ordinal(err);

	return i < ARRAY_LEN(errors) ? errors[i].text : "unknown error";
}

const char *st_errname(int err)
{
	size_t i = ordinal(err);

	return i < ARRAY_LEN(errors) ? errors[i].name : "ST_?";
}
