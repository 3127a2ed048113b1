\pset footer off
\pset title 'What the workers did (retention.runs)'
SELECT run_id AS run, policy, state,
	to_char(finished_at - started_at, 'SS.MS') AS seconds,
	rows, batches, blocked, held, started_by
FROM retention.runs
ORDER BY run_id;

\pset title 'The record of it (retention.deletions); 16 bytes a row prove what went, without saying it'
SELECT deletion_id AS id, run_id AS run, parent_id AS parent, policy, relation,
	rows, actor, octet_length(digests) AS digest_bytes
FROM retention.deletions
ORDER BY deletion_id
LIMIT 20;

\pset title 'Where did order ':gone' go? (retention.find_deletion)'
SELECT deletion_id AS id, policy, relation, happened_at, rows
FROM retention.find_deletion('orders', :'gone');

\pset title 'Why is order ':kept', closed long ago, still here? (retention.explain_row)'
SELECT policy, action, clock::date, due_at::date, verdict, reason
FROM retention.explain_row('orders', :'kept');

\pset title 'The shop, after'
SELECT 'orders' AS "table", count(*) AS rows, min(closed_at)::date AS oldest,
	count(*) FILTER (WHERE disputed) AS disputed,
	count(*) FILTER (WHERE disputed AND closed_at < now() - interval '3 months')
		AS "disputed and kept"
FROM orders
UNION ALL
SELECT 'order_lines', count(*), NULL, NULL, NULL FROM order_lines
UNION ALL
SELECT 'login_events', count(*), min(at)::date, NULL, NULL FROM login_events
UNION ALL
SELECT 'trials', count(*), min(started_at + plan_days * interval '1 day')::date,
	NULL, NULL
FROM trials
ORDER BY 1;

\pset title 'Anything to worry about? (retention.health; no rows: all is well)'
\pset footer on
SELECT * FROM retention.health;
