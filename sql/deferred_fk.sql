-- Threat: constraints that are put off to COMMIT, where nobody acts as the
-- table's owner any more, and where it is too late to single out a row.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA deferred_fk;
SET search_path = deferred_fk;
\set SHOW_CONTEXT never
RESET client_min_messages;

CREATE TABLE parent (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE child (id integer PRIMARY KEY,
	parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE cascading (id integer PRIMARY KEY,
	parent integer REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO parent SELECT n, '2026-01-01' FROM generate_series(1, 10) n;
INSERT INTO child VALUES (1, 3), (2, 7);
INSERT INTO cascading SELECT n, n FROM generate_series(1, 5) n;
SELECT retention.add_policy('parent', 'delete', '30 days', 'at');

-- Rows with children are blocked one by one; the others go.
CALL retention.run_policy('parent_delete');
SELECT array_agg(id ORDER BY id) FROM parent;
SELECT array_agg(id ORDER BY id) FROM cascading;
SELECT state, rows, blocked FROM retention.runs WHERE policy = 'parent_delete';
SELECT leaf, sum(rows) FROM retention.deletions WHERE policy = 'parent_delete' GROUP BY 1 ORDER BY 1;

-- In the caller's transaction, with his own deferred changes: these are checked
-- when the run begins. What is not right yet fails there.
INSERT INTO parent SELECT n, '2026-01-01' FROM generate_series(20, 22) n;
BEGIN;
INSERT INTO child VALUES (20, 20), (99, 99);
INSERT INTO parent VALUES (99, '2026-06-01');
CALL retention.run_policy('parent_delete');
SELECT array_agg(id ORDER BY id) FROM parent;
COMMIT;
BEGIN;
INSERT INTO child VALUES (100, 100);
CALL retention.run_policy('parent_delete');
ROLLBACK;
SELECT array_agg(id ORDER BY id) FROM parent;
SELECT state, reason FROM retention.policies WHERE policy = 'parent_delete';

-- A deferred unique constraint and a deferred constraint trigger.
CREATE TABLE deferred (id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, at timestamptz);
INSERT INTO deferred SELECT n, '2026-01-01' FROM generate_series(1, 5) n;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.id = 2 THEN
		RAISE EXCEPTION 'row % is precious, as % in %', OLD.id, current_user,
			(SELECT relname FROM pg_class WHERE oid = TG_RELID);
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON deferred DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION refuse();
SET client_min_messages = warning;
CREATE ROLE regress_retention_deferred;
GRANT ALL ON SCHEMA deferred_fk TO regress_retention_deferred;
RESET client_min_messages;
ALTER TABLE deferred OWNER TO regress_retention_deferred;
SELECT retention.add_policy('deferred', 'delete', '30 days', 'at');
CALL retention.run_policy('deferred_delete');
SELECT array_agg(id ORDER BY id) FROM deferred;
SELECT state, rows, blocked FROM retention.runs WHERE policy = 'deferred_delete';

-- A cycle of two tables that can only be made with deferred constraints.
CREATE TABLE a (id integer PRIMARY KEY, b integer, at timestamptz);
CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO a VALUES (1, 1, '2026-01-01'), (2, NULL, '2026-01-01');
INSERT INTO b VALUES (1, 1);
COMMIT;
SELECT retention.add_policy('a', 'delete', '30 days', 'at');
CALL retention.run_policy('a_delete');
SELECT array_agg(id ORDER BY id) FROM a;

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'deferred_fk'::regnamespace;
DROP SCHEMA deferred_fk CASCADE;
DROP ROLE regress_retention_deferred;
