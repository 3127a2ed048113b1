/*-------------------------------------------------------------------------
 *
 * consent.c
 *		The owner of a child table agrees to cascades from the tables of others.
 *
 * PostgreSQL lets anybody with REFERENCES on a table make his rows go along
 * with its rows. That was agreed to for single deletions; that a policy
 * deletes without end, its owner is asked about separately.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"

PG_FUNCTION_INFO_V1(retention_allow_cascade);
PG_FUNCTION_INFO_V1(retention_revoke_cascade);

/*
 * Writes or removes the consent of a child's owner.
 */
static void
change_consent(Oid child, Oid parent, bool allow)
{
	Oid			owner = ret_relation_owner(child);
	int32		child_id;
	int32		parent_id;
	RetUser		saved;
	RetQuery	query;

	if (!OidIsValid(owner) || !OidIsValid(ret_relation_owner(parent)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation does not exist")));
	ret_check_may_govern(child);
	child_id = ret_register(child);
	parent_id = ret_register(parent);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "DELETE FROM retention.consent"
				  " WHERE child_id = %s AND parent_id = %s",
				  ret_query_param(&query, INT4OID, Int32GetDatum(child_id)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(parent_id)));
	ret_query_run(&query, false, 0, NULL);
	if (allow)
	{
		ret_query_init(&query);
		ret_query_add(&query,
					  "INSERT INTO retention.consent VALUES (%s, %s, %s, %s)",
					  ret_query_param(&query, INT4OID, Int32GetDatum(child_id)),
					  ret_query_param(&query, INT4OID, Int32GetDatum(parent_id)),
					  ret_query_text(&query, GetUserNameFromId(owner, false)),
					  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(ret_now())));
		ret_query_run(&query, false, 0, NULL);
	}
	ret_restore_user(&saved);
	SPI_finish();
}

/*
 * retention.allow_cascade(child, parent)
 */
Datum
retention_allow_cascade(PG_FUNCTION_ARGS)
{
	change_consent(PG_GETARG_OID(0), PG_GETARG_OID(1), true);
	PG_RETURN_VOID();
}

/*
 * retention.revoke_cascade(child, parent)
 */
Datum
retention_revoke_cascade(PG_FUNCTION_ARGS)
{
	change_consent(PG_GETARG_OID(0), PG_GETARG_OID(1), false);
	PG_RETURN_VOID();
}
