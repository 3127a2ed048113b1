-- Deletion records: what they say, how a deletion is found, that they stay.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA records;
SET search_path = records;
RESET client_min_messages;
\set SHOW_CONTEXT never

CREATE TABLE people (id bigint PRIMARY KEY, email text, at timestamptz);
INSERT INTO people SELECT n, 'p' || n || '@example.org', '2026-01-01 00:00+00' FROM generate_series(1, 5) n;
INSERT INTO people VALUES (6, 'p6@example.org', '2026-02-28 00:00+00');
SELECT retention.add_policy('people', 'delete', '30 days', 'at', max_fraction => 1);

-- The reason and the application come from the session.
SET retention.reason = 'ticket 4711';
SET application_name = 'records.sql';
CALL retention.run_policy('people_delete');
RESET retention.reason;
SELECT policy, policy_version, relation, relation_name, leaf, action, rows, cutoff, happened_at,
	actor = current_user AS by_me, application, reason, parent_id, key_columns,
	length(digests) AS bytes, txid IS NOT NULL AS has_txid
FROM retention.deletions WHERE policy = 'people_delete' \gx
SELECT d.run_id = u.run_id AS same_run, d.cutoff = u.cutoff AS same_cutoff
FROM retention.deletions d, retention.runs u
WHERE d.policy = 'people_delete' AND u.policy = 'people_delete';

-- What was there and is gone is found; what is there, or never was, is not.
SELECT k, (SELECT count(*) FROM retention.find_deletion('people', k)) AS found
FROM unnest('{1,2,3,4,5,6,7,-1}'::text[]) k;
SELECT count(*) FROM retention.find_deletion('people', ' 3 ');
SELECT count(*) FROM retention.find_deletion('people', NULL);
SELECT count(*) FROM retention.find_deletion('people', 'p1@example.org');
-- A digest is no key, and no plain hash of one either.
SELECT count(*) FROM retention.deletions d, people p
WHERE d.policy = 'people_delete' AND position(int8send(p.id) IN d.digests) > 0;
SELECT count(*) FROM retention.deletions d, generate_series(1, 5) k
WHERE d.policy = 'people_delete'
	AND (position(public.digest(int8send(k), 'md5') IN d.digests) > 0
		OR position(public.digest(k::text, 'md5') IN d.digests) > 0);
-- Equal keys have equal digests, in whatever record; different keys different
-- ones.
INSERT INTO people VALUES (1, 'again', '2026-01-01 00:00+00'), (8, 'x', '2026-01-01 00:00+00');
CALL retention.run_policy('people_delete');
SELECT count(*) FROM retention.find_deletion('people', '1');
SELECT count(DISTINCT substr(digests, 16 * n::integer + 1, 16)) AS digests, count(*) AS keys
FROM retention.deletions, generate_series(0, rows - 1) n WHERE policy = 'people_delete';
SELECT sum(rows) * 16 = sum(length(digests)) AS sixteen_each FROM retention.deletions
WHERE key_columns <> '{}';

-- Keys of several columns and types; the parts do not run into each other.
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE TYPE color AS ENUM ('red', 'green');
CREATE TABLE wide (a text, b code, c color, d numeric, e date, f uuid, g bytea, h integer[], at timestamptz,
	PRIMARY KEY (b, a, c, d, e, f, g, h));
INSERT INTO wide VALUES
	('ab', 'c', 'red', 1.50, '2026-01-01', '00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}', '2026-01-01'),
	('a', 'bc', 'red', 1.50, '2026-01-01', '00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}', '2026-06-01');
SELECT retention.add_policy('wide', 'delete', '1 month', 'at');
CALL retention.run_policy('wide_delete');
SELECT key_columns FROM retention.deletions WHERE policy = 'wide_delete';
SELECT count(*) FROM retention.find_deletion('wide', 'c', 'ab', 'red', '1.50', '2026-01-01',
	'00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}');
SELECT count(*) FROM retention.find_deletion('wide', 'bc', 'a', 'red', '1.50', '2026-01-01',
	'00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}');
SELECT count(*) FROM retention.find_deletion('wide', 'c', 'ab', 'green', '1.50', '2026-01-01',
	'00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}');
-- equal is equal: 1.5 is 1.50
SELECT count(*) FROM retention.find_deletion('wide', 'c', 'ab', 'red', '1.5', '2026-01-01',
	'00000000-0000-0000-0000-000000000001', '\x00ff', '{1,2}');

