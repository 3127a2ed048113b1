/*-------------------------------------------------------------------------
 *
 * restore.c
 *		A restore from the beginning to the end: of rows (restore_rows.c), or of
 *		dropped tables (parked.c).
 *
 * First everything is tried in a subtransaction. If a row conflicts, a second
 * look finds out about every single row, and what on_conflict says is done.
 *
 * Locks: the command, so that nobody else restores rows of it meanwhile, and
 * those against who purges or scrubs single rows in the trash of the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "parked.h"
#include "policy_api.h"
#include "query.h"
#include "restore_rows.h"
#include "sandbox.h"
#include "trash_scrub.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(retention_restore);
PG_FUNCTION_INFO_V1(retention_restore_deletion);

/* so many conflicts are told in an error */
#define MAX_TOLD 20

static RetOnConflict
parse_on_conflict(text *value)
{
	char	   *name = text_to_cstring(value);

	if (strcmp(name, "error") == 0)
		return RET_ON_CONFLICT_ERROR;
	if (strcmp(name, "skip") == 0)
		return RET_ON_CONFLICT_SKIP;
	if (strcmp(name, "replace") == 0)
		return RET_ON_CONFLICT_REPLACE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown on_conflict \"%s\"", name),
			 errhint("Use \"error\", \"skip\" or \"replace\" (the present row goes to the trash).")));
}

/* ---------- what is told ---------- */

static void
raise_conflicts(RetRestore *restore)
{
	StringInfoData detail;
	int64		count = 0;

	initStringInfo(&detail);
	for (int p = 0; p < restore->npieces; p++)
	{
		RetPiece   *piece = &restore->pieces[p];

		for (int i = piece->from; i < piece->to; i++)
		{
			char	   *conflict = restore->conflicts[piece->number + i - piece->from];

			if (conflict && count++ < MAX_TOLD)
				appendStringInfo(&detail, "%sRow %lld: %s",
								 detail.len ? "\n" : "",
								 (long long) (piece->deletion_id * RET_TRASH_IDS +
											  piece->first + i), conflict);
		}
	}
	if (count > MAX_TOLD)
		appendStringInfo(&detail, "\nand %lld more", (long long) (count - MAX_TOLD));
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("%lld of %lld rows cannot be restored",
					(long long) count, (long long) restore->nrows),
			 errdetail_internal("%s", detail.data),
			 errhint("Use on_conflict => 'skip' to leave them in the trash, or 'replace' to send the present rows there.")));
}

/*
 * One row of result for each row of the trash.
 */
static void
tell(RetRestore *restore, ReturnSetInfo *result, const ErrorData *error)
{
	ListCell   *lc;

	foreach(lc, restore->groups)
	{
		RetRowGroup   *group = lfirst(lc);

		for (int p = 0; p < group->npieces; p++)
		{
			RetPiece   *piece = &restore->pieces[group->first_piece + p];

			for (int i = piece->from; i < piece->to; i++)
			{
				int64		number = piece->number + i - piece->from;
				char	   *conflict = restore->conflicts ?
					restore->conflicts[number] : NULL;
				Datum		values[4];
				bool		nulls[4] = {0};

				values[0] = Int64GetDatum(piece->deletion_id * RET_TRASH_IDS +
										  piece->first + i);
				values[1] = ObjectIdGetDatum(group->relid);
				values[2] = CStringGetTextDatum(conflict == NULL ? "ok" :
												!restore->is_conflict[number] ? "error" :
												restore->on_conflict == RET_ON_CONFLICT_SKIP ? "skip" :
												restore->on_conflict == RET_ON_CONFLICT_REPLACE ? "replace" :
												"conflict");
				nulls[3] = conflict == NULL;
				values[3] = conflict ? CStringGetTextDatum(conflict) : (Datum) 0;
				tuplestore_putvalues(result->setResult, result->setDesc,
									 values, nulls);
			}
		}
	}
	/* what concerns no single row, such as a reference to what is not there */
	if (error)
	{
		Datum		values[4] = {0};
		bool		nulls[4] = {true, true, false, false};

		values[2] = CStringGetTextDatum("error");
		values[3] = CStringGetTextDatum(ret_restore_text_of(error));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* ---------- out of the trash ---------- */

/*
 * Takes what was restored out of the trash and records it, a record for each
 * deletion and table.
 */
static void
leave_trash(RetRestore *restore)
{
	RetTrashTaker taker;

	ret_trash_taker_begin(&taker, "restore", true);
	for (int p = 0; p < restore->npieces; p++)
	{
		RetPiece   *piece = &restore->pieces[p];
		bool	   *gone = palloc0(sizeof(bool) * piece->rows);
		Relation	rel = table_open(piece->table, RowExclusiveLock);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		for (int i = piece->from; i < piece->to; i++)
			gone[i] = !ret_restore_stays(restore, piece->number + i - piece->from);
		if (!table_tuple_fetch_row_version(rel, &piece->tid,
										   GetActiveSnapshot(), slot))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("rows of deletion %lld were taken out of the trash meanwhile",
							(long long) piece->deletion_id)));
		ret_trash_take(&taker, rel, slot, gone);
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
		pfree(gone);
	}
	ret_trash_taker_end(&taker);
}

/* ---------- dropped tables ---------- */

/* What one call restores. */
typedef struct Tables
{
	List	   *tables;			/* RetParked */
	bool		skips;
} Tables;

/*
 * Body: moves dropped tables back.
 */
static void
restore_parked(void *arg)
{
	Tables	   *tables = arg;

	ret_parked_restore(tables->tables, tables->skips);
}

