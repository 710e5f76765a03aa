/* The configuration reader: what it takes, what it makes of it, and every error with its line. */
#include "firmware/config.h"
#include "firmware/config_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CA "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
#define PUBLIC_KEY                                                  \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEK2nW6U7MBhRc7P5BqpmwY2TK5" \
    "DEwIN6k44Fv60kMib7o/I34sxtmg6yIJZwP/P1Q5pJIX3gu3JyBwICUMqPulw=="
#define HMAC_KEY "00112233445566778899aabbccddeeff0123456789ABCDEF0123456789ABCDEF"
#define POP3 "pop3 = pop.test\npop3_user = u\npop3_pass = p\n"
#define BASE "root = admin@example.com\nmailhub = mail.example.com\n" CA

/* Findings as lines "LINE KEY: MESSAGE". */
struct findings {
    char text[200000];
    size_t length;
};

static struct findings findings;
static struct config config;

static void take_finding(void *context, unsigned line, const char *key, const char *message)
{
    struct findings *out = context;
    int size = snprintf(out->text + out->length, sizeof out->text - out->length, "%u %s: %s\n",
                        line, key, message);

    assert_true(size > 0 && (size_t)size < sizeof out->text - out->length);
    out->length += (size_t)size;
}

static int read_pieces(struct config_reader *reader, const char *text, size_t size, size_t piece)
{
    for (size_t at = 0; at < size; at += piece) {
        config_push(reader, text + at, size - at < piece ? size - at : piece);
    }
    return config_end(reader);
}

/* The device's own words: short, and nothing of a value. */
static void take_words(void *context, unsigned line, const char *key, const char *message)
{
    static const char *const words[] = {
#define WORDS(id, string) string,
        CONFIG_FAULTS(WORDS)};
    size_t i = 1;

    (void)key;
    while (strcmp(message, words[i]) != 0) {
        assert_true(++i < CONFIG_FAULT_COUNT);
    }
    take_finding(context, line, "", message);
}

static const char *next_line(const char *line)
{
    return strchr(line, '\n') + 1;
}

/* Reads as the device does, and as a tool does: both find the same lines, the tool maybe more. */
static int parse_pieces(const char *text, size_t size, size_t piece)
{
    static struct findings words;
    static struct config device;
    struct config_reader reader;
    const char *told = findings.text;
    int errors;

    words.length = findings.length = 0;
    words.text[0] = findings.text[0] = '\0';
    memset(&device, 0x5A, sizeof device); /* Nothing may be left from before. */
    config_begin(&reader, &device, take_words, &words);
    errors = read_pieces(&reader, text, size, piece);

    memset(&config, 0xA5, sizeof config);
    config_begin(&reader, &config, take_finding, &findings);
    config_explain(&reader);
    assert_int_equal(read_pieces(&reader, text, size, piece), errors);
    assert_memory_equal(&device, &config, sizeof config);
    for (const char *at = words.text; *at != '\0'; at = next_line(at)) {
        assert_int_equal(strtoul(at, NULL, 10), strtoul(told, NULL, 10));
        told = next_line(told);
    }
    return errors + config_review(&reader);
}

static int parse(const char *text)
{
    return parse_pieces(text, strlen(text), strlen(text) + 1);
}

static void assert_good(const char *text)
{
    int errors = parse(text);

    if (errors != 0) {
        fail_msg("%d errors:\n%s\nin:\n%s", errors, findings.text, text);
    }
}

/* BASE with more lines behind is good. */
static void assert_more(const char *more)
{
    char text[4096];

    snprintf(text, sizeof text, BASE "%s", more);
    assert_good(text);
}

/* text has exactly one error, which begins "LINE KEY: " and holds the words. */
static void assert_error(const char *text, const char *place, const char *words)
{
    int errors = parse(text);

    if (errors != 1 || strncmp(findings.text, place, strlen(place)) != 0 ||
        strstr(findings.text, words) == NULL) {
        fail_msg("expected one error '%s ... %s', got %d:\n%s\nin:\n%s", place, words, errors,
                 findings.text, text);
    }
}

/* The same, of one line behind BASE: line 6. */
static void assert_bad_line(const char *line, const char *words)
{
    char text[4096];
    char place[64];

    snprintf(text, sizeof text, BASE "%s\n", line);
    snprintf(place, sizeof place, "6 %.*s: ", (int)strcspn(line, " ="), line);
    assert_error(text, place, words);
}

static void test_defaults(void **state)
{
    (void)state;
    config_defaults(&config);
    assert_string_equal(config.hostname, "tocsin");
    assert_int_equal(config.syslog_port, 514);
    assert_int_equal(config.syslog_severity, 5);
    assert_int_equal(config.syslog_facilities, CONFIG_FACILITIES_ALL);
    assert_string_equal(config.sntp[0].host, "pool.ntp.org");
    assert_int_equal(config.sntp[0].port, 123);
    assert_string_equal(config.sntp[1].host, "");
    assert_int_equal(config.connect_timeout_s, 30);
    assert_int_equal(config.retry_min_s, 10);
    assert_int_equal(config.retry_max_s, 900);
    assert_int_equal(config.expire_s, 5 * 86400);
    assert_int_equal(config.repeat_window_s, 600);
    assert_int_equal(config.alerts_per_hour, 60);
    assert_int_equal(config.digest_delay_s, 900);
    assert_int_equal(config.limit_minute + config.limit_hour + config.limit_day, 0);
    assert_false(config.confirm);
    assert_int_equal(config.confirm_timeout_s, 300);
    assert_int_equal(config_servers(&config), 0);
    assert_true(config.dhcp);
    assert_true(config.alert_boot);
    assert_true(config.alert_link);
    assert_false(config.auth_without_tls);
    assert_int_equal(config.zone_minutes, 0);
    assert_string_equal(config.mailhub.host, "");
    assert_int_equal(config.to_count, 0);
    assert_int_equal(config.tls, SMTP_TLS_IMPLICIT);
}

/* Each default in the table is one that the reader takes, in the room that it has. */
static void test_defaults_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        char value[16];

        assert_true(text_copy(value, sizeof value, config_key_initial(&config_keys[i])));
        assert_int_equal(config_value_set(&config, &config_keys[i], value, true), CONFIG_TAKEN);
    }
}

static const char ssmtp[] = "# /etc/ssmtp/ssmtp.conf\n"
                            "root=admin@example.com\n"
                            "mailhub=mail.example.com:465\n"
                            "rewriteDomain=example.com\n"
                            "hostname=router1\n"
                            "AuthUser=router1@example.com\n"
                            "AuthPass=pass#word=1\n"
                            "UseTLS=YES\n"
                            "UseSTARTTLS=NO\n"
                            "FromLineOverride=YES\n"
                            "#TLS_CA_File=ca.pem\n" CA;

static void assert_ssmtp(void)
{
    const char *to[CONFIG_TO_MAX];

    assert_int_equal(config_to(&config, to, CONFIG_TO_MAX), 1);
    assert_string_equal(to[0], "admin@example.com");
    assert_string_equal(config.mailhub.host, "mail.example.com");
    assert_int_equal(config.mailhub.port, 465);
    assert_string_equal(config.tls_name, "mail.example.com");
    assert_int_equal(config.tls, SMTP_TLS_IMPLICIT);
    assert_string_equal(config.rewrite_domain, "example.com");
    assert_string_equal(config.hostname, "router1");
    assert_string_equal(config.auth_user, "router1@example.com");
    assert_string_equal(config.auth_pass, "pass#word=1");
    assert_string_equal(config.from, "router1@example.com");
    assert_true(config.from_line_override);
    assert_int_equal(config.ca_count, 1);
}

static void test_ssmtp(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof ssmtp; piece++) { /* However the text is cut up. */
        assert_int_equal(parse_pieces(ssmtp, sizeof ssmtp - 1, piece), 0);
        assert_ssmtp();
    }
}

