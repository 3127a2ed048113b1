/*-------------------------------------------------------------------------
 *
 * detect_sample.c
 *		A sample of the values of a table, the same each time.
 *
 * One query for all columns of a table, run as its owner in the sandbox and
 * unable to write. Small tables are read from their beginning; of large ones
 * some blocks all over the table are read, chosen by a fixed seed, so that
 * neither the size of a table nor its bloat decides about the time. Of a
 * partitioned table some partitions are read, also all over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "detect.h"
#include "miscadmin.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* tables of at most so many blocks are read from their beginning */
#define SMALL_TABLE 256
/* at least so many blocks of the others */
#define MIN_BLOCKS 64
/* where there are no rows in these, so many blocks from the beginning */
#define SPARSE_BLOCKS 2048
/* at most so many partitions */
#define MAX_LEAVES 64
/* longer documents are not looked at */
#define MAX_DOCUMENT "65536"

/*
 * Whether values are worth reading. Dates and small numbers are personal by
 * their names only.
 */
static bool
is_worth_reading(const RetPiiColumn *column, bool with_json)
{
	switch (column->kind)
	{
		case RET_KIND_TEXT:
		case RET_KIND_NUMBER:
		case RET_KIND_INET:
			return true;
		case RET_KIND_JSON:
			return with_json;
		case RET_KIND_INTEGER:
		case RET_KIND_FLOAT:
		case RET_KIND_DATE:
		case RET_KIND_ENUM:
			return column->sense.category != RET_PII_NONE;
		default:
			return false;
	}
}

/*
 * A column as an expression of type text or jsonb. Documents that json takes
 * and jsonb does not are left out, as is what is too long.
 */
static void
add_expression(RetQuery *query, const RetPiiColumn *column)
{
	const char *name = quote_identifier(column->name);

	if (column->kind == RET_KIND_TEXT)
		ret_query_add(query, "left(%s::text, 300)", name);
	else if (column->kind != RET_KIND_JSON)
		ret_query_add(query, "%s::text", name);
	else if (column->is_array)
		ret_query_add(query, "CASE WHEN pg_column_size(%s) < " MAX_DOCUMENT
					  " THEN array_to_json(%s)::jsonb END", name, name);
	else if (column->type == JSONBOID)
		ret_query_add(query, "CASE WHEN pg_column_size(%s) < " MAX_DOCUMENT
					  " THEN %s::jsonb END", name, name);
	else
		ret_query_add(query, "CASE WHEN pg_column_size(%s) < " MAX_DOCUMENT
					  " AND %s::text !~* '\\\\u(0000|d[89a-f])'"
					  " THEN %s::jsonb END", name, name, name);
}

/*
 * Runs a query as the owner of the table, unable to write.
 */
static void
read_only(RetQuery *query, Oid owner)
{
	bool		was_read_only = XactReadOnly;
	RetUser		saved;

	ret_become_owner(&saved, owner, NULL);
	XactReadOnly = true;
	PG_TRY();
	{
		ret_query_run(query, true, 0, NULL);
	}
	PG_FINALLY();
	{
		XactReadOnly = was_read_only;
	}
	PG_END_TRY();
	ret_restore_user(&saved);
}

static void
take_value(RetPiiColumn *column, uint64 row, int number)
{
	bool		isnull;
	Datum		value;

	if (column->kind != RET_KIND_JSON)
	{
		char	   *text = ret_result_text(row, number);

		if (text)
			ret_pii_values_add(column->values, text,
							   column->kind == RET_KIND_NUMBER ||
							   column->kind == RET_KIND_INTEGER ||
							   column->kind == RET_KIND_FLOAT);
		return;
	}
	value = ret_result_datum(row, number, &isnull);
	if (!isnull)
		ret_json_sample_add(column->json, DatumGetJsonbP(value));
}

/*
 * Counts the rows of a result into the columns. Returns how many there were.
 */
