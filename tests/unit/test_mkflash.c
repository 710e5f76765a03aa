/* mkflash as a person runs it: what it takes, what it says, and what it leaves in the image. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_BYTES 65536

/* Made for this test; its key was thrown away. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBiTCCAS+gAwIBAgIUVTL1mz7HFVY+PM9WindXIuUHPpEwCgYIKoZIzj0EAwIw\n"
    "GTEXMBUGA1UEAwwOVG9jc2luIHRlc3QgQ0EwIBcNMjYxMTIxMjMyMTI2WhgPMjEy\n"
    "NjEwMjgyMzIxMjZaMBkxFzAVBgNVBAMMDlRvY3NpbiB0ZXN0IENBMFkwEwYHKoZI\n"
    "zj0CAQYIKoZIzj0DAQcDQgAEYJya0wfUBEsQYHKXF5Bxa4zpAQJVVwmQYOUWd615\n"
    "gx/X8c3Br0HJMrg9xrZjNaO1/K++3ZVSbeyOX6dNdW5T6qNTMFEwHQYDVR0OBBYE\n"
    "FL/Rnzn6bi0lt4m6yrVUYfJgNTLnMB8GA1UdIwQYMBaAFL/Rnzn6bi0lt4m6yrVU\n"
    "YfJgNTLnMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgQ+Q5NQQH\n"
    "vnnw/BhJw3mu0xweB0/yjCCa7pV7n6L9/xQCIQC5rTSdRZuK6q2KDJheWYNlWgyz\n"
    "TvSfxnzZeuG9t/8/kA==\n"
    "-----END CERTIFICATE-----\n";

static char folder[] = "mkflash-test.XXXXXX"; /* Under the build folder. */
static char output[OUTPUT_BYTES];

static void path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
}

