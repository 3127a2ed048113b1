-- The trash: every way in, and the way back.
\set VERBOSITY terse
CREATE SCHEMA trash;
SET search_path TO trash, public;
SET client_min_messages TO warning;
SET application_name TO shop;

-- What the last command put into the trash: by table, and how many rows hang
-- on the one deletion.
CREATE FUNCTION last() RETURNS TABLE (relation regclass, leaf text, action text, rows bigint, hangs boolean)
LANGUAGE sql AS $$
	SELECT relation, split_part(leaf, '.', 2), action, rows, parent_id IS NOT NULL
	FROM retention.deletions
	WHERE txid = (SELECT txid FROM retention.deletions ORDER BY deletion_id DESC LIMIT 1)
	ORDER BY deletion_id
$$;
CREATE FUNCTION last_id() RETURNS bigint LANGUAGE sql AS
$$ SELECT max(coalesce(parent_id, deletion_id)) FROM retention.deletions WHERE action = 'trash' $$;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(sqlerrm, '\d+', 'N', 'g');
END $$;
CREATE FUNCTION sum_of(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || left(md5(string_agg(t::text, '','' ORDER BY t::text)), 8) FROM %s t', relation)
		INTO result;
	RETURN result;
END $$;

-- A customer with all that hangs on him.
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, invited_by integer REFERENCES customers ON DELETE SET NULL);
CREATE TABLE orders (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer integer NOT NULL REFERENCES customers ON DELETE CASCADE,
	total numeric(10,2), tax numeric GENERATED ALWAYS AS (total * 0.1) STORED);
CREATE TABLE lines (order_id integer REFERENCES orders ON DELETE CASCADE, n integer, what text, PRIMARY KEY (order_id, n));
CREATE TABLE notes (id integer PRIMARY KEY, customer integer DEFAULT 1 REFERENCES customers ON DELETE SET DEFAULT, text text);
CREATE TABLE visits (id integer PRIMARY KEY, customer integer REFERENCES customers ON DELETE SET NULL);
INSERT INTO customers SELECT i, 'name ' || i, nullif(i - 1, 0) FROM generate_series(1, 5) i;
INSERT INTO orders (customer, total) SELECT i % 5 + 1, i FROM generate_series(1, 20) i;
INSERT INTO lines SELECT o, n, 'thing' FROM generate_series(1, 20) o, generate_series(1, 3) n;
INSERT INTO notes SELECT i, i % 5 + 1, 'note' FROM generate_series(1, 10) i;
INSERT INTO visits SELECT i, i % 5 + 1 FROM generate_series(1, 10) i;
SELECT retention.enable_trash('customers');
SELECT retention.enable_trash('orders', '7 days');
SELECT retention.enable_trash('lines');
CREATE TABLE sums AS SELECT r AS relation, sum_of(r) AS sum
FROM unnest('{customers,orders,lines,notes,visits}'::regclass[]) r;
SET retention.reason TO 'ticket 12';
DELETE FROM customers WHERE id = 3;
RESET retention.reason;
SELECT * FROM last();
SELECT relation, count(*), min(deleted_by) = current_user AS me, min(application) AS application, min(reason) AS reason,
	min(purge_after - deleted_at) AS keeps
FROM retention.trash GROUP BY relation ORDER BY relation;
SELECT trash_id % 1000000 AS n, relation, row_data FROM retention.trash
WHERE deletion_id = last_id() AND relation <> 'lines'::regclass ORDER BY trash_id;
SELECT count(*) FILTER (WHERE customer IS NULL) AS lost, count(*) FILTER (WHERE customer = 3) AS still FROM visits;
SELECT * FROM retention.trash_rows(NULL::orders);
SELECT retention.trash_rows(1);
-- nothing is written by looking
SELECT relation, verdict, count(*) FROM retention.restore_deletion(last_id(), dry_run => true) GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) FROM customers WHERE id = 3;
SELECT relation, verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1, 2 ORDER BY 1;
SELECT s.relation FROM sums s WHERE s.sum <> sum_of(s.relation);
SELECT * FROM last();
SELECT count(*) FROM retention.trash;
-- a restore can be undone, and is gone from the trash
SELECT attempt('SELECT retention.restore_deletion(last_id())');
DELETE FROM customers WHERE id = 3;
SELECT count(*) FROM retention.trash;
-- a single row; what hung on it stays in the trash
SELECT verdict FROM retention.restore((SELECT trash_id FROM retention.trash WHERE relation = 'customers'::regclass));
SELECT relation, count(*) FROM retention.trash GROUP BY relation ORDER BY relation;
SELECT count(*) FROM visits WHERE customer = 3;
SELECT verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1;
SELECT s.relation FROM sums s WHERE s.sum <> sum_of(s.relation);
-- sequences do not move, so that the next key is a new one
INSERT INTO orders (customer, total) VALUES (1, 0) RETURNING id;
DELETE FROM orders WHERE id = 21;

