/*
 * pii.h
 *
 * Categories of personal data, and the words by which they are known.
 */
#ifndef RET_PII_H
#define RET_PII_H

typedef enum RetPii
{
	RET_PII_NAME,
	RET_PII_EMAIL,
	RET_PII_PHONE,
	RET_PII_ADDRESS,
	RET_PII_POSTAL_CODE,
	RET_PII_BIRTH_DATE,
	RET_PII_MY_NUMBER,
	RET_PII_CORPORATE_NUMBER,
	RET_PII_CREDIT_CARD,
	RET_PII_IBAN,
	RET_PII_IP_ADDRESS,
	RET_PII_GENDER,
	RET_PII_USERNAME,
	RET_PII_PASSWORD,
	RET_PII_PHOTO,
	RET_PII_LOCATION,
	RET_PII_PASSPORT,
	RET_PII_BANK_ACCOUNT,
	RET_NPII,
	RET_PII_NONE = RET_NPII
} RetPii;

/* What a word in the name of a column or table says. */
typedef enum RetRole
{
	RET_WORD_CATEGORY,			/* is personal data of a category */
	RET_WORD_READING,			/* how a name is read: of what is before it */
	RET_WORD_PART,				/* a part of an address */
	RET_WORD_PERSON,			/* a person: what follows is his */
	RET_WORD_ORGANISATION,		/* a company or a place: what follows is its */
	RET_WORD_PARTNER,			/* a company that may be a person, too */
	RET_WORD_THING,				/* anything else that has a name or a picture */
	RET_WORD_CODE,				/* codes and numbers that somebody gave */
	RET_WORD_ABOUT,				/* a fact about what is before it */
	RET_WORD_MEDIUM,			/* how it is kept: hash, url, file */
	RET_WORD_CREATED,			/* when a row began; also a fact about */
	RET_WORD_EVENT,				/* when something happened */
	RET_WORD_UPDATED,			/* when it was changed */
	RET_WORD_TIME,				/* a date or time, whatever of */
	RET_WORD_FILLER				/* known, and says nothing */
} RetRole;

/* How much the name of a column says by itself. */
#define RET_SURE	0.9			/* no need to look */
#define RET_LIKELY	0.6			/* unless the values disagree */
#define RET_HINT	0.3			/* only of a person, or with the values */

typedef struct RetWord
{
	const char *word;
	RetRole		role;
	RetPii		category;
	double		weight;
} RetWord;

/* Words that values are made of; flags, for some are several. */
#define RET_SURNAME			0x0001
#define RET_GIVEN			0x0002
#define RET_PREFECTURE		0x0004

typedef struct RetPersonName
{
	const char *kanji;
	const char *kana;
	const char *romaji;
} RetPersonName;

/* pii_words.c, pii_people.c: the tables */
extern const RetWord ret_words[];
extern const int ret_nwords;
extern const RetPersonName ret_surnames[];
extern const int ret_nsurnames;
extern const RetPersonName ret_given_names[];
extern const int ret_ngiven_names;
extern const char *const ret_western_surnames[];
extern const int ret_nwestern_surnames;
extern const char *const ret_western_given_names[];
extern const int ret_nwestern_given_names;
extern const char *const ret_prefectures[];
extern const int ret_nprefectures;

/* pii_lexicon.c: looking them up */
extern const char *ret_pii_label(RetPii category);
extern const RetWord *ret_word_find(const char *word, int len);
extern int	ret_person_find(const char *word, int len);

#endif							/* RET_PII_H */
