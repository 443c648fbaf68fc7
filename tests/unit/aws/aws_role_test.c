// SPDX-License-Identifier: MIT
/*
 * Cases: every rule of role_arn with source_profile and credential_source, as rows: keys of either file, a role on a role,
 * oneself, loops, too many, what is missing or wrong, and what AssumeRole was sent; trust, external ids, durations, names;
 * sources that have expired, for good and until they are asked again; accounts that go in the middle.
 */
#include "tests/unit/aws/aws_play.h"

#define KEYS(key_) "aws_access_key_id = " key_ "\naws_secret_access_key = role+secret\n"
#define ROLE(name_) "role_arn = arn:aws:iam::123456789012:role/" name_ "\n"
#define BOB "[profile bob]\n" KEYS("AKIABOB")
/* Roles on roles: x on p1, p1 on p2 … on p7. Each has its own session name: else they are one in the cache. */
#define LINK(n_, on_)                                                                              \
	"[profile p" n_ "]\n" ROLE("any") "role_session_name = s" n_ "\nsource_profile = p" on_ "\n"
#define CHAIN                                                                                      \
	"[profile x]\n" ROLE("any") "source_profile = p1\n" LINK("1", "2") LINK("2", "3")          \
		LINK("3", "4") LINK("4", "5") LINK("5", "6") LINK("6", "7")
#define PROCESS                                                                                    \
	"{\"Version\": 1, \"AccessKeyId\": \"AKIABOB\", \"SecretAccessKey\": \"role+secret\"}"
#define IS(name_) "arn:aws:sts::123456789012:assumed-role/" name_ "/"

static const char world[] =
	"{\"do\": \"user\", \"name\": \"bob\", \"access_key\": \"AKIABOB\", \"secret_key\": "
	"\"role+secret\"}\n"
	"{\"do\": \"user\", \"name\": \"eve\", \"access_key\": \"AKIAEVE\", \"secret_key\": "
	"\"role+secret\"}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/plain\", \"trust\": "
	"[\"*user/bob\"], \"max_s\": 7200}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/top\", \"trust\": "
	"[\"*assumed-role/plain/*\"]}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/any\", \"trust\": [\"*\"]}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/ext\", \"trust\": [\"*\"], "
	"\"external_id\": \"abc=1\"}";

