// SPDX-License-Identifier: MIT
/*
 * Cases: a web identity of the environment, of the profile, of both; not the environment's with a chosen profile; as the source of a
 * role; what is missing, unreadable, empty or refused, with the line that says what to do; a fault that passes; a token
 * that was renewed between two calls; from the cache without the file.
 */
#include "tests/unit/aws/aws_play.h"

#define ROLE "arn:aws:iam::123456789012:role/web"
#define IS "arn:aws:sts::123456789012:assumed-role/web/"

static const char world[] = "{\"do\": \"role\", \"arn\": \"" ROLE
			    "\", \"web\": \"https://idp.test\"}\n"
			    "{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/top\"}\n"
			    "{\"do\": \"web_token\", \"provider\": \"https://idp.test\", "
			    "\"token\": \"good.web.token\"}\n"
			    "{\"do\": \"web_token\", \"provider\": \"https://idp.test\", "
			    "\"token\": \"new.web.token\"}\n"
			    "{\"do\": \"web_token\", \"provider\": \"https://else.test\", "
			    "\"token\": \"else.web.token\"}\n"
			    "{\"do\": \"web_token\", \"provider\": \"https://idp.test\", "
			    "\"token\": \"old.web.token\", \"life_s\": -5}";

#define IDP(times_)                                                                                \
	"{\"do\": \"fault\", \"operation\": \"AssumeRoleWithWebIdentity\", \"times\": " times_     \
	", \"error\": \"IDPCommunicationError\", \"message\": \"unreachable\", \"status\": 400}"

static const struct row {
	const char *name, *config, *profile; /* "@": the token's path */
	const char *token;		     /* NULL: no file */
	const char *file, *role, *session;   /* of the environment; "@" as above */
	const char *verbs;
	const char *arn, *text, *hint;
	unsigned calls;
} rows[] = {
	{ .name = "environment",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .session = "pod-1",
	  .arn = IS "pod-1",
	  .calls = 1 },
	{ .name = "environment, a default name, a newline behind the token",
	  .token = "good.web.token\n",
	  .file = "@",
	  .role = ROLE,
	  .arn = IS "ssm-tun-",
	  .calls = 1 },
	{ .name = "profile",
	  .config = "[profile x]\nrole_arn = " ROLE
		    "\nweb_identity_token_file = @\nrole_session_name = ci\n",
	  .profile = "x",
	  .token = "good.web.token",
	  .arn = IS "ci",
	  .calls = 1 },
	{ .name = "each setting has its own place",
	  .config = "[default]\nrole_session_name = ci\n",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .arn = IS "ci",
	  .calls = 1 },
	{ .name = "the environment's come first",
	  .config = "[default]\nrole_arn = " ROLE
		    "2\nweb_identity_token_file = /nowhere\nrole_session_name = ci\n",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .session = "env",
	  .arn = IS "env",
	  .calls = 1 },
	{ .name = "a role of the profile alone is one without a source",
	  .config = "[default]\nrole_arn = " ROLE "\n",
	  .token = "good.web.token",
	  .file = "@",
	  .text = "Partial credentials found in assume-role, missing: source_profile or" },
	{ .name = "a chosen profile puts the environment out",
	  .config = "[profile x]\nregion = us-east-1\n",
	  .profile = "x",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .text = "Unable to locate credentials" },
	{ .name = "the source of a role",
	  .config =
		  "[profile x]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = w\n"
		  "[profile w]\nrole_arn = " ROLE "\nweb_identity_token_file = @\n",
	  .profile = "x",
	  .token = "good.web.token",
	  .arn = "arn:aws:sts::123456789012:assumed-role/top/",
	  .calls = 1 },
	{ .name = "no role",
	  .token = "good.web.token",
	  .file = "@",
	  .text = "is configured to assume role with web identity but has no role ARN configured" },
	{ .name = "no file",
	  .file = "@",
	  .role = ROLE,
	  .text = "can't be read: No such file or directory",
	  .hint = "AWS_WEB_IDENTITY_TOKEN_FILE or by web_identity_token_file" },
	{ .name = "an empty file",
	  .token = "\n",
	  .file = "@",
	  .role = ROLE,
	  .text = "can't be read: there is none in it" },
	{ .name = "a folder",
	  .file = "/tmp",
	  .role = ROLE,
	  .text = "can't be read: Is a directory" },
	{ .name = "an unknown token",
	  .token = "no.web.token",
	  .file = "@",
	  .role = ROLE,
	  .text = "An error occurred (InvalidIdentityToken) when calling the "
		  "AssumeRoleWithWebIdentity operation",
	  .hint = "no identity provider of the role's account knows the token in /tmp/",
	  .calls = 1 },
	{ .name = "an expired token",
	  .token = "old.web.token",
	  .file = "@",
	  .role = ROLE,
	  .text = "An error occurred (ExpiredTokenException)",
	  .hint = "whoever writes that file must renew it",
	  .calls = 1 },
	{ .name = "another provider's token",
	  .token = "else.web.token",
	  .file = "@",
	  .role = ROLE,
	  .text = "Not authorized to perform sts:AssumeRoleWithWebIdentity",
	  .hint = "the trust policy of " ROLE " must allow sts:AssumeRoleWithWebIdentity to",
	  .calls = 1 },
	{ .name = "a provider that is away for a while",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .verbs = IDP("2"),
	  .arn = IS,
	  .calls = 3 },
	{ .name = "a provider that stays away",
	  .token = "good.web.token",
	  .file = "@",
	  .role = ROLE,
	  .verbs = IDP("3"),
	  .text = "An error occurred (IDPCommunicationError)",
	  .hint = "STS can't reach the identity provider",
	  .calls = 3 },
};

