/*-------------------------------------------------------------------------
 *
 * policy_api.c
 *		Changes of policies: add, alter, drop, pause, resume.
 *
 * Every function checks the caller's right on the table, writes the policy
 * and logs the change, all in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/table.h"
#include "cascade.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "cron.h"
#include "due.h"
#include "executor/spi.h"
#include "expr.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "policy_api.h"
#include "policy_define.h"
#include "predicate.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "schedule.h"
#include "shmem.h"
#include "trash.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_add_policy);
PG_FUNCTION_INFO_V1(retention_alter_policy);
PG_FUNCTION_INFO_V1(retention_drop_policy);
PG_FUNCTION_INFO_V1(retention_pause_policy);
PG_FUNCTION_INFO_V1(retention_resume_policy);

/* ---------- arguments ---------- */

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * Errors when an argument is null.
 */
void
ret_require_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

static void
check_action(const char *action)
{
	static const char *const known[] = {"delete", "trash", "scrub", "keep"};

	for (size_t i = 0; i < lengthof(known); i++)
		if (strcmp(action, known[i]) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown action \"%s\"", action),
			 errhint("Use \"delete\", \"trash\", \"scrub\" or \"keep\".")));
}

/*
 * The zone of a policy: what was given, the setting, or the session's.
 */
char *
ret_policy_zone(const char *given)
{
	const char *zone = given && *given ? given :
		ret_zone && *ret_zone ? ret_zone : pg_get_timezone_name(session_timezone);

	if (pg_tzset(zone) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not known", zone),
				 errhint("The view pg_timezone_names lists the names, such as Asia/Tokyo.")));
	return pstrdup(zone);
}

/*
 * NULL and zero mean never by a worker.
 */
static Interval *
choose_every(Interval *every)
{
	if (every == NULL ||
		(every->month == 0 && every->day == 0 && every->time == 0))
		return NULL;
	ret_interval_check(every, "every");
	if (every->month == 0 && every->day == 0 && every->time < USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("every must be at least a second")));
	return every;
}

static char *
choose_window(char *text)
{
	RetWindow	window;

	if (text == NULL || *text == '\0')
		return NULL;
	if (!ret_window_parse(text, &window))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run window \"%s\" is not understood", text),
				 errhint("Write it as from-to in the policy's time zone, such as '22:00-06:00'.")));
	return text;
}

static int
choose_rate(int rate)
{
	if (rate < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rate must not be negative"),
				 errhint("It is in rows a second; 0 means no limit.")));
	return rate;
}

static float4
choose_fraction(float4 fraction)
{
	if (isnan(fraction) || fraction <= 0 || fraction > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_fraction must be above 0 and at most 1"),
				 errhint("A run that would take more than this part of the table waits for confirmation; 1 means never.")));
	return fraction;
}

/* ---------- SQL ---------- */

/*
 * Locks the row of a policy against other changes and loads it; checks the
 * caller's right.
 */
RetPolicy *
ret_policy_load_for_change(const char *name)
{
	RetUser		saved;
	RetQuery	query;
	RetPolicy  *policy;

	ret_identity_check();
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT FROM retention.policy WHERE name = %s FOR UPDATE",
				  ret_query_text(&query, name));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	policy = ret_policy_find(name, false);
	ret_check_may_govern(policy->relid);
	return policy;
}

/*
 * retention.add_policy(relation, action, after, clock, filter, name, zone,
 * every, run_window, rate, max_fraction, enabled)
 */
