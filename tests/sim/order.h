/* order.h - mails that order something of a device, as `tocsin sign` and a person make them. */
#ifndef TOCSIN_TESTS_SIM_ORDER_H
#define TOCSIN_TESTS_SIM_ORDER_H

#include "net/digest.h"
#include "net/otp.h"

#include <stddef.h>
#include <stdint.h>

struct sim_order {
    const uint8_t *key; /* DIGEST_KEY_BYTES of HMAC-SHA-256. */
    const char *device;
    uint32_t counter;
    const char *command;
    const char *text; /* Behind the command; NULL: none. */
};

/* The block of net/mailed.h, lines ended by CRLF. Returns its length; size is enough. */
size_t sim_order_signed(const struct sim_order *order, char *out, size_t size);

/* The same by one-time password number `sequence` of that chain, in words. */
size_t sim_order_otp(const char *seed, const char *phrase, uint32_t sequence, const char *command,
                     char *out, size_t size);

/* A whole mail with that body. message_id without its brackets. */
size_t sim_order_mail(const char *message_id, const char *subject, const char *body, char *out,
                      size_t size);

#endif
