/*-------------------------------------------------------------------------
 *
 * trash_scrub.c
 *		Personal data of rows in the trash is replaced.
 *
 * A row in the trash loses its personal data when it would have lost it in
 * its table: the clock, the filter and the methods of the table's scrub
 * policies are asked about it as it was. The rows come to SQL like those of a
 * restore (restoring.c), in the owner's sandbox; the images are written anew.
 *
 * A chunk remembers when it has to be looked at next (personal_until), and
 * for which versions of the policies that holds (personal_stamp). All active
 * scrub policies of the table are asked at once, whichever of them runs.
 *
 * Called by the runs of scrub policies, and by a restore for what it brings
 * back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "batch.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "chunk.h"
#include "clock.h"
#include "executor/spi.h"
#include "expr.h"
#include "miscadmin.h"
#include "predicate.h"
#include "query.h"
#include "relation.h"
#include "restoring.h"
#include "rowmap.h"
#include "sandbox.h"
#include "tag.h"
#include "trash_scrub.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* chunks that one transaction looks at */
#define CHUNKS_A_STEP 64

/* A scrub policy, and what it has done. */
typedef struct Asked
{
	RetPolicy  *policy;
	int			column;			/* of the result: whether, when next, values... */
	int64		rows;
	StringInfoData digests;
} Asked;

/* The rows of some chunks of one shape, and what is asked about them. */
typedef struct Look
{
	Relation	rel;			/* the table that has the trash */
	List	   *asked;			/* Asked */
	int			stamp;
	TimestampTz now;
	int64		parent_id;		/* of the records; 0: none */
	const char *reason;			/* likewise */
	bool		count_only;
	int64	   *rows;			/* counts those that were taken, or NULL */
	MemoryContext context;		/* of what follows */
	RetRowMap  *map;
	Tuplestorestate *answers;	/* a tuple for each row */
	TupleTableSlot *answer;
} Look;

/* ---------- which chunks ---------- */

/*
 * Whether any scrub policy is there.
 */
bool
ret_trash_is_scrubbed(void)
{
	RetUser		saved;
	bool		found;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT FROM retention.pii_tag LIMIT 1", true, 0);
	found = SPI_processed > 0;
	ret_restore_user(&saved);
	SPI_finish();
	return found;
}

/*
 * The active scrub policies of a table, and their versions as one number.
 */
static List *
load_policies(Oid relid, int *stamp)
{
	List	   *asked = NIL;
	ListCell   *lc;

	*stamp = 1;
	foreach(lc, ret_policy_find_on(list_make1_oid(relid), "scrub"))
	{
		RetPolicy  *policy = lfirst(lc);
		Asked	   *one;

		if (!ret_policy_is_active(policy))
			continue;
		ret_tags_load(policy);
		if (policy->scrubs == NIL)
			continue;
		one = palloc0(sizeof(Asked));
		one->policy = policy;
		initStringInfo(&one->digests);
		asked = lappend(asked, one);
		*stamp = (int) (((uint32) *stamp * 31 + policy->policy_id) * 31 +
						policy->version);
	}
	return asked;
}

/*
 * Lists the chunks of a table (or of a command) that must be looked at, shape
 * by shape, in this memory context.
 */
static int
find_chunks(int32 relation_id, int64 deletion_id, int stamp, TimestampTz now,
			RetPiece **pieces)
{
	RetQuery	query;
	const char *id;

	ret_query_init(&query);
	id = ret_query_param(&query, INT8OID, Int64GetDatum(deletion_id));
	ret_query_add(&query,
				  " AND c.relation_id = %s AND (c.personal_stamp IS DISTINCT FROM %s"
				  " OR c.personal_until <= %s)",
				  ret_query_param(&query, INT4OID, Int32GetDatum(relation_id)),
				  ret_query_param(&query, INT4OID, Int32GetDatum(stamp)),
				  ret_query_param(&query, TIMESTAMPTZOID,
								  TimestampTzGetDatum(now)));
	if (deletion_id != 0)
		ret_query_add(&query,
					  " AND c.deletion_id = ANY (ARRAY(SELECT deletion_id"
					  " FROM retention.deletion WHERE parent_id = %s"
					  " AND action = 'trash') || %s)", id, id);
	else
		ret_query_add(&query,
					  " AND EXISTS (SELECT FROM retention.deletion d"
					  " WHERE d.relation_id = c.relation_id AND d.action = 'trash')");
	return ret_pieces_list(&query, pieces);
}

