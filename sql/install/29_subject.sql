-- Persons: which tables hold their keys, and the erasure of one of them.

CREATE FUNCTION retention.link_subject(subject text, relation regclass,
		column_name text)
	RETURNS void LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'retention_link_subject';
COMMENT ON FUNCTION retention.link_subject(text, regclass, text) IS
	'says that this column holds the key of a kind of persons, such as customers; once for each table that is not reached from such a table by foreign keys';

CREATE FUNCTION retention.unlink_subject(subject text, relation regclass)
	RETURNS void LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'retention_unlink_subject';
COMMENT ON FUNCTION retention.unlink_subject(text, regclass) IS
	'takes back link_subject()';

CREATE FUNCTION retention.erase_subject(subject text, key text, reason text,
		dry_run boolean DEFAULT false)
	RETURNS TABLE (relation regclass, in_trash boolean, erased bigint,
		kept bigint, verdict text, detail text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_erase_subject';
COMMENT ON FUNCTION retention.erase_subject(text, text, text, boolean) IS
	'scrubs now what is tagged about the person with this key, in all tables that links and foreign keys lead to and in their trash; tells for each table how many rows, which are kept, and which tagged tables nothing leads to; dry_run only tells';

CREATE FUNCTION retention._subject_key() RETURNS text
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'retention_subject_key';
COMMENT ON FUNCTION retention._subject_key() IS
	'the key of the person that this session erases just now';

-- The rows of a table, with those in its trash.
CREATE FUNCTION retention._with_trash(relation regclass) RETURNS text
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN EXISTS (
			SELECT
			FROM retention.deletion d
				JOIN retention.relation r USING (relation_id)
			WHERE r.reloid = $1 AND d.action = 'trash')
		THEN format('(SELECT t.* FROM %1$s AS t UNION ALL SELECT t.* FROM retention.trash_rows(NULL::%1$s) AS t)', $1)
		ELSE $1::text
	END;
END;
COMMENT ON FUNCTION retention._with_trash(regclass) IS
	'a table and its rows in the trash, as SQL';

-- How values of a type are equal: as its index says.
CREATE FUNCTION retention._equality(type oid) RETURNS text
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT coalesce((
		SELECT format('%I.%s', n.nspname, o.oprname)
		FROM pg_catalog.pg_opclass c
			JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
			JOIN pg_catalog.pg_amop a ON a.amopfamily = c.opcfamily
				AND a.amoplefttype = c.opcintype
				AND a.amoprighttype = c.opcintype
				AND a.amopstrategy = 3
			JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
			JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
		WHERE c.opcintype = retention._base_type($1)
			AND c.opcdefault), 'pg_catalog.=');
END;
COMMENT ON FUNCTION retention._equality(oid) IS
	'the operator by which values of a type are equal, with its schema';

-- The foreign keys from one table to another of an owner (NULL: of anybody),
-- partitions left out, as a condition over their rows c (the one that refers)
-- and p.
CREATE FUNCTION retention._references(owner oid)
	RETURNS TABLE (child regclass, parent regclass, condition text)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT DISTINCT coalesce(pg_partition_root(f.conrelid), f.conrelid)::regclass,
		coalesce(pg_partition_root(f.confrelid), f.confrelid)::regclass,
		(SELECT string_agg(format('p.%I OPERATOR(%I.%s) c.%I', pa.attname,
				s.nspname, o.oprname, ca.attname), ' AND ' ORDER BY k.n)
			FROM unnest(f.conkey, f.confkey, f.conpfeqop)
					WITH ORDINALITY AS k(child_num, parent_num, operator, n)
				JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child_num
				JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent_num
				JOIN pg_operator o ON o.oid = k.operator
				JOIN pg_namespace s ON s.oid = o.oprnamespace)
	FROM pg_constraint f
		JOIN pg_class x ON x.oid = f.conrelid
		JOIN pg_class y ON y.oid = f.confrelid
	WHERE f.contype = 'f'
		AND ($1 IS NULL OR (x.relowner = $1 AND y.relowner = $1));
END;
COMMENT ON FUNCTION retention._references(oid) IS
	'which tables refer to which, and how';

-- Where a person's rows are, among the tables of one owner: of each table with
-- tags, those of them that are his, as a condition over the row r; NULL when
-- nothing leads there. Tables of others are not looked at: what runs here runs
-- as the owner, and nobody else's link may lead to his rows.
--
-- From a table with the key to those that refer to it, step by step; never to
-- another table with keys of such persons, whose rows are others'. Then to
-- what the rows with the key refer to, such as an address, where nobody else
-- refers to it. Those that refer to others come first.
CREATE FUNCTION retention._subject_reach(subject text, owner oid)
	RETURNS TABLE (relation regclass, condition text)
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	reached jsonb := '{}';      -- oid: {depth, condition}
	wider jsonb;
	level integer;
	e record;
BEGIN
	SELECT coalesce(jsonb_object_agg(r.reloid::oid, jsonb_build_object('depth', 0,
			'condition', format('r.%I OPERATOR(%s) CAST(retention._subject_key() AS %s)',
				a.attname, retention._equality(a.atttypid),
				format_type(retention._base_type(a.atttypid), -1)))), '{}')
	INTO reached
	FROM retention.subject_link l
		JOIN retention.relation r USING (relation_id)
		JOIN pg_class c ON c.oid = r.reloid AND c.relowner = _subject_reach.owner
		JOIN pg_attribute a ON a.attrelid = r.reloid
			AND a.attnum = l.column_num
			AND NOT a.attisdropped
	WHERE l.subject = _subject_reach.subject
		AND l.identity = retention._identity();

	FOR level IN 1 .. 6 LOOP
		wider := reached;
		FOR e IN
			SELECT f.child::oid AS child,
				string_agg(DISTINCT format(
					'EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS p, (SELECT r.*) AS c WHERE %s)',
					retention._with_trash(f.parent),
					reached -> f.parent::oid::text ->> 'condition', f.condition), ' OR ') AS condition
			FROM retention._references(_subject_reach.owner) f
			WHERE reached ? f.parent::oid::text
				AND NOT reached ? f.child::oid::text
			GROUP BY f.child
		LOOP
			wider := wider || jsonb_build_object(e.child,
				jsonb_build_object('depth', level, 'condition', e.condition));
		END LOOP;
		EXIT WHEN wider = reached;
		reached := wider;
	END LOOP;

	-- paths over tables that were not there yet
	wider := reached;
	FOR e IN
		SELECT f.child::oid AS child,
			string_agg(DISTINCT format(
				'EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS p, (SELECT r.*) AS c WHERE %s)',
				retention._with_trash(f.parent),
				reached -> f.parent::oid::text ->> 'condition', f.condition), ' OR ') AS condition
		FROM retention._references(_subject_reach.owner) f
		WHERE reached ? f.parent::oid::text
			AND (reached -> f.child::oid::text ->> 'depth')::integer > 0
			AND (reached -> f.parent::oid::text ->> 'depth')::integer
				>= (reached -> f.child::oid::text ->> 'depth')::integer
			AND f.parent <> f.child
		GROUP BY f.child
	LOOP
		wider := jsonb_set(wider, ARRAY[e.child::text, 'condition'],
			to_jsonb(format('%s OR %s', wider -> e.child::text ->> 'condition', e.condition)));
	END LOOP;
	reached := wider;

	RETURN QUERY
	WITH tagged AS (
		SELECT DISTINCT r.reloid AS relation
		FROM retention.pii_tag t
			JOIN retention.relation r USING (relation_id)
			JOIN pg_class c ON c.oid = r.reloid AND c.relowner = _subject_reach.owner
		WHERE t.identity = retention._identity()
	),
	edges AS MATERIALIZED (
		SELECT f.*, reached -> f.child::oid::text ->> 'condition' AS his,
			(reached -> f.child::oid::text ->> 'depth')::integer AS depth
		FROM retention._references(NULL) f
	),
	-- what only rows with his key refer to; of others' tables nothing is known
	up AS (
		SELECT e.parent AS relation,
			format('(%s) AND NOT (%s)',
				string_agg(format('EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS c, (SELECT r.*) AS p WHERE %s)',
					retention._with_trash(e.child), e.his, e.condition), ' OR ')
					FILTER (WHERE e.depth = 0),
				string_agg(format('EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS c, (SELECT r.*) AS p WHERE %s)',
					retention._with_trash(e.child),
					CASE WHEN e.his IS NULL THEN 'true' ELSE format('(%s) IS NOT TRUE', e.his) END,
					e.condition), ' OR ')) AS condition
		FROM edges e
			JOIN tagged t ON t.relation = e.parent
			JOIN pg_class c ON c.oid = e.child
		WHERE NOT reached ? e.parent::oid::text
			-- other persons
			AND NOT EXISTS (
				SELECT
				FROM retention.subject_link l
					JOIN retention.relation x USING (relation_id)
				WHERE x.reloid = e.parent)
		GROUP BY e.parent
		HAVING min(e.depth) = 0 AND bool_and(c.relowner = _subject_reach.owner)
	)
	SELECT t.relation, coalesce(reached -> t.relation::oid::text ->> 'condition', u.condition)
	FROM tagged t
		LEFT JOIN up u USING (relation)
	ORDER BY NOT reached ? t.relation::oid::text AND u.relation IS NULL,
		(reached -> t.relation::oid::text ->> 'depth')::integer DESC NULLS FIRST,
		(SELECT count(*) FROM edges e
			WHERE e.parent = t.relation AND e.child <> t.relation AND e.depth = 0),
		t.relation::text;
END
$$;
COMMENT ON FUNCTION retention._subject_reach(text, oid) IS
	'which rows of which tagged tables of an owner are a person''s, as SQL';

CREATE VIEW retention.subjects WITH (security_barrier) AS
SELECT l.subject, r.reloid AS relation, l.column_name::name AS column_name,
	l.linked_at, l.linked_by
FROM retention.subject_link l
	JOIN retention.relation r USING (relation_id)
WHERE retention._sees(r.reloid);
COMMENT ON VIEW retention.subjects IS
	'the columns that hold the keys of persons';
