-- Orders: personal data is gone 30 days after they were closed, the rows after
-- 3 months. One table, two policies.
\pset footer off
\set QUIET on
SET ROLE shop;
\pset title 'Which columns of orders hold personal data? (retention.detect_pii)'
SELECT column_name, category, confidence, evidence
FROM retention.detect_pii('orders');

\o /dev/null
SELECT retention.tag_pii('orders', 'recipient_name', 'name', 'mask', '{"first": 1}',
	after => '30 days', clock => 'closed_at');
SELECT retention.tag_pii('orders', 'address', 'address',
	after => '30 days', clock => 'closed_at');
SELECT retention.tag_pii('orders', 'phone', 'phone', 'mask_phone',
	after => '30 days', clock => 'closed_at');
\o
\pset title 'They are tagged (retention.pii_columns) ...'
SELECT column_name, category, method, policy, after
FROM retention.pii_columns
WHERE relation = 'orders'::regclass;

\pset title '... and lose their data before the rows go'
SELECT p.policy, p.action, p.after, v.due, v.kept
FROM retention.policies p
	CROSS JOIN LATERAL retention.preview(p.policy) v
WHERE p.relation = 'orders'::regclass AND p.action <> 'keep'
ORDER BY p.after;

-- It is more than half of the table, so the first run is confirmed by hand.
CALL retention.run_policy('orders_scrub', confirm => true);

\pset title 'Orders by the month since they were closed. Of old ones only those in dispute have their data'
SELECT least(extract(day FROM now() - closed_at)::integer / 30, 3) + 1 AS month,
	count(*) AS orders,
	count(*) FILTER (WHERE address IS NOT NULL) AS "with an address",
	count(*) FILTER (WHERE disputed) AS disputed,
	min(recipient_name) FILTER (WHERE address IS NULL) AS "for example",
	min(phone) FILTER (WHERE address IS NULL) AS phone
FROM orders
WHERE closed_at IS NOT NULL
GROUP BY 1
ORDER BY 1;

\pset title 'The record of it says which columns, and no values (retention.deletions)'
SELECT policy, action, sum(rows) AS rows, columns
FROM retention.deletions
WHERE relation = 'orders'::regclass
GROUP BY policy, action, columns
ORDER BY min(deletion_id);

SELECT order_id AS again
FROM orders
WHERE address IS NULL
ORDER BY order_id DESC
LIMIT 1 \gset
\pset title 'The phone of order ':again' is written again, and goes again (retention.explain_row)'
UPDATE orders SET phone = '090-1111-2222' WHERE order_id = :again;
SELECT policy, verdict, reason FROM retention.explain_row('orders', :'again')
WHERE policy = 'orders_scrub';
CALL retention.run_policy('orders_scrub');
\pset title 'After the next run'
SELECT policy, verdict, reason FROM retention.explain_row('orders', :'again')
WHERE policy = 'orders_scrub';
