/*-------------------------------------------------------------------------
 *
 * scrub.c
 *		Personal data of rows that are due is replaced.
 *
 * A batch of the engine (batch.c) with an UPDATE in place of the DELETE. All
 * methods are idempotent, and a row is taken only when a column differs from
 * what the method makes of it: so no marker is needed, a crash leaves nothing
 * to mend, and what is written again is found again. Where a trigger or a
 * function of the user has a say, each row is asked once more after the
 * UPDATE; one that still needs it counts as blocked.
 *
 * A BEFORE trigger may move the clock ("last_update"), and by that put off
 * all other policies. The columns that policies look at, and others that hold
 * a moment, are put back as they were, with triggers of that kind off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "batch.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "expr.h"
#include "miscadmin.h"
#include "predicate.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "scrub.h"
#include "tag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "waiters.h"

/* ---------- the statement ---------- */

/*
 * A destination for rows (ctid, whether it is scrubbed, key columns..., old
 * values..., whether those were changed): digests the keys and keeps the rows
 * whose old values must be put back.
 */
typedef struct Receiver
{
	RetDigester digester;
	MemoryContext context;		/* outlives the query */
	Tuplestorestate *changed;
	TupleTableSlot *slot;
} Receiver;

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;
	int			natts = slot->tts_tupleDescriptor->natts;
	bool		isnull;

	if (DatumGetBool(slot_getattr(slot, natts, &isnull)))
		tuplestore_puttupleslot(receiver->changed, slot);
	return ret_digester_receive(slot, self);
}

static bool
is_moment(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/*
 * The names of the columns that a trigger must not change: those that policies
 * look at, and those that may tell when the application changed the row last.
 */
static List *
watched_columns(RetLeaf *leaf, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *watched = NIL;
	List	   *tagged = NIL;
	List	   *names = NIL;
	ListCell   *lc;

	if (!leaf->has_row_trigger)
		return NIL;
	foreach(lc, ret_policy_find_on(ret_relation_ancestors(leaf->relid), NULL))
	{
		RetPolicy  *policy = lfirst(lc);
		ListCell   *lc2;

		if (ret_policy_is_scrub(policy))
			ret_tags_load(policy);
		foreach(lc2, policy->scrubs)
			tagged = lappend(tagged, makeString(((RetScrub *) lfirst(lc2))->column));
		foreach(lc2, policy->columns)
			watched = lappend(watched, makeString(((RetColumn *) lfirst(lc2))->name));
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		String	   *name = makeString(NameStr(attr->attname));

		if (!attr->attisdropped && !attr->attgenerated &&
			!list_member(tagged, name) &&
			(is_moment(attr->atttypid) || list_member(watched, name)))
			names = lappend(names, name);
	}
	return names;
}

/*
 * What the rows hold now that a trigger may change: a join, for RETURNING
 * tells new values only.
 */
static void
add_old_rows(RetQuery *query, RetBatch *batch, List *watched,
			 const char *goes)
{
	ListCell   *lc;

	ret_query_add(query, "WITH old AS MATERIALIZED (SELECT " RET_ROW ".ctid AS at");
	foreach(lc, watched)
		ret_query_add(query, ", " RET_ROW ".%s AS w%d",
					  quote_identifier(strVal(lfirst(lc))),
					  foreach_current_index(lc));
	ret_query_add(query, " FROM ONLY %s AS " RET_ROW " WHERE ",
				  batch->leaf->name);
	ret_batch_add_place(query, batch);
	ret_query_add(query, " AND %s", goes);
	if (batch->tids == NULL && batch->limit > 0)
		ret_query_add(query, " LIMIT %d", batch->limit);
	/* locked: a row that somebody changes meanwhile is joined as it became */
	ret_query_add(query, " FOR UPDATE) ");
}

static void
add_returning(RetQuery *query, RetPolicy *policy, Relation rel, List *watched)
{
	ListCell   *lc;

	ret_query_add(query, " RETURNING " RET_ROW ".ctid, NOT %s",
				  ret_tags_needs_again(policy,
									   ret_relation_has_update_trigger(rel)));
	ret_batch_add_key(query, rel);
	foreach(lc, watched)
		ret_query_add(query, ", old.w%d", foreach_current_index(lc));
	foreach(lc, watched)
		ret_query_add(query, "%s" RET_ROW ".%s::text IS DISTINCT FROM old.w%d::text",
					  foreach_current_index(lc) ? " OR " : ", ",
					  quote_identifier(strVal(lfirst(lc))),
					  foreach_current_index(lc));
}

static void
make_statement(RetRun *run, RetBatch *batch, Relation rel, List *keeps,
			   List *watched, RetQuery *query)
{
	const char *goes;

	ret_query_init(query);
	goes = ret_predicate_goes(query, run->policy, keeps, run->cutoff, false);
	if (watched != NIL)
		add_old_rows(query, batch, watched, goes);
	ret_tags_add_update(query, run->policy, batch->leaf->name);
	if (watched != NIL)
		ret_query_add(query, " FROM old WHERE " RET_ROW ".ctid = old.at");
	else
	{
		ret_query_add(query, " WHERE ");
		ret_batch_add_place(query, batch);
	}
	ret_query_add(query, " AND %s", goes);
	add_returning(query, run->policy, rel, watched);
}

/*
 * Puts back what a trigger has changed of the columns that policies look at.
 * As the owner, with triggers off but for those that fire always.
 */
static void
put_back(RetBatch *batch, Receiver *receiver, List *watched, int nkeys)
{
	TupleTableSlot *slot = receiver->slot;
	SPIPlanPtr	plan = NULL;
	RetQuery	query;
	ListCell   *lc;

	ret_set_guc("session_replication_role", "replica");
	while (slot && tuplestore_gettupleslot(receiver->changed, true, false, slot))
	{
		bool		isnull;
		Datum		tid = slot_getattr(slot, 1, &isnull);

		ret_query_init(&query);
		ret_query_add(&query, "UPDATE ONLY %s AS " RET_ROW " SET ",
					  batch->leaf->name);
		foreach(lc, watched)
		{
			int			column = 3 + nkeys + foreach_current_index(lc);
			Oid			type = TupleDescAttr(slot->tts_tupleDescriptor,
											 column - 1)->atttypid;
			Datum		value = slot_getattr(slot, column, &isnull);

			ret_query_add(&query, "%s%s = %s",
						  foreach_current_index(lc) ? ", " : "",
						  quote_identifier(strVal(lfirst(lc))),
						  isnull ? ret_query_null(&query, type) :
						  ret_query_param(&query, type, value));
		}
		ret_query_add(&query, " WHERE " RET_ROW ".ctid = %s",
					  ret_query_param(&query, TIDOID, tid));
		(void) ret_query_run_kept(&query, &plan);
	}
	if (plan)
		SPI_freeplan(plan);
	ret_set_guc("session_replication_role", "origin");
}

/* ---------- the batch ---------- */

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver   *receiver = (Receiver *) self;
	MemoryContext caller;

	ret_digester_startup(self, operation, desc);
	caller = MemoryContextSwitchTo(receiver->context);
	receiver->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(desc),
											  &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(caller);
}

