/*-------------------------------------------------------------------------
 *
 * rowmap.c
 *		Rows of a shape as rows of the table as it is now.
 *
 * A column that was renamed is followed. One whose type has changed is
 * converted by way of its text, as a dump would. One that was dropped is
 * named; one that was added is left to its default by whoever inserts the
 * row. A generated column is computed anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rowmap.h"
#include "sandbox.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static void
add_conversion(RetRowMap *map, int c, Form_pg_attribute attr)
{
	Oid			function;
	bool		is_varlena;

	map->is_retyped[c] = true;
	getTypeOutputInfo(map->shape->columns[c].type, &function, &is_varlena);
	fmgr_info(function, &map->output[c]);
	getTypeInputInfo(attr->atttypid, &function, &map->ioparams[c]);
	fmgr_info(function, &map->input[c]);
}

/*
 * Prepares to read rows of a shape for a table. In the current memory context.
 */
RetRowMap *
ret_rowmap_make(RetShape *shape, Relation rel)
{
	RetRowMap  *map = palloc0(sizeof(RetRowMap));
	int			natts = RelationGetNumberOfAttributes(rel);
	int			n = Max(shape->ncolumns, 1);

	map->shape = shape;
	map->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	map->owner = rel->rd_rel->relowner;
	map->targets = ret_shape_map(shape, rel);
	map->output = palloc0(sizeof(FmgrInfo) * n);
	map->input = palloc0(sizeof(FmgrInfo) * n);
	map->ioparams = palloc0(sizeof(Oid) * n);
	map->is_retyped = palloc0(sizeof(bool) * n);
	map->old_values = palloc(sizeof(Datum) * n);
	map->old_nulls = palloc(sizeof(bool) * n);
	map->values = palloc(sizeof(Datum) * Max(natts, 1));
	map->nulls = palloc(sizeof(bool) * Max(natts, 1));
	for (int c = 0; c < shape->ncolumns; c++)
	{
		RetShapeColumn *column = &shape->columns[c];
		Form_pg_attribute attr;

		if (map->targets[c] == 0)
		{
			map->lost = lappend(map->lost, column->name);
			continue;
		}
		attr = TupleDescAttr(map->desc, map->targets[c] - 1);
		if (attr->atttypid != column->type || attr->atttypmod != column->typmod)
			add_conversion(map, c, attr);
		if (!attr->attgenerated)
			map->columns = lappend_int(map->columns, attr->attnum);
	}
	return map;
}

/*
 * A value in the type that its column has now. Checks of a domain are code of
 * the table's owner.
 */
static Datum
convert(RetRowMap *map, int c, Datum value)
{
	RetUser		saved;

	ret_become_owner(&saved, map->owner, NULL);
	value = InputFunctionCall(&map->input[c],
							  OutputFunctionCall(&map->output[c], value),
							  map->ioparams[c],
							  TupleDescAttr(map->desc, map->targets[c] - 1)->atttypmod);
	ret_restore_user(&saved);
	return value;
}

/*
 * Reads a row: as it was into old_values, as it would be now into values.
 * Errors when a value does not fit the type that its column has now.
 */
void
ret_rowmap_read(RetRowMap *map, RetBytes *image)
{
	memset(map->nulls, true, map->desc->natts);
	ret_shape_read(map->shape, image, map->old_values, map->old_nulls);
	for (int c = 0; c < map->shape->ncolumns; c++)
	{
		int			target = map->targets[c] - 1;
		Datum		value = map->old_values[c];

		if (target < 0 || map->old_nulls[c])
			continue;
		if (map->is_retyped[c])
			value = convert(map, c, value);
		map->values[target] = value;
		map->nulls[target] = false;
	}
}
