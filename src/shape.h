/*
 * shape.h
 *
 * Versions of a table's row type, and the codecs of their columns.
 */
#ifndef RET_SHAPE_H
#define RET_SHAPE_H

#include "executor/tuptable.h"
#include "image.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct RetShapeColumn
{
	AttrNumber	num;			/* in the table; 0: dropped since */
	char	   *name;			/* as it is called now */
	char	   *type_name;		/* with its modifier */
	char	   *signature;		/* of its codec */
	Oid			type;
	int32		typmod;
	bool		is_generated;
	RetCodec   *codec;
} RetShapeColumn;

typedef struct RetShape
{
	int64		shape_id;
	int32		relation_id;	/* of the table that the rows were in */
	int			ncolumns;
	RetShapeColumn *columns;
	RetCodec  **codecs;			/* those of the columns */
	bool		has_composite;
} RetShape;

extern RetShape *ret_shape_describe(Relation rel, List *columns);
extern void ret_shape_register(RetShape *shape, Oid relid);
extern RetShape *ret_shape_load(int64 shape_id);
extern void ret_shape_write(RetShape *shape, TupleTableSlot *slot,
							StringInfo image);
extern void ret_shape_read(RetShape *shape, RetBytes *image, Datum *values,
						   bool *nulls);
extern int *ret_shape_map(RetShape *shape, Relation rel);

#endif							/* RET_SHAPE_H */
