/* link_posix_state.h - what is inside struct link_posix. Private to net/posix: others only need its
 * size. */
#ifndef TOCSIN_NET_POSIX_LINK_POSIX_STATE_H
#define TOCSIN_NET_POSIX_LINK_POSIX_STATE_H

#include <sys/types.h>

#define LINK_POSIX_TX_BYTES 33280u /* Two of the largest TLS records: one write of a turn. */
#define LINK_POSIX_RX_BYTES 32768u

struct link_posix_address {
    uint8_t family;    /* 4 or 6. */
    uint8_t bytes[16]; /* Network byte order. */
    uint32_t scope;    /* Interface of a link-local address; 0: none. */
};

/* What the resolver's process tells; error is 0 or an EAI_ code. It is less than PIPE_BUF, so that
 * it comes in one piece or not at all. */
struct link_posix_answer {
    int error;
    uint32_t count;
    struct link_posix_address address[LINK_POSIX_ADDRESS_MAX];
};

/* Looks a name up, and may take its time. */
typedef void link_posix_lookup(const char *name, struct link_posix_answer *answer);

struct link_posix {
    struct link_base base;
    enum link_state state;
    enum link_state told; /* What the caller knows of it. */
    bool connect_told;    /* The caller knows that there were addresses. */
    bool rx_offered;      /* The reader has left what it was woken for. */
    uint8_t rx_dry;       /* The kernel had nothing: so many looks are left out. */
    uint8_t count;        /* Addresses, */
    uint8_t next;         /* the first that was not tried, */
    uint8_t telling;      /* and how much the worst of their errors tells; 0: no error. */
    uint16_t port;
    int fd;                              /* The connection; -1: none. */
    int attempt[LINK_POSIX_ADDRESS_MAX]; /* Connections under way, one an address; -1: none. */
    struct link_posix_address address[LINK_POSIX_ADDRESS_MAX];
    uint64_t next_ms;          /* When the next address is due. */
    pid_t resolver;            /* Its process; 0: none. */
    int resolver_fd;           /* Where it answers. */
    link_posix_lookup *lookup; /* What it runs; tests have their own. */
    link_posix_host *host;
    void *context;
    const char *error_text;
    char peer[LINK_POSIX_TEXT_BYTES];
    size_t tx_at, tx_size; /* Unsent bytes of tx. */
    size_t rx_at, rx_size; /* Unread bytes of rx. */
    uint8_t tx[LINK_POSIX_TX_BYTES];
    uint8_t rx[LINK_POSIX_RX_BYTES];
};

#endif
