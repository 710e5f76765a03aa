/* The console's line editor, seen through a terminal that does what a VT100 does with its output.
 */
#include "firmware/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROMPT "tocsin> "
#define LEFT "\033[D"
#define RIGHT "\033[C"
#define UP "\033[A"

/* A terminal of one line: a cell is a character. */
static struct {
    char cell[512][5];
    size_t cursor, width;
    unsigned bells;
    char above[8192]; /* Finished lines, each with LF. */
    char escape[16];
} screen;

static void terminal_escape(char c)
{
    size_t size = strlen(screen.escape);

    assert_true(size + 2 < sizeof screen.escape);
    screen.escape[size] = c;
    screen.escape[size + 1] = '\0';
    if (strcmp(screen.escape, "\033[K") == 0) {
        screen.width = screen.cursor;
    } else if (c == 'D') {
        size_t count = (size_t)atoi(screen.escape + 2);

        assert_in_range(count, 1, screen.cursor);
        screen.cursor -= count;
    } else if (c == '\033' || c == '[' || (c >= '0' && c <= '9')) {
        return;
    } else {
        fail_msg("unknown escape sequence %s", screen.escape + 1);
    }
    screen.escape[0] = '\0';
}

static void terminal_end_line(void)
{
    for (size_t i = 0; i < screen.width; i++) {
        strcat(screen.above, screen.cell[i]);
    }
    strcat(screen.above, "\n");
    screen.width = 0;
}

static void terminal_char(char c)
{
    if (((unsigned char)c & 0xC0) == 0x80) {
        size_t at = screen.cursor - 1;
        size_t size = strlen(screen.cell[at]);

        screen.cell[at][size] = c;
        screen.cell[at][size + 1] = '\0';
        return;
    }
    assert_true(screen.cursor < sizeof screen.cell / sizeof screen.cell[0]);
    screen.cell[screen.cursor][0] = c;
    screen.cell[screen.cursor++][1] = '\0';
    if (screen.width < screen.cursor) {
        screen.width = screen.cursor;
    }
}

static void terminal_write(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (screen.escape[0] != '\0' || text[i] == '\033') {
            terminal_escape(text[i]);
        } else if (text[i] == '\r') {
            screen.cursor = 0;
        } else if (text[i] == '\n') {
            terminal_end_line();
        } else if (text[i] == '\a') {
            screen.bells++;
        } else {
            terminal_char(text[i]);
        }
    }
}

static void begin(struct console *console)
{
    memset(&screen, 0, sizeof screen);
    console_init(console, terminal_write);
    console_prompt(console);
}

/* Types all; returns the last line that it finished, or NULL. */
static const char *type(struct console *console, const char *keys)
{
    const char *line = NULL;

    for (; *keys != '\0'; keys++) {
        const char *finished = console_input(console, *keys);

        if (finished != NULL) {
            line = finished;
        }
    }
    return line;
}

/* What is on the screen, `|` being the cursor. */
static void assert_screen(const char *want)
{
    char shown[2048] = "";

    for (size_t i = 0; i <= screen.width; i++) {
        strcat(shown, i == screen.cursor ? "|" : "");
        strcat(shown, i < screen.width ? screen.cell[i] : "");
    }
    assert_string_equal(shown, want);
}

