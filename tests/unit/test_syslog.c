/* The syslog parser: datagrams as real senders make them, and hostile ones. */
#include "firmware/syslog.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZED(literal) (literal), sizeof(literal) - 1
#define HELLO_CYRILLIC "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82"
#define ELLIPSIS "\xE2\x80\xA6"
#define REPLACEMENT "\xEF\xBF\xBD"
#define BOM "\xEF\xBB\xBF"

struct sample {
    const char *datagram;
    size_t size;
    uint8_t facility;
    uint8_t severity;
    const char *host;
    const char *app;
    const char *text;
};

static const struct sample samples[] = {
    /* util-linux logger 2.38, captured. */
    {SIZED("<13>Nov 21 22:27:57 vm root: hello"), 1, 5, "vm", "root", "hello"},
    {SIZED("<13>Nov 21 22:27:57 vm myapp[10543]: hello"), 1, 5, "vm", "myapp[10543]", "hello"},
    {SIZED("<13>1 2026-11-21T22:27:57.806312+00:00 vm root - - [timeQuality tzKnown=\"1\" "
           "isSynced=\"0\"] hello"),
     1, 5, "vm", "root", "hello"},
    {SIZED("<26>1 2026-11-21T22:27:57.808274+00:00 vm myapp 10545 - [timeQuality tzKnown=\"1\" "
           "isSynced=\"0\"] plain"),
     3, 2, "vm", "myapp[10545]", "plain"},
    {SIZED("<13>1 - vm root - - - hello"), 1, 5, "vm", "root", "hello"},
    {SIZED("<13>1 2026-11-21T22:27:57.814162+00:00 - root - - [timeQuality tzKnown=\"1\"] hello"),
     1, 5, "", "root", "hello"},
    {SIZED("<13>Nov 21 22:28:01 vm a b: spaced"), 1, 5, "vm", "", "a b: spaced"},
    {SIZED("<13>Nov 21 22:28:01 vm root: " HELLO_CYRILLIC "\nworld"), 1, 5, "vm", "root",
     HELLO_CYRILLIC " world"},
    /* rsyslog 8.2302 with its three forward templates, captured. */
    {SIZED("<13>Nov 21 22:36:48 vm myapp[27630]: disk full"), 1, 5, "vm", "myapp[27630]",
     "disk full"},
    {SIZED("<26>2026-11-21T22:36:51.665325+00:00 vm app: " HELLO_CYRILLIC), 3, 2, "vm", "app",
     HELLO_CYRILLIC},
    {SIZED("<13>1 2026-11-21T22:36:54.676489+00:00 vm myapp 27745 - -  disk full\n"), 1, 5, "vm",
     "myapp[27745]", "disk full"},
    {SIZED("<13>Nov 21 22:36:48 vm x: two#012lines"), 1, 5, "vm", "x", "two#012lines"},
    /* busybox syslogd 1.35 -R, captured: no host name, a line feed. */
    {SIZED("<13>Nov 21 22:37:00 myapp[27875]: disk full\n"), 1, 5, "", "myapp[27875]", "disk full"},
    {SIZED("<26>Nov 21 22:37:00 bbapp: bb text\n"), 3, 2, "", "bbapp", "bb text"},
    /* RFC 3164 5.4 and RFC 5424 6.5, the examples. */
    {SIZED("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8"), 4, 2,
     "mymachine", "su", "'su root' failed for lonvick on /dev/pts/8"},
    {SIZED("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!"), 1, 5, "10.0.0.99", "", "Use the BFG!"},
    {SIZED("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " BOM "'su root' "
           "failed for lonvick on /dev/pts/8"),
     4, 2, "mymachine.example.com", "su", "'su root' failed for lonvick on /dev/pts/8"},
    {SIZED("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to "
           "make the do-nuts."),
     20, 5, "192.0.2.1", "myproc[8710]", "%% It's time to make the do-nuts."},
    {SIZED("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
           "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"] " BOM
           "An application event log entry..."),
     20, 5, "mymachine.example.com", "evntslog", "An application event log entry..."},
    {SIZED("<165>1 2003-10-11T22:14:15.003Z m e - ID47 [a@1 iut=\"3\"][b@2 class=\"high\"]"), 20, 5,
     "m", "e", "[a@1 iut=\"3\"][b@2 class=\"high\"]"},
    /* Structured data that tries to look finished. */
    {SIZED("<14>1 - h a - - [x@1 k=\"a]b\\\"c\\]d\\\\\"][y@1 k=\"[\"] text [z]"), 1, 6, "h", "a",
     "text [z]"},
    {SIZED("<14>1 - h a - - [x@1 k=\"open"), 1, 6, "h", "a", "[x@1 k=\"open"},
    {SIZED("<14>1 - h a - - [x@1] [not data]"), 1, 6, "h", "a", "[not data]"},
    {SIZED("<14>1 - h a - - [x@1]glued"), 1, 6, "h", "a", "[x@1]glued"},
    {SIZED("<14>1 - h a - - no data field"), 1, 6, "h", "a", "no data field"},
    {SIZED("<14>1 - h a - - -dashes"), 1, 6, "h", "a", "-dashes"},
    /* Too short for its version, or of another one: text. */
    {SIZED("<14>1 2026-11-21T22:27:57Z h a"), 1, 6, "", "", "1 2026-11-21T22:27:57Z h a"},
    {SIZED("<14>1 file was changed by root just now"), 1, 6, "", "",
     "1 file was changed by root just now"},
    {SIZED("<14>2 - h a - - - later"), 1, 6, "", "", "2 - h a - - - later"},
    /* Cisco IOS, IOS with a name, NX-OS, ASA, CiscoLog. */
    {SIZED("<189>123: *Mar  1 00:12:01.345: %SYS-5-CONFIG_I: Configured from console"), 23, 5, "",
     "%SYS-5-CONFIG_I", "Configured from console"},
    {SIZED("<189>29: R1: .Mar  1 18:46:11.123 UTC: %LINK-3-UPDOWN: Interface Gi0/1, down"), 23, 5,
     "R1", "%LINK-3-UPDOWN", "Interface Gi0/1, down"},
    {SIZED("<190>sw01.pdx01: 2017 Jul 28 14:42:46 UTC: %AUTHPRIV-6-SYSTEM_MSG: session opened"), 23,
     6, "sw01.pdx01", "%AUTHPRIV-6-SYSTEM_MSG", "session opened"},
    {SIZED("<166>Jul 14 2026 14:42:46 fw1 : %ASA-6-302013: Built outbound TCP"), 20, 6, "fw1",
     "%ASA-6-302013", "Built outbound TCP"},
    {SIZED("<134>25: host-w3k: Feb 13 2007 18:23:21.408 +0000: %ICM_R-6-10500FF: is OK."), 16, 6,
     "host-w3k", "%ICM_R-6-10500FF", "is OK."},
    {SIZED("<189>12: 00:00:46: %SYS-5-RESTART: System restarted"), 23, 5, "", "",
     "00:00:46: %SYS-5-RESTART: System restarted"},
    /* MikroTik: topics, no time. */
    {SIZED("<30>system,info,account user admin logged in from 10.1.101.212 via winbox"), 3, 6, "",
     "", "system,info,account user admin logged in from 10.1.101.212 via winbox"},
    /* Others. */
    {SIZED("<14>myapp: message\0"), 1, 6, "", "myapp", "message"}, /* Python's SysLogHandler. */
    {SIZED("<0>Nov  1 02:03:04 host kernel: [   12.345678] Oops"), 0, 0, "host", "kernel",
     "[   12.345678] Oops"},
    {SIZED("<6>Nov  1 02:03:04 [12.3] eth0: link down"), 0, 6, "", "", "[12.3] eth0: link down"},
    {SIZED("<130>JAN 01 00:00:06 0.0.0.0-1 UNKN[0x800023]: bootos.c(386) 4 %% Event"), 16, 2,
     "0.0.0.0-1", "UNKN[0x800023]", "bootos.c(386) 4 %% Event"},
    {SIZED("<13>Oct 11 22:14:15 host last message repeated 3 times"), 1, 5, "host", "",
     "last message repeated 3 times"},
    {SIZED("<13>Oct 11 22:14:15 fe80::1 app: v6"), 1, 5, "fe80::1", "app", "v6"},
    {SIZED("<13>http://example.com/ is down"), 1, 5, "", "", "http://example.com/ is down"},
    {SIZED("<13>no header at all"), 1, 5, "", "", "no header at all"},
    {SIZED("<013> \r\n spaced\tout \r\n\0\0"), 1, 5, "", "", "spaced out"},
    {SIZED("<191>x"), 23, 7, "", "", "x"},
    {SIZED("<000>x"), 0, 0, "", "", "x"},
    {SIZED("<13>" BOM "bom"), 1, 5, "", "", "bom"},
    {SIZED("<13>a\0b\x1b[31mc\x7f\xC2\x85"
           "d\xE2\x80\xA8"
           "e"),
     1, 5, "", "", "a b [31mc  d e"},
    {SIZED("<13>Ger\xE4t \xC0\xAF \xED\xA0\x80 \xF4\x90\x80\x80 \xD0"), 1, 5, "", "",
     "Ger" REPLACEMENT "t " REPLACEMENT REPLACEMENT " " REPLACEMENT REPLACEMENT REPLACEMENT
     " " REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT " " REPLACEMENT},
};

