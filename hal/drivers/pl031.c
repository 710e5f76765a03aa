#include "hal/drivers/pl031.h"

#include "hal/mmio.h"

#define RTCDR 0x00u
#define RTCLR 0x08u
#define RTCCR 0x0Cu
#define RTCCR_START 1u

#define YEAR_2020_S 1577836800u

int pl031_read(uintptr_t base, uint64_t *unix_s)
{
    uint32_t now = mmio_read(base + RTCDR);

    if (now < YEAR_2020_S) {
        return E_MISSING;
    }
    *unix_s = now;
    return 0;
}

int pl031_write(uintptr_t base, uint64_t unix_s)
{
    if (unix_s > UINT32_MAX) {
        return E_INVALID;
    }
    mmio_write(base + RTCLR, (uint32_t)unix_s);
    mmio_write(base + RTCCR, RTCCR_START);
    return 0;
}
