/*-------------------------------------------------------------------------
 *
 * pii_text_shapes.c
 *		What one value looks like: names of people, addresses, companies.
 *
 * Pure. Japanese names are told by the most frequent surnames and given
 * names, and by the characters that given names end with; addresses by the
 * prefecture they begin with, or by the units of towns and their numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "pii_names.h"
#include "pii_shapes.h"

#define MAX_NAME 20				/* characters of a Japanese name */
#define MAX_PARTS 4				/* words of a name */

/* A name that is both, or one of both only; many surnames are towns, too. */
#define FULL_NAME		1.0
#define PROBABLE_NAME	0.8
#define ONLY_GIVEN		0.65
#define ONLY_SURNAME	0.5

/* The last character of many given names, also of such as are not listed. */
static const char *const given_ends =
"子美太郎介助人香奈恵一二三雄夫男彦樹斗翔菜花希也哉平治司志枝乃音輝真"
"優結愛衣実幸信弘博浩誠豊茂進勇隆健明徹剛修稔武勝悟聡智哲亮涼蓮陽葵"
"凛咲莉華里沙紗織穂佳紀貴裕祐佑悠颯湊陸律之行久和孝仁吾輔馬生帆歩伸"
"央史恭敦充宏洋寛淳潤拓卓翼蔵緒南那瑠月羽依亜絵恋琴凪朔暖心";

static const char *const organisation_marks[] = {
	"株式会社", "有限会社", "合同会社", "合資会社", "合名会社", "(株)",
	"(有)", "(同)", "財団法人", "社団法人", "医療法人", "学校法人",
	"社会福祉法人", "NPO法人", "協同組合", "商店", "商会", "商事", "製作所",
	"工業", "産業", "建設", "製薬", "食品", "銀行", "大学", "病院", "法律事務所",
	"支店", "営業所", "ホールディングス"
};

static const char *const organisation_words[] = {
	"inc", "ltd", "llc", "corp", "corporation", "company", "co", "gmbh",
	"limited", "plc", "kk", "holdings", "group", "ag", "sa", "bv"
};

static const char *const streets[] = {
	"street", "st", "road", "rd", "avenue", "ave", "lane", "ln", "drive",
	"dr", "boulevard", "blvd", "way", "court", "ct", "place", "pl", "square",
	"parkway", "pkwy", "loop", "manor", "highway", "hwy", "terrace", "rue"
};

static const char *const romaji_units[] = {
	"ku", "shi", "cho", "machi", "chome"
};

/* ---------- words ---------- */

static bool
is_in(const char *word, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (pg_strcasecmp(word, list[i]) == 0)
			return true;
	return false;
}

typedef struct Part
{
	char	   *text;			/* lower case, katakana for hiragana */
	int			len;
	bool		is_latin;
	bool		is_kana;
} Part;

/*
 * Splits a value into the words that a name may have; 0 where it has signs
 * that names do not have, or more words.
 */
static int
split_name(const RetValue *value, Part *parts)
{
	char	   *text = ret_to_katakana(value->text);
	int			n = 0;

	for (char *token = strtok(text, " ,"); token; token = strtok(NULL, " ,"))
	{
		Part	   *part = &parts[n];

		if (n++ == MAX_PARTS)
			return 0;
		part->text = token;
		part->len = strlen(token);
		part->is_latin = part->is_kana = true;
		for (int at = 0; at < part->len;)
		{
			pg_wchar	c;
			bool		is_letter;

			at += ret_utf8_next(token + at, part->len - at, &c);
			is_letter = (c < 0x80 && (isalpha((unsigned char) c) ||
									  c == '.' || c == '\'' || c == '-')) ||
				(c >= 0xC0 && c < 0x250);
			if (!is_letter && !ret_is_kanji(c) && !ret_is_kana(c))
				return 0;
			part->is_latin = part->is_latin && is_letter;
			part->is_kana = part->is_kana && ret_is_kana(c);
		}
		for (int i = 0; i < part->len; i++)
			token[i] = pg_ascii_tolower((unsigned char) token[i]);
	}
	return n;
}

static int
look_up(const Part *part)
{
	return ret_person_find(part->text, part->len);
}

static int
char_count(const char *text, int len)
{
	int			n = 0;
	pg_wchar	c;

	for (int at = 0; at < len; n++)
		at += ret_utf8_next(text + at, len - at, &c);
	return n;
}

/*
 * Whether characters behind a surname can be a given name.
 */
static bool
can_be_given(const char *text, int len)
{
	int			chars = char_count(text, len);
	const char *last = text + len - 3;

	if (ret_person_find(text, len) & RET_GIVEN)
		return true;
	/* kanji have three bytes, and so do the ends */
	if (chars < 1 || chars > 3 || len != chars * 3)
		return false;
	for (const char *end = given_ends; *end; end += 3)
		if (strncmp(end, last, 3) == 0)
			return true;
	return false;
}

/*
 * A Japanese name without a gap: a surname, and behind it a given name.
 */
static double
solid_name(const Part *part)
{
	int			flags = look_up(part);

	if (flags & (RET_SURNAME | RET_GIVEN))
		return flags & RET_GIVEN ? ONLY_GIVEN : ONLY_SURNAME;
	for (int cut = 3; cut < part->len && cut <= 15; cut += 3)
	{
		if (!(ret_person_find(part->text, cut) & RET_SURNAME))
			continue;
		if (ret_person_find(part->text + cut, part->len - cut) & RET_GIVEN)
			return FULL_NAME;
		if (!part->is_kana &&
			can_be_given(part->text + cut, part->len - cut))
			return PROBABLE_NAME;
	}
	return 0;
}

