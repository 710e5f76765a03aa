/* A configuration being changed on the device: edits over a text that streams by. */
#include "firmware/candidate.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define SLOT_BLOCKS 16u

static struct nor nor;
static struct slots slots;
static struct candidate candidate;
static struct candidate_room room;
static char out[70000];
static size_t out_size;
static char findings[4096];

static int setup(void **state)
{
    struct flash flash = {.page_bytes = 256, .program_bytes = 4, .erased = 0xFF};

    (void)state;
    flash.erase_bytes = BLOCK;
    flash.config_bytes = 2 * SLOT_BLOCKS * BLOCK;
    flash.log_base = flash.config_bytes;
    flash.size_bytes = flash.config_bytes;
    nor_init(&nor, &flash, 0xCA11);
    slots_mount(&slots, &nor.flash);
    candidate_init(&candidate, &slots);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(nor.violation);
    nor_free(&nor);
    return 0;
}

static int take(void *context, const char *text, size_t size)
{
    (void)context;
    assert_true(out_size + size < sizeof out);
    memcpy(out + out_size, text, size);
    out_size += size;
    out[out_size] = '\0';
    return 0;
}

static const char *staged(void)
{
    out_size = 0;
    out[0] = '\0';
    assert_int_equal(candidate_read(&candidate, take, NULL), 0);
    return out;
}

static const char *in_force(void)
{
    int size;

    slots_mount(&slots, &nor.flash);
    out_size = 0;
    while ((size = slots_read(&slots, (uint32_t)out_size, out + out_size, 1000)) > 0) {
        out_size += (size_t)size;
    }
    assert_int_equal(size, 0);
    out[out_size] = '\0';
    return out;
}

static void base(const char *text)
{
    assert_int_equal(slots_write(&slots, text, strlen(text)), 0);
}

static void set(const char *key, const char *value)
{
    const char *why = "";

    assert_int_equal(candidate_set(&candidate, key, value, &why), 0);
    assert_null(why);
}

static void import(const char *text, size_t piece)
{
    size_t size = strlen(text);

    assert_int_equal(candidate_import_begin(&candidate), 0);
    for (size_t at = 0; at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;

        assert_int_equal(candidate_import_push(&candidate, text + at, part), 0);
    }
    candidate_import_end(&candidate);
}

static void report(void *context, unsigned line, const char *key, const char *message)
{
    size_t used = strlen(findings);

    (void)context;
    snprintf(findings + used, sizeof findings - used, "%u %s: %s\n", line, key, message);
}

static int check(void)
{
    findings[0] = '\0';
    return candidate_check(&candidate, &room, report, NULL);
}

#define GOOD                                                           \
    "root = a@example.com\nmailhub = mail.example.com:25\ntls = off\n" \
    "from = b@example.com\n"

static void test_first_configuration(void **state)
{
    (void)state;
    assert_false(candidate_staged(&candidate));
    assert_int_equal(candidate_commit(&candidate, false), E_MISSING);
    set("root", "a@example.com");
    assert_true(candidate_staged(&candidate));
    set("MailHub", "mail.example.com:25");
    assert_string_equal(staged(), "root = a@example.com\nmailhub = mail.example.com:25\n");
    assert_int_equal(check(), 1);
    assert_non_null(strstr(findings, "tls_ca_file: missing"));
    set("tls", "off");
    assert_int_equal(check(), 0);
    assert_string_equal(room.config.mailhub.host, "mail.example.com");
    assert_int_equal(candidate_commit(&candidate, false), 0);
    assert_false(candidate_staged(&candidate));
    assert_string_equal(in_force(),
                        "root = a@example.com\nmailhub = mail.example.com:25\ntls = off\n");
}

static void test_replace(void **state)
{
    (void)state;
    base("# who\nto = a@x.org\n\nhost = m 10.0.0.1\nhost = n 10.0.0.2\n  Auth_User = old  \n"
         "; mail\nmailhub=m:25\nAuth Pass=\"x y \"\n");
    set("root", "z@x.org, y@x.org");
    set("host", "q 10.0.0.3");
    set("auth-user", "new = er");
    set("from_name", "\" me \"");
    assert_string_equal(staged(), "# who\nroot = z@x.org, y@x.org\n\nhost = q 10.0.0.3\n"
                                  "auth_user = new = er\n; mail\nmailhub=m:25\n"
                                  "Auth Pass=\"x y \"\nfrom_name = \" me \"\n");
    set("authpass", NULL);
    set("host", "");
    set("to", "one@x.org");
    assert_string_equal(staged(), "# who\nroot = one@x.org\n\nauth_user = new = er\n; mail\n"
                                  "mailhub=m:25\nfrom_name = \" me \"\n");
    assert_string_equal(staged(), out); /* Reading changes nothing. */
    candidate_drop(&candidate);
    assert_false(candidate_staged(&candidate));
    assert_non_null(strstr(staged(), "to = a@x.org\n"));
}

