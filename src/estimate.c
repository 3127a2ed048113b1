/*-------------------------------------------------------------------------
 *
 * estimate.c
 *		How much is due, before anything is deleted.
 *
 * Two questions need it. Which path to take, where the planner's guess is
 * good enough: a wrong answer costs time only. And whether a run would take
 * more of a table than max_fraction allows, where it is not: a small table is
 * counted, of a large one blocks are sampled, and where the sample is not
 * clear the table is counted after all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "batch.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "estimate.h"
#include "executor/spi.h"
#include "expr.h"
#include "predicate.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/* tables up to this size are counted, not sampled */
#define COUNT_BLOCKS 8192

#define SAMPLE_BLOCKS 1000

/* smaller tables may be emptied without asking */
#define GUARDED_ROWS 1000

/* a row by index costs about as much as this many blocks read in order */
#define BLOCKS_PER_ROW 4

/*
 * The name of the column that the clock is; NULL when it is an expression.
 */
char *
ret_clock_column(const RetPolicy *policy)
{
	ListCell   *lc;

	foreach(lc, policy->columns)
	{
		RetColumn  *column = lfirst(lc);

		if (strcmp(policy->clock_sql,
				   psprintf(RET_ROW ".%s", quote_identifier(column->name))) == 0)
			return column->name;
	}
	return NULL;
}

static Oid
access_method(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			method = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		method = ((Form_pg_class) GETSTRUCT(tuple))->relam;
		ReleaseSysCache(tuple);
	}
	return method;
}

/*
 * A btree index on all rows that leads with the clock; InvalidOid: none.
 */
static Oid
find_clock_index(Relation rel, const RetPolicy *policy)
{
	char	   *column = ret_clock_column(policy);
	AttrNumber	num = column ? get_attnum(RelationGetRelid(rel), column) :
		InvalidAttrNumber;
	ListCell   *lc;

	if (num == InvalidAttrNumber)
		return InvalidOid;
	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		bool		fits;

		if (!HeapTupleIsValid(tuple))
			continue;
		fits = ((Form_pg_index) GETSTRUCT(tuple))->indkey.values[0] == num &&
			((Form_pg_index) GETSTRUCT(tuple))->indisvalid &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
			access_method(lfirst_oid(lc)) == BTREE_AM_OID;
		ReleaseSysCache(tuple);
		if (fits)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

typedef struct IndexQuestion
{
	RetLeaf    *leaf;
	bool		better;
} IndexQuestion;

/*
 * Asks the planner how many rows have a clock that is over.
 */
static void
ask_index(RetRun *run, void *arg)
{
	IndexQuestion *question = arg;
	List	   *keeps;
	Relation	rel = ret_batch_open(run, question->leaf, AccessShareLock,
									 &keeps);
	RetQuery	query;
	RetUser		saved;
	char	   *plan;
	char	   *rows;

	question->better = false;
	if (rel == NULL)
		return;
	if (OidIsValid(find_clock_index(rel, run->policy)))
	{
		SPI_connect();
		ret_query_init(&query);
		ret_query_add(&query,
					  "EXPLAIN (FORMAT JSON) SELECT FROM ONLY %s AS " RET_ROW
					  " WHERE ", question->leaf->name);
		ret_query_add(&query, "%s",
					  ret_predicate_clock_is_over(&query, run->policy,
												  run->cutoff, true));
		ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
		/* SPI takes EXPLAIN for a command that writes */
		ret_query_run(&query, false, 0, NULL);
		ret_restore_user(&saved);
		plan = ret_result_text(0, 1);
		rows = plan ? strstr(plan, "\"Plan Rows\": ") : NULL;
		question->better = rows != NULL &&
			atof(rows + strlen("\"Plan Rows\": ")) * BLOCKS_PER_ROW <
			question->leaf->nblocks;
		SPI_finish();
	}
	table_close(rel, NoLock);
}

/*
 * Whether an index is the better way through a leaf.
 */
bool
ret_index_is_better(RetRun *run, RetLeaf *leaf)
{
	IndexQuestion question = {leaf, false};

	ret_do(run, ask_index, &question);
	return question.better;
}

typedef struct FractionQuestion
{
	RetLeaf    *leaf;
	double		percent;		/* of the blocks; 100: all */
	int64		rows;
	int64		due;
} FractionQuestion;

/*
 * Counts the rows and the rows that would go, of a leaf or a sample of it.
 */
static void
ask_fraction(RetRun *run, void *arg)
{
	FractionQuestion *question = arg;
	List	   *keeps;
	Relation	rel = ret_batch_open(run, question->leaf, AccessShareLock,
									 &keeps);
	RetQuery	query;
	RetUser		saved;

	question->rows = 0;
	question->due = 0;
	if (rel == NULL)
		return;
	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT count(*), count(*) FILTER (WHERE ");
	ret_query_add(&query, "%s",
				  ret_predicate_goes(&query, run->policy, keeps, run->cutoff,
									 false));
	ret_query_add(&query, ") FROM ONLY %s AS " RET_ROW,
				  question->leaf->name);
	if (question->percent < 100)
		ret_query_add(&query, " TABLESAMPLE SYSTEM (%.6f)", question->percent);
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, true, 0, NULL);
	ret_restore_user(&saved);
	question->rows = ret_result_int8(0, 1);
	question->due = ret_result_int8(0, 2);
	SPI_finish();
	table_close(rel, NoLock);
}

/*
 * The same over all leaves.
 */
static void
count_leaves(RetRun *run, double percent, double *rows, double *due)
{
	ListCell   *lc;

	*rows = 0;
	*due = 0;
	run->is_patient = true;
	foreach(lc, run->leaves)
	{
		FractionQuestion question = {lfirst(lc), percent, 0, 0};

		ret_do(run, ask_fraction, &question);
		*rows += question.rows;
		*due += question.due;
	}
	run->is_patient = false;
}

/*
 * Counts the rows that would go by an index on the clock, up to the number
 * that is asked for.
 */
static void
ask_few(RetRun *run, void *arg)
{
	FractionQuestion *question = arg;
	List	   *keeps;
	Relation	rel = ret_batch_open(run, question->leaf, AccessShareLock,
									 &keeps);
	RetQuery	query;
	RetUser		saved;

	question->due = 0;
	if (rel == NULL)
		return;
	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT count(*) FROM (SELECT FROM ONLY %s AS " RET_ROW
				  " WHERE ", question->leaf->name);
	ret_query_add(&query, "%s LIMIT %lld) AS few",
				  ret_predicate_goes(&query, run->policy, keeps, run->cutoff,
									 true), (long long) question->rows);
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, true, 0, NULL);
	ret_restore_user(&saved);
	question->due = ret_result_int8(0, 1);
	SPI_finish();
	table_close(rel, NoLock);
}

