/*-------------------------------------------------------------------------
 *
 * links.c
 *		References that ON DELETE SET NULL or SET DEFAULT took away.
 *
 * When a row goes, such a foreign key overwrites the references of its
 * children, and no deletion tells of it. A row trigger of the parent, whose
 * name sorts before those of the foreign keys, still sees them. What it finds
 * are places of rows; they are read at the end of the command, as they were,
 * and kept in the trash beside the deletion: key and reference only.
 *
 * A restore puts a reference back where it is still empty.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "cascade.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "links.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "query.h"
#include "relation.h"
#include "restoring.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Rows of one child. */
typedef struct Child
{
	Oid			relid;			/* the leaf */
	Oid			root;			/* what the foreign key is on */
	List	   *columns;		/* of the references, String */
	List	   *tids;
} Child;

struct RetLinks
{
	MemoryContext context;
	Oid			parent;			/* foreign_keys are those to it */
	List	   *foreign_keys;	/* RetForeignKey, that set something */
	List	   *children;		/* Child */
};

/* ---------- capture ---------- */

static void
find_keys(RetLinks *links, Oid parent)
{
	ListCell   *lc;

	if (links->parent == parent)
		return;
	links->parent = parent;
	links->foreign_keys = NIL;
	foreach(lc, ret_foreign_keys_to(parent))
	{
		RetForeignKey *key = lfirst(lc);

		if (key->delete_action == FKCONSTR_ACTION_SETNULL ||
			key->delete_action == FKCONSTR_ACTION_SETDEFAULT)
			links->foreign_keys = lappend(links->foreign_keys, key);
	}
}

static Child *
find_child(RetLinks *links, Oid relid, RetForeignKey *key)
{
	Child	   *child;
	ListCell   *lc;

	foreach(lc, links->children)
	{
		child = lfirst(lc);
		if (child->relid == relid)
			return child;
	}
	child = palloc0(sizeof(Child));
	child->relid = relid;
	child->root = key->child;
	links->children = lappend(links->children, child);
	return child;
}

/*
 * Notes the rows that refer to a deleted one by a key.
 */
static void
add_children(RetLinks *links, RetForeignKey *key, HeapTuple deleted,
			 Relation parent)
{
	RetUser		saved;
	RetQuery	query;
	MemoryContext spi;
	ListCell   *p;
	ListCell   *c;
	ListCell   *o;
	bool		first = true;

	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT r.tableoid::bigint, r.ctid FROM %s AS r WHERE ",
				  ret_relation_name(key->child));
	forthree(p, key->parent_columns, c, key->child_columns, o, key->operators)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(parent), lfirst(p));
		bool		isnull;
		Datum		value = heap_getattr(deleted, attnum,
										 RelationGetDescr(parent), &isnull);

		if (isnull)
		{
			/* nothing refers to it */
			SPI_finish();
			return;
		}
		ret_query_add(&query, "%s%s %s r.%s", first ? "" : " AND ",
					  ret_query_param(&query, TupleDescAttr(RelationGetDescr(parent),
															attnum - 1)->atttypid, value),
					  (char *) lfirst(o), quote_identifier(lfirst(c)));
		first = false;
	}
	ret_become_owner(&saved, key->child_owner, NULL);
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);

	spi = MemoryContextSwitchTo(links->context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Child	   *child = find_child(links, (Oid) ret_result_int8(i, 1), key);
		ItemPointer tid = palloc(sizeof(ItemPointerData));
		bool		isnull;

		*tid = *(ItemPointer) DatumGetPointer(ret_result_datum(i, 2, &isnull));
		child->tids = lappend(child->tids, tid);
		foreach(c, key->child_columns)
			child->columns = list_append_unique(child->columns,
												makeString(pstrdup(lfirst(c))));
	}
	MemoryContextSwitchTo(spi);
	SPI_finish();
}

/*
 * Adds the references to the row that a row trigger is called for. The first
 * call makes the list, in the given memory context. Connects to SPI.
 */
RetLinks *
ret_links_add(RetLinks *links, TriggerData *trigger, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	ListCell   *lc;

	if (links == NULL)
	{
		links = palloc0(sizeof(RetLinks));
		links->context = context;
	}
	find_keys(links, RelationGetRelid(trigger->tg_relation));
	foreach(lc, links->foreign_keys)
		add_children(links, lfirst(lc), trigger->tg_trigtuple,
					 trigger->tg_relation);
	MemoryContextSwitchTo(caller);
	return links;
}