/* Lines end as the base's do, also where its last one does not end. */
static void test_line_ends(void **state)
{
    (void)state;
    base("root = a@x.org\r\nmailhub = m");
    set("hostname", "h");
    assert_string_equal(staged(), "root = a@x.org\r\nmailhub = m\r\nhostname = h\r\n");
    set("root", "b@x.org");
    assert_string_equal(staged(), "root = b@x.org\r\nmailhub = m\r\nhostname = h\r\n");
    set("mailhub", "n");
    assert_string_equal(staged(), "root = b@x.org\r\nmailhub = n\r\nhostname = h\r\n");
    candidate_drop(&candidate);
    base("root = a@x.org\nmailhub = m");
    set("mailhub", NULL);
    set("hostname", "h");
    assert_string_equal(staged(), "root = a@x.org\nhostname = h\n");
    candidate_drop(&candidate);
    base("tls = off");
    set("hostname", NULL);
    assert_string_equal(staged(), "tls = off");
    set("tls", "on");
    assert_string_equal(staged(), "tls = on\n");
}

/* What looks like a key inside a PEM block is none, unless the END line was forgotten. */
static void test_pem_passes(void **state)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nAAAA\nto==\nroot=\n"
                              "-----END CERTIFICATE-----\n";
    char text[400];

    (void)state;
    snprintf(text, sizeof text, "%sroot = a@x.org\n%s", pem, pem);
    base(text);
    set("root", "b@x.org");
    snprintf(text, sizeof text, "%sroot = b@x.org\n%s", pem, pem);
    assert_string_equal(staged(), text);
    candidate_drop(&candidate);
    base("-----BEGIN CERTIFICATE-----\nAAAA\nto= a@x.org\nroot=\n");
    set("root", "b@x.org");
    assert_string_equal(staged(), "-----BEGIN CERTIFICATE-----\nAAAA\nroot = b@x.org\n");
}

/* A line with a blank inside is no base64; and no key is as long as this one. */
static void test_no_keys(void **state)
{
    (void)state;
    base("-----BEGIN CERTIFICATE-----\nAAAA\nto =\nroot = a@x.org\n");
    set("root", "b@x.org");
    assert_string_equal(staged(), "-----BEGIN CERTIFICATE-----\nAAAA\nroot = b@x.org\n");
    candidate_drop(&candidate);
    base("root____________________________x = 1\n#root = 2\n ; root = 3\n= root\nroot\n");
    set("root", "b@x.org");
    assert_string_equal(staged(), "root____________________________x = 1\n#root = 2\n"
                                  " ; root = 3\n= root\nroot\nroot = b@x.org\n");
}

static void test_refused(void **state)
{
    const char *why = NULL;
    char value[200];

    (void)state;
    assert_int_equal(candidate_set(&candidate, "mailhubb", "x", &why), E_INVALID);
    assert_non_null(strstr(why, "no such key"));
    assert_int_equal(candidate_set(&candidate, "TLS_CA_File", "x", &why), E_INVALID);
    assert_non_null(strstr(why, "config import"));
    assert_int_equal(candidate_set(&candidate, "tls_key", "x", &why), E_INVALID);
    assert_false(candidate_staged(&candidate));
    memset(value, 'v', sizeof value);
    value[199] = '\0';
    set("root", value);
    set("mailhub", value);
    assert_int_equal(candidate_set(&candidate, "from", value, &why), E_SPACE);
    assert_non_null(why);
    set("tls", "off"); /* A shorter one still fits, and nothing was spoilt. */
    set("root", "short");
    assert_non_null(strstr(staged(), "root = short\n"));
    assert_null(strstr(out, "from"));
    assert_true(candidate_secret("Auth_Pass"));
    assert_true(candidate_secret("authpass2"));
    assert_true(candidate_secret("pop3pass"));
    assert_true(candidate_secret("command_key"));
    assert_false(candidate_secret("command_public_key"));
    assert_false(candidate_secret("auth_user"));
    assert_false(candidate_secret("nothing"));
}

