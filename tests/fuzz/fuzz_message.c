/* fuzz_message.c - a message through the header filter. The first byte is the size of the pieces in
 * which it comes and goes, the second one's bits are the parameters. */
#include "net/message.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IN_MAX 40000
#define OUT_BYTES (40 * IN_MAX)

static struct message message;

struct result {
    size_t size;
    size_t told;
    uint8_t out[OUT_BYTES];
};

static struct result whole, pieces;

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void found(void *context, enum message_field field, bool resent, const char *address)
{
    struct result *result = context;

    check(address_is_valid(address) && field <= MESSAGE_SENDER && (int)resent <= 1);
    result->told += strlen(address);
}

static void drain(struct result *result, size_t piece)
{
    size_t size;

    do {
        size_t room = OUT_BYTES - result->size;

        size = message_read(&message, result->out + result->size, piece < room ? piece : room);
        result->size += size;
    } while (size > 0);
    check(result->size < OUT_BYTES);
}

static void filter(struct result *result, uint8_t bits, const uint8_t *data, size_t size,
                   size_t piece)
{
    struct message_params params = {
        .from = "me@home.example",
        .from_name = (bits & 1) != 0 ? "M\xC3\xA9 \"x\"\n" : "",
        .from_name_forced = (bits & 2) != 0,
        .from_override = (bits & 4) != 0,
        .domain = (bits & 8) != 0 ? "dom.example" : NULL,
        .message_id = "17.3@h",
        .unix_s = 1795298754,
        .found = found,
        .context = result,
    };

    result->size = 0;
    result->told = 0;
    message_init(&message, &params);
    for (size_t at = 0; at < size;) {
        size_t step = size - at < piece ? size - at : piece;

        at += message_push(&message, data + at, step);
        drain(result, piece);
    }
    message_end(&message);
    drain(result, piece);
}

/* The fields that a header may have only once, or not at all. */
struct seen {
    unsigned from, date, id, to, cc, subject;
};

static void check_line(const char *line, size_t size, struct seen *seen)
{
    char name[16];
    struct text text = text_begin(name, sizeof name);

    check(size <= 998 && size > 0);
    for (size_t i = 0; i < size; i++) {
        check(line[i] == '\t' || ((uint8_t)line[i] >= ' ' && line[i] != 0x7F));
    }
    if (line[0] == ' ' || line[0] == '\t') {
        size_t blanks = 0;

        while (blanks < size && (line[blanks] == ' ' || line[blanks] == '\t')) {
            blanks++;
        }
        check(blanks < size);
        return;
    }
    text_add_bytes(&text, line, size < sizeof name - 1 ? size : sizeof name - 1);
    check(memchr(line, ':', size) != NULL);
    check(!text_starts_nocase(name, "bcc:") && !text_starts_nocase(name, "resent-bcc:") &&
          !text_starts_nocase(name, "return-path:"));
    seen->from += text_starts_nocase(name, "from:");
    seen->date += text_starts_nocase(name, "date:");
    seen->id += text_starts_nocase(name, "message-id:");
    seen->to += text_starts_nocase(name, "to:");
    seen->cc += text_starts_nocase(name, "cc:");
    seen->subject += text_starts_nocase(name, "subject:");
}

/* Goes through the header; returns where the body begins. */
static size_t check_header(const struct result *result)
{
    const uint8_t *first = memchr(result->out, '\n', result->size);
    bool crlf = first != NULL && first > result->out && first[-1] == '\r';
    struct seen seen = {0};

    for (size_t at = 0;;) {
        const uint8_t *end = memchr(result->out + at, '\n', result->size - at);
        size_t size;

        check(end != NULL);
        size = (size_t)(end - result->out) - at;
        check(!crlf || (size > 0 && end[-1] == '\r'));
        size -= crlf;
        if (size == 0) {
            check(seen.from == 1 && seen.date == 1 && seen.id == 1 && seen.to <= 1 &&
                  seen.cc <= 1 && seen.subject <= 1);
            return at + crlf + 1;
        }
        check_line((const char *)result->out + at, size, &seen);
        at += size + crlf + 1;
    }
}

/* The body is the end of what went in. */
static void check_body(const uint8_t *data, size_t size)
{
    size_t begin = check_header(&whole);
    size_t body = whole.size - begin;

    check(body <= size && memcmp(data + size - body, whole.out + begin, body) == 0);
    check(body == size || body == 0 || size == 0 || data[size - body - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > IN_MAX) {
        return 0;
    }
    filter(&whole, data[1], data + 2, size - 2, IN_MAX);
    check_body(data + 2, size - 2);
    filter(&pieces, data[1], data + 2, size - 2, data[0] == 0 ? 3000 : data[0]);
    check(pieces.size == whole.size && pieces.told == whole.told &&
          memcmp(pieces.out, whole.out, whole.size) == 0);
    return 0;
}
