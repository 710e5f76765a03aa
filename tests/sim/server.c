#include "tests/sim/server.h"

#include <assert.h>
#include <string.h>

static struct sim_server *server_of(struct link *link)
{
    return (struct sim_server *)(void *)link;
}

/* --- The server's half --- */

static void add(char *out, size_t size, const char *bytes, size_t count)
{
    size_t have = strlen(out);

    if (count > size - have - 1) {
        count = size - have - 1;
    }
    memcpy(out + have, bytes, count);
    out[have + count] = '\0';
}

static void lose(struct sim_server *server)
{
    if (server->drop == SIM_DROP_SILENT) {
        server->silent = true;
    } else {
        server->state = server->drop == SIM_DROP_FIN ? LINK_ENDED : LINK_FAILED;
    }
    server->drop_tx = SIM_SERVER_NEVER;
    server->drop_rx = SIM_SERVER_NEVER;
}

static void say(struct sim_server *server, const char *text)
{
    size_t size = strlen(text);

    if (server->out_at == server->out_size) {
        server->out_at = 0;
        server->out_size = 0;
        server->confirm_at = 0;
    }
    assert(server->out_size + size + 2 <= sizeof server->out);
    memcpy(server->out + server->out_size, text, size);
    memcpy(server->out + server->out_size + size, "\r\n", 2);
    server->out_size += size + 2;
    if (strncmp(text, "421", 3) == 0 || strncmp(text, "221", 3) == 0) {
        server->ending = true;
    }
}

/* The scripted reply to that line, or the usual one. */
static const char *reply_to(struct sim_server *server, const char *line, const char *usual)
{
    for (size_t i = 0; i < server->answer_count; i++) {
        struct sim_answer *answer = &server->answers[i];

        if (answer->times > 0 && strncmp(line, answer->prefix, strlen(answer->prefix)) == 0) {
            answer->times--;
            return answer->reply;
        }
    }
    return usual;
}

static void on_body_line(struct sim_server *server)
{
    const char *reply = reply_to(server, "(body)", NULL);

    if (reply != NULL) {
        say(server, reply);
        server->ending = true;
    }
    if (strcmp(server->line, ".") != 0) {
        add(server->mail->bytes, sizeof server->mail->bytes, server->line, server->line_size);
        add(server->mail->bytes, sizeof server->mail->bytes, "\n", 1);
        return;
    }
    server->in_body = false;
    reply = reply_to(server, ".", "250 2.0.0 queued as 4F1A");
    server->mail->taken = reply[0] == '2';
    server->mail = NULL;
    say(server, reply);
    if (reply[0] == '2') {
        server->confirm_at = server->out_size;
    }
}

static struct sim_mail *mail_begin(struct sim_server *server, const char *from)
{
    struct sim_mail *mail = &server->mails[server->mail_count];

    assert(server->mail_count < sizeof server->mails / sizeof server->mails[0]);
    server->mail_count++;
    add(mail->from, sizeof mail->from, from, strcspn(from, " "));
    return mail;
}

static void on_envelope(struct sim_server *server)
{
    const char *reply;

    if (strncmp(server->line, "MAIL FROM:", 10) == 0) {
        if (server->mail != NULL || !server->greeted) {
            server->violation = "MAIL within a mail, or before EHLO";
        }
        reply = reply_to(server, server->line, "250 2.1.0 ok");
        server->mail = reply[0] == '2' ? mail_begin(server, server->line + 10) : NULL;
    } else if (strncmp(server->line, "RCPT TO:", 8) == 0) {
        reply = reply_to(server, server->line,
                         server->mail != NULL ? "250 2.1.5 ok" : "503 5.5.1 no MAIL");
        if (reply[0] == '2') {
            add(server->mail->to, sizeof server->mail->to, server->line + 8,
                strlen(server->line + 8));
        }
    } else { /* DATA */
        bool somebody = server->mail != NULL && server->mail->to[0] != '\0';

        reply = reply_to(server, "DATA", somebody ? "354 go on" : "503 5.5.1 nobody to send to");
        server->in_body = reply[0] == '3';
        assert(!server->in_body || somebody);
    }
    say(server, reply);
}

static void on_command(struct sim_server *server)
{
    const char *line = server->line;

    add(server->commands, sizeof server->commands, line, strcspn(line, " :"));
    add(server->commands, sizeof server->commands, " ", 1);
    if (strncmp(line, "EHLO ", 5) == 0) {
        server->greeted = true;
        say(server, reply_to(server, line, server->ehlo));
    } else if (strncmp(line, "AUTH ", 5) == 0) {
        say(server, reply_to(server, line, "235 2.7.0 welcome"));
    } else if (strcmp(line, "RSET") == 0) {
        server->mail = NULL;
        say(server, reply_to(server, line, "250 2.0.0 ok"));
    } else if (strcmp(line, "QUIT") == 0) {
        server->goodbyes++;
        say(server, reply_to(server, line, "221 2.0.0 bye"));
    } else if (strncmp(line, "MAIL", 4) == 0 || strncmp(line, "RCPT", 4) == 0 ||
               strcmp(line, "DATA") == 0) {
        on_envelope(server);
    } else {
        server->violation = "an unknown command";
        say(server, "500 5.5.2 what?");
    }
}

static void on_byte(struct sim_server *server, char c)
{
    if (c == '\n') {
        if (server->line_size == 0 || server->line[server->line_size - 1] != '\r') {
            server->violation = "a lone LF";
        } else {
            server->line_size--;
        }
        server->line[server->line_size] = '\0';
        if (server->ending) {
            server->line_size = 0; /* Nobody listens any more. */
        } else if (server->in_body) {
            on_body_line(server);
        } else {
            on_command(server);
        }
        server->line_size = 0;
    } else if (server->line_size + 1 < sizeof server->line) {
        server->line[server->line_size++] = c;
    } else {
        server->violation = "an overlong line";
    }
}

