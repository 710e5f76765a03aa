#include "hal/drivers/spi_nor.h"

#include "hal/clock.h"
#include "hal/flash_check.h"

#include <stdbool.h>
#include <string.h>

#define OPCODE_PP 0x02u /* Page program. */
#define OPCODE_READ 0x03u
#define OPCODE_RDSR 0x05u
#define OPCODE_WREN 0x06u
#define OPCODE_CLSR 0x30u /* Clears P_ERR and E_ERR, which otherwise hold WIP. */
#define OPCODE_RDID 0x9Fu

#define SR_WIP (1u << 0) /* Write in progress. */
#define SR_WEL (1u << 1) /* Write enable latch. */
#define SR_E_ERR (1u << 5)
#define SR_P_ERR (1u << 6)
#define SR_ABSENT 0xFFu /* Nobody drives the line. */

/* Data sheet maxima are 0.75 ms and 2.6 s; older parts of the family take 3 ms and 3 s. */
#define PROGRAM_TIMEOUT_MS 50
#define ERASE_TIMEOUT_MS 5000

static struct spi_nor *nor_of(const struct flash *flash)
{
    return flash->context;
}

static int command(const struct spi_nor *nor, uint8_t opcode)
{
    return nor->spi->transfer(nor->spi, &opcode, 1, NULL, NULL, 0);
}

static int status(const struct spi_nor *nor)
{
    uint8_t opcode = OPCODE_RDSR;
    uint8_t value = 0;
    int result = nor->spi->transfer(nor->spi, &opcode, 1, NULL, &value, 1);

    return result < 0 ? result : value;
}

/* Until WIP goes. Errors are looked at first, since they keep it up. */
static int wait_ready(const struct spi_nor *nor, uint32_t timeout_ms)
{
    struct clock_timeout timeout = clock_timeout(timeout_ms);
    bool over;

    do {
        over = clock_timeout_over(&timeout);
        int value = status(nor);
        if (value < 0) {
            return value;
        }
        if (value == SR_ABSENT) {
            return E_IO;
        }
        if (value & (SR_E_ERR | SR_P_ERR)) {
            (void)command(nor, OPCODE_CLSR);
            return E_IO;
        }
        if (!(value & SR_WIP)) {
            return 0;
        }
    } while (!over);
    return E_IO;
}

/* The latch falls by itself after each program and erase; that it rose is checked, not assumed. */
static int write_enable(const struct spi_nor *nor)
{
    int result = command(nor, OPCODE_WREN);

    if (result < 0) {
        return result;
    }
    result = status(nor);
    if (result < 0) {
        return result;
    }
    return (result & (SR_WEL | SR_WIP)) == SR_WEL ? 0 : E_IO;
}

static void address_bytes(uint8_t out[4], uint8_t opcode, uint32_t address)
{
    out[0] = opcode;
    out[1] = (uint8_t)(address >> 16);
    out[2] = (uint8_t)(address >> 8);
    out[3] = (uint8_t)address;
}

static int identify(const struct spi_nor *nor)
{
    uint8_t opcode = OPCODE_RDID;
    uint8_t id[3] = {0};

    /* After a reset in the middle of an erase the part goes on with it, and answers nothing else.
     * An error left over from before is cleared by the first look, hence the second. */
    int result = wait_ready(nor, ERASE_TIMEOUT_MS);
    if (result < 0) {
        result = wait_ready(nor, ERASE_TIMEOUT_MS);
    }
    if (result < 0) {
        return result;
    }
    result = nor->spi->transfer(nor->spi, &opcode, 1, NULL, id, sizeof id);
    if (result < 0) {
        return result;
    }
    return memcmp(id, nor->part->id, sizeof id) == 0 ? 0 : E_MISSING;
}

int spi_nor_init(const struct flash *flash, const struct spi *spi, const struct spi_nor_part *part)
{
    struct spi_nor *nor = nor_of(flash);

    nor->spi = spi;
    nor->part = part;
    int result = identify(nor);
    if (result < 0) {
        nor->spi = NULL;
    }
    return result;
}

int spi_nor_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    const struct spi_nor *nor = nor_of(flash);
    uint8_t *bytes = out;
    int result = nor->spi == NULL ? E_IO : flash_check_read(flash, address, size);

    while (result == 0 && size > 0) {
        uint8_t head[4];
        size_t count = size;
        if (count > SPI_TRANSFER_BYTES_MAX - sizeof head) {
            count = SPI_TRANSFER_BYTES_MAX - sizeof head;
        }
        address_bytes(head, OPCODE_READ, address);
        result = nor->spi->transfer(nor->spi, head, sizeof head, NULL, bytes, count);
        bytes += count;
        address += (uint32_t)count;
        size -= count;
    }
    return result;
}

int spi_nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    const struct spi_nor *nor = nor_of(flash);
    uint8_t head[4];
    int result = nor->spi == NULL ? E_IO : flash_check_program(flash, address, size);

    if (result < 0 || size == 0) {
        return result;
    }
    result = write_enable(nor);
    if (result < 0) {
        return result;
    }
    address_bytes(head, OPCODE_PP, address);
    result = nor->spi->transfer(nor->spi, head, sizeof head, data, NULL, size);
    if (result < 0) {
        return result;
    }
    result = wait_ready(nor, PROGRAM_TIMEOUT_MS);
    return result < 0 ? result : flash_verify(flash, address, data, size);
}

int spi_nor_erase(const struct flash *flash, uint32_t address)
{
    const struct spi_nor *nor = nor_of(flash);
    uint8_t head[4];
    int result = nor->spi == NULL ? E_IO : flash_check_erase(flash, address);

    if (result < 0) {
        return result;
    }
    result = write_enable(nor);
    if (result < 0) {
        return result;
    }
    address_bytes(head, nor->part->erase_opcode, address);
    result = nor->spi->transfer(nor->spi, head, sizeof head, NULL, NULL, 0);
    if (result < 0) {
        return result;
    }
    result = wait_ready(nor, ERASE_TIMEOUT_MS);
    return result < 0 ? result : flash_verify(flash, address, NULL, flash->erase_bytes);
}
