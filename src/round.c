/*-------------------------------------------------------------------------
 *
 * round.c
 *		All that is due in a database: the rounds of workers and of run_due().
 *
 * A round lists the policies that are due and runs them one after the other,
 * the oldest deadline first. Several processes may be at it in one database:
 * whoever gets the lock of a policy runs it, if it is still due then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "engine.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "query.h"
#include "relation.h"
#include "run.h"
#include "sandbox.h"
#include "schedule.h"
#include "shmem.h"
#include "trash_purge.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(retention_run_due);

/*
 * A policy that crashed before it got anywhere waits longer each time: a crash
 * takes the whole server down, and somebody must get a chance to pause it.
 */
#define CRASH_MS 1000
#define CRASH_MAX_MS (300 * 1000)

typedef struct Round
{
	TimestampTz start;
	int32	   *policies;		/* due, the oldest deadline first */
	int			npolicies;
	TimestampTz next;			/* when the first of the others is due */
} Round;

/*
 * Body: lists what is due.
 */
static void
list_due(RetRun *run, void *arg)
{
	Round	   *round = arg;
	RetUser		saved;
	RetQuery	query;
	bool		isnull;
	Oid			caller = GetUserId();

	round->npolicies = 0;
	round->next = DT_NOEND;
	if (!ret_extension_is_usable())
		return;
	if (run->xact != RET_XACT_ATOMIC)
		ret_identity_check();
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT p.policy_id::bigint, r.reloid::oid::bigint, d.due"
				  " FROM retention.policy p JOIN retention.relation r USING (relation_id),"
				  " LATERAL (SELECT CASE"
				  "  WHEN p.next_run > %s + p.every + interval '2 days'"
				  "  THEN '-infinity' ELSE p.next_run END) AS d(due)"
				  " WHERE p.state = 'active' AND p.action <> 'keep'"
				  " AND p.cron IS NULL AND p.next_run IS NOT NULL"
				  " AND p.identity = %s AND r.identity = p.identity"
				  " ORDER BY d.due, p.policy_id",
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(round->start)),
				  ret_query_identity(&query));
	ret_query_run(&query, false, 0, NULL);
	round->policies = MemoryContextAlloc(run->context,
										 sizeof(int32) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TimestampTz due = DatumGetTimestampTz(ret_result_datum(i, 3, &isnull));
		Oid			owner = ret_relation_owner((Oid) ret_result_int8(i, 2));

		if (due > round->start)
		{
			round->next = due;
			break;
		}
		/* a policy without its table is run too, to find that out */
		if (run->xact == RET_XACT_WORKER || ret_user_governs(caller, owner))
			round->policies[round->npolicies++] = (int32) ret_result_int8(i, 1);
	}
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Body: ends the runs of dead processes and makes their policies due again,
 * at once if they had got anywhere, else after a pause in which somebody can
 * stop them.
 */
static void
recover(RetRun *run, void *arg)
{
	RetUser		saved;
	RetQuery	query;
	uint64		n;
	int64	   *found;

	if (!ret_extension_is_usable() || RecoveryInProgress())
		return;
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT policy_id::bigint, max(rows) FROM retention.run"
				  " WHERE state = 'running' GROUP BY policy_id");
	n = ret_query_run(&query, false, 0, NULL);
	found = palloc(sizeof(int64) * 2 * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		found[2 * i] = ret_result_int8(i, 1);
		found[2 * i + 1] = ret_result_int8(i, 2);
	}
	ret_restore_user(&saved);
	SPI_finish();

	for (uint64 i = 0; i < n; i++)
	{
		int32		policy_id = (int32) found[2 * i];
		RetPolicy  *policy;
		LOCKTAG		tag;

		if (!ret_policy_lock(policy_id, false, &tag))
			continue;
		if (ret_bury_crashed_runs(policy_id) == 0)
			continue;
		policy = ret_policy_find_id(policy_id);
		if (policy && policy->every && ret_policy_is_active(policy))
		{
			int			failures = found[2 * i + 1] > 0 ? 0 : policy->failures + 1;

			ret_policy_set_next_run(policy, failures == 0 ? ret_now() :
						 TimestampTzPlusMilliseconds(ret_now(),
													 ret_backoff_ms(failures, CRASH_MS, CRASH_MAX_MS)),
						 failures);
		}
	}
}

static void
init_round(RetRun *run, RetXact xact)
{
	memset(run, 0, sizeof(*run));
	run->xact = xact;
	run->context = AllocSetContextCreate(xact == RET_XACT_WORKER ?
										 TopMemoryContext : CurrentMemoryContext,
										 "retention round", ALLOCSET_DEFAULT_SIZES);
	run->scratch = AllocSetContextCreate(run->context, "retention step",
										 ALLOCSET_DEFAULT_SIZES);
}

void
ret_engine_recover(RetXact xact)
{
	RetRun		run;

	init_round(&run, xact);
	ret_do(&run, recover, NULL);
	MemoryContextDelete(run.context);
}

/*
 * The trash belongs to nobody: it is purged by workers, and by those who may
 * do everything. In somebody's transaction the locks would stay.
 */
static bool
does_trash(RetXact xact)
{
	return xact == RET_XACT_WORKER ||
		(xact == RET_XACT_CALL && ret_is_admin());
}

TimestampTz
ret_engine_run_due(RetXact xact)
{
	RetRun		run;
	Round		round;
	Bitmapset  *tried = NULL;
	bool		again = true;

	init_round(&run, xact);
	round.next = DT_NOEND;
	while (again && !ret_clock_is_suspended())
	{
		again = false;
		round.start = ret_now();
		ret_do(&run, list_due, &round);
		for (int i = 0; i < round.npolicies; i++)
		{
			MemoryContext old;

			if (bms_is_member(round.policies[i], tried))
				continue;
			ret_worker_reload();
			if (xact == RET_XACT_WORKER &&
				(!ret_enabled || ret_worker_should_yield()))
			{
				MemoryContextDelete(run.context);
				return round.start;
			}
			old = MemoryContextSwitchTo(run.context);
			tried = bms_add_member(tried, round.policies[i]);
			MemoryContextSwitchTo(old);
			/* what is left of the list is for another worker, if there is one */
			ret_publish_next_due(i + 1 < round.npolicies ? round.start : round.next);
			(void) ret_engine_run(round.policies[i], xact, false, false);
			again = true;
		}
	}
	if (does_trash(xact) && !ret_clock_is_suspended())
	{
		TimestampTz next = ret_trash_round(&run);

		round.next = Min(round.next, next);
	}
	MemoryContextDelete(run.context);
	return round.next;
}

/*
 * CALL retention.run_due()
 */
Datum
retention_run_due(PG_FUNCTION_ARGS)
{
	RetXact		xact = ret_enter_call(fcinfo, "run_due()");

	/* in somebody's transaction the locks would stay */
	if (xact != RET_XACT_ATOMIC)
		ret_engine_recover(xact);
	(void) ret_engine_run_due(xact);
	SPI_finish();
	PG_RETURN_VOID();
}
