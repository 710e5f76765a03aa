/* journal.h - the log region: records over a ring of erase blocks (docs/flash-format.md).
 *
 *     journal_mount(&journal, board.flash, &owner);     tells the owner of each record, oldest
 * first journal_append(&journal, JOURNAL_ALERT, number, parts, 2, &address); journal_read(&journal,
 * address, &record, bytes, sizeof bytes);
 *
 * Blocks are used strictly round the ring, so that all wear alike. Before a block is erased, what
 * is still alive in it is written again into the newest one: the newest record of each type below
 * JOURNAL_SINGLES by the journal itself, the others by their owner. The two blocks after the newest
 * hold nothing that is alive, so that one bad block costs nothing.
 *
 * Costs sizeof(struct journal), whatever the flash holds. Every call leaves the flash in a state
 * that the next mount understands, wherever the power is cut. Mounting reads each written byte once
 * and ends. One caller at a time.
 */
#ifndef TOCSIN_FIRMWARE_JOURNAL_H
#define TOCSIN_FIRMWARE_JOURNAL_H

#include "firmware/flash_io.h"
#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_BLOCKS_MIN 6
#define JOURNAL_PAYLOAD_MAX 992 /* A record takes at most 1,024 bytes with header and padding. */
#define JOURNAL_SEED_BYTES 32
#define JOURNAL_DEVICE_ID_BYTES 8

enum journal_type {
    JOURNAL_SEED = 1,
    JOURNAL_BOOKS = 2,     /* Counters, limits, last known time (queue.c). */
    JOURNAL_AUTHORITY = 3, /* Counters of mailed orders, and the one in hand (authority.h). */
    JOURNAL_MAILBOX = 4,   /* Which messages were looked at (mailbox.h). */
    JOURNAL_DIARY = 5,     /* Reports, mutes, bounces (diary.h). */
    JOURNAL_SINGLES = 8,   /* Of types below this the newest counts, and lives for ever. */
    JOURNAL_ALERT = 8,
    JOURNAL_MARK = 9 /* What became of an alert. */
};

struct journal_record {
    uint32_t address;
    uint32_t number; /* Types from JOURNAL_SINGLES on: the alert's. */
    uint16_t length; /* Of the payload. */
    uint8_t type;
    bool corrected; /* One bit was put right. */
    bool damaged;   /* The header is right, the payload is not: torn, or gone bad. */
    uint32_t crc;   /* Of the payload, as its header says; private. */
};

/* Who knows which records are alive. The calls come from within journal calls. */
struct journal_owner {
    void *context;
    /* At mount, in the order of writing: a record of a type that is no single, or the newest so far
     * of one that is. */
    void (*found)(void *context, const struct journal_record *record);
    /* The block that holds this record is to be erased: if it is alive, append it again. Negative:
     * it could not be, and must not be lost. */
    int (*carry)(void *context, const struct journal_record *record);
    /* A block was opened. */
    void (*opened)(void *context);
};

struct journal_part {
    const void *bytes;
    size_t size;
};

struct journal {
    bool seed_valid; /* The newest seed. */
    bool skips;      /* The block after the newest is damaged: not to be erased next. */
    bool reopens;    /* The newest block's opening was cut, and nothing stands in it. */
    bool prepared;   /* The two blocks after the newest hold nothing alive. */
    bool carrying;   /* No block may be opened now. */
    const struct flash *flash;
    const struct journal_owner *owner; /* NULL: nobody; then nothing but singles is kept. */
    const char *problem;               /* Why nothing can be written; NULL: it can. */
    const char *seed_problem;          /* Why seed_valid is false; NULL when it is true. */
    uint32_t boot_count; /* At least one more for each try to replace the seed since. */
    uint8_t device_id[JOURNAL_DEVICE_ID_BYTES];
    uint8_t seed[JOURNAL_SEED_BYTES];

    uint32_t next_number;             /* Of the next alert: greater than any before. */
    uint32_t single[JOURNAL_SINGLES]; /* Address of the newest of each; FLASH_NOWHERE: none. */
    uint32_t records_damaged;         /* Found at mount. */
    uint32_t records_corrected;
    uint32_t bytes_programmed, blocks_erased; /* Since the start. */

