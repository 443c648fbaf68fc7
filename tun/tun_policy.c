// SPDX-License-Identifier: MIT
/*
 * tun_policy.c - which policy rules a struct tun_policy means, and how one is told to the kernel and read back
 *
 * Theory of operation: the rules of one family are a list in the order of adding, which is also the reverse order of deleting: first the
 * target of every goto, then what keeps packets out, then what takes them in. So no packet is taken in before its exception stands.
 * A rule that the kernel tells is read into the same struct as one that we want, and compared by its fields.
 *
 * Who is taken in ("who" below) is a selector that 5301, 5302 and 5304 share. Without an access list there is one: whatever is
 * made here (iif lo), or everything (forward). With one there is a rule for each range of users, and our DNS server's addresses
 * are everybody's: a resolver of the system asks it as a user of its own.
 *
 * Strict rp_filter looks the source of a packet up backwards: as if made here by user 0, from the packet's destination, and for rules with
 * iif lo without protocol and ports (fib_rule_requires_fldissect()). So rules by port or user don't see it, and every answer that
 * the device brings for them would be dropped. Hence the same ways once more for packets from the device's own address, which a
 * program has only once a rule has led it here, or if it binds that address. A user outside of the list who does that can't be told from
 * rp_filter, nor can one who binds the device (SO_BINDTODEVICE): an access list holds only if the flow's socket is asked too
 * (tun_socket_uid()). IPv6 has no rp_filter.
 *
 * With forward what comes out of the device passes our rules by: it goes to this machine or to a container, and never back.
 */
#include "tun/tun.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define DHCP4_SERVER 67U /* RFC 2131 */
#define DHCP4_CLIENT 68U
#define DHCP6_SERVER 547U /* RFC 8415 */
#define DNS_PORT 53U
#define WHO_MAX TUN_UIDS_MAX
/* goto's target, 5299 twice, DHCP, main; 5302 for each of our server's addresses; 5302 and 5304 for each who; 5301 by UDP and TCP;
 * the own address */
#define RULES_OF_FAMILY_MAX                                                                        \
	(5U + 2U + WHO_MAX * (2U + 2U * TUN_RESOLVERS_MAX) + TUN_RESOLVERS_MAX + 1U)

_Static_assert(RULES_OF_FAMILY_MAX <= TUN_RULES_MAX,
	       "TUN_RULES_MAX is below what a policy can need");

struct list {
	struct tun_rule *v;
	size_t n;
	struct tun_rule who[WHO_MAX]; /* selectors only */
	size_t n_who;
	uint8_t family; /* 4 or 6 */
};

static struct net_prefix host_prefix(const struct net_addr *a)
{
	return (struct net_prefix){ .addr = *a, .len = net_addr_bits(a) };
}

static struct tun_rule *put(struct list *l, const struct tun_rule *rule)
{
	ST_ASSERT(l->n < RULES_OF_FAMILY_MAX);
	l->v[l->n] = *rule;
	return &l->v[l->n++];
}

static void set_iif(struct tun_rule *rule, const char *name)
{
	text_copy(rule->iif, sizeof(rule->iif), name);
}

static const char *taken_iif(const struct tun_policy *p)
{
	return p->forward ? "" : "lo";
}

static void choose_who(struct list *l, const struct tun_policy *p)
{
	if (p->n_uids == 0) {
		set_iif(&l->who[l->n_who++], taken_iif(p));
		return;
	}
	for (size_t i = 0; i < p->n_uids; i++)
		l->who[l->n_who++] =
			(struct tun_rule){ .iif = "lo", .by_uid = true, .uids = p->uids[i] };
}

static bool is_there(const struct list *l, const struct tun_rule *rule)
{
	for (size_t i = 0; i < l->n; i++)
		if (tun_rule_same(&l->v[i], rule))
			return true;
	return false;
}

static void put_once(struct list *l, const struct tun_rule *rule)
{
	if (!is_there(l, rule))
		put(l, rule);
}

