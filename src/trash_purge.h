/*
 * trash_purge.h
 *
 * Rows whose time in the trash is over.
 */
#ifndef RET_TRASH_PURGE_H
#define RET_TRASH_PURGE_H

#include "datatype/timestamp.h"
#include "run.h"

extern TimestampTz ret_trash_round(RetRun *run);

#endif							/* RET_TRASH_PURGE_H */
