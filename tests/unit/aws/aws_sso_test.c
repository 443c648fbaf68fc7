// SPDX-License-Identifier: MIT
/*
 * Cases: each state of the token's file (table): absent, alive, ended, about to end and renewable, renewal refused, client's
 * registration over, fields that lack, malformed, wrong types, unreadable, a folder, read by others, another start URL inside, times
 * of other writers; each mistake of the profile; what the portal says. One renewal for two accounts; another program that
 * renews first, or logs in or out meanwhile; a file that can't be written; no call while a person is waited for, and the way on
 * when the file changes; the CLI's cache; botocore reads what we write and we what it writes.
 */
#include "tests/unit/aws/sso_fixture.h"

#include "base/log.h"

#define ROLE(key_)                                                                                 \
	"\"GetRoleCredentials\":[{\"body\":{\"roleCredentials\":{\"accessKeyId\":\"" key_          \
	"\",\"secretAccessKey\":\"role-secret\",\"sessionToken\":\"role-token\",\"expiration\":"   \
	"4102444800000}}}]"
#define RENEWS                                                                                     \
	"\"CreateToken\":[{\"body\":{\"accessToken\":\"at-2\",\"expiresIn\":28800,\"tokenType\":"  \
	"\"Bearer\",\"refreshToken\":\"rt-2\"}}]"
#define RENEWS_NOT                                                                                 \
	"\"CreateToken\":[{\"status\":400,\"type\":\"InvalidGrantException\",\"body\":{\"error\":" \
	"\"invalid_grant\",\"error_description\":\"Invalid refresh token provided\"}}]"
#define TOKEN(end_)                                                                                \
	"{\"startUrl\": \"https://corp.awsapps.com/start\", \"region\": \"eu-central-1\", "        \
	"\"accessToken\": \"at-1\", \"expiresAt\": \"" end_ "\"}"
#define RENEWABLE(end_, client_end_)                                                               \
	"{\"startUrl\": \"https://corp.awsapps.com/start\", \"region\": \"eu-central-1\", "        \
	"\"accessToken\": \"at-1\", \"expiresAt\": \"" end_ "\", \"clientId\": \"cid\", "          \
	"\"clientSecret\": \"csecret\", \"registrationExpiresAt\": \"" client_end_                 \
	"\", \"refreshToken\": \"rt-1\"}"

struct got {
	unsigned calls;
	bool ok;
	struct aws_error error;
	char key[64];
	int64_t expires_s;
};

static void on_creds(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	g->key[0] = '\0';
	if (error) {
		g->error = *error;
	} else {
		snprintf(g->key, sizeof(g->key), "%s", c->access_key);
		g->expires_s = c->expires_s;
		assert_string_equal(c->secret_key, "role-secret");
		assert_string_equal(c->token, "role-token");
	}
}

static void on_changed(void *arg)
{
	++*(unsigned *)arg;
}

static struct aws_account *account_of(struct fx *f, const char *profile, unsigned *changes)
{
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws,
					 &(struct aws_account_opts){ .profile = profile,
								     .changed = on_changed,
								     .changed_arg = changes }),
			 0);
	return acc;
}

static void ask(struct aws_account *acc, struct got *g)
{
	handle h;

	*g = (struct got){ 0 };
	assert_int_equal(aws_chain_get(acc, &h, NULL, on_creds, g), 0);
}

static void get(struct fx *f, struct aws_account *acc, struct got *g)
{
	ask(acc, g);
	TURN_UNTIL(f, g->calls);
}

/* ---- the table ---- */

struct row {
	const char *name, *profile, *file;
	unsigned mode; /* of the file; 0: 0600; 01000: a folder in its place */
	const char *script;
	int err;
	bool person;
	const char *text, *hint; /* of the error */
	unsigned renewals, roles;
	const char *after; /* in the file */
};

#define LOGIN "aws sso login --profile dev (or: ssm-tun login dev)"
#define INVALID "Error loading SSO Token: Token for https://corp.awsapps.com/start is invalid"
#define EXPIRED "Error when retrieving token from sso: Token has expired and refresh failed"
#define SESSION_OVER                                                                               \
	"The SSO session associated with this profile has expired or is otherwise invalid."
#define GOOD "{" RENEWS "," ROLE("ASIAROLE") "}"
#define BAD "{" RENEWS_NOT "," ROLE("ASIAROLE") "}"

