/* HTML as text: tags dropped, blocks on lines of their own, white space collapsed.
 *
 *     TEXT -<-> OPEN -letter-> NAME -> TAG -="-> QUOTED
 *                  \-!-> BANG --> COMMENT      <!x> and <?x> end at ">"
 *     TEXT -&-> ENTITY
 */
#include "net/mime_private.h"

#include <string.h>

#define QUOTES_MAX 8 /* Marks on a line. */

enum html_state {
    HTML_TEXT,
    HTML_OPEN,   /* Behind "<". */
    HTML_NAME,   /* In a tag's name. */
    HTML_TAG,    /* Behind it, before ">". */
    HTML_QUOTED, /* In an attribute's value in quotes. */
    HTML_BANG,   /* Behind "<!": two dashes make a comment. */
    HTML_COMMENT,
    HTML_BOGUS,  /* What ends at the next ">", whatever it is. */
    HTML_ENTITY, /* Behind "&". */
};

/* Tags that mean something here; those not named, blocks all. */
enum html_tag {
    TAG_NONE,
    TAG_SCRIPT, /* The content of the first three is no text: their own end tag alone ends it. */
    TAG_STYLE,
    TAG_TITLE,
    TAG_HEAD,
    TAG_BODY,
    TAG_TD,
    TAG_TH,
    TAG_BR,
    TAG_PRE,
    TAG_BLOCKQUOTE,
};

static const char tag_names[] = "script\0style\0title\0head\0body\0td\0th\0br\0pre\0blockquote\0"
                                "p\0div\0li\0tr\0ul\0ol\0dl\0dt\0dd\0hr\0table\0"
                                "h1\0h2\0h3\0h4\0h5\0h6\0section\0article\0address\0";

static void open_line(struct mime *mime, bool empty)
{
    if (!mime->html.line_open) {
        mime->html.line_open = true;
        mime_text_quote(mime, mime->html.quotes, empty);
    }
}

static void end_line(struct mime *mime)
{
    open_line(mime, true);
    mime_text_put(mime, '\n');
    mime->html.line_open = false;
    mime->html.space = false;
}

/* What follows stands on a line of its own. */
static void break_line(struct mime *mime)
{
    if (mime->html.line_open) {
        end_line(mime);
    }
    mime->html.space = false;
}

static void show(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;

    if (html->head || html->raw > 0) {
        return;
    }
    if (character == '\n' && html->preformatted) {
        end_line(mime);
        return;
    }
    if (character == ' ' || (character >= '\t' && character <= '\r')) {
        if (!html->preformatted) {
            html->space = html->line_open;
            return;
        }
        character = ' ';
    }
    open_line(mime, false);
    if (html->space) {
        html->space = false;
        mime_text_put(mime, ' ');
    }
    mime_text_put(mime, character);
}

static void token_begin(struct mime *mime)
{
    mime->token_size = 0;
    mime->token[0] = '\0';
}

/* false: it is longer than any that means something. */
static bool token_add(struct mime *mime, uint32_t character)
{
    if (mime->token_size == sizeof mime->token - 1) {
        return false;
    }
    mime->token[mime->token_size++] = (char)character;
    mime->token[mime->token_size] = '\0';
    return true;
}

/* A tag has ended. */
static void tag(struct mime *mime)
{
    struct mime_html *html = &mime->html;
    bool opens = !html->closing;
    unsigned name = mime_find(tag_names, mime->token);

    if (html->raw > 0) {
        html->raw = !opens && name == html->raw ? 0 : html->raw;
        return;
    }
    switch (name) {
    case TAG_SCRIPT:
    case TAG_STYLE:
    case TAG_TITLE:
        html->raw = opens ? (uint8_t)name : 0;
        return;
    case TAG_HEAD:
    case TAG_BODY:
        html->head = opens && name == TAG_HEAD;
        return;
    case TAG_TD:
    case TAG_TH:
        html->space = html->line_open;
        return;
    case TAG_NONE:
        return;
    default:
        break;
    }
    html->head = false; /* It should have been closed. */
    if (name == TAG_BR && opens) {
        end_line(mime);
    }
    break_line(mime);
    if (name == TAG_PRE) {
        html->preformatted = opens;
    } else if (name == TAG_BLOCKQUOTE && opens) {
        html->quotes += html->quotes < QUOTES_MAX;
    } else if (name == TAG_BLOCKQUOTE) {
        html->quotes -= html->quotes > 0;
    }
}

/* "#39" or "#x27" as a character. */
static uint32_t number(const char *s)
{
    static const struct mime_charset windows = {.id = CHARSET_WINDOWS_1252};
    uint32_t base = (*s | 0x20) == 'x' ? 16 : 10;
    uint32_t value = 0;

    for (s += base == 16; *s != '\0' && value <= 0x10FFFF; s++) {
        uint32_t digit = *s <= '9' ? (uint32_t)*s - '0' : ((uint32_t)*s | 0x20) - 'a' + 10;

        if (digit >= base) {
            return 0;
        }
        value = value * base + digit;
    }
    if (value >= 0x80 && value < 0xA0) {
        /* Who writes these means windows-1252, and so do browsers. */
        struct mime_charset charset = windows;
        uint32_t characters[2];

        (void)mime_charset_add(&charset, (uint8_t)value, characters);
        return characters[0];
    }
    return value > 0x10FFFF || value >> 11 == 0xD800 >> 11 ? MIME_REPLACEMENT : value;
}

