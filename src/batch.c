/*-------------------------------------------------------------------------
 *
 * batch.c
 *		One batch: choose, act, record, commit together.
 *
 * The only way from a policy to rows of a user's table. The order of the
 * steps is a matter of security; it is numbered as in doc/security.md:
 *
 *	1	lock the extension, check its version
 *	2	read the policy, copy its values
 *	3	lock the table
 *	4	under the lock: the table is still what it was; read what protects rows
 *	5	make constraints immediate
 *	6	become the owner
 *	7	plan and execute
 *	8	become ourselves again
 *	9	write the records
 *	10	commit (ret_attempt does)
 *
 * A batch deletes by one statement, which asks itself whether each row is due
 * and not protected: a row that somebody changes meanwhile is judged anew as
 * it has become. Where other rows go along (cascade.c), all are locked first.
 * What triggers delete besides is found by the server's own counters (tally.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "batch.h"
#include "cascade.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "expr.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "pin.h"
#include "predicate.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tally.h"
#include "trash.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "waiters.h"

/*
 * For the rest of the transaction it is us who give way, whoever we get in the
 * way of. If our waiting closes a circle, we look for deadlocks long before
 * the others do; if theirs does, our waiting ends before they look.
 */
void
ret_batch_lock_timeout(void)
{
	int			lock_timeout = Max(Min(DeadlockTimeout / 2, 500), 1);

	(void) NewGUCNestLevel();
	/* by them we see what triggers delete */
	ret_set_guc("track_counts", "on");
	ret_set_guc("lock_timeout", psprintf("%d", lock_timeout));
	ret_set_guc("deadlock_timeout", "1");
}

/*
 * Steps 1 and 2: whether the run may go on. If not, tells it how to end.
 */
static bool
may_go_on(RetRun *run)
{
	RetPolicy  *now;

	if (!ret_extension_is_usable())
	{
		ret_run_end_early(run, "cancelled", "the extension is gone");
		return false;
	}
	now = ret_policy_find_id(run->policy->policy_id);
	if (now == NULL)
		ret_run_end_early(run, "cancelled", "the policy was dropped");
	else if (strcmp(now->state, "paused") == 0)
		ret_run_end_early(run, "paused", now->reason ? now->reason : "paused");
	else if (!ret_policy_is_active(now) || now->version != run->policy->version)
		ret_run_end_early(run, "cancelled", "the policy was changed");
	return run->end_state == NULL;
}

/*
 * Steps 1 to 4. Returns the leaf, locked, and the keep policies on it; NULL
 * when the leaf is gone from the table or the run has to end.
 */
Relation
ret_batch_open(RetRun *run, RetLeaf *leaf, LOCKMODE lockmode, List **keeps)
{
	Relation	root;
	Relation	rel;
	List	   *renames;
	char	   *mismatch;

	if (!may_go_on(run))
		return NULL;
	ret_batch_lock_timeout();

	root = try_table_open(run->policy->relid, AccessShareLock);
	if (root == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s was dropped", run->policy->relation_name)));
	mismatch = ret_policy_mismatch(run->policy, root, &renames);
	if (mismatch || renames)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table %s was changed during the run: %s",
						run->policy->relation_name,
						mismatch ? mismatch : "a column was renamed")));
	rel = try_table_open(leaf->relid, lockmode);
	if (rel != NULL &&
		!list_member_oid(ret_relation_ancestors(leaf->relid),
						 run->policy->relid))
	{
		/* detached during the run */
		table_close(rel, lockmode);
		rel = NULL;
	}
	if (rel != NULL)
	{
		ret_relation_check(rel, root->rd_rel->relowner);
		if (!ret_policy_is_scrub(run->policy) &&
			ret_relation_cascades(rel) != leaf->ncascades)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("foreign keys to table %s were changed during the run",
							leaf->name)));
		*keeps = ret_keeps_load(leaf->relid, true,
								run->policy->zone);
		/* personal data comes back with its own clock */
		if (!ret_policy_is_scrub(run->policy))
			ret_pins_load(run->policy);
	}
	table_close(root, NoLock);
	return rel;
}

