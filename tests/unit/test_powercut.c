/* The journal, the queue and the slots under power cuts: at every flash operation of seeded lives,
 * in every way that an operation can be torn, also during the recovery from an earlier cut.
 *
 *     test_powercut                                  all of it; TOCSIN_POWERCUT=10: ten times as
 * long test_powercut SHAPE SEED STEP N KIND [N KIND]  one case again, which is what a failure
 * prints
 */
#include "tests/sim/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct shape {
    const char *name;
    struct flash flash;
    uint32_t blocks; /* Of the log. */
    bool small;      /* Short alerts. */
};

/* Small parts of each kind, on which all cuts can be made, and the boards' own. */
static const struct shape shapes[] = {
    {"spi", {.erase_bytes = 4096, .page_bytes = 256, .program_bytes = 1, .erased = 0xFF}, 6, false},
    {"cfi", {.erase_bytes = 4096, .page_bytes = 32, .program_bytes = 4, .erased = 0xFF}, 7, false},
    {"wide", {.erase_bytes = 4096, .page_bytes = 512, .program_bytes = 16, .erased = 0}, 6, true},
    {"zero", {.erase_bytes = 8192, .page_bytes = 64, .program_bytes = 8, .erased = 0}, 8, false},
    {"emcraft-sf2",
     {.erase_bytes = 65536, .page_bytes = 256, .program_bytes = 1, .erased = 0xFF},
     14,
     false},
    {"vexpress-a9",
     {.erase_bytes = 262144, .page_bytes = 256, .program_bytes = 4, .erased = 0xFF},
     6,
     false},
};

#define SHAPES (sizeof shapes / sizeof shapes[0])
#define SHAPES_SMALL 4

/* One case; names itself. */
struct cut {
    unsigned shape;
    uint32_t seed, step;
    uint32_t n[2]; /* Operation that loses power, of the step and of the boot after it; 0: none. */
    enum nor_cut kind[2];
};

/* Static, since each holds the model of a full queue. */
static struct workload work, saved, done, torn;
static uint32_t cuts, mounts;

static struct flash flash_of(unsigned shape)
{
    struct flash flash = shapes[shape].flash;

    flash.config_base = flash.erase_bytes; /* Not at 0, where a wrong sum would go unseen. */
    flash.config_bytes = 2 * flash.erase_bytes;
    flash.log_base = 4 * flash.erase_bytes;
    flash.log_bytes = shapes[shape].blocks * flash.erase_bytes;
    flash.size_bytes = (5 + shapes[shape].blocks) * flash.erase_bytes;
    return flash;
}

static void begin(unsigned shape, uint32_t seed)
{
    struct workload *const all[] = {&work, &saved, &done, &torn};
    struct flash flash = flash_of(shape);

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        workload_init(all[i], &flash, seed);
        all[i]->small = shapes[shape].small;
    }
    assert_null(work.problem);
}

static void end(void)
{
    mounts += work.mounts;
    workload_free(&work);
    workload_free(&saved);
    workload_free(&done);
    workload_free(&torn);
}

/* Tells what is wrong and how to see it again, and ends the test. */
static void check(const struct cut *cut)
{
    if (work.problem == NULL) {
        return;
    }
    print_error("%s\n", work.problem);
    print_error("again: build/host/tests/test_powercut %s %u %u", shapes[cut->shape].name,
                (unsigned)cut->seed, (unsigned)cut->step);
    for (unsigned i = 0; i < 2 && cut->n[i] != 0; i++) {
        print_error(" %u %s", (unsigned)cut->n[i], nor_cut_name(cut->kind[i]));
    }
    print_error("\n");
    fail();
}

static uint32_t scale(void)
{
    const char *text = getenv("TOCSIN_POWERCUT");
    long factor = text != NULL ? strtol(text, NULL, 10) : 1;

    return factor > 0 && factor < 10000 ? (uint32_t)factor : 1;
}

/* Tears differ from case to case, but not from run to run. */
static void vary(const struct cut *cut)
{
    work.nor.random ^= (cut->n[0] * 64 + cut->n[1] * 8 + cut->kind[0]) * 2654435761u;
    work.nor.random |= 1;
}

/* From `saved`: the step loses power, and then the boot, if so told; then a boot that ends. `done`
 * is what the step makes of `saved` when it ends. Returns how many operations that boot took. */
