/* Who may command, exactly once: counters, one-time passwords, replays and forgeries, and power
 * cuts at every flash operation. */
#include "firmware/authority.h"
#include "net/text.h"
#include "tests/sim/nor.h"
#include "tests/sim/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define UNIX_MS 1800000000000u
#define DEVICE "c0ffee0405060708"
#define PHRASE "correct horse battery"

static const uint8_t key[DIGEST_KEY_BYTES] = "an HMAC key of thirty-two bytes.";
static const uint8_t other_key[DIGEST_KEY_BYTES] = "one that the device has not got.";

static struct nor nor;
static struct journal journal;
static struct config config;
static struct authority authority;
static const char *why;

static void chain(const char *seed, uint32_t sequence)
{
    config.otp.sequence = sequence;
    (void)text_copy(config.otp.seed, sizeof config.otp.seed, seed);
    assert_int_equal(otp_make(seed, PHRASE, sequence, config.otp.last), 0);
}

static void boot(void)
{
    journal_mount(&journal, &nor.flash, NULL);
    assert_null(journal.problem);
    authority_init(&authority, &journal, &config, DEVICE);
}

static int setup(void **state)
{
    struct flash flash = {.page_bytes = 256, .program_bytes = 4, .erased = 0xFF};
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {1};
    static const uint8_t seed[JOURNAL_SEED_BYTES] = {2};

    (void)state;
    flash.erase_bytes = BLOCK;
    flash.log_base = BLOCK;
    flash.log_bytes = 6 * BLOCK;
    flash.size_bytes = 8 * BLOCK;
    nor_init(&nor, &flash, 0xA0);
    config_defaults(&config);
    config.command_key_set = true;
    memcpy(config.command_key, key, sizeof key);
    chain("ke1234", 99);
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

/* What the text of a mail is to the device. */
static struct mailed *read_text(const char *text, size_t size)
{
    static struct mailed mailed;
    static struct mailed_keys keys;

    authority_keys(&authority, &keys);
    mailed_init(&mailed, &keys);
    mailed_push(&mailed, text, size);
    mailed_end(&mailed);
    return &mailed;
}

static struct mailed *signed_order(uint32_t counter, const char *command)
{
    static char text[2000];
    struct sim_order order = {.key = key, .device = DEVICE, .counter = counter, .command = command};

    return read_text(text, sim_order_signed(&order, text, sizeof text));
}

static struct mailed *otp_order(const char *seed, uint32_t sequence, const char *command)
{
    static char text[300];

    return read_text(text, sim_order_otp(seed, PHRASE, sequence, command, text, sizeof text));
}

static enum authority_verdict check(const struct mailed *mailed)
{
    return authority_check(&authority, mailed, UNIX_MS, &why);
}

static int take(const struct mailed *mailed)
{
    return authority_take(&authority, mailed, "id@example.test", "tocsin", 7, UNIX_MS);
}

static void run(const struct mailed *mailed)
{
    assert_int_equal(check(mailed), AUTHORITY_RUN);
    assert_int_equal(take(mailed), 0);
    assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
}

static void test_signed(void **state)
{
    (void)state;
    assert_int_equal(check(signed_order(5, "status")), AUTHORITY_RUN);
    assert_int_equal(take(signed_order(5, "status")), 0);
    assert_int_equal(check(signed_order(5, "status")), AUTHORITY_RESUME);
    boot();
    assert_int_equal(authority.counter, 5);
    assert_int_equal(authority.order.phase, AUTHORITY_TAKEN);
    assert_string_equal(authority.order.message_id, "id@example.test");
    assert_string_equal(authority.order.subject, "tocsin");
    assert_string_equal(authority.order.command, "status");
    assert_int_equal(authority.order.slot_sequence, 7);
    assert_int_equal(authority.order.unix_s, UNIX_MS / 1000);
    assert_int_equal(authority.order.next_number, journal.next_number);
    assert_int_equal(check(signed_order(5, "status")), AUTHORITY_RESUME);
    assert_int_equal(check(signed_order(5, "reboot")), AUTHORITY_REFUSED);
    assert_string_equal(why, "its counter was used before");
    assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
    assert_int_equal(check(signed_order(5, "status")), AUTHORITY_DONE);
    boot();
    assert_int_equal(check(signed_order(5, "status")), AUTHORITY_DONE);
    assert_int_equal(check(signed_order(4, "status")), AUTHORITY_REFUSED);
    assert_int_equal(check(signed_order(6, "status")), AUTHORITY_RUN);
    assert_int_equal(check(signed_order(UINT32_MAX, "status")), AUTHORITY_RUN);
    assert_int_equal(check(signed_order(0, "status")), AUTHORITY_REFUSED);
}

/* Orders that have ended are known for a while, though others came behind them: a QUIT that failed
 * leaves several mails. */
static void test_ended(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= AUTHORITY_ENDED_MAX + 2; i++) {
        run(signed_order(i, "status"));
    }
    boot();
    assert_int_equal(check(signed_order(1, "status")), AUTHORITY_REFUSED);
    for (uint32_t i = 2; i <= AUTHORITY_ENDED_MAX + 2; i++) {
        assert_int_equal(check(signed_order(i, "status")), AUTHORITY_DONE);
        assert_int_equal(check(signed_order(i, "report")), AUTHORITY_REFUSED);
    }
    assert_int_equal(authority.refused_in_a_row, AUTHORITY_ENDED_MAX + 2);
}

