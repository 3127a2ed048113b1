/*-------------------------------------------------------------------------
 *
 * restoring.c
 *		Rows of the trash as a source for statements.
 *
 * A restore inserts by statements of SQL, so that triggers, defaults, routing
 * to partitions and checks work as ever. The rows come from the function
 * retention._restoring(), which returns what this session has set before and
 * nothing to anybody else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "clock.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "query.h"
#include "restoring.h"
#include "sandbox.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(retention_restoring);
PG_FUNCTION_INFO_V1(retention_trash_rows);

static RetSource *source = NULL;

/*
 * Runs a query for chunks that begin_pieces() has begun, and lists them in the
 * memory context of the caller of SPI_connect().
 */
static int
list_pieces(RetQuery *query, MemoryContext context, RetPiece **pieces,
			int64 *nrows)
{
	int			npieces;

	ret_query_run(query, false, 0, NULL);
	npieces = (int) SPI_processed;
	*nrows = 0;
	*pieces = MemoryContextAllocHuge(context,
									 sizeof(RetPiece) * Max(npieces, 1));
	for (int i = 0; i < npieces; i++)
	{
		RetPiece   *piece = &(*pieces)[i];
		bool		isnull;

		piece->table = (Oid) ret_result_int8(i, 1);
		piece->tid = *(ItemPointer) DatumGetPointer(ret_result_datum(i, 2, &isnull));
		piece->deletion_id = ret_result_int8(i, 3);
		piece->relation_id = (int32) ret_result_int8(i, 4);
		piece->shape_id = ret_result_int8(i, 5);
		piece->first = (int) ret_result_int8(i, 6);
		piece->rows = (int) ret_result_int8(i, 7);
		piece->from = 0;
		piece->to = piece->rows;
		piece->number = *nrows;
		*nrows += piece->rows;
	}
	return npieces;
}

static void
begin_pieces(RetQuery *query, bool links)
{
	ret_query_add(query,
				  "SELECT c.tableoid::bigint, c.ctid, c.deletion_id,"
				  " c.relation_id::bigint, c.shape_id, c.first::bigint,"
				  " c.rows::bigint FROM retention.trash_chunk c"
				  " WHERE c.is_link = %s AND c.purge_after > %s",
				  links ? "true" : "false",
				  ret_query_param(query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())));
}

/*
 * Lists the chunks of a deletion and of all that went with it, in the current
 * memory context; with a row of 0 or more only that row of the deletion.
 * "links" lists the references that it took away. Returns how many pieces
 * there are, and sets how many rows. Connects to SPI.
 */
int
ret_pieces_find(int64 deletion_id, int row, bool links, RetPiece **pieces,
				int64 *nrows)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	const char *id;
	int			npieces;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	begin_pieces(&query, links);
	id = ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id));
	if (row >= 0)
		ret_query_add(&query,
					  " AND c.deletion_id = %s AND c.first <= %d"
					  " AND c.first + c.rows > %d", id, row, row);
	else
		ret_query_add(&query, links ?
					  " AND c.deletion_id IN (SELECT coalesce(parent_id, deletion_id)"
					  " FROM retention.deletion WHERE deletion_id IN (%s, %s))" :
					  " AND c.deletion_id = ANY (ARRAY(SELECT deletion_id"
					  " FROM retention.deletion WHERE parent_id = %s"
					  " AND action = 'trash') || %s)", id, id);
	ret_query_add(&query, " ORDER BY c.deletion_id, c.first");
	npieces = list_pieces(&query, caller, pieces, nrows);
	if (row >= 0 && npieces > 0)
	{
		(*pieces)->from = row - (*pieces)->first;
		(*pieces)->to = (*pieces)->from + 1;
		*nrows = 1;
	}
	ret_restore_user(&saved);
	SPI_finish();
	return npieces;
}

/*
 * Lists the chunks that meet conditions (" AND ...", with their parameters)
 * on them, named "c", shape by shape, in the current memory context. Connects
 * to SPI.
 */
int
ret_pieces_list(RetQuery *conditions, RetPiece **pieces)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	char	   *where = pstrdup(conditions->sql.data);
	int			npieces;
	int64		nrows;

	SPI_connect();
	ret_become_extension(&saved);
	resetStringInfo(&conditions->sql);
	begin_pieces(conditions, false);
	ret_query_add(conditions,
				  "%s ORDER BY c.shape_id, c.deletion_id, c.first", where);
	npieces = list_pieces(conditions, caller, pieces, &nrows);
	ret_restore_user(&saved);
	SPI_finish();
	return npieces;
}

