// SPDX-License-Identifier: MIT
/*
 * keep_filter.c - our nftables table: which packets keep out of our policy rules
 *
 * Theory of operation: policy rules see single packets; what they must not swallow is known by connection only. So conntrack
 * remembers, and a packet gets our mark (TUN_MARK) before it is routed:
 *
 *  - the mark of our own connections is saved, and restored on what comes back. With src_valid_mark the kernel's check of where
 *    packets come from (rp_filter) then routes with the mark, as our own packets go, and does not drop the answers.
 *  - answers of connections that came from outside: of local servers (output), and of containers behind published ports (prerouting; not
 *    those out of our device, which belong to connections that went in there).
 *  - connections that stood before the table did: conntrack meets them in the middle, and can't tell who began them. A login that
 *    `up` was typed in must not be cut off, so they stay where they are until they end.
 *
 * Only packets without a mark get ours: other programs' marks are theirs. One table, replaced as a whole in one transaction.
 *
 * It also has the MSS of forwarded connections (forward: true) fit the way to the machine behind this one: our device's MTU is 65535, and
 * lwIP knows nothing of path MTUs, so segments of IPv6 that are too long for that way would vanish.
 *
 * libnftables is loaded when it is needed first: it would bring four libraries into every run of the program for what only system
 * mode uses.
 */
#include "keeper/keep_filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nftables/libnftables.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"
#include "tun/tun.h"

#define LIBRARY "libnftables.so.1"
#define SYSCTL "/proc/sys/net/ipv4/conf/all/src_valid_mark"
#define TABLE "inet ssm_tun"
#define COMMANDS_MAX 2048U /* bytes; ours: the table has about 1,200 */

/* The few functions that we use. */
struct nft {
	void *lib;
	__typeof__(&nft_ctx_new) ctx_new;
	__typeof__(&nft_ctx_free) ctx_free;
	__typeof__(&nft_ctx_buffer_error) buffer_error;
	__typeof__(&nft_ctx_buffer_output) buffer_output;
	__typeof__(&nft_ctx_get_error_buffer) error_text;
	__typeof__(&nft_run_cmd_from_buffer) run;
};

/* POSIX lets a data pointer be a function's; ISO C has no cast for it. */
static bool find(void *library, const char *name, void *out)
{
	void *p = dlsym(library, name);

	memcpy(out, &p, sizeof(p));
	return p != NULL;
}

static bool load(struct nft *n)
{
	static bool told;

	n->lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (n->lib && find(n->lib, "nft_ctx_new", &n->ctx_new) &&
	    find(n->lib, "nft_ctx_free", &n->ctx_free) &&
	    find(n->lib, "nft_ctx_buffer_error", &n->buffer_error) &&
	    find(n->lib, "nft_ctx_buffer_output", &n->buffer_output) &&
	    find(n->lib, "nft_ctx_get_error_buffer", &n->error_text) &&
	    find(n->lib, "nft_run_cmd_from_buffer", &n->run))
		return true;
	if (!told)
		log_error("keeper: load " LIBRARY ": %s", text_safe(dlerror()).s);
	told = true;
	if (n->lib)
		dlclose(n->lib);
	return false;
}

/* Runs @commands as one transaction. Return: 0; ST_EUNSUPPORTED with *@why */
static int run(const char *commands, struct text_safe *why)
{
	struct nft n = { 0 };
	struct nft_ctx *ctx;
	int r = ST_EUNSUPPORTED;

	*why = text_safe("");
	if (!load(&n))
		return r;
	ctx = n.ctx_new(NFT_CTX_DEFAULT);
	if (ctx && n.buffer_error(ctx) == 0 && n.buffer_output(ctx) == 0) {
		if (n.run(ctx, commands) == 0)
			r = 0;
		else
			*why = text_safe(n.error_text(ctx));
	}
	if (ctx)
		n.ctx_free(ctx);
	dlclose(n.lib);
	return r;
}

