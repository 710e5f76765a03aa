/* What comes in, and what is added.
 *
 *   LINE  -- name ':' --> VALUE <--> AFTER -- no blank --> (field) --> LINE
 *     |                                                                  |
 *     |-- "From " at the beginning --> MBOX --> LINE      -- empty line --> (trailer) --> BODY
 *     `-- no field --> FIRST --> (trailer, what was held) --> BODY
 *
 * In parentheses: work, during which no input is taken. */
#include "net/message.h"

#include "net/message_private.h"
#include "net/text.h"

#include <string.h>

enum message_state {
    STATE_LINE,  /* At the beginning of a line, up to the ':' of a field. */
    STATE_VALUE, /* In a field's value. */
    STATE_AFTER, /* Behind a line end, which ends the field unless a blank follows. */
    STATE_MBOX,  /* In a separator of mbox. */
    STATE_FIRST, /* In a first line that is no field: its end tells which line ends these are. */
    STATE_BODY
};

enum message_work {
    WORK_NONE,
    WORK_FIELD,   /* What is in value. */
    WORK_TRAILER, /* What the header lacks, and the empty line. */
    WORK_HELD     /* The body's beginning, in value. */
};

enum { HEAD_MAX = 2 * MESSAGE_NAME_BYTES }; /* Of a line, up to its ':'. */

void message_init(struct message *message, const struct message_params *params)
{
    memset(message, 0, sizeof *message);
    message->params = *params;
}

static void note_eol(struct message *message, bool crlf)
{
    if (!message->eol_known) {
        message->eol_known = true;
        message->crlf = crlf;
    }
}

static void line_begin(struct message *message)
{
    message->state = STATE_LINE;
    message->length = 0;
    message->name_size = 0;
    message->blank = false;
}

static void body_begin(struct message *message, size_t held)
{
    message->held = held;
    message->work = WORK_TRAILER;
    message->step = 0;
}

/* "From name date" or what a relay made of it: ">From ". */
static bool is_mbox_line(const struct message *message)
{
    size_t at = 0;

    while (at < message->length && message->value[at] == '>') {
        at++;
    }
    return message->fields == 0 && message->length - at >= 5 &&
           memcmp(message->value + at, "From ", 5) == 0;
}

/* The line in hand is no field. */
static void no_field(struct message *message)
{
    bool ended = message->length > 0 && message->value[message->length - 1] == '\n';

    if (ended) {
        note_eol(message, message->length > 1 && message->value[message->length - 2] == '\r');
    }
    if (is_mbox_line(message)) {
        message->state = STATE_MBOX;
        if (ended) {
            line_begin(message);
        }
    } else if (!message->eol_known && !message->ended) {
        message->state = STATE_FIRST;
    } else {
        body_begin(message, message->length);
    }
}

static void field_begin(struct message *message)
{
    memcpy(message->name, message->value, message->name_size);
    message->name[message->name_size] = '\0';
    message->state = STATE_VALUE;
    message->length = 0;
    message->line_start = 0;
    message->blank = false; /* The first line may be empty. */
    message->cr = false;
    message->begun = false;
    message->prepared = false;
    message->fields++;
}

/* Only CRs before the line end, as a careless conversion leaves them: an empty line. */
static bool is_empty_line(const struct message *message)
{
    for (size_t i = 0; i + 1 < message->length; i++) {
        if (message->value[i] != '\r') {
            return false;
        }
    }
    return true;
}

static void line_byte(struct message *message, char c)
{
    message->value[message->length++] = c;
    if (c == '\n' && is_empty_line(message)) {
        note_eol(message, message->length > 1);
        body_begin(message, 0);
    } else if (c == ':' && message->name_size > 0) {
        field_begin(message);
    } else if (c > ' ' && c < 0x7F && c != ':' && !message->blank &&
               message->name_size == message->length - 1 &&
               message->name_size + 1 < MESSAGE_NAME_BYTES) {
        message->name_size++;
    } else if ((c == ' ' || c == '\t') && message->name_size > 0 && message->length < HEAD_MAX) {
        message->blank = true; /* RFC 5322 4.5 has blanks before the ':'. */
    } else if (c != '\r' || message->name_size > 0 || message->length >= HEAD_MAX) {
        no_field(message);
    }
}

/* A continuation line of blanks alone is none that anybody should see (RFC 5322 3.2.2). */
static void value_line_end(struct message *message, bool crlf)
{
    note_eol(message, crlf);
    if (message->blank && message->line_start != NO_OFFSET) {
        message->length = message->line_start;
    }
    message->state = STATE_AFTER;
}

static void value_store(struct message *message, char c)
{
    bool control = ((uint8_t)c < ' ' && c != '\t') || c == 0x7F;

    message->value[message->length++] = control ? ' ' : c;
    message->blank = message->blank && (control || c == ' ' || c == '\t');
}

