\pset footer off
\pset title 'What the policies would do now (retention.preview)'
SELECT p.policy, v.relation, v.due, v.held, v.kept, v.oldest::date
FROM retention.policies p
	CROSS JOIN LATERAL retention.preview(p.policy) v
WHERE p.action = 'delete'
ORDER BY p.policy;
