-- The install script of retention, made of the files in sql/install.
\echo Use "CREATE EXTENSION retention" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;

-- What the extension keeps. Nobody but its owner reads or writes these
-- tables; users look at the views, which filter themselves.

-- A relation that is or was governed. Records outlive their table, and OIDs
-- do not outlive a dump: everything else points here, and only this table
-- holds the link to the catalog. No foreign keys between these tables:
-- pg_restore loads the data of an extension in any order.
CREATE TABLE retention.relation (
	relation_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	reloid      regclass UNIQUE,    -- NULL: dropped
	name        text NOT NULL,      -- qualified, as last seen
	identity    text NOT NULL       -- of the database that this was written in
);

CREATE TABLE retention.policy (
	policy_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name         text NOT NULL UNIQUE,
	relation_id  integer NOT NULL,
	owner        name NOT NULL,     -- of the relation when the policy was accepted
	owner_oid    oid NOT NULL,
	action       text NOT NULL CHECK (action IN ('delete', 'trash', 'scrub', 'keep')),
	after        interval NOT NULL,
	clock        text NOT NULL,     -- as the user wrote it
	filter       text,
	clock_sql    text NOT NULL,     -- what it was understood to mean
	filter_sql   text,
	clock_type   regtype NOT NULL,
	column_nums  int2[] NOT NULL,   -- the columns that both refer to
	column_names text[] NOT NULL,
	column_types text[] NOT NULL,
	depends      oid[],             -- functions and tables; NULL: not known here
	zone         text NOT NULL,
	zone_matters boolean NOT NULL,  -- to what clock and filter say
	every        interval,          -- NULL: never by a worker
	run_window   text,
	rate         integer,
	max_fraction real NOT NULL,
	state        text NOT NULL CHECK (state IN
		('active', 'paused', 'broken', 'needs_confirmation')),
	reason       text,
	version      integer NOT NULL DEFAULT 1,
	anchor       timestamptz NOT NULL,  -- runs are due at anchor + n * every
	next_run     timestamptz,
	failures     integer NOT NULL DEFAULT 0,
	cascades     text[] NOT NULL DEFAULT '{}',  -- edges that were accepted
	cron         text,              -- the pg_cron schedule it was handed to
	cron_job     bigint,
	identity     text NOT NULL,     -- of the database that this was written in
	-- scrub: all rows that were due then are done, but for what was written
	-- since with a clock of before; the version that holds for; and when all
	-- rows were looked at
	scrubbed_to  timestamptz,
	scrubbed_version integer,
	swept_at     timestamptz
);
CREATE INDEX ON retention.policy (relation_id);

-- Every change of a policy: who, when, old, new.
CREATE TABLE retention.policy_change (
	change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	policy_id  integer NOT NULL,
	relation_id integer NOT NULL,
	policy     text NOT NULL,
	version    integer NOT NULL,
	operation  text NOT NULL,
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL,
	old        jsonb,
	new        jsonb
);
CREATE INDEX ON retention.policy_change (policy_id);

