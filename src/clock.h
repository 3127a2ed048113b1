/*
 * clock.h
 *
 * The only place that reads the clock or sleeps.
 */
#ifndef RET_CLOCK_H
#define RET_CLOCK_H

#include "datatype/timestamp.h"

extern void ret_clock_init(void);
extern TimestampTz ret_now(void);
extern int64 ret_monotonic_ms(void);
extern void ret_sleep(long milliseconds);
extern bool ret_wait(long milliseconds);
extern void ret_clock_watch(TimestampTz now);

#endif							/* RET_CLOCK_H */
