// SPDX-License-Identifier: MIT
/*
 * tun_rules.c - policy rules: ours made what they should be, and those of others in our band
 *
 * A prefix that we route may hold the service's own address (PrivateLink) or a proxy's: a session that went through the device would
 * carry itself. "not fwmark" in one rule would not do: "not" turns the whole rule round, iif lo with it. And what our sockets
 * go by is not "main" either: rules of others stay in force for them.
 *
 * Theory of operation: a rule is ours if its priority is in TUN_RULE_FIRST..TUN_RULE_LAST and it carries our
 * protocol number (FRA_PROTOCOL), which no other program sets; nothing else is ever deleted. Rules outlive
 * device and process, so every function here works without a device and opens its own socket.
 *
 * tun_rules_set() reads what stands, adds what is missing, then deletes what is too much, comparing contents. The kernel deletes the first
 * rule that has what the request names: where one of ours selects less than another of the same priority, it may take the
 * wrong one. So the band is read again until it is as it should be; the wrong one was added after, and is then the last.
 */
#include "tun/tun.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define RULE_MSG_MAX 512U /* ours: bytes of one rule as the kernel tells it, about 250 */
#define SET_PASSES 4U	  /* ours: two are needed, see above */
#define LIST_START 16U

struct rule {
	struct tun_rule is;
	size_t len;
	_Alignas(struct nlmsghdr) uint8_t msg[RULE_MSG_MAX]; /* as it came */
};

struct rule_list {
	struct rule *v; /* owned */
	size_t n, cap;
	int family;
	bool no_memory;
};

static const int families[] = { AF_INET, AF_INET6 };

static bool list_grow(struct rule_list *list)
{
	size_t cap = list->cap ? list->cap * 2 : LIST_START;
	struct rule *v;

	if (list->n < list->cap)
		return true;
	if (cap > TUN_RULES_MAX || !(v = realloc(list->v, cap * sizeof(*v)))) {
		list->no_memory = true;
		return false;
	}
	list->v = v;
	list->cap = cap;
	return true;
}

static void collect_band(void *arg, const struct nlmsghdr *nlh)
{
	struct rule_list *list = arg;
	struct tun_rule is;

	if (nlh->nlmsg_len > RULE_MSG_MAX || !tun_rule_read(&is, nlh))
		return;
	/* Without IPv6 the kernel answers for the families that it has. */
	if (is.family != list->family || is.priority < TUN_RULE_FIRST ||
	    is.priority > TUN_RULE_LAST || !list_grow(list))
		return;
	list->v[list->n].is = is;
	list->v[list->n].len = nlh->nlmsg_len;
	memcpy(list->v[list->n++].msg, nlh, nlh->nlmsg_len);
}

static bool is_ours(const struct rule *rule)
{
	return rule->is.protocol == TUN_RTPROT;
}

/* *@list begins as zeroes or as left by an earlier call; the caller frees list->v, also after an error. */
static int read_band(struct tun_nl *nl, struct rule_list *list, int family)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, RTM_GETRULE, 0);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	int error;

	list->n = 0;
	list->family = family;
	frh->family = (uint8_t)family;
	error = tun_nl_dump(nl, nlh, collect_band, list, &list->n);
	if (error && !(family == AF_INET6 && tun_nl_no_family(error)))
		return tun_nl_error(error, "read the policy rules");
	if (list->no_memory) {
		log_error("tun: no memory for the policy rules, or more than %u in %u..%u",
			  TUN_RULES_MAX, TUN_RULE_FIRST, TUN_RULE_LAST);
		return ST_ENOMEM;
	}
	return 0;
}

/* Deletes by the kernel's own description, which names this rule and no other. */
static int delete_rule(struct tun_nl *nl, struct rule *rule)
{
	struct nlmsghdr *nlh = (void *)rule->msg;
	int error;

	nlh->nlmsg_type = RTM_DELRULE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = ++nl->seq;
	nlh->nlmsg_pid = 0;
	error = tun_nl_call(nl, nlh);
	if (error == ENOENT) /* somebody was faster */
		return 0;
	return error ? tun_nl_error(error, "delete policy rule %u", rule->is.priority) : 1;
}

/* The other way round than they are added: what takes packets in goes before what keeps them out. */
static int rank(const struct tun_rule *rule)
{
	switch (rule->priority) {
	case TUN_RULE_PASSED: return 0;
	case TUN_RULE_OWN:
	case TUN_RULE_DHCP:
	case TUN_RULE_MAIN: return 1;
	default: return 2;
	}
}

