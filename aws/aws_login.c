// SPDX-License-Identifier: MIT
/*
 * aws_login.c - a person logs in: the device authorization of RFC 8628 for SSO, a walk through the chain for all else
 *
 * Theory of operation: one state machine, each state with one job or call under way. A client is registered with SSO-OIDC once
 * and kept in ~/.aws/sso/cache under the name that the AWS CLI gives it; one of the CLI's own for another grant can't
 * be used here. The person is told a URL and a code; CreateToken is asked at the service's interval until they have decided. The token
 * goes to the file that everybody reads, and is tried at once, so that a role that is not there is told now and not later.
 *
 *   beginning ──▶ looking ──▶ registering ──▶ keeping ──▶ authorizing ──▶ waiting ⇄ polling ──▶ writing ──▶ proving ──▶ over
 *   beginning ──▶ walking ──▶ over        each ──▶ over
 * Source: aws-cli v2 awscli/botocore/utils.py SSOTokenFetcher; RFC 8628, 3.5
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_sso.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define DEVICE_GRANT "urn:ietf:params:oauth:grant-type:device_code"
#define DEFAULT_SCOPE                                                                              \
	"sso:account:access"   /* what a refresh token needs; aws-cli v2 SSOTokenFetcherAuth */
#define CLIENT_MIN_S 900       /* aws-cli v2 BaseSSOTokenFetcher._EXPIRY_WINDOW */
#define INTERVAL_S 5	       /* RFC 8628, 3.2 */
#define INTERVAL_MAX_S 120     /* ours */
#define SLOW_DOWN_S 5	       /* RFC 8628, 3.5 */
#define DEVICE_LIFE_MAX_S 3600 /* ours: the service says 600 */
#define SCOPES_MAX 32U	       /* ours */
#define JOB_MS 5000U	       /* ours */

enum state {
	LOGIN_BEGINNING,
	LOGIN_LOOKING, /* for the client's registration */
	LOGIN_REGISTERING,
	LOGIN_KEEPING, /* the registration is written */
	LOGIN_AUTHORIZING,
	LOGIN_WAITING, /* for the next poll */
	LOGIN_POLLING,
	LOGIN_WRITING, /* the token */
	LOGIN_PROVING,
	LOGIN_WALKING, /* no SSO: the chain is */
	LOGIN_OVER,
	LOGIN_STATE_N
};

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[LOGIN_BEGINNING] = { "beginning", BIT(LOGIN_LOOKING) | BIT(LOGIN_WALKING) },
	[LOGIN_LOOKING] = { "looking", BIT(LOGIN_REGISTERING) | BIT(LOGIN_AUTHORIZING) },
	[LOGIN_REGISTERING] = { "registering", BIT(LOGIN_KEEPING) },
	[LOGIN_KEEPING] = { "keeping", BIT(LOGIN_AUTHORIZING) },
	[LOGIN_AUTHORIZING] = { "authorizing", BIT(LOGIN_WAITING) | BIT(LOGIN_REGISTERING) },
	[LOGIN_WAITING] = { "waiting", BIT(LOGIN_POLLING) },
	[LOGIN_POLLING] = { "polling", BIT(LOGIN_WAITING) | BIT(LOGIN_WRITING) },
	[LOGIN_WRITING] = { "writing", BIT(LOGIN_PROVING) },
	[LOGIN_PROVING] = { "proving", 0 },
	[LOGIN_WALKING] = { "walking", 0 },
	[LOGIN_OVER] = { "over", 0 },
};
static_assert(ARRAY_LEN(states) == LOGIN_STATE_N, "states[] and enum state differ");

struct aws_login {
	struct aws_account *acc;
	const struct aws_login_events *events;
	void *arg;
	enum state state;
	struct loop_timer timer;
	handle job, wait;
	aws_call call;
	struct aws_profile files, profile; /* profile: a view of files */
	struct aws_sso sso;		   /* path NULL: it is none */
	bool mfa;
	char *client_path;
	json_t *client; /* clientId, clientSecret, expiresAt, … */
	bool client_is_new;
	json_t *device;
	uint32_t interval_s;
	uint64_t until_ms;
	struct aws_sso_token token;
};

static void set_state(struct aws_login *l, enum state to)
{
	if (!((states[l->state].next | BIT(LOGIN_OVER)) & BIT(to)))
		ST_BUG("aws login: %s -> %s", states[l->state].name, states[to].name);
	log_trace("aws: login: %s -> %s", states[l->state].name, states[to].name);
	l->state = to;
}

