-- The trash: what a DBA and an application call.

CREATE FUNCTION retention.enable_trash(
	relation regclass, keep interval DEFAULT '30 days',
	on_capture_error text DEFAULT 'block')
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_enable_trash';
COMMENT ON FUNCTION retention.enable_trash(regclass, interval, text) IS
	'from now on rows deleted from this table wait in the trash this long; a row that cannot be kept blocks its deletion, or (allow) goes with a record of the gap; called again, changes both';

CREATE FUNCTION retention.disable_trash(relation regclass)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_disable_trash';
COMMENT ON FUNCTION retention.disable_trash(regclass) IS
	'from now on rows deleted from this table are gone; what is in the trash stays there until its time';

CREATE FUNCTION retention._capture()
	RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'retention_capture';
COMMENT ON FUNCTION retention._capture() IS
	'puts the rows that a statement deleted into the trash; made a trigger by enable_trash';

CREATE FUNCTION retention._capture_links()
	RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'retention_capture_links';
COMMENT ON FUNCTION retention._capture_links() IS
	'notes the references that ON DELETE SET NULL and SET DEFAULT take away; made a trigger by enable_trash';

CREATE FUNCTION retention._capture_move()
	RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'retention_capture_move';
COMMENT ON FUNCTION retention._capture_move() IS
	'notes the rows that only moved to another partition; made a trigger by enable_trash';

CREATE FUNCTION retention._is_moved(relation oid, place tid) RETURNS boolean
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'retention_is_moved';
COMMENT ON FUNCTION retention._is_moved(oid, tid) IS
	'whether the row that was deleted at this place has moved to another partition';

