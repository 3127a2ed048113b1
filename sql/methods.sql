-- Methods of scrubbing: examples, and what holds for every value: that doing
-- it again changes nothing, and that no value is an error.
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE ROLE regress_retention_methods;
CREATE ROLE regress_retention_methods_admin;
CREATE SCHEMA methods;
GRANT USAGE ON SCHEMA methods TO PUBLIC;
SET search_path = methods;
RESET client_min_messages;

--
-- Examples.
--
SELECT v AS value, retention.mask(v) AS mask, retention.mask(v, 1) AS "1", retention.mask(v, 0, 2) AS "0, 2",
	retention.mask(v, 2, 2, 'x') AS "2, 2, x"
FROM (VALUES ('Yamada'), ('Y*****'), ('Bo'), ('abcd'), ('abcde'), ('山田太郎'), (''), (NULL)) t(v);
SELECT v AS value, retention.mask_email(v)
FROM (VALUES ('taro.yamada@example.com'), ('t***@example.com'), (' Taro@Example.COM '), ('a@example.com'),
	('***@example.com'), ('ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ'), ('太郎@例え.jp'), ('taro@localhost'), ('taro@192.0.2.7'),
	('a@b@example.com'), ('Taro <taro@example.com>'), ('taro@example..com'), ('taro'), ('@'), ('***'), (''), (NULL)) t(v);
SELECT v AS value, retention.mask_phone(v), retention.mask_phone(v, 2) AS "2"
FROM (VALUES ('090-1234-5678'), ('***-****-5678'), ('０９０ー１２３４ー５６７８'), ('+81 (90) 1234.5678'), ('5551234'), ('5678'),
	('110'), ('03−1234−5678'), ('03-1234-5678 ext. 9'), ('none'), ('***'), ('-'), (''), (NULL)) t(v);
SELECT v AS value, retention.truncate_ip(v), retention.truncate_ip(v, 16, 32) AS "16, 32", retention.truncate_ip(v, 0, 0) AS "0, 0"
FROM (VALUES (inet '192.0.2.77'), ('192.0.2.77/25'), ('10.1.2.3/8'), ('2001:db8:1:2::3'), ('2001:db8:1:2::3/64'), (NULL)) t(v);
SELECT v AS value, retention.truncate_ip(v), retention.truncate_ip(v, 32, 128) AS "32, 128"
FROM (VALUES (cidr '192.0.2.64/28'), ('192.0.2.77'), ('10.0.0.0/8'), ('2001:db8:1:2::/64')) t(v);
SELECT v AS value, retention.truncate_ip(v), retention.truncate_ip(v, 31, 127) AS "31, 127"
FROM (VALUES ('192.0.2.77'), ('192.0.2.77/25'), ('192.0.2.77/32'), (' 192.0.2.77 '), ('１９２．０．２．７７'), ('192.0.2.256'), ('192.0.2'),
	('192.0.2.77:80'), ('2001:DB8:1:2::3'), ('::ffff:192.0.2.77'), ('fe80::1%eth0'), ('192.0.2.77, 10.0.0.1'), ('***'), ('')) t(v);
SELECT v AS value, retention.generalize(v, 'month') AS month, retention.generalize(v, 'quarter') AS quarter,
	retention.generalize(v, 'year') AS year, retention.generalize(v, 'decade') AS decade
FROM (VALUES (date '1984-05-17'), ('0005-12-31'), ('0001-02-03 BC'), ('0010-02-03 BC'), ('4714-11-24 BC'), ('5874897-12-31'),
	('-infinity'), ('infinity'), (NULL)) t(v);
SELECT v AS value, retention.generalize(v, 'Month') AS month, retention.generalize(v, 'year') AS year
FROM (VALUES (timestamp '1984-05-17 08:30:00.5'), ('4714-11-24 00:00 BC'), ('294276-12-31 23:59:59.999999'), ('infinity')) t(v);
-- another zone, another month; the midnight that Sao Paulo did not have
SELECT v AS value, retention.generalize(v, 'month') AS utc, retention.generalize(v, 'month', 'Asia/Tokyo') AS tokyo,
	retention.generalize(v, 'month', 'America/Sao_Paulo') AS sao_paulo
FROM (VALUES (timestamptz '1984-04-30 20:00+00'), ('1949-12-05 00:00+00'), ('infinity')) t(v);
SELECT retention.generalize(37::smallint, 10) AS int2, retention.generalize(-37, 10) AS int4,
	retention.generalize(5432100::bigint, 1000000) AS int8, retention.generalize(71.3::real, 5) AS float4,
	retention.generalize(35.6812::double precision, 0.1) AS float8, retention.generalize(5432.10, 1000) AS "numeric";