static void test_device_and_key(void **state)
{
    static char text[2000];
    struct sim_order order = {
        .key = key, .device = "c0ffee0405060709", .counter = 9, .command = "status"};

    (void)state;
    assert_int_equal(check(read_text(text, sim_order_signed(&order, text, sizeof text))),
                     AUTHORITY_REFUSED);
    assert_string_equal(why, "it is for another device");
    order.device = "C0FFEE0405060708";
    assert_int_equal(check(read_text(text, sim_order_signed(&order, text, sizeof text))),
                     AUTHORITY_RUN);
    order.key = other_key;
    assert_int_equal(check(read_text(text, sim_order_signed(&order, text, sizeof text))),
                     AUTHORITY_REFUSED);
    assert_int_equal(authority.refused, 2);
    order.key = key;
    config.command_key_set = false; /* Whatever the parser said. */
    authority.config = &config;
    {
        struct mailed *mailed = signed_order(10, "status");

        mailed->proof = MAILED_SIGNED;
        assert_int_equal(check(mailed), AUTHORITY_REFUSED);
    }
    assert_int_equal(check(read_text("hello", 5)), AUTHORITY_REFUSED);
    assert_int_equal(authority.refused, 3); /* What is no order is not counted. */
}

static void test_otp(void **state)
{
    (void)state;
    assert_int_equal(authority_otp_left(&authority), 99);
    assert_true(authority_on(&authority));
    assert_int_equal(check(otp_order("ke1234", 97, "status")), AUTHORITY_REFUSED);
    assert_string_equal(why, "the one-time password is not the next one");
    assert_int_equal(check(otp_order("ke1234", 99, "status")), AUTHORITY_REFUSED);
    assert_int_equal(check(otp_order("ke1235", 98, "status")), AUTHORITY_REFUSED);
    assert_int_equal(check(otp_order("ke1234", 98, "status")), AUTHORITY_RUN);
    assert_int_equal(take(otp_order("ke1234", 98, "status")), 0);
    assert_int_equal(authority_otp_left(&authority), 98);
    boot();
    assert_int_equal(authority_otp_left(&authority), 98);
    assert_int_equal(check(otp_order("ke1234", 98, "status")), AUTHORITY_RESUME);
    assert_int_equal(check(otp_order("ke1234", 98, "reboot")), AUTHORITY_REFUSED);
    assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
    assert_int_equal(check(otp_order("ke1234", 98, "status")), AUTHORITY_DONE);
    assert_int_equal(check(otp_order("ke1234", 97, "status")), AUTHORITY_RUN);
}

