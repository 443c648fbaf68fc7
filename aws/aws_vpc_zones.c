// SPDX-License-Identifier: MIT
/* aws_vpc_zones.c - the private zones of a VPC as DNS suffixes, reverse zones included */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_vpc_internal.h"
#include "base/err.h"

/* Zones with the names of AWS's own endpoints: what we ask AWS ourselves must not go through the tunnel that it makes. */
static bool is_lifeline(const char *name)
{
	static const char *const domains[] = { "amazonaws.com",	 "amazonaws.com.cn",
					       "api.aws",	 "amazonaws.eu",
					       "c2s.ic.gov",	 "sc2s.sgov.gov",
					       "csp.hci.ic.gov", "cloud.adc-e.uk" };
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
		size_t tail = strlen(domains[i]);

		if (len >= tail && strcmp(name + len - tail, domains[i]) == 0 &&
		    (len == tail || name[len - tail - 1] == '.'))
			return true;
	}
	return false;
}

/* "Prod.internal." to "prod.internal". Return: false if it is no name of a zone */
static bool suffix_read(char out[256], const char *name)
{
	size_t len = name ? strlen(name) : 0;

	if (len && name[len - 1] == '.')
		len--;
	if (!len || len > 253 || name[0] == '.' || memmem(name, len, "..", 2))
		return false;
	for (size_t i = 0; i < len; i++) {
		out[i] = (char)tolower((unsigned char)name[i]);
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_", out[i]))
			return false;
	}
	out[len] = '\0';
	return !is_lifeline(out);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void suffixes_reduce(struct aws_vpc *v)
{
	size_t kept = 0;

	if (v->n_suffixes)
		qsort(v->suffixes, v->n_suffixes, sizeof(*v->suffixes), by_text);
	for (size_t i = 0; i < v->n_suffixes; i++) {
		bool again = kept && strcmp(v->suffixes[kept - 1], v->suffixes[i]) == 0;

		if (!again && kept < AWS_VPC_SUFFIXES_MAX) {
			v->suffixes[kept++] = v->suffixes[i];
			continue;
		}
		v->cut_suffixes += !again;
		free(v->suffixes[i]);
	}
	v->n_suffixes = kept;
}

int aws_vpc_read_zones(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *zones = aws_list(answer, "HostedZoneSummaries"), *one;
	struct aws_vpc *v = q->out;
	size_t i;

	if (!(v->suffixes = calloc(json_array_size(zones) + 1, sizeof(*v->suffixes))))
		return ST_ENOMEM;
	json_array_foreach(zones, i, one)
	{
		char name[256];

		if (!suffix_read(name, aws_text(one, "Name")))
			continue;
		if (!(v->suffixes[v->n_suffixes] = strdup(name)))
			return ST_ENOMEM;
		v->n_suffixes++;
	}
	suffixes_reduce(v);
	return 0;
}
