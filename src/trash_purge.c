/*-------------------------------------------------------------------------
 *
 * trash_purge.c
 *		Rows whose time in the trash is over.
 *
 * What is purged on one day is in a table of its own. When the day is over,
 * the table is read once, for the digests of the records, and dropped in the
 * same transaction: no row is touched. What is in the parent table is deleted
 * chunk by chunk, as is what somebody purges by hand.
 *
 * Called by the rounds of workers and of run_due().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "batch.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "clock.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parked.h"
#include "policy_api.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "trash_purge.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(retention_purge_trash);

/* chunks that one transaction deletes from the parent */
#define CHUNKS_A_STEP 1000

/* ---------- chunks ---------- */

typedef struct Place
{
	Oid			table;
	ItemPointerData tid;
	int32		relation_id;
} Place;

/*
 * Which rows of a chunk have one of these trash ids; NULL: all rows are meant.
 */
static bool *
mark_rows(TupleTableSlot *slot, List *ids)
{
	RetChunk	chunk;
	bool	   *marked;
	ListCell   *lc;

	if (ids == NIL)
		return NULL;
	ret_chunk_read(slot, &chunk);
	marked = palloc0(sizeof(bool) * chunk.rows);
	foreach(lc, ids)
	{
		int64		row = *(int64 *) lfirst(lc) -
			chunk.deletion_id * RET_TRASH_IDS - chunk.first;

		if (row >= 0 && row < chunk.rows)
			marked[row] = true;
	}
	return marked;
}

/*
 * Takes the chunks that a query finds, as (tableoid::bigint, ctid). With ids
 * only those rows. Returns how many rows went. Takes the locks on the trash of
 * their tables.
 */
static int64
take_found(RetQuery *query, List *ids)
{
	RetTrashTaker taker;
	Place	   *places;
	uint64		n;
	Relation	rel = NULL;
	TupleTableSlot *slot = NULL;
	RetUser		saved;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	ret_become_extension(&saved);
	n = ret_query_run(query, false, 0, NULL);
	places = MemoryContextAllocHuge(caller, sizeof(Place) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		places[i].table = (Oid) ret_result_int8(i, 1);
		places[i].tid = *(ItemPointer) DatumGetPointer(ret_result_datum(i, 2, &isnull));
		places[i].relation_id = (int32) ret_result_int8(i, 3);
	}
	ret_restore_user(&saved);
	SPI_finish();

	for (uint64 i = 0; i < n; i++)
		if (i == 0 || places[i].relation_id != places[i - 1].relation_id)
			ret_purge_lock(places[i].relation_id, true);
	PushActiveSnapshot(GetLatestSnapshot());
	ret_trash_taker_begin(&taker, "purge", false);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (rel == NULL || RelationGetRelid(rel) != places[i].table)
		{
			if (slot)
			{
				ExecDropSingleTupleTableSlot(slot);
				table_close(rel, NoLock);
			}
			rel = table_open(places[i].table, RowExclusiveLock);
			slot = table_slot_create(rel, NULL);
		}
		/* one that somebody has taken before we had the lock is not ours */
		if (table_tuple_fetch_row_version(rel, &places[i].tid,
										  GetActiveSnapshot(), slot))
			ret_trash_take(&taker, rel, slot, mark_rows(slot, ids));
	}
	if (slot)
	{
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
	}
	ret_trash_taker_end(&taker);
	PopActiveSnapshot();
	pfree(places);
	return taker.total;
}

/* ---------- the timed purge ---------- */

typedef struct Step
{
	int64		rows;			/* result */
	List	   *days;			/* result: names of tables */
	char	   *day;
	List	   *parked;			/* result: records (int64) of dropped tables */
	int64		deletion_id;
	TimestampTz next;			/* result */
} Step;

/*
 * Body: lists the days that are over, and makes those ahead.
 */
static void
list_days(RetRun *run, void *arg)
{
	Step	   *step = arg;
	RetUser		saved;
	RetQuery	query;

	step->days = NIL;
	if (!ret_extension_is_usable())
		return;
	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT retention._trash_make_days()", false, 0);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT name FROM retention._trash_days() WHERE day_end <= %s"
				  " ORDER BY name",
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())));
	ret_query_run(&query, false, 0, NULL);
	MemoryContextSwitchTo(run->context);
	for (uint64 i = 0; i < SPI_processed; i++)
		step->days = lappend(step->days, ret_result_text(i, 1));
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Body: records what is in the table of a day, and drops it.
 */
