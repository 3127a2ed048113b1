/*-------------------------------------------------------------------------
 *
 * sandbox.c
 *		Acting as another user, and coming back.
 *
 * Statements on user tables run code of the table's owner: triggers, index
 * expressions, checks, policies, operators. They are planned and executed
 * only between ret_become_owner() and ret_restore_user(): as the owner, in a
 * security-restricted operation, under settings that nobody else chose.
 * SET ROLE or a security context without the restriction would not do: the
 * owner's trigger could switch back, or wait for COMMIT.
 *
 * Statements on the extension's own tables run between
 * ret_become_extension() and ret_restore_user(), because the caller has no
 * rights there.
 *
 * An error needs no clean-up: the end of the (sub)transaction restores user
 * and settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog.h"
#include "executor/spi.h"
#include "method.h"
#include "miscadmin.h"
#include "sandbox.h"
#include "utils/guc.h"

/*
 * Sets a setting until the innermost GUC nest level ends.
 */
void
ret_set_guc(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
become(RetUser *saved, Oid userid, int flags)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->guc_level = NewGUCNestLevel();
	saved->makes_pseudonyms = ret_pseudonyms_are_allowed();
	SetUserIdAndSecContext(userid, saved->sec_context | flags);
	ret_set_guc("search_path", "pg_catalog, pg_temp");
	/* text that is printed by one session is parsed by another */
	ret_set_guc("standard_conforming_strings", "on");
	ret_set_guc("quote_all_identifiers", "off");
}

/*
 * Becomes the owner of a table. Dates and months are reckoned in the zone;
 * NULL leaves the zone as it is.
 */
void
ret_become_owner(RetUser *saved, Oid owner, const char *zone)
{
	become(saved, owner,
		   SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	/* statements of a scrub policy do */
	ret_pseudonyms_allow(true);
	ret_set_guc("row_security", "off");
	ret_set_guc("session_replication_role", "origin");
	ret_set_guc("DateStyle", "ISO, YMD");
	ret_set_guc("IntervalStyle", "postgres");
	ret_set_guc("extra_float_digits", "3");
	ret_set_guc("bytea_output", "hex");
	ret_set_guc("lc_monetary", "C");
	ret_set_guc("lc_numeric", "C");
	ret_set_guc("lc_time", "C");
	ret_set_guc("xmloption", "content");
	ret_set_guc("default_text_search_config", "pg_catalog.simple");
	ret_set_guc("array_nulls", "on");
	ret_set_guc("transform_null_equals", "off");
	ret_set_guc("enable_tidscan", "on");
	ret_set_guc("synchronize_seqscans", "off");
	ret_set_guc("jit", "off");
	ret_set_guc("max_parallel_workers_per_gather", "0");
	if (zone)
		ret_set_guc("TimeZone", zone);
}

/*
 * Becomes the owner of the extension, for its own tables.
 */
void
ret_become_extension(RetUser *saved)
{
	become(saved, ret_extension_owner(), SECURITY_LOCAL_USERID_CHANGE);
	ret_set_guc("row_security", "off");
	/* what is logged as jsonb reads the same whoever caused it */
	ret_set_guc("DateStyle", "ISO, YMD");
	ret_set_guc("IntervalStyle", "postgres");
	ret_set_guc("TimeZone", "UTC");
}

/*
 * Stays who one is, with a search_path that nobody else chose.
 */
void
ret_become_self(RetUser *saved)
{
	become(saved, GetUserId(), 0);
}

/*
 * Puts back the user and the settings of the matching ret_become_*().
 */
void
ret_restore_user(const RetUser *saved)
{
	ret_pseudonyms_allow(saved->makes_pseudonyms);
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/*
 * Fires now what is deferred, and lets nothing be deferred from here to the
 * end of the transaction: at COMMIT it would fire outside of the sandbox.
 * Caller must be connected to SPI, and not yet in the sandbox.
 */
void
ret_constraints_immediate(void)
{
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) < 0)
		elog(ERROR, "could not make constraints immediate");
}
