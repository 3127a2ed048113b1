/*-------------------------------------------------------------------------
 *
 * trash_view.c
 *		Looking into the trash, by the rights on the table.
 *
 * A role sees a row in the trash only if it could have read it in the table:
 * by the grants on the table and its columns, and by its row level security.
 * The policies of the table are asked about the row as it was. Where they
 * cannot be asked - they contain a sub-select, or refer to a column that the
 * row did not have - the role sees nothing.
 *
 * Whoever looks at the view retention.trash does not ask for a certain table,
 * and must not run by that what the table's owner wrote: there policies are
 * asked only if they consist of immutable functions of the server, settings
 * and current_user, and values of types that are not the server's own are
 * shown as text, for a cast to json may be anybody's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "relation.h"
#include "rewrite/rowsecurity.h"
#include "sandbox.h"
#include "storage/bufmgr.h"
#include "trash_view.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(retention_trash_data);
PG_FUNCTION_INFO_V1(retention_trash_sees);

/* a value that is longer is not shown: jsonb has a limit */
#define MAX_SHOWN (64 * 1024 * 1024)

struct RetSight
{
	bool		sees_none;
	bool		sees_all;		/* all rows and columns */
	Bitmapset  *columns;		/* else: those with a grant, by number */
	EState	   *estate;			/* row level security applies */
	ExprState  *qual;
	Bitmapset  *qual_columns;
	TupleTableSlot *slot;
};

/* ---------- sight ---------- */

/*
 * check_functions_in_node callback: whether a function might do anything but
 * look at its arguments, or at a setting.
 */
static bool
is_active(Oid function, void *context)
{
	return function >= FirstNormalObjectId ||
		(func_volatile(function) != PROVOLATILE_IMMUTABLE &&
		 function != F_CURRENT_SETTING_TEXT &&
		 function != F_CURRENT_SETTING_TEXT_BOOL);
}

/*
 * Whether a policy runs anything that its author may have written.
 */
static bool
is_trap(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || IsA(node, CoerceToDomain) ||
		check_functions_in_node(node, is_active, NULL))
		return true;
	return expression_tree_walker(node, is_trap, context);
}

static bool
applies_to_user(RowSecurityPolicy *policy)
{
	Datum	   *roles;
	int			nroles;

	deconstruct_array(policy->roles, OIDOID, sizeof(Oid), true, TYPALIGN_INT,
					  &roles, NULL, &nroles);
	for (int i = 0; i < nroles; i++)
		if (DatumGetObjectId(roles[i]) == ACL_ID_PUBLIC ||
			has_privs_of_role(GetUserId(), DatumGetObjectId(roles[i])))
			return true;
	return false;
}

/*
 * What the table's policies ask of a row that is selected: one of the
 * permissive ones must let it through, and all of the restrictive ones.
 * NULL when nothing can.
 */
static Expr *
policies_expr(Relation rel, bool asks_for_table)
{
	List	   *permissive = NIL;
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);

		if ((policy->polcmd != '*' && policy->polcmd != ACL_SELECT_CHR) ||
			!applies_to_user(policy))
			continue;
		if (policy->hassublinks ||
			(!asks_for_table && is_trap((Node *) policy->qual, NULL)))
			return NULL;
		if (policy->qual == NULL)
			continue;
		if (policy->permissive)
			permissive = lappend(permissive, policy->qual);
		else
			all = lappend(all, policy->qual);
	}
	if (permissive == NIL)
		return NULL;
	all = lappend(all, makeBoolExpr(OR_EXPR, permissive, -1));
	return makeBoolExpr(AND_EXPR, all, -1);
}

static void
look_through_policies(RetSight *sight, Relation rel, bool asks_for_table)
{
	Expr	   *qual = policies_expr(rel, asks_for_table);

	if (qual == NULL)
	{
		sight->sees_none = true;
		return;
	}
	qual = copyObject(qual);
	pull_varattnos((Node *) qual, 1, &sight->qual_columns);
	sight->estate = CreateExecutorState();
	sight->qual = ExecPrepareQual(list_make1(qual), sight->estate);
	sight->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
										   &TTSOpsVirtual);
}

/*
 * What the present user may see of a table's rows in the trash. "rel" is the
 * table that has the trash; "asks_for_table" says that the user named it. In
 * the current memory context.
 */