static int add_table(const char *device)
{
	const char *name = device[0] ? device : "lo";
	char commands[COMMANDS_MAX];
	struct text_safe why;
	int r;

	/* Added, so that deleting it can't fail. */
	snprintf(commands, sizeof(commands),
		 "add table " TABLE "\n"
		 "delete table " TABLE "\n"
		 "table " TABLE " {\n"
		 "  chain output {\n"
		 "    type route hook output priority mangle; policy accept;\n"
		 "    meta mark %#x ct mark set %#x\n"
		 "    meta mark 0 ct direction reply meta mark set %#x\n"
		 "    meta mark 0 ct state new tcp flags & (fin|syn|rst) == 0 ct mark set %#x\n"
		 "    meta mark 0 ct mark %#x meta mark set %#x\n"
		 "  }\n"
		 "  chain prerouting {\n"
		 "    type filter hook prerouting priority mangle; policy accept;\n"
		 "    meta mark 0 ct mark %#x meta mark set %#x\n"
		 "    meta mark 0 iifname != \"%s\" ct direction reply meta mark set %#x\n"
		 "  }\n"
		 "  chain forward {\n"
		 "    type filter hook forward priority mangle; policy accept;\n"
		 "    iifname \"%s\" tcp flags & (syn|rst) == syn tcp option maxseg size set rt "
		 "mtu\n"
		 "    oifname \"%s\" tcp flags & (syn|rst) == syn tcp option maxseg size set rt "
		 "mtu\n"
		 "  }\n"
		 "}\n",
		 TUN_MARK, TUN_MARK, TUN_MARK, TUN_MARK, TUN_MARK, TUN_MARK, TUN_MARK, TUN_MARK,
		 name, TUN_MARK, name, name);
	if ((r = run(commands, &why)) < 0)
		log_error("keeper: nftables table " TABLE
			  ": %s; without it: sysctl net.ipv4.conf.all.rp_filter=2",
			  why.s[0] ? why.s : "this machine has no nftables");
	return r;
}

static int delete_table(void)
{
	struct text_safe why;
	int r;

	if (run("list table " TABLE "\n", &why) < 0)
		return 0; /* gone, or never there */
	if ((r = run("delete table " TABLE "\n", &why)) < 0)
		log_error("keeper: remove the nftables table " TABLE ": %s", why.s);
	return r < 0 ? ST_ESYS : 0;
}

/* Return: 0 or 1; ST_ESYS */
static int sysctl_read(void)
{
	int fd = open(SYSCTL, O_RDONLY | O_CLOEXEC);
	char c = 0;
	ssize_t got = fd < 0 ? -1 : read(fd, &c, 1);

	if (fd >= 0)
		close(fd);
	return got == 1 && (c == '0' || c == '1') ? c - '0' : ST_ESYS;
}

static int sysctl_write(int value)
{
	int fd = open(SYSCTL, O_WRONLY | O_CLOEXEC);
	ssize_t put = fd < 0 ? -1 : write(fd, value ? "1\n" : "0\n", 2);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return put == 2 ? 0 : log_sys("keeper: sysctl net.ipv4.conf.all.src_valid_mark=%d", value);
}

static int switch_on(struct keep_journal *j)
{
	int was = sysctl_read(), r;

	if (was < 0) {
		log_error("keeper: read " SYSCTL
			  ": %s; instead: sysctl net.ipv4.conf.all.rp_filter=2",
			  strerror(errno));
		return ST_ESYS;
	}
	if (j->src_valid_mark < 0)
		j->src_valid_mark = was;
	j->filter = true;
	if ((r = keep_journal_write(j)) < 0 || (r = add_table(j->device)) < 0)
		return r;
	return sysctl_read() == 1 ? 0 : sysctl_write(1);
}

int keep_filter_undo(const struct keep_journal *j)
{
	int r = 0;

	/* Somebody else's 0 since then stays. */
	if (j->src_valid_mark == 0 && sysctl_read() == 1)
		r = sysctl_write(0);
	if (j->filter && delete_table() < 0)
		r = ST_ESYS;
	return r;
}

int keep_filter_set(struct keep_journal *j, bool on)
{
	int r = on ? switch_on(j) : 0, undone;

	if (on && r == 0)
		return 0;
	undone = keep_filter_undo(j);
	if (undone < 0)
		return r < 0 ? r : undone;
	j->filter = false;
	j->src_valid_mark = -1;
	undone = keep_journal_write(j);
	return r < 0 ? r : undone;
}
