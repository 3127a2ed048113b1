/*
 * conflict.h
 *
 * Present rows that are in the way of a restore.
 */
#ifndef RET_CONFLICT_H
#define RET_CONFLICT_H

extern void ret_conflict_remove(Oid relid);

#endif							/* RET_CONFLICT_H */
