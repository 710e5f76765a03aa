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
    SUBJECT_TEXT_CHARS = 80, /* Of the alert's text, in the subject. */
    SUBJECT_TEXT_BYTES = 240,
    SUBJECT_BYTES = 480,
    NAME_BYTES = 96,
    LATE_S = 60 /* A mail that is younger than this is not called late. */
};

/* Where a section goes: a window on it. What lies before the window is skipped, what lies behind it
 * is only noticed. */
struct out {
    uint8_t *bytes; /* NULL: only measured. */
    size_t size;
    size_t length; /* Written so far. */
    size_t skip;
    bool full; /* Something did not fit behind. */
    enum rfc5322_encoding encoding;
    size_t column; /* Octets of a header line, characters of a body line. */
    size_t spaces; /* Of a body line, held back: at its end they are dropped. */
    /* What the choice of an encoding needs to know of the body. */
    size_t column_max;
    bool eight_bit;
    bool from_line; /* A line begins as mbox separators do: "From ". */
};

static void put(struct out *out, char byte)
{
    if (out->skip > 0) {
        out->skip--;
    } else if (out->length < out->size) {
        if (out->bytes != NULL) {
            out->bytes[out->length] = (uint8_t)byte;
        }
        out->length++;
    } else {
        out->full = true;
    }
}

static void put_bytes(struct out *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        put(out, bytes[i]);
    }
    out->column += size;
}

static void put_string(struct out *out, const char *string)
{
    put_bytes(out, string, strlen(string));
}

static void end_line(struct out *out)
{
    put(out, '\r');
    put(out, '\n');
    out->column = 0;
    out->spaces = 0;
}

/* Headers. What goes through put_string() here is our own or was cleaned before. */

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
static void put_encoded(struct out *out, const char *text, size_t size)
{
    fold(out, WORD_MIN);
    while (size > 0) {
        size_t room = (LINE_ENCODED - WORD_OVERHEAD - out->column) / 4 * 3;
        size_t taken = size < room ? size : room;
        char buf[LINE_ENCODED];
        struct text word = text_begin(buf, sizeof buf);
        struct base64 base64 = base64_begin(&word);

        while (taken < size && ((uint8_t)text[taken] & 0xC0) == 0x80) {
            taken--;
        }
        base64_add(&base64, text, taken);
        base64_end(&base64);
        put_string(out, "=?UTF-8?B?");
        put_string(out, buf);
        put_string(out, "?=");
        text += taken;
        size -= taken;
        if (size > 0) {
            end_line(out);
            put_string(out, " ");
        }
    }
}

/* A word that cannot stand as it is: not ASCII, too long for a line, or what a reader would take
 * for an encoded-word. */
static bool must_encode(const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((uint8_t)word[i] >= 0x80 || (word[i] == '=' && i + 1 < size && word[i + 1] == '?')) {
            return true;
        }
    }
    return size > PLAIN_WORD_MAX;
}

/* Cleans outside text for a header: printable, single spaces, none at the ends. */
static void add_clean(struct text *text, const char *string, size_t size)
{
    size_t begin = text->length;
    size_t kept = begin;

    text_add_printable(text, string, size);
    for (size_t i = begin; i < text->length; i++) {
        if (text->bytes[i] != ' ' || (kept > 0 && text->bytes[kept - 1] != ' ')) {
            text->bytes[kept++] = text->bytes[i];
        }
    }
    text->length = kept;
    text->bytes[kept] = '\0';
}

static void trim_end(struct text *text)
{
    while (text->length > 0 && text->bytes[text->length - 1] == ' ') {
        text->bytes[--text->length] = '\0';
    }
}

/* Unstructured text (RFC 5322 2.2.1) that add_clean() made: words as they are up to the first that
 * must be encoded; from there on encoded, since the space between two encoded-words does not count.
 */
static void put_unstructured(struct out *out, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " ");

        if (must_encode(text, size)) {
            put_encoded(out, text, strlen(text));
            return;
        }
        fold(out, size);
        put_bytes(out, text, size);
        text += size;
        if (*text == ' ') {
            text++;
        }
    }
}

/* An addr-spec or msg-id without its quoted forms: an octet that has no place in one becomes "_".
 */
static void put_address(struct out *out, const char *address)
{
    for (size_t i = 0; address[i] != '\0' && i < ADDRESS_MAX; i++) {
        bool ok = address[i] > ' ' && address[i] < 0x7F && strchr("<>()\"\\,;", address[i]) == NULL;

        put_bytes(out, ok ? &address[i] : "_", 1);
    }
}

static void add_zone(struct text *text, int32_t zone_minutes)
{
    uint32_t minutes = (uint32_t)(zone_minutes < 0 ? -zone_minutes : zone_minutes);

    text_add(text, zone_minutes < 0 ? " -" : " +");
    text_add_pad(text, minutes / 60, 2);
    text_add_pad(text, minutes % 60, 2);
}

