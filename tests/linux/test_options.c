/* Command lines as real callers write them, and what each has to mean. */
#include "boards/linux/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char warnings[4096];

static void warn(void *context, const char *sentence)
{
    assert_ptr_equal(context, warnings);
    assert_true(strlen(warnings) + strlen(sentence) + 2 < sizeof warnings);
    strcat(warnings, sentence);
    strcat(warnings, "\n");
}

/* Splits at '|', so that an argument may have blanks or be empty, and describes what came out:
 * only what is not as by default. */
static const char *read_line(const char *name, const char *line)
{
    static char copy[1024];
    static char out[2048];
    static const char *const modes[] = {"",      "smtp",   "mailq",  "newaliases",
                                        "queue", "daemon", "verify", "usage"};
    const char *argv[64] = {"sendmail"};
    int argc = 1;
    struct options options;
    const char *why = NULL;
    int result;

    warnings[0] = '\0';
    snprintf(copy, sizeof copy, "%s", line);
    for (char *at = copy; at != NULL && line[0] != '\0';) {
        char *bar = strchr(at, '|');

        if (bar != NULL) {
            *bar++ = '\0';
        }
        argv[argc++] = at;
        at = bar;
    }
    result = options_parse(&options, name, argc, argv, warn, warnings, &why);
    assert_true(result == 0 || result == E_INVALID);
    assert_true((result == E_INVALID) == (why != NULL));
    if (result < 0) {
        return "refused";
    }
    snprintf(out, sizeof out, "%s%s%s%s%s%s%s", modes[options.mode],
             options.recipients_in_header ? " t" : "", options.dot_is_text ? " i" : "",
             options.verbose ? " v" : "", options.queue_only ? " later" : "",
             options.foreground ? " foreground" : "",
             options.sender_in_header ? " from-header" : "");
#define ADD(...) snprintf(out + strlen(out), sizeof out - strlen(out), __VA_ARGS__)
    if (options.interval_s != 0) {
        ADD(" every=%u", options.interval_s);
    }
    if (options.sender != NULL) {
        ADD(" f=<%s>", options.sender);
    }
    if (options.full_name != NULL) {
        ADD(" F=<%s>", options.full_name);
    }
    if (options.config != NULL) {
        ADD(" C=%s", options.config);
    }
    if (options.notify != NULL) {
        ADD(" N=%s", options.notify);
    }
    if (options.ret != NULL) {
        ADD(" R=%s", options.ret);
    }
    if (options.envid != NULL) {
        ADD(" V=%s", options.envid);
    }
    if (options.trace != NULL) {
        ADD(" X=%s", options.trace);
    }
    if (options.tag != NULL) {
        ADD(" L=%s", options.tag);
    }
    for (size_t i = 0; i < options.rcpt_count; i++) {
        ADD(" [%s]", options.rcpt[i]);
    }
    if (warnings[0] != '\0') {
        ADD(" !");
    }
    return out;
}

struct line {
    const char *arguments;
    const char *expected; /* '!' at the end: with a warning. */
};

