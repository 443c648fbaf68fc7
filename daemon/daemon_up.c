// SPDX-License-Identifier: MIT
/*
 * daemon_up.c - `up` before and after the daemon: root's part
 *
 * Theory of operation: the order is the contract (decision 14). As root: who called, detach, claim the instance, fork the keeper,
 * fork the runner, open what only root may; only then become the caller with CAP_NET_ADMIN alone, and only then read
 * the user's files and initialise libraries. Every way out leads through the keeper's goodbye.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon_internal.h"
#include "keeper/keeper.h"

static int claim(struct daemon *d)
{
	struct keep_journal other;
	int r = keep_claim(d->name, d->id.uid, d->id.gid, &other);

	if (r != ST_EEXIST)
		return r;
	if (strcmp(other.name, d->name) == 0)
		log_error("%s is up already (pid %u); see `ssm-tun status`", other.name,
			  other.daemon_pid);
	else
		log_error("%s is up (pid %u), and a machine has one tunnel at a time: several "
			  "upstreams "
			  "belong in one file; or run `ssm-tun down %s` first",
			  other.name, other.daemon_pid, other.name);
	return r;
}

static int fork_helpers(struct daemon *d, int *runner_fd)
{
	static const struct run_kind kinds[SVC_JOB_N] = {
		[SVC_SSH_AGENT] = { .name = "ssh-agent", .fn = tnl_agent_job },
		[SVC_AWS_READ] = { .name = "aws-read", .fn = aws_read_job },
		[SVC_AWS_WRITE] = { .name = "aws-write", .fn = aws_write_job },
		[SVC_AWS_PROCESS] = { .name = "credential_process", .fn = aws_process_job },
	};
	const char *env[IDENTITY_ENV_MAX + 1];
	const struct run_identity id = {
		.uid = d->id.uid,
		.gid = d->id.gid,
		.groups = d->id.groups,
		.n_groups = (size_t)d->id.n_groups,
		.home = d->id.home,
		.user = d->id.user,
		.shell = d->id.shell,
		.env = env,
	};
	int keeper_pid, runner_pid, r;

	identity_job_env(&d->id, env);
	if ((r = keep_fork(&d->keeper_fd, &keeper_pid, d->name)) < 0)
		return r;
	return run_fork(runner_fd, &runner_pid, &id, kinds, SVC_JOB_N);
}

/* run_as: of a root-owned configuration, read in a throw-away process: the helpers are forked before any file is parsed. */
static int read_run_as(const struct up_opts *opts, char *out, size_t cap)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return log_sys("pipe");
	pid_t child = fork();
	if (child < 0)
		return log_sys("fork");
	if (child == 0) {
		struct cfg_report *report = calloc(1, sizeof(*report));
		const struct cfg_opts cfg = { .path = opts->config_path,
					      .name = opts->name_is_config ? opts->name : NULL,
					      .home = "/root",
					      .flags = opts->flags,
					      .n_flags = opts->n_flags };
		struct config *c = NULL;

		if (report && cfg_load(&c, &cfg, report) == 0 && c->file_is_roots && c->run_as)
			(void)!write(fds[1], c->run_as, strlen(c->run_as));
		_exit(0);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], out, cap - 1);
	close(fds[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	out[n > 0 ? n : 0] = 0;
	return 0;
}

static int who_calls(struct daemon *d)
{
	char run_as[64] = "";
	int r;

	if (geteuid() != 0) {
		log_error("`up` makes a network device and needs root: run it with sudo");
		return ST_EPERM;
	}
	if (identity_needs_run_as() && (r = read_run_as(d->opts, run_as, sizeof(run_as))) < 0)
		return r;
	return identity_find(&d->id, run_as[0] ? run_as : NULL);
}

int daemon_up(const struct up_opts *opts)
{
	struct daemon *d = calloc(1, sizeof(*d));
	int runner_fd = -1, status = 1;

	if (!d)
		return 1;
	d->opts = opts;
	d->name = opts->name ? opts->name : DAEMON_NAME_DEFAULT;
	d->keeper_fd = d->signal_fd = d->monitor_fd = d->clone_fd = -1;
	d->launch.report_fd = -1;
	if (who_calls(d) < 0 || (opts->detach && launch_detach(&d->launch) < 0) || claim(d) < 0)
		goto out;
	if (fork_helpers(d, &runner_fd) < 0) {
		keep_undo(d->name);
		goto out;
	}
	if ((d->clone_fd = tun_clone_open()) >= 0 && identity_assume(&d->id, true) == 0 &&
	    keep_note_daemon(d->keeper_fd, getpid()) == 0)
		status = daemon_run(d, runner_fd);
	/* without a goodbye the keeper leaves what fail_closed keeps */
	if (!d->stays_closed && keep_goodbye(d->keeper_fd) < 0 && status == 0)
		status = 1;
out:
	if (d->clone_fd >= 0)
		close(d->clone_fd);
	launch_stopping(&d->launch, status);
	identity_fini(&d->id);
	free(d);
	return status;
}
