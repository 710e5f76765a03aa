/* tls_pem.c - CA certificates from PEM text to BearSSL's trust anchors (RFC 7468), in pieces of any size.
 *
 * What people have in such files is taken: CRLF, text and other blocks between certificates, blanks at the
 * ends of lines, a byte order mark. What would be a mistake to take is refused in words.
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
    pem->bytes_mark = anchors->bytes_used;
}

static void refuse(struct tls_pem *pem, int error, const char *why)
{
    if (pem->error == 0) {
        pem->error = error;
        pem->why = why;
    }
}

/* BearSSL's decoder hands out the subject's name on its way. */
static void append_dn(void *context, const void *bytes, size_t size)
{
    struct tls_pem *pem = context;
    struct tls_anchors *anchors = pem->anchors;

    if (size > sizeof anchors->bytes - anchors->bytes_used) {
        pem->overflow = true;
        return;
    }
    memcpy(anchors->bytes + anchors->bytes_used, bytes, size);
    anchors->bytes_used += size;
    pem->dn_size += size;
}

/* Copies a part of the key behind what is there; NULL: no room. */
static unsigned char *keep(struct tls_pem *pem, const unsigned char *bytes, size_t size)
{
    struct tls_anchors *anchors = pem->anchors;
    unsigned char *out = anchors->bytes + anchors->bytes_used;

    if (size > sizeof anchors->bytes - anchors->bytes_used) {
        pem->overflow = true;
        return out;
    }
    memcpy(out, bytes, size);
    anchors->bytes_used += size;
    return out;
}

static const char *decoder_why(int error)
{
    switch (error) {
    case BR_ERR_X509_TRUNCATED:
        return "a certificate is cut short";
    case BR_ERR_X509_UNSUPPORTED:
        return "a certificate's key is neither RSA nor ECDSA on P-256, P-384 or P-521";
    case BR_ERR_X509_LIMIT_EXCEEDED:
    case BR_ERR_X509_OVERFLOW:
        return "a certificate's key is larger than RSA-4096";
    case BR_ERR_X509_EXTRA_ELEMENT:
        return "there is something behind the end of a certificate";
    default:
        return "a block is not an X.509 certificate";
    }
}

/* The block's end was reached: makes an anchor of the certificate. */
static void end_certificate(struct tls_pem *pem)
{
    struct tls_anchors *anchors = pem->anchors;
    br_x509_trust_anchor *anchor = &anchors->anchor[anchors->count];
    int error = br_x509_decoder_last_error(&pem->decoder);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&pem->decoder);

    if (pem->group_size != 0) {
        refuse(pem, E_INVALID, "the base64 text of a certificate is cut short");
        return;
    }
    if (error != 0 || key == NULL) {
        refuse(pem, E_INVALID, decoder_why(error));
        return;
    }
    anchor->dn.data = anchors->bytes + pem->bytes_mark;
    anchor->dn.len = pem->dn_size;
    /* One that is no CA vouches for itself only: the self-signed certificate of one server. */
    anchor->flags = br_x509_decoder_isCA(&pem->decoder) ? BR_X509_TA_CA : 0;
    anchor->pkey = *key;
    if (key->key_type == BR_KEYTYPE_RSA) {
        if (key->key.rsa.nlen < TLS_RSA_BYTES_MIN) {
            refuse(pem, E_INVALID, "a certificate's RSA key is shorter than 2048 bits");
            return;
        }
        if (key->key.rsa.nlen > TLS_RSA_BYTES_MAX) {
            refuse(pem, E_INVALID, decoder_why(BR_ERR_X509_LIMIT_EXCEEDED));
            return;
        }
        anchor->pkey.key.rsa.n = keep(pem, key->key.rsa.n, key->key.rsa.nlen);
        anchor->pkey.key.rsa.e = keep(pem, key->key.rsa.e, key->key.rsa.elen);
    } else {
        anchor->pkey.key.ec.q = keep(pem, key->key.ec.q, key->key.ec.qlen);
    }
    if (pem->overflow) {
        refuse(pem, E_SPACE, "the CA certificates' names and keys do not fit into 3 KB");
        return;
    }
    anchors->count++;
    pem->count++;
    pem->bytes_mark = anchors->bytes_used; /* What fails later must not take this one along. */
}

static void begin_certificate(struct tls_pem *pem)
{
    if (pem->anchors->count >= TLS_ANCHOR_MAX) {
        refuse(pem, E_SPACE, "there are more than 8 CA certificates");
        return;
    }
    pem->block = BLOCK_CERTIFICATE;
    pem->dn_size = 0;
    pem->overflow = false;
    pem->group = 0;
    pem->group_size = 0;
    pem->padding = 0;
    br_x509_decoder_init(&pem->decoder, append_dn, pem);
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
        refuse(pem, E_INVALID, "a TRUSTED CERTIFICATE is OpenSSL's own: convert it with `openssl x509`");
    } else if (!ends_with(label, "-----")) {
        refuse(pem, E_INVALID, "a BEGIN line is damaged");
    } else {
        pem->block = BLOCK_SKIPPED;
    }
}

/* A line that began with a dash is complete. */
static void mark_line(struct tls_pem *pem)
{
    while (pem->line_size > 0 && (pem->line[pem->line_size - 1] == ' ' ||
                                  pem->line[pem->line_size - 1] == '\t')) {
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
    int error = br_x509_decoder_last_error(&pem->decoder);
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
    /* After an error the decoder must not run on: it would from a broken state. */
    if (error == 0 || error == BR_ERR_X509_TRUNCATED) {
        br_x509_decoder_push(&pem->decoder, bytes, 3u - pem->padding);
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
        if (pem->error != 0) {
            pem->anchors->bytes_used = pem->bytes_mark;
        }
    }
    return result(pem, why);
}

int tls_pem_end(struct tls_pem *pem, const char **why)
{
    int pushed = tls_pem_push(pem, "\n", 1, NULL);

    if (pushed >= 0 && pem->block != BLOCK_NONE) {
        refuse(pem, E_INVALID, "the text ends within a block: it is cut short");
        pem->anchors->bytes_used = pem->bytes_mark;
    } else if (pushed == 0) {
        refuse(pem, E_INVALID, "there is no certificate in it: -----BEGIN CERTIFICATE----- is missing");
    }
    return result(pem, why);
}
