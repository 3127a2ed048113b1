/*
 * links.h
 *
 * References that ON DELETE SET NULL or SET DEFAULT took away.
 */
#ifndef RET_LINKS_H
#define RET_LINKS_H

#include "chunk.h"
#include "commands/trigger.h"

/* Rows that refer to what a command deletes. */
typedef struct RetLinks RetLinks;

extern RetLinks *ret_links_add(RetLinks *links, TriggerData *trigger,
							   MemoryContext context);
extern void ret_links_write(RetLinks *links, const RetTrashWriter *parent);
extern void ret_links_restore(int64 deletion_id);

#endif							/* RET_LINKS_H */