static int
take_rows(List *columns)
{
	uint64		rows = SPI_processed;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "values",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);

	for (uint64 row = 0; row < rows; row++)
	{
		int			number = 1;
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, columns)
			take_value(lfirst(lc), row, number++);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	return (int) rows;
}

/*
 * Which rows: a clause behind the name of the table.
 */
static const char *
which_rows(Relation rel, int sample)
{
	double		blocks = RelationGetNumberOfBlocks(rel);
	double		per_block = rel->rd_rel->relpages > 0 &&
		rel->rd_rel->reltuples > 0 ?
		rel->rd_rel->reltuples / rel->rd_rel->relpages : 50;
	double		wanted;

	if (blocks <= SMALL_TABLE)
		return "";
	/* some more than needed: blocks are not equally full */
	wanted = Max(ceil(sample * 1.5 / per_block), MIN_BLOCKS);
	return psprintf(" TABLESAMPLE SYSTEM (%.9f) REPEATABLE (20)",
					Min(100, 100 * wanted / blocks));
}

static int
read_rows(Relation rel, List *columns, int sample, const char *which)
{
	RetQuery	query;
	ListCell   *lc;
	int			rows;

	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT ");
	foreach(lc, columns)
	{
		if (foreach_current_index(lc) > 0)
			ret_query_add(&query, ", ");
		add_expression(&query, lfirst(lc));
	}
	ret_query_add(&query, " FROM ONLY %s%s LIMIT %d",
				  ret_relation_name(RelationGetRelid(rel)), which, sample);
	read_only(&query, rel->rd_rel->relowner);
	rows = take_rows(columns);
	SPI_finish();
	return rows;
}

/*
 * Reads a table that holds rows itself. Returns how many it read.
 */
static int
read_leaf(Relation rel, List *columns, int sample)
{
	const char *which = which_rows(rel, sample);
	int			rows = read_rows(rel, columns, sample, which);

	if (*which != '\0' && rows == 0)
		rows = read_rows(rel, columns, sample,
						 psprintf(" WHERE ctid < '(%d,0)'", SPARSE_BLOCKS));
	return rows;
}

/*
 * Reads some partitions of the same owner, all over the table.
 */
static void
read_partitions(Relation rel, List *columns, int sample)
{
	List	   *leaves = NIL;
	ListCell   *lc;
	int			stride;
	int			share;
	int			visited = 0;

	foreach(lc, find_all_inheritors(RelationGetRelid(rel), NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	stride = Max(list_length(leaves) / MAX_LEAVES, 1);
	share = Max(sample / Max(Min(list_length(leaves), 16), 1), 1);
	for (int i = 0; i < list_length(leaves) && sample > 0 &&
		 visited < MAX_LEAVES; i += stride, visited++)
	{
		Relation	leaf;

		CHECK_FOR_INTERRUPTS();
		leaf = try_table_open(list_nth_oid(leaves, i), AccessShareLock);
		if (leaf == NULL)
			continue;
		if (leaf->rd_rel->relowner == rel->rd_rel->relowner)
			sample -= read_leaf(leaf, columns, Min(share, sample));
		table_close(leaf, AccessShareLock);
	}
}

/*
 * Reads a sample of rows into "values" and "json" of the columns that are
 * worth it; the others have no values. Connects to SPI. What it makes is in
 * the caller's memory context.
 */
void
ret_detect_sample(Relation rel, List *columns, int sample, bool with_json)
{
	List	   *chosen = NIL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		RetPiiColumn  *column = lfirst(lc);
		bool		is_chosen = sample > 0 &&
			is_worth_reading(column, with_json);

		column->json = NULL;
		column->values = ret_pii_values_make(is_chosen ? sample : 0);
		if (column->kind == RET_KIND_JSON && is_chosen)
			column->json = ret_json_sample_make(sample);
		if (is_chosen)
			chosen = lappend(chosen, column);
	}
	if (chosen == NIL)
		return;
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		read_partitions(rel, chosen, sample);
	else
		read_leaf(rel, chosen, sample);
}
