/*
 * policy_define.h
 *
 * What a policy says, understood against its table.
 */
#ifndef RET_POLICY_DEFINE_H
#define RET_POLICY_DEFINE_H

#include "policy.h"

extern void ret_policy_check_table(Relation rel);
extern void ret_policy_define(RetPolicy *policy, Relation rel,
							  const char *clock, const char *filter);
extern void ret_policy_accept_cascades(RetPolicy *policy);
extern void ret_policy_lock_out_batches(RetPolicy *policy);
extern void ret_policy_create(RetPolicy *policy, Relation rel);

#endif							/* RET_POLICY_DEFINE_H */
