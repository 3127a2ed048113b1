-- Personal data: tags, and the SQL that scrubs what they are on.

-- The value that takes the place of a column, as an expression over the row
-- r; NULL: the method does not know the type.
CREATE FUNCTION retention._scrub_value(relation regclass, column_name text,
		category text, method text, params jsonb) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	att pg_attribute := (
		SELECT a FROM pg_attribute a
		WHERE a.attrelid = relation AND a.attname = column_name AND NOT a.attisdropped);
	base oid := retention._base_type(att.atttypid);
	type text := format_type(att.atttypid, att.atttypmod);
	value text := format('r.%I', column_name);
	is_text boolean := retention._is_text(att.atttypid);
	is_email boolean := coalesce(params ->> 'shape', category) = 'email';
	key text;
	result text;
BEGIN
	params := coalesce(params, '{}');
	IF is_text THEN
		value := value || '::text';
	ELSIF base <> att.atttypid THEN
		value := format('%s::%s', value, format_type(base, NULL));
	END IF;
	result := CASE method
		WHEN 'null' THEN 'NULL'
		WHEN 'default' THEN coalesce((
			SELECT pg_get_expr(d.adbin, d.adrelid)
			FROM pg_attrdef d
			WHERE d.adrelid = relation AND d.adnum = att.attnum), 'NULL')
		WHEN 'constant' THEN coalesce(quote_literal(params ->> 'value'), 'NULL')
		WHEN 'mask' THEN CASE WHEN is_text THEN
			format('retention.mask(%s, %s, %s, %L)', value,
				coalesce((params ->> 'first')::integer, 0),
				coalesce((params ->> 'last')::integer, 0),
				coalesce(params ->> 'filler', '*')) END
		WHEN 'mask_email' THEN CASE WHEN is_text THEN
			format('retention.mask_email(%s)', value) END
		WHEN 'mask_phone' THEN CASE WHEN is_text THEN
			format('retention.mask_phone(%s, %s)', value,
				coalesce((params ->> 'last')::integer, 4)) END
		WHEN 'truncate_ip' THEN CASE
			WHEN is_text OR base IN ('inet'::regtype, 'cidr'::regtype) THEN
			format('retention.truncate_ip(%s, %s, %s)', value,
				coalesce((params ->> 'v4')::integer, 24),
				coalesce((params ->> 'v6')::integer, 48)) END
		WHEN 'generalize' THEN CASE
			WHEN is_text THEN format('retention.generalize_postal(%s)', value)
			WHEN base IN ('date'::regtype, 'timestamp'::regtype) THEN
				format('retention.generalize(%s, %L)', value,
					coalesce(params ->> 'unit', 'year'))
			WHEN base = 'timestamptz'::regtype THEN
				format('retention.generalize(%s, %L, %L)', value,
					coalesce(params ->> 'unit', 'year'),
					coalesce(params ->> 'zone', 'UTC'))
			WHEN base IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
					'float4'::regtype, 'float8'::regtype, 'numeric'::regtype)
				AND params ? 'bucket' THEN
				format('retention.generalize(%s, %L)', value,
					params ->> 'bucket')
			END
		WHEN 'pseudonym' THEN CASE
			WHEN is_text AND is_email THEN format('retention.pseudonym_email(%s)', value)
			WHEN is_text OR base = 'uuid'::regtype THEN format('retention.pseudonym(%s)', value)
			END
		WHEN 'erase_json' THEN CASE
			WHEN base IN ('json'::regtype, 'jsonb'::regtype) THEN
			format('retention.erase_json(%s, VARIADIC %L::text[])', value,
				coalesce((SELECT array_agg(p) FROM jsonb_array_elements_text(params -> 'paths') p),
					'{}')) END
		WHEN 'tombstone' THEN CASE
			WHEN is_text AND is_email THEN 'retention.tombstone_email(%s, %s)'
			WHEN is_text OR base = 'uuid'::regtype THEN 'retention.tombstone(%s, %s)'
			END
		WHEN 'function' THEN (
			SELECT format('%I.%I(%s)', n.nspname, p.proname, format('r.%I', column_name))
			FROM pg_proc p
				JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE p.oid = to_regprocedure(params ->> 'function')
				AND p.provolatile = 'i'
				-- the one who runs it
				AND (p.proowner = (SELECT c.relowner FROM pg_class c WHERE c.oid = relation)
					OR (SELECT o.rolsuper FROM pg_roles o WHERE o.oid = p.proowner)))
		END;
	IF method = 'tombstone' THEN
		SELECT string_agg(format('r.%I', k.name), ', ')
		INTO key
		FROM retention._primary_key(relation) k;
		result := format(result, value, format('ROW(%s)::text', key));
	END IF;
	IF result IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_object_definition',
			MESSAGE = format('method "%s" does not fit column "%s" any more', method, column_name),
			HINT = 'Call retention.tag_pii() for it again, which says what would fit.';
	END IF;
	RETURN format('CAST(%s AS %s)', result, type);
