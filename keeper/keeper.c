// SPDX-License-Identifier: MIT
/*
 * keeper.c - the keeper's process; keep_client.c is the daemon's side
 *
 * Theory of operation: the keeper waits for its end of a SOCK_SEQPACKET pair, and for what holds the resolver's settings
 * (keep_dns.c). A request has one fixed size and is answered by one fixed-size answer with its number; what has another size or an unknown
 * operation is answered with an error and changes nothing. The kernel tells the sender's pid, so a
 * daemon can name nobody but itself as the process that root may kill. When no process holds the other
 * end any more, or after a goodbye, the keeper undoes everything and ends.
 *
 * It has its own session and ignores the signals that stop a daemon: it ends when its work is done.
 */
#include "keeper/keeper_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"
#include "keeper/keep_dns.h"
#include "keeper/keep_filter.h"

struct keeper {
	int fd;
	struct keep_journal journal;
	struct keep_dns_run dns;
};

/* A request as it came: @sender as the kernel says, @passed the descriptor that came along or -1. */
struct incoming {
	struct keep_request req;
	pid_t sender;
	int passed;
	bool valid;
};

/* ---- the keeper's side ---- */

static void read_ancillary(struct incoming *in, struct msghdr *msg)
{
	struct ucred cred;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len < CMSG_LEN(sizeof(cred)))
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		in->sender = cred.pid;
	}
	in->passed = fd_passed(msg);
}

/* Return: 0; ST_ECLOSED when nobody holds the other end */
static int receive(int fd, struct incoming *in)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = &in->req, .iov_len = sizeof(in->req) };
	struct msghdr msg;
	ssize_t got;

	do {
		*in = (struct incoming){ .passed = -1 };
		msg = (struct msghdr){ .msg_iov = &iov,
				       .msg_iovlen = 1,
				       .msg_control = &control,
				       .msg_controllen = sizeof(control) };
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return ST_ECLOSED;
	read_ancillary(in, &msg);
	/* An empty packet looks like the end, but its sender is still there. */
	if (got == 0 && in->sender == 0 && fd_hung_up(fd))
		return ST_ECLOSED;
	in->valid = got == (ssize_t)sizeof(in->req) && !(msg.msg_flags & MSG_TRUNC);
	return 0;
}

static int note_daemon(struct keeper *k, const struct incoming *in)
{
	uint64_t start = keep_proc_start(in->req.pid);

	if ((pid_t)in->req.pid != in->sender || start == 0)
		return ST_EPERM;
	k->journal.daemon_pid = in->req.pid;
	k->journal.daemon_start = start;
	return keep_journal_write(&k->journal);
}

static int note_device(struct keeper *k, const struct keep_request *req)
{
	if (!memchr(req->device, '\0', sizeof(req->device)) || req->device[0] == '\0' ||
	    !keep_device_ok(req->device))
		return ST_EINVAL;
	text_copy(k->journal.device, sizeof(k->journal.device), req->device);
	return keep_journal_write(&k->journal);
}

static int log_to(int fd)
{
	if (fd < 0)
		return ST_EINVAL;
	return dup2(fd, STDERR_FILENO) < 0 ? ST_ESYS : 0;
}

static int note_rules(struct keeper *k)
{
	k->journal.rules = true;
	return keep_journal_write(&k->journal);
}

static int note_fail_closed(struct keeper *k, const struct keep_request *req)
{
	k->journal.fail_closed = req->on != 0;
	return keep_journal_write(&k->journal);
}

