/*
 * capture.h
 *
 * Deleted rows into the trash.
 */
#ifndef RET_CAPTURE_H
#define RET_CAPTURE_H

#include "nodes/pg_list.h"
#include "utils/palloc.h"
#include "record.h"

/* What a batch of a policy tells the triggers that its statement fires. */
typedef struct RetCaptureBatch
{
	RetRecord	record;			/* run, policy, cutoff of what is captured */
	int32		relation_id;	/* the policy's table */
	bool		bypass;			/* its rows are to go at once */
	MemoryContext context;		/* of the result */
	List	   *captured;		/* result: RetCaptured */
} RetCaptureBatch;

typedef struct RetCaptured
{
	Oid			relid;
	int64		rows;
	int64		deletion_id;
} RetCaptured;

extern void ret_capture_begin_batch(RetCaptureBatch *batch);
extern void ret_capture_end_batch(void);

#endif							/* RET_CAPTURE_H */