static void finish(struct aws_login *l, const struct aws_error *error,
		   const struct aws_login_result *r)
{
	set_state(l, LOGIN_OVER);
	loop_timer_cancel(l->acc->aws->loop, &l->timer);
	l->events->done(l->arg, error, r);
}

static void fail_err(struct aws_login *l, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "%s", st_strerror(err));
	finish(l, &error, NULL);
}

/* A refusal by SSO-OIDC: to log in is no advice here. */
static void fail_call(struct aws_login *l, const struct aws_error *error)
{
	struct aws_error own = *error;

	if (own.http_status)
		own.hint[0] = '\0';
	finish(l, &own, NULL);
}

static void fail_nonsense(struct aws_login *l, enum aws_op op)
{
	struct aws_error error;

	aws_error_set(&error, ST_EPEER, "the answer to %s makes no sense", aws_ops[op].name);
	finish(l, &error, NULL);
}

/* One call of SSO-OIDC in the region of SSO; takes @params. */
static void ask(struct aws_login *l, enum aws_op op, json_t *params, aws_answer_fn *done)
{
	const struct aws_as as = { .region = l->sso.region };
	int err = aws_ask_as(l->acc, &l->call, op, params, NULL, &as, done, l);

	if (err < 0) {
		l->call = 0;
		fail_err(l, err);
	}
}

/* ---- the proof ---- */

static void succeed(struct aws_login *l, int64_t until_s)
{
	const struct aws_login_result r = {
		.profile = l->sso.profile,
		.source = "sso",
		.needed = true,
		.account = l->sso.account,
		.role = l->sso.role,
		.until_s = until_s,
		.session_until_s = l->token.expires_s,
		.renews = l->sso.session && aws_text(l->token.json, "refreshToken"),
	};

	finish(l, NULL, &r);
}

static void on_proved(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_login *l = arg;
	json_t *response;
	struct aws_creds c;
	struct aws_error own;
	int64_t until_s;

	l->call = 0;
	if (error) {
		own = *error;
		aws_sso_role_error(&own, &l->sso);
		finish(l, &own, NULL);
		return;
	}
	response = aws_sso_response(&l->sso, answer);
	if (aws_creds_from_response(&c, response) < 0) {
		json_decref(response);
		fail_nonsense(l, AWS_GET_ROLE_CREDENTIALS);
		return;
	}
	json_decref(response);
	until_s = c.expires_s;
	aws_creds_wipe(&c);
	succeed(l, until_s);
}

static void prove(struct aws_login *l)
{
	int err;

	set_state(l, LOGIN_PROVING);
	if (!l->sso.account || !l->sso.role) {
		succeed(l, 0);
		return;
	}
	if ((err = aws_sso_role_ask(l->acc, &l->call, &l->sso, &l->token, on_proved, l)) < 0) {
		l->call = 0;
		fail_err(l, err);
	}
}

/* ---- the token ---- */

static void on_written(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_login *l = arg;
	struct aws_error error;

	l->job = 0;
	if (err == 0) {
		prove(l);
		return;
	}
	aws_error_set(&error, err, "the token can't be written to %s: %s", text_safe(l->sso.path).s,
		      len ? text_safe_n(out, len).s : st_strerror(err));
	aws_error_hint(&error, "is ~/.aws/sso/cache yours? (sudo aws leaves folders of root's)");
	finish(l, &error, NULL);
}

static void token_write(struct aws_login *l, const json_t *answer)
{
	int err = aws_sso_token_made(&l->token, &l->sso, l->client, "expiresAt", answer);

	if (err < 0) {
		fail_nonsense(l, AWS_CREATE_TOKEN);
		return;
	}
	set_state(l, LOGIN_WRITING);
	err = aws_sso_write(l->acc->aws, &l->job, l->sso.path, l->token.json, on_written, l);
	if (err < 0)
		on_written(l, err, NULL, 0);
}

/* ---- polling ---- */

static void code_expired(struct aws_login *l)
{
	struct aws_error error;

	aws_error_set(&error, ST_ETIMEOUT,
		      "The pending authorization to retrieve an SSO token has expired. The login "
		      "flow to retrieve an SSO token must be restarted.");
	finish(l, &error, NULL);
}

static void poll_later(struct aws_login *l)
{
	struct loop *loop = l->acc->aws->loop;
	const uint64_t at_ms = loop_now_ms(loop) +
			       (uint64_t)l->interval_s * l->acc->aws->limits.poll_ms;

	set_state(l, LOGIN_WAITING);
	if (at_ms > l->until_ms)
		code_expired(l);
	else if (loop_timer_set(loop, &l->timer, at_ms) < 0)
		fail_err(l, ST_ENOMEM);
}

