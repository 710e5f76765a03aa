#include "tests/sim/workload.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX
#define CONFIG_BYTES_MAX 600

const char *workload_op_name(enum workload_op op)
{
    static const char *const names[WORKLOAD_OPS] = {
        "add",    "fold",  "digest", "test", "try",   "wait",     "partial",    "accept", "refuse",
        "expire", "retry", "repeat", "drop", "delay", "set time", "checkpoint", "config", "boot",
    };

    return names[op];
}

static uint32_t next(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

static uint32_t dice(struct workload *workload, uint32_t sides)
{
    return next(&workload->random) % sides;
}

/* Keeps the first problem. */
static void problem(struct workload *workload, const char *what, uint32_t number)
{
    if (workload->problem == NULL) {
        snprintf(workload->problem_text, sizeof workload->problem_text, "%s (%u), step %u: %s",
                 what, (unsigned)number, (unsigned)workload->steps, workload_op_name(workload->op));
        workload->problem = workload->problem_text;
    }
}

/* --- What a key gives --- */

static void fill(uint32_t *random, char *out, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint32_t value = next(random);

        if (i + 1 < length && value % 16 == 0) {
            out[i++] = '\xC3'; /* A letter of two bytes. */
            out[i] = (char)(0xA0 + value / 16 % 32);
        } else {
            out[i] = (char)(' ' + value / 16 % 95);
        }
    }
    out[length] = '\0';
}

static size_t text_length(uint32_t *random, bool small)
{
    uint32_t kind = next(random) % 16;

    if (small) {
        return next(random) % 40;
    }
    return kind == 0   ? ALERT_TEXT_BYTES - 1
           : kind < 4  ? next(random) % ALERT_TEXT_BYTES
           : kind == 4 ? 0
                       : 20 + next(random) % 100;
}

void workload_alert(uint32_t key, bool small, struct alert *alert)
{
    static const char *const sources[] = {"syslog", "console", "device"};
    uint32_t random = key * 2654435761u | 1;

    memset(alert, 0, sizeof *alert);
    next(&random);
    next(&random);
    alert->severity = (uint8_t)(next(&random) % SEVERITY_COUNT);
    alert->facility =
        next(&random) % 8 == 0 ? FACILITY_DEVICE : (uint8_t)(next(&random) % FACILITY_COUNT);
    strcpy(alert->source, sources[next(&random) % 3]);
    if (next(&random) % 4 != 0) {
        snprintf(alert->sender, sizeof alert->sender, "%u.%u.%u.%u", 192u, 0u, 2u,
                 (unsigned)(next(&random) % 256));
    }
    fill(&random, alert->host, next(&random) % (small ? 8 : ALERT_NAME_BYTES));
    fill(&random, alert->app, next(&random) % (small ? 8 : ALERT_NAME_BYTES));
    fill(&random, alert->text, text_length(&random, small));
    fill(&random, alert->domain, next(&random) % (small ? 12 : ALERT_DOMAIN_BYTES));
}

static size_t config_text(uint32_t key, char text[CONFIG_BYTES_MAX])
{
    uint32_t random = key * 2246822519u | 1;
    size_t size = 1 + next(&random) % (CONFIG_BYTES_MAX - 1);

    for (size_t i = 0; i < size; i++) {
        text[i] = (char)next(&random);
    }
    return size;
}

static void seed_bytes(uint32_t key, uint8_t seed[JOURNAL_SEED_BYTES])
{
    uint32_t random = key * 3266489917u | 1;

    for (size_t i = 0; i < JOURNAL_SEED_BYTES; i++) {
        seed[i] = (uint8_t)(next(&random) >> 8);
    }
}

/* --- The model --- */

static struct workload_alert *find(struct workload_model *model, uint32_t sequence)
{
    for (unsigned i = 0; i < model->count; i++) {
        if (model->alert[i].item.sequence == sequence) {
            return &model->alert[i];
        }
    }
    return NULL;
}

static void model_remove(struct workload_model *model, const struct workload_alert *alert)
{
    size_t at = (size_t)(alert - model->alert);

    memmove(&model->alert[at], &model->alert[at + 1],
            (model->count - at - 1) * sizeof model->alert[0]);
    model->count--;
}

