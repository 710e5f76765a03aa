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

/* The fields of a TBSCertificate that have fixed places, by these; SECTION_OTHER is the serial
 * number, and what is of no interest. */
enum section {
    SECTION_OTHER,
    SECTION_SIGNATURE,
    SECTION_ISSUER,
    SECTION_VALIDITY,
    SECTION_SUBJECT,
    SECTION_KEY,
    SECTION_EXTENSIONS
};

enum tag {
    TAG_BOOLEAN = 0x01,
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_OCTET_STRING = 0x04,
    TAG_OID = 0x06,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_DNS_NAME = 0x82,
    TAG_IP_ADDRESS = 0x87,
    TAG_VERSION = 0xA0,
    TAG_EXTENSIONS = 0xA3
};

/* Places in the list below. */
enum oid {
    OID_OTHER,
    OID_COMMON_NAME,
    OID_ALT_NAME,
    OID_BASIC,
    OID_CONSTRAINTS,
    OID_PURPOSES,
    OID_ANY_PURPOSE,
    OID_SERVER,
    OID_RSA, /* As TLS_KEY_RSA and the curves are numbered. */
    OID_P256,
    OID_P384,
    OID_P521,
    OID_RSA_MD5,
    OID_RSA_SHA1,
    OID_ECDSA_SHA1
};

_Static_assert(BR_EC_secp521r1 - TLS_KEY_RSA == OID_P521 - OID_RSA, "keys are numbered alike");

/* Each behind its length (RFC 5280, RFC 3279, RFC 5480). */
static const uint8_t oids[] = {
    3, 0x55, 0x04, 0x03,                                     /* commonName */
    3, 0x55, 0x1D, 0x11,                                     /* subjectAltName */
    3, 0x55, 0x1D, 0x13,                                     /* basicConstraints */
    3, 0x55, 0x1D, 0x1E,                                     /* nameConstraints */
    3, 0x55, 0x1D, 0x25,                                     /* extKeyUsage */
    4, 0x55, 0x1D, 0x25, 0x00,                               /* anyExtendedKeyUsage */
    8, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01,       /* serverAuth */
    9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, /* rsaEncryption */
    8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07,       /* secp256r1 */
    5, 0x2B, 0x81, 0x04, 0x00, 0x22,                         /* secp384r1 */
    5, 0x2B, 0x81, 0x04, 0x00, 0x23,                         /* secp521r1 */
    9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x04, /* md5WithRSAEncryption */
    9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x05, /* sha1WithRSAEncryption */
    7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01,             /* ecdsa-with-SHA1 */
    0,
};

static unsigned oid_of(const struct tls_der *der)
{
    unsigned oid = OID_OTHER + 1;

    for (const uint8_t *at = oids; *at != 0; at += *at + 1, oid++) {
        if (der->length == *at && memcmp(der->value, at + 1, *at) == 0) {
            return oid;
        }
    }
    return OID_OTHER;
}

/* Seconds since 1970 of a UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them; 0: not such a
 * one, or before 1970. */
static uint64_t unix_time(const struct tls_der *der)
{
    unsigned field[7]; /* Century, year in it, month, day, hour, minute, second. */
    unsigned first = der->tag == TAG_GENERALIZED_TIME ? 0 : 1;
    const uint8_t *at = der->value;
    uint32_t year;
    uint32_t days;

    if (der->length != 15 - 2 * first) {
        return 0;
    }
    for (unsigned i = first; i < 7; i++, at += 2) {
        unsigned tens = at[0] - (unsigned)'0';
        unsigned ones = at[1] - (unsigned)'0';

        if (tens > 9 || ones > 9) {
            return 0;
        }
        field[i] = tens * 10 + ones;
    }
    if (first > 0) {
        field[0] = field[1] >= 50 ? 19 : 20;
    }
    year = field[0] * 100 + field[1];
    if (*at != 'Z' || year < 1970 || field[2] - 1 > 11) {
        return 0;
    }
    /* Years that begin on 1 March have their leap day last. */
    if (field[2] < 3) {
        year--;
        field[2] += 12;
    }
    days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * field[2] - 457) / 5 + field[3] -
           719469;
    return (uint64_t)days * 86400 + (field[4] * 60 + field[5]) * 60 + field[6];
}

