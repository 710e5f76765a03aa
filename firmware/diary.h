/* diary.h - small things that the device remembers over resets: when it reported last, what is
 * muted, what bounced. One record of flash (JOURNAL_DIARY), written when something changed.
 *
 * Cost: sizeof(struct diary), under 250 bytes.
 */
#ifndef TOCSIN_FIRMWARE_DIARY_H
#define TOCSIN_FIRMWARE_DIARY_H

#include "firmware/journal.h"
#include "net/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DIARY_MUTES_MAX 4
#define DIARY_NAME_BYTES 32

struct diary_mute {
    char source[DIARY_NAME_BYTES]; /* Host, app or sender; "": free. */
    uint32_t until_unix_s;
    uint32_t count; /* Alerts that it kept back. */
};

struct diary {
    struct journal *journal;
    uint32_t report_unix_s;    /* The last report's due time that was served; 0: none yet. */
    uint32_t self_test_unix_s; /* The last self test's end. */
    bool self_test_failed;
    uint32_t bounced;        /* Alerts that a server took, and that came back. */
    uint32_t bounced_number; /* The last one, and when. */
    uint32_t bounced_unix_s;
    char bounced_status[12];    /* RFC 3463: "5.1.1". */
    uint32_t fast_until_unix_s; /* `poll DURATION`. */
    struct diary_mute mutes[DIARY_MUTES_MAX];
    uint64_t save_ms; /* Not kept: when the mutes' counts are to be written; 0: they are. */
};

/* After the journal is mounted: what flash has, or nothing. Needs 200 bytes of stack. */
void diary_init(struct diary *diary, struct journal *journal);

/* Writes all of it. E_IO, E_SPACE, E_UNSUPPORTED: a reset goes back to what was written before. */
MUST_CHECK int diary_save(struct diary *diary);

#endif
