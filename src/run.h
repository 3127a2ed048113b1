/*
 * run.h
 *
 * A run while it goes on: what the engine, its paths and its batches share.
 */
#ifndef RET_RUN_H
#define RET_RUN_H

#include "engine.h"
#include "policy.h"
#include "siphash.h"
#include "storage/block.h"
#include "storage/itemptr.h"
#include "utils/elog.h"
#include "utils/palloc.h"

typedef struct RetRun
{
	RetXact		xact;
	bool		by_hand;		/* errors go to the caller, too */
	bool		confirmed;
	MemoryContext context;		/* lives as long as the run */
	MemoryContext scratch;		/* reset before each batch */

	RetPolicy  *policy;			/* as it was when the run began */
	Oid			owner;
	int64		run_id;
	TimestampTz cutoff;			/* the "now" of the run */
	uint8		digest_key[RET_DIGEST_SIZE];
	List	   *leaves;			/* RetLeaf */
	void		(*act) (struct RetRun *run, void *batch);	/* the body of a batch */

	int64		rows;			/* gone so far, cascades included */
	int64		due_rows;		/* the same without cascades */
	int64		rows_limit;		/* of due_rows; 0: none */
	int64		batches;
	int64		blocked;
	char	   *blocked_cause;	/* of the first blocked row */
	bool		is_patient;		/* the step may take its time */
	int			timeouts;
	int64		attempt_ms;		/* how long the last step took */
	int64		rate_start;		/* monotonic, ms */
	int64		waited_ms;		/* for the rate */
	int64		rate_rows;		/* rows that count for it */
	char	   *locked_leaf;	/* the first that could not be locked */

	const char *end_state;		/* set when the run has to end early */
	char	   *end_reason;
} RetRun;

typedef struct RetLeaf
{
	Oid			relid;
	Oid			parent;			/* it is a partition of; InvalidOid: none */
	char	   *name;
	BlockNumber nblocks;		/* when the run came to it */
	int			ncascades;		/* cascading foreign keys, as triggers */
	List	   *foreign_keys;	/* RetForeignKey, that point at it */
	bool		has_row_trigger;	/* a BEFORE trigger may refuse rows */
	bool		has_side_effects;	/* deleting may run code of the owner */
	char	   *reference_cause;	/* what foreign keys said to rows, or NULL */
	bool		is_probed;		/* the statement itself works */
	bool		is_touched;		/* a batch found rows */
} RetLeaf;

/* A part of a run that is one transaction. */
typedef void (*RetBody) (RetRun *run, void *arg);

extern bool ret_attempt(RetRun *run, RetBody body, void *arg,
						ErrorData **error);
extern void ret_do(RetRun *run, RetBody body, void *arg);
extern void ret_run_end_early(RetRun *run, const char *state,
							  const char *reason);
extern void ret_run_block(RetRun *run, int64 rows, const char *cause);
extern bool ret_run_deletes(const RetRun *run);
extern void ret_error_hide_values(ErrorData *error);
extern bool ret_error_is_transient(const ErrorData *error);
extern bool ret_error_is_cancel(const ErrorData *error);
extern bool ret_error_is_timeout(const RetRun *run, const ErrorData *error);

#endif							/* RET_RUN_H */
