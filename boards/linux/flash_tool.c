#include "boards/linux/flash_tool.h"

#include "net/text.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define TOOL "tocsin-flash-"
#define NAME_BYTES_MAX 64
#define SENTENCE_BYTES (PATH_MAX + 256)

/* Those that boot from an image (CMakeLists.txt). */
static const char *const boards[] = {TOCSIN_BOARDS};

static const char usage[] = "usage: tocsin flash --board NAME create [--seedless] CONFIG IMAGE\n"
                            "       tocsin flash --board NAME check CONFIG\n"
                            "       tocsin flash --board NAME list | verify IMAGE\n"
                            "       tocsin flash --board NAME extract IMAGE [FOLDER]\n"
                            "       tocsin flash --board list\n";

static void print(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static bool is_there(const char *folder, size_t size, const char *board, char path[PATH_MAX])
{
    struct text text = text_begin(path, PATH_MAX);

    text_add_bytes(&text, folder, size);
    text_format(&text, "%s" TOOL "%s", size > 0 ? "/" : "", board); /* Of PATH, "" is here. */
    return !text.cut && access(path, X_OK) == 0;
}

/* Beside this program, else in PATH. */
static bool find(const char *board, char path[PATH_MAX])
{
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof own);
    const char *folder = getenv("PATH");

    while (size > 0 && own[size - 1] != '/') {
        size--;
    }
    if (size > 0 && is_there(own, (size_t)size - 1, board, path)) {
        return true;
    }
    while (folder != NULL) {
        size_t length = strcspn(folder, ":");

        if (is_there(folder, length, board, path)) {
            return true;
        }
        folder = folder[length] == ':' ? folder + length + 1 : NULL;
    }
    return false;
}

static int list(void)
{
    char line[SENTENCE_BYTES];
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof boards / sizeof boards[0]; i++) {
        bool found = find(boards[i], path);

        (void)text_print(line, sizeof line, "%s: %s\n", boards[i],
                         found ? path : TOOL "* of this board is not installed");
        print(STDOUT_FILENO, line);
    }
    return EX_OK;
}

static int not_found(const char *board)
{
    const size_t count = sizeof boards / sizeof boards[0];
    char line[SENTENCE_BYTES];
    struct text text = text_begin(line, sizeof line);
    bool known = false;

    for (size_t i = 0; i < count; i++) {
        known = known || strcmp(boards[i], board) == 0;
    }
    text_add(&text, "tocsin flash: ");
    if (known) {
        text_format(&text,
                    TOOL "%s is not installed, neither beside this program nor in PATH; "
                         "`make tools` builds it\n",
                    board);
    } else {
        text_add(&text, "there is no board \"");
        text_add_printable(&text, board, strnlen(board, NAME_BYTES_MAX));
        text_add(&text, "\"; boards:");
        for (size_t i = 0; i < count; i++) {
            text_format(&text, " %s", boards[i]);
        }
        text_add_char(&text, '\n');
    }
    print(STDERR_FILENO, line);
    return known ? EX_UNAVAILABLE : EX_USAGE;
}

int flash_tool(int argc, const char *argv[])
{
    static const char option[] = "--board=";
    char path[PATH_MAX];
    const char *board = NULL;
    int rest = 1;

    if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        print(STDOUT_FILENO, usage);
        return EX_OK;
    }
    if (argc >= 2 && strcmp(argv[0], "--board") == 0) {
        board = argv[1];
        rest = 2;
    } else if (argc >= 1 && strncmp(argv[0], option, sizeof option - 1) == 0) {
        board = argv[0] + sizeof option - 1;
    }
    if (board == NULL || board[0] == '\0') {
        print(STDERR_FILENO, usage);
        return EX_USAGE;
    }
    if (rest == argc && strcmp(board, "list") == 0) {
        return list();
    }
    /* A name is no path. */
    if (strchr(board, '/') != NULL || !find(board, path)) {
        return not_found(board);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
    argv[rest - 1] = path;
    (void)execv(path, (char *const *)(void *)(argv + rest - 1));
    print(STDERR_FILENO, "tocsin flash: ");
    print(STDERR_FILENO, path);
    print(STDERR_FILENO, ": ");
    print(STDERR_FILENO, strerror(errno));
    print(STDERR_FILENO, "\n");
    return EX_OSERR;
}
