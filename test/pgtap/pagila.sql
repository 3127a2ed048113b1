-- Real data: Pagila's payments (partitioned by month, no primary key) and
-- rentals (which payments refer to), with their dates of 2022 as they are. A
-- cutoff in the middle of June 2022 makes five partitions of payments go
-- whole and a part of the sixth by rows; rentals that a payment refers to
-- stay until it is gone. What the log says is compared with what was counted
-- before, and with what logical decoding saw.

\ir load_pagila.psql
\if :have_pagila
\else
\echo 1..0 # SKIP no Pagila data in RETENTION_PAGILA
\quit
\endif
VACUUM ANALYZE;

SELECT plan(35);

-- The cutoff lies in a gap between payments, so that the seconds that this
-- test takes decide about no row.
CREATE TEMP VIEW gap AS
SELECT at
FROM (
	SELECT at, lead(at) OVER (ORDER BY at) AS next
	FROM (
		SELECT payment_date AS at FROM payment
		UNION ALL
		SELECT rental_date FROM rental) t) t
WHERE at > '2022-06-16' AND next > at + interval '10 minutes'
ORDER BY at
LIMIT 1;
SELECT at + interval '1 second' AS cutoff FROM gap \gset
SELECT now() - :'cutoff' AS after \gset

-- What is there, and what has to go.
CREATE TABLE payment_before AS SELECT tableoid::regclass::text AS leaf, * FROM payment;
CREATE TABLE rental_before AS SELECT * FROM rental;
CREATE TEMP VIEW rental_held AS
SELECT rental_id
FROM payment
-- the youngest partition of Pagila has no foreign keys
WHERE tableoid <> 'payment_p2022_07'::regclass;

SELECT cmp_ok(count(*), '>', 1000::bigint, 'Pagila: payments are due')
FROM payment_before WHERE payment_date <= :'cutoff';
SELECT cmp_ok(count(*), '>', 1000::bigint, 'Pagila: payments are not due')
FROM payment_before WHERE payment_date > :'cutoff';
SELECT cmp_ok(count(*), '>', 1000::bigint, 'Pagila: rentals are due')
FROM rental_before WHERE rental_date <= :'cutoff';

-- The tables belong to a superuser here, and run nobody else's code.

SELECT is(
	retention.add_policy('payment', 'delete', :'after', 'payment_date',
		every => '0', max_fraction => 1, zone => 'UTC'),
	'payment_delete', 'a policy on a partitioned table without a primary key');
SELECT is(
	retention.add_policy('rental', 'delete', :'after', 'rental_date',
		every => '0', max_fraction => 1, zone => 'UTC'),
	'rental_delete', 'a policy on a table that others refer to');

-- Then they get an owner of their own, as they should have had.

DROP ROLE IF EXISTS retention_pagila_clerk;
CREATE ROLE retention_pagila_clerk;
DO $$
DECLARE
	name regclass;
BEGIN
	FOR name IN
		SELECT oid FROM pg_class
		WHERE relname ~ '^(payment|rental)' AND relkind IN ('r', 'p')
			AND relname !~ 'before'
	LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO retention_pagila_clerk', name);
	END LOOP;
END
$$;

\echo # the next error is wanted
\set ON_ERROR_STOP off
CALL retention.run_policy('payment_delete');
\set ON_ERROR_STOP on
SELECT matches(:'LAST_ERROR_MESSAGE'::text,
	'belonged to "postgres" and now belongs to "retention_pagila_clerk"',
	'a run does not go on as another owner');
SELECT is(state, 'broken', 'the policy waits for somebody to look')
FROM retention.policies WHERE policy = 'payment_delete';

SET ROLE retention_pagila_clerk;
SELECT lives_ok($$SELECT retention.resume_policy('payment_delete')$$,
	'the new owner takes the policy on payments over');
SELECT lives_ok($$SELECT retention.resume_policy('rental_delete')$$,
	'the new owner takes the policy on rentals over');
RESET ROLE;

