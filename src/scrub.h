/*
 * scrub.h
 *
 * Personal data of rows that are due is replaced.
 */
#ifndef RET_SCRUB_H
#define RET_SCRUB_H

#include "run.h"

extern void ret_batch_scrub(RetRun *run, void *batch);
extern uint64 ret_scrub_rows(RetPolicy *policy, Relation rel, List *keeps,
							 const ItemPointerData *tids, int ntids,
							 const uint8 *digest_key, StringInfo digests);
extern void ret_scrub_begin(RetRun *run);
extern void ret_scrub_finish(RetRun *run);

#endif							/* RET_SCRUB_H */
