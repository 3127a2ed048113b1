/*-------------------------------------------------------------------------
 *
 * drop.c
 *		DROP of tables with a trash.
 *
 * DROP TABLE, and DROP SCHEMA ... CASCADE, of a table with a trash moves it to
 * where it waits (parked.c) instead. The command is tried first, in a
 * subtransaction that is rolled back: what is not allowed fails as ever, with
 * the server's own messages. No other command may destroy such a table, or
 * take columns of one that waits: what came out of it is looked at, and if
 * need be the command fails.
 *
 * A hook of utility commands, in sessions that have loaded the library; with
 * shared_preload_libraries that is all of them. Commands that drop nothing
 * pay for one comparison.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "drop.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parked.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "subxact.h"
#include "tcop/utility.h"
#include "trash.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type next_hook = NULL;

/* A table that the command must leave. */
typedef struct Guarded
{
	Oid			relid;
	int			ncolumns;		/* of one that waits; else -1 */
} Guarded;

/* A utility command, to be handed on. */
typedef struct Command
{
	PlannedStmt *statement;
	const char *text;
	bool		is_shared;		/* the tree must not be changed */
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *dest;
	QueryCompletion *completion;
} Command;

static void
hand_on(void *arg)
{
	Command    *command = arg;

	(next_hook ? next_hook : standard_ProcessUtility)
		(command->statement, command->text, command->is_shared,
		 command->context, command->params, command->environment,
		 command->dest, command->completion);
}

/*
 * Whether a command can destroy a table. Only CASCADE reaches one that is not
 * named.
 */
static bool
drops(Node *statement)
{
	if (IsA(statement, DropOwnedStmt))
		return true;
	return IsA(statement, DropStmt) &&
		(castNode(DropStmt, statement)->removeType == OBJECT_TABLE ||
		 castNode(DropStmt, statement)->behavior == DROP_CASCADE);
}

/* ---------- what must stay ---------- */

/*
 * How many columns a table has; -1 when it is gone.
 */
static int
count_columns(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int			natts;
	int			n = 0;

	if (!HeapTupleIsValid(tuple))
		return -1;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	for (int i = 1; i <= natts; i++)
	{
		/* none for a dropped one */
		tuple = SearchSysCacheAttNum(relid, i);
		if (HeapTupleIsValid(tuple))
		{
			n++;
			ReleaseSysCache(tuple);
		}
	}
	return n;
}

static Guarded *
guard(Oid relid, bool is_parked)
{
	Guarded    *guarded = palloc(sizeof(Guarded));

	guarded->relid = relid;
	guarded->ncolumns = is_parked ? count_columns(relid) : -1;
	return guarded;
}

static List *
list_guarded(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list = NIL;
	RetUser		saved;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT relation::bigint, is_parked::int::bigint"
				" FROM retention._trash_tables()", true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		list = lappend(list, guard((Oid) ret_result_int8(i, 1),
								   ret_result_int8(i, 2) != 0));
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	PopActiveSnapshot();
	return list;
}

static Guarded *
find_guarded(List *list, Oid relid)
{
	ListCell   *lc;

	foreach(lc, list)
		if (((Guarded *) lfirst(lc))->relid == relid)
			return lfirst(lc);
	return NULL;
}

/*
 * Errors when a table is not there any more, or not all of one that waits.
 */
static void
check_guarded(List *list)
{
	ListCell   *lc;

	/* without the extension, nothing is promised any more */
	if (!OidIsValid(get_extension_oid("retention", true)))
		return;
	foreach(lc, list)
	{
		Guarded    *guarded = lfirst(lc);
		int			ncolumns = count_columns(guarded->relid);

		if (ncolumns < 0)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("the command would destroy a table that has a trash, or waits in it"),
					 errhint("Say DROP TABLE for the table itself, which goes to the trash then; or call retention.disable_trash(), or retention.purge_trash().")));
		if (guarded->ncolumns >= 0 && ncolumns < guarded->ncolumns)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("the command would drop types that columns of %s need, which goes to the trash or waits in it",
							ret_relation_name(guarded->relid)),
					 errhint("Move the types to another schema with ALTER TYPE ... SET SCHEMA, or let the table go for good: retention.disable_trash() before it is dropped, retention.purge_trash() after.")));
	}
}

/* ---------- what is parked instead ---------- */

/*
 * The table that a name in DROP TABLE means, if it is one that must stay.
 */
static Oid
named_table(List *name, List *guarded)
{
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(name),
										 NoLock, true);

	return find_guarded(guarded, relid) ? relid : InvalidOid;
}

static List *
named_tables(DropStmt *drop, List *guarded)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, drop->objects)
	{
		Oid			relid = named_table(lfirst(lc), guarded);

		if (OidIsValid(relid))
			tables = list_append_unique_oid(tables, relid);
	}
	return tables;
}

static List *
tables_in_schemas(DropStmt *drop, List *guarded)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, drop->objects)
	{
		Oid			schema = get_namespace_oid(strVal(lfirst(lc)), true);
		ListCell   *lc2;

		foreach(lc2, guarded)
		{
			Guarded    *table = lfirst(lc2);

			if (OidIsValid(schema) &&
				get_rel_namespace(table->relid) == schema)
				tables = list_append_unique_oid(tables, table->relid);
		}
	}
	return tables;
}

