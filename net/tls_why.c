/* tls_why.c - what went wrong with TLS, in words that lead to a remedy. */
#include "net/tls_private.h"

#include <string.h>

/* What a person can do: places in the list below. */
enum advice { FAULTY, AGAIN, LOG, CA, SEED, NAME, CLOCK, CHAIN, CERTIFICATE, PORT, OFFER, CLIENT };

static const char advices[] =
    "A faulty server, or somebody interferes.\0"
    "It is tried again by itself.\0"
    "See the server's log.\0"
    "Put the CA's certificate into TLS_CA_File.\0"
    "Write a seed: make config.\0"
    "Set mailhub or tls_name to a name of the server's.\0"
    "Renew the certificate, or set this device's clock.\0"
    "Add that CA to TLS_CA_File, or have the server send its whole chain in order.\0"
    "Give the server a current certificate.\0"
    "Check port and tls (465: implicit; 587, 25: starttls); the server needs TLS 1.2.\0"
    "Allow TLS 1.2 with ECDHE and AES-GCM or ChaCha20 on the server.\0"
    "The server must not ask for a client certificate.";

struct cause {
    uint16_t code;
    uint8_t alert;      /* That tells the server why we leave (RFC 5246 7.2.2); 0: none. */
    signed error : 4;   /* E_* */
    uint8_t advice : 4; /* enum advice */
    const char *text;   /* Behind a blank: said of a certificate or an alert. */
};

#define OLD_VERSION "the server does not take TLS 1.2"
#define CHANGED "what came was changed on its way"
#define NOT_OFFERED "the server chose what was not offered"
#define BAD_USAGE " is against its key usage or type"
#define CONSTRAINED " has constraints unknown here"
#define SHORT_KEY " has an RSA key of less than 2048 bits"

enum { OTHER_PROTOCOL, OTHER_CERTIFICATE, OTHER_ALERT, OTHERS };