/* One rule for each who; a range or resolver that is named twice counts once. */
static void put_lookups(struct list *l, const struct tun_rule *base)
{
	for (size_t i = 0; i < l->n_who; i++) {
		struct tun_rule rule = *base;

		set_iif(&rule, l->who[i].iif);
		rule.by_uid = l->who[i].by_uid;
		rule.uids = l->who[i].uids;
		put_once(l, &rule);
	}
}

/* What stays outside, the target of every goto first. */
static void put_passers(struct list *l, const struct tun_policy *p)
{
	const struct tun_rule pass = { .action = FR_ACT_GOTO, .target = TUN_RULE_PASSED };
	struct tun_rule *rule;

	put(l, &(struct tun_rule){ .priority = TUN_RULE_PASSED, .action = FR_ACT_NOP });
	rule = put(l, &pass);
	rule->priority = TUN_RULE_OWN;
	rule->mark = TUN_MARK;
	set_iif(rule, taken_iif(p)); /* answers of published ports carry it too (keep_filter()) */
	if (p->forward) {
		rule = put(l, &pass);
		rule->priority = TUN_RULE_OWN;
		set_iif(rule, p->device);
	}
	if (!p->system)
		return;
	rule = put(l, &pass);
	rule->priority = TUN_RULE_DHCP;
	rule->ipproto = IPPROTO_UDP;
	rule->sport = l->family == 4 ? DHCP4_CLIENT : 0;
	rule->dport = l->family == 4 ? DHCP4_SERVER : DHCP6_SERVER;
	set_iif(rule, "lo");
	rule = put(l, &(struct tun_rule){ .priority = TUN_RULE_MAIN,
					  .action = FR_ACT_TO_TBL,
					  .table = RT_TABLE_MAIN,
					  .not_default = true });
	set_iif(rule, taken_iif(p));
}

/* Queries to one resolver, or to all of them (@to of family 0). */
static void put_queries_to(struct list *l, const struct tun_policy *p, const struct net_prefix *to)
{
	static const uint8_t protocols[] = { IPPROTO_UDP, IPPROTO_TCP };
	struct tun_rule rule = { .priority = TUN_RULE_DNS,
				 .action = FR_ACT_TO_TBL,
				 .table = TUN_TABLE_ALL,
				 .to = *to,
				 .dport = DNS_PORT };

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		rule.ipproto = protocols[i];
		put_lookups(l, &rule);
	}
	if (p->own.family != l->family)
		return;
	rule.dport = rule.ipproto = 0;
	rule.from = host_prefix(&p->own);
	set_iif(&rule, "lo");
	put_once(l, &rule);
}

static void put_queries(struct list *l, const struct tun_policy *p)
{
	const struct net_prefix all = { 0 };

	if (p->system) {
		put_queries_to(l, p, &all);
		return;
	}
	for (size_t i = 0; i < p->n_resolvers; i++) {
		const struct net_prefix to = host_prefix(&p->resolvers[i]);

		if (to.addr.family == l->family)
			put_queries_to(l, p, &to);
	}
}

/* What everybody may, whoever is on the list: our DNS server, and rp_filter's question. */
static void put_beside_users(struct list *l, const struct tun_policy *p)
{
	struct tun_rule rule = {
		.priority = TUN_RULE_PRIO, .action = FR_ACT_TO_TBL, .table = TUN_TABLE, .iif = "lo"
	};

	for (size_t i = 0; i < ARRAY_LEN(p->stack); i++) {
		rule.to = host_prefix(&p->stack[i]);
		if (p->stack[i].family == l->family)
			put_once(l, &rule);
	}
	rule.to = (struct net_prefix){ 0 };
	rule.from = host_prefix(&p->own);
	if (p->own.family == l->family)
		put(l, &rule);
}

static void put_all(struct list *l, const struct tun_policy *p)
{
	put_passers(l, p);
	if (p->n_uids > 0)
		put_beside_users(l, p);
	put_queries(l, p);
	put_lookups(l, &(struct tun_rule){ .priority = TUN_RULE_PRIO,
					   .action = FR_ACT_TO_TBL,
					   .table = TUN_TABLE });
	if (!p->system)
		return;
	put_lookups(l, &(struct tun_rule){ .priority = TUN_RULE_ALL,
					   .action = FR_ACT_TO_TBL,
					   .table = TUN_TABLE_ALL });
}

