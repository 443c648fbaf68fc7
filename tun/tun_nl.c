// SPDX-License-Identifier: MIT
/*
 * tun_nl.c - conversations with the kernel over one rtnetlink socket
 *
 * Theory of operation: every request asks for an acknowledgement and has its own sequence number, so each
 * answer is read and belongs to one request. Answers to older numbers are leftovers of a conversation that
 * failed and are skipped. rtnetlink works while sendto() runs: when it returns, the answers wait already,
 * therefore the socket may block.
 */
#include "tun/tun_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"

#define DUMP_TRIES 8 /* ours: a table that changes all the time is taken as it came */

int tun_nl_open(struct tun_nl *nl)
{
	return tun_nl_open_of(nl, NETLINK_ROUTE);
}

int tun_nl_open_of(struct tun_nl *nl, int protocol)
{
	int one = 1;

	*nl = (struct tun_nl){ 0 };
	nl->sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!nl->sock)
		return log_sys("tun: open a netlink socket");
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		log_sys("tun: bind a netlink socket");
		tun_nl_close(nl);
		return ST_ESYS;
	}
	/* Both only save work: answers without a copy of the request, dumps filtered by the kernel. */
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	return 0;
}

void tun_nl_close(struct tun_nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

struct nlmsghdr *tun_nl_msg(struct tun_nl *nl, void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags | NLM_F_REQUEST;
	nlh->nlmsg_seq = ++nl->seq;
	return nlh;
}

/* The errno value in an NLMSG_ERROR or NLMSG_DONE; the first may be an acknowledgement, the second may be empty. */
static int answer_error(const struct nlmsghdr *nlh)
{
	int32_t code;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(code))
		return nlh->nlmsg_type == NLMSG_DONE ? 0 : EBADMSG;
	memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	return code < 0 ? -code : 0;
}

/* One datagram into @buf. Return: 0 and *@len; an errno value */
static int receive(struct tun_nl *nl, void *buf, size_t cap, int *len)
{
	ssize_t got;

	do
		got = mnl_socket_recvfrom(nl->sock, buf, cap);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno;
	if (got == 0)
		return EPIPE;
	*len = (int)got;
	return 0;
}

int tun_nl_batch(struct tun_nl *nl, const void *buf, size_t len, size_t n, tun_nl_fail_fn *fail,
		 void *arg)
{
	uint32_t first = nl->seq - (uint32_t)n + 1;
	_Alignas(struct nlmsghdr) uint8_t in[8192];
	size_t answered = 0;
	int error, left = 0;

	if (n == 0)
		return 0;
	if (mnl_socket_sendto(nl->sock, buf, len) < 0)
		return errno;
	while (answered < n) {
		if ((error = receive(nl, in, sizeof(in), &left)))
			return error;
		for (const struct nlmsghdr *nlh = (void *)in; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_seq - first >= n)
				continue;
			answered++;
			if ((error = answer_error(nlh)))
				fail(arg, nlh->nlmsg_seq - first, error);
		}
	}
	return 0;
}

static void keep_error(void *arg, size_t index, int error)
{
	(void)index;
	*(int *)arg = error;
}

int tun_nl_call(struct tun_nl *nl, struct nlmsghdr *req)
{
	int refused = 0, error;

	req->nlmsg_flags |= NLM_F_ACK;
	error = tun_nl_batch(nl, req, req->nlmsg_len, 1, keep_error, &refused);
	return error ? error : refused;
}

/* One try of a dump, or one answer and its acknowledgement. Return: 0; EINTR if the table changed meanwhile; an errno value */
static int dump_once(struct tun_nl *nl, const struct nlmsghdr *req, tun_nl_obj_fn *fn, void *arg)
{
	_Alignas(struct nlmsghdr) uint8_t in[TUN_NL_DATAGRAM_MAX];
	bool interrupted = false;
	int error, left = 0;

	if (mnl_socket_sendto(nl->sock, req, req->nlmsg_len) < 0)
		return errno;
	for (;;) {
		if ((error = receive(nl, in, sizeof(in), &left)))
			return error;
		for (const struct nlmsghdr *nlh = (void *)in; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != req->nlmsg_seq)
				continue;
			interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
				error = answer_error(nlh);
				return !error && interrupted ? EINTR : error;
			}
			fn(arg, nlh);
		}
	}
}

int tun_nl_dump(struct tun_nl *nl, struct nlmsghdr *req, tun_nl_obj_fn *fn, void *arg,
		size_t *count)
{
	const size_t before = *count;
	int error = EINTR;

	req->nlmsg_flags |= NLM_F_DUMP;
	for (int i = 0; i < DUMP_TRIES && error == EINTR; i++) {
		*count = before;
		error = dump_once(nl, req, fn, arg);
		req->nlmsg_seq = ++nl->seq;
	}
	return error == EINTR ? 0 : error;
}

int tun_nl_ask(struct tun_nl *nl, struct nlmsghdr *req, tun_nl_obj_fn *fn, void *arg)
{
	req->nlmsg_flags |= NLM_F_ACK; /* ends the conversation as DONE ends a dump */
	return dump_once(nl, req, fn, arg);
}

static const char *advice(int error)
{
	switch (error) {
	case EPERM:
	case EACCES: return " (needs root or CAP_NET_ADMIN: run it with sudo)";
	case ENODEV: return " (has the device been removed?)";
	case ENETDOWN: return " (has the device been set down?)";
	default: return "";
	}
}

int tun_nl_error(int error, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_error("tun: %s: %s%s", what, strerror(error), advice(error));
	errno = error;
	return error == EPERM || error == EACCES ? ST_EPERM : ST_ESYS;
}

bool tun_nl_no_family(int error)
{
	return error == EAFNOSUPPORT || error == EOPNOTSUPP || error == EPROTONOSUPPORT;
}

bool tun_nl_addr(struct net_addr *out, int family, const struct nlattr *attr)
{
	size_t want = family == AF_INET6 ? 16 : 4;

	if (mnl_attr_get_payload_len(attr) != want)
		return false;
	*out = (struct net_addr){ .family = family == AF_INET6 ? 6 : 4 };
	memcpy(out->b, mnl_attr_get_payload(attr), want);
	return true;
}
