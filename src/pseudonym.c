/*-------------------------------------------------------------------------
 *
 * pseudonym.c
 *		Keyed methods: pseudonyms and tombstones.
 *
 * A pseudonym is the same for the same value, so that rows of one person can
 * still be counted as such, and tells nothing to whoever has no key. It
 * carries a check over itself under another key and is recognised by that: a
 * pseudonym of a pseudonym is itself, and what somebody typed that looks like
 * one is not (by chance one in 2^48; in a uuid, where there is less room, one
 * in 2^42).
 *
 * A tombstone depends on the key of its row only: it makes a value unique.
 *
 * All keys are derived from the database's secret by HMAC with a label each,
 * so that what is in a column cannot be joined with digests in the log. HMAC
 * is that of pgcrypto. The keys are kept for the rest of the transaction; a
 * subtransaction that is rolled back takes along those that it read, for it
 * may have made the secret.
 *
 * Who can make pseudonyms at will can find out whose they are, by making those
 * of all addresses that come to mind. So they are made while a scrub allows
 * it, and for those who govern everything anyway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "method.h"
#include "query.h"
#include "record.h"
#include "sandbox.h"
#include "siphash.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* in bytes: what identifies the value, and the check over it */
#define ID_SIZE 14
#define CHECK_SIZE 6
#define UUID_ID_SIZE 11			/* of which the last two bits are check */

#define PREFIX "p_"
#define PREFIX_SIZE 2
#define CODE_SIZE ((ID_SIZE + CHECK_SIZE) * 8 / 5)
#define PSEUDONYM_SIZE (PREFIX_SIZE + CODE_SIZE)
#define EMAIL_SUFFIX "@erased.invalid"

/* base32 without letters that are taken for another one */
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

typedef struct Keys
{
	FmgrInfo	hmac;
	bytea	   *text;
	bytea	   *uuid;
	bytea	   *tombstone;
	uint8		check[RET_DIGEST_SIZE];
} Keys;

PG_FUNCTION_INFO_V1(retention_pseudonym);
PG_FUNCTION_INFO_V1(retention_pseudonym_email);
PG_FUNCTION_INFO_V1(retention_pseudonym_uuid);
PG_FUNCTION_INFO_V1(retention_tombstone);
PG_FUNCTION_INFO_V1(retention_tombstone_email);
PG_FUNCTION_INFO_V1(retention_tombstone_uuid);
#ifdef USE_ASSERT_CHECKING
PG_FUNCTION_INFO_V1(retention_test_pseudonyms_allow);
#endif

/* the subtransactions in which these were set; invalid: they are not set */
static SubTransactionId allowed_in = InvalidSubTransactionId;
static SubTransactionId keys_read_in = InvalidSubTransactionId;
static Keys *keys;				/* in TopTransactionContext */

static void
on_xact_end(XactEvent event, void *arg)
{
	allowed_in = keys_read_in = InvalidSubTransactionId;
}

static void
end_subxact(SubTransactionId *set_in, SubTransactionId self,
			SubTransactionId left)
{
	if (*set_in == self)
		*set_in = left;
}

static void
on_subxact_end(SubXactEvent event, SubTransactionId self,
			   SubTransactionId parent, void *arg)
{
	SubTransactionId left = InvalidSubTransactionId;

	if (event == SUBXACT_EVENT_COMMIT_SUB)
		left = parent;
	else if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	end_subxact(&allowed_in, self, left);
	end_subxact(&keys_read_in, self, left);
}

static void
register_callbacks(void)
{
	static bool is_registered = false;

	if (is_registered)
		return;
	RegisterXactCallback(on_xact_end, NULL);
	RegisterSubXactCallback(on_subxact_end, NULL);
	is_registered = true;
}

/*
 * Lets everybody make pseudonyms, until this is called with false or the
 * (sub)transaction ends: by a commit of a subtransaction it is handed up.
 */
void
ret_pseudonyms_allow(bool allow)
{
	register_callbacks();
	allowed_in = allow ? GetCurrentSubTransactionId() :
		InvalidSubTransactionId;
}

bool
ret_pseudonyms_are_allowed(void)
{
	return allowed_in != InvalidSubTransactionId;
}

static void
check_allowed(void)
{
	if (!ret_pseudonyms_are_allowed() && !ret_is_admin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("pseudonyms are made only by a scrub policy"),
				 errhint("Who can make them at will can find out whose they are; only superusers and members of the role in \"retention.admin_role\" may.")));
}

/*
 * HMAC-SHA-256 as a bytea.
 */
static bytea *
hmac(FmgrInfo *function, const void *data, const bytea *key)
{
	return DatumGetByteaPP(FunctionCall3(function, PointerGetDatum(data),
										 PointerGetDatum(key),
										 CStringGetTextDatum("sha256")));
}