/* Return: how many; the last ST_E* of those that could not be deleted is in *@failed */
static int delete_family(struct tun_nl *nl, struct rule_list *list, int *failed)
{
	int deleted = 0;

	for (int turn = 2; turn >= 0; turn--) {
		for (size_t i = 0; i < list->n; i++) {
			struct rule *rule = &list->v[i];
			int gone = is_ours(rule) && rank(&rule->is) == turn ? delete_rule(nl, rule)
									    : 0;

			if (gone < 0)
				*failed = gone;
			else
				deleted += gone;
		}
	}
	return deleted;
}

static int delete_ours(struct tun_nl *nl)
{
	struct rule_list list = { 0 };
	int deleted = 0, failed = 0, r = 0;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if ((r = read_band(nl, &list, families[f])) < 0)
			break;
		deleted += delete_family(nl, &list, &failed);
	}
	free(list.v);
	if (r < 0)
		return r;
	return failed < 0 ? ST_ESYS : deleted;
}

int tun_rules_del(void)
{
	struct tun_nl nl;
	int r;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	r = delete_ours(&nl);
	tun_nl_close(&nl);
	return r;
}

/* What one family should have, and has. */
struct plan {
	int family;
	struct tun_rule *want; /* owned; in the order of adding */
	size_t n_want;
	struct rule_list have;
	size_t changes; /* in the last pass */
};

static bool stands(const struct plan *plan, const struct tun_rule *rule)
{
	for (size_t i = 0; i < plan->have.n; i++)
		if (is_ours(&plan->have.v[i]) && tun_rule_same(&plan->have.v[i].is, rule))
			return true;
	return false;
}

static bool is_wanted(const struct plan *plan, const struct tun_rule *rule)
{
	for (size_t i = 0; i < plan->n_want; i++)
		if (tun_rule_same(&plan->want[i], rule))
			return true;
	return false;
}

/* Return: 0; 1 if the kernel has no rules of that family; ST_EPERM; ST_ESYS */
static int add_rule(struct tun_nl *nl, int family, const struct tun_rule *rule)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	/* Not NLM_F_EXCL: the kernel takes a rule that selects less for the same as one that stands. */
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, RTM_NEWRULE, NLM_F_CREATE);
	const char *advice = "";
	int error;

	tun_rule_put(nlh, family, rule);
	error = tun_nl_call(nl, nlh);
	if (error == 0)
		return 0;
	if (family == AF_INET6 && tun_nl_no_family(error))
		return 1;
	if (error == EINVAL && (rule->dport || rule->by_uid))
		advice = " by port or user: this needs Linux 4.17 or newer";
	return tun_nl_error(error, "add policy rule %u (%s)%s", rule->priority,
			    family == AF_INET6 ? "IPv6" : "IPv4", advice);
}

static int add_missing(struct tun_nl *nl, struct plan *plan)
{
	int r;

	for (size_t i = 0; i < plan->n_want; i++) {
		if (stands(plan, &plan->want[i]))
			continue;
		if ((r = add_rule(nl, plan->family, &plan->want[i])) != 0)
			return r;
		plan->changes++;
	}
	return 0;
}

static int delete_unwanted(struct tun_nl *nl, struct plan *plan)
{
	int r;

	for (int turn = 2; turn >= 0; turn--) {
		for (size_t i = 0; i < plan->have.n; i++) {
			struct rule *rule = &plan->have.v[i];

			if (!is_ours(rule) || rank(&rule->is) != turn || is_wanted(plan, &rule->is))
				continue;
			plan->changes++;
			if ((r = delete_rule(nl, rule)) < 0)
				return r;
		}
	}
	return 0;
}

static int run_plan(struct tun_nl *nl, struct plan *plan)
{
	int r;

	for (unsigned int pass = 0; pass < SET_PASSES; pass++) {
		plan->changes = 0;
		if ((r = add_missing(nl, plan)) != 0)
			return MIN(r, 0);
		if ((r = delete_unwanted(nl, plan)) < 0)
			return r;
		if (plan->changes == 0)
			return 0;
		if ((r = read_band(nl, &plan->have, plan->family)) < 0)
			return r;
	}
	log_error("tun: the policy rules in %u..%u do not stay as they were set: does another "
		  "program change them, or is this Linux older than 4.17?",
		  TUN_RULE_FIRST, TUN_RULE_LAST);
	return ST_ESYS;
}

