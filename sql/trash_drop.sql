-- DROP TABLE of a table with a trash: the table itself waits, and comes back
-- as it was.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_retention_owner;
CREATE ROLE regress_retention_clerk;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(sqlerrm, '\d+', 'N', 'g');
END $$;
CREATE SCHEMA shop AUTHORIZATION regress_retention_owner;
GRANT ALL ON SCHEMA shop TO regress_retention_clerk;
SET ROLE regress_retention_owner;
CREATE TYPE shop.mood AS ENUM ('sad', 'ok');
CREATE TABLE shop.customer (id int PRIMARY KEY, name text);
CREATE TABLE shop.orders (
	id serial PRIMARY KEY,
	customer int REFERENCES shop.customer,
	parent int REFERENCES shop.orders,
	m shop.mood CHECK (m <> 'sad'),
	note text UNIQUE,
	at timestamptz DEFAULT now(),
	twice int GENERATED ALWAYS AS (customer * 2) STORED
);
CREATE INDEX ON shop.orders (at);
COMMENT ON TABLE shop.orders IS 'what customers want';
GRANT SELECT ON shop.orders TO regress_retention_clerk;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON shop.orders USING (true);
CREATE TABLE shop.item (id int PRIMARY KEY, ord int REFERENCES shop.orders ON DELETE CASCADE);
CREATE VIEW shop.big AS SELECT * FROM shop.orders;
INSERT INTO shop.customer SELECT i, 'c' || i FROM generate_series(1, 10) i;
INSERT INTO shop.orders (customer, parent, m, note)
	SELECT i % 10 + 1, nullif(i - 1, 0), 'ok', 'n' || i FROM generate_series(1, 100) i;
INSERT INTO shop.item SELECT i, i FROM generate_series(1, 100) i;
SELECT retention.enable_trash('shop.orders');
SELECT retention.add_policy('shop.orders', 'delete', '1 year', 'at', name => 'parked_delete');

CREATE FUNCTION pg_temp.definition(relation text) RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(line, E'\n' ORDER BY line))
	FROM (
		SELECT format('%s %s %s', a.attname, a.atttypid::regtype, pg_get_expr(d.adbin, d.adrelid)) AS line
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = relation::regclass AND a.attnum > 0
		UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint
		WHERE conrelid = relation::regclass OR confrelid = relation::regclass
		UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = relation::regclass
		UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = relation::regclass AND NOT tgisinternal
		UNION ALL SELECT polname || pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = relation::regclass
		UNION ALL SELECT relacl::text FROM pg_class WHERE oid = relation::regclass
		UNION ALL SELECT obj_description(relation::regclass, 'pg_class')) t