static bytea *
bytes(const void *data, int size)
{
	bytea	   *result = palloc(VARHDRSZ + size);

	SET_VARSIZE(result, VARHDRSZ + size);
	memcpy(VARDATA(result), data, size);
	return result;
}

static Oid
find_hmac(void)
{
	RetUser		saved;
	Oid			function;

	SPI_connect();
	ret_become_extension(&saved);
	SPI_execute("SELECT retention._hmac()::bigint", true, 0);
	function = (Oid) ret_result_int8(0, 1);
	ret_restore_user(&saved);
	SPI_finish();
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("extension \"pgcrypto\" has no function hmac(bytea, bytea, text)")));
	return function;
}

/*
 * The keys, from the secret unless this transaction has them. Makes the
 * secret when there is none.
 */
static Keys *
load_keys(void)
{
	uint8		secret[RET_DIGEST_SIZE];
	bytea	   *master;
	Keys	   *fresh;
	MemoryContext caller;

	if (keys_read_in != InvalidSubTransactionId)
		return keys;
	register_callbacks();
	(void) ret_digest_key_load(secret, true);
	caller = MemoryContextSwitchTo(TopTransactionContext);
	fresh = palloc0(sizeof(Keys));
	fmgr_info_cxt(find_hmac(), &fresh->hmac, TopTransactionContext);
	master = bytes(secret, sizeof(secret));
	fresh->text = hmac(&fresh->hmac,
					   cstring_to_text("retention pseudonym text"), master);
	fresh->uuid = hmac(&fresh->hmac,
					   cstring_to_text("retention pseudonym uuid"), master);
	fresh->tombstone = hmac(&fresh->hmac,
							cstring_to_text("retention tombstone"), master);
	memcpy(fresh->check,
		   VARDATA_ANY(hmac(&fresh->hmac,
							cstring_to_text("retention pseudonym check"),
							master)), sizeof(fresh->check));
	explicit_bzero(VARDATA(master), sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	MemoryContextSwitchTo(caller);
	keys = fresh;
	keys_read_in = GetCurrentSubTransactionId();
	return keys;
}

/*
 * The check over what identifies a pseudonym.
 */
static void
make_check(const uint8 *id, int size, uint8 *digest)
{
	RetSipHash	state;

	ret_siphash_start(&state, load_keys()->check);
	ret_siphash_update(&state, id, size);
	ret_siphash_final(&state, digest);
}

/*
 * Bytes, a multiple of five of them, as base32.
 */
static void
encode(const uint8 *from, int size, char *to)
{
	for (const uint8 *end = from + size; from < end; from += 5)
	{
		uint64		group = 0;

		for (int i = 0; i < 5; i++)
			group = group << 8 | from[i];
		for (int shift = 35; shift >= 0; shift -= 5)
			*to++ = alphabet[group >> shift & 31];
	}
}

/*
 * The reverse; false when there is a character that is none of the alphabet.
 */
static bool
decode(const char *from, int size, uint8 *to)
{
	for (const char *end = from + size; from < end; from += 8, to += 5)
	{
		uint64		group = 0;

		for (int i = 0; i < 8; i++)
		{
			const char *letter = from[i] ? strchr(alphabet, from[i]) : NULL;

			if (letter == NULL)
				return false;
			group = group << 5 | (letter - alphabet);
		}
		for (int i = 0; i < 5; i++)
			to[i] = group >> (32 - 8 * i) & 0xff;
	}
	return true;
}

/*
 * Whether a text is a pseudonym of this database.
 */
bool
ret_is_pseudonym(const char *value, int len)
{
	uint8		code[ID_SIZE + CHECK_SIZE];
	uint8		check[RET_DIGEST_SIZE];

	if (len != PSEUDONYM_SIZE || memcmp(value, PREFIX, PREFIX_SIZE) != 0 ||
		!decode(value + PREFIX_SIZE, CODE_SIZE, code))
		return false;
	make_check(code, ID_SIZE, check);
	return memcmp(check, code + ID_SIZE, CHECK_SIZE) == 0;
}

static text *
make_pseudonym(const text *value, const char *suffix)
{
	Keys	   *k = load_keys();
	int			suffix_size = strlen(suffix);
	uint8		code[ID_SIZE + RET_DIGEST_SIZE];
	text	   *result = palloc(VARHDRSZ + PSEUDONYM_SIZE + suffix_size);
	char	   *out = VARDATA(result);

	memcpy(code, VARDATA_ANY(hmac(&k->hmac, value, k->text)), ID_SIZE);
	make_check(code, ID_SIZE, code + ID_SIZE);
	SET_VARSIZE(result, VARHDRSZ + PSEUDONYM_SIZE + suffix_size);
	memcpy(out, PREFIX, PREFIX_SIZE);
	encode(code, ID_SIZE + CHECK_SIZE, out + PREFIX_SIZE);
	memcpy(out + PSEUDONYM_SIZE, suffix, suffix_size);
	return result;
}

/*
 * The pseudonym of a text; what is one already, and the empty text, stay.
 */
text *
ret_pseudonym(text *value)
{
	int			len = VARSIZE_ANY_EXHDR(value);

	if (len == 0 || ret_is_pseudonym(VARDATA_ANY(value), len))
		return value;
	return make_pseudonym(value, "");
}

/*
 * The same in the form of an e-mail address that nobody can have (RFC 2606).
 */
text *
ret_pseudonym_email(text *value)
{
	int			len = VARSIZE_ANY_EXHDR(value);
	int			suffix_size = strlen(EMAIL_SUFFIX);
	const char *start = VARDATA_ANY(value);

	if (len == 0 ||
		(len == PSEUDONYM_SIZE + suffix_size &&
		 memcmp(start + PSEUDONYM_SIZE, EMAIL_SUFFIX, suffix_size) == 0 &&
		 ret_is_pseudonym(start, PSEUDONYM_SIZE)))
		return value;
	return make_pseudonym(value, EMAIL_SUFFIX);
}

/*
 * Makes a uuid one of version 8: of its maker's own design.
 */
static void
set_version(pg_uuid_t *uuid)
{
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x80;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

/*
 * Puts the check over the first 86 bits of a uuid in the place of its others.
 */
static void
set_uuid_check(pg_uuid_t *uuid)
{
	uint8		check[RET_DIGEST_SIZE];

	uuid->data[UUID_ID_SIZE - 1] &= 0xfc;
	make_check(uuid->data, UUID_ID_SIZE, check);
	uuid->data[UUID_ID_SIZE - 1] |= check[0] & 0x03;
	memcpy(uuid->data + UUID_ID_SIZE, check + 1, UUID_LEN - UUID_ID_SIZE);
}

/*
 * The pseudonym of a uuid: 80 bits of HMAC and 42 of check beside what says
 * that it is of version 8.
 */
pg_uuid_t *
ret_pseudonym_uuid(const pg_uuid_t *value)
{
	Keys	   *k = load_keys();
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));

	/* value would be itself if it were a pseudonym */
	*result = *value;
	set_version(result);
	set_uuid_check(result);
	if (memcmp(result, value, UUID_LEN) == 0)
		return result;
	memcpy(result->data,
		   VARDATA_ANY(hmac(&k->hmac, bytes(value->data, UUID_LEN), k->uuid)),
		   UUID_LEN);
	set_version(result);
	set_uuid_check(result);
	return result;
}

