-- Personal data: tags, scrubbing by the clock, what is refused and why.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_owner;
CREATE ROLE regress_retention_other;
CREATE SCHEMA pii AUTHORIZATION regress_retention_owner;
GRANT USAGE ON SCHEMA pii TO regress_retention_other;
SET search_path TO pii, public;
SET ROLE regress_retention_owner;

CREATE DOMAIN mail AS text NOT NULL CHECK (value ~ '^[^@]+@[^@]+\.[^@]+$');
CREATE TABLE orders (
	id      integer PRIMARY KEY,
	name    text NOT NULL,
	kana    varchar(10),
	email   mail UNIQUE,
	phone   varchar(20),
	born    date,
	ip      inet,
	zip     char(8),
	salary  numeric(8,2) CHECK (salary >= 0),
	extra   jsonb,
	raw     json,
	photo   bytea,
	letters text[],
	code    uuid,
	big     text GENERATED ALWAYS AS (upper(name)) STORED,
	no      integer GENERATED ALWAYS AS IDENTITY,
	at      timestamptz NOT NULL,
	ok      boolean DEFAULT true,
	stamp   timestamptz DEFAULT clock_timestamp(),
	note    text DEFAULT 'none'
);
INSERT INTO orders (id, name, kana, email, phone, born, ip, zip, salary, extra, raw, photo, letters, code, at, note)
SELECT i, 'Yamada ' || i, 'ヤマダ', 'taro' || i || '@example.com', '090-1234-' || lpad(i::text, 4, '0'),
	'1984-05-17'::date + i, '192.0.2.77', '150-0001', 1234.50 + i, '{"who": {"mail": "x@y.z"}, "n": 1}', '{"who" : "me"}',
	'\x01', '{a,b}', 'd1a7c6f0-2b93-8e54-b1c8-7f0a6d3e9524', '2026-03-01 12:00+00'::timestamptz - interval '1 day' * i, 'call me'
FROM generate_series(1, 60) i;

-- What cannot work is refused, with a method that would.
SELECT retention.tag_pii('orders', 'nope', 'name');
SELECT retention.tag_pii('orders', 'name', 'name', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'shred', clock => 'at');
SELECT retention.tag_pii('orders', 'name', '', 'mask', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', '{"frist": 1}', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', '{"first": -1}', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', '[1]', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', '{"first": null}', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', clock => 'nope');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', after => '-1 day', clock => 'at');
SELECT retention.tag_pii('orders', 'email', 'email', 'mask_email', clock => 'at');
SELECT retention.tag_pii('orders', 'email', 'email', clock => 'at');
SELECT retention.tag_pii('orders', 'phone', 'phone', 'tombstone', clock => 'at');
SELECT retention.tag_pii('orders', 'born', 'birth_date', 'mask', clock => 'at');
SELECT retention.tag_pii('orders', 'salary', 'other', 'generalize', clock => 'at');
SELECT retention.tag_pii('orders', 'salary', 'other', 'generalize', '{"bucket": 0.001}', clock => 'at');
SELECT retention.tag_pii('orders', 'salary', 'other', 'constant', '{"value": -1}', clock => 'at');
SELECT retention.tag_pii('orders', 'salary', 'other', 'constant', '{"value": "much"}', clock => 'at');
SELECT retention.tag_pii('orders', 'salary', 'other', 'constant', clock => 'at');
SELECT retention.tag_pii('orders', 'extra', 'other', 'mask', clock => 'at');
SELECT retention.tag_pii('orders', 'big', 'name', clock => 'at');
SELECT retention.tag_pii('orders', 'no', 'other', clock => 'at');
SELECT retention.tag_pii('orders', 'id', 'other', 'tombstone', clock => 'at');
SELECT retention.tag_pii('orders', 'stamp', 'other', 'default', clock => 'at');
SELECT retention.tag_pii('orders', 'at', 'other', 'generalize', clock => 'at');
SELECT retention.tag_pii('orders', 'name', 'name', 'mask');
SELECT retention.tag_pii(NULL, 'name', 'name');
RESET ROLE;
SET ROLE regress_retention_other;
SELECT retention.tag_pii('pii.orders', 'name', 'name', 'mask', clock => 'at');
SELECT retention.untag_pii('pii.orders', 'name');
RESET ROLE;
SET ROLE regress_retention_owner;
SELECT count(*) FROM retention.pii_columns;
SELECT count(*) FROM retention.policies WHERE action = 'scrub';

