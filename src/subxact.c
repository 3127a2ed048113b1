/*
 * subxact.c
 *
 * Something that may fail, in a subtransaction: what the server does for a
 * block with EXCEPTION in PL/pgSQL.
 */
#include "postgres.h"

#include "access/xact.h"
#include "subxact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * Calls "body". Returns NULL when it succeeded, and then keeps what it did if
 * "keep" says so. Otherwise nothing is left of it but the error, which is
 * returned in "context". Memory context and resource owner are the caller's
 * when the body begins, and afterwards.
 */
ErrorData *
ret_try(void (*body) (void *arg), void *arg, bool keep, MemoryContext context)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		body(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}