static const struct row rows[] = {
	{ "absent", "dev", NULL, .err = ST_EAUTH, .person = true,
	  .text = "Error loading SSO Token: Token for corp does not exist", .hint = LOGIN },
	{ "alive", "dev", TOKEN("@+3600@"), .roles = 1 },
	{ "ended", "dev", TOKEN("@-10@"), .err = ST_EAUTH, .person = true, .text = EXPIRED,
	  .hint = LOGIN },
	{ "ends soon, no refresh token", "dev", TOKEN("@+600@"), .roles = 1 },
	{ "alive and renewable: not yet", "dev", RENEWABLE("@+1000@", "@+86400@"), .roles = 1 },
	{ "ends soon", "dev", RENEWABLE("@+800@", "@+86400@"), .renewals = 1, .roles = 1,
	  .after = "\"refreshToken\": \"rt-2\"" },
	{ "ended, renewable", "dev", RENEWABLE("@-8000@", "@+86400@"), .renewals = 1, .roles = 1,
	  .after = "\"accessToken\": \"at-2\"" },
	{ "ends soon, renewal refused", "dev", RENEWABLE("@+800@", "@+86400@"), .script = BAD,
	  .renewals = 1, .roles = 1, .after = "at-1" },
	{ "ended, renewal refused", "dev", RENEWABLE("@-10@", "@+86400@"), .script = BAD,
	  .err = ST_EAUTH, .person = true, .text = EXPIRED, .hint = LOGIN, .renewals = 1,
	  .after = "rt-1" },
	{ "ended, renewal makes no sense", "dev", RENEWABLE("@-10@", "@+86400@"),
	  .script = "{\"CreateToken\":[{\"body\":{\"accessToken\":7,\"expiresIn\":\"x\"}}]}",
	  .err = ST_EAUTH, .person = true, .text = EXPIRED, .hint = LOGIN, .renewals = 1 },
	{ "ended, registration ended", "dev", RENEWABLE("@-10@", "@-5@"), .err = ST_EAUTH,
	  .person = true, .text = EXPIRED, .hint = LOGIN },
	{ "ended, renewal meets an ill service", "dev", RENEWABLE("@-10@", "@+86400@"),
	  .script = "{\"CreateToken\":[{\"status\":500}]}", .err = ST_EAGAIN, .text = "CreateToken",
	  .renewals = 3 },
	{ "ends soon, renewal meets an ill service", "dev", RENEWABLE("@+800@", "@+86400@"),
	  .script = "{\"CreateToken\":[{\"status\":500}]," ROLE("ASIAROLE") "}", .renewals = 3,
	  .roles = 1 },
	{ "malformed", "dev", "{\"accessToken\": \"at-1\", ", .err = ST_EAUTH, .person = true,
	  .text = INVALID, .hint = LOGIN },
	{ "empty", "dev", "", .err = ST_EAUTH, .person = true, .text = INVALID, .hint = LOGIN },
	{ "no object", "dev", "[\"accessToken\"]", .err = ST_EAUTH, .person = true,
	  .text = INVALID },
	{ "no token", "dev", "{\"expiresAt\": \"@+3600@\"}", .err = ST_EAUTH, .person = true,
	  .text = INVALID },
	{ "no end", "dev", "{\"accessToken\": \"at-1\"}", .err = ST_EAUTH, .person = true,
	  .text = INVALID },
	{ "wrong types", "dev", "{\"accessToken\": 5, \"expiresAt\": \"@+3600@\"}", .err = ST_EAUTH,
	  .person = true, .text = INVALID },
	{ "end is a number", "dev", "{\"accessToken\": \"at-1\", \"expiresAt\": 4102444800}",
	  .err = ST_EAUTH, .person = true, .text = INVALID },
	{ "a token that would end a header", "dev",
	  "{\"accessToken\": \"at\\r\\nX: y\", \"expiresAt\": \"@+3600@\"}", .err = ST_EAUTH,
	  .person = true, .text = INVALID },
	{ "renewable by halves", "dev",
	  "{\"accessToken\": \"at-1\", \"expiresAt\": \"@+60@\", \"refreshToken\": \"rt-1\", "
	  "\"clientId\": 5}",
	  .roles = 1 },
	{ "unreadable", "dev", TOKEN("@+3600@"), .mode = 01000, .err = ST_EAUTH, .person = true,
	  .text = "Is a directory", .hint = LOGIN },
	{ "readable by others", "dev", TOKEN("@+3600@"), .mode = 0644, .roles = 1 },
	{ "another start URL inside", "dev",
	  "{\"startUrl\": \"https://other.awsapps.com/start\", \"accessToken\": \"at-1\", "
	  "\"expiresAt\": \"@+3600@\"}",
	  .roles = 1 },
	{ "an old writer's time", "dev",
	  "{\"accessToken\": \"at-1\", \"expiresAt\": \"2098-06-14T04:05:45UTC\"}", .roles = 1 },
	{ "a foreign writer's time", "dev",
	  "{\"accessToken\": \"at-1\", \"expiresAt\": \"2098-06-14T04:05:45.123+02:00\"}",
	  .roles = 1 },
	/* the portal */
	{ "refused by the portal", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":401,\"type\":\"UnauthorizedException\","
		    "\"body\":{\"message\":\"Session token not found or invalid\"}}]}",
	  .err = ST_EAUTH, .person = true, .text = SESSION_OVER, .hint = LOGIN, .roles = 1 },
	{ "no such role", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":403,\"type\":\"ForbiddenException\","
		    "\"body\":{\"message\":\"No access\"}}]}",
	  .err = ST_EAUTH,
	  .text = "An error occurred (ForbiddenException) when calling the GetRoleCredentials "
		  "operation: No access",
	  .hint = "no role Reader in account 111122223333", .roles = 1 },
	{ "no such account", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":404,\"type\":"
		    "\"ResourceNotFoundException\",\"body\":{\"message\":\"gone\"}}]}",
	  .err = ST_EAUTH, .text = "ResourceNotFoundException", .hint = "sso_account_id",
	  .roles = 1 },
	{ "throttled once", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":429,\"type\":"
		    "\"TooManyRequestsException\"},{\"body\":{\"roleCredentials\":{\"accessKeyId\":"
		    "\"ASIAROLE\",\"secretAccessKey\":\"role-secret\",\"sessionToken\":"
		    "\"role-token\",\"expiration\":4102444800000}}}]}",
	  .roles = 2 },
	{ "throttled for ever", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":429,\"type\":"
		    "\"TooManyRequestsException\"}]}",
	  .err = ST_EAGAIN, .text = "TooManyRequestsException", .roles = 3 },
	{ "a portal's page", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"status\":403,\"body\":\"Welcome\"}]}",
	  .err = ST_EPERM, .text = "403", .roles = 1 },
	{ "no credentials in the answer", "dev", TOKEN("@+3600@"),
	  .script = "{\"GetRoleCredentials\":[{\"body\":{\"roleCredentials\":{}}}]}",
	  .err = ST_EPEER, .text = "makes no sense", .roles = 1 },
	/* legacy */
	{ "legacy: absent", "old one", NULL, .err = ST_EAUTH, .person = true,
	  .text = "Token for https://old.awsapps.com/start does not exist",
	  .hint = "aws sso login --profile 'old one' (or: ssm-tun login 'old one')" },
	{ "legacy: alive", "old one", TOKEN("@+60@"), .roles = 1 },
	{ "legacy: ended, never renewed", "old one", RENEWABLE("@-10@", "@+86400@"),
	  .err = ST_EAUTH, .person = true, .text = SESSION_OVER, .hint = "'old one'" },
};

