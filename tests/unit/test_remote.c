/* Mailed orders on a whole device in simulation: what each does, its answer, a configuration that
 * comes by mail and is tried, and power cuts at every flash operation while orders are taken. */
#include "firmware/app.h"
#include "firmware/remote.h"
#include "tests/sim/device.h"
#include "tests/sim/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define DEVICE "c0ffee0405060708"
#define PHRASE "correct horse battery"
#define KEY_HEX "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576"
#define SOME                                                             \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n"   \
    "hostname = router1\nfrom = router1@example.test\nalert_boot = no\n" \
    "pop3 = pop.example.test:110\npop3_tls = off\npop3_user = me\n"      \
    "pop3_pass = secret\nauth_without_tls = yes\n"                       \
    "command_key = " KEY_HEX "\nanswer_to = me@example.test\n"           \
    "answers_per_hour = 0\nconfirm_timeout = 60s\n"
#define CONFIG SOME "poll = 20s\ncommands = all\n"
#define FAST SOME "poll = 5s\npoll_fast = 5s\nalert_link = no\ncommands = all\n"

static const uint8_t key[] = "0123456789abcdefghijklmnopqrstuv";

static struct sim_device device;
static uint64_t unix_ms;
static uint32_t counter;

/* The clock goes on over resets. */
static void boot(void)
{
    unix_ms += device.now_ms;
    sim_device_boot(&device, RESET_POWER_ON, "");
    app_set_time(&device.app, unix_ms + device.now_ms, "SNTP");
}

static void begin(const char *config)
{
    unix_ms = UNIX_MS;
    counter = 0;
    sim_device_flash(&device, config, true);
    device.pop3d.user = "me";
    device.pop3d.password = "secret";
    boot();
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

static bool on_screen(const char *part)
{
    return strstr(device.screen, part) != NULL;
}

static unsigned taken(const char *part)
{
    return sim_server_taken(&device.server, part);
}

/* Runs for so long, over resets. */
static void run_s(uint32_t seconds)
{
    uint64_t left_ms = (uint64_t)seconds * 1000;

    while (left_ms > 0) {
        uint64_t from_ms = device.now_ms;
        unsigned resets = device.resets;

        sim_device_run(&device, left_ms);
        left_ms -= device.now_ms - from_ms < left_ms ? device.now_ms - from_ms : left_ms;
        if (device.resets != resets) {
            boot();
        }
    }
}

static void mail(const char *body)
{
    static char text[60000];
    char id[40], uid[16];

    counter++;
    snprintf(id, sizeof id, "m%u@phone.example.test", (unsigned)counter);
    snprintf(uid, sizeof uid, "u%u", (unsigned)counter);
    (void)sim_order_mail(id, "tocsin please", body, text, sizeof text);
    pop3d_add(&device.pop3d, uid, text);
}

static void order(const char *command, const char *text)
{
    static char body[50000];
    struct sim_order order = {
        .key = key, .device = DEVICE, .counter = counter + 1, .command = command, .text = text};

    (void)sim_order_signed(&order, body, sizeof body);
    mail(body);
}

/* Orders, and waits for the answer. */
static void ask(const char *command)
{
    device.server.mail_count = 0;
    memset(device.server.mails, 0, sizeof device.server.mails);
    order(command, NULL);
    run_s(40);
}

static void test_plain(void **state)
{
    static const char *const live[] = {"help",    "status",      "report", "queue",
                                       "history", "config show", "test",   "STATUS"};

    (void)state;
    begin(CONFIG);
    for (unsigned i = 0; i < sizeof live / sizeof live[0]; i++) {
        ask(live[i]);
        assert_int_equal(device.server.mail_count, 1);
        assert_string_equal(device.server.mails[0].to, "<me@example.test>");
        assert_int_equal(taken("In-Reply-To: <m"), 1);
        assert_int_equal(taken("Subject: Re: tocsin please"), 1);
        assert_int_equal(taken("not done"), 0);
        assert_int_equal(taken("device   tocsin"), i == 1 || i == 7);
        assert_int_equal(device.app.authority.order.phase, AUTHORITY_ENDED);
        assert_int_equal(device.pop3d.count, 0);
    }
    ask("status please");
    assert_int_equal(taken("not done: nothing may stand behind its name"), 1);
    assert_int_equal(taken("Order: status please"), 1);
    assert_int_equal(taken("device   tocsin"), 0);
    ask("format c:");
    assert_int_equal(taken("not done: there is no such command"), 1);
    ask("reboot");
    assert_int_equal(taken("the device restarts"), 1);
    assert_int_equal(device.resets, 1);
    run_s(60);
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.pop3d.count, 0);
    ask("otp 50 ab1 0011223344556677");
    assert_int_equal(taken("a new chain"), 1);
    assert_int_equal(authority_otp_left(&device.app.authority), 50);
    boot();
    assert_int_equal(authority_otp_left(&device.app.authority), 50);
    ask("otp 50 ab1 001122334455667");
    assert_int_equal(taken("not done: expected `otp"), 1);
}