SELECT retention.generalize((-32768)::smallint, 1000) AS int2, retention.generalize((-2147483648)::integer, 1000) AS int4,
	retention.generalize((-9223372036854775808)::bigint, 1000) AS int8, retention.generalize('-3e38'::real, 2e38) AS float4,
	retention.generalize('-1.7e308'::double precision, 1e308) AS float8,
	retention.generalize('-9e131071'::numeric, '5e131071') = '-5e131071' AS "numeric";
SELECT retention.generalize('NaN'::double precision, 1) AS float8, retention.generalize('-Infinity'::real, 1) AS float4,
	retention.generalize('NaN'::numeric, 1) AS "numeric", retention.generalize('Infinity'::numeric, 1) AS "numeric";
SELECT v AS value, retention.generalize_postal(v)
FROM (VALUES ('150-0001'), ('150-****'), ('1500001'), ('150****'), ('１５０－０００１'), ('〒150-0001'), ('〒　１５０ー０００１'), ('150 0001'),
	('150-001'), ('150-00011'), ('90210'), ('SW1A 1AA'), ('***'), (''), (NULL)) t(v);

-- Documents.
CREATE TABLE document (id integer, value text);
INSERT INTO document VALUES
	(1, '{"customer": {"email": "taro@example.com", "id": 7}, "items": [{"note": "x", "n": 1}, {"note": null}]}'),
	(2, '{"customer": "Taro", "items": {"first": {"note": ["y", "z"]}}, "a.b": {"c": 1, "*": 2}}'),
	(3, '[{"note": "x"}, 1.50, "y", [true, {}], null]'),
	(4, '"taro"'), (5, '{}'), (6, 'null'),
	(7, '{"a": 1, "\u0061": "2", "a": {"b": 3}, "\u5c71\ud83d\ude00": 4, "q\"\t\\": 5}'),
	(8, '  { "a" :1.00 ,"b":[ ]}  ');
SELECT id, retention.erase_json(value::jsonb, 'customer.email', 'items.*.note') FROM document ORDER BY id;
SELECT id, retention.erase_json(value::json, 'customer.email', 'items.*.note') FROM document ORDER BY id;
SELECT id, retention.erase_json(value::jsonb, '"a.b"."*"', '"a.b".x', '0.note', '3.1', '*.email', 'a', '山😀', '"q""' || E'\t\\"') FROM document ORDER BY id;
SELECT id, retention.erase_json(value::json, '"a.b"."*"', '"a.b".x', '0.note', '3.1', '*.email', 'a', '山😀', '"q""' || E'\t\\"') FROM document ORDER BY id;
SELECT id, retention.erase_json(value::jsonb), retention.erase_json(value::json) FROM document ORDER BY id;
-- what jsonb and the server's parser refuse is json all the same
SELECT retention.erase_json(json '{"\u0000": 1, "\ud800": 2, "\ude00x": 3, "a": "\u0000\udead", "b": "\u0000"}', 'a');
-- a document that has nothing to erase is not even copied
SELECT retention.erase_json(json ' {"a" : null,"b":1} ', 'a', 'c.d')::text = ' {"a" : null,"b":1} ' AS same;

-- Keyed: only their shape is the same in every database.
SELECT retention.pseudonym('Yamada') ~ '^p_[0-9a-hjkmnp-tv-z]{32}$' AS pseudonym,
	retention.pseudonym_email('taro@example.com') ~ '^p_[0-9a-hjkmnp-tv-z]{32}@erased.invalid$' AS pseudonym_email,
	retention.pseudonym(gen_random_uuid())::text ~ '^.{14}8.{4}[89ab]' AS pseudonym_uuid,
	retention.tombstone('Yamada', '(7)') ~ '^erased-[0-9a-f]{32}$' AS tombstone,
	retention.tombstone_email('taro@example.com', '(7)') ~ '^erased-[0-9a-f]{32}@erased.invalid$' AS tombstone_email,
	retention.tombstone(gen_random_uuid(), '(7)')::text ~ '^.{14}8.{4}[89ab]' AS tombstone_uuid,
	retention.pseudonym('') AS "empty", retention.pseudonym_email('') AS "empty";
SELECT retention.pseudonym('a') = retention.pseudonym('a') AS same,
	retention.pseudonym('a') <> retention.pseudonym('b') AS other,
	retention.pseudonym_email('a') = retention.pseudonym('a') || '@erased.invalid' AS same_as_email,
	retention.tombstone('a', '(7)') = retention.tombstone('b', '(7)') AS of_the_row,
	retention.tombstone('a', '(7)') <> retention.tombstone('a', '(8)') AS of_another_row;
-- not what the log would say of the same bytes, nor the plain HMAC
SELECT count(*) FROM retention.digest_key k
WHERE substr(retention.tombstone('', '(7)'), 8) = encode(substr(public.hmac('(7)'::bytea, k.key, 'sha256'), 1, 16), 'hex');

