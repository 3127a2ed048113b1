-- Partitions: whole ones go when nothing but time decides about their rows;
-- else row by row.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-06-15 12:00:00+00';
CREATE SCHEMA partitions;
SET search_path = partitions;

-- Makes monthly partitions of 2026, January to August, with three rows each.
CREATE PROCEDURE fill(tab text, type text DEFAULT 'timestamptz') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id integer, at %s NOT NULL, PRIMARY KEY (id, at))'
		' PARTITION BY RANGE (at)', tab, type);
	FOR m IN 1..8 LOOP
		EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
			tab || '_' || m, tab, make_date(2026, m, 1), make_date(2026, m + 1, 1));
		EXECUTE format('INSERT INTO %I SELECT 10 * %s + n, make_date(2026, %2$s, 5 * n)'
			' FROM generate_series(1, 3) n', tab, m);
	END LOOP;
END $$;
-- Which partitions are there, and the ids in them.
CREATE FUNCTION there(tab regclass, OUT part regclass, OUT ids integer[])
	RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOR part IN SELECT relid FROM pg_partition_tree(tab) WHERE isleaf ORDER BY relid::regclass::text LOOP
		EXECUTE format('SELECT array_agg(id ORDER BY id) FROM ONLY %s', part) INTO ids;
		RETURN NEXT;
	END LOOP;
END $$;
CREATE FUNCTION last_run(policy text, OUT state text, OUT rows bigint, OUT blocked bigint,
	OUT batches bigint, OUT recorded numeric, OUT digested numeric)
	RETURNS record LANGUAGE sql AS $$
	SELECT u.state, u.rows, u.blocked, u.batches,
		(SELECT sum(d.rows) FROM retention.deletions d WHERE d.run_id = u.run_id),
		(SELECT sum(length(d.digests)) / 16 FROM retention.deletions d WHERE d.run_id = u.run_id)
	FROM retention.runs u WHERE u.policy = $1 ORDER BY run_id DESC LIMIT 1
$$;
RESET client_min_messages;

-- January to April are over as a whole, May partly.
CALL fill('m');
SELECT retention.add_policy('m', 'delete', '1 month', 'at', max_fraction => 1);
SELECT relation, due, oldest FROM retention.preview('m_delete', '2026-06-15 12:00+00');
CALL retention.run_policy('m_delete');
SELECT * FROM there('m');
SELECT * FROM last_run('m_delete');
SELECT leaf, rows, key_columns FROM retention.deletions WHERE policy = 'm_delete' ORDER BY leaf;
-- rows of a partition that is gone are found by the key of the table
SELECT leaf, rows FROM retention.find_deletion('m', '11', '2026-01-05 00:00+00');
SELECT count(*) FROM retention.find_deletion('m', '11', '2026-01-06 00:00+00');
-- again: nothing
CALL retention.run_policy('m_delete');
SELECT * FROM last_run('m_delete');

-- Months end on different days: January 31st + 1 month is February 28th, as
-- January 30th + 1 month. At March 1st, 00:00 January is over, not before.
CALL fill('ends', 'date');
SELECT retention.add_policy('ends', 'delete', '1 month', 'at', max_fraction => 1);
SET retention.test_now = '2026-02-28 23:59:59+00';
CALL retention.run_policy('ends_delete');
SELECT part FROM there('ends') LIMIT 1;
SET retention.test_now = '2026-03-01 00:00:00+00';
CALL retention.run_policy('ends_delete');
SELECT part FROM there('ends') LIMIT 1;
SET retention.test_now = '2026-06-15 12:00:00+00';

-- A clock in local time of another zone: Kiritimati is 14 hours ahead.
CALL fill('zone', 'timestamp');
SELECT retention.add_policy('zone', 'delete', '0', 'at', zone => 'Pacific/Kiritimati', max_fraction => 1);
SET retention.test_now = '2026-01-31 09:59:59+00';
CALL retention.run_policy('zone_delete');
SELECT part FROM there('zone') LIMIT 1;
SET retention.test_now = '2026-01-31 10:00:00+00';
CALL retention.run_policy('zone_delete');
SELECT part FROM there('zone') LIMIT 1;
SET retention.test_now = '2026-06-15 12:00:00+00';

