/*-------------------------------------------------------------------------
 *
 * pii_names.c
 *		What the names of columns and tables say about personal data.
 *
 * Pure: a name goes in, what it says comes out.
 *
 * A name is taken apart into words: at underscores and other signs, where
 * capital letters begin, at digits, and where Latin and Japanese script meet.
 * As many neighbours as possible are then taken together for a word of the
 * dictionary (first_name, e_mail); a word that is not known is itself taken
 * apart, if known words fill it (filename, kaiinmei). Japanese script has no
 * gaps, so the longest known words are taken from left to right.
 *
 * English and Japanese agree that what a name is about stands at its end: an
 * email_template is a template, メール送信日時 is a time. So the last word
 * of a category counts, and a word behind it that makes something else of it
 * takes the category away. What stands in front of it tells whose it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "pii_names.h"

#define MAX_WORDS 32			/* in one name */
#define MAX_JOINED 4			/* parts of one word */

/* A part of the name, and what the dictionary knows of it. */
typedef struct Found
{
	const RetWord *word;		/* NULL: not known */
	const char *text;
	int			len;
} Found;

typedef struct Words
{
	int			n;
	Found		found[MAX_WORDS];
} Words;

/* ---------- taking a name apart ---------- */

static void
add_found(Words *words, const RetWord *word, const char *text, int len)
{
	if (words->n == MAX_WORDS)
		return;
	words->found[words->n].word = word;
	words->found[words->n].text = text;
	words->found[words->n].len = len;
	words->n++;
}

/*
 * The longest known words of Japanese script, from left to right. A single
 * kana between them is a particle or a polite prefix.
 */
static void
split_japanese(Words *words, const char *text, int len)
{
	int			unknown = 0;

	for (int at = 0; at < len;)
	{
		const RetWord *word = NULL;
		int			taken = len - at;
		pg_wchar	c;

		for (; taken > 0; taken--)
			if ((word = ret_word_find(text + at, taken)) != NULL)
				break;
		if (word == NULL)
		{
			taken = ret_utf8_next(text + at, len - at, &c);
			if (ret_is_kanji(c))
				unknown = taken;
		}
		else
		{
			if (unknown > 0)
				add_found(words, NULL, text + at - unknown, unknown);
			unknown = 0;
			add_found(words, word, text + at, taken);
		}
		at += taken;
	}
	if (unknown > 0)
		add_found(words, NULL, text + len - unknown, unknown);
}

/*
 * A Latin word, also in the plural.
 */
static const RetWord *
find_latin(const char *text, int len)
{
	const RetWord *word = ret_word_find(text, len);

	if (word == NULL && len > 4 && strncmp(text + len - 3, "ies", 3) == 0)
	{
		char	   *singular = psprintf("%.*sy", len - 3, text);

		word = ret_word_find(singular, len - 2);
	}
	if (word == NULL && len > 3 && text[len - 1] == 's')
		word = ret_word_find(text, len - 1);
	if (word == NULL && len > 4 && strncmp(text + len - 2, "es", 2) == 0)
		word = ret_word_find(text, len - 2);
	return word;
}

/*
 * Fills a Latin word that is not known with some that are; of one beginning
 * the longest first. Short ones would be found everywhere.
 */
static bool
split_latin(Words *words, const char *text, int len)
{
	int			n = words->n;

	if (len == 0)
		return true;
	for (int taken = len; taken >= 2; taken--)
	{
		const RetWord *word = taken >= 3 ? find_latin(text, taken) :
			ret_word_find(text, taken);

		if (word == NULL || (taken == 2 && strncmp(text, "id", 2) != 0 &&
							 strncmp(text, "no", 2) != 0 &&
							 strncmp(text, "ip", 2) != 0))
			continue;
		add_found(words, word, text, taken);
		if (split_latin(words, text + taken, len - taken))
			return true;
		words->n = n;
	}
	return false;
}

static bool
is_latin(pg_wchar c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= 0xC0 && c <= 0x24F);
}

static bool
is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

typedef enum Script
{
	SCRIPT_NONE,
	SCRIPT_LATIN,
	SCRIPT_JAPANESE
} Script;

static Script
script_of(pg_wchar c)
{
	if (ret_is_kanji(c) || ret_is_kana(c))
		return SCRIPT_JAPANESE;
	return is_latin(c) ? SCRIPT_LATIN : SCRIPT_NONE;
}

/*
 * Whether a new word begins at a Latin letter: userName, IPAddress.
 */
static bool
begins_word(const char *text, int at, int len)
{
	if (at == 0 || !is_capital(text[at]))
		return false;
	return !is_capital(text[at - 1]) ||
		(at + 1 < len && text[at + 1] >= 'a' && text[at + 1] <= 'z');
}

/* A run of one script, without a break. */
typedef struct Token
{
	Script		script;
	char	   *text;
	int			len;
} Token;

static char *
lower(const char *text, int len)
{
	char	   *copy = pnstrdup(text, len);

	for (int i = 0; i < len; i++)
		copy[i] = pg_ascii_tolower((unsigned char) copy[i]);
	return copy;
}

