/* flash_check.h - what every flash driver does the same way: argument checks and reading back. */
#ifndef TOCSIN_HAL_FLASH_CHECK_H
#define TOCSIN_HAL_FLASH_CHECK_H

#include "hal/flash.h"

/* 0 or E_INVALID, for the three calls of struct flash. */
int flash_check_read(const struct flash *flash, uint32_t address, size_t size);
int flash_check_program(const struct flash *flash, uint32_t address, size_t size);
int flash_check_erase(const struct flash *flash, uint32_t address);

/* 0, E_IO: the part does not hold that, or what read() returned. data NULL: all bytes erased. */
int flash_verify(const struct flash *flash, uint32_t address, const uint8_t *data, size_t size);

#endif