/*
 * Adds ", r.column" for each column of the key.
 */
void
ret_batch_add_key(RetQuery *query, Relation rel)
{
	ListCell   *lc;

	foreach(lc, ret_relation_key_names(rel))
		ret_query_add(query, ", " RET_ROW ".%s", quote_identifier(lfirst(lc)));
}

static void
init_record(RetRun *run, RetRecord *record, int32 relation_id,
			const char *leaf, List *key_columns)
{
	memset(record, 0, sizeof(*record));
	record->run_id = run->run_id;
	record->policy = run->policy->name;
	record->policy_version = run->policy->version;
	record->action = run->policy->action;
	record->cutoff = run->cutoff;
	record->relation_id = relation_id;
	record->leaf = leaf;
	record->key_columns = key_columns;
}

/*
 * What triggers put into the trash in this batch, and have recorded, of a
 * leaf or the table that it is a part of; NULL: nothing.
 */
static RetCaptured *
find_captured(RetBatch *batch, Oid relid)
{
	List	   *relids = batch->capture.captured == NIL ? NIL :
		ret_relation_ancestors(relid);
	ListCell   *lc;

	foreach(lc, batch->capture.captured)
	{
		RetCaptured *captured = lfirst(lc);

		if (list_member_oid(relids, captured->relid))
			return captured;
	}
	return NULL;
}

/*
 * Rows that are to go to the trash and do not arrive there are not deleted.
 */
static void
check_captured(RetRun *run, RetBatch *batch, uint64 rows)
{
	RetCaptured *captured = find_captured(batch, batch->leaf->relid);

	if (!ret_run_deletes(run) && (captured ? (uint64) captured->rows : 0) != rows)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("rows of %s did not arrive in the trash",
						batch->leaf->name)));
}

/*
 * Adds the condition for the rows where a batch looks.
 */
void
ret_batch_add_place(RetQuery *query, RetBatch *batch)
{
	if (batch->everywhere)
		ret_query_add(query, "true");
	else if (batch->tids == NULL)
		ret_query_add(query, RET_ROW ".ctid >= %s AND " RET_ROW ".ctid < %s",
					  ret_query_param(query, TIDOID, PointerGetDatum(&batch->from)),
					  ret_query_param(query, TIDOID, PointerGetDatum(&batch->to)));
	else if (batch->skip_locked)
		ret_query_add(query, RET_ROW ".ctid = ANY (ARRAY(SELECT ctid"
					  " FROM ONLY %s WHERE ctid = ANY (%s)"
					  " FOR UPDATE SKIP LOCKED))", batch->leaf->name,
					  ret_query_tids(query, batch->tids, batch->ntids));
	else
		ret_query_add(query, RET_ROW ".ctid = ANY (%s)",
					  ret_query_tids(query, batch->tids, batch->ntids));
}

/*
 * The rows of the batch that go, by one statement.
 */
static void
delete_directly(RetRun *run, RetBatch *batch, Relation rel, List *keeps,
				RetDigester *digester)
{
	RetQuery	query;
	RetUser		saved;

	ret_query_init(&query);
	ret_query_add(&query, "DELETE FROM ONLY %s AS " RET_ROW " WHERE ",
				  batch->leaf->name);
	ret_batch_add_place(&query, batch);
	ret_query_add(&query, " AND %s RETURNING " RET_ROW ".ctid",
				  ret_predicate_goes(&query, run->policy, keeps, run->cutoff,
									 false));
	ret_batch_add_key(&query, rel);
	ret_digester_init(digester, run->digest_key);
	/* within a transaction of others it would be in vain: the locks stay */
	digester->gives_way = batch->leaf->ncascades == 0 &&
		run->xact != RET_XACT_ATOMIC;
	if (digester->gives_way)
		ret_waiters_watch();
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_capture_begin_batch(&batch->capture);
	PG_TRY();
	{
		ret_query_run(&query, false, batch->tids ? 0 : batch->limit,
					  &digester->receiver);
	}
	PG_FINALLY();
	{
		ret_capture_end_batch();
	}
	PG_END_TRY();
	ret_restore_user(&saved);
	batch->gave_way = digester->gave_way;
	check_captured(run, batch, digester->rows);
}

