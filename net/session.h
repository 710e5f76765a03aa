/* session.h - one conversation with one server: pumps engine <-> [TLS] <-> link and owns the
 * deadlines.
 *
 * The engine (smtp or pop3) is reached through struct session_engine; TLS begins on connect
 * or when the engine asks. A stage that ends is told to an observer, so that a person can see where
 * time goes.
 *
 *     session_start(&session, &params, now_ms);
 *     while (session_poll(&session, now_ms)) ... it moved; poll again
 *     sleep until session_deadline()
 *     session_done(&session): then session_error() is 0 or the class of the failure
 *
 * Everything given is borrowed until session_done(). Call from the main loop only.
 */
#ifndef TOCSIN_NET_SESSION_H
#define TOCSIN_NET_SESSION_H

#include "net/error.h"
#include "net/link.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an engine wants; the numbers are those of smtp.h. */
enum { ENGINE_WANT_TX = 1, ENGINE_WANT_RX = 2, ENGINE_WANT_TLS = 4, ENGINE_CLOSED = 32 };

struct session_engine {
    /* The stream is open (and TLS up, if on connect). */
    int (*start)(void *engine, const void *params, uint64_t now_ms);
    unsigned (*want)(void *engine);
    const uint8_t *(*tx_buf)(void *engine, size_t *size);
    void (*tx_ack)(void *engine, size_t size, uint64_t now_ms);
    uint8_t *(*rx_buf)(void *engine, size_t *size);
    void (*rx_ack)(void *engine, size_t size, uint64_t now_ms);
    void (*tls_started)(void *engine, uint64_t now_ms);
    void (*eof)(void *engine, uint64_t now_ms);
    void (*timeout)(void *engine, uint64_t now_ms);
    uint64_t (*deadline)(void *engine);
};

/* Defines NAME_engine for a struct NAME whose functions are NAME_init(), NAME_want() and so on. */
#define SESSION_ENGINE(name)                                                          \
    static int name##_engine_start(void *engine, const void *params, uint64_t now_ms) \
    {                                                                                 \
        return name##_init(engine, params, now_ms);                                   \
    }                                                                                 \
    static unsigned name##_engine_want(void *engine)                                  \
    {                                                                                 \
        return name##_want(engine);                                                   \
    }                                                                                 \
    static const uint8_t *name##_engine_tx_buf(void *engine, size_t *size)            \
    {                                                                                 \
        return name##_tx_buf(engine, size);                                           \
    }                                                                                 \
    static void name##_engine_tx_ack(void *engine, size_t size, uint64_t now_ms)      \
    {                                                                                 \
        name##_tx_ack(engine, size, now_ms);                                          \
    }                                                                                 \
    static uint8_t *name##_engine_rx_buf(void *engine, size_t *size)                  \
    {                                                                                 \
        return name##_rx_buf(engine, size);                                           \
    }                                                                                 \
    static void name##_engine_rx_ack(void *engine, size_t size, uint64_t now_ms)      \
    {                                                                                 \
        name##_rx_ack(engine, size, now_ms);                                          \
    }                                                                                 \
    static void name##_engine_tls_started(void *engine, uint64_t now_ms)              \
    {                                                                                 \
        name##_tls_started(engine, now_ms);                                           \
    }                                                                                 \
    static void name##_engine_eof(void *engine, uint64_t now_ms)                      \
    {                                                                                 \
        name##_eof(engine, now_ms);                                                   \
    }                                                                                 \
    static void name##_engine_timeout(void *engine, uint64_t now_ms)                  \
    {                                                                                 \
        name##_timeout(engine, now_ms);                                               \
    }                                                                                 \
    static uint64_t name##_engine_deadline(void *engine)                              \
    {                                                                                 \
        return name##_deadline(engine);                                               \
    }                                                                                 \
    static const struct session_engine name##_engine = {                              \
        name##_engine_start,       name##_engine_want,   name##_engine_tx_buf,        \
        name##_engine_tx_ack,      name##_engine_rx_buf, name##_engine_rx_ack,        \
        name##_engine_tls_started, name##_engine_eof,    name##_engine_timeout,       \
        name##_engine_deadline,                                                       \
    }

enum session_phase {
    SESSION_IDLE,
    SESSION_RESOLVE,
    SESSION_CONNECT,
    SESSION_TLS,
    SESSION_ENGINE,
    SESSION_CLOSE, /* The engine is done: close_notify and FIN are on their way. */
    SESSION_DONE
};

struct session_params {
    struct link *link;
    const char *host;
    uint16_t port;
    struct tls *tls; /* NULL: never any TLS. */
    const struct tls_params *tls_params;
    bool tls_first;          /* TLS on connect. */
    uint32_t connect_ms_max; /* DNS and TCP together; also for the TLS handshake. */
    const struct session_engine *ops;
    void *engine;
    const void *engine_params; /* For its start. */
    /* A phase ended well; may be NULL. */
    void (*observe)(void *context, enum session_phase phase, uint64_t now_ms);
    void *context;
};

struct session {
    bool tls_up;
    enum session_phase phase;
    uint64_t deadline_ms;
    struct session_params params;
    int error;
    const char *text; /* Of a failure below the engine. */
};

/* Leaves the session done with an error when it cannot even begin. */
void session_start(struct session *session, const struct session_params *params, uint64_t now_ms);

/* Moves what can be moved without waiting; true: something moved, so poll again soon. */
bool session_poll(struct session *session, uint64_t now_ms);

/* When to poll even if nothing arrives; UINT64_MAX: never. */
uint64_t session_deadline(const struct session *session);

/* Ends it at once, without goodbye. */
void session_abort(struct session *session);

bool session_done(const struct session *session);

/* 0, or the class of a failure below the engine (name, connection, TLS), with its words. The
 * engine's own failures are the engine's to tell. */
int session_error(const struct session *session);
const char *session_text(const struct session *session);

#endif