/* Every length of edits up to the last byte of their room: what is taken is all there. */
static void test_room_for_edits(void **state)
{
    (void)state;
    for (size_t length = 1; length < CANDIDATE_EDIT_BYTES + 10; length++) {
        static char value[CANDIDATE_EDIT_BYTES + 20];
        const char *why;

        memset(value, 'a', length);
        value[length] = '\0';
        candidate_drop(&candidate);
        set("tls", "off");
        if (candidate_set(&candidate, "root", value, &why) == 0) {
            assert_in_range(candidate.edits_used, 1, CANDIDATE_EDIT_BYTES);
            assert_int_equal(strlen(staged()), strlen("tls = off\nroot = \n") + length);
        } else {
            assert_in_range(length, CANDIDATE_EDIT_BYTES - 22, sizeof value);
            assert_string_equal(staged(), "tls = off\n");
        }
        (void)!candidate_set(&candidate, "mailhub", "m", &why);
    }
}

/* In pieces of any size: what is staged is the same. */
static void test_lines(void **state)
{
    static const char text[] = "# a comment = 1\r\n\n  hostname=\t\"two words\"\r\nroot = a@x.org, "
                               "b@x.org\n;x=y\nmailhub =\nroot = c@x.org\ntls=off";
    const char *why = NULL;

    (void)state;
    base("mailhub = old\nroot = old@x.org\n");
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        candidate_drop(&candidate);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;

            assert_int_equal(
                candidate_lines_push(&candidate, text + at, left < piece ? left : piece, &why), 0);
        }
        assert_int_equal(candidate_lines_end(&candidate, &why), 0);
        assert_int_equal(candidate_lines_end(&candidate, &why), 0);
        assert_int_equal(candidate.line, 8);
        assert_string_equal(staged(), "root = c@x.org\nhostname = \"two words\"\ntls = off\n");
        for (size_t i = candidate.edits_used; i < sizeof candidate.edits; i++) {
            assert_int_equal(candidate.edits[i], 0);
        }
    }
}

static void test_lines_refused(void **state)
{
    static const char *const bad[] = {"hostname", "nonsense = 1", "TLS_CA_File = x", "= x"};
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        candidate_drop(&candidate);
        why = NULL;
        assert_int_equal(candidate_lines_push(&candidate, "tls = off\n", 10, &why), 0);
        assert_int_equal(candidate_lines_push(&candidate, bad[i], strlen(bad[i]), &why), 0);
        assert_int_equal(candidate_lines_end(&candidate, &why), E_INVALID);
        assert_non_null(why);
        assert_int_equal(candidate.line, 2);
        assert_string_equal(staged(), "tls = off\n");
    }
}

/* Every length of a line, up to the last byte of the room and beyond. */
static void test_room_for_lines(void **state)
{
    static char line[CANDIDATE_EDIT_BYTES + 40];

    (void)state;
    for (size_t length = 1; length < CANDIDATE_EDIT_BYTES + 10; length++) {
        const char *why = NULL;
        int result;

        memcpy(line, "to= ", 4);
        memset(line + 4, 'a', length);
        memcpy(line + 4 + length, " \r\n", 4);
        candidate_drop(&candidate);
        set("tls", "off");
        result = candidate_lines_push(&candidate, line, strlen(line), &why);
        if (result == 0) {
            assert_int_equal(strlen(staged()), strlen("tls = off\nroot = \n") + length);
        } else {
            assert_int_equal(result, E_SPACE);
            assert_non_null(why);
            assert_in_range(length, CANDIDATE_EDIT_BYTES - 24, sizeof line);
            assert_string_equal(staged(), "tls = off\n");
        }
    }
}

static void test_edits_listed(void **state)
{
    bool secret;
    const char *value;

    (void)state;
    set("AuthPass", "hush");
    set("To", "a = b");
    set("hostname", NULL);
    assert_string_equal(candidate_edit(&candidate, 0, &secret, &value), "auth_pass");
    assert_true(secret);
    assert_string_equal(candidate_edit(&candidate, 1, &secret, &value), "root");
    assert_false(secret);
    assert_string_equal(value, "a = b");
    assert_string_equal(candidate_edit(&candidate, 2, &secret, &value), "hostname");
    assert_null(value);
    assert_null(candidate_edit(&candidate, 3, &secret, &value));
    candidate_drop(&candidate);
    set("auth_pass", "hush");
    set("auth_pass", "hush");
    set("auth_pass", NULL);
    for (size_t i = 0; i + 4 <= sizeof candidate.edits; i++) { /* Nothing of it is left. */
        assert_memory_not_equal(candidate.edits + i, "hush", 4);
    }
}

