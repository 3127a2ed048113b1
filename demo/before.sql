\pset footer off
\pset title 'The shop, before'
SELECT 'orders' AS "table", count(*) AS rows, min(closed_at)::date AS oldest,
	count(*) FILTER (WHERE disputed) AS disputed
FROM orders
UNION ALL
SELECT 'order_lines', count(*), NULL, NULL FROM order_lines
UNION ALL
SELECT 'login_events', count(*), min(at)::date, NULL FROM login_events
UNION ALL
SELECT 'trials', count(*), min(started_at + plan_days * interval '1 day')::date,
	NULL
FROM trials
ORDER BY 1;
