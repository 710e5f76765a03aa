/* tls_pem.c - CA certificates from PEM text in pieces to BearSSL's trust anchors (RFC 7468).
 *
 * What people have in such files is taken: CRLF, text and other blocks between certificates, blanks
 * at the ends of lines, a byte order mark. What would be a mistake to take is refused in words.
 */
#include "net/tls_private.h"

#include <string.h>

enum block { BLOCK_NONE, BLOCK_CERTIFICATE, BLOCK_SKIPPED };

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

static void refuse(struct tls_pem *pem, int error, const char *why)
{
    if (pem->error == 0) {
        pem->error = error;
        pem->why = why;
    }
}

/* Takes one element of DER off the front of *bytes, which ends at end; NULL: it is not there. */
static const uint8_t *element(const uint8_t **bytes, const uint8_t *end, uint8_t tag, size_t *size)
{
    const uint8_t *at = *bytes;
    size_t length;
    size_t more;

    if (end - at < 2 || at[0] != tag) {
        return NULL;
    }
    length = at[1];
    at += 2;
    if (length >= 0x80) {
        more = length & 0x7F;
        for (length = 0; more > 0 && at < end && length <= 0xFF; more--) {
            length = length << 8 | *at++;
        }
        if (more > 0) {
            return NULL;
        }
    }
    if (length > (size_t)(end - at)) {
        return NULL;
    }
    *bytes = at + length;
    *size = length;
    return at;
}

/* An INTEGER without its leading zeros. */
static unsigned char *integer(const uint8_t **bytes, const uint8_t *end, size_t *size)
{
    const uint8_t *value = element(bytes, end, 0x02, size);

    while (value != NULL && *size > 0 && *value == 0) {
        value++;
        (*size)--;
    }
    /* BearSSL's keys are not const, though it only reads them. */
    return (unsigned char *)(uintptr_t)value;
}

/* Reads the contents of a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 8017 A.1.1); false: there is
 * none. */
static bool public_key(const uint8_t *bytes, const uint8_t *end, uint8_t kind, br_x509_pkey *key)
{
    size_t size;
    const uint8_t *point;
    const uint8_t *algorithm = element(&bytes, end, 0x30, &size);

    point = element(&bytes, end, 0x03, &size);
    if (algorithm == NULL || point == NULL || size < 2 || *point != 0) {
        return false;
    }
    point++;
    size--;
    if (kind != TLS_DER_RSA) {
        key->key_type = BR_KEYTYPE_EC;
        key->key.ec.curve = kind;
        key->key.ec.q = (unsigned char *)(uintptr_t)point;
        key->key.ec.qlen = size;
        return true;
    }
    end = point + size;
    point = element(&point, end, 0x30, &size);
    if (point == NULL) {
        return false;
    }
    key->key_type = BR_KEYTYPE_RSA;
    key->key.rsa.n = integer(&point, end, &key->key.rsa.nlen);
    key->key.rsa.e = integer(&point, end, &key->key.rsa.elen);
    return key->key.rsa.n != NULL && key->key.rsa.e != NULL && key->key.rsa.elen > 0;
}

/* What is wrong with a certificate as such; NULL: nothing. */
static const char *why_not(const struct tls_pem *pem, const br_x509_pkey *key, bool key_read)
{
    const struct tls_der *der = &pem->der;

    if (pem->group_size != 0) {
        return "the base64 text of a certificate is cut short";
    }
    if (!der->dead && der->depth > 0) {
        return "a certificate is cut short";
    }
    if (der->dead || der->subject_size == 0) {
        return "a block is not an X.509 certificate";
    }
    if (der->key == 0) {
        return "a certificate's key is neither RSA nor ECDSA on P-256, P-384 or P-521";
    }
    if (!key_read) {
        return "a certificate's key is malformed";
    }
    if (key->key_type == BR_KEYTYPE_RSA && key->key.rsa.nlen < TLS_RSA_BYTES_MIN) {
        return "a certificate's RSA key is shorter than 2048 bits";
    }
    if (key->key_type == BR_KEYTYPE_RSA && key->key.rsa.nlen > TLS_RSA_BYTES_MAX) {
        return "a certificate's key is larger than RSA-4096";
    }
    return NULL;
}

/* The block's end was reached: makes an anchor of the certificate. */
static void end_certificate(struct tls_pem *pem)
{
    struct tls_anchors *anchors = pem->anchors;
    const struct tls_der *der = &pem->der;
    br_x509_trust_anchor *anchor = &anchors->anchor[anchors->count];
    bool fits = der->kept <= der->keep_size;
    bool key_read =
        fits && tls_der_complete(der) && der->key != 0 &&
        public_key(der->keep + der->subject_size, der->keep + der->kept, der->key, &anchor->pkey);
    const char *why = why_not(pem, &anchor->pkey, key_read || !fits);

    if (!fits && der->key != 0) {
        refuse(pem, E_SPACE, "the CA certificates' names and keys do not fit into 3 KB");
    } else if (why != NULL) {
        refuse(pem, E_INVALID, why);
    } else {
        anchor->dn.data = der->keep;
        anchor->dn.len = der->subject_size;
        /* One that is no CA vouches for itself only: the self-signed certificate of one server. */
        anchor->flags = (der->flags & TLS_DER_CA) != 0 ? BR_X509_TA_CA : 0;
        anchors->bytes_used += der->kept;
        anchors->count++;
        pem->count++;
    }
}