static void run_clean(const struct fx *f)
{
	static const char *const names[] = { ".aws/sso", ".aws/cli", "log" };
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		fx_path(f, names[i], path);
		nftw(path, fx_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
}

static void row_prepare(const struct fx *f, const struct row *r, const char *name)
{
	char path[256];

	run_clean(f);
	fx_script(f, r->script ? r->script : GOOD);
	fx_path(f, name, path);
	if (r->mode == 01000) {
		fx_put(f, ".aws/sso/cache/other", "");
		assert_int_equal(mkdir(path, 0700), 0);
	} else if (r->file) {
		fx_put(f, name, r->file);
		assert_int_equal(chmod(path, r->mode ? r->mode : 0600), 0);
	}
}

static void row_check(const struct fx *f, const struct row *r, const struct got *g)
{
	if (r->err) {
		assert_false(g->ok);
		assert_int_equal(g->error.err, r->err);
		assert_int_equal(g->error.person, r->person);
		assert_non_null(strstr(g->error.text, r->text));
		if (r->hint)
			assert_non_null(strstr(g->error.hint, r->hint));
		assert_null(strstr(g->error.text, "at-1"));
		assert_null(strstr(g->error.hint, "at-1"));
	} else {
		assert_true(g->ok);
		assert_string_equal(g->key, "ASIAROLE");
		assert_int_equal(g->expires_s, 4102444800);
		assert_true(fx_logged(f, r->renewals == 1 && (!r->after || strcmp(r->after, "at-1"))
						 ? "\"bearer\": \"at-2\""
						 : "\"bearer\": \"at-1\""));
	}
	assert_int_equal(fx_asked(f, "CreateToken"), r->renewals);
	assert_int_equal(fx_asked(f, "GetRoleCredentials"), r->roles);
	assert_false(fx_logged(f, "\"signed\": true"));
}

static void each_state(void **state)
{
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		const char *name = strcmp(r->profile, "dev") == 0 ? CORP_FILE : OLD_FILE;
		struct aws_account *acc;
		unsigned changes = 0;
		struct got g;

		print_message("    %s\n", r->name);
		row_prepare(f, r, name);
		aws_sso_memory_free(f->aws);
		acc = account_of(f, r->profile, &changes);
		get(f, acc, &g);
		row_check(f, r, &g);
		assert_int_equal(acc->watch != NULL, r->person);
		if (r->after) {
			char *after = fx_file(f, name);

			assert_non_null(after);
			assert_non_null(strstr(after, r->after));
			free(after);
		}
		aws_account_free(acc);
	}
}