--
-- Parameters: errors that do not depend on the value.
--
SELECT retention.mask('', -1);
SELECT retention.mask('', 0, -1);
SELECT retention.mask('', 0, 0, '');
SELECT retention.mask('', 0, 0, '**');
SELECT retention.mask_phone('', -1);
SELECT retention.truncate_ip('', 33);
SELECT retention.truncate_ip('', 24, -1);
SELECT retention.truncate_ip(inet '::', 24, 129);
SELECT retention.truncate_ip(cidr '::', -1);
SELECT retention.generalize(date 'infinity', 'week');
SELECT retention.generalize(timestamp 'infinity', '');
SELECT retention.generalize(timestamptz 'infinity', 'day');
SELECT retention.generalize(timestamptz 'infinity', 'year', 'Mars/Olympus');
SELECT retention.generalize(0::smallint, 0);
SELECT retention.generalize(0, -1);
SELECT retention.generalize(0::bigint, 0);
SELECT retention.generalize('NaN'::real, 0);
SELECT retention.generalize('NaN'::double precision, 'NaN');
SELECT retention.generalize(0::double precision, 'Infinity');
SELECT retention.generalize('NaN'::numeric, 0);
SELECT retention.generalize('NaN'::numeric, 'NaN');
SELECT retention.generalize(0::numeric, 'Infinity');
SELECT retention.erase_json(jsonb '1', '');
SELECT retention.erase_json(jsonb '1', 'a..b');
SELECT retention.erase_json(json '1', 'a.');
SELECT retention.erase_json(json '1', '"a');
SELECT retention.erase_json(json '1', 'a"b"');
SELECT retention.erase_json(json '1', '"a"b');
SELECT retention.erase_json(json '1', 'a', NULL);
SELECT retention.erase_json(json '1', VARIADIC array_fill('a'::text, ARRAY[65]));
SELECT retention.erase_json(json '{"a": 1}', VARIADIC array_fill('a'::text, ARRAY[64]));
-- NULL stays NULL
SELECT count(*) FROM pg_proc p
WHERE pronamespace = 'retention'::regnamespace AND NOT proisstrict
	AND proname ~ '^(mask|truncate_ip|generalize|erase_json|pseudonym|tombstone)';

--
-- Any value: strings of what is nasty, alone and in the shapes looked for.
--
CREATE FUNCTION pick(pieces text[], most integer) RETURNS text
	LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(string_agg(pieces[1 + floor(random() * cardinality(pieces))::integer], ''), '')
	FROM generate_series(1, floor(random() * (most + 1))::integer)
$$;
CREATE TABLE pieces (kind text, list text[]);
INSERT INTO pieces VALUES
	('any', ARRAY['a', 'Z', '0', '9', '*', '***', '@', '.', '-', ' ', '+', '(', '/', '"', E'\\', '%', '_', E'\t', E'\n', E'\x7f',
		'p_', '@erased.invalid', '***@', 'example.com', '150-', '****', 'erased-', ',', '<', ':', '::', '1.2.3.4',
		U&'\0301', U&'e\0301', U&'\00e9', U&'\0344', U&'\212b', U&'\0130', U&'\00df', U&'\00a0', U&'\00bd', U&'\00b2', U&'\2460',
		U&'\3000', U&'\ff11\ff10', U&'\ff20', U&'\ff0e', U&'\ff0d', U&'\ff0a', U&'\30fc', U&'\ff76', U&'\ff9e', U&'\ff70', U&'\30ab', U&'\3099',
		U&'\3012', U&'\3231', U&'\337f', U&'\3349', U&'\fdfa', U&'\fe52', U&'\2025', U&'\2011', U&'\2212', U&'\ac00', U&'\11a7', U&'\11a8',
		U&'\1100', U&'\1161', U&'\202e', U&'\05d0', U&'\0627', U&'\0660', U&'\200d', U&'\feff', U&'\fffd', U&'\e000',
		U&'\+01f469', U&'\+01f3fb', U&'\+01d7d8', U&'\+02f800', U&'\+10ffff', U&'\5c71', U&'\+020bb7']),
	('local', ARRAY['a', 'B', '7', '.', '+', '-', '_', '*', U&'\ff41', U&'\5c71', U&'\ff76', U&'\ff9e', U&'e\0301', U&'\0301', U&'\1100', U&'\1161', U&'\+01f469']),
	('domain', ARRAY['a', 'B', '7', '.', '-', 'example', U&'\ff0e', U&'\5c71', U&'\ff76', U&'\ff9e', U&'\0301', U&'\0338', U&'\fdfa', U&'\2025', U&'\3349']),
	('phone', ARRAY['0', '1', '9', '90', '1234', '*', '-', ' ', '(', ')', '+', '.', '/', '#', ',', U&'\ff11', U&'\ff10', U&'\30fc', U&'\2212', U&'\00b2', U&'\+01d7d8', U&'\3000']),
	('ip', ARRAY['0', '1', '2', '25', '255', '9', 'a', 'f', '.', '.', ':', ':', '::', '/', '/2', U&'\ff11', U&'\ff0e']),
	('postal', ARRAY['0', '1', '15', '*', '**', '-', ' ', U&'\ff11', U&'\ff0d', U&'\30fc', U&'\3012', U&'\3000']);
