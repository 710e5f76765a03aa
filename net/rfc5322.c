#include "net/rfc5322.h"

#include "net/base64.h"
#include "net/text.h"

#include <string.h>

enum {
    LINE_CHARS = 78,   /* What a line should not exceed (RFC 5322 2.1.1). */
    LINE_ENCODED = 76, /* A header line with encoded-words (RFC 2047 2), a quoted-printable line. */
    WORD_OVERHEAD = 12,   /* "=?UTF-8?B?" and "?=". */
    WORD_MIN = 24,        /* Room below which an encoded-word begins on a new line. */
    PLAIN_WORD_MAX = 66,  /* Longer ones are encoded, so that a line with "Subject:" stays short. */
    HEADER_NAME_MAX = 16, /* "X-Tocsin-Device:" */
    ADDRESS_MAX = 320,    /* Keeps a header line under RFC5322_LINE_BYTES whatever comes. */
    SUBJECT_TEXT_BYTES = 120, /* Of the alert's text, in the subject. */
    SUBJECT_BYTES = 400,      /* Device and text as here, application and host as in an alert. */
    PART_BYTES = 160,         /* The longest that put_format() is used for. */
    NAME_BYTES = 96,
    FACT_BYTES = 64,
    LATE_S = 60 /* A mail that is younger than this is not called late. */
};

/* struct rfc5322's part: after the last line. Lines of an attachment count from PART_ATTACHED. */
#define PART_TAIL UINT32_MAX
#define PART_END (UINT32_MAX - 1)
#define PART_CLOSE (UINT32_MAX - 2)
#define PART_ATTACHED 0x80000000u

/* In quoted-printable text no "=" is followed by "_" (RFC 2045 6.7), so that this is no line of
 * either part, whatever they say. */
#define BOUNDARY "=_tocsin"

/* Where the message goes: a window on it. What lies before the window is skipped, what lies behind
 * it is dropped. */
struct out {
    uint8_t *bytes; /* NULL: only measured. */
    size_t size;
    size_t length; /* Written so far. */
    size_t skip;   /* Still to be left out before that. */
    size_t made;   /* Of the part in hand, whether it was written or not. */
    enum rfc5322_encoding encoding;
    size_t column; /* Octets of a header line, characters of a body line. */
    size_t spaces; /* Of a body line, held back: at its end they are dropped. */
    /* What the choice of an encoding needs to know of the body. */
    size_t column_max;
    bool eight_bit;
    bool unsafe; /* Something on the way would take a line for a separator. */
};

static void put_bytes(struct out *out, const char *bytes, size_t size)
{
    for (; size > 0; size--, bytes++) {
        out->column = *bytes == '\n' ? 0 : out->column + 1;
        out->made++;
        if (out->skip > 0) {
            out->skip--;
        } else if (out->length < out->size) {
            if (out->bytes != NULL) {
                out->bytes[out->length] = (uint8_t)*bytes;
            }
            out->length++;
        }
    }
}

static void put_string(struct out *out, const char *string)
{
    put_bytes(out, string, strlen(string));
}

static void end_line(struct out *out)
{
    put_string(out, "\r\n");
    out->spaces = 0;
}

/* Headers. What goes through put_string() here is our own or was cleaned before. */

static void put_format(struct out *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put_format(struct out *out, const char *format, ...)
{
    char buf[PART_BYTES];
    struct text text = text_begin(buf, sizeof buf);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    put_bytes(out, buf, text.length);
}

/* A space, on a new line if width more octets would not fit on this one (RFC 5322 2.2.3); but the
 * first line of a header is never left empty, which some filters take for a sign of spam. */
static void fold(struct out *out, size_t width)
{
    if (out->column > HEADER_NAME_MAX && out->column + 1 + width > LINE_ENCODED) {
        end_line(out);
    }
    put_string(out, " ");
}

/* Encoded-words (RFC 2047, "B": a character costs at most 6 octets, in "Q" up to 12), each of whole
 * characters and on a line of its own after the first. The text is clean UTF-8. */
static void put_encoded(struct out *out, const char *text)
{
    size_t size = strlen(text);

    for (size_t width = WORD_MIN; size > 0; width = LINE_ENCODED) {
        char buf[LINE_ENCODED];
        struct text word = text_begin(buf, sizeof buf);
        struct base64 base64 = base64_begin(&word);
        size_t taken;

        fold(out, width);
        taken = (LINE_ENCODED - WORD_OVERHEAD - out->column) / 4 * 3;
        if (taken >= size) {
            taken = size;
        }
        while (((uint8_t)text[taken] & 0xC0) == 0x80) {
            taken--;
        }
        base64_add(&base64, text, taken);
        base64_end(&base64);
        put_format(out, "=?UTF-8?B?%s?=", buf);
        text += taken;
        size -= taken;
    }
}

/* A word that cannot stand as it is: not ASCII, too long for a line, or what a reader would take
 * for an encoded-word. */
static bool must_encode(const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((uint8_t)word[i] >= 0x80 || (word[i] == '=' && word[i + 1] == '?')) {
            return true;
        }
    }
    return size > PLAIN_WORD_MAX;
}

