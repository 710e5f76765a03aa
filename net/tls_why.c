/* tls_why.c - what went wrong with TLS, in words that lead to a remedy. */
#include "net/tls_private.h"

#include <string.h>

void tls_fail(struct tls *tls, int error, const char *text)
{
    tls->failure.error = error;
    tls->failure.bearssl_error = 0;
    text_copy(tls->failure.text, sizeof tls->failure.text, text);
}

static size_t known_certs(const struct tls *tls)
{
    size_t count = tls->info.chain_count;

    return count < TLS_CHAIN_MAX ? count : TLS_CHAIN_MAX;
}

/* Begins a sentence about the certificate of an index, or about one that was not kept. */
static void add_cert(struct text *text, const struct tls *tls, size_t index)
{
    text_format(text,
                index >= known_certs(tls) ? "a certificate of the server's chain"
                : index == 0              ? "the server's certificate (%s)"
                                          : "the certificate of %s",
                index < known_certs(tls) ? tls->info.chain[index].subject : "");
}

/* Index of the first certificate, from `from` on, whose flags under a mask are as wanted; SIZE_MAX
 * when there is none. */
static size_t find_flags(const struct tls *tls, size_t from, uint8_t mask, uint8_t wanted)
{
    while (from < known_certs(tls) && (tls->x509.flags[from] & mask) != wanted) {
        from++;
    }
    return from < known_certs(tls) ? from : SIZE_MAX;
}

static void add_day(struct text *text, const char *before, uint64_t unix_s)
{
    struct text_date date = text_date(unix_s, 0);

    text_format(text, "%s%04u-%02u-%02u", before, (unsigned)date.year, date.month, date.day);
}

static void explain_dates(struct text *text, const struct tls *tls)
{
    uint64_t now = tls->params.unix_s;
    const struct tls_cert *cert = tls->info.chain;
    size_t index = 0;

    while (index < known_certs(tls) && now >= cert->not_before_unix_s &&
           now <= cert->not_after_unix_s) {
        index++;
        cert++;
    }
    add_cert(text, tls, index);
    if (index >= known_certs(tls)) {
        text_add(text, " is out of date");
    } else if (now < cert->not_before_unix_s) {
        add_day(text, " is not valid before ", cert->not_before_unix_s);
    } else {
        add_day(text, " expired on ", cert->not_after_unix_s);
    }
    add_day(text, " (the clock says ", now);
    text_add_char(text, ')');
}

static void explain_name(struct text *text, const struct tls *tls)
{
    const char *names = tls->x509.names;

    if (names[0] == '\0') {
        names = tls->info.chain[0].subject;
    }
    text_format(text, "the server's certificate is for %s%s, not for %s",
                names[0] == '\0' ? "no server" : names, tls->x509.names_text.cut ? "..." : "",
                tls->params.server_name);
}

static void explain_trust(struct text *text, const struct tls *tls)
{
    size_t count = known_certs(tls);
    const struct tls_cert *last = &tls->info.chain[count > 0 ? count - 1 : 0];
    bool alone = count == 1 && strcmp(last->subject, last->issuer) == 0;

    add_cert(text, tls, 0);
    text_add(text, alone ? " is self-signed and not among the CA certificates given"
                         : " is signed by an unknown authority");
    if (!alone && count > 0 && tls->info.chain_count <= TLS_CHAIN_MAX) {
        text_format(text, ": %s", last->issuer);
    }
}

static bool is_short_key(const char *key)
{
    uint32_t bits;

    return text_starts_nocase(key, "RSA-") && text_parse_u32(key + 4, 65535, &bits) &&
           bits < TLS_RSA_BYTES_MIN * 8;
}

static void explain_key(struct text *text, const struct tls *tls)
{
    size_t index = 0;

    while (index < known_certs(tls) && !is_short_key(tls->info.chain[index].key)) {
        index++;
    }
    add_cert(text, tls, index);
    text_format(text, " has too short a key: %s, at least RSA-2048 is needed",
                index < known_certs(tls) ? tls->info.chain[index].key : "RSA");
}

static void explain_algorithm(struct text *text, const struct tls *tls)
{
    size_t weak = find_flags(tls, 0, TLS_DER_WEAK_HASH, TLS_DER_WEAK_HASH);

    if (weak != SIZE_MAX) {
        add_cert(text, tls, weak);
        text_add(text, " is signed over SHA-1 or MD5, which can be forged");
    } else {
        text_add(text,
                 "the server's chain uses a key or signature other than RSA (PKCS #1) and ECDSA "
                 "on P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512");
    }
}

