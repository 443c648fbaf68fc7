// SPDX-License-Identifier: MIT
/*
 * identity_test.c - who calls; which variables are kept, and which of them the runner's jobs see; that dropping to the
 * caller drops everything but CAP_NET_ADMIN
 *
 * Each case runs in a child, whose exit status is the number of the check that failed. Needs root for the cases that change users; as
 * another user only the plain case runs.
 */
#include "daemon/identity.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cap-ng.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		log_setup(LOG_ERROR, LOG_TEXT);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define CHECK(n, cond)                                                                             \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return n;                                                                  \
	} while (0)

static void forget_callers(void)
{
	unsetenv("SUDO_UID");
	unsetenv("DOAS_USER");
	unsetenv("PKEXEC_UID");
}

static int order_of_callers(void)
{
	struct passwd *nobody = getpwnam("nobody"), *daemon = getpwnam("daemon");
	struct identity id;
	char uid[16];

	CHECK(1, nobody && daemon);
	uid_t nobody_uid = 65534;
	forget_callers();
	snprintf(uid, sizeof(uid), "%u", (unsigned)nobody_uid);
	setenv("DOAS_USER", "daemon", 1);
	CHECK(2, identity_find(&id, NULL) == 0 && strcmp(id.user, "daemon") == 0);
	CHECK(3, strcmp(id.origin, "DOAS_USER") == 0);
	identity_fini(&id);
	setenv("SUDO_UID", uid, 1);
	CHECK(4, identity_find(&id, "daemon") == 0 && id.uid == nobody_uid);
	CHECK(5, strcmp(id.home, getpwuid(nobody_uid)->pw_dir) == 0);
	identity_fini(&id);
	forget_callers();
	CHECK(6, identity_needs_run_as());
	CHECK(7, identity_find(&id, "daemon") == 0 && strcmp(id.origin, "run_as") == 0);
	identity_fini(&id);
	CHECK(8, getpwnam(IDENTITY_USER) || identity_find(&id, NULL) == ST_EPERM);
	CHECK(9, identity_find(&id, "no-such-user-here") == ST_ENOENT);
	return 0;
}

static int bad_callers(void)
{
	static const char *const bad[] = { "-1", "12x", "", "4294967295", "99999999999999999999" };
	struct identity id;

	forget_callers();
	for (size_t i = 0; i < 5; i++) {
		setenv("SUDO_UID", bad[i], 1);
		CHECK((int)i + 1, identity_find(&id, "root") < 0);
	}
	return 0;
}

static int kept_environment(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	setenv("AWS_PROFILE", "prod", 1);
	setenv("XDG_STATE_HOME", "/x", 1);
	setenv("LD_PRELOAD_NOT_OURS", "/evil", 1);
	setenv("HOME", "/root", 1);
	CHECK(1, identity_find(&id, NULL) == 0);
	CHECK(2, strcmp(identity_getenv(&id, "AWS_PROFILE"), "prod") == 0);
	CHECK(3, strcmp(identity_getenv(&id, "XDG_STATE_HOME"), "/x") == 0);
	CHECK(4, !identity_getenv(&id, "LD_PRELOAD_NOT_OURS"));
	CHECK(5, !identity_getenv(&id, "HOME"));
	CHECK(6, !identity_getenv(&id, "AWS"));
	identity_fini(&id);
	return 0;
}

/* Every variable that aws/ reads, and whether a job may see it. A secret's value has "geheim" in it. */
static const struct {
	const char *name, *value;
	bool for_jobs;
} variables[] = {
	{ "AWS_PROFILE", "p", true },
	{ "AWS_DEFAULT_PROFILE", "p", true },
	{ "AWS_REGION", "r", true },
	{ "AWS_DEFAULT_REGION", "r", true },
	{ "AWS_CONFIG_FILE", "/c", true },
	{ "AWS_SHARED_CREDENTIALS_FILE", "/s", true },
	{ "AWS_CA_BUNDLE", "/ca", true },
	{ "REQUESTS_CA_BUNDLE", "/ca", true },
	{ "AWS_ACCESS_KEY_ID", "AKIAgeheim", false },
	{ "AWS_SECRET_ACCESS_KEY", "geheim", false },
	{ "AWS_SESSION_TOKEN", "geheim", false },
	{ "AWS_SECURITY_TOKEN", "geheim", false },
	{ "AWS_CREDENTIAL_EXPIRATION", "2099-01-01T00:00:00Z", false },
	{ "AWS_ROLE_ARN", "arn:aws:iam::1:role/x", true },
	{ "AWS_ROLE_SESSION_NAME", "n", true },
	{ "AWS_WEB_IDENTITY_TOKEN_FILE", "/token", true },
	{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/geheim", false },
	{ "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/geheim", false },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN", "geheim", false },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/geheim", false },
	{ "AWS_EC2_METADATA_DISABLED", "true", true },
	{ "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://me:geheim@imds", false },
	{ "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6", true },
	{ "AWS_EC2_METADATA_V1_DISABLED", "true", true },
	{ "AWS_IMDS_USE_IPV6", "true", true },
	{ "AWS_METADATA_SERVICE_TIMEOUT", "2", true },
	{ "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "3", true },
	{ "AWS_ENDPOINT_URL", "https://e", true },
	{ "AWS_ENDPOINT_URL_SSM", "https://e1", true },
	{ "AWS_ENDPOINT_URL_EC2", "https://e2", true },
	{ "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", "https://e3", true },
	{ "AWS_ENDPOINT_URL_STS", "https://me:geheim@e4", false },
	{ "AWS_ENDPOINT_URL_SSO", "https://e5", true },
	{ "AWS_ENDPOINT_URL_SSO_OIDC", "https://e6", true },
	{ "AWS_ENDPOINT_URL_ROUTE_53", "https://e7", true },
	{ "AWS_ENDPOINT_URL_KMS", "https://e8", true },
	{ "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", true },
	{ "AWS_USE_FIPS_ENDPOINT", "true", true },
	{ "AWS_USE_DUALSTACK_ENDPOINT", "true", true },
	{ "HTTPS_PROXY", "http://me:geheim@proxy:1", false },
	{ "https_proxy", "http://proxy:1", true },
	{ "HTTP_PROXY", "http://proxy:2", true },
	{ "http_proxy", "me:geheim@proxy:2", false },
	{ "NO_PROXY", "localhost", true },
	{ "no_proxy", "localhost", true },
	{ "SSH_AUTH_SOCK", "/agent", true },
	{ "XDG_CONFIG_HOME", "/x", true },
	{ "NO_COLOR", "1", true },
};

static bool has_variable(const char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return true;
	return false;
}

static int environment_of_jobs(void)
{
	const char *env[IDENTITY_ENV_MAX + 1];
	struct identity id;
	size_t shown = 0;

	clearenv();
	setenv("DOAS_USER", "nobody", 1);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		setenv(variables[i].name, variables[i].value, 1);
	/* not ours: what the AWS CLI reads and we do not */
	setenv("AWS_PAGER", "less", 1);
	setenv("AWS_ENDPOINT_URL_S3", "https://s3", 1);
	setenv("AWS_SECRET_ACCESS_KEY_OLD", "geheim", 1);
	CHECK(1, identity_find(&id, NULL) == 0 && id.n_env == ARRAY_LEN(variables));
	identity_job_env(&id, env);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = identity_getenv(&id, variables[i].name);

		CHECK(2, value && strcmp(value, variables[i].value) == 0);
		CHECK(3, has_variable(env, variables[i].name) == variables[i].for_jobs);
	}
	for (; env[shown]; shown++)
		CHECK(4, !strstr(env[shown], "geheim"));
	CHECK(5, shown < id.n_env);
	identity_fini(&id);
	return 0;
}

