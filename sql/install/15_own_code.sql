-- Reports over the catalogs that the library asks for. Not granted to anybody.

CREATE FUNCTION retention._foreign_code(relation regclass) RETURNS text
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	WITH tables AS (
		-- TRIGGER can be granted on the table itself only
		SELECT c.oid, c.relowner, c.relacl
		FROM pg_catalog.pg_class c
		WHERE c.oid = $1
	),
	domains AS (
		SELECT a.atttypid AS oid
		FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = $1
			AND a.attnum > 0
			AND t.typtype = 'd'
	),
	members AS (
		-- what hangs on the table and calls functions
		SELECT d.classid, d.objid
		FROM pg_catalog.pg_depend d
		WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
			AND d.refobjid = $1
			AND d.classid IN (
				'pg_catalog.pg_class'::regclass,
				'pg_catalog.pg_constraint'::regclass,
				'pg_catalog.pg_trigger'::regclass,
				'pg_catalog.pg_attrdef'::regclass,
				'pg_catalog.pg_policy'::regclass,
				'pg_catalog.pg_statistic_ext'::regclass)
		UNION ALL
		SELECT 'pg_catalog.pg_constraint'::regclass, c.oid
		FROM pg_catalog.pg_constraint c
			JOIN domains d ON d.oid = c.contypid
	),
	findings AS (
		SELECT 1 AS rank, format('role "%s" holds TRIGGER on it',
			coalesce(r.rolname, 'public')) AS finding
		FROM tables t
			CROSS JOIN LATERAL aclexplode(t.relacl) a
			LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
		WHERE a.privilege_type = 'TRIGGER'
			AND a.grantee <> t.relowner
			AND NOT coalesce(r.rolsuper, false)
		UNION ALL
		SELECT 2, format('its %s calls function %s of role "%s"',
			CASE m.classid
				WHEN 'pg_catalog.pg_trigger'::regclass THEN 'trigger'
				WHEN 'pg_catalog.pg_class'::regclass THEN 'index'
				WHEN 'pg_catalog.pg_policy'::regclass THEN 'row security policy'
				ELSE 'definition'
			END, p.oid::regprocedure, r.rolname)
		FROM members m
			JOIN pg_catalog.pg_depend d
				ON (d.classid, d.objid) = (m.classid, m.objid)
				AND d.refclassid = 'pg_catalog.pg_proc'::regclass
			JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
			JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
		WHERE NOT r.rolsuper
	)
	SELECT f.finding
	FROM findings f
	ORDER BY f.rank, f.finding
	LIMIT 1;
END;
COMMENT ON FUNCTION retention._foreign_code(regclass) IS
	'code that a DELETE on this table would run and that a role without superuser can write';

