-- How personal data is scrubbed. Every method is idempotent and takes any
-- value: a scrub is "SET c = f(c) WHERE c IS DISTINCT FROM f(c)".

CREATE FUNCTION retention.mask(value text, first integer = 0,
	last integer = 0, filler text = '*') RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_mask';
COMMENT ON FUNCTION retention.mask(text, integer, integer, text) IS
	'keeps the first and last characters: mask(''Yamada'', 1) = ''Y*****''';

CREATE FUNCTION retention.mask_email(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_mask_email';
COMMENT ON FUNCTION retention.mask_email(text) IS
	'keeps a letter and the domain: mask_email(''taro.yamada@example.com'') = ''t***@example.com''';

CREATE FUNCTION retention.mask_phone(value text, last integer = 4)
	RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_mask_phone';
COMMENT ON FUNCTION retention.mask_phone(text, integer) IS
	'keeps the last digits: mask_phone(''090-1234-5678'') = ''***-****-5678''';

CREATE FUNCTION retention.truncate_ip(value inet, v4 integer = 24,
	v6 integer = 48) RETURNS inet
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_truncate_ip_inet';
COMMENT ON FUNCTION retention.truncate_ip(inet, integer, integer) IS
	'keeps the first bits of an address: truncate_ip(inet ''192.0.2.77'') = ''192.0.2.0''';

CREATE FUNCTION retention.truncate_ip(value cidr, v4 integer = 24,
	v6 integer = 48) RETURNS cidr
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_truncate_ip_cidr';
COMMENT ON FUNCTION retention.truncate_ip(cidr, integer, integer) IS
	'the network around it: truncate_ip(cidr ''192.0.2.64/28'') = ''192.0.2.0/24''';

CREATE FUNCTION retention.truncate_ip(value text, v4 integer = 24,
	v6 integer = 48) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_truncate_ip_text';
COMMENT ON FUNCTION retention.truncate_ip(text, integer, integer) IS
	'keeps the first bits of an address: truncate_ip(''2001:db8:1:2::3'') = ''2001:db8:1::''';

CREATE FUNCTION retention.generalize(value date, unit text) RETURNS date
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_date';
COMMENT ON FUNCTION retention.generalize(date, text) IS
	'the first day of the month, quarter, year or decade: generalize(date ''1984-05-17'', ''year'') = ''1984-01-01''';

CREATE FUNCTION retention.generalize(value timestamp, unit text)
	RETURNS timestamp
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_timestamp';
COMMENT ON FUNCTION retention.generalize(timestamp, text) IS
	'where the month, quarter, year or decade begins: generalize(timestamp ''1984-05-17 08:30'', ''quarter'') = ''1984-04-01 00:00''';

CREATE FUNCTION retention.generalize(value timestamptz, unit text,
	zone text = 'UTC') RETURNS timestamptz
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_timestamptz';
COMMENT ON FUNCTION retention.generalize(timestamptz, text, text) IS
	'where the month, quarter, year or decade begins in a zone: generalize(timestamptz ''1984-05-17 08:30+09'', ''month'', ''Asia/Tokyo'') = ''1984-05-01 00:00+09''';

CREATE FUNCTION retention.generalize(value smallint, bucket integer)
	RETURNS smallint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_int2';
COMMENT ON FUNCTION retention.generalize(smallint, integer) IS
	'rounds down to a multiple: generalize(37::smallint, 10) = 30';

CREATE FUNCTION retention.generalize(value integer, bucket integer)
	RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_int4';
COMMENT ON FUNCTION retention.generalize(integer, integer) IS
	'rounds down to a multiple: generalize(37, 10) = 30';

CREATE FUNCTION retention.generalize(value bigint, bucket bigint)
	RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_int8';
COMMENT ON FUNCTION retention.generalize(bigint, bigint) IS
	'rounds down to a multiple: generalize(5432100::bigint, 1000000) = 5000000';

CREATE FUNCTION retention.generalize(value real, bucket double precision)
	RETURNS real
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_float4';
COMMENT ON FUNCTION retention.generalize(real, double precision) IS
	'rounds down to a multiple: generalize(71.3::real, 5) = 70';

CREATE FUNCTION retention.generalize(value double precision,
	bucket double precision) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_float8';
COMMENT ON FUNCTION retention.generalize(double precision, double precision) IS
	'rounds down to a multiple: generalize(35.6812::double precision, 0.1) = 35.6';

CREATE FUNCTION retention.generalize(value numeric, bucket numeric)
	RETURNS numeric
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_numeric';
COMMENT ON FUNCTION retention.generalize(numeric, numeric) IS
	'rounds down to a multiple: generalize(5432.10, 1000) = 5000.00';

CREATE FUNCTION retention.generalize_postal(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_generalize_postal';
COMMENT ON FUNCTION retention.generalize_postal(text) IS
	'the first three digits of a Japanese postal code: generalize_postal(''150-0001'') = ''150-****''';

CREATE FUNCTION retention.erase_json(value jsonb,
	VARIADIC paths text[] = '{}') RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_erase_jsonb';
COMMENT ON FUNCTION retention.erase_json(jsonb, text[]) IS
	'values at the paths become null, without paths all of them: erase_json(jsonb ''{"a": {"b": 1, "c": 2}}'', ''a.b'') = ''{"a": {"b": null, "c": 2}}''';

CREATE FUNCTION retention.erase_json(value json,
	VARIADIC paths text[] = '{}') RETURNS json
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_erase_json';
COMMENT ON FUNCTION retention.erase_json(json, text[]) IS
	'values at the paths become null, the rest stays as it was written: erase_json(json ''{"a":[1,{"b":2}]}'', ''a.*.b'') = ''{"a":[1,{"b":null}]}''';

-- What follows needs the database's secret, and makes it when there is none:
-- not in a parallel query. Refused but to a scrub and to who governs all.

CREATE FUNCTION retention.pseudonym(value text) RETURNS text
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_pseudonym';
COMMENT ON FUNCTION retention.pseudonym(text) IS
	'the same for the same value, by a secret key: pseudonym(''Yamada'') = ''p_0c2r95h8tqj1xv6kd3w7nz4b8f1ymaeg''';

CREATE FUNCTION retention.pseudonym(value uuid) RETURNS uuid
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_pseudonym_uuid';
COMMENT ON FUNCTION retention.pseudonym(uuid) IS
	'the same for the same value, by a secret key: pseudonym(uuid ''0b1ac54e-4c9e-4d8c-9a5b-2f1d3c4b5a69'') = ''d1a7c6f0-2b93-8e54-b1c8-7f0a6d3e9524''';

CREATE FUNCTION retention.pseudonym_email(value text) RETURNS text
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_pseudonym_email';
COMMENT ON FUNCTION retention.pseudonym_email(text) IS
	'a pseudonym as an address: pseudonym_email(''taro@example.com'') = ''p_0c2r95h8tqj1xv6kd3w7nz4b8f1ymaeg@erased.invalid''';

CREATE FUNCTION retention.tombstone(value text, key text) RETURNS text
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_tombstone';
COMMENT ON FUNCTION retention.tombstone(text, text) IS
	'unique to the key of a row: tombstone(''Yamada'', ''(7)'') = ''erased-5d41402abc4b2a76b9719d911017c592''';

CREATE FUNCTION retention.tombstone(value uuid, key text) RETURNS uuid
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_tombstone_uuid';
COMMENT ON FUNCTION retention.tombstone(uuid, text) IS
	'unique to the key of a row: tombstone(uuid ''0b1ac54e-4c9e-4d8c-9a5b-2f1d3c4b5a69'', ''(7)'') = ''5d41402a-bc4b-8a76-b971-9d911017c592''';

CREATE FUNCTION retention.tombstone_email(value text, key text) RETURNS text
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_tombstone_email';
COMMENT ON FUNCTION retention.tombstone_email(text, text) IS
	'a tombstone as an address: tombstone_email(''taro@example.com'', ''(7)'') = ''erased-5d41402abc4b2a76b9719d911017c592@erased.invalid''';

CREATE FUNCTION retention._hmac() RETURNS oid
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT p.oid
	FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_depend d
			ON d.refclassid = 'pg_catalog.pg_extension'::regclass
			AND d.refobjid = e.oid
			AND d.classid = 'pg_catalog.pg_proc'::regclass
			AND d.deptype = 'e'
		JOIN pg_catalog.pg_proc p ON p.oid = d.objid
	WHERE e.extname = 'pgcrypto'
		AND p.proname = 'hmac'
		AND p.proargtypes[0] = 'bytea'::regtype
		AND p.proargtypes[1] = 'bytea'::regtype
		AND p.proargtypes[2] = 'text'::regtype;
END;
COMMENT ON FUNCTION retention._hmac() IS
	'the function of pgcrypto that makes an HMAC of a bytea, in whatever schema it is';
