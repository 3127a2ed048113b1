/*-------------------------------------------------------------------------
 *
 * policy.c
 *		Policies as the catalog has them: load, compare with the table.
 *
 * Everything returned is in the caller's memory context. The functions
 * connect to SPI themselves and act as the extension, so that they can be
 * called by whoever passed the check of his rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "expr.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "policy.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "schedule.h"
#include "shmem.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_mismatch);

/* must agree with read_policy() */
#define POLICY_QUERY \
	"SELECT p.policy_id::bigint, p.name, p.relation_id::bigint," \
	" r.reloid::oid::bigint, r.name, p.owner, p.action, p.after, p.clock," \
	" p.filter, p.clock_sql, p.filter_sql, p.clock_type::oid::bigint," \
	" p.column_nums::text[], p.column_names, p.column_types, p.zone," \
	" p.every, p.run_window, p.rate::bigint, p.max_fraction, p.state," \
	" p.reason, p.version::bigint, p.anchor, p.next_run," \
	" p.failures::bigint, p.cascades, p.cron, p.cron_job," \
	" p.owner_oid::bigint, p.depends::text[], p.depends IS NOT NULL," \
	" p.zone_matters" \
	" FROM retention.policy p JOIN retention.relation r USING (relation_id) "

static Interval *
result_interval(uint64 row, int column)
{
	bool		isnull;
	Datum		value = ret_result_datum(row, column, &isnull);

	return isnull ? NULL :
		DatumGetIntervalP(datumCopy(value, false, sizeof(Interval)));
}

static List *
read_columns(uint64 row)
{
	List	   *nums = ret_result_texts(row, 14);
	List	   *names = ret_result_texts(row, 15);
	List	   *types = ret_result_texts(row, 16);
	List	   *columns = NIL;

	for (int i = 0; i < list_length(nums); i++)
	{
		RetColumn  *column = palloc(sizeof(RetColumn));

		column->num = atoi(list_nth(nums, i));
		column->name = list_nth(names, i);
		column->type = list_nth(types, i);
		columns = lappend(columns, column);
	}
	return columns;
}

static RetPolicy *
read_policy(uint64 row)
{
	RetPolicy  *policy = palloc0(sizeof(RetPolicy));
	bool		isnull;
	Datum		value;
	ListCell   *lc;

	policy->policy_id = (int32) ret_result_int8(row, 1);
	policy->name = ret_result_text(row, 2);
	policy->relation_id = (int32) ret_result_int8(row, 3);
	policy->relid = (Oid) ret_result_int8(row, 4);
	policy->relation_name = ret_result_text(row, 5);
	policy->owner = ret_result_text(row, 6);
	policy->action = ret_result_text(row, 7);
	policy->after = result_interval(row, 8);
	policy->clock = ret_result_text(row, 9);
	policy->filter = ret_result_text(row, 10);
	policy->clock_sql = ret_result_text(row, 11);
	policy->filter_sql = ret_result_text(row, 12);
	policy->clock_type = (Oid) ret_result_int8(row, 13);
	policy->columns = read_columns(row);
	policy->zone = ret_result_text(row, 17);
	policy->every = result_interval(row, 18);
	policy->run_window = ret_result_text(row, 19);
	policy->rate = (int) ret_result_int8(row, 20);
	policy->max_fraction = DatumGetFloat4(ret_result_datum(row, 21, &isnull));
	policy->state = ret_result_text(row, 22);
	policy->reason = ret_result_text(row, 23);
	policy->version = (int) ret_result_int8(row, 24);
	policy->anchor = DatumGetTimestampTz(ret_result_datum(row, 25, &isnull));
	value = ret_result_datum(row, 26, &isnull);
	policy->next_run = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	policy->failures = (int) ret_result_int8(row, 27);
	policy->cascades = ret_result_texts(row, 28);
	policy->cron = ret_result_text(row, 29);
	policy->cron_job = ret_result_int8(row, 30);
	policy->owner_oid = (Oid) ret_result_int8(row, 31);
	foreach(lc, ret_result_texts(row, 32))
		policy->depends = lappend_oid(policy->depends, atooid(lfirst(lc)));
	policy->knows_depends = DatumGetBool(ret_result_datum(row, 33, &isnull));
	policy->zone_matters = DatumGetBool(ret_result_datum(row, 34, &isnull));
	return policy;
}

/*
 * Runs POLICY_QUERY with what follows it and reads all rows, in the caller's
 * memory context.
 */
static List *
load_policies(RetQuery *query, SPIPlanPtr *plan)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	RetUser		saved;
	List	   *policies = NIL;

	SPI_connect();
	spi = CurrentMemoryContext;
	ret_become_extension(&saved);
	ret_query_run_kept(query, plan);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		policies = lappend(policies, read_policy(i));
	MemoryContextSwitchTo(spi);
	ret_restore_user(&saved);
	SPI_finish();
	return policies;
}

/*
 * Finds a policy by its name; when it is missing returns NULL or errors.
 */