static void check_lines(const char *name, const struct line *lines, size_t count)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        const char *is = read_line(name, lines[i].arguments);

        is += is[0] == ' ';
        if (strcmp(is, lines[i].expected) != 0) {
            print_error("%s: \"%s\" instead of \"%s\"\n%s", lines[i].arguments, is,
                        lines[i].expected, warnings);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

#define CHECK(lines) check_lines("sendmail", lines, sizeof(lines) / sizeof(lines)[0])

/* Word by word from their sources and manual pages. */
static void test_callers(void **state)
{
    static const struct line lines[] = {
        /* Debian's cron, busybox crond, anacron, systemd-cron. */
        {"-i|-FCronDaemon|-B8BITMIME|-oem|root", "i F=<CronDaemon> [root]"},
        {"-FCronDaemon|-i|-B8BITMIME|-oem|root", "i F=<CronDaemon> [root]"},
        {"-FCronDaemon|-i|-odi|-oem|-oi|-t|-f|root", "t i f=<root> F=<CronDaemon>"},
        {"-ti|", "t i"},
        {"-i|-t", "t i"},
        /* php's mail(), with and without a fifth parameter. */
        {"-t|-i", "t i"},
        {"-oi|-t", "t i"},
        {"-t|-i|-fwww@example.com", "t i f=<www@example.com>"},
        {"-t|-i|-f|www@example.com", "t i f=<www@example.com>"},
        /* mdadm, smartd's and mailutils' mail, s-nail, mutt, git send-email. */
        {"-t", "t"},
        {"-oi|-oem|-t", "t i"},
        {"-oem|-oi|--|a@b.example|c@d.example", "i [a@b.example] [c@d.example]"},
        {"-i|-m|-v|-f|me@x|--|a@b", "i v f=<me@x> [a@b]"},
        {"-i|-f|me@x|-F|My Name|--|a@b", "i f=<me@x> F=<My Name> [a@b]"},
        {"-N|FAILURE,DELAY|-R|hdrs|-f|me@x|--|a@b", "f=<me@x> N=FAILURE,DELAY R=hdrs [a@b]"},
        {"-i|a@b", "i [a@b]"},
        {"-i|--|root", "i [root]"},
        {"-i|-F|W\xC3\xA4rter|-f|me@x|--|a@b|c@d", "i f=<me@x> F=<W\xC3\xA4rter> [a@b] [c@d]"},
        {"-oem|-oi|-f|me@x|--|a@b|c@d", "i f=<me@x> [a@b] [c@d]"},
        {"-f|me@x|-i|a@b|c@d", "i f=<me@x> [a@b] [c@d]"},
        {"-oi|-f|me@x|-i|a@b", "i f=<me@x> [a@b]"},
        /* perl's Mail::Sendmail, MIME::Lite, Net::; Python's, Ruby's, fail2ban, logwatch. */
        {"-t|-oi|-oem", "t i"},
        {"-f|fail2ban@x|root@x", "f=<fail2ban@x> [root@x]"},
        {"-f|fail2ban@x|-t|root@x", "t f=<fail2ban@x> [root@x]"},
        {"-t|-oi", "t i"},
        /* Mailman, majordomo, vacation, procmail. */
        {"-oi|-oem|-odq|-f|l-bounces@x|a@b", "i later f=<l-bounces@x> [a@b]"},
        {"-oi|-f|<>|--|a@b", "i f=<> [a@b]"},
        {"-f|MAILER-DAEMON|-oi|a@b", "i f=<MAILER-DAEMON> [a@b]"},
        /* Nagios, at, apticron, unattended-upgrades, watchdog. */
        {"-i|-oi|root", "i [root]"},
        {"-i|-Fat|root", "i F=<at> [root]"},
        {"-oi|-t|-f|root@x|-F|\"Cron Daemon\"", "t i f=<root@x> F=<\"Cron Daemon\">"},
        /* Exim's callers. */
        {"-odb|-oem|-oi|-oMr|spam-scanned|-f|a@b|c@d", "i f=<a@b> [c@d]"},
        {"-bm|-oi|-oMrlocal|a@b", "i [a@b]"},
        {"-bs|-oMs", "smtp"},
        {"-tls-on-connect|-bs", "smtp !"},
        {"-bS", "smtp"},
        /* amavis, mimedefang, rmail. */
        {"-G|-i|-f|a@b|c@d", "i f=<a@b> [c@d]"},
        {"-pUUCP:host|-ee|-fa@b|c@d", "f=<a@b> [c@d]"},
        {"-oee|-odi|-fa@b|-p|UUCP:host|c@d", "f=<a@b> [c@d]"},
    };

    (void)state;
    CHECK(lines);
}

static void test_sendmail(void **state)
{
    static const struct line lines[] = {
        {"", ""},
        {"-f<>|a@b", "f=<> [a@b]"},
        {"-f||a@b", "f=<> [a@b]"},
        {"-rme@x|a@b", "f=<me@x> [a@b]"},
        {"-FFull Name|a@b", "F=<Full Name> [a@b]"},
        {"-ODeliveryMode=b|-Ac|a@b", "[a@b]"},
        {"-O|DeliveryMode=q|-A|m|a@b", "later [a@b]"},
        {"-odd|a@b", "later [a@b]"},
        {"-O|IgnoreDots|a@b", "i [a@b]"},
        {"-O|IgnoreDots=False|a@b", "[a@b]"},
        {"-o| IgnoreDots=true|a@b", "i [a@b]"},
        {"-oiFalse|a@b", "[a@b]"},
        {"-OQueueDirectory=/tmp/q|a@b", "[a@b] !"},
        {"-oQ/tmp/q|a@b", "[a@b] !"},
        {"-o|em|-e|q|-eq|a@b", "[a@b]"},
        {"-B|8BITMIME|-h|17|-h3|-n|-m|-U|-G|-s|-I|a@b", "newaliases [a@b]"},
        {"-NNEVER|-V|id.1|-X|/tmp/log|-L|tag|a@b", "N=NEVER V=id.1 X=/tmp/log L=tag [a@b]"},
        {"-Rfull|-Nsuccess,delay,failure|a@b", "N=success,delay,failure R=full [a@b]"},
        {"-R|all|a@b", "[a@b] !"},
        {"-N|never,delay|a@b", "[a@b] !"},
        {"-N|succes|a@b", "[a@b] !"},
        {"-N|,|a@b", "[a@b] !"},
        {"-V|has blank|a@b", "[a@b] !"},
        {"-XV+=|a@b", "[a@b] !"},
        {"-v|-v|-d0-99.1|-d|a@b", "v [a@b]"},
        {"-MrESMTP|-Mshost|a@b", "[a@b]"},
        {"-C/etc/x.conf|a@b", "C=/etc/x.conf [a@b]"},
        {"-C|/etc/x.conf|a@b", "C=/etc/x.conf [a@b]"},
        {"-bm|a@b", "[a@b]"},
        {"-b|s", "smtp"},
        {"-bs", "smtp"},
        {"-bp", "mailq"},
        {"-bpu", "mailq"},
        {"-bi", "newaliases"},
        {"-I", "newaliases"},
        {"-bv|a@b", "verify [a@b]"},
        {"-bd", "daemon !"},
        {"-bd|-q1h", "daemon every=3600"},
        {"-q1h|-bD", "daemon foreground every=3600"},
        {"-q", "queue"},
        {"-qf", "queue"},
        {"-qff", "queue"},
        {"-q15m", "queue every=900"},
        {"-q|15m", "queue every=900"},
        {"-q15", "queue every=900"},
        {"-q1h30m", "queue every=5400"},
        {"-q90s", "queue every=90"},
        {"-qp10m", "queue every=600"},
        {"-q9999999w", "queue every=31622400"},
        {"-qGlocal", "queue !"},
        {"-qIabc", "queue !"},
        {"-qRexample.com|-v", "queue v !"},
        {"-q!Ra", "queue !"},
        {"-bs|-q", "smtp"},
        {"-bV", "usage"},
        {"-V", "usage"},
        {"--version", "usage"},
        {"--help", "usage"},
        {"-help", "usage"},
        {"-h", "usage"},
        {"-?", "usage"},
    };

    (void)state;
    CHECK(lines);
}

/* What is wrong loses neither the mail nor a recipient nor an option. */
static void test_mistakes(void **state)
{
    static const struct line lines[] = {
        {"-f|-t", "t !"},
        {"a@b|-f", "[a@b] !"},
        {"-f|--|a@b", "[a@b] !"},
        {"-F|-t", "t !"},
        {"a@b|-C", "[a@b] !"},
        {"-L|a@b", "[a@b] !"},
        {"-o|a@b", "[a@b] !"},
        {"-X|a@b", "[a@b] !"},
        {"-A|a@b", "[a@b] !"},
        {"-h|a@b", "[a@b] !"},
        {"-e|a@b", "[a@b] !"},
        {"-b|a@b", "[a@b] !"},
        {"-b|root", "[root] !"},
        {"a@b|-i|c@d|-f|me@x", "i f=<me@x> [a@b] [c@d]"},
        {"-z|a@b", "[a@b] !"},
        {"-tz|a@b", "t [a@b] !"},
        {"-zi|a@b", "i [a@b] !"},
        {"--unknown|a@b", "[a@b] !"},
        {"--unknown=x|a@b", "[a@b] !"},
        {"-bx|a@b", "[a@b] !"},
        {"-|a@b", "[a@b] !"},
        {"||a@b|", "[a@b]"},
        {"--|-t|--|a@b", "[-t] [--] [a@b]"},
        {"-q|-t", "t !"},
        {"-q|a@b", "[a@b] !"},
        {"-q|-f|a@b", "queue f=<a@b>"},
        {"-s|A subject|a@b", "[a@b] !"},
        {"-s|Name <a@b>", "[Name <a@b>]"},
        {"-s|root", "[root]"},
    };

    (void)state;
    CHECK(lines);
}

static void test_others(void **state)
{
    static const struct line lines[] = {
        /* ssmtp and BusyBox. */
        {"-auUSER|-apPASS|-amLOGIN|a@b", "[a@b] !"},
        {"-au|me@example.com|-ap|secret|-am|PLAIN|a@b", "[a@b] !"},
        {"-S|mail.example.com:25|-w|10|-f|me@x|-H|exec openssl s_client|a@b", "f=<me@x> [a@b] !"},
        {"-4|-6|-C/etc/s.conf|a@b", "C=/etc/s.conf [a@b]"},
        {"-Cx|-d|a@b", "v C=x [a@b]"},
        /* msmtp. */
        {"--from=me@x|--|a@b", "f=<me@x> [a@b]"},
        {"--from|me@x|a@b", "f=<me@x> [a@b]"},
        {"--read-envelope-from|--read-recipients", "t from-header"},
        {"-a|work|-t", "t !"},
        {"--account=work|--host=h|--port|587|--tls=on|--tls-trust-file|/x|a@b", "[a@b] !"},
        {"--file=/x|--dsn-notify=never|--dsn-return|full|a@b", "C=/x N=never R=full [a@b]"},
        {"--user|me@example.com|--passwordeval|echo x|--auth|a@b", "[a@b] !"},
        {"--logfile|/var/log/x|--syslog=on|a@b", "[a@b] !"},
        {"--from|--debug|a@b", "v [a@b] !"},
        {"--pretend|a@b", "refused"},
        {"-P|a@b", "refused"},
        {"--serverinfo", "refused"},
        {"--configure=me@x", "refused"},
        {"--rmqs|x", "refused"},
        /* Exim's and sendmail's commands that send no mail. */
        {"-Mrm|1abc", "refused"},
        {"-M|1abc", "refused"},
        {"-Mvh|1abc", "refused"},
        {"-bh|192.0.2.1", "refused"},
        {"-bH", "refused"},
        {"-be", "refused"},
        {"-bP|spool_directory", "mailq [spool_directory]"},
    };

    (void)state;
    CHECK(lines);
}

static void test_names(void **state)
{
    static const struct line mailq[] = {{"", "mailq"}, {"-Ac|-v", "mailq v"}, {"-q", "mailq"}};
    static const struct line newaliases[] = {{"", "newaliases"}, {"-v", "newaliases v"}};
    static const struct line runq[] = {{"", "queue"}, {"-v", "queue v"}};

    (void)state;
    check_lines("mailq", mailq, sizeof mailq / sizeof mailq[0]);
    check_lines("/usr/bin/newaliases", newaliases, sizeof newaliases / sizeof newaliases[0]);
    check_lines("./runq", runq, sizeof runq / sizeof runq[0]);
}

/* A secret that somebody passes is in no sentence. */
static void test_secrets(void **state)
{
    static const char *const lines[] = {
        "-apGEHEIM|a@b",         "-ap|GEHEIM|a@b",
        "--password=GEHEIM|a@b", "--user=GEHEIM|a@b",
        "--user|GEHEIM|a@b",     "--passwordeval=echo GEHEIM|a@b",
        "-kGEHEIM|a@b",          "-K|a@b",
        "-auGEHEIM|a@b",         "--passwordeval|GEHEIM|",
        "--auth-pass=GEHEIM|x",  "-ZGEHEIM=1|x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)read_line("sendmail", lines[i]);
        assert_true(warnings[0] != '\0');
        assert_null(strstr(warnings, "GEH"));
    }
    (void)read_line("sendmail", "--weird\033[2J\nline|x");
    assert_null(strchr(warnings, '\033'));
    assert_ptr_equal(strchr(warnings, '\n'), warnings + strlen(warnings) - 1);
}

static void test_no_arguments_at_all(void **state)
{
    struct options options;
    const char *argv[1] = {NULL};
    const char *why = NULL;

    (void)state;
    assert_int_equal(options_parse(&options, "sendmail", 0, argv, warn, warnings, &why), 0);
    assert_int_equal(options.rcpt_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers),
        cmocka_unit_test(test_sendmail),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_no_arguments_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
