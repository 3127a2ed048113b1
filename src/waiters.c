/*-------------------------------------------------------------------------
 *
 * waiters.c
 *		Whether somebody waits for the rows of a batch.
 *
 * A batch that somebody waits for ends early: nobody waits for the rest of
 * it, and nobody waits so long that the server looks for a deadlock, of which
 * it would make the one who looks the victim.
 *
 * A timer says when to look, so that a row costs no more than the reading of
 * a flag.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lock.h"
#include "utils/timeout.h"
#include "waiters.h"

/* between two looks */
#define LOOK_MS 20

static TimeoutId timer = MAX_TIMEOUTS;
static volatile sig_atomic_t time_to_look = false;

static void
handle_timer(void)
{
	time_to_look = true;
}

/*
 * Begins to watch. A look that is due when nobody asks any more is harmless.
 */
void
ret_waiters_watch(void)
{
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, handle_timer);
	time_to_look = false;
	enable_timeout_after(timer, LOOK_MS);
}

/*
 * Whether somebody has come since ret_waiters_watch() who waits for rows that
 * the present (sub)transaction changed. Somebody who came just now is seen a
 * little later.
 */
bool
ret_waiters_came(void)
{
	TransactionId xid;
	LOCKTAG		tag;

	if (!time_to_look)
		return false;
	time_to_look = false;
	enable_timeout_after(timer, LOOK_MS);

	xid = GetCurrentTransactionIdIfAny();
	if (!TransactionIdIsValid(xid))
		return false;
	SET_LOCKTAG_TRANSACTION(tag, xid);
	return LockHasWaiters(&tag, ExclusiveLock, false);
}
