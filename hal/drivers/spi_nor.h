/* spi_nor.h - a serial NOR flash with 3-byte addresses (Spansion S25FL128S data sheet 001-98283).
 *
 *     static struct spi_nor nor;
 *     static const struct flash flash = {..., .context = &nor, .read = spi_nor_read, ...};
 *     static const struct spi_nor_part part = {.id = {0x01, 0x20, 0x18}, .erase_opcode = 0xD8};
 *     int result = spi_nor_init(&flash, &spi, &part);
 *
 * Program and erase wait for the part, up to 5 s for an erase, and read back what they did.
 */
#ifndef TOCSIN_HAL_DRIVERS_SPI_NOR_H
#define TOCSIN_HAL_DRIVERS_SPI_NOR_H

#include "hal/flash.h"
#include "hal/spi.h"

struct spi_nor_part {
    uint8_t id[3]; /* Manufacturer, memory type, capacity, as RDID gives them. */
    uint8_t erase_opcode;
};

struct spi_nor {
    const struct spi *spi; /* NULL: not the right part; every call is refused with E_IO. */
    const struct spi_nor_part *part;
};

/* Waits for what a reset may have interrupted and compares the part's identity. E_IO: no answer;
 * E_MISSING: another part. After an error all other calls return E_IO. */
int spi_nor_init(const struct flash *flash, const struct spi *spi, const struct spi_nor_part *part);

int spi_nor_read(const struct flash *flash, uint32_t address, void *out, size_t size);
int spi_nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size);
int spi_nor_erase(const struct flash *flash, uint32_t address);

#endif
