#include "firmware/candidate.h"

#include "firmware/config_table.h"

#include <string.h>

#define CHUNK_BYTES 64
#define CHANGE_BYTES 304 /* config_show_line() needs 300. */

/* Of a key without what does not count; the longest name of the table fits. */
#define KEY_BYTES 32

enum { EDIT_PENDING = '+', EDIT_APPLIED = '-' };

_Static_assert(sizeof(struct candidate) <= 600, "what candidate.h promises");

void candidate_init(struct candidate *candidate, struct slots *slots)
{
    memset(candidate, 0, sizeof *candidate);
    candidate->slots = slots;
}

bool candidate_staged(const struct candidate *candidate)
{
    return candidate->imported || candidate->edits_used > 0;
}

void candidate_drop(struct candidate *candidate)
{
    slots_stage_drop(candidate->slots);
    candidate_init(candidate, candidate->slots);
}

/* ---- edits ---- */

static size_t edit_bytes(const char *edit)
{
    return strlen(edit) + 1;
}

/* The edit of that key; NULL: none. */
static char *find_edit(struct candidate *candidate, const struct config_key *key)
{
    char *edit = candidate->edits;

    for (; edit < candidate->edits + candidate->edits_used; edit += edit_bytes(edit)) {
        if (config_key_find(edit + 1) == key) {
            return edit;
        }
    }
    return NULL;
}

static void remove_edit(struct candidate *candidate, char *edit)
{
    char *end = candidate->edits + candidate->edits_used;
    size_t size = edit_bytes(edit);

    memmove(edit, edit + size, (size_t)(end - edit) - size);
    candidate->edits_used = (uint16_t)(candidate->edits_used - size);
    memset(end - size, 0, size); /* It may have held a password. */
}

/* Why a key cannot be set in one line; NULL: it can. */
static const char *refusal(const struct config_key *key)
{
    if (key == NULL) {
        return "no such key; `config show` lists them";
    }
    if (key->type == CONFIG_FILE) {
        return "certificates come with `config import`, as PEM blocks in the text";
    }
    return key->type == CONFIG_REFUSED ? "what this key asks for is not supported" : NULL;
}

static const char too_many[] = "too many changes at once: `config commit` first";

/* The value may stand in the room behind the edits, if it ends where that does. */
int candidate_set(struct candidate *candidate, const char *key, const char *value, const char **why)
{
    static const char equals[] = " = ";
    const struct config_key *row = config_key_find(key);
    char *edit = candidate->edits + candidate->edits_used;
    size_t room = sizeof candidate->edits - candidate->edits_used;
    size_t length = value != NULL ? strlen(value) : 0;
    size_t name_length, before;
    char *old;

    *why = refusal(row);
    if (*why != NULL) {
        return E_INVALID;
    }
    old = find_edit(candidate, row);
    name_length = strlen(config_key_name(row));
    before = 1 + name_length + (length > 0 ? sizeof equals - 1 : 0);
    if (before + length + 1 > room) {
        *why = too_many;
        return E_SPACE;
    }
    memmove(edit + before, value != NULL ? value : "", length);
    edit[before + length] = '\0';
    edit[0] = EDIT_PENDING;
    memcpy(edit + 1, config_key_name(row), name_length);
    memcpy(edit + 1 + name_length, equals, before - 1 - name_length);
    candidate->edits_used = (uint16_t)(candidate->edits_used + before + length + 1);
    if (old != NULL) {
        remove_edit(candidate, old);
    }
    return 0;
}

/* The line is moved to the end of the room, so that its edit can be made before it. */
static int take_line(struct candidate *candidate, const char **why)
{
    char *end = candidate->edits + sizeof candidate->edits;
    size_t size = candidate->line_used + 1u;
    char *line = end - size;
    char *equals, *value;
    int result = 0;

    memmove(line, candidate->edits + candidate->edits_used, size - 1);
    end[-1] = '\0';
    candidate->line_used = 0;
    candidate->line++;
    line = config_trim(line);
    equals = strchr(line, '=');
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';') {
        /* It says nothing. */
    } else if (equals == NULL) {
        *why = "expected `key = value`";
        result = E_INVALID;
    } else {
        *equals = '\0';
        value = config_trim(equals + 1);
        size = strlen(value) + 1;
        memmove(end - size, value, size);
        result = candidate_set(candidate, line, end - size, why);
    }
    /* It may have held a password. */
    memset(candidate->edits + candidate->edits_used, 0,
           sizeof candidate->edits - candidate->edits_used);
    return result;
}

