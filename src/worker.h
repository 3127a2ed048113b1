/*
 * worker.h
 *
 * The process that runs what is due in one database.
 */
#ifndef RET_WORKER_H
#define RET_WORKER_H

/* What the launcher hands to a worker, in bgw_extra. */
typedef struct RetWorkerArgs
{
	Oid			database;
	uint32		generation;		/* of the slot, which is in bgw_main_arg */
} RetWorkerArgs;

extern bool ret_worker_is_me(void);
extern void ret_worker_reload(void);

#endif							/* RET_WORKER_H */
