/* slots.h - the configuration region: two slots for a text each (docs/flash-format.md).
 *
 *     slots_mount(&slots, board.flash);
 *     slots_read(&slots, 0, ...)                     the text in force
 *
 *     slots_stage_begin(&slots); slots_stage_push(&slots, ...) ...     a new one, piece by piece,
 *     slots_stage_commit(&slots, trial);                               current in one operation
 *
 * A text that is committed on trial is in force for one boot: slots_trial_start() marks that boot,
 * and unless slots_trial_confirm() follows before the next mount, the text before it is in force
 * again. Costs sizeof(struct slots), whatever the flash holds. Every call leaves the flash in a
 * state that the next mount understands, wherever the power is cut. One caller at a time.
 */
#ifndef TOCSIN_FIRMWARE_SLOTS_H
#define TOCSIN_FIRMWARE_SLOTS_H

#include "firmware/flash_io.h"
#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one slot holds, for people and for `config history`. */
struct slot_info {
    enum flash_state state; /* FLASH_GOOD: header and text are right. */
    uint32_t sequence;
    uint32_t size; /* Of the text. */
    bool trial, started, confirmed, rejected;
    bool in_force;
};

struct slots {
    const struct flash *flash;
    bool valid; /* There is a text in force. */
    uint32_t address; /* Of it. */
    uint32_t size;
    uint32_t sequence;
    bool fallback;       /* The newer slot is damaged: this is the one before. */
    bool on_trial;       /* In force for this boot only, unless confirmed. */
    uint32_t rolled_back; /* Number of a newer text that was tried and not confirmed; 0: none. */
    const char *problem; /* Why valid is false; NULL when it is true. */
    bool foreign;
    /* The bit to be put right when the text is read; private. */
    int32_t wrong_bit;
    /* The text being staged, in the slot that is not in force; private. */
    bool staging;
    uint32_t stage_address, stage_size, stage_crc;
};

/* Never fails: what is missing or damaged is said in problem. flash NULL: a board without any. */
void slots_mount(struct slots *slots, const struct flash *flash);

/* Reads the text in force, in pieces. Returns bytes read, 0 at the end, or E_IO, E_MISSING. */
MUST_CHECK int slots_read(const struct slots *slots, uint32_t offset, void *out, size_t size);

/* A new text: begin erases the other slot (or, when a staged text stands there that is to be the
 * source of this one, begins behind it: keep_staged), push appends to it, read reads what has been
 * pushed. E_SPACE: larger than the slot has room; E_UNSUPPORTED: a newer format, or no flash; E_IO.
 */
MUST_CHECK int slots_stage_begin(struct slots *slots, bool keep_staged);
MUST_CHECK int slots_stage_push(struct slots *slots, const void *text, size_t size);
MUST_CHECK int slots_stage_read(const struct slots *slots, uint32_t offset, void *out, size_t size);

/* Makes the staged text current in one program operation; trial: for one boot. What was in force
 * still is after an error. */
MUST_CHECK int slots_stage_commit(struct slots *slots, bool trial);

/* Forgets the staged text. */
void slots_stage_drop(struct slots *slots);

/* Writes a whole text: begin, push, commit (host tool, tests). */
MUST_CHECK int slots_write(struct slots *slots, const void *text, size_t size);

/* Marks on the text in force, which is on trial. E_INVALID: it is not; E_IO. */
MUST_CHECK int slots_trial_start(struct slots *slots);
MUST_CHECK int slots_trial_confirm(struct slots *slots);

/* Takes the text in force out of force; the one before is, from the next mount on. E_MISSING: there
 * is none; E_IO. */
MUST_CHECK int slots_reject(struct slots *slots);

void slots_info(const struct slots *slots, unsigned slot, struct slot_info *info);

#endif