/* ---------- what is asked ---------- */

/*
 * When a row has to be looked at next; an erasure leaves that to the runs.
 */
static void
add_next(RetQuery *query, RetPolicy *policy, TimestampTz now)
{
	const char *later = ret_query_param(query, TIMESTAMPTZOID,
										TimestampTzGetDatum(now));

	if (policy->condition)
	{
		ret_query_add(query, "'-infinity'::timestamptz");
		return;
	}
	ret_query_add(query, "CASE WHEN isfinite(%s) AND %s THEN ",
				  ret_predicate_clock(query, policy), ret_tags_needs(policy));
	ret_query_add(query, "greatest(%s, %s + interval '1 hour') END",
				  ret_predicate_due_at(query, policy), later);
}

/*
 * The question: for each policy whether it takes the row now, else when, and
 * the values that it would put.
 */
static void
make_question(Look *look, List *keeps, RetQuery *query)
{
	int			column = 1;
	char	   *name = ret_relation_name(RelationGetRelid(look->rel));
	ListCell   *lc;

	ret_query_init(query);
	ret_query_add(query, "SELECT ");
	foreach(lc, look->asked)
	{
		Asked	   *asked = lfirst(lc);
		RetPolicy  *policy = asked->policy;
		ListCell   *lc2;

		asked->column = column;
		ret_query_add(query, "%s(%s) IS TRUE, ", column > 1 ? ", " : "",
					  ret_predicate_goes(query, policy, keeps, look->now, false));
		add_next(query, policy, look->now);
		column += 2;
		foreach(lc2, policy->scrubs)
		{
			ret_query_add(query, ", %s", ((RetScrub *) lfirst(lc2))->value);
			column++;
		}
	}
	ret_query_add(query, " FROM retention._restoring(NULL::%s) AS " RET_ROW,
				  name);
}

/* A destination that keeps the answers. */
typedef struct Answers
{
	DestReceiver receiver;
	Look	   *look;
} Answers;

static void
answers_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Look	   *look = ((Answers *) self)->look;
	MemoryContext caller = MemoryContextSwitchTo(look->context);

	look->answer = MakeSingleTupleTableSlot(CreateTupleDescCopy(desc),
											&TTSOpsMinimalTuple);
	MemoryContextSwitchTo(caller);
}

static bool
answers_receive(TupleTableSlot *slot, DestReceiver *self)
{
	tuplestore_puttupleslot(((Answers *) self)->look->answers, slot);
	return true;
}

/*
 * Asks about all rows of chunks that have one shape.
 */
static void
ask(Look *look, RetPiece *pieces, int npieces)
{
	RetSource	source = {0};
	Answers		answers = {.look = look};
	Oid			owner = look->rel->rd_rel->relowner;
	char	   *zone = ((Asked *) linitial(look->asked))->policy->zone;
	List	   *keeps = ret_keeps_load(RelationGetRelid(look->rel), true, zone);
	RetQuery	query;
	RetUser		saved;

	look->context = CurrentMemoryContext;
	look->map = ret_rowmap_make(ret_shape_load(pieces->shape_id), look->rel);
	look->answers = tuplestore_begin_heap(false, false, work_mem);
	make_question(look, keeps, &query);
	source.relid = RelationGetRelid(look->rel);
	source.map = look->map;
	source.pieces = pieces;
	source.npieces = npieces;
	ret_receiver_init(&answers.receiver, answers_receive);
	answers.receiver.rStartup = answers_startup;

	SPI_connect();
	ret_become_owner(&saved, owner, zone);
	ret_restoring(&source);
	PG_TRY();
	{
		ret_query_run(&query, false, 0, &answers.receiver);
	}
	PG_FINALLY();
	{
		ret_restoring(NULL);
	}
	PG_END_TRY();
	ret_restore_user(&saved);
	SPI_finish();
}

