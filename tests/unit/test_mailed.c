/* Mailed orders: what a mail program may do to a block without harm, and what nobody may do to it;
 * payloads that are wrong in each of their parts; one-time passwords as people write them. */
#include "net/base64.h"
#include "net/mailed.h"
#include "net/mime.h"

#include <bearssl_ec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct mailed) < 1024, "as mailed.h says");

#define DEVICE "0123456789abcdef"
#define PLAIN "tocsin 1\ndevice " DEVICE "\ncounter 17\ncommand status\n"

static const uint8_t hmac_key[DIGEST_KEY_BYTES] = "an HMAC key of thirty-two bytes.";
static const uint8_t other_key[DIGEST_KEY_BYTES] = "another key of thirty-two bytes.";

/* The key pair, made of fixed numbers. */
static unsigned char private_bytes[32], public_bytes[BR_EC_KBUF_PUB_MAX_SIZE];
static const br_ec_private_key private_key = {BR_EC_secp256r1, private_bytes, 32};

static char seen[MAILED_TEXT_MAX + 1];
static size_t seen_size;

static void see(void *context, const char *bytes, size_t size)
{
    (void)context;
    assert_true(seen_size + size <= sizeof seen);
    memcpy(seen + seen_size, bytes, size);
    seen_size += size;
}

static const struct mailed_keys both = {
    .hmac = hmac_key, .public = public_bytes + 1, .otp = true, .text = see};

/* A small generator of the same numbers each time (xorshift). */
static uint32_t dice = 2463534242u;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    return dice % below;
}

static struct mailed *read_pieces(const struct mailed_keys *keys, const char *text, size_t size,
                                  size_t piece)
{
    static struct mailed mailed;

    seen_size = 0;
    mailed_init(&mailed, keys);
    for (size_t at = 0; at < size; at += piece) {
        mailed_push(&mailed, text + at, size - at < piece ? size - at : piece);
    }
    mailed_end(&mailed);
    return &mailed;
}

static struct mailed *read_mail(const struct mailed_keys *keys, const char *text)
{
    return read_pieces(keys, text, strlen(text), SIZE_MAX);
}

static void hash_of(const void *bytes, size_t size, uint8_t *hash)
{
    struct digest_sha256 sha256;

    digest_sha256_init(&sha256);
    digest_sha256_push(&sha256, bytes, size);
    digest_sha256_end(&sha256, hash);
}

enum signer { BY_HMAC, BY_ECDSA, BY_OTHER };

static size_t sign(enum signer signer, const char *payload, size_t size, uint8_t *out)
{
    struct digest_hmac hmac;
    uint8_t hash[DIGEST_SHA256_BYTES];

    if (signer == BY_ECDSA) {
        hash_of(payload, size, hash);
        return br_ecdsa_i31_sign_asn1(&br_ec_p256_m31, &br_sha256_vtable, hash, &private_key, out);
    }
    digest_hmac_init(&hmac, signer == BY_HMAC ? hmac_key : other_key);
    digest_hmac_push(&hmac, payload, size);
    digest_hmac_end(&hmac, out);
    return DIGEST_SHA256_BYTES;
}

/* Base64 in lines. */
static void add_base64(struct text *out, const void *bytes, size_t size)
{
    static char line[2 * MAILED_TEXT_MAX];
    struct text text = text_begin(line, sizeof line);
    struct base64 base64 = base64_begin(&text);

    base64_add(&base64, bytes, size);
    base64_end(&base64);
    for (size_t at = 0; at < text.length; at += 64) {
        text_add_bytes(out, line + at, text.length - at < 64 ? text.length - at : 64);
        text_add(out, "\n");
    }
}

static const char *block(enum signer signer, const char *payload, size_t size)
{
    static char out[2 * MAILED_TEXT_MAX];
    struct text text = text_begin(out, sizeof out);
    uint8_t signature[BR_EC_KBUF_PRIV_MAX_SIZE * 4];
    size_t signature_size = sign(signer, payload, size, signature);

    text_add(&text, "-----BEGIN TOCSIN COMMAND-----\n");
    add_base64(&text, payload, size);
    text_add(&text, "-----TOCSIN SIGNATURE-----\n");
    add_base64(&text, signature, signature_size);
    text_add(&text, "-----END TOCSIN COMMAND-----\n");
    assert_false(text.cut);
    return out;
}

static const char *order(enum signer signer, const char *payload)
{
    return block(signer, payload, strlen(payload));
}