/* Adds outside text for a header, its beginning of at most that many bytes in whole characters:
 * printable, and no space at its end. */
static void add_clean(struct text *text, const char *string, size_t bytes_max)
{
    struct text part = text_begin(text->bytes + text->length, bytes_max + 1);

    text_add_printable(&part, string, strlen(string));
    while (part.length > 0 && part.bytes[part.length - 1] == ' ') {
        part.bytes[--part.length] = '\0';
    }
    text->length += part.length;
    text->cut = part.cut;
}

/* Unstructured text (RFC 5322 2.2.1) that add_clean() made: words as they are up to the first that
 * must be encoded; from there on encoded, since the space between two encoded-words does not count.
 */
static void put_unstructured(struct out *out, const char *text)
{
    for (; *text != '\0'; text += *text == ' ') {
        size_t size = strcspn(text, " ");

        if (must_encode(text, size)) {
            put_encoded(out, text);
            break;
        }
        if (size > 0) {
            fold(out, size);
            put_bytes(out, text, size);
            text += size;
        }
    }
    end_line(out);
}

/* What is no printable ASCII, or one of those characters, becomes "_". */
static void put_token(struct out *out, const char *token, const char *barred)
{
    for (size_t i = 0; token[i] != '\0' && i < ADDRESS_MAX; i++) {
        bool ok = token[i] > ' ' && token[i] < 0x7F && strchr(barred, token[i]) == NULL;

        put_bytes(out, ok ? &token[i] : "_", 1);
    }
}

/* An addr-spec or msg-id of ours, without its quoted forms. */
static void put_address(struct out *out, const char *address)
{
    put_token(out, address, "<>()\"\\,;");
}

