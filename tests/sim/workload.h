/* workload.h - a seeded life of the flash regions, and a model that knows what must be in them.
 *
 *     workload_init(&workload, &shape, seed);
 *     workload_step(&workload);            one operation, as the device would do it
 *     workload_boot(&workload, NULL);      a reset: mounts, compares, replaces the seed
 *     workload.problem                     what is wrong; NULL: nothing
 *
 * A step is drawn from the seed alone, so that the same step can be done again from a copy of the
 * workload, and lose power at any of its flash operations.
 */
#ifndef TOCSIN_TESTS_SIM_WORKLOAD_H
#define TOCSIN_TESTS_SIM_WORKLOAD_H

#include "firmware/journal.h"
#include "firmware/queue.h"
#include "firmware/slots.h"
#include "tests/sim/nor.h"

#include <stdbool.h>
#include <stdint.h>

/* What is written may be read so often while it is mounted. */
#define WORKLOAD_MOUNT_FACTOR 30

enum workload_op {
    WORKLOAD_ADD,
    WORKLOAD_FOLD,
    WORKLOAD_DIGEST,
    WORKLOAD_TEST,
    WORKLOAD_TRY,
    WORKLOAD_WAIT,
    WORKLOAD_PARTIAL,
    WORKLOAD_ACCEPT,
    WORKLOAD_REFUSE,
    WORKLOAD_EXPIRE,
    WORKLOAD_RETRY,
    WORKLOAD_REPEAT,
    WORKLOAD_DROP,
    WORKLOAD_DELAY,
    WORKLOAD_SET_TIME,
    WORKLOAD_CHECKPOINT,
    WORKLOAD_CONFIG,
    WORKLOAD_BOOT,
    WORKLOAD_OPS
};

/* What the source of an alert was told is queued, and what was done with it. */
struct workload_alert {
    struct queue_item item; /* Its event_unix_ms, due_ms and yields are not compared. */
    uint64_t queued_unix_s;
    uint32_t key; /* Gives its texts. */
};

struct workload_model {
    unsigned count;
    uint32_t config_key; /* Gives the configuration in force. */
    struct queue_books books;
    struct queue_books books_saved; /* As of the last checkpoint. */
    struct workload_alert alert[QUEUE_MAX + QUEUE_VOLATILE_MAX];
};

struct workload {
    struct nor nor;
    struct journal journal;
    struct queue queue;
    struct limits limits;
    struct slots slots;
    struct workload_model model;
    uint32_t random; /* State of the generator. */
    uint32_t steps;
    uint32_t done[WORKLOAD_OPS];
    uint32_t displaced;
    enum workload_op op;           /* Of the last step. */
    bool draining;                 /* More alerts end than begin. */
    bool small;                    /* Alerts are short, so that many fit. */
    bool lenient;                  /* Flash goes bad under it: alerts may come back damaged. */
    uint64_t now_ms, unix_base_ms; /* Since the boot; when that was, 0: not known. */
    uint32_t key, number_max;
    uint32_t torn; /* Number of an alert that was half queued; 0: none. */
    uint32_t torn_drops;
    uint32_t seed_key, seed_key_next; /* In force, and being written. */
    bool seed_used;
    uint32_t seed_boot_count; /* Of the last seed that something was made from. */
    uint32_t boots, mounts;
    uint64_t mount_read_max; /* Bytes that a mount read. */
    uint32_t mount_factor_max;
    const char *problem;
    char problem_text[200];
};

/* Begins on an erased part, or on what is there. */
void workload_init(struct workload *workload, const struct flash *shape, uint32_t seed);
void workload_free(struct workload *workload);

/* One operation. After a cut in it, model is what it was before. */
void workload_step(struct workload *workload);
void workload_do(struct workload *workload, enum workload_op op);

/* A reset: all RAM is lost, the journal and the slots are mounted, what is there is compared with
 * the model, then the seed is replaced. other: what it would be if the operation that was cut had
 * been done; each alert may be as in the one or in the other. Afterwards the model is what was
 * found. Power may be lost in it. */
void workload_boot(struct workload *workload, const struct workload_model *other);

/* A reset as far as mounting: nothing is written, nothing compared. */
void workload_mount(struct workload *workload);

/* What is wrong with one alert of the model; NULL: it is there, as it was told to be queued. */
const char *workload_fault(struct workload *workload, const struct workload_alert *alert);

/* Compares without a reset. */
void workload_compare(struct workload *workload);

/* `to` was initialised with the same shape. What is copied can be copied back, but not worked on:
 * it points into itself. */
void workload_copy(struct workload *to, const struct workload *from);

const char *workload_op_name(enum workload_op op);

/* The alert that this key gives. */
void workload_alert(uint32_t key, bool small, struct alert *alert);

#endif
