/*
 * detect.h
 *
 * Columns that are looked at for personal data.
 */
#ifndef RET_DETECT_H
#define RET_DETECT_H

#include "nodes/pg_list.h"
#include "pii_score.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

typedef struct RetJsonSample RetJsonSample;

typedef struct RetPiiColumn
{
	int			num;
	char	   *name;
	Oid			type;			/* below all domains */
	int32		typmod;
	RetPiiKind	kind;
	bool		is_array;		/* of texts; looked at as a JSON array */
	bool		not_null;
	bool		has_default;
	bool		is_unique;		/* alone or with others */
	bool		refers;			/* in a foreign key of the table */
	bool		is_referred_to; /* in one of another */
	RetNameSense sense;
	RetPiiValues *values;		/* of a sample; of JSON in "json" */
	RetJsonSample *json;
	List	   *paths;			/* of JSON: the findings that may be shown */
	RetFinding	finding;
} RetPiiColumn;

/* detect_columns.c */
extern List *ret_detect_columns(Relation rel);
extern const char *ret_detect_clock(Relation rel);

/* detect_sample.c */
extern void ret_detect_sample(Relation rel, List *columns, int sample,
							  bool with_json);

/* detect_json.c */
extern RetJsonSample *ret_json_sample_make(int max);
extern void ret_json_sample_add(RetJsonSample *sample, Jsonb *document);
extern RetFinding ret_json_judge(RetPiiColumn *column,
								 const RetTableSense *table);

/* detect_suggest.c */
extern char *ret_detect_suggest(Oid relid, const RetPiiColumn *column,
								const char *clock);

#endif							/* RET_DETECT_H */
