/* Which messages are new, against a model of a mailbox that does to its messages what servers,
 * other programs and faults do, over histories made of seeds.
 *
 *     test_mailbox          all of it; TOCSIN_MAILBOX=10: ten times as many histories
 *     test_mailbox SEED     one history again, which is what a failure prints
 */
#include "firmware/mailbox.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES_MAX 21000
#define IDS_MAX 200000
#define ACCOUNT 0x1234
#define DAY_S 86400u
#define LOOKS_MAX 600 /* What one session may look at. */

struct message {
    uint32_t id; /* Of the message, whatever mailbox it comes back to. */
    uint32_t octets;
    uint32_t sequence;
    uint32_t key;
};

/* What became of a message. */
enum looks { NOT_LOOKED, LOOKED, TO_WAIT, WAITED, FORGOTTEN };

enum order { OLDEST_FIRST, NEWEST_FIRST, BY_HASH, SHUFFLED, ORDERS };

/* What one session may suffer and do. */
struct session {
    unsigned steps;          /* It ends after so many; 0: no limit. */
    unsigned errors;         /* One answer in so many is an error; 0: none. */
    unsigned deletes, later; /* One message in so many is deleted, is to wait; 0: none. */
    bool quit_fails, not_saved;
};

struct world {
    struct nor nor;
    struct journal journal;
    uint32_t random;
    struct message messages[MESSAGES_MAX];
    struct message kept[MESSAGES_MAX]; /* A backup of the server's. */
    size_t count, kept_count;
    uint32_t ids, sequence;
    enum order order;
    bool no_uidl, claims_uidl;
    uint32_t duplicates; /* Ids above this one share their unique ids in pairs; 0: none do. */
    uint32_t now_s;
    uint8_t looks[IDS_MAX]; /* enum looks. */
    uint32_t came_s[IDS_MAX];

    /* Of the last session. */
    bool complete;
    unsigned asked, lists, looked, deleted;
    uint32_t bytes; /* Up and down, but for the messages themselves. */
    uint32_t first_looks[LOOKS_MAX * 2];
    unsigned errors;
};

static struct world world;
static uint32_t seed_now;

static uint32_t dice(uint32_t sides)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 17;
    world.random ^= world.random << 5;
    return (uint32_t)((uint64_t)world.random * sides >> 32);
}

static bool one_in(uint32_t sides)
{
    return sides != 0 && dice(sides) == 0;
}

static void check(bool right, const char *what)
{
    if (!right) {
        print_error("%s\nagain: build/host/tests/test_mailbox %u\n", what, (unsigned)seed_now);
        fail();
    }
}

static void uid_of(uint32_t id, char out[32])
{
    if (world.duplicates != 0 && id > world.duplicates) {
        id = id / 2 * 2;
    }
    snprintf(out, 32, "%08x%06x", id, id * 7919 % 65537);
}

/* ---- what happens to the mailbox ---- */

static void begin(uint32_t seed)
{
    static const struct flash shape = {
        .size_bytes = 24 * 4096,
        .erase_bytes = 4096,
        .page_bytes = 256,
        .program_bytes = 1,
        .erased = 0xFF,
        .config_base = 4096,
        .config_bytes = 8192,
        .log_base = 4 * 4096,
        .log_bytes = 20 * 4096,
    };

    memset(&world, 0, sizeof world);
    seed_now = seed;
    world.random = seed * 2654435761u | 1;
    world.now_s = 1800000000;
    nor_init(&world.nor, &shape, seed);
    journal_mount(&world.journal, &world.nor.flash, NULL);
    dice(2);
}

static void end(void)
{
    check(world.nor.violation == NULL, "flash");
    nor_free(&world.nor);
}

static void put_sized(uint32_t octets)
{
    struct message *message = &world.messages[world.count++];

    assert_true(world.count < MESSAGES_MAX && world.ids + 1 < IDS_MAX);
    message->id = ++world.ids;
    message->octets = octets;
    message->sequence = ++world.sequence;
    message->key = dice(UINT32_MAX);
    world.came_s[message->id] = world.now_s;
}

