/* hooks.h - what lwIP's core needs declared for the hooks that lwipopts.h names. */
#ifndef TOCSIN_NET_LWIP_HOOKS_H
#define TOCSIN_NET_LWIP_HOOKS_H

#include "lwip/err.h"
#include "lwip/ip_addr.h"
#include "net/lwip/arch/cc.h"

err_t stack_host(const char *name, ip_addr_t *address); /* ERR_OK: a name that needs no DNS. */

#endif
