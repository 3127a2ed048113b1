/*-------------------------------------------------------------------------
 *
 * due.c
 *		Pure: when is a row due.
 *
 * A row is due when clock + after <= now, in the calendar of the policy's
 * zone. The exact rule costs a calendar computation per row and no index can
 * serve it. Where no offset changes and no month ends near the cutoff, it can
 * be solved for the clock, and one comparison decides. Elsewhere it is asked
 * of rows near the cutoff: bounds on either side decide all others.
 *
 * How far the exact rule can be from plain subtraction: a zone's offset moves
 * a local time by at most 15 hours, a change of offset by at most a day more,
 * and the clamping of months (January 31 + 1 month = February 28) by three
 * days, once for adding and once for subtracting. The margins are rounded up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "due.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#define MARGIN_ZONE (3 * USECS_PER_DAY)
#define MARGIN_MONTH (8 * USECS_PER_DAY)

/* a neighbourhood in which the calendar is plain, if nothing changes in it */
#define STEADY (4 * USECS_PER_DAY)

/* nobody keeps rows longer, and the arithmetic stays far from overflow */
#define MAX_YEARS 1000

/*
 * Errors unless an interval is usable as a distance in time: finite, without
 * negative parts, of at most 1000 years. "what" names it in the message.
 */
void
ret_interval_check(const Interval *interval, const char *what)
{
	if (interval->month < 0 || interval->day < 0 || interval->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", what),
				 errhint("Write an interval such as '30 days' or '3 months'.")));
	if (interval->month > MAX_YEARS * MONTHS_PER_YEAR ||
		interval->day > MAX_YEARS * 366 ||
		interval->time > (int64) MAX_YEARS * 366 * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", what),
				 errhint("Up to %d years are possible.", MAX_YEARS)));
}

/*
 * Subtracts an interval in UTC.
 */
static TimestampTz
subtract(TimestampTz at, const Interval *interval)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_mi_interval,
												 TimestampGetDatum(at),
												 IntervalPGetDatum(interval)));
}

static DateADT
date_of(Timestamp time)
{
	return DatumGetDateADT(DirectFunctionCall1(timestamp_date,
											   TimestampGetDatum(time)));
}

/*
 * The day, as days since 2000-01-01, of a moment in a zone.
 */
static DateADT
local_date(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/*
 * The moment when a local time comes in a zone.
 */
static TimestampTz
local_moment(Timestamp local, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	TimestampTz result;
	int			tz;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, fsec, &tz, &result) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return result;
}

/*
 * Whether the zone keeps its offset for some days around a moment.
 */
static bool
is_steady(TimestampTz at, pg_tz *zone)
{
	pg_time_t	from = timestamptz_to_time_t(at - STEADY);
	pg_time_t	boundary;
	long int	offset;
	int			isdst;
	int			result = pg_next_dst_boundary(&from, &offset, &isdst,
											  &boundary, &offset, &isdst, zone);

	return result == 0 ||
		(result > 0 && boundary > timestamptz_to_time_t(at + STEADY));
}

/*
 * Where the zone keeps its offset and no month ends, the rule itself can be
 * solved for the clock: then nothing is left to ask row by row.
 */
static bool
find_exact_bound(TimestampTz at, const Interval *after, Oid type, pg_tz *zone,
				 RetBounds *bounds)
{
	Interval	months = {.month = after->month};
	TimestampTz moment = at - after->time;
	Timestamp	local;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	/* hours count after the calendar for timestamptz, within it for others */
	if (!is_steady(at, zone) || !is_steady(moment, zone) ||
		timestamp2tm(type == TIMESTAMPTZOID ? moment : at, &tz, &tm, &fsec,
					 NULL, zone) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &local) != 0)
		return false;
	if (type != TIMESTAMPTZOID)
		local -= after->time;
	local -= after->day * USECS_PER_DAY;
	if (after->month != 0)
	{
		if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0 ||
			tm.tm_mday < 3 || tm.tm_mday > 26)
			return false;
		local = subtract(local, &months);
	}

	if (type == DATEOID)
		bounds->surely = DateADTGetDatum(date_of(local) + 1);
	else if (type == TIMESTAMPOID)
		bounds->surely = TimestampGetDatum(local + 1);
	else
	{
		TimestampTz clock = local_moment(local, zone);

		if (!is_steady(clock, zone))
			return false;
		bounds->surely = TimestampTzGetDatum(clock + 1);
	}
	bounds->never = bounds->surely;
	return true;
}

/*
 * Bounds for the clock of a row that is judged at a moment. The type is that
 * of the clock: timestamptz, timestamp or date. On most days the two bounds are
 * one.
 */
void
ret_due_bounds(TimestampTz at, const Interval *after, Oid type, pg_tz *zone,
			   RetBounds *bounds)
{
	TimestampTz cutoff = subtract(at, after);
	int64		margin = 0;

	if (find_exact_bound(at, after, type, zone, bounds))
		return;

	if (after->month != 0)
		margin = MARGIN_MONTH;
	else if (after->day != 0 || type != TIMESTAMPTZOID)
		margin = MARGIN_ZONE;

	if (type == DATEOID)
	{
		bounds->surely = DateADTGetDatum(date_of(cutoff - margin));
		bounds->never = DateADTGetDatum(date_of(cutoff + margin));
	}
	else if (margin == 0)
	{
		/* hours are absolute: clock <= cutoff is the rule itself */
		bounds->surely = TimestampTzGetDatum(cutoff + 1);
		bounds->never = TimestampTzGetDatum(cutoff + 1);
	}
	else
	{
		bounds->surely = TimestampTzGetDatum(cutoff - margin);
		bounds->never = TimestampTzGetDatum(cutoff + margin);
	}
}

/*
 * Whether every row with a clock below "upper" (exclusive, of the clock's
 * type) is due at a moment.
 *
 * Not simply whether "upper" itself is due: January 30 12:00 + 1 month is
 * February 28 12:00, later than January 31 00:00 + 1 month. But dates keep
 * their order when months and days are added, so no row of the last day or
 * of an earlier one is due later than the end of that day's due date.
 */
bool
ret_due_range_is_over(TimestampTz at, const Interval *after, Oid type,
					  Datum upper, pg_tz *zone)
{
	DateADT		last;
	Interval	days = *after;
	Timestamp	end;
	TimestampTz due;

	if (type == DATEOID)
		last = DatumGetDateADT(upper) - 1;
	else if (type == TIMESTAMPOID)
		last = date_of(DatumGetTimestamp(upper) - 1);
	else
	{
		/* a clock that was put back may have shown the later day before */
		last = Max(local_date(DatumGetTimestampTz(upper) - 1, zone),
				   local_date(DatumGetTimestampTz(upper) - USECS_PER_HOUR,
							  zone));
	}

	days.time = 0;
	end = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												TimestampGetDatum((int64) last * USECS_PER_DAY),
												IntervalPGetDatum(&days)));
	due = local_moment(end + USECS_PER_DAY, zone) + after->time;

	/* "timestamp" adds the hours to the local time, "timestamptz" after */
	if (type != TIMESTAMPTZOID)
		due = Max(due, local_moment(end + USECS_PER_DAY + after->time, zone));
	return due <= at;
}
