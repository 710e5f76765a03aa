/* The header filter: what programs pipe into sendmail, whole, byte by byte and cut at every place;
 * and messages that Python makes, and reads again when they have been through it. */
#include "net/message.h"
#include "net/text.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OUT_BYTES 700000
#define U_E "\xC3\xA9" /* e with an acute accent */
#define L_E "\xE9"
#define FROM "From: me@home.example\n"
#define DATE "Date: Sat, 21 Nov 2026 23:05:54 +0100\n"
#define ID "Message-ID: <17.3@h>\n"
#define NOBODY "To: undisclosed-recipients:;\n"

static char out_bytes[OUT_BYTES];
static size_t out_size;
static char told_bytes[300000];
static struct text told;
static struct message message; /* Its seen is looked at afterwards. */

static void take(void *context, enum message_field field, bool resent, const char *address)
{
    assert_ptr_equal(context, &told);
    assert_true(address_is_valid(address));
    text_format(&told, "%s%s %s\n", resent ? "Resent-" : "",
                text_item("To\0Cc\0Bcc\0From\0Sender", field), address);
}

static struct message_params plain_params(void)
{
    return (struct message_params){.from = "me@home.example",
                                   .from_name = "",
                                   .domain = "dom.example",
                                   .message_id = "17.3@h",
                                   .unix_s = 1795298754, /* 2026-11-21 22:05:54 UTC */
                                   .zone_minutes = 60,
                                   .found = take,
                                   .context = &told};
}

static void read_out(size_t piece)
{
    size_t size;

    do {
        size = message_read(&message, (uint8_t *)out_bytes + out_size,
                            piece < OUT_BYTES - out_size ? piece : OUT_BYTES - out_size);
        out_size += size;
    } while (size > 0);
}

/* A message in pieces: the first of that many bytes, the others of `piece`, which is also how much
 * is read at a time. */
static void filter(const struct message_params *params, const char *in, size_t size, size_t first,
                   size_t piece)
{
    memset(&message, 0x5A, sizeof message);
    message_init(&message, params);
    told = text_begin(told_bytes, sizeof told_bytes);
    out_size = 0;
    for (size_t at = 0; at < size;) {
        size_t step = at == 0 && first > 0 ? first : piece;

        step = step < size - at ? step : size - at;
        at += message_push(&message, (const uint8_t *)in + at, step);
        read_out(piece);
    }
    message_end(&message);
    read_out(piece);
}

static void assert_out(const char *in, const char *expected, size_t size)
{
    if (out_size != size || memcmp(out_bytes, expected, size) != 0) {
        print_error("---- in\n%s\n---- expected\n%s\n---- got\n%.*s\n----\n", in, expected,
                    (int)out_size, out_bytes);
    }
    assert_int_equal(out_size, size);
    assert_memory_equal(out_bytes, expected, size);
}

static void check_bytes(const struct message_params *params, const char *in, size_t in_size,
                        const char *expected, size_t size)
{
    filter(params, in, in_size, 0, 1);
    assert_out(in, expected, size);
    for (size_t first = 1; first <= in_size; first++) {
        filter(params, in, in_size, first, in_size);
        assert_out(in, expected, size);
    }
    filter(params, in, in_size, 0, 65536);
    assert_out(in, expected, size);
}

static void check_with(const struct message_params *params, const char *in, const char *expected)
{
    check_bytes(params, in, strlen(in), expected, strlen(expected));
}

static void check(const char *in, const char *expected)
{
    struct message_params params = plain_params();

    check_with(&params, in, expected);
}

static void test_ordinary(void **state)
{
    (void)state;
    check("From: a@b\nTo: c@d\nSubject: x\nDate: y\nMessage-ID: <z@z>\n\nbody\n.\n\n text",
          "From: a@b\nTo: c@d\nSubject: x\nDate: y\nMessage-ID: <z@z>\n\nbody\n.\n\n text");
    assert_string_equal(told_bytes, "From a@b\nTo c@d\n");
    assert_true(message_seen(&message)->has_to);
    assert_true(message_seen(&message)->message_id_given);
    assert_false(message_seen(&message)->has_resent);
    assert_string_equal(message_seen(&message)->message_id, "z@z");
    assert_int_equal(message_seen(&message)->bad_addresses, 0);
}