static void good(const struct mailed *mailed, const char *payload)
{
    uint8_t hash[DIGEST_SHA256_BYTES];

    if (mailed->proof != MAILED_SIGNED) {
        print_message("%s\n", mailed->why != NULL ? mailed->why : "no order");
    }
    assert_int_equal(mailed->proof, MAILED_SIGNED);
    hash_of(payload, strlen(payload), hash);
    assert_memory_equal(mailed->hash, hash, sizeof hash);
}

static void bad(const struct mailed *mailed, int error, const char *why)
{
    assert_int_equal(mailed->proof, MAILED_REFUSED);
    assert_string_equal(mailed->why, why);
    assert_int_equal(mailed->error, error);
}

static void plain(void **state)
{
    static const char text[] = "tocsin 1\ndevice 0123456789ABCDEF\ncounter 4294967295\n"
                               "command  config\t import \n\nroot = me@example.com\r\n\nx = y";
    static const enum signer signers[] = {BY_HMAC, BY_ECDSA};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *mail = order(signers[i], PLAIN);

        for (size_t piece = 1; piece <= strlen(mail); piece++) {
            const struct mailed *mailed = read_pieces(&both, mail, strlen(mail), piece);

            good(mailed, PLAIN);
            assert_string_equal(mailed->command, "status");
            assert_string_equal(mailed->device, DEVICE);
            assert_int_equal(mailed->counter, 17);
            assert_int_equal(mailed->text_bytes, 0);
            assert_int_equal(seen_size, 0);
        }
        mail = order(signers[i], text);
        for (size_t piece = 1; piece <= strlen(mail); piece += 7) {
            const struct mailed *mailed = read_pieces(&both, mail, strlen(mail), piece);

            good(mailed, text);
            assert_string_equal(mailed->command, "config import");
            assert_string_equal(mailed->device, DEVICE);
            assert_int_equal(mailed->counter, 4294967295u);
            assert_int_equal(mailed->text_bytes, 29);
            assert_int_equal(seen_size, 29);
            assert_memory_equal(seen, "root = me@example.com\r\n\nx = y", 29);
        }
    }
}

/* What mail programs do: the same order after it. Returns a static text. */
static const char *mangled(const char *mail)
{
    static char out[16 * MAILED_TEXT_MAX];
    static const char *const dashes[] = {"-",  "--",          "\xe2\x80\x94", "\xe2\x80\x93",
                                         "- ", "\xe2\x88\x92"};
    static const char *const quotes[] = {"", "> ", ">> ", "> > ", "| ", "  ", "\xc2\xa0", ">"};
    static const char *const ends[] = {"\n", "\r\n", " \n", " ", "\n\n", "\xe2\x80\xa8", "\t\r\n"};
    static const char *const unseen[] = {"\xe2\x80\x8b", "\xc2\xad", "\xef\xbb\xbf",
                                         "\xe2\x81\xa0"};
    struct text text = text_begin(out, sizeof out);
    const char *quote = quotes[roll(8)];
    const char *end = ends[roll(7)];
    const char *dash = dashes[roll(6)];
    unsigned dash_count = 1 + roll(8);
    unsigned width = roll(4) == 0 ? 20 + roll(80) : UINT32_MAX;
    bool splits = roll(5) == 0;
    bool hides = roll(5) == 0;
    bool small = roll(2) == 0;
    unsigned column = 0;
    bool in_mark = false;

    if (roll(2) == 0) {
        text_add(&text, "Hi,\n\nplease do this -- at once - and begin - tocsin - with it:\n");
    }
    text_add(&text, quote);
    for (size_t i = 0; mail[i] != '\0'; i++) {
        if (mail[i] == '-') {
            in_mark = true;
            if (mail[i + 1] != '-') {
                for (unsigned d = 0; d < dash_count; d++) {
                    text_add(&text, dash);
                }
            }
            continue;
        }
        if (mail[i] == '\n') {
            in_mark = false;
            if (mail[i + 1] != '\0') {
                text_add(&text, end);
                text_add(&text, quote);
            }
            column = 0;
            continue;
        }
        text_add_char(&text, in_mark && small && mail[i] >= 'A' && mail[i] <= 'Z'
                                 ? (char)(mail[i] - 'A' + 'a')
                                 : mail[i]);
        column++;
        if (column >= width || (splits && roll(9) == 0)) {
            text_add(&text, end);
            text_add(&text, quote);
            column = 0;
        }
        if (hides && roll(20) == 0) {
            text_add(&text, unseen[roll(4)]);
        }
    }
    if (roll(2) == 0) {
        text_add(&text, end);
        text_add(&text, "-- \nMe\nSent from my phone\nOn Monday - or so - Begin wrote:\n> hi\n");
    }
    assert_false(text.cut);
    return out;
}

