/* pop3d.h - a scripted POP3 server behind a simulated link (net/link.h), without TLS.
 *
 *     pop3d_init(&pop3d, &now_ms);
 *     pop3d_add(&pop3d, "0001", "Subject: a\r\n\r\ntext\r\n");
 *     ... give pop3d_link(&pop3d) to the code under test, or pop3d_service() to sim/lan.h ...
 *     pop3d.count, pop3d.messages[i].tops, .retrs ...
 *     pop3d_free(&pop3d);
 *
 * It speaks RFC 1939, 2449 and 5034, notices a client that does not, orders and numbers its mailbox
 * anew at each login as it is told, deletes at QUIT only, and can lose the connection at any byte.
 * Bytes reach it on a flush only, as TCP without one would wait.
 */
#ifndef TOCSIN_TESTS_SIM_POP3D_H
#define TOCSIN_TESTS_SIM_POP3D_H

#include "net/link.h"
#include "tests/sim/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pop3d_order {
    POP3D_OLDEST_FIRST,
    POP3D_NEWEST_FIRST,
    POP3D_BY_HASH, /* Of the id: a new one may come anywhere. */
    POP3D_SHUFFLED /* Anew at each login. */
};

struct pop3d_message {
    char uid[72];
    char *text; /* CRLF, no dots doubled. */
    uint32_t octets;
    bool marked;          /* To be deleted at QUIT. */
    uint32_t sequence;    /* Age. */
    uint32_t key;         /* Sorted by it. */
    unsigned tops, retrs; /* How often it was asked for. */
};

struct pop3d {
    struct link_base base;
    const uint64_t *now_ms;

    /* The mailbox, in its order as of the last login. */
    struct pop3d_message *messages;
    size_t count, room;
    uint32_t sequence;

    /* The script. */
    struct sim_answer answers[16]; /* "(open)" is the greeting; a reply that begins with "-ERR bye"
                                      closes the connection. */
    size_t answer_count;
    enum pop3d_order order;
    bool has_capa, has_top, has_uidl, has_pipelining, has_plain, has_user;
    uint32_t login_delay_s; /* Kept to. */
    const char *expire;     /* "30"; NULL: nothing said. */
    const char *user, *password;
    const char *no_open; /* Why there is no connection to be had; NULL: there is. */
    size_t window_bytes; /* Most that link_tx() holds. */
    size_t piece_bytes;  /* Most that link_rx_buf() shows. */
    size_t drop_tx;      /* The connection is lost after so many bytes of the server's, */
    size_t drop_rx;      /* or so many of the client's, both counted over all connections. */
    enum sim_drop drop;

    /* What it saw. */
    size_t tx_total, rx_total;
    unsigned connections, closes, aborts, logins, goodbyes;
    unsigned too_soon; /* Logins that LOGIN-DELAY refused. */
    unsigned deleted;
    const char *violation; /* What the client did wrong; NULL: nothing. */
    char commands[4096];   /* All of them, a space after each; the last ones are left out. */

    /* The connection in hand. */
    enum link_state state;
    uint64_t login_ms; /* Of the last good login. */
    char held[4096];
    size_t held_size, flushed_size;
    char line[512];
    size_t line_size;
    char *out;
    size_t out_size, out_at, out_room;
    bool user_told, plain_begun, logged_in, ending, silent;
    unsigned tcp_index; /* The connection of sim/lan.h that it serves. */
};

void pop3d_init(struct pop3d *pop3d, const uint64_t *now_ms);
void pop3d_free(struct pop3d *pop3d);
struct link *pop3d_link(struct pop3d *pop3d);

/* A message arrives; seen from the next login on. text is copied. */
void pop3d_add(struct pop3d *pop3d, const char *uid, const char *text);

/* Somebody else deletes it. */
void pop3d_remove(struct pop3d *pop3d, size_t index);

/* The one with that id; NULL: none. */
struct pop3d_message *pop3d_find(struct pop3d *pop3d, const char *uid);

/* The next `times` commands that begin with prefix get that reply; earlier answers go first. */
void pop3d_answer(struct pop3d *pop3d, const char *prefix, const char *reply, unsigned times);

/* Serves one connection of sim/lan.h at a time. */
struct sim_tcp;
void pop3d_service(void *pop3d, struct sim_tcp *tcp, unsigned index, bool fresh);

#endif
