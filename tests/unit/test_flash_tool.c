/* The flash tool as a person runs it: what it takes, what it says, and what it leaves in the image.
 */
#define _GNU_SOURCE /* memmem, F_OFD_SETLK */
#include "boards/emcraft-sf2/geometry.h"
#include "firmware/flash_io.h"
#include "firmware/queue.h"

#include <fcntl.h>
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

static char folder[] = "flash-tool-test.XXXXXX"; /* Under the build folder. */
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

/* Runs the flash tool of a board in the folder; what it printed is in output. Returns its status.
 */
static int run(const char *board, const char *arguments)
{
    char command[1024];
    FILE *pipe;
    int status;

    snprintf(command, sizeof command, "cd %s && ../tocsin-flash-%s %s 2>&1", folder, board,
             arguments);
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
        fail_msg("tocsin-flash-%s %s: status %d, not %d:\n%s", board, arguments, got, status,
                 output);
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

        assert_runs(board, "create ssmtp.conf flash.img", 0);
        assert_says("created");
        assert_says("mail from router1@example.com to admin@example.com through "
                    "mail.example.com:465, TLS on connect");
        path_of("flash.img", path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, boards[i].bytes);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_true(image_holds("flash.img", "AuthPass=hunter2\n"));
        assert_true(image_holds("flash.img", certificate));

        assert_runs(board, "list flash.img", 0);
        assert_says("slot 0: whole, in force, number 1");
        assert_says("slot 1: empty");
        assert_says("hostname = router1\n");
        assert_says("# 1 CA certificate\n");
        assert_null(strstr(output, "hunter2"));
        assert_says("seed: yes, boot count 0, device ");
        snprintf(seed, sizeof seed, "%.*s", (int)strcspn(strstr(output, "\nseed"), "d") + 200,
                 strstr(output, "\nseed"));
        seed[strcspn(seed + 1, "\n") + 1] = '\0';

        assert_runs(board, "create other.conf flash.img", 0);
        assert_says("updated");
        assert_runs(board, "list flash.img", 0);
        assert_says("slot 0: whole, number 1");
        assert_says("slot 1: whole, in force, number 2");
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
        assert_runs("emcraft-sf2", i == 0 ? "create ssmtp.conf a.img" : "create ssmtp.conf b.img",
                    0);
        assert_runs("emcraft-sf2", i == 0 ? "list a.img" : "list b.img", 0);
        assert_says("device ");
        snprintf(device[i], sizeof device[i], "%.16s", strstr(output, "device ") + 7);
    }
    assert_string_not_equal(device[0], device[1]);
    assert_runs("emcraft-sf2", "create --seedless ssmtp.conf a.img", 0);
    assert_runs("emcraft-sf2", "list a.img", 0);
    assert_says("seed: none: no seed");
    assert_says("hostname = router1\n");
    assert_runs("emcraft-sf2", "create ssmtp.conf a.img", 0);
    assert_runs("emcraft-sf2", "list a.img", 0);
    assert_says("seed: yes");
}

static void test_errors(void **state)
{
    size_t size, size_after;
    uint8_t *before, *after;

    (void)state;
    put("bad.conf", "root=admin\nmailhup=x\n\nsyslog_port = 70000\nTLS_CA_File = nothere.pem\n");
    assert_runs("emcraft-sf2", "create bad.conf new.img", 1);
    assert_says("bad.conf:1: root: expected an address with its domain");
    assert_says("bad.conf:2: mailhup: no such key; did you mean 'mailhub'?");
    assert_says(
        "bad.conf:4: syslog_port: expected a port number from 0 to 65535, or off, not '70000'");
    assert_says("bad.conf:5: TLS_CA_File: cannot read ./nothere.pem");
    assert_says("bad.conf: mailhub: missing");
    assert_says("5 errors; nothing was written");
    assert_null(image("new.img", &size));

    assert_runs("emcraft-sf2", "create ssmtp.conf flash.img", 0);
    before = image("flash.img", &size);
    assert_runs("emcraft-sf2", "create bad.conf flash.img", 1);
    after = image("flash.img", &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);

    assert_runs("emcraft-sf2", "create nothere.conf new.img", 1);
    assert_says("nothere.conf: cannot read it");
    assert_runs("emcraft-sf2", "create ssmtp.conf nothere/new.img", 1);
    put("short.img", "not a flash");
    assert_runs("emcraft-sf2", "create ssmtp.conf short.img", 1);
    assert_says("expected 16777216");
    assert_runs("emcraft-sf2", "list nothere.img", 1);
    assert_runs("emcraft-sf2", "", 2);
    assert_says("usage: tocsin-flash-emcraft-sf2");
    assert_runs("emcraft-sf2", "ssmtp.conf flash.img", 2);
    assert_runs("emcraft-sf2", "create ssmtp.conf", 2);
    assert_runs("emcraft-sf2", "create --what ssmtp.conf flash.img", 2);
    assert_runs("emcraft-sf2", "lsit flash.img", 2);
    assert_runs("emcraft-sf2", "list", 2);
    assert_runs("emcraft-sf2", "--help", 0);
    assert_says("verify IMAGE");
}

