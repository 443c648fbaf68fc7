// SPDX-License-Identifier: MIT
/*
 * ssh_hosts.c - host keys
 *
 * Theory of operation: a file is read line by line and each line alone is given to libssh2, so that one bad line spoils no
 * other, and so that a mismatch can name its line. The name looked for is the target's id, never an address: behind
 * Session Manager every host is 127.0.0.1. Before the handshake the key types stored for the name are asked for (as ssh
 * does), since a host offers one key of many and another type would look like a changed one. Only our own file is
 * written: under a lock, whole, by rename.
 */
#include "tunnel/ssh_hosts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "tunnel/ssh_key.h"

#define HOSTS_FILE_MAX MIB(4)
#define HOSTS_LINE_MAX KIB(16)

/* In the order of what wins. */
enum match { MATCH_NONE, MATCH_OTHER, MATCH_SAME, MATCH_REVOKED };

/* The best that the files say of a name and a key. */
struct verdict {
	enum match match;
	const char *path; /* MATCH_OTHER, MATCH_REVOKED: where */
	unsigned int line;
	char stored[SSH_KEY_PRINT]; /* fingerprint there */
	uint32_t types;		    /* BIT(index in types[]) stored for the name */
};

static const struct {
	int mask;
	const char
		*methods; /* signature algorithms to ask for; SHA-1's ssh-rsa is not among them */
	const char *name;
} types[] = {
	{ LIBSSH2_KNOWNHOST_KEY_ED25519, "ssh-ed25519", "ssh-ed25519" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_256, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_384, "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_521, "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521" },
	{ LIBSSH2_KNOWNHOST_KEY_SSHRSA, "rsa-sha2-512,rsa-sha2-256", "ssh-rsa" },
};

struct look {
	LIBSSH2_SESSION *s;
	const char *name;
	const char *key; /* raw, of the host; a name alone is looked for with one byte */
	size_t key_len;
	struct verdict *v;
};

static uint32_t type_bit(int typemask)
{
	for (unsigned int i = 0; i < ARRAY_LEN(types); i++) {
		if ((typemask & LIBSSH2_KNOWNHOST_KEY_MASK) == types[i].mask)
			return BIT(i);
	}
	return 0;
}

static void stored_print(struct verdict *v, const struct libssh2_knownhost *h)
{
	uint8_t raw[KIB(4)];
	ssize_t n = h->key ? codec_b64_decode(raw, sizeof(raw), h->key, strlen(h->key)) : -1;

	if (n > 0)
		ssh_key_print(v->stored, raw, (size_t)n);
}

static void verdict_set(struct verdict *v, enum match m, const char *path, unsigned int line,
			const struct libssh2_knownhost *h)
{
	if (m <= v->match)
		return;
	v->match = m;
	v->path = path;
	v->line = line;
	if (h != NULL)
		stored_print(v, h);
}

/* @line is NUL-terminated and has no newline: libssh2 looks at the byte behind the length that it is given. */
static void line_look(const struct look *l, const char *path, unsigned int nr, const char *line)
{
	static const char revoked[] = "@revoked ";
	const bool is_revoked = strncmp(line, revoked, sizeof(revoked) - 1) == 0;
	size_t len;
	LIBSSH2_KNOWNHOSTS *hosts;
	struct libssh2_knownhost *found = NULL;
	int r;

	if (is_revoked)
		line += sizeof(revoked) - 1;
	len = strlen(line);
	if (len == 0 || *line == '#' || *line == '@')
		return;
	hosts = libssh2_knownhost_init(l->s);
	if (hosts == NULL)
		return;
	if (libssh2_knownhost_readline(hosts, line, len, LIBSSH2_KNOWNHOST_FILE_OPENSSH) == 0) {
		r = libssh2_knownhost_check(
			hosts, l->name, l->key, l->key_len,
			LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW, &found);
		if (r == LIBSSH2_KNOWNHOST_CHECK_MATCH)
			verdict_set(l->v, is_revoked ? MATCH_REVOKED : MATCH_SAME, path, nr, found);
		else if (r == LIBSSH2_KNOWNHOST_CHECK_MISMATCH && !is_revoked)
			verdict_set(l->v, MATCH_OTHER, path, nr, found);
		if (found != NULL && !is_revoked)
			l->v->types |= type_bit(found->typemask);
	}
	libssh2_knownhost_free(hosts);
}

static void file_look(const struct look *l, const char *path)
{
	struct buf b;
	unsigned int nr = 0;
	const char *p, *end;
	char line[HOSTS_LINE_MAX];

	if (path == NULL)
		return;
	buf_init(&b, HOSTS_FILE_MAX);
	if (file_read_follow(&b, path) < 0 || b.len == 0)
		goto done;
	p = (const char *)buf_data(&b);
	end = p + b.len;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl != NULL ? nl : end;

		nr++;
		if ((size_t)(stop - p) < sizeof(line)) {
			memcpy(line, p, (size_t)(stop - p));
			line[stop - p] = '\0';
			line[strcspn(line, "\r")] = '\0';
			line_look(l, path, nr, line);
		}
		p = nl != NULL ? nl + 1 : end;
	}
done:
	buf_fini(&b);
}