static void
init_receiver(Receiver *receiver, RetRun *run, int nwatched)
{
	ret_digester_init(&receiver->digester, run->digest_key);
	receiver->digester.skip = 2;
	receiver->slot = NULL;
	receiver->context = CurrentMemoryContext;
	if (nwatched == 0)
		return;
	receiver->changed = tuplestore_begin_heap(false, false, 1024);
	receiver->digester.extra = nwatched + 1;
	receiver->digester.receiver.receiveSlot = receive;
	receiver->digester.receiver.rStartup = receiver_startup;
}

/*
 * Replaces what the rows of the batch hold, as the owner.
 */
static void
update_rows(RetRun *run, RetBatch *batch, Relation rel, List *keeps,
			Receiver *receiver)
{
	List	   *watched = watched_columns(batch->leaf, rel);
	RetQuery	query;
	RetUser		saved;

	make_statement(run, batch, rel, keeps, watched, &query);
	init_receiver(receiver, run, list_length(watched));
	receiver->digester.gives_way = run->xact != RET_XACT_ATOMIC &&
		watched == NIL;
	if (receiver->digester.gives_way)
		ret_waiters_watch();
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, false,
				  batch->tids || watched != NIL ? 0 : batch->limit,
				  &receiver->digester.receiver);
	if (watched != NIL)
		put_back(batch, receiver, watched,
				 list_length(ret_relation_key_names(rel)));
	ret_restore_user(&saved);
	batch->gave_way = receiver->digester.gave_way;
	if (receiver->digester.not_due > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a scrubbed row of %s holds other values than the methods make",
						batch->leaf->name),
				 errdetail("A trigger has changed it, or a function is not idempotent.")));
}

/*
 * The body of a batch (RetBatch), in place of ret_batch_delete(). Takes the
 * same locks.
 */
void
ret_batch_scrub(RetRun *run, void *arg)
{
	RetBatch   *batch = arg;
	List	   *keeps;
	Relation	rel;
	Receiver	receiver;

	batch->preparing = true;
	batch->rows = 0;
	batch->cascaded = 0;
	batch->leaf_is_gone = false;
	batch->gave_way = false;
	rel = ret_batch_open(run, batch->leaf, RowExclusiveLock, &keeps);
	if (rel == NULL)
	{
		batch->leaf_is_gone = run->end_state == NULL;
		return;
	}
	SPI_connect();
	ret_constraints_immediate();
	batch->preparing = false;
	if (run->policy->scrubs == NIL)
		ret_tags_load(run->policy);
	if (run->policy->scrubs != NIL)
	{
		update_rows(run, batch, rel, keeps, &receiver);
		batch->rows = receiver.digester.rows;
		if (batch->rows > 0)
		{
			batch->deletion_id = ret_batch_record(run, rel, batch->leaf->name,
												  &receiver.digester,
												  ret_tags_columns(run->policy));
			ret_batch_account(run, batch->rows);
		}
	}
	SPI_finish();
	table_close(rel, NoLock);
}

