// SPDX-License-Identifier: MIT
/* proto_json.c - fuzz target: any bytes as each text of the handshake; the first byte chooses which */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_handshake.h"
#include "proto/ssm_version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const uint8_t *p, size_t len)
{
	static const struct ssm_kms_answer kms = { .status = SSM_ACTION_SUCCESS,
						   .cipher_key = (const uint8_t *)"key",
						   .cipher_len = 3 };
	char refused[SSM_VERSION_MAX];
	struct ssm_response r;
	struct ssm_request q;
	char *text;

	if (ssm_handshake_request_read(&q, p, len) == 0)
		ssm_request_fini(&q);
	if (ssm_handshake_answer(&text, refused, p, len, SSM_CLIENT_VERSION, &kms) < 0)
		return;
	/* an agent of ours reads what we answer: done, or refused for the action that we named */
	ST_ASSERT(ssm_handshake_response_read(&r, (const uint8_t *)text, strlen(text)) ==
		  (refused[0] ? ST_EPEER : 0));
	ST_ASSERT(strcmp(r.client_version, SSM_CLIENT_VERSION) == 0);
	free(r.cipher_key);
	free(text);
}

static void response(const uint8_t *p, size_t len)
{
	struct ssm_response r;

	ssm_handshake_response_read(&r, p, len);
	free(r.cipher_key);
}

static void challenge(const uint8_t *p, size_t len)
{
	uint8_t *bytes;

	if (ssm_handshake_challenge_read(&bytes, 92, p, len) > 0)
		free(bytes);
}

static void properties(const uint8_t *p, size_t len)
{
	char *text = strndup((const char *)p, len);

	if (!text)
		abort();
	ssm_properties_read(text);
	free(text);
}

static void version(const uint8_t *p, size_t len)
{
	char *text = strndup((const char *)p, len);

	if (!text)
		abort();
	/* what nobody announces gets no newer feature; keepalives are an old one */
	if (strspn(text, ".") == strlen(text))
		ST_ASSERT(!ssm_features_of_agent(text).mux);
	ssm_features_of_client(text);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SSM_REASON_MAX];

	if (size == 0)
		return 0;
	switch (data[0] % 7) {
	case 0: request(data + 1, size - 1); break;
	case 1: response(data + 1, size - 1); break;
	case 2: ssm_handshake_complete_read(text, data + 1, size - 1); break;
	case 4: challenge(data + 1, size - 1); break;
	case 5: properties(data + 1, size - 1); break;
	case 6: version(data + 1, size - 1); break;
	default: ssm_closed_read(text, data + 1, size - 1); break;
	}
	return 0;
}
