// SPDX-License-Identifier: MIT
/*
 * main.c - sim_run: many seeds, on all cores
 *
 * Theory of operation: one process per core, each takes every n-th seed; what they find comes back
 * over one pipe, a record a write. A process that dies (a sanitizer, an assertion) left the seed that
 * it was at in shared memory.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "seeds.h"

#define JOBS_MAX 64U
#define FAILURES_SHOWN 10U

static const char usage[] =
	"usage: sim_run [--pair ours|plugin|agent|agent-cut] [--seeds N] [--bytes B | --up B "
	"--down B] [--from SEED] [--jobs N]\n"
	"               [--twice] [--quiet]\n"
	"       sim_run --pair P --bytes B --seed S        one seed again, every event printed\n"
	"\n"
	"  --pair   both ends ours, or one end a model of the stock plugin or agent (default: "
	"all)\n"
	"  --seeds  how many sessions, seeds SEED.. (default 1000 from 1)\n"
	"  --bytes  how many each way (default 32768); --up, --down: one way\n"
	"  --twice  each seed twice: the same events must come\n";

struct opts {
	int pair; /* -1: all */
	uint64_t seeds, from, up, down, seed;
	unsigned jobs;
	bool one, twice, quiet;
};

struct tally {
	uint64_t seeds, failures, cuts, resent, ssh_ends, virtual_us, longest_us;
	uint64_t trace; /* of all, in no order */
};

/* One line of the pipe: a failure, or the tally of a worker at its end. */
struct record {
	bool last;
	uint64_t seed;
	char reason[SIM_REASON_MAX];
	struct tally tally;
};

static void record_write(int fd, const struct record *r)
{
	if (write(fd, r, sizeof(*r)) !=
	    (ssize_t)sizeof(*r)) { /* below PIPE_BUF: whole or not at all */
		perror("sim_run: pipe");
		_exit(2);
	}
}

static void seed_check(struct seed_result *out, const struct opts *o, enum seed_pair pair,
		       uint64_t seed)
{
	struct seed_result again;

	seed_run(out, pair, seed, o->up, o->down, false);
	if (!o->twice || !out->ok)
		return;
	seed_run(&again, pair, seed, o->up, o->down, false);
	if (again.trace == out->trace)
		return;
	out->ok = false;
	snprintf(out->reason, sizeof(out->reason), "another run of it differs");
}

static void tally_add(struct tally *t, const struct seed_result *r)
{
	t->seeds++;
	t->failures += !r->ok;
	t->cuts += r->cuts;
	t->resent += r->resent;
	t->ssh_ends += r->ssh_ends;
	t->virtual_us += r->virtual_us;
	t->longest_us = MAX(t->longest_us, r->virtual_us);
	t->trace += r->trace;
}

static void worker(const struct opts *o, enum seed_pair pair, unsigned no, int fd, uint64_t *at)
{
	struct record r = { 0 };
	struct seed_result result;

	for (uint64_t seed = o->from + no; seed < o->from + o->seeds; seed += o->jobs) {
		*at = seed;
		seed_check(&result, o, pair, seed);
		tally_add(&r.tally, &result);
		if (result.ok)
			continue;
		r.seed = seed;
		memcpy(r.reason, result.reason, sizeof(r.reason));
		record_write(fd, &r);
	}
	*at = 0;
	r.last = true;
	record_write(fd, &r);
}

static void failure_print(const struct opts *o, enum seed_pair pair, uint64_t seed,
			  const char *reason)
{
	printf("FAIL  seed %" PRIu64 ": %s\n      tests/sim/run --pair %s --up %" PRIu64
	       " --down %" PRIu64 " --seed %" PRIu64 "\n",
	       seed, reason, seed_pair_name(pair), o->up, o->down, seed);
}

static void tally_merge(struct tally *sum, const struct tally *t)
{
	sum->seeds += t->seeds;
	sum->failures += t->failures;
	sum->cuts += t->cuts;
	sum->resent += t->resent;
	sum->ssh_ends += t->ssh_ends;
	sum->virtual_us += t->virtual_us;
	sum->longest_us = MAX(sum->longest_us, t->longest_us);
	sum->trace += t->trace;
}

static void collect(const struct opts *o, enum seed_pair pair, int fd, struct tally *sum)
{
	unsigned shown = 0;
	struct record r;
	ssize_t n;

	while ((n = read(fd, &r, sizeof(r))) == (ssize_t)sizeof(r) || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (r.last)
			tally_merge(sum, &r.tally);
		else if (shown++ < FAILURES_SHOWN)
			failure_print(o, pair, r.seed, r.reason);
	}
}

/* Return: how many died */
static unsigned reap(const struct opts *o, enum seed_pair pair, const pid_t *pids,
		     const uint64_t *at)
{
	unsigned dead = 0;
	int status;

	for (unsigned i = 0; i < o->jobs; i++) {
		if (waitpid(pids[i], &status, 0) < 0 ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == 0))
			continue;
		dead++;
		failure_print(o, pair, at[i], "the process died");
	}
	return dead;
}