/* The same file as it comes from other systems. */
static void test_text_forms(void **state)
{
    char text[4096];
    size_t length = 0;

    (void)state;
    for (size_t i = 0; i < sizeof ssmtp - 1; i++) { /* CRLF, no end of line at the end. */
        if (ssmtp[i] == '\n') {
            text[length++] = '\r';
        }
        text[length++] = ssmtp[i];
    }
    assert_int_equal(parse_pieces(text, length - 2, 7), 0);
    assert_ssmtp();

    assert_good(
        "\n\n \t\n  ROOT\t=  admin@example.com \t\n; comment\n\t# comment\n"
        "to=second@example.com\nMailHub = mail.example.com:465\nAuth User=router1@example.com\n"
        "Auth-Pass=\" x \"\n" CA);
    assert_int_equal(config.to_count, 2);
    assert_string_equal(config.auth_pass, " x ");
    assert_error(BASE "just words\n", "6 : ", "expected a line");
    assert_error(BASE "= value\n", "6 : ", "expected a line");
    assert_error(BASE "hostname = a\x01\n", "6 : ", "control character");
    assert_error(BASE "from_name = B\xFCro\n", "6 : ", "UTF-8");
    assert_more(
        "# B\xFCro and \x01 may stand in a comment\n; so B\xFCro\nfrom_name = B\xC3\xBCro\n");
    assert_string_equal(config.from_name, "B\xC3\xBCro");
    assert_int_equal(parse_pieces(BASE "hostname = a\0b\n", sizeof BASE + 15 - 1, 1000), 1);
    assert_non_null(strstr(findings.text, "6 : expected text; the line holds a control character"));
}

static void test_lengths(void **state)
{
    char text[CONFIG_TEXT_BYTES + 100];
    size_t base = strlen(BASE);
    size_t size;

    (void)state;
    memcpy(text, BASE, base);
    size = base + CONFIG_LINE_BYTES;
    memset(text + base, 'a', sizeof text - base);
    memcpy(text + base, "syslog_match = ", 15);
    assert_int_equal(parse_pieces(text, size, 100),
                     1); /* A line that fits, but a value that does not. */
    assert_non_null(
        strstr(findings.text, "6 syslog_match: expected UTF-8 text of at most 63 bytes"));
    assert_int_equal(parse_pieces(text, size + 1, 100), 1);
    assert_non_null(strstr(findings.text, "6 : the line is too long"));
    text[base] = '#';
    assert_int_equal(parse_pieces(text, CONFIG_TEXT_BYTES, 1000), 0);
    assert_int_equal(parse_pieces(text, CONFIG_TEXT_BYTES + 1, 1000), 1);
    assert_non_null(strstr(findings.text, "0 : the text is too long"));
}

static void test_unknown_keys(void **state)
{
    (void)state;
    assert_bad_line("mailhup = a", "did you mean 'mailhub'?");
    assert_bad_line("authpas = a", "did you mean 'auth_pass'?");
    assert_error(BASE "syslogport = 1\nSyslog_Prot = 1\n",
                 "7 Syslog_Prot: ", "did you mean 'syslog_port'?");
    assert_bad_line("rooot = a", "did you mean 'root'?");
    assert_bad_line("colour = red", "docs/config.md");
    assert_bad_line("x = red", "docs/config.md");
    assert_bad_line("root|to = a@b.c", "no such key");
    assert_bad_line("to|x = a@b.c", "no such key");
    assert_error(BASE "hostname = a\nhostname = b\n",
                 "7 hostname: ", "already written in line 6; expected once");
}

