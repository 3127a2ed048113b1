/*
 * catalog.h
 *
 * The extension itself: is it here, who owns it, who may do what.
 */
#ifndef RET_CATALOG_H
#define RET_CATALOG_H

#include "query.h"
#include "storage/lock.h"

extern Oid	ret_extension_owner(void);
extern Oid	ret_own_relid(const char *name);
extern bool ret_extension_is_usable(void);
extern bool ret_is_admin(void);
extern bool ret_may_read(Oid relid);
extern bool ret_user_governs(Oid user, Oid owner);
extern void ret_check_may_govern(Oid relid);
extern char *ret_relation_name(Oid relid);
extern char *ret_ask_about(Oid relid, const char *function);
extern int32 ret_register(Oid relid);
extern Oid	ret_registered_relid(int32 relation_id);
extern void ret_identity_check(void);
extern const char *ret_query_identity(RetQuery *query);
extern void ret_governance_lock(Oid relid, bool exclusive);
extern void ret_deletion_lock(int64 deletion_id);
extern void ret_purge_lock(int32 relation_id, bool exclusive);
extern bool ret_policy_lock(int32 policy_id, bool session, LOCKTAG *tag);
extern void ret_policy_unlock(const LOCKTAG *tag);

#endif							/* RET_CATALOG_H */
