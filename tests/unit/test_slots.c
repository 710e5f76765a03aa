/* The configuration's two slots over a simulated NOR: their bytes, and what power cuts, bad bits
 * and trials leave. */
#include "firmware/slots.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define SLOT (2 * BLOCK)
#define BASE BLOCK /* The region is not at 0, where a wrong sum would go unseen. */
#define TEXT 256u
#define MARKS 32u

/* Small parts of each kind: SPI NOR, two CFI NOR chips side by side, flash with wide units, erased
 * 0. */
static const struct flash shapes[] = {
    {.page_bytes = 256, .program_bytes = 1, .erased = 0xFF},
    {.page_bytes = 4, .program_bytes = 4, .erased = 0xFF},
    {.page_bytes = 512, .program_bytes = 16, .erased = 0x00},
    {.page_bytes = 32, .program_bytes = 8, .erased = 0x00},
};

#define SHAPES (sizeof shapes / sizeof shapes[0])

static void begin(struct nor *nor, size_t shape)
{
    struct flash flash = shapes[shape];

    flash.erase_bytes = BLOCK;
    flash.config_base = BASE;
    flash.config_bytes = 2 * SLOT;
    flash.log_base = BASE + 2 * SLOT;
    flash.log_bytes = BLOCK;
    flash.size_bytes = BASE + 2 * SLOT + BLOCK;
    nor_init(nor, &flash, 0x70C51 + (uint32_t)shape);
}

static void end(struct nor *nor)
{
    assert_null(nor->violation);
    nor_free(nor);
}

/* Whether the text in force is `text`. */
static bool holds(const struct slots *slots, const char *text)
{
    char copy[512];
    int size = slots_read(slots, 0, copy, sizeof copy);

    return size == (int)strlen(text) && memcmp(copy, text, (size_t)size) == 0;
}

static int write_text(struct slots *slots, const char *text)
{
    return slots_write(slots, text, strlen(text));
}

static int stage(struct slots *slots, const char *text, bool trial)
{
    int result = slots_stage_begin(slots, false);

    if (result == 0) {
        result = slots_stage_push(slots, text, strlen(text));
    }
    return result < 0 ? result : slots_stage_commit(slots, trial);
}

static void test_empty(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;
        struct slot_info info;
        char byte;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_false(slots.valid);
        assert_non_null(strstr(slots.problem, "no configuration"));
        assert_int_equal(slots_read(&slots, 0, &byte, 1), E_MISSING);
        assert_int_equal(slots_reject(&slots, ""), E_MISSING);
        assert_int_equal(slots_trial_start(&slots), E_INVALID);
        assert_int_equal(slots_trial_confirm(&slots), E_INVALID);
        assert_int_equal(slots_rolled_back_said(&slots), E_INVALID);
        assert_int_equal(slots_stage_push(&slots, "x", 1), E_MISSING);
        assert_int_equal(slots_stage_read(&slots, 0, &byte, 1), E_MISSING);
        assert_int_equal(slots_stage_commit(&slots, false), E_MISSING);
        assert_int_equal(slots_stage_begin(&slots, true), E_MISSING);
        slots_info(&slots, 0, &info);
        assert_int_equal(info.state, FLASH_EMPTY);
        assert_false(info.in_force);
        assert_int_equal(nor.operations, 0);
        end(&nor);
    }
}

static void test_no_flash(void **state)
{
    struct slots slots;
    struct slot_info info;
    char byte;

    (void)state;
    slots_mount(&slots, NULL);
    assert_false(slots.valid);
    assert_non_null(slots.problem);
    assert_int_equal(slots_write(&slots, "a", 1), E_UNSUPPORTED);
    assert_int_equal(slots_stage_begin(&slots, false), E_UNSUPPORTED);
    assert_int_equal(slots_stage_push(&slots, "a", 1), E_MISSING);
    assert_int_equal(slots_stage_commit(&slots, false), E_MISSING);
    assert_int_equal(slots_read(&slots, 0, &byte, 1), E_MISSING);
    slots_info(&slots, 1, &info);
    assert_int_equal(info.state, FLASH_UNREADABLE);
}

