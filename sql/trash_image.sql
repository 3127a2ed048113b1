-- What goes through the trash comes back as it was, byte for byte, whatever
-- the settings of the sessions are that delete and restore it.
\set VERBOSITY terse
CREATE SCHEMA trash_image;
SET search_path TO trash_image, public;
SET client_min_messages TO warning;

CREATE EXTENSION hstore SCHEMA trash_image;
CREATE EXTENSION citext SCHEMA trash_image;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a integer, m mood, j json, t text);
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE DOMAIN numbers AS integer[];
CREATE DOMAIN document AS jsonb;
CREATE TYPE nested AS (p pair, ps pair[], d numbers);

CREATE TABLE image (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	what text,
	f4 real, f8 double precision, n numeric, n2 numeric(10,2), i8 bigint, x8 xid8,
	j json, jb jsonb, doc document, jba jsonb[],
	ints integer[], i2v int2vector, texts text[], ds numbers,
	b bytea, p pair, ps pair[], ne nested,
	m mood, ms mood[], c char(5), ch "char", vb varbit, mo money, u uuid, x xml,
	ci citext, cis citext[], inet inet, mac macaddr8,
	r int4range, tr tstzrange, mr int4multirange, rm moods, rms moods[],
	pt point, box box, tsv tsvector, tsq tsquery, lsn pg_lsn, jp jsonpath,
	ts timestamptz, d date, t time, tt timetz, iv interval,
	h hstore, hs hstore[], rc regclass, rp regprocedure, na name, o oid,
	g text GENERATED ALWAYS AS (what || '!') STORED);
ALTER TABLE image DROP COLUMN o;
INSERT INTO image (what, f4, f8) VALUES
	('minus zero', '-0', '-0'), ('nan', 'nan', 'nan'), ('infinity', 'inf', '-inf'),
	('tiny', 1e-45, 5e-324), ('third', 0.1::real, 0.1::float8 + 0.2);
INSERT INTO image (what, n, n2, i8, x8) VALUES
	('scale', 1.10, 1.1, 9223372036854775807, '18446744073709551615'),
	('small', 1e-20, 0, -9223372036854775808, '0'), ('nan', 'nan', 'nan', 0, '1'),
	('infinity', 'infinity', NULL, 1, NULL), ('long', repeat('9', 131072)::numeric, 1, 1, NULL);
INSERT INTO image (what, j, jb, doc, jba) VALUES
	('order', '{"b": 1,  "a": 2, "b": 3}', '{"b": 1, "a": 1.0}', '[1]', ARRAY['null', '{"x": null}']::jsonb[]),
	('escaped nul', '{"x": "\u0000"}', '"scalar"', '{}', '{}'),
	('null', 'null', 'null', 'null', ARRAY[NULL, 'null']::jsonb[]);
INSERT INTO image (what, ints, i2v, texts, ds) VALUES
	('bounds', '[2:4]={1,2,3}', '1 2 3', '[0:1]={"",NULL}', '{1,2}'),
	('two dimensions', '[1:2][3:4]={{1,2},{3,4}}', '', '{{a,"b,c"},{"\"",NULL}}', '{}'),
	('empty', '{}', NULL, '{}', NULL);
INSERT INTO image (what, b, p, ps, ne) VALUES
	('composite', '\x00deadbeef', (1, 'ok', '{"a":  1}', 'x,"y'), ARRAY[(1, 'sad', NULL, '')::pair, NULL],
		((2, 'happy', 'null', NULL), ARRAY[(3, NULL, '[]', 'z')::pair], '[5:5]={7}')),
	('composite of nulls', '', (NULL, NULL, NULL, NULL), '{}', (NULL, NULL, NULL));
INSERT INTO image (what, m, ms, c, ch, vb, mo, u, x, ci, cis, inet, mac) VALUES
	('words', 'happy', '[5:6]={sad,NULL}', 'ab', 'z', B'10110', -12.34, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
		'<a>ä</a>', 'ABC', '{AbC,NULL}', '10.0.0.1/8', '08:00:2b:01:02:03:04:05'),
	('empty words', 'sad', '{}', '', '', B'', 0, NULL, '', '', '{}', '::1', NULL);
INSERT INTO image (what, r, tr, mr, rm, rms, pt, box, tsv, tsq, lsn, jp) VALUES
	('ranges', '[1,5)', '(,2020-01-01Z]', '{[1,2),[5,9)}', '[sad,ok]', ARRAY['empty', '(,happy)']::moods[],
		'(-0,1)', '(1,2),(3,4)', 'a:1A b:2', 'a & !b', '16/B374D848', '$.a[*] ? (@ > 1)'),
	('empty ranges', 'empty', 'empty', '{}', 'empty', '{}', NULL, NULL, '', NULL, NULL, NULL);
