/*
 * subject_link.h
 *
 * Which columns hold the keys of persons.
 */
#ifndef RET_SUBJECT_LINK_H
#define RET_SUBJECT_LINK_H

#include "nodes/pg_list.h"

extern int32 ret_subject_find(const char *subject);
extern List *ret_subject_owners(const char *subject);

#endif							/* RET_SUBJECT_LINK_H */
