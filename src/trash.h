/*
 * trash.h
 *
 * Tables that have a trash.
 */
#ifndef RET_TRASH_H
#define RET_TRASH_H

#include "chunk.h"
#include "datatype/timestamp.h"
#include "shape.h"
#include "utils/relcache.h"

/* What the trash of a table is like, seen from one of its leaves. */
typedef struct RetTrash
{
	Oid			relid;			/* of the leaf; hash key */
	bool		is_valid;
	bool		is_enabled;		/* the rest is set only then */
	Oid			root;			/* the table that enable_trash() was called for */
	int32		relation_id;	/* of the root */
	Interval	keep;
	bool		allow_gaps;		/* on_capture_error = allow */

	/* what ret_trash_prepare() fills in */
	char	   *leaf_name;
	RetShape   *shape;			/* of the leaf; NULL: not prepared */
	RetKey		key;
	MemoryContext context;
} RetTrash;

extern RetTrash *ret_trash_find(Relation rel);
extern void ret_trash_prepare(RetTrash *trash, Relation rel);
extern void ret_trash_check(Relation rel);
extern bool ret_trash_enable_if_not(Oid relid);
extern TimestampTz ret_trash_purge_after(const RetTrash *trash,
										 TimestampTz deleted_at);

#endif							/* RET_TRASH_H */
