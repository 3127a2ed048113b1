/*-------------------------------------------------------------------------
 *
 * restore.c
 *		Rows from the trash back into their tables.
 *
 * All rows of a deletion are inserted in one after-trigger query level: their
 * foreign keys are checked once, at its end, when all of them are there. So
 * neither order nor cycles matter, and a reference to what is not there is
 * found as ever. Tables of different owners have levels of their own, for
 * what is fired runs as the owner.
 *
 * First everything is tried in a subtransaction. If a row conflicts, a second
 * look finds out about every single row, and what on_conflict says is done.
 *
 * Locks: the command, so that nobody else restores rows of it meanwhile, and
 * the lock against who purges single rows; RowExclusive on the tables and on
 * those of the trash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "commands/trigger.h"
#include "conflict.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "links.h"
#include "miscadmin.h"
#include "parked.h"
#include "policy_api.h"
#include "query.h"
#include "relation.h"
#include "restoring.h"
#include "rowmap.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "subxact.h"
#include "trash_scrub.h"
#include "trash_view.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(retention_restore);
PG_FUNCTION_INFO_V1(retention_restore_deletion);

/* so many conflicts are told in an error */
#define MAX_TOLD 20

typedef enum OnConflict
{
	ON_CONFLICT_ERROR,
	ON_CONFLICT_SKIP,
	ON_CONFLICT_REPLACE
} OnConflict;

/* Pieces that follow each other and are of one table and one shape. */
typedef struct RowGroup
{
	Oid			relid;
	Oid			owner;
	RetRowMap  *map;
	RetSight   *sight;			/* NULL: the caller governs the table */
	char	   *insert;			/* the statement */
	int			first_piece;
	int			npieces;
} RowGroup;

typedef struct Restore
{
	MemoryContext context;
	OnConflict	on_conflict;
	bool		dry_run;
	int64		deletion_id;
	RetPiece   *pieces;
	int			npieces;
	int64		nrows;
	List	   *groups;
	char	  **conflicts;		/* by row: why not; NULL: it goes. Else NULL */
	bool	   *is_conflict;	/* by row: it is because of a present row */
} Restore;

/* ---------- what is to be restored ---------- */

static OnConflict
parse_on_conflict(text *value)
{
	char	   *name = text_to_cstring(value);

	if (strcmp(name, "error") == 0)
		return ON_CONFLICT_ERROR;
	if (strcmp(name, "skip") == 0)
		return ON_CONFLICT_SKIP;
	if (strcmp(name, "replace") == 0)
		return ON_CONFLICT_REPLACE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown on_conflict \"%s\"", name),
			 errhint("Use \"error\", \"skip\" or \"replace\" (the present row goes to the trash).")));
}

/*
 * The insertion of what retention._restoring() returns.
 */
static char *
insert_statement(RetRowMap *map, Relation rel)
{
	StringInfoData sql;
	StringInfoData columns;
	char	   *table = ret_relation_name(RelationGetRelid(rel));
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, map->columns)
		appendStringInfo(&columns, "%s%s", columns.len ? ", " : "",
						 quote_identifier(NameStr(
												  TupleDescAttr(map->desc, lfirst_int(lc) - 1)->attname)));
	initStringInfo(&sql);
	if (columns.len == 0)
		appendStringInfo(&sql, "INSERT INTO %s SELECT FROM retention._restoring(NULL::%s)",
						 table, table);
	else
		appendStringInfo(&sql, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE"
						 " SELECT %s FROM retention._restoring(NULL::%s)",
						 table, columns.data, columns.data, table);
	return sql.data;
}

/*
 * Errors unless the caller may insert into the table: who governs it may
 * anything; another one as far as his grants go, which row level security
 * would narrow further than we can tell.
 */
static void
check_rights(Restore *restore, RowGroup *group, Relation rel)
{
	AclMode		mode = ACL_INSERT |
		(restore->on_conflict == ON_CONFLICT_REPLACE ? ACL_DELETE : 0);

	if (ret_user_governs(GetUserId(), group->owner))
		return;
	if (pg_class_aclmask(group->relid, GetUserId(), mode, ACLMASK_ALL) != mode ||
		check_enable_rls(group->relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to restore rows of %s",
						ret_relation_name(group->relid)),
				 errhint("INSERT on the table is needed (and DELETE to replace rows), and that its row level security does not apply; its owner may always.")));
	group->sight = ret_sight_make(rel, true);
	if (ret_sight_is_blind(group->sight))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to see the rows of %s in the trash",
						ret_relation_name(group->relid))));
	/* errors tell the row */
	ret_sight_check_columns(group->sight, rel);
}

