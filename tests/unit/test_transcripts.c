/* test_transcripts.c - plays every dialogue in tests/transcripts (its README.md has the format):
 * whole, byte by byte, split in two at every offset, and with the connection dropped behind every
 * byte. */
#define _GNU_SOURCE /* memmem */
#include "net/base64.h"
#include "net/smtp.h"
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

#define FILES_MIN 60 /* Fewer means that the folder was not found or has been thinned out. */
#define FILES_MAX 256
#define MESSAGES_MAX 4
#define STEPS_MAX 2000000 /* A dialogue that takes more has hung. */
#define OFFSETS_MAX 4096  /* Of a longer dialogue, every second, third, ... offset. */

struct message {
    struct smtp_envelope envelope;
    const char *rcpt[SMTP_RCPT_MAX + 1];
    const char *body;
    size_t body_size;
    const char *expect; /* "error=... ..."; NULL: never started. */
};

struct script {
    struct transcript transcript;
    struct smtp_params params;
    struct message messages[MESSAGES_MAX];
    size_t message_count;
    const char *session; /* What is expected of smtp_failure(). */
};

/* How one run delivers the server's bytes. */
struct manner {
    const char *name;
    bool bytewise;  /* Both directions and the body go byte by byte. */
    size_t cut_at;  /* A read ends at this offset of all server bytes; SIZE_MAX: nowhere. */
    size_t drop_at; /* The connection ends there; SIZE_MAX: nowhere. */
};

struct run {
    const struct script *script;
    struct manner manner;
    struct smtp smtp;
    uint64_t now_ms;
    size_t event;
    size_t event_at; /* Bytes of a server event that have been delivered. */
    size_t delivered;
    bool tls;
    bool dropped;
    size_t message; /* The next, or the one under way when open. */
    size_t body_at;
    bool message_open;
    bool quitting;
    struct smtp_result results[MESSAGES_MAX];
    bool have_result[MESSAGES_MAX];
    size_t result_at[MESSAGES_MAX]; /* Server bytes delivered when it came. */
    size_t end_at;                  /* Server bytes delivered at the end. */
    char got[8192];                 /* What the client has sent and no event has taken. */
    size_t got_size;
    char sent[TRANSCRIPT_TEXT_BYTES]; /* All that it has sent. */
    size_t sent_size;
    size_t sent_clear_size; /* Of that, before TLS. */
    char problem[512];
};

/* --- Reading a transcript --- */

/* "from=a@b rcpt=c@d,e@f size=10 8bit body=..." */
static void add_message(struct script *script, unsigned line, char *text)
{
    struct transcript *t = &script->transcript;
    struct message *message = &script->messages[script->message_count];
    char *body = strstr(text, "body=");

    if (++script->message_count > MESSAGES_MAX) {
        transcript_die(t, line, "too many messages");
    }
    message->body = "";
    if (body != NULL) {
        message->body = transcript_string(t, body + 5, line, &message->body_size);
        *body = '\0';
    }
    message->envelope.from = "";
    message->envelope.rcpt = message->rcpt;
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        if (strncmp(word, "from=", 5) == 0) {
            message->envelope.from = transcript_string(t, word + 5, line, NULL);
        } else if (strncmp(word, "rcpt=", 5) == 0) {
            if (message->envelope.rcpt_count > SMTP_RCPT_MAX) {
                transcript_die(t, line, "too many recipients");
            }
            message->rcpt[message->envelope.rcpt_count++] =
                transcript_string(t, word + 5, line, NULL);
        } else if (strncmp(word, "size=", 5) == 0) {
            message->envelope.size_bytes = (uint32_t)strtoul(word + 5, NULL, 10);
        } else if (strcmp(word, "8bit") == 0) {
            message->envelope.eight_bit = true;
        } else {
            transcript_die(t, line, "unknown word in a message");
        }
    }
}