static int serve(struct keeper *k, const struct incoming *in, struct keep_dns_state *dns)
{
	const struct keep_request *req = &in->req;

	if (!in->valid)
		return ST_EINVAL;
	switch ((enum keep_op)req->op) {
	case KEEP_OP_DAEMON: return note_daemon(k, in);
	case KEEP_OP_DEVICE: return note_device(k, req);
	case KEEP_OP_RULES: return note_rules(k);
	case KEEP_OP_LOG: return log_to(in->passed);
	case KEEP_OP_GOODBYE: return keep_undo_own(&k->journal, false);
	case KEEP_OP_FAIL_CLOSED: return note_fail_closed(k, req);
	case KEEP_OP_FILTER: return keep_filter_set(&k->journal, req->on != 0);
	case KEEP_OP_SUFFIX: return keep_dns_add(&k->dns, req->suffix, sizeof(req->suffix));
	case KEEP_OP_DNS_SET: return keep_dns_apply(&k->dns, req, dns);
	case KEEP_OP_DNS_LOOK: keep_dns_state(&k->dns, dns); return 0;
	case KEEP_OP_N: break;
	}
	return ST_EINVAL;
}

/* Waits for the daemon's next request while it holds the resolver's settings. Return: 0; ST_ECLOSED as receive() */
static int next_request(struct keeper *k, struct incoming *in)
{
	struct pollfd p[3] = { { .fd = k->fd, .events = POLLIN } };

	for (;;) {
		int n = poll(p, ARRAY_LEN(p), keep_dns_poll(&k->dns, p + 1, keep_now_ms()));

		if (n < 0 && errno != EINTR)
			return ST_ECLOSED;
		if (n > 0 && p[0].revents)
			return receive(k->fd, in);
		keep_dns_process(&k->dns, p + 1, keep_now_ms());
	}
}

static int keeper_run(struct keeper *k)
{
	struct incoming in;
	bool goodbye = false;
	int r = 0;

	keep_dns_init(&k->dns, &k->journal, k->fd);
	while (!goodbye) {
		if (next_request(k, &in) < 0) {
			log_debug("keeper: %s: the daemon has gone", k->journal.name);
			return keep_undo_own(&k->journal, true);
		}
		struct keep_answer answer = { .number = in.valid ? in.req.number : 0 };

		r = answer.result = serve(k, &in, &answer.dns);
		goodbye = in.valid && in.req.op == KEEP_OP_GOODBYE;
		if (in.passed >= 0)
			close(in.passed);
		/* A daemon that does not read its answers must not stop us. */
		send(k->fd, &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return r;
}

static void become_keeper(int fd)
{
	static const int ignored[] = { SIGINT,	SIGTERM, SIGHUP,  SIGQUIT, SIGPIPE,
				       SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	fd_keep_only(fd);
	prctl(PR_SET_NAME, "ssm-tun-keeper");
	log_never_wait();
	umask(077);
	if (chdir("/") < 0)
		log_sys("keeper: chdir /");
}

static int keeper_main(int fd, const char *name)
{
	static struct keeper k; /* holds the lists of suffixes */

	k.fd = fd;
	become_keeper(fd);
	if (keep_journal_read(name, &k.journal) < 0) {
		log_error("keeper: %s has no journal: it must be claimed first", name);
		return ST_ENOENT;
	}
	k.journal.keeper_pid = (uint32_t)getpid();
	k.journal.keeper_start = keep_proc_start(k.journal.keeper_pid);
	if (keep_journal_write(&k.journal) < 0)
		return ST_ESYS;
	return keeper_run(&k);
}

int keep_fork(int *fd, int *pid, const char *name)
{
	char own[KEEP_NAME_MAX + 1];
	int pair[2], one = 1;
	pid_t child;

	if (!keep_name_ok(name))
		return ST_EINVAL;
	text_copy(own, sizeof(own), name);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return log_sys("keeper: make a socket pair");
	/* Before the first request can be sent, or that one would come without. */
	if (setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0) {
		log_sys("keeper: ask for senders' credentials");
		goto fail;
	}
	if ((child = fork()) < 0) {
		log_sys("keeper: fork");
		goto fail;
	}
	if (child == 0)
		_exit(keeper_main(pair[1], own) < 0 ? 1 : 0);
	close(pair[1]);
	*fd = pair[0];
	*pid = child;
	return 0;
fail:
	close(pair[0]);
	close(pair[1]);
	return ST_ESYS;
}
