/* The log over a simulated NOR: its bytes, seeds, older and foreign formats, and what power cuts,
 * bad bits and bad blocks leave of a seed. Alerts are test_powercut.c's and test_damage.c's. */
#include "firmware/flash_io.h"
#include "firmware/journal.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define LOG_BLOCKS 6u
#define RECORDS_OFFSET 96u
#define RECORDS ((BLOCK - RECORDS_OFFSET) / 64) /* Seed records of one block. */

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
    flash.log_base = 4 * BLOCK; /* Not at 0, where a wrong sum would go unseen. */
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
static void make_seed(uint32_t number, uint8_t seed[JOURNAL_SEED_BYTES])
{
    for (uint32_t i = 0; i < JOURNAL_SEED_BYTES; i++) {
        seed[i] = (uint8_t)(number >> (8 * (i % 3)) ^ (i * 37));
    }
}

static const uint8_t device_id[JOURNAL_DEVICE_ID_BYTES] = {0xDE, 0xAD, 1, 2, 3, 4, 5, 6};

static void create(struct nor *nor, struct journal *journal)
{
    uint8_t seed[JOURNAL_SEED_BYTES];

    make_seed(0, seed);
    journal_mount(journal, &nor->flash, NULL);
    assert_int_equal(journal_seed_create(journal, device_id, seed), 0);
}

static void assert_seed(const struct journal *journal, uint32_t number)
{
    uint8_t seed[JOURNAL_SEED_BYTES];

    make_seed(number, seed);
    assert_true(journal->seed_valid);
    assert_memory_equal(journal->seed, seed, sizeof seed);
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

/* Each single wrong bit is found, in the bytes and in the sum; two are taken for none. */
static void test_wrong_bit(void **state)
{
    static const uint32_t sizes[] = {1, 12, 28, 44, 200, JOURNAL_PAYLOAD_MAX};
    uint8_t bytes[JOURNAL_PAYLOAD_MAX];
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = sizes[i], sum;

        for (uint32_t k = 0; k < size; k++) {
            bytes[k] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        }
        sum = crc32_update(77, bytes, size);
        for (uint32_t bit = 0; bit < size * 8; bit += 1 + size / 40) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(crc32_wrong_bit(sum ^ crc32_update(77, bytes, size), size), bit);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            assert_int_equal(crc32_wrong_bit(1u << bit, size), -2);
        }
        bytes[0] ^= 0x11;
        assert_int_equal(crc32_wrong_bit(sum ^ crc32_update(77, bytes, size), size), -1);
    }
}

static void test_empty(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        uint8_t seed[JOURNAL_SEED_BYTES] = {0};
        struct journal_record record;
        struct journal journal;
        struct nor nor;
        uint8_t byte;

        begin(&nor, shape);
        journal_mount(&journal, &nor.flash, NULL);
        assert_null(journal.problem);
        assert_false(journal.seed_valid);
        assert_non_null(strstr(journal.seed_problem, "no seed"));
        assert_int_equal(journal_seed_replace(&journal, seed), E_MISSING);
        assert_int_equal(journal_read(&journal, 4 * BLOCK, &record, &byte, 1), E_MISSING);
        assert_int_equal(nor.operations, 0);
        end(&nor);
    }
}

static void test_no_flash(void **state)
{
    uint8_t seed[JOURNAL_SEED_BYTES] = {0};
    struct journal_part part = {"a", 1};
    struct journal journal;
    uint32_t address;
    struct nor nor;

    (void)state;
    journal_mount(&journal, NULL, NULL);
    assert_non_null(journal.problem);
    assert_int_equal(journal_seed_create(&journal, device_id, seed), E_UNSUPPORTED);
    assert_true(journal_seed_replace(&journal, seed) < 0);
    assert_int_equal(journal_append(&journal, JOURNAL_ALERT, 1, &part, 1, &address), E_UNSUPPORTED);
    begin(&nor, 0);
    nor.flash.log_bytes = 5 * BLOCK; /* So small a ring could not keep what it must. */
    journal_mount(&journal, &nor.flash, NULL);
    assert_non_null(journal.problem);
    assert_int_equal(journal_seed_create(&journal, device_id, seed), E_UNSUPPORTED);
    assert_int_equal(nor.operations, 0);
    end(&nor);
}

