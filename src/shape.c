/*-------------------------------------------------------------------------
 *
 * shape.c
 *		Versions of a table's row type, and the codecs of their columns.
 *
 * A row image holds values and nothing about them. What they are is in the
 * shape: one row of retention.shape for each version of the row type that was
 * ever met. Columns are known by their number in the table, which survives a
 * rename, and by name, which survives a dump; the event trigger of the trash
 * keeps the names up to date.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "parser/parse_type.h"
#include "query.h"
#include "sandbox.h"
#include "shape.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#ifdef WORDS_BIGENDIAN
#define BYTE_ORDER_NAME "big"
#else
#define BYTE_ORDER_NAME "little"
#endif

static char *
signature_of(const RetCodec *codec)
{
	StringInfoData signature;

	initStringInfo(&signature);
	ret_codec_sign(&signature, codec);
	return signature.data;
}

/*
 * Describes rows of a table by some of its columns; NIL means all that hold
 * values. Lives in the current memory context.
 */
RetShape *
ret_shape_describe(Relation rel, List *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	RetShape   *shape = palloc0(sizeof(RetShape));

	shape->columns = palloc0(sizeof(RetShapeColumn) * Max(desc->natts, 1));
	shape->codecs = palloc0(sizeof(RetCodec *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		RetShapeColumn *column = &shape->columns[shape->ncolumns];

		if (attr->attisdropped || attr->attgenerated == 'v' ||
			(columns && !list_member_int(columns, i + 1)))
			continue;
		column->num = attr->attnum;
		column->name = pstrdup(NameStr(attr->attname));
		column->type = attr->atttypid;
		column->typmod = attr->atttypmod;
		column->type_name = format_type_extended(attr->atttypid,
												 attr->atttypmod,
												 FORMAT_TYPE_TYPEMOD_GIVEN |
												 FORMAT_TYPE_FORCE_QUALIFY);
		column->is_generated = attr->attgenerated != '\0';
		column->codec = ret_codec_make(attr->atttypid, attr->atttypmod);
		column->signature = signature_of(column->codec);
		if (column->codec->form != RET_FORM_FIXED &&
			column->codec->form != RET_FORM_VARLENA)
			shape->has_composite = true;
		shape->codecs[shape->ncolumns++] = column->codec;
	}
	return shape;
}

/*
 * A string of each column as text[]: that at an offset in RetShapeColumn.
 */
static Datum
strings_of(RetShape *shape, size_t offset)
{
	List	   *strings = NIL;

	for (int i = 0; i < shape->ncolumns; i++)
		strings = lappend(strings,
						  *(char **) ((char *) &shape->columns[i] + offset));
	return ret_text_array(strings);
}

static Datum
nums_of(RetShape *shape)
{
	Datum	   *nums = palloc(sizeof(Datum) * Max(shape->ncolumns, 1));

	for (int i = 0; i < shape->ncolumns; i++)
		nums[i] = Int16GetDatum(shape->columns[i].num);
	return PointerGetDatum(construct_array(nums, shape->ncolumns, INT2OID,
										   sizeof(int16), true, TYPALIGN_SHORT));
}

static Datum
generated_of(RetShape *shape)
{
	Datum	   *flags = palloc(sizeof(Datum) * Max(shape->ncolumns, 1));

	for (int i = 0; i < shape->ncolumns; i++)
		flags[i] = BoolGetDatum(shape->columns[i].is_generated);
	return PointerGetDatum(construct_array(flags, shape->ncolumns, BOOLOID,
										   1, true, TYPALIGN_CHAR));
}

/*
 * Finds or makes the entry of a shape in retention.shape, and fills in its id.
 * Two sessions that meet a new shape at once make two entries, which is
 * harmless; waiting for each other would not be. Connects to SPI.
 */
void
ret_shape_register(RetShape *shape, Oid relid)
{
	RetUser		saved;
	RetQuery	query;
	const char *values[7];

	shape->relation_id = ret_register(relid);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	values[0] = ret_query_param(&query, INT4OID,
								Int32GetDatum(shape->relation_id));
	values[1] = ret_query_param(&query, INT2ARRAYOID, nums_of(shape));
	values[2] = ret_query_param(&query, TEXTARRAYOID, strings_of(shape, offsetof(RetShapeColumn, name)));
	values[3] = ret_query_param(&query, TEXTARRAYOID, strings_of(shape, offsetof(RetShapeColumn, type_name)));
	values[4] = ret_query_param(&query, BOOLARRAYOID, generated_of(shape));
	values[5] = ret_query_identity(&query);
	values[6] = ret_query_param(&query, TEXTARRAYOID, strings_of(shape, offsetof(RetShapeColumn, signature)));
	ret_query_add(&query,
				  "SELECT shape_id FROM retention.shape WHERE relation_id = %s"
				  " AND column_nums = %s AND column_names = %s"
				  " AND column_types = %s AND generated = %s AND identity = %s"
				  " AND signatures = %s"
				  " AND byte_order = '" BYTE_ORDER_NAME "'"
				  " ORDER BY shape_id DESC LIMIT 1",
				  values[0], values[1], values[2], values[3], values[4],
				  values[5], values[6]);
	if (ret_query_run(&query, false, 0, NULL) == 0)
	{
		resetStringInfo(&query.sql);
		ret_query_add(&query,
					  "INSERT INTO retention.shape (relation_id, column_nums,"
					  " column_names, column_types, generated, identity,"
					  " signatures, byte_order)"
					  " VALUES (%s, %s, %s, %s, %s, %s, %s, '" BYTE_ORDER_NAME "')"
					  " RETURNING shape_id",
					  values[0], values[1], values[2], values[3], values[4],
					  values[5], values[6]);
		ret_query_run(&query, false, 0, NULL);
	}
	shape->shape_id = ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * What a column's values are, from the name of its type. Without a codec when
 * the type is gone, or is another one now.
 */
static void
find_type(RetShapeColumn *column)
{
	TypeName   *name;
	Type		type;
	RetUser		saved;

	/* names of types are qualified, but for those of pg_catalog */
	ret_become_self(&saved);
	name = ret_parse_type(column->type_name);
	type = LookupTypeName(NULL, name, &column->typmod, true);
	if (type)
	{
		column->type = typeTypeId(type);
		column->codec = ret_codec_make(column->type, column->typmod);
		ReleaseSysCache(type);
		if (strcmp(signature_of(column->codec), column->signature) != 0)
			column->codec = NULL;
	}
	ret_restore_user(&saved);
}

/*
 * Loads a shape, into the current memory context. Errors when it is not there
 * or its images cannot be read on this machine. Connects to SPI.
 */
RetShape *
ret_shape_load(int64 shape_id)
{
	MemoryContext caller = CurrentMemoryContext;
	RetShape   *shape;
	RetUser		saved;
	RetQuery	query;
	List	   *names;
	List	   *types;
	List	   *nums;
	List	   *generated;
	List	   *signatures;
	char	   *byte_order;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT relation_id::bigint, column_nums::text[], column_names,"
				  " column_types, generated::text[], byte_order, signatures"
				  " FROM retention.shape WHERE shape_id = %s",
				  ret_query_param(&query, INT8OID, Int64GetDatum(shape_id)));
	if (ret_query_run(&query, false, 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("shape %lld of rows in the trash is missing",
						(long long) shape_id)));
	byte_order = ret_result_text(0, 6);
	if (strcmp(byte_order, BYTE_ORDER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the rows were put into the trash on a machine with %s-endian byte order",
						byte_order)));

	MemoryContextSwitchTo(caller);
	shape = palloc0(sizeof(RetShape));
	shape->shape_id = shape_id;
	shape->relation_id = (int32) ret_result_int8(0, 1);
	nums = ret_result_texts(0, 2);
	names = ret_result_texts(0, 3);
	types = ret_result_texts(0, 4);
	generated = ret_result_texts(0, 5);
	signatures = ret_result_texts(0, 7);
	ret_restore_user(&saved);
	SPI_finish();

	MemoryContextSwitchTo(caller);
	shape->ncolumns = list_length(names);
	shape->columns = palloc0(sizeof(RetShapeColumn) * Max(shape->ncolumns, 1));
	shape->codecs = palloc0(sizeof(RetCodec *) * Max(shape->ncolumns, 1));
	for (int i = 0; i < shape->ncolumns; i++)
	{
		RetShapeColumn *column = &shape->columns[i];

		column->num = (AttrNumber) atoi(list_nth(nums, i));
		column->name = list_nth(names, i);
		column->type_name = list_nth(types, i);
		column->is_generated = strcmp(list_nth(generated, i), "true") == 0;
		column->signature = list_nth(signatures, i);
		find_type(column);
		shape->codecs[i] = column->codec;
	}
	return shape;
}

