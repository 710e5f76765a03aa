/* queue.h - alerts on their way out, in flash.
 *
 * An alert is a record of the journal from before its source is told that it is queued until a
 * server said 250 to it or a person dropped it. What happens to it is recorded as marks. RAM holds
 * six bytes an alert: where its newest record stands, its severity, when it is due.
 *
 * When there is no room, the oldest of the least severe gives way, those that were given up first,
 * if it is no more severe than the new one, or was given up and the new one is an error or worse;
 * it is counted. Where flash cannot be written, the last few are kept in RAM, which `queue` shows.
 * Cost: sizeof(struct queue), about 8 KB.
 */
#ifndef TOCSIN_FIRMWARE_QUEUE_H
#define TOCSIN_FIRMWARE_QUEUE_H

#include "firmware/journal.h"
#include "firmware/limits.h"
#include "net/alert.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_MAX 1024
#define QUEUE_VOLATILE_MAX 2 /* In RAM: a test, and where flash cannot be written. */

/* What happened to an alert last; the numbers stand in flash. */
enum queue_event {
    QUEUE_QUEUED = 1,
    QUEUE_TRYING = 2,     /* Handed over or being so, and no answer yet: may arrive twice. */
    QUEUE_WAITING = 3,    /* A try failed for now. */
    QUEUE_ACCEPTED = 4,   /* 250 to DATA: ends it. */
    QUEUE_REFUSED = 5,    /* For ever: waits for a person. */
    QUEUE_EXPIRED = 6,    /* Given up after `expire`: waits for a person. */
    QUEUE_DROPPED = 7,    /* By a person: ends it. */
    QUEUE_DISPLACED = 8,  /* Gave way to a more severe one: ends it. */
    QUEUE_REPEATED = 9,   /* Its count grew. */
    QUEUE_RETRIED = 10,   /* A person said `queue retry`. */
    QUEUE_SUPERSEDED = 11 /* A newer one tells all that it told: ends it. */
};

/* What is kept beside the alert's own text. */
struct queue_item {
    uint16_t code; /* Of the server's last reply; 0: none. */
    uint8_t severity;
    uint8_t facility;
    uint8_t event;        /* enum queue_event */
    uint8_t attempts;     /* Tries that failed; sticks at 255. */
    uint8_t pending_mask; /* Bit i: recipient i has not got it yet. */
    bool refused;         /* Refused or expired: waits for a person. */
    bool yields;          /* Goes behind all others: connections broke on it. Not kept in flash. */
    bool folded;          /* Goes out as a line of a digest, not by itself. */
    bool digest;          /* Is a digest: of what is folded, from `after` to its own number. */
    bool volatile_;       /* In RAM only. */
    bool is_test;         /* Came from `test`: never waits in the queue. */
    bool retried;         /* A person said `queue retry`: it does not expire any more. */
    uint32_t sequence;    /* The alert's. */
    uint32_t boot_count;
    uint32_t count;       /* How often it happened. */
    uint32_t after;       /* Of a digest: its members have greater numbers than this. */
    uint64_t unix_s;      /* When it happened; 0: not known. */
    uint64_t last_unix_s; /* The last time of several. */
    uint64_t uptime_ms;
    uint64_t event_unix_ms; /* When the last event was; 0: not known. */
    uint64_t due_ms;        /* Next try, to 4 s; the app's clock. */
};

/* What is remembered over reboots beside the alerts, in one record. */
struct queue_books {
    uint64_t unix_ms;      /* Last known time. */
    uint32_t since_unix_s; /* When counting began; 0: not known. */
    uint32_t accepted, refused, expired, displaced, repeated, folded, dropped;
    uint32_t reported; /* Of refused + expired + displaced, those that the person was told of. */
};

