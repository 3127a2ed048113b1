/*
 * tally.c
 *
 * How many rows this transaction has deleted, from which tables: the server
 * counts them itself, whatever deletes them. Needs track_counts, which
 * ret_batch_lock_timeout() sees to.
 */
#include "postgres.h"

#include "access/transam.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "query.h"
#include "sandbox.h"
#include "tally.h"
#include "utils/fmgroids.h"

/*
 * Adds rows of a table to a list of RetCount, and returns the list.
 */
List *
ret_tally_add(List *counts, Oid relid, int64 rows)
{
	RetCount   *count;
	ListCell   *lc;

	foreach(lc, counts)
	{
		count = lfirst(lc);
		if (count->relid == relid)
		{
			count->rows += rows;
			return counts;
		}
	}
	count = palloc(sizeof(RetCount));
	count->relid = relid;
	count->rows = rows;
	return lappend(counts, count);
}

/*
 * Counts the rows that this process has deleted from a table, by whatever
 * means.
 */
int64
ret_tally_of(Oid relid)
{
	return DatumGetInt64(OidFunctionCall1(F_PG_STAT_GET_XACT_TUPLES_DELETED,
										  ObjectIdGetDatum(relid)));
}

/*
 * Counts the rows that this process has deleted from every table it has
 * deleted from, as a list of RetCount. Caller must be connected to SPI.
 */
List *
ret_tally_all(void)
{
	static SPIPlanPtr plan = NULL;
	RetUser		saved;
	RetQuery	query;
	List	   *counts = NIL;

	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT c.oid::bigint, n FROM pg_class c,"
				  " pg_stat_get_xact_tuples_deleted(c.oid) AS n"
				  " WHERE c.relkind = 'r' AND c.oid >= %d AND n > 0"
				  " AND c.relnamespace <> 'retention'::regnamespace",
				  FirstNormalObjectId);
	ret_query_run_kept(&query, &plan);
	for (uint64 i = 0; i < SPI_processed; i++)
		counts = ret_tally_add(counts, (Oid) ret_result_int8(i, 1),
						   ret_result_int8(i, 2));
	ret_restore_user(&saved);
	return counts;
}