static void model_copy(struct workload_model *to, const struct workload_model *from)
{
    size_t head = offsetof(struct workload_model, alert);

    memcpy(to, from, head + from->count * sizeof from->alert[0]);
}

/* One that may be drawn for an operation: bit set in `without` must be clear. */
enum { REFUSED = 1, FOLDED = 2, DIGEST = 4, WAITING = 8 };

static struct workload_alert *draw(struct workload *workload, unsigned without)
{
    struct workload_model *model = &workload->model;
    uint32_t start = model->count > 0 ? dice(workload, model->count) : 0;

    for (uint32_t i = 0; i < model->count; i++) {
        struct workload_alert *alert = &model->alert[(start + i) % model->count];
        unsigned is = (alert->item.refused ? REFUSED : WAITING) |
                      (alert->item.folded ? FOLDED : 0) | (alert->item.digest ? DIGEST : 0);

        if ((is & without) == 0) {
            return alert;
        }
    }
    return NULL;
}

static bool is_member(const struct queue_item *digest, const struct queue_item *item)
{
    return digest->digest && item->folded && item->sequence > digest->after &&
           item->sequence < digest->sequence;
}

/* How many are folded and in no digest, and the first of them. */
static unsigned folded(const struct workload_model *model, uint32_t *first)
{
    unsigned count = 0;

    for (unsigned i = model->count; i-- > 0;) {
        const struct queue_item *item = &model->alert[i].item;
        bool taken = !item->folded;

        for (unsigned k = i; k < model->count; k++) {
            taken |= is_member(&model->alert[k].item, item);
        }
        count += !taken;
        *first = taken ? *first : item->sequence;
    }
    return count;
}

/* --- Comparing --- */

static uint32_t times(uint32_t count)
{
    return count == 0 ? 1 : count;
}

static const char *item_fault(const struct queue_item *want, const struct queue_item *got)
{
    return want->boot_count != got->boot_count       ? "boot count"
           : times(want->count) != times(got->count) ? "count"
           : want->unix_s != got->unix_s             ? "time"
           : want->last_unix_s != got->last_unix_s   ? "last time"
           : want->uptime_ms != got->uptime_ms       ? "uptime"
           : want->code != got->code                 ? "code"
           : want->severity != got->severity         ? "severity"
           : want->facility != got->facility         ? "facility"
           : want->event != got->event               ? "event"
           : want->attempts != got->attempts         ? "attempts"
           : want->pending_mask != got->pending_mask ? "recipients"
           : want->refused != got->refused           ? "refused"
           : want->folded != got->folded             ? "folded"
           : want->digest != got->digest             ? "digest"
           : want->after != got->after               ? "members"
           : want->volatile_ != got->volatile_       ? "volatile"
           : want->is_test != got->is_test           ? "test"
                                                     : NULL;
}

/* Whether the queue gives the alert that was told to be queued. */
static const char *text_fault(struct workload *workload, const struct workload_alert *want)
{
    struct alert made, got;

    if (queue_alert(&workload->queue, want->item.sequence, &got) != 0) {
        return "alert cannot be read";
    }
    workload_alert(want->key, workload->small, &made);
    return got.damaged                                   ? "alert is damaged"
           : got.sequence != want->item.sequence         ? "alert has another number"
           : got.severity != made.severity               ? "alert's severity"
           : got.facility != made.facility               ? "alert's facility"
           : got.queued_unix_s != want->queued_unix_s    ? "alert's time of queueing"
           : got.boot_count != want->item.boot_count     ? "alert's boot"
           : got.uptime_ms != want->item.uptime_ms       ? "alert's uptime"
           : times(got.count) != times(want->item.count) ? "alert's count"
           : got.unix_s != want->item.unix_s             ? "alert's time"
           : strcmp(got.source, made.source) != 0        ? "alert's source"
           : strcmp(got.sender, made.sender) != 0        ? "alert's sender"
           : strcmp(got.host, made.host) != 0            ? "alert's host"
           : strcmp(got.app, made.app) != 0              ? "alert's app"
           : strcmp(got.text, made.text) != 0            ? "alert's text"
           : strcmp(got.domain, made.domain) != 0        ? "alert's domain"
                                                         : NULL;
}

