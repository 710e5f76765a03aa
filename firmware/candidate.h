/* candidate.h - a configuration being changed on the device.
 *
 *     candidate_set(&candidate, "mailhub", "mail.example.com", &why);       an edit, in RAM
 *     errors = candidate_check(&candidate, &room, report, context);
 *     if (errors == 0) candidate_commit(&candidate, room.config.confirm);
 *
 * Edits are applied line by line to a base as it streams by: the text in force, or one that was
 * imported, which goes straight to the slot that is not in force. Both are staged: they have no
 * effect, and a reset drops them, until candidate_commit(). Comments and certificates pass
 * unchanged; lines end as the base's do. Cost: sizeof(struct candidate), under 600 bytes, and the
 * caller's struct candidate_room while it checks. One caller at a time.
 */
#ifndef TOCSIN_FIRMWARE_CANDIDATE_H
#define TOCSIN_FIRMWARE_CANDIDATE_H

#include "firmware/config.h"
#include "firmware/slots.h"
#include "net/error.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANDIDATE_EDIT_BYTES 512

struct candidate {
    struct slots *slots;
    bool imported;  /* The base is a staged text. */
    bool importing; /* A text is being taken. */
    uint16_t edits_used;
    uint16_t line_used; /* Bytes of a line that is being taken; it stands behind the edits. */
    uint16_t line;      /* Its number. */
    /* Strings: a byte that says whether it was applied, then "key = value" or "key" (unset). */
    char edits[CANDIDATE_EDIT_BYTES];
};

/* What a check works in, 8 KB; its contents are nothing before. It holds passwords afterwards. */
struct candidate_room {
    struct config config; /* What the text says, if it has no errors. */
    struct config_reader reader;
    struct tls_pem pem;
    struct tls_anchors anchors;
};

void candidate_init(struct candidate *candidate, struct slots *slots);

/* There is something to be tested and committed. */
bool candidate_staged(const struct candidate *candidate);

/* Stages `key = value`; value NULL or "": the key is taken out. All lines of a list give way to the
 * new one; a value is taken as in the text, where a pair of quotes keeps blanks. E_INVALID: no such
 * key, or one that cannot be written so (*why tells); E_SPACE: too many edits, commit first. */
MUST_CHECK int candidate_set(struct candidate *candidate, const char *key, const char *value,
                             const char **why);

/* Stages lines of `key = value`, in pieces of any size; a key without a value is taken out, blank
 * lines and comments are passed over. The last line needs no end. Errors as candidate_set();
 * candidate->line is where. */
MUST_CHECK int candidate_lines_push(struct candidate *candidate, const char *text, size_t size,
                                    const char **why);
MUST_CHECK int candidate_lines_end(struct candidate *candidate, const char **why);

/* The key of edit number index, as the table names it; NULL: no more. *secret: its value is not to
 * be shown; *value: what was written, NULL when it is taken out. */
const char *candidate_edit(const struct candidate *candidate, unsigned index, bool *secret,
                           const char **value);

/* Whether a key, as a person writes it, is one whose value is not to be shown. */
bool candidate_secret(const char *key);

/* A whole text, in pieces of any size, instead of the text in force; begin drops all edits.
 * E_SPACE: longer than CONFIG_TEXT_BYTES or the slot; E_UNSUPPORTED, E_IO, E_TRANSIENT as slots.h
 * says. After an error, or without end, nothing is staged. */
MUST_CHECK int candidate_import_begin(struct candidate *candidate);
MUST_CHECK int candidate_import_push(struct candidate *candidate, const char *text, size_t size);
void candidate_import_end(struct candidate *candidate);

/* Gives the staged text, or without one the text in force, piece by piece to take; stops at its
 * first error. */
MUST_CHECK int candidate_read(struct candidate *candidate,
                              int (*take)(void *context, const char *text, size_t size),
                              void *context);

/* Checks the whole: reader, review and certificates. Returns the number of errors, each reported;
 * E_IO: the flash failed. */
MUST_CHECK int candidate_check(struct candidate *candidate, struct candidate_room *room,
                               config_report *report, void *context);

/* Tells each setting that differs, as "- key = value" and "+ key = value"; secrets masked. */
void candidate_changes(const struct config *from, const struct config *to,
                       void (*line)(void *context, const char *line), void *context);

/* Writes the whole to the other slot and makes it current; not checked again. E_MISSING: nothing is
 * staged; E_SPACE, E_IO, E_UNSUPPORTED, E_TRANSIENT as slots.h says. Edits are kept after an error,
 * an imported text is not. */
MUST_CHECK int candidate_commit(struct candidate *candidate, bool trial);

void candidate_drop(struct candidate *candidate);

#endif
