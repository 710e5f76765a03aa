/* test_pop3_transcripts.c - plays every dialogue in tests/transcripts/pop3 (its README.md has the
 * format): whole, byte by byte, split in two at every offset, and with the connection dropped
 * behind every byte. */
#define _GNU_SOURCE /* memmem */
#include "net/base64.h"
#include "net/digest.h"
#include "net/pop3.h"
#include "net/text.h"
#include "tests/sim/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MIN 180 /* Fewer means that the folder was not found or has been thinned out. */
#define FILES_MAX 256
#define ASKS_MAX 24
#define STEPS_MAX 2000000 /* A dialogue that takes more has hung. */
#define OFFSETS_MAX 4096  /* Of a longer dialogue, every second, third, ... offset. */
#define GOT_BYTES 16384   /* Of data or items of one request. */

/* A request, and what is expected of it. */
struct ask {
    enum pop3_verb verb;
    uint32_t number;
    bool together;      /* With the one before: its result is not waited for. */
    const char *expect; /* "error=... ..."; NULL: no result at all. */
    const char *got;    /* Data, or items "1 uid\n". */
    size_t got_size;
};

struct script {
    struct transcript transcript;
    struct pop3_params params;
    struct ask asks[ASKS_MAX];
    size_t ask_count;
    const char *session;      /* What is expected of pop3_failure(). */
    const char *capabilities; /* "": not looked at. */
    unsigned login_delay_s;
    unsigned expire_days;
    unsigned turns; /* 0: not looked at. */
    bool goes_on;   /* What the client says behind the last event does not matter. */
};

/* How one run delivers the server's bytes. */
struct manner {
    const char *name;
    bool bytewise;  /* Both directions go byte by byte, and events are taken first. */
    size_t cut_at;  /* A read ends at this offset of all server bytes; SIZE_MAX: nowhere. */
    size_t drop_at; /* The connection ends there; SIZE_MAX: nowhere. */
};

struct result {
    bool there;
    int error;
    enum pop3_code code;
    uint32_t number;
    uint32_t count;
    uint64_t octets;
    char uid[POP3_UID_BYTES];
    char text[POP3_TEXT_BYTES];
    char got[GOT_BYTES];
    size_t got_size;
    size_t at; /* Server bytes delivered when it came. */
};

struct run {
    const struct script *script;
    struct manner manner;
    struct pop3 pop3;
    uint64_t now_ms;
    size_t event;
    size_t event_at; /* Bytes of a server event that have been delivered. */
    size_t delivered;
    bool tls;
    bool dropped;
    size_t asked;
    size_t answered;
    bool seen; /* The event in hand has been looked at. */
    struct result results[ASKS_MAX];
    size_t end_at;  /* Server bytes delivered at the end. */
    char got[8192]; /* What the client has sent and no event has taken. */
    size_t got_size;
    char sent[TRANSCRIPT_TEXT_BYTES]; /* All that it has sent. */
    size_t sent_size;
    size_t sent_clear_size; /* Of that, before TLS. */
    char problem[512];
};

/* --- Reading a transcript --- */

static const char *const verbs[POP3_VERB_COUNT] = {"stat", "list", "uidl", "uidls", "top",
                                                   "retr", "dele", "noop", "rset",  "quit"};

static void add_ask(struct script *script, unsigned line, bool together, const char *value)
{
    struct ask *ask = &script->asks[script->ask_count];
    size_t size = strcspn(value, " ");
    unsigned verb = 0;

    if (++script->ask_count > ASKS_MAX) {
        transcript_die(&script->transcript, line, "too many requests");
    }
    while (verb < POP3_VERB_COUNT &&
           (strlen(verbs[verb]) != size || memcmp(verbs[verb], value, size) != 0)) {
        verb++;
    }
    if (verb == POP3_VERB_COUNT) {
        transcript_die(&script->transcript, line, "unknown request");
    }
    ask->verb = (enum pop3_verb)verb;
    ask->number = value[size] != '\0' ? (uint32_t)strtoul(value + size + 1, NULL, 10) : 0;
    ask->together = together;
}

