/*
 *   RESOLVE -> CONNECT -> [TLS] -> ENGINE -> CLOSE -> DONE
 *                           ^        |
 *                           +--------+  the engine said STARTTLS
 *
 * A failure below the engine ends in DONE with an error; a stream that ends while the engine runs
 * is the engine's to judge, since only it knows whether that was a good moment.
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
    session->error = error;
    session->text = text;
    session->phase = SESSION_DONE;
}

static void finish_tls(struct session *session)
{
    const struct tls_failure *failure = tls_failure(session->params.tls);

    finish(session, failure->error, failure->text);
}

static void finish_link(struct session *session)
{
    finish(session, E_TRANSIENT, link_error_text(session->params.link));
}

static void enter(struct session *session, enum session_phase phase, uint64_t deadline_ms)
{
    session->phase = phase;
    session->deadline_ms = deadline_ms;
}

static void engine_begin(struct session *session, uint64_t now_ms)
{
    int error =
        session->params.ops->start(session->params.engine, session->params.engine_params, now_ms);

    session->phase = SESSION_ENGINE;
    if (error < 0) {
        finish(session, error, "the settings cannot be sent");
    }
}

static void tls_begin(struct session *session, uint64_t now_ms)
{
    if (session->params.tls == NULL) {
        finish(session, E_SECURITY, "TLS is not to be had");
        return;
    }
    if (tls_init(session->params.tls, session->params.tls_params) < 0) {
        finish_tls(session);
        return;
    }
    enter(session, SESSION_TLS, now_ms + session->params.connect_ms_max);
}

void session_start(struct session *session, const struct session_params *params, uint64_t now_ms)
{
    memset(session, 0, sizeof *session);
    session->params = *params;
    session->text = "";
    enter(session, SESSION_RESOLVE, now_ms + params->connect_ms_max);
    if (link_open(params->link, params->host, params->port) < 0) {
        finish_link(session);
    }
}

/* RESOLVE and CONNECT. */
static bool open_poll(struct session *session, uint64_t now_ms)
{
    enum link_state state = link_state(session->params.link);
    bool resolving = session->phase == SESSION_RESOLVE;

    if (state == LINK_FAILED || state == LINK_IDLE) {
        finish_link(session);
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
               resolving ? "no answer from DNS" : "no answer from the server");
    } else {
        return false;
    }
    return true;
}

/* Link -> TLS and TLS -> link, as much as they take; sent in one flush. */
static bool net_move(struct session *session)
{
    struct tls *tls = session->params.tls;
    struct link *link = session->params.link;
    bool moved = false;
    bool sent = false;
    size_t have;
    size_t size;

    if (!session->tls_up && session->phase != SESSION_TLS) {
        return false;
    }
    for (;;) {
        const uint8_t *bytes = link_rx_buf(link, &have);
        uint8_t *out = tls_net_rx_buf(tls, &size);

        size = have < size ? have : size;
        if (size == 0) {
            break;
        }
        memcpy(out, bytes, size);
        tls_net_rx_ack(tls, size);
        link_rx_ack(link, size);
        moved = true;
    }
    for (;;) {
        const uint8_t *bytes = tls_net_tx_buf(tls, &size);

        size = size > 0 ? link_tx(link, bytes, size) : 0;
        if (size == 0) {
            break;
        }
        tls_net_tx_ack(tls, size);
        sent = true;
    }
    if (sent) {
        link_flush(link);
    }
    return moved || sent;
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
    bool moved = net_move(session);

    if (!moved && stream_ended(session)) {
        tls_eof(tls);
    }
    if (tls_want(tls) & TLS_READY) {
        session->tls_up = true;
        observe(session, SESSION_TLS, now_ms);
        if (session->params.tls_first) {
            engine_begin(session, now_ms);
        } else {
            session->phase = SESSION_ENGINE;
            session->params.ops->tls_started(session->params.engine, now_ms);
        }
    } else if (tls_want(tls) & TLS_CLOSED) {
        finish_tls(session); /* The alert that says why has left. */
    } else if (now_ms >= session->deadline_ms) {
        finish(session, E_TRANSIENT, "the TLS handshake timed out");
    } else {
        return moved;
    }
    return true;
}

/* Stream -> engine, in clear. While the engine waits for TLS, bytes behind the reply to STARTTLS
 * still reach it, so that it can refuse them (RFC 3207 section 4.2). */
static bool engine_receive(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = false;

    while (ops->want(engine) & (ENGINE_WANT_RX | ENGINE_WANT_TLS)) {
        size_t have;
        size_t size;
        const uint8_t *bytes = session->tls_up ? tls_app_rx_buf(session->params.tls, &have)
                                               : link_rx_buf(session->params.link, &have);
        uint8_t *out = ops->rx_buf(engine, &size);

        size = have < size ? have : size;
        if (size == 0) {
            break;
        }
        memcpy(out, bytes, size);
        if (session->tls_up) {
            tls_app_rx_ack(session->params.tls, size);
        } else {
            link_rx_ack(session->params.link, size);
        }
        ops->rx_ack(engine, size, now_ms);
        moved = true;
    }
    return moved;
}

/* Takes bytes of the engine's into the stream; returns how many. */
static size_t stream_tx(struct session *session, const uint8_t *bytes, size_t have)
{
    struct tls *tls = session->params.tls;
    size_t size;
    uint8_t *out;

    if (!session->tls_up) {
        return link_tx(session->params.link, bytes, have);
    }
    out = tls_app_tx_buf(tls, &size);
    size = have < size ? have : size;
    if (size > 0) {
        memcpy(out, bytes, size);
        tls_app_tx_ack(tls, size);
    }
    return size;
}

/* Engine -> stream: one turn is one write, one record, one segment. */
static bool engine_send(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = false;

    while (ops->want(engine) & ENGINE_WANT_TX) {
        size_t size;
        const uint8_t *bytes = ops->tx_buf(engine, &size);

        size = size > 0 ? stream_tx(session, bytes, size) : 0;
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

static bool tls_closed(const struct session *session)
{
    return session->tls_up && (tls_want(session->params.tls) & TLS_CLOSED) != 0;
}

static bool engine_poll(struct session *session, uint64_t now_ms)
{
    const struct session_engine *ops = session->params.ops;
    void *engine = session->params.engine;
    bool moved = net_move(session);
    unsigned want;

    moved |= engine_receive(session, now_ms);
    moved |= engine_send(session, now_ms);
    moved |= net_move(session);
    want = ops->want(engine);
    if (want & ENGINE_CLOSED) {
        if (session->tls_up) {
            tls_close(session->params.tls);
            net_move(session);
        }
        enter(session, SESSION_CLOSE, now_ms + CLOSE_MS_MAX);
    } else if ((want & ENGINE_WANT_TLS) && !(want & ENGINE_WANT_TX)) {
        tls_begin(session, now_ms);
    } else if (!moved && (stream_ended(session) || tls_closed(session))) {
        ops->eof(engine, now_ms);
    } else if (now_ms >= ops->deadline(engine)) {
        ops->timeout(engine, now_ms);
    } else {
        return moved;
    }
    return true;
}

static bool close_poll(struct session *session, uint64_t now_ms)
{
    bool moved = net_move(session);

    if (stream_ended(session) || now_ms >= session->deadline_ms ||
        (link_unacked(session->params.link) == 0 && (!session->tls_up || tls_closed(session)))) {
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