/* One config file: profile x is asked for. */
static const struct row {
	const char *name, *config, *credentials;
	const char *env_key;	 /* AWS_ACCESS_KEY_ID */
	const char *arn;	 /* who we are then, its beginning; NULL: an error */
	const char *text, *hint; /* of the error */
	const char *sent;	 /* in the last AssumeRole's params, as JSON; NULL: don't care */
	unsigned calls;		 /* of AssumeRole */
} rows[] = {
	{ .name = "keys of the config file",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = bob\n[profile bob]\n" KEYS(
		  "AKIABOB"),
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "keys of the credentials file, and a role there",
	  .config = "",
	  .credentials = "[x]\n" ROLE("plain") "source_profile = bob\n[bob]\n" KEYS("AKIABOB"),
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "its own keys",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = x\n" KEYS("AKIABOB"),
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "oneself without keys",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = x\n",
	  .text = "Infinite loop in credential configuration detected. Attempting to load from "
		  "profile x which has already been visited. Visited profiles: ['x']" },
	{ .name = "a role on a role",
	  .config = "[profile x]\n" ROLE("top") "source_profile = mid\n[profile mid]\n" ROLE(
		  "plain") "source_profile = bob\n[profile bob]\n" KEYS("AKIABOB"),
	  .arn = IS("top"),
	  .calls = 2 },
	{ .name = "a source with keys and a role: the keys",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = y\n[profile y]\n" ROLE(
		  "any") "source_profile = y\n" KEYS("AKIABOB"),
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "a loop over two",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = y\n[profile y]\n" ROLE(
		  "any") "source_profile = x\n",
	  .text = "Attempting to load from profile x which has already been visited. Visited "
		  "profiles: ['x', 'y']" },
	{ .name = "a source that is its own source and has nothing",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = y\n[profile y]\n" ROLE(
		  "any") "source_profile = y\n",
	  .text = "load from profile y which has already been visited. Visited profiles: ['x', "
		  "'y']" },
	{ .name = "eight roles below",
	  .config = CHAIN "[profile p7]\n" ROLE("any") "source_profile = bob\n" BOB,
	  .arn = IS("any"),
	  .calls = 8 },
	{ .name = "one too many",
	  .config = CHAIN LINK("7", "8") "[profile p8]\n" ROLE("any") "source_profile = bob\n" BOB,
	  .text = "profile \"p8\": these are more than 8 roles on roles" },
	{ .name = "a process as the source",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = y\n[profile y]\n"
						  "credential_process = /bin/echo '" PROCESS "'\n",
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "no such source",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = nobody\n",
	  .text = "The source_profile \"nobody\" referenced in the profile \"x\" does not exist." },
	{ .name = "a source without anything",
	  .config = "[profile x]\n" ROLE(
		  "plain") "source_profile = y\n[profile y]\nregion = us-east-2\n",
	  .text = "The source profile \"y\" must have credentials." },
	{ .name = "a source with half a pair",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = y\n[profile y]\n"
						  "aws_access_key_id = AKIABOB\n",
	  .text = "missing: aws_secret_access_key" },
	{ .name = "two sources",
	  .config = "[profile x]\n" ROLE(
		  "plain") "source_profile = x\ncredential_source = Environment\n",
	  .text = "The profile \"x\" contains both source_profile and credential_source." },
	{ .name = "no source",
	  .config = "[profile x]\n" ROLE("plain"),
	  .text = "Partial credentials found in assume-role, missing: source_profile or "
		  "credential_source" },
	{ .name = "an unknown credential_source",
	  .config = "[profile x]\n" ROLE("plain") "credential_source = environment\n",
	  .text = "The credential source \"environment\" referenced in profile \"x\" is not "
		  "valid." },
	{ .name = "the environment",
	  .config = "[profile x]\n" ROLE("plain") "credential_source = Environment\n",
	  .env_key = "AKIABOB",
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "an empty environment",
	  .config = "[profile x]\n" ROLE("plain") "credential_source = Environment\n",
	  .text = "Error when retrieving credentials from Environment: No credentials found in "
		  "credential_source referenced in profile x" },
	{ .name = "the environment does not serve a source_profile",
	  .config = "[profile x]\n" ROLE(
		  "plain") "source_profile = y\n[profile y]\nregion = us-east-2\n",
	  .env_key = "AKIABOB",
	  .text = "The source profile \"y\" must have credentials." },
	{ .name = "no container",
	  .config = "[profile x]\n" ROLE("plain") "credential_source = EcsContainer\n",
	  .text = "Error when retrieving credentials from EcsContainer: No credentials found" },
	{ .name = "all arguments",
	  .config = "[profile x]\n" ROLE("ext") "source_profile = bob\nexternal_id = abc=1\n"
						"duration_seconds = 901\nrole_session_name = "
						"me@home\n[profile bob]\n" KEYS("AKIABOB"),
	  .arn = IS("ext") "me@home",
	  .sent = "{\"RoleArn\": \"arn:aws:iam::123456789012:role/ext\", \"ExternalId\": "
		  "\"abc=1\", "
		  "\"DurationSeconds\": \"901\", \"RoleSessionName\": \"me@home\"}",
	  .calls = 1 },
	{ .name = "the default session's name",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = bob\n[profile bob]\n" KEYS(
		  "AKIABOB"),
	  .arn = IS("plain") "ssm-tun-",
	  .calls = 1 },
	{ .name = "the wrong external id",
	  .config = "[profile x]\n" ROLE("ext") "source_profile = bob\nexternal_id = "
						"abc=2\n[profile bob]\n" KEYS("AKIABOB"),
	  .text = "An error occurred (AccessDenied) when calling the AssumeRole operation: User: "
		  "arn:aws:iam::123456789012:user/bob is not authorized",
	  .hint = "the trust policy of the role that profile x assumes must name the identity of "
		  "profile bob, which needs sts:AssumeRole on it; it may want mfa_serial, which "
		  "the profile lacks",
	  .calls = 1 },
	{ .name = "no external id",
	  .config = "[profile x]\n" ROLE("ext") "source_profile = bob\n[profile bob]\n" KEYS(
		  "AKIABOB"),
	  .text = "An error occurred (AccessDenied)",
	  .hint = "it may want external_id or mfa_serial, which",
	  .calls = 1 },
	{ .name = "a trust policy that does not trust",
	  .config = "[profile x]\n" ROLE("plain") "credential_source = Environment\n",
	  .env_key = "AKIAEVE",
	  .text = "An error occurred (AccessDenied)",
	  .hint = "must name the identity of credential_source Environment",
	  .calls = 1 },
	{ .name = "a duration that is no number is not used",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = bob\nduration_seconds = "
						  "1h\n[profile bob]\n" KEYS("AKIABOB"),
	  .arn = IS("plain"),
	  .calls = 1 },
	{ .name = "a duration that is too short",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = bob\nduration_seconds = "
						  "899\n[profile bob]\n" KEYS("AKIABOB"),
	  .text = "Parameter validation failed: Invalid value for parameter DurationSeconds, "
		  "value: "
		  "899, valid min value: 900" },
	{ .name = "a duration that is too long",
	  .config = "[profile x]\n" ROLE("plain") "source_profile = bob\nduration_seconds = "
						  "43201\n[profile bob]\n" KEYS("AKIABOB"),
	  .text = "An error occurred (ValidationError) when calling the AssumeRole operation",
	  .hint = "see duration_seconds",
	  .calls = 1 },
	{ .name = "a duration beyond the role's",
	  .config = "[profile x]\n" ROLE("any") "source_profile = bob\nduration_seconds = "
						"7200\n[profile bob]\n" KEYS("AKIABOB"),
	  .text = "exceeds the MaxSessionDuration set for this role",
	  .hint = "see duration_seconds",
	  .calls = 1 },
	{ .name = "an unknown key",
	  .config = "[profile x]\n" ROLE("any") "source_profile = bob\n[profile bob]\n" KEYS(
		  "AKIANOBODY"),
	  .text = "An error occurred (InvalidClientTokenId) when calling the AssumeRole operation",
	  .hint = "give new keys to profile bob",
	  .calls = 1 },
	{ .name = "a profile of a web identity is none of ours",
	  .config = "[profile x]\n" ROLE(
		  "plain") "source_profile = bob\nweb_identity_token_file = /nowhere\n"
			   "[profile bob]\n" KEYS("AKIABOB"),
	  .text = "the web identity token in /nowhere can't be read: No such file" },
};

