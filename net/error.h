/* error.h - the one list of errors.
 *
 * A function that can fail returns int: 0 or more is its result, a negative number is one of these.
 * The first four are the classes that decide what happens to an alert; the rest are local.
 */
#ifndef TOCSIN_NET_ERROR_H
#define TOCSIN_NET_ERROR_H

enum error {
    E_TRANSIENT = -1, /* Try again later: 4xx, a timeout, a dropped connection, no route, no DNS. */
    E_PERMANENT = -2, /* This message will never go: 5xx to MAIL, RCPT or DATA. */
    E_CONFIG = -3,    /* A person must change something: wrong password, no such host name. */
    E_SECURITY = -4,  /* Refused on purpose; nothing secret was sent. */
    E_INVALID = -5,   /* Malformed input. */
    E_SPACE = -6,     /* A bounded buffer, table or flash region is full. */
    E_IO = -7,        /* A device did not do what it was told within its bound. */
    E_MISSING = -8,   /* What was asked for is not there. */
    E_UNSUPPORTED = -9 /* This board or peer does not have it. */
};

/* Warn when a result is dropped (style rule 4). */
#define MUST_CHECK __attribute__((warn_unused_result))

/* The name of an error for people: "transient", "security", ... Never NULL. */
const char *error_name(int error);

#endif
