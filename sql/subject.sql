-- A person's erasure, by links and foreign keys, in tables and in the trash;
-- and labels, another way to write tags.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE ROLE regress_retention_owner;
CREATE ROLE regress_retention_other;
CREATE SCHEMA subject AUTHORIZATION regress_retention_owner;
GRANT USAGE ON SCHEMA subject TO regress_retention_other;
SET search_path TO subject, public;
SET ROLE regress_retention_owner;
CREATE TABLE address (id integer PRIMARY KEY, line text NOT NULL, at date);
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, mail text UNIQUE, lives integer REFERENCES address,
	friend integer REFERENCES customer, at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer integer REFERENCES customer ON DELETE CASCADE, ship_to text, at date);
CREATE TABLE parcel (id integer, at date, orders integer REFERENCES orders ON DELETE CASCADE, phone text) PARTITION BY RANGE (at);
CREATE TABLE parcel_1 PARTITION OF parcel DEFAULT;
CREATE TABLE newsletter (mail text PRIMARY KEY, name text, customer integer, at date);
CREATE TABLE staff (id integer PRIMARY KEY, name text, at date);
INSERT INTO address VALUES (1, 'shared', '2026-01-01'), (2, 'his own', '2026-01-01');
INSERT INTO customer VALUES (41, 'Aoki', 'aoki@example.com', 1, NULL, now()), (42, 'Baba', 'baba@example.com', 2, 41, now()), (43, 'Chiba', 'c@example.com', 1, 42, now());
INSERT INTO orders SELECT i, 41 + i % 3, 'to ' || i, current_date FROM generate_series(1, 9) i;
INSERT INTO parcel SELECT i, current_date, i, '090-0000-000' || i FROM generate_series(1, 9) i;
INSERT INTO newsletter VALUES ('baba@example.com', 'Baba', 42, current_date), ('x@example.com', 'X', NULL, current_date);
INSERT INTO staff VALUES (1, 'Endo', current_date);

-- labels say the same as tag_pii()
SECURITY LABEL FOR retention ON COLUMN address.line IS '{"category": "address", "method": "mask"}';
SECURITY LABEL FOR retention ON COLUMN customer.name IS '{"category": "name", "method": "constant", "params": {"value": "?"}, "after": "60 days", "clock": "at"}';
SECURITY LABEL FOR retention ON COLUMN customer.mail IS '{"category": "email", "method": "tombstone", "after": "60 days"}';
SECURITY LABEL FOR retention ON COLUMN customer.name IS 'MASKED WITH FUNCTION anon.fake_last_name()';
SECURITY LABEL FOR retention ON COLUMN customer.name IS '["name"]';
SECURITY LABEL FOR retention ON COLUMN customer.name IS '{"categry": "name"}';
SECURITY LABEL FOR retention ON COLUMN customer.name IS '{"method": "mask"}';
SECURITY LABEL FOR retention ON COLUMN customer.name IS '{"category": 7}';
SECURITY LABEL FOR retention ON COLUMN customer.nope IS '{"category": "name"}';
SECURITY LABEL FOR retention ON TABLE customer IS '{"category": "name"}';
SECURITY LABEL FOR retention ON COLUMN customer.id IS NULL;
SECURITY LABEL FOR retention ON COLUMN orders.ship_to IS '{"category": "address"}';
SELECT relation, column_name, category, method, params, policy, after FROM retention.pii_columns ORDER BY 1::text, 2;
SELECT count(*) FROM pg_seclabels WHERE provider = 'retention';
RESET ROLE;
SET ROLE regress_retention_other;
SECURITY LABEL FOR retention ON COLUMN subject.customer.name IS '{"category": "name", "method": "mask"}';
SELECT retention.link_subject('customer', 'subject.customer', 'id');
RESET ROLE;
SET ROLE regress_retention_owner;
SELECT retention.tag_pii('parcel', 'phone', 'phone', 'mask_phone');
SELECT retention.tag_pii('newsletter', 'name', 'name');
SELECT retention.tag_pii('newsletter', 'mail', 'email', 'pseudonym');
SELECT retention.tag_pii('staff', 'name', 'name');

-- errors
SELECT * FROM retention.erase_subject('customer', '42', 'request 1');
SELECT retention.link_subject('customer', 'customer', 'nope');
SELECT retention.link_subject('', 'customer', 'id');
SELECT retention.unlink_subject('customer', 'customer');
SELECT retention.link_subject('customer', 'customer', 'id');
SELECT retention.link_subject('customer', 'newsletter', 'customer');
SELECT subject, relation, column_name FROM retention.subjects ORDER BY 2::text;
SELECT * FROM retention.erase_subject('customer', '42', '');
SELECT * FROM retention.erase_subject('customer', NULL, 'x');
SELECT * FROM retention.erase_subject('customer', 'forty-two', 'x');
RESET ROLE;
SET ROLE regress_retention_other;
SELECT * FROM retention.erase_subject('customer', '42', 'x');
SELECT retention._subject_key();
SELECT count(*) FROM retention.subjects;
RESET ROLE;
SET ROLE regress_retention_owner;

