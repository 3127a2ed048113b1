/*-------------------------------------------------------------------------
 *
 * json_erase.c
 *		Values at certain paths of a document become null.
 *
 * A path has one step for each level: a key, the number of an array element,
 * or '*' for any of them. No step stands for several levels, so one walk over
 * the document can follow all paths at once: of each container it keeps, as
 * bits, which paths lead to it. Without paths every value that is no object
 * and no array becomes null.
 *
 * jsonb is built anew. json is text, and what is not erased stays as it was
 * written: the server's lexer says where values begin and end. It is not its
 * parser, which needs stack for each level. Keys are compared with escapes
 * and all, for some that json accepts cannot be converted (\u0000, half a
 * surrogate pair, what the encoding does not have).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "compat.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "method.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#define MAX_PATHS 64

/* One step of a path. */
typedef struct Step
{
	bool		is_any;			/* '*' */
	int			index;			/* of an array element; -1: a key only */
	char	   *name;
	int			len;
	char	   *utf8;			/* the name in UTF-8, or the name itself */
	int			utf8_len;
} Step;

typedef struct Path
{
	Step	   *steps;
	int			nsteps;
} Path;

struct RetJsonPaths
{
	int			npaths;			/* 0: every scalar */
	Path		paths[MAX_PATHS];
};

/* A value in the document: is it erased, and which paths lead further. */
typedef struct Place
{
	bool		is_erased;
	uint64		paths;
} Place;

/* A container that the walk is in. */
typedef struct Level
{
	bool		is_array;
	bool		is_key_next;	/* of an object: of json only */
	int			index;			/* of an array: of the next element */
	uint64		paths;			/* those that lead to it */
	Place		member;			/* of an object: the value of the last key */
} Level;

typedef struct Walk
{
	const RetJsonPaths *paths;
	Level	   *levels;
	int			depth;
	int			maxdepth;
	bool		is_changed;
} Walk;

PG_FUNCTION_INFO_V1(retention_erase_json);
PG_FUNCTION_INFO_V1(retention_erase_jsonb);

static void
path_error(const char *path)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is no path in a document", path),
			 errhint("Write keys with dots between them, such as 'customer.email' or 'items.*.note', and a key with a dot or a quote in it as '\"a.b\".c'.")));
}

/*
 * Reads a key in quotes, in which a quote is written twice. Returns where it
 * ends, NULL when it does not.
 */
static const char *
read_quoted(const char *at, StringInfo name)
{
	for (at++; *at; at++)
	{
		if (*at != '"')
			appendStringInfoChar(name, *at);
		else if (at[1] == '"')
			appendStringInfoChar(name, *at++);
		else
			return at + 1;
	}
	return NULL;
}

/*
 * The number of an array element, -1 when a step is no number.
 */
static int
index_of(const char *name)
{
	char	   *end;
	long		number;

	if (*name < '0' || *name > '9' || (*name == '0' && name[1]))
		return -1;
	errno = 0;
	number = strtol(name, &end, 10);
	return *end || errno || number > PG_INT32_MAX ? -1 : (int) number;
}

/*
 * Reads one step; returns where it ends.
 */
static const char *
read_step(const char *path, const char *at, Step *step)
{
	bool		is_quoted = *at == '"';
	StringInfoData name;

	initStringInfo(&name);
	if (is_quoted)
		at = read_quoted(at, &name);
	else
		while (*at && *at != '.' && *at != '"')
			appendStringInfoChar(&name, *at++);
	if (at == NULL || (*at && *at != '.') || (!is_quoted && name.len == 0))
		path_error(path);
	step->is_any = !is_quoted && strcmp(name.data, "*") == 0;
	step->index = is_quoted ? -1 : index_of(name.data);
	step->name = name.data;
	step->len = name.len;
	step->utf8 = GetDatabaseEncoding() == PG_SQL_ASCII ? step->name :
		pg_server_to_any(step->name, step->len, PG_UTF8);
	step->utf8_len = strlen(step->utf8);
	return at;
}

static void
read_path(const char *path, Path *result)
{
	const char *at = path;
	int			nsteps = 1;

	/* not more steps than dots and one */
	for (const char *c = path; *c; c++)
		nsteps += *c == '.';
	result->steps = palloc(nsteps * sizeof(Step));
	result->nsteps = 0;
	for (;;)
	{
		at = read_step(path, at, &result->steps[result->nsteps++]);
		if (*at == '\0')
			break;
		at++;
	}
}