/* The version of an alert that the queue shows; NULL: neither. */
static const struct workload_alert *which(const struct workload_alert *before,
                                          const struct workload_alert *after,
                                          const struct queue_item *item, const char **fault)
{
    *fault = "alert came back, or from nowhere";
    if (before != NULL && (*fault = item_fault(&before->item, item)) == NULL) {
        return before;
    }
    if (after != NULL && (*fault = item_fault(&after->item, item)) == NULL) {
        return after;
    }
    return NULL;
}

/* An alert whose record was torn while it was being queued: nobody was told that it is, but what
 * can be read of it is delivered. The model forgets it, and the queue too. */
static bool is_torn(struct workload *workload, struct workload_model *other, uint32_t sequence)
{
    bool begun = other != NULL && find(other, sequence) != NULL && sequence > workload->number_max;
    struct alert alert;

    return (begun || sequence == workload->torn) &&
           queue_alert(&workload->queue, sequence, &alert) == 0 && alert.damaged;
}

/* Each alert of the queue is as in the one model or in the other, and none is missing that is in
 * both. The model then is what was found. */
static void compare_alerts(struct workload *workload, struct workload_model *other)
{
    static struct workload_model found;
    struct workload_model *model = &workload->model;
    struct queue_item item;
    uint32_t last = 0;
    uint32_t durable = 0;
    uint32_t torn_now = 0;

    found.count = 0;
    for (unsigned i = 0; queue_item(&workload->queue, i, &item); i++) {
        const struct workload_alert *alert;
        const char *fault;

        if (find(model, item.sequence) == NULL && is_torn(workload, other, item.sequence)) {
            torn_now = item.sequence;
            continue;
        }
        alert = which(find(model, item.sequence), other != NULL ? find(other, item.sequence) : NULL,
                      &item, &fault);
        if (alert == NULL || (fault = text_fault(workload, alert)) != NULL) {
            problem(workload, fault, item.sequence);
            return;
        }
        if (item.sequence <= last) {
            problem(workload, "alerts out of order", item.sequence);
        }
        last = item.sequence;
        durable = item.volatile_ ? durable : last;
        found.alert[found.count++] = *alert;
    }
    for (unsigned i = 0; i < model->count; i++) {
        uint32_t sequence = model->alert[i].item.sequence;

        if (find(&found, sequence) == NULL && (other == NULL || find(other, sequence) != NULL)) {
            problem(workload, "alert lost", sequence);
        }
    }
    workload->torn = torn_now;
    if (found.count + (torn_now != 0) != workload->queue.count) {
        problem(workload, "count of the queue", workload->queue.count);
    }
    model->count = found.count;
    memcpy(model->alert, found.alert, found.count * sizeof found.alert[0]);
    durable = torn_now > durable ? torn_now : durable;
    if (durable > workload->number_max) {
        workload->number_max = durable;
    }
}

/* Something leaves sooner or later if and only if something waits. */
static void compare_due(struct workload *workload)
{
    const struct workload_model *model = &workload->model;
    uint64_t due_ms = queue_due_ms(&workload->queue, workload->now_ms);
    struct queue_item item;
    bool waits = false;

    for (unsigned i = 0; i < model->count; i++) {
        waits |= !model->alert[i].item.refused && !model->alert[i].item.folded;
    }
    if (waits != (due_ms != NEVER)) {
        problem(workload, "queue_due_ms tells of nothing, or of something that is not", 0);
    } else if (waits) {
        uint64_t then_ms = due_ms > workload->now_ms ? due_ms : workload->now_ms;

        if (due_ms > workload->now_ms + 7 * 24 * 3600 * 1000ull) {
            problem(workload, "an alert waits for more than a week", 0);
        }
        if (!queue_due(&workload->queue, then_ms, &item) || item.refused || item.folded) {
            problem(workload, "nothing is due when something is to be", 0);
        }
    }
}