static void test_recipients(void **state)
{
    const char *to[CONFIG_TO_MAX];
    char text[2000];

    (void)state;
    assert_good(
        "root = a@example.com, b@example.com,\nroot = \"x, y\"@example.com\nmailhub = m.test\n"
        "to = d@[192.0.2.1]\n" CA);
    assert_int_equal(config_to(&config, to, CONFIG_TO_MAX), 4);
    assert_string_equal(to[1], "b@example.com");
    assert_string_equal(to[2], "\"x, y\"@example.com");
    assert_string_equal(to[3], "d@[192.0.2.1]");
    assert_int_equal(config_to(&config, to, 2), 2);

    assert_good("root = a, b@x.test, c\nmailhub = m.test\nrewriteDomain = example.com\n" CA);
    assert_int_equal(config_to(&config, to, CONFIG_TO_MAX), 3);
    assert_string_equal(to[0], "a@example.com");
    assert_string_equal(to[1], "b@x.test");
    assert_string_equal(to[2], "c@example.com");

    assert_good("root = a@e.com,b@e.com,c@e.com,d@e.com\nroot=e@e.com,f@e.com,g@e.com,h@e.com\n"
                "mailhub = m.test\n" CA);
    assert_int_equal(config.to_count, 8);
    assert_error(BASE
                 "root = b@e.com,c@e.com,d@e.com\nroot=e@e.com,f@e.com,g@e.com,h@e.com,i@e.com\n",
                 "7 root: ", "at most 8");
    snprintf(text, sizeof text, "root=");
    for (unsigned i = 0; i < 8; i++) { /* 8 fit by number, but these not by size. */
        size_t length = strlen(text);

        snprintf(text + length, sizeof text - length, "%050u@aaaaaaaaaaaa.example.com,", i);
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "\nmailhub=m.test\n" CA);
    assert_error(text, "1 root: ", "512 bytes in all");
    assert_error("root = admin\nmailhub = m.test\n" CA, "1 root: ", "with its domain");
    assert_error("mailhub = m.test\n" CA, "0 root: ", "missing");
    assert_error("root =\nmailhub = m.test\n" CA, "0 root: ", "missing");
    assert_error(BASE "root = ADMIN@example.com\n", "1 root: ", "twice");
    assert_error("root = a, a@example.com\nmailhub=m.test\nrewrite_domain=example.com\n" CA,
                 "1 root: ", "twice");
    /* 8 names that fit, but not once the domain is appended: never beyond the room for them. */
    snprintf(text, sizeof text,
             "root=%s1,%s2,%s3,%s4,%s5,%s6,%s7,%s8\nmailhub=m.test\nrewrite_domain=%.60s.x\n" CA,
             "local", "local", "local", "local", "local", "local", "local", "local",
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_error(text, "1 root: ", "too long once");
}

static void test_addresses(void **state)
{
    static const char *const good[] = {
        "a@b",
        "first.last+tag@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.com",
        "\"a b\"@example.com",
        "\"a\\\"b\"@example.com",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@xn--bcher-kva.example",
        "1@2.example",
        "1234567890123456789012345678901234567890123456789012345678901234@example.com",
    };
    static const char *const bad[] = {
        "@example.com",
        "a@",
        "a@@b",
        "a b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "a@example..com",
        "a@-example.com",
        "a@example-.com",
        "a@.example.com",
        "a@example.com.",
        "a@exam_ple.com",
        "<a@example.com>",
        "Admin <a@example.com>",
        "a@192.0.2.1",
        "a@[192.0.2]",
        "a@[300.0.2.1]",
        "a@[]",
        "a@[IPv6:]",
        "a@[IPv6:x]",
        "\"a@example.com",
        "\"a\"b@c",
        "a@example.com>",
        "a@ex\xC3\xA4mple.com",
        "\xC3\xA4@example.com",
        "a:b@example.com",
        "a@b,c d@e",
        "12345678901234567890123456789012345678901234567890123456789012345@example.com",
        "a@1234567890123456789012345678901234567890123456789012345678901234.com",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char line[400];

        assert_int_equal(config_mailbox_kind(good[i]), CONFIG_MAILBOX_FULL);
        snprintf(line, sizeof line, "from = %s\n", good[i]);
        assert_more(line);
        assert_string_equal(config.from, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[400];

        snprintf(line, sizeof line, "from = %s", bad[i]);
        assert_bad_line(line, "expected an address like router@example.com");
        snprintf(line, sizeof line, "root = %s", bad[i]);
        assert_bad_line(line, "expected addresses like admin@example.com");
    }
}

static void test_sender(void **state)
{
    (void)state;
    assert_more("from = me@x.test\nrewrite_domain = example.org\n");
    assert_string_equal(config.from, "me@x.test");
    assert_more("from = me\nrewrite_domain = example.org\n");
    assert_string_equal(config.from, "me@example.org");
    assert_error(BASE "from = me\n", "6 from: ", "with its domain");
    assert_more("rewrite_domain = example.org\nhostname = r1.lan.test\n");
    assert_string_equal(config.from, "r1@example.org");
    assert_more("rewrite_domain = example.org\nauth_user = alerts\nauth_pass = x\n");
    assert_string_equal(config.from, "alerts@example.org");
    assert_more("rewrite_domain = example.org\nauth_user = alerts@EXAMPLE.org\nauth_pass = x\n");
    assert_string_equal(config.from, "alerts@EXAMPLE.org");
    assert_more(
        "rewrite_domain = example.org\nauth_user = a@gmail.test\nauth_pass = x\nhostname=r1\n");
    assert_string_equal(config.from, "r1@example.org");
    assert_more("auth_user = a@gmail.test\nauth_pass = x\n");
    assert_string_equal(config.from, "a@gmail.test");
    assert_more("auth_user = alerts\nauth_pass = x\n");
    assert_string_equal(config.from, "admin@example.com");
}

/* tls, UseTLS and UseSTARTTLS against the port: 'i' TLS on connect, 's' STARTTLS, 'o' off, 'e' an
 * error. */
static void test_tls(void **state)
{
    static const struct {
        const char *lines;
        const char *results; /* With no port, 465, 587, 25, 2525, 10025. */
    } cases[] = {
        {"", "iisss"
             "s"},
        {"tls = implicit", "iiiiii"},
        {"tls = SMTPS", "iiiiii"},
        {"tls = starttls", "ssssss"},
        {"tls = off", "oooooo"},
        {"tls = on", "iissss"},
        {"tls = yes", "iissss"},
        {"tls = no", "eeeeee"},
        {"tls = none", "eeeeee"},
        {"UseTLS = YES", "iisssi"},
        {"UseTLS = YES\nUseSTARTTLS = NO", "iiiiii"},
        {"UseTLS = YES\nUseSTARTTLS = YES", "sissss"},
        {"UseSTARTTLS = YES", "sissss"},
        {"UseSTARTTLS = NO", "iieeee"},
        {"UseTLS = NO", "eeeeee"},
        {"UseTLS = NO\nUseSTARTTLS = NO", "eeeeee"},
        {"UseTLS = NO\nUseSTARTTLS = YES", "sissss"},
        {"tls = on\nUseTLS = NO", "eeeeee"},
        {"tls = off\nUseTLS = YES", "eeeeee"},
        {"tls = off\nUseSTARTTLS = YES", "eeeeee"},
        {"tls = off\nUseTLS = NO\nUseSTARTTLS = NO", "oooooo"},
        {"tls = implicit\nUseTLS = NO", "eeeeee"},
        {"tls = implicit\nUseSTARTTLS = YES", "eeeeee"},
        {"tls = implicit\nUseTLS = YES\nUseSTARTTLS = NO", "iiiiii"},
        {"tls = starttls\nUseSTARTTLS = NO", "eeeeee"},
        {"tls = starttls\nUseTLS = YES", "ssssss"},
        {"tls = starttls\nUseTLS = NO", "eeeeee"},
        {"tls = starttls\nUseTLS = NO\nUseSTARTTLS = YES", "ssssss"},
    };
    static const char *const ports[] = {"", ":465", ":587", ":25", ":2525", ":10025"};
    static const uint16_t port_of[] = {465, 587, 25};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t port = 0; port < 6; port++) {
            char text[500];
            int errors;
            char result;

            snprintf(text, sizeof text, "root=a@b\nmailhub = m.test%s\n%s\n" CA, ports[port],
                     cases[i].lines);
            errors = parse(text);
            result = errors > 0 ? 'e' : "iso"[config.tls];
            if (result != cases[i].results[port] || errors > 1) {
                fail_msg("%s -> %c, %d errors: %s", text, result, errors, findings.text);
            }
            if (errors == 0 && port == 0) {
                assert_int_equal(config.mailhub.port, port_of[config.tls]);
            }
        }
    }
    assert_bad_line("tls = no", "off if clear text is really meant");
    assert_bad_line("tls = starttls # yes", "a comment needs a line of its own");
    assert_bad_line("UseTLS = maybe", "expected yes or no");
    assert_error("root=a@b\nmailhub=m.test\n", "0 tls_ca_file: ", "TLS needs the CA certificate");
    assert_good("root=a@b\nmailhub=m.test\ntls=off\n");
}

static void test_auth(void **state)
{
    (void)state;
    assert_more("AuthUser = u\nAuthPass = p\n");
    assert_error(BASE "AuthUser = u\n", "0 auth_pass: ", "missing");
    assert_error(BASE "AuthPass = u\n", "0 auth_user: ", "missing");
    assert_error("root=a@b\nmailhub=m.test\ntls=off\nAuthUser=u\nAuthPass=p\n",
                 "4 auth_user: ", "clear text");
    assert_good(
        "root=a@b\nmailhub=m.test\ntls=off\nAuthUser=u\nAuthPass=p\nauth_without_tls=yes\n");
    assert_true(config.auth_without_tls);
    assert_more("AuthUser = u\nAuthPass = \"\"quoted\"\"\n");
    assert_string_equal(config.auth_pass, "\"quoted\"");
    assert_more("AuthUser = u\nAuthPass = \"open\n");
    assert_string_equal(config.auth_pass, "\"open");
    assert_more("AuthUser = u\nAuthPass = ; # = \\\n");
    assert_string_equal(config.auth_pass, "; # = \\");
    assert_more("AuthUser =\nAuthPass =\n");
    assert_string_equal(config.auth_user, "");
}

/* The device's few words name the fault, with the same line and key. */
static void test_words(void **state)
{
    static const char text[] = "mailhub = a b\ncolour = red\nsyslog_port = 1\nsyslog_port = 2\n"
                               "UseTLS = no\nwords\nauth_user = u\n";
    struct config_reader reader;

    (void)state;
    findings.length = 0;
    config_begin(&reader, &config, take_finding, &findings);
    assert_int_equal(read_pieces(&reader, text, sizeof text - 1, 1), 8);
    assert_string_equal(findings.text, "1 mailhub: not valid\n2 colour: no such key\n"
                                       "4 syslog_port: written twice\n6 : not `key = value`\n"
                                       "0 root: missing\n5 use_tls: would be in clear text\n"
                                       "0 tls_ca_file: missing\n0 auth_pass: missing\n");
}

/* A password that is wrong is never repeated in a message. */
static void test_secret_not_told(void **state)
{
    char text[1000];

    (void)state;
    snprintf(text, sizeof text, BASE "AuthUser = u\nAuthPass = hunter2%0200d\n", 0);
    assert_int_equal(parse(text), 1);
    assert_null(strstr(findings.text, "hunter2"));
    assert_non_null(strstr(findings.text, "7 AuthPass: expected UTF-8 text of at most 111 bytes"));
    for (unsigned i = 0; i < 100; i++) {
        char line[300];

        assert_more("AuthUser = u\nAuthPass = hunter2\nmailhub2 = b.test\nAuthUser2 = u\n"
                    "AuthPass2 = hunter2\npop3 = c.test\npop3_user = u\npop3_pass = hunter2\n"
                    "command_key = " HMAC_KEY "\n");
        if (config_show_line(&config, i, line, sizeof line) > 0) {
            assert_null(strstr(line, "hunter2"));
            assert_null(strstr(line, "001122"));
        }
    }
}

