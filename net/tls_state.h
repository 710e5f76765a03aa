/* tls_state.h - what a TLS session and a PEM decoder remember. Included by tls.h only; the fields are
 * private to net/tls*.c. */
#ifndef TOCSIN_NET_TLS_STATE_H
#define TOCSIN_NET_TLS_STATE_H

#define TLS_DER_DEPTH 9   /* Nesting that is followed; what lies deeper is skipped. */
#define TLS_DER_VALUE 72  /* Bytes of one primitive value that are looked at. */
#define TLS_NAMES_BYTES 96 /* Names of a server certificate, for the sentence about a wrong name. */

/* One open element of the certificate that is being read. */
struct tls_der_level {
    uint32_t left;  /* Bytes of its contents still to come. */
    uint8_t tag;
    uint8_t index;  /* Which child of its parent, from 0; sticks at 255. */
    uint8_t child;  /* Index of its next child. */
};

/* A reader of one certificate that keeps what a person wants to know of it (tls_der.c). */
struct tls_der {
    struct tls_der_level level[TLS_DER_DEPTH];
    uint8_t depth;
    uint8_t state;
    uint8_t length_left; /* Bytes of a long length still to come. */
    uint8_t tag;
    uint32_t length;
    uint8_t value[TLS_DER_VALUE];
    uint8_t value_size;
    uint8_t attribute; /* Kind of the name attribute, extension or algorithm in hand. */
    bool dead;         /* Not DER as it should be: nothing more is taken from it. */
};

/* Stands between BearSSL's engine and its X.509 validator (tls_x509.c). */
struct tls_x509 {
    const br_x509_class *vtable; /* First: BearSSL knows the object by it. */
    br_x509_minimal_context minimal;
    struct tls_der der;
    struct tls_cert_facts *facts; /* Reserved. */
    uint32_t address_be;          /* Address to be found in the certificate ... */
    bool want_address;            /* ... instead of a name. */
    bool address_found;
    bool has_names;
    bool weak_hash; /* The certificate in hand is signed over SHA-1 or MD5. */
    char names[TLS_NAMES_BYTES];
    struct tls_info *info;
};

struct tls {
    br_ssl_client_context client;
    struct tls_x509 x509;
    struct tls_params params;
    struct tls_info info;
    struct tls_failure failure;
    bool ready;
    bool closing;  /* close_notify is on its way. */
    bool ended;    /* Nothing moves any more. */
    bool eof;
    uint8_t binding[32]; /* Names the server and the anchors for resumption. */
    uint8_t out[TLS_OUT_BYTES];
    uint8_t in[TLS_RECORD_BYTES];
};

/* Where a PEM text is being read. */
struct tls_pem {
    struct tls_anchors *anchors;
    br_x509_decoder_context decoder;
    char line[68];      /* The line in hand, cut. */
    uint8_t line_size;
    uint8_t state;
    uint8_t quantum_size; /* Base64 characters of the group of four in hand. */
    uint8_t padding;
    uint32_t quantum;
    size_t bytes_mark;  /* Of the anchors, before the certificate in hand. */
    size_t dn_size;
    bool overflow;
    int error;          /* Sticky. */
    const char *why;
};

#endif
