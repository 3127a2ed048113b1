/*
 * subxact.h
 *
 * Something that may fail, in a subtransaction.
 */
#ifndef RET_SUBXACT_H
#define RET_SUBXACT_H

#include "utils/elog.h"
#include "utils/palloc.h"

extern ErrorData *ret_try(void (*body) (void *arg), void *arg, bool keep,
						  MemoryContext context);

#endif							/* RET_SUBXACT_H */
