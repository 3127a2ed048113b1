/*
 * guc.c
 *
 * The settings of the extension, all of them named retention.*. The launcher
 * and the workers read them again on SIGHUP.
 */
#include "postgres.h"

#include <limits.h>

#include "pgtime.h"
#include "utils/guc.h"

#include "guc.h"

bool		ret_enabled = true;
int			ret_naptime = 10;
int			ret_max_workers = 2;
int			ret_batch_target = 250;
int			ret_batch_rows = 100000;
int			ret_batch_timeout = 60000;
int			ret_max_clock_step = 300;
char	   *ret_zone = NULL;
char	   *ret_admin_role = NULL;
char	   *ret_auditor_role = NULL;
char	   *ret_reason = NULL;

static void init_worker_settings(void);
static void init_batch_settings(void);
static void init_role_settings(void);
static void init_policy_settings(void);
static bool check_zone(char **newval, void **extra, GucSource source);

/*
 * Defines the settings. Called once, when the library is loaded.
 */
void
ret_guc_init(void)
{
	init_worker_settings();
	init_batch_settings();
	init_role_settings();
	init_policy_settings();
}

static void
init_worker_settings(void)
{
	DefineCustomBoolVariable("retention.enabled",
							 "Lets background workers run policies.",
							 "When off, workers start nothing; calls by hand still work.",
							 &ret_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("retention.naptime",
							"Sets the longest sleep of the launcher.",
							"The launcher looks for new databases and for a changed clock at least this often.",
							&ret_naptime, 10, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("retention.max_workers",
							"Sets how many background workers run policies at a time.",
							"This counts the workers of all databases, and they are taken from max_worker_processes.",
							&ret_max_workers, 2, 0, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("retention.max_clock_step",
							"Sets how far the system clock may jump before purging is suspended.",
							"A larger jump, in either direction, suspends background purging until retention.accept_clock() is called. 0 turns this guard off.",
							&ret_max_clock_step, 300, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
init_batch_settings(void)
{
	DefineCustomIntVariable("retention.batch_target",
							"Sets the time that one batch aims at.",
							"The size of batches adapts to it. Each batch is a transaction of its own.",
							&ret_batch_target, 250, 10, 10000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("retention.batch_rows",
							"Sets the largest number of rows in one batch.",
							"A batch stays below it however fast it is.",
							&ret_batch_rows, 100000, 1, 1000000,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("retention.batch_timeout",
							"Sets the time after which a batch of a worker is cancelled.",
							"It does in a background worker what statement_timeout does in a session. 0 turns it off.",
							&ret_batch_timeout, 60000, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
init_role_settings(void)
{
	DefineCustomStringVariable("retention.admin_role",
							   "Names a role whose members govern all policies.",
							   "Without it, the owner of a table governs its policies, and nobody but superusers all of them.",
							   &ret_admin_role, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("retention.auditor_role",
							   "Names a role whose members may look at everything that retention records.",
							   "Without it, a role sees what concerns the tables it owns.",
							   &ret_auditor_role, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
init_policy_settings(void)
{
	DefineCustomStringVariable("retention.zone",
							   "Sets the time zone of policies that are made without one.",
							   "When empty, a policy takes the time zone of the session that makes it.",
							   &ret_zone, "",
							   PGC_USERSET, 0, check_zone, NULL, NULL);

	DefineCustomStringVariable("retention.reason",
							   "Sets the reason that deletions of this session are recorded with.",
							   NULL,
							   &ret_reason, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
}

/*
 * An unknown zone would only show when a policy uses it.
 */
static bool
check_zone(char **newval, void **extra, GucSource source)
{
	pg_tz	   *zone;

	if (**newval == '\0')
		return true;

	zone = pg_tzset(*newval);
	if (zone == NULL)
	{
		GUC_check_errdetail("Time zone \"%s\" is not known.", *newval);
		return false;
	}
	if (!pg_tz_acceptable(zone))
	{
		GUC_check_errdetail("Time zone \"%s\" appears to use leap seconds.",
							*newval);
		return false;
	}
	return true;
}