static void put(uint32_t count)
{
    while (count-- > 0) {
        put_sized(500 + dice(1u << 26));
    }
}

static void drop(size_t index)
{
    world.count--;
    memmove(&world.messages[index], &world.messages[index + 1],
            (world.count - index) * sizeof world.messages[0]);
}

static void drop_some(uint32_t count)
{
    while (count-- > 0 && world.count > 0) {
        drop(dice((uint32_t)world.count));
    }
}

/* All ids become others, as when an IMAP mailbox gets a new UIDVALIDITY. */
static void rename_all(void)
{
    for (size_t i = 0; i < world.count; i++) {
        assert_true(world.ids + 1 < IDS_MAX);
        world.messages[i].id = ++world.ids;
        world.came_s[world.ids] = world.now_s;
    }
}

static int compare_messages(const void *a, const void *b)
{
    const struct message *one = a, *other = b;

    switch (world.order) {
    case OLDEST_FIRST:
        return one->sequence < other->sequence ? -1 : 1;
    case NEWEST_FIRST:
        return one->sequence > other->sequence ? -1 : 1;
    default:
        return one->key != other->key ? (one->key < other->key ? -1 : 1)
                                      : (one->sequence < other->sequence ? -1 : 1);
    }
}

static void number_all(void)
{
    for (size_t i = 0; world.order == SHUFFLED && i < world.count; i++) {
        world.messages[i].key = dice(UINT32_MAX);
    }
    if (world.count > 0) {
        qsort(world.messages, world.count, sizeof world.messages[0], compare_messages);
    }
}

/* ---- a session ---- */

static void tell(struct mailbox *mailbox, const struct session *session, uint32_t number)
{
    char uid[32];

    world.asked++;
    world.bytes += 50 + 14;
    assert_true(number > 0);
    if (number > world.count || one_in(session->errors)) {
        world.errors += number <= world.count;
        mailbox_told(mailbox, dice(2) ? E_MISSING : E_TRANSIENT, "", 0);
        return;
    }
    uid_of(world.messages[number - 1].id, uid);
    mailbox_told(mailbox, 0, world.no_uidl ? "" : uid, world.messages[number - 1].octets);
}

static void list(struct mailbox *mailbox, const struct session *session)
{
    char uid[32];
    uint32_t upto = (uint32_t)world.count;

    world.lists++;
    world.bytes += 12;
    check(!world.no_uidl || world.claims_uidl, "UIDL of a server without");
    if (world.no_uidl) {
        mailbox_items_end(mailbox, E_MISSING);
        return;
    }
    if (one_in(session->errors)) {
        world.errors++;
        mailbox_items_end(mailbox, dice(2) ? E_MISSING : E_TRANSIENT);
        return;
    }
    for (uint32_t i = 1; i <= upto; i++) {
        uid_of(world.messages[i - 1].id, uid);
        world.bytes += (uint32_t)snprintf(NULL, 0, "%u %s\r\n", (unsigned)i, uid);
        mailbox_item(mailbox, i, uid);
    }
    mailbox_items_end(mailbox, 0);
}

static void look(struct mailbox *mailbox, const struct session *session, uint32_t number,
                 uint32_t *deleted)
{
    struct message *message = &world.messages[number - 1];
    enum mailbox_fate fate = MAILBOX_KEPT;
    bool may_wait;

    check(number > 0 && number <= world.count, "a look at nothing");
    check(world.looked < LOOKS_MAX, "more looks than a session may take");
    world.first_looks[world.looked++] = message->id;
    check(world.looks[message->id] != TO_WAIT || number + 8 > world.count, "twice in a session");
    /* What was left alone once is not told to wait when it comes again. */
    may_wait = world.looks[message->id] != LOOKED;
    world.looks[message->id] = LOOKED;
    if (one_in(session->deletes)) {
        deleted[world.deleted++] = message->id;
        fate = MAILBOX_DELETED;
    } else if (may_wait && one_in(session->later)) {
        fate = MAILBOX_LATER;
        world.looks[message->id] = session->not_saved ? FORGOTTEN : TO_WAIT;
    }
    mailbox_looked(mailbox, fate);
}