static void test_unreadable(void **state)
{
    struct nor nor;
    struct slots slots;

    (void)state;
    begin(&nor, 0);
    slots_mount(&slots, &nor.flash);
    assert_int_equal(write_text(&slots, "one"), 0);
    nor.fail_read = nor.reads + 1;
    nor.fail_on = true;
    slots_mount(&slots, &nor.flash);
    assert_false(slots.valid);
    assert_non_null(strstr(slots.problem, "does not answer"));
    nor.fail_read = 0;
    nor.fail_on = false;
    slots_mount(&slots, &nor.flash);
    assert_true(holds(&slots, "one"));
    end(&nor);
}

/* The text in force equals text, read in pieces of several sizes. */
static void assert_text(const struct slots *slots, const char *text, size_t size)
{
    char copy[SLOT];

    assert_true(slots->valid);
    assert_null(slots->problem);
    assert_int_equal(slots->size, size);
    for (size_t piece = 1; piece < 100; piece += 33) {
        uint32_t offset = 0;
        int got;

        while ((got = slots_read(slots, offset, copy + offset, piece)) > 0) {
            offset += (uint32_t)got;
        }
        assert_int_equal(got, 0);
        assert_int_equal(offset, size);
        assert_memory_equal(copy, text, size);
    }
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0,   1,   3,   4,    15,         16,        17,
                                   255, 256, 257, 1000, SLOT - 257, SLOT - 256};
    static char text[SLOT];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            text[0] = (char)('a' + i);
            assert_int_equal(slots_write(&slots, text, sizes[i]), 0);
            assert_text(&slots, text, sizes[i]);
            slots_mount(&slots, &nor.flash);
            assert_text(&slots, text, sizes[i]);
            assert_int_equal(slots.sequence, i + 1);
            assert_int_equal(slots.address, BASE + SLOT * (i % 2) + TEXT);
            assert_false(slots.fallback);
            assert_false(slots.on_trial);
        }
        assert_int_equal(slots_write(&slots, text, SLOT - 255), E_SPACE);
        assert_text(&slots, text, SLOT - 256);
        end(&nor);
    }
}

/* The same text, pushed in pieces of each small size, is the same in flash; and can be read back
 * after each piece. */
static void test_pieces(void **state)
{
    char text[300], back[300];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i % 26);
    }
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        for (size_t piece = 1; piece <= 40; piece++) {
            assert_int_equal(slots_stage_begin(&slots, false), 0);
            for (size_t at = 0; at < sizeof text; at += piece) {
                size_t size = sizeof text - at < piece ? sizeof text - at : piece;
                size_t got = 0;
                int more;

                assert_int_equal(slots_stage_push(&slots, text + at, size), 0);
                while ((more = slots_stage_read(&slots, (uint32_t)got, back + got, 70)) > 0) {
                    got += (size_t)more;
                }
                assert_int_equal(got, at + size);
                assert_memory_equal(back, text, got);
            }
            assert_int_equal(slots_stage_commit(&slots, false), 0);
            slots_mount(&slots, &nor.flash);
            assert_text(&slots, text, sizeof text);
            assert_int_equal(slots.sequence, piece);
        }
        end(&nor);
    }
}

/* A text made of a staged one, which is read meanwhile; also after a try that was given up. */
static void test_keep_staged(void **state)
{
    static char big[SLOT];
    char byte;

    (void)state;
    memset(big, 'b', sizeof big);
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;
        char piece[8];

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_int_equal(write_text(&slots, "in force"), 0);
        assert_int_equal(slots_stage_begin(&slots, false), 0);
        assert_int_equal(slots_stage_push(&slots, "imported", 8), 0);
        for (unsigned i = 0; i < 3; i++) { /* The first ones are only begun. */
            assert_int_equal(slots_stage_begin(&slots, true), 0);
            for (uint32_t at = 0; at < 8; at++) {
                assert_int_equal(slots_stage_read(&slots, at, piece, 1), 1);
                assert_int_equal(slots_stage_push(&slots, piece, 1), 0);
                assert_int_equal(slots_stage_push(&slots, ".", 1), 0);
            }
            assert_int_equal(slots_stage_read(&slots, 8, piece, 1), 0);
        }
        assert_true(holds(&slots, "in force"));
        assert_int_equal(slots_stage_commit(&slots, false), 0);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "i.m.p.o.r.t.e.d."));
        assert_int_equal(slots.sequence, 2);

        assert_int_equal(slots_stage_begin(&slots, false), 0);
        assert_int_equal(slots_stage_push(&slots, big, SLOT / 2), 0);
        assert_int_equal(slots_stage_begin(&slots, true), 0);
        assert_int_equal(slots_stage_push(&slots, big, SLOT / 2), E_SPACE);
        slots_stage_drop(&slots);
        assert_int_equal(slots_stage_commit(&slots, false), E_MISSING);
        assert_int_equal(slots_stage_read(&slots, 0, &byte, 1), E_MISSING);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "i.m.p.o.r.t.e.d."));
        end(&nor);
    }
}