-- A reference that was given another value meanwhile stays.
DELETE FROM customers WHERE id = 4;
UPDATE visits SET customer = 2 WHERE id = 3;
UPDATE notes SET customer = 5 WHERE id = 3;
SELECT count(*) FROM retention.restore_deletion(last_id());
SELECT (SELECT customer FROM visits WHERE id = 3) AS changed_visit, (SELECT customer FROM visits WHERE id = 8) AS visit,
	(SELECT customer FROM notes WHERE id = 3) AS changed_note, (SELECT customer FROM notes WHERE id = 8) AS note;

-- Children of a parent without a trash.
SELECT retention.disable_trash('customers');
SELECT retention.disable_trash('customers');
DELETE FROM customers WHERE id = 5;
SELECT * FROM last();
-- the parent is gone for good, and so nothing can hang on it
SELECT relation, verdict, count(*), min(detail) FROM retention.restore_deletion(last_id(), dry_run => true) GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) FROM retention.restore_deletion(last_id());
SELECT count(*) FROM retention.trash;
SELECT retention.purge_trash('orders') > 0 AS orders, retention.purge_trash('lines') > 0 AS lines;
SELECT retention.purge_trash('customers');
SELECT count(*) FROM retention.trash;

-- Partitions: by the parent, by a leaf, by one that came later, at any depth.
CREATE TABLE events (id integer, at date, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2025 (what text, at date NOT NULL, gone integer, id integer NOT NULL);
ALTER TABLE events_2025 DROP COLUMN gone;
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
SELECT retention.enable_trash('events');
SELECT retention.enable_trash('events_2025');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY RANGE (at);
CREATE TABLE events_2026_a PARTITION OF events_2026 FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
INSERT INTO events SELECT i, '2025-06-01'::date + i * 30, 'e' || i FROM generate_series(0, 12) i;
CREATE TABLE events_before AS SELECT * FROM events;
DELETE FROM events WHERE id % 3 = 0;
SELECT * FROM last();
SELECT verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1;
DELETE FROM events_2025 WHERE id < 3;
SELECT * FROM last();
SELECT verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1;
DELETE FROM events_2026 WHERE id > 10;
DELETE FROM events_2026_a;
SELECT * FROM last();
SELECT count(*) FROM retention.trash;
SELECT verdict, count(*) FROM (SELECT DISTINCT deletion_id FROM retention.trash) t,
	LATERAL retention.restore_deletion(t.deletion_id) GROUP BY 1;
SELECT * FROM events EXCEPT SELECT * FROM events_before;
SELECT * FROM events_before EXCEPT SELECT * FROM events;
-- a row that moves to another partition was not deleted, whatever moves it
UPDATE events SET at = at + 200 WHERE id = 1;
SELECT count(*) FROM retention.trash;
MERGE INTO events e USING (VALUES (1, 'move'), (2, 'delete'), (3, 'stay')) AS v(id, what) ON e.id = v.id
	WHEN MATCHED AND v.what = 'move' THEN UPDATE SET at = '2025-06-01'
	WHEN MATCHED AND v.what = 'delete' THEN DELETE;
SELECT row_data FROM retention.trash;
SELECT retention.purge_trash('events');
-- a partition that leaves is on its own
ALTER TABLE events DETACH PARTITION events_2025;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'events_2025'::regclass AND NOT tgisinternal;
DELETE FROM events_2025;
SELECT count(*) FROM retention.trash;

-- TRUNCATE, with its list and what it cascades to.
INSERT INTO events SELECT i, '2026-01-01'::date + i, 'e' || i FROM generate_series(100, 150) i;
CREATE TABLE other (id integer PRIMARY KEY);
INSERT INTO other VALUES (1);
SELECT retention.enable_trash('customers');
SELECT retention.enable_trash('other');
UPDATE sums SET sum = sum_of(relation);
INSERT INTO sums VALUES ('other', sum_of('other')), ('events', sum_of('events'));
TRUNCATE customers, other, events CASCADE;
SELECT * FROM last() WHERE relation IN (SELECT relation FROM sums);
SELECT verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1;
-- what has no trash did not come back
SELECT s.relation FROM sums s WHERE s.sum <> sum_of(s.relation) ORDER BY 1;

-- Inserted and deleted in one transaction; a command in a function; nothing.
BEGIN;
INSERT INTO other VALUES (7);
DELETE FROM other WHERE id = 7;
COMMIT;
SELECT row_data FROM retention.trash WHERE relation = 'other'::regclass;
DO $$ BEGIN DELETE FROM other WHERE id = 1; DELETE FROM lines WHERE order_id = 1; END $$;
SELECT * FROM last();
DELETE FROM other WHERE false;
BEGIN;
DELETE FROM lines;
ROLLBACK;
SELECT retention.purge_trash('other'), retention.purge_trash('lines');
-- also for a session that replays changes
INSERT INTO other VALUES (8);
SET session_replication_role TO replica;
DELETE FROM other;
RESET session_replication_role;
SELECT row_data FROM retention.trash WHERE relation = 'other'::regclass;
SELECT retention.purge_trash('other');

-- References in a circle, none of them deferrable.
CREATE TABLE hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen ON DELETE CASCADE);
INSERT INTO hen VALUES (1, 1), (2, 2);
INSERT INTO egg VALUES (1, 2), (2, 1);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg ON DELETE CASCADE;
SELECT retention.enable_trash('hen');
SELECT retention.enable_trash('egg');
DELETE FROM hen WHERE id = 1;
SELECT * FROM last();
SELECT relation, verdict FROM retention.restore_deletion(last_id()) ORDER BY 1;
SELECT * FROM hen, egg WHERE hen.egg = egg.id ORDER BY hen.id;

