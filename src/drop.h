/*
 * drop.h
 *
 * DROP of tables with a trash.
 */
#ifndef RET_DROP_H
#define RET_DROP_H

extern void ret_drop_init(void);

#endif							/* RET_DROP_H */
