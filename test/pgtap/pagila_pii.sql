-- Real data: everything personal in Pagila is tagged as detect_pii suggests,
-- scrubbed, and looked for in every column of every table and in the trash.

\ir load_pagila.psql
\if :have_pagila
\else
\echo 1..0 # SKIP no Pagila data in RETENTION_PAGILA
\quit
\endif
SET client_min_messages = warning;
VACUUM ANALYZE;

SELECT plan(18);

-- What identifies somebody. Names are looked for where they stand alone.
CREATE SCHEMA truth;
CREATE TABLE truth.old (value text, is_name boolean);
INSERT INTO truth.old
SELECT DISTINCT v, is_name
FROM (
	SELECT first_name, true FROM customer UNION ALL SELECT last_name, true FROM customer
	UNION ALL SELECT first_name, true FROM staff UNION ALL SELECT last_name, true FROM staff
	UNION ALL SELECT username, false FROM staff
	UNION ALL SELECT email, false FROM customer UNION ALL SELECT email, false FROM staff
	UNION ALL SELECT password, false FROM staff
	UNION ALL SELECT address, false FROM address UNION ALL SELECT phone, false FROM address) AS t(v, is_name)
WHERE length(v) > 1;

-- Every cell of every table, and every row in the trash, as text.
CREATE FUNCTION truth.left_over() RETURNS TABLE (place text, value text) LANGUAGE plpgsql AS $$
DECLARE
	t record;
	c text;
BEGIN
	FOR t IN
		SELECT p.oid::regclass AS relation, a.attname, a.atttypid AS type
		FROM pg_class p
			JOIN pg_attribute a ON a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE p.relkind IN ('r', 'm', 'v')
			AND p.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'truth'::regnamespace, 'pg_toast'::regnamespace)
			-- other people, of films
			AND p.relname NOT IN ('actor', 'film', 'film_list', 'nicer_but_slower_film_list', 'actor_info')
			AND p.relnamespace <> 'retention'::regnamespace
	LOOP
		-- cells that are equal; and what tells of more than a name, within cells
		CONTINUE WHEN t.type = ANY ('{integer,timestamptz,date,numeric,boolean,smallint}'::regtype[]);
		RETURN QUERY EXECUTE format(
			'SELECT %L, o.value FROM truth.old o WHERE o.value IN (SELECT x.%2$I::text FROM %3$s x)
			UNION
			SELECT %1$L, o.value FROM truth.old o, (SELECT DISTINCT x.%2$I::text AS cell FROM %3$s x) x
			WHERE NOT o.is_name AND length(o.value) > 6 AND length(x.cell) < 200 AND strpos(x.cell, o.value) > 0',
			format('%s.%s', t.relation, t.attname), t.attname, t.relation);
	END LOOP;
	FOREACH c IN ARRAY '{customer,staff,address}'::text[] LOOP
		RETURN QUERY
		SELECT 'trash of ' || c, o.value
		FROM retention.trash r, jsonb_each_text(r.row_data) e, truth.old o
		WHERE r.relation = c::regclass AND e.value = o.value;
	END LOOP;
END $$;
SELECT cmp_ok((SELECT count(*) FROM truth.left_over()), '>', 2000::bigint, 'the search finds what is there');

CREATE FUNCTION truth.sum_of(relation regclass, without text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(t, '','' ORDER BY t)) FROM (SELECT (to_jsonb(x) - %L::text[])::text AS t FROM %s x) y', without, relation)
		INTO result;
	RETURN result;
END $$;

-- Some rows are in the trash before anything is tagged.

SELECT lives_ok($$SELECT retention.enable_trash('customer')$$, 'a trash');
DELETE FROM payment WHERE customer_id IN (1, 2);
DELETE FROM rental WHERE customer_id IN (1, 2);
DELETE FROM customer WHERE customer_id IN (1, 2);

-- The calls are made as they are suggested.

CREATE TABLE truth.found AS
SELECT relation, column_name, suggestion FROM retention.detect_pii()
WHERE relation IN ('customer'::regclass, 'staff', 'address');
SELECT is((SELECT count(*) FROM truth.found), 14::bigint, 'columns are found');
DO $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT suggestion FROM truth.found LOOP
		EXECUTE call;
	END LOOP;
