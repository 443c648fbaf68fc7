// SPDX-License-Identifier: MIT
/*
 * aws_chain_test.c - the order of sources, with botocore as the judge, and what the chain keeps and tells
 *
 * Cases: every combination of environment, credentials file, process, config file, container and IMDS, for the default profile and a
 * chosen one: the same keys from the same source as botocore; odd files and environments the same way; a line for each
 * source with -v, told once, again when it changes; a changed file ends what is kept, also when what it says now fails; a file
 * open to all is warned of once; the service's clock decides what has expired; waiters cancelled and accounts freed from
 * callbacks; no secret in any line or error.
 */
#include <jansson.h>
#include <time.h>

#include "base/log.h"
#include "tests/unit/aws/aws_web.h"

#define KEYS(name)                                                                                 \
	"aws_access_key_id = " name "\naws_secret_access_key = s\naws_session_token = t" name "\n"
#define ANSWER(name)                                                                               \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"" name                                            \
	"\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2999-01-01T00:00:00Z\"}"

enum { ENV = 1, SHARED = 2, PROCESS = 4, CONFIG = 8, CONTAINER = 16, IMDS = 32, ALL = 64 };

static const struct aws_account_opts none = { 0 };
static struct web web;
static char full[128];

static int chain_setup(void **state)
{
	struct fx *f;

	if (fx_setup(state) != 0)
		return -1;
	f = *state;
	web_start(&web, f->loop);
	snprintf(full, sizeof(full), "%s/full", web.url);
	web_add(&web, (struct web_row){ "GET", "/full", 200, ANSWER("CONTAINER"), NULL, 0, 0 });
	web_add(&web, (struct web_row){ "PUT", "/latest/api/token", 200, "TOK", NULL, 0, 0 });
	web_add(&web, (struct web_row){ "GET", "/latest/meta-data/iam/security-credentials/", 200,
					"r", NULL, 0, 0 });
	web_add(&web, (struct web_row){ "GET", "/latest/meta-data/iam/security-credentials/r", 200,
					ANSWER("IMDS"), NULL, 0, 0 });
	return 0;
}

static int chain_teardown(void **state)
{
	web_stop(&web);
	return fx_teardown(state);
}

/* ---- as botocore ---- */

/* A process of the profiles: prints what its argument says. */
static void program_write(const struct fx *f)
{
	char path[128];

	fx_write(f, "program",
		 "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"'$1'\",\"SecretAccessKey\":"
		 "\"s\"}'\n");
	snprintf(path, sizeof(path), "%s/.aws/program", f->home);
	assert_int_equal(chmod(path, 0700), 0);
}

/* In the oracle's form. */
static void ours(struct fx *f, const char *profile, char *out, size_t cap)
{
	struct aws_creds c;
	struct aws_error e;

	if (fx_find(f, &(struct aws_account_opts){ .profile = profile }, &c, &e) == 0)
		snprintf(out, cap, "%s %s %s %s", c.source, c.access_key, c.secret_key,
			 c.token ? c.token : "-");
	else if (strcmp(e.text, "Unable to locate credentials") == 0)
		snprintf(out, cap, "none");
	else
		snprintf(out, cap, "error %s", e.text);
	aws_creds_wipe(&c);
}

struct oracle {
	struct fx *f;
	json_t *cases;	    /* what it is asked */
	char **expected;    /* what we found, by case */
	const char **names; /* for messages */
	size_t n;
	FILE *from;
	loop_watch watch;
	struct buf said;
};

static void case_add(struct oracle *o, const char *profile, const char *name)
{
	const struct fx *f = o->f;
	json_t *env = json_object(), *row;
	char found[1100];

	for (size_t i = 0; i < f->n_env; i++)
		json_object_set_new(env, f->env[i].name, json_string(f->env[i].value));
	json_object_set_new(env, "HOME", json_string(f->home));
	json_object_set_new(env, "PATH", json_string("/usr/bin:/bin"));
	row = json_pack("{s:o,s:s?}", "env", env, "profile", profile);
	assert_non_null(row);
	assert_int_equal(json_array_append_new(o->cases, row), 0);
	ours(o->f, profile, found, sizeof(found));
	o->expected = reallocarray(o->expected, o->n + 1, sizeof(*o->expected));
	o->names = reallocarray(o->names, o->n + 1, sizeof(*o->names));
	assert_true(o->expected && o->names);
	o->expected[o->n] = strdup(found);
	o->names[o->n++] = strdup(name);
}