static void test_keys(void **state)
{
    static const struct {
        const char *keys, *line;
    } cases[] = {
        {"status\r", "status"},
        {"statos\b\bus\r", "status"},
        {"statos\177\177us\r", "status"},
        {"\b\b\177x\b\b\bstatus\r", "status"},
        {"sttus" LEFT LEFT LEFT "a\r", "status"},
        {"sttus" LEFT LEFT LEFT LEFT LEFT LEFT LEFT RIGHT RIGHT "a\r", "status"},
        {"tatus\001s\r", "status"},
        {"tatus\033[Hs\r", "status"},
        {"tatus\033[1~s\r", "status"},
        {"tatu\001s\005s\r", "status"},
        {"tatu\033OHs\033OFs\r", "status"},
        {"tatu\033[7~s\033[8~s\r", "status"},
        {"tatu\033[7~s\033[4~s" RIGHT RIGHT "\r", "status"},
        {"xstatus\001\033[3~\r", "status"},
        {"status\033[3~\033[3~\r", "status"},
        {"rubbish\025status\r", "status"},
        {"rubbish\003status\r", "status"},
        {"status rub  \027\r", "status "},
        {"\027\027status\r", "status"},
        {"one two" LEFT LEFT "\027\r", "one wo"},
        {"\001\002\006\t\016status\r", "status"},       /* Keys without a meaning do nothing. */
        {"sta\033[5~\033[20~\033[1;5Btus\r", "status"}, /* So do these sequences. */
        {"", NULL},
        {"\r", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct console console;
        const char *line;

        begin(&console);
        line = type(&console, cases[i].keys);
        if (cases[i].line == NULL) {
            assert_null(line);
            continue;
        }
        assert_non_null(line);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(strncmp(screen.above, PROMPT, strlen(PROMPT)), 0);
        assert_int_equal(strncmp(screen.above + strlen(PROMPT), line, strlen(line)), 0);
        assert_string_equal(screen.above + strlen(PROMPT) + strlen(line), "\n");
    }
}

static void test_recall(void **state)
{
    struct console console;

    (void)state;
    begin(&console);
    assert_null(type(&console, UP));
    assert_screen(PROMPT "|");
    assert_string_equal(type(&console, "first\r"), "first");
    assert_string_equal(type(&console, "\r"), ""); /* An empty line is not worth remembering. */
    console_prompt(&console);
    assert_null(type(&console, "xyz" UP));
    assert_screen(PROMPT "first|");
    assert_string_equal(type(&console, "!\r"), "first!");
    assert_string_equal(type(&console, UP "\r"), "first!");
}

static void test_line_ends(void **state)
{
    struct console console;
    unsigned lines = 0;
    static const char keys[] = "a\r\nb\nc\rd\r\n\r\n\n\r";

    (void)state;
    begin(&console);
    for (size_t i = 0; i + 1 < sizeof keys; i++) {
        lines += console_input(&console, keys[i]) != NULL ? 1 : 0;
    }
    assert_int_equal(lines, 7);
}

static void test_utf8(void **state)
{
    struct console console;

    (void)state;
    begin(&console);
    assert_null(type(&console, "Ж€😀"));
    assert_screen(PROMPT "Ж€😀|");
    assert_null(type(&console, "\b"));
    assert_screen(PROMPT "Ж€|");
    assert_null(type(&console, "\177"));
    assert_screen(PROMPT "Ж|");
    assert_null(type(&console, "\b\b"));
    assert_screen(PROMPT "|");
    /* An arrow steps over a whole character, and Delete takes one. */
    assert_null(type(&console, "дом" LEFT LEFT));
    assert_screen(PROMPT "д|ом");
    assert_null(type(&console, "ы"));
    assert_screen(PROMPT "ды|ом");
    assert_null(type(&console, "\033[3~"));
    assert_screen(PROMPT "ды|м");
    assert_null(type(&console, RIGHT "!"));
    assert_string_equal(type(&console, "\r"), "дым!");
}

static void test_overlong(void **state)
{
    struct console console;
    char keys[CONSOLE_LINE_BYTES + 50];
    const char *line;

    (void)state;
    begin(&console);
    memset(keys, 'x', sizeof keys);
    keys[sizeof keys - 1] = '\0';
    assert_null(type(&console, keys));
    assert_int_equal(screen.bells, sizeof keys - 1 - (CONSOLE_LINE_BYTES - 1));
    assert_null(type(&console, "\001y"));
    assert_int_equal(screen.bells, sizeof keys - 1 - (CONSOLE_LINE_BYTES - 1) + 1);
    assert_null(type(&console, "\005\by"));
    line = type(&console, "\r");
    assert_int_equal(strlen(line), CONSOLE_LINE_BYTES - 1);
    assert_int_equal(line[0], 'x');
    assert_int_equal(line[CONSOLE_LINE_BYTES - 2], 'y');
}

static void test_log_line_while_typing(void **state)
{
    struct console console;

    (void)state;
    begin(&console);
    assert_null(type(&console, "alert err fire" LEFT LEFT));
    console_print(&console, "log: link up");
    assert_string_equal(screen.above, "log: link up\n");
    assert_screen(PROMPT "alert err fi|re");
    assert_string_equal(type(&console, "ve wi\r"), "alert err five wire");
    console_print(&console, "ok"); /* No prompt between a command and its answer. */
    assert_screen("|");
    assert_string_equal(screen.above, "log: link up\n" PROMPT "alert err five wire\nok\n");
}

/* Any bytes at all: the object stays whole, and the screen shows what it holds. */
static void test_noise(void **state)
{
    struct console console;
    uint32_t random = 99;

    (void)state;
    begin(&console);
    for (unsigned i = 0; i < 200000; i++) {
        static const char usual[] = "ab \033[[ACDHF~37\b\027\001\005";

        random = random * 1664525 + 1013904223;
        if (console_input(&console, usual[(random >> 16) % (sizeof usual - 1)]) != NULL) {
            console_prompt(&console);
        }
        assert_true(console.cursor <= console.length);
        assert_true(console.length < CONSOLE_LINE_BYTES);
        assert_int_equal(screen.width, strlen(PROMPT) + console.length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),      cmocka_unit_test(test_recall),
        cmocka_unit_test(test_line_ends), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_overlong),  cmocka_unit_test(test_log_line_while_typing),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
