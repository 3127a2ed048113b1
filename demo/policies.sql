-- The shop's rules. Each is one call; the workers do the rest.
SET ROLE shop;

-- Orders go 3 months after they were closed, and their lines with them.
SELECT retention.add_policy('orders', 'delete', '3 months', 'closed_at',
	name => 'closed_orders');

-- A disputed order stays for a year after it was closed, whatever else says.
SELECT retention.add_policy('orders', 'keep', '1 year', 'closed_at',
	filter => 'disputed', name => 'disputed_orders');

SELECT retention.add_policy('login_events', 'delete', '30 days', 'at',
	name => 'old_logins');

-- A clock may be an expression: a trial ends plan_days after it began.
SELECT retention.add_policy('trials', 'delete', '7 days',
	'started_at + plan_days * interval ''1 day''', name => 'expired_trials');
