/*
 * shmem.c
 *
 * Shared memory: when work is due in each database, and the progress of runs.
 * The worker slots and the clock guard live here too, but launcher.c,
 * worker.c and clock.c look after them. What is where, and who writes it, is
 * in shmem.h.
 *
 * Backends that change policies say at commit when work is due
 * (ret_notify_due_at_commit), workers say what they found
 * (ret_publish_next_due), the launcher reads both and starts workers.
 *
 * Two lightweight locks, never held together, and only for a few memory
 * accesses; nothing raises an error under them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "shmem.h"
#include "worker.h"

#define TRANCHE_NAME		"retention"
#define TRANCHE_LOCKS		2

#define PROGRESS_COLUMNS	14
#define PROCESSES_COLUMNS	7

RetShared  *ret_shared = NULL;
HTAB	   *ret_databases = NULL;

static shmem_request_hook_type next_shmem_request_hook = NULL;
static shmem_startup_hook_type next_shmem_startup_hook = NULL;

/* The earliest due of this transaction; DT_NOEND: it has not told any. */
static TimestampTz pending_due = DT_NOEND;

/* A worker's look at its database: its number, and whether it works alone. */
static uint32 my_round = 0;
static bool my_round_is_exact = false;

static RetProgress *my_progress = NULL;

static void request_shmem(void);
static void startup_shmem(void);
static void init_shared(LWLockPadded *locks);
static void xact_ended(XactEvent event, void *arg);
static void feed_due(TimestampTz due);
static bool works_alone(int slot);
static RetProgress *claim_progress(void);
static void release_progress(int code, Datum arg);
static void copy_text(char *to, Size size, const char *from);
static void put_progress(ReturnSetInfo *result, const RetProgress *progress);

PG_FUNCTION_INFO_V1(retention_progress);
PG_FUNCTION_INFO_V1(retention_processes);
PG_FUNCTION_INFO_V1(retention_wake);

/*
 * Asks for shared memory. Called from _PG_init while the postmaster loads
 * its libraries.
 */
void
ret_shmem_init(void)
{
	next_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	next_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/*
 * Whether the library was preloaded.
 */
bool
ret_shmem_is_available(void)
{
	return ret_shared != NULL;
}

static void
request_shmem(void)
{
	if (next_shmem_request_hook)
		next_shmem_request_hook();

	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(RetShared)),
									hash_estimate_size(RET_MAX_DATABASES,
													   sizeof(RetDatabase))));
	RequestNamedLWLockTranche(TRANCHE_NAME, TRANCHE_LOCKS);
}

static void
startup_shmem(void)
{
	HASHCTL		control = {0};
	bool		found;

	if (next_shmem_startup_hook)
		next_shmem_startup_hook();

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RetDatabase);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ret_shared = ShmemInitStruct("retention", sizeof(RetShared), &found);
	ret_databases = ShmemInitHash("retention databases",
								  RET_MAX_DATABASES, RET_MAX_DATABASES,
								  &control,
								  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	if (!found)
		init_shared(GetNamedLWLockTranche(TRANCHE_NAME));
	LWLockRelease(AddinShmemInitLock);
}

static void
init_shared(LWLockPadded *locks)
{
	memset(ret_shared, 0, sizeof(RetShared));
	ret_shared->lock = &locks[0].lock;
	ret_shared->progress_lock = &locks[1].lock;
	ret_shared->clock_wall = DT_NOBEGIN;
	ret_shared->clock_suspended_since = DT_NOBEGIN;
	ret_shared->slots_exhausted_since = DT_NOBEGIN;
}

/*
 * The entry of a database, made when there is none; NULL when the table is
 * full. A new entry is due when somebody says so.
 *
 * Caller must hold ret_shared->lock exclusively.
 */
RetDatabase *
ret_database_enter(Oid database, bool *found)
{
	RetDatabase *entry;

	entry = hash_search(ret_databases, &database, HASH_ENTER_NULL, found);
	if (entry == NULL || *found)
		return entry;

	entry->seen = true;
	entry->failures = 0;
	entry->retry_at = DT_NOBEGIN;
	entry->next_due = DT_NOEND;
	entry->heard = DT_NOEND;
	entry->round = 0;
	return entry;
}

/*
 * When a database is to be looked at; DT_NOEND for never.
 *
 * Caller must hold ret_shared->lock.
 */
