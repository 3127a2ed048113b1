/*
 * estimate.h
 *
 * How much is due, before anything is deleted.
 */
#ifndef RET_ESTIMATE_H
#define RET_ESTIMATE_H

#include "run.h"

extern bool ret_index_is_better(RetRun *run, RetLeaf *leaf);
extern void ret_guard_fraction(RetRun *run);
extern char *ret_clock_column(const RetPolicy *policy);

#endif							/* RET_ESTIMATE_H */
