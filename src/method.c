/*-------------------------------------------------------------------------
 *
 * method.c
 *		Pure: masking, what is left of a text when its person must go.
 *
 * A scrub is "SET c = f(c) WHERE c IS DISTINCT FROM f(c)", and nothing marks
 * a row as done. So each method here gives back unchanged what it made, and
 * takes any value whatever without an error: what is not of the shape that
 * the method is for becomes '***', so that nothing stays because it was
 * written in another way than expected. The empty text stays empty.
 *
 * Where a shape is looked for, full-width and half-width forms are the same
 * (width.c), and what is kept is kept in the folded form. Folding may change
 * the length of a text and costs memory, so only what is short enough to have
 * the shape is folded.
 *
 * Errors about parameters come before the value is looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "method.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/memutils.h"
#include "width.h"

/* in bytes: what is longer is no address, number or postal code */
#define MAX_SHAPE 1024

/* RFC 5321 */
#define MAX_LOCAL 64
#define MAX_DOMAIN 255

PG_FUNCTION_INFO_V1(retention_mask);
PG_FUNCTION_INFO_V1(retention_mask_email);
PG_FUNCTION_INFO_V1(retention_mask_phone);
PG_FUNCTION_INFO_V1(retention_truncate_ip_inet);
PG_FUNCTION_INFO_V1(retention_truncate_ip_cidr);
PG_FUNCTION_INFO_V1(retention_truncate_ip_text);
PG_FUNCTION_INFO_V1(retention_generalize_postal);

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * The bytes of the character that begins here. What is stored may be broken.
 */
static int
char_size(const char *at, const char *end)
{
	/* true of all encodings of servers */
	if (!IS_HIGHBIT_SET(*at))
		return 1;
	return Min(pg_encoding_mblen(GetDatabaseEncoding(), at), end - at);
}

/*
 * A text to look for a shape in: folded, without blanks around it. NULL when
 * it is too long to have one.
 */
static char *
fold_shape(const char *value, int len)
{
	char	   *folded;
	char	   *end;

	if (len > MAX_SHAPE)
		return NULL;
	folded = ret_fold_width(value, len);
	end = folded + strlen(folded);
	while (end > folded && is_space(end[-1]))
		*--end = '\0';
	while (is_space(*folded))
		folded++;
	return end - folded > MAX_SHAPE ? NULL : folded;
}

/*
 * Whether a text at this place is a character that people type for a hyphen.
 */
static bool
is_hyphen(const char *at)
{
	static const char *const hyphens[] = {
		"\342\200\220",			/* U+2010, the hyphen */
		"\342\200\221",			/* U+2011 */
		"\342\200\222",			/* U+2012 */
		"\342\200\223",			/* U+2013, the en dash */
		"\342\200\224",			/* U+2014, the em dash */
		"\342\200\225",			/* U+2015 */
		"\342\210\222",			/* U+2212, the minus sign */
		"\342\224\200",			/* U+2500, of tables */
		"\343\203\274",			/* U+30FC, of long vowels */
	};

	for (size_t i = 0; i < lengthof(hyphens); i++)
		if (strncmp(at, hyphens[i], 3) == 0)
			return true;
	return false;
}

/*
 * fold_shape() for numbers: hyphens of all kinds are '-'.
 */
static char *
fold_number(const char *value, int len)
{
	char	   *folded = fold_shape(value, len);
	char	   *to = folded;

	if (folded == NULL || GetDatabaseEncoding() != PG_UTF8)
		return folded;
	for (char *from = folded; *from;)
	{
		if (is_hyphen(from))
		{
			*to++ = '-';
			from += 3;
		}
		else
			*to++ = *from++;
	}
	*to = '\0';
	return folded;
}

/*
 * Keeps the first and the last characters and puts "filler" for each of the
 * others; for all of them when there are no others. As many characters come
 * out as go in, and at their places, so that doing it again changes nothing.
 */
text *
ret_mask(const text *value, int first, int last, const char *filler,
		 int filler_size)
{
	const char *start = VARDATA_ANY(value);
	const char *end = start + VARSIZE_ANY_EXHDR(value);
	const char *head = start;	/* where the masked part begins */
	const char *tail;			/* and where it ends */
	int64		nchars = 0;
	int64		masked;
	Size		size;
	text	   *result;
	char	   *out;

	for (const char *at = start; at < end; at += char_size(at, end))
		nchars++;
	if (nchars <= (int64) first + last)
		first = last = 0;
	masked = nchars - first - last;
	for (int i = 0; i < first; i++)
		head += char_size(head, end);
	tail = head;
	for (int64 i = 0; i < masked; i++)
		tail += char_size(tail, end);

	/* a star always fits in the place of a character */
	size = (head - start) + (end - tail);
	if (size + masked * filler_size > MaxAllocSize - VARHDRSZ)
	{
		filler = "*";
		filler_size = 1;
	}
	size += masked * filler_size;

	result = palloc(VARHDRSZ + size);
	SET_VARSIZE(result, VARHDRSZ + size);
	out = VARDATA(result);
	memcpy(out, start, head - start);
	out += head - start;
	for (int64 i = 0; i < masked; i++, out += filler_size)
		memcpy(out, filler, filler_size);
	memcpy(out, tail, end - tail);
	return result;
}

