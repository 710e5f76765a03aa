/* What `tocsin serverinfo` shows of servers that are polite, lacking, rude and broken. */
#include "boards/linux/serverinfo.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define REPLIES_MAX 8

static struct settings settings;
static char shown[65536]; /* What was written to standard output, ... */
static char heard[4096];  /* ... and what the server got. */
static uint16_t port;

/* A server that says replies[0] at once and another one for each line that it gets; NULL ends it.
 * What it got goes to `out`. */
static void serve(int listener, int out, const char *const replies[])
{
    char line[1000];
    int far;
    FILE *in;

    alarm(20);
    far = accept(listener, NULL, NULL);
    in = fdopen(far, "r");
    for (size_t i = 0; replies[i] != NULL; i++) {
        if (send(far, replies[i], strlen(replies[i]), MSG_NOSIGNAL) < 0 ||
            fgets(line, sizeof line, in) == NULL) {
            break;
        }
        (void)!write(out, line, strlen(line));
    }
    shutdown(far, SHUT_RDWR);
    _exit(0);
}

static size_t slurp(int fd, char *out, size_t size)
{
    size_t length = 0;
    ssize_t got;

    while (length + 1 < size && (got = read(fd, out + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    out[length] = '\0';
    return length;
}

static int run(int argc, const char *const argv[])
{
    char name[] = "/tmp/tocsin-serverinfo-XXXXXX";
    int file = mkstemp(name);
    int kept = dup(STDOUT_FILENO);
    int code;

    unlink(name);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    code = serverinfo_run(&settings, argc, argv);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    lseek(file, 0, SEEK_SET);
    slurp(file, shown, sizeof shown);
    close(file);
    return code;
}

static int ask(const char *const replies[], const char *tls, const char *pop3)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ends[2];
    char where[64];
    const char *const argv[] = {where, tls, "--ca=/dev/null", pop3};
    pid_t server;
    int code;

    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listener, 5), 0);
    getsockname(listener, (struct sockaddr *)&in, &size);
    port = ntohs(in.sin_port);
    snprintf(where, sizeof where, "127.0.0.1:%u", port);
    assert_int_equal(pipe(ends), 0);
    server = fork();
    if (server == 0) {
        serve(listener, ends[1], replies);
    }
    close(listener);
    close(ends[1]);
    code = run(pop3 != NULL ? 4 : 3, argv);
    slurp(ends[0], heard, sizeof heard);
    close(ends[0]);
    assert_int_equal(waitpid(server, NULL, 0), server);
    for (const char *c = shown; *c != '\0'; c++) {
        assert_true(*c == '\n' || (*c >= ' ' && *c != 127) || *c < 0);
    }
    return code;
}

static void expect_shown(const char *text)
{
    if (strstr(shown, text) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", text, shown);
    }
}

static void test_clear(void **state)
{
    static const char *const replies[] = {"220 mail.example.test ESMTP\r\n",
                                          "250-mail.example.test\r\n250-SIZE 1000000\r\n"
                                          "250-AUTH LOGIN\r\n250 8BITMIME\r\n",
                                          "221 bye\r\n", NULL};

    (void)state;
    assert_int_equal(ask(replies, "--tls=off", NULL), EX_OK);
    expect_shown("SMTP, no TLS\n");
    expect_shown("  addresses      127.0.0.1\n");
    expect_shown("  greeting       220 mail.example.test ESMTP\n");
    expect_shown("  in clear       SIZE 1000000, AUTH LOGIN, 8BITMIME\n");
    expect_shown("  largest mail   1000000 bytes (SIZE)\n");
    expect_shown("  login          AUTH LOGIN would be used\n");
    expect_shown("a mail can go this way, in clear");
    assert_string_equal(heard, "EHLO client.example.test\r\nQUIT\r\n");
}

