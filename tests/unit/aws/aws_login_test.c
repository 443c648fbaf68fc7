// SPDX-License-Identifier: MIT
/*
 * Cases: a login for a session and for a legacy profile, with what each asks, keeps and writes; the client's registration kept, too
 * old, of another grant, refused; pending, slow down, denied, expired, never decided, a network that goes away; answers that make no
 * sense, URLs that are none; a role that is not there; a file that can't be written; a role's source profile; profiles that need no
 * login, or have mistakes; freed in every state; botocore reads what was written, and names the files as we do; no secret in the log.
 */
#include "tests/unit/aws/sso_fixture.h"

#include "base/log.h"

#define CLIENT                                                                                     \
	"\"RegisterClient\":[{\"body\":{\"clientId\":\"cid\",\"clientSecret\":\"csecret\","        \
	"\"clientIdIssuedAt\":1,\"clientSecretExpiresAt\":4102444800}}]"
#define DEVICE_WITH(url_)                                                                          \
	"\"StartDeviceAuthorization\":[{\"body\":{\"deviceCode\":\"dcode\",\"userCode\":"          \
	"\"ABCD-EFGH\",\"verificationUri\":\"" url_ "\",\"verificationUriComplete\":\"" url_       \
	"?user_code=ABCD-EFGH\",\"expiresIn\":600,\"interval\":1}}]"
#define DEVICE DEVICE_WITH("https://device.sso.eu-central-1.amazonaws.com/")
#define WORD(error_) "{\"status\":400,\"body\":{\"error\":\"" error_ "\"}}"
#define TOKEN "{\"body\":{\"accessToken\":\"at-1\",\"expiresIn\":28800,\"refreshToken\":\"rt-1\"}}"
#define ROLE                                                                                       \
	"\"GetRoleCredentials\":[{\"body\":{\"roleCredentials\":{\"accessKeyId\":\"ASIAROLE\","    \
	"\"secretAccessKey\":\"role-secret\",\"sessionToken\":\"role-token\",\"expiration\":"      \
	"4102444800000}}}]"
#define SCRIPT(polls_) "{" CLIENT "," DEVICE ",\"CreateToken\":[" polls_ "]," ROLE "}"
#define GOOD SCRIPT(WORD("authorization_pending") "," TOKEN)

struct got {
	unsigned codes, calls;
	char url[256], full[256], code[64];
	bool ok;
	struct aws_error error;
	char profile[64], source[64], account[32], role[32];
	bool needed, renews;
	int64_t until_s, session_until_s;
};

static void on_code(void *arg, const struct aws_login_code *c)
{
	struct got *g = arg;

	g->codes++;
	snprintf(g->url, sizeof(g->url), "%s", c->url);
	snprintf(g->full, sizeof(g->full), "%s", c->url_with_code);
	snprintf(g->code, sizeof(g->code), "%s", c->code);
}

static void on_done(void *arg, const struct aws_error *error, const struct aws_login_result *r)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	if (error) {
		g->error = *error;
		return;
	}
	snprintf(g->profile, sizeof(g->profile), "%s", r->profile);
	snprintf(g->source, sizeof(g->source), "%s", r->source);
	snprintf(g->account, sizeof(g->account), "%s", r->account ? r->account : "-");
	snprintf(g->role, sizeof(g->role), "%s", r->role ? r->role : "-");
	g->needed = r->needed;
	g->renews = r->renews;
	g->until_s = r->until_s;
	g->session_until_s = r->session_until_s;
}

static const struct aws_login_events events = { .code = on_code, .done = on_done };

static struct aws_account *account_of(struct fx *f, const char *profile)
{
	struct aws_account *acc;

	f->aws->limits.poll_ms = 20;
	assert_int_equal(
		aws_account_new(&acc, f->aws, &(struct aws_account_opts){ .profile = profile }), 0);
	return acc;
}

