/* The queue: packing, order, who gives way, and any sequence of calls against a plain model. */
#include "firmware/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct alert make(uint32_t sequence, uint8_t severity, size_t text_bytes)
{
    struct alert alert;

    memset(&alert, 0, sizeof alert);
    alert.boot_count = 7;
    alert.sequence = sequence;
    alert.uptime_ms = sequence * 1000ull;
    alert.severity = severity;
    alert.facility = 3;
    strcpy(alert.source, "syslog");
    strcpy(alert.sender, "192.0.2.200");
    strcpy(alert.host, "router1");
    snprintf(alert.app, sizeof alert.app, "app[%u]", (unsigned)sequence);
    for (size_t i = 0; i < text_bytes && i + 1 < sizeof alert.text; i++) {
        alert.text[i] = (char)('a' + (sequence + i) % 26);
    }
    return alert;
}

static int add(struct queue *queue, uint32_t sequence, uint8_t severity, size_t text_bytes)
{
    struct alert alert = make(sequence, severity, text_bytes);

    return queue_add(queue, &alert, 1, false);
}

static bool has(const struct queue *queue, uint32_t sequence)
{
    struct alert alert;

    return queue_alert(queue, sequence, &alert) == 0;
}

static void test_round_trip(void **state)
{
    struct queue queue;
    struct queue_item item;

    (void)state;
    queue_init(&queue);
    assert_false(queue_item(&queue, 0, &item));
    assert_false(queue_due(&queue, UINT64_MAX, &item));
    assert_true(queue_due_ms(&queue) == UINT64_MAX);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(add(&queue, i, SEVERITY_ERROR, i == 2 ? ALERT_TEXT_BYTES : i), 0);
    }
    assert_int_equal(queue.count, 3);
    for (uint32_t i = 1; i <= 3; i++) {
        struct alert want = make(i, SEVERITY_ERROR, i == 2 ? ALERT_TEXT_BYTES : i);
        struct alert got;

        assert_int_equal(queue_alert(&queue, i, &got), 0);
        assert_memory_equal(&got, &want, sizeof got);
        assert_true(queue_item(&queue, i - 1, &item));
        assert_int_equal(item.sequence, i);
    }
    assert_false(queue_item(&queue, 3, &item));
    assert_int_equal(queue_remove(&queue, 2), 0);
    assert_int_equal(queue_remove(&queue, 2), E_MISSING);
    assert_true(has(&queue, 1) && !has(&queue, 2) && has(&queue, 3));
    assert_int_equal(queue_remove(&queue, 1), 0);
    assert_int_equal(queue_remove(&queue, 3), 0);
    assert_int_equal(queue.used, 0);
    assert_int_equal(queue.count, 0);
    assert_int_equal(queue.displaced, 0);
}

/* queue.h promises some 45 short alerts, or 10 of the longest. */
static void test_room(void **state)
{
    struct queue queue;
    uint32_t count = 0;

    (void)state;
    queue_init(&queue);
    while (queue.displaced == 0) {
        assert_int_equal(add(&queue, ++count, SEVERITY_ERROR, 20), 0);
    }
    assert_in_range(count - 1, 45, 60);
    queue_init(&queue);
    for (count = 0; queue.displaced == 0;) {
        struct alert alert = make(++count, SEVERITY_ERROR, ALERT_TEXT_BYTES);

        memset(alert.host, 'h', sizeof alert.host - 1);
        memset(alert.app, 'p', sizeof alert.app - 1);
        assert_int_equal(queue_add(&queue, &alert, 1, false), 0);
    }
    assert_in_range(count - 1, 10, 11);
}

static void test_order(void **state)
{
    struct queue queue;
    struct queue_item item;
    struct alert test = make(5, SEVERITY_NOTICE, 4);
    static const uint32_t order[] = {5, 3, 4, 1, 2};

    (void)state;
    queue_init(&queue);
    assert_int_equal(add(&queue, 1, SEVERITY_WARNING, 4), 0);
    assert_int_equal(add(&queue, 2, SEVERITY_WARNING, 4), 0);
    assert_int_equal(add(&queue, 3, SEVERITY_CRITICAL, 4), 0);
    assert_int_equal(add(&queue, 4, SEVERITY_CRITICAL, 4), 0);
    assert_int_equal(queue_add(&queue, &test, 3, true), 0);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_true(queue_due(&queue, 0, &item));
        assert_int_equal(item.sequence, order[i]);
        assert_int_equal(item.pending_mask, i == 0 ? 3 : 1);
        assert_int_equal(queue_remove(&queue, item.sequence), 0);
    }
    assert_false(queue_due(&queue, 0, &item));
}