/*
 * A text that is unique to the key of a row.
 */
text *
ret_tombstone(text *key, const char *suffix)
{
	Keys	   *k = load_keys();
	bytea	   *digest = hmac(&k->hmac, key, k->tombstone);
	char		hex[2 * RET_DIGEST_SIZE + 1] = {0};

	hex_encode(VARDATA_ANY(digest), RET_DIGEST_SIZE, hex);
	return cstring_to_text(psprintf("erased-%s%s", hex, suffix));
}

/*
 * The same as a uuid of version 8.
 */
pg_uuid_t *
ret_tombstone_uuid(text *key)
{
	Keys	   *k = load_keys();
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));

	memcpy(result->data, VARDATA_ANY(hmac(&k->hmac, key, k->tombstone)),
		   UUID_LEN);
	set_version(result);
	return result;
}

/*
 * retention.pseudonym(value text)
 */
Datum
retention_pseudonym(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_TEXT_P(ret_pseudonym(PG_GETARG_TEXT_PP(0)));
}

/*
 * retention.pseudonym_email(value text)
 */
Datum
retention_pseudonym_email(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_TEXT_P(ret_pseudonym_email(PG_GETARG_TEXT_PP(0)));
}

/*
 * retention.pseudonym(value uuid)
 */
Datum
retention_pseudonym_uuid(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_UUID_P(ret_pseudonym_uuid(PG_GETARG_UUID_P(0)));
}

/*
 * retention.tombstone(value text, key text)
 */
Datum
retention_tombstone(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_TEXT_P(ret_tombstone(PG_GETARG_TEXT_PP(1), ""));
}

/*
 * retention.tombstone_email(value text, key text)
 */
Datum
retention_tombstone_email(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_TEXT_P(ret_tombstone(PG_GETARG_TEXT_PP(1), EMAIL_SUFFIX));
}

/*
 * retention.tombstone(value uuid, key text)
 */
Datum
retention_tombstone_uuid(PG_FUNCTION_ARGS)
{
	check_allowed();
	PG_RETURN_UUID_P(ret_tombstone_uuid(PG_GETARG_TEXT_PP(1)));
}

#ifdef USE_ASSERT_CHECKING

/*
 * For tests, which have no scrub to do it.
 */
Datum
retention_test_pseudonyms_allow(PG_FUNCTION_ARGS)
{
	ret_pseudonyms_allow(PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

#endif
