/*
 * clock.c
 *
 * The only place that reads the clock or sleeps, so that tests can replace
 * the time of day: builds with assertions have the setting
 * retention.test_now, which stands still until it is set again. Sleeps and
 * the monotonic clock are always real.
 *
 * The clock guard is here too. The launcher calls it at each of its ticks;
 * its state is in shared memory, so it outlives the launcher.
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "catalog.h"
#include "clock.h"
#include "guc.h"
#include "shmem.h"

/*
 * The time that goes on while the machine is suspended, where there is one:
 * the wall clock goes on too then, and the clock guard compares the two.
 */
#ifdef CLOCK_BOOTTIME
#define RET_MONOTONIC_CLOCK		CLOCK_BOOTTIME
#else
#define RET_MONOTONIC_CLOCK		CLOCK_MONOTONIC
#endif

/*
 * Beyond such a step the deadlines of databases mean nothing: after one back,
 * they would lie in a far future. Less is within the usual probes.
 */
#define FORGET_DEADLINES_S		60

#ifdef USE_ASSERT_CHECKING

static char *test_now = NULL;

static TimestampTz
parse_test_now(const char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

/* Raises what timestamptz_in raises; good enough for a test build. */
static bool
check_test_now(char **newval, void **extra, GucSource source)
{
	if (**newval != '\0')
		(void) parse_test_now(*newval);
	return true;
}

#endif							/* USE_ASSERT_CHECKING */

static int64 note_clock_step(TimestampTz now, int64 monotonic);
static bool is_beyond(int64 step, int seconds);

PG_FUNCTION_INFO_V1(retention_accept_clock);
PG_FUNCTION_INFO_V1(retention_now);

/*
 * Called once, when the library is loaded.
 */
void
ret_clock_init(void)
{
#ifdef USE_ASSERT_CHECKING
	DefineCustomStringVariable("retention.test_now",
							   "Replaces the time of day in tests.",
							   "When empty, the system clock is read.",
							   &test_now, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_test_now, NULL, NULL);
#endif
}

/*
 * The time of day now, not that of the start of the transaction.
 */
TimestampTz
ret_now(void)
{
#ifdef USE_ASSERT_CHECKING
	if (test_now != NULL && test_now[0] != '\0')
		return parse_test_now(test_now);
#endif
	return GetCurrentTimestamp();
}

/*
 * Milliseconds since some moment in the past; nobody can set this clock.
 */
int64
ret_monotonic_ms(void)
{
	struct timespec now;

	if (clock_gettime(RET_MONOTONIC_CLOCK, &now) != 0)
		elog(ERROR, "could not read the monotonic clock: %m");
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Sleeps for so many milliseconds, whatever else sets the latch meanwhile.
 * Interrupts are served at once: errors are those of CHECK_FOR_INTERRUPTS().
 */
void
ret_sleep(long milliseconds)
{
	int64		end = ret_monotonic_ms() + milliseconds;

	for (;;)
	{
		int64		left;

		CHECK_FOR_INTERRUPTS();
		left = end - ret_monotonic_ms();
		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * Waits until the latch of this process is set or so many milliseconds are
 * over, and resets the latch. Returns whether it was set. Caller must serve
 * interrupts and look for what it was woken for afterwards.
 */
bool
ret_wait(long milliseconds)
{
	int			events;

	events = WaitLatch(MyLatch,
					   WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					   milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	return (events & WL_LATCH_SET) != 0;
}

/*
 * The clock guard: suspends purging when the system clock has jumped since
 * the last look. To a clock that is wrong by a year, a year's rows are due.
 *
 * Caller is the launcher. Locks: ret_shared->lock.
 */
void
ret_clock_watch(TimestampTz now)
{
	int64		step = note_clock_step(now, ret_monotonic_ms());

	if (step != 0)
		ereport(LOG,
				(errmsg("the system clock jumped by " INT64_FORMAT " s; purging is suspended",
						step / USECS_PER_SEC),
				 errhint("Check the time, then run SELECT retention.accept_clock().")));
}

/*
 * Compares how far the clock has moved since the last look with how much
 * time has passed. Returns the difference, in microseconds, when it newly
 * suspends purging, 0 otherwise.
 */
static int64
note_clock_step(TimestampTz now, int64 monotonic)
{
	bool		suspended_before;
	int64		step = 0;

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	if (ret_shared->clock_wall != DT_NOBEGIN)
		step = (now - ret_shared->clock_wall) -
			(monotonic - ret_shared->clock_monotonic) * 1000;
	ret_shared->clock_wall = now;
	ret_shared->clock_monotonic = monotonic;

	if (is_beyond(step, FORGET_DEADLINES_S))
		ret_databases_look_again(now);
	if (ret_max_clock_step == 0 || !is_beyond(step, ret_max_clock_step))
		step = 0;

	suspended_before = ret_shared->clock_suspended_since != DT_NOBEGIN;
	if (step != 0)
	{
		ret_shared->clock_jump += step;
		if (!suspended_before)
			ret_shared->clock_suspended_since = now;
	}
	LWLockRelease(ret_shared->lock);
	return suspended_before ? 0 : step;
}

static bool
is_beyond(int64 step, int seconds)
{
	return step > seconds * USECS_PER_SEC || step < -seconds * USECS_PER_SEC;
}

/*
 * retention.accept_clock(): an administrator says that the clock is right.
 * Errors: insufficient_privilege, object_not_in_prerequisite_state.
 */
Datum
retention_accept_clock(PG_FUNCTION_ARGS)
{
	if (!superuser() && !ret_is_admin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to accept the clock"),
				 errhint("Only superusers and members of the role that \"retention.admin_role\" names may do this.")));
	if (!ret_shmem_is_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the clock is not watched, as the library is not preloaded"),
				 errhint("Add \"retention\" to \"shared_preload_libraries\" and restart the server.")));

	LWLockAcquire(ret_shared->lock, LW_EXCLUSIVE);
	ret_shared->clock_wall = DT_NOBEGIN;
	ret_shared->clock_suspended_since = DT_NOBEGIN;
	ret_shared->clock_jump = 0;
	ret_wake_launcher();
	LWLockRelease(ret_shared->lock);
	PG_RETURN_VOID();
}

/*
 * retention._now()
 */
Datum
retention_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ret_now());
}
