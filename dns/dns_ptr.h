// SPDX-License-Identifier: MIT
/* dns_ptr.h - names of the reverse tree */
#ifndef DNS_DNS_PTR_H
#define DNS_DNS_PTR_H

#include <stdbool.h>

#include "base/addr.h"

/** dns_ptr_addr() - the address for which @name (lower case, no last dot) stands below in-addr.arpa or ip6.arpa. Return: false: none */
bool dns_ptr_addr(struct net_addr *out, const char *name);

#endif
