/* tls_der.c - reads a certificate on its way past, for people (RFC 5280 4.1, X.690).
 *
 * The validator in BearSSL decides what is trusted; this reader gathers what it does not tell:
 * names, keys, dates, and the few extensions that it leaves alone. It works byte by byte in
 * constant memory, and gives up at the first oddity.
 *
 * Open levels, and what their children are:
 *
 *     1  the bytes as they come
 *     2  Certificate
 *     3  TBSCertificate
 *     4  a part of it (enum section)
 *     5  RDN, Extensions, AlgorithmIdentifier
 *     6  attribute, Extension
 *     7  an extension's OCTET STRING
 *     8  the SEQUENCE in there
 */
#include "net/tls_private.h"

#include <string.h>

enum step { STEP_TAG, STEP_LENGTH, STEP_LENGTH_BYTES, STEP_VALUE };

enum section {
    SECTION_OTHER,
    SECTION_SIGNATURE,
    SECTION_ISSUER,
    SECTION_VALIDITY,
    SECTION_SUBJECT,
    SECTION_KEY,
    SECTION_EXTENSIONS
};

enum kind { KIND_OTHER, KIND_COMMON_NAME, KIND_NAMES, KIND_BASIC, KIND_PURPOSES };

enum tag {
    TAG_BOOLEAN = 0x01,
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_OCTET_STRING = 0x04,
    TAG_OID = 0x06,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_DNS_NAME = 0x82,
    TAG_IP_ADDRESS = 0x87,
    TAG_VERSION = 0xA0,
    TAG_EXTENSIONS = 0xA3
};

struct oid {
    uint8_t size;
    uint8_t bytes[9];
};

static const struct oid oid_common_name = {3, {0x55, 0x04, 0x03}};
static const struct oid oid_alt_name = {3, {0x55, 0x1D, 0x11}};
static const struct oid oid_basic = {3, {0x55, 0x1D, 0x13}};
static const struct oid oid_name_constraints = {3, {0x55, 0x1D, 0x1E}};
static const struct oid oid_purposes = {3, {0x55, 0x1D, 0x25}};
static const struct oid oid_any_purpose = {4, {0x55, 0x1D, 0x25, 0x00}};
static const struct oid oid_server = {8, {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01}};
static const struct oid oid_rsa = {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01}};
static const struct oid oid_p256 = {8, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07}};
static const struct oid oid_p384 = {5, {0x2B, 0x81, 0x04, 0x00, 0x22}};
static const struct oid oid_p521 = {5, {0x2B, 0x81, 0x04, 0x00, 0x23}};
/* MD2, MD4, MD5 and SHA-1 with RSA, and SHA-1 with ECDSA (RFC 3279 2.2). */
static const struct oid oid_weak[] = {
    {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x02}},
    {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x03}},
    {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x04}},
    {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x05}},
    {7, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01}},
};

static bool value_is(const struct tls_der *der, const struct oid *oid)
{
    return der->length == oid->size && memcmp(der->value, oid->bytes, oid->size) == 0;
}

/* Two decimal digits of a time at offset; -1: not digits. */
static int two_digits(const struct tls_der *der, size_t offset)
{
    uint8_t tens = (uint8_t)(der->value[offset] - '0');
    uint8_t ones = (uint8_t)(der->value[offset + 1] - '0');

    return tens > 9 || ones > 9 ? -1 : tens * 10 + ones;
}

/* Seconds since 1970 of a UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them; 0: not such a
 * one, or before 1970. */
static uint64_t unix_time(const struct tls_der *der)
{
    size_t at = der->tag == TAG_GENERALIZED_TIME ? 2 : 0;
    int field[6]; /* Year of the century, month, day, hour, minute, second. */
    uint32_t year;
    uint32_t days;

    if (der->length != 13 + at || der->value[12 + at] != 'Z') {
        return 0;
    }
    for (size_t i = 0; i < 6; i++) {
        field[i] = two_digits(der, at + 2 * i);
        if (field[i] < 0) {
            return 0;
        }
    }
    if (at == 0) {
        year = (uint32_t)(field[0] + (field[0] >= 50 ? 1900 : 2000));
    } else if (two_digits(der, 0) < 0) {
        return 0;
    } else {
        year = (uint32_t)(two_digits(der, 0) * 100 + field[0]);
    }
    if (year < 1970 || field[1] < 1 || field[1] > 12 || field[2] < 1) {
        return 0;
    }
    /* Years that begin on 1 March have their leap day last. */
    if (field[1] < 3) {
        year--;
        field[1] += 12;
    }
    days = year * 365 + year / 4 - year / 100 + year / 400 +
           (uint32_t)((153 * (field[1] - 3) + 2) / 5 + field[2] - 1) - 719468;
    return (uint64_t)days * 86400 + (uint64_t)(field[3] * 3600 + field[4] * 60 + field[5]);
}

