/*
 * record.h
 *
 * Deletion records, and the digests in them.
 */
#ifndef RET_RECORD_H
#define RET_RECORD_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "siphash.h"
#include "storage/itemptr.h"
#include "tcop/dest.h"
#include "utils/relcache.h"

/*
 * A destination for rows (ctid, key columns...): keeps a digest of each key.
 * Memory: 16 bytes a row. With "skip" 2 the rows are (ctid,
 * due, key columns...), and those that are not due are counted. With
 * "gives_way" it takes no more rows once somebody waits for those it has.
 */
typedef struct RetDigester
{
	DestReceiver receiver;
	uint8		key[RET_DIGEST_SIZE];
	StringInfoData digests;
	int			skip;
	int			extra;			/* columns after the key */
	bool		gives_way;
	AttrNumber *columns;		/* of the key */
	uint8	   *kinds;			/* of all columns, see record.c */
	uint64		rows;
	uint64		not_due;
	bool		gave_way;
} RetDigester;

/* A destination for rows (ctid): keeps them in the order they come. */
typedef struct RetTidReceiver
{
	DestReceiver receiver;
	ItemPointerData *tids;
	int			ntids;
	int			maxtids;
} RetTidReceiver;

/* What a record says beside the digests; NULL and 0 where it does not apply. */
typedef struct RetRecord
{
	int64		deletion_id;	/* 0: the next */
	int64		run_id;
	const char *policy;
	int			policy_version;
	int32		relation_id;
	const char *leaf;
	const char *action;
	const char *reason;			/* NULL: what the session says */
	TimestampTz cutoff;
	TimestampTz happened_at;	/* 0: now */
	int64		parent_id;
	List	   *key_columns;
	List	   *columns;		/* scrubbed; NIL: whole rows */
} RetRecord;

extern bool ret_digest_key_load(uint8 *key, bool make);
extern uint8 *ret_digest_kinds(TupleDesc desc);
extern void ret_digest_key(const uint8 *key, TupleTableSlot *slot,
						   const AttrNumber *columns, int ncolumns,
						   const uint8 *kinds, uint8 *digest);
extern void ret_receiver_init(DestReceiver *receiver,
							  bool (*receive) (TupleTableSlot *slot,
											   DestReceiver *self));
extern void ret_digester_init(RetDigester *digester, const uint8 *key);
extern void ret_digester_startup(DestReceiver *self, int operation,
								 TupleDesc desc);
extern bool ret_digester_receive(TupleTableSlot *slot, DestReceiver *self);
extern void ret_tid_receiver_init(RetTidReceiver *receiver);
extern int64 ret_record_next_id(void);
extern int64 ret_record_write(const RetRecord *record, uint64 rows,
							  const StringInfoData *digests);

#endif							/* RET_RECORD_H */
