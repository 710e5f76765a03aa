/* mailed.c - the block and its base64, the payload's lines, and the lines of a one-time password.
 *
 *                        +------------ no block: lines, until "-- "
 *                        |
 *     PLACE_TEXT --BEGIN--> PLACE_PAYLOAD --SIGNATURE--> PLACE_SIGNATURE --END--> PLACE_AFTER
 *                                |                             |                       |
 *                                +--- anything not of it ------+---- another BEGIN ----+
 *                                                  |
 *                                            PLACE_REFUSED
 *
 * What a mail program may do to a text is undone before anything is looked at: every kind of blank
 * and of dash becomes the ASCII one, what cannot be seen is left out, and within the block blanks,
 * line ends and quote marks are nothing.
 */
#include "net/mailed.h"

#include "net/base64.h"
#include "net/text.h"

#include <string.h>

enum place {
    PLACE_TEXT,      /* Before any block. */
    PLACE_PAYLOAD,   /* In its base64. */
    PLACE_SIGNATURE, /* In that of the signature. */
    PLACE_AFTER,     /* It was whole; proof is known. */
    PLACE_REFUSED    /* Nothing more is looked at. */
};

/* The payload's next line. */
enum field { FIELD_VERSION, FIELD_DEVICE, FIELD_COUNTER, FIELD_COMMAND, FIELD_BLANK, FIELD_TEXT };

enum otp {
    OTP_NONE,    /* No line that begins with it. */
    OTP_PARTIAL, /* Its response goes on in the next line. */
    OTP_READ,    /* The response is known. */
    OTP_REFUSED,
    OTP_OVER = 8 /* Added: the mail's signature has begun. */
};

/* What is wrong: places in the list below. Up to BAD_SIGNATURE it is E_SECURITY, up to BAD_TEXT
 * E_SPACE, then E_INVALID. */
enum bad {
    BAD_NO_KEY,
    BAD_NO_PUBLIC,
    BAD_NO_OTP,
    BAD_SIGNATURE,
    BAD_COMMAND,
    BAD_TEXT,
    BAD_LINES,
    BAD_VERSION,
    BAD_DEVICE,
    BAD_COUNTER,
    BAD_BLANK,
    BAD_PAYLOAD,
    BAD_LENGTH,
    BAD_BASE64,
    BAD_CUT,
    BAD_DASHES,
    BAD_END,
    BAD_TWO,
    BAD_OTP,
    BAD_OTP_CUT,
    BAD_OTP_ALONE,
};

static const char bads[] = "no command_key is configured\0"
                           "no command_public_key is configured\0"
                           "one-time passwords are not configured\0"
                           "the signature is wrong\0"
                           "the command is longer than 199 bytes\0"
                           "the text is longer than 32768 bytes\0"
                           "the lines are not tocsin, device, counter, command\0"
                           "the payload is not of version 1\0"
                           "the device is not 16 hex digits\0"
                           "the counter is not 1 to 4294967295\0"
                           "no empty line after the command\0"
                           "the payload has no command\0"
                           "the signature is too long\0"
                           "the block is not base64\0"
                           "the block is cut short\0"
                           "a line of dashes is damaged\0"
                           "the block has no end\0"
                           "it holds two orders\0"
                           "that is no one-time password\0"
                           "the one-time password is cut short\0"
                           "no command with the one-time password";

_Static_assert(MAILED_COMMAND_BYTES == 200 && MAILED_TEXT_MAX == 32768, "as the sentences say");
_Static_assert(MAILED_LINE_BYTES <= UINT8_MAX, "positions in a line are bytes");

static const char mark_begin[] = "BEGINTOCSINCOMMAND";
static const char mark_signature[] = "TOCSINSIGNATURE";
static const char mark_end[] = "ENDTOCSINCOMMAND";

void mailed_init(struct mailed *mailed, const struct mailed_keys *keys)
{
    memset(mailed, 0, sizeof *mailed);
    mailed->state.keys = keys;
}

static void refuse(struct mailed *mailed, enum bad bad)
{
    mailed->proof = MAILED_REFUSED;
    mailed->error = bad <= BAD_SIGNATURE ? E_SECURITY : bad <= BAD_TEXT ? E_SPACE : E_INVALID;
    mailed->why = text_item(bads, bad);
}

