// SPDX-License-Identifier: MIT
/*
 * identity.h - whose files, keys and environment are used (design, section 4: under sudo)
 *
 * Under sudo the caller is SUDO_UID; home, groups and shell come from passwd, never from HOME. What sudo took out of the
 * environment is read back from the waiting sudo itself, and used with the caller's rights only.
 */
#ifndef DAEMON_IDENTITY_H
#define DAEMON_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IDENTITY_USER "ssm-tun" /* the system user when nobody called: a unit, a CI job */
#define IDENTITY_STATE "/var/lib/ssm-tun"
#define IDENTITY_GROUPS_MAX 256
#define IDENTITY_ENV_MAX 96U /* variables that are kept; beyond: told and left aside */

struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[IDENTITY_GROUPS_MAX];
	int n_groups;
	char *user, *home, *shell;
	char *env[IDENTITY_ENV_MAX +
		  1]; /* "NAME=value" of the variables that matter to us, NULL-terminated */
	size_t n_env;
	const char *origin; /* "SUDO_UID", "run_as", … for -v */
};

/**
 * identity_find() - Order: SUDO_UID, DOAS_USER, PKEXEC_UID (only if we are root), @run_as, the system user
 * ssm-tun; a process that is not root is itself. Plain root only with @run_as "root".
 * Return: 0; ST_EPERM (told: what to do); ST_ENOENT (no such user, told); ST_ENOMEM
 */
int identity_find(struct identity *id, const char *run_as);
/** identity_needs_run_as() - plain root: who called is not known from the environment */
bool identity_needs_run_as(void);
void identity_fini(struct identity *id);

/** identity_getenv() - the caller's variable of that name, NULL if unset; @ctx: the struct identity, as void * for callback tables */
const char *identity_getenv(void *ctx, const char *name);

/** identity_job_env() - which of id->env the runner's jobs and their children may see: no key, no token, no URL with a password;
 * borrowed from @id, NULL-terminated */
void identity_job_env(const struct identity *id, const char *out[IDENTITY_ENV_MAX + 1]);

/** identity_assume() - this process becomes the caller for good: groups, gid, uid, no capability but
 * CAP_NET_ADMIN if @keep_net_admin, no_new_privs, no core file, not dumpable. Return: 0; ST_ESYS (logged) */
int identity_assume(const struct identity *id, bool keep_net_admin);

#endif
