/* Messages made to fit what a server takes: single rules here; for all of them together Python's
 * e-mail package makes messages, and reads what became of them. */
#define _GNU_SOURCE /* memmem */
#include "net/transcode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT_BYTES (8u << 20)
#define PYTHON_MESSAGES 1200

struct result {
    unsigned flags;
    size_t size;
    uint8_t *bytes;
};

static unsigned look(struct transcode_look *object, const void *message, size_t size, size_t step)
{
    const uint8_t *bytes = message;

    memset(object, 0x5A, sizeof *object);
    transcode_look_init(object);
    for (size_t at = 0; at < size; at += step) {
        transcode_look_push(object, bytes + at, size - at < step ? size - at : step);
    }
    return transcode_look_end(object);
}

static void drain(struct transcode *object, struct result *result, size_t step)
{
    size_t got;

    while ((got = transcode_read(object, result->bytes + result->size, step)) > 0) {
        result->size += got;
        assert_in_range(result->size, 1, OUT_BYTES - step);
        assert_false(object->cut);
    }
}

/* The message through both passes, in pieces of that size. */
static struct result rewrite(const void *message, size_t size, size_t step, bool eight_bit_ok)
{
    static struct transcode_look first;
    static struct transcode second;
    static uint8_t out[OUT_BYTES];
    const uint8_t *bytes = message;
    struct result result = {.bytes = out};

    result.flags = look(&first, message, size, step);
    memset(&second, 0x5A, sizeof second);
    transcode_init(&second, &first, eight_bit_ok);
    memset(&first, 0x5A, sizeof first);
    for (size_t at = 0; at < size;) {
        at += transcode_push(&second, bytes + at, size - at < step ? size - at : step);
        drain(&second, &result, step);
    }
    transcode_end(&second);
    drain(&second, &result, step);
    assert_false(second.cut);
    out[result.size] = '\0';
    return result;
}

/* What holds for every result: no server refuses it, and nothing is left to do. */
static void check_form(struct result result, bool eight_bit_ok)
{
    static struct transcode_look again;
    unsigned flags = look(&again, result.bytes, result.size, 4096);

    assert_false(transcode_needed(flags, eight_bit_ok));
    for (size_t i = 0; i < result.size; i++) {
        assert_true(eight_bit_ok || result.bytes[i] < 0x80);
        assert_true(result.bytes[i] != '\0');
    }
}

/* The message, in pieces of several sizes, becomes that. */
static void becomes_size(const char *message, size_t size, bool eight_bit_ok, const char *expected)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 1023, 1024, 1025, 100000};

    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct result result = rewrite(message, size, steps[i], eight_bit_ok);

        assert_string_equal((char *)result.bytes, expected);
        check_form(result, eight_bit_ok);
    }
}

static void becomes(const char *message, const char *expected)
{
    becomes_size(message, strlen(message), false, expected);
}

static unsigned flags_of(const char *message)
{
    static struct transcode_look object;
    unsigned flags = look(&object, message, strlen(message), 1);

    assert_int_equal(look(&object, message, strlen(message), 5000), flags);
    return flags;
}

/* --- What is seen --- */

static void flags(void **state)
{
    char line[1100];

    (void)state;
    assert_int_equal(flags_of(""), 0);
    assert_int_equal(flags_of("A: b\n\nplain\n"), 0);
    assert_int_equal(flags_of("A: b\r\n\r\nplain\r\n"), TRANSCODE_CRLF);
    assert_int_equal(flags_of("A: b\n\nplain\r\n"), TRANSCODE_CRLF);
    assert_int_equal(flags_of("A: b\n\nplain\r\nlines\n"), 0);
    assert_int_equal(flags_of("A: b\nContent-Type: image/x\n\nno\r\ntext\n"), TRANSCODE_CR);
    assert_int_equal(flags_of("A: b\r\n\r\nplain\rlines\r\n"), TRANSCODE_CRLF | TRANSCODE_CR);
    assert_int_equal(flags_of("A: b\n\nplain\r"), TRANSCODE_CR);
    assert_int_equal(flags_of("A: b\n\n\xC3\xBC"), TRANSCODE_EIGHT_BIT);
    assert_int_equal(flags_of("A: \xC3\xBC\n\n"), TRANSCODE_EIGHT_BIT);
    memset(line, 'x', sizeof line);
    memcpy(line, "A: b\n\n", 6);
    memcpy(line + 6 + 998, "\n\n", 3);
    assert_int_equal(flags_of(line), 0);
    memcpy(line + 6 + 998, "\r\n", 3);
    assert_int_equal(flags_of(line), TRANSCODE_CRLF);
    memcpy(line + 6 + 998, "x\n", 3);
    assert_int_equal(flags_of(line), TRANSCODE_LONG);
    memcpy(line, "Content-Type: ", 14); /* Fields that are held are measured too. */
    memcpy(line + 998, "\n\n", 3);
    assert_int_equal(flags_of(line), 0);
    memcpy(line + 998, "x\n\n", 4);
    assert_int_equal(flags_of(line), TRANSCODE_LONG);
    assert_false(transcode_needed(TRANSCODE_EIGHT_BIT | TRANSCODE_CRLF, true));
    assert_true(transcode_needed(TRANSCODE_EIGHT_BIT, false));
    assert_true(transcode_needed(TRANSCODE_CR, true));
}

