/*-------------------------------------------------------------------------
 *
 * taker.c
 *		Rows out of the tables of the trash.
 *
 * Whoever takes rows out - a restore, a purge - records their digests, up to
 * a million in one record. Of a chunk that is taken in part, what stays is
 * written anew, a chunk for each row of neighbours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "executor/spi.h"
#include "query.h"
#include "sandbox.h"
#include "utils/rel.h"

/* What was taken and is not recorded yet: of one deletion, or one table. */
typedef struct Taken
{
	int64		key;
	RetRecord	record;
	StringInfoData digests;
	int64		rows;
} Taken;

/*
 * Begins. Caller is not connected to SPI, and stays in the present memory
 * context until ret_trash_taker_end().
 */
void
ret_trash_taker_begin(RetTrashTaker *taker, const char *action,
					  bool by_deletion)
{
	taker->action = action;
	taker->by_deletion = by_deletion;
	taker->leaves_tuples = false;
	taker->taken = NIL;
	taker->total = 0;
}

/*
 * Fills in what the record of a deletion says about its rows.
 */
static void
describe(RetRecord *record, int64 deletion_id)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT leaf, key_columns FROM retention.deletion"
				  " WHERE deletion_id = %s",
				  ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id)));
	if (ret_query_run(&query, true, 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the record of deletion %lld is missing",
						(long long) deletion_id)));
	spi = MemoryContextSwitchTo(caller);
	record->leaf = ret_result_text(0, 1);
	record->key_columns = ret_result_texts(0, 2);
	MemoryContextSwitchTo(spi);
	ret_restore_user(&saved);
	SPI_finish();
}

static Taken *
find_taken(RetTrashTaker *taker, const RetChunk *chunk)
{
	int64		key = taker->by_deletion ? chunk->deletion_id :
		chunk->relation_id;
	Taken	   *taken;
	ListCell   *lc;

	foreach(lc, taker->taken)
	{
		taken = lfirst(lc);
		if (taken->key == key)
			return taken;
	}
	taken = palloc0(sizeof(Taken));
	taken->key = key;
	describe(&taken->record, chunk->deletion_id);
	taken->record.relation_id = chunk->relation_id;
	taken->record.action = taker->action;
	taken->record.parent_id = taker->by_deletion ? chunk->deletion_id : 0;
	initStringInfo(&taken->digests);
	taker->taken = lappend(taker->taken, taken);
	return taken;
}

static void
flush(RetTrashTaker *taker, Taken *taken)
{
	if (taken->rows == 0)
		return;
	(void) ret_record_write(&taken->record, taken->rows, &taken->digests);
	taker->total += taken->rows;
	taken->rows = 0;
	resetStringInfo(&taken->digests);
}

/*
 * Writes rows [from, to) of a chunk as a chunk of their own.
 */
static void
keep_run(Relation rel, TupleTableSlot *slot, const RetChunk *chunk, int from,
		 int to)
{
	bytea	   *digests = DatumGetByteaPP(chunk->digests);
	bytea	   *images = DatumGetByteaPP(chunk->images);
	RetBytes	bytes = ret_bytes_of(images);
	const char *start;

	for (int i = 0; i < from; i++)
		(void) ret_image_next(&bytes);
	start = bytes.at;
	for (int i = from; i < to; i++)
		(void) ret_image_next(&bytes);
	ret_chunk_insert(rel, slot, chunk->first + from, to - from,
					 VARDATA_ANY(digests) + from * RET_DIGEST_SIZE,
					 start, bytes.at - start);
}

/*
 * Takes those rows of a chunk that are "gone"; NULL: all of them. Caller holds
 * a RowExclusiveLock on the table.
 */
void
ret_trash_take(RetTrashTaker *taker, Relation rel, TupleTableSlot *slot,
			   const bool *gone)
{
	RetChunk	chunk;
	Taken	   *taken;
	bytea	   *digests;
	int			from = 0;

	ret_chunk_read(slot, &chunk);
	digests = DatumGetByteaPP(chunk.digests);
	if (!chunk.is_link)
	{
		taken = find_taken(taker, &chunk);
		for (int i = 0; i < chunk.rows; i++)
		{
			if (gone && !gone[i])
				continue;
			appendBinaryStringInfo(&taken->digests,
								   VARDATA_ANY(digests) + i * RET_DIGEST_SIZE,
								   RET_DIGEST_SIZE);
			if (++taken->rows == RET_TRASH_IDS)
				flush(taker, taken);
		}
	}
	for (int i = 0; gone && i <= chunk.rows; i++)
	{
		if (i < chunk.rows && !gone[i])
			continue;
		if (from < i)
			keep_run(rel, slot, &chunk, from, i);
		from = i + 1;
	}
	if (!taker->leaves_tuples)
		simple_heap_delete(rel, &slot->tts_tid);
	if ((Pointer) digests != DatumGetPointer(chunk.digests))
		pfree(digests);
}

/*
 * Writes the records that are left.
 */
void
ret_trash_taker_end(RetTrashTaker *taker)
{
	ListCell   *lc;

	foreach(lc, taker->taken)
		flush(taker, lfirst(lc));
}
