/* The flash store over a simulated NOR: its bytes, and what power cuts, bad bits and bad blocks
 * leave. */
#include "firmware/store.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define LOG_BLOCKS 4u
#define RECORDS ((BLOCK - 32) / 64) /* Seed records of one block. */

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
    flash.config_base = BLOCK; /* The regions are not at 0, where a wrong sum would go unseen. */
    flash.config_bytes = 2 * BLOCK;
    flash.log_base = 4 * BLOCK;
    flash.log_bytes = LOG_BLOCKS * BLOCK;
    flash.size_bytes = (5 + LOG_BLOCKS) * BLOCK;
    nor_init(nor, &flash, 0x70C51 + (uint32_t)shape);
}

static void end(struct nor *nor)
{
    assert_null(nor->violation);
    nor_free(nor);
}

/* A seed record's content that only `number` gives. */
static void make_seed(uint32_t number, uint8_t seed[STORE_SEED_BYTES])
{
    for (uint32_t i = 0; i < STORE_SEED_BYTES; i++) {
        seed[i] = (uint8_t)(number >> (8 * (i % 3)) ^ (i * 37));
    }
}

static const uint8_t device_id[STORE_DEVICE_ID_BYTES] = {0xDE, 0xAD, 1, 2, 3, 4, 5, 6};

static void create(struct nor *nor, struct store *store)
{
    uint8_t seed[STORE_SEED_BYTES];

    make_seed(0, seed);
    store_mount(store, &nor->flash);
    assert_int_equal(store_seed_create(store, device_id, seed), 0);
}

static void test_crc(void **state)
{
    uint32_t crc;

    (void)state;
    assert_int_equal(crc32_update(0, "123456789", 9), 0xCBF43926);
    crc = crc32_update(0, "1234", 4);
    assert_int_equal(crc32_update(crc, "56789", 5), 0xCBF43926);
    assert_int_equal(crc32_update(0, "", 0), 0);
}

static void test_empty(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;
        uint8_t seed[STORE_SEED_BYTES] = {0};
        char byte;

        begin(&nor, shape);
        store_mount(&store, &nor.flash);
        assert_false(store.config_valid);
        assert_false(store.seed_valid);
        assert_non_null(strstr(store.config_problem, "no configuration"));
        assert_non_null(strstr(store.seed_problem, "no seed"));
        assert_int_equal(store_config_read(&store, 0, &byte, 1), E_MISSING);
        assert_int_equal(store_seed_replace(&store, seed), E_MISSING);
        assert_int_equal(nor.operations, 0);
        end(&nor);
    }
}

static void test_no_flash(void **state)
{
    struct store store;
    struct nor nor;
    uint8_t seed[STORE_SEED_BYTES] = {0};

    (void)state;
    store_mount(&store, NULL);
    assert_non_null(store.config_problem);
    assert_int_equal(store_config_write(&store, "a", 1), E_UNSUPPORTED);
    assert_int_equal(store_seed_create(&store, device_id, seed), E_UNSUPPORTED);
    assert_int_equal(store_seed_replace(&store, seed), E_MISSING);
    begin(&nor, 0);
    nor.flash.log_bytes = 3 * BLOCK; /* So small a ring could not keep what it must. */
    store_mount(&store, &nor.flash);
    assert_non_null(store.seed_problem);
    assert_int_equal(store_seed_create(&store, device_id, seed), E_UNSUPPORTED);
    end(&nor);
}

/* The text in force equals text, read in pieces of every small size. */
static void assert_text(const struct store *store, const char *text, size_t size)
{
    char copy[BLOCK];

    assert_true(store->config_valid);
    assert_null(store->config_problem);
    assert_int_equal(store->config_size, size);
    for (size_t piece = 1; piece < 100; piece += 33) {
        uint32_t offset = 0;
        int got;

        while ((got = store_config_read(store, offset, copy + offset, piece)) > 0) {
            offset += (uint32_t)got;
        }
        assert_int_equal(got, 0);
        assert_int_equal(offset, size);
        assert_memory_equal(copy, text, size);
    }
}

