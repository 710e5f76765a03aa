/* test_tls.c - net/tls against OpenSSL's s_server over loopback, and against bytes made here.
 *
 * test_tls_certs.sh makes the certificates in a folder under the working directory. Every server
 * listens on a port of the system's choice, every wait is bounded, and every server is killed by
 * its process id. */
#define _GNU_SOURCE /* memmem() */

#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIR "test_tls.tmp"
#define NAME "mail.example.com"
#define WAIT_MS 8000
#define DAY 86400
#define ARGS_MAX 32

struct server {
    pid_t pid;
    int in; /* Its standard input. */
    int out;
    uint16_t port;
};

static struct server server = {.pid = -1};
static char serving[512]; /* Its command. */
static struct random rng;
static struct tls_anchors own_anchors;
static struct tls_anchors *anchors = &own_anchors;
static struct tls tls;
static int sock = -1;
static size_t piece = SIZE_MAX; /* Most bytes that go in or out at once. */
static size_t records_sent;     /* Bytes that one call of tls_net_tx_buf() gave at most. */

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void stop_server(void)
{
    if (server.pid > 0) {
        kill(server.pid, SIGKILL);
        waitpid(server.pid, NULL, 0);
        close(server.in);
        close(server.out);
    }
    server.pid = -1;
    if (sock >= 0) {
        close(sock);
    }
    sock = -1;
}

/* Reads the line "ACCEPT 127.0.0.1:PORT" that s_server prints. */
static uint16_t read_port(int fd)
{
    char text[2048];
    size_t size = 0;
    uint64_t end_ms = now_ms() + WAIT_MS;

    while (size < sizeof text - 1 && now_ms() < end_ms) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        ssize_t got = 0;
        const char *at;

        if (poll(&poller, 1, 100) > 0) {
            got = read(fd, text + size, sizeof text - 1 - size);
            if (got <= 0) {
                break;
            }
        }
        size += (size_t)got;
        text[size] = '\0';
        at = strstr(text, "ACCEPT 127.0.0.1:");
        if (at != NULL && strchr(at, '\n') != NULL) {
            return (uint16_t)atoi(at + strlen("ACCEPT 127.0.0.1:"));
        }
    }
    text[size] = '\0';
    print_error("s_server did not start: %s\n", text);
    return 0;
}

/* Starts s_server with a certificate (and key) of DIR and more arguments, separated by blanks. */
static void start_server(const char *cert, const char *more)
{
    char words[512];
    char *argv[ARGS_MAX];
    int argc = 0;
    int in[2];
    int out[2];

    snprintf(words, sizeof words,
             "openssl s_server -accept 127.0.0.1:0 -cert %s.pem -key %s.key %s", cert, cert, more);
    if (server.pid > 0 && strcmp(words, serving) == 0) {
        return; /* It is there already. */
    }
    stop_server();
    memcpy(serving, words, sizeof serving);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        /* It must not outlive a test that a sanitizer ends. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || chdir(DIR) != 0) {
            _exit(126);
        }
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server.in = in[1];
    server.out = out[0];
    server.port = read_port(server.out);
    assert_int_not_equal(server.port, 0);
}

static void connect_server(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server.port)};
    int one = 1;

    if (sock >= 0) {
        close(sock);
    }
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sock = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(sock >= 0);
    assert_int_equal(connect(sock, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(sock, F_SETFL, O_NONBLOCK);
}

/* Adds a certificate file of DIR to the anchors. */
static void trust(const char *name)
{
    struct tls_pem pem;
    char path[128];
    char text[300];
    const char *why = "";
    FILE *file;
    size_t size;
    int count;

    snprintf(path, sizeof path, DIR "/%s.pem", name);
    file = fopen(path, "r");
    assert_non_null(file);
    tls_pem_init(&pem, anchors);
    while ((size = fread(text, 1, sizeof text, file)) > 0) {
        if (tls_pem_push(&pem, text, size, &why) < 0) {
            break;
        }
    }
    fclose(file);
    count = tls_pem_end(&pem, &why);
    if (count < 0) {
        print_error("%s: %s\n", name, why);
    }
    assert_int_equal(count, 1);
}

static void trust_only(const char *names)
{
    char words[128];

    tls_anchors_init(anchors);
    snprintf(words, sizeof words, "%s", names);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        trust(word);
    }
}

static int begin(const char *server_name, int64_t shift_s, struct tls_resume *resume)
{
    struct tls_params params = {
        .server_name = server_name,
        .anchors = anchors,
        .random = &rng,
        .unix_s = (uint64_t)((int64_t)time(NULL) + shift_s),
        .resume = resume,
    };

    records_sent = 0;
    return tls_init(&tls, &params);
}

/* Moves what can be moved at once; false: nothing could. */
static bool pump_once(void)
{
    unsigned want = tls_want(&tls);
    bool moved = false;
    size_t size;

    if ((want & TLS_WANT_NET_TX) != 0) {
        const uint8_t *bytes = tls_net_tx_buf(&tls, &size);
        ssize_t sent;

        records_sent = size > records_sent ? size : records_sent;
        sent = send(sock, bytes, size < piece ? size : piece, MSG_NOSIGNAL);
        if (sent > 0) {
            tls_net_tx_ack(&tls, (size_t)sent);
            moved = true;
        } else if (sent < 0 && errno != EAGAIN) {
            tls_eof(&tls);
            return true;
        }
    }
    if ((tls_want(&tls) & TLS_WANT_NET_RX) != 0) {
        uint8_t *bytes = tls_net_rx_buf(&tls, &size);
        ssize_t got = recv(sock, bytes, size < piece ? size : piece, 0);

        if (got > 0) {
            tls_net_rx_ack(&tls, (size_t)got);
            moved = true;
        } else if (got == 0 || errno != EAGAIN) {
            tls_eof(&tls);
            moved = true;
        }
    }
    return moved;
}

