// SPDX-License-Identifier: MIT
/*
 * aws_multi.c - libcurl's multi interface on our loop
 *
 * Theory of operation: libcurl says which descriptors it wants watched (socket callback) and is asked after every action
 * when it wants to be called again (curl_multi_timeout); both become a watch and a timer of our loop, so nothing wakes an
 * idle process. The timer callback of libcurl is not used: it does not repeat itself when a timer fired a moment early.
 * A connection stays usable for the next call; when no call was made for idle_ms the whole multi handle goes,
 * with its connections, TLS state and CA store. Finished transfers are taken from libcurl's queue outside its
 * callbacks, so that an owner's callback may make, cancel and free whatever it likes except the struct aws itself.
 *
 * Two habits of libcurl 7.88 are made up for. A socket that is still connecting is closed before we are told, and without the
 * close callback; another socket may have its number by then, of which nothing is said either, since to libcurl nothing
 * has changed. The kernel forgets the watch of a descriptor that is closed: so the end of a watch is no error here, and we open
 * the sockets: a number that is watched already is watched anew. And after an address that refused or took half of the time, the
 * next one is only tried when libcurl is called for another reason, which may be the end of the whole time: so transfers that
 * are not connected yet are hurried whenever a socket goes.
 */
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aws/aws_call.h"
#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/log.h"

/* One descriptor that libcurl wants watched. */
struct sock {
	struct list_node node;
	struct aws *aws;
	loop_watch watch;
	curl_socket_t fd;
	uint32_t events;
};

static void multi_drain(struct aws *a)
{
	CURLMsg *msg;
	int left;

	while (a->multi && (msg = curl_multi_info_read(a->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			aws_call_done(a, msg->easy_handle, msg->data.result);
}

static void multi_arm(struct aws *a)
{
	long wait_ms = -1;

	if (!a->multi || curl_multi_timeout(a->multi, &wait_ms) != CURLM_OK || wait_ms < 0) {
		loop_timer_cancel(a->loop, &a->multi_timer);
		return;
	}
	if (loop_timer_set(a->loop, &a->multi_timer, loop_now_ms(a->loop) + (uint64_t)wait_ms) < 0)
		log_error("aws: no memory for a timer");
}

static void idle_arm(struct aws *a)
{
	uint32_t pos = 0;

	if (!a->multi)
		return;
	if (hnd_next(&a->calls, &pos))
		loop_timer_cancel(a->loop, &a->idle_timer);
	else if (!loop_timer_armed(&a->idle_timer) &&
		 loop_timer_set(a->loop, &a->idle_timer, loop_now_ms(a->loop) + a->limits.idle_ms) <
			 0)
		log_error("aws: no memory for a timer");
}

/* A pause that ends makes libcurl look at the transfer at once. */
static void hurry(struct aws *a)
{
	uint32_t pos = 0;
	struct call *c;

	a->dropped = false;
	while ((c = hnd_next(&a->calls, &pos))) {
		curl_off_t sent_us = 0;

		if (!c->http.easy)
			continue;
		/* not the time of connecting: a connection that is used again has none */
		curl_easy_getinfo(c->http.easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
		if (sent_us == 0) {
			curl_easy_pause(c->http.easy, CURLPAUSE_RECV);
			curl_easy_pause(c->http.easy, CURLPAUSE_CONT);
		}
	}
}

static void multi_act(struct aws *a, curl_socket_t fd, int what)
{
	int running;
	CURLMcode rc = curl_multi_socket_action(a->multi, fd, what, &running);

	if (rc != CURLM_OK)
		log_error("aws: libcurl: %s", curl_multi_strerror(rc));
	multi_drain(a);
	if (a->dropped)
		hurry(a);
	multi_arm(a);
	idle_arm(a);
}

static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	struct sock *s = arg;
	int what = 0;

	(void)now_ms;
	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	multi_act(s->aws, s->fd, what);
}

static void on_multi_timer(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void sock_drop(struct aws *a, struct sock *s)
{
	if (!s)
		return;
	loop_fd_forget(a->loop, &s->watch);
	list_del(&s->node);
	free(s);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
	static const uint32_t events[] = {
		[CURL_POLL_NONE] = 0,
		[CURL_POLL_IN] = EPOLLIN,
		[CURL_POLL_OUT] = EPOLLOUT,
		[CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
	};
	struct aws *a = arg;
	struct sock *s = sock_arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		a->dropped = true;
		sock_drop(a, s);
		curl_multi_assign(a->multi, fd, NULL);
		return 0;
	}
	if (s) {
		s->events = events[what];
		return loop_fd_mod(a->loop, s->watch, s->events) < 0 ? -1 : 0;
	}
	if (!(s = calloc(1, sizeof(*s))))
		return -1;
	*s = (struct sock){ .aws = a, .fd = fd, .events = events[what] };
	if (loop_fd_add(a->loop, &s->watch, fd, s->events, on_socket, s) < 0) {
		free(s);
		return -1;
	}
	list_push_back(&a->socks, &s->node);
	curl_multi_assign(a->multi, fd, s);
	return 0;
}

/* The number @fd is that of a new socket. Return: false if it can't be watched */
static bool number_renew(struct aws *a, curl_socket_t fd)
{
	list_for_each (it, &a->socks) {
		struct sock *s = container_of(it, struct sock, node);

		if (s->fd != fd)
			continue;
		loop_fd_forget(a->loop, &s->watch);
		return loop_fd_add(a->loop, &s->watch, fd, s->events, on_socket, s) == 0;
	}
	return true;
}

curl_socket_t aws_socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *at)
{
	const curl_socket_t fd = socket(at->family, at->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
					at->protocol);

	(void)purpose;
	if (fd < 0) {
		log_sys("aws: a socket");
		return CURL_SOCKET_BAD;
	}
	if (number_renew(arg, fd))
		return fd;
	close(fd);
	return CURL_SOCKET_BAD;
}

void aws_multi_close(struct aws *a)
{
	CURLM *multi = a->multi;

	if (!multi)
		return;
	curl_multi_cleanup(multi); /* still calls on_curl_socket */
	a->multi = NULL;
	loop_timer_cancel(a->loop, &a->multi_timer);
	loop_timer_cancel(a->loop, &a->idle_timer);
}

static void on_idle(void *arg, uint64_t now_ms)
{
	struct aws *a = arg;
	uint32_t pos = 0;

	(void)now_ms;
	if (hnd_next(&a->calls, &pos))
		return;
	aws_multi_close(a);
	malloc_trim(0); /* a CA store is thousands of small pieces: glibc keeps them otherwise */
}

CURLM *aws_multi(struct aws *a)
{
	if (a->multi)
		return a->multi;
	if (!(a->multi = curl_multi_init()))
		return NULL;
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(a->multi, CURLMOPT_SOCKETDATA, a);
	return a->multi;
}

void aws_multi_init(struct aws *a)
{
	list_init(&a->socks);
	loop_timer_init(&a->multi_timer, on_multi_timer, a);
	loop_timer_init(&a->idle_timer, on_idle, a);
}

void aws_multi_kick(struct aws *a)
{
	multi_arm(a);
	idle_arm(a);
}