static void test_allowed(void **state)
{
    static char body[300];

    (void)state;
    begin(SOME "poll = 20s\ncommands = status, mute, reboot\notp = 99 ke1234 8b7f1eaf2f5dc2bd\n");
    assert_int_equal(otp_make("ke1234", PHRASE, 99, device.app.authority.otp_last), 0);
    ask("report");
    assert_int_equal(taken("not done: `commands` of the configuration does not allow it"), 1);
    ask("config set hostname = x");
    assert_int_equal(taken("not done: `commands`"), 1);
    ask("status");
    assert_int_equal(taken("not done"), 0);
    device.app.config.commands = UINT32_MAX;
    device.server.mail_count = 0;
    (void)sim_order_otp("ke1234", PHRASE, 98, "config set hostname = x", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(taken("not done: a one-time password does not protect"), 1);
    assert_int_equal(authority_otp_left(&device.app.authority), 98); /* It was seen: it is used. */
    (void)sim_order_otp("ke1234", PHRASE, 97, "otp 5 ab 0011223344556677", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(authority_otp_left(&device.app.authority), 97);
    (void)sim_order_otp("ke1234", PHRASE, 96, "reboot", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.app.slots.sequence, 1);
}

static void test_mute_and_poll(void **state)
{
    const struct diary *diary = &device.app.diary;

    (void)state;
    begin(CONFIG);
    ask("mute router7 2h");
    assert_int_equal(taken("router7 is muted until 2027-01-15 10:00:"), 1);
    assert_string_equal(diary->mutes[0].source, "router7");
    assert_in_range(diary->mutes[0].until_unix_s, UNIX_MS / 1000 + 7200, UNIX_MS / 1000 + 7260);
    boot();
    assert_string_equal(diary->mutes[0].source, "router7");
    ask("mute router7 31d");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute router7 0m");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute router7");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute a-name-of-more-than-thirty-one-characters 1d");
    assert_int_equal(taken("not done: that name is too long"), 1);
    ask("mute router7 off");
    assert_int_equal(taken("router7 is no longer muted"), 1);
    assert_string_equal(diary->mutes[0].source, "");
    ask("poll 1d");
    assert_int_equal(taken("looked at more often until 2027-01-16 08:0"), 1);
    boot();
    assert_in_range(diary->fast_until_unix_s, UNIX_MS / 1000 + 86400, UNIX_MS / 1000 + 86900);
    ask("poll off");
    assert_int_equal(diary->fast_until_unix_s, 0);
    ask("poll 8d");
    assert_int_equal(taken("not done: expected a time of at most 7d"), 1);
    ask("poll 4294967296s");
    assert_int_equal(taken("not done: expected a time"), 1);
}

static void test_ack(void **state)
{
    struct queue_item item;
    char command[30];
    uint32_t number;

    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "RCPT TO:<a@", "550 5.1.1 no", 1000);
    sim_device_type(&device, "alert error the tower is on fire\r");
    run_s(10);
    number = (uint32_t)strtoul(strstr(device.screen, "alert ") + 6, NULL, 10);
    number = number != 0 ? number : device.app.journal.next_number - 1;
    assert_int_equal(device.app.queue.count, 1);
    snprintf(command, sizeof command, "ack %u", (unsigned)number + 1000);
    ask(command);
    assert_int_equal(taken("not done: no alert has that number"), 1);
    ask("ack all");
    assert_int_equal(taken("not done: expected the number of an alert"), 1);
    snprintf(command, sizeof command, "ack %u", (unsigned)number);
    ask(command);
    assert_int_equal(taken("is dropped: error router1"), 1);
    assert_int_equal(taken("the tower is on fire"), 1);
    assert_false(queue_find(&device.app.queue, number, &item));
}

