/*
 * cascade.h
 *
 * Foreign keys that point at a governed table, and the rows that go with a
 * row or hold it.
 */
#ifndef RET_CASCADE_H
#define RET_CASCADE_H

#include "nodes/pg_list.h"
#include "policy.h"
#include "storage/itemptr.h"

typedef struct RetForeignKey
{
	Oid			child;			/* the table that points; maybe partitioned */
	Oid			child_owner;
	char		delete_action;	/* FKCONSTR_ACTION_xxx */
	List	   *parent_columns; /* names, in the order of the key */
	List	   *child_columns;
	List	   *operators;		/* text: parent OPERATOR(...) child */
} RetForeignKey;

/* Rows of one table. */
typedef struct RetRows
{
	Oid			relid;			/* a leaf */
	Oid			root;			/* the table the foreign key names */
	int			ntids;
	int			maxtids;
	ItemPointerData *tids;
	int			parent;			/* index of the set they cascade from; -1 */
} RetRows;

extern List *ret_foreign_keys_to(Oid relid);
extern List *ret_cascade_edges(Oid relid);
extern void ret_cascade_check(const RetPolicy *policy, Oid relid,
							  bool accept_new);
extern List *ret_cascade_collect(Oid leaf, Oid owner,
								 ItemPointerData *tids, int ntids,
								 int64 limit);
extern int	ret_cascade_referenced(List *keys, Oid leaf, Oid owner,
								   ItemPointerData *tids, int ntids);

#endif							/* RET_CASCADE_H */