/*
 * Scrubs those rows of a leaf that the condition of a policy means, and that
 * are in a list (NULL: anywhere), in the caller's transaction. Returns how
 * many, with their digests. Caller holds a lock on the leaf and is connected
 * to SPI; constraints are immediate.
 */
uint64
ret_scrub_rows(RetPolicy *policy, Relation rel, List *keeps,
			   const ItemPointerData *tids, int ntids,
			   const uint8 *digest_key, StringInfo digests)
{
	RetRun		run = {.policy = policy,.xact = RET_XACT_ATOMIC};
	RetLeaf		leaf = {.relid = RelationGetRelid(rel)};
	RetBatch	batch = {.leaf = &leaf,.tids = tids,.ntids = ntids};
	Receiver	receiver;

	batch.everywhere = tids == NULL;
	run.cutoff = ret_now();
	memcpy(run.digest_key, digest_key, sizeof(run.digest_key));
	leaf.name = ret_relation_name(leaf.relid);
	leaf.has_row_trigger = ret_relation_has_update_trigger(rel);
	update_rows(&run, &batch, rel, keeps, &receiver);
	appendBinaryStringInfo(digests, receiver.digester.digests.data,
						   receiver.digester.digests.len);
	return receiver.digester.rows;
}

/* ---------- the run ---------- */

/*
 * Body: whether the run need look only at what has become due since the last
 * one: when that has done all there was, no filter decides, and all rows were
 * looked at not long ago. By hand all are looked at.
 */
static void
find_since(RetRun *run, void *arg)
{
	RetUser		saved;
	RetQuery	query;
	bool		isnull;

	if (run->by_hand || run->policy->filter_sql)
		return;
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT scrubbed_to FROM retention.policy"
				  " WHERE policy_id = %s AND scrubbed_version = version"
				  " AND swept_at > %s - interval '1 day'",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(run->policy->policy_id)),
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(run->cutoff)));
	if (ret_query_run(&query, false, 0, NULL) > 0)
		run->policy->scrub_since =
			DatumGetTimestampTz(ret_result_datum(0, 1, &isnull));
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Before a run of a scrub policy.
 */
void
ret_scrub_begin(RetRun *run)
{
	ret_do(run, find_since, NULL);
}

/*
 * Body: remembers how far the policy has come, and what still holds values of
 * before.
 */
static void
note_done(RetRun *run, void *arg)
{
	RetUser		saved;
	RetQuery	query;
	const char *cutoff;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	cutoff = ret_query_param(&query, TIMESTAMPTZOID,
							 TimestampTzGetDatum(run->cutoff));
	if (run->blocked == 0)
	{
		ret_query_add(&query,
					  "UPDATE retention.policy SET scrubbed_to = %s,"
					  " scrubbed_version = version, swept_at = %s"
					  " WHERE policy_id = %s AND version = %s", cutoff,
					  run->policy->scrub_since ? "swept_at" : cutoff,
					  ret_query_param(&query, INT4OID,
									  Int32GetDatum(run->policy->policy_id)),
					  ret_query_param(&query, INT4OID,
									  Int32GetDatum(run->policy->version)));
		ret_query_run(&query, false, 0, NULL);
	}
	if (run->rows > 0)
	{
		ret_query_init(&query);
		ret_query_add(&query, "SELECT retention._note_stale(%s)",
					  ret_query_param(&query, INT4OID,
									  Int32GetDatum(run->policy->policy_id)));
		ret_query_run(&query, false, 0, NULL);
	}
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Body: gathers the statistics anew, which hold values of before.
 */
static void
analyze(RetRun *run, void *arg)
{
	RetUser		saved;

	ret_batch_lock_timeout();
	SPI_connect();
	ret_become_extension(&saved);
	if (SPI_execute(psprintf("ANALYZE %s", (char *) arg), false, 0) < 0)
		elog(ERROR, "could not analyze %s", (char *) arg);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * After a run of a scrub policy that has come to its end. What fails here is
 * logged.
 */
void
ret_scrub_finish(RetRun *run)
{
	ErrorData  *error;
	ListCell   *lc;
	bool		was_patient = run->is_patient;

	ret_do(run, note_done, NULL);
	run->is_patient = true;
	foreach(lc, run->leaves)
	{
		RetLeaf    *leaf = lfirst(lc);

		if (!leaf->is_touched)
			continue;
		if (!ret_attempt(run, analyze, leaf->name, &error))
		{
			if (ret_error_is_cancel(error))
				ReThrowError(error);
			ereport(LOG,
					(errmsg("could not analyze %s after it was scrubbed: %s",
							leaf->name, error->message)));
			FreeErrorData(error);
		}
	}
	run->is_patient = was_patient;
}
