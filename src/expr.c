/*-------------------------------------------------------------------------
 *
 * expr.c
 *		Expressions of a table's owner: clock and filter.
 *
 * The text is parsed alone, as one expression, so that no quote, comment or
 * parenthesis in it can reach the statement it becomes a part of. What goes
 * into that statement is not the text but its canonical form, printed by the
 * server from the parsed tree: every function, operator and table qualified,
 * every column of the governed table prefixed with RET_ROW. It means the same
 * under any search_path.
 *
 * A canonical form is parsed again when a column of the table was renamed:
 * since every reference to the table carries RET_ROW, which the printer gives
 * to nothing else, the references can be renamed in the raw parse tree.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "expr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "relation.h"
#include "rewrite/rewriteManip.h"
#include "sandbox.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

static const char *
kind_name(RetExprKind kind)
{
	return kind == RET_EXPR_CLOCK ? "clock" : "filter";
}

static bool
is_star(Node *node)
{
	return IsA(node, ColumnRef) && IsA(llast(((ColumnRef *) node)->fields), A_Star);
}

/*
 * The raw parse tree of a text that is one expression and nothing else.
 */
static Node *
parse_alone(const char *text, RetExprKind kind)
{
	List	   *list = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select;
	ResTarget  *target = NULL;

	Assert(list_length(list) == 1);
	select = castNode(SelectStmt, linitial_node(RawStmt, list)->stmt);
	if (list_length(select->targetList) == 1)
		target = linitial_node(ResTarget, select->targetList);

	if (target == NULL || target->name != NULL || is_star(target->val) ||
		select->distinctClause || select->intoClause || select->fromClause ||
		select->whereClause || select->groupClause || select->havingClause ||
		select->windowClause || select->valuesLists || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause ||
		select->withClause || select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s is not a single expression: \"%s\"",
						kind_name(kind), text),
				 errhint("Write what could stand in a WHERE clause, without keywords around it.")));
	return target->val;
}

/*
 * In a raw parse tree, renames RET_ROW.old to RET_ROW.new.
 */
static bool
rename_walker(Node *node, void *context)
{
	List	   *renames = context;

	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		ColumnRef  *ref = (ColumnRef *) node;

		if (list_length(ref->fields) != 2 ||
			!IsA(linitial(ref->fields), String) ||
			!IsA(lsecond(ref->fields), String) ||
			strcmp(strVal(linitial(ref->fields)), RET_ROW) != 0)
			return false;
		for (int i = 0; i < list_length(renames); i += 2)
		{
			if (strcmp(strVal(lsecond(ref->fields)),
					   list_nth(renames, i)) == 0)
			{
				lsecond(ref->fields) = makeString(list_nth(renames, i + 1));
				break;
			}
		}
		return false;
	}
	return raw_expression_tree_walker(node, rename_walker, renames);
}

typedef struct ReferencesContext
{
	Index		level;
	RetExprKind kind;
	RetExpr    *expr;
} ReferencesContext;

static bool
collect_function(Oid function, void *arg)
{
	RetExpr    *expr = arg;

	expr->functions = list_append_unique_oid(expr->functions, function);
	return false;
}

/*
 * Collects what a sub-select reads, and refuses what must not be in one.
 */
static void
check_query(Query *query, ReferencesContext *context)
{
	ListCell   *lc;

	if (query->rowMarks || query->hasModifyingCTE ||
		query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s contains a sub-select that locks or changes rows",
						kind_name(context->kind))));
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->tablesample)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s contains a sub-select that takes a sample",
							kind_name(context->kind))));
		if (rte->rtekind == RTE_RELATION &&
			get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s reads temporary table \"%s\"",
							kind_name(context->kind), get_rel_name(rte->relid))));
		if (rte->rtekind == RTE_RELATION)
			context->expr->relations =
				list_append_unique_oid(context->expr->relations, rte->relid);
	}
}

/*
 * Collects the columns of the governed table, at any depth of sub-selects,
 * and the functions and tables that an expression uses.
 */
static bool
references_walker(Node *node, void *arg)
{
	ReferencesContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup != context->level)
			return false;
		if (var->varattno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s refers to a system column or to the row as a whole",
							kind_name(context->kind)),
					 errhint("Name the columns it depends on.")));
		context->expr->columns = list_append_unique_int(context->expr->columns,
														var->varattno);
		return false;
	}
	if (IsA(node, Query))
	{
		bool		stop;

		check_query((Query *) node, context);
		context->level++;
		stop = query_tree_walker((Query *) node, references_walker, context, 0);
		context->level--;
		return stop;
	}
	if (IsA(node, CoerceToDomain))
		context->expr->domains =
			list_append_unique_oid(context->expr->domains,
								   ((CoerceToDomain *) node)->resulttype);
	(void) check_functions_in_node(node, collect_function, context->expr);
	return expression_tree_walker(node, references_walker, context);
}

