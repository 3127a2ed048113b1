/*-------------------------------------------------------------------------
 *
 * tagging.c
 *		Columns are tagged as personal data.
 *
 * A tag says what a column holds and how it is scrubbed; the scrub policy
 * that it belongs to says when. Columns with the same period, clock and
 * filter share a policy, so that a row is written once for all of them. What
 * cannot work is found out now: by what the catalogs say (27_pii.sql), and by
 * scrubbing some rows for a trial.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "batch.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "due.h"
#include "executor/spi.h"
#include "expr.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "policy_api.h"
#include "policy_define.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "rewrite/rewriteHandler.h"
#include "sandbox.h"
#include "run.h"
#include "subxact.h"
#include "tag.h"
#include "tagging.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_tag_pii);
PG_FUNCTION_INFO_V1(retention_untag_pii);
PG_FUNCTION_INFO_V1(retention_default_is_mutable);

/* rows that are scrubbed for a trial, in each of so many leaves */
#define TRIAL_ROWS 100
#define TRIAL_LEAVES 10

/* ---------- what is refused ---------- */

static void
check_column(Relation rel, const char *column)
{
	AttrNumber	num = get_attnum(RelationGetRelid(rel), column);

	if (num == InvalidAttrNumber || num < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, RelationGetRelationName(rel))));
	if (rel->rd_rel->relispartition)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partition", RelationGetRelationName(rel)),
				 errhint("Tag the column of the partitioned table; its partitions follow.")));
}

/*
 * Errors when the catalogs say that the method cannot work.
 */
static void
check_tag(const RetTag *tag)
{
	RetUser		saved;
	RetQuery	query;
	MemoryContext caller = CurrentMemoryContext;
	char	   *problem;
	char	   *hint;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT problem, hint"
				  " FROM retention._tag_problem(%s, %s, %s, %s, %s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(RelationGetRelid(tag->rel))),
				  ret_query_text(&query, tag->column),
				  ret_query_text(&query, tag->category),
				  ret_query_text(&query, tag->method),
				  tag->no_params ? ret_query_null(&query, JSONBOID) :
				  ret_query_param(&query, JSONBOID, tag->params));
	ret_query_run(&query, false, 0, NULL);
	problem = ret_result_text(0, 1);
	hint = ret_result_text(0, 2);
	if (problem)
		problem = MemoryContextStrdup(caller, problem);
	if (hint)
		hint = MemoryContextStrdup(caller, hint);
	ret_restore_user(&saved);
	SPI_finish();
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" cannot be scrubbed by method \"%s\": %s",
						tag->column, tag->method, problem),
				 hint ? errhint("%s", hint) : 0));
}

/* A scrub for a trial. */
typedef struct Trial
{
	RetPolicy  *policy;
	Oid			relid;
} Trial;

static void
try_leaf(RetPolicy *policy, Oid leaf)
{
	Relation	rel = table_open(leaf, RowExclusiveLock);
	const char *name = ret_relation_name(leaf);
	const char *needs = ret_tags_needs(policy);
	RetUser		saved;
	RetQuery	query;

	ret_query_init(&query);
	ret_tags_add_update(&query, policy, name);
	ret_query_add(&query, " WHERE " RET_ROW ".ctid = ANY (ARRAY(SELECT ctid"
				  " FROM ONLY %s AS " RET_ROW " WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED))"
				  " RETURNING %s AS again", name, needs, TRIAL_ROWS, needs);
	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		if (DatumGetBool(ret_result_datum(i, 1, &isnull)))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a scrubbed row would be scrubbed again"),
					 errhint("A function must give back what it has made unchanged; a trigger must not bring old values back.")));
	}
	ret_restore_user(&saved);
	table_close(rel, NoLock);
}

/*
 * Body: scrubs some rows.
 */
static void
try_rows(void *arg)
{
	Trial	   *trial = arg;
	int			n = 0;
	ListCell   *lc;

	ret_batch_lock_timeout();
	SPI_connect();
	ret_constraints_immediate();
	foreach(lc, ret_relation_leaves(trial->relid))
	{
		if (n++ >= TRIAL_LEAVES)
			break;
		try_leaf(trial->policy, lfirst_oid(lc));
	}
	SPI_finish();
}

/*
 * Errors when some rows of the table cannot be scrubbed. Nothing is left of
 * the trial. The error does not tell the row, which others may read in logs.
 */
static void
try_scrub(RetPolicy *policy, Relation rel, bool is_function)
{
	Trial		trial = {policy, RelationGetRelid(rel)};
	ErrorData  *error = ret_try(try_rows, &trial, false, CurrentMemoryContext);

	if (error == NULL || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	/* a function is about values of rows, other methods about parameters */
	if (is_function)
		ret_error_hide_values(error);
	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("rows of %s cannot be scrubbed so: %s",
					ret_relation_name(RelationGetRelid(rel)), error->message),
			 errhint("%s", error->hint ? error->hint :
					 "Use another method, or mend the constraint or trigger that refuses it.")));
}