/* ---------- what is written ---------- */

/*
 * Puts the new values of a policy into a row as it was. A value of a column
 * that has another type now goes altogether.
 */
static void
replace(Look *look, Asked *asked)
{
	RetRowMap  *map = look->map;
	int			column = asked->column + 2;
	ListCell   *lc;

	foreach(lc, asked->policy->scrubs)
	{
		AttrNumber	num = get_attnum(RelationGetRelid(look->rel),
									 ((RetScrub *) lfirst(lc))->column);
		bool		isnull;
		Datum		value = slot_getattr(look->answer, column++, &isnull);

		for (int c = 0; c < map->shape->ncolumns; c++)
		{
			if (map->targets[c] != num)
				continue;
			map->old_values[c] = value;
			map->old_nulls[c] = isnull || map->is_retyped[c];
		}
	}
}

/*
 * Judges the next row: writes its image, with other values if a policy takes
 * it. Returns when it has to be looked at next.
 */
static TimestampTz
write_row(Look *look, RetBytes image, const uint8 *digest, StringInfo images,
		  StringInfo buffer, bool *changed)
{
	TimestampTz next = DT_NOEND;
	bool		is_read = false;
	ListCell   *lc;

	if (!tuplestore_gettupleslot(look->answers, true, false, look->answer))
		elog(ERROR, "rows of the trash were not answered for");
	foreach(lc, look->asked)
	{
		Asked	   *asked = lfirst(lc);
		bool		isnull;
		Datum		value = slot_getattr(look->answer, asked->column, &isnull);

		if (DatumGetBool(value))
		{
			RetBytes	in = image;

			if (!is_read)
				ret_shape_read(look->map->shape, &in, look->map->old_values,
							   look->map->old_nulls);
			is_read = true;
			replace(look, asked);
			asked->rows++;
			appendBinaryStringInfo(&asked->digests, (const char *) digest,
								   RET_DIGEST_SIZE);
			continue;
		}
		value = slot_getattr(look->answer, asked->column + 1, &isnull);
		if (!isnull)
			next = Min(next, DatumGetTimestampTz(value));
	}
	resetStringInfo(buffer);
	if (is_read)
		ret_image_write(buffer, look->map->shape->codecs,
						look->map->shape->ncolumns, look->map->old_values,
						look->map->old_nulls);
	else
		appendBinaryStringInfo(buffer, image.at, image.end - image.at);
	ret_put_length(images, buffer->len);
	appendBinaryStringInfo(images, buffer->data, buffer->len);
	*changed |= is_read;
	return next;
}

/*
 * Writes a chunk anew.
 */
