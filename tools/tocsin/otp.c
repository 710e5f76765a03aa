/* otp.c - chains of one-time passwords (RFC 2289) and the list that a person carries. */
#include "common.h"

#include "net/otp.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PHRASE_BYTES 256

/* The first line, without its end. */
static void line_of(const char *text, char out[PHRASE_BYTES], const char *from)
{
    size_t size = strcspn(text, "\r\n");

    if (size >= PHRASE_BYTES) {
        die("%s: the pass phrase has more than 63 characters", from);
    }
    memcpy(out, text, size);
    out[size] = '\0';
}

/* Asks on the terminal, which shows nothing of the answer. Signals wait until it shows again. */
static void ask(const char *question, char out[PHRASE_BYTES])
{
    char line[PHRASE_BYTES + 1];
    struct termios was, quiet;
    sigset_t all, before;
    ssize_t size;
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (terminal < 0 || tcgetattr(terminal, &was) != 0) {
        die("there is no terminal to ask for the pass phrase: give --phrase-file FILE");
    }
    dprintf(terminal, "%s: ", question);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    quiet.c_lflag |= ICANON;
    tcsetattr(terminal, TCSAFLUSH, &quiet);
    size = read(terminal, line, sizeof line - 1);
    tcsetattr(terminal, TCSAFLUSH, &was);
    sigprocmask(SIG_SETMASK, &before, NULL);
    dprintf(terminal, "\n");
    close(terminal);
    if (size <= 0) {
        die("no pass phrase was given");
    }
    line[size] = '\0';
    line_of(line, out, "the terminal");
}

static void phrase_read(const char *path, bool twice, char out[PHRASE_BYTES])
{
    if (path != NULL) {
        char text[4096];

        (void)read_file(path, text, sizeof text);
        line_of(text, out, path);
        memset(text, 0, sizeof text);
        return;
    }
    ask("pass phrase, 10 to 63 characters", out);
    if (twice) {
        char again[PHRASE_BYTES];

        ask("the same once more", again);
        if (strcmp(out, again) != 0) {
            die("the two are not the same");
        }
    }
}

static void response_make(const char *seed, const char *phrase, uint32_t sequence,
                          uint8_t out[OTP_BYTES])
{
    if (otp_make(seed, phrase, sequence, out) < 0) {
        die("a pass phrase has 10 to 63 characters (RFC 2289 section 6)");
    }
}

static void hex_print(const uint8_t response[OTP_BYTES], const char *blank)
{
    for (unsigned i = 0; i < OTP_BYTES; i++) {
        printf("%s%02x", i > 0 && i % 2 == 0 ? blank : "", response[i]);
    }
}

/* Those below sequence, the next one first. */
static void list_print(const char *seed, const char *phrase, uint32_t sequence, uint32_t count)
{
    printf("one-time passwords with the seed %s; use them in this order, each once\n\n", seed);
    for (uint32_t i = 1; i <= count && i <= sequence; i++) {
        uint8_t response[OTP_BYTES];
        char words[OTP_TEXT_BYTES];

        response_make(seed, phrase, sequence - i, response);
        otp_words(response, words);
        printf("%5u  %-29s  ", sequence - i, words);
        hex_print(response, " ");
        printf("\n");
    }
}

static void chain_print(const char *seed, const char *phrase, uint32_t sequence)
{
    uint8_t response[OTP_BYTES];

    response_make(seed, phrase, sequence, response);
    printf("otp = %u %s ", sequence, seed);
    hex_print(response, "");
    printf("\n");
}

/* Two letters and six digits, as such seeds are by custom. */
static void seed_print(void)
{
    uint8_t bytes[8];

    random_bytes(bytes, sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        putchar(i < 2 ? 'a' + bytes[i] % 26 : '0' + bytes[i] % 10);
    }
    putchar('\n');
}

int command_otp(int argc, char **argv)
{
    enum { SEED, SEQUENCE, COUNT, PHRASE, OPTIONS };
    struct option_value options[OPTIONS] = {
        [SEED] = {"seed", NULL, false},
        [SEQUENCE] = {"sequence", NULL, false},
        [COUNT] = {"count", "30", false},
        [PHRASE] = {"phrase-file", NULL, false},
    };
    const char *what = argc > 0 ? argv[0] : "";
    bool is_chain = strcmp(what, "chain") == 0;
    char phrase[PHRASE_BYTES];
    uint32_t sequence, count;

    if (strcmp(what, "seed") == 0 && argc == 1) {
        seed_print();
        return 0;
    }
    if (!is_chain && strcmp(what, "list") != 0) {
        die_usage("otp: `list`, `chain` or `seed` is wanted");
    }
    if (options_read(argc - 1, argv + 1, options, OPTIONS) != argc - 1) {
        die_usage("otp %s: takes options only", what);
    }
    if (options[SEED].value == NULL || options[SEQUENCE].value == NULL) {
        die_usage("otp %s: --seed SEED and --sequence N are wanted", what);
    }
    if (!otp_seed_valid(options[SEED].value)) {
        die_usage("--seed: 1 to %d letters and digits are wanted", OTP_SEED_MAX);
    }
    sequence = number_of(options[SEQUENCE].value, "sequence", 1, OTP_SEQUENCE_MAX);
    count = number_of(options[COUNT].value, "count", 1, OTP_SEQUENCE_MAX);
    phrase_read(options[PHRASE].value, is_chain, phrase);
    if (is_chain) {
        chain_print(options[SEED].value, phrase, sequence);
    } else {
        list_print(options[SEED].value, phrase, sequence, count);
    }
    memset(phrase, 0, sizeof phrase);
    return 0;
}
