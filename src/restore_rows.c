/*-------------------------------------------------------------------------
 *
 * restore_rows.c
 *		Rows from the trash into their tables.
 *
 * All rows of a deletion are inserted in one after-trigger query level: their
 * foreign keys are checked once, at its end, when all of them are there. So
 * neither order nor cycles matter, and a reference to what is not there is
 * found as ever. Tables of different owners have levels of their own, for
 * what is fired runs as the owner.
 *
 * Called by restore.c. Locks: RowExclusive on the tables and on those of the
 * trash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog.h"
#include "chunk.h"
#include "commands/trigger.h"
#include "conflict.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "links.h"
#include "miscadmin.h"
#include "parked.h"
#include "query.h"
#include "relation.h"
#include "restore_rows.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "subxact.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* ---------- groups ---------- */

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
check_rights(RetRestore *restore, RetRowGroup *group, Relation rel)
{
	AclMode		mode = ACL_INSERT |
		(restore->on_conflict == RET_ON_CONFLICT_REPLACE ? ACL_DELETE : 0);

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

static RetRowGroup *
make_group(RetRestore *restore, int piece)
{
	RetRowGroup   *group = palloc0(sizeof(RetRowGroup));
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

/*
 * Groups the pieces by table and shape; checks that the caller may restore
 * them. Locks the tables and those of the trash.
 */
void
ret_restore_find_groups(RetRestore *restore)
{
	RetRowGroup   *group = NULL;

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
bool
ret_restore_stays(RetRestore *restore, int64 number)
{
	return restore->conflicts && restore->conflicts[number] &&
		!(restore->on_conflict == RET_ON_CONFLICT_REPLACE &&
		  restore->is_conflict[number]);
}

static bool
goes(int64 number, void *restore)
{
	return !ret_restore_stays(restore, number);
}

static bool
is_the_one(int64 number, void *wanted)
{
	return number == *(int64 *) wanted;
}

static void
init_source(RetSource *source, RetRestore *restore, RetRowGroup *group)
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
insert_rows(RetRowGroup *group, RetSource *source)
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
insert_groups(RetRestore *restore, int from, int to)
{
	RetRowGroup   *first = list_nth(restore->groups, from);
	EState	   *estate = CreateExecutorState();
	RetUser		saved;

	ret_become_owner(&saved, first->owner, NULL);
	AfterTriggerBeginQuery();
	for (int i = from; i < to; i++)
	{
		RetRowGroup   *group = list_nth(restore->groups, i);
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
insert_all(RetRestore *restore)
{
	int			from = 0;

	for (int i = 1; i <= list_length(restore->groups); i++)
	{
		if (i < list_length(restore->groups) &&
			((RetRowGroup *) list_nth(restore->groups, i))->owner ==
			((RetRowGroup *) list_nth(restore->groups, from))->owner)
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
ErrorData *
ret_restore_try(RetRestore *restore, void (*body) (void *arg), void *arg,
				bool keep)
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
char *
ret_restore_text_of(const ErrorData *error)
{
	return error->detail ?
		psprintf("%s: %s", error->message, error->detail) : error->message;
}

/*
 * Whether it is a present row that is in the way.
 */
bool
ret_restore_is_conflict(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

typedef struct Single
{
	RetRestore    *restore;
	RetRowGroup   *group;
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
void
ret_restore_look(RetRestore *restore)
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
		RetRowGroup	alone = *(RetRowGroup *) lfirst(lc);
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
				ErrorData  *error = ret_restore_try(restore, insert_one, &single, false);

				if (error == NULL)
					continue;
				restore->conflicts[single.number] = ret_restore_text_of(error);
				restore->is_conflict[single.number] = ret_restore_is_conflict(error);
			}
		}
	}
}

/*
 * Body: puts references back.
 */
void
ret_restore_put_links(void *arg)
{
	ret_links_restore(((RetRestore *) arg)->deletion_id);
}

/*
 * Body: all that a restore does to the tables.
 */
void
ret_restore_rows(void *arg)
{
	RetRestore    *restore = arg;

	if (restore->conflicts && restore->on_conflict == RET_ON_CONFLICT_REPLACE)
	{
		ListCell   *lc;

		foreach(lc, restore->groups)
		{
			RetRowGroup   *group = lfirst(lc);
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