/* Down to the last one, which has number 0; then there is none, until a signed order brings more.
 */
static void test_otp_end(void **state)
{
    char text[60];
    uint8_t last[OTP_BYTES];

    (void)state;
    chain("ab1", 3);
    boot();
    for (uint32_t i = 3; i-- > 0;) {
        run(otp_order("ab1", i, "status"));
        boot();
    }
    assert_int_equal(authority_otp_left(&authority), 0);
    assert_int_equal(check(otp_order("ab1", 0, "report")), AUTHORITY_REFUSED);
    config.command_key_set = false;
    assert_false(authority_on(&authority));
    assert_int_equal(authority_otp_set(&authority, "5 xy"), E_INVALID);
    assert_int_equal(authority_otp_set(&authority, ""), E_INVALID);
    assert_int_equal(authority_otp_set(&authority, "5 xy1 00112233445566778"), E_INVALID);
    assert_int_equal(otp_make("xy1", PHRASE, 5, last), 0);
    text_print(text, sizeof text, "5 xy1 ");
    for (unsigned i = 0; i < OTP_BYTES; i++) {
        snprintf(text + strlen(text), 3, "%02x", last[i]);
    }
    assert_int_equal(authority_otp_set(&authority, text), 0);
    assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
    boot(); /* The configured chain is the same, so what was set counts. */
    assert_string_equal(authority.otp_seed, "xy1");
    assert_int_equal(check(otp_order("xy1", 4, "status")), AUTHORITY_RUN);
}

/* A trial with another chain that fails: what was used of the first one stays used. */
static void test_chains(void **state)
{
    (void)state;
    run(otp_order("ke1234", 98, "status"));
    run(otp_order("ke1234", 97, "status"));
    chain("other1", 50);
    boot();
    assert_int_equal(check(otp_order("ke1234", 96, "status")), AUTHORITY_REFUSED);
    run(otp_order("other1", 49, "status"));
    chain("ke1234", 99);
    boot();
    assert_int_equal(authority_otp_left(&authority), 97);
    assert_int_equal(check(otp_order("ke1234", 98, "mute x 1h")), AUTHORITY_REFUSED);
    assert_int_equal(check(otp_order("ke1234", 97, "mute x 1h")), AUTHORITY_REFUSED);
    run(otp_order("ke1234", 96, "status"));
    config.otp.sequence = 0;
    boot();
    assert_int_equal(authority_otp_left(&authority), 0);
    boot();
    chain("other1", 50);
    boot();
    assert_int_equal(authority_otp_left(&authority), 49);
    chain("third1", 10);
    boot();
    chain("ke1234", 99);
    boot();
    assert_int_equal(authority_otp_left(&authority), 96);
    chain("third1", 10);
    boot();
    assert_int_equal(authority_otp_left(&authority), 10);
}

static void test_limit(void **state)
{
    uint64_t unix_ms = UNIX_MS;
    unsigned ran = 0;

    (void)state;
    config.answers_per_hour = 12;
    for (unsigned minute = 0; minute < 600; minute++, unix_ms += 60000) {
        struct mailed *mailed = signed_order(minute + 1, "status");

        if (authority_check(&authority, mailed, unix_ms, &why) == AUTHORITY_RUN) {
            assert_int_equal(authority_take(&authority, mailed, "", "", 0, unix_ms), 0);
            authority_answered(&authority, unix_ms);
            assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
            ran++;
        } else {
            assert_int_equal(authority_check(&authority, mailed, unix_ms, &why), AUTHORITY_LATER);
            assert_int_equal(authority_check(&authority, mailed, 0, &why), AUTHORITY_RUN);
        }
        if (minute == 59) {
            assert_in_range(ran, 10, 12);
        }
        if (minute % 50 == 0) {
            boot();
        }
    }
    assert_in_range(ran, 85, 120);
    unix_ms -= 3600000000; /* A clock that went back makes nobody wait for weeks. */
    assert_int_equal(
        authority_check(&authority, signed_order(1000, "status"), unix_ms + 3600000, &why),
        AUTHORITY_LATER);
    assert_int_equal(
        authority_check(&authority, signed_order(1000, "report"), UNIX_MS + 40000000, &why),
        AUTHORITY_RUN);
}