static void test_check(void **state)
{
    char path[256];

    (void)state;
    assert_runs("vexpress-a9", "check ssmtp.conf", 0);
    assert_says("auth_pass = ********\n");
    assert_says("ssmtp.conf:9: note: FromLineOverride: No effect");
    assert_null(strstr(output, "hunter2"));
    assert_null(strstr(output, "warning"));
    path_of("ssmtp.conf", path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_runs("vexpress-a9", "check ssmtp.conf", 0);
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
    assert_runs("emcraft-sf2", "create bom.conf bom.img", 0);
    assert_true(image_holds("bom.img", "root=admin@example.com\n"));
    assert_false(image_holds("bom.img", "\xEF\xBB\xBF"));
    assert_runs("emcraft-sf2", "list bom.img", 0);
    assert_says("root = admin@example.com\n");
    put_bytes("wide.conf", "\xFF\xFEr\0o\0o\0t\0", 10);
    assert_runs("emcraft-sf2", "check wide.conf", 1);
    assert_says("wide.conf:1: the text is UTF-16: save it as UTF-8");
    put_bytes("wide.conf", "\xFE\xFF\0r\0o\0o\0t", 10);
    assert_runs("emcraft-sf2", "check wide.conf", 1);
    assert_says("wide.conf:1: the text is UTF-16: save it as UTF-8");
}

/* BASE with a CA file of this content: 0, or the error that it draws. */
static void assert_ca(const char *content, const char *words)
{
    put("try.pem", content);
    put("try.conf", "root=a@b.test\nmailhub=m.test\nTLS_CA_File = try.pem\n");
    assert_runs("emcraft-sf2", "check try.conf", words == NULL ? 0 : 1);
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
    assert_runs("emcraft-sf2", "create two.conf two.img", 0);
    assert_says("2 CA certificates");
    assert_true(image_holds(
        "two.img", "# TLS_CA_File = ca.pem (its certificates stand at the end)\n-----BEGIN"));
    snprintf(text, sizeof text, "root=a@b.test\n%smailhub=m.test\n", certificate);
    put("own.conf", text);
    assert_runs("emcraft-sf2", "check own.conf", 0);
    put("own.conf", "root=a@b.test\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END "
                    "CERTIFICATE-----\nmailhub=m.test\n");
    assert_runs("emcraft-sf2", "check own.conf", 1);
    assert_says("own.conf:2: a certificate is cut short");
}

/* ---- images that a device has worked on ---- */

static const char *const reading[] = {"list", "verify", "extract"};

static int part_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    memcpy(out, (const uint8_t *)flash->context + address, size);
    return 0;
}

static int part_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)flash->context)[address + i] &= ((const uint8_t *)data)[i];
    }
    return 0;
}

static int part_erase(const struct flash *flash, uint32_t address)
{
    memset((uint8_t *)flash->context + address, 0xFF, flash->erase_bytes);
    return 0;
}

static struct flash part(uint8_t *bytes)
{
    return (struct flash){
        .size_bytes = FLASH_SIZE_BYTES,
        .erase_bytes = FLASH_ERASE_BYTES,
        .page_bytes = FLASH_PAGE_BYTES,
        .program_bytes = FLASH_PROGRAM_BYTES,
        .erased = FLASH_ERASED,
        .config_base = FLASH_CONFIG_BASE,
        .config_bytes = FLASH_CONFIG_BYTES,
        .log_base = FLASH_LOG_BASE,
        .log_bytes = FLASH_LOG_BYTES,
        .context = bytes,
        .read = part_read,
        .program = part_program,
        .erase = part_erase,
    };
}

