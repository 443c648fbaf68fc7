// SPDX-License-Identifier: MIT
/* testlib.h - a real sshd of the test's own on 127.0.0.1, a target behind it, and a pump between an ssh_conn and a socket */
#ifndef TESTS_TUNNEL_TESTLIB_H
#define TESTS_TUNNEL_TESTLIB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/svc.h"
#include "tunnel/ssh_conn.h"

struct sshd {
	char dir[64]; /* keys and files; removed by sshd_stop() */
	pid_t pid;
	uint16_t port;
	char user[64]; /* who may log in: the user that runs the test */
};

/** sshd_dir() - the folder and a user key "id_<type>" for each of ed25519, ecdsa, rsa; all may log in. "id_other" may not */
void sshd_dir(struct sshd *s);
/** sshd_start() - @host_keys: "ed25519", "rsa", "ed25519,rsa", …; @extra: further lines of sshd_config or NULL */
void sshd_start(struct sshd *s, const char *host_keys, const char *extra);
void sshd_kill(struct sshd *s); /* the folder stays: sshd_start() may follow */
void sshd_stop(struct sshd *s);
const char *sshd_path(const struct sshd *s, const char *name); /* static buffer, four at a time */

/** run_cmd() - runs a shell command; aborts the test if it fails */
void run_cmd(const char *fmt, ...) ST_PRINTF(1, 2);

/* A TCP server in a child process. Per connection: reads one byte that says what to do:
 * 'e' echoes to the end of file; 'd' reads to the end of file and answers with the SHA-256; 's' reads 8 bytes, a big-endian count, and sends so
 * many bytes of pattern(), then closes; 'r' resets the connection; 'h' sends 1,000 bytes and its FIN, then reads to the end of file and goes on with 'k' written to its parent */
struct target {
	pid_t pid;
	uint16_t port;
	int note; /* what 'h' tells: one byte for each */
};
void target_start(struct target *t);
void target_stop(struct target *t);
void pattern(uint8_t *out, uint64_t offset, size_t len);

/* An ssh_conn on a socket. */
struct link {
	struct ssh_conn *conn;
	int fd;
	bool ready, failed, kicked, hold; /* hold: nothing is read from the socket */
	int err;
	char text[512];
	struct svc svc; /* agent requests are run in place and answered in the next turn */
	svc_done_fn *done;
	void *done_arg;
	uint8_t *answer;
	size_t answer_len;
	int answer_err;
	uint32_t agent_jobs;
	struct ssh_auth_memo memo;
};
/** link_open() - @opts: user, events, arg and svc are filled in here */
void link_open(struct link *l, const struct sshd *s, const struct ssh_conn_opts *opts);
/** link_fd() - the same to a socket that is there (taken) */
void link_fd(struct link *l, int fd, const struct ssh_conn_opts *opts);
void link_turn(struct link *l, int wait_ms);
/** link_login() - turns until ready or failed. Return: true if ready */
bool link_login(struct link *l);
void link_close(struct link *l);

/** opts_default() - target "i-0123", accept-new, known_hosts in the folder */
struct ssh_conn_opts opts_default(const struct sshd *s);
/** key_must_load() - a key of the folder */
struct tnl_key *key_must_load(const struct sshd *s, const char *name);
struct net_endpoint loopback(uint16_t port);

uint64_t now_ms(void);
/** cpu_us() - user and system time of this process */
uint64_t cpu_us(void);

#endif
