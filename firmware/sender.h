/* sender.h - takes what is due from the queue to a mail server: one connection, all that is due.
 *
 *     sender_init(&sender, &params);
 *     for (;;) { while (sender_poll(&sender, &now)) { } ... sleep until sender_deadline() }
 *
 * A session that fails is followed at once by one with the other server, if there is one. When each
 * has failed, everything is held back for a while (exponential, with full jitter); then it begins
 * with the first again. While the second one works, the first is only tried when its own backoff is
 * over. A failure of one mail holds back that one. What a server refused for ever waits for a
 * person, and so does what could not be sent within `expire`. Nothing is forgotten here: what
 * happens to a mail is recorded in the queue before the server can know more than the record.
 *
 * Cost: sizeof(struct sender), some 5 KB. Call from the main loop only.
 */
#ifndef TOCSIN_FIRMWARE_SENDER_H
#define TOCSIN_FIRMWARE_SENDER_H

#include "firmware/answer.h"
#include "firmware/config.h"
#include "firmware/policy.h"
#include "firmware/poller_work.h"
#include "firmware/queue.h"
#include "firmware/retry.h"
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
    bool goes_on; /* Not the end: another server is tried at once. */
    uint32_t ms;  /* That the stage took. */
    const char *detail;
};

/* Borrowed for as long as the sender lives. */
struct sender_params {
    const struct config *config;
    struct queue *queue;
    struct policy *policy; /* Told of what leaves; has the lines of digests. */
    struct link *link;
    struct tls *tls;
    struct random *random;
    /* The CA certificates, asked for before each session: they may lie in the TLS object's own
     * room. */
    const struct tls_anchors *(*anchors)(void *context);
    const char *device_id; /* Hexadecimal; makes Message-IDs unique among devices. */
    const char *board;
    const char *version;
    void (*log)(void *context, const char *line);
    void (*report)(void *context, const struct sender_report *report);
    /* Makes the mail of what is no alert (FACILITY_MAIL) out of an alert whose text may be cut up;
     * all that fields gets lives until the mail was read. */
    void (*compose)(void *context, struct alert *alert, struct answer_parts *parts,
                    struct rfc5322_fields *fields);
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
    uint8_t to_count;
    bool running;
    bool have_item;
    bool recorded; /* As being tried: the server may have all of the mail in hand. */
    bool authenticated;
    bool is_test;
    bool tls_is_other; /* What the TLS object tells of is the poller's session. */
    bool leaves;       /* This server defers what it is given: QUIT. */
    bool was_blocked;
    bool limit_said;       /* The log has what keeps the mails that are due. */
    uint8_t stage;         /* Next one to be reported. */
    uint8_t deferred;      /* Mails in a row that this server wants later. */
    uint8_t server;        /* The one in hand, or the last: config_server()'s index. */
    uint8_t hurried;       /* Failed rounds until a backoff may be shortened again. */
    uint16_t expiry_index; /* Where looking for what is too old goes on. */
    struct sender_params params;
    struct queue_item item;
    char address[16];
    const char *waiting_said; /* The reason for waiting that the log has. */
    uint32_t seen;            /* Number of the next alert as of the last look at new ones. */
    uint64_t polled_ms;
    uint64_t stage_ms;     /* When the stage in hand began. */
    struct retry retry;    /* No session before its next_ms, */
    uint64_t limit_ms;     /* and no mail before this: the provider's limit. */
    uint64_t expiry_ms;    /* When to look again for what is too old. */
    uint64_t link_lost_ms; /* Since when the link has been away during a session; 0: it is there. */
    uint32_t sessions, resumed, accepted, failed;
    uint64_t last_accepted_unix_s;
    char last_error[SENDER_TEXT_BYTES]; /* "SERVER: WHY"; "" when the last session was good. */
    char last_peer[24];
    uint32_t not_after_unix_s[2]; /* When each server's certificate ends; 0: not known. */
    struct session session;
    struct tls_params tls_params;
    struct tls_resume resume;
    /* While no mail is being sent, the room is the poller's: see sender_lend(). */
    union {
        struct {
            struct smtp smtp;
            struct smtp_params smtp_params;
            struct rfc5322 mail;
            struct alert alert; /* The one in hand. */
            struct answer_parts parts;
            char live_line[RFC5322_DIGEST_LINE_BYTES];
            const char *to[SMTP_RCPT_MAX];
            uint8_t to_index[SMTP_RCPT_MAX]; /* Which configured recipient each of `to` is. */
            char ehlo_name[CONFIG_HOST_BYTES * 2];
            char message_id[ALERT_DOMAIN_BYTES + 64];
        };
        struct poller_work poller;
    };
};

void sender_init(struct sender *sender, const struct sender_params *params);

/* true: something moved, poll again. */
bool sender_poll(struct sender *sender, const struct sender_now *now);

/* When to poll although nothing arrives; UINT64_MAX: never. */
uint64_t sender_deadline(const struct sender *sender);

/* A wait after so many failures in a row: between retry_min and retry_max, with full jitter. */
uint64_t sender_backoff_ms(struct sender *sender, unsigned failures);

/* When the next mail may be tried, while no session runs; UINT64_MAX: none waits. */
uint64_t sender_try_ms(const struct sender *sender);

/* Tries at once, the first server first, whatever the backoff says; the provider's limits still
 * count. With is_test the next session is `test`'s. */
void sender_hurry(struct sender *sender, bool is_test);

/* Something is due now, and nothing but the session of another stands in its way. */
bool sender_wants(struct sender *sender, uint64_t now_ms);

/* The room and the session, for the poller, until sender_take_back(); the sender is not polled
 * meanwhile. NULL: a mail is being sent. */
struct poller_work *sender_lend(struct sender *sender);
void sender_take_back(struct sender *sender);

/* The last connection's TLS in one line: "TLS 1.2 SUITE CURVE; SUBJECT KEY < ISSUER"; "" without
 * one. */
void sender_describe_tls(const struct sender *sender, char *out, size_t size);

/* "TIME.BOOT.SEQUENCE.DEVICE@DOMAIN": of what was fixed when the alert was queued, so that it is
 * the same on every try, after every reboot and change of settings, and no other alert's. */
void sender_message_id(const struct alert *alert, const char *device_id, char *out, size_t size);

const char *sender_stage_name(enum sender_stage stage); /* "DNS", "recipient", ... */

#endif
