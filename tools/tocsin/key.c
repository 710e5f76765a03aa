/* key.c - makes and reads the keys that orders are signed with. */
#include "key.h"

#include "common.h"

#include "net/base64.h"
#include "net/text.h"

#include <bearssl_ec.h>
#include <bearssl_pem.h>
#include <bearssl_rand.h>
#include <bearssl_x509.h>
#include <stdio.h>
#include <string.h>

#define KEY_FILE_BYTES 65538
#define PEM_BYTES 1024

static const char pem_mark[] = "-----BEGIN ";

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* 64 hexadecimal digits, no more. */
static bool hex_read(const char *text, uint8_t out[DIGEST_KEY_BYTES])
{
    for (size_t i = 0; i < DIGEST_KEY_BYTES; i++) {
        int high = digit_of(text[2 * i]);
        int low = high < 0 ? -1 : digit_of(text[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * DIGEST_KEY_BYTES] == '\0';
}

/* Finds the digits in a text of lines, which is cut up. */
static bool hmac_read(char *text, uint8_t out[DIGEST_KEY_BYTES])
{
    for (char *line = strtok(text, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        size_t size;

        line += strspn(line, " \t");
        if (text_starts_nocase(line, "command_key")) {
            line += strlen("command_key");
            line += strspn(line, " \t");
            line += *line == '=' ? 1 : 0;
            line += strspn(line, " \t");
        }
        size = strcspn(line, " \t");
        if (line[size + strspn(line + size, " \t")] == '\0') {
            line[size] = '\0';
        }
        if (hex_read(line, out)) {
            return true;
        }
    }
    return false;
}

static void skey_push(void *context, const void *bytes, size_t size)
{
    br_skey_decoder_push(context, bytes, size);
}

/* Finds the block with a private key in a PEM text, and decodes it. */
static void pem_read(const char *path, const char *text, size_t size, br_skey_decoder_context *skey)
{
    static br_pem_decoder_context pem;
    bool found = false;

    br_pem_decoder_init(&pem);
    for (size_t at = 0; at < size;) {
        at += br_pem_decoder_push(&pem, text + at, size - at);
        switch (br_pem_decoder_event(&pem)) {
        case BR_PEM_BEGIN_OBJ:
            if (strcmp(br_pem_decoder_name(&pem), "ENCRYPTED PRIVATE KEY") == 0) {
                die("%s: the key is encrypted; `openssl pkey -in %s -out FILE` writes it as it is "
                    "read here",
                    path, path);
            }
            found = strcmp(br_pem_decoder_name(&pem), "EC PRIVATE KEY") == 0 ||
                    strcmp(br_pem_decoder_name(&pem), "PRIVATE KEY") == 0;
            br_skey_decoder_init(skey);
            br_pem_decoder_setdest(&pem, found ? skey_push : NULL, skey);
            break;
        case BR_PEM_END_OBJ:
            if (found) {
                return;
            }
            break;
        case BR_PEM_ERROR:
            die("%s: its base64 is damaged, or it is encrypted", path);
        default:
            break;
        }
    }
    die("%s: there is no whole private key in it", path);
}

static void public_of(const char *path, struct key *key)
{
    unsigned char bytes[BR_EC_KBUF_PUB_MAX_SIZE];

    if (br_ec_compute_pub(&br_ec_p256_m31, NULL, bytes, &key->private) != 1 + DIGEST_PUBLIC_BYTES) {
        die("%s: its number is no private key", path);
    }
    memcpy(key->public, bytes + 1, sizeof key->public);
}

static void ecdsa_read(const char *path, const char *text, size_t size, struct key *key)
{
    static br_skey_decoder_context skey;
    const br_ec_private_key *found;

    pem_read(path, text, size, &skey);
    found = br_skey_decoder_get_ec(&skey);
    if (br_skey_decoder_last_error(&skey) != 0) {
        die("%s: it is not a private key that can be read here", path);
    } else if (found != NULL && found->curve == BR_EC_secp256r1 &&
               found->xlen <= sizeof key->number) {
        key->is_ecdsa = true;
        memcpy(key->number, found->x, found->xlen);
        key->private = (br_ec_private_key){BR_EC_secp256r1, key->number, found->xlen};
        public_of(path, key);
    } else {
        die("%s: it is not a key of P-256 (prime256v1); `tocsin key ecdsa FILE` makes one", path);
    }
}

void key_read(const char *path, struct key *key)
{
    static char text[KEY_FILE_BYTES];
    size_t size = read_file(path, text, sizeof text);

    memset(key, 0, sizeof *key);
    if (strstr(text, pem_mark) != NULL) {
        ecdsa_read(path, text, size, key);
    } else if (!hmac_read(text, key->hmac)) {
        die("%s: neither a private key in PEM nor 64 hexadecimal digits are in it", path);
    }
    memset(text, 0, size);
}

static void public_print(const struct key *key)
{
    uint8_t der[DIGEST_SPKI_BYTES];
    char line[BASE64_SIZE(DIGEST_SPKI_BYTES) + 1];
    struct text text = text_begin(line, sizeof line);
    struct base64 base64 = base64_begin(&text);

    digest_public_write(key->public, der);
    base64_add(&base64, der, sizeof der);
    base64_end(&base64);
    printf("command_public_key = %s\n", line);
}

static void make_hmac(const char *path)
{
    uint8_t key[DIGEST_KEY_BYTES];
    char line[128];
    struct text text = text_begin(line, sizeof line);

    random_bytes(key, sizeof key);
    text_add(&text, "command_key = ");
    for (size_t i = 0; i < sizeof key; i++) {
        text_add_hex(&text, key[i], 2);
    }
    text_add(&text, "\n");
    if (path != NULL) {
        write_secret(path, line);
    }
    fputs(line, stdout);
}

static void make_ecdsa(const char *path)
{
    static struct key key;
    br_hmac_drbg_context drbg;
    uint8_t seed[64];
    unsigned char bytes[BR_EC_KBUF_PUB_MAX_SIZE], der[256];
    br_ec_public_key public = {BR_EC_secp256r1, bytes, 1 + DIGEST_PUBLIC_BYTES};
    char pem[PEM_BYTES];
    size_t size;

    random_bytes(seed, sizeof seed);
    br_hmac_drbg_init(&drbg, &br_sha256_vtable, seed, sizeof seed);
    if (br_ec_keygen(&drbg.vtable, &br_ec_p256_m31, &key.private, key.number, BR_EC_secp256r1) ==
        0) {
        die("no key could be made");
    }
    public_of(path, &key);
    bytes[0] = 0x04;
    memcpy(bytes + 1, key.public, sizeof key.public);
    size = br_encode_ec_pkcs8_der(der, &key.private, &public);
    if (size == 0 || size > sizeof der ||
        br_pem_encode(NULL, NULL, size, "PRIVATE KEY", BR_PEM_LINE64) >= sizeof pem) {
        die("the key could not be written as PEM");
    }
    (void)br_pem_encode(pem, der, size, "PRIVATE KEY", BR_PEM_LINE64);
    write_secret(path, pem);
    public_print(&key);
}

static void print_public(const char *path)
{
    static struct key key;

    key_read(path, &key);
    if (!key.is_ecdsa) {
        die("%s: that is the key of HMAC, which has no public half", path);
    }
    public_print(&key);
}

int command_key(int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "";

    if (strcmp(what, "hmac") == 0 && argc <= 2) {
        make_hmac(argc == 2 ? argv[1] : NULL);
    } else if (strcmp(what, "ecdsa") == 0 && argc == 2) {
        make_ecdsa(argv[1]);
    } else if (strcmp(what, "public") == 0 && argc == 2) {
        print_public(argv[1]);
    } else {
        die_usage("key: `hmac`, `hmac FILE`, `ecdsa FILE` or `public FILE` is wanted");
    }
    return 0;
}