END
$$;
COMMENT ON FUNCTION retention._scrub_value(regclass, text, text, text, jsonb) IS
	'the value that a method puts in the place of a column, as SQL over the row r';

CREATE FUNCTION retention._base_type(type oid) RETURNS oid
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	WITH RECURSIVE line(oid, base) AS (
		SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = $1
		UNION ALL
		SELECT t.oid, t.typbasetype
		FROM line JOIN pg_catalog.pg_type t ON t.oid = line.base
	)
	SELECT l.oid FROM line l WHERE l.base = 0;
END;
COMMENT ON FUNCTION retention._base_type(oid) IS 'what a domain is over, at the bottom';

CREATE FUNCTION retention._is_text(type oid) RETURNS boolean
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT t.typcategory = 'S'
		AND (t.oid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
			OR EXISTS (
				SELECT FROM pg_catalog.pg_depend d
					JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
				WHERE d.classid = 'pg_catalog.pg_type'::regclass
					AND d.objid = t.oid
					AND d.deptype = 'e'
					AND e.extname = 'citext'))
	FROM pg_catalog.pg_type t
	WHERE t.oid = retention._base_type($1);
END;
COMMENT ON FUNCTION retention._is_text(oid) IS
	'whether values of a type are text: text, varchar, char, citext, and domains over them';

CREATE FUNCTION retention._primary_key(relation regclass)
	RETURNS TABLE (name text)
	LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	SELECT a.attname::text
	FROM pg_catalog.pg_index i
		CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(num, n)
		JOIN pg_catalog.pg_attribute a
			ON a.attrelid = i.indrelid AND a.attnum = k.num
	WHERE i.indrelid = $1
		AND i.indisprimary
		AND k.n <= i.indnkeyatts
	ORDER BY k.n;
END;
COMMENT ON FUNCTION retention._primary_key(regclass) IS
	'the columns of the primary key';

-- What a run of a scrub policy puts where: SQL over the row r.
CREATE FUNCTION retention._scrub_columns(policy integer)
	RETURNS TABLE (column_name text, value text, needs text, cost bigint,
		is_own boolean)
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- first which columns they are: of others there is nothing to say
	WITH tagged AS MATERIALIZED (
		SELECT r.reloid, a.attname, a.attnum, a.atttypid, c.typtype, t.category,
			t.method, t.params
		FROM retention.pii_tag t
			JOIN retention.relation r USING (relation_id)
			JOIN pg_attribute a ON a.attrelid = r.reloid
				AND a.attnum = t.column_num
				AND NOT a.attisdropped
			JOIN pg_type c ON c.oid = a.atttypid
		WHERE t.policy_id = $1
			AND t.identity = retention._identity()
	)
	SELECT tagged.attname::text, v.value,
		-- by bytes: what is equal to a collation may differ, and be told by that
		CASE
			WHEN tagged.method = 'null' THEN format('r.%I IS NOT NULL', tagged.attname)
			WHEN retention._is_text(tagged.atttypid)
				OR retention._base_type(tagged.atttypid) = 'json'::regtype THEN
				format('r.%I::text COLLATE "C" IS DISTINCT FROM (%s)::text',
					tagged.attname, v.value)
			WHEN retention._base_type(tagged.atttypid) < 16384
				AND tagged.typtype <> 'c'
				AND EXISTS (
					SELECT FROM pg_opclass o
					WHERE o.opcintype = retention._base_type(tagged.atttypid)
						AND o.opcmethod = (SELECT m.oid FROM pg_am m WHERE m.amname = 'btree')
						AND o.opcdefault) THEN
				format('r.%I IS DISTINCT FROM %s', tagged.attname, v.value)
			ELSE format('ROW(r.%I)::record *<> ROW(%s)::record', tagged.attname, v.value)
		END,
		CASE
			WHEN tagged.method = 'null' THEN 0
			WHEN tagged.method IN ('constant', 'default') THEN 1
			WHEN tagged.method IN ('pseudonym', 'tombstone') THEN 3
			WHEN tagged.method = 'function' THEN 4
			ELSE 2
		END,
		tagged.method <> 'function'
	FROM tagged
		CROSS JOIN LATERAL retention._scrub_value(tagged.reloid, tagged.attname,
			tagged.category, tagged.method, tagged.params) AS v(value)
	ORDER BY tagged.attnum;