/*
 * Locks those rows of a list that go, and returns them.
 */
static void
lock_rows(RetRun *run, RetBatch *batch, Relation rel, List *keeps,
		  RetTidReceiver *receiver)
{
	RetUser		saved;
	RetQuery	query;

	ret_query_init(&query);
	ret_query_add(&query, "SELECT " RET_ROW ".ctid FROM ONLY %s AS " RET_ROW
				  " WHERE " RET_ROW ".ctid = ANY (%s)", batch->leaf->name,
				  ret_query_tids(&query, batch->tids, batch->ntids));
	ret_query_add(&query, " AND %s FOR UPDATE%s",
				  ret_predicate_goes(&query, run->policy, keeps, run->cutoff,
									 false),
				  batch->skip_locked ? " SKIP LOCKED" : "");
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, false, 0, &receiver->receiver);
	ret_restore_user(&saved);
}

/*
 * Errors when a keep policy protects one of some rows.
 */
static void
check_not_kept(RetRun *run, RetRows *rows, Relation rel)
{
	List	   *keeps = ret_keeps_load(rows->relid, true,
										run->policy->zone);
	RetQuery	query;
	RetUser		saved;

	if (keeps == NIL)
		return;
	ret_query_init(&query);
	ret_query_add(&query, "SELECT FROM ONLY %s AS " RET_ROW
				  " WHERE ctid = ANY (%s)", ret_relation_name(rows->relid),
				  ret_query_tids(&query, rows->tids, rows->ntids));
	ret_query_add(&query, " AND %s LIMIT 1",
				  ret_predicate_kept(&query, keeps, run->cutoff));
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	if (ret_query_run(&query, false, 0, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a keep policy protects rows of %s that refer to it",
						ret_relation_name(rows->relid))));
	ret_restore_user(&saved);
}

/*
 * Digests the keys of rows that are locked and will cascade.
 */
static void
digest_set(RetRun *run, RetRows *rows, Relation rel, RetDigester *digester)
{
	RetQuery	query;
	RetUser		saved;

	ret_query_init(&query);
	ret_query_add(&query, "SELECT " RET_ROW ".ctid");
	ret_batch_add_key(&query, rel);
	ret_query_add(&query, " FROM ONLY %s AS " RET_ROW " WHERE ctid = ANY (%s)",
				  ret_relation_name(rows->relid),
				  ret_query_tids(&query, rows->tids, rows->ntids));
	ret_digester_init(digester, run->digest_key);
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, false, 0, &digester->receiver);
	ret_restore_user(&saved);
}

/*
 * Errors unless exactly the collected rows cascaded.
 */
static void
check_cascaded(List *sets, List *before, const RetDigester *digesters)
{
	List	   *expected = before;

	for (int i = 0; i < list_length(sets); i++)
		expected = ret_tally_add(expected, ((RetRows *) list_nth(sets, i))->relid,
							 digesters[i].rows);
	for (int i = 0; i < list_length(sets); i++)
	{
		RetRows    *rows = list_nth(sets, i);
		ListCell   *lc;

		foreach(lc, expected)
		{
			RetCount   *count = lfirst(lc);

			if (count->relid == rows->relid &&
				count->rows > ret_tally_of(rows->relid))
				ereport(ERROR,
						(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
						 errmsg("rows of %s that refer to it could not be deleted",
								ret_relation_name(rows->relid)),
						 errdetail("A trigger refused them.")));
		}
	}
}

/*
 * Deletes a list of rows, and records them and all that went along. The
 * foreign keys delete the children, as they would for anybody; we know
 * beforehand which, and check afterwards that it was those.
 */