static void login(struct fx *f, const char *profile, struct got *g)
{
	struct aws_account *acc = account_of(f, profile);
	struct aws_login *l;

	*g = (struct got){ 0 };
	assert_int_equal(aws_login_new(&l, acc, &events, g), 0);
	for (unsigned turns = 0; !g->calls; turns++) {
		assert_true(turns < 400);
		assert_int_equal(loop_turn(f->loop, 50), 0);
	}
	aws_login_free(l);
	aws_account_free(acc);
}

static void forget(const struct fx *f)
{
	static const char *const names[] = { ".aws/sso", ".aws/cli", "log" };
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		fx_path(f, names[i], path);
		nftw(path, fx_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
}

static void log_forget(const struct fx *f)
{
	char path[256];

	fx_path(f, "log", path);
	unlink(path);
}

/* ---- it works ---- */

/* The names as aws-cli v2's BaseSSOTokenFetcher._registration_cache_key() makes them. */
#define NAME_OF(region_, scopes_, session_, url_)                                                  \
	"import hashlib,json\nprint(hashlib.sha1(json.dumps({\"tool\":\"botocore\",\"startUrl\":"  \
	"\"" url_ "\",\"region\":\"" region_ "\",\"scopes\":" scopes_                              \
	",\"session_name\":" session_ "},sort_keys=True).encode()).hexdigest())"
#define CORP_CLIENT "39ca6f53d80d0203cc2c02175ccb959c1f9617fa"
#define OLD_CLIENT "7ec99555f7262444b173b1e48e0a30c50466e406"

static void session_profile(void **state)
{
	struct fx *f = *state;
	struct got g;
	char *client;
	char path[256];
	struct stat st;
	const int64_t now_s = (int64_t)time(NULL);

	fx_script(f, GOOD);
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_int_equal(g.codes, 1);
	assert_string_equal(g.url, "https://device.sso.eu-central-1.amazonaws.com/");
	assert_string_equal(g.full,
			    "https://device.sso.eu-central-1.amazonaws.com/?user_code=ABCD-EFGH");
	assert_string_equal(g.code, "ABCD-EFGH");
	assert_string_equal(g.profile, "dev");
	assert_string_equal(g.source, "sso");
	assert_string_equal(g.account, "111122223333");
	assert_string_equal(g.role, "Reader");
	assert_true(g.needed && g.renews);
	assert_int_equal(g.until_s, 4102444800);
	assert_true(g.session_until_s >= now_s + 28800 && g.session_until_s < now_s + 28830);
	assert_true(fx_logged(f, "\"scopes\": [\"sso:account:access\", \"other\"]"));
	assert_true(fx_logged(f, "\"clientName\": \"ssm-tun-corp\""));
	assert_true(fx_logged(f, "\"startUrl\": \"https://corp.awsapps.com/start\""));
	assert_true(
		fx_logged(f, "\"grantType\": \"urn:ietf:params:oauth:grant-type:device_code\""));
	assert_true(fx_logged(f, "\"bearer\": \"at-1\""));
	assert_false(fx_logged(f, "\"signed\": true"));
	python_says(f,
		    NAME_OF("eu-central-1", "[\"sso:account:access\",\"other\"]", "\"corp\"",
			    "https://corp.awsapps.com/start"),
		    CORP_CLIENT);
	client = fx_file(f, ".aws/sso/cache/" CORP_CLIENT ".json");
	assert_string_equal(client, "{\"clientId\": \"cid\", \"clientSecret\": \"csecret\", "
				    "\"expiresAt\": \"2100-01-01T00:00:00Z\", \"scopes\": "
				    "[\"sso:account:access\", \"other\"]}");
	free(client);
	fx_path(f, CORP_FILE, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	python_says(f,
		    "import os\nfrom botocore.utils import SSOTokenLoader, JSONFileCache\n"
		    "l=SSOTokenLoader(cache=JSONFileCache(os.path.expanduser(\"~/.aws/sso/"
		    "cache\")))\n"
		    "t=l(\"https://corp.awsapps.com/start\",session_name=\"corp\")\n"
		    "print(sorted(t), t[\"accessToken\"], t[\"refreshToken\"], "
		    "t[\"registrationExpiresAt\"], t[\"startUrl\"], t[\"region\"])",
		    "['accessToken', 'clientId', 'clientSecret', 'expiresAt', 'refreshToken', "
		    "'region', 'registrationExpiresAt', 'startUrl'] at-1 rt-1 "
		    "2100-01-01T00:00:00Z https://corp.awsapps.com/start eu-central-1");
	/* once more: the client is kept */
	log_forget(f);
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_int_equal(fx_asked(f, "RegisterClient"), 0);
	assert_int_equal(fx_asked(f, "CreateToken"), 1);
}

/* No scopes: they are not asked for, and there is nothing to renew with. */
static void legacy_profile(void **state)
{
	struct fx *f = *state;
	struct got g;
	char *client;

	fx_script(f, SCRIPT("{\"body\":{\"accessToken\":\"at-1\",\"expiresIn\":28800}}"));
	login(f, "old one", &g);
	assert_true(g.ok);
	assert_string_equal(g.account, "444455556666");
	assert_false(g.renews);
	assert_false(fx_logged(f, "scopes"));
	python_says(f, NAME_OF("us-east-1", "None", "None", "https://old.awsapps.com/start"),
		    OLD_CLIENT);
	client = fx_file(f, ".aws/sso/cache/" OLD_CLIENT ".json");
	assert_string_equal(client, "{\"clientId\": \"cid\", \"clientSecret\": \"csecret\", "
				    "\"expiresAt\": \"2100-01-01T00:00:00Z\"}");
	free(client);
	python_says(f,
		    "import os\nfrom botocore.utils import SSOTokenLoader, JSONFileCache\n"
		    "l=SSOTokenLoader(cache=JSONFileCache(os.path.expanduser(\"~/.aws/sso/"
		    "cache\")))\nprint(l(\"https://old.awsapps.com/start\")[\"accessToken\"])",
		    "at-1");
}

/* A session that names no scopes gets the one that a refresh token needs; its file is named as the AWS CLI names it. */
static void session_without_scopes(void **state)
{
	struct fx *f = *state;
	struct got g;

	fx_write(f, "config",
		 "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n"
		 "sso_region = eu-central-1\n[profile dev]\nsso_session = corp\n");
	fx_script(f, GOOD);
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_string_equal(g.account, "-"); /* nothing to prove */
	assert_int_equal(fx_asked(f, "GetRoleCredentials"), 0);
	assert_true(fx_logged(f, "\"scopes\": [\"sso:account:access\"]"));
	assert_true(g.renews);
}

/* ---- the client's registration ---- */

static const struct {
	const char *name, *client;
	unsigned registered;
} clients[] = {
	{ "kept", "{\"clientId\": \"kept\", \"clientSecret\": \"s\", \"expiresAt\": \"@+86400@\"}",
	  0 },
	{ "ends soon",
	  "{\"clientId\": \"kept\", \"clientSecret\": \"s\", \"expiresAt\": \"@+600@\"}", 1 },
	{ "of the code grant",
	  "{\"clientId\": \"kept\", \"clientSecret\": \"s\", \"expiresAt\": \"@+86400@\", "
	  "\"grantTypes\": [\"authorization_code\", \"refresh_token\"]}",
	  1 },
	{ "malformed", "{\"clientId\": ", 1 },
	{ "wrong types", "{\"clientId\": 1, \"clientSecret\": [], \"expiresAt\": {}}", 1 },
};

static void each_client(void **state)
{
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct got g;

		print_message("    %s\n", clients[i].name);
		forget(f);
		fx_put(f, ".aws/sso/cache/" CORP_CLIENT ".json", clients[i].client);
		fx_script(f, GOOD);
		login(f, "dev", &g);
		assert_true(g.ok);
		assert_int_equal(fx_asked(f, "RegisterClient"), clients[i].registered);
		assert_true(fx_logged(f, clients[i].registered ? "\"clientId\": \"cid\""
							       : "\"clientId\": \"kept\""));
	}
}

/* One that the service no longer knows is registered anew, once. */
static void client_refused(void **state)
{
	struct fx *f = *state;
	struct got g;

	fx_put(f, ".aws/sso/cache/" CORP_CLIENT ".json",
	       "{\"clientId\": \"kept\", \"clientSecret\": \"s\", \"expiresAt\": \"@+86400@\"}");
	fx_script(f,
		  "{" CLIENT ",\"StartDeviceAuthorization\":[{\"status\":401,\"body\":{\"error\":"
		  "\"invalid_client\"}},{\"body\":{\"deviceCode\":\"d\",\"userCode\":\"AB\","
		  "\"verificationUri\":\"https://a/\",\"verificationUriComplete\":\"https://a/"
		  "?x\",\"expiresIn\":600}}],\"CreateToken\":[" TOKEN "]," ROLE "}");
	f->aws->limits.poll_ms = 5;
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_int_equal(fx_asked(f, "RegisterClient"), 1);
	forget(f);
	fx_script(f,
		  "{" CLIENT ",\"StartDeviceAuthorization\":[{\"status\":400,\"body\":{\"error\":"
		  "\"invalid_request\",\"error_description\":\"Invalid start url provided\"}}]}");
	login(f, "dev", &g);
	assert_false(g.ok);
	assert_non_null(strstr(g.error.text, "Invalid start url provided"));
	assert_int_equal(fx_asked(f, "RegisterClient"), 1);
}

/* ---- what may come ---- */

static const struct {
	const char *name, *script;
	int err;
	const char *text;
	unsigned polls;
} ends[] = {
	{ "denied", SCRIPT(WORD("access_denied")), ST_EPERM, "refused in the browser", 1 },
	{ "expired", SCRIPT(WORD("authorization_pending") "," WORD("expired_token")), ST_ETIMEOUT,
	  "must be restarted", 2 },
	{ "expired, by its exception alone",
	  SCRIPT("{\"status\":400,\"type\":\"ExpiredTokenException\"}"), ST_ETIMEOUT,
	  "must be restarted", 1 },
	{ "an invalid grant", SCRIPT(WORD("invalid_grant")), ST_EAUTH, "InvalidGrantException", 1 },
	{ "a token that is none", SCRIPT("{\"body\":{\"accessToken\":\"a b\",\"expiresIn\":10}}"),
	  ST_EPEER, "CreateToken makes no sense", 1 },
	{ "a life that is none", SCRIPT("{\"body\":{\"accessToken\":\"ab\",\"expiresIn\":-1}}"),
	  ST_EPEER, "CreateToken makes no sense", 1 },
	{ "no client", "{\"RegisterClient\":[{\"body\":{}}]}", ST_EPEER,
	  "RegisterClient makes no sense", 0 },
	{ "registration refused",
	  "{\"RegisterClient\":[{\"status\":400,\"body\":{\"error\":\"invalid_scope\"}}]}",
	  ST_EPEER, "InvalidScopeException", 0 },
	{ "no device", "{" CLIENT ",\"StartDeviceAuthorization\":[{\"body\":{}}]}", ST_EPEER,
	  "StartDeviceAuthorization makes no sense", 0 },
	{ "a URL that is a script", "{" CLIENT "," DEVICE_WITH("javascript:alert(1)") "}", ST_EPEER,
	  "StartDeviceAuthorization makes no sense", 0 },
	{ "a URL that moves the cursor", "{" CLIENT "," DEVICE_WITH("https://a/\\u001b[2J") "}",
	  ST_EPEER, "StartDeviceAuthorization makes no sense", 0 },
	{ "a URL in the clear", "{" CLIENT "," DEVICE_WITH("http://a/") "}", ST_EPEER,
	  "StartDeviceAuthorization makes no sense", 0 },
	{ "no such role",
	  "{" CLIENT "," DEVICE ",\"CreateToken\":[" TOKEN
	  "],\"GetRoleCredentials\":[{\"status\":403,\"type\":\"ForbiddenException\",\"body\":"
	  "{\"message\":\"No access\"}}]}",
	  ST_EAUTH, "No access", 1 },
	{ "credentials that are none",
	  "{" CLIENT "," DEVICE ",\"CreateToken\":[" TOKEN
	  "],\"GetRoleCredentials\":[{\"body\":{\"roleCredentials\":7}}]}",
	  ST_EPEER, "GetRoleCredentials makes no sense", 1 },
};

static void each_end(void **state)
{
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct got g;

		print_message("    %s\n", ends[i].name);
		forget(f);
		fx_script(f, ends[i].script);
		login(f, "dev", &g);
		assert_false(g.ok);
		if (g.error.err != ends[i].err || !strstr(g.error.text, ends[i].text))
			fail_msg("%s: %s", st_errname(g.error.err), g.error.text);
		assert_int_equal(fx_asked(f, "CreateToken"), ends[i].polls);
	}
}