static double
japanese_name(const Part *parts, int nparts)
{
	const Part *first = &parts[0];
	const Part *last = &parts[nparts - 1];

	if (nparts == 1)
		return solid_name(first);
	if (nparts != 2 ||
		char_count(first->text, first->len) > (first->is_kana ? 8 : 5) ||
		char_count(last->text, last->len) > (last->is_kana ? 8 : 4))
		return 0;
	if ((look_up(first) & RET_SURNAME) && (look_up(last) & RET_GIVEN))
		return FULL_NAME;
	if (look_up(first) & RET_SURNAME)
		return last->is_kana || can_be_given(last->text, last->len) ?
			FULL_NAME : ONLY_SURNAME;
	if ((look_up(last) & RET_GIVEN) || (look_up(first) & RET_GIVEN))
		return PROBABLE_NAME;
	return 0;
}

static double
latin_name(const Part *parts, int nparts)
{
	int			first = look_up(&parts[0]);
	int			last = look_up(&parts[nparts - 1]);

	if (nparts == 1)
		return first & RET_GIVEN ? ONLY_GIVEN :
			first & RET_SURNAME ? ONLY_SURNAME : 0;
	if (((first & RET_GIVEN) && (last & RET_SURNAME)) ||
		((first & RET_SURNAME) && (last & RET_GIVEN)))
		return FULL_NAME;
	if (nparts <= 3 && (first & RET_GIVEN))
		return PROBABLE_NAME;
	return nparts == 2 && (last & RET_SURNAME) ? ONLY_SURNAME : 0;
}

/*
 * Cuts the title off: 山田太郎様
 */
static void
cut_title(Part *part)
{
	static const char *const titles[] = {"様", "サマ", "サン", "殿", "先生"};

	for (int i = 0; i < (int) lengthof(titles); i++)
	{
		int			len = strlen(titles[i]);

		if (part->len > len + 3 &&
			strcmp(part->text + part->len - len, titles[i]) == 0)
		{
			part->len -= len;
			part->text[part->len] = '\0';
			return;
		}
	}
}

double
ret_looks_like_name(const RetValue *value)
{
	Part		parts[MAX_PARTS];
	int			nparts;

	if (value->digits > 0 || value->chars < 2 || value->chars > 40 ||
		ret_is_organisation(value))
		return 0;
	nparts = split_name(value, parts);
	if (nparts == 0)
		return 0;
	for (int i = 1; i < nparts; i++)
		if (parts[i].is_latin != parts[0].is_latin)
			return 0;
	if (parts[0].is_latin)
		return latin_name(parts, nparts);
	if (value->chars > MAX_NAME)
		return 0;
	cut_title(&parts[nparts - 1]);
	if (nparts == 2 && (strcmp(parts[1].text, "様") == 0 ||
						strcmp(parts[1].text, "殿") == 0))
		nparts = 1;
	return japanese_name(parts, nparts);
}

/* ---------- companies ---------- */

bool
ret_is_organisation(const RetValue *value)
{
	const char *last = strrchr(value->text, ' ');
	char		word[16];
	int			len;

	for (int i = 0; i < (int) lengthof(organisation_marks); i++)
		if (strstr(value->text, organisation_marks[i]) != NULL)
			return true;
	if (last == NULL || strlen(last) > sizeof(word))
		return false;
	strlcpy(word, last + 1, sizeof(word));
	len = strlen(word);
	if (len > 0 && word[len - 1] == '.')
		word[len - 1] = '\0';
	return is_in(word, organisation_words, lengthof(organisation_words));
}

/* ---------- addresses ---------- */

/*
 * What follows the prefecture that a text begins with; NULL without one.
 */
static const char *
after_prefecture(const char *text)
{
	int			len = strlen(text);

	/* three or four characters */
	for (int taken = 9; taken <= 12 && taken <= len; taken += 3)
		if (ret_person_find(text, taken) & RET_PREFECTURE)
			return text + taken;
	return NULL;
}

/*
 * A town with its unit, and behind it a number: 千代田区丸の内1-9-1
 */
static bool
has_town_and_number(const char *text)
{
	static const char *const units[] = {"市", "区", "町", "村", "郡"};
	static const char *const numbers[] = {"丁目", "番地", "番", "号"};

	for (int i = 0; i < (int) lengthof(units); i++)
	{
		const char *unit = strstr(text, units[i]);

		if (unit == NULL || unit - text < 3 || unit[3] == '\0')
			continue;
		if (strpbrk(unit, "0123456789") != NULL)
			return true;
		for (int j = 0; j < (int) lengthof(numbers); j++)
			if (strstr(unit, numbers[j]) != NULL)
				return true;
	}
	return false;
}

/*
 * A number and a street, or the units of towns in romaji: 221B Baker Street,
 * 1-2-3 Ginza, Chuo-ku
 */
static bool
has_number_and_street(const char *text)
{
	char	   *copy = pstrdup(text);
	bool		is_first = true;

	for (char *word = strtok(copy, " ,.-"); word;
		 word = strtok(NULL, " ,.-"), is_first = false)
	{
		if (is_first)
			continue;
		if (is_in(word, romaji_units, lengthof(romaji_units)) ||
			(isdigit((unsigned char) text[0]) &&
			 is_in(word, streets, lengthof(streets))))
			return true;
	}
	return false;
}

double
ret_looks_like_address(const RetValue *value)
{
	const char *text = value->text;
	const char *town;

	if (value->chars < 6 || value->letters < 3)
		return 0;
	if (strncmp(text, "〒", 3) == 0)
		text += 3;
	text += strspn(text, "0123456789- ");
	town = after_prefecture(text);
	if (town && *town)
		return 1;
	if (has_town_and_number(text))
		return 0.95;
	return value->digits > 0 && has_number_and_street(value->text) ? 0.9 : 0;
}
