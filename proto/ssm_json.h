// SPDX-License-Identifier: MIT
/* ssm_json.h - the little that the JSON texts of proto/ share, over jansson; for the files of proto/ only */
#ifndef PROTO_SSM_JSON_H
#define PROTO_SSM_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/** ssm_json_load() - an object, the caller's; NULL if @p is no JSON object */
json_t *ssm_json_load(const uint8_t *p, size_t len);
/** ssm_json_text() - a member's text, valid as long as @object; "" if it is missing, null or no string */
const char *ssm_json_text(const json_t *object, const char *key);
/** ssm_json_dump() - compact text for free(); takes @root, NULL means that it could not be made.
 * Return: 0 and *@out; ST_ENOMEM */
int ssm_json_dump(char **out, json_t *root);
/** ssm_json_bytes() - a member that holds bytes in base64, for free(). Return: their number, 0 and no bytes if it is
 * missing, null or empty; ST_EFORMAT; ST_EFULL beyond @max bytes; ST_ENOMEM */
ssize_t ssm_json_bytes(uint8_t **out, const json_t *object, const char *key, size_t max);
/** ssm_json_of_bytes() - base64 text, the caller's; NULL without memory */
json_t *ssm_json_of_bytes(const uint8_t *p, size_t len);

#endif
