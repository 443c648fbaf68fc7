// SPDX-License-Identifier: MIT
/*
 * keep_client.c - the daemon's side of the keeper: requests that wait for their answer
 *
 * Theory of operation: a request and its answer are one packet each, with the same number. An answer that comes after
 * its request ran out of time is recognised by its older number and dropped. keeper.c serves them.
 */
#include "keeper/keeper_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

#define ANSWER_MS 5000 /* how long a request waits for its answer; keeper.h */

static int send_request(int fd, const struct keep_request *req, int pass)
{
	struct keep_request copy = *req;
	struct iovec iov = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_room room;

	if (pass >= 0)
		fd_pass(&msg, &room, pass);
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(copy))
		return 0;
	return errno == EPIPE || errno == ECONNRESET ? ST_ECLOSED
						     : log_sys("keeper: send a request");
}

/* Sends and waits for the answer with the same number; older answers belong to requests that timed out. */
static int ask_for(int fd, struct keep_request *req, int pass, struct keep_dns_state *out)
{
	static uint32_t numbers;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct keep_answer answer;
	ssize_t got;
	int r;

	req->number = ++numbers;
	if ((r = send_request(fd, req, pass)) < 0)
		return r;
	for (;;) {
		r = poll(&p, 1, ANSWER_MS);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r == 0 ? ST_ETIMEOUT : log_sys("keeper: wait for an answer");
		got = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return ST_ECLOSED;
		if (got != (ssize_t)sizeof(answer) || answer.number != req->number)
			continue;
		if (out)
			*out = answer.dns;
		return answer.result;
	}
}

static int ask(int fd, struct keep_request *req, int pass)
{
	return ask_for(fd, req, pass, NULL);
}

int keep_note_daemon(int fd, pid_t pid)
{
	struct keep_request req = { .op = KEEP_OP_DAEMON, .pid = (uint32_t)pid };

	return ask(fd, &req, -1);
}

int keep_note_device(int fd, const char *device)
{
	struct keep_request req = { .op = KEEP_OP_DEVICE };

	if (!text_copy(req.device, sizeof(req.device), device))
		return ST_EINVAL;
	return ask(fd, &req, -1);
}

int keep_note_rules(int fd)
{
	struct keep_request req = { .op = KEEP_OP_RULES };

	return ask(fd, &req, -1);
}

int keep_note_log(int fd, int log_fd)
{
	struct keep_request req = { .op = KEEP_OP_LOG };

	return log_fd < 0 ? ST_EINVAL : ask(fd, &req, log_fd);
}

int keep_goodbye(int fd)
{
	struct keep_request req = { .op = KEEP_OP_GOODBYE };

	return ask(fd, &req, -1);
}

int keep_note_fail_closed(int fd, bool on)
{
	struct keep_request req = { .op = KEEP_OP_FAIL_CLOSED, .on = on };

	return ask(fd, &req, -1);
}

int keep_filter(int fd, bool on)
{
	struct keep_request req = { .op = KEEP_OP_FILTER, .on = on };

	return ask(fd, &req, -1);
}

int keep_dns_suffix(int fd, const char *suffix)
{
	struct keep_request req = { .op = KEEP_OP_SUFFIX };

	if (!text_copy(req.suffix, sizeof(req.suffix), suffix))
		return ST_EINVAL;
	return ask(fd, &req, -1);
}

int keep_dns_set(int fd, const struct keep_dns *want, struct keep_dns_state *out)
{
	struct keep_request req = { .op = KEEP_OP_DNS_SET,
				    .manager = (uint32_t)want->manager,
				    .ifindex = want->ifindex,
				    .default_route = want->default_route };

	memcpy(req.servers, want->servers, sizeof(req.servers));
	*out = (struct keep_dns_state){ 0 };
	return ask_for(fd, &req, -1, out);
}

int keep_dns_look(int fd, struct keep_dns_state *out)
{
	struct keep_request req = { .op = KEEP_OP_DNS_LOOK };

	*out = (struct keep_dns_state){ 0 };
	return ask_for(fd, &req, -1, out);
}
