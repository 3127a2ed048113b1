/*
 * width.c
 *
 * Full-width and half-width forms as one: what people in Japan type with one
 * keyboard state or the other means the same.
 */
#include "postgres.h"

#include "common/unicode_norm.h"
#include "mb/pg_wchar.h"
#include "width.h"

/*
 * A text in the database's encoding, palloc'd and NUL-terminated, with digits,
 * Latin letters and punctuation as half-width and kana as full-width forms
 * (Unicode NFKC). In databases that are not UTF-8, and where nothing is beyond
 * ASCII, a plain copy.
 */
char *
ret_fold_width(const char *text, int len)
{
	pg_wchar   *wide;
	pg_wchar   *folded;
	unsigned char *out;
	unsigned char *at;
	int			nwide;
	bool		is_ascii = true;

	for (int i = 0; i < len && is_ascii; i++)
		is_ascii = !IS_HIGHBIT_SET(text[i]);
	if (is_ascii || GetDatabaseEncoding() != PG_UTF8)
		return pnstrdup(text, len);

	wide = palloc(sizeof(pg_wchar) * ((Size) len + 1));
	nwide = pg_mb2wchar_with_len(text, wide, len);
	wide[nwide] = 0;
	folded = unicode_normalize(UNICODE_NFKC, wide);
	nwide = 0;
	while (folded[nwide])
		nwide++;
	out = at = palloc((Size) nwide * 4 + 1);
	for (int i = 0; i < nwide; i++)
	{
		unicode_to_utf8(folded[i], at);
		at += pg_utf_mblen(at);
	}
	*at = '\0';
	pfree(wide);
	pfree(folded);
	return (char *) out;
}
