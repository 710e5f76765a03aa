/* A filled log that goes bad: every bit flipped, records and regions full of random bytes, blocks
 * that fail. What was not touched is there, what was is delivered damaged or counted, and mounting
 * ends. TOCSIN_POWERCUT=10: ten times as many cases, 40: every single bit. */
#include "firmware/flash_io.h"
#include "tests/sim/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define BLOCKS 6u
#define RECORDS_MAX 400

struct mess {
    uint32_t from, to; /* Addresses. */
};

struct record {
    struct mess place;
    uint32_t number;
    uint8_t type;
};

static struct workload work, saved;
static struct record record[RECORDS_MAX];
static unsigned records;

static uint32_t scale(void)
{
    const char *text = getenv("TOCSIN_POWERCUT");
    long factor = text != NULL ? strtol(text, NULL, 10) : 1;

    return factor > 0 && factor < 10000 ? (uint32_t)factor : 1;
}

static void begin(uint32_t seed, uint8_t erased, uint32_t program_bytes)
{
    const struct flash shape = {
        .size_bytes = (3 + BLOCKS) * BLOCK,
        .erase_bytes = BLOCK,
        .page_bytes = 256,
        .program_bytes = program_bytes,
        .erased = erased,
        .config_bytes = 2 * BLOCK,
        .log_base = 3 * BLOCK,
        .log_bytes = BLOCKS * BLOCK,
    };

    workload_init(&work, &shape, seed);
    workload_init(&saved, &shape, seed);
}

static void end(void)
{
    assert_null(work.nor.violation);
    workload_free(&work);
    workload_free(&saved);
}

static void check(uint32_t seed, uint32_t place, const char *problem)
{
    if (problem != NULL) {
        print_error("seed %u, at %u: %s\n", (unsigned)seed, (unsigned)place, problem);
        fail();
    }
}

static void list(void *context, const struct journal_record *found)
{
    (void)context;
    assert_true(records < RECORDS_MAX);
    record[records].place.from = found->address;
    record[records].place.to = found->address + journal_record_bytes(found->length);
    record[records].number = found->number;
    record[records++].type = found->type;
}

/* A life that has filled the log, in `saved`, and what stands in it. */
static void fill(uint32_t seed, uint8_t erased, uint32_t program_bytes)
{
    begin(seed, erased, program_bytes);
    for (unsigned i = 0; i < 700; i++) {
        workload_step(&work);
        check(seed, i, work.problem);
    }
    workload_mount(&work);
    workload_compare(&work);
    check(seed, 700, work.problem);
    assert_true(work.model.count >= 5);
    workload_copy(&saved, &work);
    records = 0;
    assert_int_equal(journal_walk(&work.journal, list, NULL), 0);
}

/* --- One bit --- */

static void test_every_bit(void **state)
{
    uint32_t stride = scale() >= 40 ? 1 : 67 / scale() | 1;
    uint32_t flips = 0;

    (void)state;
    fill(11, 0xFF, 1);
    for (uint32_t bit = 0; bit < BLOCKS * BLOCK * 8; bit++) {
        uint32_t address = 3 * BLOCK + bit / 8;
        bool header = bit / 8 % BLOCK < 96;

        if (bit % (header ? stride / 16 | 1 : stride) != 0) {
            continue;
        }
        nor_flip(&work.nor, address, bit % 8);
        workload_mount(&work);
        workload_compare(&work);
        check(11, bit, work.problem);
        assert_true(work.journal.seed_valid);
        nor_flip(&work.nor, address, bit % 8);
        flips++;
    }
    print_message("%u alerts in %u records: one wrong bit, %u times\n", (unsigned)work.model.count,
                  records, (unsigned)flips);
    end();
}

/* Life goes on over a wrong bit, until its block has been erased. */
static void test_bit_and_life(void **state)
{
    (void)state;
    fill(12, 0, 8);
    for (uint32_t i = 0; i < 100 * scale(); i++) {
        uint32_t bit = i * 7919 % (BLOCKS * BLOCK * 8);

        workload_copy(&work, &saved);
        nor_flip(&work.nor, 3 * BLOCK + bit / 8, bit % 8);
        workload_do(&work, WORKLOAD_BOOT);
        for (unsigned step = 0; step < 60; step++) {
            workload_step(&work);
        }
        workload_do(&work, WORKLOAD_BOOT);
        check(12, bit, work.problem);
    }
    end();
}

