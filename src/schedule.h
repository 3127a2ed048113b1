/*
 * schedule.h
 *
 * Pure: when a policy runs next, run windows, back-off.
 */
#ifndef RET_SCHEDULE_H
#define RET_SCHEDULE_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* Minutes after local midnight; from > to reaches over midnight. */
typedef struct RetWindow
{
	int			from;
	int			to;
} RetWindow;

extern bool ret_window_parse(const char *text, RetWindow *window);
extern bool ret_window_is_open(const RetWindow *window, pg_tz *zone,
							   TimestampTz now);
extern TimestampTz ret_window_next_open(const RetWindow *window, pg_tz *zone,
										TimestampTz now);
extern TimestampTz ret_next_run(TimestampTz anchor, const Interval *every,
								TimestampTz now);
extern int64 ret_backoff_ms(int failures, int64 base_ms, int64 max_ms);

#endif							/* RET_SCHEDULE_H */
