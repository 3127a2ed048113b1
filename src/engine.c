/*-------------------------------------------------------------------------
 *
 * engine.c
 *		A run of a policy from plan to end.
 *
 * A run is opened (a row in retention.run says "running"), planned, walked
 * leaf by leaf (path.c) and finished. Each step commits. Whatever happens in
 * between, finish() writes how the run ended; if the process dies, the lock
 * on the policy dies with it, and the next who gets that lock writes
 * "crashed".
 *
 * Called by CALL run_policy() and run_due(), and by workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "batch.h"
#include "cascade.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "engine.h"
#include "estimate.h"
#include "executor/spi.h"
#include "expr.h"
#include "guc.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "path.h"
#include "policy_api.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "run.h"
#include "sandbox.h"
#include "schedule.h"
#include "scrub.h"
#include "shmem.h"
#include "storage/bufmgr.h"
#include "tcop/utility.h"
#include "trash_scrub.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(retention_run_policy);

/* the first retry of a failed policy, and the longest wait */
#define RETRY_MS (10 * 1000)
#define RETRY_MAX_MS (3600 * 1000)

/* ---------- opening ---------- */

/*
 * Ends the runs that a dead process left. Caller must hold the policy's lock.
 * Returns how many there were.
 */
uint64
ret_bury_crashed_runs(int32 policy_id)
{
	RetUser		saved;
	RetQuery	query;
	uint64		buried;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "UPDATE retention.run SET state = 'crashed',"
				  " finished_at = %s, error = 'the server or the session ended during the run'"
				  " WHERE policy_id = %s AND state = 'running'",
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(ret_now())),
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy_id)));
	buried = ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	return buried;
}

/*
 * Body: opens the run. The policy runs next by its schedule, whatever becomes
 * of this run.
 */
static void
open_run(RetRun *run, void *arg)
{
	int32		policy_id = *(int32 *) arg;
	Oid			user = GetUserId();
	RetUser		saved;
	RetQuery	query;

	if (!ret_extension_is_usable())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"retention\" is not in this database in version %s",
						RETENTION_VERSION),
				 errhint("Use ALTER EXTENSION retention UPDATE.")));
	MemoryContextSwitchTo(run->context);
	run->policy = ret_policy_find_id(policy_id);
	MemoryContextSwitchTo(run->scratch);
	if (run->policy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the policy was dropped")));

	/* another process may have run it since it was listed as due */
	if (!run->by_hand &&
		(!ret_policy_is_active(run->policy) || run->policy->cron ||
		 !ret_policy_is_due(run->policy, ret_now())))
		return;

	/* if it was not confirmed now either, it will wait again */
	if (run->by_hand &&
		strcmp(run->policy->state, "needs_confirmation") == 0)
	{
		ret_policy_set_state(run->policy, "active", NULL);
		MemoryContextSwitchTo(run->context);
		run->policy = ret_policy_find_id(policy_id);
		MemoryContextSwitchTo(run->scratch);
	}
	(void) ret_bury_crashed_runs(policy_id);
	run->cutoff = ret_now();
	if (!ret_clock_is_suspended())
		ret_policy_set_next_run(run->policy,
								ret_policy_next_run(run->policy, run->cutoff),
								run->policy->failures);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "INSERT INTO retention.run (policy_id, policy, policy_version,"
				  " relation_id, action, state, started_at, started_by, pid,"
				  " cutoff) VALUES (%s, %s, %s, %s, %s, 'running', %s, %s, %s, %s)"
				  " RETURNING run_id",
				  ret_query_param(&query, INT4OID, Int32GetDatum(policy_id)),
				  ret_query_text(&query, run->policy->name),
				  ret_query_param(&query, INT4OID, Int32GetDatum(run->policy->version)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(run->policy->relation_id)),
				  ret_query_text(&query, run->policy->action),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(run->cutoff)),
				  ret_query_text(&query, ret_worker_is_me() ? "retention worker" :
								 GetUserNameFromId(user, false)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(MyProcPid)),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(run->cutoff)));
	ret_query_run(&query, false, 0, NULL);
	run->run_id = ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	(void) ret_digest_key_load(run->digest_key, true);
}

/* ---------- planning ---------- */