/*
 * Understands paths. Errors when one is none.
 */
RetJsonPaths *
ret_json_paths(ArrayType *paths)
{
	RetJsonPaths *result = palloc0(sizeof(RetJsonPaths));
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;

	deconstruct_array(paths, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &nelements);
	if (nelements > MAX_PATHS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more than %d paths", MAX_PATHS),
				 errhint("Write '*' for all keys of an object.")));
	for (int i = 0; i < nelements; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a path must not be null"),
					 errhint("Without any path all values are erased.")));
		read_path(TextDatumGetCString(elements[i]), &result->paths[i]);
	}
	result->npaths = nelements;
	return result;
}

static void
walk_init(Walk *walk, const RetJsonPaths *paths)
{
	walk->paths = paths;
	walk->depth = 0;
	walk->maxdepth = 16;
	walk->levels = palloc(walk->maxdepth * sizeof(Level));
	walk->is_changed = false;
}

/*
 * The container that the walk is in, NULL at the top.
 */
static Level *
innermost(Walk *walk)
{
	return walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
}

/*
 * Goes into a container, which is at this place.
 */
static void
enter(Walk *walk, bool is_array, Place place)
{
	if (walk->depth == walk->maxdepth)
	{
		walk->maxdepth *= 2;
		walk->levels = repalloc_huge(walk->levels,
									 walk->maxdepth * sizeof(Level));
	}
	walk->levels[walk->depth++] = (Level) {
		.is_array = is_array,
		.is_key_next = !is_array,
		.paths = place.paths,
	};
}

/*
 * Where a walk begins.
 */
static Place
top(const RetJsonPaths *paths)
{
	return (Place) {
		.paths = paths->npaths == MAX_PATHS ? ~UINT64CONST(0) :
			(UINT64CONST(1) << paths->npaths) - 1,
	};
}

static int
hex4(const char *digits)
{
	int			result = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = pg_ascii_tolower((unsigned char) digits[i]);

		result = result * 16 + (c >= 'a' ? c - 'a' + 10 : c - '0');
	}
	return result;
}

/*
 * The character that an escape stands for, as UTF-8; how many bytes it is.
 * "at" moves behind the escape.
 */
static int
read_escape(const char **at, const char *end, char *utf8)
{
	static const char *const escapes = "b\bf\fn\nr\rt\t\"\"\\\\//";
	const char *letter = *at + 1;
	pg_wchar	c;

	if (*letter != 'u')
	{
		for (const char *e = escapes; *e; e += 2)
			if (*e == *letter)
				*utf8 = e[1];
		*at += 2;
		return 1;
	}
	c = hex4(*at + 2);
	*at += 6;
	if (is_utf16_surrogate_first(c) && end - *at >= 6 &&
		(*at)[0] == '\\' && (*at)[1] == 'u' &&
		is_utf16_surrogate_second(hex4(*at + 2)))
	{
		c = surrogate_pair_to_codepoint(c, hex4(*at + 2));
		*at += 6;
	}
	unicode_to_utf8(c, (unsigned char *) utf8);
	return pg_utf_mblen((unsigned char *) utf8);
}

/*
 * Whether a key of json, as it is written between the quotes, is that of a
 * step. Both are walked over character by character, the step in UTF-8 at the
 * same time, for that is what escapes are compared with.
 */
static bool
is_written_key(const Step *step, const char *at, const char *end)
{
	const char *name = step->name;
	const char *name_end = name + step->len;
	const char *utf8 = step->utf8;
	bool		is_same = step->name == step->utf8;

	while (at < end && name < name_end)
	{
		int			size = Min(pg_encoding_mblen(GetDatabaseEncoding(), name),
							   name_end - name);
		int			utf8_size = is_same ? size :
			pg_utf_mblen((const unsigned char *) utf8);

		if (*at == '\\')
		{
			char		escaped[MAX_MULTIBYTE_CHAR_LEN + 1];
			int			n = read_escape(&at, end, escaped);

			/* in SQL_ASCII a character is several of those here */
			if (is_same)
				size = utf8_size = Min(n, name_end - name);
			if (n != utf8_size || memcmp(escaped, utf8, n) != 0)
				return false;
		}
		else
		{
			if (size > end - at || memcmp(at, name, size) != 0)
				return false;
			at += size;
		}
		name += size;
		utf8 += utf8_size;
	}
	return at == end && name == name_end;
}