CREATE TABLE nasty (v text);
SELECT setseed(0.2718);
INSERT INTO nasty SELECT pick(list, 12) FROM pieces, generate_series(1, 12000) WHERE kind = 'any';
INSERT INTO nasty SELECT pick(l.list, 8) || '@' || pick(d.list, 5) || '.com'
FROM pieces l, pieces d, generate_series(1, 8000) WHERE l.kind = 'local' AND d.kind = 'domain';
INSERT INTO nasty SELECT pick(list, 14) FROM pieces, generate_series(1, 8000) WHERE kind = 'phone';
INSERT INTO nasty SELECT pick(list, 9) FROM pieces, generate_series(1, 6000) WHERE kind = 'ip';
INSERT INTO nasty SELECT pick(list, 9) FROM pieces, generate_series(1, 6000) WHERE kind = 'postal';
INSERT INTO nasty SELECT format('%s.%s.%s.%s', a, b, a, b) || CASE WHEN b < 33 THEN '/' || b ELSE '' END
FROM generate_series(0, 255, 5) a, generate_series(0, 255, 3) b;
INSERT INTO nasty SELECT repeat(p, n) || s
FROM unnest(ARRAY['a', '*', '1', U&'\ff11', U&'\fdfa', U&'\337f', U&'\0301', U&'\ac00\11a7', U&'\+01f469']) p,
	unnest(ARRAY[60, 64, 65, 85, 255, 256, 341, 342, 1000, 1024, 1025, 4096, 1048576]) n,
	unnest(ARRAY['', '@example.com']) s;
INSERT INTO nasty SELECT left(v, i) || U&'\0301' || v || '@' || v || '.com' FROM nasty, generate_series(0, 2) i
WHERE length(v) BETWEEN 1 AND 300 AND v LIKE '%a%' LIMIT 2000;

CREATE FUNCTION again(method text, "column" text = 'v', source text = 'nasty')
	RETURNS TABLE (many boolean, changed boolean, changed_again bigint)
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT count(*) >= 4000, bool_or(once IS DISTINCT FROM %2$I), count(*) FILTER (WHERE %1$s IS DISTINCT FROM once)'
		' FROM (SELECT %2$I, %3$s AS once FROM %4$I OFFSET 0) t',
		format(method, 'once'), "column", format(method, quote_ident("column")), source);
END
$$;
SELECT method, (again(method)).*
FROM unnest(ARRAY['retention.mask(%s)', 'retention.mask(%s, 1)', 'retention.mask(%s, 2, 3)', 'retention.mask(%s, 1, 1, U&''\0301'')',
	'retention.mask(%s, 0, 2147483647)', 'retention.mask_email(%s)', 'retention.mask_phone(%s)', 'retention.mask_phone(%s, 0)',
	'retention.mask_phone(%s, 1)', 'retention.mask_phone(%s, 7)', 'retention.truncate_ip(%s)', 'retention.truncate_ip(%s, 0, 0)',
	'retention.truncate_ip(%s, 13, 101)', 'retention.generalize_postal(%s)', 'retention.pseudonym(%s)', 'retention.pseudonym_email(%s)',
	'retention.tombstone(%s, ''(1)'')', 'retention.tombstone_email(%s, ''(1)'')']) method;
-- masks are as long as their values, and keep what they shall
SELECT count(*) AS wrong FROM (SELECT v, retention.mask(v, 2, 3, U&'\+01f469') AS m FROM nasty) t
WHERE length(m) <> length(v)
	OR m <> CASE WHEN length(v) <= 5 THEN repeat(U&'\+01f469', length(v))
		ELSE left(v, 2) || repeat(U&'\+01f469', length(v) - 5) || right(v, 3) END;
SELECT count(*) FILTER (WHERE m <> '***') > 2000 AS many, count(*) FILTER (WHERE m !~ '^([^*]?\*\*\*@[^@[:space:]]+|\*\*\*|)$') AS wrong
FROM (SELECT retention.mask_email(v) AS m FROM nasty) t;
SELECT count(*) FILTER (WHERE m <> '***') > 2000 AS many,
	count(*) FILTER (WHERE m !~ '^[-0-9* +()./,#]*$' OR length(regexp_replace(m, '[^0-9]', '', 'g')) > 4) AS wrong
FROM (SELECT retention.mask_phone(v) AS m FROM nasty) t;
SELECT count(*) FILTER (WHERE m <> '***') > 4000 AS many, count(*) FILTER (WHERE m NOT IN ('***', '') AND m::inet <> retention.truncate_ip(m::inet)) AS wrong
FROM (SELECT retention.truncate_ip(v) AS m FROM nasty) t;
SELECT count(*) FILTER (WHERE m <> '***') > 50 AS many, count(*) FILTER (WHERE m !~ '^([0-9]{3}-?\*{4}|\*\*\*|)$') AS wrong
FROM (SELECT retention.generalize_postal(v) AS m FROM nasty) t;