/* *body: the text behind the blank line. */
static const char *random_payload(const char **body)
{
    static const char *const commands[] = {"status", "config import", "mute 10.0.0.7 2h", "ack 12"};
    static char out[4096];
    struct text text = text_begin(out, sizeof out);
    bool crlf = roll(4) == 0;

    *body = "";
    text_format(&text, "tocsin 1%s\n", crlf ? "\r" : "");
    text_format(&text, "device " DEVICE "%s\ncounter %u%s\n", crlf ? "\r" : "", 1 + roll(1u << 31),
                crlf ? "\r" : "");
    text_format(&text, "command %s", commands[roll(4)]);
    if (roll(2) == 0) {
        text_add(&text, crlf ? "\r\n" : "\n");
        if (roll(2) == 0) {
            unsigned size = roll(600);

            text_add(&text, crlf ? "\r\n" : "\n");
            *body = out + text.length;
            for (unsigned i = 0; i < size; i++) {
                text_add_char(&text, (char)(roll(8) == 0 ? '\n' : 1 + roll(255)));
            }
        }
    }
    return out;
}

/* Whatever a mail program does, the order stays the same one. */
static void faithful(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        const char *body;
        const char *payload = random_payload(&body);
        const char *mail = mangled(order(round % 20 == 0 ? BY_ECDSA : BY_HMAC, payload));
        size_t piece = roll(2) == 0 ? 1 + roll(99) : SIZE_MAX;
        const struct mailed *mailed = read_pieces(&both, mail, strlen(mail), piece);

        if (mailed->proof != MAILED_SIGNED) {
            print_message("round %u: %s\n%s\n", round, mailed->why, mail);
        }
        good(mailed, payload);
        assert_int_equal(mailed->text_bytes, strlen(body));
        assert_int_equal(seen_size, strlen(body));
        assert_memory_equal(seen, body, seen_size);
    }
}

/* Whoever changes anything of it orders nothing. */
static void forged(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    static char mail[2 * MAILED_TEXT_MAX];
    unsigned refused = 0;

    (void)state;
    for (unsigned round = 0; round < 6000; round++) {
        const char *body;
        const char *payload = random_payload(&body);
        enum signer signer = round % 20 == 0 ? BY_ECDSA : BY_HMAC;
        size_t size, at;
        char was;

        strcpy(mail, order(signer, payload));
        size = strlen(mail);
        at = roll((uint32_t)size);
        was = mail[at];
        switch (roll(6)) {
        case 0: /* Another character of the alphabet. */
            mail[at] = alphabet[roll(65)];
            if (was == '\n' || was == ' ' || mail[at] == was) {
                continue; /* It then stands between two lines, and may be none of the block. */
            }
            break;
        case 1: /* Any byte. */
            mail[at] = (char)(1 + roll(255));
            break;
        case 2: /* A character is lost. */
            memmove(mail + at, mail + at + 1, size - at);
            break;
        case 3: /* Two changed places. */
            mail[at] = mail[at + 1 < size ? at + 1 : 0];
            mail[at + 1 < size ? at + 1 : 0] = was;
            break;
        case 4: /* Cut. */
            mail[at] = '\0';
            break;
        default: /* Another character more. */
            memmove(mail + at + 1, mail + at, size - at + 1);
            mail[at] = alphabet[roll(65)];
            break;
        }
        const struct mailed *mailed = read_mail(&both, mail);

        if (mailed->proof == MAILED_SIGNED) {
            /* Then nothing of the order itself was touched: blanks, dashes, a line's case. */
            good(mailed, payload);
            continue;
        }
        assert_int_not_equal(mailed->proof, MAILED_OTP);
        refused++;
    }
    assert_true(refused > 4500);
}