static uint64_t clock_ms(void *context)
{
    (void)context;
    return 1795300000000; /* 2026-11-22. */
}

/* What a device does with an image: its queue over the bytes of the file. */
struct device {
    uint8_t *bytes;
    size_t size;
    struct flash flash;
    struct journal journal;
    struct limits limits;
    struct queue queue;
};

static void device_start(struct device *device, const char *name)
{
    static const uint32_t no_limits[LIMITS_COUNT];

    device->bytes = image(name, &device->size);
    assert_non_null(device->bytes);
    assert_int_equal(device->size, FLASH_SIZE_BYTES);
    device->flash = part(device->bytes);
    limits_init(&device->limits, no_limits);
    queue_init(&device->queue, &device->journal, &device->flash, &device->limits, clock_ms, NULL);
}

static void device_stop(struct device *device, const char *name)
{
    put_bytes(name, (const char *)device->bytes, device->size);
    free(device->bytes);
}

static uint32_t add_how(struct device *device, uint8_t severity, const char *app, const char *text,
                        const struct queue_how *how)
{
    struct alert alert = {
        .boot_count = 3,
        .unix_s = 1795299000,
        .queued_unix_s = 1795299001,
        .uptime_ms = 65000,
        .severity = severity,
        .facility = 4,
        .source = "syslog",
        .sender = "192.0.2.7",
        .host = "web1",
        .domain = "example.com",
    };

    snprintf(alert.app, sizeof alert.app, "%s", app);
    snprintf(alert.text, sizeof alert.text, "%s", text);
    assert_int_equal(queue_add(&device->queue, &alert, how), 0);
    return alert.sequence;
}

static uint32_t add(struct device *device, uint8_t severity, const char *app, const char *text)
{
    return add_how(device, severity, app, text, &(struct queue_how){.pending_mask = 1});
}

static void becomes(struct device *device, uint32_t sequence, uint8_t event, uint8_t attempts,
                    uint16_t code)
{
    struct queue_item item;

    assert_true(queue_find(&device->queue, sequence, &item));
    item.event = event;
    item.attempts = attempts;
    item.code = code;
    assert_int_equal(queue_update(&device->queue, &item), 0);
}

/* An image with two configurations and four alerts of which one has gone. */
static void make_used(const char *name)
{
    struct device device;
    char command[100];

    snprintf(command, sizeof command, "rm -rf %s/%s %s/%s.d", folder, name, folder, name);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "create ssmtp.conf %s", name);
    assert_runs("emcraft-sf2", command, 0);
    snprintf(command, sizeof command, "create other.conf %s", name);
    assert_runs("emcraft-sf2", command, 0);
    device_start(&device, name);
    assert_int_equal(add(&device, SEVERITY_CRITICAL, "sshd[412]", "Failed password for root"), 1);
    assert_int_equal(add(&device, SEVERITY_ERROR, "", "caf\xC3\xA9 is closed"), 2);
    assert_int_equal(add(&device, SEVERITY_NOTICE, "cron", "all is well"), 3);
    assert_int_equal(add(&device, SEVERITY_WARNING, "", "disk \x1B[31m"), 4);
    becomes(&device, 1, QUEUE_WAITING, 2, 451);
    becomes(&device, 2, QUEUE_REFUSED, 1, 550);
    becomes(&device, 3, QUEUE_TRYING, 0, 0);
    assert_int_equal(queue_remove(&device.queue, 3, QUEUE_ACCEPTED, 250), 0);
    assert_int_equal(queue_checkpoint(&device.queue), 0);
    device_stop(&device, name);
}

static void assert_file(const char *name, const char *words)
{
    size_t size;
    char *bytes = (char *)image(name, &size);

    if (bytes == NULL) {
        fail_msg("%s is not there", name);
    } else {
        bytes[size] = '\0';
        if (strstr(bytes, words) == NULL) {
            fail_msg("expected '%s' in %s:\n%s", words, name, bytes);
        }
    }
    free(bytes);
}