/* RFC 5322 3.3. Without a clock there is none: a submission server adds it (RFC 6409 8.1). */
static void put_date(struct out *out, uint64_t unix_s, int32_t zone_minutes)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct text_date date = text_date(unix_s, zone_minutes);
    char buf[40];
    struct text text = text_begin(buf, sizeof buf);

    if (unix_s == 0) {
        return;
    }
    text_add_bytes(&text, &days[3 * date.weekday], 3);
    text_add(&text, ", ");
    text_add_u32(&text, date.day);
    text_add_char(&text, ' ');
    text_add_bytes(&text, &months[3 * (date.month - 1)], 3);
    text_add_char(&text, ' ');
    text_add_pad(&text, date.year, 4);
    text_add_char(&text, ' ');
    text_add_pad(&text, date.hour, 2);
    text_add_char(&text, ':');
    text_add_pad(&text, date.minute, 2);
    text_add_char(&text, ':');
    text_add_pad(&text, date.second, 2);
    add_zone(&text, zone_minutes);
    put_string(out, "Date: ");
    put_string(out, buf);
    end_line(out);
}

/* A display name is a quoted-string, or encoded-words (RFC 2047 5 rule 3). */
static void put_from(struct out *out, const struct rfc5322_fields *fields)
{
    char buf[NAME_BYTES];
    struct text name = text_begin(buf, sizeof buf);

    add_clean(&name, fields->from_name, strlen(fields->from_name));
    trim_end(&name);
    put_string(out, "From:");
    if (must_encode(buf, name.length)) {
        put_encoded(out, buf, name.length);
    } else if (name.length > 0) {
        put_string(out, " \"");
        for (size_t i = 0; i < name.length; i++) {
            if (buf[i] == '"' || buf[i] == '\\') {
                put_string(out, "\\");
            }
            put_bytes(out, &buf[i], 1);
        }
        put_string(out, "\"");
    }
    fold(out, strlen(fields->from) + 2);
    put_string(out, name.length > 0 ? "<" : "");
    put_address(out, fields->from);
    put_string(out, name.length > 0 ? ">" : "");
    end_line(out);
}

static void section_origin(struct out *out, const struct rfc5322_fields *fields)
{
    size_t written = 0;

    put_date(out, fields->unix_s, fields->zone_minutes);
    put_from(out, fields);
    put_string(out, "To:");
    for (size_t i = 0; i < fields->to_count; i++) {
        if (fields->to[i][0] != '\0') {
            put_string(out, written++ > 0 ? "," : "");
            fold(out, strlen(fields->to[i]) + 1);
            put_address(out, fields->to[i]);
        }
    }
    put_string(out, written == 0 ? " undisclosed-recipients:;" : "");
    end_line(out);
}

/* "sshd@web1": who says it, for the subject; the process id only stands in the body. */
static void add_speaker(struct text *text, const struct alert *alert)
{
    const char *host = alert->host[0] != '\0' ? alert->host : alert->sender;

    add_clean(text, alert->app, strcspn(alert->app, "["));
    if (host[0] != '\0') {
        if (alert->app[0] != '\0') {
            text_add_char(text, '@');
        }
        add_clean(text, host, strlen(host));
    }
    if (alert->app[0] != '\0' || host[0] != '\0') {
        text_add(text, ": ");
    }
}

/* The beginning of a text, in whole characters. */
static size_t beginning(const char *text, size_t chars_max, size_t bytes_max)
{
    size_t size = strlen(text);
    size_t at = 0;

    for (size_t chars = 0; at < size && chars < chars_max; chars++) {
        const char *shown;
        size_t shown_size;
        size_t taken = text_char(text + at, size - at, &shown, &shown_size);

        if (at + taken > bytes_max) {
            break;
        }
        at += taken;
    }
    return at;
}

/* Subject: [router1] CRITICAL: sshd@web1: disk is full */
static void section_subject(struct out *out, const struct rfc5322_fields *fields)
{
    char buf[SUBJECT_BYTES];
    struct text text = text_begin(buf, sizeof buf);
    const struct alert *alert = fields->alert;
    size_t shown = beginning(alert->text, SUBJECT_TEXT_CHARS, SUBJECT_TEXT_BYTES);

    text_add_char(&text, '[');
    add_clean(&text, fields->device, beginning(fields->device, NAME_BYTES, NAME_BYTES));
    text_add(&text, "] ");
    for (const char *name = severity_name(alert->severity); *name != '\0'; name++) {
        text_add_char(&text, (char)(*name - ('a' - 'A')));
    }
    text_add(&text, ": ");
    add_speaker(&text, alert);
    add_clean(&text, alert->text, shown);
    trim_end(&text);
    if (alert->text[shown] != '\0') {
        text_add(&text, "...");
    }
    put_string(out, "Subject:");
    put_unstructured(out, buf);
    end_line(out);
}

