/*
 * compat.h
 *
 * Differences between the server versions, as wrappers with the signature of
 * the newest one.
 */
#ifndef RET_COMPAT_H
#define RET_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "retention needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#define ret_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#define ret_parse_type(name) \
	typeStringToTypeName(name, NULL)
#define ret_range_serialize(type, lower, upper, empty) \
	range_serialize(type, lower, upper, empty, NULL)
#else
#define ret_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#define ret_parse_type(name) \
	typeStringToTypeName(name)
#define ret_range_serialize(type, lower, upper, empty) \
	range_serialize(type, lower, upper, empty)
#endif

#if PG_VERSION_NUM >= 170000
#define ret_json_lexer(json, len, encoding) \
	makeJsonLexContextCstringLen(NULL, json, len, encoding, false)
#else
#define ret_json_lexer(json, len, encoding) \
	makeJsonLexContextCstringLen(json, len, encoding, false)
#endif

#endif							/* RET_COMPAT_H */
