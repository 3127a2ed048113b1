/*-------------------------------------------------------------------------
 *
 * generalize.c
 *		Pure: dates and numbers rounded down to what tells less.
 *
 * Rounding down what was rounded down must change nothing, also at the ends
 * of a type and where floating point numbers round by themselves: a value
 * that is a multiple already is recognised as one. What would be below the
 * lowest value of its type becomes the lowest one that fits: the lowest
 * multiple for numbers, the lowest value for dates. Infinity and NaN stay.
 *
 * Errors about parameters come before the value is looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "method.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/*
 * From this quotient on, two neighbouring numbers are about a bucket apart,
 * and there is nothing to round; below, the nearest whole number tells for
 * certain whether a number is a multiple.
 */
#define MAX_QUOTIENT8 ((double) (INT64CONST(1) << 50))
#define MAX_QUOTIENT4 ((double) (INT64CONST(1) << 21))

PG_FUNCTION_INFO_V1(retention_generalize_date);
PG_FUNCTION_INFO_V1(retention_generalize_timestamp);
PG_FUNCTION_INFO_V1(retention_generalize_timestamptz);
PG_FUNCTION_INFO_V1(retention_generalize_int2);
PG_FUNCTION_INFO_V1(retention_generalize_int4);
PG_FUNCTION_INFO_V1(retention_generalize_int8);
PG_FUNCTION_INFO_V1(retention_generalize_float4);
PG_FUNCTION_INFO_V1(retention_generalize_float8);
PG_FUNCTION_INFO_V1(retention_generalize_numeric);

/*
 * The unit of this name. Errors when there is none.
 */
RetUnit
ret_unit_of(const char *name)
{
	static const char *const names[] = {"month", "quarter", "year", "decade"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			return (RetUnit) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unit \"%s\" is not known", name),
			 errhint("Use \"month\", \"quarter\", \"year\" or \"decade\".")));
}

/*
 * Moves a year and a month, both counted on from the year 0 (1 BC), to those
 * that the unit begins with.
 */
static void
floor_month(int *year, int *month, RetUnit unit)
{
	if (unit == RET_UNIT_QUARTER)
		*month -= (*month - 1) % 3;
	else if (unit != RET_UNIT_MONTH)
		*month = 1;
	if (unit == RET_UNIT_DECADE)
		*year -= *year >= 0 ? *year % 10 : (10 + *year % 10) % 10;
}

/*
 * The Julian day on which the unit begins; negative before the first one.
 */
static int
floor_julian(int day, RetUnit unit)
{
	int			year;
	int			month;
	int			mday;

	j2date(day, &year, &month, &mday);
	floor_month(&year, &month, unit);
	return date2j(year, month, 1);
}

DateADT
ret_floor_date(DateADT value, RetUnit unit)
{
	if (DATE_NOT_FINITE(value))
		return value;
	return Max(floor_julian(value + POSTGRES_EPOCH_JDATE, unit), 0) -
		POSTGRES_EPOCH_JDATE;
}

Timestamp
ret_floor_timestamp(Timestamp value, RetUnit unit)
{
	int64		day;

	if (TIMESTAMP_NOT_FINITE(value))
		return value;
	day = value / USECS_PER_DAY;
	if (value % USECS_PER_DAY < 0)
		day--;
	day = floor_julian((int) day + POSTGRES_EPOCH_JDATE, unit) -
		POSTGRES_EPOCH_JDATE;
	return Max(day * USECS_PER_DAY, MIN_TIMESTAMP);
}

/*
 * In the calendar of a zone. Where the zone has no midnight on that day, the
 * unit begins when the clock is set forward over it.
 */
TimestampTz
ret_floor_timestamptz(TimestampTz value, RetUnit unit, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(value))
		return value;
	if (timestamp2tm(value, &offset, &tm, &fsec, NULL, zone) != 0)
		return MIN_TIMESTAMP;
	floor_month(&tm.tm_year, &tm.tm_mon, unit);
	tm.tm_mday = 1;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &offset, &result) != 0)
		return MIN_TIMESTAMP;
	return result;
}

/*
 * The greatest multiple of a bucket that is not greater than an integer; the
 * least multiple that is not below "lowest" when that one is. "bucket" is
 * positive.
 */
int64
ret_floor_int(int64 value, int64 bucket, int64 lowest)
{
	int64		rest = value % bucket;
	int64		multiple = value - rest;

	if (rest < 0 && multiple >= lowest + bucket)
		return multiple - bucket;
	return multiple;
}

/*
 * How often a bucket goes into a number; false when the number stays as it
 * is: it is not finite, or too great in relation to the bucket.
 */
static bool
quotient(double value, double bucket, double limit, double *result)
{
	*result = value / bucket;
	return !isnan(*result) && fabs(*result) < limit;
}

double
ret_floor_float(double value, double bucket)
{
	double		times;
	double		multiple;

	if (!quotient(value, bucket, MAX_QUOTIENT8, &times) ||
		rint(times) * bucket == value)
		return value;
	multiple = floor(times) * bucket;
	return isinf(multiple) ? ceil(times) * bucket : multiple;
}

