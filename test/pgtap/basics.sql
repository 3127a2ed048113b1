-- A DBA's everyday use, and what comes of it.

SET timezone = 'UTC';
SET client_min_messages = error;
SELECT plan(71);

DROP ROLE IF EXISTS retention_shop, retention_guest;
CREATE ROLE retention_shop;
CREATE ROLE retention_guest;
GRANT CREATE ON SCHEMA public TO retention_shop;
SET ROLE retention_shop;

CREATE TABLE invoice (
	invoice_id integer PRIMARY KEY,
	paid_at    timestamptz,
	disputed   boolean NOT NULL DEFAULT false
);
CREATE TABLE invoice_line (
	invoice_id integer REFERENCES invoice ON DELETE CASCADE,
	line       integer,
	PRIMARY KEY (invoice_id, line)
);
INSERT INTO invoice
SELECT n, now() - n * interval '1 day', n % 10 = 0
FROM generate_series(1, 100) n;
INSERT INTO invoice VALUES (1001, NULL), (1002, 'infinity'), (1003, '-infinity');
INSERT INTO invoice_line
SELECT n, line FROM generate_series(1, 100) n, generate_series(1, 2) line;

-- Making a policy.

SELECT is(retention.add_policy('invoice', 'delete', '30 days 12:00', 'paid_at'),
	'invoice_delete', 'a policy is named after its table and action');
SELECT results_eq(
	$$SELECT relation, action, after, clock, filter, zone, every, run_window,
			rate, max_fraction, state, reason, version, owner, cascades
		FROM retention.policies$$,
	$$VALUES ('invoice'::regclass, 'delete', '30 days 12:00'::interval,
		'paid_at', NULL, 'UTC', '1 hour'::interval, NULL, NULL::integer,
		0.5::real, 'active', NULL, 1, 'retention_shop'::name,
		'{public.invoice_line (invoice_id)}'::text[])$$,
	'the view shows it, with its defaults');
SELECT cmp_ok(next_run, '<=', clock_timestamp(), 'its first run is due at once')
FROM retention.policies;
SELECT throws_ok(
	$$SELECT retention.add_policy('invoice', 'delete', '1 year', 'paid_at')$$,
	'42710', 'policy "invoice_delete" already exists',
	'a name is used once');

-- What it will do.

SELECT results_eq($$SELECT relation, due, held, kept FROM retention.preview('invoice_delete')$$,
	$$VALUES ('invoice'::regclass, 70::bigint, 0::bigint, 0::bigint)$$,
	'preview counts what is due');
SELECT is(oldest, (SELECT min(paid_at) FROM invoice WHERE isfinite(paid_at)),
	'preview names the oldest')
FROM retention.preview('invoice_delete');
SELECT is(due, 100::bigint, 'preview looks ahead')
FROM retention.preview('invoice_delete', now() + interval '40 days');
SELECT is(due, 0::bigint, 'and back')
FROM retention.preview('invoice_delete', now() - interval '1 year');

SELECT retention.add_policy('invoice', 'keep', '60 days 12:00', 'paid_at',
	filter => 'disputed') AS keep \gset
SELECT is(kept, 3::bigint, 'preview counts what a keep policy protects')
FROM retention.preview('invoice_delete');

-- Why is a row still here?

SELECT results_eq($$SELECT policy, verdict FROM retention.explain_row('invoice', '5')$$,
	$$VALUES ('invoice_keep', 'does not apply'), ('invoice_delete', 'not due')$$,
	'explain_row: not due');
SELECT results_eq($$SELECT policy, verdict FROM retention.explain_row('invoice', '45')$$,
	$$VALUES ('invoice_keep', 'does not apply'), ('invoice_delete', 'due')$$,
	'explain_row: due');
SELECT results_eq($$SELECT policy, verdict FROM retention.explain_row('invoice', '40')$$,
	$$VALUES ('invoice_keep', 'keeps'), ('invoice_delete', 'kept')$$,
	'explain_row: kept');
SELECT results_eq($$SELECT policy, verdict FROM retention.explain_row('invoice', '80')$$,
	$$VALUES ('invoice_keep', 'over'), ('invoice_delete', 'due')$$,
	'explain_row: no longer kept');
SELECT is(due_at, (SELECT paid_at + interval '30 days 12:00' FROM invoice WHERE invoice_id = 5),
	'explain_row: when')