static void
add_leaf(RetRun *run, Oid relid)
{
	RetLeaf    *leaf;
	Relation	rel = table_open(relid, AccessShareLock);
	MemoryContext scratch = MemoryContextSwitchTo(run->context);

	ret_relation_check(rel, run->owner);
	leaf = palloc0(sizeof(RetLeaf));
	leaf->relid = relid;
	leaf->parent = rel->rd_rel->relispartition ?
		get_partition_parent(relid, false) : InvalidOid;
	leaf->name = ret_relation_name(relid);
	leaf->nblocks = RelationGetNumberOfBlocks(rel);
	if (ret_policy_is_scrub(run->policy))
		leaf->has_row_trigger = ret_relation_has_update_trigger(rel);
	else
	{
		leaf->ncascades = ret_relation_cascades(rel);
		if (ret_relation_is_referenced(rel))
			leaf->foreign_keys = ret_foreign_keys_to(relid);
		leaf->has_row_trigger = ret_relation_has_row_trigger(rel);
		leaf->has_side_effects = leaf->foreign_keys != NIL ||
			ret_relation_has_delete_trigger(rel);
	}
	run->leaves = lappend(run->leaves, leaf);
	MemoryContextSwitchTo(scratch);
	table_close(rel, NoLock);
}

/*
 * Body: checks the policy against the table as it is now, and lists the
 * leaves.
 */
static void
plan(RetRun *run, void *arg)
{
	Relation	rel;
	List	   *renames;
	char	   *mismatch;
	ListCell   *lc;

	ret_batch_lock_timeout();
	rel = ret_policy_open(run->policy);
	run->owner = rel->rd_rel->relowner;
	ret_relation_check(rel, run->owner);
	mismatch = ret_policy_mismatch(run->policy, rel, &renames);
	if (mismatch == NULL && renames == NIL)
		mismatch = ret_policy_drift(run->policy, rel);
	if (mismatch)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("table %s does not fit the policy any more: %s",
						run->policy->relation_name, mismatch),
				 errhint("Mend the policy with retention.alter_policy(), or accept the change with retention.resume_policy().")));
	if (renames)
	{
		MemoryContextSwitchTo(run->context);
		ret_policy_follow_rename(run->policy, rel, renames);
		MemoryContextSwitchTo(run->scratch);
	}
	relation_close(rel, NoLock);

	/* its name may be another by now */
	(void) ret_register(run->policy->relid);
	if (!ret_policy_is_scrub(run->policy))
		ret_cascade_check(run->policy, run->policy->relid, false);
	foreach(lc, ret_relation_leaves(run->policy->relid))
		add_leaf(run, lfirst_oid(lc));
	ret_progress_begin(run->run_id, run->policy->name, run->policy->relid);
}

/*
 * Whether the run may begin at all; else says how it ends.
 */
static void
check_start(RetRun *run)
{
	if (ret_clock_is_suspended())
		ret_run_end_early(run, "paused",
						  "the system clock jumped; see retention.health");
	else if (!run->confirmed &&
			 !ret_policy_window_is_open(run->policy, run->cutoff))
		ret_run_end_early(run, "paused",
						  psprintf("outside of the run window %s",
								   run->policy->run_window));
}

/* ---------- finishing ---------- */

typedef struct Finish
{
	const char *state;			/* of the run */
	const char *message;
	const char *policy_state;	/* NULL: stays */
	TimestampTz next;
	int			failures;
} Finish;

/*
 * Body: writes how the run ended. A run that is not "running" any more was
 * ended by somebody else and keeps that state.
 */