static void quit(const uint32_t *deleted)
{
    for (unsigned i = 0; i < world.deleted; i++) {
        for (size_t j = 0; j < world.count; j++) {
            if (world.messages[j].id == deleted[i]) {
                drop(j);
                break;
            }
        }
    }
}

static void run(const struct session *session)
{
    static uint32_t deleted[LOOKS_MAX];
    static struct mailbox mailbox;
    static struct mailbox_memory memory;
    struct mailbox_step step;
    uint64_t octets = 0;
    unsigned steps = 0;
    int error;

    number_all();
    for (size_t i = 0; i < world.count; i++) {
        uint32_t id = world.messages[i].id;

        octets += world.messages[i].octets;
        world.looks[id] = world.looks[id] == TO_WAIT ? WAITED : world.looks[id];
    }
    world.asked = world.lists = world.looked = world.deleted = world.errors = 0;
    world.bytes = 6 + 20;
    memset(&mailbox, 0xA5, sizeof mailbox);
    memset(&memory, 0x5A, sizeof memory);
    mailbox_load(&world.journal, ACCOUNT, &memory);
    mailbox_begin(&mailbox, &memory, (uint32_t)world.count, octets,
                  !world.no_uidl || world.claims_uidl, world.now_s);
    while (mailbox_step(&mailbox, &step) && (session->steps == 0 || steps < session->steps)) {
        check(++steps < 4 * LOOKS_MAX, "a session without end");
        if (step.ask == MAILBOX_ASK) {
            tell(&mailbox, session, step.number);
        } else if (step.ask == MAILBOX_LIST) {
            list(&mailbox, session);
        } else {
            look(&mailbox, session, step.number, deleted);
        }
    }
    check(world.lists <= 2, "more than two listings");
    world.complete = world.errors == 0 && !mailbox_step(&mailbox, &step) &&
                     mailbox_left_count(&mailbox) <= MAILBOX_LATER_MAX &&
                     mailbox_left_count(&mailbox) == memory.later_count;
    mailbox_end(&mailbox);
    if (!session->quit_fails) {
        quit(deleted);
    }
    if (!session->not_saved) {
        error = mailbox_save(&world.journal, &memory);
        check(error == 0, "flash does not take it");
    }
}

static unsigned unlooked(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < world.count; i++) {
        count += world.looks[world.messages[i].id] == NOT_LOOKED;
    }
    return count;
}

/* ---- tests of one thing ---- */

static const struct session plain;

/* Until there is nothing more to do. Returns the number of sessions. */
static unsigned run_all(void)
{
    unsigned sessions = 0;

    do {
        run(&plain);
        world.now_s += 300;
        check(++sessions < 100, "sessions without end");
    } while (!world.complete);
    return sessions;
}

static void test_empty(void **state)
{
    (void)state;
    begin(1);
    run(&plain);
    assert_true(world.complete);
    assert_int_equal(world.asked + world.lists, 0);
    put(1);
    run(&plain);
    assert_int_equal(world.looked, 1);
    assert_int_equal(world.lists, 0);
    run(&plain);
    assert_int_equal(world.looked, 0);
    drop(0);
    run(&plain);
    assert_int_equal(world.asked + world.lists, 0);
    put(2);
    run(&plain);
    assert_int_equal(world.looked, 2);
    end();
}

