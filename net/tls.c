/* tls.c - a TLS 1.2 session over BearSSL's engine: what it offers, how its bytes move, how it ends.
 *
 * Only what is named here is linked: no CBC, 3DES, MD5, SHA-1 or RSA key exchange. Each
 * implementation is free of branches, look-ups and (on cores whose long multiplication tells its
 * operands, with BR_CT_MUL31) multiplications that depend on secrets; ghash and poly1305 come in
 * their forms for such cores on every board, since a mail is too short for the difference to count.
 * See docs/security.md.
 */
#include "net/tls_private.h"

#include <string.h>

/* BearSSL's overhead of the largest outgoing record. */
#define RECORD_OVERHEAD 85

#ifdef TLS_64 /* With the processor's own instructions, should it have them. */
#define AES_CTR                                                            \
    (br_aes_x86ni_ctr_get_vtable() != NULL ? br_aes_x86ni_ctr_get_vtable() \
                                           : &br_aes_ct64_ctr_vtable)
#define GHASH (br_ghash_pclmul_get() != 0 ? br_ghash_pclmul_get() : br_ghash_ctmul64)
#define POLY1305 br_poly1305_ctmulq_run
#else
#define AES_CTR &br_aes_ct_ctr_vtable
#define GHASH br_ghash_ctmul32
#define POLY1305 br_poly1305_ctmul32_run
#endif
#if defined(TLS_64) && defined(__SSE2__)
#define CHACHA20 br_chacha20_sse2_run
#else
#define CHACHA20 br_chacha20_ct_run
#endif

#define RECORD_ALERT 21 /* RFC 5246 6.2.1 */

#define ROOM_END (offsetof(struct tls, anchors_room) + sizeof(struct tls_anchors))

_Static_assert(ROOM_END - offsetof(struct tls, in) <= TLS_RECORD_BYTES,
               "what the handshake needs must fit into the record buffer");
_Static_assert(TLS_OUT_BYTES >= 512 + RECORD_OVERHEAD,
               "BearSSL wants 512 bytes of text in a record");

/* A session is resumed for a day at most (RFC 5246 F.1.4). */
#define RESUME_S_MAX 86400