/* Every byte of the payload, and every bit of the signature, is covered; and every cut is seen. */
static void covered(void **state)
{
    static const char payload[] = "tocsin 1\ndevice " DEVICE "\ncounter 17\ncommand config set\n\n"
                                  "hostname = a\n";
    char changed[sizeof payload];
    char mail[1024];
    const char *of_this, *of_changed;
    size_t head;

    (void)state;
    for (enum signer signer = BY_HMAC; signer <= BY_ECDSA; signer++) {
        for (size_t i = 0; i < sizeof payload - 1; i++) {
            /* The block of another payload, with the signature of this one. */
            memcpy(changed, payload, sizeof payload);
            changed[i] ^= (char)(1u << roll(7));
            of_changed = block(signer, changed, sizeof payload - 1);
            head = (size_t)(strstr(of_changed, "-----TOCSIN") - of_changed);
            memcpy(mail, of_changed, head);
            of_this = order(signer, payload);
            strcpy(mail + head, strstr(of_this, "-----TOCSIN"));
            assert_int_equal(read_mail(&both, mail)->proof, MAILED_REFUSED);
        }
        strcpy(mail, order(signer, payload));
        good(read_mail(&both, mail), payload);
        mail[strlen(mail) - strlen("-----\n")] = '\0'; /* The last dashes need not be there. */
        good(read_mail(&both, mail), payload);
        for (size_t cut = strlen(mail) - 1; cut > 10; cut--) {
            mail[cut] = '\0';
            assert_int_not_equal(read_mail(&both, mail)->proof, MAILED_SIGNED);
        }
    }
    for (unsigned bit = 0; bit < 8 * DIGEST_SHA256_BYTES; bit++) {
        uint8_t signature[DIGEST_SIGNATURE_MAX];
        struct text text = text_begin(mail, sizeof mail);
        size_t size = sign(BY_HMAC, payload, sizeof payload - 1, signature);

        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        text_add(&text, "-BEGIN TOCSIN COMMAND-");
        add_base64(&text, payload, sizeof payload - 1);
        text_add(&text, "-TOCSIN SIGNATURE-");
        add_base64(&text, signature, size);
        text_add(&text, "-END TOCSIN COMMAND-");
        bad(read_mail(&both, mail), E_SECURITY, "the signature is wrong");
    }
    strcpy(mail, order(BY_OTHER, payload));
    bad(read_mail(&both, mail), E_SECURITY, "the signature is wrong");
}

static void payloads(void **state)
{
    static const char lines[] = "the lines are not tocsin, device, counter, command";
    static const char counter[] = "the counter is not 1 to 4294967295";
    static const char device[] = "the device is not 16 hex digits";
    static const struct {
        const char *payload, *why;
    } list[] = {
        {"tocsin 1\n", "the payload has no command"},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1\n", "the payload has no command"},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand", lines},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand \n", lines},
        {"tocsin 2\ndevice " DEVICE "\ncounter 1\ncommand x\n", "the payload is not of version 1"},
        {"Tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand x\n", lines},
        {"\ntocsin 1\ndevice " DEVICE "\ncounter 1\ncommand x\n", lines},
        {"tocsin 1\ncounter 1\ndevice " DEVICE "\ncommand x\n", lines},
        {"tocsin 1\ndevice " DEVICE "\ncommand x\ncounter 1\n", lines},
        {"tocsin 1\ndevice 0123456789abcde\ncounter 1\ncommand x\n", device},
        {"tocsin 1\ndevice 0123456789abcdef0\ncounter 1\ncommand x\n", device},
        {"tocsin 1\ndevice 0123456789abcdeg\ncounter 1\ncommand x\n", device},
        {"tocsin 1\ndevice\ncounter 1\ncommand x\n", lines},
        {"tocsin 1\ndevice " DEVICE "\ncounter 0\ncommand x\n", counter},
        {"tocsin 1\ndevice " DEVICE "\ncounter 4294967296\ncommand x\n", counter},
        {"tocsin 1\ndevice " DEVICE "\ncounter -1\ncommand x\n", counter},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1 2\ncommand x\n", counter},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand x\ny\n",
         "no empty line after the command"},
        {"tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand x\ncommand y",
         "no empty line after the command"},
    };
    char payload[300];

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const struct mailed *mailed = read_mail(&both, order(BY_HMAC, list[i].payload));

        if (mailed->proof != MAILED_REFUSED || strcmp(mailed->why, list[i].why) != 0) {
            print_message("%zu: %s\n", i, list[i].payload);
        }
        bad(mailed, E_INVALID, list[i].why);
    }
    for (int size = 190; size < 230; size++) {
        snprintf(payload, sizeof payload, "tocsin 1\ndevice " DEVICE "\ncounter 1\ncommand %0*u\n",
                 size, 7);
        if (size <= 199) {
            good(read_mail(&both, order(BY_HMAC, payload)), payload);
            assert_int_equal(strlen(read_mail(&both, order(BY_HMAC, payload))->command), size);
        } else {
            bad(read_mail(&both, order(BY_HMAC, payload)), E_SPACE,
                "the command is longer than 199 bytes");
        }
    }
}

static void long_text(void **state)
{
    static char payload[MAILED_TEXT_MAX + 200];
    int head = snprintf(payload, sizeof payload, "%s\n", PLAIN);

    (void)state;
    memset(payload + head, 'x', MAILED_TEXT_MAX);
    good(read_mail(&both, order(BY_HMAC, payload)), payload);
    assert_int_equal(seen_size, MAILED_TEXT_MAX);
    assert_memory_equal(seen, payload + head, MAILED_TEXT_MAX);
    payload[head + MAILED_TEXT_MAX] = 'x';
    bad(read_mail(&both, order(BY_HMAC, payload)), E_SPACE, "the text is longer than 32768 bytes");
}