/* Returns how many bytes were taken: 0 if there is work to do first. */
static size_t value_byte(struct message *message, char c)
{
    if (message->length + 3 > sizeof message->value) {
        message->complete = false;
        message->work = WORK_FIELD;
        return 0;
    }
    if (message->state == STATE_AFTER) {
        if (c != ' ' && c != '\t') {
            message->complete = true;
            message->work = WORK_FIELD;
            return 0;
        }
        message->state = STATE_VALUE;
        message->line_start = message->length;
        message->value[message->length++] = '\n';
        message->blank = true;
    }
    if (message->cr && c != '\n') {
        value_store(message, ' ');
    }
    if (c == '\n') {
        value_line_end(message, message->cr);
    } else if (c != '\r') {
        value_store(message, c);
    }
    message->cr = c == '\r';
    return 1;
}

static size_t header_byte(struct message *message, char c)
{
    switch (message->state) {
    case STATE_LINE:
        line_byte(message, c);
        return 1;
    case STATE_MBOX:
        if (c == '\n') {
            note_eol(message, message->cr);
            line_begin(message);
        }
        message->cr = c == '\r';
        return 1;
    case STATE_FIRST:
        message->value[message->length++] = c;
        if (c == '\n') {
            note_eol(message, message->value[message->length - 2] == '\r');
        }
        if (c == '\n' || message->length == sizeof message->value) {
            body_begin(message, message->length);
        }
        return 1;
    default:
        return value_byte(message, c);
    }
}

/* Room for size bytes of output is made by moving what waits, if it must be. */
static size_t out_room(struct message *message)
{
    if (message->out_at > 0) {
        message->out_length -= message->out_at;
        memmove(message->out, message->out + message->out_at, message->out_length);
        message->out_at = 0;
    }
    return sizeof message->out - message->out_length;
}

static size_t body_bytes(struct message *message, const void *bytes, size_t size)
{
    size_t room = out_room(message);

    size = size < room ? size : room;
    memcpy(message->out + message->out_length, bytes, size);
    message->out_length += size;
    return size;
}

size_t message_push(struct message *message, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && message->work == WORK_NONE && message->state != STATE_BODY) {
        taken += header_byte(message, (char)bytes[taken]);
    }
    if (taken < size && message->work == WORK_NONE) {
        taken += body_bytes(message, bytes + taken, size - taken);
    }
    return taken;
}

void message_end(struct message *message)
{
    message->ended = true;
}

/* ---- what is written ---- */