static void test_server(void **state)
{
    static const char *const bad[] = {
        "a b",
        "a:0",
        "a:65536",
        "a:",
        ":25",
        "a:b:c",
        "[::1]:25",
        "-a.test",
        "a..test",
        "a_b.test",
        "10.0.0",
        "256.1.1.1",
        "a.test.",
        "m\xC3\xA4il.test",
        "http://a.test",
        "a.test:25x",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    (void)state;
    assert_good("root=a@b\nmailhub=192.0.2.1:2525\ntls_name=mail.test\n" CA);
    assert_string_equal(config.mailhub.host, "192.0.2.1");
    assert_string_equal(config.tls_name, "mail.test");
    assert_good(
        "root=a@b\nmailhub=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1\n" CA);
    assert_int_equal(strlen(config.mailhub.host), 63);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[500];

        snprintf(text, sizeof text, "root=a@b\n" CA "mailhub=%s\n", bad[i]);
        assert_error(text, "5 mailhub: ", "expected HOST or HOST:PORT");
    }
    assert_error("root=a@b\n" CA, "0 mailhub: ", "missing");
}

static void assert_second(const char *lines, enum smtp_tls tls, uint16_t port)
{
    struct config_server server;

    assert_more(lines);
    assert_int_equal(config_servers(&config), 2);
    config_server(&config, 1, &server);
    assert_string_equal(server.endpoint->host, "b.test");
    assert_int_equal(server.endpoint->port, port);
    assert_int_equal(server.tls, tls);
    config_server(&config, 0, &server); /* And it changes nothing about the first. */
    assert_string_equal(server.endpoint->host, "mail.example.com");
    assert_string_equal(server.tls_name, "mail.example.com");
}

/* The second server settles as the first does, with keys of its own. */
static void test_second_server(void **state)
{
    struct config_server server;

    (void)state;
    assert_more("");
    assert_int_equal(config_servers(&config), 1);
    assert_second("mailhub2 = b.test", SMTP_TLS_IMPLICIT, 465);
    assert_second("mailhub2 = b.test:587", SMTP_TLS_STARTTLS, 587);
    assert_second("mailhub2 = b.test:10025", SMTP_TLS_STARTTLS, 10025);
    assert_second("mailhub2 = b.test\ntls2 = starttls", SMTP_TLS_STARTTLS, 587);
    assert_second("mailhub2 = b.test:2525\ntls2 = implicit", SMTP_TLS_IMPLICIT, 2525);
    assert_second("mailhub2 = b.test\ntls2 = off", SMTP_TLS_OFF, 25);
    /* What is said about the first is not said about the second. */
    assert_second("mailhub2 = b.test\nUseTLS = YES\nUseSTARTTLS = YES", SMTP_TLS_IMPLICIT, 465);
    assert_second("mailhub2 = b.test\ntls = off\n", SMTP_TLS_IMPLICIT, 465);
    assert_second("mailhub2 = b.test:25\ntls = off\n", SMTP_TLS_STARTTLS, 25);
    assert_error("root=a@b\nmailhub=m.test\ntls=off\nmailhub2=b.test\n",
                 "0 tls_ca_file: ", "TLS needs the CA certificate");
    assert_error("root=a@b\nmailhub=m.test\nmailhub2=b.test\ntls2=off\n",
                 "0 tls_ca_file: ", "TLS needs the CA certificate");
    assert_good("root=a@b\nmailhub=m.test\nmailhub2=b.test\ntls=off\ntls2=off\n");

    assert_more("auth_user = u\nauth_pass = p\nmailhub2 = b.test\n");
    config_server(&config, 1, &server); /* The first one's password is for the first one. */
    assert_string_equal(server.user, "");
    assert_string_equal(server.password, "");
    assert_string_equal(server.tls_name, "b.test");
    assert_more("mailhub2 = b.test\ntls_name2 = c.test\nAuthUser2 = v\nAuthPass2 = q\n");
    config_server(&config, 1, &server);
    assert_string_equal(server.user, "v");
    assert_string_equal(server.password, "q");
    assert_string_equal(server.tls_name, "c.test");
    config_server(&config, 0, &server);
    assert_string_equal(server.user, "");

    assert_error(BASE "mailhub2 = b.test\nauth_user2 = u\n",
                 "0 auth_pass2: ", "password of auth_user2");
    assert_error(BASE "mailhub2 = b.test\nauth_pass2 = u\n",
                 "0 auth_user2: ", "whom auth_pass2 belongs to");
    assert_error(BASE "mailhub2 = b.test\ntls2 = off\nauth_user2 = u\nauth_pass2 = p\n",
                 "8 auth_user2: ", "tls2 = off would send");
    assert_second("mailhub2 = b.test\ntls2 = off\nauth_user2 = u\nauth_pass2 = p\n"
                  "auth_without_tls = yes",
                  SMTP_TLS_OFF, 25);
    assert_error(BASE "tls2 = on\n", "0 mailhub2: ", "keys that end in 2");
    assert_error(BASE "tls_name2 = a.test\n", "0 mailhub2: ", "keys that end in 2");
    assert_error(BASE "auth_user2 = u\nauth_pass2 = p\n", "0 mailhub2: ", "keys that end in 2");
    assert_error(BASE "mailhub2 = MAIL.example.com\n", "6 mailhub2: ", "the same server");
    assert_more("mailhub2 = mail.example.com:587\n");
    assert_error(BASE "mailhub2 = a b\n", "6 mailhub2: ", "expected HOST or HOST:PORT");
    assert_error(BASE "address = 192.0.2.10/24\nhost = mail.example.com 192.0.2.1\n"
                      "mailhub2 = b.test\n",
                 "8 mailhub2: ", "nothing can find");
    assert_more("address = 192.0.2.10/24\nhost = mail.example.com 192.0.2.1\n"
                "mailhub2 = 192.0.2.2\ntls_name2 = b.test\n");
}

