// SPDX-License-Identifier: MIT
/*
 * Cases: the search's order, with a file put in each place; ./config.yaml that is skipped and why, and what it may not set; -c files that are refused;
 * missing files; .toml; size at the limit; FIFOs, folders, links; owners other than the caller (as root only); secrets that
 * others can read; file_is_roots; a file without a mapping.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/config/config_fixture.h"

static const char good[] = "upstreams: {p: {instances: i-1}}\n"
			   "routes: [{match: 10.0.0.0/8, upstream: p}]\n";

struct fx {
	char root[64]; /* the current folder is "here" below it */
	struct cfg_report report;
	struct cfg_opts opts;
	struct config *c;
};

static int setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	umask(022);
	strcpy(f->root, "/tmp/config-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	assert_int_equal(chdir(f->root), 0);
	assert_int_equal(mkdir("here", 0755), 0);
	assert_int_equal(mkdir("home", 0755), 0);
	assert_int_equal(mkdir("home/.config", 0755), 0);
	assert_int_equal(mkdir("home/.config/ssm-tun", 0755), 0);
	assert_int_equal(mkdir("xdg", 0755), 0);
	assert_int_equal(mkdir("xdg/ssm-tun", 0755), 0);
	assert_int_equal(chdir("here"), 0);
	f->opts = (struct cfg_opts){ .home = "../home", .caller = getuid() };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;
	char command[128];

	cfg_free(f->c);
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -r %s", f->root);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static int load(struct fx *f)
{
	struct config *c = NULL;
	int err = cfg_load(&c, &f->opts, &f->report);

	cfg_free(f->c);
	f->c = c;
	return err;
}

static void expect_file(struct fx *f, const char *path)
{
	int err = load(f);

	if (err)
		cfg_report_print(&f->report, stderr);
	assert_int_equal(err, 0);
	assert_string_equal(f->c->file, path);
}

static void expect_refused(struct fx *f, const char *why)
{
	assert_int_equal(load(f), ST_ECONFIG);
	assert_null(f->c);
	cx_find(&f->report, why, false);
}

static void test_search(void **state)
{
	struct fx *f = *state;
	char xdg[80];

	if (access("/etc/ssm-tun/config.yaml", F_OK) == 0)
		skip();
	assert_int_equal(load(f), ST_ENOENT);
	cx_find(&f->report,
		"looked for ./config.yaml, ../home/.config/ssm-tun/config.yaml, "
		"/etc/ssm-tun/config.yaml; or give --target",
		false);
	put("../home/.config/ssm-tun/config.yaml", good, 0644);
	expect_file(f, "../home/.config/ssm-tun/config.yaml");
	snprintf(xdg, sizeof(xdg), "%s/xdg", f->root);
	f->opts.xdg_config_home = xdg;
	assert_int_equal(load(f), ST_ENOENT);
	put("../xdg/ssm-tun/config.yaml", good, 0644);
	assert_int_equal(load(f), 0);
	put("config.yaml", good, 0644);
	expect_file(f, "./config.yaml");
	put("x.yaml", good, 0644);
	f->opts.path = "x.yaml";
	expect_file(f, "x.yaml");
	f->opts.path = "gone.yaml";
	assert_int_equal(load(f), ST_ENOENT);
	cx_find(&f->report, "no configuration: looked for gone.yaml", false);
	f->opts.path = NULL;
	f->opts.name = "nobody-has-this-name";
	assert_int_equal(load(f), ST_ENOENT);
	cx_find(&f->report, "/etc/ssm-tun/nobody-has-this-name.yaml", false);
}

/* What nobody named may neither take the whole machine nor open it to others; a flag or -c may. */
static void test_folder_guarded(void **state)
{
	struct fx *f = *state;
	static const struct {
		const char *text, *why;
		bool is_fine;
	} cases[] = {
		{ "default: p\ntun: {mode: system}\n",
		  "tun.mode may only be set in a file that was named with -c", false },
		{ "dns: {manager: none}\n", "dns.manager may only be set", false },
		{ "forward: true\n", "forward may only be set", false },
		{ "forward: [true]\n", "forward may only be set", false },
		{ "tun: {mode: split}\ndns: {manager: auto}\nforward: false\n", NULL, true },
		{ "dns: {mode: tunnel}\naccess: bob\nfail_closed: true\n", NULL, true },
	};
	const struct cfg_flag flags[] = { { "system", NULL }, { "forward", "true" } };
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "%s%s", good, cases[i].text);
		put("config.yaml", text, 0644);
		if (cases[i].is_fine)
			expect_file(f, "./config.yaml");
		else
			expect_refused(f, cases[i].why);
		if (strchr(cases[i].text, '['))
			continue;
		f->opts.path = "./config.yaml";
		expect_file(f, "./config.yaml");
		f->opts.path = NULL;
	}
	put("config.yaml", good, 0644);
	f->opts.flags = flags;
	f->opts.n_flags = ARRAY_LEN(flags);
	expect_file(f, "./config.yaml");
	assert_true(f->c->system && f->c->forward);
}