/* Reads a tag and a length out of the beginning of a BIT STRING; false: not there. */
static bool head(const struct tls_der *der, size_t *at, uint8_t tag, uint32_t *length)
{
    size_t bytes = 0;

    if (*at + 2 > der->value_size || der->value[*at] != tag) {
        return false;
    }
    *length = der->value[*at + 1];
    *at += 2;
    if (*length >= 0x80) {
        bytes = *length & 0x7F;
        *length = 0;
    }
    if (bytes > 2 || *at + bytes > der->value_size) {
        return false;
    }
    for (; bytes > 0; bytes--) {
        *length = *length << 8 | der->value[(*at)++];
    }
    return true;
}

/* "RSA-2048" of the subjectPublicKey of an RSA key (RFC 8017 A.1.1). */
static void rsa_key(struct tls_der *der)
{
    struct text text = text_begin(der->cert->key, sizeof der->cert->key);
    size_t at = 1; /* Behind the count of unused bits. */
    uint32_t length;
    uint32_t bits;

    if (!head(der, &at, TAG_SEQUENCE, &length) || !head(der, &at, TAG_INTEGER, &length)) {
        return;
    }
    while (length > 0 && at + 1 < der->value_size && der->value[at] == 0) {
        at++;
        length--;
    }
    if (length == 0 || at >= der->value_size) {
        return;
    }
    bits = length * 8;
    for (uint8_t top = der->value[at]; top < 0x80 && top > 0; top = (uint8_t)(top << 1)) {
        bits--;
    }
    text_add(&text, "RSA-");
    text_add_u32(&text, bits);
}

static void key_value(struct tls_der *der)
{
    static const struct {
        const struct oid *oid;
        uint8_t key;
        char name[6];
    } kinds[] = {{&oid_rsa, TLS_DER_RSA, "RSA"},
                 {&oid_p256, BR_EC_secp256r1, "P-256"},
                 {&oid_p384, BR_EC_secp384r1, "P-384"},
                 {&oid_p521, BR_EC_secp521r1, "P-521"}};

    if (der->tag == TAG_BIT_STRING && der->key == TLS_DER_RSA && der->cert != NULL) {
        rsa_key(der);
    }
    for (size_t i = 0; der->tag == TAG_OID && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (value_is(der, kinds[i].oid)) {
            der->key = kinds[i].key;
            if (der->cert != NULL) {
                text_copy(der->cert->key, sizeof der->cert->key, kinds[i].name);
            }
        }
    }
}

/* The common name wins; without one the last attribute stands, as it is the most specific. */
static void name_value(struct tls_der *der, char *out)
{
    struct text text;

    if (der->tag == TAG_OID) {
        der->kind = value_is(der, &oid_common_name) ? KIND_COMMON_NAME : KIND_OTHER;
    } else if (!der->common_name || der->kind == KIND_COMMON_NAME) {
        text = text_begin(out, TLS_NAME_BYTES);
        text_add_printable(&text, (const char *)der->value, der->value_size);
        der->common_name = der->kind == KIND_COMMON_NAME;
    }
}

static void add_name(struct tls_der *der)
{
    uint32_t address_be = 0;

    if (der->tag == TAG_IP_ADDRESS && der->length == sizeof address_be) {
        memcpy(&address_be, der->value, sizeof address_be);
        if (der->address_be != 0 && address_be == der->address_be) {
            der->flags |= TLS_DER_ADDRESS;
        }
    } else if (der->tag != TAG_DNS_NAME) {
        return;
    }
    if (der->tag == TAG_DNS_NAME && der->cert != NULL && der->cert->subject[0] == '\0') {
        struct text subject = text_begin(der->cert->subject, sizeof der->cert->subject);

        text_add_printable(&subject, (const char *)der->value, der->value_size);
    }
    if (der->names == NULL) {
        return;
    }
    if (der->names->length > 0) {
        text_add(der->names, ", ");
    }
    if (der->tag == TAG_DNS_NAME) {
        text_add_printable(der->names, (const char *)der->value, der->value_size);
    } else {
        text_add_ipv4(der->names, address_be);
    }
}

