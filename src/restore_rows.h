/*
 * restore_rows.h
 *
 * Rows from the trash into their tables.
 */
#ifndef RET_RESTORE_ROWS_H
#define RET_RESTORE_ROWS_H

#include "nodes/pg_list.h"
#include "restoring.h"
#include "rowmap.h"
#include "trash_view.h"

typedef enum RetOnConflict
{
	RET_ON_CONFLICT_ERROR,
	RET_ON_CONFLICT_SKIP,
	RET_ON_CONFLICT_REPLACE
} RetOnConflict;

/* Pieces that follow each other and are of one table and one shape. */
typedef struct RetRowGroup
{
	Oid			relid;
	Oid			owner;
	RetRowMap  *map;
	RetSight   *sight;			/* NULL: the caller governs the table */
	char	   *insert;			/* the statement */
	int			first_piece;
	int			npieces;
} RetRowGroup;

typedef struct RetRestore
{
	MemoryContext context;
	RetOnConflict on_conflict;
	bool		dry_run;
	int64		deletion_id;
	RetPiece   *pieces;
	int			npieces;
	int64		nrows;
	List	   *groups;
	char	  **conflicts;		/* by row: why not; NULL: it goes. Else NULL */
	bool	   *is_conflict;	/* by row: it is because of a present row */
} RetRestore;

extern void ret_restore_find_groups(RetRestore *restore);
extern bool ret_restore_stays(RetRestore *restore, int64 number);
extern ErrorData *ret_restore_try(RetRestore *restore,
								  void (*body) (void *arg), void *arg,
								  bool keep);
extern char *ret_restore_text_of(const ErrorData *error);
extern bool ret_restore_is_conflict(const ErrorData *error);
extern void ret_restore_look(RetRestore *restore);
extern void ret_restore_rows(void *restore);
extern void ret_restore_put_links(void *restore);

#endif							/* RET_RESTORE_ROWS_H */
