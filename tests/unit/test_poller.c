/* The device and its mailbox in simulation: an order is run once, whatever happens, and what is not
 * for the device is left alone. */
#include "firmware/app.h"
#include "tests/sim/device.h"
#include "tests/sim/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_S 1800000000u /* 2027-01-15 08:00:00 */
#define DEVICE_ID "c0ffee0405060708"
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define COMMON                                                                              \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n"                      \
    "hostname = router1.example.test\nfrom = router1@example.test\nretry_min = 10\n"        \
    "retry_max = 60\nalert_boot = no\nauth_without_tls = yes\n"                             \
    "pop3 = pop.example.test:110\npop3_tls = off\npop3_user = device\npop3_pass = secret\n" \
    "poll = 30s\npoll_fast = 5s\nanswer_to = boss@example.test\n"
#define ORDERS COMMON "command_key = " KEY "\ncommands = all\n"

static struct sim_device device;
static uint64_t gone_s;   /* Before the last start. */
static uint32_t next_cut; /* Power is lost again in that flash operation after a start; 0: not. */

/* ---- the device ---- */

static void start(enum reset_cause cause)
{
    gone_s += device.now_ms / 1000;
    device.has_rtc = true;
    device.rtc_unix_s = UNIX_S + gone_s;
    sim_device_boot(&device, cause, "");
}

static void begin(const char *config)
{
    gone_s = 0;
    next_cut = 0;
    sim_device_flash(&device, config, true);
    device.mortal = true;
    start(RESET_POWER_ON);
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

/* Runs, and starts the device again when it has reset itself or lost its power. */
static void run(uint64_t ms)
{
    uint64_t left_ms = ms;

    while (left_ms > 0) {
        unsigned resets = device.resets;
        uint64_t before_ms = device.now_ms;

        if (!device.dead) {
            sim_device_run(&device, left_ms);
        }
        left_ms -= device.now_ms - before_ms < left_ms ? device.now_ms - before_ms : left_ms;
        if (device.dead) {
            nor_power(&device.nor);
            nor_cut_in(&device.nor, next_cut, (enum nor_cut)(next_cut % NOR_CUT_KINDS));
            next_cut = 0;
            start(RESET_POWER_ON);
        } else if (device.resets != resets) {
            start(device.reset_why);
        }
    }
}

/* The next alert-free poll has ended. */
static void poll_once(void)
{
    unsigned goodbyes = device.pop3d.goodbyes;

    for (unsigned i = 0; i < 600 && device.pop3d.goodbyes == goodbyes; i++) {
        run(500);
    }
    assert_int_not_equal(device.pop3d.goodbyes, goodbyes);
    run(500);
}

/* ---- mails ---- */

static void mail_text(char *out, size_t size, const char *fields, const char *body)
{
    assert_true(snprintf(out, size,
                         "Return-Path: <admin@example.test>\r\nFrom: Admin <admin@example.test>\r\n"
                         "To: device@example.test\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
                         "%s\r\n%s",
                         fields, body) < (int)size);
}

static void put_mail(const char *uid, const char *fields, const char *body)
{
    static char text[8192];

    mail_text(text, sizeof text, fields, body);
    pop3d_add(&device.pop3d, uid, text);
}

static const uint8_t key[DIGEST_KEY_BYTES] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                              11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                              22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
static const uint8_t wrong_key[DIGEST_KEY_BYTES] = {1};

/* Its Message-ID is <oCOUNTER@example.test>. */
static void put_signed(const char *uid, const char *more_fields, const struct sim_order *order)
{
    char body[4096], fields[256];

    (void)sim_order_signed(order, body, sizeof body);
    text_print(fields, sizeof fields,
               "Subject: tocsin order %u\r\nMessage-ID: <o%u@example.test>\r\n%s",
               (unsigned)order->counter, (unsigned)order->counter, more_fields);
    put_mail(uid, fields, body);
}

static void put_order(unsigned counter, const char *command, const char *text)
{
    const struct sim_order order = {key, DEVICE_ID, counter, command, text};
    char uid[16];

    text_print(uid, sizeof uid, "order%u", counter);
    put_signed(uid, "", &order);
}

static bool is_there(const char *uid)
{
    return pop3d_find(&device.pop3d, uid) != NULL;
}

/* ---- answers ---- */

static void message_id(const char *mail, char out[128])
{
    const char *at = strstr(mail, "\nMessage-ID: ");

    assert_non_null(at);
    assert_true(sscanf(at, "\nMessage-ID: %127s", out) == 1);
}

/* How many different mails answer that order; the same one may come twice if its 250 was lost. */
static unsigned answers(unsigned counter, const char *part)
{
    char want[64], ids[8][128];
    unsigned count = 0;

    text_print(want, sizeof want, "\nIn-Reply-To: <o%u@example.test>", counter);
    for (size_t i = 0; i < device.server.mail_count; i++) {
        const struct sim_mail *mail = &device.server.mails[i];
        unsigned j = 0;

        if (!mail->taken || strstr(mail->bytes, want) == NULL) {
            continue;
        }
        assert_string_equal(mail->to, "<boss@example.test>");
        assert_non_null(strstr(mail->bytes, "\nAuto-Submitted: auto-replied\n"));
        assert_non_null(strstr(mail->bytes, part));
        message_id(mail->bytes, ids[count]);
        while (j < count && strcmp(ids[j], ids[count]) != 0) {
            j++;
        }
        count += j == count ? 1 : 0;
        assert_true(count < 8);
    }
    return count;
}

static unsigned mails(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < device.server.mail_count; i++) {
        count += device.server.mails[i].taken ? 1 : 0;
    }
    return count;
}