/* Importance is RFC 2156's, and with Priority understood by most; X-Priority by the rest. */
static const char *const priorities[SEVERITY_COUNT] = {
    [SEVERITY_EMERGENCY] = "Importance: high\r\nPriority: urgent\r\nX-Priority: 1 (Highest)\r\n",
    [SEVERITY_ALERT] = "Importance: high\r\nPriority: urgent\r\nX-Priority: 1 (Highest)\r\n",
    [SEVERITY_CRITICAL] = "Importance: high\r\nPriority: urgent\r\nX-Priority: 1 (Highest)\r\n",
    [SEVERITY_ERROR] = "Importance: high\r\nPriority: urgent\r\nX-Priority: 2 (High)\r\n",
    [SEVERITY_WARNING] = "Importance: normal\r\nPriority: normal\r\nX-Priority: 3 (Normal)\r\n",
    [SEVERITY_NOTICE] = "Importance: normal\r\nPriority: normal\r\nX-Priority: 3 (Normal)\r\n",
    [SEVERITY_INFO] = "Importance: low\r\nPriority: non-urgent\r\nX-Priority: 5 (Lowest)\r\n",
    [SEVERITY_DEBUG] = "Importance: low\r\nPriority: non-urgent\r\nX-Priority: 5 (Lowest)\r\n",
};

/* Auto-Submitted keeps vacation programs quiet (RFC 3834 5), X-Auto-Response-Suppress does so with
 * Exchange. The two X-Tocsin headers are for the filters of the person who reads. */
