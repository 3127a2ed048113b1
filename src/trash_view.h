/*
 * trash_view.h
 *
 * Looking into the trash, by the rights on the table.
 */
#ifndef RET_TRASH_VIEW_H
#define RET_TRASH_VIEW_H

#include "shape.h"
#include "utils/relcache.h"

/* What the present user may see of the trashed rows of a table. */
typedef struct RetSight RetSight;

extern RetSight *ret_sight_make(Relation rel, bool asks_for_table);
extern bool ret_sight_is_blind(RetSight *sight);
extern void ret_sight_check_columns(RetSight *sight, Relation rel);
extern bool ret_sight_sees(RetSight *sight, RetShape *shape, const int *map,
						   Datum *values, bool *nulls);
extern bool ret_sight_sees_column(RetSight *sight, int attnum);

#endif							/* RET_TRASH_VIEW_H */