static void test_in_hand(void **state)
{
    struct mailed *mailed = signed_order(1, "config import");

    (void)state;
    assert_int_equal(take(mailed), 0);
    assert_int_equal(check(signed_order(2, "status")), AUTHORITY_LATER);
    assert_int_equal(check(otp_order("ke1234", 98, "status")), AUTHORITY_LATER);
    assert_int_equal(
        authority_check(&authority, signed_order(2, "status"), UNIX_MS + 3600000, &why),
        AUTHORITY_RUN); /* Its mail is gone, it seems. */
    assert_int_equal(authority_phase(&authority, AUTHORITY_TRIAL), 0);
    boot();
    assert_int_equal(
        authority_check(&authority, signed_order(2, "status"), UNIX_MS + 3600000, &why),
        AUTHORITY_LATER);
    assert_int_equal(check(signed_order(1, "config import")), AUTHORITY_LATER);
    authority.order.started = true;
    assert_int_equal(authority_phase(&authority, AUTHORITY_TRIAL), 0);
    boot();
    assert_int_equal(check(signed_order(1, "config import")), AUTHORITY_DONE);
    assert_int_equal(authority_phase(&authority, AUTHORITY_ENDED), 0);
    assert_int_equal(check(signed_order(2, "status")), AUTHORITY_RUN);
}

static void test_alarm(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        (void)check(otp_order("ke1234", 3, "status"));
        assert_int_equal(authority_alarm(&authority, 5000 + i), i == 2);
    }
    assert_false(authority_alarm(&authority, 5002 + 3599999));
    assert_true(authority_alarm(&authority, 5002 + 3600000));
    assert_false(authority_alarm(&authority, 5002 + 9000000));
    (void)check(otp_order("ke1234", 3, "status"));
    (void)check(otp_order("ke1234", 3, "status"));
    assert_int_equal(take(signed_order(1, "status")), 0);
    (void)check(otp_order("ke1234", 3, "status"));
    assert_false(authority_alarm(&authority, 90000000));
}

static void test_names(void **state)
{
    static char id[300], subject[300];

    (void)state;
    memset(id, 'i', 299);
    memset(subject, 's', 299);
    memcpy(subject + AUTHORITY_SUBJECT_BYTES - 2, "\xC3\xA4", 2);
    assert_int_equal(authority_take(&authority, signed_order(1, "config set auth_pass = hush"), id,
                                    subject, 0, 0),
                     0);
    boot();
    assert_string_equal(authority.order.message_id, "");
    assert_int_equal(strlen(authority.order.subject), AUTHORITY_SUBJECT_BYTES - 2);
    assert_string_equal(authority.order.command, "config set");
    id[AUTHORITY_ID_BYTES - 1] = '\0';
    assert_int_equal(authority_take(&authority, signed_order(2, "status"), id, "a\nb\r", 0, 0), 0);
    boot();
    assert_string_equal(authority.order.message_id, id);
    assert_string_equal(authority.order.subject, "a b ");
    assert_int_equal(authority_take(&authority, signed_order(3, "status"), "a b@c", "", 0, 0), 0);
    assert_string_equal(authority.order.message_id, "");
    assert_int_equal(authority_take(&authority, signed_order(4, "status"), "a>b@c", "", 0, 0), 0);
    assert_string_equal(authority.order.message_id, "");
}

