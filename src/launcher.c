/*
 * launcher.c
 *
 * One process for the whole cluster, connected to no database, that sleeps on
 * its latch and starts a worker in each database where something is due, the
 * oldest deadline first. It also watches the system clock.
 *
 * A tick of it: learn the databases, look at the clock, reap the workers that
 * have ended, start new ones. It is woken by commits that change policies, by
 * workers that come to an end or find more work (shmem.c), by SIGHUP, and
 * when the next deadline has come.
 *
 * An error ends the process with exit code 1, and the postmaster starts
 * another one, which takes over the worker slots as they are.
 *
 * Locks: ret_shared->lock, for the time of one step. Only this process makes
 * a slot STARTING or FREE, and only it deletes entries of databases.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "schedule.h"
#include "shmem.h"
#include "worker.h"

#define LAUNCHER_RESTART_S		5

/* Back-off of a database whose workers end badly. */
#define RETRY_MS				1000
#define LONGEST_RETRY_MS		60000

/*
 * A worker that an earlier launcher registered and that has not come up by
 * then is given up. It notices, by the generation of its slot.
 */
#define START_TIMEOUT_MS		60000

/* What DROP DATABASE leaves in datconnlimit when it is interrupted. */
#define DATCONNLIMIT_INVALID	(-2)

PGDLLEXPORT void retention_launcher_main(Datum main_arg);

/*
 * By slot: the workers that this launcher registered, in TopMemoryContext
 * until they have stopped. NULL: the slot is free, or older than we are.
 */
static BackgroundWorkerHandle *handles[RET_WORKER_SLOTS];

static void attach_launcher(void);
static void detach_launcher(int code, Datum arg);
static void serve_interrupts(void);
static long tick(void);
static List *load_databases(void);
static bool is_eligible(Form_pg_database database);
static void update_entries(List *databases, TimestampTz now);
static void reap_workers(TimestampTz now);
static bool has_stopped(int slot, TimestampTz now);
static void free_slot(int slot, TimestampTz now);
static void start_workers(List *databases, TimestampTz now);
static int	count_workers(Oid database, RetSlotState state);
static void note_waiting(TimestampTz now);
static Oid	choose_database(TimestampTz now, bool with_worker);
static Oid	choose_unlisted(List *databases);
static bool start_worker(Oid database, TimestampTz now);
static int	reserve_slot(Oid database, TimestampTz now, uint32 *generation);
static bool register_worker(int slot, Oid database, uint32 generation);
static void note_slots(bool exhausted, TimestampTz now);
static long time_to_sleep(TimestampTz now);

/*
 * Registers the launcher. Called from _PG_init while the postmaster loads
 * its libraries.
 */
void
ret_launcher_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_name, "retention launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "retention launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "retention", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "retention_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/*
 * Entry point. Never exits with 0, as the postmaster would not start it
 * again.
 */
void
retention_launcher_main(Datum main_arg)
{
	MemoryContext tick_context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	attach_launcher();

	tick_context = AllocSetContextCreate(TopMemoryContext, "retention tick",
										 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long		milliseconds;

		MemoryContextSwitchTo(tick_context);
		milliseconds = tick();
		MemoryContextReset(tick_context);

		(void) ret_wait(milliseconds);
		serve_interrupts();
	}
}

static void
attach_launcher(void)
{
	before_shmem_exit(detach_launcher, (Datum) 0);

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	ret_shared->launcher_pid = MyProcPid;
	ret_shared->launcher_latch = &MyProc->procLatch;
	LWLockRelease(ret_shared->lock);
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	if (ret_shared->launcher_pid == MyProcPid)
	{
		ret_shared->launcher_pid = 0;
		ret_shared->launcher_latch = NULL;
	}
	LWLockRelease(ret_shared->lock);
}

static void
serve_interrupts(void)
{
	/* Here the end is nobody's fault; anywhere else it is FATAL. */
	if (ProcDiePending)
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * One pass. Returns for how many milliseconds to sleep.
 */
static long
tick(void)
{
	TimestampTz now;
	List	   *databases;

	databases = load_databases();

	now = ret_now();
	update_entries(databases, now);
	ret_clock_watch(now);
	reap_workers(now);
	if (ret_enabled && !ret_clock_is_suspended())
	{
		start_workers(databases, now);
		note_waiting(now);
	}
	return time_to_sleep(now);
}

/*
 * The OIDs of the databases that a worker may connect to, in the memory
 * context of the caller.
 */
static List *
load_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!is_eligible(database))
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);

	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

static bool
is_eligible(Form_pg_database database)
{
	return !database->datistemplate && database->datallowconn &&
		database->datconnlimit != DATCONNLIMIT_INVALID;
}

/*
 * Makes the entries of databases match this list: what is new is looked at
 * at once, what is gone is forgotten.
 */
