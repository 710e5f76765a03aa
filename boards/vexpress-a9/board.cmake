# ARM Versatile Express with a Cortex-A9 tile: LAN9118, CFI NOR, PL031; the router class.
set(TOCSIN_TRIPLET arm-none-eabi)
set(TOCSIN_ARCH cortex-a)
set(TOCSIN_CPU_FLAGS "-mcpu=cortex-a9 -mthumb -mfloat-abi=soft")

set(TOCSIN_BEARSSL_DEFINITIONS)

set(TOCSIN_DRIVERS lan9118.c pl011.c cfi_nor.c pl031.c sp804.c)

set(TOCSIN_STACK_BYTES 16384)

# `make size` fails above these, in bytes; RAM includes the whole stack.
set(TOCSIN_FLASH_LIMIT 229376)
set(TOCSIN_RAM_LIMIT 262144)