/* Orders come as they were sent: one may build on another. */
static void test_in_order(void **state)
{
    (void)state;
    begin(11);
    for (unsigned i = 0; i < 3; i++) {
        put(i == 0 ? 500 : 15);
        if (i == 2) { /* Found by all ids. */
            world.messages[100].id = ++world.ids;
            drop(world.count - 16);
        }
        run(&plain);
        for (unsigned j = 1; j < world.looked; j++) {
            assert_true(i == 2 || world.first_looks[j] > world.first_looks[j - 1]);
        }
        assert_int_equal(world.looked, i == 0 ? 500 : i == 1 ? 15 : 16);
    }
    for (unsigned j = 2; j < world.looked; j++) {
        assert_true(world.first_looks[j] > world.first_looks[j - 1]);
    }
    end();
    begin(12);
    put(2000);
    run(&plain);
    for (unsigned j = 1; j < 256; j++) {
        assert_true(world.first_looks[j] == world.first_looks[j - 1] + 1);
    }
    assert_int_equal(world.first_looks[255], world.ids);
    end();
    /* A session that ends among the first ones is gone on with. */
    begin(13);
    put(1000);
    run(&(struct session){.steps = 100});
    assert_int_equal(world.first_looks[49], 1000 - 256 + 50);
    put(1);
    run(&plain);
    assert_int_equal(world.first_looks[0], 1000 - 256 + 51);
    assert_int_equal(world.lists, 0);
    run(&plain);
    assert_true(world.lists == 0 && world.complete && unlooked() == 0);
    end();
}

/* The figures of docs/architecture.md. */
static void test_ten_thousand(void **state)
{
    unsigned sessions;
    uint32_t programmed;

    (void)state;
    begin(2);
    put(10000);
    sessions = run_all();
    print_message("10,000 messages are seen for the first time in %u sessions\n", sessions);
    assert_int_equal(unlooked(), 0);
    assert_true(sessions <= 20);
    programmed = world.journal.bytes_programmed;
    run(&plain);
    print_message("none new: %u bytes\n", (unsigned)world.bytes);
    assert_true(world.bytes < 200);
    assert_int_equal(world.lists, 0);
    assert_int_equal(world.journal.bytes_programmed, programmed);

    put(1);
    run(&plain);
    print_message("one new: %u bytes and its header\n", (unsigned)world.bytes);
    assert_true(world.bytes < 300 && world.looked == 1 && unlooked() == 0);

    drop_some(3);
    put(2);
    run(&plain);
    print_message("three gone and two new: %u bytes and two headers\n", (unsigned)world.bytes);
    assert_true(world.lists == 1 && world.looked == 2 && unlooked() == 0);

    put(300);
    drop(5000);
    run(&plain);
    assert_true(world.looked >= 300 && world.looked <= 308 && unlooked() == 0);
    run(&plain);
    assert_int_equal(world.looked + world.lists, 0);

    world.now_s += DAY_S;
    run(&plain);
    print_message("once a day: %u bytes\n", (unsigned)world.bytes);
    assert_true(world.lists == 1 && world.looked == 0);
    run(&plain);
    assert_int_equal(world.lists, 0);

    drop(7000);
    world.messages[7000].sequence = world.sequence + 5; /* An old one is put last. */
    put(1);
    run(&plain);
    assert_int_equal(unlooked(), 0);
    end();
}

/* Every message is looked at again when more has changed than can be told, the newest first. */
static void test_too_much(void **state)
{
    uint32_t newest;

    (void)state;
    begin(3);
    put(3000);
    run_all();
    rename_all();
    put(1);
    newest = world.ids;
    run(&plain);
    assert_int_equal(world.looks[newest], LOOKED);
    assert_false(world.complete);
    run_all();
    assert_int_equal(unlooked(), 0);
    end();
}

/* A server that changes everything each time, and very many new ones at once: a session stays
 * bounded (run() checks that), and the newest message does not wait. */
static void test_newest_first(void **state)
{
    (void)state;
    begin(4);
    put(2000);
    run_all();
    for (unsigned i = 0; i < 10; i++) {
        rename_all();
        put(1);
        run(&plain);
        assert_int_equal(world.looks[world.ids], LOOKED);
    }
    run_all();
    for (unsigned i = 0; i < 10; i++) {
        put(700);
        run(&plain);
        assert_int_equal(world.looks[world.ids], LOOKED);
    }
    run_all();
    assert_int_equal(unlooked(), 0);
    end();
}

