/*-------------------------------------------------------------------------
 *
 * capture.c
 *		Triggers that put deleted rows into the trash.
 *
 * AFTER DELETE, once a statement, with all its rows in a transition table;
 * BEFORE TRUNCATE, once a table, reading what is still there. They are on the
 * table that has the trash and on all of its partitions, since a DELETE that
 * names a partition fires only that one's triggers.
 *
 * All that one command removes, from whatever tables, hangs on the record
 * that is written first: cascades fire their triggers within the command that
 * causes them. A command is told by the memory context of its executor, which
 * lives exactly as long.
 *
 * Runs as whoever deletes. No permission is asked, and no code of a user is
 * called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "chunk.h"
#include "clock.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "links.h"
#include "miscadmin.h"
#include "relation.h"
#include "storage/bufmgr.h"
#include "subxact.h"
#include "trash.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(retention_capture);
PG_FUNCTION_INFO_V1(retention_capture_links);
PG_FUNCTION_INFO_V1(retention_capture_move);
PG_FUNCTION_INFO_V1(retention_is_moved);

#define DELETE_TRIGGER "retention_trash"
#define TRUNCATE_TRIGGER "retention_trash_truncate"
#define MOVE_TRIGGER "retention_trash_move"
#define LINKS_TRIGGER "A_retention_links"	/* before RI_ConstraintTrigger */

/* A command that is going on and has put rows into the trash. */
typedef struct Command
{
	MemoryContextCallback callback;
	MemoryContext context;		/* of its executor; it lives in there */
	int64		root_id;		/* the record that the others hang on */
	RetLinks   *links;			/* references to what it deletes; or NULL */
	List	   *moved;			/* digests of rows that went to another
								 * partition */
	struct Command *outer;
} Command;

static Command *commands = NULL;	/* the innermost first */

static RetCaptureBatch *batch = NULL;

/* ---------- commands ---------- */

static void
forget_command(void *arg)
{
	Command   **at = &commands;

	while (*at && *at != arg)
		at = &(*at)->outer;
	if (*at)
		*at = (*at)->outer;
}

/*
 * The command whose executor has this memory context; made when it is new.
 */
static Command *
find_command(MemoryContext context)
{
	Command    *command;

	for (command = commands; command; command = command->outer)
		if (command->context == context)
			return command;
	command = MemoryContextAllocZero(context, sizeof(Command));
	command->context = context;
	command->outer = commands;
	command->callback.func = forget_command;
	command->callback.arg = command;
	MemoryContextRegisterResetCallback(context, &command->callback);
	commands = command;
	return command;
}

/* ---------- batches ---------- */

/*
 * From here to ret_capture_end_batch() what is deleted is deleted by a policy.
 * Caller must call that also after an error.
 */
void
ret_capture_begin_batch(RetCaptureBatch *new_batch)
{
	batch = new_batch;
}

void
ret_capture_end_batch(void)
{
	batch = NULL;
}

static void
note_captured(Oid relid, int64 rows, int64 deletion_id)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->context);
	RetCaptured *captured = palloc(sizeof(RetCaptured));

	captured->relid = relid;
	captured->rows = rows;
	captured->deletion_id = deletion_id;
	batch->captured = lappend(batch->captured, captured);
	MemoryContextSwitchTo(caller);
}

/* ---------- rows ---------- */

static void
begin_writer(RetTrashWriter *writer, RetTrash *trash, Command *command)
{
	memset(writer, 0, sizeof(*writer));
	if (batch)
		writer->record = batch->record;
	writer->record.relation_id = trash->relation_id;
	writer->record.leaf = trash->leaf_name;
	writer->record.action = "trash";
	writer->record.key_columns = trash->key.names;
	writer->record.parent_id = command->root_id;
	writer->shape = trash->shape;
	writer->key = &trash->key;
	writer->relation_id = trash->relation_id;
	writer->record.happened_at = ret_now();
	writer->purge_after = ret_trash_purge_after(trash,
												writer->record.happened_at);
	ret_trash_writer_begin(writer);
}

/*
 * Whether a row of the transition table was only moved to another partition.
 * Each one that was noted counts once.
 */
