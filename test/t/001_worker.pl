# The workers: what is due runs by itself, at once, in every database, and
# nothing stays connected while nothing is due. The launcher naps for an hour
# here, so whatever happens was told to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('worker', 'retention.naptime' => '1h');
$node->start;

sub sql { return $node->safe_psql('postgres', @_) }

# A table with so many rows that are due and as many that are not.
sub make_table
{
	my ($name, $rows, $database) = @_;

	$node->safe_psql($database // 'postgres', qq{
		CREATE TABLE $name (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO $name
			SELECT i, now() - CASE WHEN i <= $rows THEN interval '60 days'
				ELSE interval '1 day' END
			FROM generate_series(1, 2 * $rows) i});
	return;
}

sub runs
{
	my ($policy, $condition) = @_;

	return sql("SELECT count(*) FROM retention.runs
		WHERE policy = '$policy' AND " . ($condition // 'true'));
}

with_extension($node);

# ---------------------------------------------------------- a policy runs

make_table('simple', 10);
my $start = time;
sql("SELECT retention.add_policy('simple', 'delete', '30 days', 'at')");
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.runs
		WHERE policy = 'simple_delete' AND state = 'succeeded'"),
	'a new policy runs at once');
cmp_ok(time - $start, '<', 15, 'within seconds');
is(sql('SELECT count(*), min(id) FROM simple'), '10|11', 'what was due is gone');
is( sql("SELECT rows, started_by FROM retention.runs WHERE policy = 'simple_delete'"),
	'10|retention worker', 'the run says so');
is( sql('SELECT sum(rows), min(actor) FROM retention.deletions'),
	'10|retention worker', 'and so do the records');

