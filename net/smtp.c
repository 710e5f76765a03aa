#include "net/smtp.h"

#include <string.h>

int smtp_init(struct smtp *smtp, const struct smtp_params *params, uint64_t now_ms)
{
    memset(smtp, 0, sizeof *smtp);
    smtp->params = params;
    smtp->deadline_ms = now_ms;
    smtp->failed = true;
    smtp->reply.error = E_UNSUPPORTED;
    return 0;
}

unsigned smtp_want(const struct smtp *smtp)
{
    (void)smtp;
    return SMTP_CLOSED;
}

const uint8_t *smtp_tx_buf(const struct smtp *smtp, size_t *size)
{
    *size = (size_t)(smtp->tx_size - smtp->tx_at);
    return smtp->tx + smtp->tx_at;
}

void smtp_tx_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    (void)now_ms;
    smtp->tx_at = (uint16_t)(smtp->tx_at + size);
}

uint8_t *smtp_rx_buf(struct smtp *smtp, size_t *size)
{
    *size = sizeof smtp->rx - smtp->rx_size;
    return smtp->rx + smtp->rx_size;
}

void smtp_rx_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    (void)smtp;
    (void)size;
    (void)now_ms;
}

void smtp_tls_started(struct smtp *smtp, uint64_t now_ms)
{
    (void)smtp;
    (void)now_ms;
}

int smtp_message(struct smtp *smtp, const struct smtp_envelope *envelope, uint64_t now_ms)
{
    (void)now_ms;
    smtp->envelope = *envelope;
    return E_INVALID;
}

uint8_t *smtp_body_buf(struct smtp *smtp, size_t *size)
{
    *size = 0;
    return smtp->tx;
}

void smtp_body_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    (void)smtp;
    (void)size;
    (void)now_ms;
}

void smtp_body_end(struct smtp *smtp, uint64_t now_ms)
{
    (void)smtp;
    (void)now_ms;
}

const struct smtp_result *smtp_result(const struct smtp *smtp)
{
    return &smtp->result;
}

void smtp_quit(struct smtp *smtp, uint64_t now_ms)
{
    (void)smtp;
    (void)now_ms;
}

void smtp_eof(struct smtp *smtp, uint64_t now_ms)
{
    (void)smtp;
    (void)now_ms;
}

void smtp_timeout(struct smtp *smtp, uint64_t now_ms)
{
    (void)smtp;
    (void)now_ms;
}

uint64_t smtp_deadline(const struct smtp *smtp)
{
    (void)smtp;
    return UINT64_MAX;
}

const struct smtp_failure *smtp_failure(const struct smtp *smtp)
{
    return smtp->failed ? &smtp->reply : NULL;
}

enum smtp_stage smtp_stage(const struct smtp *smtp)
{
    (void)smtp;
    return SMTP_STAGE_GREETING;
}

unsigned smtp_capabilities(const struct smtp *smtp)
{
    return smtp->capabilities;
}

const char *smtp_stage_name(enum smtp_stage stage)
{
    (void)stage;
    return "greeting";
}

const char *smtp_advice(const struct smtp_failure *failure)
{
    (void)failure;
    return "";
}
