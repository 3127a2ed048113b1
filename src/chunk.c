/*-------------------------------------------------------------------------
 *
 * chunk.c
 *		Rows into the tables of the trash.
 *
 * A tuple of retention.trash_chunk holds as many images of rows as fit on a
 * page, all of one deletion and one shape: the price of a tuple, its index
 * entry and its WAL record is paid once for all of them.
 *
 * Rows that are purged on one day are in a table of their own, a child of
 * retention.trash_chunk, so that the purge need not touch them. It is made
 * ahead of time (trash.c); if it is not there, the parent takes the rows, for
 * no DELETE may fail or wait for that. Everything here is below SQL: no
 * permission is asked and no code of a user runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/indexing.h"
#include "chunk.h"
#include "pgtime.h"
#include "relation.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* a chunk with its tuple header fits on a page */
#define CHUNK_BYTES 7900

/* buffers that a huge row blew up are not kept */
#define KEEP_BYTES (1024 * 1024)

/* columns of retention.trash_chunk, as in sql/install */
enum
{
	Anum_deletion_id = 1,
	Anum_first,
	Anum_rows,
	Anum_relation_id,
	Anum_shape_id,
	Anum_purge_after,
	Anum_personal_until,
	Anum_is_link,
	Anum_digests,
	Anum_images,
	Anum_personal_stamp,
	Natts_trash_chunk = Anum_personal_stamp
};

/*
 * How the keys of the rows of a table are digested. Lives in the current
 * memory context. Makes the database's secret, if need be. Connects to SPI.
 */
void
ret_key_init(RetKey *key, Relation rel)
{
	List	   *columns = ret_relation_key(rel);

	(void) ret_digest_key_load(key->secret, true);
	key->ncolumns = list_length(columns);
	key->columns = palloc(sizeof(AttrNumber) * Max(key->ncolumns, 1));
	for (int i = 0; i < key->ncolumns; i++)
		key->columns[i] = list_nth_int(columns, i);
	key->kinds = ret_digest_kinds(RelationGetDescr(rel));
	key->names = ret_relation_key_names(rel);
}

/*
 * The name of the table of the (UTC) day on which something is purged.
 */