static void test_config_sizes(void **state)
{
    static const size_t sizes[] = {0,   1,   3,   4,    15,          16,         17,
                                   255, 256, 257, 1000, BLOCK - 257, BLOCK - 256};
    char text[BLOCK];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;

        begin(&nor, shape);
        store_mount(&store, &nor.flash);
        for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            text[0] = (char)('a' + i);
            assert_int_equal(store_config_write(&store, text, sizes[i]), 0);
            assert_text(&store, text, sizes[i]);
            store_mount(&store, &nor.flash);
            assert_text(&store, text, sizes[i]);
            assert_int_equal(store.config_sequence, i + 1);
            assert_int_equal(store.config_address, BLOCK * (1 + i % 2) + 256);
            assert_false(store.config_fallback);
        }
        assert_int_equal(store_config_write(&store, text, BLOCK - 255), E_SPACE);
        assert_text(&store, text, BLOCK - 256);
        end(&nor);
    }
}

/* A header as docs/flash-format.md says, not as the code does. */
static void craft_header(struct nor *nor, uint32_t address, const char *magic, uint16_t version,
                         uint16_t offset, const uint32_t words[5])
{
    uint8_t *at = nor->bytes + address;
    uint32_t crc;

    memcpy(at, magic, 4);
    at[4] = (uint8_t)version;
    at[5] = (uint8_t)(version >> 8);
    at[6] = (uint8_t)offset;
    at[7] = (uint8_t)(offset >> 8);
    for (unsigned i = 0; i < 20; i++) {
        at[8 + i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
    }
    crc = crc32_update(0, at, 28);
    for (unsigned i = 0; i < 4; i++) {
        at[28 + i] = (uint8_t)(crc >> (8 * i));
    }
}

static void craft_slot(struct nor *nor, unsigned slot, uint16_t version, uint32_t sequence,
                       const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    uint32_t words[5] = {sequence, size, crc32_update(0, text, size)};

    craft_header(nor, BLOCK * (1 + slot), "TCFG", version, 256, words);
    memcpy(nor->bytes + BLOCK * (1 + slot) + 256, text, size);
}

static void test_config_bytes(void **state)
{
    struct nor written, crafted;
    struct store store;

    (void)state;
    begin(&written, 0);
    begin(&crafted, 0);
    store_mount(&store, &written.flash);
    assert_int_equal(store_config_write(&store, "root=a@b\n", 9), 0);
    craft_slot(&crafted, 0, 1, 1, "root=a@b\n");
    assert_memory_equal(written.bytes, crafted.bytes, written.flash.size_bytes);
    end(&written);
    end(&crafted);
}

static void test_config_sequence_wraps(void **state)
{
    struct nor nor;
    struct store store;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 0xFFFFFFFE, "old");
    craft_slot(&nor, 1, 1, 0xFFFFFFFF, "newer");
    store_mount(&store, &nor.flash);
    assert_text(&store, "newer", 5);
    assert_int_equal(store_config_write(&store, "newest", 6), 0);
    assert_int_equal(store.config_sequence, 0);
    store_mount(&store, &nor.flash);
    assert_text(&store, "newest", 6);
    assert_int_equal(store_config_write(&store, "last", 4), 0);
    store_mount(&store, &nor.flash);
    assert_text(&store, "last", 4);
    end(&nor);
}

static void test_config_damage(void **state)
{
    struct nor nor;
    struct store store;

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 7, "one");
    craft_slot(&nor, 1, 1, 8, "two");
    nor.bytes[2 * BLOCK + 256] ^= 1;
    store_mount(&store, &nor.flash);
    assert_text(&store, "one", 3);
    assert_true(store.config_fallback);
    /* What is written now must beat the damaged one, even if it were to read well again. */
    assert_int_equal(store_config_write(&store, "three", 5), 0);
    assert_int_equal(store.config_sequence, 9);
    assert_false(store.config_fallback);
    nor.bytes[BLOCK + 256] ^= 1;
    nor.bytes[2 * BLOCK + 256] ^= 1;
    store_mount(&store, &nor.flash);
    assert_false(store.config_valid);
    assert_non_null(strstr(store.config_problem, "damaged"));
    assert_int_equal(store_config_write(&store, "four", 4), 0);
    store_mount(&store, &nor.flash);
    assert_text(&store, "four", 4);
    end(&nor);
}

/* Any header bit may be wrong: a length beyond the slot, a text elsewhere; nothing is read outside.
 */
static void test_config_hostile_header(void **state)
{
    static const uint32_t lengths[] = {0,     1,          BLOCK - 256, BLOCK - 255,
                                       BLOCK, 0x7FFFFFFF, 0xFFFFFFFF};
    struct nor nor;
    struct store store;

    (void)state;
    begin(&nor, 0);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint32_t offset = 0; offset < 0x10000; offset += 0x1FF) {
            uint32_t words[5] = {1, lengths[i], crc32_update(0, "", 0)};

            craft_header(&nor, BLOCK, "TCFG", 1, (uint16_t)offset, words);
            store_mount(&store, &nor.flash);
            assert_int_equal(store.config_valid,
                             lengths[i] == 0 && offset >= 32 && offset <= BLOCK);
            assert_null(nor.violation);
        }
    }
    end(&nor);
}