/* As preferred: ChaCha20 costs a Cortex-M3 a quarter of what AES-128 does in constant time. */
static const uint16_t suites[] = {
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

/* In the same order. */
static const char suite_names[] = "ECDHE-ECDSA-CHACHA20-POLY1305\0"
                                  "ECDHE-RSA-CHACHA20-POLY1305\0"
                                  "ECDHE-ECDSA-AES128-GCM-SHA256\0"
                                  "ECDHE-RSA-AES128-GCM-SHA256\0"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384\0"
                                  "ECDHE-RSA-AES256-GCM-SHA384\0";

static const char *suite_name(unsigned suite)
{
    size_t i = 0;

    while (i < sizeof suites / sizeof suites[0] && suites[i] != suite) {
        i++;
    }
    return text_item(suite_names, i);
}

/* A compiler may drop a memset() of what is never read again; not when it cannot know that. */
static void wipe(void *bytes, size_t size)
{
    memset(bytes, 0, size);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

/* Copies a DNS name in lower case and without the dot at its end, which stands for the root and is
 * in no certificate and no SNI (RFC 6066 3). false: not a host name (RFC 1123 2.1, underscores
 * allowed). */
static bool host_name(const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    size_t label = 0;

    if (length > 0 && name[length - 1] == '.') {
        length--;
    }
    if (length == 0 || length > 253 || length >= size) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = name[i];

        if (c >= 'A' && c <= 'Z') {
            c = (char)(c + ('a' - 'A'));
        }
        if (c == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if (((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') &&
                   label < 63) {
            label++;
        } else {
            return false;
        }
        out[i] = c;
    }
    out[length] = '\0';
    return label > 0;
}

/* What a session depends on: another name or other anchors must verify anew. */
static void compute_binding(struct tls *tls, const char *name)
{
    const struct tls_anchors *anchors = tls->params.anchors;
    br_sha256_context sha256;

    br_sha256_init(&sha256);
    br_sha256_update(&sha256, name, strlen(name) + 1);
#ifdef TLS_FINDER
    if (anchors->finder != NULL) { /* What it found before is of no account. */
        br_sha256_update(&sha256, anchors->finder->identity, sizeof tls->binding);
        br_sha256_out(&sha256, tls->binding);
        return;
    }
#endif
    for (size_t i = 0; i < anchors->count; i++) {
        uint8_t head[3] = {(uint8_t)anchors->anchor[i].flags, (uint8_t)anchors->anchor[i].dn.len,
                           (uint8_t)(anchors->anchor[i].dn.len >> 8)};

        br_sha256_update(&sha256, head, sizeof head);
    }
    br_sha256_update(&sha256, anchors->bytes, anchors->bytes_used);
    br_sha256_out(&sha256, tls->binding);
}

/* Whether the kept session belongs to this server, these anchors and this time. */
static bool can_resume(const struct tls *tls)
{
    const struct tls_resume *resume = tls->params.resume;

    return resume != NULL && resume->valid &&
           memcmp(resume->binding, tls->binding, sizeof tls->binding) == 0 &&
           tls->params.unix_s >= resume->not_before_unix_s &&
           tls->params.unix_s <= resume->not_after_unix_s;
}

static void keep_session(struct tls *tls)
{
    struct tls_resume *resume = tls->params.resume;
    uint64_t not_after_unix_s = tls->params.unix_s + RESUME_S_MAX;

    if (resume == NULL || (tls->info.resumed && resume->valid)) {
        return; /* A resumed session ends when its first handshake said. */
    }
    for (size_t i = 0; i < tls->info.chain_count && i < TLS_CHAIN_MAX; i++) {
        if (tls->info.chain[i].not_after_unix_s < not_after_unix_s) {
            not_after_unix_s = tls->info.chain[i].not_after_unix_s;
        }
    }
    br_ssl_engine_get_session_parameters(&tls->client.eng, &resume->session);
    memcpy(resume->binding, tls->binding, sizeof resume->binding);
    resume->not_before_unix_s = tls->params.unix_s;
    resume->not_after_unix_s = not_after_unix_s;
    resume->valid = resume->session.session_id_len > 0;
}

struct tls_anchors *tls_anchors_room(struct tls *tls)
{
    return &tls->anchors_room;
}

void *tls_lend(struct tls *tls, size_t size)
{
    return size <= sizeof tls->in ? tls->in : NULL;
}

void tls_resume_clear(struct tls_resume *resume)
{
    wipe(resume, sizeof *resume);
}

static void forget_session(struct tls *tls)
{
    if (tls->params.resume != NULL) {
        tls_resume_clear(tls->params.resume);
    }
}

static void set_algorithms(struct tls *tls)
{
    br_ssl_engine_context *engine = &tls->client.eng;

    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, suites, sizeof suites / sizeof suites[0]);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(engine, br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, br_tls12_sha384_prf);
    br_ssl_engine_set_rsavrfy(engine, TLS_RSA_VERIFY);
    br_ssl_engine_set_ec(engine, &tls_ec);
    br_ssl_engine_set_ecdsa(engine, br_ecdsa_i31_vrfy_asn1);
    br_ssl_engine_set_aes_ctr(engine, AES_CTR);
    br_ssl_engine_set_ghash(engine, GHASH);
    br_ssl_engine_set_gcm(engine, &br_sslrec_in_gcm_vtable, &br_sslrec_out_gcm_vtable);
    br_ssl_engine_set_chacha20(engine, CHACHA20);
    br_ssl_engine_set_poly1305(engine, POLY1305);
    br_ssl_engine_set_chapol(engine, &br_sslrec_in_chapol_vtable, &br_sslrec_out_chapol_vtable);
    br_ssl_engine_set_x509(engine, &tls->x509.vtable);
}

static void set_buffers(struct tls *tls)
{
    br_ssl_engine_context *engine = &tls->client.eng;

    br_ssl_engine_set_buffers_bidi(engine, tls->in, sizeof tls->in, tls->out, sizeof tls->out);
    /* BearSSL rounds the fragment down to a power of two and asks the server for the same limit.
     * Ours may fill the buffer, and the server needs no limit: 14 means that the extension is not
     * sent. */
    engine->max_frag_len = TLS_OUT_BYTES - RECORD_OVERHEAD;
    engine->log_max_frag_len = 14;
}

/* BearSSL lists the curves by their numbers, X25519 last, though it means to put it first; a server
 * that follows our order would take P-256, at four times the work. Puts the list in order in the
 * ClientHello that waits in the output buffer, and begins the transcript anew with that: it is its
 * first message. */
static void prefer_x25519(struct tls *tls)
{
    static const uint8_t theirs[14] = {0, 10,
                                       0, 10,
                                       0, 8,
                                       0, BR_EC_secp256r1,
                                       0, BR_EC_secp384r1,
                                       0, BR_EC_secp521r1,
                                       0, BR_EC_curve25519};
    static const uint8_t ours[14] = {0, 10,
                                     0, 10,
                                     0, 8,
                                     0, BR_EC_curve25519,
                                     0, BR_EC_secp256r1,
                                     0, BR_EC_secp384r1,
                                     0, BR_EC_secp521r1};
    br_ssl_engine_context *engine = &tls->client.eng;
    size_t size;
    uint8_t *record = br_ssl_engine_sendrec_buf(engine, &size);

    /* Behind the session id, whose length is at 43, there is no text but a host name. */
    for (size_t at = 44; record != NULL && at + record[43] + sizeof theirs <= size; at++) {
        uint8_t *list = record + at + record[43];

        if (memcmp(list, theirs, sizeof theirs) == 0) {
            memcpy(list, ours, sizeof ours);
            br_multihash_init(&engine->mhash);
            br_multihash_update(&engine->mhash, record + 5, size - 5);
            return;
        }
    }
}

static int refuse(struct tls *tls, enum tls_cause cause)
{
    tls_explain(tls, cause);
    tls->over = true;
    return tls->failure.error;
}

static bool has_anchors(const struct tls_anchors *anchors)
{
#ifdef TLS_FINDER
    if (anchors != NULL && anchors->finder != NULL) {
        return true;
    }
#endif
    return anchors != NULL && anchors->count > 0;
}

int tls_init(struct tls *tls, const struct tls_params *params)
{
    char name[256];
    uint8_t entropy[48];
    uint32_t address_be = 0;
    bool address = text_parse_ipv4(params->server_name, &address_be);

    memset(tls, 0, offsetof(struct tls, out)); /* The anchors may lie behind that. */
    tls->params = *params;
    tls->info.version = "TLS 1.2";
    tls->info.suite = "";
    tls->info.curve = "";
    if (!host_name(params->server_name, name, sizeof name) || (address && address_be == 0)) {
        return refuse(tls, TLS_NO_NAME);
    }
    if (!has_anchors(params->anchors)) {
        return refuse(tls, TLS_NO_CA);
    }
    if (params->unix_s == 0) {
        return refuse(tls, TLS_NO_TIME);
    }
    if (random_bytes(params->random, entropy, sizeof entropy) < 0) {
        return refuse(tls, TLS_NO_SEED);
    }
    compute_binding(tls, name);
    tls_x509_init(&tls->x509, &tls->info, params, address_be);
#ifdef TLS_FINDER
    if (params->anchors->finder != NULL) {
        tls_chain_init(&tls->x509, &tls->bag, params->anchors);
    }
#endif
    set_algorithms(tls);
    set_buffers(tls);
    br_ssl_engine_inject_entropy(&tls->client.eng, entropy, sizeof entropy);
    wipe(entropy, sizeof entropy);
    if (can_resume(tls)) {
        tls->info.resumed = true; /* Until the server sends a chain instead. */
        br_ssl_engine_set_session_parameters(&tls->client.eng, &params->resume->session);
    }
    /* SNI is for names only (RFC 6066 3). */
    if (!br_ssl_client_reset(&tls->client, address ? NULL : name, tls->info.resumed)) {
        return refuse(tls, BR_ERR_BAD_STATE);
    }
    prefer_x25519(tls);
    return 0;
}

/* BearSSL ends without a word when it does not like a certificate. The server's log should say why;
 * at this point nothing is encrypted and the output buffer is empty. */
static void send_alert(struct tls *tls, uint8_t alert)
{
    const uint8_t record[7] = {RECORD_ALERT, 3, 3, 0, 2, 2, alert};

    if (!tls->ready && alert != 0 && tls->in[0] >= 20 && tls->in[0] <= 23) {
        memcpy(tls->out, record, sizeof record);
        tls->alert_size = sizeof record;
    }
}

/* Looks at what the engine made of the last bytes. */
static void update(struct tls *tls)
{
    br_ssl_engine_context *engine = &tls->client.eng;
    unsigned state = br_ssl_engine_current_state(engine);
    int error = br_ssl_engine_last_error(engine);

    if (tls->over) {
        return;
    }
    if (!tls->ready && (state & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0) {
        tls->info.suite = suite_name(engine->session.cipher_suite);
        if (!tls->info.resumed) {
            tls->info.curve = tls_key_name((unsigned)br_ssl_engine_get_ecdhe_curve(engine));
        }
        tls->ready = true;
        keep_session(tls);
    }
    if (state != BR_SSL_CLOSED) {
        return;
    }
    tls->over = true;
    if (error != BR_ERR_OK) {
        send_alert(tls, tls_explain(tls, error));
        forget_session(tls); /* RFC 5246 7.2.2: not after a fatal alert. */
    } else if (!tls->ready) {
        tls_explain(tls, TLS_CUT_HANDSHAKE);
    }
}

unsigned tls_want(const struct tls *tls)
{
    unsigned state = br_ssl_engine_current_state(&tls->client.eng);
    unsigned want = tls->ready ? TLS_READY : 0;

    if (tls->alert_size > 0 && !tls->eof) {
        return want | TLS_WANT_NET_TX;
    }
    if (tls->over || state == BR_SSL_CLOSED) {
        return want | TLS_CLOSED;
    }
    if ((state & BR_SSL_RECVAPP) != 0) {
        want |= TLS_WANT_APP_RX;
    }
    if (tls->eof) {
        return (want & TLS_WANT_APP_RX) != 0 ? want : want | TLS_CLOSED;
    }
    if ((state & BR_SSL_SENDREC) != 0) {
        want |= TLS_WANT_NET_TX;
    }
    if ((state & BR_SSL_RECVREC) != 0) {
        want |= TLS_WANT_NET_RX;
    }
    if (tls->ready && (state & BR_SSL_SENDAPP) != 0) {
        want |= TLS_WANT_APP_TX;
    }
    return want;
}

const uint8_t *tls_net_tx_buf(struct tls *tls, size_t *size)
{
    if (tls->alert_size > 0) {
        *size = tls->eof ? 0 : tls->alert_size;
        return tls->out + tls->alert_at;
    }
    if ((tls_want(tls) & TLS_WANT_NET_TX) == 0) {
        *size = 0;
        return NULL;
    }
    return br_ssl_engine_sendrec_buf(&tls->client.eng, size);
}

void tls_net_tx_ack(struct tls *tls, size_t size)
{
    if (tls->alert_size > 0) {
        tls->alert_at = (uint8_t)(tls->alert_at + size);
        tls->alert_size = (uint8_t)(tls->alert_size - size);
        return;
    }
    br_ssl_engine_sendrec_ack(&tls->client.eng, size);
    update(tls);
}

/* In the clear, the engine takes a record in pieces, each from the beginning of the buffer, and so
 * never comes near what lies behind tls->clear. Only an encrypted record reaches farther; then the
 * chain has been verified, or there was none. */
uint8_t *tls_net_rx_buf(struct tls *tls, size_t *size)
{
    uint8_t *bytes;
    size_t at;
    size_t room;

    if ((tls_want(tls) & TLS_WANT_NET_RX) == 0) {
        *size = 0;
        return NULL;
    }
    bytes = br_ssl_engine_recvrec_buf(&tls->client.eng, size);
    at = (size_t)(bytes - tls->in);
    if (!tls->ready && at < TLS_CLEAR_BYTES) {
        room = TLS_CLEAR_BYTES - at;
        *size = room < *size ? room : *size;
    }
    return bytes;
}

void tls_net_rx_ack(struct tls *tls, size_t size)
{
    if (size > 0) {
        br_ssl_engine_recvrec_ack(&tls->client.eng, size);
        update(tls);
    }
}

uint8_t *tls_app_tx_buf(struct tls *tls, size_t *size)
{
    if ((tls_want(tls) & TLS_WANT_APP_TX) == 0) {
        *size = 0;
        return NULL;
    }
    return br_ssl_engine_sendapp_buf(&tls->client.eng, size);
}

void tls_app_tx_ack(struct tls *tls, size_t size)
{
    if (size > 0) {
        br_ssl_engine_sendapp_ack(&tls->client.eng, size);
    }
}

const uint8_t *tls_app_rx_buf(struct tls *tls, size_t *size)
{
    if ((tls_want(tls) & TLS_WANT_APP_RX) == 0) {
        *size = 0;
        return NULL;
    }
    return br_ssl_engine_recvapp_buf(&tls->client.eng, size);
}

void tls_app_rx_ack(struct tls *tls, size_t size)
{
    if (size > 0) {
        br_ssl_engine_recvapp_ack(&tls->client.eng, size);
    }
}

void tls_flush(struct tls *tls)
{
    if (tls->ready && !tls->over) {
        br_ssl_engine_flush(&tls->client.eng, 0);
    }
}

void tls_close(struct tls *tls)
{
    size_t size;
    const uint8_t *bytes;

    if (tls->over || tls->closing) {
        return;
    }
    tls->closing = true;
    if (!tls->ready || tls->eof) {
        tls->over = true; /* There is nothing yet, or no longer, to be closed in order. */
        return;
    }
    /* The engine reads on for the server's close_notify only when nobody has to fetch anything
     * before. */
    bytes = br_ssl_engine_recvapp_buf(&tls->client.eng, &size);
    if (bytes != NULL) {
        br_ssl_engine_recvapp_ack(&tls->client.eng, size);
    }
    br_ssl_engine_close(&tls->client.eng);
    update(tls);
}

void tls_eof(struct tls *tls)
{
    if (tls->eof) {
        return;
    }
    tls->eof = true;
    if (tls->over || tls->closing) {
        return; /* Many servers do not answer a close_notify. */
    }
    if (!tls->ready) {
        forget_session(tls); /* It may be what the server did not like. */
    }
    tls_explain(tls, tls->ready ? TLS_CUT : TLS_CUT_HANDSHAKE);
}

void tls_wipe(struct tls *tls)
{
    wipe(tls, sizeof *tls);
    tls->over = true;
}

const struct tls_failure *tls_failure(const struct tls *tls)
{
    return tls->failure.error != 0 ? &tls->failure : NULL;
}

const struct tls_info *tls_info(const struct tls *tls)
{
    return &tls->info;
}