/* A header as docs/flash-format.md says, not as the code does. */
static void craft_header(struct nor *nor, unsigned slot, uint16_t version, uint16_t offset,
                         const uint32_t words[5])
{
    uint8_t *at = nor->bytes + BASE + slot * SLOT;

    memcpy(at, "TCFG", 4);
    at[4] = (uint8_t)version;
    at[5] = (uint8_t)(version >> 8);
    at[6] = (uint8_t)offset;
    at[7] = (uint8_t)(offset >> 8);
    for (unsigned i = 0; i < 5; i++) {
        put_u32(at + 8 + 4 * i, words[i]);
    }
    put_u32(at + 28, crc32_update(0, at, 28));
}

static void craft_slot(struct nor *nor, unsigned slot, uint16_t version, uint32_t sequence,
                       const char *text, uint32_t flags)
{
    uint32_t size = (uint32_t)strlen(text);
    uint32_t words[5] = {sequence, size, crc32_update(0, text, size), flags};

    memset(nor->bytes + BASE + slot * SLOT, nor->flash.erased, SLOT);
    craft_header(nor, slot, version, TEXT, words);
    memcpy(nor->bytes + BASE + slot * SLOT + TEXT, text, size);
}

static void craft_mark(struct nor *nor, unsigned slot, unsigned mark, unsigned copy)
{
    static const uint8_t byte[] = {0x5A, 0xA5, 0x3C, 0xC3};

    memset(nor->bytes + BASE + slot * SLOT + MARKS + 64 * copy + 16 * mark, byte[mark], 16);
}

static void test_bytes(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor written, crafted;
        struct slots slots;

        begin(&written, shape);
        begin(&crafted, shape);
        slots_mount(&slots, &written.flash);
        assert_int_equal(write_text(&slots, "root=a@b\n"), 0);
        craft_slot(&crafted, 0, 2, 1, "root=a@b\n", 0);
        assert_memory_equal(written.bytes, crafted.bytes, written.flash.size_bytes);
        assert_int_equal(stage(&slots, "root=c@d\n", true), 0);
        craft_slot(&crafted, 1, 2, 2, "root=c@d\n", 1);
        assert_memory_equal(written.bytes, crafted.bytes, written.flash.size_bytes);
        assert_int_equal(slots_trial_start(&slots), 0);
        assert_int_equal(slots_trial_start(&slots), 0);
        assert_int_equal(slots_trial_confirm(&slots), 0);
        assert_int_equal(slots_reject(&slots, "no mail"), 0);
        for (unsigned copy = 0; copy < 2; copy++) {
            craft_mark(&crafted, 1, 0, copy);
            craft_mark(&crafted, 1, 1, copy);
            craft_mark(&crafted, 1, 2, copy);
        }
        memcpy(crafted.bytes + BASE + SLOT + 160, "no mail", 7);
        assert_memory_equal(written.bytes, crafted.bytes, written.flash.size_bytes);
        end(&written);
        end(&crafted);
    }
}

/* What the format before wrote is in force, can be taken back, and is replaced in the new one. */
static void test_version_1(void **state)
{
    struct nor nor;
    struct slots slots;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 7, "one", 0);
    craft_slot(&nor, 1, 1, 8, "two", 0);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "two", 3);
    assert_false(slots.on_trial);
    assert_int_equal(slots_reject(&slots, ""), 0);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "one", 3);
    assert_int_equal(slots.rolled_back, 0); /* A person did it. */
    assert_int_equal(stage(&slots, "three", true), 0);
    assert_int_equal(nor.bytes[BASE + SLOT + 4], 2);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "three", 5);
    assert_int_equal(slots.sequence, 9);
    assert_true(slots.on_trial);
    end(&nor);
}

