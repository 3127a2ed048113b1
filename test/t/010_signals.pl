# Somebody terminates or cancels a worker, or a run by hand, or the launcher:
# the run ends once, the work goes on by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $node = new_node('signals', 'retention.naptime' => '1h');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

sub make_table
{
	my ($name, $rows, $more) = @_;

	sql(qq{
		CREATE TABLE $name (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO $name SELECT i, '2020-01-01Z' FROM generate_series(1, $rows) i;
		SELECT retention.add_policy('$name', 'delete', '30 days', 'at', rate => 10 $more)});
	return wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = '${name}_delete' AND rows > 0");
}

sub launcher
{
	return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'retention launcher'");
}

sub signal_worker
{
	my ($function) = @_;

	return sql("SELECT $function(pid) FROM pg_stat_activity
		WHERE backend_type = 'retention worker'");
}

my $launcher = launcher();

# -------------------------------------------------------------- terminate

ok(make_table('ended', 60, ''), 'a worker works');
for my $n (1 .. 3)
{
	my $run = sql("SELECT max(run_id) FROM retention.runs");
	is(signal_worker('pg_terminate_backend'), 't', "terminated, $n");
	ok( wait_until($node, "SELECT count(*) = 1 FROM retention.progress
			WHERE run_id > $run AND rows > 0"),
		'the next worker goes on')
	  or die 'nothing after this makes sense';
	is( sql("SELECT state FROM retention.runs WHERE run_id = $run"),
		'crashed', 'the run is marked');
}
ok(wait_until($node, 'SELECT count(*) = 0 FROM ended'), 'until all is gone');
ok( wait_until($node, "SELECT string_agg(state, ',' ORDER BY run_id) = 'crashed,crashed,crashed,succeeded'
		FROM retention.runs WHERE policy = 'ended_delete'"),
	'each run ended once');
is(sql("SELECT sum(rows) FROM retention.deletions WHERE policy = 'ended_delete'"),
	60, 'every row is recorded once');

# ----------------------------------------------------------------- cancel

ok(make_table('cancelled', 60, ", every => '3 seconds'"), 'a worker works');
is(signal_worker('pg_cancel_backend'), 't', 'cancelled');
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.runs
		WHERE policy = 'cancelled_delete' AND state = 'cancelled'"),
	'the run is cancelled');
is( sql("SELECT state FROM retention.policies WHERE policy = 'cancelled_delete'"),
	'active', 'the policy is not');
ok(wait_until($node, 'SELECT count(*) = 0 FROM cancelled'),
	'it runs again by its schedule');
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.run WHERE state = 'running'"),
	'no run is left running');
is( sql("SELECT count(*) FROM retention.runs WHERE policy = 'cancelled_delete'
		AND state NOT IN ('cancelled', 'succeeded')"),
	0, 'nothing crashed');
is(sql("SELECT sum(rows) FROM retention.deletions WHERE policy = 'cancelled_delete'"),
	60, 'every row is recorded once');
sql("SELECT retention.drop_policy('cancelled_delete')");

# ---------------------------------------------------------------- by hand

# With statement_timeout as the one who cancels.
sql(q{
	CREATE TABLE hand (id int PRIMARY KEY, at timestamptz NOT NULL);
	INSERT INTO hand SELECT i, '2020-01-01Z' FROM generate_series(1, 60) i;
	SELECT retention.add_policy('hand', 'delete', '30 days', 'at', rate => 10, every => '0')});
my ($code, undef, $stderr) = $node->psql('postgres',
	"SET statement_timeout = '2s'; CALL retention.run_policy('hand_delete')");
isnt($code, 0, 'a run by hand is cancelled');
like($stderr, qr/canceling statement due to statement timeout/, 'the caller is told');
is( sql("SELECT state, error, rows = 60 - (SELECT count(*) FROM hand), rows > 0
		FROM retention.runs WHERE policy = 'hand_delete'"),
	'cancelled|canceling statement due to statement timeout|t|t',
	'the run is cancelled, what it did stays');

# Terminated, it cannot write its end; who comes next does.
my $run = start_background($node, "CALL retention.run_policy('hand_delete')");
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'hand_delete' AND rows > 0"), 'a run by hand goes on');
sql("SELECT pg_terminate_backend(pid) FROM retention.progress");
finish_background($run);
is(sql('SELECT count(*) FROM retention.progress'), 0, 'it is not shown any more');
sql("SELECT retention.alter_policy('hand_delete', rate => 0)");
sql("CALL retention.run_policy('hand_delete')");
is(sql('SELECT count(*) FROM hand'), 0, 'the next run does the rest');
is( sql("SELECT string_agg(state, ',' ORDER BY run_id) FROM retention.runs WHERE policy = 'hand_delete'"),
	'cancelled,crashed,succeeded', 'and marks the one before');

# --------------------------------------------------------------- launcher

is(launcher(), $launcher, 'the launcher was there all the time');
ok(make_table('orphan', 40, ''), 'a worker works');
sql("SELECT pg_terminate_backend($launcher)");
ok( wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'retention launcher' AND pid <> $launcher"),
	'a launcher that is terminated comes back');
ok(wait_until($node, 'SELECT count(*) = 0 FROM orphan'),
	'a worker goes on without it');
ok( wait_until($node, "SELECT string_agg(state, ',') = 'succeeded' FROM retention.runs
		WHERE policy = 'orphan_delete'"),
	'to the end of its run');
sql(q{
	CREATE TABLE fresh (id int PRIMARY KEY, at timestamptz NOT NULL);
	INSERT INTO fresh VALUES (1, '2020-01-01Z');
	SELECT retention.add_policy('fresh', 'delete', '30 days', 'at')});
ok(wait_until($node, 'SELECT count(*) = 0 FROM fresh'), 'the new launcher works');
is( sql('SELECT workers FROM retention._processes()') <= 1, 1, 'no slot is lost');

without_crash($node);
$node->stop;
done_testing();
