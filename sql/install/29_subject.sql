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

-- The foreign keys from one table to another, partitions left out, as a
-- condition over their rows c (the one that refers) and p.
CREATE FUNCTION retention._references()
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
	WHERE f.contype = 'f';
END;
COMMENT ON FUNCTION retention._references() IS
	'which tables refer to which, and how';

-- Where a person's rows are: of each table with tags, those of them that are
-- his, as a condition over the row r; NULL when nothing leads there.
--
-- From a table with his key to those that refer to it, at any depth; never to
-- another table with keys of such persons, whose rows are others'. Then to
-- what the rows with his key refer to, such as his address, where nobody else
-- refers to it.
CREATE FUNCTION retention._subject_reach(subject text)
	RETURNS TABLE (relation regclass, condition text, depth integer)
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH RECURSIVE linked AS (
		SELECT r.reloid AS relation, a.attname, a.atttypid, a.atttypmod
		FROM retention.subject_link l
			JOIN retention.relation r USING (relation_id)
			JOIN pg_attribute a ON a.attrelid = r.reloid
				AND a.attname = l.column_name
				AND NOT a.attisdropped
		WHERE l.subject = $1
	),
	tagged AS (
		SELECT DISTINCT r.reloid AS relation
		FROM retention.pii_tag t
			JOIN retention.relation r USING (relation_id)
		WHERE r.reloid IS NOT NULL
			AND t.identity = retention._identity()
	),
	edges AS MATERIALIZED (
		SELECT * FROM retention._references()
	),
	down(relation, condition, depth, path) AS (
		SELECT l.relation, format('r.%I = CAST(retention._subject_key() AS %s)',
				l.attname, format_type(l.atttypid, l.atttypmod)),
			0, ARRAY[l.relation::oid]
		FROM linked l
		UNION ALL
		SELECT e.child,
			format('EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS p, (SELECT r.*) AS c WHERE %s)',
				retention._with_trash(d.relation), d.condition, e.condition),
			d.depth + 1, d.path || e.child::oid
		FROM down d
			JOIN edges e ON e.parent = d.relation
		WHERE d.depth < 6
			AND e.child::oid <> ALL (d.path)
			AND e.child NOT IN (SELECT l.relation FROM linked l)
	),
	reached AS (
		SELECT d.relation, string_agg(DISTINCT d.condition, ' OR ') AS condition,
			min(d.depth) AS depth
		FROM down d
		GROUP BY d.relation
	),
	-- what only his rows refer to
	up AS (
		SELECT e.parent AS relation,
			format('(%s) AND NOT (%s)',
				string_agg(format('EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS c, (SELECT r.*) AS p WHERE %s)',
					retention._with_trash(e.child), r.condition, e.condition), ' OR ')
					FILTER (WHERE r.depth = 0),
				string_agg(format('EXISTS (SELECT FROM (SELECT r.* FROM %s AS r WHERE %s) AS c, (SELECT r.*) AS p WHERE %s)',
					e.child, CASE WHEN r.relation IS NULL THEN 'true'
						ELSE format('(%s) IS NOT TRUE', r.condition) END,
					e.condition), ' OR ')) AS condition
		FROM edges e
			JOIN tagged t ON t.relation = e.parent
			LEFT JOIN reached r ON r.relation = e.child
		WHERE e.parent NOT IN (SELECT r.relation FROM reached r)
			-- other persons
			AND NOT EXISTS (
				SELECT
				FROM retention.subject_link l
					JOIN retention.relation x USING (relation_id)
				WHERE x.reloid = e.parent)
		GROUP BY e.parent
		HAVING min(r.depth) = 0
	)
	SELECT t.relation, coalesce(r.condition, u.condition),
		coalesce(r.depth, CASE WHEN u.relation IS NOT NULL THEN 100 END)
	FROM tagged t
		LEFT JOIN reached r USING (relation)
		LEFT JOIN up u USING (relation)
	-- the tables with the key last: the others are found by it
	ORDER BY 3 DESC NULLS LAST, t.relation::text;
END;
COMMENT ON FUNCTION retention._subject_reach(text) IS
	'which rows of which tagged tables are a person''s, as SQL';

CREATE VIEW retention.subjects WITH (security_barrier) AS
SELECT l.subject, r.reloid AS relation, l.column_name::name AS column_name,
	l.linked_at, l.linked_by
FROM retention.subject_link l
	JOIN retention.relation r USING (relation_id)
WHERE retention._sees(r.reloid);
COMMENT ON VIEW retention.subjects IS
	'the columns that hold the keys of persons';
