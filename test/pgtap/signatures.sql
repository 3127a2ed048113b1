-- What others rely on by name: functions with their arguments, types and
-- defaults, the columns of views, settings, comments, grants. More may be
-- added; what is here stays.

SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SELECT plan(100);

CREATE TEMP TABLE expected (kind "char", name text, arguments text, result text);
INSERT INTO expected VALUES
	('f', 'tag_pii', 'relation regclass, column_name name, category text, '
		'method text DEFAULT ''null''::text, params jsonb DEFAULT NULL::jsonb, '
		'after interval DEFAULT ''30 days''::interval, clock text DEFAULT NULL::text, '
		'filter text DEFAULT NULL::text', 'text'),
	('f', 'untag_pii', 'relation regclass, column_name name', 'void'),
	('f', 'link_subject', 'subject text, relation regclass, column_name text', 'void'),
	('f', 'erase_subject', 'subject text, key text, reason text, dry_run boolean DEFAULT false',
		'TABLE(relation regclass, in_trash boolean, erased bigint, kept bigint, verdict text, detail text)'),
	('f', 'add_policy', 'relation regclass, action text, after interval, clock text, '
		'filter text DEFAULT NULL::text, name text DEFAULT NULL::text, '
		'zone text DEFAULT NULL::text, every interval DEFAULT ''01:00:00''::interval, '
		'run_window text DEFAULT NULL::text, rate integer DEFAULT NULL::integer, '
		'max_fraction real DEFAULT 0.5, enabled boolean DEFAULT true', 'text'),
	('f', 'alter_policy', 'name text, after interval DEFAULT NULL::interval, '
		'clock text DEFAULT NULL::text, filter text DEFAULT NULL::text, '
		'zone text DEFAULT NULL::text, every interval DEFAULT NULL::interval, '
		'run_window text DEFAULT NULL::text, rate integer DEFAULT NULL::integer, '
		'max_fraction real DEFAULT NULL::real', 'void'),
	('f', 'drop_policy', 'name text', 'void'),
	('f', 'pause_policy', 'name text, reason text', 'void'),
	('f', 'resume_policy', 'name text', 'void'),
	('f', 'preview', 'name text, at timestamp with time zone DEFAULT now()',
		'TABLE(relation regclass, due bigint, held bigint, kept bigint, '
		'oldest timestamp with time zone)'),
	('p', 'run_policy', 'IN name text, IN confirm boolean DEFAULT false', NULL),
	('p', 'run_due', '', NULL),
	('f', 'schedule', 'name text, cron text', 'bigint'),
	('f', 'unschedule', 'name text', 'void'),
	('f', 'explain_row', 'relation regclass, VARIADIC key text[]',
		'TABLE(policy text, action text, clock timestamp with time zone, '
		'due_at timestamp with time zone, verdict text, reason text)'),
	('f', 'find_deletion', 'relation regclass, VARIADIC key text[]',
		'SETOF retention.deletions'),
	('f', 'allow_cascade', 'child regclass, parent regclass', 'void'),
	('f', 'revoke_cascade', 'child regclass, parent regclass', 'void'),
	('f', 'accept_clock', '', 'void'),
	('f', 'detect_pii', 'relation regclass DEFAULT NULL::regclass, sample integer DEFAULT 1000',
		'TABLE(relation regclass, column_name name, category text, confidence real, '
		'evidence text, suggestion text)'),
	('f', 'is_my_number', 'number text', 'boolean'),
	('f', 'is_corporate_number', 'number text', 'boolean'),
	('f', 'is_credit_card', 'number text', 'boolean'),
	('f', 'is_iban', 'number text', 'boolean');

SELECT is(p.prokind, e.kind, format('%s is a %s', e.name,
	CASE e.kind WHEN 'f' THEN 'function' ELSE 'procedure' END))
FROM expected e
	LEFT JOIN pg_proc p ON p.proname = e.name
		AND p.pronamespace = 'retention'::regnamespace
ORDER BY e.name;

SELECT is(pg_get_function_arguments(p.oid), e.arguments, e.name || ': arguments')
FROM expected e
	LEFT JOIN pg_proc p ON p.proname = e.name
		AND p.pronamespace = 'retention'::regnamespace
ORDER BY e.name;

SELECT is(pg_get_function_result(p.oid), e.result, e.name || ': result')
FROM expected e
	LEFT JOIN pg_proc p ON p.proname = e.name
		AND p.pronamespace = 'retention'::regnamespace