/* In the block: nothing behind it matters any more. */
static void refuse_block(struct mailed *mailed, enum bad bad)
{
    refuse(mailed, bad);
    mailed->state.place = PLACE_REFUSED;
}

/* ---- lines: each is folded as it comes in ---- */

static void line_add(struct mailed_state *state, char c)
{
    bool blank = (uint8_t)c <= ' ' || c == 0x7F;

    if (blank &&
        (state->line_size == state->line_from || state->line[state->line_size - 1] == ' ')) {
        return;
    }
    if (state->line_size == MAILED_LINE_BYTES - 1) {
        state->line_cut = state->line_cut || !blank;
        return;
    }
    state->line[state->line_size++] = blank ? ' ' : c;
}

/* Ends the line with NUL, without the blank at its end; returns where it begins. */
static char *line_end(struct mailed_state *state)
{
    if (state->line_size > state->line_from && state->line[state->line_size - 1] == ' ') {
        state->line_size--;
    }
    state->line[state->line_size] = '\0';
    return state->line + state->line_from;
}

static void line_clear(struct mailed_state *state)
{
    state->line_size = 0;
    state->line_from = 0;
    state->line_cut = false;
}

/* ---- the payload ---- */

/* What stands behind a key; NULL: the line has another one. */
static const char *value_of(const char *line, const char *key)
{
    size_t size = strlen(key);

    return strncmp(line, key, size) == 0 && line[size] == ' ' ? line + size + 1 : NULL;
}

static bool device_read(struct mailed *mailed, const char *value)
{
    size_t size = 0;

    for (; value[size] != '\0' && size < MAILED_DEVICE_BYTES - 1; size++) {
        char c = value[size];

        if (c >= 'A' && c <= 'F') {
            c = (char)(c - 'A' + 'a');
        } else if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        mailed->device[size] = c;
    }
    return size == MAILED_DEVICE_BYTES - 1 && value[size] == '\0';
}

/* A line of the payload has ended. */
static void payload_line(struct mailed *mailed)
{
    static const char keys[] = "tocsin\0device\0counter\0command";
    struct mailed_state *state = &mailed->state;
    const char *line = line_end(state);
    const char *value = NULL;

    if (state->field == FIELD_BLANK) {
        if (line[0] != '\0') {
            refuse_block(mailed, BAD_BLANK);
        }
    } else {
        value = value_of(line, text_item(keys, state->field));
        if (value == NULL) {
            refuse_block(mailed, BAD_LINES);
            return;
        }
    }
    switch ((enum field)state->field) {
    case FIELD_VERSION:
        if (strcmp(value, "1") != 0) {
            refuse_block(mailed, BAD_VERSION);
        }
        break;
    case FIELD_DEVICE:
        if (!device_read(mailed, value)) {
            refuse_block(mailed, BAD_DEVICE);
        }
        break;
    case FIELD_COUNTER:
        if (!text_parse_u32(value, UINT32_MAX, &mailed->counter) || mailed->counter == 0) {
            refuse_block(mailed, BAD_COUNTER);
        }
        break;
    case FIELD_COMMAND:
        if (state->line_cut || !text_copy(mailed->command, sizeof mailed->command, value)) {
            refuse_block(mailed, BAD_COMMAND);
        }
        break;
    default:
        break;
    }
    state->field++;
    line_clear(state);
}

static void text_flush(struct mailed_state *state)
{
    if (state->field == FIELD_TEXT && state->line_size > 0 && state->keys->text != NULL) {
        state->keys->text(state->keys->context, state->line, state->line_size);
    }
    state->line_size = 0;
}

static void payload_char(struct mailed *mailed, char c)
{
    struct mailed_state *state = &mailed->state;

    if (state->field != FIELD_TEXT) {
        if (c == '\n') {
            payload_line(mailed);
        } else {
            line_add(state, c);
        }
        return;
    }
    if (++mailed->text_bytes > MAILED_TEXT_MAX) {
        refuse_block(mailed, BAD_TEXT);
        return;
    }
    state->line[state->line_size++] = c;
    if (state->line_size == MAILED_LINE_BYTES) {
        text_flush(state);
    }
}