static int
tokenize(const char *name, Token *tokens)
{
	int			len = strlen(name);
	int			begin = 0;
	int			ntokens = 0;
	Script		running = SCRIPT_NONE;

	for (int at = 0; at <= len;)
	{
		pg_wchar	c = 0;
		int			taken = at < len ?
			ret_utf8_next(name + at, len - at, &c) : 1;
		Script		script = at < len ? script_of(c) : SCRIPT_NONE;

		if (script != running ||
			(script == SCRIPT_LATIN && begins_word(name, at, len)))
		{
			if (running != SCRIPT_NONE && ntokens < MAX_WORDS)
			{
				tokens[ntokens].script = running;
				tokens[ntokens].text = lower(name + begin, at - begin);
				tokens[ntokens].len = at - begin;
				ntokens++;
			}
			begin = at;
			running = script;
		}
		at += taken;
	}
	return ntokens;
}

/*
 * The longest word that tokens from "first" on make together; NULL when none
 * does. Scripts may meet in a word (Eメール).
 */
static const RetWord *
find_joined(const Token *tokens, int first, int ntokens, int *taken,
			char **text)
{
	for (*taken = Min(MAX_JOINED, ntokens - first); *taken > 0; (*taken)--)
	{
		StringInfoData joined;
		StringInfoData shown;
		const RetWord *word;

		initStringInfo(&joined);
		initStringInfo(&shown);
		for (int i = first; i < first + *taken; i++)
		{
			if (i > first && tokens[i].script == tokens[i - 1].script)
				appendStringInfoChar(&shown, '_');
			appendStringInfoString(&joined, tokens[i].text);
			appendStringInfoString(&shown, tokens[i].text);
		}
		word = find_latin(joined.data, joined.len);
		if (word)
		{
			*text = shown.data;
			return word;
		}
	}
	*taken = 1;
	return NULL;
}

static void
take_apart(const char *name, Words *words)
{
	Token		tokens[MAX_WORDS];
	int			ntokens = tokenize(ret_to_katakana(ret_utf8(name)), tokens);
	int			taken;

	words->n = 0;
	for (int i = 0; i < ntokens; i += taken)
	{
		char	   *text;
		const RetWord *word = find_joined(tokens, i, ntokens, &taken, &text);

		if (word)
			add_found(words, word, text, strlen(text));
		else if (tokens[i].script == SCRIPT_JAPANESE)
			split_japanese(words, tokens[i].text, tokens[i].len);
		else if (!split_latin(words, tokens[i].text, tokens[i].len) &&
				 tokens[i].len > 2)
			add_found(words, NULL, tokens[i].text, tokens[i].len);
	}
}

/* ---------- what the words mean together ---------- */

static bool
is_category(const Found *found)
{
	return found->word && (found->word->role == RET_WORD_CATEGORY ||
						   found->word->role == RET_WORD_PART);
}

/*
 * The word that says the category: the last one, but the reading of a name
 * and the name of a part of an address are no names by themselves.
 */
static int
find_head(const Words *words)
{
	int			head = -1;

	for (int i = 0; i < words->n; i++)
	{
		const RetWord *word = words->found[i].word;

		if (is_category(&words->found[i]) &&
			!(head >= 0 && word->category == RET_PII_NAME &&
			  word->weight == RET_HINT &&
			  words->found[head].word->role == RET_WORD_PART))
			head = i;
	}
	for (int i = 0; head < 0 && i < words->n; i++)
		if (words->found[i].word &&
			words->found[i].word->role == RET_WORD_READING)
			head = i;
	return head;
}

/*
 * Whether a word behind a category makes something else of it.
 */
static bool
takes_away(RetPii category, const Found *found)
{
	switch (found->word ? found->word->role : RET_WORD_FILLER)
	{
		case RET_WORD_THING:
			return category != RET_PII_PHOTO ||
				(strcmp(found->word->word, "url") != 0 &&
				 strcmp(found->word->word, "file") != 0);
		case RET_WORD_CODE:
			return category != RET_PII_GENDER &&
				category != RET_PII_POSTAL_CODE;
		case RET_WORD_ABOUT:
			return category != RET_PII_GENDER;
		case RET_WORD_TIME:
			return category != RET_PII_BIRTH_DATE;
		case RET_WORD_CREATED:
		case RET_WORD_EVENT:
		case RET_WORD_UPDATED:
			return true;
		case RET_WORD_MEDIUM:
			return category != RET_PII_PHOTO && category != RET_PII_PASSWORD;
		default:
			return false;
	}
}

static RetContext
context_of(const Found *found)
{
	switch (found->word ? found->word->role : RET_WORD_FILLER)
	{
		case RET_WORD_PERSON:
			return RET_CONTEXT_PERSON;
		case RET_WORD_ORGANISATION:
			return RET_CONTEXT_ORGANISATION;
		case RET_WORD_PARTNER:
			return RET_CONTEXT_PARTNER;
		case RET_WORD_THING:
			return RET_CONTEXT_THING;
		case RET_WORD_CODE:
			return RET_CONTEXT_CODE;
		default:
			return RET_CONTEXT_NONE;
	}
}

