/* serverinfo_probe.c - a dialogue without a login: the engines' own, with an ear on what is said.
 *
 * The engine stands between two functions that look on. SMTP is asked for its capabilities and left
 * with QUIT. POP3's engine would log in by itself: when it is about to, its words stay here and
 * QUIT is said in their place.
 */
#include "boards/linux/serverinfo_private.h"

#include "net/text.h"

#include <string.h>

static const char goodbye[] = "QUIT\r\n";

/* ---- What is heard ---- */

static void hear_smtp(struct probe *probe, struct probe_said *said, const char *line)
{
    size_t length = strlen(line);

    if (smtp_failure(&probe->smtp) != NULL) {
        return; /* An answer to the QUIT that follows. */
    }
    if (smtp_stage(&probe->smtp) == SMTP_STAGE_GREETING) {
        text_add(&said->greeting, said->greeting.length > 0 ? " / " : "");
        text_add(&said->greeting, line);
    } else if (smtp_stage(&probe->smtp) == SMTP_STAGE_EHLO && length > 4 && line[0] == '2') {
        uint32_t size_max;

        if (said->capabilities) { /* The first line is the server's name. */
            text_format(&said->list, "%s%s", said->list.length > 0 ? ", " : "", line + 4);
        }
        if (text_starts_nocase(line + 4, "SIZE ") &&
            text_parse_u32(line + 9, UINT32_MAX, &size_max)) {
            said->size_max = size_max;
        }
        said->capabilities = true;
    }
}

static void hear_pop3(struct probe *probe, struct probe_said *said, const char *line)
{
    if (pop3_failure(&probe->pop3) != NULL) {
        return;
    }
    if (pop3_stage(&probe->pop3) == POP3_STAGE_GREETING) {
        text_add(&said->greeting, line);
    } else if (pop3_stage(&probe->pop3) == POP3_STAGE_CAPA) {
        bool first = line[0] == '+' || line[0] == '-';

        said->capabilities = said->capabilities || line[0] == '+';
        if (!first && strcmp(line, ".") != 0) {
            text_format(&said->list, "%s%s", said->list.length > 0 ? ", " : "", line);
        }
    }
}

/* Cuts what came into lines; the stage is the one before the engine has seen them. */
static void hear(struct probe *probe, const uint8_t *bytes, size_t size)
{
    struct probe_said *said = &probe->said[probe->session.tls_up];

    for (size_t i = 0; i < size; i++) {
        char shown[2 * PROBE_LINE_BYTES];
        struct text text = text_begin(shown, sizeof shown);

        if (bytes[i] != '\n') {
            if (probe->line_size < sizeof probe->line) {
                probe->line[probe->line_size++] = (char)bytes[i];
            }
            continue;
        }
        if (probe->line_size > 0 && probe->line[probe->line_size - 1] == '\r') {
            probe->line_size--;
        }
        text_add_printable(&text, probe->line, probe->line_size);
        probe->line_size = 0;
        if (probe->target->pop3) {
            hear_pop3(probe, said, shown);
        } else {
            hear_smtp(probe, said, shown);
        }
    }
}

/* ---- The engine as the session sees it ---- */

static int probe_init(struct probe *probe, const void *params, uint64_t now_ms)
{
    (void)params;
    return probe->target->pop3 ? pop3_init(&probe->pop3, &probe->pop3_params, now_ms)
                               : smtp_init(&probe->smtp, &probe->smtp_params, now_ms);
}

/* POP3 has nothing more to learn; its engine has a login ready. */
static bool leaves(struct probe *probe)
{
    if (probe->target->pop3 && !probe->goodbye && pop3_stage(&probe->pop3) == POP3_STAGE_AUTH &&
        (pop3_want(&probe->pop3) & POP3_WANT_TX) != 0) {
        probe->goodbye = true;
    }
    return probe->goodbye;
}

static unsigned probe_want(struct probe *probe)
{
    if (leaves(probe)) {
        return probe->goodbye_sent < sizeof goodbye - 1 ? ENGINE_WANT_TX
               : probe->goodbye_heard                   ? ENGINE_CLOSED
                                                        : ENGINE_WANT_RX;
    }
    return probe->target->pop3 ? pop3_want(&probe->pop3) : smtp_want(&probe->smtp);
}

static const uint8_t *probe_tx_buf(struct probe *probe, size_t *size)
{
    if (leaves(probe)) {
        *size = sizeof goodbye - 1 - probe->goodbye_sent;
        return (const uint8_t *)goodbye + probe->goodbye_sent;
    }
    return probe->target->pop3 ? pop3_tx_buf(&probe->pop3, size) : smtp_tx_buf(&probe->smtp, size);
}

static void probe_tx_ack(struct probe *probe, size_t size, uint64_t now_ms)
{
    if (probe->goodbye) {
        probe->goodbye_sent = (uint8_t)(probe->goodbye_sent + size);
    } else if (probe->target->pop3) {
        pop3_tx_ack(&probe->pop3, size, now_ms);
    } else {
        smtp_tx_ack(&probe->smtp, size, now_ms);
    }
}

