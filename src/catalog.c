/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		The extension itself: is it here, who owns it, who may do what.
 *
 * Also the two heavyweight locks that the extension takes on things of its
 * own. They are object locks on its policy table, which no SQL command can
 * take in their stead, unlike advisory locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "query.h"
#include "relation.h"
#include "sandbox.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(retention_sees);
PG_FUNCTION_INFO_V1(retention_identity);
PG_FUNCTION_INFO_V1(retention_qualified_name);
PG_FUNCTION_INFO_V1(retention_append_only);

/*
 * Reads the owner and the version of the extension; false when it is not in
 * this database.
 */
static bool
read_extension(Oid *owner, char **version)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("retention"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		datum = heap_getattr(tuple,
										 Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		*version = TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/*
 * The owner of the extension. Errors when the extension is not here.
 */
Oid
ret_extension_owner(void)
{
	Oid			owner;
	char	   *version;

	if (!read_extension(&owner, &version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"retention\" is not in this database")));
	return owner;
}

/*
 * Whether the extension is in this database, in the version that this library
 * serves. Locks it against DROP and UPDATE until the transaction ends.
 */
bool
ret_extension_is_usable(void)
{
	Oid			extension = get_extension_oid("retention", true);
	Oid			owner;
	char	   *version;

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid("retention", true) == extension &&
		read_extension(&owner, &version) &&
		strcmp(version, RETENTION_VERSION) == 0;
}

/*
 * Whether the current user is in the role that a setting names; the empty
 * name and an unknown role have no members.
 */
static bool
is_in_role(const char *name)
{
	Oid			role;

	if (name == NULL || *name == '\0')
		return false;
	role = get_role_oid(name, true);
	return OidIsValid(role) && has_privs_of_role(GetUserId(), role);
}

/*
 * Whether the current user governs all relations.
 */
bool
ret_is_admin(void)
{
	return superuser() || is_in_role(ret_admin_role);
}

/*
 * Whether the current user may look at what concerns a relation. InvalidOid,
 * or a relation that is gone, asks for what concerns all.
 */
bool
ret_may_read(Oid relid)
{
	Oid			owner;

	if (ret_is_admin() || is_in_role(ret_auditor_role))
		return true;
	owner = ret_relation_owner(relid);
	return OidIsValid(owner) && has_privs_of_role(GetUserId(), owner);
}

/*
 * Whether a user may decide about the rows of what a role owns.
 */
bool
ret_user_governs(Oid user, Oid owner)
{
	Oid			admin = ret_admin_role && *ret_admin_role ?
		get_role_oid(ret_admin_role, true) : InvalidOid;

	return superuser_arg(user) ||
		(OidIsValid(owner) && has_privs_of_role(user, owner)) ||
		(OidIsValid(admin) && has_privs_of_role(user, admin));
}

/*
 * Errors unless the current user may decide about the rows of a relation.
 */
void
ret_check_may_govern(Oid relid)
{
	Oid			owner = ret_relation_owner(relid);

	if (!ret_user_governs(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\"",
						OidIsValid(owner) ? get_rel_name(relid) : "?"),
				 errhint("Ask its owner, or become a member of the role in \"retention.admin_role\".")));
}

/*
 * Asks one of the extension's own functions, of a regclass, about a relation.
 * Returns its answer as text, NULL when it is null. Connects to SPI.
 */
char *
ret_ask_about(Oid relid, const char *function)
{
	MemoryContext caller = CurrentMemoryContext;
	RetUser		saved;
	RetQuery	query;
	char	   *answer;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query, "SELECT retention.%s(%s)", function,
				  ret_query_param(&query, REGCLASSOID,
								  ObjectIdGetDatum(relid)));
	ret_query_run(&query, false, 0, NULL);
	answer = ret_result_text(0, 1);
	if (answer)
		answer = MemoryContextStrdup(caller, answer);
	ret_restore_user(&saved);
	SPI_finish();
	return answer;
}

/*
 * Finds or makes the entry of a relation in retention.relation and brings its
 * name up to date. Returns its id. Connects to SPI.
 */
int32
ret_register(Oid relid)
{
	RetUser		saved;
	RetQuery	query;
	const char *reloid;
	const char *name;
	int32		relation_id;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	reloid = ret_query_param(&query, REGCLASSOID, ObjectIdGetDatum(relid));
	name = ret_query_text(&query, ret_relation_name(relid));
	ret_query_add(&query,
				  "SELECT relation_id::bigint FROM retention.relation"
				  " WHERE reloid = %s AND name = %s", reloid, name);
	if (ret_query_run(&query, false, 0, NULL) == 0)
	{
		resetStringInfo(&query.sql);
		ret_query_add(&query,
					  "INSERT INTO retention.relation AS r (reloid, name, identity)"
					  " VALUES (%s, %s, %s)"
					  " ON CONFLICT (reloid) DO UPDATE SET name = excluded.name"
					  " RETURNING relation_id::bigint",
					  reloid, name, ret_query_identity(&query));
		ret_query_run(&query, false, 0, NULL);
	}
	relation_id = (int32) ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	return relation_id;
}

/*
 * The relation of an entry of retention.relation; InvalidOid when it is gone.
 * Connects to SPI.
 */
Oid
ret_registered_relid(int32 relation_id)
{
	RetUser		saved;
	RetQuery	query;
	Oid			relid = InvalidOid;

	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ret_query_add(&query,
				  "SELECT reloid::oid::bigint FROM retention.relation"
				  " WHERE relation_id = %s AND identity = %s",
				  ret_query_param(&query, INT4OID, Int32GetDatum(relation_id)),
				  ret_query_identity(&query));
	if (ret_query_run(&query, true, 0, NULL) > 0)
		relid = (Oid) ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	return relid;
}