static void test_update(void **state)
{
    struct queue queue;
    struct queue_item item;
    struct alert want = make(2, SEVERITY_ERROR, 30);
    struct alert got;

    (void)state;
    queue_init(&queue);
    assert_int_equal(add(&queue, 1, SEVERITY_ERROR, 10), 0);
    assert_int_equal(queue_add(&queue, &want, 1, false), 0);
    assert_true(queue_item(&queue, 0, &item));
    item.due_ms = 5000;
    item.attempts = 3;
    queue_update(&queue, &item);
    assert_true(queue_due(&queue, 4999, &item));
    assert_int_equal(item.sequence, 2);
    item.refused = true;
    queue_update(&queue, &item);
    assert_false(queue_due(&queue, 4999, &item));
    assert_true(queue_due_ms(&queue) == 5000);
    assert_true(queue_due(&queue, 5000, &item));
    assert_int_equal(item.attempts, 3);
    item.refused = true;
    queue_update(&queue, &item);
    assert_true(queue_due_ms(&queue) == UINT64_MAX);
    assert_int_equal(queue_alert(&queue, 2, &got), 0);
    assert_memory_equal(&got, &want, sizeof got);
    item.sequence = 99; /* It has gone meanwhile. */
    queue_update(&queue, &item);
    assert_int_equal(queue.count, 2);
}

static void fill(struct queue *queue, uint8_t severity, size_t text_bytes)
{
    uint32_t sequence = 1;
    size_t before;

    queue_init(queue);
    do {
        before = queue->used;
        assert_int_equal(add(queue, sequence++, severity, text_bytes), 0);
    } while ((size_t)(QUEUE_BYTES - queue->used) >= queue->used - before);
}

static void test_displaces(void **state)
{
    struct queue queue;

    (void)state;
    fill(&queue, SEVERITY_WARNING, 30);
    assert_int_equal(add(&queue, 100, SEVERITY_NOTICE, 30), E_SPACE); /* Less severe than all. */
    assert_int_equal(queue.displaced, 1);
    assert_true(has(&queue, 1) && !has(&queue, 100));
    assert_int_equal(add(&queue, 101, SEVERITY_WARNING, 30), 0); /* As severe: the oldest goes. */
    assert_int_equal(queue.displaced, 2);
    assert_true(!has(&queue, 1) && has(&queue, 2) && has(&queue, 101));
    assert_int_equal(add(&queue, 102, SEVERITY_ERROR, 30), 0);
    assert_true(!has(&queue, 2) && has(&queue, 102));
    assert_int_equal(add(&queue, 103, SEVERITY_EMERGENCY, 300), 0); /* As many as it takes. */
    assert_true(!has(&queue, 3) && !has(&queue, 4) && has(&queue, 102) && has(&queue, 103));
    assert_true(queue.displaced >= 5);
}

/* What cannot make enough room takes nobody's place. */
static void test_displaces_nobody_in_vain(void **state)
{
    struct queue queue;

    (void)state;
    fill(&queue, SEVERITY_CRITICAL, 30);
    assert_int_equal(queue_remove(&queue, 3), 0);
    assert_int_equal(add(&queue, 100, SEVERITY_DEBUG, 20), 0);
    assert_int_equal(queue.displaced, 0);
    assert_int_equal(add(&queue, 101, SEVERITY_WARNING, 350), E_SPACE);
    assert_int_equal(queue.displaced, 1);
    assert_true(has(&queue, 100));
}

static void test_set_time(void **state)
{
    struct queue queue;
    struct alert alert = make(9, SEVERITY_ERROR, 5);

    (void)state;
    queue_init(&queue);
    assert_int_equal(add(&queue, 4, SEVERITY_ERROR, 5), 0); /* At 4 s. */
    alert.unix_s = 1234;
    assert_int_equal(queue_add(&queue, &alert, 1, false), 0); /* Knows its time. */
    alert = make(3, SEVERITY_ERROR, 5);
    alert.boot_count = 6;
    assert_int_equal(queue_add(&queue, &alert, 1, false), 0); /* Of another boot: nobody knows. */
    queue_set_time(&queue, 7, 1800000060500, 60000);
    assert_int_equal(queue_alert(&queue, 4, &alert), 0);
    assert_true(alert.unix_s == 1800000004);
    assert_int_equal(queue_alert(&queue, 9, &alert), 0);
    assert_true(alert.unix_s == 1234);
    assert_int_equal(queue_alert(&queue, 3, &alert), 0);
    assert_true(alert.unix_s == 0);
}

