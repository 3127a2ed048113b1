/*-------------------------------------------------------------------------
 *
 * parked.c
 *		Dropped tables that wait in the trash.
 *
 * A table that is dropped is neither read nor written: it is moved, as it is
 * and with its partitions, to a schema of its own, where only its owner and
 * superusers reach it. What binds it to tables that live is taken off and
 * noted: foreign keys in both directions, and its place among partitions.
 * The record of the command says 0 rows; they are counted and digested when
 * the table is purged.
 *
 * The SQL of it is in sql/install/26_parked.sql. Called by drop.c, restore.c
 * and trash_purge.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "clock.h"
#include "executor/spi.h"
#include "guc.h"
#include "miscadmin.h"
#include "parked.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "shmem.h"
#include "storage/lmgr.h"
#include "subxact.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static bool is_purging = false;

/*
 * Whether the DROP that is going on is the purge of such a table.
 */
bool
ret_parked_is_purging(void)
{
	return is_purging;
}

/* ---------- park ---------- */

/*
 * Drops what depends on a table and is no part of it, as DROP ... CASCADE
 * does. Returns what that is, as strings. Connected to SPI, as the extension.
 */
static List *
drop_dependents(Oid relid, MemoryContext context)
{
	ObjectAddresses *objects = new_object_addresses();
	RetQuery	query;
	List	   *lost = NIL;

	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT classid::bigint, objid::bigint, objsubid::bigint,"
				  " description FROM retention._dependents(%s)",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)));
	/* what an earlier table of the command took along is gone */
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);
		ObjectAddress object;

		object.classId = (Oid) ret_result_int8(i, 1);
		object.objectId = (Oid) ret_result_int8(i, 2);
		object.objectSubId = (int32) ret_result_int8(i, 3);
		lost = lappend(lost, ret_result_text(i, 4));
		MemoryContextSwitchTo(spi);
		add_exact_object_address(&object, objects);
	}
	/* whoever said DROP has been told already */
	performMultipleDeletions(objects, DROP_CASCADE, PERFORM_DELETION_QUIETLY);
	free_object_addresses(objects);
	CommandCounterIncrement();
	return lost;
}

/*
 * Records that a table goes to the trash or comes back: without its rows, for
 * nobody has looked at them. Returns the record.
 */
static int64
record_move(Oid relid, int32 relation_id, const char *action,
			const char *reason, TimestampTz now, int64 parent_id)
{
	RetRecord	record = {0};
	StringInfoData nothing;

	record.relation_id = relation_id;
	record.leaf = ret_relation_name(relid);
	record.action = action;
	record.reason = reason;
	record.happened_at = now;
	record.parent_id = parent_id;
	initStringInfo(&nothing);
	return ret_record_write(&record, 0, &nothing);
}

/*
 * Moves a table to where it waits. Caller holds an AccessExclusiveLock on it
 * and has made sure that whoever drops it may do so, with all that depends on
 * it. "command" is the tag of the command; "root_id" is the first record of
 * it, 0 for the first. Returns the record.
 */
int64
ret_parked_park(Oid relid, const RetTrash *trash, const char *command,
				int64 root_id)
{
	MemoryContext context = CurrentMemoryContext;
	int32		relation_id = ret_register(relid);
	TimestampTz now = ret_now();
	TimestampTz purge_after = ret_trash_purge_after(trash, now);
	const char *reason = ret_reason && *ret_reason ?
		psprintf("%s: %s", command, ret_reason) : command;
	int64		deletion_id = record_move(relid, relation_id, "trash", reason,
										  now, root_id);
	RetUser		saved;
	RetQuery	query;
	List	   *lost;

	SPI_connect();
	ret_become_extension(&saved);
	lost = drop_dependents(relid, context);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._park(%s, %s, %s, %s)",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)),
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)),
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(purge_after)),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(lost)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	ret_notify_due_at_commit(purge_after);
	return deletion_id;
}

/* ---------- find ---------- */

/*
 * Lists (RetParked) the dropped tables of a record, in the current memory
 * context; with "whole_command" also those that went with it. Connects to SPI.
 */
List *
ret_parked_find(int64 deletion_id, bool whole_command)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *tables = NIL;
	RetUser		saved;
	RetQuery	query;
	const char *id;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	id = ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id));
	ret_query_add(&query,
				  "SELECT p.deletion_id, p.relation_id::bigint,"
				  " coalesce(r.reloid::oid::bigint, 0), p.lost"
				  " FROM retention.parked p"
				  " JOIN retention.deletion d USING (deletion_id)"
				  " JOIN retention.relation r ON r.relation_id = p.relation_id"
				  " WHERE (d.deletion_id = %s OR (%s AND d.parent_id = %s))"
				  " AND p.purge_after > %s ORDER BY 1",
				  id, whole_command ? "true" : "false", id,
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		RetParked  *table = palloc0(sizeof(RetParked));

		table->deletion_id = ret_result_int8(i, 1);
		table->relation_id = (int32) ret_result_int8(i, 2);
		table->relid = (Oid) ret_result_int8(i, 3);
		table->lost = ret_result_texts(i, 4);
		tables = lappend(tables, table);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return tables;
}