/*
 * Whether indexes show quickly that no more rows would go than that.
 */
static bool
are_few(RetRun *run, int64 rows)
{
	int64		due = 0;
	bool		is_known = true;
	ListCell   *lc;

	run->is_patient = true;
	foreach(lc, run->leaves)
	{
		FractionQuestion question = {lfirst(lc), 0, rows + 1, 0};

		is_known = ret_index_is_better(run, lfirst(lc));
		if (!is_known)
			break;
		ret_do(run, ask_few, &question);
		due += question.due;
		if (due > rows)
			break;
	}
	run->is_patient = false;
	return is_known && due <= rows;
}

/*
 * How far the share of a sample may be from that of the table: four standard
 * errors, as if all rows of a block were alike.
 */
static double
sample_margin(double share)
{
	double		variance = Max(share * (1 - share), 1.0 / SAMPLE_BLOCKS);

	return 4 * sqrt(variance / SAMPLE_BLOCKS);
}

/*
 * Ends a run that would take more of its table than max_fraction, as
 * needs_confirmation. A run that was confirmed is not asked. Where only a
 * sample was looked at, the run gets a limit besides.
 */
void
ret_guard_fraction(RetRun *run)
{
	double		fraction = run->policy->max_fraction;
	double		blocks = 0;
	double		rows;
	double		due;
	ListCell   *lc;

	if (run->confirmed || fraction >= 1)
		return;
	/* few enough for the smallest table that is guarded */
	if (are_few(run, (int64) (fraction * GUARDED_ROWS)))
		return;
	foreach(lc, run->leaves)
		blocks += ((RetLeaf *) lfirst(lc))->nblocks;

	if (blocks > COUNT_BLOCKS)
	{
		double		percent = 100.0 * SAMPLE_BLOCKS / blocks;

		count_leaves(run, percent, &rows, &due);
		if (rows > 0 && due / rows + sample_margin(due / rows) < fraction)
		{
			run->rows_limit = (int64) (rows * 100 / percent *
									   (fraction + sample_margin(due / rows)));
			return;
		}
	}
	count_leaves(run, 100, &rows, &due);
	if (rows > GUARDED_ROWS && due > fraction * rows)
		ret_run_end_early(run, "needs_confirmation",
						  psprintf("%.0f of %.0f rows (%.1f %%) are due, more than max_fraction allows (%.1f %%)",
								   due, rows, 100 * due / rows, 100 * fraction));
}
