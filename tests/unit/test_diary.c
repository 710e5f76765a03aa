/* What the device remembers of itself, over resets and power cuts. */
#include "firmware/diary.h"
#include "firmware/flash_io.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u

static struct nor nor;
static struct journal journal;
static struct diary diary;

static void boot(void)
{
    journal_mount(&journal, &nor.flash, NULL);
    diary_init(&diary, &journal);
}

static int setup(void **state)
{
    struct flash flash = {.page_bytes = 64, .program_bytes = 8, .erased = 0};
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {1};
    static const uint8_t seed[JOURNAL_SEED_BYTES] = {2};

    (void)state;
    flash.erase_bytes = BLOCK;
    flash.log_base = BLOCK;
    flash.log_bytes = 6 * BLOCK;
    flash.size_bytes = 8 * BLOCK;
    nor_init(&nor, &flash, 0xD1);
    journal_mount(&journal, &nor.flash, NULL);
    assert_int_equal(journal_seed_create(&journal, id, seed), 0);
    boot();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(nor.violation);
    nor_free(&nor);
    return 0;
}

/* Each member its own value, which follows from number. */
static void fill(struct diary *out, uint32_t number)
{
    out->report_unix_s = number * 3 + 1;
    out->self_test_unix_s = number * 5 + 2;
    out->self_test_failed = number % 2 == 1;
    out->bounced = number * 11 + 4;
    out->bounced_number = number * 13 + 5;
    out->bounced_unix_s = number * 17 + 6;
    out->fast_until_unix_s = number * 19 + 7;
    memset(out->bounced_status, 0, sizeof out->bounced_status);
    memset(out->bounced_status, '5', number % sizeof out->bounced_status);
    for (unsigned i = 0; i < DIARY_MUTES_MAX; i++) {
        struct diary_mute *mute = &out->mutes[i];

        memset(mute->source, 0, sizeof mute->source);
        memset(mute->source, (int)('a' + i), (number + i * 9) % sizeof mute->source);
        mute->until_unix_s = number * 23 + i;
        mute->count = number * 29 + i;
    }
}

static void assert_is(uint32_t number)
{
    struct diary expected;

    memset(&expected, 0, sizeof expected);
    expected.journal = &journal;
    fill(&expected, number);
    assert_int_equal(diary.report_unix_s, expected.report_unix_s);
    assert_int_equal(diary.self_test_unix_s, expected.self_test_unix_s);
    assert_int_equal(diary.self_test_failed, expected.self_test_failed);
    assert_int_equal(diary.bounced, expected.bounced);
    assert_int_equal(diary.bounced_number, expected.bounced_number);
    assert_int_equal(diary.bounced_unix_s, expected.bounced_unix_s);
    assert_int_equal(diary.fast_until_unix_s, expected.fast_until_unix_s);
    assert_string_equal(diary.bounced_status, expected.bounced_status);
    assert_memory_equal(diary.mutes, expected.mutes, sizeof diary.mutes);
}

static void test_empty(void **state)
{
    struct diary empty;

    (void)state;
    memset(&empty, 0, sizeof empty);
    empty.journal = &journal;
    assert_memory_equal(&diary, &empty, sizeof empty);
    journal_mount(&journal, NULL, NULL);
    diary_init(&diary, &journal);
    diary.bounced = 5;
    assert_int_equal(diary_save(&diary), E_UNSUPPORTED);
    assert_int_equal(diary.bounced, 5); /* Until the next reset. */
}

static void test_kept(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 200; number++) {
        fill(&diary, number);
        assert_int_equal(diary_save(&diary), 0);
        memset(&diary, 0xAA, sizeof diary);
        boot();
        assert_is(number);
    }
}

/* The old one or the new one, whole. */
static void test_cuts(void **state)
{
    uint32_t number = 1;

    (void)state;
    fill(&diary, number);
    assert_int_equal(diary_save(&diary), 0);
    for (uint32_t n = 1; n < 3000; n++) {
        bool lost;

        fill(&diary, number + 1);
        nor_cut_in(&nor, 1 + nor_random(&nor) % 16, nor_random(&nor) % NOR_CUT_KINDS);
        lost = diary_save(&diary) < 0;
        nor_power(&nor);
        boot();
        if (!lost || diary.report_unix_s == (number + 1) * 3 + 1) {
            number++;
        }
        assert_is(number);
    }
}

/* The bytes of docs/flash-format.md; a record that is too short is none, strings that do not end
 * end with it. */
static void test_bytes(void **state)
{
    uint8_t bytes[300] = {0};
    struct journal_part part = {bytes, 64};
    uint32_t address;

    (void)state;
    for (uint8_t i = 0; i < 64; i++) {
        bytes[i] = i;
    }
    bytes[8] = 1;
    assert_int_equal(journal_append(&journal, JOURNAL_DIARY, 0, &part, 1, &address), 0);
    boot();
    assert_int_equal(diary.report_unix_s, 0x03020100);
    assert_int_equal(diary.self_test_unix_s, 0x07060504);
    assert_true(diary.self_test_failed);
    assert_int_equal(diary.bounced, 0x13121110);
    assert_int_equal(diary.bounced_number, 0x17161514);
    assert_int_equal(diary.bounced_unix_s, 0x1B1A1918);
    assert_int_equal(diary.fast_until_unix_s, 0x1F1E1D1C);
    assert_int_equal(diary.mutes[0].until_unix_s, 0x23222120);
    assert_int_equal(diary.mutes[3].count, 0x3F3E3D3C);
    assert_string_equal(diary.mutes[3].source, "");
    part.size = 63;
    assert_int_equal(journal_append(&journal, JOURNAL_DIARY, 0, &part, 1, &address), 0);
    boot();
    assert_int_equal(diary.bounced, 0);
    memset(bytes + 64, 'x', sizeof bytes - 64);
    part.size = 204;
    assert_int_equal(journal_append(&journal, JOURNAL_DIARY, 0, &part, 1, &address), 0);
    boot();
    assert_string_equal(diary.bounced_status, "xxxxxxxxxxx");
    assert_string_equal(diary.mutes[0].source, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
