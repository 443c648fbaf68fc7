// SPDX-License-Identifier: MIT
/* cc.h - what lwIP asks of its platform; the functions are in netstack/ns_port.c */
#ifndef NETSTACK_PORT_ARCH_CC_H
#define NETSTACK_PORT_ARCH_CC_H

#include <errno.h>
#include <stdint.h>

/** ns_lwip_assert() - an assertion of lwIP failed: aborts, since its state can't be trusted from there on */
_Noreturn void ns_lwip_assert(const char *what, const char *file, int line);
/** ns_lwip_rand() - 32 bits from the cryptographic generator */
uint32_t ns_lwip_rand(void);

#define LWIP_PLATFORM_ASSERT(what) ns_lwip_assert(what, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(x) /* debug output is compiled out */
#define LWIP_RAND() ns_lwip_rand()

#endif