/* From a block of just that size. */
static int parse_exact(struct alert *alert, const char *datagram, size_t size)
{
    char *exact = malloc(size); /* Its end is where the sanitizer sees a read too far. */
    int result;

    assert_true(exact != NULL || size == 0);
    if (size > 0) {
        memcpy(exact, datagram, size);
    }
    result = syslog_parse(alert, exact, size);
    free(exact);
    return result;
}

static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const struct sample *sample = &samples[i];
        struct alert alert;

        memset(&alert, 0xA5, sizeof alert);
        print_message("%s\n", sample->datagram);
        assert_int_equal(parse_exact(&alert, sample->datagram, sample->size), 0);
        assert_int_equal(alert.facility, sample->facility);
        assert_int_equal(alert.severity, sample->severity);
        assert_string_equal(alert.source, "syslog");
        assert_string_equal(alert.host, sample->host);
        assert_string_equal(alert.app, sample->app);
        assert_string_equal(alert.text, sample->text);
    }
}

/* What a parser leaves alone stays alone. */
static void test_leaves_alone(void **state)
{
    struct alert alert = {.boot_count = 1, .sequence = 2, .unix_s = 3, .uptime_ms = 4};

    (void)state;
    strcpy(alert.sender, "10.0.2.2");
    assert_int_equal(syslog_parse(&alert, SIZED("<13>Nov 21 22:27:57 vm root: hello")), 0);
    assert_int_equal(alert.boot_count, 1);
    assert_int_equal(alert.sequence, 2);
    assert_int_equal(alert.unix_s, 3);
    assert_int_equal(alert.uptime_ms, 4);
    assert_string_equal(alert.sender, "10.0.2.2");
}

