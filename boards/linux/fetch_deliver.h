/* fetch_deliver.h - where messages go: a Maildir, an mbox, or a command.
 *
 *     fetch_deliver_open(&deliver, "maildir:/home/joe/Maildir", "joe@pop.example.com", &why)
 *     a message: fetch_deliver_begin(), fetch_deliver_push() ..., fetch_deliver_end()
 *     until fetch_deliver_full(), or there is no more:
 *         fetch_deliver_prepare()  all of the batch is on disk, beside where it goes
 *         ... what is about to happen is written down: fetch_seen_intend() ...
 *         fetch_deliver_commit()   now it is delivered
 *
 * A message is whole before anything of it can be seen: a Maildir's in tmp/, an mbox's and a
 * command's in a file without a name. A batch of a command is one message.
 *
 * Maildir (cr.yp.to/proto/maildir.html): TIME.U<hash>S<batch>_N.HOST, where the hash is of account
 * and uid, so that it is found again after a crash. mbox: appended under fcntl and NAME.lock, in
 * the variant that can be undone (mboxrd: ^>*From gets one more '>'), cut back if it cannot be
 * written whole. Command: run by /bin/sh with the message on standard input and SENDER,
 * TOCSIN_ACCOUNT, TOCSIN_UID and TOCSIN_SIZE in its environment; 0 is delivered, EX_TEMPFAIL later,
 * anything else stops. Line ends become LF; no other byte is changed.
 *
 * Cost: the object, some 40 KB. Errors: E_IO, E_SPACE with why filled.
 */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_DELIVER_H
#define TOCSIN_BOARDS_LINUX_FETCH_DELIVER_H

#include "boards/linux/fetch_file.h"
#include "boards/linux/fetch_header.h"
#include "boards/linux/fetch_seen.h"
#include "net/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_BATCH_BYTES (1u << 20) /* A batch that is larger is full. */
#define FETCH_NAME_BYTES 160         /* Of a file in a Maildir. */

enum fetch_kind { FETCH_MAILDIR, FETCH_MBOX, FETCH_PIPE };

struct fetch_letter {
    const char *uid; /* Borrowed; "": it has none. */
    uint32_t unix_s;
    uint32_t number;      /* The caller's own. */
    uint64_t begin, size; /* In the spool (0 in a Maildir), as it is delivered. */
    int fd;               /* In a Maildir: its file; -1: synced and closed. */
    bool in_tmp;          /* It is there. */
    char sender[FETCH_VALUE_BYTES];
    char message_id[128];
};

struct fetch_deliver {
    enum fetch_kind kind;
    bool quiet;
    bool begun;    /* A message is under way. */
    bool after_cr; /* Its last byte was a CR, which is held. */
    uint8_t from;  /* Of "From " at a line's start, how much has come; FROM_NONE. */
    uint8_t last;  /* Byte, for an mbox. */
    char path[FETCH_PATH_BYTES];
    char host[64];
    const char *account; /* Borrowed. */
    uint64_t seed;
    int folder, tmp, new_folder; /* Maildir. */
    int spool;                   /* mbox, command. */
    uint64_t spooled;            /* Bytes in the spool. */
    uint32_t serial;             /* Of the batch: fetch_seen_serial(), set by the caller. */
    int mbox;                    /* Open, and locked, from prepare to commit. */
    bool dotlock;
    uint64_t mbox_size;
    unsigned mbox_gap; /* Newlines before the batch. */
    sigset_t signals;  /* Those that were let through before the lock. */
    uint32_t count;    /* In letters, without the one under way. */
    uint64_t batch_bytes;
    struct fetch_letter letters[FETCH_BATCH];
    struct fetch_header header;
    size_t buffered;
    uint8_t buffer[16384];
};

/* where: the key `deliver`. account: for names and the environment; borrowed. E_IO with EX_CONFIG
 * when it is no such place. Makes a Maildir that is not there. */
MUST_CHECK int fetch_deliver_open(struct fetch_deliver *deliver, const char *where,
                                  const char *account, bool quiet, struct fetch_why *why);
void fetch_deliver_close(struct fetch_deliver *deliver);

/* Which of the batch that a crash left in doubt are there after all (a bit each); what half of it
 * an mbox got is cut off. said: a sentence for a person, or "". */
MUST_CHECK int fetch_deliver_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen,
                                     uint32_t *delivered, char *said, size_t said_size,
                                     struct fetch_why *why);

/* A message. uid is borrowed until the batch is over. */
MUST_CHECK int fetch_deliver_begin(struct fetch_deliver *deliver, uint32_t number, const char *uid,
                                   uint32_t unix_s, struct fetch_why *why);
MUST_CHECK int fetch_deliver_push(struct fetch_deliver *deliver, const uint8_t *bytes, size_t size,
                                  struct fetch_why *why);
MUST_CHECK int fetch_deliver_end(struct fetch_deliver *deliver, struct fetch_why *why);

/* The one under way will not become whole: nothing of it stays. */
void fetch_deliver_drop(struct fetch_deliver *deliver);

bool fetch_deliver_full(const struct fetch_deliver *deliver);

/* place: where in an mbox it is going to be. */
MUST_CHECK int fetch_deliver_prepare(struct fetch_deliver *deliver, struct fetch_seen_place *place,
                                     struct fetch_why *why);

/* Returns 0: all are delivered; otherwise the first *delivered are. E_TRANSIENT: the command wants
 * that one later. */
MUST_CHECK int fetch_deliver_commit(struct fetch_deliver *deliver, uint32_t *delivered,
                                    struct fetch_why *why);

/* The batch is over, whatever became of it. */
void fetch_deliver_forget(struct fetch_deliver *deliver);

/* ---- between the files of this module ---- */

void fetch_maildir_name(const struct fetch_deliver *deliver, uint32_t serial, uint32_t index,
                        uint32_t unix_s, const char *uid, char out[FETCH_NAME_BYTES]);
/* Writes out what is in the buffer. */
MUST_CHECK int fetch_deliver_flush(struct fetch_deliver *deliver, struct fetch_why *why);

MUST_CHECK int fetch_maildir_open(struct fetch_deliver *deliver, struct fetch_why *why);
MUST_CHECK int fetch_maildir_begin(struct fetch_deliver *deliver, struct fetch_why *why);
MUST_CHECK int fetch_maildir_prepare(struct fetch_deliver *deliver, struct fetch_why *why);
MUST_CHECK int fetch_maildir_commit(struct fetch_deliver *deliver, uint32_t *delivered,
                                    struct fetch_why *why);
void fetch_maildir_remove(struct fetch_deliver *deliver, uint32_t index);
uint32_t fetch_maildir_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen);

MUST_CHECK int fetch_mbox_prepare(struct fetch_deliver *deliver, struct fetch_seen_place *place,
                                  struct fetch_why *why);
MUST_CHECK int fetch_mbox_commit(struct fetch_deliver *deliver, struct fetch_why *why);
void fetch_mbox_unlock(struct fetch_deliver *deliver);
MUST_CHECK int fetch_mbox_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen,
                                  uint32_t *delivered, char *said, size_t said_size,
                                  struct fetch_why *why);

MUST_CHECK int fetch_pipe_commit(struct fetch_deliver *deliver, struct fetch_why *why);

#endif
