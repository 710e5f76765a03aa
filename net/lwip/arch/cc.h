/* cc.h - the compiler and the platform, for lwIP. */
#ifndef TOCSIN_NET_LWIP_ARCH_CC_H
#define TOCSIN_NET_LWIP_ARCH_CC_H

#include <stdint.h>

/* One cooperative loop: nothing to protect against, interrupts never call lwIP. */
#define SYS_ARCH_DECL_PROTECT(level)
#define SYS_ARCH_PROTECT(level)
#define SYS_ARCH_UNPROTECT(level)

uint32_t stack_random(void);
uint16_t stack_dns_port(void);
uint16_t stack_sntp_port(void);
int8_t stack_host(const char *name, void *ip_addr); /* ERR_OK: a name that needs no DNS. */
void stack_assert(int line) __attribute__((noreturn));
void stack_sntp_time(uint32_t unix_s, uint32_t fraction);

/* Tests want lwIP's assertions; in the firmware the texts would take 6 KB of flash. */
#define LWIP_PLATFORM_ASSERT(what) stack_assert(__LINE__)
#ifndef TOCSIN_LWIP_ASSERTS
#define LWIP_NOASSERT 1
#endif
#define LWIP_PLATFORM_DIAG(what)
#define LWIP_NO_INTTYPES_H 0
#define LWIP_NO_CTYPE_H 1 /* The C library's table takes 257 bytes. */

#endif