static uint32_t play(const struct cut *cut, bool go_on)
{
    uint32_t operations;

    workload_copy(&work, &saved);
    vary(cut);
    nor_cut_in(&work.nor, cut->n[0], cut->kind[0]);
    workload_step(&work);
    cuts++;
    if (!work.nor.off && work.problem == NULL) {
        work.problem = "the step took another way than before";
    }
    if (cut->n[1] != 0) {
        nor_power(&work.nor);
        nor_cut_in(&work.nor, cut->n[1], cut->kind[1]);
        workload_boot(&work, &done.model);
        cuts++;
    }
    nor_power(&work.nor);
    operations = work.nor.operations;
    workload_boot(&work, &done.model);
    operations = work.nor.operations - operations;
    check(cut);
    if (go_on) {
        workload_do(&work, WORKLOAD_ADD);
        workload_do(&work, WORKLOAD_BOOT);
        check(cut);
    }
    return operations;
}

/* All cuts of one step, which leads from `saved` to `done`; twice: and of the boots behind. */
static void cut_step(struct cut *cut, bool twice)
{
    uint32_t operations = done.nor.operations - saved.nor.operations;
    bool erases = done.nor.blocks_erased != saved.nor.blocks_erased;

    for (uint32_t n = 1; n <= operations; n++) {
        for (unsigned kind = 0; kind < NOR_CUT_KINDS; kind++) {
            uint32_t more;

            cut->n[0] = n;
            cut->n[1] = 0;
            cut->kind[0] = (enum nor_cut)kind;
            more = play(cut, erases || (n + kind) % 8 == 0);
            for (uint32_t n2 = 1; twice && n2 <= more; n2++) {
                cut->n[1] = n2;
                cut->kind[1] = (enum nor_cut)((n + kind + n2) % NOR_CUT_KINDS);
                play(cut, false);
            }
        }
    }
    cut->n[0] = cut->n[1] = 0;
}

/* The life from its beginning to `step`: `saved` before it, `done` and `work` behind it. */
static void walk_to(struct cut *cut, uint32_t step)
{
    begin(cut->shape, cut->seed);
    for (cut->step = 0; cut->step <= step; cut->step++) {
        workload_copy(&saved, &work);
        workload_step(&work);
        check(cut);
    }
    cut->step = step;
    workload_copy(&done, &work);
}

static void test_every_cut(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < SHAPES_SMALL; shape++) {
        struct cut cut = {.shape = shape, .seed = 1 + shape};
        uint32_t steps = 45 * scale();

        begin(shape, cut.seed);
        for (cut.step = 0; cut.step < steps; cut.step++) {
            workload_copy(&saved, &work);
            workload_step(&work);
            check(&cut);
            workload_copy(&done, &work);
            cut_step(&cut, done.nor.blocks_erased != saved.nor.blocks_erased || cut.step % 16 == 0);
            workload_copy(&work, &done);
        }
        print_message("%s: seed %u, %u steps, %u cuts so far\n", shapes[shape].name,
                      (unsigned)cut.seed, (unsigned)steps, (unsigned)cuts);
        end();
    }
}

/* --- Lives that go on after their cuts --- */

static uint32_t roll(uint32_t *random, uint32_t sides)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random % sides;
}

/* The step that led from `saved` to `done` loses power somewhere, and so may the boots after it. */
static void cut_once(uint32_t *random)
{
    uint32_t operations = done.nor.operations - saved.nor.operations;
    unsigned boots = roll(random, 3);

    workload_copy(&work, &saved);
    work.nor.random ^= *random;
    work.nor.random |= 1;
    nor_cut_in(&work.nor, 1 + roll(random, operations), (enum nor_cut)roll(random, NOR_CUT_KINDS));
    workload_step(&work);
    cuts++;
    while (boots-- > 0 && work.problem == NULL) {
        nor_power(&work.nor);
        nor_cut_in(&work.nor, 1 + roll(random, 20), (enum nor_cut)roll(random, NOR_CUT_KINDS));
        workload_boot(&work, &done.model);
        cuts += work.nor.off;
    }
    nor_power(&work.nor);
    if (work.problem == NULL) {
        workload_boot(&work, &done.model);
    }
}