/* --- Bytes as docs/flash-format.md says, not as the code does --- */

static void craft_header(struct nor *nor, uint32_t address, uint16_t version, uint16_t offset,
                         const uint32_t words[5])
{
    uint8_t *at = nor->bytes + address;

    memcpy(at, "TLOG", 4);
    put_u16(at + 4, version);
    put_u16(at + 6, offset);
    for (unsigned i = 0; i < 5; i++) {
        put_u32(at + 8 + 4 * i, words[i]);
    }
    put_u32(at + 28, crc32_update(0, at, 28));
}

static void craft_record(struct nor *nor, uint32_t address, uint32_t salt, uint8_t type,
                         uint32_t number, const void *payload, uint16_t length)
{
    uint8_t *at = nor->bytes + address;

    memset(at, 0, 16u + (length + 15u) / 16 * 16);
    at[0] = 0x5A;
    at[1] = type;
    put_u16(at + 2, length);
    put_u32(at + 4, number);
    memcpy(at + 16, payload, length);
    put_u32(at + 8, crc32_update(salt, at + 16, length));
    put_u32(at + 12, crc32_update(salt, at, 12));
}

static void seed_payload(uint32_t boot_count, uint32_t number, uint8_t payload[44])
{
    put_u32(payload, boot_count);
    memcpy(payload + 4, device_id, 8);
    make_seed(number, payload + 12);
}

static void test_seed_bytes(void **state)
{
    uint32_t words[5] = {1, 0, 0, 1, 1};
    struct journal journal;
    struct nor nor, crafted;
    uint8_t payload[44];

    (void)state;
    begin(&nor, 0);
    begin(&crafted, 0);
    create(&nor, &journal);
    seed_payload(0, 0, payload);
    words[2] = get_u32(nor.bytes + 4 * BLOCK + 16); /* The salt is the journal's own choice. */
    craft_header(&crafted, 4 * BLOCK, 2, RECORDS_OFFSET, words);
    craft_header(&crafted, 4 * BLOCK + 32, 2, RECORDS_OFFSET, words);
    craft_record(&crafted, 4 * BLOCK + RECORDS_OFFSET, words[2], JOURNAL_SEED, 0, payload, 44);
    assert_memory_equal(nor.bytes, crafted.bytes, nor.flash.size_bytes);
    end(&nor);
    end(&crafted);
}

/* A log of version 1: full blocks of seed records, the newest one half full. */
static uint32_t craft_version_1(struct nor *nor, uint32_t blocks, uint32_t in_last)
{
    const uint32_t in_block = (BLOCK - 32) / 64;
    uint32_t number = 0;

    for (uint32_t block = 0; block < blocks; block++) {
        uint32_t words[5] = {10 + block, number, 0xABCD0000 + block, 3, number};
        uint32_t count = block + 1 < blocks ? in_block : in_last;

        craft_header(nor, (4 + block) * BLOCK, 1, 32, words);
        for (uint32_t i = 0; i < count; i++) {
            uint8_t payload[44];

            seed_payload(number, number, payload);
            number++; /* Records were counted over all blocks. */
            craft_record(nor, (4 + block) * BLOCK + 32 + 64 * i, words[2], JOURNAL_SEED, number,
                         payload, 44);
        }
    }
    return number - 1;
}

/* ---- seeds ---- */

/* The states that the device has built its random numbers on. */
struct used {
    uint32_t count;
    uint32_t boot_count; /* Of the last one. */
};

/* The seed is mixed with the boot count, so a state whose count is higher than any before is new.
 */
static void assert_fresh(const struct used *used, const struct journal *journal)
{
    assert_true(used->count == 0 || journal->boot_count > used->boot_count);
}

/* One boot: mounts, replaces the seed, and only then uses what it had. Returns what replacing did.
 */
