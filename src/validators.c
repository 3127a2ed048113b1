/*-------------------------------------------------------------------------
 *
 * validators.c
 *		Numbers with check digits, and the SQL functions that check them.
 *
 * One random number in ten passes most of these checks, so that a single
 * value that passes proves nothing. A column whose values all pass does;
 * pii_values.c counts.
 *
 * The functions take digits without separators. The SQL functions accept what
 * people write: full-width digits, and spaces and hyphens between groups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "validators.h"
#include "width.h"

PG_FUNCTION_INFO_V1(retention_is_my_number);
PG_FUNCTION_INFO_V1(retention_is_corporate_number);
PG_FUNCTION_INFO_V1(retention_is_credit_card);
PG_FUNCTION_INFO_V1(retention_is_iban);

/* the longest of these numbers, an IBAN, with its end */
#define MAX_NUMBER 35

/* How long the IBANs of a country are. */
static const struct
{
	char		country[3];
	int			length;
}			iban_lengths[] =
{
	{"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20},
	{"BE", 16}, {"BG", 22}, {"BH", 22}, {"BR", 29}, {"CH", 21}, {"CR", 22},
	{"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DK", 18}, {"DO", 28}, {"EE", 20},
	{"EG", 29}, {"ES", 24}, {"FI", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22},
	{"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HR", 21},
	{"HU", 28}, {"IE", 22}, {"IL", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30},
	{"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LI", 21}, {"LT", 20}, {"LU", 20},
	{"LV", 21}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MT", 31},
	{"MU", 30}, {"NL", 18}, {"NO", 15}, {"PK", 24}, {"PL", 28}, {"PT", 25},
	{"QA", 29}, {"RO", 24}, {"RS", 22}, {"SA", 24}, {"SE", 24}, {"SI", 19},
	{"SK", 24}, {"SM", 27}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"XK", 20}
};

static bool
is_digits(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0;
}

/*
 * The Japanese Individual Number: 12 digits, the last one checks the others.
 * Ordinance of the Ministry of Internal Affairs and Communications 85 of
 * 2014, article 5.
 */
bool
ret_is_my_number(const char *digits, int len)
{
	static const int weights[] = {6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2};
	int			sum = 0;
	int			rest;

	if (len != 12 || !is_digits(digits, len))
		return false;
	for (int i = 0; i < 11; i++)
		sum += (digits[i] - '0') * weights[i];
	rest = sum % 11;
	return digits[11] - '0' == (rest <= 1 ? 0 : 11 - rest);
}

/*
 * The Japanese Corporate Number: 13 digits, the first one checks the others.
 */
bool
ret_is_corporate_number(const char *digits, int len)
{
	int			sum = 0;

	if (len != 13 || !is_digits(digits, len))
		return false;
	for (int i = 1; i < 13; i++)
		sum += (digits[i] - '0') * (i % 2 == 1 ? 2 : 1);
	return digits[0] - '0' == 9 - sum % 9;
}

/*
 * Whether the last digit checks the others as ISO/IEC 7812 has it.
 */
bool
ret_is_luhn(const char *digits, int len)
{
	int			sum = 0;

	if (!is_digits(digits, len))
		return false;
	for (int i = 0; i < len; i++)
	{
		int			digit = digits[len - 1 - i] - '0';

		if (i % 2 == 1)
			digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
		sum += digit;
	}
	return sum % 10 == 0;
}

/*
 * Whether a number begins as those of an issuer of cards do, and is as long.
 */
bool
ret_is_card_shape(const char *digits, int len)
{
	int			four;

	if (len < 13 || len > 19 || !is_digits(digits, len))
		return false;
	four = (digits[0] - '0') * 1000 + (digits[1] - '0') * 100 +
		(digits[2] - '0') * 10 + (digits[3] - '0');
	switch (digits[0])
	{
		case '4':				/* Visa */
			return len == 13 || len == 16 || len == 19;
		case '5':				/* Mastercard, Maestro */
			return (four >= 5100 && four <= 5599 && len == 16) ||
				(four / 100 == 50 && len >= 13);
		case '2':				/* Mastercard */
			return four >= 2221 && four <= 2720 && len == 16;
		case '3':				/* American Express, Diners Club, JCB */
			return ((four / 100 == 34 || four / 100 == 37) && len == 15) ||
				((four / 10 >= 300 && four / 10 <= 305) && len == 14) ||
				((four / 100 == 36 || four / 100 == 38 ||
				  four / 100 == 39) && (len == 14 || len == 16)) ||
				(four >= 3528 && four <= 3589 && len >= 16);
		case '6':				/* Discover, UnionPay */
			return (four / 100 == 62 || four == 6011 ||
					(four >= 6440 && four <= 6599)) && len >= 16;
		default:
			return false;
	}
}

