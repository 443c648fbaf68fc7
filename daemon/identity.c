// SPDX-License-Identifier: MIT
/*
 * identity.c - the caller behind sudo, doas, pkexec or a unit
 *
 * Theory of operation: Debian's sudo removes AWS_PROFILE, SSH_AUTH_SOCK and HTTPS_PROXY and sets HOME=/root; the sudo
 * process that waits for us still has them in its environment. It is believed only if it is the root-owned
 * executable named sudo that runs on behalf of SUDO_UID: anything else could hand us somebody's variables.
 */
#include "daemon/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cap-ng.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"

#define ENVIRON_MAX MIB(1) /* ours: of the waiting sudo; the kernel's own limit is larger */
#define ANCESTORS_MAX 8U   /* ours: sudo, a shell, a script … */

extern char **environ;

/* Whether jobs of the runner and the programs that they start see a variable too. */
enum for_jobs {
	NOT, /* a secret, or what leads to one */
	SHOWN,
	IF_BARE, /* a URL: not if it has an '@', for that may be a password */
};

/* The variables that change what we do, and no others; a name that ends in '*' is a prefix. */
static const struct kept {
	const char *name;
	enum for_jobs jobs;
} kept[] = {
	{ "AWS_PROFILE", SHOWN },
	{ "AWS_DEFAULT_PROFILE", SHOWN },
	{ "AWS_REGION", SHOWN },
	{ "AWS_DEFAULT_REGION", SHOWN },
	{ "AWS_CONFIG_FILE", SHOWN },
	{ "AWS_SHARED_CREDENTIALS_FILE", SHOWN },
	{ "AWS_CA_BUNDLE", SHOWN },
	{ "REQUESTS_CA_BUNDLE", SHOWN },
	{ "AWS_ACCESS_KEY_ID", NOT },
	{ "AWS_SECRET_ACCESS_KEY", NOT },
	{ "AWS_SESSION_TOKEN", NOT },
	{ "AWS_SECURITY_TOKEN", NOT },
	{ "AWS_CREDENTIAL_EXPIRATION", NOT }, /* of these keys */
	{ "AWS_ROLE_ARN", SHOWN },
	{ "AWS_ROLE_SESSION_NAME", SHOWN },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE", SHOWN },
	{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NOT },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI", NOT },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN", NOT },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NOT },
	{ "AWS_EC2_METADATA_*", IF_BARE },
	{ "AWS_IMDS_USE_IPV6", SHOWN },
	{ "AWS_METADATA_SERVICE_TIMEOUT", SHOWN },
	{ "AWS_METADATA_SERVICE_NUM_ATTEMPTS", SHOWN },
	{ "AWS_ENDPOINT_URL", IF_BARE },
	{ "AWS_ENDPOINT_URL_SSM", IF_BARE },
	{ "AWS_ENDPOINT_URL_EC2", IF_BARE },
	{ "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", IF_BARE },
	{ "AWS_ENDPOINT_URL_STS", IF_BARE },
	{ "AWS_ENDPOINT_URL_SSO", IF_BARE },
	{ "AWS_ENDPOINT_URL_SSO_OIDC", IF_BARE },
	{ "AWS_ENDPOINT_URL_ROUTE_53", IF_BARE },
	{ "AWS_ENDPOINT_URL_KMS", IF_BARE },
	{ "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", SHOWN },
	{ "AWS_USE_FIPS_ENDPOINT", SHOWN },
	{ "AWS_USE_DUALSTACK_ENDPOINT", SHOWN },
	{ "HTTPS_PROXY", IF_BARE },
	{ "https_proxy", IF_BARE },
	{ "HTTP_PROXY", IF_BARE },
	{ "http_proxy", IF_BARE },
	{ "NO_PROXY", SHOWN },
	{ "no_proxy", SHOWN },
	{ "SSH_AUTH_SOCK", SHOWN },
	{ "XDG_*", SHOWN },
	{ "NO_COLOR", SHOWN },
};

/* Return: the row of "NAME=value"; NULL: none */
static const struct kept *kept_find(const char *var)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *name = kept[i].name;
		size_t n = strlen(name);

		if (name[n - 1] == '*' ? strncmp(var, name, n - 1) == 0
				       : strncmp(var, name, n) == 0 && var[n] == '=')
			return &kept[i];
	}
	return NULL;
}

static bool env_has(const struct identity *id, const char *var)
{
	size_t n = (size_t)(strchr(var, '=') - var) + 1;

	for (size_t i = 0; i < id->n_env; i++)
		if (strncmp(id->env[i], var, n) == 0)
			return true;
	return false;
}

