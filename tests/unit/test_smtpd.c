/* The server for a local client: dialogues whole, byte by byte, and cut in two at every offset. */
#include "net/smtpd.h"
#include "net/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define STEPS_MAX 100000
#define EHLO                                                                                     \
    "250-router1\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 0\r\n250-ENHANCEDSTATUSCODES\r\n" \
    "250-DSN\r\n250 HELP\r\n"
#define HI "220 router1 ESMTP Tocsin\r\n"
#define GO "354 End with a dot on a line by itself\r\n"
#define BYE "221 2.0.0 Bye\r\n[quit]"
#define OK_MAIL "250 2.1.0 ok\r\n"
#define OK_RCPT "250 2.1.5 ok\r\n"
#define OK_END "250 2.0.0 queued\r\n"

struct fixture {
    struct smtpd smtpd;
    char log[65536]; /* What it says, and "[event]"; a body before its end. */
    size_t log_size;
    char body[65536];
    size_t body_size;
};

static void note(struct fixture *f, const char *bytes, size_t size)
{
    assert_in_range(f->log_size + size, 0, sizeof f->log - 1);
    memcpy(f->log + f->log_size, bytes, size);
    f->log_size += size;
    f->log[f->log_size] = '\0';
}

static void note_string(struct fixture *f, const char *string)
{
    note(f, string, strlen(string));
}

static void note_parameter(struct fixture *f, const char *name)
{
    const char *value = smtpd_parameter(&f->smtpd, name);

    if (value != NULL) {
        note_string(f, " ");
        note_string(f, name);
        note_string(f, "=");
        note_string(f, value);
    }
}

static void note_address(struct fixture *f, const char *name)
{
    static const char parameters[] = "SIZE\0BODY\0RET\0ENVID\0NOTIFY\0ORCPT";

    note_string(f, name);
    note_string(f, smtpd_address(&f->smtpd));
    for (unsigned i = 0; i < 6; i++) {
        note_parameter(f, text_item(parameters, i));
    }
    note_string(f, "]");
}

/* Answers the event, if there is one: who has "refused" in the address is. */
static bool answer(struct fixture *f)
{
    bool refused = strstr(smtpd_address(&f->smtpd), "refused") != NULL;

    switch (smtpd_event(&f->smtpd)) {
    case SMTPD_MAIL:
        note_address(f, "[mail ");
        smtpd_reply(&f->smtpd, refused ? "550 5.1.8 no" : "250 2.1.0 ok");
        return true;
    case SMTPD_RCPT:
        note_address(f, "[rcpt ");
        smtpd_reply(&f->smtpd, refused ? "550 5.1.1 no" : "250 2.1.5 ok");
        return true;
    case SMTPD_DATA:
        smtpd_next(&f->smtpd);
        f->body_size = 0;
        return true;
    case SMTPD_END:
        note_string(f, "[end ");
        note(f, f->body, f->body_size);
        note_string(f, "]");
        smtpd_reply(&f->smtpd, "250 2.0.0 queued");
        return true;
    case SMTPD_RESET:
        note_string(f, "[reset]");
        smtpd_next(&f->smtpd);
        return true;
    case SMTPD_QUIT:
        note_string(f, "[quit]");
        smtpd_next(&f->smtpd);
        return true;
    case SMTPD_NONE:
        break;
    }
    return false;
}

/* Takes one thing that waits; false: nothing does. */
static bool take(struct fixture *f)
{
    size_t size;
    const uint8_t *bytes = smtpd_tx_buf(&f->smtpd, &size);

    if (size > 0) {
        note(f, (const char *)bytes, size > 3 ? 3 : size);
        smtpd_tx_ack(&f->smtpd, size > 3 ? 3 : size);
        return true;
    }
    bytes = smtpd_body_buf(&f->smtpd, &size);
    if (size > 0) {
        size = size > 5 ? 5 : size;
        assert_in_range(f->body_size + size, 0, sizeof f->body);
        memcpy(f->body + f->body_size, bytes, size);
        f->body_size += size;
        smtpd_body_ack(&f->smtpd, size);
        return true;
    }
    return answer(f);
}

