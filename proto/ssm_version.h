// SPDX-License-Identifier: MIT
/*
 * ssm_version.h - what the version that a peer announces in the handshake lets us do
 *
 * Each end decides by itself, from the other's version, and by a comparison of its own: the two rules
 * differ as they do in the stock peers, because both ends must come to the same mode. ssm-protocol, 5.4.
 */
#ifndef PROTO_SSM_VERSION_H
#define PROTO_SSM_VERSION_H

#include <stdbool.h>

struct ssm_features {
	bool terminate_flag; /* the agent understands flag TerminateSession; else only the API call ends it */
	bool mux;	     /* LocalPortForwarding is a multiplexed session, else a basic one */
	bool mux_keepalive;   /* both ends of the multiplexed session send keepalives */
	bool separate_output; /* the client tells stdout, stderr and exit code apart */
};

/** ssm_features_of_agent() - what a client may do with an agent of @version (foreign text, "" if unknown) */
struct ssm_features ssm_features_of_agent(const char *version);
/** ssm_features_of_client() - what an agent may do with a client of @version */
struct ssm_features ssm_features_of_client(const char *version);

#endif