FROM retention.explain_row('invoice', '5') WHERE policy = 'invoice_delete';
SELECT is(verdict || ', ' || reason, 'not started, the clock is null', 'explain_row: no clock')
FROM retention.explain_row('invoice', '1001') WHERE policy = 'invoice_delete';
SELECT is(verdict || ', ' || reason, 'not started, the clock is infinite', 'explain_row: infinity')
FROM retention.explain_row('invoice', '1002') WHERE policy = 'invoice_delete';
SELECT is(verdict || ', ' || reason, 'not started, the clock is infinite', 'explain_row: -infinity')
FROM retention.explain_row('invoice', '1003') WHERE policy = 'invoice_delete';
SELECT is(verdict, 'not found', 'explain_row: no such row')
FROM retention.explain_row('invoice', '4711');

-- A run.

SELECT is_empty('SELECT * FROM retention.find_deletion(''invoice'', ''45'')',
	'find_deletion: not deleted yet');
SET retention.reason = 'audit of June';
CALL retention.run_policy('invoice_delete');
RESET retention.reason;

SELECT results_eq($$SELECT invoice_id FROM invoice ORDER BY 1$$,
	$$SELECT n FROM generate_series(1, 30) n
		UNION ALL VALUES (40), (50), (60), (1001), (1002), (1003) ORDER BY 1$$,
	'what is due goes; what is kept, not due or without a clock stays');
SELECT is(count(*), 66::bigint, 'its lines go along') FROM invoice_line;
SELECT results_eq(
	$$SELECT policy, relation, action, state, rows, blocked, held, error, started_by
		FROM retention.runs$$,
	$$VALUES ('invoice_delete', 'invoice'::regclass, 'delete', 'succeeded',
		67 * 3::bigint, 0::bigint, 0::bigint, NULL, 'retention_shop')$$,
	'the run history has it, cascades included');
SELECT cmp_ok(finished_at, '>=', started_at, 'with its times') FROM retention.runs;
SELECT results_eq(
	$$SELECT relation, sum(rows)::bigint, min(actor), min(reason)
		FROM retention.deletions GROUP BY relation ORDER BY relation$$,
	$$VALUES ('invoice'::regclass, 67::bigint, 'retention_shop', 'audit of June'),
		('invoice_line', 134, 'retention_shop', 'audit of June')$$,
	'the records add up');
SELECT is(count(*), 0::bigint, 'what cascaded names the record it came from')
FROM retention.deletions d
	LEFT JOIN retention.deletions p ON p.deletion_id = d.parent_id
		AND p.run_id = d.run_id AND p.relation = 'invoice'::regclass
WHERE d.relation = 'invoice_line'::regclass AND p.deletion_id IS NULL;
SELECT is(policy, 'invoice_delete', 'find_deletion: deleted')
FROM retention.find_deletion('invoice', '45');
SELECT is(relation, 'invoice_line'::regclass, 'find_deletion: a key of two columns')
FROM retention.find_deletion('invoice_line', '45', '2');
SELECT is_empty($$SELECT * FROM retention.find_deletion('invoice', '40')$$,
	'find_deletion: still there');
SELECT throws_ok($$SELECT * FROM retention.find_deletion('invoice_line', '45')$$,
	'22023', 'the key of "invoice_line" has 2 columns, 1 values were given',
	'find_deletion: half a key');

CALL retention.run_policy('invoice_delete');
SELECT results_eq(
	'SELECT state, rows FROM retention.runs ORDER BY run_id DESC LIMIT 1',
	$$VALUES ('succeeded', 0::bigint)$$, 'a run that finds nothing is in the history too');
SELECT is_empty($$SELECT * FROM retention.health WHERE subject LIKE 'invoice%'$$,
	'health has nothing to say about it');

-- In a transaction block a run is a part of the transaction.

UPDATE invoice SET paid_at = now() - interval '40 days' WHERE invoice_id = 1;
BEGIN;
CALL retention.run_policy('invoice_delete');
SELECT is(count(*), 0::bigint, 'in a transaction: gone') FROM invoice WHERE invoice_id = 1;
ROLLBACK;
SELECT is(count(*), 1::bigint, 'rolled back: there again') FROM invoice WHERE invoice_id = 1;
SELECT is_empty($$SELECT * FROM retention.find_deletion('invoice', '1')$$,
	'and no record of it');

-- Changing a policy.

SELECT lives_ok($$SELECT retention.alter_policy('invoice_delete', after => '20 days',
		filter => 'NOT disputed', rate => 1000, run_window => '22:00-06:00',
		every => '0', zone => 'Europe/Paris', max_fraction => 0.9)$$,
	'everything about a policy can be changed');