/* ---- what is looked at ---- */

#define FOREIGN "Subject: lunch?\r\nMessage-ID: <lunch@example.test>\r\n"

static void test_foreign(void **state)
{
    unsigned bytes;

    (void)state;
    begin(ORDERS);
    for (unsigned i = 0; i < 100; i++) {
        char uid[16];

        text_print(uid, sizeof uid, "f%u", i);
        put_mail(uid, FOREIGN, "Text\r\n.\r\nwith a dot\r\n");
    }
    poll_once();
    poll_once();
    bytes = (unsigned)device.pop3d.tx_total;
    poll_once();
    assert_true(device.pop3d.tx_total - bytes < 700);
    assert_int_equal(device.pop3d.count, 100);
    for (size_t i = 0; i < device.pop3d.count; i++) {
        assert_int_equal(device.pop3d.messages[i].tops, 1);
        assert_int_equal(device.pop3d.messages[i].retrs, 0);
    }
    /* The memory outlives a reset. */
    start(RESET_POWER_ON);
    put_mail("f100", FOREIGN, "");
    poll_once();
    for (size_t i = 0; i < device.pop3d.count; i++) {
        assert_int_equal(device.pop3d.messages[i].tops, 1);
    }
    assert_int_equal(mails(), 0);
}

static void test_delete(void **state)
{
    (void)state;
    begin(ORDERS "pop3_delete = yes\n");
    put_mail("f1", FOREIGN, "");
    put_mail("f2", FOREIGN, "");
    put_order(1, "test", NULL);
    put_mail("f3", FOREIGN, "");
    poll_once();
    assert_int_equal(device.pop3d.count, 0);
    assert_int_equal(device.pop3d.deleted, 4);
    run(20000);
    assert_int_equal(answers(1, "this answer is the test"), 1);
}

/* Larger than pop3_size, sent by a machine, or without a way to command: not read. */
static void test_not_read(void **state)
{
    static char text[5000];

    (void)state;
    begin(ORDERS "pop3_size = 4096\n");
    memset(text, 'x', sizeof text - 1);
    put_mail("huge", "Subject: tocsin\r\n", text);
    put_signed("auto", "Auto-Submitted: auto-replied\r\n",
               &(struct sim_order){key, DEVICE_ID, 6, "test", NULL});
    put_signed("list", "List-Id: <x.example.test>\r\n",
               &(struct sim_order){key, DEVICE_ID, 7, "test", NULL});
    put_signed("bulk", "Precedence: bulk\r\n",
               &(struct sim_order){key, DEVICE_ID, 8, "test", NULL});
    put_order(5, "test", NULL);
    poll_once();
    run(20000);
    assert_int_equal(answers(5, ""), 1);
    assert_int_equal(mails(), 1);
    assert_int_equal(device.pop3d.count, 4);
    for (size_t i = 0; i < device.pop3d.count; i++) {
        assert_int_equal(device.pop3d.messages[i].retrs, 0);
    }
}

/* Without a way to command no mail is an order. */
static void test_off(void **state)
{
    (void)state;
    begin(COMMON);
    put_order(1, "reboot", NULL);
    poll_once();
    run(20000);
    assert_int_equal(device.pop3d.messages[0].retrs, 0);
    assert_true(device.pop3d.count == 1 && device.resets == 0 && mails() == 0);
}

