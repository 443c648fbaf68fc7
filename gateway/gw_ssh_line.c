// SPDX-License-Identifier: MIT
/*
 * gw_ssh_line.c - see gw_ssh_line.h
 *
 * Source: ssm-protocol 1.4 for lengths; the service model's pattern of InstanceOSUser; RFC 4253, 6.6 for the blob
 */
#include "gateway/gw_ssh_line.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

static const char *const types[] = { "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
				     "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521" };

/* Does the base64 hold a key of that type: a string of its name first, and something behind it? */
static bool blob_fits(const char *b64, size_t len, const char *type)
{
	uint8_t blob[GW_SSH_LINE_MAX];
	const ssize_t n = codec_b64_decode(blob, sizeof(blob), b64, len);
	const size_t type_len = strlen(type);

	return n > (ssize_t)(4 + type_len) && be32_get(blob) == type_len &&
	       memcmp(blob + 4, type, type_len) == 0;
}

int gw_ssh_line_read(char *out, const char *line)
{
	size_t len = strlen(line), type_len = strcspn(line, " "), b64_len;
	const char *b64, *type = NULL;

	if (len > 0 && line[len - 1] == '\n')
		len--;
	if (len < GW_SSH_LINE_MIN || len > GW_SSH_LINE_MAX || type_len >= len)
		return ST_EFORMAT;
	for (size_t at = 0, n; at < len; at += n)
		if ((n = text_plain_len(line + at, len - at)) == 0)
			return ST_EFORMAT;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i]) == type_len && strncmp(line, types[i], type_len) == 0)
			type = types[i];
	b64 = line + type_len + 1;
	b64_len = strcspn(b64, " \n");
	if (!type || !blob_fits(b64, b64_len, type))
		return ST_EFORMAT;
	snprintf(out, GW_SSH_LINE_MAX + 1, "%s %.*s", type, (int)b64_len, b64);
	return 0;
}

/* ^[A-Za-z_][A-Za-z0-9\@._-]{0,30}[A-Za-z0-9$_-]?$ */
bool gw_ssh_user_ok(const char *user)
{
	static const char alnum[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const size_t len = strlen(user);

	if (len < 1 || len > GW_SSH_USER_MAX || (user[0] >= '0' && user[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *more = i == 0 ? "_" : i + 1 == len ? "$_-\\@." : "\\@._-";

		if (!strchr(alnum, user[i]) && !strchr(more, user[i]))
			return false;
	}
	return true;
}