static bool config_is(struct workload *workload, uint32_t key)
{
    char want[CONFIG_BYTES_MAX], got[CONFIG_BYTES_MAX];
    size_t size = config_text(key, want);

    if (key == 0) {
        return !workload->slots.valid;
    }
    return workload->slots.valid && workload->slots.size == size &&
           slots_read(&workload->slots, 0, got, sizeof got) == (int)size &&
           memcmp(got, want, size) == 0;
}

static void compare_config(struct workload *workload, const struct workload_model *other)
{
    if (config_is(workload, workload->model.config_key)) {
        return;
    }
    if (other == NULL || !config_is(workload, other->config_key)) {
        problem(workload, "configuration lost, or an old one came back", 0);
    } else {
        workload->model.config_key = other->config_key;
    }
}

static void compare_seed(struct workload *workload)
{
    const struct journal *journal = &workload->journal;
    uint8_t seed[JOURNAL_SEED_BYTES], next_seed[JOURNAL_SEED_BYTES];

    seed_bytes(workload->seed_key, seed);
    seed_bytes(workload->seed_key_next, next_seed);
    if (!journal->seed_valid) {
        problem(workload, "seed lost", workload->seed_key);
    } else if (memcmp(journal->seed, next_seed, sizeof seed) == 0) {
        workload->seed_key = workload->seed_key_next;
    } else if (memcmp(journal->seed, seed, sizeof seed) != 0) {
        problem(workload, "an old seed came back", workload->seed_key);
    }
    if (workload->seed_used && journal->boot_count <= workload->seed_boot_count) {
        problem(workload, "boot count of a seed that was used", journal->boot_count);
    }
}

static bool between(uint32_t value, uint32_t low, uint32_t high)
{
    return value >= low && value <= high;
}

/* Counters may lose what came after they were written, and nothing else. */
static void compare_books(struct workload *workload, const struct workload_model *other)
{
    const struct queue_books *now = &workload->queue.books;
    const struct queue_books *low = &workload->model.books_saved;
    const struct queue_books *high = other != NULL ? &other->books : &workload->model.books;

    if (!between(now->accepted, low->accepted, high->accepted) ||
        !between(now->refused, low->refused, high->refused) ||
        !between(now->expired, low->expired, high->expired) ||
        !between(now->displaced, low->displaced, high->displaced) ||
        !between(now->repeated, low->repeated, high->repeated) ||
        !between(now->folded, low->folded, high->folded) ||
        !between(now->dropped, low->dropped, high->dropped + workload->torn_drops)) {
        problem(workload, "books", now->accepted);
    }
    if (now->unix_ms < low->unix_ms) {
        problem(workload, "last known time", (uint32_t)(now->unix_ms / 1000));
    }
    workload->model.books = *now;
}

void workload_compare(struct workload *workload)
{
    compare_alerts(workload, NULL);
    compare_due(workload);
    compare_config(workload, NULL);
    if (workload->nor.violation != NULL) {
        problem(workload, workload->nor.violation, 0);
    }
}

/* --- A reset --- */

static uint64_t unix_ms(void *context)
{
    const struct workload *workload = context;

    return workload->unix_base_ms != 0 ? workload->unix_base_ms + workload->now_ms : 0;
}

static void forget_ram(struct workload *workload)
{
    struct workload_model *model = &workload->model;

    for (unsigned i = 0; i < model->count;) {
        if (model->alert[i].item.volatile_) {
            model_remove(model, &model->alert[i]);
        } else {
            i++;
        }
    }
    memset(&workload->queue, 0xA5, sizeof workload->queue);
    memset(&workload->journal, 0xA5, sizeof workload->journal);
    memset(&workload->slots, 0xA5, sizeof workload->slots);
    workload->now_ms = 0;
    workload->unix_base_ms = 0;
}

/* Bytes of the log up to the last one of each block that is not erased. */
static uint32_t used_bytes(const struct nor *nor)
{
    const struct flash *flash = &nor->flash;
    uint32_t used = 0;

    for (uint32_t block = 0; block < flash->log_bytes; block += flash->erase_bytes) {
        const uint8_t *bytes = nor->bytes + flash->log_base + block;
        uint32_t size = flash->erase_bytes;

        while (size > 0 && bytes[size - 1] == flash->erased) {
            size--;
        }
        used += size;
    }
    return used;
}

