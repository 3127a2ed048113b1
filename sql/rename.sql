-- The table changes under a policy. What still means the same is followed;
-- else the policy stops and says why. Unknown means stop.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_rename;
CREATE SCHEMA rename;
GRANT ALL ON SCHEMA rename TO regress_retention_rename;
SET search_path = rename;
CREATE FUNCTION state(policy text, OUT state text, OUT reason text, OUT clock text, OUT filter text)
	RETURNS record LANGUAGE sql AS
	'SELECT state, reason, clock, filter FROM retention.policies p WHERE p.policy = $1';
RESET client_min_messages;

CREATE TABLE other (id integer PRIMARY KEY, note text);
INSERT INTO other VALUES (2, 'x');
CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, status text, n integer, unused text);
CREATE PROCEDURE refill() LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE t;
	EXECUTE format('INSERT INTO t SELECT n, ''2026-01-01 00:00+00''::timestamptz, ''done'', n FROM generate_series(1, 3) n');
END $$;
CALL refill();

-- A clock that is a column follows its name.
SELECT retention.add_policy('t', 'delete', '30 days', 'at', name => 'rename_t');
ALTER TABLE t RENAME COLUMN at TO "Made At";
SELECT due FROM retention.preview('rename_t', '2026-03-01 12:00+00');
SELECT verdict FROM retention.explain_row('t', '1');
SELECT * FROM state('rename_t');
CALL retention.run_policy('rename_t');
SELECT * FROM state('rename_t');
SELECT count(*) FROM t;
SELECT version, operation, old ->> 'clock' AS old, new ->> 'clock' AS new
FROM retention.policy_history WHERE policy = 'rename_t' ORDER BY version;

-- Expressions too, and filters, and sub-selects in them, whose own columns of
-- the same name are left alone.
CALL refill();
SELECT retention.alter_policy('rename_t', clock => '"Made At" + n * interval ''1 second''',
	filter => 'status = ''done'' AND EXISTS (SELECT FROM other o WHERE o.id = t.id AND note = ''x'')');
ALTER TABLE t RENAME COLUMN "Made At" TO made;
ALTER TABLE t RENAME COLUMN status TO note;
ALTER TABLE t RENAME COLUMN id TO n2;
ALTER TABLE t RENAME COLUMN n TO id;
SELECT due FROM retention.preview('rename_t', '2026-03-01 12:00+00');
CALL retention.run_policy('rename_t');
SELECT n2 FROM t ORDER BY n2;
SELECT * FROM state('rename_t') \gx

-- Names that change places: the columns are followed, not the names.
CREATE TABLE swap (id integer PRIMARY KEY, made date, paid date);
INSERT INTO swap VALUES (1, '2026-01-01', '2026-02-28'), (2, '2026-02-28', '2026-01-01');
SELECT retention.add_policy('swap', 'delete', '30 days', 'made');
ALTER TABLE swap RENAME COLUMN made TO x;
ALTER TABLE swap RENAME COLUMN paid TO made;
ALTER TABLE swap RENAME COLUMN x TO paid;
CALL retention.run_policy('swap_delete');
SELECT id, paid, made FROM swap;
SELECT clock FROM state('swap_delete');
-- two columns that change places in one expression
CREATE TABLE swap2 (id integer PRIMARY KEY, a timestamptz, b timestamptz);
INSERT INTO swap2 VALUES (1, '2026-01-01', NULL), (2, NULL, '2026-01-01');
SELECT retention.add_policy('swap2', 'delete', '30 days', 'COALESCE(a, ''infinity'')', 'b IS NULL');
ALTER TABLE swap2 RENAME COLUMN a TO c;
ALTER TABLE swap2 RENAME COLUMN b TO a;
ALTER TABLE swap2 RENAME COLUMN c TO b;
CALL retention.run_policy('swap2_delete');
SELECT id FROM swap2;
SELECT clock, filter FROM state('swap2_delete');

-- A table that a sub-select names gets another name: the text is bound to the
-- old one, so the policy breaks rather than guess.
CALL refill();
ALTER TABLE other RENAME TO others;
\set VERBOSITY sqlstate
CALL retention.run_policy('rename_t');
\set VERBOSITY default
SELECT state, reason FROM state('rename_t');
ALTER TABLE others RENAME TO other;
SELECT retention.resume_policy('rename_t');
CALL retention.run_policy('rename_t');
SELECT state FROM state('rename_t');

-- The table itself may be renamed and moved.
SELECT retention.alter_policy('rename_t', filter => '');
CALL refill();
ALTER TABLE t RENAME TO "T'able";
CREATE SCHEMA rename2;
GRANT ALL ON SCHEMA rename2 TO regress_retention_rename;
ALTER TABLE "T'able" SET SCHEMA rename2;
SELECT relation FROM retention.policies WHERE policy = 'rename_t';
CALL retention.run_policy('rename_t');
SELECT count(*) FROM rename2."T'able";
SELECT leaf FROM retention.deletions WHERE policy = 'rename_t' ORDER BY deletion_id DESC LIMIT 1;
ALTER TABLE rename2."T'able" SET SCHEMA rename;
ALTER TABLE "T'able" RENAME TO t;
-- another table that takes the old name is not governed
CREATE TABLE rename2.t (LIKE t INCLUDING ALL);