/* Of `odds` steps that write, one loses power. */
static void live(unsigned shape, uint32_t seed, uint32_t steps, uint32_t odds)
{
    uint32_t random = seed * 2654435761u | 1;

    begin(shape, seed);
    for (uint32_t step = 0; step < steps && work.problem == NULL; step++) {
        bool cut = roll(&random, odds) == 0;

        if (cut) {
            workload_copy(&saved, &work);
        }
        workload_step(&work);
        if (cut && work.problem == NULL && work.nor.operations != saved.nor.operations) {
            workload_copy(&done, &work);
            cut_once(&random);
        }
        if (step % 64 == 0) {
            workload_compare(&work);
        }
    }
    if (work.problem != NULL) {
        print_error("%s\n", work.problem);
        print_error("again: build/host/tests/test_powercut %s %u life %u %u\n", shapes[shape].name,
                    (unsigned)seed, (unsigned)steps, (unsigned)odds);
        fail();
    }
}

/* What a life has cost the flash. A cut in an erase costs another one. */
static void tell_wear(unsigned shape, uint32_t slack)
{
    const struct flash *flash = &work.nor.flash;
    uint32_t first = flash->log_base / flash->erase_bytes;
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    uint32_t adds = work.done[WORKLOAD_ADD] + work.done[WORKLOAD_FOLD] + work.done[WORKLOAD_DIGEST];
    struct journal_wear wear;

    for (uint32_t i = first; i < first + shapes[shape].blocks; i++) {
        least = work.nor.erases[i] < least ? work.nor.erases[i] : least;
        most = work.nor.erases[i] > most ? work.nor.erases[i] : most;
    }
    print_message("%s: %u steps, %u cuts so far, %u alerts, %u displaced, %u boots; each block "
                  "erased %u to %u times; %u bytes programmed an alert; mount read %u bytes at "
                  "most, %u times what was used\n",
                  shapes[shape].name, (unsigned)work.steps, (unsigned)cuts, (unsigned)adds,
                  (unsigned)work.displaced, (unsigned)work.boots, (unsigned)least, (unsigned)most,
                  (unsigned)(work.nor.bytes_programmed / (adds + 1)), (unsigned)work.mount_read_max,
                  (unsigned)work.mount_factor_max);
    assert_true(most - least <= slack);
    journal_wear(&work.journal, &wear);
    assert_int_equal(wear.blocks, shapes[shape].blocks);
    assert_true(wear.max <= most && wear.max + slack >= most);
}

static void test_thousand_cuts(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < SHAPES_SMALL; shape++) {
        uint32_t before = cuts;

        live(shape, 100 + shape, 2500 * scale(), 1);
        assert_true(cuts - before >= 1000);
        tell_wear(shape, 100);
        end();
    }
}

/* --- Cells that read now one way and now the other --- */

/* The alert as it is in that model; another one when it has ended there. */
static const void *same_in(const struct workload_model *model, const struct workload_alert *alert)
{
    static const struct workload_alert none;

    for (unsigned i = 0; i < model->count; i++) {
        if (model->alert[i].item.sequence == alert->item.sequence) {
            return &model->alert[i];
        }
    }
    return &none;
}

/* Cuts an operation so that it leaves such cells, then queues one alert after each of some resets.
 * What the operation was about may be there or not, each time anew; what was acknowledged before,
 * and each alert that is acknowledged after it, is there every time. */