static void
delete_with_children(RetRun *run, RetBatch *batch, Relation rel, List *keeps,
					 List **recorded)
{
	RetTidReceiver locked;
	List	   *sets;
	List	   *before = NIL;
	RetDigester *digesters;
	int64	   *ids;

	ret_tid_receiver_init(&locked);
	lock_rows(run, batch, rel, keeps, &locked);
	if (locked.ntids == 0)
		return;
	sets = ret_cascade_collect(batch->leaf->relid, rel->rd_rel->relowner,
							   locked.tids, locked.ntids,
							   locked.ntids > 1 ? ret_batch_rows : 0);
	digesters = palloc(sizeof(RetDigester) * list_length(sets));
	ids = palloc0(sizeof(int64) * list_length(sets));

	for (int i = 0; i < list_length(sets); i++)
	{
		RetRows    *rows = list_nth(sets, i);

		if (i > 0)
		{
			Relation	leaf = table_open(rows->relid, RowExclusiveLock);

			check_not_kept(run, rows, leaf);
			digest_set(run, rows, leaf, &digesters[i]);
			table_close(leaf, NoLock);
		}
		before = ret_tally_add(before, rows->relid, 0);
	}
	for (int i = 0; i < list_length(before); i++)
	{
		RetCount   *count = list_nth(before, i);

		count->rows = ret_tally_of(count->relid);
	}

	batch->tids = locked.tids;
	batch->ntids = locked.ntids;
	delete_directly(run, batch, rel, keeps, &digesters[0]);
	if (digesters[0].rows == 0)
		return;
	check_cascaded(sets, before, digesters);

	for (int i = 0; i < list_length(sets); i++)
	{
		RetRows    *rows = list_nth(sets, i);
		Relation	leaf = table_open(rows->relid, NoLock);
		RetCaptured *captured = find_captured(batch, rows->relid);
		RetRecord	record;

		init_record(run, &record, i == 0 ? run->policy->relation_id :
					ret_register(rows->root), ret_relation_name(rows->relid),
					ret_relation_key_names(leaf));
		record.action = "delete";
		record.parent_id = i > 0 ? ids[rows->parent] : 0;
		ids[i] = captured ? captured->deletion_id :
			ret_record_write(&record, digesters[i].rows,
							 &digesters[i].digests);
		*recorded = ret_tally_add(*recorded, rows->relid, digesters[i].rows);
		batch->cascaded += i > 0 ? digesters[i].rows : 0;
		table_close(leaf, NoLock);
	}
	batch->rows = digesters[0].rows;
	batch->deletion_id = ids[0];
}

/*
 * Records what triggers deleted from other tables in this batch: that it went,
 * and with what; which rows it was, nobody told us.
 */
static void
record_unseen(RetRun *run, RetBatch *batch, List *before, List *recorded)
{
	ListCell   *lc;

	foreach(lc, before)
		recorded = ret_tally_add(recorded, ((RetCount *) lfirst(lc))->relid,
							 ((RetCount *) lfirst(lc))->rows);
	foreach(lc, ret_tally_all())
	{
		RetCount   *count = lfirst(lc);
		RetDigester digester;
		RetRecord	record;
		ListCell   *lc2;

		foreach(lc2, recorded)
		{
			if (((RetCount *) lfirst(lc2))->relid == count->relid)
				count->rows -= ((RetCount *) lfirst(lc2))->rows;
		}
		if (count->rows <= 0)
			continue;
		if (find_captured(batch, count->relid))
		{
			/* recorded where it went to the trash */
			batch->cascaded += count->rows;
			continue;
		}
		if (count->relid == batch->leaf->relid)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger deletes other rows of table %s",
							batch->leaf->name)));

		ret_digester_init(&digester, run->digest_key);
		digester.rows = count->rows;
		init_record(run, &record, ret_register(count->relid),
					ret_relation_name(count->relid), NIL);
		record.action = "delete";
		record.reason = "deleted by a trigger; keys unknown";
		record.parent_id = batch->deletion_id;
		(void) ret_record_write(&record, digester.rows, &digester.digests);
		batch->cascaded += count->rows;
	}
}

