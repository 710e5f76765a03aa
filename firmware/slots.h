/* slots.h - the configuration region: two slots for a text each (docs/flash-format.md).
 *
 *     slots_mount(&slots, board.flash);
 *     slots_read(&slots, 0, ...)                     the text in force
 *
 *     slots_stage_begin(&slots, false); slots_stage_push(&slots, ...) ...  a new one, in pieces,
 *     slots_stage_commit(&slots, trial);                    current in one program operation
 *
 * A text that is committed on trial is in force for one boot: slots_trial_start() marks that boot,
 * and unless slots_trial_confirm() follows before the next mount, the text before it is in force
 * again. Costs sizeof(struct slots), under 150 bytes, whatever the flash holds. Every call leaves
 * the flash in a state that the next mount understands, wherever the power is cut. One caller at a
 * time.
 */
#ifndef TOCSIN_FIRMWARE_SLOTS_H
#define TOCSIN_FIRMWARE_SLOTS_H

#include "firmware/flash_io.h"
#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_WHY_BYTES 97 /* With NUL. */

/* What one slot holds, for people and for `config history`. */
struct slot_info {
    enum flash_state state; /* FLASH_GOOD: header and text are right. */
    uint32_t sequence;
    uint32_t size;  /* Of the text. */
    bool corrected; /* One bit of it was put right. */
    bool trial, started, confirmed, rejected;
    bool in_force;
    char why[SLOTS_WHY_BYTES]; /* It was rejected; "" when nobody said. UTF-8 as it may be shown. */
};

/* A text in the slot that is not in force; private. */
struct slots_text {
    uint32_t address, size, crc;
};

struct slots {
    const struct flash *flash;
    bool valid;       /* There is a text in force. */
    uint32_t address; /* Of it. */
    uint32_t size;
    uint32_t sequence;
    bool fallback;         /* The other slot is damaged: it may have held something newer. */
    bool on_trial;         /* In force for this boot only, unless confirmed. */
    bool unrejected;       /* In force although it was taken out of force: nothing else is whole. */
    bool rolled_back_said; /* slots_rolled_back_said() was called. */
    bool foreign;
    uint32_t rolled_back; /* Number of a newer text that was tried and not confirmed; 0: none. */
    const char *problem;  /* Why valid is false; NULL when it is true. */
    int32_t wrong_bit;    /* To be put right when the text is read; -1: none. Private. */
    /* What is being staged; private. */
    bool staging;
    uint32_t next_sequence;
    struct slots_text source; /* A whole staged text, while another one is made of it. */
    struct slots_text stage;
    uint8_t rest[FLASH_UNIT_BYTES]; /* Of stage: less than a program unit, not yet in flash. */
};

/* Never fails: what is missing or damaged is said in problem. flash NULL: a board without any. */
void slots_mount(struct slots *slots, const struct flash *flash);

/* Reads the text in force, in pieces. Returns bytes read, 0 at the end, or E_IO, E_MISSING. */
MUST_CHECK int slots_read(const struct slots *slots, uint32_t offset, void *out, size_t size);

/* A new text: begin erases the other slot, push appends to it, read reads what has been pushed.
 * With keep_staged, what was staged before stays and is what read reads, and the new text is pushed
 * behind it. E_SPACE: larger than the slot has room; E_UNSUPPORTED: a
 * newer format, or no flash; E_MISSING: nothing is staged; E_IO; E_TRANSIENT: the other slot is
 * what a trial would fall back on. */
MUST_CHECK int slots_stage_begin(struct slots *slots, bool keep_staged);
MUST_CHECK int slots_stage_push(struct slots *slots, const void *text, size_t size);
MUST_CHECK int slots_stage_read(const struct slots *slots, uint32_t offset, void *out, size_t size);

/* Makes the staged text current in one program operation; trial: for one boot, if there is a text
 * in force to fall back on. After an error what was in force still is, and nothing is staged. On
 * success slots tells of the new text, as after a mount. */
MUST_CHECK int slots_stage_commit(struct slots *slots, bool trial);

/* The number that the text gets which is committed next. */
uint32_t slots_next(const struct slots *slots);

/* Forgets what is staged. */
void slots_stage_drop(struct slots *slots);

/* Writes a whole text: begin, push, commit (host tool, tests); also in place of what a trial would
 * fall back on. */
MUST_CHECK int slots_write(struct slots *slots, const void *text, size_t size);

/* Marks on the text in force. Starting it again does nothing. E_INVALID: it is not on trial; E_IO.
 */
MUST_CHECK int slots_trial_start(struct slots *slots);
MUST_CHECK int slots_trial_confirm(struct slots *slots);

/* Takes the text in force out of force; the one before is, from the next mount on. why, UTF-8,
 * stays with it, cut to SLOTS_WHY_BYTES. E_MISSING: there is none to go back to; E_IO. */
MUST_CHECK int slots_reject(struct slots *slots, const char *why);

/* The person was told that rolled_back was. E_INVALID: nothing was; E_IO. */
MUST_CHECK int slots_rolled_back_said(struct slots *slots);

/* Slot 0 or 1. */
void slots_info(const struct slots *slots, unsigned slot, struct slot_info *info);

#endif