static void token_write(const struct fx *f, const char *token)
{
	char path[160];

	if (token) {
		fx_write(f, "token", token);
		return;
	}
	snprintf(path, sizeof(path), "%s/.aws/token", f->home);
	remove(path);
}

/* @text with the token's path for "@". */
static const char *with_path(const struct fx *f, const char *text, char out[1024])
{
	const char *at = strchr(text, '@');

	if (at)
		snprintf(out, 1024, "%.*s%s/.aws/token%s", (int)(at - text), text, f->home, at + 1);
	else
		snprintf(out, 1024, "%s", text);
	return out;
}

static void set(struct fx *f, const char *name, const char *value)
{
	if (value)
		fx_setenv(f, name, value);
}

static void test_rules(void **state)
{
	struct fx *f = *state;
	char config[1024], file[1024];
	struct play_who w;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		print_message("%s\n", r->name);
		play_env(f);
		play_do("{\"do\": \"clear\"}");
		play_do(r->verbs);
		play_cache_clear(f);
		fx_write(f, "config", with_path(f, r->config ? r->config : "", config));
		token_write(f, r->token);
		set(f, "AWS_WEB_IDENTITY_TOKEN_FILE", r->file ? with_path(f, r->file, file) : NULL);
		set(f, "AWS_ROLE_ARN", r->role);
		set(f, "AWS_ROLE_SESSION_NAME", r->session);
		play_who(f, r->profile, &w);
		if (r->arn) {
			assert_string_equal(w.error.text, "");
			assert_int_equal(strncmp(w.arn, r->arn, strlen(r->arn)), 0);
		} else {
			assert_non_null(strstr(w.error.text, r->text));
			assert_non_null(strstr(w.error.hint, r->hint ? r->hint : ""));
			assert_true(!w.error.person || strstr(r->text, "Unable"));
		}
		assert_int_equal(play_count("AssumeRoleWithWebIdentity"), r->calls);
	}
}

static void test_renewed(void **state)
{
	struct fx *f = *state;
	struct play_who w = { .f = f, .wanted = 1 };
	struct aws_account *acc;
	char path[96];

	play_do("{\"do\": \"clear\"}");
	snprintf(path, sizeof(path), "%s/.aws/token", f->home);
	fx_setenv(f, "AWS_WEB_IDENTITY_TOKEN_FILE", path);
	fx_setenv(f, "AWS_ROLE_ARN", ROLE);
	token_write(f, "good.web.token");
	assert_int_equal(play_account(f, &acc, NULL), 0);
	play_who_start(acc, &w);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(w.error.err, 0);
	/* What was given has ended: the file is read again. */
	play_do("{\"do\": \"expire\", \"source\": \"AssumeRoleWithWebIdentity\"}");
	token_write(f, "new.web.token");
	w.told = 0;
	play_who_start(acc, &w);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(w.error.err, 0);
	assert_int_equal(play_count("AssumeRoleWithWebIdentity"), 2);
	/* Another account: the cache has it, the file is not needed. */
	token_write(f, NULL);
	assert_int_equal(play_who(f, NULL, &w), 0);
	assert_int_equal(play_count("AssumeRoleWithWebIdentity"), 2);
	aws_account_free(acc);
}

static void test_freed(void **state)
{
	struct fx *f = *state;
	struct play_who w = { .f = f, .wanted = 1 };
	struct aws_account *acc;
	char path[96];

	snprintf(path, sizeof(path), "%s/.aws/token", f->home);
	fx_setenv(f, "AWS_WEB_IDENTITY_TOKEN_FILE", path);
	fx_setenv(f, "AWS_ROLE_ARN", ROLE);
	token_write(f, "good.web.token");
	for (unsigned steps = 0; steps < 60 && !w.told; steps++) {
		play_cache_clear(f);
		assert_int_equal(play_account(f, &acc, NULL), 0);
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
	((struct fx *)*state)->aws->limits.backoff_ms = 20;
	return r;
}

#define CASE(fn_) cmocka_unit_test_setup_teardown(fn_, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { CASE(test_rules), CASE(test_renewed),
					    CASE(test_freed) };

	return cmocka_run_group_tests(tests, play_start, play_stop);
}