/* --- The link's half --- */

static int link_begin(struct link *link, const char *host, uint16_t port)
{
    struct sim_server *server = server_of(link);

    (void)host;
    (void)port;
    assert(server->state == LINK_IDLE);
    server->state = LINK_RESOLVING;
    server->opens++;
    server->opened_ms = *server->now_ms;
    server->held_size = 0;
    server->flushed_size = 0;
    server->line_size = 0;
    server->out_size = 0;
    server->out_at = 0;
    server->confirm_at = 0;
    server->in_body = false;
    server->greeted = false;
    server->ending = false;
    server->silent = false;
    server->mail = NULL;
    return 0;
}

/* What was flushed reaches the server as soon as the cable is in, as TCP would see to it. */
static void deliver(struct sim_server *server)
{
    size_t size = server->flushed_size;

    if (server->cable_out || server->silent) {
        return;
    }
    for (size_t i = 0; i < size && server->state == LINK_OPEN && !server->silent; i++) {
        on_byte(server, server->held[i]);
        if (++server->rx_total == server->drop_rx) {
            lose(server);
        }
    }
    memmove(server->held, server->held + size, server->held_size - size);
    server->held_size -= size;
    server->flushed_size = 0;
}

static void flush(struct link *link)
{
    server_of(link)->flushed_size = server_of(link)->held_size;
    deliver(server_of(link));
}

static enum link_state state_now(struct link *link)
{
    struct sim_server *server = server_of(link);
    uint64_t passed_ms = *server->now_ms - server->opened_ms;

    if (server->cable_out) {
        return server->state;
    }
    deliver(server);
    if (server->state == LINK_RESOLVING && passed_ms >= server->open_ms) {
        server->state = server->no_open != NULL && server->no_name ? LINK_FAILED : LINK_CONNECTING;
    } else if (server->state == LINK_CONNECTING && passed_ms >= 2 * server->open_ms) {
        server->state = server->no_open != NULL ? LINK_FAILED : LINK_OPEN;
        if (server->state == LINK_OPEN) {
            server->connections++;
            say(server, reply_to(server, "(open)", "220 mail.example.test ESMTP"));
        }
    } else if (server->state == LINK_OPEN && server->ending && server->out_at == server->out_size) {
        server->state = LINK_ENDED;
    }
    return server->state;
}

static size_t tx(struct link *link, const uint8_t *bytes, size_t size)
{
    struct sim_server *server = server_of(link);
    size_t room = server->window_bytes - server->held_size;

    size = size < room ? size : room;
    memcpy(server->held + server->held_size, bytes, size);
    server->held_size += size;
    return size;
}

static size_t unacked(struct link *link)
{
    return server_of(link)->held_size;
}

static const uint8_t *rx_buf(struct link *link, size_t *size)
{
    struct sim_server *server = server_of(link);
    size_t until_drop = server->drop_tx - server->tx_total;

    *size = server->out_size - server->out_at;
    *size = *size < server->piece_bytes ? *size : server->piece_bytes;
    *size = *size < until_drop ? *size : until_drop;
    if (server->cable_out || server->silent || server->state == LINK_FAILED) {
        *size = 0;
    }
    return (const uint8_t *)server->out + server->out_at;
}

static void rx_ack(struct link *link, size_t size)
{
    struct sim_server *server = server_of(link);

    server->out_at += size;
    server->tx_total += size;
    if (server->confirm_at != 0 && server->out_at >= server->confirm_at) {
        server->confirmed++;
        server->confirm_at = 0;
    }
    if (server->tx_total == server->drop_tx) {
        server->out_size = server->out_at;
        lose(server);
    }
}

static void done(struct link *link)
{
    server_of(link)->closes++;
    server_of(link)->state = LINK_IDLE;
}

static void give_up(struct link *link)
{
    server_of(link)->aborts++;
    server_of(link)->state = LINK_IDLE;
}

static const char *error_text(struct link *link)
{
    return server_of(link)->no_open != NULL ? server_of(link)->no_open : "connection reset";
}

static const char *peer(struct link *link)
{
    (void)link;
    return "192.0.2.1:25";
}

static const struct link_ops ops = {
    .open = link_begin,
    .state = state_now,
    .tx = tx,
    .flush = flush,
    .unacked = unacked,
    .rx_buf = rx_buf,
    .rx_ack = rx_ack,
    .close = done,
    .abort = give_up,
    .error_text = error_text,
    .peer = peer,
};

void sim_server_init(struct sim_server *server, const uint64_t *now_ms)
{
    memset(server, 0, sizeof *server);
    server->base.ops = &ops;
    server->now_ms = now_ms;
    server->ehlo = "250-mail.example.test\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
                   "250 8BITMIME";
    server->window_bytes = 536;
    server->piece_bytes = sizeof server->out;
    server->drop_tx = SIM_SERVER_NEVER;
    server->drop_rx = SIM_SERVER_NEVER;
}

struct link *sim_server_link(struct sim_server *server)
{
    return (struct link *)(void *)server;
}

void sim_server_answer(struct sim_server *server, const char *prefix, const char *reply,
                       unsigned times)
{
    assert(server->answer_count < sizeof server->answers / sizeof server->answers[0]);
    server->answers[server->answer_count++] =
        (struct sim_answer){.prefix = prefix, .reply = reply, .times = times};
}

unsigned sim_server_taken(const struct sim_server *server, const char *text)
{
    unsigned count = 0;

    for (size_t i = 0; i < server->mail_count; i++) {
        count += server->mails[i].taken && strstr(server->mails[i].bytes, text) != NULL ? 1 : 0;
    }
    return count;
}
