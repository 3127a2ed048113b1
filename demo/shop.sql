-- A small shop: customers, orders of the last 120 days with their lines,
-- logins, and trials of a paid plan. It belongs to a role of its own, as in
-- real life; retention acts as the owner of a table, never as superuser.

CREATE ROLE shop;
GRANT CREATE ON SCHEMA public TO shop;
SET ROLE shop;

CREATE TABLE customers (
	customer_id integer PRIMARY KEY,
	name        text NOT NULL,
	email       text NOT NULL UNIQUE
);

CREATE TABLE orders (
	order_id       integer PRIMARY KEY,
	customer_id    integer NOT NULL REFERENCES customers ON DELETE CASCADE,
	placed_at      timestamptz NOT NULL,
	closed_at      timestamptz,     -- NULL: still open
	disputed       boolean NOT NULL DEFAULT false,
	recipient_name text NOT NULL,
	address        text,
	phone          text
);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (closed_at);

CREATE TABLE order_lines (
	order_id integer REFERENCES orders ON DELETE CASCADE,
	line     integer,
	article  text NOT NULL,
	quantity integer NOT NULL,
	price    numeric(8,2) NOT NULL,
	PRIMARY KEY (order_id, line)
);

CREATE TABLE login_events (
	event_id    bigint PRIMARY KEY,
	customer_id integer NOT NULL,
	at          timestamptz NOT NULL,
	address     inet NOT NULL
);

CREATE TABLE trials (
	customer_id integer PRIMARY KEY REFERENCES customers ON DELETE CASCADE,
	started_at  timestamptz NOT NULL,
	plan_days   integer NOT NULL
);

SELECT setseed(0.42);

INSERT INTO customers
SELECT c,
	(ARRAY['Ada','Ben','Chloe','Dev','Elif','Femi','Goro','Hana'])[1 + c % 8]
		|| ' ' ||
	(ARRAY['Adler','Brandt','Castro','Diaz','Ekman','Fischer'])[1 + c / 8 % 6],
	'customer' || c || '@example.com'
FROM generate_series(1, 2000) c;

-- An order is closed within two weeks; one in a hundred is disputed.
INSERT INTO orders
SELECT order_id,
	1 + floor(random() * 2000),
	placed_at,
	CASE WHEN placed_at + open < now() THEN placed_at + open END,
	random() < 0.01,
	(ARRAY['Ada','Ben','Chloe','Dev','Elif','Femi','Goro','Hana'])[1 + order_id % 8]
		|| ' ' ||
	(ARRAY['Adler','Brandt','Castro','Diaz','Ekman','Fischer'])[1 + order_id / 8 % 6],
	1 + order_id % 180 || ' Market Street, Springfield',
	'090-' || lpad((order_id * 7 % 10000)::text, 4, '0') || '-'
		|| lpad((order_id * 13 % 10000)::text, 4, '0')
FROM (
	SELECT o AS order_id,
		now() - interval '120 days' * (1 - o / 20001.0) AS placed_at,
		interval '1 day' + random() * interval '13 days' AS open
	FROM generate_series(1, 20000) o) o;

INSERT INTO order_lines
SELECT order_id, line,
	(ARRAY['tea','coffee','cup','kettle','filter','spoon'])[1 + (order_id * line) % 6],
	1 + order_id % 3, 2 + (order_id * line) % 97 + 0.95
FROM orders
	CROSS JOIN generate_series(1, 1 + order_id % 5) line;

INSERT INTO login_events
SELECT e, 1 + e % 2000, now() - interval '45 days' * (1 - e / 50001.0),
	'192.0.2.0'::inet + e % 254
FROM generate_series(1, 50000) e;

INSERT INTO trials
SELECT c, now() - random() * interval '60 days', (ARRAY[14, 30, 60])[1 + c % 3]
FROM generate_series(1, 900) c;

RESET ROLE;
VACUUM ANALYZE;
