/*
 * predicate.h
 *
 * The SQL that decides about a row.
 */
#ifndef RET_PREDICATE_H
#define RET_PREDICATE_H

#include "policy.h"
#include "query.h"

/* Keep policies (RetPolicy) that protect rows of a table. */
extern List *ret_keeps_load(Oid relid, bool lock, const char *zone);
extern void ret_keep_check_zone(const RetPolicy *keep, const char *zone);

extern char *ret_predicate_clock(RetQuery *query, RetPolicy *policy);
extern char *ret_predicate_clock_is_over(RetQuery *query, RetPolicy *policy,
										 TimestampTz at, bool sargable);
extern char *ret_predicate_due_at(RetQuery *query, RetPolicy *policy);
extern char *ret_predicate_due(RetQuery *query, RetPolicy *policy,
							   TimestampTz at, bool sargable);
extern char *ret_predicate_kept(RetQuery *query, List *keeps, TimestampTz at);
extern char *ret_predicate_goes(RetQuery *query, RetPolicy *policy,
								List *keeps, TimestampTz at, bool sargable);

#endif							/* RET_PREDICATE_H */