-- Triggers where the trash is enabled, partitions that came later included,
-- and nowhere else; names of columns as they are now. Triggers that somebody
-- has disabled stay so, but on the table that is enabled.
CREATE FUNCTION retention._trash_follow(enabled regclass DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '100ms'
AS $$
DECLARE
	statement text;
BEGIN
	FOR statement IN
		WITH tables AS (
			SELECT r.reloid::oid AS relid
			FROM retention.trash_table t
				JOIN retention.relation r USING (relation_id)
			WHERE r.identity = retention._identity()
			UNION
			SELECT p.relid
			FROM retention.trash_table t
				JOIN retention.relation r USING (relation_id)
				CROSS JOIN LATERAL pg_partition_tree(r.reloid) p
			WHERE r.identity = retention._identity()
		),
		wanted AS (
			SELECT c.oid, v.name, v.event
			FROM tables
				JOIN pg_class c ON c.oid = tables.relid
					AND c.relkind IN ('r', 'p')
				CROSS JOIN (VALUES
					('retention_trash',
						'AFTER DELETE ON %s REFERENCING OLD TABLE AS deleted'
						' FOR EACH STATEMENT EXECUTE FUNCTION retention._capture()'),
					('retention_trash_truncate',
						'BEFORE TRUNCATE ON %s'
						' FOR EACH STATEMENT EXECUTE FUNCTION retention._capture()'),
					('A_retention_links',
						'AFTER DELETE ON %s'
						' FOR EACH ROW EXECUTE FUNCTION retention._capture_links()'),
					('retention_trash_move',
						'AFTER DELETE ON %s FOR EACH ROW'
						' WHEN (retention._is_moved(OLD.tableoid, OLD.ctid))'
						' EXECUTE FUNCTION retention._capture_move()')
					) AS v(name, event)
			-- for each row only where it must be; of a partitioned table the
			-- partitions have such triggers by themselves
			WHERE CASE v.name
				WHEN 'A_retention_links' THEN NOT c.relispartition
					AND EXISTS (
						SELECT FROM pg_constraint f
						WHERE f.confrelid = c.oid
							AND f.contype = 'f'
							AND f.confdeltype IN ('n', 'd'))
				WHEN 'retention_trash_move' THEN NOT c.relispartition
					AND c.relkind = 'p'
				ELSE true
			END
		),
		present AS (
			SELECT t.tgrelid AS oid, t.tgname::text AS name, t.tgenabled
			FROM pg_trigger t
			WHERE t.tgfoid IN ('retention._capture'::regproc,
					'retention._capture_links'::regproc,
					'retention._capture_move'::regproc)
				AND t.tgparentid = 0
		)
		SELECT format('CREATE TRIGGER %I ' || w.event,
				w.name, w.oid::regclass)
		FROM wanted w
		WHERE (w.oid, w.name) NOT IN (SELECT p.oid, p.name FROM present p)
		UNION ALL
		SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I',
				w.oid::regclass, w.name)
		FROM wanted w
		WHERE (w.oid, w.name) NOT IN (SELECT p.oid, p.name FROM present p)
		UNION ALL
		SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I',
				w.oid::regclass, w.name)
		FROM wanted w
			JOIN present p USING (oid, name)
		WHERE p.tgenabled <> 'A'
			AND (w.oid = enabled
				OR w.oid IN (SELECT t.relid FROM pg_partition_tree(enabled) t))
		UNION ALL
		SELECT format('DROP TRIGGER %I ON %s', p.name, p.oid::regclass)
		FROM present p
		WHERE (p.oid, p.name) NOT IN (SELECT w.oid, w.name FROM wanted w)
	LOOP
		-- a table that somebody has locked or spoilt is no reason for the
		-- command of another one to fail or to wait; health tells of it
		BEGIN
			EXECUTE statement;
		EXCEPTION WHEN OTHERS THEN
			RAISE LOG 'retention: % failed: %', statement, sqlerrm;
		END;
	END LOOP;

	WITH present AS (
		SELECT s.shape_id, n.nums, n.names
		FROM retention.shape s
			JOIN retention.relation r USING (relation_id)
			CROSS JOIN LATERAL (
				SELECT coalesce(array_agg(coalesce(a.attnum, 0::int2) ORDER BY c.n), '{}'),
					coalesce(array_agg(coalesce(a.attname::text, c.name) ORDER BY c.n), '{}')
				FROM unnest(s.column_nums, s.column_names)
						WITH ORDINALITY AS c(num, name, n)
					LEFT JOIN pg_attribute a ON a.attrelid = r.reloid
						AND a.attnum = c.num
						AND NOT a.attisdropped) AS n(nums, names)
		WHERE r.reloid IS NOT NULL
			AND r.identity = retention._identity()
			AND r.identity = retention._identity()
			AND s.identity = r.identity
	)
	UPDATE retention.shape s
	SET column_nums = p.nums,
		column_names = p.names
	FROM present p
	WHERE p.shape_id = s.shape_id
		AND (s.column_nums, s.column_names) IS DISTINCT FROM (p.nums, p.names);
END
$$;
COMMENT ON FUNCTION retention._trash_follow(regclass) IS
	'brings triggers and column names of the trash in line with the tables';

CREATE FUNCTION retention._trash_on_ddl() RETURNS event_trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_trash_on_ddl';
COMMENT ON FUNCTION retention._trash_on_ddl() IS
	'follows changes of tables, so that new partitions have the trash of their table';

CREATE EVENT TRIGGER retention_trash ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
	EXECUTE FUNCTION retention._trash_on_ddl();
ALTER EVENT TRIGGER retention_trash ENABLE ALWAYS;

-- A table for each day on which something that is deleted now, or in the next
-- days, will be purged.
CREATE FUNCTION retention._trash_make_days() RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET TimeZone = 'UTC'
AS $$
DECLARE
	day date;
