-- Policies: made, changed, paused, resumed, dropped; what the views show and
-- what the history remembers.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA policies;
SET search_path = policies;
RESET client_min_messages;

CREATE TABLE orders (
	id       integer PRIMARY KEY,
	customer text NOT NULL,
	status   text NOT NULL DEFAULT 'open',
	created  timestamptz NOT NULL,
	closed   timestamp,
	ship_on  date
);
INSERT INTO orders
SELECT n, 'customer ' || n % 7, CASE WHEN n % 3 = 0 THEN 'closed' ELSE 'open' END,
	'2026-01-01 00:00+00'::timestamptz + n * interval '1 day',
	'2026-01-01 00:00'::timestamp + n * interval '1 day',
	'2026-01-01'::date + n
FROM generate_series(1, 90) n;

-- The shortest way: relation, action, how long, since when. The name is
-- <table>_<action>, the zone that of the session, the schedule hourly, and the
-- first run is due at once.
SELECT retention.add_policy('orders', 'delete', '30 days', 'created');
SELECT policy, relation, action, after, clock, filter, zone, every, run_window,
	rate, max_fraction, state, reason, version, next_run
FROM retention.policies \gx

-- Everything given, by name.
SELECT retention.add_policy(
	relation => 'orders', action => 'delete', after => '1 year 2 months',
	clock => 'ship_on', filter => 'status = ''closed''', name => 'old deliveries',
	zone => 'Europe/Berlin', every => '1 day', run_window => '22:00-06:00',
	rate => 500, max_fraction => 0.25, enabled => false);
SELECT policy, relation, action, after, clock, filter, zone, every, run_window,
	rate, max_fraction, state, reason, version, next_run, owner = current_user AS is_mine
FROM retention.policies WHERE policy = 'old deliveries' \gx

-- Explicit nulls are defaults, or nothing: no filter, no window, no rate, no
-- worker. An empty filter is no filter.
SELECT retention.add_policy('orders', 'delete', '0', 'closed', NULL, 'nulls',
	NULL, NULL, NULL, NULL, NULL, NULL);
SELECT retention.add_policy('orders', 'delete', '1 month', 'closed', '', 'empties',
	'', '0', '', 0, 1, true);
SELECT policy, after, filter, zone, every, run_window, rate, max_fraction, state, next_run
FROM retention.policies WHERE policy IN ('nulls', 'empties') ORDER BY policy;

-- The zone: given, else the setting, else the session's.
SET retention.zone = 'Asia/Tokyo';
SELECT retention.add_policy('orders', 'delete', '1 month', 'closed', name => 'zone of the setting');
RESET retention.zone;
SET TimeZone = 'Australia/Lord_Howe';
SELECT retention.add_policy('orders', 'delete', '1 month', 'closed', name => 'zone of the session');
SET TimeZone = 'UTC';
SELECT policy, zone FROM retention.policies WHERE policy LIKE 'zone%' ORDER BY policy;

-- A keep policy has no schedule: nobody runs it.
SELECT retention.add_policy('orders', 'keep', '10 days', 'created', every => '1 hour');
SELECT policy, action, every, state, next_run
FROM retention.policies WHERE action = 'keep';

-- alter_policy changes what is given and leaves the rest. It says nothing.
SELECT retention.alter_policy('orders_delete', after => '60 days');
SELECT retention.alter_policy('orders_delete', filter => 'status = ''closed''', rate => 100);
SELECT retention.alter_policy('orders_delete', clock => 'closed', zone => 'America/New_York',
	every => '6 hours', run_window => '01:00-05:30', max_fraction => 0.9);
SELECT after, clock, filter, zone, every, run_window, rate, max_fraction, version, next_run
FROM retention.policies WHERE policy = 'orders_delete' \gx

