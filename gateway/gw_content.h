// SPDX-License-Identifier: MIT
/* gw_content.h - session documents as a stock agent is sent them; ssm-protocol 8.4 */
#ifndef GATEWAY_GW_CONTENT_H
#define GATEWAY_GW_CONTENT_H

#include <jansson.h>

/** gw_content_make() - the DocumentContent of document @name, the caller's; NULL if there is no such document, or without
 * memory */
json_t *gw_content_make(const char *name);

/** gw_content_params() - StartSession's lists of one string as strings (ssm-protocol, trap 30), the caller's; NULL without
 * memory. @params: have passed gw_document_check_stock(); NULL or null: none */
json_t *gw_content_params(const json_t *params);

#endif