const uint8_t *tls_der_head(const uint8_t *at, const uint8_t *end, unsigned tag, size_t *length)
{
    size_t bytes;

    if (end - at < 2 || at[0] != tag) {
        return NULL;
    }
    bytes = at[1];
    at += 2;
    if (bytes < 0x80) {
        *length = bytes;
        return at;
    }
    bytes &= 0x7F;
    if (bytes > 2 || (size_t)(end - at) < bytes) {
        return NULL;
    }
    for (*length = 0; bytes > 0; bytes--) {
        *length = *length << 8 | *at++;
    }
    return at;
}

/* "RSA-2048" of the subjectPublicKey of an RSA key (RFC 8017 A.1.1). */
static void rsa_key(struct tls_der *der)
{
    const uint8_t *end = der->value + der->value_size;
    size_t length;
    /* Behind the count of unused bits. */
    const uint8_t *at = tls_der_head(der->value + 1, end, TAG_SEQUENCE, &length);

    if (at != NULL) {
        at = tls_der_head(at, end, TAG_INTEGER, &length);
    }
    for (; at != NULL && at < end && length > 0; at++, length--) {
        if (*at != 0) {
            unsigned bits = 8 * length + 24 - (unsigned)__builtin_clz(*at);

            text_print(der->cert->key, sizeof der->cert->key, "RSA-%u", bits);
            der->faults |= bits < 8 * TLS_RSA_BYTES_MIN ? TLS_FAULT_KEY : 0;
            return;
        }
    }
}

const char *tls_key_name(unsigned key)
{
    return key == BR_EC_curve25519 ? "X25519"
                                   : text_item("RSA\0P-256\0P-384\0P-521", key - TLS_KEY_RSA);
}

static void set_name(const struct tls_der *der, char *out)
{
    struct text text = text_begin(out, TLS_NAME_BYTES);

    text_add_printable(&text, (const char *)der->value, der->value_size);
}

/* The common name wins; without one the last attribute stands, as it is the most specific. */
static void name_value(struct tls_der *der, char *out)
{
    if (der->depth == 6 && der->tag != TAG_OID && !der->common_name) {
        set_name(der, out);
        der->common_name = der->kind == OID_COMMON_NAME;
    }
}

static void add_name(struct tls_der *der)
{
    uint32_t address_be = 0;

    if (der->tag == TAG_DNS_NAME) {
        if (der->cert->subject[0] == '\0') {
            set_name(der, der->cert->subject);
        }
    } else if (der->tag == TAG_IP_ADDRESS && der->length == sizeof address_be) {
        memcpy(&address_be, der->value, sizeof address_be);
        if (address_be == der->address_be) {
            der->faults &= (uint8_t)~TLS_FAULT_ADDRESS;
        }
    } else {
        return;
    }
    if (der->names == NULL) {
        return;
    }
    text_add(der->names, der->names->length > 0 ? ", " : "");
    if (der->tag == TAG_DNS_NAME) {
        text_add_printable(der->names, (const char *)der->value, der->value_size);
    } else {
        text_add_ipv4(der->names, address_be);
    }
}

static void extension_value(struct tls_der *der, unsigned oid)
{
    if (oid == OID_PURPOSES && der->depth == 6) {
        der->faults |= TLS_FAULT_PURPOSE; /* Until one that allows servers is among them. */
    } else if (oid == OID_CONSTRAINTS && der->depth == 6) {
        der->faults |= TLS_FAULT_CONSTRAINTS;
    } else if (der->depth < 8) {
        return;
    } else if (der->kind == OID_ALT_NAME) {
        add_name(der);
    } else if (der->kind == OID_BASIC && der->tag == TAG_BOOLEAN && der->value_size == 1 &&
               der->value[0] != 0) {
        der->faults &= (uint8_t)~TLS_FAULT_CA;
    } else if (der->kind == OID_PURPOSES && (oid == OID_SERVER || oid == OID_ANY_PURPOSE)) {
        der->faults &= (uint8_t)~TLS_FAULT_PURPOSE;
    }
}

