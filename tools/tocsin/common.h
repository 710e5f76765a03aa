/* common.h - what all parts of the tool `tocsin` use. */
#ifndef TOCSIN_TOOLS_TOCSIN_COMMON_H
#define TOCSIN_TOOLS_TOCSIN_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Says a sentence on stderr, after "tocsin: ", and ends the program with status 1. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The same with status 2, and where help is: the command line is wrong. */
void die_usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Reads a whole file, or the standard input for "-", and ends it by NUL: it may have room - 2
 * bytes. Returns its size. Ends the program with a sentence when it cannot be read, or is larger.
 */
size_t read_file(const char *path, char *out, size_t room);

/* Writes a file that only its owner may read. Never over another one. */
void write_secret(const char *path, const char *text);

void random_bytes(void *out, size_t size);

/* Digits, at least min. Ends the program otherwise; what names the option. */
uint32_t number_of(const char *text, const char *what, uint32_t min, uint32_t max);

/* One option of a subcommand that takes a value. */
struct option_value {
    const char *name;  /* Without its dashes. */
    const char *value; /* The default, then what was given. */
    bool is_flag;      /* Takes none; value becomes "". */
};

/* Reads `--name VALUE` and `--name=VALUE` up to the first argument that is no option, or behind
 * "--". Returns how many arguments that were. */
int options_read(int argc, char **argv, struct option_value *options, size_t count);

int command_key(int argc, char **argv);
int command_sign(int argc, char **argv);
int command_otp(int argc, char **argv);

#endif