static void slow_down(struct aws_login *l)
{
	l->interval_s = MIN(l->interval_s + SLOW_DOWN_S, (uint32_t)INTERVAL_MAX_S);
	poll_later(l);
}

static void denied(struct aws_login *l)
{
	struct aws_error error;

	aws_error_set(&error, ST_EPERM, "the login was refused in the browser");
	finish(l, &error, NULL);
}

/* The service's words for what a person has not yet done; RFC 8628, 3.5 */
static const struct {
	const char *code, *exception;
	void (*act)(struct aws_login *l);
} words[] = {
	{ "authorization_pending", "AuthorizationPendingException", poll_later },
	{ "slow_down", "SlowDownException", slow_down },
	{ "expired_token", "ExpiredTokenException", code_expired },
	{ "access_denied", "AccessDeniedException", denied },
};

static void on_polled(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_login *l = arg;

	l->call = 0;
	if (!error) {
		token_write(l, answer);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(error->code, words[i].code) == 0 ||
		    strcmp(error->code, words[i].exception) == 0) {
			words[i].act(l);
			return;
		}
	if (error->retryable) { /* a network that is away for a moment: the person is busy anyway */
		log_warn("aws: %s; asked again in %u s", error->text, l->interval_s);
		poll_later(l);
	} else {
		fail_call(l, error);
	}
}

static void on_poll(struct aws_login *l)
{
	set_state(l, LOGIN_POLLING);
	ask(l, AWS_CREATE_TOKEN,
	    json_pack("{s:s, s:O, s:O, s:O}", "grantType", DEVICE_GRANT, "clientId",
		      json_object_get(l->client, "clientId"), "clientSecret",
		      json_object_get(l->client, "clientSecret"), "deviceCode",
		      json_object_get(l->device, "deviceCode")),
	    on_polled);
}

/* ---- the code ---- */

static bool is_plain(const char *s, size_t max)
{
	size_t n = 0;

	for (; s && s[n] >= 0x21 && s[n] <= 0x7e; n++)
		;
	return s && n > 0 && n <= max && !s[n];
}

static bool is_url(const char *s)
{
	return is_plain(s, 2048) && strncmp(s, "https://", 8) == 0;
}

/* Return: the member's value within @min and @max; @otherwise if it is absent */
static uint32_t number(const json_t *o, const char *key, uint32_t min, uint32_t max,
		       uint32_t otherwise)
{
	const json_t *v = json_object_get(o, key);
	const json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return otherwise;
	return n < min ? min : n > max ? max : (uint32_t)n;
}

static void code_tell(struct aws_login *l)
{
	const struct aws_login_code c = {
		.url = aws_text(l->device, "verificationUri"),
		.url_with_code = aws_text(l->device, "verificationUriComplete"),
		.code = aws_text(l->device, "userCode"),
		.expires_s = number(l->device, "expiresIn", 0, DEVICE_LIFE_MAX_S, 600),
	};

	if (!is_url(c.url) || !is_url(c.url_with_code) || !is_plain(c.code, 64) ||
	    !aws_text(l->device, "deviceCode")) {
		fail_nonsense(l, AWS_START_DEVICE_AUTHORIZATION);
		return;
	}
	l->interval_s = number(l->device, "interval", 1, INTERVAL_MAX_S, INTERVAL_S);
	l->until_ms = loop_now_ms(l->acc->aws->loop) +
		      (uint64_t)c.expires_s * l->acc->aws->limits.poll_ms;
	l->events->code(l->arg, &c);
	poll_later(l);
}

static void client_register(struct aws_login *l);

static void on_authorized(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_login *l = arg;

	l->call = 0;
	if (!error) {
		l->device = json_incref(answer);
		code_tell(l);
	} else if (!l->client_is_new && error->http_status && !error->retryable) {
		log_debug("aws: the kept client is of no use: %s", error->text);
		client_register(l);
	} else {
		fail_call(l, error);
	}
}

static void authorize(struct aws_login *l)
{
	set_state(l, LOGIN_AUTHORIZING);
	ask(l, AWS_START_DEVICE_AUTHORIZATION,
	    json_pack("{s:O, s:O, s:s}", "clientId", json_object_get(l->client, "clientId"),
		      "clientSecret", json_object_get(l->client, "clientSecret"), "startUrl",
		      l->sso.start_url),
	    on_authorized);
}

/* ---- the client ---- */

