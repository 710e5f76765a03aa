/* authority.h - who may command, and that each order runs once: counters, one-time passwords and
 * the order in hand, in one record of flash.
 *
 *     what = authority_check(&authority, &mailed, now, &why);
 *     AUTHORITY_RUN     authority_take() writes it; then run it; then authority_done()
 *     AUTHORITY_RESUME  it was taken before a reset and may have been run: as above, but see
 *                       authority.order for what was so at that time
 *     AUTHORITY_DONE    it ran: delete the mail, answer nothing
 *     AUTHORITY_LATER   the limit of answers, or another order is in hand: leave the mail where it
 *                       is
 *     AUTHORITY_REFUSED why tells; counted
 *
 * The record holds the order's name from before it runs until after its effects and its answer are
 * in flash. The mail stays in the mailbox until then, so that a power cut anywhere finds either the
 * mail alone (it is new), or both (it is resumed), or the record alone (it is done). A counter must
 * be greater than every one taken before; a one-time password must hash to the one kept, which it
 * replaces in the same write. A chain of one-time passwords that the configuration has again, as
 * when a trial of another one fails, goes on where it was left: what was used is never good again.
 * Cost: sizeof(struct authority), under 500 bytes.
 */
#ifndef TOCSIN_FIRMWARE_AUTHORITY_H
#define TOCSIN_FIRMWARE_AUTHORITY_H

#include "firmware/config.h"
#include "firmware/journal.h"
#include "net/mailed.h"
#include "net/otp.h"

#include <stdbool.h>
#include <stdint.h>

#define AUTHORITY_ID_BYTES 144     /* A Message-ID without its brackets, with NUL; longer: none. */
#define AUTHORITY_SUBJECT_BYTES 64 /* With NUL. */
#define AUTHORITY_OTP_FEW 10       /* Fewer left: reports and answers warn. */
#define AUTHORITY_CHAINS 2         /* Remembered beside the one that counts. */
#define AUTHORITY_ENDED_MAX 4      /* Orders before the last one that are known again. */
#define AUTHORITY_NAME_BYTES 8

enum authority_phase {
    AUTHORITY_IDLE,  /* No order was ever taken. */
    AUTHORITY_TAKEN, /* It may run at any moment now, or is running. */
    AUTHORITY_TRIAL, /* It has committed a configuration, whose trial answers it. */
    AUTHORITY_ENDED  /* All its effects and its answer are in flash. */
};

/* The last order taken. */
struct authority_order {
    uint8_t phase; /* enum authority_phase */
    bool by_otp;
    bool started;                        /* The trial of its configuration has begun. */
    uint8_t hash[16];                    /* Of mailed.hash: its first bytes. */
    uint32_t next_number;                /* journal.next_number when it was taken: an answer of its
                                          * own has this number or a greater one. */
    uint32_t slot_sequence;              /* slots.sequence then; in AUTHORITY_TRIAL that of the
                                          * configuration that it committed, or will. */
    uint64_t unix_s;                     /* When it was taken. */
    char message_id[AUTHORITY_ID_BYTES]; /* Of its mail, for the answer. */
    char subject[AUTHORITY_SUBJECT_BYTES];
    char command[32]; /* Its first words, for people. */
};

/* How far a chain of one-time passwords was used. */
struct authority_chain {
    uint32_t origin; /* As otp_origin; 0 in a free place. */
    struct config_chain chain;
};

struct authority {
    struct journal *journal;
    const struct config *config;
    const char *device_id;

    /* Kept in flash (JOURNAL_AUTHORITY). */
    uint32_t counter;      /* The greatest one taken. */
    uint32_t otp_origin;   /* Names the configured chain that this one began with; 0: none. */
    uint32_t otp_sequence; /* Of otp_last: the next response has one less. */
    char otp_seed[OTP_SEED_MAX + 1];
    uint8_t otp_last[OTP_BYTES];
    uint64_t answers_unix_ms; /* When the bucket of answers is full again (limits.h). */
    struct authority_chain before[AUTHORITY_CHAINS];          /* Of earlier configurations. */
    uint8_t ended[AUTHORITY_ENDED_MAX][AUTHORITY_NAME_BYTES]; /* First bytes of their hashes. */
    struct authority_order order;

    /* Not kept. */
    uint32_t taken, refused, replayed; /* Since the start. */
    uint8_t refused_in_a_row;          /* Since the last good one, or the alert. */
    uint64_t refused_alert_ms;         /* When it was last said. */
};

enum authority_verdict {
    AUTHORITY_RUN,
    AUTHORITY_RESUME,
    AUTHORITY_DONE,
    AUTHORITY_LATER,
    AUTHORITY_REFUSED
};

/* After the journal is mounted. A chain that the configuration gives anew replaces the kept one.
 * What counts now is written once more, so that a write which lost power is not read in two ways.
 * Needs 500 bytes of stack. */
void authority_init(struct authority *authority, struct journal *journal,
                    const struct config *config, const char *device_id);

/* What to look for in a mail; NULL members where the configuration has no such key. */
void authority_keys(const struct authority *authority, struct mailed_keys *keys);

/* Whether any way to command is configured. */
bool authority_on(const struct authority *authority);

/* Writes nothing. An unknown clock (0) never limits. *why, of a refusal, is a sentence. An order
 * that was taken and has not ended keeps others waiting for an hour, one on trial until its end. */
enum authority_verdict authority_check(struct authority *authority, const struct mailed *mailed,
                                       uint64_t unix_ms, const char **why);

/* Writes what stops a replay, and the order's name; only when it returns 0 may the order run.
 * message_id is left out if it is none or too long, subject cut. E_IO, E_SPACE, E_UNSUPPORTED. */
MUST_CHECK int authority_take(struct authority *authority, const struct mailed *mailed,
                              const char *message_id, const char *subject, uint32_t slot_sequence,
                              uint64_t unix_ms);

/* The order's new phase. An error: it will be resumed, or told again, after the next reset. */
int authority_phase(struct authority *authority, enum authority_phase phase);

/* Whether a person is to be told that orders are refused: true when three were in a row, and no
 * more than once an hour. */
bool authority_alarm(struct authority *authority, uint64_t now_ms);

/* An answer goes out: counts against answers_per_hour, with the next write. */
void authority_answered(struct authority *authority, uint64_t unix_ms);

/* A new chain, by a signed order: "SEQUENCE SEED RESPONSE", as `tocsin otp` prints it. Kept with
 * the next authority_phase(). E_INVALID. */
MUST_CHECK int authority_otp_set(struct authority *authority, const char *chain);

/* How many one-time passwords are left; 0 also where there is no chain. */
uint32_t authority_otp_left(const struct authority *authority);

#endif