static void flicker(const struct cut *cut)
{
    static struct workload_alert added[6];
    const struct workload_model *before = &saved.model;
    bool carries = done.nor.blocks_erased != saved.nor.blocks_erased;
    unsigned count = 0;

    workload_copy(&work, &saved);
    vary(cut);
    nor_cut_in(&work.nor, cut->n[0], NOR_CUT_FLICKER);
    workload_step(&work);
    cuts++;
    for (unsigned boots = 0; boots < 6; boots++) {
        struct workload_alert *last;
        uint32_t seed[JOURNAL_SEED_BYTES / 4] = {cut->step, cut->n[0], boots, 77};

        nor_power(&work.nor);
        workload_mount(&work);
        work.problem = work.nor.violation;
        for (unsigned i = 0; i < before->count && work.problem == NULL; i++) {
            const struct workload_alert *alert = &before->alert[i];
            bool same = !alert->item.volatile_ &&
                        memcmp(alert, same_in(&done.model, alert), sizeof *alert) == 0;

            work.problem = same ? workload_fault(&work, alert) : NULL;
            /* The one copy that was being made may go bad behind the mount that trusted it. */
            if (carries && work.problem != NULL && strcmp(work.problem, "alert lost") != 0) {
                work.problem = NULL;
            }
        }
        for (unsigned i = 0; i < count && work.problem == NULL; i++) {
            work.problem = workload_fault(&work, &added[i]);
        }
        check(cut);
        assert_int_equal(journal_seed_replace(&work.journal, (const uint8_t *)seed), 0);
        work.model.count = 0; /* What gives way is not looked for. */
        work.number_max = 0;
        work.displaced = work.queue.books.displaced;
        workload_do(&work, WORKLOAD_ADD);
        last = &work.model.alert[0];
        if (work.queue.books.displaced != work.displaced) {
            return; /* Full: what has to give way is another test's. */
        }
        if (work.model.count == 1) {
            added[count++] = *last;
        }
    }
}

static void test_flicker(void **state)
{
    (void)state;
    /* The parts with small units: on those with wide ones nothing is promised. */
    for (unsigned shape = 0; shape < 2; shape++) {
        struct cut cut = {.shape = shape, .seed = 400 + shape, .kind = {NOR_CUT_FLICKER}};

        begin(shape, cut.seed);
        for (cut.step = 0; cut.step < 150; cut.step++) {
            uint32_t operations;

            workload_copy(&saved, &work);
            workload_step(&work);
            check(&cut);
            workload_copy(&done, &work);
            operations = done.nor.operations - saved.nor.operations;
            for (cut.n[0] = 1; cut.n[0] <= operations; cut.n[0]++) {
                flicker(&cut);
            }
            workload_copy(&work, &done);
        }
        end();
    }
}

static void test_long_life(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < SHAPES_SMALL; shape++) {
        live(shape, 200 + shape, 6000 * scale(), 30);
        tell_wear(shape, 20);
        end();
    }
}

/* Without cuts, all blocks wear alike. */
static void test_wear(void **state)
{
    (void)state;
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        live(shape, 300 + shape, 4000 * scale(), UINT32_MAX);
        tell_wear(shape, 1);
        end();
    }
}

/* test_powercut SHAPE SEED STEP [N KIND [N KIND]] */
static int again(int argc, char **argv)
{
    struct cut cut = {.seed = (uint32_t)strtoul(argv[2], NULL, 10)};

    while (cut.shape < SHAPES - 1 && strcmp(shapes[cut.shape].name, argv[1]) != 0) {
        cut.shape++;
    }
    for (int i = 0; i < 2 && argc > 5 + 2 * i; i++) {
        cut.n[i] = (uint32_t)strtoul(argv[4 + 2 * i], NULL, 10);
        while (strcmp(nor_cut_name(cut.kind[i]), argv[5 + 2 * i]) != 0 &&
               cut.kind[i] < NOR_CUT_KINDS_ALL - 1) {
            cut.kind[i]++;
        }
    }
    if (strcmp(argv[3], "life") == 0 && argc > 5) {
        live(cut.shape, cut.seed, (uint32_t)strtoul(argv[4], NULL, 10),
             (uint32_t)strtoul(argv[5], NULL, 10));
        tell_wear(cut.shape, UINT32_MAX);
        end();
        return 0;
    }
    walk_to(&cut, (uint32_t)strtoul(argv[3], NULL, 10));
    print_message("step %u: %s, %u operations\n", (unsigned)work.steps, workload_op_name(work.op),
                  (unsigned)(done.nor.operations - saved.nor.operations));
    if (cut.n[0] != 0 && cut.kind[0] == NOR_CUT_FLICKER) {
        flicker(&cut);
    } else if (cut.n[0] != 0) {
        play(&cut, true);
    }
    print_message("nothing wrong\n");
    end();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut), cmocka_unit_test(test_thousand_cuts),
        cmocka_unit_test(test_flicker),   cmocka_unit_test(test_long_life),
        cmocka_unit_test(test_wear),
    };

    if (argc > 3) {
        return again(argc, argv);
    }
    return cmocka_run_group_tests_name("powercut", tests, NULL, NULL);
}