/*
 * The multiple is found in double precision and rounded to a real, and so is
 * the one that a value is compared with.
 */
float
ret_floor_float4(float value, double bucket)
{
	double		times;
	float		multiple;

	if (!quotient(value, bucket, MAX_QUOTIENT4, &times) ||
		(float) (rint(times) * bucket) == value)
		return value;
	multiple = (float) (floor(times) * bucket);
	return isinf(multiple) ? (float) (ceil(times) * bucket) : multiple;
}

/*
 * retention.generalize(value date, unit)
 */
Datum
retention_generalize_date(PG_FUNCTION_ARGS)
{
	RetUnit		unit = ret_unit_of(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	PG_RETURN_DATEADT(ret_floor_date(PG_GETARG_DATEADT(0), unit));
}

/*
 * retention.generalize(value timestamp, unit)
 */
Datum
retention_generalize_timestamp(PG_FUNCTION_ARGS)
{
	RetUnit		unit = ret_unit_of(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	PG_RETURN_TIMESTAMP(ret_floor_timestamp(PG_GETARG_TIMESTAMP(0), unit));
}

/*
 * retention.generalize(value timestamptz, unit, zone)
 */
Datum
retention_generalize_timestamptz(PG_FUNCTION_ARGS)
{
	RetUnit		unit = ret_unit_of(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not known", name),
				 errhint("The view pg_timezone_names lists the names, such as Asia/Tokyo.")));
	PG_RETURN_TIMESTAMPTZ(ret_floor_timestamptz(PG_GETARG_TIMESTAMPTZ(0),
												unit, zone));
}

static void
check_bucket(bool is_usable)
{
	if (!is_usable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"bucket\" must be positive and finite"),
				 errhint("Numbers are rounded down to a multiple of it, such as 10.")));
}

/*
 * retention.generalize(value smallint, bucket integer)
 */
Datum
retention_generalize_int2(PG_FUNCTION_ARGS)
{
	int32		bucket = PG_GETARG_INT32(1);

	check_bucket(bucket > 0);
	PG_RETURN_INT16((int16) ret_floor_int(PG_GETARG_INT16(0), bucket,
										  PG_INT16_MIN));
}

/*
 * retention.generalize(value integer, bucket)
 */
Datum
retention_generalize_int4(PG_FUNCTION_ARGS)
{
	int32		bucket = PG_GETARG_INT32(1);

	check_bucket(bucket > 0);
	PG_RETURN_INT32((int32) ret_floor_int(PG_GETARG_INT32(0), bucket,
										  PG_INT32_MIN));
}

/*
 * retention.generalize(value bigint, bucket)
 */
Datum
retention_generalize_int8(PG_FUNCTION_ARGS)
{
	int64		bucket = PG_GETARG_INT64(1);

	check_bucket(bucket > 0);
	PG_RETURN_INT64(ret_floor_int(PG_GETARG_INT64(0), bucket, PG_INT64_MIN));
}

/*
 * retention.generalize(value real, bucket double precision)
 */
Datum
retention_generalize_float4(PG_FUNCTION_ARGS)
{
	double		bucket = PG_GETARG_FLOAT8(1);

	check_bucket(bucket > 0 && !isinf(bucket));
	PG_RETURN_FLOAT4(ret_floor_float4(PG_GETARG_FLOAT4(0), bucket));
}

/*
 * retention.generalize(value double precision, bucket)
 */
Datum
retention_generalize_float8(PG_FUNCTION_ARGS)
{
	double		bucket = PG_GETARG_FLOAT8(1);

	check_bucket(bucket > 0 && !isinf(bucket));
	PG_RETURN_FLOAT8(ret_floor_float(PG_GETARG_FLOAT8(0), bucket));
}

static bool
is_less(Numeric a, Numeric b)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(a),
											NumericGetDatum(b)));
}

/*
 * retention.generalize(value numeric, bucket). By the remainder, which is
 * exact, unlike a quotient.
 */
Datum
retention_generalize_numeric(PG_FUNCTION_ARGS)
{
	Numeric		value = PG_GETARG_NUMERIC(0);
	Numeric		bucket = PG_GETARG_NUMERIC(1);
	Numeric		zero = int64_to_numeric(0);
	Numeric		rest;
	Numeric		multiple;
	bool		overflow = false;

	check_bucket(!numeric_is_nan(bucket) && !numeric_is_inf(bucket) &&
				 is_less(zero, bucket));
	if (numeric_is_nan(value) || numeric_is_inf(value))
		PG_RETURN_NUMERIC(value);
	rest = numeric_mod_opt_error(value, bucket, NULL);
	multiple = numeric_sub_opt_error(value, rest, NULL);
	if (is_less(rest, zero))
	{
		Numeric		below = numeric_sub_opt_error(multiple, bucket, &overflow);

		if (!overflow)
			multiple = below;
	}
	PG_RETURN_NUMERIC(multiple);
}
