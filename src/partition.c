/*-------------------------------------------------------------------------
 *
 * partition.c
 *		Partitions that go whole.
 *
 * A partition whose real bounds are past the cutoff is recorded row by row,
 * then detached and dropped, in one transaction. Only when nothing but time
 * decides about its rows: no filter, nothing that protects rows, nobody who
 * has to see each row go (triggers, foreign keys, subscribers). Every row is
 * read for its digest all the same, and one that is not due (a clock of
 * -infinity) saves the partition.
 *
 * What fails here fails softly: the rows are then deleted one by one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "batch.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "due.h"
#include "estimate.h"
#include "executor/spi.h"
#include "expr.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "partition.h"
#include "partitioning/partdefs.h"
#include "path.h"
#include "predicate.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "shmem.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* keys are read so many blocks at a time; at most some 10 MB of digests */
#define READ_BLOCKS 2048

/* What the clock can be in a partition: lower <= clock < upper. */
typedef struct ClockRange
{
	bool		has_lower;
	bool		has_upper;
	Datum		lower;			/* of the clock's type */
	Datum		upper;
} ClockRange;

static bool
read_bound(PartitionRangeDatum *bound, Oid type, Datum *value)
{
	if (bound->kind != PARTITION_RANGE_DATUM_VALUE ||
		castNode(Const, bound->value)->consttype != type)
		return false;
	*value = castNode(Const, bound->value)->constvalue;
	return type == DATEOID ? !DATE_NOT_FINITE(DatumGetDateADT(*value)) :
		!TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(*value));
}

/*
 * The range of the clock in a leaf, when it is a partition by range of the
 * one column that is the clock. Only finite bounds count.
 */
static bool
find_clock_range(RetLeaf *leaf, const RetPolicy *policy, ClockRange *range)
{
	char	   *column = ret_clock_column(policy);
	Relation	parent;
	PartitionKey key;
	bool		fits;
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;
	PartitionBoundSpec *spec;

	if (column == NULL)
		return false;
	parent = table_open(leaf->parent, AccessShareLock);
	key = RelationGetPartitionKey(parent);
	fits = key != NULL && key->strategy == PARTITION_STRATEGY_RANGE &&
		key->partnatts == 1 &&
		key->partattrs[0] == get_attnum(leaf->parent, column);
	table_close(parent, NoLock);
	if (!fits)
		return false;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(leaf->relid));
	if (!HeapTupleIsValid(tuple))
		return false;
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	spec = isnull ? NULL :
		castNode(PartitionBoundSpec, stringToNode(TextDatumGetCString(datum)));
	ReleaseSysCache(tuple);
	if (spec == NULL || spec->is_default ||
		spec->strategy != PARTITION_STRATEGY_RANGE)
		return false;
	range->has_lower = read_bound(linitial(spec->lowerdatums),
								  policy->clock_type, &range->lower);
	range->has_upper = read_bound(linitial(spec->upperdatums),
								  policy->clock_type, &range->upper);
	return true;
}

/*
 * Whether somebody subscribes to the deletions of the leaf.
 */
static bool
is_published(Oid relid)
{
	char	   *answer = ret_ask_about(relid, "_is_published");

	return answer && answer[0] == 't';
}

/*
 * Reads and records all keys of a locked partition. Returns how many. Errors
 * when a row is not due.
 */
static uint64
record_keys(RetRun *run, RetLeaf *leaf, Relation rel, List *keeps)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	uint64		rows = 0;

	for (BlockNumber from = 0; from < nblocks; from += READ_BLOCKS)
	{
		ItemPointerData bounds[2];
		RetDigester digester;
		RetQuery	query;
		RetUser		saved;

		ItemPointerSet(&bounds[0], from, 0);
		ItemPointerSet(&bounds[1], from + READ_BLOCKS, 0);
		ret_digester_init(&digester, run->digest_key);
		digester.skip = 2;
		ret_query_init(&query);
		ret_query_add(&query, "SELECT " RET_ROW ".ctid, ");
		ret_query_add(&query, "(%s)",
					  ret_predicate_goes(&query, run->policy, keeps,
										 run->cutoff, false));
		ret_batch_add_key(&query, rel);
		ret_query_add(&query, " FROM ONLY %s AS " RET_ROW
					  " WHERE " RET_ROW ".ctid >= %s AND " RET_ROW ".ctid < %s",
					  leaf->name,
					  ret_query_param(&query, TIDOID, PointerGetDatum(&bounds[0])),
					  ret_query_param(&query, TIDOID, PointerGetDatum(&bounds[1])));
		ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
		ret_query_run(&query, false, 0, &digester.receiver);
		ret_restore_user(&saved);
		if (digester.not_due > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("partition %s holds rows that are not due",
							leaf->name)));
		if (digester.rows > 0)
			(void) ret_batch_record(run, rel, leaf->name, &digester, NIL);
		rows += digester.rows;
		pfree(digester.digests.data);
	}
	return rows;
}