static void
write_chunk(Look *look, RetPiece *piece)
{
	Relation	rel = table_open(piece->table, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TimestampTz next = DT_NOEND;
	bool		changed = false;
	StringInfoData images;
	StringInfoData buffer;
	RetChunk	chunk;
	RetBytes	in;
	bytea	   *digests;

	if (!table_tuple_fetch_row_version(rel, &piece->tid, GetActiveSnapshot(),
									   slot))
		elog(ERROR, "a chunk of the trash has vanished");
	ret_chunk_read(slot, &chunk);
	initStringInfo(&images);
	initStringInfo(&buffer);
	in = ret_bytes_of(DatumGetByteaPP(chunk.images));
	digests = DatumGetByteaPP(chunk.digests);
	for (int i = 0; i < chunk.rows; i++)
	{
		TimestampTz row_next = write_row(look, ret_image_next(&in),
										 (uint8 *) VARDATA_ANY(digests) +
										 i * RET_DIGEST_SIZE,
										 &images, &buffer, &changed);

		next = Min(next, row_next);
	}
	/* an erasure has looked for one person only */
	if (look->rows == NULL || (changed && !look->count_only))
		ret_chunk_scrub(rel, slot, changed ? &images : NULL, next, look->stamp);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	pfree(images.data);
	pfree(buffer.data);
}

static void
write_records(Look *look, RetRun *run)
{
	ListCell   *lc;

	foreach(lc, look->asked)
	{
		Asked	   *asked = lfirst(lc);
		RetRecord	record = {0};

		if (look->rows)
			*look->rows += asked->rows;
		if (asked->rows == 0 || look->count_only)
			continue;
		record.parent_id = look->parent_id;
		record.reason = look->reason;
		record.policy = asked->policy->name;
		record.policy_version = asked->policy->version;
		record.run_id = run && run->policy->policy_id == asked->policy->policy_id ?
			run->run_id : 0;
		record.relation_id = asked->policy->relation_id;
		record.leaf = "retention.trash";
		record.action = "scrub";
		record.cutoff = look->now;
		record.key_columns = ret_relation_key_names(look->rel);
		record.columns = ret_tags_columns(asked->policy);
		(void) ret_record_write(&record, asked->rows, &asked->digests);
		if (record.run_id != 0)
		{
			SPI_connect();
			ret_batch_account(run, asked->rows);
			SPI_finish();
			run->rows += asked->rows;
		}
		asked->rows = 0;
		resetStringInfo(&asked->digests);
	}
}

/*
 * Looks at chunks of one table. Caller holds the lock against those who take
 * rows out, exclusively, and a lock on the table.
 */
static void
scrub_chunks(Look *look, RetPiece *pieces, int npieces, RetRun *run)
{
	int			n;

	for (int i = 0; i < npieces; i += n)
	{
		for (n = 1; i + n < npieces &&
			 pieces[i + n].shape_id == pieces[i].shape_id; n++)
			;
		ask(look, pieces + i, n);
		for (int p = i; p < i + n; p++)
		{
			CHECK_FOR_INTERRUPTS();
			write_chunk(look, &pieces[p]);
		}
		ExecDropSingleTupleTableSlot(look->answer);
		tuplestore_end(look->answers);
	}
	write_records(look, run);
}

/* ---------- by an erasure ---------- */

/*
 * Scrubs those rows in the trash of a table that the condition of a policy
 * means, due or not; with "count_only" counts them. Returns how many. Caller
 * holds the lock on the trash of the table, unless it counts.
 */
int64
ret_trash_scrub_condition(Relation rel, RetPolicy *policy, int64 parent_id,
						  const char *reason, bool count_only)
{
	Asked		asked = {.policy = policy};
	Look		look = {.rel = rel,.asked = list_make1(&asked),.now = ret_now()};
	RetPiece   *pieces;
	int64		rows = 0;
	int			npieces;

	initStringInfo(&asked.digests);
	look.parent_id = parent_id;
	look.reason = reason;
	npieces = find_chunks(policy->relation_id, 0, 0, look.now, &pieces);
	look.rows = &rows;
	look.count_only = count_only;
	PushActiveSnapshot(GetLatestSnapshot());
	scrub_chunks(&look, pieces, npieces, NULL);
	PopActiveSnapshot();
	return rows;
}

/* ---------- by a run ---------- */

typedef struct Step
{
	RetPiece   *pieces;			/* all of them, in the run's context */
	int			npieces;
	int			done;
} Step;

/*
 * Body: lists what is to be looked at.
 */
static void
list_chunks(RetRun *run, void *arg)
{
	Step	   *step = arg;
	MemoryContext scratch = CurrentMemoryContext;
	int			stamp;

	if (!ret_extension_is_usable() ||
		load_policies(run->policy->relid, &stamp) == NIL)
		return;
	MemoryContextSwitchTo(run->context);
	step->npieces = find_chunks(run->policy->relation_id, 0, stamp,
								run->cutoff, &step->pieces);
	MemoryContextSwitchTo(scratch);
}

/*
 * Whether a chunk is still where it was found.
 */
static bool
is_there(const RetPiece *piece)
{
	Relation	rel = try_table_open(piece->table, RowExclusiveLock);
	TupleTableSlot *slot;
	bool		found;

	if (rel == NULL)
		return false;
	slot = table_slot_create(rel, NULL);
	found = table_tuple_fetch_row_version(rel, (ItemPointer) &piece->tid,
										  GetActiveSnapshot(), slot);
	if (found)
	{
		RetChunk	chunk;

		ret_chunk_read(slot, &chunk);
		found = chunk.deletion_id == piece->deletion_id &&
			chunk.first == piece->first && chunk.rows == piece->rows;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return found;
}

/*
 * Body: looks at the next chunks.
 */
static void
scrub_some(RetRun *run, void *arg)
{
	Step	   *step = arg;
	Look		look = {.now = run->cutoff};
	RetPiece	pieces[CHUNKS_A_STEP];
	int			n = 0;

	if (!ret_extension_is_usable())
		return;
	ret_batch_lock_timeout();
	ret_purge_lock(run->policy->relation_id, true);
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = step->done; i < Min(step->npieces, step->done + CHUNKS_A_STEP); i++)
		if (is_there(&step->pieces[i]))
			pieces[n++] = step->pieces[i];
	look.rel = ret_policy_open(run->policy);
	ret_relation_check(look.rel, look.rel->rd_rel->relowner);
	look.asked = load_policies(run->policy->relid, &look.stamp);
	if (look.asked != NIL)
		scrub_chunks(&look, pieces, n, run);
	table_close(look.rel, NoLock);
	PopActiveSnapshot();
}

/*
 * Scrubs what is due in the trash of a policy's table. What fails is counted
 * as blocked.
 */
void
ret_trash_scrub_run(RetRun *run)
{
	Step		step = {0};
	ErrorData  *error;

	ret_do(run, list_chunks, &step);
	for (; step.done < step.npieces && !run->end_state;
		 step.done += CHUNKS_A_STEP)
	{
		CHECK_FOR_INTERRUPTS();
		if (ret_attempt(run, scrub_some, &step, &error))
			continue;
		if (ret_error_is_cancel(error))
			ReThrowError(error);
		ret_run_block(run, 1, psprintf("rows in the trash cannot be scrubbed: %s",
									   error->message));
		FreeErrorData(error);
	}
}

/* ---------- before a restore ---------- */

/*
 * Scrubs what is due of the rows that one command sent to the trash, so that
 * it does not come back. Caller holds the lock against those who take rows
 * out, exclusively.
 */
void
ret_trash_scrub_deletion(int64 deletion_id)
{
	RetPiece   *all;
	int64		nrows;
	int			n = ret_pieces_find(deletion_id, -1, false, &all, &nrows);
	int32		last = 0;

	for (int i = 0; i < n; i++)
	{
		Oid			relid;
		Look		look = {.now = ret_now()};
		RetPiece   *pieces;

		if (all[i].relation_id == last)
			continue;
		last = all[i].relation_id;
		relid = ret_registered_relid(last);
		look.rel = OidIsValid(relid) ?
			try_table_open(relid, RowExclusiveLock) : NULL;
		if (look.rel == NULL)
			continue;
		ret_relation_check(look.rel, look.rel->rd_rel->relowner);
		look.asked = load_policies(relid, &look.stamp);
		if (look.asked != NIL)
		{
			int			npieces = find_chunks(last, deletion_id, look.stamp,
											  look.now, &pieces);

			scrub_chunks(&look, pieces, npieces, NULL);
		}
		table_close(look.rel, NoLock);
	}
	CommandCounterIncrement();
}