-- Addresses.
CREATE TABLE address AS
SELECT set_masklen(CASE WHEN n % 2 = 0 THEN inet '0.0.0.0' + floor(random() * 4294967296)::bigint
	ELSE inet '2001:db8::' + floor(random() * 9e18)::bigint END, floor(random() * CASE WHEN n % 2 = 0 THEN 33 ELSE 129 END)::integer) AS v
FROM generate_series(1, 5000) n;
ALTER TABLE address ADD c cidr;
UPDATE address SET c = network(v);
SELECT method, (again(method, 'v', 'address')).* FROM unnest(ARRAY['retention.truncate_ip(%s)', 'retention.truncate_ip(%s, 0, 0)', 'retention.truncate_ip(%s, 13, 101)']) method;
SELECT method, (again(method, 'c', 'address')).* FROM unnest(ARRAY['retention.truncate_ip(%s)', 'retention.truncate_ip(%s, 0, 0)', 'retention.truncate_ip(%s, 13, 101)']) method;
SELECT count(*) FILTER (WHERE NOT network(set_masklen(v, CASE family(v) WHEN 4 THEN 24 ELSE 48 END)) = network(set_masklen(t, CASE family(v) WHEN 4 THEN 24 ELSE 48 END))
	OR masklen(t) <> masklen(v) OR host(t) <> host(retention.truncate_ip(host(v)::inet))) AS wrong
FROM (SELECT v, retention.truncate_ip(v) AS t FROM address) a;

-- Dates.
CREATE TABLE moment AS
SELECT '4714-11-24 00:00 BC'::timestamp + power(random(), 4 * random()) * 298989.5 * interval '365.2425 days' AS t FROM generate_series(1, 5000);
INSERT INTO moment SELECT '4714-11-24 00:00 BC'::timestamp + n * interval '7 days 11:11' FROM generate_series(0, 2000) n;
INSERT INTO moment VALUES ('infinity'), ('-infinity'), ('294276-12-31 23:59:59.999999');
ALTER TABLE moment ADD d date, ADD z timestamptz;
UPDATE moment SET d = t::date, z = t AT TIME ZONE 'UTC';
INSERT INTO moment (d) SELECT date '4714-11-24 BC' + (random() * 2147483493)::integer FROM generate_series(1, 3000);
SELECT method, c AS "column", (again(method, c, 'moment')).*
FROM unnest(ARRAY['month', 'quarter', 'year', 'decade']) unit, format('retention.generalize(%%s, %L)', unit) method, unnest(ARRAY['t', 'd', 'z']) c;
-- as date_trunc() does it, except where that overflows
SELECT count(*) > 20000 AS many, count(*) FILTER (WHERE retention.generalize(t, unit) <> date_trunc(unit, t)
	OR retention.generalize(d, unit) <> date_trunc(unit, d::timestamp)::date
	OR retention.generalize(z, unit) <> date_trunc(unit, z, 'UTC')) AS wrong
FROM moment, unnest(ARRAY['month', 'quarter', 'year', 'decade']) unit
WHERE t > '4700-01-01 BC';
-- zones that lost midnights, or whole days; each hour around the first of a month
CREATE TABLE hour AS
SELECT (make_date(y, m, 1) - 2)::timestamp AT TIME ZONE 'UTC' + h * interval '1 hour' + interval '30 minutes' AS z
FROM unnest(ARRAY[1844, 1900, 1901, 1945, 1985, 1990, 1993, 1994, 1995, 2009, 2011, 2012, 2015]) y, generate_series(1, 12) m, generate_series(0, 96) h;
INSERT INTO hour SELECT z FROM moment;
SELECT zone, (again(format('retention.generalize(%%s, ''month'', %L)', zone), 'z', 'hour')).*
FROM unnest(ARRAY['UTC', 'Asia/Tokyo', 'America/Sao_Paulo', 'America/Havana', 'Asia/Manila', 'Asia/Amman', 'Africa/Cairo', 'Asia/Beirut',
	'Pacific/Apia', 'Pacific/Kiritimati', 'Pacific/Kwajalein', 'Australia/Lord_Howe', 'Etc/GMT+12', 'Etc/GMT-14']) zone;

-- Numbers.
CREATE TABLE number AS
SELECT (random() * 65535 - 32768)::smallint AS i2, (random() * 4294967295 - 2147483648)::integer AS i4,
	((random() - 0.5) * 1.8e19)::bigint AS i8, ((random() - 0.5) * power(10::float8, random() * 74 - 36))::real AS f4,
	(random() - 0.5) * power(10::float8, random() * 600 - 300) AS f8, round(((random() - 0.5) * power(10::float8, random() * 30))::numeric, floor(random() * 10)::integer) AS n
