/*-------------------------------------------------------------------------
 *
 * detect_suggest.c
 *		The call that tags a column, with a method that works on it.
 *
 * What may be NULL becomes NULL, where nothing milder is usual for the
 * category. What may not is masked, rounded down or replaced. A column of a
 * unique index gets values of its own; one that refers to another table only
 * NULL, and one that others refer to nothing, for both ends would have to
 * change alike. Where none of this is possible there is no suggestion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "detect.h"
#include "lib/stringinfo.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

/* characters of a tombstone, which is unique: "erased-" and 32 more */
#define TOMBSTONE_LENGTH 39
#define EMAIL_TOMBSTONE_LENGTH 54
/* of a masked value: at least so many */
#define MASK_LENGTH 3

typedef struct Method
{
	const char *name;			/* NULL: none works */
	const char *params;			/* as JSON; NULL: none needed */
} Method;

static const Method none = {NULL, NULL};
static const Method to_null = {"null", NULL};

static bool
has_room(const RetPiiColumn *column, int length)
{
	return (column->type != VARCHAROID && column->type != BPCHAROID &&
			column->type != NAMEOID) ||
		(column->type != NAMEOID &&
		 (column->typmod < 0 || column->typmod - VARHDRSZ >= length));
}

/*
 * A method whose result no other row has.
 */
static Method
unique_method(const RetPiiColumn *column)
{
	int			length = column->finding.category == RET_PII_EMAIL ?
		EMAIL_TOMBSTONE_LENGTH : TOMBSTONE_LENGTH;

	if (!column->not_null)
		return to_null;
	if (column->kind == RET_KIND_TEXT && has_room(column, length))
		return (Method) {"tombstone", NULL};
	return none;
}

static Method
text_method(const RetPiiColumn *column)
{
	switch (column->finding.category)
	{
		case RET_PII_EMAIL:
			return (Method) {"mask_email", NULL};
		case RET_PII_PHONE:
			return (Method) {"mask_phone", NULL};
		case RET_PII_IP_ADDRESS:
			return (Method) {"truncate_ip", NULL};
		case RET_PII_POSTAL_CODE:
			return (Method) {"generalize", NULL};
		case RET_PII_PASSWORD:
			if (column->not_null && has_room(column, TOMBSTONE_LENGTH))
				return (Method) {"tombstone", NULL};
			break;
		default:
			break;
	}
	if (!column->not_null)
		return to_null;
	return has_room(column, MASK_LENGTH) ||
		column->finding.category == RET_PII_GENDER ?
		(Method) {"mask", NULL} : none;
}

static Method
number_method(const RetPiiColumn *column)
{
	if (column->finding.category == RET_PII_POSTAL_CODE)
		return (Method) {"generalize", "{\"bucket\": 10000}"};
	if (column->finding.category == RET_PII_BIRTH_DATE)
		return (Method) {"generalize", "{\"bucket\": 10}"};
	if (!column->not_null)
		return to_null;
	if (column->finding.category == RET_PII_LOCATION)
		return (Method) {"generalize", "{\"bucket\": 1}"};
	return (Method) {"constant", "{\"value\": 0}"};
}

/*
 * The paths of a document as {"paths": [...]}.
 */
static Method
json_method(const RetPiiColumn *column)
{
	StringInfoData params;
	ListCell   *lc;

	if (column->is_array)
		return column->not_null ?
			(Method) {"constant", "{\"value\": \"{}\"}"} : to_null;
	if (column->paths == NIL)
		return (Method) {"erase_json", NULL};
	initStringInfo(&params);
	appendStringInfoString(&params, "{\"paths\": [");
	foreach(lc, column->paths)
	{
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&params, ", ");
		escape_json(&params, lfirst(lc));
	}
	appendStringInfoString(&params, "]}");
	return (Method) {"erase_json", params.data};
}

static Method
choose_method(const RetPiiColumn *column)
{
	if (column->is_referred_to)
		return none;
	if (column->refers)
		return column->not_null ? none : to_null;
	if (column->is_unique)
		return unique_method(column);
	switch (column->kind)
	{
		case RET_KIND_TEXT:
			return text_method(column);
		case RET_KIND_INTEGER:
		case RET_KIND_NUMBER:
		case RET_KIND_FLOAT:
			return number_method(column);
		case RET_KIND_DATE:
			return (Method) {"generalize", "{\"unit\": \"year\"}"};
		case RET_KIND_INET:
			return (Method) {"truncate_ip", NULL};
		case RET_KIND_JSON:
			return json_method(column);
		case RET_KIND_BYTES:
			return column->not_null ?
				(Method) {"constant", "{\"value\": \"\"}"} : to_null;
		case RET_KIND_POINT:
			return column->not_null ?
				(Method) {"constant", "{\"value\": \"(0,0)\"}"} : to_null;
		default:
			if (!column->not_null)
				return to_null;
			return column->has_default ? (Method) {"default", NULL} : none;
	}
}

/*
 * The call of retention.tag_pii() for a column; NULL when no method works. A
 * clock is the name of a column, or NULL.
 */
char *
ret_detect_suggest(Oid relid, const RetPiiColumn *column, const char *clock)
{
	Method		method = choose_method(column);
	StringInfoData call;

	if (method.name == NULL || get_rel_relkind(relid) == RELKIND_MATVIEW)
		return NULL;
	initStringInfo(&call);
	appendStringInfo(&call, "SELECT retention.tag_pii(%s, %s, '%s', '%s'",
					 quote_literal_cstr(ret_relation_name(relid)),
					 quote_literal_cstr(column->name),
					 ret_pii_label(column->finding.category), method.name);
	if (method.params)
		appendStringInfo(&call, ", params => %s",
						 quote_literal_cstr(method.params));
	if (clock)
		appendStringInfo(&call, ", clock => %s",
						 quote_literal_cstr(quote_identifier(clock)));
	appendStringInfoString(&call, ");");
	return call.data;
}
