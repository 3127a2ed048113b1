/*
 * batch.h
 *
 * One batch: choose, act, record, commit together.
 */
#ifndef RET_BATCH_H
#define RET_BATCH_H

#include "capture.h"
#include "query.h"
#include "record.h"
#include "run.h"
#include "storage/lockdefs.h"

/*
 * Which rows: those in a range of tuple identifiers (tids == NULL), or those
 * in a list. Whether they are due is asked in the statement that deletes them.
 */
typedef struct RetBatch
{
	RetLeaf    *leaf;
	ItemPointerData from;
	ItemPointerData to;			/* exclusive */
	const ItemPointerData *tids;
	int			ntids;
	bool		everywhere;		/* no place: an erasure asks for rows */
	int			limit;			/* rows of a range, at most */
	bool		skip_locked;	/* of a list */
	bool		is_whole;		/* a partition that went whole */

	RetCaptureBatch capture;	/* what triggers are told, and tell */

	/* results */
	bool		preparing;		/* failed before any row was touched */
	bool		leaf_is_gone;
	bool		gave_way;		/* ended early, since somebody waited for it */
	uint64		rows;			/* deleted from the leaf */
	uint64		cascaded;		/* deleted along with them */
	int64		deletion_id;	/* the record of the leaf's rows */
} RetBatch;

/* Rows of a leaf that would go, found without touching them. */
typedef struct RetSearch
{
	RetLeaf    *leaf;
	bool		by_index;		/* in the whole leaf, by the clock's index */
	const ItemPointerData *among;	/* else in a list */
	int			namong;
	ItemPointerData from;		/* else in a range */
	ItemPointerData to;
	int			limit;			/* 0: none */
	bool		unreferenced;	/* leave out what foreign keys hold */

	/* results, in the run's context; in the order of the heap */
	ItemPointerData *tids;
	int			ntids;
	int			nfound;			/* before leaving any out */
	ItemPointerData last;		/* of those found */
} RetSearch;

extern void ret_batch_delete(RetRun *run, void *batch);
extern void ret_search(RetRun *run, void *search);
extern Relation ret_batch_open(RetRun *run, RetLeaf *leaf, LOCKMODE lockmode,
							   List **keeps);
extern void ret_batch_add_place(RetQuery *query, RetBatch *batch);
extern void ret_batch_add_key(RetQuery *query, Relation rel);
extern int64 ret_batch_record(RetRun *run, Relation rel, const char *leaf,
							  const RetDigester *digester, List *columns);
extern void ret_batch_account(RetRun *run, uint64 rows);
extern void ret_batch_lock_timeout(void);

#endif							/* RET_BATCH_H */