/* All of the payload was there. */
static void payload_end(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;

    if (state->field <= FIELD_BLANK && state->line_size > 0) {
        payload_line(mailed);
    }
    if (state->place == PLACE_REFUSED) {
        return;
    }
    if (state->field <= FIELD_COMMAND) {
        refuse_block(mailed, BAD_PAYLOAD);
        return;
    }
    text_flush(state);
    digest_sha256_end(&state->sha256, mailed->hash);
}

/* ---- the block ---- */

static void begin_block(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;
    const struct mailed_keys *keys = state->keys;

    /* What looked like a one-time password before it counts no more. */
    mailed_init(mailed, keys);
    state->place = PLACE_PAYLOAD;
    state->mark_over = true;
    digest_sha256_init(&state->sha256);
    if (keys->hmac != NULL) {
        digest_hmac_init(&state->hmac, keys->hmac);
    }
}

/* The block was whole: is the signature that of a key? */
static void verify(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;
    const struct mailed_keys *keys = state->keys;
    bool is_hmac = state->signature_size == DIGEST_SHA256_BYTES;
    uint8_t hmac[DIGEST_SHA256_BYTES];
    bool good;

    if ((is_hmac ? keys->hmac : keys->public) == NULL) {
        refuse_block(mailed, is_hmac ? BAD_NO_KEY : BAD_NO_PUBLIC);
        return;
    }
    if (is_hmac) {
        digest_hmac_end(&state->hmac, hmac);
        good = digest_equal(hmac, state->signature, sizeof hmac);
    } else {
        good = digest_ecdsa_verify(keys->public, mailed->hash, state->signature,
                                   state->signature_size);
    }
    if (!good) {
        refuse_block(mailed, BAD_SIGNATURE);
        return;
    }
    mailed->proof = MAILED_SIGNED;
    state->place = PLACE_AFTER;
}

/* The next bytes that base64 gives. */
static void decoded(struct mailed *mailed, const uint8_t *bytes, unsigned size)
{
    struct mailed_state *state = &mailed->state;

    if (state->place == PLACE_PAYLOAD) {
        digest_sha256_push(&state->sha256, bytes, size);
        if (state->keys->hmac != NULL) {
            digest_hmac_push(&state->hmac, bytes, size);
        }
        for (unsigned i = 0; i < size && state->place == PLACE_PAYLOAD; i++) {
            payload_char(mailed, (char)bytes[i]);
        }
    } else if (state->signature_size + size <= sizeof state->signature) {
        memcpy(state->signature + state->signature_size, bytes, size);
        state->signature_size = (uint8_t)(state->signature_size + size);
    } else {
        refuse_block(mailed, BAD_LENGTH);
    }
}

/* Only the one way to write some bytes counts: padded, and nothing in the bits left over (RFC 4648
 * sections 3.2 and 3.5). */
static void base64_char(struct mailed *mailed, char c)
{
    struct mailed_state *state = &mailed->state;
    int value = base64_value(c);
    uint8_t bytes[3];
    unsigned size = 0;

    if (c == '=' && (state->group_size == 2 || state->group_size == 3)) {
        value = 0;
    } else if (value < 0 || state->padded) {
        refuse_block(mailed, BAD_BASE64);
        return;
    } else {
        state->group_bytes = state->group_size; /* 3 of a full group, which a '=' leaves as is. */
    }
    state->padded = c == '=';
    state->group = state->group << 6 | (uint32_t)value;
    if (++state->group_size < 4) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint8_t byte = (uint8_t)(state->group >> (16 - 8 * i));

        if (i < state->group_bytes) {
            bytes[size++] = byte;
        } else if (byte != 0) {
            refuse_block(mailed, BAD_BASE64);
            return;
        }
    }
    /* A padded group stays full: whatever comes is too much. */
    state->group_size = state->padded ? 4 : 0;
    decoded(mailed, bytes, size);
}