/* Two messages with one id, on a server that is broken: nothing goes round in circles, and the
 * others are found. */
static void test_duplicates(void **state)
{
    (void)state;
    begin(5);
    put(200);
    world.duplicates = world.ids;
    run_all();
    for (unsigned i = 0; i < 200; i++) {
        struct session session = {.deletes = dice(3)};

        world.order = (enum order)dice(2);
        put(dice(4));
        drop_some(dice(4));
        run(&session);
        if (world.complete && world.order == OLDEST_FIRST && session.deletes == 0) {
            run(&plain);
            check(world.looked <= 2, "the same ones again and again");
        }
    }
    world.duplicates = 0;
    rename_all();
    run_all();
    assert_int_equal(unlooked(), 0);
    end();
}

static void test_no_uidl(void **state)
{
    (void)state;
    begin(6);
    world.no_uidl = true;
    put(500);
    run_all();
    run(&plain);
    assert_true(world.looked == 0 && world.bytes < 200);
    put(3);
    run(&plain);
    assert_true(world.looked == 3 && unlooked() == 0);
    drop(100);
    put(1);
    run_all();
    assert_int_equal(unlooked(), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct session session = {.deletes = dice(4), .later = dice(4), .steps = dice(100)};

        put(dice(4));
        drop_some(dice(3));
        run(&session);
        assert_true(!world.complete || unlooked() == 0);
    }
    /* The server learns it. */
    world.no_uidl = false;
    put(100);
    run_all();
    drop(10);
    put(1);
    run_all();
    run(&plain);
    assert_int_equal(world.looked, 0);
    drop(20);
    run(&plain);
    assert_true(world.lists == 1 && world.looked == 0);
    end();
}

/* An order that is to wait is asked for again each time, for a few bytes. */
static void test_later(void **state)
{
    struct session waits = {.later = 1};

    (void)state;
    begin(7);
    put(1000);
    run_all();
    put(3);
    run(&waits);
    for (unsigned i = 0; i < 5; i++) {
        run(&waits);
        assert_true(world.looked == 3 && world.lists == 0);
    }
    put(7);
    run(&waits);
    assert_int_equal(world.looked, 10);
    run(&waits);
    assert_int_equal(world.looked, 10);
    run(&plain);
    assert_int_equal(world.looked, 10);
    run(&plain);
    assert_int_equal(world.looked, 0);
    end();
}

/* Nothing to do, at the cost of nothing. */
static void check_quiet(const char *when)
{
    run(&plain);
    check(world.looked == 0 && world.lists == 0 && world.complete, when);
}

/* What was learnt is kept to the last bit, so that it need not be learnt again. */
static void test_cost(void **state)
{
    struct session deletes = {.deletes = 1}, deaf = {.errors = 1}, waits = {.later = 1};

    (void)state;
    begin(9);
    put(1000);
    run_all();
    /* What goes makes nothing else look new, however often. */
    for (unsigned i = 0; i < 100; i++) {
        drop_some(1);
        run(&plain);
        assert_true(world.looked == 0 && world.lists == 1);
        check_quiet("after one was gone");
    }
    /* Another order of the same messages is no news. */
    world.order = BY_HASH;
    run(&plain);
    assert_true(world.looked == 0 && world.lists <= 1);
    check_quiet("after another order");
    world.order = OLDEST_FIRST;
    run(&plain);
    /* What the device itself deletes is accounted for: from the end, many, and from the middle. */
    put(3);
    run(&deletes);
    check_quiet("after deleting");
    put(60);
    deletes.deletes = 2;
    run(&deletes);
    check_quiet("after deleting many");
    assert_int_equal(unlooked(), 0);
    drop(10);
    world.order = NEWEST_FIRST;
    put(9);
    run(&deletes);
    assert_true(world.looked == 9);
    run(&plain);
    check_quiet("after deleting at the other end");
    world.order = OLDEST_FIRST;
    run(&plain);

    /* New ones at the end, and one among the old ones in the place of another. */
    world.messages[500].id = ++world.ids;
    world.messages[500].octets += 7;
    put(2);
    run(&plain);
    assert_true(world.looked == 3 && unlooked() == 0);
    check_quiet("after the tail did not add up");
    world.now_s += DAY_S;
    run(&plain);
    assert_int_equal(world.looked, 0);

    /* Waiting ones, and others that come and go. */
    put(1);
    run(&waits);
    for (unsigned i = 0; i < 10; i++) {
        drop(3);
        run(&waits);
        assert_int_equal(world.looked, 1);
        run(&waits);
        assert_true(world.looked == 1 && world.lists == 0);
    }
    run(&plain);
    check_quiet("after waiting");

    /* A server that answers nothing is not asked for ever. */
    put(100);
    run(&deaf);
    assert_true(world.asked + world.lists <= 12);
    end();
}

