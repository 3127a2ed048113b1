/*
 * guc.h
 *
 * The settings of the extension. Defined in guc.c, described in
 * doc/reference.md.
 */
#ifndef RET_GUC_H
#define RET_GUC_H

extern bool ret_enabled;		/* reload; off: workers start nothing */
extern int	ret_naptime;		/* s; longest sleep of the launcher */
extern int	ret_max_workers;	/* workers at a time, all databases */
extern int	ret_batch_target;	/* ms; the time a batch aims at */
extern int	ret_batch_rows;		/* rows; never more in a batch */
extern int	ret_batch_timeout;	/* ms; a batch of a worker is cancelled */
extern int	ret_max_clock_step; /* s; a larger jump suspends purging */
extern char *ret_zone;			/* for policies made without a zone */
extern char *ret_admin_role;	/* governs all; '' none */
extern char *ret_auditor_role;	/* reads all; '' none */
extern char *ret_reason;		/* session; goes into deletion records */

extern void ret_guc_init(void);

#endif							/* RET_GUC_H */