/* A mark was whole: what stands between this one and the next comes in now. */
static void mark_end_reached(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;

    if (state->group_size % 4 != 0) {
        refuse_block(mailed, BAD_CUT);
        return;
    }
    state->group_size = 0;
    state->padded = false;
    state->mark = 0;
    state->mark_over = true;
    switch ((enum place)state->place) {
    case PLACE_TEXT:
        begin_block(mailed);
        break;
    case PLACE_PAYLOAD:
        payload_end(mailed);
        if (state->place == PLACE_PAYLOAD) {
            state->place = PLACE_SIGNATURE;
        }
        break;
    case PLACE_SIGNATURE:
        verify(mailed);
        break;
    default:
        refuse_block(mailed, BAD_TWO);
        break;
    }
}

/* The block, and what might become one: c is neither blank nor a quote mark. */
static void block_char(struct mailed *mailed, char c)
{
    struct mailed_state *state = &mailed->state;
    bool inside = state->place == PLACE_PAYLOAD || state->place == PLACE_SIGNATURE;
    const char *mark = state->place == PLACE_PAYLOAD     ? mark_signature
                       : state->place == PLACE_SIGNATURE ? mark_end
                                                         : mark_begin;
    char capital = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);

    if (c == '-') {
        if (inside && state->mark_over) {
            return;
        }
        if (state->mark > 1 && mark[state->mark - 1] == '\0') {
            mark_end_reached(mailed);
        } else if (inside && state->mark > 1) {
            refuse_block(mailed, BAD_DASHES);
        } else {
            state->mark = 1;
        }
        return;
    }
    state->mark_over = false;
    if (state->mark == 0) {
        if (inside) {
            base64_char(mailed, c);
        }
    } else if (capital == mark[state->mark - 1]) {
        state->mark++;
        /* The last dashes may be lost, where nothing stands behind them. */
        if (state->place == PLACE_SIGNATURE && mark[state->mark - 1] == '\0') {
            mark_end_reached(mailed);
        }
    } else if (inside) {
        refuse_block(mailed, BAD_DASHES);
    } else {
        state->mark = 0;
    }
}

/* ---- a mail without a block ---- */

/* Takes what stands in the mail's first line, or behind the response, as the command. */
static void otp_command(struct mailed *mailed, const char *command)
{
    mailed->state.command_cut =
        !text_copy(mailed->command, sizeof mailed->command, command) || mailed->state.line_cut;
}

/* The line, or what has come together of several, begins with "otp". Returns whether it goes on. */
static bool otp_response(struct mailed *mailed, const char *line)
{
    struct mailed_state *state = &mailed->state;
    const char *text = line + 3;
    int size;

    state->otp = OTP_REFUSED;
    if (!state->keys->otp) {
        refuse(mailed, BAD_NO_OTP);
        return false;
    }
    while (*text == ' ' || *text == ':') {
        text++;
    }
    size = otp_read(text, mailed->response);
    if (size == E_MISSING && !state->line_cut) {
        state->otp = OTP_PARTIAL;
        return true;
    }
    if (size < 0) {
        refuse(mailed, BAD_OTP);
        return false;
    }
    state->otp = OTP_READ;
    text += size;
    while (*text == ' ') {
        text++;
    }
    if (*text != '\0') {
        otp_command(mailed, text);
    }
    return false;
}

static void text_line(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;
    const char *line = line_end(state);

    if (line[0] == '\0' || line[0] == '>' || line[0] == '|') {
        /* Not said here. */
    } else if (strcmp(line, "--") == 0) {
        state->otp |= OTP_OVER;
    } else if (state->otp == OTP_PARTIAL ||
               (state->otp == OTP_NONE && text_starts_nocase(line, "otp") &&
                (line[3] == ' ' || line[3] == ':' || line[3] == '\0'))) {
        if (otp_response(mailed, state->line)) {
            line_add(state, ' ');
            state->line_from = state->line_size;
            return;
        }
    } else if (mailed->command[0] == '\0') {
        otp_command(mailed, line);
    }
    if (state->otp == OTP_PARTIAL) {
        state->line_size = state->line_from; /* The response goes on behind this line. */
        state->line_cut = false;
    } else {
        line_clear(state);
    }
}