END;
COMMENT ON FUNCTION retention._scrub_columns(integer) IS
	'the columns that a policy scrubs: the new value, and whether a row needs it, as SQL over the row r; how dear that is to ask, from 0 on; whether the method is one of ours';

-- Why a method cannot work on a column, and what would; else nothing.
CREATE FUNCTION retention._tag_problem(relation regclass, column_name text,
		category text, method text, params jsonb,
		OUT problem text, OUT hint text)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	att pg_attribute := (
		SELECT a FROM pg_attribute a
		WHERE a.attrelid = relation AND a.attname = column_name AND NOT a.attisdropped);
	base oid := retention._base_type(att.atttypid);
	is_text boolean := retention._is_text(att.atttypid);
	-- what fits, to be offered
	unique_method text := CASE WHEN is_text OR base = 'uuid'::regtype
		THEN CASE WHEN EXISTS (SELECT FROM retention._primary_key(relation) k
				WHERE k.name <> column_name) THEN 'tombstone' ELSE 'pseudonym' END END;
	allowed text[] := CASE method
		WHEN 'constant' THEN '{value}' WHEN 'mask' THEN '{first,last,filler}'
		WHEN 'mask_phone' THEN '{last}' WHEN 'truncate_ip' THEN '{v4,v6}'
		WHEN 'generalize' THEN '{unit,zone,bucket}' WHEN 'pseudonym' THEN '{shape}'
		WHEN 'tombstone' THEN '{shape}' WHEN 'erase_json' THEN '{paths}'
		WHEN 'function' THEN '{function}' ELSE '{}' END;
	length_of_result integer := CASE
		WHEN method = 'pseudonym' THEN CASE WHEN coalesce(params ->> 'shape', category) = 'email' THEN 49 ELSE 34 END
		WHEN method = 'tombstone' THEN CASE WHEN coalesce(params ->> 'shape', category) = 'email' THEN 54 ELSE 39 END
		END;
	fn pg_proc;
	other text;
	parameter text;
