/*
 * codec.c
 *
 * How the values of a type are written into row images and read from them:
 * what image.c goes by. Reads catalogs, and nothing else.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "image.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

/*
 * Types whose value is the OID of something that has another one after a
 * dump, but is found by its name.
 */
static bool
is_reference(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGROLEOID:
		case ACLITEMOID:
			return true;
		default:
			return false;
	}
}

static void
make_text(RetCodec *codec, RetForm form)
{
	Oid			function;
	bool		is_varlena;

	codec->form = form;
	getTypeOutputInfo(codec->type, &function, &is_varlena);
	fmgr_info(function, &codec->output);
	getTypeInputInfo(codec->type, &function, &codec->ioparam);
	fmgr_info(function, &codec->input);
}

static bool
is_plain(const RetCodec *codec)
{
	return codec->form == RET_FORM_FIXED || codec->form == RET_FORM_VARLENA;
}

static void
make_stamped(RetCodec *codec, int stamp_at, Oid stamp)
{
	codec->form = RET_FORM_STAMPED;
	codec->stamp_at = stamp_at;
	codec->stamp = stamp;
}

static void
make_composite(RetCodec *codec, int32 typmod)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(codec->type, typmod);

	codec->form = RET_FORM_COMPOSITE;
	codec->desc = desc;
	codec->parts = palloc0(sizeof(RetCodec *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (attr->attisdropped)
			continue;
		codec->parts[i] = ret_codec_make(attr->atttypid, attr->atttypmod);
		codec->nparts++;
	}
}

/*
 * How the values of a type are written and read. Lives in the current memory
 * context; is out of date when the type is changed.
 */
RetCodec *
ret_codec_make(Oid type, int32 typmod)
{
	RetCodec   *codec = palloc0(sizeof(RetCodec));
	Oid			part;

	check_stack_depth();
	codec->type = type = getBaseTypeAndTypmod(type, &typmod);
	get_typlenbyvalalign(type, &codec->len, &codec->byval, &codec->align);

	if (is_reference(type) || codec->len == -2)
		make_text(codec, RET_FORM_NAME);
	else if (get_typtype(type) == TYPTYPE_ENUM)
		make_text(codec, RET_FORM_LABEL);
	else if (get_typtype(type) == TYPTYPE_COMPOSITE)
		make_composite(codec, typmod);
	else if (get_typtype(type) == TYPTYPE_RANGE)
	{
		codec->part = ret_codec_make(get_range_subtype(type), -1);
		codec->form = RET_FORM_RANGE;
		if (is_plain(codec->part))
			make_stamped(codec, offsetof(RangeType, rangetypid), type);
	}
	else if (get_typtype(type) == TYPTYPE_MULTIRANGE)
	{
		codec->part = ret_codec_make(get_multirange_range(type), -1);
		codec->form = RET_FORM_MULTIRANGE;
		if (is_plain(codec->part->part))
			make_stamped(codec, offsetof(MultirangeType, multirangetypid),
						 type);
	}
	else if (codec->len == -1 && OidIsValid(part = get_element_type(type)))
	{
		codec->part = ret_codec_make(part, typmod);
		codec->form = RET_FORM_ARRAY;
		if (is_plain(codec->part))
			make_stamped(codec, offsetof(ArrayType, elemtype), part);
	}
	else
		codec->form = codec->len == -1 ? RET_FORM_VARLENA : RET_FORM_FIXED;
	return codec;
}

/*
 * Appends what the bytes of a value mean: the types that they are made of. A
 * type can be dropped and made anew under its name, by anybody; bytes that
 * were written as one must never be read as another.
 */
void
ret_codec_sign(StringInfo out, const RetCodec *codec)
{
	appendStringInfo(out, "%d", codec->form);
	switch (codec->form)
	{
		case RET_FORM_COMPOSITE:
			for (int i = 0; i < codec->desc->natts; i++)
			{
				if (codec->parts[i] == NULL)
					continue;
				appendStringInfoChar(out, '(');
				ret_codec_sign(out, codec->parts[i]);
				appendStringInfoChar(out, ')');
			}
			break;
		case RET_FORM_NAME:
		case RET_FORM_LABEL:
			/* text, whatever the type */
			break;
		default:
			if (codec->part)
			{
				appendStringInfoChar(out, '(');
				ret_codec_sign(out, codec->part);
				appendStringInfoChar(out, ')');
			}
			else
				appendStringInfo(out, " %s",
								 format_type_be_qualified(codec->type));
	}
}
