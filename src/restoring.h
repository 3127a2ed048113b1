/*
 * restoring.h
 *
 * Rows of the trash as a source for statements.
 */
#ifndef RET_RESTORING_H
#define RET_RESTORING_H

#include "query.h"
#include "rowmap.h"
#include "storage/itemptr.h"
#include "trash_view.h"

/* Some rows in the trash: a chunk, or one row of it. */
typedef struct RetPiece
{
	Oid			table;			/* where the chunk is */
	ItemPointerData tid;
	int64		deletion_id;
	int32		relation_id;
	int64		shape_id;
	int			first;			/* row of the deletion */
	int			rows;			/* of the chunk */
	int			from;			/* rows of the chunk that are meant */
	int			to;				/* exclusive */
	int64		number;			/* of its first row among all */
} RetPiece;

/* What retention._restoring() returns. */
typedef struct RetSource
{
	Oid			relid;			/* rows of this table */
	RetRowMap  *map;
	RetSight   *sight;			/* NULL: sees all */
	bool		hides;			/* rows not seen are left out; else an error */
	RetPiece   *pieces;
	int			npieces;
	bool		(*goes) (int64 number, void *arg);	/* NULL: all rows */
	void	   *arg;
	int64		nread;			/* result: how many rows it gave */
} RetSource;

extern int	ret_pieces_find(int64 deletion_id, int row, bool links,
							RetPiece **pieces, int64 *nrows);
extern int	ret_pieces_list(RetQuery *conditions, RetPiece **pieces);
extern void ret_restoring(RetSource *source);

#endif							/* RET_RESTORING_H */