/* The block itself, damaged. */
static void blocks(void **state)
{
#define SIGNATURE "\n---TOCSIN SIGNATURE---\n"
#define END "\n---END TOCSIN COMMAND---\n"
#define BEGIN "---BEGIN TOCSIN COMMAND---\n"
#define OF_32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    /* PLAIN in base64 has no padding; its signature is missing here. */
#define GOOD "dG9jc2luIDEKZGV2aWNlIDAxMjM0NTY3ODlhYmNkZWYKY291bnRlciAxCmNvbW1hbmQgeAo="
    static const char base64[] = "the block is not base64";
    static const char dashes[] = "a line of dashes is damaged";
    static const struct {
        const char *mail, *why;
    } list[] = {
        {BEGIN, "the block has no end"},
        {BEGIN GOOD, "the block has no end"},
        {BEGIN GOOD SIGNATURE, "the block has no end"},
        {BEGIN GOOD SIGNATURE OF_32, "the block has no end"},
        {BEGIN GOOD SIGNATURE OF_32 "\n---END TOCSIN", "the block has no end"},
        {BEGIN GOOD SIGNATURE OF_32 END, "the signature is wrong"},
        {BEGIN GOOD SIGNATURE END, "the block has no end"},
        {BEGIN GOOD END, dashes},
        {BEGIN GOOD "\n---TOCSIN-SIGNATURE---\n" OF_32 END, dashes},
        {BEGIN GOOD SIGNATURE OF_32 "\n---END TOCSIN BLOCK---", dashes},
        {BEGIN BEGIN GOOD SIGNATURE OF_32 END, dashes},
        {BEGIN GOOD "=" SIGNATURE OF_32 END, base64},
        {BEGIN GOOD "AAAA" SIGNATURE OF_32 END, base64},
        {BEGIN "=" GOOD SIGNATURE OF_32 END, base64},
        {BEGIN "A===" SIGNATURE OF_32 END, base64},
        {BEGIN GOOD "*" SIGNATURE OF_32 END, base64},
        {BEGIN "_" GOOD SIGNATURE OF_32 END, base64},
        {BEGIN "\xc3\xa9" GOOD SIGNATURE OF_32 END, base64},
        /* Bits left over: the last character is not the only one that gives these bytes. */
        {BEGIN
         "dG9jc2luIDEKZGV2aWNlIDAxMjM0NTY3ODlhYmNkZWYKY291bnRlciAxCmNvbW1hbmQgeAp=" SIGNATURE OF_32
             END,
         base64},
        {BEGIN
         "dG9jc2luIDEKZGV2aWNlIDAxMjM0NTY3ODlhYmNkZWYKY291bnRlciAxCmNvbW1hbmQgeAo" SIGNATURE OF_32
             END,
         "the block is cut short"},
        {BEGIN GOOD SIGNATURE "AAAAA" END, "the block is cut short"},
        {BEGIN GOOD SIGNATURE "AAAA" END, "the signature is wrong"},
        /* Quoted-printable that nobody undid. */
        {"---BEGIN TOCSIN COMMAND---=\n" GOOD SIGNATURE OF_32 END, base64},
        {BEGIN GOOD "3D" SIGNATURE OF_32 END, base64},
    };
    char mail[4096];

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const struct mailed *mailed = read_mail(&both, list[i].mail);

        if (mailed->proof != MAILED_REFUSED || strcmp(mailed->why, list[i].why) != 0) {
            print_message("%s: %s\n", list[i].mail, mailed->why);
        }
        assert_int_equal(mailed->proof, MAILED_REFUSED);
        assert_string_equal(mailed->why, list[i].why);
    }
    strcpy(mail, BEGIN GOOD SIGNATURE OF_32 OF_32 OF_32 END);
    memset(strstr(mail, OF_32), 'A', 3 * strlen(OF_32));
    bad(read_mail(&both, mail), E_INVALID, "the signature is too long");
    /* Two orders: which of them was meant? */
    strcpy(mail, order(BY_HMAC, PLAIN));
    strcat(mail, "\n\n");
    strcat(mail, order(BY_HMAC, PLAIN));
    bad(read_mail(&both, mail), E_INVALID, "it holds two orders");
    /* Words of a block alone are none. */
    assert_int_equal(read_mail(&both, "BEGIN TOCSIN COMMAND\nabcd")->proof, MAILED_NONE);
    assert_int_equal(read_mail(&both, "----- BEGIN TOCSIN COMMENT -----")->proof, MAILED_NONE);
    assert_int_equal(read_mail(&both, "")->proof, MAILED_NONE);
}