BEGIN
	FOR day IN
		SELECT DISTINCT (retention._now() + t.keep)::date + n
		FROM retention.trash_table t
			JOIN retention.relation r USING (relation_id)
			CROSS JOIN generate_series(0, 7) n
		WHERE r.reloid IS NOT NULL
		ORDER BY 1
	LOOP
		CONTINUE WHEN to_regclass('retention.trash_'
			|| to_char(day, 'YYYYMMDD')) IS NOT NULL;
		-- a worker and enable_trash() may both be at it
		BEGIN
			EXECUTE format(
				'CREATE TABLE retention.%1$I (CHECK (purge_after >= %2$L'
				' AND purge_after < %3$L)) INHERITS (retention.trash_chunk)'
				' WITH (toast_tuple_target = 8160)',
				'trash_' || to_char(day, 'YYYYMMDD'),
				day::timestamptz, (day + 1)::timestamptz);
			EXECUTE format('CREATE INDEX ON retention.%I (deletion_id, first)',
				'trash_' || to_char(day, 'YYYYMMDD'));
		EXCEPTION WHEN duplicate_table OR unique_violation THEN
			NULL;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION retention._trash_make_days() IS
	'makes the tables of the days ahead';

-- What the view is made of: both by the caller's rights on the table.

CREATE FUNCTION retention._trash_sees(chunks oid, place tid, n integer)
	RETURNS boolean
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'retention_trash_sees';
COMMENT ON FUNCTION retention._trash_sees(oid, tid, integer) IS
	'whether the caller could have read this row in the table';

CREATE FUNCTION retention._trash_data(chunks oid, place tid, n integer)
	RETURNS jsonb
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'retention_trash_data';
COMMENT ON FUNCTION retention._trash_data(oid, tid, integer) IS
	'the columns of this row that the caller could have read in the table';

CREATE VIEW retention.trash WITH (security_barrier) AS
SELECT c.deletion_id * 1000000 + c.first + n AS trash_id,
	coalesce(d.parent_id, d.deletion_id) AS deletion_id,
	t.oid::regclass AS relation,
	d.happened_at AS deleted_at,
	d.actor AS deleted_by,
	d.application,
	d.reason,
	c.purge_after,
	retention._trash_data(c.tableoid, c.ctid, n) AS row_data,
	r.name AS relation_name,
	d.leaf
FROM retention.trash_chunk c
	JOIN retention.deletion d USING (deletion_id)
	JOIN retention.relation r ON r.relation_id = c.relation_id
	LEFT JOIN pg_class t ON t.oid = r.reloid
	CROSS JOIN generate_series(0, c.rows - 1) n
WHERE NOT c.is_link
	AND c.purge_after > retention._now()
	AND retention._trash_sees(c.tableoid, c.ctid, n)
UNION ALL
-- a dropped table is one entry; its rows are where it waits
SELECT p.deletion_id * 1000000,
	coalesce(d.parent_id, d.deletion_id),
	t.oid::regclass,
	d.happened_at,
	d.actor,
	d.application,
	d.reason,
	p.purge_after,
	NULL,
	r.name,
	d.leaf
FROM retention.parked p
	JOIN retention.deletion d USING (deletion_id)
	JOIN retention.relation r ON r.relation_id = p.relation_id
	LEFT JOIN pg_class t ON t.oid = r.reloid
WHERE p.purge_after > retention._now()
	AND retention._sees(t.oid);
COMMENT ON VIEW retention.trash IS
	'the rows in the trash that the caller could have read in their table, and the dropped tables (row_data is NULL) that he may look at; row_data is decoded when it is asked for';

CREATE FUNCTION retention.trash_rows(anyelement)
	RETURNS SETOF anyelement LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'retention_trash_rows';
COMMENT ON FUNCTION retention.trash_rows(anyelement) IS
	'the rows of a table in the trash that the caller could have read in the table, with the table''s own columns: trash_rows(NULL::orders)';

-- Restore.

CREATE FUNCTION retention.restore(trash_id bigint,
		on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false,
		OUT row_id bigint, OUT relation regclass, OUT verdict text,
		OUT detail text)
	RETURNS SETOF record LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'retention_restore';
COMMENT ON FUNCTION retention.restore(bigint, text, boolean) IS
	'brings one row back from the trash; on_conflict with a present row: error, skip, or replace (that one goes to the trash); dry_run only tells the verdict';

