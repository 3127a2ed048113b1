/*-------------------------------------------------------------------------
 *
 * query.c
 *		SQL with parameters, built step by step and run by SPI.
 *
 * Values travel as parameters only, never as text. Statements on user tables
 * are never prepared: a plan that was made as one user must not run as
 * another. Some of those on our own tables are, which run as the extension
 * each time and in every batch.
 *
 * Everything here allocates in the current memory context; the results of a
 * query live until SPI_finish().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "query.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
ret_query_init(RetQuery *query)
{
	initStringInfo(&query->sql);
	query->nparams = 0;
	query->maxparams = 16;
	query->types = palloc(query->maxparams * sizeof(Oid));
	query->values = palloc(query->maxparams * sizeof(Datum));
	query->nulls = palloc(query->maxparams * sizeof(bool));
}

/*
 * Appends to the text of the query.
 */
void
ret_query_add(RetQuery *query, const char *format,...)
{
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&query->sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&query->sql, needed);
	}
}

static const char *
add_param(RetQuery *query, Oid type, Datum value, bool isnull)
{
	int			n = query->nparams++;

	if (n == query->maxparams)
	{
		query->maxparams *= 2;
		query->types = repalloc(query->types,
								query->maxparams * sizeof(Oid));
		query->values = repalloc(query->values,
								 query->maxparams * sizeof(Datum));
		query->nulls = repalloc(query->nulls,
								query->maxparams * sizeof(bool));
	}
	query->types[n] = type;
	query->values[n] = value;
	query->nulls[n] = isnull;
	return psprintf("$%d", n + 1);
}

/*
 * Adds a parameter and returns the text that refers to it. The value is not
 * copied.
 */
const char *
ret_query_param(RetQuery *query, Oid type, Datum value)
{
	return add_param(query, type, value, false);
}

const char *
ret_query_null(RetQuery *query, Oid type)
{
	return add_param(query, type, (Datum) 0, true);
}

/*
 * Adds a text parameter; NULL is NULL.
 */
const char *
ret_query_text(RetQuery *query, const char *value)
{
	return value ?
		ret_query_param(query, TEXTOID, CStringGetTextDatum(value)) :
		ret_query_null(query, TEXTOID);
}

/*
 * Tuple identifiers as tid[].
 */
static Datum
tid_array(const ItemPointerData *tids, int ntids)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(ntids, 1));
	ArrayType  *array;

	for (int i = 0; i < ntids; i++)
		elements[i] = PointerGetDatum(&tids[i]);
	array = construct_array(elements, ntids, TIDOID, sizeof(ItemPointerData),
							false, TYPALIGN_SHORT);
	pfree(elements);
	return PointerGetDatum(array);
}

/*
 * Adds a tid[] parameter.
 */
const char *
ret_query_tids(RetQuery *query, const ItemPointerData *tids, int ntids)
{
	return ret_query_param(query, TIDARRAYOID, tid_array(tids, ntids));
}

static ParamListInfo
make_params(RetQuery *query)
{
	ParamListInfo params = makeParamList(query->nparams);

	for (int i = 0; i < query->nparams; i++)
	{
		params->params[i].value = query->values[i];
		params->params[i].isnull = query->nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = query->types[i];
	}
	return params;
}

/*
 * Runs the query and returns how many rows it processed. With a destination
 * the rows go there, else to SPI_tuptable. A limit of 0 means none; for a
 * DELETE with RETURNING the limit stops the deletion itself.
 *
 * Caller must be connected to SPI and have switched to the right user.
 */
uint64
ret_query_run(RetQuery *query, bool read_only, uint64 limit,
			  DestReceiver *dest)
{
	SPIExecuteOptions options = {0};
	int			code;

	options.params = make_params(query);
	options.read_only = read_only;
	options.tcount = limit;
	options.dest = dest;

	code = SPI_execute_extended(query->sql.data, &options);
	if (code < 0)
		elog(ERROR, "SPI_execute_extended failed: %s: %s",
			 SPI_result_code_string(code), query->sql.data);
	return SPI_processed;
}

/*
 * Runs a query whose text is the same each time, and keeps its plan. Caller
 * must be the extension: nobody else runs it.
 */
uint64
ret_query_run_kept(RetQuery *query, SPIPlanPtr *plan)
{
	SPIExecuteOptions options = {0};
	int			code;

	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare_cursor(query->sql.data,
												  query->nparams, query->types,
												  CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare: %s", query->sql.data);
		*plan = prepared;
	}
	options.params = make_params(query);
	code = SPI_execute_plan_extended(*plan, &options);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan_extended failed: %s: %s",
			 SPI_result_code_string(code), query->sql.data);
	return SPI_processed;
}

/*
 * A column of a result row in its text form, NULL when it is null. Columns
 * are counted from 1.
 */
char *
ret_result_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						column);
}

Datum
ret_result_datum(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/*
 * A bigint column; 0 when it is null.
 */
int64
ret_result_int8(uint64 row, int column)
{
	bool		isnull;
	Datum		value = ret_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * A text[] column as a list of strings; NIL when it is null.
 */
List *
ret_result_texts(uint64 row, int column)
{
	bool		isnull;
	Datum		value = ret_result_datum(row, column, &isnull);
	List	   *strings = NIL;
	Datum	   *elements;
	int			nelements;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &nelements);
	for (int i = 0; i < nelements; i++)
		strings = lappend(strings, TextDatumGetCString(elements[i]));
	return strings;
}

/*
 * A list of strings as text[].
 */
Datum
ret_text_array(List *strings)
{
	int			n = list_length(strings);
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum((char *) list_nth(strings, i));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * Strings with a separator between them.
 */
char *
ret_join_strings(List *strings, const char *separator)
{
	StringInfoData joined;
	ListCell   *lc;

	initStringInfo(&joined);
	foreach(lc, strings)
	{
		if (joined.len > 0)
			appendStringInfoString(&joined, separator);
		appendStringInfoString(&joined, lfirst(lc));
	}
	return joined.data;
}
