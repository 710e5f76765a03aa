/* mailer.h - takes what is due from the spool to a mail server: one connection, all that is due.
 *
 *     mailer_init(&mailer, &params);
 *     outcome = mailer_run(&mailer, MAILER_CALL, id);
 *
 * The firmware's own retry policy, second server, limits and engines, over files.
 */
#ifndef TOCSIN_BOARDS_LINUX_MAILER_H
#define TOCSIN_BOARDS_LINUX_MAILER_H

#include "boards/linux/maillog.h"
#include "boards/linux/settings.h"
#include "boards/linux/spool.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2025: no clock that is set shows less. Systems without one that runs on begin with 1970. */
#define MAILER_CLOCK_UNIX_MS UINT64_C(1735689600000)

enum mailer_kind {
    MAILER_CALL, /* By a call that queued one: what no mail of its own holds back goes too. */
    MAILER_ALL,  /* `-q`: everything, due or not. */
    MAILER_DUE   /* `-q15m` and the daemon: what is due. */
};

struct mailer_params {
    struct settings *settings;
    struct spool *spool;
    struct maillog *log;
    int trace_fd; /* The dialogue goes there, secrets masked; -1: nowhere. */
};

struct mailer_outcome {
    int error;      /* 0: all that was tried has left, or another process is at it. */
    bool own_left;  /* The mail of this call has left, for all its recipients. */
    bool own_fails; /* It will never leave: it is in failed/. */
    bool busy;      /* Another process sends; it will take this one's mail too. */
    int own_code;   /* The server's last reply code to it, or 0. */
    unsigned accepted, waiting, failed;
    uint64_t next_unix_ms; /* When the next one is due; 0: none waits. */
    char text[512];        /* Of the last failure. */
};

/* own_id: the mail of this call, or NULL. */
void mailer_run(const struct mailer_params *params, enum mailer_kind kind, const char *own_id,
                struct mailer_outcome *outcome);

/* Sends one message that is in no spool (`queue = no`): fd is read from its beginning. */
void mailer_send_now(const struct mailer_params *params, const struct spool_mail *mail, int fd,
                     struct mailer_outcome *outcome);

#endif
