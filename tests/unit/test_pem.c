/* test_pem.c - CA certificates from PEM text: whole, in pieces, as people write it, and damaged. */
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define CA_BYTES (14 + 89) /* Subject and key of ca_pem. */
#define MORE 6000          /* Room for text around and between certificates. */

/* EC, P-256, CN=P, CA:TRUE. */
static const char ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBSjCB8qADAgECAhQKgOPJxzywdSgA/3QieX9WggP36jAKBggqhkjOPQQDAjAM\n"
                             "MQowCAYDVQQDDAFQMB4XDTI2MTEyMTIyNTQxMFoXDTM2MTExODIyNTQxMFowDDEK\n"
                             "MAgGA1UEAwwBUDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEn3HnpntuZ2RJsO\n"
                             "QZv13LArgtL5Yd13IwQ6d6GU3+hIdmb3Ljg9RwksW5n7z0bR+jnbNo8dvLlSFYqT\n"
                             "V5LWpqKjMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFNJq6+HBOBHDm+Ty\n"
                             "79pD3EYy8lfdMAoGCCqGSM49BAMCA0cAMEQCIDhwUoBdYuauqQHu6mr6bydkSRSr\n"
                             "j0JejwB8vmcDirRNAiBaY/YcfZss0uf1ePo8X4WYaH3mJadIRMUNRxT309+CNQ==\n"
                             "-----END CERTIFICATE-----\n";