/* Flash that takes nothing: nothing runs. */
static void test_no_flash(void **state)
{
    (void)state;
    run(signed_order(1, "status"));
    nor.off = true;
    assert_int_equal(check(signed_order(2, "status")), AUTHORITY_RUN);
    assert_true(take(signed_order(2, "status")) < 0);
    assert_int_equal(check(signed_order(2, "status")), AUTHORITY_RUN);
    assert_int_equal(authority.counter, 1);
    assert_true(take(otp_order("ke1234", 98, "status")) < 0);
    assert_int_equal(authority_otp_left(&authority), 99);
    assert_int_equal(check(signed_order(1, "status")), AUTHORITY_DONE);
    nor.off = false;
    nor_power(&nor);
}

/* ---- power cuts ---- */

/* The device takes orders 1, 2, 3 ... as they come, runs each, and loses power at any operation;
 * their mails stay until they have ended. ran: how often an order was begun anew; resumed: how
 * often it was told that it may have run. */
static struct {
    uint32_t done; /* Mails of these and of smaller numbers are gone. */
    unsigned ran[64], resumed[64];
} world;

static struct mailed *order_number(uint32_t number)
{
    return number % 3 == 0 ? otp_order("ke1234", 99 - number / 3, "status")
                           : signed_order(number, number % 2 == 0 ? "report" : "help");
}

/* What a session does. False: power is lost. */
static bool session(uint32_t number)
{
    struct mailed *mailed = order_number(number);
    enum authority_verdict verdict = check(mailed);

    assert_int_not_equal(verdict, AUTHORITY_REFUSED);
    assert_int_not_equal(verdict, AUTHORITY_LATER);
    if (verdict == AUTHORITY_RUN) {
        if (take(mailed) < 0) {
            return false;
        }
        world.ran[number]++;
    }
    world.resumed[number] += verdict == AUTHORITY_RESUME;
    if (verdict != AUTHORITY_DONE && authority_phase(&authority, AUTHORITY_ENDED) < 0) {
        return false;
    }
    world.done = number;
    return true;
}

static void test_cuts(void **state)
{
    unsigned cuts = 0;

    (void)state;
    for (unsigned kind = 0; kind < NOR_CUT_KINDS_ALL; kind++) {
        for (uint32_t n = 1; n < 40; n++) {
            teardown(NULL);
            setup(NULL);
            memset(&world, 0, sizeof world);
            nor.random ^= n * 77 + kind;
            for (uint32_t number = 1; number <= 30;) {
                nor_cut_in(&nor, n, (enum nor_cut)kind);
                while (number <= 30 && session(number)) {
                    number++;
                }
                cuts += nor.off;
                nor_power(&nor);
                boot();
                /* One that ended without the mail's deletion is known, and does nothing. */
                if (number > 1 && number <= 30 && world.done == number - 1) {
                    assert_int_equal(check(order_number(number - 1)), AUTHORITY_DONE);
                }
                if (number <= 30 && session(number)) { /* Else it might never get on. */
                    number++;
                }
            }
            for (uint32_t number = 1; number <= 30; number++) {
                if (world.ran[number] > 1 || world.ran[number] + world.resumed[number] == 0) {
                    fail_msg("order %u ran %u times: kind %s, n %u", (unsigned)number,
                             world.ran[number], nor_cut_name((enum nor_cut)kind), (unsigned)n);
                }
            }
        }
    }
    print_message("%u cuts\n", cuts);
}

/* A record that was torn may read right at the start, and never again. What that start took it for
 * stays, however long the log goes on before anything else is written of it. */
static void test_reads_once(void **state)
{
    static const uint8_t bytes[300];
    struct journal_part part = {bytes, sizeof bytes};
    uint32_t torn, address;

    (void)state;
    run(signed_order(1, "status"));
    assert_int_equal(take(signed_order(2, "reboot")), 0);
    torn = journal.single[JOURNAL_AUTHORITY];
    boot();
    nor_flip(&nor, torn + 20, 1);
    nor_flip(&nor, torn + 90, 5);
    for (uint32_t number = 1; journal.blocks_erased < 20; number++) {
        assert_int_equal(journal_append(&journal, JOURNAL_MARK, number, &part, 1, &address), 0);
    }
    boot();
    assert_int_equal(authority.counter, 2);
    assert_int_equal(check(signed_order(2, "reboot")), AUTHORITY_RESUME);
}

