/*
 * tagging.h
 *
 * Columns are tagged as personal data.
 */
#ifndef RET_TAGGING_H
#define RET_TAGGING_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

/* What is said about a column; see tag_pii(). */
typedef struct RetTag
{
	Relation	rel;
	const char *column;
	const char *category;
	const char *method;
	Datum		params;			/* jsonb */
	bool		no_params;
	Interval   *after;
	char	   *clock;			/* NULL: the only one there is */
	char	   *filter;			/* or NULL */
} RetTag;

extern char *ret_pii_tag(RetTag *tag);
extern void ret_pii_untag(Relation rel, const char *column);

#endif							/* RET_TAGGING_H */
