/* The MIME reader: mails as programs write them (tests/mails), whole and cut at every place; mails
 * that Python's e-mail package makes and reads; and what nobody should send. */
#include "net/mime.h"
#include "net/text.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAIL_BYTES 200000
#define TOLD_BYTES 400000
#define REPLACEMENT "\xEF\xBF\xBD"

/* What a reader told: fields one a line, "report" if it is one, and the text. */
struct told {
    struct text fields;
    struct text text;
    unsigned header_ends;
    unsigned calls; /* Of text. */
};

/* Two can be compared: each has its room. */
enum slot { WHOLE, OTHER };

static struct told told_begin(enum slot slot)
{
    static char fields[2][TOLD_BYTES];
    static char texts[2][TOLD_BYTES];

    return (struct told){.fields = text_begin(fields[slot], TOLD_BYTES),
                         .text = text_begin(texts[slot], TOLD_BYTES)};
}

static void take_field(void *context, enum mime_place place, const char *name, const char *value)
{
    struct told *told = context;

    assert_true(place == MIME_HEADER || told->header_ends == 1);
    assert_true(place != MIME_HEADER || told->header_ends == 0);
    assert_in_range(strlen(value), 0, MIME_VALUE_BYTES - 1);
    text_format(&told->fields, "%c %s: %s\n", "HRO"[place], name, value);
}

static void take_header_end(void *context)
{
    struct told *told = context;

    told->header_ends++;
}

static void take_text(void *context, const char *bytes, size_t size)
{
    struct told *told = context;

    assert_int_equal(told->header_ends, 1);
    assert_in_range(size, 1, 4096);
    text_add_bytes(&told->text, bytes, size);
    told->calls++;
}

/* Reads a mail in pieces: the first of `first` bytes, those behind it of `piece`. */
static struct told read_mail(enum slot slot, const char *mail, size_t size, size_t first,
                             size_t piece)
{
    struct told told = told_begin(slot);
    struct mime_sink sink = {&told, take_field, take_header_end, take_text};
    struct mime mime;

    memset(&mime, 0x5A, sizeof mime);
    mime_init(&mime, &sink);
    for (size_t at = 0; at < size;) {
        size_t step = at == 0 ? first : piece;

        step = step < size - at ? step : size - at;
        mime_push(&mime, mail + at, step);
        at += step;
    }
    mime_end(&mime);
    assert_int_equal(told.header_ends, 1);
    assert_false(told.fields.cut || told.text.cut);
    if (mime_is_report(&mime)) {
        text_add(&told.fields, "report\n");
    }
    return told;
}

static struct told read_string(const char *mail)
{
    size_t size = strlen(mail);

    return read_mail(WHOLE, mail, size, size, size);
}

static void assert_same(const struct told *a, const struct told *b)
{
    assert_string_equal(a->fields.bytes, b->fields.bytes);
    assert_string_equal(a->text.bytes, b->text.bytes);
}

/* However it comes, it is read the same. */
static void assert_pieces(const char *mail, size_t size, const struct told *whole, size_t step)
{
    struct told pieces = read_mail(OTHER, mail, size, 1, 1);

    assert_same(whole, &pieces);
    for (size_t cut = 1; cut < size; cut += step) {
        struct told halves = read_mail(OTHER, mail, size, cut, size);

        assert_same(whole, &halves);
    }
}

static size_t read_file(const char *path, char *out, size_t room)
{
    FILE *file = fopen(path, "rb");
    size_t size;

    assert_non_null(file);
    size = fread(out, 1, room - 1, file);
    assert_true(feof(file));
    assert_int_equal(fclose(file), 0);
    out[size] = '\0';
    return size;
}

/* With CRLF as a server sends it. */
static size_t with_crlf(const char *mail, size_t size, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        if (mail[i] == '\n') {
            out[length++] = '\r';
        }
        out[length++] = mail[i];
    }
    return length;
}

/* Whether every line of `expected` up to an empty one was told, and if any are of a report, no
 * other line of that kind. */
static void assert_fields(const char *path, const char *expected, const char *fields)
{
    static char told[TOLD_BYTES + 1];
    unsigned lines = 0;

    snprintf(told, sizeof told, "\n%s", fields);
    while (*expected != '\n') {
        char line[2 * MIME_VALUE_BYTES];
        size_t size = strcspn(expected, "\n") + 1;

        assert_in_range(size, 1, sizeof line - 2);
        snprintf(line, sizeof line, "\n%.*s", (int)size, expected);
        if (strstr(told, line) == NULL) {
            fail_msg("%s: not told: %s; but: %s", path, line, told);
        }
        lines += *expected != 'H';
        expected += size;
    }
    for (const char *line = strstr(told, "\n"); line[1] != '\0'; line = strstr(line + 1, "\n")) {
        lines -= line[1] != 'H';
    }
    assert_int_equal(lines, 0);
}