/* A server that has no UIDL, without CAPA to say so. */
static void test_refused_uidl(void **state)
{
    (void)state;
    begin(10);
    world.no_uidl = true;
    world.claims_uidl = true;
    put(50);
    run_all();
    for (unsigned i = 0; i < 3; i++) {
        run(&plain);
        assert_int_equal(world.looked, i == 0 ? world.looked : 0);
    }
    put(2);
    run(&plain);
    assert_true(world.looked == 2 && world.lists == 0 && unlooked() == 0);
    end();
}

/* Another account's memory is none; a record that is damaged is none. */
static void test_memory(void **state)
{
    static struct mailbox_memory memory, again;
    uint32_t address;
    uint32_t programmed;

    (void)state;
    begin(8);
    put(100);
    run_all();
    mailbox_load(&world.journal, ACCOUNT, &memory);
    assert_int_equal(memory.count, 100);
    assert_true(memory.complete);
    programmed = world.journal.bytes_programmed;
    assert_int_equal(mailbox_save(&world.journal, &memory), 0);
    assert_int_equal(world.journal.bytes_programmed, programmed);
    mailbox_load(&world.journal, ACCOUNT + 1, &again);
    assert_int_equal(again.count, 0);
    assert_false(again.complete);
    /* It is carried when the ring turns. */
    for (unsigned i = 0; i < 1000; i++) {
        const struct journal_part part = {.bytes = "x", .size = 1};

        assert_int_equal(journal_append(&world.journal, JOURNAL_BOOKS, 0, &part, 1, &address), 0);
    }
    for (unsigned i = 0; i < 300; i++) {
        const struct journal_part part = {.bytes = world.looks, .size = 600};

        assert_int_equal(journal_append(&world.journal, JOURNAL_MARK, 1, &part, 1, &address), 0);
    }
    journal_mount(&world.journal, &world.nor.flash, NULL);
    mailbox_load(&world.journal, ACCOUNT, &again);
    assert_memory_equal(&again, &memory, offsetof(struct mailbox_memory, crc));
    assert_int_not_equal(mailbox_account("a", 110, "bc"), mailbox_account("ab", 110, "c"));
    assert_int_not_equal(mailbox_account("a", 110, "b"), mailbox_account("a", 995, "b"));
    assert_int_not_equal(mailbox_account("a", 110, "b"), mailbox_account("a", 110, "c"));
    end();
}

/* ---- histories ---- */

/* One message is replaced by another of the same size, at the same place. */
static void swap(void)
{
    if (world.count > 0) {
        struct message *message = &world.messages[dice((uint32_t)world.count)];

        message->id = ++world.ids;
        world.came_s[message->id] = world.now_s;
    }
}

