/*
 * query.h
 *
 * SQL with parameters, built step by step and run by SPI.
 */
#ifndef RET_QUERY_H
#define RET_QUERY_H

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "tcop/dest.h"
#include "utils/array.h"

typedef struct RetQuery
{
	StringInfoData sql;
	int			nparams;
	int			maxparams;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
} RetQuery;

extern void ret_query_init(RetQuery *query);
extern void ret_query_add(RetQuery *query, const char *format,...)
			pg_attribute_printf(2, 3);
extern const char *ret_query_param(RetQuery *query, Oid type, Datum value);
extern const char *ret_query_null(RetQuery *query, Oid type);
extern const char *ret_query_text(RetQuery *query, const char *value);
extern const char *ret_query_tids(RetQuery *query,
								  const ItemPointerData *tids, int ntids);
extern uint64 ret_query_run(RetQuery *query, bool read_only, uint64 limit,
							DestReceiver *dest);
extern uint64 ret_query_run_kept(RetQuery *query, SPIPlanPtr *plan);

/* Columns of the row-th result of the last query; 1 is the first column. */
extern char *ret_result_text(uint64 row, int column);
extern Datum ret_result_datum(uint64 row, int column, bool *isnull);
extern int64 ret_result_int8(uint64 row, int column);
extern List *ret_result_texts(uint64 row, int column);

/* Lists of strings. */
extern Datum ret_text_array(List *strings);
extern char *ret_join_strings(List *strings, const char *separator);

#endif							/* RET_QUERY_H */
