/* mailbox.h - which messages of a mailbox have been looked at, whatever the mailbox holds.
 *
 * A mailbox may hold 100,000 messages that are not for this device. Nothing of them is kept one by
 * one: the set of their unique ids (RFC 1939 section 7) is kept as an invertible sketch of fixed
 * size, with the number of messages and octets and the id of the last one. docs/architecture.md
 * tells why that is right when a server renumbers, reorders and expires.
 *
 *     mailbox_load(&journal, account, &memory);
 *     mailbox_begin(&mailbox, &memory, count, octets, ...);      after STAT
 *     while (mailbox_step(&mailbox, &step)) {
 *         MAILBOX_ASK   ask LIST and UIDL of step.number      -> mailbox_told()
 *         MAILBOX_LIST  ask UIDL of all                       -> mailbox_item() for each,
 *                                                                mailbox_items_end()
 *         MAILBOX_LOOK  it is new: look at message step.number -> mailbox_looked()
 *     }
 *     mailbox_end(&mailbox);
 *     mailbox_save(&journal, &memory);
 *
 * - Nothing new: STAT and the last message's id are all that is asked. All ids are asked once a
 * day, in small mailboxes each time.
 * - New ones behind the last one known: these. Count and octets tell whether there can be others.
 * - What that does not explain: all ids pass by once (twice, if some are new); what is in the
 *   sketch cancels out, and what is left is taken from it.
 * - More differences than the sketch can tell, and a mailbox seen for the first time: all messages
 *   are looked at, the newest first, over as many sessions as it takes.
 *
 * A session may end anywhere; what was looked at is remembered, unless the memory could not be
 * written, and then is looked at again: orders are proof against that (authority.h).
 * Cost: struct mailbox and struct mailbox_memory, together about 1.1 KB, while a session lasts; 748
 * bytes in flash.
 */
#ifndef TOCSIN_FIRMWARE_MAILBOX_H
#define TOCSIN_FIRMWARE_MAILBOX_H

#include "firmware/journal.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILBOX_CELLS 48 /* Tell some 25 differences. */
#define MAILBOX_LATER_MAX 4

/* What is remembered between two sessions; zeroed: nothing. The messages that were looked at are
 * those numbered below + 1 to below + count; the sketch holds them, but for the `later` ones. Up to
 * `crc` it is what stands in flash, little-endian, byte for byte. */
struct mailbox_memory {
    uint64_t
        ids[MAILBOX_CELLS]; /* Of a cell: exclusive or of the names of all that fall into it. */
    uint64_t octets;        /* Of those `count`; wrong until a comparison has been worked off. */
    uint64_t last;          /* Name of the one with the highest number; 0: compare. */
    uint64_t position;      /* While not complete: name of the one with the lowest number. */
    uint32_t sums[MAILBOX_CELLS]; /* As ids, of second names: a cell with one message is told. */
    uint32_t account;             /* Names server and user: another one's memory is none. */
    uint32_t count;
    uint32_t below;        /* While not complete: so many are still to be looked at. */
    uint32_t swept_unix_s; /* When all ids were last compared. */
    uint32_t later_number[MAILBOX_LATER_MAX]; /* To be looked at again. */
    uint32_t later_name[MAILBOX_LATER_MAX];   /* Half of their names. */
    uint16_t counts[MAILBOX_CELLS];           /* How many fall into a cell, modulo 2^16. */
    uint8_t format;
    uint8_t later_count;
    bool complete; /* All messages have been looked at once. */
    bool by_size;  /* The server tells no ids: names are made of sizes. */

    uint32_t crc; /* Of what flash has. */
    bool torn;    /* In the middle of a comparison: not to be kept. */
    struct journal *journal;
};

enum mailbox_ask { MAILBOX_ASK, MAILBOX_LIST, MAILBOX_LOOK };

struct mailbox_step {
    enum mailbox_ask ask;
    uint32_t number;
};

#include "firmware/mailbox_state.h" /* struct mailbox; private. */

/* Reads what flash has for that account, as JOURNAL_MAILBOX; zeroes it otherwise. Writes it.
 * E_IO, E_SPACE, E_UNSUPPORTED as journal_append(). Nothing is written when nothing changed. */
void mailbox_load(struct journal *journal, uint32_t account, struct mailbox_memory *memory);
MUST_CHECK int mailbox_save(struct journal *journal, struct mailbox_memory *memory);

/* Names an account: host, port and user. */
uint32_t mailbox_account(const char *host, uint16_t port, const char *user);

/* memory is worked on in place, and borrowed until mailbox_end(). has_uidl: without it messages are
 * named by their size, and all are looked at anew when the mailbox has changed in another way than
 * by new ones at its end. unix_s: 0 if not known. */
void mailbox_begin(struct mailbox *mailbox, struct mailbox_memory *memory, uint32_t count,
                   uint64_t octets, bool has_uidl, uint64_t unix_s);

/* What to do next; false: nothing more is new. The same step until it is answered. */
bool mailbox_step(const struct mailbox *mailbox, struct mailbox_step *step);

/* The answer to MAILBOX_ASK; error when the server would not tell. uid "": it has none. */
void mailbox_told(struct mailbox *mailbox, int error, const char *uid, uint32_t octets);

/* The answers to MAILBOX_LIST. */
void mailbox_item(struct mailbox *mailbox, uint32_t number, const char *uid);
void mailbox_items_end(struct mailbox *mailbox, int error);

/* What became of the message of MAILBOX_LOOK; MAILBOX_DELETED: it goes with QUIT; MAILBOX_LATER: it
 * is to be looked at again in the next session. Its size and id are what MAILBOX_ASK was told,
 * which comes first. */
enum mailbox_fate { MAILBOX_KEPT, MAILBOX_DELETED, MAILBOX_LATER };
void mailbox_looked(struct mailbox *mailbox, enum mailbox_fate fate);

/* The session is over, or is about to be: memory is what the mailbox holds if QUIT succeeds. If it
 * does not, what was deleted is found as new once more. Does nothing the second time. */
void mailbox_end(struct mailbox *mailbox);

/* How many were looked at, and how many are known to be left for the next session. */
uint32_t mailbox_new_count(const struct mailbox *mailbox);
uint32_t mailbox_left_count(const struct mailbox *mailbox);

#endif