static void add_zone(struct text *text, int32_t zone_minutes)
{
    unsigned minutes = (unsigned)(zone_minutes < 0 ? -zone_minutes : zone_minutes);

    text_format(text, " %c%02u%02u", zone_minutes < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

/* RFC 5322 3.3. Without a clock there is none: a submission server adds it (RFC 6409 8.1). */
static void put_date(struct out *out, uint64_t unix_s, int32_t zone_minutes)
{
    struct text_date date = text_date(unix_s, zone_minutes);
    char zone[8];
    struct text text = text_begin(zone, sizeof zone);

    if (unix_s == 0) {
        return;
    }
    add_zone(&text, zone_minutes);
    put_format(
        out, "Date: %s, %u %s %04u %02u:%02u:%02u%s\r\n",
        text_item("Sun\0Mon\0Tue\0Wed\0Thu\0Fri\0Sat", date.weekday), date.day,
        text_item("Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec", date.month - 1u),
        date.year, date.hour, date.minute, date.second, zone);
}

/* A display name is a quoted-string without quotes in it, or encoded-words (RFC 2047 5 rule 3). */
static void put_from(struct out *out, const struct rfc5322_fields *fields)
{
    char buf[NAME_BYTES];
    struct text name = text_begin(buf, sizeof buf);

    add_clean(&name, fields->from_name, sizeof buf - 1);
    put_string(out, "From:");
    if (must_encode(buf, name.length) || buf[strcspn(buf, "\"\\")] != '\0') {
        put_encoded(out, buf);
    } else if (name.length > 0) {
        put_format(out, " \"%s\"", buf);
    }
    fold(out, strlen(fields->from) + 2);
    put_string(out, "<");
    put_address(out, fields->from);
    put_string(out, ">\r\n");
}

static void put_to(struct out *out, const struct rfc5322_fields *fields)
{
    const char *before = "";

    put_string(out, "To:");
    for (size_t i = 0; i < fields->to_count; i++) {
        if (fields->to[i][0] != '\0') {
            put_string(out, before);
            fold(out, strlen(fields->to[i]) + 1);
            put_address(out, fields->to[i]);
            before = ",";
        }
    }
    put_string(out, *before == '\0' ? " undisclosed-recipients:;" : "");
    end_line(out);
}

/* Subject: [router1] CRITICAL: sshd@web1: disk is full (57 times)
 *          [router1] ERROR, damaged in flash: ...
 *          [router1] DIGEST: 57 alerts, worst: error
 * Who says it is there without the process id, which only stands in the body. */
static void add_subject(struct text *text, const struct rfc5322_fields *fields)
{
    const struct alert *alert = fields->alert;
    const char *host = alert->host[0] != '\0' ? alert->host : alert->sender;
    const char *kind = fields->line != NULL ? "digest" : severity_name(alert->severity);
    bool alone = fields->line == NULL; /* A digest is the device's own: who is clear. */

    text_add_char(text, '[');
    add_clean(text, fields->device, NAME_BYTES);
    text_add(text, "] ");
    for (; *kind != '\0'; kind++) {
        text_add_char(text, (char)(*kind - ('a' - 'A')));
    }
    text_add(text, alert->damaged ? ", damaged in flash: " : ": ");
    if (alone && alert->app[0] != '\0') {
        size_t begin = text->length;

        add_clean(text, alert->app, sizeof alert->app);
        text->length = begin + strcspn(text->bytes + begin, "[");
        text_add(text, host[0] != '\0' ? "@" : ": ");
    }
    if (alone && host[0] != '\0') {
        add_clean(text, host, sizeof alert->host);
        text_add(text, ": ");
    }
    add_clean(text, alert->text, SUBJECT_TEXT_BYTES);
    if (text->cut) {
        text_add(text, "...");
    }
    if (alone && alert->count > 1) {
        text_format(text, " (%u times)", (unsigned)alert->count);
    }
}

static void put_subject(struct out *out, const struct rfc5322_fields *fields)
{
    char buf[SUBJECT_BYTES];
    struct text text = text_begin(buf, sizeof buf);

    if (fields->subject != NULL) {
        add_clean(&text, fields->subject, sizeof buf - 1);
    }
    if (text.length == 0) {
        add_subject(&text, fields);
    }
    put_string(out, "Subject:");
    put_unstructured(out, buf);
}

/* RFC 5322 3.6.4. What stands in the other's Message-ID is repeated as it is, but cannot end it. */
static void put_thread(struct out *out, const char *in_reply_to)
{
    static const char names[] = "In-Reply-To: <\0References: <";

    if (in_reply_to == NULL || in_reply_to[0] == '\0' || strlen(in_reply_to) > ADDRESS_MAX) {
        return; /* A part of an identifier is none. */
    }
    for (size_t i = 0; i < 2; i++) {
        put_string(out, text_item(names, i));
        put_token(out, in_reply_to, "<>");
        put_string(out, ">\r\n");
    }
}

static bool has_attachment(const struct rfc5322_fields *fields)
{
    return fields->live && fields->attachment != NULL;
}

/* Auto-Submitted keeps vacation programs quiet (RFC 3834 5), X-Auto-Response-Suppress does so with
 * Exchange. Importance is RFC 2156's and understood by most, X-Priority by the rest. The two
 * X-Tocsin headers are for the filters of the person who reads. */
static void put_nature(struct out *out, const struct rfc5322_fields *fields)
{
    static const char priorities[] = "11123355";
    uint8_t severity = fields->alert->severity;
    char priority = severity < SEVERITY_COUNT ? priorities[severity] : '2';
    char buf[NAME_BYTES];
    struct text device = text_begin(buf, sizeof buf);

    if (fields->message_id[0] != '\0') {
        put_string(out, "Message-ID: <");
        put_address(out, fields->message_id);
        put_string(out, ">\r\n");
    }
    put_thread(out, fields->in_reply_to);
    put_string(out, "MIME-Version: 1.0\r\n");
    put_string(out, has_attachment(fields) ? "Content-Type: multipart/mixed; boundary=\"" BOUNDARY
                                             "\"\r\n"
                                           : "Content-Type: text/plain; charset=utf-8\r\n");
    put_format(out,
               "Auto-Submitted: auto-%s\r\n"
               "X-Auto-Response-Suppress: All\r\n"
               "Content-Transfer-Encoding: ",
               fields->auto_replied ? "replied" : "generated");
    put_format(out, "%s\r\nImportance: %s\r\nX-Priority: %c\r\nX-Tocsin-Severity: %s\r\n",
               text_item("7bit\0"
                         "8bit\0"
                         "quoted-printable",
                         has_attachment(fields) ? RFC5322_7BIT : out->encoding),
               priority < '3'    ? "high"
               : priority == '3' ? "normal"
                                 : "low",
               priority, severity_name(severity));
    add_clean(&device, fields->device, sizeof buf - 1);
    put_string(out, "X-Tocsin-Device:");
    put_unstructured(out, buf);
    end_line(out);
}

/* The body. Everything goes through body_char(), which encodes. */

static bool is_from_line(const char *text)
{
    return strncmp(text, "From ", 5) == 0;
}

static void body_quoted(struct out *out, const char *shown, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    bool plain = size == 1 && *shown != '=';

    if (out->column + (plain ? 1 : 3 * size) > LINE_ENCODED - 1) {
        put_string(out, "=\r\n");
    }
    /* Nothing on the way may take a line for a separator, or its dot for the end. */
    if (plain && (out->column > 0 || (*shown != '.' && !is_from_line(shown)))) {
        put_bytes(out, shown, 1);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        char code[3] = {'=', hex[(uint8_t)shown[i] >> 4], hex[(uint8_t)shown[i] & 15]};

        put_bytes(out, code, sizeof code);
    }
}

static void body_char(struct out *out, const char *shown, size_t size)
{
    size_t column = out->column + 1;

    if (out->encoding == RFC5322_QUOTED_PRINTABLE) {
        body_quoted(out, shown, size);
        return;
    }
    put_bytes(out, shown, size);
    out->column = column;
    if (column > out->column_max) {
        out->column_max = column;
    }
    if (size > 1) {
        out->eight_bit = true;
    }
}

/* Text of ours or from outside; spaces wait until something follows them. */
static void body(struct out *out, const char *text)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size;) {
        const char *shown;
        size_t shown_size;

        i += text_char(text + i, size - i, &shown, &shown_size);
        if (*shown == ' ') {
            out->spaces++;
            continue;
        }
        for (; out->spaces > 0; out->spaces--) {
            body_char(out, " ", 1);
        }
        body_char(out, shown, shown_size);
    }
}