SELECT results_eq(
	$$SELECT after, filter, rate, run_window, every, zone, max_fraction, version, next_run
		FROM retention.policies WHERE policy = 'invoice_delete'$$,
	$$VALUES ('20 days'::interval, 'NOT disputed', 1000, '22:00-06:00',
		NULL::interval, 'Europe/Paris', 0.9::real, 2, NULL::timestamptz)$$,
	'and is another then');
SELECT lives_ok($$SELECT retention.alter_policy('invoice_delete', filter => '',
		rate => 0, run_window => '', every => '1 day', zone => 'UTC')$$,
	'an empty text clears');
SELECT results_eq(
	$$SELECT after, filter, rate, run_window, every FROM retention.policies
		WHERE policy = 'invoice_delete'$$,
	$$VALUES ('20 days'::interval, NULL, NULL::integer, NULL, '1 day'::interval)$$,
	'and NULL leaves as it was');

SELECT lives_ok($$SELECT retention.pause_policy('invoice_delete', 'year-end closing')$$,
	'a policy can be paused');
SELECT results_eq(
	$$SELECT state, reason, next_run FROM retention.policies WHERE policy = 'invoice_delete'$$,
	$$VALUES ('paused', 'year-end closing', NULL::timestamptz)$$,
	'the view says why');
SELECT throws_ok($$CALL retention.run_policy('invoice_delete')$$, '55000',
	'policy "invoice_delete" is paused: year-end closing', 'it does not run then');
SELECT results_eq(
	$$SELECT severity, finding FROM retention.health WHERE subject = 'invoice_delete'$$,
	$$VALUES ('warning', 'the policy is paused: year-end closing')$$, 'health says so');
SELECT is(verdict, 'waits', 'explain_row says so')
FROM retention.explain_row('invoice', '25') WHERE policy = 'invoice_delete';
SELECT lives_ok($$SELECT retention.resume_policy('invoice_delete')$$, 'and resumed');
SELECT is(state, 'active', 'it is active again')
FROM retention.policies WHERE policy = 'invoice_delete';
SELECT results_eq(
	$$SELECT operation, changed_by FROM retention.policy_history
		WHERE policy = 'invoice_delete' ORDER BY changed_at, version$$,
	$$VALUES ('add', 'retention_shop'), ('alter', 'retention_shop'),
		('alter', 'retention_shop'), ('paused', 'retention_shop'),
		('resume', 'retention_shop')$$,
	'the history has every change');

-- All that is due.

UPDATE invoice SET paid_at = now() - interval '25 days' WHERE invoice_id < 3;
CALL retention.run_due();
SELECT is(count(*), 0::bigint, 'run_due runs what is due') FROM invoice WHERE invoice_id < 3;
SELECT cmp_ok(next_run, '>', now(), 'and not again before its time')
FROM retention.policies WHERE policy = 'invoice_delete';

-- A typo does not empty a table.

CREATE TABLE event (event_id integer PRIMARY KEY, at timestamp NOT NULL);
INSERT INTO event SELECT n, localtimestamp - n * interval '1 hour'
FROM generate_series(1, 2000) n;
SELECT retention.add_policy('event', 'delete', '3 days', 'at', every => '0') AS p \gset
CALL retention.run_policy(:'p');
SELECT is(count(*), 2000::bigint, 'a run that would take most of a table waits') FROM event;
SELECT is(state, 'needs_confirmation', 'the policy says so')
FROM retention.policies WHERE policy = 'event_delete';
SELECT is(count(*), 1::bigint, 'health says so')
FROM retention.health WHERE subject = 'event_delete' AND finding LIKE '%waits for confirmation%';
CALL retention.run_policy(:'p', confirm => true);
SELECT results_eq('SELECT min(event_id), max(event_id) FROM event',
	'VALUES (1, 71)', 'confirmed, it goes on');
SELECT is(state, 'active', 'and the policy is active again')
FROM retention.policies WHERE policy = 'event_delete';

-- A column is renamed: the policy follows.

ALTER TABLE event RENAME at TO happened_at;
CALL retention.run_policy('event_delete');
SELECT is(clock, 'happened_at', 'a renamed column is followed')
FROM retention.policies WHERE policy = 'event_delete';
SELECT is(state, 'succeeded', 'and the run goes on')
FROM retention.runs ORDER BY run_id DESC LIMIT 1;