static Oid
type_owner(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * An expression on a superuser's table runs as superuser: nobody else may have
 * written what it calls or reads.
 */
static void
check_foreign_code(const RetExpr *expr, RetExprKind kind)
{
	ListCell   *lc;

	foreach(lc, expr->functions)
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Oid			owner;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for function %u", lfirst_oid(lc));
		owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
		if (!superuser_arg(owner))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("%s on a superuser's table calls function %s of role \"%s\"",
							kind_name(kind), format_procedure(lfirst_oid(lc)),
							GetUserNameFromId(owner, true)),
					 errhint("Give the table to an ordinary role with ALTER TABLE ... OWNER TO.")));
	}
	foreach(lc, expr->domains)
	{
		if (!superuser_arg(type_owner(lfirst_oid(lc))))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("%s on a superuser's table uses domain %s of role \"%s\"",
							kind_name(kind), format_type_be(lfirst_oid(lc)),
							GetUserNameFromId(type_owner(lfirst_oid(lc)), true)),
					 errhint("Give the table to an ordinary role with ALTER TABLE ... OWNER TO.")));
	}
	foreach(lc, expr->relations)
	{
		Relation	rel = relation_open(lfirst_oid(lc), AccessShareLock);

		if (IsCatalogRelation(rel) && rel->rd_rel->relkind == RELKIND_RELATION)
		{
			relation_close(rel, NoLock);
			continue;
		}
		if (!superuser_arg(rel->rd_rel->relowner))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("%s on a superuser's table reads \"%s\" of role \"%s\"",
							kind_name(kind), RelationGetRelationName(rel),
							GetUserNameFromId(rel->rd_rel->relowner, true)),
					 errhint("Give the governed table to an ordinary role with ALTER TABLE ... OWNER TO.")));
		ret_relation_check(rel, rel->rd_rel->relowner);
		relation_close(rel, NoLock);
	}
}

static Node *
check_clock(Node *node)
{
	Oid			type = exprType(node);

	if (checkExprHasSubLink(node))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("clock contains a sub-select"),
				 errhint("A clock is an expression over the row; sub-selects belong into the filter.")));
	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("clock is of type %s", format_type_be(type)),
				 errhint("Use an expression of type timestamptz, timestamp or date, such as to_timestamp(created_epoch).")));
	return node;
}

/*
 * Prints an expression so that it means the same everywhere: with nothing but
 * pg_catalog in the search_path, the printer qualifies all other names.
 */
static char *
print_canonical(Relation rel, Node *node)
{
	RetUser		saved;
	char	   *sql;

	ret_become_self(&saved);
	sql = deparse_expression(node,
							 deparse_context_for(RET_ROW, RelationGetRelid(rel)),
							 true, false);
	ret_restore_user(&saved);
	return sql;
}

/*
 * Lets the position of an error refer to the expression, not to the statement
 * that the user sent.
 */
static void
position_callback(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
}

/*
 * Parses and checks an expression of the owner, resolving names by the
 * search_path in force. The text may be a canonical form; in one of these,
 * columns of the table are renamed: a list old, new, old, new.
 *
 * Caller must be in the sandbox (parsing calls input functions of types) and
 * hold a lock on the table.
 */
RetExpr *
ret_expr_parse(Relation rel, const char *text, RetExprKind kind, bool canonical,
			   List *renames)
{
	Node	   *node;
	ErrorContextCallback callback;
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	RetExpr    *expr = palloc0(sizeof(RetExpr));
	ReferencesContext context = {0, kind, expr};

	callback.callback = position_callback;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	node = parse_alone(text, kind);
	if (renames)
		(void) rename_walker(node, renames);

	/* a canonical form knows the table as RET_ROW, a user by its name */
	pstate->p_sourcetext = text;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										 canonical ? makeAlias(RET_ROW, NIL) : NULL,
										 false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	node = transformExpr(pstate, node, EXPR_KIND_WHERE);
	node = kind == RET_EXPR_CLOCK ? check_clock(node) :
		coerce_to_boolean(pstate, node, kind_name(kind));
	assign_expr_collations(pstate, node);

	if (contain_volatile_functions(node))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("%s calls a volatile function: \"%s\"",
						kind_name(kind), text),
				 errhint("What decides about deletion must give the same answer when it is asked twice; use stable or immutable functions.")));
	(void) references_walker(node, &context);
	if (kind == RET_EXPR_CLOCK && expr->columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("clock does not refer to a column of \"%s\"",
						RelationGetRelationName(rel))));

	error_context_stack = callback.previous;
	if (superuser_arg(rel->rd_rel->relowner))
		check_foreign_code(expr, kind);

	expr->is_column = IsA(node, Var);
	expr->is_mutable = contain_mutable_functions(node);
	expr->type = exprType(node);
	expr->sql = print_canonical(rel, node);
	free_parsestate(pstate);
	return expr;
}

/*
 * The name of a type without modifier, which means the same under every
 * search_path that does not put anything before pg_catalog.
 */
char *
ret_expr_type_name(Oid type)
{
	char	   *name = format_type_be_qualified(type);
	const char *catalog = "pg_catalog.";

	return strncmp(name, catalog, strlen(catalog)) == 0 ?
		name + strlen(catalog) : name;
}
