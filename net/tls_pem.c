/* tls_pem.c - CA certificates from PEM text in pieces to BearSSL's trust anchors (RFC 7468).
 *
 * What people have in such files is taken: CRLF, text and other blocks between certificates, blanks
 * at the ends of lines, a byte order mark. What would be a mistake to take is refused in words.
 */
#include "net/tls_private.h"

#include <string.h>

enum block { BLOCK_NONE, BLOCK_CERTIFICATE, BLOCK_SKIPPED };

/* What is wrong: places in the list below. Up to BAD_SPACE it is E_SPACE, then E_INVALID. */
enum bad {
    BAD_COUNT,
    BAD_SPACE,
    BAD_CUT,
    BAD_CERTIFICATE,
    BAD_KEY,
    BAD_KEY_SIZE,
    BAD_BASE64,
    BAD_BEGIN,
    BAD_END,
    BAD_SECRET,
    BAD_TRUSTED,
    BAD_NONE
};

static const char bads[] = "there are more than 8 CA certificates\0"
                           "the CA certificates take more than 3 KB\0"
                           "a certificate is cut short\0"
                           "a block is no X.509 certificate\0"
                           "a key is neither RSA nor ECDSA on P-256, P-384 or P-521\0"
                           "an RSA key has not 2048 to 4096 bits\0"
                           "a certificate is not base64\0"
                           "a BEGIN line is damaged\0"
                           "an END line is missing or damaged\0"
                           "a private key does not belong here\0"
                           "a TRUSTED CERTIFICATE: convert it by openssl x509\0"
                           "there is no certificate in it";

_Static_assert(TLS_ANCHOR_MAX == 8 && TLS_ANCHOR_BYTES == 3072, "as the sentences say");

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";

void tls_anchors_init(struct tls_anchors *anchors)
{
    memset(anchors, 0, sizeof *anchors);
}

void tls_pem_init(struct tls_pem *pem, struct tls_anchors *anchors)
{
    memset(pem, 0, sizeof *pem);
    pem->anchors = anchors;
}

static void refuse(struct tls_pem *pem, enum bad bad)
{
    pem->error = bad <= BAD_SPACE ? E_SPACE : E_INVALID;
    pem->why = text_item(bads, bad);
}

/* Takes one element of DER off the front of *bytes, which ends at end; NULL: it is not there. */
static unsigned char *element(const uint8_t **bytes, const uint8_t *end, unsigned tag, size_t *size)
{
    const uint8_t *at = tls_der_head(*bytes, end, tag, size);

    if (at == NULL || *size > (size_t)(end - at)) {
        return NULL;
    }
    *bytes = at + *size;
    while (tag == 0x02 && *size > 0 && *at == 0) {
        at++; /* BearSSL wants integers without leading zeros. */
        (*size)--;
    }
    /* Its keys are not const, though it only reads them. */
    return (unsigned char *)(uintptr_t)at;
}

/* Reads the contents of a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 8017 A.1.1); false: there is
 * none. */
static bool public_key(const uint8_t *bytes, const uint8_t *end, unsigned kind, br_x509_pkey *key)
{
    size_t size;
    const uint8_t *algorithm = element(&bytes, end, 0x30, &size);
    unsigned char *point = element(&bytes, end, 0x03, &size);

    if (algorithm == NULL || point == NULL || size < 2 || *point != 0) {
        return false;
    }
    if (kind != TLS_KEY_RSA) {
        key->key_type = BR_KEYTYPE_EC;
        key->key.ec.curve = (int)kind;
        key->key.ec.q = point + 1;
        key->key.ec.qlen = size - 1;
        return true;
    }
    end = point + size;
    bytes = tls_der_head(point + 1, end, 0x30, &size);
    if (bytes == NULL) {
        return false;
    }
    key->key_type = BR_KEYTYPE_RSA;
    key->key.rsa.n = element(&bytes, end, 0x02, &key->key.rsa.nlen);
    key->key.rsa.e = element(&bytes, end, 0x02, &key->key.rsa.elen);
    return key->key.rsa.n != NULL && key->key.rsa.e != NULL && key->key.rsa.elen > 0;
}

/* The block's end was reached: makes an anchor of the certificate. */
static void end_certificate(struct tls_pem *pem)
{
    struct tls_anchors *anchors = pem->anchors;
    const struct tls_der *der = &pem->der;
    br_x509_trust_anchor *anchor = &anchors->anchor[anchors->count];
    br_x509_pkey *key = &anchor->pkey;

    if (pem->group_size != 0 || (!der->dead && der->depth > 0)) {
        refuse(pem, BAD_CUT);
    } else if (der->dead || der->subject_size == 0) {
        refuse(pem, BAD_CERTIFICATE);
    } else if (der->key == 0) {
        refuse(pem, BAD_KEY);
    } else if (der->kept > der->keep_size) {
        refuse(pem, BAD_SPACE);
    } else if (!public_key(der->keep + der->subject_size, der->keep + der->kept, der->key, key)) {
        refuse(pem, BAD_CERTIFICATE);
    } else if (key->key_type == BR_KEYTYPE_RSA &&
               (key->key.rsa.nlen < TLS_RSA_BYTES_MIN || key->key.rsa.nlen > TLS_RSA_BYTES_MAX)) {
        refuse(pem, BAD_KEY_SIZE);
    } else {
        anchor->dn.data = der->keep;
        anchor->dn.len = der->subject_size;
        /* One that is no CA vouches for itself only: the self-signed certificate of one server. */
        anchor->flags = (der->faults & TLS_FAULT_CA) != 0 ? 0 : BR_X509_TA_CA;
        anchors->bytes_used += der->kept;
        anchors->count++;
        pem->count++;
    }
}

