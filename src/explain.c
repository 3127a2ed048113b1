/*-------------------------------------------------------------------------
 *
 * explain.c
 *		Questions before anything happens: preview, explain_row.
 *
 * Both ask with the predicates that a run uses, as the table's owner in the
 * sandbox, and in a read-only transaction besides: what the owner's code may
 * try, a question does not write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "expr.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "policy_api.h"
#include "predicate.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "tag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_preview);
PG_FUNCTION_INFO_V1(retention_explain_row);

/*
 * Runs a query as the owner of a table, unable to write. Caller must be
 * connected to SPI.
 */
static void
ask_read_only(RetQuery *query, Oid owner, const char *zone)
{
	bool		read_only = XactReadOnly;
	RetUser		saved;

	ret_become_owner(&saved, owner, zone);
	XactReadOnly = true;
	PG_TRY();
	{
		ret_query_run(query, true, 0, NULL);
	}
	PG_FINALLY();
	{
		XactReadOnly = read_only;
	}
	PG_END_TRY();
	ret_restore_user(&saved);
}

static void
check_may_look(Oid relid)
{
	if (!ret_may_read(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s",
						OidIsValid(relid) && get_rel_name(relid) ?
						ret_relation_name(relid) : "?"),
				 errhint("Ask its owner, or become a member of the role in \"retention.auditor_role\".")));
}

/*
 * Makes a policy fit for questions: errors when it does not fit its table any
 * more, follows renamed columns in memory.
 */
static void
fit_policy(RetPolicy *policy, Relation rel)
{
	List	   *renames;
	char	   *mismatch = ret_policy_mismatch(policy, rel, &renames);

	if (mismatch == NULL && renames == NIL)
		mismatch = ret_policy_drift(policy, rel);
	if (mismatch)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("policy \"%s\" does not fit table %s any more: %s",
						policy->name, policy->relation_name, mismatch),
				 errhint("Mend it with retention.alter_policy(), or accept the change with retention.resume_policy().")));
	if (renames)
		ret_policy_rename_columns(policy, rel, renames);
}

/* ---------- preview ---------- */

typedef struct Tally
{
	int64		due;
	int64		held;
	int64		kept;
	Datum		oldest;
	bool		no_oldest;
} Tally;

static Tally
count_leaf(RetPolicy *policy, Relation leaf, TimestampTz at)
{
	List	   *keeps = ret_policy_is_keep(policy) ? NIL :
		ret_keeps_load(RelationGetRelid(leaf), false, policy->zone);
	RetQuery	query;
	Tally		tally = {0};

	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT count(*), count(*) FILTER (WHERE ");
	ret_query_add(&query, "%s", ret_predicate_kept(&query, keeps, at));
	ret_query_add(&query, "), min(%s) FROM ONLY %s AS " RET_ROW " WHERE ",
				  ret_predicate_clock(&query, policy),
				  ret_relation_name(RelationGetRelid(leaf)));
	ret_query_add(&query, "%s", ret_predicate_due(&query, policy, at, true));
	ask_read_only(&query, leaf->rd_rel->relowner, policy->zone);
	tally.due = ret_result_int8(0, 1);
	tally.kept = ret_result_int8(0, 2);
	tally.oldest = ret_result_datum(0, 3, &tally.no_oldest);
	SPI_finish();
	return tally;
}

/*
 * retention.preview(name, at)
 */
Datum
retention_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RetPolicy  *policy;
	TimestampTz at;
	Relation	root;
	ListCell   *lc;
	List	   *leaves;

	ret_require_arg(fcinfo, 0, "name");
	ret_require_arg(fcinfo, 1, "\"at\"");
	ret_identity_check();
	policy = ret_policy_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	at = PG_GETARG_TIMESTAMPTZ(1);
	if (OidIsValid(ret_relation_owner(policy->relid)))
		check_may_look(policy->relid);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"at\" must be finite")));
	InitMaterializedSRF(fcinfo, 0);
	root = ret_policy_open(policy);
	fit_policy(policy, root);
	ret_relation_check(root, root->rd_rel->relowner);

	leaves = ret_relation_leaves(policy->relid);
	foreach(lc, leaves)
	{
		Relation	leaf = table_open(lfirst_oid(lc), AccessShareLock);
		Tally		tally;
		Datum		values[5];
		bool		nulls[5] = {0};

		ret_relation_check(leaf, root->rd_rel->relowner);
		tally = count_leaf(policy, leaf, at);
		values[0] = ObjectIdGetDatum(lfirst_oid(lc));
		values[1] = Int64GetDatum(tally.due);
		values[2] = Int64GetDatum(tally.held);
		values[3] = Int64GetDatum(tally.kept);
		values[4] = tally.oldest;
		nulls[4] = tally.no_oldest;
		table_close(leaf, NoLock);
		/* of many partitions only those that have something to show */
		if (tally.due > 0 || list_length(leaves) == 1)
			tuplestore_putvalues(result->setResult, result->setDesc, values,
								 nulls);
	}
	table_close(root, NoLock);
	return (Datum) 0;
}

