/*
 * shmem.h
 *
 * Shared memory: what the launcher knows of each database, the worker slots,
 * and the progress of runs. All of it needs the library preloaded; without
 * it the calls below do nothing.
 */
#ifndef RET_SHMEM_H
#define RET_SHMEM_H

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

extern void ret_shmem_init(void);
extern bool ret_shmem_is_available(void);

/*
 * Progress of the run of this process; the engine calls these. Numbers are
 * totals of the run so far, blocks those of the leaf. A begin while a run of
 * this process is still shown (its end was never told) replaces it.
 */
extern void ret_progress_begin(int64 run_id, const char *policy, Oid relation);
extern void ret_progress_leaf(Oid leaf, const char *phase,
							  int64 blocks_total);
extern void ret_progress_batch(int64 rows, int64 blocked, int64 batches,
							   int64 blocks_done);
extern void ret_progress_waiting(const char *cause);	/* NULL: no more */
extern void ret_progress_end(void);

/*
 * When work in this database is due; policy changes call this, and so does
 * the transaction that ends a run and writes the policy's next one.
 */
extern void ret_notify_due_at_commit(TimestampTz due);

/*
 * What a worker found: nothing but its own work is due in this database
 * before this moment. The engine calls it before each run, and the worker at
 * its end.
 */
extern void ret_publish_next_due(TimestampTz due);

/*
 * Whether another database is due and has to wait for a worker. A worker asks
 * between its runs, and then leaves the rest of what is due here for later.
 */
extern bool ret_worker_should_yield(void);

/* The clock guard. */
extern bool ret_clock_is_suspended(void);

/*
 * The rest is for launcher.c and worker.c.
 */

#define RET_WORKER_SLOTS		64
#define RET_PROGRESS_SLOTS		128
#define RET_MAX_DATABASES		1024

/*
 * The life of a worker slot. The launcher makes it STARTING and FREE, the
 * worker RUNNING and ENDED.
 */
typedef enum RetSlotState
{
	RET_SLOT_FREE,
	RET_SLOT_STARTING,			/* registered; has not looked for work yet */
	RET_SLOT_RUNNING,			/* has taken what was due, and works */
	RET_SLOT_ENDED				/* the process is going; to be reaped */
} RetSlotState;

typedef struct RetWorkerSlot
{
	RetSlotState state;
	uint32		generation;		/* launcher: tells its uses apart */
	Oid			database;		/* launcher */
	TimestampTz started_at;		/* launcher: when it was registered */
	pid_t		pid;			/* worker; 0 until it has come up */
	bool		clean;			/* worker: it ended as it should */
} RetWorkerSlot;

/*
 * A database, in a hash table by its OID. It is looked at when the earlier
 * of next_due and heard has come, but not before retry_at.
 *
 * The two are apart so that no wake is lost: a worker clears both before it
 * looks at the policies, so a commit before that is seen by its snapshot, and
 * one after it stays in heard whatever the worker publishes.
 */
typedef struct RetDatabase
{
	Oid			database;		/* key */
	bool		seen;			/* launcher, inside one pass */
	int			failures;		/* launcher: bad ends in a row */
	TimestampTz retry_at;		/* launcher: end of the back-off */
	TimestampTz next_due;		/* worker; launcher: new database, bad end */
	TimestampTz heard;			/* committing backends */
	uint32		round;			/* worker: counts the looks */
} RetDatabase;

/* A run that is going on; written by the process that runs it. */
typedef struct RetProgress
{
	pid_t		pid;			/* 0: free */
	Oid			database;
	int64		run_id;
	Oid			relation;
	Oid			leaf;
	int64		rows;
	int64		blocked;
	int64		batches;
	int64		blocks_done;
	int64		blocks_total;
	TimestampTz started_at;
	char		policy[2 * NAMEDATALEN];
	char		phase[32];
	char		waiting_for[96];
} RetProgress;

typedef struct RetShared
{
	/* Set once, when shared memory is made. */
	LWLock	   *lock;			/* for all below and the databases, but: */
	LWLock	   *progress_lock;	/* for progress[] */

	/* The launcher writes these when it comes and goes. */
	pid_t		launcher_pid;	/* 0: there is none */
	Latch	   *launcher_latch; /* NULL: there is none */

	/* The launcher, and retention.accept_clock() to clear them. */
	TimestampTz clock_wall;		/* at the last look; DT_NOBEGIN: none yet */
	int64		clock_monotonic;	/* ms, at the same moment */
	TimestampTz clock_suspended_since;	/* DT_NOBEGIN: it is not */
	int64		clock_jump;		/* us; sum of the jumps since then */

	/* The launcher. */
	TimestampTz slots_exhausted_since;	/* DT_NOBEGIN: they are not */
	bool		database_waits; /* one is due, and no worker could start */

	RetWorkerSlot workers[RET_WORKER_SLOTS];
	RetProgress progress[RET_PROGRESS_SLOTS];
} RetShared;

extern RetShared *ret_shared;	/* NULL: the library is not preloaded */
extern HTAB *ret_databases;		/* of RetDatabase */

extern RetDatabase *ret_database_enter(Oid database, bool *found);
extern TimestampTz ret_database_due(const RetDatabase *database);
extern void ret_databases_look_again(TimestampTz now);
extern void ret_wake_launcher(void);
extern bool ret_round_begin(int slot, uint32 generation);

#endif							/* RET_SHMEM_H */
