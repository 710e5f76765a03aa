/* cfi_nor.h - a bank of two 16-bit CFI flash parts side by side, Intel command set (JESD68.01,
 * Intel AP-646).
 *
 *     static struct cfi_nor nor;
 *     static const struct flash flash = {..., .program_bytes = 4, .context = &nor, .read =
 * cfi_nor_read, ...}; int result = cfi_nor_init(&flash, 0x44000000);
 *
 * Every command goes to both parts at once, and both have to be ready. Between calls they are in
 * read-array mode. Program and erase wait for them, up to 10 s for an erase, and read back what
 * they did.
 */
#ifndef TOCSIN_HAL_DRIVERS_CFI_NOR_H
#define TOCSIN_HAL_DRIVERS_CFI_NOR_H

#include "hal/flash.h"

struct cfi_nor {
    uintptr_t base; /* 0: not the right parts; every call is refused with E_IO. */
};

/* Asks the parts what they are and compares that with flash. E_IO: no answer; E_MISSING: others. */
int cfi_nor_init(const struct flash *flash, uintptr_t base);

int cfi_nor_read(const struct flash *flash, uint32_t address, void *out, size_t size);
int cfi_nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size);
int cfi_nor_erase(const struct flash *flash, uint32_t address);

#endif