static void set(void *context, unsigned line, const char *word, char *value)
{
    struct script *script = context;
    size_t size = 0;
    const char *copy = transcript_string(&script->transcript, value, line, &size);
    struct ask *last = &script->asks[script->ask_count > 0 ? script->ask_count - 1 : 0];

    if (strcmp(word, "tls") == 0) {
        script->params.tls = strcmp(copy, "implicit") == 0 ? SMTP_TLS_IMPLICIT
                             : strcmp(copy, "stls") == 0   ? SMTP_TLS_STARTTLS
                                                           : SMTP_TLS_OFF;
    } else if (strcmp(word, "user") == 0) {
        script->params.user = copy;
    } else if (strcmp(word, "password") == 0) {
        script->params.password = copy;
    } else if (strcmp(word, "auth_without_tls") == 0) {
        script->params.auth_without_tls = strcmp(copy, "yes") == 0;
    } else if (strcmp(word, "session") == 0) {
        script->session = copy;
    } else if (strcmp(word, "capabilities") == 0) {
        script->capabilities = copy;
    } else if (strcmp(word, "login_delay") == 0) {
        script->login_delay_s = (unsigned)strtoul(copy, NULL, 10);
    } else if (strcmp(word, "expire") == 0) {
        script->expire_days = (unsigned)strtoul(copy, NULL, 10);
    } else if (strcmp(word, "turns") == 0) {
        script->turns = (unsigned)strtoul(copy, NULL, 10);
    } else if (strcmp(word, "goes_on") == 0) {
        script->goes_on = strcmp(copy, "yes") == 0;
    } else if (strcmp(word, "ask") == 0 || strcmp(word, "and") == 0) {
        add_ask(script, line, word[1] == 'n', copy);
    } else if (strcmp(word, "expect") == 0 && script->ask_count > 0) {
        last->expect = copy;
    } else if (strcmp(word, "got") == 0 && script->ask_count > 0) {
        last->got = copy;
        last->got_size = size;
    } else {
        transcript_die(&script->transcript, line, "unknown line");
    }
}

static void load(struct script *script, const char *path)
{
    memset(script, 0, sizeof *script);
    script->params.user = "device";
    script->params.password = "s3cret";
    script->session = "none";
    script->expire_days = POP3_EXPIRE_NEVER;
    transcript_load(&script->transcript, path, set, script);
    if (script->ask_count == 0 || script->asks[script->ask_count - 1].verb != POP3_QUIT) {
        add_ask(script, 0, false, "quit");
        script->asks[script->ask_count - 1].expect =
            strcmp(script->session, "none") == 0 ? "error=ok" : NULL;
    }
}

/* --- Playing it: the client's side --- */

