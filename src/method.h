/*
 * method.h
 *
 * The methods by which personal data is scrubbed. Each is idempotent: applied
 * to what it made it changes nothing.
 */
#ifndef RET_METHOD_H
#define RET_METHOD_H

#include "datatype/timestamp.h"
#include "json_path.h"
#include "pgtime.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* What is left of a value that is not what a method is for. */
#define RET_MASKED "***"

/* Units of a date that a method can round down to. */
typedef enum RetUnit
{
	RET_UNIT_MONTH,
	RET_UNIT_QUARTER,
	RET_UNIT_YEAR,
	RET_UNIT_DECADE
} RetUnit;

/* method.c: masking; palloc'd strings */
extern text *ret_mask(const text *value, int first, int last,
					  const char *filler, int filler_size);
extern char *ret_mask_email(const char *value, int len);
extern char *ret_mask_phone(const char *value, int len, int last);
extern char *ret_truncate_ip(const char *value, int len, int v4, int v6);
extern char *ret_generalize_postal(const char *value, int len);

/* generalize.c: rounding down */
extern RetUnit ret_unit_of(const char *name);
extern DateADT ret_floor_date(DateADT value, RetUnit unit);
extern Timestamp ret_floor_timestamp(Timestamp value, RetUnit unit);
extern TimestampTz ret_floor_timestamptz(TimestampTz value, RetUnit unit,
										 pg_tz *zone);
extern int64 ret_floor_int(int64 value, int64 bucket, int64 lowest);
extern double ret_floor_float(double value, double bucket);
extern float ret_floor_float4(float value, double bucket);

/* pseudonym.c: keyed; these check no rights, the SQL functions do */
extern void ret_pseudonyms_allow(bool allow);
extern bool ret_pseudonyms_are_allowed(void);
extern bool ret_is_pseudonym(const char *value, int len);
extern text *ret_pseudonym(text *value);
extern text *ret_pseudonym_email(text *value);
extern pg_uuid_t *ret_pseudonym_uuid(const pg_uuid_t *value);
extern text *ret_tombstone(text *key, const char *suffix);
extern pg_uuid_t *ret_tombstone_uuid(text *key);

/* json_erase.c; the very value that came in when nothing is to be erased */
extern text *ret_erase_json(text *json, const RetJsonPaths *paths);
extern Jsonb *ret_erase_jsonb(Jsonb *jsonb, const RetJsonPaths *paths);

#endif							/* RET_METHOD_H */
