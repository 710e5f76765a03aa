/* child.h - code with state at file scope (lwIP, a device's main file) begun anew: in a child
 * process.
 *
 * What the child changes is lost with it, but for what lies in shared memory.
 */
#ifndef TOCSIN_TESTS_SIM_CHILD_H
#define TOCSIN_TESTS_SIM_CHILD_H

#include <stddef.h>

/* Zeroed memory that children share with us. */
void *sim_child_shared(size_t size);

/* Runs body(context) in a child and returns what it returned (0 to 100); 101 when it died, 102 when
 * it took longer than so many seconds. */
int sim_child(int (*body)(void *context), void *context, unsigned seconds_max);

/* Ends the child at once, wherever it is. */
void sim_child_end(int result) __attribute__((noreturn));

/* In a child, beside cmocka's own: tells what does not hold, and ends it with 1. */
#define sim_expect(condition) sim_child_expect((condition), #condition, __FILE__, __LINE__)
void sim_child_expect(_Bool holds, const char *what, const char *file, int line);

#endif