/* Pumps until one of the flags is wanted, or the end; returns the flags. */
static unsigned pump(unsigned flags)
{
    uint64_t end_ms = now_ms() + WAIT_MS;

    while ((tls_want(&tls) & (flags | TLS_CLOSED)) == 0 && now_ms() < end_ms) {
        if (!pump_once()) {
            struct pollfd poller = {.fd = sock, .events = POLLIN};

            if ((tls_want(&tls) & TLS_WANT_NET_TX) != 0) {
                poller.events |= POLLOUT;
            }
            poll(&poller, 1, 100);
        }
    }
    return tls_want(&tls);
}

/* Writes everything as one turn, and sees it off. */
static void say(const void *text, size_t size)
{
    const uint8_t *bytes = text;

    while (size > 0) {
        size_t room;
        uint8_t *out;

        assert_true((pump(TLS_WANT_APP_TX) & TLS_WANT_APP_TX) != 0);
        out = tls_app_tx_buf(&tls, &room);
        room = room < size ? room : size;
        memcpy(out, bytes, room);
        tls_app_tx_ack(&tls, room);
        bytes += room;
        size -= room;
    }
    tls_flush(&tls);
    while ((tls_want(&tls) & TLS_WANT_NET_TX) != 0) {
        pump_once();
    }
}

/* Reads until size bytes are there or the end; returns how many. */
static size_t hear(uint8_t *out, size_t size)
{
    size_t at = 0;

    while (at < size && (pump(TLS_WANT_APP_RX) & TLS_WANT_APP_RX) != 0) {
        size_t got;
        const uint8_t *bytes = tls_app_rx_buf(&tls, &got);

        got = got < size - at ? got : size - at;
        memcpy(out + at, bytes, got);
        tls_app_rx_ack(&tls, got);
        at += got;
    }
    return at;
}

static void expect_ready(void)
{
    unsigned want = pump(TLS_READY);

    if ((want & TLS_READY) == 0) {
        print_error("not ready: %s\n",
                    tls_failure(&tls) != NULL ? tls_failure(&tls)->text : "no failure told");
    }
    assert_true((want & TLS_READY) != 0);
    assert_null(tls_failure(&tls));
}

static void expect_failure(int error, const char *text)
{
    const struct tls_failure *failure;
    size_t size;

    pump(TLS_READY);
    failure = tls_failure(&tls);
    assert_non_null(failure);
    if (failure->error != error || strstr(failure->text, text) == NULL) {
        print_error("got %s: \"%s\", want %s: \"%s\"\n", error_name(failure->error), failure->text,
                    error_name(error), text);
    }
    assert_int_equal(failure->error, error);
    assert_non_null(strstr(failure->text, text));
    assert_true(strlen(tls_advice(failure)) > 0);
    assert_int_equal(tls_want(&tls), TLS_CLOSED);
    assert_null(tls_app_tx_buf(&tls, &size));
    assert_int_equal(size, 0);
}

static void expect_echo(const char *line, const char *reversed)
{
    uint8_t answer[64];

    say(line, strlen(line));
    assert_int_equal(hear(answer, strlen(reversed)), strlen(reversed));
    assert_memory_equal(answer, reversed, strlen(reversed));
}

/* Closes in order: a server forgets a session that ends otherwise. */
static void leave(void)
{
    tls_close(&tls);
    assert_int_equal(pump(TLS_CLOSED), TLS_READY | TLS_CLOSED);
    assert_null(tls_failure(&tls));
}

