/*-------------------------------------------------------------------------
 *
 * pii_values.c
 *		What the values of a column look like, counted.
 *
 * Pure. Of each value it is noted which categories it looks like by itself
 * ("hits") and which it can be of if the name of the column says so ("fits").
 * Numbers with a check digit are counted once each, however often they come:
 * that one number passes many times says nothing about the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "pii_shapes.h"
#include "pii_values.h"
#include "validators.h"

/* of what is longer than this, nothing is a value of a category */
#define MAX_CHARS 200

/*
 * Counters for at most "max" values. In the current memory context.
 */
RetPiiValues *
ret_pii_values_make(int max)
{
	RetPiiValues *values = palloc0(sizeof(RetPiiValues));

	values->nslots = 16;
	while (values->nslots < max * 2)
		values->nslots *= 2;
	values->seen = palloc0(sizeof(uint64) * values->nslots);
	return values;
}

/*
 * Whether a value comes for the first time.
 */
static bool
is_new(RetPiiValues *values, const RetValue *value)
{
	uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) value->text,
														value->len, 0));
	int			mask = values->nslots - 1;
	int			slot;

	if (hash == 0)
		hash = 1;
	for (slot = hash & mask; values->seen[slot] != 0; slot = (slot + 1) & mask)
		if (values->seen[slot] == hash)
			return false;
	if (values->distinct * 2 < values->nslots)
		values->seen[slot] = hash;
	values->distinct++;
	return true;
}

static void
note(RetPiiValues *values, RetPii category, double strength)
{
	if (strength <= 0)
		return;
	values->hits[category]++;
	values->strength[category] += strength;
}

static void
check(RetPiiValues *values, RetPii category, bool shaped, bool passed)
{
	if (!shaped)
		return;
	values->checked[category].shaped++;
	if (passed)
		values->checked[category].passed++;
}

/*
 * Numbers with check digits. A numeric column has lost leading zeros.
 */
static void
count_checked(RetPiiValues *values, const RetValue *value)
{
	const char *number = value->number;
	int			len = value->nnumber;
	char		padded[13];

	if (value->is_digits)
	{
		if (value->is_number && len >= 10 && len < 12)
		{
			snprintf(padded, sizeof(padded), "%0*d%s", 12 - len, 0, number);
			check(values, RET_PII_MY_NUMBER, true,
				  ret_is_my_number(padded, 12));
		}
		check(values, RET_PII_MY_NUMBER, len == 12,
			  ret_is_my_number(number, len));
		check(values, RET_PII_CORPORATE_NUMBER, len == 13,
			  ret_is_corporate_number(number, len));
		check(values, RET_PII_CREDIT_CARD, ret_is_card_shape(number, len),
			  ret_is_luhn(number, len));
		if (ret_is_jan(number, len))
			values->articles++;
	}
	check(values, RET_PII_IBAN, ret_is_iban_shape(number, len),
		  ret_is_iban(number, len));
}

static bool
fits_phone(const RetValue *value)
{
	return value->digits >= 6 && value->digits <= 16 && value->letters <= 4;
}

static bool
fits_postal_code(const RetValue *value)
{
	return value->chars >= 3 && value->chars <= 10 && value->digits >= 2 &&
		(int) strspn(value->text, "0123456789") + 5 >= value->len &&
		strpbrk(value->text, "@./:") == NULL;
}

static bool
is_amount(const RetValue *value)
{
	return (int) strspn(value->text, "0123456789.-") == value->len &&
		strchr(value->text, '.') != NULL;
}

/*
 * What a value can be, if the name says so.
 */