/* ---- what a profile may get wrong ---- */

static const struct {
	const char *config, *text;
} mistakes[] = {
	{ "[profile dev]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = R\n",
	  "The specified sso-session does not exist: \"corp\"" },
	{ "[sso-session corp]\nsso_region = eu-west-1\n[profile dev]\nsso_session = corp\n"
	  "sso_account_id = 1\nsso_role_name = R\n",
	  "The profile \"dev\" is configured to use SSO but is missing required configuration: "
	  "sso_start_url" },
	{ "[profile dev]\nsso_account_id = 1\n",
	  "is missing required configuration: sso_role_name, sso_start_url, sso_region" },
	{ "[sso-session corp]\nsso_start_url = https://a\nsso_region = eu-west-1\n[profile dev]\n"
	  "sso_session = corp\nsso_account_id = 1\nsso_role_name = R\nsso_region = eu-west-2\n",
	  "The value for sso_region is inconsistent between profile (eu-west-2) and sso-session "
	  "(eu-west-1)." },
	{ "[profile dev]\nsso_account_id = 1\nsso_role_name = R\nsso_start_url = https://a\n"
	  "sso_region = evil.example/\n",
	  "Provided region_name 'evil.example/' doesn't match a supported format." },
};

static void each_mistake(void **state)
{
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		unsigned changes = 0;
		struct aws_account *acc = account_of(f, "dev", &changes);
		struct got g;

		fx_write(f, "config", mistakes[i].config);
		get(f, acc, &g);
		assert_false(g.ok);
		assert_int_equal(g.error.err, ST_EAUTH);
		assert_false(g.error.person);
		assert_non_null(strstr(g.error.text, mistakes[i].text));
		assert_non_null(strstr(g.error.hint, "aws configure sso"));
		aws_account_free(acc);
	}
}

/* A session alone gives a token, no credentials: the next source is asked, as botocore does. */
static void session_without_role(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;

	fx_write(f, "config",
		 "[sso-session corp]\nsso_start_url = https://a\nsso_region = eu-west-1\n"
		 "[profile dev]\nsso_session = corp\n");
	get(f, acc, &g);
	assert_non_null(strstr(g.error.text, "Unable to locate credentials"));
	aws_account_free(acc);
}

/* ---- renewing ---- */

/* Two accounts want the same token: a refresh token serves once. */
static void one_renewal_at_a_time(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *a = account_of(f, "dev", &changes), *b = account_of(f, "dev", &changes);
	struct got ga, gb;

	fx_script(f, "{" RENEWS "," ROLE("ASIAROLE") "}");
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	ask(a, &ga);
	ask(b, &gb);
	TURN_UNTIL(f, ga.calls && gb.calls);
	assert_true(ga.ok && gb.ok);
	assert_int_equal(fx_asked(f, "CreateToken"), 1);
	assert_int_equal(fx_asked(f, "GetRoleCredentials"), 2);
	assert_false(fx_logged(f, "\"bearer\": \"at-1\""));
	aws_account_free(a);
	aws_account_free(b);
}