-- What stands in the way: all of it is told; skipped; replaced.
CREATE EXTENSION btree_gist SCHEMA trash;
CREATE TABLE rooms (id integer PRIMARY KEY, name text, room integer, during int4range, EXCLUDE USING gist (room WITH =, during WITH &&));
CREATE UNIQUE INDEX ON rooms (lower(name)) WHERE room < 100;
INSERT INTO rooms VALUES (1, 'A', 1, '[1,5)'), (2, 'B', 2, '[1,5)'), (3, 'C', 3, '[1,5)'), (4, 'D', 4, '[1,5)');
SELECT retention.enable_trash('rooms');
DELETE FROM rooms;
INSERT INTO rooms VALUES (1, 'other', 10, 'empty'), (12, 'b', 12, 'empty'), (13, 'CC', 3, '[4,9)');
SELECT row_id % 1000000 AS n, verdict, detail FROM retention.restore_deletion(last_id(), dry_run => true) ORDER BY 1;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT set_config('trash.id', last_id()::text, false) IS NOT NULL AS remembered;
DO $$
DECLARE
	told text;
BEGIN
	PERFORM retention.restore_deletion(current_setting('trash.id')::bigint);
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS told = PG_EXCEPTION_DETAIL;
	RAISE WARNING '%: %', sqlerrm, regexp_replace(told, '\d+(\d):', '\1:', 'g');
