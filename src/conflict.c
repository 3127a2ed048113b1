/*-------------------------------------------------------------------------
 *
 * conflict.c
 *		Present rows that are in the way of a restore.
 *
 * A row is in the way when a unique index or an exclusion constraint says so.
 * All of them are asked, partial ones and those on expressions too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "conflict.h"
#include "executor/spi.h"
#include "query.h"
#include "catalog.h"
#include "sandbox.h"
#include "relation.h"

/*
 * The DELETE of what is in the way by one index.
 */
static char *
delete_statement(const char *table, List *expressions, List *operators,
				 const char *predicate, bool nulls_equal)
{
	StringInfoData keys;
	StringInfoData match;

	initStringInfo(&keys);
	initStringInfo(&match);
	for (int i = 0; i < list_length(expressions); i++)
	{
		const char *expression = list_nth(expressions, i);

		appendStringInfo(&keys, "%s%s AS \"?%d\"", i ? ", " : "", expression, i);
		appendStringInfo(&match, "%s((%s) %s new.\"?%d\"", i ? " AND " : "",
						 expression, (char *) list_nth(operators, i), i);
		if (nulls_equal)
			appendStringInfo(&match, " OR ((%s) IS NULL AND new.\"?%d\" IS NULL)",
							 expression, i);
		appendStringInfoChar(&match, ')');
	}
	return psprintf("DELETE FROM %s USING (SELECT %s FROM"
					" retention._restoring(NULL::%s)%s%s) AS new WHERE %s%s%s",
					table, keys.data, table,
					predicate ? " WHERE " : "", predicate ? predicate : "",
					match.data,
					predicate ? " AND " : "", predicate ? predicate : "");
}

/*
 * The statements for all indexes of a table. Connects to SPI.
 */
static List *
delete_statements(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	List	   *statements = NIL;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT expressions, operators, predicate,"
				  " nulls_equal::int::bigint FROM retention._unique_indexes(%s)",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *statement = delete_statement(ret_relation_name(relid),
												 ret_result_texts(i, 1),
												 ret_result_texts(i, 2),
												 ret_result_text(i, 3),
												 ret_result_int8(i, 4) != 0);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		statements = lappend(statements, pstrdup(statement));
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return statements;
}

/*
 * Deletes the rows of a table that are in the way of those that
 * retention._restoring() returns; they go to the trash like all others.
 * Caller must have become the owner.
 */
void
ret_conflict_remove(Oid relid)
{
	ListCell   *lc;

	foreach(lc, delete_statements(relid))
	{
		SPI_connect();
		if (SPI_execute(lfirst(lc), false, 0) < 0)
			elog(ERROR, "could not execute: %s", (char *) lfirst(lc));
		SPI_finish();
	}
}
