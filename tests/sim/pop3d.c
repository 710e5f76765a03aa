#include "tests/sim/pop3d.h"

#include "tests/sim/tcp.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pop3d *pop3d_of(struct link *link)
{
    return (struct pop3d *)(void *)link;
}

/* --- The mailbox --- */

void pop3d_add(struct pop3d *pop3d, const char *uid, const char *text)
{
    struct pop3d_message *message;

    if (pop3d->count == pop3d->room) {
        pop3d->room = pop3d->room * 2 + 16;
        pop3d->messages = realloc(pop3d->messages, pop3d->room * sizeof *message);
        assert(pop3d->messages != NULL);
    }
    message = &pop3d->messages[pop3d->count++];
    memset(message, 0, sizeof *message);
    assert(strlen(uid) < sizeof message->uid);
    strcpy(message->uid, uid);
    message->text = strdup(text);
    message->octets = (uint32_t)strlen(text);
    message->sequence = ++pop3d->sequence;
}

void pop3d_remove(struct pop3d *pop3d, size_t index)
{
    free(pop3d->messages[index].text);
    pop3d->count--;
    memmove(&pop3d->messages[index], &pop3d->messages[index + 1],
            (pop3d->count - index) * sizeof pop3d->messages[0]);
}

struct pop3d_message *pop3d_find(struct pop3d *pop3d, const char *uid)
{
    for (size_t i = 0; i < pop3d->count; i++) {
        if (strcmp(pop3d->messages[i].uid, uid) == 0) {
            return &pop3d->messages[i];
        }
    }
    return NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct pop3d_message *one = a, *other = b;

    if (one->key != other->key) {
        return one->key < other->key ? -1 : 1;
    }
    return one->sequence < other->sequence ? -1 : 1;
}

/* Numbers are fixed while a session lasts (RFC 1939 section 3). */
static void sort(struct pop3d *pop3d)
{
    for (size_t i = 0; i < pop3d->count; i++) {
        struct pop3d_message *message = &pop3d->messages[i];
        uint32_t key = 2166136261u + (pop3d->order == POP3D_SHUFFLED ? pop3d->logins : 0);

        for (const char *at = message->uid; *at != '\0'; at++) {
            key = (key ^ (unsigned char)*at) * 16777619u;
        }
        message->key = pop3d->order == POP3D_OLDEST_FIRST   ? message->sequence
                       : pop3d->order == POP3D_NEWEST_FIRST ? UINT32_MAX - message->sequence
                                                            : key ^ key >> 15;
        message->marked = false;
    }
    if (pop3d->count > 0) {
        qsort(pop3d->messages, pop3d->count, sizeof pop3d->messages[0], by_key);
    }
}

/* --- The server's half --- */

static void lose(struct pop3d *pop3d)
{
    if (pop3d->drop == SIM_DROP_SILENT) {
        pop3d->silent = true;
    } else {
        pop3d->state = pop3d->drop == SIM_DROP_FIN ? LINK_ENDED : LINK_FAILED;
    }
    pop3d->drop_tx = SIM_SERVER_NEVER;
    pop3d->drop_rx = SIM_SERVER_NEVER;
}

static void put(struct pop3d *pop3d, const char *bytes, size_t size)
{
    if (pop3d->out_at == pop3d->out_size) {
        pop3d->out_at = 0;
        pop3d->out_size = 0;
    }
    if (pop3d->out_size + size > pop3d->out_room) {
        pop3d->out_room = (pop3d->out_size + size) * 2;
        pop3d->out = realloc(pop3d->out, pop3d->out_room);
        assert(pop3d->out != NULL);
    }
    memcpy(pop3d->out + pop3d->out_size, bytes, size);
    pop3d->out_size += size;
}

static void __attribute__((format(printf, 2, 3))) say(struct pop3d *pop3d, const char *format, ...)
{
    char text[600];
    va_list list;
    int size;

    va_start(list, format);
    size = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    assert(size >= 0 && (size_t)size < sizeof text);
    put(pop3d, text, (size_t)size);
    put(pop3d, "\r\n", 2);
    if (strncmp(text, "-ERR bye", 8) == 0) {
        pop3d->ending = true;
    }
}