static void test_other_version(void **state)
{
    uint8_t seed[STORE_SEED_BYTES] = {0};
    struct nor nor;
    struct store store;
    uint32_t words[5] = {1};

    (void)state;
    begin(&nor, 0);
    craft_slot(&nor, 0, 1, 1, "mine");
    craft_slot(&nor, 1, 2, 2, "theirs");
    craft_header(&nor, 4 * BLOCK, "TLOG", 2, 32, words);
    store_mount(&store, &nor.flash);
    assert_false(store.config_valid); /* Not "mine": it was replaced. */
    assert_non_null(strstr(store.config_problem, "another version"));
    assert_non_null(strstr(store.seed_problem, "another version"));
    assert_int_equal(store_config_write(&store, "a", 1), E_UNSUPPORTED);
    assert_int_equal(store_seed_create(&store, device_id, seed), E_UNSUPPORTED);
    assert_int_equal(nor.operations, 0);
    craft_slot(&nor, 1, 2, 0, "theirs"); /* Older than ours: ours counts, but theirs stays. */
    store_mount(&store, &nor.flash);
    assert_text(&store, "mine", 4);
    assert_int_equal(store_config_write(&store, "a", 1), E_UNSUPPORTED);
    end(&nor);
}

/* Whether the text in force is `text`. */
static bool holds(const struct store *store, const char *text)
{
    char copy[512];
    int size = store_config_read(store, 0, copy, sizeof copy);

    return size == (int)strlen(text) && memcmp(copy, text, (size_t)size) == 0;
}

/* Cuts the write of `next` over `now` in every way; after each, one of both is in force, and the
 * next write goes through, itself cut at each operation when depth says so. Returns how many cuts
 * there were. */
static uint32_t cut_config_write(struct nor *nor, const char *now, const char *next, unsigned depth)
{
    uint8_t *before = malloc(nor->flash.size_bytes);
    uint32_t cuts = 0;

    assert_non_null(before);
    memcpy(before, nor->bytes, nor->flash.size_bytes);
    for (uint32_t n = 1;; n++) {
        bool cut = false;

        for (enum nor_cut kind = 0; kind < NOR_CUT_KINDS; kind++) {
            struct store store;
            int result;

            memcpy(nor->bytes, before, nor->flash.size_bytes);
            store_mount(&store, &nor->flash);
            nor_cut_in(nor, n, kind);
            result = store_config_write(&store, next, strlen(next));
            cut = nor->off;
            nor_power(nor);
            store_mount(&store, &nor->flash);
            assert_true(holds(&store, next) || (result < 0 && holds(&store, now)));
            if (!cut) {
                assert_int_equal(result, 0);
                break;
            }
            cuts++;
            if (depth > 0) {
                cuts += cut_config_write(nor, holds(&store, next) ? next : now, "root=third",
                                         depth - 1);
            }
            store_mount(&store, &nor->flash);
            assert_int_equal(store_config_write(&store, "last", 4), 0);
            store_mount(&store, &nor->flash);
            assert_true(holds(&store, "last"));
            assert_false(store.config_fallback);
        }
        if (!cut) {
            break;
        }
    }
    memcpy(nor->bytes, before, nor->flash.size_bytes);
    free(before);
    return cuts;
}

static void test_config_power_cuts(void **state)
{
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        static const char first[] = "root=first@example.com\nmailhub=mail.example.com\n";
        struct nor nor;
        struct store store;

        begin(&nor, shape);
        store_mount(&store, &nor.flash);
        assert_int_equal(store_config_write(&store, first, strlen(first)), 0);
        cuts += cut_config_write(&nor, first, "root=second@example.com\n", 1);
        assert_int_equal(store_config_write(&store, "second", 6), 0);
        cuts += cut_config_write(&nor, "second", "root=third@example.com\nhostname=x\n", 1);
        end(&nor);
    }
    print_message("configuration writes: %u power cuts\n", cuts);
    assert_true(cuts > 1000);
}

/* ---- seeds ---- */