static void test_sequence_wraps(void **state)
{
    struct nor nor;
    struct slots slots;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 0xFFFFFFFE, "old", 0);
    craft_slot(&nor, 1, 2, 0xFFFFFFFF, "newer", 0);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "newer", 5);
    assert_int_equal(write_text(&slots, "newest"), 0);
    assert_int_equal(slots.sequence, 0);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "newest", 6);
    assert_int_equal(write_text(&slots, "last"), 0);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "last", 4);
    end(&nor);
}

static void test_damage(void **state)
{
    struct nor nor;
    struct slots slots;
    struct slot_info info;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 7, "one", 0);
    craft_slot(&nor, 1, 1, 8, "two", 0);
    nor.bytes[BASE + SLOT + TEXT] ^= 3; /* One bit would be put right. */
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "one", 3);
    assert_true(slots.fallback);
    slots_info(&slots, 1, &info);
    assert_int_equal(info.state, FLASH_DAMAGED);
    /* What is written now must beat the damaged one, even if it were to read well again. */
    assert_int_equal(write_text(&slots, "three"), 0);
    assert_int_equal(slots.sequence, 9);
    assert_false(slots.fallback);
    nor.bytes[BASE + TEXT] ^= 3;
    nor.bytes[BASE + SLOT + TEXT] ^= 3;
    slots_mount(&slots, &nor.flash);
    assert_false(slots.valid);
    assert_non_null(strstr(slots.problem, "damaged"));
    assert_int_equal(write_text(&slots, "four"), 0);
    assert_int_equal(slots.sequence, 10);
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "four", 4);
    end(&nor);
}

/* Any header bit may be wrong: a length beyond the slot, a text elsewhere; nothing is read outside.
 */
static void test_hostile_header(void **state)
{
    static const uint32_t lengths[] = {0, 1, SLOT - 256, SLOT - 255, SLOT, 0x7FFFFFFF, 0xFFFFFFFF};
    struct nor nor;
    struct slots slots;

    (void)state;
    begin(&nor, 0);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint32_t offset = 0; offset < 0x10000; offset += 0x100) {
            uint32_t words[5] = {1, lengths[i], crc32_update(0, "", 0)};

            craft_header(&nor, 0, 2, (uint16_t)offset, words);
            slots_mount(&slots, &nor.flash);
            assert_int_equal(slots.valid, lengths[i] == 0 && offset >= TEXT && offset <= SLOT);
            assert_null(nor.violation);
        }
    }
    end(&nor);
}

static void test_other_version(void **state)
{
    struct nor nor;
    struct slots slots;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 2, 1, "mine", 0);
    craft_slot(&nor, 1, 3, 2, "theirs", 0);
    slots_mount(&slots, &nor.flash);
    assert_false(slots.valid); /* Not "mine": it was replaced. */
    assert_non_null(strstr(slots.problem, "another version"));
    assert_int_equal(slots_write(&slots, "a", 1), E_UNSUPPORTED);
    assert_int_equal(slots_stage_begin(&slots, false), E_UNSUPPORTED);
    assert_int_equal(nor.operations, 0);
    craft_slot(&nor, 1, 3, 0, "theirs", 0); /* Older than ours: ours counts, but theirs stays. */
    slots_mount(&slots, &nor.flash);
    assert_text(&slots, "mine", 4);
    assert_int_equal(slots_write(&slots, "a", 1), E_UNSUPPORTED);
    end(&nor);
}

/* Cuts the write of `next` over `now` in every way; after each, one of both is in force, and the
 * next write goes through, itself cut at each operation when depth says so. Returns how many cuts
 * there were. */
static uint32_t cut_write(struct nor *nor, const char *now, const char *next, unsigned depth)
{
    struct nor before;
    uint32_t cuts = 0;
    bool cut = true;

    nor_init(&before, &nor->flash, 1);
    nor_copy(&before, nor);
    for (uint32_t n = 1; cut; n++) {
        for (enum nor_cut kind = 0; kind < NOR_CUT_KINDS; kind++) {
            struct slots slots;
            int result;

            nor_copy(nor, &before);
            nor->random += n * 7919 + kind;
            slots_mount(&slots, &nor->flash);
            nor_cut_in(nor, n, kind);
            result = write_text(&slots, next);
            cut = nor->off;
            nor_power(nor);
            slots_mount(&slots, &nor->flash);
            assert_true(holds(&slots, next) || (result < 0 && holds(&slots, now)));
            if (!cut) {
                assert_int_equal(result, 0);
                break;
            }
            cuts++;
            if (depth > 0) {
                cuts += cut_write(nor, holds(&slots, next) ? next : now, "root=third", depth - 1);
            }
            slots_mount(&slots, &nor->flash);
            assert_int_equal(write_text(&slots, "last"), 0);
            slots_mount(&slots, &nor->flash);
            assert_true(holds(&slots, "last"));
            assert_false(slots.fallback);
            assert_null(nor->violation);
        }
    }
    nor_copy(nor, &before);
    nor_free(&before);
    return cuts;
}