/* Not ours or not to be trusted: told, and the search goes on. */
static void test_folder_skipped(void **state)
{
	struct fx *f = *state;
	static const char home[] = "../home/.config/ssm-tun/config.yaml";

	put(home, good, 0644);
	put("config.yaml", "services: {web: {image: x}}\n", 0644);
	expect_file(f, home);
	cx_find(&f->report, "no top-level \"upstreams:\"", true);
	put("config.yaml", "a: [\n", 0644);
	expect_file(f, home);
	cx_find(&f->report, "can't be read as YAML", true);
	put("config.yaml", "just text\n", 0644);
	expect_file(f, home);
	put("config.yaml", good, 0666);
	expect_file(f, home);
	cx_find(&f->report, "skipped: can be written by everyone", true);
	put("config.yaml", good, 0664);
	expect_file(f, home);
	cx_find(&f->report, "skipped: can be written by its group", true);
	put("config.yaml", good, 0644);
	assert_int_equal(chmod(".", 0777), 0);
	expect_file(f, home);
	cx_find(&f->report, "skipped: its folder can be written by everyone", true);
	assert_int_equal(chmod(".", 01777),
			 0); /* fine for a file that was named, not for one that was found */
	expect_file(f, home);
	f->opts.path = "config.yaml";
	expect_file(f, "config.yaml");
	f->opts.path = NULL;
	assert_int_equal(chmod(".", 0755), 0);
	assert_int_equal(rename("config.yaml", "real.yaml"), 0);
	assert_int_equal(symlink("real.yaml", "config.yaml"), 0);
	expect_file(f, home);
	cx_find(&f->report, "skipped: a symbolic link", true);
	assert_int_equal(unlink("config.yaml"), 0);
	assert_int_equal(mkdir("config.yaml", 0755), 0);
	expect_file(f, home);
	cx_find(&f->report, "skipped: not a regular file", true);
}

/* Once it is ours its errors count. */
static void test_folder_errors(void **state)
{
	struct fx *f = *state;

	put("config.yaml", "upstreams: {p: {instances: i-1}}\ntunn: 1\n", 0644);
	expect_refused(f, "did you mean \"tun\"?");
	put("config.yaml", "upstreams: {p: {instances: i-1}}\ntun: [\n", 0644);
	expect_refused(f, "did not find");
}

static void test_named_refused(void **state)
{
	struct fx *f = *state;

	f->opts.path = "x.yaml";
	put("x.yaml", good, 0666);
	expect_refused(f, "refused: can be written by everyone");
	put("x.yaml", good, 0664);
	expect_refused(f, "refused: can be written by its group");
	put("x.yaml", good, 0644);
	assert_int_equal(chmod(".", 0775), 0);
	expect_refused(f, "refused: its folder can be written by its group");
	assert_int_equal(chmod(".", 0755), 0);
	expect_file(f, "x.yaml");
	assert_int_equal(symlink("x.yaml", "link.yaml"), 0);
	f->opts.path = "link.yaml"; /* a person named it */
	expect_file(f, "link.yaml");
	f->opts.path = ".";
	expect_refused(f, "not a regular file");
	assert_int_equal(mkfifo("fifo.yaml", 0644), 0);
	f->opts.path = "fifo.yaml";
	expect_refused(f, "not a regular file");
	f->opts.path = "/dev/zero";
	assert_int_equal(load(f), ST_ECONFIG);
	put("x.toml", "[upstreams]\n", 0644);
	f->opts.path = "x.toml";
	expect_refused(f, "YAML only");
	put("x.yaml", "root:x:0:0::\nhush:x:1:1::\n", 0644);
	f->opts.path = "x.yaml";
	expect_refused(f, "this is no configuration");
	for (size_t i = 0; i < f->report.n; i++)
		assert_null(strstr(f->report.problems[i].text, "hush"));
}