/* The account that renews goes: the one that waits does it itself. */
static void renewal_cut_short(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *a = account_of(f, "dev", &changes), *b = account_of(f, "dev", &changes);
	struct got ga, gb;

	fx_script(f, "{\"CreateToken\":[{\"delay\":0.3,\"body\":{\"accessToken\":\"at-2\","
		     "\"expiresIn\":28800,\"refreshToken\":\"rt-2\"}}]," ROLE("ASIAROLE") "}");
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	ask(a, &ga);
	ask(b, &gb);
	TURN_UNTIL(f, fx_asked(f, "CreateToken"));
	aws_account_free(a);
	TURN_UNTIL(f, gb.calls);
	assert_true(gb.ok);
	assert_int_equal(ga.calls, 0);
	assert_int_equal(fx_asked(f, "CreateToken"), 2);
	aws_account_free(b);
}

#define WRITES(status_and_body_, text_)                                                            \
	"{\"CreateToken\":[{\"write\":[\"@HOME@/" CORP_FILE "\",\"" text_ "\"]," status_and_body_  \
	"}]," ROLE("ASIAROLE") "}"
#define THEIRS "{\\\"accessToken\\\": \\\"at-9\\\", \\\"expiresAt\\\": \\\"@+28800@\\\"}"
#define OURS_BODY                                                                                  \
	"\"body\":{\"accessToken\":\"at-2\",\"expiresIn\":28800,\"refreshToken\":\"rt-2\"}"

/* The AWS CLI renews at the same time: before us (ours is refused) or after us; its token counts and stays. */
static void another_program_renews(void **state)
{
	static const char *const scripts[] = {
		WRITES("\"status\":400,\"type\":\"InvalidGrantException\"", THEIRS),
		WRITES(OURS_BODY, THEIRS),
	};
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		unsigned changes = 0;
		struct aws_account *acc = account_of(f, "dev", &changes);
		struct got g;
		char *after;

		run_clean(f);
		fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
		fx_script(f, scripts[i]);
		get(f, acc, &g);
		assert_true(g.ok);
		assert_true(fx_logged(f, "\"bearer\": \"at-9\""));
		after = fx_file(f, CORP_FILE);
		assert_non_null(strstr(after, "at-9"));
		free(after);
		aws_account_free(acc);
		aws_sso_memory_free(f->aws);
	}
}

/* A disk that is full, or a home that is read-only. */
static int cant_write(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		      uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	static const char words[] = "Read-only file system";

	if (kind != SVC_AWS_WRITE)
		return fx_run(ctx, out, kind, in, len, timeout_ms, done, arg);
	return fx_later_add(ctx, out, done, arg, ST_ESYS, (uint8_t *)strdup(words),
			    sizeof(words) - 1);
}

/* What was renewed can't be written: it serves, also the next time, until somebody else writes the file. */
static void file_cant_be_written(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;

	f->svc.run = cant_write;
	fx_script(f, "{" RENEWS "," ROLE("ASIAROLE") "}");
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	for (unsigned i = 1; i <= 2; i++) {
		get(f, acc, &g);
		assert_true(g.ok);
		assert_int_equal(fx_asked(f, "CreateToken"), 1);
		assert_int_equal(fx_asked(f, "GetRoleCredentials"), i);
		aws_chain_free(acc);
	}
	assert_false(fx_logged(f, "\"bearer\": \"at-1\""));
	fx_put(f, CORP_FILE, "{\"accessToken\": \"at-3\", \"expiresAt\": \"@+3600@\"}");
	get(f, acc, &g);
	assert_true(g.ok && fx_logged(f, "\"bearer\": \"at-3\""));
	aws_account_free(acc);
}