static void test_nothing_missing_but_all(void **state)
{
    (void)state;
    check("", FROM DATE ID NOBODY "\n");
    check("\n", FROM DATE ID NOBODY "\n");
    check("\n\n\nx", FROM DATE ID NOBODY "\n\n\nx");
    assert_false(message_seen(&message)->has_to);
    assert_false(message_seen(&message)->message_id_given);
}

static void test_body_at_once(void **state)
{
    (void)state;
    check("disk full", FROM DATE ID NOBODY "\ndisk full");
    check("disk full\nmore: x\n", FROM DATE ID NOBODY "\ndisk full\nmore: x\n");
    check(" indented: x\n", FROM DATE ID NOBODY "\n indented: x\n");
    check(": x\n", FROM DATE ID NOBODY "\n: x\n");
    check("caf" U_E ": x\n", FROM DATE ID NOBODY "\ncaf" U_E ": x\n");
    check("Two words: x\n", FROM DATE ID NOBODY "\nTwo words: x\n");
    check("Subject: x\nno field\n\ny\n", "Subject: x\n" FROM DATE ID NOBODY "\nno field\n\ny\n");
    check("Subject: x\nno\n", "Subject: x\n" FROM DATE ID NOBODY "\nno\n");
    check("Sub\rject: x\n", FROM DATE ID NOBODY "\nSub\rject: x\n");
}

static void test_header_without_end(void **state)
{
    (void)state;
    check("Subject: x", "Subject: x\n" FROM DATE ID NOBODY "\n");
    check("Subject: x\n", "Subject: x\n" FROM DATE ID NOBODY "\n");
    check("Subject:", "Subject:\n" FROM DATE ID NOBODY "\n");
    check("Subject: x\n y", "Subject: x\n y\n" FROM DATE ID NOBODY "\n");
    check("Subject: x\r", "Subject: x\n" FROM DATE ID NOBODY "\n");
    check("Subject: x\nTo", "Subject: x\n" FROM DATE ID NOBODY "\nTo");
}

static void test_mbox_lines(void **state)
{
    (void)state;
    check("From root Mon Nov 23 10:00:00 2026\nTo: a\n\n", "To: a@dom.example\n" FROM DATE ID "\n");
    check(">From x\nFrom y\nTo: a@b\n\n", "To: a@b\n" FROM DATE ID "\n");
    check("From x", FROM DATE ID NOBODY "\n");
    check("From x\nFrom the start\n\nx", FROM DATE ID NOBODY "\nx");
    check("From me\r\nTo: a@b\r\n\r\nx\r\n",
          "To: a@b\r\nFrom: me@home.example\r\nDate: Sat, 21 Nov 2026 23:05:54 +0100\r\n"
          "Message-ID: <17.3@h>\r\n\r\nx\r\n");
    check("To: a@b\nFrom x\n", "To: a@b\n" FROM DATE ID "\nFrom x\n");
    check("Fromage is cheese\n", FROM DATE ID NOBODY "\nFromage is cheese\n");
}

static void test_taken_out(void **state)
{
    (void)state;
    check("To: a@b\nBcc: c@d\n\n", "To: a@b\n" FROM DATE ID "\n");
    check("bCC:c@d,\n e@f\n\t,g\nTo: a@b", "To: a@b\n" FROM DATE ID "\n");
    assert_string_equal(told_bytes, "Bcc c@d\nBcc e@f\nBcc g\nTo a@b\n");
    check("To: a@b\nBCC: c@d", "To: a@b\n" FROM DATE ID "\n");
    assert_string_equal(told_bytes, "To a@b\nBcc c@d\n");
    check("To: a@b\nBcc : c@d\n\nx", "To: a@b\n" FROM DATE ID "\nx");
    check("Bcc: c@d\n\n", FROM DATE ID NOBODY "\n");
    check("Return-Path: <x@y>\n z\nContent-Length: 7\nTo: a@b\n\n", "To: a@b\n" FROM DATE ID "\n");
    check("Bcc:\n\n", FROM DATE ID NOBODY "\n");
    assert_true(message_seen(&message)->has_to);
}

static void test_bcc_kept(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.keep_bcc = true;
    check_with(&params, "To: a@b\nBcc: c@d\n\n", "To: a@b\nBcc: c@d\n" FROM DATE ID "\n");
    assert_string_equal(told_bytes, "To a@b\nBcc c@d\n");
}