/* --- Random bytes --- */

static bool meets(struct mess a, struct mess b)
{
    return a.from < b.to && b.from < a.to;
}

/* Whether a record may be lost: itself, or both headers of its block. */
static bool is_hit(const struct record *what, struct mess mess)
{
    uint32_t block = what->place.from / BLOCK * BLOCK;
    struct mess header = {block, block + 32};
    struct mess copy = {block + 32, block + 64};

    return meets(what->place, mess) || (meets(header, mess) && meets(copy, mess));
}

/* Every alert none of whose records was hit is there. Returns how many others are not. */
static unsigned compare_rest(uint32_t seed, struct mess mess)
{
    unsigned lost = 0;

    for (unsigned i = 0; i < saved.model.count; i++) {
        const struct workload_alert *alert = &saved.model.alert[i];
        const char *fault = workload_fault(&work, alert);
        bool hit = false;

        for (unsigned k = 0; k < records; k++) {
            hit |= record[k].number == alert->item.sequence && is_hit(&record[k], mess);
        }
        if (!hit) {
            check(seed, mess.from, fault);
        }
        lost += hit && fault != NULL && strcmp(fault, "alert lost") == 0;
    }
    return lost;
}

/* The bytes there become random, or all the same. */
static void make_mess(struct mess mess, unsigned kind)
{
    workload_copy(&work, &saved);
    work.nor.random ^= mess.from * 2654435761u + mess.to + kind;
    work.nor.random |= 1;
    for (uint32_t at = mess.from; at < mess.to; at++) {
        work.nor.bytes[at] =
            kind == 0 ? (uint8_t)(nor_random(&work.nor) >> 8) : (uint8_t)~work.nor.flash.erased;
    }
}

/* Mounts over it, compares, and sees whether one more alert can be queued and found again. A block
 * without headers tells of itself, not of its records. */
static unsigned live_with(uint32_t seed, struct mess mess, bool whole_block)
{
    struct queue_how how = {.pending_mask = 1};
    struct alert alert, again;
    struct queue_item item;
    unsigned lost;

    workload_mount(&work);
    lost = compare_rest(seed, mess);
    assert_true(lost == 0 || work.journal.records_damaged > 0 || whole_block);
    memset(&alert, 0, sizeof alert);
    alert.severity = SEVERITY_EMERGENCY;
    strcpy(alert.text, "one more");
    assert_int_equal(queue_add(&work.queue, &alert, &how), 0);
    assert_true(queue_find(&work.queue, alert.sequence, &item));
    if (!item.volatile_) {
        workload_mount(&work);
        assert_int_equal(queue_alert(&work.queue, alert.sequence, &again), 0);
        assert_string_equal(again.text, "one more");
    }
    assert_null(work.nor.violation);
    return lost;
}

static void test_each_record(void **state)
{
    unsigned cases = 0, lost = 0;

    (void)state;
    for (uint32_t seed = 21; seed < 23; seed++) {
        fill(seed, seed % 2 != 0 ? 0xFF : 0, seed % 2 != 0 ? 1 : 16);
        for (unsigned i = 0; i < records; i++) {
            for (unsigned part = 0; part < 6; part++) {
                struct mess mess = record[i].place;
                const struct workload_alert *alert = NULL;
                struct alert got;

                mess.to = part / 2 == 1 ? mess.from + 16 : mess.to; /* The header. */
                mess.from += part / 2 == 2 ? 16 : 0;                /* The payload. */
                make_mess(mess, part % 2);
                cases++;
                lost += live_with(seed, mess, false);
                for (unsigned k = 0; k < saved.model.count; k++) {
                    if (saved.model.alert[k].item.sequence == record[i].number) {
                        alert = &saved.model.alert[k];
                    }
                }
                /* With its header right, an alert is delivered, whatever became of its text. */
                if (alert != NULL && part / 2 == 2) {
                    assert_int_equal(queue_alert(&work.queue, record[i].number, &got), 0);
                }
            }
        }
        end();
    }
    print_message("%u times a record of random bytes: %u alerts gone, each counted\n", cases, lost);
}