static void test_no_starttls(void **state)
{
    static const char *const replies[] = {"220 mail.example.test ESMTP\r\n",
                                          "250-mail.example.test\r\n250 SIZE 1000000\r\n",
                                          "221 bye\r\n", NULL};
    static const char *const refuses[] = {"220 mail.example.test ESMTP\r\n",
                                          "250-mail.example.test\r\n250 STARTTLS\r\n",
                                          "454 4.7.0 not now\r\n", "221 bye\r\n", NULL};
    static const char *const injects[] = {
        "220 mail.example.test ESMTP\r\n", "250-mail.example.test\r\n250 STARTTLS\r\n",
        "220 go\r\n250-mail.example.test\r\n250 AUTH PLAIN\r\n", "221 bye\r\n", NULL};

    (void)state;
    assert_int_equal(ask(replies, "--tls=starttls", NULL), EX_CONFIG);
    expect_shown("  in clear       SIZE 1000000\n");
    expect_shown("  refused        EHLO: ");
    expect_shown("  what to do     ");
    assert_int_equal(ask(refuses, "--tls=starttls", NULL), EX_CONFIG);
    expect_shown("  refused        STARTTLS: 454 4.7.0 ");
    assert_int_equal(ask(injects, "--tls=starttls", NULL), EX_CONFIG);
    expect_shown("  refused        STARTTLS: ");
    assert_null(strstr(shown, "result"));
}

