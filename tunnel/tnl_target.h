// SPDX-License-Identifier: MIT
/*
 * tnl_target.h - one target of an upstream: as the user wrote it, and the instance that it is now
 *
 * What StartSession takes as it is needs no look-up. All else is looked up right before a session is started; sessions that start
 * together share one look-up, and its answer for TNL_FOUND_MS.
 */
#ifndef TUNNEL_TNL_TARGET_H
#define TUNNEL_TNL_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/list.h"

#define TNL_FOUND_MS 30000U /* ours: an auto-scaling group needs longer to replace an instance */
#define TNL_LABEL_MAX 256U

struct tnl_fault;
struct tnl_upstream;

struct tnl_found {
	char id[AWS_TARGET_TEXT_MAX];	    /* what StartSession takes; the name in known_hosts */
	char region[AWS_TARGET_REGION_MAX]; /* "": the account's */
};

struct tnl_target {
	struct tnl_upstream *u;
	const char *text; /* as the user wrote it; borrowed for life */
	struct aws_target target;
	struct aws_look look;
	struct list waits; /* of struct tnl_target_wait */
	struct tnl_found found;
	uint64_t until_ms; /* so long found is good; 0: it is not */
};

/* Who waits; in a struct of the caller's, which tnl_target_wait_init() makes ready. */
struct tnl_target_wait {
	struct list_node node;
	struct tnl_target *t;
	void (*done)(void *arg, const struct tnl_fault *f); /* @f NULL: found */
	void *arg;
};

/** tnl_target_init() - Return: 0; ST_EINVAL */
int tnl_target_init(struct tnl_target *t, struct tnl_upstream *u, const char *text);
void tnl_target_fini(struct tnl_target *t); /* no callback; all zero is fine */
/** tnl_target_now() - Return: true and *@out if nothing need be looked up */
bool tnl_target_now(struct tnl_target *t, struct tnl_found *out);
void tnl_target_wait_init(struct tnl_target_wait *w, struct tnl_target *t,
			  void (*done)(void *arg, const struct tnl_fault *f), void *arg);
/** tnl_target_find() - done() follows, once, never from within; then tnl_target_now() says what was found. Return: 0; as aws_ask() */
int tnl_target_find(struct tnl_target_wait *w);
void tnl_target_cancel(struct tnl_target_wait *w); /* no callback; none under way is fine */
/** tnl_target_forget() - what was found does not serve: look it up anew next time */
void tnl_target_forget(struct tnl_target *t);
/** tnl_target_label() - "tag:Name=bastion (i-0abc…)", or the id alone if that is what the user wrote; made safe. @found may be NULL */
void tnl_target_label(char out[TNL_LABEL_MAX], const struct tnl_target *t,
		      const struct tnl_found *found);

#endif
