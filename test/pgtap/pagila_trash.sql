-- Real data: Pagila's rentals and payments, films with their links, deleted,
-- truncated, and restored. Every table is as it was, and the foreign keys hold.

\ir load_pagila.psql
\if :have_pagila
\else
\echo 1..0 # SKIP no Pagila data in RETENTION_PAGILA
\quit
\endif
SET client_min_messages = warning;
VACUUM ANALYZE;

SELECT plan(25);

CREATE FUNCTION sum_of(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || coalesce(md5(string_agg(t::text, '','' ORDER BY t::text)), '''') FROM %s t', relation)
		INTO result;
	RETURN result;
END $$;
CREATE TABLE sums (relation regclass, sum text);
CREATE FUNCTION changed() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(relation::text, ', ' ORDER BY relation::text), 'nothing')
	FROM sums WHERE sum <> sum_of(relation)
$$;
CREATE FUNCTION last_id() RETURNS bigint LANGUAGE sql AS
$$ SELECT max(coalesce(parent_id, deletion_id)) FROM retention.deletions WHERE action = 'trash' $$;
CREATE FUNCTION bring_back() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT verdict, ', ') FROM retention.restore_deletion(last_id())
$$;

-- The links of a film go along with it.
ALTER TABLE film_actor DROP CONSTRAINT film_actor_film_id_fkey,
	ADD FOREIGN KEY (film_id) REFERENCES film ON DELETE CASCADE;
ALTER TABLE film_category DROP CONSTRAINT film_category_film_id_fkey,
	ADD FOREIGN KEY (film_id) REFERENCES film ON DELETE CASCADE;
INSERT INTO sums
SELECT c.oid, sum_of(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'sums';

SELECT lives_ok(format('SELECT retention.enable_trash(%L)', r), 'Pagila: a trash for ' || r)
FROM unnest('{payment,rental,film,film_actor,film_category,customer}'::text[]) r;

-- All rentals and payments of a customer, in one command.

SELECT (SELECT count(*) FROM payment WHERE customer_id = 148) AS payments,
	(SELECT count(*) FROM rental WHERE customer_id = 148) AS rentals \gset
WITH p AS (DELETE FROM payment WHERE customer_id = 148),
	r AS (DELETE FROM rental WHERE customer_id = 148)
SELECT;
SELECT results_eq(
	'SELECT relation, sum(rows) FROM retention.deletions WHERE action = ''trash'' GROUP BY 1 ORDER BY 1::text',
	format('VALUES (''payment''::regclass, %s::numeric), (''rental'', %s)', :payments, :rentals),
	'Pagila: rentals and payments of a customer are in the trash');
SELECT is((SELECT count(DISTINCT deletion_id) FROM retention.trash), 1::bigint, 'Pagila: under one deletion');
SELECT is(bring_back(), 'ok', 'Pagila: they come back');
SELECT is(changed(), 'nothing', 'Pagila: and every table is as it was');

-- A film without copies, with its actors and categories.

SELECT film_id AS film FROM film f
WHERE NOT EXISTS (SELECT FROM inventory i WHERE i.film_id = f.film_id)
ORDER BY film_id LIMIT 1 \gset
SELECT count(*) AS actors FROM film_actor WHERE film_id = :film \gset
DELETE FROM film WHERE film_id = :film;
SELECT is((SELECT count(*) FROM retention.trash WHERE deletion_id = last_id()), 2 + :actors::bigint,
	'Pagila: a film goes with its links');
SELECT is(bring_back(), 'ok', 'Pagila: it comes back');
SELECT is(changed(), 'nothing', 'Pagila: with all of them');

-- TRUNCATE: a partition, and the whole.

TRUNCATE payment_p2022_03;
SELECT is(bring_back(), 'ok', 'Pagila: a truncated partition comes back');
SELECT is(changed(), 'nothing', 'Pagila: as it was');
TRUNCATE rental, payment CASCADE;
SELECT is((SELECT count(*) FROM retention.trash WHERE deletion_id = last_id()),
	(SELECT sum(split_part(sum, ' ', 1)::bigint)::bigint FROM sums WHERE relation IN ('rental'::regclass, 'payment'::regclass)),
	'Pagila: all rentals and payments are in the trash');
SELECT is(bring_back(), 'ok', 'Pagila: they come back');
SELECT is(changed(), 'nothing', 'Pagila: and every table is as it was');

-- DROP: a partition, a table that others refer to, and a partitioned one, with
-- the views that use them.

SELECT count(*) AS keys FROM pg_constraint WHERE contype = 'f' \gset
DROP TABLE payment_p2022_04;
SELECT is(bring_back(), 'ok', 'Pagila: a dropped partition comes back');
SELECT is(changed(), 'nothing', 'Pagila: as it was');
DROP TABLE rental, payment, customer CASCADE;
SELECT is((SELECT count(*) FROM pg_class WHERE relname ~ '^(rental|payment|customer)' AND relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace), 0::bigint,
	'Pagila: rentals, payments and customers are dropped');
SELECT is(bring_back(), 'ok', 'Pagila: they come back');
SELECT is(changed(), 'nothing', 'Pagila: and every table is as it was');
SELECT is((SELECT count(*) FROM pg_constraint WHERE contype = 'f'), :keys::bigint, 'Pagila: with all their foreign keys');

-- The keys hold: checked anew, all of them.
DO $$
DECLARE
	command text;
BEGIN
	FOR command IN
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conparentid = 0
	LOOP
		EXECUTE command;
	END LOOP;
END $$;
SELECT pass('Pagila: all foreign keys hold');

SELECT * FROM finish();