-- A column that is not used may change and go.
ALTER TABLE t ALTER COLUMN unused TYPE integer USING 1;
ALTER TABLE t DROP COLUMN unused, ADD COLUMN more text;
CALL refill();
CALL retention.run_policy('rename_t');
SELECT count(*) FROM t;

-- Another type: what the clock meant is not known any more.
CALL refill();
ALTER TABLE t ALTER COLUMN made TYPE timestamp;
SELECT * FROM retention.preview('rename_t', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('t', '1');
CALL retention.run_policy('rename_t');
SELECT state, reason FROM state('rename_t');
CALL retention.run_policy('rename_t');
SELECT count(*) FROM t;
SELECT retention.resume_policy('rename_t');
CALL retention.run_policy('rename_t');
SELECT count(*) FROM t;
-- a modifier is no other type
ALTER TABLE t ALTER COLUMN made TYPE timestamp(3);
CALL retention.run_policy('rename_t');
SELECT state FROM state('rename_t');
-- to a type that is no clock at all
ALTER TABLE t ALTER COLUMN made TYPE text;
CALL retention.run_policy('rename_t');
SELECT retention.resume_policy('rename_t');
SELECT retention.alter_policy('rename_t', clock => 'made::timestamptz');
SELECT retention.alter_policy('rename_t', clock => 'made::date');
SELECT state FROM state('rename_t');
SELECT retention.resume_policy('rename_t');

-- A column is dropped, and one of the same name added: not the same column.
ALTER TABLE t DROP COLUMN made;
ALTER TABLE t ADD COLUMN made timestamptz DEFAULT '2020-01-01';
INSERT INTO t (n2) VALUES (1), (2);
CALL retention.run_policy('rename_t');
SELECT state, reason FROM state('rename_t');
SELECT retention.alter_policy('rename_t', clock => 'made');
SELECT retention.resume_policy('rename_t');
CALL retention.run_policy('rename_t');

-- Another owner did not ask for this.
SELECT retention.pause_policy('rename_t', 'x');
SELECT retention.resume_policy('rename_t');
INSERT INTO t (n2) VALUES (1), (2);
ALTER TABLE t OWNER TO regress_retention_rename;
\set VERBOSITY sqlstate
CALL retention.run_policy('rename_t');
\set VERBOSITY default
SELECT state, reason LIKE '%now belongs to "regress_retention_rename"' AS says_why FROM state('rename_t');
SELECT count(*) FROM t;
SET ROLE regress_retention_rename;
SELECT retention.resume_policy('rename_t');
CALL retention.run_policy('rename_t');
SELECT count(*) FROM t;
RESET ROLE;
ALTER ROLE regress_retention_rename RENAME TO regress_retention_rename2;
INSERT INTO t (n2) VALUES (9);
CALL retention.run_policy('rename_t');
SELECT state FROM state('rename_t');
ALTER ROLE regress_retention_rename2 RENAME TO regress_retention_rename;

-- It becomes what cannot be governed.
CREATE TABLE ruled (id integer PRIMARY KEY, at timestamptz);
INSERT INTO ruled VALUES (1, '2026-01-01');
SELECT retention.add_policy('ruled', 'delete', '30 days', 'at');
CREATE RULE r AS ON DELETE TO ruled DO ALSO NOTIFY x;
CALL retention.run_policy('ruled_delete');
SELECT state, reason FROM state('ruled_delete');
SELECT retention.resume_policy('ruled_delete');
DROP RULE r ON ruled;
SELECT retention.resume_policy('ruled_delete');
CALL retention.run_policy('ruled_delete');
SELECT count(*) FROM ruled;

-- It gets a partition, a child: they are governed from then on.
CREATE TABLE heir () INHERITS (ruled);
INSERT INTO heir VALUES (2, '2026-01-01');
CALL retention.run_policy('ruled_delete');
SELECT count(*) FROM ruled;

-- It is gone. Nothing runs, and the policy says so.
DROP TABLE ruled CASCADE;
CALL retention.run_policy('ruled_delete');
SELECT state, reason FROM state('ruled_delete');
SELECT retention.resume_policy('ruled_delete');
SELECT retention.alter_policy('ruled_delete', after => '1 day');
SELECT * FROM retention.preview('ruled_delete', '2026-03-01 12:00+00');
SELECT retention.drop_policy('ruled_delete');

SET client_min_messages = warning;
SELECT count(retention.drop_policy(policy)) FROM retention.policies
WHERE relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'rename'::regnamespace);
DROP SCHEMA rename, rename2 CASCADE;
DROP ROLE regress_retention_rename;