static void test_import(void **state)
{
    (void)state;
    base("root = old@x.org\n");
    set("hostname", "dropped");
    import(GOOD, 7);
    assert_true(candidate_staged(&candidate));
    assert_string_equal(staged(), GOOD);
    assert_int_equal(check(), 0);
    assert_int_equal(candidate_commit(&candidate, false), 0);
    assert_string_equal(in_force(), GOOD);
    assert_int_equal(slots.sequence, 2);

    import("root = b@x.org\nmailhub = m:25\n", 1);
    set("tls", "off"); /* Over the imported text. */
    set("root", "c@x.org");
    assert_string_equal(staged(), "root = c@x.org\nmailhub = m:25\ntls = off\n");
    assert_int_equal(check(), 0);
    assert_int_equal(candidate_commit(&candidate, true), 0);
    assert_string_equal(in_force(), "root = c@x.org\nmailhub = m:25\ntls = off\n");
    assert_true(slots.on_trial);
    assert_int_equal(candidate_import_begin(&candidate), E_TRANSIENT);
    assert_false(candidate.importing);
    set("root", "d@x.org");
    assert_int_equal(candidate_commit(&candidate, false), E_TRANSIENT);
    assert_true(candidate_staged(&candidate)); /* To be committed after the trial. */
}

static void test_import_limits(void **state)
{
    static char text[CONFIG_TEXT_BYTES + 1];

    (void)state;
    base(GOOD);
    memset(text, '#', sizeof text);
    assert_int_equal(candidate_import_begin(&candidate), 0);
    assert_int_equal(candidate_import_push(&candidate, text, sizeof text - 1), 0);
    assert_int_equal(candidate_import_push(&candidate, text, 1), E_SPACE);
    assert_int_equal(candidate_import_push(&candidate, text, 1), E_MISSING);
    candidate_import_end(&candidate);
    assert_false(candidate_staged(&candidate));
    assert_string_equal(in_force(), GOOD);
    /* The longest one goes in, but no other can be made of it beside it. */
    text[sizeof text - 1] = '\0';
    text[0] = '\n';
    import(text, 1000);
    set("root", "a@x.org");
    assert_int_equal(candidate_commit(&candidate, false), E_SPACE);
    assert_true(candidate_staged(&candidate)); /* The edit still is. */
    assert_string_equal(in_force(), GOOD);
    assert_int_equal(candidate_commit(&candidate, false), 0);
    assert_non_null(strstr(in_force(), "root = a@x.org\n"));
}

/* A check tells each line; certificates are decoded. */
static void test_check(void **state)
{
    (void)state;
    import("root = a@x.org\nmailhub = m\nnonsense = 1\nretry_min = 0\n"
           "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
           100);
    assert_int_equal(check(), 2);
    assert_non_null(strstr(findings, "3 nonsense: no such key\n"));
    assert_non_null(strstr(findings, "4 retry_min: not valid\n"));
    import("root = a@x.org\nmailhub = m\n"
           "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
           3);
    assert_int_equal(check(), 1);
    assert_non_null(strstr(findings, "0 tls_ca_file: "));
    import("root = a@x.org, A@X.org\nmailhub = m:25\ntls = off\n", 100);
    assert_int_equal(check(), 1); /* What only the review sees. */
    assert_non_null(strstr(findings, "1 root: written twice\n"));
    nor.fail_read = nor.reads + 1;
    nor.fail_on = true;
    assert_int_equal(check(), E_IO);
    nor.fail_read = 0;
    nor.fail_on = false;
}

/* ---- against a simple model ---- */

static uint32_t dice(uint32_t sides)
{
    return nor_random(&nor) % sides;
}

static const char *const names[] = {"root", "mailhub", "auth_user", "auth_pass", "host", "tls"};
#define NAMES (sizeof names / sizeof names[0])

/* How they may be written, and other lines that are no key's. */
static const struct {
    const char *written;
    int name;
} lines[] = {
    {"root = a", 0},     {" TO\t= a", 0},      {"to=a", 0},      {"Mail-Hub=b", 1},
    {"mailhub = b", 1},  {"Auth User = c", 2}, {"authpass=", 3}, {"host = h 1", 4},
    {"host = g 2", 4},   {"tls =off ", 5},     {"", -1},         {"# root = a", -1},
    {"nothing = a", -1}, {"root", -1},         {"; ==", -1},
};
#define LINES (sizeof lines / sizeof lines[0])