static void test_list(void **state)
{
    (void)state;
    make_used("used.img");
    assert_runs("emcraft-sf2", "list used.img", 0);
    assert_says("slot 0: whole, number 1");
    assert_says("slot 1: whole, in force, number 2");
    assert_says("hostname = router2\n");
    assert_says("auth_pass = ********\n");
    assert_null(strstr(output, "hunter2"));
    assert_says("queue: 3 alerts");
    assert_says("1  2026-11-21 22:10:00  critical   waiting 451               2  "
                "web1 sshd[412]: Failed password for root\n");
    assert_says("refused 550               1  web1: caf\xC3\xA9 is closed\n");
    assert_null(strstr(output, "all is well"));
    assert_null(strchr(output, '\x1B'));
    assert_says("accepted = 1\n");
    assert_says("refused = 1\n");
    assert_says("next_alert = 5\n");
    assert_says("blocks = 14\n");
    assert_says("erases_total = 1\n");
}

static void test_extract(void **state)
{
    char command[100];
    char id[17];
    char line[100];

    (void)state;
    make_used("used.img");
    assert_runs("emcraft-sf2", "list used.img", 0);
    snprintf(id, sizeof id, "%s", strstr(output, "device ") + 7);
    assert_runs("emcraft-sf2", "extract used.img", 0);
    assert_says("used.img.d/configuration-2.conf");
    assert_file("used.img.d/configuration-1.conf", "hostname=router1\n");
    assert_file("used.img.d/configuration-2.conf", "AuthPass=hunter2\n");
    assert_file("used.img.d/configuration-2.conf", certificate);
    snprintf(line, sizeof line, "Message-ID: <1795299001.3.1.%s@example.com>\r\n", id);
    assert_file("used.img.d/alert-1.eml", line);
    assert_file("used.img.d/alert-1.eml", "To: admin@example.com\r\n");
    assert_file("used.img.d/alert-1.eml", "Failed password for root\r\n");
    assert_file("used.img.d/alert-2.eml", "caf\xC3\xA9 is closed\r\n");
    assert_file("used.img.d/queue.txt", "refused 550");
    assert_file("used.img.d/counters.txt", "accepted = 1\nrefused = 1\n");
    assert_runs("emcraft-sf2", "extract used.img", 1);
    assert_says("used.img.d: there are files in it");
    assert_runs("emcraft-sf2", "extract used.img nothere/x", 1);
    assert_runs("emcraft-sf2", "extract used.img ssmtp.conf", 1);
    for (unsigned i = 1; i <= 2; i++) { /* What came out goes in again. */
        snprintf(command, sizeof command, "create used.img.d/configuration-%u.conf again.img", i);
        assert_runs("emcraft-sf2", command, 0);
    }
    assert_runs("emcraft-sf2", "extract again.img again", 0);
    snprintf(command, sizeof command, "cd %s && diff used.img.d again | grep conf", folder);
    assert_int_not_equal(system(command), 0);
}

/* A digest comes out as the mail that it would be. */
static void test_extract_digest(void **state)
{
    struct device device;

    (void)state;
    make_used("used.img");
    device_start(&device, "used.img");
    (void)add_how(&device, SEVERITY_NOTICE, "cron", "the first",
                  &(struct queue_how){.pending_mask = 1, .folded = true});
    (void)add_how(&device, SEVERITY_NOTICE, "cron", "the second",
                  &(struct queue_how){.pending_mask = 1, .folded = true});
    (void)add_how(&device, SEVERITY_NOTICE, "", "2 alerts",
                  &(struct queue_how){.pending_mask = 1, .digest = true});
    device_stop(&device, "used.img");
    assert_runs("emcraft-sf2", "list used.img", 0);
    assert_says("queued, for a digest");
    assert_says("queued, digest");
    assert_runs("emcraft-sf2", "extract used.img", 0);
    assert_file("used.img.d/alert-7.eml", "web1 cron: the first\r\n");
    assert_file("used.img.d/alert-7.eml", "web1 cron: the second\r\n");
}

/* A new configuration leaves everything else as it is. */
static void test_update_keeps_queue(void **state)
{
    char before[OUTPUT_BYTES];

    (void)state;
    make_used("used.img");
    assert_runs("emcraft-sf2", "list used.img", 0);
    snprintf(before, sizeof before, "%s", strstr(output, "\nseed:"));
    assert_runs("emcraft-sf2", "create ssmtp.conf used.img", 0);
    assert_says("configuration 3");
    assert_says("3 alerts queued");
    assert_runs("emcraft-sf2", "list used.img", 0);
    assert_string_equal(strstr(output, "\nseed:"), before);
    assert_runs("emcraft-sf2", "create --seedless ssmtp.conf used.img", 1);
    assert_says("holds 3 alerts not yet sent");
    assert_runs("emcraft-sf2", "verify used.img", 0);
}

