// SPDX-License-Identifier: MIT
/* gw_instance.h - instances of stock agents as hosts of the store */
#ifndef GATEWAY_GW_INSTANCE_H
#define GATEWAY_GW_INSTANCE_H

#include <jansson.h>

#include "gateway/gw_internal.h"

#define GWI_INSTANCES_MAX 4096U /* ours: instances that are remembered */

/** gwi_may() - is @key an agent's key that may speak for instance @id? */
bool gwi_may(const struct gw_key_rec *key, const char *id);

/**
 * gwi_seen() - the agent of instance @id has called, signed by @key; an unknown one is enrolled
 * Return: 0 and *@rec; ST_EINVAL the id is no name; ST_EPERM @key may not be that instance, or the id is that of a
 * host with ssm-tun-agent; ST_EFULL; ST_ESYS
 */
int gwi_seen(struct gw *gw, const struct gw_key_rec *key, const char *id, struct gw_agent_rec *rec);

/** gwi_update() - what UpdateInstanceInformation tells, into *@rec and the store; written only if it is new or the last
 * time is more than a minute ago. Return: 0; ST_ENOENT; ST_ESYS */
int gwi_update(struct gw *gw, struct gw_agent_rec *rec, const json_t *in);

/** gwi_platform_type() - "Linux", "Windows" or "MacOS"; "Linux" for ssm-tun-agent, or if the instance told anything else */
const char *gwi_platform_type(const struct gw_agent_rec *rec);
/** gwi_text() - a text that the instance told ("PlatformName", "IPAddress", …) or @fallback; to be freed */
char *gwi_text(const struct gw_agent_rec *rec, const char *member, const char *fallback);

#endif
