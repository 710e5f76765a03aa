/* report.h - what an image holds, as text for people and for other programs. */
#ifndef TOCSIN_TOOLS_FLASH_REPORT_H
#define TOCSIN_TOOLS_FLASH_REPORT_H

#include "image.h"

#include <stdio.h>

/* What is to be said of a slot: "whole, in force", "damaged", ... Valid until the next call. */
const char *slot_words(const struct slot_info *info);

/* The queue as a table, a line an alert. */
void queue_print(const struct image *image, FILE *out);

/* Books of the queue, boot count and wear: `key = value` lines, each after `before`. */
void counters_print(const struct image *image, FILE *out, const char *before);

int command_list(const char *path);

#endif