static void on_oracle(void *arg, uint32_t events, uint64_t now_ms)
{
	struct oracle *o = arg;
	uint8_t *to;
	ssize_t n;

	(void)events;
	(void)now_ms;
	assert_int_equal(buf_reserve(&o->said, 4096, &to), 0);
	n = read(fileno(o->from), to, 4096);
	assert_true(n >= 0);
	buf_commit(&o->said, (size_t)n);
	if (n == 0)
		loop_stop(o->f->loop);
}

static void line_compare(const char *name, const char *mine, const char *theirs)
{
	const bool failed = strncmp(mine, "error ", 6) == 0;

	if (failed ? strncmp(theirs, "error ", 6) != 0 : strcmp(mine, theirs) != 0)
		fail_msg("%s:\nours:   %s\ntheirs: %s", name, mine, theirs);
}

/* Asks botocore while the loop goes on, as it may ask our server. */
static void oracle_judge(struct oracle *o)
{
	char path[128], command[256], *line;

	snprintf(path, sizeof(path), "%s/cases", o->f->home);
	assert_int_equal(json_dump_file(o->cases, path, 0), 0);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/unit/aws/chain_oracle.py %s",
		 path);
	buf_init(&o->said, MIB(1));
	o->from = popen(command, "re");
	assert_non_null(o->from);
	assert_int_equal(loop_fd_add(o->f->loop, &o->watch, fileno(o->from), EPOLLIN, on_oracle, o),
			 0);
	assert_int_equal(loop_run(o->f->loop), 0);
	loop_fd_del(o->f->loop, &o->watch);
	assert_int_equal(pclose(o->from), 0);
	assert_int_equal(buf_put(&o->said, "", 1), 0);
	line = (char *)o->said.mem + o->said.head;
	for (size_t i = 0; i < o->n; i++) {
		char *end = strchr(line, '\n');

		assert_non_null(end);
		*end = '\0';
		line_compare(o->names[i], o->expected[i], line);
		line = end + 1;
	}
	assert_int_equal(*line, '\0');
}

static void oracle_fini(struct oracle *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->expected[i]);
		free((void *)o->names[i]);
	}
	free(o->expected);
	free(o->names);
	json_decref(o->cases);
	buf_fini(&o->said);
}

/* The files of a combination, for "default" and "x"; their keys say where they are from. */
static void files_write(struct fx *f, unsigned set, char paths[2][160])
{
	char text[1024], name[32], process[2][200] = { "", "" };

	for (size_t i = 0; i < 2; i++)
		if (set & PROCESS)
			snprintf(process[i], sizeof(process[i]),
				 "credential_process = %s/.aws/program %s\n", f->home,
				 i ? "PROCESSX" : "PROCESS");
	snprintf(text, sizeof(text), "[default]\n%s%s[profile x]\nregion = a\n%s%s", process[0],
		 set & CONFIG ? KEYS("CONFIG") : "", process[1],
		 set & CONFIG ? KEYS("CONFIGX") : "");
	snprintf(name, sizeof(name), "config-%u", set);
	fx_write(f, name, text);
	snprintf(paths[0], 160, "%s/.aws/%s", f->home, name);
	snprintf(name, sizeof(name), "credentials-%u", set);
	fx_write(f, name, set & SHARED ? "[default]\n" KEYS("SHARED") "[x]\n" KEYS("SHAREDX") : "");
	snprintf(paths[1], 160, "%s/.aws/%s", f->home, name);
	fx_setenv(f, "AWS_CONFIG_FILE", paths[0]);
	fx_setenv(f, "AWS_SHARED_CREDENTIALS_FILE", paths[1]);
}

static void combination_set(struct fx *f, unsigned set, char paths[2][160])
{
	f->n_env = 0;
	files_write(f, set, paths);
	if (set & ENV) {
		fx_setenv(f, "AWS_ACCESS_KEY_ID", "ENV");
		fx_setenv(f, "AWS_SECRET_ACCESS_KEY", "s");
	}
	if (set & CONTAINER)
		fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
	if (set & IMDS)
		fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", web.url);
	else
		fx_setenv(f, "AWS_EC2_METADATA_DISABLED", "true");
}

