/*-------------------------------------------------------------------------
 *
 * record.c
 *		Deletion records, and the digests in them.
 *
 * A record tells for one batch and one table how many rows went, why, when
 * and by whom, and of each row a keyed digest of its key: enough to answer
 * whether a certain row was deleted, not enough to learn which rows were. It
 * is written in the transaction that deletes the rows.
 *
 * What is digested of a value is its bytes in memory, in network order where
 * it is passed by value, so that no setting and no function of a type's owner
 * has a say. Text is compared by its bytes, whatever its collation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "query.h"
#include "record.h"
#include "relation.h"
#include "sandbox.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "waiters.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(retention_has_digest);
PG_FUNCTION_INFO_V1(retention_key_digests);

/*
 * Reads the database's secret for digests; when there is none yet makes it
 * (which the transaction must be able to) or returns false.
 */
bool
ret_digest_key_load(uint8 *key, bool make)
{
	static const char *const read =
		"SELECT key FROM retention.digest_key WHERE key_id = 1";
	RetUser		saved;
	bool		isnull;
	bool		found;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute(read, false, 0);
	if (SPI_processed == 0 && make)
	{
		SPI_execute("INSERT INTO retention.digest_key"
					" SELECT 1, retention._random_key(), clock_timestamp()"
					" ON CONFLICT DO NOTHING", false, 0);
		SPI_execute(read, false, 0);
	}
	found = SPI_processed > 0;
	if (found)
	{
		bytea	   *value = DatumGetByteaPP(ret_result_datum(0, 1, &isnull));

		memcpy(key, VARDATA_ANY(value), RET_DIGEST_SIZE);
	}
	else if (make)
		elog(ERROR, "could not make the key for digests");
	ret_restore_user(&saved);
	SPI_finish();
	return found;
}

/*
 * Values of a key that are equal digest alike, as far as their types make
 * that possible without asking operators: 1.5 is 1.50, 0 is -0, and an enum
 * value is its label, for its OID is another one after a dump.
 */
typedef enum DigestKind
{
	DIGEST_BYTES,
	DIGEST_NUMERIC,
	DIGEST_FLOAT4,
	DIGEST_FLOAT8,
	DIGEST_ENUM
} DigestKind;

static uint8 *
digest_kinds(TupleDesc desc)
{
	uint8	   *kinds = palloc0(Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Oid			type = getBaseType(TupleDescAttr(desc, i)->atttypid);

		kinds[i] = type == NUMERICOID ? DIGEST_NUMERIC :
			type == FLOAT4OID ? DIGEST_FLOAT4 :
			type == FLOAT8OID ? DIGEST_FLOAT8 :
			type_is_enum(type) ? DIGEST_ENUM : DIGEST_BYTES;
	}
	return kinds;
}

static void
digest_bytes(RetSipHash *state, const void *bytes, size_t size)
{
	uint64		length = pg_hton64((uint64) size);

	ret_siphash_update(state, &length, sizeof(length));
	ret_siphash_update(state, bytes, size);
}

static void
digest_string(RetSipHash *state, char *string)
{
	digest_bytes(state, string, strlen(string));
	pfree(string);
}

static void
digest_datum(RetSipHash *state, Datum value, Form_pg_attribute attr,
			 DigestKind kind)
{
	if (kind == DIGEST_NUMERIC)
		digest_string(state, numeric_normalize(DatumGetNumeric(value)));
	else if (kind == DIGEST_ENUM)
		digest_string(state, DatumGetCString(DirectFunctionCall1(enum_out,
																 value)));
	else if (attr->attbyval)
	{
		uint64		word;

		if (kind == DIGEST_FLOAT4 && DatumGetFloat4(value) == 0)
			value = Float4GetDatum(0);
		else if (kind == DIGEST_FLOAT8 && DatumGetFloat8(value) == 0)
			value = Float8GetDatum(0);
		/* whether a type is signed does not show in the digest */
		word = (uint64) value;
		if (attr->attlen < (int) sizeof(Datum))
			word &= (UINT64CONST(1) << (8 * attr->attlen)) - 1;
		word = pg_hton64(word);
		ret_siphash_update(state, &word, sizeof(word));
	}
	else if (attr->attlen == -1)
	{
		struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

		digest_bytes(state, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
		if ((Pointer) bytes != DatumGetPointer(value))
			pfree(bytes);
	}
	else
		digest_bytes(state, DatumGetPointer(value), attr->attlen > 0 ?
					 (size_t) attr->attlen : strlen(DatumGetCString(value)));
}

/*
 * Digests the columns of a row but the first "skip" ones.
 */
static void
digest_slot(const uint8 *key, TupleTableSlot *slot, int skip,
			const uint8 *kinds, uint8 *digest)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	RetSipHash	state;

	slot_getallattrs(slot);
	ret_siphash_start(&state, key);
	for (int i = skip; i < desc->natts; i++)
	{
		uint8		isnull = slot->tts_isnull[i];

		ret_siphash_update(&state, &isnull, 1);
		if (!isnull)
			digest_datum(&state, slot->tts_values[i], TupleDescAttr(desc, i),
						 kinds[i]);
	}
	ret_siphash_final(&state, digest);
}