int candidate_lines_push(struct candidate *candidate, const char *text, size_t size,
                         const char **why)
{
    int result = 0;

    for (size_t i = 0; i < size && result == 0; i++) {
        size_t used = candidate->edits_used + (size_t)candidate->line_used;

        if (text[i] == '\n') {
            result = take_line(candidate, why);
        } else if (used + 1 < sizeof candidate->edits) {
            candidate->edits[used] = text[i];
            candidate->line_used++;
        } else {
            *why = too_many;
            result = E_SPACE;
        }
    }
    return result;
}

int candidate_lines_end(struct candidate *candidate, const char **why)
{
    return candidate->line_used > 0 ? take_line(candidate, why) : 0;
}

const char *candidate_edit(const struct candidate *candidate, unsigned index, bool *secret,
                           const char **value)
{
    const char *edit = candidate->edits;
    const struct config_key *key;

    for (; edit < candidate->edits + candidate->edits_used; edit += edit_bytes(edit)) {
        if (index-- == 0) {
            key = config_key_find(edit + 1);
            *secret = config_key_secret(key);
            *value = strstr(edit, " = ");
            *value = *value != NULL ? *value + 3 : NULL;
            return config_key_name(key);
        }
    }
    return NULL;
}

bool candidate_secret(const char *key)
{
    const struct config_key *row = config_key_find(key);

    return row != NULL && config_key_secret(row);
}

/* ---- a whole text ---- */

int candidate_import_begin(struct candidate *candidate)
{
    int result;

    candidate_drop(candidate);
    result = slots_stage_begin(candidate->slots, false);
    candidate->importing = result == 0;
    return result;
}

int candidate_import_push(struct candidate *candidate, const char *text, size_t size)
{
    int result = E_SPACE;

    if (!candidate->importing) {
        return E_MISSING;
    }
    if (size <= CONFIG_TEXT_BYTES && candidate->slots->stage.size <= CONFIG_TEXT_BYTES - size) {
        result = slots_stage_push(candidate->slots, text, size);
    }
    if (result < 0) {
        candidate_drop(candidate);
    }
    return result;
}

void candidate_import_end(struct candidate *candidate)
{
    candidate->imported = candidate->importing;
    candidate->importing = false;
}

/* ---- the staged text ---- */

/* The base as it is read, once for what each line is, and again for what passes. */
struct base {
    struct candidate *candidate;
    uint32_t offset; /* Of the next byte. */
    int error;
    uint8_t at, size; /* In chunk. */
    bool pem;         /* Between BEGIN and END. */
    bool crlf;        /* The last line ended so. */
    char chunk[CHUNK_BYTES];
};

static int base_bytes(const struct candidate *candidate, uint32_t offset, void *out, size_t size)
{
    if (candidate->imported) {
        return slots_stage_read(candidate->slots, offset, out, size);
    }
    /* Without a text in force the edits are all. */
    return candidate->slots->valid ? slots_read(candidate->slots, offset, out, size) : 0;
}

/* The next byte; -1: the end, or an error. */
static int next_byte(struct base *base)
{
    if (base->at == base->size) {
        int size = base_bytes(base->candidate, base->offset, base->chunk, sizeof base->chunk);

        base->error = size < 0 ? size : 0;
        if (size <= 0) {
            return -1;
        }
        base->at = 0;
        base->size = (uint8_t)size;
    }
    base->offset++;
    return (unsigned char)base->chunk[base->at++];
}

/* One line of the base, as far as it matters here. */
struct line {
    uint32_t start, end; /* Its bytes, line end included. */
    bool ended;          /* By LF. */
    bool equals;         /* Has a '='; key is what stands before. */
    bool base64;         /* Could stand inside a PEM block. */
    bool cut;            /* So long a key is none of the table's. */
    char key[KEY_BYTES]; /* Without blanks, or the start of the line. */
};

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_base64(int c, bool padding)
{
    return padding ? c == '=' : config_alphanumeric((char)c) || c == '+' || c == '/';
}