# What is not committed is not told.
make_table('undone', 10);
sql("BEGIN; SELECT retention.add_policy('undone', 'delete', '30 days', 'at');
	ROLLBACK");

# -------------------------------------------------------- every and pause

make_table('often', 5);
make_table('pulse', 5);
sql("SELECT retention.add_policy('often', 'delete', '30 days', 'at', every => '1 second')");
sql("SELECT retention.add_policy('pulse', 'delete', '30 days', 'at', every => '1 second')");
ok( wait_until($node, "SELECT count(*) >= 3 FROM retention.runs
		WHERE policy = 'often_delete' AND state = 'succeeded'"),
	'a policy runs again by its schedule');
sql("INSERT INTO often VALUES (1, now() - interval '60 days')");
ok( wait_until($node, 'SELECT count(*) = 5 FROM often'),
	'what has become due meanwhile goes at the next run');
sql("SELECT retention.pause_policy('often_delete', 'a test')");
sql("INSERT INTO often VALUES (1, now() - interval '60 days')");
my $before = runs('pulse_delete');
ok( wait_until($node, "SELECT count(*) > $before + 2 FROM retention.runs
		WHERE policy = 'pulse_delete'"),
	'the others go on while one is paused');
is(sql('SELECT count(*) FROM often'), 6, 'a paused policy does nothing');
sql("SELECT retention.resume_policy('often_delete')");
ok( wait_until($node, 'SELECT count(*) = 5 FROM often'),
	'a resumed policy runs');

# ---------------------------------------------------------------- enabled

sub runs_stand_still
{
	my $count = sql('SELECT count(*) FROM retention.runs');

	sleep 3;
	return $count == sql('SELECT count(*) FROM retention.runs');
}

$node->append_conf('postgresql.conf', 'retention.enabled = off');
$node->reload;
my $still = 0;
for (1 .. 10)
{
	last if $still = runs_stand_still();
}
ok($still, 'without retention.enabled no worker runs anything');
make_table('later', 10);
sql("SELECT retention.add_policy('later', 'delete', '30 days', 'at')");
ok(runs_stand_still(), 'a new policy does not either');
is(sql("SELECT count(*) FROM retention.health WHERE finding LIKE '%enabled is off%'"),
	1, 'health says so');
sql("CALL retention.run_policy('later_delete')");
is(sql('SELECT count(*) FROM later'), 10, 'calls by hand still work');
sql("INSERT INTO later VALUES (1, now() - interval '60 days')");
$before = runs('pulse_delete');
$node->append_conf('postgresql.conf', 'retention.enabled = on');
$node->reload;
ok( wait_until($node, "SELECT count(*) > $before FROM retention.runs
		WHERE policy = 'pulse_delete'"),
	'they go on when it is on again');
sql("SELECT retention.drop_policy('often_delete')");
sql("SELECT retention.drop_policy('pulse_delete')");

# -------------------------------------------------------------- databases

sql('CREATE DATABASE second');
with_extension($node, 'second');
make_table('other', 10, 'second');
$node->safe_psql('second',
	"SELECT retention.add_policy('other', 'delete', '30 days', 'at')");
ok( wait_until($node, 'SELECT count(*) = 10 FROM other', database => 'second'),
	'another database is served');

# --------------------------------------------------------------- progress

make_table('slow', 40);
sql("SELECT retention.add_policy('slow', 'delete', '30 days', 'at', rate => 4)");
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'slow_delete' AND rows BETWEEN 4 AND 36
			AND waiting_for = 'rate' AND relation = 'slow'::regclass
			AND phase = 'windows' AND blocks_total > 0 AND batches > 0
			AND pid IN (SELECT pid FROM pg_stat_activity
				WHERE backend_type = 'retention worker')"),
	'a run that goes on shows its progress');
my ($code, undef, $stderr) =
  $node->psql('postgres', "CALL retention.run_policy('slow_delete')");
like($stderr, qr/policy "slow_delete" is running already/,
	'a policy that is running is not started twice');
sql("SELECT retention.pause_policy('slow_delete', 'enough')");
ok( wait_until($node, "SELECT state = 'paused' AND error = 'enough'
			AND rows BETWEEN 4 AND 40
		FROM retention.runs WHERE policy = 'slow_delete'"),
	'pausing a policy ends its run');
is( sql("SELECT rows = (SELECT sum(d.rows) FROM retention.deletions d WHERE d.run_id = r.run_id)
			AND rows = 80 - (SELECT count(*) FROM slow)
		FROM retention.runs r WHERE policy = 'slow_delete'"),
	't', 'with as many rows as it says');
ok( wait_until($node, 'SELECT count(*) = 0 FROM retention.progress'),
	'and it is not shown any more');

# ------------------------------------------------- nothing stays connected

ok( wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'retention worker'"),
	'no worker stays while nothing is due');
is( sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'retention launcher'"),
	1, 'the launcher does');
my $longest = 0;
for my $n (1 .. 5)
{
	for my $command ("CREATE DATABASE copy TEMPLATE second",
		"ALTER DATABASE copy RENAME TO moved", "DROP DATABASE moved",
		"ALTER DATABASE second RENAME TO third",
		"ALTER DATABASE third RENAME TO second")
	{
		my $seconds = seconds_of(sub { sql($command) });
		$longest = $seconds if $seconds > $longest;
	}
}
cmp_ok($longest, '<', 4, 'databases can be copied, renamed and dropped');

# The launcher looks at new databases when it naps; that is no obstacle.
$node->append_conf('postgresql.conf', 'retention.naptime = 1s');
$node->reload;
$longest = 0;
for my $n (1 .. 5)
{
	for my $command ("CREATE DATABASE copy TEMPLATE second",
		"ALTER DATABASE copy RENAME TO moved", "DROP DATABASE moved")
	{
		my $seconds = seconds_of(sub { sql($command) });
		$longest = $seconds if $seconds > $longest;
	}
}
cmp_ok($longest, '<', 4, 'also while the launcher looks at them');
sql('DROP DATABASE second');
is( sql("SELECT count(*) FROM pg_database WHERE datconnlimit = -2"),
	0, 'no database is left half-dropped');

# ---------------------------------------------------------- the extension

sub slow_run
{
	my ($table) = @_;

	make_table($table, 40);
	sql("SELECT retention.add_policy('$table', 'delete', '30 days', 'at', rate => 4)");
	return wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = '${table}_delete' AND rows > 0");
}

ok(slow_run('ext1'), 'a run goes on');
cmp_ok(seconds_of(sub { sql('DROP EXTENSION retention') }),
	'<', 5, 'the extension can be dropped during a run');
ok( wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'retention worker'"),
	'which ends it');
my $left = sql('SELECT count(*) FROM ext1');
cmp_ok($left, '>', 40, 'without deleting the rest');

sql('CREATE EXTENSION retention');
make_table('again', 10);
sql("SELECT retention.add_policy('again', 'delete', '30 days', 'at')");
ok( wait_until($node, 'SELECT count(*) = 10 FROM again'),
	'a new extension in the same database works');

ok(slow_run('ext2'), 'a run goes on');
sql('BEGIN; DROP EXTENSION retention; ROLLBACK');
$before = sql('SELECT count(*) FROM ext2');
ok( wait_until($node, "SELECT count(*) < $before FROM ext2"),
	'it survives a DROP EXTENSION that is rolled back');
sql('BEGIN; DROP EXTENSION retention; CREATE EXTENSION retention; COMMIT');
ok( wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'retention worker'"),
	'dropped and created in one transaction, it ends the run too');
cmp_ok(sql('SELECT count(*) FROM ext2'), '>', 40, 'and the rest stays');
is(sql('SELECT count(*) FROM retention.runs'), 0, 'the new one has no runs');

# By hand too: nothing may be left locked in the session.
make_table('ext3', 40);
sql("SELECT retention.add_policy('ext3', 'delete', '30 days', 'at', every => '0', rate => 4)");
my $hand = start_background($node, ["CALL retention.run_policy('ext3_delete')",
	"SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object'"]);
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.progress
		WHERE policy = 'ext3_delete' AND rows > 0"),
	'a run by hand goes on');
sql('DROP EXTENSION retention');
finish_background($hand);
unlike($hand->{stderr}, qr/schema "retention" does not exist|you don't own/,
	'a run by hand ends cleanly when the extension is dropped');
is($hand->{stdout}, "0\n", 'and leaves no lock');

is(sql('SELECT count(*) FROM undone'), 20, 'what was never told never ran');
without_crash($node);
$node->stop;
done_testing();