/*
 * Lists the chunks with rows of a table, shape by shape, in the current memory
 * context. Returns how many. Connects to SPI.
 */
static int
find_pieces_of(Oid relid, RetPiece **pieces)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	int			npieces;
	int64		nrows;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	begin_pieces(&query, false);
	ret_query_add(&query,
				  " AND c.deletion_id IN (SELECT d.deletion_id FROM retention.deletion d"
				  " JOIN retention.relation r USING (relation_id)"
				  " WHERE r.reloid = %s AND d.action = 'trash')"
				  " ORDER BY c.shape_id, c.deletion_id, c.first",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)));
	npieces = list_pieces(&query, caller, pieces, &nrows);
	ret_restore_user(&saved);
	SPI_finish();
	return npieces;
}

/*
 * Sets what retention._restoring() returns in this session; NULL: nothing.
 */
void
ret_restoring(RetSource *new_source)
{
	source = new_source;
}

/*
 * Reads the rows of a piece into a tuplestore.
 */
static void
read_piece(RetSource *from, RetPiece *piece, Tuplestorestate *rows,
		   MemoryContext row_context)
{
	MemoryContext caller = CurrentMemoryContext;
	RetRowMap  *map = from->map;
	Relation	rel = table_open(piece->table, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	RetChunk	chunk;
	RetBytes	images;

	if (!table_tuple_fetch_row_version(rel, &piece->tid, GetActiveSnapshot(),
									   slot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rows of deletion %lld have left the trash meanwhile",
						(long long) piece->deletion_id)));
	ret_chunk_read(slot, &chunk);
	images = ret_bytes_of(DatumGetByteaPP(chunk.images));
	for (int i = 0; i < piece->to; i++)
	{
		RetBytes	image = ret_image_next(&images);

		if (i < piece->from ||
			(from->goes && !from->goes(piece->number + i - piece->from, from->arg)))
			continue;
		MemoryContextSwitchTo(row_context);
		ret_rowmap_read(map, &image);
		if (from->sight == NULL ||
			ret_sight_sees(from->sight, map->shape, map->targets,
						   map->old_values, map->old_nulls))
		{
			tuplestore_putvalues(rows, map->desc, map->values, map->nulls);
			from->nread++;
		}
		else if (!from->hides)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to see row %lld in the trash",
							(long long) (piece->deletion_id * RET_TRASH_IDS +
										 piece->first + i))));
		MemoryContextSwitchTo(caller);
		MemoryContextReset(row_context);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
}

static void
read_pieces(RetSource *from, Tuplestorestate *rows)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "retention row",
													  ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < from->npieces; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_piece(from, &from->pieces[i], rows, row_context);
	}
	MemoryContextDelete(row_context);
}

/*
 * retention._restoring(row)
 */
Datum
retention_restoring(PG_FUNCTION_ARGS)
{
	RetSource  *from = source;

	if (from == NULL ||
		get_typ_typrelid(get_fn_expr_argtype(fcinfo->flinfo, 0)) != from->relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is being restored into this table"),
				 errhint("Call retention.restore() or retention.restore_deletion().")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	/* code of the owner that runs meanwhile must not read it too */
	source = NULL;
	read_pieces(from, ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	source = from;
	return (Datum) 0;
}

/*
 * retention.trash_rows(row): the rows of a table in the trash that the caller
 * could have read in the table, with the columns that it has now.
 */
Datum
retention_trash_rows(PG_FUNCTION_ARGS)
{
	Oid			relid = get_typ_typrelid(get_fn_expr_argtype(fcinfo->flinfo, 0));
	RetSource	from = {0};
	Relation	rel;
	RetPiece   *pieces;
	int			npieces;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("trash_rows() needs the row type of a table"),
				 errhint("Write retention.trash_rows(NULL::my_table).")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	rel = table_open(relid, AccessShareLock);
	from.relid = relid;
	from.hides = true;
	from.sight = ret_sight_make(rel, true);
	ret_sight_check_columns(from.sight, rel);
	npieces = find_pieces_of(relid, &pieces);
	for (int i = 0; i < npieces; i += from.npieces)
	{
		from.pieces = pieces + i;
		from.npieces = 1;
		while (i + from.npieces < npieces &&
			   pieces[i + from.npieces].shape_id == pieces[i].shape_id)
			from.npieces++;
		from.map = ret_rowmap_make(ret_shape_load(pieces[i].shape_id), rel);
		read_pieces(&from, ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	}
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