/* Mounting reads no more than what is used, times a constant, and that constant for a block. */
static void mount(struct workload *workload)
{
    static const uint32_t no_limits[LIMITS_COUNT];
    const struct flash *flash = &workload->nor.flash;
    uint64_t allowed = used_bytes(&workload->nor) + flash->log_bytes / flash->erase_bytes * 1024;
    uint64_t read = workload->nor.bytes_read;

    limits_init(&workload->limits, no_limits);
    queue_init(&workload->queue, &workload->journal, &workload->nor.flash, &workload->limits,
               unix_ms, workload);
    read = workload->nor.bytes_read - read;
    if (read > workload->mount_read_max) {
        workload->mount_read_max = read;
    }
    if (read / allowed > workload->mount_factor_max) {
        workload->mount_factor_max = (uint32_t)(read / allowed);
    }
    if (read > allowed * WORKLOAD_MOUNT_FACTOR) {
        problem(workload, "mounting read too much", (uint32_t)read);
    }
    slots_mount(&workload->slots, &workload->nor.flash);
    workload->mounts++;
}

static void replace_seed(struct workload *workload)
{
    uint8_t seed[JOURNAL_SEED_BYTES];
    uint32_t boot_count = workload->journal.boot_count;
    int error;

    workload->seed_key_next = ++workload->key;
    seed_bytes(workload->seed_key_next, seed);
    error = journal_seed_replace(&workload->journal, seed);
    if (error == 0) {
        workload->seed_used = true;
        workload->seed_boot_count = boot_count;
        workload->seed_key = workload->seed_key_next;
        workload->boots++;
        if (workload->journal.boot_count <= boot_count) {
            problem(workload, "boot count did not grow", boot_count);
        }
    } else if (!workload->nor.off) {
        problem(workload, "seed was not replaced", (uint32_t)-error);
    }
}

void workload_mount(struct workload *workload)
{
    forget_ram(workload);
    mount(workload);
}

const char *workload_fault(struct workload *workload, const struct workload_alert *alert)
{
    struct queue_item item;
    const char *fault;

    if (!queue_find(&workload->queue, alert->item.sequence, &item)) {
        return "alert lost";
    }
    fault = item_fault(&alert->item, &item);
    return fault != NULL ? fault : text_fault(workload, alert);
}

void workload_boot(struct workload *workload, const struct workload_model *other)
{
    static struct workload_model after;

    if (other != NULL) {
        model_copy(&after, other);
    }
    forget_ram(workload);
    mount(workload);
    if (workload->nor.off) {
        return; /* Mounting may write, and lose power. */
    }
    if (workload->journal.problem != NULL) {
        problem(workload, workload->journal.problem, 0);
        return;
    }
    compare_seed(workload);
    compare_books(workload, other != NULL ? &after : NULL);
    compare_config(workload, other != NULL ? &after : NULL);
    compare_alerts(workload, other != NULL ? &after : NULL);
    if (workload->problem == NULL && workload->torn != 0) {
        workload->torn_drops++;
        (void)queue_remove(&workload->queue, workload->torn, QUEUE_DROPPED, 0);
        workload->model.books = workload->queue.books;
    }
    if (workload->problem == NULL && !workload->nor.off) {
        compare_due(workload);
        replace_seed(workload);
    }
    if (workload->nor.violation != NULL) {
        problem(workload, workload->nor.violation, 0);
    }
}

/* --- Operations --- */

static bool failed(struct workload *workload, int error, const char *what)
{
    if (error < 0 && !workload->nor.off) {
        problem(workload, what, (uint32_t)-error);
    }
    return error < 0 || workload->nor.off;
}

