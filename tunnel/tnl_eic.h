// SPDX-License-Identifier: MIT
/*
 * tnl_eic.h - EC2 Instance Connect as the source of SSH keys: a pair of our own, pushed right before the log-in that needs it
 *
 * Theory of operation: the service makes a key valid for one user of one instance, for 60 s. A pair is made for each push, so that
 * a key that leaked serves nobody for longer, and shared by the log-ins of TNL_EIC_SHARE_MS: whoever comes while it is pushed
 * waits for that push. One push is under way per upstream, and they are TNL_EIC_PACE_MS apart; throttled ones wait longer
 * each time, while their log-ins go on waiting. A log-in that sshd refuses after it shared an older push pushes once more.
 */
#ifndef TUNNEL_TNL_EIC_H
#define TUNNEL_TNL_EIC_H

#include "tunnel/tnl_internal.h"

#define TNL_EIC_SHARE_MS                                                                           \
	50000U /* ours: of 60 s at the service, from before the call; the rest is for the log-in */
#define TNL_EIC_PACE_MS 1000U /* ours */
#define TNL_EIC_PAIRS_MAX 64U /* ours; what pace and lifetime allow, and one for each session */

struct tnl_eic;

/* One log-in, in a struct of the session's. */
struct tnl_eic_login {
	struct list_node node; /* of the pair's */
	struct tnl_eic *eic;
	const struct tnl_found *to; /* borrowed for life */
	bool own_gateway;	    /* whose endpoint takes the push, too */
	struct eic_pair *pair;	    /* NULL: none */
	bool shared;		    /* the pair was pushed before this log-in came */
	bool again;		    /* it has pushed once more */
	struct tnl_fault fault;	    /* err 0: none; why there is no key */
	char text[TNL_TEXT_MAX];    /* of the fault, or why it takes so long; "" */
	struct ssh_key_source source;
	void (*kick)(void *arg);
	void *arg;
};

/** tnl_eic_new() - @u is borrowed for life. Return: 0; ST_ENOMEM */
int tnl_eic_new(struct tnl_eic **out, struct tnl_upstream *u);
void tnl_eic_free(struct tnl_eic *e); /* no log-in is left; NULL is fine */

/** tnl_eic_login_init() - @kick: call source.get() again; from the loop. @l->source is for the ssh_conn */
void tnl_eic_login_init(struct tnl_eic_login *l, struct tnl_eic *e, const struct tnl_found *to,
			bool own_gateway, void (*kick)(void *arg), void *arg);
/** tnl_eic_login_end() - the key is not used any more; all zero is fine, and twice */
void tnl_eic_login_end(struct tnl_eic_login *l);

#endif