static int boot(struct nor *nor, struct journal *journal, struct used *used, uint32_t number)
{
    uint8_t next[JOURNAL_SEED_BYTES];
    uint32_t boot_count;
    int result;

    journal_mount(journal, &nor->flash, NULL);
    assert_true(journal->seed_valid);
    assert_memory_equal(journal->device_id, device_id, sizeof device_id);
    assert_fresh(used, journal);
    boot_count = journal->boot_count;
    make_seed(number, next);
    result = journal_seed_replace(journal, next);
    if (result == 0) {
        used->count++;
        used->boot_count = boot_count;
        assert_memory_equal(journal->seed, next, sizeof next);
        assert_true(journal->boot_count > boot_count);
    }
    return result;
}

static void test_seed_many_boots(void **state)
{
    struct used used = {0};

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct journal journal;
        uint8_t seed[JOURNAL_SEED_BYTES];

        begin(&nor, shape);
        create(&nor, &journal);
        assert_int_equal(journal_seed_create(&journal, device_id, journal.seed), E_INVALID);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 8 * RECORDS; i++) { /* The ring goes round. */
            assert_int_equal(boot(&nor, &journal, &used, i), 0);
            journal_mount(&journal, &nor.flash, NULL);
            make_seed(i, seed);
            assert_memory_equal(journal.seed, seed, sizeof seed);
            assert_int_equal(journal.boot_count, i);
        }
        end(&nor);
    }
}

/* A cut at each operation of one boot, in every way, and when depth says so of the boot after it.
 */
static uint32_t cut_boot(struct nor *nor, struct used *used, uint32_t number, unsigned depth)
{
    struct used used_before = *used;
    struct nor before;
    uint32_t cuts = 0;
    bool cut = true;

    nor_init(&before, &nor->flash, 1);
    nor_copy(&before, nor);
    for (uint32_t n = 1; cut; n++) {
        for (unsigned kind = 0; kind < NOR_CUT_KINDS && cut; kind++) {
            struct journal journal;
            int result;

            nor_copy(nor, &before);
            nor->random += 2 * (n * NOR_CUT_KINDS + kind);
            *used = used_before;
            nor_cut_in(nor, n, (enum nor_cut)kind);
            result = boot(nor, &journal, used, number);
            cut = nor->off;
            assert_int_equal(result < 0, cut);
            nor_power(nor);
            if (cut) {
                cuts++;
                cuts += depth > 0 ? cut_boot(nor, used, number + 1, depth - 1) : 0;
                assert_int_equal(boot(nor, &journal, used, number + 1), 0);
                assert_int_equal(boot(nor, &journal, used, number + 2), 0);
            }
        }
    }
    nor_copy(nor, &before);
    nor_free(&before);
    *used = used_before;
    return cuts;
}

static void test_seed_power_cuts(void **state)
{
    struct used used = {0};
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct journal journal;

        begin(&nor, shape);
        create(&nor, &journal);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 2 * RECORDS + 3; i++) {
            bool edge = i % RECORDS < 2; /* Where a block is opened: cut the recovery as well. */

            if (edge || i % 8 == 5) {
                cuts += cut_boot(&nor, &used, i, edge && shape % 2 == 0);
            }
            assert_int_equal(boot(&nor, &journal, &used, i), 0);
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
        struct journal journal;
        uint32_t count;

        begin(&nor, shape);
        create(&nor, &journal);
        used = (struct used){0};
        for (uint32_t i = 1; i <= 1500; i++) {
            nor_cut_in(&nor, 1 + nor_random(&nor) % 20, nor_random(&nor) % NOR_CUT_KINDS);
            (void)boot(&nor, &journal, &used, i);
            nor_power(&nor);
        }
        count = journal.boot_count;
        assert_int_equal(boot(&nor, &journal, &used, 5000), 0);
        assert_true(journal.boot_count >= count);
        end(&nor);
    }
}

/* Records are torn one after another until the ring has gone round: the one good seed is never
 * erased. */
