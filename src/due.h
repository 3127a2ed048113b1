/*
 * due.h
 *
 * Pure: when is a row due.
 */
#ifndef RET_DUE_H
#define RET_DUE_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/*
 * Values of the clock's own type: below "surely" a row is due for certain,
 * from "never" on it is certainly not. In between the calendar decides.
 */
typedef struct RetBounds
{
	Datum		surely;
	Datum		never;
} RetBounds;

extern void ret_due_bounds(TimestampTz at, const Interval *after, Oid type,
						   pg_tz *zone, RetBounds *bounds);
extern bool ret_due_range_is_over(TimestampTz at, const Interval *after,
								  Oid type, Datum upper, pg_tz *zone);
extern void ret_interval_check(const Interval *interval, const char *what);

#endif							/* RET_DUE_H */