static int setup_all(void **state)
{
    uint8_t seed[RANDOM_SEED_BYTES];
    int fd = open("/dev/urandom", O_RDONLY);

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (system("rm -rf " DIR " && sh " TESTS_DIR "/unit/test_tls_certs.sh " DIR) != 0) {
        print_error("no certificates: see " DIR "/log\n");
        return -1;
    }
    if (fd < 0 || read(fd, seed, sizeof seed) != sizeof seed) {
        return -1;
    }
    close(fd);
    random_init(&rng);
    random_seed(&rng, seed, sizeof seed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop_server();
    piece = SIZE_MAX;
    anchors = &own_anchors;
    return 0;
}

/* Chains that are good, and what is told of them. */
static const struct good {
    const char *cert;
    const char *more;
    const char *anchors;
    const char *name;
    const char *suite;
    const char *key; /* Of the server's certificate. */
    size_t count;
} goods[] = {
    {"p256", "", "root-p256", NAME, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256", 1},
    {"p256", "", "root-p256", "MAIL.Example.com", NULL, "P-256", 1},
    {"p256", "", "root-p256", "mail.example.com.", NULL, "P-256", 1},
    {"p384", "", "root-p384", NAME, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-384", 1},
    {"p521", "", "root-p256", NAME, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-521", 1},
    {"rsa", "", "root-rsa", NAME, "ECDHE-RSA-CHACHA20-POLY1305", "RSA-2048", 1},
    {"by4096", "", "root-4096", NAME, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256", 1},
    {"root-4096", "", "root-4096", NAME, "ECDHE-RSA-CHACHA20-POLY1305", "RSA-4096", 1},
    {"mixed", "-cert_chain inter-p256.pem", "root-p384", NAME, "ECDHE-RSA-CHACHA20-POLY1305",
     "RSA-2048", 2},
    {"chained", "-cert_chain inter-rsa.pem", "root-rsa", NAME, "ECDHE-ECDSA-CHACHA20-POLY1305",
     "P-256", 2},
    /* The intermediate as the CA, with and without it being sent. */
    {"chained", "-cert_chain inter-rsa.pem", "inter-rsa", NAME, NULL, "P-256", 2},
    {"chained", "", "inter-rsa", NAME, NULL, "P-256", 1},
    /* Several CAs, one of them twice, one with the same name as the right one. */
    {"p256", "", "root-rsa root-twin root-p256 root-p256 root-other", NAME, NULL, "P-256", 1},
    {"wild", "", "root-p256", NAME, NULL, "P-256", 1},
    {"cn", "", "root-p256", NAME, NULL, "P-256", 1},
    {"cnsan", "", "root-p256", "b.example.com", NULL, "P-256", 1},
    {"nosubject", "", "root-p256", NAME, NULL, "P-256", 1},
    {"server", "", "root-p256", NAME, NULL, "P-256", 1},
    {"address", "", "root-p256", "127.0.0.1", NULL, "P-256", 1},
    {"address", "", "root-p256", "HOST", NULL, "P-256", 1},
    /* Self-signed certificates given as CA, however they were made. */
    {"self-ca", "", "self-ca", NAME, NULL, "P-256", 1},
    {"self-false", "", "self-false", NAME, NULL, "RSA-2048", 1},
    {"self-bare", "", "self-bare", NAME, NULL, "P-256", 1},
    {"self-rsa", "", "self-rsa", NAME, NULL, "RSA-2048", 1},
    /* A server's certificate that is trusted by itself, without its issuer. */
    {"p256", "", "p256", NAME, NULL, "P-256", 1},
};

static void test_good_chains(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        const struct good *good = &goods[i];
        const struct tls_info *info;

        trust_only(good->anchors);
        start_server(good->cert, good->more);
        connect_server();
        assert_int_equal(begin(good->name, 0, NULL), 0);
        print_message("%s %s for %s by %s\n", good->cert, good->more, good->name, good->anchors);
        expect_ready();
        info = tls_info(&tls);
        assert_string_equal(info->version, "TLS 1.2");
        if (good->suite != NULL) {
            assert_string_equal(info->suite, good->suite);
        }
        assert_string_equal(info->curve, "X25519");
        assert_false(info->resumed);
        assert_int_equal(info->chain_count, good->count);
        assert_string_equal(info->chain[0].key, good->key);
        assert_true(info->chain[0].not_before_unix_s <= (uint64_t)time(NULL));
        assert_true(info->chain[0].not_before_unix_s + DAY > (uint64_t)time(NULL));
        assert_true(info->chain[0].not_after_unix_s > (uint64_t)time(NULL) + 28 * DAY);
    }
}

static void test_chain_names(void **state)
{
    const struct tls_info *info = tls_info(&tls);

    (void)state;
    trust_only("root-p384");
    start_server("mixed", "-cert_chain inter-p256.pem");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    assert_string_equal(info->chain[0].subject, NAME);
    assert_string_equal(info->chain[0].issuer, "Intermediate");
    assert_string_equal(info->chain[1].subject, "Intermediate");
    assert_string_equal(info->chain[1].issuer, "P-384 root");
    assert_string_equal(info->chain[1].key, "P-256");

    trust_only("root-p256");
    start_server("nosubject", "");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    assert_string_equal(info->chain[0].subject, NAME);
}

/* Chains that are refused, with the sentence. */
static const struct bad {
    const char *cert;
    const char *more;
    const char *anchors;
    const char *name;
    int shift_days;
    const char *text;
} bads[] = {
    {"unknown", "", "root-p256", NAME, 0, "unknown authority: Another root"},
    {"chained", "", "root-rsa", NAME, 0, "unknown authority: RSA intermediate"},
    {"p256", "", "root-twin", NAME, 0, "unknown authority: P-256 root"},
    {"p256", "", "self-bare", NAME, 0, "unknown authority"},
    {"p256", "", "root-p256", NAME, 31, "the certificate of mail.example.com expired on 20"},
    {"p256", "", "root-p256", NAME, -2, "is not valid before 20"},
    {"p256", "", "root-p256", "mail.example.org", 0,
     "is for mail.example.com, not for mail.example.org"},
    {"p256", "", "root-p256", "127.0.0.1", 0, "is for mail.example.com, not for 127.0.0.1"},
    {"self-ca", "", "root-p256", NAME, 0, "the certificate of mail.example.com is self-signed"},
    {"self-ca", "", "self-ca", NAME, 31, "expired on 20"},
    {"self-ca", "", "self-ca", "mail.example.org", 0, "not for mail.example.org"},
    {"self-false", "", "self-ca self-bare", NAME, 0, "is self-signed"},
    {"self-false", "", "self-false", NAME, 31, "expired on 20"},
    {"self-false", "", "self-false", "mail.example.org", 0, "not for mail.example.org"},
    {"self-bare", "", "self-bare", NAME, -2, "is not valid before 20"},
    {"self-escape", "", "root-p256", "x", 0, "not for x"},
    /* The trusted certificate of one server is no CA. */
    {"false", "", "inter-false", NAME, 0, "unknown authority: No CA"},
    {"brief", "-cert_chain inter-brief.pem", "root-p256", NAME, 6,
     "the certificate of Brief intermediate expired on 20"},
    {"cnsan", "", "root-p256", NAME, 0,
     "is for a.example.com, b.example.com, not for mail.example.com"},
    {"cn", "", "root-p256", "ail.example.com", 0,
     "is for mail.example.com, not for ail.example.com"},
    {"wild", "", "root-p256", "a.b.example.com", 0,
     "is for *.example.com, not for a.b.example.com"},
    {"wild", "", "root-p256", "example.com", 0, "not for example.com"},
    {"nul", "", "root-p256", NAME, 0, "is for mail.example.com .x, not for mail.example.com"},
    {"address", "", "root-p256", "127.0.0.2", 0, "is for host, 127.0.0.1, not for 127.0.0.2"},
    /* An address as a common name or a DNS name is none (RFC 6125 1.7.2). */
    {"address2", "", "root-p256", "127.0.0.1", 0, "not for 127.0.0.1"},
    {"client", "", "root-p256", NAME, 0,
     "the certificate of mail.example.com is not meant for servers"},
    {"ofclient", "-cert_chain inter-client.pem", "root-p256", NAME, 0,
     "For clients is not meant for servers"},
    {"ofnosign", "-cert_chain inter-nosign.pem", "root-p256", NAME, 0, "key usage"},
    {"critical", "", "root-p256", NAME, 0, "has constraints"},
    {"names", "-cert_chain inter-names.pem", "root-p256", NAME, 0,
     "the certificate of Constrained has constraints"},
    {"false", "-cert_chain inter-false.pem", "root-p256", NAME, 0, "No CA has signed another one"},
    {"bare", "-cert_chain inter-bare.pem", "root-p256", NAME, 0, "Bare has signed another one"},
    {"path", "-cert_chain path.chain", "root-p256", NAME, 0,
     "has signed a longer chain than it may"},
    {"chained", "-cert_chain inter-p256.pem", "root-rsa", NAME, 0, "not in order"},
    {"sha1", "-cipher ALL@SECLEVEL=0", "root-rsa", NAME, 0, "is signed over SHA-1"},
    {"rsa1024", "-cipher ALL@SECLEVEL=0", "root-rsa", NAME, 0,
     "mail.example.com has an RSA key of less than 2048 bits"},
    {"pss", "", "root-rsa", NAME, 0, "other algorithms than RSA (PKCS #1)"},
    {"p256", "-cert_chain long.chain", "root-rsa", NAME, 0, "too large"},
};

static void make_file(const char *command)
{
    assert_int_equal(system(command), 0);
}

static void test_bad_chains(void **state)
{
    (void)state;
    make_file("cd " DIR " && cat inter-path1.pem inter-path0.pem > path.chain");
    make_file("cd " DIR
              " && for i in 1 2 3 4 5 6 7 8 9 10 11; do cat root-p256.pem; done > long.chain");
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        const struct bad *bad = &bads[i];

        trust_only(bad->anchors);
        start_server(bad->cert, bad->more);
        connect_server();
        print_message("%s %s for %s by %s\n", bad->cert, bad->more, bad->name, bad->anchors);
        assert_int_equal(begin(bad->name, bad->shift_days * DAY, NULL), 0);
        expect_failure(E_SECURITY, bad->text);
        for (const char *c = tls_failure(&tls)->text; *c != '\0'; c++) {
            assert_true((uint8_t)*c >= 0x20);
        }
    }
}

/* The server's log must tell why we left. */
static void test_alert_is_sent(void **state)
{
    char text[4096] = "";
    size_t size = 0;
    uint64_t end_ms = now_ms() + WAIT_MS;

    (void)state;
    trust_only("root-p256");
    stop_server(); /* For a log of its own. */
    start_server("unknown", "");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "unknown authority");
    close(sock);
    sock = -1;
    while (strstr(text, "unknown ca") == NULL && now_ms() < end_ms && size < sizeof text - 1) {
        struct pollfd poller = {.fd = server.out, .events = POLLIN};

        if (poll(&poller, 1, 100) > 0) {
            ssize_t got = read(server.out, text + size, sizeof text - 1 - size);

            assert_true(got > 0);
            size += (size_t)got;
            text[size] = '\0';
        }
    }
    assert_non_null(strstr(text, "unknown ca"));
}

static void test_suites_and_curves(void **state)
{
    static const char *const suites[] = {
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",   "ECDHE-RSA-AES256-GCM-SHA384",
    };
    static const char *const curves[] = {"X25519", "P-256", "P-384", "P-521"};

    (void)state;
    trust_only("root-p256 root-rsa");
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        for (size_t j = 0; j < sizeof curves / sizeof curves[0]; j++) {
            char more[128];

            snprintf(more, sizeof more, "-rev -cipher %s -curves %s", suites[i], curves[j]);
            start_server(i < 3 ? "p256" : "rsa", more);
            connect_server();
            piece = j == 0 ? 1 : SIZE_MAX;
            assert_int_equal(begin(NAME, 0, NULL), 0);
            expect_ready();
            assert_string_equal(tls_info(&tls)->suite, suites[i]);
            assert_string_equal(tls_info(&tls)->curve, curves[j]);
            expect_echo("one\n", "eno\n");
            expect_echo("0123456789\n", "9876543210\n");
        }
    }
}

/* Every split size of the handshake's bytes, both ways. */
static void test_pieces(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 5, 7, 64, 100, 1000};

    (void)state;
    trust_only("root-rsa");
    start_server("chained", "-cert_chain inter-rsa.pem -rev");
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        piece = pieces[i];
        connect_server();
        assert_int_equal(begin(NAME, 0, NULL), 0);
        expect_ready();
        expect_echo("abc\n", "cba\n");
        tls_close(&tls);
        assert_int_equal(pump(TLS_CLOSED), TLS_READY | TLS_CLOSED);
        assert_null(tls_failure(&tls));
    }
}