static void hosts_look(struct verdict *v, LIBSSH2_SESSION *s, const struct ssh_hosts *h,
		       const char *name, const char *key, size_t key_len)
{
	const struct look l = { .s = s, .name = name, .key = key, .key_len = key_len, .v = v };

	*v = (struct verdict){ .match = MATCH_NONE };
	file_look(&l, h->own);
	file_look(&l, h->user);
}

int ssh_hosts_prefer(LIBSSH2_SESSION *s, const struct ssh_hosts *h, const char *name)
{
	struct verdict v;
	char list[256] = "";

	hosts_look(&v, s, h, name, "\0", 1);
	if (v.types == 0 || h->policy == TNL_HOST_KEY_PINNED)
		v.types = UINT32_MAX;
	for (unsigned int i = 0; i < ARRAY_LEN(types); i++) {
		size_t len = strlen(list);

		if (v.types & BIT(i))
			snprintf(list + len, sizeof(list) - len, "%s%s", len ? "," : "",
				 types[i].methods);
	}
	return libssh2_session_method_pref(s, LIBSSH2_METHOD_HOSTKEY, list) == 0 ? 0 : ST_ESYS;
}

/* ---- our own file ---- */

/* One process at a time; the lock lies beside the file, since that is replaced by rename. */
static int hosts_lock(const char *path)
{
	char lock[4096];
	int fd;

	if (snprintf(lock, sizeof(lock), "%s.lock", path) >= (int)sizeof(lock))
		return ST_EINVAL;
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return log_sys("known_hosts: open %s", lock);
	if (flock(fd, LOCK_EX) < 0) {
		close(fd);
		return log_sys("known_hosts: lock %s", lock);
	}
	return fd;
}

static int line_append(struct buf *b, LIBSSH2_SESSION *s, const char *name, const char *key,
		       size_t key_len, int type)
{
	const int mask = LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | type;
	LIBSSH2_KNOWNHOSTS *hosts = libssh2_knownhost_init(s);
	struct libssh2_knownhost *entry = NULL;
	char line[HOSTS_LINE_MAX];
	size_t len = 0;
	int r = ST_ENOMEM;

	if (hosts == NULL)
		return ST_ENOMEM;
	if (libssh2_knownhost_addc(hosts, name, NULL, key, key_len, NULL, 0, mask, &entry) == 0 &&
	    libssh2_knownhost_writeline(hosts, entry, line, sizeof(line), &len,
					LIBSSH2_KNOWNHOST_FILE_OPENSSH) == 0) {
		if (b->len > 0 && buf_data(b)[b->len - 1] != '\n')
			r = buf_put(b, "\n", 1);
		else
			r = 0;
		if (r == 0)
			r = buf_put(b, line, len);
	}
	libssh2_knownhost_free(hosts);
	return r;
}