/* ---------- the policy ---------- */

static char *
ask_default_clock(const RetTag *tag)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	char	   *clock;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._default_clock(%s, %s)",
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(RelationGetRelid(tag->rel))),
				  ret_query_text(&query, tag->column));
	ret_query_run(&query, false, 0, NULL);
	clock = ret_result_text(0, 1);
	if (clock)
		clock = MemoryContextStrdup(caller, clock);
	ret_restore_user(&saved);
	SPI_finish();
	if (clock == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("it is not clear from when on the data of %s is kept",
						ret_relation_name(RelationGetRelid(tag->rel))),
				 errhint("Name the column or expression that says so with clock => '...'.")));
	return clock;
}

static bool
is_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_same_interval(const Interval *a, const Interval *b)
{
	return a->month == b->month && a->day == b->day && a->time == b->time;
}

/*
 * The name of a new scrub policy: <table>_scrub, with a number if need be.
 */
static char *
new_name(Relation rel)
{
	char	   *name = psprintf("%s_scrub", RelationGetRelationName(rel));

	for (int n = 2; ret_policy_find(name, true); n++)
		name = psprintf("%s_scrub_%d", RelationGetRelationName(rel), n);
	return name;
}

/*
 * The scrub policy of the table with this period, clock and filter; a new one
 * if there is none. Closes the table, and opens it again.
 */
static RetPolicy *
find_or_create(RetTag *tag)
{
	RetPolicy  *draft = palloc0(sizeof(RetPolicy));
	Oid			relid = RelationGetRelid(tag->rel);
	ListCell   *lc;

	draft->action = "scrub";
	draft->after = tag->after;
	draft->zone = ret_policy_zone(NULL);
	draft->max_fraction = 0.5;
	draft->state = "active";
	ret_policy_define(draft, tag->rel,
					  tag->clock ? tag->clock : ask_default_clock(tag),
					  tag->filter);
	foreach(lc, ret_policy_find_on(list_make1_oid(relid), "scrub"))
	{
		RetPolicy  *policy = lfirst(lc);

		if (is_same_interval(policy->after, tag->after) &&
			is_equal(policy->clock_sql, draft->clock_sql) &&
			is_equal(policy->filter_sql, draft->filter_sql))
			return policy;
	}
	draft->name = new_name(tag->rel);
	draft->every = palloc0(sizeof(Interval));
	draft->every->time = USECS_PER_HOUR;
	ret_policy_create(draft, tag->rel);
	tag->rel = relation_open(relid, NoLock);
	return draft;
}

static void
write_tag(const RetTag *tag, const RetPolicy *policy)
{
	RetUser		saved;
	RetQuery	query;
	const char *by = GetUserNameFromId(GetUserId(), false);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention._tag(%s, %s, %s, %s, %s, %s, %s)",
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy->relation_id)),
				  ret_query_text(&query, tag->column),
				  ret_query_text(&query, tag->category),
				  ret_query_text(&query, tag->method),
				  tag->no_params ? ret_query_null(&query, JSONBOID) :
				  ret_query_param(&query, JSONBOID, tag->params),
				  ret_query_param(&query, INT4OID,
								  Int32GetDatum(policy->policy_id)),
				  ret_query_text(&query, by));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * The policy that a column's tag belongs to, by its name; NULL: there is no
 * tag.
 */
static char *
policy_of(Oid relid, const char *column)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	char	   *name = NULL;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT p.name FROM retention.pii_tag t"
				  " JOIN retention.relation r USING (relation_id)"
				  " JOIN retention.policy p USING (policy_id)"
				  " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.reloid"
				  " AND a.attnum = t.column_num AND NOT a.attisdropped"
				  " WHERE r.reloid = %s AND coalesce(a.attname, t.column_name) = %s",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)),
				  ret_query_text(&query, column));
	if (ret_query_run(&query, false, 0, NULL) > 0)
		name = MemoryContextStrdup(caller, ret_result_text(0, 1));
	ret_restore_user(&saved);
	SPI_finish();
	return name;
}

/*
 * Saves a policy anew, as its tags are now. One without tags goes.
 */
