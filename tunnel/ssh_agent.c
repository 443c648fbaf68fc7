// SPDX-License-Identifier: MIT
/*
 * ssh_agent.c - see ssh_agent.h; tnl_agent_job() carries one request to the agent and its answer back
 *
 * The job knows nothing of keys: it passes a list or a sign request on, and nothing else, so that who owns the daemon can't
 * lock the agent or take keys out of it.
 */
#include "tunnel/ssh_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "tunnel/ssh_wire.h"
#include "tunnel/tunnel.h"

enum { AGENT_LIST = 11, AGENT_LIST_ANSWER = 12, AGENT_SIGN = 13, AGENT_SIGN_ANSWER = 14 };
enum { AGENT_RSA_SHA2_256 = 2, AGENT_RSA_SHA2_512 = 4 };

/* A list needs nobody's consent; the job is also called where no runner ends it (ssh_key.c). */
#define AGENT_LIST_WAIT_S 3

/* ---- the runner's child ---- */

static int agent_connect(void)
{
	const char *path = getenv("SSH_AUTH_SOCK");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (path == NULL || *path == '\0' || strlen(path) >= sizeof(sa.sun_path))
		return ST_ENOENT;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ST_ESYS;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return ST_EREFUSED;
	}
	return fd;
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ST_ECLOSED;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_all(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ST_ECLOSED;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int exchange(int fd, const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	uint8_t head[4];
	int r;

	be32_put(head, (uint32_t)in_len);
	if ((r = write_all(fd, head, sizeof(head))) < 0 || (r = write_all(fd, in, in_len)) < 0 ||
	    (r = read_all(fd, head, sizeof(head))) < 0)
		return r;
	if (be32_get(head) > SSH_AGENT_DATA_MAX)
		return ST_EFULL;
	*out_len = be32_get(head);
	return read_all(fd, out, *out_len);
}

int tnl_agent_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	const struct timeval list_wait = { .tv_sec = AGENT_LIST_WAIT_S };
	int fd, r;

	*out_len = 0;
	if (in_len < 1 || in_len > SSH_AGENT_DATA_MAX ||
	    (in[0] != AGENT_LIST && in[0] != AGENT_SIGN))
		return ST_EINVAL;
	fd = agent_connect();
	if (fd < 0)
		return fd;
	if (in[0] == AGENT_LIST)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &list_wait, sizeof(list_wait));
	r = exchange(fd, in, in_len, out, out_len);
	close(fd);
	if (r < 0)
		*out_len = 0;
	return r;
}

/* ---- requests and answers ---- */

int ssh_agent_list_request(struct buf *out)
{
	const uint8_t type = AGENT_LIST;

	return buf_put(out, &type, 1);
}

int ssh_agent_list_read(struct ssh_agent_key *keys, size_t max, const uint8_t *p, size_t len)
{
	struct ssh_wire w = { p, len };
	uint8_t type;
	uint32_t n;
	size_t i;

	if (!ssh_wire_u8(&w, &type) || type != AGENT_LIST_ANSWER || !ssh_wire_u32(&w, &n))
		return ST_EFORMAT;
	for (i = 0; i < n && i < max; i++) {
		if (!ssh_wire_string(&w, &keys[i].blob, &keys[i].blob_len) ||
		    !ssh_wire_string(&w, &keys[i].comment, &keys[i].comment_len))
			return ST_EFORMAT;
	}
	return (int)i;
}

static int string_put(struct buf *out, const void *p, size_t len)
{
	uint8_t head[4];
	int r;

	be32_put(head, (uint32_t)len);
	r = buf_put(out, head, sizeof(head));
	return r < 0 ? r : buf_put(out, p, len);
}

static bool alg_is(const uint8_t *alg, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(alg, name, len) == 0;
}

int ssh_agent_sign_request(struct buf *out, const uint8_t *blob, size_t blob_len,
			   const uint8_t *data, size_t data_len, const uint8_t *alg, size_t alg_len)
{
	const uint8_t type = AGENT_SIGN;
	uint8_t flags[4] = { 0 };
	int r;

	if (alg_is(alg, alg_len, "rsa-sha2-512") ||
	    alg_is(alg, alg_len, "rsa-sha2-512-cert-v01@openssh.com"))
		flags[3] = AGENT_RSA_SHA2_512;
	else if (alg_is(alg, alg_len, "rsa-sha2-256") ||
		 alg_is(alg, alg_len, "rsa-sha2-256-cert-v01@openssh.com"))
		flags[3] = AGENT_RSA_SHA2_256;
	if ((r = buf_put(out, &type, 1)) < 0 || (r = string_put(out, blob, blob_len)) < 0 ||
	    (r = string_put(out, data, data_len)) < 0)
		return r;
	return buf_put(out, flags, sizeof(flags));
}

/* A certificate's signature names the plain algorithm. */
static size_t plain_len(const uint8_t *alg, size_t len)
{
	static const char cert[] = "-cert-v01@openssh.com";
	const size_t n = sizeof(cert) - 1;

	return len > n && memcmp(alg + len - n, cert, n) == 0 ? len - n : len;
}

int ssh_agent_sign_read(const uint8_t **sig, size_t *sig_len, const uint8_t *p, size_t len,
			const uint8_t *alg, size_t alg_len)
{
	struct ssh_wire w = { p, len }, s;
	const uint8_t *name;
	size_t name_len;
	uint8_t type;

	if (!ssh_wire_u8(&w, &type))
		return ST_EFORMAT;
	if (type != AGENT_SIGN_ANSWER)
		return ST_EAUTH;
	if (!ssh_wire_string(&w, &s.p, &s.len) || !ssh_wire_string(&s, &name, &name_len))
		return ST_EFORMAT;
	/* "sk-…@openssh.com" keeps its suffix in the signature: string, flags, counter follow as they are */
	if (name_len > 3 && memcmp(name, "sk-", 3) == 0) {
		*sig = s.p;
		*sig_len = s.len;
		return 0;
	}
	if (name_len != plain_len(alg, alg_len) || memcmp(name, alg, name_len) != 0)
		return ST_EUNSUPPORTED;
	return ssh_wire_string(&s, sig, sig_len) ? 0 : ST_EFORMAT;
}
