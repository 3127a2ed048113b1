-- Threat: names that are not names: quotes, statements, dollars, newlines,
-- other scripts, keywords, the longest that fit.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA hostile_names;
CREATE TABLE hostile_names.canary (id integer);
INSERT INTO hostile_names.canary VALUES (1);
CREATE TABLE hostile_names.names (n integer PRIMARY KEY, name text);
INSERT INTO hostile_names.names SELECT n, name FROM unnest(ARRAY[
	'"',
	'''',
	'a"b''c',
	'"; DELETE FROM hostile_names.canary; --',
	'''); DELETE FROM hostile_names.canary; --',
	'$$',
	'$1',
	'%s%I%n',
	'\',
	E'new\nline',
	E'tab\tand\rreturn',
	' ',
	' padded ',
	'select',
	'r',
	'ctid ',
	'Große Straße 北京 🐘',
	repeat('x', 63),
	repeat('é', 31),
	'../../etc/passwd',
	'{}',
	'NULL',
	'a.b',
	'/* */',
	'-- '
	]) WITH ORDINALITY AS u(name, n);

-- With each name: schema, table, columns, key, child, policy, role. Returns
-- what is not as it should be.
CREATE FUNCTION hostile_names.try(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	problems text := '';
	tab regclass;
	role text := 'rr_' || left(name, 20);
	x record;
	-- the longest name is used up by what is named after it
	p text;
BEGIN
	EXECUTE format('CREATE ROLE %I', role);
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', name, role);
	EXECUTE format('SET LOCAL ROLE %I', role);
	EXECUTE format('CREATE TABLE %I.%1$I (%1$I text, at timestamptz, %2$I integer, PRIMARY KEY (%1$I, %2$I))',
		name, left(name, 20) || '2');
	EXECUTE format('CREATE TABLE %I.child (a text, %2$I integer, FOREIGN KEY (a, %2$I) REFERENCES %1$I.%1$I ON DELETE CASCADE)',
		name, left(name, 20) || '2');
	EXECUTE format('INSERT INTO %I.%1$I VALUES (%2$L, ''2026-01-01'', 1), (%2$L, ''2026-06-01'', 2), (%2$L, ''2026-01-01'', 3)', name, name);
	EXECUTE format('INSERT INTO %I.child VALUES (%2$L, 1)', name, name);
	tab := format('%I.%1$I', name)::regclass;

	p := retention.add_policy(tab, 'delete', '30 days', 'at',
		format('%I = %L AND %I.%1$I IS NOT NULL', name, name, name), name => name);
	IF p IS DISTINCT FROM name THEN
		problems := problems || format('name became %L; ', p);
	END IF;
	PERFORM retention.add_policy(tab, 'keep', '10 years', 'at', format('%I = 3', left(name, 20) || '2'), name => name || ' keep');
	SELECT * INTO x FROM retention.preview(name, '2026-03-01 12:00+00');
	IF (x.due, x.kept) IS DISTINCT FROM (2::bigint, 1::bigint) THEN
		problems := problems || format('preview %s; ', x);
	END IF;
	SELECT count(*) FILTER (WHERE verdict = 'kept') AS kept INTO x FROM retention.explain_row(tab, name, '3');
	IF x.kept <> 1 THEN
		problems := problems || format('explain_row %s; ', x);
	END IF;
	CALL retention.run_policy(name);
	SELECT state, rows, blocked, error INTO x FROM retention.runs WHERE policy = name;
	IF (x.state, x.rows, x.blocked) IS DISTINCT FROM ('succeeded', 2::bigint, 0::bigint) THEN
		problems := problems || format('run %s; ', x);
	END IF;
	SELECT count(*) AS n, bool_and(leaf IN (format('%I.%1$I', name), format('%I.child', name))) AS leaf INTO x
	FROM retention.deletions WHERE policy = name;
	IF (x.n, x.leaf) IS DISTINCT FROM (2::bigint, true) THEN
		problems := problems || format('records %s; ', x);
	END IF;
	IF (SELECT count(*) FROM retention.find_deletion(tab, name, '1')) <> 1
		OR (SELECT count(*) FROM retention.find_deletion(tab, name, '2')) <> 0 THEN
		problems := problems || 'find_deletion; ';
	END IF;

	-- renamed
	EXECUTE format('ALTER TABLE %I.%1$I RENAME COLUMN %1$I TO was_hostile', name);
	EXECUTE format('ALTER TABLE %I.%1$I RENAME COLUMN at TO %1$I', name);
	PERFORM retention.resume_policy(name || ' keep');
	EXECUTE format('INSERT INTO %I.%1$I VALUES (%2$L, ''2026-01-01'', 4)', name, name);
	CALL retention.run_policy(name);
	SELECT rows INTO x FROM retention.runs WHERE policy = name ORDER BY run_id DESC LIMIT 1;
	IF x.rows IS DISTINCT FROM 1::bigint THEN
		problems := problems || format('run after rename %s; ', x);
	END IF;
	PERFORM retention.pause_policy(name, name);
	IF (SELECT reason FROM retention.policies WHERE policy = name) <> name THEN
		problems := problems || 'reason; ';
	END IF;
	BEGIN
		CALL retention.run_policy(name);
	EXCEPTION WHEN object_not_in_prerequisite_state THEN
		IF strpos(sqlerrm, format('"%s" is paused: %1$s', name)) = 0 THEN
			problems := problems || sqlerrm;
		END IF;
	END;
	PERFORM retention.resume_policy(name);
	PERFORM count(*) FROM retention.health;
	PERFORM retention.drop_policy(name), retention.drop_policy(name || ' keep');
	SET LOCAL client_min_messages = error;
	RESET ROLE;
	EXECUTE format('DROP SCHEMA %I CASCADE', name);
	EXECUTE format('DROP ROLE %I', role);
	RETURN COALESCE(NULLIF(problems, ''), 'fine');
END $$;
\pset format unaligned
SELECT n, quote_ident(name) AS name, hostile_names.try(name) FROM hostile_names.names ORDER BY n;
\pset format aligned
SELECT * FROM hostile_names.canary;

-- The default name may be longer than any identifier: it is a text.
CREATE TABLE hostile_names.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx (at date);
SELECT length(retention.add_policy('hostile_names.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
	'delete', '1 day', 'at'));
SELECT count(retention.drop_policy(policy)) FROM retention.policies WHERE policy LIKE 'xxxxxxxxx%';
-- Partitions with such names go whole.
CREATE TABLE hostile_names.p (at date) PARTITION BY RANGE (at);
CREATE TABLE hostile_names."p""; DROP TABLE hostile_names.canary; --" PARTITION OF hostile_names.p
	FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT retention.add_policy('hostile_names.p', 'delete', '1 day', 'at');
CALL retention.run_policy('p_delete');
SELECT count(*) FROM pg_inherits WHERE inhparent = 'hostile_names.p'::regclass;
SELECT retention.drop_policy('p_delete');
SELECT * FROM hostile_names.canary;
DROP SCHEMA hostile_names CASCADE;