/* Each "slow down" makes the interval 5 s longer: here 1, 1, 6, 11 units. */
static void slower_and_slower(void **state)
{
	struct fx *f = *state;
	const uint64_t unit_ms = 20, t = loop_now_ms(f->loop);
	struct got g;

	fx_script(f, SCRIPT(WORD("authorization_pending") "," WORD("slow_down") "," WORD(
			     "slow_down") "," TOKEN));
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_int_equal(fx_asked(f, "CreateToken"), 4);
	assert_true(loop_now_ms(f->loop) - t >= 19 * unit_ms);
}

/* Nobody decides, and the service never says that the code is over: its life is. */
static void never_decided(void **state)
{
	struct fx *f = *state;
	struct got g;

	fx_script(f,
		  "{" CLIENT ",\"StartDeviceAuthorization\":[{\"body\":{\"deviceCode\":\"d\","
		  "\"userCode\":\"AB\",\"verificationUri\":\"https://a/\","
		  "\"verificationUriComplete\":\"https://a/?x\",\"expiresIn\":5,\"interval\":1}}],"
		  "\"CreateToken\":[" WORD("authorization_pending") "]}");
	login(f, "dev", &g);
	assert_false(g.ok);
	assert_int_equal(g.error.err, ST_ETIMEOUT);
	assert_true(fx_asked(f, "CreateToken") >= 2 && fx_asked(f, "CreateToken") <= 5);
}

