/*-------------------------------------------------------------------------
 *
 * pii_score.c
 *		What a column is, and how sure that is.
 *
 * Pure. Each category that the type can hold gets a confidence of 0 to 1; the
 * highest wins, and counts from RET_PII_THRESHOLD on.
 *
 * Two witnesses are heard. The name says something by itself (pii_names.c):
 * 0.9 for first_name, 0.3 for name. A hint becomes 0.8 if the column or the
 * table is about persons. The values say
 *
 *		how specific such values are * the part of them that looks so,
 *
 * where two values more are counted that do not, so that few values say less
 * than many. For numbers with a check digit, the part that passes counts only
 * as far as chance does not explain it: one random number in ten passes, and
 * the logarithm of the binomial tail, up to one in a million, is the weight.
 *
 * The two are independent, so together they are wrong only if both are:
 *
 *		1 - (1 - name) * (1 - values)
 *
 * But a name does not count where the values cannot be what it says (a column
 * "phone" with models of phones): it is taken times the part that fits. And
 * the whole is damped by what the column or its table is about: the phone of
 * a store is no person's, a number in a column "sku" is no phone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "pii_score.h"

/* a random number passes a check digit; an IBAN has two */
#define CHANCE_OF_DIGIT	0.1
#define CHANCE_OF_IBAN	(1.0 / 97)

typedef struct Trait
{
	const char *plural;			/* for the evidence */
	double		specific;		/* how much values say that look so */
	double		of_code;		/* damped in columns of codes and things */
	double		of_organisation;
	double		of_thing;		/* damped in tables of things */
} Trait;

static const Trait traits[RET_NPII] =
{
	[RET_PII_NAME] = {"names of persons", 0.85, 0.3, 0.3, 0.4},
	[RET_PII_EMAIL] = {"e-mail addresses", 0.98, 0.9, 0.7, 0.9},
	[RET_PII_PHONE] = {"phone numbers", 0.85, 0.3, 0.45, 0.8},
	[RET_PII_ADDRESS] = {"addresses", 0.9, 0.3, 0.45, 0.8},
	[RET_PII_POSTAL_CODE] = {"postal codes", 0.8, 0.3, 0.45, 0.8},
	[RET_PII_BIRTH_DATE] = {"dates", 0, 0.3, 0.5, 0.5},
	[RET_PII_MY_NUMBER] = {"My Numbers", 0.95, 0.7, 0.9, 0.9},
	[RET_PII_CORPORATE_NUMBER] = {"corporate numbers", 0, 0, 0, 0},
	[RET_PII_CREDIT_CARD] = {"card numbers", 0.95, 0.7, 0.9, 0.9},
	[RET_PII_IBAN] = {"IBANs", 0.98, 0.8, 0.6, 0.9},
	[RET_PII_IP_ADDRESS] = {"IP addresses", 0.7, 0.4, 0.4, 0.5},
	[RET_PII_GENDER] = {"genders", 0.7, 0.5, 0.4, 0.3},
	[RET_PII_USERNAME] = {"user names", 0, 0.3, 0.4, 0.4},
	[RET_PII_PASSWORD] = {"passwords", 0, 0.3, 1, 1},
	[RET_PII_PHOTO] = {"pictures", 0, 0.3, 0.3, 0.3},
	[RET_PII_LOCATION] = {"coordinates", 0.5, 0.3, 0.3, 0.4},
	[RET_PII_PASSPORT] = {"passport numbers", 0.4, 0.3, 0.9, 0.9},
	[RET_PII_BANK_ACCOUNT] = {"account numbers", 0, 0.3, 0.5, 0.9}
};

/*
 * The chance that of n trials at least k succeed.
 */
double
ret_binomial_tail(int n, int k, double p)
{
	double		tail = 0;

	for (int i = k; i <= n; i++)
		tail += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) +
					i * log(p) + (n - i) * log(1 - p));
	return Min(tail, 1);
}

static bool
can_hold(RetPiiKind kind, RetPii category)
{
	/* known, so that nothing else is seen in it; a company is no person */
	if (category == RET_PII_CORPORATE_NUMBER)
		return false;
	switch (kind)
	{
		case RET_KIND_TEXT:
			return true;
		case RET_KIND_INTEGER:
			return category == RET_PII_POSTAL_CODE ||
				category == RET_PII_GENDER || category == RET_PII_BIRTH_DATE;
		case RET_KIND_NUMBER:
			return category == RET_PII_PHONE ||
				category == RET_PII_POSTAL_CODE ||
				category == RET_PII_MY_NUMBER ||
				category == RET_PII_CREDIT_CARD ||
				category == RET_PII_BANK_ACCOUNT ||
				category == RET_PII_LOCATION;
		case RET_KIND_FLOAT:
		case RET_KIND_POINT:
			return category == RET_PII_LOCATION;
		case RET_KIND_DATE:
			return category == RET_PII_BIRTH_DATE;
		case RET_KIND_ENUM:
			return category == RET_PII_GENDER;
		case RET_KIND_INET:
			return category == RET_PII_IP_ADDRESS;
		case RET_KIND_BYTES:
			return category == RET_PII_PHOTO || category == RET_PII_PASSWORD;
		case RET_KIND_OBJECT:
			return category == RET_PII_PHOTO;
		default:
			return false;
	}
}

/*
 * What the name says about its category.
 */
static double
hear_name(const RetNameSense *name, const RetTableSense *table)
{
	RetContext	context = name->context != RET_CONTEXT_NONE ?
		name->context : table->context;

	if (name->is_part)
		return table->has_address || context == RET_CONTEXT_PERSON ?
			RET_LIKELY : name->weight;
	if (name->weight <= RET_HINT)
	{
		if (context == RET_CONTEXT_PERSON)
			return 0.8;
		if (context != RET_CONTEXT_NONE)
			return name->weight * 0.5;
	}
	return name->weight;
}