/* A value is complete: der->tag, der->length and the beginning in der->value. */
static void on_value(struct tls_der *der)
{
    unsigned oid = der->tag == TAG_OID ? oid_of(der) : OID_OTHER;
    struct tls_cert *cert = der->cert;

    if (der->depth == 6 && der->tag == TAG_OID) {
        der->kind = (uint8_t)oid;
    }
    switch (der->section) {
    case SECTION_SIGNATURE:
        der->faults |= oid >= OID_RSA_MD5 ? TLS_FAULT_HASH : 0;
        break;
    case SECTION_ISSUER:
        name_value(der, cert->issuer);
        break;
    case SECTION_VALIDITY:
        if (der->level[der->depth - 1].index == 1) {
            cert->not_before_unix_s = unix_time(der);
        } else {
            cert->not_after_unix_s = unix_time(der);
        }
        break;
    case SECTION_SUBJECT:
        name_value(der, cert->subject);
        break;
    case SECTION_KEY:
        if (oid >= OID_RSA && oid <= OID_P521) {
            der->key = (uint8_t)(oid - OID_RSA + TLS_KEY_RSA);
            text_copy(cert->key, sizeof cert->key, tls_key_name(der->key));
        } else if (der->key == TLS_KEY_RSA && der->tag == TAG_BIT_STRING) {
            rsa_key(der);
        }
        break;
    case SECTION_EXTENSIONS:
        extension_value(der, oid);
        break;
    default:
        break;
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

/* Whether the element in hand is opened rather than taken as a value. */
static bool descends(const struct tls_der *der)
{
    if (der->tag == TAG_SEQUENCE || der->tag == TAG_SET) {
        /* Not the outer signature algorithm. */
        return der->depth < TLS_DER_DEPTH && (der->depth != 2 || der->level[1].index == 0);
    }
    return der->section == SECTION_EXTENSIONS &&
           (der->depth == 3 ||
            (der->depth == 6 && der->tag == TAG_OCTET_STRING && der->kind != OID_OTHER));
}

/* Another field of the TBSCertificate begins. */
static void on_section(struct tls_der *der, unsigned index)
{
    der->common_name = false;
    if (index < SECTION_EXTENSIONS) {
        der->section = (uint8_t)index;
    } else {
        der->section = der->tag == TAG_EXTENSIONS ? SECTION_EXTENSIONS : SECTION_OTHER;
    }
    if (der->section == SECTION_SUBJECT) {
        keep_head(der);
    } else if (der->section == SECTION_KEY) {
        der->subject_size = der->kept;
    }
}

/* A tag and its length have been read: opens a level or expects a value. */
static void on_head(struct tls_der *der)
{
    struct tls_der_level *level = &der->level[der->depth - 1];
    bool open;

    if (der->depth == 1) {
        der->dead = der->tag != TAG_SEQUENCE || level->index > 0; /* Or something behind it. */
        if (der->open_ended) {
            level->left = der->length;
        }
    }
    der->dead = der->dead || der->length > level->left;
    if (der->dead) {
        return;
    }
    level->left -= der->length;
    der->left = der->length;
    der->value_size = 0;
    der->step = STEP_VALUE;
    if (der->depth == 3) {
        if (der->tag == TAG_VERSION && level->index == 0) {
            return; /* It may be left out, so that it is not counted. */
        }
        on_section(der, level->index);
    } else if (der->depth < 3) {
        der->section = SECTION_OTHER;
    } else if (der->depth == 5) {
        der->kind = OID_OTHER; /* Another attribute or extension. */
    }
    open = descends(der);
    level->index++;
    if (open) {
        level[1].left = der->length;
        level[1].index = 0;
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
    memset(cert, 0, sizeof *cert);
    der->depth = 1;
    der->faults = TLS_FAULTS;
    der->open_ended = size == 0;
    der->level[0].left = size > 0 ? size : UINT32_MAX;
    der->cert = cert;
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