FROM generate_series(1, 5000);
INSERT INTO number VALUES
	(-32768, -2147483648, -9223372036854775808, '-3.4028235e38', '-1.7976931348623157e308', '-9e131071'),
	(32767, 2147483647, 9223372036854775807, '3.4028235e38', '1.7976931348623157e308', '9e131071'),
	(0, 0, 0, '1e-45', '5e-324', '1e-16383'), (-1, -1, -1, '-1e-45', '-5e-324', '-1e-16383'),
	(1, 1, 1, 'NaN', 'NaN', 'NaN'), (1, 1, 1, 'Infinity', 'Infinity', 'Infinity'), (1, 1, 1, '-Infinity', '-Infinity', '-Infinity'), (0, 0, 0, '-0', '-0', '-0');
-- and what is near a multiple of 0.1, or is one as floating point has it
INSERT INTO number SELECT n, n, n, n * 0.1::real, n * 0.1::float8, n * 0.1 FROM generate_series(-1000, 1000) n;
INSERT INTO number SELECT n, n, n, n / 7::real, n / 10::float8, n / 7::numeric FROM generate_series(-1000, 1000) n;
SELECT c AS "column", bucket, (again(format('retention.generalize(%%s, %s)', bucket), c, 'number')).*
FROM (VALUES ('i2', '1'), ('i2', '7'), ('i2', '32768'), ('i2', '2147483647'), ('i4', '1'), ('i4', '10'), ('i4', '2147483647'),
	('i8', '1'), ('i8', '1000'), ('i8', '9223372036854775807'),
	('f4', '0.1'), ('f4', '3'), ('f4', '7e-46'), ('f4', '1e38'), ('f4', '1e300'),
	('f8', '0.1'), ('f8', '0.3'), ('f8', '3'), ('f8', '5e-324'), ('f8', '1e308'),
	('n', '0.1'), ('n', '7'), ('n', '0.000000000000001'), ('n', '1e131071')) b(c, bucket);
SELECT count(*) FILTER (WHERE i2 - retention.generalize(i2, 7) NOT BETWEEN 0 AND 6 AND i2 > -32760) AS i2,
	count(*) FILTER (WHERE i4 - retention.generalize(i4, 10) NOT BETWEEN 0 AND 9 AND i4 > -2147483640) AS i4,
	count(*) FILTER (WHERE i8 - retention.generalize(i8, 1000) NOT BETWEEN 0 AND 999 AND i8 > -9223372036854775000) AS i8,
	count(*) FILTER (WHERE abs(f8) < 1e12 AND f8 - retention.generalize(f8, 0.1) NOT BETWEEN -0.0001 AND 0.1) AS f8,
	count(*) FILTER (WHERE abs(f4) < 1e4 AND f4 - retention.generalize(f4, 0.1) NOT BETWEEN -0.001 AND 0.101) AS f4,
	count(*) FILTER (WHERE abs(n) < 1e100 AND (n - retention.generalize(n, 7) NOT BETWEEN 0 AND 7 OR n - retention.generalize(n, 7) = 7)) AS n
FROM number;

-- Documents: random ones, and an oracle in SQL that knows their leaves.
CREATE FUNCTION some_json(depth integer) RETURNS text
	LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind integer := floor(random() * CASE WHEN depth > 0 THEN 12 ELSE 6 END);
	keys text[] := ARRAY['a', 'b', 'c', '0', '1', '*', 'a.b', '\u0061', '\\', '\"', '', U&'\5c71', '\u5c71'];
	space text[] := ARRAY['', '', ' ', E'\n\t'];
	result text := '';
BEGIN
	IF kind < 6 THEN
		RETURN (ARRAY['null', 'true', '0', '-1.50e3', '"a"', '"\u0061\"\n\\"'])[kind + 1];
	END IF;
	FOR i IN 1 .. floor(random() * 4)::integer LOOP
		result := result || CASE WHEN i > 1 THEN ',' ELSE '' END || space[1 + floor(random() * 4)::integer]
			|| CASE WHEN kind < 9 THEN '"' || keys[1 + floor(random() * cardinality(keys))::integer] || '":' ELSE '' END
			|| some_json(depth - 1);
	END LOOP;
	RETURN CASE WHEN kind < 9 THEN '{' || result || '}' ELSE '[' || result || ' ]' END;
END
$$;
CREATE FUNCTION leaves(document jsonb) RETURNS TABLE (path text[], leaf jsonb)
	LANGUAGE sql IMMUTABLE AS $$
	WITH RECURSIVE node(path, value) AS (
		SELECT '{}'::text[], document
		UNION ALL
		SELECT n.path || m.key, m.value
		FROM node n, LATERAL (
			SELECT o.key, o.value FROM jsonb_each(CASE jsonb_typeof(n.value) WHEN 'object' THEN n.value END) o
			UNION ALL
			SELECT '#' || (a.n - 1), a.value
			FROM jsonb_array_elements(CASE jsonb_typeof(n.value) WHEN 'array' THEN n.value END) WITH ORDINALITY a(value, n)) m
	)
	SELECT n.path, CASE WHEN jsonb_typeof(n.value) IN ('object', 'array') THEN to_jsonb(jsonb_typeof(n.value) || '!') ELSE n.value END
	FROM node n
