# A fast shutdown takes less than five seconds whatever a run is doing, and
# after a restart the work goes on by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $node = new_node('shutdown', 'retention.naptime' => '1h',
	'retention.batch_rows' => 1000);
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

# A BEFORE trigger that sleeps as long as the table "slow" says.
sql(q{
	CREATE TABLE slow (table_name text, seconds float8);
	CREATE FUNCTION sleepy() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(seconds) FROM public.slow WHERE table_name = TG_TABLE_NAME;
		RETURN OLD;
	END $$});

sub make_table
{
	my ($name, $rows) = @_;

	sql(qq{
		CREATE TABLE $name (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO $name
			SELECT i, now() - CASE WHEN i <= $rows THEN interval '60 days'
				ELSE interval '1 day' END
			FROM generate_series(1, 2 * $rows) i});
	return;
}

sub add_policy
{
	my ($table, $more) = @_;

	sql("SELECT retention.add_policy('$table', 'delete', '30 days', 'at'"
		  . ($more // '') . ')');
	return;
}

# Whether a run has got to where it shall be interrupted.
sub is_waiting_for
{
	my ($event, $backend_type) = @_;

	$backend_type //= 'retention worker';
	return wait_until($node, "SELECT count(*) > 0 FROM pg_stat_activity
		WHERE backend_type = '$backend_type' AND pid <> pg_backend_pid()
			AND coalesce(wait_event, 'none') = '$event'");
}

# Stops the server, starts it again after $meanwhile, and checks what has
# become of the run.
sub stop_and_start
{
	my ($name, $table, $rows) = @_;

	cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 5,
		"$name: a fast shutdown is fast");
	$node->start;
	sql('DELETE FROM slow');
	ok( wait_until($node, "SELECT count(*) = $rows FROM $table"),
		"$name: the work goes on after a restart");
	ok( wait_until($node, "SELECT count(*) = 0 FROM retention.run
			WHERE state = 'running'"),
		"$name: no run is left running");
	is( sql("SELECT count(*), string_agg(state, ',') FROM (SELECT state FROM retention.run
			WHERE policy = '${table}_delete' ORDER BY run_id LIMIT 1) r
			WHERE state IN ('crashed', 'cancelled')"),
		'1|crashed', "$name: the run that was stopped is marked");
	is( sql("SELECT count(*) FROM retention.run WHERE policy = '${table}_delete'
			AND state <> 'succeeded'"),
		1, "$name: once");
	is( sql("SELECT sum(rows) FROM retention.deletions WHERE policy = '${table}_delete'"),
		$rows, "$name: every row is recorded once");
	return;
}

# The rate makes it sleep between batches.
make_table('paced', 20);
add_policy('paced', ', rate => 4');
ok(wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE rows > 0 AND waiting_for = 'rate'"), 'rate: a run sleeps');
stop_and_start('rate', 'paced', 20);

# In the middle of a batch.
make_table('busy', 3000);
sql(q{INSERT INTO slow VALUES ('busy', 0.005);
	CREATE TRIGGER sleepy BEFORE DELETE ON busy FOR EACH ROW EXECUTE FUNCTION sleepy()});
add_policy('busy', ', max_fraction => 1');
ok(wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'busy_delete' AND rows > 0"), 'batch: a run works');
stop_and_start('batch', 'busy', 3000);

# In a trigger that sleeps for a minute.
make_table('stuck', 10);
sql(q{INSERT INTO slow VALUES ('stuck', 60);
	CREATE TRIGGER sleepy BEFORE DELETE ON stuck FOR EACH ROW EXECUTE FUNCTION sleepy()});
add_policy('stuck');
ok(is_waiting_for('PgSleep'), 'trigger: a run is in a trigger that sleeps');
stop_and_start('trigger', 'stuck', 10);

# Waiting for a lock. Between its tries it sleeps, so the moment when the
# server stops is random.
make_table('locked', 10);
my $locker = start_background($node,
	['BEGIN; LOCK TABLE locked IN SHARE MODE; SELECT pg_sleep(100)']);
ok(is_waiting_for('PgSleep', 'client backend'), 'lock: a table is locked');
add_policy('locked');
ok(wait_until($node, "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE NOT l.granted AND a.backend_type = 'retention worker'
		UNION ALL SELECT count(*) > 0 FROM retention.runs WHERE policy = 'locked_delete'
		ORDER BY 1 DESC LIMIT 1"),
	'lock: a run waits for it');
cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 5,
	'lock: a fast shutdown is fast');
finish_background($locker);
$node->start;
ok(wait_until($node, 'SELECT count(*) = 10 FROM locked'),
	'lock: the work goes on after a restart');
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.run WHERE state = 'running'"),
	'lock: no run is left running');

# A run by hand.
make_table('hand', 20);
add_policy('hand', ", every => '0', rate => 4");
my $hand = start_background($node, "CALL retention.run_policy('hand_delete')");
ok(wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'hand_delete' AND rows > 0"), 'hand: a run goes on');
cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 5,
	'hand: a fast shutdown is fast');
finish_background($hand);
$node->start;
ok( wait_until($node, "SELECT state = 'crashed' FROM retention.runs
		WHERE policy = 'hand_delete'"),
	'hand: the run is marked by the first worker');
is( sql("SELECT rows = 40 - (SELECT count(*) FROM hand) FROM retention.runs
		WHERE policy = 'hand_delete'"),
	't', 'hand: it counts what it did');
sql("SELECT retention.alter_policy('hand_delete', rate => 0)");
sql("CALL retention.run_policy('hand_delete')");
is(sql('SELECT count(*) FROM hand'), 20, 'hand: the next run does the rest');

# Immediate shutdown is a crash.
make_table('crash', 20);
add_policy('crash', ', rate => 4');
ok(wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'crash_delete' AND rows > 0"), 'immediate: a run goes on');
$node->stop('immediate');
$node->start;
ok(wait_until($node, 'SELECT count(*) = 20 FROM crash'),
	'immediate: the work goes on after a restart');
is( sql("SELECT sum(rows) FROM retention.deletions WHERE policy = 'crash_delete'"),
	20, 'immediate: every row is recorded once');

without_crash($node);
$node->stop;
done_testing();
