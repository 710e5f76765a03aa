/* Fields of any bytes: the mail stays a mail. The input is a byte of flags, eight of times, the
 * first of which has more flags, then strings, each ended by NUL. */
#include "net/rfc5322.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

enum { MAIL_BYTES = 65536, STRING_COUNT = 14, STRING_BYTES = 600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const header_names[] = {
    "From",
    "To",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Importance",
    "X-Priority",
    "X-Tocsin-Severity",
    "X-Tocsin-Device",
    "Date", /* The last four may be missing. */
    "Message-ID",
    "In-Reply-To",
    "References",
};

enum { HEADER_COUNT = sizeof header_names / sizeof header_names[0], HEADER_MAYBE = 4 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_header_line(const char *line, size_t size, unsigned seen[HEADER_COUNT])
{
    bool known = false;
    bool blank = true;

    for (size_t i = 0; i < size; i++) {
        require(line[i] >= ' ' && line[i] < 0x7F);
        blank = blank && line[i] == ' ';
    }
    require(!blank);
    if (line[0] == ' ') {
        return;
    }
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        size_t length = strlen(header_names[i]);

        if (size > length && memcmp(line, header_names[i], length) == 0 && line[length] == ':') {
            seen[i]++;
            known = true;
        }
    }
    require(known);
}

static void check_body_line(const char *line, size_t size, enum rfc5322_encoding encoding)
{
    require(size == 0 || line[size - 1] != ' ');
    require(size < 5 || memcmp(line, "From ", 5) != 0);
    for (size_t at = 0; at < size;) {
        const char *shown;
        size_t shown_size;
        size_t taken = text_char(line + at, size - at, &shown, &shown_size);

        require(taken == shown_size && memcmp(shown, line + at, taken) == 0);
        require(taken == 1 || encoding == RFC5322_8BIT);
        at += taken;
    }
    require(encoding != RFC5322_QUOTED_PRINTABLE || size <= 76 ||
            (size > 20 && memcmp(line, "Content-Disposition:", 20) == 0));
}

/* Of a mail in two parts: the boundary stands where we put it and nowhere else. */
static void check_boundaries(const char *mail, size_t size)
{
    static const char boundary[] = "\r\n--=_tocsin";
    unsigned count = 0;

    for (size_t at = 0; at + sizeof boundary - 1 <= size; at++) {
        count += memcmp(mail + at, boundary, sizeof boundary - 1) == 0;
    }
    require(count == 3);
    require(size > 4 && memcmp(mail + size - 4, "--\r\n", 4) == 0);
}

static void check_mail(const char *mail, size_t size, enum rfc5322_encoding encoding)
{
    unsigned seen[HEADER_COUNT] = {0};
    bool header = true;

    for (size_t at = 0; at < size;) {
        const char *end = memchr(mail + at, '\r', size - at);
        size_t length;

        require(end != NULL && end + 1 < mail + size && end[1] == '\n');
        length = (size_t)(end - (mail + at));
        require(length <= RFC5322_LINE_BYTES);
        if (header && length == 0) {
            header = false;
        } else if (header) {
            check_header_line(mail + at, length, seen);
        } else {
            check_body_line(mail + at, length, encoding);
        }
        at += length + 2;
    }
    require(!header);
    require(seen[HEADER_COUNT - 1] == seen[HEADER_COUNT - 2]);
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        require(seen[i] == 1 || (seen[i] == 0 && i >= HEADER_COUNT - HEADER_MAYBE));
    }
}

static void copy(char *out, size_t size, const char *string)
{
    memset(out, 0, size);
    memcpy(out, string, strnlen(string, size - 1));
}

static size_t read_all(const struct rfc5322_fields *fields, uint8_t *out, size_t piece)
{
    struct rfc5322 mail;
    size_t total = 0;
    size_t got;

    rfc5322_init(&mail, fields);
    while ((got = rfc5322_read(&mail, out + total, piece)) > 0) {
        total += got;
        require(total + piece <= MAIL_BYTES);
    }
    return total;
}