/* An image without a seed whose log is full of alerts gets one, and keeps them. */
static void test_seed_beside_queue(void **state)
{
    struct device device;
    char text[ALERT_TEXT_BYTES];
    unsigned count;

    (void)state;
    assert_runs("emcraft-sf2", "create --seedless ssmtp.conf full.img", 0);
    device_start(&device, "full.img");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 1500; i++) {
        (void)add(&device, SEVERITY_ERROR, "", text);
    }
    count = device.queue.count;
    assert_true(count > 100);
    device_stop(&device, "full.img");
    assert_runs("emcraft-sf2", "create ssmtp.conf full.img", 0);
    assert_says("with a seed");
    device_start(&device, "full.img");
    assert_int_equal(device.queue.count, count);
    assert_true(device.journal.seed_valid);
    free(device.bytes);
    assert_runs("emcraft-sf2", "verify full.img", 0);
}

/* Reading commands leave the file as it was, whatever they find. */
static void assert_unchanged(const char *name, const uint8_t *bytes, size_t size)
{
    size_t now_size;
    uint8_t *now = image(name, &now_size);

    assert_non_null(now);
    assert_int_equal(now_size, size);
    assert_memory_equal(now, bytes, size);
    free(now);
}

/* Where a text stands in the bytes. */
static size_t find(const uint8_t *bytes, size_t size, const char *text)
{
    const uint8_t *at = memmem(bytes, size, text, strlen(text));

    assert_non_null(at);
    return (size_t)(at - bytes);
}

static void test_damage(void **state)
{
    size_t size, at;
    uint8_t *bytes;

    (void)state;
    make_used("used.img");
    bytes = image("used.img", &size);
    at = find(bytes, size, "Failed password");
    bytes[at] ^= 0x10;
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 0);
    assert_says("an alert, number 1: one wrong bit, which is put right");
    assert_says(" 1 corrected, 0 damaged\n");
    assert_runs("emcraft-sf2", "list bad.img", 0);
    assert_says("Failed password for root\n");

    bytes[at + 1] ^= 0x11;
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 1);
    assert_says("an alert, number 1: damaged, or cut while it was written");
    assert_says(" 0 corrected, 1 damaged\n");
    assert_runs("emcraft-sf2", "list bad.img", 0);
    assert_says("(damaged in flash)\n");
    assert_runs("emcraft-sf2", "extract bad.img bad", 0);
    assert_file("bad/alert-1.eml", "led password for root");
    assert_unchanged("bad.img", bytes, size);

    at = find(bytes, size, "hostname=router2");
    bytes[at] ^= 0x40;
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 1);
    assert_says("slot 1: whole, in force, number 2");
    assert_says("one wrong bit, which is put right");
    assert_runs("emcraft-sf2", "extract bad.img bad1", 0);
    assert_file("bad1/configuration-2.conf", "hostname=router2\n");
    bytes[at + 2] ^= 0x02;
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 1);
    assert_says("slot 1: damaged");
    assert_says("2 damaged\n");
    assert_runs("emcraft-sf2", "list bad.img", 0);
    assert_says("the other slot is damaged");
    assert_says("hostname = router1\n");

    memset(bytes + FLASH_LOG_BASE, 0, 8); /* A block's first header: the copy serves. */
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 1);
    assert_says("one of its two headers is damaged");
    memset(bytes + FLASH_LOG_BASE, 0, 64);
    put_bytes("bad.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify bad.img", 1);
    assert_says("block 0 at 0x00F20000: damaged, or its erase was cut");
    free(bytes);
}