static void
check_may_restore(List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		RetParked  *table = lfirst(lc);

		if (!OidIsValid(table->relid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("the dropped table of deletion %lld does not exist any more",
							(long long) table->deletion_id)));
		ret_check_may_govern(table->relid);
	}
}

static void
restore_tables(RetRestore *restore, List *parked, ReturnSetInfo *result)
{
	Tables		tables = {parked, restore->on_conflict == RET_ON_CONFLICT_SKIP};
	ErrorData  *error;
	ListCell   *lc;

	check_may_restore(parked);
	error = ret_restore_try(restore, restore_parked, &tables, !restore->dry_run);
	if (error && !restore->dry_run)
		ReThrowError(error);
	foreach(lc, parked)
	{
		RetParked  *table = lfirst(lc);
		Datum		values[4];
		bool		nulls[4] = {false, false, false, error == NULL};

		values[0] = Int64GetDatum(table->deletion_id * RET_TRASH_IDS);
		values[1] = ObjectIdGetDatum(table->relid);
		values[2] = CStringGetTextDatum(error ? "error" : "ok");
		values[3] = error ? CStringGetTextDatum(ret_restore_text_of(error)) :
			(Datum) 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* ---------- SQL ---------- */

/*
 * Errors with what is found out in vain.
 */
static void
raise_nothing(int64 deletion_id, int row)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 row >= 0 ? errmsg("row %lld is not in the trash",
							   (long long) (deletion_id * RET_TRASH_IDS + row)) :
			 errmsg("nothing of deletion %lld is in the trash",
					(long long) deletion_id),
			 errhint("The view retention.trash shows what is there.")));
}

/*
 * The first record of the command that a record is of.
 */
static int64
root_of(int64 deletion_id)
{
	RetUser		saved;
	RetQuery	query;
	int64		root_id = deletion_id;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT parent_id FROM retention.deletion"
				  " WHERE deletion_id = %s AND parent_id IS NOT NULL",
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	if (ret_query_run(&query, true, 0, NULL) > 0)
		root_id = ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	return root_id;
}

/*
 * Locks the trash of the tables that the rows are of, and scrubs what is due,
 * so that it does not come back.
 */
static void
lock_trash(RetRestore *restore, int64 deletion_id, int row)
{
	bool		scrubs = !restore->dry_run && ret_trash_is_scrubbed();
	RetPiece   *pieces;
	int64		nrows;
	int			npieces = ret_pieces_find(deletion_id, row, false, &pieces,
										  &nrows);

	for (int i = 0; i < npieces; i++)
		if (i == 0 || pieces[i].relation_id != pieces[i - 1].relation_id)
			ret_purge_lock(pieces[i].relation_id, scrubs);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!scrubs)
		return;
	ret_trash_scrub_deletion(deletion_id);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static Datum
do_restore(FunctionCallInfo fcinfo, int64 deletion_id, int row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RetRestore    *restore = palloc0(sizeof(RetRestore));
	List	   *parked;
	ErrorData  *error;

	restore->context = CurrentMemoryContext;
	restore->deletion_id = deletion_id;
	restore->on_conflict = parse_on_conflict(PG_GETARG_TEXT_PP(1));
	restore->dry_run = PG_GETARG_BOOL(2);
	InitMaterializedSRF(fcinfo, 0);
	ret_identity_check();
	ret_deletion_lock(root_of(deletion_id));
	PushActiveSnapshot(GetTransactionSnapshot());
	lock_trash(restore, deletion_id, row);
	SPI_connect();
	ret_constraints_immediate();
	SPI_finish();
	parked = row > 0 ? NIL : ret_parked_find(deletion_id, row < 0);
	if (parked != NIL)
	{
		restore_tables(restore, parked, result);
		PopActiveSnapshot();
		return (Datum) 0;
	}
	restore->npieces = ret_pieces_find(deletion_id, row, false,
									   &restore->pieces, &restore->nrows);
	if (restore->npieces == 0)
		raise_nothing(deletion_id, row);
	ret_restore_find_groups(restore);

	error = ret_restore_try(restore, ret_restore_rows, restore,
							!restore->dry_run);
	if (error)
	{
		ret_restore_look(restore);
		if (!restore->dry_run)
		{
			if (!ret_restore_is_conflict(error))
				ReThrowError(error);
			if (restore->on_conflict == RET_ON_CONFLICT_ERROR)
				raise_conflicts(restore);
		}
		error = restore->on_conflict == RET_ON_CONFLICT_ERROR &&
			ret_restore_is_conflict(error) ? NULL :
			ret_restore_try(restore, ret_restore_rows, restore, !restore->dry_run);
		if (error && !restore->dry_run)
			ReThrowError(error);
	}
	if (!restore->dry_run)
	{
		ErrorData  *links = ret_restore_try(restore, ret_restore_put_links,
											restore, true);

		if (links)
			ereport(WARNING,
					(errmsg("references to the restored rows could not be put back: %s",
							links->message)));
		leave_trash(restore);
	}
	tell(restore, result, error);
	PopActiveSnapshot();
	return (Datum) 0;
}

/*
 * retention.restore(trash_id, on_conflict, dry_run)
 */
Datum
retention_restore(PG_FUNCTION_ARGS)
{
	int64		trash_id = PG_GETARG_INT64(0);

	return do_restore(fcinfo, trash_id / RET_TRASH_IDS,
					  (int) (trash_id % RET_TRASH_IDS));
}

/*
 * retention.restore_deletion(deletion_id, on_conflict, dry_run)
 */
Datum
retention_restore_deletion(PG_FUNCTION_ARGS)
{
	return do_restore(fcinfo, PG_GETARG_INT64(0), -1);
}
