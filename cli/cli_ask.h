// SPDX-License-Identifier: MIT
/* cli_ask.h - a question to the running daemon, and what to say when there is no answer */
#ifndef CLI_CLI_ASK_H
#define CLI_CLI_ASK_H

#include <jansson.h>

#include "cli/cli.h"
#include "daemon/daemon.h"

/** cli_ask() - what daemon_ask() does, with its failures told on stderr
 * @name: the instance that was named; NULL: whichever is up. @who: which one answered
 * Return: CLI_OK and *@out (json_decref), which may say "ok": false; an exit status, told */
int cli_ask(const char *name, const json_t *request, json_t **out, char who[DAEMON_NAME_MAX + 1]);

/** cli_str(), cli_num(), cli_bool() - a member; "", 0 or false if it is absent or something else */
const char *cli_str(const json_t *o, const char *key);
json_int_t cli_num(const json_t *o, const char *key);
bool cli_bool(const json_t *o, const char *key);

/** cli_print_json() - one object as one line on stdout */
void cli_print_json(const json_t *o);

#endif
