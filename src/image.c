/*-------------------------------------------------------------------------
 *
 * image.c
 *		The row image: values of a row as bytes that outlive its table.
 *
 * A value is kept as the bytes that the server keeps it as, so that it comes
 * back bit by bit, whatever settings the sessions have that write and read
 * it, and at the price of a memcpy. That is as portable as data files are
 * over pg_upgrade. What would not survive a dump is taken out: OIDs of types
 * in arrays, ranges and composites are put back as they are where the value
 * is read; enum values and references to catalog objects are kept as names.
 *
 * An image is: its length, a bitmap of nulls, the values. Lengths are written
 * seven bits a byte, lowest first.
 *
 * No SPI, no locks, no I/O but the reading of catalogs and of toasted values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "image.h"
#include "miscadmin.h"
#include "sandbox.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

static void
corrupted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a row image in the trash is damaged")));
}

/* ---------- bytes ---------- */

/*
 * Writes a length.
 */
void
ret_put_length(StringInfo out, uint64 length)
{
	enlargeStringInfo(out, 10);
	while (length >= 0x80)
	{
		out->data[out->len++] = (char) (length | 0x80);
		length >>= 7;
	}
	out->data[out->len++] = (char) length;
}

static uint64
get_length(RetBytes *in)
{
	uint64		length = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8		byte;

		if (in->at >= in->end)
			corrupted();
		byte = (uint8) *in->at++;
		length |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return length;
	}
	corrupted();
	return 0;
}

static const char *
get_bytes(RetBytes *in, uint64 length)
{
	const char *bytes = in->at;

	if (length > (uint64) (in->end - in->at))
		corrupted();
	in->at += length;
	return bytes;
}

static void
put_counted(StringInfo out, const char *bytes, size_t length)
{
	ret_put_length(out, length);
	appendBinaryStringInfo(out, bytes, (int) length);
}

/* ---------- values ---------- */

/*
 * A bitmap of nulls and the values that are not.
 */
static void
put_values(StringInfo out, RetCodec **codecs, int ncodecs,
		   const Datum *values, const bool *nulls)
{
	int			nbytes = (ncodecs + 7) / 8;
	int			bitmap = out->len;

	enlargeStringInfo(out, nbytes);
	memset(out->data + bitmap, 0, nbytes);
	out->len += nbytes;
	for (int i = 0; i < ncodecs; i++)
	{
		if (nulls[i])
			out->data[bitmap + i / 8] |= 1 << (i % 8);
		else
			ret_encode(out, codecs[i], values[i]);
	}
}

static void
get_values(RetBytes *in, RetCodec **codecs, int ncodecs,
		   Datum *values, bool *nulls)
{
	const char *bitmap = get_bytes(in, (ncodecs + 7) / 8);

	for (int i = 0; i < ncodecs; i++)
	{
		nulls[i] = (bitmap[i / 8] >> (i % 8)) & 1;
		values[i] = nulls[i] ? (Datum) 0 : ret_decode(in, codecs[i]);
	}
}