static void
write_finish(RetRun *run, void *arg)
{
	Finish	   *finish = arg;
	RetUser		saved;
	RetQuery	query;
	RetPolicy  *policy;

	if (!ret_extension_is_usable())
		return;
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "UPDATE retention.run SET state = %s, error = %s,"
				  " finished_at = %s, blocked = %s, blocked_cause = %s"
				  " WHERE run_id = %s AND state = 'running'",
				  ret_query_text(&query, finish->state),
				  ret_query_text(&query, finish->message),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(ret_now())),
				  ret_query_param(&query, INT8OID, Int64GetDatum(run->blocked)),
				  ret_query_text(&query, run->blocked_cause),
				  ret_query_param(&query, INT8OID, Int64GetDatum(run->run_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();

	policy = ret_policy_find_id(run->policy->policy_id);
	if (policy == NULL)
		return;
	/* a policy that was changed during the run begins anew */
	if (policy->version != run->policy->version && policy->every)
		finish->next = ret_now();
	if (!ret_clock_is_suspended())
		ret_policy_set_next_run(policy, finish->next, finish->failures);
	if (finish->policy_state && ret_policy_is_active(policy) &&
		policy->version == run->policy->version)
		ret_policy_set_state(policy, finish->policy_state, finish->message);
}

/*
 * What an error means for the run and for the policy.
 */
static void
judge_error(RetRun *run, const ErrorData *error, Finish *finish)
{
	finish->message = error->message;
	if (ret_error_is_cancel(error) && !ret_error_is_timeout(run, error))
		finish->state = "cancelled";
	else if (ret_error_is_transient(error))
	{
		finish->state = "failed";
		finish->failures = run->policy->failures + 1;
		finish->next = Min(finish->next, TimestampTzPlusMilliseconds(ret_now(),
																	 ret_backoff_ms(finish->failures, RETRY_MS, RETRY_MAX_MS)));
	}
	else
	{
		/* nothing will be better until somebody does something */
		finish->state = "failed";
		finish->policy_state =
			error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
			error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ?
			"paused" : "broken";
	}
}

/*
 * Ends the run. "error" is what stopped it, or NULL.
 */
static void
finish_run(RetRun *run, const ErrorData *error)
{
	Finish		finish = {"succeeded", NULL, NULL, DT_NOEND, 0};
	ErrorData  *failed;

	finish.next = ret_policy_next_run(run->policy, ret_now());
	if (error)
		judge_error(run, error, &finish);
	else if (run->end_state)
	{
		finish.state = run->end_state;
		finish.message = run->end_reason;
		if (strcmp(run->end_state, "needs_confirmation") == 0)
			finish.policy_state = run->end_state;
	}
	if (!ret_attempt(run, write_finish, &finish, &failed))
	{
		/* the next who takes the policy's lock will call it crashed */
		ereport(LOG,
				(errmsg("could not write the end of run %lld of policy \"%s\": %s",
						(long long) run->run_id, run->policy->name,
						failed->message)));
	}
	run->end_state = finish.state;
	run->end_reason = finish.message ? pstrdup(finish.message) : NULL;
}

/* ---------- a run ---------- */

/*
 * What is between opening and finishing. Returns the error that stopped it.
 */
static ErrorData *
walk(RetRun *run)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	run->act = ret_policy_is_scrub(run->policy) ? ret_batch_scrub :
		ret_batch_delete;
	PG_TRY();
	{
		ListCell   *lc;

		check_start(run);
		if (!run->end_state)
		{
			if (ret_policy_is_scrub(run->policy))
				ret_scrub_begin(run);
			ret_do(run, plan, NULL);
			ret_guard_fraction(run);
		}
		run->rate_start = ret_monotonic_ms();
		foreach(lc, run->leaves)
		{
			RetLeaf    *leaf = lfirst(lc);
			int64		before = run->rows;

			if (run->end_state)
				break;
			ret_path_walk(run, leaf);
			leaf->is_touched = run->rows > before;
		}
		if (ret_policy_is_scrub(run->policy) && !run->end_state)
			ret_trash_scrub_run(run);
		if (run->locked_leaf && !run->end_state)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("table %s is locked by another session",
							run->locked_leaf)));
		if (ret_policy_is_scrub(run->policy) && !run->end_state)
			ret_scrub_finish(run);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return error;
}

/*
 * Tells a caller by hand what he must know beside the run history.
 */
static void
tell(RetRun *run)
{
	if (strcmp(run->end_state, "needs_confirmation") == 0)
		ereport(WARNING,
				(errmsg("policy \"%s\" waits for confirmation: %s",
						run->policy->name, run->end_reason),
				 errhint("Look at retention.preview(), then CALL retention.run_policy(%s, confirm => true).",
						 quote_literal_cstr(run->policy->name))));
	else if (strcmp(run->end_state, "paused") == 0)
		ereport(WARNING,
				(errmsg("the run of policy \"%s\" paused: %s",
						run->policy->name, run->end_reason)));
	else if (strcmp(run->end_state, "cancelled") == 0)
		ereport(WARNING,
				(errmsg("the run of policy \"%s\" was cancelled: %s",
						run->policy->name, run->end_reason)));
	else if (run->blocked > 0)
		ereport(NOTICE,
				(errmsg("policy \"%s\": %lld rows that are due could not be %s",
						run->policy->name, (long long) run->blocked,
						ret_policy_is_scrub(run->policy) ? "scrubbed" : "deleted"),
				 errdetail("The first: %s", run->blocked_cause)));
}

static void
context_callback(void *arg)
{
	RetRun	   *run = arg;

	if (run->policy)
		errcontext("retention policy \"%s\" on table %s", run->policy->name,
				   run->policy->relation_name);
}