static size_t describe_foreign(const struct rule_list *list, char (*out)[128], size_t cap);

/* Nothing of ours may be changed beside somebody else's. */
static int refuse_foreign(const struct rule_list *list)
{
	char foreign[8][128];
	size_t n = describe_foreign(list, foreign, ARRAY_LEN(foreign));

	for (size_t i = 0; i < n; i++)
		log_error("tun: a policy rule of another program stands in %u..%u: %s",
			  TUN_RULE_FIRST, TUN_RULE_LAST, foreign[i]);
	return n > 0 ? ST_EEXIST : 0;
}

static int plan_family(struct tun_nl *nl, struct plan *plan, const struct tun_policy *p, int family)
{
	int r;

	plan->family = family;
	if ((r = tun_policy_rules(p, family, &plan->want, &plan->n_want)) < 0)
		return r;
	return read_band(nl, &plan->have, family);
}

int tun_rules_set(const struct tun_policy *p)
{
	struct plan plans[ARRAY_LEN(families)] = { 0 };
	int r = 0, foreign = 0;
	struct tun_nl nl;

	if (!tun_policy_ok(p))
		return ST_EINVAL;
	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	for (size_t f = 0; r == 0 && f < ARRAY_LEN(families); f++)
		r = plan_family(&nl, &plans[f], p, families[f]);
	for (size_t f = 0; r == 0 && f < ARRAY_LEN(families); f++)
		foreign = MIN(foreign, refuse_foreign(&plans[f].have));
	if (r == 0)
		r = foreign;
	for (size_t f = 0; r == 0 && f < ARRAY_LEN(families); f++)
		r = run_plan(&nl, &plans[f]);
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		free(plans[f].want);
		free(plans[f].have.v);
	}
	tun_nl_close(&nl);
	return r;
}

/* "from 10.0.0.0/8" or "from all"; nothing for an absent "to". */
static void describe_prefix(char *out, size_t cap, const char *word, const struct net_prefix *p)
{
	char text[NET_PREFIX_STR];

	out[0] = '\0';
	if (p->addr.family)
		snprintf(out, cap, " %s %s", word, net_prefix_str(text, p));
	else if (strcmp(word, "from") == 0)
		snprintf(out, cap, " from all");
}

static void describe(char out[128], const struct tun_rule *rule)
{
	static const char *const actions[] = {
		[FR_ACT_GOTO] = "goto",		  [FR_ACT_NOP] = "nop",
		[FR_ACT_BLACKHOLE] = "blackhole", [FR_ACT_UNREACHABLE] = "unreachable",
		[FR_ACT_PROHIBIT] = "prohibit",
	};
	char from[64], to[64], iif[64] = "", what[32], line[256];

	describe_prefix(from, sizeof(from), "from", &rule->from);
	describe_prefix(to, sizeof(to), "to", &rule->to);
	if (rule->iif[0])
		snprintf(iif, sizeof(iif), " iif %.50s", text_safe(rule->iif).s);
	if (rule->action == FR_ACT_TO_TBL)
		snprintf(what, sizeof(what), "lookup %u", rule->table);
	else
		snprintf(what, sizeof(what), "%s",
			 rule->action < ARRAY_LEN(actions) && actions[rule->action]
				 ? actions[rule->action]
				 : "other");
	snprintf(line, sizeof(line), "%u:%s%s%s%s %s%s", rule->priority,
		 rule->inverted ? " not" : "", from, to, iif, what,
		 rule->family == AF_INET6 ? " (IPv6)" : "");
	text_copy(out, 128, line);
}

static size_t describe_foreign(const struct rule_list *list, char (*out)[128], size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n && n < cap; i++)
		if (!is_ours(&list->v[i]))
			describe(out[n++], &list->v[i].is);
	return n;
}

int tun_rules_foreign(char (*out)[128], size_t cap)
{
	struct rule_list list = { 0 };
	struct tun_nl nl;
	size_t n = 0;
	int r;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	for (size_t f = 0; f < ARRAY_LEN(families) && r == 0; f++)
		if ((r = read_band(&nl, &list, families[f])) == 0 && n < cap)
			n += describe_foreign(&list, out + n, cap - n);
	free(list.v);
	tun_nl_close(&nl);
	return r < 0 ? r : (int)n;
}
