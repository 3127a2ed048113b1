/*-------------------------------------------------------------------------
 *
 * path.c
 *		The ways through a table: block windows, an index on the clock.
 *
 * Windows: one pass over the heap in ranges of blocks, each a DELETE of its
 * own. No list of rows is kept, and a row costs what it costs in one big
 * DELETE. Used when much is due, or no index leads with the clock.
 *
 * Index: the rows that are due, found by an index on the clock and listed.
 * Used when little is due.
 *
 * Both fall back to lists of rows, and these to halves of lists, when a
 * statement fails: what refuses to go is found, counted and passed over.
 * Batches adapt to retention.batch_target.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "batch.h"
#include "cascade.h"
#include "clock.h"
#include "estimate.h"
#include "guc.h"
#include "partition.h"
#include "path.h"
#include "shmem.h"
#include "worker.h"

/* the first window is small, since nobody knows what its rows cost */
#define FIRST_WINDOW 16			/* blocks */
#define FIRST_LIST 500			/* rows */

/* rows that are listed at once; 6 MB */
#define MAX_LIST 1000000

/*
 * After so many refusals in a row, one by one, the rest of a list is taken to
 * refuse too; the next run tries it again.
 */
#define MAX_REFUSALS 1000

/* a run gives up when so many batches ran into retention.batch_timeout */
#define MAX_TIMEOUTS 3

/* what a run may be ahead of its rate after it found nothing for a while */
#define RATE_CREDIT_MS 1000

/* so often the rows of a list may wait for locks of others in vain */
#define MAX_LOCK_ERRORS 20

typedef struct ListState
{
	int			refusals;		/* since the last row that went */
	int			lock_errors;
} ListState;

/* a batch under a rate takes the rows of so short a time: no bursts */
#define RATE_BATCHES 10			/* a second */

/*
 * How many rows a batch may take.
 */
static int
batch_limit(RetRun *run)
{
	return run->policy->rate > 0 ?
		Min(ret_batch_rows, Max(run->policy->rate / RATE_BATCHES, 1)) :
		ret_batch_rows;
}

/*
 * Between two batches: counts the one before, shows it, and waits as long as
 * the rate wants. Afterwards the run may have to end.
 */
void
ret_pace(RetRun *run, const RetBatch *batch, int64 blocks_done)
{
	run->rows += batch->rows + batch->cascaded;
	run->due_rows += batch->rows;
	if (batch->rows > 0)
		run->batches++;
	ret_progress_batch(run->rows, run->blocked, run->batches, blocks_done);

	if (run->rows_limit > 0 && run->due_rows > run->rows_limit)
		ret_run_end_early(run, "needs_confirmation",
						  "more rows are due than were estimated, more than max_fraction of the table");
	if (run->policy->rate > 0 && run->xact != RET_XACT_ATOMIC)
	{
		int64		wait;

		if (!batch->is_whole)
			run->rate_rows += batch->rows + batch->cascaded;
		wait = run->rate_start - ret_monotonic_ms() +
			run->rate_rows * 1000 / run->policy->rate;
		/* a quiet stretch is no credit for a burst */
		if (wait < -RATE_CREDIT_MS)
			run->rate_start += -RATE_CREDIT_MS - wait;
		if (wait > 0)
		{
			ret_progress_waiting("rate");
			ret_sleep(wait);
			run->waited_ms += wait;
			ret_progress_waiting(NULL);
		}
	}
	if (!run->confirmed && !ret_policy_window_is_open(run->policy, ret_now()))
		ret_run_end_early(run, "paused", "the run window is over");
	ret_worker_reload();
	if (run->xact == RET_XACT_WORKER && !ret_enabled)
		ret_run_end_early(run, "paused", "retention.enabled is off");
	if (ret_clock_is_suspended())
		ret_run_end_early(run, "paused",
						  "the system clock jumped; see retention.health");
}

static bool
is_lock_error(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}

static bool
is_reference_error(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION ||
		error->sqlerrcode == ERRCODE_RESTRICT_VIOLATION;
}

/*
 * Raises the error of a batch unless single rows may be the cause of it.
 */
static void
check_error(RetRun *run, RetBatch *batch, ErrorData *error)
{
	RetBatch	nothing = {0};
	ErrorData  *again;

	if (ret_error_is_timeout(run, error))
	{
		if (++run->timeouts >= MAX_TIMEOUTS)
			ReThrowError(error);
		return;
	}
	if (ret_error_is_cancel(error) || batch->preparing)
		ReThrowError(error);
	if (is_lock_error(error) || batch->leaf->is_probed)
		return;

	/* does the statement work when there is no row to delete? */
	nothing.leaf = batch->leaf;
	nothing.tids = &nothing.from;
	if (!ret_attempt(run, run->act, &nothing, &again))
		ReThrowError(again);
	batch->leaf->is_probed = true;
}

/*
 * Counts those rows of a list that a DELETE without an error left, though they
 * are due as before.
 */