RetPolicy *
ret_policy_find(const char *name, bool missing_ok)
{
	static SPIPlanPtr plan = NULL;
	RetQuery	query;
	List	   *found;

	ret_query_init(&query);
	ret_query_add(&query, POLICY_QUERY "WHERE p.name = %s",
				  ret_query_text(&query, name));
	found = load_policies(&query, &plan);
	if (found == NIL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("policy \"%s\" does not exist", name),
				 errhint("The view retention.policies lists the policies on your tables.")));
	return found == NIL ? NULL : linitial(found);
}

/*
 * Finds a policy by its id, NULL when it is gone.
 */
RetPolicy *
ret_policy_find_id(int32 policy_id)
{
	static SPIPlanPtr plan = NULL;
	RetQuery	query;
	List	   *found;

	ret_query_init(&query);
	ret_query_add(&query, POLICY_QUERY "WHERE p.policy_id = %s",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy_id)));
	found = load_policies(&query, &plan);
	return found == NIL ? NULL : linitial(found);
}

/*
 * The policies on any of some relations, of one action or (NULL) of all.
 */
List *
ret_policy_find_on(List *relids, const char *action)
{
	static SPIPlanPtr plan = NULL;
	RetQuery	query;
	Datum	   *oids = palloc(sizeof(Datum) * list_length(relids));

	for (int i = 0; i < list_length(relids); i++)
		oids[i] = ObjectIdGetDatum(list_nth_oid(relids, i));
	ret_query_init(&query);
	ret_query_add(&query,
				  POLICY_QUERY
				  "WHERE r.reloid = ANY (%s) AND p.action = coalesce(%s, p.action)"
				  " ORDER BY p.name",
				  ret_query_param(&query, REGCLASSARRAYOID,
								  PointerGetDatum(construct_array(oids,
																  list_length(relids), REGCLASSOID,
																  sizeof(Oid), true, TYPALIGN_INT))),
				  ret_query_text(&query, action));
	return load_policies(&query, &plan);
}

bool
ret_policy_is_active(const RetPolicy *policy)
{
	return strcmp(policy->state, "active") == 0;
}

/*
 * Whether a moment is in the run window of a policy; always, if it has none.
 */
bool
ret_policy_window_is_open(const RetPolicy *policy, TimestampTz at)
{
	RetWindow	window;

	return policy->run_window == NULL ||
		!ret_window_parse(policy->run_window, &window) ||
		ret_window_is_open(&window, pg_tzset(policy->zone), at);
}

/*
 * The first moment from "at" on that is in the run window of a policy.
 */
TimestampTz
ret_policy_in_window(const RetPolicy *policy, TimestampTz at)
{
	RetWindow	window;

	if (policy->run_window && ret_window_parse(policy->run_window, &window))
		return ret_window_next_open(&window, pg_tzset(policy->zone), at);
	return at;
}

bool
ret_policy_is_keep(const RetPolicy *policy)
{
	return strcmp(policy->action, "keep") == 0;
}

bool
ret_policy_is_scrub(const RetPolicy *policy)
{
	return strcmp(policy->action, "scrub") == 0;
}

/*
 * When a policy is to run after now, by its schedule and its run window;
 * DT_NOEND: never by itself.
 */
TimestampTz
ret_policy_next_run(const RetPolicy *policy, TimestampTz now)
{
	if (policy->every == NULL)
		return DT_NOEND;
	return ret_policy_in_window(policy,
								ret_next_run(policy->anchor, policy->every,
											 now));
}

/*
 * Whether the time of a policy has come. A next_run that no schedule could
 * have set counts as come: it was written while the clock was wrong. (A run
 * window or a back-off put off less than the two days allowed for here; the
 * query in round.c has the same rule.)
 */
bool
ret_policy_is_due(const RetPolicy *policy, TimestampTz now)
{
	TimestampTz latest;

	if (policy->every == NULL || policy->next_run == DT_NOEND)
		return false;
	latest = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													 TimestampTzGetDatum(now),
													 IntervalPGetDatum(policy->every)));
	return policy->next_run <= now ||
		policy->next_run > latest + 2 * USECS_PER_DAY;
}

/*
 * Whether a policy still says what it said when it was accepted, now that the
 * table is as it is: NULL when it does, else the reason why not.
 *
 * Columns that were merely renamed are no mismatch; they come back in
 * "renames" as old, new, old, new.
 */
char *
ret_policy_mismatch(const RetPolicy *policy, Relation rel, List **renames)
{
	TupleDesc	desc = RelationGetDescr(rel);
	ListCell   *lc;

	*renames = NIL;
	if (rel->rd_rel->relowner != policy->owner_oid)
		return psprintf("the table belonged to \"%s\" and now belongs to \"%s\"",
						policy->owner,
						GetUserNameFromId(rel->rd_rel->relowner, false));

	foreach(lc, policy->columns)
	{
		RetColumn  *column = lfirst(lc);
		Form_pg_attribute attr;
		char	   *type;

		if (column->num < 1 || column->num > desc->natts ||
			TupleDescAttr(desc, column->num - 1)->attisdropped)
			return psprintf("column \"%s\" was dropped", column->name);
		attr = TupleDescAttr(desc, column->num - 1);
		type = ret_expr_type_name(attr->atttypid);
		if (strcmp(type, column->type) != 0)
			return psprintf("column \"%s\" was of type %s and now is of type %s",
							column->name, column->type, type);
		if (strcmp(NameStr(attr->attname), column->name) != 0)
			*renames = lappend(lappend(*renames, column->name),
							   pstrdup(NameStr(attr->attname)));
	}
	return NULL;
}

