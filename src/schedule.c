/*
 * schedule.c
 *
 * When a policy runs next, its run window, and the back-off after failures.
 * Pure functions of their arguments (and of the time zone files): no SPI, no
 * locks, no clock.
 *
 * The schedule of a policy is anchor + n * every, counted from the anchor
 * each time, so it neither drifts nor loses the 31st of the month.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "schedule.h"

#define MINUTES_PER_DAY		(HOURS_PER_DAY * MINS_PER_HOUR)

/* The mean Gregorian month, 146097 days in 4800 months. */
#define USECS_PER_MEAN_MONTH	(USECS_PER_DAY * 146097.0 / 4800.0)

/* A schedule with a longer step than 10,000 years does not come again. */
#define LONGEST_STEP		(USECS_PER_DAY * 3652425.0)

/*
 * Dates to try for the next opening: the clock change of one night may
 * swallow a window, and a zone that crosses the date line loses a whole day.
 */
#define DATES_TO_TRY		5

static bool parse_time_of_day(const char **text, int *minutes);
static bool local_minute(pg_tz *zone, TimestampTz moment, int *date,
						 int *minute, int *offset);
static TimestampTz earlier_open(const RetWindow *window, pg_tz *zone,
								TimestampTz now, TimestampTz candidate,
								TimestampTz best);
static TimestampTz step_by_months(TimestampTz anchor, const Interval *every,
								  int64 n);
static TimestampTz next_by_months(TimestampTz anchor, const Interval *every,
								  TimestampTz now, double step);

/*
 * Reads a run window like '22:00-06:00'. The end is not part of it; it may be
 * '24:00'. Returns false when the text is anything else, or an empty window.
 */
bool
ret_window_parse(const char *text, RetWindow *window)
{
	int			from;
	int			to;

	if (!parse_time_of_day(&text, &from) ||
		*text++ != '-' ||
		!parse_time_of_day(&text, &to) ||
		*text != '\0')
		return false;
	if (from == to || from == MINUTES_PER_DAY)
		return false;

	window->from = from;
	window->to = to;
	return true;
}

/*
 * Reads 'HH:MM' up to 24:00 and moves behind it.
 */
static bool
parse_time_of_day(const char **text, int *minutes)
{
	const char *t = *text;
	int			hour;
	int			minute;

	/* Each test stops at the end of the string. */
	if (t[0] < '0' || t[0] > '9' || t[1] < '0' || t[1] > '9' || t[2] != ':' ||
		t[3] < '0' || t[3] > '9' || t[4] < '0' || t[4] > '9')
		return false;

	hour = (t[0] - '0') * 10 + (t[1] - '0');
	minute = (t[3] - '0') * 10 + (t[4] - '0');
	if (minute >= MINS_PER_HOUR ||
		hour * MINS_PER_HOUR + minute > MINUTES_PER_DAY)
		return false;

	*minutes = hour * MINS_PER_HOUR + minute;
	*text = t + 5;
	return true;
}

/*
 * Whether the window is open at this moment, by the local time of the zone.
 */
bool
ret_window_is_open(const RetWindow *window, pg_tz *zone, TimestampTz now)
{
	int			date;
	int			minute;
	int			offset;

	if (!local_minute(zone, now, &date, &minute, &offset))
		return false;
	if (window->from < window->to)
		return minute >= window->from && minute < window->to;
	return minute >= window->from || minute < window->to;
}

/*
 * The first moment from now on when the window is open; DT_NOEND when there
 * is none.
 *
 * A window opens when the local clock shows its beginning, or when the local
 * clock is set. So those moments are the candidates: the beginning on some
 * dates with the offsets before and after that date, and the next changes of
 * the offset. The earliest one that is open is the answer.
 */
