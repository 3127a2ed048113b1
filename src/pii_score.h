/*
 * pii_score.h
 *
 * Names and values of a column together: what is it, and how sure is that.
 */
#ifndef RET_PII_SCORE_H
#define RET_PII_SCORE_H

#include "pii_names.h"
#include "pii_values.h"

/* What a type can hold. */
typedef enum RetPiiKind
{
	RET_KIND_NONE,				/* nothing personal */
	RET_KIND_TEXT,
	RET_KIND_INTEGER,			/* smallint, integer */
	RET_KIND_NUMBER,			/* bigint, numeric */
	RET_KIND_FLOAT,
	RET_KIND_DATE,				/* date, timestamp */
	RET_KIND_ENUM,
	RET_KIND_INET,
	RET_KIND_BYTES,				/* bytea */
	RET_KIND_OBJECT,			/* oid: a large object */
	RET_KIND_POINT,
	RET_KIND_JSON				/* json, jsonb, arrays of text */
} RetPiiKind;

/* What is known of the table besides. */
typedef struct RetTableSense
{
	RetContext	context;
	bool		has_address;	/* an address or a postal code is in it */
	bool		has_person;		/* the name of a person is in it */
} RetTableSense;

typedef struct RetFinding
{
	RetPii		category;		/* RET_PII_NONE: nothing */
	double		confidence;
	char	   *evidence;
} RetFinding;

/* below it nothing is reported */
#define RET_PII_THRESHOLD 0.5

extern RetFinding ret_pii_judge(const RetNameSense *name,
								const RetTableSense *table,
								const RetPiiValues *values, RetPiiKind kind);
extern double ret_binomial_tail(int n, int k, double p);

#endif							/* RET_PII_SCORE_H */
