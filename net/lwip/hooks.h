/* hooks.h - what lwIP's core needs declared for the hooks that lwipopts.h names. */
#ifndef TOCSIN_NET_LWIP_HOOKS_H
#define TOCSIN_NET_LWIP_HOOKS_H

#include "net/lwip/arch/cc.h"

#endif