static void print_duration(char out[FACT_BYTES], uint64_t duration_s)
{
    unsigned seconds = (unsigned)duration_s;

    text_print(out, FACT_BYTES, "%u d %02u:%02u:%02u", seconds / 86400, seconds / 3600 % 24,
               seconds / 60 % 60, seconds % 60);
}

static void add_moment(struct text *text, uint64_t unix_s, int32_t zone_minutes)
{
    text_add_time(text, unix_s, zone_minutes);
    add_zone(text, zone_minutes);
}

static void body_line(struct out *out, const char *text)
{
    body(out, text);
    end_line(out);
}

/* What happened, or for a digest, what follows. */
static void put_text(struct out *out, const struct rfc5322_fields *fields)
{
    const struct alert *alert = fields->alert;

    body_line(out, alert->text[0] != '\0' ? alert->text : "(no text)");
    if (alert->damaged) {
        end_line(out);
        body_line(out, "This alert was damaged in the device's flash memory.");
        body_line(out, "Its text and what is said below may be wrong or incomplete.");
    }
    if (fields->line != NULL) {
        end_line(out);
        body_line(out, "So many alerts came that not each could be a mail of its own");
        body_line(out, "(alerts_per_hour, or a limit of the mail provider). Each is a line");
        body_line(out, "below; one that came several times says how often.");
        end_line(out);
    }
}

