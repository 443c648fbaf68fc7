// SPDX-License-Identifier: MIT
/*
 * Cases: where the AWS SDK for JavaScript sends calls, by region, environment (AWS_REGION, AWS_ENDPOINT_URL_*, AWS_USE_*) and
 * files (services sections), as sdk_table.json has it, is where we send them and what we sign for; what it asks a container's
 * endpoint is what we ask, token file and all. The table is made by sdk_oracle, which `scripts/test --long` runs.
 */
#include "tests/unit/aws/aws_web.h"

/* What the SDK refuses and the AWS CLI does not. A row that excuses nothing is an error. */
static struct {
	const char *error, *why;
	unsigned used;
} differences[] = {
	{ "Invalid Configuration: FIPS and custom endpoint are not supported",
	  "the AWS CLI lets FIPS be where a URL is configured", 0 },
	{ "Invalid Configuration: Dualstack and custom endpoint are not supported",
	  "the AWS CLI lets dual-stack be where a URL is configured", 0 },
};

static bool is_excused(const char *error)
{
	for (size_t i = 0; error && i < ARRAY_LEN(differences); i++)
		if (strcmp(error, differences[i].error) == 0) {
			differences[i].used++;
			return true;
		}
	return false;
}

static enum aws_service service_of(const char *id)
{
	enum aws_service s = 0;

	while (s < AWS_SERVICE_N && strcmp(aws_services[s].id, id) != 0)
		s++;
	assert_true(s < AWS_SERVICE_N);
	return s;
}

/* The SDK writes no slash behind a path, or always one, as the service's protocol has it. */
static size_t bare_len(const char *url)
{
	size_t len = strlen(url);

	return len && url[len - 1] == '/' ? len - 1 : len;
}

static bool is_same_url(const char *a, const char *b)
{
	return bare_len(a) == bare_len(b) && strncmp(a, b, bare_len(a)) == 0;
}

static int find(struct fx *f, const json_t *one, struct aws_endpoint *at, struct aws_error *e)
{
	const enum aws_service service = service_of(aws_text(one, "service"));
	const struct aws_account_opts o = { .region = aws_text(one, "region"),
					    .endpoint_url = aws_text(one, "endpoint") };
	struct aws_account *acc;
	struct aws_profile p;
	const char *name;
	json_t *value;
	int err;

	f->n_env = 0;
	json_object_foreach(json_object_get(one, "env"), name, value)
		fx_setenv(f, name, json_string_value(value));
	assert_int_equal(aws_account_new(&acc, f->aws, &o), 0);
	assert_int_equal(aws_profile_load(&p, acc, e), 0);
	err = aws_endpoint_find(at, acc, &p, service, NULL, e);
	aws_profile_fini(&p);
	aws_account_free(acc);
	return err;
}

static void compare(struct fx *f, const json_t *one)
{
	const json_t *theirs = json_object_get(one, "answer");
	const char *url = aws_text(theirs, "url"), *region = aws_text(theirs, "region");
	const char *error = aws_text(theirs, "error"), *service = aws_text(one, "service");
	struct aws_endpoint at = { 0 };
	struct aws_error e;
	char *text = json_dumps(one, 0);

	if (find(f, one, &at, &e) < 0) {
		if (!error)
			fail_msg("%s: ours: %s", text, e.text);
	} else if ((!url || !is_same_url(at.url, url) ||
		    (region && strcmp(at.sign_region, region) != 0)) &&
		   !is_excused(error)) {
		fail_msg("%s: ours: %s for %s", text, at.url, at.sign_region);
	}
	if (url && aws_text(theirs, "name"))
		assert_string_equal(aws_services[service_of(service)].signing,
				    aws_text(theirs, "name"));
	free(text);
	aws_endpoint_fini(&at);
}