/* ---- orders ---- */

static void test_order(void **state)
{
    (void)state;
    begin(ORDERS);
    put_mail("f1", FOREIGN, "");
    put_order(3, "mute router9 2h", NULL);
    poll_once();
    run(20000);
    assert_int_equal(answers(3, "router9 is muted until 2027-01-15 "), 1);
    assert_int_equal(device.pop3d.count, 1);
    assert_int_equal(device.app.authority.counter, 3);
    assert_string_equal(device.app.diary.mutes[0].source, "router9");
}

/* Played back, older than one that ran, forged, for another device, out of order. */
static void test_replayed(void **state)
{
    char uid[16];

    (void)state;
    begin(ORDERS);
    put_order(10, "poll 1h", NULL);
    poll_once();
    run(10000);
    assert_int_equal(answers(10, ""), 1);
    for (unsigned i = 0; i < 5; i++) {
        text_print(uid, sizeof uid, "again%u", i);
        put_signed(uid, "", &(struct sim_order){key, DEVICE_ID, 10, "poll 1h", NULL});
        poll_once();
    }
    put_signed("other", "", &(struct sim_order){key, DEVICE_ID, 10, "reboot", NULL});
    put_signed("old", "", &(struct sim_order){key, DEVICE_ID, 9, "reboot", NULL});
    put_signed("forged", "", &(struct sim_order){wrong_key, DEVICE_ID, 11, "reboot", NULL});
    put_signed("foreign", "", &(struct sim_order){key, "c0ffee0405060709", 12, "reboot", NULL});
    poll_once();
    poll_once();
    run(60000);
    assert_int_equal(answers(10, ""), 1);
    assert_int_equal(device.resets, 0);
    assert_int_equal(device.app.authority.counter, 10);
    assert_true(is_there("foreign")); /* Of a device with the same mailbox. */
    assert_null(device.server.violation);
    put_order(12, "test", NULL);
    poll_once();
    put_order(11, "reboot", NULL);
    poll_once();
    run(20000);
    assert_true(device.resets == 0 && answers(12, "") == 1 && answers(11, "") == 0);
}

/* Several at once are taken in the order of the mailbox. */
static void test_several(void **state)
{
    (void)state;
    begin(ORDERS "answers_per_hour = 0\n");
    for (unsigned i = 1; i <= 6; i++) {
        put_order(i, "test", NULL);
    }
    poll_once();
    for (unsigned i = 0; i < 10; i++) {
        poll_once();
    }
    run(20000);
    assert_int_equal(device.app.authority.counter, 6);
    assert_int_equal(device.pop3d.count, 0);
    for (unsigned i = 1; i <= 6; i++) {
        assert_int_equal(answers(i, ""), 1);
    }
}

/* ---- servers ---- */

static void test_login_delay(void **state)
{
    (void)state;
    begin(ORDERS);
    device.pop3d.login_delay_s = 90;
    device.pop3d.expire = "30";
    for (unsigned i = 0; i < 10; i++) {
        put_order(i + 1, "poll 1h", NULL);
        poll_once();
    }
    assert_int_equal(device.pop3d.too_soon, 0);
    assert_true(device.now_ms > 9 * 90000 && device.now_ms < 12 * 90000);
}

static void test_in_use(void **state)
{
    (void)state;
    begin(ORDERS);
    put_order(1, "test", NULL);
    pop3d_answer(&device.pop3d, "AUTH", "-ERR [IN-USE] locked by another session", 3);
    pop3d_answer(&device.pop3d, "PASS", "-ERR [IN-USE] locked by another session", 3);
    run(300000);
    assert_int_equal(answers(1, ""), 1);
    assert_int_equal(mails(), 1); /* Nobody is told that the password is wrong. */
}

static void test_wrong_password(void **state)
{
    (void)state;
    begin(ORDERS);
    device.pop3d.password = "other";
    run(3600000);
    assert_true(device.pop3d.connections > 3 && device.pop3d.connections < 200);
    assert_true(mails() >= 1);
    device.pop3d.password = "secret";
    put_order(1, "test", NULL);
    run(300000);
    assert_int_equal(answers(1, ""), 1);
}

