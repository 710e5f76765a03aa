/* Any bytes as a message to be rewritten. The first byte tells into which pieces they are cut, and
 * whether the server takes 8 bits: whatever they are, the same comes out, any server takes it, and
 * a reader finds no other structure in it. */
#include "net/transcode.h"

#include <stdlib.h>
#include <string.h>

/* A byte may become an encoded word; each part gets a header's fields. */
#define OUT_PER_BYTE 80
#define OUT_EXTRA 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct output {
    uint8_t *bytes;
    size_t size, room;
};

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static unsigned look(struct transcode_look *object, const uint8_t *data, size_t size, size_t step)
{
    memset(object, 0x5A, sizeof *object);
    transcode_look_init(object);
    for (size_t at = 0; at < size; at += step) {
        transcode_look_push(object, data + at, size - at < step ? size - at : step);
    }
    return transcode_look_end(object);
}

static void drain(struct transcode *object, struct output *out, size_t step)
{
    size_t got;

    while ((got = transcode_read(object, out->bytes + out->size, step)) > 0) {
        out->size += got;
        require(out->size + step <= out->room);
    }
    require(!object->cut);
}

static struct output rewrite(const uint8_t *data, size_t size, size_t step, bool eight_bit_ok)
{
    struct transcode_look *first = malloc(sizeof *first);
    struct transcode *second = malloc(sizeof *second);
    struct output out = {.room = size * OUT_PER_BYTE + OUT_EXTRA + step};

    out.bytes = malloc(out.room);
    require(first != NULL && second != NULL && out.bytes != NULL);
    (void)look(first, data, size, step);
    memset(second, 0x5A, sizeof *second);
    transcode_init(second, first, eight_bit_ok);
    free(first);
    for (size_t at = 0; at < size;) {
        size_t taken = transcode_push(second, data + at, size - at < step ? size - at : step);

        require(taken > 0);
        at += taken;
        drain(second, &out, step);
    }
    transcode_end(second);
    drain(second, &out, step);
    free(second);
    return out;
}

/* Whether all that may be a line of Content-Type is ASCII and short: such a field stays as it is.
 */
static bool plain_types(const uint8_t *data, size_t size)
{
    bool line_counts = true;
    size_t line = 0;

    for (size_t i = 0; i < size; i++) {
        if (line++ == 0) {
            line_counts = strchr("Cc \t", data[i]) != NULL;
        }
        if (line_counts && (data[i] >= 0x80 || data[i] == '\0' || data[i] == '\r' || line > 300)) {
            return false;
        }
        line = data[i] == '\n' ? 0 : line;
    }
    return true;
}

/* What any server takes. */
static void check_lines(struct output out, bool eight_bit_ok)
{
    size_t line = 0;

    for (size_t i = 0; i < out.size; i++) {
        uint8_t byte = out.bytes[i];
        bool cr_lf = byte == '\r' && i + 1 < out.size && out.bytes[i + 1] == '\n';

        require(byte != '\0' && (byte < 0x80 || eight_bit_ok) && (byte != '\r' || cr_lf));
        line = byte == '\n' ? 0 : line + !cr_lf;
        require(line <= TRANSCODE_LINE_MAX);
    }
}

/* What a reader makes of it: as many parts, as deep at the end, and nothing left to do. */
static void same_structure(const uint8_t *data, size_t size, struct output out, bool eight_bit_ok)
{
    struct transcode_look *before = malloc(sizeof *before);
    struct transcode_look *after = malloc(sizeof *after);

    require(before != NULL && after != NULL);
    (void)look(before, data, size, size + 1);
    require(!transcode_needed(look(after, out.bytes, out.size, out.size + 1), eight_bit_ok));
    require(before->parser.part == after->parser.part);
    require(before->parser.depth == after->parser.depth);
    free(before);
    free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct output whole;
    struct output pieces;
    bool eight_bit_ok;

    if (size < 2) {
        return 0;
    }
    eight_bit_ok = data[0] >= 0x80;
    whole = rewrite(data + 1, size - 1, size, eight_bit_ok);
    pieces = rewrite(data + 1, size - 1, 1 + data[0] % 64u, eight_bit_ok);
    require(whole.size == pieces.size && memcmp(whole.bytes, pieces.bytes, whole.size) == 0);
    check_lines(whole, eight_bit_ok);
    if (plain_types(data + 1, size - 1)) {
        same_structure(data + 1, size - 1, whole, eight_bit_ok);
    }
    free(whole.bytes);
    free(pieces.bytes);
    return 0;
}