/*
 * Whether a table that has a trash waits in it itself. Connects to SPI.
 */
bool
ret_parked_is(int32 relation_id)
{
	RetUser		saved;
	RetQuery	query;
	bool		found;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT FROM retention.parked WHERE relation_id = %s",
				  ret_query_param(&query, INT4OID, Int32GetDatum(relation_id)));
	found = ret_query_run(&query, false, 0, NULL) > 0;
	ret_restore_user(&saved);
	SPI_finish();
	return found;
}

/* ---------- restore ---------- */

/* A statement that makes a table what it was. */
typedef struct Statement
{
	Oid			relid;			/* its owner executes it */
	char	   *sql;
	bool		is_key;
	bool		is_same;		/* the table that had the key, of the same owner */
} Statement;

/*
 * Runs a function of 26_parked.sql on a table that waits.
 */
static void
call(const char *function, int64 deletion_id)
{
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention.%s(%s)", function,
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

static List *
list_statements(int64 deletion_id)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *statements = NIL;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT coalesce(relation, 0)::bigint, statement,"
				  " is_key::int::bigint, is_same::int::bigint FROM retention._unpark_statements(%s)",
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		Statement  *statement = palloc(sizeof(Statement));

		statement->relid = (Oid) ret_result_int8(i, 1);
		statement->sql = ret_result_text(i, 2);
		statement->is_key = ret_result_int8(i, 3) != 0;
		statement->is_same = ret_result_int8(i, 4) != 0;
		statements = lappend(statements, statement);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return statements;
}

/*
 * Body: executes a statement as the owner of its table, whose code it may run.
 */
static void
execute(void *arg)
{
	Statement  *statement = arg;
	RetUser		saved;
	Relation	rel = table_open(statement->relid, AccessExclusiveLock);

	ret_relation_check_code(rel);
	/* ALTER TABLE refuses a table that somebody has open */
	table_close(rel, NoLock);
	SPI_connect();
	ret_become_owner(&saved, ret_relation_owner(statement->relid), NULL);
	if (SPI_execute(statement->sql, false, 0) < 0)
		elog(ERROR, "could not execute: %s", statement->sql);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * A foreign key that does not hold any more is an error, or ("skips") holds
 * for new rows only, or is left out.
 */
static void
restore_key(Statement *statement, bool skips)
{
	Statement	not_valid = *statement;
	ErrorData  *error;

	if (!OidIsValid(statement->relid))
	{
		ereport(WARNING,
				(errmsg("a foreign key is not restored, for its table does not exist any more"),
				 errdetail_internal("%s", statement->sql)));
		return;
	}
	/* nobody binds a table of others that came into its name */
	if (!statement->is_same &&
		!ret_user_governs(GetUserId(), ret_relation_owner(statement->relid)))
	{
		ereport(WARNING,
				(errmsg("a foreign key is not restored, for its table is another one now"),
				 errdetail_internal("%s", statement->sql)));
		return;
	}
	error = ret_try(execute, statement, true, CurrentMemoryContext);
	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	if (!skips)
	{
		error->hint = "Restore what it refers to first, or use on_conflict => 'skip' to restore without keys that do not hold.";
		ReThrowError(error);
	}
	not_valid.sql = psprintf("%s NOT VALID", statement->sql);
	if (ret_try(execute, &not_valid, true, CurrentMemoryContext) == NULL)
		ereport(WARNING,
				(errmsg("a foreign key is restored as NOT VALID: %s",
						error->message),
				 errdetail_internal("%s", not_valid.sql)));
	else
		ereport(WARNING,
				(errmsg("a foreign key is not restored: %s", error->message),
				 errdetail_internal("%s", statement->sql)));
}

static void
restore_statements(List *tables, bool keys, bool skips)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		ListCell   *lc2;

		foreach(lc2, list_statements(((RetParked *) lfirst(lc))->deletion_id))
		{
			Statement  *statement = lfirst(lc2);

			if (statement->is_key && keys)
				restore_key(statement, skips);
			else if (!statement->is_key && !keys)
				execute(statement);
		}
	}
}

/*
 * Moves tables back to where they were: first all of them, then what binds
 * them to each other and to the rest. Caller has checked that the user governs
 * them, and that nothing is deferred.
 */
void
ret_parked_restore(List *tables, bool skips)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		RetParked  *table = lfirst(lc);

		LockRelationOid(table->relid, AccessExclusiveLock);
		call("_unpark", table->deletion_id);
	}
	restore_statements(tables, false, skips);
	restore_statements(tables, true, skips);
	foreach(lc, tables)
	{
		RetParked  *table = lfirst(lc);

		(void) record_move(table->relid, table->relation_id, "restore", NULL,
						   ret_now(), table->deletion_id);
		call("_unparked", table->deletion_id);
		if (table->lost != NIL)
			ereport(WARNING,
					(errmsg("%s was dropped with what depended on it, which is not restored: %s",
							ret_relation_name(table->relid),
							ret_join_strings(table->lost, ", "))));
	}
}

