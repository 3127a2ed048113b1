-- Runs: what goes, what will not go, what goes along.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA run;
SET search_path = run;

-- The last run of a policy, and the records of it.
CREATE FUNCTION last_run(policy text,
	OUT state text, OUT rows bigint, OUT blocked bigint, OUT error text, OUT cause text)
	RETURNS record LANGUAGE sql AS $$
	SELECT u.state, u.rows, u.blocked, u.error, u.blocked_cause
	FROM retention.runs u WHERE u.policy = $1 ORDER BY run_id DESC LIMIT 1
$$;
CREATE FUNCTION records(policy text,
	OUT "table" text, OUT parent text, OUT rows bigint, OUT keys text)
	RETURNS SETOF record LANGUAGE sql AS $$
	SELECT d.leaf, p.leaf, sum(d.rows), array_to_string(d.key_columns, ', ')
	FROM retention.deletions d LEFT JOIN retention.deletions p ON p.deletion_id = d.parent_id
	WHERE d.run_id = (SELECT max(run_id) FROM retention.runs u WHERE u.policy = $1)
	GROUP BY 1, 2, 4 ORDER BY 1, 2
$$;
RESET client_min_messages;

--
-- Rows that will not go stop nobody else. A foreign key that does not cascade:
--
CREATE TABLE customers (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE invoices (id integer PRIMARY KEY, customer integer REFERENCES customers);
CREATE TABLE carts (id integer PRIMARY KEY, customer integer REFERENCES customers ON DELETE RESTRICT);
INSERT INTO customers SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 10) n;
INSERT INTO invoices VALUES (1, 2), (2, 2), (3, 9);
INSERT INTO carts VALUES (1, 9), (2, 10);
SELECT retention.add_policy('customers', 'delete', '30 days', 'at');
CALL retention.run_policy('customers_delete');
SELECT array_agg(id ORDER BY id) FROM customers;
SELECT * FROM last_run('customers_delete');
SELECT severity, finding, hint FROM retention.health
WHERE subject = 'customers_delete' AND finding LIKE '%could not be deleted%';
-- once the cause is gone, so are the rows, and the finding
DELETE FROM invoices;
DELETE FROM carts WHERE id = 1;
SET client_min_messages = warning;     -- RESTRICT has its own words in PostgreSQL 18
CALL retention.run_policy('customers_delete');
RESET client_min_messages;
SELECT array_agg(id ORDER BY id) FROM customers;
DELETE FROM carts;
CALL retention.run_policy('customers_delete');
SELECT * FROM last_run('customers_delete');
SELECT count(*) FROM retention.health
WHERE subject = 'customers_delete' AND finding LIKE '%could not be deleted%';

-- A trigger that raises, and one that says no by returning NULL:
CREATE TABLE picky (id integer PRIMARY KEY, at timestamptz);
INSERT INTO picky SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 20) n;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.id % 7 = 0 THEN
		RAISE EXCEPTION 'row % is precious', OLD.id;
	ELSIF OLD.id % 10 = 0 THEN
		RETURN NULL;
	END IF;
	RETURN OLD;
END $$;
CREATE TRIGGER refuse BEFORE DELETE ON picky FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT retention.add_policy('picky', 'delete', '30 days', 'at');
CALL retention.run_policy('picky_delete');
SELECT array_agg(id ORDER BY id) FROM picky;
SELECT state, rows, blocked FROM last_run('picky_delete');
CALL retention.run_policy('picky_delete');
SELECT state, rows, blocked FROM last_run('picky_delete');

-- The same by an AFTER trigger and a statement trigger.
CREATE TABLE picky2 (id integer PRIMARY KEY, at timestamptz);
INSERT INTO picky2 SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 9) n;
CREATE TRIGGER refuse AFTER DELETE ON picky2 FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT retention.add_policy('picky2', 'delete', '30 days', 'at');
CALL retention.run_policy('picky2_delete');
SELECT array_agg(id ORDER BY id) FROM picky2;
SELECT state, rows, blocked, cause FROM last_run('picky2_delete');
CREATE TABLE picky3 (id integer PRIMARY KEY, at timestamptz);
INSERT INTO picky3 SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 9) n;
CREATE FUNCTION refuse_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'nobody deletes here' USING HINT = 'Ask Bob.';
END $$;
CREATE TRIGGER refuse BEFORE DELETE ON picky3 FOR EACH STATEMENT EXECUTE FUNCTION refuse_all();
SELECT retention.add_policy('picky3', 'delete', '30 days', 'at');
\set SHOW_CONTEXT never
CALL retention.run_policy('picky3_delete');
\set SHOW_CONTEXT errors
SELECT state, rows, blocked, error FROM last_run('picky3_delete');
SELECT state, reason FROM retention.policies WHERE policy = 'picky3_delete';