/*
 * Whether a text is the domain of an e-mail address: labels with dots between
 * them, of which the last one is no number.
 */
static bool
is_domain(const char *domain)
{
	const char *label = domain;
	int			dots = 0;

	if (strlen(domain) > MAX_DOMAIN)
		return false;
	for (const char *at = domain; *at; at++)
	{
		if (*at == '.')
		{
			if (at == label)
				return false;
			label = at + 1;
			dots++;
		}
		else if (!IS_HIGHBIT_SET(*at) && !is_digit(*at) && *at != '-' &&
				 !(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z'))
			return false;
	}
	return dots > 0 && *label && !is_digit(*label);
}

/*
 * The '@' of an e-mail address; NULL when the text is none. Quoted local
 * parts and names around the address are not understood.
 */
static const char *
find_at_sign(const char *address)
{
	const char *at = strchr(address, '@');

	if (at == NULL || at == address || at - address > MAX_LOCAL ||
		!is_domain(at + 1))
		return NULL;
	for (const char *c = address; c < at; c++)
		if ((unsigned char) *c <= ' ' || *c == '\177' ||
			strchr("\"(),:;<>[\\]", *c) != NULL)
			return NULL;
	return at;
}

/*
 * Keeps the first character and the domain of an e-mail address, unless the
 * first character is all there is before the '@'.
 */
char *
ret_mask_email(const char *value, int len)
{
	char	   *folded = fold_shape(value, len);
	const char *at = folded ? find_at_sign(folded) : NULL;
	char	   *masked;
	int			kept;

	if (len == 0 || at == NULL)
		return pstrdup(len == 0 ? "" : RET_MASKED);
	kept = char_size(folded, at);
	if (*folded == '*' || kept == at - folded)
		kept = 0;
	masked = psprintf("%.*s***%s", kept, folded, at);
	/* what comes out must be read in the same way the next time */
	if (strcmp(ret_fold_width(masked, strlen(masked)), masked) != 0)
		return pstrdup(RET_MASKED);
	return masked;
}

/*
 * Keeps the last digits of a telephone number and what is between the digits.
 * A star is the place of a digit. Shows no more than it hides: of a shorter
 * number nothing is kept.
 */
char *
ret_mask_phone(const char *value, int len, int last)
{
	char	   *number = fold_number(value, len);
	int64		places = 0;
	int64		hidden;

	if (number == NULL)
		return pstrdup(RET_MASKED);
	for (const char *at = number; *at; at++)
	{
		if (is_digit(*at) || *at == '*')
			places++;
		else if (strchr(" -+()./,#", *at) == NULL)
			return pstrdup(RET_MASKED);
	}
	hidden = places < 2 * (int64) last ? places : places - last;
	for (char *at = number; hidden > 0; at++)
		if (is_digit(*at) || *at == '*')
		{
			*at = '*';
			hidden--;
		}
	return number;
}

/*
 * Keeps the first bits of an address that is written as text, and its netmask
 * if it has one.
 */
char *
ret_truncate_ip(const char *value, int len, int v4, int v6)
{
	char	   *folded = fold_shape(value, len);
	bool		is_v6 = folded && strchr(folded, ':') != NULL;
	int			family = is_v6 ? PGSQL_AF_INET6 : PGSQL_AF_INET;
	int			kept = is_v6 ? v6 : v4;
	unsigned char address[16] = {0};
	char		text[64];
	int			bits;

	if (len == 0)
		return pstrdup("");
	bits = folded ? pg_inet_net_pton(family, folded, address, -1) : -1;
	if (bits < 0 || bits > (is_v6 ? 128 : 32))
		return pstrdup(RET_MASKED);
	for (int i = 0; i < (int) sizeof(address); i++)
	{
		int			n = Max(0, Min(8, kept - i * 8));

		address[i] &= (unsigned char) (0xff << (8 - n));
	}
	if (pg_inet_net_ntop(family, address, bits, text, sizeof(text)) == NULL)
		return pstrdup(RET_MASKED);
	return pstrdup(text);
}

/*
 * Keeps the first three digits of a Japanese postal code.
 */
char *
ret_generalize_postal(const char *value, int len)
{
	static const char *const mark = "\343\200\222";	/* U+3012 */
	char	   *at = fold_number(value, len);
	const char *code;
	bool		has_hyphen;

	if (len == 0)
		return pstrdup("");
	if (at == NULL)
		return pstrdup(RET_MASKED);
	if (GetDatabaseEncoding() == PG_UTF8 && strncmp(at, mark, 3) == 0)
		for (at += 3; is_space(*at);)
			at++;
	code = at;
	for (int i = 0; i < 3; i++)
		if (!is_digit(*at++))
			return pstrdup(RET_MASKED);
	has_hyphen = *at == '-' || *at == ' ';
	if (has_hyphen)
		at++;
	for (int i = 0; i < 4; i++, at++)
		if (!is_digit(*at) && *at != '*')
			return pstrdup(RET_MASKED);
	if (*at)
		return pstrdup(RET_MASKED);
	return psprintf("%.3s%s****", code, has_hyphen ? "-" : "");
}

/*
 * Errors unless a number is within its bounds.
 */
static void
check_param(const char *name, int value, int highest)
{
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be negative", name),
				 errhint("0 keeps nothing.")));
	if (value > highest)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be greater than %d", name, highest),
				 errhint("It is how many bits of an address are kept.")));
}