/* A server of 1996: no CAPA, TOP, UIDL, pipelining. */
static void test_bare_server(void **state)
{
    struct pop3d *pop3d = &device.pop3d;

    (void)state;
    begin(ORDERS);
    pop3d->has_capa = pop3d->has_top = pop3d->has_uidl = false;
    pop3d->has_pipelining = pop3d->has_plain = false;
    put_mail("f1", FOREIGN, "text\r\n");
    for (unsigned i = 1; i <= 5; i++) {
        put_order(i, "test", NULL);
        poll_once();
        put_mail("f", FOREIGN, "other text\r\n");
    }
    for (unsigned i = 0; i < 3; i++) {
        poll_once();
    }
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(answers(i, ""), 1);
    }
    assert_int_equal(pop3d->count, 6);
}

/* Each login another order, and messages that come and go: each order runs once, and foreign mail
 * is looked at once. */
static void test_renumbered(void **state)
{
    char uid[16];
    unsigned counter = 0;

    (void)state;
    begin(ORDERS "answers_per_hour = 0\n");
    for (unsigned i = 0; i < 80; i++) {
        text_print(uid, sizeof uid, "f%u", i);
        put_mail(uid, FOREIGN, "");
    }
    poll_once();
    for (unsigned i = 0; i < 40; i++) {
        device.pop3d.order = (enum pop3d_order)(i / 10);
        text_print(uid, sizeof uid, "g%u", i);
        put_mail(uid, FOREIGN, "");
        put_order(++counter, "poll 1h", NULL);
        pop3d_remove(&device.pop3d, i % 7);
        poll_once();
        run(10000);
        assert_int_equal(answers(counter, ""), 1);
        for (size_t j = 0; j < device.pop3d.count && device.pop3d.order != POP3D_SHUFFLED; j++) {
            assert_int_equal(device.pop3d.messages[j].tops, 1);
        }
        memset(device.server.mails, 0, sizeof device.server.mails);
        device.server.mail_count = 0;
    }
    for (size_t i = 0; i < device.pop3d.count; i++) {
        assert_int_equal(device.pop3d.messages[i].retrs, 0);
    }
    assert_int_equal(device.app.authority.counter, counter);
}

/* More orders than answers_per_hour wait in the mailbox, for a few bytes at each poll. */
static void test_waits(void **state)
{
    size_t bytes;

    (void)state;
    begin(ORDERS "answers_per_hour = 1\n");
    for (unsigned i = 0; i < 100; i++) {
        char uid[16];

        text_print(uid, sizeof uid, "f%u", i);
        put_mail(uid, FOREIGN, "");
    }
    for (unsigned i = 1; i <= 3; i++) {
        put_order(i, "test", NULL);
    }
    poll_once();
    poll_once();
    poll_once();
    assert_int_equal(device.app.authority.counter, 1);
    bytes = device.pop3d.tx_total;
    for (unsigned i = 0; i < 10; i++) {
        poll_once();
    }
    assert_true(device.pop3d.tx_total - bytes < 10 * 3500);
    for (unsigned i = 0; i < 3 * 60; i++) {
        device.screen_size = 0;
        run(60000);
    }
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(answers(i, ""), 1);
    }
    assert_int_equal(device.pop3d.count, 100);
}

/* -ERR where a server has no reason to. */
static void test_refusals(void **state)
{
    static const char *const commands[] = {"STAT", "UIDL 1", "LIST 1", "TOP",  "RETR",
                                           "DELE", "UIDL",   "QUIT",   "AUTH", "CAPA"};
    static const char *const replies[] = {"-ERR no", "-ERR [SYS/TEMP] later", "+OK", "huh?",
                                          "-ERR bye"};
    unsigned counter = 0;

    (void)state;
    begin(ORDERS "answers_per_hour = 0\n");
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        for (unsigned j = 0; j < sizeof replies / sizeof replies[0]; j++) {
            char uid[16];

            put_order(++counter, "poll 1h", NULL);
            text_print(uid, sizeof uid, "order%u", counter);
            device.pop3d.answer_count = 0;
            pop3d_answer(&device.pop3d, commands[i], replies[j], 1);
            for (unsigned k = 0; k < 60 && is_there(uid); k++) {
                run(10000);
            }
            run(20000);
            if (strcmp(commands[i], "AUTH") == 0) {
                device.pop3d.violation = NULL; /* It was told that it had logged in. */
            }
            if (answers(counter, "") != 1 ||
                (is_there(uid) && (strcmp(commands[i], "DELE") != 0 || j == 1))) {
                print_error("%s: %s: %u answers\n", commands[i], replies[j], answers(counter, ""));
                fail();
            }
            if (is_there(uid)) { /* DELE was refused for good: it stays, and does nothing. */
                pop3d_remove(&device.pop3d,
                             (size_t)(pop3d_find(&device.pop3d, uid) - device.pop3d.messages));
            }
            memset(device.server.mails, 0, sizeof device.server.mails);
            device.server.mail_count = 0;
        }
    }
    assert_int_equal(device.app.authority.counter, counter);
}