/*
 * What two expressions depend on, as far as users made it.
 */
List *
ret_expr_depends(RetExpr *clock, RetExpr *filter)
{
	List	   *all = list_concat_unique_oid(list_copy(clock->functions),
											 clock->relations);
	List	   *depends = NIL;
	ListCell   *lc;

	if (filter)
	{
		all = list_concat_unique_oid(all, filter->functions);
		all = list_concat_unique_oid(all, filter->relations);
	}
	foreach(lc, all)
		if (lfirst_oid(lc) >= FirstNormalObjectId)
			depends = lappend_oid(depends, lfirst_oid(lc));
	return depends;
}

/*
 * Understands clock and filter again: NULL when they still mean what they
 * meant, else the reason why not. Errors when they mean nothing any more, or
 * may not be used on this table.
 *
 * Caller must hold a lock on the table and have seen that the columns match.
 */
char *
ret_policy_drift(const RetPolicy *policy, Relation rel)
{
	RetUser		saved;
	RetExpr    *clock;
	RetExpr    *filter = NULL;
	List	   *depends;

	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	clock = ret_expr_parse(rel, policy->clock_sql, RET_EXPR_CLOCK, true, NIL);
	if (policy->filter_sql)
		filter = ret_expr_parse(rel, policy->filter_sql, RET_EXPR_FILTER, true,
								NIL);
	ret_restore_user(&saved);

	depends = ret_expr_depends(clock, filter);
	if (policy->knows_depends &&
		(list_difference_oid(depends, policy->depends) != NIL ||
		 list_difference_oid(policy->depends, depends) != NIL))
		return pstrdup("a table or function that clock or filter refers to was replaced by another of the same name");
	return NULL;
}

/*
 * Opens the table of a policy and locks it in AccessShare. Errors when it was
 * dropped.
 */
Relation
ret_policy_open(const RetPolicy *policy)
{
	Relation	rel = NULL;

	if (OidIsValid(policy->relid))
		rel = try_relation_open(policy->relid, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s of policy \"%s\" was dropped",
						policy->relation_name, policy->name),
				 errhint("Drop the policy.")));
	return rel;
}

/*
 * retention._mismatch(policy): why a policy does not fit its table any more;
 * NULL when it does. For whoever may look at the table.
 */
Datum
retention_mismatch(PG_FUNCTION_ARGS)
{
	RetPolicy  *policy = ret_policy_find(text_to_cstring(PG_GETARG_TEXT_PP(0)),
										 true);
	Relation	rel;
	List	   *renames;
	char	   *mismatch;

	if (policy == NULL || !ret_may_read(policy->relid))
		PG_RETURN_NULL();
	/* who looks at retention.health does not wait for somebody's DDL */
	if (OidIsValid(policy->relid) &&
		!ConditionalLockRelationOid(policy->relid, AccessShareLock))
		PG_RETURN_NULL();
	rel = try_relation_open(policy->relid, NoLock);
	if (rel == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("the table was dropped"));
	mismatch = ret_policy_mismatch(policy, rel, &renames);
	relation_close(rel, AccessShareLock);
	if (mismatch == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(mismatch));
}

/*
 * Follows the renaming of columns, in memory: old, new, old, new. What the
 * user wrote is replaced by its canonical form, unless it was a mere column.
 * Caller must hold a lock on the table.
 */
void
ret_policy_rename_columns(RetPolicy *policy, Relation rel, List *renames)
{
	RetUser		saved;
	RetExpr    *clock;
	RetExpr    *filter = NULL;
	ListCell   *lc;

	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	clock = ret_expr_parse(rel, policy->clock_sql, RET_EXPR_CLOCK, true,
						   renames);
	if (policy->filter_sql)
		filter = ret_expr_parse(rel, policy->filter_sql, RET_EXPR_FILTER, true,
								renames);
	ret_restore_user(&saved);

	if (strcmp(clock->sql, policy->clock_sql) != 0)
	{
		policy->clock_sql = clock->sql;
		policy->clock = clock->is_column ?
			clock->sql + strlen(RET_ROW ".") : clock->sql;
	}
	if (filter && strcmp(filter->sql, policy->filter_sql) != 0)
	{
		policy->filter_sql = filter->sql;
		policy->filter = filter->sql;
	}
	foreach(lc, policy->columns)
	{
		RetColumn  *column = lfirst(lc);

		column->name = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
													 column->num - 1)->attname));
	}
}