static void test_power_cuts(void **state)
{
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        static const char first[] = "root=first@example.com\nmailhub=mail.example.com\n";
        struct nor nor;
        struct slots slots;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_int_equal(write_text(&slots, first), 0);
        cuts += cut_write(&nor, first, "root=second@example.com\n", 1);
        assert_int_equal(write_text(&slots, "second"), 0);
        cuts += cut_write(&nor, "second", "root=third@example.com\nhostname=x\n", 1);
        end(&nor);
    }
    print_message("configuration writes: %u power cuts\n", cuts);
    assert_true(cuts > 1000);
}

/* ---- trials ---- */

static void test_trial_confirmed(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;
        struct slot_info info;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_int_equal(write_text(&slots, "one"), 0);
        assert_int_equal(stage(&slots, "two", true), 0);
        slots_mount(&slots, &nor.flash); /* A reset before the trial began: it is still to come. */
        assert_true(holds(&slots, "two"));
        assert_true(slots.on_trial);
        assert_int_equal(slots_stage_begin(&slots, false), E_TRANSIENT);
        assert_int_equal(slots_trial_start(&slots), 0);
        slots_info(&slots, 1, &info);
        assert_true(info.trial && info.started && info.in_force);
        assert_false(info.confirmed || info.rejected);
        assert_int_equal(slots_trial_confirm(&slots), 0);
        assert_false(slots.on_trial);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "two"));
        assert_false(slots.on_trial);
        assert_int_equal(slots.rolled_back, 0);
        assert_int_equal(slots_stage_begin(&slots, false), 0);
        end(&nor);
    }
}

static void test_trial_reset(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;
        struct slot_info info;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_int_equal(write_text(&slots, "one"), 0);
        assert_int_equal(stage(&slots, "two", true), 0);
        assert_int_equal(slots_trial_start(&slots), 0);
        for (unsigned i = 0; i < 3; i++) {
            slots_mount(&slots, &nor.flash);
            assert_true(holds(&slots, "one"));
            assert_false(slots.on_trial);
            assert_false(slots.fallback);
            assert_int_equal(slots.rolled_back, 2);
            assert_int_equal(slots.rolled_back_said, i > 0);
            assert_int_equal(slots_rolled_back_said(&slots), 0);
        }
        slots_info(&slots, 1, &info);
        assert_int_equal(info.state, FLASH_GOOD);
        assert_int_equal(info.sequence, 2);
        assert_string_equal(info.why, "");
        assert_int_equal(write_text(&slots, "three"), 0);
        assert_int_equal(slots.sequence, 3);
        assert_int_equal(slots.rolled_back, 0);
        end(&nor);
    }
}

static void test_trial_rejected(void **state)
{
    static const char why[] = "connect: timed out: \xE2\x82\xAC, and more than there is any room "
                              "for in the header of a slot, so that it is cut";

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct slots slots;
        struct slot_info info;

        begin(&nor, shape);
        slots_mount(&slots, &nor.flash);
        assert_int_equal(write_text(&slots, "one"), 0);
        assert_int_equal(stage(&slots, "two", true), 0);
        assert_int_equal(slots_trial_start(&slots), 0);
        assert_int_equal(slots_reject(&slots, why), 0);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "one"));
        assert_int_equal(slots.rolled_back, 2);
        assert_int_equal(slots_reject(&slots, ""), E_MISSING); /* There is no more behind it. */
        slots_info(&slots, 1, &info);
        assert_true(info.rejected);
        assert_memory_equal(info.why, why, 90);
        assert_in_range(strlen(info.why), 90, SLOTS_WHY_BYTES - 1);
        end(&nor);
    }
}

/* Without anything to fall back on there is no trial; and what was taken back comes again when
 * there is nothing else. */