/*
 * The number of an article of commerce: JAN, EAN-13, ISBN-13.
 */
bool
ret_is_jan(const char *digits, int len)
{
	int			sum = 0;

	if (len != 13 || !is_digits(digits, len))
		return false;
	for (int i = 0; i < 13; i++)
		sum += (digits[i] - '0') * (i % 2 == 1 ? 3 : 1);
	return sum % 10 == 0;
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/*
 * Two letters, two digits, then letters and digits; as long as the country
 * has them where it is one that is known.
 */
bool
ret_is_iban_shape(const char *text, int len)
{
	if (len < 15 || len > 34 || !is_upper(text[0]) || !is_upper(text[1]) ||
		!is_digits(text + 2, 2))
		return false;
	for (int i = 4; i < len; i++)
		if (!is_upper(text[i]) && !is_digits(text + i, 1))
			return false;
	for (int i = 0; i < (int) lengthof(iban_lengths); i++)
		if (strncmp(iban_lengths[i].country, text, 2) == 0)
			return iban_lengths[i].length == len;
	return true;
}

/*
 * ISO 13616: with the first four characters at the end, and letters as
 * numbers from 10 on, 1 remains modulo 97.
 */
bool
ret_is_iban(const char *text, int len)
{
	int			rest = 0;

	if (!ret_is_iban_shape(text, len))
		return false;
	for (int i = 0; i < len; i++)
	{
		char		c = text[(i + 4) % len];

		rest = is_upper(c) ? (rest * 100 + (c - 'A' + 10)) % 97 :
			(rest * 10 + (c - '0')) % 97;
	}
	return rest == 1;
}

/*
 * Copies a text without the spaces and hyphens in it, letters in upper case.
 * Returns how long the copy is; 0 when it would not fit, or where a separator
 * stands at an end or beside another.
 */
int
ret_strip_separators(const char *text, char *out, int size)
{
	int			len = 0;
	bool		was_separator = true;

	for (; *text; text++)
	{
		bool		is_separator = *text == ' ' || *text == '-';

		if (is_separator && was_separator)
			return 0;
		was_separator = is_separator;
		if (is_separator)
			continue;
		if (len + 1 >= size)
			return 0;
		out[len++] = pg_ascii_toupper((unsigned char) *text);
	}
	out[len] = '\0';
	return was_separator ? 0 : len;
}

/* ---------- SQL ---------- */

static bool
passes(FunctionCallInfo fcinfo, bool (*validator) (const char *, int))
{
	char	   *arg = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			length = strlen(arg);
	char		number[MAX_NUMBER];
	char	   *folded;
	int			len;

	/* with every character a full-width one and a space after it */
	if (length > MAX_NUMBER * 6)
		return false;
	folded = ret_fold_width(arg, length);
	len = ret_strip_separators(folded, number, MAX_NUMBER);
	return validator(number, len);
}

static bool
is_card(const char *digits, int len)
{
	return ret_is_card_shape(digits, len) && ret_is_luhn(digits, len);
}

/*
 * retention.is_my_number(text)
 */
Datum
retention_is_my_number(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(passes(fcinfo, ret_is_my_number));
}

/*
 * retention.is_corporate_number(text)
 */
Datum
retention_is_corporate_number(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(passes(fcinfo, ret_is_corporate_number));
}

/*
 * retention.is_credit_card(text)
 */
Datum
retention_is_credit_card(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(passes(fcinfo, is_card));
}

/*
 * retention.is_iban(text)
 */
Datum
retention_is_iban(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(passes(fcinfo, ret_is_iban));
}