--
-- Rows that go along: ON DELETE CASCADE, four levels deep, is told when the
-- policy is made, and every row of it is recorded under its parent.
--
CREATE TABLE shops (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE orders (shop integer REFERENCES shops ON DELETE CASCADE, no integer, PRIMARY KEY (shop, no));
CREATE TABLE items (id integer PRIMARY KEY, shop integer, no integer,
	FOREIGN KEY (shop, no) REFERENCES orders ON DELETE CASCADE);
CREATE TABLE "Item Notes" (id integer PRIMARY KEY, item integer REFERENCES items ON DELETE CASCADE);
CREATE TABLE log (id integer PRIMARY KEY, shop integer REFERENCES shops ON DELETE SET NULL);
CREATE TABLE settings (id integer PRIMARY KEY,
	shop integer DEFAULT -1 REFERENCES shops ON DELETE SET DEFAULT);
INSERT INTO shops VALUES (-1, NULL);
INSERT INTO shops SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 4) n;
INSERT INTO shops SELECT n, '2026-02-28 00:00+00' FROM generate_series(5, 6) n;
INSERT INTO orders SELECT s, n FROM generate_series(1, 6) s, generate_series(1, 3) n;
INSERT INTO items SELECT 10 * s + n, s, n FROM generate_series(1, 6) s, generate_series(1, 3) n;
INSERT INTO "Item Notes" SELECT id, id FROM items WHERE id % 2 = 0;
INSERT INTO log SELECT n, n FROM generate_series(1, 6) n;
INSERT INTO settings SELECT n, n FROM generate_series(1, 6) n;
SELECT retention.add_policy('shops', 'delete', '30 days', 'at', max_fraction => 1);
SELECT cascades FROM retention.policies WHERE policy = 'shops_delete';
CALL retention.run_policy('shops_delete');
SELECT array_agg(id ORDER BY id) FROM shops;
SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM items) AS items,
	(SELECT count(*) FROM "Item Notes") AS notes;
SELECT * FROM log ORDER BY id;
SELECT * FROM settings ORDER BY id;
SELECT state, rows, blocked FROM last_run('shops_delete');
SELECT * FROM records('shops_delete');
-- each is found by its own key
SELECT leaf, rows FROM retention.find_deletion('orders', '2', '3');
SELECT leaf FROM retention.find_deletion('items', '23');
SELECT leaf FROM retention.find_deletion('"Item Notes"', '22');
SELECT count(*) FROM retention.find_deletion('"Item Notes"', '23');

-- What hangs deeper down and refuses blocks its whole branch, and only that.
CREATE TABLE evidence (id integer PRIMARY KEY, note integer REFERENCES "Item Notes");
INSERT INTO evidence VALUES (1, 52);
SET retention.test_now = '2026-06-01 12:00:00+00';
CALL retention.run_policy('shops_delete');
SELECT array_agg(id ORDER BY id) FROM shops;
SELECT state, rows, blocked, cause FROM last_run('shops_delete');
SELECT * FROM records('shops_delete');
SET retention.test_now = '2026-03-01 12:00:00+00';

-- A new edge stops the policy until somebody agrees.
CREATE TABLE reviews (id integer PRIMARY KEY, shop integer REFERENCES shops ON DELETE CASCADE);
INSERT INTO shops VALUES (7, '2026-01-01 00:00+00'), (8, '2026-01-01 00:00+00');
INSERT INTO reviews VALUES (1, 7);
CALL retention.run_policy('shops_delete');
SELECT state, reason FROM retention.policies WHERE policy = 'shops_delete';
SELECT count(*) FROM shops WHERE id IN (7, 8);
SELECT retention.resume_policy('shops_delete');
CALL retention.run_policy('shops_delete');
SELECT count(*) FROM shops WHERE id IN (7, 8);
SELECT * FROM records('shops_delete');

