/* smtpd_state.h - what is inside struct smtpd. Private to net/smtpd.c: others only need its size.
 */
#ifndef TOCSIN_NET_SMTPD_STATE_H
#define TOCSIN_NET_SMTPD_STATE_H

#ifndef TOCSIN_NET_SMTPD_H
#error "include net/smtpd.h"
#endif

#define SMTPD_TX_BYTES 1024
#define SMTPD_REPLY_BYTES 510 /* RFC 5321 4.5.3.1.5, without CRLF. */

struct smtpd {
    uint8_t phase;       /* enum smtpd_phase, in smtpd.c. */
    uint8_t body_state;  /* enum body_state: where in a line of the body. */
    uint8_t event;       /* enum smtpd_event that waits, */
    uint8_t event_after; /* and the one behind it. */
    bool mail;           /* MAIL was accepted, and the mail is neither ended nor forgotten. */
    bool line_cut;       /* The line is longer than there is room for. */
    bool line_bad;       /* It holds what no command does. */
    bool too_large;      /* The body is. */
    uint16_t rcpt_count; /* Accepted ones. */
    uint16_t line_size, parameters_at, parameters_end;
    uint16_t body_at, body_size;
    uint16_t tx_at, tx_size;
    uint64_t size_max, size; /* Of the body so far. */
    const char *hostname;
    char address[ADDRESS_BYTES];
    /* A command; behind MAIL and RCPT its parameters, a string each; in DATA bytes of the body. */
    char line[SMTPD_LINE_BYTES];
    char tx[SMTPD_TX_BYTES];
};

#endif
