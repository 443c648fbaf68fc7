// SPDX-License-Identifier: MIT
/* gw_schema.h - the tables of the gateway's store, and how those of an earlier version become today's */
#ifndef GATEWAY_GW_SCHEMA_H
#define GATEWAY_GW_SCHEMA_H

#include <sqlite3.h>

/** gw_schema_create() - all tables in the empty database @db. Return: 0; ST_ESYS (logged) */
int gw_schema_create(sqlite3 *db);
/** gw_schema_upgrade() - nothing for a database of today; an older one is changed in one transaction.
 * Return: 0; ST_EUNSUPPORTED (logged) if a newer program has written it; ST_ESYS (logged) */
int gw_schema_upgrade(sqlite3 *db);

#endif
