/* pl031.h - ARM's real-time clock, which counts seconds since 1970 (ARM DDI 0224C). */
#ifndef TOCSIN_HAL_DRIVERS_PL031_H
#define TOCSIN_HAL_DRIVERS_PL031_H

#include "net/error.h"

#include <stdint.h>

/* E_MISSING: it shows a time before 2020, so nobody has set it. */
int pl031_read(uintptr_t base, uint64_t *unix_s);

/* E_INVALID: beyond its 32 bits. */
int pl031_write(uintptr_t base, uint64_t unix_s);

#endif