static void
update_entries(List *databases, TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	RetDatabase *entry;
	ListCell   *cell;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);

	hash_seq_init(&scan, ret_databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->seen = false;

	foreach(cell, databases)
	{
		bool		found;

		entry = ret_database_enter(lfirst_oid(cell), &found);
		if (entry == NULL)
			continue;			/* no room: see choose_unlisted */
		entry->seen = true;
		if (!found)
			entry->next_due = now;
	}

	/* A scan allows the removal of the entry it has just returned. */
	hash_seq_init(&scan, ret_databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (!entry->seen)
			hash_search(ret_databases, &entry->database, HASH_REMOVE, NULL);

	LWLockRelease(ret_shared->lock);
}

/*
 * Frees the slots of workers that are gone.
 */
static void
reap_workers(TimestampTz now)
{
	for (int slot = 0; slot < RET_WORKER_SLOTS; slot++)
	{
		if (!has_stopped(slot, now))
			continue;

		free_slot(slot, now);
		if (handles[slot] != NULL)
			pfree(handles[slot]);
		handles[slot] = NULL;
	}
}

/*
 * Whether the slot is in use and its process is not there (any more). The
 * state is read without the lock: only we make a slot free, and to see it
 * END a moment late does no harm.
 */
static bool
has_stopped(int slot, TimestampTz now)
{
	RetWorkerSlot *worker = &ret_shared->workers[slot];
	pid_t		pid;

	if (worker->state == RET_SLOT_FREE)
		return false;
	if (handles[slot] != NULL)
		return GetBackgroundWorkerPid(handles[slot], &pid) == BGWH_STOPPED;

	/* Registered by a launcher before this one. */
	if (worker->state == RET_SLOT_ENDED)
		return true;
	if (worker->pid != 0)
		return BackendPidGetProc(worker->pid) == NULL;
	return TimestampDifferenceExceeds(worker->started_at, now,
									  START_TIMEOUT_MS);
}

/*
 * Takes note of how the worker ended. What it had taken to do is due again
 * when it did not end as it should.
 */
static void
free_slot(int slot, TimestampTz now)
{
	RetWorkerSlot *worker = &ret_shared->workers[slot];
	RetDatabase *entry;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	entry = hash_search(ret_databases, &worker->database, HASH_FIND, NULL);
	if (entry != NULL && worker->clean)
	{
		entry->failures = 0;
		entry->retry_at = DT_NOBEGIN;
	}
	else if (entry != NULL)
	{
		int64		delay = ret_backoff_ms(entry->failures++, RETRY_MS,
										   LONGEST_RETRY_MS);

		entry->retry_at = TimestampTzPlusMilliseconds(now, delay);
		entry->next_due = Min(entry->next_due, now);
	}
	worker->state = RET_SLOT_FREE;
	worker->pid = 0;
	worker->generation++;
	LWLockRelease(ret_shared->lock);
}

/*
 * Starts workers until nothing is due, or there may be no more of them.
 * Databases that are not in shared memory come last, one in each tick.
 */
static void
start_workers(List *databases, TimestampTz now)
{
	int			left = ret_max_workers -
		(RET_WORKER_SLOTS - count_workers(InvalidOid, RET_SLOT_FREE));
	bool		started = false;

	while (left-- > 0)
	{
		Oid			database = choose_database(now, false);
		bool		is_extra = false;

		if (!OidIsValid(database))
		{
			database = choose_database(now, true);
			is_extra = OidIsValid(database);
		}
		if (!OidIsValid(database))
		{
			database = choose_unlisted(databases);
			left = 0;
		}
		if (!OidIsValid(database))
		{
			/* nobody waits for a slot */
			started = true;
			break;
		}

		if (!start_worker(database, now))
		{
			/* a database that has a worker is served, if slowly */
			if (!is_extra)
				note_slots(true, now);
			return;
		}
		started = true;
	}
	if (started)
		note_slots(false, now);
}

/*
 * How many slots are in this state; those of one database, or of all when it
 * is InvalidOid. Reads without the lock, so others may change meanwhile from
 * STARTING to RUNNING to ENDED.
 */
static int
count_workers(Oid database, RetSlotState state)
{
	int			count = 0;

	for (int i = 0; i < RET_WORKER_SLOTS; i++)
		if (ret_shared->workers[i].state == state &&
			(!OidIsValid(database) ||
			 ret_shared->workers[i].database == database))
			count++;
	return count;
}

/*
 * Lets workers know whether a database without one waits for them.
 */
static void
note_waiting(TimestampTz now)
{
	bool		waits = OidIsValid(choose_database(now, false));

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	ret_shared->database_waits = waits;
	LWLockRelease(ret_shared->lock);
}

/*
 * The database that has waited longest, of those that are due and have no
 * worker, or of those that have one which has said that more is due.
 * InvalidOid when there is none.
 */
static Oid
choose_database(TimestampTz now, bool with_worker)
{
	Oid			chosen = InvalidOid;
	TimestampTz oldest = DT_NOEND;
	HASH_SEQ_STATUS scan;
	RetDatabase *entry;

	LWLockAcquire(ret_shared->lock, LW_SHARED);
	hash_seq_init(&scan, ret_databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		TimestampTz due = ret_database_due(entry);
		int			running;

		if (due > now || due >= oldest)
			continue;

		/* Until a worker has looked, what is due there is still its work. */
		if (count_workers(entry->database, RET_SLOT_STARTING) > 0)
			continue;
		running = count_workers(entry->database, RET_SLOT_RUNNING);
		if ((running > 0) != with_worker)
			continue;
		chosen = entry->database;
		oldest = due;
	}
	LWLockRelease(ret_shared->lock);
	return chosen;
}

/*
 * The databases for which shared memory has no room take turns.
 */
static Oid
choose_unlisted(List *databases)
{
	static Oid	last = InvalidOid;
	Oid			next = InvalidOid;
	Oid			first = InvalidOid;
	ListCell   *cell;

	LWLockAcquire(ret_shared->lock, LW_SHARED);
	foreach(cell, databases)
	{
		Oid			database = lfirst_oid(cell);

		if (hash_search(ret_databases, &database, HASH_FIND, NULL) != NULL)
			continue;
		if (!OidIsValid(first) || database < first)
			first = database;
		if (database > last && (!OidIsValid(next) || database < next))
			next = database;
	}
	LWLockRelease(ret_shared->lock);

	last = OidIsValid(next) ? next : first;
	return last;
}

/*
 * False when the server has no room for another worker.
 */
static bool
start_worker(Oid database, TimestampTz now)
{
	uint32		generation;
	int			slot = reserve_slot(database, now, &generation);
	bool		registered;

	if (slot < 0)
		return false;

	registered = register_worker(slot, database, generation);
	if (!registered)
	{
		LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
		ret_shared->workers[slot].state = RET_SLOT_FREE;
		LWLockRelease(ret_shared->lock);
	}
	return registered;
}

/*
 * The number of a slot for a worker of this database, -1 when none is free.
 */
static int
reserve_slot(Oid database, TimestampTz now, uint32 *generation)
{
	int			slot = 0;
	RetWorkerSlot *worker;

	while (slot < RET_WORKER_SLOTS &&
		   ret_shared->workers[slot].state != RET_SLOT_FREE)
		slot++;
	if (slot == RET_WORKER_SLOTS)
		return -1;

	worker = &ret_shared->workers[slot];
	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	worker->state = RET_SLOT_STARTING;
	worker->database = database;
	worker->started_at = now;
	worker->pid = 0;
	worker->clean = false;
	*generation = ++worker->generation;
	LWLockRelease(ret_shared->lock);
	return slot;
}

static bool
register_worker(int slot, Oid database, uint32 generation)
{
	BackgroundWorker worker = {0};
	RetWorkerArgs args = {0};
	MemoryContext old;
	bool		registered;

	args.database = database;
	args.generation = generation;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(slot);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &args, sizeof(args));
	snprintf(worker.bgw_name, BGW_MAXLEN,
			 "retention worker for database %u", database);
	strlcpy(worker.bgw_type, "retention worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "retention", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "retention_worker_main", BGW_MAXLEN);

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handles[slot]);
	MemoryContextSwitchTo(old);
	if (!registered)
		handles[slot] = NULL;
	return registered;
}