static void test_form_of_names(void **state)
{
    (void)state;
    check("SUBJECT:x\nto:a@b\nfRoM: c@d\nmessage-id:<q>\nDATE:x\n\n",
          "SUBJECT:x\nto:a@b\nfRoM: c@d\nmessage-id:<q>\nDATE:x\n\n");
    assert_string_equal(message_seen(&message)->message_id, "q");
    check("Subject \t: x\nTo : a@b\n\n", "Subject: x\nTo: a@b\n" FROM DATE ID "\n");
    check("X:\nTo: a@b\n\n", "X:\nTo: a@b\n" FROM DATE ID "\n");
    check("http://x\n", "http://x\n" FROM DATE ID NOBODY "\n");
}

static void test_empty_fields(void **state)
{
    (void)state;
    check("To:\nCc: \nFrom:\t\nDate:\nMessage-ID: \nReply-To:\nSender:\nSubject:\n\n",
          "Subject:\n" FROM DATE ID NOBODY "\n");
    check("To: \n \nSubject: x\n \n\t\n y\n \nCc: a@b\n\n",
          "Subject: x\n y\nCc: a@b\n" FROM DATE ID "\n");
    check("To: undisclosed-recipients:;\n\n", NOBODY FROM DATE ID "\n");
    assert_string_equal(told_bytes, "");
    assert_int_equal(message_seen(&message)->bad_addresses, 0);
}

static void test_second_ones(void **state)
{
    (void)state;
    check("To: a@b\nTo: c@d,\nTo:e@f\nSubject: x\nto: g\nCc: h@i\nSubject: y\nTo: j@k\n\n",
          "To: a@b,\n c@d,\n e@f\nSubject: x\nCc: g@dom.example,\n h@i\nX-Duplicate-Subject: y\n"
          "X-Duplicate-Cc: j@k\n" FROM DATE ID "\n");
    assert_string_equal(told_bytes, "To a@b\nTo c@d\nTo e@f\nTo g\nCc h@i\nTo j@k\n");
    check("From: a@b\nFrom: c@d\nDate: 1\ndate: 2\nMessage-ID: <3>\nMessage-Id: <4>\nTo: e@f\n\n",
          "From: a@b\nX-Duplicate-From: c@d\nDate: 1\nX-Duplicate-date: 2\nMessage-ID: <3>\n"
          "X-Duplicate-Message-Id: <4>\nTo: e@f\n\n");
    assert_string_equal(told_bytes, "From a@b\nTo e@f\n");
    assert_string_equal(message_seen(&message)->message_id, "3");
    check("To: a@b\nBcc: x@y\nTo:\n c@d\nReceived: 1\nReceived: 2\n\n",
          "To: a@b,\n c@d\nReceived: 1\nReceived: 2\n" FROM DATE ID "\n");
    check("To: a@b (open\nTo: c@d\n\n", "To: a@b (open\nCc: c@d\n" FROM DATE ID "\n");
}

static void test_completed(void **state)
{
    (void)state;
    check("From: root (Cron Daemon)\nTo: root, A <b>, \"c d\" , e@f,g\nReply-To: <h>\nX-To: i\n\n",
          "From: root@dom.example (Cron Daemon)\n"
          "To: root@dom.example, A <b@dom.example>, \"c d\"@dom.example , e@f,g@dom.example\n"
          "Reply-To: <h@dom.example>\nX-To: i\n" DATE ID "\n");
    assert_string_equal(told_bytes, "From root\nTo root\nTo b\nTo \"c d\"\nTo e@f\nTo g\n");
    check("To: friends: a, b@c;, d\n\n",
          "To: friends: a@dom.example, b@c;, d@dom.example\n" FROM DATE ID "\n");
}

static void test_not_completed(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.domain = NULL;
    check_with(&params, "To: root\nFrom: me (x)\n\n", "To: root\nFrom: me (x)\n" DATE ID "\n");
}

static void test_bad_addresses(void **state)
{
    (void)state;
    check("To: John Doe, a@b\nCc: <>\nReply-To: x y\n\n",
          "To: John Doe, a@b\nCc: <>\nReply-To: x y\n" FROM DATE ID "\n");
    assert_string_equal(told_bytes, "To a@b\n");
    assert_int_equal(message_seen(&message)->bad_addresses, 2);
}