/* ---------- explain_row ---------- */

/* One line of the answer. */
typedef struct Verdict
{
	const char *policy;
	const char *action;
	Datum		clock;
	bool		no_clock;
	Datum		due_at;
	bool		no_due_at;
	const char *verdict;
	const char *reason;
} Verdict;

static void
put_verdict(ReturnSetInfo *result, const Verdict *verdict)
{
	Datum		values[6] = {0};
	bool		nulls[6];

	nulls[0] = verdict->policy == NULL;
	nulls[1] = verdict->action == NULL;
	nulls[2] = verdict->no_clock;
	nulls[3] = verdict->no_due_at;
	nulls[4] = nulls[5] = false;
	if (!nulls[0])
		values[0] = CStringGetTextDatum(verdict->policy);
	if (!nulls[1])
		values[1] = CStringGetTextDatum(verdict->action);
	values[2] = verdict->clock;
	values[3] = verdict->due_at;
	values[4] = CStringGetTextDatum(verdict->verdict);
	values[5] = CStringGetTextDatum(verdict->reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * "r.k1 = $1::type AND ...", the row with a key that came as text.
 */
static char *
key_condition(RetQuery *query, Relation rel, ArrayType *key)
{
	List	   *columns = ret_relation_key(rel);
	StringInfoData sql;
	Datum	   *texts;
	bool	   *nulls;

	ret_relation_split_key(rel, key, &texts, &nulls);
	initStringInfo(&sql);
	for (int i = 0; i < list_length(columns); i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel),
											   list_nth_int(columns, i) - 1);

		appendStringInfo(&sql, "%s" RET_ROW ".%s %s %s::%s",
						 i > 0 ? " AND " : "",
						 quote_identifier(NameStr(attr->attname)),
						 nulls[i] ? "IS NOT DISTINCT FROM" : "=",
						 nulls[i] ? ret_query_null(query, TEXTOID) :
						 ret_query_param(query, TEXTOID, texts[i]),
						 format_type_extended(attr->atttypid, attr->atttypmod,
											  FORMAT_TYPE_TYPEMOD_GIVEN |
											  FORMAT_TYPE_FORCE_QUALIFY));
	}
	return sql.data;
}

/* What a policy says about one row. */
typedef struct Facts
{
	bool		found;
	bool		passes;			/* the filter */
	bool		over;			/* the time */
	bool		has_data;		/* for a scrub policy: something to scrub */
	Oid			leaf;
} Facts;

/*
 * Looks at the row with the eyes of one policy. The datums of the verdict are
 * copied out of SPI.
 */