static uint8_t *probe_rx_buf(struct probe *probe, size_t *size)
{
    uint8_t *bytes;

    if (probe->goodbye) {
        *size = sizeof probe->line;
        return (uint8_t *)probe->line;
    }
    bytes = probe->target->pop3 ? pop3_rx_buf(&probe->pop3, size) : smtp_rx_buf(&probe->smtp, size);
    probe->rx = bytes;
    return bytes;
}

static void probe_rx_ack(struct probe *probe, size_t size, uint64_t now_ms)
{
    if (probe->goodbye) {
        probe->goodbye_heard = true; /* Whatever it says. */
        return;
    }
    hear(probe, probe->rx, size);
    if (probe->target->pop3) {
        pop3_rx_ack(&probe->pop3, size, now_ms);
    } else {
        smtp_rx_ack(&probe->smtp, size, now_ms);
    }
}

static void probe_tls_started(struct probe *probe, uint64_t now_ms)
{
    probe->line_size = 0;
    if (probe->target->pop3) {
        pop3_tls_started(&probe->pop3, now_ms);
    } else {
        smtp_tls_started(&probe->smtp, now_ms);
    }
}

static void probe_eof(struct probe *probe, uint64_t now_ms)
{
    if (probe->goodbye) {
        probe->goodbye_sent = sizeof goodbye - 1;
        probe->goodbye_heard = true;
    } else if (probe->target->pop3) {
        pop3_eof(&probe->pop3, now_ms);
    } else {
        smtp_eof(&probe->smtp, now_ms);
    }
}

static void probe_timeout(struct probe *probe, uint64_t now_ms)
{
    if (probe->goodbye) {
        probe_eof(probe, now_ms);
    } else if (probe->target->pop3) {
        pop3_timeout(&probe->pop3, now_ms);
    } else {
        smtp_timeout(&probe->smtp, now_ms);
    }
}

static uint64_t probe_deadline(struct probe *probe)
{
    return probe->target->pop3 ? pop3_deadline(&probe->pop3) : smtp_deadline(&probe->smtp);
}

SESSION_ENGINE(probe);

/* ---- The dialogue ---- */

static void begin(struct probe *probe, struct link *link,
                  void (*observe)(void *context, enum session_phase phase, uint64_t now_ms))
{
    const struct probe_target *target = probe->target;
    struct session_params params = {
        .link = link,
        .host = target->host,
        .port = target->port,
        .tls = target->tls == SMTP_TLS_OFF ? NULL : &probe->tls,
        .tls_params = &probe->tls_params,
        .tls_first = target->tls == SMTP_TLS_IMPLICIT,
        .connect_ms_max = probe->connect_ms_max,
        .ops = &probe_engine,
        .engine = probe,
        .observe = observe,
        .context = probe,
    };

    for (size_t i = 0; i < 2; i++) {
        struct probe_said *said = &probe->said[i];

        said->greeting = text_begin(said->greeting_bytes, sizeof said->greeting_bytes);
        said->list = text_begin(said->list_bytes, sizeof said->list_bytes);
    }
    probe->smtp_params = (struct smtp_params){.ehlo_name = probe->ehlo_name,
                                              .tls = target->tls,
                                              .greeting_ms_max = probe->connect_ms_max};
    /* It is never said: see leaves(). */
    probe->pop3_params = (struct pop3_params){.user = "-",
                                              .password = "-",
                                              .tls = target->tls,
                                              .auth_without_tls = true,
                                              .greeting_ms_max = probe->connect_ms_max};
    probe->tls_params = (struct tls_params){
        .server_name = target->tls_name,
        .anchors = &probe->trust->anchors,
        .random = probe->random,
        .unix_s = probe->unix_s,
    };
    probe->began_ms = posix_monotonic_ms();
    session_start(&probe->session, &params, probe->began_ms);
}

void probe_run(struct probe *probe,
               void (*observe)(void *context, enum session_phase phase, uint64_t now_ms))
{
    struct link *link = link_posix_init(&probe->posix, NULL, NULL);

    begin(probe, link, observe);
    while (!session_done(&probe->session)) {
        uint64_t now_ms = posix_monotonic_ms();
        uint64_t until_ms;

        if (session_poll(&probe->session, now_ms)) {
            continue;
        }
        if (!probe->target->pop3 && probe->session.phase == SESSION_ENGINE &&
            (smtp_want(&probe->smtp) & SMTP_WANT_MESSAGE) != 0) {
            smtp_quit(&probe->smtp, now_ms);
            continue;
        }
        until_ms = session_deadline(&probe->session);
        until_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        link_posix_wait(&probe->posix, true, NULL, 0, until_ms < INT32_MAX ? (int)until_ms : -1);
    }
}