static void test_nothing_to_fall_back_on(void **state)
{
    struct nor nor;
    struct slots slots;
    struct slot_info info;

    (void)state;
    begin(&nor, 0);
    slots_mount(&slots, &nor.flash);
    assert_int_equal(stage(&slots, "one", true), 0);
    assert_false(slots.on_trial);
    slots_info(&slots, 0, &info);
    assert_false(info.trial);
    assert_int_equal(slots_reject(&slots, ""), E_MISSING);
    assert_int_equal(stage(&slots, "two", true), 0);
    assert_int_equal(slots_trial_start(&slots), 0);
    nor.bytes[BASE + TEXT] ^= 3; /* "one" goes bad during the trial. */
    assert_int_equal(slots_reject(&slots, ""), E_MISSING);
    slots_mount(&slots, &nor.flash);
    assert_true(holds(&slots, "two"));
    assert_false(slots.on_trial);
    assert_int_equal(slots.rolled_back, 0);
    nor.bytes[BASE + TEXT] ^= 3;
    slots_mount(&slots, &nor.flash);
    assert_true(holds(&slots, "one"));
    assert_int_equal(slots.rolled_back, 2);
    assert_int_equal(slots_rolled_back_said(&slots), 0);
    nor.bytes[BASE + TEXT] ^= 3;
    slots_mount(&slots, &nor.flash);
    assert_true(holds(&slots, "two"));
    assert_true(slots.unrejected);
    end(&nor);
}

enum plan { PLAN_CONFIRM, PLAN_REJECT, PLAN_RESET, PLAN_COUNT };

/* A device that is given "two" on trial while "one" is in force. */
struct device {
    struct nor *nor;
    enum plan plan;
    bool ran;       /* Started with "two". */
    bool confirmed; /* The call said so. */
    bool given_up;  /* "two" was taken back, and this was said. */
    unsigned told;
};

static void boot(struct device *device)
{
    struct slots slots;

    slots_mount(&slots, &device->nor->flash);
    if (device->nor->off) {
        return;
    }
    assert_true(holds(&slots, "one") || holds(&slots, "two"));
    assert_true(!device->confirmed || holds(&slots, "two"));
    assert_true(!device->given_up || holds(&slots, "one"));
    if (slots.rolled_back != 0 && !slots.rolled_back_said) {
        assert_int_equal(slots.rolled_back, 2);
        device->told++;
        device->given_up |= slots_rolled_back_said(&slots) == 0;
    }
    if (!slots.on_trial) {
        return;
    }
    if (slots_trial_start(&slots) < 0) {
        (void)!slots_reject(&slots, "not started");
        return;
    }
    device->ran = true;
    if (device->plan == PLAN_CONFIRM) {
        device->confirmed |= slots_trial_confirm(&slots) == 0;
    } else if (device->plan == PLAN_REJECT) {
        (void)!slots_reject(&slots, "no mail got out");
    }
}

/* Returns whether the first and the second cut happened. */
static void run(struct device *device, const uint32_t n[2], const enum nor_cut kind[2], bool hit[2])
{
    struct slots slots;
    unsigned boots = 4;

    slots_mount(&slots, &device->nor->flash);
    nor_cut_in(device->nor, n[0], kind[0]);
    (void)!stage(&slots, "two", true);
    boot(device);
    boot(device);
    hit[0] = device->nor->off;
    nor_power(device->nor);
    hit[1] = false;
    if (n[1] != 0) {
        nor_cut_in(device->nor, n[1], kind[1]);
        boot(device);
        boot(device);
        hit[1] = device->nor->off;
        nor_power(device->nor);
    }
    while (boots-- > 0) {
        boot(device);
    }
    slots_mount(&slots, &device->nor->flash);
    assert_true(device->plan == PLAN_CONFIRM || holds(&slots, "one"));
    assert_true(!device->confirmed || holds(&slots, "two"));
    assert_true(!device->ran || holds(&slots, "two") || device->told > 0);
    assert_false(slots.on_trial);
    assert_null(device->nor->violation);
    assert_int_equal(write_text(&slots, "three"), 0);
    slots_mount(&slots, &device->nor->flash);
    assert_true(holds(&slots, "three"));
}