static void test_regions(void **state)
{
    unsigned lost = 0;
    uint32_t cases = 600 * scale();

    (void)state;
    fill(31, 0xFF, 4);
    for (uint32_t i = 0; i < cases; i++) {
        uint32_t size = i % 3 == 0 ? 1 + i * 31 % 100 : i % 3 == 1 ? 1 + i * 97 % 3000 : BLOCK;
        uint32_t from = 3 * BLOCK + i * 7919 % (BLOCKS * BLOCK - size + 1);
        struct mess mess = {from, from + size};

        make_mess(mess, i % 4 == 3);
        lost += live_with(31, mess, size >= 32);
    }
    print_message("%u regions of random bytes: %u alerts gone\n", (unsigned)cases, lost);
    end();
}

/* Everything random, and then life begins anew. */
static void test_all_random(void **state)
{
    (void)state;
    fill(41, 0xFF, 1);
    for (uint32_t i = 0; i < 40 * scale(); i++) {
        struct mess all = {3 * BLOCK, (3 + BLOCKS) * BLOCK};

        workload_copy(&work, &saved);
        for (uint32_t at = all.from; at < all.to; at++) {
            /* Half of it as it was, so that much looks right. */
            if (nor_random(&work.nor) % 64 == 0 || i % 2 == 0) {
                work.nor.bytes[at] = (uint8_t)(nor_random(&work.nor) >> i % 8);
            }
        }
        saved.nor.random += 2;
        live_with(41, all, true);
    }
    end();
}

/* --- Blocks that fail --- */

static void test_bad_block(void **state)
{
    (void)state;
    for (unsigned death = 0; death < NOR_DEATH_KINDS; death++) {
        for (uint32_t block = 3; block < 3 + BLOCKS; block++) {
            uint32_t seed = 51 + block;

            begin(seed, block % 2 != 0 ? 0xFF : 0, 4);
            for (unsigned step = 0; step < 900; step++) {
                if (step == 100 + 40 * block) {
                    work.nor.dead_block = block;
                    work.nor.death = (enum nor_death)death;
                }
                workload_step(&work);
                check(seed, death * 1000 + block, work.problem);
            }
            workload_do(&work, WORKLOAD_BOOT);
            check(seed, death * 1000 + block, work.problem);
            end();
        }
    }
}

/* All blocks wear out, one after the other: what is acknowledged stays readable to the end. */
static void test_worn_out(void **state)
{
    (void)state;
    for (unsigned death = 0; death < NOR_DEATH_KINDS; death++) {
        unsigned steps = 0;
        unsigned bad = 0;

        begin(61 + death, 0xFF, 4);
        work.nor.endurance = 5;
        work.nor.death = (enum nor_death)death;
        while (work.problem == NULL && steps++ < 6000) {
            workload_copy(&saved, &work);
            workload_step(&work);
        }
        assert_non_null(work.problem);
        assert_null(work.nor.violation);
        workload_copy(&work, &saved);
        workload_mount(&work);
        for (unsigned i = 0; i < saved.model.count; i++) {
            const struct workload_alert *alert = &saved.model.alert[i];

            bad += !alert->item.volatile_ && workload_fault(&work, alert) != NULL;
        }
        print_message("worn out in way %u after %u steps: %s; %u alerts, %u of them not as told\n",
                      death, steps, saved.problem != NULL ? saved.problem : "nothing wrong before",
                      (unsigned)work.model.count, bad);
        assert_int_equal(bad, 0);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),   cmocka_unit_test(test_bit_and_life),
        cmocka_unit_test(test_each_record), cmocka_unit_test(test_regions),
        cmocka_unit_test(test_all_random),  cmocka_unit_test(test_bad_block),
        cmocka_unit_test(test_worn_out),
    };

    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
