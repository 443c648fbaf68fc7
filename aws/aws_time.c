// SPDX-License-Identifier: MIT
/*
 * aws_time.c - the one parser for the times that credentials end at
 *
 * "2026-11-26T10:00:00Z" and what else processes, token caches and services write: a blank for the T, no seconds, fractions of
 * seconds, no dashes and colons, "UTC" or "GMT" for the Z, offsets, a date alone. Without a zone it is UTC, as botocore takes it.
 * Source: ISO 8601; botocore utils.py parse_timestamp(); aws-cli v1's SSO cache ends in "UTC"
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

/* Exactly @digits digits. Return: where they end; NULL if there are fewer, or if @s is NULL */
static const char *number(const char *s, unsigned digits, int *out)
{
	*out = 0;
	for (; s && digits; digits--, s++) {
		if (!isdigit((unsigned char)*s))
			return NULL;
		*out = *out * 10 + (*s - '0');
	}
	return s;
}

static const char *pass(const char *s, char c)
{
	return s && *s == c ? s + 1 : s;
}

static const char *date_read(const char *s, struct tm *tm)
{
	int year, month;

	s = pass(number(s, 4, &year), '-');
	s = pass(number(s, 2, &month), '-');
	s = number(s, 2, &tm->tm_mday);
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return s;
}

/* Behind the T: hours and minutes, seconds or not; a fraction is cut off. */
static const char *clock_read(const char *s, struct tm *tm)
{
	s = pass(number(s, 2, &tm->tm_hour), ':');
	s = number(s, 2, &tm->tm_min);
	if (s && (*s == ':' || isdigit((unsigned char)*s)))
		s = number(pass(s, ':'), 2, &tm->tm_sec);
	if (s && (*s == '.' || *s == ',') && isdigit((unsigned char)s[1]))
		for (s++; isdigit((unsigned char)*s);)
			s++;
	return s;
}

/* Return: false if @s, the rest, is no zone */
static bool zone_read(const char *s, int *offset_s)
{
	static const char *const utc[] = { "", "Z", "UTC", "GMT" };
	int sign, hours, minutes = 0;

	*offset_s = 0;
	while (*s == ' ')
		s++;
	for (size_t i = 0; i < ARRAY_LEN(utc); i++)
		if (strcasecmp(s, utc[i]) == 0)
			return true;
	sign = *s == '-' ? -1 : 1;
	if (*s != '+' && *s != '-')
		return false;
	s = number(s + 1, 2, &hours);
	if (s && *s)
		s = number(pass(s, ':'), 2, &minutes);
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return s && !*s && hours < 24 && minutes < 60;
}

/* timegm() puts the 30th of February right; we don't. */
static bool is_real(const struct tm *tm)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const int year = tm->tm_year + 1900;
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return year >= 1970 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
	       tm->tm_mday <= days[tm->tm_mon] && (tm->tm_mon != 1 || tm->tm_mday < 29 || leap) &&
	       tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

int aws_time_parse(int64_t *out, const char *text)
{
	struct tm tm = { 0 };
	int offset_s;
	const char *s = date_read(text, &tm);

	if (s && (*s == 'T' || *s == 't' || (*s == ' ' && isdigit((unsigned char)s[1]))))
		s = clock_read(s + 1, &tm);
	if (!s || !zone_read(s, &offset_s) || !is_real(&tm))
		return ST_EFORMAT;
	*out = (int64_t)timegm(&tm) - offset_s;
	return 0;
}

const char *aws_time_print(char out[AWS_TIME_STR], int64_t time_s)
{
	const time_t t = (time_t)time_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, AWS_TIME_STR, "%Y-%m-%dT%H:%M:%SZ", &tm))
		text_copy(out, AWS_TIME_STR, "?");
	return out;
}
