/*-------------------------------------------------------------------------
 *
 * detect.c
 *		retention.detect_pii(): where personal data is.
 *
 * Of each table that the caller governs: its columns, what their names and
 * types say (pii_names.c), what a sample of their values looks like
 * (detect_sample.c, pii_values.c), both together (pii_score.c), and the call
 * that tags what was found (detect_suggest.c). Nothing is reported that is a
 * value of a table.
 *
 * Each table is looked at in a subtransaction that is rolled back: so its
 * locks are gone when the next one's turn comes, and a table that cannot be
 * read does not end the search. Of such a table the names are judged alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/transam.h"
#include "catalog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "detect.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "policy_api.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/lmgr.h"
#include "subxact.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(retention_detect_pii);

#define MAX_SAMPLE 100000

/* How much of a table is looked at, if more of it cannot be. */
typedef enum Depth
{
	DEPTH_NAMES,
	DEPTH_COLUMNS,				/* no documents */
	DEPTH_ALL
} Depth;

/* One table; what is found is in "context". */
typedef struct Search
{
	Oid			relid;
	int			sample;
	Depth		depth;
	MemoryContext context;
	List	   *columns;
	char	   *clock;
	bool		is_gone;
} Search;

/* ---------- one table ---------- */

static void
judge_columns(List *columns, const RetTableSense *table)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		RetPiiColumn  *column = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		column->finding = column->kind == RET_KIND_JSON ?
			ret_json_judge(column, table) :
			ret_pii_judge(&column->sense, table, column->values,
						  column->kind);
	}
}

/*
 * What the columns that are sure tell about the table, and so about others.
 */
static void
learn_from_columns(List *columns, RetTableSense *table)
{
	bool		found[RET_NPII] = {0};
	int			personal = 0;
	ListCell   *lc;

	foreach(lc, columns)
	{
		RetPiiColumn  *column = lfirst(lc);
		RetPii		category = column->finding.category;

		if (category == RET_PII_NONE || column->kind == RET_KIND_JSON)
			continue;
		if ((category == RET_PII_ADDRESS && !column->sense.is_part) ||
			category == RET_PII_POSTAL_CODE)
			table->has_address = true;
		if (column->finding.confidence < 0.7)
			continue;
		found[category] = true;
		if (category == RET_PII_NAME &&
			(column->sense.context == RET_CONTEXT_PERSON ||
			 column->sense.weight == RET_SURE))
			table->has_person = true;
	}
	personal = found[RET_PII_NAME] + found[RET_PII_EMAIL] +
		found[RET_PII_PHONE] + found[RET_PII_ADDRESS] +
		found[RET_PII_BIRTH_DATE] + found[RET_PII_GENDER] +
		found[RET_PII_PASSWORD];
	if (table->context == RET_CONTEXT_NONE && personal >= 2)
		table->context = RET_CONTEXT_PERSON;
}