static void test_seed_only_torn(void **state)
{
    struct used used = {0};
    uint8_t seed[JOURNAL_SEED_BYTES];
    uint32_t last = 0, opened = 0, operations;
    struct nor nor, before;
    struct journal journal;

    (void)state;
    begin(&nor, 0);
    begin(&before, 0);
    create(&nor, &journal);
    used = (struct used){0};
    make_seed(0, seed);
    for (uint32_t i = 1; opened < 3 * LOG_BLOCKS; i++) {
        bool full;

        journal_mount(&journal, &nor.flash, NULL);
        assert_true(journal.seed_valid);
        assert_memory_equal(journal.seed, seed, sizeof seed);
        assert_true(journal.boot_count >= last);
        last = journal.boot_count;
        full = journal.next == FLASH_NOWHERE || journal.block + BLOCK - journal.next < 64;
        opened += full;
        nor_copy(&before, &nor);
        assert_int_equal(boot(&nor, &journal, &used, i), 0);
        operations = nor.operations - before.operations;
        nor_copy(&nor, &before);
        used = (struct used){0};
        nor_cut_in(&nor, operations, NOR_CUT_BITS);
        assert_true(boot(&nor, &journal, &used, i) < 0);
        nor_power(&nor);
    }
    assert_true(last > 1000);
    assert_int_equal(boot(&nor, &journal, &used, 9999), 0);
    end(&nor);
    end(&before);
}

/* One bad bit anywhere in the log: no state comes again, and no seed is lost. */
static void test_seed_rot(void **state)
{
    struct used used = {0};
    uint32_t kept = 0, cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct nor nor;
        struct journal journal;

        begin(&nor, shape);
        create(&nor, &journal);
        used = (struct used){0};
        for (uint32_t i = 1; i <= RECORDS + 4; i++) { /* The newest block has few records. */
            assert_int_equal(boot(&nor, &journal, &used, i), 0);
        }
        for (uint32_t at = 0; at < 2 * BLOCK; at += at % BLOCK < RECORDS_OFFSET ? 1 : 5) {
            nor_flip(&nor, 4 * BLOCK + at, at % 8);
            journal_mount(&journal, &nor.flash, NULL);
            assert_fresh(&used, &journal);
            assert_seed(&journal, RECORDS + 4); /* One bit is put right. */
            kept++;
            if (at >= BLOCK && at < BLOCK + 32 && at % 4 == 1) {
                /* The newest block's header, and a cut as well. */
                cuts += cut_boot(&nor, &used, RECORDS + 5, at % 32 == 5 && shape == 0);
            }
            nor_flip(&nor, 4 * BLOCK + at, at % 8);
        }
        end(&nor);
    }
    assert_true(cuts > 100);
    print_message("one bad bit, %u times, and %u power cuts\n", kept, cuts);
}

/* The flash stops answering at any read: no older seed is taken for the newest. */
static void test_seed_unreadable(void **state)
{
    struct used used = {0};
    uint8_t next[JOURNAL_SEED_BYTES] = {0};
    struct nor nor;
    struct journal journal;
    uint32_t reads;

    (void)state;
    begin(&nor, 0);
    create(&nor, &journal);
    used = (struct used){0};
    for (uint32_t i = 1; i <= RECORDS + 4; i++) {
        assert_int_equal(boot(&nor, &journal, &used, i), 0);
    }
    nor.reads = 0;
    journal_mount(&journal, &nor.flash, NULL);
    reads = nor.reads;
    for (uint32_t n = 1; n <= 2 * reads; n++) {
        nor.reads = 0;
        nor.fail_read = (n + 1) / 2;
        nor.fail_on = n % 2 != 0;
        journal_mount(&journal, &nor.flash, NULL);
        if (journal.seed_valid) {
            assert_fresh(&used, &journal);
            assert_true(!nor.fail_on || journal_seed_replace(&journal, next) < 0);
        } else {
            assert_non_null(journal.seed_problem);
            assert_true(journal_seed_create(&journal, device_id, next) == E_UNSUPPORTED);
        }
    }
    nor.fail_read = 0;
    nor.fail_on = false;
    assert_int_equal(boot(&nor, &journal, &used, 9999), 0);
    end(&nor);
}