static void feed(struct fixture *f, const char *bytes, size_t size)
{
    for (unsigned steps = 0; size > 0 || take(f); steps++) {
        size_t taken = smtpd_push(&f->smtpd, (const uint8_t *)bytes, size);

        assert_in_range(steps, 0, STEPS_MAX);
        bytes += taken;
        size -= taken;
        assert_true(take(f) || taken > 0 || size == 0);
    }
}

/* A dialogue in pieces: of step bytes, or if that is 0 cut at `at`. */
static void run(struct fixture *f, const char *said, size_t size, size_t step, size_t at)
{
    memset(f, 0, sizeof *f);
    smtpd_init(&f->smtpd, "router1", 0);
    if (step > 0) {
        for (size_t i = 0; i < size; i += step) {
            feed(f, said + i, size - i < step ? size - i : step);
        }
    } else {
        feed(f, said, at);
        feed(f, said + at, size - at);
    }
    smtpd_eof(&f->smtpd);
    feed(f, "", 0);
    note_string(f, "[eof]");
}

static void check_size(const char *said, size_t size, const char *expected)
{
    static struct fixture f;

    run(&f, said, size, 1, 0);
    assert_string_equal(f.log, expected);
    run(&f, said, size, size + 1, 0);
    assert_string_equal(f.log, expected);
    for (size_t at = 0; at <= size; at++) {
        run(&f, said, size, 0, at);
        assert_string_equal(f.log, expected);
    }
}

static void check(const char *said, const char *expected)
{
    check_size(said, strlen(said), expected);
}

static void whole_dialogue(void **state)
{
    (void)state;
    check("EHLO localhost\r\nMAIL FROM:<a@example.com> SIZE=120 BODY=8BITMIME\r\n"
          "RCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nText\r\n.\r\nQUIT\r\n",
          HI EHLO "[mail a@example.com SIZE=120 BODY=8BITMIME]" OK_MAIL
                  "[rcpt b@example.com]" OK_RCPT GO "[end Subject: x\n\nText\n]" OK_END BYE
                  "[eof]");
    /* Lone line feeds, no greeting, two mails, no QUIT: what shell scripts write. */
    check("mail from:<>\nrcpt to:<root>\ndata\n\nA\n.\nMail From: <b@c>\nRcpt To: d@e\nData\n.\n",
          HI "[mail ]" OK_MAIL "[rcpt root]" OK_RCPT GO "[end \nA\n]" OK_END "[mail b@c]" OK_MAIL
             "[rcpt d@e]" OK_RCPT GO "[end ]" OK_END "[eof]");
    check("HELO x\r\nNOOP\r\nVRFY root\r\nHELP\r\nEXPN list\r\nSTARTTLS\r\nAUTH PLAIN "
          "x\r\nfoo\r\n\r\n",
          HI "250 router1\r\n250 2.0.0 Ok\r\n252 2.5.1 Send it a mail and see\r\n"
             "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP\r\n"
             "502 5.5.1 Not offered here\r\n502 5.5.1 Not offered here\r\n"
             "502 5.5.1 Not offered here\r\n500 5.5.2 This command is not known\r\n"
             "500 5.5.2 This command is not known\r\n[eof]");
}

static void dots(void **state)
{
    (void)state;
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..\r\n...x\r\n.y\r\na.\r\n..\n.\rz\r\n. "
          "\r\n\r\n.\r\n",
          HI "[mail a@b]" OK_MAIL "[rcpt c@d]" OK_RCPT GO
             "[end .\n..x\ny\na.\n.\n\rz\n \n\n]" OK_END "[eof]");
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nno end\r.\r\n.\nQUIT\n",
          HI "[mail a@b]" OK_MAIL "[rcpt c@d]" OK_RCPT GO "[end no end\r.\n]" OK_END BYE "[eof]");
}