static void
count_refused(RetRun *run, RetLeaf *leaf, const ItemPointerData *tids,
			  int ntids, bool skip_locked)
{
	RetSearch	search = {0};

	if (run->end_state)
		return;
	search.leaf = leaf;
	search.among = tids;
	search.namong = ntids;
	ret_do(run, ret_search, &search);
	ret_run_block(run, search.nfound, skip_locked ?
				  "the row is locked by another session" :
				  ret_policy_is_scrub(run->policy) ?
				  "a trigger refused to scrub the row" :
				  "a trigger refused to delete the row");
	if (search.tids)
		pfree(search.tids);
}

static void take_list(RetRun *run, RetLeaf *leaf, const ItemPointerData *tids,
					  int ntids, bool skip_locked, ListState *state);

/*
 * Deletes those rows of a list that no foreign key holds: a join finds them
 * faster than halving does.
 */
static void
take_unreferenced(RetRun *run, RetLeaf *leaf, const ItemPointerData *tids,
				  int ntids, bool skip_locked, ListState *state)
{
	RetSearch	search = {0};

	search.leaf = leaf;
	search.among = tids;
	search.namong = ntids;
	search.unreferenced = true;
	ret_do(run, ret_search, &search);
	if (run->end_state)
		return;
	ret_run_block(run, search.nfound - search.ntids, leaf->reference_cause);
	take_list(run, leaf, search.tids, search.ntids, skip_locked, state);
	if (search.tids)
		pfree(search.tids);
}

/*
 * Deletes a list of rows. What refuses is found by halving.
 */
static void
take_list(RetRun *run, RetLeaf *leaf, const ItemPointerData *tids, int ntids,
		  bool skip_locked, ListState *state)
{
	RetBatch	batch = {0};
	ErrorData  *error;

	if (ntids == 0 || run->end_state)
		return;
	batch.leaf = leaf;
	batch.tids = tids;
	batch.ntids = ntids;
	batch.skip_locked = skip_locked;
	if (state->lock_errors >= MAX_LOCK_ERRORS)
	{
		ret_run_block(run, ntids, "rows that depend on it are locked by another session");
		return;
	}
	if (state->refusals < MAX_REFUSALS || ntids > MAX_REFUSALS)
	{
		/* one that gave way left some, and comes again */
		while (ret_attempt(run, run->act, &batch, &error))
		{
			if (batch.rows > 0)
				state->refusals = 0;
			if (batch.rows < (uint64) ntids && !batch.gave_way &&
				(skip_locked || leaf->has_row_trigger))
				count_refused(run, leaf, tids, ntids, skip_locked);
			ret_pace(run, &batch, ItemPointerGetBlockNumberNoCheck(tids));
			if (!batch.gave_way || run->end_state)
				return;
		}
		check_error(run, &batch, error);
		if (is_lock_error(error))
			state->lock_errors++;
		if (is_lock_error(error) && !skip_locked)
		{
			FreeErrorData(error);
			take_list(run, leaf, tids, ntids, true, state);
			return;
		}
		if (is_reference_error(error) && leaf->reference_cause == NULL)
		{
			leaf->reference_cause = MemoryContextStrdup(run->context,
														error->message);
			FreeErrorData(error);
			take_unreferenced(run, leaf, tids, ntids, skip_locked, state);
			return;
		}
		if (ntids > 1)
		{
			int			half = ntids / 2;

			FreeErrorData(error);
			take_list(run, leaf, tids, half, skip_locked, state);
			take_list(run, leaf, tids + half, ntids - half, skip_locked,
					  state);
			return;
		}
		state->refusals++;
		ret_run_block(run, 1, error->message);
		FreeErrorData(error);
		return;
	}
	ret_run_block(run, ntids, run->blocked_cause);
}

/*
 * Finds rows, and counts those that foreign keys hold as blocked. Returns
 * whether there may be more; false when the run has to end.
 */
static bool
find_rows(RetRun *run, RetSearch *search)
{
	search->unreferenced = search->leaf->reference_cause != NULL;
	ret_do(run, ret_search, search);
	if (run->end_state)
		return false;
	if (search->unreferenced)
		ret_run_block(run, search->nfound - search->ntids,
					  search->leaf->reference_cause);
	return search->nfound == search->limit;
}

/*
 * One window, rows found first and then deleted as a list. Returns where the
 * next one begins.
 */
static ItemPointerData
take_window_as_list(RetRun *run, RetLeaf *leaf, const ItemPointerData *from,
					const ItemPointerData *to)
{
	RetSearch	search = {0};
	ListState	state = {0};
	ItemPointerData next = *to;

	search.leaf = leaf;
	search.from = *from;
	search.to = *to;
	search.limit = batch_limit(run);
	if (find_rows(run, &search))
	{
		next = search.last;
		ItemPointerSetOffsetNumber(&next,
								   ItemPointerGetOffsetNumber(&next) + 1);
	}
	take_list(run, leaf, search.tids, search.ntids, false, &state);
	if (search.tids)
		pfree(search.tids);
	return next;
}

/*
 * One window by one DELETE. Returns where the next one begins: at the same
 * place when the limit or somebody who waits stopped it, for nothing says in
 * which order the rows of the window went.
 */