/* ---- configurations ---- */

static const struct authority_order *last_order(void)
{
    return &device.app.authority.order;
}

static void assert_confirmed(uint32_t number)
{
    assert_int_equal(device.app.slots.sequence, number);
    assert_false(device.app.slots.on_trial && device.app.trial.deadline_ms != 0);
    assert_int_equal(last_order()->phase, AUTHORITY_ENDED);
    assert_false(device.app.config_shell.mail.active);
}

static void test_config_set(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_device_type(&device, "config set hostname typed\r");
    ask("config set hostname = router2");
    assert_true(on_screen("what was staged is dropped"));
    assert_int_equal(device.resets, 1);
    assert_confirmed(2);
    assert_string_equal(device.app.config.hostname, "router2");
    assert_int_equal(taken("configuration 2 is being tried"), 1);
    assert_int_equal(taken("In-Reply-To: <m1@phone.example.test>"), 1);
    assert_string_equal(device.server.mails[0].to, "<me@example.test>");
    assert_int_equal(device.server.mail_count, 1);
    run_s(60);
    assert_int_equal(device.pop3d.count, 0); /* Its mail went when it had ended. */
    assert_int_equal(device.resets, 1);
    ask("config set hostname router3");
    assert_confirmed(3);
    assert_string_equal(device.app.config.hostname, "router3");
    ask("config set hostname");
    assert_int_equal(taken("not done: expected `config set KEY =3D VALUE`"), 1);
    ask("config set nonsense = 1");
    assert_int_equal(taken("not done: no such key"), 1);
    ask("config set mailhub = :::");
    assert_int_equal(taken("nothing was changed: line"), 1);
    assert_int_equal(taken("mailhub"), 1);
    ask("config set");
    assert_int_equal(taken("not done: no settings stand behind it"), 1);
    ask("config set auth_pass = hushhush");
    run_s(60);
    for (size_t i = 0; i < device.server.mail_count; i++) {
        assert_null(strstr(device.server.mails[i].bytes, "hushhush"));
    }
    assert_false(on_screen("hushhush"));
    assert_int_equal(device.pop3d.count, 0);
    assert_string_equal(device.app.config.hostname, "router3");
    order("config set", "# two of them\nhostname = router4\r\n\nreport=daily 07:00");
    run_s(40);
    assert_string_equal(device.app.config.hostname, "router4");
    assert_int_equal(device.app.config.report, CONFIG_DAILY | 420);
    device.server.mail_count = 0;
    order("config set", "hostname = router5\nreport\n");
    run_s(40);
    assert_int_equal(taken("not done: line 2: expected `key =3D value`"), 1);
    assert_string_equal(device.app.config.hostname, "router4");
}