CREATE FUNCTION retention.restore_deletion(deletion_id bigint,
		on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false)
	RETURNS TABLE (row_id bigint, relation regclass, verdict text,
		detail text)
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'retention_restore_deletion';
COMMENT ON FUNCTION retention.restore_deletion(bigint, text, boolean) IS
	'brings back all that one command removed, cascades included; on_conflict with present rows: error (all of them are told), skip, or replace (those go to the trash); dry_run only tells the verdicts';

CREATE FUNCTION retention._restoring(anyelement)
	RETURNS SETOF anyelement LANGUAGE c
	AS 'MODULE_PATHNAME', 'retention_restoring';
COMMENT ON FUNCTION retention._restoring(anyelement) IS
	'the rows that this session restores just now; nothing otherwise';

CREATE FUNCTION retention._is_restored(VARIADIC key "any") RETURNS boolean
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'retention_is_restored';
COMMENT ON FUNCTION retention._is_restored("any") IS
	'whether the row with this key was restored so lately that the policy that asks leaves it';

-- Unique indexes and exclusion constraints, as text to compare rows by.
CREATE FUNCTION retention._unique_indexes(relation regclass)
	RETURNS TABLE (name text, is_primary boolean, expressions text[],
		operators text[], predicate text, nulls_equal boolean)
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT i.indexrelid::regclass::text,
		i.indisprimary,
		(SELECT array_agg(pg_catalog.pg_get_indexdef(i.indexrelid, n, false)
				ORDER BY n)
			FROM generate_series(1, i.indnkeyatts) n),
		(SELECT array_agg(format('OPERATOR(%I.%s)', s.nspname, o.oprname)
				ORDER BY n)
			FROM generate_series(1, i.indnkeyatts) n
				JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[n - 1]
				LEFT JOIN pg_catalog.pg_amop a
					ON c.conexclop IS NULL
					AND a.amopfamily = oc.opcfamily
					AND a.amoplefttype = oc.opcintype
					AND a.amoprighttype = oc.opcintype
					AND a.amopstrategy = 3
				JOIN pg_catalog.pg_operator o
					ON o.oid = coalesce(c.conexclop[n], a.amopopr)
				JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace),
		pg_catalog.pg_get_expr(i.indpred, i.indrelid),
		coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
	FROM pg_catalog.pg_index i
		LEFT JOIN pg_catalog.pg_constraint c
			ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')
			AND c.conrelid = i.indrelid
	WHERE i.indrelid = $1
		AND (i.indisunique OR i.indisexclusion)
		AND i.indisvalid;
END;
COMMENT ON FUNCTION retention._unique_indexes(regclass) IS
	'what makes a row of this table conflict with another one';