static bool
was_moved(Command *command, TupleTableSlot *slot, const RetKey *key)
{
	uint8		digest[RET_DIGEST_SIZE];
	ListCell   *lc;

	if (command->moved == NIL)
		return false;
	ret_digest_key(key->secret, slot, key->columns, key->ncolumns, key->kinds,
				   digest);
	foreach(lc, command->moved)
	{
		if (memcmp(lfirst(lc), digest, RET_DIGEST_SIZE) == 0)
		{
			command->moved = foreach_delete_current(command->moved, lc);
			return true;
		}
	}
	return false;
}

static void
add_transition_rows(RetTrashWriter *writer, Relation rel,
					Tuplestorestate *rows, Command *command)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsMinimalTuple);

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
		if (!was_moved(command, slot, writer->key))
			ret_trash_writer_add(writer, slot);
	ExecDropSingleTupleTableSlot(slot);
}

static void
add_all_rows(RetTrashWriter *writer, Relation rel)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		ret_trash_writer_add(writer, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/* A trigger for a statement, and where its rows go. */
typedef struct Capture
{
	TriggerData *trigger;
	RetTrash   *trash;
	Command    *command;
} Capture;

static void
capture_rows(void *arg)
{
	Capture    *capture = arg;
	TriggerData *trigger = capture->trigger;
	RetTrash   *trash = capture->trash;
	Command    *command = capture->command;
	RetTrashWriter writer;

	ret_trash_prepare(trash, trigger->tg_relation);
	begin_writer(&writer, trash, command);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		add_all_rows(&writer, trigger->tg_relation);
	else
		add_transition_rows(&writer, trigger->tg_relation,
							trigger->tg_oldtable, command);
	ret_trash_writer_end(&writer);
	if (command->links)
		ret_links_write(command->links, &writer);
	if (writer.total > 0 && command->root_id == 0)
		command->root_id = writer.root_id;
	if (batch && writer.total > 0)
		note_captured(trash->relid, writer.total, writer.root_id);
}

/*
 * The rows go all the same: what is recorded is that they are not in the
 * trash, and why.
 */
static void
record_gap(Capture *capture, const ErrorData *error)
{
	Tuplestorestate *rows = capture->trigger->tg_oldtable;
	RetRecord	record = {0};
	StringInfoData nothing;

	if (batch)
		record = batch->record;
	record.relation_id = capture->trash->relation_id;
	record.leaf = ret_relation_name(capture->trash->relid);
	record.action = "gap";
	record.reason = error->message;
	record.parent_id = capture->command->root_id;
	initStringInfo(&nothing);
	ret_record_write(&record, rows ? tuplestore_tuple_count(rows) : 0,
					 &nothing);
	ereport(WARNING,
			(errmsg("rows of %s were deleted without going to the trash: %s",
					record.leaf, error->message)));
}

/*
 * on_capture_error = 'allow': an error costs the trash, not the application.
 */
static void
try_to_capture(Capture *capture)
{
	ErrorData  *error = ret_try(capture_rows, capture, true,
								CurrentMemoryContext);

	if (error == NULL)
		return;
	/* what somebody cancels is not to be committed */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	record_gap(capture, error);
}

static void
check_called(FunctionCallInfo fcinfo, bool for_row)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(for_row ? !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		 !TRIGGER_FIRED_BY_DELETE(trigger->tg_event) :
		 !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this function can only be called by the triggers of enable_trash()")));
}

/*
 * Whether a trigger is the one of that name: another one with the same
 * function would capture each row twice.
 */
static bool
is_called(TriggerData *trigger, const char *name)
{
	return strcmp(trigger->tg_trigger->tgname, name) == 0;
}

/*
 * The trash that the deleted rows of a table go to now; NULL: none, or a
 * policy deletes them for good.
 */
static RetTrash *
find_trash(Relation rel)
{
	RetTrash   *trash = ret_trash_find(rel);

	return trash && batch && batch->bypass &&
		batch->relation_id == trash->relation_id ? NULL : trash;
}

/*
 * Trigger AFTER DELETE (with OLD TABLE) and BEFORE TRUNCATE, FOR EACH
 * STATEMENT. Does nothing on a table without a trash.
 */
Datum
retention_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext executor = MemoryContextGetParent(CurrentMemoryContext);
	Capture		capture = {trigger, NULL, NULL};
	bool		is_truncate;

	check_called(fcinfo, false);
	is_truncate = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);
	if (!is_called(trigger, is_truncate ? TRUNCATE_TRIGGER : DELETE_TRIGGER))
		PG_RETURN_POINTER(NULL);
	if (is_truncate ?
		!RELKIND_HAS_STORAGE(trigger->tg_relation->rd_rel->relkind) :
		trigger->tg_oldtable == NULL ||
		tuplestore_tuple_count(trigger->tg_oldtable) == 0)
		PG_RETURN_POINTER(NULL);

	capture.trash = find_trash(trigger->tg_relation);
	if (capture.trash == NULL)
		PG_RETURN_POINTER(NULL);
	capture.command = find_command(executor);
	if (capture.trash->allow_gaps)
		try_to_capture(&capture);
	else
		capture_rows(&capture);
	PG_RETURN_POINTER(NULL);
}

