/*
 * tag.h
 *
 * Columns that are tagged as personal data.
 */
#ifndef RET_TAG_H
#define RET_TAG_H

#include "policy.h"
#include "query.h"

#define RET_SCRUB_DEAREST 4

/* A column that a policy scrubs: SQL over the row RET_ROW. */
typedef struct RetScrub
{
	char	   *column;
	char	   *value;			/* what takes its place */
	char	   *needs;			/* a condition: it holds something else */
	int			cost;			/* of the condition, 0 to RET_SCRUB_DEAREST */
	bool		is_own;			/* no function of the user's */
} RetScrub;

extern List *ret_tags_of_table(Oid relid, int32 policy_id);
extern void ret_tags_load(RetPolicy *policy);
extern char *ret_tags_needs(RetPolicy *policy);
extern char *ret_tags_needs_again(RetPolicy *policy, bool has_trigger);
extern List *ret_tags_columns(const RetPolicy *policy);
extern void ret_tags_add_update(RetQuery *query, const RetPolicy *policy,
								const char *leaf);

#endif							/* RET_TAG_H */