BEGIN
	params := coalesce(params, '{}');
	IF method NOT IN ('null', 'default', 'constant', 'mask', 'mask_email', 'mask_phone',
			'truncate_ip', 'generalize', 'pseudonym', 'erase_json', 'tombstone', 'function') THEN
		problem := format('unknown method "%s"', method);
		hint := 'Methods are null, default, constant, mask, mask_email, mask_phone, truncate_ip, generalize, pseudonym, erase_json, tombstone and function.';
		RETURN;
	END IF;
	IF jsonb_typeof(params) <> 'object' THEN
		problem := 'params must be a JSON object';
		hint := 'Such as ''{"first": 1}''.';
		RETURN;
	END IF;
	SELECT min(k) INTO parameter FROM jsonb_object_keys(params) k WHERE k <> ALL (allowed);
	IF parameter IS NOT NULL THEN
		problem := format('method "%s" has no parameter "%s"', method, parameter);
		hint := CASE WHEN allowed = '{}' THEN 'It has none.'
			ELSE format('It has %s.', array_to_string(allowed, ', ')) END;
		RETURN;
	END IF;
	SELECT min(e.key) INTO parameter FROM jsonb_each(params) e
	WHERE jsonb_typeof(e.value) = 'null' AND e.key <> 'value';
	IF parameter IS NOT NULL THEN
		problem := format('parameter "%s" must not be null', parameter);
		RETURN;
	END IF;
	IF att.attgenerated <> '' THEN
		problem := 'it is a generated column';
		hint := 'It follows the columns that it is made of: tag those.';
		RETURN;
	END IF;
	IF att.attidentity <> '' THEN
		problem := 'it is an identity column';
		hint := 'Its values say nothing about a person; tag what does.';
		RETURN;
	END IF;
	IF EXISTS (
			SELECT FROM pg_partitioned_table p
			WHERE p.partrelid IN (SELECT * FROM retention._tree(relation))
				AND att.attnum = ANY (p.partattrs::int2[])) THEN
		problem := 'rows are partitioned by it';
		hint := 'A row would have to move to another partition. Partition by another column.';
		RETURN;
	END IF;
	SELECT p.name INTO other
	FROM retention.policy p
		JOIN retention.relation r USING (relation_id)
	WHERE r.reloid = relation
		AND att.attnum = ANY (p.column_nums)
		-- what a scrub policy only scrubs decides about nothing
		AND NOT EXISTS (
			SELECT FROM retention.pii_tag t
			WHERE t.policy_id = p.policy_id AND t.column_num = att.attnum)
	LIMIT 1;
	IF other IS NOT NULL THEN
		problem := format('clock or filter of policy "%s" depends on it', other);
		hint := 'Let the policy look at another column.';
		RETURN;
	END IF;

	-- does the method know the type
	IF params ->> 'shape' NOT IN ('text', 'email') THEN
		problem := format('unknown shape "%s"', params ->> 'shape');
		hint := 'Shapes are text and email.';
	ELSIF method = 'generalize' AND (is_text AND params <> '{}'
			OR params ? 'bucket' AND base IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
			OR params ? 'zone' AND base <> 'timestamptz'::regtype) THEN
		problem := format('these parameters mean nothing for type %s', format_type(att.atttypid, att.atttypmod));
		hint := 'Text takes none, dates take unit, timestamptz unit and zone, numbers bucket.';
	ELSIF method = 'constant' AND NOT params ? 'value' THEN
		problem := 'method "constant" needs a value';
		hint := 'Give it as params => ''{"value": "..."}''.';
	ELSIF method = 'generalize' AND base IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
			'float4'::regtype, 'float8'::regtype, 'numeric'::regtype) AND NOT params ? 'bucket' THEN
		problem := 'method "generalize" needs the width of a bucket for numbers';
		hint := 'Give it as params => ''{"bucket": 10}''.';
	ELSIF method = 'generalize' AND base = 'numeric'::regtype AND att.atttypmod > 0
			AND (params ->> 'bucket')::numeric <> round((params ->> 'bucket')::numeric, (att.atttypmod - 4) & 2047) THEN
		problem := 'the bucket is finer than the column';
		hint := format('The column has %s digits after the point.', (att.atttypmod - 4) & 2047);
	ELSIF method = 'default' AND retention._default_is_mutable(relation, att.attnum) THEN
		problem := 'its default is another one each time';
		hint := 'Rows would be scrubbed again and again. Use constant.';
	ELSIF method = 'tombstone' AND EXISTS (
			SELECT FROM retention._primary_key(relation) k WHERE k.name = column_name) THEN
		problem := 'it is in the primary key, by which method "tombstone" tells rows apart';
		hint := 'Use pseudonym.';
	ELSIF method = 'tombstone' AND NOT EXISTS (SELECT FROM retention._primary_key(relation)) THEN
		problem := 'method "tombstone" needs a primary key to tell rows apart';
		hint := 'Use pseudonym.';
	ELSIF method = 'function' THEN
		SELECT p.* INTO fn FROM pg_proc p WHERE p.oid = to_regprocedure(params ->> 'function');
		IF fn.oid IS NULL THEN
			problem := format('there is no function %s', coalesce(params ->> 'function', '(none is given)'));
			hint := 'Give it with its schema and argument, as params => ''{"function": "shop.mask_it(text)"}''.';
		ELSIF fn.provolatile <> 'i' OR fn.proretset OR fn.prokind <> 'f' OR fn.pronargs <> 1
				OR fn.prorettype <> att.atttypid OR fn.proargtypes[0] <> att.atttypid THEN
			problem := format('function %s does not fit', params ->> 'function');
			hint := format('It must be immutable, and from %1$s to %1$s.', format_type(att.atttypid, NULL));
		ELSIF fn.proowner <> (SELECT c.relowner FROM pg_class c WHERE c.oid = relation)
				AND NOT (SELECT o.rolsuper FROM pg_roles o WHERE o.oid = fn.proowner) THEN
			problem := format('function %s belongs to another role', params ->> 'function');
			hint := 'It must belong to the owner of the table, as whom it runs.';
		END IF;
	ELSIF method NOT IN ('null', 'default', 'constant') AND NOT (CASE method
			WHEN 'truncate_ip' THEN is_text OR base IN ('inet'::regtype, 'cidr'::regtype)
			WHEN 'generalize' THEN is_text OR base IN ('date'::regtype, 'timestamp'::regtype,
				'timestamptz'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
				'float4'::regtype, 'float8'::regtype, 'numeric'::regtype)
			WHEN 'erase_json' THEN base IN ('json'::regtype, 'jsonb'::regtype)
			WHEN 'pseudonym' THEN is_text OR base = 'uuid'::regtype
			WHEN 'tombstone' THEN is_text OR base = 'uuid'::regtype
			ELSE is_text
			END) THEN
		problem := format('method "%s" does not know type %s', method, format_type(att.atttypid, att.atttypmod));
		hint := format('Use null%s, or constant.', CASE WHEN base IN ('json'::regtype, 'jsonb'::regtype) THEN ', erase_json'
			WHEN base IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN ', generalize' ELSE '' END);
	ELSIF length_of_result > att.atttypmod - 4 AND att.atttypmod > 0 AND is_text THEN
		problem := format('values of method "%s" have %s characters, and the column takes %s',
			method, length_of_result, att.atttypmod - 4);
		hint := 'Make the column longer, or use another method.';
	END IF;
	IF problem IS NOT NULL THEN
		RETURN;
	END IF;

	-- what a naive scrub breaks
	IF (att.attnotnull OR EXISTS (
				SELECT FROM pg_type t WHERE t.oid = att.atttypid AND t.typnotnull))
			AND (method = 'null' OR (method = 'constant' AND params ->> 'value' IS NULL)
				OR (method = 'default' AND NOT att.atthasdef)) THEN
		problem := 'it is NOT NULL';
		hint := format('Use %s.', CASE
			WHEN EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = relation AND i.indisunique
					AND att.attnum = ANY (i.indkey::int2[]))
				THEN coalesce(unique_method, 'another column: values must be unique')
			WHEN is_text THEN 'tombstone, mask or constant'
			WHEN base IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN 'generalize or constant'
			ELSE 'constant' END);
		RETURN;
	END IF;
	SELECT i.indexrelid::regclass::text INTO other
	FROM pg_index i
	WHERE i.indrelid = relation
		AND (i.indisunique OR i.indisexclusion)
		AND (att.attnum = ANY (i.indkey::int2[])
			OR EXISTS (SELECT FROM pg_depend d
				WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
					AND d.refobjid = relation AND d.refobjsubid = att.attnum
					AND i.indexprs IS NOT NULL))
		AND method NOT IN ('tombstone', 'pseudonym')
		AND NOT (method = 'null'
			AND coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) = false)
	LIMIT 1;
	IF other IS NOT NULL THEN
		problem := format('values must be unique by index %s', other);
		hint := format('Use %s.', concat_ws(' or ', unique_method,
			CASE WHEN NOT att.attnotnull THEN 'null' END));
		RETURN;
	END IF;
	SELECT f.conname INTO other
	FROM pg_constraint f
	WHERE f.contype = 'f' AND f.conrelid = relation AND att.attnum = ANY (f.conkey)
		AND method <> 'null'
	LIMIT 1;
	IF other IS NOT NULL THEN
		problem := format('it refers to another table by foreign key "%s"', other);
		hint := 'Tag the column that it refers to: with ON UPDATE CASCADE this one follows. Or use null.';
		RETURN;
	END IF;
	SELECT format('%s of %s', f.conname, f.conrelid::regclass) INTO other
	FROM pg_constraint f
	WHERE f.contype = 'f' AND f.confrelid = relation AND att.attnum = ANY (f.confkey)
		AND f.confupdtype <> 'c'
	LIMIT 1;
	IF other IS NOT NULL THEN
		problem := format('foreign key %s refers to it', other);
		hint := 'Make the key ON UPDATE CASCADE, so that both ends change alike.';
		RETURN;
	END IF;
	IF EXISTS (
			SELECT FROM pg_constraint f
			WHERE f.contype = 'f' AND f.confrelid = relation AND att.attnum = ANY (f.confkey))
			AND method NOT IN ('tombstone', 'pseudonym') THEN
		problem := 'foreign keys refer to it, so its values must stay apart';
		hint := 'Use pseudonym or tombstone.';
	END IF;