CREATE TABLE retention.run (
	run_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	policy_id      integer NOT NULL,
	policy         text NOT NULL,
	policy_version integer NOT NULL,
	relation_id    integer NOT NULL,
	action         text NOT NULL,
	state          text NOT NULL CHECK (state IN
		('running', 'succeeded', 'failed', 'cancelled', 'paused', 'crashed',
		 'needs_confirmation')),
	started_at     timestamptz NOT NULL,
	finished_at    timestamptz,
	started_by     text NOT NULL,
	pid            integer NOT NULL,
	cutoff         timestamptz NOT NULL,
	rows           bigint NOT NULL DEFAULT 0,  -- cascades included
	batches        bigint NOT NULL DEFAULT 0,
	blocked        bigint NOT NULL DEFAULT 0,
	held           bigint NOT NULL DEFAULT 0,
	blocked_cause  text,
	error          text,
	CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE INDEX ON retention.run (policy_id, run_id);
CREATE INDEX ON retention.run (policy_id) WHERE state = 'running';

-- One row for what one batch took from one table. Written in the transaction
-- that takes the rows; append-only.
CREATE TABLE retention.deletion (
	deletion_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	run_id         bigint,
	policy         text,
	policy_version integer,
	relation_id    integer NOT NULL,
	leaf           text NOT NULL,       -- the table the rows were in
	action         text NOT NULL,
	rows           bigint NOT NULL,
	cutoff         timestamptz,
	happened_at    timestamptz NOT NULL,
	actor          text NOT NULL,
	application    text,
	reason         text,
	parent_id      bigint,              -- the record this one cascaded from
	txid           xid8 NOT NULL,
	key_columns    text[] NOT NULL,     -- what the digests are of
	digests        bytea NOT NULL,      -- 16 bytes a row
	columns        text[]               -- what was scrubbed
);
ALTER TABLE retention.deletion ALTER COLUMN digests SET STORAGE EXTERNAL;
CREATE INDEX ON retention.deletion (relation_id);
CREATE INDEX ON retention.deletion (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX ON retention.deletion (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX ON retention.deletion (relation_id, happened_at)
	WHERE action IN ('restore', 'gap');

-- The secret under which keys are digested; made when it is first needed, so
-- that a restored dump brings its own.
CREATE TABLE retention.digest_key (
	key_id     integer PRIMARY KEY CHECK (key_id = 1),
	key        bytea NOT NULL CHECK (length(key) = 16),
	created_at timestamptz NOT NULL
);

-- The owner of a child table agrees that its rows go with their parents.
CREATE TABLE retention.consent (
	child_id     integer NOT NULL,
	parent_id    integer NOT NULL,
	consented_by name NOT NULL,
	consented_at timestamptz NOT NULL,
	PRIMARY KEY (child_id, parent_id)
);

-- A table whose deleted rows go to the trash.
CREATE TABLE retention.trash_table (
	relation_id integer PRIMARY KEY,
	keep        interval NOT NULL,
	on_capture_error text NOT NULL CHECK (on_capture_error IN ('block', 'allow')),
	enabled_at  timestamptz NOT NULL,
	enabled_by  text NOT NULL
);

-- A version of the row type of a table: what the values of an image are.
CREATE TABLE retention.shape (
	shape_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relation_id  integer NOT NULL,  -- of the table the rows were in
	column_nums  int2[] NOT NULL,   -- 0: dropped since
	column_names text[] NOT NULL,   -- as they are now
	column_types text[] NOT NULL,
	generated    boolean[] NOT NULL,
	identity     text NOT NULL,     -- of the database that this was written in
	signatures   text[] NOT NULL,   -- what the types are made of
	byte_order   text NOT NULL
);
CREATE INDEX ON retention.shape (relation_id);

-- The trash: some rows of one deletion, about a page full. Row n of the
-- deletion has the trash id deletion_id * 1000000 + n. What is purged on one
-- day is in one child table, named after the day; what no child was made for
-- in time is here itself.
CREATE TABLE retention.trash_chunk (
	deletion_id bigint NOT NULL,
	first       integer NOT NULL,      -- the first row, counted from 0
	rows        integer NOT NULL,
	relation_id integer NOT NULL,      -- of the table that has the trash
	shape_id    bigint NOT NULL,
	purge_after timestamptz NOT NULL,  -- infinity: held
	personal_until timestamptz,        -- when personal data is to be looked for
	is_link     boolean NOT NULL,      -- keys of rows that lost their reference
	digests     bytea NOT NULL,        -- 16 bytes a row, as in the record
	images      bytea NOT NULL,
	personal_stamp integer             -- versions of the policies that said so
) WITH (toast_tuple_target = 8160);
ALTER TABLE retention.trash_chunk ALTER COLUMN digests SET STORAGE EXTERNAL;
CREATE INDEX ON retention.trash_chunk (deletion_id, first);
CREATE INDEX ON retention.trash_chunk (purge_after);

-- A table with a trash that was dropped: the table itself waits, in a schema
-- of its own. What it holds counts as in the trash.
CREATE TABLE retention.parked (
	deletion_id bigint PRIMARY KEY,
	relation_id integer NOT NULL,
	purge_after timestamptz NOT NULL,  -- infinity: held
	places      text[] NOT NULL,       -- the schemas it and its partitions wait in
	schemas     text[] NOT NULL,       -- those that they come from, in the same order
	parent      text,                  -- what it was a partition of
	bound       text,
	lost        text[] NOT NULL        -- what DROP ... CASCADE took along
);
CREATE INDEX ON retention.parked (relation_id);

-- The foreign keys from and to it, which would bind the tables that live.
CREATE TABLE retention.parked_key (
	deletion_id bigint NOT NULL,
	table_name  text NOT NULL,      -- the one that refers
	table_oid   oid NOT NULL,
	table_owner name NOT NULL,
	name        text NOT NULL,
	definition  text NOT NULL
);
CREATE INDEX ON retention.parked_key (deletion_id);

-- A column that holds personal data: what it is, and how it is scrubbed. When
-- is said by the policy.
CREATE TABLE retention.pii_tag (
	relation_id integer NOT NULL,
	column_num  int2 NOT NULL,      -- 0: dropped
	column_name text NOT NULL,      -- as last seen
	category    text NOT NULL,
	method      text NOT NULL,
	params      jsonb,
	policy_id   integer NOT NULL,
	tagged_at   timestamptz NOT NULL,
	tagged_by   text NOT NULL,
	identity    text NOT NULL,      -- of the database that this was written in
	PRIMARY KEY (relation_id, column_name)
);
CREATE INDEX ON retention.pii_tag (policy_id);

-- A column with the key of a kind of persons.
CREATE TABLE retention.subject_link (
	subject     text NOT NULL,
	relation_id integer NOT NULL,
	column_name text NOT NULL,      -- as last seen
	column_num  int2 NOT NULL,
	linked_at   timestamptz NOT NULL,
	linked_by   text NOT NULL,
	identity    text NOT NULL,      -- of the database that this was written in
	PRIMARY KEY (subject, relation_id)
);

-- What may still hold values that were scrubbed, until it is built anew.
CREATE TABLE retention.stale_copy (
	copy        regclass PRIMARY KEY,
	relation_id integer NOT NULL,
	filenode    oid NOT NULL,       -- as it was when rows were scrubbed
	scrubbed_at timestamptz NOT NULL
);

-- All of it is the user's: pg_dump takes it along.
SELECT pg_extension_config_dump('retention.relation', '');
SELECT pg_extension_config_dump('retention.relation_relation_id_seq', '');
SELECT pg_extension_config_dump('retention.policy', '');
SELECT pg_extension_config_dump('retention.policy_policy_id_seq', '');
SELECT pg_extension_config_dump('retention.policy_change', '');
SELECT pg_extension_config_dump('retention.policy_change_change_id_seq', '');
SELECT pg_extension_config_dump('retention.run', '');
SELECT pg_extension_config_dump('retention.run_run_id_seq', '');
SELECT pg_extension_config_dump('retention.deletion', '');
SELECT pg_extension_config_dump('retention.deletion_deletion_id_seq', '');
SELECT pg_extension_config_dump('retention.digest_key', '');
SELECT pg_extension_config_dump('retention.consent', '');
SELECT pg_extension_config_dump('retention.trash_table', '');
SELECT pg_extension_config_dump('retention.shape', '');
SELECT pg_extension_config_dump('retention.shape_shape_id_seq', '');
SELECT pg_extension_config_dump('retention.trash_chunk', '');
SELECT pg_extension_config_dump('retention.pii_tag', '');
SELECT pg_extension_config_dump('retention.subject_link', '');
SELECT pg_extension_config_dump('retention.parked', '');
SELECT pg_extension_config_dump('retention.parked_key', '');

CREATE FUNCTION retention._append_only() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_append_only';
COMMENT ON FUNCTION retention._append_only() IS
	'refuses every change of an append-only table but INSERT';

CREATE TRIGGER append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON retention.deletion
	FOR EACH STATEMENT EXECUTE FUNCTION retention._append_only();
ALTER TABLE retention.deletion ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON retention.policy_change
	FOR EACH STATEMENT EXECUTE FUNCTION retention._append_only();
ALTER TABLE retention.policy_change ENABLE ALWAYS TRIGGER append_only;