/* The scripted reply to that line, NULL: none. */
static const char *scripted(struct pop3d *pop3d, const char *line)
{
    for (size_t i = 0; i < pop3d->answer_count; i++) {
        struct sim_answer *answer = &pop3d->answers[i];

        if (answer->times > 0 && strncmp(line, answer->prefix, strlen(answer->prefix)) == 0) {
            answer->times--;
            return answer->reply;
        }
    }
    return NULL;
}

static void on_capa(struct pop3d *pop3d)
{
    if (!pop3d->has_capa) {
        say(pop3d, "-ERR what?");
        return;
    }
    say(pop3d, "+OK capabilities follow");
    if (pop3d->has_top) {
        say(pop3d, "TOP");
    }
    if (pop3d->has_uidl) {
        say(pop3d, "UIDL");
    }
    if (pop3d->has_user) {
        say(pop3d, "USER");
    }
    if (pop3d->has_plain) {
        say(pop3d, "SASL PLAIN");
    }
    if (pop3d->has_pipelining) {
        say(pop3d, "PIPELINING");
    }
    if (pop3d->login_delay_s != 0) {
        say(pop3d, "LOGIN-DELAY %u", (unsigned)pop3d->login_delay_s);
    }
    if (pop3d->expire != NULL) {
        say(pop3d, "EXPIRE %s", pop3d->expire);
    }
    say(pop3d, "RESP-CODES\r\n.");
}

static void log_in(struct pop3d *pop3d, bool right)
{
    if (!right) {
        say(pop3d, "-ERR [AUTH] no");
    } else if (pop3d->logins > 0 &&
               *pop3d->now_ms - pop3d->login_ms < pop3d->login_delay_s * 1000ull) {
        pop3d->too_soon++;
        say(pop3d, "-ERR [LOGIN-DELAY] too soon");
    } else {
        pop3d->logins++;
        pop3d->login_ms = *pop3d->now_ms;
        pop3d->logged_in = true;
        sort(pop3d);
        say(pop3d, "+OK %u messages", (unsigned)pop3d->count);
    }
}

static size_t decode(const char *text, char *out, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t count = 0;
    uint32_t bits = 0;
    unsigned have = 0;

    for (; *text != '\0' && *text != '='; text++) {
        const char *at = strchr(digits, *text);

        if (at == NULL || count == size) {
            return 0;
        }
        bits = bits << 6 | (uint32_t)(at - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[count++] = (char)(bits >> have);
        }
    }
    return count;
}

static void on_plain(struct pop3d *pop3d, const char *response)
{
    char got[256], want[256];
    size_t size = decode(response, got, sizeof got);
    int length = snprintf(want, sizeof want, "%c%s%c%s", 0, pop3d->user, 0, pop3d->password);

    pop3d->plain_begun = false;
    log_in(pop3d, length >= 0 && size == (size_t)length && memcmp(got, want, size) == 0);
}

static void on_login(struct pop3d *pop3d, const char *line)
{
    if (strncmp(line, "USER ", 5) == 0 && pop3d->has_user) {
        pop3d->user_told = strcmp(line + 5, pop3d->user) == 0;
        say(pop3d, "+OK");
    } else if (strncmp(line, "PASS ", 5) == 0 && pop3d->has_user) {
        log_in(pop3d, pop3d->user_told && strcmp(line + 5, pop3d->password) == 0);
    } else if (strcmp(line, "AUTH PLAIN") == 0 && pop3d->has_plain) {
        pop3d->plain_begun = true;
        say(pop3d, "+ ");
    } else if (strncmp(line, "AUTH PLAIN ", 11) == 0 && pop3d->has_plain) {
        on_plain(pop3d, line + 11);
    } else {
        pop3d->violation = "a command before the login, or a way to log in that is not there";
        say(pop3d, "-ERR not now");
    }
}

/* The message that a command names. */
static struct pop3d_message *named(struct pop3d *pop3d, const char *arguments)
{
    char *end;
    unsigned long number = strtoul(arguments, &end, 10);

    if (end == arguments || (*end != '\0' && *end != ' ') || number == 0) {
        pop3d->violation = "a command without a number";
    }
    if (number == 0 || number > pop3d->count || pop3d->messages[number - 1].marked) {
        say(pop3d, "-ERR no such message");
        return NULL;
    }
    return &pop3d->messages[number - 1];
}