/* What Python's smtplib makes of bytes with lone LF, and CRs that end nothing. */
static void line_ends(void **state)
{
    (void)state;
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nA: "
          "b\n\ntext\n..\r\n\r\r\n\rx\r\r\r\ny\r\n.\r\r\n.\r\n",
          HI "[mail a@b]" OK_MAIL "[rcpt c@d]" OK_RCPT GO
             "[end A: b\n\ntext\n.\n\r\n\rx\r\r\ny\n\r\n]" OK_END "[eof]");
}

static void order_of_commands(void **state)
{
    (void)state;
    check("RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<refused@b>\r\nRCPT TO:<a@b>\r\n",
          HI "503 5.5.1 MAIL comes first\r\n503 5.5.1 MAIL comes first\r\n[mail refused@b]"
             "550 5.1.8 no\r\n503 5.5.1 MAIL comes first\r\n[eof]");
    check("MAIL FROM:<a@b>\r\nMAIL FROM:<c@d>\r\nRCPT TO:<refused@b>\r\nDATA\r\nDATA "
          "now\r\nQUIT\r\nNOOP\r\n",
          HI "[mail a@b]" OK_MAIL "503 5.5.1 A mail is under way already\r\n[rcpt refused@b]"
             "550 5.1.1 no\r\n554 5.5.1 No recipient was accepted\r\n"
             "501 5.5.4 DATA takes no argument\r\n221 2.0.0 Bye\r\n[reset][quit][eof]");
    check("MAIL FROM:<a@b>\r\nRSET\r\nRSET\r\nMAIL FROM:<a@b>\r\nEHLO again\r\nDATA\r\n",
          HI "[mail a@b]" OK_MAIL "250 2.0.0 Ok\r\n[reset]250 2.0.0 Ok\r\n[mail a@b]" OK_MAIL EHLO
             "[reset]503 5.5.1 MAIL comes first\r\n[eof]");
}

static void unfinished(void **state)
{
    (void)state;
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a mail\r\n",
          HI "[mail a@b]" OK_MAIL "[rcpt c@d]" OK_RCPT GO "[reset][eof]");
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r",
          HI "[mail a@b]" OK_MAIL "[rcpt c@d]" OK_RCPT GO "[reset][eof]");
    check("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", HI "[mail a@b]" OK_MAIL "[reset][eof]");
    check("", HI "[eof]");
}

static void paths(void **state)
{
    (void)state;
    check("MAIL FROM:<\"a b>c\\\"\"@[IPv6:::1]>\r\nRCPT TO:<@relay.example,@x:b@c>\r\n",
          HI "[mail \"a b>c\\\"\"@[IPv6:::1]]" OK_MAIL "[rcpt b@c]" OK_RCPT "[reset][eof]");
    check("MAIL FROM:<a@b\r\nMAIL FROM:<a b@c>\r\nMAIL FROM:\r\nMAIL TO:<a@b>\r\nMAIL\r\n"
          "MAIL FROM:<a@b>x\r\n",
          HI
          "501 5.1.3 This is not an address\r\n501 5.1.3 This is not an address\r\n"
          "501 5.1.3 This is not an address\r\n501 5.5.4 Expected: MAIL FROM:<address>\r\n"
          "501 5.5.4 Expected: MAIL FROM:<address>\r\n501 5.1.3 This is not an address\r\n[eof]");
    check("MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT FROM:<a@b>\r\nRCPT TO: a@b\r\n",
          HI "[mail ]" OK_MAIL "501 5.1.3 This is not an address\r\n"
             "501 5.5.4 Expected: RCPT TO:<address>\r\n[rcpt a@b]" OK_RCPT "[reset][eof]");
}