-- One policy for the same period, clock and filter; others for others.
SELECT retention.tag_pii('orders', 'name', 'name', 'mask', '{"first": 1}', clock => 'at');
SELECT retention.tag_pii('orders', 'kana', 'name');
SELECT retention.tag_pii('orders', 'email', 'email', 'tombstone');
SELECT retention.tag_pii('orders', 'phone', 'phone', 'mask_phone', clock => '"at"');
SELECT retention.tag_pii('orders', 'born', 'birth_date', 'generalize', '{"unit": "month"}');
SELECT retention.tag_pii('orders', 'ip', 'ip_address', 'truncate_ip');
SELECT retention.tag_pii('orders', 'zip', 'postal_code', 'generalize');
SELECT retention.tag_pii('orders', 'salary', 'other', 'generalize', '{"bucket": 1000}');
SELECT retention.tag_pii('orders', 'extra', 'other', 'erase_json', '{"paths": ["who.mail"]}');
SELECT retention.tag_pii('orders', 'raw', 'other', 'erase_json');
SELECT retention.tag_pii('orders', 'photo', 'photo', 'constant', '{"value": ""}');
SELECT retention.tag_pii('orders', 'letters', 'other', 'constant', '{"value": "{}"}');
SELECT retention.tag_pii('orders', 'code', 'other', 'pseudonym');
SELECT retention.tag_pii('orders', 'note', 'other', 'default', after => '45 days');
SELECT column_name, category, method, params, policy, after FROM retention.pii_columns ORDER BY 5, 1;
SELECT policy, action, after, clock, every, max_fraction FROM retention.policies WHERE action = 'scrub' ORDER BY 1;
-- a tag is changed by another call
SELECT retention.tag_pii('orders', 'note', 'other', 'default', after => '50 days');
SELECT policy, after FROM retention.policies WHERE action = 'scrub' ORDER BY 1;
-- what decides must stay
SELECT retention.add_policy('orders', 'delete', '1 year', 'born');

SELECT relation, due FROM retention.preview('orders_scrub');
CALL retention.run_policy('orders_scrub', confirm => true);
CALL retention.run_policy('orders_scrub_3', confirm => true);
SELECT id, name, kana, email ~ '^erased-[0-9a-f]{32}@erased.invalid$' AS tombstone, phone, born, ip, zip, salary, extra, raw, photo, letters,
	code <> 'd1a7c6f0-2b93-8e54-b1c8-7f0a6d3e9524' AS pseudonym, big, note
FROM orders WHERE id IN (29, 30, 49, 50) ORDER BY id;
SELECT policy, action, sum(rows), key_columns, columns FROM retention.deletions WHERE relation = 'orders'::regclass GROUP BY 1, 2, 4, 5 ORDER BY 1;
-- again: nothing; written again: again
CALL retention.run_policy('orders_scrub', confirm => true);
UPDATE orders SET name = 'Suzuki' WHERE id = 40;
CALL retention.run_policy('orders_scrub', confirm => true);
SELECT id, name FROM orders WHERE id = 40;
SELECT policy, state, rows, batches > 0 AS batches, blocked FROM retention.runs WHERE relation = 'orders'::regclass ORDER BY run_id;
SELECT policy, action, verdict, reason FROM retention.explain_row('orders', '40') ORDER BY 1;
SELECT policy, action, verdict, reason FROM retention.explain_row('orders', '3') ORDER BY 1;
SELECT count(*) FROM retention.find_deletion('orders', '40');

-- Renames are followed; what is gone stops the policy.
ALTER TABLE orders RENAME kana TO furigana;
SELECT column_name FROM retention.pii_columns WHERE category = 'name' ORDER BY 1;
CALL retention.run_policy('orders_scrub');
ALTER TABLE orders DROP ip;
CALL retention.run_policy('orders_scrub');
SELECT column_name, is_dropped FROM retention.pii_columns WHERE is_dropped;
SELECT retention.untag_pii('orders', 'ip');
SELECT retention.untag_pii('orders', 'ip');
SELECT retention.resume_policy('orders_scrub');
CALL retention.run_policy('orders_scrub');
-- the last tag of a policy ends it
SELECT retention.untag_pii('orders', 'note');
SELECT policy FROM retention.policies WHERE action = 'scrub' ORDER BY 1;
-- and the end of a policy its tags
SELECT retention.drop_policy('orders_scrub');
SELECT count(*) FROM retention.pii_columns;