/* Somebody logs out while the token is renewed: it is not brought back. */
static void logged_out_meanwhile(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;
	char path[256];

	fx_script(f, "{\"CreateToken\":[{\"delay\":0.2," OURS_BODY "}]}");
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	fx_path(f, CORP_FILE, path);
	ask(acc, &g);
	TURN_UNTIL(f, fx_asked(f, "CreateToken"));
	assert_int_equal(unlink(path), 0);
	TURN_UNTIL(f, g.calls);
	assert_non_null(strstr(g.error.text, "Token for corp does not exist"));
	assert_null(fx_file(f, CORP_FILE));
	aws_account_free(acc);
}

/* ---- waiting for a person ---- */

/* Looking again costs no call, however the token came to its end; a login is noticed. */
static void waits_without_calls(void **state)
{
	static const char *const scripts[] = {
		BAD,
		"{\"GetRoleCredentials\":[{\"status\":401,\"type\":\"UnauthorizedException\"}]}",
	};
	static const char *const files[] = { RENEWABLE("@-10@", "@+86400@"), TOKEN("@+3600@") };
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		unsigned changes = 0, asked;
		struct aws_account *acc = account_of(f, "dev", &changes);
		struct got g;

		run_clean(f);
		fx_put(f, CORP_FILE, files[i]);
		fx_script(f, scripts[i]);
		get(f, acc, &g);
		assert_true(g.error.person);
		asked = fx_asked(f, NULL);
		assert_int_equal(asked, 1);
		for (unsigned n = 0; n < 5; n++) {
			get(f, acc, &g);
			assert_true(g.error.person);
		}
		assert_int_equal(fx_asked(f, NULL), asked);
		assert_int_equal(changes, 0);
		fx_script(f, "{" ROLE("ASIAROLE") "}");
		fx_put(f, CORP_FILE, "{\"accessToken\": \"at-5\", \"expiresAt\": \"@+3600@\"}");
		TURN_UNTIL(f, changes);
		assert_int_equal(changes, 1);
		get(f, acc, &g);
		assert_true(g.ok);
		assert_true(fx_logged(f, "\"bearer\": \"at-5\""));
		aws_account_free(acc);
	}
}

static int writes_while_reading(void *ctx, handle *out, enum svc_job_kind kind, const void *in,
				size_t len, uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	struct fx *f = ctx;
	const int err = fx_run(ctx, out, kind, in, len, timeout_ms, done, arg);

	if (kind == SVC_AWS_READ && memmem(in, len, "/sso/", 5)) {
		f->svc.run = fx_run;
		fx_put(f, CORP_FILE, TOKEN("@+3600@"));
	}
	return err;
}

/* The login comes after the file was read and before it is watched. */
static void login_between_look_and_watch(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;

	fx_script(f, GOOD);
	f->svc.run = writes_while_reading;
	get(f, acc, &g);
	assert_true(g.error.person);
	TURN_UNTIL(f, changes);
	get(f, acc, &g);
	assert_true(g.ok);
	aws_account_free(acc);
}

/* ---- others read what we write, and we what they write ---- */

/* The AWS CLI's own file of the role: without token, without a call. */
static void cache_of_the_cli(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;

	python_says(f,
		    "import json,os\n"
		    "from botocore.credentials import SSOCredentialFetcher, JSONFileCache\n"
		    "c=SSOCredentialFetcher(\"https://corp.awsapps.com/start\",\"eu-central-1\","
		    "\"Reader\",\"111122223333\",None,sso_session_name=\"corp\","
		    "cache=JSONFileCache(os.path.expanduser(\"~/.aws/cli/cache\")))\n"
		    "c._write_to_cache({\"ProviderType\":\"sso\",\"Credentials\":{\"AccessKeyId\":"
		    "\"ASIACACHED\",\"SecretAccessKey\":\"role-secret\",\"SessionToken\":"
		    "\"role-token\",\"Expiration\":\"2100-01-01T00:00:00Z\"}})\n"
		    "print(c._cache_key)",
		    "08a861b2cc810c5ccd6dea8ea16f9f9ad44bcc2c");
	fx_script(f, "{}");
	get(f, acc, &g);
	assert_true(g.ok);
	assert_string_equal(g.key, "ASIACACHED");
	assert_int_equal(fx_asked(f, NULL), 0);
	assert_int_equal(g.expires_s, 4102444800);
	aws_account_free(acc);
}

#define LOADER                                                                                     \
	"import os\nfrom botocore.utils import SSOTokenLoader, JSONFileCache\n"                    \
	"l=SSOTokenLoader(cache=JSONFileCache(os.path.expanduser(\"~/.aws/sso/cache\")))\n"