static void parameters(void **state)
{
    (void)state;
    check("MAIL FROM:<a@b> RET=hdrs ENVID=x+2By+20RET=z  SIZE=7 AUTH=<>\r\n"
          "RCPT TO:<c@d> NOTIFY=success,DELAY ORCPT=rfc822;c+40d\r\nRCPT TO:<e@f> NOTIFY=NEVER\r\n",
          HI "[mail a@b SIZE=7 RET=hdrs ENVID=x+y RET=z]" OK_MAIL
             "[rcpt c@d NOTIFY=success,DELAY ORCPT=rfc822;c+40d]" OK_RCPT
             "[rcpt e@f NOTIFY=NEVER]" OK_RCPT "[reset][eof]");
    check("MAIL FROM:<a@b> RET=half\nMAIL FROM:<a@b> ENVID=+4\nMAIL FROM:<a@b> ENVID=+0A\n"
          "MAIL FROM:<a@b> SIZE=x\nMAIL FROM:<a@b> BODY=BINARYMIME\nMAIL FROM:<a@b> SMTPUTF8\n"
          "MAIL FROM:<a@b> NOTIFY=NEVER\n",
          HI "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "555 5.5.4 This parameter is not known\r\n"
             "555 5.5.4 This parameter is not known\r\n[eof]");
    check("MAIL FROM:<a@b> ENVID=+G1\nMAIL FROM:<a@b> ENVID=+2a\nMAIL FROM:<a@b> ENVID=+39+2A\n",
          HI "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n[mail a@b ENVID=9*]" OK_MAIL
             "[reset][eof]");
    check("MAIL FROM:<a@b>\nRCPT TO:<a@b> NOTIFY=NEVER,DELAY\nRCPT TO:<a@b> NOTIFY=\n"
          "RCPT TO:<a@b> ORCPT=x\nRCPT TO:<a@b> ENVID=x\n",
          HI "[mail a@b]" OK_MAIL "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "501 5.5.4 This parameter cannot be understood\r\n"
             "555 5.5.4 This parameter is not known\r\n[reset][eof]");
}

static void bad_lines(void **state)
{
    static const char nul[] = "NOOP\0x\r\nNOOP\r\n";
    static char line[SMTPD_LINE_BYTES + 100];
    static struct fixture f;

    (void)state;
    check_size(nul, sizeof nul - 1,
               HI "500 5.5.2 Control characters are in no command\r\n250 2.0.0 Ok\r\n[eof]");
    check("NOOP\rMAIL FROM:<a@b>\r\n",
          HI "500 5.5.2 Control characters are in no command\r\n[eof]");
    memset(line, 'x', sizeof line);
    memcpy(line, "NOOP ", 5);
    memcpy(line + sizeof line - 9, "\r\nNOOP\r\n", 9);
    run(&f, line, sizeof line - 1, 1, 0);
    assert_string_equal(f.log, HI "500 5.5.2 The line is too long\r\n250 2.0.0 Ok\r\n[eof]");
    run(&f, line, sizeof line - 1, sizeof line, 0);
    assert_string_equal(f.log, HI "500 5.5.2 The line is too long\r\n250 2.0.0 Ok\r\n[eof]");
    memcpy(line, "MAIL FROM:<", 11);
    line[400] = '>';
    line[401] = '\0';
    check(strcat(line, "\r\n"), HI "501 5.1.3 This is not an address\r\n[eof]");
}

static void body_of_any_bytes(void **state)
{
    static struct fixture f;
    static char said[3000];
    size_t at = strlen(strcpy(said, "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n"));
    size_t begin = at;

    (void)state;
    for (unsigned i = 0; i < 2500; i++) {
        said[at++] = (char)(i * 7);
    }
    memcpy(said + at, "\n.\n", 3);
    for (size_t step = 1; step < 3100; step = step * 3 / 2 + 1) {
        run(&f, said, at + 3, step, 0);
        assert_int_equal(f.body_size, at - begin + 1);
        assert_memory_equal(f.body, said + begin, f.body_size);
        assert_string_equal(f.log + f.log_size - strlen(OK_END "[eof]"), OK_END "[eof]");
    }
}