static void set(struct script *script, unsigned line, const char *key, const char *value)
{
    struct transcript *t = &script->transcript;
    const char *copy = transcript_string(t, value, line, NULL);

    if (strcmp(key, "tls") == 0) {
        script->params.tls = strcmp(copy, "implicit") == 0   ? SMTP_TLS_IMPLICIT
                             : strcmp(copy, "starttls") == 0 ? SMTP_TLS_STARTTLS
                                                             : SMTP_TLS_OFF;
    } else if (strcmp(key, "ehlo") == 0) {
        script->params.ehlo_name = copy;
    } else if (strcmp(key, "user") == 0) {
        script->params.user = copy;
    } else if (strcmp(key, "password") == 0) {
        script->params.password = copy;
    } else if (strcmp(key, "auth_without_tls") == 0) {
        script->params.auth_without_tls = strcmp(copy, "yes") == 0;
    } else if (strcmp(key, "session") == 0) {
        script->session = copy;
    } else if (strcmp(key, "expect") == 0) {
        if (script->message_count == 0) {
            transcript_die(t, line, "expect comes behind its message");
        }
        script->messages[script->message_count - 1].expect = copy;
    } else {
        transcript_die(t, line, "unknown line");
    }
}

static void take_setting(void *context, unsigned line, const char *word, char *value)
{
    if (strcmp(word, "message") == 0) {
        add_message(context, line, value);
    } else {
        set(context, line, word, value);
    }
}

static void load(struct script *script, const char *path)
{
    memset(script, 0, sizeof *script);
    script->session = "none";
    script->params.ehlo_name = "router1.example.com";
    transcript_load(&script->transcript, path, take_setting, script);
}

/* --- Playing it --- */

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

static bool all_messages_done(const struct run *run)
{
    return run->message == run->script->message_count && !run->message_open;
}

static void note_result(struct run *run)
{
    run->results[run->message] = *smtp_result(&run->smtp);
    run->have_result[run->message] = true;
    run->result_at[run->message] = run->delivered;
    run->message_open = false;
    run->message++;
}

/* Sees that a result is kept as soon as it is there. */
static void watch(struct run *run)
{
    unsigned want = smtp_want(&run->smtp);

    if (run->message_open && (want & (SMTP_WANT_MESSAGE | SMTP_CLOSED)) != 0) {
        note_result(run);
    }
}

static void send_some(struct run *run)
{
    size_t size = 0;
    const uint8_t *bytes = smtp_tx_buf(&run->smtp, &size);

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
    smtp_tx_ack(&run->smtp, size, run->now_ms);
}

static void body_some(struct run *run)
{
    const struct message *message = &run->script->messages[run->message];
    size_t room = 0;
    uint8_t *out = smtp_body_buf(&run->smtp, &room);
    size_t size = message->body_size - run->body_at;

    if (size == 0) {
        smtp_body_end(&run->smtp, run->now_ms);
        return;
    }
    if (room == 0) {
        problem(run, "body wanted, but no room for it");
        return;
    }
    size = size < room ? size : room;
    size = run->manner.bytewise ? 1 : size;
    memcpy(out, message->body + run->body_at, size);
    run->body_at += size;
    smtp_body_ack(&run->smtp, size, run->now_ms);
}

static void next_message(struct run *run)
{
    const struct message *message;

    if (run->message == run->script->message_count) {
        run->quitting = true;
        smtp_quit(&run->smtp, run->now_ms);
        return;
    }
    message = &run->script->messages[run->message];
    run->body_at = 0;
    if (smtp_message(&run->smtp, &message->envelope, run->now_ms) < 0) {
        note_result(run);
    } else {
        run->message_open = true;
    }
}

/* One turn of the client's side; false: it waits for the server. */
static bool client_step(struct run *run)
{
    unsigned want = smtp_want(&run->smtp);

    if (want & SMTP_WANT_TX) {
        send_some(run);
    } else if (want & SMTP_WANT_MESSAGE) {
        next_message(run);
    } else if (want & SMTP_WANT_BODY) {
        body_some(run);
    } else {
        return false;
    }
    watch(run);
    return true;
}