static void test_from(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.from_name = "Me \"My\" I";
    check_with(&params, "To: a@b\n\n",
               "To: a@b\nFrom: \"Me \\\"My\\\" I\" <me@home.example>\n" DATE ID "\n");
    check_with(&params, "From: Cron Daemon\nTo: a@b\n\n",
               "From: \"Cron Daemon\" <me@home.example>\nTo: a@b\n" DATE ID "\n");
    check_with(&params, "From: \"A\" <x@>\nTo: a@b\n\n",
               "From: \"A\" <me@home.example>\nTo: a@b\n" DATE ID "\n");
    check_with(&params, "From: <>\nTo: a@b\n\n",
               "From: \"Me \\\"My\\\" I\" <me@home.example>\nTo: a@b\n" DATE ID "\n");
}

static void test_several_authors(void **state)
{
    (void)state;
    check("From: a@b, c\nTo: a@b\n\n",
          "From: a@b, c@dom.example\nTo: a@b\n" DATE ID "Sender: me@home.example\n\n");
    check("From: a@b, c\nsender: d\nTo: a@b\n\n",
          "From: a@b, c@dom.example\nsender: d@dom.example\nTo: a@b\n" DATE ID "\n");
    assert_string_equal(told_bytes, "From a@b\nFrom c\nSender d\nTo a@b\n");
}

static void test_from_override(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.from_override = true;
    check_with(&params, "From: a@b,\n c\nTo: a@b\n\n", FROM "To: a@b\n" DATE ID "\n");
    assert_string_equal(told_bytes, "From a@b\nFrom c\nTo a@b\n");
    params.from_override = false;
    params.from_name = "Z" U_E;
    params.from_name_forced = true;
    check_with(&params, "From: X <a>\nTo: a@b\n\n",
               "From: =?utf-8?B?WsOp?= <a@dom.example>\nTo: a@b\n" DATE ID "\n");
    check_with(&params, "From: X <a>, b\nSender: c\nTo: a@b\n\n",
               "From: X <a@dom.example>, b@dom.example\nSender: c@dom.example\nTo: a@b\n" DATE ID
               "\n");
}

/* Nothing from a command line ends a header line. */
static void test_injection(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.from = "a@b>\nBcc: c@d";
    params.from_name = "x\r\nBcc: y\x1B[m";
    params.message_id = "1\n2> 3";
    params.domain = "h\ni";
    check_with(&params, "To: r\n\n",
               "To: r@h_i\nFrom: \"x  Bcc: y [m\" <a@b__Bcc:_c@d>\n" DATE
               "Message-ID: <1_2__3>\n\n");
    params.from_name = NULL;
    params.from = NULL;
    params.message_id = NULL;
    params.unix_s = 0;
    check_with(&params, "To: r\n\n", "To: r@h_i\n\n");
    params.from = "\"a b\"@c";
    params.from_name = "  ";
    check_with(&params, "To: r\n\n", "To: r@h_i\nFrom: \"a b\"@c\n\n");
}

static void test_resent(void **state)
{
    (void)state;
    check("Resent-To: a, b@c\nResent-Bcc: d@e\nTo: f@g\nFrom: h@i\nDate: 1\nBcc: z@z\n\n",
          "Resent-To: a@dom.example, b@c\nTo: f@g\nFrom: h@i\nDate: 1\nResent-" FROM "Resent-" DATE
          "Resent-" ID ID "\n");
    assert_string_equal(told_bytes, "Resent-To a\nResent-To b@c\nResent-Bcc d@e\nTo f@g\nFrom h@i\n"
                                    "Bcc z@z\n");
    assert_true(message_seen(&message)->has_resent);
    assert_false(message_seen(&message)->message_id_given);
    check("Resent-From: a@b\nResent-Date: 1\nResent-Message-ID: <2>\nResent-To: c@d\n"
          "Message-ID: <3>\nDate: 4\nFrom: e@f\n\n",
          "Resent-From: a@b\nResent-Date: 1\nResent-Message-ID: <2>\nResent-To: c@d\n"
          "Message-ID: <3>\nDate: 4\nFrom: e@f\n\n");
    assert_string_equal(message_seen(&message)->message_id, "2");
}

