// SPDX-License-Identifier: MIT
/*
 * tun_rules.c - policy rules: ours, and those of others in our band
 *
 *   5299  iif lo fwmark 0x5373 goto 5301     our own sockets: to the service, to a proxy
 *   5300  iif lo lookup 5373
 *   5301  iif lo nop
 *
 * A prefix that we route may hold the service's own address (PrivateLink) or a proxy's: a session that went through the device would
 * carry itself. "not fwmark" in one rule would not do: "not" turns the whole rule round, iif lo with it. And what our sockets
 * go by is not "main" either: rules of others stay in force for them.
 *
 * Theory of operation: a rule is ours if its priority is in TUN_RULE_FIRST..TUN_RULE_LAST and it carries our
 * protocol number (FRA_PROTOCOL), which no other program sets; nothing else is ever deleted. Rules outlive
 * device and process, so every function here works without a device and opens its own socket.
 */
#include "tun/tun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define RULES_MAX 64U	  /* ours: rules in the band that one look takes in */
#define RULE_MSG_MAX 512U /* ours: bytes of one rule as the kernel tells it, about 200 */

struct rule {
	uint32_t priority, table;
	uint8_t protocol;
	size_t len;
	_Alignas(struct nlmsghdr) uint8_t msg[RULE_MSG_MAX]; /* as it came */
};

struct rule_list {
	struct rule v[RULES_MAX];
	size_t n;
	int family;
};

static int read_attr(const struct nlattr *attr, void *arg)
{
	const struct nlattr **tb = arg;

	if (mnl_attr_get_type(attr) <= FRA_MAX)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static uint32_t attr_u32(const struct nlattr *attr, uint32_t otherwise)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(attr)
								  : otherwise;
}

static void collect_band(void *arg, const struct nlmsghdr *nlh)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_MAX + 1] = { 0 };
	struct rule_list *list = arg;
	struct rule rule = { .len = nlh->nlmsg_len };

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*frh) ||
	    mnl_attr_parse(nlh, sizeof(*frh), read_attr, tb) < 0)
		return;
	/* Without IPv6 the kernel answers for the families that it has. */
	if (frh->family != list->family || nlh->nlmsg_len > RULE_MSG_MAX || list->n == RULES_MAX)
		return;
	rule.priority = attr_u32(tb[FRA_PRIORITY], 0);
	rule.table = attr_u32(tb[FRA_TABLE], frh->table);
	if (tb[FRA_PROTOCOL] && mnl_attr_validate(tb[FRA_PROTOCOL], MNL_TYPE_U8) == 0)
		rule.protocol = mnl_attr_get_u8(tb[FRA_PROTOCOL]);
	if (rule.priority < TUN_RULE_FIRST || rule.priority > TUN_RULE_LAST)
		return;
	memcpy(rule.msg, nlh, nlh->nlmsg_len);
	list->v[list->n++] = rule;
}

static bool is_ours(const struct rule *rule)
{
	return rule->protocol == TUN_RTPROT;
}

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
	return error ? tun_nl_error(error, "delete policy rule %u", rule->priority) : 1;
}

static int delete_ours(struct tun_nl *nl)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct rule_list list;
	int deleted = 0, failed = 0, r;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if ((r = read_band(nl, &list, families[f])) < 0)
			return r;
		for (size_t i = 0; i < list.n; i++) {
			if (!is_ours(&list.v[i]))
				continue;
			if ((r = delete_rule(nl, &list.v[i])) < 0)
				failed = r;
			else
				deleted += r;
		}
	}
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

/* In the order of adding: a goto needs its target. */
static const struct own_rule {
	uint32_t priority;
	uint8_t action;
	uint32_t mark, table, target; /* 0: without */
} own_rules[] = {
	{ .priority = TUN_RULE_PASSED, .action = FR_ACT_NOP },
	{ .priority = TUN_RULE_OWN,
	  .action = FR_ACT_GOTO,
	  .mark = TUN_MARK,
	  .target = TUN_RULE_PASSED },
	{ .priority = TUN_RULE_PRIO, .action = FR_ACT_TO_TBL, .table = TUN_TABLE },
};