static void test_not_an_image(void **state)
{
    static uint8_t bytes[FLASH_SIZE_BYTES];
    char command[100];

    (void)state;
    make_used("used.img");
    assert_runs("vexpress-a9", "create ssmtp.conf other.img", 0);
    put("empty.img", "");
    put("text.img", "root=a@b.test\n");
    put_bytes("zero.img", (const char *)bytes, sizeof bytes);
    put_bytes("cut.img", (const char *)bytes, sizeof bytes - 1);
    for (size_t i = 0; i < 3; i++) {
        static const struct {
            const char *name, *says;
        } files[] = {
            {"other.img", "67108864 bytes; expected 16777216, the flash of emcraft-sf2"},
            {"empty.img", "0 bytes; expected 16777216"},
            {"text.img", "14 bytes; expected 16777216"},
            {"cut.img", "16777215 bytes; expected 16777216, the flash of emcraft-sf2: it is cut"},
            {"zero.img", "neither a configuration nor a log"},
            {"nothere.img", "No such file"},
            {".", "Is a directory"},
        };

        for (size_t j = 0; j < sizeof files / sizeof files[0]; j++) {
            snprintf(command, sizeof command, "%s %s", reading[i], files[j].name);
            assert_runs("emcraft-sf2", command, 1);
            assert_says(files[j].says);
        }
    }
    assert_runs("vexpress-a9", "list used.img", 1);
    assert_says("16777216 bytes; expected 67108864, the flash of vexpress-a9");
    assert_runs("emcraft-sf2", "create ssmtp.conf zero.img", 1);
    assert_unchanged("zero.img", bytes, sizeof bytes);
    memset(bytes, 0xFF, sizeof bytes); /* A new part. */
    put_bytes("new.img", (const char *)bytes, sizeof bytes);
    assert_runs("emcraft-sf2", "list new.img", 0);
    assert_says("no configuration in flash");
    assert_says("queue: 0 alerts");
    assert_runs("emcraft-sf2", "verify new.img", 0);
    assert_runs("emcraft-sf2", "create ssmtp.conf new.img", 0);
    assert_says("updated");
}

/* Gives the header at that address another version. */
static void set_version(uint8_t *header, uint32_t version)
{
    put_u16(header + 4, version);
    put_u32(header + 28, crc32_update(0, header, 28));
}

static void test_versions(void **state)
{
    size_t size;
    uint8_t *bytes;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t at = i == 0 ? FLASH_CONFIG_BASE : FLASH_LOG_BASE;

        make_used("new.img");
        bytes = image("new.img", &size);
        set_version(bytes + at, FLASH_FORMAT_VERSION + 1);
        put_bytes("new.img", (const char *)bytes, size);
        assert_runs("emcraft-sf2", "create ssmtp.conf new.img", 1);
        assert_says("another version");
        assert_unchanged("new.img", bytes, size);
        assert_runs("emcraft-sf2", "list new.img", 0);
        assert_says("another version");
        assert_runs("emcraft-sf2", "verify new.img", 1);
        assert_says("of another version");
        free(bytes);
    }
    assert_runs("emcraft-sf2", "create ssmtp.conf old.img", 0);
    bytes = image("old.img", &size);
    set_version(bytes + FLASH_CONFIG_BASE, 1);
    set_version(bytes + FLASH_LOG_BASE, 1);
    put_bytes("old.img", (const char *)bytes, size);
    assert_runs("emcraft-sf2", "verify old.img", 0);
    assert_runs("emcraft-sf2", "create other.conf old.img", 0);
    assert_says("with a seed");
    assert_runs("emcraft-sf2", "list old.img", 0);
    assert_says("slot 1: whole, in force, number 2");
    free(bytes);
}

/* QEMU locks the file of a board that runs. */
static void test_in_use(void **state)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
    size_t size;
    uint8_t *bytes;
    char path[256];
    int file;

    (void)state;
    make_used("used.img");
    bytes = image("used.img", &size);
    path_of("used.img", path);
    file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_OFD_SETLK, &lock), 0);
    assert_runs("emcraft-sf2", "create ssmtp.conf used.img", 1);
    assert_says("used.img: a board is running from it");
    assert_unchanged("used.img", bytes, size);
    assert_runs("emcraft-sf2", "list used.img", 0);
    assert_says("note: a board is running from it");
    assert_int_equal(close(file), 0);
    assert_runs("emcraft-sf2", "create ssmtp.conf used.img", 0);
    free(bytes);
}