static void put_bytes(const char *name, const char *bytes, size_t size)
{
    char path[256];
    FILE *file;

    path_of(name, path);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

/* Runs mkflash of a board in the folder; what it printed is in output. Returns its status. */
static int run(const char *board, const char *arguments)
{
    char command[1024];
    FILE *pipe;
    int status;

    snprintf(command, sizeof command, "cd %s && ../mkflash-%s %s 2>&1", folder, board, arguments);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const char *words)
{
    if (strstr(output, words) == NULL) {
        fail_msg("expected '%s' in:\n%s", words, output);
    }
}

static void assert_runs(const char *board, const char *arguments, int status)
{
    int got = run(board, arguments);

    if (got != status) {
        fail_msg("mkflash-%s %s: status %d, not %d:\n%s", board, arguments, got, status, output);
    }
}

/* The image, whole; NULL: there is none. */
static uint8_t *image(const char *name, size_t *size)
{
    char path[256];
    struct stat status;
    uint8_t *bytes;
    FILE *file;

    path_of(name, path);
    file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    assert_int_equal(fstat(fileno(file), &status), 0);
    *size = (size_t)status.st_size;
    bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static bool image_holds(const char *name, const char *text)
{
    size_t size;
    uint8_t *bytes = image(name, &size);
    bool found;

    assert_non_null(bytes);
    found = memmem(bytes, size, text, strlen(text)) != NULL;
    free(bytes);
    return found;
}

static const char ssmtp[] = "root=admin@example.com\n"
                            "mailhub=mail.example.com:465\n"
                            "rewriteDomain=example.com\n"
                            "hostname=router1\n"
                            "AuthUser=router1\n"
                            "AuthPass=hunter2\n"
                            "UseTLS=YES\n"
                            "UseSTARTTLS=NO\n"
                            "FromLineOverride=YES\n"
                            "TLS_CA_File=ca.pem\n";

static int make_folder(void **state)
{
    char text[4096];

    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    put("ca.pem", certificate);
    put("ssmtp.conf", ssmtp);
    snprintf(text, sizeof text, "%s", ssmtp);
    memcpy(strstr(text, "router1"), "router2", 7);
    put("other.conf", text);
    return 0;
}

static int remove_folder(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void test_create_and_update(void **state)
{
    static const struct {
        const char *board;
        size_t bytes;
    } boards[] = {{"emcraft-sf2", 16u << 20}, {"vexpress-a9", 64u << 20}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *board = boards[i].board;
        char path[256];
        char seed[200];
        struct stat status;

        assert_runs(board, "ssmtp.conf flash.img", 0);
        assert_says("created");
        assert_says("mail from router1@example.com to admin@example.com through "
                    "mail.example.com:465, TLS on connect");
        path_of("flash.img", path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, boards[i].bytes);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_true(image_holds("flash.img", "AuthPass=hunter2\n"));
        assert_true(image_holds("flash.img", certificate));

        assert_runs(board, "--show flash.img", 0);
        assert_says("# slot 0: whole, sequence 1");
        assert_says("# slot 1: empty");
        assert_says("hostname = router1\n");
        assert_says("# 1 CA certificate\n");
        assert_null(strstr(output, "hunter2"));
        assert_non_null(strstr(output, "# seed: yes, boot count 0, device "));
        snprintf(seed, sizeof seed, "%.*s", (int)strcspn(strstr(output, "# seed"), "\n"),
                 strstr(output, "# seed"));

        assert_runs(board, "other.conf flash.img", 0);
        assert_says("updated");
        assert_runs(board, "--show flash.img", 0);
        assert_says("# slot 0: whole, sequence 1");
        assert_says("# slot 1: whole, sequence 2");
        assert_says("hostname = router2\n");
        assert_says(seed); /* The same device goes on. */
        assert_int_equal(unlink(path), 0);
    }
}

/* Two images never share a seed. */
static void test_seeds_differ(void **state)
{
    char device[2][100];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_runs("emcraft-sf2", i == 0 ? "ssmtp.conf a.img" : "ssmtp.conf b.img", 0);
        assert_runs("emcraft-sf2", i == 0 ? "--show a.img" : "--show b.img", 0);
        assert_says("device ");
        snprintf(device[i], sizeof device[i], "%.16s", strstr(output, "device ") + 7);
    }
    assert_string_not_equal(device[0], device[1]);
    assert_runs("emcraft-sf2", "--seedless ssmtp.conf a.img", 0);
    assert_runs("emcraft-sf2", "--show a.img", 0);
    assert_says("# seed: no seed");
    assert_says("hostname = router1\n");
    assert_runs("emcraft-sf2", "ssmtp.conf a.img", 0);
    assert_runs("emcraft-sf2", "--show a.img", 0);
    assert_says("# seed: yes");
}

static void test_errors(void **state)
{
    size_t size, size_after;
    uint8_t *before, *after;

    (void)state;
    put("bad.conf", "root=admin\nmailhup=x\n\nsyslog_port = 70000\nTLS_CA_File = nothere.pem\n");
    assert_runs("emcraft-sf2", "bad.conf new.img", 1);
    assert_says("bad.conf:1: root: expected an address with its domain");
    assert_says("bad.conf:2: mailhup: no such key; did you mean 'mailhub'?");
    assert_says("bad.conf:4: syslog_port: expected a port number from 0 to 65535, or off, not '70000'");
    assert_says("bad.conf:5: TLS_CA_File: cannot read ./nothere.pem");
    assert_says("bad.conf: mailhub: missing");
    assert_says("5 errors; nothing was written");
    assert_null(image("new.img", &size));

    assert_runs("emcraft-sf2", "ssmtp.conf flash.img", 0);
    before = image("flash.img", &size);
    assert_runs("emcraft-sf2", "bad.conf flash.img", 1);
    after = image("flash.img", &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);

    assert_runs("emcraft-sf2", "nothere.conf new.img", 1);
    assert_says("nothere.conf: cannot read it");
    assert_runs("emcraft-sf2", "ssmtp.conf nothere/new.img", 1);
    put("short.img", "not a flash");
    assert_runs("emcraft-sf2", "ssmtp.conf short.img", 1);
    assert_says("expected 16777216");
    assert_runs("emcraft-sf2", "--show nothere.img", 1);
    assert_runs("emcraft-sf2", "", 2);
    assert_says("usage: mkflash-emcraft-sf2");
    assert_runs("emcraft-sf2", "ssmtp.conf", 2);
    assert_runs("emcraft-sf2", "--what ssmtp.conf flash.img", 2);
    assert_runs("emcraft-sf2", "--help", 0);
}

static void test_check(void **state)
{
    char path[256];

    (void)state;
    assert_runs("vexpress-a9", "--check ssmtp.conf", 0);
    assert_says("auth_pass = ********\n");
    assert_says("ssmtp.conf:9: note: FromLineOverride: No effect");
    assert_null(strstr(output, "hunter2"));
    assert_null(strstr(output, "warning"));
    path_of("ssmtp.conf", path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_runs("vexpress-a9", "--check ssmtp.conf", 0);
    assert_says("warning: everybody here can read the password");
    assert_int_equal(chmod(path, 0600), 0);
}

/* The same file as other systems write it. */
static void test_text_forms(void **state)
{
    char text[1000];

    (void)state;
    snprintf(text, sizeof text, "\xEF\xBB\xBF%s", ssmtp);
    put("bom.conf", text);
    assert_runs("emcraft-sf2", "bom.conf bom.img", 0);
    assert_true(image_holds("bom.img", "root=admin@example.com\n"));
    assert_false(image_holds("bom.img", "\xEF\xBB\xBF"));
    assert_runs("emcraft-sf2", "--show bom.img", 0);
    assert_says("root = admin@example.com\n");
    put_bytes("wide.conf", "\xFF\xFEr\0o\0o\0t\0", 10);
    assert_runs("emcraft-sf2", "--check wide.conf", 1);
    assert_says("wide.conf:1: the text is UTF-16: save it as UTF-8");
    put_bytes("wide.conf", "\xFE\xFF\0r\0o\0o\0t", 10);
    assert_runs("emcraft-sf2", "--check wide.conf", 1);
    assert_says("wide.conf:1: the text is UTF-16: save it as UTF-8");
}

/* BASE with a CA file of this content: 0, or the error that it draws. */
static void assert_ca(const char *content, const char *words)
{
    put("try.pem", content);
    put("try.conf", "root=a@b.test\nmailhub=m.test\nTLS_CA_File = try.pem\n");
    assert_runs("emcraft-sf2", "--check try.conf", words == NULL ? 0 : 1);
    if (words != NULL) {
        assert_says("try.conf:3: TLS_CA_File: ./try.pem");
        assert_says(words);
        assert_says("1 error; nothing was written");
    }
}

static void test_ca_files(void **state)
{
    char text[32768];
    size_t length = 0;

    (void)state;
    assert_ca(certificate, NULL);
    snprintf(text, sizeof text, "Certificate:\n    Issuer: CN = x\n    key = -----\n%s\nmore\n%s",
             certificate, certificate);
    assert_ca(text, NULL);
    assert_says("# 2 CA certificates\n");
    for (const char *c = certificate; *c != '\0'; c++) { /* CRLF, and a blank at each end. */
        length +=
            (size_t)snprintf(text + length, sizeof text - length, *c == '\n' ? " \r\n" : "%c", *c);
    }
    assert_ca(text, NULL);
    length = 0;
    for (const char *c = certificate; *c != '\0'; c++) { /* All base64 in one line. */
        if (*c != '\n' || c[-1] == '-' || c[1] == '-') {
            text[length++] = *c;
        }
    }
    text[length] = '\0';
    assert_ca(text, NULL);

    assert_ca("", "no -----BEGIN CERTIFICATE-----");
    assert_ca("\x30\x82\x01\x01", "openssl x509 -inform DER");
    assert_ca("-----BEGIN CERTIFICATE-----\nMIIB\n",
              "line 1: the certificate that begins here has no END");
    assert_ca("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
              "line 3: a certificate is cut");
    snprintf(text, sizeof text, "%s-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
             certificate);
    assert_ca(text, "line 12: a private key");
    snprintf(text, sizeof text,
             "-----BEGIN DH PARAMETERS-----\nMIIB\n-----END DH PARAMETERS-----\n%s", certificate);
    assert_ca(text, NULL);
    for (length = 0; length < 9 * strlen(certificate);) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s", certificate);
    }
    assert_ca(text, "more certificates than the device has room for");

    put("two.conf", "TLS_CA_File=ca.pem\nroot=a@b.test\nmailhub=m.test\nTLS_CA_File=ca.pem");
    assert_runs("emcraft-sf2", "two.conf two.img", 0);
    assert_says("2 CA certificates");
    assert_true(image_holds(
        "two.img", "# TLS_CA_File = ca.pem (its certificates stand at the end)\n-----BEGIN"));
    snprintf(text, sizeof text, "root=a@b.test\n%smailhub=m.test\n", certificate);
    put("own.conf", text);
    assert_runs("emcraft-sf2", "--check own.conf", 0);
    put("own.conf", "root=a@b.test\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END "
                    "CERTIFICATE-----\nmailhub=m.test\n");
    assert_runs("emcraft-sf2", "--check own.conf", 1);
    assert_says("own.conf:2: a certificate is cut short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_and_update),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_text_forms),
        cmocka_unit_test(test_ca_files),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