static void test_config_import(void **state)
{
    static char text[33000];

    (void)state;
    begin(CONFIG);
    order("config import", CONFIG "hostname = new1\n");
    run_s(40);
    assert_int_equal(taken("nothing was changed: line 18: hostname: "), 1);
    assert_confirmed(1);
    assert_int_equal(device.resets, 0);
    memset(text, '#', 31000);
    for (size_t i = 100; i < 31000; i += 100) {
        text[i] = '\n';
    }
    text[30999] = '\n';
    strcpy(text + 31000, CONFIG);
    order("config import", text);
    run_s(60);
    assert_confirmed(2);
    assert_int_equal(device.app.slots.size, strlen(text));
    memset(text, '#', 32760);
    text[32760] = '\0';
    device.server.mail_count = 0;
    order("config import", CONFIG "report = 1d\n");
    run_s(60);
    assert_confirmed(3);
    assert_int_equal(taken("configuration 3 is being tried"), 1);
    run_s(60);
    assert_int_equal(device.pop3d.count, 0);
}

/* Nothing gets out with the new settings: the old ones return, and the answer says why. */
static void test_roll_back(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "MAIL FROM:<bad@", "451 4.7.1 not you", 100000);
    order("config set", "from = bad@example.test\nhostname = router9\n");
    run_s(30);
    assert_int_equal(device.app.slots.sequence, 2);
    assert_true(device.app.slots.on_trial);
    order("status", NULL); /* It waits for the trial's end. */
    run_s(20);
    assert_int_equal(last_order()->phase, AUTHORITY_TRIAL);
    assert_int_equal(device.server.mail_count, 0);
    run_s(60);
    assert_int_equal(device.app.slots.sequence, 1);
    assert_int_equal(taken("configuration 2 was not confirmed: no mail got out in 60 s"), 1);
    assert_int_equal(taken("In-Reply-To: <m1@phone.example.test>"), 1);
    run_s(100);
    assert_int_equal(taken("In-Reply-To: <m2@phone.example.test>"), 1);
    assert_int_equal(device.server.mail_count, 2);
    assert_int_equal(device.pop3d.count, 0);
    assert_int_equal(device.resets, 2);
}

/* Another mail confirms the trial; the answer cannot be had, and follows when it can. */
static void test_answer_later(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "RCPT TO:<me@", "451 4.7.1 later", 3);
    order("config set hostname = router2", NULL);
    run_s(25);
    assert_true(device.app.slots.on_trial);
    sim_device_type(&device, "alert error something\r");
    run_s(400);
    assert_confirmed(2);
    assert_true(taken("In-Reply-To: <m1@phone.example.test>") == 1);
    assert_int_equal(device.app.queue.count, 0);
}

/* ---- the console meanwhile ---- */

static void test_console(void **state)
{
    (void)state;
    begin(CONFIG);
    commands_config_mail_begin(&device.app); /* As in the middle of a session. */
    sim_device_type(&device,
                    "config set hostname typed\rconfig commit\rconfig revert\rconfig history\r");
    assert_true(on_screen("error: an order by mail is changing the configuration"));
    assert_true(on_screen("number 1"));
    commands_config_mail_end(&device.app);
    sim_device_type(&device, "config import\rhostname = a\r");
    commands_config_mail_begin(&device.app);
    assert_int_equal(candidate_import_begin(&device.app.config_shell.candidate), 0);
    assert_int_equal(candidate_import_push(&device.app.config_shell.candidate, "to", 2), 0);
    sim_device_type(&device, "reboot\r.\rreboot\r");
    assert_int_equal(device.resets, 0);
    assert_int_equal(device.app.slots.stage.size, 2);
    assert_true(on_screen("error: aborted; nothing is staged"));
    commands_config_mail_end(&device.app);
}

/* ---- power cuts ---- */

static jmp_buf cut_at;
static int (*real_program)(const struct flash *, uint32_t, const void *, size_t);
static int (*real_erase)(const struct flash *, uint32_t);

/* With the power goes the device: not one more instruction, and nothing more over the network. */
static int cut_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    int result = real_program(flash, address, data, size);

    if (device.nor.off) {
        longjmp(cut_at, 1);
    }
    return result;
}

static int cut_erase(const struct flash *flash, uint32_t address)
{
    int result = real_erase(flash, address);

    if (device.nor.off) {
        longjmp(cut_at, 1);
    }
    return result;
}

