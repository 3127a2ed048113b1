/*
 * json_path.h
 *
 * Paths in documents, and which of them lead to a member.
 */
#ifndef RET_JSON_PATH_H
#define RET_JSON_PATH_H

#include "utils/array.h"

#define RET_MAX_JSON_PATHS 64

typedef struct RetJsonPaths RetJsonPaths;

/* A value in a document: does a path end here, and which lead further. */
typedef struct RetJsonPlace
{
	bool		is_end;
	uint64		paths;
} RetJsonPlace;

/* A member of an object, or without a key of an array. */
typedef struct RetJsonMember
{
	const char *key;
	int			len;
	bool		is_written;		/* with escapes, as between quotes in json */
	int			index;
} RetJsonMember;

extern RetJsonPaths *ret_json_paths(ArrayType *paths);
extern bool ret_json_paths_are_none(const RetJsonPaths *paths);
extern RetJsonPlace ret_json_top(const RetJsonPaths *paths);
extern RetJsonPlace ret_json_step(const RetJsonPaths *paths, uint64 leading,
								  int depth, const RetJsonMember *member);

#endif							/* RET_JSON_PATH_H */