static const struct cause causes[] = {
    [OTHER_PROTOCOL] = {0, 0, E_SECURITY, FAULTY, "the server broke the TLS protocol"},
    [OTHER_CERTIFICATE] = {0, 42, E_SECURITY, CERTIFICATE, " is malformed"},
    [OTHER_ALERT] = {0, 0, E_SECURITY, FAULTY, ""},
    {BR_ERR_UNSUPPORTED_VERSION, 70, E_SECURITY, PORT, OLD_VERSION},
    {BR_ERR_BAD_VERSION, 70, E_SECURITY, PORT, OLD_VERSION},
    {BR_ERR_BAD_MAC, 0, E_SECURITY, FAULTY, CHANGED},
    {BR_ERR_BAD_FINISHED, 0, E_SECURITY, FAULTY, CHANGED},
    {BR_ERR_BAD_CIPHER_SUITE, 0, E_SECURITY, FAULTY, NOT_OFFERED},
    {BR_ERR_INVALID_ALGORITHM, 0, E_SECURITY, FAULTY, NOT_OFFERED},
    {BR_ERR_BAD_SIGNATURE, 51, E_SECURITY, FAULTY, "the server lacks its certificate's key"},
    {BR_ERR_WRONG_KEY_USAGE, 0, E_SECURITY, CERTIFICATE, BAD_USAGE},
    {BR_ERR_X509_EMPTY_CHAIN, 42, E_SECURITY, CERTIFICATE, "the server sent no certificate"},
    {BR_ERR_X509_UNSUPPORTED, 43, E_SECURITY, CERTIFICATE,
     " needs other algorithms than RSA (PKCS #1), ECDSA and SHA-2"},
    {BR_ERR_X509_LIMIT_EXCEEDED, 42, E_SECURITY, CERTIFICATE,
     "the server's chain or a key is too large"},
    {BR_ERR_X509_WRONG_KEY_TYPE, 42, E_SECURITY, CERTIFICATE, BAD_USAGE},
    {BR_ERR_X509_BAD_SIGNATURE, 42, E_SECURITY, CERTIFICATE, " has a wrong signature"},
    {BR_ERR_X509_EXPIRED, 45, E_SECURITY, CLOCK, " is out of date"},
    {BR_ERR_X509_DN_MISMATCH, 42, E_SECURITY, CHAIN, "the server's certificates are not in order"},
    {BR_ERR_X509_BAD_SERVER_NAME, 42, E_SECURITY, NAME, "the server's certificate is for "},
    {BR_ERR_X509_CRITICAL_EXTENSION, 42, E_SECURITY, CA, CONSTRAINED},
    {BR_ERR_X509_NOT_CA, 42, E_SECURITY, CERTIFICATE, " has signed a longer chain than it may"},
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, 42, E_SECURITY, CERTIFICATE, BAD_USAGE},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, 42, E_SECURITY, CERTIFICATE, SHORT_KEY},
    {BR_ERR_X509_NOT_TRUSTED, 48, E_SECURITY, CHAIN, " is signed by an unknown authority"},
    {TLS_NO_NAME, 0, E_INVALID, NAME, "the name is no host name or IPv4 address"},
    {TLS_NO_CA, 0, E_CONFIG, CA, "no CA certificate is configured"},
    {TLS_NO_TIME, 0, E_TRANSIENT, AGAIN, "the time is not known yet"},
    {TLS_NO_SEED, 0, E_MISSING, SEED, "no seed for random numbers"},
    {TLS_CUT_HANDSHAKE, 0, E_TRANSIENT, AGAIN, "the server closed in the TLS handshake"},
    {TLS_CUT, 0, E_TRANSIENT, AGAIN, "the end came without close_notify"},
    /* RFC 5246 7.2, RFC 6066 9, RFC 8446 6.2: the alerts that somebody can do something about. */
    {TLS_ALERT + 40, 0, E_SECURITY, OFFER, " handshake_failure: no version or suite in common"},
    {TLS_ALERT + 42, 0, E_CONFIG, CLIENT, " bad_certificate"},
    {TLS_ALERT + 46, 0, E_CONFIG, CLIENT, " certificate_unknown"},
    {TLS_ALERT + 48, 0, E_CONFIG, CLIENT, " unknown_ca"},
    {TLS_ALERT + 49, 0, E_CONFIG, LOG, " access_denied"},
    {TLS_ALERT + 70, 0, E_SECURITY, OFFER, " protocol_version"},
    {TLS_ALERT + 71, 0, E_SECURITY, OFFER, " insufficient_security"},
    {TLS_ALERT + 80, 0, E_TRANSIENT, AGAIN, " internal_error"},
    {TLS_ALERT + 112, 0, E_CONFIG, NAME, " unrecognized_name"},
    {TLS_ALERT + 116, 0, E_CONFIG, CLIENT, " certificate_required"},
};

/* What is said when the certificate at fault is known. */
static const struct fault {
    uint8_t code;
    uint8_t flag;
    const char *text;
} faults[] = {
    {BR_ERR_X509_WEAK_PUBLIC_KEY, TLS_FAULT_KEY, SHORT_KEY},
    {BR_ERR_X509_UNSUPPORTED, TLS_FAULT_HASH, " is signed over SHA-1 or MD5"},
    {BR_ERR_X509_NOT_CA, TLS_FAULT_CA, " has signed another one but is no CA's"},
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, TLS_FAULT_PURPOSE,
     " is not meant for servers (extended key usage)"},
    {BR_ERR_X509_CRITICAL_EXTENSION, TLS_FAULT_CONSTRAINTS, CONSTRAINED},
    {0, 0, NULL},
};

static const struct cause *cause_of(int code)
{
    for (size_t i = OTHERS; i < sizeof causes / sizeof causes[0]; i++) {
        if (causes[i].code == code) {
            return &causes[i];
        }
    }
    return &causes[code < BR_ERR_X509_OK ? OTHER_PROTOCOL
                   : code < TLS_ALERT    ? OTHER_CERTIFICATE
                                         : OTHER_ALERT];
}

/* Begins a sentence about the first certificate with a fault; returns NULL when it is not known. */
static const struct tls_cert *add_cert(struct text *text, const struct tls *tls, unsigned fault)
{
    for (size_t i = 0; i < TLS_CHAIN_MAX && i < tls->info.chain_count; i++) {
        if ((tls->x509.faults[i] & fault) != 0) {
            text_format(text, "the certificate of %s", tls->info.chain[i].subject);
            return &tls->info.chain[i];
        }
    }
    text_add(text, "a certificate of the server");
    return NULL;
}