/* RSA-2048, CN=R, no extensions. */
static const char rsa_pem[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIICnzCCAYcCFAE43DW5ArBTerH9UBzzJ7APywzXMA0GCSqGSIb3DQEBCwUAMAwx\n"
                              "CjAIBgNVBAMMAVIwHhcNMjYxMTIxMjI1NDEwWhcNMzYxMTE4MjI1NDEwWjAMMQow\n"
                              "CAYDVQQDDAFSMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4wCYjw+q\n"
                              "UUEQZ/NivxPjtX0/myTJ3LFa6wcm8Y2IHl0qHij7Z4LzZ98hx7X3b80tD8xB1aX7\n"
                              "+VZw2iMCpZhu3d4JK1sv4aYi7amI+pf7OstbhPLjF+xaUi9DhujtyJKqrs413+yI\n"
                              "oHv1DqrYjK71DvNelhE++zTz3gjvWUhnQVjI+ihMG/5uSZGCv5XU2yKOCNtLjdD6\n"
                              "/hAE5+BpAdxMD5USSnb2zBEvSv0tTtva+ApAft0h4E2p6gGR2b1XyjNMQ6PlMTJ7\n"
                              "+m9uw/zPmqIHsQ0or4N2Mw4Nsso2WMBfpcdjKJ6xbboJtbi6v+dpuhd6crcv6zUj\n"
                              "Wzn9JqD86rTknQIDAQABMA0GCSqGSIb3DQEBCwUAA4IBAQB6+XwkXC/vicyV5Wmf\n"
                              "Y2aB3Uoir1GcDx1FktLnfhsxRIjcmKsScppBvVZnaha2iJVSempfLChSMTOsO0BT\n"
                              "Z8wJ10l+iLdixiVvGnERnNJOOUEz6kopJuzJsoLX7JOuqklmmDJh8FFvs3Te4XOU\n"
                              "i5jlzECVWW3GveqLSgUa0Hr5ZlzfgsN6ZKWQL/X7A8Jjd0MsjJeAVa04ozdtmxL3\n"
                              "CxfMg8IEwa/AUVvxZsJlyDGCq9ryTtV4Xtbfzbq3VWpz+h9zsH/1j9jc6mVg3AM7\n"
                              "UQkciNM+sAp2USg5sFsYoVgqtT+Y8g9xqNDC3bCtwebJTwIoHhZ4nrvzVN2THc/X\n"
                              "QgJy\n"
                              "-----END CERTIFICATE-----\n";
/* RSA-1024, CN=W. */
static const char weak_pem[] = "-----BEGIN CERTIFICATE-----\n"
                               "MIIBmjCCAQMCFH9TfwR52fE79DiAmh93XeInh9DGMA0GCSqGSIb3DQEBCwUAMAwx\n"
                               "CjAIBgNVBAMMAVcwHhcNMjYxMTIxMjI1NDEwWhcNMzYxMTE4MjI1NDEwWjAMMQow\n"
                               "CAYDVQQDDAFXMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDb2Zu3Ug69rW0u\n"
                               "4rHocpfNA4InVOpPt6sahqTG4t8wrhBwKrw9sIPrBhviGUWWE6PyMGmVX23S35Ts\n"
                               "iavhNz4axSbycAEz2/r+VKTx5fp5fgDwtt58bxRdngDaRmYe1p/B5wT/286ZNMXe\n"
                               "tL+cVv16k8v8p7o49+Ch3ik1w2OwjQIDAQABMA0GCSqGSIb3DQEBCwUAA4GBAJMx\n"
                               "2zqpun2VFaxB89SJmqK4Vk9NyvqcANyHQsbo81MCXxRftmrlCZ44Wb4OU1lMR8Mg\n"
                               "Dzx4oEa7cPF9UMapjs2gzbddVYvD5TtZeLUUdNWr1kw0QpWajLwtTzSgWKRELUrC\n"
                               "b/ZvRa9xs+6i4M0MFTTQ2xprzCJFw6jroUUvSXQ+\n"
                               "-----END CERTIFICATE-----\n";
/* Ed25519, CN=E. */
static const char ed25519_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIHSMIGFAhRqu/O1pwSVZrDvTeN2SZ7wZhNSDzAFBgMrZXAwDDEKMAgGA1UEAwwB\n"
    "RTAeFw0yNjExMjEyMjU0MTBaFw0zNjExMTgyMjU0MTBaMAwxCjAIBgNVBAMMAUUw\n"
    "KjAFBgMrZXADIQBiH7JyYH/lqpf4XEGy6+CnV24EONPmla16amYbbFjrLzAFBgMr\n"
    "ZXADQQD0H1aKiyL/tZFObVIf0QBUBLKGT1W4u/SHsVLCNd0KAtv9NbX6aZlq7Yse\n"
    "yTixcrtZtiryRRQcFXaBQ52JObQO\n"
    "-----END CERTIFICATE-----\n";
static struct tls_anchors anchors;
static const char *why;

/* Decodes text in pieces; returns what tls_pem_end() does. */
static int decode_pieces(const char *text, size_t size, size_t piece)
{
    struct tls_pem pem;

    why = NULL;
    tls_anchors_init(&anchors);
    tls_pem_init(&pem, &anchors);
    for (size_t at = 0; at < size; at += piece) {
        size_t take = size - at < piece ? size - at : piece;
        /* A copy of the exact size, so that reading past it is seen. */
        char *copy = malloc(take);
        int error;

        assert_non_null(copy);
        memcpy(copy, text + at, take);
        error = tls_pem_push(&pem, copy, take, &why);
        free(copy);
        if (error < 0) {
            assert_non_null(why);
            assert_int_equal(tls_pem_push(&pem, ca_pem, sizeof ca_pem - 1, NULL),
                             error); /* Sticky. */
            assert_int_equal(tls_pem_end(&pem, NULL), error);
            return error;
        }
    }
    return tls_pem_end(&pem, &why);
}

static int decode(const char *text)
{
    return decode_pieces(text, strlen(text), SIZE_MAX / 2);
}

static void expect_refusal(const char *text, int error, const char *sentence)
{
    int got = decode(text);

    if (got != error || why == NULL || strstr(why, sentence) == NULL) {
        print_error("got %d \"%s\", want %d \"%s\" for:\n%s\n", got, why != NULL ? why : "", error,
                    sentence, text);
    }
    assert_int_equal(got, error);
    assert_non_null(strstr(why, sentence));
    for (size_t piece = 1; piece < 4; piece++) {
        assert_int_equal(decode_pieces(text, strlen(text), piece), error);
    }
}

static void expect_ca(void)
{
    static const uint8_t name[] = {0x30, 0x0C, 0x31, 0x0A, 0x30, 0x08, 0x06,
                                   0x03, 0x55, 0x04, 0x03, 0x0C, 0x01, 'P'};

    assert_int_equal(anchors.anchor[0].flags, BR_X509_TA_CA);
    assert_int_equal(anchors.anchor[0].dn.len, sizeof name);
    assert_memory_equal(anchors.anchor[0].dn.data, name, sizeof name);
    assert_int_equal(anchors.anchor[0].pkey.key_type, BR_KEYTYPE_EC);
    assert_int_equal(anchors.anchor[0].pkey.key.ec.curve, BR_EC_secp256r1);
    assert_int_equal(anchors.anchor[0].pkey.key.ec.qlen, 65);
    assert_int_equal(anchors.anchor[0].pkey.key.ec.q[0], 4);
}

static void test_one(void **state)
{
    (void)state;
    assert_int_equal(decode(ca_pem), 1);
    assert_int_equal(anchors.count, 1);
    expect_ca();
    assert_int_equal(anchors.bytes_used, CA_BYTES);

    assert_int_equal(decode(rsa_pem), 1);
    assert_int_equal(anchors.anchor[0].flags, 0);
    assert_int_equal(anchors.anchor[0].pkey.key_type, BR_KEYTYPE_RSA);
    assert_int_equal(anchors.bytes_used, 14 + 290);
    assert_int_equal(anchors.anchor[0].pkey.key.rsa.nlen, 256);
    assert_true(anchors.anchor[0].pkey.key.rsa.n[0] >= 0x80);
    assert_int_equal(anchors.anchor[0].pkey.key.rsa.elen, 3);
    assert_memory_equal(anchors.anchor[0].pkey.key.rsa.e, "\x01\x00\x01", 3);
}

static void test_pieces(void **state)
{
    char text[MORE];

    (void)state;
    strcpy(text, ca_pem);
    strcat(text, rsa_pem);
    for (size_t piece = 1; piece < strlen(text); piece += piece < 70 ? 1 : 61) {
        assert_int_equal(decode_pieces(text, strlen(text), piece), 2);
        assert_int_equal(anchors.count, 2);
        expect_ca();
        assert_int_equal(anchors.anchor[1].pkey.key.rsa.nlen, 256);
    }
}

/* Copies text, with each of its line ends replaced. */
static void with_ends(char *out, const char *text, const char *end)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            strcpy(out, end);
            out += strlen(end);
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

static void test_as_people_have_them(void **state)
{
    static const char *const ends[] = {"\r\n", "\r", " \n", "\t \r\n", "\n\n", "\n  "};
    char text[MORE];

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        with_ends(text, ca_pem, ends[i]);
        assert_int_equal(decode(text), 1);
        expect_ca();
    }
    /* No line end at the end. */
    strcpy(text, ca_pem);
    text[strlen(text) - 1] = '\0';
    assert_int_equal(decode(text), 1);
    /* Text around, a byte order mark, a certificate request and parameters. */
    strcpy(text, "\xEF\xBB\xBF");
    strcat(text, ca_pem);
    assert_int_equal(decode(text), 1);
    strcpy(text, "Certificate:\n    Data: Version 3 - dash\n-- not a mark\n# \xD0\xBA\n\n");
    strcat(text, ca_pem);
    strcat(text, "between\n-----BEGIN DH PARAMETERS-----\nAAAA-\n*** no base64\n-----END DH "
                 "PARAMETERS-----\n");
    strcat(text, rsa_pem);
    strcat(text, "after\n");
    assert_int_equal(decode(text), 2);
    /* All on one line, and one character a line. */
    strcpy(text, "-----BEGIN X509 CERTIFICATE-----\n");
    with_ends(text + strlen(text), strchr(ca_pem, '\n') + 1, "");
    *strstr(text, "-----END") = '\0';
    strcat(text, "\n-----END X509 CERTIFICATE-----");
    assert_int_equal(decode(text), 1);
    expect_ca();
}