static void
refresh(const char *name, const char *operation, Relation rel)
{
	RetPolicy  *policy = ret_policy_load_for_change(name);
	Datum		old_row;
	bool		found = ret_policy_snapshot(policy->policy_id, &old_row);
	List	   *renames;

	if (ret_tags_of_table(policy->relid, policy->policy_id) == NIL)
	{
		ret_policy_drop(policy);
		return;
	}
	if (ret_policy_mismatch(policy, rel, &renames) == NULL && renames)
		ret_policy_rename_columns(policy, rel, renames);
	ret_policy_define(policy, rel, NULL, NULL);
	ret_policy_save(policy, false);
	ret_policy_log(operation, policy->policy_id, old_row, !found);
}

static void
remove_tag(Oid relid, const char *column)
{
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "DELETE FROM retention.pii_tag t USING retention.relation r"
				  " WHERE r.relation_id = t.relation_id AND r.reloid = %s"
				  " AND t.column_name = %s",
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)),
				  ret_query_text(&query, column));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

static void
follow_renames(void)
{
	RetUser		saved;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT retention._pii_follow()", false, 0);
	ret_restore_user(&saved);
	SPI_finish();
}

/* ---------- SQL ---------- */

/*
 * Tags a column. Returns the name of its policy. Caller has checked that the
 * user governs the table, has it open, and closes it.
 */
char *
ret_pii_tag(RetTag *tag)
{
	Oid			relid = RelationGetRelid(tag->rel);
	uint8		secret[RET_DIGEST_SIZE];
	char	   *old_policy;
	RetPolicy  *policy;

	if (*tag->category == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("category must not be empty"),
				 errhint("It says what the column holds, such as name, email or address.")));
	if (tag->filter && *tag->filter == '\0')
		tag->filter = NULL;
	check_column(tag->rel, tag->column);
	ret_policy_check_table(tag->rel);
	follow_renames();
	/* pseudonyms are made of it, and questions cannot make it */
	(void) ret_digest_key_load(secret, true);
	old_policy = policy_of(relid, tag->column);
	/* the clock of a table must not be found among what is tagged */
	check_tag(tag);
	policy = find_or_create(tag);
	write_tag(tag, policy);
	try_scrub(ret_policy_find(policy->name, false), tag->rel,
			  strcmp(tag->method, "function") == 0);
	if (old_policy && strcmp(old_policy, policy->name) != 0)
		refresh(old_policy, "untag", tag->rel);
	refresh(policy->name, "tag", tag->rel);
	return policy->name;
}

/*
 * retention.tag_pii(relation, column_name, category, method, params, after,
 * clock, filter)
 */
Datum
retention_tag_pii(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation", "column_name", "category",
	"method", NULL, "after"};
	RetTag		tag = {0};
	char	   *policy;

	for (int i = 0; i < 6; i++)
		if (names[i])
			ret_require_arg(fcinfo, i, names[i]);
	ret_check_may_govern(PG_GETARG_OID(0));
	ret_identity_check();
	tag.rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	tag.column = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	tag.category = text_to_cstring(PG_GETARG_TEXT_PP(2));
	tag.method = text_to_cstring(PG_GETARG_TEXT_PP(3));
	tag.no_params = PG_ARGISNULL(4);
	tag.params = PG_GETARG_DATUM(4);
	tag.after = PG_GETARG_INTERVAL_P(5);
	ret_interval_check(tag.after, "after");
	tag.clock = PG_ARGISNULL(6) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(6));
	tag.filter = PG_ARGISNULL(7) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(7));
	policy = ret_pii_tag(&tag);
	relation_close(tag.rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(policy));
}

/*
 * Takes the tag of a column back. Caller has checked that the user governs the
 * table.
 */
void
ret_pii_untag(Relation rel, const char *column)
{
	Oid			relid = RelationGetRelid(rel);
	char	   *policy;

	follow_renames();
	policy = policy_of(relid, column);
	if (policy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("column \"%s\" of %s is not tagged", column,
						ret_relation_name(relid)),
				 errhint("The view retention.pii_columns shows what is.")));
	remove_tag(relid, column);
	refresh(policy, "untag", rel);
}

/*
 * retention.untag_pii(relation, column_name)
 */
Datum
retention_untag_pii(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel;

	ret_check_may_govern(relid);
	ret_identity_check();
	rel = relation_open(relid, AccessShareLock);
	ret_pii_untag(rel, NameStr(*PG_GETARG_NAME(1)));
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * retention._default_is_mutable(relation, column_num)
 */
Datum
retention_default_is_mutable(PG_FUNCTION_ARGS)
{
	Relation	rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	AttrNumber	num = PG_GETARG_INT16(1);
	Node	   *expr = num > 0 && num <= RelationGetNumberOfAttributes(rel) ?
		build_column_default(rel, num) : NULL;
	bool		is_mutable = expr && contain_mutable_functions(expr);

	relation_close(rel, AccessShareLock);
	PG_RETURN_BOOL(is_mutable);
}
