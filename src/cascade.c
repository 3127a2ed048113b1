/*-------------------------------------------------------------------------
 *
 * cascade.c
 *		Foreign keys that point at a governed table, and the rows that go with
 *		a row or hold it.
 *
 * ON DELETE CASCADE deletes behind the back of the statement that causes it:
 * nobody is told which rows. So a batch of a table with cascading children
 * locks its rows, then collects and locks all that hangs on them, to any
 * depth. With the parents locked no child can be added meanwhile, so what was
 * collected is what the cascade will take.
 *
 * Keys are read as the owner of the parent, children as the owner of the
 * child, as PostgreSQL's own foreign key triggers do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "cascade.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "expr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * The foreign keys that point at a table, RetForeignKey each. For a partition
 * these are its parts of the keys that point at what it is a partition of.
 * Connects to SPI.
 */
List *
ret_foreign_keys_to(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	RetUser		saved;
	RetQuery	query;
	List	   *keys = NIL;

	SPI_connect();
	spi = CurrentMemoryContext;
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT child::oid::bigint, child_owner::bigint,"
				  " delete_action, parent_columns, child_columns, operators"
				  " FROM retention._foreign_keys_to(%s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		RetForeignKey *key = palloc0(sizeof(RetForeignKey));

		key->child = (Oid) ret_result_int8(i, 1);
		key->child_owner = (Oid) ret_result_int8(i, 2);
		key->delete_action = ret_result_text(i, 3)[0];
		key->parent_columns = ret_result_texts(i, 4);
		key->child_columns = ret_result_texts(i, 5);
		key->operators = ret_result_texts(i, 6);
		keys = lappend(keys, key);
	}
	MemoryContextSwitchTo(spi);
	ret_restore_user(&saved);
	SPI_finish();
	return keys;
}

/*
 * All that goes with the rows of a table, as strings 'table (columns)'.
 */
List *
ret_cascade_edges(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	RetUser		saved;
	RetQuery	query;
	List	   *edges = NIL;

	SPI_connect();
	spi = CurrentMemoryContext;
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT DISTINCT edge FROM retention._cascade_edges(%s)"
				  " WHERE delete_action = 'c' ORDER BY edge",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		edges = lappend(edges, ret_result_text(i, 1));
	MemoryContextSwitchTo(spi);
	ret_restore_user(&saved);
	SPI_finish();
	return edges;
}

/*
 * Errors when a table that goes or changes along cannot be deleted from
 * safely, or when a superuser's table would run code of others: the foreign
 * key acts as the owner of the child.
 */
static void
check_children(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	List	   *cascading = NIL;
	List	   *changing = NIL;
	ListCell   *lc;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT DISTINCT child::oid::bigint, (delete_action = 'c')::int::int8"
				  " FROM retention._cascade_edges(%s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Oid			child = (Oid) ret_result_int8(i, 1);

		if (ret_result_int8(i, 2) != 0)
			cascading = lappend_oid(cascading, child);
		else
			changing = lappend_oid(changing, child);
	}
	ret_restore_user(&saved);
	SPI_finish();

	foreach(lc, cascading)
		ret_relation_check_leaves(lfirst_oid(lc), AccessShareLock);
	foreach(lc, changing)
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);

		if (rel == NULL)
			continue;
		ret_relation_check_code(rel);
		relation_close(rel, NoLock);
	}
}

/*
 * Errors when rows of a table would take others along that nobody agreed to:
 * by an edge that is not among the accepted ones (unless accept_new), or into
 * a table of another owner without his consent.
 */
void
ret_cascade_check(const RetPolicy *policy, Oid relid, bool accept_new)
{
	ListCell   *lc;
	char	   *child = ret_ask_about(relid, "_missing_consent");

	if (child)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("deleting from %s would also delete rows of %s, which has another owner",
						ret_relation_name(relid), child),
				 errhint("Its owner can agree with: SELECT retention.allow_cascade(%s, %s)",
						 quote_literal_cstr(child),
						 quote_literal_cstr(ret_relation_name(relid)))));
	check_children(relid);
	if (accept_new)
		return;
	foreach(lc, ret_cascade_edges(relid))
	{
		char	   *edge = lfirst(lc);
		bool		known = false;
		ListCell   *lc2;

		foreach(lc2, policy->cascades)
			known |= strcmp(lfirst(lc2), edge) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("rows of %s would be deleted too: the foreign key is new",
							edge),
					 errhint("If that is wanted, call retention.resume_policy().")));
	}
}

/*
 * Reads the keys of rows of a table, as its owner, into parameters of a query
 * that will join them: returns "unnest($1, $2, ...) AS k(t, k1, ...)", where
 * t is the ctid. Caller must be connected to SPI.
 */