END $$;
SELECT is((SELECT count(*) FROM retention.pii_columns), 14::bigint, 'the suggestions work as they are');
SELECT is_empty($$SELECT column_name FROM retention.detect_pii() WHERE relation IN ('customer'::regclass, 'staff', 'address')$$,
	'what is tagged is not found again');
SELECT results_eq('SELECT policy FROM retention.policies ORDER BY 1',
	ARRAY['address_scrub', 'customer_scrub', 'staff_scrub'], 'one policy a table');
CREATE TABLE truth.sums AS
SELECT c.oid::regclass AS relation, truth.sum_of(c.oid, coalesce(array_agg(f.column_name::text) FILTER (WHERE f.column_name IS NOT NULL), '{}')) AS sum,
	coalesce(array_agg(f.column_name::text) FILTER (WHERE f.column_name IS NOT NULL), '{}') AS without
FROM pg_class c
	LEFT JOIN truth.found f ON f.relation = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
GROUP BY c.oid;

CALL retention.run_policy('address_scrub', confirm => true);
CALL retention.run_policy('customer_scrub', confirm => true);
CALL retention.run_policy('staff_scrub', confirm => true);
SELECT is((SELECT string_agg(DISTINCT state || ' ' || blocked, ', ') FROM retention.runs), 'succeeded 0', 'the runs succeed');
SELECT is((SELECT sum(rows) FROM retention.deletions WHERE action = 'scrub'), 603 + 599 + 2::numeric, 'all rows are scrubbed, those in the trash too');
SELECT is((SELECT string_agg(place, ', ') FROM (SELECT DISTINCT place FROM truth.left_over()) l), NULL, 'no value is left anywhere');
SELECT is((SELECT string_agg(relation::text, ', ') FROM truth.sums WHERE sum <> truth.sum_of(relation, without)), NULL,
	'columns that are not tagged are as they were, the clocks too');
SELECT is((SELECT count(*) FROM customer c LEFT JOIN address a USING (address_id) WHERE a.address_id IS NULL), 0::bigint, 'keys hold');

CALL retention.run_policy('address_scrub');
CALL retention.run_policy('customer_scrub');
CALL retention.run_policy('staff_scrub');
SELECT is((SELECT sum(rows) FROM (SELECT rows FROM retention.runs ORDER BY run_id DESC LIMIT 3) r), 0::numeric, 'a second run finds nothing');

-- What comes back from the trash is scrubbed.
SELECT is((SELECT string_agg(DISTINCT verdict, ', ') FROM (SELECT DISTINCT trash_id FROM retention.trash) t, retention.restore(t.trash_id)), 'ok', 'customers come back');
SELECT is((SELECT count(*) FROM customer WHERE customer_id IN (1, 2) AND first_name ~ '^\*+$'), 2::bigint, 'scrubbed');
SELECT is((SELECT string_agg(place, ', ') FROM (SELECT DISTINCT place FROM truth.left_over()) l), NULL, 'no value is left anywhere');

-- What is written again is found again.
UPDATE customer SET email = 'MARY.SMITH@sakilacustomer.org' WHERE customer_id = 5;
CALL retention.run_policy('customer_scrub');
SELECT is((SELECT email FROM customer WHERE customer_id = 5), 'M***@sakilacustomer.org', 'what is written again is scrubbed again');
SELECT is((SELECT array_agg(DISTINCT columns ORDER BY columns) FROM retention.deletions WHERE relation = 'customer'::regclass AND action = 'scrub'),
	(SELECT ARRAY[array_agg(column_name::text ORDER BY a.attnum)] FROM truth.found f JOIN pg_attribute a ON a.attrelid = f.relation AND a.attname = f.column_name WHERE f.relation = 'customer'::regclass)::text[],
	'the records say which columns');
SELECT is_empty('SELECT finding FROM retention.health WHERE severity <> ''info'' AND subject <> ''workers''', 'health has nothing to say');

SELECT * FROM finish();