/* How many octets have to fit on the line for that one to begin on it. */
static size_t char_size(char c)
{
    uint8_t byte = (uint8_t)c;

    return byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/* Writes the line end that waits. Only a field's end is not followed by a blank: whatever a value
 * is made of, it begins no field and ends no header. */
static void flush_line(struct message *message)
{
    if (message->crlf) {
        message->out[message->out_length++] = '\r';
    }
    message->out[message->out_length++] = '\n';
    if (message->line_end == LINE_END_FOLD && message->indent_size == 0) {
        message->indent[message->indent_size++] = ' ';
    }
    memcpy(message->out + message->out_length, message->indent, message->indent_size);
    message->out_length += message->indent_size;
    message->line_end = LINE_END_NONE;
}

/* A line end waits until something follows it, so that no line becomes one of blanks alone. */
static void end_line(struct message *message, enum message_line_end line_end)
{
    message->line_end = line_end;
    message->indent_size = 0;
    message->column = 0;
    message->filled = false;
}

static void put_char(struct message *message, char c)
{
    enum { LINE_MAX = 998 }; /* RFC 5322 2.1.1. */
    bool blank = c == ' ' || c == '\t';

    if (c == '\n') {
        end_line(message, LINE_END_FOLD);
        return;
    }
    if (blank && message->line_end != LINE_END_NONE) {
        if (message->indent_size < sizeof message->indent) {
            message->indent[message->indent_size++] = c;
            message->column++;
        }
        return;
    }
    if (message->column + char_size(c) > LINE_MAX || message->column == LINE_MAX) {
        if (blank) {
            return;
        }
        end_line(message, LINE_END_FOLD);
        message->column = 1;
    }
    if (message->line_end != LINE_END_NONE) {
        flush_line(message);
    }
    message->out[message->out_length++] = (uint8_t)c;
    message->seen.eight_bit |= (c & 0x80) != 0;
    message->column++;
    message->filled = message->filled || !blank;
    message->last = blank ? message->last : c;
}

void message_put(struct message *message, const char *bytes, size_t size)
{
    for (; size > 0; size--, bytes++) {
        put_char(message, *bytes);
    }
}

void message_put_string(struct message *message, const char *string)
{
    message_put(message, string, strlen(string));
}

void message_end_field(struct message *message)
{
    end_line(message, LINE_END_FIELD);
}

void message_close_list(struct message *message)
{
    if (message->open_list != ID_NONE) {
        message->open_list = ID_NONE;
        message_end_field(message);
    }
}

void message_put_name(struct message *message, bool resent, const char *name)
{
    message_close_list(message);
    message_put_string(message, resent ? "Resent-" : "");
    message_put_string(message, name);
    message_put_string(message, ": ");
}

/* RFC 5322 3.3. Without a clock there is none: the server adds it (RFC 6409 8.1). */
void message_put_date(struct message *message, bool resent)
{
    int32_t zone = message->params.zone_minutes;
    unsigned minutes = (unsigned)(zone < 0 ? -zone : zone);
    struct text_date date = text_date(message->params.unix_s, zone);
    char buf[64];

    if (message->params.unix_s == 0) {
        return;
    }
    text_print(
        buf, sizeof buf, "%s, %u %s %04u %02u:%02u:%02u %c%02u%02u",
        text_item("Sun\0Mon\0Tue\0Wed\0Thu\0Fri\0Sat", date.weekday), date.day,
        text_item("Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec", date.month - 1u),
        date.year, date.hour, date.minute, date.second, zone < 0 ? '-' : '+', minutes / 60 % 100,
        minutes % 60);
    message_put_name(message, resent, "Date");
    message_put_string(message, buf);
    message_end_field(message);
}

void message_put_token(struct message *message, const char *token, const char *barred)
{
    for (size_t i = 0; token[i] != '\0' && i < ADDRESS_BYTES; i++) {
        bool ok = (uint8_t)token[i] >= ' ' && token[i] != 0x7F && strchr(barred, token[i]) == NULL;

        message_put(message, ok ? &token[i] : "_", 1);
    }
}

void message_put_id(struct message *message, bool resent)
{
    const char *id = message->params.message_id;

    if (id != NULL && *id != '\0') {
        message_put_name(message, resent, "Message-ID");
        message_put_string(message, "<");
        message_put_token(message, id, " <>");
        message_put_string(message, ">");
        message_end_field(message);
    }
}

/* From, Date and Message-ID (RFC 5322 3.6, RFC 6409 8). */
static void put_missing(struct message *message, bool resent, uint32_t has)
{
    const struct message_params *params = &message->params;

    if ((has & BIT(ID_FROM)) == 0) {
        message_put_mailbox(message, resent, "From", params->from_name, params->from);
    }
    if ((has & BIT(ID_DATE)) == 0) {
        message_put_date(message, resent);
    }
    if ((has & BIT(ID_MESSAGE_ID)) == 0) {
        message_put_id(message, resent);
    }
}

void message_close_block(struct message *message)
{
    put_missing(message, true, message->resent_has);
    message->block_open = false;
    message->block_done = true;
}

static void put_empty_line(struct message *message)
{
    if (message->line_end != LINE_END_NONE) {
        flush_line(message);
    }
    message_end_field(message);
    flush_line(message);
}

static void trailer_step(struct message *message)
{
    bool resent = message->block_open || message->block_done;

    switch (message->step++) {
    case 0:
        if (message->block_open) {
            message_close_block(message);
        }
        break;
    case 1:
        put_missing(message, false, message->has);
        if (message->several_authors && (message->has & BIT(ID_SENDER)) == 0) {
            message_put_mailbox(message, false, "Sender", NULL, message->params.from);
        }
        break;
    default:
        message_close_list(message);
        if ((message->has & (BIT(ID_TO) | BIT(ID_CC))) == 0 && !resent) {
            message_put_string(message, "To: undisclosed-recipients:;");
            message_end_field(message);
        }
        put_empty_line(message);
        message->at = 0;
        message->work = WORK_HELD;
        break;
    }
}

/* The input ended within the header. */
static void finish(struct message *message)
{
    if (message->state == STATE_VALUE || message->state == STATE_AFTER) {
        if (message->state == STATE_VALUE) {
            value_line_end(message, message->eol_known && message->crlf);
        }
        message->complete = true;
        message->work = WORK_FIELD;
    } else if (message->state == STATE_LINE && message->length > 0 && !is_mbox_line(message)) {
        no_field(message);
    } else {
        body_begin(message, message->state == STATE_FIRST ? message->length : 0);
    }
}

/* A bounded piece of what is to be written. false: nothing is. */
static bool work_step(struct message *message)
{
    switch (message->work) {
    case WORK_FIELD:
        if (message_field_step(message)) {
            message->work = WORK_NONE;
            if (message->complete) {
                line_begin(message);
            }
        }
        return true;
    case WORK_TRAILER:
        trailer_step(message);
        return true;
    case WORK_HELD:
        message->at +=
            body_bytes(message, message->value + message->at, message->held - message->at);
        if (message->at == message->held) {
            message->work = WORK_NONE;
            message->state = STATE_BODY;
        }
        return true;
    default:
        if (message->ended && message->state != STATE_BODY) {
            finish(message);
            return true;
        }
        return false;
    }
}

size_t message_read(struct message *message, uint8_t *out, size_t size)
{
    size_t given = 0;

    do {
        size_t step = message->out_length - message->out_at;

        step = step < size - given ? step : size - given;
        memcpy(out + given, message->out + message->out_at, step);
        given += step;
        message->out_at += step;
    } while (given < size && out_room(message) > 0 && work_step(message));
    return given;
}

const struct message_seen *message_seen(const struct message *message)
{
    return &message->seen;
}