static void unconfigured(void **state)
{
    static const struct mailed_keys hmac = {.hmac = hmac_key};
    static const struct mailed_keys public = {.public = public_bytes + 1};
    static const struct mailed_keys wrong = {.hmac = other_key, .public = public_bytes + 2};
    static const struct mailed_keys none = {.otp = true};

    (void)state;
    good(read_mail(&hmac, order(BY_HMAC, PLAIN)), PLAIN);
    good(read_mail(&public, order(BY_ECDSA, PLAIN)), PLAIN);
    bad(read_mail(&hmac, order(BY_ECDSA, PLAIN)), E_SECURITY,
        "no command_public_key is configured");
    bad(read_mail(&public, order(BY_HMAC, PLAIN)), E_SECURITY, "no command_key is configured");
    bad(read_mail(&none, order(BY_HMAC, PLAIN)), E_SECURITY, "no command_key is configured");
    bad(read_mail(&wrong, order(BY_HMAC, PLAIN)), E_SECURITY, "the signature is wrong");
    bad(read_mail(&wrong, order(BY_ECDSA, PLAIN)), E_SECURITY, "the signature is wrong");
    bad(read_mail(&hmac, "otp MILT VARY MAST OK SEES WENT\nstatus\n"), E_SECURITY,
        "one-time passwords are not configured");
    assert_int_equal(read_mail(&hmac, "status\nnothing else\n")->proof, MAILED_NONE);
    assert_int_equal(read_mail(&hmac, "otpimal\n")->proof, MAILED_NONE);
}

static void otp_mails(void **state)
{
    static const uint8_t response[] = {0xBB, 0x9E, 0x6A, 0xE1, 0x97, 0x9D, 0x8F, 0xF4};
    static const struct {
        const char *mail, *command;
    } list[] = {
        {"otp MILT VARY MAST OK SEES WENT\nstatus\n", "status"},
        {"status\notp MILT VARY MAST OK SEES WENT\n", "status"},
        {"Otp: milt vary mast ok sees went\n\n  Status  \n", "Status"},
        {"OTP:bb9e6ae1979d8ff4\nack 12", "ack 12"},
        {"otp BB9E 6AE1 979D 8FF4\nmute  10.0.0.7\t2h\nmore\n", "mute 10.0.0.7 2h"},
        {"otp MILT VARY MAST OK SEES WENT status", "status"},
        {"otp BB9E6AE1979D8FF4 poll 10m\n", "poll 10m"},
        /* Wrapped, quoted, with a greeting and a footer. */
        {"otp MILT VARY\nMAST OK\nSEES WENT\nstatus\n", "status"},
        {"otp\nMILT VARY MAST OK SEES WENT\nstatus\n", "status"},
        {"otp:\r\n\r\nMILT VARY MAST OK\r\n> quoted\r\nSEES WENT status\r\n", "status"},
        {"> otp MILT\nstatus\notp MILT VARY MAST OK SEES WENT\n> status 2\n", "status"},
        {"Hello,\notp MILT VARY MAST OK SEES WENT status\n", "status"},
        {"otp MILT VARY MAST OK SEES WENT\nstatus\n-- \nreboot\n", "status"},
        {"otp MILT VARY MAST OK SEES WENT\nstatus\n\nSent from my phone\n", "status"},
        {"otp\xc2\xa0MILT VARY\xe2\x80\x83MAST OK SEES WENT\nstatus", "status"},
        {"otp MI\xe2\x80\x8bLT VARY MAST OK SEES\xc2\xad WENT\nstatus", "status"},
        {"\xef\xbb\xbfotp MILT VARY MAST OK SEES WENT\nstatus", "status"},
        {"otp MILT VARY MAST OK SEES WENT\ntest \xe2\x80\x94round-trip\n", "test --round-trip"},
        {"otp MILT VARY MAST OK SEES WENT\nmute \xd1\x81\xd0\xb5\xd1\x80 1h",
         "mute \xd1\x81\xd0\xb5\xd1\x80 1h"},
        {"otp MILT VARY MAST OK SEES WENT\notp 99 ke1234 BB9E6AE1979D8FF4",
         "otp 99 ke1234 BB9E6AE1979D8FF4"},
    };
    uint8_t named[200 + sizeof response], hash[DIGEST_SHA256_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        for (size_t piece = 1; piece <= strlen(list[i].mail); piece++) {
            const struct mailed *mailed =
                read_pieces(&both, list[i].mail, strlen(list[i].mail), piece);

            if (mailed->proof != MAILED_OTP) {
                print_message("%s: %s\n", list[i].mail, mailed->why);
            }
            assert_int_equal(mailed->proof, MAILED_OTP);
            assert_string_equal(mailed->command, list[i].command);
            assert_string_equal(mailed->device, "");
            assert_memory_equal(mailed->response, response, sizeof response);
            memcpy(named, response, sizeof response);
            memcpy(named + sizeof response, list[i].command, strlen(list[i].command));
            hash_of(named, sizeof response + strlen(list[i].command), hash);
            assert_memory_equal(mailed->hash, hash, sizeof hash);
        }
    }
}

