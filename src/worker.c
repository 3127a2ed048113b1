/*
 * worker.c
 *
 * A worker: connects to one database, runs every policy that is due there,
 * says when the next one is, and exits. A process that stayed connected would
 * block DROP DATABASE and its like, and a new one carries no state over.
 *
 * The launcher registers it (launcher.c) with its slot and database. It never
 * restarts by itself: how it ended is in its slot, and the launcher decides.
 * An error that gets here is left to the server's handler for background
 * workers, which logs it and exits with 1. SIGTERM is served within a
 * statement or wait like in any backend.
 *
 * Locks: ret_shared->lock for the slot; those of the engine.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "engine.h"
#include "shmem.h"
#include "worker.h"

/*
 * When a database is looked at again although nobody has called. CREATE
 * EXTENSION and every change of a policy call, so without the extension this
 * is only for what comes in unheard (a restored directory, a prepared
 * transaction), and with it for the same and for policies changed by hand.
 */
#define PROBE_WITHOUT_EXTENSION_MS	(10 * 60 * 1000)
#define PROBE_WITH_EXTENSION_MS		(5 * 60 * 1000)

/*
 * However much is due already: what a round has left over, another process
 * works on or could not be done.
 */
#define SHORTEST_GAP_MS				1000

PGDLLEXPORT void retention_worker_main(Datum main_arg);

static int	my_slot = -1;
static uint32 my_generation;

static bool claim_slot(int slot, const RetWorkerArgs *args);
static void leave_slot(int code, Datum arg);
static void fix_settings(void);
static TimestampTz do_round(void);
static bool extension_is_usable(void);
static void end_cleanly(TimestampTz next_due);

/*
 * Whether this process is a worker of ours.
 */
bool
ret_worker_is_me(void)
{
	return my_slot >= 0;
}

/*
 * Entry point. main_arg is the number of the worker slot.
 */
void
retention_worker_main(Datum main_arg)
{
	RetWorkerArgs args;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGTERM, die);

	if (!claim_slot(DatumGetInt32(main_arg), &args))
		proc_exit(0);

	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	fix_settings();

	if (!ret_round_begin(my_slot, my_generation))
		proc_exit(0);
	end_cleanly(do_round());
	proc_exit(0);
}

/*
 * Puts this process into the slot that the launcher keeps for it. False when
 * the launcher has given the slot up meanwhile.
 */
static bool
claim_slot(int slot, const RetWorkerArgs *args)
{
	RetWorkerSlot *me = &ret_shared->workers[slot];
	bool		mine;

	before_shmem_exit(leave_slot, (Datum) 0);

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	mine = me->state == RET_SLOT_STARTING &&
		me->generation == args->generation;
	if (mine)
	{
		me->pid = MyProcPid;
		my_slot = slot;
		my_generation = args->generation;
	}
	LWLockRelease(ret_shared->lock);
	return mine;
}

/*
 * Tells the launcher at exit that the slot may be reaped. By then the
 * transaction, if there was one, has been aborted.
 */
static void
leave_slot(int code, Datum arg)
{
	RetWorkerSlot *me;

	if (my_slot < 0)
		return;

	me = &ret_shared->workers[my_slot];
	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	if (me->generation == my_generation)
	{
		me->state = RET_SLOT_ENDED;
		ret_wake_launcher();
	}
	LWLockRelease(ret_shared->lock);
}

/*
 * Sets what must not depend on postgresql.conf, nor on ALTER DATABASE or ALTER
 * ROLE: these settings decide what a batch does and sees, and what the
 * records of it look like.
 */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"application_name", "retention worker"},
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "origin"},
		{"row_security", "off"},
		{"zero_damaged_pages", "off"},

		/* The engine sets its own. */
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 170000
		{"transaction_timeout", "0"},
#endif
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},

		/* How values are read and written. */
		{"TimeZone", "UTC"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"quote_all_identifiers", "off"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"array_nulls", "on"},

		/* Many short statements, beside the work of others. */
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1],
						PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Runs what is due. Returns when this database is to be looked at next.
 */
static TimestampTz
do_round(void)
{
	TimestampTz next;
	TimestampTz now;

	pgstat_report_activity(STATE_RUNNING, "looking for due policies");
	if (!extension_is_usable())
		return TimestampTzPlusMilliseconds(ret_now(),
										   PROBE_WITHOUT_EXTENSION_MS);

	ret_engine_recover(RET_XACT_WORKER);
	next = ret_engine_run_due(RET_XACT_WORKER);

	now = ret_now();
	next = Max(next, TimestampTzPlusMilliseconds(now, SHORTEST_GAP_MS));
	return Min(next, TimestampTzPlusMilliseconds(now,
												 PROBE_WITH_EXTENSION_MS));
}

/*
 * Whether there is anything for us in this database. On a standby there is
 * not: workers are not started there, but one must never write.
 */
static bool
extension_is_usable(void)
{
	bool		usable;

	if (RecoveryInProgress())
		return false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	usable = ret_extension_is_usable();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return usable;
}

/*
 * The last thing a good worker does: only now does its slot say so.
 */
static void
end_cleanly(TimestampTz next_due)
{
	ret_publish_next_due(next_due);

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	if (ret_shared->workers[my_slot].generation == my_generation)
		ret_shared->workers[my_slot].clean = true;
	LWLockRelease(ret_shared->lock);
}

/*
 * In a worker, takes over settings that were reloaded. Caller must be between
 * two steps of a run.
 */
void
ret_worker_reload(void)
{
	if (!ret_worker_is_me() || !ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}
