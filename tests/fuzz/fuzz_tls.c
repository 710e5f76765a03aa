/* fuzz_tls.c - whatever a server may send. The generator's seed and the clock are fixed, so that
 * the flights of a real server in the corpus are good ones to the last byte. The first byte is the
 * size of the pieces. */
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

#define RECORDED_UNIX_S 1795302715u /* When the corpus was recorded. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBXDCCAQKgAwIBAgIUZ0xJpcnNJr2jHRxdOFtbCLETmD8wCgYIKoZIzj0EAwIw\n"
                             "FDESMBAGA1UEAwwJRnV6eiByb290MB4XDTI2MTEyMTIzMDE1NFoXDTM2MTExODIz\n"
                             "MDE1NFowFDESMBAGA1UEAwwJRnV6eiByb290MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
                             "AQcDQgAEaYWBo0gS1OMclY+P9woFC+nWOl7/+XhdcpiYLZhg+RHFcQd2PrQ06MC1\n"
                             "xtDv/ZXQS2aq4eqI/u2ZnfI6D5zve6MyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNV\n"
                             "HQ4EFgQUAcAl2u9FJK5WAr0M6MgegdJ/bakwCgYIKoZIzj0EAwIDSAAwRQIgRnR2\n"
                             "EIQG7FcASSUsQqFRSLCu/fZnWkddXH2YQukVjOgCIQC95byLsnaY6BkDpeTWE25B\n"
                             "UYmkd8lhudqjCL3Tk0Ik+A==\n"
                             "-----END CERTIFICATE-----\n";
static struct random rng;
static struct tls_anchors anchors;
static struct tls tls;

static void begin(const char *name)
{
    static const uint8_t seed[RANDOM_SEED_BYTES] = "the same hello each time .......";
    struct tls_params params = {
        .server_name = name, .anchors = &anchors, .random = &rng, .unix_s = RECORDED_UNIX_S};
    struct tls_pem pem;

    random_init(&rng);
    random_seed(&rng, seed, sizeof seed);
    tls_anchors_init(&anchors);
    tls_pem_init(&pem, &anchors);
    if (tls_pem_push(&pem, ca_pem, sizeof ca_pem - 1, NULL) != 1 || tls_pem_end(&pem, NULL) != 1 ||
        tls_init(&tls, &params) != 0) {
        abort();
    }
}

/* What must hold whatever came: nothing of ours leaves before the peer is verified, and an end has
 * a reason. */
static void check(void)
{
    unsigned want = tls_want(&tls);
    const struct tls_failure *failure = tls_failure(&tls);
    size_t size;

    if ((want & TLS_READY) == 0 && tls_app_tx_buf(&tls, &size) != NULL) {
        abort();
    }
    if ((want & (TLS_CLOSED | TLS_READY)) == TLS_CLOSED && failure == NULL) {
        abort();
    }
    if (failure != NULL && (failure->text[0] == '\0' || tls_advice(failure)[0] == '\0')) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece;
    size_t at = 1;

    if (size < 1) {
        return 0;
    }
    piece = (data[0] & 0x7F) == 0 ? 20000 : data[0] & 0x7F;
    begin((data[0] & 0x80) == 0 ? "mail.example.com" : "127.0.0.1");
    while ((tls_want(&tls) & TLS_CLOSED) == 0) {
        size_t room;
        uint8_t *in;

        while (tls_net_tx_buf(&tls, &room) != NULL && room > 0) {
            tls_net_tx_ack(&tls, room);
        }
        while (tls_app_rx_buf(&tls, &room) != NULL && room > 0) {
            tls_app_rx_ack(&tls, room);
        }
        in = tls_net_rx_buf(&tls, &room);
        if (in == NULL && (tls_want(&tls) & TLS_CLOSED) == 0) {
            abort(); /* Everything has left and nothing may come: it would hang. */
        }
        if (at == size) {
            tls_eof(&tls);
        } else if (in != NULL) {
            room = room < piece ? room : piece;
            room = room < size - at ? room : size - at;
            memcpy(in, data + at, room);
            tls_net_rx_ack(&tls, room);
            at += room;
        }
        check();
    }
    return 0;
}
