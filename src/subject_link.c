/*
 * subject_link.c
 *
 * Which columns hold the keys of persons.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "subject_link.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_link_subject);
PG_FUNCTION_INFO_V1(retention_unlink_subject);

/*
 * retention.link_subject(subject, relation, column_name)
 */
Datum
retention_link_subject(PG_FUNCTION_ARGS)
{
	char	   *subject = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			relid = PG_GETARG_OID(1);
	char	   *column = text_to_cstring(PG_GETARG_TEXT_PP(2));
	const char *by = GetUserNameFromId(GetUserId(), false);
	Relation	rel;
	AttrNumber	num;
	RetUser		saved;
	RetQuery	query;
	int32		relation_id;

	ret_check_may_govern(relid);
	ret_identity_check();
	rel = relation_open(relid, AccessShareLock);
	ret_relation_check(rel, rel->rd_rel->relowner);
	num = get_attnum(relid, column);
	if (num <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, RelationGetRelationName(rel))));
	if (*subject == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("subject must not be empty"),
				 errhint("It names a kind of persons, such as customer.")));
	relation_id = ret_register(relid);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "INSERT INTO retention.subject_link VALUES"
				  " (%s, %s, %s, %s, %s, %s, %s)"
				  " ON CONFLICT (subject, relation_id) DO UPDATE"
				  " SET column_name = excluded.column_name,"
				  " column_num = excluded.column_num,"
				  " linked_at = excluded.linked_at, linked_by = excluded.linked_by",
				  ret_query_text(&query, subject),
				  ret_query_param(&query, INT4OID, Int32GetDatum(relation_id)),
				  ret_query_text(&query, column),
				  ret_query_param(&query, INT2OID, Int16GetDatum(num)),
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(ret_now())),
				  ret_query_text(&query, by),
				  ret_query_identity(&query));
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	SPI_finish();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * retention.unlink_subject(subject, relation)
 */
Datum
retention_unlink_subject(PG_FUNCTION_ARGS)
{
	char	   *subject = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			relid = PG_GETARG_OID(1);
	RetUser		saved;
	RetQuery	query;

	ret_check_may_govern(relid);
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "DELETE FROM retention.subject_link l"
				  " USING retention.relation r WHERE l.subject = %s"
				  " AND r.relation_id = l.relation_id AND r.reloid = %s",
				  ret_query_text(&query, subject),
				  ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid)));
	if (ret_query_run(&query, false, 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s is not linked to subject \"%s\"",
						ret_relation_name(relid), subject),
				 errhint("The view retention.subjects shows what is.")));
	ret_restore_user(&saved);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Errors when a kind of persons is not known. Returns a table with its keys,
 * by its number.
 */
int32
ret_subject_find(const char *subject)
{
	RetUser		saved;
	RetQuery	query;
	int32		relation_id;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT min(relation_id)::bigint"
				  " FROM retention.subject_link WHERE subject = %s"
				  " AND identity = %s HAVING count(*) > 0",
				  ret_query_text(&query, subject),
				  ret_query_identity(&query));
	if (ret_query_run(&query, true, 0, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no table is linked to subject \"%s\"", subject),
				 errhint("Say which column holds its key with retention.link_subject(). The view retention.subjects shows what is linked.")));
	relation_id = (int32) ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	return relation_id;
}

/*
 * The owners of linked tables that the user governs.
 */
List *
ret_subject_owners(const char *subject)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *owners = NIL;
	RetUser		saved;
	RetQuery	query;
	ListCell   *lc;
	List	   *governed = NIL;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT retention._pii_follow()", false, 0);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT DISTINCT c.relowner::bigint"
				  " FROM retention.subject_link l"
				  " JOIN retention.relation r USING (relation_id)"
				  " JOIN pg_catalog.pg_class c ON c.oid = r.reloid"
				  " WHERE l.subject = %s AND l.identity = %s ORDER BY 1",
				  ret_query_text(&query, subject),
				  ret_query_identity(&query));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		owners = lappend_oid(owners, (Oid) ret_result_int8(i, 1));
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	foreach(lc, owners)
		if (ret_user_governs(GetUserId(), lfirst_oid(lc)))
			governed = lappend_oid(governed, lfirst_oid(lc));
	if (governed == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to erase persons of subject \"%s\"",
						subject),
				 errhint("Ask the owner of its tables, or become a member of the role in \"retention.admin_role\".")));
	return governed;
}