RetSight *
ret_sight_make(Relation rel, bool asks_for_table)
{
	RetSight   *sight = palloc0(sizeof(RetSight));
	Oid			relid = RelationGetRelid(rel);
	Oid			user = GetUserId();

	if (ret_may_read(relid))
	{
		sight->sees_all = true;
		return sight;
	}
	if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK)
		sight->columns = bms_add_range(NULL, 1,
									   RelationGetNumberOfAttributes(rel));
	else
		for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
			if (!TupleDescAttr(RelationGetDescr(rel), i - 1)->attisdropped &&
				pg_attribute_aclcheck(relid, i, user, ACL_SELECT) == ACLCHECK_OK)
				sight->columns = bms_add_member(sight->columns, i);
	if (bms_is_empty(sight->columns))
		sight->sees_none = true;
	else if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		look_through_policies(sight, rel, asks_for_table);
	return sight;
}

/*
 * Whether the user sees a row. Its values are by the columns of the table, as
 * ret_shape_map() places them.
 */
static bool
passes_policies(RetSight *sight, RetShape *shape, const int *map,
				Datum *values, bool *nulls)
{
	TupleDesc	desc = sight->slot->tts_tupleDescriptor;
	Bitmapset  *known = NULL;
	ExprContext *context = GetPerTupleExprContext(sight->estate);
	int			i = -1;
	bool		passes;

	ExecClearTuple(sight->slot);
	memset(sight->slot->tts_isnull, true, desc->natts);
	for (int c = 0; c < shape->ncolumns; c++)
	{
		/* unknown, too, where the values were of another type */
		if (map[c] == 0 ||
			TupleDescAttr(desc, map[c] - 1)->atttypid != shape->columns[c].type)
			continue;
		sight->slot->tts_values[map[c] - 1] = values[c];
		sight->slot->tts_isnull[map[c] - 1] = nulls[c];
		known = bms_add_member(known,
							   map[c] - FirstLowInvalidHeapAttributeNumber);
	}
	while ((i = bms_next_member(sight->qual_columns, i)) >= 0)
		if (!bms_is_member(i, known))
			return false;
	ExecStoreVirtualTuple(sight->slot);
	context->ecxt_scantuple = sight->slot;
	passes = ExecQual(sight->qual, context);
	ResetExprContext(context);
	return passes;
}

bool
ret_sight_sees(RetSight *sight, RetShape *shape, const int *map,
			   Datum *values, bool *nulls)
{
	if (sight->sees_none)
		return false;
	return sight->qual == NULL ||
		passes_policies(sight, shape, map, values, nulls);
}

/*
 * Whether the user sees a column of the table; 0 is one that is gone.
 */
bool
ret_sight_sees_column(RetSight *sight, int attnum)
{
	return sight->sees_all ||
		(attnum > 0 && bms_is_member(attnum, sight->columns));
}

/*
 * Errors unless the user sees all columns of the table.
 */
void
ret_sight_check_columns(RetSight *sight, Relation rel)
{
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i - 1)->attisdropped &&
			!ret_sight_sees_column(sight, i))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to read all columns of table %s",
							RelationGetRelationName(rel)),
					 errhint("The view retention.trash shows those that you may read.")));
}

/*
 * Whether the user sees nothing of the table, whatever the row.
 */
bool
ret_sight_is_blind(RetSight *sight)
{
	return sight->sees_none;
}

/* ---------- rows as jsonb ---------- */

static bool
holds_nul(Datum value, Oid type)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(type, &output, &is_varlena);
	return strstr(OidOutputFunctionCall(output, value), "\\u0000") != NULL;
}

/*
 * A value that jsonb cannot take as it is, as text: too long, or with an
 * escaped NUL in json.
 */
static void
replace_by_text(TupleDesc desc, int i, Datum *value)
{
	Oid			type = TupleDescAttr(desc, i)->atttypid;
	Oid			output;
	bool		is_varlena;
	char	   *text;

	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, *value);
	*value = CStringGetTextDatum(strlen(text) > MAX_SHOWN ?
								 psprintf("(%zu bytes)", strlen(text)) : text);
	TupleDescInitEntry(desc, i + 1,
					   NameStr(TupleDescAttr(desc, i)->attname), TEXTOID, -1, 0);
}

static Jsonb *
row_to_jsonb(TupleDesc desc, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(BlessTupleDesc(desc), values, nulls);
	Datum		json = DirectFunctionCall1(row_to_json,
										   heap_copy_tuple_as_datum(tuple, desc));

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(TextDatumGetCString(json))));
}

