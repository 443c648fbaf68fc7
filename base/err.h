// SPDX-License-Identifier: MIT
/* err.h - the one list of error codes: 0 is success, every failure is a negative ST_E* */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* The second column is what st_strerror() says; keep it short enough to end a log line. */
#define ST_ERRORS(X)                                                                               \
	X(EAGAIN, "not now, wait for the event")                                                   \
	X(ENOMEM, "out of memory")                                                                 \
	X(ESYS, "a system call failed")                                                            \
	X(EINVAL, "invalid argument")                                                              \
	X(ESHORT, "data ends too early")                                                           \
	X(EFORMAT, "malformed data")                                                               \
	X(EDIGEST, "digest does not match")                                                        \
	X(EFULL, "a limit is reached")                                                             \
	X(ENOENT, "no such thing")                                                                 \
	X(EEXIST, "exists already")                                                                \
	X(EPERM, "not permitted")                                                                  \
	X(ETIMEOUT, "timed out")                                                                   \
	X(ECLOSED, "closed")                                                                       \
	X(EREFUSED, "connection refused")                                                          \
	X(EUNREACH, "unreachable")                                                                 \
	X(EPROHIBITED, "administratively prohibited")                                              \
	X(EAUTH, "authentication failed")                                                          \
	X(EHOSTKEY, "host key not accepted")                                                       \
	X(ETLS, "TLS failed")                                                                      \
	X(EPEER, "the peer broke the protocol")                                                    \
	X(ECANCELED, "cancelled")                                                                  \
	X(EUNSUPPORTED, "not supported")                                                           \
	X(ECONFIG, "invalid configuration")

#define ST_ERR_ORDINAL(name, text) ST_ORD_##name,
enum st_err_ordinal { ST_ORD_OK, ST_ERRORS(ST_ERR_ORDINAL) ST_ERR_N };
#undef ST_ERR_ORDINAL

#define ST_ERR_CODE(name, text) ST_##name = -(int)ST_ORD_##name,
enum st_err { ST_OK = 0, ST_ERRORS(ST_ERR_CODE) };
#undef ST_ERR_CODE

/**
 * st_strerror() - the text of an error code
 * @err: 0, or a negative ST_E*
 * Return: a static string, never NULL; "unknown error" for a number that is not in the list
 */
const char *st_strerror(int err);

/** st_errname() - the code's own name, "ST_EAGAIN"; for logs of impossible results. Never NULL. */
const char *st_errname(int err);

#endif