END
$$;
COMMENT ON FUNCTION retention._tag_problem(regclass, text, text, text, jsonb) IS
	'why a method cannot work on a column, and which would';

CREATE FUNCTION retention._default_is_mutable(relation regclass, column_num smallint)
	RETURNS boolean LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_default_is_mutable';
COMMENT ON FUNCTION retention._default_is_mutable(regclass, smallint) IS
	'whether the default of a column may be another one each time';

-- The clock of a table where none is given: that of its policies, or its only
-- column that can be one.
CREATE FUNCTION retention._default_clock(relation regclass, tagged text)
	RETURNS text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT coalesce(
		(SELECT min(p.clock)
			FROM retention.policy p
				JOIN retention.relation r USING (relation_id)
			WHERE r.reloid = $1
			HAVING count(DISTINCT p.clock_sql) = 1),
		(SELECT min(quote_ident(a.attname))
			FROM pg_attribute a
			WHERE a.attrelid = $1
				AND a.attnum > 0
				AND NOT a.attisdropped
				AND a.attname <> $2
				AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
				AND NOT EXISTS (
					SELECT FROM retention.pii_tag t
						JOIN retention.relation r USING (relation_id)
					WHERE r.reloid = $1 AND t.column_num = a.attnum)
			HAVING count(*) = 1));