static bool
is_too_long(Datum value, RetCodec *codec)
{
	return codec->len == -1 &&
		VARSIZE_ANY_EXHDR(DatumGetPointer(value)) > MAX_SHOWN;
}

/*
 * Whether the value may hold an escaped NUL: json does, alone or within.
 */
static bool
may_hold_nul(Datum value, RetCodec *codec)
{
	return codec->type == JSONOID || codec->form == RET_FORM_ARRAY ||
		codec->form == RET_FORM_COMPOSITE ||
		(codec->form == RET_FORM_STAMPED && codec->part &&
		 codec->part->type == JSONOID);
}

/*
 * The row as jsonb, by the columns that the user sees. A column of a type that
 * is gone cannot be shown.
 */
static Jsonb *
show_row(RetShape *shape, const int *map, RetSight *sight, Datum *values,
		 bool *nulls)
{
	TupleDesc	desc = CreateTemplateTupleDesc(shape->ncolumns);
	TupleDesc	shown;
	int			n = 0;

	for (int c = 0; c < shape->ncolumns; c++)
	{
		RetShapeColumn *column = &shape->columns[c];

		if (!ret_sight_sees_column(sight, map[c]))
			continue;
		TupleDescInitEntry(desc, n + 1, column->name, column->type,
						   column->typmod, 0);
		values[n] = values[c];
		nulls[n] = nulls[c];
		if (!nulls[n] && (column->codec->type >= FirstNormalObjectId ||
						  is_too_long(values[n], column->codec) ||
						  (may_hold_nul(values[n], column->codec) &&
						   holds_nul(values[n], column->type))))
			replace_by_text(desc, n, &values[n]);
		n++;
	}
	/* those that were left out were at the end, or moved there */
	shown = CreateTemplateTupleDesc(n);
	for (int i = 1; i <= n; i++)
		TupleDescCopyEntry(shown, i, desc, i);
	return row_to_jsonb(shown, values, nulls);
}

/* ---------- functions of the view ---------- */

/* What the functions keep from one row of a query to the next. */
typedef struct Looking
{
	MemoryContext context;		/* of all but the struct */
	MemoryContext chunk_context;
	MemoryContext row_context;
	int32		relation_id;
	int64		shape_id;
	RetShape   *shape;
	RetSight   *sight;
	int		   *map;			/* of the shape's columns in the table */
	Oid			table;			/* where the chunk is */
	ItemPointerData tid;
	bytea	   *images;
	int			rows;
} Looking;

static void
refuse_chunk(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no such row in the trash")));
}

/*
 * Prepares to look at rows of a shape in the trash of a table. Of a table
 * that is gone, nothing is seen but by those who see all.
 */
static void
look_at_shape(Looking *looking, int32 relation_id, int64 shape_id)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	rel;
	Oid			relid;

	if (looking->relation_id == relation_id && looking->shape_id == shape_id)
		return;
	MemoryContextReset(looking->context);
	looking->relation_id = 0;
	looking->table = InvalidOid;
	MemoryContextSwitchTo(looking->context);
	looking->chunk_context = AllocSetContextCreate(looking->context,
												   "retention chunk",
												   ALLOCSET_DEFAULT_SIZES);
	looking->row_context = AllocSetContextCreate(looking->context,
												 "retention row",
												 ALLOCSET_DEFAULT_SIZES);
	looking->shape = ret_shape_load(shape_id);
	relid = ret_registered_relid(relation_id);
	rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
	if (rel)
	{
		looking->map = ret_shape_map(looking->shape, rel);
		looking->sight = ret_sight_make(rel, false);
		table_close(rel, AccessShareLock);
	}
	else
	{
		looking->map = palloc0(sizeof(int) * Max(looking->shape->ncolumns, 1));
		looking->sight = palloc0(sizeof(RetSight));
		looking->sight->sees_all = ret_may_read(InvalidOid);
		looking->sight->sees_none = !looking->sight->sees_all;
	}
	looking->relation_id = relation_id;
	looking->shape_id = shape_id;
	MemoryContextSwitchTo(caller);
}

/*
 * Reads the chunk at a place of a table of the trash. Anybody can ask for any
 * place: what is there is looked at by its own rights.
 */
