/*
 * pii_names.h
 *
 * What the names of columns and tables say.
 */
#ifndef RET_PII_NAMES_H
#define RET_PII_NAMES_H

#include "mb/pg_wchar.h"
#include "pii.h"

/* What a name is about, besides a category. */
typedef enum RetContext
{
	RET_CONTEXT_NONE,
	RET_CONTEXT_UNKNOWN,		/* qualified by a word that is not known */
	RET_CONTEXT_PERSON,
	RET_CONTEXT_ORGANISATION,
	RET_CONTEXT_PARTNER,		/* the same, but its contacts are persons */
	RET_CONTEXT_REFERENCE,		/* a list of all towns or postal codes */
	RET_CONTEXT_THING,
	RET_CONTEXT_CODE
} RetContext;

typedef struct RetNameSense
{
	RetPii		category;		/* RET_PII_NONE where it says nothing */
	double		weight;			/* how much it says by itself */
	RetContext	context;
	bool		is_part;		/* of an address */
	char	   *word;			/* what was recognised, for the evidence */
} RetNameSense;

extern RetNameSense ret_name_sense(const char *name);
extern RetContext ret_table_context(const char *name);
extern int	ret_clock_rank(const char *name);

/* pii_text.c: text as both names and values need it */
extern char *ret_utf8(const char *text);
extern int	ret_utf8_next(const char *text, int len, pg_wchar *c);
extern bool ret_is_kanji(pg_wchar c);
extern bool ret_is_kana(pg_wchar c);
extern char *ret_to_katakana(const char *text);

#endif							/* RET_PII_NAMES_H */