-- Values that are long, and stored compressed or out of line.
CREATE TABLE long (id text PRIMARY KEY, at timestamptz);
INSERT INTO long VALUES (repeat('x', 2500), '2026-01-01'), (repeat('y', 2000), '2026-01-01');
SELECT retention.add_policy('long', 'delete', '1 month', 'at');
CALL retention.run_policy('long_delete');
SELECT count(*) FROM retention.find_deletion('long', repeat('x', 2500));
SELECT count(*) FROM retention.find_deletion('long', repeat('x', 2499));

-- char(n) and collations: equal is equal.
CREATE TABLE padded (id char(8) PRIMARY KEY, at timestamptz);
INSERT INTO padded VALUES ('abc', '2026-01-01');
SELECT retention.add_policy('padded', 'delete', '1 month', 'at');
CALL retention.run_policy('padded_delete');
SELECT count(*) FROM retention.find_deletion('padded', 'abc');

-- No primary key: the replica identity, else all columns.
CREATE TABLE identified (a integer NOT NULL, b text, at timestamptz);
CREATE UNIQUE INDEX identified_a ON identified (a);
ALTER TABLE identified REPLICA IDENTITY USING INDEX identified_a;
INSERT INTO identified VALUES (1, 'x', '2026-01-01');
SELECT retention.add_policy('identified', 'delete', '1 month', 'at');
CALL retention.run_policy('identified_delete');
SELECT key_columns FROM retention.deletions WHERE policy = 'identified_delete';
SELECT count(*) FROM retention.find_deletion('identified', '1');
CREATE TABLE keyless (a integer, b text, at timestamptz);
INSERT INTO keyless VALUES (1, NULL, '2026-01-01'), (1, NULL, '2026-01-01'), (NULL, '', '2026-01-01');
SELECT retention.add_policy('keyless', 'delete', '1 month', 'at');
CALL retention.run_policy('keyless_delete');
SELECT rows, key_columns, length(digests) FROM retention.deletions WHERE policy = 'keyless_delete';
SELECT count(*) FROM retention.find_deletion('keyless', '1', NULL, '2026-01-01 00:00+00');
SELECT count(*) FROM retention.find_deletion('keyless', NULL, '', '2026-01-01 00:00+00');
SELECT count(*) FROM retention.find_deletion('keyless', '', '', '2026-01-01 00:00+00');

-- The table gets another name, another schema, another key: what is recorded
-- is found as long as the question fits the record.
ALTER TABLE people RENAME TO persons;
CREATE SCHEMA records_new;
ALTER TABLE persons SET SCHEMA records_new;
ALTER TABLE records_new.persons RENAME COLUMN id TO person_id;
SELECT relation, relation_name, leaf, sum(rows) AS rows, key_columns
FROM retention.deletions WHERE policy = 'people_delete' GROUP BY 1, 2, 3, 5;
SELECT count(*) FROM retention.find_deletion('records_new.persons', '3');
-- Dropped: the records stay, for those who see all.
DROP TABLE records_new.persons;
SELECT relation_name, leaf, sum(rows) AS rows
FROM retention.deletions WHERE policy = 'people_delete' GROUP BY 1, 2;

-- A run that is undone is not recorded.
CREATE TABLE undone (id integer PRIMARY KEY, at timestamptz);
INSERT INTO undone VALUES (1, '2026-01-01');
SELECT retention.add_policy('undone', 'delete', '1 month', 'at');
BEGIN;
CALL retention.run_policy('undone_delete');
SELECT count(*) FROM retention.find_deletion('undone', '1');
ROLLBACK;
SELECT count(*) FROM retention.find_deletion('undone', '1');

-- The records can only be added to: no user changes them, and a superuser not
-- by accident.
UPDATE retention.deletion SET rows = 0;
DELETE FROM retention.deletion;
TRUNCATE retention.deletion;
DELETE FROM retention.policy_change;
TRUNCATE retention.policy_change;
UPDATE retention.policy_change SET changed_by = 'nobody';
SET session_replication_role = replica;
DELETE FROM retention.deletion;
TRUNCATE retention.deletion;
RESET session_replication_role;
INSERT INTO retention.deletion (deletion_id, relation_id, leaf, action, rows, happened_at, actor, txid, key_columns, digests)
OVERRIDING SYSTEM VALUE
SELECT deletion_id, relation_id, leaf, action, 1, now(), 'me', '1', '{}', '' FROM retention.deletion LIMIT 1
ON CONFLICT (deletion_id) DO UPDATE SET rows = 0;
MERGE INTO retention.deletion d USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE;
UPDATE retention.deletions SET rows = 0;
DELETE FROM retention.runs;
SELECT count(*) > 5 AS still_there FROM retention.deletions;

SET client_min_messages = warning;
SELECT retention.drop_policy('people_delete');
SELECT count(retention.drop_policy(policy)) FROM retention.policies
WHERE relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'records'::regnamespace);
DROP SCHEMA records, records_new CASCADE;
