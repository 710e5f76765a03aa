/* submission.h - one message from a program becomes a mail in the spool: `sendmail` and `-bs`.
 *
 *     submission_begin(&submission, &params);
 *     submission_rcpt(&submission, "a@example.com, root", NULL);   each argument, as it was written
 *     submission_write(&submission, bytes, size);                  the message, in pieces
 *     submission_commit(&submission);                              0: it is safe, as mail.id
 *     submission_send(&submission, &outcome);                      now, if nothing is in the way
 *     submission_end(&submission);
 *
 * Without a spool (`queue = no`, or one that cannot be opened) the message waits in an unlinked
 * temporary file for submission_send(), and is gone with submission_end(). So it is with one that
 * the spool did not take to its end (a full disk, of which many an alert is to tell), if it is not
 * larger than what is held in memory for that: params.spool is NULL then, and committed false.
 */
#ifndef TOCSIN_BOARDS_LINUX_SUBMISSION_H
#define TOCSIN_BOARDS_LINUX_SUBMISSION_H

#include "boards/linux/mailer.h"
#include "boards/linux/maillog.h"
#include "boards/linux/settings.h"
#include "boards/linux/spool.h"
#include "boards/linux/users.h"
#include "net/error.h"
#include "net/message.h"
#include "net/transcode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBMISSION_TEXT_BYTES 512
#define SUBMISSION_HELD_BYTES 65536

/* Borrowed until submission_end(). */
struct submission_params {
    struct settings *settings;
    struct spool *spool; /* NULL: there is none. */
    struct maillog *log;
    int trace_fd;           /* As mailer_params. */
    bool header_recipients; /* `-t` */
    const char *sender;     /* `-f`; NULL: none; "": the null reverse-path. */
    const char *full_name;  /* `-F`; NULL: none. */
    const char *ret, *envid;
    void (*warn)(void *context, const char *sentence);
    void *context;
};

struct submission_list {
    char **item;
    size_t count, room;
};

struct submission {
    struct submission_params params;
    struct users_params users;
    const char *root[CONFIG_TO_MAX];
    struct spool_mail mail;
    struct spool_draft draft;
    int fd; /* Of the temporary file; -1: none. */
    bool committed;
    bool settled;                     /* Of the committed mail: it does not wait. */
    int error;                        /* The first; 0: none. */
    const char *notify;               /* Of the recipient in hand. */
    struct submission_list to, again; /* Of the header; of its Resent- fields. */
    char revaliases_hub[CONFIG_HOST_BYTES];
    char address[CONFIG_MAILBOX_BYTES]; /* The sender's. */
    char name[128];
    char message_id[CONFIG_HOST_BYTES + 64];
    char problem[SUBMISSION_TEXT_BYTES];
    struct message message;
    struct transcode_look look;
    bool held_whole; /* held is all of the message so far. */
    size_t held_size;
    uint8_t held[SUBMISSION_HELD_BYTES]; /* Pages that are not needed are never touched. */
};

/* E_IO, E_SPACE: no place for the message; problem says why. */
MUST_CHECK int submission_begin(struct submission *submission,
                                const struct submission_params *params);

/* A list of addresses, through the aliases. notify: RFC 3461, or NULL; borrowed. What is no address
 * is warned about. Returns how many mailboxes it added. */
MUST_CHECK int submission_rcpt(struct submission *submission, const char *list, const char *notify);

/* A piece of the message as the program wrote it. */
MUST_CHECK int submission_write(struct submission *submission, const uint8_t *bytes, size_t size);

/* The message is complete: safe from here on, if there is a spool. E_MISSING: nobody gets it;
 * E_IO, E_SPACE: it could not be kept. */
MUST_CHECK int submission_commit(struct submission *submission);

void submission_send(struct submission *submission, struct mailer_outcome *outcome);

/* Forgets everything; what was not committed is gone. */
void submission_end(struct submission *submission);

#endif