static void test_damaged(void **state)
{
    char text[MORE];
    char *at;

    (void)state;
    expect_refusal("", E_INVALID, "no certificate");
    expect_refusal("hello\n", E_INVALID, "no certificate");
    expect_refusal("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
                   E_INVALID, "no certificate");
    expect_refusal("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", E_INVALID,
                   "cut short");
    expect_refusal("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", E_INVALID,
                   "no X.509 certificate");
    expect_refusal("-----BEGIN CERTIFICATE----\nAAAA\n-----END CERTIFICATE-----\n", E_INVALID,
                   "BEGIN line is damaged");
    expect_refusal("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", E_INVALID,
                   "private key");
    expect_refusal("-----BEGIN EC PRIVATE KEY-----\nAAAA\n", E_INVALID, "private key");
    expect_refusal("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", E_INVALID, "private key");
    expect_refusal("-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n", E_INVALID, "TRUSTED CERTIFICATE");
    expect_refusal("-----BEGIN DH PARAMETERS-----\nAAAA\n", E_INVALID, "cut short");
    expect_refusal(weak_pem, E_INVALID, "not 2048 to 4096 bits");
    expect_refusal(ed25519_pem, E_INVALID, "neither RSA nor ECDSA");

    /* The text cut at every place. */
    for (size_t size = sizeof "-----BEGIN CERTIFICATE-----"; size < strlen(ca_pem) - 2; size++) {
        memcpy(text, ca_pem, size);
        text[size] = '\0';
        assert_int_equal(decode(text), E_INVALID);
        assert_int_equal(anchors.count, 0);
        assert_int_equal(anchors.bytes_used, 0);
    }
    /* A line lost; a character that is no base64; a second BEGIN; another END. */
    strcpy(text, ca_pem);
    at = strchr(strchr(text, '\n') + 1, '\n');
    memmove(at, strchr(at + 1, '\n'), strlen(strchr(at + 1, '\n')) + 1);
    assert_int_equal(decode(text), E_INVALID);
    strcpy(text, ca_pem);
    text[100] = '*';
    expect_refusal(text, E_INVALID, "not base64");
    text[100] = '\0';
    assert_int_equal(decode_pieces(text, strlen(ca_pem), 1), E_INVALID);
    strcpy(text, ca_pem);
    *strstr(text, "-----END") = '\0';
    strcat(text, ca_pem);
    expect_refusal(text, E_INVALID, "an END line is missing");
    strcpy(text, ca_pem);
    memcpy(strstr(text, "-----END CERT") + 9, "XERT", 4);
    expect_refusal(text, E_INVALID, "END line is missing or damaged");
    /* Something behind the padding, and behind the certificate. */
    strcpy(text, "-----BEGIN CERTIFICATE-----\nMA==AAAA\n-----END CERTIFICATE-----\n");
    expect_refusal(text, E_INVALID, "not base64");
    strcpy(text, "-----BEGIN CERTIFICATE-----\nMAA\n-----END CERTIFICATE-----\n");
    expect_refusal(text, E_INVALID, "a certificate is cut short");
}

