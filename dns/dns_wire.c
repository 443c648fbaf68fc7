// SPDX-License-Identifier: MIT
/*
 * dns_wire.c - what is read and patched in a message in place, without taking it apart
 *
 * Theory of operation: a question is walked label by label and never through a compression pointer: it stands at the start of the
 * message, where nothing is to point to. Bytes of labels are compared without case as a whole, lengths included: no length
 * (63 at most) is the code of a letter.
 */
#include <string.h>

#include "base/util.h"
#include "dns/dns_msg.h"

#define LABEL_MAX 63U	 /* RFC 1035, 2.3.4 */
#define QUESTION_TAIL 4U /* type and class */

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

size_t dns_msg_question_len(const uint8_t *msg, size_t len)
{
	size_t at = DNS_HEADER_BYTES;

	if (len < DNS_HEADER_BYTES || be16_get(msg + 4) != 1)
		return 0;
	for (;;) {
		if (at >= len || msg[at] > LABEL_MAX || at - DNS_HEADER_BYTES >= DNS_WIRE_NAME_MAX)
			return 0;
		if (msg[at] == 0)
			break;
		at += 1U + msg[at];
	}
	at++;
	if (at > len || len - at < QUESTION_TAIL)
		return 0;
	return at + QUESTION_TAIL - DNS_HEADER_BYTES;
}

bool dns_msg_same_question(const uint8_t *answer, size_t answer_len, uint16_t id,
			   const uint8_t *query, size_t query_len)
{
	size_t n = dns_msg_question_len(query, query_len);
	const uint8_t *a = answer + DNS_HEADER_BYTES, *q = query + DNS_HEADER_BYTES;

	if (n == 0 || dns_msg_question_len(answer, answer_len) != n)
		return false;
	if (dns_msg_id(answer) != id || !(answer[2] & 0x80))
		return false;
	for (size_t i = 0; i < n - QUESTION_TAIL; i++) {
		if (lower(a[i]) != lower(q[i]))
			return false;
	}
	return memcmp(a + n - QUESTION_TAIL, q + n - QUESTION_TAIL, QUESTION_TAIL) == 0;
}