static const struct {
    const char *lines;
    const char *place; /* NULL: good. */
    const char *words;
} network_cases[] = {
    {"address = dhcp", NULL, NULL},
    {"address = 192.0.2.10/24\ngateway = 192.0.2.1\ndns = 192.0.2.1", NULL, NULL},
    {"address = 192.0.2.10\nnetmask = 255.255.255.0\ndns = 192.0.2.1", NULL, NULL},
    {"netmask = 255.255.255.0\naddress = 192.0.2.10/24\ndns = 192.0.2.1", NULL, NULL},
    {"address = 192.0.2.10/24\nhost = mail.example.com 192.0.2.1", NULL, NULL},
    {"address = 192.0.2.10/30\ngateway = 192.0.2.9\ndns = 8.8.8.8", NULL, NULL},
    {"address = 192.0.2.10\ndns = 8.8.8.8", "0 netmask: ", "missing"},
    {"address = 192.0.2.10/24", "2 mailhub: ", "nothing can find"},
    {"address = 192.0.2.10/24\ndns=8.8.8.8\ngateway = 192.0.3.1",
     "8 gateway: ", "inside the network"},
    {"address = 192.0.2.10/24\ndns=8.8.8.8\ngateway = 192.0.2.10", "8 gateway: ", "another host"},
    {"address = 192.0.2.10/24\ndns=8.8.8.8\ngateway = 192.0.2.255", "8 gateway: ", "another host"},
    {"address = 192.0.2.0/24\ndns=8.8.8.8", "6 address: ", "of a host"},
    {"address = 192.0.2.255/24\ndns=8.8.8.8", "6 address: ", "of a host"},
    {"address = 127.0.0.1/8\ndns=8.8.8.8", "6 address: ", "of a host"},
    {"address = 224.0.0.1/8\ndns=8.8.8.8", "6 address: ", "of a host"},
    {"address = 192.0.2.10/31\ndns=8.8.8.8", "6 address: ", "expected dhcp"},
    {"address = 192.0.2.10/0\ndns=8.8.8.8", "6 address: ", "expected dhcp"},
    {"address = 192.0.2.10/x\ndns=8.8.8.8", "6 address: ", "expected dhcp"},
    {"address = 0.0.0.0/24", "6 address: ", "expected dhcp"},
    {"address = auto", "6 address: ", "expected dhcp"},
    {"address = 192.0.2.10/24\ndns=8.8.8.8\nnetmask = 255.255.0.0", "8 netmask: ", "the same mask"},
    {"address = 192.0.2.10\ndns=8.8.8.8\nnetmask = 255.0.255.0", "8 netmask: ", "expected a mask"},
    {"netmask = 255.255.255.0", "6 netmask: ", "DHCP gives"},
    {"gateway = 192.0.2.1", "6 gateway: ", "DHCP gives"},
    {"address = 192.0.2.10/24\ndns=8.8.8.8\ngateway = router", "8 gateway: ", "an IPv4 address"},
    {"dns = 8.8.8.8, 8.8.4.4:5353", NULL, NULL},
    {"dns = 8.8.8.8 8.8.4.4", NULL, NULL},
    {"dns = 8.8.8.8\ndns = 8.8.4.4", NULL, NULL},
    {"dns = 8.8.8.8\ndns = 8.8.4.4\ndns = 1.1.1.1", "8 dns: ", "at most 2"},
    {"dns = dns.example.com", "6 dns: ", "expected an IPv4 address"},
    {"dns = 8.8.8.8:0", "6 dns: ", "expected an IPv4 address"},
    {"sntp = time.example.com, 192.0.2.1:1123", NULL, NULL},
    {"sntp = a.test\nsntp = b.test\nsntp = c.test", "8 sntp: ", "at most 2"},
    {"sntp = off", NULL, NULL},
    {"sntp = a.test\nsntp = off", "7 sntp: ", "off alone"},
    {"sntp = a:b", "6 sntp: ", "expected HOST"},
    {"address=192.0.2.10/24\nhost=mail.example.com 192.0.2.1\nsntp=t.test",
     "8 sntp: ", "nothing can"},
    {"host = a 1.2.3.4\nhost = b 1.2.3.4", NULL, NULL},
    {"host = a 1.2.3.4\nhost = A 1.2.3.5", "7 host: ", "already"},
    {"host = a", "6 host: ", "expected NAME ADDRESS"},
    {"host = 1.2.3.4 a", "6 host: ", "expected NAME ADDRESS"},
    {"host = a 1.2.3.4 b", "6 host: ", "expected NAME ADDRESS"},
    {"host = a_b 1.2.3.4", "6 host: ", "expected NAME ADDRESS"},
    {"host=a 1.1.1.1\nhost=b 1.1.1.1\nhost=c 1.1.1.1\nhost=d 1.1.1.1\nhost=e 1.1.1.1\nhost=f "
     "1.1.1.1\n"
     "host=g 1.1.1.1",
     "12 host: ", "at most 6"},
};

static void assert_pop3(const char *lines, enum smtp_tls tls, unsigned port)
{
    char text[1000];

    snprintf(text, sizeof text, "%s\npop3_user = u\npop3_pass = p\n", lines);
    assert_more(text);
    assert_int_equal(config.pop3_tls, tls);
    assert_int_equal(config.pop3.port, port);
    assert_string_equal(config.pop3.host, "pop.test");
}

/* The mailbox's server settles by itself: what is said of the mail servers is not said of it. */
static void test_pop3(void **state)
{
    (void)state;
    assert_pop3("pop3 = pop.test", SMTP_TLS_IMPLICIT, 995);
    assert_pop3("pop3 = pop.test:110", SMTP_TLS_STARTTLS, 110);
    assert_pop3("pop3 = pop.test:10110", SMTP_TLS_IMPLICIT, 10110);
    assert_pop3("pop3 = pop.test\npop3_tls = starttls", SMTP_TLS_STARTTLS, 110);
    assert_pop3("pop3 = pop.test\nPOP3TLS = STLS", SMTP_TLS_STARTTLS, 110);
    assert_pop3("pop3 = pop.test:110\npop3_tls = implicit", SMTP_TLS_IMPLICIT, 110);
    assert_pop3("pop3 = pop.test:110\npop3_tls = on", SMTP_TLS_STARTTLS, 110);
    assert_pop3("pop3 = pop.test\npop3_tls = off", SMTP_TLS_OFF, 110);
    assert_pop3("pop3 = pop.test:995\npop3_tls = off", SMTP_TLS_OFF, 995);
    assert_pop3("pop3 = pop.test\ntls = off\n", SMTP_TLS_IMPLICIT, 995);
    assert_pop3("pop3 = pop.test\nUseTLS = YES\nUseSTARTTLS = YES\n", SMTP_TLS_IMPLICIT, 995);
    assert_string_equal(config.pop3_tls_name, "pop.test");
    assert_string_equal(config.mailbox, config.from);
    assert_more(POP3 "pop3_tls_name = b.test\nmailbox = me\nrewrite_domain = x.test\n");
    assert_string_equal(config.pop3_tls_name, "b.test");
    assert_string_equal(config.mailbox, "me@x.test");
    assert_more("");
    assert_string_equal(config.mailbox, "");
    assert_int_equal(config.poll_s, 300);
    assert_int_equal(config.poll_fast_s, 30);
    assert_int_equal(config.pop3_size_max, 65536);
    assert_false(config.pop3_delete);
    assert_error("root=a@b\nmailhub=m.test\ntls=off\n" POP3,
                 "0 tls_ca_file: ", "TLS needs the CA certificate");
    assert_good("root=a@b\nmailhub=m.test\ntls=off\npop3_tls=off\n" POP3);
}

static void test_pop3_errors(void **state)
{
    char text[1000];

    (void)state;
    assert_error(BASE "pop3 = pop.test\npop3_user = u\n", "0 pop3_pass: ", "password of pop3_user");
    assert_error(BASE "pop3 = pop.test\npop3_pass = u\n", "0 pop3_user: ", "whose mailbox");
    assert_error(BASE "pop3_user = u\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "pop3_pass = u\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "pop3_tls = off\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "pop3_tls_name = b\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "otp = 99 seed 0123456789abcdef\ncommands = status\n",
                 "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "command_key = " HMAC_KEY "\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "command_public_key = " PUBLIC_KEY "\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_error(BASE "self_test = daily\n", "0 pop3: ", "pop3 = HOST:PORT");
    assert_more("self_test = off\n");
    assert_error(BASE "pop3 = a b\npop3_user = u\npop3_pass = p\n",
                 "6 pop3: ", "expected HOST or HOST:PORT");
    assert_error(BASE POP3 "pop3_tls = tls\n", "9 pop3_tls: ", "implicit, starttls");
    assert_bad_line("mailbox = a b", "expected an address");
    assert_error(BASE POP3 "mailbox = me\n", "9 mailbox: ", "rewrite_domain");
    assert_error(BASE "answer_to = me\n", "6 answer_to: ", "rewrite_domain");
    snprintf(text, sizeof text, BASE "rewrite_domain = %059u.x\nanswer_to = a%040u\n", 1, 2);
    assert_error(text, "7 answer_to: ", "with its domain, expected at most 95 bytes");
    snprintf(text, sizeof text, BASE "auth_user = a%050u@d%050u.test\nauth_pass = p\n", 1, 2);
    assert_error(text, "0 from: ", "with its domain, expected at most 95 bytes");
    assert_error(BASE POP3 "address = 10.0.2.15/24\nhost = mail.example.com 10.0.2.2\n",
                 "6 pop3: ", "dns = ADDRESS");
    assert_more(POP3 "address = 10.0.2.15/24\nhost = mail.example.com 10.0.2.2\n"
                     "host = POP.test 10.0.2.2\n");
}

#define BIT(name) (1u << CONFIG_COMMAND_##name)

static void test_commands(void **state)
{
    const uint32_t all = (1u << CONFIG_COMMAND_COUNT) - 1;
    const uint32_t usual = all & ~(BIT(CONFIG_SET) | BIT(CONFIG_IMPORT) | BIT(OTP) | BIT(REBOOT));
    static const char *const lines[] = {"commands = status, config-set\n",
                                        "commands = STATUS config-set,\n",
                                        "commands = status\ncommands = config-set\n"};

    (void)state;
    assert_more("");
    assert_int_equal(config.commands, usual);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_more(lines[i]);
        assert_int_equal(config.commands, BIT(STATUS) | BIT(CONFIG_SET));
    }
    assert_more("commands = all\n");
    assert_int_equal(config.commands, all);
    assert_more("commands = none\n");
    assert_int_equal(config.commands, 0);
    assert_more("commands = default, reboot\n");
    assert_int_equal(config.commands, usual | BIT(REBOOT));
    assert_more("commands = help status report test queue ack mute poll history config-show "
                "config-set config-import otp reboot\n");
    assert_int_equal(config.commands, all);
    assert_bad_line("commands = crash", "names of commands (help, status");
    assert_bad_line("commands = config", "names of commands");
}

