/* mmio.h - device registers.
 *
 * Every access to a device goes through these, one load or store each, never merged or moved past
 * another.
 */
#ifndef TOCSIN_HAL_MMIO_H
#define TOCSIN_HAL_MMIO_H

#include <stdint.h>

static inline uint32_t mmio_read(uintptr_t address)
{
    return *(volatile uint32_t *)address;
}

static inline void mmio_write(uintptr_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

static inline void mmio_set(uintptr_t address, uint32_t bits)
{
    mmio_write(address, mmio_read(address) | bits);
}

static inline void mmio_clear(uintptr_t address, uint32_t bits)
{
    mmio_write(address, mmio_read(address) & ~bits);
}

#endif
