/*
 * retention.c
 *
 * Where the server enters the library. Loaded by shared_preload_libraries it
 * has shared memory and background processes, and sees every DROP; loaded by
 * the first call of one of its functions it sees those of this session only.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "clock.h"
#include "compat.h"
#include "drop.h"
#include "guc.h"
#include "label.h"
#include "launcher.h"
#include "shmem.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "retention",.version = RETENTION_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	ret_guc_init();
	ret_clock_init();
	ret_drop_init();
	ret_label_init();

	/* After the last setting: this throws away what is not defined. */
	MarkGUCPrefixReserved("retention");

	/* Nothing may be purged while pg_upgrade looks at the cluster. */
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		ret_shmem_init();
		ret_launcher_init();
	}
}