static uint32_t dice(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* Records whose sums are right and whose contents are not: made by someone, or by a fault of ours.
 */
static void forge(uint8_t *bytes, uint32_t *random)
{
    static const uint8_t types[] = {
        JOURNAL_SEED, JOURNAL_BOOKS, JOURNAL_ALERT, JOURNAL_MARK, JOURNAL_ALERT, 7, 200};
    struct flash flash = part(bytes);
    struct journal journal;

    journal_mount(&journal, &flash, NULL);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t payload[JOURNAL_PAYLOAD_MAX];
        size_t size = dice(random) % (i % 2 == 0 ? 128 : sizeof payload);
        uint32_t address;

        for (size_t j = 0; j < size; j++) {
            payload[j] = (uint8_t)(dice(random) >> (i % 3));
        }
        if (size >= 16) { /* A mark's place of the alert: within the log, now and then. */
            put_u32(payload + 12, FLASH_LOG_BASE + dice(random) % 4096 * (1 + i % 40));
            payload[0] = (uint8_t)(dice(random) % 12);
        }
        assert_int_equal(journal_append(&journal, types[dice(random) % sizeof types],
                                        dice(random) % 8, &(struct journal_part){payload, size}, 1,
                                        &address),
                         0);
    }
}

/* Makes one of the kinds of damage that a file or a part can have. */
static void spoil(uint8_t *bytes, unsigned kind, uint32_t *random)
{
    uint32_t region = FLASH_CONFIG_BYTES + FLASH_LOG_BYTES;
    uint32_t block =
        FLASH_CONFIG_BASE + dice(random) % (region / FLASH_ERASE_BYTES) * FLASH_ERASE_BYTES;

    if (kind == 0) { /* Bits of what was written. */
        for (unsigned i = 0; i < 200; i++) {
            bytes[FLASH_LOG_BASE + dice(random) % 2048] ^= (uint8_t)(1u << dice(random) % 8);
            bytes[FLASH_CONFIG_BASE + dice(random) % 300] ^= (uint8_t)(1u << dice(random) % 8);
        }
    } else if (kind == 1) { /* A few bits of it. */
        for (unsigned i = 0; i < 3; i++) {
            bytes[FLASH_LOG_BASE + dice(random) % 2048] ^= (uint8_t)(1u << dice(random) % 8);
        }
        bytes[FLASH_CONFIG_BASE + FLASH_CONFIG_BYTES / 2 + dice(random) % 600] ^= 1;
    } else if (kind == 2) { /* Blocks of random bytes. */
        for (uint32_t i = 0; i < FLASH_ERASE_BYTES; i++) {
            bytes[block + i] = (uint8_t)dice(random);
        }
    } else if (kind == 3) {
        forge(bytes, random);
    } else { /* Everything but one block. */
        for (uint32_t i = FLASH_CONFIG_BASE; i < FLASH_SIZE_BYTES; i++) {
            if (i - FLASH_LOG_BASE >= FLASH_ERASE_BYTES) {
                bytes[i] = (uint8_t)dice(random);
            }
        }
    }
}

/* Whatever the bytes are: a sentence, a status of 0 or 1, and the file as it was. */
static void test_any_bytes(void **state)
{
    const uint32_t seed = 20261122;
    uint32_t random = seed;
    size_t size;
    uint8_t *good;

    (void)state;
    make_used("used.img");
    good = image("used.img", &size);
    for (unsigned round = 0; round < 25; round++) {
        uint8_t *bytes = malloc(size);
        char command[100];

        assert_non_null(bytes);
        memcpy(bytes, good, size);
        spoil(bytes, round % 5, &random);
        put_bytes("any.img", (const char *)bytes, size);
        for (size_t i = 0; i < 3; i++) {
            int status;

            snprintf(command, sizeof command, "%s any.img%s", reading[i], i == 2 ? " any" : "");
            status = run("emcraft-sf2", command);
            if (status > 1 || output[0] == '\0' || strstr(output, "Sanitizer") != NULL ||
                strstr(output, "runtime error") != NULL) {
                fail_msg("round %u of seed %u: %s: status %d:\n%s", round, seed, command, status,
                         output);
            }
        }
        assert_unchanged("any.img", bytes, size);
        snprintf(command, sizeof command, "rm -rf %s/any", folder);
        assert_int_equal(system(command), 0);
        free(bytes);
    }
    free(good);
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
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_extract_digest),
        cmocka_unit_test(test_update_keeps_queue),
        cmocka_unit_test(test_seed_beside_queue),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_not_an_image),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_any_bytes),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