    /* The newest block; private. */
    uint32_t block; /* Address; FLASH_NOWHERE: the log has none. */
    uint32_t next;  /* Address of the next record; FLASH_NOWHERE: the block is full. */
    uint32_t sequence, salt, erases;
    uint32_t seen_block; /* Whose salt and first record these are. */
    uint32_t seen_salt;
    uint16_t seen_offset;
    uint32_t salt_base; /* Of the salts of blocks to come. */
};

/* Never fails: what is missing or damaged is said in the two problems. flash NULL: a board without
 * any. An older format is read, and renewed by what is written next. */
void journal_mount(struct journal *journal, const struct flash *flash,
                   const struct journal_owner *owner);

/* Appends one record made of count parts, reads it back, and says where it stands. E_SPACE: too
 * long, or what is alive leaves no room; E_UNSUPPORTED: see problem; E_IO: the flash failed at
 * several places. */
MUST_CHECK int journal_append(struct journal *journal, uint8_t type, uint32_t number,
                              const struct journal_part *parts, size_t count, uint32_t *address);

/* Reads the record there, one wrong bit put right: up to size bytes of its payload. Returns the
 * payload's length; E_MISSING: no record begins there; E_IO. record->damaged tells whether the
 * bytes are those that were written. */
MUST_CHECK int journal_read(struct journal *journal, uint32_t address,
                            struct journal_record *record, void *out, size_t size);

/* Reads the newest record of a type below JOURNAL_SINGLES. Where it was torn, or went bad, the one
 * before it counts, if it still stands. Returns the payload's length; E_MISSING: there is none of
 * at most size bytes; E_IO. */
MUST_CHECK int journal_single(struct journal *journal, uint8_t type, void *out, size_t size);

/* For people: each record of the blocks that count, from the oldest; what is damaged so that no
 * record can be told from it comes as one of type 0. E_IO. */
MUST_CHECK int journal_walk(const struct journal *journal,
                            void (*visit)(void *context, const struct journal_record *record),
                            void *context);

/* For people: what one block of the ring is. */
struct journal_block {
    enum flash_state state; /* Of its header; the numbers are 0 unless it is good or foreign. */
    uint32_t address;
    uint32_t sequence; /* The highest is the newest. */
    uint32_t erases;   /* In its life. */
    bool corrected;    /* One of the two headers is not as it was written. */
    bool retired;      /* Nothing in it counts any more. */
};
void journal_block(const struct journal *journal, unsigned index, struct journal_block *block);

/* How often the blocks of the ring were erased in their life. */
struct journal_wear {
    uint32_t blocks, min, max, total;
};
void journal_wear(const struct journal *journal, struct journal_wear *wear);

/* The header alone: the payload's length, or as journal_read(); whether it is damaged is not known.
 */
MUST_CHECK int journal_peek(struct journal *journal, uint32_t address,
                            struct journal_record *record);

/* The number of the record there; 0: none begins there. */
uint32_t journal_number(struct journal *journal, uint32_t address);

/* Bytes that may be alive in all, headers included, for the ring to keep turning. */
uint32_t journal_room(const struct journal *journal);

/* Bytes that a record of this payload takes. */
uint32_t journal_record_bytes(size_t payload);

/* Replaces the seed: programs and reads back a record with `next` and boot_count + 1. Only after it
 * returned 0 may anything made from the old seed be used. E_MISSING: no seed record; otherwise as
 * journal_append(). */
MUST_CHECK int journal_seed_replace(struct journal *journal,
                                    const uint8_t next[JOURNAL_SEED_BYTES]);

/* First record of a new device (host tool), with boot_count 0 or what the log's damaged records add
 * up to. E_INVALID: there is a seed; otherwise as journal_append(). */
MUST_CHECK int journal_seed_create(struct journal *journal,
                                   const uint8_t device_id[JOURNAL_DEVICE_ID_BYTES],
                                   const uint8_t seed[JOURNAL_SEED_BYTES]);

#endif