static ItemPointerData
take_window(RetRun *run, RetLeaf *leaf, const ItemPointerData *from,
			const ItemPointerData *to)
{
	RetBatch	batch = {0};
	ErrorData  *error;
	ItemPointerData next = *to;

	batch.leaf = leaf;
	batch.from = *from;
	batch.to = *to;
	batch.limit = batch_limit(run);
	if (!ret_attempt(run, run->act, &batch, &error))
	{
		check_error(run, &batch, error);
		if (is_reference_error(error))
			leaf->reference_cause = MemoryContextStrdup(run->context,
														error->message);
		FreeErrorData(error);
		return take_window_as_list(run, leaf, from, to);
	}
	if (batch.leaf_is_gone)
		ItemPointerSet(&next, leaf->nblocks, 0);
	else if (batch.rows == (uint64) batch.limit || batch.gave_way)
		next = *from;
	ret_pace(run, &batch, ItemPointerGetBlockNumberNoCheck(&next));
	return next;
}

/*
 * A size for the next batch, such that it takes the target time.
 */
static double
adapt(double size, int64 elapsed_ms)
{
	double		factor = (double) ret_batch_target / Max(elapsed_ms, 1);

	return Max(size * Min(Max(factor, 0.125), 4.0), 1.0);
}

static void
walk_windows(RetRun *run, RetLeaf *leaf)
{
	ItemPointerData at;
	double		size = FIRST_WINDOW;

	ret_progress_leaf(leaf->relid, "windows", leaf->nblocks);
	ItemPointerSet(&at, 0, FirstOffsetNumber);
	while (ItemPointerGetBlockNumberNoCheck(&at) < leaf->nblocks &&
		   !run->end_state)
	{
		ItemPointerData from = at;
		ItemPointerData to;
		int64		start = ret_monotonic_ms() - run->waited_ms;
		int64		rows = run->due_rows;

		ItemPointerSet(&to, (BlockNumber) Min((double) leaf->nblocks,
											  ItemPointerGetBlockNumberNoCheck(&at) + size), 0);
		/* triggers and cascades need to know the rows beforehand */
		if (leaf->ncascades > 0 || leaf->has_row_trigger ||
			leaf->reference_cause)
			at = take_window_as_list(run, leaf, &from, &to);
		else
			at = take_window(run, leaf, &from, &to);

		rows = run->due_rows - rows;
		if (ItemPointerEquals(&at, &from))
			size = Max(size / 2, 1);
		else
		{
			double		blocks = ItemPointerGetBlockNumberNoCheck(&to) -
				ItemPointerGetBlockNumberNoCheck(&from);

			size = adapt(size, ret_monotonic_ms() - run->waited_ms - start);
			/* the limit should end no window: what it leaves is read again */
			if (rows > 0)
				size = Max(Min(size, 0.9 * batch_limit(run) * blocks / rows), 1);
		}
	}
}

/*
 * All rows that an index finds are due, listed at once (this path is taken
 * only where they are few), and deleted some at a time.
 */
static void
walk_index(RetRun *run, RetLeaf *leaf)
{
	RetSearch	search = {0};
	double		size = FIRST_LIST;
	bool		more = true;

	ret_progress_leaf(leaf->relid, "index", leaf->nblocks);
	search.leaf = leaf;
	search.by_index = true;
	search.limit = MAX_LIST;
	while (more && !run->end_state)
	{
		ListState	state = {0};
		int64		rows = run->due_rows;

		more = find_rows(run, &search);
		for (int from = 0; from < search.ntids && !run->end_state;)
		{
			int			n = Min((int) Min(size, (double) batch_limit(run)),
								search.ntids - from);
			int64		start = ret_monotonic_ms() - run->waited_ms;

			take_list(run, leaf, search.tids + from, n, false, &state);
			size = adapt(size, ret_monotonic_ms() - run->waited_ms - start);
			from += n;
		}
		if (search.tids)
			pfree(search.tids);
		search.tids = NULL;
		/* if none of so many went, a second look finds the same */
		more = more && run->due_rows > rows;
	}
}

/*
 * Goes through one leaf: whole, by index or by windows.
 */
static void
walk_leaf(RetRun *run, RetLeaf *leaf)
{
	if (ret_partition_take(run, leaf) || run->end_state)
		return;
	if (ret_index_is_better(run, leaf))
		walk_index(run, leaf);
	else
		walk_windows(run, leaf);
}

/*
 * Goes through one leaf. One that somebody has locked is left for another
 * time, and the run goes on with the next; it ends as failed, so that it is
 * tried again soon.
 */
void
ret_path_walk(RetRun *run, RetLeaf *leaf)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		walk_leaf(run, leaf);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the step that failed has ended its (sub)transaction */
		MemoryContextSwitchTo(run->context);
		error = CopyErrorData();
		if (!is_lock_error(error) || list_length(run->leaves) == 1)
			PG_RE_THROW();
		FlushErrorState();
		MemoryContextSwitchTo(caller);
		if (run->locked_leaf == NULL)
			run->locked_leaf = leaf->name;
		FreeErrorData(error);
	}
	PG_END_TRY();
}
