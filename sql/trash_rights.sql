-- Who sees what in the trash, and who may take it out: as in the table.
\set VERBOSITY terse
SET client_min_messages TO warning;
CREATE ROLE regress_retention_owner;
CREATE ROLE regress_retention_clerk;
CREATE ROLE regress_retention_guest;
CREATE ROLE regress_retention_auditor;
CREATE SCHEMA trash_rights;
GRANT USAGE, CREATE ON SCHEMA trash_rights TO PUBLIC;
SET search_path TO trash_rights, public;

CREATE VIEW seen AS
SELECT relation::text, row_data FROM retention.trash WHERE relation_name LIKE 'trash_rights.%' ORDER BY trash_id;
GRANT SELECT ON seen TO PUBLIC;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(sqlerrm, '\d+', 'N', 'g');
END $$;
-- ids, whoever asks
CREATE TABLE ids AS SELECT 'x' AS relation, 0::bigint AS trash_id, 0::bigint AS deletion_id;
GRANT SELECT ON ids TO PUBLIC;

SET ROLE regress_retention_owner;
CREATE TABLE patients (id integer PRIMARY KEY, doctor name, name text, diagnosis text);
CREATE TABLE open (id integer PRIMARY KEY, v text);
INSERT INTO patients VALUES (1, 'regress_retention_clerk', 'A', 'x'), (2, 'somebody', 'B', 'y'), (3, 'regress_retention_clerk', 'C', 'z');
INSERT INTO open VALUES (1, 'one'), (2, 'two');
SELECT retention.enable_trash('patients');
SELECT retention.enable_trash('open');
-- only who governs the table
SET ROLE regress_retention_guest;
SELECT retention.enable_trash('open');
SELECT retention.disable_trash('open');
SET ROLE regress_retention_owner;
GRANT SELECT (id, name) ON patients TO regress_retention_clerk;
GRANT SELECT, DELETE ON open TO regress_retention_clerk;
-- who deletes needs no right on the trash
SET ROLE regress_retention_clerk;
DELETE FROM open WHERE id = 1;
SET ROLE regress_retention_owner;
DELETE FROM patients;
DELETE FROM open;
RESET ROLE;
INSERT INTO ids SELECT relation::text, trash_id, deletion_id FROM retention.trash WHERE relation_name LIKE 'trash_rights.%';

SET ROLE regress_retention_owner;
SELECT * FROM seen;
SELECT DISTINCT relation::text, deleted_by FROM retention.trash ORDER BY 1, 2;
-- columns by their grants
SET ROLE regress_retention_clerk;
SELECT * FROM seen;
SELECT id FROM retention.trash_rows(NULL::open) ORDER BY id;
SELECT id FROM retention.trash_rows(NULL::patients);
SET ROLE regress_retention_guest;
SELECT * FROM seen;
SELECT id FROM retention.trash_rows(NULL::open);
-- nobody reads or writes the tables beneath
SELECT attempt('SELECT * FROM retention.trash_chunk');
SELECT attempt('SELECT retention._trash_data((SELECT ''retention.trash_chunk''::regclass), ''(0,1)'', 0)');
SELECT attempt('SELECT retention._trash_data(''pg_class''::regclass, ''(0,1)'', 0)');
SELECT attempt('SELECT * FROM retention._restoring(NULL::trash_rights.open)');
SELECT attempt('SELECT retention._capture()');

-- Row level security of the table holds for what is in the trash.
SET ROLE regress_retention_owner;
ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
SET ROLE regress_retention_owner;
CREATE POLICY own ON patients FOR SELECT TO regress_retention_clerk USING (doctor = current_user);
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
SET ROLE regress_retention_owner;
CREATE POLICY not_three ON patients AS RESTRICTIVE USING (id <> 3);
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
-- what cannot be decided is not seen: a sub-select, a column that was not there
SET ROLE regress_retention_owner;
CREATE POLICY sub ON patients AS RESTRICTIVE USING (id IN (SELECT 1));
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
SET ROLE regress_retention_owner;
DROP POLICY sub ON patients;
ALTER TABLE patients ADD secret boolean NOT NULL DEFAULT false;
CREATE POLICY later ON patients AS RESTRICTIVE USING (NOT secret);
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
-- looking at the view does not run what the owner of some table wrote
SET ROLE regress_retention_owner;
DROP POLICY later ON patients;
CREATE FUNCTION trap() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'code of the owner runs as %', current_user;
	RETURN true;
