// SPDX-License-Identifier: MIT
/*
 * Cases: a file that is renamed into place, written, made, linked, whose mode changes; another name in the folder; folders that lack,
 * made one after the other, all at once, or moved into place; a folder that goes and comes, or is moved away; told once; two files in one
 * turn; what changed between the look and the watch, what did not; too many; freed by the one who is told; no inotify to be had; an
 * idle watch wakes nobody.
 */
#include <fcntl.h>
#include <sys/resource.h>

#include "base/file.h"
#include "tests/unit/aws/aws_fixture.h"

static unsigned changes;

static void on_changed(void *arg)
{
	(void)arg;
	changes++;
}

static struct aws_account *account_of(struct fx *f)
{
	struct aws_account *acc;

	changes = 0;
	assert_int_equal(
		aws_account_new(&acc, f->aws, &(struct aws_account_opts){ .changed = on_changed }),
		0);
	return acc;
}

/* Four paths at a time. */
static const char *at(const struct fx *f, const char *name)
{
	static char paths[4][256];
	static unsigned n;
	char *path = paths[n++ % 4];

	snprintf(path, 256, "%s/%s", f->home, name);
	return path;
}

static void put(const struct fx *f, const char *name, const char *text)
{
	assert_int_equal(file_write_atomic(at(f, name), text, strlen(text), 0600), 0);
}

static void folder(const struct fx *f, const char *name)
{
	assert_int_equal(mkdir(at(f, name), 0700), 0);
}

/* Everything that is there to be noticed. */
static void settle(struct fx *f)
{
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(f->loop, 5), 0);
}

static void told(struct fx *f, unsigned n)
{
	settle(f);
	assert_int_equal(changes, n);
}

static void each_way_to_change(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);
	const char *file = at(f, "token");
	int fd;

	aws_watch_add(acc, file);
	put(f, "other", "x");
	told(f, 0);
	put(f, "token", "x");
	told(f, 1);
	put(f, "token", "y");
	told(f, 1); /* it was told once */
	aws_watch_add(acc, file);
	assert_true((fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC)) >= 0);
	told(f, 1);
	assert_int_equal(write(fd, "z", 1), 1);
	told(f, 1); /* not yet all */
	close(fd);
	told(f, 2);
	aws_watch_add(acc, file);
	assert_int_equal(chmod(file, 0400), 0);
	told(f, 3);
	assert_int_equal(unlink(file), 0);
	aws_watch_add(acc, file);
	assert_true((fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0);
	told(f, 3); /* made, and empty */
	close(fd);
	told(f, 4);
	assert_int_equal(unlink(file), 0);
	aws_watch_add(acc, file);
	assert_int_equal(symlink("other", file), 0);
	told(f, 5);
	aws_account_free(acc);
}

static void folders_appear(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);

	aws_watch_add(acc, at(f, "a/b//c/token"));
	folder(f, "x");
	folder(f, "a");
	told(f, 0);
	folder(f, "a/b");
	told(f, 0);
	folder(f, "a/b/c");
	told(f, 0);
	put(f, "a/b/c/token", "x");
	told(f, 1);
	/* all at once: nothing was watched when the file came */
	assert_int_equal(rename(at(f, "a"), at(f, "gone")), 0);
	aws_watch_add(acc, at(f, "a/b/c/token"));
	told(f, 1);
	folder(f, "a");
	folder(f, "a/b");
	folder(f, "a/b/c");
	put(f, "a/b/c/token", "y");
	told(f, 2);
	aws_account_free(acc);
}

static void folders_go(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);

	folder(f, "a");
	folder(f, "a/b");
	aws_watch_add(acc, at(f, "a/b/token"));
	aws_watch_add(acc, at(f, "a/b/second"));
	assert_int_equal(rmdir(at(f, "a/b")), 0);
	assert_int_equal(rmdir(at(f, "a")), 0);
	told(f, 0);
	folder(f, "a");
	told(f, 0);
	folder(f, "a/b");
	told(f, 0);
	put(f, "a/b/token", "x");
	told(f, 1);
	assert_int_equal(rename(at(f, "a/b"), at(f, "a/away")), 0);
	told(f, 1);
	put(f, "a/away/second", "x"); /* that is another file now */
	told(f, 1);
	folder(f, "a/b");
	put(f, "a/b/second", "x");
	told(f, 2);
	aws_account_free(acc);
}

static void once_for_a_turn(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);

	aws_watch_add(acc, at(f, "one"));
	aws_watch_add(acc, at(f, "two"));
	put(f, "one", "x");
	put(f, "two", "x");
	told(f, 1);
	aws_watch_add(acc, at(f, "one"));
	aws_watch_add(acc, at(f, "one"));
	put(f, "one", "y");
	told(f, 2);
	aws_account_free(acc);
}

static void between_look_and_watch(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);
	struct aws_watch_seen seen;

	aws_watch_look(&seen, at(f, "token"));
	put(f, "token", "x");
	aws_watch_add_since(acc, at(f, "token"), &seen);
	assert_int_equal(changes, 0); /* from the loop */
	told(f, 1);
	aws_watch_look(&seen, at(f, "token"));
	aws_watch_add_since(acc, at(f, "token"), &seen);
	told(f, 1);
	put(f, "token", "x"); /* the same bytes, another file */
	told(f, 2);
	aws_account_free(acc);
}

static void too_many(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);
	char name[16];

	for (unsigned i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		aws_watch_add(acc, at(f, name));
	}
	put(f, "t11", "x");
	told(f, 0); /* the poll serves */
	put(f, "t7", "x");
	told(f, 1);
	aws_watch_add(acc, "not/absolute");
	aws_watch_add(acc, "/");
	told(f, 1);
	aws_account_free(acc);
}

static struct aws_account *to_free;

static void on_changed_free(void *arg)
{
	on_changed(arg);
	aws_account_free(to_free);
}

static void freed_when_told(void **state)
{
	struct fx *f = *state;

	changes = 0;
	assert_int_equal(aws_account_new(&to_free, f->aws,
					 &(struct aws_account_opts){ .changed = on_changed_free }),
			 0);
	aws_watch_add(to_free, at(f, "one"));
	aws_watch_add(to_free, at(f, "two"));
	put(f, "one", "x");
	told(f, 1);
	put(f, "two", "x");
	told(f, 1);
}

static void no_inotify(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);
	struct rlimit own, none;
	int fd = dup(0); /* the lowest number that is free */

	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)fd, .rlim_max = own.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	aws_watch_add(acc, at(f, "token"));
	aws_watch_add(acc, at(f, "token"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &own), 0);
	put(f, "token", "x");
	told(f, 0);
	aws_watch_add(acc, at(f, "token"));
	put(f, "token", "y");
	told(f, 1);
	aws_account_free(acc);
}

static void idle(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = account_of(f);
	uint64_t turns;

	aws_watch_add(acc, at(f, "a/token"));
	settle(f);
	turns = loop_turns(f->loop);
	assert_int_equal(loop_turn(f->loop, 200), 0);
	assert_int_equal(loop_turns(f->loop), turns + 1);
	aws_account_free(acc);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_way_to_change),
		CASE(folders_appear),
		CASE(folders_go),
		CASE(once_for_a_turn),
		CASE(between_look_and_watch),
		CASE(too_many),
		CASE(freed_when_told),
		CASE(no_inotify),
		CASE(idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
