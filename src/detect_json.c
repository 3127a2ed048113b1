/*-------------------------------------------------------------------------
 *
 * detect_json.c
 *		Personal data inside of documents.
 *
 * Each path to a string or number is judged like a column whose name is the
 * path. A step into an array is '*', as retention.erase_json() has it.
 *
 * A key can be a value itself, of a document that maps people to things. So a
 * path is shown only if it comes in several documents, and if no key of it
 * looks like a value of somebody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "detect.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* more paths, and deeper ones, are not looked at */
#define MAX_PATHS 200
#define MAX_DEPTH 32
/* different values that are counted at a path */
#define MAX_VALUES 1024
/* shown as evidence */
#define MAX_SHOWN 5

typedef struct PathSample
{
	char	   *path;
	RetPiiValues *values;
	bool		has_text;
	int			documents;
	int			last_document;
} PathSample;

struct RetJsonSample
{
	MemoryContext context;
	int			max;
	int			documents;
	int			npaths;
	int			last;			/* the path that was found last */
	PathSample	paths[MAX_PATHS];
};

/* Where the walk through a document is. */
typedef struct Walk
{
	RetJsonSample *sample;
	StringInfoData path;
	int			depth;
	int			lengths[MAX_DEPTH + 1]; /* of the path to each container */
	bool		is_array[MAX_DEPTH + 1];
} Walk;

RetJsonSample *
ret_json_sample_make(int max)
{
	RetJsonSample *sample = palloc0(sizeof(RetJsonSample));

	sample->context = CurrentMemoryContext;
	sample->max = Min(max, MAX_VALUES);
	return sample;
}

/*
 * The counters of a path; NULL when there are too many. Documents of one
 * column are alike, so the next path is mostly behind the last one.
 */
static PathSample *
find_path(RetJsonSample *sample, const char *path)
{
	PathSample *found;
	MemoryContext caller;

	for (int i = 0; i < sample->npaths; i++)
	{
		int			n = (sample->last + 1 + i) % sample->npaths;

		if (strcmp(sample->paths[n].path, path) == 0)
		{
			sample->last = n;
			return &sample->paths[n];
		}
	}
	if (sample->npaths == MAX_PATHS)
		return NULL;
	caller = MemoryContextSwitchTo(sample->context);
	sample->last = sample->npaths;
	found = &sample->paths[sample->npaths++];
	found->path = pstrdup(path);
	found->values = ret_pii_values_make(sample->max);
	MemoryContextSwitchTo(caller);
	return found;
}

static void
take_scalar(Walk *walk, const JsonbValue *value)
{
	RetJsonSample *sample = walk->sample;
	PathSample *path;
	char	   *text;

	if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, Min(value->val.string.len, 600));
	else if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	else
		return;
	path = find_path(sample, walk->path.data);
	if (path == NULL)
		return;
	path->has_text = path->has_text || value->type == jbvString;
	if (path->last_document != sample->documents)
		path->documents++;
	path->last_document = sample->documents;
	ret_pii_values_add(path->values, text, value->type == jbvNumeric);
}

static void
set_step(Walk *walk, const char *key, int len)
{
	walk->path.len = walk->lengths[walk->depth];
	walk->path.data[walk->path.len] = '\0';
	if (walk->path.len > 0)
		appendStringInfoChar(&walk->path, '.');
	appendBinaryStringInfo(&walk->path, key, len);
}

static bool
is_too_deep(const Walk *walk)
{
	return walk->depth > MAX_DEPTH;
}

static void
enter(Walk *walk, bool is_array)
{
	if (walk->depth > 0 && !is_too_deep(walk) && walk->is_array[walk->depth])
		set_step(walk, "*", 1);
	walk->depth++;
	if (is_too_deep(walk))
		return;
	walk->lengths[walk->depth] = walk->path.len;
	walk->is_array[walk->depth] = is_array;
}

/*
 * Counts the values of a document.
 */
void
ret_json_sample_add(RetJsonSample *sample, Jsonb *document)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	Walk		walk = {.sample = sample};

	initStringInfo(&walk.path);
	sample->documents++;
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
			enter(&walk, token == WJB_BEGIN_ARRAY);
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			walk.depth--;
		else if (is_too_deep(&walk))
			continue;
		else if (token == WJB_KEY)
			set_step(&walk, value.val.string.val, value.val.string.len);
		else
		{
			if (token == WJB_ELEM)
				set_step(&walk, "*", 1);
			take_scalar(&walk, &value);
		}
	}
}

/*
 * Whether a path says nothing about anybody.
 */
static bool
may_be_shown(const RetJsonSample *sample, const PathSample *path)
{
	char	   *copy = pstrdup(path->path);

	if (path->documents < 2 || path->documents * 10 < sample->documents ||
		strlen(copy) > 200)
		return false;
	for (char *key = strtok(copy, "."); key; key = strtok(NULL, "."))
		if (ret_looks_personal(key) &&
			ret_name_sense(key).category == RET_PII_NONE)
			return false;
	return true;
}

/*
 * Judges the paths of a column. The result has the category of the surest of
 * them; "paths" of the column become those that were found and may be shown.
 */
RetFinding
ret_json_judge(RetPiiColumn *column, const RetTableSense *table)
{
	RetJsonSample *sample = column->json;
	RetFinding	best = {RET_PII_NONE, 0, NULL};
	StringInfoData evidence;
	int			hidden = 0;

	initStringInfo(&evidence);
	column->paths = NIL;
	for (int i = 0; sample && i < sample->npaths; i++)
	{
		PathSample *path = &sample->paths[i];
		RetNameSense name = ret_name_sense(psprintf("%s.%s", column->name,
													path->path));
		RetFinding	found = ret_pii_judge(&name, table, path->values,
										  path->has_text ? RET_KIND_TEXT :
										  RET_KIND_NUMBER);

		if (found.category == RET_PII_NONE)
			continue;
		if (found.confidence > best.confidence)
			best = found;
		if (column->is_array || !may_be_shown(sample, path))
		{
			hidden++;
			continue;
		}
		if (list_length(column->paths) < MAX_SHOWN)
			appendStringInfo(&evidence, "%s%s (%s)",
							 evidence.len > 0 ? ", " : "paths: ", path->path,
							 ret_pii_label(found.category));
		column->paths = lappend(column->paths, path->path);
	}
	if (list_length(column->paths) > MAX_SHOWN)
		hidden += list_length(column->paths) - MAX_SHOWN;
	if (hidden > 0 && evidence.len > 0)
		appendStringInfo(&evidence, " and %d more", hidden);
	if (evidence.len > 0)
		best.evidence = evidence.data;
	return best;
}
