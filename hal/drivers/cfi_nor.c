#include "hal/drivers/cfi_nor.h"

#include "hal/clock.h"
#include "hal/flash_check.h"
#include "hal/mmio.h"

#include <stdbool.h>

/* One command for each of the two parts. */
#define BOTH(byte) ((uint32_t)(byte) << 16 | (uint32_t)(byte))

#define COMMAND_ERASE BOTH(0x20)
#define COMMAND_PROGRAM_WORD BOTH(0x40)
#define COMMAND_CLEAR_STATUS BOTH(0x50)
#define COMMAND_LOCK_SETUP BOTH(0x60)
#define COMMAND_READ_STATUS BOTH(0x70)
#define COMMAND_QUERY BOTH(0x98)
#define COMMAND_CONFIRM BOTH(0xD0) /* Of an erase; after LOCK_SETUP: unlock. */
#define COMMAND_READ_ARRAY BOTH(0xFF)

#define STATUS_READY BOTH(0x80)
/* Erase (5) or program (4) failed, no programming voltage (3), block locked (1). */
#define STATUS_ERRORS BOTH(0x3A)

/* Query addresses count in the parts' own 16-bit words: four bytes of the bank. */
#define QUERY_ADDRESS (4u * 0x55)
#define QUERY_Q 0x10u
#define QUERY_COMMAND_SET 0x13u
#define QUERY_COMMAND_SET_INTEL_EXTENDED 0x01u
#define QUERY_COMMAND_SET_INTEL 0x03u
#define QUERY_SIZE_LOG2 0x27u
#define QUERY_REGION_COUNT 0x2Cu
#define QUERY_BLOCK_SIZE_256 0x2Fu /* Two bytes, in units of 256. */

/* Data sheet maxima of the family are below 0.5 ms a word and 4 s a block. */
#define PROGRAM_TIMEOUT_MS 20
#define ERASE_TIMEOUT_MS 10000

static struct cfi_nor *nor_of(const struct flash *flash)
{
    return flash->context;
}

/* Back to reading data, from whatever state: the first may end a command that a reset cut in two.
 */
static void read_array(const struct cfi_nor *nor)
{
    mmio_write(nor->base, COMMAND_READ_ARRAY);
    mmio_write(nor->base, COMMAND_READ_ARRAY);
}

/* What one part answers, if the other says the same; else 0x100. */
static uint32_t query(const struct cfi_nor *nor, uint32_t word)
{
    uint32_t both = mmio_read(nor->base + 4 * word);

    return (both & 0xFFFFu) == both >> 16 ? both & 0xFFu : 0x100u;
}

static bool query_matches(const struct flash *flash, const struct cfi_nor *nor)
{
    uint32_t set = query(nor, QUERY_COMMAND_SET);
    uint32_t size_log2 = query(nor, QUERY_SIZE_LOG2);
    uint32_t block_256 = query(nor, QUERY_BLOCK_SIZE_256) | query(nor, QUERY_BLOCK_SIZE_256 + 1)
                                                                << 8;

    return query(nor, QUERY_Q) == 'Q' && query(nor, QUERY_Q + 1) == 'R' &&
           query(nor, QUERY_Q + 2) == 'Y' &&
           (set == QUERY_COMMAND_SET_INTEL || set == QUERY_COMMAND_SET_INTEL_EXTENDED) &&
           size_log2 < 31 && flash->size_bytes == 2u << size_log2 &&
           query(nor, QUERY_REGION_COUNT) == 1 && flash->erase_bytes == 2 * 256 * block_256;
}

int cfi_nor_init(const struct flash *flash, uintptr_t base)
{
    struct cfi_nor *nor = nor_of(flash);
    struct clock_timeout timeout = clock_timeout(ERASE_TIMEOUT_MS);

    nor->base = base;
    /* A part without a reset line goes on with an erase that our own reset interrupted. */
    read_array(nor);
    mmio_write(base, COMMAND_READ_STATUS);
    bool ready = wait_for_bits(base, STATUS_READY, STATUS_READY, &timeout);
    mmio_write(base, COMMAND_CLEAR_STATUS);
    read_array(nor);

    mmio_write(base + QUERY_ADDRESS, COMMAND_QUERY);
    bool matches = query_matches(flash, nor);
    read_array(nor);
    if (!ready || !matches) {
        nor->base = 0;
        return ready ? E_MISSING : E_IO;
    }
    return 0;
}

/* Waits for both parts, takes their verdict and leaves them without an error. */
static int finish(uintptr_t at, uint32_t timeout_ms)
{
    struct clock_timeout timeout = clock_timeout(timeout_ms);
    bool ready = wait_for_bits(at, STATUS_READY, STATUS_READY, &timeout);
    uint32_t status = mmio_read(at);

    mmio_write(at, COMMAND_CLEAR_STATUS);
    return ready && (status & STATUS_ERRORS) == 0 ? 0 : E_IO;
}

/* Blocks of some parts of the family are locked after power-on. */
static int unlock(uintptr_t block)
{
    mmio_write(block, COMMAND_LOCK_SETUP);
    mmio_write(block, COMMAND_CONFIRM);
    mmio_write(block, COMMAND_READ_STATUS);
    return finish(block, PROGRAM_TIMEOUT_MS);
}

/* Whole words only: the bank is device memory, where nothing else is allowed at any address. */
int cfi_nor_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    const struct cfi_nor *nor = nor_of(flash);
    uint8_t *bytes = out;
    int result = nor->base == 0 ? E_IO : flash_check_read(flash, address, size);

    for (size_t i = 0; result == 0 && i < size;) {
        uint32_t at = address + (uint32_t)i;
        uint32_t word = mmio_read(nor->base + (at & ~3u)) >> 8 * (at & 3u);
        for (uint32_t left = 4 - (at & 3u); left > 0 && i < size; left--) {
            bytes[i++] = (uint8_t)word;
            word >>= 8;
        }
    }
    return result;
}

static int program_word(uintptr_t at, const uint8_t bytes[4])
{
    uint32_t word = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24;

    mmio_write(at, COMMAND_PROGRAM_WORD);
    mmio_write(at, word);
    return finish(at, PROGRAM_TIMEOUT_MS);
}

int cfi_nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    const struct cfi_nor *nor = nor_of(flash);
    const uint8_t *bytes = data;
    int result = nor->base == 0 ? E_IO : flash_check_program(flash, address, size);

    if (result < 0) {
        return result;
    }
    result = unlock(nor->base + address - address % flash->erase_bytes);
    for (size_t i = 0; result == 0 && i < size; i += 4) {
        result = program_word(nor->base + address + i, bytes + i);
    }
    read_array(nor);
    return result < 0 ? result : flash_verify(flash, address, data, size);
}

int cfi_nor_erase(const struct flash *flash, uint32_t address)
{
    const struct cfi_nor *nor = nor_of(flash);
    int result = nor->base == 0 ? E_IO : flash_check_erase(flash, address);

    if (result < 0) {
        return result;
    }
    uintptr_t block = nor->base + address;
    result = unlock(block);
    if (result == 0) {
        mmio_write(block, COMMAND_ERASE);
        mmio_write(block, COMMAND_CONFIRM);
        result = finish(block, ERASE_TIMEOUT_MS);
    }
    read_array(nor);
    return result < 0 ? result : flash_verify(flash, address, NULL, flash->erase_bytes);
}