static void check_sent(const struct row *r)
{
	json_t *want = json_loads(r->sent, 0, NULL);
	json_t *answer = play_ask("{\"do\": \"journal\", \"operation\": \"AssumeRole\"}");
	const json_t *got = json_object_get(json_array_get(json_object_get(answer, "rows"), 0),
					    "params");

	if (!want || !json_equal(want, got))
		json_dumpf(got, stderr, 0);
	assert_true(want && json_equal(want, got));
	json_decref(want);
	json_decref(answer);
}

static void check_row(const struct row *r, const struct play_who *w)
{
	const char *text = r->text ? r->text : "", *hint = r->hint ? r->hint : "";

	if (r->arn ? strncmp(w->arn, r->arn, strlen(r->arn)) != 0
		   : !w->error.err || !strstr(w->error.text, text) || !strstr(w->error.hint, hint))
		print_error("%s\narn:  %s\ntext: %s\nhint: %s\n", r->name, w->arn, w->error.text,
			    w->error.hint);
	if (r->arn) {
		assert_int_equal(strncmp(w->arn, r->arn, strlen(r->arn)), 0);
		return;
	}
	assert_true(w->error.err < 0);
	assert_non_null(strstr(w->error.text, text));
	assert_non_null(strstr(w->error.hint, hint));
}

static void test_rules(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		play_do("{\"do\": \"clear\"}");
		play_cache_clear(f);
		play_env(f);
		if (r->env_key) {
			fx_setenv(f, "AWS_ACCESS_KEY_ID", r->env_key);
			fx_setenv(f, "AWS_SECRET_ACCESS_KEY", "role+secret");
		}
		fx_write(f, "config", r->config);
		fx_write(f, "credentials", r->credentials ? r->credentials : "");
		play_who(f, "x", &w);
		check_row(r, &w);
		if (play_count("AssumeRole") != r->calls)
			print_error("%s\n", r->name);
		assert_int_equal(play_count("AssumeRole"), r->calls);
		if (r->sent)
			check_sent(r);
	}
}