/* The largest records that a server may send, and the largest that we do. */
static void test_large_records(void **state)
{
    enum { SIZE = 70000 };
    static uint8_t bytes[SIZE];
    static uint8_t line[5000];
    uint8_t answer[sizeof line];
    FILE *file = fopen(DIR "/large", "w");

    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < SIZE; i++) {
        fputc((int)(i * 7 % 251), file);
    }
    fclose(file);
    trust_only("root-p256");
    for (int i = 0; i < 2; i++) {
        start_server("p256",
                     i == 0 ? "-HTTP -http_server_binmode -cipher ECDHE-ECDSA-AES128-GCM-SHA256"
                            : "-HTTP -http_server_binmode");
        connect_server();
        assert_int_equal(begin(NAME, 0, NULL), 0);
        expect_ready();
        say("GET /large HTTP/1.0\r\n\r\n", 23);
        assert_int_equal(hear(bytes, SIZE), SIZE);
        for (size_t j = 0; j < SIZE; j++) {
            assert_int_equal(bytes[j], j * 7 % 251);
        }
    }
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    for (size_t i = 0; i < sizeof line - 1; i++) {
        line[i] = (uint8_t)('a' + i % 26);
    }
    line[sizeof line - 1] = '\n';
    say(line, sizeof line);
    assert_true(records_sent > 1360 && records_sent <= TLS_OUT_BYTES);
    assert_int_equal(hear(answer, sizeof answer), sizeof answer);
    for (size_t i = 0; i < sizeof line - 1; i++) {
        assert_int_equal(answer[i], line[sizeof line - 2 - i]);
    }
}

