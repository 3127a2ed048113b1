-- Threat: code of a table's owner that runs with the rights of who runs the
-- policy. Every way to have code run by a DELETE leaves a canary, which says as
-- whom it ran. The caller is a superuser; nothing must run as him.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_mallory;
CREATE ROLE regress_retention_child;
CREATE SCHEMA escalation;
GRANT ALL ON SCHEMA escalation TO regress_retention_mallory, regress_retention_child;
CREATE TABLE escalation.canary (what text, as_user name, super boolean);
GRANT ALL ON escalation.canary TO PUBLIC;
\set SHOW_CONTEXT never
RESET client_min_messages;

SET ROLE regress_retention_mallory;
SET search_path = escalation;
-- Volatile, and called by functions that claim to be immutable.
CREATE FUNCTION sing(what text) RETURNS void LANGUAGE sql VOLATILE AS $$
	INSERT INTO escalation.canary SELECT what, current_user,
		(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
$$;
GRANT EXECUTE ON FUNCTION sing(text) TO PUBLIC;
CREATE FUNCTION sing_quietly(what text, value integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM escalation.sing(what);
	RETURN value;
END $$;
CREATE FUNCTION sing_true(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM escalation.sing(what);
	RETURN true;
END $$;
CREATE FUNCTION trigger_sings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM escalation.sing(format('%s %s trigger', TG_WHEN, TG_LEVEL));
	RETURN COALESCE(OLD, NEW);
END $$;
-- The canaries that were heard since the last time.
CREATE FUNCTION heard(OUT what text, OUT as_user name, OUT super boolean) RETURNS SETOF record
	LANGUAGE sql AS $$
	WITH heard AS (DELETE FROM escalation.canary RETURNING *)
	SELECT DISTINCT h.what, h.as_user, h.super FROM heard h ORDER BY 1, 2
$$;

-- Triggers of every kind.
CREATE TABLE triggers (id integer PRIMARY KEY, at timestamptz);
INSERT INTO triggers VALUES (1, '2026-01-01'), (2, '2026-01-01');
CREATE TRIGGER a BEFORE DELETE ON triggers FOR EACH ROW EXECUTE FUNCTION trigger_sings();
CREATE TRIGGER b AFTER DELETE ON triggers FOR EACH ROW EXECUTE FUNCTION trigger_sings();
CREATE TRIGGER c BEFORE DELETE ON triggers FOR EACH STATEMENT EXECUTE FUNCTION trigger_sings();
CREATE TRIGGER d AFTER DELETE ON triggers REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION trigger_sings();
CREATE FUNCTION deferred_sings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM escalation.sing('deferred trigger');
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER e AFTER DELETE ON triggers DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION deferred_sings();
SELECT retention.add_policy('triggers', 'delete', '1 day', 'at');
RESET ROLE;
CALL retention.run_policy('triggers_delete');
SELECT * FROM heard();
SELECT count(*) FROM triggers;
-- the same in a transaction of the caller, where COMMIT comes later
INSERT INTO triggers VALUES (1, '2026-01-01');
BEGIN;
CALL retention.run_policy('triggers_delete');
COMMIT;
SELECT * FROM heard();

-- A trigger that puts its constraint off again.
SET ROLE regress_retention_mallory;
CREATE FUNCTION defer_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	SET CONSTRAINTS ALL DEFERRED;
	PERFORM escalation.sing('put off');
	RETURN OLD;
END $$;
CREATE TRIGGER defer BEFORE DELETE ON triggers FOR EACH ROW EXECUTE FUNCTION defer_again();
INSERT INTO triggers VALUES (1, '2026-01-01');
RESET ROLE;
CALL retention.run_policy('triggers_delete');
SELECT count(*) FROM triggers;
SELECT state, rows, blocked, error, blocked_cause FROM retention.runs
WHERE policy = 'triggers_delete' ORDER BY run_id DESC LIMIT 1;
SELECT * FROM heard();
DROP TRIGGER defer ON triggers;

-- Triggers that want to be somebody else, or leave something behind.
SET ROLE regress_retention_mallory;
CREATE TABLE attempts (id integer PRIMARY KEY, at timestamptz, sql text);
CREATE FUNCTION attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE OLD.sql;
	PERFORM escalation.sing('after: ' || OLD.sql);
	RETURN OLD;
END $$;
CREATE TRIGGER attempt BEFORE DELETE ON attempts FOR EACH ROW EXECUTE FUNCTION attempt();
SELECT retention.add_policy('attempts', 'delete', '1 day', 'at');
INSERT INTO attempts SELECT n, '2026-01-01', sql FROM unnest(ARRAY[
	'RESET ROLE',
	'SET ROLE NONE',
	'SET SESSION AUTHORIZATION DEFAULT',
	'RESET SESSION AUTHORIZATION',
	'SELECT set_config(''role'', ''none'', false)',
	'SELECT set_config(''session_authorization'', (SELECT rolname FROM pg_roles WHERE rolsuper LIMIT 1), false)',
	'ALTER ROLE regress_retention_mallory SUPERUSER',
	'CREATE TEMP TABLE left_behind (x integer)',
	'PREPARE left_behind AS SELECT 1',
	'DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1',
	'LISTEN left_behind',
	'COMMIT',
	'ROLLBACK',
	'COPY (SELECT 1) TO PROGRAM ''true''',
	'SELECT pg_read_file(''PG_VERSION'')',
	'DELETE FROM retention.policy',
	'DELETE FROM retention.deletion',
	'INSERT INTO retention.digest_key VALUES (1, ''x'', now())',
	'SELECT key FROM retention.digest_key',
	'SELECT retention._random_key()',
	'ALTER EXTENSION retention UPDATE',
	'DROP EXTENSION retention'
	]) WITH ORDINALITY AS u(sql, n);
RESET ROLE;
SET client_min_messages = warning;
CALL retention.run_policy('attempts_delete');
RESET client_min_messages;
-- all of them were refused: the rows are blocked, and no canary sang
SELECT rows, blocked FROM retention.runs WHERE policy = 'attempts_delete';
SELECT * FROM heard();
SELECT current_user = session_user AS still_me, current_setting('is_superuser') AS super;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_retention_mallory';

-- Settings that a trigger changes do not stay, and do not reach the records.
TRUNCATE attempts;
SHOW work_mem \gset
INSERT INTO attempts SELECT n, '2026-01-01', sql FROM unnest(ARRAY[
	'SET search_path = public, pg_temp',
	'SELECT set_config(''search_path'', ''public'', false)',
	'SET work_mem = ''77MB''',
	'SET TimeZone = ''Asia/Tokyo''',
	'SET row_security = on',
	'SET check_function_bodies = off',
	'SET retention.reason = ''I was here''',
	'SET application_name = ''mallory''',
	'SET escalation.my = ''x'''
	]) WITH ORDINALITY AS u(sql, n);
CALL retention.run_policy('attempts_delete');
SELECT what, as_user, super FROM heard();
SHOW search_path;
SELECT current_setting('work_mem') = :'work_mem' AS same_work_mem;
SHOW TimeZone;
SHOW retention.reason;
SELECT current_setting('application_name') <> 'mallory' AS same_application;
SELECT current_setting('escalation.my', true) IS DISTINCT FROM 'x' AS not_mine;
SELECT DISTINCT actor = current_user AS by_me, application <> 'mallory' AS application, reason
FROM retention.deletions WHERE policy = 'attempts_delete';

-- Code at other places: indexes, also only planned with; checks, domains,
-- generated columns, defaults, statistics, row security, the key of a child.
SET ROLE regress_retention_mallory;
CREATE FUNCTION is_odd(n integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM escalation.sing('domain');
	RETURN n % 2 = 1;
END $$;
CREATE DOMAIN odd AS integer CHECK (is_odd(value));
CREATE TABLE places (id integer PRIMARY KEY, at timestamptz, n integer, o odd,
	g integer GENERATED ALWAYS AS (sing_quietly('generated column', id)) STORED,
	CHECK (sing_true('check')));
INSERT INTO places (id, at, n, o) SELECT n, '2026-01-01', n, 1 FROM generate_series(1, 100) n;
INSERT INTO places (id, at, n, o) SELECT n, '2026-06-01', n, 1 FROM generate_series(101, 200) n;
CREATE INDEX ON places (sing_quietly('index expression', n));
CREATE INDEX ON places (n) WHERE sing_true('index predicate');
CREATE INDEX ON places (at);
CREATE STATISTICS places_stats ON (sing_quietly('statistics', n)), n FROM places;
ANALYZE places;
ALTER TABLE places ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON places USING (sing_true('row security'));
CREATE TABLE places_child (id integer PRIMARY KEY, place integer REFERENCES places ON DELETE CASCADE);
CREATE INDEX ON places_child (sing_quietly('child index', place));
CREATE TRIGGER child AFTER DELETE ON places_child FOR EACH ROW EXECUTE FUNCTION trigger_sings();
CREATE TABLE places_null (id integer PRIMARY KEY, place integer REFERENCES places ON DELETE SET NULL);
CREATE INDEX ON places_null (sing_quietly('child index, SET NULL', COALESCE(place, 0)));
CREATE TRIGGER child AFTER UPDATE ON places_null FOR EACH ROW EXECUTE FUNCTION trigger_sings();
INSERT INTO places_child SELECT n, n FROM generate_series(1, 3) n;
INSERT INTO places_null SELECT n, n FROM generate_series(1, 3) n;
DELETE FROM canary;
RESET ROLE;
SET client_min_messages = warning;
SELECT retention.add_policy('places', 'delete', '1 day', 'at',
	'sing_true(''filter'') AND sing_quietly(''index expression'', n) IS NOT NULL AND n > 0');
RESET client_min_messages;
SELECT DISTINCT as_user, super FROM heard();
SELECT due FROM retention.preview('places_delete', '2026-03-01 12:00+00');
SELECT verdict FROM retention.explain_row('places', '1');
SELECT DISTINCT as_user, super FROM heard();
CALL retention.run_policy('places_delete');
SELECT * FROM heard();
-- (to look at the table as a superuser is dangerous in itself)
SET ROLE regress_retention_mallory;
SELECT count(*) FROM places;
SELECT (SELECT count(*) FROM places_child) AS children, (SELECT count(place) FROM places_null) AS refer;
RESET ROLE;
DELETE FROM canary;
CALL retention.run_due();
SELECT DISTINCT as_user, super FROM heard();
SELECT count(*) FROM retention.find_deletion('places', '1');
SELECT DISTINCT as_user, super FROM heard();

-- preview and explain_row cannot write, whatever the owner's functions try.
SET ROLE regress_retention_mallory;
CREATE TABLE read_only (id integer PRIMARY KEY, at timestamptz);
INSERT INTO read_only VALUES (1, '2026-01-01');
CREATE FUNCTION writes(n integer) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	PERFORM escalation.sing('write');
	RETURN true;
END $$;
SELECT retention.add_policy('read_only', 'delete', '1 day', 'at', 'writes(id)');
SELECT * FROM retention.preview('read_only_delete', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('read_only', '1');
SELECT * FROM heard();
SELECT retention.drop_policy('read_only_delete');

-- A child of another owner: its code runs as that owner.
CREATE TABLE parent (id integer PRIMARY KEY, at timestamptz);
INSERT INTO parent VALUES (1, '2026-01-01');
GRANT REFERENCES, SELECT ON parent TO regress_retention_child;
SET ROLE regress_retention_child;
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent ON DELETE CASCADE, at timestamptz);
INSERT INTO child VALUES (1, 1, '2026-01-01'), (2, 1, '2026-01-01');
CREATE FUNCTION child_sings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM escalation.sing('child trigger');
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION child_sings();
CREATE INDEX ON child (sing_quietly('child index of another', parent));
SELECT retention.allow_cascade('child', 'parent');
SELECT retention.add_policy('child', 'keep', '1 day', 'at', 'sing_true(''keep of another'') AND id > 0');
DELETE FROM canary;
SET ROLE regress_retention_mallory;
SELECT retention.add_policy('parent', 'delete', '1 day', 'at');
RESET ROLE;
CALL retention.run_policy('parent_delete');
SELECT * FROM heard();
SELECT (SELECT count(*) FROM parent) AS parents, (SELECT count(*) FROM child) AS children;

-- A type whose input function is somebody's, asked for by explain_row: only
-- superusers make such, domains anybody.
SET ROLE regress_retention_mallory;
CREATE TABLE domain_key (id odd PRIMARY KEY, at timestamptz);
INSERT INTO domain_key VALUES (1, '2026-01-01');
SELECT retention.add_policy('domain_key', 'delete', '1 day', 'at');
DELETE FROM canary;
RESET ROLE;
CREATE FUNCTION pg_temp.ask() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM retention.find_deletion('domain_key', '2');
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlerrm;
END $$;
CALL retention.run_policy('domain_key_delete');
SELECT count(*) FROM retention.find_deletion('domain_key', '1');
SELECT DISTINCT as_user, super FROM heard();

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'escalation'::regnamespace;
DROP SCHEMA escalation CASCADE;
DROP ROLE regress_retention_mallory, regress_retention_child;