static void problem(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct run *run, const char *format, ...)
{
    va_list arguments;

    if (run->problem[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(run->problem, sizeof run->problem, format, arguments);
        va_end(arguments);
    }
}

static void add_got(struct run *run, struct result *result, const void *bytes, size_t size)
{
    if (size > sizeof result->got - result->got_size) {
        problem(run, "more data than the test has room for");
        return;
    }
    memcpy(result->got + result->got_size, bytes, size);
    result->got_size += size;
}

/* Notes the event in hand, once. */
static void see(struct run *run)
{
    const struct pop3_event *event = pop3_event(&run->pop3);
    const struct ask *ask = &run->script->asks[run->answered];
    struct result *result = &run->results[run->answered];
    char line[POP3_UID_BYTES + 16];

    if (event == NULL || run->seen) {
        return;
    }
    run->seen = true;
    if (pop3_deadline(&run->pop3) != UINT64_MAX) {
        problem(run, "a deadline while an event waits");
    }
    if (event->kind == POP3_EVENT_DONE && event->verb == POP3_QUIT && event->error != 0) {
        /* The session failed; what was asked before is not answered any more. */
        while (run->answered + 1 < run->asked) {
            run->answered++;
        }
        result = &run->results[run->answered];
        ask = &run->script->asks[run->answered];
    }
    if (run->answered == run->asked || event->verb != ask->verb ||
        (event->kind != POP3_EVENT_ITEM && event->number != ask->number)) {
        problem(run, "an event about something else");
        return;
    }
    if (event->kind == POP3_EVENT_DATA) {
        if (event->size == 0) {
            problem(run, "a piece of nothing");
        }
        add_got(run, result, event->data, event->size);
    } else if (event->kind == POP3_EVENT_ITEM) {
        add_got(run, result, line,
                (size_t)snprintf(line, sizeof line, "%u %s\n", event->number, event->uid));
    } else {
        result->there = true;
        result->error = event->error;
        result->code = event->code;
        result->count = event->count;
        result->octets = event->octets;
        (void)snprintf(result->uid, sizeof result->uid, "%s", event->uid);
        (void)snprintf(result->text, sizeof result->text, "%s", event->text);
        result->at = run->delivered;
        run->answered++;
    }
}

static void take(struct run *run)
{
    see(run);
    run->seen = false;
    pop3_next(&run->pop3, run->now_ms);
}

static void send_some(struct run *run)
{
    size_t size = 0;
    const uint8_t *bytes = pop3_tx_buf(&run->pop3, &size);

    size = run->manner.bytewise ? 1 : size;
    if (size > sizeof run->got - run->got_size || size > sizeof run->sent - run->sent_size) {
        problem(run, "the client sends more than anything here wants");
        return;
    }
    memcpy(run->got + run->got_size, bytes, size);
    run->got_size += size;
    memcpy(run->sent + run->sent_size, bytes, size);
    run->sent_size += size;
    if (!run->tls) {
        run->sent_clear_size = run->sent_size;
    }
    pop3_tx_ack(&run->pop3, size, run->now_ms);
}

/* Asks for the next thing, if its time has come. */
static bool ask(struct run *run)
{
    const struct script *script = run->script;
    const struct ask *next = &script->asks[run->asked];

    if (run->asked == script->ask_count || (pop3_want(&run->pop3) & POP3_WANT_REQUEST) == 0 ||
        (!next->together && run->answered < run->asked)) {
        return false;
    }
    if (pop3_request(&run->pop3, next->verb, next->number, run->now_ms) < 0) {
        problem(run, "request %zu is not taken", run->asked + 1);
    }
    run->asked++;
    return true;
}

/* One turn of the client's side; false: it waits for the server. */
static bool client_step(struct run *run)
{
    unsigned want = pop3_want(&run->pop3);

    see(run);
    if (run->manner.bytewise && (want & POP3_WANT_EVENT)) {
        take(run);
    } else if (ask(run)) {
        return true;
    } else if (want & POP3_WANT_TX) {
        send_some(run);
    } else if (want & POP3_WANT_EVENT) {
        take(run);
    } else {
        return false;
    }
    return true;
}

/* Client events that what was sent satisfies; false: it contradicts them. */
static bool match_client(struct run *run)
{
    const struct transcript *t = &run->script->transcript;

    while (run->event < t->event_count) {
        const struct transcript_event *event = &t->events[run->event];
        size_t size = event->size;

        if (event->kind == EVENT_SKIP) {
            size = strtoul(event->bytes, NULL, 10);
            if (run->got_size < size) {
                return true;
            }
            size = run->got_size;
        } else if (event->kind != EVENT_CLIENT) {
            return true;
        } else if (memcmp(run->got, event->bytes, run->got_size < size ? run->got_size : size) !=
                   0) {
            problem(run, "line %u wants \"%s\", but the client said \"%.*s\"", event->line,
                    event->bytes, (int)run->got_size, run->got);
            return false;
        } else if (run->got_size < size) {
            return true;
        }
        run->got_size -= size;
        memmove(run->got, run->got + size, run->got_size);
        run->event++;
    }
    return true;
}

/* --- Playing it: the server's side --- */

static void drop(struct run *run)
{
    run->dropped = true;
    pop3_eof(&run->pop3, run->now_ms);
}

/* How many bytes the next read may have: up to the offset where this run cuts or drops. */
static size_t read_max(const struct run *run)
{
    size_t at = run->delivered;
    size_t max = run->manner.bytewise ? 1 : SIZE_MAX;

    if (run->manner.cut_at > at && run->manner.cut_at - at < max) {
        max = run->manner.cut_at - at;
    }
    return run->manner.drop_at - at < max ? run->manner.drop_at - at : max;
}

/* Delivers the run of server lines at hand in reads that go across lines. The client does not send
 * meanwhile: what stands together here came together. */
static void serve(struct run *run)
{
    const struct transcript *t = &run->script->transcript;
    size_t room = 0;
    size_t max = read_max(run);
    uint8_t *out = pop3_rx_buf(&run->pop3, &room);
    size_t size = 0;

    if (run->delivered == run->manner.drop_at) {
        drop(run);
        return;
    }
    if (room == 0 && !(pop3_want(&run->pop3) & POP3_WANT_EVENT)) {
        problem(run, "no room for the server's bytes");
    }
    max = max < room ? max : room;
    while (size < max && run->event < t->event_count &&
           t->events[run->event].kind == EVENT_SERVER) {
        const struct transcript_event *event = &t->events[run->event];
        size_t left = event->size - run->event_at;

        left = left < max - size ? left : max - size;
        memcpy(out + size, event->bytes + run->event_at, left);
        size += left;
        run->event_at += left;
        if (run->event_at == event->size) {
            run->event++;
            run->event_at = 0;
        }
    }
    run->delivered += size;
    pop3_rx_ack(&run->pop3, size, run->now_ms);
    see(run);
    if (pop3_event(&run->pop3) != NULL && run->event < t->event_count &&
        t->events[run->event].kind == EVENT_SERVER) {
        take(run); /* There is more to come before the client gets to send. */
    }
}

static void time_out(struct run *run)
{
    uint64_t deadline_ms = pop3_deadline(&run->pop3);

    if (deadline_ms == UINT64_MAX || deadline_ms <= run->now_ms) {
        problem(run, "a wait without a deadline ahead");
        return;
    }
    pop3_timeout(&run->pop3, deadline_ms - 1);
    if (pop3_want(&run->pop3) & (POP3_CLOSED | POP3_WANT_EVENT)) {
        problem(run, "timed out before the deadline");
    }
    run->now_ms = deadline_ms;
    pop3_timeout(&run->pop3, run->now_ms);
}

static void start_tls(struct run *run)
{
    if (!(pop3_want(&run->pop3) & POP3_WANT_TLS)) {
        problem(run, "TLS is not wanted here");
        return;
    }
    run->tls = true;
    pop3_tls_started(&run->pop3, run->now_ms);
    if (pop3_capabilities(&run->pop3) != 0 || pop3_login_delay_s(&run->pop3) != 0 ||
        pop3_expire_days(&run->pop3) != POP3_EXPIRE_NEVER) {
        problem(run, "what came before TLS is still believed");
    }
}

/* The server's next move, or the end of the transcript. */
static void server_step(struct run *run)
{
    const struct transcript *t = &run->script->transcript;

    if (run->event == t->event_count) {
        if (run->delivered == run->manner.drop_at) {
            drop(run);
        } else {
            problem(run, "the transcript is at its end, the client is not");
        }
        return;
    }
    switch (t->events[run->event].kind) {
    case EVENT_SERVER:
        serve(run);
        return; /* Which has moved on by itself. */
    case EVENT_TLS:
        start_tls(run);
        break;
    case EVENT_EOF:
        pop3_eof(&run->pop3, run->now_ms);
        break;
    case EVENT_TIMEOUT:
        time_out(run);
        break;
    default:
        problem(run, "line %u: the client is silent, \"%s\" was expected",
                t->events[run->event].line, t->events[run->event].bytes);
        break;
    }
    run->event++;
}

/* Whether the client moves next: not while the server still talks, so that what stands together in
 * the file comes before whatever the client says to it. */
static bool client_turn(const struct run *run)
{
    const struct transcript *t = &run->script->transcript;

    if (run->event == t->event_count || run->dropped) {
        return true;
    }
    switch (t->events[run->event].kind) {
    case EVENT_SERVER:
        return false;
    case EVENT_CLIENT:
    case EVENT_SKIP:
        return true;
    case EVENT_EOF:
        return run->manner.bytewise && pop3_event(&run->pop3) != NULL;
    default:
        return pop3_event(&run->pop3) != NULL;
    }
}

static void play(struct run *run, const struct script *script, struct manner manner)
{
    memset(run, 0, sizeof *run);
    run->script = script;
    run->manner = manner;
    run->now_ms = 1000;
    run->tls = script->params.tls == SMTP_TLS_IMPLICIT;
    (void)!pop3_init(&run->pop3, &script->params, run->now_ms);
    for (unsigned long steps = 0; run->problem[0] == '\0'; steps++) {
        if (!match_client(run) || (pop3_want(&run->pop3) & POP3_CLOSED) != 0) {
            break;
        }
        if (steps > STEPS_MAX) {
            problem(run, "hangs");
        }
        if (!client_turn(run) || !client_step(run)) {
            if (run->dropped) {
                problem(run, "the stream has ended, the client has not");
            } else {
                server_step(run);
            }
        }
        run->now_ms++;
    }
    run->end_at = run->delivered;
}

/* --- Judging it --- */

static bool holds(const char *bytes, size_t size, const char *word)
{
    return memmem(bytes, size, word, strlen(word)) != NULL;
}

static bool is_credential(const struct script *script, const char *bytes, size_t size)
{
    char word[1024];
    struct text text = text_begin(word, sizeof word);
    struct base64 base64 = base64_begin(&text);
    const char *user = script->params.user;
    const char *password = script->params.password;

    if (password[0] == '\0') {
        return false;
    }
    base64_add(&base64, "", 1);
    base64_add(&base64, user, strlen(user) + 1);
    base64_add(&base64, password, strlen(password));
    base64_end(&base64);
    return holds(bytes, size, word) || holds(bytes, size, password);
}

/* What holds for every run, dropped or not. */
static void judge_always(struct run *run)
{
    const struct script *script = run->script;
    const struct pop3_failure *failure = pop3_failure(&run->pop3);
    const char *const logins[] = {"USER", "PASS", "AUTH", "APOP"};
    const struct result *last = &run->results[run->answered > 0 ? run->answered - 1 : 0];
    bool quit = run->asked > 0 && script->asks[run->asked - 1].verb == POP3_QUIT;

    for (size_t i = 0; i < 4 && script->params.tls == SMTP_TLS_STARTTLS; i++) {
        if (holds(run->sent, run->sent_clear_size, logins[i])) {
            problem(run, "%s in clear", logins[i]);
        }
    }
    if (!(script->params.tls == SMTP_TLS_OFF && script->params.auth_without_tls) &&
        (is_credential(script, run->sent, run->sent_clear_size) ||
         holds(run->sent, run->sent_clear_size, "USER"))) {
        problem(run, "a credential in clear");
    }
    if (is_credential(script, (const char *)run->pop3.tx, sizeof run->pop3.tx) ||
        holds((const char *)run->pop3.tx, sizeof run->pop3.tx, "APOP") ||
        run->pop3.apop[0] != '\0') {
        problem(run, "a credential is left in the buffer");
    }
    if (!(pop3_want(&run->pop3) & POP3_CLOSED)) {
        return;
    }
    if (pop3_deadline(&run->pop3) != UINT64_MAX) {
        problem(run, "a deadline behind the end");
    }
    if (failure != NULL && (failure->error >= 0 || failure->text[0] == '\0')) {
        problem(run, "a failure without class or words");
    }
    if (failure != NULL && pop3_advice(failure)[0] == '\0') {
        problem(run, "no advice");
    }
    if (failure == NULL && run->asked < script->ask_count) {
        problem(run, "a good end with requests left");
    }
    if (quit && (run->answered < run->asked || (last->error == 0) != (failure == NULL))) {
        problem(run, "QUIT tells something else than the session");
    }
    if (pop3_octets(&run->pop3) > run->delivered + run->sent_size) {
        problem(run, "octets that nobody sent");
    }
}

static void check_number(struct run *run, const char *key, const char *want, uint64_t have)
{
    if (strtoull(want, NULL, 10) != have) {
        problem(run, "%s is %llu, not %s", key, (unsigned long long)have, want);
    }
}

static void check_string(struct run *run, const char *key, const char *want, const char *have)
{
    if (strcmp(want, have) != 0) {
        problem(run, "%s is \"%s\", not \"%s\"", key, have, want);
    }
}

/* Also "none" for no error and no code. */
static const char *code_name(enum pop3_code code)
{
    static const char *const names[] = {"none",     "in-use", "login-delay", "sys/temp",
                                        "sys/perm", "auth",   "other"};

    return names[code];
}

static const char *cause_name(enum pop3_cause cause)
{
    static const char *const names[] = {"reply",   "timeout",  "eof",        "protocol",
                                        "no-stls", "injected", "clear-auth", "mechanism",
                                        "name",    "aborted"};

    return names[cause];
}

/* One "key=value" of an expectation; one of the two is NULL. */
static void check_word(struct run *run, const char *key, const char *value,
                       const struct pop3_failure *failure, const struct result *result)
{
    if (strcmp(key, "error") == 0) {
        check_string(run, key, value, error_name(failure != NULL ? failure->error : result->error));
    } else if (strcmp(key, "code") == 0) {
        check_string(run, key, value, code_name(failure != NULL ? failure->code : result->code));
    } else if (strcmp(key, "stage") == 0 && failure != NULL) {
        check_string(run, key, value, pop3_stage_name(failure->stage));
    } else if (strcmp(key, "cause") == 0 && failure != NULL) {
        check_string(run, key, value, cause_name(failure->cause));
    } else if (strcmp(key, "count") == 0 && result != NULL) {
        check_number(run, key, value, result->count);
    } else if (strcmp(key, "octets") == 0 && result != NULL) {
        check_number(run, key, value, result->octets);
    } else if (strcmp(key, "uid") == 0 && result != NULL) {
        check_string(run, key, value, result->uid);
    } else {
        problem(run, "unknown expectation %s", key);
    }
}

static void check(struct run *run, const char *what, const struct pop3_failure *failure,
                  const struct result *result)
{
    char copy[1024];
    char *text;

    (void)snprintf(copy, sizeof copy, "%s", what);
    text = strstr(copy, "text=");
    if (text != NULL) {
        const char *words = failure != NULL ? failure->text : result->text;

        if (strstr(words, text + 5) == NULL) {
            problem(run, "the words are \"%s\", without \"%s\"", words, text + 5);
        }
        *text = '\0';
    }
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');

        if (value == NULL) {
            problem(run, "%s is no expectation", word);
            return;
        }
        *value++ = '\0';
        check_word(run, word, value, failure, result);
    }
}

