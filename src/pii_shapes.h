/*
 * pii_shapes.h
 *
 * What one value looks like.
 */
#ifndef RET_PII_SHAPES_H
#define RET_PII_SHAPES_H

#include "pii.h"

#define RET_MAX_NUMBER 40

/* A value, prepared for being looked at from all sides. */
typedef struct RetValue
{
	const char *text;			/* UTF-8, folded, trimmed, one kind of hyphen */
	int			len;
	bool		is_number;		/* of a numeric column: leading zeros are lost */
	char		number[RET_MAX_NUMBER]; /* without spaces and hyphens */
	int			nnumber;		/* 0: it is not such */
	bool		is_digits;		/* the number */
	int			digits;			/* how many, anywhere */
	int			letters;		/* of any script */
	int			chars;
} RetValue;

extern void ret_value_prepare(RetValue *value, const char *text,
							  bool is_number);

/* How surely a value is of a category: 0 to 1. */
extern double ret_looks_like_email(const RetValue *value);
extern double ret_looks_like_phone(const RetValue *value);
extern double ret_looks_like_postal_code(const RetValue *value);
extern double ret_looks_like_ip(const RetValue *value);
extern double ret_looks_like_passport(const RetValue *value);
extern double ret_looks_like_gender(const RetValue *value);
extern double ret_looks_like_location(const RetValue *value);

/* Whether it can be, where the name of the column says so. */
extern bool ret_fits_birth_date(const RetValue *value);

/* pii_text_shapes.c */
extern double ret_looks_like_name(const RetValue *value);
extern double ret_looks_like_address(const RetValue *value);
extern bool ret_is_organisation(const RetValue *value);

#endif							/* RET_PII_SHAPES_H */