/*
 * Trigger AFTER DELETE FOR EACH ROW, before those of the foreign keys: what
 * refers to the row and will be set to something else.
 */
Datum
retention_capture_links(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext executor = MemoryContextGetParent(CurrentMemoryContext);
	Command    *command;

	check_called(fcinfo, true);
	/* a row that only moves to another partition takes nothing away */
	if (!is_called(trigger, LINKS_TRIGGER) ||
		HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data) ||
		find_trash(trigger->tg_relation) == NULL)
		PG_RETURN_POINTER(NULL);
	command = find_command(executor);
	command->links = ret_links_add(command->links, trigger, command->context);
	PG_RETURN_POINTER(NULL);
}

/*
 * retention._is_moved(table, place): whether a row that was deleted there went
 * to another partition. The condition of the trigger below; only that asks.
 */
Datum
retention_is_moved(PG_FUNCTION_ARGS)
{
	Relation	rel = try_table_open(PG_GETARG_OID(0), AccessShareLock);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);
	HeapTupleData tuple;
	Buffer		buffer;
	bool		is_moved = false;

	if (rel == NULL)
		PG_RETURN_BOOL(false);
	tuple.t_self = *tid;
	if (rel->rd_rel->relam == HEAP_TABLE_AM_OID && ItemPointerIsValid(tid) &&
		ItemPointerGetBlockNumber(tid) < RelationGetNumberOfBlocks(rel) &&
		heap_fetch(rel, SnapshotAny, &tuple, &buffer, false))
	{
		is_moved = HeapTupleHeaderIndicatesMovedPartitions(tuple.t_data);
		ReleaseBuffer(buffer);
	}
	table_close(rel, AccessShareLock);
	PG_RETURN_BOOL(is_moved);
}

static uint8 *
digest_row(RetTrash *trash, Relation rel, HeapTuple tuple)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsHeapTuple);
	uint8	   *digest = palloc(RET_DIGEST_SIZE);

	ExecStoreHeapTuple(tuple, slot, false);
	ret_digest_key(trash->key.secret, slot, trash->key.columns,
				   trash->key.ncolumns, trash->key.kinds, digest);
	ExecDropSingleTupleTableSlot(slot);
	return digest;
}

/*
 * Trigger AFTER DELETE FOR EACH ROW that was moved to another partition: MERGE
 * lists it among the deleted ones.
 */
Datum
retention_capture_move(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext executor = MemoryContextGetParent(CurrentMemoryContext);
	RetTrash   *trash;
	Command    *command;
	MemoryContext caller;

	check_called(fcinfo, true);
	if (!is_called(trigger, MOVE_TRIGGER) ||
		(trash = find_trash(trigger->tg_relation)) == NULL)
		PG_RETURN_POINTER(NULL);
	ret_trash_prepare(trash, trigger->tg_relation);
	command = find_command(executor);
	caller = MemoryContextSwitchTo(executor);
	command->moved = lappend(command->moved,
							 digest_row(trash, trigger->tg_relation,
										trigger->tg_trigtuple));
	MemoryContextSwitchTo(caller);
	PG_RETURN_POINTER(NULL);
}