/*
 * Whether time has passed over all rows that the partition can hold, and
 * nothing but time decides about them.
 */
static bool
is_over(RetRun *run, RetLeaf *leaf)
{
	ClockRange	range;

	return run->policy->filter_sql == NULL && leaf->foreign_keys == NIL &&
		leaf->relid != run->policy->relid &&
		ret_policy_find_on(list_make1_oid(leaf->relid), NULL) == NIL &&
		find_clock_range(leaf, run->policy, &range) && range.has_upper &&
		ret_due_range_is_over(run->cutoff, run->policy->after,
							  run->policy->clock_type, range.upper,
							  pg_tzset(run->policy->zone));
}

/*
 * Whether no row that the partition can hold is due yet. (All three types
 * compare as integers; a date is a smaller one.)
 */
static bool
is_future(RetRun *run, RetLeaf *leaf)
{
	ClockRange	range;
	RetBounds	bounds;

	if (!find_clock_range(leaf, run->policy, &range) || !range.has_lower)
		return false;
	ret_due_bounds(run->cutoff, run->policy->after, run->policy->clock_type,
				   pg_tzset(run->policy->zone), &bounds);
	return run->policy->clock_type == DATEOID ?
		DatumGetDateADT(range.lower) >= DatumGetDateADT(bounds.never) :
		DatumGetTimestampTz(range.lower) >= DatumGetTimestampTz(bounds.never);
}

typedef struct Take
{
	RetLeaf    *leaf;
	bool		is_future;		/* nothing to take */
	bool		fits;
	uint64		rows;
} Take;

/*
 * The body: decides, records and drops.
 *
 * Locks: Exclusive on the partition while its keys are read, so that readers
 * go on; AccessExclusive on it and its parent for the rest, under the lock
 * timeout of a batch.
 */
static void
take_partition(RetRun *run, void *arg)
{
	Take	   *take = arg;
	RetLeaf    *leaf = take->leaf;
	List	   *keeps;
	Relation	rel;
	Oid			owner;
	RetUser		saved;

	take->fits = false;
	take->is_future = is_future(run, leaf);
	if (take->is_future || !is_over(run, leaf))
		return;
	rel = ret_batch_open(run, leaf, ExclusiveLock, &keeps);
	if (rel == NULL)
		return;

	SPI_connect();
	take->fits = is_over(run, leaf) && keeps == NIL &&
		!ret_relation_has_delete_trigger(rel) &&
		!is_published(leaf->relid);
	if (take->fits)
	{
		ret_progress_leaf(leaf->relid, "whole partition", leaf->nblocks);
		ret_constraints_immediate();
		take->rows = record_keys(run, leaf, rel, keeps);
		ret_batch_account(run, take->rows);
	}
	owner = rel->rd_rel->relowner;
	table_close(rel, NoLock);
	if (take->fits)
	{
		RetQuery	query;

		ret_become_owner(&saved, owner, run->policy->zone);
		ret_query_init(&query);
		ret_query_add(&query, "ALTER TABLE %s DETACH PARTITION %s",
					  ret_relation_name(leaf->parent), leaf->name);
		ret_query_run(&query, false, 0, NULL);
		ret_query_init(&query);
		ret_query_add(&query, "DROP TABLE %s", leaf->name);
		ret_query_run(&query, false, 0, NULL);
		ret_restore_user(&saved);
	}
	SPI_finish();
}

/*
 * Takes a partition whole if that is possible. Returns whether nothing is left
 * to do in it: it is gone, or its bounds say that no row is due.
 */
bool
ret_partition_take(RetRun *run, RetLeaf *leaf)
{
	Take		take = {leaf, false, false, 0};
	RetBatch	batch = {0};
	ErrorData  *error;
	bool		done;

	if (!OidIsValid(leaf->parent) || !ret_run_deletes(run))
		return false;
	run->is_patient = true;
	done = ret_attempt(run, take_partition, &take, &error);
	run->is_patient = false;
	if (!done)
	{
		if (ret_error_is_cancel(error))
			ReThrowError(error);
		ereport(DEBUG1,
				(errmsg_internal("partition %s goes row by row: %s",
								 leaf->name, error->message)));
		FreeErrorData(error);
		return false;
	}
	if (take.is_future)
		return true;
	if (!take.fits)
		return false;
	batch.rows = take.rows;
	batch.is_whole = true;
	ret_pace(run, &batch, leaf->nblocks);
	return true;
}
