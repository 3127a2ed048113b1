/*-------------------------------------------------------------------------
 *
 * label.c
 *		SECURITY LABEL FOR retention: another way to write tag_pii().
 *
 *		SECURITY LABEL FOR retention ON COLUMN t.c IS '{"category": "email"}'
 *
 * The label is a JSON object with the arguments of tag_pii(); NULL is
 * untag_pii(). It is not stored as a label: tags are kept in a table of the
 * extension, which a dump takes along, and labels in a dump would stand
 * against them. A hook of utility commands, in sessions that have loaded the
 * library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_type.h"
#include "due.h"
#include "fmgr.h"
#include "label.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tagging.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static ProcessUtility_hook_type next_hook = NULL;

static void
refuse(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the label is not understood: %s", problem),
			 errhint("Write a JSON object with the arguments of retention.tag_pii(), such as '{\"category\": \"email\", \"method\": \"mask_email\", \"clock\": \"created_at\"}'.")));
}

/*
 * Reads one member of the label.
 */
static void
read_member(const char *name, JsonbValue *value, RetTag *tag)
{
	char	   *text;

	if (strcmp(name, "params") == 0)
	{
		tag->params = JsonbPGetDatum(JsonbValueToJsonb(value));
		tag->no_params = false;
		return;
	}
	if (value->type != jbvString)
		refuse(psprintf("\"%s\" must be a string", name));
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (strcmp(name, "category") == 0)
		tag->category = text;
	else if (strcmp(name, "method") == 0)
		tag->method = text;
	else if (strcmp(name, "clock") == 0)
		tag->clock = text;
	else if (strcmp(name, "filter") == 0)
		tag->filter = text;
	else if (strcmp(name, "after") == 0)
		tag->after = DatumGetIntervalP(DirectFunctionCall3(interval_in,
														   CStringGetDatum(text),
														   ObjectIdGetDatum(InvalidOid),
														   Int32GetDatum(-1)));
	else
		refuse(psprintf("it has no member \"%s\"", name));
}

static void
read_label(const char *label, RetTag *tag)
{
	Jsonb	   *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														  CStringGetDatum(label)));
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, true);

	if (token != WJB_BEGIN_OBJECT)
		refuse("it is not an object");
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		char	   *name = pnstrdup(value.val.string.val, value.val.string.len);

		(void) JsonbIteratorNext(&iterator, &value, true);
		read_member(name, &value, tag);
	}
	if (tag->category == NULL)
		refuse("it has no category");
}

static void
label_column(SecLabelStmt *statement)
{
	RetTag		tag = {.method = "null",.no_params = true};
	ObjectAddress address;

	if (statement->objtype != OBJECT_COLUMN)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("security labels of retention are for columns only")));
	address = get_object_address(statement->objtype, statement->object,
								 &tag.rel, AccessShareLock, false);
	ret_check_may_govern(RelationGetRelid(tag.rel));
	ret_identity_check();
	tag.column = get_attname(address.objectId, address.objectSubId, false);
	tag.after = palloc0(sizeof(Interval));
	tag.after->day = 30;
	if (statement->label)
	{
		read_label(statement->label, &tag);
		ret_interval_check(tag.after, "after");
		(void) ret_pii_tag(&tag);
	}
	else
		ret_pii_untag(tag.rel, tag.column);
	relation_close(tag.rel, NoLock);
}

static bool
is_ours(Node *statement)
{
	return IsA(statement, SecLabelStmt) &&
		castNode(SecLabelStmt, statement)->provider &&
		strcmp(castNode(SecLabelStmt, statement)->provider, "retention") == 0;
}

static void
on_utility(PlannedStmt *statement, const char *text, bool is_shared,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	if (is_ours(statement->utilityStmt))
	{
		PreventCommandIfReadOnly("SECURITY LABEL");
		PreventCommandDuringRecovery("SECURITY LABEL");
		PushActiveSnapshot(GetTransactionSnapshot());
		label_column(castNode(SecLabelStmt, statement->utilityStmt));
		PopActiveSnapshot();
		return;
	}
	(next_hook ? next_hook : standard_ProcessUtility)
		(statement, text, is_shared, context, params, environment, dest,
		 completion);
}

/*
 * Called once, when the library is loaded.
 */
void
ret_label_init(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
