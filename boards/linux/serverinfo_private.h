/* serverinfo_private.h - one look at one server: shared by serverinfo*.c alone. */
#ifndef TOCSIN_BOARDS_LINUX_SERVERINFO_PRIVATE_H
#define TOCSIN_BOARDS_LINUX_SERVERINFO_PRIVATE_H

#include "boards/linux/trust.h"
#include "net/pop3.h"
#include "net/posix/link_posix.h"
#include "net/random.h"
#include "net/session.h"
#include "net/smtp.h"
#include "net/tls.h"

#define PROBE_GREETING_BYTES 512
#define PROBE_LIST_BYTES 2048
#define PROBE_LINE_BYTES 512

/* Which server, and how. Strings are borrowed. */
struct probe_target {
    const char *host;
    const char *tls_name; /* In the certificate. */
    uint16_t port;
    enum smtp_tls tls;
    bool pop3;
    bool has_login; /* The configuration has a user for it. */
};

/* What a server said, line by line, as it may be shown. */
struct probe_said {
    bool capabilities; /* It answered EHLO or CAPA well. */
    struct text greeting;
    struct text list;  /* Capabilities, each behind a comma. */
    uint32_t size_max; /* SIZE; 0: none said. */
    char greeting_bytes[PROBE_GREETING_BYTES];
    char list_bytes[PROBE_LIST_BYTES];
};

struct probe {
    const struct probe_target *target;
    uint32_t connect_ms_max;
    uint64_t began_ms;
    struct trust *trust;
    struct random *random;
    const char *ehlo_name;
    uint64_t unix_s;
    bool goodbye; /* All is known: QUIT is on its way, or was said. */
    uint8_t goodbye_sent;
    bool goodbye_heard;
    struct probe_said said[2]; /* In clear, and over TLS. */
    size_t line_size;
    const uint8_t *rx; /* Where the engine wanted its bytes. */
    char line[PROBE_LINE_BYTES];
    struct session session;
    struct smtp_params smtp_params;
    struct pop3_params pop3_params;
    struct tls_params tls_params;
    struct smtp smtp;
    struct pop3 pop3;
    struct tls tls;
    struct link_posix posix;
};

/* Talks to the server until it has said all; observe is told of phases as they end. */
void probe_run(struct probe *probe,
               void (*observe)(void *context, enum session_phase phase, uint64_t now_ms));

#endif
