#include "tests/sim/order.h"

#include "net/base64.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PAYLOAD_BYTES 40000
#define LINE_CHARACTERS 64

/* Lines of base64. */
static void add_lines(struct text *out, const void *bytes, size_t size)
{
    static char encoded[BASE64_SIZE(PAYLOAD_BYTES) + 1];
    struct text text = text_begin(encoded, sizeof encoded);
    struct base64 base64 = base64_begin(&text);

    base64_add(&base64, bytes, size);
    base64_end(&base64);
    assert(!text.cut);
    for (size_t at = 0; at < text.length; at += LINE_CHARACTERS) {
        size_t left = text.length - at;

        text_add_bytes(out, encoded + at, left < LINE_CHARACTERS ? left : LINE_CHARACTERS);
        text_add(out, "\r\n");
    }
}

size_t sim_order_signed(const struct sim_order *order, char *out, size_t size)
{
    static char payload[PAYLOAD_BYTES];
    struct text text = text_begin(out, size);
    struct digest_hmac hmac;
    uint8_t signature[DIGEST_SHA256_BYTES];
    int length = snprintf(payload, sizeof payload, "tocsin 1\ndevice %s\ncounter %u\ncommand %s\n",
                          order->device, (unsigned)order->counter, order->command);

    if (order->text != NULL) {
        length += snprintf(payload + length, sizeof payload - (size_t)length, "\n%s", order->text);
    }
    assert((size_t)length < sizeof payload);
    digest_hmac_init(&hmac, order->key);
    digest_hmac_push(&hmac, payload, (size_t)length);
    digest_hmac_end(&hmac, signature);
    text_add(&text, "-----BEGIN TOCSIN COMMAND-----\r\n");
    add_lines(&text, payload, (size_t)length);
    text_add(&text, "-----TOCSIN SIGNATURE-----\r\n");
    add_lines(&text, signature, sizeof signature);
    text_add(&text, "-----END TOCSIN COMMAND-----\r\n");
    assert(!text.cut);
    return text.length;
}

size_t sim_order_otp(const char *seed, const char *phrase, uint32_t sequence, const char *command,
                     char *out, size_t size)
{
    uint8_t response[OTP_BYTES];
    char words[OTP_TEXT_BYTES];
    int result = otp_make(seed, phrase, sequence, response);

    assert(result == 0);
    (void)result;
    otp_words(response, words);
    return text_print(out, size, "otp %s\r\n%s\r\n", words, command);
}

size_t sim_order_mail(const char *message_id, const char *subject, const char *body, char *out,
                      size_t size)
{
    struct text text = text_begin(out, size);

    text_format(&text,
                "From: Someone <someone@example.test>\r\nTo: box@example.test\r\n"
                "Message-ID: <%s>\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n\r\n",
                message_id, subject);
    text_add(&text, body);
    assert(!text.cut);
    return text.length;
}
