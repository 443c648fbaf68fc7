// SPDX-License-Identifier: MIT
/* gw_envelope.h - the JSON envelope of /ws/agent, read and written by gateway and agent alike */
#ifndef GATEWAY_GW_ENVELOPE_H
#define GATEWAY_GW_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/util.h"

#define ENV_MAX KIB(64) /* ours: bytes of one envelope */
#define ENV_ID_MAX 128U /* ours: characters of id and of channel */
#define ENV_CHANNEL_MAX 256U

/* Channels; gateway.md, Registration and Sessions. session.end, session.reopen and ssh.key are ours. */
#define CH_REGISTER "agent.registration"
#define CH_COMPLETE "agent.registration.complete"
#define CH_COMPLETE_ALIAS "registration.complete"
#define CH_ERROR "error"
#define CH_SESSION_START "session.start"
#define CH_SESSION_TERMINATE "session.terminate" /* to the agent: {"session_id"} */
#define CH_SESSION_REOPEN                                                                          \
	"session.reopen" /* to the gateway: {"session_id"}; answer {"session_id","token","url"} */
#define CH_SSH_KEY                                                                                 \
	"ssh.key" /* to the agent: {"push_id","user","key","life_s"}; answer {"push_id","result"} */
#define CH_SESSION_END "session.end" /* to the gateway: {"session_id","status","output"} */

enum env_type { ENV_REQUEST, ENV_RESPONSE, ENV_EVENT, ENV_HEARTBEAT, ENV_ERROR, ENV_TYPE_N };

struct env {
	enum env_type type;
	const char *id, *channel, *payload; /* foreign text, owned by doc */
	json_t *headers;		    /* an object, owned by doc */
	json_t *body; /* the JSON object inside the payload; NULL if it is none (never for a request) */
	json_t *doc;
};

/**
 * env_parse() - read one frame
 * A request's payload must be base64 of a JSON object. Of other types it may be that or JSON text or anything.
 * Return: 0, *@out to be freed by env_fini(); ST_EFORMAT, then *@code and *@why are static texts for an error message
 */
int env_parse(struct env *out, const uint8_t *p, size_t len, const char **code, const char **why);
void env_fini(struct env *e);

/**
 * env_format() - write one frame
 * @id: NULL: a fresh UUID; @body: borrowed; of a request it is sent as base64, else as JSON text; NULL: ""
 * @reply_to: id of the message that this one answers, sent as header "in_reply_to"; NULL: none
 * Return: text to be freed by free(), or NULL without memory
 */
char *env_format(enum env_type type, const char *id, const char *channel, const json_t *body,
		 const char *reply_to, int64_t unix_s);
/** env_echo() - @e again with our own time stamp (the answer to a heartbeat); to be freed, NULL without memory */
char *env_echo(const struct env *e, int64_t unix_s);

/** json_str() - the string member @key of @o, or NULL if it is missing or no string */
const char *json_str(const json_t *o, const char *key);
/** json_safe_copy() - a deep copy whose strings and keys went through text_safe(); NULL beyond 8 levels */
json_t *json_safe_copy(const json_t *v);

#endif
