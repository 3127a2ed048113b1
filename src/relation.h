/*
 * relation.h
 *
 * Tables as they are now: may they be governed, what are their leaves, what
 * identifies a row.
 */
#ifndef RET_RELATION_H
#define RET_RELATION_H

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/array.h"
#include "utils/relcache.h"

extern Oid	ret_relation_owner(Oid relid);
extern char *ret_relation_name(Oid relid);
extern void ret_relation_check(Relation rel, Oid owner);
extern void ret_relation_check_code(Relation rel);
extern void ret_relation_check_leaves(Oid relid, LOCKMODE lockmode);
extern List *ret_relation_leaves(Oid relid);
extern List *ret_relation_ancestors(Oid relid);
extern List *ret_relation_key(Relation rel);
extern List *ret_relation_key_names(Relation rel);
extern void ret_relation_split_key(Relation rel, ArrayType *key,
								   Datum **texts, bool **nulls);
extern bool ret_relation_is_referenced(Relation rel);
extern int	ret_relation_cascades(Relation rel);
extern bool ret_relation_has_row_trigger(Relation rel);
extern bool ret_relation_has_update_trigger(Relation rel);
extern bool ret_relation_has_delete_trigger(Relation rel);

#endif							/* RET_RELATION_H */