static void
encode_array(StringInfo out, RetCodec *codec, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	RetCodec   *part = codec->part;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;

	ret_put_length(out, ndim);
	appendBinaryStringInfo(out, (char *) ARR_DIMS(array), ndim * sizeof(int));
	appendBinaryStringInfo(out, (char *) ARR_LBOUND(array), ndim * sizeof(int));
	deconstruct_array(array, ARR_ELEMTYPE(array), part->len, part->byval,
					  part->align, &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
		put_values(out, &part, 1, &elements[i], &nulls[i]);
}

static Datum
decode_array(RetBytes *in, RetCodec *codec)
{
	int			ndim = (int) get_length(in);
	int			dims[MAXDIM];
	int			lbounds[MAXDIM];
	RetCodec   *part = codec->part;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	Oid			element_type = get_element_type(codec->type);

	if (ndim < 0 || ndim > MAXDIM)
		corrupted();
	if (ndim == 0)
		return PointerGetDatum(construct_empty_array(element_type));
	memcpy(dims, get_bytes(in, ndim * sizeof(int)), ndim * sizeof(int));
	memcpy(lbounds, get_bytes(in, ndim * sizeof(int)), ndim * sizeof(int));
	nelements = ArrayGetNItems(ndim, dims);
	elements = palloc(sizeof(Datum) * Max(nelements, 1));
	nulls = palloc(sizeof(bool) * Max(nelements, 1));
	for (int i = 0; i < nelements; i++)
		get_values(in, &part, 1, &elements[i], &nulls[i]);
	return PointerGetDatum(construct_md_array(elements, nulls, ndim, dims,
											  lbounds, element_type,
											  part->len, part->byval,
											  part->align));
}

static void
encode_range(StringInfo out, RetCodec *codec, const RangeType *range)
{
	TypeCacheEntry *type = lookup_type_cache(codec->type,
											 TYPECACHE_RANGE_INFO);
	RangeBound	bounds[2];
	Datum		values[2];
	bool		nulls[2];
	bool		empty;
	RetCodec   *codecs[2] = {codec->part, codec->part};

	range_deserialize(type, range, &bounds[0], &bounds[1], &empty);
	appendStringInfoCharMacro(out, range_get_flags(range));
	for (int i = 0; i < 2; i++)
	{
		values[i] = bounds[i].val;
		nulls[i] = empty || bounds[i].infinite;
	}
	put_values(out, codecs, 2, values, nulls);
}

static RangeType *
decode_range(RetBytes *in, RetCodec *codec)
{
	TypeCacheEntry *type = lookup_type_cache(codec->type,
											 TYPECACHE_RANGE_INFO);
	char		flags = *get_bytes(in, 1);
	RangeBound	bounds[2];
	Datum		values[2];
	bool		nulls[2];
	RetCodec   *codecs[2] = {codec->part, codec->part};

	get_values(in, codecs, 2, values, nulls);
	for (int i = 0; i < 2; i++)
	{
		bounds[i].val = values[i];
		bounds[i].lower = i == 0;
		bounds[i].infinite = (flags & (i == 0 ? RANGE_LB_INF : RANGE_UB_INF)) != 0;
		bounds[i].inclusive = (flags & (i == 0 ? RANGE_LB_INC : RANGE_UB_INC)) != 0;
	}
	return ret_range_serialize(type, &bounds[0], &bounds[1],
							   (flags & RANGE_EMPTY) != 0);
}

static void
encode_multirange(StringInfo out, RetCodec *codec, Datum value)
{
	TypeCacheEntry *type = lookup_type_cache(codec->part->type,
											 TYPECACHE_RANGE_INFO);
	int32		nranges;
	RangeType **ranges;

	multirange_deserialize(type, DatumGetMultirangeTypeP(value), &nranges,
						   &ranges);
	ret_put_length(out, nranges);
	for (int i = 0; i < nranges; i++)
		encode_range(out, codec->part, ranges[i]);
}

static Datum
decode_multirange(RetBytes *in, RetCodec *codec)
{
	TypeCacheEntry *type = lookup_type_cache(codec->part->type,
											 TYPECACHE_RANGE_INFO);
	int			nranges = (int) get_length(in);
	RangeType **ranges = palloc(sizeof(RangeType *) * Max(nranges, 1));

	for (int i = 0; i < nranges; i++)
		ranges[i] = decode_range(in, codec->part);
	return PointerGetDatum(make_multirange(codec->type, type, nranges,
										   ranges));
}

/*
 * Only live columns, so that nothing depends on what was dropped before.
 */
static void
encode_composite(StringInfo out, RetCodec *codec, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	int			natts = codec->desc->natts;
	HeapTupleData tuple;
	Datum	   *values = palloc(sizeof(Datum) * Max(natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(natts, 1));
	RetCodec  **parts = palloc(sizeof(RetCodec *) * Max(natts, 1));
	int			nparts = 0;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, codec->desc, values, nulls);
	for (int i = 0; i < natts; i++)
	{
		if (codec->parts[i] == NULL)
			continue;
		parts[nparts] = codec->parts[i];
		values[nparts] = values[i];
		nulls[nparts++] = nulls[i];
	}
	ret_put_length(out, nparts);
	put_values(out, parts, nparts, values, nulls);
}

static Datum
decode_composite(RetBytes *in, RetCodec *codec)
{
	int			natts = codec->desc->natts;
	Datum	   *read = palloc(sizeof(Datum) * Max(natts, 1));
	bool	   *read_nulls = palloc(sizeof(bool) * Max(natts, 1));
	Datum	   *values = palloc0(sizeof(Datum) * Max(natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(natts, 1));
	RetCodec  **parts = palloc(sizeof(RetCodec *) * Max(natts, 1));
	int			nparts = 0;

	for (int i = 0; i < natts; i++)
		if (codec->parts[i])
			parts[nparts++] = codec->parts[i];
	if (get_length(in) != (uint64) nparts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s has other columns than when the row was deleted",
						format_type_be(codec->type))));
	get_values(in, parts, nparts, read, read_nulls);
	nparts = 0;
	for (int i = 0; i < natts; i++)
	{
		nulls[i] = codec->parts[i] == NULL || read_nulls[nparts];
		if (codec->parts[i])
			values[i] = read[nparts++];
	}
	return heap_copy_tuple_as_datum(heap_form_tuple(codec->desc, values,
													nulls), codec->desc);
}

/*
 * Writes a value that is not null. A toasted value is fetched: its table may
 * be gone when it is read.
 */
