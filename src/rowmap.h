/*
 * rowmap.h
 *
 * Rows of a shape as rows of the table as it is now.
 */
#ifndef RET_ROWMAP_H
#define RET_ROWMAP_H

#include "shape.h"
#include "utils/relcache.h"

typedef struct RetRowMap
{
	RetShape   *shape;
	TupleDesc	desc;			/* of the table as it is now */
	Oid			owner;			/* of the table */
	int		   *targets;		/* by column of the shape; 0: gone */
	FmgrInfo   *output;			/* set where the type has changed */
	FmgrInfo   *input;
	Oid		   *ioparams;
	bool	   *is_retyped;
	Datum	   *old_values;		/* of the row as it was */
	bool	   *old_nulls;
	Datum	   *values;			/* of the row as it would be now */
	bool	   *nulls;
	List	   *columns;		/* their numbers, but for generated ones */
	List	   *lost;			/* names of columns that are gone */
} RetRowMap;

extern RetRowMap *ret_rowmap_make(RetShape *shape, Relation rel);
extern void ret_rowmap_read(RetRowMap *map, RetBytes *image);

#endif							/* RET_ROWMAP_H */