static uint32_t cut_trial(const struct nor *before, struct nor *nor, enum plan plan)
{
    bool hit[2] = {true};
    uint32_t cuts = 0;

    for (uint32_t first = 1; hit[0]; first++) {
        for (unsigned kinds = 0; kinds < NOR_CUT_KINDS * NOR_CUT_KINDS && hit[0]; kinds++) {
            enum nor_cut kind[2] = {kinds % NOR_CUT_KINDS, kinds / NOR_CUT_KINDS};

            hit[1] = true;
            for (uint32_t second = 0; hit[0] && (second < 2 || hit[1]); second++) {
                uint32_t n[2] = {first, second};
                struct device device = {.nor = nor, .plan = plan};

                nor_copy(nor, before);
                nor->random += 7919 * (first + 64 * second) + kinds;
                run(&device, n, kind, hit);
                cuts += (uint32_t)hit[0] + hit[1];
            }
        }
    }
    return cuts;
}

static void test_trial_power_cuts(void **state)
{
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor, before;
        struct slots slots;

        begin(&nor, shape);
        begin(&before, shape);
        slots_mount(&slots, &before.flash);
        assert_int_equal(write_text(&slots, "one"), 0);
        for (enum plan plan = 0; plan < PLAN_COUNT; plan++) {
            cuts += cut_trial(&before, &nor, plan);
        }
        end(&nor);
        end(&before);
    }
    print_message("trials: %u power cuts\n", cuts);
    assert_true(cuts > 5000);
}

/* ---- bits that go bad ---- */

/* Brings the two slots into one of several states. False: there are no more. */
static bool make_state(struct slots *slots, unsigned which)
{
    int result = write_text(slots, "the first text");

    assert_int_equal(result, 0);
    switch (which) {
    case 0:
        return true;
    case 1:
        assert_int_equal(write_text(slots, "the second text"), 0);
        return true;
    case 2:
        assert_int_equal(stage(slots, "the second text", true), 0);
        return true;
    case 3:
    case 4:
    case 5:
        assert_int_equal(stage(slots, "the second text", true), 0);
        assert_int_equal(slots_trial_start(slots), 0);
        if (which == 4) {
            assert_int_equal(slots_trial_confirm(slots), 0);
        } else if (which == 5) {
            assert_int_equal(slots_reject(slots, "no mail"), 0);
        }
        return true;
    case 6:
        assert_int_equal(write_text(slots, "the second text"), 0);
        assert_int_equal(slots_reject(slots, "not wanted"), 0);
        return true;
    default:
        return false;
    }
}

static void assert_same(const struct slots *a, const struct slots *b)
{
    char text[2][32] = {{0}};

    assert_true(a->valid && b->valid);
    assert_int_equal(a->address, b->address);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->on_trial, b->on_trial);
    assert_int_equal(a->rolled_back, b->rolled_back);
    assert_int_equal(slots_read(a, 0, text[0], 32), slots_read(b, 0, text[1], 32));
    assert_memory_equal(text[0], text[1], 32);
    for (uint32_t at = 0; at < a->size; at++) { /* Also when read in pieces. */
        text[1][1] = 0x55;
        assert_int_equal(slots_read(a, at, text[1], 1), 1);
        assert_int_equal(text[0][at], text[1][0]);
        assert_int_equal(text[1][1], 0x55);
    }
    assert_false(a->fallback);
}

/* One bad bit anywhere changes nothing; and what comes next still works. */
static void rot(size_t shape, unsigned which)
{
    struct nor nor, before;
    struct slots right, slots;

    begin(&before, shape);
    begin(&nor, shape);
    slots_mount(&right, &before.flash);
    assert_true(make_state(&right, which));
    slots_mount(&right, &before.flash);
    for (uint32_t bit = 0; bit < 2 * 8 * 320; bit++) {
        uint32_t at = bit / 8 % 320 + (bit >= 8 * 320 ? SLOT : 0);

        nor_copy(&nor, &before);
        nor_flip(&nor, BASE + at, bit % 8);
        slots_mount(&slots, &nor.flash);
        assert_same(&slots, &right);
        if (slots.on_trial) {
            assert_int_equal(slots_trial_start(&slots), 0);
            assert_int_equal(slots_trial_confirm(&slots), 0);
            slots_mount(&slots, &nor.flash);
            assert_int_equal(slots.sequence, right.sequence);
            assert_false(slots.on_trial);
        } else if (slots.rolled_back != 0) {
            assert_int_equal(slots_rolled_back_said(&slots), 0);
            slots_mount(&slots, &nor.flash);
            assert_true(slots.rolled_back_said);
        } else if (which == 1) {
            assert_int_equal(slots_reject(&slots, "why"), 0);
            slots_mount(&slots, &nor.flash);
            assert_true(holds(&slots, "the first text"));
        }
        assert_int_equal(write_text(&slots, "three"), 0);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "three"));
        assert_null(nor.violation);
    }
    end(&nor);
    end(&before);
}

