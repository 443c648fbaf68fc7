// SPDX-License-Identifier: MIT
/*
 * Cases: names of the cache's files as botocore makes them; its files read by us and ours by it, for each way to take on a role and
 * in the three ways that the AWS CLI writes times; what our file looks like; what ends soon, makes no sense, is a folder or is huge
 * is asked for again and replaced; a cache that can't be; a job that can't be started; a file that others may read is mended,
 * one that others may write is asked for again.
 */
#include <dirent.h>

#include "tests/unit/aws/aws_play.h"

static const char world[] =
	"{\"do\": \"user\", \"name\": \"bob\", \"access_key\": \"AKIABOB\", \"secret_key\": "
	"\"role+secret\"}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/plain\"}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/top\"}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/mfa\", \"mfa\": true}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/web\", \"web\": "
	"\"https://idp.test\"}\n"
	"{\"do\": \"set\", \"life_s\": {}, \"mfa\": {\"arn:aws:iam::123456789012:mfa/bob\": "
	"[\"*\"]}}\n"
	"{\"do\": \"web_token\", \"provider\": \"https://idp.test\", \"token\": \"web.token\"}";

static const char config[] =
	"[profile bob]\naws_access_key_id = AKIABOB\naws_secret_access_key = role+secret\n"
	"[profile plain]\nrole_arn = arn:aws:iam::123456789012:role/plain\nsource_profile = bob\n"
	"[profile full]\nrole_arn = arn:aws:iam::123456789012:role/plain\nsource_profile = bob\n"
	"external_id = a/b=c\nduration_seconds = 3000\nrole_session_name = me@x\n"
	"[profile top]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = full\n"
	"[profile mfa]\nrole_arn = arn:aws:iam::123456789012:role/mfa\nsource_profile = bob\n"
	"mfa_serial = arn:aws:iam::123456789012:mfa/bob\n"
	"[profile web]\nrole_arn = arn:aws:iam::123456789012:role/web\n"
	"web_identity_token_file = %s/.aws/token\n";

static int setup(void **state)
{
	int r = fx_setup(state);
	struct fx *f = *state;
	char text[2048];

	play_env(f);
	play_do(world);
	snprintf(text, sizeof(text), config, f->home);
	fx_write(f, "config", text);
	fx_write(f, "token", "web.token");
	return r;
}

/* ---- names ---- */

static void test_names(void **state)
{
	FILE *oracle = popen("/usr/bin/python3 tests/unit/aws/cache_oracle.py names 4", "r");
	char line[8192], name[AWS_JSON_NAME_LEN];
	unsigned n = 0;

	(void)state;
	assert_non_null(oracle);
	for (; fgets(line, sizeof(line), oracle); n++) {
		json_t *args = json_loads(line + 43, 0, NULL);

		assert_non_null(args);
		assert_int_equal(aws_json_name(name, args, line[0] == '1'), 0);
		line[42] = '\0';
		assert_string_equal(name, line + 2);
		json_decref(args);
	}
	assert_int_equal(pclose(oracle), 0);
	assert_int_equal(n, 800);
}

/* ---- the cache's files ---- */

struct files {
	size_t n;
	char path[4][256];
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void files_list(const struct fx *f, struct files *out)
{
	char folder[128];
	const struct dirent *e;
	DIR *d;

	*out = (struct files){ 0 };
	snprintf(folder, sizeof(folder), "%s/.aws/cli/cache", f->home);
	d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		assert_true(out->n < ARRAY_LEN(out->path));
		snprintf(out->path[out->n++], sizeof(out->path[0]), "%s/%.100s", folder, e->d_name);
	}
	closedir(d);
	qsort(out->path, out->n, sizeof(out->path[0]), by_text);
}

static json_t *file_load(const char *path)
{
	json_t *root = json_load_file(path, 0, NULL);

	assert_non_null(root);
	return root;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777U;
}

/* The access key that botocore has for @profile. */
static void botocore_load(const struct fx *f, const char *profile, const char *times, char out[64])
{
	char line[512];
	FILE *oracle;

	snprintf(line, sizeof(line),
		 "env -i HOME=%s /usr/bin/python3 tests/unit/aws/cache_oracle.py load %s %s 123456 "
		 "%s",
		 f->home, profile, play.url, times);
	oracle = popen(line, "r");
	assert_non_null(oracle);
	assert_non_null(fgets(out, 64, oracle));
	assert_int_equal(pclose(oracle), 0);
	out[strcspn(out, "\n")] = '\0';
}

