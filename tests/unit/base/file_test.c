// SPDX-License-Identifier: MIT
/*
 * file_test.c - in a folder of its own under TMPDIR
 *
 * Cases: reads to the limit and beyond, of what is no regular file, through links; pipes; replacement
 * keeps old or new and leaves no other file; modes against the umask; folders made in a row.
 */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

static char folder[PATH_MAX / 2];
static int logged;

static void count_line(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)line;
	logged += level == LOG_ERROR;
}

static const char *path(const char *name)
{
	static char out[2][PATH_MAX];
	static unsigned turn;
	char *p = out[turn++ % 2];

	snprintf(p, PATH_MAX, "%s/%s", folder, name);
	return p;
}

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof(folder), "%s/file_test.XXXXXX", base ? base : "/tmp");
	logged = 0;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_tree(const char *name)
{
	DIR *dir = opendir(name);
	struct dirent *entry;
	char sub[PATH_MAX];

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", name, entry->d_name);
		if (unlink(sub) < 0)
			remove_tree(sub);
	}
	if (dir)
		closedir(dir);
	return rmdir(name);
}

static int teardown(void **state)
{
	(void)state;
	return remove_tree(folder);
}

static void write_file(const char *name, const char *text)
{
	assert_int_equal(file_write_atomic(path(name), text, strlen(text), 0600), 0);
}

static int entries(void)
{
	DIR *dir = opendir(folder);
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void assert_holds(const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, 100000);
	assert_int_equal(file_read(&b, path(name)), 0);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(buf_data(&b), text, b.len);
	buf_fini(&b);
}

static void reads_to_the_limit(void **state)
{
	struct buf b;

	(void)state;
	write_file("f", "12345678");
	buf_init(&b, 8);
	assert_int_equal(file_read(&b, path("f")), 0);
	assert_int_equal(b.len, 8);
	buf_fini(&b);
	buf_init(&b, 7);
	assert_int_equal(file_read(&b, path("f")), ST_EFULL);
	buf_fini(&b);
	write_file("empty", "");
	buf_init(&b, 0);
	assert_int_equal(file_read(&b, path("empty")), 0);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void reads_only_regular_files(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, path("absent")), ST_ENOENT);
	write_file("f", "x");
	assert_int_equal(file_read(&b, path("f/below")), ST_ENOENT);
	assert_int_equal(file_read(&b, folder), ST_EPERM);
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	assert_int_equal(file_read(&b, path("fifo")), ST_EPERM);
	assert_int_equal(file_read(&b, "/dev/null"), ST_EPERM);
	assert_int_equal(symlink("f", path("link")), 0);
	assert_int_equal(file_read(&b, path("link")), ST_EPERM);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(b.len, 0);
	assert_int_equal(file_read_follow(&b, path("link")), 0);
	assert_int_equal(b.len, 1);
	assert_int_equal(file_read_follow(&b, path("fifo")), ST_EPERM);
	assert_int_equal(logged, 0);
	buf_fini(&b);
}

static void reads_pipes(void **state)
{
	struct buf b;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(p[1], "12345", 5), 5);
	buf_init(&b, 5);
	/* Full, and the end not seen yet */
	assert_int_equal(file_read_fd(&b, p[0]), ST_EAGAIN);
	assert_int_equal(b.len, 5);
	close(p[1]);
	assert_int_equal(file_read_fd(&b, p[0]), 0);
	close(p[0]);
	buf_fini(&b);

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "123456", 6), 6);
	close(p[1]);
	buf_init(&b, 5);
	assert_int_equal(file_read_fd(&b, p[0]), ST_EFULL);
	close(p[0]);
	buf_fini(&b);

	buf_init(&b, 5);
	assert_int_equal(file_read_fd(&b, -1), ST_ESYS);
	assert_int_equal(errno, EBADF);
	buf_fini(&b);
}

static void reads_many_pieces(void **state)
{
	size_t len = 100000;
	char *text = malloc(len + 1);

	(void)state;
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 23);
	text[len] = '\0';
	write_file("large", text);
	assert_holds("large", text);
	free(text);
}

static void replaces(void **state)
{
	struct stat st;
	mode_t old = umask(0077);

	(void)state;
	write_file("f", "old and long");
	assert_int_equal(file_write_atomic(path("f"), "new", 3, 0644), 0);
	umask(old);
	assert_holds("f", "new");
	assert_int_equal(stat(path("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(entries(), 1);

	/* A link is replaced, what it points to is left alone. */
	assert_int_equal(symlink("f", path("link")), 0);
	write_file("link", "own");
	assert_holds("f", "new");
	assert_holds("link", "own");
	assert_int_equal(entries(), 2);
}

static void replaces_in_the_working_folder(void **state)
{
	int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(back >= 0);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(file_write_atomic("plain", "x", 1, 0600), 0);
	assert_int_equal(fchdir(back), 0);
	close(back);
	assert_holds("plain", "x");
}

static void failed_write_leaves_all_as_it_was(void **state)
{
	(void)state;
	write_file("f", "old");
	assert_int_equal(file_mkdirs(path("d/full"), 0700), 0);
	assert_int_equal(entries(), 2);
	assert_int_equal(file_write_atomic(path("d"), "new", 3, 0600), ST_ESYS);
	assert_int_equal(file_write_atomic(path("f/below"), "new", 3, 0600), ST_ESYS);
	assert_int_equal(file_write_atomic(path("absent/f"), "new", 3, 0600), ST_ESYS);
	assert_int_equal(file_write_atomic(path(""), "new", 3, 0600), ST_ESYS);
	assert_int_equal(logged, 4);
	assert_holds("f", "old");
	assert_int_equal(entries(), 2);
}

static void makes_folders(void **state)
{
	struct stat st;
	mode_t old = umask(0077);

	(void)state;
	assert_int_equal(file_mkdirs(path("a//b/c/"), 0755), 0);
	umask(old);
	assert_int_equal(stat(path("a/b/c"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat(path("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);

	/* Those that are there keep their mode. */
	assert_int_equal(file_mkdirs(path("a/b/c/d"), 0700), 0);
	assert_int_equal(stat(path("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(file_mkdirs("/", 0700), 0);

	write_file("f", "x");
	assert_int_equal(file_mkdirs(path("f"), 0700), ST_ESYS);
	assert_int_equal(file_mkdirs(path("f/g"), 0700), ST_ESYS);
	assert_int_equal(file_mkdirs("", 0700), ST_ESYS);
	assert_int_equal(logged, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_to_the_limit),
		TEST(reads_only_regular_files),
		TEST(reads_pipes),
		TEST(reads_many_pieces),
		TEST(replaces),
		TEST(replaces_in_the_working_folder),
		TEST(failed_write_leaves_all_as_it_was),
		TEST(makes_folders),
	};

	log_tee(count_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
