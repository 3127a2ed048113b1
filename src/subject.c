/*-------------------------------------------------------------------------
 *
 * subject.c
 *		The erasure of a person.
 *
 * Which rows of which tables are a person's is said by
 * retention._subject_reach() as SQL over each table (29_subject.sql), with
 * the function retention._subject_key() in place of the key. What is tagged
 * in these rows is scrubbed at once, due or not, as a scrub policy would:
 * in the owner's sandbox, in tables and in the trash. Rows that a keep policy
 * protects stay as they are and are told.
 *
 * All in the caller's transaction; one record for the request, which has the
 * digest of the key, and one for each table, which hangs on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
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
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "scrub.h"
#include "siphash.h"
#include "tag.h"
#include "trash_scrub.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_link_subject);
PG_FUNCTION_INFO_V1(retention_unlink_subject);
PG_FUNCTION_INFO_V1(retention_erase_subject);
PG_FUNCTION_INFO_V1(retention_subject_key);

/* the key of the person that is erased now */
static char *erased_key = NULL;

/* A table that holds something tagged about somebody. */
typedef struct Reached
{
	Oid			relid;
	char	   *condition;		/* his rows; NULL: nothing leads there */
} Reached;

typedef struct Erasure
{
	char	   *subject;
	char	   *reason;
	bool		dry_run;
	int32		relation_id;	/* a table with keys of such persons */
	int64		root_id;		/* the record of the request */
	uint8		digest_key[RET_DIGEST_SIZE];
	ReturnSetInfo *result;
	int64		total;
} Erasure;

/*
 * retention._subject_key()
 */
Datum
retention_subject_key(PG_FUNCTION_ARGS)
{
	if (erased_key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nobody is being erased"),
				 errhint("Call retention.erase_subject().")));
	PG_RETURN_TEXT_P(cstring_to_text(erased_key));
}

/* ---------- links ---------- */

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

/* ---------- where a person's rows are ---------- */

/*
 * Errors when a kind of persons is not known. Returns a table with its keys,
 * by its number.
 */
static int32
find_linked(const char *subject)
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

static List *
list_reached(const char *subject)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list = NIL;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT retention._pii_follow()", false, 0);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT relation::oid::bigint, condition"
				  " FROM retention._subject_reach(%s)",
				  ret_query_text(&query, subject));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		Reached    *reached = palloc(sizeof(Reached));

		reached->relid = (Oid) ret_result_int8(i, 1);
		reached->condition = ret_result_text(i, 2);
		list = lappend(list, reached);
		MemoryContextSwitchTo(spi);
	}
	ret_restore_user(&saved);
	SPI_finish();
	return list;
}

/*
 * The scrub policies of a table as one that means the rows of a condition.
 */
static RetPolicy *
policy_for(const Reached *reached)
{
	RetPolicy  *one = palloc0(sizeof(RetPolicy));
	ListCell   *lc;

	foreach(lc, ret_policy_find_on(list_make1_oid(reached->relid), "scrub"))
	{
		RetPolicy  *policy = lfirst(lc);

		ret_tags_load(policy);
		one->policy_id = policy->policy_id;
		one->relation_id = policy->relation_id;
		one->relid = policy->relid;
		one->zone = policy->zone;
		one->scrubs = list_concat(one->scrubs, policy->scrubs);
	}
	one->action = "scrub";
	one->condition = reached->condition;
	return one;
}

/* ---------- erasing ---------- */

static void
tell(Erasure *erasure, Oid relid, bool in_trash, int64 erased, int64 kept,
	 const char *verdict, const char *detail)
{
	Datum		values[6];
	bool		nulls[6] = {0};

	values[0] = ObjectIdGetDatum(relid);
	values[1] = BoolGetDatum(in_trash);
	values[2] = Int64GetDatum(erased);
	values[3] = Int64GetDatum(kept);
	values[4] = CStringGetTextDatum(verdict);
	nulls[5] = detail == NULL;
	if (detail)
		values[5] = CStringGetTextDatum(detail);
	tuplestore_putvalues(erasure->result->setResult, erasure->result->setDesc,
						 values, nulls);
}

/*
 * Counts the rows of a leaf that are meant and hold something: those that
 * would go, and those that are kept.
 */
static void
count_rows(RetPolicy *policy, Relation rel, List *keeps, int64 *goes,
		   int64 *kept)
{
	RetQuery	query;
	RetUser		saved;
	TimestampTz now = ret_now();

	ret_query_init(&query);
	ret_query_add(&query, "SELECT count(*), count(*) FILTER (WHERE %s)",
				  ret_predicate_kept(&query, keeps, now));
	ret_query_add(&query, " FROM ONLY %s AS " RET_ROW " WHERE ",
				  ret_relation_name(RelationGetRelid(rel)));
	ret_query_add(&query, "%s", ret_predicate_due(&query, policy, now, false));
	ret_become_owner(&saved, rel->rd_rel->relowner, policy->zone);
	ret_query_run(&query, false, 0, NULL);
	ret_restore_user(&saved);
	*kept += ret_result_int8(0, 2);
	*goes += ret_result_int8(0, 1) - ret_result_int8(0, 2);
}

static void
write_record(Erasure *erasure, RetPolicy *policy, Relation rel, int64 rows,
			 const StringInfoData *digests)
{
	RetRecord	record = {0};
	ListCell   *lc;

	if (rows == 0)
		return;
	record.relation_id = policy->relation_id;
	record.leaf = ret_relation_name(RelationGetRelid(rel));
	record.action = "scrub";
	record.reason = erasure->reason;
	record.parent_id = erasure->root_id;
	record.key_columns = ret_relation_key_names(rel);
	foreach(lc, policy->scrubs)
		record.columns = lappend(record.columns,
								 ((RetScrub *) lfirst(lc))->column);
	(void) ret_record_write(&record, rows, digests);
}