static void test_command_keys(void **state)
{
    static const uint8_t start[] = {0x00, 0x11, 0x22, 0x33}, end[] = {0x89, 0xAB, 0xCD, 0xEF};
    char text[1000];

    (void)state;
    assert_more(POP3 "command_key = " HMAC_KEY "\n");
    assert_true(config.command_key_set);
    assert_memory_equal(config.command_key, start, sizeof start);
    assert_memory_equal(config.command_key + 28, end, sizeof end);
    assert_bad_line("command_key = " HMAC_KEY "0", "expected 64 hexadecimal digits");
    assert_bad_line("command_key = 0011", "expected 64 hexadecimal digits");
    snprintf(text, sizeof text, "command_key = %.63sg", HMAC_KEY);
    assert_bad_line(text, "expected 64 hexadecimal digits");
    assert_null(strstr(findings.text, "0011")); /* It may be nearly the key. */
    assert_false(config.command_key_set);

    assert_more(POP3 "command_public_key = " PUBLIC_KEY "\n");
    assert_true(config.command_public_set);
    assert_int_equal(config.command_public[0], 0x2B);
    assert_int_equal(config.command_public[63], 0x97);
    for (size_t i = 0; i < strlen(PUBLIC_KEY); i++) { /* The next letter is no key, or no base64. */
        snprintf(text, sizeof text, BASE POP3 "command_public_key = %s\n", PUBLIC_KEY);
        strstr(text, PUBLIC_KEY)[i]++;
        assert_error(text,
                     "9 command_public_key: ", "expected the base64 text of a P-256 public key");
    }
    snprintf(text, sizeof text, "command_public_key = %.120s", PUBLIC_KEY);
    assert_bad_line(text, "expected the base64 text");
    assert_bad_line("command_public_key = " PUBLIC_KEY "AAAA", "expected the base64 text");
    assert_bad_line("command_public_key = -", "expected the base64 text");
}

static void test_chain(void **state)
{
    static const uint8_t last[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF};

    (void)state;
    assert_more(POP3 "commands = status\notp = 499 Ke1234  0123456789ABcdef\n");
    assert_int_equal(config.otp.sequence, 499);
    assert_string_equal(config.otp.seed, "ke1234");
    assert_memory_equal(config.otp.last, last, sizeof last);
    assert_more(POP3 "commands = status\notp = 9999 0123456789abcdef 0123456789abcdef\n");
    assert_string_equal(config.otp.seed, "0123456789abcdef");
    assert_bad_line("otp = 0 ke1234 0123456789abcdef", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 10000 ke1234 0123456789abcdef", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = x ke1234 0123456789abcdef", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 5 ke-1234 0123456789abcdef", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 5 0123456789abcdef0 0123456789abcdef", "expected SEQUENCE SEED");
    assert_bad_line("otp = 5 ke1234 0123456789abcdeg", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 5 ke1234 0123456789abcde", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 5 ke1234", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = ,", "expected SEQUENCE SEED RESPONSE");
    assert_bad_line("otp = 5 ke1234 0123456789abcdef more", "expected SEQUENCE SEED RESPONSE");
    assert_int_equal(config.otp.sequence, 0);
    /* What changes settings is never taken with one, so allowing it is a mistake. */
    assert_error(BASE POP3 "otp = 5 s 0123456789abcdef\ncommands = status otp\n",
                 "10 commands: ", "never taken with a one-time password");
    assert_error(BASE POP3 "commands = all\notp = 5 s 0123456789abcdef\n",
                 "9 commands: ", "never taken with a one-time password");
    assert_more(POP3 "otp = 5 s 0123456789abcdef\ncommands = all\ncommand_key = " HMAC_KEY "\n");
    assert_more(POP3 "otp = 5 s 0123456789abcdef\ncommands = default reboot\n");
    assert_more(POP3 "commands = all\n");
}

static void assert_schedule(const char *value, uint32_t expected)
{
    char line[100];

    snprintf(line, sizeof line, POP3 "report = %s\nself_test = %s\n", value, value);
    assert_more(line);
    assert_int_equal(config.report, expected);
    assert_int_equal(config.self_test, expected);
}

static void test_schedules(void **state)
{
    static const char *const bad[] = {"5m",
                                      "599",
                                      "31d",
                                      "daily 24:00",
                                      "daily 07:60",
                                      "daily 7",
                                      "daily 07:0",
                                      "daily 07:000",
                                      "weekly 07:00x",
                                      "monthly",
                                      "6h 07:00",
                                      "07:00",
                                      "daily 07:00 x",
                                      ",",
                                      "daily :00",
                                      "daily -1:00",
                                      "weekly monday",
                                      "daily07:00",
                                      "2592001",
                                      "off off"};
    char line[100];

    (void)state;
    assert_more("");
    assert_int_equal(config.report, 0);
    assert_schedule("off", 0);
    assert_schedule("0", 0);
    assert_schedule("10m", 600);
    assert_schedule("6h", 21600);
    assert_schedule("30d", 2592000);
    assert_schedule("daily", 86400);
    assert_schedule("Weekly", 7 * 86400);
    assert_schedule("daily 07:00", CONFIG_DAILY | 420);
    assert_schedule("daily  0:00", CONFIG_DAILY);
    assert_schedule("weekly 23:59", CONFIG_WEEKLY | 1439);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(line, sizeof line, "report = %s", bad[i]);
        assert_bad_line(line, "expected a time from 10m to 30d (6h), daily or weekly");
        assert_int_equal(config.report, 0);
    }
}

static void test_network(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof network_cases / sizeof network_cases[0]; i++) {
        char text[1000];

        snprintf(text, sizeof text, BASE "%s\n", network_cases[i].lines);
        if (network_cases[i].place == NULL) {
            assert_good(text);
        } else {
            assert_error(text, network_cases[i].place, network_cases[i].words);
        }
    }
    assert_more("dns = 8.8.8.8, 8.8.4.4:5353\nsntp = t.test:1123\nhost = mail.test 10.0.2.2\n"
                "address = 10.0.2.15/24\ngateway = 10.0.2.2\n");
    assert_false(config.dhcp);
    assert_string_equal(config.dns[1].host, "8.8.4.4");
    assert_int_equal(config.dns[0].port, 53);
    assert_int_equal(config.dns[1].port, 5353);
    assert_string_equal(config.sntp[0].host, "t.test");
    assert_string_equal(config.sntp[1].host, "");
    assert_memory_equal(&config.host[0].address, "\12\0\2\2", 4);
    assert_memory_equal(&config.netmask, "\377\377\377\0", 4);
    assert_memory_equal(&config.address, "\12\0\2\17", 4);
    assert_more("sntp = off\n");
    assert_string_equal(config.sntp[0].host, "");
}

