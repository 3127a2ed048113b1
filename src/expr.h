/*
 * expr.h
 *
 * Expressions of a table's owner: clock and filter.
 */
#ifndef RET_EXPR_H
#define RET_EXPR_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* In SQL, the row of the governed table goes by this name. */
#define RET_ROW "r"

typedef enum RetExprKind
{
	RET_EXPR_CLOCK,
	RET_EXPR_FILTER
} RetExprKind;

typedef struct RetExpr
{
	char	   *sql;			/* canonical, all names qualified */
	Oid			type;
	List	   *columns;		/* attribute numbers (int) it refers to */
	List	   *relations;		/* Oid, that its sub-selects read */
	List	   *functions;		/* Oid, that it calls */
	List	   *domains;		/* Oid, that it casts to */
	bool		is_mutable;		/* its value may depend on the zone */
	bool		is_column;		/* nothing but a column */
} RetExpr;

typedef struct RetColumn
{
	int			num;
	char	   *name;
	char	   *type;
} RetColumn;

extern RetExpr *ret_expr_parse(Relation rel, const char *text,
							   RetExprKind kind, bool canonical,
							   List *renames);
extern char *ret_expr_type_name(Oid type);

#endif							/* RET_EXPR_H */
