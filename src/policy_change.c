/*-------------------------------------------------------------------------
 *
 * policy_change.c
 *		Policies into the catalog: save, state, next run, and the log of
 *		changes.
 *
 * Whether the caller may change the policy is for him to check. The functions
 * connect to SPI themselves and act as the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "policy.h"
#include "query.h"
#include "sandbox.h"
#include "shmem.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

/*
 * The row of a policy as jsonb, in the caller's memory context; false when
 * there is none.
 */
bool
ret_policy_snapshot(int32 policy_id, Datum *row)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	RetUser		saved;
	RetQuery	query;
	bool		isnull = true;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	/* next_run and failures are the engine's notes, no part of the policy */
	ret_query_add(&query,
				  "SELECT to_jsonb(p) - ARRAY['next_run', 'failures', 'identity']"
				  " FROM retention.policy p WHERE policy_id = %s",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy_id)));
	if (ret_query_run(&query, false, 0, NULL) == 1)
	{
		Datum		value = ret_result_datum(0, 1, &isnull);

		spi = MemoryContextSwitchTo(caller);
		*row = datumCopy(value, false, -1);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return !isnull;
}

/*
 * Logs a change of a policy, from the row given to what it is now. Call it
 * before the row is deleted: an operation "drop" leaves the new row out.
 */