static void check_capabilities(struct run *run)
{
    static const char *const names[] = {"STLS",  "PIPELINING", "TOP",   "UIDL", "USER",
                                        "PLAIN", "RESP-CODES", "LOGIN", "KNOWN"};
    char have[256] = "";
    struct text text = text_begin(have, sizeof have);

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (pop3_capabilities(&run->pop3) >> i & 1) {
            text_add(&text, text.length > 0 ? " " : "");
            text_add(&text, names[i]);
        }
    }
    check_string(run, "capabilities", run->script->capabilities, have);
}

static void judge_results(struct run *run)
{
    for (size_t i = 0; i < run->script->ask_count; i++) {
        const struct ask *want = &run->script->asks[i];
        const struct result *result = &run->results[i];

        if (result->there != (want->expect != NULL)) {
            problem(run, "request %zu %s", i + 1,
                    result->there ? "has a result that is not expected" : "has no result");
        } else if (want->expect != NULL) {
            check(run, want->expect, NULL, result);
        }
        if (want->got != NULL && (result->got_size != want->got_size ||
                                  memcmp(result->got, want->got, want->got_size) != 0)) {
            problem(run, "request %zu got \"%.*s\"", i + 1, (int)result->got_size, result->got);
        }
    }
}

/* What the transcript says of a run that was not dropped. */
static void judge_whole(struct run *run)
{
    const struct script *script = run->script;
    const struct transcript *t = &script->transcript;
    const struct pop3_failure *failure = pop3_failure(&run->pop3);

    for (size_t i = run->event; i < t->event_count; i++) {
        if (t->events[i].kind != EVENT_SERVER) { /* Bytes behind an end that came by right. */
            problem(run, "line %u was not reached", t->events[i].line);
            break;
        }
    }
    if (run->got_size > 0 && !script->goes_on) {
        problem(run, "the client also said \"%.*s\"", (int)run->got_size, run->got);
    }
    if (strcmp(script->session, "none") == 0) {
        if (failure != NULL) {
            problem(run, "the session failed: %s", failure->text);
        }
    } else if (failure == NULL) {
        problem(run, "the session ended well");
    } else {
        check(run, script->session, failure, NULL);
    }
    judge_results(run);
    if (script->capabilities != NULL) {
        check_capabilities(run);
    }
    if (pop3_login_delay_s(&run->pop3) != script->login_delay_s ||
        pop3_expire_days(&run->pop3) != script->expire_days) {
        problem(run, "delay %u, expiry %u", pop3_login_delay_s(&run->pop3),
                pop3_expire_days(&run->pop3));
    }
    if (script->turns > 0 && !run->manner.bytewise && run->manner.cut_at == SIZE_MAX &&
        pop3_turns(&run->pop3) != script->turns) {
        problem(run, "%u turns", pop3_turns(&run->pop3));
    }
}

