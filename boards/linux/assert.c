/* assert.c - what a failed assert() says, without the C library's printf.
 *
 * musl's own would bring 10 KB of number formatting into a program that has no other use for it.
 * Elsewhere (the host's tests) the library's own stays.
 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef __GLIBC__
#include "net/text.h"

void __assert_fail(const char *expression, const char *file, int line, const char *function)
{
    char sentence[256];
    struct text text = text_begin(sentence, sizeof sentence);

    text_format(&text, "tocsin: %s:%u: %s: assertion failed: %s\n", file, (unsigned)line, function,
                expression);
    if (write(STDERR_FILENO, sentence, text.length) < 0) {
        /* Nobody listens; the signal tells enough. */
    }
    abort();
}
#endif
