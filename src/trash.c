/*-------------------------------------------------------------------------
 *
 * trash.c
 *		Tables that have a trash: enable, disable, find.
 *
 * What the trash of a table is like is looked up once in a session and kept
 * until the relation cache says that the table has changed; enable_trash()
 * and disable_trash() make it say so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "clock.h"
#include "due.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "policy_api.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "shmem.h"
#include "trash.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_enable_trash);
PG_FUNCTION_INFO_V1(retention_disable_trash);
PG_FUNCTION_INFO_V1(retention_trash_on_ddl);

static HTAB *tables = NULL;

/* ---------- the cache ---------- */

static void
invalidate(Oid relid)
{
	HASH_SEQ_STATUS status;
	RetTrash   *trash;

	hash_seq_init(&status, tables);
	while ((trash = hash_seq_search(&status)) != NULL)
	{
		/* a composite type is a relation too */
		if (!OidIsValid(relid) || trash->relid == relid ||
			(trash->shape && trash->shape->has_composite))
			trash->is_valid = false;
	}
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	invalidate(relid);
}

/*
 * What a transaction that is rolled back put into the catalog is not there.
 */
static void
on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		invalidate(InvalidOid);
}

static void
on_subxact_end(SubXactEvent event, SubTransactionId self,
			   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		invalidate(InvalidOid);
}

static void
make_cache(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(RetTrash);
	ctl.hcxt = CacheMemoryContext;
	tables = hash_create("retention trash tables", 64, &ctl,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	RegisterXactCallback(on_xact_end, NULL);
	RegisterSubXactCallback(on_subxact_end, NULL);
}

/*
 * Reads whether a table, or what it is a partition of, has a trash.
 */
static void
read_config(RetTrash *trash)
{
	List	   *ancestors = list_concat(list_make1_oid(trash->relid),
										get_rel_relispartition(trash->relid) ?
										get_partition_ancestors(trash->relid) : NIL);
	RetUser		saved;
	RetQuery	query;
	ListCell   *lc;

	/* what is committed counts, also where the transaction does not see it */
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	ret_become_extension(&saved);
	foreach(lc, ancestors)
	{
		bool		isnull;

		ret_query_init(&query);
		ret_query_add(&query,
					  "SELECT t.relation_id::bigint, t.keep,"
					  " (t.on_capture_error = 'allow')::int::bigint"
					  " FROM retention.trash_table t"
					  " JOIN retention.relation r USING (relation_id)"
					  " WHERE r.reloid = %s AND r.identity = %s",
					  ret_query_param(&query, REGCLASSOID,
									  ObjectIdGetDatum(lfirst_oid(lc))),
					  ret_query_identity(&query));
		if (ret_query_run(&query, true, 0, NULL) == 0)
			continue;
		trash->root = lfirst_oid(lc);
		trash->relation_id = (int32) ret_result_int8(0, 1);
		trash->keep = *DatumGetIntervalP(ret_result_datum(0, 2, &isnull));
		trash->allow_gaps = ret_result_int8(0, 3) != 0;
		trash->is_enabled = true;
		break;
	}
	ret_restore_user(&saved);
	SPI_finish();
	PopActiveSnapshot();
}

/*
 * The key of the table that has the trash, by the columns of its leaf.
 */
static void
init_key(RetTrash *trash, Relation rel)
{
	Relation	root;

	if (trash->root == trash->relid)
	{
		ret_key_init(&trash->key, rel);
		return;
	}
	root = table_open(trash->root, AccessShareLock);
	ret_key_init(&trash->key, root);
	table_close(root, NoLock);
	for (int i = 0; i < trash->key.ncolumns; i++)
		trash->key.columns[i] = get_attnum(trash->relid,
										   list_nth(trash->key.names, i));
	trash->key.kinds = ret_digest_kinds(RelationGetDescr(rel));
}

/*
 * Makes ready to write rows of the table that ret_trash_find() was asked for.
 * May write (a new shape). Connects to SPI.
 */
void
ret_trash_prepare(RetTrash *trash, Relation rel)
{
	MemoryContext caller = CurrentMemoryContext;
	RetShape   *shape;

	if (trash->shape)
		return;
	if (trash->context)
		MemoryContextReset(trash->context);
	else
		trash->context = AllocSetContextCreate(CacheMemoryContext,
											   "retention trash table",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(trash->context);
	trash->leaf_name = ret_relation_name(trash->relid);
	shape = ret_shape_describe(rel, NIL);
	MemoryContextSwitchTo(caller);
	ret_shape_register(shape, trash->relid);
	MemoryContextSwitchTo(trash->context);
	init_key(trash, rel);
	MemoryContextSwitchTo(caller);
	trash->shape = shape;
}

/*
 * The trash of a table; NULL when its deleted rows are gone. Valid until the
 * next call for the same table. Connects to SPI.
 */
RetTrash *
ret_trash_find(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	RetTrash   *trash;
	bool		found;

	if (tables == NULL)
		make_cache();
	trash = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		trash->is_valid = false;
		trash->shape = NULL;
		trash->context = NULL;
	}
	if (!trash->is_valid)
	{
		trash->is_enabled = false;
		trash->shape = NULL;
		ret_identity_check();
		/* before, so that a change meanwhile is not missed */
		trash->is_valid = true;
		PG_TRY();
		{
			read_config(trash);
		}
		PG_CATCH();
		{
			trash->is_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return trash->is_enabled ? trash : NULL;
}

/*
 * Errors unless rows that are deleted from a table go to a trash.
 */
void
ret_trash_check(Relation rel)
{
	Oid			capture = LookupFuncName(list_make2(makeString("retention"),
													makeString("_capture")),
										 0, NULL, false);

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, "retention_trash") == 0 &&
			trigger->tgfoid == capture &&
			(trigger->tgenabled == TRIGGER_FIRES_ALWAYS ||
			 trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN) &&
			ret_trash_find(rel) != NULL)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of %s do not go to the trash",
					ret_relation_name(RelationGetRelid(rel))),
			 errhint("Drop other triggers that are named \"retention_trash\", then call retention.enable_trash().")));
}