/* The states that the device has built its random numbers on. */
struct used {
    uint32_t count;
    uint32_t boot_count; /* Of the last one. */
};

/* The seed is mixed with the boot count, so a state whose count is higher than any before is new.
 */
static void assert_fresh(const struct used *used, const struct store *store)
{
    assert_true(used->count == 0 || store->boot_count > used->boot_count);
}

/* One boot: mounts, replaces the seed, and only then uses what it had. Returns what replacing did.
 */
static int boot(struct nor *nor, struct store *store, struct used *used, uint32_t number)
{
    uint8_t next[STORE_SEED_BYTES];
    uint32_t boot_count;
    int result;

    store_mount(store, &nor->flash);
    assert_true(store->seed_valid);
    assert_memory_equal(store->device_id, device_id, sizeof device_id);
    assert_fresh(used, store);
    boot_count = store->boot_count;
    make_seed(number, next);
    result = store_seed_replace(store, next);
    if (result == 0) {
        used->count++;
        used->boot_count = boot_count;
        assert_memory_equal(store->seed, next, sizeof next);
        assert_true(store->boot_count > boot_count);
    }
    return result;
}

static void test_seed_many_boots(void **state)
{
    struct used used = {0};

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;
        uint8_t seed[STORE_SEED_BYTES];

        begin(&nor, shape);
        create(&nor, &store);
        assert_int_equal(store_seed_create(&store, device_id, store.seed), E_INVALID);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 6 * RECORDS; i++) { /* The ring goes round. */
            assert_int_equal(boot(&nor, &store, &used, i), 0);
            store_mount(&store, &nor.flash);
            make_seed(i, seed);
            assert_memory_equal(store.seed, seed, sizeof seed);
            assert_int_equal(store.boot_count, i);
        }
        end(&nor);
    }
}

static void test_seed_bytes(void **state)
{
    struct nor nor;
    struct store store;
    uint8_t *at, payload[44] = {0};
    uint32_t salt, words[5];

    (void)state;
    begin(&nor, 0);
    create(&nor, &store);
    at = nor.bytes + 4 * BLOCK;
    make_seed(0, payload + 12);
    memcpy(payload + 4, device_id, 8);
    salt = crc32_update(0, payload + 12, 32);
    assert_memory_equal(at, "TLOG\1\0\40\0\1\0\0\0\0\0\0\0", 16);
    words[0] = 1, words[1] = 0, words[2] = salt, words[3] = 1, words[4] = 0;
    craft_header(&nor, 3 * BLOCK, "TLOG", 1, 32, words);
    assert_memory_equal(at, nor.bytes + 3 * BLOCK, 32);
    assert_memory_equal(at + 32, "\x5A\1\54\0\1\0\0\0", 8);
    assert_memory_equal(at + 48, payload, sizeof payload);
    assert_int_equal(at[40] | at[41] << 8 | at[42] << 16 | (uint32_t)at[43] << 24,
                     crc32_update(salt, payload, sizeof payload));
    assert_int_equal(at[44] | at[45] << 8 | at[46] << 16 | (uint32_t)at[47] << 24,
                     crc32_update(salt, at + 32, 12));
    end(&nor);
}

/* A cut at each operation of one boot, in every way, and when depth says so of the boot after it.
 */
static uint32_t cut_boot(struct nor *nor, struct used *used, uint32_t number, unsigned depth)
{
    uint8_t *before = malloc(nor->flash.size_bytes);
    struct used used_before = *used;
    uint32_t cuts = 0;
    bool cut = true;

    assert_non_null(before);
    memcpy(before, nor->bytes, nor->flash.size_bytes);
    for (uint32_t n = 1; cut; n++) {
        for (enum nor_cut kind = 0; kind < NOR_CUT_KINDS && cut; kind++) {
            struct store store;
            int result;

            memcpy(nor->bytes, before, nor->flash.size_bytes);
            *used = used_before;
            nor_cut_in(nor, n, kind);
            result = boot(nor, &store, used, number);
            cut = nor->off;
            assert_int_equal(result < 0, cut);
            nor_power(nor);
            if (cut) {
                cuts++;
                cuts += depth > 0 ? cut_boot(nor, used, number + 1, depth - 1) : 0;
                assert_int_equal(boot(nor, &store, used, number + 1), 0);
                assert_int_equal(boot(nor, &store, used, number + 2), 0);
            }
        }
    }
    memcpy(nor->bytes, before, nor->flash.size_bytes);
    *used = used_before;
    free(before);
    return cuts;
}