static void check_file(const char *path, size_t step)
{
    static char mail[MAIL_BYTES];
    static char crlf[2 * MAIL_BYTES];
    static char expected[MAIL_BYTES];
    char other[512];
    size_t size = read_file(path, mail, sizeof mail);
    size_t crlf_size = with_crlf(mail, size, crlf);
    const char *text = expected;
    struct told whole;
    struct told again;

    snprintf(other, sizeof other, "%.*s.expect", (int)(strrchr(path, '.') - path), path);
    (void)read_file(other, expected, sizeof expected);
    whole = read_mail(WHOLE, mail, size, size, size);
    assert_fields(path, expected, whole.fields.bytes);
    text = expected[0] == '\n' ? expected + 1 : strstr(expected, "\n\n") + 2;
    if (strcmp(text, whole.text.bytes) != 0) {
        fail_msg("%s: text told:\n%s--- expected:\n%s---", path, whole.text.bytes, text);
    }
    again = read_mail(OTHER, crlf, crlf_size, crlf_size, crlf_size);
    assert_same(&whole, &again);
    assert_pieces(crlf, crlf_size, &whole, step);
}

/* Gives how many there are. */
static unsigned check_folder(const char *folder, size_t step)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    unsigned checked = 0;

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char path[512];

        if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".eml") == 0) {
            snprintf(path, sizeof path, "%s/%s", folder, name);
            check_file(path, step);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    return checked;
}

static void test_mails(void **state)
{
    (void)state;
    assert_in_range(check_folder(TESTS_DIR "/mails", 1), 30, 1000);
}

static void test_python_writes_them(void **state)
{
    static const char folder[] = "mime-mails";
    char command[512];

    (void)state;
    assert_true(mkdir(folder, 0777) == 0 || access(folder, W_OK) == 0);
    snprintf(command, sizeof command, "python3 %s/check_mime.py %s 500 4", TESTS_DIR, folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(check_folder(folder, 211), 500);
}

static void test_size_of_object(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct mime), 1, 1000);
}

/* Each byte of each charset, by Python's codecs. */
static void test_charsets(void **state)
{
    static const char *const names[] = {"windows-1251", "cp1252", "iso-8859-15", "KOI8-R",
                                        "koi8-u",       "Latin1", "windows-1252"};
    static const char *const codecs[] = {"cp1251", "cp1252", "iso8859-15", "koi8-r",
                                         "koi8-u", "cp1252", "cp1252"};

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char mail[512];
        char command[256];
        char expected[1024];
        size_t size = (size_t)snprintf(mail, sizeof mail,
                                       "Content-Type: text/plain; charset=%s\r\n\r\n:", names[i]);
        FILE *pipe;
        struct told told;

        for (unsigned byte = 0xA1; byte < 0x100; byte++) {
            mail[size++] = (char)byte;
        }
        for (unsigned byte = 0x80; byte < 0xA0; byte++) {
            mail[size++] = (char)byte;
        }
        told = read_mail(WHOLE, mail, size, size, size);
        snprintf(command, sizeof command,
                 "python3 -c \"import sys; s = bytes([*range(161, 256), *range(128, 160)])"
                 ".decode('%s', 'replace'); sys.stdout.buffer.write("
                 "''.join(c if c < '\\u0080' or c > '\\u00a0' else ' ' * (c == '\\u00a0')"
                 " for c in s).encode())\"",
                 codecs[i]);
        pipe = popen(command, "r");
        assert_non_null(pipe);
        size = fread(expected, 1, sizeof expected - 1, pipe);
        assert_int_equal(pclose(pipe), 0);
        expected[size] = '\0';
        assert_in_range(size, 120, 400);
        /* What ISO-8859-15 has as C1 controls is dropped. */
        assert_memory_equal(told.text.bytes + 1, expected, size);
        assert_string_equal(told.text.bytes + 1 + size, "\n");
    }
}

/* Every sequence of up to four of the bytes at which UTF-8's rules change. */
static void test_utf8(void **state)
{
    static const uint8_t edges[] = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0,
                                    0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
                                    0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFC, 0xFF};
    enum { EDGES = sizeof edges };

    (void)state;
    for (unsigned i = 0; i < EDGES * EDGES * EDGES * EDGES; i++) {
        char mail[] = "\n\n1234.";
        struct told told;

        mail[2] = (char)edges[i % EDGES];
        mail[3] = (char)edges[i / EDGES % EDGES];
        mail[4] = (char)edges[i / EDGES / EDGES % EDGES];
        mail[5] = (char)edges[i / EDGES / EDGES / EDGES];
        told = read_mail(WHOLE, mail, sizeof mail - 1, 7, 7);
        for (size_t at = 0; at + 2 < told.text.length;) {
            const char *shown;
            size_t shown_size;
            size_t taken =
                text_char(told.text.bytes + at, told.text.length - at, &shown, &shown_size);

            assert_true(taken == shown_size && memcmp(shown, told.text.bytes + at, taken) == 0);
            at += taken;
        }
        assert_string_equal(told.text.bytes + told.text.length - 2, ".\n");
    }
}