-- Takes over what was restored from another database: relations that are not
-- here any more are forgotten, and policies wait until somebody looked at
-- them. Row by row, for a restore may still be going on. Returns how many
-- policies were paused.
CREATE FUNCTION retention._adopt(ours text) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	paused bigint;
BEGIN
	LOCK TABLE retention.policy, retention.relation
		IN SHARE ROW EXCLUSIVE MODE;

	UPDATE retention.relation r
	SET identity = ours,
		reloid = (
			SELECT c.oid
			FROM pg_class c
				JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.oid = r.reloid
				AND format('%I.%I', n.nspname, c.relname) = r.name)
	WHERE r.identity <> ours;

	-- a dump leaves out dropped columns, so the others are numbered anew
	UPDATE retention.shape s
	SET identity = ours,
		column_nums = (
			SELECT coalesce(array_agg(CASE WHEN c.num = 0 THEN 0::int2
				ELSE coalesce(a.attnum, 0::int2) END ORDER BY c.n), '{}')
			FROM unnest(s.column_nums, s.column_names)
					WITH ORDINALITY AS c(num, name, n)
				LEFT JOIN pg_attribute a ON a.attrelid = r.reloid
					AND a.attname = c.name AND NOT a.attisdropped)
	FROM retention.relation r
	WHERE s.identity <> ours
		AND r.relation_id = s.relation_id;

	UPDATE retention.pii_tag t
	SET identity = ours,
		column_num = coalesce((
			SELECT a.attnum
			FROM retention.relation r
				JOIN pg_attribute a ON a.attrelid = r.reloid
			WHERE r.relation_id = t.relation_id
				AND a.attname = t.column_name
				AND NOT a.attisdropped), 0)
	WHERE t.identity <> ours;

	UPDATE retention.subject_link l
	SET identity = ours,
		column_num = coalesce((
			SELECT a.attnum
			FROM retention.relation r
				JOIN pg_attribute a ON a.attrelid = r.reloid
			WHERE r.relation_id = l.relation_id
				AND a.attname = l.column_name
				AND NOT a.attisdropped), 0)
	WHERE l.identity <> ours;

	WITH adopted AS (
	UPDATE retention.policy p
	SET identity = ours,
		version = p.version + 1,
		state = CASE WHEN p.action = 'keep' THEN p.state ELSE 'paused' END,
		reason = CASE WHEN p.action = 'keep' THEN p.reason
			ELSE 'restored from another database; check it, then call resume_policy' END,
		cron = NULL,
		cron_job = NULL,
		depends = NULL,
		owner_oid = coalesce(
			(SELECT o.oid FROM pg_roles o WHERE o.rolname = p.owner), 0),
		column_nums = coalesce((
			SELECT array_agg(coalesce(a.attnum, 0) ORDER BY c.n)
			FROM unnest(p.column_names) WITH ORDINALITY AS c(name, n)
				LEFT JOIN pg_attribute a ON a.attrelid = r.reloid
					AND a.attname = c.name AND NOT a.attisdropped), '{}')
	FROM retention.relation r
	WHERE p.identity <> ours
		AND r.relation_id = p.relation_id
	RETURNING p.*
	)
	INSERT INTO retention.policy_change (policy_id, relation_id, policy,
		version, operation, changed_at, changed_by, new)
	SELECT p.policy_id, p.relation_id, p.name, p.version, 'restore',
		retention._now(), session_user,
		to_jsonb(p) - ARRAY['next_run', 'failures', 'identity']
	FROM adopted p;
	GET DIAGNOSTICS paused = ROW_COUNT;
	RETURN paused;
END
$$;
COMMENT ON FUNCTION retention._adopt(text) IS
	'pauses the policies that were restored from another database';

-- The foreign keys that point at a table. A partition has its own copies of
-- the keys that point at its parent; of a key from a partitioned table only
-- the topmost row is listed, which covers the partitions.
CREATE FUNCTION retention._foreign_keys_to(relation regclass)
	RETURNS TABLE (name text, child regclass, child_owner oid,
		delete_action text, parent_columns text[], child_columns text[],
		operators text[])
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT c.conname::text,
		c.conrelid::regclass,
		t.relowner,
		c.confdeltype::text,
		(SELECT array_agg(a.attname::text ORDER BY k.n)
			FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, n)
				JOIN pg_catalog.pg_attribute a
					ON a.attrelid = c.confrelid AND a.attnum = k.attnum),
		(SELECT array_agg(a.attname::text ORDER BY k.n)
			FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, n)
				JOIN pg_catalog.pg_attribute a
					ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
		(SELECT array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname)
				ORDER BY k.n)
			FROM unnest(c.conpfeqop) WITH ORDINALITY AS k(operator, n)
				JOIN pg_catalog.pg_operator o ON o.oid = k.operator
				JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace)
	FROM pg_catalog.pg_constraint c
		JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
	WHERE c.contype = 'f'
		AND c.confrelid = $1
		-- from PostgreSQL 18 on there are keys that are not enforced
		AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
		AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_constraint p
			WHERE p.oid = c.conparentid AND p.confrelid = c.confrelid)
	ORDER BY c.conname, c.oid;
END;
COMMENT ON FUNCTION retention._foreign_keys_to(regclass) IS
	'the foreign keys that point at a table';

