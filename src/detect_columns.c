/*-------------------------------------------------------------------------
 *
 * detect_columns.c
 *		The columns of a table that may hold personal data, and its clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "detect.h"
#include "parser/parse_coerce.h"
#include "query.h"
#include "sandbox.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * What a type can hold. Of types that are not the server's only those that
 * are text under another name: the casts of others are code of others.
 */
static RetPiiKind
kind_of(Oid type, bool *is_array)
{
	*is_array = type == TEXTARRAYOID || type == VARCHARARRAYOID;
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return RET_KIND_TEXT;
		case INT2OID:
		case INT4OID:
			return RET_KIND_INTEGER;
		case INT8OID:
		case NUMERICOID:
			return RET_KIND_NUMBER;
		case FLOAT4OID:
		case FLOAT8OID:
			return RET_KIND_FLOAT;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return RET_KIND_DATE;
		case INETOID:
		case CIDROID:
			return RET_KIND_INET;
		case BYTEAOID:
			return RET_KIND_BYTES;
		case OIDOID:
			return RET_KIND_OBJECT;
		case POINTOID:
			return RET_KIND_POINT;
		case JSONOID:
		case JSONBOID:
		case TEXTARRAYOID:
		case VARCHARARRAYOID:
			return RET_KIND_JSON;
		default:
			if (get_typtype(type) == TYPTYPE_ENUM)
				return RET_KIND_ENUM;
			return get_typtype(type) == TYPTYPE_BASE &&
				IsBinaryCoercible(type, TEXTOID) ? RET_KIND_TEXT :
				RET_KIND_NONE;
	}
}

static bool
result_bool(uint64 row, int column)
{
	bool		isnull;

	return DatumGetBool(ret_result_datum(row, column, &isnull)) && !isnull;
}

static RetPiiColumn *
make_column(Form_pg_attribute attr, uint64 row)
{
	RetPiiColumn  *column = palloc0(sizeof(RetPiiColumn));

	column->num = attr->attnum;
	column->name = pstrdup(NameStr(attr->attname));
	column->typmod = attr->atttypmod;
	column->type = getBaseTypeAndTypmod(attr->atttypid, &column->typmod);
	column->kind = kind_of(column->type, &column->is_array);
	column->not_null = result_bool(row, 2);
	column->has_default = result_bool(row, 3);
	column->is_unique = result_bool(row, 4);
	column->refers = result_bool(row, 5);
	column->is_referred_to = result_bool(row, 6);
	column->sense = ret_name_sense(column->name);
	return column;
}

/*
 * The columns of a table that may hold personal data and are not tagged, in
 * their order. Connects to SPI; the list is in the caller's memory context.
 */
List *
ret_detect_columns(Relation rel)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *columns = NIL;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT column_num::bigint, not_null, has_default,"
				  " is_unique, refers, is_referred_to"
				  " FROM retention._detectable_columns(%s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(RelationGetRelid(rel))));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int			num = (int) ret_result_int8(row, 1);
		RetPiiColumn  *column = make_column(TupleDescAttr(RelationGetDescr(rel),
													   num - 1), row);

		if (column->kind != RET_KIND_NONE)
			columns = lappend(columns, column);
	}
	SPI_finish();
	return columns;
}

/*
 * The column that says best when a row began; NULL when there is none.
 */
const char *
ret_detect_clock(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const char *clock = NULL;
	int			best = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		Oid			type = attr->attisdropped ? InvalidOid :
			getBaseType(attr->atttypid);
		int			rank;

		if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
			continue;
		rank = ret_clock_rank(NameStr(attr->attname));
		if (rank > 0 && (best == 0 || rank < best))
		{
			best = rank;
			clock = NameStr(attr->attname);
		}
	}
	return clock;
}
