-- When a row is due: clock + after <= now, in the calendar of the policy's
-- zone. Compared with the naive formula in plain SQL, and with the run itself.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA clock;
SET search_path = clock;

-- A table per type of clock, since the rule differs: a timestamptz is a
-- moment, a timestamp and a date are local times of the zone.
CREATE TABLE moments (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE locals (id integer PRIMARY KEY, at timestamp);
CREATE TABLE days (id integer PRIMARY KEY, at date);

-- The due time of one clock under one interval and zone, as explain_row tells
-- it; NULL: never.
CREATE FUNCTION due_at(tab regclass, at text, after interval, zone text)
	RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	result timestamptz;
BEGIN
	EXECUTE format('TRUNCATE %s; INSERT INTO %1$s VALUES (1, %L)', tab, at);
	PERFORM retention.add_policy(tab, 'delete', after, 'at', name => 'asked', zone => zone);
	SELECT e.due_at INTO STRICT result FROM retention.explain_row(tab, '1') e;
	PERFORM retention.drop_policy('asked');
	RETURN result;
END $$;

-- The same, naively.
CREATE FUNCTION naive(tab regclass, at text, after interval, zone text)
	RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('TimeZone', zone, true);
	RETURN CASE tab::text
		WHEN 'moments' THEN at::timestamptz + after
		WHEN 'locals' THEN (at::timestamp + after) AT TIME ZONE zone
		ELSE (at::date + after) AT TIME ZONE zone
	END;
END $$;

CREATE TABLE cases (n integer GENERATED ALWAYS AS IDENTITY, tab regclass, at text,
	after interval, zone text, expected text, why text);
INSERT INTO cases (tab, at, after, zone, expected, why) VALUES
	('moments', '2026-01-31 12:00+00', '30 days', 'UTC', '2026-03-02 12:00+00', 'days'),
	('moments', '2026-01-31 12:00+00', '0', 'UTC', '2026-01-31 12:00+00', 'at once'),
	('moments', '2026-01-31 12:00+00', '1 month', 'UTC', '2026-02-28 12:00+00', 'month end'),
	('moments', '2024-01-31 12:00+00', '1 month', 'UTC', '2024-02-29 12:00+00', 'month end, leap year'),
	('moments', '2024-02-29 12:00+00', '1 year', 'UTC', '2025-02-28 12:00+00', 'leap day'),
	('moments', '2024-02-29 12:00+00', '4 years', 'UTC', '2028-02-29 12:00+00', 'leap day to leap day'),
	('moments', '2026-01-31 12:00+00', '1 month 1 day', 'UTC', '2026-03-01 12:00+00', 'months first, then days'),
	-- Berlin: clocks go forward on 2026-03-29 01:00 UTC, back on 2026-10-25 01:00 UTC
	('moments', '2026-03-28 11:00+00', '1 day', 'Europe/Berlin', '2026-03-29 10:00+00', 'a day of 23 hours'),
	('moments', '2026-03-28 11:00+00', '24 hours', 'Europe/Berlin', '2026-03-29 11:00+00', 'hours are hours'),
	('moments', '2026-10-24 10:00+00', '1 day', 'Europe/Berlin', '2026-10-25 11:00+00', 'a day of 25 hours'),
	('moments', '2026-10-24 10:00+00', '24 hours', 'Europe/Berlin', '2026-10-25 10:00+00', 'hours are hours'),
	('moments', '2026-03-28 01:30+00', '1 day', 'Europe/Berlin', '2026-03-29 01:30+00', 'to a local time that does not exist'),
	('moments', '2026-10-24 00:30+00', '1 day', 'Europe/Berlin', '2026-10-25 01:30+00', 'to a local time that comes twice: the later'),
	('moments', '2026-10-25 00:30+00', '1 hour', 'Europe/Berlin', '2026-10-25 01:30+00', 'hours, in the hour that comes twice'),
	('moments', '2026-10-25 00:30+00', '0', 'Europe/Berlin', '2026-10-25 00:30+00', 'the first of the two'),
	('moments', '2026-10-25 01:30+00', '0', 'Europe/Berlin', '2026-10-25 01:30+00', 'the second of the two'),
	('locals', '2026-03-28 12:00', '1 day', 'Europe/Berlin', '2026-03-29 10:00+00', 'local'),
	('locals', '2026-03-28 12:00', '24 hours', 'Europe/Berlin', '2026-03-29 10:00+00', 'local hours'),
	('locals', '2026-03-28 02:30', '1 day', 'Europe/Berlin', '2026-03-29 01:30+00', 'does not exist'),
	('locals', '2026-10-24 02:30', '1 day', 'Europe/Berlin', '2026-10-25 01:30+00', 'comes twice'),
	('locals', '2026-01-31 00:00', '1 month', 'Asia/Tokyo', '2026-02-27 15:00+00', 'month end in Tokyo'),
	('days', '2026-02-28', '1 day', 'Asia/Tokyo', '2026-02-28 15:00+00', 'the day begins earlier in Tokyo'),
	('days', '2026-02-28', '1 day', 'America/New_York', '2026-03-01 05:00+00', 'and later in New York'),
	('days', '2026-02-28', '1 day', 'UTC', '2026-03-01 00:00+00', 'day boundary'),
	('days', '2024-02-29', '1 year', 'UTC', '2025-02-28 00:00+00', 'leap day'),
	('days', '2026-03-28', '1 day 12 hours', 'Europe/Berlin', '2026-03-29 10:00+00', 'date and hours'),
	-- the same moment is another day in Tokyo: its month ends earlier
	('moments', '2026-01-30 15:00+00', '1 month', 'Asia/Tokyo', '2026-02-27 15:00+00', 'January 31 in Tokyo'),
	('moments', '2026-01-30 15:00+00', '1 month', 'UTC', '2026-02-28 15:00+00', 'January 30 in UTC'),
	-- Lord Howe: half an hour of summer time, until 2026-04-05 02:00 (+11, then +10:30)
	('moments', '2026-04-04 01:00+00', '1 day', 'Australia/Lord_Howe', '2026-04-05 01:30+00', 'a day of 24.5 hours'),
	('locals', '2026-04-04 12:00', '1 day', 'Australia/Lord_Howe', '2026-04-05 01:30+00', 'the same, local'),
	('moments', '2026-10-03 01:30+00', '1 day', 'Australia/Lord_Howe', '2026-10-04 01:00+00', 'a day of 23.5 hours'),
	-- Apia left out December 30, 2011
	('moments', '2011-12-29 22:00+00', '1 day', 'Pacific/Apia', '2011-12-30 22:00+00', 'a day that was skipped'),
	-- far away
	('moments', '1000-01-01 00:00+00', '1000 years', 'UTC', '2000-01-01 00:00+00', 'a thousand years'),
	('locals', '0044-03-15 12:00 BC', '1 day', 'UTC', '0044-03-16 12:00+00 BC', 'BC'),
	('moments', 'infinity', '1 day', 'UTC', NULL, 'never started'),
	('moments', '-infinity', '1 day', 'UTC', NULL, 'never started'),
	('locals', 'infinity', '1 day', 'UTC', NULL, 'never started'),
	('locals', '-infinity', '1 day', 'UTC', NULL, 'never started'),
	('days', 'infinity', '1 day', 'UTC', NULL, 'never started'),
	('days', '-infinity', '1 day', 'UTC', NULL, 'never started'),
	('moments', NULL, '1 day', 'UTC', NULL, 'never started');

CREATE TABLE answers AS
SELECT c.n, due_at(tab, at, after, zone) AS due_at FROM cases c ORDER BY n;
RESET client_min_messages;

SELECT c.tab, c.at, c.after, c.zone, a.due_at, c.why
FROM cases c JOIN answers a USING (n) ORDER BY n;

-- As expected, and as the naive formula says: no rows.
SELECT c.*, a.due_at
FROM cases c JOIN answers a USING (n)
WHERE c.expected::timestamptz IS DISTINCT FROM a.due_at
ORDER BY n;
SELECT c.*, a.due_at, naive(tab, at, after, zone) AS naive
FROM cases c JOIN answers a USING (n)
WHERE a.due_at IS NOT NULL AND naive(tab, at, after, zone) <> a.due_at
ORDER BY n;

-- The boundary: a microsecond before it is due a row stays, then it goes.
-- preview, explain_row and the run agree.
CREATE FUNCTION boundary(n integer, tab regclass, at text, after interval, zone text,
	due timestamptz)
	RETURNS TABLE (before_preview bigint, before_verdict text, before_run bigint,
		then_preview bigint, then_verdict text, then_run bigint)
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('TRUNCATE %s; INSERT INTO %1$s VALUES (1, %L)', tab, at);
	PERFORM retention.add_policy(tab, 'delete', after, 'at', name => 'asked', zone => zone);

	PERFORM set_config('retention.test_now', (due - interval '1 microsecond')::text, true);
	SELECT p.due INTO before_preview
		FROM retention.preview('asked', due - interval '1 microsecond') p;
	SELECT e.verdict INTO before_verdict FROM retention.explain_row(tab, '1') e;
	CALL retention.run_policy('asked');
	EXECUTE format('SELECT 1 - count(*) FROM %s', tab) INTO before_run;

	PERFORM set_config('retention.test_now', due::text, true);
	SELECT p.due INTO then_preview FROM retention.preview('asked', due) p;
	SELECT e.verdict INTO then_verdict FROM retention.explain_row(tab, '1') e;
	CALL retention.run_policy('asked');
	EXECUTE format('SELECT 1 - count(*) FROM %s', tab) INTO then_run;
	PERFORM retention.drop_policy('asked');
	RETURN NEXT;
END $$;
SELECT b.*, count(*) AS cases
FROM cases c JOIN answers a USING (n)
	CROSS JOIN LATERAL boundary(n, tab, at, after, zone, a.due_at) b
WHERE a.due_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6;

-- What is NULL or infinite never goes, however far the future.
TRUNCATE moments, locals, days;
INSERT INTO moments VALUES (1, NULL), (2, 'infinity'), (3, '-infinity'), (4, '2026-01-01 00:00+00');
INSERT INTO locals SELECT id, at AT TIME ZONE 'UTC' FROM moments;
INSERT INTO days SELECT id, at::date FROM moments;
SELECT retention.add_policy(t, 'delete', '1 month', 'at', max_fraction => 1)
FROM unnest('{moments, locals, days}'::regclass[]) t;
SET retention.test_now = '2999-01-01 00:00+00';
SELECT p, due, oldest
FROM unnest('{moments_delete, locals_delete, days_delete}'::text[]) p,
	retention.preview(p, '2999-01-01 00:00+00')
ORDER BY p;
SELECT k AS id, e.clock, e.due_at, e.verdict, e.reason
FROM generate_series(1, 3) k, retention.explain_row('moments', k::text) e ORDER BY k;
SELECT k AS id, e.clock, e.due_at, e.verdict, e.reason
FROM generate_series(1, 3) k, retention.explain_row('days', k::text) e ORDER BY k;
CALL retention.run_policy('moments_delete');
CALL retention.run_policy('locals_delete');
CALL retention.run_policy('days_delete');
SELECT tableoid::regclass AS "table", id FROM moments
UNION ALL SELECT tableoid::regclass, id FROM locals
UNION ALL SELECT tableoid::regclass, id FROM days
ORDER BY 1, 2;

-- The ends of the calendar are dates like others.
TRUNCATE moments, locals, days;
INSERT INTO moments VALUES (1, '294276-12-31 23:59:59+00'), (2, '4714-11-24 00:00:00+00 BC'), (3, '9999-12-31 00:00+00');
INSERT INTO locals VALUES (1, '294276-12-31 23:59:59'), (2, '4714-11-24 00:00:00 BC'), (3, '9999-12-31 00:00');
INSERT INTO days VALUES (1, '5874897-12-31'), (2, '4714-11-24 BC'), (3, '9999-12-31');
SELECT retention.alter_policy(p, after => '1000 years 1 day 1 hour', zone => 'Asia/Tokyo')
FROM unnest('{moments_delete, locals_delete, days_delete}'::text[]) p;
CALL retention.run_policy('moments_delete');
CALL retention.run_policy('locals_delete');
CALL retention.run_policy('days_delete');
SELECT tableoid::regclass AS "table", id FROM moments
UNION ALL SELECT tableoid::regclass, id FROM locals
UNION ALL SELECT tableoid::regclass, id FROM days
ORDER BY 1, 2;

-- A clock may be an expression over the row, with its own data in it.
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE TABLE accounts (id integer PRIMARY KEY, created_at timestamptz, plan_days integer,
	epoch bigint);
INSERT INTO accounts VALUES
	(1, '2026-01-01 00:00+00', 10, 1767225600),
	(2, '2026-01-01 00:00+00', 50, 1767225600),
	(3, '2026-01-01 00:00+00', NULL, NULL),
	(4, NULL, 10, 1900000000);
SELECT retention.add_policy('accounts', 'delete', '1 month',
	'created_at + plan_days * interval ''1 day''');
SELECT k AS id, e.clock, e.due_at, e.verdict, e.reason
FROM generate_series(1, 4) k, retention.explain_row('accounts', k::text) e ORDER BY k;
CALL retention.run_policy('accounts_delete');
SELECT id FROM accounts ORDER BY id;
SELECT retention.alter_policy('accounts_delete', clock => 'to_timestamp(epoch)');
SELECT due, oldest FROM retention.preview('accounts_delete', '2026-03-01 12:00:00+00');
CALL retention.run_policy('accounts_delete', confirm => true);
SELECT id FROM accounts ORDER BY id;

-- An expression is computed in the zone of the policy, whatever the session's.
CREATE TABLE events (id integer PRIMARY KEY, at timestamptz);
INSERT INTO events VALUES (1, '2026-02-27 18:00+00');
SELECT retention.add_policy('events', 'delete', '1 day', 'at::date', zone => 'Asia/Tokyo');
SET TimeZone = 'America/New_York';
SELECT clock AT TIME ZONE 'Asia/Tokyo' AS clock, due_at AT TIME ZONE 'Asia/Tokyo' AS due_at, verdict
FROM retention.explain_row('events', '1');
SET TimeZone = 'UTC';
SELECT clock, due_at, verdict FROM retention.explain_row('events', '1');

-- A few hundred combinations with thousands of rows each: preview, which has
-- bounds to be fast, against the naive formula without any. None may differ.
TRUNCATE moments, locals, days;
INSERT INTO moments
SELECT n, '2025-10-20 00:00+00'::timestamptz + n * interval '61 minutes 7 seconds'
FROM generate_series(1, 4000) n;
INSERT INTO locals SELECT id, at AT TIME ZONE 'UTC' FROM moments;
INSERT INTO days SELECT id, at::date FROM moments;
CREATE FUNCTION count_naively(tab regclass, after interval, zone text, now timestamptz)
	RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM set_config('TimeZone', zone, true);
	IF tab = 'moments'::regclass THEN
		SELECT count(*) INTO n FROM moments WHERE at + after <= now;
	ELSIF tab = 'locals'::regclass THEN
		SELECT count(*) INTO n FROM locals WHERE (at + after) AT TIME ZONE zone <= now;
	ELSE
		SELECT count(*) INTO n FROM days WHERE (at + after) AT TIME ZONE zone <= now;
	END IF;
	RETURN n;
END $$;
CREATE TABLE comparison AS
SELECT tab, zone, after, now,
	retention.add_policy(tab, 'delete', after, 'at', zone => zone,
		name => concat_ws(' ', tab, zone, after, now)) AS policy
FROM unnest('{moments, locals, days}'::regclass[]) tab,
	unnest('{UTC,Europe/Berlin,Asia/Tokyo,Australia/Lord_Howe,America/St_Johns,Pacific/Kiritimati}'::text[]) zone,
	unnest('{0,1 day,36 hours,1 month,1 month 3 days 7 hours,1 year}'::interval[]) after,
	unnest('{2025-10-26 01:00+00,2026-02-28 15:00+00,2026-03-29 01:30+00,2026-04-04 15:15+00,2026-03-31 10:00+00}'::timestamptz[]) now;
SELECT c.tab, c.zone, c.after, c.now, p.due, n.due AS naive
FROM comparison c,
	LATERAL (SELECT sum(due) AS due FROM retention.preview(policy, now)) p,
	LATERAL (SELECT count_naively(tab, after, zone, now) AS due) n
WHERE p.due IS DISTINCT FROM n.due
ORDER BY 1, 2, 3, 4;
SELECT tab, count(*) AS compared, sum(due) > 1000 AS much_due
FROM comparison c, LATERAL (SELECT sum(due) AS due FROM retention.preview(policy, now)) p
GROUP BY tab ORDER BY tab;

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) > 100 AS dropped
FROM retention.policies p JOIN pg_class c ON c.oid = p.relation
WHERE c.relnamespace = 'clock'::regnamespace;
DROP SCHEMA clock CASCADE;
