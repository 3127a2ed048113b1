/*
 * path.h
 *
 * The ways through a table.
 */
#ifndef RET_PATH_H
#define RET_PATH_H

#include "run.h"

extern void ret_path_walk(RetRun *run, RetLeaf *leaf);

#endif							/* RET_PATH_H */