$$;
CREATE FUNCTION pg_temp.content(relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s t', relation) INTO result;
	RETURN result;
END $$;
CREATE TEMP TABLE before AS
	SELECT pg_temp.definition('shop.orders'), pg_temp.content('shop.orders');

-- what is not allowed fails as ever, and nothing happens
DROP TABLE shop.orders;
RESET ROLE;
SET ROLE regress_retention_clerk;
DROP TABLE shop.orders CASCADE;
RESET ROLE;
SET ROLE regress_retention_owner;
SELECT count(*) FROM retention.trash;

-- a list: one command, one deletion; what has no trash is gone
CREATE TABLE shop.gone (id int);
DROP TABLE IF EXISTS shop.nope, shop.gone, shop.orders CASCADE;
SELECT to_regclass('shop.gone') AS gone, to_regclass('shop.orders') AS orders, to_regclass('shop.big') AS big;
SELECT regexp_replace(relation_name, '\d+', 'N'), leaf, deleted_by, reason, row_data FROM retention.trash;
SELECT state, reason FROM retention.policies WHERE policy = 'parked_delete';

-- while it waits, it binds nobody, and nobody but its owner reaches it
DELETE FROM shop.customer WHERE id = 3;
INSERT INTO shop.item VALUES (101, 101);
SELECT deletion_id AS d, deletion_id * 1000000 AS t FROM retention.trash \gset
SELECT format('SELECT count(*) FROM retention_trash_%s.orders', :d) AS look \gset
SET ROLE regress_retention_clerk;
SELECT attempt(:'look');
SET ROLE regress_retention_owner;
SELECT attempt(:'look');
RESET ROLE;
SELECT attempt(format('DROP TABLE retention_trash_%s.orders', :d));
SELECT attempt(format('DROP SCHEMA retention_trash_%s CASCADE', :d));
SELECT attempt('DROP TYPE shop.mood CASCADE');
DROP OWNED BY regress_retention_owner CASCADE;

-- who may not drop it may not restore it
SET ROLE regress_retention_clerk;
SELECT count(*) FROM retention.trash;
SELECT * FROM retention.restore_deletion(:d);
RESET ROLE;
SET ROLE regress_retention_owner;
-- what does not hold any more
SELECT relation::text ~ 'orders' AS it, verdict, detail FROM retention.restore_deletion(:d, dry_run => true);
SELECT * FROM retention.restore_deletion(:d);
INSERT INTO shop.customer VALUES (3, 'c3');
DELETE FROM shop.item WHERE id = 101;
CREATE TABLE shop.orders (id int);
SELECT * FROM retention.restore_deletion(:d);
DROP TABLE shop.orders;
SELECT row_id = :t AS it, relation, verdict, detail FROM retention.restore_deletion(:d);
SELECT b.definition = pg_temp.definition('shop.orders') AS same_definition,
	b.content = pg_temp.content('shop.orders') AS same_content
FROM before b;
SELECT state, reason FROM retention.policies WHERE policy = 'parked_delete';
SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'retention\_trash%';
SELECT relation, action, rows, reason, parent_id = :d AS of_it FROM retention.deletions ORDER BY deletion_id;
SELECT attempt(format('SELECT retention.restore_deletion(%s)', :d));

-- rows in the trash wait for their table
DELETE FROM shop.orders WHERE id = 100;
SELECT trash_id AS row FROM retention.trash \gset
DROP TABLE shop.orders CASCADE;
SELECT attempt(format('SELECT retention.restore(%s)', :row));
SELECT count(*) FROM retention.trash t, retention.restore(t.trash_id) WHERE row_data IS NULL;
SELECT verdict FROM retention.restore(:row);

-- skip: keys that do not hold are for new rows only
DROP TABLE shop.orders CASCADE;
DELETE FROM shop.customer WHERE id = 4;
SELECT r.verdict FROM retention.trash t, retention.restore(t.trash_id, 'skip') r WHERE row_data IS NULL;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'shop.orders'::regclass AND contype = 'f' ORDER BY 1;

-- a partition comes back among the others; a partitioned table with all of them
CREATE TABLE shop.parted (id int, at date, PRIMARY KEY (id, at), customer int REFERENCES shop.customer) PARTITION BY RANGE (at);
CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (id);
RESET ROLE;
CREATE SCHEMA other AUTHORIZATION regress_retention_owner;
SET ROLE regress_retention_owner;
CREATE TABLE other.parted_1_1 PARTITION OF shop.parted_1 DEFAULT;
CREATE TABLE shop.parted_2 PARTITION OF shop.parted DEFAULT;
INSERT INTO shop.parted SELECT i, '2020-06-01'::date + i, 5 FROM generate_series(1, 400) i;
SELECT retention.enable_trash('shop.parted');
UPDATE before SET definition = pg_temp.definition('shop.parted'), content = pg_temp.content('shop.parted');
DROP TABLE shop.parted_2;
SELECT count(*) FROM shop.parted;
SELECT r.verdict FROM retention.trash t, retention.restore(t.trash_id) r;
SELECT definition = pg_temp.definition('shop.parted') AS same_definition, content = pg_temp.content('shop.parted') AS same FROM before;
DROP TABLE shop.parted_2, shop.parted;
SELECT count(DISTINCT deletion_id) FROM retention.trash;
SELECT r.verdict FROM (SELECT DISTINCT deletion_id FROM retention.trash) t, retention.restore_deletion(t.deletion_id) r;
SELECT definition = pg_temp.definition('shop.parted') AS same_definition, content = pg_temp.content('shop.parted') AS same FROM before;
SELECT count(*) FROM pg_trigger WHERE tgrelid = ANY ('{shop.parted,shop.parted_2,shop.parted_1,other.parted_1_1}'::regclass[])
	AND tgfoid = 'retention._capture'::regproc;
DELETE FROM other.parted_1_1 WHERE id = 1;
SELECT count(*) FROM retention.trash;

-- a schema; types that a table needs make that impossible
RESET ROLE;
DROP SCHEMA other CASCADE;
SELECT relation_name ~ 'parted_1_1', leaf, reason FROM retention.trash WHERE row_data IS NULL;
SELECT attempt('DROP SCHEMA shop CASCADE');
SET ROLE regress_retention_owner;
SELECT count(*) FROM shop.orders;

-- purge: the rows are recorded now
SELECT retention.purge_trash(relation, NULL, ARRAY[trash_id]) FROM retention.trash WHERE row_data IS NULL;
RESET ROLE;
SELECT action, rows FROM retention.deletions WHERE action = 'purge' AND leaf ~ 'retention_trash_\d+.parted_1_1';
SET ROLE regress_retention_owner;
SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'retention\_trash%';

-- without a trash it is as ever
SELECT retention.disable_trash('shop.orders');
DROP TABLE shop.orders CASCADE;
SELECT to_regclass('shop.orders');
RESET ROLE;
SELECT count(*) FROM retention.parked;
SELECT retention.drop_policy('parked_delete');
SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA shop CASCADE;
SELECT retention.purge_trash(deleted_before => 'infinity') > 0 AS purged;
DROP OWNED BY regress_retention_owner, regress_retention_clerk;
DROP ROLE regress_retention_owner, regress_retention_clerk;
