/*
 * parked.h
 *
 * Dropped tables that wait in the trash.
 */
#ifndef RET_PARKED_H
#define RET_PARKED_H

#include "nodes/pg_list.h"
#include "trash.h"

/* A table that waits. */
typedef struct RetParked
{
	int64		deletion_id;	/* of its own record */
	int32		relation_id;
	Oid			relid;			/* InvalidOid: it is gone */
	List	   *lost;			/* strings: what it was dropped with */
	List	   *places;			/* strings: the schemas it waits in */
} RetParked;

extern int64 ret_parked_park(Oid relid, const RetTrash *trash,
							 const char *command, int64 root_id);
extern List *ret_parked_find(int64 deletion_id, bool whole_command);
extern bool ret_parked_is(int32 relation_id);
extern void ret_parked_restore(List *tables, bool skips);
extern int64 ret_parked_purge(int64 deletion_id);
extern bool ret_parked_is_purging(void);

#endif							/* RET_PARKED_H */
