/* The tool `tocsin`, and the lines of docs/commands.md that do the same with openssl: what they
 * make is read by the device's own code, and what openssl makes by the tool. */
#include "net/base64.h"
#include "net/mailed.h"
#include "net/otp.h"
#include "net/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIR "tocsin-tool"
#define DEVICE "0123456789abcdef"

static char output[200000];

/* Runs a line of shell in the folder; what it said is in output. Returns its status. */
static int shell(const char *line)
{
    char command[8192];
    FILE *pipe;
    size_t size;
    int status;

    assert_true((size_t)snprintf(command, sizeof command, "cd " DIR " && { %s\n} 2>&1", line) <
                sizeof command);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void runs(const char *line, int status)
{
    int got = shell(line);

    if (got != status) {
        fail_msg("%s: status %d, not %d:\n%s", line, got, status, output);
    }
}

static void says(const char *words)
{
    if (strstr(output, words) == NULL) {
        fail_msg("expected '%s' in:\n%s", words, output);
    }
}

/* The tool, whose usage errors have status 2 and all others 1. */
static void tool(const char *arguments, int status, const char *words)
{
    char line[2048];

    snprintf(line, sizeof line, "../tocsin %s;", arguments);
    runs(line, status);
    says(words);
}

static size_t file_read(const char *name, char *out, size_t room)
{
    char path[200];
    FILE *file;
    size_t size;

    snprintf(path, sizeof path, DIR "/%s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    size = fread(out, 1, room - 1, file);
    fclose(file);
    out[size] = '\0';
    return size;
}

/* What stands behind `key = ` in output, up to the line's end. */
static const char *value_of(const char *key)
{
    static char value[600];
    char *at = strstr(output, key);
    size_t size;

    assert_non_null(at);
    at += strlen(key);
    assert_int_equal(strncmp(at, " = ", 3), 0);
    size = strcspn(at + 3, "\n");
    assert_true(size < sizeof value);
    memcpy(value, at + 3, size);
    value[size] = '\0';
    return value;
}

static void hmac_of(const char *digits, uint8_t key[DIGEST_KEY_BYTES])
{
    assert_true(strlen(digits) >= (size_t)2 * DIGEST_KEY_BYTES);
    for (size_t i = 0; i < DIGEST_KEY_BYTES; i++) {
        unsigned byte;

        assert_int_equal(sscanf(digits + 2 * i, "%2x", &byte), 1);
        key[i] = (uint8_t)byte;
    }
}

static void public_of(const char *line, uint8_t key[DIGEST_PUBLIC_BYTES])
{
    uint8_t der[DIGEST_SPKI_BYTES];

    assert_int_equal(base64_decode(line, der, sizeof der), sizeof der);
    assert_int_equal(digest_public_parse(der, sizeof der, key), 0);
}

static char taken_text[MAILED_TEXT_MAX + 1];
static size_t taken_size;

static void take_text(void *context, const char *bytes, size_t size)
{
    (void)context;
    assert_true(taken_size + size < sizeof taken_text);
    memcpy(taken_text + taken_size, bytes, size);
    taken_size += size;
    taken_text[taken_size] = '\0';
}

static const struct mailed *order_of(const char *text, const uint8_t *hmac, const uint8_t *public)
{
    static struct mailed mailed;
    const struct mailed_keys keys = {.hmac = hmac, .public = public, .text = take_text};

    taken_size = 0;
    taken_text[0] = '\0';
    mailed_init(&mailed, &keys);
    mailed_push(&mailed, text, strlen(text));
    mailed_end(&mailed);
    if (mailed.proof != MAILED_SIGNED) {
        fail_msg("%s in:\n%s", mailed.why != NULL ? mailed.why : "no order", text);
    }
    return &mailed;
}

static void keys(void **state)
{
    struct stat status;
    uint8_t key[DIGEST_PUBLIC_BYTES];
    char line[600], made[600];

    (void)state;
    tool("key hmac", 0, "command_key = ");
    snprintf(made, sizeof made, "%s", value_of("command_key"));
    assert_int_equal(strspn(made, "0123456789abcdef"), 64);
    assert_int_equal(strlen(made), 64);
    tool("key hmac a.key", 0, "command_key = ");
    assert_string_not_equal(made, value_of("command_key"));
    assert_int_equal(file_read("a.key", line, sizeof line), strlen(output));
    assert_string_equal(line, output);
    assert_int_equal(stat(DIR "/a.key", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    tool("key hmac a.key", 1, "a.key: it exists, and a key is never written over");
    assert_int_equal(file_read("a.key", made, sizeof made), strlen(line));
    assert_string_equal(made, line);

    tool("key ecdsa a.pem", 0, "command_public_key = ");
    snprintf(made, sizeof made, "%s", value_of("command_public_key"));
    public_of(made, key);
    assert_int_equal(stat(DIR "/a.pem", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    tool("key ecdsa a.pem", 1, "it exists");
    runs("openssl ec -in a.pem -pubout -outform DER 2>/dev/null | openssl base64 -A;", 0);
    assert_string_equal(output, made);
    runs("openssl pkey -in a.pem -check -noout;", 0);
    tool("key public a.pem", 0, made);

    /* As openssl makes them: RFC 5915 with its parameters before it, and PKCS#8. */
    runs("openssl ecparam -name prime256v1 -genkey -out b.pem && "
         "openssl pkcs8 -topk8 -nocrypt -in b.pem -out b8.pem && "
         "openssl ec -in b.pem -pubout -outform DER 2>/dev/null | openssl base64 -A;",
         0);
    assert_true(text_copy(made, sizeof made, output));
    tool("key public b.pem", 0, made);
    tool("key public b8.pem", 0, made);
}

static void wrong_keys(void **state)
{
    (void)state;
    runs("openssl ecparam -name secp384r1 -genkey -noout -out p384.pem && "
         "openssl genrsa -out rsa.pem 2048 2>/dev/null && "
         "openssl ecparam -name prime256v1 -genkey -noout -out c.pem && "
         "openssl ec -in c.pem -aes128 -passout pass:abcd -out old.pem 2>/dev/null && "
         "openssl pkcs8 -topk8 -in c.pem -passout pass:abcd -out new.pem && "
         "openssl ec -in c.pem -pubout -out pub.pem 2>/dev/null && "
         "head -c 150 c.pem > cut.pem && echo 0123 > short.key && "
         "printf '%065d\\n' 1 > long.key && printf '#c\\n Command_Key=%064d \\r\\nx = y\\n' 1 > "
         "d.key;",
         0);
    tool("key public p384.pem", 1, "not a key of P-256");
    tool("key public rsa.pem", 1, "not a key of P-256");
    tool("key public old.pem", 1, "encrypted");
    tool("key public new.pem", 1, "`openssl pkey -in new.pem -out FILE`");
    tool("key public pub.pem", 1, "no whole private key");
    tool("key public cut.pem", 1, "no whole private key");
    tool("key public a.key", 1, "no public half");
    tool("key public short.key", 1, "neither a private key in PEM nor 64 hexadecimal digits");
    tool("key public long.key", 1, "neither");
    tool("key public d.key", 1, "no public half");
    tool("key public absent", 1, "absent: cannot read it");
    tool("key hmac no/such/folder", 1, "No such file");
    tool("key", 2, "--help");
    tool("key ecdsa", 2, "--help");
    tool("key hmac a b", 2, "--help");
}

static void signs(void **state)
{
    uint8_t hmac[DIGEST_KEY_BYTES], public[DIGEST_PUBLIC_BYTES];
    char text[600];
    const struct mailed *mailed;
    uint32_t now = (uint32_t)time(NULL);

    (void)state;
    file_read("a.key", text, sizeof text);
    hmac_of(text + strlen("command_key = "), hmac);
    tool("key public a.pem", 0, "");
    public_of(value_of("command_public_key"), public);

    tool("sign --key a.key --device 0123456789ABCDEF --from 'Me <me@example.com>' "
         "--to=router1@example.net test --round-trip",
         0,
         "From: Me <me@example.com>\nTo: router1@example.net\n"
         "Subject: tocsin: test --round-trip\nDate: ");
    says("@example.com>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n"
         "Content-Transfer-Encoding: 7bit\n\n-----BEGIN");
    mailed = order_of(output, hmac, NULL);
    assert_string_equal(mailed->command, "test --round-trip");
    assert_string_equal(mailed->device, DEVICE);
    assert_true(mailed->counter >= now && mailed->counter < now + 60);

    runs("printf 'hostname = a\\n\\nroot = b@example.com' > new.conf;", 0);
    tool("sign --key a.pem --device " DEVICE " --counter 4294967295 --body --text new.conf -- "
         "config import",
         0, "-----BEGIN TOCSIN COMMAND-----\n");
    assert_int_equal(strncmp(output, "-----BEGIN", 10), 0);
    mailed = order_of(output, NULL, public);
    assert_string_equal(mailed->command, "config import");
    assert_int_equal(mailed->counter, 4294967295u);
    assert_string_equal(taken_text, "hostname = a\n\nroot = b@example.com");
    runs("../tocsin sign --key b8.pem --device " DEVICE " --body --text - config set < new.conf;",
         0);
    tool("sign --key d.key --device " DEVICE " --to a@example.com \xd0\xb4\xd0\xb0", 0,
         "Subject: tocsin: an order\n");
    if (strstr(output, "From:") != NULL) {
        fail_msg("%s", output);
    }

    tool("sign --key a.key --device 0123 --body status", 1, "not 16 hex");
    tool("sign --key a.key --device " DEVICE " status", 2, "--to ADDRESS");
    tool("sign --key a.key --body status", 2, "--device ID");
    tool("sign --device " DEVICE " --body status", 2, "--key FILE");
    tool("sign --key a.key --device " DEVICE " --body", 2, "a command is missing");
    tool("sign --key a.key --device " DEVICE " --body ' '", 1, "the device would refuse it");
    tool("sign --key a.key --device " DEVICE " --counter 0 --body x", 2, "from 1 to 4294967295");
    tool("sign --key a.key --device " DEVICE " --counter", 2, "--counter wants a value");
    tool("sign --keys a.key x", 2, "no option --keys");
    tool("sign --key a.key --device \"0123456789abcdef\ncounter 9\" --body x", 2, "one line");
    tool("sign --key a.key --device " DEVICE " --body \"x\ny\"", 2, "one line");
    tool("sign --key a.key --device " DEVICE " --to \"a@b\nBcc: c@d\" x", 2, "one line");
    tool("sign --key a.key --device " DEVICE " --body $(printf '%0200d' 1)", 2, "199 bytes");
    runs("head -c 32768 /dev/zero > most && head -c 32769 /dev/zero > more;", 0);
    tool("sign --key a.key --device " DEVICE " --body --text most config import", 0, "END");
    tool("sign --key a.key --device " DEVICE " --body --text more config import", 1, "32768");
    tool("sign --key a.key --device " DEVICE " --body --text absent config import", 1, "absent");
    tool("--help", 0, "usage: tocsin");
    tool("sign --help", 0, "usage: tocsin");
    tool("", 2, "usage: tocsin");
    tool("sing", 2, "usage: tocsin");
}

static void otp(void **state)
{
    const char *at;
    uint8_t last[OTP_BYTES], next[OTP_BYTES];
    unsigned number, lines = 0;

    (void)state;
    runs("echo 'This is a test.' > phrase && echo short > few && printf '%064d' 1 > many;", 0);
    /* RFC 2289 appendix C. */
    tool("otp chain --seed TeSt --sequence 99 --phrase-file phrase", 0,
         "otp = 99 TeSt 87fec7768b73ccf9\n");
    tool("otp list --seed TeSt --sequence 100 --count 2 --phrase-file phrase", 0,
         "\n   99  GAFF WAIT SKID GIG SKY EYED    87fe c776 8b73 ccf9\n   98  ");
    tool("otp list --seed TeSt --sequence 2 --phrase-file phrase", 0,
         "\n    1  CART OTTO HIVE ODE VAT NUT     63d9 3663 9734 385b\n"
         "    0  MILT VARY MAST OK SEES WENT    bb9e 6ae1 979d 8ff4\n");
    tool("otp list --seed TeSt --sequence=99 --phrase-file phrase", 0, "   98  ");
    assert_int_equal(otp_read("87fec7768b73ccf9", last), 16);
    for (at = strstr(output, "\n\n") + 2; *at != '\0'; at = strchr(at, '\n') + 1) {
        assert_int_equal(sscanf(at, "%u", &number), 1);
        assert_int_equal(number, 98 - lines);
        assert_true(otp_read(at + 7, next) > 0);
        otp_step(next, next);
        assert_memory_equal(next, last, sizeof next);
        assert_true(otp_read(at + 7, last) > 0);
        lines++;
    }
    assert_int_equal(lines, 30);
    tool("otp seed", 0, "\n");
    output[strcspn(output, "\n")] = '\0';
    assert_true(otp_seed_valid(output));

    tool("otp list --seed TeSt --sequence 9 --phrase-file few", 1, "10 to 63");
    tool("otp list --seed TeSt --sequence 9 --phrase-file many", 1, "10 to 63");
    tool("otp list --seed TeSt --sequence 9 --phrase-file absent", 1, "absent");
    tool("otp list --seed 'a b' --sequence 9 --phrase-file phrase", 2, "letters and digits");
    tool("otp list --seed a --sequence 10000 --phrase-file phrase", 2, "1 to 9999");
    tool("otp list --seed a --sequence 0 --phrase-file phrase", 2, "1 to 9999");
    tool("otp list --seed a", 2, "--sequence N");
    tool("otp chain --sequence 3", 2, "--seed SEED");
    tool("otp list --seed a --sequence 9 more", 2, "options only");
    tool("otp words", 2, "`list`");
}

/* Reads what the terminal shows until words are there; false: it ended, or ten seconds passed. */
static bool wait_for(int terminal, const char *words)
{
    size_t size = strlen(output);
    struct pollfd ready = {.fd = terminal, .events = POLLIN};

    while (strstr(output, words) == NULL) {
        ssize_t got;

        if (poll(&ready, 1, 10000) != 1) {
            return false;
        }
        got = read(terminal, output + size, sizeof output - 1 - size);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        output[size] = '\0';
    }
    return true;
}

/* On a terminal the pass phrase is asked for, twice for a chain, and never shown. */
static int on_terminal(const char *what, const char *first, const char *second)
{
    int terminal, status;
    pid_t child;

    output[0] = '\0';
    child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        execl("./tocsin", "tocsin", "otp", what, "--seed", "TeSt", "--sequence", "99",
              (char *)NULL);
        _exit(127);
    }
    assert_true(wait_for(terminal, "pass phrase, 10 to 63 characters: "));
    usleep(100000); /* The question stands there just before the echo ends. */
    assert_int_equal(write(terminal, first, strlen(first)), strlen(first));
    if (second != NULL) {
        assert_true(wait_for(terminal, "once more: "));
        usleep(100000);
        assert_int_equal(write(terminal, second, strlen(second)), strlen(second));
    }
    assert_false(wait_for(terminal, "never shown"));
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    if (strstr(output, "is a test") != NULL) {
        fail_msg("the phrase is shown:\n%s", output);
    }
    return WEXITSTATUS(status);
}

static void terminal(void **state)
{
    (void)state;
    assert_int_equal(on_terminal("list", "This is a test.\n", NULL), 0);
    says("   98  ");
    assert_int_equal(on_terminal("chain", "This is a test.\n", "This is a test.\n"), 0);
    says("otp = 99 TeSt 87fec7768b73ccf9");
    assert_int_equal(on_terminal("chain", "This is a test.\n", "This is a test!\n"), 1);
    says("not the same");
    assert_int_equal(on_terminal("list", "\x04", NULL), 1);
    says("no pass phrase was given");
    runs("setsid ../tocsin otp list --seed a --sequence 3 < /dev/null;", 1);
    says("there is no terminal");
}

#define PAGE_BLOCKS 5
static char blocks[PAGE_BLOCKS][1024];

/* The blocks of shell of docs/commands.md, as they stand there. */
static void page_read(void)
{
    static char page[60000];
    FILE *file = fopen(TESTS_DIR "/../docs/commands.md", "rb");
    const char *at;
    size_t count = 0;

    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    for (at = strstr(page, "```sh\n"); at != NULL; at = strstr(at, "```sh\n")) {
        const char *end = strstr(at + 6, "```");

        assert_non_null(end);
        assert_true(count < PAGE_BLOCKS);
        snprintf(blocks[count++], sizeof blocks[0], "%.*s", (int)(end - at - 6), at + 6);
        at = end + 3;
    }
    assert_int_equal(count, PAGE_BLOCKS);
}

/* docs/commands.md: its lines, run by a shell with the real openssl, make orders. */
static void page(void **state)
{
    enum { PAYLOAD, TEXT, HMAC, ECDSA, MAIL };
    char line[6000], text[8192];
    uint8_t hmac[DIGEST_KEY_BYTES], public[DIGEST_PUBLIC_BYTES];
    const struct mailed *mailed;
    char *command;

    (void)state;
    page_read();
    snprintf(line, sizeof line, "set -eu\n%s%s%s", blocks[PAYLOAD], blocks[HMAC], blocks[MAIL]);
    runs(line, 0);
    file_read("key", text, sizeof text);
    hmac_of(text, hmac);
    file_read("order", text, sizeof text);
    mailed = order_of(text, hmac, NULL);
    assert_string_equal(mailed->command, "status");
    assert_string_equal(mailed->device, DEVICE);
    assert_int_equal(mailed->text_bytes, 0);

    command = strstr(blocks[PAYLOAD], "'status'");
    assert_non_null(command);
    snprintf(line, sizeof line, "set -eu\n%.*s'config import'%s%s%s%s",
             (int)(command - blocks[PAYLOAD]), blocks[PAYLOAD], command + strlen("'status'"),
             blocks[TEXT], blocks[ECDSA], blocks[MAIL]);
    runs(line, 0);
    file_read("public", text, sizeof text);
    public_of(text, public);
    tool("key public order.pem", 0, text);
    file_read("order", text, sizeof text);
    mailed = order_of(text, NULL, public);
    assert_string_equal(mailed->command, "config import");
    assert_string_equal(taken_text, "hostname = a\n\nroot = b@example.com");
    /* openssl takes what the tool signs, too. */
    runs("../tocsin sign --key order.pem --device " DEVICE " --body status > made && "
         "sed -n '2,/SIGN/p' made | grep -v - | openssl base64 -d > payload && "
         "sed -n '/SIGN/,$p' made | grep -v - | openssl base64 -d > signature && "
         "openssl dgst -sha256 -prverify order.pem -signature signature payload;",
         0);
    says("Verified OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys), cmocka_unit_test(wrong_keys), cmocka_unit_test(signs),
        cmocka_unit_test(otp),  cmocka_unit_test(terminal),   cmocka_unit_test(page),
    };

    if (system("rm -rf " DIR " && mkdir " DIR) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
