/* sender.h - takes what is due from the queue to the mail server: one connection, all that is due.
 *
 *     sender_init(&sender, &params);
 *     for (;;) { while (sender_poll(&sender, &now)) { } ... sleep until sender_deadline() }
 *
 * A failure of the connection holds everything back for a while (exponential, with jitter); a
 * failure of one mail holds back that one. What the server refused for ever waits for a person.
 * Nothing is forgotten here. Call from the main loop only.
 */
#ifndef TOCSIN_FIRMWARE_SENDER_H
#define TOCSIN_FIRMWARE_SENDER_H

#include "firmware/config.h"
#include "firmware/queue.h"
#include "net/error.h"
#include "net/rfc5322.h"
#include "net/session.h"
#include "net/smtp.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENDER_TEXT_BYTES 320

/* The way of a mail, in order; `test` shows each. */
enum sender_stage {
    SENDER_LINK,
    SENDER_ADDRESS,
    SENDER_CLOCK,
    SENDER_DNS,
    SENDER_CONNECT,
    SENDER_TLS,
    SENDER_AUTH,
    SENDER_RECIPIENT,
    SENDER_ACCEPTED,
    SENDER_STAGE_COUNT
};

/* A stage has ended. detail lives during the call. */
struct sender_report {
    enum sender_stage stage;
    bool ok;
    bool is_test; /* Of a session that `test` began. */
    uint32_t ms;  /* That the stage took. */
    const char *detail;
};

/* Borrowed for as long as the sender lives. */
struct sender_params {
    const struct config *config;
    struct queue *queue;
    struct link *link;
    struct tls *tls;
    struct random *random;
    /* The CA certificates, asked for before each session: they may lie in the TLS object's own
     * room. */
    const struct tls_anchors *(*anchors)(void *context);
    const char *device_id; /* Hexadecimal; makes Message-IDs unique. */
    const char *board;
    const char *version;
    void (*log)(void *context, const char *line);
    void (*report)(void *context, const struct sender_report *report);
    void *context;
};

/* What the sender has to know at each poll. */
struct sender_now {
    uint64_t now_ms;
    uint64_t unix_ms;    /* 0: the clock is not known. */
    const char *blocked; /* Why nothing can be sent now; NULL: it can. */
    enum sender_stage blocked_stage;
    const char *address; /* Our own, as text. */
};

struct sender {
    struct sender_params params;
    struct session session;
    struct smtp smtp;
    struct smtp_params smtp_params;
    struct tls_params tls_params;
    struct tls_resume resume;
    struct rfc5322 mail;
    struct alert alert; /* The one in hand. */
    struct queue_item item;
    const char *to[SMTP_RCPT_MAX];
    uint8_t to_index[SMTP_RCPT_MAX]; /* Which configured recipient each of `to` is. */
    uint8_t to_count;
    char ehlo_name[CONFIG_HOST_BYTES * 2];
    char message_id[CONFIG_HOST_BYTES + 64];
    char address[16];
    bool running;
    bool have_item;
    bool authenticated;
    bool is_test;
    const char *waiting_said; /* The reason for waiting that the log has. */
    bool was_blocked;
    uint8_t stage;         /* Next one to be reported. */
    uint8_t failures;      /* Sessions that failed in a row; sticks at 255. */
    uint64_t stage_ms;     /* When the stage in hand began. */
    uint64_t next_ms;      /* No session before this. */
    uint64_t link_lost_ms; /* Since when the link has been away during a session; 0: it is there. */
    uint32_t sessions, resumed, accepted, failed;
    uint64_t last_accepted_unix_s;
    char last_error[SENDER_TEXT_BYTES]; /* "" when the last session was good. */
    char last_peer[24];
};

void sender_init(struct sender *sender, const struct sender_params *params);

/* true: something moved, poll again. */
bool sender_poll(struct sender *sender, const struct sender_now *now);

/* When to poll although nothing arrives; UINT64_MAX: never. */
uint64_t sender_deadline(const struct sender *sender);

/* Tries at once, whatever the backoff says. With is_test the next session is `test`'s. */
void sender_hurry(struct sender *sender, bool is_test);

/* The last connection's TLS in one line: "TLS 1.2 SUITE CURVE; SUBJECT KEY < ISSUER"; "" without
 * one. */
void sender_describe_tls(const struct sender *sender, char *out, size_t size);

const char *sender_stage_name(enum sender_stage stage); /* "DNS", "recipient", ... */

#endif