/* The chain is verified by anchors that lie in the record buffer, while records as large as they
 * come go through it; then it is all the record's. */
static void test_anchors_in_the_record_buffer(void **state)
{
    static uint8_t bytes[20000];

    (void)state;
    make_file("cd " DIR " && for i in 1 2 3 4 5 6 7 8 9; do cat root-4096.pem; done > large.chain");
    make_file("cd " DIR " && head -c 20000 /dev/zero > zero");
    start_server("chained", "-cert_chain inter-rsa.pem -HTTP");
    for (int i = 0; i < 2; i++) {
        anchors = tls_anchors_room(&tls);
        trust_only("root-p256 root-4096 root-other root-rsa");
        connect_server();
        assert_int_equal(begin(NAME, 0, NULL), 0);
        expect_ready();
        say("GET /zero HTTP/1.0\r\n\r\n", 22);
        memset(bytes, 1, sizeof bytes);
        assert_int_equal(hear(bytes, sizeof bytes), sizeof bytes);
        for (size_t j = 0; j < sizeof bytes; j++) {
            assert_int_equal(bytes[j], 0);
        }
        start_server("p256", "-cert_chain large.chain -HTTP");
    }
}

static void test_one_turn_is_one_record(void **state)
{
    size_t size;
    uint8_t *out;

    (void)state;
    trust_only("root-p256");
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    assert_null(tls_app_tx_buf(&tls, &size)); /* Nothing before the peer is verified. */
    expect_ready();
    out = tls_app_tx_buf(&tls, &size);
    assert_non_null(out);
    assert_true(size >= 1024);
    memset(out, 'x', 1024);
    tls_app_tx_ack(&tls, 1000);
    tls_app_tx_ack(&tls, 24);
    assert_int_equal(tls_want(&tls) & TLS_WANT_NET_TX, 0); /* Not before the flush. */
    tls_flush(&tls);
    assert_int_equal(tls_want(&tls) & TLS_WANT_NET_TX, TLS_WANT_NET_TX);
    tls_net_tx_buf(&tls, &size);
    assert_int_equal(size, 5 + 1024 + 16);
    tls_flush(&tls); /* Does no harm. */
    tls_net_tx_buf(&tls, &size);
    assert_int_equal(size, 5 + 1024 + 16);
}

/* Starts a server and makes a session with it. */
static void start_resumable(struct tls_resume *resume)
{
    memset(resume, 0, sizeof *resume);
    trust_only("root-p256");
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, resume), 0);
    expect_ready();
    assert_false(tls_info(&tls)->resumed);
    assert_true(resume->valid);
    expect_echo("abc\n", "cba\n");
    leave();
}

static void test_resumption(void **state)
{
    static struct tls_resume resume;

    (void)state;
    start_resumable(&resume);
    for (size_t i = 0; i < 3; i++) {
        piece = i == 2 ? 1 : SIZE_MAX;
        connect_server();
        assert_int_equal(begin("Mail.Example.com.", (int64_t)i, &resume), 0);
        expect_ready();
        assert_true(tls_info(&tls)->resumed);
        assert_int_equal(tls_info(&tls)->chain_count, 0);
        assert_string_equal(tls_info(&tls)->curve, "");
        assert_string_equal(tls_info(&tls)->suite, "ECDHE-ECDSA-CHACHA20-POLY1305");
        expect_echo("abc\n", "cba\n");
        leave();
    }
}

/* A session is kept for one name, one set of anchors and a day. */
static void test_resumption_refused(void **state)
{
    static struct tls_resume resume;
    static const struct tls_resume none;
    struct tls_resume kept;

    (void)state;
    start_resumable(&resume);
    kept = resume;

    /* A day later, or earlier than it was made, or under other anchors: anew. */
    connect_server();
    assert_int_equal(begin(NAME, 2 * DAY, &resume), 0);
    expect_ready();
    assert_false(tls_info(&tls)->resumed);
    resume = kept;
    connect_server();
    assert_int_equal(begin(NAME, -1800, &resume), 0);
    assert_false(tls_info(&tls)->resumed);
    resume = kept;
    trust_only("root-p256 root-rsa");
    connect_server();
    assert_int_equal(begin(NAME, 0, &resume), 0);
    expect_ready();
    assert_false(tls_info(&tls)->resumed);

    /* Under anchors that do not know it: refused, although the server would resume. */
    resume = kept;
    trust_only("root-rsa");
    connect_server();
    assert_int_equal(begin(NAME, 0, &resume), 0);
    expect_failure(E_SECURITY, "unknown authority");
    assert_false(resume.valid);

    /* Another name: refused as well. */
    resume = kept;
    trust_only("root-p256");
    connect_server();
    assert_int_equal(begin("smtp.example.com", 0, &resume), 0);
    expect_failure(E_SECURITY, "not for smtp.example.com");

    /* A server that knows the session no more: a full handshake. */
    resume = kept;
    stop_server();
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, &resume), 0);
    expect_ready();
    assert_false(tls_info(&tls)->resumed);
    assert_int_equal(tls_info(&tls)->chain_count, 1);
    assert_true(resume.valid);

    tls_resume_clear(&resume);
    assert_memory_equal(&resume, &none, sizeof resume);
    connect_server();
    assert_int_equal(begin(NAME, 0, &resume), 0);
    expect_ready();
    assert_false(tls_info(&tls)->resumed);

    /* Servers without a cache of sessions. */
    start_server("p256", "-rev -no_cache");
    for (int i = 0; i < 2; i++) {
        connect_server();
        assert_int_equal(begin(NAME, 0, &resume), 0);
        expect_ready();
        assert_false(tls_info(&tls)->resumed);
        expect_echo("abc\n", "cba\n");
    }
}

