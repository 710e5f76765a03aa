#include "net/text.h"

#include <string.h>

struct text text_begin(char *bytes, size_t size)
{
    struct text text = {.bytes = bytes, .size = size, .length = 0, .cut = false};

    bytes[0] = '\0';
    return text;
}

void text_add_bytes(struct text *text, const char *bytes, size_t size)
{
    size_t room = text->size - 1 - text->length;

    if (size > room) {
        size = room;
        text->cut = true;
    }
    if (size > 0) {
        memcpy(text->bytes + text->length, bytes, size);
        text->length += size;
    }
    text->bytes[text->length] = '\0';
}

void text_add(struct text *text, const char *string)
{
    text_add_bytes(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
    text_add_bytes(text, &c, 1);
}

static void add_digits(struct text *text, uint32_t value, unsigned digits)
{
    char out[20];
    size_t at = sizeof out;

    while (at > 0 && (value > 0 || sizeof out - at < digits)) {
        out[--at] = (char)('0' + value % 10);
        value /= 10;
    }
    text_add_bytes(text, out + at, sizeof out - at);
}

void text_add_u32(struct text *text, uint32_t value)
{
    add_digits(text, value, 1);
}

void text_add_pad(struct text *text, uint32_t value, unsigned digits)
{
    add_digits(text, value, digits);
}

void text_format_list(struct text *text, const char *format, va_list list)
{
    for (; *format != '\0'; format++) {
        unsigned digits = 1;

        if (*format != '%') {
            text_add_char(text, *format);
            continue;
        }
        format++;
        if (*format == '0') {
            digits = (unsigned)(format[1] - '0');
            format += 2;
        }
        if (*format == 's') {
            text_add(text, va_arg(list, const char *));
        } else if (*format == 'u') {
            text_add_pad(text, va_arg(list, unsigned), digits);
        } else if (*format == 'c') {
            text_add_char(text, (char)va_arg(list, int));
        } else {
            text_add_char(text, *format);
        }
    }
}

void text_format(struct text *text, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    text_format_list(text, format, list);
    va_end(list);
}

size_t text_print(char *out, size_t size, const char *format, ...)
{
    struct text text = text_begin(out, size);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    return text.length;
}

void text_add_hex(struct text *text, uint32_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--) {
        text_add_char(text, "0123456789abcdef"[(value >> (4 * (i - 1))) & 15]);
    }
}

void text_add_ipv4(struct text *text, uint32_t address_be)
{
    uint8_t octet[4];

    memcpy(octet, &address_be, sizeof octet);
    text_format(text, "%u.%u.%u.%u", octet[0], octet[1], octet[2], octet[3]);
}

/* The code point at bytes and the length of its sequence (RFC 3629 section 4); 0 when there is
 * none. */
static size_t utf8_decode(const uint8_t *bytes, size_t size, uint32_t *value)
{
    uint32_t first = bytes[0];
    size_t length = 1;

    *value = first;
    if (first < 0x80) {
        return 1;
    }
    while ((first << length & 0x80) != 0) {
        length++; /* As many as the first byte has leading ones. */
    }
    if (length < 2 || length > 4 || length > size) {
        return 0;
    }
    first &= 0x7Fu >> length;
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] >> 6 != 2) {
            return 0;
        }
        first = first << 6 | (bytes[i] & 0x3Fu);
    }
    *value = first;
    /* Longer than it need be, a surrogate, or above the last code point. */
    return first >> (length == 2 ? 7 : 5 * length - 4) == 0 || first >> 11 == 0xD800 >> 11 ||
                   first > 0x10FFFF
               ? 0
               : length;
}

/* C0, DEL, C1, line and paragraph separator, and the overrides of writing direction. */
static bool steers(uint32_t value)
{
    return value < 0x20 || (value >= 0x7F && value < 0xA0) ||
           (value >= 0x2028 && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069);
}

size_t text_char(const char *bytes, size_t size, const char **shown, size_t *shown_size)
{
    uint32_t value = 0;
    size_t length = utf8_decode((const uint8_t *)bytes, size, &value);

    if (length == 0) {
        *shown = "\xEF\xBF\xBD";
        *shown_size = 3;
        return 1;
    }
    *shown = steers(value) ? " " : bytes;
    *shown_size = steers(value) ? 1 : length;
    return length;
}

