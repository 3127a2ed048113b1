-- Real data: Pagila's personal columns are found, and hardly anything else.

\ir load_pagila.psql
\if :have_pagila
\else
\echo 1..0 # SKIP no Pagila data in RETENTION_PAGILA
\quit
\endif

SELECT plan(6);

-- Actors are public figures, and persons all the same.
CREATE TEMP TABLE truth (relation regclass, column_name name, category text);
INSERT INTO truth VALUES
	('customer', 'first_name', 'name'),
	('customer', 'last_name', 'name'),
	('customer', 'email', 'email'),
	('staff', 'first_name', 'name'),
	('staff', 'last_name', 'name'),
	('staff', 'email', 'email'),
	('staff', 'username', 'username'),
	('staff', 'password', 'password'),
	('staff', 'picture', 'photo'),
	('address', 'address', 'address'),
	('address', 'address2', 'address'),
	('address', 'district', 'address'),
	('address', 'postal_code', 'postal_code'),
	('address', 'phone', 'phone'),
	('actor', 'first_name', 'name'),
	('actor', 'last_name', 'name');

CREATE TEMP TABLE found AS SELECT * FROM retention.detect_pii();

SELECT is_empty(
	'SELECT relation, column_name FROM truth
		EXCEPT SELECT relation, column_name FROM found',
	'Pagila: every personal column is found');
SELECT cmp_ok(count(*), '<=', 2::bigint, 'Pagila: no more than two false alarms')
FROM (SELECT relation, column_name FROM found
	EXCEPT SELECT relation, column_name FROM truth) f;
SELECT is_empty(
	'SELECT f.relation, f.column_name, f.category FROM found f
		JOIN truth t USING (relation, column_name) WHERE f.category <> t.category',
	'Pagila: what is found is of the right category');
SELECT is_empty('SELECT * FROM found WHERE suggestion IS NULL',
	'Pagila: all that is found can be scrubbed');
SELECT is(suggestion,
	$$SELECT retention.tag_pii('public.customer', 'email', 'email', 'mask_email', clock => 'create_date');$$,
	'Pagila: a suggestion')
FROM found WHERE relation = 'customer'::regclass AND column_name = 'email';

-- By the names alone, as of a table that is new.
SELECT is_empty(
	'SELECT relation, column_name FROM truth
		EXCEPT SELECT relation, column_name FROM retention.detect_pii(sample => 0)',
	'Pagila: the names of the columns say the same');

SELECT * FROM finish();
