# Whoever waits for whom in whatever order: the application is never the
# victim of a deadlock with a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $node = new_node('deadlock', 'retention.enabled' => 'off');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

# The trigger makes a batch slow: the application waits for row 1 since long
# when the batch would come to row 3, which the application holds. The batch
# ends before it: somebody waits.
sql(q{
	CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF OLD.id = 2 THEN
			PERFORM pg_sleep(current_setting('test.seconds')::float8);
		END IF;
		RETURN OLD;
	END $$;
	CREATE TRIGGER slow BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION slow();
	SELECT retention.add_policy('t', 'delete', '30 days', 'at', every => '0')});

# Below, about and above what is left of the application's deadlock_timeout
# when the batch begins to wait.
for my $seconds (0.3, 0.6, 0.75, 0.9, 1.1)
{
	sql("TRUNCATE t; INSERT INTO t SELECT i, '2020-01-01Z' FROM generate_series(1, 5) i");
	my $app = $node->background_psql('postgres', on_error_stop => 0);
	my $ndeletions = sql('SELECT count(*) FROM retention.deletions');
	$app->query_safe('BEGIN; SELECT FROM t WHERE id = 3 FOR UPDATE');
	my $run = start_background($node,
		["SET test.seconds = $seconds", "CALL retention.run_policy('t_delete')"]);
	ok( wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity
			WHERE wait_event = 'PgSleep' AND query LIKE 'CALL retention%'"),
		"$seconds s: the batch is on its way");

	# Waits for the batch, which has deleted row 1.
	$app->query('UPDATE t SET at = at WHERE id = 1; COMMIT');
	is($app->{stderr} =~ /deadlock/ ? 'victim' : 'fine', 'fine',
		"$seconds s: the application is not the victim");
	$app->quit;
	finish_background($run);
	is($run->{code}, 0, "$seconds s: the run does not fail") or diag($run->{stderr});
	is(sql("SELECT rows FROM retention.deletions ORDER BY deletion_id OFFSET $ndeletions LIMIT 1"),
		2, "$seconds s: the batch gave way after row 2");
	sql("SET test.seconds = 0; CALL retention.run_policy('t_delete')");
	is(sql('SELECT count(*) FROM t'), 0, "$seconds s: nothing is left");
}

# Here it cannot end before: row 3 is another table's, which the trigger comes
# to in the same breath. Then the batch fails, long before the application
# would look for a deadlock.
sql(q{
	CREATE TABLE other (id int PRIMARY KEY);
	INSERT INTO other VALUES (3);
	CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF OLD.id = 2 THEN
			PERFORM pg_sleep(current_setting('test.seconds')::float8);
			UPDATE public.other SET id = id;
		END IF;
		RETURN OLD;
	END $$});
for my $seconds (0.1, 0.3, 0.5)
{
	sql("TRUNCATE t; INSERT INTO t SELECT i, '2020-01-01Z' FROM generate_series(1, 2) i");
	my $app = $node->background_psql('postgres', on_error_stop => 0);
	$app->query_safe('BEGIN; SELECT FROM other WHERE id = 3 FOR UPDATE');
	my $run = start_background($node,
		["SET test.seconds = $seconds", "CALL retention.run_policy('t_delete')"]);
	ok( wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity
			WHERE wait_event = 'PgSleep' AND query LIKE 'CALL retention%'"),
		"$seconds s, a trigger: the batch is on its way");
	$app->query('UPDATE t SET at = at WHERE id = 1; COMMIT');
	is($app->{stderr} =~ /deadlock/ ? 'victim' : 'fine', 'fine',
		"$seconds s, a trigger: the application is not the victim");
	$app->quit;
	finish_background($run);
	is($run->{code}, 0, "$seconds s, a trigger: the run does not fail") or diag($run->{stderr});
	sql("SET test.seconds = 0; CALL retention.run_policy('t_delete')");
	is(sql('SELECT count(*) FROM t'), 0, "$seconds s, a trigger: the next run does the rest");
}
unlike(slurp_file($node->logfile), qr/client backend ERROR:  deadlock detected\n(?!.*retention policy)/,
	'no deadlock is reported to the application');

without_crash($node);
$node->stop;
done_testing();