static void test_invalid(void **state)
{
    static const char *const datagrams[] = {
        "",
        "<",
        "<>",
        "<>x",
        "<13",
        "<192>x",
        "<999>x",
        "<1234>x",
        "<0013>x",
        "<-1>x",
        "<1a>x",
        "x",
        " <13>x",
        "13>x",
        "<13>",
        "<13> ",
        "<13>\n",
        "<13>1 - - - - - -",
        "<13>1 - h a p m - ",
        "<13>Nov 21 22:27:57 vm root: ",
        "<13>Nov 21 22:27:57 vm",
        ("<13>" BOM),
        "Nov 21 22:36:57 vm myapp[27751]: disk full",
    };
    struct alert alert;

    (void)state;
    for (size_t i = 0; i < sizeof datagrams / sizeof datagrams[0]; i++) {
        print_message("%s\n", datagrams[i]);
        assert_int_equal(parse_exact(&alert, datagrams[i], strlen(datagrams[i])), E_INVALID);
    }
    assert_int_equal(parse_exact(&alert, SIZED("<13>\0\0")), E_INVALID);
}

/* Every beginning of every sample: never a read too far, never half a character. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        for (size_t size = 0; size < samples[i].size; size++) {
            struct alert alert;
            int result = parse_exact(&alert, samples[i].datagram, size);

            assert_true(result == 0 || result == E_INVALID);
        }
    }
}

static void test_long(void **state)
{
    char datagram[2048];
    struct alert alert;

    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        size_t size = 4 + pad;

        memcpy(datagram, "<13>aaaa", 8);
        while (size + 2 <= sizeof datagram) {
            memcpy(datagram + size, "\xD0\x96", 2);
            size += 2;
        }
        assert_int_equal(parse_exact(&alert, datagram, size), 0);
        assert_in_range(strlen(alert.text), ALERT_TEXT_BYTES - 3, ALERT_TEXT_BYTES - 1);
        assert_string_equal(alert.text + strlen(alert.text) - 3, ELLIPSIS);
        assert_memory_equal(alert.text + strlen(alert.text) - 5, "\xD0\x96", 2);
    }
    /* One that fits exactly is not marked, one byte more is. */
    memset(datagram, 'x', sizeof datagram);
    memcpy(datagram, "<13>", 4);
    assert_int_equal(parse_exact(&alert, datagram, 4 + ALERT_TEXT_BYTES - 1), 0);
    assert_int_equal(strlen(alert.text), ALERT_TEXT_BYTES - 1);
    assert_int_equal(alert.text[ALERT_TEXT_BYTES - 2], 'x');
    assert_int_equal(parse_exact(&alert, datagram, 4 + ALERT_TEXT_BYTES), 0);
    assert_int_equal(strlen(alert.text), ALERT_TEXT_BYTES - 1);
    assert_string_equal(alert.text + ALERT_TEXT_BYTES - 4, ELLIPSIS);
    /* Names longer than their place. */
    memcpy(datagram + 300, ": t", 3);
    memcpy(datagram, "<13>Nov 21 22:27:57 h ", 22);
    assert_int_equal(parse_exact(&alert, datagram, 303), 0);
    assert_int_equal(strlen(alert.app), ALERT_NAME_BYTES - 1);
    assert_string_equal(alert.text, "t");
}

