/* spool.h - mails on their way, in a folder: nothing is lost at a crash, and any number of
 * processes may work in it.
 *
 *     SPOOL/tmp/ID         a message being written, locked (flock) by its writer
 *     SPOOL/tmp/ID.env     a new envelope before its rename
 *     SPOOL/queue/ID.mail  the message as it will be sent, complete and synced; never changed
 *     SPOOL/queue/ID.env   its envelope and state: text lines, replaced as a whole by rename
 *     SPOOL/failed/        the same two files, of what was given up
 *     SPOOL/lock           held (flock) by the one that sends; made last: the folders are synced
 *     SPOOL/state          the retry and limit state of the servers
 *
 * A mail exists from the rename of its .env, which comes after its .mail was synced and renamed,
 * to the unlink of its .env; it is in the folder where its .env is. Between the two renames that
 * move a mail to failed/ or back its .mail is in the other folder, and found there. Files in tmp/,
 * and .mail files without .env in either folder, are swept away when they are older than an hour
 * and nobody holds them. ID is the time in microseconds and the process, in hexadecimal, so that
 * names sort by age.
 *
 * What is synced, and why no more: a message before it is renamed and an envelope before it
 * replaces one (a name must never stand for bytes that are not there); the queue's folder before
 * a mail is called safe, and after a recipient is marked as done (else a power cut would send to
 * him again). Not synced: that a mail is done (a power cut brings it back, sent once more with the
 * same Message-ID), and when it is due. A rename is taken as whole over a power cut, as every
 * file system with a journal makes it.
 *
 * The spool belongs to a group (the program is installed set-group-id): folders are 2770, files
 * 0660, whatever the umask; one that a user makes for himself is 0700 and 0600. Symbolic links in
 * it are never followed, foreign names never touched. An envelope that cannot be read as one is set
 * aside in failed/ with its message, by whoever loads it.
 *
 * Errors, with a sentence in `problem` that names the path and what to do: E_IO; E_SPACE: the disk
 * is full, the quota reached, or no memory; E_MISSING: there is no such folder or mail; E_INVALID:
 * a file is damaged, or a value cannot be in an envelope; E_UNSUPPORTED: an envelope of another
 * version; E_TRANSIENT: another process is at it. No call waits, but spool_lock() if told so.
 * Ignore SIGXFSZ, or a file size limit ends the program instead of being told.
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
#define SPOOL_ENVELOPE_BYTES_MAX (16u << 20)

enum spool_folder { SPOOL_TMP, SPOOL_QUEUE, SPOOL_FAILED, SPOOL_TOP, SPOOL_FOLDERS };

struct spool {
    int folder[SPOOL_FOLDERS]; /* Descriptors; -1: closed. */
    int lock;
    unsigned mode; /* Of new files: 0660 or 0600. */
    char path[256];
    char problem[512]; /* Of the last error: "/var/spool/tocsin/queue: permission denied". */
};

/* Opens the spool and makes what is missing in it, also the folders above it. One that everybody
 * may write into, or that belongs to another user, is refused (E_INVALID). */
MUST_CHECK int spool_open(struct spool *spool, const char *path);
void spool_close(struct spool *spool);

/* Whether it is in memory (a router's /var), so that its mails end with the next reboot. */
bool spool_is_volatile(const struct spool *spool);

/* The same of a folder that is not opened, and perhaps not there yet. */
bool spool_path_is_volatile(const char *path);

/* ---- a new mail ---- */

struct spool_draft {
    int fd; /* -1: none. */
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
    char *hub;               /* HOST[:PORT] in the place of mailhub (revaliases); NULL: none. */
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

/* On an error mail is empty. E_INVALID: the envelope is damaged, or the message is not as long as
 * it was; of the queue, both are in failed/ now, and problem says so. An entry of failed/ that
 * cannot be read stays where it is. */
MUST_CHECK int spool_load(struct spool *spool, bool failed, const char *id,
                          struct spool_mail *mail);
void spool_mail_free(struct spool_mail *mail);

/* Adds a recipient of a mail that is being made; E_SPACE: too many. */
MUST_CHECK int spool_mail_rcpt(struct spool_mail *mail, const char *address, const char *notify);

/* The message, for reading: a descriptor. */
MUST_CHECK int spool_message(struct spool *spool, bool failed, const char *id);

/* ---- what becomes of it (by who holds the lock) ---- */

/* Writes the envelope anew. E_MISSING: somebody dropped the mail meanwhile; nothing is written. */
MUST_CHECK int spool_update(struct spool *spool, const struct spool_mail *mail);

/* Every recipient has it, or was told: the mail is gone. No error if it was already. */
MUST_CHECK int spool_done(struct spool *spool, const struct spool_mail *mail);

/* Moves it to failed/, with mail->reason. Waiting recipients stay as they are: those a retry is
 * for. */
MUST_CHECK int spool_fail(struct spool *spool, const struct spool_mail *mail);

/* Back into the queue, for all who do not have it, due now, its attempts 0; or away for ever. By a
 * person: `mailq`'s and `tocsin queue`'s. Without the lock; E_TRANSIENT: it is in the queue, and
 * another process sends. */
MUST_CHECK int spool_retry(struct spool *spool, const char *id);
MUST_CHECK int spool_drop(struct spool *spool, bool failed, const char *id);

/* 0: this process sends now; E_TRANSIENT: another one does. wait: until it is free, at most
 * wait_ms. */
MUST_CHECK int spool_lock(struct spool *spool, uint32_t wait_ms);
void spool_unlock(struct spool *spool);

/* For how long the one that sends has been at it, by the clock. */
uint32_t spool_locked_s(const struct spool *spool);

/* SPOOL/state as a whole, synced where it matters to nobody: it is only a hint. */
MUST_CHECK int spool_state_read(struct spool *spool, void *out, size_t size);
MUST_CHECK int spool_state_write(struct spool *spool, const void *bytes, size_t size);

/* Removes leftovers of crashes, older than an hour. */
void spool_sweep(struct spool *spool);

#endif