static void test_seed_power_cuts(void **state)
{
    struct used used = {0};
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;

        begin(&nor, shape);
        create(&nor, &store);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 2 * RECORDS + 3; i++) {
            bool edge = i % RECORDS < 2; /* Where a block is opened: cut the recovery as well. */

            cuts += cut_boot(&nor, &used, i, edge || i == 5);
            assert_int_equal(boot(&nor, &store, &used, i), 0);
        }
        end(&nor);
    }
    print_message("seed replacements: %u power cuts\n", cuts);
    assert_true(cuts > 5000);
}

static void test_seed_cuts_in_a_row(void **state)
{
    struct used used = {0};

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;
        uint32_t count;

        begin(&nor, shape);
        create(&nor, &store);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 1500; i++) {
            nor_cut_in(&nor, 1 + nor_random(&nor) % 20, nor_random(&nor) % NOR_CUT_KINDS);
            (void)boot(&nor, &store, &used, i);
            nor_power(&nor);
        }
        count = store.boot_count;
        assert_int_equal(boot(&nor, &store, &used, 5000), 0);
        assert_true(store.boot_count >= count);
        end(&nor);
    }
}

/* Records are torn one after another until the ring has gone round: the one good seed is never
 * erased. */
static void test_seed_only_torn(void **state)
{
    struct used used = {0};
    uint8_t seed[STORE_SEED_BYTES];
    uint32_t last = 0, opened = 0;
    struct nor nor;
    struct store store;

    (void)state;
    begin(&nor, 0);
    create(&nor, &store);
    used = (struct used){0};
    make_seed(0, seed);
    for (uint32_t i = 1; opened < 3 * LOG_BLOCKS; i++) {
        bool full;

        store_mount(&store, &nor.flash);
        assert_true(store.seed_valid);
        assert_memory_equal(store.seed, seed, sizeof seed);
        assert_true(store.boot_count >= last);
        last = store.boot_count;
        full = store.log_next == STORE_NOWHERE || store.log_block + BLOCK - store.log_next < 64;
        opened += full;
        nor_cut_in(&nor, full ? 4 : 1, NOR_CUT_BITS); /* Behind erase and the header's two. */
        assert_int_equal(boot(&nor, &store, &used, i), E_IO);
        nor_power(&nor);
    }
    assert_true(last > 1000);
    assert_int_equal(boot(&nor, &store, &used, 9999), 0);
    end(&nor);
}

/* One bad bit anywhere in the log: no state comes again, and the device goes on if it has any seed.
 */
static void test_seed_rot(void **state)
{
    struct used used = {0};
    uint32_t lost = 0, kept = 0, cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct store store;

        begin(&nor, shape);
        create(&nor, &store);
        used = (struct used){0};
        for (uint32_t i = 1; i <= RECORDS + 4; i++) { /* The newest block has few records. */
            assert_int_equal(boot(&nor, &store, &used, i), 0);
        }
        for (uint32_t at = 0; at < 2 * BLOCK; at++) {
            nor.bytes[4 * BLOCK + at] ^= (uint8_t)(1u << at % 8);
            store_mount(&store, &nor.flash);
            if (store.seed_valid) {
                assert_fresh(&used, &store);
                kept++;
            } else {
                lost++;
            }
            if (at >= BLOCK &&
                at < BLOCK + 32) { /* The newest block's header, and a cut as well. */
                cuts += cut_boot(&nor, &used, RECORDS + 5, at % 32 == 5);
            }
            nor.bytes[4 * BLOCK + at] ^= (uint8_t)(1u << at % 8);
        }
        end(&nor);
    }
    assert_true(cuts > 100);
    print_message("one bad bit: seed kept %u times, given up %u times\n", kept, lost);
    assert_true(kept > 0);
}

/* The flash stops answering at any read: no older seed is taken for the newest. */
static void test_seed_unreadable(void **state)
{
    struct used used = {0};
    uint8_t next[STORE_SEED_BYTES] = {0};
    struct nor nor;
    struct store store;
    uint32_t reads;

    (void)state;
    begin(&nor, 0);
    create(&nor, &store);
    used = (struct used){0};
    for (uint32_t i = 1; i <= RECORDS + 4; i++) {
        assert_int_equal(boot(&nor, &store, &used, i), 0);
    }
    nor.reads = 0;
    store_mount(&store, &nor.flash);
    reads = nor.reads;
    for (uint32_t n = 1; n <= 2 * reads; n++) {
        nor.reads = 0;
        nor.fail_read = (n + 1) / 2;
        nor.fail_on = n % 2 != 0;
        store_mount(&store, &nor.flash);
        if (store.seed_valid) {
            assert_fresh(&used, &store);
            assert_true(!nor.fail_on || store_seed_replace(&store, next) == E_IO);
        } else {
            assert_non_null(store.seed_problem);
            assert_true(store_seed_create(&store, device_id, next) == E_UNSUPPORTED);
        }
    }
    nor.fail_read = 0;
    nor.fail_on = false;
    assert_int_equal(boot(&nor, &store, &used, 9999), 0);
    end(&nor);
}

