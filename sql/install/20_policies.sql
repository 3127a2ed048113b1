-- Policies: the functions a DBA calls. Each checks the caller's right on the
-- relation itself, so they may be open to PUBLIC.

CREATE FUNCTION retention.add_policy(
	relation regclass, action text, after interval, clock text,
	filter text DEFAULT NULL, name text DEFAULT NULL, zone text DEFAULT NULL,
	every interval DEFAULT '1 hour', run_window text DEFAULT NULL,
	rate integer DEFAULT NULL, max_fraction real DEFAULT 0.5,
	enabled boolean DEFAULT true)
	RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'retention_add_policy';
COMMENT ON FUNCTION retention.add_policy(regclass, text, interval, text, text,
	text, text, interval, text, integer, real, boolean) IS
	'on this relation, rows that pass the filter: do the action, this long after the clock; returns the policy''s name';

CREATE FUNCTION retention.alter_policy(
	name text, after interval DEFAULT NULL, clock text DEFAULT NULL,
	filter text DEFAULT NULL, zone text DEFAULT NULL,
	every interval DEFAULT NULL, run_window text DEFAULT NULL,
	rate integer DEFAULT NULL, max_fraction real DEFAULT NULL)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_alter_policy';
COMMENT ON FUNCTION retention.alter_policy(text, interval, text, text, text,
	interval, text, integer, real) IS
	'changes a policy: NULL leaves a part as it is, '''' clears it, every ''0'' means by hand only, rate 0 means no limit';

CREATE FUNCTION retention.drop_policy(name text)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_drop_policy';
COMMENT ON FUNCTION retention.drop_policy(text) IS
	'ends a policy; its runs and deletion records stay';

CREATE FUNCTION retention.pause_policy(name text, reason text)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_pause_policy';
COMMENT ON FUNCTION retention.pause_policy(text, text) IS
	'stops a policy, also in the middle of a run, until resume_policy';

CREATE FUNCTION retention.resume_policy(name text)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_resume_policy';
COMMENT ON FUNCTION retention.resume_policy(text) IS
	'checks a policy that is paused, broken or waits for confirmation against the table as it is now, and lets it run again';

CREATE FUNCTION retention.allow_cascade(child regclass, parent regclass)
	RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'retention_allow_cascade';
COMMENT ON FUNCTION retention.allow_cascade(regclass, regclass) IS
	'the owner of a child table agrees that its rows go when a policy of another owner deletes their parents';

CREATE FUNCTION retention.revoke_cascade(child regclass, parent regclass)
	RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'retention_revoke_cascade';
COMMENT ON FUNCTION retention.revoke_cascade(regclass, regclass) IS
	'takes back allow_cascade';

CREATE FUNCTION retention.preview(name text, at timestamptz DEFAULT now())
	RETURNS TABLE (relation regclass, due bigint, held bigint, kept bigint,
		oldest timestamptz)
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_preview';
COMMENT ON FUNCTION retention.preview(text, timestamptz) IS
	'what a run would find now or at another date, by table: rows due, how many of them a hold or a keep policy protects, and the oldest clock among them; cannot write';

CREATE FUNCTION retention.explain_row(relation regclass, VARIADIC key text[])
	RETURNS TABLE (policy text, action text, clock timestamptz,
		due_at timestamptz, verdict text, reason text)
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'retention_explain_row';
COMMENT ON FUNCTION retention.explain_row(regclass, text[]) IS
	'why the row with this primary key is still here, when it goes, and which policy decides';

CREATE PROCEDURE retention.run_policy(name text, confirm boolean DEFAULT false)
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_run_policy';
COMMENT ON PROCEDURE retention.run_policy(text, boolean) IS
	'runs one policy now; batches commit as they go when called outside a transaction block; confirm runs it past max_fraction and outside its run window';

CREATE PROCEDURE retention.run_due()
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_run_due';
COMMENT ON PROCEDURE retention.run_due() IS
	'runs every policy that is due now and that the caller may run';

CREATE FUNCTION retention.schedule(name text, cron text)
	RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'retention_schedule';
COMMENT ON FUNCTION retention.schedule(text, text) IS
	'hands a policy to pg_cron: makes a cron job that calls run_policy, and the workers leave it alone; returns the job id';

CREATE FUNCTION retention.unschedule(name text)
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_unschedule';
COMMENT ON FUNCTION retention.unschedule(text) IS
	'takes a policy back from pg_cron';

CREATE FUNCTION retention.accept_clock()
	RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'retention_accept_clock';
COMMENT ON FUNCTION retention.accept_clock() IS
	'says that the system clock is right after a jump, so that purging goes on';

-- What the views are made of.

CREATE FUNCTION retention._sees(relation regclass)
	RETURNS boolean LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'retention_sees';
COMMENT ON FUNCTION retention._sees(regclass) IS
	'whether the caller may look at what concerns this relation; NULL asks for what concerns all';

CREATE FUNCTION retention._has_digest(digests bytea, digest bytea)
	RETURNS boolean LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'retention_has_digest';
COMMENT ON FUNCTION retention._has_digest(bytea, bytea) IS
	'whether a packed array of 16-byte digests contains this one';

CREATE FUNCTION retention._key_digests(relation regclass, key text[])
	RETURNS SETOF bytea LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'retention_key_digests';
COMMENT ON FUNCTION retention._key_digests(regclass, text[]) IS
	'the digests under which a deletion of the row with this key may be recorded; the caller must be allowed to look at the relation';

CREATE FUNCTION retention._progress()
	RETURNS TABLE (pid integer, database oid, run_id bigint, policy text,
		relation oid, leaf oid, phase text, rows bigint, blocked bigint,
		batches bigint, blocks_done bigint, blocks_total bigint,
		started_at timestamptz, waiting_for text)
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'retention_progress';
COMMENT ON FUNCTION retention._progress() IS
	'the runs that are going on now, from shared memory';

CREATE FUNCTION retention._processes(OUT preloaded boolean,
		OUT enabled boolean,
		OUT launcher_pid integer, OUT workers integer,
		OUT slots_exhausted_since timestamptz,
		OUT clock_suspended_since timestamptz, OUT clock_jump interval)
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_processes';
COMMENT ON FUNCTION retention._processes() IS
	'how the background processes are, from shared memory';

CREATE FUNCTION retention._wake() RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'retention_wake';
COMMENT ON FUNCTION retention._wake() IS
	'at commit, tells the launcher to look at this database';

CREATE FUNCTION retention._qualified_name(relation regclass)
	RETURNS text LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'retention_qualified_name';
COMMENT ON FUNCTION retention._qualified_name(regclass) IS
	'the name of a relation, schema-qualified and quoted whatever the search_path';

CREATE FUNCTION retention._now() RETURNS timestamptz
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'retention_now';
COMMENT ON FUNCTION retention._now() IS
	'the clock that the extension goes by';

CREATE FUNCTION retention._mismatch(policy text) RETURNS text
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'retention_mismatch';
COMMENT ON FUNCTION retention._mismatch(text) IS
	'why a policy does not fit its table any more; null when it does';

CREATE FUNCTION retention._identity() RETURNS text
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'retention_identity';
COMMENT ON FUNCTION retention._identity() IS
	'which database this is; policies that were written in another are paused';