static void test_close(void **state)
{
    uint8_t answer[4];

    (void)state;
    trust_only("root-p256");
    /* Ours first, with bytes that nobody read in the way. */
    start_server("p256", "-rev");
    for (int i = 0; i < 2; i++) {
        connect_server();
        assert_int_equal(begin(NAME, 0, NULL), 0);
        expect_ready();
        say("abc\n", 4);
        pump(TLS_WANT_APP_RX);
        tls_close(&tls);
        tls_close(&tls);
        assert_int_equal(pump(TLS_CLOSED), TLS_READY | TLS_CLOSED);
        assert_null(tls_failure(&tls));
    }
    /* The server's first: it leaves at the word CLOSE. */
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    say("CLOSE\n", 6);
    assert_int_equal(hear(answer, sizeof answer), 0);
    assert_int_equal(tls_want(&tls), TLS_READY | TLS_CLOSED);
    assert_null(tls_failure(&tls));
    tls_eof(&tls);
    assert_null(tls_failure(&tls));
}

static void test_cut_off(void **state)
{
    uint8_t answer[4];
    size_t size;

    (void)state;
    trust_only("root-p256");
    /* After the handshake: what came is readable, then it is told. */
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    say("abc\n", 4);
    assert_true((pump(TLS_WANT_APP_RX) & TLS_WANT_APP_RX) != 0);
    stop_server();
    tls_eof(&tls);
    assert_non_null(tls_failure(&tls));
    assert_int_equal(tls_failure(&tls)->error, E_TRANSIENT);
    assert_non_null(strstr(tls_failure(&tls)->text, "close_notify"));
    assert_int_equal(tls_want(&tls), TLS_READY | TLS_WANT_APP_RX);
    assert_null(tls_app_tx_buf(&tls, &size));
    assert_int_equal(hear(answer, sizeof answer), 4);
    assert_memory_equal(answer, "cba\n", 4);
    assert_int_equal(tls_want(&tls), TLS_READY | TLS_CLOSED);

    /* At the handshake, before and after the hello. */
    start_server("p256", "");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    tls_eof(&tls);
    expect_failure(E_TRANSIENT, "in the TLS handshake");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    piece = 1;
    for (int i = 0; i < 300; i++) {
        pump_once();
    }
    tls_eof(&tls);
    expect_failure(E_TRANSIENT, "in the TLS handshake");

    /* While we wait for the answer to our close_notify: nothing is missing. */
    piece = SIZE_MAX;
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    tls_close(&tls);
    tls_eof(&tls);
    assert_int_equal(tls_want(&tls), TLS_READY | TLS_CLOSED);
    assert_null(tls_failure(&tls));
}

/* A server that asks for another handshake is told no; nothing is negotiated again. */
static void test_renegotiation(void **state)
{
    uint8_t answer[8];

    (void)state;
    trust_only("root-p256");
    start_server("p256", "");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    assert_int_equal(write(server.in, "r\n", 2), 2);
    hear(answer, sizeof answer);
    assert_true((tls_want(&tls) & TLS_CLOSED) != 0);
    assert_int_equal(tls_info(&tls)->chain_count, 1);
}

static void test_versions(void **state)
{
    (void)state;
    trust_only("root-p256");
    start_server("p256", "-tls1_1 -cipher ALL@SECLEVEL=0");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "40 handshake_failure: no version");
    start_server("p256", "-tls1_3");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "70 protocol_version");
    assert_non_null(strstr(tls_advice(tls_failure(&tls)), "Allow TLS 1.2"));
    start_server("p256", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "40 handshake_failure");
    start_server("ed25519", "");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "40 handshake_failure");
    /* One that wants a certificate of ours and can do without, and one that cannot. */
    start_server("p256", "-rev -verify 1");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    expect_echo("abc\n", "cba\n");
    start_server("p256", "-Verify 1");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_failure(E_SECURITY, "40 handshake_failure");
}

/* Feeds bytes as if a server had sent them in answer to the hello. */
static void feed(const void *text, size_t size)
{
    const uint8_t *bytes = text;
    size_t room;

    while ((tls_want(&tls) & TLS_WANT_NET_TX) != 0 && tls_net_tx_buf(&tls, &room) != NULL) {
        tls_net_tx_ack(&tls, room);
    }
    while (size > 0) {
        uint8_t *in = tls_net_rx_buf(&tls, &room);

        if (in == NULL) {
            return;
        }
        room = room < size ? room : size;
        memcpy(in, bytes, room);
        tls_net_rx_ack(&tls, room);
        bytes += room;
        size -= room;
    }
}