-- A column is dropped: the policy is broken, and nothing is deleted.

ALTER TABLE event ADD gone_at timestamptz DEFAULT '-infinity';
ALTER TABLE event ALTER gone_at SET DEFAULT NULL;
SELECT retention.add_policy('event', 'delete', '1 day', 'gone_at',
	name => 'event_gone', every => '0') AS p \gset
ALTER TABLE event DROP gone_at;
\echo # the next error is wanted
\set ON_ERROR_STOP off
CALL retention.run_policy('event_gone');
\set ON_ERROR_STOP on
SELECT is(state, 'broken', 'a dropped column breaks the policy')
FROM retention.policies WHERE policy = 'event_gone';
SELECT results_eq(
	$$SELECT severity, finding FROM retention.health WHERE subject = 'event_gone'
		AND severity = 'critical'$$,
	$$VALUES ('critical', 'the policy is broken: table public.event does not fit the policy any more: column "gone_at" was dropped')$$,
	'health says so');
SELECT retention.drop_policy('event_gone') \g /dev/null

-- What cannot work is refused when it is said.

CREATE VIEW event_view AS SELECT * FROM event;
CREATE TEMP TABLE event_temp (at timestamptz);
SELECT throws_ok($$SELECT retention.add_policy('event_view', 'delete', '1 day', 'happened_at')$$,
	'42809', '"event_view" cannot be governed: it is a view', 'refused: a view');
SELECT throws_ok($$SELECT retention.add_policy('event_temp', 'delete', '1 day', 'happened_at')$$,
	'42809', '"event_temp" cannot be governed: it is a temporary table', 'refused: a temporary table');
SELECT throws_ok($$SELECT retention.add_policy('event', 'shred', '1 day', 'happened_at')$$,
	'22023', 'unknown action "shred"', 'refused: an unknown action');
SELECT throws_ok($$SELECT retention.add_policy('event', 'destroy', '1 day', 'happened_at')$$,
	'22023', 'unknown action "destroy"', 'refused: an unknown action');
SELECT throws_ok($$SELECT retention.add_policy('event', 'delete', '-1 day', 'happened_at', name => 'x')$$,
	'22023', 'after must not be negative', 'refused: a negative interval');
SELECT throws_ok($$SELECT retention.add_policy('event', 'delete', '1 day', 'event_id', name => 'x')$$,
	'42804', 'clock is of type integer', 'refused: a clock that is no time');
SELECT throws_ok($$SELECT retention.add_policy('event', 'delete', '1 day', 'happened_at',
		filter => 'random() < 0.5', name => 'x')$$,
	'42P17', 'filter calls a volatile function: "random() < 0.5"', 'refused: chance');
SELECT throws_ok($$SELECT retention.add_policy('event', 'delete', '1 day', 'happened_at',
		filter => 'true) OR (true', name => 'x')$$,
	'42601', NULL, 'refused: a way out of the parentheses');
SELECT throws_ok($$SELECT retention.drop_policy('nothing')$$,
	'42704', 'policy "nothing" does not exist', 'refused: a policy that is not there');

-- Others.

SET ROLE retention_guest;
SELECT is_empty('SELECT policy FROM retention.policies
	UNION ALL SELECT policy FROM retention.policy_history
	UNION ALL SELECT policy FROM retention.runs
	UNION ALL SELECT policy FROM retention.deletions
	UNION ALL SELECT subject FROM retention.health WHERE subject NOT IN (''workers'', ''clock'')',
	'another role sees nothing of this');
SELECT throws_ok($$SELECT retention.add_policy('public.event', 'delete', '1 day', 'happened_at')$$,
	'42501', 'must be owner of table "event"', 'and decides about nothing');

-- The end of a policy leaves its records.

SET ROLE retention_shop;
SELECT retention.drop_policy('invoice_delete') \g /dev/null
SELECT cmp_ok(count(*), '>', 0::bigint, 'the runs of a dropped policy stay')
FROM retention.runs WHERE policy = 'invoice_delete';
SELECT isnt_empty($$SELECT * FROM retention.find_deletion('invoice', '45')$$,
	'and so do its records');

RESET ROLE;
SELECT throws_ok('DELETE FROM retention.deletion', '55000',
	'the records of retention can only be added to',
	'not even a superuser deletes records by a plain DELETE');

SELECT * FROM finish();
DROP OWNED BY retention_shop;
DROP ROLE retention_shop, retention_guest;