static void test_numbers(void **state)
{
    static const struct {
        const char *key, *before;
        uint32_t low, high;
        bool is_time;
    } numbers[] = {
        {"connect_timeout", "", 1, 600, true},    {"greeting_timeout", "", 1, 3600, true},
        {"command_timeout", "", 1, 3600, true},   {"body_timeout", "", 1, 3600, true},
        {"accept_timeout", "", 1, 3600, true},    {"retry_min", "retry_max = 1d\n", 1, 86400, true},
        {"retry_max", "", 10, 86400, true},       {"expire", "", 1, 2592000, true},
        {"repeat_window", "", 0, 86400, true},    {"digest_delay", "", 0, 86400, true},
        {"confirm_timeout", "", 10, 86400, true}, {"alerts_per_hour", "", 0, 10000, false},
        {"limit_minute", "", 0, 10000, false},    {"limit_hour", "", 0, 100000, false},
        {"limit_day", "", 0, 1000000, false},     {"poll", "", 0, 604800, true},
        {"poll_fast", "", 1, 3600, true},         {"pop3_size", "", 1, 1048576, false},
        {"answers_per_hour", "", 0, 1000, false},
    };
    char line[100];

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct config_key *key = config_key_find(numbers[i].key);
        const char *expected = numbers[i].is_time ? "expected a time" : "expected a number from";

        assert_non_null(key);
        for (unsigned unit = 0; unit < (numbers[i].is_time ? 2 : 1); unit++) {
            const uint32_t bounds[] = {numbers[i].low, numbers[i].high};
            const char *after = unit == 0 ? "" : "s";

            for (unsigned bound = 0; bound < 2; bound++) {
                snprintf(line, sizeof line, "%s%s = %u%s\n", numbers[i].before, numbers[i].key,
                         bounds[bound], after);
                assert_more(line);
                assert_int_equal(*(uint32_t *)((char *)&config + key->offset), bounds[bound]);
            }
            snprintf(line, sizeof line, "%s = %u%s", numbers[i].key, numbers[i].high + 1, after);
            assert_bad_line(line, expected);
        }
        for (unsigned word = 0; word < 3; word++) {
            snprintf(line, sizeof line, "%s = %s", numbers[i].key,
                     word == 0   ? "0"
                     : word == 1 ? "Off"
                                 : "no");
            if (numbers[i].low > 0) {
                assert_bad_line(line, expected);
                continue;
            }
            assert_more(line);
            assert_int_equal(*(uint32_t *)((char *)&config + key->offset), 0);
        }
        snprintf(line, sizeof line, "%s = 5x", numbers[i].key);
        assert_bad_line(line, expected);
    }
}

static void test_number_words(void **state)
{
    (void)state;
    assert_bad_line("limit_hour = 5m", "expected a number from 0 to 100000, or off");
    assert_bad_line("repeat_window = 2d", "from 0 to 86400, or off");
    assert_bad_line("confirm_timeout = 9", "from 10 to 86400");
    assert_bad_line("expire = 31d", "from 1 to 2592000");
    assert_more("expire = 30d\nrepeat_window = 1d\n");
    assert_int_equal(config.expire_s, 30 * 86400);
    assert_int_equal(config.repeat_window_s, 86400);
    assert_more("connect_timeout = 5m\ncommand_timeout = 1h\nretry_max = 1d\n");
    assert_int_equal(config.connect_timeout_s, 300);
    assert_int_equal(config.command_timeout_s, 3600);
    assert_int_equal(config.retry_max_s, 86400);
    assert_bad_line("connect_timeout = s", "expected a time");
    assert_bad_line("connect_timeout = -1", "expected a time");
    assert_bad_line("connect_timeout = 1.5", "expected a time");
    assert_bad_line("connect_timeout = 99999999999999999999d", "expected a time");
    assert_bad_line("connect_timeout = 4294967297", "expected a time");
    assert_bad_line("connect_timeout = 71582789m", "expected a time");
    assert_error(BASE "retry_min = 1h\nretry_max = 1m\n", "7 retry_max: ", "at least retry_min");
    assert_error(BASE "retry_min = 1h\n", "6 retry_min: ", "at least retry_min");

    assert_more("syslog_port = 65535\n");
    assert_int_equal(config.syslog_port, 65535);
    assert_more("syslog_port = OFF\n");
    assert_int_equal(config.syslog_port, 0);
    assert_bad_line("syslog_port = 65536", "from 0 to 65535");
    assert_bad_line("syslog_port = udp", "from 0 to 65535");
    assert_bad_line("alert_boot = perhaps", "yes or no");
    assert_more("alert_boot = off\nalert_link = 0\n");
    assert_false(config.alert_boot || config.alert_link);
}

static void test_syslog_and_zone(void **state)
{
    static const struct {
        const char *zone;
        int minutes; /* 9999: an error. */
    } zones[] = {
        {"+03:00", 180},  {"-03:30", -210},  {"+0545", 345},  {"+3", 180},
        {"utc", 0},       {"Z", 0},          {"+14:00", 840}, {"-12:00", -720},
        {"+14:01", 9999}, {"-12:01", 9999},  {"03:00", 9999}, {"+3:60", 9999},
        {"+", 9999},      {"+03:0", 9999},   {"+03:", 180},   {"Europe/Minsk", 9999},
        {"+99:00", 9999}, {"+03:00x", 9999},
    };

    (void)state;
    assert_more(
        "syslog_severity = err\nsyslog_facility = auth, KERN local7\nsyslog_match = a # b\n");
    assert_int_equal(config.syslog_severity, 3);
    assert_int_equal(config.syslog_facilities, 1u << 4 | 1u << 0 | 1u << 23);
    assert_string_equal(config.syslog_match, "a # b");
    assert_more("syslog_severity = 7\nsyslog_facility = 3\n");
    assert_int_equal(config.syslog_severity, 7);
    assert_int_equal(config.syslog_facilities, 1u << 3);
    assert_bad_line("syslog_severity = 8", "expected emergency");
    assert_bad_line("syslog_severity = bad", "expected emergency");
    assert_bad_line("syslog_facility = 24", "expected all");
    assert_bad_line("syslog_facility = auth, nothing", "expected all");
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        char line[60];

        snprintf(line, sizeof line, "timezone = %s", zones[i].zone);
        if (zones[i].minutes == 9999) {
            assert_bad_line(line, "expected UTC");
        } else {
            assert_more(line);
            assert_int_equal(config.zone_minutes, zones[i].minutes);
        }
    }
}

static void test_ssmtp_leftovers(void **state)
{
    (void)state;
    assert_more("AuthMethod=LOGIN\nMinUserId=1000\nDebug=YES\nUseTLSCert=NO\n");
    assert_bad_line("AuthMethod = CRAM-MD5", "expected plain or login");
    assert_bad_line("UseTLSCert = YES", "client certificates");
    assert_bad_line("TLSCert = /etc/ssl/x", "not supported");
    assert_bad_line("TLS_CA_Dir = /etc/ssl/certs", "not supported");
    assert_bad_line("TLS_CA_File = ca.pem", "expected the PEM blocks themselves");
    assert_non_null(config_key_note("AuthMethod"));
    assert_null(config_key_note("AuthUser"));
    assert_null(config_key_note("nothing"));
}

static void test_pem(void **state)
{
    char text[4096] = "root=a@b\nmailhub=m.test\n";

    (void)state;
    for (unsigned i = 0; i < CONFIG_CA_MAX; i++) {
        strcat(text, CA);
    }
    assert_good(text);
    assert_int_equal(config.ca_count, CONFIG_CA_MAX);
    strcat(text, CA);
    assert_error(text, "27 : ", "at most 8");

    assert_error("root=a@b\nmailhub=m.test\n-----BEGIN CERTIFICATE-----\nMIIB\n",
                 "3 : ", "no -----END");
    assert_error("root=a@b\n-----BEGIN CERTIFICATE-----\nMIIB\nmailhub=m.test\n",
                 "2 : ", "no -----END");
    assert_string_equal(config.mailhub.host, "m.test");
    assert_error(BASE "-----BEGIN CERTIFICATE-----\nMIIB\n" CA, "6 : ", "no -----END");
    assert_error(BASE "-----END CERTIFICATE-----\n", "6 : ", "after its BEGIN");
    assert_error(BASE "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
                 "6 : ", "a private key has no place here");
    assert_error(BASE "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n"
                      "-----END RSA PRIVATE KEY-----\n",
                 "6 : ", "a private key");
    assert_error(BASE "-----BEGIN DH PARAMETERS-----\nMIIB\n-----END DH PARAMETERS-----\n",
                 "6 : ", "expected -----BEGIN CERTIFICATE-----");
    assert_error(BASE "-----BEGIN CERTIFICATE-----\nMI IB!\nMIIB\n-----END CERTIFICATE-----\n",
                 "7 : ", "base64");
    assert_more("  -----BEGIN CERTIFICATE-----\r\n MIIB \r\n -----END CERTIFICATE----- \r\n");
    assert_int_equal(config.ca_count, 2);
    assert_more("# -----BEGIN PRIVATE KEY-----\n");
    assert_error("root=a@b\n-----BEGIN CERTIFICATE-----\nMIIB\nmailhub=mtest\n",
                 "2 : ", "no -----END"); /* Though all its characters are base64. */
    assert_error(BASE "-----BEGIN CERTIFICATE-----\nMII=B\n-----END CERTIFICATE-----\n",
                 "7 : ", "base64");
}