/* False: there is none, or an error. */
static bool next_line(struct base *base, struct line *line)
{
    struct text key = text_begin(line->key, sizeof line->key);
    bool first = true, gap = false;
    int before = 0;
    int c;

    *line = (struct line){.start = base->offset, .base64 = true};
    line->key[0] = '\0';
    while ((c = next_byte(base)) >= 0 && c != '\n') {
        before = c;
        if (is_blank(c)) {
            gap = !first;
            continue;
        }
        first = false;
        line->equals |= c == '=';
        line->base64 = line->base64 && !gap && is_base64(c, line->equals);
        if (!line->equals && c != '\0') {
            text_add_char(&key, (char)c);
        }
    }
    line->cut = key.cut;
    line->ended = c == '\n';
    line->end = base->offset;
    if (line->ended) {
        base->crlf = before == '\r';
    }
    return line->end > line->start && base->error == 0;
}

/* The key that a line gives a value; NULL: none. Sees what the reader sees (config.c). */
static const struct config_key *line_key(struct base *base, const struct line *line)
{
    const struct config_key *key = NULL;

    if (line->equals && !line->cut && line->key[0] != '\0') {
        key = config_key_find(line->key);
    }
    if (text_starts_nocase(line->key, "-----BEGIN")) {
        base->pem = true;
    } else if (text_starts_nocase(line->key, "-----END")) {
        base->pem = false;
    } else if (base->pem && line->base64) {
        return NULL;
    } else if (key != NULL) {
        base->pem = false; /* Its END line was forgotten. */
    }
    return key;
}

struct taker {
    int (*take)(void *context, const char *text, size_t size);
    void *context;
};

static int take_string(const struct taker *taker, const char *string)
{
    return taker->take(taker->context, string, strlen(string));
}

static int pass(const struct base *base, const struct line *line, const struct taker *taker)
{
    char piece[CHUNK_BYTES];
    uint32_t at = line->start;
    int result = 0;

    while (result >= 0 && at < line->end) {
        uint32_t left = line->end - at;

        result = base_bytes(base->candidate, at, piece, left < sizeof piece ? left : sizeof piece);
        if (result > 0) {
            at += (uint32_t)result;
            result = taker->take(taker->context, piece, (size_t)result);
        } else if (result == 0) {
            result = E_IO; /* It was longer a moment ago. */
        }
    }
    return result;
}

/* Writes the edit where the key stands first, or at the end; not one that takes the key out. */
static int apply(struct base *base, char *edit, const struct taker *taker)
{
    int result;

    if (edit[0] == EDIT_APPLIED) {
        return 0;
    }
    edit[0] = EDIT_APPLIED;
    if (strstr(edit, " = ") == NULL) {
        return 0;
    }
    result = take_string(taker, edit + 1);
    return result < 0 ? result : take_string(taker, base->crlf ? "\r\n" : "\n");
}

/* What no line of the base had a place for. */
static int append(struct base *base, bool ended, const struct taker *taker)
{
    struct candidate *candidate = base->candidate;
    char *edit = candidate->edits;
    int result = 0;

    for (; result >= 0 && edit < candidate->edits + candidate->edits_used;
         edit += edit_bytes(edit)) {
        if (edit[0] == EDIT_PENDING && !ended && strstr(edit, " = ") != NULL) {
            result = take_string(taker, base->crlf ? "\r\n" : "\n");
            ended = true;
        }
        if (result >= 0) {
            result = apply(base, edit, taker);
        }
    }
    return result;
}

int candidate_read(struct candidate *candidate,
                   int (*take)(void *context, const char *text, size_t size), void *context)
{
    struct taker taker = {.take = take, .context = context};
    struct base base = {.candidate = candidate};
    struct line line;
    bool ended = true;
    int result = 0;

    for (char *edit = candidate->edits; edit < candidate->edits + candidate->edits_used;
         edit += edit_bytes(edit)) {
        edit[0] = EDIT_PENDING;
    }
    while (result >= 0 && next_line(&base, &line)) {
        const struct config_key *key = line_key(&base, &line);
        char *edit = key != NULL ? find_edit(candidate, key) : NULL;

        if (edit != NULL) {
            result = apply(&base, edit, &taker);
        } else {
            result = pass(&base, &line, &taker);
            ended = line.ended;
        }
    }
    if (result >= 0) {
        result = base.error < 0 ? base.error : append(&base, ended, &taker);
    }
    memset(base.chunk, 0, sizeof base.chunk);
    return result < 0 ? result : 0;
}