/* "a, b" as a list; NULL: none, as JSON's null */
static json_t *scopes_of(const struct aws_sso *s)
{
	json_t *list = s->scopes ? json_array() : json_null();
	char *own = s->scopes ? strdup(s->scopes) : NULL, *rest = own, *word;

	while (own && (word = strsep(&rest, ",")) && json_array_size(list) < SCOPES_MAX) {
		size_t len;

		word += strspn(word, " \t\r\n");
		len = strlen(word);
		while (len && strchr(" \t\r\n", word[len - 1]))
			word[--len] = '\0';
		if (*word)
			json_array_append_new(list, json_string(word));
	}
	free(own);
	return list;
}

/* A list that is empty is as good as none to the AWS CLI, but not in the file's name. */
static json_t *scopes_asked(const struct aws_sso *s)
{
	json_t *list = scopes_of(s);

	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	return s->session ? json_pack("[s]", DEFAULT_SCOPE) : NULL;
}

static char *client_path_of(const struct aws_login *l)
{
	const struct aws_sso *s = &l->sso;
	json_t *args = json_pack("{s:s, s:s, s:s, s:o, s:s?}", "tool", "botocore", "startUrl",
				 s->start_url, "region", s->region, "scopes", scopes_of(s),
				 "session_name", s->session);
	char name[AWS_JSON_NAME_LEN];
	const int err = args ? aws_json_name(name, args, false) : ST_ENOMEM;

	json_decref(args);
	return err < 0 ? NULL : aws_sso_file(l->acc->aws, name);
}

static void on_client_kept(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_login *l = arg;

	l->job = 0;
	if (err < 0)
		log_warn("aws: the client's registration can't be written to %s: %s",
			 text_safe(l->client_path).s,
			 len ? text_safe_n(out, len).s : st_strerror(err));
	authorize(l);
}

static void on_registered(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_login *l = arg;
	const json_int_t end_s =
		json_integer_value(json_object_get(answer, "clientSecretExpiresAt"));
	char end[AWS_TIME_STR];
	int err;

	l->call = 0;
	if (error) {
		fail_call(l, error);
		return;
	}
	json_decref(l->client);
	l->client = json_pack("{s:s*, s:s*, s:s, s:o*}", "clientId", aws_text(answer, "clientId"),
			      "clientSecret", aws_text(answer, "clientSecret"), "expiresAt",
			      aws_time_print(end, end_s), "scopes", scopes_asked(&l->sso));
	if (!aws_text(l->client, "clientId") || !aws_text(l->client, "clientSecret") ||
	    end_s <= 0) {
		fail_nonsense(l, AWS_REGISTER_CLIENT);
		return;
	}
	l->client_is_new = true;
	set_state(l, LOGIN_KEEPING);
	err = aws_sso_write(l->acc->aws, &l->job, l->client_path, l->client, on_client_kept, l);
	if (err < 0)
		on_client_kept(l, err, NULL, 0);
}

/* The name is what an administrator finds in the audit log. */
static void client_register(struct aws_login *l)
{
	char name[128], number_text[24];

	snprintf(number_text, sizeof(number_text), "%lld", (long long)time(NULL));
	snprintf(name, sizeof(name), "ssm-tun-%.64s",
		 l->sso.session ? text_safe(l->sso.session).s : number_text);
	set_state(l, LOGIN_REGISTERING);
	ask(l, AWS_REGISTER_CLIENT,
	    json_pack("{s:s, s:s, s:o*}", "clientName", name, "clientType", "public", "scopes",
		      scopes_asked(&l->sso)),
	    on_registered);
}

static bool is_for_code_grant(const json_t *client)
{
	size_t i;
	json_t *grant;

	json_array_foreach(json_object_get(client, "grantTypes"), i, grant)
	{
		const char *name = json_string_value(grant);

		if (name && strcmp(name, "authorization_code") == 0)
			return true;
	}
	return false;
}

static bool client_is_usable(const json_t *client)
{
	const char *end = aws_text(client, "expiresAt");
	int64_t end_s;

	return aws_text(client, "clientId") && aws_text(client, "clientSecret") && end &&
	       aws_time_parse(&end_s, end) == 0 && end_s - (int64_t)time(NULL) >= CLIENT_MIN_S &&
	       !is_for_code_grant(client);
}

static void on_client(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_login *l = arg;

	l->job = 0;
	if (err == 0 && len > sizeof(uint32_t))
		l->client = json_loadb((const char *)out + sizeof(uint32_t), len - sizeof(uint32_t),
				       0, NULL);
	if (client_is_usable(l->client))
		authorize(l);
	else
		client_register(l);
}