Datum
retention_add_policy(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy = palloc0(sizeof(RetPolicy));
	Relation	rel;
	char	   *filter = text_arg(fcinfo, 4);

	ret_require_arg(fcinfo, 0, "relation");
	ret_require_arg(fcinfo, 1, "action");
	ret_require_arg(fcinfo, 2, "after");
	ret_require_arg(fcinfo, 3, "clock");
	rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	ret_check_may_govern(RelationGetRelid(rel));
	ret_identity_check();

	policy->action = text_arg(fcinfo, 1);
	check_action(policy->action);
	policy->after = PG_GETARG_INTERVAL_P(2);
	ret_interval_check(policy->after, "after");
	policy->name = text_arg(fcinfo, 5);
	if (policy->name == NULL)
		policy->name = psprintf("%s_%s", RelationGetRelationName(rel),
								policy->action);
	if (*policy->name == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a policy must not be empty")));
	if (ret_policy_find(policy->name, true))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("policy \"%s\" already exists", policy->name),
				 errhint("Give the new one another name with name => '...', or use retention.alter_policy().")));
	policy->zone = ret_policy_zone(text_arg(fcinfo, 6));
	policy->every = choose_every(PG_ARGISNULL(7) ? NULL :
								 PG_GETARG_INTERVAL_P(7));
	policy->run_window = choose_window(text_arg(fcinfo, 8));
	policy->rate = choose_rate(PG_ARGISNULL(9) ? 0 : PG_GETARG_INT32(9));
	policy->max_fraction = choose_fraction(PG_ARGISNULL(10) ? 0.5 :
										   PG_GETARG_FLOAT4(10));
	policy->state = "active";
	if (!PG_ARGISNULL(11) && !PG_GETARG_BOOL(11))
	{
		if (ret_policy_is_keep(policy))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a keep policy cannot be disabled"),
					 errhint("Add it when it shall protect rows.")));
		policy->state = "paused";
		policy->reason = "it was added with enabled => false";
	}
	if (ret_policy_is_keep(policy))
		policy->every = NULL;

	ret_policy_check_table(rel);
	ret_policy_define(policy, rel, text_arg(fcinfo, 3),
					  filter && *filter ? filter : NULL);
	ret_policy_create(policy, rel);
	PG_RETURN_TEXT_P(cstring_to_text(policy->name));
}

/*
 * What a policy says about a table that was changed meanwhile: renamed columns
 * are followed; for more it has to be said anew, or resume_policy() to be
 * called, which accepts the change.
 */
static void
fit(RetPolicy *policy, Relation rel, bool is_said_anew)
{
	List	   *renames;
	char	   *mismatch = ret_policy_mismatch(policy, rel, &renames);

	if (mismatch && !is_said_anew)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("policy \"%s\" does not fit table %s any more: %s",
						policy->name, policy->relation_name, mismatch),
				 errhint("Give clock and filter anew, or accept the change with retention.resume_policy() first.")));
	if (mismatch == NULL && renames)
		ret_policy_rename_columns(policy, rel, renames);
}

/*
 * Whether all arguments but the first are null.
 */
static bool
is_nothing_given(FunctionCallInfo fcinfo)
{
	for (int i = 1; i < PG_NARGS(); i++)
		if (!PG_ARGISNULL(i))
			return false;
	return true;
}

/*
 * retention.alter_policy(name, after, clock, filter, zone, every, run_window,
 * rate, max_fraction)
 */