/* An alert does not wait for a mailbox, however slow its server is. */
static void test_alert_first(void **state)
{
    (void)state;
    begin(ORDERS);
    for (unsigned i = 0; i < 500; i++) {
        char uid[16];

        text_print(uid, sizeof uid, "f%u", i);
        put_mail(uid, FOREIGN, "");
    }
    device.pop3d.drop = SIM_DROP_SILENT;
    device.pop3d.drop_tx = 3000;
    run(20000);
    assert_true(device.app.poller.running);
    app_datagram(&device.app, "<131>app: an alert", 18, 0x0600000A);
    run(8000);
    assert_int_equal(sim_server_taken(&device.server, "an alert"), 1);
}

/* A critical alert shortens the sender's wait, also while a mailbox is being read. */
static void test_urgent(void **state)
{
    (void)state;
    begin(ORDERS);
    device.pop3d.drop = SIM_DROP_SILENT;
    device.pop3d.drop_tx = 20;
    for (unsigned i = 0; i < 100 && !device.app.poller.running; i++) {
        run(200);
    }
    assert_true(device.app.poller.running);
    device.app.sender.retry.next_ms = device.now_ms + 600000; /* As after many failures. */
    app_datagram(&device.app, "<130>app: hurry up", 18, 0x0600000A);
    run(30000);
    assert_int_equal(sim_server_taken(&device.server, "hurry up"), 1);
}

/* A mailbox of which nothing can be known is a failure, and told. */
static void test_stat_refused(void **state)
{
    (void)state;
    begin(ORDERS);
    put_order(1, "test", NULL);
    pop3d_answer(&device.pop3d, "STAT", "-ERR not today", 100000);
    run(7200000);
    assert_true(device.app.poller.failed > 3 && !device.app.poller.good);
    assert_non_null(strstr(device.app.poller.last_error, "STAT"));
    assert_int_equal(sim_server_taken(&device.server, "STAT"), 1);
    device.pop3d.answer_count = 0;
    run(1200000);
    assert_int_equal(answers(1, ""), 1);
}

/* ---- power and lines that are cut ---- */

enum what { ORDER_PLAIN, ORDER_REBOOT, ORDER_SETTINGS, WHATS };

static void put_case(enum what what)
{
    put_mail("f1", FOREIGN, "");
    if (what == ORDER_PLAIN) {
        put_order(7, "mute router9 2h", NULL);
    } else if (what == ORDER_REBOOT) {
        put_order(7, "reboot", NULL);
    } else {
        put_order(7, "config set", "poll_fast = 7s\nretry_max = 2m\n");
    }
    put_mail("f2", FOREIGN, "");
}

static bool settled(void)
{
    return !device.dead && !device.app.poller.running && device.app.queue.count == 0 &&
           !is_there("order7") && device.app.authority.order.phase == AUTHORITY_ENDED &&
           !device.app.slots.on_trial;
}

static void settle(void)
{
    for (unsigned i = 0; i < 1200 && !settled(); i++) {
        run(1000);
    }
}

/* Whatever happened: the order has run, once, and nothing else has changed. */
static void check_case(enum what what, const char *how, unsigned n, unsigned kind)
{
    const char *wrong = NULL;

    if (!settled()) {
        wrong = "it does not come to an end";
    } else if (answers(7, "") == 0) {
        wrong = "no answer";
    } else if (answers(7, "") > (what == ORDER_SETTINGS ? 2 : 1)) {
        /* A trial's mail may have got out when the power fails: then it is told once more. */
        wrong = "several answers";
    } else if (device.app.authority.counter != 7) {
        wrong = "another counter";
    } else if (!is_there("f1") || !is_there("f2") || device.pop3d.count != 2) {
        wrong = "another mail is gone";
    } else if (what == ORDER_PLAIN && strcmp(device.app.diary.mutes[0].source, "router9") != 0) {
        wrong = "no effect";
    } else if (what == ORDER_REBOOT && device.resets > 1) {
        wrong = "several restarts";
    } else if (what == ORDER_SETTINGS && device.app.config.poll_fast_s != 7 &&
               sim_server_taken(&device.server, "was not confirmed: the device was reset") == 0) {
        wrong = "no new settings, and nobody was told";
    }
    for (size_t i = 0; i < device.pop3d.count; i++) {
        if (device.pop3d.messages[i].retrs > 0) {
            wrong = "a foreign mail was read";
        }
    }
    if (wrong != NULL) {
        print_error("%s: case %u, %s %u, kind %u\n", wrong, (unsigned)what, how, n, kind);
        fail();
    }
}

