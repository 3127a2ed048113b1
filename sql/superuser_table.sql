-- Threat: a table that belongs to a superuser, and code that somebody else may
-- write or already wrote: it would run as the superuser.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_lowly;
CREATE ROLE regress_retention_root SUPERUSER;
CREATE SCHEMA superuser_table;
GRANT ALL ON SCHEMA superuser_table TO regress_retention_lowly;
SET search_path = superuser_table;
CREATE TABLE canary (what text, as_user name);
GRANT ALL ON canary TO PUBLIC;
SET ROLE regress_retention_lowly;
CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO superuser_table.canary VALUES (TG_NAME, current_user);
	IF TG_OP = 'UPDATE' THEN
		RETURN NEW;
	END IF;
	RETURN OLD;
END $$;
CREATE FUNCTION evil_integer(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN n; END $$;
CREATE FUNCTION evil_boolean(n integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN true; END $$;
CREATE FUNCTION evil_clock(t timestamptz) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN t; END $$;
CREATE DOMAIN evil_domain AS integer CHECK (evil_boolean(VALUE));
CREATE TYPE evil_type AS (n integer);
CREATE FUNCTION evil_cmp(evil_type, evil_type) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN true; END $$;
RESET ROLE;

-- Tries a policy on a table of a superuser, as it is after some change to it.
CREATE FUNCTION try(change text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, n integer);
	ALTER TABLE t OWNER TO regress_retention_root;
	INSERT INTO t VALUES (1, '2026-01-01', 1);
	EXECUTE change;
	PERFORM retention.add_policy('t', 'delete', '1 day', 'at', name => 'tried');
	CALL retention.run_policy('tried');
	RAISE EXCEPTION 'accepted%', COALESCE((SELECT ', and it ran as ' || as_user FROM canary), '');
EXCEPTION WHEN OTHERS THEN
	RETURN replace(sqlerrm, '"t" cannot be governed: it is owned by a superuser, and ', 'refused: ');
END $$;

\pset format unaligned
SELECT change, try(change) FROM unnest(ARRAY[
	'',
	'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES ON t TO PUBLIC',
	'GRANT TRIGGER ON t TO regress_retention_lowly',
	'GRANT TRIGGER ON t TO PUBLIC',
	'GRANT ALL ON t TO regress_retention_lowly',
	'CREATE TRIGGER x BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION evil()',
	'CREATE TRIGGER x AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION evil()',
	'CREATE CONSTRAINT TRIGGER x AFTER DELETE ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION evil()',
	'CREATE TRIGGER x BEFORE DELETE ON t FOR EACH ROW WHEN (evil_boolean(OLD.n)) EXECUTE FUNCTION suppress_redundant_updates_trigger()',
	'CREATE INDEX ON t (evil_integer(n))',
	'CREATE INDEX ON t (n) WHERE evil_boolean(n)',
	'ALTER TABLE t ADD CHECK (evil_boolean(n))',
	'ALTER TABLE t ALTER n SET DEFAULT evil_integer(1)',
	'ALTER TABLE t ADD g integer GENERATED ALWAYS AS (evil_integer(n)) STORED',
	'ALTER TABLE t ADD d evil_domain',
	'ALTER TABLE t ADD d evil_type',
	'CREATE STATISTICS s ON (evil_integer(n)), n FROM t',
	'CREATE POLICY p ON t USING (evil_boolean(n)); ALTER TABLE t ENABLE ROW LEVEL SECURITY',
	'CREATE TABLE t_child (id integer, t integer REFERENCES t ON DELETE SET NULL); ALTER TABLE t_child OWNER TO regress_retention_root; INSERT INTO t_child VALUES (1, 1); CREATE TRIGGER x BEFORE UPDATE ON t_child FOR EACH ROW EXECUTE FUNCTION evil()',
	'CREATE TABLE t_child (id integer, t integer REFERENCES t ON DELETE CASCADE); ALTER TABLE t_child OWNER TO regress_retention_root; CREATE TRIGGER x BEFORE DELETE ON t_child FOR EACH ROW EXECUTE FUNCTION evil()',
	'CREATE TABLE t_heir () INHERITS (t); ALTER TABLE t_heir OWNER TO regress_retention_root; CREATE TRIGGER x BEFORE DELETE ON t_heir FOR EACH ROW EXECUTE FUNCTION evil()'
]) WITH ORDINALITY AS u(change, n) ORDER BY n;
\pset format aligned
RESET client_min_messages;
SELECT * FROM canary;

-- Clock and filter call functions too.
CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, n integer);
INSERT INTO t VALUES (1, '2026-01-01', 1);
SELECT retention.add_policy('t', 'delete', '1 day', 'evil_clock(at)', name => 'evil clock');
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'evil_boolean(n)', name => 'evil filter');
SELECT retention.add_policy('t', 'delete', '1 day', 'at',
	'EXISTS (SELECT FROM canary WHERE evil_boolean(t.n))', name => 'evil sub-select');
SELECT retention.add_policy('t', 'keep', '1 day', 'at', 'evil_boolean(n)', name => 'evil keep');
SELECT policy FROM retention.policies WHERE policy LIKE 'evil%' ORDER BY policy;
CREATE FUNCTION good(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > 0;
SELECT retention.add_policy('t', 'delete', '1 day', 'at', 'good(n)', name => 'good filter');
ALTER FUNCTION good OWNER TO regress_retention_lowly;
\set VERBOSITY sqlstate
CALL retention.run_policy('good filter');
\set VERBOSITY default
SELECT count(*) FROM t;
SELECT retention.drop_policy(policy) FROM retention.policies WHERE relation = 't'::regclass;

-- What comes after the policy was made is found when it runs.
SELECT retention.add_policy('t', 'delete', '1 day', 'at');
GRANT TRIGGER ON t TO regress_retention_lowly;
SET ROLE regress_retention_lowly;
CREATE TRIGGER sings BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION evil();
RESET ROLE;
CALL retention.run_policy('t_delete');
SELECT state, reason FROM retention.policies WHERE policy = 't_delete';
SELECT * FROM canary;
SELECT count(*) FROM t;
SELECT retention.resume_policy('t_delete');
SELECT * FROM retention.preview('t_delete', '2026-03-01 12:00+00');
SELECT * FROM retention.explain_row('t', '1');
-- an ordinary owner is the way out
ALTER TABLE t OWNER TO regress_retention_lowly;
SELECT retention.resume_policy('t_delete');
CALL retention.run_policy('t_delete');
SELECT * FROM canary;
SELECT count(*) FROM t;
-- and an owner who becomes a superuser is as one
CREATE ROLE regress_retention_rising;
GRANT USAGE ON SCHEMA superuser_table TO regress_retention_rising;
CREATE TABLE u (id integer PRIMARY KEY, at timestamptz);
INSERT INTO u VALUES (1, '2026-01-01');
CREATE TRIGGER sings BEFORE DELETE ON u FOR EACH ROW EXECUTE FUNCTION evil();
ALTER TABLE u OWNER TO regress_retention_rising;
SELECT retention.add_policy('u', 'delete', '1 day', 'at');
ALTER ROLE regress_retention_rising SUPERUSER;
CALL retention.run_policy('u_delete');
SELECT count(*) FROM u;

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'superuser_table'::regnamespace;
DROP SCHEMA superuser_table CASCADE;
DROP ROLE regress_retention_lowly, regress_retention_root, regress_retention_rising;
