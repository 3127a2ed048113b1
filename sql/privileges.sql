-- Who may do and see what: an owner, a stranger, an auditor, an admin.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_alice;
CREATE ROLE regress_retention_bob;
CREATE ROLE regress_retention_auditor;
CREATE ROLE regress_retention_auditors;
CREATE ROLE regress_retention_admin;
GRANT regress_retention_auditors TO regress_retention_auditor;
CREATE SCHEMA privileges;
GRANT ALL ON SCHEMA privileges TO regress_retention_alice, regress_retention_bob;
SET search_path = privileges;

--
-- What PUBLIC may use. A new line here is a decision.
--
SELECT p.oid::regprocedure::text AS routine
FROM pg_proc p
WHERE p.pronamespace = 'retention'::regnamespace
	AND has_function_privilege('regress_retention_bob', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT c.oid::regclass::text AS relation, string_agg(DISTINCT a.privilege_type, ', ') AS privileges
FROM pg_class c, aclexplode(COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
WHERE c.relnamespace = 'retention'::regnamespace AND a.grantee = 0
GROUP BY c.oid ORDER BY c.oid::regclass::text COLLATE "C";
-- no column privileges, nothing about types but what every type has
SELECT attrelid::regclass, attname FROM pg_attribute
WHERE attacl IS NOT NULL AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'retention'::regnamespace);
SELECT a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a
WHERE n.nspname = 'retention' AND a.grantee = 0;
-- nothing runs with the rights of its owner; views filter without leaks
SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'retention'::regnamespace AND prosecdef;
SELECT oid::regclass, reloptions FROM pg_class
WHERE relnamespace = 'retention'::regnamespace AND relkind = 'v'
	AND NOT COALESCE(reloptions @> '{security_barrier=true}', false);
-- every function has a comment, and every view
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace = 'retention'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL;
SELECT oid::regclass FROM pg_class
WHERE relnamespace = 'retention'::regnamespace AND relkind = 'v' AND obj_description(oid, 'pg_class') IS NULL;
-- everything in the schema belongs to the extension
SELECT classid::regclass, objid FROM (
	SELECT 'pg_class'::regclass AS classid, oid AS objid FROM pg_class
	WHERE relnamespace = 'retention'::regnamespace AND relkind NOT IN ('i', 't', 'c')
	UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'retention'::regnamespace) o
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype IN ('e', 'i'));
RESET client_min_messages;

--
-- Alice has a table, a policy, a run, a record.
--
SET ROLE regress_retention_alice;
CREATE TABLE t (id integer PRIMARY KEY, at timestamptz);
INSERT INTO t VALUES (1, '2026-01-01'), (2, '2026-06-01');
SELECT retention.add_policy('t', 'delete', '30 days', 'at', name => 'of alice');
CALL retention.run_policy('of alice');
SELECT retention.pause_policy('of alice', 'lunch');
SELECT retention.resume_policy('of alice');
SELECT retention.alter_policy('of alice', after => '31 days');
SELECT verdict FROM retention.explain_row('t', '2');
SELECT count(*) FROM retention.preview('of alice', '2026-03-01 12:00+00');
SELECT count(*) FROM retention.find_deletion('t', '1');
CREATE FUNCTION sees() RETURNS TABLE (policies bigint, history bigint, runs bigint, deletions bigint, health bigint, progress bigint)
	LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM retention.policies WHERE policy = 'of alice'),
		(SELECT count(*) FROM retention.policy_history WHERE policy = 'of alice'),
		(SELECT count(*) FROM retention.runs WHERE policy = 'of alice'),
		(SELECT count(*) FROM retention.deletions WHERE policy = 'of alice'),
		(SELECT count(*) FROM retention.health WHERE subject = 'of alice' AND finding LIKE '%paused%'),
		(SELECT count(*) FROM retention.progress)
$$;
SELECT retention.pause_policy('of alice', 'lunch');
SELECT * FROM sees();
SELECT retention.resume_policy('of alice');
-- not even she touches the tables behind
SELECT count(*) FROM retention.policy;
INSERT INTO retention.consent VALUES (1, 1, 'x', now());
DELETE FROM retention.deletion;
SELECT retention._random_key();
SELECT retention._wake();
SELECT retention._adopt(1::bigint, 1::oid);
SELECT * FROM retention._foreign_keys_to('t');
SELECT retention.accept_clock();