/* Keeps @var if it matters and is not there yet. Return: true if it was taken. */
static bool env_take(struct identity *id, const char *var)
{
	if (!strchr(var, '=') || !kept_find(var) || env_has(id, var))
		return false;
	if (id->n_env >= IDENTITY_ENV_MAX) {
		log_warn("%.*s is left aside: more than %u variables are set for this program",
			 (int)strcspn(var, "="), text_safe(var).s, IDENTITY_ENV_MAX);
		return false;
	}
	char *copy = strdup(var);
	if (!copy)
		return false;
	id->env[id->n_env++] = copy;
	return true;
}

/* A number of /proc/PID/status: the first behind @key. */
static bool status_number(pid_t pid, const char *key, unsigned *out)
{
	char path[64], line[256];
	size_t n = strlen(key);
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strncmp(line, key, n) == 0 && sscanf(line + n, "%u", out) == 1;
	fclose(f);
	return found;
}

/* Is @pid a sudo that runs on behalf of @uid? Its real user id stays the caller's (Debian 12: sudo 1.9.13). */
static bool is_sudo_of(pid_t pid, uid_t uid)
{
	char path[64], exe[PATH_MAX];
	struct stat st;
	unsigned real;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return false;
	exe[n] = 0;
	const char *base = strrchr(exe, '/');
	if (!base || strcmp(base + 1, "sudo") != 0 || stat(path, &st) < 0 || st.st_uid != 0)
		return false;
	return status_number(pid, "Uid:", &real) && real == uid;
}

/* The sudo that we run under: the parent, or above it where a script was started by sudo. 0: none. */
static pid_t find_sudo(uid_t uid)
{
	unsigned pid = (unsigned)getppid();

	for (unsigned i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		if (is_sudo_of((pid_t)pid, uid))
			return (pid_t)pid;
		if (!status_number((pid_t)pid, "PPid:", &pid))
			break;
	}
	return 0;
}

/* Reads back what sudo removed. What sudo kept wins: it is there already. */
static void env_from_sudo(struct identity *id)
{
	pid_t sudo = find_sudo(id->uid);
	char path[64], taken[512] = "";
	struct buf b;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)sudo);
	buf_init_secret(&b, ENVIRON_MAX);
	int fd = sudo ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0 || file_read_fd(&b, fd) < 0) {
		log_warn("what sudo removed from the environment can't be read back; if you use "
			 "AWS_PROFILE, "
			 "HTTPS_PROXY or an ssh-agent, give --profile, or run: sudo "
			 "--preserve-env=AWS_PROFILE,"
			 "SSH_AUTH_SOCK,HTTPS_PROXY ssm-tun up");
	} else if (buf_put(&b, "", 1) == 0) {
		const char *p = (const char *)buf_data(&b);

		for (size_t off = 0; off < b.len; off += strlen(p + off) + 1) {
			if (!env_take(id, p + off))
				continue;
			size_t used = strlen(taken);
			snprintf(taken + used, sizeof(taken) - used, " %.*s",
				 (int)strcspn(p + off, "="), p + off);
		}
		if (taken[0])
			log_debug("taken from the environment that sudo was started with:%s",
				  taken);
	}
	if (fd >= 0)
		close(fd);
	buf_wipe(&b);
}

static int fill(struct identity *id, const struct passwd *pw, const char *origin)
{
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	id->origin = origin;
	id->user = strdup(pw->pw_name);
	id->home = strdup(pw->pw_dir);
	id->shell = strdup(pw->pw_shell);
	id->n_groups = IDENTITY_GROUPS_MAX;
	if (getgrouplist(pw->pw_name, pw->pw_gid, id->groups, &id->n_groups) < 0)
		id->n_groups = IDENTITY_GROUPS_MAX;
	return id->user && id->home && id->shell ? 0 : ST_ENOMEM;
}

static int fill_uid(struct identity *id, const char *text, const char *origin)
{
	char *end;

	errno = 0;
	unsigned long uid = strtoul(text, &end, 10);
	if (errno || *end || end == text || uid >= UINT_MAX) {
		log_error("%s=%s is no user id", origin, text_safe(text).s);
		return ST_EPERM;
	}
	struct passwd *pw = getpwuid((uid_t)uid);
	if (!pw) {
		log_error("%s=%lu: there is no such user", origin, uid);
		return ST_ENOENT;
	}
	return fill(id, pw, origin);
}

static int fill_name(struct identity *id, const char *name, const char *origin)
{
	struct passwd *pw = getpwnam(name);

	if (!pw) {
		log_error("%s: there is no user %s", origin, text_safe(name).s);
		return ST_ENOENT;
	}
	return fill(id, pw, origin);
}