/*
 * Notices policies and relations that come from another database: from a dump
 * restored here, or through pg_upgrade. Relations whose name is another now
 * are forgotten, and every such policy waits until somebody looked at it: who
 * restores a backup to get rows back does not want them purged at once. Also
 * forgets relations that were dropped.
 *
 * Does nothing where it cannot write. Connects to SPI itself.
 */
void
ret_identity_check(void)
{
	RetUser		saved;
	RetQuery	query;
	const char *ours;
	bool		has_dropped;

	if (XactReadOnly || RecoveryInProgress())
		return;
	SPI_connect();
	ret_become_extension(&saved);
	ret_query_init(&query);
	ours = ret_query_identity(&query);
	ret_query_add(&query,
				  "SELECT (EXISTS (SELECT FROM retention.policy WHERE identity <> %s)"
				  " OR EXISTS (SELECT FROM retention.relation WHERE identity <> %s)"
				  " OR EXISTS (SELECT FROM retention.shape WHERE identity <> %s))::int::int8,"
				  " (EXISTS (SELECT FROM retention.relation r WHERE reloid IS NOT NULL"
				  " AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.reloid)))::int::int8",
				  ours, ours, ours);
	ret_query_run(&query, false, 0, NULL);
	has_dropped = ret_result_int8(0, 2) != 0;
	if (ret_result_int8(0, 1) != 0)
	{
		resetStringInfo(&query.sql);
		ret_query_add(&query, "SELECT retention._adopt(%s)::int8", ours);
		ret_query_run(&query, false, 0, NULL);
		if (ret_result_int8(0, 1) > 0)
			ereport(WARNING,
					(errmsg("policies were restored from another database and are paused"),
					 errhint("Look at retention.policies, then call retention.resume_policy() for each that shall run.")));
	}
	if (has_dropped)
		SPI_execute("SELECT retention._forget_dropped()", false, 0);
	ret_restore_user(&saved);
	SPI_finish();
}

static char *
identity(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

/*
 * Adds a parameter that says which database this is.
 */
const char *
ret_query_identity(RetQuery *query)
{
	return ret_query_text(query, identity());
}

/*
 * retention._identity()
 */
Datum
retention_identity(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(identity()));
}

/*
 * One of the extension's own relations; InvalidOid when it is not there.
 */
Oid
ret_own_relid(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("retention", false));
}

static void
lock_tag(LOCKTAG *tag, uint32 object, uint16 subobject)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ret_own_relid("policy"), object,
					   subobject);
}

/*
 * The lock between the batches on a table (shared, on it and on all that it is
 * a part of) and whoever protects its rows (exclusive, on the table that the
 * protection is on): a protection that is committed is obeyed by every batch
 * that begins after, and none that began before is still going on. Held to
 * the end of the transaction.
 */
void
ret_governance_lock(Oid relid, bool exclusive)
{
	LOCKTAG		tag;

	lock_tag(&tag, relid, 1);
	(void) LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock,
					   false, false);
}

/*
 * At exit: a process that ends between two transactions would leave its
 * session locks behind, for only the end of a transaction releases them.
 */
static void
release_session_locks(int code, Datum arg)
{
	LockReleaseAll(DEFAULT_LOCKMETHOD, true);
}

/*
 * Takes the lock of whoever runs a policy; false when it is running. A session
 * lock survives the transactions of the run, and dies with the process. The
 * tag is for ret_policy_unlock(): by then the extension may be gone.
 */
bool
ret_policy_lock(int32 policy_id, bool session, LOCKTAG *tag)
{
	static bool is_registered = false;

	if (session && !is_registered)
	{
		on_shmem_exit(release_session_locks, (Datum) 0);
		is_registered = true;
	}
	lock_tag(tag, (uint32) policy_id, 0);
	return LockAcquire(tag, ExclusiveLock, session, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Releases a session lock of ret_policy_lock(). Caller must be in a
 * transaction.
 */
void
ret_policy_unlock(const LOCKTAG *tag)
{
	LockRelease(tag, ExclusiveLock, true);
}

/*
 * The lock of whoever restores rows of a command, until the transaction ends.
 * The id is that of its first record.
 */
void
ret_deletion_lock(int64 deletion_id)
{
	LOCKTAG		tag;

	lock_tag(&tag, (uint32) deletion_id, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * The lock on the trash of a table between restores (shared) and who purges or
 * scrubs single rows there (exclusive), until the transaction ends. Rows on
 * their way into the trash need none.
 */
void
ret_purge_lock(int32 relation_id, bool exclusive)
{
	LOCKTAG		tag;

	lock_tag(&tag, (uint32) relation_id, 3);
	(void) LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false,
					   false);
}

/*
 * retention._sees(relation)
 */
Datum
retention_sees(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ret_may_read(PG_ARGISNULL(0) ? InvalidOid :
								PG_GETARG_OID(0)));
}

/*
 * retention._qualified_name(relation)
 */
Datum
retention_qualified_name(PG_FUNCTION_ARGS)
{
	char	   *name = ret_relation_name(PG_GETARG_OID(0));

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * Trigger: refuses UPDATE, DELETE and TRUNCATE.
 */
Datum
retention_append_only(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the records of retention can only be added to")));
}