/*
 * Whose the category is: the nearest word in front of it decides, else one
 * behind it.
 */
static RetContext
find_context(const Words *words, int head)
{
	RetContext	context = RET_CONTEXT_NONE;

	for (int i = head - 1; i >= 0 && context == RET_CONTEXT_NONE; i--)
	{
		context = context_of(&words->found[i]);
		/* the name of a status is none of a person, nor is a theme_name */
		if (context == RET_CONTEXT_NONE && words->found[i].word &&
			words->found[i].word->role == RET_WORD_ABOUT)
			context = RET_CONTEXT_THING;
		if (context == RET_CONTEXT_NONE &&
			(words->found[i].word == NULL || is_category(&words->found[i])) &&
			words->found[head].word->weight == RET_HINT)
			context = RET_CONTEXT_UNKNOWN;
	}
	for (int i = head + 1; i < words->n && context == RET_CONTEXT_NONE; i++)
		if (takes_away(words->found[head].word->category, &words->found[i]) ||
			context_of(&words->found[i]) != RET_CONTEXT_THING)
			context = context_of(&words->found[i]);
	return context;
}

/*
 * What a name without a category is about: the last word that says something.
 */
static RetContext
find_topic(const Words *words)
{
	RetContext	topic = RET_CONTEXT_NONE;

	for (int i = 0; i < words->n; i++)
	{
		RetContext	context = context_of(&words->found[i]);

		if (context != RET_CONTEXT_NONE)
			topic = context;
		else if (words->found[i].word &&
				 words->found[i].word->role == RET_WORD_ABOUT)
			topic = RET_CONTEXT_THING;
	}
	return topic;
}

static bool
is_question(const Found *found)
{
	return found->word && (strcmp(found->word->word, "is") == 0 ||
						   strcmp(found->word->word, "has") == 0);
}

/*
 * What the name of a column says.
 */
RetNameSense
ret_name_sense(const char *name)
{
	RetNameSense sense = {.category = RET_PII_NONE};
	Words		words;
	int			head;

	take_apart(name, &words);
	head = find_head(&words);
	if (head >= 0 && !is_question(&words.found[0]))
	{
		const RetWord *word = words.found[head].word;

		sense.category = word->category;
		sense.weight = word->weight;
		sense.is_part = word->role == RET_WORD_PART;
		sense.word = pnstrdup(words.found[head].text, words.found[head].len);
	}
	for (int i = 0; i < words.n && sense.category != RET_PII_NONE; i++)
	{
		const RetWord *word = words.found[i].word;

		if (i > head && takes_away(sense.category, &words.found[i]))
			sense.category = RET_PII_NONE;
		else if (i > head && word == NULL)
			sense.weight *= 0.7;
		else if (i < head && is_category(&words.found[i]) &&
				 word->category == sense.category)
			sense.weight = Max(sense.weight, word->weight);
		else if (i > head && word->role == RET_WORD_READING)
			sense.weight = Max(sense.weight, word->weight);
	}
	if (sense.category == RET_PII_NONE)
		sense.weight = 0;
	sense.context = head >= 0 ? find_context(&words, head) :
		find_topic(&words);
	return sense;
}

/*
 * What the name of a table is about.
 */
RetContext
ret_table_context(const char *name)
{
	Words		words;
	RetContext	context;
	int			head;

	take_apart(name, &words);
	/* orders and tickets are somebody's */
	context = find_topic(&words);
	if (context == RET_CONTEXT_CODE)
		context = RET_CONTEXT_NONE;
	head = find_head(&words);
	if (context == RET_CONTEXT_NONE && head >= 0)
	{
		const RetWord *word = words.found[head].word;

		if (word->role == RET_WORD_PART ||
			word->category == RET_PII_POSTAL_CODE)
			context = RET_CONTEXT_REFERENCE;
		else if (word->category == RET_PII_ADDRESS)
			context = RET_CONTEXT_PERSON;
	}
	return context;
}

/*
 * How well the name of a time says when a row began: 1 is best, 0 not at all.
 */
int
ret_clock_rank(const char *name)
{
	Words		words;
	int			rank = 0;

	take_apart(name, &words);
	for (int i = 0; i < words.n; i++)
	{
		int			better = 0;

		switch (words.found[i].word ? words.found[i].word->role :
				RET_WORD_FILLER)
		{
			case RET_WORD_CREATED:
				better = 1;
				break;
			case RET_WORD_EVENT:
				better = 2;
				break;
			case RET_WORD_CODE:	/* the date of an order */
				better = 3;
				break;
			case RET_WORD_UPDATED:
				better = 4;
				break;
			case RET_WORD_CATEGORY:
				return 0;
			default:
				break;
		}
		if (better > 0 && (rank == 0 || better < rank))
			rank = better;
	}
	return rank;
}
