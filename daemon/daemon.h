// SPDX-License-Identifier: MIT
/* daemon.h - what `ssm-tun up` runs: from the caller's command line to a working tunnel, and back to the host as it was */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <sys/types.h>

#include <jansson.h>

#include "base/log.h"
#include "config/config.h"

#define DAEMON_NAME_DEFAULT "default"

struct up_opts {
	const char *name;	 /* instance; NULL: DAEMON_NAME_DEFAULT */
	const char *config_path; /* -c; NULL: search */
	bool name_is_config;	 /* `up NAME`: /etc/ssm-tun/NAME.yaml */
	const struct cfg_flag *flags;
	size_t n_flags;
	bool detach, partial, no_wait;
	uint32_t timeout_ms; /* all of start; 0: none on a terminal, 120 s otherwise */
	enum log_level level;
	enum log_format format;
};

/** daemon_up() - everything `up` does; as root. Return: the process's exit status: 0 fine, 1 failed */
int daemon_up(const struct up_opts *opts);

/** daemon_down() - idempotent: asks, then SIGTERM, then SIGKILL, then undoes what is left; @name NULL: whichever is up;
 * @crashed: of a dead instance, what fail_closed keeps stays
 * Return: exit status */
int daemon_down(const char *name, bool crashed);

#define DAEMON_NAME_MAX 32U

/** daemon_name_ok() - an instance's name: [A-Za-z0-9_-]{1,32} */
bool daemon_name_ok(const char *name);

/** daemon_ask() - one answer of a running daemon to @request (borrowed): {"cmd": …}
 * @name: the instance; "" asks whichever is up and is then filled in
 * Return: 0 and *@out (json_decref); ST_ENOENT not running; ST_EPERM another user's, *@owner says whose (-1: unknown);
 * ST_ETIMEOUT, ST_EFORMAT, ST_ECLOSED no sensible answer; ST_ESYS (logged) */
int daemon_ask(char name[DAEMON_NAME_MAX + 1], const json_t *request, json_t **out, uid_t *owner);

/** daemon_check_host() - what of @c collides with this machine's networks, a line each to @to; needs no root. Return: how many; 0 also if
 * the routes can't be read (logged) */
size_t daemon_check_host(const struct config *c, FILE *to);

/** daemon_explain_file() - where @host would go by @c alone, as the answer to {"cmd":"explain"} has it; nothing runs. Return: never NULL */
json_t *daemon_explain_file(const struct config *c, const char *host);

#endif