/* Blocks of an earlier journey are left as they are, and nobody in them gets anything. */
static void test_resent_blocks(void **state)
{
    (void)state;
    check("Resent-To: a@b\nReceived: by x\nResent-To: c@d\nResent-From: e\nFrom: f@g\nDate: 1\n"
          "Message-ID: <2>\n\n",
          "Resent-To: a@b\nResent-" FROM "Resent-" DATE "Resent-" ID
          "Received: by x\nResent-To: c@d\nResent-From: e\nFrom: f@g\nDate: 1\n"
          "Message-ID: <2>\n\n");
    assert_string_equal(told_bytes, "Resent-To a@b\nFrom f@g\n");
    check("Resent-From: a@b\nResent-To: c@d\nResent-From: e@f\nResent-To: g@h\nFrom: f@g\nDate: 1\n"
          "Message-ID: <2>\n\n",
          "Resent-From: a@b\nResent-To: c@d\nResent-" DATE "Resent-" ID
          "Resent-From: e@f\nResent-To: g@h\nFrom: f@g\nDate: 1\nMessage-ID: <2>\n\n");
    assert_string_equal(told_bytes, "Resent-From a@b\nResent-To c@d\nFrom f@g\n");
    /* Two next to each other are one list, and unknown ones begin no block. */
    check("Resent-X: 1\nResent-To: a@b\nResent-To: c@d\nResent-X: 2\nResent-Cc: e@f\nFrom: f@g\n"
          "Date: 1\nMessage-ID: <2>\n\n",
          "Resent-X: 1\nResent-To: a@b\nResent-To: c@d\nResent-X: 2\nResent-Cc: e@f\nFrom: f@g\n"
          "Date: 1\nMessage-ID: <2>\nResent-" FROM "Resent-" DATE "Resent-" ID "\n");
    assert_string_equal(told_bytes, "Resent-To a@b\nResent-To c@d\nResent-Cc e@f\nFrom f@g\n");
}

#define REST "To: a@b\n\n"
#define ADDED "To: a@b\n" FROM DATE ID "\n"

static void test_eight_bit(void **state)
{
    (void)state;
    check("Subject: caf" U_E "\n" REST, "Subject: =?utf-8?B?Y2Fmw6k=?=\n" ADDED);
    check("Subject: caf" L_E "\n" REST, "Subject: =?iso-8859-1?B?Y2Fm6Q==?=\n" ADDED);
    check("X-Note: a " U_E " b " U_E " c\n" REST, "X-Note: a =?utf-8?B?w6kgYiDDqQ==?= c\n" ADDED);
    check("Subject: =?utf-8?Q?x?= " U_E " =?utf-8?Q?y?=\n" REST,
          "Subject: =?utf-8?Q?x?=\n =?utf-8?B?IMOp?=\n =?utf-8?Q?_?= =?utf-8?Q?y?=\n" ADDED);
    check("Subject: =?utf-8?Q?x?=  =?utf-8?Q?y?=  z\n" REST,
          "Subject: =?utf-8?Q?x?=  =?utf-8?Q?y?=  z\n" ADDED);
    check("Cc: \"" U_E "\\\"x\" <a@b>, J" U_E " D <c@d>, e@f (" U_E ")\n" REST,
          "Cc: =?utf-8?B?w6kieA==?= <a@b>, =?utf-8?B?SsOp?= D <c@d>, e@f\n "
          "(=?utf-8?B?w6k=?=)\n" ADDED);
    check("Cc: gr" U_E ": a, b@c;\n" REST,
          "Cc: =?utf-8?B?Z3LDqQ==?= : a@dom.example, b@c;\n" ADDED);
    check("Cc: " U_E "@" U_E ".example\n" REST, "Cc: " U_E "@" U_E ".example\n" ADDED);
    assert_true(message_seen(&message)->eight_bit);
    check("Subject: x\n" REST U_E, "Subject: x\n" ADDED U_E);
    assert_false(message_seen(&message)->eight_bit);
}

static void test_parameters(void **state)
{
    (void)state;
    check("Content-Disposition: attachment; filename=\"r" U_E "s 1.pdf\"; size=3\n" REST,
          "Content-Disposition: attachment; filename*=utf-8''r%C3%A9s%201.pdf; size=3\n" ADDED);
    check("Content-Type: text/plain; name=" L_E " x; charset=utf-8\n" REST,
          "Content-Type: text/plain; name*=iso-8859-1''%E9%20x; charset=utf-8\n" ADDED);
    check("Content-Type: text/plain; name*=" U_E "\n" REST,
          "Content-Type: text/plain; name*=" U_E "\n" ADDED);
    check("Content-Type: text/plain; name*=utf-8''x; x=\"y z\"\n" REST,
          "Content-Type: text/plain; name*=utf-8''x; x=\"y z\"\n" ADDED);
    check("Content-Disposition: attachment; filename=\"" U_E U_E U_E U_E U_E U_E U_E U_E U_E U_E
          "\"\n" REST,
          "Content-Disposition: attachment;\n"
          " filename*0*=utf-8''%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9;\n"
          " filename*1*=%C3%A9\n" ADDED);
}

