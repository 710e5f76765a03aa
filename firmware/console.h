/* console.h - a line editor on a serial line, with a prompt that log lines do not tear apart.
 *
 * Keys: Backspace, Delete, left, right, Home, End (also ^A ^E), ^U, ^W, ^C, up for the last line;
 * VT100 sequences, no terminal query. Cost: sizeof(struct console).
 */
#ifndef TOCSIN_FIRMWARE_CONSOLE_H
#define TOCSIN_FIRMWARE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_LINE_BYTES 200

struct console {
    void (*write)(const char *text, size_t size);
    uint16_t length;
    uint16_t cursor;
    uint8_t escape;    /* Where in an escape sequence the input is. */
    uint8_t parameter; /* Its number. */
    bool after_cr;
    bool prompt_shown;
    char line[CONSOLE_LINE_BYTES];
    char last[CONSOLE_LINE_BYTES];
};

void console_init(struct console *console, void (*write)(const char *text, size_t size));

/* Takes one byte. Returns the finished line, valid until the next call, or NULL. */
const char *console_input(struct console *console, char c);

/* Shows the prompt and what has been typed so far. */
void console_prompt(struct console *console);

/* Prints one line; if the prompt is on the screen, it moves below. */
void console_print(struct console *console, const char *line);

#endif
