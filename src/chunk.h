/*
 * chunk.h
 *
 * Rows into the tables of the trash.
 */
#ifndef RET_CHUNK_H
#define RET_CHUNK_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "record.h"
#include "shape.h"
#include "utils/relcache.h"

/* Rows of one deletion record, and so of a trash id's lower part. */
#define RET_TRASH_IDS 1000000

/* How the keys of the rows of a table are digested. */
typedef struct RetKey
{
	uint8		secret[RET_DIGEST_SIZE];
	int			ncolumns;
	AttrNumber *columns;
	uint8	   *kinds;
	List	   *names;
} RetKey;

/* Puts the rows of one command and one table into the trash. */
typedef struct RetTrashWriter
{
	RetRecord	record;			/* of the rows since the last one */
	RetShape   *shape;
	RetKey	   *key;
	int32		relation_id;
	TimestampTz purge_after;
	bool		is_link;
	Relation	rel;			/* the table of the day */
	struct ResultRelInfo *indexes;
	StringInfoData image;		/* of one row */
	StringInfoData images;		/* of the chunk */
	StringInfoData chunk_digests;
	StringInfoData digests;		/* of the record */
	MemoryContext row_context;
	int			first;			/* row of the chunk */
	int			rows;			/* of the record */
	int64		total;
	int64		root_id;		/* the first record */
} RetTrashWriter;

/* A tuple of a table of the trash; datums are as they are in the tuple. */
typedef struct RetChunk
{
	int64		deletion_id;
	int			first;
	int			rows;
	int32		relation_id;
	int64		shape_id;
	TimestampTz purge_after;
	bool		is_link;
	Datum		digests;
	Datum		images;
} RetChunk;

extern bool ret_chunk_is_table(Oid relid);
extern void ret_chunk_read(TupleTableSlot *slot, RetChunk *chunk);
extern void ret_chunk_insert(Relation rel, TupleTableSlot *model, int first,
							 int rows, const char *digests,
							 const char *images, Size size);
extern void ret_chunk_scrub(Relation rel, TupleTableSlot *slot,
							const StringInfoData *images,
							TimestampTz personal_until, int personal_stamp);
extern void ret_key_init(RetKey *key, Relation rel);
extern void ret_trash_writer_begin(RetTrashWriter *writer);
extern void ret_trash_writer_add(RetTrashWriter *writer, TupleTableSlot *slot);
extern void ret_trash_writer_end(RetTrashWriter *writer);

/* Takes rows out of the trash, and records that. */
typedef struct RetTrashTaker
{
	const char *action;			/* of the records */
	bool		by_deletion;	/* a record for each deletion, or each table */
	bool		leaves_tuples;	/* the caller drops the table */
	List	   *taken;			/* private */
	int64		total;
} RetTrashTaker;

extern void ret_trash_taker_begin(RetTrashTaker *taker, const char *action,
								  bool by_deletion);
extern void ret_trash_take(RetTrashTaker *taker, Relation rel,
						   TupleTableSlot *slot, const bool *gone);
extern void ret_trash_taker_end(RetTrashTaker *taker);

extern Oid	ret_trash_day_relid(TimestampTz purge_after);
extern char *ret_trash_day_name(TimestampTz purge_after);

#endif							/* RET_CHUNK_H */
