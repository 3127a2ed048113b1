-- What a user looks at. A role sees what concerns the tables it owns; an
-- auditor, an admin and a superuser see all.

-- A policy that came with a restored dump is paused, also before anything
-- has noticed it.
CREATE FUNCTION retention._policy_state(policy retention.policy,
		OUT state text, OUT reason text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN foreign_born THEN 'paused' ELSE $1.state END,
		CASE WHEN foreign_born THEN 'restored from another database; check it, then call resume_policy'
			ELSE $1.reason END
	FROM (SELECT $1.action <> 'keep'
		AND $1.identity <> retention._identity()) AS f(foreign_born);
END;
COMMENT ON FUNCTION retention._policy_state(retention.policy) IS
	'state and reason of a policy as they hold in this database';

CREATE VIEW retention.policies WITH (security_barrier) AS
SELECT p.name AS policy,
	c.oid::regclass AS relation,
	p.action,
	p.after,
	p.clock,
	p.filter,
	p.zone,
	p.every,
	p.run_window,
	p.rate,
	p.max_fraction,
	s.state,
	s.reason,
	p.version,
	CASE WHEN s.state = 'active' THEN p.next_run END AS next_run,
	p.owner,
	p.cron,
	p.cron_job,
	p.failures,
	p.cascades
FROM retention.policy p
	JOIN retention.relation r USING (relation_id)
	LEFT JOIN pg_class c ON c.oid = r.reloid
	CROSS JOIN LATERAL retention._policy_state(p) s
WHERE retention._sees(c.oid);
COMMENT ON VIEW retention.policies IS 'the policies';

CREATE VIEW retention.policy_history WITH (security_barrier) AS
SELECT c.policy, c.version, c.operation, c.changed_at, c.changed_by, c.old, c.new
FROM retention.policy_change c
	JOIN retention.relation r USING (relation_id)
	LEFT JOIN pg_class t ON t.oid = r.reloid
WHERE retention._sees(t.oid);
COMMENT ON VIEW retention.policy_history IS
	'every change of a policy: who, when, old and new values';

CREATE VIEW retention.runs WITH (security_barrier) AS
SELECT u.run_id,
	u.policy,
	c.oid::regclass AS relation,
	u.action,
	u.state,
	u.started_at,
	u.finished_at,
	u.cutoff,
	u.rows,
	u.batches,
	u.blocked,
	u.held,
	u.error,
	u.blocked_cause,
	u.policy_version,
	u.started_by,
	u.pid,
	r.name AS relation_name
FROM retention.run u
	JOIN retention.relation r USING (relation_id)
	LEFT JOIN pg_class c ON c.oid = r.reloid
WHERE retention._sees(c.oid);
COMMENT ON VIEW retention.runs IS
	'every run of every policy, also those that found nothing; cutoff is the moment that was "now" for the run';

CREATE VIEW retention.deletions WITH (security_barrier) AS
SELECT d.deletion_id,
	d.run_id,
	d.policy,
	c.oid::regclass AS relation,
	d.action,
	d.rows,
	d.cutoff,
	d.happened_at,
	d.actor,
	d.application,
	d.reason,
	d.parent_id,
	d.txid,
	d.policy_version,
	r.name AS relation_name,
	d.leaf,
	d.key_columns,
	d.digests,
	d.columns
FROM retention.deletion d
	JOIN retention.relation r USING (relation_id)
	LEFT JOIN pg_class c ON c.oid = r.reloid
WHERE retention._sees(c.oid);
COMMENT ON VIEW retention.deletions IS
	'the deletion records: what one batch took from one table, with a keyed digest of each key';

CREATE FUNCTION retention.find_deletion(relation regclass, VARIADIC key text[])
	RETURNS SETOF retention.deletions LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
	-- errors of the key come out also where there is no record to compare
	SELECT count(*) FROM retention._key_digests($1, $2);

	SELECT d.*
	FROM retention.deletions d
	WHERE (d.relation = $1 OR d.leaf = retention._qualified_name($1))
		AND EXISTS (
			SELECT FROM retention._key_digests($1, $2) AS k(digest)
			WHERE retention._has_digest(d.digests, k.digest))
	ORDER BY d.deletion_id;
END;
COMMENT ON FUNCTION retention.find_deletion(regclass, text[]) IS
	'the records of deletions of the row that had this key; a table without a primary key is asked with the columns of its replica identity, else with all its columns';

CREATE VIEW retention.progress WITH (security_barrier) AS
SELECT p.pid,
	p.run_id,
	p.policy,
	p.relation::regclass AS relation,
	p.leaf::regclass AS leaf,
	p.phase,
	p.rows,
	p.blocked,
	p.batches,
	p.blocks_done,
	p.blocks_total,
	p.started_at,
	p.waiting_for
FROM retention._progress() p
WHERE p.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND retention._sees(p.relation::regclass);
COMMENT ON VIEW retention.progress IS
	'the runs that are going on now, live from shared memory (with the library preloaded)';

-- One row per finding; none = all is well.
CREATE VIEW retention.health WITH (security_barrier) AS
WITH policies AS (
	SELECT p.policy_id, p.name, p.action, s.state, s.reason, p.every, p.cron,
		p.next_run
	FROM retention.policy p
		JOIN retention.relation r USING (relation_id)
		LEFT JOIN pg_class c ON c.oid = r.reloid
		CROSS JOIN LATERAL retention._policy_state(p) s
	WHERE retention._sees(c.oid)
),
last_runs AS (
	SELECT p.name, p.state, p.action, u.*
	FROM policies p
		CROSS JOIN LATERAL (
			SELECT u.state AS run_state, u.error, u.blocked,
				u.blocked_cause, u.finished_at
			FROM retention.run u
			WHERE u.policy_id = p.policy_id AND u.state <> 'running'
			ORDER BY u.run_id DESC
			LIMIT 1) u
),
processes AS (
	SELECT * FROM retention._processes()
),
trashed AS (
	-- tables with a trash, with their partitions
	SELECT c.oid::regclass AS relation, r.relation_id
	FROM retention.trash_table t
		JOIN retention.relation r USING (relation_id)
		CROSS JOIN LATERAL (
			SELECT r.reloid::oid AS relid
			UNION
			SELECT p.relid FROM pg_partition_tree(r.reloid) p) m
		JOIN pg_class c ON c.oid = m.relid AND c.relkind IN ('r', 'p')
	WHERE r.identity = retention._identity()
		AND retention._sees(r.reloid)
)
SELECT 'critical' AS severity, name AS subject,
	format('the policy is broken: %s', reason) AS finding,
	CASE WHEN action = 'scrub' THEN 'repair the table, or the tags: tag_pii() says what fits, untag_pii() takes one back; then call resume_policy'
		ELSE 'repair the table or the policy (alter_policy), then call resume_policy' END AS hint
FROM policies
WHERE state = 'broken'
UNION ALL
SELECT 'critical', name,
	format('the keep policy does not fit its table, so nothing is deleted there: %s',
		retention._mismatch(name)),
	'repair the table or the policy (alter_policy), then call resume_policy'
FROM policies
WHERE action = 'keep' AND retention._mismatch(name) IS NOT NULL
UNION ALL
SELECT 'warning', name, format('the policy waits for confirmation: %s', reason),
	'look at preview(), then CALL retention.run_policy(name, confirm => true) or mend the policy'
FROM policies
WHERE state = 'needs_confirmation'
UNION ALL
SELECT 'warning', name, format('the policy is paused: %s', reason),
	'call resume_policy when it may run again'
FROM policies
WHERE state = 'paused'
	-- comes back with its table
	AND reason <> 'the table was dropped and is in the trash'
UNION ALL
SELECT 'warning', name, format('the last run %s: %s',
		CASE run_state WHEN 'failed' THEN 'failed' ELSE 'crashed' END,
		coalesce(error, 'the server or the session died')),
	'the policy is tried again by itself; if it fails again, mend the cause'
FROM last_runs
WHERE run_state IN ('failed', 'crashed')
	AND state = 'active'
UNION ALL
SELECT 'warning', name, format('%s rows that are due could not be %s: %s',
		blocked, CASE WHEN action = 'scrub' THEN 'scrubbed' ELSE 'deleted' END, blocked_cause),
	'remove the cause; the rows are tried again at every run'
FROM last_runs
WHERE blocked > 0
UNION ALL
SELECT 'warning', p.name, format('the policy has been due since %s and does not run',
		to_char(p.next_run, 'YYYY-MM-DD HH24:MI:SS TZ')),
	'check retention.enabled, retention.max_workers and that the launcher runs, or call run_due()'
FROM policies p
WHERE p.state = 'active'
	AND p.cron IS NULL
	AND p.next_run < retention._now() - greatest(p.every, interval '10 minutes')
	AND NOT EXISTS (
		SELECT FROM retention.run u
		WHERE u.policy_id = p.policy_id AND u.state = 'running')
UNION ALL
SELECT 'critical', t.relation::text,
	'deleted rows do not go to the trash: its trigger is missing or disabled',
	'call retention.enable_trash() again, which makes and enables its triggers'
FROM trashed t
WHERE NOT EXISTS (
	SELECT FROM pg_trigger g
	WHERE g.tgrelid = t.relation
		AND g.tgname = 'retention_trash'
		AND g.tgfoid = 'retention._capture'::regproc
		AND g.tgenabled IN ('A', 'O'))
UNION ALL
SELECT 'warning', r.name,
	format('%s rows were deleted without going to the trash in the last week: %s',
		sum(d.rows), min(d.reason)),
	'remove the cause; see the records with the action gap in retention.deletions'
FROM retention.deletion d
	JOIN retention.relation r USING (relation_id)
WHERE d.action = 'gap'
	AND d.happened_at > retention._now() - interval '7 days'
	AND retention._sees(r.reloid)
GROUP BY r.name
UNION ALL
SELECT 'warning', 'trash', format('%s has been past its time since %s and is not purged',
		min(d.name), to_char(min(d.day_end), 'YYYY-MM-DD HH24:MI:SS TZ')),
	'check that workers run (retention.enabled), or CALL retention.run_due() as an administrator; look into the server log'
FROM (
	SELECT d.name, d.day_end FROM retention._trash_days() d
	UNION ALL
	SELECT r.name, p.purge_after
	FROM retention.parked p
		JOIN retention.relation r USING (relation_id)) AS d
WHERE d.day_end < retention._now() - interval '6 hours'
	AND retention._sees(NULL)
HAVING count(*) > 0
UNION ALL
SELECT 'info', 'workers', 'the library is not preloaded, so no background worker runs policies',
	'add retention to shared_preload_libraries and restart, or let pg_cron CALL retention.run_due()'
FROM processes
WHERE NOT preloaded
	AND EXISTS (
		SELECT FROM policies
		WHERE state = 'active' AND next_run IS NOT NULL AND cron IS NULL)
UNION ALL
SELECT 'critical', 'workers', 'the launcher does not run',
	'look into the server log'
FROM processes
WHERE preloaded AND launcher_pid IS NULL AND NOT pg_is_in_recovery()
UNION ALL
SELECT 'warning', 'workers', 'retention.enabled is off: workers start nothing',
	'set retention.enabled = on and reload'
FROM processes
WHERE preloaded AND NOT enabled
UNION ALL
SELECT 'warning', 'workers', format('no background worker slot has been free since %s',
		to_char(slots_exhausted_since, 'YYYY-MM-DD HH24:MI:SS TZ')),
	'raise max_worker_processes'
FROM processes
WHERE slots_exhausted_since IS NOT NULL
UNION ALL
SELECT 'warning', s.copy::text, format('it may still hold personal data that was scrubbed on %s',
		to_char(s.scrubbed_at, 'YYYY-MM-DD HH24:MI:SS TZ')),
	CASE c.relkind WHEN 'm' THEN 'REFRESH MATERIALIZED VIEW (not CONCURRENTLY, which keeps the file)'
		ELSE 'REINDEX it: indexes of this kind do not forget' END
FROM retention.stale_copy s
	JOIN pg_class c ON c.oid = s.copy AND c.relfilenode = s.filenode
	JOIN retention.relation r USING (relation_id)
WHERE retention._sees(r.reloid)
UNION ALL
-- by their names alone, and only where tags are in use
SELECT 'info', d.relation::text,
	format('columns look personal and have no tag: %s',
		string_agg(d.column_name::text COLLATE pg_catalog."default", ', '
			ORDER BY d.column_name)),
	'see retention.detect_pii(), which also looks at values, and suggests the tags'
FROM retention.detect_pii(NULL, 0) d
WHERE EXISTS (SELECT FROM retention.pii_tag)
GROUP BY d.relation
UNION ALL
SELECT 'critical', 'clock', format('the system clock jumped by %s; purging is suspended', clock_jump),
	'check the time, then SELECT retention.accept_clock()'
FROM processes
WHERE clock_suspended_since IS NOT NULL;
COMMENT ON VIEW retention.health IS
	'what needs attention, one row per finding; no rows means that all is well';