ORDER BY e.name;

-- Methods have several functions of one name, and say what they promise: the
-- same result for ever, or for as long as the database's secret is the same.

CREATE TEMP TABLE expected_method (name text, arguments text, result text,
	volatility "char" DEFAULT 'i');
INSERT INTO expected_method VALUES
	('mask', 'value text, first integer DEFAULT 0, last integer DEFAULT 0, '
		'filler text DEFAULT ''*''::text', 'text'),
	('mask_email', 'value text', 'text'),
	('mask_phone', 'value text, last integer DEFAULT 4', 'text'),
	('truncate_ip', 'value inet, v4 integer DEFAULT 24, v6 integer DEFAULT 48', 'inet'),
	('truncate_ip', 'value cidr, v4 integer DEFAULT 24, v6 integer DEFAULT 48', 'cidr'),
	('truncate_ip', 'value text, v4 integer DEFAULT 24, v6 integer DEFAULT 48', 'text'),
	('generalize', 'value date, unit text', 'date'),
	('generalize', 'value timestamp without time zone, unit text',
		'timestamp without time zone'),
	('generalize', 'value timestamp with time zone, unit text, '
		'zone text DEFAULT ''UTC''::text', 'timestamp with time zone'),
	('generalize', 'value smallint, bucket integer', 'smallint'),
	('generalize', 'value integer, bucket integer', 'integer'),
	('generalize', 'value bigint, bucket bigint', 'bigint'),
	('generalize', 'value real, bucket double precision', 'real'),
	('generalize', 'value double precision, bucket double precision',
		'double precision'),
	('generalize', 'value numeric, bucket numeric', 'numeric'),
	('generalize_postal', 'value text', 'text'),
	('erase_json', 'value jsonb, VARIADIC paths text[] DEFAULT ''{}''::text[]', 'jsonb'),
	('erase_json', 'value json, VARIADIC paths text[] DEFAULT ''{}''::text[]', 'json');
INSERT INTO expected_method VALUES
	('pseudonym', 'value text', 'text', 's'),
	('pseudonym', 'value uuid', 'uuid', 's'),
	('pseudonym_email', 'value text', 'text', 's'),
	('tombstone', 'value text, key text', 'text', 's'),
	('tombstone', 'value uuid, key text', 'uuid', 's'),
	('tombstone_email', 'value text, key text', 'text', 's');

SELECT is_empty(
	$$SELECT * FROM expected_method e
		WHERE NOT EXISTS (
			SELECT
			FROM pg_proc p
			WHERE p.pronamespace = 'retention'::regnamespace
				AND p.proname = e.name
				AND pg_get_function_arguments(p.oid) = e.arguments
				AND pg_get_function_result(p.oid) = e.result
				AND p.provolatile = e.volatility
				AND p.proisstrict)$$,
	'no method is missing');
SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_proc p
			JOIN expected_method e ON e.name = p.proname
		WHERE p.pronamespace = 'retention'::regnamespace
			AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a
				WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')$$,
	'everybody may call a method');
SELECT results_eq(
	$$SELECT p.prorettype FROM pg_proc p
			JOIN (SELECT DISTINCT name FROM expected_method) e ON e.name = p.proname
		WHERE p.pronamespace = 'retention'::regnamespace
		ORDER BY p.oid$$,
	$$SELECT p.proargtypes[0] FROM pg_proc p
			JOIN (SELECT DISTINCT name FROM expected_method) e ON e.name = p.proname
		WHERE p.pronamespace = 'retention'::regnamespace
		ORDER BY p.oid$$,
	'a method returns what it takes');

