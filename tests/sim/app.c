// SPDX-License-Identifier: MIT
/*
 * app.c - sources and sinks
 *
 * Theory of operation: the plain pattern is a table of random bytes whose length is a prime, so
 * that no chunk size divides it; it stands twice in a row, so that any chunk is one comparison. SSH
 * records are made and checked one at a time; their content is the same pattern, so that a record
 * that passes its check but is not the right one is found out.
 */
#include "app.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "relay.h"

#define TABLE 65521U /* a prime */
#define SIDE_SHIFT 32749U
#define REFUSE_MAX_US (50 * SIM_MS)
#define MAC_LEN 8U
#define CONTENT (APP_RECORD - MAC_LEN)

static const uint8_t *pattern(int side, uint64_t pos)
{
	static uint8_t table[2 * TABLE];
	static bool made;

	if (!made) {
		struct sim s;

		sim_init(&s, UINT64_C(0x5353484d));
		for (size_t i = 0; i < TABLE; i++)
			table[i] = table[i + TABLE] = (uint8_t)sim_random(&s);
		sim_fini(&s);
		made = true;
	}
	return table + (pos + (side == SIM_AGENT ? SIDE_SHIFT : 0)) % TABLE;
}

/* ---- SSH records ---- */

static uint64_t mac(uint64_t number, const uint8_t *p)
{
	uint64_t h = number * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < CONTENT; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static size_t ssh_peek(struct sim_app *a, const uint8_t **p)
{
	size_t at = a->sent % APP_RECORD;

	if (at == 0) {
		memcpy(a->out, pattern(a->end->side, a->sent), CONTENT);
		be64_put(a->out + CONTENT, mac(a->sent / APP_RECORD, a->out));
	}
	*p = a->out + at;
	return APP_RECORD - at;
}

static int ssh_record(struct sim_app *a)
{
	uint64_t from = a->received - APP_RECORD;

	if (be64_get(a->in + CONTENT) != mac(from / APP_RECORD, a->in)) {
		a->broken = true;
		return ST_EPEER;
	}
	if (memcmp(a->in, pattern(!a->end->side, from), CONTENT) != 0)
		sim_fail(a->end->sim, "a wrong record passed its check");
	return 0;
}

static int ssh_take(struct sim_app *a, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t at = a->received % APP_RECORD;
		size_t n = MIN(len, APP_RECORD - at);

		memcpy(a->in + at, p, n);
		a->received += n;
		p += n;
		len -= n;
		if (a->received % APP_RECORD == 0 && ssh_record(a) < 0)
			return ST_EPEER;
	}
	return 0;
}

/* ---- both ---- */

size_t app_peek(struct sim_app *a, const uint8_t **p, size_t max)
{
	size_t n = MIN(max, a->to_send - a->sent);

	if (n == 0)
		return 0;
	if (a->ssh)
		return MIN(n, ssh_peek(a, p));
	*p = pattern(a->end->side, a->sent);
	return MIN(n, TABLE);
}

void app_advance(struct sim_app *a, size_t n)
{
	a->sent += n;
}

static int plain_take(struct sim_app *a, const uint8_t *p, size_t len)
{
	for (size_t done = 0; done < len; done += MIN(len - done, TABLE)) {
		size_t n = MIN(len - done, TABLE);

		if (memcmp(p + done, pattern(!a->end->side, a->received + done), n) == 0)
			continue;
		sim_fail(a->end->sim, "wrong bytes within %zu from %" PRIu64 " on", len,
			 a->received);
		break;
	}
	a->received += len;
	return 0;
}

/* The sink closes for a while. */
static bool refuses(struct sim_app *a)
{
	struct sim *s = a->end->sim;

	if (!sim_chance(s, a->refuse_permille))
		return false;
	a->refusing = true;
	sim_at(s, s->now_us + 1 + sim_below(s, REFUSE_MAX_US), SIM_EV_APP, a->end, 0);
	return true;
}

int app_take(struct sim_app *a, const uint8_t *p, size_t len)
{
	int r;

	if (a->refusing || refuses(a))
		return ST_EAGAIN;
	if (len > a->expect - a->received && !a->ssh)
		sim_fail(a->end->sim, "more bytes arrived than were sent");
	r = a->ssh ? ssh_take(a, p, len) : plain_take(a, p, len);
	relay_progress(a->end->session);
	if (a->on_take)
		a->on_take(a, a->arg);
	return r;
}

bool app_done(const struct sim_app *a)
{
	return a->received >= a->expect;
}