TimestampTz
ret_window_next_open(const RetWindow *window, pg_tz *zone, TimestampTz now)
{
	TimestampTz best = DT_NOEND;
	pg_time_t	change;
	int			today;
	int			minute;
	int			offset;

	if (ret_window_is_open(window, zone, now))
		return now;
	if (!local_minute(zone, now, &today, &minute, &offset))
		return DT_NOEND;

	for (int i = 0; i < DATES_TO_TRY; i++)
	{
		Timestamp	local;

		local = ((int64) today + i - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
			window->from * USECS_PER_MINUTE;
		for (int side = -1; side <= 1; side += 2)
		{
			int			date;

			if (local_minute(zone, local + side * USECS_PER_DAY,
							 &date, &minute, &offset))
				best = earlier_open(window, zone, now,
									local - offset * USECS_PER_SEC, best);
		}
	}

	change = timestamptz_to_time_t(now);
	for (int i = 0; i < DATES_TO_TRY; i++)
	{
		pg_time_t	after = change;
		long int	before_offset;
		long int	after_offset;
		int			before_isdst;
		int			after_isdst;

		if (pg_next_dst_boundary(&after, &before_offset, &before_isdst,
								 &change, &after_offset, &after_isdst,
								 zone) != 1)
			break;
		best = earlier_open(window, zone, now,
							time_t_to_timestamptz(change), best);
	}
	return best;
}

/*
 * The candidate, when it is an open moment after now and before the best.
 */
static TimestampTz
earlier_open(const RetWindow *window, pg_tz *zone, TimestampTz now,
			 TimestampTz candidate, TimestampTz best)
{
	if (candidate > now && candidate < best &&
		ret_window_is_open(window, zone, candidate))
		return candidate;
	return best;
}

/*
 * The Julian date, the minute of the day, and the offset from UTC in seconds
 * (positive to the east) that the zone has at this moment. False when the
 * moment is infinite or outside the calendar.
 */
static bool
local_minute(pg_tz *zone, TimestampTz moment, int *date, int *minute,
			 int *offset)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			west;

	if (TIMESTAMP_NOT_FINITE(moment) ||
		timestamp2tm(moment, &west, &tm, &fsec, NULL, zone) != 0)
		return false;

	*date = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);
	*minute = tm.tm_hour * MINS_PER_HOUR + tm.tm_min;
	*offset = -west;
	return true;
}

/*
 * The first anchor + n * every (n = 0, 1, ...) that is after now. Months and
 * days are those of UTC. DT_NOEND when the schedule does not come again:
 * the step is not positive or longer than 10,000 years, or a moment is
 * infinite.
 */
TimestampTz
ret_next_run(TimestampTz anchor, const Interval *every, TimestampTz now)
{
	double		step = every->month * USECS_PER_MEAN_MONTH +
		every->day * (double) USECS_PER_DAY + (double) every->time;
	TimestampTz next;
	int64		exact;

	if (anchor > now)
		return anchor;
	if (TIMESTAMP_NOT_FINITE(anchor) || TIMESTAMP_NOT_FINITE(now) ||
		step < 1.0 || step > LONGEST_STEP)
		return DT_NOEND;

	if (every->month > 0 && every->day >= 0 && every->time >= 0)
		return next_by_months(anchor, every, now, step);

	/*
	 * Without months the step has a fixed length. So has, for us, one whose
	 * parts have different signs, like '1 month -1 day': steps of the
	 * calendar need not even go forward then.
	 */
	exact = every->month != 0 ? (int64) step :
		every->day * USECS_PER_DAY + every->time;
	next = anchor + ((now - anchor) / exact + 1) * exact;
	return IS_VALID_TIMESTAMP(next) ? next : DT_NOEND;
}

/*
 * The same for steps of at least a month. Counted in mean months, n is off
 * by a few days at most, so the loops go round once or twice.
 */
static TimestampTz
next_by_months(TimestampTz anchor, const Interval *every, TimestampTz now,
			   double step)
{
	int64		n = (int64) ((now - anchor) / step);
	TimestampTz next = step_by_months(anchor, every, n);

	while (n > 0 && next > now)
		next = step_by_months(anchor, every, --n);
	while (next <= now)
		next = step_by_months(anchor, every, ++n);
	return next;
}

/*
 * anchor + n * every in the calendar of UTC. The parts of n * every fit their
 * fields, as n steps are hardly longer than from the anchor to now.
 */
static TimestampTz
step_by_months(TimestampTz anchor, const Interval *every, int64 n)
{
	Interval	distance;

	distance.month = (int32) (every->month * n);
	distance.day = (int32) (every->day * n);
	distance.time = every->time * n;

	/* On a timestamp without a zone this is arithmetic in UTC. */
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												 TimestampGetDatum(anchor),
												 IntervalPGetDatum(&distance)));
}

/*
 * How long to wait after so many failures in a row: base * 2^failures, at
 * most max, both in milliseconds. The jitter of one eighth either way comes
 * last, so that those who wait the longest do not all wake together.
 */
int64
ret_backoff_ms(int failures, int64 base_ms, int64 max_ms)
{
	int64		delay = base_ms;

	while (failures-- > 0 && delay < max_ms)
		delay *= 2;
	delay = Min(delay, max_ms);
	return (int64) (delay *
					(0.875 + 0.25 * pg_prng_double(&pg_global_prng_state)));
}
