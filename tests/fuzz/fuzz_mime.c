/* Any bytes as a message. The first byte tells into which pieces they are cut: whatever they are,
 * the same is told, all of it is UTF-8 that is bounded and steers nothing. */
#include "net/mime.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

/* For each byte of a message: marks of quotes on a line, or what a byte of a charset becomes. */
#define TEXT_PER_BYTE 255

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    bool header_ended;
    bool line_ended;
    size_t text_size;
    uint32_t hash; /* Of all that was told, in its order. */
    char held[4];  /* The beginning of a character. */
    size_t held_size;
};

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void hash(struct told *told, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        told->hash = (told->hash ^ (uint8_t)bytes[i]) * 16777619u;
    }
}

static void take_field(void *context, enum mime_place place, const char *name, const char *value)
{
    struct told *told = context;
    size_t size = strnlen(value, MIME_VALUE_BYTES);

    require(size < MIME_VALUE_BYTES);
    require((place == MIME_HEADER) == !told->header_ended);
    require(name[0] != '\0' && strlen(name) < 64);
    for (const char *at = name; *at != '\0'; at++) {
        require(*at > ' ' && *at < 0x7F && *at != ':');
    }
    for (size_t at = 0; at < size;) {
        const char *shown;
        size_t shown_size;
        size_t taken = text_char(value + at, size - at, &shown, &shown_size);

        require(taken == shown_size && memcmp(shown, value + at, taken) == 0);
        at += taken;
    }
    hash(told, name, strlen(name) + 1);
    hash(told, value, size + 1);
}

static void take_header_end(void *context)
{
    struct told *told = context;

    require(!told->header_ended);
    told->header_ended = true;
    hash(told, "end", 3);
}

/* A character is whole when text_char() takes it. */
static void take_text(void *context, const char *bytes, size_t size)
{
    struct told *told = context;

    require(told->header_ended && size > 0);
    hash(told, bytes, size);
    told->text_size += size;
    for (size_t i = 0; i < size; i++) {
        const char *shown;
        size_t shown_size;

        require(bytes[i] == '\t' || bytes[i] == '\n' || (uint8_t)bytes[i] >= ' ');
        require(bytes[i] != 0x7F && told->held_size < 4);
        told->held[told->held_size++] = bytes[i];
        if (text_char(told->held, told->held_size, &shown, &shown_size) == told->held_size &&
            (told->held_size > 1 || (bytes[i] & 0x80) == 0)) {
            /* Neither C1 controls nor the blank that looks like none. */
            require(told->held_size != 2 || (uint8_t)told->held[0] != 0xC2 ||
                    (uint8_t)told->held[1] > 0xA0);
            told->held_size = 0;
        }
        told->line_ended = bytes[i] == '\n';
    }
    require(told->held_size == 0);
}

static uint32_t read_message(const uint8_t *data, size_t size, size_t piece)
{
    struct told told = {.line_ended = true, .hash = 2166136261u};
    struct mime_sink sink = {&told, take_field, take_header_end, take_text};
    struct mime *mime = malloc(sizeof *mime); /* Its end is where the sanitizer sees a step. */

    require(mime != NULL);
    memset(mime, 0x5A, sizeof *mime);
    mime_init(mime, &sink);
    for (size_t at = 0; at < size; at += piece) {
        mime_push(mime, data + at, piece < size - at ? piece : size - at);
    }
    mime_end(mime);
    require(told.header_ended && told.line_ended && told.held_size == 0);
    require(told.text_size <= size * TEXT_PER_BYTE + 1);
    hash(&told, mime_is_report(mime) ? "y" : "n", 1);
    free(mime);
    return told.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t whole;

    if (size < 2) {
        return 0;
    }
    whole = read_message(data + 1, size - 1, size - 1);
    require(read_message(data + 1, size - 1, 1 + data[0] % 64u) == whole);
    return 0;
}
