-- Threat: row level security hides rows from the run, which then reports
-- success, or shows rows of others to who asks.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_owner;
CREATE ROLE regress_retention_tenant;
CREATE SCHEMA rls;
GRANT ALL ON SCHEMA rls TO regress_retention_owner, regress_retention_tenant;
SET search_path = rls;
\set SHOW_CONTEXT never
RESET client_min_messages;

SET ROLE regress_retention_owner;
CREATE TABLE t (id integer PRIMARY KEY, tenant text, at timestamptz);
INSERT INTO t SELECT n, (ARRAY['a', 'b'])[1 + n % 2], '2026-01-01' FROM generate_series(1, 6) n;
CREATE TABLE child (id integer PRIMARY KEY, t integer REFERENCES t ON DELETE CASCADE);
INSERT INTO child SELECT n, n FROM generate_series(1, 6) n;
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE child ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY see_own ON t FOR SELECT USING (tenant = 'a');
CREATE POLICY delete_none ON t FOR DELETE USING (false);
CREATE POLICY nothing ON child USING (false);
GRANT ALL ON t TO regress_retention_tenant;

-- Forced row security holds for the owner himself; the run sees every row.
SELECT count(*) FROM t;
DELETE FROM t;
SELECT retention.add_policy('t', 'delete', '30 days', 'at');
SELECT due FROM retention.preview('t_delete', '2026-03-01 12:00+00');
SELECT verdict FROM retention.explain_row('t', '1');
SET row_security = off;
CALL retention.run_policy('t_delete');
RESET row_security;
SELECT state, rows, blocked FROM retention.runs WHERE policy = 't_delete';
SELECT leaf, rows FROM retention.deletions WHERE policy = 't_delete' ORDER BY leaf;
ALTER TABLE t NO FORCE ROW LEVEL SECURITY;
ALTER TABLE child NO FORCE ROW LEVEL SECURITY;
SELECT (SELECT count(*) FROM t) AS rows, (SELECT count(*) FROM child) AS children;

-- Who merely may see and delete some rows learns nothing here, and decides
-- nothing.
INSERT INTO t SELECT n, (ARRAY['a', 'b'])[1 + n % 2], '2026-01-01' FROM generate_series(1, 6) n;
SET ROLE regress_retention_tenant;
SELECT retention.add_policy('t', 'delete', '30 days', 'at', name => 'of the tenant');
SELECT * FROM retention.preview('t_delete', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('t', '1');
CALL retention.run_policy('t_delete');
SELECT * FROM retention.find_deletion('t', '1');
SELECT count(*) FROM retention.deletions;

-- A sub-select of a filter into a table with row security of somebody else
-- would not see all: an error, not a guess.
CREATE TABLE list (id integer, tenant text);
INSERT INTO list SELECT n, 'b' FROM generate_series(1, 6) n;
ALTER TABLE list ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON list USING (tenant = 'a');
GRANT SELECT ON list TO regress_retention_owner;
SET ROLE regress_retention_owner;
SELECT count(*) FROM list;
SELECT retention.alter_policy('t_delete', filter => 'NOT EXISTS (SELECT FROM list WHERE list.id = t.id)');
RESET ROLE;

SET client_min_messages = warning;
SELECT retention.drop_policy('t_delete');
DROP SCHEMA rls CASCADE;
DROP ROLE regress_retention_owner, regress_retention_tenant;