bool tun_policy_ok(const struct tun_policy *p)
{
	if (p->n_uids > TUN_UIDS_MAX || p->n_resolvers > TUN_RESOLVERS_MAX)
		return false;
	if (p->forward && (p->n_uids > 0 || !memchr(p->device, '\0', sizeof(p->device)) ||
			   !tun_name_ok(p->device)))
		return false;
	for (size_t i = 0; i < p->n_uids; i++)
		if (p->uids[i].first > p->uids[i].last || p->uids[i].last == UINT32_MAX)
			return false;
	return true;
}

int tun_policy_rules(const struct tun_policy *p, int family, struct tun_rule **out, size_t *n)
{
	struct list *l = calloc(1, sizeof(*l));

	*out = NULL;
	if (!l || !(l->v = calloc(RULES_OF_FAMILY_MAX, sizeof(*l->v)))) {
		free(l);
		return ST_ENOMEM;
	}
	l->family = family == AF_INET6 ? 6 : 4;
	choose_who(l, p);
	put_all(l, p);
	*out = l->v;
	*n = l->n;
	free(l);
	return 0;
}

/* --- to the kernel and back */

static void put_port(struct nlmsghdr *nlh, uint16_t attr, uint16_t port)
{
	const struct fib_rule_port_range range = { .start = port, .end = port };

	if (port)
		mnl_attr_put(nlh, attr, sizeof(range), &range);
}

static uint8_t put_prefix(struct nlmsghdr *nlh, uint16_t attr, const struct net_prefix *p)
{
	if (!p->addr.family)
		return 0;
	mnl_attr_put(nlh, attr, net_addr_bytes(&p->addr), p->addr.b);
	return p->len;
}

void tun_rule_put(struct nlmsghdr *nlh, int family, const struct tun_rule *rule)
{
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	const struct fib_rule_uid_range uids = { rule->uids.first, rule->uids.last };

	frh->family = (uint8_t)family;
	frh->action = rule->action;
	frh->src_len = put_prefix(nlh, FRA_SRC, &rule->from);
	frh->dst_len = put_prefix(nlh, FRA_DST, &rule->to);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, rule->priority);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, TUN_RTPROT);
	if (rule->iif[0])
		mnl_attr_put_strz(nlh, FRA_IIFNAME, rule->iif);
	if (rule->table)
		mnl_attr_put_u32(nlh, FRA_TABLE, rule->table);
	if (rule->mark)
		mnl_attr_put_u32(nlh, FRA_FWMARK, rule->mark);
	if (rule->target)
		mnl_attr_put_u32(nlh, FRA_GOTO, rule->target);
	if (rule->not_default)
		mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, 0);
	if (rule->by_uid)
		mnl_attr_put(nlh, FRA_UID_RANGE, sizeof(uids), &uids);
	if (rule->ipproto)
		mnl_attr_put_u8(nlh, FRA_IP_PROTO, rule->ipproto);
	put_port(nlh, FRA_SPORT_RANGE, rule->sport);
	put_port(nlh, FRA_DPORT_RANGE, rule->dport);
}

static int read_attr(const struct nlattr *attr, void *arg)
{
	const struct nlattr **tb = arg;

	if (mnl_attr_get_type(attr) <= FRA_MAX)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static uint32_t get_u32(const struct nlattr *attr, uint32_t otherwise)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(attr)
								  : otherwise;
}

static uint8_t get_u8(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_U8) == 0 ? mnl_attr_get_u8(attr) : 0;
}

static void get_prefix(struct tun_rule *rule, struct net_prefix *out, int family, uint8_t len,
		       const struct nlattr *attr)
{
	if (attr && tun_nl_addr(&out->addr, family, attr))
		out->len = len;
	else if (attr || len)
		rule->odd = true;
}

