-- Keep policies: rows that nothing may take before their time.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA keep;
SET search_path = keep;
RESET client_min_messages;

CREATE TABLE invoices (
	id integer PRIMARY KEY,
	issued timestamptz,
	paid timestamptz,
	disputed boolean NOT NULL DEFAULT false
);
INSERT INTO invoices VALUES
	(1, '2025-01-01 00:00+00', '2025-02-01 00:00+00', false),  -- due, over
	(2, '2025-01-01 00:00+00', '2025-12-01 00:00+00', false),  -- due, kept
	(3, '2025-01-01 00:00+00', NULL, false),                   -- due, not paid: kept
	(4, '2026-02-20 00:00+00', '2026-02-21 00:00+00', false),  -- not due
	(5, '2025-01-01 00:00+00', '2025-02-01 00:00+00', true),   -- due, disputed
	(6, NULL, NULL, false),                                    -- not started
	(7, '2025-01-01 00:00+00', 'infinity', false),             -- kept for ever
	(8, '2025-01-01 00:00+00', '-infinity', false);            -- not started: kept

SELECT retention.add_policy('invoices', 'delete', '30 days', 'issued');
SELECT retention.add_policy('invoices', 'keep', '6 months', 'paid', name => 'six months after payment');
SELECT retention.add_policy('invoices', 'keep', '10 years', 'issued', 'disputed', name => 'disputes');

-- What is due, how many of these are kept. A run takes the others.
SELECT relation, due, held, kept, oldest
FROM retention.preview('invoices_delete', '2026-03-01 12:00+00');
SELECT id, e.policy, e.due_at, e.verdict, e.reason
FROM invoices, retention.explain_row('invoices', id::text) e
ORDER BY id, e.action, e.policy;
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;
SELECT state, rows, blocked FROM retention.runs WHERE policy = 'invoices_delete';

-- A keep policy can be previewed: due is what it no longer protects.
SELECT relation, due, held, kept, oldest
FROM retention.preview('six months after payment', '2026-06-02 00:00+00');

-- The later date: the keep is over at midnight, June 1st. Not a moment before.
SET retention.test_now = '2026-05-31 23:59:59.999999+00';
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;
SET retention.test_now = '2026-06-01 00:00:00+00';
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;

-- The longest keep wins, whichever it is.
SELECT retention.add_policy('invoices', 'keep', '5 years', 'issued', name => 'five years');
INSERT INTO invoices VALUES (9, '2025-01-01 00:00+00', '2025-02-01 00:00+00', false);
SELECT policy, due_at, verdict FROM retention.explain_row('invoices', '9') ORDER BY action, policy;
CALL retention.run_policy('invoices_delete');
SELECT count(*) FROM invoices WHERE id = 9;
SELECT retention.drop_policy('five years');
CALL retention.run_policy('invoices_delete');
SELECT count(*) FROM invoices WHERE id = 9;

-- A keep policy that no longer fits its table protects all: the run stops.
ALTER TABLE invoices DROP COLUMN disputed;
CALL retention.run_policy('invoices_delete');
SELECT state, reason FROM retention.policies WHERE policy = 'invoices_delete';
SELECT * FROM retention.preview('invoices_delete', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('invoices', '3');
SELECT retention.alter_policy('disputes', filter => '', clock => 'issued', after => '10 years');
SELECT retention.resume_policy('invoices_delete');
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;
SELECT retention.drop_policy('disputes');

-- A renamed column does not end the protection: the keep policy follows it.
ALTER TABLE invoices RENAME COLUMN paid TO settled;
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;
SELECT retention.drop_policy('six months after payment');
CALL retention.run_policy('invoices_delete');
SELECT id FROM invoices ORDER BY id;

-- The filter of a keep policy is asked even where it is NULL: only what IS
-- TRUE is kept.
CREATE TABLE notes (id integer PRIMARY KEY, at timestamptz, secret boolean);
INSERT INTO notes SELECT n, '2025-01-01 00:00+00', (ARRAY[true, false, NULL])[n]
FROM generate_series(1, 3) n;
SELECT retention.add_policy('notes', 'delete', '1 day', 'at');
SELECT retention.add_policy('notes', 'keep', '10 years', 'at', 'secret');
CALL retention.run_policy('notes_delete');
SELECT id FROM notes ORDER BY id;

-- Parts and parents: a keep on the parent protects in every partition, a keep
-- on a partition protects there.
CREATE TABLE log (id integer, at timestamptz, kind text) PARTITION BY LIST (kind);
CREATE TABLE log_a PARTITION OF log FOR VALUES IN ('a');
CREATE TABLE log_b PARTITION OF log FOR VALUES IN ('b');
INSERT INTO log SELECT n, '2025-01-01 00:00+00'::timestamptz + n * interval '1 month', k
FROM generate_series(1, 4) n, unnest('{a,b}'::text[]) k;
SELECT retention.add_policy('log', 'delete', '1 month', 'at');
SELECT retention.add_policy('log', 'keep', '1 year', 'at', 'id = 3', name => 'keep on the parent');
SELECT retention.add_policy('log_b', 'keep', '100 years', 'at', 'id = 1', name => 'keep on a partition');
SELECT relation, due, kept FROM retention.preview('log_delete', '2026-03-01 00:00+00');
SET retention.test_now = '2026-03-01 00:00+00';
CALL retention.run_policy('log_delete');
SELECT tableoid::regclass, id FROM log ORDER BY 1, 2;
SELECT policy, verdict FROM retention.explain_row('log', '1', '2025-02-01 00:00+00', 'b') ORDER BY policy;

-- A policy on a partition obeys a keep on its parent.
INSERT INTO log VALUES (3, '2025-04-01 00:00+00', 'a');
SELECT retention.add_policy('log_a', 'delete', '1 month', 'at');
CALL retention.run_policy('log_a_delete');
SELECT tableoid::regclass, id FROM log ORDER BY 1, 2;

-- Inheritance the same.
CREATE TABLE base (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE derived (extra text) INHERITS (base);
INSERT INTO base VALUES (1, '2025-01-01 00:00+00');
INSERT INTO derived VALUES (2, '2025-01-01 00:00+00', 'x');
SELECT retention.add_policy('base', 'delete', '1 month', 'at');
SELECT retention.add_policy('base', 'keep', '1 month', 'NULLIF(at, at)', 'id = 2', name => 'base_keep_2');
CALL retention.run_policy('base_delete');
SELECT tableoid::regclass, id FROM base ORDER BY id;

-- Children that go by cascade are protected by keep policies of their own
-- table, and with them the parent, which is blocked.
CREATE TABLE customers (id integer PRIMARY KEY, gone timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY,
	customer integer REFERENCES customers ON DELETE CASCADE, at timestamptz);
INSERT INTO customers SELECT n, '2025-01-01 00:00+00' FROM generate_series(1, 3) n;
INSERT INTO orders VALUES (11, 1, '2025-01-01 00:00+00'), (21, 2, '2026-02-01 00:00+00');
SELECT retention.add_policy('customers', 'delete', '1 month', 'gone');
SELECT retention.add_policy('orders', 'keep', '1 year', 'at');
CALL retention.run_policy('customers_delete');
SELECT id FROM customers ORDER BY id;
SELECT id FROM orders ORDER BY id;
SELECT state, rows, blocked, blocked_cause FROM retention.runs WHERE policy = 'customers_delete';

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'keep'::regnamespace;
DROP SCHEMA keep CASCADE;