/* A bad block is passed over, in whichever way it is bad. */
static void test_dead_block(void **state)
{
    (void)state;
    for (unsigned death = 0; death < NOR_DEATH_KINDS; death++) {
        for (uint32_t dead = 4; dead < 4 + LOG_BLOCKS; dead++) {
            struct used used = {0};
            struct nor nor;
            struct journal journal;

            begin(&nor, 1);
            nor.dead_block = dead;
            nor.death = (enum nor_death)death;
            create(&nor, &journal);
            for (uint32_t i = 1; i <= 8 * RECORDS; i++) {
                assert_int_equal(boot(&nor, &journal, &used, i), 0);
            }
            end(&nor);
        }
    }
}

/* --- Other formats --- */

/* A log of version 1 is read, nothing is written to it, and a block of this version follows it. */
static void test_version_1(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        for (uint32_t blocks = 1; blocks <= LOG_BLOCKS; blocks += 1 + shape) {
            struct used used = {0};
            struct journal journal;
            struct nor nor;
            uint32_t last;

            begin(&nor, shape);
            last = craft_version_1(&nor, blocks, 5);
            journal_mount(&journal, &nor.flash, NULL);
            assert_null(journal.problem);
            assert_seed(&journal, last);
            assert_int_equal(journal.boot_count, last);
            assert_int_equal(journal.next_number, 1); /* Records were counted, not alerts. */
            assert_int_equal(nor.operations, 0);
            cut_boot(&nor, &used, 100000, blocks == 2 && shape == 0);
            assert_int_equal(boot(&nor, &journal, &used, 100000), 0);
            assert_seed(&journal, 100000);
            assert_int_equal(get_u16(nor.bytes + journal.block + 4), 2);
            assert_int_equal(journal.block, (4 + blocks % LOG_BLOCKS) * BLOCK);
            for (uint32_t i = 1; i <= 8 * RECORDS; i++) {
                assert_int_equal(boot(&nor, &journal, &used, 100000 + i), 0);
            }
            end(&nor);
        }
    }
}

/* A whole header of a version to come, also where only its copy is left: hands off. */
static void test_other_version(void **state)
{
    (void)state;
    for (uint32_t block = 4; block < 4 + LOG_BLOCKS; block++) {
        for (uint32_t copy = 0; copy < 2; copy++) {
            uint8_t seed[JOURNAL_SEED_BYTES] = {0};
            struct journal_part part = {"a", 1};
            struct journal journal;
            uint32_t words[5] = {0};
            uint32_t address, operations;
            struct nor nor;

            begin(&nor, 0);
            create(&nor, &journal);
            operations = nor.operations;
            craft_header(&nor, block * BLOCK + 32, 3, 96, words);
            if (copy == 0) {
                craft_header(&nor, block * BLOCK, 3, 96, words);
            } else {
                memset(nor.bytes + block * BLOCK, 0x55, 32);
            }
            journal_mount(&journal, &nor.flash, NULL);
            assert_false(journal.seed_valid);
            assert_non_null(strstr(journal.problem, "another version"));
            assert_int_equal(journal_seed_create(&journal, device_id, seed), E_UNSUPPORTED);
            assert_int_equal(journal_seed_replace(&journal, seed), E_UNSUPPORTED);
            assert_int_equal(journal_append(&journal, JOURNAL_ALERT, 1, &part, 1, &address),
                             E_UNSUPPORTED);
            assert_int_equal(nor.operations, operations);
            end(&nor);
        }
    }
}

/* Records of kinds that this version does not write are passed over, also when one's header is bad
 * and what follows looks like the end of the log. */
static void test_other_records(void **state)
{
    uint8_t payload[912];
    struct journal journal;
    struct nor nor;
    uint8_t next[JOURNAL_SEED_BYTES] = {9};
    uint32_t at = 4 * BLOCK + RECORDS_OFFSET + 64;

    (void)state;
    begin(&nor, 0);
    create(&nor, &journal);
    memset(payload, 0xFF, sizeof payload);
    craft_record(&nor, at, journal.salt, 77, 3, payload, sizeof payload);
    journal_mount(&journal, &nor.flash, NULL);
    assert_seed(&journal, 0);
    assert_int_equal(journal.boot_count, 0);
    assert_int_equal(journal.next, at + 16 + 912);
    assert_int_equal(journal_seed_replace(&journal, next), 0);
    nor.bytes[at + 1] ^= 3;
    journal_mount(&journal, &nor.flash, NULL);
    assert_true(journal.seed_valid);
    assert_memory_equal(journal.seed, next, sizeof next);
    end(&nor);
}