/* The entity in token has ended; false: it is none that is known. */
static bool entity(struct mime *mime)
{
    static const char names[] = "lt\0gt\0amp\0quot\0apos\0nbsp\0";
    static const char characters[] = "<>&\"'\xA0";
    const char *name = mime->token;
    unsigned found = mime_find(names, name);
    uint32_t character = name[0] == '#' ? number(name + 1) : 0;

    if (found > 0) {
        character = (uint8_t)characters[found - 1];
    }
    if (character == 0) {
        return false;
    }
    show(mime, character);
    return true;
}

static void entity_refuse(struct mime *mime)
{
    show(mime, '&');
    for (const char *s = mime->token; *s != '\0'; s++) {
        show(mime, (uint8_t)*s);
    }
}

static bool is_letter(uint32_t character)
{
    return (character | 0x20) >= 'a' && (character | 0x20) <= 'z';
}

static bool is_digit(uint32_t character)
{
    return character >= '0' && character <= '9';
}

/* true: the character was a part of it. */
static bool entity_add(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;

    if (is_letter(character) || is_digit(character) ||
        (character == '#' && mime->token_size == 0)) {
        if (token_add(mime, character)) {
            return true;
        }
        entity_refuse(mime);
        html->state = HTML_TEXT;
        return false;
    }
    html->state = HTML_TEXT;
    if (!entity(mime)) {
        entity_refuse(mime);
        return false;
    }
    return character == ';';
}

/* Behind "<" or "</". false: it opened nothing, and the character stands for itself. */
static bool open_add(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;

    if (is_letter(character) && (html->raw == 0 || html->closing)) {
        html->state = HTML_NAME;
        token_begin(mime);
        (void)token_add(mime, character | 0x20);
    } else if (character == '/' && !html->closing) {
        html->closing = true;
    } else if (html->raw > 0) {
        html->state = HTML_TEXT;
        return false;
    } else if (html->closing || character == '?') {
        html->state = character == '>' ? HTML_TEXT : HTML_BOGUS;
    } else if (character == '!') {
        html->state = HTML_BANG;
        html->dashes = 0;
    } else {
        html->state = HTML_TEXT; /* As in "a < b". */
        show(mime, '<');
        return false;
    }
    return true;
}

/* In a tag, and in its name. */
static void tag_add(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;
    bool blank = character == ' ' || (character >= '\t' && character <= '\r');

    if (character == '>') {
        html->state = HTML_TEXT;
        tag(mime);
    } else if (html->state == HTML_NAME) {
        if (blank || character == '/') {
            html->state = HTML_TAG;
            html->equals = false;
        } else {
            character = character < 0x80 ? character : '?';
            (void)token_add(mime, is_letter(character) ? character | 0x20 : character);
        }
    } else if (html->equals && (character == '"' || character == '\'')) {
        html->quote = (char)character;
        html->state = HTML_QUOTED;
    } else if (!blank) {
        html->equals = character == '=';
    }
}

/* Behind "<!". */
static void comment_add(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;

    if (html->state == HTML_BANG) {
        if (character == '-') {
            html->state = ++html->dashes == 2 ? HTML_COMMENT : HTML_BANG;
        } else {
            html->state = character == '>' ? HTML_TEXT : HTML_BOGUS;
        }
    } else if (character == '>' && (html->state == HTML_BOGUS || html->dashes >= 2)) {
        html->state = HTML_TEXT;
    } else {
        html->dashes = character != '-' ? 0 : html->dashes < 2 ? html->dashes + 1 : 2;
    }
}

void mime_html_add(struct mime *mime, uint32_t character)
{
    struct mime_html *html = &mime->html;

    switch (html->state) {
    case HTML_OPEN:
        if (open_add(mime, character)) {
            return;
        }
        break;
    case HTML_NAME:
    case HTML_TAG:
        tag_add(mime, character);
        return;
    case HTML_QUOTED:
        if (character == (uint8_t)html->quote) {
            html->state = HTML_TAG;
            html->equals = false;
        }
        return;
    case HTML_BANG:
    case HTML_COMMENT:
    case HTML_BOGUS:
        comment_add(mime, character);
        return;
    case HTML_ENTITY:
        if (entity_add(mime, character)) {
            html->state = character == ';' ? HTML_TEXT : HTML_ENTITY;
            return;
        }
        break;
    default:
        break;
    }
    if (character == '<') {
        html->state = HTML_OPEN;
        html->closing = false;
    } else if (character == '&') {
        html->state = HTML_ENTITY;
        token_begin(mime);
    } else {
        show(mime, character);
    }
}

void mime_html_end(struct mime *mime)
{
    if (mime->html.state == HTML_ENTITY && !entity(mime)) {
        entity_refuse(mime);
    }
    if (mime->html.state == HTML_OPEN) {
        show(mime, '<');
    }
}