struct model {
    const char *end; /* Of each line. */
    size_t count, edits;
    int line[10];
    bool ended; /* The last line is. */
    struct {
        int name;
        char value[8]; /* "": taken out. */
        bool applied;
    } edit[8];
};

static void make_model(struct model *model)
{
    memset(model, 0, sizeof *model);
    model->end = dice(2) ? "\r\n" : "\n";
    model->count = dice(10);
    for (size_t i = 0; i < model->count; i++) {
        model->line[i] = (int)dice(LINES);
    }
    model->ended = dice(2);
    for (unsigned i = dice(7); i > 0; i--) {
        int name = (int)dice(NAMES);
        size_t at = 0;

        while (at < model->edits && model->edit[at].name != name) {
            at++;
        }
        if (at < model->edits) { /* The later one counts. */
            model->edits--;
            memmove(&model->edit[at], &model->edit[at + 1],
                    (model->edits - at) * sizeof model->edit[0]);
        }
        at = model->edits++;
        model->edit[at].name = name;
        model->edit[at].applied = false;
        model->edit[at].value[0] = '\0';
        if (dice(3) > 0) {
            snprintf(model->edit[at].value, sizeof model->edit[at].value, "w%u", dice(1000));
        }
        set(name == 0 && dice(2) ? "To" : names[name], model->edit[at].value);
    }
}

static void model_text(const struct model *model, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < model->count; i++) {
        strcat(text, lines[model->line[i]].written);
        strcat(text, i + 1 < model->count || model->ended ? model->end : "");
    }
}

static void model_apply(struct model *model, size_t at, const char *end, char *text)
{
    if (!model->edit[at].applied && model->edit[at].value[0] != '\0') {
        sprintf(text + strlen(text), "%s = %s%s", names[model->edit[at].name],
                model->edit[at].value, end);
    }
    model->edit[at].applied = true;
}

static void model_want(struct model *model, char *text)
{
    /* Without any line end there is none to do as. */
    const char *end = model->count > 1 || (model->count == 1 && model->ended) ? model->end : "\n";

    text[0] = '\0';
    for (size_t i = 0; i < model->count; i++) {
        size_t at = 0;

        while (at < model->edits && model->edit[at].name != lines[model->line[i]].name) {
            at++;
        }
        if (at < model->edits) {
            model_apply(model, at, end, text);
        } else {
            strcat(text, lines[model->line[i]].written);
            strcat(text, i + 1 < model->count || model->ended ? model->end : "");
        }
    }
    for (size_t at = 0; at < model->edits; at++) {
        bool adds = !model->edit[at].applied && model->edit[at].value[0] != '\0';

        if (adds && text[0] != '\0' && text[strlen(text) - 1] != '\n') {
            strcat(text, end);
        }
        model_apply(model, at, end, text);
    }
}

static void test_model(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        char text[400], want[800];
        struct model model;
        uint32_t seed;
        bool imports = dice(2);

        candidate_drop(&candidate);
        seed = nor.random;
        make_model(&model); /* Its edits go when a text is imported: they are made again. */
        model_text(&model, text);
        candidate_drop(&candidate);
        if (imports) {
            import(text, 1 + dice(20));
        } else {
            base(text);
        }
        nor.random = seed;
        make_model(&model);
        model_want(&model, want);
        nor.random += round;
        assert_string_equal(staged(), want);
        if (candidate_staged(&candidate)) {
            assert_int_equal(candidate_commit(&candidate, false), 0);
            assert_string_equal(in_force(), want);
        }
    }
}

static char told[1000];

static void tell(void *context, const char *line)
{
    (void)context;
    strcat(strcat(told, line), "\n");
}

/* A secret that differs is told, and not shown; one that does not differ is not. */
static void test_changes_of_secrets(void **state)
{
    static struct config from, to;

    (void)state;
    config_defaults(&from);
    strcpy(from.pop3_pass, "one");
    from.command_key_set = true;
    from.command_key[31] = 1;
    to = from;
    candidate_changes(&from, &to, tell, NULL);
    assert_string_equal(told, "");
    strcpy(to.pop3_pass, "two");
    to.command_key[31] = 2;
    to.commands = 0;
    candidate_changes(&from, &to, tell, NULL);
    assert_string_equal(told, "- pop3_pass = ********\n+ pop3_pass = ********\n"
                              "- commands = help, status, report, test, queue, ack, mute, poll, "
                              "history, config-show\n+ commands = none\n"
                              "- command_key = ********\n+ command_key = ********\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pem_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_for_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_for_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test(test_changes_of_secrets),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
