/*
 * tally.h
 *
 * How many rows this transaction has deleted, from which tables.
 */
#ifndef RET_TALLY_H
#define RET_TALLY_H

#include "nodes/pg_list.h"

/* Deleted rows of a table. */
typedef struct RetCount
{
	Oid			relid;
	int64		rows;
} RetCount;

extern List *ret_tally_add(List *counts, Oid relid, int64 rows);
extern int64 ret_tally_of(Oid relid);
extern List *ret_tally_all(void);

#endif							/* RET_TALLY_H */