/* Runs the real thing, from bsdutils, which every Debian has. */
static void run_logger(const char *options, struct alert *alert)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof address;
    struct timeval patience = {.tv_sec = 10};
    char command[256];
    char datagram[1500];
    ssize_t size;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_size), 0);
    snprintf(command, sizeof command, "logger -n 127.0.0.1 -P %u -d %s", ntohs(address.sin_port),
             options);
    assert_int_equal(system(command), 0);
    size = recv(fd, datagram, sizeof datagram, 0);
    assert_true(size > 0);
    close(fd);
    memset(alert, 0, sizeof *alert);
    assert_int_equal(parse_exact(alert, datagram, (size_t)size), 0);
}

static void test_logger(void **state)
{
    struct alert alert;
    char host[256];

    (void)state;
    assert_int_equal(gethostname(host, sizeof host), 0);
    host[strcspn(host, ".")] = '\0'; /* logger sends it without the domain. */
    host[ALERT_NAME_BYTES - 1] = '\0';

    run_logger("--rfc3164 -p daemon.crit -t probe 'disk is full'", &alert);
    assert_int_equal(alert.facility, 3);
    assert_int_equal(alert.severity, SEVERITY_CRITICAL);
    assert_string_equal(alert.host, host);
    assert_string_equal(alert.app, "probe");
    assert_string_equal(alert.text, "disk is full");

    run_logger("--rfc3164 --id=4711 -t probe 'x: y [z]'", &alert);
    assert_string_equal(alert.app, "probe[4711]");
    assert_string_equal(alert.text, "x: y [z]");

    run_logger("--rfc5424 --id=4711 -p local7.debug -t probe '" HELLO_CYRILLIC "'", &alert);
    assert_int_equal(alert.facility, 23);
    assert_int_equal(alert.severity, SEVERITY_DEBUG);
    assert_string_equal(alert.app, "probe[4711]");
    assert_string_equal(alert.text, HELLO_CYRILLIC);

    run_logger("--rfc5424=notime,notq,nohost -t probe 'bare'", &alert);
    assert_string_equal(alert.host, "");
    assert_string_equal(alert.text, "bare");

    run_logger("--rfc5424 --msgid ID1 --sd-id 'a@1' --sd-param 'k=\"v w\"' -t probe 'with data'",
               &alert);
    assert_string_equal(alert.text, "with data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples), cmocka_unit_test(test_leaves_alone),
        cmocka_unit_test(test_invalid), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_long),    cmocka_unit_test(test_logger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
