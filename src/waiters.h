/*
 * waiters.h
 *
 * Whether somebody waits for the rows of a batch.
 */
#ifndef RET_WAITERS_H
#define RET_WAITERS_H

extern void ret_waiters_watch(void);
extern bool ret_waiters_came(void);

#endif							/* RET_WAITERS_H */
