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

#endif							/* RET_COMPAT_H */