INSERT INTO image (what, ts, d, t, tt, iv) VALUES
	('infinity', 'infinity', '-infinity', '24:00', '12:00+09', '-1 mon +2 days -03:00'),
	('BC', '0044-03-15 12:00 BC', '4713-01-01 BC', '0:00', '23:59:59.999999-15:59:59', '1 year'),
	('LMT', '1800-01-01 00:00+05:53:28', '5874897-12-31', '12:34:56.789', NULL, '178000000 years');
INSERT INTO image (what, h, hs, rc, rp, na) VALUES
	('types of extensions', 'a=>1, b=>NULL', ARRAY['x=>y'::hstore, ''], 'image', 'pg_catalog.abs(integer)', 'name');
INSERT INTO image (what) VALUES ('nothing'), (NULL);

CREATE TABLE before AS SELECT image FROM image;
SELECT retention.enable_trash('image');

-- deleted under these settings
SET DateStyle TO 'SQL, DMY';
SET IntervalStyle TO sql_standard;
SET extra_float_digits TO 0;
SET bytea_output TO escape;
SET TimeZone TO 'Asia/Tokyo';
DELETE FROM image;
SELECT count(*) FROM image;
-- restored under those
RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
SET TimeZone TO 'America/New_York';
SET search_path TO pg_catalog;
SELECT verdict, count(*)
FROM retention.restore_deletion((SELECT max(deletion_id) FROM retention.deletions))
GROUP BY 1;
SET search_path TO trash_image, public;
RESET TimeZone;
SELECT count(*) FROM image;
-- each row is there, and is equal as an image
SELECT (before.image).id, (before.image).what
FROM before
WHERE NOT EXISTS (SELECT FROM image WHERE image *= before.image)
ORDER BY 1;

-- What is in the trash can be looked at, all of it.
DELETE FROM image;
SELECT count(row_data) FROM retention.trash WHERE relation = 'image'::regclass;
SELECT row_data ->> 'what' AS what, row_data -> 'j' AS j, row_data -> 'jb' AS jb,
	row_data -> 'ints' AS ints, row_data -> 'ms' AS ms, row_data -> 'p' AS p
FROM retention.trash
WHERE relation = 'image'::regclass AND row_data ->> 'what' IN ('escaped nul', 'bounds', 'composite')
ORDER BY trash_id;

-- More columns than most tables have, and values that came by default.
DO $$
BEGIN
	EXECUTE (SELECT 'CREATE TABLE wide (' || string_agg(format('c%s %s', i,
		(ARRAY['bool', 'smallint', '"char"'])[i % 3 + 1]), ', ') || ')' FROM generate_series(1, 1600) i);
	EXECUTE (SELECT 'INSERT INTO wide VALUES (' || string_agg(
		(ARRAY['true', '7', '''x''', 'NULL'])[CASE WHEN i % 7 = 0 THEN 4 ELSE i % 3 + 1 END], ', ') || ')'
		FROM generate_series(1, 1600) i);
END $$;
CREATE TABLE fast (id integer PRIMARY KEY);
INSERT INTO fast VALUES (1);
ALTER TABLE fast ADD COLUMN missing text DEFAULT 'was not written';
CREATE TABLE before_wide AS SELECT wide FROM wide;
SELECT retention.enable_trash('wide');
SELECT retention.enable_trash('fast');
WITH a AS (DELETE FROM wide), b AS (DELETE FROM fast) SELECT;
SELECT relation, rows, parent_id IS NULL AS is_root FROM retention.deletions
ORDER BY deletion_id DESC LIMIT 2;
SELECT row_data FROM retention.trash WHERE relation = 'fast'::regclass;
SELECT relation, verdict
FROM retention.restore_deletion((SELECT max(deletion_id) FROM retention.trash));
SELECT count(*) FROM wide, before_wide WHERE wide *= before_wide.wide;
SELECT * FROM fast;

-- Long values, compressed and not.
CREATE TABLE long (id integer PRIMARY KEY, t text, b bytea);
ALTER TABLE long ALTER b SET STORAGE EXTERNAL;
INSERT INTO long VALUES (1, repeat('0123456789', 200000), decode(repeat('00ff', 500000), 'hex')),
	(2, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 50000) i), NULL);
CREATE TABLE before_long AS SELECT id, md5(t) AS t, md5(b) AS b FROM long;
SELECT retention.enable_trash('long');
DELETE FROM long;
VACUUM long;
SELECT verdict, count(*)
FROM retention.restore_deletion((SELECT max(deletion_id) FROM retention.trash))
GROUP BY 1;
SELECT count(*) FROM before_long x JOIN long l USING (id)
WHERE x.t = md5(l.t) AND x.b IS NOT DISTINCT FROM md5(l.b);

SELECT relation, retention.purge_trash(relation) > 0 AS purged
FROM (SELECT DISTINCT relation FROM retention.trash) t
ORDER BY relation::text;
SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA trash_image CASCADE;