static bool has_key(const struct files *files, const char *access_key)
{
	bool found = false;

	for (size_t i = 0; i < files->n; i++) {
		json_t *root = file_load(files->path[i]);
		const char *key = aws_text(json_object_get(root, "Credentials"), "AccessKeyId");

		assert_non_null(key);
		found = found || strcmp(key, access_key) == 0;
		json_decref(root);
	}
	return found;
}

static const struct both {
	const char *profile, *times;
	unsigned calls;
} both[] = {
	{ "plain", "iso8601", 1 }, { "full", "wire", 1 },   { "top", "botocore", 2 },
	{ "mfa", "iso8601", 1 },   { "web", "iso8601", 1 },
};

static void check_both(struct fx *f, const struct both *b)
{
	struct files ours, theirs;
	struct play_who w;
	char key[64];

	print_message("%s\n", b->profile);
	play_cache_clear(f);
	play_do("{\"do\": \"clear\"}");
	f->n_says = f->asked_n = 0;
	fx_says(f, "654321");
	assert_int_equal(play_who(f, b->profile, &w), 0);
	assert_int_equal(play_count("AssumeRole*"), b->calls);
	files_list(f, &ours);
	botocore_load(f, b->profile, b->times, key);
	assert_int_equal(play_count("AssumeRole*"), b->calls);
	assert_true(has_key(&ours, key));

	play_cache_clear(f);
	botocore_load(f, b->profile, b->times, key);
	assert_int_equal(play_count("AssumeRole*"), 2 * b->calls);
	files_list(f, &theirs);
	assert_true(has_key(&theirs, key));
	assert_int_equal(play_who(f, b->profile, &w), 0);
	assert_int_equal(play_count("AssumeRole*"), 2 * b->calls);
	assert_memory_equal(&theirs, &ours, sizeof(ours));
}

static void test_botocore(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		check_both(*state, &both[i]);
}

static void test_form(void **state)
{
	struct fx *f = *state;
	struct play_who w;
	struct files files;
	char path[128];
	const json_t *creds;
	json_t *root;
	const char *end;

	assert_int_equal(play_who(f, "full", &w), 0);
	files_list(f, &files);
	assert_int_equal(files.n, 1);
	assert_int_equal(mode_of(files.path[0]), 0600);
	snprintf(path, sizeof(path), "%s/.aws/cli/cache", f->home);
	assert_int_equal(mode_of(path), 0700);
	root = file_load(files.path[0]);
	assert_string_equal(aws_text(json_object_get(root, "AssumedRoleUser"), "Arn"), w.arn);
	assert_non_null(json_object_get(root, "ResponseMetadata"));
	creds = json_object_get(root, "Credentials");
	assert_string_equal(aws_text(creds, "AccountId"), "123456789012");
	end = aws_text(creds, "Expiration");
	assert_int_equal(strlen(end), 25);
	assert_string_equal(end + 19, "+00:00");
	json_decref(root);
}

/* ---- what is not used ---- */

static void test_ends_soon(void **state)
{
	static const struct {
		const char *life;
		unsigned calls;
	} lives[] = {
		{ "{\"do\": \"set\", \"life_s\": {\"AssumeRole\": 890}}", 2 },
		{ "{\"do\": \"set\", \"life_s\": {\"AssumeRole\": 960}}", 1 },
	};
	struct fx *f = *state;
	struct play_who w;

	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		play_cache_clear(f);
		play_do("{\"do\": \"clear\"}");
		play_do(lives[i].life);
		assert_int_equal(play_who(f, "plain", &w), 0);
		assert_int_equal(play_who(f, "plain", &w), 0);
		assert_int_equal(play_count("AssumeRole"), lives[i].calls);
	}
}

