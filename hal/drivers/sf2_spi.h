/* sf2_spi.h - the SmartFusion2's MSS SPI as a master of one chip on select line 0 (UG0331). */
#ifndef TOCSIN_HAL_DRIVERS_SF2_SPI_H
#define TOCSIN_HAL_DRIVERS_SF2_SPI_H

#include "hal/spi.h"

/* context of the struct spi is the controller's base address; the bit clock is its APB clock
 * over 4. */
void sf2_spi_init(const struct spi *spi);
int sf2_spi_transfer(const struct spi *spi, const uint8_t *command, size_t command_size,
                     const uint8_t *out, uint8_t *in, size_t size);

#endif