-- The independent witness. A temporary slot ends with this session, and
-- with any error in it.
SELECT current_setting('wal_level') = 'logical' AS can_decode \gset
\if :can_decode
ALTER TABLE payment_p2022_06 REPLICA IDENTITY FULL;
SELECT 'retention_' || pg_backend_pid() AS slot \gset
\o /dev/null
SELECT pg_create_logical_replication_slot(:'slot', 'test_decoding', true);
\o
\endif

-- Rentals first: what a payment refers to stays and is reported.

SELECT sum(due) AS due FROM retention.preview('rental_delete') \gset
SELECT is(:due::bigint, count(*), 'preview counts the rentals that are due')
FROM rental_before WHERE rental_date <= :'cutoff';

CREATE TABLE rental_first AS
SELECT rental_id
FROM rental_before b
WHERE rental_date <= :'cutoff'
	AND NOT EXISTS (SELECT FROM rental_held h WHERE h.rental_id = b.rental_id);

SET ROLE retention_pagila_clerk;
SET client_min_messages = error;
CALL retention.run_policy('rental_delete');
RESET client_min_messages;
RESET ROLE;

SELECT results_eq(
	$$SELECT b.rental_id FROM rental_before b
		WHERE NOT EXISTS (SELECT FROM rental r WHERE r.rental_id = b.rental_id)
		ORDER BY 1$$,
	'SELECT rental_id FROM rental_first ORDER BY 1',
	'the rentals that no payment refers to are gone, and no others');
SELECT is(state, 'succeeded', 'blocked rows do not fail the run')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT is(rows, (SELECT count(*) FROM rental_first), 'the run says how many went')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT is(blocked, :due - rows, 'the run says how many were due and did not go')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT matches(blocked_cause, 'violates .*foreign key constraint .* on table "payment_p2022_0[1-6]"',
	'and why')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT is(count(*), 1::bigint, 'health shows it')
FROM retention.health
WHERE subject = 'rental_delete' AND finding LIKE '%could not be deleted%';

-- Then the payments.

