/*-------------------------------------------------------------------------
 *
 * predicate.c
 *		The SQL that decides about a row.
 *
 * Preview, runs and explain_row all ask with the text made here; what one of
 * them says, the others do. The row goes by the name RET_ROW.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "due.h"
#include "expr.h"
#include "miscadmin.h"
#include "pin.h"
#include "predicate.h"
#include "relation.h"
#include "tag.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * A statement has one time zone: errors when a keep policy would say another
 * thing in the zone of the policy that deletes than in its own.
 */
void
ret_keep_check_zone(const RetPolicy *keep, const char *zone)
{
	if (keep->zone_matters && strcmp(keep->zone, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("keep policy \"%s\" is reckoned in time zone %s, and the policy that deletes in %s",
						keep->name, keep->zone, zone),
				 errdetail("Its clock or filter depends on the zone."),
				 errhint("Give both the same zone with retention.alter_policy(), or write AT TIME ZONE into the expression.")));
}

/*
 * The keep policies on a table or on what it is a part of. Unknown means
 * stop: errors when one of them no longer fits the table.
 *
 * The zone is that of the policy that deletes. Caller must hold a lock on the
 * table. If rows are going to be deleted, "lock" takes the governance lock
 * shared.
 */
List *
ret_keeps_load(Oid relid, bool lock, const char *zone)
{
	List	   *relids = ret_relation_ancestors(relid);
	List	   *keeps;
	ListCell   *lc;

	if (lock)
		foreach(lc, relids)
			ret_governance_lock(lfirst_oid(lc), false);
	keeps = ret_policy_find_on(relids, "keep");

	foreach(lc, keeps)
	{
		RetPolicy  *keep = lfirst(lc);
		Relation	rel = table_open(keep->relid, AccessShareLock);
		List	   *renames;
		char	   *mismatch = ret_policy_mismatch(keep, rel, &renames);

		ret_keep_check_zone(keep, zone);
		if (mismatch == NULL && renames != NIL)
			ret_policy_rename_columns(keep, rel, renames);
		else if (mismatch == NULL &&
				 (keep->depends || superuser_arg(rel->rd_rel->relowner)))
			mismatch = ret_policy_drift(keep, rel);
		table_close(rel, NoLock);
		if (mismatch)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("keep policy \"%s\" does not fit its table any more: %s",
							keep->name, mismatch),
					 errhint("Mend it with retention.alter_policy(), retention.resume_policy(), or end it with retention.drop_policy().")));
	}
	return keeps;
}

/*
 * The clock as timestamptz: a local time is one of the policy's zone.
 */
char *
ret_predicate_clock(RetQuery *query, RetPolicy *policy)
{
	if (policy->clock_type == TIMESTAMPTZOID)
		return psprintf("(%s)", policy->clock_sql);
	return psprintf("timezone(%s, (%s)::timestamp)",
					ret_query_text(query, policy->zone), policy->clock_sql);
}

/*
 * When the row is due: months and days are added in the calendar of the
 * policy's zone, hours are absolute where the clock is.
 */
char *
ret_predicate_due_at(RetQuery *query, RetPolicy *policy)
{
	const char *zone = ret_query_text(query, policy->zone);
	Interval   *days;
	Interval   *hours;

	if (policy->clock_type != TIMESTAMPTZOID)
		return psprintf("timezone(%s, (%s) + %s)", zone, policy->clock_sql,
						ret_query_param(query, INTERVALOID,
										IntervalPGetDatum(policy->after)));

	/* hours alone are absolute: in the hour that comes twice, too */
	if (policy->after->month == 0 && policy->after->day == 0)
		return psprintf("((%s) + %s)", policy->clock_sql,
						ret_query_param(query, INTERVALOID,
										IntervalPGetDatum(policy->after)));

	days = palloc0(sizeof(Interval));
	days->month = policy->after->month;
	days->day = policy->after->day;
	hours = palloc0(sizeof(Interval));
	hours->time = policy->after->time;
	return psprintf("(timezone(%s, timezone(%s, %s) + %s) + %s)",
					zone, zone, policy->clock_sql,
					ret_query_param(query, INTERVALOID,
									IntervalPGetDatum(days)),
					ret_query_param(query, INTERVALOID,
									IntervalPGetDatum(hours)));
}