/* ---- check and commit ---- */

static int take_reader(void *context, const char *text, size_t size)
{
    struct candidate_room *room = context;

    config_push(&room->reader, text, size);
    return 0;
}

static int take_pem(void *context, const char *text, size_t size)
{
    struct candidate_room *room = context;
    const char *why;

    return tls_pem_push(&room->pem, text, size, &why);
}

int candidate_check(struct candidate *candidate, struct candidate_room *room, config_report *report,
                    void *context)
{
    const char *why = NULL;
    int result, errors;

    config_begin(&room->reader, &room->config, report, context);
    result = candidate_read(candidate, take_reader, room);
    errors = config_end(&room->reader);
    if (result < 0) {
        return result;
    }
    errors += config_review(&room->reader);
    if (errors > 0 || room->config.ca_count == 0) {
        return errors;
    }
    tls_anchors_init(&room->anchors);
    tls_pem_init(&room->pem, &room->anchors);
    result = candidate_read(candidate, take_pem, room);
    if (result == E_IO) {
        return result;
    }
    if (tls_pem_end(&room->pem, &why) < 0) {
        report(context, 0, "tls_ca_file", why);
        errors++;
    }
    return errors;
}

/* One item of a key's value, as it is told. False: there is none, or it is empty. */
static bool show_item(const struct config *config, const struct config_key *key, unsigned item,
                      char sign, char *out)
{
    struct text text = text_begin(out, CHANGE_BYTES);
    size_t start;

    text_format(&text, "%c %s = ", sign, config_key_name(key));
    start = text.length;
    return config_value_show(config, key, item, &text) && text.length > start;
}

static bool secret_differs(const struct config *from, const struct config *to,
                           const struct config_key *key)
{
    const char *was = (const char *)from + key->offset, *is = (const char *)to + key->offset;

    return config_key_secret(key) &&
           (key->type == CONFIG_HMAC_KEY ? memcmp(was, is, sizeof from->command_key)
                                         : strcmp(was, is)) != 0;
}

void candidate_changes(const struct config *from, const struct config *to,
                       void (*line)(void *context, const char *line), void *context)
{
    char before[CHANGE_BYTES], after[CHANGE_BYTES];

    for (const struct config_key *key = config_keys; key < config_keys + CONFIG_KEY_COUNT; key++) {
        bool was = true, is = true;

        for (unsigned item = 0; was || is; item++) {
            was = was && show_item(from, key, item, '-', before);
            is = is && show_item(to, key, item, '+', after);
            if (was && is && strcmp(before + 1, after + 1) == 0 && !secret_differs(from, to, key)) {
                continue;
            }
            if (was) {
                line(context, before);
            }
            if (is) {
                line(context, after);
            }
        }
    }
    if (from->ca_count != to->ca_count) {
        text_print(after, sizeof after, "%u CA certificates, before %u", (unsigned)to->ca_count,
                   (unsigned)from->ca_count);
        line(context, after);
    }
}

static int take_stage(void *context, const char *text, size_t size)
{
    return slots_stage_push(context, text, size);
}

int candidate_commit(struct candidate *candidate, bool trial)
{
    struct slots *slots = candidate->slots;
    int result = 0;

    if (!candidate_staged(candidate)) {
        return E_MISSING;
    }
    if (candidate->edits_used > 0) {
        result = slots_stage_begin(slots, candidate->imported);
        if (result == 0) {
            result = candidate_read(candidate, take_stage, slots);
        }
    }
    if (result == 0) {
        result = slots_stage_commit(slots, trial);
    }
    if (result < 0) {
        slots_stage_drop(slots);
        candidate->imported = false;
        return result;
    }
    candidate_drop(candidate);
    return 0;
}
