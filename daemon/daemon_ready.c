// SPDX-License-Identifier: MIT
/*
 * daemon_ready.c - the moment when `up` is up
 *
 * "Up" means: every upstream has a session, or waits for a person on a terminal (design, section 4). One that fails for good
 * before that ends `up`, unless --partial. Afterwards nothing ends it but a signal, `down`, or the loss of device or keeper. System
 * mode begins here.
 */
#include "daemon/daemon_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define SUMMARY_MAX 256U

static bool wait_for_person(const struct daemon *d)
{
	return isatty(STDERR_FILENO) && !d->opts->no_wait;
}

static void report_ready(struct daemon *d, size_t up, size_t failed)
{
	char summary[SUMMARY_MAX];
	uint64_t ms = loop_now_ms(d->loop) - d->start_ms;

	if (daemon_net_engage(d) < 0) {
		daemon_stop(d, 1, "system mode could not begin");
		return;
	}
	d->phase = DAEMON_RUNNING;
	loop_timer_cancel(d->loop, &d->start_timer);
	snprintf(summary, sizeof(summary),
		 "up: %zu of %zu upstreams, device %s, after %" PRIu64 " ms%s", up, up + failed,
		 tun_name(d->tun), ms, failed ? " (--partial)" : "");
	if (d->launch.report_fd < 0)
		log_info("%s", summary);
	else
		ask_leave(d->ask); /* it is the starter's, which ends now */
	int log_fd = launch_ready(&d->launch, &d->paths, summary);
	if (log_fd < 0)
		return;
	/* They were forked with the starter's stderr, which somebody may wait to see closed. */
	if (keep_note_log(d->keeper_fd, log_fd) < 0 || run_note_log(d->runner, log_fd) < 0)
		log_warn("a helper process keeps the terminal's stderr");
}

/* What rules "match: vpc" do to the start. Return: true if `up` has to wait for one, or has failed by one */
static bool vpcs_hold(struct daemon *d)
{
	bool wait = false;

	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++) {
		const struct vpc_rule *v = d->upstreams[i].vpc;

		if (!v)
			continue;
		if (v->state == VPC_FAILED && !d->opts->partial) {
			daemon_stop(d, 1, NULL);
			return true;
		}
		wait = wait || (v->state == VPC_WAITING && v->upstream->state != TNL_FAILED);
	}
	return wait;
}

/* Counts states; reports once all upstreams, and what they are to route, have settled. */
void daemon_check_ready(struct daemon *d)
{
	const size_t n_upstreams = d->plan.config->n_upstreams;
	size_t n[TNL_STATE_N] = { 0 };

	if (d->phase != DAEMON_STARTING)
		return;
	for (size_t i = 0; i < n_upstreams; i++)
		n[daemon_upstream_at(d, i)->state]++;
	if (n[TNL_FAILED] > 0 && (!d->opts->partial || n[TNL_FAILED] == n_upstreams)) {
		daemon_stop(d, 1, NULL);
		return;
	}
	if (n[TNL_WAITING] > 0 && !wait_for_person(d)) {
		daemon_stop(
			d, 1,
			"a login is needed, and nobody is there to wait for: log in as told above, "
			"then run `up` again");
		return;
	}
	if (!vpcs_hold(d) && n[TNL_UP] + n[TNL_FAILED] == n_upstreams)
		report_ready(d, n[TNL_UP], n[TNL_FAILED]);
}