-- Rows decide, not bounds, as soon as anything but time does. A filter:
CALL fill('filtered');
SELECT retention.add_policy('filtered', 'delete', '1 month', 'at', 'id % 2 = 0', max_fraction => 1);
CALL retention.run_policy('filtered_delete');
SELECT * FROM there('filtered');
-- A keep policy, on the table or on one partition:
CALL fill('kept');
SELECT retention.add_policy('kept', 'delete', '1 month', 'at', max_fraction => 1);
SELECT retention.add_policy('kept', 'keep', '10 years', 'at', 'id = 21');
CALL retention.run_policy('kept_delete');
SELECT * FROM there('kept');
CALL fill('kept2');
SELECT retention.add_policy('kept2', 'delete', '1 month', 'at', max_fraction => 1);
SELECT retention.add_policy('kept2_2', 'keep', '10 years', 'at', 'id = 21');
CALL retention.run_policy('kept2_delete');
SELECT * FROM there('kept2');
-- A trigger that wants to see each row go, inherited or of one partition:
CALL fill('watched');
CREATE TABLE seen (id integer);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO partitions.seen VALUES (OLD.id);
	RETURN OLD;
END $$;
CREATE TRIGGER see AFTER DELETE ON watched FOR EACH ROW EXECUTE FUNCTION see();
SELECT retention.add_policy('watched', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('watched_delete');
SELECT * FROM there('watched');
SELECT count(*) FROM seen;
TRUNCATE seen;
CALL fill('watched2');
CREATE TRIGGER see AFTER DELETE ON watched2_2 FOR EACH ROW EXECUTE FUNCTION see();
SELECT retention.add_policy('watched2', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('watched2_delete');
SELECT * FROM there('watched2');
SELECT array_agg(id ORDER BY id) FROM seen;
-- A foreign key that points here, with a row that holds one of them:
CALL fill('referenced');
CREATE TABLE pin (id integer, at timestamptz, FOREIGN KEY (id, at) REFERENCES referenced);
INSERT INTO pin VALUES (22, '2026-02-10');
SELECT retention.add_policy('referenced', 'delete', '1 month', 'at', max_fraction => 1);
SET client_min_messages = warning;   -- the key of a partition has another name in every version
CALL retention.run_policy('referenced_delete');
RESET client_min_messages;
SELECT * FROM there('referenced');
-- A foreign key that cascades from here:
CALL fill('cascading');
CREATE TABLE part_child (n integer PRIMARY KEY, id integer, at timestamptz,
	FOREIGN KEY (id, at) REFERENCES cascading ON DELETE CASCADE);
INSERT INTO part_child VALUES (1, 22, '2026-02-10'), (2, 62, '2026-06-10');
SELECT retention.add_policy('cascading', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('cascading_delete');
SELECT * FROM there('cascading') WHERE part::text ~ '[25]$';
SELECT n FROM part_child ORDER BY n;
SELECT * FROM last_run('cascading_delete');
-- A subscriber, who would not hear of a DROP:
SET client_min_messages = error;     -- wal_level may be too low to publish
CALL fill('published');
CREATE PUBLICATION partitions_pub FOR TABLE published;
RESET client_min_messages;
SELECT retention.add_policy('published', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('published_delete');
SELECT * FROM there('published');
DROP PUBLICATION partitions_pub;

-- A clock that is not the partition key, or an expression of it.
CREATE TABLE other_clock (id integer, made date NOT NULL, at timestamptz) PARTITION BY RANGE (made);
CREATE TABLE other_clock_1 PARTITION OF other_clock FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO other_clock VALUES (1, '2026-01-01', '2026-01-01'), (2, '2026-01-01', '2026-06-15');
SELECT retention.add_policy('other_clock', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('other_clock_delete');
SELECT * FROM there('other_clock');
SELECT retention.alter_policy('other_clock_delete', clock => 'made + id * 365');
INSERT INTO other_clock VALUES (0, '2026-01-01');
CALL retention.run_policy('other_clock_delete');
SELECT * FROM there('other_clock');
SELECT retention.alter_policy('other_clock_delete', clock => 'made');
CALL retention.run_policy('other_clock_delete');
SELECT * FROM there('other_clock');

-- -infinity is never due, and so saves its partition.
CREATE TABLE inf (id integer, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE inf_min PARTITION OF inf FOR VALUES FROM (MINVALUE) TO ('2026-02-01');
CREATE TABLE inf_max PARTITION OF inf FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
INSERT INTO inf VALUES (1, '-infinity'), (2, '2026-01-01'), (3, '2026-02-02'), (4, 'infinity');
SELECT retention.add_policy('inf', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('inf_delete');
SELECT * FROM there('inf');
SELECT * FROM last_run('inf_delete');

-- The default partition holds anything: rows.
CREATE TABLE def (id integer, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE def_1 PARTITION OF def FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE def_default PARTITION OF def DEFAULT;
INSERT INTO def VALUES (1, '2026-01-01'), (2, '2025-12-01'), (3, NULL), (4, '2026-06-15'), (5, '2026-01-02');
SELECT retention.add_policy('def', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('def_delete');
SELECT * FROM there('def');
SELECT * FROM last_run('def_delete');

-- Two levels: months, and in them a hash. The month is the parent's.
CREATE TABLE deep (id integer, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE deep_1 PARTITION OF deep FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (id);
CREATE TABLE deep_1_1 PARTITION OF deep_1 FOR VALUES IN (1);
CREATE TABLE deep_1_2 PARTITION OF deep_1 DEFAULT;
CREATE TABLE deep_6 PARTITION OF deep FOR VALUES FROM ('2026-06-01') TO ('2026-07-01') PARTITION BY RANGE (at);
CREATE TABLE deep_6_1 PARTITION OF deep_6 FOR VALUES FROM ('2026-06-01') TO ('2026-06-02');
CREATE TABLE deep_6_2 PARTITION OF deep_6 FOR VALUES FROM ('2026-06-02') TO ('2026-07-01');
INSERT INTO deep SELECT n, t FROM generate_series(1, 3) n,
	unnest('{2026-01-05,2026-06-01,2026-06-10}'::timestamptz[]) t;
SELECT retention.add_policy('deep', 'delete', '10 days', 'at', max_fraction => 1);
CALL retention.run_policy('deep_delete');
SELECT * FROM there('deep');
SELECT * FROM last_run('deep_delete');

-- Two columns in the key: bounds say less than they seem to.
CREATE TABLE two (at date, n integer) PARTITION BY RANGE (at, n);
CREATE TABLE two_1 PARTITION OF two FOR VALUES FROM ('2026-01-01', 0) TO ('2026-06-15', 5);
INSERT INTO two VALUES ('2026-01-01', 1), ('2026-06-15', 1);
SELECT retention.add_policy('two', 'delete', '1 day', 'at', max_fraction => 1);
CALL retention.run_policy('two_delete');
SELECT * FROM two ORDER BY at, n;

-- Inheritance children: rows, never DROP.
CREATE TABLE base (id integer PRIMARY KEY, at timestamptz);
CREATE TABLE derived (PRIMARY KEY (id), CHECK (at < '2026-02-01')) INHERITS (base);
CREATE TABLE derived2 (extra text) INHERITS (derived);
INSERT INTO base VALUES (1, '2026-01-01'), (2, '2026-06-15');
INSERT INTO derived VALUES (3, '2026-01-01'), (4, NULL);
INSERT INTO derived2 VALUES (5, '2026-01-01', 'x');
SELECT retention.add_policy('base', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('base_delete');
SELECT tableoid::regclass, id FROM base ORDER BY id;
SELECT leaf, rows, key_columns FROM retention.deletions WHERE policy = 'base_delete' AND leaf LIKE 'partitions.%' ORDER BY leaf;

-- A policy on one partition concerns that partition, and does not drop what it
-- is on.
CALL fill('single');
SELECT retention.add_policy('single_2', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('single_2_delete');
SELECT * FROM there('single') LIMIT 3;
SELECT state, rows FROM last_run('single_2_delete');

-- Partitions have columns in another order, or dropped ones.
CREATE TABLE shuffled (id integer, junk text, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
ALTER TABLE shuffled DROP COLUMN junk;
CREATE TABLE shuffled_1 (at timestamptz NOT NULL, junk1 text, junk2 text, id integer NOT NULL);
ALTER TABLE shuffled_1 DROP COLUMN junk1, DROP COLUMN junk2;
ALTER TABLE shuffled ATTACH PARTITION shuffled_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shuffled_2 (LIKE shuffled_1 INCLUDING ALL);
ALTER TABLE shuffled ATTACH PARTITION shuffled_2 FOR VALUES FROM ('2026-05-01') TO ('2026-06-01');
INSERT INTO shuffled VALUES (1, '2026-01-01'), (2, '2026-05-01'), (3, '2026-05-31');
SELECT retention.add_policy('shuffled', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('shuffled_delete');
SELECT * FROM there('shuffled');
SELECT count(*) FROM retention.find_deletion('shuffled', '1', '2026-01-01 00:00+00');
SELECT count(*) FROM retention.find_deletion('shuffled', '2', '2026-05-01 00:00+00');

-- A partition that belongs to somebody else: no policy, and no run.
SET client_min_messages = warning;
CREATE ROLE regress_retention_partitions;
RESET client_min_messages;
CALL fill('strange');
ALTER TABLE strange_2 OWNER TO regress_retention_partitions;
SELECT retention.add_policy('strange', 'delete', '1 month', 'at', max_fraction => 1);
ALTER TABLE strange_2 OWNER TO CURRENT_USER;
SELECT retention.add_policy('strange', 'delete', '1 month', 'at', max_fraction => 1);
ALTER TABLE strange_3 OWNER TO regress_retention_partitions;
CALL retention.run_policy('strange_delete');
SELECT state, reason FROM retention.policies WHERE policy = 'strange_delete';
SELECT count(*) FROM strange;
ALTER TABLE strange_3 OWNER TO CURRENT_USER;

-- A view that depends on a partition stops the DROP, not the rows.
CALL fill('viewed');
CREATE VIEW v AS SELECT * FROM viewed_1;
SELECT retention.add_policy('viewed', 'delete', '1 month', 'at', max_fraction => 1);
CALL retention.run_policy('viewed_delete');
SELECT * FROM there('viewed');
SELECT state, rows, recorded, digested FROM last_run('viewed_delete');

-- In a transaction: undone like anything else.
CALL fill('undone');
SELECT retention.add_policy('undone', 'delete', '1 month', 'at', max_fraction => 1);
BEGIN;
CALL retention.run_policy('undone_delete');
SELECT count(*) FROM there('undone');
ROLLBACK;
SELECT count(*) FROM there('undone');
SELECT count(*) FROM retention.deletions WHERE policy = 'undone_delete';
-- max_fraction is asked before partitions go, too
CALL fill('guarded');
INSERT INTO guarded SELECT n, '2026-01-15' FROM generate_series(1000, 3000) n;
SELECT retention.add_policy('guarded', 'delete', '1 month', 'at');
CALL retention.run_policy('guarded_delete');
SELECT count(*) FROM there('guarded');

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) > 10 FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'partitions'::regnamespace;
DROP SCHEMA partitions CASCADE;
DROP ROLE regress_retention_partitions;