TimestampTz
ret_database_due(const RetDatabase *database)
{
	return Max(Min(database->next_due, database->heard), database->retry_at);
}

/*
 * Makes every database due now. What was known of them was by another clock.
 *
 * Caller must hold ret_shared->lock exclusively.
 */
void
ret_databases_look_again(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	RetDatabase *entry;

	hash_seq_init(&scan, ret_databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		entry->next_due = now;
		entry->retry_at = DT_NOBEGIN;
	}
}

/*
 * Makes the launcher, if there is one, look at its work now.
 *
 * Caller must hold ret_shared->lock.
 */
void
ret_wake_launcher(void)
{
	if (ret_shared->launcher_latch != NULL)
		SetLatch(ret_shared->launcher_latch);
}

/*
 * Tells the launcher, once this transaction has committed, that work is due
 * in this database then. Without a commit nothing is told.
 */
void
ret_notify_due_at_commit(TimestampTz due)
{
	static bool registered = false;

	if (ret_shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(xact_ended, NULL);
		registered = true;
	}
	pending_due = Min(pending_due, due);
}

/*
 * Runs after other sessions can see the transaction, so a worker that is
 * started now finds the change. A prepared transaction tells nothing: its
 * changes wait for the next probe of the database.
 */
static void
xact_ended(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (pending_due != DT_NOEND)
				feed_due(pending_due);
			pending_due = DT_NOEND;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			pending_due = DT_NOEND;
			break;
		default:
			break;
	}
}

/*
 * Raises no error, as the transaction is committed already.
 */
static void
feed_due(TimestampTz due)
{
	RetDatabase *entry;
	bool		found;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	entry = ret_database_enter(MyDatabaseId, &found);
	if (entry != NULL)
		entry->heard = Min(entry->heard, due);
	ret_wake_launcher();
	LWLockRelease(ret_shared->lock);
}

/*
 * Begins the look of a worker at its database: takes what is due there. From
 * here on, whatever a commit feeds is newer than what the worker sees.
 * Returns false when the launcher has given up on this worker.
 *
 * Caller must take its snapshot afterwards. Locks: ret_shared->lock.
 */
bool
ret_round_begin(int slot, uint32 generation)
{
	RetWorkerSlot *me = &ret_shared->workers[slot];
	RetDatabase *entry;
	bool		mine;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	mine = me->generation == generation && me->state == RET_SLOT_STARTING;
	if (mine)
	{
		me->state = RET_SLOT_RUNNING;
		my_round_is_exact = works_alone(slot);
		entry = hash_search(ret_databases, &me->database, HASH_FIND, NULL);
		if (entry != NULL)
		{
			entry->next_due = DT_NOEND;
			entry->heard = DT_NOEND;
			my_round = ++entry->round;
		}
	}
	LWLockRelease(ret_shared->lock);
	return mine;
}

/*
 * Whether no other worker of this slot's database has begun its look.
 */
static bool
works_alone(int slot)
{
	Oid			database = ret_shared->workers[slot].database;

	for (int i = 0; i < RET_WORKER_SLOTS; i++)
		if (i != slot && ret_shared->workers[i].database == database &&
			ret_shared->workers[i].state == RET_SLOT_RUNNING)
			return false;
	return true;
}

/*
 * Says when work other than the caller's own is due in this database;
 * DT_NOEND when none is. From a backend that is no worker it can only bring
 * the next look forward.
 *
 * What a worker says holds exactly as long as it is the only one to have
 * looked. When several do, each may have looked before another one changed
 * what is due, so the earliest of what they say holds until the next look:
 * at worst a worker starts and finds nothing.
 *
 * Locks: ret_shared->lock.
 */
void
ret_publish_next_due(TimestampTz due)
{
	RetDatabase *entry;

	if (ret_shared == NULL)
		return;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	entry = hash_search(ret_databases, &MyDatabaseId, HASH_FIND, NULL);
	if (entry != NULL)
	{
		if (my_round_is_exact && entry->round == my_round)
			entry->next_due = due;
		else
			entry->next_due = Min(entry->next_due, due);
	}
	ret_wake_launcher();
	LWLockRelease(ret_shared->lock);
}

/*
 * Without this, a database with much to do would keep all workers for
 * itself. False in a backend that is no worker: it holds no slot.
 */
