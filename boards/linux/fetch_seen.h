/* fetch_seen.h - which messages of a mailbox have been delivered: STATE/NAME.seen.
 *
 * A text file that only grows, a line an event:
 *
 *     tocsin-seen 1 USER@HOST   whose mailbox; another one's memory is none
 *     m OFFSET LENGTH           the next batch goes there in the mbox
 *     + TIME UID                of a batch that is about to be delivered; it counts from `c` on
 *     c                         the batch was delivered
 *     x                         it was not
 *     - UID                     the server has deleted it, as it was told to
 *     k TIME UID                known: delivered then
 *     ? TIME UID                known, but the server did not have it any more at that time
 *
 * A crash leaves either a line without its end, which is cut off, or a batch without `c`: that is
 * in doubt, and the place of delivery is asked whether it has it (fetch_deliver.h). When most lines
 * tell nothing any more, the file is written anew beside itself and renamed.
 *
 * In memory a message is 64 bits of a hash whose seed is another one in each run, and 32 of
 * notes: 200 KB for 10,000. The same uid may stand for several messages (RFC 1939 section 7 allows
 * it for identical ones): they are counted.
 *
 *     fetch_seen_open(); resolve what is in doubt
 *     fetch_seen_listed() for each line of the server's listing
 *     fetch_seen_intend(), ... deliver ..., fetch_seen_commit()   a batch; now it may be deleted
 *     fetch_seen_gone() for each deleted one; fetch_seen_tidy(); fetch_seen_close()
 *
 * Errors: E_IO, E_SPACE with why filled.
 */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_SEEN_H
#define TOCSIN_BOARDS_LINUX_FETCH_SEEN_H

#include "boards/linux/fetch_file.h"
#include "net/error.h"
#include "net/pop3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_BATCH 32 /* Messages that are made safe by one synchronisation. */

/* A message of a batch. */
struct fetch_seen_letter {
    uint32_t unix_s;
    char uid[POP3_UID_BYTES];
};

/* Where a batch lies in an mbox; length 0: it is for no mbox. */
struct fetch_seen_place {
    uint64_t offset, length;
};

struct fetch_seen {
    int folder; /* Borrowed. */
    int fd;     /* -1: closed. */
    char name[80];
    const char *account; /* Borrowed. */
    uint64_t size;       /* Of the file, up to the end of its last line. */
    uint64_t seed;
    uint64_t *keys; /* The table; 0: a free place. */
    uint32_t *notes;
    uint32_t room, used;
    uint32_t lines;       /* In the file. */
    uint32_t known;       /* Of these, messages that are remembered. */
    uint32_t today;       /* Days since 1970. */
    uint32_t batch_count; /* Of a batch that is under way, or in doubt. */
    struct fetch_seen_letter batch[FETCH_BATCH];
    struct fetch_seen_place place;
    uint64_t batch_at; /* Where the batch in doubt stands in the file: a number of its own. */
    uint64_t line_at;  /* While the file is read: its line in hand. */
    size_t buffered;
    char buffer[4096];
};

/* name: the account's, a file name. account: "USER@HOST". When the file is of another account it is
 * kept as NAME.seen.old, and *replaced is set. */
MUST_CHECK int fetch_seen_open(struct fetch_seen *seen, int folder, const char *name,
                               const char *account, uint64_t unix_s, bool *replaced,
                               struct fetch_why *why);
void fetch_seen_close(struct fetch_seen *seen);

/* Which messages of the batch in doubt were delivered after all (bit i: batch[i]). */
MUST_CHECK int fetch_seen_resolve(struct fetch_seen *seen, uint32_t delivered,
                                  struct fetch_why *why);

/* A number for the next batch that no other one in this file has, nor had at the same time. */
static inline uint32_t fetch_seen_serial(const struct fetch_seen *seen)
{
    return (uint32_t)(seen->size + seen->buffered);
}

/* The server has a message of that uid. 1: it is known; 0: it is new. */
MUST_CHECK int fetch_seen_listed(struct fetch_seen *seen, const char *uid, struct fetch_why *why);

/* seen->batch and seen->place tell what is about to be delivered. sync: before that happens. */
MUST_CHECK int fetch_seen_intend(struct fetch_seen *seen, bool sync, struct fetch_why *why);

/* The first `delivered` of the batch were delivered. When this returns 0, disk has it. */
MUST_CHECK int fetch_seen_commit(struct fetch_seen *seen, uint32_t delivered,
                                 struct fetch_why *why);

/* The server has deleted it. Not synced: after a crash it may be remembered a little longer. */
void fetch_seen_gone(struct fetch_seen *seen, const char *uid, struct fetch_why *why);

/* After a whole listing: writes what is buffered, and the file anew if that is worth it. */
void fetch_seen_tidy(struct fetch_seen *seen, struct fetch_why *why);

#endif