/* A variable that aws/ learns to read must be in the lists above and in identity.c. */
static void test_all_that_is_read(void **state)
{
	FILE *names = popen(
		"grep -ohE '\"(AWS|REQUESTS)_[A-Z0-9_]+\"' aws/*.c | tr -d '\"' | sort -u", "r");
	char name[64];
	unsigned n = 0;

	(void)state;
	assert_non_null(names);
	while (fscanf(names, "%63s", name) == 1) {
		size_t i = 0;

		n++;
		while (i < ARRAY_LEN(variables) && strcmp(variables[i].name, name) != 0)
			i++;
		if (i == ARRAY_LEN(variables))
			fail_msg("%s is read and not kept", name);
	}
	assert_int_equal(pclose(names), 0);
	assert_true(n > 10);
}

static int environment_is_bounded(void)
{
	struct identity id;
	char name[32];

	clearenv();
	setenv("DOAS_USER", "nobody", 1);
	for (unsigned i = 0; i < IDENTITY_ENV_MAX + 10; i++) {
		snprintf(name, sizeof(name), "XDG_%u", i);
		setenv(name, "x", 1);
	}
	CHECK(1, identity_find(&id, NULL) == 0 && id.n_env == IDENTITY_ENV_MAX);
	CHECK(2, id.env[IDENTITY_ENV_MAX] == NULL);
	identity_fini(&id);
	return 0;
}

static int assume_drops(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	CHECK(1, identity_find(&id, NULL) == 0);
	CHECK(2, identity_assume(&id, true) == 0);
	CHECK(3, getuid() == id.uid && geteuid() == id.uid && getgid() == id.gid);
	CHECK(4, capng_get_caps_process() == 0);
	CHECK(5, capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) == 1);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		CHECK(6, cap == CAP_NET_ADMIN || !capng_have_capability(CAPNG_PERMITTED, cap));
		CHECK(7, !capng_have_capability(CAPNG_INHERITABLE, cap));
		CHECK(8, prctl(PR_CAPBSET_READ, (unsigned long)cap) <= 0 || cap == CAP_NET_ADMIN);
	}
	CHECK(9, prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1);
	CHECK(10, prctl(PR_GET_DUMPABLE) == 0);
	CHECK(11, setuid(0) < 0);
	CHECK(12, access("/etc/shadow", R_OK) < 0);
	return 0;
}

static int assume_without_net_admin(void)
{
	struct identity id;

	forget_callers();
	setenv("DOAS_USER", "nobody", 1);
	CHECK(1, identity_find(&id, NULL) == 0 && identity_assume(&id, false) == 0);
	CHECK(2, capng_get_caps_process() == 0);
	CHECK(3, capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE);
	return 0;
}

static void run_as_root(int (*fn)(void))
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(in_child(fn), 0);
}

#define ROOT_TEST(fn)                                                                              \
	static void test_##fn(void **state)                                                        \
	{                                                                                          \
		(void)state;                                                                       \
		run_as_root(fn);                                                                   \
	}

ROOT_TEST(order_of_callers)
ROOT_TEST(bad_callers)
ROOT_TEST(kept_environment)
ROOT_TEST(environment_of_jobs)
ROOT_TEST(environment_is_bounded)
ROOT_TEST(assume_drops)
ROOT_TEST(assume_without_net_admin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_callers),
		cmocka_unit_test(test_bad_callers),
		cmocka_unit_test(test_kept_environment),
		cmocka_unit_test(test_environment_of_jobs),
		cmocka_unit_test(test_environment_is_bounded),
		cmocka_unit_test(test_all_that_is_read),
		cmocka_unit_test(test_assume_drops),
		cmocka_unit_test(test_assume_without_net_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