static void test_rot(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        for (unsigned which = 0; which < 7; which++) {
            rot(shape, which);
        }
    }
}

/* A confirmation bears three bad bits in each of its copies, and all of one copy. */
static void test_rotten_confirmation(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        for (uint32_t round = 0; round < 1000; round++) {
            struct nor nor;
            struct slots slots;

            begin(&nor, shape);
            nor.random += round * 7919;
            slots_mount(&slots, &nor.flash);
            assert_true(make_state(&slots, 4));
            for (unsigned i = 0; i < 3; i++) {
                for (unsigned copy = 0; copy < 2; copy++) {
                    uint32_t dice = nor_random(&nor);

                    nor_flip(&nor, BASE + SLOT + MARKS + 16 + 64 * copy + dice % 16, dice >> 8 & 7);
                }
            }
            if (round % 3 == 0) {
                memset(nor.bytes + BASE + SLOT + MARKS + 16 + 64 * (round % 2), (int)round, 16);
            }
            slots_mount(&slots, &nor.flash);
            assert_true(holds(&slots, "the second text"));
            assert_false(slots.on_trial);
            end(&nor);
        }
    }
}

/* A mark that lacks its last byte, or a bit of each of four bytes, is none: it is torn. */
static void test_torn_marks(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        for (unsigned round = 0; round < 2; round++) {
            struct nor nor;
            struct slots slots;
            struct slot_info info;

            begin(&nor, shape);
            slots_mount(&slots, &nor.flash);
            assert_true(make_state(&slots, 3));
            craft_mark(&nor, 1, 1, 0);
            craft_mark(&nor, 1, 2, 1);
            for (unsigned i = 0; i < 4; i++) {
                uint8_t *mark = nor.bytes + BASE + SLOT + MARKS;

                mark[16 + (round ? 15 : i)] ^= (uint8_t)(1u << (round ? 2 * i : i));
                mark[64 + 32 + (round ? 0 : 3 * i)] ^= (uint8_t)(1u << (round ? i : 7 - i));
            }
            slots_mount(&slots, &nor.flash);
            slots_info(&slots, 1, &info);
            assert_false(info.confirmed || info.rejected);
            assert_true(holds(&slots, "the first text"));
            end(&nor);
        }
    }
}

/* Regions of random bytes, some with right headers: mounting ends, nothing is read outside, and a
 * text can be written. */
static void test_random_bytes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        struct nor nor;
        struct slots slots;
        struct slot_info info;

        begin(&nor, round % SHAPES);
        nor.random += round * 7919;
        for (uint32_t i = 0; i < nor.flash.size_bytes; i++) {
            nor.bytes[i] = (uint8_t)(nor_random(&nor) >> (round % 3 * 8));
        }
        for (unsigned slot = 0; round % 2 != 0 && slot < 2; slot++) {
            uint32_t words[5] = {nor_random(&nor), nor_random(&nor) % (2 * SLOT), nor_random(&nor),
                                 nor_random(&nor), nor_random(&nor)};

            craft_header(&nor, slot, 2, 256, words);
        }
        slots_mount(&slots, &nor.flash);
        assert_false(slots.valid);
        slots_info(&slots, round % 2, &info);
        assert_int_equal(info.state, FLASH_DAMAGED);
        assert_int_equal(write_text(&slots, "new"), 0);
        slots_mount(&slots, &nor.flash);
        assert_true(holds(&slots, "new"));
        end(&nor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_flash),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_keep_staged),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_sequence_wraps),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_hostile_header),
        cmocka_unit_test(test_other_version),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_trial_confirmed),
        cmocka_unit_test(test_trial_reset),
        cmocka_unit_test(test_trial_rejected),
        cmocka_unit_test(test_nothing_to_fall_back_on),
        cmocka_unit_test(test_trial_power_cuts),
        cmocka_unit_test(test_rot),
        cmocka_unit_test(test_rotten_confirmation),
        cmocka_unit_test(test_torn_marks),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
