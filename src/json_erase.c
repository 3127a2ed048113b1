/*-------------------------------------------------------------------------
 *
 * json_erase.c
 *		Values at certain paths of a document become null.
 *
 * Without paths every value that is no object and no array becomes null.
 *
 * jsonb is built anew. json is text, and what is not erased stays as it was
 * written: the server's lexer says where values begin and end. Its parser
 * would need stack for each level, and convert what cannot be converted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "compat.h"
#include "fmgr.h"
#include "json_path.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "method.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

/* A container that the walk is in. */
typedef struct Level
{
	bool		is_array;
	bool		is_key_next;	/* of an object: of json only */
	int			index;			/* of an array: of the next element */
	uint64		paths;			/* those that lead to it */
	RetJsonPlace member;		/* of an object: the value of the last key */
} Level;

typedef struct Walk
{
	const RetJsonPaths *paths;
	bool		all_scalars;
	Level	   *levels;
	int			depth;
	int			maxdepth;
	bool		is_changed;
} Walk;

PG_FUNCTION_INFO_V1(retention_erase_json);
PG_FUNCTION_INFO_V1(retention_erase_jsonb);

static void
walk_init(Walk *walk, const RetJsonPaths *paths)
{
	walk->paths = paths;
	walk->all_scalars = ret_json_paths_are_none(paths);
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
enter(Walk *walk, bool is_array, RetJsonPlace place)
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
 * Notes the key of the member that comes next.
 */
static void
note_key(Walk *walk, const char *key, int len, bool is_written)
{
	Level	   *level = innermost(walk);
	RetJsonMember member = {.key = key,.len = len,.is_written = is_written};

	level->member = ret_json_step(walk->paths, level->paths, walk->depth - 1,
								  &member);
}

/*
 * The place of the value that begins now.
 */
static RetJsonPlace
value_place(Walk *walk)
{
	Level	   *level = innermost(walk);
	RetJsonMember member = {0};

	if (level == NULL)
		return ret_json_top(walk->paths);
	if (!level->is_array)
		return level->member;
	member.index = level->index;
	return ret_json_step(walk->paths, level->paths, walk->depth - 1, &member);
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
		return !walk.all_scalars || value.type == jbvNull ? jsonb :
			JsonbValueToJsonb(&nothing);
	}
	do
	{
		RetJsonPlace place = {0};
		JsonbValue	value;

		CHECK_FOR_INTERRUPTS();
		if (walk.depth == 0 || innermost(&walk)->is_array || token == WJB_KEY)
			place = value_place(&walk);
		token = JsonbIteratorNext(&it, &value, place.is_end);
		switch (token)
		{
			case WJB_KEY:
				note_key(&walk, value.val.string.val, value.val.string.len,
						 false);
				break;
			case WJB_VALUE:
			case WJB_ELEM:
				if ((place.is_end || walk.all_scalars) &&
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
	if (tw->walk.all_scalars || value_place(&tw->walk).is_end)
		replace(tw, tw->lexer->token_start);
}

static void
on_start(TextWalk *tw, bool is_array)
{
	RetJsonPlace place = {0};

	if (tw->erased_depth < 0)
	{
		place = value_place(&tw->walk);
		if (place.is_end)
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
			note_key(&tw->walk, key, tw->lexer->token_terminator - 1 - key,
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

		CHECK_FOR_INTERRUPTS();
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
