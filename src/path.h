/*
 * path.h
 *
 * The ways through a table.
 */
#ifndef RET_PATH_H
#define RET_PATH_H

#include "batch.h"
#include "run.h"

extern void ret_pace(RetRun *run, const RetBatch *batch, int64 blocks_done);
extern void ret_path_walk(RetRun *run, RetLeaf *leaf);

#endif							/* RET_PATH_H */