static bool
digester_receive(TupleTableSlot *slot, DestReceiver *self)
{
	RetDigester *digester = (RetDigester *) self;
	bool		isnull;

	enlargeStringInfo(&digester->digests, RET_DIGEST_SIZE);
	if (digester->skip == 2)
	{
		Datum		due = slot_getattr(slot, 2, &isnull);

		if (isnull || !DatumGetBool(due))
			digester->not_due++;
	}
	digest_slot(digester->key, slot, digester->skip, digester->kinds,
				(uint8 *) digester->digests.data + digester->digests.len);
	digester->digests.len += RET_DIGEST_SIZE;
	digester->rows++;
	digester->gave_way = digester->gives_way && ret_waiters_came();
	return !digester->gave_way;
}

static bool
tid_receive(TupleTableSlot *slot, DestReceiver *self)
{
	RetTidReceiver *receiver = (RetTidReceiver *) self;
	bool		isnull;
	Datum		tid = slot_getattr(slot, 1, &isnull);

	if (receiver->ntids == receiver->maxtids)
	{
		receiver->maxtids *= 2;
		receiver->tids = repalloc_huge(receiver->tids, receiver->maxtids *
									   sizeof(ItemPointerData));
	}
	receiver->tids[receiver->ntids++] = *(ItemPointer) DatumGetPointer(tid);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
digester_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	((RetDigester *) self)->kinds = digest_kinds(desc);
}

static void
receiver_nothing(DestReceiver *self)
{
}

static const DestReceiver receiver_template = {
	.rStartup = receiver_startup,
	.rShutdown = receiver_nothing,
	.rDestroy = receiver_nothing,
	.mydest = DestNone,
};

/*
 * A destination of our own that does something with each row.
 */
void
ret_receiver_init(DestReceiver *receiver,
				  bool (*receive) (TupleTableSlot *slot, DestReceiver *self))
{
	*receiver = receiver_template;
	receiver->receiveSlot = receive;
}

/*
 * Starts an empty digester in the current memory context.
 */
void
ret_digester_init(RetDigester *digester, const uint8 *key)
{
	ret_receiver_init(&digester->receiver, digester_receive);
	digester->receiver.rStartup = digester_startup;
	memcpy(digester->key, key, RET_DIGEST_SIZE);
	initStringInfo(&digester->digests);
	digester->skip = 1;
	digester->gives_way = false;
	digester->rows = 0;
	digester->not_due = 0;
	digester->gave_way = false;
}

void
ret_tid_receiver_init(RetTidReceiver *receiver)
{
	ret_receiver_init(&receiver->receiver, tid_receive);
	receiver->maxtids = 1024;
	receiver->ntids = 0;
	receiver->tids = palloc(receiver->maxtids * sizeof(ItemPointerData));
}

/*
 * Writes a record and returns its id. Connects to SPI, acts as the extension.
 */