static const struct tls_failure *answer_with(const void *bytes, size_t size)
{
    assert_int_equal(begin(NAME, 0, NULL), 0);
    feed(bytes, size);
    feed(NULL, 0);
    assert_int_equal(tls_want(&tls), TLS_CLOSED);
    return tls_failure(&tls);
}

static void test_odd_answers(void **state)
{
    const struct tls_failure *failure;

    (void)state;
    trust_only("root-p256");
    failure = answer_with("220 mail.example.com ESMTP\r\n", 28);
    assert_int_equal(failure->error, E_SECURITY);
    assert_non_null(strstr(failure->text, "does not speak TLS here, it said \"220 m\""));
    failure = answer_with("\x15\x03\x01\x00\x02\x02\x46", 7);
    assert_non_null(strstr(failure->text, "alert 70 protocol_version"));
    failure = answer_with("\x15\x03\x03\x00\x02\x02\x50", 7);
    assert_int_equal(failure->error, E_TRANSIENT);
    failure = answer_with("\x15\x03\x03\x00\x02\x02\x70", 7);
    assert_int_equal(failure->error, E_CONFIG);
    failure = answer_with("\x15\x03\x03\x00\x02\x02\xEE", 7);
    assert_int_equal(failure->error, E_SECURITY);
    assert_non_null(strstr(failure->text, "alert 238"));
    failure = answer_with("\x15\x03\x03\x00\x02\x01\x00", 7); /* close_notify */
    assert_int_equal(failure->error, E_TRANSIENT);
    failure = answer_with("\x17\x03\x03\x00\x04"
                          "220 ",
                          9); /* Application data in the clear. */
    assert_int_equal(failure->error, E_SECURITY);
    failure = answer_with("\x16\x03\x03\x40\x01\x02", 6); /* A record above 2^14. */
    assert_int_equal(failure->error, E_SECURITY);
    /* An empty chain: ServerHello, then a Certificate message without any. */
    failure = answer_with("\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03"
                          "01234567890123456789012345678901\x00\xc0\x2b\x00"
                          "\x16\x03\x03\x00\x07\x0b\x00\x00\x03\x00\x00\x00",
                          59);
    assert_int_equal(failure->error, E_SECURITY);
    /* TLS 1.1 all the same. */
    failure = answer_with("\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02"
                          "01234567890123456789012345678901\x00\xc0\x13\x00",
                          47);
    assert_int_equal(failure->error, E_SECURITY);
    assert_non_null(strstr(failure->text, "at most TLS 1.1"));
    /* A suite that was not offered: TLS_RSA_WITH_AES_128_GCM_SHA256. */
    failure = answer_with("\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03"
                          "01234567890123456789012345678901\x00\x00\x9c\x00",
                          47);
    assert_int_equal(failure->error, E_SECURITY);
    assert_non_null(strstr(failure->text, "not offered"));
}

/* Pumps a handshake with one bit flipped in the server's byte number `at`; returns how many came.
 */
static size_t tampered_handshake(size_t at)
{
    uint64_t end_ms = now_ms() + WAIT_MS;
    size_t seen = 0;

    while ((tls_want(&tls) & (TLS_READY | TLS_CLOSED)) == 0 && now_ms() < end_ms) {
        struct pollfd poller = {.fd = sock, .events = POLLIN};
        size_t size;
        const uint8_t *out;
        uint8_t *in;
        ssize_t got;

        while ((out = tls_net_tx_buf(&tls, &size)) != NULL && size > 0) {
            ssize_t sent = send(sock, out, size, MSG_NOSIGNAL);

            if (sent <= 0) {
                break;
            }
            tls_net_tx_ack(&tls, (size_t)sent);
        }
        in = tls_net_rx_buf(&tls, &size);
        if (in == NULL) {
            continue;
        }
        /* With a length made longer the server waits as we do. */
        got = poll(&poller, 1, seen > at ? 100 : 2000) > 0 ? recv(sock, in, size, 0) : 0;
        if (got <= 0) {
            tls_eof(&tls);
            continue;
        }
        if (at >= seen && at < seen + (size_t)got) {
            in[at - seen] ^= 0x10;
        }
        seen += (size_t)got;
        tls_net_rx_ack(&tls, (size_t)got);
    }
    return seen;
}

/* Whatever bit of the handshake is flipped: never ready, and an error. */
static void test_tampering(void **state)
{
    bool done = false;

    (void)state;
    trust_only("root-p256");
    start_server("p256", "-rev");
    for (size_t at = 0; !done; at += 17) {
        assert_true(at < 4000);
        connect_server();
        assert_int_equal(begin(NAME, 0, NULL), 0);
        done = tampered_handshake(at) <= at;
        assert_int_equal((tls_want(&tls) & TLS_READY) != 0, done);
        assert_int_equal(tls_failure(&tls) == NULL, done);
    }
    /* A record of the application. */
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    feed("\x17\x03\x03\x00\x20"
         "0123456789abcdef0123456789abcdef",
         37);
    assert_int_equal(tls_failure(&tls)->error, E_SECURITY);
    assert_non_null(strstr(tls_failure(&tls)->text, "changed on its way"));
    assert_int_equal(tls_want(&tls), TLS_READY | TLS_CLOSED);
}