/* Those that gave way to an alert of that severity are gone from the model, too. */
static void drop_displaced(struct workload *workload, uint8_t severity)
{
    struct workload_model *model = &workload->model;
    struct queue_item item;

    for (unsigned i = 0; i < model->count;) {
        if (queue_find(&workload->queue, model->alert[i].item.sequence, &item)) {
            i++;
            continue;
        }
        if (model->alert[i].item.severity < severity &&
            !(model->alert[i].item.refused && severity <= SEVERITY_ERROR)) {
            problem(workload, "a more severe alert gave way", model->alert[i].item.sequence);
        }
        workload->displaced++;
        model_remove(model, &model->alert[i]);
    }
}

static void do_add(struct workload *workload, struct queue_how how)
{
    struct workload_model *model = &workload->model;
    struct workload_alert *entry = &model->alert[model->count];
    struct queue_item *item = &entry->item;
    struct alert alert;
    uint32_t key = ++workload->key;
    uint32_t before = workload->queue.books.displaced;
    int error;

    workload_alert(key, workload->small, &alert);
    alert.boot_count = workload->journal.boot_count;
    alert.uptime_ms = workload->now_ms;
    alert.unix_s = alert.queued_unix_s = unix_ms(workload) / 1000;
    how.pending_mask = (uint8_t)(1 + dice(workload, 255));
    how.due_ms = dice(workload, 3) == 0 ? workload->now_ms + dice(workload, 600000) : 0;
    error = queue_add(&workload->queue, &alert, &how);
    if (workload->nor.off) {
        return;
    }
    drop_displaced(workload, alert.severity);
    if (error == E_SPACE) {
        if (workload->queue.books.displaced == before) {
            problem(workload, "an alert that found no room is not counted", 0);
        }
        return;
    }
    if (failed(workload, error, "queue_add")) {
        return;
    }
    if (alert.sequence <= workload->number_max || find(model, alert.sequence) != NULL) {
        problem(workload, "number used again", alert.sequence);
    }
    if (!how.is_test) { /* What was in RAM alone may be forgotten, number and all. */
        workload->number_max = alert.sequence;
    }
    entry = &model->alert[model->count++];
    item = &entry->item;
    if (!queue_find(&workload->queue, alert.sequence, item)) {
        problem(workload, "an alert that was added is not there", alert.sequence);
        return;
    }
    if (item->volatile_ && !how.is_test) {
        problem(workload, "an alert was kept in RAM without need", alert.sequence);
    }
    *item = (struct queue_item){
        .sequence = alert.sequence,
        .boot_count = alert.boot_count,
        .count = 1,
        .unix_s = alert.unix_s,
        .uptime_ms = alert.uptime_ms,
        .severity = alert.severity,
        .facility = alert.facility,
        .event = QUEUE_QUEUED,
        .pending_mask = how.pending_mask,
        .folded = how.folded,
        .digest = how.digest,
        .after = how.after,
        .is_test = how.is_test,
        .volatile_ = how.is_test,
    };
    entry->queued_unix_s = alert.queued_unix_s;
    entry->key = key;
}

static void change(struct workload *workload, struct queue_item *item)
{
    item->attempts =
        (uint8_t)(item->attempts + (workload->op == WORKLOAD_WAIT && item->attempts < UINT8_MAX));
    switch (workload->op) {
    case WORKLOAD_TRY:
        item->event = QUEUE_TRYING;
        break;
    case WORKLOAD_WAIT:
        item->event = QUEUE_WAITING;
        item->code = (uint16_t)(400 + dice(workload, 100));
        item->due_ms = workload->now_ms + dice(workload, 4 * 3600 * 1000);
        break;
    case WORKLOAD_PARTIAL:
        item->event = QUEUE_WAITING;
        item->pending_mask &= (uint8_t) ~(1u << dice(workload, 8));
        break;
    case WORKLOAD_REFUSE:
        item->event = QUEUE_REFUSED;
        item->code = (uint16_t)(500 + dice(workload, 100));
        item->refused = true;
        break;
    case WORKLOAD_EXPIRE:
        item->event = QUEUE_EXPIRED;
        item->refused = true;
        break;
    case WORKLOAD_RETRY:
        item->event = QUEUE_RETRIED;
        item->refused = false;
        item->due_ms = 0;
        break;
    default:
        item->event = QUEUE_REPEATED;
        item->count += 1 + dice(workload, 50);
        item->last_unix_s = item->digest ? 0 : unix_ms(workload) / 1000;
        break;
    }
}