static void
purge_day(RetRun *run, void *arg)
{
	Step	   *step = arg;
	RetTrashTaker taker;
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
	RetUser		saved;
	Oid			relid;

	if (!ret_extension_is_usable())
		return;
	ret_batch_lock_timeout();
	relid = ret_own_relid(step->day);
	rel = OidIsValid(relid) ? try_table_open(relid, AccessExclusiveLock) : NULL;
	if (rel == NULL)
		return;
	ret_trash_taker_begin(&taker, "purge", false);
	taker.leaves_tuples = true;
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		ret_trash_take(&taker, rel, slot, NULL);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	ret_trash_taker_end(&taker);
	step->rows = taker.total;

	SPI_connect();
	ret_become_extension(&saved);
	if (SPI_execute(psprintf("DROP TABLE retention.%s",
							 quote_identifier(step->day)), false, 0) < 0)
		elog(ERROR, "could not drop table %s", step->day);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Body: purges some of what is in the parent.
 */
static void
purge_parent(RetRun *run, void *arg)
{
	Step	   *step = arg;
	RetQuery	query;

	step->rows = 0;
	if (!ret_extension_is_usable())
		return;
	ret_batch_lock_timeout();
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT tableoid::bigint, ctid, relation_id::bigint FROM ONLY retention.trash_chunk"
				  " WHERE purge_after <= %s LIMIT %d",
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())),
				  CHUNKS_A_STEP);
	step->rows = take_found(&query, NIL);
}

/*
 * Lists the records (pointers to int64) of the dropped tables that a query
 * finds, in this memory context.
 */
static List *
list_parked(RetQuery *query, MemoryContext context)
{
	List	   *records = NIL;
	RetUser		saved;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_run(query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);
		int64	   *record = palloc(sizeof(int64));

		*record = ret_result_int8(i, 1);
		records = lappend(records, record);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return records;
}

/*
 * Body: lists the dropped tables that are over.
 */
static void
list_parked_due(RetRun *run, void *arg)
{
	Step	   *step = arg;
	RetQuery	query;

	step->parked = NIL;
	if (!ret_extension_is_usable())
		return;
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT deletion_id FROM retention.parked"
				  " WHERE purge_after <= %s ORDER BY purge_after",
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())));
	step->parked = list_parked(&query, run->context);
}

/*
 * Body: purges a dropped table.
 */
static void
purge_parked(RetRun *run, void *arg)
{
	Step	   *step = arg;

	if (!ret_extension_is_usable())
		return;
	ret_batch_lock_timeout();
	(void) ret_parked_purge(step->deletion_id);
}

/*
 * Body: when something is to be done next.
 */
static void
find_next(RetRun *run, void *arg)
{
	Step	   *step = arg;
	RetUser		saved;
	bool		isnull;

	step->next = DT_NOEND;
	if (!ret_extension_is_usable())
		return;
	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT coalesce(retention._trash_next(), 'infinity')", true, 0);
	step->next = DatumGetTimestampTz(ret_result_datum(0, 1, &isnull));
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Runs a body in a transaction of its own. A failure is logged and does not
 * stop the others. Returns whether it succeeded.
 */
static bool
try_step(RetRun *run, RetBody body, Step *step, const char *what)
{
	ErrorData  *error;

	if (ret_attempt(run, body, step, &error))
		return true;
	if (ret_error_is_cancel(error))
		ReThrowError(error);
	ereport(LOG,
			(errmsg("could not purge %s of the trash: %s", what, error->message),
			 errdetail("It is tried again by itself.")));
	FreeErrorData(error);
	return false;
}

/*
 * Purges what is over, and makes the tables of the days ahead. Returns when it
 * has to be called next.
 */
TimestampTz
ret_trash_round(RetRun *run)
{
	Step		step = {0};
	bool		ok;
	ListCell   *lc;

	/* a day may be large */
	run->is_patient = true;
	ok = try_step(run, list_days, &step, "days");
	foreach(lc, step.days)
	{
		step.day = lfirst(lc);
		ok = try_step(run, purge_day, &step, step.day) && ok;
	}
	ok = try_step(run, list_parked_due, &step, "dropped tables") && ok;
	foreach(lc, step.parked)
	{
		step.deletion_id = *(int64 *) lfirst(lc);
		ok = try_step(run, purge_parked, &step, "a dropped table") && ok;
	}
	do
	{
		step.rows = 0;
		ok = try_step(run, purge_parent, &step, "rows") && ok;
	} while (step.rows > 0);
	ret_do(run, find_next, &step);
	run->is_patient = false;
	return ok ? step.next :
		Max(step.next, TimestampTzPlusMilliseconds(ret_now(), 20000));
}

/* ---------- by hand ---------- */

/*
 * Errors unless the caller may purge this relation, or (InvalidOid) all.
 */
static void
check_may_purge(Oid relid)
{
	if (OidIsValid(relid))
		ret_check_may_govern(relid);
	else if (!ret_is_admin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to purge the trash of all tables"),
				 errhint("Name a table that you own, or become a member of the role in \"retention.admin_role\".")));
}

