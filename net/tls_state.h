/* tls_state.h - what a TLS session and a PEM decoder remember. Included by tls.h only; the fields
 * are private to net/tls*.c. */
#ifndef TOCSIN_NET_TLS_STATE_H
#define TOCSIN_NET_TLS_STATE_H

#include "net/text.h"

#define TLS_DER_DEPTH 8    /* Nesting that is followed; what lies deeper is skipped. */
#define TLS_DER_VALUE 64   /* Bytes of one value that are looked at. */
#define TLS_NAMES_BYTES 96 /* Names of a server certificate, for one sentence. */
#define TLS_LINE_BYTES 64  /* Beginning of a PEM line that is looked at: the longest label fits. */

/* What may be held against a certificate of the path. A reader begins with that of TLS_FAULTS. */
enum {
    TLS_FAULT_CA = 1,          /* basicConstraints does not say CA. */
    TLS_FAULT_ADDRESS = 2,     /* The wanted address is not among its names. */
    TLS_FAULT_PURPOSE = 4,     /* Its extended key usage leaves servers out. */
    TLS_FAULT_CONSTRAINTS = 8, /* It has name constraints. */
    TLS_FAULT_HASH = 16,       /* Signed over SHA-1 or MD5. */
    TLS_FAULT_KEY = 32,        /* RSA of less than 2,048 bits. */
    TLS_FAULT_DATES = 64,
    TLS_FAULTS = TLS_FAULT_CA | TLS_FAULT_ADDRESS
};

/* Reads one certificate byte by byte and keeps what a person wants to know of it (tls_der.c). Here
 * as below, what is small comes first: it costs less code to reach. */
struct tls_der {
    uint8_t depth; /* Open levels; 0: the certificate is complete. */
    uint8_t step;
    uint8_t tag;
    uint8_t length_bytes; /* Of a long length, still to come. */
    uint8_t section;      /* Which part of the certificate, and ... */
    uint8_t kind;         /* ... which attribute or extension of it: enum oid. */
    uint8_t faults;
    uint8_t key; /* TLS_KEY_RSA, a BR_EC_* curve, or 0. */
    uint8_t value_size;
    bool dead;             /* Not DER as it should be: nothing more is taken from it. */
    bool common_name;      /* The name in hand has one. */
    bool open_ended;       /* The certificate's own length counts. */
    uint32_t length;       /* Of the element in hand ... */
    uint32_t left;         /* ... and what is still to come of it. */
    uint32_t address_be;   /* To be looked for among the names; 0: none. */
    struct text *names;    /* Gets the names; NULL: not wanted. */
    struct tls_cert *cert; /* Gets the rest. */
    uint8_t *keep;    /* Gets the subject as it is, then the contents of the public key; or NULL. */
    size_t keep_size; /* Room there. */
    size_t subject_size; /* Of what is kept, the subject ... */
    size_t kept;         /* ... and all of it; above keep_size when it did not fit. */
    struct tls_der_level {
        uint32_t left;  /* Bytes of its contents still to come. */
        uint32_t index; /* Of its next child, from 0. */
    } level[TLS_DER_DEPTH];
    uint8_t value[TLS_DER_VALUE];
};

#define TLS_KEY_RSA (BR_EC_secp256r1 - 1) /* No curve that is taken has this number. */

#ifdef TLS_FINDER
#define TLS_BAG_MAX 24      /* Certificates of a server's that are kept until a path is chosen. */
#define TLS_BAG_BYTES 32768 /* All of them. */

/* What a server sent, in any order (tls_chain.c). */
struct tls_bag {
    const struct tls_anchors *anchors;
    const char *server_name;
    size_t count;
    size_t bytes_used;
    bool cut; /* More came than is kept. */
    struct tls_bag_cert {
        uint32_t at;        /* In bytes[]. */
        uint32_t size;      /* ... */
        uint32_t issuer_at; /* In the certificate; sizes are 0 when it is no certificate. */
        uint32_t issuer_size;
        uint32_t subject_at;
        uint32_t subject_size;
        uint8_t distance; /* Signatures from here to a name that an anchor has. */
        bool used;        /* On the path in hand. */
        bool excluded;    /* It has led to an error. */
    } cert[TLS_BAG_MAX];
    uint8_t bytes[TLS_BAG_BYTES];
};
#endif

/* Stands between BearSSL's engine and its X.509 validator (tls_x509.c). */
struct tls_x509 {
    const br_x509_class *vtable; /* First: BearSSL knows the object by it. */
#ifdef TLS_FINDER
    struct tls_bag *bag;
    const br_x509_class *inner; /* That of tls_x509.c, when vtable is that of tls_chain.c. */
#endif
    struct tls_info *info;
    uint64_t unix_s;
    uint32_t address_be; /* The server is known by this address; 0: by its name. */
    uint8_t refusal;     /* BR_ERR_X509_* of our own, 0: none. */
    bool judged;         /* The certificate in hand belongs to the path that is verified. */
    uint8_t faults[TLS_CHAIN_MAX];
    struct text names_text;
    struct tls_der der;
    char names[TLS_NAMES_BYTES];
    struct tls_cert other; /* One whose names are not kept. */
    br_x509_minimal_context minimal;
};

/* Bytes of the record buffer that the handshake may use. Before encryption a record is read in
 * pieces, so that the rest is free for what ends with the handshake. */
#define TLS_CLEAR_BYTES 4096

struct tls {
    bool ready;
    bool closing; /* tls_close() was called. */
    bool eof;
    bool over;          /* Failed or closed before the engine knew of it. */
    uint8_t alert_size; /* Bytes of our own alert in out[] still to be sent, from alert_at. */
    uint8_t alert_at;
    struct tls_params params;
    struct tls_info info;
    uint8_t binding[32];        /* Names the server and the anchors, for resumption. */
    struct tls_failure failure; /* error 0: none. */
    br_ssl_client_context client;
    uint8_t out[TLS_OUT_BYTES];
    union {
        uint8_t in[TLS_RECORD_BYTES];
        struct {
            uint8_t clear[TLS_CLEAR_BYTES];
            struct tls_x509 x509;
            struct tls_anchors anchors_room; /* See tls_anchors_room(). */
        };
    };
#ifdef TLS_FINDER
    struct tls_bag bag;
#endif
};

/* Where a PEM text is being read (tls_pem.c). */
struct tls_pem {
    uint8_t line_size;  /* Sticks below TLS_LINE_BYTES. */
    uint8_t block;      /* Kind of block that we are in. */
    uint8_t group_size; /* Base64 characters of the group in hand. */
    uint8_t padding;    /* '=' of the last group; nothing may follow. */
    uint32_t group;
    int count; /* Certificates complete. */
    int error; /* Sticky. */
    const char *why;
    struct tls_anchors *anchors;
    char line[TLS_LINE_BYTES];
    struct tls_der der;
    struct tls_cert cert;
};

#endif
