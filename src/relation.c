/*-------------------------------------------------------------------------
 *
 * relation.c
 *		Tables as they are now: may they be governed, what are their leaves,
 *		what identifies a row.
 *
 * ret_relation_check() is called when a policy is made and again under the
 * lock of every batch, because a table can become what it was not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "query.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * The owner of a relation; InvalidOid when it is gone.
 */
Oid
ret_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * The name of a relation, qualified and quoted; NULL when it is gone.
 */
char *
ret_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		return NULL;
	return quote_qualified_identifier(
									  get_namespace_name(get_rel_namespace(relid)),
									  name);
}

/*
 * Whether anything hangs on a table that retention._foreign_code() looks at.
 * Most tables have nothing of it, and the relation cache knows.
 */
static bool
has_code(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(RelationGetRelid(rel)));
	bool		has_acl = HeapTupleIsValid(tuple) &&
		!heap_attisnull(tuple, Anum_pg_class_relacl, NULL);
	ListCell   *lc;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (has_acl || rel->trigdesc || rel->rd_rsdesc ||
		(constr && (constr->num_check > 0 || constr->num_defval > 0)) ||
		RelationGetStatExtList(rel) != NIL)
		return true;
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), i);

		if (!attr->attisdropped &&
			get_typtype(attr->atttypid) == TYPTYPE_DOMAIN)
			return true;
	}
	foreach(lc, RelationGetIndexList(rel))
	{
		bool		plain;

		tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		if (!HeapTupleIsValid(tuple))
			continue;
		plain = heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
		ReleaseSysCache(tuple);
		if (!plain)
			return true;
	}
	return false;
}

static bool
has_delete_rule(Relation rel)
{
	if (rel->rd_rules == NULL)
		return false;
	for (int i = 0; i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event == CMD_DELETE)
			return true;
	return false;
}

static void
refuse(Relation rel, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" cannot be governed: %s",
					RelationGetRelationName(rel), reason),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Errors when a superuser's table runs code that others can write: whoever
 * holds TRIGGER on it, and whoever owns a function that one of its triggers,
 * indexes, checks, defaults or policies calls. Caller must hold a lock on the
 * table and not be in the sandbox.
 */
void
ret_relation_check_code(Relation rel)
{
	char	   *code;

	if (superuser_arg(rel->rd_rel->relowner) && has_code(rel) &&
		(code = ret_ask_about(RelationGetRelid(rel), "_foreign_code")) != NULL)
		refuse(rel, psprintf("it is owned by a superuser, and %s", code),
			   "Give the table to an ordinary role with ALTER TABLE ... OWNER TO.");
}

/*
 * Errors unless the rows of a table can be governed safely. The owner is that
 * of the table that the policy is on; a partition or child must have the same.
 * Caller must hold a lock on the table and not be in the sandbox.
 */
void
ret_relation_check(Relation rel, Oid owner)
{
	Oid			relid = RelationGetRelid(rel);

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
			refuse(rel, "it is a view",
				   "Make the policy on the table that holds the rows.");
			break;
		case RELKIND_FOREIGN_TABLE:
			refuse(rel, "it is a foreign table",
				   "Make the policy in the database that holds the rows.");
			break;
		default:
			refuse(rel, "it is not a table", NULL);
	}
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse(rel, "it is a temporary table", NULL);
	if (IsCatalogRelation(rel) || relid < FirstNormalObjectId)
		refuse(rel, "it is a system table", NULL);
	if (OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		refuse(rel, "it belongs to an extension", NULL);
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		refuse(rel, "its access method is not heap", NULL);
	if (has_delete_rule(rel))
		refuse(rel, "it has a rule on DELETE",
			   "Replace the rule with a trigger.");
	if (rel->rd_rel->relowner != owner)
		refuse(rel, "it has another owner than the table it is a part of",
			   "Give both the same owner with ALTER TABLE ... OWNER TO.");
	ret_relation_check_code(rel);
}

/*
 * The tables that hold the rows of a relation: itself, its partitions, its
 * inheritance children, at any depth. Locks them in AccessShareLock, in the
 * order in which PostgreSQL does. Partitioned tables hold no rows; everything
 * else is listed and left to ret_relation_check().
 */
List *
ret_relation_leaves(Oid relid)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	}
	return leaves;
}

/*
 * Locks a table with all its parts and checks that their rows can be governed
 * safely.
 */