-- One UPDATE for each foreign key of a child that sets something.
CREATE FUNCTION retention._relink_statements(child regclass)
	RETURNS SETOF text
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH key AS (
		SELECT coalesce(
			(SELECT string_agg(format('c.%1$s %2$s r.%1$s', e.expression,
					u.operators[e.n]), ' AND ')
				FROM retention._unique_indexes($1) u
					CROSS JOIN unnest(u.expressions)
						WITH ORDINALITY AS e(expression, n)
				WHERE u.is_primary),
			(SELECT format('ROW(%s)::record *= ROW(%s)::record',
					string_agg('c.' || quote_ident(a.attname), ', ' ORDER BY a.attnum),
					string_agg('r.' || quote_ident(a.attname), ', ' ORDER BY a.attnum))
				FROM pg_catalog.pg_attribute a
				WHERE a.attrelid = $1 AND a.attnum > 0
					AND NOT a.attisdropped
					AND NOT EXISTS (
						SELECT FROM pg_catalog.pg_constraint f
						WHERE f.conrelid = $1 AND f.contype = 'f'
							AND f.confdeltype IN ('n', 'd')
							AND a.attnum = ANY (f.conkey)))) AS condition
	)
	SELECT format('UPDATE %s AS c SET %s FROM retention._restoring(NULL::%s) AS r'
			' WHERE %s AND %s AND EXISTS (SELECT FROM %s AS p WHERE %s)',
		$1,
		string_agg(format('%1$s = r.%1$s', quote_ident(a.attname)), ', ' ORDER BY k.n),
		$1,
		key.condition,
		string_agg(format('r.%1$s IS NOT NULL'
			' AND ROW(c.%1$s)::record *= ROW(%2$s)::record',
			quote_ident(a.attname),
			CASE
				WHEN coalesce(NOT a.attnum = ANY (f.confdelsetcols), false)
					THEN 'r.' || quote_ident(a.attname)
				WHEN f.confdeltype = 'd' AND d.adbin IS NOT NULL
					THEN format('CAST(%s AS %s)',
						pg_catalog.pg_get_expr(d.adbin, d.adrelid),
						format_type(a.atttypid, a.atttypmod))
				ELSE format('CAST(NULL AS %s)',
					format_type(a.atttypid, a.atttypmod))
			END), ' AND ' ORDER BY k.n),
		f.confrelid::regclass,
		string_agg(format('p.%s OPERATOR(%I.%s) r.%s', quote_ident(pa.attname),
			s.nspname, o.oprname, quote_ident(a.attname)), ' AND ' ORDER BY k.n))
	FROM key
		CROSS JOIN pg_catalog.pg_constraint f
		CROSS JOIN unnest(f.conkey, f.confkey, f.conpfeqop)
			WITH ORDINALITY AS k(child_num, parent_num, operator, n)
		JOIN pg_catalog.pg_attribute a
			ON a.attrelid = f.conrelid AND a.attnum = k.child_num
		JOIN pg_catalog.pg_attribute pa
			ON pa.attrelid = f.confrelid AND pa.attnum = k.parent_num
		JOIN pg_catalog.pg_operator o ON o.oid = k.operator
		JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
		LEFT JOIN pg_catalog.pg_attrdef d
			ON d.adrelid = f.conrelid AND d.adnum = k.child_num
	WHERE f.conrelid = $1
		AND f.contype = 'f'
		AND f.confdeltype IN ('n', 'd')
		-- a key to a partitioned table has a row for each of its partitions
		AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_constraint t
			WHERE t.oid = f.conparentid AND t.conrelid = f.conrelid)
	GROUP BY f.oid, f.confrelid, f.confdeltype, key.condition;
END;
COMMENT ON FUNCTION retention._relink_statements(regclass) IS
	'the statements that put back the references of a child which ON DELETE SET NULL or SET DEFAULT took away';

-- Purge.

CREATE FUNCTION retention.purge_trash(relation regclass DEFAULT NULL,
		deleted_before timestamptz DEFAULT NULL,
		trash_ids bigint[] DEFAULT NULL)
	RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'retention_purge_trash';
COMMENT ON FUNCTION retention.purge_trash(regclass, timestamptz, bigint[]) IS
	'removes from the trash what meets all conditions that are given, without waiting for its time; without any condition what is past its time; returns how many rows';

CREATE FUNCTION retention._trash_days()
	RETURNS TABLE (name text, day_end timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT c.relname::text,
		(to_date(substr(c.relname, 7), 'YYYYMMDD') + 1)::timestamp
			AT TIME ZONE 'UTC'
	FROM pg_catalog.pg_inherits i
		JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'retention.trash_chunk'::regclass
		-- a restore that is still going on makes the indexes last
		AND EXISTS (
			SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid);
END;
COMMENT ON FUNCTION retention._trash_days() IS
	'the tables of the trash by day of purge';

CREATE FUNCTION retention._trash_next() RETURNS timestamptz
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT least(
		(SELECT min(d.day_end) FROM retention._trash_days() d),
		(SELECT min(c.purge_after) FROM ONLY retention.trash_chunk c),
		(SELECT min(p.purge_after) FROM retention.parked p),
		-- the tables of the days ahead
		(SELECT date_trunc('day', retention._now(), 'UTC') + interval '1 day'
			WHERE EXISTS (SELECT FROM retention.trash_table)));
END;
COMMENT ON FUNCTION retention._trash_next() IS
	'when something is to be done in the trash next';