static void explain_ca(struct text *text, const struct tls *tls)
{
    size_t index = find_flags(tls, 1, TLS_DER_CA, 0);

    if (index == SIZE_MAX) {
        text_add(text, "the server's chain is longer than one of its CAs allows");
    } else {
        add_cert(text, tls, index);
        text_add(text, " has signed another one but is no CA's");
    }
}

static void explain_usage(struct text *text, const struct tls *tls)
{
    size_t index = find_flags(tls, 0, TLS_DER_PURPOSES | TLS_DER_SERVER, TLS_DER_PURPOSES);

    add_cert(text, tls, index);
    text_add(text, index != SIZE_MAX ? " is not meant for servers (extended key usage)"
                                     : " is used against its key usage");
}

static void explain_constraints(struct text *text, const struct tls *tls)
{
    add_cert(text, tls, find_flags(tls, 1, TLS_DER_NAME_CONSTRAINTS, TLS_DER_NAME_CONSTRAINTS));
    text_add(text, " has constraints that this device cannot check");
}

struct alert {
    uint8_t code;
    int8_t error;
    const char *name;
};

/* RFC 5246 7.2, RFC 6066 9, RFC 8446 6.2: those that tell something. */
static const struct alert alerts[] = {
    {10, E_SECURITY, "unexpected_message"},
    {20, E_SECURITY, "bad_record_mac"},
    {22, E_SECURITY, "record_overflow"},
    {40, E_SECURITY, "handshake_failure: it shares no version, cipher suite or curve with us"},
    {42, E_CONFIG, "bad_certificate: it wants a certificate from us"},
    {46, E_CONFIG, "certificate_unknown: it wants a certificate from us"},
    {47, E_SECURITY, "illegal_parameter"},
    {48, E_CONFIG, "unknown_ca: it wants a certificate from us"},
    {49, E_CONFIG, "access_denied"},
    {50, E_SECURITY, "decode_error"},
    {51, E_SECURITY, "decrypt_error"},
    {70, E_SECURITY, "protocol_version: it does not take TLS 1.2"},
    {71, E_SECURITY, "insufficient_security"},
    {80, E_TRANSIENT, "internal_error"},
    {90, E_TRANSIENT, "user_canceled"},
    {100, E_SECURITY, "no_renegotiation"},
    {112, E_CONFIG, "unrecognized_name: it does not know this name"},
    {116, E_CONFIG, "certificate_required: it wants a certificate from us"},
};

static int explain_alert(struct text *text, unsigned code)
{
    text_format(text, "the server sent alert %u", code);
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (alerts[i].code == code) {
            text_format(text, " %s", alerts[i].name);
            return alerts[i].error;
        }
    }
    return E_SECURITY;
}

/* The record that the engine choked on begins tls->in. */
static void explain_version(struct text *text, const struct tls *tls)
{
    if (tls->in[0] < 20 || tls->in[0] > 23) {
        text_add(text, "the server does not speak TLS here, it said \"");
        text_add_printable(text, (const char *)tls->in, 5);
        text_add(text, "\"...");
    } else if (tls->in[1] == 3 && tls->in[2] > 0 && tls->in[2] < 3) {
        text_format(text,
                    "the server takes no newer version than TLS 1.%u, which is no longer safe",
                    tls->in[2] - 1u);
    } else {
        text_add(text, "the server chose a version of TLS other than 1.2");
    }
}

/* Errors of which there is more to tell than what they are. */
static const struct {
    uint8_t error;
    void (*explain)(struct text *text, const struct tls *tls);
} explainers[] = {
    {BR_ERR_UNSUPPORTED_VERSION, explain_version},
    {BR_ERR_BAD_VERSION, explain_version},
    {BR_ERR_X509_EXPIRED, explain_dates},
    {BR_ERR_X509_BAD_SERVER_NAME, explain_name},
    {BR_ERR_X509_NOT_TRUSTED, explain_trust},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, explain_key},
    {BR_ERR_X509_UNSUPPORTED, explain_algorithm},
    {BR_ERR_X509_NOT_CA, explain_ca},
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, explain_usage},
    {BR_ERR_X509_CRITICAL_EXTENSION, explain_constraints},
};

#define BAD_USAGE \
    "the server's certificate must not be used to sign, or its key is of the wrong kind"
#define NOT_OFFERED "the server chose an algorithm that was not offered"