/* What is known of it besides. */
static void put_facts(struct out *out, const struct rfc5322_fields *fields)
{
    /* What each of the values is; one that begins with a space goes on in the same line. */
    static const char names[] =
        "Device: \0 at \0Time: \0Count: \0Severity: \0Facility: \0Source: \0"
        " from \0Host: \0App: \0Late: \0Attempt: \0Uptime: \0Firmware: \0"
        " on \0Alert: ";
    const struct alert *alert = fields->alert;
    char time[FACT_BYTES];
    char count[FACT_BYTES];
    char late[FACT_BYTES];
    char attempt[FACT_BYTES];
    char uptime[FACT_BYTES];
    char number[FACT_BYTES];
    struct text text = text_begin(count, sizeof count);
    const char *const values[] = {fields->device,
                                  fields->address,
                                  time,
                                  count,
                                  severity_name(alert->severity),
                                  facility_name(alert->facility),
                                  alert->source,
                                  alert->sender,
                                  alert->host,
                                  alert->app,
                                  late,
                                  attempt,
                                  uptime,
                                  fields->version,
                                  fields->board,
                                  number};

    late[0] = '\0';
    attempt[0] = '\0';
    if (fields->line == NULL && alert->count > 1) {
        text_format(&text, "%u times", (unsigned)alert->count);
        if (alert->last_unix_s != 0) {
            text_add(&text, ", last ");
            add_moment(&text, alert->last_unix_s, fields->zone_minutes);
        }
    }
    (void)text_copy(time, sizeof time, "unknown, the clock was not set");
    if (alert->unix_s != 0) {
        text = text_begin(time, sizeof time);
        add_moment(&text, alert->unix_s, fields->zone_minutes);
        if (fields->unix_s > alert->unix_s + LATE_S) {
            print_duration(late, fields->unix_s - alert->unix_s);
        }
    }
    if (fields->attempt > 1) {
        text_print(attempt, sizeof attempt, "%u", (unsigned)fields->attempt);
    }
    print_duration(uptime, text_seconds(alert->uptime_ms));
    text_print(number, sizeof number, "%u.%u", (unsigned)alert->boot_count,
               (unsigned)alert->sequence);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const char *name = text_item(names, i);

        if (values[i][0] != '\0') {
            if (*name != ' ') {
                end_line(out);
            }
            body(out, name);
            body(out, values[i]);
        }
    }
    end_line(out);
}

/* A line of a digest. False: there is none of that number. Not inlined: its buffer is no part of
 * the stack while a live mail's line is made, which may take some itself. */
static __attribute__((noinline)) bool put_line(struct out *out, const struct rfc5322_fields *fields,
                                               uint32_t index)
{
    char buf[RFC5322_DIGEST_LINE_BYTES];
    struct text text = text_begin(buf, sizeof buf);

    if (fields->line == NULL || !fields->line(fields->line_context, index, &text)) {
        return false;
    }
    out->unsafe |= is_from_line(buf);
    body_line(out, buf);
    return true;
}

/* Not inlined: its buffers are no part of the stack while a line is being made. */
static __attribute__((noinline)) void put_header(struct out *out,
                                                 const struct rfc5322_fields *fields)
{
    put_date(out, fields->unix_s, fields->zone_minutes);
    put_from(out, fields);
    put_to(out, fields);
    put_subject(out, fields);
    put_nature(out, fields);
}

