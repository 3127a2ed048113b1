/*
 * pii_text.c
 *
 * Text as names and values are compared: UTF-8, half-width and full-width
 * forms as one, kana as katakana.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "pii_names.h"
#include "width.h"

/*
 * A text of the database as UTF-8 with its widths folded. What cannot be
 * converted stays as it is.
 */
char *
ret_utf8(const char *text)
{
	int			len = strlen(text);

	if (GetDatabaseEncoding() == PG_UTF8)
		return ret_fold_width(text, len);
	return pstrdup(pg_server_to_any(text, len, PG_UTF8));
}

/*
 * The character at the beginning of a text, and how many bytes it has: at
 * least one, at most "len". Bytes that are no UTF-8 stand for themselves.
 */
int
ret_utf8_next(const char *text, int len, pg_wchar *c)
{
	const unsigned char *bytes = (const unsigned char *) text;
	int			length = pg_utf_mblen(bytes);

	if (length > len || !pg_utf8_islegal(bytes, length))
	{
		*c = bytes[0];
		return 1;
	}
	*c = utf8_to_unicode(bytes);
	return length;
}

bool
ret_is_kanji(pg_wchar c)
{
	return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
		(c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF) ||
		c == 0x3005 || c == 0x3006 || c == 0x3012;
}

bool
ret_is_kana(pg_wchar c)
{
	return (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A1 && c <= 0x30FA) ||
		c == 0x30FC;
}

/*
 * A copy with hiragana as katakana; both have three bytes.
 */
char *
ret_to_katakana(const char *text)
{
	char	   *copy = pstrdup(text);
	int			len = strlen(copy);

	for (int i = 0; i < len;)
	{
		pg_wchar	c;
		int			length = ret_utf8_next(copy + i, len - i, &c);

		if (c >= 0x3041 && c <= 0x3096 && length == 3)
			unicode_to_utf8(c + 0x60, (unsigned char *) copy + i);
		i += length;
	}
	return copy;
}
