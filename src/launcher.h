/*
 * launcher.h
 *
 * The process that starts workers where something is due.
 */
#ifndef RET_LAUNCHER_H
#define RET_LAUNCHER_H

extern void ret_launcher_init(void);

#endif							/* RET_LAUNCHER_H */