/* A token that we have renewed, read by botocore; the role's credentials too. */
static void botocore_reads_ours(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;
	char path[256];
	struct stat st;

	fx_script(f, GOOD);
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "2098-01-01T00:00:00Z"));
	get(f, acc, &g);
	assert_true(g.ok);
	python_says(f,
		    LOADER "t=l(\"https://corp.awsapps.com/start\",session_name=\"corp\")\n"
			   "print(sorted(t), t[\"accessToken\"], t[\"refreshToken\"], "
			   "t[\"registrationExpiresAt\"], t[\"startUrl\"], t[\"region\"])",
		    "['accessToken', 'clientId', 'clientSecret', 'expiresAt', 'refreshToken', "
		    "'region', 'registrationExpiresAt', 'startUrl'] at-2 rt-2 "
		    "2098-01-01T00:00:00Z https://corp.awsapps.com/start eu-central-1");
	python_says(f,
		    "import os\nfrom botocore.session import Session\n"
		    "from botocore.credentials import JSONFileCache\n"
		    "s=Session(profile=\"dev\")\n"
		    "p=s.get_component(\"credential_provider\").get_provider(\"sso\")\n"
		    "p.cache=JSONFileCache(os.path.expanduser(\"~/.aws/cli/cache\"))\n"
		    "c=p.load().get_frozen_credentials()\n"
		    "print(c.access_key, c.secret_key, c.token)",
		    "ASIAROLE role-secret role-token");
	fx_path(f, CORP_FILE, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	aws_account_free(acc);
}

/* Tokens as botocore saves them, for a session and for a start URL. */
static void ours_reads_botocores(void **state)
{
	struct fx *f = *state;
	static const char *const profiles[] = { "dev", "old one" };

	python_says(f,
		    LOADER "import datetime\n"
			   "t={\"accessToken\":\"at-7\",\"expiresAt\":datetime.datetime.now("
			   "datetime.timezone.utc)+datetime.timedelta(hours=1)}\n"
			   "l.save_token(\"https://x\",t,session_name=\"corp\")\n"
			   "l.save_token(\"https://old.awsapps.com/start\",t)\nprint(1)",
		    "1");
	fx_script(f, GOOD);
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		unsigned changes = 0;
		struct aws_account *acc = account_of(f, profiles[i], &changes);
		struct got g;

		get(f, acc, &g);
		assert_true(g.ok);
		assert_true(fx_logged(f, "\"bearer\": \"at-7\""));
		aws_account_free(acc);
	}
}

/* ---- no secrets in the log ---- */

static void on_line(void *arg, enum log_level level, const char *line)
{
	static const char *const secrets[] = { "at-1",	  "at-2",	 "rt-1",      "rt-2",
					       "csecret", "role-secret", "role-token" };

	(void)level;
	++*(unsigned *)arg;
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		assert_null(strstr(line, secrets[i]));
}

static void log_has_no_secret(void **state)
{
	struct fx *f = *state;
	unsigned changes = 0, lines = 0;
	struct aws_account *acc = account_of(f, "dev", &changes);
	struct got g;
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_setup(LOG_TRACE, LOG_TEXT);
	log_to_fd(null);
	log_tee(on_line, &lines);
	fx_script(f, GOOD);
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	get(f, acc, &g);
	assert_true(g.ok);
	run_clean(f);
	fx_script(f, BAD);
	fx_put(f, CORP_FILE, RENEWABLE("@-10@", "@+86400@"));
	aws_chain_free(acc);
	get(f, acc, &g);
	assert_false(g.ok);
	log_tee(NULL, NULL);
	log_to_fd(-1);
	log_setup(LOG_INFO, LOG_TEXT);
	close(null);
	assert_true(lines > 10);
	aws_account_free(acc);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, sso_setup, sso_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_state),	    CASE(each_mistake),
		CASE(session_without_role), CASE(one_renewal_at_a_time),
		CASE(renewal_cut_short),    CASE(another_program_renews),
		CASE(file_cant_be_written), CASE(logged_out_meanwhile),
		CASE(waits_without_calls),  CASE(login_between_look_and_watch),
		CASE(cache_of_the_cli),	    CASE(botocore_reads_ours),
		CASE(ours_reads_botocores), CASE(log_has_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