static void limits(void **state)
{
    static struct fixture f;
    static const char said[] =
        "MAIL FROM:<a@b> SIZE=11\nMAIL FROM:<a@b> SIZE=10\nRCPT TO:<c@d>\nDATA\n"
        "123456789\n.\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n1234567890\n.\nDATA\n";

    (void)state;
    for (size_t step = 1; step <= sizeof said; step += sizeof said - 1) {
        memset(&f, 0, sizeof f);
        smtpd_init(&f.smtpd, "router1", 10);
        for (size_t i = 0; i < sizeof said - 1; i += step) {
            feed(&f, said + i, step < sizeof said - 1 - i ? step : sizeof said - 1 - i);
        }
        assert_string_equal(f.log, HI
                            "552 5.3.4 The message is too large\r\n[mail a@b SIZE=10]" OK_MAIL
                            "[rcpt c@d]" OK_RCPT GO "[end 123456789\n]" OK_END "[mail a@b]" OK_MAIL
                            "[rcpt c@d]" OK_RCPT GO "552 5.3.4 The message is too large\r\n[reset]"
                            "503 5.5.1 MAIL comes first\r\n");
    }
    memset(&f, 0, sizeof f);
    smtpd_init(&f.smtpd, "router1", 0);
    feed(&f, "MAIL FROM:<>\n", 13);
    for (unsigned i = 0; i < SMTPD_RCPT_MAX; i++) {
        f.log_size = 0;
        feed(&f, "RCPT TO:<a@b>\n", 14);
        assert_string_equal(f.log, "[rcpt a@b]" OK_RCPT);
    }
    f.log_size = 0;
    feed(&f, "RCPT TO:<a@b>\n", 14);
    assert_string_equal(f.log, "452 4.5.3 Too many recipients\r\n");
}

/* A mail has not ended while a byte of it has not been taken, even if the client has gone. */
static void last_byte_first(void **state)
{
    static struct fixture f;
    size_t size;

    (void)state;
    smtpd_init(&f.smtpd, "router1", 0);
    feed(&f, "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n", 36);
    assert_int_equal(smtpd_push(&f.smtpd, (const uint8_t *)"\n.\n", 3), 3);
    smtpd_eof(&f.smtpd);
    assert_int_equal(smtpd_event(&f.smtpd), SMTPD_NONE);
    assert_memory_equal(smtpd_body_buf(&f.smtpd, &size), "\n", 1);
    assert_int_equal(size, 1);
    smtpd_body_ack(&f.smtpd, 1);
    assert_int_equal(smtpd_event(&f.smtpd), SMTPD_END);
    smtpd_reply(&f.smtpd, "250 2.0.0 queued");
    assert_int_equal(smtpd_event(&f.smtpd), SMTPD_NONE);
}

/* A reply is one line, whatever is put into it. */
static void replies(void **state)
{
    static struct smtpd smtpd;
    static char line[2000];
    size_t size;
    const uint8_t *bytes;

    (void)state;
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "451 4.3.0 a\r\nb\n", 15);
    smtpd_init(&smtpd, "router1", 0);
    smtpd_tx_ack(&smtpd, strlen(HI));
    assert_int_equal(smtpd_push(&smtpd, (const uint8_t *)"MAIL FROM:<>\n", 13), 13);
    assert_int_equal(smtpd_push(&smtpd, (const uint8_t *)"RSET\n", 5), 0); /* An event waits. */
    assert_int_equal(smtpd_event(&smtpd), SMTPD_MAIL);
    smtpd_reply(&smtpd, line);
    bytes = smtpd_tx_buf(&smtpd, &size);
    assert_int_equal(size, 512);
    assert_ptr_equal(memchr(bytes, '\n', size), bytes + 511);
    assert_null(memchr(bytes, '\r', size - 2));
    assert_in_range(sizeof(struct smtpd), SMTPD_LINE_BYTES, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_dialogue),    cmocka_unit_test(dots),
        cmocka_unit_test(line_ends),         cmocka_unit_test(order_of_commands),
        cmocka_unit_test(unfinished),        cmocka_unit_test(paths),
        cmocka_unit_test(parameters),        cmocka_unit_test(bad_lines),
        cmocka_unit_test(body_of_any_bytes), cmocka_unit_test(limits),
        cmocka_unit_test(replies),           cmocka_unit_test(last_byte_first),
    };

    return cmocka_run_group_tests_name("smtpd", tests, NULL, NULL);
}