Datum
retention_alter_policy(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy;
	Relation	rel;
	Datum		old_row;
	bool		found;
	char	   *clock = text_arg(fcinfo, 2);
	char	   *filter = text_arg(fcinfo, 3);

	ret_require_arg(fcinfo, 0, "name");
	policy = ret_policy_load_for_change(text_arg(fcinfo, 0));
	if (is_nothing_given(fcinfo))
		PG_RETURN_VOID();
	found = ret_policy_snapshot(policy->policy_id, &old_row);
	rel = ret_policy_open(policy);

	if (!PG_ARGISNULL(1))
	{
		policy->after = PG_GETARG_INTERVAL_P(1);
		ret_interval_check(policy->after, "after");
	}
	if (clock && *clock == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a policy cannot be without a clock")));
	if (filter && *filter == '\0')
	{
		filter = NULL;
		policy->filter = NULL;
		policy->filter_sql = NULL;
	}
	if (!PG_ARGISNULL(4))
		policy->zone = ret_policy_zone(text_arg(fcinfo, 4));
	if (!PG_ARGISNULL(5) && !ret_policy_is_keep(policy))
		policy->every = choose_every(PG_GETARG_INTERVAL_P(5));
	if (!PG_ARGISNULL(6))
		policy->run_window = choose_window(text_arg(fcinfo, 6));
	if (!PG_ARGISNULL(7))
		policy->rate = choose_rate(PG_GETARG_INT32(7));
	if (!PG_ARGISNULL(8))
		policy->max_fraction = choose_fraction(PG_GETARG_FLOAT4(8));

	ret_policy_check_table(rel);
	fit(policy, rel, clock != NULL && (filter != NULL ||
									   policy->filter_sql == NULL));
	ret_policy_define(policy, rel, clock, filter);
	ret_policy_lock_out_batches(policy);
	/* what was asked for confirmation is another thing now */
	if (strcmp(policy->state, "needs_confirmation") == 0)
	{
		policy->state = "active";
		policy->reason = NULL;
	}
	ret_policy_save(policy, false);
	if (!PG_ARGISNULL(5) || !PG_ARGISNULL(6))
		ret_policy_set_next_run(policy, ret_policy_next_run(policy, ret_now()), 0);
	ret_policy_log("alter", policy->policy_id, old_row, !found);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * Ends a policy that the caller has loaded for change; a scrub policy with its
 * tags.
 */
void
ret_policy_drop(RetPolicy *policy)
{
	Datum		old_row;
	bool		found;
	RetUser		saved;
	RetQuery	query;

	found = ret_policy_snapshot(policy->policy_id, &old_row);
	if (policy->cron)
		ret_cron_unschedule(policy);
	ret_policy_lock_out_batches(policy);
	ret_policy_log("drop", policy->policy_id, old_row, !found);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "WITH untagged AS (DELETE FROM retention.pii_tag WHERE policy_id = %1$s)"
				  " DELETE FROM retention.policy WHERE policy_id = %1$s",
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy->policy_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * retention.drop_policy(name)
 */
Datum
retention_drop_policy(PG_FUNCTION_ARGS)
{
	ret_require_arg(fcinfo, 0, "name");
	ret_policy_drop(ret_policy_load_for_change(text_arg(fcinfo, 0)));
	PG_RETURN_VOID();
}

/*
 * retention.pause_policy(name, reason)
 */
Datum
retention_pause_policy(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy;
	char	   *reason = text_arg(fcinfo, 1);

	ret_require_arg(fcinfo, 0, "name");
	policy = ret_policy_load_for_change(text_arg(fcinfo, 0));
	if (ret_policy_is_keep(policy))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("policy \"%s\" keeps rows and cannot be paused",
						policy->name),
				 errhint("To end the protection, call retention.drop_policy().")));
	ret_policy_set_state(policy, "paused", reason && *reason ? reason :
						 "no reason was given");
	PG_RETURN_VOID();
}

/*
 * retention.resume_policy(name): accepts the table as it is now.
 */
Datum
retention_resume_policy(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy;
	Datum		old_row;
	bool		found;
	Relation	rel;
	List	   *renames = NIL;

	ret_require_arg(fcinfo, 0, "name");
	policy = ret_policy_load_for_change(text_arg(fcinfo, 0));
	found = ret_policy_snapshot(policy->policy_id, &old_row);
	rel = ret_policy_open(policy);
	ret_policy_check_table(rel);
	if (ret_policy_mismatch(policy, rel, &renames) == NULL && renames)
		ret_policy_rename_columns(policy, rel, renames);
	ret_policy_define(policy, rel, NULL, NULL);
	ret_policy_accept_cascades(policy);
	ret_policy_lock_out_batches(policy);
	policy->state = "active";
	policy->reason = NULL;
	ret_policy_save(policy, false);
	ret_policy_set_next_run(policy, policy->every ?
							ret_policy_in_window(policy, ret_now()) : DT_NOEND,
							0);
	ret_policy_log("resume", policy->policy_id, old_row, !found);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * Writes into a policy that columns of its table were renamed.
 */
void
ret_policy_follow_rename(RetPolicy *policy, Relation rel, List *renames)
{
	Datum		old_row;
	bool		found = ret_policy_snapshot(policy->policy_id, &old_row);

	ret_policy_rename_columns(policy, rel, renames);
	ret_policy_lock_out_batches(policy);
	ret_policy_save(policy, false);
	ret_policy_log("rename", policy->policy_id, old_row, !found);
}