static void test_as_the_sdk(void **state)
{
	struct fx *f = *state;
	json_t *table = json_load_file("tests/unit/aws/sdk_table.json", 0, NULL);
	json_t *files = json_object_get(table, "files"), *cases = aws_list(table, "cases"), *one;
	size_t i;

	assert_non_null(cases);
	assert_true(json_array_size(cases) > 700);
	fx_write(f, "config", aws_text(files, "config"));
	fx_write(f, "credentials", aws_text(files, "credentials"));
	json_array_foreach(cases, i, one) compare(f, one);
	for (i = 0; i < ARRAY_LEN(differences); i++)
		if (!differences[i].used)
			fail_msg("nothing differs: %s", differences[i].why);
	json_decref(table);
}

/* ---- containers ---- */

#define BOTH_TOKENS                                                                                \
	"of two tokens the file's wins, as in botocore; this version of the SDK takes the "        \
	"variable's"

static struct web web;

/* @text with the port and the file that it names filled in; to be freed */
static char *fill(const char *text, const char *port, const char *file)
{
	static const char *const marks[] = { "{port}", "{file}" };
	const char *const values[] = { port, file };
	char *out = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&out, &len);

	assert_non_null(to);
	while (*text) {
		size_t i = 0;

		while (i < ARRAY_LEN(marks) && strncmp(text, marks[i], strlen(marks[i])) != 0)
			i++;
		if (i < ARRAY_LEN(marks)) {
			fputs(values[i], to);
			text += strlen(marks[i]);
		} else {
			fputc(*text++, to);
		}
	}
	fclose(to);
	return out;
}

static void container_env_set(struct fx *f, const json_t *env, const char *file)
{
	const char *name;
	json_t *value;

	for (size_t i = 0; i < f->n_env; i++)
		free((char *)f->env[i].value);
	f->n_env = 0;
	json_object_foreach((json_t *)env, name, value)
		fx_setenv(f, name, fill(json_string_value(value), strrchr(web.url, ':') + 1, file));
}

static void container_compare(struct fx *f, const json_t *theirs, bool both)
{
	const char *path = aws_text(theirs, "path"), *token = aws_text(theirs, "authorization");
	struct aws_creds c;
	struct aws_error e;
	char line[256];

	fx_find(f, &(struct aws_account_opts){ 0 }, &c, &e);
	assert_int_equal(web.n_got > 0, path != NULL);
	if (!path)
		return;
	snprintf(line, sizeof(line), "GET %s", path);
	assert_string_equal(web.got[0], line);
	if (both) /* BOTH_TOKENS */
		token = "from file";
	snprintf(line, sizeof(line), "\r\nAuthorization: %s\r\n", token ? token : "");
	assert_int_equal(strstr(web.last, token ? line : "Authorization") != NULL, token != NULL);
	aws_creds_wipe(&c);
}

static void test_containers(void **state)
{
	static const char good[] =
		"{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"s\",\"Token\":\"T\","
		"\"Expiration\":\"2099-01-01T00:00:00Z\"}";
	struct fx *f = *state;
	json_t *table = json_load_file("tests/unit/aws/sdk_table.json", 0, NULL), *one;
	json_t *cases = aws_list(table, "containers");
	unsigned both = 0;
	char file[96];
	size_t i;

	assert_true(json_array_size(cases) > 5);
	snprintf(file, sizeof(file), "%s/.aws/token", f->home);
	fx_write(f, "token", "from file");
	fx_write(f, "token.nl", "from file\n");
	web_start(&web, f->loop);
	f->aws->limits.container_pause_ms = 1;
	json_array_foreach(cases, i, one)
	{
		const json_t *env = json_object_get(one, "env");
		const bool two = aws_text(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN") &&
				 aws_text(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");

		web_clear(&web);
		web_add(&web, (struct web_row){ "GET", "/full", 200, good, NULL, 0, 0 });
		web_add(&web, (struct web_row){ "GET", "/full?x=y", 200, good, NULL, 0, 0 });
		container_env_set(f, env, file);
		container_compare(f, json_object_get(one, "answer"), two);
		both += two;
	}
	if (!both)
		fail_msg("nothing differs: %s", BOTH_TOKENS);
	container_env_set(f, NULL, file);
	web_stop(&web);
	unlink(file);
	strcat(file, ".nl");
	unlink(file);
	json_decref(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_the_sdk, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_containers, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
