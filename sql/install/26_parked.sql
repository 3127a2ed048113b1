-- Tables that were dropped and wait in the trash as they are. Called by the
-- library (parked.c) as the extension; nothing here runs code of a table's
-- owner.

CREATE FUNCTION retention._trash_tables()
	RETURNS TABLE (relation oid, is_parked boolean, parts bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT m.relid, bool_or(t.is_parked),
		CASE WHEN bool_or(t.is_parked) THEN (
			SELECT count(*)
			FROM pg_catalog.pg_depend d
			WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
				AND d.refobjid = m.relid
				AND d.deptype IN ('a', 'i')) + (
			SELECT count(*)
			FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = m.relid
				AND NOT a.attisdropped) END
	FROM (
			SELECT t.relation_id, false AS is_parked FROM retention.trash_table t
			UNION ALL
			SELECT p.relation_id, true FROM retention.parked p) AS t
		JOIN retention.relation r USING (relation_id)
		CROSS JOIN LATERAL (
			SELECT r.reloid::oid AS relid
			UNION
			SELECT p.relid FROM pg_catalog.pg_partition_tree(r.reloid) p) AS m
		JOIN pg_catalog.pg_class c ON c.oid = m.relid
	WHERE r.identity = retention._identity()
	GROUP BY m.relid;
END;
COMMENT ON FUNCTION retention._trash_tables() IS
	'the tables that no DROP may destroy: those with a trash and their partitions, and those that wait in the trash, with the number of their columns, constraints, triggers and the like';

-- A table with its partitions.
CREATE FUNCTION retention._tree(relation regclass) RETURNS SETOF oid
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT $1::oid
	UNION
	SELECT p.relid FROM pg_catalog.pg_partition_tree($1) p;
END;
COMMENT ON FUNCTION retention._tree(regclass) IS
	'a table and its partitions, at any depth';

-- What depends on a table and is no part of it, nor a foreign key.
CREATE FUNCTION retention._dependents(relation regclass)
	RETURNS TABLE (classid oid, objid oid, objsubid integer, description text)
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	WITH RECURSIVE member(classid, objid) AS (
		SELECT 'pg_catalog.pg_class'::regclass::oid, t.relid
		FROM retention._tree($1) AS t(relid)
		UNION
		SELECT d.classid, d.objid
		FROM member m
			JOIN pg_catalog.pg_depend d
				ON (d.refclassid, d.refobjid) = (m.classid, m.objid)
		WHERE d.deptype IN ('a', 'i', 'P', 'S')
	),
	-- an object that is a part of another one goes with that
	dependent(classid, objid, objsubid) AS (
		SELECT d.classid, d.objid, d.objsubid
		FROM member m
			JOIN pg_catalog.pg_depend d
				ON (d.refclassid, d.refobjid) = (m.classid, m.objid)
		WHERE d.deptype = 'n'
			AND (d.classid, d.objid) NOT IN (
				SELECT m.classid, m.objid FROM member m)
		UNION
		SELECT d.refclassid, d.refobjid, d.refobjsubid
		FROM dependent p
			JOIN pg_catalog.pg_depend d
				ON (d.classid, d.objid) = (p.classid, p.objid)
		WHERE d.deptype = 'i'
	)
	SELECT p.classid, p.objid, p.objsubid,
		pg_catalog.pg_describe_object(p.classid, p.objid, p.objsubid)
	FROM dependent p
	WHERE NOT EXISTS (
			SELECT FROM pg_catalog.pg_depend d
			WHERE (d.classid, d.objid) = (p.classid, p.objid)
				AND d.deptype = 'i')
		AND NOT (p.classid = 'pg_catalog.pg_constraint'::regclass
			AND EXISTS (
				SELECT FROM pg_catalog.pg_constraint c
				WHERE c.oid = p.objid AND c.contype = 'f'))
	ORDER BY 4;
END;
COMMENT ON FUNCTION retention._dependents(regclass) IS
	'what DROP ... CASCADE of this table would take along, foreign keys left out';

-- Foreign keys between a table, with its partitions, and other tables.
CREATE FUNCTION retention._outer_keys(relation regclass)
	RETURNS TABLE (table_name text, name text, definition text)
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT f.conrelid::regclass::text, f.conname::text,
		pg_get_constraintdef(f.oid)
	FROM pg_constraint f
	WHERE f.contype = 'f'
		AND f.conparentid = 0
		AND (f.conrelid IN (SELECT * FROM retention._tree($1)))
			<> (f.confrelid IN (SELECT * FROM retention._tree($1)));
END;
COMMENT ON FUNCTION retention._outer_keys(regclass) IS
	'the foreign keys from and to this table that are its own';

CREATE FUNCTION retention._park(relation regclass, deletion_id bigint,
		purge_after timestamptz, lost text[]) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent regclass := (
		SELECT i.inhparent
		FROM pg_inherits i
			JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhrelid = relation AND c.relispartition);
	schemas text[] := ARRAY(
		SELECT DISTINCT n.nspname::text
		FROM retention._tree(relation) AS t(relid)
			JOIN pg_class c ON c.oid = t.relid
			JOIN pg_namespace n ON n.oid = c.relnamespace
		ORDER BY 1);
	places text[] := '{}';
	place text;
	statement text;
	i integer;
BEGIN
	-- somebody else may have made a schema of the name that comes first
	FOR i IN 1 .. cardinality(schemas) LOOP
		SELECT v.name INTO place
		FROM generate_series(0, 1000) AS n,
			format('retention_trash_%s%s', deletion_id,
				CASE WHEN n > 0 THEN '_' || n END) AS v(name)
		WHERE to_regnamespace(v.name) IS NULL
		ORDER BY n
		LIMIT 1;
		EXECUTE format('CREATE SCHEMA %I', place);
		-- he may look, and scrub policies go on, as he
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', place,
			(SELECT o.rolname
				FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
				WHERE c.oid = relation));
		places := places || place;
	END LOOP;

	INSERT INTO retention.parked
	SELECT _park.deletion_id, r.relation_id, _park.purge_after, places,
		schemas, parent::text,
		(SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c WHERE c.oid = relation),
		lost
	FROM retention.relation r
	WHERE r.reloid = relation;
	INSERT INTO retention.parked_key
	SELECT _park.deletion_id, k.table_name, c.oid, o.rolname, k.name,
		k.definition
	FROM retention._outer_keys(relation) k
		JOIN pg_class c ON c.oid = k.table_name::regclass
		JOIN pg_roles o ON o.oid = c.relowner;

	IF parent IS NOT NULL THEN
		EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, relation);
	END IF;
	-- a partition had keys of its parent, too, and gets them back from there
	FOR statement IN
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.table_name, k.name)
		FROM retention._outer_keys(relation) k
	LOOP
		EXECUTE statement;
	END LOOP;
	FOR statement IN
		SELECT format('ALTER TABLE %s SET SCHEMA %I', c.oid::regclass,
			places[array_position(schemas, n.nspname::text)])
		FROM retention._tree(relation) AS t(relid)
			JOIN pg_class c ON c.oid = t.relid
			JOIN pg_namespace n ON n.oid = c.relnamespace
	LOOP
		EXECUTE statement;
	END LOOP;
	FOR statement IN
		SELECT format('ALTER STATISTICS %I.%I SET SCHEMA %I', n.nspname,
			x.stxname, places[array_position(schemas, n.nspname::text)])
		FROM pg_statistic_ext x
			JOIN pg_namespace n ON n.oid = x.stxnamespace
		WHERE x.stxrelid IN (SELECT * FROM retention._tree(relation))
			AND n.nspname = ANY (schemas)
	LOOP
		EXECUTE statement;
	END LOOP;
	UPDATE retention.relation r
	SET name = retention._qualified_name(r.reloid)
	WHERE r.reloid IN (SELECT * FROM retention._tree(relation));

	PERFORM retention.pause_policy(p.name, 'the table was dropped and is in the trash')
	FROM retention.policy p
		JOIN retention.relation r USING (relation_id)
	WHERE r.reloid = relation
		AND p.state = 'active'
		AND p.action NOT IN ('keep', 'scrub');
