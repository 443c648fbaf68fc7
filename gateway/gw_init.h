// SPDX-License-Identifier: MIT
/* gw_init.h - makes the gateway's folder: CA, server certificate, store */
#ifndef GATEWAY_GW_INIT_H
#define GATEWAY_GW_INIT_H

#include <stddef.h>

#define GW_CA_CERT "ca.pem" /* what clients and agents trust (ca_bundle, --ca) */
#define GW_CA_KEY "ca.key"
#define GW_SERVER_CERT "server.pem"
#define GW_SERVER_KEY "server.key"
#define GW_NAMES_MAX 32U

/**
 * gw_init() - @dir (made if it is missing, 0700) gets a CA, a server certificate and an empty store
 * @names: @n further names or addresses of the server, beside localhost, 127.0.0.1 and ::1
 * Return: 0; ST_EEXIST if any of the files is there (nothing is changed then); ST_EINVAL for a bad name; ST_ESYS;
 * ST_ETLS. All logged.
 */
int gw_init(const char *dir, const char *const *names, size_t n);

/** gw_path() - "@dir/@file" to @out (@cap bytes). Return: 0; ST_EINVAL if it is too long */
int gw_path(char *out, size_t cap, const char *dir, const char *file);

#endif