static void
write_child(Child *child, const RetTrashWriter *parent)
{
	Relation	rel = table_open(child->relid, AccessShareLock);
	List	   *columns = ret_relation_key(rel);
	RetTrashWriter writer;
	RetShape   *shape;
	RetKey		key;
	TupleTableSlot *slot;
	ListCell   *lc;

	foreach(lc, child->columns)
		columns = list_append_unique_int(columns,
										 get_attnum(child->relid, strVal(lfirst(lc))));
	shape = ret_shape_describe(rel, columns);
	ret_shape_register(shape, child->relid);
	ret_key_init(&key, rel);

	memset(&writer, 0, sizeof(writer));
	writer.record.deletion_id = parent->root_id;
	writer.shape = shape;
	writer.key = &key;
	writer.relation_id = ret_register(child->root);
	writer.purge_after = parent->purge_after;
	writer.is_link = true;
	ret_trash_writer_begin(&writer);
	slot = table_slot_create(rel, NULL);
	foreach(lc, child->tids)
	{
		/* as it was: the version that the foreign key has replaced */
		if (!table_tuple_fetch_row_version(rel, lfirst(lc), SnapshotAny, slot))
			elog(ERROR, "a row of %s that refers to a deleted one has vanished",
				 RelationGetRelationName(rel));
		ret_trash_writer_add(&writer, slot);
		ExecClearTuple(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	ret_trash_writer_end(&writer);
	table_close(rel, AccessShareLock);
}

/*
 * Puts the references into the trash, beside the rows that they referred to.
 */
void
ret_links_write(RetLinks *links, const RetTrashWriter *parent)
{
	ListCell   *lc;

	foreach(lc, links->children)
		write_child(lfirst(lc), parent);
	links->children = NIL;
}

/* ---------- restore ---------- */

/*
 * Puts back the references of some rows of one child.
 */
static void
restore_child(RetPiece *pieces, int npieces)
{
	RetSource	source = {0};
	Relation	rel;
	RetUser		saved;
	RetQuery	query;
	List	   *statements = NIL;
	ListCell   *lc;

	source.relid = ret_registered_relid(pieces->relation_id);
	rel = OidIsValid(source.relid) ?
		try_table_open(source.relid, RowExclusiveLock) : NULL;
	if (rel == NULL)
		return;
	if (!ret_user_governs(GetUserId(), rel->rd_rel->relowner))
	{
		ereport(WARNING,
				(errmsg("references of %s are not put back, as it belongs to another owner",
						ret_relation_name(source.relid))));
		table_close(rel, NoLock);
		return;
	}
	ret_relation_check(rel, rel->rd_rel->relowner);
	ret_relation_check_leaves(source.relid, RowExclusiveLock);
	source.map = ret_rowmap_make(ret_shape_load(pieces->shape_id), rel);
	source.pieces = pieces;
	source.npieces = npieces;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._relink_statements(%s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(source.relid)));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		statements = lappend(statements, ret_result_text(i, 1));
	ret_restore_user(&saved);

	ret_become_owner(&saved, rel->rd_rel->relowner, NULL);
	ret_restoring(&source);
	foreach(lc, statements)
		if (SPI_execute(lfirst(lc), false, 0) < 0)
			elog(ERROR, "could not execute: %s", (char *) lfirst(lc));
	ret_restoring(NULL);
	ret_restore_user(&saved);
	SPI_finish();
	table_close(rel, NoLock);
}

/*
 * Puts back the references that a deletion took away, where they are still
 * empty and what they refer to is there again. Connects to SPI.
 */
void
ret_links_restore(int64 deletion_id)
{
	RetPiece   *pieces;
	int64		nrows;
	int			npieces = ret_pieces_find(deletion_id, -1, true, &pieces,
										  &nrows);
	int			from = 0;

	for (int i = 1; i <= npieces; i++)
	{
		if (i < npieces && pieces[i].shape_id == pieces[from].shape_id)
			continue;
		restore_child(pieces + from, i - from);
		from = i;
	}
}