static int find_caller(struct identity *id, const char *run_as)
{
	const char *v;

	if (geteuid() != 0) {
		struct passwd *pw = getpwuid(getuid());

		if (pw)
			return fill(id, pw, "own");
		log_error("user id %u has no passwd entry", (unsigned)getuid());
		return ST_ENOENT;
	}
	if ((v = getenv("SUDO_UID")) && strcmp(v, "0") != 0)
		return fill_uid(id, v, "SUDO_UID");
	if ((v = getenv("DOAS_USER")) && strcmp(v, "root") != 0)
		return fill_name(id, v, "DOAS_USER");
	if ((v = getenv("PKEXEC_UID")) && strcmp(v, "0") != 0)
		return fill_uid(id, v, "PKEXEC_UID");
	if (run_as)
		return fill_name(id, run_as, "run_as");
	if (getpwnam(IDENTITY_USER))
		return fill_name(id, IDENTITY_USER, "system user");
	log_error("run by root itself, ssm-tun does not know whose AWS and SSH files to use: run "
		  "it with sudo as "
		  "your own user, make a system user " IDENTITY_USER
		  ", or set run_as: NAME in a configuration that belongs to root");
	return ST_EPERM;
}

bool identity_needs_run_as(void)
{
	const char *v;

	if (geteuid() != 0)
		return false;
	return !((v = getenv("SUDO_UID")) && strcmp(v, "0") != 0) &&
	       !((v = getenv("DOAS_USER")) && strcmp(v, "root") != 0) &&
	       !((v = getenv("PKEXEC_UID")) && strcmp(v, "0") != 0);
}

int identity_find(struct identity *id, const char *run_as)
{
	*id = (struct identity){ 0 };
	int r = find_caller(id, run_as);

	if (r < 0) {
		identity_fini(id);
		return r;
	}
	for (char **e = environ; *e; e++)
		env_take(id, *e);
	if (strcmp(id->origin, "SUDO_UID") == 0)
		env_from_sudo(id);
	return 0;
}

void identity_fini(struct identity *id)
{
	for (size_t i = 0; i < id->n_env; i++) {
		explicit_bzero(id->env[i], strlen(id->env[i]));
		free(id->env[i]);
	}
	free(id->user);
	free(id->home);
	free(id->shell);
	*id = (struct identity){ 0 };
}

const char *identity_getenv(void *ctx, const char *name)
{
	const struct identity *id = ctx;
	size_t n = strlen(name);

	for (size_t i = 0; i < id->n_env; i++)
		if (strncmp(id->env[i], name, n) == 0 && id->env[i][n] == '=')
			return id->env[i] + n + 1;
	return NULL;
}

static bool is_for_jobs(const char *var)
{
	const struct kept *row = kept_find(var);

	return row->jobs == SHOWN || (row->jobs == IF_BARE && !strchr(var, '@'));
}

void identity_job_env(const struct identity *id, const char *out[IDENTITY_ENV_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < id->n_env; i++)
		if (is_for_jobs(id->env[i]))
			out[n++] = id->env[i];
	out[n] = NULL;
}

static int drop_ids(const struct identity *id)
{
	if (geteuid() == 0 && setgroups((size_t)id->n_groups, id->groups) < 0)
		return log_sys("setgroups");
	if (setresgid(id->gid, id->gid, id->gid) < 0)
		return log_sys("setresgid %u", (unsigned)id->gid);
	if (setresuid(id->uid, id->uid, id->uid) < 0)
		return log_sys("setresuid %u", (unsigned)id->uid);
	return 0;
}

int identity_assume(const struct identity *id, bool keep_net_admin)
{
	const struct rlimit none = { 0, 0 };
	int r;

	/* The bounding set can only be emptied while we are root; permitted survives the change of uid by KEEPCAPS. */
	capng_clear(CAPNG_SELECT_BOTH);
	if (keep_net_admin)
		capng_updatev(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, CAP_NET_ADMIN, -1);
	if (geteuid() == 0) {
		capng_apply(CAPNG_SELECT_BOUNDS);
		if (keep_net_admin && prctl(PR_SET_KEEPCAPS, 1L) < 0)
			return log_sys("prctl KEEPCAPS");
	}
	if ((r = drop_ids(id)) < 0)
		return r;
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return log_sys("capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return log_sys("prctl NO_NEW_PRIVS");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return log_sys("setrlimit CORE");
	if (prctl(PR_SET_DUMPABLE, 0L) < 0)
		return log_sys("prctl DUMPABLE");
	return 0;
}
