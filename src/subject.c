/*-------------------------------------------------------------------------
 *
 * subject.c
 *		The erasure of a person.
 *
 * Which rows of which tables are a person's is said by
 * retention._subject_reach() as SQL over each table (29_subject.sql), with
 * the function retention._subject_key() in place of the key. The tables of
 * each owner are a world of their own: nobody's link leads to rows of others,
 * and nothing of one owner runs as another.
 *
 * First all rows are found and locked, for what is scrubbed in one table may
 * be what leads to the next. Then what is tagged in them is scrubbed at once,
 * due or not, as a scrub policy would: in the trash, and in the tables. Rows
 * that a keep policy protects stay as they are and are told.
 *
 * All in the caller's transaction; one record for the request, which has the
 * digest of the key, and one for each table, which hangs on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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
#include "subject_link.h"
#include "subxact.h"
#include "tag.h"
#include "trash_scrub.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_erase_subject);
PG_FUNCTION_INFO_V1(retention_subject_key);

/* the key of the person that is erased now */
static char *erased_key = NULL;

/* The rows of a leaf that are a person's. */
typedef struct Found
{
	Oid			leaf;
	ItemPointerData *tids;
	int			ntids;
} Found;

/* A table that holds something tagged about somebody. */
typedef struct Reached
{
	Oid			relid;
	char	   *condition;		/* his rows; NULL: nothing leads there */
	RetPolicy  *policy;			/* its scrub policies as one */
	List	   *found;			/* Found */
	int64		erased;
	int64		kept;
	int64		erased_in_trash;
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
	Oid			owner;			/* whose tables are looked at now */
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

/* ---------- where a person's rows are ---------- */

static List *
list_reached(const char *subject, Oid owner)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list = NIL;
	RetUser		saved;
	RetQuery	query;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT relation::oid::bigint, condition"
				  " FROM retention._subject_reach(%s, %s)",
				  ret_query_text(&query, subject),
				  ret_query_param(&query, OIDOID, ObjectIdGetDatum(owner)));
	ret_query_run(&query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		Reached    *reached = palloc0(sizeof(Reached));

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
 * Finds the rows of a leaf that are meant and hold something, and locks them;
 * counts those that are kept.
 */
static void
find_rows(Erasure *erasure, Reached *reached, Oid leaf)
{
	Relation	rel = table_open(leaf, RowExclusiveLock);
	RetPolicy  *policy = reached->policy;
	TimestampTz now = ret_now();
	Found	   *found = palloc(sizeof(Found));
	RetTidReceiver tids;
	List	   *keeps;
	RetQuery	query;
	RetUser		saved;

	ret_relation_check(rel, erasure->owner);
	keeps = ret_keeps_load(leaf, true, policy->zone);
	ret_tid_receiver_init(&tids);
	SPI_connect();
	ret_query_init(&query);
	ret_query_add(&query, "SELECT " RET_ROW ".ctid FROM ONLY %s AS " RET_ROW
				  " WHERE ", ret_relation_name(leaf));
	ret_query_add(&query, "%s%s",
				  ret_predicate_goes(&query, policy, keeps, now, false),
				  erasure->dry_run ? "" : " FOR UPDATE");
	ret_become_owner(&saved, erasure->owner, policy->zone);
	ret_query_run(&query, false, 0, &tids.receiver);
	if (keeps != NIL)
	{
		ret_query_init(&query);
		ret_query_add(&query, "SELECT count(*) FROM ONLY %s AS " RET_ROW
					  " WHERE ", ret_relation_name(leaf));
		ret_query_add(&query, "%s AND ",
					  ret_predicate_due(&query, policy, now, false));
		ret_query_add(&query, "%s", ret_predicate_kept(&query, keeps, now));
		ret_query_run(&query, false, 0, NULL);
		reached->kept += ret_result_int8(0, 1);
	}
	ret_restore_user(&saved);
	SPI_finish();
	found->leaf = leaf;
	found->tids = tids.tids;
	found->ntids = tids.ntids;
	reached->found = lappend(reached->found, found);
	table_close(rel, NoLock);
}

static void
write_record(Erasure *erasure, RetPolicy *policy, Relation rel, int64 rows,
			 const StringInfoData *digests)
{
	RetRecord	record = {0};

	if (rows == 0)
		return;
	record.relation_id = policy->relation_id;
	record.leaf = ret_relation_name(RelationGetRelid(rel));
	record.action = "scrub";
	record.reason = erasure->reason;
	record.parent_id = erasure->root_id;
	record.key_columns = ret_relation_key_names(rel);
	record.columns = ret_tags_columns(policy);
	(void) ret_record_write(&record, rows, digests);
}

/*
 * Scrubs rows of a leaf that were found. What an update of another table has
 * moved meanwhile, by a foreign key, is found once more.
 */
static void
erase_leaf(Erasure *erasure, Reached *reached, Found *found)
{
	Relation	rel = table_open(found->leaf, RowExclusiveLock);
	RetPolicy	found_rows = *reached->policy;
	List	   *keeps;
	StringInfoData digests;
	int64		rows;

	found_rows.condition = "true";
	initStringInfo(&digests);
	SPI_connect();
	keeps = ret_keeps_load(found->leaf, true, reached->policy->zone);
	rows = ret_scrub_rows(&found_rows, rel, keeps, found->tids, found->ntids,
						  erasure->digest_key, &digests);
	if (rows < found->ntids)
		rows += ret_scrub_rows(reached->policy, rel, keeps, NULL, 0,
							   erasure->digest_key, &digests);
	write_record(erasure, reached->policy, rel, rows, &digests);
	SPI_finish();
	reached->erased += rows;
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

/*
 * Finds the rows of a table that are the person's.
 */
static void
find_in_table(Erasure *erasure, Reached *reached)
{
	Relation	rel = table_open(reached->relid, RowExclusiveLock);
	ListCell   *lc;

	reached->policy = policy_for(reached);
	ret_relation_check(rel, erasure->owner);
	table_close(rel, NoLock);
	if (!erasure->dry_run)
		ret_purge_lock(reached->policy->relation_id, true);
	foreach(lc, ret_relation_leaves(reached->relid))
		find_rows(erasure, reached, lfirst_oid(lc));
	foreach(lc, reached->found)
		reached->erased += erasure->dry_run ?
			((Found *) lfirst(lc))->ntids : 0;
}

static void
erase_in_trash(Erasure *erasure, Reached *reached)
{
	Relation	rel = table_open(reached->relid, RowExclusiveLock);

	reached->erased_in_trash =
		ret_trash_scrub_condition(rel, reached->policy, erasure->root_id,
								  erasure->reason, erasure->dry_run);
	table_close(rel, NoLock);
}

static void
erase_in_table(Erasure *erasure, Reached *reached)
{
	ListCell   *lc;

	foreach(lc, reached->found)
	{
		Found	   *found = lfirst(lc);

		if (found->ntids == 0 || erasure->dry_run)
			continue;
		erase_leaf(erasure, reached, found);
		CommandCounterIncrement();
	}
}

static void
tell_table(Erasure *erasure, Reached *reached)
{
	if (reached->condition == NULL)
	{
		tell(erasure, reached->relid, false, 0, 0, "not reached",
			 "neither a link nor a foreign key leads to this tagged table");
		return;
	}
	tell(erasure, reached->relid, false, reached->erased, reached->kept,
		 verdict_of(erasure, reached->erased, reached->kept),
		 reached->kept > 0 ? "a keep policy protects rows" : NULL);
	if (reached->erased_in_trash > 0)
		tell(erasure, reached->relid, true, reached->erased_in_trash, 0,
			 verdict_of(erasure, reached->erased_in_trash, 0), NULL);
	erasure->total += reached->erased + reached->erased_in_trash;
}

/*
 * Calls a step for each table that something leads to.
 */
static void
each(Erasure *erasure, List *tables,
	 void (*step) (Erasure *erasure, Reached *reached))
{
	ListCell   *lc;

	foreach(lc, tables)
		if (((Reached *) lfirst(lc))->condition)
			step(erasure, lfirst(lc));
	CommandCounterIncrement();
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
 * Body: erases the person in the tables of one owner. What is told of them is
 * told after all is done.
 */
static void
erase_of_owner(void *arg)
{
	Erasure    *erasure = arg;
	List	   *tables = list_reached(erasure->subject, erasure->owner);
	ListCell   *lc;

	each(erasure, tables, find_in_table);
	each(erasure, tables, erase_in_trash);
	each(erasure, tables, erase_in_table);
	foreach(lc, tables)
		tell_table(erasure, lfirst(lc));
}

/*
 * What fails for one owner, whose links and tables nobody else answers for, is
 * told and does not stop the erasure for others.
 */
static void
tell_failure(Erasure *erasure, const ErrorData *error)
{
	Datum		values[6] = {0};
	bool		nulls[6] = {true, true, true, true, false, false};

	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError((ErrorData *) error);
	values[4] = CStringGetTextDatum("failed");
	values[5] = CStringGetTextDatum(psprintf("tables of role \"%s\": %s",
											 GetUserNameFromId(erasure->owner, false),
											 error->message));
	tuplestore_putvalues(erasure->result->setResult, erasure->result->setDesc,
						 values, nulls);
}

/*
 * Erases, with the key where the conditions find it.
 */
static void
erase_of_owners(Erasure *erasure, List *owners, char *key)
{
	char	   *outer = erased_key;
	ListCell   *lc;

	erased_key = key;
	PG_TRY();
	{
		foreach(lc, owners)
		{
			ErrorData  *error;

			erasure->owner = lfirst_oid(lc);
			error = ret_try(erase_of_owner, erasure, true,
							CurrentMemoryContext);
			if (error && list_length(owners) == 1)
				ReThrowError(error);
			if (error)
				tell_failure(erasure, error);
		}
	}
	PG_FINALLY();
	{
		erased_key = outer;
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
	List	   *owners;
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
	erasure.relation_id = ret_subject_find(erasure.subject);
	owners = ret_subject_owners(erasure.subject);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	ret_constraints_immediate();
	SPI_finish();
	(void) ret_digest_key_load(erasure.digest_key, true);
	erasure.root_id = erasure.dry_run ? 0 : ret_record_next_id();
	erase_of_owners(&erasure, owners, key);
	if (!erasure.dry_run)
		record_request(&erasure, key);
	PopActiveSnapshot();
	return (Datum) 0;
}
