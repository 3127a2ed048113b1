/*
 * trash_scrub.h
 *
 * Personal data of rows in the trash is replaced.
 */
#ifndef RET_TRASH_SCRUB_H
#define RET_TRASH_SCRUB_H

#include "policy.h"
#include "run.h"

extern void ret_trash_scrub_run(RetRun *run);
extern void ret_trash_scrub_deletion(int64 deletion_id);
extern int64 ret_trash_scrub_condition(Relation rel, RetPolicy *policy,
									   int64 parent_id, const char *reason,
									   bool count_only);
extern bool ret_trash_is_scrubbed(void);

#endif							/* RET_TRASH_SCRUB_H */