-- A filter; a trigger that moves the clock, one that refuses, one that brings
-- values back; rows that violate a constraint.
CREATE TABLE t (id integer PRIMARY KEY, v text, state text, updated timestamptz, CHECK (id <> 4 OR length(v) > 3));
INSERT INTO t SELECT i, 'value ' || i, CASE WHEN i % 2 = 0 THEN 'closed' ELSE 'open' END, '2026-01-01Z' FROM generate_series(1, 8) i;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id = 6 THEN RETURN NULL; END IF;
	IF new.id = 8 AND new.state = 'closed' THEN new.v = old.v; END IF;
	new.updated = '2026-03-01Z';
	RETURN new;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
SELECT retention.tag_pii('t', 'v', 'other', 'mask', '{"first": 1, "filler": "-"}', filter => 'state = ''closed''', clock => 'updated');
UPDATE t SET state = 'other' WHERE id = 8;
UPDATE t SET updated = '2026-01-01Z' WHERE id = 8;
ALTER TABLE t DISABLE TRIGGER touch;
UPDATE t SET updated = '2026-01-01Z';
ALTER TABLE t ENABLE TRIGGER touch;
SELECT retention.tag_pii('t', 'v', 'other', 'mask', '{"first": 1, "filler": "-"}', filter => 'state = ''closed''', clock => 'updated');
UPDATE t SET state = 'closed' WHERE id = 8;
ALTER TABLE t DISABLE TRIGGER touch;
UPDATE t SET updated = '2026-01-01Z';
ALTER TABLE t ENABLE TRIGGER touch;
CALL retention.run_policy('t_scrub');
SELECT * FROM t ORDER BY id;
SELECT state, rows, blocked, blocked_cause FROM retention.runs WHERE policy = 't_scrub' ORDER BY run_id DESC LIMIT 1;
ALTER TABLE t DROP CONSTRAINT t_check, ADD CHECK (v !~ '-') NOT VALID;
SELECT retention.tag_pii('t', 'v', 'other', 'mask', '{"filler": "-"}', clock => 'updated');

-- Natural keys: both ends change alike, or it is refused.
CREATE TABLE people (mail text PRIMARY KEY, at date);
CREATE TABLE visits (id integer PRIMARY KEY, mail text REFERENCES people, at date);
INSERT INTO people VALUES ('a@b.c', '2020-01-01'), ('d@e.f', '2030-01-01');
INSERT INTO visits VALUES (1, 'a@b.c', '2030-01-01'), (2, 'd@e.f', '2020-01-01');
SELECT retention.tag_pii('people', 'mail', 'email', 'pseudonym');
ALTER TABLE visits DROP CONSTRAINT visits_mail_fkey, ADD FOREIGN KEY (mail) REFERENCES people ON UPDATE CASCADE;
SELECT retention.tag_pii('people', 'mail', 'email', 'tombstone');
SELECT retention.tag_pii('people', 'mail', 'email', 'mask_email');
SELECT retention.tag_pii('visits', 'mail', 'email', 'pseudonym');
SELECT retention.tag_pii('people', 'mail', 'email', 'pseudonym');
CALL retention.run_policy('people_scrub');
SELECT v.id, p.mail ~ '^p_.*@erased.invalid$' AS pseudonym FROM visits v JOIN people p USING (mail) ORDER BY 1;

