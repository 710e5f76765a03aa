/* spool.h - mails on their way, in a folder: nothing is lost at a crash, and any number of
 * processes may work in it.
 *
 *     SPOOL/tmp/ID         a message being written; also a new envelope before its rename
 *     SPOOL/queue/ID.mail  the message as it will be sent, complete and synced; never changed
 *     SPOOL/queue/ID.env   its envelope and state: text lines, replaced as a whole by rename
 *     SPOOL/failed/        the same two files, of what was given up
 *     SPOOL/lock           held (flock) by the one that sends
 *     SPOOL/state          the retry and limit state of the servers
 *
 * A mail exists from the rename of its .env, which comes after its .mail was synced and renamed,
 * to the unlink of its .env. Files in tmp/, and .mail files without .env, older than an hour are
 * swept away. ID is the time in microseconds and the process, in hexadecimal, so that names sort
 * by age.
 *
 * The spool belongs to a group (the program is installed set-group-id): folders are 2770, files
 * 0660. Errors: E_IO with errno kept in the object's `problem` sentence; E_SPACE: the disk is full
 * or the quota reached; E_MISSING: there is no such folder or mail; E_INVALID: a file is damaged.
 * No call waits, but spool_lock() if told so.
 */
#ifndef TOCSIN_BOARDS_LINUX_SPOOL_H
#define TOCSIN_BOARDS_LINUX_SPOOL_H

#include "net/address.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_ID_BYTES 32
#define SPOOL_RCPT_MAX 10000 /* Of one mail. */
#define SPOOL_REASON_BYTES 512

struct spool {
    int folder; /* Descriptor of SPOOL itself; -1: closed. */
    int lock;
    char path[256];
    char problem[320]; /* Of the last error: "/var/spool/tocsin/queue: permission denied". */
};

/* Opens the spool and makes what is missing in it. */
MUST_CHECK int spool_open(struct spool *spool, const char *path);
void spool_close(struct spool *spool);

/* ---- a new mail ---- */

struct spool_draft {
    int fd;
    size_t buffered;
    uint64_t size_bytes; /* Of the message so far. */
    char id[SPOOL_ID_BYTES];
    uint8_t buffer[8192];
};

MUST_CHECK int spool_draft_begin(struct spool *spool, struct spool_draft *draft);
MUST_CHECK int spool_draft_write(struct spool *spool, struct spool_draft *draft,
                                 const uint8_t *bytes, size_t size);
void spool_draft_drop(struct spool *spool, struct spool_draft *draft);

enum spool_rcpt_state { SPOOL_WAITING, SPOOL_SENT, SPOOL_REFUSED };

struct spool_rcpt {
    enum spool_rcpt_state state;
    char *address;
    char *notify; /* NOTIFY= of RFC 3461, or NULL. */
    char *reason; /* Of the last reply, or NULL. */
};

/* One mail. Strings and the list are the object's own (malloc), freed by spool_mail_free(). */
struct spool_mail {
    char id[SPOOL_ID_BYTES];
    char *from; /* "" is the null reverse-path. */
    struct spool_rcpt *rcpt;
    size_t rcpt_count;
    char *message_id;        /* Without brackets. */
    char *sender_name;       /* Login name of who queued it. */
    char *envid, *ret;       /* RFC 3461; NULL: none. */
    uint64_t size_bytes;     /* Of the message. */
    unsigned flags;          /* TRANSCODE_ flags of the message (net/transcode.h). */
    uint64_t queued_unix_ms; /* For ever the same. */
    uint64_t due_unix_ms;    /* Not tried before this by the clock; 0: now. */
    uint32_t attempts;
    bool own_fault;                  /* due is because of this mail, not because of a server. */
    char reason[SPOOL_REASON_BYTES]; /* Of the last try; of a failed one, why. */
};

/* Makes the draft a mail, synced; fills mail->id, size_bytes and queued_unix_ms. When it returns 0
 * the mail is safe. On an error the draft is gone and nothing is queued. */
MUST_CHECK int spool_draft_commit(struct spool *spool, struct spool_draft *draft,
                                  struct spool_mail *mail);

/* ---- what is there ---- */

/* The ids in queue/ (or failed/), oldest first; *ids is malloc'd, to be freed. Returns how many. */
MUST_CHECK int spool_list(struct spool *spool, bool failed, char (**ids)[SPOOL_ID_BYTES]);

MUST_CHECK int spool_load(struct spool *spool, bool failed, const char *id,
                          struct spool_mail *mail);
void spool_mail_free(struct spool_mail *mail);

/* Adds a recipient of a mail that is being made; E_SPACE: too many. */
MUST_CHECK int spool_mail_rcpt(struct spool_mail *mail, const char *address, const char *notify);

/* The message, for reading: a descriptor. */
MUST_CHECK int spool_message(struct spool *spool, bool failed, const char *id);

/* ---- what becomes of it (by who holds the lock) ---- */

/* Writes the envelope anew, synced. */
MUST_CHECK int spool_update(struct spool *spool, const struct spool_mail *mail);

/* Every recipient has it, or was told: the mail is gone. */
MUST_CHECK int spool_done(struct spool *spool, const struct spool_mail *mail);

/* Moves it to failed/, with mail->reason. */
MUST_CHECK int spool_fail(struct spool *spool, const struct spool_mail *mail);

/* Back into the queue, due now; or away for ever. By a person: `mailq`'s and `tocsin queue`'s. */
MUST_CHECK int spool_retry(struct spool *spool, const char *id);
MUST_CHECK int spool_drop(struct spool *spool, bool failed, const char *id);

/* 0: this process sends now; E_TRANSIENT: another one does. wait: until it is free, at most
 * wait_ms. */
MUST_CHECK int spool_lock(struct spool *spool, uint32_t wait_ms);
void spool_unlock(struct spool *spool);

/* SPOOL/state as a whole, synced where it matters to nobody: it is only a hint. */
MUST_CHECK int spool_state_read(struct spool *spool, void *out, size_t size);
MUST_CHECK int spool_state_write(struct spool *spool, const void *bytes, size_t size);

/* Removes leftovers of crashes, older than an hour. */
void spool_sweep(struct spool *spool);

#endif