END $$;
CREATE POLICY trap ON patients AS RESTRICTIVE USING (trap());
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation LIKE '%patients';
SET ROLE regress_retention_owner;
DROP POLICY trap ON patients;
-- FORCE does not keep the owner from his own rows
ALTER TABLE patients FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM seen;
ALTER TABLE patients NO FORCE ROW LEVEL SECURITY;

-- Restore: whoever governs the table; else INSERT, and to see the row.
SET ROLE regress_retention_guest;
SELECT attempt('SELECT retention.restore(trash_id) FROM ids WHERE relation = ''open''');
SET ROLE regress_retention_clerk;
SELECT attempt(format('SELECT retention.restore(%s)', trash_id)) FROM ids WHERE relation = 'open' ORDER BY trash_id LIMIT 1;
SELECT attempt(format('SELECT retention.restore(%s)', trash_id)) FROM ids WHERE relation = 'patients' ORDER BY trash_id LIMIT 1;
SET ROLE regress_retention_owner;
GRANT INSERT ON open, patients TO regress_retention_clerk;
SET ROLE regress_retention_clerk;
SELECT attempt(format('SELECT retention.restore(%s)', trash_id)) FROM ids WHERE relation = 'open' ORDER BY trash_id LIMIT 1;
SELECT attempt(format('SELECT retention.restore(%s)', trash_id)) FROM ids WHERE relation = 'patients' ORDER BY trash_id LIMIT 1;
SELECT * FROM open;
-- purging is another right than reading
SELECT retention.purge_trash('open');
SELECT retention.purge_trash();
SELECT retention.purge_trash(trash_ids => ARRAY[1]);
SET ROLE regress_retention_owner;
SELECT retention.purge_trash('open');
SELECT count(*) FROM seen;
SELECT attempt(format('SELECT retention.restore_deletion(%s)', deletion_id)) FROM ids WHERE relation = 'patients' LIMIT 1;
SELECT id, name FROM patients ORDER BY id;
DELETE FROM patients;
RESET ROLE;
-- an auditor reads, and does no more
SET retention.auditor_role TO regress_retention_auditor;
SET ROLE regress_retention_auditor;
SELECT count(*) FROM seen;
SELECT attempt(format('SELECT retention.restore_deletion(%s)', max(deletion_id))) FROM retention.trash;
SELECT retention.purge_trash('patients');
RESET ROLE;
RESET retention.auditor_role;
-- of a table that is gone, those see the rows who see all
SELECT retention.disable_trash('patients');
DROP TABLE patients;
SET ROLE regress_retention_owner;
SELECT * FROM seen;
RESET ROLE;
SELECT relation_name, row_data ->> 'name' AS name FROM retention.trash WHERE relation_name LIKE 'trash_rights.%' ORDER BY trash_id;
SELECT attempt(format('SELECT retention.restore_deletion(%s)', max(deletion_id))) FROM retention.trash WHERE relation_name LIKE 'trash_rights.%';