static void otp_refused(void **state)
{
    static const struct {
        const char *mail;
        int error;
        const char *why;
    } wrong[] = {
        {"otp MILT VARY MAST OK SEES WENT\n", E_INVALID, "no command with the one-time password"},
        {"otp MILT VARY MAST OK SEES WENT\n> status\n-- \nstatus\n", E_INVALID,
         "no command with the one-time password"},
        {"otp MILT VARY MAST OK SEES\n", E_INVALID, "the one-time password is cut short"},
        {"otp MILT VARY MAST OK\n-- \nSEES WENT\nstatus\n", E_INVALID,
         "the one-time password is cut short"},
        {"otp", E_INVALID, "the one-time password is cut short"},
        {"otp MILT VARY MAST OK SEES WERE\nstatus\n", E_INVALID, "that is no one-time password"},
        {"otp MILT VARY MAST OK SEES\nstatus\n", E_INVALID, "that is no one-time password"},
        {"otp status\n", E_INVALID, "that is no one-time password"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bad(read_mail(&both, wrong[i].mail), wrong[i].error, wrong[i].why);
    }
    assert_int_equal(read_mail(&both, "status\n-- \notp MILT VARY MAST OK SEES WENT")->proof,
                     MAILED_NONE);
}

static void otp_long(void **state)
{
    char mail[600];

    (void)state;
    /* A long line of a letter is no command; as a command it is too long. */
    snprintf(mail, sizeof mail, "otp MILT VARY MAST OK SEES WENT status\n%0500u\n", 7);
    assert_int_equal(read_mail(&both, mail)->proof, MAILED_OTP);
    snprintf(mail, sizeof mail, "otp MILT VARY MAST OK SEES WENT\n%0500u\n", 7);
    bad(read_mail(&both, mail), E_SPACE, "the command is longer than 199 bytes");
    snprintf(mail, sizeof mail, "otp MILT VARY MAST OK SEES WENT %0200u\n", 7);
    bad(read_mail(&both, mail), E_SPACE, "the command is longer than 199 bytes");
    snprintf(mail, sizeof mail, "otp: B B 9 E 6 A E 1 9 7 9 D 8 F F 4 %0199u\n", 7);
    assert_int_equal(read_mail(&both, mail)->proof, MAILED_OTP);
    assert_int_equal(strlen(read_mail(&both, mail)->command), 199);
    /* A signed order in the same mail counts alone, wherever it stands. */
    snprintf(mail, sizeof mail, "otp is fine\n%s", order(BY_HMAC, PLAIN));
    good(read_mail(&both, mail), PLAIN);
    snprintf(mail, sizeof mail, "otp MILT VARY MAST OK SEES WENT\nreboot\n-- \n%s",
             order(BY_HMAC, PLAIN));
    good(read_mail(&both, mail), PLAIN);
    assert_string_equal(read_mail(&both, mail)->command, "status");
}

/* How a mail may carry a text: its header's lines, and how the body is written. */
enum carrier { PLAIN_7BIT, QUOTED_PRINTABLE, BASE64, FLOWED, HTML, HTML_LINES, BOTH, CARRIERS };

static void add_quoted(struct text *out, const char *text)
{
    unsigned column = 0;

    for (; *text != '\0'; text++) {
        bool as_is = *text > ' ' && *text != '=' && *text != 0x7F && roll(10) > 0;

        if (*text == '\n') {
            text_add(out, "\r\n");
            column = 0;
            continue;
        }
        if (column > 60) {
            text_add(out, "=\r\n");
            column = 0;
        }
        if (as_is) {
            text_add_char(out, *text);
        } else {
            text_add(out, "=");
            text_add_char(out, "0123456789ABCDEF"[(uint8_t)*text >> 4]);
            text_add_char(out, "0123456789ABCDEF"[*text & 15]);
        }
        column += as_is ? 1 : 3;
    }
    text_add(out, "\r\n");
}

static void add_html(struct text *out, const char *text, bool lines)
{
    text_add(out, "<html><head><style>p { x: y }</style></head><body><div dir=3D>");
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            text_add(out, lines ? "</div>\r\n<div>" : "<br>");
        } else if (*text == '>') {
            text_add(out, "&gt;");
        } else if (*text == ' ' && roll(2) == 0) {
            text_add(out, "&nbsp;");
        } else {
            text_add_char(out, *text);
        }
    }
    text_add(out, "</div></body></html>\r\n");
}

