// SPDX-License-Identifier: MIT
/* rt_explain.c - why a destination goes where it goes, by the same judgement as flows and queries */
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/text.h"
#include "router/rt_internal.h"

static void take_dest(const struct rt_dest *dest, struct rt_why *out)
{
	if (dest->name)
		text_copy(out->name, sizeof(out->name), dest->name);
	out->fake = dest->fake;
	out->learned = dest->learned;
	out->unknown_fake = dest->unknown_fake;
	out->never = dest->never;
	out->no_ipv6 = dest->no_ipv6;
	out->rule = dest->rule;
	out->name_rule = dest->name_rule;
	out->action = dest->action;
	out->upstream = dest->upstream;
	out->is_default = !dest->rule && !dest->name_rule && !dest->never && !dest->unknown_fake;
}

static void explain_name(struct rt *r, const char *name, struct rt_why *out)
{
	struct rt_dest dest;

	rt_dest_of_name(r, name, &dest);
	take_dest(&dest, out);
	if (rt_dns_of(r) && (dns_fake_of(rt_dns_of(r), name, 4, &out->addr) == 0 ||
			     dns_fake_of(rt_dns_of(r), name, 6, &out->addr) == 0))
		out->fake = true;
}

int rt_explain(struct rt *r, const char *host, struct rt_why *out)
{
	struct rt_dest dest;
	char name[DNAME_MAX];

	*out = (struct rt_why){ 0 };
	if (net_addr_parse(&out->addr, host) == 0) {
		rt_dest_of_addr(r, &out->addr, &dest);
		take_dest(&dest, out);
	} else if (dname_normal(name, host, NULL) == 0) {
		explain_name(r, name, out);
	} else {
		return ST_EFORMAT;
	}
	if (out->name[0])
		rt_dns_judge(r, out->name, &out->dns);
	return 0;
}
