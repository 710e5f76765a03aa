/* flash_io.h - what both flash regions are made of: numbers, sums, headers, verified programs.
 *
 * A sum here is a CRC-32, and a CRC-32 tells more than right or wrong: over the few thousand bytes
 * of a record, each single wrong bit leaves a remainder of its own. One bad bit is therefore found
 * and put right as the bytes are read; more than one is damage.
 */
#ifndef TOCSIN_FIRMWARE_FLASH_IO_H
#define TOCSIN_FIRMWARE_FLASH_IO_H

#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_FORMAT_VERSION 2
#define FLASH_FORMAT_OLDEST 1 /* Read, and renewed by what is written next. */

/* Of a slot and of a log block: magic first, CRC last in every version. */
#define FLASH_HEADER_BYTES 32

/* Records and marks begin at multiples of it; program_bytes divides it. */
#define FLASH_UNIT_BYTES 16

#define FLASH_NOWHERE UINT32_MAX

/* The same words wherever it happens, which the linker keeps once. */
#define FLASH_NO_ANSWER "the flash does not answer"
#define FLASH_OTHER_VERSION "the flash was written by another version, which this one cannot read"

enum flash_state {
    FLASH_EMPTY,      /* Reads as erased. */
    FLASH_UNREADABLE, /* The part does not answer. */
    FLASH_DAMAGED,
    FLASH_FOREIGN, /* Whole, but of a version that this code does not know. */
    FLASH_GOOD
};

/* A slot's header and a block's have this shape in common. */
struct flash_header {
    enum flash_state state;
    uint16_t version;
    uint16_t offset; /* Of the text or of the first record. */
    uint32_t sequence;
    uint32_t word[4];
    bool corrected; /* One bit was put right. */
};

/* CRC-32 (ISO-HDLC: reflected 0xEDB88320, complemented at both ends). Begin with 0. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t size);

/* Which one wrong bit makes the CRC of size bytes differ from the expected one by `difference`
 * (their exclusive or): its index, bit 0 of byte 0 first; -1: none; -2: the bit is in the stored
 * CRC itself. Costs about 10 instructions a bit. */
int32_t crc32_wrong_bit(uint32_t difference, uint32_t size);

/* The sum over size bytes of flash, begun with crc. E_IO. */
MUST_CHECK int flash_crc(const struct flash *flash, uint32_t address, uint32_t size, uint32_t crc,
                         uint32_t *out);

/* Whether the flash reads as these bytes; data NULL: as erased ones. */
bool flash_holds(const struct flash *flash, uint32_t address, const void *data, uint32_t size);
bool flash_is_erased(const struct flash *flash, uint32_t address, uint32_t size);

/* Programs page by page and reads back; address and size are multiples of the granularity. E_IO. */
MUST_CHECK int flash_program(const struct flash *flash, uint32_t address, const void *data,
                             uint32_t size);

/* Sequence numbers wrap: a is newer when it is less than half the circle ahead. */
bool flash_newer(uint32_t a, uint32_t b);

enum flash_state flash_header_read(const struct flash *flash, uint32_t address, const char *magic,
                                   struct flash_header *header);

/* Writes a header of FLASH_FORMAT_VERSION, its last program unit last. E_IO. */
MUST_CHECK int flash_header_write(const struct flash *flash, uint32_t address, const char *magic,
                                  const struct flash_header *header);

void put_u16(uint8_t *out, uint32_t value);
void put_u32(uint8_t *out, uint32_t value);
void put_u64(uint8_t *out, uint64_t value);
uint16_t get_u16(const uint8_t *in);
uint32_t get_u32(const uint8_t *in);
uint64_t get_u64(const uint8_t *in);

/* Takes the string that begins at from and ends by NUL, or at end; cut to size. Returns what
 * follows it. */
const char *get_string(const char *from, const char *end, char *out, size_t size);

#endif