static void add_lines(struct text *out, const char *text, const char *end)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            text_add(out, end);
        } else {
            text_add_char(out, *text);
        }
    }
}

static const char *carried(enum carrier carrier, const char *text)
{
    static char mail[65536];
    struct text out = text_begin(mail, sizeof mail);

    text_add(&out, "From: me@example.com\r\nSubject: tocsin\r\nMIME-Version: 1.0\r\n");
    switch (carrier) {
    case QUOTED_PRINTABLE:
        text_add(&out, "Content-Type: text/plain; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        add_quoted(&out, text);
        break;
    case BASE64:
        text_add(&out, "Content-Type: text/plain; charset=\"UTF-8\"\r\n"
                       "Content-Transfer-Encoding: BASE64\r\n\r\n");
        add_base64(&out, text, strlen(text));
        break;
    case FLOWED:
        text_add(&out, "Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n");
        add_lines(&out, text, " \r\n");
        break;
    case HTML:
    case HTML_LINES:
        text_add(&out, "Content-Type: text/html; charset=utf-8\r\n\r\n");
        add_html(&out, text, carrier == HTML_LINES);
        break;
    case BOTH:
        text_add(&out, "Content-Type: multipart/alternative; boundary=\"=_b 1\"\r\n\r\n--=_b 1\r\n"
                       "Content-Type: text/plain\r\n\r\n");
        add_lines(&out, text, "\r\n");
        text_add(&out, "\r\n--=_b 1\r\nContent-Type: text/html\r\n\r\n");
        add_html(&out, text, true);
        text_add(&out, "--=_b 1--\r\n");
        break;
    default:
        text_add(&out, "\r\n");
        add_lines(&out, text, "\r\n");
        break;
    }
    assert_false(out.cut);
    return mail;
}

static void take_text(void *context, const char *bytes, size_t size)
{
    mailed_push(context, bytes, size);
}

static const struct mailed *read_carried(const char *mail)
{
    static struct mailed mailed;
    static struct mime mime;
    const struct mime_sink sink = {.context = &mailed, .text = take_text};

    seen_size = 0;
    mailed_init(&mailed, &both);
    mime_init(&mime, &sink);
    mime_push(&mime, mail, strlen(mail));
    mime_end(&mime);
    mailed_end(&mailed);
    return &mailed;
}

/* The same, in whole mails: through the reader that the device has. */
static void mails(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 1500; round++) {
        const char *body;
        const char *payload = random_payload(&body);
        const char *text = order(BY_HMAC, payload);
        const struct mailed *mailed;
        static char quoted[16384];
        struct text out = text_begin(quoted, sizeof quoted);

        if (roll(2) == 0) {
            text_add(&out, "Hi,\n> ");
            add_lines(&out, text, "\n> ");
            text = quoted;
        }
        mailed = read_carried(carried((enum carrier)(round % CARRIERS), text));
        if (mailed->proof != MAILED_SIGNED) {
            print_message("round %u, carrier %u: %s\n", round, round % CARRIERS, mailed->why);
        }
        good(mailed, payload);
        assert_int_equal(seen_size, strlen(body));
        assert_memory_equal(seen, body, seen_size);
    }
    for (unsigned carrier = 0; carrier < CARRIERS; carrier++) {
        const struct mailed *mailed = read_carried(
            carried((enum carrier)carrier, "Hello\n\notp milt vary mast ok sees went\nstatus\n"));

        if (carrier == FLOWED) {
            continue; /* That is one line, whose first words are no order. */
        }
        assert_int_equal(mailed->proof, MAILED_OTP);
        assert_string_equal(mailed->command, "Hello");
        mailed =
            read_carried(carried((enum carrier)carrier,
                                 "otp milt vary mast ok sees went\n\ntest --round-trip\n-- \nMe"));
        assert_int_equal(mailed->proof, MAILED_OTP);
        assert_string_equal(mailed->command, "test --round-trip");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),        cmocka_unit_test(faithful), cmocka_unit_test(forged),
        cmocka_unit_test(covered),      cmocka_unit_test(payloads), cmocka_unit_test(long_text),
        cmocka_unit_test(unconfigured), cmocka_unit_test(blocks),   cmocka_unit_test(otp_mails),
        cmocka_unit_test(otp_refused),  cmocka_unit_test(otp_long), cmocka_unit_test(mails),
    };

    memset(private_bytes, 0x5A, sizeof private_bytes);
    if (br_ec_compute_pub(&br_ec_p256_m31, NULL, public_bytes, &private_key) != 65) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