/*
 * That the server has no room for a worker is no failure: what is due stays
 * due. It is logged once, until all workers of a tick could be started.
 */
static void
note_slots(bool exhausted, TimestampTz now)
{
	bool		exhausted_before;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	exhausted_before = ret_shared->slots_exhausted_since != DT_NOBEGIN;
	if (exhausted != exhausted_before)
		ret_shared->slots_exhausted_since = exhausted ? now : DT_NOBEGIN;
	LWLockRelease(ret_shared->lock);

	if (exhausted && !exhausted_before)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker slot is free for a retention worker"),
				 errhint("Consider increasing the configuration parameter \"max_worker_processes\".")));
}

/*
 * Until the next deadline, but no longer than retention.naptime. What is due
 * already waits for a worker to end, which wakes us, or for the next tick.
 */
static long
time_to_sleep(TimestampTz now)
{
	long		sleep = ret_naptime * 1000L;
	HASH_SEQ_STATUS scan;
	RetDatabase *entry;

	LWLockAcquire(ret_shared->lock, LW_SHARED);
	hash_seq_init(&scan, ret_databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		TimestampTz due = ret_database_due(entry);

		if (due > now && due != DT_NOEND)
			sleep = Min(sleep, TimestampDifferenceMilliseconds(now, due));
	}
	LWLockRelease(ret_shared->lock);

	/* Never spin, whatever the clock does. */
	return Max(sleep, 1);
}
