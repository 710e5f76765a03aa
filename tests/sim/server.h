/* server.h - a scripted SMTP server behind a simulated link (net/link.h), without TLS.
 *
 *     sim_server_init(&server, &now_ms);
 *     sim_server_answer(&server, "RCPT TO:<b@", "451 4.7.1 later", 2);
 *     ... give sim_server_link(&server) to the code under test ...
 *     server.mails[0].taken      what the server has said 250 to
 *
 * It speaks enough of RFC 5321 to notice a client that does not, and can lose the connection, fall
 * silent or lose the cable at any byte. Bytes reach it on a flush only, as TCP without one would
 * wait.
 */
#ifndef TOCSIN_TESTS_SIM_SERVER_H
#define TOCSIN_TESTS_SIM_SERVER_H

#include "net/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SERVER_NEVER SIZE_MAX

/* How a connection ends at `drop_tx` or `drop_rx`. */
enum sim_drop {
    SIM_DROP_FIN,
    SIM_DROP_RESET,
    SIM_DROP_SILENT /* It stays open, and nothing more comes. */
};

struct sim_answer {
    const char *prefix; /* Of a command; "(open)" is the greeting, "." the end of a body, "(body)"
                           its middle. */
    const char *reply;  /* Without the last CRLF; 421 closes the connection. */
    unsigned times;     /* How often yet. */
};

struct sim_mail {
    char from[128];
    char to[256];     /* "<a@x><b@x>": those that the server took. */
    char bytes[8192]; /* Header and body as they came, dots and all. */
    bool taken;       /* The server has it, whether or not its 250 arrived. */
};

struct sim_server {
    struct link_base base;
    const uint64_t *now_ms;

    /* The script. */
    struct sim_answer answers[16];
    size_t answer_count;
    const char *ehlo;    /* Reply to EHLO. */
    size_t window_bytes; /* Most that link_tx() holds. */
    size_t piece_bytes;  /* Most that link_rx_buf() shows. */
    uint64_t open_ms;    /* What resolving and connecting take, each. */
    const char *no_open; /* Why there is no connection to be had; NULL: there is. */
    bool no_name;        /* ... because there is no such name. */
    size_t drop_tx;      /* The connection is lost after so many bytes of the server's, */
    size_t drop_rx;      /* or so many of the client's, both counted over all connections. */
    enum sim_drop drop;
    bool cable_out; /* Nothing moves, and nobody notices. */

    /* What it saw. */
    size_t tx_total, rx_total;
    unsigned opens, connections, closes, aborts; /* An open need not become a connection. */
    unsigned goodbyes;                           /* QUIT was said. */
    unsigned confirmed;    /* Replies 2xx to the end of a body that arrived whole. */
    const char *violation; /* What the client did wrong; NULL: nothing. */
    struct sim_mail mails[96];
    size_t mail_count;
    char commands[2048]; /* All of them, a space after each; the last ones are left out. */

    /* The connection in hand. */
    enum link_state state;
    uint64_t opened_ms;
    char held[4096];
    size_t held_size, flushed_size; /* Taken by link_tx(), and of these to be sent. */
    char line[1024];
    size_t line_size;
    char out[4096];
    size_t out_size, out_at;
    size_t confirm_at; /* Where in `out` the 250 to a body ends; 0: none is on its way. */
    bool in_body, greeted, ending, silent;
    struct sim_mail *mail; /* Under way; NULL: none. */
};

void sim_server_init(struct sim_server *server, const uint64_t *now_ms);
struct link *sim_server_link(struct sim_server *server);

/* The next `times` commands that begin with prefix get that reply; earlier answers go first. */
void sim_server_answer(struct sim_server *server, const char *prefix, const char *reply,
                       unsigned times);

/* How many mails that the server has taken hold text. */
unsigned sim_server_taken(const struct sim_server *server, const char *text);

#endif
