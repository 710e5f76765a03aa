/* The bytes are those of docs/flash-format.md; all numbers are little-endian. */
#include "firmware/flash_io.h"

#include <string.h>

#define POLYNOMIAL 0xEDB88320u
#define CHUNK_BYTES 64

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    /* The polynomial's multiples of four bits: a sixteenth of the usual table, a quarter of its
     * speed. */
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    const uint8_t *bytes = data;

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ bytes[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ bytes[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* A wrong bit changes the sum by x to the power of its distance from the end, modulo the
 * polynomial: all different within 2^32 - 1 bits. */
int32_t crc32_wrong_bit(uint32_t difference, uint32_t size)
{
    uint32_t power = POLYNOMIAL;

    if (difference != 0 && (difference & (difference - 1)) == 0) {
        return -2;
    }
    for (uint32_t bit = size * 8; bit-- > 0;) {
        if (power == difference) {
            return (int32_t)bit;
        }
        power = power & 1 ? power >> 1 ^ POLYNOMIAL : power >> 1;
    }
    return -1;
}

void put_u16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

void put_u32(uint8_t *out, uint32_t value)
{
    put_u16(out, value);
    put_u16(out + 2, value >> 16);
}

void put_u64(uint8_t *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out + 4, (uint32_t)(value >> 32));
}

uint16_t get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

uint32_t get_u32(const uint8_t *in)
{
    return get_u16(in) | (uint32_t)get_u16(in + 2) << 16;
}

uint64_t get_u64(const uint8_t *in)
{
    return get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}

const char *get_string(const char *from, const char *end, char *out, size_t size)
{
    size_t length = 0;

    while (from < end && *from != '\0') {
        if (length + 1 < size) {
            out[length++] = *from;
        }
        from++;
    }
    out[length] = '\0';
    return from < end ? from + 1 : end;
}

bool flash_newer(uint32_t a, uint32_t b)
{
    return a - b - 1 < INT32_MAX;
}

int flash_crc(const struct flash *flash, uint32_t address, uint32_t size, uint32_t crc,
              uint32_t *out)
{
    uint8_t chunk[CHUNK_BYTES];

    while (size > 0) {
        uint32_t part = size < sizeof chunk ? size : sizeof chunk;

        if (flash->read(flash, address, chunk, part) < 0) {
            return E_IO;
        }
        crc = crc32_update(crc, chunk, part);
        address += part;
        size -= part;
    }
    *out = crc;
    return 0;
}

bool flash_holds(const struct flash *flash, uint32_t address, const void *data, uint32_t size)
{
    uint8_t chunk[CHUNK_BYTES];
    const uint8_t *bytes = data;

    for (uint32_t at = 0; at < size; at++) {
        uint32_t i = at % sizeof chunk;
        uint32_t left = size - at;

        if (i == 0 && flash->read(flash, address + at, chunk,
                                  left < sizeof chunk ? left : sizeof chunk) < 0) {
            return false;
        }
        if (chunk[i] != (bytes != NULL ? bytes[at] : flash->erased)) {
            return false;
        }
    }
    return true;
}

bool flash_is_erased(const struct flash *flash, uint32_t address, uint32_t size)
{
    return flash_holds(flash, address, NULL, size);
}

int flash_program(const struct flash *flash, uint32_t address, const void *data, uint32_t size)
{
    const uint8_t *bytes = data;
    uint32_t done = 0;

    while (done < size) {
        uint32_t room = flash->page_bytes - (address + done) % flash->page_bytes;
        uint32_t part = size - done < room ? size - done : room;

        if (flash->program(flash, address + done, bytes + done, part) < 0) {
            return E_IO;
        }
        done += part;
    }
    return flash_holds(flash, address, data, size) ? 0 : E_IO;
}

/* Puts one wrong bit right. False: the bytes are not a header. */
static bool repair(uint8_t bytes[FLASH_HEADER_BYTES], const char *magic, bool *corrected)
{
    uint32_t size = FLASH_HEADER_BYTES - 4;
    uint32_t difference = crc32_update(0, bytes, size) ^ get_u32(bytes + size);

    if (difference != 0) {
        int32_t bit = crc32_wrong_bit(difference, size);

        if (bit == -1) {
            return false;
        }
        if (bit >= 0) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        *corrected = true;
    }
    return memcmp(bytes, magic, 4) == 0;
}

enum flash_state flash_header_read(const struct flash *flash, uint32_t address, const char *magic,
                                   struct flash_header *header)
{
    uint8_t bytes[FLASH_HEADER_BYTES];

    memset(header, 0, sizeof *header);
    if (flash->read(flash, address, bytes, sizeof bytes) < 0) {
        header->state = FLASH_UNREADABLE;
    } else if (!repair(bytes, magic, &header->corrected)) {
        header->state = flash_is_erased(flash, address, sizeof bytes) ? FLASH_EMPTY : FLASH_DAMAGED;
    } else {
        header->version = get_u16(bytes + 4);
        header->state =
            header->version >= FLASH_FORMAT_OLDEST && header->version <= FLASH_FORMAT_VERSION
                ? FLASH_GOOD
                : FLASH_FOREIGN;
        header->offset = get_u16(bytes + 6);
        header->sequence = get_u32(bytes + 8);
        for (unsigned i = 0; i < 4; i++) {
            header->word[i] = get_u32(bytes + 12 + 4 * i);
        }
    }
    return header->state;
}

int flash_header_write(const struct flash *flash, uint32_t address, const char *magic,
                       const struct flash_header *header)
{
    uint8_t bytes[FLASH_HEADER_BYTES];
    uint32_t last = flash->program_bytes > 4 ? flash->program_bytes : 4;

    memcpy(bytes, magic, 4);
    put_u16(bytes + 4, FLASH_FORMAT_VERSION);
    put_u16(bytes + 6, header->offset);
    put_u32(bytes + 8, header->sequence);
    for (unsigned i = 0; i < 4; i++) {
        put_u32(bytes + 12 + 4 * i, header->word[i]);
    }
    put_u32(bytes + FLASH_HEADER_BYTES - 4, crc32_update(0, bytes, FLASH_HEADER_BYTES - 4));
    if (flash_program(flash, address, bytes, FLASH_HEADER_BYTES - last) < 0) {
        return E_IO;
    }
    /* The one operation that makes it count. */
    return flash_program(flash, address + FLASH_HEADER_BYTES - last,
                         bytes + FLASH_HEADER_BYTES - last, last);
}