-- A tree that refers to itself goes from any depth; a ring too.
CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree ON DELETE CASCADE, at timestamptz);
INSERT INTO tree SELECT n, NULLIF(n / 2, 0), CASE WHEN n IN (2, 12) THEN '2026-01-01 00:00+00'::timestamptz END
FROM generate_series(1, 31) n;
INSERT INTO tree VALUES (100, NULL, NULL), (101, 100, '2026-01-01 00:00+00'), (102, 101, NULL);
UPDATE tree SET parent = 102 WHERE id = 100;
SELECT retention.add_policy('tree', 'delete', '30 days', 'at');
CALL retention.run_policy('tree_delete');
-- 2 with 4, 5, 8..11, 16..23, and 12 with 24, 25; the ring
SELECT array_agg(id ORDER BY id) FROM tree;
SELECT state, rows, blocked FROM last_run('tree_delete');
SELECT * FROM records('tree_delete');

-- Two tables that refer to each other.
CREATE TABLE hen (id integer PRIMARY KEY, egg integer, at timestamptz);
CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen ON DELETE CASCADE);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg ON DELETE CASCADE;
INSERT INTO hen VALUES (1, NULL, '2026-01-01 00:00+00');
INSERT INTO egg VALUES (1, 1);
INSERT INTO hen VALUES (2, 1, NULL), (3, NULL, NULL);
SELECT retention.add_policy('hen', 'delete', '30 days', 'at');
CALL retention.run_policy('hen_delete');
SELECT (SELECT array_agg(id) FROM hen) AS hens, (SELECT count(*) FROM egg) AS eggs;
SELECT * FROM records('hen_delete');

-- Children of another owner: with his consent only.
SET client_min_messages = warning;
CREATE ROLE regress_retention_run_parent;
CREATE ROLE regress_retention_run_child;
RESET client_min_messages;
GRANT USAGE ON SCHEMA run TO regress_retention_run_parent, regress_retention_run_child;
GRANT CREATE ON SCHEMA run TO regress_retention_run_parent, regress_retention_run_child;
CREATE TABLE mother (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE child (id integer PRIMARY KEY, mother integer REFERENCES mother ON DELETE CASCADE);
INSERT INTO mother VALUES (1, '2026-01-01 00:00+00'), (2, '2026-01-01 00:00+00');
INSERT INTO child VALUES (1, 1);
ALTER TABLE mother OWNER TO regress_retention_run_parent;
ALTER TABLE child OWNER TO regress_retention_run_child;
SET ROLE regress_retention_run_parent;
SELECT retention.add_policy('mother', 'delete', '30 days', 'at');
SELECT retention.allow_cascade('child', 'mother');
SET ROLE regress_retention_run_child;
SELECT retention.allow_cascade('child', 'mother');
SET ROLE regress_retention_run_parent;
SELECT retention.add_policy('mother', 'delete', '30 days', 'at');
SET ROLE regress_retention_run_child;
SELECT retention.revoke_cascade('child', 'mother');
SET ROLE regress_retention_run_parent;
CALL retention.run_policy('mother_delete');
SELECT count(*) FROM mother;
SELECT state FROM retention.policies WHERE policy = 'mother_delete';
SET ROLE regress_retention_run_child;
SELECT retention.allow_cascade('child', 'mother');
SET ROLE regress_retention_run_parent;
SELECT retention.resume_policy('mother_delete');
CALL retention.run_policy('mother_delete');
SELECT count(*) FROM mother;
SET ROLE regress_retention_run_child;
SELECT count(*) FROM child;
RESET ROLE;
-- a new owner of the child has not agreed to anything
INSERT INTO mother VALUES (3, '2026-01-01 00:00+00');
ALTER TABLE child OWNER TO CURRENT_USER;
CALL retention.run_policy('mother_delete');
SELECT count(*) FROM mother;

--
-- Guards: a run that would take more of a table than max_fraction waits.
--
CREATE TABLE big (id integer PRIMARY KEY, at timestamptz);
INSERT INTO big SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 1000) n;
INSERT INTO big SELECT n, '2026-02-28 00:00+00' FROM generate_series(1001, 1900) n;
SELECT retention.add_policy('big', 'delete', '1 month', 'at');
CALL retention.run_policy('big_delete');
SELECT state, rows, error FROM last_run('big_delete');
SELECT state, reason FROM retention.policies WHERE policy = 'big_delete';
SELECT severity, finding, hint FROM retention.health
WHERE subject = 'big_delete' AND finding LIKE '%confirm%';
CALL retention.run_policy('big_delete');
SELECT count(*) FROM big;
-- run_due leaves it alone
CALL retention.run_due();
SELECT count(*) FROM big;
-- who changes the policy is asked anew
SELECT retention.alter_policy('big_delete', after => '20 days');
SELECT state FROM retention.policies WHERE policy = 'big_delete';
CALL retention.run_policy('big_delete');
CALL retention.run_policy('big_delete', confirm => true);
SELECT count(*) FROM big;
SELECT state, reason FROM retention.policies WHERE policy = 'big_delete';
-- exactly the fraction is allowed; a table of a thousand rows is not guarded
TRUNCATE big;
INSERT INTO big SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 1000) n;
INSERT INTO big SELECT n, '2026-02-28 00:00+00' FROM generate_series(1001, 2000) n;
CALL retention.run_policy('big_delete');
SELECT count(*) FROM big;
UPDATE big SET at = '2026-01-01 00:00+00';
CALL retention.run_policy('big_delete');
SELECT count(*) FROM big;