/* A message with its dots doubled: the header and so many lines of the body. */
static void put_message(struct pop3d *pop3d, const char *text, unsigned long lines)
{
    bool in_body = false;

    say(pop3d, "+OK");
    while (*text != '\0' && (!in_body || lines-- > 0)) {
        size_t size = strcspn(text, "\n");

        in_body |= size == 1;
        size += text[size] == '\n' ? 1 : 0;
        if (*text == '.') {
            put(pop3d, ".", 1);
        }
        put(pop3d, text, size);
        if (text[size - 1] != '\n') {
            put(pop3d, "\r\n", 2);
        }
        text += size;
    }
    say(pop3d, ".");
}

static void put_listing(struct pop3d *pop3d, bool uids)
{
    say(pop3d, "+OK");
    for (size_t i = 0; i < pop3d->count; i++) {
        if (pop3d->messages[i].marked) {
            continue;
        }
        if (uids) {
            say(pop3d, "%u %s", (unsigned)i + 1, pop3d->messages[i].uid);
        } else {
            say(pop3d, "%u %u", (unsigned)i + 1, (unsigned)pop3d->messages[i].octets);
        }
    }
    say(pop3d, ".");
}

static void on_message(struct pop3d *pop3d, const char *line)
{
    const char *arguments = line + strcspn(line, " ");
    struct pop3d_message *message = named(pop3d, arguments);
    unsigned number = message != NULL ? (unsigned)(message - pop3d->messages) + 1 : 0;

    if (message == NULL) {
        return;
    }
    if (strncmp(line, "LIST", 4) == 0) {
        say(pop3d, "+OK %u %u", number, (unsigned)message->octets);
    } else if (strncmp(line, "UIDL", 4) == 0) {
        say(pop3d, "+OK %u %s", number, message->uid);
    } else if (strncmp(line, "DELE", 4) == 0) {
        message->marked = true;
        say(pop3d, "+OK");
    } else if (strncmp(line, "RETR", 4) == 0) {
        message->retrs++;
        put_message(pop3d, message->text, ULONG_MAX);
    } else {
        const char *lines = strchr(arguments + 1, ' ');

        message->tops++;
        put_message(pop3d, message->text, lines != NULL ? strtoul(lines, NULL, 10) : 0);
    }
}

static void on_quit(struct pop3d *pop3d)
{
    for (size_t i = pop3d->count; i-- > 0;) {
        if (pop3d->logged_in && pop3d->messages[i].marked) {
            pop3d_remove(pop3d, i);
            pop3d->deleted++;
        }
    }
    pop3d->goodbyes++;
    pop3d->ending = true;
    say(pop3d, "+OK bye");
}

static void on_transaction(struct pop3d *pop3d, const char *line)
{
    bool plain_line = strchr(line, ' ') == NULL;

    if (strcmp(line, "STAT") == 0) {
        uint64_t octets = 0;
        unsigned count = 0;

        for (size_t i = 0; i < pop3d->count; i++) {
            octets += pop3d->messages[i].marked ? 0 : pop3d->messages[i].octets;
            count += pop3d->messages[i].marked ? 0 : 1;
        }
        say(pop3d, "+OK %u %llu", count, (unsigned long long)octets);
    } else if ((strncmp(line, "UIDL", 4) == 0 && !pop3d->has_uidl) ||
               (strncmp(line, "TOP", 3) == 0 && !pop3d->has_top)) {
        say(pop3d, "-ERR what?");
    } else if (plain_line && (strcmp(line, "LIST") == 0 || strcmp(line, "UIDL") == 0)) {
        put_listing(pop3d, line[0] == 'U');
    } else if (strncmp(line, "LIST ", 5) == 0 || strncmp(line, "UIDL ", 5) == 0 ||
               strncmp(line, "DELE ", 5) == 0 || strncmp(line, "RETR ", 5) == 0 ||
               strncmp(line, "TOP ", 4) == 0) {
        on_message(pop3d, line);
    } else if (strcmp(line, "NOOP") == 0) {
        say(pop3d, "+OK");
    } else if (strcmp(line, "RSET") == 0) {
        for (size_t i = 0; i < pop3d->count; i++) {
            pop3d->messages[i].marked = false;
        }
        say(pop3d, "+OK");
    } else {
        pop3d->violation = "an unknown command";
        say(pop3d, "-ERR what?");
    }
}