void text_add_printable(struct text *text, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        const char *shown;
        size_t shown_size;

        i += text_char(bytes + i, size - i, &shown, &shown_size);
        if (shown_size > text->size - 1 - text->length) {
            text->cut = true;
            return;
        }
        text_add_bytes(text, shown, shown_size);
    }
}

uint32_t text_seconds(uint64_t ms)
{
    uint64_t eighths = ms >> 3; /* 1,000 is 8 times 125. */
    uint32_t high = (uint32_t)(eighths >> 16);
    uint32_t low = (high % 125) << 16 | (uint32_t)(eighths & 0xFFFF);

    return (high / 125 << 16) + low / 125;
}

struct text_date text_date(uint64_t unix_s, int32_t zone_minutes)
{
    int64_t local = (int64_t)unix_s + (int64_t)zone_minutes * 60;
    uint64_t seconds = local > 0 ? (uint64_t)local : 0;
    uint32_t days = (uint32_t)(seconds >> 7) / 675;   /* 86,400 is 128 times 675. */
    uint32_t rest = (uint32_t)seconds - days * 86400; /* Below 86,400, so that 32 bits do. */
    /* Years that begin on 1 March put the leap day last; 719,468 days lie before 1970 in that
     * count. Four times the days, and centuries and years come out by plain division. */
    uint32_t quarters = 4 * (days + 719468) + 3;
    uint32_t century = quarters / 146097;
    uint32_t year_quarters = quarters % 146097 | 3;
    uint32_t day_of_year = year_quarters % 1461 / 4;
    uint32_t month_days = 5 * day_of_year + 2;
    uint32_t month = month_days / 153 + 3;
    uint32_t next_year = month > 12;

    return (struct text_date){
        .year = (uint16_t)(100 * century + year_quarters / 1461 + next_year),
        .month = (uint8_t)(month - 12 * next_year),
        .day = (uint8_t)(month_days % 153 / 5 + 1),
        .hour = (uint8_t)(rest / 3600),
        .minute = (uint8_t)(rest / 60 % 60),
        .second = (uint8_t)(rest % 60),
        .weekday = (uint8_t)((days + 4) % 7),
    };
}

void text_add_time(struct text *text, uint64_t unix_s, int32_t zone_minutes)
{
    struct text_date date = text_date(unix_s, zone_minutes);

    text_format(text, "%04u-%02u-%02u %02u:%02u:%02u", date.year, date.month, date.day, date.hour,
                date.minute, date.second);
}

const char *text_item(const char *list, size_t index)
{
    for (; index > 0; index--) {
        list += strlen(list) + 1;
    }
    return list;
}

bool text_copy(char *out, size_t size, const char *string)
{
    struct text text = text_begin(out, size);

    text_add(&text, string);
    return !text.cut;
}

bool text_parse_u32(const char *string, uint32_t max, uint32_t *value)
{
    uint32_t sum = 0;

    do {
        uint32_t digit = (uint32_t)*string - '0';

        if (digit > 9 || digit > max || sum > (max - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    } while (*++string != '\0');
    *value = sum;
    return true;
}

bool text_parse_ipv4(const char *string, uint32_t *address_be)
{
    uint8_t octet[4];

    for (unsigned i = 0; i < 4; i++) {
        uint32_t value = 0;
        const char *first = string;

        while (*string >= '0' && *string <= '9') {
            value = value * 10 + (uint32_t)(*string++ - '0');
        }
        if (string == first || string - first > 3 || value > 255 ||
            *string++ != (i < 3 ? '.' : '\0')) {
            return false;
        }
        octet[i] = (uint8_t)value;
    }
    memcpy(address_be, octet, sizeof octet);
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool text_starts_nocase(const char *string, const char *prefix)
{
    for (; *prefix != '\0'; string++, prefix++) {
        if (lower(*string) != lower(*prefix)) {
            return false;
        }
    }
    return true;
}

bool text_equal_nocase(const char *a, const char *b)
{
    return text_starts_nocase(a, b) && a[strlen(b)] == '\0';
}
