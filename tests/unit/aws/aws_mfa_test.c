// SPDX-License-Identifier: MIT
/*
 * Cases: a code that is right, wrong once, wrong three times, none at all; nobody there, nobody who may be asked, a person who breaks
 * off; the line to run and the watch on the cache's file; a code on a role below; one question for two accounts, its error for
 * both, and a new one if who asked goes; what was asked once serves the next account, and is asked again when a service refuses it.
 */
#include "tests/unit/aws/aws_play.h"

#define SERIAL "arn:aws:iam::123456789012:mfa/bob"
#define PROMPT "Enter MFA code for " SERIAL ": "
#define REFUSED "MultiFactorAuthentication failed with invalid MFA one time pass code. " PROMPT
#define NO_CODE "A code has 6 digits. " PROMPT
#define TO_RUN "ssm-tun login x (or: aws sts get-caller-identity --profile x)"

static const char world[] =
	"{\"do\": \"user\", \"name\": \"bob\", \"access_key\": \"AKIABOB\", \"secret_key\": "
	"\"role+secret\"}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/mfa\", \"mfa\": true}\n"
	"{\"do\": \"role\", \"arn\": \"arn:aws:iam::123456789012:role/top\"}\n"
	"{\"do\": \"set\", \"mfa\": {\"" SERIAL "\": [\"123456\", \"654321\", \"111222\"]}}\n"
	"{\"do\": \"clear\"}";

static const char config[] =
	"[profile x]\nrole_arn = arn:aws:iam::123456789012:role/mfa\nsource_profile = bob\n"
	"mfa_serial = " SERIAL "\n"
	"[profile top]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = x\n"
	"[profile self]\nrole_arn = arn:aws:iam::123456789012:role/mfa\nsource_profile = x\n"
	"mfa_serial = " SERIAL "\n"
	"[profile bob]\naws_access_key_id = AKIABOB\naws_secret_access_key = role+secret\n";

static int setup(void **state)
{
	int r = fx_setup(state);

	play_env(*state);
	play_do(world);
	fx_write(*state, "config", config);
	return r;
}

static const struct row {
	const char *name, *says[4]; /* NULL behind the first: no more */
	bool breaks_off;
	int err;
	bool person;
	const char *text, *hint, *prompt; /* the last one */
	unsigned asked, calls;
} rows[] = {
	{ .name = "right", .says = { "123456" }, .prompt = PROMPT, .asked = 1, .calls = 1 },
	{ .name = "in two groups",
	  .says = { " 654 321\t" },
	  .prompt = PROMPT,
	  .asked = 1,
	  .calls = 1 },
	{ .name = "wrong once",
	  .says = { "999999", "123456" },
	  .prompt = REFUSED,
	  .asked = 2,
	  .calls = 2 },
	{ .name = "no code, then a wrong one, then the right one",
	  .says = { "hello", "000000", "123456" },
	  .prompt = REFUSED,
	  .asked = 3,
	  .calls = 2 },
	{ .name = "wrong three times",
	  .says = { "000001", "000002", "000003" },
	  .err = ST_EAUTH,
	  .person = true,
	  .text = "MultiFactorAuthentication failed with invalid MFA one time pass code",
	  .hint = "Run: " TO_RUN,
	  .prompt = REFUSED,
	  .asked = 3,
	  .calls = 3 },
	{ .name = "no code three times",
	  .says = { "", "1234567", "12345" },
	  .err = ST_EAUTH,
	  .person = true,
	  .text = "AssumeRole needs a code of the MFA device " SERIAL,
	  .hint = "run: " TO_RUN,
	  .prompt = NO_CODE,
	  .asked = 3 },
	{ .name = "broken off",
	  .breaks_off = true,
	  .err = ST_ECANCELED,
	  .text = "no code of the MFA device",
	  .prompt = PROMPT,
	  .asked = 1 },
	{ .name = "nobody is ever asked",
	  .err = ST_EAUTH,
	  .person = true,
	  .text = "nobody is there to be asked",
	  .hint = "run: " TO_RUN,
	  .prompt = "" },
};