static void happen(bool swaps)
{
    uint32_t what = dice(40);

    if (what < 16) {
        put(dice(4));
    } else if (what < 22) {
        drop_some(1 + dice(4));
    } else if (what < 26) {
        put(1 + dice(3));
        drop_some(1 + dice(3));
    } else if (what < 28 && world.count > 0) {
        drop(0); /* It expires. */
    } else if (what == 28) {
        world.order = (enum order)dice(ORDERS);
    } else if (what == 29) {
        rename_all();
    } else if (what == 30) {
        memcpy(world.kept, world.messages, sizeof world.kept[0] * world.count);
        world.kept_count = world.count;
    } else if (what == 31 && world.kept_count > 0) { /* A backup comes back. */
        memcpy(world.messages, world.kept, sizeof world.kept[0] * world.kept_count);
        world.count = world.kept_count;
    } else if (what == 32) {
        put(50 + dice(100));
    } else if (what == 33) {
        drop_some(dice(100));
    } else if (what == 34) {
        drop_some((uint32_t)world.count);
    } else if (what == 35 && world.count > 1) { /* One is moved. */
        world.messages[dice((uint32_t)world.count)].sequence = ++world.sequence;
    } else if (what == 36 && world.count > 1) { /* The newest goes, a new one comes. */
        drop(world.count - 1);
        put(1);
    } else if (what > 36 && swaps) {
        swap();
    }
}

static struct session any_session(void)
{
    struct session session = {.steps = 0};

    if (one_in(4)) {
        session.steps = 1 + dice(one_in(2) ? 12 : 150);
    }
    session.errors = one_in(12) ? 1 + dice(10) : 0;
    session.deletes = one_in(3) ? 1 + dice(6) : 0;
    session.later = one_in(5) ? 1 + dice(6) : 0;
    session.quit_fails = one_in(8);
    session.not_saved = one_in(8);
    return session;
}

/* After a poll that came to its end each message that it began with has been looked at: where
 * messages were swapped for others of their size, within a day. */
static void check_looked(bool swaps)
{
    for (size_t i = 0; i < world.count && world.complete; i++) {
        uint32_t id = world.messages[i].id;

        check(swaps || world.looks[id] != WAITED, "what was to wait was forgotten");
        if (world.looks[id] == NOT_LOOKED) {
            check(swaps && world.count > 64, "a message was never looked at");
            check(world.now_s - world.came_s[id] <= DAY_S + 3600, "nor within a day");
        }
    }
}

static void history(uint32_t seed)
{
    bool swaps;

    begin(seed);
    swaps = one_in(3);
    world.order = one_in(2) ? OLDEST_FIRST : (enum order)dice(ORDERS);
    put(dice(one_in(2) ? 40 : 400));
    for (unsigned i = 0; i < 80; i++) {
        struct session session = any_session();

        for (uint32_t n = one_in(3) ? 0 : dice(3); n > 0; n--) {
            happen(swaps);
        }
        run(&session);
        check_looked(swaps);
        world.now_s += 60 + dice(3600);
    }
    /* In the end all is at rest. */
    world.now_s += DAY_S;
    if (world.order == SHUFFLED) {
        world.order = BY_HASH;
    }
    for (unsigned i = 0; i < 4; i++) {
        run_all();
    }
    check(unlooked() == 0, "some were never looked at");
    check(world.looked == 0 && (world.lists == 0 || world.count <= 64), "there is no rest");
    end();
}

static uint32_t scale(void)
{
    const char *text = getenv("TOCSIN_MAILBOX");
    long factor = text != NULL ? strtol(text, NULL, 10) : 1;

    return factor > 0 && factor < 10000 ? (uint32_t)factor : 1;
}

static void test_histories(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 2000 * scale(); seed++) {
        history(seed);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_ten_thousand), cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_newest_first), cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_no_uidl),      cmocka_unit_test(test_later),
        cmocka_unit_test(test_cost),         cmocka_unit_test(test_refused_uidl),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_histories),
    };

    if (argc == 2) {
        history((uint32_t)strtoul(argv[1], NULL, 10));
        return 0;
    }
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