END
$$;
COMMENT ON FUNCTION retention._park(regclass, bigint, timestamptz, text[]) IS
	'moves a table with its partitions to where dropped tables wait';

CREATE FUNCTION retention._unpark(deletion_id bigint) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parked retention.parked := (
		SELECT p FROM retention.parked p WHERE p.deletion_id = _unpark.deletion_id);
	t record;
BEGIN
	FOR t IN
		SELECT c.oid::regclass AS relation, c.relname, c.relowner,
			p.schema, to_regnamespace(quote_ident(p.schema)) AS namespace
		FROM unnest(parked.places, parked.schemas) AS p(place, schema)
			JOIN pg_class c
				ON c.relnamespace = to_regnamespace(quote_ident(p.place))
				AND c.relkind IN ('r', 'p')
	LOOP
		IF t.namespace IS NULL OR NOT has_schema_privilege(t.relowner, t.namespace, 'CREATE') THEN
			RAISE EXCEPTION USING
				ERRCODE = CASE WHEN t.namespace IS NULL THEN 'invalid_schema_name'
					ELSE 'insufficient_privilege' END,
				MESSAGE = format('table "%s" cannot be restored into schema "%s"', t.relname, t.schema),
				HINT = 'The schema must exist, and the owner of the table must have CREATE on it.';
		END IF;
		IF EXISTS (
				SELECT FROM pg_class c
				WHERE c.relnamespace = t.namespace AND c.relname = t.relname) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_table',
				MESSAGE = format('relation "%s.%s" already exists', t.schema, t.relname),
				HINT = 'Rename it, then restore again.';
		END IF;
		EXECUTE format('ALTER TABLE %s SET SCHEMA %I', t.relation, t.schema);
	END LOOP;
	FOR t IN
		SELECT x.stxname, p.place, p.schema
		FROM unnest(parked.places, parked.schemas) AS p(place, schema)
			JOIN pg_statistic_ext x
				ON x.stxnamespace = to_regnamespace(quote_ident(p.place))
	LOOP
		EXECUTE format('ALTER STATISTICS %I.%I SET SCHEMA %I', t.place,
			t.stxname, t.schema);
	END LOOP;
	PERFORM retention._forget_places(parked.places);
	UPDATE retention.relation r
	SET name = retention._qualified_name(r.reloid)
	WHERE r.reloid IN (
		SELECT retention._tree(p.reloid)
		FROM retention.relation p
		WHERE p.relation_id = parked.relation_id);