void
ret_relation_check_leaves(Oid relid, LOCKMODE lockmode)
{
	ListCell   *lc;

	LockRelationOid(relid, lockmode);
	foreach(lc, ret_relation_leaves(relid))
	{
		Relation	rel = relation_open(lfirst_oid(lc), lockmode);

		ret_relation_check(rel, ret_relation_owner(relid));
		relation_close(rel, NoLock);
	}
}

/*
 * A relation and all that it is a partition or a child of.
 */
List *
ret_relation_ancestors(Oid relid)
{
	List	   *found = list_make1_oid(relid);
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(found); i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(list_nth_oid(found, i)));
		scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true,
								  NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			found = list_append_unique_oid(found,
										   ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
		systable_endscan(scan);
	}
	table_close(inherits, AccessShareLock);
	return found;
}

/*
 * The columns of the primary key; else of the replica identity; else all.
 * Returns attribute numbers in the order of the index.
 */
List *
ret_relation_key(Relation rel)
{
	List	   *key = NIL;
	Oid			index = InvalidOid;
	ListCell   *lc;

	/* also finds out rd_replidindex */
	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));

		if (HeapTupleIsValid(tuple))
		{
			Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

			if (form->indisprimary && form->indisvalid)
				index = lfirst_oid(lc);
			ReleaseSysCache(tuple);
		}
	}
	if (!OidIsValid(index))
		index = rel->rd_replidindex;

	if (OidIsValid(index))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(index));
		Form_pg_index form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", index);
		form = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < form->indnkeyatts; i++)
			key = lappend_int(key, form->indkey.values[i]);
		ReleaseSysCache(tuple);
	}
	else
	{
		TupleDesc	desc = RelationGetDescr(rel);

		for (int i = 0; i < desc->natts; i++)
			/* virtual columns (PostgreSQL 18) are not in the row */
			if (!TupleDescAttr(desc, i)->attisdropped &&
				TupleDescAttr(desc, i)->attgenerated != 'v')
				key = lappend_int(key, i + 1);
	}
	return key;
}

/*
 * The names of the columns of ret_relation_key().
 */
List *
ret_relation_key_names(Relation rel)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, ret_relation_key(rel))
		names = lappend(names, pstrdup(NameStr(
											   TupleDescAttr(RelationGetDescr(rel),
															 lfirst_int(lc) - 1)->attname)));
	return names;
}

/*
 * Takes a key that came as text[] apart, into as many values as the key has
 * columns; errors when there are more or fewer.
 */
void
ret_relation_split_key(Relation rel, ArrayType *key, Datum **texts,
					   bool **nulls)
{
	int			ncolumns = list_length(ret_relation_key(rel));
	int			ntexts;

	deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, texts, nulls,
					  &ntexts);
	if (ntexts != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of \"%s\" has %d columns, %d values were given",
						RelationGetRelationName(rel), ncolumns, ntexts),
				 errdetail("It is (%s).",
						   ret_join_strings(ret_relation_key_names(rel), ", "))));
}

/*
 * Whether any foreign key points at the table.
 */
bool
ret_relation_is_referenced(Relation rel)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		if (RI_FKey_trigger_type(rel->trigdesc->triggers[i].tgfoid) ==
			RI_TRIGGER_PK)
			return true;
	return false;
}

/*
 * How many foreign keys that point at the table cascade a DELETE.
 */
int
ret_relation_cascades(Relation rel)
{
	int			count = 0;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		if (rel->trigdesc->triggers[i].tgfoid == F_RI_FKEY_CASCADE_DEL)
			count++;
	return count;
}

/*
 * Whether a trigger may keep single rows from being deleted.
 */
bool
ret_relation_has_row_trigger(Relation rel)
{
	return rel->trigdesc && rel->trigdesc->trig_delete_before_row;
}

/*
 * Whether a trigger sees an UPDATE of a row before it happens.
 */
bool
ret_relation_has_update_trigger(Relation rel)
{
	return rel->trigdesc && rel->trigdesc->trig_update_before_row;
}

/*
 * Whether a trigger is one of those that put rows into the trash.
 */
static bool
is_own(const Trigger *trigger)
{
	char	   *namespace = get_namespace_name(get_func_namespace(trigger->tgfoid));

	return namespace && strcmp(namespace, "retention") == 0;
}

/*
 * Whether any trigger of a user sees the deletion of rows, so that the rows
 * may not vanish without a DELETE.
 */
bool
ret_relation_has_delete_trigger(Relation rel)
{
	if (rel->trigdesc == NULL)
		return false;
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal && TRIGGER_FOR_DELETE(trigger->tgtype) &&
			!is_own(trigger))
			return true;
	}
	return false;
}
