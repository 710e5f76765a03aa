/* pop3_request.c - what is asked for after the login: commands, their results, events. */
#include "net/pop3_dialogue.h"

#include <string.h>

static const char verbs[] = "STAT\0LIST\0UIDL\0UIDL\0TOP\0RETR\0DELE\0NOOP\0RSET\0QUIT"
#ifdef POP3_LISTS
                            "\0LIST"
#endif
    ;

#define TAKES_NUMBER \
    (1u << POP3_LIST | 1u << POP3_UIDL | 1u << POP3_TOP | 1u << POP3_RETR | 1u << POP3_DELE)

/* --- Asking --- */

static bool write_request(struct pop3 *pop3, unsigned index)
{
    enum pop3_verb verb = (enum pop3_verb)pop3->verbs[index];
    char argument[16];

    argument[0] = '\0';
    if (TAKES_NUMBER >> verb & 1) {
        text_print(argument, sizeof argument, verb == POP3_TOP ? " %u 0" : " %u",
                   (unsigned)pop3->numbers[index]);
    }
    return pop3_send(pop3, text_item(verbs, verb), argument);
}

/* With PIPELINING all of them go (RFC 2449 section 6.6); without, one that waits for its reply. */
void pop3_write_requests(struct pop3 *pop3)
{
    unsigned end = pop3->requests;

    if (end > 1 && (pop3->capabilities & POP3_CAP_PIPELINING) == 0) {
        end = 1;
    }
    while (pop3->requests_written < end && write_request(pop3, pop3->requests_written)) {
        pop3->requests_written++;
    }
}

int pop3_request(struct pop3 *pop3, enum pop3_verb verb, uint32_t number, uint64_t now_ms)
{
    if ((pop3_want(pop3) & POP3_WANT_REQUEST) == 0 || verb >= POP3_VERB_COUNT ||
        (number > 0) != ((TAKES_NUMBER >> verb & 1) != 0)) {
        return E_INVALID;
    }
    pop3->verbs[pop3->requests] = (uint8_t)verb;
    pop3->numbers[pop3->requests] = number;
    pop3->quit_asked = verb == POP3_QUIT;
    if (pop3->requests++ == 0) {
        pop3_arm(pop3, now_ms);
    }
    pop3_write_requests(pop3);
    return 0;
}

/* --- Events --- */

/* Puts an event about the oldest request in hand. */
static struct pop3_event *emit(struct pop3 *pop3, enum pop3_event_kind kind, uint64_t now_ms)
{
    struct pop3_event *event = &pop3->event;

    memset(event, 0, sizeof *event);
    event->kind = kind;
    event->verb = (enum pop3_verb)pop3->verbs[0];
    event->number = pop3->numbers[0];
    event->text = pop3->reply.text;
    event->uid = "";
    pop3->event_held = true;
    pop3->held_ms = now_ms;
    return event;
}

/* The oldest request has its answer; the next one may go. */
static struct pop3_event *emit_done(struct pop3 *pop3, int error, uint64_t now_ms)
{
    struct pop3_event *event = emit(pop3, POP3_EVENT_DONE, now_ms);

    event->error = error;
    event->code = pop3->reply.code;
    pop3->requests--;
    pop3->requests_written--;
    memmove(pop3->verbs, pop3->verbs + 1, pop3->requests);
    memmove(pop3->numbers, pop3->numbers + 1, pop3->requests * sizeof pop3->numbers[0]);
    pop3_write_requests(pop3);
    pop3_arm(pop3, now_ms);
    return event;
}

void pop3_quit_failed(struct pop3 *pop3)
{
    struct pop3_event *event = emit(pop3, POP3_EVENT_DONE, 0);

    event->verb = POP3_QUIT;
    event->number = 0;
    event->error = pop3->reply.error;
    event->code = pop3->reply.code;
}

/* --- Numbers and ids --- */

bool pop3_number(const char **at, uint64_t max, uint64_t *value)
{
    const char *digit = *at;
    uint64_t sum = 0;

    for (; *digit >= '0' && *digit <= '9'; digit++) {
        unsigned one = (unsigned)(*digit - '0');

        if (sum > UINT64_MAX / 10 || sum * 10 > max - one) {
            return false;
        }
        sum = sum * 10 + one;
    }
    if (digit == *at || (*digit != ' ' && *digit != '\0')) {
        return false;
    }
    while (*digit == ' ') {
        digit++;
    }
    *at = digit;
    *value = sum;
    return true;
}