int64
ret_record_write(const RetRecord *record, const RetDigester *digester)
{
	static SPIPlanPtr plan = NULL;
	RetUser		saved;
	RetQuery	query;
	bytea	   *digests;
	const char *actor;
	int64		deletion_id;

	actor = ret_worker_is_me() ? "retention worker" :
		GetUserNameFromId(GetUserId(), false);
	digests = palloc(VARHDRSZ + digester->digests.len);
	SET_VARSIZE(digests, VARHDRSZ + digester->digests.len);
	memcpy(VARDATA(digests), digester->digests.data, digester->digests.len);

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "INSERT INTO retention.deletion (run_id, policy,"
				  " policy_version, relation_id, leaf, action, rows, cutoff,"
				  " happened_at, actor, application, reason, parent_id, txid,"
				  " key_columns, digests) VALUES"
				  " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, nullif(%s, ''),"
				  " nullif(%s, ''), nullif(%s, 0), pg_current_xact_id(), %s, %s)"
				  " RETURNING deletion_id",
				  ret_query_param(&query, INT8OID, Int64GetDatum(record->run_id)),
				  ret_query_text(&query, record->policy),
				  ret_query_param(&query, INT4OID, Int32GetDatum(record->policy_version)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(record->relation_id)),
				  ret_query_text(&query, record->leaf),
				  ret_query_text(&query, record->action),
				  ret_query_param(&query, INT8OID, Int64GetDatum((int64) digester->rows)),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(record->cutoff)),
				  ret_query_param(&query, TIMESTAMPTZOID, TimestampTzGetDatum(ret_now())),
				  ret_query_text(&query, actor),
				  ret_query_text(&query, application_name),
				  ret_query_text(&query, record->reason ? record->reason : ret_reason),
				  ret_query_param(&query, INT8OID, Int64GetDatum(record->parent_id)),
				  ret_query_param(&query, TEXTARRAYOID, ret_text_array(record->key_columns)),
				  ret_query_param(&query, BYTEAOID, PointerGetDatum(digests)));
	ret_query_run_kept(&query, &plan);
	deletion_id = ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	pfree(digests);
	return deletion_id;
}

/*
 * retention._has_digest(digests, digest)
 */
Datum
retention_has_digest(PG_FUNCTION_ARGS)
{
	bytea	   *digests = PG_GETARG_BYTEA_PP(0);
	bytea	   *digest = PG_GETARG_BYTEA_PP(1);
	const char *at = VARDATA_ANY(digests);
	const char *end = at + VARSIZE_ANY_EXHDR(digests);

	if (VARSIZE_ANY_EXHDR(digest) != RET_DIGEST_SIZE)
		PG_RETURN_BOOL(false);
	for (; at + RET_DIGEST_SIZE <= end; at += RET_DIGEST_SIZE)
		if (memcmp(at, VARDATA_ANY(digest), RET_DIGEST_SIZE) == 0)
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}

/*
 * Fills a slot with the values of a key that came as text.
 */
static TupleTableSlot *
slot_of_key(Relation rel, ArrayType *key)
{
	List	   *columns = ret_relation_key(rel);
	int			ncolumns = list_length(columns);
	TupleDesc	desc = CreateTemplateTupleDesc(ncolumns);
	TupleTableSlot *slot;
	Datum	   *texts;
	bool	   *nulls;
	RetUser		saved;

	ret_relation_split_key(rel, key, &texts, &nulls);
	for (int i = 0; i < ncolumns; i++)
		TupleDescCopyEntry(desc, i + 1, RelationGetDescr(rel),
						   list_nth_int(columns, i));
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);

	/* input functions of types are code of others */
	ret_become_owner(&saved, rel->rd_rel->relowner, NULL);
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		Oid			input;
		Oid			param;

		slot->tts_isnull[i] = nulls[i];
		if (nulls[i])
			continue;
		getTypeInputInfo(attr->atttypid, &input, &param);
		slot->tts_values[i] = OidInputFunctionCall(input,
												   TextDatumGetCString(texts[i]),
												   param, attr->atttypmod);
	}
	ret_restore_user(&saved);
	return ExecStoreVirtualTuple(slot);
}

/*
 * retention._key_digests(relation, key): today one digest, for there is one
 * secret.
 */
Datum
retention_key_digests(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel;
	uint8		key[RET_DIGEST_SIZE];
	TupleTableSlot *slot;
	bytea	   *digest = palloc(VARHDRSZ + RET_DIGEST_SIZE);
	Datum		value = PointerGetDatum(digest);
	bool		isnull = false;

	if (!ret_may_read(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to look at deletions of %s",
						ret_relation_name(relid) ? ret_relation_name(relid) :
						"a relation that does not exist"),
				 errhint("Ask its owner, or become a member of the role in \"retention.auditor_role\".")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	rel = table_open(relid, AccessShareLock);
	slot = slot_of_key(rel, PG_GETARG_ARRAYTYPE_P(1));
	/* without a secret nothing was ever recorded */
	if (ret_digest_key_load(key, false))
	{
		SET_VARSIZE(digest, VARHDRSZ + RET_DIGEST_SIZE);
		digest_slot(key, slot, 0, digest_kinds(slot->tts_tupleDescriptor),
					(uint8 *) VARDATA(digest));
		tuplestore_putvalues(result->setResult, result->setDesc, &value,
							 &isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
