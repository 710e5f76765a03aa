#include "net/rfc5322.h"

void rfc5322_init(struct rfc5322 *mail, const struct rfc5322_fields *fields)
{
    *mail = (struct rfc5322){.fields = *fields};
}

size_t rfc5322_read(struct rfc5322 *mail, uint8_t *out, size_t size)
{
    (void)mail;
    (void)out;
    (void)size;
    return 0;
}

uint32_t rfc5322_size(struct rfc5322 *mail, bool *has_eight_bit)
{
    (void)mail;
    *has_eight_bit = false;
    return 0;
}
