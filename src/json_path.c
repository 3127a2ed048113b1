/*-------------------------------------------------------------------------
 *
 * json_path.c
 *		Pure: paths in documents, and which of them lead to a member.
 *
 * A path has one step for each level: a key, the number of an array element,
 * or '*' for any of them. No step stands for several levels, so one walk over
 * a document can follow all paths at once: of each container it keeps, as
 * bits, which paths lead to it.
 *
 * Keys of json are compared as they are written, with escapes and all, for
 * some that json accepts cannot be converted (\u0000, half a surrogate pair,
 * what the encoding does not have).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "json_path.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* One step of a path. */
typedef struct Step
{
	bool		is_any;			/* '*' */
	int			index;			/* of an array element; -1: a key only */
	char	   *name;
	int			len;
	char	   *utf8;			/* the name in UTF-8, or the name itself */
} Step;

typedef struct Path
{
	Step	   *steps;
	int			nsteps;
} Path;

struct RetJsonPaths
{
	int			npaths;
	Path		paths[RET_MAX_JSON_PATHS];
};

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
	if (nelements > RET_MAX_JSON_PATHS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more than %d paths", RET_MAX_JSON_PATHS),
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

/*
 * Whether there is no path at all.
 */
bool
ret_json_paths_are_none(const RetJsonPaths *paths)
{
	return paths->npaths == 0;
}

/*
 * The place where a walk begins.
 */
RetJsonPlace
ret_json_top(const RetJsonPaths *paths)
{
	return (RetJsonPlace) {
		.paths = paths->npaths == RET_MAX_JSON_PATHS ? ~UINT64CONST(0) :
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

static bool
is_step(const Step *step, const RetJsonMember *member)
{
	if (step->is_any)
		return true;
	if (member->key == NULL)
		return step->index == member->index;
	if (member->is_written)
		return is_written_key(step, member->key, member->key + member->len);
	return member->len == step->len &&
		memcmp(member->key, step->name, step->len) == 0;
}

/*
 * The place of a member of a container: "leading" are the paths that lead to
 * the container, "depth" is how many containers are around it.
 */
RetJsonPlace
ret_json_step(const RetJsonPaths *paths, uint64 leading, int depth,
			  const RetJsonMember *member)
{
	RetJsonPlace place = {0};

	for (int i = 0; i < paths->npaths; i++)
	{
		const Path *path = &paths->paths[i];
		uint64		bit = UINT64CONST(1) << i;

		if ((leading & bit) == 0 || !is_step(&path->steps[depth], member))
			continue;
		if (path->nsteps == depth + 1)
			place.is_end = true;
		else
			place.paths |= bit;
	}
	return place;
}
