// SPDX-License-Identifier: MIT
/*
 * Cases: which proxy, compared with Python's urllib (https and http, NO_PROXY with names, ports, blanks, IPv6, networks);
 * ALL_PROXY; what may stand in the variable; ports that it leaves out; no password in errors; fetches from this machine.
 */
#include "tests/unit/aws/aws_fixture.h"

#include <sys/wait.h>

/*
 * What urllib decides for URLs, a line each, "-" for none; botocore hands it scheme and netloc in this way. Each argument is
 * a URL and the variables, apart by '|'.
 */
static const char script[] =
	"import os,sys,urllib.request as u,urllib.parse as p\n"
	"for arg in sys.argv[1:]:\n"
	" url,*env=arg.split('|')\n"
	" os.environ.clear()\n"
	" os.environ.update(e.split('=',1) for e in env)\n"
	" x=u.getproxies_environment().get(p.urlparse(url).scheme)\n"
	" print(x if x and not u.proxy_bypass_environment(p.urlparse(url).netloc) else '-')\n";

static FILE *urllib_start(char *const *argv, pid_t *pid)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	*pid = fork();
	if (*pid == 0) {
		dup2(fds[1], 1);
		execv("/usr/bin/python3", argv);
		_exit(127);
	}
	close(fds[1]);
	return fdopen(fds[0], "r");
}

static void env_set(struct fx *f, const char *lower, const char *upper, const char *no_lower,
		    const char *no_upper)
{
	f->n_env = 0;
	fx_setenv(f, "https_proxy", lower);
	fx_setenv(f, "HTTPS_PROXY", upper);
	fx_setenv(f, "http_proxy", "http://plain:3");
	fx_setenv(f, "no_proxy", no_lower);
	fx_setenv(f, "NO_PROXY", no_upper);
}

static char *argument(const struct fx *f, const char *url)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	fputs(url, to);
	for (size_t i = 0; i < f->n_env; i++)
		if (f->env[i].value)
			fprintf(to, "|%s=%s", f->env[i].name, f->env[i].value);
	fclose(to);
	return text;
}

/* Return: the proxy for @url, to be freed; NULL: none */
static char *choose(struct fx *f, const char *url)
{
	const size_t n_env = f->n_env;
	struct aws_account *acc;
	struct aws_endpoint at;
	struct aws_error e;
	char *proxy = NULL;

	f->n_env = 0; /* the URL is taken apart without them */
	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	assert_int_equal(aws_endpoint_url(&at, acc, url, &e), 0);
	aws_account_free(acc);
	f->n_env = n_env;
	assert_int_equal(aws_proxy_find(&proxy, f->aws, at.tls, at.host, at.port), 0);
	aws_endpoint_fini(&at);
	return proxy;
}