END;
COMMENT ON FUNCTION retention._default_clock(regclass, text) IS
	'the clock of a table where there is only one to choose';

CREATE FUNCTION retention._tag(relation integer, column_name text,
		category text, method text, params jsonb, policy integer,
		tagged_by text) RETURNS void
	LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO retention.pii_tag
	SELECT r.relation_id, a.attnum, a.attname, $3, $4, $5, $6,
		retention._now(), $7, retention._identity()
	FROM retention.relation r
		JOIN pg_catalog.pg_attribute a ON a.attrelid = r.reloid
			AND a.attname = $2
	WHERE r.relation_id = $1
	ON CONFLICT (relation_id, column_name) DO UPDATE
	SET column_num = excluded.column_num,
		category = excluded.category,
		method = excluded.method,
		params = excluded.params,
		policy_id = excluded.policy_id,
		tagged_at = excluded.tagged_at,
		tagged_by = excluded.tagged_by;
END;
COMMENT ON FUNCTION retention._tag(integer, text, text, text, jsonb, integer, text) IS
	'writes a tag';

CREATE FUNCTION retention.tag_pii(relation regclass, column_name name,
		category text, method text DEFAULT 'null', params jsonb DEFAULT NULL,
		after interval DEFAULT '30 days', clock text DEFAULT NULL,
		filter text DEFAULT NULL)
	RETURNS text LANGUAGE c
	AS 'MODULE_PATHNAME', 'retention_tag_pii';
COMMENT ON FUNCTION retention.tag_pii(regclass, name, text, text, jsonb, interval, text, text) IS
	'says that a column holds personal data of this category, and how it is scrubbed this long after the clock; returns the name of the scrub policy that does it, an old one or a new one';

CREATE FUNCTION retention.untag_pii(relation regclass, column_name name)
	RETURNS void LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'retention_untag_pii';