static void on_command(struct pop3d *pop3d)
{
    const char *line = pop3d->line;
    const char *reply = scripted(pop3d, line);
    size_t have = strlen(pop3d->commands);

    if (!pop3d->plain_begun) {
        (void)snprintf(pop3d->commands + have, sizeof pop3d->commands - have, "%.*s ",
                       (int)strcspn(line, " "), line);
    }
    if (!pop3d->has_pipelining && pop3d->out_at < pop3d->out_size) {
        pop3d->violation = "a command before the reply to the one before it";
    }
    if (reply != NULL) {
        say(pop3d, "%s", reply);
    } else if (pop3d->plain_begun) {
        on_plain(pop3d, line);
    } else if (strcmp(line, "CAPA") == 0) {
        on_capa(pop3d);
    } else if (strcmp(line, "QUIT") == 0) {
        on_quit(pop3d);
    } else if (!pop3d->logged_in) {
        on_login(pop3d, line);
    } else {
        on_transaction(pop3d, line);
    }
}

static void on_byte(struct pop3d *pop3d, char c)
{
    if (c == '\n') {
        if (pop3d->line_size == 0 || pop3d->line[pop3d->line_size - 1] != '\r') {
            pop3d->violation = "a lone LF";
        } else {
            pop3d->line_size--;
        }
        pop3d->line[pop3d->line_size] = '\0';
        if (!pop3d->ending) {
            on_command(pop3d);
        }
        pop3d->line_size = 0;
    } else if (pop3d->line_size + 1 < sizeof pop3d->line) {
        pop3d->line[pop3d->line_size++] = c;
    } else {
        pop3d->violation = "an overlong line";
    }
}

/* --- The link's half --- */

static int link_begin(struct link *link, const char *host, uint16_t port)
{
    struct pop3d *pop3d = pop3d_of(link);

    (void)host;
    (void)port;
    assert(pop3d->state == LINK_IDLE);
    pop3d->state = LINK_RESOLVING;
    pop3d->held_size = 0;
    pop3d->flushed_size = 0;
    pop3d->line_size = 0;
    pop3d->out_size = 0;
    pop3d->out_at = 0;
    pop3d->user_told = false;
    pop3d->plain_begun = false;
    pop3d->logged_in = false;
    pop3d->ending = false;
    pop3d->silent = false;
    return 0;
}

static void deliver(struct pop3d *pop3d)
{
    size_t size = pop3d->flushed_size;

    if (pop3d->silent) {
        return;
    }
    for (size_t i = 0; i < size && pop3d->state == LINK_OPEN && !pop3d->silent; i++) {
        on_byte(pop3d, pop3d->held[i]);
        if (++pop3d->rx_total == pop3d->drop_rx) {
            lose(pop3d);
        }
    }
    memmove(pop3d->held, pop3d->held + size, pop3d->held_size - size);
    pop3d->held_size -= size;
    pop3d->flushed_size = 0;
}

static void flush(struct link *link)
{
    pop3d_of(link)->flushed_size = pop3d_of(link)->held_size;
    deliver(pop3d_of(link));
}

static enum link_state state_now(struct link *link)
{
    struct pop3d *pop3d = pop3d_of(link);

    deliver(pop3d);
    if (pop3d->state == LINK_RESOLVING) {
        pop3d->state = LINK_CONNECTING;
    } else if (pop3d->state == LINK_CONNECTING) {
        pop3d->state = pop3d->no_open != NULL ? LINK_FAILED : LINK_OPEN;
        if (pop3d->state == LINK_OPEN) {
            const char *reply = scripted(pop3d, "(open)");

            pop3d->connections++;
            say(pop3d, "%s", reply != NULL ? reply : "+OK ready");
        }
    } else if (pop3d->state == LINK_OPEN && pop3d->ending && pop3d->out_at == pop3d->out_size) {
        pop3d->state = LINK_ENDED;
    }
    return pop3d->state;
}

static size_t tx(struct link *link, const uint8_t *bytes, size_t size)
{
    struct pop3d *pop3d = pop3d_of(link);
    size_t room = pop3d->window_bytes - pop3d->held_size;

    size = size < room ? size : room;
    memcpy(pop3d->held + pop3d->held_size, bytes, size);
    pop3d->held_size += size;
    return size;
}

static size_t unacked(struct link *link)
{
    return pop3d_of(link)->held_size;
}