static void begin_certificate(struct tls_pem *pem)
{
    if (pem->anchors->count >= TLS_ANCHOR_MAX) {
        refuse(pem, E_SPACE, "there are more than 8 CA certificates");
        return;
    }
    pem->block = BLOCK_CERTIFICATE;
    pem->group = 0;
    pem->group_size = 0;
    pem->padding = 0;
    tls_der_begin(&pem->der, 0, NULL);
    pem->der.keep = pem->anchors->bytes + pem->anchors->bytes_used;
    pem->der.keep_size = sizeof pem->anchors->bytes - pem->anchors->bytes_used;
}

static bool ends_with(const char *string, const char *end)
{
    size_t size = strlen(string);
    size_t end_size = strlen(end);

    return size >= end_size && strcmp(string + size - end_size, end) == 0;
}

static bool is_certificate(const char *label)
{
    return strcmp(label, "CERTIFICATE-----") == 0 || strcmp(label, "X509 CERTIFICATE-----") == 0;
}

static void begin_block(struct tls_pem *pem, const char *label)
{
    if (is_certificate(label)) {
        begin_certificate(pem);
    } else if (ends_with(label, "PRIVATE KEY-----")) {
        refuse(pem, E_INVALID, "a private key does not belong here: give the certificate only");
    } else if (strcmp(label, "TRUSTED CERTIFICATE-----") == 0) {
        refuse(pem, E_INVALID,
               "a TRUSTED CERTIFICATE is OpenSSL's own: convert it with `openssl x509`");
    } else if (!ends_with(label, "-----")) {
        refuse(pem, E_INVALID, "a BEGIN line is damaged");
    } else {
        pem->block = BLOCK_SKIPPED;
    }
}

/* A line that began with a dash is complete. */
static void mark_line(struct tls_pem *pem)
{
    while (pem->line_size > 0 &&
           (pem->line[pem->line_size - 1] == ' ' || pem->line[pem->line_size - 1] == '\t')) {
        pem->line_size--;
    }
    pem->line[pem->line_size < TLS_LINE_BYTES ? pem->line_size : TLS_LINE_BYTES - 1] = '\0';
    if (text_starts_nocase(pem->line, begin_mark)) {
        if (pem->block != BLOCK_NONE) {
            refuse(pem, E_INVALID, "a block has no END line");
            return;
        }
        begin_block(pem, pem->line + sizeof begin_mark - 1);
    } else if (text_starts_nocase(pem->line, end_mark) && pem->block == BLOCK_SKIPPED) {
        pem->block = BLOCK_NONE;
    } else if (pem->block == BLOCK_CERTIFICATE) {
        if (!text_starts_nocase(pem->line, end_mark) ||
            !is_certificate(pem->line + sizeof end_mark - 1)) {
            refuse(pem, E_INVALID, "a certificate's END line is damaged");
            return;
        }
        end_certificate(pem);
        pem->block = BLOCK_NONE;
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
        refuse(pem, E_INVALID, "a certificate's text is not base64");
        return;
    }
    pem->group = pem->group << 6 | (uint32_t)value;
    if (++pem->group_size < 4) {
        return;
    }
    bytes[0] = (uint8_t)(pem->group >> 16);
    bytes[1] = (uint8_t)(pem->group >> 8);
    bytes[2] = (uint8_t)pem->group;
    pem->group = 0;
    pem->group_size = 0;
    if (tls_der_push(&pem->der, bytes, 3u - pem->padding) < 3u - pem->padding && !pem->der.dead) {
        refuse(pem, E_INVALID, "there is something behind the end of a certificate");
    }
}

/* Marks begin with a dash, which base64 has not: so one look at a line's first character tells. */
static void take(struct tls_pem *pem, char c)
{
    bool blank = c == ' ' || c == '\t';

    if (c == '\n' || c == '\r') {
        if (pem->line_size > 0 && pem->line[0] == '-') {
            mark_line(pem);
        }
        pem->line_size = 0;
    } else if (pem->line_size == 0 && (blank || (pem->block == BLOCK_NONE && (c & 0x80) != 0))) {
        return; /* Blanks and a byte order mark before the line. */
    } else if (pem->line_size == 0 || pem->line[0] == '-') {
        if (pem->line_size < TLS_LINE_BYTES) {
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
        refuse(pem, E_INVALID, "the text ends within a block: it is cut short");
    } else if (pushed == 0) {
        refuse(pem, E_INVALID,
               "there is no certificate in it: -----BEGIN CERTIFICATE----- is missing");
    }
    return result(pem, why);
}