/*
 * Until when a row that is deleted now waits: calendar arithmetic in UTC.
 */
TimestampTz
ret_trash_purge_after(const RetTrash *trash, TimestampTz deleted_at)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												 TimestampGetDatum(deleted_at),
												 IntervalPGetDatum(&trash->keep)));
}

/* ---------- enable, disable ---------- */

/*
 * Lets all sessions read the configuration anew, at commit.
 */
static void
announce(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

/*
 * Errors unless the deleted rows of a table can go to a trash.
 */
static void
check_table(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);

	ret_relation_check(rel, rel->rd_rel->relowner);
	if (rel->rd_rel->relispartition)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partition",
						RelationGetRelationName(rel)),
				 errhint("Enable the trash of %s.",
						 ret_relation_name(llast_oid(get_partition_ancestors(relid))))));
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
		(has_subclass(relid) || has_superclass(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" inherits or is inherited from",
						RelationGetRelationName(rel)),
				 errdetail("A DELETE on a parent does not tell the children's columns."),
				 errhint("Use a partitioned table.")));
	ret_relation_check_leaves(relid, ShareRowExclusiveLock);
}

static void
write_config(Oid relid, Interval *keep,
			 const char *on_capture_error)
{
	RetUser		saved;
	RetQuery	query;
	const char *who = GetUserNameFromId(GetOuterUserId(), false);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "INSERT INTO retention.trash_table VALUES (%s, %s, %s, %s, %s)"
				  " ON CONFLICT (relation_id) DO UPDATE SET keep = excluded.keep,"
				  " on_capture_error = excluded.on_capture_error",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(ret_register(relid))),
				  ret_query_param(&query, INTERVALOID, IntervalPGetDatum(keep)),
				  ret_query_text(&query, on_capture_error),
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())),
				  ret_query_text(&query, who));
	ret_query_run(&query, false, 0, NULL);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._trash_follow(%s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	SPI_execute("SELECT retention._trash_make_days()", false, 0);
	ret_restore_user(&saved);
	SPI_finish();
}

static void
enable(Oid relid, Interval *keep, const char *on_capture_error)
{
	/* as CREATE TRIGGER does */
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	uint8		secret[RET_DIGEST_SIZE];

	check_table(rel);
	/* ALTER TABLE refuses a table that somebody has open */
	table_close(rel, NoLock);
	(void) ret_digest_key_load(secret, true);
	write_config(relid, keep, on_capture_error);
	announce(relid);
	CommandCounterIncrement();
	rel = table_open(relid, NoLock);
	ret_trash_check(rel);
	table_close(rel, NoLock);
	ret_notify_due_at_commit(ret_now());
}

