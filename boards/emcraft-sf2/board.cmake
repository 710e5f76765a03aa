# Emcraft SmartFusion2 SOM (M2S010): Cortex-M3, 256 KB eNVM, 64 KB eSRAM.
set(TOCSIN_TRIPLET arm-none-eabi)
set(TOCSIN_ARCH cortex-m)
set(TOCSIN_CPU_FLAGS "-mcpu=cortex-m3 -mthumb")

# The M3's long multiplication takes a time that depends on its operands: see docs/security.md.
set(TOCSIN_BEARSSL_DEFINITIONS BR_CT_MUL31=1 TOCSIN_EC_P256_I31 TOCSIN_EC_NO_X25519)

# Link-time optimization: 6 % less flash.
set(TOCSIN_LTO ON)

set(TOCSIN_DRIVERS sf2_mac.c sf2_spi.c sf2_timer.c spi_nor.c systick.c uart_16550.c)

# The deepest path measured is a TLS handshake; `make bench` prints it from the painted stack.
set(TOCSIN_STACK_BYTES 5888)

# `make size` fails above these, in bytes; RAM includes the whole stack.
set(TOCSIN_FLASH_LIMIT 194560)
set(TOCSIN_RAM_LIMIT 65536)