static void can_be_cut(void)
{
    real_program = device.nor.flash.program;
    real_erase = device.nor.flash.erase;
    device.nor.flash.program = cut_program;
    device.nor.flash.erase = cut_erase;
}

/* Runs until the power is lost, at most for so long; then the power is back, but the device is not
 * started yet. True: it was lost. */
static bool run_until_cut(uint32_t n, enum nor_cut kind, bool boots, uint32_t seconds)
{
    nor_cut_in(&device.nor, n, kind);
    if (setjmp(cut_at) != 0) {
        nor_power(&device.nor);
        return true;
    }
    if (boots) {
        boot();
    }
    run_s(seconds);
    nor_power(&device.nor);
    return false;
}

/* Mails that answer order number `index`, hold that text, and differ; *last is the one that came
 * last. */
static unsigned answers_to(uint32_t index, const char *text, const char **last)
{
    char answers[50];
    const char *ids[96];
    unsigned count = 0;

    snprintf(answers, sizeof answers, "In-Reply-To: <m%u@phone", (unsigned)index);
    *last = "";
    for (size_t i = 0; i < device.server.mail_count; i++) {
        const struct sim_mail *one = &device.server.mails[i];
        const char *id = strstr(one->bytes, "\nMessage-ID: ");
        bool known = false;

        if (!one->taken || strstr(one->bytes, answers) == NULL ||
            strstr(one->bytes, text) == NULL) {
            continue;
        }
        assert_non_null(id);
        for (unsigned j = 0; j < count; j++) {
            known |= strncmp(ids[j], id, strcspn(id + 1, "\n") + 1) == 0;
        }
        ids[count] = id;
        count += !known;
        *last = one->bytes;
    }
    return count;
}

struct scenario {
    const char *name;
    const char *commands[4];
    const char *text; /* Of the first one. */
    bool trial;       /* It commits a configuration, */
    bool fails;       /* which does not work. */
    unsigned resets;  /* Of its own. */
};

static const struct scenario scenarios[] = {
    {.name = "plain", .commands = {"status", "mute r1 2h", "otp 50 ab1 0011223344556677", "help"}},
    {.name = "ack", .commands = {"ack 1", "poll 2h"}},
    {.name = "reboot", .commands = {"reboot", "mute r1 2h"}, .resets = 1},
    {.name = "set", .commands = {"config set hostname = router2", "mute r1 2h"}, .trial = true},
    {.name = "import", .commands = {"config import", "mute r1 2h"}, .text = FAST, .trial = true},
    {.name = "fails",
     .commands = {"config set from = bad@example.test", "mute r1 2h"},
     .trial = true,
     .fails = true},
    {.name = "wrong", .commands = {"config set mailhub = :::", "mute r1 2h"}},
};

static void start(const struct scenario *scenario)
{
    begin(FAST);
    sim_server_answer(&device.server, "MAIL FROM:<bad@", "451 4.7.1 not you", 1000000);
    device.server.no_open = "away"; /* An alert waits for its ack. */
    sim_device_type(&device, "alert info the tower is on fire\r");
    device.server.no_open = NULL;
    for (unsigned i = 0; i < 4 && scenario->commands[i] != NULL; i++) {
        order(scenario->commands[i], i == 0 ? scenario->text : NULL);
    }
    can_be_cut();
}

static bool commanded(const struct scenario *scenario, const char *what)
{
    for (unsigned i = 0; i < 4 && scenario->commands[i] != NULL; i++) {
        if (strncmp(scenario->commands[i], what, strlen(what)) == 0) {
            return true;
        }
    }
    return false;
}

