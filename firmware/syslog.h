/* syslog.h - one UDP datagram as an alert (RFC 3164 and RFC 5424, told apart by what they hold).
 *
 * Real senders bend both formats: no header at all, no year, a trailing NUL or LF, a BOM, a host
 * name that is missing. Whatever has a valid <PRI> is taken; the rest is counted by the caller.
 */
#ifndef TOCSIN_FIRMWARE_SYSLOG_H
#define TOCSIN_FIRMWARE_SYSLOG_H

#include "net/alert.h"
#include "net/error.h"

#include <stddef.h>
#include <stdint.h>

/* Fills severity, facility, host, app and text (and source = "syslog"); leaves times, sender and
 * numbers alone. Control characters become spaces; bytes that are no UTF-8 become U+FFFD.
 * E_INVALID: no <PRI>, or empty. */
MUST_CHECK int syslog_parse(struct alert *alert, const char *datagram, size_t size);

#endif