typedef struct Locking
{
	int32		policy_id;
	bool		locked;
	LOCKTAG		tag;
} Locking;

/*
 * Body: takes the lock of the policy, for the session where we commit.
 */
static void
lock_policy(RetRun *run, void *arg)
{
	Locking    *locking = arg;

	locking->locked = ret_extension_is_usable() &&
		ret_policy_lock(locking->policy_id, run->xact != RET_XACT_ATOMIC,
						&locking->tag);
}

/*
 * Body: releases it.
 */
static void
unlock_policy(RetRun *run, void *arg)
{
	ret_policy_unlock(&((Locking *) arg)->tag);
}

/*
 * Runs a policy, which must be active or be confirmed. The outcome is in the
 * run history; by hand, an error comes out besides, after it was recorded.
 * Returns false when another process is running the policy.
 */
bool
ret_engine_run(int32 policy_id, RetXact xact, bool by_hand, bool confirmed)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorContextCallback callback;
	RetRun		run = {0};
	Locking		locking = {.policy_id = policy_id};
	ErrorData  *error;

	run.xact = xact;
	run.by_hand = by_hand;
	run.confirmed = confirmed;
	run.context = AllocSetContextCreate(xact == RET_XACT_WORKER ?
										TopMemoryContext : CurrentMemoryContext,
										"retention run", ALLOCSET_DEFAULT_SIZES);
	run.scratch = AllocSetContextCreate(run.context, "retention batch",
										ALLOCSET_DEFAULT_SIZES);
	ret_do(&run, lock_policy, &locking);
	if (!locking.locked)
	{
		MemoryContextDelete(run.context);
		return false;
	}

	callback.callback = context_callback;
	callback.arg = &run;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	MemoryContextSwitchTo(run.context);
	if (ret_attempt(&run, open_run, &policy_id, &error) && run.run_id != 0)
	{
		error = walk(&run);
		ret_progress_end();
		finish_run(&run, error);
	}
	error_context_stack = callback.previous;
	if (xact != RET_XACT_ATOMIC)
		ret_do(&run, unlock_policy, &locking);

	if (error && (by_hand || (xact != RET_XACT_WORKER &&
							  ret_error_is_cancel(error))))
		ReThrowError(error);
	if (error)
	{
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("the run of policy \"%s\" failed: %s",
						run.policy ? run.policy->name : "?", error->message)));
	}
	else if (by_hand)
		tell(&run);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run.context);
	return true;
}

/* ---------- SQL ---------- */

/*
 * How a procedure was called; with a non-atomic SPI connection on top where
 * it may commit.
 */
RetXact
ret_enter_call(FunctionCallInfo fcinfo, const char *name)
{
	bool		atomic = !(fcinfo->context &&
						   IsA(fcinfo->context, CallContext) &&
						   !castNode(CallContext, fcinfo->context)->atomic);

	PreventCommandIfReadOnly(name);
	PreventCommandDuringRecovery(name);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s cannot be called by what a policy runs", name)));
	if (atomic && IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run in a transaction with an isolation level above READ COMMITTED",
						name),
				 errhint("It has to see what others protect while it runs. Call it outside of a transaction block.")));
	SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
	return atomic ? RET_XACT_ATOMIC : RET_XACT_CALL;
}

/*
 * CALL retention.run_policy(name, confirm)
 */
Datum
retention_run_policy(PG_FUNCTION_ARGS)
{
	RetXact		xact = ret_enter_call(fcinfo, "run_policy()");
	bool		confirm = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	RetPolicy  *policy;

	ret_require_arg(fcinfo, 0, "name");
	ret_identity_check();
	policy = ret_policy_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	ret_check_may_govern(policy->relid);
	if (ret_policy_is_keep(policy))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("policy \"%s\" keeps rows; there is nothing to run",
						policy->name)));
	if (!ret_policy_is_active(policy) &&
		strcmp(policy->state, "needs_confirmation") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("policy \"%s\" is %s: %s", policy->name, policy->state,
						policy->reason ? policy->reason : ""),
				 errhint("Call retention.resume_policy(%s) first.",
						 quote_literal_cstr(policy->name))));
	if (!ret_engine_run(policy->policy_id, xact, true, confirm))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("policy \"%s\" is running already", policy->name),
				 errhint("The view retention.progress shows how far it is.")));
	SPI_finish();
	PG_RETURN_VOID();
}