static void test_corrupt(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"null",
		"{\"Credentials\": 7}",
		"{\"Credentials\": {}}",
		"{\"Credentials\": {\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\", "
		"\"Expiration\": \"2099-01-01T00:00:00Z\"}}",
		"{\"Credentials\": {\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\", "
		"\"SessionToken\": \"c\"}}",
		"{\"Credentials\": {\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\", "
		"\"SessionToken\": \"c\", \"Expiration\": \"tomorrow\"}}",
		"{\"Credentials\": {\"AccessKeyId\": \"A\\nB\", \"SecretAccessKey\": \"b\", "
		"\"SessionToken\": \"c\", \"Expiration\": \"2099-01-01T00:00:00Z\"}}",
		"{\"Credentials\": {\"AccessKeyId\": 1, \"SecretAccessKey\": \"b\", "
		"\"SessionToken\": \"c\", \"Expiration\": \"2099-01-01T00:00:00Z\"}}",
		"\xff\xfe",
	};
	struct fx *f = *state;
	struct files files;
	struct play_who w;

	play_do("{\"do\": \"clear\"}");
	assert_int_equal(play_who(f, "plain", &w), 0);
	files_list(f, &files);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		fx_write(f, strstr(files.path[0], "cli/"), texts[i]);
		assert_int_equal(play_who(f, "plain", &w), 0);
		assert_int_equal(play_count("AssumeRole"), i + 2);
		json_decref(file_load(files.path[0]));
	}
}

/* Return: the file of profile plain, which exists */
static const char *plain_file(struct fx *f, struct files *files)
{
	struct play_who w;

	play_cache_clear(f);
	play_do("{\"do\": \"clear\"}");
	assert_int_equal(play_who(f, "plain", &w), 0);
	files_list(f, files);
	return files->path[0];
}

static void test_huge(void **state)
{
	struct fx *f = *state;
	struct files files;
	struct play_who w;
	const char *path = plain_file(f, &files);

	assert_int_equal(truncate(path, 4 << 20), 0);
	assert_int_equal(play_who(f, "plain", &w), 0);
	assert_int_equal(play_count("AssumeRole"), 2);
	json_decref(file_load(path));
}

static void test_cant_be(void **state)
{
	struct fx *f = *state;
	struct files files;
	struct play_who w;
	const char *path = plain_file(f, &files);

	/* a folder in the file's place */
	assert_int_equal(remove(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(play_who(f, "plain", &w), 0);
	assert_int_equal(play_count("AssumeRole"), 2);
	/* a file in the folder's place */
	play_cache_clear(f);
	fx_write(f, "cli", "");
	assert_int_equal(play_who(f, "plain", &w), 0);
	assert_int_equal(play_who(f, "plain", &w), 0);
	assert_int_equal(play_count("AssumeRole"), 4);
}

static int run_full(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		    uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	(void)ctx;
	(void)out;
	(void)kind;
	(void)in;
	(void)len;
	(void)timeout_ms;
	(void)done;
	(void)arg;
	return ST_EFULL;
}

static void test_no_job(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	play_do("{\"do\": \"clear\"}");
	f->svc.run = run_full;
	assert_int_equal(play_who(f, "top", &w), 0);
	assert_int_equal(play_count("AssumeRole"), 2);
	assert_int_equal(play_who(f, "web", &w), ST_EFULL);
	assert_non_null(strstr(w.error.text, "can't be read"));
}

static void test_mended(void **state)
{
	static const struct {
		mode_t mode;
		unsigned asked; /* by then */
	} rows[] = { { 0644, 1 }, { 0640, 1 }, { 0602, 2 }, { 0777, 3 }, { 0620, 4 } };
	struct fx *f = *state;
	struct files files;
	struct play_who w;
	const char *path = plain_file(f, &files);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(chmod(path, rows[i].mode), 0);
		assert_int_equal(play_who(f, "plain", &w), 0);
		assert_int_equal(mode_of(path), 0600);
		assert_int_equal(play_count("AssumeRole"), rows[i].asked);
	}
}

#define CASE(fn_) cmocka_unit_test_setup_teardown(fn_, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), CASE(test_botocore), CASE(test_form),
		CASE(test_ends_soon),	      CASE(test_corrupt),  CASE(test_huge),
		CASE(test_cant_be),	      CASE(test_no_job),   CASE(test_mended),
	};

	return cmocka_run_group_tests(tests, play_start, play_stop);
}