/* A unique id is 1 to 70 characters from '!' to '~', and nothing is behind it (RFC 1939 section 7);
 * spaces at the end are forgiven, and cut off. */
static bool uid_ok(char *uid)
{
    size_t size = strlen(uid);

    while (size > 0 && uid[size - 1] == ' ') {
        uid[--size] = '\0';
    }
    for (size_t i = 0; i < size; i++) {
        if (uid[i] < '!' || uid[i] > '~') {
            return false;
        }
    }
    return size > 0 && size < POP3_UID_BYTES;
}

/* --- Answers --- */

/* Whether what stands behind "+OK" is what the request was for: puts it in the event. */
static bool take_numbers(struct pop3_event *event, char *line)
{
    const char *at = line + 3;
    uint64_t number = 0;

    while (*at == ' ') {
        at++;
    }
    if (!pop3_number(&at, UINT32_MAX, &number)) {
        return false;
    }
    if (event->verb == POP3_STAT) {
        event->count = (uint32_t)number;
    } else if (number != event->number) {
        return false;
    }
    if (event->verb == POP3_UIDL) {
        event->uid = uid_ok(line + (at - line)) ? at : "";
        return event->uid[0] != '\0';
    }
    return pop3_number(&at, UINT64_MAX, &event->octets);
}

/* Begins what follows a +OK in more lines. */
static void begin_lines(struct pop3 *pop3, enum pop3_mode mode)
{
    pop3->mode = (uint8_t)mode;
    pop3->lines = LINES_UNKNOWN;
    pop3->line_start = true;
    pop3->after_cr = false;
    pop3->lines_idle = 0;
}

/* What was marked as deleted is deleted only if the server says so (RFC 1939 section 6). */
static void answer_quit(struct pop3 *pop3, enum pop3_status status, uint64_t now_ms)
{
    if (status == STATUS_ERR) {
        pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_REPLY, ""); /* Which makes the event. */
        return;
    }
    (void)emit_done(pop3, 0, now_ms);
    pop3_enter(pop3, STATE_CLOSED, now_ms);
}

void pop3_answer(struct pop3 *pop3, enum pop3_status status, char *line, uint64_t now_ms)
{
    enum pop3_verb verb = (enum pop3_verb)pop3->verbs[0];
    struct pop3_event *event;

    if (verb == POP3_QUIT) {
        answer_quit(pop3, status, now_ms);
        return;
    }
    if (status == STATUS_ERR) {
        (void)emit_done(pop3, pop3_may_pass(pop3) ? E_TRANSIENT : E_MISSING, now_ms);
        return;
    }
    switch (verb) {
#ifdef POP3_LISTS
    case POP3_LIST_ALL:
#endif
    case POP3_UIDL_ALL:
        begin_lines(pop3, MODE_LIST);
        break;
    case POP3_TOP:
    case POP3_RETR:
        begin_lines(pop3, MODE_MESSAGE);
        break;
    case POP3_STAT:
    case POP3_LIST:
    case POP3_UIDL:
        event = emit_done(pop3, 0, now_ms);
        if (!take_numbers(event, line)) {
            event->error = E_INVALID;
            event->count = 0;
            event->octets = 0;
        }
        break;
    default:
        (void)emit_done(pop3, 0, now_ms);
        break;
    }
}

void pop3_answer_item(struct pop3 *pop3, char *line, uint64_t now_ms)
{
    const char *at = line;
    uint64_t number = 0;
    struct pop3_event *event;

    if (!pop3_number(&at, UINT32_MAX, &number) || number == 0) {
        if (++pop3->lines_idle > POP3_LINES_IDLE_MAX) {
            pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_PROTOCOL, "this is not a listing");
        }
        return;
    }
    event = emit(pop3, POP3_EVENT_ITEM, now_ms);
    event->number = (uint32_t)number;
#ifdef POP3_LISTS
    if (event->verb == POP3_LIST_ALL) {
        event->error = pop3_number(&at, UINT64_MAX, &event->octets) ? 0 : E_INVALID;
        return;
    }
#endif
    event->uid = uid_ok(line + (at - line)) ? at : "";
}

void pop3_answer_bytes(struct pop3 *pop3, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
    struct pop3_event *event = emit(pop3, POP3_EVENT_DATA, now_ms);

    event->data = bytes;
    event->size = size;
}

void pop3_answer_end(struct pop3 *pop3, uint64_t now_ms)
{
    (void)emit_done(pop3, 0, now_ms);
}