static RowGroup *
make_group(Restore *restore, int piece)
{
	RowGroup   *group = palloc0(sizeof(RowGroup));
	int32		relation_id = restore->pieces[piece].relation_id;
	RetShape   *shape = ret_shape_load(restore->pieces[piece].shape_id);
	Relation	rel;

	group->relid = ret_registered_relid(relation_id);
	rel = OidIsValid(group->relid) ?
		try_table_open(group->relid, RowExclusiveLock) : NULL;
	if (rel && ret_parked_is(relation_id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table of rows of deletion %lld was dropped itself",
						(long long) restore->pieces[piece].deletion_id),
				 errhint("Restore the table first: it is in the view retention.trash as %s.",
						 ret_relation_name(group->relid))));
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of rows of deletion %lld does not exist any more",
						(long long) restore->pieces[piece].deletion_id)));
	group->owner = rel->rd_rel->relowner;
	group->first_piece = piece;
	check_rights(restore, group, rel);
	/* rows are routed to partitions, whose triggers run as the owner */
	ret_relation_check(rel, group->owner);
	ret_relation_check_leaves(group->relid, RowExclusiveLock);
	group->map = ret_rowmap_make(shape, rel);
	group->insert = insert_statement(group->map, rel);
	if (group->map->lost != NIL)
		ereport(WARNING,
				(errmsg("values of columns of %s that do not exist any more cannot be restored: %s",
						ret_relation_name(group->relid),
						ret_join_strings(group->map->lost, ", "))));
	table_close(rel, NoLock);
	return group;
}

static void
find_groups(Restore *restore)
{
	RowGroup   *group = NULL;

	for (int i = 0; i < restore->npieces; i++)
	{
		RetPiece   *piece = &restore->pieces[i];

		/* nobody drops the table of a day from now on */
		LockRelationOid(piece->table, RowExclusiveLock);
		if (group == NULL ||
			piece->relation_id != restore->pieces[i - 1].relation_id ||
			piece->shape_id != restore->pieces[i - 1].shape_id)
		{
			group = make_group(restore, i);
			restore->groups = lappend(restore->groups, group);
		}
		group->npieces++;
	}
}

/* ---------- insertion ---------- */

/*
 * Whether a row stays in the trash, because of what is in its way.
 */
static bool
stays(Restore *restore, int64 number)
{
	return restore->conflicts && restore->conflicts[number] &&
		!(restore->on_conflict == ON_CONFLICT_REPLACE &&
		  restore->is_conflict[number]);
}

static bool
goes(int64 number, void *restore)
{
	return !stays(restore, number);
}

static bool
is_the_one(int64 number, void *wanted)
{
	return number == *(int64 *) wanted;
}

static void
init_source(RetSource *source, Restore *restore, RowGroup *group)
{
	source->relid = group->relid;
	source->map = group->map;
	source->sight = group->sight;
	source->pieces = restore->pieces + group->first_piece;
	source->npieces = group->npieces;
	source->hides = false;
	source->nread = 0;
	source->goes = goes;
	source->arg = restore;
}

/*
 * Inserts the rows of a source, without firing what comes after.
 */
static void
insert_rows(RowGroup *group, RetSource *source)
{
	SPIPlanPtr	plan;
	int			code;

	ret_restoring(source);
	SPI_connect();
	plan = SPI_prepare(group->insert, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", group->insert);
	code = SPI_execute_snapshot(plan, NULL, NULL, InvalidSnapshot,
								InvalidSnapshot, false, false, 0);
	if (code < 0)
		elog(ERROR, "could not insert: %s", SPI_result_code_string(code));
	if ((int64) SPI_processed != source->nread)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("%lld rows of %s were not inserted",
						(long long) (source->nread - (int64) SPI_processed),
						ret_relation_name(group->relid)),
				 errdetail("A trigger or a rule of the table refused them.")));
	SPI_finish();
	ret_restoring(NULL);
}

/*
 * Inserts the rows of all tables of one owner, and then fires their triggers.
 */