/*
 * "due_at <= at": the clock is started and its time is over, whatever the
 * filter says. Bounds decide about all rows but those near the cutoff.
 *
 * Sargable: an index on the clock serves it. Otherwise none does, for a walk
 * over block ranges must not be planned as a scan of the index per range.
 */
char *
ret_predicate_clock_is_over(RetQuery *query, RetPolicy *policy,
							TimestampTz at, bool sargable)
{
	RetBounds	bounds;
	const char *clock = psprintf("(%s)", policy->clock_sql);
	char	   *over;

	ret_due_bounds(at, policy->after, policy->clock_type,
				   pg_tzset(policy->zone), &bounds);
	over = psprintf("%s < %s AND (%s < %s OR %s <= %s) AND %s > %s",
					clock,
					ret_query_param(query, policy->clock_type, bounds.never),
					clock,
					ret_query_param(query, policy->clock_type, bounds.surely),
					ret_predicate_due_at(query, policy),
					ret_query_param(query, TIMESTAMPTZOID,
									TimestampTzGetDatum(at)),
					clock,
					psprintf("'-infinity'::%s",
							 format_type_be(policy->clock_type)));
	/* what was due then has been looked at */
	if (policy->scrub_since)
	{
		ret_due_bounds(policy->scrub_since, policy->after, policy->clock_type,
					   pg_tzset(policy->zone), &bounds);
		over = psprintf("%s AND %s >= %s", over, clock,
						ret_query_param(query, policy->clock_type,
										bounds.surely));
	}
	return sargable ? over : psprintf("(%s) IS TRUE", over);
}

/*
 * Whether the row is due under a policy: its clock is over, it passes the
 * filter, and there is something to scrub if that is the action. A condition
 * for WHERE, may be null. Connects to SPI.
 */
char *
ret_predicate_due(RetQuery *query, RetPolicy *policy, TimestampTz at,
				  bool sargable)
{
	char	   *over = policy->condition ?
		psprintf("(%s) IS TRUE", policy->condition) :
		ret_predicate_clock_is_over(query, policy, at, sargable);

	if (policy->filter_sql)
		over = psprintf("%s AND (%s)", over, policy->filter_sql);
	if (ret_policy_is_scrub(policy))
		over = psprintf("%s AND %s", over, ret_tags_needs(policy));
	return over;
}

/*
 * Whether a keep policy protects the row: it passes the filter, and the time
 * is not over. Never null; "false" when there are no keep policies.
 */
char *
ret_predicate_kept(RetQuery *query, List *keeps, TimestampTz at)
{
	StringInfoData sql;
	ListCell   *lc;

	if (keeps == NIL)
		return pstrdup("false");
	initStringInfo(&sql);
	foreach(lc, keeps)
	{
		RetPolicy  *keep = lfirst(lc);

		appendStringInfo(&sql, "%s((%s) IS TRUE AND NOT (%s))",
						 sql.len > 0 ? " OR " : "",
						 keep->filter_sql ? keep->filter_sql : "true",
						 ret_predicate_clock_is_over(query, keep, at, false));
	}
	return psprintf("(%s)", sql.data);
}

/*
 * Whether a run takes the row: due, and not protected nor lately restored.
 */
char *
ret_predicate_goes(RetQuery *query, RetPolicy *policy, List *keeps,
				   TimestampTz at, bool sargable)
{
	char	   *due = ret_predicate_due(query, policy, at, sargable);

	due = psprintf("%s%s", due, ret_pins_condition(policy));
	if (keeps == NIL)
		return due;
	return psprintf("%s AND NOT %s", due, ret_predicate_kept(query, keeps, at));
}
