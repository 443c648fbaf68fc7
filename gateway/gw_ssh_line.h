// SPDX-License-Identifier: MIT
/* gw_ssh_line.h - public keys and user names of SendSSHPublicKey, checked alike by gateway and agent */
#ifndef GATEWAY_GW_SSH_LINE_H
#define GATEWAY_GW_SSH_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define GW_SSH_LINE_MIN 80U   /* characters of SSHPublicKey; ssm-protocol, 1.4 */
#define GW_SSH_LINE_MAX 4096U /* the same */
#define GW_SSH_USER_MAX 32U   /* characters of InstanceOSUser; ssm-protocol, 1.4 */

/**
 * gw_ssh_line_read() - a line of authorized_keys without options to "TYPE BASE64"; its comment, and one newline at its end, are dropped
 * @out: GW_SSH_LINE_MAX + 1 bytes; untouched on error
 * Return: 0; ST_EFORMAT: not one line, not of a type that sshd takes (Ed25519, ECDSA, RSA), or its base64 does not hold that type
 */
int gw_ssh_line_read(char *out, const char *line);
/** gw_ssh_user_ok() - may it be the name of a user of the host, and of a file? */
bool gw_ssh_user_ok(const char *user);

#endif