static void test_bad_servers(void **state)
{
    static const char *const refuses[] = {"554-5.7.1 go\r\n554 5.7.1 away\r\n", NULL};
    static const char *const busy[] = {"421 too many\r\n", NULL};
    static const char *const ends[] = {NULL};
    static const char *const web[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", NULL};
    static const char *const no_ehlo[] = {"220 hello\r\n", "502 what?\r\n", "502 what?\r\n",
                                          "221 bye\r\n", NULL};

    (void)state;
    assert_int_equal(ask(refuses, "--tls=starttls", NULL), EX_CONFIG);
    expect_shown("  greeting       554-5.7.1 go / 554 5.7.1 away\n");
    expect_shown("  refused        greeting: 554 5.7.1 ");
    assert_int_equal(ask(busy, "--tls=starttls", NULL), EX_TEMPFAIL);
    assert_int_equal(ask(ends, "--tls=starttls", NULL), EX_TEMPFAIL);
    expect_shown("  refused        greeting: ");
    assert_int_not_equal(ask(web, "--tls=starttls", NULL), EX_OK);
    assert_int_not_equal(ask(web, "--tls=implicit", NULL), EX_OK);
    expect_shown("does not speak TLS here, it said \"HTTP/\"");
    assert_int_not_equal(ask(no_ehlo, "--tls=off", NULL), EX_OK);
    assert_int_not_equal(ask(ends, "--tls=implicit", NULL), EX_OK);
    expect_shown("the server closed in the TLS handshake");
}

/* Nothing that a server says steers a terminal, and none of it is too long. */
static void test_rude(void **state)
{
    static char greeting[3000] = "220-\033]0;owned\a\033[2J \xFF\x01 ";
    static char list[60000];
    static char word[700];
    static const char *const replies[] = {greeting, list, "221 bye\r\n", NULL};
    size_t length = 0;

    (void)state;
    memset(greeting + strlen(greeting), 'x', 1900);
    strcat(greeting, "\r\n220 end\r\n");
    memset(word, 'w', sizeof word - 1);
    for (size_t i = 0; i < 60; i++) {
        length += (size_t)snprintf(list + length, sizeof list - length, "250-X%zu \033[31m %s\r\n",
                                   i, word);
    }
    strcpy(list + length, "250 SIZE 99999999999\r\n");
    (void)ask(replies, "--tls=off", NULL);
    assert_null(strchr(shown, '\033'));
    expect_shown("  result         a mail can go this way");
    assert_null(strstr(shown, "largest mail"));
    assert_true(strlen(shown) < 8000);
}

static void test_pop3(void **state)
{
    static const char *const replies[] = {"+OK <1.2@pop.example.test> ready\r\n",
                                          "+OK\r\nTOP\r\nUIDL\r\nSASL PLAIN\r\nUSER\r\n.\r\n",
                                          "+OK bye\r\n", NULL};
    static const char *const old[] = {"+OK ready\r\n", "-ERR what?\r\n", "+OK bye\r\n", NULL};
    static const char *const no_stls[] = {"+OK ready\r\n", "+OK\r\nUSER\r\n.\r\n", "+OK bye\r\n",
                                          NULL};
    static const char *const no_login[] = {"+OK ready\r\n", "+OK\r\nSASL GSSAPI\r\n.\r\n",
                                           "+OK bye\r\n", NULL};
    static const char *const busy[] = {"-ERR [SYS/TEMP] later\r\n", NULL};

    (void)state;
    assert_int_equal(ask(replies, "--tls=off", "--pop3"), EX_OK);
    expect_shown("  in clear       TOP, UIDL, SASL PLAIN, USER\n");
    expect_shown("mail can be fetched this way, the password in clear");
    assert_string_equal(heard, "CAPA\r\nQUIT\r\n"); /* No login. */
    assert_int_equal(ask(old, "--tls=off", "--pop3"), EX_OK);
    assert_string_equal(heard, "CAPA\r\nQUIT\r\n");
    assert_int_equal(ask(no_stls, "--tls=starttls", "--pop3"), EX_CONFIG);
    assert_int_equal(ask(no_login, "--tls=off", "--pop3"), EX_CONFIG);
    expect_shown("  refused        ");
    assert_int_equal(ask(busy, "--tls=starttls", "--pop3"), EX_TEMPFAIL);
}

/* The configuration has a login, and its server takes none. */
static void test_configured(void **state)
{
    static const char *const one[] = {"--tls=off"};
    struct config *config = &settings.config;

    (void)state;
    assert_int_equal(run(0, NULL), EX_CONFIG);
    expect_shown("No such server is configured.\nusage: ");
    strcpy(config->mailhub.host, "127.0.0.1");
    config->mailhub.port = 1;
    strcpy(config->mailhub2.host, "localhost");
    config->mailhub2.port = 2;
    assert_int_equal(run(1, one), EX_TEMPFAIL);
    expect_shown("127.0.0.1:1, SMTP, no TLS\n");
    expect_shown("\nlocalhost:2, SMTP, no TLS\n");
    expect_shown("  failed         connection refused\n");
    expect_shown("Nothing listens there: check the port.");
    memset(config, 0, sizeof *config);
}

static void test_arguments(void **state)
{
    static const char *const bad[] = {"--tls=maybe", "--what",   "-x",      "[::1",      "h:0",
                                      "h:65536",     "[::1]x:1", "[::1]25", "[]",        ":25",
                                      "h:",          "--pop",    "--helpx", "--pop3=yes"};
    static const char *const names[] = {"a b:25", "user@host:25", "::x:1", "h:a:1", "smtp//h:25"};
    static const char *const two[] = {"a", "b"};
    static const char *const help[] = {"--help"};
    static char host[CONFIG_HOST_BYTES + 1];
    const char *const large[] = {host};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(run(1, &bad[i]), EX_USAGE);
        expect_shown("usage: ");
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(run(1, &names[i]), EX_CONFIG);
        expect_shown("  failed         not a host name\n");
    }
    assert_int_equal(run(2, two), EX_USAGE);
    memset(host, 'a', CONFIG_HOST_BYTES);
    assert_int_equal(run(1, large), EX_USAGE);
    assert_int_equal(run(1, help), EX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clear),       cmocka_unit_test(test_no_starttls),
        cmocka_unit_test(test_bad_servers), cmocka_unit_test(test_rude),
        cmocka_unit_test(test_pop3),        cmocka_unit_test(test_configured),
        cmocka_unit_test(test_arguments),
    };

    strcpy(settings.host, "client.example.test");
    return cmocka_run_group_tests_name("serverinfo", tests, NULL, NULL);
}
