/*-------------------------------------------------------------------------
 *
 * drop.c
 *		DROP of tables with a trash.
 *
 * DROP TABLE, and DROP SCHEMA ... CASCADE, of a table with a trash moves it to
 * where it waits (parked.c) instead. The command is tried first, in a
 * subtransaction that is rolled back: what is not allowed fails as ever, with
 * the server's own messages. No other command may destroy such a table, or
 * take columns, constraints, triggers and the like from one that waits: what
 * came out of it is looked at, and if need be the command fails.
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
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
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
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static ProcessUtility_hook_type next_hook = NULL;
static object_access_hook_type next_access_hook = NULL;

/* the tables that the command has dropped, while it is watched */
static bool is_watching = false;
static List *dropped = NIL;

/* A table that the command must leave. */
typedef struct Guarded
{
	Oid			relid;
	int64		parts;			/* columns and what is on one that waits; else -1 */
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

static List *
list_guarded(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list = NIL;
	RetUser		saved;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT relation::bigint, coalesce(parts, -1)"
				" FROM retention._trash_tables()", false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Guarded    *guarded = MemoryContextAlloc(caller, sizeof(Guarded));
		MemoryContext spi = MemoryContextSwitchTo(caller);

		guarded->relid = (Oid) ret_result_int8(i, 1);
		guarded->parts = ret_result_int8(i, 2);
		list = lappend(list, guarded);
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
 * Notes which tables the command has dropped.
 */
static void
on_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
		  void *arg)
{
	if (next_access_hook)
		next_access_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && is_watching && class_id == RelationRelationId &&
		sub_id == 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);

		dropped = lappend_oid(dropped, object_id);
		MemoryContextSwitchTo(caller);
	}
}

/*
 * Hands a command on. Returns the tables that it has dropped, with those of
 * commands within.
 */
static List *
hand_on_watching(Command *command)
{
	List	   *outer = dropped;
	bool		was_watching = is_watching;
	List	   *result;

	dropped = NIL;
	is_watching = true;
	PG_TRY();
	{
		hand_on(command);
	}
	PG_CATCH();
	{
		dropped = outer;
		is_watching = was_watching;
		PG_RE_THROW();
	}
	PG_END_TRY();
	result = dropped;
	dropped = was_watching ? list_concat(outer, result) : NIL;
	is_watching = was_watching;
	return result;
}

/*
 * Whether a table that is gone has a trash, or waits: it may have got that
 * while the command waited for its lock.
 */
static bool
was_registered(Oid relid)
{
	RetUser		saved;
	RetQuery	query;
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT FROM retention.relation r WHERE r.reloid::oid = %s"
				  " AND (r.relation_id IN (SELECT relation_id FROM retention.trash_table)"
				  " OR r.relation_id IN (SELECT relation_id FROM retention.parked))",
				  ret_query_param(&query, OIDOID, ObjectIdGetDatum(relid)));
	found = ret_query_run(&query, false, 0, NULL) > 0;
	ret_restore_user(&saved);
	SPI_finish();
	PopActiveSnapshot();
	return found;
}

/*
 * Errors when the command has dropped a table that must stay, or what one that
 * waits is made of. "before" is how they were, those that were parked included.
 */
static void
check_guarded(List *before, List *gone)
{
	ListCell   *lc;

	/* without the extension, nothing is promised any more */
	if (!OidIsValid(get_extension_oid("retention", true)))
		return;
	foreach(lc, gone)
		if (find_guarded(before, lfirst_oid(lc)) ||
			was_registered(lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("the command would destroy a table that has a trash, or waits in it"),
					 errhint("Say DROP TABLE for the table itself, which goes to the trash then; or call retention.disable_trash(), or retention.purge_trash().")));
	foreach(lc, list_guarded())
	{
		Guarded    *now = lfirst(lc);
		Guarded    *then = find_guarded(before, now->relid);

		if (then && then->parts > now->parts)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("the command would drop what %s needs, which goes to the trash or waits in it",
							ret_relation_name(now->relid)),
					 errdetail("Its columns, constraints, triggers, policies, defaults or indexes depend on types or functions that the command drops."),
					 errhint("Move those to another schema with ALTER ... SET SCHEMA, or let the table go for good: retention.disable_trash() before it is dropped, retention.purge_trash() after.")));
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

	if (self->parts >= 0)
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
 * The same command without the tables that are parked instead; NULL when
 * nothing is left of it. A name that means nothing has been told of. Asked
 * before they are moved: their names may mean other tables then.
 */
static PlannedStmt *
rest_of(PlannedStmt *statement, List *guarded)
{
	PlannedStmt *rest = copyObject(statement);
	DropStmt   *drop = castNode(DropStmt, rest->utilityStmt);
	ListCell   *lc;

	if (drop->removeType != OBJECT_TABLE)
		return rest;
	foreach(lc, drop->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList(lfirst(lc));

		if (OidIsValid(named_table(lfirst(lc), guarded)) ||
			!OidIsValid(RangeVarGetRelid(name, NoLock, true)))
			drop->objects = foreach_delete_current(drop->objects, lc);
	}
	return drop->objects == NIL ? NULL : rest;
}

/*
 * Moves the tables, and hands on the rest of the command. Returns what that
 * has dropped.
 */
static List *
park_instead(Command *command, List *tables, List **guarded)
{
	DropStmt   *drop = castNode(DropStmt, command->statement->utilityStmt);
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
	rest.statement = rest_of(command->statement, *guarded);
	rest.is_shared = false;
	foreach(lc, tables)
	{
		int64		id = park(lfirst_oid(lc), *guarded,
							  GetCommandTagName(CreateCommandTag((Node *) drop)),
							  root_id);

		if (root_id == 0)
			root_id = id;
		CommandCounterIncrement();
	}
	/* from here on they are among those that wait */
	*guarded = list_guarded();
	return rest.statement ? hand_on_watching(&rest) : NIL;
}

static void
on_utility(PlannedStmt *statement, const char *text, bool is_shared,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Command		command = {statement, text, is_shared, context, params,
	environment, dest, completion};
	List	   *guarded;
	List	   *tables;
	List	   *gone;

	if (!drops(statement->utilityStmt) || !IsTransactionState() ||
		RecoveryInProgress() || ret_parked_is_purging() ||
		!ret_extension_is_usable())
	{
		hand_on(&command);
		return;
	}
	guarded = list_guarded();
	tables = tables_to_park(statement->utilityStmt, guarded);
	gone = tables == NIL ? hand_on_watching(&command) :
		park_instead(&command, tables, &guarded);
	check_guarded(guarded, gone);
}

/*
 * Called once, when the library is loaded.
 */
void
ret_drop_init(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	next_access_hook = object_access_hook;
	object_access_hook = on_access;
}