static void
count_fits(RetPiiValues *values, const RetValue *value, const bool *hit)
{
	bool		fits[RET_NPII] = {0};
	bool		is_mask = strspn(value->text, "*xX•-. ") >= 4;

	fits[RET_PII_NAME] = value->digits == 0 && value->letters >= 1 &&
		value->chars <= 60 && strpbrk(value->text, "@/_:") == NULL &&
		!ret_is_organisation(value);
	fits[RET_PII_EMAIL] = strchr(value->text, '@') != NULL;
	fits[RET_PII_PHONE] = fits_phone(value);
	fits[RET_PII_ADDRESS] = value->letters >= 2 &&
		strpbrk(value->text, "@") == NULL && strstr(value->text, "://") == NULL;
	fits[RET_PII_POSTAL_CODE] = fits_postal_code(value);
	fits[RET_PII_BIRTH_DATE] = ret_fits_birth_date(value);
	fits[RET_PII_MY_NUMBER] = value->is_digits &&
		(value->nnumber == 12 || (value->is_number && value->nnumber >= 10 &&
								  value->nnumber < 12));
	fits[RET_PII_CORPORATE_NUMBER] = value->is_digits && value->nnumber == 13;
	fits[RET_PII_CREDIT_CARD] = value->is_digits && value->nnumber >= 13 &&
		value->nnumber <= 19 && !is_mask;
	fits[RET_PII_IBAN] = ret_is_iban_shape(value->number, value->nnumber);
	fits[RET_PII_IP_ADDRESS] = hit[RET_PII_IP_ADDRESS];
	fits[RET_PII_GENDER] = value->chars <= 20 && !is_amount(value);
	fits[RET_PII_USERNAME] = value->chars <= 100;
	fits[RET_PII_PASSWORD] = value->chars >= 3;
	fits[RET_PII_PHOTO] = !value->is_number && value->chars >= 3;
	fits[RET_PII_LOCATION] = hit[RET_PII_LOCATION] || is_amount(value);
	fits[RET_PII_PASSPORT] = value->nnumber >= 6 && value->nnumber <= 10 &&
		value->digits >= 6;
	fits[RET_PII_BANK_ACCOUNT] = value->digits >= 4 && value->digits <= 20 &&
		value->letters <= 4 && value->nnumber > 0;
	for (int i = 0; i < RET_NPII; i++)
		if (fits[i] || hit[i])
			values->fits[i]++;
}

/*
 * Looks at a value. The current memory context is littered.
 */
void
ret_pii_values_add(RetPiiValues *values, const char *text, bool is_number)
{
	RetValue	value;
	int			before[RET_NPII];
	bool		hit[RET_NPII];

	ret_value_prepare(&value, text, is_number);
	if (value.len == 0)
		return;
	values->n++;
	if (is_new(values, &value))
		count_checked(values, &value);
	if (value.chars > MAX_CHARS)
		return;

	memcpy(before, values->hits, sizeof(before));
	if (!is_number)
	{
		note(values, RET_PII_NAME, ret_looks_like_name(&value));
		note(values, RET_PII_EMAIL, ret_looks_like_email(&value));
		note(values, RET_PII_PHONE, ret_looks_like_phone(&value));
		note(values, RET_PII_ADDRESS, ret_looks_like_address(&value));
		note(values, RET_PII_POSTAL_CODE, ret_looks_like_postal_code(&value));
		note(values, RET_PII_IP_ADDRESS, ret_looks_like_ip(&value));
		note(values, RET_PII_PASSPORT, ret_looks_like_passport(&value));
		note(values, RET_PII_GENDER, ret_looks_like_gender(&value));
		note(values, RET_PII_LOCATION, ret_looks_like_location(&value));
		if (ret_is_organisation(&value))
			values->organisations++;
	}
	for (int i = 0; i < RET_NPII; i++)
		hit[i] = values->hits[i] > before[i];
	count_fits(values, &value, hit);
}

/*
 * Whether a text is, by itself, a value of somebody.
 */
bool
ret_looks_personal(const char *text)
{
	RetValue	value;

	ret_value_prepare(&value, text, false);
	return value.digits > 3 || ret_looks_like_name(&value) > 0 ||
		ret_looks_like_email(&value) > 0 ||
		ret_looks_like_address(&value) > 0;
}