/*
 * Enables the trash of a table, as enable_trash() does by default, unless it
 * or what it is a partition of has one. Returns whether it had none. Caller
 * must hold a lock on it and not have it open more than once.
 */
bool
ret_trash_enable_if_not(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	bool		has_trash = ret_trash_find(rel) != NULL;
	Interval	keep = {0};

	table_close(rel, NoLock);
	keep.day = 30;
	if (!has_trash)
		enable(relid, &keep, "block");
	return !has_trash;
}

/*
 * retention.enable_trash(relation, keep, on_capture_error)
 */
Datum
retention_enable_trash(PG_FUNCTION_ARGS)
{
	Interval   *keep;
	char	   *on_capture_error;

	ret_require_arg(fcinfo, 0, "relation");
	ret_require_arg(fcinfo, 1, "keep");
	ret_require_arg(fcinfo, 2, "on_capture_error");
	keep = PG_GETARG_INTERVAL_P(1);
	on_capture_error = text_to_cstring(PG_GETARG_TEXT_PP(2));
	ret_interval_check(keep, "keep");
	if (strcmp(on_capture_error, "block") != 0 &&
		strcmp(on_capture_error, "allow") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_capture_error \"%s\"", on_capture_error),
				 errhint("Use \"block\" (a row that cannot be kept is not deleted) or \"allow\" (it is deleted, and the gap is recorded).")));
	ret_check_may_govern(PG_GETARG_OID(0));
	ret_identity_check();
	enable(PG_GETARG_OID(0), keep, on_capture_error);
	PG_RETURN_VOID();
}

/*
 * retention.disable_trash(relation)
 */
Datum
retention_disable_trash(PG_FUNCTION_ARGS)
{
	Oid			relid;
	RetUser		saved;
	RetQuery	query;

	ret_require_arg(fcinfo, 0, "relation");
	relid = PG_GETARG_OID(0);
	ret_check_may_govern(relid);
	LockRelationOid(relid, ShareRowExclusiveLock);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "DELETE FROM retention.trash_table WHERE relation_id ="
				  " (SELECT relation_id FROM retention.relation WHERE reloid = %s)",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)));
	if (ret_query_run(&query, false, 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has no trash", ret_relation_name(relid))));
	SPI_execute("SELECT retention._trash_follow()", false, 0);
	ret_restore_user(&saved);
	SPI_finish();
	announce(relid);
	PG_RETURN_VOID();
}

/*
 * Whether a command may have changed columns, partitions or foreign keys.
 * Others must be left alone: while a dump is restored, the triggers are not
 * there yet, and the dump brings them itself.
 */
static bool
changes_tables(Node *parsetree)
{
	ListCell   *lc;

	if (application_name && strcmp(application_name, "pg_restore") == 0)
		return false;
	if (!IsA(parsetree, AlterTableStmt))
		return true;
	foreach(lc, castNode(AlterTableStmt, parsetree)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_AddColumn:
			case AT_DropColumn:
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				return true;
			case AT_AddConstraint:
				if (castNode(Constraint, cmd->def)->contype == CONSTR_FOREIGN)
					return true;
				break;
			default:
				break;
		}
	}
	return false;
}

/*
 * Event trigger: follows changes of tables that have a trash or tagged columns.
 */
Datum
retention_trash_on_ddl(PG_FUNCTION_ARGS)
{
	RetUser		saved;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function can only be called by an event trigger")));
	if (!changes_tables(((EventTriggerData *) fcinfo->context)->parsetree))
		PG_RETURN_VOID();
	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT FROM retention.trash_table t"
				" JOIN retention.relation r USING (relation_id)"
				" WHERE r.identity = retention._identity() LIMIT 1", false, 0);
	if (SPI_processed > 0)
		SPI_execute("SELECT retention._trash_follow()", false, 0);
	SPI_execute("SELECT FROM retention.pii_tag LIMIT 1", false, 0);
	if (SPI_processed > 0)
		SPI_execute("SELECT retention._pii_follow()", false, 0);
	ret_restore_user(&saved);
	SPI_finish();
	PG_RETURN_VOID();
}
