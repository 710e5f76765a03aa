/*
 *   RESOLVE -> CONNECT -> [TLS] -> ENGINE -> CLOSE -> DONE
 *                           ^        |
 *                           +--------+  the engine said STARTTLS
 *
 * A failure below the engine ends in DONE with an error; a stream that ends while the engine runs is the
 * engine's to judge, since only it knows whether that was a good moment.
 */
#include "net/session.h"

#include <string.h>

#define CLOSE_MS_MAX 2000 /* For the far side to take our close_notify and last bytes. */

static void observe(struct session *session, enum session_phase phase, uint64_t now_ms)
{
    if (session->params.observe != NULL) {
        session->params.observe(session->params.context, phase, now_ms);
    }
}

static void finish(struct session *session, int error, const char *text)
{
    if (error != 0) {
        link_abort(session->params.link);
    } else {
        link_close(session->params.link);
    }
    if (session->error == 0) {
        session->error = error;
        session->text = text;
    }
    session->phase = SESSION_DONE;
}

static void engine_begin(struct session *session, uint64_t now_ms)
{
    int error = session->params.ops->start(session->params.engine, now_ms);

    session->phase = SESSION_ENGINE;
    if (error < 0) {
        finish(session, error, "the session's settings cannot be sent");
    }
}

static void tls_begin(struct session *session, uint64_t now_ms)
{
    if (session->params.tls == NULL) {
        finish(session, E_SECURITY, "TLS is not to be had");
        return;
    }
    if (tls_init(session->params.tls, session->params.tls_params) < 0) {
        const struct tls_failure *failure = tls_failure(session->params.tls);

        finish(session, failure->error, failure->text);
        return;
    }
    session->phase = SESSION_TLS;
    session->deadline_ms = now_ms + session->params.connect_ms_max;
}

void session_start(struct session *session, const struct session_params *params, uint64_t now_ms)
{
    memset(session, 0, sizeof *session);
    session->params = *params;
    session->text = "";
    session->phase = SESSION_RESOLVE;
    session->deadline_ms = now_ms + params->connect_ms_max;
    if (link_open(params->link, params->host, params->port) < 0) {
        finish(session, E_TRANSIENT, link_error_text(params->link));
    }
}

/* RESOLVE and CONNECT. */
static bool open_poll(struct session *session, uint64_t now_ms)
{
    enum link_state state = link_state(session->params.link);
    bool resolving = session->phase == SESSION_RESOLVE;

    if (state == LINK_FAILED || state == LINK_IDLE) {
        finish(session, E_TRANSIENT, link_error_text(session->params.link));
    } else if (resolving && state != LINK_RESOLVING) {
        observe(session, SESSION_RESOLVE, now_ms);
        session->phase = SESSION_CONNECT;
    } else if (state == LINK_OPEN || state == LINK_ENDED) {
        observe(session, SESSION_CONNECT, now_ms);
        if (session->params.tls_first) {
            tls_begin(session, now_ms);
        } else {
            engine_begin(session, now_ms);
        }
    } else if (now_ms >= session->deadline_ms) {
        finish(session, E_TRANSIENT,
               resolving ? "no answer from DNS" : "no answer from the server: connect timed out");
    } else {
        return false;
    }
    return true;
}

/* Link -> TLS, as much as TLS takes. */
static bool net_receive(struct session *session)
{
    struct tls *tls = session->params.tls;
    bool moved = false;

    for (;;) {
        size_t have = 0;
        size_t room = 0;
        const uint8_t *bytes = link_rx_buf(session->params.link, &have);
        uint8_t *out = tls_net_rx_buf(tls, &room);
        size_t size = have < room ? have : room;

        if (size == 0) {
            return moved;
        }
        memcpy(out, bytes, size);
        tls_net_rx_ack(tls, size);
        link_rx_ack(session->params.link, size);
        moved = true;
    }
}

/* TLS -> link, in one flush. */
static bool net_send(struct session *session)
{
    struct tls *tls = session->params.tls;
    bool moved = false;

    for (;;) {
        size_t size = 0;
        const uint8_t *bytes = tls_net_tx_buf(tls, &size);

        if (size > 0) {
            size = link_tx(session->params.link, bytes, size);
        }
        if (size == 0) {
            break;
        }
        tls_net_tx_ack(tls, size);
        moved = true;
    }
    if (moved) {
        link_flush(session->params.link);
    }
    return moved;
}

static bool stream_ended(struct session *session)
{
    enum link_state state = link_state(session->params.link);
    size_t size = 0;

    if (state == LINK_FAILED || state == LINK_IDLE) {
        return true;
    }
    (void)link_rx_buf(session->params.link, &size);
    return state == LINK_ENDED && size == 0;
}

static bool tls_poll(struct session *session, uint64_t now_ms)
{
    struct tls *tls = session->params.tls;
    bool moved = net_receive(session);

    moved |= net_send(session);
    if (tls_want(tls) & TLS_READY) {
        session->tls_up = true;
        observe(session, SESSION_TLS, now_ms);
        if (session->params.tls_first) {
            engine_begin(session, now_ms);
        } else {
            session->phase = SESSION_ENGINE;
            session->params.ops->tls_started(session->params.engine, now_ms);
        }
        return true;
    }
    if (tls_want(tls) & TLS_CLOSED) {
        const struct tls_failure *failure = tls_failure(tls);

        net_send(session); /* The alert that says why. */
        finish(session, failure != NULL ? failure->error : E_TRANSIENT,
               failure != NULL ? failure->text : "the server closed the connection in the TLS handshake");
        return true;
    }
    if (!moved && stream_ended(session)) {
        tls_eof(tls);
        finish(session, E_TRANSIENT, "the server closed the connection in the TLS handshake");
        return true;
    }
    if (now_ms >= session->deadline_ms) {
        finish(session, E_TRANSIENT, "the TLS handshake timed out");
        return true;
    }
    return moved;
}

