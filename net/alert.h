/* alert.h - one alert, as it goes from its source to the composer. Plain bounded text, no pointers,
 * so that it can be stored as it is. */
#ifndef TOCSIN_NET_ALERT_H
#define TOCSIN_NET_ALERT_H

#include <stdbool.h>
#include <stdint.h>

#define ALERT_TEXT_BYTES 400 /* With NUL; longer text is cut at a UTF-8 boundary and marked. */
#define ALERT_NAME_BYTES 48
#define ALERT_DOMAIN_BYTES 96
#define FACILITY_COUNT 24   /* RFC 5424 table 1. */
#define FACILITY_DEVICE 255 /* Not in that table: the device's own. */

/* No alert: an answer, a report or a round trip that waits to go out. */
#define FACILITY_MAIL 254

/* RFC 5424 table 2. */
enum severity {
    SEVERITY_EMERGENCY,
    SEVERITY_ALERT,
    SEVERITY_CRITICAL,
    SEVERITY_ERROR,
    SEVERITY_WARNING,
    SEVERITY_NOTICE,
    SEVERITY_INFO,
    SEVERITY_DEBUG,
    SEVERITY_COUNT
};

struct alert {
    uint8_t severity;
    uint8_t facility;       /* RFC 5424 table 1, or FACILITY_DEVICE. */
    bool damaged;           /* It went bad in flash: the texts are what can be read. */
    uint32_t sequence;      /* Names it for ever: counted over all boots, from 1. */
    uint32_t boot_count;    /* The boot in which it happened. */
    uint32_t count;         /* How often it happened; 0 and 1: once. */
    uint64_t unix_s;        /* When it happened first; 0: the clock was not known. */
    uint64_t last_unix_s;   /* When it happened last, if often; 0: not known. */
    uint64_t queued_unix_s; /* As known when it was queued, never changed: for its Message-ID. */
    uint64_t uptime_ms;     /* Of the device, when it happened first. */
    char source[16];        /* "syslog", "console", "device". */
    char sender[16];        /* IPv4 address of the syslog sender, or "". */
    char host[ALERT_NAME_BYTES];     /* As the sender calls itself, or "". */
    char app[ALERT_NAME_BYTES];      /* App name and process id: "sshd[412]", or "". */
    char text[ALERT_TEXT_BYTES];     /* UTF-8, no control characters. */
    char domain[ALERT_DOMAIN_BYTES]; /* Right side of its Message-ID, fixed when it was queued. */
};

const char *severity_name(uint8_t severity); /* "critical"; never NULL. */
/* By name ("crit", "critical", ...) or digit; -1: none such. */
int severity_parse(const char *name);
const char *facility_name(uint8_t facility); /* "daemon"; "device"; never NULL. */

#endif