/* --- Leaves --- */

static void plain_text(void **state)
{
    (void)state;
    becomes("Subject: x\n\nGr\xC3\xBC\xC3\x9F"
            "e aus der Werkstatt.\n",
            "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe aus der Werkstatt.\n");
    becomes("Subject: x\r\n\r\nna\xEFve and more of it\r\n",
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nna=EFve and more of it\r\n");
    /* A body alone; one that begins as no field can. */
    becomes("\n\xC3\xBC and more of it\n",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC and more of it\n");
    becomes("no field\n\xC3\xBC and more of it\n",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\nno field\n=C3=BC and more of it\n");
    /* Much of it base64, in which line ends are CRLF. */
    becomes("MIME-Version: 1.0\n\n\xD0\x94\xD0\xB0\n\xD0\x94\xD0\xB0",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: base64\n\n0JTQsA0K0JTQsA==\n");
}

static void marks_of_lines(void **state)
{
    (void)state;
    becomes("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
            "\xC3\xBC. From here on it is plain enough.\nFrom me\nFromage\n.\n.x\n--x\n-- \n"
            "tab\t\nblank \nequals=\n\nno end ",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\n"
            "=C3=BC. From here on it is plain enough.\nFrom=20me\nFromage\n=2E\n=2Ex\n--x\n--=20\n"
            "tab=09\nblank=20\nequals=3D\n\nno end=20=\n");
}

static void line_lengths(void **state)
{
    static char message[1 << 20];
    struct result result;
    size_t start;
    size_t count = 0;

    (void)state;
    memset(message, 'x', sizeof message);
    memcpy(message, "A: b\n\n", 6);
    for (size_t i = 100; i < sizeof message; i += 50) {
        message[i] = ".- F"[i % 4];
    }
    result = rewrite(message, sizeof message, 4096, true);
    assert_int_equal(result.flags, TRANSCODE_LONG);
    check_form(result, true);
    start = (size_t)(strstr((char *)result.bytes, "\n\n") + 2 - (char *)result.bytes);
    for (size_t i = start; i < result.size; i += count + 1) {
        count = strcspn((char *)result.bytes + i, "\n");
        assert_in_range(count, 1, 76);
        assert_true(result.bytes[i] != '.');
    }
}

static void bytes_of_all_kinds(void **state)
{
    static const char message[] =
        "MIME-Version: 1.0\r\n\r\nnul \0, cr \r, escape \x1B.\r\n\x7F\r\r\n";

    (void)state;
    becomes_size(message, sizeof message - 1, true,
                 "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                 "nul =00, cr =0D, escape =1B.\r\n=7F=0D\r\n");
    /* Line ends of both kinds: in text they are the same, in bytes a CR is data. */
    becomes("MIME-Version: 1.0\n\none line\r\nanother line\n\x7F\r\r\n",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n"
            "one line\nanother line\n=7F=0D\n");
    becomes("MIME-Version: 1.0\nContent-Type: image/x\n\nno\r\ntext\n",
            "MIME-Version: 1.0\nContent-Type: image/x\n"
            "Content-Transfer-Encoding: base64\n\nbm8NCnRleHQK\n");
    /* Bytes stay bytes; no line end is added to them. */
    becomes("MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: binary\n\n\xFF\n\r\n",
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\n\n/woNCg==\n");
    becomes("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-16\n\n\xFF\xFE\n\x04",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-16\n"
            "Content-Transfer-Encoding: base64\n\n//4KBA==\n");
}

static void charsets(void **state)
{
    static const char *const cases[][2] = {
        {"Content-Type: text/plain", "Content-Type: text/plain; charset=utf-8"},
        {"Content-Type: text/plain;", "Content-Type: text/plain; charset=utf-8"},
        {"Content-Type:", "Content-Type: text/plain; charset=utf-8"},
        {"Content-Type: text/html (page)", "Content-Type: text/html (page); charset=utf-8"},
        {"Content-Type: text/plain; charset=us-ascii; format=flowed",
         "Content-Type: text/plain; charset=utf-8; format=flowed"},
        {"content-type: Text/Plain;\n\tCHARSET (so) = \"US-ASCII\"",
         "content-type: Text/Plain;\n\tCHARSET (so) = utf-8"},
        {"Content-Type: text/plain; x=\"; charset=us-ascii\"; charset=koi8-r",
         "Content-Type: text/plain; x=\"; charset=us-ascii\"; charset=koi8-r"},
        {"Content-Type: text/plain; name=charset; (charset=koi8-r)",
         "Content-Type: text/plain; name=charset; (charset=koi8-r); charset=utf-8"},
        {"Content-Type: text", "Content-Type: text; charset=utf-8"},
    };
    char message[512];
    char expected[512];

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(message, sizeof message, "MIME-Version: 1.0\n%s\n\nsome \xC3\xBC here\n",
                       cases[i][0]);
        (void)snprintf(expected, sizeof expected,
                       "MIME-Version: 1.0\n%s\nContent-Transfer-Encoding: quoted-printable\n\n"
                       "some =C3=BC here\n",
                       cases[i][1]);
        becomes(message, expected);
    }
    /* A page may say itself what it is in. */
    becomes("MIME-Version: 1.0\nContent-Type: text/html\n\n<p>some \xFC here</p>\n",
            "MIME-Version: 1.0\nContent-Type: text/html\n"
            "Content-Transfer-Encoding: quoted-printable\n\n<p>some =FC here</p>\n");
}

static void encodings_as_declared(void **state)
{
    static const char *const declared[] = {"7bit", "8bit", "BINARY", "8-bit", "(x) 8BIT", "utf-8"};
    char message[256];

    (void)state;
    for (unsigned i = 0; i < sizeof declared / sizeof declared[0]; i++) {
        (void)snprintf(message, sizeof message,
                       "content-transfer-encoding: %s\nMIME-Version: 1.0\n"
                       "Content-Type: text/plain; charset=utf-8\n\nsome \xC3\xBC here\n",
                       declared[i]);
        becomes(message, "Content-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n"
                         "Content-Type: text/plain; charset=utf-8\n\nsome =C3=BC here\n");
    }
    /* Two of them: the first counts, the other goes. */
    becomes(
        "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n\nsome \xC3\xBC here\n",
        "Content-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n\nsome =C3=BC here\n");
}

static void mended(void **state)
{
    char line[3000];

    (void)state;
    becomes("MIME-Version: 1.0\nContent-Transfer-Encoding: Quoted-Printable\n\n"
            "=C3=BC and \xC3\xBC =\xFF =A\xFF =4 = \nsoft=\n\x7F=\n",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: Quoted-Printable\n\n"
            "=C3=BC and =C3=BC =3D=FF =3DA=FF =4 = \nsoft=\n\x7F=\n");
    becomes("MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n0JT\xFFQsA==\n\x80\n",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n0JTQsA==\n\n");
    becomes("MIME-Version: 1.0\nContent-Transfer-Encoding: x-uuencode\n\n\xC3\xBC\nbegin\n",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: x-uuencode\n\n=C3=BC\nbegin\n");
    memset(line, 'x', sizeof line);
    memcpy(line, "Content-Transfer-Encoding: quoted-printable\n\n", 45);
    for (size_t i = 45; i < sizeof line; i += 3) {
        memcpy(line + i, "=3D", sizeof line - i < 3 ? sizeof line - i : 3);
    }
    for (size_t step = 1; step < 5000; step = step * 5 + 1) {
        struct result result = rewrite(line, sizeof line, step, true);
        size_t count = 0;

        check_form(result, true);
        for (size_t i = 45; i < result.size; i += 3) { /* No break within an encoded byte. */
            i += memcmp(result.bytes + i, "=\n", 2) == 0 ? 2 : 0;
            assert_memory_equal(result.bytes + i, "=3D", 3);
            count++;
        }
        assert_int_equal(count, (sizeof line - 45) / 3);
    }
}

/* --- Structure --- */

static void only_what_needs_it(void **state)
{
    (void)state;
    becomes("Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n"
            "gr\xC3\xBC\n--b\nX: y\n\nplain = \n--b \t\nContent-Type: text/plain; charset=utf-8\n\n"
            "This is \xC3\xBC, no more.\n--b\nContent-Transfer-Encoding: base64\n\n/w==\n--b\n"
            "Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n\xFF\n\n--b--\n\xFF\n",
            "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n"
            "MIME-Version: 1.0\n\n"
            "gr=C3=BC\n--b\nX: y\n\nplain = \n--b \t\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\n"
            "This is =C3=BC, no more.\n--b\nContent-Transfer-Encoding: base64\n\n/w==\n--b\n"
            "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n/wo=\n--b--\n=FF\n");
    /* 8 bits may stay, but not the long line. */
    {
        static char message[4096];
        static char expected[4096];
        int at = snprintf(message, sizeof message,
                          "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n"
                          "Content-Transfer-Encoding: binary\n\n--b\n"
                          "Content-Transfer-Encoding: binary\n\n\xFF\n--b\n\n%01200d\n--b--\n",
                          7);
        struct result result = rewrite(message, (size_t)at, 100, true);

        check_form(result, true);
        (void)snprintf(expected, sizeof expected, "%s",
                       "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n"
                       "Content-Transfer-Encoding: 8bit\n\n--b\n"
                       "Content-Transfer-Encoding: 8bit\n\n\xFF\n--b\n"
                       "Content-Transfer-Encoding: quoted-printable\n\n000");
        assert_memory_equal(result.bytes, expected, strlen(expected));
    }
}

static void boundaries(void **state)
{
    (void)state;
    /* One within the other, one the other's beginning; the inner one has no end. */
    becomes(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"bb \"\n\n--bb\n"
        "Content-Type: multipart/mixed; (c) boundary = b\n\n--b\n\n"
        "text of some \xC3\xBC\n--bbb\n--bbx--\n--bb\n\nmore of it \xC3\xBC\n--b\n--bb--\n--b\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"bb \"\n\n--bb\n"
        "Content-Type: multipart/mixed; (c) boundary = b\n\n--b\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "text of some =C3=BC\n-=2Dbbb\n-=2Dbbx--\n--bb\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "more of it =C3=BC\n-=2Db\n--bb--\n--b\n");
    /* What encoding makes of a line is no boundary either. */
    becomes(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b=3D\"\n\n--b=3D\n\n"
        "--b=\nand some \xC3\xBC\n--b=3D--\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b=3D\"\n\n--b=3D\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "-=2Db=3D\nand some =C3=BC\n--b=3D--\n");
    /* One of 8 bits changes where it is told and where it stands. */
    becomes(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"\xC3\xBC\"\n\n--\xC3\xBC\n\n"
        "text\n--\xC3\xBC--\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=C3=BC\"\n\n--=C3=BC\n\n"
        "text\n--=C3=BC--\n");
    /* In parts (RFC 2231). */
    becomes(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary*0=a;\n boundary*1=b\n\n--ab\n\n"
        "text of some \xC3\xBC\n--ab--",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary*0=a;\n boundary*1=b\n\n--ab\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "text of some =C3=BC\n--ab--");
    /* The empty line before the first is missing, and before a part of a digest. */
    becomes(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n--b\n\n"
        "text of some \xC3\xBC\n--b--\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n--b\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "text of some =C3=BC\n--b--\n");
    becomes("MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\n\n--b\n"
            "a text of some \xC3\xBC\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\n\n--b\n\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\na text of some =C3=BC\n--b--\n");
    /* None at all. */
    becomes("MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n--b\n\n\xFF",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed\n"
            "Content-Transfer-Encoding: base64\n\nLS1iCgr/\n");
}

static void messages_in_messages(void **state)
{
    (void)state;
    becomes("MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n"
            "From: \"J\xC3\xBCrgen M\xC3\xBCller\" <a@example.com>\nSubject:Gr\xC3\xB6\xC3\x9F"
            "e \xC3\xBC, b\n"
            "\nsome \xC3\xBC here\n",
            "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n"
            "From: \"=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=\" <a@example.com>\n"
            "Subject:=?utf-8?Q?Gr=C3=B6=C3=9Fe_=C3=BC=2C?= b\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\nsome =C3=BC here\n");
    becomes("MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\n\n--b\n\n"
            "Subject: x\n\nsome \xC3\xBC here\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\n\n--b\n\n"
            "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: quoted-printable\n\nsome =C3=BC here\n--b--\n");
    becomes("MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
            "QTogYgo=\xFF\n",
            "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
            "QTogYgo=\n");
    becomes("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
            "Content-Disposition: attachment;\n filename=pr\xFC"
            "f.txt; x=\"\xFC \xFC z\"\n\ntext\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
            "Content-Disposition: attachment;\n filename==?iso-8859-1?Q?pr=FCf=2Etxt?=; "
            "x=\"=?iso-8859-1?Q?=FC_=FC?= z\"\n\ntext\n--b--\n");
}

static void headers(void **state)
{
    static const char bytes[] = "Subject: a\0b\rBcc: c\r\n\r\ntext\r\n";
    static char message[8192];
    struct result result;
    size_t words = 0;

    (void)state;
    /* NUL and CR become blanks; nothing follows them as a field of its own. */
    becomes_size(bytes, sizeof bytes - 1, true, "Subject: a b Bcc: c\r\n\r\ntext\r\n");
    /* A header line that is too long is folded, and says the same. */
    memcpy(message, "Subject:", 8);
    for (size_t i = 8; i < 5000; i += 4) {
        memcpy(message + i, " abc", 4);
    }
    memcpy(message + 5000, "\n\ntext\n", 7);
    result = rewrite(message, 5007, 100, true);
    check_form(result, true);
    assert_null(memmem(result.bytes, result.size, "\n \n", 3));
    for (char *at = (char *)result.bytes; (at = strstr(at, " abc")) != NULL; at += 4) {
        words++;
    }
    assert_int_equal(words, (5000 - 8) / 4);
    /* One without a blank too, and one of blanks; many words of 8 bits in one piece. */
    for (unsigned kind = 0; kind < 4; kind++) {
        for (size_t i = 8; i < 5000; i++) {
            message[i] = kind == 0   ? 'x'
                         : kind == 1 ? ' '
                         : kind == 2 ? "\"\xC3\xBC"[i % 3]
                                     : '\xFF';
        }
        message[6] = kind == 2 ? ':' : 't';
        message[0] = kind == 2 ? 'X' : 'S';
        for (size_t step = 1; step < 3000; step = step * 7 + 3) {
            result = rewrite(message, 5007, step, false);
            check_form(result, false);
            assert_memory_equal(result.bytes + result.size - 7, "\n\ntext\n", 7);
        }
    }
    /* A long one that servers take stays as it is. */
    (void)snprintf(message, sizeof message, "X: %0995d\n\n\r\r\n", 1);
    result = rewrite(message, strlen(message), 100, true);
    check_form(result, true);
    assert_memory_equal(result.bytes, message, 999);
    /* A field of the kind that is held, longer than what holds it, still counts. */
    (void)snprintf(
        message, sizeof message,
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b;\n x=\"%01500d\"\n\n"
        "--b\n\nsome \xC3\xBC here\n--b--\n",
        1);
    result = rewrite(message, strlen(message), 100, false);
    check_form(result, false);
    assert_non_null(strstr((char *)result.bytes, "--b\nContent-Type: text/plain; charset=utf-8\n"
                                                 "Content-Transfer-Encoding: quoted-printable\n\n"
                                                 "some =C3=BC here\n--b--\n"));
}

/* Deeper than it follows, and more parts than it counts: still what any server takes. */
static void beyond_the_bounds(void **state)
{
    static char message[200000];
    struct result result;
    size_t at = 0;
    unsigned encoded = 0;

    (void)state;
    for (unsigned i = 0; i < TRANSCODE_DEPTH + 4; i++) {
        at += (size_t)snprintf(message + at, sizeof message - at,
                               "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
    }
    at += (size_t)snprintf(message + at, sizeof message - at, "\n\xC3\xBC\n");
    result = rewrite(message, at, 100, false);
    check_form(result, false);
    assert_non_null(strstr((char *)result.bytes,
                           "--b15\nContent-Type: multipart/mixed; boundary=b16\n"
                           "Content-Transfer-Encoding: base64\n\n"));

    at = (size_t)snprintf(message, sizeof message,
                          "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n");
    for (unsigned i = 0; i < TRANSCODE_PARTS + 500; i++) {
        static const char *const parts[] = {"\nplain\n", "\nsome \xC3\xBC here\n",
                                            "Content-Transfer-Encoding: base64\n\n/w==\n",
                                            "Content-Transfer-Encoding: 8bit\n"
                                            "Content-Type: image/png\n\n\xFF\n"};

        at += (size_t)snprintf(message + at, sizeof message - at, "--b\n%s", parts[i % 4]);
    }
    at += (size_t)snprintf(message + at, sizeof message - at, "--b--\n");
    result = rewrite(message, at, 4096, false);
    check_form(result, false);
    for (char *part = (char *)result.bytes; (part = strstr(part, "\n\n/w==\n")) != NULL; part++) {
        encoded++;
    }
    assert_int_equal(encoded, (TRANSCODE_PARTS + 500) / 2);
    assert_non_null(strstr((char *)result.bytes,
                           "--b\nContent-Transfer-Encoding: quoted-printable\n"
                           "\nplain\n--b\n"));
    assert_null(strstr((char *)result.bytes, "8bit"));
}

/* --- Python --- */

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t got;

    assert_non_null(file);
    got = fread(bytes, 1, size, file);
    assert_int_equal(fclose(file), 0);
    return got;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void python_reads_them(void **state)
{
    static const char folder[] = "transcode-mails";
    static uint8_t message[OUT_BYTES / 4];
    static uint8_t copy[OUT_BYTES];
    char text[512];

    (void)state;
    assert_true(mkdir(folder, 0777) == 0 || access(folder, W_OK) == 0);
    (void)snprintf(text, sizeof text, "python3 %s/check_transcode.py write %s %d 5", TESTS_DIR,
                   folder, PYTHON_MESSAGES);
    assert_int_equal(system(text), 0);
    for (unsigned i = 0; i < PYTHON_MESSAGES * 2; i++) {
        bool eight_bit_ok = i % 2 != 0;
        struct result result;
        size_t size;
        size_t copied;

        (void)snprintf(text, sizeof text, "%s/%u.eml", folder, i / 2);
        size = read_file(text, message, sizeof message);
        result = rewrite(message, size, 5000, eight_bit_ok);
        check_form(result, eight_bit_ok);
        copied = result.size;
        memcpy(copy, result.bytes, copied);
        result = rewrite(message, size, 1 + i % 97, eight_bit_ok);
        assert_int_equal(result.size, copied);
        assert_memory_equal(result.bytes, copy, copied);
        (void)snprintf(text, sizeof text, "%s/%u.%s", folder, i / 2,
                       eight_bit_ok ? "8bit" : "7bit");
        (void)unlink(text);
        if (transcode_needed(result.flags, eight_bit_ok)) {
            write_file(text, copy, copied);
        }
    }
    (void)snprintf(text, sizeof text, "python3 %s/check_transcode.py check %s %d 5", TESTS_DIR,
                   folder, PYTHON_MESSAGES);
    assert_int_equal(system(text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(marks_of_lines),
        cmocka_unit_test(line_lengths),
        cmocka_unit_test(bytes_of_all_kinds),
        cmocka_unit_test(charsets),
        cmocka_unit_test(encodings_as_declared),
        cmocka_unit_test(mended),
        cmocka_unit_test(only_what_needs_it),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(messages_in_messages),
        cmocka_unit_test(headers),
        cmocka_unit_test(beyond_the_bounds),
        cmocka_unit_test(python_reads_them),
    };

    return cmocka_run_group_tests_name("transcode", tests, NULL, NULL);
}
