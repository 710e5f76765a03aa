/* sign.c - an order as a mail that is ready to send. */
#include "common.h"
#include "key.h"

#include "net/base64.h"
#include "net/mailed.h"
#include "net/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_COLUMNS 64
#define PAYLOAD_BYTES (MAILED_TEXT_MAX + 512)
#define BLOCK_BYTES (2 * PAYLOAD_BYTES)
#define SUBJECT_MAX 60

static void no_lines(const char *text, const char *what)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7F) {
            die_usage("%s must be one line without control characters", what);
        }
    }
}

/* Joins the words that are left of the command line. */
static void command_of(int argc, char **argv, char out[MAILED_COMMAND_BYTES])
{
    struct text text = text_begin(out, MAILED_COMMAND_BYTES);

    for (int i = 0; i < argc; i++) {
        text_add(&text, i > 0 ? " " : "");
        text_add(&text, argv[i]);
    }
    if (out[0] == '\0') {
        die_usage("sign: a command is missing, like `status`");
    }
    if (text.cut) {
        die_usage("sign: the command is longer than %d bytes", MAILED_COMMAND_BYTES - 1);
    }
    no_lines(out, "the command");
}

static size_t payload_make(char *out, const char *device, uint32_t counter, const char *command,
                           const char *path)
{
    struct text text = text_begin(out, PAYLOAD_BYTES);

    text_format(&text, "tocsin 1\ndevice %s\ncounter %u\ncommand %s\n", device, counter, command);
    if (path != NULL) {
        static char bytes[MAILED_TEXT_MAX + 2];
        size_t size = read_file(path, bytes, sizeof bytes);

        text_add(&text, "\n");
        text_add_bytes(&text, bytes, size);
    }
    return text.length;
}

static size_t sign(const struct key *key, const char *payload, size_t size,
                   uint8_t out[DIGEST_SIGNATURE_MAX])
{
    uint8_t hash[DIGEST_SHA256_BYTES];

    if (key->is_ecdsa) {
        struct digest_sha256 sha256;

        digest_sha256_init(&sha256);
        digest_sha256_push(&sha256, payload, size);
        digest_sha256_end(&sha256, hash);
        return br_ecdsa_i31_sign_asn1(&br_ec_p256_m31, &br_sha256_vtable, hash, &key->private, out);
    }
    struct digest_hmac hmac;

    digest_hmac_init(&hmac, key->hmac);
    digest_hmac_push(&hmac, payload, size);
    digest_hmac_end(&hmac, out);
    return DIGEST_SHA256_BYTES;
}

static void add_base64(struct text *out, const void *bytes, size_t size)
{
    static char line[BLOCK_BYTES];
    struct text text = text_begin(line, sizeof line);
    struct base64 base64 = base64_begin(&text);

    base64_add(&base64, bytes, size);
    base64_end(&base64);
    for (size_t at = 0; at < text.length; at += LINE_COLUMNS) {
        size_t left = text.length - at;

        text_add_bytes(out, line + at, left < LINE_COLUMNS ? left : LINE_COLUMNS);
        text_add(out, "\n");
    }
}

/* What the device will do with it: better told here than by an answer. */
static void check(const struct key *key, const char *block)
{
    static struct mailed mailed;
    const struct mailed_keys keys = {.hmac = key->is_ecdsa ? NULL : key->hmac,
                                     .public = key->is_ecdsa ? key->public : NULL};

    mailed_init(&mailed, &keys);
    mailed_push(&mailed, block, strlen(block));
    mailed_end(&mailed);
    if (mailed.proof != MAILED_SIGNED) {
        die("the device would refuse it: %s", mailed.why != NULL ? mailed.why : "it is no order");
    }
}

static void head_print(const char *from, const char *to, const char *command)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[12];
    char date[64], id[2 * sizeof bytes + 1];
    const char *domain = from != NULL ? strrchr(from, '@') : NULL;
    time_t now = time(NULL);
    bool plain = strlen(command) <= SUBJECT_MAX;

    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        id[2 * i] = hex[bytes[i] >> 4];
        id[2 * i + 1] = hex[bytes[i] & 15];
    }
    id[2 * sizeof bytes] = '\0';
    for (const char *c = command; *c != '\0'; c++) {
        plain = plain && (unsigned char)*c < 0x80;
    }
    if (from != NULL) {
        printf("From: %s\n", from);
    }
    printf("To: %s\nSubject: tocsin: %s\n", to, plain ? command : "an order");
    if (strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", gmtime(&now)) > 0) {
        printf("Date: %s\n", date);
    }
    domain = domain != NULL ? domain + 1 : "tocsin.invalid";
    printf("Message-ID: <%s@%.*s>\n", id, (int)strcspn(domain, "> \t"), domain);
    fputs("MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n"
          "Content-Transfer-Encoding: 7bit\n\n",
          stdout);
}

int command_sign(int argc, char **argv)
{
    enum { KEY, DEVICE, COUNTER, FROM, TO, TEXT, BODY, COUNT };
    struct option_value options[COUNT] = {
        [KEY] = {"key", NULL, false},         [DEVICE] = {"device", NULL, false},
        [COUNTER] = {"counter", NULL, false}, [FROM] = {"from", NULL, false},
        [TO] = {"to", NULL, false},           [TEXT] = {"text", NULL, false},
        [BODY] = {"body", NULL, true},
    };
    static char payload[PAYLOAD_BYTES], block[BLOCK_BYTES];
    static struct key key;
    struct text text = text_begin(block, sizeof block);
    char command[MAILED_COMMAND_BYTES];
    uint8_t signature[BR_EC_KBUF_PRIV_MAX_SIZE * 2 + 16];
    uint32_t counter;
    size_t size;
    int taken = options_read(argc, argv, options, COUNT);

    command_of(argc - taken, argv + taken, command);
    if (options[KEY].value == NULL || options[DEVICE].value == NULL) {
        die_usage("sign: --key FILE and --device ID are wanted; `status` on the device's console "
                  "shows its id");
    }
    if (options[TO].value == NULL && options[BODY].value == NULL) {
        die_usage("sign: --to ADDRESS of the device's mailbox is wanted, or --body for the signed "
                  "block alone");
    }
    for (int i = FROM; i <= TO; i++) {
        no_lines(options[i].value != NULL ? options[i].value : "", "an address");
    }
    no_lines(options[DEVICE].value, "the device's id");
    counter = options[COUNTER].value != NULL
                  ? number_of(options[COUNTER].value, "counter", 1, UINT32_MAX)
                  : (uint32_t)time(NULL);
    key_read(options[KEY].value, &key);
    size = payload_make(payload, options[DEVICE].value, counter, command, options[TEXT].value);
    text_add(&text, "-----BEGIN TOCSIN COMMAND-----\n");
    add_base64(&text, payload, size);
    text_add(&text, "-----TOCSIN SIGNATURE-----\n");
    add_base64(&text, signature, sign(&key, payload, size, signature));
    text_add(&text, "-----END TOCSIN COMMAND-----\n");
    check(&key, block);
    if (options[BODY].value == NULL) {
        head_print(options[FROM].value, options[TO].value, command);
    }
    fputs(block, stdout);
    return 0;
}
