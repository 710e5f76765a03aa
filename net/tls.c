#include "net/tls.h"

#include <string.h>

void tls_anchors_init(struct tls_anchors *anchors)
{
    memset(anchors, 0, sizeof *anchors);
}

void tls_pem_init(struct tls_pem *pem, struct tls_anchors *anchors)
{
    memset(pem, 0, sizeof *pem);
    pem->anchors = anchors;
}

int tls_pem_push(struct tls_pem *pem, const char *text, size_t size, const char **why)
{
    (void)pem, (void)text, (void)size;
    if (why != NULL) {
        *why = "not yet";
    }
    return E_UNSUPPORTED;
}

int tls_pem_end(struct tls_pem *pem, const char **why)
{
    (void)pem;
    if (why != NULL) {
        *why = "not yet";
    }
    return E_UNSUPPORTED;
}

int tls_init(struct tls *tls, const struct tls_params *params)
{
    tls->params = *params;
    return E_UNSUPPORTED;
}

unsigned tls_want(const struct tls *tls)
{
    (void)tls;
    return TLS_CLOSED;
}

const uint8_t *tls_net_tx_buf(struct tls *tls, size_t *size)
{
    return br_ssl_engine_sendrec_buf(&tls->client.eng, size);
}

void tls_net_tx_ack(struct tls *tls, size_t size)
{
    br_ssl_engine_sendrec_ack(&tls->client.eng, size);
}

uint8_t *tls_net_rx_buf(struct tls *tls, size_t *size)
{
    return br_ssl_engine_recvrec_buf(&tls->client.eng, size);
}

void tls_net_rx_ack(struct tls *tls, size_t size)
{
    br_ssl_engine_recvrec_ack(&tls->client.eng, size);
}

uint8_t *tls_app_tx_buf(struct tls *tls, size_t *size)
{
    return br_ssl_engine_sendapp_buf(&tls->client.eng, size);
}

void tls_app_tx_ack(struct tls *tls, size_t size)
{
    br_ssl_engine_sendapp_ack(&tls->client.eng, size);
}

const uint8_t *tls_app_rx_buf(struct tls *tls, size_t *size)
{
    return br_ssl_engine_recvapp_buf(&tls->client.eng, size);
}

void tls_app_rx_ack(struct tls *tls, size_t size)
{
    br_ssl_engine_recvapp_ack(&tls->client.eng, size);
}

void tls_flush(struct tls *tls)
{
    br_ssl_engine_flush(&tls->client.eng, 0);
}

void tls_close(struct tls *tls)
{
    br_ssl_engine_close(&tls->client.eng);
}

void tls_eof(struct tls *tls)
{
    tls->eof = true;
}

void tls_wipe(struct tls *tls)
{
    memset(tls, 0, sizeof *tls);
}

const struct tls_failure *tls_failure(const struct tls *tls)
{
    return &tls->failure;
}

const struct tls_info *tls_info(const struct tls *tls)
{
    return &tls->info;
}

const char *tls_advice(const struct tls_failure *failure)
{
    (void)failure;
    return "";
}

void tls_resume_clear(struct tls_resume *resume)
{
    memset(resume, 0, sizeof *resume);
}