static void test_owners(void **state)
{
	struct fx *f = *state;

	if (getuid() != 0)
		skip();
	f->opts.path = "x.yaml";
	put("x.yaml", good, 0644);
	expect_file(f, "x.yaml");
	assert_true(f->c->file_is_roots);
	f->opts.caller = 1234; /* root's file is good for everyone */
	expect_file(f, "x.yaml");
	assert_int_equal(chown("x.yaml", 1234, 0), 0);
	expect_file(f, "x.yaml");
	assert_false(f->c->file_is_roots);
	assert_int_equal(chown("x.yaml", 4321, 0), 0);
	expect_refused(f, "refused: belongs to another user");
	assert_int_equal(chown("x.yaml", 0, 0), 0);
	assert_int_equal(chown(".", 4321, 0), 0);
	expect_refused(f, "refused: its folder belongs to another user");
	assert_int_equal(chown(".", 1234, 0), 0);
	expect_file(f, "x.yaml");
	assert_false(f->c->file_is_roots);
}

static void test_secrets(void **state)
{
	static const char text[] = "upstreams: {p: {instances: i-1, aws: {region: r, access_key: "
				   "AKIDEXAMPLEEXAMPLE,\n secret_key: geheim}}}\n";
	struct fx *f = *state;

	f->opts.path = "x.yaml";
	put("x.yaml", text, 0644);
	expect_refused(f, "others can read it (mode 0644): chmod 600");
	assert_int_equal(cx_find(&f->report, "others can read it", false)->place.line, 2);
	put("x.yaml", text, 0600);
	expect_file(f, "x.yaml");
	put("x.yaml", text, 0640);
	if (getuid() == 0) {
		expect_file(f, "x.yaml"); /* root's, for the daemon's group */
		assert_int_equal(chown("x.yaml", 1234, 0), 0);
		f->opts.caller = 1234;
	}
	expect_refused(f, "others can read it (mode 0640)");
}

static void test_size(void **state)
{
	struct fx *f = *state;
	char *text = malloc(CFG_FILE_MAX + 2);

	assert_non_null(text);
	memset(text, '#', CFG_FILE_MAX + 1);
	memcpy(text, good, sizeof(good) - 1);
	text[CFG_FILE_MAX] = '\0';
	f->opts.path = "x.yaml";
	put("x.yaml", text, 0644);
	expect_file(f, "x.yaml");
	text[CFG_FILE_MAX] = '#';
	text[CFG_FILE_MAX + 1] = '\0';
	put("x.yaml", text, 0644);
	expect_refused(f, "larger than 1 MiB");
	put("x.yaml", "", 0644);
	expect_refused(f, "there is no upstream");
	free(text);
}

static void test_target_needs_no_file(void **state)
{
	struct fx *f = *state;
	const struct cfg_flag flags[] = { { "target", "i-9" } };

	put("config.yaml", "this is [ broken\n", 0644);
	f->opts.flags = flags;
	f->opts.n_flags = 1;
	assert_int_equal(load(f), 0);
	assert_null(f->c->file);
	assert_string_equal(f->c->upstreams[0].targets[0], "i-9");
	/* with a file of -c it replaces the only upstream's */
	put("x.yaml", good, 0644);
	f->opts.path = "x.yaml";
	expect_file(f, "x.yaml");
	assert_string_equal(f->c->upstreams[0].name, "p");
	assert_int_equal(f->c->upstreams[0].n_targets, 1);
	assert_string_equal(f->c->upstreams[0].targets[0], "i-9");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_search),	   CASE(test_folder_skipped),
		CASE(test_folder_errors),  CASE(test_named_refused),
		CASE(test_owners),	   CASE(test_secrets),
		CASE(test_size),	   CASE(test_target_needs_no_file),
		CASE(test_folder_guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