/* A block that takes nothing is passed over; when all are such, that is an error and nothing is
 * used. */
static void test_dead_block(void **state)
{
    struct used used = {0};

    (void)state;
    for (uint32_t dead = 4; dead < 4 + LOG_BLOCKS; dead++) {
        struct nor nor;
        struct store store;

        begin(&nor, 1);
        nor.dead_block = dead;
        create(&nor, &store);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 5 * RECORDS; i++) {
            assert_int_equal(boot(&nor, &store, &used, i), 0);
        }
        end(&nor);
    }
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Records of kinds that this version does not write are passed over, also when one's header is bad
 * and what follows looks like the end of the log. */
static void test_other_records(void **state)
{
    struct nor nor;
    struct store store;
    uint8_t next[STORE_SEED_BYTES] = {9};
    uint8_t *at;
    uint32_t salt;

    (void)state;
    begin(&nor, 0);
    create(&nor, &store);
    salt = crc32_update(0, store.seed, STORE_SEED_BYTES);
    at = nor.bytes + 4 * BLOCK + 96;
    memset(at, 0, 16);
    at[0] = 0x5A, at[1] = 77, at[2] = 0x90, at[3] = 3, at[4] = 2; /* 912 bytes of payload. */
    put_u32(at + 8, crc32_update(salt, at + 16, 912));
    put_u32(at + 12, crc32_update(salt, at, 12));
    store_mount(&store, &nor.flash);
    assert_true(store.seed_valid);
    assert_int_equal(store.boot_count, 0);
    assert_int_equal(store.log_records, 2);
    assert_int_equal(store.log_next, 4 * BLOCK + 96 + 16 + 912);
    assert_int_equal(store_seed_replace(&store, next), 0);
    at[1] ^= 1;
    store_mount(&store, &nor.flash);
    assert_true(store.seed_valid);
    assert_memory_equal(store.seed, next, sizeof next);
    end(&nor);
}

/* Regions of random bytes, some with right headers: mounting ends, and nothing is read outside. */
static void test_random_bytes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        struct nor nor;
        struct store store;

        begin(&nor, round % SHAPES);
        nor.random += round * 7919;
        for (uint32_t i = 0; i < nor.flash.size_bytes; i++) {
            nor.bytes[i] = (uint8_t)(nor_random(&nor) >> (round % 3 * 8));
        }
        for (uint32_t block = 0; round % 2 != 0 && block < LOG_BLOCKS; block++) {
            uint32_t words[5] = {nor_random(&nor), nor_random(&nor), nor_random(&nor), 1, 1};

            craft_header(&nor, (4 + block) * BLOCK, "TLOG", 1,
                         (uint16_t)(nor_random(&nor) & 0x3FF0), words);
        }
        store_mount(&store, &nor.flash);
        assert_false(store.config_valid);
        assert_false(store.seed_valid);
        assert_int_equal(store_config_write(&store, "new", 3), 0);
        if (!store.log_locked) {
            create(&nor, &store);
        }
        end(&nor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_flash),
        cmocka_unit_test(test_config_sizes),
        cmocka_unit_test(test_config_bytes),
        cmocka_unit_test(test_config_sequence_wraps),
        cmocka_unit_test(test_config_damage),
        cmocka_unit_test(test_config_hostile_header),
        cmocka_unit_test(test_other_version),
        cmocka_unit_test(test_config_power_cuts),
        cmocka_unit_test(test_seed_many_boots),
        cmocka_unit_test(test_seed_bytes),
        cmocka_unit_test(test_seed_power_cuts),
        cmocka_unit_test(test_seed_cuts_in_a_row),
        cmocka_unit_test(test_seed_only_torn),
        cmocka_unit_test(test_seed_rot),
        cmocka_unit_test(test_seed_unreadable),
        cmocka_unit_test(test_dead_block),
        cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