struct queue {
    uint16_t count;
    uint32_t live_bytes; /* Of the alerts in the journal. */
    struct journal *journal;
    struct limits *limits; /* Told of each try. */
    struct journal_owner owner;
    struct queue_books books;
    uint64_t (*unix_ms)(void *context); /* For the marks. */
    void *context;
    uint64_t now_ms;          /* As of the last call that told it. */
    uint32_t word[QUEUE_MAX]; /* In the order of their numbers; private. */
    uint16_t due[QUEUE_MAX];
    struct queue_volatile {
        uint32_t sequence; /* 0: free. */
        struct queue_item item;
        struct alert alert;
    } ram[QUEUE_VOLATILE_MAX];
};

/* Mounts the journal and finds what is in it. limits are initialised before. unix_ms gives the
 * time, 0 while it is not known. */
__attribute__((noinline)) /* tools/bench.py counts what it costs. */
void queue_init(struct queue *queue, struct journal *journal, const struct flash *flash,
                struct limits *limits, uint64_t (*unix_ms)(void *context), void *context);

/* How an alert is to wait. */
struct queue_how {
    uint8_t pending_mask; /* Its recipients. */
    uint64_t due_ms;      /* 0: at once. */
    uint32_t after;       /* Of a digest, as in struct queue_item. */
    bool folded, digest, is_test;
};

/* Adds alert, and gives it its sequence number; when it returns 0, flash has it (or RAM, for a test
 * and where item.volatile_ will say so). E_SPACE: everything queued is more severe; the alert is
 * counted as displaced. */
MUST_CHECK int queue_add(struct queue *queue, struct alert *alert, const struct queue_how *how);

/* How many wait for a person. */
unsigned queue_given_up(const struct queue *queue);

/* Item number index from the oldest; false: no such. */
bool queue_item(const struct queue *queue, unsigned index, struct queue_item *item);
bool queue_find(const struct queue *queue, uint32_t sequence, struct queue_item *item);

/* Records item's event, attempts, pending_mask, count, code and times, and keeps its due_ms and
 * yields. E_MISSING; E_IO: kept in RAM only as far as it can be. */
int queue_update(struct queue *queue, const struct queue_item *item);

/* Only due_ms and yields: nothing is written. A try that was under way is over. */
void queue_delay(struct queue *queue, const struct queue_item *item);

/* The whole alert of that sequence number. A damaged one is given as far as it can be read, and
 * says so. E_MISSING. */
MUST_CHECK int queue_alert(const struct queue *queue, uint32_t sequence, struct alert *alert);

/* The alert that a record holds or held: whether or not it is still queued. E_MISSING: it has been
 * erased. */
MUST_CHECK int queue_alert_at(const struct queue *queue, uint32_t address, uint32_t sequence,
                              struct alert *alert);

/* Where the alert itself stands in flash; FLASH_NOWHERE: nowhere. */
uint32_t queue_address(const struct queue *queue, uint32_t sequence);

/* Ends it with QUEUE_ACCEPTED, _DROPPED, _DISPLACED or _SUPERSEDED; a digest ends with all that it
 * holds. E_MISSING. */
int queue_remove(struct queue *queue, uint32_t sequence, enum queue_event event, uint16_t code);

/* The next item that is due: a test, then the most severe, then the oldest, and those that yield
 * last; never one that is folded. False: none now. */
bool queue_due(struct queue *queue, uint64_t now_ms, struct queue_item *item);

/* When the next item is due; UINT64_MAX: never. */
uint64_t queue_due_ms(const struct queue *queue, uint64_t now_ms);

/* How many mails are to be sent. */
unsigned queue_waiting(const struct queue *queue);

/* How many are folded into no digest yet, and the number of the first of them. */
unsigned queue_folded(const struct queue *queue, uint32_t *first);

/* Member number index of that digest. False: no such. */
bool queue_member(const struct queue *queue, uint32_t digest, unsigned index,
                  struct queue_item *item);

/* The clock has become known: gives every alert of this boot that has none its time. */
void queue_set_time(struct queue *queue, uint32_t boot_count, uint64_t unix_ms, uint64_t now_ms);

/* Writes the books (and the limits); also done at each opening of a block. */
int queue_checkpoint(struct queue *queue);

#endif