static void do_update(struct workload *workload, unsigned without)
{
    struct workload_alert *alert = draw(workload, without);
    struct queue_item item;

    if (alert == NULL) {
        return;
    }
    if (!queue_find(&workload->queue, alert->item.sequence, &item)) {
        problem(workload, "alert is not found", alert->item.sequence);
        return;
    }
    change(workload, &item);
    if (!failed(workload, queue_update(&workload->queue, &item), "queue_update")) {
        alert->item = item;
    }
}

static void do_delay(struct workload *workload)
{
    struct workload_alert *alert = draw(workload, 0);
    struct queue_item item;

    if (alert != NULL && queue_find(&workload->queue, alert->item.sequence, &item)) {
        item.due_ms = workload->now_ms + dice(workload, 24 * 3600 * 1000);
        item.yields = dice(workload, 2) == 0;
        queue_delay(&workload->queue, &item);
    }
}

static void do_end(struct workload *workload, unsigned without, enum queue_event event)
{
    struct workload_model *model = &workload->model;
    struct workload_alert *alert = draw(workload, without);
    struct workload_alert ended;

    if (alert == NULL) {
        return;
    }
    ended = *alert;
    if (failed(workload, queue_remove(&workload->queue, ended.item.sequence, event, 250),
               "queue_remove")) {
        return;
    }
    model_remove(model, alert);
    for (unsigned i = 0; i < model->count;) {
        if (is_member(&ended.item, &model->alert[i].item)) {
            model_remove(model, &model->alert[i]);
        } else {
            i++;
        }
    }
}

static void do_set_time(struct workload *workload)
{
    struct workload_model *model = &workload->model;
    uint32_t boot_count = workload->journal.boot_count;

    if (workload->unix_base_ms != 0) {
        return;
    }
    /* Any time will do, but it does not go back. */
    workload->unix_base_ms = workload->model.books.unix_ms > 1800000000000u
                                 ? workload->model.books.unix_ms + 1000
                                 : 1800000000000u;
    workload->unix_base_ms += dice(workload, 1000000);
    queue_set_time(&workload->queue, boot_count, unix_ms(workload), workload->now_ms);
    if (workload->nor.off) {
        return;
    }
    for (unsigned i = 0; i < model->count; i++) {
        struct queue_item *item = &model->alert[i].item;

        if (item->unix_s == 0 && item->boot_count == boot_count) {
            item->unix_s = (workload->unix_base_ms + item->uptime_ms) / 1000;
        }
    }
}

static void check_members(struct workload *workload, uint32_t sequence)
{
    const struct workload_model *model = &workload->model;
    const struct workload_alert *digest = find(&workload->model, sequence);
    struct queue_item item;
    unsigned members = 0;

    if (digest == NULL || !digest->item.digest) {
        return; /* It found no room. */
    }
    for (unsigned i = 0; i < model->count; i++) {
        if (is_member(&digest->item, &model->alert[i].item) &&
            (!queue_member(&workload->queue, sequence, members++, &item) ||
             item.sequence != model->alert[i].item.sequence)) {
            problem(workload, "member of a digest", model->alert[i].item.sequence);
        }
    }
    if (queue_member(&workload->queue, sequence, members, &item)) {
        problem(workload, "a member too many", item.sequence);
    }
}

static void do_digest(struct workload *workload)
{
    struct queue_how how = {.digest = true};
    uint32_t first = 0;
    uint32_t first_told = 0;
    unsigned count = folded(&workload->model, &first);
    unsigned told = queue_folded(&workload->queue, &first_told);

    /* More when a digest gave way: a later one may then tell something twice. */
    if (told < count || (count > 0 && first_told > first)) {
        problem(workload, "queue_folded", count);
    }
    if (told > 0) {
        how.after = first_told - 1;
        do_add(workload, how);
        if (!workload->nor.off) {
            check_members(workload, workload->number_max);
        }
    }
}