/* The stream's received bytes, in clear; and their acknowledgement. */
static const uint8_t *clear_rx_buf(struct session *session, size_t *size)
{
    return session->tls_up ? tls_app_rx_buf(session->params.tls, size)
                           : link_rx_buf(session->params.link, size);
}

static void clear_rx_ack(struct session *session, size_t size)
{
    if (session->tls_up) {
        tls_app_rx_ack(session->params.tls, size);
    } else {
        link_rx_ack(session->params.link, size);
    }
}

/* Stream -> engine. While the engine waits for TLS, bytes behind the reply to STARTTLS still reach it, so
 * that it can refuse them (RFC 3207 section 4.2). */
static bool engine_receive(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = false;

    while (ops->want(engine) & (ENGINE_WANT_RX | ENGINE_WANT_TLS)) {
        size_t have = 0;
        size_t room = 0;
        const uint8_t *bytes = clear_rx_buf(session, &have);
        uint8_t *out = ops->rx_buf(engine, &room);
        size_t size = have < room ? have : room;

        if (size == 0) {
            break;
        }
        memcpy(out, bytes, size);
        clear_rx_ack(session, size);
        ops->rx_ack(engine, size, now_ms);
        moved = true;
    }
    return moved;
}

/* Engine -> stream: one turn is one write, one record, one segment. */
static bool engine_send(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = false;

    while (ops->want(engine) & ENGINE_WANT_TX) {
        size_t have = 0;
        const uint8_t *bytes = ops->tx_buf(engine, &have);
        size_t size;

        if (session->tls_up) {
            uint8_t *out = tls_app_tx_buf(session->params.tls, &size);

            size = have < size ? have : size;
            if (size > 0) {
                memcpy(out, bytes, size);
                tls_app_tx_ack(session->params.tls, size);
            }
        } else {
            size = have > 0 ? link_tx(session->params.link, bytes, have) : 0;
        }
        if (size == 0) {
            break;
        }
        ops->tx_ack(engine, size, now_ms);
        moved = true;
    }
    if (moved && session->tls_up) {
        tls_flush(session->params.tls);
    } else if (moved) {
        link_flush(session->params.link);
    }
    return moved;
}

static void close_begin(struct session *session, uint64_t now_ms)
{
    if (session->tls_up) {
        tls_close(session->params.tls);
        net_send(session);
    }
    session->phase = SESSION_CLOSE;
    session->deadline_ms = now_ms + CLOSE_MS_MAX;
}

static bool engine_poll(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = false;

    if (session->tls_up) {
        moved |= net_receive(session);
    }
    moved |= engine_receive(session, now_ms);
    moved |= engine_send(session, now_ms);
    if (session->tls_up) {
        moved |= net_send(session);
    }
    if (ops->want(engine) & ENGINE_CLOSED) {
        close_begin(session, now_ms);
        return true;
    }
    if ((ops->want(engine) & ENGINE_WANT_TLS) && !(ops->want(engine) & ENGINE_WANT_TX)) {
        tls_begin(session, now_ms);
        return true;
    }
    if (!moved && (stream_ended(session) ||
                   (session->tls_up && (tls_want(session->params.tls) & TLS_CLOSED)))) {
        ops->eof(engine, now_ms);
        return true;
    }
    if (now_ms >= ops->deadline(engine)) {
        ops->timeout(engine, now_ms);
        return true;
    }
    return moved;
}

static bool close_poll(struct session *session, uint64_t now_ms)
{
    bool moved = false;

    if (session->tls_up) {
        moved |= net_receive(session);
        moved |= net_send(session);
    }
    if (stream_ended(session) || now_ms >= session->deadline_ms ||
        (link_unacked(session->params.link) == 0 &&
         (!session->tls_up || (tls_want(session->params.tls) & TLS_CLOSED)))) {
        finish(session, 0, "");
        return true;
    }
    return moved;
}

bool session_poll(struct session *session, uint64_t now_ms)
{
    switch (session->phase) {
    case SESSION_RESOLVE:
    case SESSION_CONNECT:
        return open_poll(session, now_ms);
    case SESSION_TLS:
        return tls_poll(session, now_ms);
    case SESSION_ENGINE:
        return engine_poll(session, now_ms);
    case SESSION_CLOSE:
        return close_poll(session, now_ms);
    case SESSION_IDLE:
    case SESSION_DONE:
        break;
    }
    return false;
}

uint64_t session_deadline(const struct session *session)
{
    switch (session->phase) {
    case SESSION_ENGINE:
        return session->params.ops->deadline(session->params.engine);
    case SESSION_IDLE:
    case SESSION_DONE:
        return UINT64_MAX;
    default:
        return session->deadline_ms;
    }
}

void session_abort(struct session *session)
{
    if (session->phase != SESSION_IDLE && session->phase != SESSION_DONE) {
        finish(session, E_TRANSIENT, "given up");
    }
}

bool session_done(const struct session *session)
{
    return session->phase == SESSION_DONE;
}

int session_error(const struct session *session)
{
    return session->error;
}

const char *session_text(const struct session *session)
{
    return session->text;
}
