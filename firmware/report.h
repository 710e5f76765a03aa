/* report.h - `report = daily 07:00`: a heartbeat, whose absence a person notices.
 *
 * The report is a mail like an answer (answer.h): it is queued when it is due, one at a time, and
 * its lines are made when it is sent. What was due while the device had no power is sent at the
 * start, once.
 */
#ifndef TOCSIN_FIRMWARE_REPORT_H
#define TOCSIN_FIRMWARE_REPORT_H

#include "net/text.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

/* Queues a report that is due. True: it did. */
bool report_poll(struct app *app);

/* When the next one is due, by the clock; 0: never, or the clock is not known. */
uint64_t report_due_unix_s(struct app *app);

/* Line `index` of the text, for phones; and of the counters as CSV (RFC 4180: "name,value").
 * False: no more. */
bool report_line(struct app *app, unsigned index, struct text *out);
bool report_csv_line(struct app *app, unsigned index, struct text *out);

/* Seconds from unix_s to the next time that a schedule (config.h) names; zone_minutes is the
 * zone of its time of day. For `report` and `self_test`. last_unix_s: the last one served. */
uint64_t report_next_unix_s(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s,
                            int32_t zone_minutes);

#endif