END
$$;
COMMENT ON FUNCTION retention._unpark(bigint) IS
	'moves a dropped table back to where it was';

-- Last, when the table is what it was.
CREATE FUNCTION retention._unparked(deletion_id bigint) RETURNS void
	LANGUAGE sql
BEGIN ATOMIC
	SELECT retention.resume_policy(p.name)
	FROM retention.policy p
		JOIN retention.parked k USING (relation_id)
	WHERE k.deletion_id = $1
		AND p.state = 'paused'
		AND p.reason = 'the table was dropped and is in the trash';
	DELETE FROM retention.parked_key k WHERE k.deletion_id = $1;
	DELETE FROM retention.parked p WHERE p.deletion_id = $1;
END;
COMMENT ON FUNCTION retention._unparked(bigint) IS
	'forgets that a table was dropped; its policies run again';

CREATE FUNCTION retention._forget_places(places text[]) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place text;
BEGIN
	FOREACH place IN ARRAY places LOOP
		EXECUTE format('DROP SCHEMA IF EXISTS %I', place);
	END LOOP;
END
$$;
COMMENT ON FUNCTION retention._forget_places(text[]) IS
	'drops the empty schemas that a dropped table waited in';

-- To be executed as the owner of the table, who has code in them.
CREATE FUNCTION retention._unpark_statements(deletion_id bigint)
	RETURNS TABLE (relation oid, statement text, is_key boolean,
		is_same boolean)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.reloid::oid,
		format('ALTER TABLE %s ATTACH PARTITION %s %s', p.parent, r.reloid,
			p.bound),
		false,
		true
	FROM retention.parked p
		JOIN retention.relation r USING (relation_id)
	WHERE p.deletion_id = $1
		AND p.parent IS NOT NULL
	UNION ALL
	SELECT to_regclass(k.table_name)::oid,
		format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.table_name, k.name,
			k.definition),
		true,
		coalesce(c.oid = k.table_oid AND o.rolname = k.table_owner, false)
	FROM retention.parked_key k
		LEFT JOIN pg_class c ON c.oid = to_regclass(k.table_name)
		LEFT JOIN pg_roles o ON o.oid = c.relowner
	WHERE k.deletion_id = $1;
END;
COMMENT ON FUNCTION retention._unpark_statements(bigint) IS
	'what makes a dropped table that was moved back what it was: its place among partitions, its foreign keys';