static void
erase_leaf(Erasure *erasure, RetPolicy *policy, Oid leaf, int64 *erased,
		   int64 *kept)
{
	Relation	rel = table_open(leaf, RowExclusiveLock);
	List	   *keeps;
	StringInfoData digests;
	int64		goes = 0;

	ret_relation_check(rel, ret_relation_owner(policy->relid));
	keeps = ret_keeps_load(leaf, true, policy->zone);
	SPI_connect();
	count_rows(policy, rel, keeps, &goes, kept);
	if (goes > 0 && !erasure->dry_run)
	{
		initStringInfo(&digests);
		goes = ret_scrub_condition(policy, rel, keeps, erasure->digest_key,
								   &digests);
		write_record(erasure, policy, rel, goes, &digests);
	}
	SPI_finish();
	*erased += goes;
	table_close(rel, NoLock);
}

static const char *
verdict_of(const Erasure *erasure, int64 erased, int64 kept)
{
	if (kept > 0)
		return "kept";
	if (erased == 0)
		return "nothing";
	return erasure->dry_run ? "would be erased" : "erased";
}

static void
erase_table(Erasure *erasure, const Reached *reached)
{
	RetPolicy  *policy;
	Relation	rel;
	int64		erased = 0;
	int64		kept = 0;
	ListCell   *lc;

	if (reached->condition == NULL)
	{
		tell(erasure, reached->relid, false, 0, 0, "not reached",
			 "neither a link nor a foreign key leads to this tagged table");
		return;
	}
	policy = policy_for(reached);
	rel = table_open(reached->relid, RowExclusiveLock);
	ret_relation_check(rel, rel->rd_rel->relowner);
	foreach(lc, ret_relation_leaves(reached->relid))
		erase_leaf(erasure, policy, lfirst_oid(lc), &erased, &kept);
	tell(erasure, reached->relid, false, erased, kept,
		 verdict_of(erasure, erased, kept),
		 kept > 0 ? "a keep policy protects rows" : NULL);
	erasure->total += erased;

	erased = ret_trash_scrub_condition(rel, policy, erasure->root_id,
									   erasure->reason, erasure->dry_run);
	if (erased > 0)
		tell(erasure, reached->relid, true, erased, 0,
			 verdict_of(erasure, erased, 0), NULL);
	erasure->total += erased;
	table_close(rel, NoLock);
}

/*
 * The record of the request: of the person it has the digest of his key.
 */
static void
record_request(Erasure *erasure, const char *key)
{
	RetRecord	record = {0};
	StringInfoData digests;
	RetSipHash	state;
	uint8		digest[RET_DIGEST_SIZE];

	ret_siphash_start(&state, erasure->digest_key);
	ret_siphash_update(&state, key, strlen(key));
	ret_siphash_final(&state, digest);
	initStringInfo(&digests);
	appendBinaryStringInfo(&digests, (char *) digest, RET_DIGEST_SIZE);
	record.leaf = psprintf("subject %s", erasure->subject);
	record.action = "erase";
	record.reason = erasure->reason;
	record.key_columns = list_make1("key");
	record.deletion_id = erasure->root_id;
	record.relation_id = erasure->relation_id;
	(void) ret_record_write(&record, erasure->total, &digests);
}

/*
 * Erases, with the key where the conditions find it.
 */
static void
erase_tables(Erasure *erasure, List *tables, char *key)
{
	ListCell   *lc;

	erased_key = key;
	PG_TRY();
	{
		foreach(lc, tables)
		{
			erase_table(erasure, lfirst(lc));
			CommandCounterIncrement();
		}
	}
	PG_FINALLY();
	{
		erased_key = NULL;
	}
	PG_END_TRY();
}

/*
 * retention.erase_subject(subject, key, reason, dry_run)
 */
Datum
retention_erase_subject(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"subject", "key", "reason", "dry_run"};
	Erasure		erasure = {0};
	List	   *tables;
	ListCell   *lc;
	char	   *key;

	for (int i = 0; i < 4; i++)
		ret_require_arg(fcinfo, i, names[i]);
	erasure.subject = text_to_cstring(PG_GETARG_TEXT_PP(0));
	key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	erasure.reason = text_to_cstring(PG_GETARG_TEXT_PP(2));
	erasure.dry_run = PG_GETARG_BOOL(3);
	erasure.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (*erasure.reason == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason must not be empty"),
				 errhint("It is what remains of the request: name it without personal data, such as 'request 2026-17'.")));
	InitMaterializedSRF(fcinfo, 0);
	ret_identity_check();
	erasure.relation_id = find_linked(erasure.subject);
	tables = list_reached(erasure.subject);
	foreach(lc, tables)
		if (((Reached *) lfirst(lc))->condition)
			ret_check_may_govern(((Reached *) lfirst(lc))->relid);
	ret_purge_lock(true);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	ret_constraints_immediate();
	SPI_finish();
	(void) ret_digest_key_load(erasure.digest_key, true);
	erasure.root_id = erasure.dry_run ? 0 : ret_record_next_id();
	erase_tables(&erasure, tables, key);
	if (!erasure.dry_run)
		record_request(&erasure, key);
	PopActiveSnapshot();
	return (Datum) 0;
}