/* Regions of random bytes, some with right headers: mounting ends, and nothing is read outside. */
static void test_random_bytes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        struct nor nor;
        struct journal journal;

        begin(&nor, round % SHAPES);
        nor.random += round * 7919;
        for (uint32_t i = 0; i < nor.flash.size_bytes; i++) {
            nor.bytes[i] = (uint8_t)(nor_random(&nor) >> (round % 3 * 8));
        }
        for (uint32_t block = 0; round % 2 != 0 && block < LOG_BLOCKS; block++) {
            uint32_t words[5] = {nor_random(&nor), nor_random(&nor), nor_random(&nor), 1, 1};

            craft_header(&nor, (4 + block) * BLOCK, 1 + round / 2 % 2,
                         (uint16_t)(nor_random(&nor) & 0x3FF0), words);
        }
        journal_mount(&journal, &nor.flash, NULL);
        assert_false(journal.seed_valid);
        if (journal.problem == NULL) {
            create(&nor, &journal);
            journal_mount(&journal, &nor.flash, NULL);
            assert_seed(&journal, 0);
        }
        end(&nor);
    }
}

/* ---- singles as long as a record can be ---- */

static const struct {
    uint8_t type;
    uint16_t length;
} singles[] = {
    {JOURNAL_AUTHORITY, 491}, {JOURNAL_MAILBOX, JOURNAL_PAYLOAD_MAX}, {JOURNAL_DIARY, 211}};

#define SINGLES (sizeof singles / sizeof singles[0])

static void fill_single(size_t which, uint32_t version, uint8_t bytes[JOURNAL_PAYLOAD_MAX])
{
    for (uint32_t i = 0; i < singles[which].length; i++) {
        bytes[i] = (uint8_t)((version + which + 1) * 2654435761u >> (i % 24) ^ i * 89);
    }
}

static int write_single(struct journal *journal, size_t which, uint32_t version)
{
    uint8_t bytes[JOURNAL_PAYLOAD_MAX];
    struct journal_part part = {bytes, singles[which].length};
    uint32_t address;

    fill_single(which, version, bytes);
    return journal_append(journal, singles[which].type, 0, &part, 1, &address);
}

/* Which of its versions up to that one it is. */
static uint32_t single_version(struct journal *journal, size_t which, uint32_t newest)
{
    uint8_t bytes[JOURNAL_PAYLOAD_MAX], expected[JOURNAL_PAYLOAD_MAX];
    int length = journal_single(journal, singles[which].type, bytes, sizeof bytes);

    assert_int_equal(length, singles[which].length);
    for (uint32_t version = newest + 1; version-- > 0;) {
        fill_single(which, version, expected);
        if (memcmp(bytes, expected, (size_t)length) == 0) {
            return version;
        }
    }
    fail_msg("a single holds what was never written");
    return 0;
}

static void assert_singles(struct journal *journal, const uint32_t version[SINGLES])
{
    for (size_t i = 0; i < SINGLES; i++) {
        assert_int_equal(single_version(journal, i, version[i]), version[i]);
    }
}

static int filler(struct journal *journal, uint32_t number)
{
    static const uint8_t bytes[300] = {1, 2, 3};
    struct journal_part part = {bytes, 40 + number * 37 % 260};
    uint32_t address;

    return journal_append(journal, JOURNAL_MARK, number, &part, 1, &address);
}

/* The ring goes round several times; now and then a bit of one goes bad before it is carried. */
static void test_singles_carried(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        uint32_t version[SINGLES] = {0};
        struct journal journal;
        struct nor nor;

        begin(&nor, shape);
        create(&nor, &journal);
        for (size_t i = 0; i < SINGLES; i++) {
            assert_int_equal(write_single(&journal, i, 0), 0);
        }
        for (uint32_t n = 1; journal.blocks_erased < 8 * LOG_BLOCKS; n++) {
            size_t which = nor_random(&nor) % SINGLES;
            struct journal_record record;
            uint8_t byte;

            assert_int_equal(filler(&journal, n), 0);
            if (n % 29 == 0) {
                assert_int_equal(write_single(&journal, which, ++version[which]), 0);
            }
            if (n % 13 == 0) {
                uint32_t address = journal.single[singles[which].type];

                assert_true(journal_read(&journal, address, &record, &byte, 1) >= 0);
                if (!record.corrected) { /* Two would be too many. */
                    nor_flip(&nor, address + 16 + nor_random(&nor) % singles[which].length,
                             nor_random(&nor) % 8);
                }
            }
            assert_singles(&journal, version);
        }
        journal_mount(&journal, &nor.flash, NULL);
        assert_singles(&journal, version);
        assert_seed(&journal, 0);
        end(&nor);
    }
}