/* Client events that what was sent satisfies; false: it contradicts them. */
static bool match_client(struct run *run)
{
    const struct script *script = run->script;

    while (run->event < script->transcript.event_count) {
        const struct transcript_event *event = &script->transcript.events[run->event];
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

static void drop(struct run *run)
{
    run->dropped = true;
    smtp_eof(&run->smtp, run->now_ms);
    watch(run);
}

/* Delivers the run of server events at hand, as the manner says. The client does not send
 * meanwhile: what stands together here came together, whatever the reads are. */
static void serve(struct run *run)
{
    const struct script *script = run->script;

    while (!run->dropped && run->event < script->transcript.event_count &&
           script->transcript.events[run->event].kind == EVENT_SERVER) {
        const struct transcript_event *event = &script->transcript.events[run->event];
        size_t left = event->size - run->event_at;
        size_t room = 0;
        uint8_t *out = smtp_rx_buf(&run->smtp, &room);

        if (left == 0) {
            run->event++;
            run->event_at = 0;
            continue;
        }
        if (run->delivered == run->manner.drop_at) {
            drop(run);
            return;
        }
        if (room == 0) {
            problem(run, "no room for the server's bytes");
            return;
        }
        left = left < room ? left : room;
        left = run->manner.bytewise ? 1 : left;
        if (run->manner.cut_at > run->delivered && left > run->manner.cut_at - run->delivered) {
            left = run->manner.cut_at - run->delivered;
        }
        if (run->manner.drop_at != SIZE_MAX && left > run->manner.drop_at - run->delivered) {
            left = run->manner.drop_at - run->delivered;
        }
        memcpy(out, event->bytes + run->event_at, left);
        run->event_at += left;
        run->delivered += left;
        smtp_rx_ack(&run->smtp, left, run->now_ms);
        watch(run);
    }
}

static void time_out(struct run *run)
{
    uint64_t deadline_ms = smtp_deadline(&run->smtp);

    if (deadline_ms == UINT64_MAX || deadline_ms <= run->now_ms) {
        problem(run, "a wait without a deadline ahead");
        return;
    }
    smtp_timeout(&run->smtp, deadline_ms - 1);
    if (smtp_want(&run->smtp) & SMTP_CLOSED) {
        problem(run, "timed out before the deadline");
    }
    run->now_ms = deadline_ms;
    smtp_timeout(&run->smtp, run->now_ms);
    watch(run);
}

static void start_tls(struct run *run)
{
    if (!(smtp_want(&run->smtp) & SMTP_WANT_TLS)) {
        problem(run, "TLS is not wanted here");
        return;
    }
    run->tls = true;
    smtp_tls_started(&run->smtp, run->now_ms);
    if (smtp_capabilities(&run->smtp) != 0) {
        problem(run, "what came before TLS is still believed");
    }
}

/* The server's next move, or the end of the transcript. */
static void server_step(struct run *run)
{
    const struct script *script = run->script;

    if (run->event == script->transcript.event_count) {
        if (run->delivered == run->manner.drop_at) {
            drop(run);
        } else {
            problem(run, "the transcript is at its end, the client is not");
        }
        return;
    }
    switch (script->transcript.events[run->event].kind) {
    case EVENT_SERVER:
        serve(run);
        return; /* Which has moved on by itself. */
    case EVENT_TLS:
        start_tls(run);
        break;
    case EVENT_EOF:
        drop(run);
        run->dropped = false;
        break;
    case EVENT_TIMEOUT:
        time_out(run);
        break;
    default:
        problem(run, "line %u: the client is silent, \"%s\" was expected",
                script->transcript.events[run->event].line,
                script->transcript.events[run->event].bytes);
        break;
    }
    run->event++;
}

static bool client_turn(const struct run *run)
{
    const struct script *script = run->script;

    return run->event == script->transcript.event_count ||
           script->transcript.events[run->event].kind == EVENT_CLIENT ||
           script->transcript.events[run->event].kind == EVENT_SKIP;
}

static void play(struct run *run, const struct script *script, struct manner manner)
{
    memset(run, 0, sizeof *run);
    run->script = script;
    run->manner = manner;
    run->now_ms = 1000;
    run->tls = script->params.tls == SMTP_TLS_IMPLICIT;
    (void)!smtp_init(&run->smtp, &script->params, run->now_ms);
    for (unsigned long steps = 0; run->problem[0] == '\0'; steps++) {
        if (!match_client(run) || (smtp_want(&run->smtp) & SMTP_CLOSED) != 0) {
            break;
        }
        if (steps > STEPS_MAX) {
            problem(run, "hangs");
        }
        if (run->dropped) {
            problem(run, "the stream has ended, the client has not");
        } else if (!client_turn(run) || !client_step(run)) {
            server_step(run);
        }
        run->now_ms++;
    }
    run->end_at = run->delivered;
}

/* --- Judging it --- */

static bool is_credential(const struct script *script, const char *bytes, size_t size)
{
    char words[4][1024];
    const char *user = script->params.user;

    if (user == NULL || user[0] == '\0' || script->params.password == NULL) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        struct text text = text_begin(words[i], sizeof words[i]);
        struct base64 base64 = base64_begin(&text);

        if (i == 0) {
            text_add(&text, script->params.password);
        } else if (i == 1) {
            base64_add(&base64, user, strlen(user));
        } else if (i == 2) {
            base64_add(&base64, script->params.password, strlen(script->params.password));
        } else {
            base64_add(&base64, "", 1);
            base64_add(&base64, user, strlen(user) + 1);
            base64_add(&base64, script->params.password, strlen(script->params.password));
        }
        base64_end(&base64);
        if (text.length > 0 && memmem(bytes, size, text.bytes, text.length) != NULL) {
            return true;
        }
    }
    return false;
}

/* What holds for every run, dropped or not. */
static void judge_always(struct run *run)
{
    const struct script *script = run->script;
    const struct smtp_failure *failure = smtp_failure(&run->smtp);

    if (script->params.tls == SMTP_TLS_STARTTLS &&
        (memmem(run->sent, run->sent_clear_size, "MAIL", 4) != NULL ||
         memmem(run->sent, run->sent_clear_size, "AUTH", 4) != NULL)) {
        problem(run, "MAIL or AUTH in clear");
    }
    if (!(script->params.tls == SMTP_TLS_OFF && script->params.auth_without_tls) &&
        is_credential(script, run->sent, run->sent_clear_size)) {
        problem(run, "a credential in clear");
    }
    if (is_credential(script, (const char *)run->smtp.tx, sizeof run->smtp.tx)) {
        problem(run, "a credential is left in the buffer");
    }
    if (!(smtp_want(&run->smtp) & SMTP_CLOSED)) {
        return;
    }
    if (failure != NULL && (failure->error >= 0 || failure->text[0] == '\0')) {
        problem(run, "a failure without class or words");
    }
    if (failure == NULL && !all_messages_done(run)) {
        problem(run, "a good end with messages left");
    }
    if (failure != NULL && smtp_advice(failure)[0] == '\0') {
        problem(run, "no advice");
    }
    for (size_t i = 0; i < script->message_count; i++) {
        const struct smtp_result *result = &run->results[i];

        if (run->have_result[i] && ((result->error == 0) != (result->accepted_mask != 0) ||
                                    (result->accepted_mask & result->refused_mask) != 0 ||
                                    (result->transient_mask & ~result->refused_mask) != 0)) {
            problem(run, "message %zu: masks that contradict", i + 1);
        }
    }
}

static void check_number(struct run *run, const char *key, const char *want, unsigned long have)
{
    if (strtoul(want, NULL, 10) != have) {
        problem(run, "%s is %lu, not %s", key, have, want);
    }
}

static void check_string(struct run *run, const char *key, const char *want, const char *have)
{
    for (size_t i = 0;; i++) {
        if (have[i] != want[i] && !(want[i] == '_' && have[i] == ' ')) {
            problem(run, "%s is \"%s\", not \"%s\"", key, have, want);
            return;
        }
        if (have[i] == '\0') {
            return;
        }
    }
}

/* One "key=value" of an expectation. result is NULL for the session's. */
static void check_word(struct run *run, const char *key, const char *value, int error,
                       const struct smtp_failure *failure, const struct smtp_result *result)
{
    if (strcmp(key, "error") == 0) {
        check_string(run, key, value, error_name(error));
    } else if (strcmp(key, "code") == 0) {
        check_number(run, key, value, (unsigned long)failure->code);
    } else if (strcmp(key, "enhanced") == 0) {
        check_string(run, key, value, failure->enhanced);
    } else if (strcmp(key, "stage") == 0) {
        check_string(run, key, value, smtp_stage_name(failure->stage));
    } else if (strcmp(key, "class") == 0) {
        check_string(run, key, value, error_name(failure->error));
    } else if (strcmp(key, "accepted") == 0 && result != NULL) {
        check_number(run, key, value, result->accepted_mask);
    } else if (strcmp(key, "refused") == 0 && result != NULL) {
        check_number(run, key, value, result->refused_mask);
    } else if (strcmp(key, "transient") == 0 && result != NULL) {
        check_number(run, key, value, result->transient_mask);
    } else if (strcmp(key, "unanswered") == 0 && result != NULL) {
        check_number(run, key, value, result->unanswered);
    } else {
        problem(run, "unknown expectation %s", key);
    }
}

static void check(struct run *run, const char *what, int error, const struct smtp_failure *failure,
                  const struct smtp_result *result)
{
    char copy[1024];
    char *text;

    (void)snprintf(copy, sizeof copy, "%s", what);
    text = strstr(copy, "text=");
    if (text != NULL) {
        const char *words = result != NULL && result->error == 0 && result->refused_mask == 0
                                ? result->text
                                : failure->text;

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
        *value = '\0';
        check_word(run, word, value + 1, error, failure, result);
    }
}

/* What the transcript says of a run that was not dropped. */
static void judge_whole(struct run *run)
{
    const struct script *script = run->script;
    const struct smtp_failure *failure = smtp_failure(&run->smtp);

    if (run->event < script->transcript.event_count) {
        /* Bytes behind an end that came by right are the one thing that may be left. */
        for (size_t i = run->event; i < script->transcript.event_count; i++) {
            if (script->transcript.events[i].kind != EVENT_SERVER) {
                problem(run, "line %u was not reached", script->transcript.events[i].line);
                break;
            }
        }
    }
    if (run->got_size > 0) {
        problem(run, "the client also said \"%.*s\"", (int)run->got_size, run->got);
    }
    for (size_t i = 0; i < script->message_count; i++) {
        const struct message *message = &script->messages[i];

        if (run->have_result[i] != (message->expect != NULL)) {
            problem(run, "message %zu %s", i + 1,
                    run->have_result[i] ? "has a result that is not expected" : "has no result");
        } else if (message->expect != NULL) {
            check(run, message->expect, run->results[i].error, &run->results[i].failure,
                  &run->results[i]);
        }
    }
    if (strcmp(script->session, "none") == 0) {
        if (failure != NULL) {
            problem(run, "the session failed: %s", failure->text);
        }
    } else if (failure == NULL) {
        problem(run, "the session ended well");
    } else {
        check(run, script->session, failure->error, failure, NULL);
    }
}

/* A dropped run: a message is accepted if and only if its last reply had come whole. */
static void judge_dropped(struct run *run, const struct run *whole)
{
    for (size_t i = 0; i < run->script->message_count; i++) {
        bool there = whole->have_result[i] && whole->result_at[i] <= run->manner.drop_at;
        bool accepted = run->have_result[i] && run->results[i].error == 0;

        if (accepted != (there && whole->results[i].error == 0)) {
            problem(run, "message %zu is said to be %s", i + 1, accepted ? "accepted" : "refused");
        }
        if (there && run->have_result[i] && run->results[i].error != whole->results[i].error) {
            problem(run, "message %zu has another class", i + 1);
        }
    }
    if (!(smtp_want(&run->smtp) & SMTP_CLOSED)) {
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
    size_t count = transcript_files(TESTS_DIR "/transcripts", argc < 2 ? NULL : argv[1], paths,
                                    FILES_MIN, FILES_MAX);

    for (size_t i = 0; i < count; i++) {
        tests[i].name = strrchr(paths[i], '/') + 1;
        tests[i].test_func = transcript_test;
        tests[i].initial_state = paths[i];
    }
    return count == 0 ? 1 : _cmocka_run_group_tests("transcripts", tests, count, NULL, NULL);
}