-- A run window: outside of it a run does nothing, unless somebody insists.
CREATE TABLE nightly (id integer PRIMARY KEY, at timestamptz);
INSERT INTO nightly VALUES (1, '2026-01-01 00:00+00');
SELECT retention.add_policy('nightly', 'delete', '1 month', 'at', zone => 'Asia/Tokyo', run_window => '22:00-06:00');
CALL retention.run_policy('nightly_delete');                -- 21:00 in Tokyo
SELECT state, rows, error FROM last_run('nightly_delete');
SELECT state, next_run FROM retention.policies WHERE policy = 'nightly_delete';
SET retention.test_now = '2026-03-01 13:00:00+00';          -- 22:00
CALL retention.run_policy('nightly_delete');
SELECT state, rows, error FROM last_run('nightly_delete');
INSERT INTO nightly VALUES (2, '2026-01-01 00:00+00');
SET retention.test_now = '2026-03-01 21:00:00+00';          -- 06:00
CALL retention.run_policy('nightly_delete');
SELECT count(*) FROM nightly;
CALL retention.run_policy('nightly_delete', confirm => true);
SELECT count(*) FROM nightly;
SET retention.test_now = '2026-03-01 12:00:00+00';

--
-- Batches: none is larger than retention.batch_rows, whatever the path.
--
CREATE TABLE many (id integer PRIMARY KEY, at timestamptz, filler text DEFAULT repeat('x', 200));
INSERT INTO many (id, at) SELECT n, '2026-03-01 00:00+00'::timestamptz - n * interval '1 minute'
FROM generate_series(1, 20000) n;
SELECT retention.add_policy('many', 'delete', '7 days', 'at', max_fraction => 1);
SET retention.batch_rows = 300;
CALL retention.run_policy('many_delete');
SELECT count(*), min(at) FROM many;
SELECT state, rows, blocked FROM last_run('many_delete');
SELECT sum(rows), max(rows) <= 300 AS bounded, count(*) >= 34 AS many, sum(rows) * 16 = sum(length(digests)) AS digested
FROM retention.deletions WHERE policy = 'many_delete';
SELECT sum(batches) = (SELECT count(*) FROM retention.deletions WHERE policy = 'many_delete') AS agree
FROM retention.runs WHERE policy = 'many_delete';
-- with an index on the clock and little due, in the order of the index
CREATE INDEX ON many (at);
ANALYZE many;
SET retention.test_now = '2026-03-01 12:10:00+00';
CALL retention.run_policy('many_delete');
SELECT rows FROM last_run('many_delete');
SET retention.test_now = '2026-03-01 13:10:00+00';
SET retention.batch_rows = 7;
CALL retention.run_policy('many_delete');
SELECT count(*), min(at) FROM many;
SELECT rows, (SELECT max(rows) FROM retention.deletions d WHERE d.run_id = u.run_id), batches
FROM retention.runs u WHERE policy = 'many_delete' ORDER BY run_id DESC LIMIT 1;
-- ties on the clock do not loop and are not left out
UPDATE many SET at = '2026-02-22 13:10+00' WHERE id BETWEEN 7000 AND 7099;
ANALYZE many;
CALL retention.run_policy('many_delete');
SELECT count(*) FROM many WHERE at <= '2026-02-22 13:10+00';
-- what refuses does not loop either
CREATE TABLE pins (id integer REFERENCES many);
INSERT INTO pins SELECT id FROM many WHERE at <= '2026-02-22 13:40+00';
SET retention.test_now = '2026-03-01 14:10:00+00';
CALL retention.run_policy('many_delete');
SELECT count(*) FROM many WHERE at <= '2026-02-22 14:10+00';
SELECT rows, blocked, cause FROM last_run('many_delete');
DROP TABLE pins;
-- one row at a time
SET retention.batch_rows = 1;
CALL retention.run_policy('many_delete');
SELECT rows, (SELECT max(rows) FROM retention.deletions d WHERE d.run_id = u.run_id), batches
FROM retention.runs u WHERE policy = 'many_delete' ORDER BY run_id DESC LIMIT 1;
RESET retention.batch_rows;