/*
 * Writes the image of a row of the table, over what was there before.
 */
void
ret_shape_write(RetShape *shape, TupleTableSlot *slot, StringInfo image)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(shape->ncolumns, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(shape->ncolumns, 1));

	slot_getallattrs(slot);
	for (int i = 0; i < shape->ncolumns; i++)
	{
		int			att = shape->columns[i].num - 1;

		values[i] = slot->tts_values[att];
		nulls[i] = slot->tts_isnull[att];
	}
	resetStringInfo(image);
	ret_image_write(image, shape->codecs, shape->ncolumns, values, nulls);
}

/*
 * Reads what ret_shape_write() wrote, into the current memory context. A
 * column whose type is gone ends the reading with an error.
 */
void
ret_shape_read(RetShape *shape, RetBytes *image, Datum *values, bool *nulls)
{
	for (int i = 0; i < shape->ncolumns; i++)
		if (shape->codecs[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("type %s of column \"%s\" is not what it was",
							shape->columns[i].type_name,
							shape->columns[i].name),
					 errhint("Create it again as it was when the row was deleted.")));
	ret_image_read(image, shape->codecs, shape->ncolumns, values, nulls);
}

static int
find_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return 0;
}

/*
 * Where the columns of a shape are in a table: its numbers, 0 for a column
 * that is not there any more. By name, as the rows may have been in a
 * partition, whose columns have other numbers.
 */
int *
ret_shape_map(RetShape *shape, Relation rel)
{
	int		   *map = palloc0(sizeof(int) * Max(shape->ncolumns, 1));

	for (int i = 0; i < shape->ncolumns; i++)
		if (shape->columns[i].num != 0)
			map[i] = find_column(rel, shape->columns[i].name);
	return map;
}
