/* flash.h - one raw NOR flash.
 *
 * Program can only turn erased bits into the other value; an erase block goes back as a whole.
 * Every call is bounded in time by the driver and verified by it; addresses count from the start of
 * the part.
 */
#ifndef TOCSIN_HAL_FLASH_H
#define TOCSIN_HAL_FLASH_H

#include "net/error.h"

#include <stddef.h>
#include <stdint.h>

struct flash {
    uint32_t size_bytes;
    uint32_t erase_bytes;   /* Erase block. */
    uint32_t page_bytes;    /* A program operation never crosses a multiple of this. */
    uint32_t program_bytes; /* Program granularity: address and size are multiples of it. */
    uint8_t erased;         /* What an erased byte reads: 0xFF, or 0x00. */
    uint32_t config_base;   /* Region "configuration": two slots, whole erase blocks. */
    uint32_t config_bytes;
    uint32_t log_base; /* Region "log": a ring of whole erase blocks. */
    uint32_t log_bytes;
    void *context; /* The driver's own. */

    /* E_INVALID: outside the part, or misaligned; E_IO: the part did not answer in its bound. */
    int (*read)(const struct flash *flash, uint32_t address, void *out, size_t size);
    int (*program)(const struct flash *flash, uint32_t address, const void *data, size_t size);
    int (*erase)(const struct flash *flash, uint32_t address); /* The block that starts there. */
};

#endif