static void section_nature(struct out *out, const struct rfc5322_fields *fields)
{
    static const char *const encodings[] = {
        [RFC5322_7BIT] = "7bit",
        [RFC5322_8BIT] = "8bit",
        [RFC5322_QUOTED_PRINTABLE] = "quoted-printable",
    };
    const struct alert *alert = fields->alert;
    char buf[NAME_BYTES];
    struct text device = text_begin(buf, sizeof buf);

    if (fields->message_id[0] != '\0') {
        put_string(out, "Message-ID: <");
        put_address(out, fields->message_id);
        put_string(out, ">\r\n");
    }
    put_string(out, "MIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: ");
    put_string(out, encodings[out->encoding]);
    put_string(out, "\r\nAuto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n");
    put_string(out,
               priorities[alert->severity < SEVERITY_COUNT ? alert->severity : SEVERITY_ERROR]);
    put_string(out, "X-Tocsin-Severity: ");
    put_string(out, severity_name(alert->severity));
    end_line(out);
    add_clean(&device, fields->device, strlen(fields->device));
    trim_end(&device);
    put_string(out, "X-Tocsin-Device:");
    put_unstructured(out, buf);
    end_line(out);
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
        put_string(out, "=");
        put(out, '\r');
        put(out, '\n');
        out->column = 0;
    }
    /* Nothing on the way may take a line for a separator, or its dot for the end. */
    if (out->column == 0 && (*shown == '.' || is_from_line(shown))) {
        plain = false;
    }
    if (plain) {
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
    if (out->encoding == RFC5322_QUOTED_PRINTABLE) {
        body_quoted(out, shown, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        put(out, shown[i]);
    }
    out->column++;
    if (out->column > out->column_max) {
        out->column_max = out->column;
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

static void section_text(struct out *out, const struct rfc5322_fields *fields)
{
    const char *text = fields->alert->text;

    out->from_line = is_from_line(text);
    body(out, text[0] != '\0' ? text : "(no text)");
    end_line(out);
    end_line(out);
}

static void fact(struct out *out, const char *name, const char *value)
{
    if (value[0] != '\0') {
        body(out, name);
        body(out, ": ");
        body(out, value);
        end_line(out);
    }
}

/* The two largest units: "3 d 4 h", "5 min 6 s", "7 s". */
static void add_duration(struct text *text, uint64_t seconds)
{
    static const struct {
        const char *name;
        uint32_t seconds;
    } units[] = {{" d", 86400}, {" h", 3600}, {" min", 60}, {" s", 1}};
    size_t i = 0;

    while (i < 3 && seconds < units[i].seconds) {
        i++;
    }
    text_add_u64(text, seconds / units[i].seconds);
    text_add(text, units[i].name);
    if (i < 3) {
        text_add_char(text, ' ');
        text_add_u64(text, seconds % units[i].seconds / units[i + 1].seconds);
        text_add(text, units[i + 1].name);
    }
}

static void fact_time(struct out *out, const struct rfc5322_fields *fields)
{
    const struct alert *alert = fields->alert;
    char buf[80];
    struct text text = text_begin(buf, sizeof buf);

    if (alert->unix_s != 0) {
        text_add_time(&text, alert->unix_s, fields->zone_minutes);
        add_zone(&text, fields->zone_minutes);
    } else {
        text_add(&text, "clock was not set; ");
        add_duration(&text, alert->uptime_ms / 1000);
        text_add(&text, " after the device started");
    }
    fact(out, "Time", buf);
}

static void fact_late(struct out *out, const struct rfc5322_fields *fields)
{
    const struct alert *alert = fields->alert;
    char buf[80];
    struct text text = text_begin(buf, sizeof buf);
    bool late = alert->unix_s != 0 && fields->unix_s > alert->unix_s + LATE_S;

    if (late) {
        text_add(&text, "sent ");
        add_duration(&text, fields->unix_s - alert->unix_s);
        text_add(&text, " after the event");
    }
    if (fields->attempt > 1) {
        text_add(&text, late ? ", attempt " : "attempt ");
        text_add_u32(&text, fields->attempt);
    }
    fact(out, "Late", buf);
}

/* Two words of which the second may be missing: "router1 (10.0.2.15)". */
static void fact_pair(struct out *out, const char *name, const char *const parts[3],
                      const char *value)
{
    if (parts[1][0] == '\0') {
        fact(out, name, value);
        return;
    }
    body(out, name);
    body(out, ": ");
    body(out, value);
    for (size_t i = 0; i < 3; i++) {
        body(out, parts[i]);
    }
    end_line(out);
}

static void section_facts(struct out *out, const struct rfc5322_fields *fields)
{
    const struct alert *alert = fields->alert;
    char buf[40];
    struct text text;

    fact_pair(out, "Device", (const char *const[]){" (", fields->address, ")"}, fields->device);
    fact_time(out, fields);
    fact(out, "Severity", severity_name(alert->severity));
    fact(out, "Facility", facility_name(alert->facility));
    fact_pair(out, "Source", (const char *const[]){" from ", alert->sender, ""}, alert->source);
    fact(out, "Host", alert->host);
    fact(out, "App", alert->app);
    fact_late(out, fields);
    text = text_begin(buf, sizeof buf);
    add_duration(&text, alert->uptime_ms / 1000);
    fact(out, "Uptime", buf);
    fact_pair(out, "Firmware", (const char *const[]){" on ", fields->board, ""}, fields->version);
    text = text_begin(buf, sizeof buf);
    text_add_u32(&text, alert->boot_count);
    text_add_char(&text, '.');
    text_add_u32(&text, alert->sequence);
    fact(out, "Alert", buf);
}

/* Each ends with a line end. */
static void (*const sections[])(struct out *out, const struct rfc5322_fields *fields) = {
    section_origin, section_subject, section_nature, section_text, section_facts,
};

enum { SECTION_COUNT = sizeof sections / sizeof sections[0] };

/* Seven bits if they do; the rest as it is where the server takes that and no line is longer than
 * it should be (RFC 6532 3.4 counts characters); quoted-printable otherwise, which breaks lines
 * without changing the text. */
static enum rfc5322_encoding choose_encoding(const struct rfc5322_fields *fields)
{
    struct out out = {.size = SIZE_MAX, .encoding = RFC5322_8BIT};

    section_text(&out, fields);
    section_facts(&out, fields);
    if (out.column_max > LINE_CHARS || out.from_line || (out.eight_bit && !fields->eight_bit)) {
        return RFC5322_QUOTED_PRINTABLE;
    }
    return out.eight_bit ? RFC5322_8BIT : RFC5322_7BIT;
}

void rfc5322_init(struct rfc5322 *mail, const struct rfc5322_fields *fields)
{
    *mail = (struct rfc5322){.fields = *fields};
    if (fields->zone_minutes < -720 || fields->zone_minutes > 840) {
        mail->fields.zone_minutes = 0;
    }
    mail->encoding = (uint8_t)choose_encoding(&mail->fields);
}

size_t rfc5322_read(struct rfc5322 *mail, uint8_t *out, size_t size)
{
    struct out window = {.bytes = out, .size = size, .encoding = mail->encoding};

    while (mail->section < SECTION_COUNT) {
        size_t before = window.length;

        window.skip = mail->offset;
        window.column = 0;
        sections[mail->section](&window, &mail->fields);
        if (window.full) {
            mail->offset += (uint32_t)(window.length - before);
            break;
        }
        mail->section++;
        mail->offset = 0;
    }
    return window.length;
}

uint32_t rfc5322_size(struct rfc5322 *mail, bool *has_eight_bit)
{
    uint32_t size;

    mail->section = 0;
    mail->offset = 0;
    size = (uint32_t)rfc5322_read(mail, NULL, SIZE_MAX);
    mail->section = 0;
    *has_eight_bit = mail->encoding == RFC5322_8BIT;
    return size;
}