static const char on_role[] =
	"[profile x]\n" ROLE("top") "source_profile = mid\n[profile mid]\n" ROLE(
		"plain") "source_profile = bob\n[profile bob]\n" KEYS("AKIABOB");

/* What STS calls expired is looked for again below the role, once; the cache does not bring it back. */
static void test_source_expires(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	fx_write(f, "config", on_role);
	play_do("{\"do\": \"clear\"}");
	assert_int_equal(play_who(f, "mid", &w), 0);
	assert_int_equal(play_count("AssumeRole"), 1);
	play_do("{\"do\": \"expire\", \"source\": \"AssumeRole\"}");
	assert_int_equal(play_who(f, "x", &w), 0);
	assert_int_equal(strncmp(w.arn, IS("top"), strlen(IS("top"))), 0);
	/* top with what is cached, then plain and top anew */
	assert_int_equal(play_count("AssumeRole"), 4);
}

/* The same for the role itself, in an account that goes on. */
static void test_role_expires(void **state)
{
	struct fx *f = *state;
	struct play_who w = { .f = f, .wanted = 1 };
	struct aws_account *acc;

	fx_write(f, "config", on_role);
	play_do("{\"do\": \"clear\"}");
	assert_int_equal(play_account(f, &acc, "x"), 0);
	for (unsigned i = 1; i <= 2; i++) {
		w.told = 0;
		play_who_start(acc, &w);
		assert_int_equal(loop_run(f->loop), 0);
		assert_int_equal(w.error.err, 0);
		assert_int_equal(play_count("AssumeRole"), i == 1 ? 2 : 5);
		play_do("{\"do\": \"expire\", \"source\": \"AssumeRole\"}");
	}
	aws_account_free(acc);
}

static void write_session(const struct fx *f)
{
	json_t *c =
		play_ask("{\"do\": \"issue\", \"arn\": \"arn:aws:iam::123456789012:user/bob\"}");
	char text[4096];

	snprintf(text, sizeof(text),
		 "[bob]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = "
		 "%s\n",
		 aws_text(c, "access_key"), aws_text(c, "secret_key"), aws_text(c, "token"));
	fx_write(f, "credentials", text);
	json_decref(c);
}

static void test_session_expires(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	fx_write(f, "config", "[profile x]\n" ROLE("plain") "source_profile = bob\n");
	write_session(f);
	play_do("{\"do\": \"clear\"}\n{\"do\": \"expire\", \"source\": \"test\"}");
	assert_int_equal(play_who(f, "x", &w), ST_EAUTH);
	assert_true(w.error.person);
	assert_non_null(strstr(w.error.text, "An error occurred (ExpiredToken) when calling the "
					     "AssumeRole operation"));
	assert_non_null(strstr(w.error.hint, "give new keys to profile bob"));
	assert_int_equal(play_count("AssumeRole"), 1);
	write_session(f);
	assert_int_equal(play_who(f, "x", &w), 0);
}

/* Whatever is under way when the account goes is taken back; at every step of the loop. */
static void test_freed(void **state)
{
	struct fx *f = *state;
	struct play_who w = { .f = f, .wanted = 1 };
	struct aws_account *acc;

	fx_write(f, "config", on_role);
	for (unsigned steps = 0; steps < 60 && !w.told; steps++) {
		play_cache_clear(f);
		assert_int_equal(play_account(f, &acc, "x"), 0);
		play_who_start(acc, &w);
		for (unsigned i = 0; i < steps && !w.told; i++)
			assert_int_equal(loop_turn(f->loop, 1000), 0);
		aws_account_free(acc);
		assert_int_equal(loop_turn(f->loop, 0), 0);
	}
	assert_int_equal(w.told, 1);
	assert_int_equal(w.error.err, 0);
}

static int setup(void **state)
{
	int r = fx_setup(state);

	play_env(*state);
	play_do(world);
	return r;
}

#define CASE(fn_) cmocka_unit_test_setup_teardown(fn_, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_rules),	    CASE(test_source_expires), CASE(test_role_expires),
		CASE(test_session_expires), CASE(test_freed),
	};

	return cmocka_run_group_tests(tests, play_start, play_stop);
}