static void extension_value(struct tls_der *der)
{
    if (der->depth == 6 && der->tag == TAG_OID) {
        if (value_is(der, &oid_alt_name)) {
            der->kind = KIND_NAMES;
        } else if (value_is(der, &oid_basic)) {
            der->kind = KIND_BASIC;
        } else if (value_is(der, &oid_purposes)) {
            der->kind = KIND_PURPOSES;
            der->flags |= TLS_DER_PURPOSES;
        } else if (value_is(der, &oid_name_constraints)) {
            der->flags |= TLS_DER_NAME_CONSTRAINTS;
        }
    } else if (der->depth == 8 && der->kind == KIND_NAMES) {
        add_name(der);
    } else if (der->depth == 8 && der->kind == KIND_BASIC) {
        if (der->tag == TAG_BOOLEAN && der->value_size == 1 && der->value[0] != 0) {
            der->flags |= TLS_DER_CA;
        }
    } else if (der->depth == 8 && der->kind == KIND_PURPOSES && der->tag == TAG_OID) {
        if (value_is(der, &oid_server) || value_is(der, &oid_any_purpose)) {
            der->flags |= TLS_DER_SERVER;
        }
    }
}

/* A value is complete: der->tag, der->length and the beginning in der->value. */
static void on_value(struct tls_der *der)
{
    if (der->section == SECTION_EXTENSIONS) {
        extension_value(der);
    } else if (der->section == SECTION_SIGNATURE && der->tag == TAG_OID) {
        for (size_t i = 0; i < sizeof oid_weak / sizeof oid_weak[0]; i++) {
            der->flags |= value_is(der, &oid_weak[i]) ? TLS_DER_WEAK_HASH : 0;
        }
    } else if (der->section == SECTION_KEY) {
        key_value(der);
    } else if (der->cert == NULL) {
        return;
    } else if (der->section == SECTION_ISSUER && der->depth == 6) {
        name_value(der, der->cert->issuer);
    } else if (der->section == SECTION_SUBJECT && der->depth == 6) {
        name_value(der, der->cert->subject);
    } else if (der->section == SECTION_VALIDITY && der->level[der->depth - 1].index == 1) {
        der->cert->not_before_unix_s = unix_time(der);
    } else if (der->section == SECTION_VALIDITY && der->level[der->depth - 1].index == 2) {
        der->cert->not_after_unix_s = unix_time(der);
    }
}

/* Keeps bytes of the subject and the key, as far as there is room. */
static void keep(struct tls_der *der, const uint8_t *bytes, size_t size)
{
    if (der->keep == NULL || (der->section != SECTION_SUBJECT && der->section != SECTION_KEY)) {
        return;
    }
    if (der->kept + size <= der->keep_size) {
        memcpy(der->keep + der->kept, bytes, size);
    }
    der->kept += size;
}

/* Keeps the head of a name again, in the one way that DER has for it (X.690 10.1). */
static void keep_head(struct tls_der *der)
{
    uint8_t head[4] = {der->tag};
    size_t size = 1;

    if (der->length >= 0x100) {
        head[size++] = 0x82;
        head[size++] = (uint8_t)(der->length >> 8);
    } else if (der->length >= 0x80) {
        head[size++] = 0x81;
    }
    head[size++] = (uint8_t)der->length;
    keep(der, head, size);
}

/* Which part of the TBSCertificate begins: its fields before the extensions have fixed places. */
static uint8_t section(uint8_t index, uint8_t tag)
{
    if (index < SECTION_EXTENSIONS) {
        return index; /* 0 is the serial number, of no interest. */
    }
    return tag == TAG_EXTENSIONS ? SECTION_EXTENSIONS : SECTION_OTHER;
}

/* Whether the element in hand is opened rather than taken as a value. */
static bool descends(const struct tls_der *der)
{
    bool nested = der->tag == TAG_SEQUENCE || der->tag == TAG_SET;

    switch (der->depth) {
    case 1:
        return nested;
    case 2:
        return nested && der->level[1].index == 0; /* Not the outer signature algorithm. */
    case 3:
        return nested || der->section == SECTION_EXTENSIONS;
    case 6:
        return nested || (der->section == SECTION_EXTENSIONS && der->tag == TAG_OCTET_STRING &&
                          der->kind != KIND_OTHER);
    case TLS_DER_DEPTH:
        return false;
    default:
        return nested;
    }
}

