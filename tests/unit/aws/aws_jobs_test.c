// SPDX-License-Identifier: MIT
/*
 * Cases: reading: content and mode, an empty file, a symlink, the largest file and one byte more, nothing there, a folder as a part
 * of the path, a folder, a FIFO, no permission, no path; writing: new, replaced, folders made, modes whatever the umask is, empty,
 * NUL bytes inside, a folder that can't be made, no path; what is read is what was written.
 */
#include <fcntl.h>

#include "tests/unit/aws/aws_fixture.h"

static uint8_t out[KIB(192)];
static size_t out_len;

static int read_path(const struct fx *f, const char *name)
{
	char path[256];
	int n = snprintf(path, sizeof(path), "%s/%s", f->home, name);

	memset(out, 0xee, sizeof(out));
	return aws_read_job((const uint8_t *)path, (size_t)n, out, &out_len);
}

static void put_file(const struct fx *f, const char *name, size_t len, mode_t mode)
{
	char path[256], *bytes = malloc(len + 1);
	int fd;

	assert_non_null(bytes);
	memset(bytes, 'x', len + 1);
	snprintf(path, sizeof(path), "%s/%s", f->home, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	free(bytes);
}

static void expect_read(const struct fx *f, const char *name, uint32_t mode, size_t len)
{
	uint32_t got;

	assert_int_equal(read_path(f, name), 0);
	assert_int_equal(out_len, sizeof(got) + len);
	memcpy(&got, out, sizeof(got));
	assert_int_equal(got, mode);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(out[sizeof(got) + i], 'x');
	assert_int_equal(out[sizeof(got) + len], 0xee);
}

static void expect_words(const struct fx *f, const char *name, int err, const char *words)
{
	assert_int_equal(read_path(f, name), err);
	assert_int_equal(out_len, strlen(words));
	assert_memory_equal(out, words, out_len);
}

static void test_read(void **state)
{
	const struct fx *f = *state;
	char from[256], to[256];

	put_file(f, "a", 5, 0640);
	expect_read(f, "a", 0640, 5);
	put_file(f, "empty", 0, 0600);
	expect_read(f, "empty", 0600, 0);
	snprintf(to, sizeof(to), "%s/a", f->home);
	snprintf(from, sizeof(from), "%s/link", f->home);
	assert_int_equal(symlink(to, from), 0);
	expect_read(f, "link", 0640, 5);
	put_file(f, "large", AWS_JOB_MAX, 0600);
	expect_read(f, "large", 0600, AWS_JOB_MAX);
	put_file(f, "larger", AWS_JOB_MAX + 1, 0600);
	expect_words(f, "larger", ST_EFULL, "the file is too large");
}

static void test_read_not(void **state)
{
	const struct fx *f = *state;
	char path[256];

	expect_words(f, "nothing", ST_ENOENT, "No such file or directory");
	put_file(f, "a", 1, 0600);
	expect_words(f, "a/b", ST_ENOENT, "Not a directory");
	expect_words(f, ".aws", ST_EPERM, "Is a directory");
	snprintf(path, sizeof(path), "%s/fifo", f->home);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_words(f, "fifo", ST_EPERM, "not a regular file");
	if (geteuid() != 0) {
		put_file(f, "closed", 1, 0);
		expect_words(f, "closed", ST_EPERM, "Permission denied");
	}
	assert_int_equal(aws_read_job((const uint8_t *)"", 0, out, &out_len), ST_ENOENT);
	assert_int_equal(aws_read_job((const uint8_t *)"/dev\0/null", 10, out, &out_len),
			 ST_ENOENT);
	memset(path, 'x', sizeof(path));
	assert_int_equal(aws_read_job((const uint8_t *)path, sizeof(path), out, &out_len), ST_ESYS);
}

static int write_path(const struct fx *f, const char *name, const char *data, size_t len)
{
	char in[512];
	int n = snprintf(in, sizeof(in), "%s/%s", f->home, name);

	memcpy(in + n + 1, data, len);
	return aws_write_job((const uint8_t *)in, (size_t)n + 1 + len, out, &out_len);
}

static void expect_mode(const struct fx *f, const char *name, mode_t mode)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->home, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void test_write(void **state)
{
	const struct fx *f = *state;
	mode_t mask = umask(0277);
	int err = write_path(f, ".aws/sso/cache/x.json", "x\0x", 3);

	umask(mask);
	assert_int_equal(err, 0);
	assert_int_equal(out_len, 0);
	expect_mode(f, ".aws/sso", 0700);
	expect_mode(f, ".aws/sso/cache", 0700);
	expect_mode(f, ".aws/sso/cache/x.json", 0600);
	assert_int_equal(read_path(f, ".aws/sso/cache/x.json"), 0);
	assert_int_equal(out_len, sizeof(uint32_t) + 3);
	assert_memory_equal(out + sizeof(uint32_t), "x\0x", 3);

	put_file(f, "wide", 3, 0644);
	assert_int_equal(write_path(f, "wide", "xx", 2), 0);
	expect_read(f, "wide", 0600, 2);
	assert_int_equal(write_path(f, "none", "", 0), 0);
	expect_read(f, "none", 0600, 0);
}

static void test_write_not(void **state)
{
	const struct fx *f = *state;

	put_file(f, "a", 1, 0600);
	assert_int_equal(write_path(f, "a/b/c", "x", 1), ST_ENOENT);
	assert_int_equal(out_len, strlen("Not a directory"));
	assert_memory_equal(out, "Not a directory", out_len);
	assert_int_equal(write_path(f, ".aws", "x", 1), ST_EPERM);
	assert_int_equal(aws_write_job((const uint8_t *)"/no/end", 7, out, &out_len), ST_EINVAL);
	assert_int_equal(aws_write_job((const uint8_t *)"\0x", 2, out, &out_len), ST_EINVAL);
	assert_int_equal(aws_write_job((const uint8_t *)"", 0, out, &out_len), ST_EINVAL);
	expect_read(f, "a", 0600, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_read),
		CASE(test_read_not),
		CASE(test_write),
		CASE(test_write_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