/* The device as it is before the order arrives. */
static void prepare(enum what what)
{
    begin(ORDERS);
    poll_once();
    put_case(what);
}

static void cut_case(enum what what, uint32_t n, unsigned kind, uint32_t again)
{
    prepare(what);
    nor_cut_in(&device.nor, n, (enum nor_cut)kind);
    next_cut = again;
    settle();
    check_case(what, again == 0 ? "power lost in flash operation" : "power lost again, after", n,
               again == 0 ? kind : again);
    sim_device_end(&device);
}

static void test_power_cuts(void **state)
{
    unsigned cuts = 0;

    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        uint32_t operations;

        prepare(what);
        operations = device.nor.operations;
        settle();
        check_case(what, "nothing", 0, 0);
        operations = device.nor.operations - operations;
        sim_device_end(&device);
        for (uint32_t n = 1; n <= operations; n++) {
            for (unsigned kind = 0; kind < NOR_CUT_KINDS; kind++, cuts++) {
                cut_case(what, n, kind, 0);
            }
            for (uint32_t again = 1; again <= 40; again += 6, cuts++) {
                cut_case(what, n, n % NOR_CUT_KINDS, again);
            }
        }
    }
    print_message("%u power cuts in flash operations\n", cuts);
    begin(ORDERS); /* For end(). */
}

/* The connection ends after each byte, in one of three ways, or the power does. */
static void test_lost_bytes(void **state)
{
    unsigned lost = 0;

    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        for (unsigned way = 0; way < 4; way++) {
            for (unsigned up = 0; up < 2; up++) {
                bool ended = false;

                for (unsigned n = 1 + way; !ended; n += 7) {
                    size_t *drop = up ? &device.pop3d.drop_rx : &device.pop3d.drop_tx;

                    prepare(what);
                    *drop = n + (up ? device.pop3d.rx_total : device.pop3d.tx_total);
                    device.pop3d.drop = way == 0   ? SIM_DROP_FIN
                                        : way == 1 ? SIM_DROP_SILENT
                                                   : SIM_DROP_RESET;
                    for (unsigned i = 0; i < 6000 && *drop != SIM_SERVER_NEVER && !settled(); i++) {
                        run(10);
                    }
                    ended = *drop != SIM_SERVER_NEVER;
                    if (!ended && way == 3) {
                        start(RESET_POWER_ON);
                    }
                    *drop = SIM_SERVER_NEVER;
                    settle();
                    check_case(what, up ? "lost after bytes up" : "lost after bytes down", n, way);
                    sim_device_end(&device);
                    lost++;
                }
            }
        }
    }
    print_message("%u lost connections\n", lost);
    begin(ORDERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_foreign, end),
        cmocka_unit_test_teardown(test_delete, end),
        cmocka_unit_test_teardown(test_not_read, end),
        cmocka_unit_test_teardown(test_off, end),
        cmocka_unit_test_teardown(test_order, end),
        cmocka_unit_test_teardown(test_replayed, end),
        cmocka_unit_test_teardown(test_several, end),
        cmocka_unit_test_teardown(test_login_delay, end),
        cmocka_unit_test_teardown(test_in_use, end),
        cmocka_unit_test_teardown(test_wrong_password, end),
        cmocka_unit_test_teardown(test_bare_server, end),
        cmocka_unit_test_teardown(test_renumbered, end),
        cmocka_unit_test_teardown(test_waits, end),
        cmocka_unit_test_teardown(test_refusals, end),
        cmocka_unit_test_teardown(test_alert_first, end),
        cmocka_unit_test_teardown(test_urgent, end),
        cmocka_unit_test_teardown(test_stat_refused, end),
        cmocka_unit_test_teardown(test_power_cuts, end),
        cmocka_unit_test_teardown(test_lost_bytes, end),
    };

    return cmocka_run_group_tests_name("poller", tests, NULL, NULL);
}