/* A dropped run: a request is answered if and only if its reply had come whole; what was got of it
 * is the beginning of what there is. */
static void judge_dropped(struct run *run, const struct run *whole)
{
    for (size_t i = 0; i < run->script->ask_count; i++) {
        const struct result *all = &whole->results[i];
        const struct result *here = &run->results[i];
        bool there = all->there && all->at <= run->manner.drop_at;

        if ((here->there && here->error == 0) != (there && all->error == 0)) {
            problem(run, "request %zu is said to %s", i + 1,
                    here->there ? "be done" : "have failed");
        }
        if (there && here->there && here->error != all->error) {
            problem(run, "request %zu has another class", i + 1);
        }
        if (here->got_size > all->got_size || memcmp(here->got, all->got, here->got_size) != 0) {
            problem(run, "request %zu got something else", i + 1);
        }
    }
    if (!(pop3_want(&run->pop3) & POP3_CLOSED)) {
        problem(run, "does not end");
    }
}

static void judge(struct run *run)
{
    judge_always(run);
    if (run->problem[0] != '\0') {
        fail_msg("%s, %s (cut %zd, drop %zd): %s", run->script->transcript.path, run->manner.name,
                 (ssize_t)run->manner.cut_at, (ssize_t)run->manner.drop_at, run->problem);
    }
}