$$;
-- whether a path, as steps, leads to a leaf or above it; '?' is '*'
CREATE FUNCTION leads(steps text[], path text[]) RETURNS boolean
	LANGUAGE sql IMMUTABLE AS $$
	SELECT cardinality(steps) <= cardinality(path) AND NOT EXISTS (
		SELECT FROM unnest(steps) WITH ORDINALITY s(step, n)
		WHERE NOT (s.step = '?' OR path[s.n] = s.step OR (s.step ~ '^[0-9]+$' AND path[s.n] = '#' || s.step)))
$$;
CREATE TABLE random_document AS SELECT n AS id, some_json(5)::json AS j FROM generate_series(1, 8000) n;
ALTER TABLE random_document ADD b jsonb;
UPDATE random_document SET b = j::jsonb;
CREATE TABLE paths (id integer, paths text[], steps text[]);
INSERT INTO paths VALUES
	(1, '{a.b, "*.*.a", c}', '{"a,b", "?,?,a", "c"}'),
	(2, ARRAY['"a.b".*', '*.0', '"*".1', 'b.*.*'], '{"a.b,?", "?,0", "*,1", "b,?,?"}'),
	(3, ARRAY[U&'\5c71', '"".a', '*."""".*', E'*.\\'], ARRAY[U&'\5c71', ',a', '?,",?', E'?,\\']),
	(4, '{*}', '{?}');
SELECT p.id, (again(format('retention.erase_json(%%s, VARIADIC %L)', p.paths), 'b', 'random_document')).*
FROM paths p ORDER BY p.id;
SELECT p.id, count(*) FILTER (WHERE retention.erase_json(once, VARIADIC p.paths)::text <> once::text) AS changed_again,
	count(*) FILTER (WHERE once::jsonb <> retention.erase_json(b, VARIADIC p.paths)) AS unlike_jsonb,
	count(*) FILTER (WHERE once::text = j::text) > 100 AS some_unchanged
FROM paths p, random_document d, LATERAL (SELECT retention.erase_json(d.j, VARIADIC p.paths) AS once OFFSET 0) o
GROUP BY p.id ORDER BY p.id;
SELECT count(*) FILTER (WHERE retention.erase_json(once)::text <> once::text) AS changed_again,
	count(*) FILTER (WHERE once::jsonb <> retention.erase_json(b)) AS unlike_jsonb,
	count(*) FILTER (WHERE EXISTS (SELECT FROM leaves(once::jsonb) WHERE leaf NOT IN ('null', '"object!"', '"array!"'))) AS left_over
FROM random_document d, LATERAL (SELECT retention.erase_json(d.j) AS once OFFSET 0) o;
SELECT p.id, count(*) FILTER (WHERE l.is_led) > 100 AS many,
	count(*) FILTER (WHERE l.is_led AND e.leaf <> 'null') AS left_over,
	count(*) FILTER (WHERE NOT l.is_led AND e.leaf IS DISTINCT FROM l.leaf) AS too_much
FROM paths p, random_document d, LATERAL (
		SELECT path, leaf, EXISTS (SELECT FROM unnest(p.steps) s WHERE leads(string_to_array(s, ','), path)) AS is_led FROM leaves(d.b)) l
	LEFT JOIN LATERAL leaves(retention.erase_json(d.b, VARIADIC p.paths)) e ON e.path = l.path
WHERE d.id <= 3000
GROUP BY p.id ORDER BY p.id;
-- as deep as json goes
SELECT length(retention.erase_json((repeat('[', 3000) || '1' || repeat(']', 3000))::json)::text) AS json,
	length(retention.erase_json((repeat('{"a":', 2000) || '1' || repeat('}', 2000))::jsonb)::text) AS jsonb;