/* The mail has ended and had no block. */
static void otp_end(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;
    struct digest_sha256 sha256;

    if (state->otp < OTP_OVER) {
        text_line(mailed);
    }
    switch ((enum otp)(state->otp & ~OTP_OVER)) {
    case OTP_PARTIAL:
        refuse(mailed, BAD_OTP_CUT);
        break;
    case OTP_READ:
        if (mailed->command[0] == '\0') {
            refuse(mailed, BAD_OTP_ALONE);
        } else if (state->command_cut) {
            refuse(mailed, BAD_COMMAND);
        } else {
            mailed->proof = MAILED_OTP;
            digest_sha256_init(&sha256);
            digest_sha256_push(&sha256, mailed->response, sizeof mailed->response);
            digest_sha256_push(&sha256, mailed->command, strlen(mailed->command));
            digest_sha256_end(&sha256, mailed->hash);
        }
        break;
    default:
        break;
    }
}

/* ---- characters ---- */

static void take_char(struct mailed *mailed, char c)
{
    struct mailed_state *state = &mailed->state;

    if (state->place == PLACE_TEXT && state->otp < OTP_OVER) {
        if (c == '\n') {
            text_line(mailed);
        } else {
            line_add(state, c);
        }
    }
    if ((uint8_t)c > ' ' && c != 0x7F && c != '>' && c != '|' && state->place != PLACE_REFUSED) {
        block_char(mailed, c);
    }
}

/* What mail programs and phones put in the place of ASCII, by code points: as a blank, a dash, two
 * (the em dash that phones make of them), a line's end, or nothing at all. */
static const struct {
    uint16_t first, last;
    char as[2];
} wides[] = {
    {0x00A0, 0x00A0, " "},  /* No-break space. */
    {0x00AD, 0x00AD, ""},   /* Soft hyphen. */
    {0x2000, 0x200A, " "},  /* Wide and thin spaces. */
    {0x200B, 0x200F, ""},   /* Joiners, direction marks. */
    {0x2010, 0x2013, "-"},  /* Hyphens, the en dash. */
    {0x2014, 0x2014, "="},  /* The em dash. */
    {0x2015, 0x2015, "-"},  /* Horizontal bar. */
    {0x2028, 0x2029, "\n"}, /* Line and paragraph separators. */
    {0x202A, 0x202E, ""},   /* Directions. */
    {0x202F, 0x202F, " "},  /* Narrow no-break space. */
    {0x2060, 0x2060, ""},   /* Word joiner. */
    {0x2212, 0x2212, "-"},  /* Minus. */
    {0x3000, 0x3000, " "},  /* Ideographic space. */
    {0xFEFF, 0xFEFF, ""},   /* Byte order mark. */
};

/* A character of two bytes or more, as a number that is written like them. */
static void take_wide(struct mailed *mailed, uint32_t wide)
{
    uint32_t point = (wide & 0x3F) | (wide >> 2 & 0xFC0) | (wide >> 4 & 0xF000);

    for (size_t i = 0; i < sizeof wides / sizeof wides[0] && wide <= 0xFFFFFF; i++) {
        if (point >= wides[i].first && point <= wides[i].last) {
            char as = wides[i].as[0];

            if (as == '=') {
                as = '-';
                take_char(mailed, as);
            }
            if (as != '\0') {
                take_char(mailed, as);
            }
            return;
        }
    }
    for (unsigned shift = 32; shift > 0; shift -= 8) {
        if (wide >> (shift - 8) != 0) {
            take_char(mailed, (char)(wide >> (shift - 8)));
        }
    }
}

void mailed_push(struct mailed *mailed, const char *text, size_t size)
{
    struct mailed_state *state = &mailed->state;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];

        if (state->wide_left > 0 && (byte & 0xC0) == 0x80) {
            state->wide = state->wide << 8 | byte;
            if (--state->wide_left == 0) {
                take_wide(mailed, state->wide);
            }
            continue;
        }
        state->wide_left = 0; /* A cut one is nothing. */
        if (byte >= 0xC0) {
            state->wide = byte;
            state->wide_left = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
        } else {
            take_char(mailed, (char)byte);
        }
    }
}

void mailed_end(struct mailed *mailed)
{
    struct mailed_state *state = &mailed->state;

    if (state->place == PLACE_TEXT) {
        otp_end(mailed);
    } else if (state->place == PLACE_PAYLOAD || state->place == PLACE_SIGNATURE) {
        refuse_block(mailed, BAD_END);
    }
}