static Facts
look(RetPolicy *policy, Relation rel, ArrayType *key, TimestampTz at,
	 Verdict *verdict)
{
	RetQuery	query;
	RetPolicy	no_filter = *policy;
	Facts		facts = {0};
	char	   *condition;
	bool		isnull;

	no_filter.filter_sql = NULL;
	no_filter.action = "delete";	/* whether there is anything to scrub, too */
	SPI_connect();
	ret_query_init(&query);
	condition = key_condition(&query, rel, key);
	ret_query_add(&query, "SELECT c, CASE WHEN isfinite(c) THEN ");
	ret_query_add(&query, "%s END, (%s) IS TRUE, ",
				  ret_predicate_due_at(&query, policy),
				  policy->filter_sql ? policy->filter_sql : "true");
	ret_query_add(&query, "%s, " RET_ROW ".tableoid::int8, %s",
				  ret_predicate_due(&query, &no_filter, at, false),
				  ret_policy_is_scrub(policy) ? ret_tags_needs(policy) : "true");
	ret_query_add(&query, " FROM %s AS " RET_ROW ", LATERAL (SELECT ",
				  ret_relation_name(RelationGetRelid(rel)));
	ret_query_add(&query, "%s AS c) AS clock WHERE %s LIMIT 1",
				  ret_predicate_clock(&query, policy), condition);
	ask_read_only(&query, rel->rd_rel->relowner, policy->zone);
	facts.found = SPI_processed > 0;
	if (facts.found)
	{
		verdict->clock = ret_result_datum(0, 1, &verdict->no_clock);
		verdict->due_at = ret_result_datum(0, 2, &verdict->no_due_at);
		facts.passes = DatumGetBool(ret_result_datum(0, 3, &isnull));
		facts.over = DatumGetBool(ret_result_datum(0, 4, &isnull));
		facts.leaf = (Oid) ret_result_int8(0, 5);
		facts.has_data = DatumGetBool(ret_result_datum(0, 6, &isnull));
	}
	SPI_finish();
	return facts;
}

/*
 * The leaf that holds the row; InvalidOid when there is no such row.
 */
static Oid
find_row(Relation rel, ArrayType *key)
{
	RetQuery	query;
	Oid			leaf = InvalidOid;
	char	   *condition;

	SPI_connect();
	ret_query_init(&query);
	condition = key_condition(&query, rel, key);
	ret_query_add(&query, "SELECT " RET_ROW ".tableoid::int8 FROM %s AS "
				  RET_ROW " WHERE %s LIMIT 1",
				  ret_relation_name(RelationGetRelid(rel)), condition);
	ask_read_only(&query, rel->rd_rel->relowner, NULL);
	if (SPI_processed > 0)
		leaf = (Oid) ret_result_int8(0, 1);
	SPI_finish();
	return leaf;
}

static bool
is_started(const Verdict *verdict)
{
	return !verdict->no_clock && !verdict->no_due_at;
}

/*
 * What a keep policy decides; true when it protects the row.
 */
static bool
judge_keep(const Facts *facts, Verdict *verdict)
{
	if (!facts->passes)
	{
		verdict->verdict = "does not apply";
		verdict->reason = "the row does not pass the filter";
		return false;
	}
	if (facts->over)
	{
		verdict->verdict = "over";
		verdict->reason = "the time for which the row must be kept is over";
		return false;
	}
	verdict->verdict = "keeps";
	verdict->reason = is_started(verdict) ?
		psprintf("the row must be kept until %s",
				 timestamptz_to_str(DatumGetTimestampTz(verdict->due_at))) :
		"the clock has not started, so the row must be kept";
	return true;
}

