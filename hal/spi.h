/* spi.h - one chip on an SPI bus, as its controller's driver offers it.
 *
 * One call is one chip select: the command bytes go out, then data goes out or comes in.
 */
#ifndef TOCSIN_HAL_SPI_H
#define TOCSIN_HAL_SPI_H

#include "net/error.h"

#include <stddef.h>
#include <stdint.h>

/* Command and data of one transfer together. */
#define SPI_TRANSFER_BYTES_MAX 32768u

struct spi {
    void *context;
    /* At most one of out and in is not NULL; size is its length. E_INVALID: too long. E_IO: the
     * controller did not move a byte within its bound. */
    int (*transfer)(const struct spi *spi, const uint8_t *command, size_t command_size,
                    const uint8_t *out, uint8_t *in, size_t size);
};

#endif