/* All at once, each with its line. */
static void test_many_errors(void **state)
{
    (void)state;
    assert_int_equal(
        parse("mailhub = a b\ncolour = red\nAuthUser = x\nsyslog_port = 70000\nfrom = @\n"), 7);
    assert_non_null(strstr(findings.text, "1 mailhub: "));
    assert_non_null(strstr(findings.text, "2 colour: "));
    assert_non_null(strstr(findings.text, "4 syslog_port: "));
    assert_non_null(strstr(findings.text, "5 from: "));
    assert_non_null(strstr(findings.text, "0 root: "));
    assert_non_null(strstr(findings.text, "0 auth_pass: "));
    assert_non_null(strstr(findings.text, "0 tls_ca_file: "));
    assert_null(strstr(findings.text, "0 mailhub: "));
}

/* What `config show` prints is a text that gives the same configuration. */
static void assert_round_trip(const char *text)
{
    struct config first;
    char shown[16384] = CA;
    char line[300];

    assert_good(text);
    first = config;
    for (unsigned i = 0; config_show_line(&first, i, line, sizeof line) > 0; i++) {
        assert_true(strlen(line) < sizeof line - 1);
        if (strncmp(line, "auth_pass = ********", 20) == 0) {
            snprintf(line, sizeof line, "auth_pass = \"%s\"", first.auth_pass);
        } else if (strncmp(line, "auth_pass2 = ********", 21) == 0) {
            snprintf(line, sizeof line, "auth_pass2 = \"%s\"", first.auth_pass2);
        } else if (strncmp(line, "pop3_pass = ********", 20) == 0) {
            snprintf(line, sizeof line, "pop3_pass = \"%s\"", first.pop3_pass);
        } else if (strncmp(line, "command_key = ********", 22) == 0) {
            snprintf(line, sizeof line, "command_key = " HMAC_KEY);
        }
        strcat(shown, line);
        strcat(shown, "\n");
    }
    assert_good(shown);
    first.tls_written = config.tls_written; /* Written out now. */
    first.tls2_written = config.tls2_written;
    first.pop3_tls_written = config.pop3_tls_written;
    first.use_tls = first.use_starttls = 0;
    assert_memory_equal(&config, &first, sizeof first);
}

static void test_show(void **state)
{
    char line[300];
    char small[10];

    (void)state;
    assert_round_trip(BASE);
    assert_round_trip(
        BASE "address = 10.0.2.15/24\ngateway = 10.0.2.2\ndns = 10.0.2.3:5353, 1.1.1.1\n"
             "host = a 1.2.3.4\nhost = b 4.3.2.1\nsntp = off\nroot = \"x y\"@z.test\n"
             "auth_user = u\nauth_pass = \"  \"\nfrom_name = \" \"x\" \"\n"
             "syslog_match = \"\"q\"\"\nsyslog_facility = 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 "
             "15 16 17 18 19 20 21 22\ntimezone = -03:30\nretry_max = 1d\nsyslog_port=0\n");
    assert_round_trip(
        "root=a@b\nmailhub=m.test\ntls=off\nauth_user=u\nauth_pass=p\nauth_without_tls=yes\n" CA);
    assert_round_trip(BASE "mailhub2 = b.test\nauth_user2 = u\nauth_pass2 = \" \"\nlimit_day = 5\n"
                           "repeat_window = off\nalerts_per_hour = 0\nconfirm = yes\n");
    assert_round_trip(BASE "mailhub2 = b.test\ntls2 = off\ntls_name2 = c.test\nexpire = 30d\n");
    assert_round_trip(BASE POP3 "mailbox = a@b\nanswer_to = c@d\ncommands = none\npoll = off\n"
                                "command_key = " HMAC_KEY "\ncommand_public_key = " PUBLIC_KEY
                                "\notp = 499 ke1234 0123456789abcdef\nreport = daily 07:05\n"
                                "self_test = weekly 23:59\npop3_delete = yes\n");
    assert_round_trip(BASE POP3 "pop3_tls = stls\ncommands = all\nreport = 6h\n");
    assert_round_trip(BASE POP3 "pop3_tls = off\ncommands = otp, help reboot\nreport = weekly\n");
    assert_good(BASE "auth_user = u\nauth_pass = p\n");
    assert_true(config_show_line(&config, 0, line, sizeof line) > 0);
    assert_string_equal(line, "root = admin@example.com");
    assert_int_equal(config_show_line(&config, 1000, line, sizeof line), 0);
    assert_true(config_show_line(&config, 0, small, sizeof small) < sizeof small);
}

/* docs/config.md holds the table that the code makes. */
static void test_doc_is_current(void **state)
{
    static char doc[65536];
    FILE *file = fopen(TESTS_DIR "/../docs/config.md", "rb");
    const char *at;
    char line[700];

    (void)state;
    assert_non_null(file);
    doc[fread(doc, 1, sizeof doc - 1, file)] = '\0';
    fclose(file);
    at = strstr(doc, "<!-- table: begin -->\n");
    assert_non_null(at);
    at += strlen("<!-- table: begin -->\n");
    for (unsigned i = 0; config_doc_line(i, line, sizeof line) > 0; i++) {
        assert_true(strlen(line) < sizeof line - 1);
        if (strncmp(at, line, strlen(line)) != 0 || at[strlen(line)] != '\n') {
            fail_msg("docs/config.md is not current: renew it with make docs\n"
                     "expected: %s",
                     line);
        }
        at += strlen(line) + 1;
    }
    assert_int_equal(strncmp(at, "<!-- table: end -->", 19), 0);
}

/* No text makes the reader do anything but say what is wrong. */
static void test_hostile(void **state)
{
    static char text[CONFIG_TEXT_BYTES];
    uint32_t random = 2463534242u;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        size_t size = strlen(ssmtp);

        memcpy(text, ssmtp, size);
        for (unsigned i = 0; i <= round % 20; i++) { /* A real file with some bytes changed. */
            random ^= random << 13, random ^= random >> 17, random ^= random << 5;
            text[random % size] = (char)(random >> 24);
        }
        (void)parse_pieces(text, size, 1 + round % 50);
        assert_true(config.to_count <= CONFIG_TO_MAX);
        assert_true(config.host_count <= CONFIG_HOST_MAX);
    }
    memset(text, '\n', sizeof text);
    assert_int_equal(parse_pieces(text, sizeof text, 1000), 3);
    memset(text, '=', sizeof text);
    (void)parse_pieces(text, sizeof text, 1000);
    for (size_t i = 0; i + 1 < sizeof text; i += 2) {
        memcpy(text + i, "a\n", 2);
    }
    (void)parse_pieces(text, 4000, 1000);
    assert_non_null(strstr(findings.text, "2000 : expected a line"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_defaults_parse),
        cmocka_unit_test(test_ssmtp),
        cmocka_unit_test(test_text_forms),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_sender),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_secret_not_told),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_second_server),
        cmocka_unit_test(test_pop3),
        cmocka_unit_test(test_pop3_errors),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_command_keys),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_words),
        cmocka_unit_test(test_syslog_and_zone),
        cmocka_unit_test(test_ssmtp_leftovers),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_doc_is_current),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