static void explain_dates(struct text *text, const struct tls *tls, const char *said)
{
    const struct tls_cert *cert = add_cert(text, tls, TLS_FAULT_DATES);
    uint64_t now = tls->params.unix_s;

    if (cert == NULL) {
        text_add(text, said);
    } else if (now < cert->not_before_unix_s) {
        text_add(text, " is not valid before ");
        text_add_time(text, cert->not_before_unix_s, 0);
    } else {
        text_add(text, " expired on ");
        text_add_time(text, cert->not_after_unix_s, 0);
    }
    text_add(text, " (the clock says ");
    text_add_time(text, now, 0);
    text_add_char(text, ')');
}

static void explain_name(struct text *text, const struct tls *tls, const char *said)
{
    const char *names = tls->x509.names;

    if (names[0] == '\0') {
        names = tls->info.chain[0].subject;
    }
    text_format(text, "%s%s%s, not for %s", said, names[0] == '\0' ? "no server" : names,
                tls->x509.names_text.cut ? "..." : "", tls->params.server_name);
}

static void explain_trust(struct text *text, const struct tls *tls, const char *said)
{
    const struct tls_cert *chain = tls->info.chain;
    size_t count = tls->info.chain_count; /* At least 1: an empty chain is another error. */
#ifdef TLS_FINDER
    const struct tls_finder *finder = tls->params.anchors->finder;
    const char *where = finder != NULL ? finder->where : NULL;
#endif

    text_format(text, "the certificate of %s", chain[0].subject);
    if (count == 1 && strcmp(chain[0].subject, chain[0].issuer) == 0) {
#ifdef TLS_FINDER
        if (where != NULL) {
            text_format(text, " is self-signed and not in %s", where);
            return;
        }
#endif
        text_add(text, " is self-signed and none of the CAs given");
        return;
    }
    text_add(text, said);
    if (count <= TLS_CHAIN_MAX) {
        text_format(text, ": %s", chain[count - 1].issuer);
    }
#ifdef TLS_FINDER
    if (where != NULL) {
        text_format(text, " (not in %s)", where);
    }
#endif
}

static void explain_other(struct text *text, const struct tls *tls, const struct cause *cause)
{
    const char *said = cause->text;
    const struct fault *fault = faults;

    while (fault->code != 0 && fault->code != cause->code) {
        fault++;
    }
    if (*said == ' ' && add_cert(text, tls, fault->flag) != NULL) {
        said = fault->text;
    }
    text_add(text, said);
}

/* The record that the engine choked on begins tls->in. */
static void explain_version(struct text *text, const struct tls *tls, const char *said)
{
    const uint8_t *record = tls->in;

    if (record[0] < 20 || record[0] > 23) {
        text_add(text, "the server does not speak TLS here, it said \"");
        text_add_printable(text, (const char *)record, 5);
        said = "\"...";
    } else if (record[1] == 3 && record[2] > 0 && record[2] < 3) {
        text_format(text, "the server takes at most TLS 1.%u", record[2] - 1u);
        return;
    }
    text_add(text, said);
}

uint8_t tls_explain(struct tls *tls, int code)
{
    const struct cause *cause = cause_of(code);
    struct text text = text_begin(tls->failure.text, sizeof tls->failure.text);

    tls->failure.error = cause->error;
    tls->failure.cause = code;
    if (code >= TLS_ALERT) {
        text_format(&text, "the server sent alert %u%s", (unsigned)code - TLS_ALERT, cause->text);
    } else if (code == BR_ERR_UNSUPPORTED_VERSION || code == BR_ERR_BAD_VERSION) {
        explain_version(&text, tls, cause->text);
    } else if (code == BR_ERR_X509_EXPIRED) {
        explain_dates(&text, tls, cause->text);
    } else if (code == BR_ERR_X509_BAD_SERVER_NAME) {
        explain_name(&text, tls, cause->text);
    } else if (code == BR_ERR_X509_NOT_TRUSTED) {
        explain_trust(&text, tls, cause->text);
    } else {
        explain_other(&text, tls, cause);
    }
    if (cause < &causes[OTHER_ALERT]) {
        text_format(&text, " (BearSSL error %u)", (unsigned)code);
    }
    return cause->alert;
}

const char *tls_advice(const struct tls_failure *failure)
{
    return text_item(advices, cause_of(failure->cause)->advice);
}