/* The service is ill for a while: the person is not asked again. */
static void service_is_ill_meanwhile(void **state)
{
	struct fx *f = *state;
	struct got g;

	fx_script(f, SCRIPT("{\"status\":500},{\"status\":500},{\"status\":500},{\"status\":503},"
			    "" TOKEN));
	login(f, "dev", &g);
	assert_true(g.ok);
	assert_int_equal(g.codes, 1);
}

static int cant_write(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		      uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	static const char words[] = "Permission denied";

	if (kind != SVC_AWS_WRITE)
		return fx_run(ctx, out, kind, in, len, timeout_ms, done, arg);
	return fx_later_add(ctx, out, done, arg, ST_EPERM, (uint8_t *)strdup(words),
			    sizeof(words) - 1);
}

static void file_cant_be_written(void **state)
{
	struct fx *f = *state;
	struct got g;

	f->svc.run = cant_write;
	fx_script(f, GOOD);
	login(f, "dev", &g);
	assert_false(g.ok);
	assert_int_equal(g.error.err, ST_EPERM);
	assert_non_null(strstr(g.error.text, "can't be written to"));
	assert_non_null(strstr(g.error.text, "Permission denied"));
	assert_non_null(strstr(g.error.hint, "~/.aws/sso/cache"));
}

/* ---- other profiles ---- */