static char *
join_keys(RetQuery *query, RetForeignKey *key, Oid leaf, Oid owner,
		  const ItemPointerData *tids, int ntids)
{
	RetUser		saved;
	RetQuery	read;
	StringInfoData arrays;
	StringInfoData names;
	int			i = 0;
	ListCell   *lc;

	initStringInfo(&arrays);
	initStringInfo(&names);
	ret_query_init(&read);
	ret_query_add(&read, "SELECT array_agg(ctid)");
	foreach(lc, key->parent_columns)
		ret_query_add(&read, ", array_agg(%s)", quote_identifier(lfirst(lc)));
	ret_query_add(&read, " FROM ONLY %s WHERE ctid = ANY (%s)",
				  ret_relation_name(leaf),
				  ret_query_tids(&read, tids, ntids));

	ret_become_owner(&saved, owner, NULL);
	ret_query_run(&read, false, 0, NULL);
	ret_restore_user(&saved);

	for (i = 0; i <= list_length(key->parent_columns); i++)
	{
		bool		isnull;
		Datum		array = ret_result_datum(0, i + 1, &isnull);
		Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, i + 1);

		appendStringInfo(&arrays, "%s%s", i > 0 ? ", " : "",
						 isnull ? ret_query_null(query, type) :
						 ret_query_param(query, type, array));
		if (i > 0)
			appendStringInfo(&names, ", k%d", i);
	}
	return psprintf("unnest(%s) AS k(t%s)", arrays.data, names.data);
}

/*
 * "the child's columns are the parent's key", for the row c and the key k.
 */
static char *
join_condition(RetForeignKey *key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < list_length(key->child_columns); i++)
		appendStringInfo(&sql, "%sk.k%d %s " RET_ROW ".%s",
						 i > 0 ? " AND " : "", i + 1,
						 (char *) list_nth(key->operators, i),
						 quote_identifier(list_nth(key->child_columns, i)));
	return sql.data;
}

/*
 * Keeps of some rows those that no other row refers to by a foreign key
 * without CASCADE. Reorders "tids" and returns how many are left at its
 * front. Caller must be connected to SPI.
 */
int
ret_cascade_referenced(List *keys, Oid leaf, Oid owner,
					   ItemPointerData *tids, int ntids)
{
	ListCell   *lc;

	foreach(lc, keys)
	{
		RetForeignKey *key = lfirst(lc);
		RetUser		saved;
		RetQuery	query;
		char	   *keyset;
		int			left = 0;

		if ((key->delete_action != FKCONSTR_ACTION_NOACTION &&
			 key->delete_action != FKCONSTR_ACTION_RESTRICT) || ntids == 0)
			continue;

		ret_query_init(&query);
		keyset = join_keys(&query, key, leaf, owner, tids, ntids);
		ret_query_add(&query,
					  "SELECT k.t FROM %s WHERE NOT EXISTS (SELECT FROM %s AS "
					  RET_ROW " WHERE %s) ORDER BY k.t",
					  keyset, ret_relation_name(key->child),
					  join_condition(key));
		ret_become_owner(&saved, key->child_owner, NULL);
		ret_query_run(&query, false, 0, NULL);
		ret_restore_user(&saved);

		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			Datum		tid = ret_result_datum(i, 1, &isnull);

			tids[left++] = *(ItemPointer) DatumGetPointer(tid);
		}
		ntids = left;
		SPI_freetuptable(SPI_tuptable);
	}
	return ntids;
}

/* Whether a row was collected already. */
typedef struct SeenKey
{
	Oid			relid;
	ItemPointerData tid;
} SeenKey;

/*
 * A destination for rows (tableoid, ctid): the rows that cascade, by table.
 */
typedef struct Collection
{
	DestReceiver receiver;
	MemoryContext context;		/* of the sets, which outlive the query */
	List	   *sets;			/* RetRows; the first are the parents */
	HTAB	   *seen;			/* SeenKey */
	int64		limit;			/* rows; 0: none */
	Oid			root;			/* what the foreign key in hand names */
	int			parent;			/* the set it starts from */
} Collection;

/*
 * Adds a row to the set of its table, once. The first set takes no more.
 */
