-- Filters: which rows a policy is about.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA filter;
CREATE SCHEMA filter_lib;
SET search_path = filter, filter_lib;
RESET client_min_messages;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE t (
	id integer PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT '2026-01-01 00:00+00',
	done boolean,
	note text,
	mood mood,
	"Mixed ""Case""" integer,
	tags text[],
	doc jsonb
);
INSERT INTO t (id, done, note, mood, "Mixed ""Case""", tags, doc) VALUES
	(1, true,  'it''s',   'sad',   1, '{a,b}', '{"k": 1}'),
	(2, false, 'x',       'ok',    2, '{b}',   '{"k": 2}'),
	(3, NULL,  '100%',    'happy', 3, '{}',    '{}'),
	(4, true,  E'tab\t',  NULL,    4, NULL,    NULL),
	(5, false, '$1; -- ', 'sad',   5, '{c}',   '{"k": "x"}');

-- What a filter takes, asked by preview and tried by a run that is undone.
CREATE PROCEDURE try(filter text, OUT due bigint, OUT gone integer[])
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM retention.add_policy('filter.t', 'delete', '1 day', 'at', filter, name => 'tried');
	SELECT sum(p.due) INTO due FROM retention.preview('tried', '2026-03-01 12:00+00') p;
	BEGIN
		CALL retention.run_policy('tried');
		SELECT array_agg(n ORDER BY n) INTO gone FROM generate_series(1, 5) n
		WHERE NOT EXISTS (SELECT FROM filter.t WHERE id = n);
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	PERFORM retention.drop_policy('tried');
END $$;

-- true is true; false and NULL are not
CALL try('done', NULL, NULL);
CALL try('NOT done', NULL, NULL);
CALL try('done IS NULL', NULL, NULL);
CALL try('NULL', NULL, NULL);
CALL try('true', NULL, NULL);
CALL try('id > 1 AND done OR id = 5', NULL, NULL);

-- quoting: strings, names, dollars, comments
CALL try('note = ''it''''s''', NULL, NULL);
CALL try('note = $$it''s$$', NULL, NULL);
CALL try('note = E''tab\t''', NULL, NULL);
CALL try('note LIKE ''%\%'' -- percent', NULL, NULL);
CALL try('note = ''$1; -- ''', NULL, NULL);
CALL try('"Mixed ""Case""" >= 4', NULL, NULL);
CALL try('t."Mixed ""Case""" >= 4 /* qualified by the table */', NULL, NULL);
CALL try('note = U&''\0078''', NULL, NULL);

-- types of one's own, arrays, jsonb
CALL try('mood >= ''ok''', NULL, NULL);
CALL try('mood IN (''sad'', ''happy'')', NULL, NULL);
CALL try('tags @> ''{b}'' AND cardinality(tags) = 1', NULL, NULL);
CALL try('doc @? ''$.k ? (@ > 1)''', NULL, NULL);
CALL try('doc ->> ''k'' IS NULL', NULL, NULL);
CALL try('CASE WHEN id % 2 = 0 THEN done ELSE note IS NOT NULL END', NULL, NULL);

-- sub-selects to other tables, with and without the row
CREATE TABLE customers (id integer PRIMARY KEY, active boolean, r integer);
INSERT INTO customers VALUES (1, true, 9), (2, false, 9), (5, false, 9);
CALL try('EXISTS (SELECT FROM customers c WHERE c.id = t.id AND NOT c.active)', NULL, NULL);
CALL try('id IN (SELECT id FROM customers)', NULL, NULL);
CALL try('id = (SELECT max(id) FROM customers)', NULL, NULL);
CALL try('id > ALL (SELECT c.id FROM customers c WHERE c.id < t.id AND c.active)', NULL, NULL);
-- the same table again; a column and an alias named like our own alias, r
CALL try('EXISTS (SELECT FROM t older WHERE older.id < t.id AND older.done)', NULL, NULL);
CALL try('EXISTS (SELECT FROM customers r WHERE r.id = t.id AND r.r = 9)', NULL, NULL);
CALL try('EXISTS (WITH r AS (SELECT c.id FROM customers c WHERE c.active) SELECT FROM r WHERE r.id = t.id)', NULL, NULL);

-- Names are resolved when the policy is made, by the search_path of who makes
-- it, and mean the same ever after.
CREATE FUNCTION filter_lib.is_old(n integer) RETURNS boolean
	LANGUAGE sql STABLE RETURN n >= 4;
CREATE FUNCTION filter_lib.eq(integer, integer) RETURNS boolean
	LANGUAGE sql IMMUTABLE RETURN $1 OPERATOR(pg_catalog.=) $2;
CREATE OPERATOR filter_lib.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = filter_lib.eq);
SELECT retention.add_policy('t', 'delete', '1 day', 'at',
	'is_old(id) AND mood = ''sad'' OR id === 2', max_fraction => 1);
SELECT filter FROM retention.policies WHERE policy = 't_delete';
CREATE SCHEMA filter_hostile;
CREATE FUNCTION filter_hostile.is_old(n integer) RETURNS boolean
	LANGUAGE sql STABLE RETURN true;
SET search_path = filter_hostile, pg_catalog;
SELECT relation, due FROM retention.preview('t_delete', '2026-03-01 12:00+00');
CALL retention.run_policy('t_delete');
SELECT id FROM filter.t ORDER BY id;
SET search_path = filter, filter_lib;

-- A function that is needed cannot be missed: the run says what is missing
-- and breaks the policy. Unknown means stop.
DROP FUNCTION filter_lib.is_old(integer);
\set VERBOSITY sqlstate
CALL retention.run_policy('t_delete');
\set VERBOSITY default
SELECT state, reason FROM retention.policies WHERE policy = 't_delete';
SELECT severity, finding, hint FROM retention.health
WHERE subject = 't_delete' AND severity = 'critical';
SELECT retention.alter_policy('t_delete', filter => 'done');
SELECT state FROM retention.policies WHERE policy = 't_delete';
SELECT retention.resume_policy('t_delete');
CALL retention.run_policy('t_delete');
SELECT id FROM t ORDER BY id;

-- A filter that fails on one row stops the policy: nobody knows what it would
-- have said.
CREATE TABLE odd (id integer PRIMARY KEY, at timestamptz, n text);
INSERT INTO odd VALUES (1, '2026-01-01 00:00+00', '1'), (2, '2026-01-01 00:00+00', 'two'),
	(3, '2026-01-01 00:00+00', '3');
SELECT retention.add_policy('odd', 'delete', '1 day', 'at', 'n::integer > 0');
\set VERBOSITY sqlstate
CALL retention.run_policy('odd_delete');
\set VERBOSITY default
SELECT state, reason FROM retention.policies WHERE policy = 'odd_delete';
SELECT state, rows, error FROM retention.runs WHERE policy = 'odd_delete';
SELECT count(*) FROM odd;

SET client_min_messages = warning;
SELECT count(retention.drop_policy(policy)) FROM retention.policies
WHERE relation IN ('t'::regclass, 'odd'::regclass);
DROP SCHEMA filter, filter_lib, filter_hostile CASCADE;
