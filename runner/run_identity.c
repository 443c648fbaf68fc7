// SPDX-License-Identifier: MIT
/*
 * run_identity.c - the runner becomes the caller, for good
 *
 * Stages: (1) the capability bounding set, which needs root; (2) groups, gid, uid; (3) all other capability sets;
 * (4) no_new_privs, so that no program that a job starts gets anything back; (5) the environment. A process that is no
 * longer root may skip what only root can do, if it has the wanted identity already.
 */
#include "runner/runner_internal.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cap-ng.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int failed(const char *what)
{
	log_sys("runner: %s", what);
	return ST_EPERM;
}

static int take_ids(const struct run_identity *id)
{
	uid_t r, e, s;

	if (geteuid() == 0) {
		if (setgroups(id->n_groups, id->groups) < 0)
			return failed("set the caller's groups");
		if (setresgid(id->gid, id->gid, id->gid) < 0)
			return failed("set the caller's gid");
		if (setresuid(id->uid, id->uid, id->uid) < 0)
			return failed("set the caller's uid");
	}
	if (getresuid(&r, &e, &s) < 0 || r != id->uid || e != id->uid || s != id->uid ||
	    getgid() != id->gid || getegid() != id->gid) {
		log_error("runner: runs as uid %u, gid %u and can't become uid %u, gid %u",
			  (unsigned)geteuid(), (unsigned)getegid(), id->uid, id->gid);
		return ST_EPERM;
	}
	return 0;
}

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 || capng_apply(CAPNG_SELECT_AMBIENT) < 0)
		return failed("drop all capabilities");
	if (capng_get_caps_process() < 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) > CAPNG_NONE)
		return failed("see that all capabilities are gone");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed("set no_new_privs");
	return 0;
}

static bool put_env(const char *assignment)
{
	char name[128];
	const char *eq = strchr(assignment, '=');
	size_t len = eq ? (size_t)(eq - assignment) : 0;

	if (len == 0 || len >= sizeof(name))
		return true; /* no variable: nothing to set */
	memcpy(name, assignment, len);
	name[len] = '\0';
	return setenv(name, eq + 1, 1) == 0;
}

static int take_environment(const struct run_identity *id)
{
	bool ok = clearenv() == 0 && setenv("PATH", DEFAULT_PATH, 1) == 0;

	ok = ok && (!id->home || setenv("HOME", id->home, 1) == 0);
	ok = ok && (!id->shell || setenv("SHELL", id->shell, 1) == 0);
	ok = ok && (!id->user ||
		    (setenv("USER", id->user, 1) == 0 && setenv("LOGNAME", id->user, 1) == 0));
	for (const char *const *e = id->env; ok && e && *e; e++)
		ok = put_env(*e);
	return ok ? 0 : failed("set the environment");
}

int run_identity_take(const struct run_identity *id)
{
	const struct rlimit no_core = { 0, 0 };
	int r;

	if (geteuid() == 0) {
		capng_clear(CAPNG_SELECT_ALL);
		if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
			log_debug("runner: the bounding set stays: no CAP_SETPCAP here");
	}
	if ((r = take_ids(id)) < 0 || (r = drop_capabilities()) < 0)
		return r;
	if (id->uid != 0 && setresuid(0, 0, 0) == 0) {
		log_error("runner: root came back after it was dropped");
		return ST_EPERM;
	}
	/* A crash dump of a job would hold credentials. */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return failed("forbid core dumps");
	return take_environment(id);
}