static int add_rule(struct tun_nl *nl, int family, const struct own_rule *rule)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	int error;

	frh->family = (uint8_t)family;
	frh->action = rule->action;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, rule->priority);
	if (rule->table)
		mnl_attr_put_u32(nlh, FRA_TABLE, rule->table);
	if (rule->mark)
		mnl_attr_put_u32(nlh, FRA_FWMARK, rule->mark);
	if (rule->target)
		mnl_attr_put_u32(nlh, FRA_GOTO, rule->target);
	mnl_attr_put_strz(nlh, FRA_IIFNAME, "lo");
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, TUN_RTPROT);
	error = tun_nl_call(nl, nlh);
	if (error == EEXIST || (family == AF_INET6 && tun_nl_no_family(error)))
		return 0;
	return error ? tun_nl_error(error, "add policy rule %u (%s)", rule->priority,
				    family == AF_INET6 ? "IPv6" : "IPv4")
		     : 0;
}

static int add_rules(struct tun_nl *nl, int family)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(own_rules); i++)
		r = add_rule(nl, family, &own_rules[i]);
	return r;
}

int tun_rules_set(const struct tun_policy *p)
{
	char foreign[8][128];
	struct tun_nl nl;
	int n, r;

	(void)p;
	if ((n = tun_rules_foreign(foreign, ARRAY_LEN(foreign))) < 0)
		return n;
	for (int i = 0; i < n; i++)
		log_error("tun: a policy rule of another program stands in %u..%u: %s",
			  TUN_RULE_FIRST, TUN_RULE_LAST, foreign[i]);
	if (n > 0)
		return ST_EEXIST;
	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	if ((r = add_rules(&nl, AF_INET)) == 0)
		r = add_rules(&nl, AF_INET6);
	if (r < 0)
		delete_ours(&nl);
	tun_nl_close(&nl);
	return r;
}

/* "from 10.0.0.0/8" or "from all"; nothing for an absent "to". */
static void describe_prefix(char *out, size_t cap, const char *word, int family, uint8_t len,
			    const struct nlattr *attr)
{
	struct net_prefix p = { .len = len };
	char text[NET_PREFIX_STR];

	out[0] = '\0';
	if (attr && tun_nl_addr(&p.addr, family, attr))
		snprintf(out, cap, " %s %s", word, net_prefix_str(text, &p));
	else if (strcmp(word, "from") == 0)
		snprintf(out, cap, " from all");
}

static void describe(char out[128], const struct rule *rule)
{
	static const char *const actions[] = {
		[FR_ACT_GOTO] = "goto",		  [FR_ACT_NOP] = "nop",
		[FR_ACT_BLACKHOLE] = "blackhole", [FR_ACT_UNREACHABLE] = "unreachable",
		[FR_ACT_PROHIBIT] = "prohibit",
	};
	const struct nlmsghdr *nlh = (const void *)rule->msg;
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_MAX + 1] = { 0 };
	char from[64], to[64], iif[64] = "", what[32], line[256];

	mnl_attr_parse(nlh, sizeof(*frh), read_attr, tb);
	describe_prefix(from, sizeof(from), "from", frh->family, frh->src_len, tb[FRA_SRC]);
	describe_prefix(to, sizeof(to), "to", frh->family, frh->dst_len, tb[FRA_DST]);
	if (tb[FRA_IIFNAME] && mnl_attr_validate(tb[FRA_IIFNAME], MNL_TYPE_NUL_STRING) == 0)
		snprintf(iif, sizeof(iif), " iif %.50s",
			 text_safe(mnl_attr_get_str(tb[FRA_IIFNAME])).s);
	if (frh->action == FR_ACT_TO_TBL)
		snprintf(what, sizeof(what), "lookup %u", rule->table);
	else
		snprintf(what, sizeof(what), "%s",
			 frh->action < ARRAY_LEN(actions) && actions[frh->action]
				 ? actions[frh->action]
				 : "other");
	snprintf(line, sizeof(line), "%u:%s%s%s%s %s%s", rule->priority,
		 frh->flags & FIB_RULE_INVERT ? " not" : "", from, to, iif, what,
		 frh->family == AF_INET6 ? " (IPv6)" : "");
	text_copy(out, 128, line);
}

int tun_rules_foreign(char (*out)[128], size_t cap)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct rule_list list;
	struct tun_nl nl;
	size_t n = 0;
	int r;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	for (size_t f = 0; f < ARRAY_LEN(families) && r == 0; f++) {
		r = read_band(&nl, &list, families[f]);
		for (size_t i = 0; r == 0 && i < list.n && n < cap; i++)
			if (!is_ours(&list.v[i]))
				describe(out[n++], &list.v[i]);
	}
	tun_nl_close(&nl);
	return r < 0 ? r : (int)n;
}
