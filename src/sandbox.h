/*
 * sandbox.h
 *
 * Acting as another user, and coming back.
 */
#ifndef RET_SANDBOX_H
#define RET_SANDBOX_H

typedef struct RetUser
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
	bool		makes_pseudonyms;
} RetUser;

extern void ret_become_owner(RetUser *saved, Oid owner, const char *zone);
extern void ret_become_extension(RetUser *saved);
extern void ret_become_self(RetUser *saved);
extern void ret_restore_user(const RetUser *saved);
extern void ret_set_guc(const char *name, const char *value);
extern void ret_constraints_immediate(void);

#endif							/* RET_SANDBOX_H */