static void begin_certificate(struct tls_pem *pem)
{
    struct tls_anchors *anchors = pem->anchors;

    if (anchors->count >= TLS_ANCHOR_MAX) {
        refuse(pem, BAD_COUNT);
        return;
    }
    pem->block = BLOCK_CERTIFICATE;
    pem->group_size = 0;
    pem->padding = 0;
    tls_der_begin(&pem->der, 0, &pem->cert);
    pem->der.keep = anchors->bytes + anchors->bytes_used;
    pem->der.keep_size = sizeof anchors->bytes - anchors->bytes_used;
}

static bool ends_with(const char *string, const char *end)
{
    size_t size = strlen(string);
    size_t end_size = strlen(end);

    return size >= end_size && strcmp(string + size - end_size, end) == 0;
}

/* A line that began with a dash is complete, without blanks at its end. */
static void mark_line(struct tls_pem *pem, const char *line)
{
    bool is_certificate = ends_with(line, "CERTIFICATE-----");

    if (text_starts_nocase(line, begin_mark)) {
        if (pem->block != BLOCK_NONE) {
            refuse(pem, BAD_END);
        } else if (!ends_with(line, "-----")) {
            refuse(pem, BAD_BEGIN);
        } else if (ends_with(line, " PRIVATE KEY-----")) {
            refuse(pem, BAD_SECRET);
        } else if (ends_with(line, " TRUSTED CERTIFICATE-----")) {
            refuse(pem, BAD_TRUSTED);
        } else if (is_certificate) {
            begin_certificate(pem);
        } else {
            pem->block = BLOCK_SKIPPED;
        }
    } else if (text_starts_nocase(line, end_mark) &&
               (is_certificate || pem->block == BLOCK_SKIPPED)) {
        if (pem->block == BLOCK_CERTIFICATE) {
            end_certificate(pem);
        }
        pem->block = BLOCK_NONE;
    } else if (pem->block == BLOCK_CERTIFICATE) {
        refuse(pem, BAD_END);
    }
}

/* 0..63; -1: not of the alphabet (RFC 4648 4). */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void base64_char(struct tls_pem *pem, char c)
{
    int value = base64_value(c);
    uint8_t bytes[3];

    if (c == '=' && pem->group_size >= 2) {
        value = 0;
        pem->padding++;
    } else if (value < 0 || pem->padding > 0) {
        refuse(pem, BAD_BASE64);
        return;
    }
    pem->group = pem->group << 6 | (uint32_t)value;
    if (++pem->group_size < 4) {
        return;
    }
    bytes[0] = (uint8_t)(pem->group >> 16);
    bytes[1] = (uint8_t)(pem->group >> 8);
    bytes[2] = (uint8_t)pem->group;
    pem->group_size = 0;
    if (tls_der_push(&pem->der, bytes, 3u - pem->padding) < 3u - pem->padding) {
        refuse(pem, BAD_CERTIFICATE); /* Or there is something behind it. */
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Marks begin with a dash, which base64 has not: so one look at a line's first character tells. */
static void take(struct tls_pem *pem, char c)
{
    bool blank = is_blank(c);

    if (c == '\n' || c == '\r') {
        if (pem->line_size > 0 && pem->line[0] == '-') {
            while (is_blank(pem->line[pem->line_size - 1])) {
                pem->line_size--;
            }
            pem->line[pem->line_size] = '\0';
            mark_line(pem, pem->line);
        }
        pem->line_size = 0;
    } else if (pem->line_size == 0 && (blank || (pem->block == BLOCK_NONE && (c & 0x80) != 0))) {
        return; /* Blanks and a byte order mark before the line. */
    } else if (pem->line_size == 0 || pem->line[0] == '-') {
        if (pem->line_size < TLS_LINE_BYTES - 1) {
            pem->line[pem->line_size++] = c;
        }
        if (pem->line[0] != '-' && pem->block == BLOCK_CERTIFICATE) {
            base64_char(pem, c);
        }
    } else if (pem->block == BLOCK_CERTIFICATE && !blank) {
        base64_char(pem, c);
    }
}

static int result(const struct tls_pem *pem, const char **why)
{
    if (pem->error != 0) {
        if (why != NULL) {
            *why = pem->why;
        }
        return pem->error;
    }
    return pem->count;
}

int tls_pem_push(struct tls_pem *pem, const char *text, size_t size, const char **why)
{
    for (size_t i = 0; i < size && pem->error == 0; i++) {
        take(pem, text[i]);
    }
    return result(pem, why);
}

int tls_pem_end(struct tls_pem *pem, const char **why)
{
    int pushed = tls_pem_push(pem, "\n", 1, NULL);

    if (pushed >= 0 && pem->block != BLOCK_NONE) {
        refuse(pem, BAD_CUT);
    } else if (pushed == 0) {
        refuse(pem, BAD_NONE);
    }
    return result(pem, why);
}
