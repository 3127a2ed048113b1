/*
 * image.h
 *
 * The row image: values of a row as bytes that outlive its table.
 */
#ifndef RET_IMAGE_H
#define RET_IMAGE_H

#include "fmgr.h"
#include "lib/stringinfo.h"

/* How the values of a type are written. */
typedef enum RetForm
{
	RET_FORM_FIXED,				/* its bytes; their number is the type's */
	RET_FORM_VARLENA,			/* its bytes, after their number */
	RET_FORM_STAMPED,			/* likewise, but that a type's OID is in them */
	RET_FORM_NAME,				/* of a catalog object, by its output function */
	RET_FORM_LABEL,				/* of an enum */
	RET_FORM_ARRAY,
	RET_FORM_RANGE,
	RET_FORM_MULTIRANGE,
	RET_FORM_COMPOSITE
} RetForm;

typedef struct RetCodec
{
	Oid			type;			/* never a domain */
	RetForm		form;
	int16		len;
	bool		byval;
	char		align;
	int			stamp_at;		/* STAMPED: where the OID is, from the start of the value */
	Oid			stamp;			/* STAMPED: which OID it is here */
	FmgrInfo	output;			/* NAME, LABEL */
	FmgrInfo	input;
	Oid			ioparam;
	struct RetCodec *part;		/* of an array, range or multirange */
	int			nparts;			/* COMPOSITE: its live columns */
	struct RetCodec **parts;
	struct TupleDescData *desc;
} RetCodec;

/* Where a decoder stands. */
typedef struct RetBytes
{
	const char *at;
	const char *end;
} RetBytes;

/* codec.c */
extern RetCodec *ret_codec_make(Oid type, int32 typmod);
extern void ret_codec_sign(StringInfo out, const RetCodec *codec);

/* image.c */
extern void ret_encode(StringInfo out, RetCodec *codec, Datum value);
extern Datum ret_decode(RetBytes *in, RetCodec *codec);
extern void ret_image_write(StringInfo out, RetCodec **codecs, int ncodecs,
							const Datum *values, const bool *nulls);
extern void ret_image_read(RetBytes *in, RetCodec **codecs, int ncodecs,
						   Datum *values, bool *nulls);
extern RetBytes ret_bytes_of(const void *varlena);
extern RetBytes ret_image_next(RetBytes *images);
extern void ret_put_length(StringInfo out, uint64 length);

#endif							/* RET_IMAGE_H */