/* The lines of a digest: some of the strings, the last of them cut or empty. */
struct lines {
    char (*strings)[STRING_BYTES];
    unsigned count;
    unsigned asked;
};

static bool give_line(void *context, unsigned index, struct text *out)
{
    struct lines *lines = context;

    lines->asked++;
    require(out->length == 0 && out->size == RFC5322_DIGEST_LINE_BYTES);
    if (index >= lines->count) {
        return false;
    }
    text_add(out, lines->strings[index * 3 % STRING_COUNT]);
    return true;
}

/* What follows the first nine bytes, cut up at each NUL. */
static void take_strings(char strings[STRING_COUNT][STRING_BYTES], const uint8_t *data, size_t size)
{
    memset(strings, 0, STRING_COUNT * STRING_BYTES);
    for (size_t i = 9, string = 0, length = 0; i < size && string < STRING_COUNT; i++) {
        if (data[i] == 0 || length == STRING_BYTES - 1) {
            string++;
            length = 0;
        } else {
            strings[string][length++] = (char)data[i];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char strings[STRING_COUNT][STRING_BYTES];
    static uint8_t whole[MAIL_BYTES], pieces[MAIL_BYTES];
    const char *to[] = {strings[7], strings[8]};
    static char live_line[RFC5322_DIGEST_LINE_BYTES];
    struct lines lines = {.strings = strings};
    struct alert alert = {0};
    struct rfc5322_fields fields;
    struct rfc5322 mail;
    bool has_eight_bit;
    size_t total;

    if (size < 9) {
        return 0;
    }
    lines.count = data[0] >> 5 & 7;
    take_strings(strings, data, size);
    memcpy(&alert.unix_s, data + 1, 4);
    memcpy(&alert.uptime_ms, data + 1, 8);
    alert.severity = data[1] & 15;
    alert.facility = data[2];
    alert.count = data[3];
    alert.damaged = data[4] & 1;
    memcpy(&alert.last_unix_s, data + 5, 4);
    copy(alert.text, sizeof alert.text, strings[0]);
    copy(alert.app, sizeof alert.app, strings[1]);
    copy(alert.host, sizeof alert.host, strings[2]);
    copy(alert.source, sizeof alert.source, strings[3]);
    copy(alert.sender, sizeof alert.sender, strings[4]);
    fields = (struct rfc5322_fields){
        .alert = &alert,
        .from = strings[6],
        .from_name = strings[5],
        .to = to,
        .to_count = data[0] >> 1 & 1 ? 2 : 1,
        .device = strings[9],
        .board = strings[10],
        .version = strings[11],
        .message_id = strings[12],
        .address = strings[13],
        .eight_bit = data[0] & 1,
        .attempt = data[0] >> 2 & 3,
        .line = data[0] >> 4 & 1 ? give_line : NULL,
        .line_context = &lines,
        .live = data[1] >> 4 & 1,
        .live_line = live_line,
        .attachment = data[1] >> 5 & 1 ? give_line : NULL,
        .attachment_name = strings[3],
        .subject = data[1] >> 6 & 1 ? strings[2] : NULL,
        .in_reply_to = data[1] >> 7 & 1 ? strings[1] : NULL,
        .auto_replied = data[2] & 1,
    };
    memcpy(&fields.unix_s, data + 1, 8);
    memcpy(&fields.zone_minutes, data + 3, 4);

    total = read_all(&fields, whole, MAIL_BYTES / 2);
    require(read_all(&fields, pieces, 32 + data[0]) == total);
    require(memcmp(whole, pieces, total) == 0);
    rfc5322_init(&mail, &fields);
    lines.asked = 0;
    require(rfc5322_size(&mail, &has_eight_bit) == (fields.live ? 0 : total));
    require(!fields.live || lines.asked == 0);
    require(has_eight_bit == (mail.encoding == RFC5322_8BIT));
    check_mail((const char *)whole, total, mail.encoding);
    if (fields.live && fields.attachment != NULL) {
        check_boundaries((const char *)whole, total);
    }
    return 0;
}
