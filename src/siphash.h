/*
 * siphash.h
 *
 * SipHash-2-4 with a 128-bit result.
 */
#ifndef RET_SIPHASH_H
#define RET_SIPHASH_H

#define RET_DIGEST_SIZE 16

typedef struct RetSipHash
{
	uint64		v0;
	uint64		v1;
	uint64		v2;
	uint64		v3;
	uint64		tail;			/* bytes not yet compressed, low end first */
	uint64		length;
} RetSipHash;

extern void ret_siphash_start(RetSipHash *state, const uint8 *key);
extern void ret_siphash_update(RetSipHash *state, const void *data,
							   size_t length);
extern void ret_siphash_final(RetSipHash *state, uint8 *digest);

#endif							/* RET_SIPHASH_H */
