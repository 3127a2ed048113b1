/*-------------------------------------------------------------------------
 *
 * cron.c
 *		Policies in the hands of pg_cron.
 *
 * A cron job that calls run_policy(), made with pg_cron's own function and
 * the caller's own rights in schema cron. The policy remembers the job, and
 * no worker runs it as long as it does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "cron.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "policy_api.h"
#include "query.h"
#include "sandbox.h"
#include "shmem.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(retention_schedule);
PG_FUNCTION_INFO_V1(retention_unschedule);

static void
require_pg_cron(void)
{
	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"pg_cron\" is not in this database"),
				 errhint("pg_cron lives in the database of \"cron.database_name\" only. From there, use cron.schedule_in_database() to CALL retention.run_policy(), and alter_policy(..., every => '0') so that no worker runs it too.")));
}

/*
 * A function of pg_cron called as the caller; its bigint result.
 */
static int64
call_cron(RetQuery *query)
{
	RetUser		saved;
	int64		result;

	SPI_connect();
	ret_become_self(&saved);
	ret_query_run(query, false, 0, NULL);
	result = ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	return result;
}

static void
remember_job(RetPolicy *policy, const char *operation)
{
	Datum		old_row;
	bool		found = ret_policy_snapshot(policy->policy_id, &old_row);

	ret_policy_save(policy, false);
	ret_policy_log(operation, policy->policy_id, old_row, !found);
}

/*
 * Whether a job is there, also one that the caller may not see.
 */
static bool
job_exists(int64 job)
{
	RetUser		saved;
	RetQuery	query;
	bool		exists;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT FROM cron.job WHERE jobid = %s",
				  ret_query_param(&query, INT8OID, Int64GetDatum(job)));
	exists = ret_query_run(&query, false, 0, NULL) > 0;
	ret_restore_user(&saved);
	SPI_finish();
	return exists;
}

/*
 * Ends the job of a policy, in memory. A job that is gone already is fine.
 */
void
ret_cron_unschedule(RetPolicy *policy)
{
	RetQuery	query;

	if (policy->cron_job != 0 &&
		OidIsValid(get_extension_oid("pg_cron", true)) &&
		job_exists(policy->cron_job))
	{
		ret_query_init(&query);
		ret_query_add(&query,
					  "SELECT count(cron.unschedule(jobid)) FROM cron.job"
					  " WHERE jobid = %s",
					  ret_query_param(&query, INT8OID,
									  Int64GetDatum(policy->cron_job)));
		if (call_cron(&query) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("cron job %lld of policy \"%s\" belongs to another role",
							(long long) policy->cron_job, policy->name),
					 errhint("The role that scheduled the policy, or a superuser, can end it.")));
	}
	policy->cron = NULL;
	policy->cron_job = 0;
}

/*
 * retention.schedule(name, cron)
 */
Datum
retention_schedule(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy;
	char	   *cron;
	RetQuery	query;

	ret_require_arg(fcinfo, 0, "name");
	ret_require_arg(fcinfo, 1, "cron");
	policy = ret_policy_load_for_change(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	cron = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (ret_policy_is_keep(policy))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("policy \"%s\" keeps rows; there is nothing to run",
						policy->name)));
	require_pg_cron();
	if (policy->cron)
		ret_cron_unschedule(policy);

	ret_query_init(&query);
	ret_query_add(&query, "SELECT cron.schedule(%s, %s, %s)",
				  ret_query_text(&query, psprintf("retention %d: %s", policy->policy_id, policy->name)),
				  ret_query_text(&query, cron),
				  ret_query_text(&query, psprintf("CALL retention.run_policy(%s)",
												  quote_literal_cstr(policy->name))));
	policy->cron_job = call_cron(&query);
	policy->cron = cron;
	remember_job(policy, "schedule");
	PG_RETURN_INT64(policy->cron_job);
}

/*
 * retention.unschedule(name)
 */
Datum
retention_unschedule(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy;

	ret_require_arg(fcinfo, 0, "name");
	policy = ret_policy_load_for_change(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (policy->cron == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("policy \"%s\" was not handed to pg_cron",
						policy->name)));
	ret_cron_unschedule(policy);
	remember_job(policy, "unschedule");
	if (policy->next_run != DT_NOEND)
		ret_notify_due_at_commit(policy->next_run);
	PG_RETURN_VOID();
}