static pid_t worker_start(const struct opts *o, enum seed_pair pair, unsigned no, const int fds[2],
			  uint64_t *at)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	close(fds[0]);
	worker(o, pair, no, fds[1], &at[no]);
	exit(0); /* the sanitizers look for leaks now */
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void summary(const struct opts *o, enum seed_pair pair, const struct tally *t, double took)
{
	uint64_t n = MAX(t->seeds, 1U);

	printf("%-9s  %6" PRIu64 " seeds, %" PRIu64 " bytes up, %" PRIu64 " down: %" PRIu64
	       " failed, %.1f s; "
	       "%" PRIu64 " cuts, %" PRIu64
	       " copies sent by ours; virtual time %.2f s on average, %.1f s at most",
	       seed_pair_name(pair), t->seeds, o->up, o->down, t->failures, took, t->cuts,
	       t->resent, (double)t->virtual_us / 1e6 / (double)n, (double)t->longest_us / 1e6);
	if (t->ssh_ends)
		printf("; SSH ended %" PRIu64, t->ssh_ends);
	printf("; trace %016" PRIx64 "\n", t->trace);
}

/* Return: how many seeds failed */
static uint64_t pair_run(const struct opts *o, enum seed_pair pair)
{
	uint64_t *at = mmap(NULL, JOBS_MAX * sizeof(*at), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start = seconds(CLOCK_MONOTONIC);
	struct tally sum = { 0 };
	pid_t pids[JOBS_MAX];
	int fds[2];

	fflush(stdout);
	if (at == MAP_FAILED || pipe(fds) < 0)
		ST_BUG("no pipe or shared memory");
	for (unsigned i = 0; i < o->jobs; i++)
		if ((pids[i] = worker_start(o, pair, i, fds, at)) < 0)
			ST_BUG("no process");
	close(fds[1]);
	collect(o, pair, fds[0], &sum);
	close(fds[0]);
	sum.failures += reap(o, pair, pids, at);
	munmap(at, JOBS_MAX * sizeof(*at));
	if (!o->quiet || sum.failures)
		summary(o, pair, &sum, seconds(CLOCK_MONOTONIC) - start);
	return sum.failures;
}

static int one_run(const struct opts *o)
{
	struct seed_result r;

	seed_run(&r, (enum seed_pair)o->pair, o->seed, o->up, o->down, true);
	printf("seed %" PRIu64 ": %s; %u cuts, %" PRIu64 " copies, trace %016" PRIx64 "\n", o->seed,
	       r.ok ? "ok" : r.reason, r.cuts, r.resent, r.trace);
	return r.ok ? 0 : 1;
}

/* ---- options ---- */

static _Noreturn void usage_exit(void)
{
	fputs(usage, stderr);
	exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || v > max)
		usage_exit();
	return v;
}

static int pair_find(const char *name)
{
	for (int i = 0; i < SEED_PAIR_N; i++)
		if (strcmp(seed_pair_name((enum seed_pair)i), name) == 0)
			return i;
	usage_exit();
}

static void opts_read(struct opts *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "pair", required_argument, NULL, 'p' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "from", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "twice", no_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "up", required_argument, NULL, 'u' },
		{ "down", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p': o->pair = pair_find(optarg); break;
		case 'n': o->seeds = number(optarg, UINT32_MAX); break;
		case 'b': o->up = o->down = number(optarg, UINT32_MAX); break;
		case 'u': o->up = number(optarg, UINT32_MAX); break;
		case 'd': o->down = number(optarg, UINT32_MAX); break;
		case 'f': o->from = number(optarg, UINT64_MAX / 2); break;
		case 's':
			o->seed = number(optarg, UINT64_MAX);
			o->one = true;
			break;
		case 'j': o->jobs = (unsigned)number(optarg, JOBS_MAX); break;
		case 't': o->twice = true; break;
		case 'q': o->quiet = true; break;
		default: usage_exit();
		}
	}
	if (optind != argc || o->jobs == 0 || o->up + o->down == 0 || (o->one && o->pair < 0))
		usage_exit();
}

int main(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct opts o = {
		.pair = -1,
		.seeds = 1000,
		.from = 1,
		.up = KIB(32),
		.down = KIB(32),
		.jobs = (unsigned)MIN(MAX(cores, 1), (long)JOBS_MAX),
	};
	uint64_t failures = 0;

	opts_read(&o, argc, argv);
	if (o.one)
		return one_run(&o);
	for (int i = 0; i < SEED_PAIR_N; i++)
		if (o.pair < 0 || o.pair == i)
			failures += pair_run(&o, (enum seed_pair)i);
	return failures ? 1 : 0;
}
