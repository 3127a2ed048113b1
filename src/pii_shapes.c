/*-------------------------------------------------------------------------
 *
 * pii_shapes.c
 *		What one value looks like: numbers, and what is written with signs.
 *
 * Pure. Names and addresses, which need lists of words, are in
 * pii_text_shapes.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "pii_names.h"
#include "pii_shapes.h"
#include "validators.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Hyphens and dashes as people type them; behind a digit also the long vowel
 * mark, which is on the same key.
 */
static bool
is_hyphen(pg_wchar c, bool after_digit)
{
	return (c >= 0x2010 && c <= 0x2015) || c == 0x2212 || c == 0xFE63 ||
		(c == 0x30FC && after_digit);
}

/*
 * The text with its widths folded, one kind of hyphen and of space, and
 * nothing but itself.
 */
static char *
clean(const char *text)
{
	char	   *folded = ret_utf8(text);
	int			len = strlen(folded);
	char	   *out = palloc(len + 1);
	int			n = 0;

	for (int at = 0; at < len;)
	{
		pg_wchar	c;
		int			taken = ret_utf8_next(folded + at, len - at, &c);
		bool		is_space = c <= ' ' || c == 0xA0 || c == 0x3000;

		if (is_hyphen(c, n > 0 && is_digit(out[n - 1])))
			out[n++] = '-';
		else if (!is_space)
		{
			memcpy(out + n, folded + at, taken);
			n += taken;
		}
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
		at += taken;
	}
	if (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	pfree(folded);
	return out;
}

/*
 * Prepares a value. In the current memory context.
 */
void
ret_value_prepare(RetValue *value, const char *text, bool is_number)
{
	memset(value, 0, sizeof(*value));
	value->text = clean(text);
	value->len = strlen(value->text);
	value->is_number = is_number;
	for (int at = 0; at < value->len; value->chars++)
	{
		pg_wchar	c;

		at += ret_utf8_next(value->text + at, value->len - at, &c);
		if (c >= '0' && c <= '9')
			value->digits++;
		else if (c >= 0x80 || is_alpha((char) c))
			value->letters++;
	}
	value->nnumber = ret_strip_separators(value->text, value->number,
										  RET_MAX_NUMBER);
	value->is_digits = value->nnumber > 0 &&
		(int) strspn(value->number, "0123456789") == value->nnumber;
}

/* ---------- e-mail ---------- */

static bool
is_domain(const char *domain)
{
	const char *label = domain;
	const char *top = NULL;

	for (const char *at = domain;; at++)
	{
		if (*at == '.' || *at == '\0')
		{
			if (at == label || *label == '-' || at[-1] == '-')
				return false;
			top = label;
			if (*at == '\0')
				break;
			label = at + 1;
		}
		else if (!is_alpha(*at) && !is_digit(*at) && *at != '-')
			return false;
	}
	/* a country or the like; icon@2x.png is a file */
	return top != domain && strlen(top) >= 2 &&
		strspn(top, "0123456789") == 0 && pg_strcasecmp(top, "png") != 0 &&
		pg_strcasecmp(top, "jpg") != 0 && pg_strcasecmp(top, "gif") != 0 &&
		pg_strcasecmp(top, "webp") != 0 && pg_strcasecmp(top, "svg") != 0;
}

double
ret_looks_like_email(const RetValue *value)
{
	const char *at = strchr(value->text, '@');
	const char *text = value->text;

	if (at == NULL || at == text || at - text > 64)
		return 0;
	for (; text < at; text++)
		if (!is_alpha(*text) && !is_digit(*text) &&
			strchr(".!#$%&'*+/=?^_`{|}~-", *text) == NULL)
			return 0;
	return is_domain(at + 1) ? 1 : 0;
}

/* ---------- phone ---------- */

/*
 * Splits a number into its groups of digits; 0 where there is anything else
 * than digits and the signs that phone numbers have between them.
 */
static int
split_groups(const char *text, int *groups, int max)
{
	int			n = 0;
	bool		inside = false;

	for (; *text; text++)
	{
		if (is_digit(*text))
		{
			if (!inside)
			{
				if (n == max)
					return 0;
				groups[n++] = 0;
			}
			groups[n - 1]++;
		}
		else if (strchr("-() ./", *text) == NULL)
			return 0;
		inside = is_digit(*text);
	}
	return n;
}

/*
 * Numbers within Japan: the area code and the rest have ten digits together;
 * mobile phones and a few others have eleven.
 */
static double
domestic(const char *digits, int ndigits, const int *groups, int ngroups)
{
	bool		is_mobile = ndigits == 11 && digits[2] == '0' &&
		strchr("256789", digits[1]) != NULL;

	if (digits[0] != '0' || digits[1] == '0')
		return 0;
	if (ngroups == 1)
		return is_mobile && digits[3] != '0' ? 0.8 :
			ndigits == 10 ? 0.65 : 0;
	if (ngroups == 2)
		return (ndigits == 10 && groups[0] >= 2) || is_mobile ? 0.6 : 0;
	if (ngroups != 3)
		return 0;
	if (is_mobile)
		return (groups[0] == 3 && groups[1] == 4) ||
			(groups[0] == 4 && groups[1] == 3) ? 1 : 0;
	if (ndigits != 10)
		return 0;
	if (groups[2] == 4 && groups[0] >= 2 && groups[0] <= 5 && groups[1] >= 1)
		return 1;
	/* 0120-123-456 */
	return groups[0] == 4 && groups[1] == 3 && groups[2] == 3 ? 1 : 0;
}

double
ret_looks_like_phone(const RetValue *value)
{
	const char *text = value->text;
	char		digits[RET_MAX_NUMBER];
	int			groups[6];
	int			ngroups;
	int			n = 0;

	if (value->is_number || value->digits < 9 || value->digits > 15)
		return 0;
	if (pg_strncasecmp(text, "tel:", 4) == 0)
		text += 4;
	ngroups = split_groups(*text == '+' ? text + 1 : text, groups,
						   lengthof(groups));
	if (ngroups == 0)
		return 0;
	if (*text == '+')
		return text[1] >= '1' && text[1] <= '9' ? 1 : 0;
	for (const char *at = text; *at; at++)
		if (is_digit(*at))
			digits[n++] = *at;
	if (digits[0] == '0')
		return n <= 11 && n >= 10 ? domestic(digits, n, groups, ngroups) : 0;
	/* North America: 212-555-0100 */
	if (n == 10 && ngroups == 3 && groups[0] == 3 && groups[1] == 3 &&
		digits[0] >= '2' && digits[3] >= '2')
		return 0.9;
	return 0;
}

/* ---------- the rest ---------- */

double
ret_looks_like_postal_code(const RetValue *value)
{
	const char *text = value->text;
	bool		is_marked = strncmp(text, "〒", 3) == 0;

	if (is_marked)
		text += text[3] == ' ' ? 4 : 3;
	if (value->digits != 7 || strspn(text, "0123456789") != 3 ||
		text[3] != '-' || strspn(text + 4, "0123456789") != 4 ||
		text[8] != '\0')
		return is_marked && value->digits == 7 ? 1 : 0;
	return is_marked ? 1 : 0.45;
}

/*
 * Numbers of versions look like addresses; their parts are small.
 */
static double
looks_like_ipv4(const char *text)
{
	int			parts[4];
	int			n = 0;

	while (n < 4)
	{
		int			digits = strspn(text, "0123456789");

		if (digits == 0 || digits > 3 || (digits > 1 && text[0] == '0'))
			return 0;
		parts[n] = atoi(text);
		if (parts[n++] > 255)
			return 0;
		text += digits;
		if (n < 4 && *text++ != '.')
			return 0;
	}
	if (*text == '/')
		text += 1 + strspn(text + 1, "0123456789");
	if (*text != '\0')
		return 0;
	return parts[0] == 0 || (parts[0] < 30 && parts[1] < 30 &&
							 parts[2] < 100) ? 0.3 : 1;
}

double
ret_looks_like_ip(const RetValue *value)
{
	unsigned char address[16];

	if (strchr(value->text, ':') == NULL)
		return looks_like_ipv4(value->text);
	return value->len < 46 && value->chars > 4 &&
		inet_pton(AF_INET6, value->text, address) == 1 ? 1 : 0;
}

double
ret_looks_like_passport(const RetValue *value)
{
	const char *number = value->number;

	return value->nnumber == 9 && is_alpha(number[0]) &&
		is_alpha(number[1]) && strspn(number + 2, "0123456789") == 7 ? 1 : 0;
}

double
ret_looks_like_gender(const RetValue *value)
{
	static const char *const genders[] = {
		"男", "女", "男性", "女性", "male", "female", "オトコ", "オンナ"
	};

	for (int i = 0; i < (int) lengthof(genders); i++)
		if (pg_strcasecmp(value->text, genders[i]) == 0)
			return 1;
	return 0;
}

/*
 * Latitude and longitude with their fractions: 35.6812,139.7671
 */
double
ret_looks_like_location(const RetValue *value)
{
	const char *text = value->text + (value->text[0] == '(' ? 1 : 0);
	double		first;
	double		second;
	char	   *end;

	if (strspn(text, "0123456789.,+-() ") != strlen(text) ||
		strchr(text, '.') == NULL || strchr(text, ',') == NULL)
		return 0;
	first = strtod(text, &end);
	if (end == text || *end != ',')
		return 0;
	text = end + 1;
	second = strtod(text, &end);
	if (end == text || (*end != '\0' && *end != ')') ||
		strchr(text, '.') == NULL)
		return 0;
	return first >= -90 && first <= 90 && second >= -180 && second <= 180;
}

/*
 * A date of the last 200 years, or a year alone, or a date in a Japanese era.
 */
bool
ret_fits_birth_date(const RetValue *value)
{
	static const char *const eras[] = {
		"明治", "大正", "昭和", "平成", "令和", "M", "T", "S", "H", "R"
	};
	const char *text = value->text;
	int			year;

	for (int i = 0; i < (int) lengthof(eras); i++)
		if (strncmp(text, eras[i], strlen(eras[i])) == 0 &&
			(is_digit(text[strlen(eras[i])]) ||
			 strncmp(text + strlen(eras[i]), "元", 3) == 0))
			return true;
	if (strspn(text, "0123456789") < 4)
	{
		/* 23/04/1985, Apr 23 1985 */
		return value->digits >= 5 && value->digits <= 8 &&
			value->chars <= 20;
	}
	year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 +
		(text[2] - '0') * 10 + (text[3] - '0');
	return year >= 1880 && year < 2080 && value->digits <= 14;
}
