// SPDX-License-Identifier: MIT
/*
 * sso_fixture.h - a home with SSO profiles, and a scripted server that plays SSO-OIDC and the portal (sso_server.py)
 *
 * In texts "@+3600@" stands for the time in so many seconds as the AWS CLI writes it, "@HOME@" for the home.
 */
#ifndef TESTS_SSO_FIXTURE_H
#define TESTS_SSO_FIXTURE_H

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

#include "aws/aws_sso.h"
#include "base/file.h"
#include "tests/unit/aws/aws_fixture.h"

#define SSO_CONFIG                                                                                 \
	"[sso-session corp]\n"                                                                     \
	"sso_start_url = https://corp.awsapps.com/start\n"                                         \
	"sso_region = eu-central-1\n"                                                              \
	"sso_registration_scopes = sso:account:access, other\n"                                    \
	"[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\n"                       \
	"sso_role_name = Reader\nregion = eu-west-1\n"                                             \
	"[profile 'old one']\nsso_start_url = https://old.awsapps.com/start\n"                     \
	"sso_region = us-east-1\nsso_account_id = 444455556666\nsso_role_name = Admin\n"           \
	"region = us-east-1\n"

/* Named by the SHA-1 of "corp" and of the legacy start URL */
#define CORP_FILE ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
#define OLD_FILE ".aws/sso/cache/33d5ca4bf3b1a62edb96b47f7c203034a43ac435.json"

static struct {
	pid_t pid;
	int stdin_fd;
	unsigned port;
	char url[64];
} sso_server;

static inline char *fx_expand(const struct fx *f, const char *text)
{
	char *out = calloc(1, KIB(16));
	size_t n = 0;

	assert_non_null(out);
	while (*text) {
		long offset_s;
		int used = 0;

		assert_true(n < KIB(15));
		if (strncmp(text, "@HOME@", 6) == 0) {
			n += (size_t)sprintf(out + n, "%s", f->home);
			text += 6;
		} else if (sscanf(text, "@%ld@%n", &offset_s, &used) == 1 && used > 0) {
			aws_time_print(out + n, (int64_t)time(NULL) + offset_s);
			n += strlen(out + n);
			text += used;
		} else {
			out[n++] = *text++;
		}
	}
	return out;
}

static inline void fx_path(const struct fx *f, const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", f->home, name);
}

/* By rename, as a careful program does. */
static inline void fx_put(const struct fx *f, const char *name, const char *text)
{
	char path[256], *expanded = fx_expand(f, text), *slash;

	fx_path(f, name, path);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(file_mkdirs(path, 0700), 0);
	*slash = '/';
	assert_int_equal(file_write_atomic(path, expanded, strlen(expanded), 0600), 0);
	free(expanded);
}

/* Return: caller's; NULL if there is none */
static inline char *fx_file(const struct fx *f, const char *name)
{
	char path[256], *text = NULL;
	struct buf b;

	fx_path(f, name, path);
	buf_init(&b, KIB(256));
	if (file_read_follow(&b, path) == 0)
		text = strndup((const char *)buf_data(&b), b.len);
	buf_fini(&b);
	return text;
}

static inline void fx_script(const struct fx *f, const char *json)
{
	fx_put(f, "script.json", json);
}

/* How many requests of @op (NULL: any) the log has. */
static inline unsigned fx_asked(const struct fx *f, const char *op)
{
	char *log = fx_file(f, "log"), word[64];
	unsigned n = 0;

	snprintf(word, sizeof(word), "\"op\": \"%s", op ? op : "");
	for (const char *p = log; p && (p = strstr(p, word)); p++)
		n++;
	free(log);
	return n;
}

/* Does the log have @text? */
static inline bool fx_logged(const struct fx *f, const char *text)
{
	char *log = fx_file(f, "log");
	const bool has = log && strstr(log, text);

	free(log);
	return has;
}

static inline int sso_setup(void **state)
{
	int in[2], out[2];
	char script[256], log[256], line[32] = "";
	struct fx *f;

	if (fx_setup(state) != 0)
		return -1;
	f = *state;
	fx_path(f, "script.json", script);
	fx_path(f, "log", log);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	sso_server.pid = fork();
	if (sso_server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "tests/unit/aws/sso_server.py", script, log,
		      (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	sso_server.stdin_fd = in[1];
	for (size_t n = 0; !strchr(line, '\n'); n++) /* it may come in pieces */
		assert_true(n < sizeof(line) - 1 && read(out[0], line + n, 1) == 1);
	close(out[0]);
	assert_int_equal(sscanf(line, "%u", &sso_server.port), 1);
	snprintf(sso_server.url, sizeof(sso_server.url), "http://127.0.0.1:%u", sso_server.port);
	fx_setenv(f, "AWS_ENDPOINT_URL", sso_server.url);
	fx_write(f, "config", SSO_CONFIG);
	f->aws->limits.backoff_ms = 10;
	return 0;
}

static inline int sso_teardown(void **state)
{
	int status;

	close(sso_server.stdin_fd);
	if (waitpid(sso_server.pid, &status, 0) != sso_server.pid || status != 0)
		return -1;
	return fx_teardown(state);
}

/* An oracle's script with the home as HOME; its output must be @expected. */
static inline void python_says(const struct fx *f, const char *script, const char *expected)
{
	char command[4096], line[1024] = "";
	FILE *p;

	snprintf(command, sizeof(command), "env -i HOME=%s /usr/bin/python3 -c '%s' 2>&1", f->home,
		 script);
	p = popen(command, "re");
	assert_non_null(p);
	for (size_t n = 0; fgets(line + n, (int)(sizeof(line) - n), p);)
		n = strlen(line);
	assert_int_equal(pclose(p), 0);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, expected);
}

#endif
