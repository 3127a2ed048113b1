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

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "commands/sequence.h"
#include "compat.h"
#include "executor/executor.h"
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
#include "utils/xid8.h"
#include "waiters.h"
#include "worker.h"

/* columns of retention.deletion */
#define Natts_deletion 18

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

/*
 * How the columns of a row type are digested.
 */
uint8 *
ret_digest_kinds(TupleDesc desc)
{
	uint8	   *kinds = palloc0(Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Oid			type;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		type = getBaseType(TupleDescAttr(desc, i)->atttypid);
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
 * Digests a key: these columns of a row. "kinds" are those of
 * ret_digest_kinds().
 */
void
ret_digest_key(const uint8 *key, TupleTableSlot *slot,
			   const AttrNumber *columns, int ncolumns, const uint8 *kinds,
			   uint8 *digest)
{
	RetSipHash	state;

	slot_getallattrs(slot);
	ret_siphash_start(&state, key);
	for (int i = 0; i < ncolumns; i++)
	{
		int			att = columns[i] - 1;
		uint8		isnull = slot->tts_isnull[att];

		ret_siphash_update(&state, &isnull, 1);
		if (!isnull)
			digest_datum(&state, slot->tts_values[att],
						 TupleDescAttr(slot->tts_tupleDescriptor, att),
						 kinds[att]);
	}
	ret_siphash_final(&state, digest);
}

/*
 * The columns of a row type from the first one on.
 */
static AttrNumber *
columns_from(TupleDesc desc, int first)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * Max(desc->natts, 1));

	for (int i = first; i <= desc->natts; i++)
		columns[i - first] = i;
	return columns;
}

/*
 * What a digester does with a row; for destinations that do more.
 */
bool
ret_digester_receive(TupleTableSlot *slot, DestReceiver *self)
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
	ret_digest_key(digester->key, slot, digester->columns,
				   slot->tts_tupleDescriptor->natts - digester->skip -
				   digester->extra,
				   digester->kinds,
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

void
ret_digester_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	RetDigester *digester = (RetDigester *) self;

	digester->kinds = ret_digest_kinds(desc);
	digester->columns = columns_from(desc, digester->skip + 1);
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
	ret_receiver_init(&digester->receiver, ret_digester_receive);
	digester->receiver.rStartup = ret_digester_startup;
	memcpy(digester->key, key, RET_DIGEST_SIZE);
	initStringInfo(&digester->digests);
	digester->skip = 1;
	digester->extra = 0;
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
 * The id of a record that is written later.
 */
int64
ret_record_next_id(void)
{
	return nextval_internal(ret_own_relid("deletion_deletion_id_seq"), false);
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL || *text == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(text);
}

/*
 * Inserts a tuple and its index entries; CatalogTupleInsert() would not heed
 * that some indexes are partial.
 */
static void
insert_tuple(Relation rel, HeapTuple tuple)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsHeapTuple);

	InitResultRelInfo(target, rel, 1, NULL, 0);
	ExecOpenIndices(target, false);
	simple_heap_insert(rel, tuple);
	ExecStoreHeapTuple(tuple, slot, false);
	slot->tts_tid = tuple->t_self;
	(void) ret_insert_index_tuples(target, slot, estate);
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/*
 * Writes a record and returns its id: that which it has already, or the next.
 * Below SQL, so that it costs little also where an application deletes rows
 * one by one. Caller must have an active snapshot.
 */
int64
ret_record_write(const RetRecord *record, uint64 rows,
				 const StringInfoData *digests)
{
	Relation	rel = table_open(ret_own_relid("deletion"), RowExclusiveLock);
	int64		deletion_id = record->deletion_id ? record->deletion_id :
		ret_record_next_id();
	bytea	   *packed = palloc(VARHDRSZ + digests->len);
	Datum		values[Natts_deletion];
	bool		nulls[Natts_deletion] = {0};
	HeapTuple	tuple;
	int			n = 0;

	SET_VARSIZE(packed, VARHDRSZ + digests->len);
	memcpy(VARDATA(packed), digests->data, digests->len);

	/* in the order of the columns in sql/install */
	values[n++] = Int64GetDatum(deletion_id);
	nulls[n] = record->run_id == 0;
	values[n++] = Int64GetDatum(record->run_id);
	values[n] = text_or_null(record->policy, &nulls[n]);
	n++;
	nulls[n] = record->policy == NULL;
	values[n++] = Int32GetDatum(record->policy_version);
	values[n++] = Int32GetDatum(record->relation_id);
	values[n++] = CStringGetTextDatum(record->leaf);
	values[n++] = CStringGetTextDatum(record->action);
	values[n++] = Int64GetDatum((int64) rows);
	nulls[n] = record->policy == NULL;
	values[n++] = TimestampTzGetDatum(record->cutoff);
	values[n++] = TimestampTzGetDatum(record->happened_at ?
									  record->happened_at : ret_now());
	values[n++] = CStringGetTextDatum(ret_worker_is_me() ? "retention worker" :
									  GetUserNameFromId(GetOuterUserId(), false));
	values[n] = text_or_null(application_name, &nulls[n]);
	n++;
	values[n] = text_or_null(record->reason ? record->reason : ret_reason,
							 &nulls[n]);
	n++;
	nulls[n] = record->parent_id == 0;
	values[n++] = Int64GetDatum(record->parent_id);
	values[n++] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[n++] = ret_text_array(record->key_columns);
	values[n++] = PointerGetDatum(packed);
	nulls[n] = record->columns == NIL;
	if (!nulls[n])
		values[n] = ret_text_array(record->columns);
	n++;
	Assert(n == Natts_deletion &&
		   n == RelationGetNumberOfAttributes(rel));

	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	insert_tuple(rel, tuple);
	heap_freetuple(tuple);
	pfree(packed);
	table_close(rel, RowExclusiveLock);
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
		ret_digest_key(key, slot, columns_from(slot->tts_tupleDescriptor, 1),
					   slot->tts_tupleDescriptor->natts,
					   ret_digest_kinds(slot->tts_tupleDescriptor),
					   (uint8 *) VARDATA(digest));
		tuplestore_putvalues(result->setResult, result->setDesc, &value,
							 &isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