static void client_look(struct aws_login *l)
{
	const struct svc *svc = l->acc->aws->svc;
	int err;

	set_state(l, LOGIN_LOOKING);
	if (!(l->client_path = client_path_of(l))) {
		fail_err(l, ST_ENOMEM);
		return;
	}
	err = svc->run(svc->ctx, &l->job, SVC_AWS_READ, l->client_path, strlen(l->client_path),
		       JOB_MS, on_client, l);
	if (err < 0)
		on_client(l, err, NULL, 0);
}

/* ---- no SSO ---- */

static void fail_walk(struct aws_login *l, const struct aws_error *error)
{
	struct aws_error own = *error;

	if (own.person && !own.http_status && !l->mfa)
		aws_error_hint(&own,
			       "there is nothing to log in to: profile %s has no sso_session, no "
			       "sso_start_url and no role with mfa_serial; see: aws configure sso",
			       text_safe(l->files.name).s);
	finish(l, &own, NULL);
}

static void on_walked(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct aws_login *l = arg;
	struct aws_login_result r = { .needed = l->mfa };

	l->wait = 0;
	if (error) {
		fail_walk(l, error);
		return;
	}
	r.profile = l->files.name;
	r.source = c->source;
	r.until_s = c->expires_s;
	finish(l, NULL, &r);
}

static void walk(struct aws_login *l)
{
	int err;

	set_state(l, LOGIN_WALKING);
	if ((err = aws_chain_get(l->acc, &l->wait, NULL, on_walked, l)) < 0) {
		l->wait = 0;
		fail_err(l, err);
	}
}

/* ---- what kind of profile it is ---- */

/* Itself, or below a role, and below that one. Return: as aws_sso_find() */
static int sso_find(struct aws_login *l, struct aws_error *error)
{
	const struct aws *a = l->acc->aws;
	const char *name = l->files.name;

	for (unsigned i = 0; i <= AWS_ROLES_MAX; i++) {
		const bool is_role = aws_profile_get(&l->profile, "role_arn") != NULL;
		const char *below = aws_profile_get(&l->profile, "source_profile");
		int err = is_role && below ? ST_ENOENT
					   : aws_sso_find(&l->sso, a, &l->profile, false, error);

		l->mfa = l->mfa || (is_role && aws_profile_get(&l->profile, "mfa_serial"));
		if (err != ST_ENOENT || !is_role || !below || strcmp(below, name) == 0)
			return err;
		name = below;
		aws_profile_select(&l->profile, &l->files, name);
		if (!l->profile.exists)
			return ST_ENOENT; /* the chain says so */
	}
	return ST_ENOENT;
}

static void login_begin(struct aws_login *l)
{
	struct aws_error error;
	int err = aws_profile_load(&l->files, l->acc, &error);

	if (err == 0) {
		aws_profile_select(&l->profile, &l->files, l->files.name);
		err = sso_find(l, &error);
	}
	if (err == ST_ENOENT)
		walk(l);
	else if (err < 0)
		finish(l, &error, NULL);
	else
		client_look(l);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct aws_login *l = arg;

	(void)now_ms;
	if (l->state == LOGIN_BEGINNING)
		login_begin(l);
	else
		on_poll(l);
}

/* ---- life ---- */

int aws_login_new(struct aws_login **out, struct aws_account *acc,
		  const struct aws_login_events *events, void *arg)
{
	struct loop *loop = acc->aws->loop;
	struct aws_login *l = calloc(1, sizeof(*l));

	if (!l)
		return ST_ENOMEM;
	*l = (struct aws_login){ .acc = acc, .events = events, .arg = arg };
	loop_timer_init(&l->timer, on_timer, l);
	if (loop_timer_set(loop, &l->timer, loop_now_ms(loop)) < 0) {
		free(l);
		return ST_ENOMEM;
	}
	*out = l;
	return 0;
}

void aws_login_free(struct aws_login *l)
{
	struct aws *a;

	if (!l)
		return;
	a = l->acc->aws;
	loop_timer_cancel(a->loop, &l->timer);
	if (l->job)
		a->svc->cancel(a->svc->ctx, l->job);
	if (l->call)
		aws_cancel(a, l->call);
	if (l->wait)
		aws_chain_cancel(l->acc, l->wait);
	aws_profile_fini(&l->profile);
	aws_profile_fini(&l->files);
	aws_sso_fini(&l->sso);
	aws_sso_token_fini(&l->token);
	json_decref(l->client);
	json_decref(l->device);
	free(l->client_path);
	free(l);
}