static void check_row(const struct fx *f, const struct row *r, const struct play_who *w)
{
	print_message("%s\n", r->name);
	assert_int_equal(w->error.err, r->err);
	assert_int_equal(w->error.person, r->person);
	assert_non_null(strstr(w->error.text, r->text ? r->text : ""));
	assert_non_null(strstr(w->error.hint, r->hint ? r->hint : ""));
	if (!r->err)
		assert_non_null(strstr(w->arn, "assumed-role/mfa/"));
	assert_string_equal(f->prompt, r->prompt);
	assert_true(f->hidden || !r->asked);
	assert_int_equal(f->asked_n, r->asked);
	assert_int_equal(play_count("AssumeRole"), r->calls);
}

static void test_codes(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		play_do(world);
		play_cache_clear(f);
		f->n_says = f->asked_n = 0;
		f->svc.ask = NULL;
		f->prompt[0] = '\0';
		for (size_t j = 0; j < ARRAY_LEN(r->says) && r->says[j]; j++)
			fx_says(f, r->says[j]);
		if (r->breaks_off)
			fx_says(f, NULL);
		play_who(f, "x", &w);
		check_row(f, r, &w);
	}
}

static void test_role_below(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	assert_int_equal(play_who(f, "top", &w), ST_EAUTH);
	assert_true(w.error.person);
	assert_non_null(strstr(w.error.hint, "ssm-tun login top"));
	fx_says(f, "123456");
	assert_int_equal(play_who(f, "top", &w), 0);
	assert_non_null(strstr(w.arn, "assumed-role/top/"));
	/* The role below is the same for both. */
	assert_int_equal(play_who(f, "x", &w), 0);
	assert_int_equal(f->asked_n, 1);
}

/* A role on itself, by two profiles with one file of the cache: whoever asks for it does not wait for itself. */
static void test_role_on_itself(void **state)
{
	struct fx *f = *state;
	struct play_who w;

	fx_says(f, "123456");
	fx_says(f, "654321");
	assert_int_equal(play_who(f, "self", &w), ST_EAUTH);
	assert_false(w.error.retryable);
	assert_non_null(strstr(w.error.text, "Infinite loop in credential configuration detected"));
	assert_int_equal(f->asked_n, 0);
}

/* ---- several who ask ---- */

struct two {
	struct aws_account *acc[2];
	struct play_who w[2];
};

static void two_start(struct fx *f, struct two *t)
{
	*t = (struct two){ 0 };
	for (size_t i = 0; i < 2; i++) {
		t->w[i] = (struct play_who){ .f = f, .wanted = 2 };
		assert_int_equal(play_account(f, &t->acc[i], "x"), 0);
		play_who_start(t->acc[i], &t->w[i]);
	}
}

static void two_run(const struct fx *f, const struct two *t)
{
	for (unsigned i = 0; i < 500 && !(t->w[0].told && t->w[1].told); i++)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(t->w[0].told, 1);
	assert_int_equal(t->w[1].told, 1);
}

static void two_free(struct two *t)
{
	aws_account_free(t->acc[0]);
	aws_account_free(t->acc[1]);
}

static void test_one_question(void **state)
{
	struct fx *f = *state;
	struct two t;

	fx_says(f, "123456");
	two_start(f, &t);
	two_run(f, &t);
	assert_int_equal(t.w[0].error.err, 0);
	assert_int_equal(t.w[1].error.err, 0);
	assert_string_equal(t.w[0].arn, t.w[1].arn);
	assert_int_equal(f->asked_n, 1);
	assert_int_equal(play_count("AssumeRole"), 1);
	two_free(&t);
}