bool
ret_worker_should_yield(void)
{
	bool		waits;

	if (!ret_worker_is_me())
		return false;

	LWLockAcquire(ret_shared->lock, LW_SHARED);
	waits = ret_shared->database_waits;
	LWLockRelease(ret_shared->lock);
	return waits;
}

/*
 * Whether the clock has jumped and nobody has said since that it is right.
 * False without shared memory, as nobody watches the clock then.
 */
bool
ret_clock_is_suspended(void)
{
	bool		suspended;

	if (ret_shared == NULL)
		return false;

	LWLockAcquire(ret_shared->lock, LW_SHARED);
	suspended = ret_shared->clock_suspended_since != DT_NOBEGIN;
	LWLockRelease(ret_shared->lock);
	return suspended;
}

/*
 * Shows a run of this process. When every slot is taken, the run is not
 * shown; the other ret_progress_* do nothing then.
 */
void
ret_progress_begin(int64 run_id, const char *policy, Oid relation)
{
	RetProgress fresh = {0};

	if (ret_shared == NULL)
		return;

	fresh.pid = MyProcPid;
	fresh.database = MyDatabaseId;
	fresh.run_id = run_id;
	fresh.relation = relation;
	fresh.started_at = ret_now();
	copy_text(fresh.policy, sizeof(fresh.policy), policy);

	LWLockAcquire(ret_shared->progress_lock, LW_EXCLUSIVE);
	if (my_progress == NULL)
		my_progress = claim_progress();
	if (my_progress != NULL)
		*my_progress = fresh;
	LWLockRelease(ret_shared->progress_lock);
}

/*
 * A free slot, NULL when there is none. It is freed when this process exits,
 * if not before.
 */