/* ---------- purge ---------- */

/*
 * Writes the records of all rows of a table, up to a million rows each.
 * Returns how many rows.
 */
static int64
record_rows(Relation rel, RetRecord *record)
{
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	StringInfoData digests;
	RetKey		key;
	int64		total = 0;
	int			rows = 0;

	ret_key_init(&key, rel);
	record->leaf = ret_relation_name(RelationGetRelid(rel));
	record->key_columns = key.names;
	initStringInfo(&digests);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		enlargeStringInfo(&digests, RET_DIGEST_SIZE);
		ret_digest_key(key.secret, slot, key.columns, key.ncolumns, key.kinds,
					   (uint8 *) digests.data + digests.len);
		digests.len += RET_DIGEST_SIZE;
		total++;
		if (++rows < RET_TRASH_IDS)
			continue;
		(void) ret_record_write(record, rows, &digests);
		resetStringInfo(&digests);
		rows = 0;
	}
	if (rows > 0)
		(void) ret_record_write(record, rows, &digests);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	pfree(digests.data);
	return total;
}

static int64
record_tree(int64 deletion_id, RetParked *table)
{
	RetRecord	record = {0};
	int64		total = 0;
	ListCell   *lc;

	record.relation_id = table->relation_id;
	record.action = "purge";
	record.parent_id = deletion_id;
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, ret_relation_leaves(table->relid))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessExclusiveLock);

		total += record_rows(rel, &record);
		table_close(rel, NoLock);
	}
	PopActiveSnapshot();
	return total;
}

static RetParked *
find_to_purge(int64 deletion_id)
{
	RetParked  *table = NULL;
	RetUser		saved;
	RetQuery	query;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "DELETE FROM retention.parked p USING retention.relation r"
				  " WHERE p.deletion_id = %s AND r.relation_id = p.relation_id"
				  " AND p.purge_after < 'infinity'"
				  " RETURNING p.relation_id::bigint, r.reloid::oid::bigint,"
				  " p.places",
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	if (ret_query_run(&query, false, 0, NULL) > 0)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		bool		isnull;

		table = palloc0(sizeof(RetParked));
		table->relation_id = (int32) ret_result_int8(0, 1);
		(void) ret_result_datum(0, 2, &isnull);
		table->relid = isnull ? InvalidOid : (Oid) ret_result_int8(0, 2);
		table->places = ret_result_texts(0, 3);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return table;
}

static void
drop_table(Oid relid)
{
	is_purging = true;
	PG_TRY();
	{
		if (SPI_execute(psprintf("DROP TABLE %s CASCADE", ret_relation_name(relid)),
						false, 0) < 0)
			elog(ERROR, "could not drop %s", ret_relation_name(relid));
	}
	PG_FINALLY();
	{
		is_purging = false;
	}
	PG_END_TRY();
}

/*
 * Drops a table with the schemas that it waited in.
 */
static void
drop_parked(RetParked *table, int64 deletion_id)
{
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	if (OidIsValid(table->relid))
		drop_table(table->relid);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._forget_places(%s)",
				  ret_query_param(&query, TEXTARRAYOID,
								  ret_text_array(table->places)));
	ret_query_run(&query, false, 0, NULL);
	ret_query_init(&query);
	ret_query_add(&query, "DELETE FROM retention.parked_key WHERE deletion_id = %s",
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Whether a table still waits where it was put; its owner may have moved it.
 */
static bool
is_in_place(const RetParked *table)
{
	char	   *schema;
	ListCell   *lc;

	if (!OidIsValid(table->relid))
		return true;
	LockRelationOid(table->relid, AccessExclusiveLock);
	if (get_rel_relkind(table->relid) == '\0' ||
		get_rel_relispartition(table->relid))
		return false;
	schema = get_namespace_name(get_rel_namespace(table->relid));
	foreach(lc, table->places)
		if (schema && strcmp(schema, lfirst(lc)) == 0)
			return true;
	return false;
}

/*
 * Records the rows of a table that waits, and drops it. Returns how many rows
 * it were; 0 also when it is not there any more, or held. Reads all of the
 * table, once.
 */
int64
ret_parked_purge(int64 deletion_id)
{
	RetParked  *table;
	int64		total;

	table = find_to_purge(deletion_id);
	if (table == NULL)
		return 0;
	if (!is_in_place(table))
	{
		ereport(WARNING,
				(errmsg("%s has left the trash, and is not purged",
						ret_relation_name(table->relid) ?
						ret_relation_name(table->relid) : "a dropped table")));
		table->relid = InvalidOid;
	}
	total = OidIsValid(table->relid) ? record_tree(deletion_id, table) : 0;
	drop_parked(table, deletion_id);
	return total;
}