--
-- Bob, a stranger, may use the table, and govern nothing of it.
--
GRANT ALL ON t TO regress_retention_bob;
SET ROLE regress_retention_bob;
SELECT retention.add_policy('t', 'delete', '0', 'at', name => 'of bob');
SELECT retention.alter_policy('of alice', after => '0');
SELECT retention.drop_policy('of alice');
SELECT retention.pause_policy('of alice', 'x');
SELECT retention.resume_policy('of alice');
CALL retention.run_policy('of alice');
SELECT * FROM retention.preview('of alice', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('t', '2');
\set SHOW_CONTEXT never
SELECT * FROM retention.find_deletion('t', '1');
SELECT * FROM retention._key_digests('t', '{1}');
\set SHOW_CONTEXT errors
SELECT retention.schedule('of alice', '* * * * *');
SELECT retention.unschedule('of alice');
SELECT retention.allow_cascade('t', 't');
SELECT retention.revoke_cascade('t', 't');
SELECT retention.accept_clock();
SELECT * FROM sees();
-- run_due() runs what is his: nothing
SET ROLE regress_retention_alice;
INSERT INTO t VALUES (3, '2026-01-01');
SET ROLE regress_retention_bob;
CALL retention.run_due();
SELECT count(*) FROM t WHERE id = 3;
-- a leaky function does not see behind the views
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
	$$ BEGIN IF $1 LIKE 'of%' THEN RAISE NOTICE 'leaked %', $1; END IF; RETURN true; END $$;
SELECT count(*) FROM retention.policies WHERE leak(policy);
SELECT count(*) FROM retention.policy_history WHERE leak(policy);
SELECT count(*) FROM retention.runs WHERE leak(policy);
SELECT count(*) FROM retention.deletions WHERE leak(policy);
SELECT count(*) FROM retention.progress WHERE leak(policy);
SELECT count(*) FROM retention.health WHERE leak(subject) AND subject LIKE 'of%';
-- the settings that name roles are not his to set
SET retention.admin_role = 'regress_retention_bob';
SET retention.auditor_role = 'regress_retention_bob';
SET retention.test_now = '2030-01-01';
SET retention.enabled = off;
SET retention.batch_timeout = 0;

--
-- The auditor looks at everything and changes nothing.
--
RESET ROLE;
SET retention.auditor_role = 'regress_retention_auditors';
SELECT retention.pause_policy('of alice', 'audit');
GRANT USAGE ON SCHEMA privileges TO regress_retention_auditor, regress_retention_admin;
SET ROLE regress_retention_auditor;
SELECT * FROM sees();
SELECT verdict FROM retention.explain_row('t', '2');
SELECT due FROM retention.preview('of alice', '2026-03-01 12:00+00');
SELECT count(*) FROM retention.find_deletion('t', '1');
SELECT count(*) FROM t;
SELECT retention.resume_policy('of alice');
SELECT retention.drop_policy('of alice');
CALL retention.run_policy('of alice');
SELECT retention.add_policy('t', 'keep', '1 day', 'at');
SELECT count(*) FROM retention.policy;

--
-- The admin governs, without owning.
--
RESET ROLE;
SET retention.admin_role = 'regress_retention_admin';
SET ROLE regress_retention_admin;
SELECT * FROM sees();
SELECT retention.resume_policy('of alice');
SELECT retention.alter_policy('of alice', after => '32 days');
CALL retention.run_policy('of alice');
SELECT policy, actor FROM retention.deletions WHERE policy = 'of alice' ORDER BY deletion_id;
SELECT retention.add_policy('t', 'keep', '100 years', 'at', name => 'of the admin');
SELECT changed_by, operation FROM retention.policy_history WHERE policy IN ('of alice', 'of the admin') ORDER BY policy, version;
SELECT count(*) FROM t;
SELECT count(*) FROM retention.policy;
SELECT retention.accept_clock();
RESET ROLE;
-- a role that does not exist has no members; the empty name neither
SET retention.admin_role = 'regress_retention_nobody';
SET ROLE regress_retention_admin;
SELECT retention.drop_policy('of alice');
RESET ROLE;
SET retention.admin_role = '';
SET retention.auditor_role = '';

--
-- A member of the owner's role is the owner; NOINHERIT is not.
--
GRANT regress_retention_alice TO regress_retention_bob;
SET ROLE regress_retention_bob;
SELECT * FROM sees();
SELECT retention.alter_policy('of alice', after => '33 days');
RESET ROLE;
REVOKE regress_retention_alice FROM regress_retention_bob;
-- The owner who cannot delete any more does so by policy all the same: an
-- owner's rights are his to give back. Without rights on the schema he cannot.
REVOKE ALL ON SCHEMA privileges FROM regress_retention_alice;
SELECT retention.drop_policy('of the admin');
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
CALL retention.run_policy('of alice');
\set VERBOSITY default
SELECT state, reason FROM retention.policies WHERE policy = 'of alice';
-- A dropped table: only those who see all see its records.
DROP TABLE t;
GRANT ALL ON SCHEMA privileges TO regress_retention_alice;
SET ROLE regress_retention_alice;
SELECT * FROM sees();
RESET ROLE;
SELECT policies, history > 5 AS history, runs > 1 AS runs, deletions FROM sees();

SET client_min_messages = warning;
SELECT retention.drop_policy('of alice');
DROP SCHEMA privileges CASCADE;
DROP ROLE regress_retention_alice, regress_retention_bob, regress_retention_auditor,
	regress_retention_auditors, regress_retention_admin;