void
ret_encode(StringInfo out, RetCodec *codec, Datum value)
{
	switch (codec->form)
	{
		case RET_FORM_FIXED:
			if (codec->byval)
			{
				Datum		aligned;

				store_att_byval(&aligned, value, codec->len);
				appendBinaryStringInfo(out, (char *) &aligned, codec->len);
			}
			else
				appendBinaryStringInfo(out, DatumGetPointer(value),
									   codec->len);
			break;
		case RET_FORM_VARLENA:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

				put_counted(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
				if ((Pointer) bytes != DatumGetPointer(value))
					pfree(bytes);
				break;
			}
		case RET_FORM_STAMPED:
			{
				struct varlena *bytes = PG_DETOAST_DATUM(value);
				int			at;

				put_counted(out, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
				at = out->len - (VARSIZE(bytes) - VARHDRSZ) +
					codec->stamp_at - VARHDRSZ;
				memset(out->data + at, 0, sizeof(Oid));
				if ((Pointer) bytes != DatumGetPointer(value))
					pfree(bytes);
				break;
			}
		case RET_FORM_LABEL:
			{
				char	   *text = OutputFunctionCall(&codec->output, value);

				put_counted(out, text, strlen(text));
				break;
			}
		case RET_FORM_NAME:
			{
				RetUser		saved;
				char	   *text;

				/* names are qualified but for those of pg_catalog */
				ret_become_self(&saved);
				text = OutputFunctionCall(&codec->output, value);
				ret_restore_user(&saved);
				put_counted(out, text, strlen(text));
				break;
			}
		case RET_FORM_ARRAY:
			encode_array(out, codec, value);
			break;
		case RET_FORM_RANGE:
			encode_range(out, codec, DatumGetRangeTypeP(value));
			break;
		case RET_FORM_MULTIRANGE:
			encode_multirange(out, codec, value);
			break;
		case RET_FORM_COMPOSITE:
			encode_composite(out, codec, value);
			break;
	}
}

static struct varlena *
get_varlena(RetBytes *in)
{
	uint64		length = get_length(in);
	const char *bytes = get_bytes(in, length);
	struct varlena *value = palloc(length + VARHDRSZ);

	SET_VARSIZE(value, length + VARHDRSZ);
	memcpy(VARDATA(value), bytes, length);
	return value;
}

/*
 * Reads a value that is not null, into the current memory context.
 */
Datum
ret_decode(RetBytes *in, RetCodec *codec)
{
	switch (codec->form)
	{
		case RET_FORM_FIXED:
			{
				const char *bytes = get_bytes(in, codec->len);
				Datum		aligned;
				char	   *copy;

				if (codec->byval)
				{
					memcpy(&aligned, bytes, codec->len);
					return fetch_att(&aligned, true, codec->len);
				}
				copy = palloc(codec->len);
				memcpy(copy, bytes, codec->len);
				return PointerGetDatum(copy);
			}
		case RET_FORM_VARLENA:
			return PointerGetDatum(get_varlena(in));
		case RET_FORM_STAMPED:
			{
				struct varlena *value = get_varlena(in);

				if (VARSIZE(value) < codec->stamp_at + sizeof(Oid))
					corrupted();
				memcpy((char *) value + codec->stamp_at, &codec->stamp,
					   sizeof(Oid));
				return PointerGetDatum(value);
			}
		case RET_FORM_LABEL:
			{
				uint64		length = get_length(in);
				const char *bytes = get_bytes(in, length);

				return InputFunctionCall(&codec->input,
										 pnstrdup(bytes, length),
										 codec->ioparam, -1);
			}
		case RET_FORM_NAME:
			{
				uint64		length = get_length(in);
				const char *bytes = get_bytes(in, length);
				RetUser		saved;
				Datum		value;

				ret_become_self(&saved);
				value = InputFunctionCall(&codec->input,
										  pnstrdup(bytes, length),
										  codec->ioparam, -1);
				ret_restore_user(&saved);
				return value;
			}
		case RET_FORM_ARRAY:
			return decode_array(in, codec);
		case RET_FORM_RANGE:
			return PointerGetDatum(decode_range(in, codec));
		case RET_FORM_MULTIRANGE:
			return decode_multirange(in, codec);
		case RET_FORM_COMPOSITE:
			return decode_composite(in, codec);
	}
	corrupted();
	return (Datum) 0;
}

/* ---------- images ---------- */

/*
 * Writes a row as an image without its length.
 */
void
ret_image_write(StringInfo out, RetCodec **codecs, int ncodecs,
				const Datum *values, const bool *nulls)
{
	put_values(out, codecs, ncodecs, values, nulls);
}

/*
 * Reads what ret_image_write() wrote; errors when anything is left.
 */
void
ret_image_read(RetBytes *in, RetCodec **codecs, int ncodecs,
			   Datum *values, bool *nulls)
{
	get_values(in, codecs, ncodecs, values, nulls);
	if (in->at != in->end)
		corrupted();
}

/*
 * The bytes of a bytea that is not toasted.
 */
RetBytes
ret_bytes_of(const void *varlena)
{
	RetBytes	bytes;

	bytes.at = VARDATA_ANY(varlena);
	bytes.end = bytes.at + VARSIZE_ANY_EXHDR(varlena);
	return bytes;
}

/*
 * The next one of several images, each after its length.
 */
RetBytes
ret_image_next(RetBytes *images)
{
	uint64		length = get_length(images);
	RetBytes	image;

	image.at = get_bytes(images, length);
	image.end = images->at;
	return image;
}