static List *
int8_list(ArrayType *array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *list = NIL;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		if (nulls[i])
			continue;
		*id = DatumGetInt64(elements[i]);
		list = lappend(list, id);
	}
	return list;
}

/*
 * Adds the conditions that chunks and dropped tables (named "c") share.
 */
static void
add_conditions(RetQuery *query, FunctionCallInfo fcinfo, Oid relid)
{
	ret_query_add(query, " WHERE c.purge_after < 'infinity'");
	if (PG_ARGISNULL(0) && PG_ARGISNULL(1) && PG_ARGISNULL(2))
		ret_query_add(query, " AND c.purge_after <= %s",
					  ret_query_param(query, TIMESTAMPTZOID,
									  TimestampTzGetDatum(ret_now())));
	if (OidIsValid(relid))
		ret_query_add(query, " AND c.relation_id = %s",
					  ret_query_param(query, INT4OID,
									  Int32GetDatum(ret_register(relid))));
	if (!PG_ARGISNULL(1))
		ret_query_add(query, " AND EXISTS (SELECT FROM retention.deletion d"
					  " WHERE d.deletion_id = c.deletion_id AND d.happened_at < %s)",
					  ret_query_param(query, TIMESTAMPTZOID, PG_GETARG_DATUM(1)));
}

static int64
purge_rows(FunctionCallInfo fcinfo, Oid relid)
{
	RetQuery	query;
	List	   *ids = NIL;

	/* before anything is looked for, where it is known what */
	if (OidIsValid(relid))
		ret_purge_lock(ret_register(relid), true);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT c.tableoid::bigint, c.ctid, c.relation_id::bigint"
				  " FROM retention.trash_chunk c");
	add_conditions(&query, fcinfo, relid);
	if (!PG_ARGISNULL(2))
	{
		const char *array = ret_query_param(&query, INT8ARRAYOID, PG_GETARG_DATUM(2));

		ids = int8_list(PG_GETARG_ARRAYTYPE_P(2));
		ret_query_add(&query, " AND NOT c.is_link AND EXISTS (SELECT FROM unnest(%s) AS i(id)"
					  " WHERE i.id / %d = c.deletion_id AND i.id %% %d"
					  " BETWEEN c.first AND c.first + c.rows - 1)",
					  array, RET_TRASH_IDS, RET_TRASH_IDS);
	}
	ret_query_add(&query, " ORDER BY 1, 3, 2");
	return take_found(&query, ids);
}

static int64
purge_tables(FunctionCallInfo fcinfo, Oid relid)
{
	RetQuery	query;
	int64		total = 0;
	ListCell   *lc;

	ret_query_init(&query);
	ret_query_add(&query, "SELECT c.deletion_id FROM retention.parked c");
	add_conditions(&query, fcinfo, relid);
	if (!PG_ARGISNULL(2))
		ret_query_add(&query, " AND c.deletion_id * %d = ANY (%s)", RET_TRASH_IDS,
					  ret_query_param(&query, INT8ARRAYOID, PG_GETARG_DATUM(2)));
	ret_query_add(&query, " ORDER BY 1");
	foreach(lc, list_parked(&query, CurrentMemoryContext))
		total += ret_parked_purge(*(int64 *) lfirst(lc));
	return total;
}

/*
 * retention.purge_trash(relation, deleted_before, trash_ids)
 */
Datum
retention_purge_trash(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	int64		rows;

	check_may_purge(relid);
	ret_identity_check();
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = purge_rows(fcinfo, relid);
	rows += purge_tables(fcinfo, relid);
	PopActiveSnapshot();
	PG_RETURN_INT64(rows);
}
