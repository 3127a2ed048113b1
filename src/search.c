/*
 * search.c
 *
 * Finding rows that a run would delete, without touching them.
 */
#include "postgres.h"

#include "access/table.h"
#include "batch.h"
#include "cascade.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "expr.h"
#include "predicate.h"
#include "query.h"
#include "record.h"
#include "sandbox.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * The body of a search (RetSearch): finds rows that would go, in the whole
 * leaf, in a list, or in a range.
 */
void
ret_search(RetRun *run, void *arg)
{
	RetSearch  *search = arg;
	List	   *keeps;
	Relation	rel = ret_batch_open(run, search->leaf, AccessShareLock, &keeps);
	RetTidReceiver receiver;
	RetUser		saved;
	RetQuery	query;

	search->ntids = 0;
	search->nfound = 0;
	if (rel == NULL)
		return;

	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT " RET_ROW ".ctid FROM ONLY %s AS " RET_ROW
				  " WHERE ", search->leaf->name);
	if (search->among)
		ret_query_add(&query, RET_ROW ".ctid = ANY (%s) AND ",
					  ret_query_tids(&query, search->among, search->namong));
	else if (!search->by_index)
		ret_query_add(&query, RET_ROW ".ctid >= %s AND " RET_ROW ".ctid < %s AND ",
					  ret_query_param(&query, TIDOID, PointerGetDatum(&search->from)),
					  ret_query_param(&query, TIDOID, PointerGetDatum(&search->to)));
	ret_query_add(&query, "%s", ret_predicate_goes(&query, run->policy, keeps,
												   run->cutoff, search->by_index));
	ret_query_add(&query, " ORDER BY " RET_ROW ".ctid");
	if (search->limit > 0)
		ret_query_add(&query, " LIMIT %d", search->limit);

	MemoryContextSwitchTo(run->scratch);
	ret_tid_receiver_init(&receiver);
	ret_become_owner(&saved, rel->rd_rel->relowner, run->policy->zone);
	ret_query_run(&query, true, 0, &receiver.receiver);
	ret_restore_user(&saved);

	search->nfound = receiver.ntids;
	if (receiver.ntids > 0)
		search->last = receiver.tids[receiver.ntids - 1];
	if (search->unreferenced)
		receiver.ntids = ret_cascade_referenced(search->leaf->foreign_keys,
												search->leaf->relid,
												rel->rd_rel->relowner,
												receiver.tids, receiver.ntids);
	search->tids = MemoryContextAllocHuge(run->context,
										  Max(receiver.ntids, 1) *
										  sizeof(ItemPointerData));
	memcpy(search->tids, receiver.tids,
		   receiver.ntids * sizeof(ItemPointerData));
	search->ntids = receiver.ntids;
	SPI_finish();
	table_close(rel, NoLock);
}