static void
collect_row(Collection *collection, Oid relid, ItemPointer tid)
{
	SeenKey		key;
	bool		found;
	RetRows    *rows = NULL;

	memset(&key, 0, sizeof(key));
	key.relid = relid;
	key.tid = *tid;
	(void) hash_search(collection->seen, &key, HASH_ENTER, &found);
	if (found)
		return;
	if (collection->limit > 0 &&
		hash_get_num_entries(collection->seen) > collection->limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more rows cascade than fit into one batch")));

	for (int i = 1; i < list_length(collection->sets); i++)
	{
		rows = list_nth(collection->sets, i);
		if (rows->relid == relid)
			break;
		rows = NULL;
	}
	if (rows == NULL)
	{
		rows = palloc0(sizeof(RetRows));
		rows->relid = relid;
		rows->root = collection->root;
		rows->parent = collection->parent;
		rows->maxtids = 64;
		rows->tids = palloc(rows->maxtids * sizeof(ItemPointerData));
		collection->sets = lappend(collection->sets, rows);
	}
	if (rows->ntids == rows->maxtids)
	{
		rows->maxtids *= 2;
		rows->tids = repalloc_huge(rows->tids,
								   rows->maxtids * sizeof(ItemPointerData));
	}
	rows->tids[rows->ntids++] = *tid;
}

static bool
collection_receive(TupleTableSlot *slot, DestReceiver *self)
{
	bool		isnull;
	Datum		relid = slot_getattr(slot, 1, &isnull);
	Datum		tid = slot_getattr(slot, 2, &isnull);
	MemoryContext executor;

	executor = MemoryContextSwitchTo(((Collection *) self)->context);
	collect_row((Collection *) self, DatumGetObjectId(relid),
				(ItemPointer) DatumGetPointer(tid));
	MemoryContextSwitchTo(executor);
	return true;
}

/*
 * Locks and collects the rows that refer to some rows by one foreign key.
 */
static void
collect_children(Collection *collection, RetForeignKey *key, Oid owner,
				 const ItemPointerData *tids, int ntids)
{
	RetRows    *parents = list_nth(collection->sets, collection->parent);
	RetUser		saved;
	RetQuery	query;
	char	   *keyset;

	ret_relation_check_leaves(key->child, RowExclusiveLock);
	ret_query_init(&query);
	keyset = join_keys(&query, key, parents->relid, owner, tids, ntids);
	ret_query_add(&query,
				  "SELECT " RET_ROW ".tableoid, " RET_ROW ".ctid FROM %s AS "
				  RET_ROW ", %s WHERE %s FOR UPDATE OF " RET_ROW,
				  ret_relation_name(key->child), keyset,
				  join_condition(key));
	collection->root = key->child;
	ret_become_owner(&saved, key->child_owner, NULL);
	ret_query_run(&query, false, 0, &collection->receiver);
	ret_restore_user(&saved);
}

/*
 * Collects some rows of a leaf and all that goes with them, as RetRows by
 * leaf. The first is what was given; every other set comes after the one it
 * cascades from. All but the first are locked here; the caller has locked
 * those, and asks about keep policies. More rows than "limit" are an error
 * (0: no limit). Caller must be connected to SPI.
 */
List *
ret_cascade_collect(Oid leaf, Oid owner, ItemPointerData *tids, int ntids,
					int64 limit)
{
	Collection	collection = {.limit = limit,.context = CurrentMemoryContext};
	RetRows		given = {.relid = leaf,.root = leaf,.parent = -1,.tids = tids,
		.ntids = ntids,.maxtids = ntids};
	HASHCTL		control = {0};
	List	   *done = NIL;		/* how many rows of each set were followed */

	control.keysize = sizeof(SeenKey);
	control.entrysize = sizeof(SeenKey);
	control.hcxt = CurrentMemoryContext;
	ret_receiver_init(&collection.receiver, collection_receive);
	collection.seen = hash_create("rows that cascade", 1024, &control,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < ntids; i++)
	{
		SeenKey		key;

		memset(&key, 0, sizeof(key));
		key.relid = leaf;
		key.tid = tids[i];
		(void) hash_search(collection.seen, &key, HASH_ENTER, NULL);
	}
	collection.sets = list_make1(memcpy(palloc(sizeof(RetRows)), &given,
										sizeof(RetRows)));

	/* sets and their rows grow while they are walked */
	for (bool again = true; again;)
	{
		again = false;
		for (int i = 0; i < list_length(collection.sets); i++)
		{
			RetRows    *rows = list_nth(collection.sets, i);
			int			from;
			int			to = rows->ntids;
			ListCell   *lc;

			if (i == list_length(done))
				done = lappend_int(done, 0);
			from = list_nth_int(done, i);
			if (from == to)
				continue;
			again = true;
			lfirst_int(list_nth_cell(done, i)) = to;

			foreach(lc, ret_foreign_keys_to(rows->relid))
			{
				RetForeignKey *key = lfirst(lc);

				collection.parent = i;
				if (key->delete_action == FKCONSTR_ACTION_CASCADE)
					collect_children(&collection, key, i == 0 ? owner :
									 ret_relation_owner(rows->relid),
									 rows->tids + from, to - from);
			}
		}
	}
	hash_destroy(collection.seen);
	return collection.sets;
}