static void test_as_urllib(void **state)
{
	static const struct {
		const char *url;
		const char *lower, *upper, *no_lower, *no_upper;
	} cases[] = {
		{ "https://a.test", NULL, NULL, NULL, NULL },
		{ "https://a.test", "http://l:1", "http://u:2", NULL, NULL },
		{ "https://a.test", NULL, "http://u:2", NULL, NULL },
		{ "https://a.test", "", "http://u:2", NULL, NULL },
		{ "https://a.test", NULL, "http://u:2", NULL, "*" },
		{ "https://a.test", NULL, "http://u:2", NULL, "*,b" },
		{ "https://a.test", NULL, "http://u:2", NULL, "b.test" },
		{ "https://a.test", NULL, "http://u:2", NULL, "b.test, a.test" },
		{ "https://a.test", NULL, "http://u:2", NULL, "b.test a.test" },
		{ "https://a.test", NULL, "http://u:2", NULL, "\ta.test\t,b" },
		{ "https://a.test", NULL, "http://u:2", NULL, "A.TEST" },
		{ "https://A.test", NULL, "http://u:2", NULL, "a.test" },
		{ "https://x.a.test", NULL, "http://u:2", NULL, "a.test" },
		{ "https://x.a.test", NULL, "http://u:2", NULL, ".a.test" },
		{ "https://x.a.test", NULL, "http://u:2", NULL, "..a.test" },
		{ "https://x.a.test", NULL, "http://u:2", NULL, "*.a.test" },
		{ "https://xa.test", NULL, "http://u:2", NULL, "a.test" },
		{ "https://a.test", NULL, "http://u:2", NULL, ".a.test" },
		{ "https://a.test", NULL, "http://u:2", NULL, "st" },
		{ "https://a.test", NULL, "http://u:2", "", "a.test" },
		{ "https://a.test", NULL, "http://u:2", "b", "a.test" },
		{ "https://a.test:8443", NULL, "http://u:2", NULL, "a.test" },
		{ "https://a.test:8443", NULL, "http://u:2", NULL, "a.test:8443" },
		{ "https://x.a.test:8443", NULL, "http://u:2", NULL, "a.test:8443" },
		{ "https://a.test:8443", NULL, "http://u:2", NULL, "a.test:9" },
		{ "https://a.test", NULL, "http://u:2", NULL, "a.test:443" },
		{ "https://a.test", NULL, "http://u:2", NULL, "a.test:80" },
		{ "https://10.0.0.1", NULL, "http://u:2", NULL, "10.0.0.1" },
		{ "https://10.0.0.1", NULL, "http://u:2", NULL, "10.0.0.0/8" },
		{ "https://10.0.0.1", NULL, "http://u:2", NULL, "0.0.1" },
		{ "https://[fd00::1]", NULL, "http://u:2", NULL, "[fd00::1]" },
		{ "https://[fd00::1]:99", NULL, "http://u:2", NULL, "[fd00::1]" },
		{ "https://[fd00::1]:99", NULL, "http://u:2", NULL, "[fd00::1]:99" },
		{ "https://[fd00::1]", NULL, "http://u:2", NULL, "[fd00::2]" },
		{ "https://a.test", NULL, "http://u:2", NULL, "" },
		{ "https://a.test", NULL, "http://u:2", NULL, ",," },
		{ "https://a.test", NULL, "http://u:2", NULL, " , .,a.test" },
		{ "https://127.0.0.1:1", NULL, "http://u:2", NULL, NULL },
		{ "http://a.test", NULL, "http://u:2", NULL, NULL },
		{ "http://a.test:8080", NULL, "http://u:2", NULL, "a.test:8080" },
	};
	char *argv[ARRAY_LEN(cases) + 4] = { "python3", "-c", (char *)script }, theirs[128];
	struct fx *f = *state;
	FILE *oracle;
	pid_t pid;
	int status;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		env_set(f, cases[i].lower, cases[i].upper, cases[i].no_lower, cases[i].no_upper);
		argv[3 + i] = argument(f, cases[i].url);
	}
	assert_non_null(oracle = urllib_start(argv, &pid));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *ours;

		env_set(f, cases[i].lower, cases[i].upper, cases[i].no_lower, cases[i].no_upper);
		ours = choose(f, cases[i].url);
		assert_int_equal(fscanf(oracle, "%127s", theirs), 1);
		if (strcmp(ours ? ours : "-", theirs) != 0)
			fail_msg("%s: %s, urllib %s", argv[3 + i], ours ? ours : "-", theirs);
		free(ours);
		free(argv[3 + i]);
	}
	fclose(oracle);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Ours beyond urllib's: the address as people write it. */
static void test_v6_without_brackets(void **state)
{
	struct fx *f = *state;
	char *proxy;

	fx_setenv(f, "HTTPS_PROXY", "http://u:2");
	fx_setenv(f, "NO_PROXY", "fd00::1");
	assert_int_equal(aws_proxy_find(&proxy, f->aws, true, "fd00::1", 443), 0);
	assert_null(proxy);
	assert_int_equal(aws_proxy_find(&proxy, f->aws, true, "fd00::11", 443), 0);
	assert_string_equal(proxy, "http://u:2");
	free(proxy);
}

static void test_account(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	fx_setenv(f, "http_proxy", "http://plain:1");
	fx_setenv(f, "ALL_PROXY", "http://never:1"); /* urllib asks for the scheme alone */
	assert_null(aws_account_proxy(acc, true, "a.test", 443));
	assert_string_equal(aws_account_proxy(acc, false, "a.test", 80), "http://plain:1");
	fx_setenv(f, "HTTPS_PROXY", "p.test:3128");
	fx_setenv(f, "NO_PROXY", "b.test,c.test:8443");
	assert_string_equal(aws_account_proxy(acc, true, "a.test", 443), "http://p.test:3128");
	assert_null(aws_account_proxy(acc, true, "x.b.test", 443));
	assert_null(aws_account_proxy(acc, true, "c.test", 8443));
	assert_string_equal(aws_account_proxy(acc, true, "c.test", 443), "http://p.test:3128");
	f->n_env = 0;
	fx_setenv(f, "HTTPS_PROXY", "//p.test:3128");
	assert_string_equal(aws_account_proxy(acc, true, "a.test", 443), "http://p.test:3128");
	aws_account_free(acc);
}

