-- Where personal data is: detection, and numbers with check digits.

CREATE FUNCTION retention.is_my_number(number text)
	RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_is_my_number';
COMMENT ON FUNCTION retention.is_my_number(text) IS
	'whether a text is a Japanese Individual Number (12 digits) whose check digit is right';

CREATE FUNCTION retention.is_corporate_number(number text)
	RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_is_corporate_number';
COMMENT ON FUNCTION retention.is_corporate_number(text) IS
	'whether a text is a Japanese Corporate Number (13 digits) whose check digit is right';

CREATE FUNCTION retention.is_credit_card(number text)
	RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_is_credit_card';
COMMENT ON FUNCTION retention.is_credit_card(text) IS
	'whether a text is a number of a payment card: prefix and length of an issuer, check digit';

CREATE FUNCTION retention.is_iban(number text)
	RETURNS boolean IMMUTABLE STRICT PARALLEL SAFE
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_is_iban';
COMMENT ON FUNCTION retention.is_iban(text) IS
	'whether a text is an international bank account number with the length of its country and right check digits';

CREATE FUNCTION retention.detect_pii(
	relation regclass DEFAULT NULL, sample integer DEFAULT 1000)
	RETURNS TABLE (relation regclass, column_name name, category text,
		confidence real, evidence text, suggestion text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_detect_pii';
COMMENT ON FUNCTION retention.detect_pii(regclass, integer) IS
	'columns that seem to hold personal data, by their names and a sample of their values, with the call that tags them';

-- What the library asks for. Not granted to anybody.

CREATE FUNCTION retention._is_tagged(relation oid, column_num smallint)
	RETURNS boolean
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT EXISTS (
		SELECT
		FROM retention.pii_tag t
			JOIN retention.relation r USING (relation_id)
		WHERE r.reloid = $1
			AND t.column_num = $2
			AND t.identity = retention._identity());
END;
COMMENT ON FUNCTION retention._is_tagged(oid, smallint) IS
	'whether a column is tagged as personal data';

-- The tables whose columns are looked at: those of users, not the parts of
-- partitioned tables, which have the columns of the whole.
CREATE FUNCTION retention._detectable()
	RETURNS TABLE (relation regclass, owner oid)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT c.oid::regclass, c.relowner
	FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'm')
		AND c.relpersistence <> 't'
		AND NOT c.relispartition
		AND c.oid >= 16384
		AND n.nspname <> ALL (ARRAY['information_schema', 'retention'])
		AND n.nspname NOT LIKE 'pg\_%'
		AND NOT EXISTS (
			SELECT
			FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_catalog.pg_class'::regclass
				AND d.objid = c.oid
				AND d.deptype = 'e')
	ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C";
END;
COMMENT ON FUNCTION retention._detectable() IS
	'the tables in which detect_pii looks for personal data';

-- What decides how a column can be scrubbed. Columns that nobody fills by
-- hand, and those that are tagged, are left out.
CREATE FUNCTION retention._detectable_columns(relation regclass)
	RETURNS TABLE (column_num integer, not_null boolean, has_default boolean,
		is_unique boolean, refers boolean, is_referred_to boolean)
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT a.attnum::integer,
		a.attnotnull OR EXISTS (
			WITH RECURSIVE domains AS (
				SELECT t.oid, t.typbasetype, t.typnotnull
				FROM pg_catalog.pg_type t
				WHERE t.oid = a.atttypid AND t.typtype = 'd'
				UNION ALL
				SELECT t.oid, t.typbasetype, t.typnotnull
				FROM domains d
					JOIN pg_catalog.pg_type t
						ON t.oid = d.typbasetype AND t.typtype = 'd'
			)
			SELECT FROM domains d WHERE d.typnotnull),
		a.atthasdef,
		EXISTS (
			SELECT
			FROM pg_catalog.pg_index i
			WHERE i.indrelid = a.attrelid
				AND i.indisunique
				AND a.attnum = ANY (i.indkey)),
		EXISTS (
			SELECT
			FROM pg_catalog.pg_constraint c
			WHERE c.contype = 'f'
				AND c.conrelid = a.attrelid
				AND a.attnum = ANY (c.conkey)),
		EXISTS (
			SELECT
			FROM pg_catalog.pg_constraint c
			WHERE c.contype = 'f'
				AND c.confrelid = a.attrelid
				AND a.attnum = ANY (c.confkey))
	FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = $1
		AND a.attnum > 0
		AND NOT a.attisdropped
		AND a.attgenerated = ''
		AND a.attidentity = ''
		AND NOT retention._is_tagged(a.attrelid, a.attnum)
	ORDER BY a.attnum;
END;
COMMENT ON FUNCTION retention._detectable_columns(regclass) IS
	'the columns of a table in which detect_pii looks for personal data';