-- '' and 0 clear; NULL leaves as it is.
SELECT retention.alter_policy('orders_delete', filter => '', every => '0', run_window => '', rate => 0);
SELECT after, clock, filter, zone, every, run_window, rate, max_fraction, version, next_run
FROM retention.policies WHERE policy = 'orders_delete' \gx
SELECT retention.alter_policy('orders_delete', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT after, clock, filter, every, run_window, rate, max_fraction
FROM retention.policies WHERE policy = 'orders_delete';

-- A schedule that comes back starts from the anchor of the policy, which was
-- made at 12:00.
SET retention.test_now = '2026-03-01 13:10:00+00';
SELECT retention.alter_policy('orders_delete', every => '30 minutes');
SELECT every, next_run FROM retention.policies WHERE policy = 'orders_delete';

-- Paused with a reason, and resumed: due at once, for somebody was waiting.
SELECT retention.pause_policy('orders_delete', 'audit until Friday');
SELECT state, reason, next_run FROM retention.policies WHERE policy = 'orders_delete';
SELECT severity, subject, finding, hint FROM retention.health WHERE subject = 'orders_delete';
SELECT retention.pause_policy('orders_delete', NULL);
SELECT state, reason FROM retention.policies WHERE policy = 'orders_delete';
SELECT retention.resume_policy('orders_delete');
SELECT state, reason, next_run FROM retention.policies WHERE policy = 'orders_delete';
SELECT count(*) FROM retention.health
WHERE subject = 'orders_delete' AND finding LIKE '%paused%';

-- To alter a paused policy does not resume it.
SELECT retention.pause_policy('orders_delete', 'wait');
SELECT retention.alter_policy('orders_delete', after => '90 days');
SELECT state, reason, after FROM retention.policies WHERE policy = 'orders_delete';
SELECT retention.resume_policy('orders_delete');

-- To resume a policy that is active is no error.
SELECT retention.resume_policy('orders_delete');

-- The history has every change, with what was and what is.
SELECT version, operation, changed_at IS NOT NULL AS dated, changed_by = current_user AS mine,
	old ->> 'after' AS old_after, new ->> 'after' AS new_after,
	old ->> 'state' AS old_state, new ->> 'state' AS new_state,
	new ->> 'filter' AS new_filter
FROM retention.policy_history
WHERE policy = 'orders_delete'
ORDER BY version;

-- A change that is rolled back never was.
BEGIN;
SELECT retention.alter_policy('orders_delete', after => '1 day');
SELECT retention.drop_policy('old deliveries');
ROLLBACK;
SELECT policy, after, version FROM retention.policies
WHERE policy IN ('orders_delete', 'old deliveries') ORDER BY policy;

-- Dropped: the policy is gone, its history, runs and records stay.
SELECT retention.alter_policy('orders_delete', after => '30 days', clock => 'created', max_fraction => 1);
CALL retention.run_policy('orders_delete');
SELECT count(*) AS left FROM orders;
SELECT retention.drop_policy('orders_delete');
SELECT count(*) FROM retention.policies WHERE policy = 'orders_delete';
SELECT operation, old ->> 'name' AS old_name, new FROM retention.policy_history
WHERE policy = 'orders_delete' AND operation = 'drop';
SELECT policy, relation, action, state, rows, blocked, held, error
FROM retention.runs WHERE policy = 'orders_delete';
SELECT policy, relation, action, sum(rows) AS rows
FROM retention.deletions WHERE policy = 'orders_delete' GROUP BY 1, 2, 3;

-- The name is free again; it is another policy with versions of its own.
SELECT retention.add_policy('orders', 'delete', '5 years', 'created');
SELECT policy, version FROM retention.policies WHERE policy = 'orders_delete';

-- Two tables of the same name in two schemas want names of their own.
CREATE SCHEMA policies2;
CREATE TABLE policies2.orders (id integer PRIMARY KEY, created timestamptz);
SELECT retention.add_policy('policies2.orders', 'delete', '1 day', 'created');
SELECT retention.add_policy('policies2.orders', 'delete', '1 day', 'created', name => 'orders2_delete');

-- The columns of the views that users and tests rely on.
SELECT policy, relation, action, after, clock, filter, zone, every, run_window, rate,
	max_fraction, state, reason, version, next_run FROM retention.policies LIMIT 0;
SELECT run_id, policy, relation, action, state, started_at, finished_at, cutoff, rows,
	batches, blocked, held, error FROM retention.runs LIMIT 0;
SELECT deletion_id, run_id, policy, relation, action, rows, cutoff, happened_at, actor,
	application, reason, parent_id, txid FROM retention.deletions LIMIT 0;
SELECT severity, subject, finding, hint FROM retention.health LIMIT 0;
SELECT pid, run_id, policy, relation, leaf, phase, rows, blocked, batches, blocks_done,
	blocks_total, started_at, waiting_for FROM retention.progress;

SET client_min_messages = warning;
SELECT count(retention.drop_policy(policy)) FROM retention.policies
WHERE relation IN ('orders'::regclass, 'policies2.orders'::regclass);
DROP SCHEMA policies, policies2 CASCADE;