-- What goes or changes with the rows of a table, at any depth: by CASCADE (c),
-- SET NULL (n) or SET DEFAULT (d).
CREATE FUNCTION retention._cascade_edges(relation regclass)
	RETURNS TABLE (child regclass, edge text, delete_action text)
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	WITH RECURSIVE reached(relid) AS (
		SELECT $1::oid
		UNION
		SELECT e.target
		FROM reached
			JOIN (
				SELECT i.inhparent AS source, i.inhrelid AS target
				FROM pg_catalog.pg_inherits i
				UNION ALL
				SELECT c.confrelid, c.conrelid
				FROM pg_catalog.pg_constraint c
				WHERE c.contype = 'f' AND c.confdeltype = 'c') e
				ON e.source = reached.relid
	)
	SELECT DISTINCT c.conrelid::regclass,
		format('%I.%I (%s)', n.nspname, t.relname,
			(SELECT string_agg(format('%I', a.attname), ', ' ORDER BY k.n)
				FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, n)
					JOIN pg_catalog.pg_attribute a
						ON a.attrelid = c.conrelid AND a.attnum = k.attnum)),
		c.confdeltype::text
	FROM pg_catalog.pg_constraint c
		JOIN reached ON reached.relid = c.confrelid
		JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
	WHERE c.contype = 'f'
		AND c.confdeltype IN ('c', 'n', 'd')
		AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
		AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_constraint p
			WHERE p.oid = c.conparentid AND p.conrelid <> c.conrelid);
END;
COMMENT ON FUNCTION retention._cascade_edges(regclass) IS
	'what goes or changes with the rows of a table by its foreign keys, at any depth';

CREATE FUNCTION retention._missing_consent(relation regclass) RETURNS text
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT min(format('%I.%I', n.nspname, t.relname))
	FROM retention._cascade_edges($1) e
		JOIN pg_catalog.pg_class t ON t.oid = e.child
		JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
		JOIN pg_catalog.pg_class parent ON parent.oid = $1
		JOIN pg_catalog.pg_roles o ON o.oid = t.relowner
	WHERE e.delete_action = 'c'
		AND t.relowner <> parent.relowner
		AND NOT EXISTS (
			SELECT
			FROM retention.consent s
				JOIN retention.relation cr ON cr.relation_id = s.child_id
				JOIN retention.relation pr ON pr.relation_id = s.parent_id
			WHERE cr.reloid = e.child
				AND pr.reloid = $1
				AND s.consented_by = o.rolname);
END;
COMMENT ON FUNCTION retention._missing_consent(regclass) IS
	'a table of another owner whose rows would go by cascade without his consent';

-- Bound to pgcrypto wherever that was installed.
DO $$
BEGIN
	EXECUTE format($f$
		CREATE FUNCTION retention._random_key() RETURNS bytea
			LANGUAGE sql VOLATILE
		BEGIN ATOMIC
			SELECT %I.gen_random_bytes(16);
		END $f$,
		(SELECT n.nspname
			FROM pg_extension e
				JOIN pg_namespace n ON n.oid = e.extnamespace
			WHERE e.extname = 'pgcrypto'));
END
$$;
COMMENT ON FUNCTION retention._random_key() IS
	'a fresh secret of 16 bytes from pgcrypto';

CREATE FUNCTION retention._is_published(relation regclass) RETURNS boolean
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	WITH RECURSIVE line(relid) AS (
		SELECT $1::oid
		UNION
		SELECT i.inhparent
		FROM line
			JOIN pg_catalog.pg_inherits i ON i.inhrelid = line.relid
	)
	-- the view is slow, and most databases publish nothing
	SELECT EXISTS (SELECT FROM pg_catalog.pg_publication) AND EXISTS (
		SELECT
		FROM line
			JOIN pg_catalog.pg_class c ON c.oid = line.relid
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_catalog.pg_publication_tables t
				ON (t.schemaname, t.tablename) = (n.nspname, c.relname));
END;
COMMENT ON FUNCTION retention._is_published(regclass) IS
	'whether a table, or what it is a partition of, is in a publication';

-- A relation that was dropped is forgotten soon, long before its OID can be
-- that of another.
CREATE FUNCTION retention._forget_dropped() RETURNS void
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE retention.relation r
	SET reloid = NULL
	WHERE r.reloid IS NOT NULL
		AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_class c WHERE c.oid = r.reloid);
END;
COMMENT ON FUNCTION retention._forget_dropped() IS
	'forgets the OIDs of relations that were dropped';
