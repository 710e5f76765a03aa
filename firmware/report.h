/* report.h - `report = daily 07:00`: a heartbeat, whose absence a person notices.
 *
 * The report is a mail like an answer (answer.h): it is queued when it is due, one at a time, and
 * its lines are made when it is sent. One that is still queued when the next is due gives way to
 * it. What was due while the device had no power, or did not know the time, is sent once, when it
 * does. The first one comes at the first due time after `report` was configured.
 *
 * It cannot come twice, nor be lost, by a power cut: the old one is taken out of the queue first,
 * then the new one is queued, then the diary remembers it. A cut before the second step leaves it
 * due; a cut after it leaves it in the queue, where the next start finds it.
 *
 * Cost: sizeof(struct report).
 */
#ifndef TOCSIN_FIRMWARE_REPORT_H
#define TOCSIN_FIRMWARE_REPORT_H

#include "net/text.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

/* In struct app; all zero at the start. */
struct report {
    bool started;         /* The queue and the diary have been looked at. */
    bool unsaved;         /* The diary in flash does not have last_unix_s yet. */
    uint32_t number;      /* The one in the queue; 0: none. */
    uint32_t last_unix_s; /* As diary.report_unix_s: the last due time served; 0: none yet. */
    uint64_t next_ms;     /* When to look again. */
};

/* Queues a report that is due. True: it did. */
bool report_poll(struct app *app);

/* When the next one is due, by the clock; 0: never, or the clock is not known. */
uint64_t report_due_unix_s(struct app *app);

/* Line `index` of the text, for phones; and of the counters as CSV (RFC 4180: "name,value").
 * False: no more. */
bool report_line(struct app *app, unsigned index, struct text *out);
bool report_csv_line(struct app *app, unsigned index, struct text *out);

/* What is left of the one-time passwords: line 0, and line 1 if they are few. False: no such line.
 * No line begins with "otp", which in a mail back to the device would be one. */
bool report_otp_line(struct app *app, unsigned index, struct text *out);

/* "2026-11-22 07:00:00 +0300", or "unknown, the clock was not set". */
void report_add_time(const struct app *app, uint64_t unix_s, struct text *out);

/* When (seconds since 1970) what `schedule` (config.h) names is due next, if it was served last at
 * last_unix_s; not later than unix_s, the time now: it is due. 0: never, the schedule is off.
 * last_unix_s 0 (never yet, so serve last_unix_s = unix_s: nothing is due at once), or one that
 * lies so far ahead that a clock must have been wrong, count as now. zone_minutes is the zone of
 * its time of day. `weekly HH:MM` is Mondays. For `report` and `self_test`. */
uint64_t report_next_unix_s(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s,
                            int32_t zone_minutes);

/* The latest time at which it was due, after last_unix_s and not after unix_s: what is to be
 * remembered as served. 0: none. */
uint64_t report_served_unix_s(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s,
                              int32_t zone_minutes);

#endif