-- Pseudonyms and tombstones: unique, and nobody's text is taken for one.
SELECT count(DISTINCT retention.pseudonym('user' || n)) AS pseudonyms, count(DISTINCT retention.tombstone('x', format('(%s)', n))) AS tombstones
FROM generate_series(1, 100000) n;
CREATE TABLE id AS SELECT md5(n::text)::uuid AS v FROM generate_series(1, 50000) n;
SELECT count(DISTINCT retention.pseudonym(v)) AS pseudonyms, count(DISTINCT retention.tombstone(v, v::text)) AS tombstones FROM id;
SELECT method, (again(method, 'v', 'id')).* FROM unnest(ARRAY['retention.pseudonym(%s)', 'retention.tombstone(%s, ''(1)'')']) method;
CREATE TABLE forged AS
SELECT 'p_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + floor(random() * 32)::integer, 1), '') AS v
FROM generate_series(1, 10000) n, generate_series(1, 32) i GROUP BY n;
INSERT INTO forged SELECT overlay(p PLACING CASE substr(p, i, 1) WHEN 'a' THEN 'b' ELSE 'a' END FROM i)
FROM (SELECT retention.pseudonym(n::text) AS p FROM generate_series(1, 100) n) t, generate_series(1, 34) i;
INSERT INTO forged SELECT upper(retention.pseudonym('x')) UNION ALL SELECT retention.pseudonym('x') || ' ' UNION ALL SELECT left(retention.pseudonym('x'), 33)
UNION ALL SELECT 'p_' || repeat('0', 32) UNION ALL SELECT 'p_' || repeat(U&'\00e9', 16);
SELECT count(*) AS many, count(*) FILTER (WHERE retention.pseudonym(v) = v) AS taken_for_one FROM forged;
SELECT count(*) FILTER (WHERE retention.pseudonym_email(v || '@erased.invalid') = v || '@erased.invalid') AS taken_for_one FROM forged;
SELECT count(*) FILTER (WHERE retention.pseudonym(v) = v) AS taken_for_one
FROM (SELECT overlay(overlay(md5(n::text) PLACING '8' FROM 13) PLACING '9' FROM 17)::uuid AS v FROM generate_series(1, 10000) n
	UNION ALL SELECT overlay(p PLACING CASE substr(p, i, 1) WHEN '1' THEN '2' ELSE '1' END FROM i)::uuid
	FROM (SELECT replace(retention.pseudonym(v)::text, '-', '') AS p FROM id LIMIT 100) t, generate_series(1, 32) i WHERE i NOT IN (13, 17)) f;

--
-- The secret: pseudonyms last as long as it does, and no longer.
--
SELECT retention.pseudonym('x') AS before \gset
BEGIN;
DELETE FROM retention.digest_key;
SAVEPOINT made;
SELECT retention.pseudonym('x') AS first \gset
SELECT :'first' = retention.pseudonym('x') AS same, :'first' <> :'before' AS new;
ROLLBACK TO made;
-- that secret is gone, so are its pseudonyms
SELECT retention.pseudonym('x') AS second \gset
SELECT :'second' <> :'first' AS new, retention.pseudonym(:'first') <> :'first' AS unknown;
SAVEPOINT kept;
SELECT retention.pseudonym('x') = :'second' AS same;
ROLLBACK TO kept;
SELECT retention.pseudonym('x') = :'second' AS same;
ROLLBACK;
SELECT retention.pseudonym('x') = :'before' AS same_as_before;

--
-- Nobody tries out whose pseudonym it is.
--
SET ROLE regress_retention_methods;
SELECT retention.mask('Yamada', 1), retention.erase_json(json '[1]');
SELECT retention.pseudonym('x');
SELECT retention.pseudonym('0b1ac54e-4c9e-4d8c-9a5b-2f1d3c4b5a69'::uuid);
SELECT retention.pseudonym_email('x');
SELECT retention.tombstone('x', 'y');
SELECT retention.tombstone('0b1ac54e-4c9e-4d8c-9a5b-2f1d3c4b5a69'::uuid, 'y');
SELECT retention.tombstone_email('x', 'y');
SELECT retention.pseudonym(NULL::text);
SELECT retention._hmac();
RESET ROLE;
SET retention.admin_role = 'regress_retention_methods_admin';
SET ROLE regress_retention_methods_admin;
SELECT retention.pseudonym('x') = :'before' AS admin;
RESET ROLE;
RESET retention.admin_role;

-- A scrub allows it for a while: not longer than its transaction, nor than
-- the subtransaction in which it did, but across those of others.
CREATE FUNCTION allow(boolean) RETURNS void LANGUAGE c AS '$libdir/retention', 'retention_test_pseudonyms_allow';
CREATE FUNCTION may() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN retention.pseudonym('x') IS NOT NULL;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN false;
END
$$;
GRANT EXECUTE ON FUNCTION allow(boolean), may() TO regress_retention_methods;
SET ROLE regress_retention_methods;
SELECT may();
BEGIN;
SELECT allow(true);
SELECT may();
SAVEPOINT other;
SELECT may();
SELECT 1 / 0;
ROLLBACK TO other;
SELECT may();
SELECT allow(false);
SELECT may();
SAVEPOINT own;
SELECT allow(true);
SELECT may();
ROLLBACK TO own;
SELECT may();
SELECT allow(true);
RELEASE own;
SELECT may();
COMMIT;
SELECT may();
BEGIN;
SELECT allow(true);
ROLLBACK;
SELECT may();
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA methods CASCADE;
DROP ROLE regress_retention_methods, regress_retention_methods_admin;