static void
look_at_chunk(Looking *looking, Oid table, ItemPointer tid)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	rel;
	TupleTableSlot *slot;
	RetChunk	chunk;

	if (looking->table == table && ItemPointerEquals(&looking->tid, tid))
		return;
	if (!ret_chunk_is_table(table))
		refuse_chunk();
	rel = try_table_open(table, AccessShareLock);
	if (rel == NULL)
		refuse_chunk();
	slot = table_slot_create(rel, NULL);
	if (!ItemPointerIsValid(tid) ||
		ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(rel) ||
		!table_tuple_fetch_row_version(rel, tid, GetActiveSnapshot(), slot))
		refuse_chunk();
	ret_chunk_read(slot, &chunk);
	if (chunk.is_link)
		refuse_chunk();
	look_at_shape(looking, chunk.relation_id, chunk.shape_id);
	MemoryContextReset(looking->chunk_context);
	MemoryContextSwitchTo(looking->chunk_context);
	looking->images = DatumGetByteaPCopy(chunk.images);
	MemoryContextSwitchTo(caller);
	looking->rows = chunk.rows;
	looking->table = table;
	looking->tid = *tid;
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
}

static Looking *
look(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	Looking    *looking = flinfo->fn_extra;

	if (looking == NULL)
	{
		looking = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(Looking));
		looking->context = AllocSetContextCreate(flinfo->fn_mcxt,
												 "retention look",
												 ALLOCSET_DEFAULT_SIZES);
		flinfo->fn_extra = looking;
	}
	look_at_chunk(looking, PG_GETARG_OID(0), (ItemPointer) PG_GETARG_POINTER(1));
	if (PG_GETARG_INT32(2) < 0 || PG_GETARG_INT32(2) >= looking->rows)
		refuse_chunk();
	return looking;
}

/*
 * Reads the n-th row of the chunk, counted from 0, into the current memory
 * context, with "data" also as jsonb. False when it cannot be read now: a type
 * or an enum label is gone. A restore says so; a look at the whole trash must
 * not fail for it.
 */
static bool
read_row(Looking *looking, int n, Datum **values, bool **nulls, Jsonb **data)
{
	MemoryContext caller = CurrentMemoryContext;
	int			ncolumns = looking->shape->ncolumns;
	volatile bool done = true;
	RetUser		saved;
	RetBytes	in = ret_bytes_of(looking->images);
	RetBytes	image;

	do
		image = ret_image_next(&in);
	while (n-- > 0);
	*values = palloc(sizeof(Datum) * Max(ncolumns, 1));
	*nulls = palloc(sizeof(bool) * Max(ncolumns, 1));
	ret_become_self(&saved);
	PG_TRY();
	{
		ret_shape_read(looking->shape, &image, *values, *nulls);
		if (data)
			*data = show_row(looking->shape, looking->map, looking->sight,
							 *values, *nulls);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (geterrcode() == ERRCODE_QUERY_CANCELED ||
			geterrcode() == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		/* nothing but catalogs was read: no subtransaction is needed */
		FlushErrorState();
		done = false;
	}
	PG_END_TRY();
	ret_restore_user(&saved);
	return done;
}

/*
 * retention._trash_sees(table, place, n)
 */
Datum
retention_trash_sees(PG_FUNCTION_ARGS)
{
	Looking    *looking = look(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *values;
	bool	   *nulls;
	bool		sees;

	if (looking->sight->sees_none || looking->sight->qual == NULL)
		PG_RETURN_BOOL(!looking->sight->sees_none);
	MemoryContextSwitchTo(looking->row_context);
	sees = read_row(looking, PG_GETARG_INT32(2), &values, &nulls, NULL) &&
		ret_sight_sees(looking->sight, looking->shape, looking->map,
						  values, nulls);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(looking->row_context);
	PG_RETURN_BOOL(sees);
}

/*
 * retention._trash_data(table, place, n)
 */
Datum
retention_trash_data(PG_FUNCTION_ARGS)
{
	Looking    *looking = look(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *values;
	bool	   *nulls;
	Jsonb	   *data = NULL;

	if (looking->sight->sees_none)
		PG_RETURN_NULL();
	MemoryContextSwitchTo(looking->row_context);
	/* the values are moved by what makes the jsonb, so it comes last */
	if (looking->sight->qual != NULL &&
		!(read_row(looking, PG_GETARG_INT32(2), &values, &nulls, NULL) &&
		  ret_sight_sees(looking->sight, looking->shape, looking->map, values,
						 nulls)))
		data = NULL;
	else if (!read_row(looking, PG_GETARG_INT32(2), &values, &nulls, &data))
		data = NULL;
	MemoryContextSwitchTo(caller);
	if (data)
		data = DatumGetJsonbPCopy(JsonbPGetDatum(data));
	MemoryContextReset(looking->row_context);
	if (data == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(data);
}
