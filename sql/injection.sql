-- Threat: a clock or a filter that gets out of its expression and into the
-- statement around it.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_injector;
CREATE SCHEMA injection;
GRANT ALL ON SCHEMA injection TO regress_retention_injector;
SET search_path = injection;
SET ROLE regress_retention_injector;
CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, note text);
INSERT INTO t VALUES (1, '2026-01-01', 'due'), (2, '2026-06-01', 'not due');
CREATE TABLE victim (id integer);
INSERT INTO victim VALUES (1);

-- What becomes of an expression: refused, or made a policy that takes so many
-- rows. Never more than the one row that is due.
CREATE FUNCTION try(kind text, expr text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	IF kind = 'clock' THEN
		PERFORM retention.add_policy('t', 'delete', '1 day', expr, name => 'tried');
	ELSE
		PERFORM retention.add_policy('t', 'delete', '1 day', 'at', expr, name => 'tried');
	END IF;
	BEGIN
		CALL retention.run_policy('tried');
		SELECT 2 - count(*) INTO n FROM t;
		RAISE EXCEPTION 'accepted, % deleted', n;
	END;
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(sqlerrm, '^(.{60}).*$', '\1...');
END $$;
RESET client_min_messages;
\pset format unaligned

SELECT expr, try('filter', expr) FROM unnest(ARRAY[
	'true) OR (true',
	'true) OR true --',
	'true) OR true /*',
	'*/ true /*',
	'true --',
	E'true --\nOR true',
	'true /* OR */',
	'true /* ',
	'true -- )',
	'(true',
	'true)',
	'((true)',
	'true; DELETE FROM victim',
	'true;',
	';',
	'true OR 1=1',
	'true UNION SELECT true',
	'true LIMIT 1',
	'true FOR UPDATE',
	'true FROM victim',
	'true, true',
	'*',
	't.*',
	'ALL true',
	'DISTINCT true',
	'INTO victim',
	'true INTO victim',
	'true GROUP BY 1',
	'true WINDOW w AS ()',
	'true AS x',
	'x := true',
	'$1',
	'$1 IS NULL',
	':at',
	'%s',
	'%s%s%s%n',
	'true AND ''%s'' <> ''%d''',
	'''',
	'''; DELETE FROM victim; --''',
	'$$',
	'$$ true $$ = $$ true $$',
	'$x$ ) OR true -- $x$ <> ''''',
	'note = E''\'' OR true --''',
	'note = ''\'' OR true --''',
	'note = U&''\0027'' OR false',
	'"',
	'"note" = ''due''',
	'EXISTS (DELETE FROM victim RETURNING 1)',
	'EXISTS (SELECT FROM victim) OR EXISTS (INSERT INTO victim VALUES (2) RETURNING id)',
	'CURRENT OF c',
	'(SELECT true FROM (VALUES (1)) v (x) WHERE pg_catalog.set_config(''role'', ''none'', false) IS NULL)',
	'lo_unlink(1) = 1',
	'query_to_xml(''DELETE FROM injection.victim'', true, true, '''') IS NOT NULL',
	'r.id = 1',
	'r.ctid IS NOT NULL',
	'old.id = 1',
	'(SELECT true)',
	'injection.t.note = ''due''',
	'CAST(''t'' AS boolean)'
]) WITH ORDINALITY AS u(expr, n) ORDER BY n;

SELECT expr, try('clock', expr) FROM unnest(ARRAY[
	'at) < now() OR (at',
	'at) --',
	'at --',
	E'at --\n- interval ''1 year''',
	'at /*',
	'at, at',
	'at FROM t',
	'at; DELETE FROM victim',
	'at ORDER BY 1',
	'(at)',
	'at UNION SELECT now()',
	'(SELECT at)',
	'ROW(at)',
	'at::timestamptz',
	'at AT TIME ZONE ''UTC''',
	'r.at',
	'c',
	't.at'
]) WITH ORDINALITY AS u(expr, n) ORDER BY n;
SELECT * FROM victim;
SELECT * FROM t ORDER BY id;

-- The other texts are values, never SQL.
SELECT retention.add_policy('t', 'delete', '1 day', 'at', name => 'x''); DELETE FROM injection.victim; --',
	zone => 'UTC''); DELETE FROM injection.victim; --');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', name => 'x''); DELETE FROM injection.victim; --',
	run_window => '22:00-06:00''); --');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', name => 'x''); DELETE FROM injection.victim; --');
SET retention.reason = 'because''); DELETE FROM injection.victim; --';
SET application_name = 'app''); DELETE FROM injection.victim; --';
CALL retention.run_policy('x''); DELETE FROM injection.victim; --');
SELECT policy, rows, reason, application FROM retention.deletions WHERE policy LIKE 'x%';
SELECT retention.pause_policy('x''); DELETE FROM injection.victim; --', 'y''); DELETE FROM injection.victim; --');
CALL retention.run_policy('x''); DELETE FROM injection.victim; --');
SELECT retention.resume_policy('x''); DELETE FROM injection.victim; --');
\set SHOW_CONTEXT never
SELECT count(*) FROM retention.explain_row('t', '2'' OR true --');
SELECT count(*) FROM retention.explain_row('t', '1) OR (true');
SELECT retention.drop_policy('x''); DELETE FROM injection.victim; --');
SELECT * FROM victim;

RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA injection CASCADE;
DROP ROLE regress_retention_injector;