/*
 * Writes the record of rows of a leaf of the policy's table, with the columns
 * that were scrubbed, if not whole rows went. Returns its id.
 */
int64
ret_batch_record(RetRun *run, Relation rel, const char *leaf,
				 const RetDigester *digester, List *columns)
{
	RetRecord	record;

	init_record(run, &record, run->policy->relation_id, leaf,
				ret_relation_key_names(rel));
	record.columns = columns;
	return ret_record_write(&record, digester->rows, &digester->digests);
}

/*
 * Writes what a batch did into the row of the run, in the same transaction.
 */
void
ret_batch_account(RetRun *run, uint64 rows)
{
	static SPIPlanPtr plan = NULL;
	RetUser		saved;
	RetQuery	query;

	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "UPDATE retention.run SET rows = rows + %s,"
				  " batches = batches + 1 WHERE run_id = %s AND state = 'running'",
				  ret_query_param(&query, INT8OID, Int64GetDatum((int64) rows)),
				  ret_query_param(&query, INT8OID, Int64GetDatum(run->run_id)));
	if (ret_query_run_kept(&query, &plan) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("run %lld was ended by somebody else",
						(long long) run->run_id)));
	ret_restore_user(&saved);
}

/*
 * What the triggers of the trash are told: under which policy rows go, and
 * whether those of its table are to go at once.
 */
static void
init_capture(RetRun *run, RetBatch *batch)
{
	init_record(run, &batch->capture.record, run->policy->relation_id, NULL,
				NIL);
	batch->capture.relation_id = run->policy->relation_id;
	batch->capture.bypass = ret_run_deletes(run);
	batch->capture.context = CurrentMemoryContext;
	batch->capture.captured = NIL;
}

/*
 * The body of a batch (RetBatch).
 *
 * Locks: the extension, AccessShare on the policy's table, RowExclusive on
 * the leaf and on what cascades from it, the governance lock shared; all
 * until the transaction ends.
 */
void
ret_batch_delete(RetRun *run, void *arg)
{
	RetBatch   *batch = arg;
	List	   *keeps;
	List	   *before = NIL;
	List	   *recorded = NIL;
	Relation	rel;
	RetDigester digester;

	batch->preparing = true;
	batch->rows = 0;
	batch->cascaded = 0;
	batch->leaf_is_gone = false;
	batch->gave_way = false;
	init_capture(run, batch);
	rel = ret_batch_open(run, batch->leaf, RowExclusiveLock, &keeps);
	if (rel == NULL)
	{
		batch->leaf_is_gone = run->end_state == NULL;
		return;
	}

	if (!ret_run_deletes(run))
		ret_trash_check(rel);
	SPI_connect();
	ret_constraints_immediate();
	batch->preparing = false;
	if (batch->leaf->has_side_effects)
		before = ret_tally_all();
	if (batch->leaf->ncascades > 0)
	{
		Assert(batch->tids != NULL);
		delete_with_children(run, batch, rel, keeps, &recorded);
	}
	else
	{
		delete_directly(run, batch, rel, keeps, &digester);
		batch->rows = digester.rows;
		if (digester.rows > 0)
		{
			RetCaptured *captured = find_captured(batch, batch->leaf->relid);

			batch->deletion_id = captured ? captured->deletion_id :
				ret_batch_record(run, rel, batch->leaf->name, &digester,
								 NIL);
		}
		recorded = ret_tally_add(recorded, batch->leaf->relid, digester.rows);
	}
	if (batch->leaf->has_side_effects)
		record_unseen(run, batch, before, recorded);
	if (batch->rows + batch->cascaded > 0)
		ret_batch_account(run, batch->rows + batch->cascaded);
	SPI_finish();
	table_close(rel, NoLock);
}