static void role_above_sso(void **state)
{
	struct fx *f = *state;
	struct got g;

	fx_write(f, "config",
		 SSO_CONFIG "[profile top]\nrole_arn = arn:aws:iam::1:role/x\n"
			    "source_profile = mid\n[profile mid]\n"
			    "role_arn = arn:aws:iam::1:role/y\nsource_profile = dev\n");
	fx_script(f, GOOD);
	login(f, "top", &g);
	assert_true(g.ok);
	assert_string_equal(g.profile, "dev");
}

static const struct {
	const char *config, *creds;
	bool ok;
	const char *words; /* source, or the error's text */
} others[] = {
	{ "[profile x]\n", "[x]\naws_access_key_id = AKID\naws_secret_access_key = s\n", true,
	  "shared-credentials-file" },
	{ "[profile x]\naws_access_key_id = AKID\naws_secret_access_key = s\n", "", true,
	  "config-file" },
	{ "[profile x]\nregion = eu-west-1\n", "", false, "Unable to locate credentials" },
	{ "[profile y]\n", "", false, "The config profile (x) could not be found" },
	{ "[profile x]\nsso_session = no\n", "", false, "sso-session does not exist" },
	{ "[profile x]\nsso_start_url = https://a\n", "", false,
	  "missing required configuration: sso_region" },
};

