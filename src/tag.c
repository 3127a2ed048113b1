/*-------------------------------------------------------------------------
 *
 * tag.c
 *		Columns that are tagged as personal data: load.
 *
 * What a tag means as SQL is said by sql/install/27_pii.sql; the functions
 * here fetch it. They connect to SPI and act as the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "query.h"
#include "sandbox.h"
#include "tag.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * The tagged columns of a table, by their numbers: all, or (not 0) those that
 * one policy scrubs.
 */
List *
ret_tags_of_table(Oid relid, int32 policy_id)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *numbers = NIL;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT t.column_num::bigint FROM retention.pii_tag t"
				  " JOIN retention.relation r USING (relation_id)"
				  " JOIN pg_catalog.pg_attribute a ON a.attrelid = r.reloid"
				  " AND a.attnum = t.column_num AND NOT a.attisdropped"
				  " WHERE r.reloid = %s AND t.column_num > 0 AND t.identity = %s",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)),
				  ret_query_identity(&query));
	if (policy_id != 0)
		ret_query_add(&query, " AND t.policy_id = %d", policy_id);
	ret_query_add(&query, " ORDER BY 1");
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		numbers = lappend_int(numbers, (int) ret_result_int8(i, 1));
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return numbers;
}

/*
 * Fills in what a scrub policy puts where, in the memory context of the
 * policy. Errors when a method does not fit its column any more.
 */
void
ret_tags_load(RetPolicy *policy)
{
	MemoryContext context = GetMemoryChunkContext(policy);
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT column_name, value, needs, cost, is_own"
				  " FROM retention._scrub_columns(%s)",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy->policy_id)));
	ret_query_run(&query, false, 0, NULL);
	policy->scrubs = NIL;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);
		RetScrub   *scrub = palloc(sizeof(RetScrub));
		bool		isnull;

		scrub->column = ret_result_text(i, 1);
		scrub->value = ret_result_text(i, 2);
		scrub->needs = ret_result_text(i, 3);
		scrub->cost = (int) ret_result_int8(i, 4);
		scrub->is_own = DatumGetBool(ret_result_datum(i, 5, &isnull));
		policy->scrubs = lappend(policy->scrubs, scrub);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Whether a row holds something that these columns' methods would replace.
 * What is cheap to ask is asked first: of a row that was not scrubbed yet
 * nothing else is.
 */
static char *
needs_of(List *scrubs)
{
	StringInfoData sql;
	ListCell   *lc;

	if (scrubs == NIL)
		return "false";
	initStringInfo(&sql);
	for (int cost = 0; cost <= RET_SCRUB_DEAREST; cost++)
		foreach(lc, scrubs)
		{
			RetScrub   *scrub = lfirst(lc);

			if (scrub->cost == cost)
				appendStringInfo(&sql, "%s%s", sql.len ? " OR " : "(",
								 scrub->needs);
		}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Whether a row holds something that a scrub policy would replace, as a
 * condition that is never null. Connects to SPI.
 */
char *
ret_tags_needs(RetPolicy *policy)
{
	if (policy->scrubs == NIL)
		ret_tags_load(policy);
	return needs_of(policy->scrubs);
}

/*
 * The same of a row that was just scrubbed, where that is not certain: our own
 * methods leave alone what they have made, unless a trigger has a say. Caller
 * must have loaded the tags.
 */
char *
ret_tags_needs_again(RetPolicy *policy, bool has_trigger)
{
	List	   *doubtful = NIL;
	ListCell   *lc;

	foreach(lc, policy->scrubs)
	{
		RetScrub   *scrub = lfirst(lc);

		if (has_trigger || !scrub->is_own)
			doubtful = lappend(doubtful, scrub);
	}
	return needs_of(doubtful);
}

/*
 * The names of the columns that a policy scrubs, which are loaded.
 */
List *
ret_tags_columns(const RetPolicy *policy)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, policy->scrubs)
		names = lappend(names, ((RetScrub *) lfirst(lc))->column);
	return names;
}

/*
 * Adds the statement that scrubs a leaf up to its WHERE.
 */
void
ret_tags_add_update(RetQuery *query, const RetPolicy *policy,
					const char *leaf)
{
	ListCell   *lc;

	ret_query_add(query, "UPDATE ONLY %s AS " RET_ROW " SET ", leaf);
	foreach(lc, policy->scrubs)
	{
		RetScrub   *scrub = lfirst(lc);

		ret_query_add(query, "%s%s = %s", foreach_current_index(lc) ? ", " : "",
					  quote_identifier(scrub->column), scrub->value);
	}
}
