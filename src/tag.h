/*
 * tag.h
 *
 * Columns that are tagged as personal data.
 */
#ifndef RET_TAG_H
#define RET_TAG_H

#include "policy.h"

/* A column that a policy scrubs: SQL over the row RET_ROW. */
typedef struct RetScrub
{
	char	   *column;
	char	   *value;			/* what takes its place */
	char	   *needs;			/* a condition: it holds something else */
} RetScrub;

extern List *ret_tags_of_policy(int32 policy_id);
extern List *ret_tags_of_table(Oid relid);
extern void ret_tags_load(RetPolicy *policy);
extern char *ret_tags_needs(RetPolicy *policy);

#endif							/* RET_TAG_H */