char *
ret_trash_day_name(TimestampTz purge_after)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(purge_after, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("trash_%04d%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * The table for what is purged then: the day's, or the parent of all.
 */
Oid
ret_trash_day_relid(TimestampTz purge_after)
{
	Oid			relid = TIMESTAMP_NOT_FINITE(purge_after) ? InvalidOid :
		ret_own_relid(ret_trash_day_name(purge_after));

	return OidIsValid(relid) ? relid : ret_own_relid("trash_chunk");
}

/*
 * Opens the table of the day. It may be dropped while we wait for its lock,
 * though hardly when it is needed.
 */
static Relation
open_day(TimestampTz purge_after)
{
	Relation	rel = try_table_open(ret_trash_day_relid(purge_after),
									 RowExclusiveLock);

	return rel ? rel : table_open(ret_own_relid("trash_chunk"),
								  RowExclusiveLock);
}

static void
empty(StringInfo buffer)
{
	if (buffer->maxlen > KEEP_BYTES)
	{
		pfree(buffer->data);
		initStringInfo(buffer);
	}
	resetStringInfo(buffer);
}

static void
start_images(StringInfo images)
{
	empty(images);
	/* room for the length of the bytea that it becomes */
	appendStringInfoSpaces(images, VARHDRSZ);
}

static Datum
images_datum(StringInfo images)
{
	SET_VARSIZE(images->data, images->len);
	return PointerGetDatum(images->data);
}

/*
 * Begins. Caller has filled in the record (with its root in parent_id, if it
 * is not the first of its command), shape, key, relation_id, purge_after and
 * is_link. Links have no record of their own, but the id of another one.
 */
void
ret_trash_writer_begin(RetTrashWriter *writer)
{
	writer->rel = open_day(writer->purge_after);
	writer->indexes = CatalogOpenIndexes(writer->rel);
	if (!writer->is_link)
		writer->record.deletion_id = ret_record_next_id();
	writer->root_id = writer->record.parent_id ? writer->record.parent_id :
		writer->record.deletion_id;
	initStringInfo(&writer->image);
	initStringInfo(&writer->images);
	initStringInfo(&writer->chunk_digests);
	initStringInfo(&writer->digests);
	start_images(&writer->images);
	start_images(&writer->chunk_digests);
	writer->row_context = AllocSetContextCreate(CurrentMemoryContext,
												"retention row",
												ALLOCSET_DEFAULT_SIZES);
	writer->first = 0;
	writer->rows = 0;
	writer->total = 0;
}

/*
 * The tables of the trash have one index, on (deletion_id, first); the parent
 * has more.
 */
static void
insert_index_entry(RetTrashWriter *writer, HeapTuple tuple, Datum *values,
				   bool *nulls)
{
	ResultRelInfo *indexes = writer->indexes;

	for (int i = 0; i < indexes->ri_NumIndices; i++)
	{
		IndexInfo  *info = indexes->ri_IndexRelationInfo[i];
		Datum		keys[INDEX_MAX_KEYS];
		bool		key_nulls[INDEX_MAX_KEYS];

		for (int k = 0; k < info->ii_NumIndexAttrs; k++)
		{
			keys[k] = values[info->ii_IndexAttrNumbers[k] - 1];
			key_nulls[k] = nulls[info->ii_IndexAttrNumbers[k] - 1];
		}
		index_insert(indexes->ri_IndexRelationDescs[i], keys, key_nulls,
					 &tuple->t_self, writer->rel, UNIQUE_CHECK_NO, false, info);
	}
}

static void
flush_chunk(RetTrashWriter *writer)
{
	Datum		values[Natts_trash_chunk];
	bool		nulls[Natts_trash_chunk] = {0};
	HeapTuple	tuple;

	if (writer->rows == writer->first)
		return;
	Assert(RelationGetNumberOfAttributes(writer->rel) == Natts_trash_chunk);
	values[Anum_deletion_id - 1] = Int64GetDatum(writer->record.deletion_id);
	values[Anum_first - 1] = Int32GetDatum(writer->first);
	values[Anum_rows - 1] = Int32GetDatum(writer->rows - writer->first);
	values[Anum_relation_id - 1] = Int32GetDatum(writer->relation_id);
	values[Anum_shape_id - 1] = Int64GetDatum(writer->shape->shape_id);
	values[Anum_purge_after - 1] = TimestampTzGetDatum(writer->purge_after);
	nulls[Anum_personal_until - 1] = true;
	values[Anum_is_link - 1] = BoolGetDatum(writer->is_link);
	values[Anum_digests - 1] = images_datum(&writer->chunk_digests);
	values[Anum_images - 1] = images_datum(&writer->images);
	nulls[Anum_personal_stamp - 1] = true;

	tuple = heap_form_tuple(RelationGetDescr(writer->rel), values, nulls);
	/* a chunk fills a page: there is no use in looking for room on old ones */
	heap_insert(writer->rel, tuple, GetCurrentCommandId(true),
				writer->rows - writer->first > 1 ? HEAP_INSERT_SKIP_FSM : 0,
				NULL);
	insert_index_entry(writer, tuple, values, nulls);
	heap_freetuple(tuple);
	writer->first = writer->rows;
	start_images(&writer->images);
	start_images(&writer->chunk_digests);
}

/*
 * Ends the record and lets the next rows begin a new one.
 */
static void
flush_record(RetTrashWriter *writer)
{
	flush_chunk(writer);
	if (writer->rows == 0)
		return;
	if (!writer->is_link)
		ret_record_write(&writer->record, writer->rows, &writer->digests);
	resetStringInfo(&writer->digests);
	writer->total += writer->rows;
	writer->rows = 0;
	writer->first = 0;
}

/*
 * Adds a row of the table that the shape is of.
 */
void
ret_trash_writer_add(RetTrashWriter *writer, TupleTableSlot *slot)
{
	MemoryContext caller = CurrentMemoryContext;
	uint8		digest[RET_DIGEST_SIZE];

	if (writer->rows == RET_TRASH_IDS && !writer->is_link)
	{
		flush_record(writer);
		writer->record.deletion_id = ret_record_next_id();
		writer->record.parent_id = writer->root_id;
	}

	/* what a row leaves behind, such as detoasted values, goes with it */
	empty(&writer->image);
	MemoryContextSwitchTo(writer->row_context);
	ret_shape_write(writer->shape, slot, &writer->image);
	ret_digest_key(writer->key->secret, slot, writer->key->columns,
				   writer->key->ncolumns, writer->key->kinds, digest);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(writer->row_context);

	if (writer->images.len + writer->chunk_digests.len + writer->image.len >
		CHUNK_BYTES)
		flush_chunk(writer);
	ret_put_length(&writer->images, writer->image.len);
	appendBinaryStringInfo(&writer->images, writer->image.data,
						   writer->image.len);
	appendBinaryStringInfo(&writer->chunk_digests, (char *) digest,
						   RET_DIGEST_SIZE);
	appendBinaryStringInfo(&writer->digests, (char *) digest,
						   RET_DIGEST_SIZE);
	writer->rows++;
}

/*
 * Writes what is left, the record too. "total" says how many rows it were.
 */
void
ret_trash_writer_end(RetTrashWriter *writer)
{
	flush_record(writer);
	CatalogCloseIndexes(writer->indexes);
	MemoryContextDelete(writer->row_context);
	/* kept locked: nothing may truncate it before we commit */
	table_close(writer->rel, NoLock);
}

/*
 * Whether a table is one of the trash: the parent or the table of a day.
 */
bool
ret_chunk_is_table(Oid relid)
{
	Oid			parent = ret_own_relid("trash_chunk");

	return relid == parent ||
		list_member_oid(ret_relation_ancestors(relid), parent);
}

/*
 * Takes a tuple of a table of the trash apart. Valid as long as the slot.
 */
void
ret_chunk_read(TupleTableSlot *slot, RetChunk *chunk)
{
	Datum	   *values;

	slot_getallattrs(slot);
	values = slot->tts_values;
	chunk->deletion_id = DatumGetInt64(values[Anum_deletion_id - 1]);
	chunk->first = DatumGetInt32(values[Anum_first - 1]);
	chunk->rows = DatumGetInt32(values[Anum_rows - 1]);
	chunk->relation_id = DatumGetInt32(values[Anum_relation_id - 1]);
	chunk->shape_id = DatumGetInt64(values[Anum_shape_id - 1]);
	chunk->purge_after = DatumGetTimestampTz(values[Anum_purge_after - 1]);
	chunk->is_link = DatumGetBool(values[Anum_is_link - 1]);
	chunk->digests = values[Anum_digests - 1];
	chunk->images = values[Anum_images - 1];
}

static Datum
bytes_datum(const char *bytes, Size size)
{
	bytea	   *datum = palloc(size + VARHDRSZ);

	SET_VARSIZE(datum, size + VARHDRSZ);
	memcpy(VARDATA(datum), bytes, size);
	return PointerGetDatum(datum);
}

/*
 * Writes a chunk with some rows of another one, which the slot holds.
 */
void
ret_chunk_insert(Relation rel, TupleTableSlot *model, int first, int rows,
				 const char *digests, const char *images, Size size)
{
	Datum		values[Natts_trash_chunk];
	bool		nulls[Natts_trash_chunk];
	HeapTuple	tuple;

	slot_getallattrs(model);
	memcpy(values, model->tts_values, sizeof(values));
	memcpy(nulls, model->tts_isnull, sizeof(nulls));
	values[Anum_first - 1] = Int32GetDatum(first);
	values[Anum_rows - 1] = Int32GetDatum(rows);
	values[Anum_digests - 1] = bytes_datum(digests,
										   (Size) rows * RET_DIGEST_SIZE);
	values[Anum_images - 1] = bytes_datum(images, size);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
}

/*
 * Writes a chunk, which the slot holds, over: with other images unless they
 * are NULL, and when it is to
 * be looked at for personal data next.
 */
void
ret_chunk_scrub(Relation rel, TupleTableSlot *slot, const StringInfoData *images,
				TimestampTz personal_until, int personal_stamp)
{
	Datum		values[Natts_trash_chunk];
	bool		nulls[Natts_trash_chunk];
	HeapTuple	tuple;

	slot_getallattrs(slot);
	memcpy(values, slot->tts_values, sizeof(values));
	memcpy(nulls, slot->tts_isnull, sizeof(nulls));
	if (images)
		values[Anum_images - 1] = bytes_datum(images->data, images->len);
	values[Anum_personal_until - 1] = TimestampTzGetDatum(personal_until);
	nulls[Anum_personal_until - 1] = false;
	values[Anum_personal_stamp - 1] = Int32GetDatum(personal_stamp);
	nulls[Anum_personal_stamp - 1] = false;
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleUpdate(rel, &slot->tts_tid, tuple);
	heap_freetuple(tuple);
}
