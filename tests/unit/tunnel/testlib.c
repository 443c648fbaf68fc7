// SPDX-License-Identifier: MIT
#include "testlib.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond,              \
				strerror(errno));                                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

void run_cmd(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0) {
		fprintf(stderr, "failed: %s\n", cmd);
		abort();
	}
}

struct net_endpoint loopback(uint16_t port)
{
	return (struct net_endpoint){ .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
				      .port = port };
}

static int listen_any(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	     listen(fd, 2048) == 0 && getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

/* ---- sshd ---- */

const char *sshd_path(const struct sshd *s, const char *name)
{
	static char paths[4][128];
	static unsigned int at;
	char *p = paths[at++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", s->dir, name);
	return p;
}

void sshd_dir(struct sshd *s)
{
	const struct passwd *pw = getpwuid(getuid());

	*s = (struct sshd){ 0 };
	signal(SIGPIPE, SIG_IGN);
	MUST(pw != NULL);
	snprintf(s->user, sizeof(s->user), "%s", pw->pw_name);
	strcpy(s->dir, "/tmp/ssm-tun-sshd.XXXXXX");
	MUST(mkdtemp(s->dir) != NULL);
	run_cmd("cd %s && for t in ed25519 ecdsa; do ssh-keygen -q -N '' -t $t -f id_$t; "
		"ssh-keygen -q -N '' -t $t -f host_$t; done; for k in id host; do "
		"ssh-keygen -q -N '' -t rsa -b 2048 -f ${k}_rsa; done; "
		"ssh-keygen -q -N '' -t ed25519 -f id_other; "
		"cat id_ed25519.pub id_ecdsa.pub id_rsa.pub >authorized_keys",
		s->dir);
}

/* A port that is free now; sshd can't say which one it chose. */
static uint16_t free_port(void)
{
	uint16_t port;
	int fd = listen_any(&port);

	close(fd);
	return port;
}

static void config_write(const struct sshd *s, const char *host_keys, const char *extra)
{
	FILE *f = fopen(sshd_path(s, "sshd_config"), "w");
	char list[128], *save = NULL;

	MUST(f != NULL);
	fprintf(f,
		"ListenAddress 127.0.0.1\nPort %u\nUsePAM no\nStrictModes no\nPidFile none\nUseDNS "
		"no\n"
		"AuthorizedKeysFile %s/authorized_keys\nPermitRootLogin "
		"yes\nPasswordAuthentication no\n"
		"KbdInteractiveAuthentication no\nMaxSessions 10\nMaxStartups 100\nLogLevel "
		"INFO\n%s\n",
		s->port, s->dir, extra != NULL ? extra : "");
	snprintf(list, sizeof(list), "%s", host_keys);
	for (char *t = strtok_r(list, ",", &save); t != NULL; t = strtok_r(NULL, ",", &save))
		fprintf(f, "HostKey %s/host_%s\n", s->dir, t);
	fclose(f);
}

/* sshd says on its standard error when it listens. */
static void listening_await(int fd)
{
	char text[4096];
	size_t n = 0;

	while (n < sizeof(text) - 1) {
		ssize_t r = read(fd, text + n, sizeof(text) - 1 - n);

		if (r <= 0) {
			fprintf(stderr, "sshd: %.*s\n", (int)n, text);
			abort();
		}
		n += (size_t)r;
		text[n] = '\0';
		if (strstr(text, "Server listening") != NULL)
			return;
	}
	abort();
}

void sshd_start(struct sshd *s, const char *host_keys, const char *extra)
{
	int pipe_fd[2];

	if (getuid() == 0)
		mkdir("/run/sshd", 0755);
	s->port = free_port();
	config_write(s, host_keys, extra);
	MUST(pipe2(pipe_fd, O_CLOEXEC) == 0);
	s->pid = fork();
	MUST(s->pid >= 0);
	if (s->pid == 0) {
		const struct rlimit files = { 8192, 8192 };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_NOFILE, &files);
		dup2(pipe_fd[1], 2);
		execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f",
		      sshd_path(s, "sshd_config"), (char *)NULL);
		_exit(127);
	}
	close(pipe_fd[1]);
	listening_await(pipe_fd[0]);
	/* the pipe's read end stays open: sshd writes its log into it, and a full pipe must not stop it */
	fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
	fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20);
}

void sshd_kill(struct sshd *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
}

void sshd_stop(struct sshd *s)
{
	sshd_kill(s);
	run_cmd("rm -rf %s", s->dir);
}

/* ---- the target ---- */

static int target_note;

void pattern(uint8_t *out, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const uint64_t at = offset + i;

		out[i] = (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
	}
}

static void write_full(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void serve_echo(int fd)
{
	uint8_t buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		write_full(fd, buf, (size_t)n);
}

static void serve_digest(int fd)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t buf[65536], sha[32];
	ssize_t n;

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		EVP_DigestUpdate(md, buf, (size_t)n);
	EVP_DigestFinal_ex(md, sha, NULL);
	EVP_MD_CTX_free(md);
	write_full(fd, sha, sizeof(sha));
}

static void serve_source(int fd)
{
	uint8_t head[8], buf[65536];
	uint64_t count, at = 0;

	if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head))
		return;
	count = be64_get(head);
	pattern(buf, 0, sizeof(buf));
	for (; at < count; at += sizeof(buf)) {
		pattern(buf, at, 256); /* enough to be different in each block */
		write_full(fd, buf, MIN(sizeof(buf), (size_t)(count - at)));
	}
}

static void serve_half(int fd)
{
	uint8_t buf[1000];

	pattern(buf, 0, sizeof(buf));
	write_full(fd, buf, sizeof(buf));
	shutdown(fd, SHUT_WR);
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	MUST(write(target_note, "k", 1) == 1);
}