/* ---- forgeries ---- */

static uint32_t dice(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* What someone does to a mail who reads and writes the mailbox, and has no key. */
static size_t forge(char *text, size_t size, size_t room, const char *other, size_t other_size,
                    uint32_t *random)
{
    size_t at = dice(random) % size, to = dice(random) % size, part = 1 + dice(random) % 40;

    switch (dice(random) % 7) {
    case 0: /* A bit. */
        text[at] ^= (char)(1u << dice(random) % 8);
        return size;
    case 1: /* Its end. */
        return at;
    case 2: /* Its beginning. */
        memmove(text, text + at, size - at);
        return size - at;
    case 3: /* Two pieces change places. */
        for (size_t i = 0; i < part && at + i < size && to + i < size; i++) {
            char c = text[at + i];

            text[at + i] = text[to + i];
            text[to + i] = c;
        }
        return size;
    case 4: /* A piece is taken out. */
        part = part < size - at ? part : size - at;
        memmove(text + at, text + at + part, size - at - part);
        return size - part;
    case 5: /* A piece comes twice. */
        part = part < size - at && size + part < room ? part : 0;
        memmove(text + at + part, text + at, size - at);
        return size + part;
    default: /* The rest is another order's. */
        at = at < other_size ? at : 0;
        memcpy(text + at, other + at, other_size - at);
        return other_size;
    }
}

/* Of thousands of mails made of two orders that ran, and of one that may run, none is taken for
 * anything but what it is. */
static void test_forged(void **state)
{
    static char texts[4][2000], text[4000];
    static const char *const commands[] = {"status", "mute router1 2h", "reboot", "reboot"};
    size_t sizes[4];
    uint8_t fresh[DIGEST_SHA256_BYTES];
    uint32_t random = 7;
    unsigned known = 0, refused = 0;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct sim_order order = {
            .key = key, .device = DEVICE, .counter = 10 + i, .command = commands[i]};

        sizes[i] = sim_order_signed(&order, texts[i], sizeof texts[i]);
    }
    sizes[3] = sim_order_otp("ke1234", PHRASE, 98, commands[3], texts[3], sizeof texts[3]);
    run(read_text(texts[0], sizes[0]));
    run(read_text(texts[1], sizes[1]));
    run(read_text(texts[3], sizes[3]));
    memcpy(fresh, read_text(texts[2], sizes[2])->hash, sizeof fresh);
    for (unsigned n = 0; n < 20000; n++) {
        unsigned which = dice(&random) % 4, other = dice(&random) % 4;
        size_t size = sizes[which];
        struct mailed *mailed;
        enum authority_verdict verdict;

        memcpy(text, texts[which], size);
        for (unsigned times = 1 + dice(&random) % 3; times > 0 && size > 0; times--) {
            size = forge(text, size, sizeof text, texts[other], sizes[other], &random);
        }
        mailed = read_text(text, size);
        verdict = check(mailed);
        assert_int_not_equal(verdict, AUTHORITY_RESUME);
        if (verdict == AUTHORITY_RUN) { /* It is that order, not a bit of it changed. */
            assert_memory_equal(mailed->hash, fresh, sizeof fresh);
            assert_string_equal(mailed->command, commands[2]);
            assert_int_equal(mailed->counter, 12);
            known++;
        }
        refused += verdict == AUTHORITY_REFUSED;
    }
    print_message("of 20000: %u are the order that may run, %u are refused\n", known, refused);
    assert_true(known > 100 && refused > 5000);
    assert_int_equal(authority.counter, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_signed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_and_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_otp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_otp_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chains, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alarm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_flash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
