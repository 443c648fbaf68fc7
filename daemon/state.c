// SPDX-License-Identifier: MIT
/* state.c - the caller's state folder */
#include "daemon/state.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"

#define ULA_FILE_MAX 64U

static bool join(char out[PATH_MAX], const char *dir, const char *file)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, file) < PATH_MAX;
}

int state_prepare(struct state_paths *out, struct identity *id, const char *name)
{
	const char *xdg = identity_getenv(id, "XDG_STATE_HOME");
	char file[64], fakes[64];
	int n;

	if (strcmp(id->user, IDENTITY_USER) == 0)
		n = snprintf(out->dir, sizeof(out->dir), "%s", IDENTITY_STATE);
	else if (xdg && xdg[0] == '/')
		n = snprintf(out->dir, sizeof(out->dir), "%s/ssm-tun", xdg);
	else
		n = snprintf(out->dir, sizeof(out->dir), "%s/.local/state/ssm-tun", id->home);
	snprintf(file, sizeof(file), "%s.log", name);
	snprintf(fakes, sizeof(fakes), "%s.fakes", name);
	if (n >= PATH_MAX || !join(out->known_hosts, out->dir, "known_hosts") ||
	    !join(out->log, out->dir, file) || !join(out->fakes, out->dir, fakes)) {
		log_error("the state folder's path is too long");
		return ST_EINVAL;
	}
	return file_mkdirs(out->dir, 0700);
}

int state_ula(const struct state_paths *p, struct net_addr *out)
{
	char path[PATH_MAX], text[NET_ADDR_STR + 1];
	struct buf b;

	if (!join(path, p->dir, "ula"))
		return ST_EINVAL;
	buf_init(&b, ULA_FILE_MAX);
	bool found = file_read(&b, path) == 0 && buf_put(&b, "", 1) == 0;
	if (found) {
		char *line = (char *)b.mem + b.head;

		line[strcspn(line, "\n")] = 0;
		found = net_addr_parse(out, line) == 0 && out->family == 6 && out->b[0] == 0xfd;
	}
	buf_fini(&b);
	if (found) {
		memset(out->b + 8, 0, 8);
		return 0;
	}
	*out = (struct net_addr){
		.family = 6, .b = { 0xfd }
	}; /* RFC 4193: fd and 40 random bits, then a subnet */
	codec_random(out->b + 1, 7);
	net_addr_str(text, out);
	strcat(text, "\n");
	return file_write_atomic(path, text, strlen(text), 0600);
}