SELECT sum(due) AS due FROM retention.preview('payment_delete') \gset
SELECT is(:due::bigint, count(*), 'preview counts the payments that are due')
FROM payment_before WHERE payment_date <= :'cutoff';
SELECT results_eq(
	$$SELECT relation::text, due FROM retention.preview('payment_delete') ORDER BY 1$$,
	format('SELECT leaf, count(*) FROM payment_before WHERE payment_date <= %L
		GROUP BY leaf ORDER BY leaf', :'cutoff'),
	'preview shows them by partition');

SET ROLE retention_pagila_clerk;
CALL retention.run_policy('payment_delete');
RESET ROLE;

SELECT is(rows, :due::bigint, 'the run deletes what preview said')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT is(blocked, 0::bigint, 'nothing is left over')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;
SELECT results_eq(
	$$SELECT inhrelid::regclass::text FROM pg_inherits
		WHERE inhparent = 'payment'::regclass ORDER BY 1$$,
	$$VALUES ('payment_p2022_06'), ('payment_p2022_07')$$,
	'the partitions before the cutoff went whole');
SELECT is(count(*), 0::bigint, 'their tables are gone')
FROM pg_class WHERE relname ~ '^payment_p2022_0[1-5]$';
SELECT set_eq('SELECT * FROM payment',
	format('SELECT payment_id, customer_id, staff_id, rental_id, amount, payment_date
		FROM payment_before WHERE payment_date > %L', :'cutoff'),
	'every payment after the cutoff is there as it was');

-- And the rentals again: those that were held by a payment that is gone.

CREATE TABLE rental_second AS
SELECT rental_id
FROM rental r
WHERE rental_date <= :'cutoff'
	AND NOT EXISTS (SELECT FROM rental_held h WHERE h.rental_id = r.rental_id);
SELECT cmp_ok(count(*), '>', 100::bigint, 'children before parents: rentals can go now')
FROM rental_second;

SET ROLE retention_pagila_clerk;
SET client_min_messages = error;
CALL retention.run_policy('rental_delete');
RESET client_min_messages;
RESET ROLE;

SELECT results_eq('SELECT rental_id FROM rental ORDER BY 1',
	'SELECT rental_id FROM rental_before EXCEPT
		(SELECT rental_id FROM rental_first UNION ALL SELECT rental_id FROM rental_second)
		ORDER BY 1',
	'and those are all that went');
SELECT is(count(*), 0::bigint, 'no payment lost its rental')
FROM payment p
WHERE tableoid = 'payment_p2022_06'::regclass
	AND NOT EXISTS (SELECT FROM rental r WHERE r.rental_id = p.rental_id);

-- The log adds up to exactly what is gone.

SELECT results_eq(
	'SELECT leaf, sum(rows)::bigint FROM retention.deletions GROUP BY leaf ORDER BY leaf',
	format($$SELECT 'public.' || leaf, count(*) FROM payment_before
			WHERE payment_date <= %L GROUP BY leaf
		UNION ALL
		SELECT 'public.rental', (SELECT count(*) FROM rental_first) +
			(SELECT count(*) FROM rental_second)
		ORDER BY 1$$, :'cutoff'),
	'the records, by table, are the rows that are gone');
SELECT results_eq(
	'SELECT run_id, sum(rows)::bigint FROM retention.deletions GROUP BY run_id ORDER BY run_id',
	'SELECT run_id, rows FROM retention.runs WHERE rows > 0 ORDER BY run_id',
	'and by run, what the runs say');
SELECT is(count(*), 0::bigint, 'each record has a digest a row')
FROM retention.deletions WHERE octet_length(digests) <> 16 * rows;

CREATE TEMP VIEW payment_key AS
SELECT leaf, payment_date <= :'cutoff' AS gone, payment_id,
	ARRAY[payment_id, customer_id, staff_id, rental_id]::text[]
		|| amount::text || payment_date::text AS key
FROM payment_before;

SELECT is(count(*) FILTER (WHERE d.leaf = 'public.' || k.leaf), count(*),
	'deleted payments are found, each in the record of its partition')
FROM (SELECT * FROM payment_key WHERE gone ORDER BY payment_id % 101, payment_id LIMIT 200) k
	LEFT JOIN LATERAL retention.find_deletion('payment', VARIADIC k.key) d ON true;
SELECT is(count(d.deletion_id), 0::bigint, 'payments that are there are not')
FROM (SELECT * FROM payment_key WHERE NOT gone ORDER BY payment_id % 101, payment_id LIMIT 200) k
	LEFT JOIN LATERAL retention.find_deletion('payment', VARIADIC k.key) d ON true;
SELECT is(count(*) FILTER (WHERE d.relation = 'rental'::regclass), count(*),
	'deleted rentals are found')
FROM (SELECT * FROM rental_second ORDER BY rental_id LIMIT 100) k
	LEFT JOIN LATERAL retention.find_deletion('rental', k.rental_id::text) d ON true;
SELECT is(count(d.deletion_id), 0::bigint, 'rentals that are there are not')
FROM (SELECT * FROM rental ORDER BY rental_id LIMIT 200) k
	LEFT JOIN LATERAL retention.find_deletion('rental', k.rental_id::text) d ON true;

-- The witness: every row that a DELETE took, from the write-ahead log.

\if :can_decode
CREATE TEMP TABLE change AS
SELECT (regexp_match(data, '^table public\.(\w+): DELETE:'))[1] AS leaf,
	(regexp_match(data, '(?:payment|rental)_id\[integer\]:(\d+)'))[1]::integer AS id
FROM pg_logical_slot_get_changes(:'slot', NULL, NULL)
WHERE data ~ '^table public\.\w+: DELETE:';

SELECT results_eq(
	$$SELECT id FROM change WHERE leaf = 'rental' ORDER BY id$$,
	'SELECT rental_id FROM rental_first UNION ALL SELECT rental_id FROM rental_second ORDER BY 1',
	'logical decoding saw the same rentals go');
SELECT results_eq(
	$$SELECT leaf, id FROM change WHERE leaf <> 'rental' ORDER BY id$$,
	$$SELECT leaf, payment_id FROM payment_key WHERE gone AND leaf = 'payment_p2022_06' ORDER BY payment_id$$,
	'and the same payments of the partition that went by rows');
\else
SELECT skip('wal_level is not logical', 2);
\endif

SELECT * FROM finish();
REASSIGN OWNED BY retention_pagila_clerk TO CURRENT_USER;
DROP ROLE retention_pagila_clerk;
