/* store.h - what stands in flash: the configuration's two slots and the log's seed records
 * (docs/flash-format.md has every byte).
 *
 * Costs a fixed few dozen bytes of RAM whatever the flash holds. Every call leaves the flash in a state that
 * the next mount understands, wherever the power is cut.
 */
#ifndef TOCSIN_FIRMWARE_STORE_H
#define TOCSIN_FIRMWARE_STORE_H

#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_SEED_BYTES 32
#define STORE_DEVICE_ID_BYTES 8

struct store {
    const struct flash *flash;
    /* The configuration slot in force. */
    bool config_valid;
    uint32_t config_address; /* Of its text. */
    uint32_t config_size;
    uint32_t config_sequence;
    const char *config_problem; /* Why config_valid is false; NULL when it is true. */
    /* The newest seed record. */
    bool seed_valid;
    uint32_t seed_address;
    uint32_t boot_count;
    uint8_t device_id[STORE_DEVICE_ID_BYTES];
    uint8_t seed[STORE_SEED_BYTES];
    const char *seed_problem;
};

/* Reads headers and checks sums. Never fails: what is missing or damaged is said in the two problems. */
void store_mount(struct store *store, const struct flash *flash);

/* Reads the configuration text in force, in pieces. Returns bytes read, 0 at the end, or E_IO, E_MISSING. */
MUST_CHECK int store_config_read(const struct store *store, uint32_t offset, void *out, size_t size);

/* Writes a whole new configuration text to the other slot and makes it current in one program operation.
 * For the host tool now; the device's `config commit` comes next. E_SPACE, E_IO. */
MUST_CHECK int store_config_write(struct store *store, const void *text, size_t size);

/* Replaces the seed: programs and reads back a record with `next` and boot_count + 1. Only after it returned 0
 * may anything made from the old seed be used. E_MISSING: no seed record; E_IO. */
MUST_CHECK int store_seed_replace(struct store *store, const uint8_t next[STORE_SEED_BYTES]);

/* First record of a new device (host tool). E_IO. */
MUST_CHECK int store_seed_create(struct store *store, const uint8_t device_id[STORE_DEVICE_ID_BYTES],
                                 const uint8_t seed[STORE_SEED_BYTES]);

/* CRC-32 (ISO-HDLC, reflected 0xEDB88320), for records. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t size);

#endif