static int find(struct fx *f, const char *proxy, struct aws_endpoint *at, struct aws_error *e)
{
	struct aws_account *acc;
	struct aws_profile p;
	int err;

	f->n_env = 0;
	fx_setenv(f, "HTTPS_PROXY", proxy);
	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ .region = "r" }),
			 0);
	assert_int_equal(aws_profile_load(&p, acc, e), 0);
	err = aws_endpoint_find(at, acc, &p, AWS_SSM, NULL, e);
	aws_profile_fini(&p);
	aws_account_free(acc);
	return err;
}

static void test_form(void **state)
{
	static const struct {
		const char *value, *url, *host; /* url NULL: refused */
		uint16_t port;
	} cases[] = {
		{ "http://p.test:3128", "http://p.test:3128/", "p.test", 3128 },
		{ "p.test", "http://p.test:80/", "p.test", 80 },
		{ "http://p.test", "http://p.test:80/", "p.test", 80 },
		{ "https://p.test", "https://p.test:443/", "p.test", 443 },
		{ "http://[fd00::5]:1", "http://[fd00::5]:1/", "fd00::5", 1 },
		{ "http://me:geheim%40x@p.test", "http://me:geheim%40x@p.test:80/", "p.test", 80 },
		{ "socks5://me:geheim@p.test:1", NULL, NULL, 0 },
		{ "http://me:geheim@p q.test:1", NULL, NULL, 0 },
		{ "http://me:geheim@:1", NULL, NULL, 0 },
		{ "http://geheim:99999", NULL, NULL, 0 },
	};
	struct aws_endpoint at;
	struct aws_error e;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int err = find(*state, cases[i].value, &at, &e);

		if (err != (cases[i].url ? 0 : ST_EINVAL))
			fail_msg("%s: %d", cases[i].value, err);
		if (err) {
			assert_null(strstr(e.text, "geheim"));
			assert_null(strstr(e.hint, "geheim"));
			continue;
		}
		assert_string_equal(at.proxy, cases[i].url);
		assert_string_equal(at.proxy_host, cases[i].host);
		assert_int_equal(at.proxy_port, cases[i].port);
		aws_endpoint_fini(&at);
	}
}

static void test_fetches(void **state)
{
	static const struct {
		const char *url;
		bool by_proxy;
	} cases[] = {
		{ "http://169.254.169.254/latest/api/token", false },
		{ "http://169.254.170.2/v2/credentials/x?y=z", false },
		{ "http://[fd00:ec2::254]/latest", false },
		{ "http://[fd00:ec2::23]/v1/credentials", false },
		{ "http://[fd00:ec3::254]/latest", true },
		{ "http://[fe80::1]/", false },
		{ "http://127.0.0.1:51679/creds?a=b", false },
		{ "http://[::1]:51679/creds", false },
		{ "http://localhost:51679/creds", false },
		{ "https://creds.test/x", true },
		{ "http://10.0.0.1/x", true },
	};
	struct fx *f = *state;
	struct aws_account *acc;
	struct aws_endpoint at;
	struct aws_error e;

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	fx_setenv(f, "http_proxy", "http://p.test:1");
	fx_setenv(f, "https_proxy", "http://p.test:1");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(aws_endpoint_url(&at, acc, cases[i].url, &e), 0);
		if ((at.proxy != NULL) != cases[i].by_proxy)
			fail_msg("%s", cases[i].url);
		assert_string_equal(at.url, cases[i].url);
		aws_endpoint_fini(&at);
	}
	assert_int_equal(aws_endpoint_url(&at, acc, "http://me:geheim@127.0.0.1/", &e), ST_EINVAL);
	assert_null(strstr(e.text, "geheim"));
	assert_int_equal(aws_endpoint_url(&at, acc, "file:///etc/passwd", &e), ST_EINVAL);
	aws_account_free(acc);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_as_urllib), CASE(test_v6_without_brackets),
		CASE(test_account),   CASE(test_form),
		CASE(test_fetches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