CREATE TEMP TABLE expected_column (view text, "column" text, type text);
INSERT INTO expected_column
SELECT view, split_part(c, ' ', 1), substr(c, strpos(c, ' ') + 1)
FROM (VALUES
	('pii_columns', 'relation regclass,column_name name,category text,method text,'
		'params jsonb,policy text,after interval,tagged_at timestamp with time zone,'
		'tagged_by text,is_dropped boolean'),
	('subjects', 'subject text,relation regclass,column_name name,'
		'linked_at timestamp with time zone,linked_by text'),
	('policies', 'policy text,relation regclass,action text,after interval,'
		'clock text,filter text,zone text,every interval,run_window text,'
		'rate integer,max_fraction real,state text,reason text,'
		'version integer,next_run timestamp with time zone,owner name,'
		'cron text,cron_job bigint,failures integer,cascades text[]'),
	('policy_history', 'policy text,version integer,operation text,'
		'changed_at timestamp with time zone,changed_by text,old jsonb,new jsonb'),
	('runs', 'run_id bigint,policy text,relation regclass,action text,state text,'
		'started_at timestamp with time zone,finished_at timestamp with time zone,'
		'cutoff timestamp with time zone,rows bigint,batches bigint,'
		'blocked bigint,held bigint,error text,blocked_cause text,'
		'policy_version integer,started_by text,pid integer,relation_name text'),
	('deletions', 'deletion_id bigint,run_id bigint,policy text,'
		'relation regclass,action text,rows bigint,cutoff timestamp with time zone,'
		'happened_at timestamp with time zone,actor text,application text,'
		'reason text,parent_id bigint,txid xid8,policy_version integer,'
		'relation_name text,leaf text,key_columns text[],digests bytea'),
	('progress', 'pid integer,run_id bigint,policy text,relation regclass,'
		'leaf regclass,phase text,rows bigint,blocked bigint,batches bigint,'
		'blocks_done bigint,blocks_total bigint,'
		'started_at timestamp with time zone,waiting_for text'),
	('health', 'severity text,subject text,finding text,hint text')
) v(view, columns)
	CROSS JOIN LATERAL regexp_split_to_table(columns, ',') c;

SELECT is(
	(SELECT string_agg(format('%s %s', e."column", e.type), ', ' ORDER BY e."column")
	FROM expected_column e
	WHERE e.view = v.view
		AND NOT EXISTS (
			SELECT
			FROM pg_attribute a
			WHERE a.attrelid = ('retention.' || v.view)::regclass
				AND a.attname = e."column"
				AND format_type(a.atttypid, a.atttypmod) = e.type)),
	NULL, format('retention.%s: no column is missing', v.view))
FROM (SELECT DISTINCT view FROM expected_column) v
ORDER BY v.view;

SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_proc p
		WHERE p.pronamespace = 'retention'::regnamespace
			AND obj_description(p.oid, 'pg_proc') IS NULL$$,
	'every function has a comment');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c
		WHERE c.relnamespace = 'retention'::regnamespace AND c.relkind = 'v'
			AND obj_description(c.oid, 'pg_class') IS NULL$$,
	'every view has a comment');

-- Grants: what filters or checks by itself is open, nothing else is.

SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c
			CROSS JOIN LATERAL aclexplode(c.relacl) a
		WHERE c.relnamespace = 'retention'::regnamespace
			AND a.grantee = 0 AND (c.relkind <> 'v' OR a.privilege_type <> 'SELECT')$$,
	'nobody but its owner may touch a table of the extension');
SELECT is_empty(
	$$SELECT e.name FROM expected e
			JOIN pg_proc p ON p.proname = e.name
				AND p.pronamespace = 'retention'::regnamespace
		WHERE NOT EXISTS (SELECT FROM aclexplode(p.proacl) a
			WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')$$,
	'everybody may call what checks rights by itself');
SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_proc p
		WHERE p.pronamespace = 'retention'::regnamespace AND p.prosecdef$$,
	'no function is SECURITY DEFINER');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c
		WHERE c.relnamespace = 'retention'::regnamespace AND c.relkind = 'v'
			AND NOT coalesce('security_barrier=true' = ANY (c.reloptions), false)$$,
	'every view is a security barrier');

-- Settings: unit, default, and where they can be set.

SELECT is(s.boot_val || ' ' || coalesce(s.unit, '-') || ' ' || s.context,
	e.expected, 'retention.' || e.name)
FROM (VALUES
	('enabled', 'on - sighup'),
	('naptime', '10 s sighup'),
	('max_workers', '2 - sighup'),
	('max_clock_step', '300 s sighup'),
	('batch_target', '250 ms user'),
	('batch_rows', '100000 - user'),
	('batch_timeout', '60000 ms superuser'),
	('admin_role', ' - superuser'),
	('auditor_role', ' - superuser'),
	('zone', ' - user'),
	('reason', ' - user')) e(name, expected)
	LEFT JOIN pg_settings s ON s.name = 'retention.' || e.name
ORDER BY e.name;

SELECT * FROM finish();