/* Every bit of the text flipped: a result or an error, and never more than what there is. */
static void test_flipped(void **state)
{
    char text[MORE];
    size_t size = strlen(ca_pem);

    (void)state;
    for (size_t i = 0; i < size * 8; i++) {
        int count;

        strcpy(text, ca_pem);
        text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
        count = decode_pieces(text, size, 100);
        assert_true(count == 1 || count == E_INVALID);
        assert_int_equal(anchors.count, count == 1 ? 1 : 0);
        assert_true(anchors.bytes_used <= CA_BYTES + 20);
    }
}

static void test_too_many(void **state)
{
    struct tls_pem pem;
    int count = 0;

    (void)state;
    tls_anchors_init(&anchors);
    tls_pem_init(&pem, &anchors);
    for (int i = 1; i <= TLS_ANCHOR_MAX; i++) {
        assert_int_equal(tls_pem_push(&pem, ca_pem, strlen(ca_pem), &why), i);
    }
    assert_int_equal(tls_pem_push(&pem, ca_pem, strlen(ca_pem), &why), E_SPACE);
    assert_non_null(strstr(why, "more than 8"));
    assert_int_equal(anchors.count, TLS_ANCHOR_MAX);

    /* Keys that do not fit: what was there before stays whole. */
    tls_anchors_init(&anchors);
    anchors.bytes_used = sizeof anchors.bytes - 310;
    tls_pem_init(&pem, &anchors);
    assert_int_equal(tls_pem_push(&pem, rsa_pem, strlen(rsa_pem), &why), 1);
    assert_int_equal(tls_pem_push(&pem, ca_pem, strlen(ca_pem), &why), E_SPACE);
    assert_non_null(strstr(why, "more than 3 KB"));
    assert_int_equal(anchors.count, 1);
    assert_true(anchors.bytes_used <= sizeof anchors.bytes);

    /* Names and keys of every size that does not fit. */
    for (size_t room = 0; room < CA_BYTES; room++) {
        tls_anchors_init(&anchors);
        anchors.bytes_used = sizeof anchors.bytes - room;
        tls_pem_init(&pem, &anchors);
        count = tls_pem_push(&pem, ca_pem, strlen(ca_pem), &why);
        assert_int_equal(count, E_SPACE);
        assert_int_equal(anchors.bytes_used, sizeof anchors.bytes - room);
    }
}

/* Several files go into the same anchors; the second one's fault leaves the first in place. */
static void test_several_files(void **state)
{
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n";
    struct tls_pem pem;

    (void)state;
    tls_anchors_init(&anchors);
    tls_pem_init(&pem, &anchors);
    assert_int_equal(tls_pem_push(&pem, ca_pem, strlen(ca_pem), NULL), 1);
    assert_int_equal(tls_pem_end(&pem, NULL), 1);
    tls_pem_init(&pem, &anchors);
    assert_int_equal(tls_pem_push(&pem, rsa_pem, 300, NULL), 0);
    assert_int_equal(tls_pem_end(&pem, &why), E_INVALID);
    assert_int_equal(anchors.count, 1);
    assert_int_equal(anchors.bytes_used, CA_BYTES);
    tls_pem_init(&pem, &anchors);
    assert_int_equal(tls_pem_push(&pem, key, strlen(key), NULL), E_INVALID);
    assert_int_equal(anchors.bytes_used, CA_BYTES);
    tls_pem_init(&pem, &anchors);
    assert_int_equal(tls_pem_push(&pem, rsa_pem, strlen(rsa_pem), NULL), 1);
    assert_int_equal(tls_pem_push(&pem, key, strlen(key), NULL), E_INVALID);
    assert_int_equal(anchors.count, 2);
    assert_true(anchors.bytes_used > CA_BYTES + 256);
    expect_ca();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_as_people_have_them),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_several_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