static void
judge(const RetPolicy *policy, const Facts *facts, const char *keeper,
	  Verdict *verdict)
{
	if (!facts->passes)
	{
		verdict->verdict = "does not apply";
		verdict->reason = "the row does not pass the filter";
	}
	else if (!is_started(verdict))
	{
		verdict->verdict = "not started";
		verdict->reason = verdict->no_clock ? "the clock is null" :
			"the clock is infinite";
	}
	else if (!facts->over)
	{
		verdict->verdict = "not due";
		verdict->reason = psprintf("the row is due at %s",
								   timestamptz_to_str(DatumGetTimestampTz(verdict->due_at)));
	}
	else if (ret_policy_is_scrub(policy) && policy->scrubs == NIL)
	{
		verdict->verdict = "does not apply";
		verdict->reason = "no column is tagged for this policy";
	}
	else if (!facts->has_data)
	{
		verdict->verdict = "scrubbed";
		verdict->reason = "the tagged columns hold no personal data any more";
	}
	else if (keeper)
	{
		verdict->verdict = "kept";
		verdict->reason = psprintf("the row is due, but keep policy \"%s\" protects it",
								   keeper);
	}
	else if (!ret_policy_is_active(policy))
	{
		verdict->verdict = "waits";
		verdict->reason = psprintf("the row is due, but the policy is %s: %s",
								   policy->state,
								   policy->reason ? policy->reason : "?");
	}
	else
	{
		const char *what = ret_policy_is_scrub(policy) ?
			"the personal data of the row" : "the row";

		verdict->verdict = "due";
		verdict->reason = policy->next_run == DT_NOEND || policy->cron ?
			psprintf("%s goes when the policy is run", what) :
			psprintf("%s goes with the next run, at %s", what,
					 timestamptz_to_str(policy->next_run));
	}
}

/*
 * retention.explain_row(relation, VARIADIC key)
 */
Datum
retention_explain_row(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	ArrayType  *key = PG_GETARG_ARRAYTYPE_P(1);
	TimestampTz at = ret_now();
	Relation	rel;
	Oid			leaf;
	List	   *policies;
	const char *keeper = NULL;
	TimestampTz kept_until = DT_NOBEGIN;
	Verdict		nothing = {.no_clock = true,.no_due_at = true};

	check_may_look(relid);
	ret_identity_check();
	InitMaterializedSRF(fcinfo, 0);
	rel = table_open(relid, AccessShareLock);
	ret_relation_check(rel, rel->rd_rel->relowner);
	leaf = find_row(rel, key);
	policies = OidIsValid(leaf) ?
		ret_policy_find_on(ret_relation_ancestors(leaf), NULL) : NIL;

	if (!OidIsValid(leaf))
	{
		nothing.verdict = "not found";
		nothing.reason = "no row has this key; retention.find_deletion() tells whether it was deleted";
		put_verdict(result, &nothing);
	}
	else if (policies == NIL)
	{
		nothing.verdict = "not governed";
		nothing.reason = "no policy is on this table";
		put_verdict(result, &nothing);
	}

	/* keep policies first: they decide about the others */
	for (int pass = 0; pass < 2; pass++)
	{
		ListCell   *lc;

		foreach(lc, policies)
		{
			RetPolicy  *policy = lfirst(lc);
			bool		keep = ret_policy_is_keep(policy);
			Verdict		verdict = {.policy = policy->name,.action = policy->action};
			Relation	governed;
			Facts		facts;

			if (keep != (pass == 0))
				continue;
			governed = table_open(policy->relid, AccessShareLock);
			fit_policy(policy, governed);
			table_close(governed, NoLock);
			facts = look(policy, rel, key, at, &verdict);
			if (!facts.found)
				continue;
			if (!keep)
				judge(policy, &facts, keeper, &verdict);
			else if (judge_keep(&facts, &verdict))
			{
				/* the longest retention wins */
				TimestampTz until = is_started(&verdict) ?
					DatumGetTimestampTz(verdict.due_at) : DT_NOEND;

				if (keeper == NULL || until > kept_until)
				{
					keeper = policy->name;
					kept_until = until;
				}
			}
			put_verdict(result, &verdict);
		}
	}
	table_close(rel, NoLock);
	return (Datum) 0;
}