static void transcript_test(void **state)
{
    static struct script script;
    static struct run whole;
    static struct run run;
    size_t stride;

    load(&script, *state);
    stride = script.transcript.server_bytes / OFFSETS_MAX + 1;
    play(&whole, &script, (struct manner){"byte by byte", true, SIZE_MAX, SIZE_MAX});
    judge_whole(&whole);
    judge(&whole);
    play(&run, &script, (struct manner){"whole", false, SIZE_MAX, SIZE_MAX});
    judge_whole(&run);
    judge(&run);
    for (size_t at = 1; at < script.transcript.server_bytes; at += stride) {
        play(&run, &script, (struct manner){"in two", false, at, SIZE_MAX});
        judge_whole(&run);
        judge(&run);
    }
    for (size_t at = 0; at < whole.end_at; at += stride) {
        play(&run, &script, (struct manner){"dropped", (at & 1) != 0, SIZE_MAX, at});
        judge_dropped(&run, &whole);
        judge(&run);
    }
}

/* --- All of them --- */

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[FILES_MAX];
    static char paths[FILES_MAX][TRANSCRIPT_PATH_BYTES];
    size_t count = transcript_files(TESTS_DIR "/transcripts/pop3", argc < 2 ? NULL : argv[1], paths,
                                    FILES_MIN, FILES_MAX);

    for (size_t i = 0; i < count; i++) {
        tests[i].name = strrchr(paths[i], '/') + 1;
        tests[i].test_func = transcript_test;
        tests[i].initial_state = paths[i];
    }
    return count == 0 ? 1 : _cmocka_run_group_tests("pop3 transcripts", tests, count, NULL, NULL);
}