END $$;
\set VERBOSITY terse
SELECT retention.restore_deletion(last_id(), 'overwrite');
SELECT * FROM rooms ORDER BY id;
SELECT row_id % 1000000 AS n, verdict FROM retention.restore_deletion(last_id(), 'skip') ORDER BY 1;
SELECT * FROM rooms ORDER BY id;
SELECT row_data ->> 'id' AS id FROM retention.trash WHERE relation = 'rooms'::regclass ORDER BY 1;
SELECT row_id % 1000000 AS n, verdict FROM retention.restore_deletion(current_setting('trash.id')::bigint, 'replace') ORDER BY 1;
SELECT * FROM rooms ORDER BY id;
SELECT row_data FROM retention.trash WHERE relation = 'rooms'::regclass ORDER BY row_data ->> 'id';

-- The table has changed since: renamed, added, retyped, dropped.
CREATE TABLE drift (id integer PRIMARY KEY, a text, b integer, c text, d text);
INSERT INTO drift VALUES (1, 'a', 2, '3', 'd');
SELECT retention.enable_trash('drift');
DELETE FROM drift;
ALTER TABLE drift RENAME a TO first;
ALTER TABLE drift ADD a text DEFAULT 'new';
ALTER TABLE drift ALTER b TYPE numeric(5,1), ALTER c TYPE bigint USING c::bigint, DROP d;
ALTER TABLE drift ADD d integer NOT NULL DEFAULT 7;
ALTER TABLE drift RENAME TO drifted;
SELECT row_data FROM retention.trash WHERE relation = 'drifted'::regclass;
SELECT * FROM retention.trash_rows(NULL::drifted);
SELECT verdict FROM retention.restore_deletion(last_id(), dry_run => true);
SELECT verdict FROM retention.restore_deletion(last_id());
SELECT * FROM drifted;
DELETE FROM drifted;
ALTER TABLE drifted ALTER first TYPE integer USING 0;
SELECT verdict, detail FROM retention.restore_deletion(last_id(), dry_run => true);
SELECT retention.restore_deletion(last_id());
ALTER TABLE drifted ALTER first TYPE text;
ALTER TABLE drifted ADD CHECK (b > 100) NOT VALID;
SELECT verdict, detail FROM retention.restore_deletion(last_id(), dry_run => true);
SELECT retention.restore_deletion(last_id());
SELECT retention.restore(1);
SELECT retention.restore_deletion(NULL);

-- What cannot be read any more does not hide the rest.
CREATE TYPE size AS ENUM ('s', 'm');
CREATE TABLE shirts (id integer PRIMARY KEY, size size);
INSERT INTO shirts VALUES (1, 's'), (2, 'm');
SELECT retention.enable_trash('shirts');
DELETE FROM shirts;
ALTER TYPE size RENAME VALUE 'm' TO 'medium';
SELECT trash_id % 1000000 AS n, row_data FROM retention.trash WHERE relation = 'shirts'::regclass ORDER BY 1;
SELECT verdict, detail FROM retention.restore_deletion(last_id(), dry_run => true);
ALTER TYPE size RENAME VALUE 'medium' TO 'm';
SELECT verdict, detail FROM retention.restore_deletion(last_id(), dry_run => true);
DROP TYPE size CASCADE;
SELECT trash_id % 1000000 AS n, row_data FROM retention.trash WHERE relation = 'shirts'::regclass ORDER BY 1;
SELECT attempt('SELECT retention.restore_deletion(last_id())');
SELECT retention.purge_trash('shirts');

