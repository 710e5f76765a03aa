/* mailer_work.h - what a run of the mailer remembers: private to mailer*.c. */
#ifndef TOCSIN_BOARDS_LINUX_MAILER_WORK_H
#define TOCSIN_BOARDS_LINUX_MAILER_WORK_H

#include "boards/linux/mailer.h"
#include "boards/linux/trust.h"
#include "firmware/limits.h"
#include "firmware/retry.h"
#include "net/posix/link_posix.h"
#include "net/random.h"
#include "net/session.h"
#include "net/smtp.h"
#include "net/tls.h"
#include "net/transcode.h"

#define MAILER_READ_BYTES 16384
#define MAILER_TEXT_BYTES 480

/* What happened to a mail of the list in this run. */
enum {
    MAILER_TRIED_FIRST = 1,  /* Bit s: server s has said something about it. */
    MAILER_TRIED_SECOND = 2, /* (1 << 1) */
    MAILER_TRIED = MAILER_TRIED_FIRST | MAILER_TRIED_SECOND,
    MAILER_ELSEWHERE = 8, /* It goes by another server than those in hand. */
    MAILER_LATER = 16,    /* It failed by its own fault before: after all others. */
    MAILER_SETTLED = 4    /* It has left, has failed, or is not to be tried now. */
};

struct mailer_mark {
    char id[SPOOL_ID_BYTES];
    uint8_t done; /* MAILER_ flags. */
};

/* SPOOL/state: only a hint, checked as anything that is read. */
struct mailer_state {
    uint32_t magic;
    uint8_t failures, first_failures, second_first, unused;
    uint64_t first_unix_ms; /* As retry.first_ms, by the clock. */
    uint64_t next_unix_ms;  /* As retry.next_ms, likewise. */
    uint64_t full_unix_ms[LIMITS_COUNT];
    uint64_t failed_unix_ms; /* 0: the last session was good. */
    char text[MAILER_TEXT_BYTES];
};

struct mailer {
    struct mailer_params params;
    struct mailer_outcome *outcome;
    enum mailer_kind kind;
    const char *own_id; /* NULL: none. */
    uint64_t end_ms;    /* Of the whole run; UINT64_MAX: none. */

    struct retry retry; /* In the clock of posix_monotonic_ms(). */
    struct limits limits;
    struct random random;
    struct trust trust;
    struct config_server server;
    struct config_endpoint endpoint; /* Of a server that is not in the configuration. */
    char hub[CONFIG_HOST_BYTES];     /* The one in hand (revaliases); "": the configured ones. */
    char next_hub[CONFIG_HOST_BYTES];
    bool hub_waits; /* next_hub is set. */
    uint8_t server_index;
    bool trusted;     /* trust is open. */
    bool acted;       /* A server was, or should have been, talked to. */
    bool offered;     /* The recipients in hand were told to the server. */
    bool own_waits;   /* The mail of no spool may go by the other server. */
    uint8_t deferred; /* Mails in a row that this server wants later. */

    struct mailer_mark *list;
    size_t list_count, list_at;

    bool have_mail;
    struct spool_mail mail;
    int fd;           /* Of its message. */
    bool borrowed_fd; /* The caller's. */
    size_t rcpt_index[SMTP_RCPT_MAX];
    const char *rcpt[SMTP_RCPT_MAX];
    const char *notify[SMTP_RCPT_MAX]; /* NOTIFY= of each, or NULL. */
    size_t rcpt_count;
    bool wait_own_fault; /* Some of its recipients are to come later. */
    bool transcoding, at_end;
    bool unreadable; /* Reading the message failed: half of it may not pass for all of it. */
    size_t in_at, in_size;
    uint64_t offered_ms; /* When the mail in hand was; 0: not yet. */

    struct link_posix posix;
    struct link *link;
    struct tls tls;
    struct tls_params tls_params;
    struct smtp smtp;
    struct smtp_params smtp_params;
    struct session session;
    char ehlo_name[CONFIG_HOST_BYTES + 2];
    struct transcode_look look;
    struct transcode transcode;
    uint8_t in[MAILER_READ_BYTES];
};

/* mailer.c */
void mailer_say(struct mailer *mailer, int severity, const char *line);

/* Loads the next mail of the list that may go to the server in hand. False: there is none. */
bool mailer_next(struct mailer *mailer);

/* The recipients in hand have their answer: records it. */
void mailer_answered(struct mailer *mailer, const struct smtp_result *result);

/* No recipient of the mail in hand is left for this session: it is done, waits, or has failed. */
void mailer_settles(struct mailer *mailer);

/* The session ended in the middle of the mail in hand. */
void mailer_broken(struct mailer *mailer, int error, const char *why);

/* mailer_session.c */

/* One connection with mailer->server_index. Returns 0, or the class of what ended it, with its
 * words in why. */
int mailer_session(struct mailer *mailer, char *why, size_t why_size);

/* "end of DATA: 552 5.2.2 mailbox full. ADVICE" */
void mailer_describe(struct text *text, const struct smtp_failure *failure);

/* mailer_trace.c: the engine as the session sees it, with the dialogue written to trace_fd. */
const struct session_engine *mailer_engine(const struct mailer *mailer);
void mailer_trace_text(struct mailer *mailer, const char *text);

#endif
