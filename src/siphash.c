/*-------------------------------------------------------------------------
 *
 * siphash.c
 *		SipHash-2-4 with a 128-bit result, a keyed pseudorandom function.
 *
 * After Aumasson and Bernstein, "SipHash: a fast short-input PRF". Without
 * the key nobody can test a guess against a digest; with it a million short
 * keys take some tens of milliseconds. pgcrypto's HMAC costs far more than
 * the deletion it would document.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "siphash.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

#ifdef WORDS_BIGENDIAN
#define LITTLE64(x) pg_bswap64(x)
#else
#define LITTLE64(x) (x)
#endif

static inline void
sip_round(RetSipHash *s)
{
	s->v0 += s->v1;
	s->v1 = ROTL(s->v1, 13);
	s->v1 ^= s->v0;
	s->v0 = ROTL(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTL(s->v3, 16);
	s->v3 ^= s->v2;
	s->v0 += s->v3;
	s->v3 = ROTL(s->v3, 21);
	s->v3 ^= s->v0;
	s->v2 += s->v1;
	s->v1 = ROTL(s->v1, 17);
	s->v1 ^= s->v2;
	s->v2 = ROTL(s->v2, 32);
}

static inline void
compress(RetSipHash *s, uint64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/*
 * Starts a digest under a key of 16 bytes.
 */
void
ret_siphash_start(RetSipHash *state, const uint8 *key)
{
	uint64		k0;
	uint64		k1;

	memcpy(&k0, key, 8);
	memcpy(&k1, key + 8, 8);
	k0 = LITTLE64(k0);
	k1 = LITTLE64(k1);
	state->v0 = k0 ^ UINT64CONST(0x736f6d6570736575);
	state->v1 = k1 ^ UINT64CONST(0x646f72616e646f6d) ^ 0xee;
	state->v2 = k0 ^ UINT64CONST(0x6c7967656e657261);
	state->v3 = k1 ^ UINT64CONST(0x7465646279746573);
	state->tail = 0;
	state->length = 0;
}

void
ret_siphash_update(RetSipHash *state, const void *data, size_t length)
{
	const uint8 *bytes = data;

	/* fill the word that an earlier call left incomplete */
	while (length > 0 && state->length % 8 != 0)
	{
		state->tail |= (uint64) *bytes++ << (8 * (state->length % 8));
		state->length++;
		length--;
		if (state->length % 8 == 0)
		{
			compress(state, state->tail);
			state->tail = 0;
		}
	}

	for (; length >= 8; length -= 8, bytes += 8, state->length += 8)
	{
		uint64		word;

		memcpy(&word, bytes, 8);
		compress(state, LITTLE64(word));
	}

	for (; length > 0; length--, state->length++)
		state->tail |= (uint64) *bytes++ << (8 * (state->length % 8));
}

/*
 * Ends the digest and writes its 16 bytes.
 */
void
ret_siphash_final(RetSipHash *state, uint8 *digest)
{
	uint64		word;

	compress(state, state->tail | (state->length << 56));

	state->v2 ^= 0xee;
	for (int i = 0; i < 4; i++)
		sip_round(state);
	word = LITTLE64(state->v0 ^ state->v1 ^ state->v2 ^ state->v3);
	memcpy(digest, &word, 8);

	state->v1 ^= 0xdd;
	for (int i = 0; i < 4; i++)
		sip_round(state);
	word = LITTLE64(state->v0 ^ state->v1 ^ state->v2 ^ state->v3);
	memcpy(digest + 8, &word, 8);
}