-- A policy that moves rows to the trash; a restored row is left in peace.
CREATE TABLE due (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE hangs (id integer PRIMARY KEY, due integer REFERENCES due ON DELETE CASCADE);
INSERT INTO due SELECT i, '2020-01-01' FROM generate_series(1, 100) i;
INSERT INTO hangs SELECT i, i FROM generate_series(1, 100) i;
SET client_min_messages TO notice;
SELECT retention.add_policy('due', 'trash', '30 days', 'at', every => NULL, max_fraction => 1);
SET client_min_messages TO warning;
SELECT retention.enable_trash('hangs');
CALL retention.run_policy('due_trash');
SELECT state, rows, batches, blocked FROM retention.runs WHERE policy = 'due_trash' ORDER BY run_id DESC LIMIT 1;
SELECT policy, relation, action, sum(rows) FROM retention.deletions
WHERE run_id = (SELECT max(run_id) FROM retention.runs WHERE policy = 'due_trash') GROUP BY 1, 2, 3 ORDER BY 2;
SELECT count(*) FROM due, hangs;
SELECT verdict, count(*) FROM retention.restore_deletion(last_id()) GROUP BY 1;
INSERT INTO due VALUES (101, '2020-01-01');
CALL retention.run_policy('due_trash');
SELECT count(*) FROM due;
SELECT row_data FROM retention.trash WHERE relation = 'due'::regclass;
-- rows that would not arrive are not deleted
INSERT INTO due VALUES (102, '2020-01-01');
INSERT INTO hangs VALUES (102, 102);
ALTER TABLE due DISABLE TRIGGER retention_trash;
CALL retention.run_policy('due_trash');
SELECT severity, subject, finding, hint FROM retention.health WHERE subject = 'due';
SELECT count(*) FROM due;
-- a policy that deletes does so, trash or not; what goes along has a trash of its own
SELECT retention.drop_policy('due_trash');
-- as the hint says
SELECT retention.enable_trash('due');
SELECT count(*) FROM retention.health WHERE subject = 'due';
SELECT retention.add_policy('due', 'delete', '6 years', 'at', every => NULL, max_fraction => 1);
CALL retention.run_policy('due_delete');
SELECT policy, relation, action, sum(rows) FROM retention.deletions
WHERE run_id = (SELECT max(run_id) FROM retention.runs WHERE policy = 'due_delete') GROUP BY 1, 2, 3 ORDER BY 2;
SELECT count(*) FROM retention.trash WHERE relation = 'due'::regclass;

-- A row that cannot be kept: not deleted, or deleted with a record of the gap.
CREATE TABLE broken (id integer PRIMARY KEY);
INSERT INTO broken VALUES (1), (2), (3);
SELECT retention.enable_trash('broken');
SELECT retention.enable_trash('broken', on_capture_error => 'maybe');
SELECT retention.enable_trash('broken', '-1 day');
SELECT retention.enable_trash('broken', '20000 years');
SELECT retention.enable_trash(NULL);
ALTER TABLE retention.shape ADD CONSTRAINT broken CHECK (false) NOT VALID;
DELETE FROM broken WHERE id = 1;
SELECT retention.enable_trash('broken', on_capture_error => 'allow');
DELETE FROM broken WHERE id = 2;
SELECT * FROM last();
ALTER TABLE retention.shape DROP CONSTRAINT broken;
DELETE FROM broken WHERE id = 3;
SELECT * FROM last();
SELECT row_data FROM retention.trash WHERE relation = 'broken'::regclass;
SELECT severity, subject, finding FROM retention.health WHERE subject = 'trash.broken';

-- What cannot have a trash.
CREATE VIEW v AS SELECT 1 AS id;
CREATE TABLE base (id integer);
CREATE TABLE derived () INHERITS (base);
SELECT retention.enable_trash('v');
SELECT retention.enable_trash('base');
SELECT retention.enable_trash('derived');
SELECT retention.enable_trash('events_2026_a');

-- The timed purge.
SELECT count(*) > 0 AS has_rows FROM retention.trash;
SET retention.test_now TO '2030-01-01 00:00Z';
SELECT count(*) FROM retention.trash;
SELECT count(*) > 0 AS still_there FROM retention.trash_chunk;
SELECT count(*) FROM retention.health WHERE subject = 'trash';
CALL retention.run_due();
SELECT count(*) FROM retention.trash_chunk;
SELECT action, relation, rows > 0 AS has_rows, actor = current_user AS me FROM retention.deletions
WHERE happened_at > '2029-01-01' ORDER BY relation::text COLLATE "C";
SELECT min(name), max(name), count(*) FROM retention._trash_days();
-- a deletion does not need the table of its day
RESET retention.test_now;
DELETE FROM other;
INSERT INTO other VALUES (9);
DELETE FROM other;
SELECT row_data, tableoid::regclass FROM retention.trash, retention.trash_chunk;
SELECT verdict FROM retention.restore_deletion(last_id());
DELETE FROM other;
SET retention.test_now TO '2030-01-01 00:00Z';
CALL retention.run_due();
SELECT count(*) FROM retention.trash_chunk;
RESET retention.test_now;

SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA trash CASCADE;