static int hosts_add(LIBSSH2_SESSION *s, const struct ssh_hosts *h, const char *name,
		     const char *key, size_t key_len, int type)
{
	struct buf b;
	int lock = hosts_lock(h->own), r;

	if (lock < 0)
		return lock;
	buf_init(&b, HOSTS_FILE_MAX);
	r = file_read_follow(&b, h->own);
	if (r == 0 || r == ST_ENOENT)
		r = line_append(&b, s, name, key, key_len, type);
	if (r == 0)
		r = file_write_atomic(h->own, buf_data(&b), b.len, 0600);
	buf_fini(&b);
	close(lock);
	return r;
}

/* ---- the decision ---- */

static int pinned_check(const struct ssh_hosts *h, const char *name, const uint8_t *key, size_t len,
			char *text, size_t cap)
{
	char got[SSH_KEY_PRINT], print[SSH_KEY_PRINT];

	if (strcmp(ssh_key_fingerprint(got, key, len), h->fingerprint) == 0)
		return 0;
	snprintf(text, cap,
		 "host key of %s is %s, not the pinned %s: if that is right, put %s into "
		 "ssh.host_key",
		 text_safe(name).s, ssh_key_print(print, key, len), text_safe(h->fingerprint).s,
		 got);
	return ST_EHOSTKEY;
}

static int changed(const struct verdict *v, const char *name, const char *print, char *text,
		   size_t cap)
{
	if (v->match == MATCH_REVOKED)
		snprintf(text, cap, "host key of %s, %s, is marked @revoked in %s line %u",
			 text_safe(name).s, print, v->path, v->line);
	else
		snprintf(text, cap,
			 "host key of %s has changed: it offers %s, %s line %u has %s; if the host "
			 "was rebuilt, "
			 "remove that line, else someone may be in between",
			 text_safe(name).s, print, v->path, v->line, v->stored);
	return ST_EHOSTKEY;
}

static int key_type(int libssh2_type)
{
	switch (libssh2_type) {
	case LIBSSH2_HOSTKEY_TYPE_RSA: return LIBSSH2_KNOWNHOST_KEY_SSHRSA;
	case LIBSSH2_HOSTKEY_TYPE_ECDSA_256: return LIBSSH2_KNOWNHOST_KEY_ECDSA_256;
	case LIBSSH2_HOSTKEY_TYPE_ECDSA_384: return LIBSSH2_KNOWNHOST_KEY_ECDSA_384;
	case LIBSSH2_HOSTKEY_TYPE_ECDSA_521: return LIBSSH2_KNOWNHOST_KEY_ECDSA_521;
	case LIBSSH2_HOSTKEY_TYPE_ED25519: return LIBSSH2_KNOWNHOST_KEY_ED25519;
	default: return LIBSSH2_KNOWNHOST_KEY_UNKNOWN;
	}
}

int ssh_hosts_check(LIBSSH2_SESSION *s, const struct ssh_hosts *h, const char *name, char *text,
		    size_t cap)
{
	char print[SSH_KEY_PRINT];
	struct verdict v;
	size_t len = 0;
	int type = 0;
	const char *key = libssh2_session_hostkey(s, &len, &type);

	if (key == NULL) {
		snprintf(text, cap, "host key of %s: none was shown", text_safe(name).s);
		return ST_EHOSTKEY;
	}
	ssh_key_print(print, (const uint8_t *)key, len);
	if (h->policy == TNL_HOST_KEY_PINNED)
		return pinned_check(h, name, (const uint8_t *)key, len, text, cap);
	hosts_look(&v, s, h, name, key, len);
	if (v.match == MATCH_SAME)
		return 0;
	if (v.match != MATCH_NONE)
		return changed(&v, name, print, text, cap);
	if (h->policy == TNL_HOST_KEY_STRICT) {
		snprintf(text, cap,
			 "host key of %s is not known, and ssh.host_key is strict: it offers %s; "
			 "add it to %s, or use "
			 "accept-new",
			 text_safe(name).s, print, h->own != NULL ? h->own : "known_hosts");
		return ST_EHOSTKEY;
	}
	if (h->own == NULL)
		return 0;
	if (hosts_add(s, h, name, key, len, key_type(type)) < 0) {
		snprintf(text, cap, "host key of %s can't be stored: is %s writable?",
			 text_safe(name).s, h->own);
		return ST_ESYS;
	}
	log_info("host key of %s stored: %s", text_safe(name).s, print);
	return 0;
}