/*
 * What the values say about a category.
 */
static double
hear_values(const RetPiiValues *values, RetPii category)
{
	const RetChecked *checked = &values->checked[category];
	double		part;
	double		chance;

	if (values->n == 0)
		return 0;
	if (category != RET_PII_MY_NUMBER && category != RET_PII_CREDIT_CARD &&
		category != RET_PII_IBAN)
		return traits[category].specific *
			values->strength[category] / (values->n + 2);

	if (checked->passed == 0 ||
		(category != RET_PII_IBAN && values->articles * 2 > values->distinct))
		return 0;
	part = (double) checked->shaped / values->distinct;
	chance = ret_binomial_tail(checked->shaped, checked->passed,
							   category == RET_PII_IBAN ? CHANCE_OF_IBAN :
							   CHANCE_OF_DIGIT);
	if (checked->passed * 2 < checked->shaped)
		part *= (double) checked->passed / checked->shaped;
	return traits[category].specific * part *
		Min(-log10(Max(chance, 1e-6)) / 6, 1);
}

/*
 * The part of the values that can be what the name says. Without values there
 * is nothing to be said against it, and few do not say much.
 */
static double
hear_doubt(const RetPiiValues *values, RetPii category)
{
	double		fitting = values->fits[category] + 1;
	double		part = fitting / (values->n + 1);

	/* a code of many values is no gender */
	if (category == RET_PII_GENDER && values->distinct > 12)
		return 0;
	return part >= 0.8 ? 1 : part < 0.2 ? 0 : part;
}

/*
 * How much it counts in a column or table that is about something else.
 */
static double
damping(const RetNameSense *name, const RetTableSense *table,
		RetPii category)
{
	const Trait *trait = &traits[category];
	bool		is_named = name->category == category;
	RetContext	context = name->context;

	if (context == RET_CONTEXT_PERSON)
		return 1;
	if (context == RET_CONTEXT_CODE || context == RET_CONTEXT_THING)
		return is_named && context == RET_CONTEXT_CODE ? 1 : trait->of_code;
	if (context == RET_CONTEXT_ORGANISATION || context == RET_CONTEXT_PARTNER)
		return trait->of_organisation;
	/* a first name is a person's, whatever the table */
	if (is_named && category == RET_PII_NAME && name->weight == RET_SURE)
		return 1;
	switch (table->context)
	{
		case RET_CONTEXT_ORGANISATION:
		case RET_CONTEXT_REFERENCE:
			return trait->of_organisation;
		case RET_CONTEXT_PARTNER:
			return table->has_person ? 1 : trait->of_organisation;
		case RET_CONTEXT_THING:
			return trait->of_thing;
		default:
			return 1;
	}
}

static double
confidence(const RetNameSense *name, const RetTableSense *table,
		   const RetPiiValues *values, RetPii category)
{
	double		by_name = 0;
	double		by_values = hear_values(values, category);

	if (name->category == category)
		by_name = hear_name(name, table) * hear_doubt(values, category);
	/* the name of something else is no name of a person */
	if (values->n > 0 && category == RET_PII_NAME)
		by_name *= 1 - (double) values->organisations / values->n;
	return (1 - (1 - by_name) * (1 - by_values)) *
		damping(name, table, category);
}

/*
 * "name: "mail"; values: 998 of 1000 are e-mail addresses". Never a value.
 */
static char *
make_evidence(const RetNameSense *name, const RetPiiValues *values,
			  RetPii category)
{
	const RetChecked *checked = &values->checked[category];
	StringInfoData text;

	initStringInfo(&text);
	if (name->category == category)
		appendStringInfo(&text, "name: \"%s\"",
						 pg_any_to_server(name->word, strlen(name->word),
										  PG_UTF8));
	if (values->n == 0)
		return text.data;
	if (category == RET_PII_MY_NUMBER || category == RET_PII_CREDIT_CARD ||
		category == RET_PII_IBAN)
	{
		if (checked->shaped > 0)
			appendStringInfo(&text,
							 "%svalues: the check digits of %d of %d different %s are right",
							 text.len > 0 ? "; " : "", checked->passed,
							 checked->shaped, traits[category].plural);
	}
	else if (values->hits[category] > 0)
		appendStringInfo(&text, "%svalues: %d of %d %s %s",
						 text.len > 0 ? "; " : "", values->hits[category],
						 values->n, values->n == 1 ? "is among" : "are",
						 traits[category].plural);
	else
		appendStringInfo(&text, "%svalues: %d of %d can be %s",
						 text.len > 0 ? "; " : "", values->fits[category],
						 values->n, traits[category].plural);
	return text.data;
}

/*
 * The category that a column is most likely of. In the current memory
 * context.
 */
RetFinding
ret_pii_judge(const RetNameSense *name, const RetTableSense *table,
			  const RetPiiValues *values, RetPiiKind kind)
{
	RetFinding	best = {RET_PII_NONE, 0, NULL};

	for (int i = 0; i < RET_NPII; i++)
	{
		double		found;

		if (!can_hold(kind, i))
			continue;
		found = confidence(name, table, values, i);
		if (found > best.confidence)
		{
			best.category = i;
			best.confidence = found;
		}
	}
	if (best.confidence < RET_PII_THRESHOLD)
		best.category = RET_PII_NONE;
	else
		best.evidence = make_evidence(name, values, best.category);
	return best;
}
