\pset footer off
\set QUIET on
\o /dev/null
SELECT retention.enable_trash('customers');
SELECT retention.enable_trash('orders');
SELECT retention.enable_trash('order_lines');
SELECT retention.enable_trash('trials');
SET application_name TO 'the shop';
SET retention.reason TO 'clicked the wrong button';
\o
\pset title 'The application deletes customer ':customer', with a plain DELETE. Gone:'
WITH gone AS (DELETE FROM customers WHERE customer_id = :customer RETURNING *)
SELECT * FROM gone;

\pset title 'In the trash, with all that went along by cascade (retention.trash)'
SELECT deletion_id AS deletion, relation, count(*) AS rows, min(application) AS application,
	min(reason) AS reason, min(purge_after)::date AS purge_after, left(min(row_data::text), 44) AS "for example"
FROM retention.trash
GROUP BY deletion_id, relation
ORDER BY min(trash_id);

SELECT max(deletion_id) AS deletion FROM retention.trash \gset
\pset title 'What would a restore do? (retention.restore_deletion(':deletion', dry_run => true))'
SELECT relation, verdict, count(*) AS rows
FROM retention.restore_deletion(:deletion, dry_run => true)
GROUP BY relation, verdict
ORDER BY min(row_id);

\pset title 'All of it back (retention.restore_deletion(':deletion'))'
SELECT relation, verdict, count(*) AS rows
FROM retention.restore_deletion(:deletion)
GROUP BY relation, verdict
ORDER BY min(row_id);

\pset title 'Deleted again, and purged from the trash at once, by hand'
WITH gone AS (DELETE FROM customers WHERE customer_id = :customer RETURNING *)
SELECT count(*) AS customers_deleted FROM gone;
SELECT retention.purge_trash('customers') AS customers,
	retention.purge_trash('orders') AS orders,
	retention.purge_trash('order_lines') AS order_lines,
	retention.purge_trash('trials') AS trials;

\pset title 'Each step has its records'
SELECT deletion_id AS id, parent_id AS parent, relation, action, rows, actor, reason
FROM retention.deletions
WHERE deletion_id >= :deletion
ORDER BY deletion_id;
