/* candidate.h - a configuration being changed on the device.
 *
 * `config set` and `config unset` are edits over the text in force, kept in RAM until they are
 * committed; `config import` is a whole text, which goes straight to the slot that is not in force.
 * Both are staged: they have no effect, and a reset drops them, until candidate_commit() has
 * checked the whole by the same table as any other text. Cost: sizeof(struct candidate), under
 * 1 KB, and the caller's struct config_reader while it checks.
 */
#ifndef TOCSIN_FIRMWARE_CANDIDATE_H
#define TOCSIN_FIRMWARE_CANDIDATE_H

#include "firmware/config.h"
#include "firmware/slots.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANDIDATE_EDIT_BYTES 768

struct candidate {
    struct slots *slots;
    bool imported;  /* The base is a staged text. */
    bool importing; /* Lines are being taken. */
    uint16_t edits_used;
    char edits[CANDIDATE_EDIT_BYTES]; /* "key = value" or "key" (unset), each ended by NUL. */
};

void candidate_init(struct candidate *candidate, struct slots *slots);
bool candidate_staged(const struct candidate *candidate);

/* Stages `key = value`; value NULL: the key is taken out. All lines of a list give way to the new
 * one. E_INVALID: no such key, or what cannot be set on a line (*why tells); E_SPACE: too many
 * edits, commit first. */
MUST_CHECK int candidate_set(struct candidate *candidate, const char *key, const char *value,
                             const char **why);

/* A whole text, line by line. End: E_INVALID leaves it staged for `config test` to tell why. */
MUST_CHECK int candidate_import_begin(struct candidate *candidate);
MUST_CHECK int candidate_import_line(struct candidate *candidate, const char *line);
MUST_CHECK int candidate_import_end(struct candidate *candidate);

/* Gives the staged text, piece by piece, to take; stops at its first error. */
MUST_CHECK int candidate_read(struct candidate *candidate,
                              int (*take)(void *context, const char *text, size_t size),
                              void *context);

/* Checks the whole: reader, review and certificates. Returns the number of errors, each reported;
 * config then is what the text says. */
MUST_CHECK int candidate_check(struct candidate *candidate, struct config_reader *reader,
                               struct config *config, config_report *report, void *context);

/* Writes the whole to the other slot and makes it current; not checked again. E_MISSING: nothing is
 * staged; E_SPACE, E_IO, E_UNSUPPORTED as slots.h says. */
MUST_CHECK int candidate_commit(struct candidate *candidate, bool trial);

void candidate_drop(struct candidate *candidate);

#endif