/*
 * The place of a member of a container. "key" is NULL for an array element,
 * which is that of the container's index.
 */
static Place
step_into(Walk *walk, const char *key, int len, bool is_written)
{
	Level	   *level = innermost(walk);
	Place		place = {0};

	for (int i = 0; i < walk->paths->npaths; i++)
	{
		const Path *path = &walk->paths->paths[i];
		const Step *step;

		if ((level->paths & UINT64CONST(1) << i) == 0)
			continue;
		step = &path->steps[walk->depth - 1];
		if (!step->is_any &&
			!(key == NULL ? step->index == level->index :
			  is_written ? is_written_key(step, key, key + len) :
			  len == step->len && memcmp(key, step->name, len) == 0))
			continue;
		if (path->nsteps == walk->depth)
			place.is_erased = true;
		else
			place.paths |= UINT64CONST(1) << i;
	}
	return place;
}

/*
 * The place of the value that begins now.
 */
static Place
value_place(Walk *walk)
{
	Level	   *level = innermost(walk);

	return level == NULL ? top(walk->paths) :
		level->is_array ? step_into(walk, NULL, 0, false) : level->member;
}

/*
 * Erases what the paths lead to from a jsonb.
 */
Jsonb *
ret_erase_jsonb(Jsonb *jsonb, const RetJsonPaths *paths)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbIteratorToken token = WJB_DONE;
	Walk		walk;

	walk_init(&walk, paths);
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		JsonbValue	nothing = {.type = jbvNull};
		JsonbValue	value;

		(void) JsonbExtractScalar(&jsonb->root, &value);
		return paths->npaths > 0 || value.type == jbvNull ? jsonb :
			JsonbValueToJsonb(&nothing);
	}
	do
	{
		Place		place = {0};
		JsonbValue	value;

		if (walk.depth == 0 || innermost(&walk)->is_array || token == WJB_KEY)
			place = value_place(&walk);
		token = JsonbIteratorNext(&it, &value, place.is_erased);
		switch (token)
		{
			case WJB_KEY:
				innermost(&walk)->member = step_into(&walk,
													 value.val.string.val,
													 value.val.string.len,
													 false);
				break;
			case WJB_VALUE:
			case WJB_ELEM:
				if ((place.is_erased || paths->npaths == 0) &&
					value.type != jbvNull)
				{
					value.type = jbvNull;
					walk.is_changed = true;
				}
				innermost(&walk)->index++;
				break;
			case WJB_BEGIN_ARRAY:
			case WJB_BEGIN_OBJECT:
				if (walk.depth > 0)
					innermost(&walk)->index++;
				enter(&walk, token == WJB_BEGIN_ARRAY, place);
				break;
			case WJB_END_ARRAY:
			case WJB_END_OBJECT:
				walk.depth--;
				break;
			case WJB_DONE:
				break;
		}
		result = pushJsonbValue(&state, token,
								token < WJB_BEGIN_ARRAY ? &value : NULL);
	} while (walk.depth > 0);
	return walk.is_changed ? JsonbValueToJsonb(result) : jsonb;
}

/* A walk over json as text. */
typedef struct TextWalk
{
	Walk		walk;
	JsonLexContext *lexer;
	StringInfoData out;
	const char *copied;			/* the text is in "out" up to here */
	int			erased_depth;	/* of the container that is erased, or -1 */
	const char *erased_from;
	bool		is_too_long;
} TextWalk;

static void
append(TextWalk *tw, const char *from, const char *end)
{
	Size		size = end - from;

	if (tw->is_too_long || tw->out.len + size > MaxAllocSize - VARHDRSZ - 1)
		tw->is_too_long = true;
	else
		appendBinaryStringInfo(&tw->out, from, size);
}

/*
 * Puts null in the place of the text from here to the end of the token.
 */
static void
replace(TextWalk *tw, const char *from)
{
	static const char null[] = "null";

	append(tw, tw->copied, from);
	append(tw, null, null + 4);
	tw->copied = tw->lexer->token_terminator;
	tw->walk.is_changed = true;
}

