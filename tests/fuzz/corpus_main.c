// SPDX-License-Identifier: MIT
/*
 * corpus_main.c - runs a fuzz target over files, without libFuzzer
 *
 * Arguments are files and folders; every file below a folder is one input. Without any input the
 * run fails, so that a wrong path can't pass.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_MAX (4L * 1024 * 1024) /* ours: as libFuzzer's largest default for files */
#define OPEN_FOLDERS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

/* A buffer of exactly the input's size, so that a sanitizer sees a read beyond. */
static int run(FILE *f, long size)
{
	uint8_t *data = malloc(size ? (size_t)size : 1);
	int r = -1;

	if (data && fread(data, 1, (size_t)size, f) == (size_t)size) {
		LLVMFuzzerTestOneInput(data, (size_t)size);
		inputs++;
		r = 0;
	}
	free(data);
	return r;
}

static int file_run(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	FILE *f;
	int r;

	(void)ftw;
	if (type != FTW_F)
		return type == FTW_D ? 0 : -1;
	if (st->st_size > INPUT_MAX)
		return -1;
	f = fopen(path, "rb");
	if (!f)
		return -1;
	r = run(f, (long)st->st_size);
	fclose(f);
	return r;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], file_run, OPEN_FOLDERS, FTW_PHYS) != 0) {
			fprintf(stderr, "can't run %s\n", argv[i]);
			return 1;
		}
	}
	printf("%u inputs\n", inputs);
	return inputs ? 0 : 1;
}