static void
insert_groups(Restore *restore, int from, int to)
{
	RowGroup   *first = list_nth(restore->groups, from);
	EState	   *estate = CreateExecutorState();
	RetUser		saved;

	ret_become_owner(&saved, first->owner, NULL);
	AfterTriggerBeginQuery();
	for (int i = from; i < to; i++)
	{
		RowGroup   *group = list_nth(restore->groups, i);
		RetSource	source;

		init_source(&source, restore, group);
		insert_rows(group, &source);
	}
	AfterTriggerEndQuery(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	ret_restore_user(&saved);
	FreeExecutorState(estate);
}

static void
insert_all(Restore *restore)
{
	int			from = 0;

	for (int i = 1; i <= list_length(restore->groups); i++)
	{
		if (i < list_length(restore->groups) &&
			((RowGroup *) list_nth(restore->groups, i))->owner ==
			((RowGroup *) list_nth(restore->groups, from))->owner)
			continue;
		insert_groups(restore, from, i);
		from = i;
	}
}

/*
 * Calls "body" in a subtransaction. Returns its error, or NULL. Keeps what it
 * did only when it succeeds and "keep" says so. What somebody cancels is
 * raised.
 */
static ErrorData *
try_to(Restore *restore, void (*body) (void *arg), void *arg, bool keep)
{
	ErrorData  *error = ret_try(body, arg, keep, restore->context);

	if (error == NULL)
		return NULL;
	ret_restoring(NULL);
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

/*
 * What an error says to somebody who reads a table of verdicts.
 */
static char *
text_of(const ErrorData *error)
{
	return error->detail ?
		psprintf("%s: %s", error->message, error->detail) : error->message;
}

static bool
is_conflict(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

typedef struct Single
{
	Restore    *restore;
	RowGroup   *group;
	int64		number;
} Single;

/*
 * Body: inserts one row; what comes after is not fired.
 */
static void
insert_one(void *arg)
{
	Single	   *single = arg;
	RetSource	source;
	RetUser		saved;

	init_source(&source, single->restore, single->group);
	source.goes = is_the_one;
	source.arg = &single->number;
	ret_become_owner(&saved, single->group->owner, NULL);
	AfterTriggerBeginQuery();
	insert_rows(single->group, &source);
	ret_restore_user(&saved);
}

/*
 * Finds out of every row whether it could be inserted alone.
 */
static void
look_at_rows(Restore *restore)
{
	ListCell   *lc;

	restore->conflicts = MemoryContextAllocExtended(restore->context,
													sizeof(char *) * restore->nrows,
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	restore->is_conflict = MemoryContextAllocExtended(restore->context,
													  sizeof(bool) * restore->nrows,
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	foreach(lc, restore->groups)
	{
		RowGroup	alone = *(RowGroup *) lfirst(lc);
		int			end = alone.first_piece + alone.npieces;

		/* only the piece that has the row is read */
		alone.npieces = 1;
		for (; alone.first_piece < end; alone.first_piece++)
		{
			RetPiece   *piece = &restore->pieces[alone.first_piece];
			Single		single = {restore, &alone, piece->number};

			for (; single.number < piece->number + piece->to - piece->from;
				 single.number++)
			{
				ErrorData  *error = try_to(restore, insert_one, &single, false);

				if (error == NULL)
					continue;
				restore->conflicts[single.number] = text_of(error);
				restore->is_conflict[single.number] = is_conflict(error);
			}
		}
	}
}

/*
 * Body: puts references back.
 */
static void
restore_links(void *arg)
{
	ret_links_restore(((Restore *) arg)->deletion_id);
}

/*
 * Body: all that a restore does to the tables.
 */
static void
restore_rows(void *arg)
{
	Restore    *restore = arg;

	if (restore->conflicts && restore->on_conflict == ON_CONFLICT_REPLACE)
	{
		ListCell   *lc;

		foreach(lc, restore->groups)
		{
			RowGroup   *group = lfirst(lc);
			RetSource	source;
			RetUser		saved;

			init_source(&source, restore, group);
			ret_become_owner(&saved, group->owner, NULL);
			ret_restoring(&source);
			ret_conflict_remove(group->relid);
			ret_restoring(NULL);
			ret_restore_user(&saved);
		}
	}
	insert_all(restore);
}

/* ---------- what is told ---------- */

static void
raise_conflicts(Restore *restore)
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
tell(Restore *restore, ReturnSetInfo *result, const ErrorData *error)
{
	ListCell   *lc;

	foreach(lc, restore->groups)
	{
		RowGroup   *group = lfirst(lc);

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
												restore->on_conflict == ON_CONFLICT_SKIP ? "skip" :
												restore->on_conflict == ON_CONFLICT_REPLACE ? "replace" :
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
		values[3] = CStringGetTextDatum(text_of(error));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* ---------- out of the trash ---------- */

/*
 * Takes what was restored out of the trash and records it, a record for each
 * deletion and table.
 */
static void
leave_trash(Restore *restore)
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
			gone[i] = !stays(restore, piece->number + i - piece->from);
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
restore_tables(Restore *restore, List *parked, ReturnSetInfo *result)
{
	Tables		tables = {parked, restore->on_conflict == ON_CONFLICT_SKIP};
	ErrorData  *error;
	ListCell   *lc;

	check_may_restore(parked);
	error = try_to(restore, restore_parked, &tables, !restore->dry_run);
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
		values[3] = error ? CStringGetTextDatum(text_of(error)) : (Datum) 0;
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
lock_trash(Restore *restore, int64 deletion_id, int row)
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
	Restore    *restore = palloc0(sizeof(Restore));
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
	find_groups(restore);

	error = try_to(restore, restore_rows, restore, !restore->dry_run);
	if (error)
	{
		look_at_rows(restore);
		if (!restore->dry_run)
		{
			if (!is_conflict(error))
				ReThrowError(error);
			if (restore->on_conflict == ON_CONFLICT_ERROR)
				raise_conflicts(restore);
		}
		error = restore->on_conflict == ON_CONFLICT_ERROR &&
			is_conflict(error) ? NULL :
			try_to(restore, restore_rows, restore, !restore->dry_run);
		if (error && !restore->dry_run)
			ReThrowError(error);
	}
	if (!restore->dry_run)
	{
		ErrorData  *links = try_to(restore, restore_links, restore, true);

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
