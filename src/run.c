/*-------------------------------------------------------------------------
 *
 * run.c
 *		The transactions of a run, and what their errors mean.
 *
 * Every step of a run is a function that ret_attempt() calls in a transaction
 * of its own: a real one where we may commit, always with a subtransaction
 * inside, so that an error leaves the caller able to go on and to decide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "clock.h"
#include "executor/spi.h"
#include "guc.h"
#include "run.h"
#include "subxact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

static void
begin(RetRun *run)
{
	/* a run has to see what others protect while it goes on */
	if (run->xact == RET_XACT_CALL && IsolationUsesXactSnapshot())
	{
		SPI_commit();
		XactIsoLevel = XACT_READ_COMMITTED;
	}
	if (run->xact != RET_XACT_WORKER)
		return;
	StartTransactionCommand();
	/* nobody else sets a limit for a worker: statement_timeout does not */
	if (ret_batch_timeout > 0 && !run->is_patient)
		enable_timeout_after(STATEMENT_TIMEOUT, ret_batch_timeout);
}

static void
commit(RetRun *run)
{
	switch (run->xact)
	{
		case RET_XACT_WORKER:
			if (get_timeout_active(STATEMENT_TIMEOUT))
				disable_timeout(STATEMENT_TIMEOUT, false);
			CommitTransactionCommand();
			break;
		case RET_XACT_CALL:
			SPI_commit();
			break;
		case RET_XACT_ATOMIC:
			break;
	}
}

typedef struct Step
{
	RetRun	   *run;
	RetBody		body;
	void	   *arg;
} Step;

static void
call_body(void *arg)
{
	Step	   *step = arg;

	MemoryContextSwitchTo(step->run->scratch);
	PushActiveSnapshot(GetTransactionSnapshot());
	step->body(step->run, step->arg);
	PopActiveSnapshot();
}

/*
 * Takes out of an error what may be a value of a row: the messages of data
 * exceptions, and all details. The error is kept in records and logs.
 */
void
ret_error_hide_values(ErrorData *error)
{
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION)
	{
		error->message = psprintf("a value could not be scrubbed (SQLSTATE %s); what the server says of it is left out",
								  unpack_sql_state(error->sqlerrcode));
		error->context = NULL;
	}
	error->detail = NULL;
}

/*
 * Calls "body" in a transaction of its own and commits it. Returns false when
 * it failed; then nothing of it is left but the error, in the run's context.
 *
 * The body runs in the scratch context with an active snapshot. Caller must
 * (RET_XACT_CALL) have the non-atomic SPI connection on top.
 */
bool
ret_attempt(RetRun *run, RetBody body, void *arg, ErrorData **error)
{
	MemoryContext caller = CurrentMemoryContext;
	Step		step = {run, body, arg};
	int64		start = ret_monotonic_ms();

	begin(run);
	*error = ret_try(call_body, &step, true, run->context);
	if (*error && run->policy && ret_policy_is_scrub(run->policy))
		ret_error_hide_values(*error);
	MemoryContextSwitchTo(caller);
	commit(run);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(run->scratch);
	run->attempt_ms = ret_monotonic_ms() - start;
	return *error == NULL;
}

/*
 * Like ret_attempt(), but raises the error of the body.
 */
void
ret_do(RetRun *run, RetBody body, void *arg)
{
	ErrorData  *error;

	if (!ret_attempt(run, body, arg, &error))
		ReThrowError(error);
}

/*
 * Lets the run end after the present step. The first reason counts.
 */
void
ret_run_end_early(RetRun *run, const char *state, const char *reason)
{
	if (run->end_state)
		return;
	run->end_state = state;
	run->end_reason = MemoryContextStrdup(run->context, reason);
}

/*
 * Counts rows that are due and did not go.
 */
void
ret_run_block(RetRun *run, int64 rows, const char *cause)
{
	if (rows <= 0)
		return;
	run->blocked += rows;
	if (run->blocked_cause == NULL)
		run->blocked_cause = MemoryContextStrdup(run->context, cause);
}

/*
 * Whether rows are gone at once, and do not go to the trash.
 */
bool
ret_run_deletes(const RetRun *run)
{
	return strcmp(run->policy->action, "delete") == 0;
}

/*
 * Whether the same step may succeed later without anybody doing anything.
 */
bool
ret_error_is_transient(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:	/* deadlock, serialization */
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_CONNECTION_EXCEPTION:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
				error->sqlerrcode == ERRCODE_OBJECT_IN_USE;
	}
}

/*
 * Whether somebody wants the process to stop what it does: the server says so,
 * for a trigger can raise the same error code.
 */
bool
ret_error_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		error->funcname && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * Whether a cancellation is that of a step that took too long, which
 * retention.batch_timeout ends in a worker.
 */
bool
ret_error_is_timeout(const RetRun *run, const ErrorData *error)
{
	return ret_error_is_cancel(error) && run->xact == RET_XACT_WORKER &&
		ret_batch_timeout > 0 &&
		run->attempt_ms >= ret_batch_timeout;
}
