/*
 * cron.h
 *
 * Policies in the hands of pg_cron.
 */
#ifndef RET_CRON_H
#define RET_CRON_H

#include "policy.h"

extern void ret_cron_unschedule(RetPolicy *policy);

#endif							/* RET_CRON_H */
