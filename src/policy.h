/*
 * policy.h
 *
 * Policies as the catalog has them.
 */
#ifndef RET_POLICY_H
#define RET_POLICY_H

#include "datatype/timestamp.h"
#include "expr.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct RetPolicy
{
	int32		policy_id;
	char	   *name;
	int32		relation_id;
	Oid			relid;			/* InvalidOid: the table is gone */
	char	   *relation_name;	/* as last seen */
	char	   *owner;			/* of the table, when it was accepted */
	Oid			owner_oid;
	char	   *action;
	Interval   *after;
	char	   *clock;			/* as the user wrote it */
	char	   *filter;			/* or NULL */
	char	   *clock_sql;
	char	   *filter_sql;
	Oid			clock_type;
	List	   *columns;		/* RetColumn */
	bool		knows_depends;
	List	   *depends;		/* Oid, of functions and tables */
	char	   *zone;
	bool		zone_matters;	/* to what clock and filter say */
	Interval   *every;			/* NULL: by hand only */
	char	   *run_window;		/* or NULL */
	int			rate;			/* rows a second; 0: no limit */
	float4		max_fraction;
	char	   *state;
	char	   *reason;
	int			version;
	TimestampTz anchor;
	TimestampTz next_run;		/* DT_NOEND: never by itself */
	int			failures;
	List	   *cascades;		/* strings */
	char	   *cron;
	int64		cron_job;

	/* of a scrub policy */
	List	   *scrubs;			/* RetScrub; ret_tags_load() fills it in */
	TimestampTz scrub_since;	/* look only at rows due after; 0: at all */
	char	   *condition;		/* these rows, due or not; NULL: those due */
} RetPolicy;

extern RetPolicy *ret_policy_find(const char *name, bool missing_ok);
extern RetPolicy *ret_policy_find_id(int32 policy_id);
extern List *ret_policy_find_on(List *relids, const char *action);
extern bool ret_policy_is_active(const RetPolicy *policy);
extern bool ret_policy_is_keep(const RetPolicy *policy);
extern bool ret_policy_is_scrub(const RetPolicy *policy);
extern bool ret_policy_window_is_open(const RetPolicy *policy, TimestampTz at);
extern TimestampTz ret_policy_in_window(const RetPolicy *policy,
										TimestampTz at);
extern TimestampTz ret_policy_next_run(const RetPolicy *policy,
									   TimestampTz now);
extern bool ret_policy_is_due(const RetPolicy *policy, TimestampTz now);
extern char *ret_policy_mismatch(const RetPolicy *policy, Relation rel,
								 List **renames);
extern Relation ret_policy_open(const RetPolicy *policy);
extern char *ret_policy_drift(const RetPolicy *policy, Relation rel);
extern List *ret_expr_depends(RetExpr *clock, RetExpr *filter);
extern void ret_policy_rename_columns(RetPolicy *policy, Relation rel,
									 List *renames);
extern void ret_policy_save(RetPolicy *policy, bool is_new);
extern void ret_policy_log(const char *operation, int32 policy_id,
						   Datum old_row, bool old_isnull);
extern bool ret_policy_snapshot(int32 policy_id, Datum *row);
extern void ret_policy_set_next_run(const RetPolicy *policy, TimestampTz next,
									int failures);
extern void ret_policy_set_state(RetPolicy *policy, const char *state,
								 const char *reason);

#endif							/* RET_POLICY_H */
