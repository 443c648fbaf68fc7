// SPDX-License-Identifier: MIT
/* gw_document.h - the session documents that this gateway offers, and their parameters */
#ifndef GATEWAY_GW_DOCUMENT_H
#define GATEWAY_GW_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define GW_DOC_SSH "AWS-StartSSHSession"
#define GW_DOC_FORWARD "AWS-StartPortForwardingSession"
#define GW_DOC_FORWARD_HOST "AWS-StartPortForwardingSessionToRemoteHost"
#define GW_DOC_SHELL "SSM-SessionManagerRunShell" /* of a StartSession that names none */
#define GW_DOC_COMMAND "AWS-StartInteractiveCommand"
#define GW_DOC_COMMAND_PLAIN "AWS-StartNonInteractiveCommand"
#define GW_DOC_VALUE_MAX 65535U /* bytes of a value; ssm-protocol 1.2 */
#define GW_DOC_HOST_MAX 255U	/* characters of the parameter host: a DNS name */

/**
 * gw_document_check() - may StartSession ask ssm-tun-agent for document @name with @params?
 * @params: {"portNumber": ["22"], ...}, foreign; NULL or null: none. What is missing has the document's default.
 * @why: gets the reason, harmless text, if the result is not 0; @why_max bytes with its NUL
 * Return: 0; ST_ENOENT no such document here; ST_EINVAL a parameter that it does not take, or a bad value, or one that it
 * needs is missing
 */
int gw_document_check(const char *name, const json_t *params, char *why, size_t why_max);
/** gw_document_check_stock() - the same for a host with a stock agent, which serves more documents */
int gw_document_check_stock(const char *name, const json_t *params, char *why, size_t why_max);

/** gw_document_param_name() - the parameters of document @name: number @i, counted from 0; NULL beyond the last, or if there
 * is no such document */
const char *gw_document_param_name(const char *name, size_t i);

/** gw_document_param() - the value of parameter @param, or the document's default. @name and @params have passed
 * gw_document_check(). Return: NULL if the document has no such parameter, or no default for it; else text that lives as
 * long as @params */
const char *gw_document_param(const char *name, const json_t *params, const char *param);

/** gw_document_host_ok() - could it be a host name or an address? */
bool gw_document_host_ok(const char *host);

#endif