static void test_controls(void **state)
{
    static const char in[] = "Subject: a\0b\rc\x1B[31m\x7F\x01 d\r\n\te\nTo: a\0@b\n\nx\0\r\ny";
    static const char expected[] = "Subject: a b c [31m   d\r\n\te\r\nTo: a @b\r\nFrom: "
                                   "me@home.example\r\nDate: Sat, 21 Nov 2026 23:05:54 +0100\r\n"
                                   "Message-ID: <17.3@h>\r\n\r\nx\0\r\ny";
    struct message_params params = plain_params();

    (void)state;
    check_bytes(&params, in, sizeof in - 1, expected, sizeof expected - 1);
    assert_string_equal(told_bytes, "To a@b\n");
}

#define CRLF_ADDED \
    "From: me@home.example\r\nDate: Sat, 21 Nov 2026 23:05:54 +0100\r\nMessage-ID: <17.3@h>\r\n"

static void test_line_ends(void **state)
{
    (void)state;
    check("To: a@b\r\nSubject: x\n y\r\n\nz\n",
          "To: a@b\r\nSubject: x\r\n y\r\n" CRLF_ADDED "\r\nz\n");
    check("To: a@b\nSubject: x\r\n\r\nz\r\n", "To: a@b\nSubject: x\n" FROM DATE ID "\nz\r\n");
    check("disk full\r\n", CRLF_ADDED "To: undisclosed-recipients:;\r\n\r\ndisk full\r\n");
    check("\r\nx", CRLF_ADDED "To: undisclosed-recipients:;\r\n\r\nx");
    check("To: a@b\r\r\n\r\r\nz", "To: a@b \r\n" CRLF_ADDED "\r\nz");
    check("\r\r\nz", CRLF_ADDED "To: undisclosed-recipients:;\r\n\r\nz");
}

/* What holds of every header that is written: bounded lines, no control characters, no line of
 * blanks. Returns its size. */
static size_t check_header(void)
{
    size_t line = 0;

    for (size_t at = 0; at < out_size;) {
        const char *end = memchr(out_bytes + at, '\n', out_size - at);
        size_t size;

        assert_non_null(end);
        size = (size_t)(end - out_bytes) - at;
        if (size == 0) {
            return at;
        }
        assert_in_range(size, 1, 998);
        for (line = 0; line < size; line++) {
            assert_true(out_bytes[at + line] == '\t' || (uint8_t)out_bytes[at + line] >= ' ');
        }
        assert_true(strspn(out_bytes + at, " \t") < size);
        at += size + 1;
    }
    fail();
    return 0;
}