void
ret_policy_log(const char *operation, int32 policy_id, Datum old_row,
			   bool old_isnull)
{
	RetUser		saved;
	RetQuery	query;
	const char *by = GetUserNameFromId(GetUserId(), false);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "INSERT INTO retention.policy_change (policy_id, relation_id,"
				  " policy, version, operation, changed_at, changed_by, old, new)"
				  " SELECT p.policy_id, p.relation_id, p.name, p.version, o,"
				  "  clock_timestamp(), %s, %s, CASE WHEN o <> 'drop' THEN"
				  "  to_jsonb(p) - ARRAY['next_run', 'failures', 'identity'] END"
				  " FROM retention.policy p, (VALUES (%s)) AS operation(o)"
				  " WHERE p.policy_id = %s",
				  ret_query_text(&query, by),
				  old_isnull ? ret_query_null(&query, JSONBOID) :
				  ret_query_param(&query, JSONBOID, old_row),
				  ret_query_text(&query, operation),
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Moves a policy to another state and logs it. The reason says why.
 */
void
ret_policy_set_state(RetPolicy *policy, const char *state, const char *reason)
{
	RetUser		saved;
	RetQuery	query;
	Datum		old_row;
	bool		found = ret_policy_snapshot(policy->policy_id, &old_row);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "UPDATE retention.policy SET state = %s, reason = %s,"
				  " version = version + 1 WHERE policy_id = %s",
				  ret_query_text(&query, state),
				  ret_query_text(&query, reason),
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy->policy_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	ret_policy_log(state, policy->policy_id, old_row, !found);
}

/* What a policy refers to, as strings. */
typedef struct References
{
	List	   *nums;			/* of columns, and so on */
	List	   *names;
	List	   *types;
	List	   *depends;
} References;

static void
list_references(const RetPolicy *policy, References *references)
{
	ListCell   *lc;

	foreach(lc, policy->depends)
		references->depends = lappend(references->depends,
									  psprintf("%u", lfirst_oid(lc)));
	foreach(lc, policy->columns)
	{
		RetColumn  *column = lfirst(lc);

		references->nums = lappend(references->nums,
								   psprintf("%d", column->num));
		references->names = lappend(references->names, column->name);
		references->types = lappend(references->types, column->type);
	}
}

/*
 * Writes a policy: a new one, which gets its id and version here, or what has
 * become of one. Does not touch next_run and failures of an old one. Logging
 * is up to the caller. Errors when somebody else has changed it meanwhile.
 */
void
ret_policy_save(RetPolicy *policy, bool is_new)
{
	RetUser		saved;
	RetQuery	query;
	References	references = {0};
	bool		isnull;

	list_references(policy, &references);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, is_new ?
				  "INSERT INTO retention.policy (name, relation_id, owner,"
				  " action, after, clock, filter, clock_sql, filter_sql,"
				  " clock_type, column_nums, column_names, column_types, zone,"
				  " every, run_window, rate, max_fraction, state, reason,"
				  " cascades, cron, cron_job, anchor, owner_oid, depends,"
				  " zone_matters, identity, next_run) VALUES (" :
				  "UPDATE retention.policy SET (name, relation_id, owner,"
				  " action, after, clock, filter, clock_sql, filter_sql,"
				  " clock_type, column_nums, column_names, column_types, zone,"
				  " every, run_window, rate, max_fraction, state, reason,"
				  " cascades, cron, cron_job, anchor, owner_oid, depends,"
				  " zone_matters, identity, version) = (");
	ret_query_add(&query,
				  "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::int2[], %s, %s,"
				  " %s, %s, %s, nullif(%s, 0), %s, %s, %s, %s, %s, nullif(%s, 0), %s,"
				  " %s, %s::oid[], %s, %s, ",
				  ret_query_text(&query, policy->name),
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy->relation_id)),
				  ret_query_text(&query, policy->owner),
				  ret_query_text(&query, policy->action),
				  ret_query_param(&query, INTERVALOID, IntervalPGetDatum(policy->after)),
				  ret_query_text(&query, policy->clock),
				  ret_query_text(&query, policy->filter),
				  ret_query_text(&query, policy->clock_sql),
				  ret_query_text(&query, policy->filter_sql),
				  ret_query_param(&query, REGTYPEOID, ObjectIdGetDatum(policy->clock_type)),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(references.nums)),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(references.names)),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(references.types)),
				  ret_query_text(&query, policy->zone),
				  policy->every == NULL ? ret_query_null(&query, INTERVALOID) :
				  ret_query_param(&query, INTERVALOID, IntervalPGetDatum(policy->every)),
				  ret_query_text(&query, policy->run_window),
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy->rate)),
				  ret_query_param(&query, FLOAT4OID, Float4GetDatum(policy->max_fraction)),
				  ret_query_text(&query, policy->state),
				  ret_query_text(&query, policy->reason),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(policy->cascades)),
				  ret_query_text(&query, policy->cron),
				  ret_query_param(&query, INT8OID, Int64GetDatum(policy->cron_job)),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(policy->anchor)),
				  ret_query_param(&query, OIDOID, ObjectIdGetDatum(policy->owner_oid)),
				  policy->knows_depends ?
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(references.depends)) :
				  ret_query_null(&query, TEXTARRAYOID),
				  ret_query_param(&query, BOOLOID, BoolGetDatum(policy->zone_matters)),
				  ret_query_identity(&query));
	if (is_new)
		ret_query_add(&query, "%s)", policy->next_run == DT_NOEND ?
					  ret_query_null(&query, TIMESTAMPTZOID) :
					  ret_query_param(&query, TIMESTAMPTZOID,
									  TimestampTzGetDatum(policy->next_run)));
	else
		ret_query_add(&query, "version + 1) WHERE policy_id = %s AND version = %s",
					  ret_query_param(&query, INT4OID,
									  Int32GetDatum(policy->policy_id)),
					  ret_query_param(&query, INT4OID,
									  Int32GetDatum(policy->version)));
	ret_query_add(&query, " RETURNING policy_id, version");
	if (ret_query_run(&query, false, 0, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("policy \"%s\" was changed by somebody else at the same time",
						policy->name),
				 errhint("Try again.")));
	policy->policy_id = DatumGetInt32(ret_result_datum(0, 1, &isnull));
	policy->version = DatumGetInt32(ret_result_datum(0, 2, &isnull));
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Writes when a policy runs next (DT_NOEND: never by itself) and how often it
 * failed in a row, and tells the launcher at commit.
 */
void
ret_policy_set_next_run(const RetPolicy *policy, TimestampTz next,
						int failures)
{
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "UPDATE retention.policy SET next_run = %s, failures = %s"
				  " WHERE policy_id = %s",
				  next == DT_NOEND ? ret_query_null(&query, TIMESTAMPTZOID) :
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(next)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(failures)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy->policy_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	if (next != DT_NOEND)
		ret_notify_due_at_commit(next);
}