static void test_order(void **state)
{
	static const char *const names[] = { "env",    "shared",    "process",
					     "config", "container", "imds" };
	struct oracle o = { .f = *state, .cases = json_array() };
	char paths[2][160], name[128];

	program_write(o.f);
	for (unsigned set = 0; set < ALL; set++) {
		combination_set(o.f, set, paths);
		name[0] = '\0';
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (set & BIT(i))
				snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s ",
					 names[i]);
		case_add(&o, NULL, name);
		case_add(&o, "x", name);
		/* the first there is, by the order of the bits but for the environment of a chosen profile */
		if (set & ENV)
			assert_int_equal(strncmp(o.expected[o.n - 2], "env ", 4), 0);
		assert_int_equal(strcmp(o.expected[o.n - 1], "none") == 0, !(set & ~(unsigned)ENV));
	}
	web.n_got = 0;
	oracle_judge(&o);
	oracle_fini(&o);
}

#define ODD_ENV_MAX 4

static const struct {
	const char *name, *config, *credentials, *profile;
	const char *env[ODD_ENV_MAX * 2 + 1];
} odd[] = {
	{ "token of the environment",
	  "",
	  "",
	  NULL,
	  { "AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "s", "AWS_SESSION_TOKEN", "a",
	    "AWS_SECURITY_TOKEN", "b" } },
	{ "half an environment", "", "[default]\n" KEYS("C"), NULL, { "AWS_ACCESS_KEY_ID", "K" } },
	{ "only the secret", "", "[default]\n" KEYS("C"), NULL, { "AWS_SECRET_ACCESS_KEY", "s" } },
	{ "empty key in the environment",
	  "",
	  "[default]\n" KEYS("C"),
	  NULL,
	  { "AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", "s" } },
	{ "environment that has ended",
	  "",
	  "",
	  NULL,
	  { "AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "s", "AWS_CREDENTIAL_EXPIRATION",
	    "2020-01-01T00:00:00Z" } },
	{ "environment that will end",
	  "",
	  "",
	  NULL,
	  { "AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "s", "AWS_CREDENTIAL_EXPIRATION",
	    "2999-01-01T00:00:00Z" } },
	{ "token by its old name",
	  "",
	  "[default]\naws_access_key_id=K\n"
	  "aws_secret_access_key=s\naws_security_token=old\naws_session_token=new\n",
	  NULL,
	  { NULL } },
	{ "no secret in the file",
	  "[default]\n" KEYS("F"),
	  "[default]\naws_access_key_id=K\n",
	  NULL,
	  { NULL } },
	{ "secret alone in the file",
	  "[default]\n" KEYS("F"),
	  "[default]\naws_secret_access_key=s\n",
	  NULL,
	  { NULL } },
	{ "no secret in the config file", "[default]\naws_access_key_id=K\n", "", NULL, { NULL } },
	{ "halves in both",
	  "[default]\naws_secret_access_key=s\n",
	  "[default]\naws_access_key_id=K\n",
	  NULL,
	  { NULL } },
	{ "profile x of the credentials file",
	  "[profile x]\n" KEYS("F"),
	  "[profile x]\n" KEYS("C"),
	  "x",
	  { NULL } },
	{ "x of the config file", "[x]\n" KEYS("F"), "", "x", { NULL } },
	{ "quoted", "[profile 'a b']\n" KEYS("F"), "", "a b", { NULL } },
	{ "no such profile", "[default]\n" KEYS("F"), "", "x", { NULL } },
	{ "no such profile, by the environment", "", "", NULL, { "AWS_PROFILE", "x" } },
	{ "a profile and keys of the environment",
	  "[profile x]\n" KEYS("F"),
	  "",
	  NULL,
	  { "AWS_PROFILE", "x", "AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "s" } },
	{ "a profile of the environment",
	  "[profile x]\n" KEYS("F"),
	  "",
	  NULL,
	  { "AWS_PROFILE", "x" } },
	{ "default by name",
	  "[default]\n" KEYS("F"),
	  "",
	  "default",
	  { "AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "s" } },
	{ "both headings of default",
	  "[default]\n" KEYS("F") "[profile default]\n" KEYS("G"),
	  "",
	  NULL,
	  { NULL } },
	{ "process of the credentials file",
	  "[default]\ncredential_process = false\n",
	  "[default]\ncredential_process = sh -c 'echo "
	  "{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"P\\\","
	  "\\\"SecretAccessKey\\\":\\\"s\\\"}'\n",
	  NULL,
	  { NULL } },
	{ "process that fails",
	  "[default]\ncredential_process = false\n" KEYS("F"),
	  "",
	  NULL,
	  { NULL } },
	{ "process that does not exist",
	  "[default]\ncredential_process = /nowhere\n",
	  "",
	  NULL,
	  { NULL } },
	{ "process with odd output",
	  "[default]\ncredential_process = echo hello\n",
	  "",
	  NULL,
	  { NULL } },
	{ "process with another version",
	  "[default]\ncredential_process = echo '{\"Version\":2}'\n",
	  "",
	  NULL,
	  { NULL } },
	{ "process that has ended",
	  "[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"K\","
	  "\"SecretAccessKey\":\"s\",\"Expiration\":\"2020-01-01T00:00:00Z\"}'\n",
	  "",
	  NULL,
	  { NULL } },
	{ "process with a token",
	  "[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"K\","
	  "\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
	  "\"Expiration\":\"2999-01-01T00:00:00+01:00\"}'\n",
	  "",
	  NULL,
	  { NULL } },
	{ "unreadable config file", "[default\n", "[default]\n" KEYS("C"), NULL, { NULL } },
	{ "twice a key", "[default]\nregion=a\nregion=b\n", "", NULL, { NULL } },
};

static void test_odd(void **state)
{
	struct oracle o = { .f = *state, .cases = json_array() };
	static char paths[ARRAY_LEN(odd) * 2][160];
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		o.f->n_env = 0;
		snprintf(name, sizeof(name), "config-%zu", i);
		fx_write(o.f, name, odd[i].config);
		snprintf(paths[i * 2], 160, "%s/.aws/%s", o.f->home, name);
		snprintf(name, sizeof(name), "credentials-%zu", i);
		fx_write(o.f, name, odd[i].credentials);
		snprintf(paths[i * 2 + 1], 160, "%s/.aws/%s", o.f->home, name);
		fx_setenv(o.f, "AWS_CONFIG_FILE", paths[i * 2]);
		fx_setenv(o.f, "AWS_SHARED_CREDENTIALS_FILE", paths[i * 2 + 1]);
		fx_setenv(o.f, "AWS_EC2_METADATA_DISABLED", "true");
		for (size_t k = 0; odd[i].env[k]; k += 2)
			fx_setenv(o.f, odd[i].env[k], odd[i].env[k + 1]);
		case_add(&o, odd[i].profile, odd[i].name);
	}
	oracle_judge(&o);
	oracle_fini(&o);
}

/* ---- what is told ---- */

struct lines {
	char text[256][1100];
	size_t n;
	enum log_level least;
};
static struct lines lines;

static void on_line(void *arg, enum log_level level, const char *line)
{
	struct lines *l = arg;

	if (!strstr(line, "aws: ") || level > l->least || l->n == ARRAY_LEN(l->text))
		return;
	snprintf(l->text[l->n++], sizeof(l->text[0]), "%s", line);
}

static void lines_begin(enum log_level least)
{
	lines = (struct lines){ .least = least };
	log_setup(LOG_DEBUG, LOG_TEXT);
	log_tee(on_line, &lines);
}

static void lines_end(void)
{
	log_tee(NULL, NULL);
	log_setup(LOG_INFO, LOG_TEXT);
}

static size_t lines_with(const char *part)
{
	size_t n = 0;

	for (size_t i = 0; i < lines.n; i++)
		n += strstr(lines.text[i], part) != NULL;
	return n;
}

static void get_many(struct fx *f, struct aws_account *acc)
{
	struct aws_creds c;
	struct aws_error e;

	for (unsigned i = 0; i < 5; i++) {
		fx_get(f, acc, NULL, &c, &e);
		aws_creds_wipe(&c);
	}
}

static void test_told(void **state)
{
	static const char *const sources[] = {
		"configuration",  "env",	 "shared-credentials-file",
		"custom-process", "config-file", "container-role",
		"iam-role"
	};
	struct fx *f = *state;
	struct aws_account *acc;
	char part[128];

	fx_setenv(f, "AWS_EC2_METADATA_DISABLED", "true");
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	lines_begin(LOG_DEBUG);
	get_many(f, acc);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		snprintf(part, sizeof(part),
			 "credentials of profile default: %s: not asked: ", sources[i]);
		assert_int_equal(lines_with(part), 1);
	}
	fx_write(f, "config", "[default]\n" KEYS("F"));
	get_many(f, acc);
	assert_int_equal(lines_with("config-file: found"), 1);
	assert_int_equal(lines_with("env: not asked: "), 1);
	fx_write(f, "config", "[default]\naws_access_key_id = F\n");
	get_many(f, acc);
	assert_int_equal(lines_with("config-file: Partial credentials found in "), 1);
	fx_write(f, "config", "[default]\n" KEYS("F"));
	get_many(f, acc);
	assert_int_equal(lines_with("config-file: found"), 2);
	/* another account tells for itself */
	aws_account_free(acc);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	get_many(f, acc);
	assert_int_equal(lines_with("config-file: found"), 3);
	lines_end();
	aws_account_free(acc);
}

static void test_open_file(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	char path[128];

	fx_write(f, "credentials", "[default]\n" KEYS("C"));
	snprintf(path, sizeof(path), "%s/.aws/credentials", f->home);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	lines_begin(LOG_WARN);
	assert_int_equal(chmod(path, 0640), 0);
	get_many(f, acc);
	assert_int_equal(lines.n, 0);
	assert_int_equal(chmod(path, 0644), 0);
	get_many(f, acc);
	assert_int_equal(lines.n, 1);
	assert_int_equal(
		lines_with("open to every user of this machine (mode 644): run `chmod 600 /tmp/"),
		1);
	assert_int_equal(chmod(path, 0600), 0);
	get_many(f, acc);
	/* no keys in it: nobody's business */
	fx_write(f, "credentials", "[default]\n");
	assert_int_equal(chmod(path, 0666), 0);
	get_many(f, acc);
	assert_int_equal(lines.n, 1);
	lines_end();
	aws_account_free(acc);
}

/* ---- what is kept ---- */

static void expect_key(struct fx *f, struct aws_account *acc, const char *key)
{
	struct aws_creds c;
	struct aws_error e;

	if (fx_get(f, acc, NULL, &c, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(c.access_key, key);
	aws_creds_wipe(&c);
}

static void test_file_changes(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;

	fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_key(f, acc, "CONTAINER");
	expect_key(f, acc, "CONTAINER");
	assert_int_equal(web.n_got, 1);
	fx_write(f, "credentials", "[default]\n" KEYS("C"));
	expect_key(f, acc, "C");
	fx_write(f, "credentials", "");
	expect_key(f, acc, "CONTAINER");
	assert_int_equal(web.n_got, 2);
	/* in the middle of an edit: what was kept serves */
	fx_write(f, "config", "[default\n");
	expect_key(f, acc, "CONTAINER");
	assert_int_equal(web.n_got, 2);
	fx_write(f, "config", "[default]\n" KEYS("F"));
	expect_key(f, acc, "F");
	aws_account_free(acc);
}

/* What a profile said before it was changed is no stand-in for what it says now. */
static void test_changed_and_failing(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_key(f, acc, "CONTAINER");
	fx_write(f, "config", "[default]\ncredential_process = /bin/false\n");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
		assert_non_null(strstr(e.text, "custom-process"));
	}
	fx_write(f, "config", "[default\n"); /* nor in the middle of an edit */
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
	fx_write(f, "config", "");
	expect_key(f, acc, "CONTAINER");
	aws_account_free(acc);
}

/* Ours is wrong by an hour, and the account knows it: what has ended here has not there, and the other way round. */
static void test_services_clock(void **state)
{
	struct fx *f = *state;
	char text[512], until[AWS_TIME_STR];
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	snprintf(text, sizeof(text),
		 "[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"K\","
		 "\"SecretAccessKey\":\"s\",\"Expiration\":\"%s\"}'\n",
		 aws_time_print(until, (int64_t)time(NULL) - 1800));
	fx_write(f, "config", text);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
	assert_non_null(strstr(e.text, "still expired: custom-process gave what ended at "));
	assert_non_null(strstr(e.hint, "clock"));
	assert_true(e.person);
	acc->skew_s = -3600;
	expect_key(f, acc, "K");
	expect_key(f, acc, "K");
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 2);
	acc->skew_s = 0;
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
	aws_account_free(acc);
}

struct leaver {
	struct fx *f;
	struct aws_account *acc;
	struct leaver *other;
	handle wait;
	unsigned told;
	bool frees;
};

static void on_leaver(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct leaver *l = arg;

	assert_null(error);
	assert_string_equal(c->access_key, "CONTAINER");
	l->told++;
	if (l->frees)
		aws_account_free(l->acc);
	else
		aws_chain_cancel(l->acc, l->other->wait);
	loop_stop(l->f->loop);
}

/* Whoever of two is told first cancels the other, or frees the account: the other is not told; fresh and kept. */
static void test_leavers(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;

	fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
	for (unsigned round = 0; round < 4; round++) {
		struct leaver l[2] = { { .f = f, .other = &l[1] }, { .f = f, .other = &l[0] } };

		if (round != 1) /* round 1 meets what round 0 kept */
			assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
		if (round == 3)
			expect_key(f, acc, "CONTAINER");
		for (size_t i = 0; i < 2; i++) {
			l[i].acc = acc;
			l[i].frees = round >= 2;
			assert_int_equal(aws_chain_get(acc, &l[i].wait, NULL, on_leaver, &l[i]), 0);
		}
		assert_int_equal(loop_run(f->loop), 0);
		assert_int_equal(l[0].told + l[1].told, 1);
		if (round == 1)
			aws_account_free(acc);
	}
}

/* ---- secrets ---- */

/* At the highest level, through sources that answer, fail and are cut short: no line and no error has one of ours. */
static void test_no_secrets(void **state)
{
	static const char *const bodies[] = {
		"{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"PLANTED\",\"Token\":\"PLANTED\","
		"\"Expiration\":\"2999-01-01T00:00:00Z\"}",
		"{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"PLANTED\",\"Token\":\"PLANTED\","
		"\"Expiration\":\"2020-01-01T00:00:00Z\"}",
		"{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"PLANTED x\",\"Token\":\"PLANTED\","
		"\"Expiration\":\"2999-01-01T00:00:00Z\"}",
		"{\"SecretAccessKey\":\"PLANTED\"}",
		"{\"SecretAccessKey\":\"PLANTED\"",
	};
	struct fx *f = *state;
	struct aws_creds c;
	struct aws_error e;

	f->aws->limits.container_pause_ms = 1;
	lines_begin(LOG_TRACE);
	log_setup(LOG_TRACE, LOG_TEXT);
	for (unsigned i = 0; i < ARRAY_LEN(bodies) * 2; i++) {
		const char *body = bodies[i / 2];
		const int status = i % 2 ? 403 : 200;
		char config[1024];

		web_clear(&web);
		web_add(&web, (struct web_row){ "GET", "/full", status, body, NULL, 0, 0 });
		web_add(&web,
			(struct web_row){ "PUT", "/latest/api/token", 200, "PLANTED", NULL, 0, 0 });
		web_add(&web,
			(struct web_row){ "GET", "/latest/meta-data/iam/security-credentials/", 200,
					  "r", NULL, 0, 0 });
		web_add(&web,
			(struct web_row){ "GET", "/latest/meta-data/iam/security-credentials/r",
					  status, body, NULL, 0, 0 });
		snprintf(config, sizeof(config),
			 "[default]\ncredential_process = sh -c 'echo \"$0\"; exit %u' '%s'\n",
			 i % 2, body);
		for (unsigned source = 0; source < 3; source++) {
			f->n_env = 0;
			fx_write(f, "config", source ? "" : config);
			fx_setenv(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "PLANTED");
			if (source == 1)
				fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
			fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", web.url);
			fx_find(f, &none, &c, &e);
			aws_creds_wipe(&c);
			assert_null(strstr(e.text, "PLANTED"));
			assert_null(strstr(e.hint, "PLANTED"));
		}
		assert_int_equal(lines_with("PLANTED"), 0);
		assert_true(lines.n > 0 && lines.n < ARRAY_LEN(lines.text));
		lines.n = 0;
	}
	lines_end();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, chain_setup, chain_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_order),	   CASE(test_odd),	    CASE(test_told),
		CASE(test_open_file),	   CASE(test_file_changes), CASE(test_changed_and_failing),
		CASE(test_services_clock), CASE(test_leavers),	    CASE(test_no_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