COMMENT ON FUNCTION retention.untag_pii(regclass, name) IS
	'the column is scrubbed no more; the last one of a policy ends the policy, too';

CREATE VIEW retention.pii_columns WITH (security_barrier) AS
SELECT c.oid::regclass AS relation,
	coalesce(a.attname, t.column_name)::name AS column_name,
	t.category,
	t.method,
	t.params,
	p.name AS policy,
	p.after,
	t.tagged_at,
	t.tagged_by,
	a.attname IS NULL AS is_dropped
FROM retention.pii_tag t
	JOIN retention.relation r USING (relation_id)
	LEFT JOIN retention.policy p USING (policy_id)
	LEFT JOIN pg_class c ON c.oid = r.reloid
	LEFT JOIN pg_attribute a ON a.attrelid = c.oid
		AND a.attnum = t.column_num
		AND NOT a.attisdropped
WHERE retention._sees(c.oid);
COMMENT ON VIEW retention.pii_columns IS
	'the columns that are tagged as personal data, how and by which policy they are scrubbed';

-- After columns were renamed.
CREATE FUNCTION retention._pii_follow() RETURNS void
	LANGUAGE sql
BEGIN ATOMIC
	UPDATE retention.pii_tag t
	SET column_name = a.attname
	FROM retention.relation r
		JOIN pg_catalog.pg_attribute a ON a.attrelid = r.reloid
			AND NOT a.attisdropped
	WHERE r.relation_id = t.relation_id
		AND a.attnum = t.column_num
		AND t.identity = retention._identity()
		AND t.column_name <> a.attname;
	UPDATE retention.subject_link l
	SET column_name = a.attname
	FROM retention.relation r
		JOIN pg_catalog.pg_attribute a ON a.attrelid = r.reloid
			AND NOT a.attisdropped
	WHERE r.relation_id = l.relation_id
		AND a.attnum = l.column_num
		AND l.identity = retention._identity()
		AND l.column_name <> a.attname;
END;
COMMENT ON FUNCTION retention._pii_follow() IS
	'brings the names of tagged columns and of keys of persons up to date';

-- After rows were scrubbed: statistics are gathered anew by the run; what it
-- cannot mend is remembered for retention.health.
CREATE FUNCTION retention._note_stale(policy integer) RETURNS void
	LANGUAGE sql
BEGIN ATOMIC
	WITH tagged AS (
		SELECT r.relation_id, m.relid, a.attnum, t.column_num
		FROM retention.pii_tag t
			JOIN retention.relation r USING (relation_id)
			CROSS JOIN LATERAL retention._tree(r.reloid) AS m(relid)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = m.relid
				AND a.attname = t.column_name
				AND NOT a.attisdropped
		WHERE t.policy_id = $1
	),
	copies AS (
		-- indexes that never forget a key
		SELECT i.indexrelid AS copy, t.relation_id
		FROM tagged t
			JOIN pg_catalog.pg_index i ON i.indrelid = t.relid
			JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i'
			JOIN pg_catalog.pg_am am ON am.oid = x.relam
				AND am.amname IN ('gin', 'brin')
			JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass
				AND d.objid = i.indexrelid
				AND d.refobjid = t.relid
				AND d.refobjsubid = t.attnum
		UNION
		SELECT v.oid, t.relation_id
		FROM tagged t
			JOIN pg_catalog.pg_depend d
				ON d.refclassid = 'pg_catalog.pg_class'::regclass
				AND d.refobjid = t.relid
				AND d.refobjsubid = t.attnum
				AND d.classid = 'pg_catalog.pg_rewrite'::regclass
			JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
			JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind = 'm'
	)
	INSERT INTO retention.stale_copy
	SELECT c.copy, min(c.relation_id), x.relfilenode, retention._now()
	FROM copies c
		JOIN pg_catalog.pg_class x ON x.oid = c.copy
	GROUP BY c.copy, x.relfilenode
	ON CONFLICT (copy) DO UPDATE
	SET filenode = excluded.filenode, scrubbed_at = excluded.scrubbed_at;
END;
COMMENT ON FUNCTION retention._note_stale(integer) IS
	'remembers the materialized views and indexes that may still hold what a policy has scrubbed';