-- A rate, in rows a second: no batch is larger, and the run takes its time.
CREATE TABLE slow (id integer PRIMARY KEY, at timestamptz);
INSERT INTO slow SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 150) n;
SELECT retention.add_policy('slow', 'delete', '7 days', 'at', rate => 100);
SELECT clock_timestamp() AS start \gset
CALL retention.run_policy('slow_delete');
SELECT clock_timestamp() - :'start' >= interval '1.4 seconds' AS took_its_time;
SELECT rows, (SELECT max(rows) FROM retention.deletions d WHERE d.run_id = u.run_id), batches
FROM retention.runs u WHERE policy = 'slow_delete';

--
-- In a transaction block a run is part of the transaction.
--
CREATE TABLE pair (id integer PRIMARY KEY, at timestamptz);
INSERT INTO pair SELECT n, '2026-01-01 00:00+00' FROM generate_series(1, 5) n;
SELECT retention.add_policy('pair', 'delete', '1 month', 'at');
BEGIN;
CALL retention.run_policy('pair_delete');
SELECT count(*) FROM pair;
SELECT state, rows FROM last_run('pair_delete');
ROLLBACK;
SELECT count(*) FROM pair;
SELECT count(*) FROM retention.runs WHERE policy = 'pair_delete';
SELECT count(*) FROM retention.deletions WHERE policy = 'pair_delete';
-- in a function, in a procedure, in a DO block
CREATE FUNCTION in_function() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	CALL retention.run_policy('pair_delete');
	RETURN (SELECT count(*) FROM pair);
END $$;
BEGIN;
SELECT in_function();
ROLLBACK;
CREATE PROCEDURE in_procedure() LANGUAGE plpgsql AS $$
BEGIN
	CALL retention.run_policy('pair_delete');
	ROLLBACK;
END $$;
CALL in_procedure();
SELECT count(*) FROM pair;
SELECT state, rows FROM last_run('pair_delete');
INSERT INTO pair VALUES (1, '2026-01-01 00:00+00');
DO $$ BEGIN CALL retention.run_policy('pair_delete'); END $$;
SELECT count(*) FROM pair;
-- twice in one transaction is no reason to wait for oneself
INSERT INTO pair VALUES (1, '2026-01-01 00:00+00');
BEGIN;
CALL retention.run_policy('pair_delete');
INSERT INTO pair VALUES (2, '2026-01-01 00:00+00');
CALL retention.run_policy('pair_delete');
COMMIT;
SELECT count(*) FROM pair;
-- who cannot commit sees old snapshots; the run still takes only what is there
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO pair VALUES (3, '2026-01-01 00:00+00');
CALL retention.run_policy('pair_delete');
SELECT count(*) FROM pair;
COMMIT;
-- an error in the middle leaves the transaction usable after a savepoint
CREATE TRIGGER refuse BEFORE DELETE ON pair FOR EACH STATEMENT EXECUTE FUNCTION refuse_all();
INSERT INTO pair VALUES (4, '2026-01-01 00:00+00');
\set SHOW_CONTEXT never
BEGIN;
SAVEPOINT a;
CALL retention.run_policy('pair_delete');
ROLLBACK TO a;
SELECT state FROM retention.policies WHERE policy = 'pair_delete';
COMMIT;
CALL retention.run_policy('pair_delete');
\set SHOW_CONTEXT errors
SELECT state, reason FROM retention.policies WHERE policy = 'pair_delete';

--
-- A run that finds nothing leaves a run and no record.
--
CREATE TABLE nothing (at timestamptz);
SELECT retention.add_policy('nothing', 'delete', '1 month', 'at');
CALL retention.run_policy('nothing_delete');
SELECT state, rows, batches, blocked, held, error, started_at, finished_at, cutoff
FROM retention.runs WHERE policy = 'nothing_delete';
SELECT count(*) FROM retention.deletions WHERE policy = 'nothing_delete';

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'run'::regnamespace;
DROP SCHEMA run CASCADE;
DROP ROLE regress_retention_run_parent, regress_retention_run_child;