static void *serve(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	const struct linger reset = { 1, 0 };
	char what = 0;

	if (read(fd, &what, 1) == 1) {
		switch (what) {
		case 'e': serve_echo(fd); break;
		case 'd': serve_digest(fd); break;
		case 's': serve_source(fd); break;
		case 'h': serve_half(fd); break;
		default: setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); break;
		}
	}
	close(fd);
	return NULL;
}

static _Noreturn void target_main(int lfd)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, KIB(256));
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		const int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			_exit(1);
		if (pthread_create(&t, &attr, serve, (void *)(intptr_t)fd) != 0)
			_exit(2);
	}
}

void target_start(struct target *t)
{
	int lfd = listen_any(&t->port), pipe_fd[2];
	const struct rlimit files = { 8192, 8192 };

	MUST(pipe2(pipe_fd, O_CLOEXEC) == 0);
	t->pid = fork();
	MUST(t->pid >= 0);
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_NOFILE, &files);
		target_note = pipe_fd[1];
		target_main(lfd);
	}
	close(lfd);
	close(pipe_fd[1]);
	t->note = pipe_fd[0];
}

void target_stop(struct target *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->note);
}

/* ---- the link ---- */

static void on_ready(void *arg)
{
	((struct link *)arg)->ready = true;
}

static void on_failed(void *arg, int err, const char *text)
{
	struct link *l = arg;

	l->failed = true;
	l->err = err;
	text_copy(l->text, sizeof(l->text), text);
}

static void on_kick(void *arg)
{
	((struct link *)arg)->kicked = true;
}

static const struct ssh_conn_events link_events = { on_ready, on_failed, on_kick };

static int svc_run(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		   uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	struct link *l = ctx;

	(void)timeout_ms;
	MUST(kind == SVC_SSH_AGENT && l->done == NULL);
	l->answer = malloc(KIB(192));
	MUST(l->answer != NULL);
	l->answer_err = tnl_agent_job(in, len, l->answer, &l->answer_len);
	l->done = done;
	l->done_arg = arg;
	l->agent_jobs++;
	*out = 1;
	return 0;
}

static void svc_cancel(void *ctx, handle job)
{
	struct link *l = ctx;

	MUST(job == 1);
	l->done = NULL;
	free(l->answer);
	l->answer = NULL;
}

static void svc_answer(struct link *l)
{
	svc_done_fn *done = l->done;
	uint8_t *answer = l->answer;

	if (done == NULL)
		return;
	l->done = NULL;
	l->answer = NULL;
	done(l->done_arg, l->answer_err, answer, l->answer_len);
	free(answer);
}

void link_fd(struct link *l, int fd, const struct ssh_conn_opts *opts)
{
	struct ssh_conn_opts o = *opts;
	const struct ssh_auth_memo memo = l->memo;
	const int one = 1;

	*l = (struct link){ .fd = fd, .memo = memo };
	l->svc = (struct svc){ .ctx = l, .run = svc_run, .cancel = svc_cancel };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	o.events = &link_events;
	o.arg = l;
	o.svc = &l->svc;
	o.memo = &l->memo;
	MUST(ssh_conn_new(&l->conn, &o) == 0);
}

void link_open(struct link *l, const struct sshd *s, const struct ssh_conn_opts *opts)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(s->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	link_fd(l, fd, opts);
}

static void link_write(struct link *l)
{
	struct buf *out = ssh_conn_out(l->conn);

	while (out->len > 0) {
		ssize_t n = send(l->fd, buf_data(out), out->len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		buf_consume(out, (size_t)n);
	}
}

static void link_read(struct link *l)
{
	static uint8_t in[65536];
	ssize_t n = recv(l->fd, in, sizeof(in), 0);

	if (n > 0)
		MUST(ssh_conn_input(l->conn, in, (size_t)n) == 0);
	else if (n == 0 || errno != EAGAIN)
		ssh_conn_eof(l->conn);
}

void link_turn(struct link *l, int wait_ms)
{
	struct pollfd p = { .fd = l->fd, .events = l->hold ? 0 : POLLIN };

	if (l->done != NULL || l->kicked)
		wait_ms = 0;
	if (ssh_conn_out(l->conn)->len > 0)
		p.events |= POLLOUT;
	poll(&p, 1, wait_ms);
	svc_answer(l);
	if (!l->hold && (p.revents & (POLLIN | POLLHUP | POLLERR)))
		link_read(l);
	l->kicked = false;
	ssh_conn_pump(l->conn);
	link_write(l);
}

bool link_login(struct link *l)
{
	const uint64_t end = now_ms() + 20000;

	while (!l->ready && !l->failed && now_ms() < end)
		link_turn(l, 1000);
	return l->ready;
}

void link_close(struct link *l)
{
	ssh_conn_free(l->conn);
	close(l->fd);
	free(l->answer);
	l->conn = NULL;
}

struct ssh_conn_opts opts_default(const struct sshd *s)
{
	static char own[128];

	snprintf(own, sizeof(own), "%s/known_hosts", s->dir);
	return (struct ssh_conn_opts){
		.user = s->user,
		.target = "i-0123",
		.hosts = { .policy = TNL_HOST_KEY_ACCEPT_NEW, .own = own },
	};
}

struct tnl_key *key_must_load(const struct sshd *s, const char *name)
{
	struct tnl_key *k = NULL;
	char text[512];

	if (tnl_key_load(&k, sshd_path(s, name), false, NULL, NULL, text, sizeof(text)) < 0) {
		fprintf(stderr, "%s\n", text);
		abort();
	}
	return k;
}