static void
search_table(void *arg)
{
	Search	   *search = arg;
	MemoryContext caller = MemoryContextSwitchTo(search->context);
	Relation	rel = try_relation_open(search->relid, AccessShareLock);
	RetTableSense table = {.context = RET_CONTEXT_NONE};
	const char *clock;

	search->is_gone = rel == NULL;
	if (rel != NULL)
	{
		search->columns = ret_detect_columns(rel);
		ret_detect_sample(rel, search->columns,
						  search->depth == DEPTH_NAMES ? 0 : search->sample,
						  search->depth == DEPTH_ALL);
		table.context = ret_table_context(RelationGetRelationName(rel));
		judge_columns(search->columns, &table);
		learn_from_columns(search->columns, &table);
		judge_columns(search->columns, &table);
		clock = ret_detect_clock(rel);
		search->clock = clock ? pstrdup(clock) : NULL;
		relation_close(rel, NoLock);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Whether an error lies in the table or its values.
 */
static bool
is_of_table(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		(category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE &&
		 error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE);
}

static void
put_findings(ReturnSetInfo *result, const Search *search)
{
	ListCell   *lc;

	foreach(lc, search->columns)
	{
		RetPiiColumn  *column = lfirst(lc);
		RetFinding *finding = &column->finding;
		char	   *suggestion;
		NameData	name;
		Datum		values[6];
		bool		nulls[6] = {0};

		if (finding->category == RET_PII_NONE)
			continue;
		suggestion = ret_detect_suggest(search->relid, column, search->clock);
		namestrcpy(&name, column->name);
		values[0] = ObjectIdGetDatum(search->relid);
		values[1] = NameGetDatum(&name);
		values[2] = CStringGetTextDatum(ret_pii_label(finding->category));
		values[3] = Float4GetDatum((float) (rint(finding->confidence * 100) / 100));
		values[4] = CStringGetTextDatum(finding->evidence);
		nulls[5] = suggestion == NULL;
		if (suggestion)
			values[5] = CStringGetTextDatum(suggestion);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
}

/*
 * Looks at a table as deep as it lets itself be looked at.
 */
static void
look_at_table(ReturnSetInfo *result, Oid relid, int sample)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "personal data of a table",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	Search		search = {
		.relid = relid, .sample = sample, .depth = DEPTH_ALL,
		.context = context
	};
	ErrorData  *error;

	while ((error = ret_try(search_table, &search, false, context)) != NULL)
	{
		if (!is_of_table(error) || search.depth == DEPTH_NAMES)
			ReThrowError(error);
		search.depth--;
	}
	caller = MemoryContextSwitchTo(context);
	if (!search.is_gone)
		put_findings(result, &search);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* ---------- which tables ---------- */

static void
refuse(Oid relid, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot look for personal data in \"%s\": %s",
					get_rel_name(relid), why),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Errors unless the current user may ask about a table, and it is one.
 */
static void
check_table(Oid relid)
{
	char		relkind;

	ret_check_may_govern(relid);
	relkind = get_rel_relkind(relid);
	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relkind == RELKIND_VIEW)
		refuse(relid, "it is a view", "Ask about the table that holds the rows.");
	if (relkind == RELKIND_FOREIGN_TABLE)
		refuse(relid, "it is a foreign table",
			   "Ask in the database that holds the rows.");
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_MATVIEW)
		refuse(relid, "it is not a table", NULL);
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		refuse(relid, "it is a temporary table", NULL);
	if (relid < FirstNormalObjectId || IsCatalogRelationOid(relid))
		refuse(relid, "it is a system table", NULL);
	if (OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		refuse(relid, "it belongs to an extension", NULL);
}

/*
 * The tables that the current user governs, in the order of their names.
 * Connects to SPI.
 */
static List *
governed_tables(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *tables = NIL;
	RetUser		saved;

	SPI_connect();
	ret_become_extension(&saved);
	if (SPI_execute("SELECT relation::oid::bigint, owner::bigint"
					" FROM retention._detectable()", false, 0) < 0)
		elog(ERROR, "could not list the tables");
	ret_restore_user(&saved);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		if (ret_user_governs(GetUserId(), (Oid) ret_result_int8(row, 2)))
			tables = lappend_oid(tables, (Oid) ret_result_int8(row, 1));
	SPI_finish();
	return tables;
}

static void
look_at_all(ReturnSetInfo *result, int sample)
{
	ListCell   *lc;

	foreach(lc, governed_tables())
	{
		Oid			relid = lfirst_oid(lc);

		CHECK_FOR_INTERRUPTS();
		/* whoever rebuilds one table does not hold up all others */
		if (!ConditionalLockRelationOid(relid, AccessShareLock))
		{
			ereport(WARNING,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("table %s is locked and was not looked at",
							ret_relation_name(relid) ?
							ret_relation_name(relid) : "?"),
					 errhint("Call detect_pii() for this table later.")));
			continue;
		}
		look_at_table(result, relid, sample);
		UnlockRelationOid(relid, AccessShareLock);
	}
}

/*
 * retention.detect_pii(relation, sample)
 */
Datum
retention_detect_pii(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			sample;

	ret_require_arg(fcinfo, 1, "sample");
	sample = PG_GETARG_INT32(1);
	if (sample < 0 || sample > MAX_SAMPLE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample must be between 0 and %d", MAX_SAMPLE),
				 errhint("0 looks at names and types only.")));
	if (!PG_ARGISNULL(0))
		check_table(PG_GETARG_OID(0));
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		look_at_all(result, sample);
	else
		look_at_table(result, PG_GETARG_OID(0), sample);
	return (Datum) 0;
}