static void each_other(void **state)
{
	struct fx *f = *state;

	fx_script(f, "{}");
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct got g;

		fx_write(f, "config", others[i].config);
		fx_write(f, "credentials", others[i].creds);
		login(f, "x", &g);
		assert_int_equal(g.ok, others[i].ok);
		if (g.ok) {
			assert_string_equal(g.source, others[i].words);
			assert_string_equal(g.profile, "x");
			assert_false(g.needed);
		} else {
			if (!strstr(g.error.text, others[i].words))
				fail_msg("%s", g.error.text);
			assert_non_null(strstr(g.error.hint, i == 2 ? "sso_start_url" : ""));
		}
		assert_int_equal(fx_asked(f, NULL), 0);
	}
}

/* ---- broken off ---- */

/* After each of so many turns: nothing is called, nothing is left. */
static void freed_in_every_state(void **state)
{
	struct fx *f = *state;
	unsigned finished = 0;

	fx_script(f, GOOD);
	for (unsigned n = 0; !finished; n++) {
		struct aws_account *acc = account_of(f, "dev");
		struct aws_login *l;
		struct got g = { 0 };

		forget(f);
		assert_true(n < 200);
		assert_int_equal(aws_login_new(&l, acc, &events, &g), 0);
		for (unsigned i = 0; i < n && !g.calls; i++)
			assert_int_equal(loop_turn(f->loop, 50), 0);
		finished = g.calls;
		aws_login_free(l);
		g.calls = 0;
		assert_int_equal(loop_turn(f->loop, 0), 0);
		assert_int_equal(g.calls, 0);
		aws_account_free(acc);
	}
}

static void on_line(void *arg, enum log_level level, const char *line)
{
	static const char *const secrets[] = { "at-1",	"rt-1",	       "csecret",
					       "dcode", "role-secret", "role-token" };

	(void)level;
	++*(unsigned *)arg;
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		assert_null(strstr(line, secrets[i]));
}

static void log_has_no_secret(void **state)
{
	struct fx *f = *state;
	unsigned lines = 0;
	struct got g;
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fx_script(f, GOOD);
	log_setup(LOG_TRACE, LOG_TEXT);
	log_to_fd(null);
	log_tee(on_line, &lines);
	login(f, "dev", &g);
	log_tee(NULL, NULL);
	log_to_fd(-1);
	log_setup(LOG_INFO, LOG_TEXT);
	close(null);
	assert_true(g.ok);
	assert_true(lines > 10);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, sso_setup, sso_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(session_profile),	    CASE(legacy_profile),    CASE(session_without_scopes),
		CASE(each_client),	    CASE(client_refused),    CASE(each_end),
		CASE(slower_and_slower),    CASE(never_decided),     CASE(service_is_ill_meanwhile),
		CASE(file_cant_be_written), CASE(role_above_sso),    CASE(each_other),
		CASE(freed_in_every_state), CASE(log_has_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