static RetProgress *
claim_progress(void)
{
	static bool registered = false;

	if (!registered)
	{
		before_shmem_exit(release_progress, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < RET_PROGRESS_SLOTS; i++)
		if (ret_shared->progress[i].pid == 0)
			return &ret_shared->progress[i];
	return NULL;
}

static void
release_progress(int code, Datum arg)
{
	ret_progress_end();
}

/*
 * The run goes on to another table or partition.
 */
void
ret_progress_leaf(Oid leaf, const char *phase, int64 blocks_total)
{
	if (my_progress == NULL)
		return;

	LWLockAcquire(ret_shared->progress_lock, LW_EXCLUSIVE);
	my_progress->leaf = leaf;
	my_progress->blocks_done = 0;
	my_progress->blocks_total = blocks_total;
	copy_text(my_progress->phase, sizeof(my_progress->phase), phase);
	my_progress->waiting_for[0] = '\0';
	LWLockRelease(ret_shared->progress_lock);
}

/*
 * A batch has committed.
 */
void
ret_progress_batch(int64 rows, int64 blocked, int64 batches,
				   int64 blocks_done)
{
	if (my_progress == NULL)
		return;

	LWLockAcquire(ret_shared->progress_lock, LW_EXCLUSIVE);
	my_progress->rows = rows;
	my_progress->blocked = blocked;
	my_progress->batches = batches;
	my_progress->blocks_done = blocks_done;
	my_progress->waiting_for[0] = '\0';
	LWLockRelease(ret_shared->progress_lock);
}

/*
 * The run waits for something between batches; NULL: it goes on.
 */
void
ret_progress_waiting(const char *cause)
{
	if (my_progress == NULL)
		return;

	LWLockAcquire(ret_shared->progress_lock, LW_EXCLUSIVE);
	copy_text(my_progress->waiting_for, sizeof(my_progress->waiting_for),
			  cause);
	LWLockRelease(ret_shared->progress_lock);
}

/*
 * The run is over; may be called when none is shown.
 */
void
ret_progress_end(void)
{
	if (my_progress == NULL)
		return;

	LWLockAcquire(ret_shared->progress_lock, LW_EXCLUSIVE);
	my_progress->pid = 0;
	my_progress = NULL;
	LWLockRelease(ret_shared->progress_lock);
}

/*
 * Copies what fits, never half a character. NULL becomes ''.
 */
static void
copy_text(char *to, Size size, const char *from)
{
	int			length = 0;

	if (from != NULL)
		length = pg_mbcliplen(from, strlen(from), size - 1);
	memcpy(to, from != NULL ? from : "", length);
	to[length] = '\0';
}

/*
 * retention._progress(): the runs in this database whose relation the caller
 * may look at. Formats a copy, as that may raise errors.
 */
Datum
retention_progress(PG_FUNCTION_ARGS)
{
	RetProgress *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (ret_shared == NULL)
		PG_RETURN_NULL();

	copy = palloc(sizeof(ret_shared->progress));
	LWLockAcquire(ret_shared->progress_lock, LW_SHARED);
	memcpy(copy, ret_shared->progress, sizeof(ret_shared->progress));
	LWLockRelease(ret_shared->progress_lock);

	for (int i = 0; i < RET_PROGRESS_SLOTS; i++)
		if (copy[i].pid != 0 && copy[i].database == MyDatabaseId &&
			ret_may_read(copy[i].relation))
			put_progress((ReturnSetInfo *) fcinfo->resultinfo, &copy[i]);
	PG_RETURN_NULL();
}

/*
 * One row, in the order of the columns in sql/install/20_policies.sql.
 */
static void
put_progress(ReturnSetInfo *result, const RetProgress *progress)
{
	Datum		values[PROGRESS_COLUMNS];
	bool		nulls[PROGRESS_COLUMNS] = {0};
	int			n = 0;

	values[n++] = Int32GetDatum(progress->pid);
	values[n++] = ObjectIdGetDatum(progress->database);
	values[n++] = Int64GetDatum(progress->run_id);
	values[n++] = CStringGetTextDatum(progress->policy);
	values[n++] = ObjectIdGetDatum(progress->relation);
	nulls[n] = !OidIsValid(progress->leaf);
	values[n++] = ObjectIdGetDatum(progress->leaf);
	nulls[n] = progress->phase[0] == '\0';
	values[n++] = CStringGetTextDatum(progress->phase);
	values[n++] = Int64GetDatum(progress->rows);
	values[n++] = Int64GetDatum(progress->blocked);
	values[n++] = Int64GetDatum(progress->batches);
	values[n++] = Int64GetDatum(progress->blocks_done);
	values[n++] = Int64GetDatum(progress->blocks_total);
	values[n++] = TimestampTzGetDatum(progress->started_at);
	nulls[n] = progress->waiting_for[0] == '\0';
	values[n++] = CStringGetTextDatum(progress->waiting_for);
	Assert(n == PROGRESS_COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * retention._processes(): how the background processes are.
 */
Datum
retention_processes(PG_FUNCTION_ARGS)
{
	Datum		values[PROCESSES_COLUMNS] = {0};
	bool		nulls[PROCESSES_COLUMNS];
	TupleDesc	descriptor;
	TimestampTz exhausted_since = DT_NOBEGIN;
	TimestampTz suspended_since = DT_NOBEGIN;
	Interval	jump = {0};
	pid_t		launcher_pid = 0;
	int			workers = 0;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (ret_shmem_is_available())
	{
		LWLockAcquire(ret_shared->lock, LW_SHARED);
		launcher_pid = ret_shared->launcher_pid;
		for (int i = 0; i < RET_WORKER_SLOTS; i++)
			if (ret_shared->workers[i].state != RET_SLOT_FREE)
				workers++;
		exhausted_since = ret_shared->slots_exhausted_since;
		suspended_since = ret_shared->clock_suspended_since;
		jump.time = ret_shared->clock_jump;
		LWLockRelease(ret_shared->lock);
	}

	memset(nulls, false, sizeof(nulls));
	values[0] = BoolGetDatum(ret_shmem_is_available());
	values[1] = BoolGetDatum(ret_enabled);
	values[2] = Int32GetDatum(launcher_pid);
	nulls[2] = launcher_pid == 0;
	values[3] = Int32GetDatum(workers);
	values[4] = TimestampTzGetDatum(exhausted_since);
	nulls[4] = exhausted_since == DT_NOBEGIN;
	values[5] = TimestampTzGetDatum(suspended_since);
	nulls[5] = suspended_since == DT_NOBEGIN;
	values[6] = IntervalPGetDatum(&jump);
	nulls[6] = suspended_since == DT_NOBEGIN;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
											 values, nulls));
}

/*
 * retention._wake(): at commit, the launcher looks at this database.
 */
Datum
retention_wake(PG_FUNCTION_ARGS)
{
	ret_notify_due_at_commit(ret_now());
	PG_RETURN_VOID();
}
