#include "firmware/console.h"
#include "net/text.h"

#include <string.h>

#define PROMPT "tocsin> "
#define ERASE_LINE "\r\033[K"

enum { ESCAPE_NONE, ESCAPE_SEEN, ESCAPE_BRACKET };

enum {
    KEY_CTRL_A = 1,
    KEY_CTRL_C = 3,
    KEY_CTRL_E = 5,
    KEY_BACKSPACE = 8,
    KEY_CTRL_U = 21,
    KEY_CTRL_W = 23,
    KEY_ESCAPE = 27,
    KEY_DELETE = 127
};

static void put(struct console *console, const char *text)
{
    console->write(text, strlen(text));
}

void console_init(struct console *console, void (*write)(const char *text, size_t size))
{
    memset(console, 0, sizeof *console);
    console->write = write;
}

/* A UTF-8 character is one step for the cursor: these bytes are its later ones. */
static bool is_tail(char c)
{
    return (c & 0xC0) == 0x80;
}

/* Draws the line again and leaves the terminal's cursor where ours is. */
static void redraw(struct console *console)
{
    uint32_t steps = 0;

    put(console, ERASE_LINE PROMPT);
    console->write(console->line, console->length);
    for (uint16_t i = console->cursor; i < console->length; i++) {
        steps += is_tail(console->line[i]) ? 0 : 1;
    }
    if (steps > 0) {
        char move[12];
        struct text text = text_begin(move, sizeof move);

        text_add(&text, "\033[");
        text_add_u32(&text, steps);
        text_add_char(&text, 'D');
        put(console, move);
    }
}

void console_prompt(struct console *console)
{
    console->prompt_shown = true;
    redraw(console);
}

void console_print(struct console *console, const char *line)
{
    if (console->prompt_shown) {
        put(console, ERASE_LINE);
    }
    put(console, line);
    put(console, "\r\n");
    if (console->prompt_shown) {
        redraw(console);
    }
}

static void insert(struct console *console, char c)
{
    if (console->length + 1u >= sizeof console->line) {
        put(console, "\a");
        return;
    }
    memmove(console->line + console->cursor + 1, console->line + console->cursor,
            (size_t)(console->length - console->cursor));
    console->line[console->cursor++] = c;
    console->length++;
    if (console->cursor == console->length) {
        console->write(&c, 1);
    } else {
        redraw(console);
    }
}

/* Removes count bytes before the cursor; a UTF-8 character goes as a whole. */
static void remove_before(struct console *console, uint16_t count)
{
    while (count < console->cursor && count > 0 &&
           is_tail(console->line[console->cursor - count])) {
        count++;
    }
    if (count > console->cursor) {
        count = console->cursor;
    }
    memmove(console->line + console->cursor - count, console->line + console->cursor,
            (size_t)(console->length - console->cursor));
    console->cursor = (uint16_t)(console->cursor - count);
    console->length = (uint16_t)(console->length - count);
    redraw(console);
}

static void remove_word(struct console *console)
{
    uint16_t at = console->cursor;

    while (at > 0 && console->line[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && console->line[at - 1] != ' ') {
        at--;
    }
    remove_before(console, (uint16_t)(console->cursor - at));
}

static void recall(struct console *console)
{
    console->length = (uint16_t)strlen(console->last);
    memcpy(console->line, console->last, console->length);
    console->cursor = console->length;
    redraw(console);
}

static void step_left(struct console *console)
{
    while (console->cursor > 0 && is_tail(console->line[--console->cursor])) {
    }
}

static void step_right(struct console *console)
{
    while (console->cursor < console->length && ++console->cursor < console->length &&
           is_tail(console->line[console->cursor])) {
    }
}

/* The last byte of ESC [ number byte. */
static void escape_key(struct console *console, char c)
{
    if (c == 'A') {
        recall(console);
    } else if (c == 'C') {
        step_right(console);
    } else if (c == 'D') {
        step_left(console);
    } else if (c == 'H' || (c == '~' && (console->parameter == 1 || console->parameter == 7))) {
        console->cursor = 0;
    } else if (c == 'F' || (c == '~' && (console->parameter == 4 || console->parameter == 8))) {
        console->cursor = console->length;
    } else if (c == '~' && console->parameter == 3 && console->cursor < console->length) {
        step_right(console);
        remove_before(console, 1);
    }
    redraw(console);
}

static bool escape_input(struct console *console, char c)
{
    if (console->escape == ESCAPE_NONE) {
        if (c != KEY_ESCAPE) {
            return false;
        }
        console->escape = ESCAPE_SEEN;
    } else if (console->escape == ESCAPE_SEEN) {
        console->parameter = 0;
        console->escape = c == '[' || c == 'O' ? ESCAPE_BRACKET : ESCAPE_NONE;
    } else if (c >= '0' && c <= '9') {
        console->parameter = (uint8_t)(console->parameter * 10 + (c - '0'));
    } else if (c != ';') {
        console->escape = ESCAPE_NONE;
        escape_key(console, c);
    }
    return true;
}

static const char *finish(struct console *console)
{
    put(console, "\r\n");
    console->prompt_shown = false;
    console->line[console->length] = '\0';
    if (console->length > 0) {
        memcpy(console->last, console->line, (size_t)console->length + 1);
    }
    console->length = 0;
    console->cursor = 0;
    return console->line;
}

const char *console_input(struct console *console, char c)
{
    bool line_feed_of_cr = c == '\n' && console->after_cr;

    console->after_cr = c == '\r';
    if (line_feed_of_cr || escape_input(console, c)) {
        return NULL;
    }
    switch (c) {
    case '\r':
    case '\n':
        return finish(console);
    case KEY_BACKSPACE:
    case KEY_DELETE:
        remove_before(console, 1);
        break;
    case KEY_CTRL_A:
        console->cursor = 0;
        redraw(console);
        break;
    case KEY_CTRL_E:
        console->cursor = console->length;
        redraw(console);
        break;
    case KEY_CTRL_C:
    case KEY_CTRL_U:
        console->length = 0;
        console->cursor = 0;
        redraw(console);
        break;
    case KEY_CTRL_W:
        remove_word(console);
        break;
    default:
        if ((unsigned char)c >= ' ') {
            insert(console, c);
        }
        break;
    }
    return NULL;
}
