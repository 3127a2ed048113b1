/*
 * pii_values.h
 *
 * What the values of a column look like.
 */
#ifndef RET_PII_VALUES_H
#define RET_PII_VALUES_H

#include "pii.h"

/* Numbers with a check digit among the different values of a column. */
typedef struct RetChecked
{
	int			shaped;			/* as long as they must be */
	int			passed;
} RetChecked;

typedef struct RetPiiValues
{
	int			n;				/* values that are not empty */
	int			distinct;
	int			hits[RET_NPII]; /* look like it by themselves */
	double		strength[RET_NPII]; /* the same, weighed */
	int			fits[RET_NPII]; /* can be it, if the name says so */
	RetChecked	checked[RET_NPII];
	int			articles;		/* JAN, EAN, ISBN */
	int			organisations;
	uint64	   *seen;			/* digests of the different values */
	int			nslots;
} RetPiiValues;

extern RetPiiValues *ret_pii_values_make(int max);
extern void ret_pii_values_add(RetPiiValues *values, const char *text,
							   bool is_number);
extern bool ret_looks_personal(const char *text);

#endif							/* RET_PII_VALUES_H */