/* One U+FFFD for each beginning of a character that cannot go on (Unicode chapter 3.9), so that
 * nothing is written longer than it need be. */
static void test_utf8_examples(void **state)
{
    static const char *const examples[][2] = {
        {"\xC0\xBC", REPLACEMENT REPLACEMENT},
        {"\xE0\x80\xBC", REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xE0\xA0\x80", "\xE0\xA0\x80"},
        {"\xF0\x80\x80\xBC", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xED\xA0\x80", REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xF4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xE2\x82<", REPLACEMENT "<"},
        {"\xF0\x9F\x94\xE2\x82\xAC", REPLACEMENT "\xE2\x82\xAC"},
        {"\xE2\x82", REPLACEMENT},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        char mail[64];
        char expected[64];
        struct told told;

        snprintf(mail, sizeof mail, "X: %s\n\n%s", examples[i][0], examples[i][0]);
        told = read_string(mail);
        snprintf(expected, sizeof expected, "H X: %s\n", examples[i][1]);
        assert_string_equal(told.fields.bytes, expected);
        snprintf(expected, sizeof expected, "%s\n", examples[i][1]);
        assert_string_equal(told.text.bytes, expected);
    }
}

/* Sinks that want nothing. */
static void test_no_sink(void **state)
{
    static const char mail[] = "Subject: x\n\ntext\n";
    struct mime_sink sink = {NULL, NULL, NULL, NULL};
    struct mime mime;

    (void)state;
    mime_init(&mime, &sink);
    mime_push(&mime, mail, sizeof mail - 1);
    mime_end(&mime);
    assert_false(mime_is_report(&mime));
}

/* The header's end is told with its last byte, not later: behind TOP nothing follows. */
static void test_header_end_is_prompt(void **state)
{
    static const char mail[] = "Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n";
    struct told told = told_begin(WHOLE);
    struct mime_sink sink = {&told, take_field, take_header_end, take_text};
    struct mime mime;

    (void)state;
    mime_init(&mime, &sink);
    mime_push(&mime, mail, sizeof mail - 2);
    assert_int_equal(told.header_ends, 0);
    mime_push(&mime, mail + sizeof mail - 2, 1);
    assert_int_equal(told.header_ends, 1);
    mime_end(&mime);
    assert_int_equal(told.header_ends, 1);
    told = read_string("");
    assert_string_equal(told.fields.bytes, "");
    told = read_string("Subject: cut");
    assert_string_equal(told.fields.bytes, "H Subject: cut\n");
    told = read_string("Subject");
    assert_string_equal(told.fields.bytes, "");
    told = read_string("\n");
    assert_string_equal(told.text.bytes, "");
}

/* A value of any length is cut between characters. */
static void test_long_values(void **state)
{
    static char mail[MAIL_BYTES];

    (void)state;
    for (unsigned lead = 0; lead < 4; lead++) {
        struct text text = text_begin(mail, sizeof mail);
        const char *value;
        struct told told;
        size_t size;

        text_format(&text, "Subject: %s=?utf-8?B?", &"aaa"[3 - lead % 4]);
        for (unsigned i = 0; i < 10000; i++) {
            text_add(&text, "8J+UlPCflJTwn5SU"); /* Three bells. */
        }
        text_add(&text, "?= end\nX-Next: 1\n\n");
        told = read_mail(WHOLE, mail, text.length, text.length, 1);
        value = told.fields.bytes + strlen("H Subject: ");
        size = strcspn(value, "\n");
        assert_int_equal(size, lead + (MIME_VALUE_BYTES - 1 - lead) / 4 * 4);
        assert_string_equal(value + size, "\nH X-Next: 1\n");
    }
}

/* Repeats a piece between a beginning and an end without ever having it whole; gives the text. */
static struct told read_endless(const char *begin, const char *piece, unsigned count,
                                const char *end)
{
    struct told told = told_begin(WHOLE);
    struct mime_sink sink = {&told, take_field, take_header_end, take_text};
    struct mime mime;

    mime_init(&mime, &sink);
    mime_push(&mime, begin, strlen(begin));
    for (unsigned i = 0; i < count; i++) {
        mime_push(&mime, piece, strlen(piece));
    }
    mime_push(&mime, end, strlen(end));
    mime_end(&mime);
    assert_int_equal(told.header_ends, 1);
    return told;
}

static void test_endless(void **state)
{
    static const char parts[] = "Content-Type: multipart/mixed; boundary=a\n\n";
    struct told told;

    (void)state;
    told =
        read_endless("", "Content-Type: multipart/mixed; boundary=a\n\n--a\n", 100000, "\ntext\n");
    assert_string_equal(told.text.bytes, "text\n");
    told = read_endless("", "Content-Type: multipart/mixed; boundary=", 100000,
                        "\nSubject: y\n\n--a\n\nx");
    assert_non_null(strstr(told.fields.bytes, "H Subject: y\n"));
    told = read_endless("Subject: x", " =?utf-8?Q?=", 100000, "\nSubject: y\n\ntext");
    assert_non_null(strstr(told.fields.bytes, "\nH Subject: y\n"));
    assert_string_equal(told.text.bytes, "text\n");
    told = read_endless("", "x", 1000000, ": value\nSubject: y\n\n");
    assert_non_null(strstr(told.fields.bytes, "xxx: value\nH Subject: y\n"));
    told = read_endless(parts, "--a", 1000000, "\n--a\n\ntext\n--a--");
    assert_string_equal(told.text.bytes, "text\n");
    told = read_endless("Content-Type: multipart/mixed; boundary=a\n\n--a", " ", 1000000,
                        "\n\ntext\n--a--");
    assert_string_equal(told.text.bytes, "text\n");
    told = read_endless("Content-Type: multipart/mixed; boundary=a\n\n--a", " ",
                        MIME_HOLD_BYTES - 3, "XContent-Type: text/html\n\n<b>\n--a--");
    assert_string_equal(told.text.bytes, "<b>\n");
    told = read_endless("Content-Type: text/html\n\n<p>a", "<p <blockquote>&lt;<!--", 100000,
                        "--> end");
    assert_string_equal(told.text.bytes, "a\n< end\n");
    told = read_endless("Content-Type: text/html\n\n", "<blockquote>", 100000, "<p>deep");
    assert_string_equal(told.text.bytes, ">>>>>>>> deep\n");
    told = read_endless("Content-Type: text/plain; format=flowed\n\n", ">", 100000, " deep");
    assert_int_equal(told.text.length, 255 + strlen(" deep\n"));
    told = read_endless("Content-Type: text/html\n\n&#", "9", 100000, ";");
    assert_int_equal(told.text.length, strlen("&#") + 100000 + strlen(";\n"));
}

/* 50 MB of base64, of which the end is told. */
static void test_large(void **state)
{
    static const char line[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    struct told told = read_endless("Content-Transfer-Encoding: base64\n\n", line,
                                    50000000 / (sizeof line - 1), "dGhlIGVuZA==\r\n");

    (void)state;
    assert_string_equal(told.text.bytes, "the end\n");
    told = read_endless("Content-Type: multipart/mixed; boundary=a\n\n--a\n"
                        "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n",
                        line, 50000000 / (sizeof line - 1), "--a\n\nthe end\n--a--\n");
    assert_string_equal(told.text.bytes, "the end\n");
}

/* NULs and lone CRs hide nothing. */
static void test_nuls(void **state)
{
    static const char mail[] = "Sub\0ject: a\0b\r\nContent-Type: multipart/mixed; bound\0ary=x\r\n"
                               "\r\n--\0x\r\n\r\nte\0xt\rmore\r\r\n\0--x\0--\r\n";
    struct told told = read_mail(WHOLE, mail, sizeof mail - 1, 1000, 1000);

    (void)state;
    assert_non_null(strstr(told.fields.bytes, "H Subject: ab\n"));
    assert_string_equal(told.text.bytes, "textmore\n");
}

/* Multiparts beyond the depth are passed over, and what stands behind them is found. */
static void test_depth(void **state)
{
    static char mail[MAIL_BYTES];

    (void)state;
    for (unsigned depth = 1; depth <= 2 * MIME_DEPTH; depth++) {
        struct text text = text_begin(mail, sizeof mail);
        struct told told;

        for (unsigned i = 0; i < depth; i++) {
            text_format(&text, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
        }
        text_add(&text, "\ninner\n");
        text_format(&text, "--b%u--\n--b0\n\nouter\n--b0--\n", depth - 1);
        told = read_string(mail);
        assert_string_equal(told.text.bytes, depth <= MIME_DEPTH ? "inner\n" : "outer\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mails),          cmocka_unit_test(test_python_writes_them),
        cmocka_unit_test(test_size_of_object), cmocka_unit_test(test_charsets),
        cmocka_unit_test(test_utf8),           cmocka_unit_test(test_utf8_examples),
        cmocka_unit_test(test_no_sink),        cmocka_unit_test(test_header_end_is_prompt),
        cmocka_unit_test(test_long_values),    cmocka_unit_test(test_endless),
        cmocka_unit_test(test_large),          cmocka_unit_test(test_nuls),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