static size_t count_in_header(const char *what)
{
    size_t count = 0;

    out_bytes[check_header()] = '\0';
    for (const char *at = out_bytes; (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

static void filter_text(const struct text *in)
{
    struct message_params params = plain_params();

    assert_false(in->cut);
    filter(&params, in->bytes, in->length, 0, 777);
}

/* All of them are told, completed and folded, in a field of any length. */
static void test_many_recipients(void **state)
{
    static char bytes[300000];
    struct text in = text_begin(bytes, sizeof bytes);

    (void)state;
    text_add(&in, "To:");
    for (unsigned i = 0; i < 3000; i++) {
        text_format(&in, "u%04u,", i);
    }
    text_add(&in, "\nCc: ");
    for (unsigned i = 0; i < 3000; i++) {
        text_format(&in, "\"J" U_E "r, %u\" <u%04u@example.com>,\n ", i, i);
    }
    text_add(&in, "x\nBcc: ");
    for (unsigned i = 0; i < 3000; i++) {
        text_format(&in, "secret%u@example.com, ", i);
    }
    text_add(&in, "\n\nbody");
    filter_text(&in);
    assert_int_equal(count_in_header("@dom.example"), 3001);
    filter_text(&in);
    assert_int_equal(count_in_header("@example.com>,"), 3000);
    filter_text(&in);
    assert_int_equal(count_in_header("=?utf-8?B?"), 3000);
    filter_text(&in);
    assert_int_equal(count_in_header("secret"), 0);
    assert_int_equal(message_seen(&message)->bad_addresses, 0);
    assert_non_null(strstr(told_bytes, "To u2999\nCc u0000@example.com\n"));
    assert_non_null(strstr(told_bytes, "Bcc secret2999@example.com\n"));
}

static void test_long_lines(void **state)
{
    static const char *const names[] = {"Subject",    "X-Report", "References", "Received",
                                        "Message-ID", "From",     "To",         "Content-Type"};
    static const char *const pieces[] = {"word ",  "x",     " ",       U_E,   U_E " ", ";a=b",
                                         "<a@b> ", "a@b, ", "\"x\" y", "(c)", "\n ",   "\t\n\t"};
    static char bytes[300000];

    (void)state;
    for (size_t name = 0; name < sizeof names / sizeof names[0]; name++) {
        for (size_t piece = 0; piece < sizeof pieces / sizeof pieces[0]; piece++) {
            struct text in = text_begin(bytes, sizeof bytes);

            text_format(&in, "%s: ", names[name]);
            while (in.length < 100000) {
                text_add(&in, pieces[piece]);
            }
            text_add(&in, "end\nX-Next: y\n\nbody");
            filter_text(&in);
            assert_memory_equal(out_bytes + out_size - 5, "\nbody", 5);
            assert_int_equal(count_in_header("\nX-Next: y\n"), 1);
        }
    }
}

static void add_blanks(struct text *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        text_add_char(text, ' ');
    }
}

/* More blanks than are held at a time; what follows them is still in the field. */
static void test_very_many_blanks(void **state)
{
    static char bytes[300000];
    static const char *const parts[] = {"Subject:\n", "To: a@b,\n", "To: a@b\nTo:\n",
                                        "X: " U_E "\n", "To: \"a\n"};

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (unsigned count = 8150; count < 8200; count++) {
            struct text in = text_begin(bytes, sizeof bytes);

            text_add(&in, parts[i]);
            add_blanks(&in, count);
            text_add(&in, "c@d\n");
            add_blanks(&in, 2 * count);
            text_add(&in, "\n ,e@f, \"\nFrom: g@h\n\nbody");
            filter_text(&in);
            assert_memory_equal(out_bytes + out_size - 5, "\nbody", 5);
            if (i == 1 || i == 2) {
                assert_string_equal(told_bytes, "To a@b\nTo c@d\nTo e@f\nFrom g@h\n");
            }
            assert_int_equal(count_in_header("c@d"), 1);
            assert_null(strstr(out_bytes, "\nc@d"));
        }
    }
}

/* Up to 998 octets a line stays as it is; with one more it is folded where there is a blank. */
static void test_fold_limit(void **state)
{
    static char bytes[3000];
    struct text in = text_begin(bytes, sizeof bytes);

    (void)state;
    text_add(&in, "X-A: ");
    while (in.length < 988) {
        text_add(&in, "ab ");
    }
    text_add(&in, "123456789");
    assert_int_equal(in.length, 998);
    text_add(&in, "\n\n");
    filter_text(&in);
    assert_memory_equal(out_bytes, bytes, 999);
    bytes[in.length - 2] = '0';
    text_add(&in, "\n");
    filter_text(&in);
    assert_memory_equal(out_bytes + 76, "\n ab ", 5);
    assert_int_equal(count_in_header("1234567890"), 1);
}

static void test_body_of_any_size(void **state)
{
    static char bytes[300000];
    struct message_params params = plain_params();

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * i / 7);
    }
    memcpy(bytes, "To: a@b\n\n", 9);
    filter(&params, bytes, sizeof bytes, 0, 4099);
    assert_int_equal(out_size, sizeof bytes + strlen(FROM DATE ID));
    assert_memory_equal(out_bytes + out_size - sizeof bytes + 9, bytes + 9, sizeof bytes - 9);
}