/*
 * retention.mask(value, first, last, filler)
 */
Datum
retention_mask(PG_FUNCTION_ARGS)
{
	int			first = PG_GETARG_INT32(1);
	int			last = PG_GETARG_INT32(2);
	text	   *filler = PG_GETARG_TEXT_PP(3);
	int			size = VARSIZE_ANY_EXHDR(filler);

	check_param("first", first, PG_INT32_MAX);
	check_param("last", last, PG_INT32_MAX);
	if (size == 0 ||
		char_size(VARDATA_ANY(filler), VARDATA_ANY(filler) + size) != size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"filler\" must be one character"),
				 errhint("It stands for each character that is masked, such as '*'.")));
	PG_RETURN_TEXT_P(ret_mask(PG_GETARG_TEXT_PP(0), first, last,
							  VARDATA_ANY(filler), size));
}

/*
 * retention.mask_email(value)
 */
Datum
retention_mask_email(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	char	   *masked = ret_mask_email(VARDATA_ANY(value),
										VARSIZE_ANY_EXHDR(value));

	PG_RETURN_TEXT_P(cstring_to_text(masked));
}

/*
 * retention.mask_phone(value, last)
 */
Datum
retention_mask_phone(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	int			last = PG_GETARG_INT32(1);
	char	   *masked;

	check_param("last", last, PG_INT32_MAX);
	masked = ret_mask_phone(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							last);
	PG_RETURN_TEXT_P(cstring_to_text(masked));
}

static void
check_bits(FunctionCallInfo fcinfo)
{
	check_param("v4", PG_GETARG_INT32(1), 32);
	check_param("v6", PG_GETARG_INT32(2), 128);
}

/*
 * How many bits of an address are kept, of those functions.
 */
static int
kept_bits(FunctionCallInfo fcinfo, inet *value)
{
	check_bits(fcinfo);
	return PG_GETARG_INT32(ip_family(value) == PGSQL_AF_INET ? 1 : 2);
}

/*
 * retention.truncate_ip(value inet, v4, v6): the netmask stays.
 */
Datum
retention_truncate_ip_inet(PG_FUNCTION_ARGS)
{
	inet	   *value = PG_GETARG_INET_PP(0);
	int			kept = kept_bits(fcinfo, value);
	Datum		result = InetPGetDatum(value);

	result = DirectFunctionCall2(inet_set_masklen, result,
								 Int32GetDatum(kept));
	result = DirectFunctionCall1(network_network, result);
	PG_RETURN_DATUM(DirectFunctionCall2(inet_set_masklen, result,
										Int32GetDatum(ip_bits(value))));
}

/*
 * retention.truncate_ip(value cidr, v4, v6): a smaller network becomes the
 * one of that many bits around it.
 */
Datum
retention_truncate_ip_cidr(PG_FUNCTION_ARGS)
{
	inet	   *value = PG_GETARG_INET_PP(0);
	int			kept = Min(kept_bits(fcinfo, value), ip_bits(value));

	PG_RETURN_DATUM(DirectFunctionCall2(cidr_set_masklen,
										InetPGetDatum(value),
										Int32GetDatum(kept)));
}

/*
 * retention.truncate_ip(value text, v4, v6)
 */
Datum
retention_truncate_ip_text(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	char	   *masked;

	check_bits(fcinfo);
	masked = ret_truncate_ip(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							 PG_GETARG_INT32(1), PG_GETARG_INT32(2));
	PG_RETURN_TEXT_P(cstring_to_text(masked));
}

/*
 * retention.generalize_postal(value)
 */
Datum
retention_generalize_postal(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	char	   *masked = ret_generalize_postal(VARDATA_ANY(value),
											   VARSIZE_ANY_EXHDR(value));

	PG_RETURN_TEXT_P(cstring_to_text(masked));
}