static const uint8_t *rx_buf(struct link *link, size_t *size)
{
    struct pop3d *pop3d = pop3d_of(link);
    size_t until_drop = pop3d->drop_tx - pop3d->tx_total;

    *size = pop3d->out_size - pop3d->out_at;
    *size = *size < pop3d->piece_bytes ? *size : pop3d->piece_bytes;
    *size = *size < until_drop ? *size : until_drop;
    if (pop3d->silent || pop3d->state == LINK_FAILED) {
        *size = 0;
    }
    return (const uint8_t *)pop3d->out + pop3d->out_at;
}

static void rx_ack(struct link *link, size_t size)
{
    struct pop3d *pop3d = pop3d_of(link);

    pop3d->out_at += size;
    pop3d->tx_total += size;
    if (pop3d->tx_total == pop3d->drop_tx) {
        pop3d->out_size = pop3d->out_at;
        lose(pop3d);
    }
}

static void done(struct link *link)
{
    pop3d_of(link)->closes++;
    pop3d_of(link)->state = LINK_IDLE;
}

static void give_up(struct link *link)
{
    pop3d_of(link)->aborts++;
    pop3d_of(link)->state = LINK_IDLE;
}

static const char *error_text(struct link *link)
{
    return pop3d_of(link)->no_open != NULL ? pop3d_of(link)->no_open : "connection reset";
}

static const char *peer(struct link *link)
{
    (void)link;
    return "192.0.2.2:110";
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

void pop3d_init(struct pop3d *pop3d, const uint64_t *now_ms)
{
    memset(pop3d, 0, sizeof *pop3d);
    pop3d->base.ops = &ops;
    pop3d->now_ms = now_ms;
    pop3d->has_capa = true;
    pop3d->has_top = true;
    pop3d->has_uidl = true;
    pop3d->has_pipelining = true;
    pop3d->has_plain = true;
    pop3d->has_user = true;
    pop3d->user = "device";
    pop3d->password = "secret";
    pop3d->window_bytes = 536;
    pop3d->piece_bytes = SIZE_MAX;
    pop3d->drop_tx = SIM_SERVER_NEVER;
    pop3d->drop_rx = SIM_SERVER_NEVER;
}

void pop3d_free(struct pop3d *pop3d)
{
    while (pop3d->count > 0) {
        pop3d_remove(pop3d, pop3d->count - 1);
    }
    free(pop3d->messages);
    free(pop3d->out);
    pop3d->messages = NULL;
    pop3d->room = 0;
    pop3d->out = NULL;
    pop3d->out_room = 0;
}

struct link *pop3d_link(struct pop3d *pop3d)
{
    return (struct link *)(void *)pop3d;
}

void pop3d_answer(struct pop3d *pop3d, const char *prefix, const char *reply, unsigned times)
{
    assert(pop3d->answer_count < sizeof pop3d->answers / sizeof pop3d->answers[0]);
    pop3d->answers[pop3d->answer_count++] =
        (struct sim_answer){.prefix = prefix, .reply = reply, .times = times};
}

void pop3d_service(void *context, struct sim_tcp *tcp, unsigned index, bool fresh)
{
    struct pop3d *pop3d = context;
    struct link *link = pop3d_link(pop3d);
    const uint8_t *bytes;
    size_t size;

    if (fresh) {
        pop3d->tcp_index = index;
        pop3d->state = LINK_IDLE; /* The one before it is gone. */
        if (link_open(link, "", 0) == 0) {
            (void)link_state(link); /* Resolves, and connects, in no time. */
            (void)link_state(link);
        }
    }
    if (index != pop3d->tcp_index) {
        sim_tcp_close(tcp);
        return;
    }
    while ((bytes = sim_tcp_rx(tcp, &size)), size > 0) {
        size = link_tx(link, bytes, size);
        link_flush(link);
        if (size == 0) {
            break; /* It has ended, and listens no more. */
        }
        sim_tcp_rx_ack(tcp, size);
    }
    while ((bytes = link_rx_buf(link, &size)), size > 0) {
        size = sim_tcp_tx(tcp, bytes, size);
        if (size == 0) {
            break;
        }
        link_rx_ack(link, size);
    }
    if (link_state(link) == LINK_ENDED || tcp->fin_received) {
        sim_tcp_close(tcp);
    }
}