/* A cut in any way at each operation, all round the ring: the newest that was written stands, or
 * the one whose writing was cut. */
static void test_singles_power_cuts(void **state)
{
    uint32_t cuts = 0;

    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        uint32_t version[SINGLES] = {0};
        struct journal journal;
        struct nor nor;

        begin(&nor, shape);
        create(&nor, &journal);
        for (size_t i = 0; i < SINGLES; i++) {
            assert_int_equal(write_single(&journal, i, 0), 0);
        }
        for (uint32_t n = 1; n <= 1200; n++) {
            size_t which = n % SINGLES;

            nor_cut_in(&nor, 1 + nor_random(&nor) % 50, nor_random(&nor) % NOR_CUT_KINDS);
            while (!nor.off) {
                if (nor_random(&nor) % 4 != 0) {
                    (void)filler(&journal, n);
                } else if (write_single(&journal, which, version[which] + 1) == 0) {
                    version[which]++;
                } else if (nor.off) {
                    nor_power(&nor);
                    journal_mount(&journal, &nor.flash, NULL);
                    version[which] = single_version(&journal, which, version[which] + 1);
                    assert_int_equal(write_single(&journal, which, ++version[which]), 0);
                    break;
                }
            }
            cuts++;
            nor_power(&nor);
            journal_mount(&journal, &nor.flash, NULL);
            assert_null(journal.problem);
            assert_singles(&journal, version);
            assert_seed(&journal, 0);
        }
        end(&nor);
    }
    print_message("singles: %u power cuts\n", cuts);
}

/* The newest one goes bad: the one before it counts, and lives on. */
static void test_single_before(void **state)
{
    struct journal journal;
    struct nor nor;
    uint8_t bytes[JOURNAL_PAYLOAD_MAX];

    (void)state;
    begin(&nor, 0);
    create(&nor, &journal);
    assert_int_equal(journal_single(&journal, JOURNAL_DIARY, bytes, sizeof bytes), E_MISSING);
    assert_int_equal(write_single(&journal, 2, 1), 0);
    assert_int_equal(journal_single(&journal, JOURNAL_DIARY, bytes, 210), E_MISSING);
    assert_int_equal(write_single(&journal, 2, 2), 0);
    nor_flip(&nor, journal.single[JOURNAL_DIARY] + 20, 1);
    nor_flip(&nor, journal.single[JOURNAL_DIARY] + 90, 3);
    assert_int_equal(single_version(&journal, 2, 2), 1);
    for (uint32_t n = 1; journal.blocks_erased < 3 * LOG_BLOCKS; n++) {
        assert_int_equal(filler(&journal, n), 0);
    }
    assert_int_equal(single_version(&journal, 2, 2), 1);
    journal_mount(&journal, &nor.flash, NULL);
    assert_int_equal(single_version(&journal, 2, 2), 1);
    end(&nor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_wrong_bit),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_flash),
        cmocka_unit_test(test_seed_bytes),
        cmocka_unit_test(test_seed_many_boots),
        cmocka_unit_test(test_seed_power_cuts),
        cmocka_unit_test(test_seed_cuts_in_a_row),
        cmocka_unit_test(test_seed_only_torn),
        cmocka_unit_test(test_seed_rot),
        cmocka_unit_test(test_seed_unreadable),
        cmocka_unit_test(test_dead_block),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_other_version),
        cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_singles_carried),
        cmocka_unit_test(test_singles_power_cuts),
        cmocka_unit_test(test_single_before),
    };

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
