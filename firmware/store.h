/* store.h - what stands in flash: the configuration's two slots and the log's seed records
 * (docs/flash-format.md has every byte).
 *
 *     store_mount(&store, board.flash);
 *     store_config_read(&store, 0, ...)    if store.config_valid
 *     store_seed_replace(&store, next)     once a boot, before anything made from store.seed
 *
 * Costs sizeof(struct store), about 130 bytes, whatever the flash holds, and 128 bytes of stack.
 * Every call leaves the flash in a state that the next mount understands, wherever the power is
 * cut. Calls end within a bound that the region's size sets. One caller at a time.
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
#define STORE_NOWHERE UINT32_MAX
#define STORE_BLOCKS_MIN 4 /* Of the log: a smaller ring could not keep what it must. */

struct store {
    const struct flash *flash;
    /* The configuration slot in force. */
    bool config_valid;
    uint32_t config_address; /* Of its text. */
    uint32_t config_size;
    uint32_t config_sequence;
    bool config_fallback;       /* The newer slot is damaged: this is the one before. */
    const char *config_problem; /* Why config_valid is false; NULL when it is true. */
    /* The newest seed record. */
    bool seed_valid;
    uint32_t seed_address; /* Of its record. */
    uint32_t boot_count;   /* At least one more for each try to replace the seed since. */
    uint8_t device_id[STORE_DEVICE_ID_BYTES];
    uint8_t seed[STORE_SEED_BYTES];
    const char *seed_problem; /* Why seed_valid is false; NULL when it is true. */
    /* Where the next record goes; private. */
    uint32_t log_block;    /* Address of the newest block; STORE_NOWHERE: the log has none. */
    uint32_t log_next;     /* Address of the next record; STORE_NOWHERE: the block is full. */
    uint32_t log_sequence; /* Of the block. */
    uint32_t log_salt;     /* Of the block. */
    uint32_t log_records;  /* Sequence number of the last record. */
    uint32_t log_erases;   /* Erase count of the block. */
    bool log_locked;       /* Made by another version, or unreadable: nothing may be written. */
    bool log_skips;        /* The block after the newest is damaged: not to be erased next. */
    bool config_foreign;
};

/* Reads headers and checks sums. Never fails: what is missing or damaged is said in the two
 * problems. flash NULL: a board without any. Its numbers are the person's who ported the board, who
 * is told by mkflash's build when they are not what the format asks of a part. */
void store_mount(struct store *store, const struct flash *flash);

/* Reads the configuration text in force, in pieces. Returns bytes read, 0 at the end, or E_IO,
 * E_MISSING. */
MUST_CHECK int store_config_read(const struct store *store, uint32_t offset, void *out,
                                 size_t size);

/* Writes a whole new configuration text to the other slot and makes it current in one program
 * operation. E_SPACE: larger than a slot; E_UNSUPPORTED: the flash holds a newer format; E_IO: the
 * flash failed, and what was in force still is. */
MUST_CHECK int store_config_write(struct store *store, const void *text, size_t size);

/* Replaces the seed: programs and reads back a record with `next` and boot_count + 1. Only after it
 * returned 0 may anything made from the old seed be used. store then holds the new one.
 * E_MISSING: no seed record; E_UNSUPPORTED: a newer format; E_IO: the flash failed at several
 * places. */
MUST_CHECK int store_seed_replace(struct store *store, const uint8_t next[STORE_SEED_BYTES]);

/* First record of a new device (host tool), with boot_count 0 or what the log's damaged records add
 * up to. E_INVALID: there is a seed; E_UNSUPPORTED, E_IO as above. */
MUST_CHECK int store_seed_create(struct store *store,
                                 const uint8_t device_id[STORE_DEVICE_ID_BYTES],
                                 const uint8_t seed[STORE_SEED_BYTES]);

/* What one of the two slots holds, for people. Returns "empty", "damaged", "another version" or
 * "whole"; the numbers are 0 but for the last two. */
const char *store_slot(const struct flash *flash, unsigned slot, uint32_t *sequence,
                       uint32_t *size);

/* CRC-32 (ISO-HDLC: reflected 0xEDB88320, complemented at both ends), for records. Begin with 0. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t size);

#endif
