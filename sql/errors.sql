-- What goes wrong, and what the messages advise. Every error that a user can
-- make with a definition, a table or a run.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA errors;
SET search_path = errors;
RESET client_min_messages;

CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, day date, note text, n integer);
INSERT INTO t SELECT n, '2026-01-01 00:00+00'::timestamptz, '2026-01-01', 'x', n
FROM generate_series(1, 3) n;
CREATE SEQUENCE numbers;
CREATE TABLE other (id integer PRIMARY KEY, at timestamptz);

--
-- Arguments
--
SELECT retention.add_policy(NULL, 'delete', '1 day', 'at');
SELECT retention.add_policy('t', NULL, '1 day', 'at');
SELECT retention.add_policy('t', 'delete', NULL, 'at');
SELECT retention.add_policy('t', 'delete', '1 day', NULL);
SELECT retention.add_policy('t', 'purge', '1 day', 'at');
SELECT retention.add_policy('t', 'delete', '-1 day', 'at');
SELECT retention.add_policy('t', 'delete', '1 month -1 day', 'at');
SELECT retention.add_policy('t', 'delete', '1001 years', 'at');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', name => '');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', zone => 'Mars/Olympus');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', every => '-1 hour');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', every => '0.5 seconds');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', run_window => 'at night');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', run_window => '22:00-25:00');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', run_window => '22:00');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', rate => -1);
SELECT retention.add_policy('t', 'delete', '1 day', 'at', max_fraction => 0);
SELECT retention.add_policy('t', 'delete', '1 day', 'at', max_fraction => 1.01);
SELECT retention.add_policy('t', 'delete', '1 day', 'at', max_fraction => 'NaN');
SELECT retention.add_policy('t', 'keep', '1 day', 'at', enabled => false);
SET retention.zone = 'Mars/Olympus';

--
-- The clock
--
SELECT retention.add_policy('t', 'delete', '1 day', 'created');
SELECT retention.add_policy('t', 'delete', '1 day', 'note');
SELECT retention.add_policy('t', 'delete', '1 day', 'n');
SELECT retention.add_policy('t', 'delete', '1 day', '');
SELECT retention.add_policy('t', 'delete', '1 day', 'now()');
SELECT retention.add_policy('t', 'delete', '1 day', 'at + random() * interval ''1 day''');
SELECT retention.add_policy('t', 'delete', '1 day', 'clock_timestamp() - (now() - at)');
SELECT retention.add_policy('t', 'delete', '1 day', '(SELECT max(at) FROM other)');
SELECT retention.add_policy('t', 'delete', '1 day', 'max(at)');
SELECT retention.add_policy('t', 'delete', '1 day', 'lag(at) OVER ()');
SELECT retention.add_policy('t', 'delete', '1 day', 'generate_series(at, at, ''1 day'')');
SELECT retention.add_policy('t', 'delete', '1 day', 'other.at');
SELECT retention.add_policy('t', 'delete', '1 day', 't.at + (tableoid::int || '' days'')::interval');
SELECT retention.add_policy('t', 'delete', '1 day', '$1');
SELECT retention.add_policy('t', 'delete', '1 day', 'NULL');
SELECT retention.add_policy('t', 'delete', '1 day', 'DEFAULT');

--
-- The filter
--
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'note');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'n');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'missing = 1');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'n > random()');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'nextval(''errors.numbers'') > 0');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'count(*) > 1');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 't IS NOT NULL');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'ctid = ''(0,1)''');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'EXISTS (SELECT FROM missing)');
SELECT retention.add_policy('t', 'delete', '1 day', 'at',
	'EXISTS (SELECT FROM other o WHERE o.id = t.id FOR UPDATE)');
SELECT retention.add_policy('t', 'delete', '1 day', 'at',
	'EXISTS (WITH d AS (DELETE FROM other RETURNING id) SELECT FROM d)');
-- what fails only when it is executed fails now: the query of a run is tried
SELECT retention.add_policy('t', 'delete', '1 day', 'at', '1 / 0 = 1');

--
-- Two expressions, or a way out of the parentheses (see also injection.sql)
--
SELECT retention.add_policy('t', 'delete', '1 day', 'at, at');
SELECT retention.add_policy('t', 'delete', '1 day', 'at AS clock');
SELECT retention.add_policy('t', 'delete', '1 day', 'at FROM other');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'true; DROP TABLE t');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'true) OR (true');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'true WHERE true');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'SELECT true');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', ' ');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', '/* nothing */');