/* The head of a part of a multipart message (RFC 2046 5.1). */
static void put_part_head(struct out *out, const char *type)
{
    put_string(out, "--" BOUNDARY "\r\nContent-Type: ");
    put_string(out, type);
    put_string(out, "; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
}

/* After the last line of a live mail: who sent it, behind the line that marks a signature, whose
 * blank at its end has to stay (RFC 3676 4.3). */
static void put_signature(struct out *out, const struct rfc5322_fields *fields)
{
    put_string(out, "\r\n--=20\r\n");
    body(out, fields->device);
    if (fields->address[0] != '\0') {
        body(out, " at ");
        body(out, fields->address);
    }
    end_line(out);
    body(out, "tocsin ");
    body(out, fields->version);
    body(out, " on ");
    body_line(out, fields->board);
}

/* RFC 4180 3 and RFC 2183. The empty line before it keeps the text's last line end, which would
 * belong to the boundary. */
static void put_attachment_head(struct out *out, const struct rfc5322_fields *fields)
{
    end_line(out);
    put_part_head(out, "text/csv; header=present");
    put_string(out, "Content-Disposition: attachment; filename=\"");
    put_token(out, fields->attachment_name, "<>()\"\\,;:/@[]?=%*'");
    put_string(out, "\"\r\n\r\n");
}

/* A line that is made once, and kept until all of it has been read. */
static bool put_live_line(struct out *out, struct rfc5322 *mail, uint32_t index,
                          bool (*line)(void *context, unsigned index, struct text *out))
{
    const struct rfc5322_fields *fields = &mail->fields;

    if (mail->live_part != mail->part) {
        struct text text = text_begin(fields->live_line, RFC5322_DIGEST_LINE_BYTES);

        if (line == NULL || !line(fields->line_context, index, &text)) {
            return false;
        }
        mail->live_part = mail->part;
    }
    body_line(out, fields->live_line);
    return true;
}

static uint32_t put_live_part(struct out *out, struct rfc5322 *mail)
{
    const struct rfc5322_fields *fields = &mail->fields;
    uint32_t part = mail->part;

    if (part == 0) {
        put_header(out, fields);
        if (has_attachment(fields)) {
            put_part_head(out, "text/plain");
            end_line(out);
        }
        return 1;
    }
    if (part == PART_TAIL) {
        put_signature(out, fields);
        if (!has_attachment(fields)) {
            return PART_END;
        }
        put_attachment_head(out, fields);
        return PART_ATTACHED;
    }
    if (part == PART_CLOSE) {
        put_string(out, "--" BOUNDARY "--\r\n");
        return PART_END;
    }
    if (part >= PART_ATTACHED) {
        bool more = put_live_line(out, mail, part - PART_ATTACHED, fields->attachment);

        return more ? part + 1 : PART_CLOSE;
    }
    return put_live_line(out, mail, part - 1, fields->line) ? part + 1 : PART_TAIL;
}

/* Makes the part in hand, and tells the next one. */
static uint32_t put_part(struct out *out, struct rfc5322 *mail)
{
    const struct rfc5322_fields *fields = &mail->fields;
    uint32_t part = mail->part;

    if (fields->live) {
        return put_live_part(out, mail);
    }
    if (part == 0) {
        put_header(out, fields);
        put_text(out, fields);
        return 1;
    }
    if (part == PART_TAIL) {
        put_facts(out, fields);
        return PART_END;
    }
    return put_line(out, fields, part - 1) ? part + 1 : PART_TAIL;
}

/* Seven bits if they do; the rest as it is where the server takes that and no line is longer than
 * it should be (RFC 6532 3.4 counts characters); quoted-printable otherwise, which breaks lines
 * without changing the text. A digest's lines are looked at until that is clear. */
static uint8_t choose_encoding(const struct rfc5322_fields *fields)
{
    struct out out = {.encoding = RFC5322_8BIT, .unsafe = is_from_line(fields->alert->text)};

    put_text(&out, fields);
    put_facts(&out, fields);
    for (uint32_t index = 0;; index++) {
        if (out.column_max > LINE_CHARS || out.unsafe || (out.eight_bit && !fields->eight_bit)) {
            return RFC5322_QUOTED_PRINTABLE;
        }
        if (!put_line(&out, fields, index)) {
            return out.eight_bit ? RFC5322_8BIT : RFC5322_7BIT;
        }
    }
}

static void rewind_mail(struct rfc5322 *mail)
{
    mail->part = 0;
    mail->offset = 0;
    mail->live_part = 0;
}

void rfc5322_init(struct rfc5322 *mail, const struct rfc5322_fields *fields)
{
    mail->fields = *fields;
    rewind_mail(mail);
    if (fields->zone_minutes < -720 || fields->zone_minutes > 840) {
        mail->fields.zone_minutes = 0;
    }
    mail->encoding = fields->live ? RFC5322_QUOTED_PRINTABLE : choose_encoding(&mail->fields);
}

size_t rfc5322_read(struct rfc5322 *mail, uint8_t *out, size_t size)
{
    struct out window = {.bytes = out, .size = size, .encoding = mail->encoding};

    while (window.length < size && mail->part != PART_END) {
        size_t before = window.length;
        uint32_t next;

        window.skip = mail->offset;
        window.made = 0;
        next = put_part(&window, mail);
        mail->offset += (uint32_t)(window.length - before);
        if (mail->offset >= window.made) {
            mail->part = next;
            mail->offset = 0;
        }
    }
    return window.length;
}

uint32_t rfc5322_size(struct rfc5322 *mail, bool *has_eight_bit)
{
    uint32_t size = 0;

    rewind_mail(mail);
    if (!mail->fields.live) {
        size = (uint32_t)rfc5322_read(mail, NULL, SIZE_MAX);
        rewind_mail(mail);
    }
    *has_eight_bit = mail->encoding == RFC5322_8BIT;
    return size;
}