-- A function of the owner: immutable, his own, and the same twice.
CREATE FUNCTION first_word(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT split_part($1, ' ', 1) $$;
CREATE FUNCTION longer(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || 'x' $$;
CREATE FUNCTION volatile_word(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$;
CREATE TABLE f (id integer PRIMARY KEY, v text, at date);
INSERT INTO f VALUES (1, 'one two', '2020-01-01');
SELECT retention.tag_pii('f', 'v', 'other', 'function', '{"function": "pii.longer(text)"}');
SELECT retention.tag_pii('f', 'v', 'other', 'function', '{"function": "pii.volatile_word(text)"}');
SELECT retention.tag_pii('f', 'v', 'other', 'function', '{"function": "pii.nothing(text)"}');
SELECT retention.tag_pii('f', 'v', 'other', 'function', '{"function": "pii.first_word(text)"}');
CALL retention.run_policy('f_scrub');
SELECT v FROM f;
RESET ROLE;
ALTER FUNCTION first_word(text) OWNER TO regress_retention_other;
SET ROLE regress_retention_owner;
INSERT INTO f VALUES (2, 'three four', '2020-01-01');
CALL retention.run_policy('f_scrub');
SELECT v FROM f ORDER BY id;

-- Hostile names and texts gain nothing.
CREATE TABLE "a ""b'); DROP TABLE f; --" ("c'; DROP TABLE f; --" text, "%s" text, at date, k integer PRIMARY KEY);
INSERT INTO "a ""b'); DROP TABLE f; --" VALUES ('x', 'y', '2020-01-01', 1);
SELECT retention.tag_pii('"a ""b''); DROP TABLE f; --"', 'c''; DROP TABLE f; --', '''); DROP TABLE f; --', 'constant', '{"value": "''); DROP TABLE f; --"}') IS NOT NULL AS tagged;
SELECT retention.tag_pii('"a ""b''); DROP TABLE f; --"', '%s', 'x', 'tombstone') IS NOT NULL AS tagged;
SELECT policy FROM retention.policies WHERE policy LIKE 'a "b%' \gset
CALL retention.run_policy(:'policy');
SELECT "c'; DROP TABLE f; --", "%s" ~ '^erased-' AS "%s" FROM "a ""b'); DROP TABLE f; --";
SELECT count(*) FROM f;

-- Partitions: those that come later, too; by the root only.
CREATE TABLE p (id integer, who text, at date) PARTITION BY RANGE (at);
CREATE TABLE p1 (who text, gone integer, id integer, at date);
ALTER TABLE p1 DROP gone;
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
SELECT retention.tag_pii('p1', 'who', 'name');
SELECT retention.tag_pii('p', 'at', 'other');
SELECT retention.tag_pii('p', 'who', 'name');
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO p VALUES (1, 'a', '2020-02-02'), (2, 'b', '2026-01-05'), (3, 'c', '2026-02-20');
CALL retention.run_policy('p_scrub');
SELECT * FROM p ORDER BY id;

-- The month's end, the leap day, daylight saving and the day of Tokyo.
CREATE TABLE clocks (id integer PRIMARY KEY, zone text, after interval, clock text, due timestamptz);
INSERT INTO clocks VALUES
	(1, 'Asia/Tokyo', '1 month', '2026-01-31 00:00:00+09', '2026-02-28 00:00:00+09'),
	(2, 'Asia/Tokyo', '1 year', '2024-02-29 12:00:00+09', '2025-02-28 12:00:00+09'),
	(3, 'Asia/Tokyo', '3 months', '2025-11-30 23:59:59+09', '2026-02-28 23:59:59+09'),
	(4, 'America/New_York', '30 days', '2026-02-20 12:00:00-05', '2026-03-22 12:00:00-04'),
	(5, 'America/New_York', '720 hours', '2026-02-20 12:00:00-05', '2026-03-22 13:00:00-04'),
	(6, 'Europe/Berlin', '1 day', '2026-10-24 02:30:00+02', '2026-10-25 02:30:00+01'),
	(7, 'Asia/Tokyo', '30 days', '2026-01-01 00:00:00', '2026-01-31 00:00:00+09'),
	(8, 'UTC', '30 days', '2026-01-01 00:00:00', '2026-01-31 00:00:00Z'),
	(9, 'Asia/Tokyo', '1 month', '2026-02-28 15:30:00Z', '2026-04-01 00:30:00+09');
CREATE FUNCTION at_the_due_time() RETURNS TABLE (id integer, before bigint, after bigint) LANGUAGE plpgsql AS $$
DECLARE
	c clocks;
	policy text;
BEGIN
	FOR c IN SELECT * FROM clocks x ORDER BY x.id LOOP
		EXECUTE format('CREATE TABLE c (v text, at %s)', CASE WHEN c.clock ~ '[Z+-]\d*$' AND c.clock !~ '^\S+ \S+:\d\d$' OR c.clock ~ '([+-]\d\d|Z)$' THEN 'timestamptz' ELSE 'timestamp' END);
		EXECUTE format('INSERT INTO c VALUES (''x'', %L)', c.clock);
		PERFORM set_config('retention.zone', c.zone, false);
		policy := retention.tag_pii('c', 'v', 'other', after => c.after, clock => 'at');
		PERFORM set_config('retention.zone', '', false);
		id := c.id;
		SELECT sum(p.due) INTO before FROM retention.preview(policy, c.due - interval '1 second') p;
		SELECT sum(p.due) INTO after FROM retention.preview(policy, c.due) p;
		RETURN NEXT;
		PERFORM retention.drop_policy(policy);
		DROP TABLE c;
	END LOOP;
END $$;
RESET ROLE;
SELECT * FROM at_the_due_time();
SET ROLE regress_retention_owner;

-- In the trash: a row of day 29 is scrubbed there on day 30, and comes back
-- scrubbed on day 31.
CREATE TABLE trashed (id integer PRIMARY KEY, name text NOT NULL, at timestamptz, gone text);
INSERT INTO trashed SELECT i, 'Name ' || i, '2026-03-01 12:00Z'::timestamptz - interval '1 day' * i, 'x' FROM generate_series(28, 31) i;
SELECT retention.tag_pii('trashed', 'name', 'name', 'constant', '{"value": "?"}', clock => 'at');
SELECT retention.enable_trash('trashed', '90 days');
RESET ROLE;
SET retention.test_now = '2026-03-01 13:00:00+00';
SET ROLE regress_retention_owner;
DELETE FROM trashed;
SELECT deletion_id AS d FROM retention.trash WHERE relation = 'trashed'::regclass LIMIT 1 \gset
ALTER TABLE trashed RENAME name TO called;
ALTER TABLE trashed DROP gone, ADD more integer DEFAULT 7;
CALL retention.run_policy('trashed_scrub');
SELECT row_data ->> 'id' AS id, row_data ->> 'called' AS called FROM retention.trash WHERE relation = 'trashed'::regclass ORDER BY 1;
RESET ROLE;
SET retention.test_now = '2026-03-02 13:00:00+00';
SET ROLE regress_retention_owner;
CALL retention.run_policy('trashed_scrub');
SELECT row_data ->> 'id' AS id, row_data ->> 'called' AS called FROM retention.trash WHERE relation = 'trashed'::regclass ORDER BY 1;
CALL retention.run_policy('trashed_scrub');
SELECT action, rows, leaf, columns FROM retention.deletions WHERE relation = 'trashed'::regclass ORDER BY deletion_id;
-- no run in between: the restore scrubs
RESET ROLE;
SET retention.test_now = '2026-03-03 13:00:00+00';
SET ROLE regress_retention_owner;
SELECT verdict FROM retention.restore_deletion(:d);
SELECT * FROM trashed ORDER BY id;
RESET ROLE;
SET retention.test_now = '2026-03-03 13:00:00+00';
SET ROLE regress_retention_owner;
CALL retention.run_policy('trashed_scrub');
SELECT state, rows FROM retention.runs WHERE policy = 'trashed_scrub' ORDER BY run_id DESC LIMIT 1;
-- a dropped table, too
INSERT INTO trashed VALUES (1, 'Name 1', '2026-03-01Z');
DROP TABLE trashed;
RESET ROLE;
SET retention.test_now = '2026-04-15 13:00:00+00';
SET ROLE regress_retention_owner;
CALL retention.run_policy('trashed_scrub');
SELECT r.verdict FROM retention.trash t, retention.restore(t.trash_id) r WHERE t.row_data IS NULL AND t.leaf = 'pii.trashed';
SELECT called FROM trashed WHERE id = 1;

-- What the run cannot mend is told until it is mended.
CREATE MATERIALIZED VIEW names AS SELECT called FROM trashed;
CREATE INDEX trashed_gin ON trashed USING gin (to_tsvector('simple', called));
INSERT INTO trashed VALUES (99, 'Name 99', '2020-03-01Z');
CALL retention.run_policy('trashed_scrub');
SELECT subject, finding, hint FROM retention.health WHERE subject IN ('names', 'trashed_gin') ORDER BY 1;
REFRESH MATERIALIZED VIEW names;
REINDEX INDEX trashed_gin;
SELECT count(*) FROM retention.health WHERE subject IN ('names', 'trashed_gin');

RESET ROLE;
RESET retention.test_now;
SELECT retention.drop_policy(policy) FROM retention.policies WHERE action = 'scrub';
SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA pii CASCADE;
SELECT retention.purge_trash(deleted_before => 'infinity') >= 0 AS purged;
DROP OWNED BY regress_retention_owner, regress_retention_other;
DROP ROLE regress_retention_owner, regress_retention_other;