static bool
is_partition_of_any(Oid relid, List *tables)
{
	ListCell   *lc;

	if (get_rel_relispartition(relid))
		foreach(lc, get_partition_ancestors(relid))
			if (list_member_oid(tables, lfirst_oid(lc)))
				return true;
	return false;
}

/*
 * Those of the tables that are no partitions of others of them.
 */
static List *
topmost(List *tables)
{
	List	   *top = NIL;
	ListCell   *lc;

	foreach(lc, tables)
	{
		if (!is_partition_of_any(lfirst_oid(lc), tables))
			top = lappend_oid(top, lfirst_oid(lc));
	}
	return top;
}

static List *
tables_to_park(Node *statement, List *guarded)
{
	DropStmt   *drop = (DropStmt *) statement;

	if (!IsA(statement, DropStmt))
		return NIL;
	if (drop->removeType == OBJECT_TABLE)
		return topmost(named_tables(drop, guarded));
	if (drop->removeType == OBJECT_SCHEMA)
		return topmost(tables_in_schemas(drop, guarded));
	return NIL;
}

/*
 * Moves one table to where it waits. Returns its record.
 */
static int64
park(Oid relid, List *guarded, const char *command, int64 root_id)
{
	Guarded    *self = find_guarded(guarded, relid);
	RetTrash   *trash;
	Relation	rel;

	if (self->ncolumns >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s waits in the trash", ret_relation_name(relid)),
				 errhint("Call retention.purge_trash() to purge it before its time, or retention.restore_deletion().")));
	rel = table_open(relid, AccessExclusiveLock);
	trash = ret_trash_find(rel);
	table_close(rel, NoLock);
	if (trash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the trash of %s was disabled meanwhile",
						ret_relation_name(relid))));
	return ret_parked_park(relid, trash, command, root_id);
}

/*
 * The same command without the tables that were parked; NULL when nothing is
 * left of it. A name that means nothing has been told of.
 */
static PlannedStmt *
rest_of(PlannedStmt *statement, List *parked_names)
{
	PlannedStmt *rest = copyObject(statement);
	DropStmt   *drop = castNode(DropStmt, rest->utilityStmt);
	ListCell   *lc;

	if (drop->removeType != OBJECT_TABLE)
		return rest;
	foreach(lc, drop->objects)
	{
		Oid			relid;

		relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst(lc)), NoLock,
								 true);
		if (list_member(parked_names, lfirst(lc)) || !OidIsValid(relid))
			drop->objects = foreach_delete_current(drop->objects, lc);
	}
	return drop->objects == NIL ? NULL : rest;
}

/*
 * The names in DROP TABLE that mean tables which must stay.
 */
static List *
parked_names(DropStmt *drop, List *guarded)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (drop->removeType == OBJECT_TABLE)
		foreach(lc, drop->objects)
			if (OidIsValid(named_table(lfirst(lc), guarded)))
				names = lappend(names, lfirst(lc));
	return names;
}

static void
park_instead(Command *command, List *tables, List **guarded)
{
	DropStmt   *drop = castNode(DropStmt, command->statement->utilityStmt);
	List	   *names = parked_names(drop, *guarded);
	Command		rest = *command;
	ErrorData  *error = ret_try(hand_on, command, false, CurrentMemoryContext);
	int64		root_id = 0;
	ListCell   *lc;

	if (error)
		ReThrowError(error);
	/* the trial has given its locks back */
	foreach(lc, tables)
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
	if (!equal(tables, tables_to_park((Node *) drop, *guarded)))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("tables were changed by another session while they were dropped"),
				 errhint("Try again.")));
	foreach(lc, tables)
	{
		int64		id = park(lfirst_oid(lc), *guarded,
							  GetCommandTagName(CreateCommandTag((Node *) drop)),
							  root_id);
		ListCell   *lc2;

		if (root_id == 0)
			root_id = id;
		CommandCounterIncrement();
		foreach(lc2, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
		{
			Guarded    *table = find_guarded(*guarded, lfirst_oid(lc2));

			if (table)
				table->ncolumns = count_columns(table->relid);
			else
				*guarded = lappend(*guarded, guard(lfirst_oid(lc2), true));
		}
	}
	rest.statement = rest_of(command->statement, names);
	rest.is_shared = false;
	if (rest.statement)
		hand_on(&rest);
}

static void
on_utility(PlannedStmt *statement, const char *text, bool is_shared,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Command		command = {statement, text, is_shared, context, params,
	environment, dest, completion};
	List	   *guarded = NIL;
	List	   *tables;

	if (drops(statement->utilityStmt) && IsTransactionState() &&
		!RecoveryInProgress() && !ret_parked_is_purging() &&
		ret_extension_is_usable())
		guarded = list_guarded();
	if (guarded == NIL)
	{
		hand_on(&command);
		return;
	}
	tables = tables_to_park(statement->utilityStmt, guarded);
	if (tables == NIL)
		hand_on(&command);
	else
		park_instead(&command, tables, &guarded);
	check_guarded(guarded);
}

/*
 * Called once, when the library is loaded.
 */
void
ret_drop_init(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
