-- Threat: rows that go without a record. A trigger deletes more than the
-- statement did, or makes other rows of what was to be deleted.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET retention.test_now = '2026-03-01 12:00:00+00';
CREATE SCHEMA hidden_deletes;
SET search_path = hidden_deletes;
\set SHOW_CONTEXT never
-- What is gone of a table's rows 1 to 9, what of them is recorded.
CREATE FUNCTION unrecorded(tab regclass) RETURNS TABLE (gone integer[], unrecorded integer[])
	LANGUAGE plpgsql AS $$
DECLARE
	id integer;
	there boolean;
BEGIN
	gone := '{}';
	unrecorded := '{}';
	FOR id IN 1..9 LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE id = %L)', tab, id) INTO there;
		IF NOT there THEN
			gone := gone || id;
			IF NOT EXISTS (SELECT FROM retention.find_deletion(tab, id::text)) THEN
				unrecorded := unrecorded || id;
			END IF;
		END IF;
	END LOOP;
	RETURN NEXT;
END $$;
CREATE PROCEDURE make(tab text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, at timestamptz)', tab);
	EXECUTE format('INSERT INTO %I SELECT n, CASE WHEN n <= 3 THEN ''2026-01-01'' ELSE ''2026-06-01'' END::timestamptz FROM generate_series(1, 9) n', tab);
	EXECUTE format('SELECT retention.add_policy(%L, ''delete'', ''30 days'', ''at'')', tab);
END $$;
RESET client_min_messages;

-- A trigger deletes another row of the same table: rows that are not due, or
-- that are, before or after.
CALL make('friend');
CREATE FUNCTION delete_friend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DELETE FROM %s WHERE id = %s', TG_RELID::regclass, OLD.id + 5);
	RETURN OLD;
END $$;
CREATE TRIGGER t AFTER DELETE ON friend FOR EACH ROW EXECUTE FUNCTION delete_friend();
CALL retention.run_policy('friend_delete');
SELECT * FROM unrecorded('friend');
SELECT rows, blocked, blocked_cause FROM retention.runs WHERE policy = 'friend_delete';
-- a BEFORE trigger the same
DROP TRIGGER t ON friend;
CREATE TRIGGER t BEFORE DELETE ON friend FOR EACH ROW WHEN (OLD.id = 2) EXECUTE FUNCTION delete_friend();
CALL retention.run_policy('friend_delete');
SELECT * FROM unrecorded('friend');
-- and for each statement
CALL make('statement');
CREATE FUNCTION delete_five() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM hidden_deletes.statement WHERE id = 5;
	RETURN NULL;
END $$;
CREATE TRIGGER t AFTER DELETE ON statement FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION delete_five();
CALL retention.run_policy('statement_delete');
SELECT * FROM unrecorded('statement');
SELECT state, rows, blocked, error FROM retention.runs WHERE policy = 'statement_delete';

-- It deletes the row itself, which then counts once.
CALL make('self');
CREATE FUNCTION delete_self() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM hidden_deletes.self WHERE id = OLD.id;
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON self FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION delete_self();
CALL retention.run_policy('self_delete');
SELECT * FROM unrecorded('self');

-- It puts the row back, or a copy of another: nothing is gone that is recorded
-- wrongly, and what is recorded went.
CALL make('phoenix');
CREATE FUNCTION reinsert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO hidden_deletes.phoenix VALUES (OLD.id + 1000, OLD.at);
	RETURN OLD;
END $$;
CREATE TRIGGER t AFTER DELETE ON phoenix FOR EACH ROW EXECUTE FUNCTION reinsert();
CALL retention.run_policy('phoenix_delete');
SELECT * FROM unrecorded('phoenix');
SELECT count(*) FROM phoenix;

-- Soft delete: the trigger makes an UPDATE of it. Not deleted, not recorded.
CALL make('soft');
ALTER TABLE soft ADD deleted boolean DEFAULT false;
CREATE FUNCTION soften() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE hidden_deletes.soft SET deleted = true WHERE id = OLD.id;
	RETURN NULL;
END $$;
CREATE TRIGGER t BEFORE DELETE ON soft FOR EACH ROW EXECUTE FUNCTION soften();
CALL retention.run_policy('soft_delete');
SELECT count(*), count(*) FILTER (WHERE deleted) AS soft FROM soft;
SELECT * FROM unrecorded('soft');
SELECT state, rows, blocked FROM retention.runs WHERE policy = 'soft_delete';

