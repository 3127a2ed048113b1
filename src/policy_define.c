/*-------------------------------------------------------------------------
 *
 * policy_define.c
 *		What a policy says, understood against its table.
 *
 * A definition is checked by the code that will execute it: the expressions
 * are parsed and the query of a run is started, without letting it read a
 * row. Used by all that makes or changes policies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "cascade.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "clock.h"
#include "executor/spi.h"
#include "expr.h"
#include "miscadmin.h"
#include "policy_define.h"
#include "predicate.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "shmem.h"
#include "tag.h"
#include "trash.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static void
add_columns(RetPolicy *policy, Relation rel, List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel),
											   lfirst_int(lc) - 1);
		RetColumn  *column = palloc(sizeof(RetColumn));

		column->num = lfirst_int(lc);
		column->name = pstrdup(NameStr(attr->attname));
		column->type = ret_expr_type_name(attr->atttypid);
		policy->columns = lappend(policy->columns, column);
	}
}

/*
 * Starts the query that a run will ask, and does not let it read a row: finds
 * out now what would fail then.
 */
static void
try_query(RetPolicy *policy, Relation rel)
{
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT FROM %s AS " RET_ROW " WHERE ",
				  ret_relation_name(RelationGetRelid(rel)));
	ret_query_add(&query, "%s LIMIT 0",
				  ret_predicate_due(&query, policy, ret_now(), true));
	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	ret_query_run(&query, true, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * Keep policies and policies that delete must agree on the zone where it
 * matters; better they hear of it now than at the first run.
 */
static void
check_zones(RetPolicy *policy)
{
	List	   *relids = ret_relation_ancestors(policy->relid);
	ListCell   *lc;

	foreach(lc, ret_policy_find_on(relids, NULL))
	{
		RetPolicy  *other = lfirst(lc);

		if (ret_policy_is_keep(policy) == ret_policy_is_keep(other))
			continue;
		if (ret_policy_is_keep(policy))
			ret_keep_check_zone(policy, other->zone);
		else
			ret_keep_check_zone(other, policy->zone);
	}
}

/*
 * An expression runs with the rights of the table's owner. Nobody but
 * superusers writes what runs as superuser.
 */
static void
check_author(Relation rel)
{
	if (superuser_arg(rel->rd_rel->relowner) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser can make policies on \"%s\", which belongs to a superuser",
						RelationGetRelationName(rel)),
				 errhint("Give the table to an ordinary role with ALTER TABLE ... OWNER TO.")));
}

/*
 * What decides about rows must not be scrubbed itself.
 */
static void
check_not_tagged(Relation rel, List *columns)
{
	ListCell   *lc;

	foreach(lc, ret_tags_of_table(RelationGetRelid(rel), 0))
		if (list_member_int(columns, lfirst_int(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" is tagged as personal data and will be scrubbed",
							get_attname(RelationGetRelid(rel), lfirst_int(lc), false)),
					 errhint("Clock and filter must look at columns that stay.")));
}

/*
 * Understands clock and filter, given as the user wrote them or (NULL) as the
 * policy has them, against the table as it is now. Fills in everything that
 * depends on the table.
 */
void
ret_policy_define(RetPolicy *policy, Relation rel, const char *clock, const char *filter)
{
	char	   *search_path = pstrdup(namespace_search_path);
	RetUser		saved;
	RetExpr    *clock_expr;
	RetExpr    *filter_expr = NULL;
	List	   *columns;

	check_author(rel);
	/* names mean what they mean to the caller */
	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	if (clock || filter)
		ret_set_guc("search_path", search_path);
	clock_expr = ret_expr_parse(rel, clock ? clock : policy->clock_sql,
								RET_EXPR_CLOCK, clock == NULL, NIL);
	if (filter || policy->filter_sql)
		filter_expr = ret_expr_parse(rel, filter ? filter : policy->filter_sql,
									 RET_EXPR_FILTER, filter == NULL, NIL);
	ret_restore_user(&saved);

	if (clock)
		policy->clock = pstrdup(clock);
	if (filter)
		policy->filter = pstrdup(filter);
	policy->clock_sql = clock_expr->sql;
	policy->clock_type = clock_expr->type;
	policy->filter_sql = filter_expr ? filter_expr->sql : NULL;
	columns = filter_expr ?
		list_union_int(clock_expr->columns, filter_expr->columns) :
		clock_expr->columns;
	check_not_tagged(rel, columns);
	policy->columns = NIL;
	/* a new one has scrubbed nothing yet */
	if (policy->policy_id != 0)
		columns = list_union_int(columns,
								 ret_tags_of_table(RelationGetRelid(rel),
												   policy->policy_id));
	add_columns(policy, rel, columns);
	policy->relid = RelationGetRelid(rel);
	policy->owner = GetUserNameFromId(rel->rd_rel->relowner, false);
	policy->owner_oid = rel->rd_rel->relowner;
	policy->depends = ret_expr_depends(clock_expr, filter_expr);
	policy->knows_depends = true;
	policy->zone_matters = clock_expr->is_mutable ||
		(filter_expr && filter_expr->is_mutable);
	check_zones(policy);
	try_query(policy, rel);
}

/*
 * A policy that moves rows to the trash needs one.
 */
static void
need_trash(RetPolicy *policy)
{
	if (strcmp(policy->action, "trash") == 0 &&
		ret_trash_enable_if_not(policy->relid))
		ereport(NOTICE,
				(errmsg("the trash of %s is enabled: from now on all rows that are deleted from it wait there for 30 days",
						ret_relation_name(policy->relid)),
				 errhint("Another time can be set with retention.enable_trash().")));
}

/*
 * What goes along with the rows is agreed to, and the caller is told.
 */
void
ret_policy_accept_cascades(RetPolicy *policy)
{
	ListCell   *lc;

	if (ret_policy_is_keep(policy) || ret_policy_is_scrub(policy))
		return;
	ret_cascade_check(policy, policy->relid, true);
	policy->cascades = ret_cascade_edges(policy->relid);
	foreach(lc, policy->cascades)
		ereport(NOTICE,
				(errmsg("rows of %s will be deleted along with those of %s, by ON DELETE CASCADE",
						(char *) lfirst(lc), ret_relation_name(policy->relid))));
}

void
ret_policy_check_table(Relation rel)
{
	ret_relation_check(rel, rel->rd_rel->relowner);
	ret_relation_check_leaves(RelationGetRelid(rel), AccessShareLock);
}

/*
 * What is in force when a run looks: a keep that is added, changed or ended
 * waits for the batches that are going on.
 */
void
ret_policy_lock_out_batches(RetPolicy *policy)
{
	if (ret_policy_is_keep(policy))
		ret_governance_lock(policy->relid, true);
}

/*
 * Writes a new policy that is defined, and makes it known. Caller must not
 * have the table open more than once.
 */
void
ret_policy_create(RetPolicy *policy, Relation rel)
{
	ret_policy_accept_cascades(policy);
	ret_policy_lock_out_batches(policy);
	policy->relation_id = ret_register(policy->relid);
	policy->anchor = ret_now();
	policy->next_run = policy->every ?
		ret_policy_in_window(policy, policy->anchor) : DT_NOEND;
	ret_policy_save(policy, true);
	ret_policy_log("add", policy->policy_id, (Datum) 0, true);
	if (policy->every)
		ret_notify_due_at_commit(policy->next_run);
	relation_close(rel, NoLock);
	need_trash(policy);
}