static void get_port(struct tun_rule *rule, uint16_t *out, const struct nlattr *attr)
{
	struct fib_rule_port_range range;

	if (!attr)
		return;
	if (mnl_attr_get_payload_len(attr) != sizeof(range)) {
		rule->odd = true;
		return;
	}
	memcpy(&range, mnl_attr_get_payload(attr), sizeof(range));
	rule->odd |= range.start != range.end;
	*out = range.start;
}

static void get_uids(struct tun_rule *rule, const struct nlattr *attr)
{
	struct fib_rule_uid_range range;

	if (!attr)
		return;
	if (mnl_attr_get_payload_len(attr) != sizeof(range)) {
		rule->odd = true;
		return;
	}
	memcpy(&range, mnl_attr_get_payload(attr), sizeof(range));
	rule->by_uid = true;
	rule->uids = (struct tun_uids){ range.start, range.end };
}

static void get_iif(struct tun_rule *rule, const struct nlattr *attr)
{
	if (attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
		rule->odd |= !text_copy(rule->iif, sizeof(rule->iif), mnl_attr_get_str(attr));
}

bool tun_rule_read(struct tun_rule *out, const struct nlmsghdr *nlh)
{
	static const uint16_t never_ours[] = { FRA_OIFNAME, FRA_FLOW, FRA_TUN_ID };
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_MAX + 1] = { 0 };
	uint32_t suppressed;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*frh) ||
	    mnl_attr_parse(nlh, sizeof(*frh), read_attr, tb) < 0)
		return false;
	*out = (struct tun_rule){ .action = frh->action };
	out->family = frh->family;
	out->inverted = (frh->flags & FIB_RULE_INVERT) != 0;
	out->priority = get_u32(tb[FRA_PRIORITY], 0);
	out->table = get_u32(tb[FRA_TABLE], frh->table);
	out->target = get_u32(tb[FRA_GOTO], 0);
	out->mark = get_u32(tb[FRA_FWMARK], 0);
	out->protocol = get_u8(tb[FRA_PROTOCOL]);
	out->ipproto = get_u8(tb[FRA_IP_PROTO]);
	suppressed = get_u32(tb[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX);
	out->not_default = suppressed == 0;
	out->odd = frh->tos != 0 || out->inverted || get_u8(tb[FRA_L3MDEV]) != 0 ||
		   (suppressed != 0 && suppressed != UINT32_MAX) ||
		   get_u32(tb[FRA_SUPPRESS_IFGROUP], UINT32_MAX) != UINT32_MAX ||
		   (out->mark && get_u32(tb[FRA_FWMASK], UINT32_MAX) != UINT32_MAX);
	for (size_t i = 0; i < ARRAY_LEN(never_ours); i++)
		out->odd |= tb[never_ours[i]] != NULL;
	get_prefix(out, &out->from, frh->family, frh->src_len, tb[FRA_SRC]);
	get_prefix(out, &out->to, frh->family, frh->dst_len, tb[FRA_DST]);
	get_iif(out, tb[FRA_IIFNAME]);
	get_uids(out, tb[FRA_UID_RANGE]);
	get_port(out, &out->sport, tb[FRA_SPORT_RANGE]);
	get_port(out, &out->dport, tb[FRA_DPORT_RANGE]);
	return true;
}

static bool prefix_eq(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->len == b->len && net_addr_eq(&a->addr, &b->addr);
}

bool tun_rule_same(const struct tun_rule *a, const struct tun_rule *b)
{
	return !a->odd && !b->odd && a->priority == b->priority && a->action == b->action &&
	       a->table == b->table && a->target == b->target && a->mark == b->mark &&
	       strcmp(a->iif, b->iif) == 0 && a->ipproto == b->ipproto && a->sport == b->sport &&
	       a->dport == b->dport && a->not_default == b->not_default && a->by_uid == b->by_uid &&
	       (!a->by_uid || (a->uids.first == b->uids.first && a->uids.last == b->uids.last)) &&
	       prefix_eq(&a->from, &b->from) && prefix_eq(&a->to, &b->to);
}