static const struct {
    uint8_t error;
    const char *text;
} sentences[] = {
    {BR_ERR_BAD_MAC, "a record from the server was changed on its way"},
    {BR_ERR_BAD_FINISHED, "the handshake was changed on its way"},
    {BR_ERR_BAD_SIGNATURE, "the server did not prove that it has the key of its certificate"},
    {BR_ERR_WRONG_KEY_USAGE, BAD_USAGE},
    {BR_ERR_X509_WRONG_KEY_TYPE, BAD_USAGE},
    {BR_ERR_INVALID_ALGORITHM, NOT_OFFERED},
    {BR_ERR_BAD_CIPHER_SUITE, NOT_OFFERED},
    {BR_ERR_RESUME_MISMATCH, "the server resumed a session with other parameters"},
    {BR_ERR_X509_BAD_SIGNATURE, "a signature in the server's chain of certificates is wrong"},
    {BR_ERR_X509_DN_MISMATCH,
     "the server's certificates are not in order: one is not signed by the next"},
    {BR_ERR_X509_LIMIT_EXCEEDED,
     "the server's chain of certificates or one of its keys is too large"},
    {BR_ERR_X509_EMPTY_CHAIN, "the server sent no certificate"},
};

static void explain_other(struct text *text, const struct tls *tls, int error)
{
    for (size_t i = 0; i < sizeof explainers / sizeof explainers[0]; i++) {
        if (explainers[i].error == error) {
            explainers[i].explain(text, tls);
            return;
        }
    }
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        if (sentences[i].error == error) {
            text_add(text, sentences[i].text);
            return;
        }
    }
    text_format(text, "%s (BearSSL error %u)",
                error > BR_ERR_X509_OK ? "a certificate of the server is malformed"
                                       : "the server broke the TLS protocol",
                (unsigned)error);
}

void tls_explain(struct tls *tls, int bearssl_error)
{
    struct text text = text_begin(tls->failure.text, sizeof tls->failure.text);

    tls->failure.error = E_SECURITY;
    tls->failure.bearssl_error = bearssl_error;
    if (bearssl_error >= BR_ERR_SEND_FATAL_ALERT) {
        text_format(&text, "the handshake was given up with alert %u",
                    (unsigned)(bearssl_error - BR_ERR_SEND_FATAL_ALERT));
    } else if (bearssl_error >= BR_ERR_RECV_FATAL_ALERT) {
        tls->failure.error =
            explain_alert(&text, (unsigned)(bearssl_error - BR_ERR_RECV_FATAL_ALERT));
    } else {
        explain_other(&text, tls, bearssl_error);
    }
}

const char *tls_advice(const struct tls_failure *failure)
{
    switch (failure->bearssl_error) {
    case BR_ERR_X509_EXPIRED:
        return "Renew the certificate on the server, or set this device's clock.";
    case BR_ERR_X509_BAD_SERVER_NAME:
        return "Set mailhub to a name in the certificate (or tls_name, when it is reached by "
               "another), or have that name or address put into its subjectAltName.";
    case BR_ERR_X509_NOT_TRUSTED:
        return "Add that authority's CA certificate to TLS_CA_File, or have the server send its "
               "intermediate certificates.";
    case BR_ERR_X509_CRITICAL_EXTENSION:
        return "Give that CA's own certificate in TLS_CA_File.";
    case BR_ERR_X509_DN_MISMATCH:
        return "Have the server send its own certificate first, then each one's issuer.";
    case BR_ERR_UNSUPPORTED_VERSION:
        return "Check the port and tls: 465 is TLS on connect, 587 and 25 are STARTTLS; the server "
               "must offer TLS 1.2.";
    case BR_ERR_RECV_FATAL_ALERT + 40:
    case BR_ERR_RECV_FATAL_ALERT + 70:
    case BR_ERR_RECV_FATAL_ALERT + 71:
        return "Allow TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305 on the server.";
    case BR_ERR_RECV_FATAL_ALERT + 112:
        return "Set tls_name to a name that the server knows.";
    default:
        break;
    }
    if (failure->bearssl_error > BR_ERR_X509_OK && failure->bearssl_error < 64) {
        return "Have the server use a current certificate for TLS servers.";
    }
    switch (failure->error) {
    case E_TRANSIENT:
        return "It is tried again by itself; when it stays so, look into the server's log.";
    case E_CONFIG:
        return failure->bearssl_error == 0 ? "Give the server's CA certificate: TLS_CA_File."
                                           : "Look into the server's log and settings.";
    case E_MISSING:
        return "Write the device's seed: make config.";
    case E_INVALID:
        return "Correct the name of the server.";
    default:
        return "Somebody may be interfering with the connection, or the server is faulty.";
    }
}