static void do_config(struct workload *workload)
{
    char text[CONFIG_BYTES_MAX];
    uint32_t key = ++workload->key;
    size_t size = config_text(key, text);

    if (!failed(workload, slots_write(&workload->slots, text, size), "slots_write")) {
        workload->model.config_key = key;
    }
}

static void do_checkpoint(struct workload *workload)
{
    if (!failed(workload, queue_checkpoint(&workload->queue), "queue_checkpoint")) {
        workload->model.books_saved = workload->queue.books;
    }
}

void workload_do(struct workload *workload, enum workload_op op)
{
    static const struct queue_how plain, folded = {.folded = true}, test = {.is_test = true};

    workload->op = op;
    workload->done[op]++;
    workload->steps++;
    workload->now_ms += dice(workload, 20000);
    switch (op) {
    case WORKLOAD_ADD:
        do_add(workload, plain);
        break;
    case WORKLOAD_FOLD:
        do_add(workload, folded);
        break;
    case WORKLOAD_TEST:
        do_add(workload, test);
        break;
    case WORKLOAD_DIGEST:
        do_digest(workload);
        break;
    case WORKLOAD_ACCEPT:
        do_end(workload, REFUSED | FOLDED, QUEUE_ACCEPTED);
        break;
    case WORKLOAD_DROP:
        do_end(workload, 0, QUEUE_DROPPED);
        break;
    case WORKLOAD_DELAY:
        do_delay(workload);
        break;
    case WORKLOAD_SET_TIME:
        do_set_time(workload);
        break;
    case WORKLOAD_CHECKPOINT:
        do_checkpoint(workload);
        break;
    case WORKLOAD_CONFIG:
        do_config(workload);
        break;
    case WORKLOAD_BOOT:
        workload_boot(workload, NULL);
        break;
    default:
        do_update(workload, op == WORKLOAD_RETRY ? WAITING | FOLDED : REFUSED | FOLDED);
        break;
    }
    if (!workload->nor.off && op != WORKLOAD_BOOT) {
        workload->model.books = workload->queue.books;
    }
    if (workload->nor.violation != NULL) {
        problem(workload, workload->nor.violation, 0);
    }
}

void workload_step(struct workload *workload)
{
    /* How often in a hundred, while alerts gather and while they leave. */
    static const uint8_t share[2][WORKLOAD_OPS] = {
        {30, 8, 2, 1, 10, 8, 2, 8, 3, 2, 3, 6, 2, 4, 2, 2, 2, 5},
        {8, 3, 3, 1, 14, 6, 2, 36, 2, 1, 3, 3, 6, 3, 2, 2, 2, 3},
    };
    uint32_t left = dice(workload, 100);
    unsigned op = 0;

    if (workload->steps % 150 == 0) {
        workload->draining = !workload->draining;
    }
    while (left >= share[workload->draining][op]) {
        left -= share[workload->draining][op++];
    }
    workload_do(workload, (enum workload_op)op);
}

/* --- Begin and end --- */

void workload_init(struct workload *workload, const struct flash *shape, uint32_t seed)
{
    static const uint8_t device_id[JOURNAL_DEVICE_ID_BYTES] = {0xDE, 0xAD, 1, 2, 3, 4, 5, 6};
    uint8_t bytes[JOURNAL_SEED_BYTES];
    int error;

    memset(workload, 0, sizeof *workload);
    nor_init(&workload->nor, shape, seed * 2654435761u);
    workload->random = seed * 2246822519u | 1;
    workload->draining = true;
    workload->seed_key = workload->seed_key_next = ++workload->key;
    mount(workload);
    seed_bytes(workload->seed_key, bytes);
    error = journal_seed_create(&workload->journal, device_id, bytes);
    if (error < 0) {
        problem(workload, "seed was not created", (uint32_t)-error);
    } else {
        workload_boot(workload, NULL);
    }
}

void workload_free(struct workload *workload)
{
    nor_free(&workload->nor);
}

void workload_copy(struct workload *to, const struct workload *from)
{
    struct nor nor;

    nor_copy(&to->nor, &from->nor);
    nor = to->nor;
    *to = *from;
    to->nor = nor;
}
