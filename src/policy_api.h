/*
 * policy_api.h
 *
 * Changes of policies.
 */
#ifndef RET_POLICY_API_H
#define RET_POLICY_API_H

#include "fmgr.h"
#include "policy.h"

extern void ret_require_arg(FunctionCallInfo fcinfo, int n, const char *name);
extern char *ret_policy_zone(const char *given);
extern RetPolicy *ret_policy_load_for_change(const char *name);
extern void ret_policy_drop(RetPolicy *policy);
extern void ret_policy_follow_rename(RetPolicy *policy, Relation rel,
									 List *renames);

#endif							/* RET_POLICY_API_H */