/* --- Any sequence of calls --- */

#define MODEL_MAX (QUEUE_BYTES / sizeof(struct queue_item))

struct model {
    struct alert alert[MODEL_MAX];
    struct queue_item item[MODEL_MAX];
    size_t count;
};

static uint32_t random_next(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

static void model_remove(struct model *model, size_t at)
{
    size_t after = model->count - at - 1;

    memmove(&model->alert[at], &model->alert[at + 1], after * sizeof model->alert[0]);
    memmove(&model->item[at], &model->item[at + 1], after * sizeof model->item[0]);
    model->count--;
}

static void compare(const struct queue *queue, struct model *model)
{
    size_t used = 0;

    assert_int_equal(queue->count, model->count);
    for (size_t i = 0; i < model->count; i++) {
        struct alert alert;
        struct queue_item item;

        assert_true(queue_item(queue, (unsigned)i, &item));
        assert_int_equal(item.sequence, model->alert[i].sequence);
        assert_true(item.due_ms == model->item[i].due_ms);
        assert_int_equal(item.attempts, model->item[i].attempts);
        assert_int_equal(item.refused, model->item[i].refused);
        assert_int_equal(queue_alert(queue, item.sequence, &alert), 0);
        assert_memory_equal(&alert, &model->alert[i], sizeof alert);
        used += item.size;
    }
    assert_int_equal(queue->used, used);
    assert_true(used <= QUEUE_BYTES);
}

/* Adds to both; the model loses whom the queue displaced, who must be the least severe. */
static void model_add(struct queue *queue, struct model *model, const struct alert *alert)
{
    uint32_t displaced = queue->displaced;
    int error = queue_add(queue, alert, 1, false);

    for (size_t i = 0; i < model->count;) {
        if (has(queue, model->alert[i].sequence)) {
            i++;
            continue;
        }
        assert_int_equal(error, 0);
        assert_true(model->alert[i].severity >= alert->severity);
        for (size_t k = 0; k < model->count; k++) {
            assert_true(model->alert[k].severity <= model->alert[i].severity ||
                        !has(queue, model->alert[k].sequence));
        }
        displaced++;
        model_remove(model, i);
    }
    if (error == 0) {
        model->alert[model->count] = *alert;
        memset(&model->item[model->count++], 0, sizeof model->item[0]);
    } else {
        assert_int_equal(error, E_SPACE);
        displaced++;
    }
    assert_int_equal(queue->displaced, displaced);
}

static void random_update(struct queue *queue, struct model *model, uint32_t *random, size_t at)
{
    struct queue_item item;

    assert_true(queue_item(queue, (unsigned)at, &item));
    item.due_ms = random_next(random) % 100;
    item.attempts = (uint8_t)random_next(random);
    item.refused = random_next(random) % 4 == 0;
    queue_update(queue, &item);
    model->item[at] = item;
}

static void check_due(const struct queue *queue, const struct model *model, uint64_t now_ms)
{
    const struct alert *best = NULL;
    struct queue_item item;
    bool found = queue_due(queue, now_ms, &item);

    for (size_t i = 0; i < model->count; i++) {
        if (!model->item[i].refused && model->item[i].due_ms <= now_ms &&
            (best == NULL || model->alert[i].severity < best->severity)) {
            best = &model->alert[i];
        }
    }
    assert_int_equal(found, best != NULL);
    if (found) {
        assert_int_equal(item.sequence, best->sequence);
    }
}

static void test_random_operations(void **state)
{
    static struct model model;

    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t random = seed * 2654435761u;
        struct queue queue;

        queue_init(&queue);
        memset(&model, 0, sizeof model);
        for (uint32_t step = 1; step <= 400; step++) {
            uint32_t dice = random_next(&random) % 8;

            if (dice < 4 || model.count == 0) {
                uint8_t severity = (uint8_t)(random_next(&random) % SEVERITY_COUNT);
                struct alert alert = make(step, severity, random_next(&random) % ALERT_TEXT_BYTES);

                model_add(&queue, &model, &alert);
            } else if (dice < 6) {
                random_update(&queue, &model, &random, random_next(&random) % model.count);
            } else if (dice < 7) {
                size_t at = random_next(&random) % model.count;

                assert_int_equal(queue_remove(&queue, model.alert[at].sequence), 0);
                model_remove(&model, at);
            } else {
                check_due(&queue, &model, random_next(&random) % 100);
            }
            compare(&queue, &model);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_room),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_update),
        cmocka_unit_test(test_displaces),  cmocka_unit_test(test_displaces_nobody_in_vain),
        cmocka_unit_test(test_set_time),   cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