/* Why it is not as it must be, when all is quiet again; NULL: it is. */
static const char *judge(const struct scenario *scenario, unsigned cuts)
{
    const struct app *app = &device.app;
    uint32_t number = app->slots.sequence;
    const char *last;

    if (device.pop3d.count != 0) {
        return "an order is still in the mailbox";
    }
    if (app->authority.order.phase != AUTHORITY_ENDED || app->config_shell.mail.active) {
        return "an order has not ended";
    }
    for (uint32_t i = 1; i <= counter; i++) {
        unsigned count = answers_to(i, "not confirmed", &last);

        if (count > 1) {
            return "a configuration's end was told twice";
        }
        count = answers_to(i, "", &last);
        if (count == 0) {
            return "an order was not answered";
        }
        if (count > 1 + (scenario->trial && i == 1 ? cuts : 0)) {
            return "an order was answered in two ways";
        }
        if (i == 1 && scenario->trial &&
            (strstr(last, "was not confirmed") != NULL || strstr(last, "went bad") != NULL) !=
                (number == 1)) {
            return "the answer says something else than what is in force";
        }
    }
    if (number != (scenario->trial ? 2 : 1) && !(number == 1 && (scenario->fails || cuts > 0))) {
        return "the wrong configuration is in force";
    }
    /* A text that was cut off in its rejection may read as damaged, and is told as that. */
    if (scenario->trial && number == 1 && app->slots.rolled_back != 2 && !app->slots.fallback) {
        return "a configuration was committed twice, or never";
    }
    if (commanded(scenario, "mute") &&
        (strcmp(app->diary.mutes[0].source, "r1") != 0 || app->diary.mutes[1].source[0] != '\0')) {
        return "the mute is not what was ordered";
    }
    if (commanded(scenario, "otp") && authority_otp_left(&app->authority) != 50) {
        return "the chain is not what was ordered";
    }
    if (device.resets > scenario->resets + 3 * cuts + 2u * scenario->trial) {
        return "it was reset too often";
    }
    return NULL;
}

static void fail_case(const struct scenario *scenario, uint32_t n, uint32_t n2, enum nor_cut kind,
                      const char *why)
{
    fputs(device.screen, stderr);
    fail_msg("%s: %s, cuts at %u and %u, %s", why, scenario->name, (unsigned)n, (unsigned)n2,
             nor_cut_name(kind));
}

/* One cut at operation n (and one at n2 of the boot and what follows). False: it was never reached.
 */
static bool cut_case(const struct scenario *scenario, uint32_t n, uint32_t n2, enum nor_cut kind)
{
    unsigned cuts = 0;
    const char *why;
    bool lost;

    start(scenario);
    device.nor.random ^= (n * 64 + n2 * 8 + (uint32_t)kind) * 2654435761u;
    device.nor.random |= 1;
    lost = run_until_cut(n, kind, false, 200);
    cuts += lost;
    if (lost && n2 != 0) {
        cuts += run_until_cut(n2, kind, true, 200);
    }
    if (lost) {
        boot();
    }
    run_s(300);
    why = judge(scenario, cuts);
    if (why != NULL) {
        fail_case(scenario, n, n2, kind, why);
    }
    sim_device_end(&device);
    return lost;
}

static void test_cuts(void **state)
{
    unsigned cases = 0;

    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        uint32_t n = 1;

        while (cut_case(&scenarios[i], n, 0, (enum nor_cut)(n % NOR_CUT_KINDS_ALL))) {
            if (n % 5 == 0) {
                (void)cut_case(&scenarios[i], n, 1 + n * 7 % 60,
                               (enum nor_cut)(n / 5 % NOR_CUT_KINDS));
            }
            n++;
        }
        cases += n;
        print_message("%s: %u operations\n", scenarios[i].name, (unsigned)n - 1);
    }
    print_message("%u cases\n", cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_plain, end),
        cmocka_unit_test_teardown(test_allowed, end),
        cmocka_unit_test_teardown(test_mute_and_poll, end),
        cmocka_unit_test_teardown(test_ack, end),
        cmocka_unit_test_teardown(test_config_set, end),
        cmocka_unit_test_teardown(test_config_import, end),
        cmocka_unit_test_teardown(test_roll_back, end),
        cmocka_unit_test_teardown(test_answer_later, end),
        cmocka_unit_test_teardown(test_console, end),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
