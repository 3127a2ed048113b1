/*-------------------------------------------------------------------------
 *
 * pii_lexicon.c
 *		Looking up words: those of column names, and names of people.
 *
 * Two hash tables, made of the static tables at the first use in a session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pii.h"
#include "utils/hsearch.h"

/* longer ones are in no table */
#define MAX_WORD 64

typedef struct WordEntry
{
	char		key[MAX_WORD];
	const RetWord *word;
} WordEntry;

typedef struct PersonEntry
{
	char		key[MAX_WORD];
	int			flags;
} PersonEntry;

static HTAB *words = NULL;
static HTAB *people = NULL;

static const char *const labels[RET_NPII] =
{
	[RET_PII_NAME] = "name",
	[RET_PII_EMAIL] = "email",
	[RET_PII_PHONE] = "phone",
	[RET_PII_ADDRESS] = "address",
	[RET_PII_POSTAL_CODE] = "postal_code",
	[RET_PII_BIRTH_DATE] = "birth_date",
	[RET_PII_MY_NUMBER] = "my_number",
	[RET_PII_CORPORATE_NUMBER] = "corporate_number",
	[RET_PII_CREDIT_CARD] = "credit_card",
	[RET_PII_IBAN] = "iban",
	[RET_PII_IP_ADDRESS] = "ip_address",
	[RET_PII_GENDER] = "gender",
	[RET_PII_USERNAME] = "username",
	[RET_PII_PASSWORD] = "password",
	[RET_PII_PHOTO] = "photo",
	[RET_PII_LOCATION] = "location",
	[RET_PII_PASSPORT] = "passport",
	[RET_PII_BANK_ACCOUNT] = "bank_account"
};

const char *
ret_pii_label(RetPii category)
{
	return labels[category];
}

static HTAB *
make_table(const char *name, Size entrysize)
{
	HASHCTL		ctl = {0};

	ctl.keysize = MAX_WORD;
	ctl.entrysize = entrysize;
	return hash_create(name, 2048, &ctl, HASH_ELEM | HASH_STRINGS);
}

static void
add_person(HTAB *table, const char *word, int flags)
{
	PersonEntry *entry;
	bool		found;

	if (word == NULL)
		return;
	entry = hash_search(table, word, HASH_ENTER, &found);
	entry->flags = flags | (found ? entry->flags : 0);
}

static void
add_people(HTAB *table, const RetPersonName *names, int nnames, int flags)
{
	for (int i = 0; i < nnames; i++)
	{
		add_person(table, names[i].kanji, flags);
		add_person(table, names[i].kana, flags);
		add_person(table, names[i].romaji, flags);
	}
}

/* Each table is complete before it is seen: memory may run out between. */
static void
fill_words(void)
{
	HTAB	   *table = make_table("retention words", sizeof(WordEntry));

	for (int i = 0; i < ret_nwords; i++)
	{
		bool		found;
		WordEntry  *entry = hash_search(table, ret_words[i].word, HASH_ENTER,
										&found);

		Assert(!found && strlen(ret_words[i].word) < MAX_WORD);
		entry->word = &ret_words[i];
	}
	words = table;
}

static void
fill_people(void)
{
	HTAB	   *table = make_table("retention people", sizeof(PersonEntry));

	add_people(table, ret_surnames, ret_nsurnames, RET_SURNAME);
	add_people(table, ret_given_names, ret_ngiven_names, RET_GIVEN);
	for (int i = 0; i < ret_nwestern_surnames; i++)
		add_person(table, ret_western_surnames[i], RET_SURNAME);
	for (int i = 0; i < ret_nwestern_given_names; i++)
		add_person(table, ret_western_given_names[i], RET_GIVEN);
	for (int i = 0; i < ret_nprefectures; i++)
		add_person(table, ret_prefectures[i], RET_PREFECTURE);
	people = table;
}

static void *
find(HTAB *table, const char *word, int len)
{
	char		key[MAX_WORD];

	if (len <= 0 || len >= MAX_WORD)
		return NULL;
	memcpy(key, word, len);
	key[len] = '\0';
	return hash_search(table, key, HASH_FIND, NULL);
}

/*
 * A word of column names; NULL when it is not known.
 */
const RetWord *
ret_word_find(const char *word, int len)
{
	WordEntry  *entry;

	if (words == NULL)
		fill_words();
	entry = find(words, word, len);
	return entry ? entry->word : NULL;
}

/*
 * What a word of a value can be: RET_SURNAME, RET_GIVEN, RET_PREFECTURE. Latin
 * letters in lower case, kana as katakana.
 */
int
ret_person_find(const char *word, int len)
{
	PersonEntry *entry;

	if (people == NULL)
		fill_people();
	entry = find(people, word, len);
	return entry ? entry->flags : 0;
}