-- A trigger of a hostile owner runs as he, also in a restore by a superuser.
SET ROLE regress_retention_owner;
CREATE TABLE heard (what text, who name, is_super text);
CREATE TABLE bait (id integer PRIMARY KEY);
CREATE FUNCTION sing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trash_rights.heard VALUES (tg_when || ' ' || tg_op || ' ' || tg_level, current_user,
		(SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
	RETURN coalesce(new, old);
END $$;
INSERT INTO bait VALUES (1);
SELECT retention.enable_trash('bait');
DELETE FROM bait;
CREATE TRIGGER a BEFORE INSERT OR DELETE ON bait FOR EACH ROW EXECUTE FUNCTION sing();
CREATE TRIGGER b AFTER INSERT OR DELETE ON bait FOR EACH ROW EXECUTE FUNCTION sing();
CREATE TRIGGER c AFTER INSERT OR DELETE ON bait FOR EACH STATEMENT EXECUTE FUNCTION sing();
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sing();
RESET ROLE;
BEGIN;
SELECT relation, verdict FROM retention.restore_deletion((SELECT max(deletion_id) FROM retention.trash));
COMMIT;
SELECT * FROM heard ORDER BY what;

-- Bytes that were one type are never read as another of the same name.
SET ROLE regress_retention_owner;
CREATE DOMAIN disguise AS bytea;
CREATE TABLE forged (id integer PRIMARY KEY, x disguise);
INSERT INTO forged VALUES (1, decode('01000000000000001700000000ffffff01000000', 'hex'));
SELECT retention.enable_trash('forged');
DELETE FROM forged;
ALTER TABLE forged DROP COLUMN x;
DROP DOMAIN disguise;
CREATE DOMAIN disguise AS integer[];
SELECT * FROM seen WHERE relation = 'forged';
ALTER TABLE forged ADD x disguise;
SELECT id FROM retention.trash_rows(NULL::forged);
RESET ROLE;

-- Neither a cast to json nor the check of a domain runs as who looks.
SET ROLE regress_retention_owner;
CREATE TYPE shade AS ENUM ('dark');
CREATE FUNCTION evil(shade) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'a cast runs as %', current_user;
	RETURN '1';
END $$;
CREATE CAST (shade AS json) WITH FUNCTION evil(shade);
CREATE FUNCTION evil(integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'a check runs as %', current_user;
	RETURN true;
END $$;
CREATE DOMAIN checked AS integer CHECK (evil(VALUE));
CREATE TABLE looked_at (id integer PRIMARY KEY, s shade, n integer);
SELECT retention.enable_trash('looked_at');
INSERT INTO looked_at VALUES (1, 'dark', 5);
DELETE FROM looked_at;
ALTER TABLE looked_at ALTER n TYPE checked;
RESET ROLE;
SELECT row_data FROM seen WHERE relation = 'looked_at';
SELECT * FROM retention.trash_rows(NULL::looked_at);
-- a policy that makes a function of the server run a query
SET ROLE regress_retention_owner;
GRANT SELECT ON looked_at TO regress_retention_clerk;
ALTER TABLE looked_at ENABLE ROW LEVEL SECURITY;
CREATE POLICY deep ON looked_at USING (query_to_xml('SELECT trash_rights.evil(1)', true, true, '') IS NOT NULL);
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation = 'looked_at';
-- a column has another type than the row had
SET ROLE regress_retention_owner;
DROP POLICY deep ON looked_at;
ALTER TABLE looked_at ALTER n TYPE text;
CREATE POLICY retyped ON looked_at USING (n = 'x');
SET ROLE regress_retention_clerk;
SELECT * FROM seen WHERE relation = 'looked_at';
RESET ROLE;

-- To replace rows is to delete them.
SET ROLE regress_retention_owner;
CREATE TABLE stay (id integer PRIMARY KEY, v text);
INSERT INTO stay VALUES (1, 'old');
SELECT retention.enable_trash('stay');
GRANT SELECT, INSERT ON stay TO regress_retention_clerk;
DELETE FROM stay;
INSERT INTO stay VALUES (1, 'present');
RESET ROLE;
SELECT max(deletion_id) AS id FROM retention.trash \gset
SET ROLE regress_retention_clerk;
SELECT retention.restore_deletion(:id, 'replace');
SET ROLE regress_retention_owner;
SELECT * FROM stay;
-- a restore that a trigger refuses did not happen
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON stay FOR EACH ROW EXECUTE FUNCTION refuse();
DELETE FROM stay;
SELECT verdict, detail FROM retention.restore_deletion(:id, dry_run => true);
SELECT retention.restore_deletion(:id);
SELECT count(*) FROM seen WHERE relation = 'stay';
-- a table without columns, and triggers that were spoilt, stop nobody
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
SELECT retention.enable_trash('nothing');
DELETE FROM nothing;
DROP TRIGGER retention_trash ON stay;
CREATE TRIGGER retention_trash BEFORE INSERT ON stay FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE fine (id integer);
SELECT severity, subject FROM retention.health WHERE subject = 'stay';
SELECT retention.enable_trash('stay');
RESET ROLE;

SELECT bool_and(retention.disable_trash(r.reloid) IS NOT NULL) AS disabled
FROM retention.trash_table t JOIN retention.relation r USING (relation_id) WHERE r.reloid IS NOT NULL;
DROP SCHEMA trash_rights CASCADE;
SELECT retention.purge_trash(deleted_before => 'infinity') > 0 AS purged;
DROP ROLE regress_retention_owner, regress_retention_clerk, regress_retention_guest, regress_retention_auditor;
