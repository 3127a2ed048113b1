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

DROP SCHEMA trash_rights CASCADE;
SELECT retention.purge_trash(deleted_before => 'infinity') > 0 AS purged;
DROP ROLE regress_retention_owner, regress_retention_clerk, regress_retention_guest, regress_retention_auditor;