static void
on_scalar(TextWalk *tw, bool is_null)
{
	if (tw->erased_depth >= 0 || is_null)
		return;
	if (tw->walk.paths->npaths == 0 || value_place(&tw->walk).is_erased)
		replace(tw, tw->lexer->token_start);
}

static void
on_start(TextWalk *tw, bool is_array)
{
	Place		place = {0};

	if (tw->erased_depth < 0)
	{
		place = value_place(&tw->walk);
		if (place.is_erased)
		{
			tw->erased_depth = tw->walk.depth;
			tw->erased_from = tw->lexer->token_start;
		}
	}
	enter(&tw->walk, is_array, place);
}

static void
on_end(TextWalk *tw)
{
	tw->walk.depth--;
	if (tw->walk.depth == tw->erased_depth)
	{
		replace(tw, tw->erased_from);
		tw->erased_depth = -1;
	}
}

/*
 * A string: a key, or a value.
 */
static void
on_string(TextWalk *tw)
{
	Level	   *level = innermost(&tw->walk);

	if (level == NULL || !level->is_key_next)
		on_scalar(tw, false);
	else
	{
		const char *key = tw->lexer->token_start + 1;

		level->is_key_next = false;
		if (tw->erased_depth < 0)
			level->member = step_into(&tw->walk, key,
									  tw->lexer->token_terminator - 1 - key,
									  true);
	}
}

static void
on_token(TextWalk *tw)
{
	Level	   *level = innermost(&tw->walk);

	switch (tw->lexer->token_type)
	{
		case JSON_TOKEN_STRING:
			on_string(tw);
			break;
		case JSON_TOKEN_NUMBER:
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
		case JSON_TOKEN_NULL:
			on_scalar(tw, tw->lexer->token_type == JSON_TOKEN_NULL);
			break;
		case JSON_TOKEN_OBJECT_START:
		case JSON_TOKEN_ARRAY_START:
			on_start(tw, tw->lexer->token_type == JSON_TOKEN_ARRAY_START);
			break;
		case JSON_TOKEN_OBJECT_END:
		case JSON_TOKEN_ARRAY_END:
			on_end(tw);
			break;
		case JSON_TOKEN_COMMA:
			level->is_key_next = !level->is_array;
			level->index++;
			break;
		default:
			break;
	}
}

/*
 * Erases what the paths lead to from a json. One that grows too long for a
 * value by that is erased in whole.
 */
text *
ret_erase_json(text *json, const RetJsonPaths *paths)
{
	char	   *start = VARDATA_ANY(json);
	char	   *end = start + VARSIZE_ANY_EXHDR(json);
	TextWalk	tw = {.copied = start,.erased_depth = -1};

	walk_init(&tw.walk, paths);
	tw.lexer = ret_json_lexer(start, end - start, GetDatabaseEncoding());
	initStringInfo(&tw.out);
	for (;;)
	{
		JsonParseErrorType error = json_lex(tw.lexer);

		if (error != JSON_SUCCESS)
			elog(ERROR, "stored json is invalid: %s",
				 json_errdetail(error, tw.lexer));
		if (tw.lexer->token_type == JSON_TOKEN_END)
			break;
		on_token(&tw);
	}
	if (!tw.walk.is_changed)
		return json;
	append(&tw, tw.copied, end);
	return tw.is_too_long ? cstring_to_text("null") :
		cstring_to_text_with_len(tw.out.data, tw.out.len);
}

/*
 * retention.erase_json(value jsonb, VARIADIC paths)
 */
Datum
retention_erase_jsonb(PG_FUNCTION_ARGS)
{
	RetJsonPaths *paths = ret_json_paths(PG_GETARG_ARRAYTYPE_P(1));

	PG_RETURN_JSONB_P(ret_erase_jsonb(PG_GETARG_JSONB_P(0), paths));
}

/*
 * retention.erase_json(value json, VARIADIC paths)
 */
Datum
retention_erase_json(PG_FUNCTION_ARGS)
{
	RetJsonPaths *paths = ret_json_paths(PG_GETARG_ARRAYTYPE_P(1));

	PG_RETURN_TEXT_P(ret_erase_json(PG_GETARG_TEXT_PP(0), paths));
}
