-- Threat: objects that hide those that are meant, in a schema that comes first
-- in the search_path, in public, in pg_temp.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE ROLE regress_retention_victim;
CREATE SCHEMA search_path;
CREATE SCHEMA search_path_evil;
GRANT ALL ON SCHEMA search_path, search_path_evil TO regress_retention_victim;
CREATE TABLE search_path.canary (what text, as_user name, path text);
GRANT ALL ON search_path.canary TO PUBLIC;

-- Everything that the extension might call, in a schema of evil.
SET search_path = search_path_evil, pg_catalog;
CREATE FUNCTION sing(what text) RETURNS void LANGUAGE sql VOLATILE AS $$
	INSERT INTO search_path.canary SELECT what, current_user, current_setting('search_path')
$$;
CREATE FUNCTION now() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('now'); RETURN 'infinity'; END $$;
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('clock_timestamp'); RETURN 'infinity'; END $$;
CREATE FUNCTION timezone(text, timestamptz) RETURNS timestamp LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('timezone'); RETURN 'infinity'; END $$;
CREATE FUNCTION to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('to_jsonb'); RETURN '{}'; END $$;
CREATE FUNCTION format(text, VARIADIC "any") RETURNS text LANGUAGE internal IMMUTABLE AS 'text_format';
CREATE FUNCTION pg_current_xact_id() RETURNS xid8 LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('xact'); RETURN '1'; END $$;
CREATE FUNCTION gen_random_bytes(integer) RETURNS bytea LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('random'); RETURN '\x00'; END $$;
CREATE FUNCTION count() RETURNS bigint LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('count'); RETURN 0; END $$;
CREATE FUNCTION text_eq(text, text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('text ='); RETURN true; END $$;
CREATE FUNCTION int_eq(integer, integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('integer ='); RETURN true; END $$;
CREATE FUNCTION tstz_lt(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('timestamptz <'); RETURN true; END $$;
CREATE FUNCTION tstz_pl(timestamp, interval) RETURNS timestamp LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('timestamp +'); RETURN '-infinity'; END $$;
CREATE FUNCTION tid_ge(tid, tid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('tid >='); RETURN true; END $$;
CREATE FUNCTION tid_eq(tid, tid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('tid ='); RETURN true; END $$;
CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = text_eq);
CREATE OPERATOR = (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int_eq);
CREATE OPERATOR = (LEFTARG = tid, RIGHTARG = tid, FUNCTION = tid_eq);
CREATE OPERATOR < (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = tstz_lt);
CREATE OPERATOR <= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = tstz_lt);
CREATE OPERATOR + (LEFTARG = timestamp, RIGHTARG = interval, FUNCTION = tstz_pl);
CREATE OPERATOR >= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = tid_ge);
CREATE OPERATOR < (LEFTARG = tid, RIGHTARG = tid, FUNCTION = tid_ge);
CREATE TABLE pg_class (LIKE pg_catalog.pg_class);
CREATE TABLE pg_constraint (LIKE pg_catalog.pg_constraint);
CREATE TYPE interval AS (x text);
CREATE TYPE timestamptz AS (x text);
CREATE TYPE tid AS (x text);
CREATE TABLE policy (name text);
CREATE TABLE deletion (name text);
GRANT ALL ON ALL TABLES IN SCHEMA search_path_evil TO PUBLIC;
SET search_path = search_path_evil, search_path, pg_catalog, pg_temp;
CREATE TEMP TABLE policy (name text);
CREATE TEMP TABLE relation (name text);
CREATE TEMP TABLE run (name text);
CREATE TEMP TABLE pg_class (name text);
CREATE FUNCTION pg_temp.int_eq(integer, integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
	$$ BEGIN PERFORM search_path_evil.sing('temp ='); RETURN true; END $$;
RESET client_min_messages;

-- Made, previewed, explained, run, looked at under that path: nobody sings.
CREATE TABLE search_path.t (id pg_catalog.int4 PRIMARY KEY, at pg_catalog.timestamptz);
CREATE TABLE search_path.child (id pg_catalog.int4 PRIMARY KEY, t pg_catalog.int4 REFERENCES search_path.t ON DELETE CASCADE);
CREATE TABLE search_path.pin (t pg_catalog.int4 REFERENCES search_path.t);
INSERT INTO search_path.t VALUES (1, '2026-01-01'), (2, '2026-06-01'), (3, '2026-01-01');
INSERT INTO search_path.child VALUES (1, 1);
INSERT INTO search_path.pin VALUES (3);
TRUNCATE search_path.canary;
SET client_min_messages = warning;
SELECT retention.add_policy('search_path.t', 'delete', '1 month 1 hour', 'at', name => 'path');
SELECT due FROM retention.preview('path', '2026-03-01 12:00+00');
SELECT verdict FROM retention.explain_row('search_path.t', '2');
SELECT retention.pause_policy('path', 'x');
SELECT retention.resume_policy('path');
SELECT retention.alter_policy('path', after => '1 month 2 hours');
CALL retention.run_policy('path');
CALL retention.run_due();
SELECT id FROM search_path.t ORDER BY id USING OPERATOR(pg_catalog.<);
SELECT policy, relation, state, blocked FROM retention.policies, LATERAL (SELECT blocked FROM retention.runs
	WHERE runs.policy OPERATOR(pg_catalog.=) policies.policy LIMIT 1) r
WHERE policy OPERATOR(pg_catalog.=) 'path';
SELECT leaf, rows FROM retention.deletions WHERE policy OPERATOR(pg_catalog.=) 'path'
ORDER BY leaf USING OPERATOR(pg_catalog.<);
SELECT leaf FROM retention.find_deletion('search_path.t', '1');
SELECT what, as_user FROM search_path.canary;

-- An owner's own choice is his: a clock that names such a function means it,
-- and runs as the owner of the table.
SELECT retention.alter_policy('path', clock => 'at', filter => 'id = 2');
SELECT retention.alter_policy('path', clock => 'at', filter => 'now() IS NULL');
RESET search_path;

-- Code of the table sees a path that nobody chose: pg_catalog, and temporary
-- objects last.
CREATE FUNCTION search_path.sees() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO search_path.canary VALUES ('trigger', current_user, current_setting('search_path'));
	RETURN OLD;
END $$;
CREATE TRIGGER sees BEFORE DELETE ON search_path.t FOR EACH ROW EXECUTE FUNCTION search_path.sees();
ALTER TABLE search_path.t OWNER TO regress_retention_victim;
ALTER TABLE search_path.child OWNER TO regress_retention_victim;
ALTER TABLE search_path.pin OWNER TO regress_retention_victim;
DELETE FROM search_path.pin;
SELECT retention.resume_policy('path');
SET search_path = search_path_evil, pg_catalog;
CALL retention.run_policy('path');
RESET search_path;
SELECT * FROM search_path.canary;
SELECT id FROM search_path.t;

SELECT retention.drop_policy('path');
DROP SCHEMA search_path, search_path_evil CASCADE;
DROP ROLE regress_retention_victim;