--
-- Relations that cannot be governed
--
SELECT retention.add_policy('missing', 'delete', '1 day', 'at');
SELECT retention.add_policy(0::oid::regclass, 'delete', '1 day', 'at');
CREATE VIEW v AS SELECT * FROM t;
SELECT retention.add_policy('v', 'delete', '1 day', 'at');
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
SELECT retention.add_policy('m', 'delete', '1 day', 'at');
CREATE SEQUENCE s;
SELECT retention.add_policy('s', 'delete', '1 day', 'at');
SELECT retention.add_policy('t_pkey', 'delete', '1 day', 'at');
CREATE TYPE composite AS (at timestamptz);
SELECT retention.add_policy('composite', 'delete', '1 day', 'at');
CREATE TEMP TABLE temporary (at timestamptz);
SELECT retention.add_policy('temporary', 'delete', '1 day', 'at');
CREATE FOREIGN DATA WRAPPER errors_fdw;
CREATE SERVER errors_server FOREIGN DATA WRAPPER errors_fdw;
CREATE FOREIGN TABLE f (at timestamptz) SERVER errors_server;
SELECT retention.add_policy('f', 'delete', '1 day', 'at');
SELECT retention.add_policy('pg_catalog.pg_class', 'delete', '1 day', 'at');
SELECT retention.add_policy('information_schema.sql_features', 'delete', '1 day', 'at');
SELECT retention.add_policy('retention.deletion', 'delete', '1 day', 'happened_at');
SELECT retention.add_policy('retention.runs', 'delete', '1 day', 'started_at');
CREATE TABLE ruled (at timestamptz);
CREATE RULE r AS ON DELETE TO ruled DO INSTEAD NOTHING;
SELECT retention.add_policy('ruled', 'delete', '1 day', 'at');
DROP RULE r ON ruled;
CREATE RULE r AS ON DELETE TO ruled DO ALSO NOTIFY gone;
SELECT retention.add_policy('ruled', 'delete', '1 day', 'at');
-- a rule on another event does not matter
CREATE TABLE ruled_insert (at timestamptz);
CREATE RULE r AS ON INSERT TO ruled_insert DO INSTEAD NOTHING;
SELECT retention.add_policy('ruled_insert', 'delete', '1 day', 'at');
-- a part of the table that cannot be governed
CREATE TABLE parent (at timestamptz) PARTITION BY RANGE (at);
CREATE FOREIGN TABLE parent_far PARTITION OF parent DEFAULT SERVER errors_server;
SELECT retention.add_policy('parent', 'delete', '1 day', 'at');

--
-- Policies by name
--
SELECT retention.add_policy('t', 'delete', '30 days', 'at', max_fraction => 1);
SELECT retention.add_policy('t', 'delete', '2 days', 'at');
SELECT retention.add_policy('other', 'delete', '2 days', 'at', name => 't_delete');
SELECT retention.alter_policy('missing', after => '1 day');
SELECT retention.alter_policy(NULL, after => '1 day');
SELECT retention.drop_policy('missing');
SELECT retention.drop_policy(NULL) IS NULL AS nothing;
SELECT retention.pause_policy('missing', 'x');
SELECT retention.pause_policy(NULL, 'x');
SELECT retention.resume_policy('missing');
SELECT * FROM retention.preview('missing');
SELECT retention.schedule('missing', '* * * * *');
SELECT retention.unschedule('missing');
CALL retention.run_policy('missing');
CALL retention.run_policy(NULL);

-- alter_policy checks as add_policy does, and leaves nothing half done
SELECT retention.alter_policy('t_delete', after => '-1 day');
SELECT retention.alter_policy('t_delete', clock => '');
SELECT retention.alter_policy('t_delete', clock => 'note');
SELECT retention.alter_policy('t_delete', filter => 'missing');
SELECT retention.alter_policy('t_delete', zone => 'Mars/Olympus');
SELECT retention.alter_policy('t_delete', every => '-1 day');
SELECT retention.alter_policy('t_delete', run_window => 'never');
SELECT retention.alter_policy('t_delete', rate => -5);
SELECT retention.alter_policy('t_delete', max_fraction => 2);
SELECT version, after, clock FROM retention.policies WHERE policy = 't_delete';

--
-- Runs
--
SELECT retention.add_policy('t', 'keep', '1 day', 'at');
CALL retention.run_policy('t_keep');
SELECT retention.schedule('t_keep', '* * * * *');
SELECT retention.pause_policy('t_keep', 'x');
SELECT retention.pause_policy('t_delete', 'the lawyer calls');
CALL retention.run_policy('t_delete');
CALL retention.run_policy('t_delete', confirm => true);
SELECT retention.resume_policy('t_delete');
BEGIN TRANSACTION READ ONLY;
CALL retention.run_policy('t_delete');
ROLLBACK;
BEGIN TRANSACTION READ ONLY;
CALL retention.run_due();
ROLLBACK;
SELECT retention.unschedule('t_delete');
SELECT retention.schedule('t_delete', '* * * * *');
-- nothing of this left a run, or took a row
SELECT count(*) FROM retention.runs WHERE policy LIKE 't\_%';
SELECT count(*) FROM t;

--
-- Questions
--
SELECT * FROM retention.preview('t_delete', 'infinity');
SELECT * FROM retention.preview('t_delete', '-infinity');
SELECT * FROM retention.preview(NULL);
SELECT * FROM retention.explain_row('t');
SELECT * FROM retention.explain_row('t', '1', '2');
SELECT * FROM retention.explain_row('t', 'one');
SELECT * FROM retention.explain_row('t', VARIADIC '{}');
SELECT * FROM retention.explain_row('v', '1');
SELECT * FROM retention.explain_row('missing', '1');
SELECT * FROM retention.explain_row(0::oid, '1');
SELECT * FROM retention.find_deletion('t', '1', '2');
SELECT * FROM retention.find_deletion('t', 'one');
SELECT * FROM retention.find_deletion(0::oid, '1');
SELECT retention.allow_cascade(0::oid, 't');
SELECT retention.revoke_cascade('t', 0::oid);

-- the clock guard knows of no jump: accepting is always possible
SELECT retention.accept_clock();

SET client_min_messages = warning;
SELECT count(retention.drop_policy(policy)) FROM retention.policies
WHERE relation IN ('t'::regclass, 'ruled_insert'::regclass);
DROP SCHEMA errors CASCADE;
DROP FOREIGN DATA WRAPPER errors_fdw CASCADE;