/* What the hello says: TLS 1.2 only, six suites, SNI for names only, no limit of fragments. */
static void test_hello(void **state)
{
    static const uint8_t offered[] = {0,    12,   0xCC, 0xA9, 0xCC, 0xA8, 0xC0, 0x2B,
                                      0xC0, 0x2F, 0xC0, 0x2C, 0xC0, 0x30, 1,    0};
    char longest[260];
    const uint8_t *hello;
    size_t size;

    (void)state;
    trust_only("root-p256");
    assert_int_equal(begin("Mail.Example.com.", 0, NULL), 0);
    hello = tls_net_tx_buf(&tls, &size);
    assert_memory_equal(hello, "\x16\x03\x03", 3);
    assert_memory_equal(hello + 9, "\x03\x03", 2);
    assert_int_equal(hello[43], 0); /* No session. */
    assert_memory_equal(hello + 44, offered, sizeof offered);
    assert_non_null(memmem(hello, size, "\x00\x10mail.example.com\x00", 19));
    assert_non_null(memmem(hello, size, "\xff\x01\x00\x01\x00", 5));
    assert_null(memmem(hello, size, "\x00\x01\x00\x01", 4)); /* max_fragment_length */
    assert_non_null(
        memmem(hello, size, "\x00\x0a\x00\x0a\x00\x08\x00\x1d\x00\x17\x00\x18\x00\x19", 14));
    /* SHA-256, 384 and 512, each with ECDSA, then RSA. */
    assert_non_null(
        memmem(hello, size,
               "\x00\x0d\x00\x0e\x00\x0c\x04\x03\x05\x03\x06\x03\x04\x01\x05\x01\x06\x01", 18));

    assert_int_equal(begin("127.0.0.1", 0, NULL), 0);
    hello = tls_net_tx_buf(&tls, &size);
    assert_null(memmem(hello, size, "127.0.0.1", 9));

    /* The longest name fits into one record. */
    memset(longest, 'a', sizeof longest);
    for (size_t i = 63; i < 253; i += 64) {
        longest[i] = '.';
    }
    longest[253] = '\0';
    assert_int_equal(begin(longest, 0, NULL), 0);
    hello = tls_net_tx_buf(&tls, &size);
    assert_int_equal(size, 5u + (size_t)hello[3] * 256 + hello[4]);
    assert_non_null(memmem(hello, size, longest, 253));
    longest[253] = 'a';
    longest[254] = '\0';
    assert_int_equal(begin(longest, 0, NULL), E_INVALID);
}

static void expect_refusal(const char *name, int error, const char *text)
{
    assert_int_equal(begin(name, 0, NULL), error);
    expect_failure(error, text);
}

static void test_refusals(void **state)
{
    static const char *const names[] = {
        "",    ".",   "a..b",   ".a", "a b", "*.example.com", "a\n.b", "mail.\xC3\xA4.de",
        "::1", "a/b", "0.0.0.0"};
    struct random unseeded;
    struct tls_params params = {
        .server_name = NAME, .anchors = anchors, .random = &unseeded, .unix_s = 1};

    (void)state;
    trust_only("root-p256");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_refusal(names[i], E_INVALID, "no host name or IPv4 address");
    }
    random_init(&unseeded);
    assert_int_equal(tls_init(&tls, &params), E_MISSING);
    expect_failure(E_MISSING, "no seed");
    assert_non_null(strstr(tls_advice(tls_failure(&tls)), "make config"));
    params.random = &rng;
    params.unix_s = 0;
    assert_int_equal(tls_init(&tls, &params), E_TRANSIENT);
    expect_failure(E_TRANSIENT, "time is not known");
    tls_anchors_init(anchors);
    expect_refusal(NAME, E_CONFIG, "no CA certificate");
    tls_close(&tls);
    tls_eof(&tls);
    tls_flush(&tls);
    expect_failure(E_CONFIG, "no CA certificate");
}

static void test_wipe(void **state)
{
    const uint8_t *bytes = (const uint8_t *)&tls;
    br_ssl_session_parameters session;
    size_t size;

    (void)state;
    trust_only("root-p256");
    start_server("p256", "-rev");
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
    br_ssl_engine_get_session_parameters(&tls.client.eng, &session);
    assert_non_null(memmem(bytes, sizeof tls, session.master_secret, sizeof session.master_secret));
    tls_wipe(&tls);
    assert_null(memmem(bytes, sizeof tls, session.master_secret, sizeof session.master_secret));
    assert_int_equal(tls_want(&tls), TLS_CLOSED);
    assert_null(tls_failure(&tls));
    assert_null(tls_net_tx_buf(&tls, &size));
    assert_null(tls_net_rx_buf(&tls, &size));
    assert_null(tls_app_rx_buf(&tls, &size));
    tls_close(&tls);
    tls_eof(&tls);
    connect_server();
    assert_int_equal(begin(NAME, 0, NULL), 0);
    expect_ready();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_hello, teardown),
        cmocka_unit_test_teardown(test_refusals, teardown),
        cmocka_unit_test_teardown(test_good_chains, teardown),
        cmocka_unit_test_teardown(test_chain_names, teardown),
        cmocka_unit_test_teardown(test_bad_chains, teardown),
        cmocka_unit_test_teardown(test_alert_is_sent, teardown),
        cmocka_unit_test_teardown(test_suites_and_curves, teardown),
        cmocka_unit_test_teardown(test_pieces, teardown),
        cmocka_unit_test_teardown(test_large_records, teardown),
        cmocka_unit_test_teardown(test_anchors_in_the_record_buffer, teardown),
        cmocka_unit_test_teardown(test_one_turn_is_one_record, teardown),
        cmocka_unit_test_teardown(test_resumption, teardown),
        cmocka_unit_test_teardown(test_resumption_refused, teardown),
        cmocka_unit_test_teardown(test_close, teardown),
        cmocka_unit_test_teardown(test_cut_off, teardown),
        cmocka_unit_test_teardown(test_renegotiation, teardown),
        cmocka_unit_test_teardown(test_versions, teardown),
        cmocka_unit_test_teardown(test_odd_answers, teardown),
        cmocka_unit_test_teardown(test_tampering, teardown),
        cmocka_unit_test_teardown(test_wipe, teardown),
    };

    return cmocka_run_group_tests(tests, setup_all, NULL);
}