-- some of it is in the trash
SELECT retention.enable_trash('orders');
SELECT retention.enable_trash('parcel');
DELETE FROM orders WHERE id = 1;
SELECT * FROM retention.erase_subject('customer', '42', 'request 2026-17', dry_run => true);
SELECT count(*) FROM customer WHERE name = '?';
SELECT * FROM retention.erase_subject('customer', '42', 'request 2026-17');
SELECT id, name, mail ~ '^erased-' AS tombstone, lives, friend FROM customer ORDER BY id;
SELECT id, line FROM address ORDER BY id;
SELECT * FROM (SELECT id, customer, ship_to FROM orders ORDER BY id) o;
SELECT id, phone FROM parcel ORDER BY id;
SELECT name, mail ~ '^p_' AS pseudonym FROM newsletter ORDER BY customer;
SELECT relation, row_data - 'at' AS row_data FROM retention.trash WHERE relation IN ('orders'::regclass, 'parcel') ORDER BY 1::text;
SELECT relation, action, rows, leaf, reason, parent_id IS NOT NULL AS of_request, columns, length(digests) FROM retention.deletions
WHERE action IN ('scrub', 'erase') AND leaf ~ 'subject|trash' AND relation::text !~ '^\d' ORDER BY deletion_id;
-- nothing is left to do, and what others share stays
SELECT * FROM retention.erase_subject('customer', '42', 'request 2026-18');
SELECT relation, erased, verdict FROM retention.erase_subject('customer', '41', 'request 2026-19') WHERE relation = 'address'::regclass;
-- what must be kept is told
SELECT retention.add_policy('orders', 'keep', '10 years', 'at');
SELECT * FROM retention.erase_subject('customer', '43', 'request 2026-20');
-- a rename is followed
ALTER TABLE customer RENAME id TO customer_id;
SELECT relation, verdict FROM retention.erase_subject('customer', '43', 'request 2026-21', true);
SELECT retention.unlink_subject('customer', 'newsletter');
SELECT relation, verdict FROM retention.erase_subject('customer', '43', 'request 2026-21', true);

-- others' links lead to their own rows only, and run nothing as anybody else
GRANT REFERENCES ON staff TO regress_retention_other;
RESET ROLE;
CREATE SCHEMA subject_evil AUTHORIZATION regress_retention_other;
GRANT USAGE ON SCHEMA subject_evil TO PUBLIC;
SET ROLE regress_retention_other;
CREATE FUNCTION subject_evil.evil(v integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_retention_other' THEN RAISE EXCEPTION 'run as %', current_user; END IF;
	RETURN true;
END $$;
CREATE DOMAIN subject_evil.number AS integer CHECK (subject_evil.evil(value));
CREATE TABLE subject_evil.mine (k subject_evil.number, name text, at date, staff integer REFERENCES subject.staff);
GRANT ALL ON subject_evil.mine TO PUBLIC;
INSERT INTO subject_evil.mine VALUES (44, 'mine', current_date, 1);
SELECT retention.link_subject('customer', 'subject_evil.mine', 'k');
SELECT retention.tag_pii('subject_evil.mine', 'name', 'name');
SET ROLE regress_retention_owner;
SELECT relation, erased, verdict FROM retention.erase_subject('customer', '44', 'request 2026-22');
RESET ROLE;
SELECT relation, erased, verdict FROM retention.erase_subject('customer', '44', 'request 2026-23');
-- nor do they stop it for others
CREATE TABLE subject_evil.uuids (k uuid);
ALTER TABLE subject_evil.uuids OWNER TO regress_retention_other;
SET ROLE regress_retention_other;
SELECT retention.link_subject('customer', 'subject_evil.uuids', 'k');
ALTER TABLE subject_evil.uuids ADD name text, ADD at date, ADD PRIMARY KEY (k);
SELECT retention.tag_pii('subject_evil.uuids', 'name', 'name');
RESET ROLE;
SELECT relation, erased, verdict, detail FROM retention.erase_subject('customer', '44', 'request 2026-24')
WHERE relation IS NULL OR relation = 'customer'::regclass;
SET ROLE regress_retention_owner;
SELECT name FROM staff;

-- what a scrub changes is what led to other rows; keys are not cut off
CREATE TABLE account (email varchar(12) PRIMARY KEY, at date);
CREATE TABLE letter (id integer PRIMARY KEY, email varchar(12) REFERENCES account ON UPDATE CASCADE, text text, at date);
ALTER TABLE account ALTER email TYPE varchar(60);
ALTER TABLE letter ALTER email TYPE varchar(60);
INSERT INTO account VALUES ('anna@x.com', current_date), ('anna@x.co', current_date);
INSERT INTO letter VALUES (1, 'anna@x.com', 'for Anna', current_date), (2, 'anna@x.co', 'for another', current_date);
SELECT retention.tag_pii('account', 'email', 'email', 'pseudonym');
SELECT retention.tag_pii('letter', 'text', 'other');
SELECT retention.link_subject('reader', 'account', 'email');
SELECT retention.link_subject('reader', 'letter', 'email');
SELECT relation, erased, verdict FROM retention.erase_subject('reader', 'anna@x.com', 'request 1') WHERE relation IN ('account'::regclass, 'letter');
SELECT l.id, l.text, a.email ~ '^p_' AS pseudonym FROM letter l JOIN account a USING (email) ORDER BY 1;

RESET ROLE;
SELECT count(retention.drop_policy(policy)) > 0 AS dropped FROM retention.policies WHERE relation::text ~ 'address|customer|orders|parcel|newsletter|staff|account|letter|mine|uuids';
SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA subject, subject_evil CASCADE;
SELECT retention.purge_trash(deleted_before => 'infinity') >= 0 AS purged;
DROP OWNED BY regress_retention_owner, regress_retention_other;
DROP ROLE regress_retention_owner, regress_retention_other;