/* A tag and its length have been read: opens a level or expects a value. */
static void on_head(struct tls_der *der)
{
    uint8_t *index = &der->level[der->depth - 1].index;
    bool open;

    if (der->depth == 1) {
        der->dead = der->tag != TAG_SEQUENCE || *index > 0; /* Or something behind it. */
        if (der->open_ended) {
            der->level[0].left = der->length;
        }
    }
    der->dead = der->dead || der->length > der->level[der->depth - 1].left;
    if (der->dead) {
        return;
    }
    der->level[der->depth - 1].left -= der->length;
    der->left = der->length;
    der->value_size = 0;
    der->step = STEP_VALUE;
    if (der->depth < 3) {
        der->section = SECTION_OTHER;
    } else if (der->depth == 3) {
        if (der->tag == TAG_VERSION && *index == 0) {
            der->section = SECTION_OTHER;
            return; /* It may be left out, so that it is not counted. */
        }
        der->section = section(*index, der->tag);
        der->common_name = false;
        if (der->section == SECTION_SUBJECT) {
            keep_head(der);
        } else if (der->section == SECTION_KEY) {
            der->subject_size = der->kept;
        }
    }
    if (der->depth == 3 || (der->depth == 5 && der->tag == TAG_SEQUENCE)) {
        der->kind = KIND_OTHER; /* Another part, attribute or extension. */
    }
    open = descends(der);
    *index = (uint8_t)(*index + (*index < 255 ? 1 : 0));
    if (open) {
        der->level[der->depth].left = der->length;
        der->level[der->depth].index = 0;
        der->depth++;
        der->left = 0;
        der->step = STEP_TAG;
    }
}

static void end_levels(struct tls_der *der)
{
    while (der->depth > 0 && der->level[der->depth - 1].left == 0) {
        der->depth--;
    }
}

/* Takes one byte of a tag or a length. */
static void on_head_byte(struct tls_der *der, uint8_t byte)
{
    if (der->level[der->depth - 1].left == 0) {
        der->dead = true;
        return;
    }
    der->level[der->depth - 1].left--;
    if (der->depth > 3) {
        keep(der, &byte, 1);
    }
    if (der->step == STEP_TAG) {
        der->tag = byte;
        der->step = STEP_LENGTH;
        der->dead = (byte & 0x1F) == 0x1F; /* Long tags do not occur in certificates. */
        return;
    }
    if (der->step == STEP_LENGTH) {
        der->length = byte;
        der->length_bytes = 0;
        if (byte >= 0x80) {
            der->length = 0;
            der->length_bytes = byte & 0x7F;
            der->dead = byte == 0x80 || der->length_bytes > 4;
            der->step = STEP_LENGTH_BYTES;
            return;
        }
    } else {
        der->dead = der->length > 0xFFFF; /* A chain has 24 bits for its length. */
        der->length = der->length << 8 | byte;
        der->length_bytes--;
    }
    if (der->length_bytes == 0 && !der->dead) {
        on_head(der);
    }
}

void tls_der_begin(struct tls_der *der, uint32_t size, struct tls_cert *cert)
{
    memset(der, 0, sizeof *der);
    der->depth = 1;
    der->open_ended = size == 0;
    der->level[0].left = size > 0 ? size : UINT32_MAX;
    der->cert = cert;
    if (cert != NULL) {
        memset(cert, 0, sizeof *cert);
    }
}

size_t tls_der_push(struct tls_der *der, const uint8_t *bytes, size_t size)
{
    size_t at = 0;

    while (!der->dead && der->depth > 0) {
        if (der->step == STEP_VALUE) {
            size_t take = size - at < der->left ? size - at : der->left;

            for (size_t i = 0; i < take && der->value_size < TLS_DER_VALUE; i++) {
                der->value[der->value_size++] = bytes[at + i];
            }
            keep(der, bytes + at, take);
            at += take;
            der->left -= (uint32_t)take;
            if (der->left > 0) {
                return at;
            }
            on_value(der);
            der->step = STEP_TAG;
        } else if (at == size) {
            return at;
        } else {
            on_head_byte(der, bytes[at++]);
        }
        if (der->step == STEP_TAG) {
            end_levels(der);
        }
    }
    return at;
}

bool tls_der_complete(const struct tls_der *der)
{
    return !der->dead && der->depth == 0;
}
