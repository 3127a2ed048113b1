/*-------------------------------------------------------------------------
 *
 * pin.c
 *		Rows that came back from the trash are not purged again at once.
 *
 * To a policy, the clock of a restored row starts anew at the restore: it is
 * not due before "after" has passed once more. Nothing is written into the
 * row for that. The record of the restore has the digests of the keys; a
 * batch loads those that still count, and its statement asks about each row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "pin.h"
#include "predicate.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(retention_is_restored);

/* The pins of the policy that this process looked at last. */
static struct
{
	MemoryContext context;
	int32		policy_id;
	int64		nrecords;		/* what they were read from */
	int64		last_record;
	size_t		ndigests;
	uint8	   *digests;		/* sorted */
	uint8		secret[RET_DIGEST_SIZE];
}			pins;

static int
compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, RET_DIGEST_SIZE);
}

static void
read_digests(RetQuery *query)
{
	size_t		size = 0;

	ret_query_run(query, false, 0, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		size += (size_t) ret_result_int8(i, 2);
	MemoryContextReset(pins.context);
	pins.digests = MemoryContextAllocHuge(pins.context, Max(size, 1));
	pins.ndigests = size / RET_DIGEST_SIZE;
	size = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		bytea	   *digests = DatumGetByteaPP(ret_result_datum(i, 1, &isnull));

		memcpy(pins.digests + size, VARDATA_ANY(digests),
			   VARSIZE_ANY_EXHDR(digests));
		size += VARSIZE_ANY_EXHDR(digests);
	}
	qsort(pins.digests, pins.ndigests, RET_DIGEST_SIZE, compare_digests);
}

/*
 * Reads which rows of the policy's table were restored so lately that it must
 * leave them. Costs one look into an index when nothing has changed since the
 * last call. Connects to SPI.
 */
void
ret_pins_load(const RetPolicy *policy)
{
	RetUser		saved;
	RetQuery	query;
	char	   *records;
	int64		nrecords;
	int64		last_record;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	records = psprintf("FROM retention.deletion WHERE relation_id = %s"
					   " AND action = 'restore' AND happened_at + %s > %s",
					   ret_query_param(&query, INT4OID,
									   Int32GetDatum(policy->relation_id)),
					   ret_query_param(&query, INTERVALOID,
									   IntervalPGetDatum(policy->after)),
					   ret_query_param(&query, TIMESTAMPTZOID,
									   TimestampTzGetDatum(ret_now())));
	ret_query_add(&query, "SELECT count(*), max(deletion_id) %s", records);
	ret_query_run(&query, false, 0, NULL);
	nrecords = ret_result_int8(0, 1);
	last_record = ret_result_int8(0, 2);
	if (pins.context == NULL)
		pins.context = AllocSetContextCreate(TopMemoryContext,
											 "retention pins",
											 ALLOCSET_DEFAULT_SIZES);
	if (pins.policy_id != policy->policy_id || pins.nrecords != nrecords ||
		pins.last_record != last_record)
	{
		pins.policy_id = 0;
		pins.ndigests = 0;
		resetStringInfo(&query.sql);
		ret_query_add(&query, "SELECT digests, length(digests)::bigint %s",
					  records);
		if (nrecords > 0)
			read_digests(&query);
		pins.policy_id = policy->policy_id;
		pins.nrecords = nrecords;
		pins.last_record = last_record;
	}
	ret_restore_user(&saved);
	SPI_finish();
	if (pins.ndigests > 0)
		(void) ret_digest_key_load(pins.secret, false);
}

/*
 * " AND ..." for the rows that are not pinned; empty when none are, as after
 * ret_pins_load() of another policy.
 */
char *
ret_pins_condition(const RetPolicy *policy)
{
	StringInfoData sql;
	Relation	rel;
	ListCell   *lc;

	if (pins.ndigests == 0 || pins.policy_id != policy->policy_id)
		return "";
	initStringInfo(&sql);
	rel = table_open(policy->relid, NoLock);
	foreach(lc, ret_relation_key_names(rel))
		appendStringInfo(&sql, "%s" RET_ROW ".%s", sql.len ? ", " : "",
						 quote_identifier(lfirst(lc)));
	table_close(rel, NoLock);
	return psprintf(" AND NOT retention._is_restored(%s)", sql.data);
}

/*
 * retention._is_restored(key...): whether a row is pinned.
 */
Datum
retention_is_restored(PG_FUNCTION_ARGS)
{
	TupleTableSlot *slot = fcinfo->flinfo->fn_extra;
	uint8	   *kinds;
	AttrNumber	columns[FUNC_MAX_ARGS];
	uint8		digest[RET_DIGEST_SIZE];

	if (pins.ndigests == 0)
		PG_RETURN_BOOL(false);
	if (slot == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc	desc = CreateTemplateTupleDesc(PG_NARGS());

		for (int i = 0; i < PG_NARGS(); i++)
			TupleDescInitEntry(desc, i + 1, NULL,
							   get_fn_expr_argtype(fcinfo->flinfo, i), -1, 0);
		fcinfo->flinfo->fn_extra = slot =
			MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
		MemoryContextSwitchTo(caller);
	}
	ExecClearTuple(slot);
	for (int i = 0; i < PG_NARGS(); i++)
	{
		slot->tts_values[i] = PG_GETARG_DATUM(i);
		slot->tts_isnull[i] = PG_ARGISNULL(i);
		columns[i] = i + 1;
	}
	ExecStoreVirtualTuple(slot);
	kinds = ret_digest_kinds(slot->tts_tupleDescriptor);
	ret_digest_key(pins.secret, slot, columns, PG_NARGS(), kinds, digest);
	PG_RETURN_BOOL(bsearch(digest, pins.digests, pins.ndigests,
						   RET_DIGEST_SIZE, compare_digests) != NULL);
}
