/*
 * partition.h
 *
 * Partitions that go whole.
 */
#ifndef RET_PARTITION_H
#define RET_PARTITION_H

#include "run.h"

extern bool ret_partition_take(RetRun *run, RetLeaf *leaf);

#endif							/* RET_PARTITION_H */