/* A first line without an end, longer than what is held. */
static void test_long_first_line(void **state)
{
    static char bytes[100000];
    struct message_params params = plain_params();

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)('a' + i * i / 7 % 26);
    }
    filter(&params, bytes, sizeof bytes, 0, 500);
    assert_int_equal(out_size, sizeof bytes + strlen(FROM DATE ID NOBODY "\n"));
    assert_memory_equal(out_bytes + out_size - sizeof bytes, bytes, sizeof bytes);
}

static void test_zones(void **state)
{
    struct message_params params = plain_params();

    (void)state;
    params.zone_minutes = -570;
    check_with(&params, "To: a@b\n\n",
               "To: a@b\n" FROM "Date: Sat, 21 Nov 2026 12:35:54 -0930\n" ID "\n");
    params.zone_minutes = 0;
    check_with(&params, "To: a@b\n\n",
               "To: a@b\n" FROM "Date: Sat, 21 Nov 2026 22:05:54 +0000\n" ID "\n");
}

static void test_id_that_is_long(void **state)
{
    static char bytes[5000];
    struct text in = text_begin(bytes, sizeof bytes);

    (void)state;
    text_add(&in, "Message-ID: <");
    while (in.length < 2000) {
        text_add(&in, "0123456789");
    }
    text_add(&in, ">\n\n");
    filter_text(&in);
    assert_true(message_seen(&message)->message_id_given);
    assert_int_equal(strlen(message_seen(&message)->message_id), 255);
    (void)check_header();
}

/* ---- by Python ---- */

static void write_file(const char *folder, const char *name, const char *ending, const char *bytes,
                       size_t size)
{
    char path[600];
    FILE *file;

    snprintf(path, sizeof path, "%s/%.4s%s", folder, name, ending);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Each message goes through in pieces of a size of its own. */
static unsigned filter_folder(const char *folder)
{
    static char in[OUT_BYTES];
    struct message_params params = plain_params();
    DIR *entries = opendir(folder);
    unsigned count = 0;

    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[600];
        size_t size;
        FILE *file;

        if (strstr(entry->d_name, ".in") == NULL) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file = fopen(path, "rb");
        assert_non_null(file);
        size = fread(in, 1, sizeof in, file);
        assert_int_equal(fclose(file), 0);
        filter(&params, in, size, 0, 1 + count * 37 % 1500);
        assert_int_equal(message_seen(&message)->bad_addresses, 0);
        write_file(folder, entry->d_name, ".out", out_bytes, out_size);
        write_file(folder, entry->d_name, ".told", told.bytes, told.length);
        count++;
    }
    closedir(entries);
    return count;
}

static void test_python_reads_them(void **state)
{
    static const char folder[] = "message-mails";
    char command[512];

    (void)state;
    assert_true(mkdir(folder, 0777) == 0 || access(folder, W_OK) == 0);
    snprintf(command, sizeof command, "python3 %s/check_message.py make %s 500 5", TESTS_DIR,
             folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(filter_folder(folder), 500);
    snprintf(command, sizeof command, "python3 %s/check_message.py check %s", TESTS_DIR, folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary),        cmocka_unit_test(test_nothing_missing_but_all),
        cmocka_unit_test(test_body_at_once),    cmocka_unit_test(test_header_without_end),
        cmocka_unit_test(test_mbox_lines),      cmocka_unit_test(test_taken_out),
        cmocka_unit_test(test_bcc_kept),        cmocka_unit_test(test_form_of_names),
        cmocka_unit_test(test_empty_fields),    cmocka_unit_test(test_second_ones),
        cmocka_unit_test(test_completed),       cmocka_unit_test(test_not_completed),
        cmocka_unit_test(test_bad_addresses),   cmocka_unit_test(test_from),
        cmocka_unit_test(test_several_authors), cmocka_unit_test(test_from_override),
        cmocka_unit_test(test_injection),       cmocka_unit_test(test_resent),
        cmocka_unit_test(test_resent_blocks),   cmocka_unit_test(test_eight_bit),
        cmocka_unit_test(test_parameters),      cmocka_unit_test(test_controls),
        cmocka_unit_test(test_line_ends),       cmocka_unit_test(test_many_recipients),
        cmocka_unit_test(test_long_lines),      cmocka_unit_test(test_very_many_blanks),
        cmocka_unit_test(test_fold_limit),      cmocka_unit_test(test_body_of_any_size),
        cmocka_unit_test(test_long_first_line), cmocka_unit_test(test_zones),
        cmocka_unit_test(test_id_that_is_long), cmocka_unit_test(test_python_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