-- An UPDATE of the row that is being deleted is an error of its own.
CALL make('touched');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE hidden_deletes.touched SET at = now() WHERE id = OLD.id;
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
SET client_min_messages = warning;
CALL retention.run_policy('touched_delete');
RESET client_min_messages;
SELECT * FROM unrecorded('touched');
SELECT rows, blocked FROM retention.runs WHERE policy = 'touched_delete';

-- Children: a trigger deletes those that would cascade, or others of the child.
CALL make('parent');
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent ON DELETE CASCADE);
INSERT INTO child SELECT n, n FROM generate_series(1, 9) n;
SELECT retention.resume_policy('parent_delete');
CREATE FUNCTION delete_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM hidden_deletes.child WHERE parent = OLD.id;
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON parent FOR EACH ROW EXECUTE FUNCTION delete_child();
CALL retention.run_policy('parent_delete');
SELECT * FROM unrecorded('parent');
SELECT * FROM unrecorded('child');
DROP TRIGGER t ON parent;
CREATE FUNCTION delete_sibling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM hidden_deletes.child WHERE id = OLD.id + 1;
	RETURN OLD;
END $$;
CREATE TRIGGER t AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION delete_sibling();
UPDATE parent SET at = '2026-01-01' WHERE id IN (5, 8);
CALL retention.run_policy('parent_delete');
SELECT * FROM unrecorded('parent');
SELECT * FROM unrecorded('child');
DROP TRIGGER t ON child;
-- the child refuses: the parent stays
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW WHEN (OLD.id = 5) EXECUTE FUNCTION refuse();
CALL retention.run_policy('parent_delete');
SELECT * FROM unrecorded('parent');
SELECT * FROM unrecorded('child');

-- A trigger of the parent deletes a row of the child that has another parent.
DROP TRIGGER t ON child;
CREATE FUNCTION delete_stranger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM hidden_deletes.child WHERE id = 9;
	RETURN OLD;
END $$;
CREATE TRIGGER t AFTER DELETE ON parent FOR EACH ROW EXECUTE FUNCTION delete_stranger();
CALL retention.run_policy('parent_delete');
-- 9 went by the trigger: recorded as a number, its key is not known
SELECT * FROM unrecorded('child');
SELECT relation::text, rows, reason, parent_id IS NOT NULL AS has_parent
FROM retention.deletions WHERE key_columns = '{}';

-- A key that the trigger changes just before: the row that goes is recorded by
-- the key it had.
CALL make('renumbered');
CREATE FUNCTION renumber() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	OLD.id := OLD.id + 100;
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON renumbered FOR EACH ROW EXECUTE FUNCTION renumber();
CALL retention.run_policy('renumbered_delete');
SELECT * FROM unrecorded('renumbered');

-- TRUNCATE by a trigger is the way to make all vanish at once.
CALL make('emptied');
CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE hidden_deletes.emptied;
	RETURN NULL;
END $$;
CREATE TRIGGER t AFTER DELETE ON emptied FOR EACH STATEMENT EXECUTE FUNCTION empty();
CALL retention.run_policy('emptied_delete');
SELECT * FROM unrecorded('emptied');

-- The statistics that this is found by cannot be turned off by the trigger.
CALL make('untracked');
CREATE FUNCTION untrack() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('track_counts', 'off', false);
	RETURN OLD;
EXCEPTION WHEN insufficient_privilege THEN
	DELETE FROM hidden_deletes.untracked WHERE id = 7;
	RETURN OLD;
END $$;
CREATE TRIGGER t BEFORE DELETE ON untracked FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION untrack();
SET client_min_messages = warning;
CREATE ROLE regress_retention_hidden;
RESET client_min_messages;
GRANT USAGE ON SCHEMA hidden_deletes TO regress_retention_hidden;
ALTER TABLE untracked OWNER TO regress_retention_hidden;
SELECT retention.resume_policy('untracked_delete');
CALL retention.run_policy('untracked_delete');
SELECT * FROM unrecorded('untracked');
-- nor by the caller
SET track_counts = off;
CALL make('uncounted');
CREATE TRIGGER t AFTER DELETE ON uncounted FOR EACH ROW EXECUTE FUNCTION delete_friend();
CALL retention.run_policy('uncounted_delete');
RESET track_counts;
SELECT * FROM unrecorded('uncounted');

SET client_min_messages = warning;
SELECT count(retention.drop_policy(p.policy)) FROM retention.policies p
JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'hidden_deletes'::regnamespace;
DROP SCHEMA hidden_deletes CASCADE;
DROP ROLE regress_retention_hidden;
