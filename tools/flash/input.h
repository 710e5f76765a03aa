/* input.h - a configuration as a person wrote it, checked as the device will check it. */
#ifndef TOCSIN_TOOLS_FLASH_INPUT_H
#define TOCSIN_TOOLS_FLASH_INPUT_H

#include "common.h"
#include "firmware/config.h"

#define INPUT_BYTES_MAX (4u << 20) /* Of a file that a person wrote. */

struct input {
    struct buffer text; /* As it goes to flash: with the certificates of its CA files. */
    struct config config;
};

/* Reads and checks a configuration file. What is wrong with it is told in the order of its lines,
 * and ends the program. */
const struct input *input_check(const char *path);

/* Prints all settings, secrets as "********", each line after `before`. */
void settings_print(const struct config *config, const char *before);

#endif
