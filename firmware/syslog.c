#include "firmware/syslog.h"

int syslog_parse(struct alert *alert, const char *datagram, size_t size)
{
    (void)alert;
    (void)datagram;
    (void)size;
    return E_INVALID;
}