static void test_one_error(void **state)
{
	struct fx *f = *state;
	struct two t;

	fx_says(f, NULL);
	two_start(f, &t);
	two_run(f, &t);
	assert_int_equal(t.w[0].error.err, ST_ECANCELED);
	assert_int_equal(t.w[1].error.err, ST_ECANCELED);
	assert_int_equal(f->asked_n, 1);
	two_free(&t);
}

/* Who asked goes while the question is open: the other one asks. */
static void test_asker_goes(void **state)
{
	struct fx *f = *state;
	struct two t;

	fx_says(f, "not typed any more");
	fx_says(f, "123456");
	two_start(f, &t);
	while (f->asked_n == 0)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(t.w[0].told, 0);
	aws_account_free(t.acc[0]);
	t.acc[0] = NULL;
	while (!t.w[1].told)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(t.w[1].error.err, 0);
	assert_int_equal(t.w[0].told, 0);
	assert_int_equal(f->asked_n, 2);
	assert_int_equal(play_count("AssumeRole"), 1);
	two_free(&t);
}

static void test_both_go(void **state)
{
	struct fx *f = *state;
	struct two t;

	fx_says(f, "123456");
	two_start(f, &t);
	while (f->asked_n == 0)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	two_free(&t);
	assert_int_equal(loop_turn(f->loop, 0), 0);
	assert_int_equal(t.w[0].told + t.w[1].told, 0);
}

/* ---- again ---- */

static void test_asked_again(void **state)
{
	struct fx *f = *state;
	struct play_who w = { .f = f, .wanted = 1 };
	struct aws_account *acc;

	fx_says(f, "123456");
	fx_says(f, "654321");
	assert_int_equal(play_account(f, &acc, "x"), 0);
	for (unsigned i = 1; i <= 3; i++) {
		w.told = 0;
		play_who_start(acc, &w);
		assert_int_equal(loop_run(f->loop), 0);
		assert_int_equal(w.error.err, 0);
		assert_int_equal(f->asked_n, i < 3 ? 1 : 2);
		if (i == 2)
			play_do("{\"do\": \"expire\", \"source\": \"AssumeRole\"}");
	}
	aws_account_free(acc);
	assert_int_equal(play_who(f, "x", &w), 0);
	assert_int_equal(f->asked_n, 2);
	assert_int_equal(play_count("AssumeRole"), 2);
}

/* ---- another program has asked ---- */

static void on_changed(void *arg)
{
	unsigned *news = arg;

	(*news)++;
}

/* Nobody can be asked here; somebody types a code elsewhere: it is noticed, and serves here. */
static void test_watched(void **state)
{
	struct fx *f = *state;
	unsigned news = 0;
	struct play_who w = { .f = f, .wanted = 1 }, elsewhere;
	struct aws_account *acc;
	const struct aws_account_opts o = {
		.profile = "x", .region = "us-east-1", .changed = on_changed, .changed_arg = &news
	};

	assert_int_equal(aws_account_new(&acc, f->aws, &o), 0);
	play_who_start(acc, &w);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(w.error.person);
	fx_says(f, "123456");
	assert_int_equal(play_who(f, "x", &elsewhere), 0);
	f->svc.ask = NULL;
	for (unsigned i = 0; i < 20 && news == 0; i++)
		assert_int_equal(loop_turn(f->loop, 500), 0);
	assert_int_equal(news, 1);
	w.told = 0;
	play_who_start(acc, &w);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(w.error.err, 0);
	assert_int_equal(play_count("AssumeRole"), 1);
	aws_account_free(acc);
}

#define CASE(fn_) cmocka_unit_test_setup_teardown(fn_, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_codes),	 CASE(test_role_below),	 CASE(test_role_on_itself),
		CASE(test_one_question), CASE(test_one_error),	 CASE(test_asker_goes),
		CASE(test_both_go),	 CASE(test_asked_again), CASE(test_watched),
	};

	return cmocka_run_group_tests(tests, play_start, play_stop);
}
