/*
 * engine.h
 *
 * A run of a policy from plan to end.
 */
#ifndef RET_ENGINE_H
#define RET_ENGINE_H

#include "catalog.h"
#include "datatype/timestamp.h"
#include "fmgr.h"

/* How the engine may end a transaction between batches. */
typedef enum RetXact
{
	RET_XACT_WORKER,			/* a worker, outside SPI: plain transactions */
	RET_XACT_CALL,				/* CALL outside a transaction block */
	RET_XACT_ATOMIC				/* inside somebody's transaction: not at all */
} RetXact;

/*
 * Runs a policy, which must be active or wait for confirmation. The outcome is
 * in the run history; by hand, an error comes out besides, after it was
 * recorded. Not by hand, a policy that is not due any more is left alone.
 * Returns false when another process is running the policy.
 */
extern bool ret_engine_run(int32 policy_id, RetXact xact, bool by_hand,
						   bool confirmed);

/*
 * Ends the runs of a policy that a dead process left, and returns how many
 * there were. Caller must hold the policy's lock.
 */
extern uint64 ret_bury_crashed_runs(int32 policy_id);

/*
 * How a procedure was called; connects to SPI, non-atomic where it may commit.
 * Errors where nothing can be written. "name" is for messages.
 */
extern RetXact ret_enter_call(FunctionCallInfo fcinfo, const char *name);

/*
 * Runs every policy of this database that is due, the oldest deadline first,
 * and that no other process is running. Before each run it tells shared
 * memory when the next of the others is due.
 *
 * Caller must (RET_XACT_WORKER) be connected to the database and outside a
 * transaction; it is outside one again on return. Returns when the next
 * policy is due, DT_NOEND when there is none.
 *
 * Errors: those of single policies are recorded and do not come out; only
 * FATAL and a broken installation do.
 */
extern TimestampTz ret_engine_run_due(RetXact xact);

/*
 * Turns runs whose process died into 'crashed', and makes their policies due
 * again. Same transaction rules as ret_engine_run_due.
 */
extern void ret_engine_recover(RetXact xact);

#endif							/* RET_ENGINE_H */
