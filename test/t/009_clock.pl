# The clock: a jump suspends purging until somebody says that the clock is
# right. Builds with assertions have a clock that tests can set.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $node = new_node('clock', 'retention.naptime' => '1s');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

if ($node->psql('postgres', "LOAD 'retention'; SHOW retention.test_now") != 0)
{
	$node->stop;
	plan skip_all => 'needs a build with assertions';
}

# Sets the clock of the whole server; '' is the real one.
sub set_clock
{
	my ($now) = @_;

	sql("ALTER SYSTEM SET retention.test_now = '$now'");
	$node->reload;
	return wait_until($node, "SELECT current_setting('retention.test_now') = '$now'");
}

sub is_suspended
{
	return wait_until($node, 'SELECT clock_suspended_since IS NOT NULL FROM retention._processes()');
}

# The launcher looks at the clock in its own time; the answer to whether it
# would suspend again is that of a few looks.
sub stays_accepted
{
	sql('SELECT retention.accept_clock()');
	sleep 3;
	return sql('SELECT clock_suspended_since IS NULL FROM retention._processes()') eq 't';
}

sql(q{
	CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
	INSERT INTO t SELECT i, now() - i * interval '1 day' FROM generate_series(1, 100) i;
	SELECT retention.add_policy('t', 'delete', '80 days', 'at', every => '1 second', max_fraction => 1)});
ok( wait_until($node, "SELECT count(*) >= 3 FROM retention.runs WHERE state = 'succeeded'"),
	'a policy runs every second');
my $left = sql('SELECT count(*) FROM t');
is($left, 79, 'what is due is gone');

# ---------------------------------------------------------------- forward

ok(set_clock('2125-01-01 00:00:00+00'), 'the clock jumps a hundred years');
ok(is_suspended(), 'purging is suspended');
is(sql('SELECT count(*) FROM t'), $left, 'no row goes too early');
is( sql("SELECT count(*) FROM retention.health WHERE severity = 'critical'
		AND subject = 'clock' AND finding LIKE 'the system clock jumped by %'"),
	1, 'health says so');
like(slurp_file($node->logfile), qr/the system clock jumped by \d+ s; purging is suspended/,
	'the log says so');
my (undef, undef, $stderr) = $node->psql('postgres', "CALL retention.run_policy('t_delete')");
like($stderr, qr/paused: the system clock jumped/, 'a run by hand waits too');
$node->psql('postgres', "CALL retention.run_policy('t_delete', confirm => true)");
sql('CALL retention.run_due()');
is(sql('SELECT count(*) FROM t'), $left, 'in whatever way it is asked for');

# A user must not say that the clock is right.
sql('CREATE ROLE somebody');
(undef, undef, $stderr) = $node->psql('postgres',
	'SET ROLE somebody; SELECT retention.accept_clock()');
like($stderr, qr/permission denied to accept the clock/, 'not everybody may accept it');

# ------------------------------------------------------------------- back

ok(set_clock(''), 'the clock is right again');
sleep 2;
is( sql('SELECT clock_suspended_since IS NOT NULL FROM retention._processes()'),
	't', 'that is for a human to say');
my $runs = sql("SELECT count(*) FROM retention.runs WHERE state = 'succeeded'");
ok(stays_accepted(), 'accept_clock() ends it');
is(sql("SELECT count(*) FROM retention.health WHERE subject = 'clock'"),
	0, 'health has nothing to say');
ok( wait_until($node, "SELECT count(*) > $runs FROM retention.runs WHERE state = 'succeeded'"),
	'the policy runs again');
is(sql('SELECT count(*) FROM t'), $left, 'on what is due only');

# A clock that goes back is suspicious as well, and holds nothing up once it
# is accepted.
ok(set_clock('2020-01-01 00:00:00+00'), 'the clock goes back');
ok(is_suspended(), 'purging is suspended');
ok(stays_accepted(), 'accepted, it goes on');
sql("INSERT INTO t VALUES (1000, '2010-01-01Z')");
sql("CALL retention.run_policy('t_delete')");
is(sql('SELECT count(*) FROM t WHERE id = 1000'), 0, 'with the time that it is now');
ok(set_clock(''), 'the clock is right again');
ok(is_suspended(), 'which is a jump, too');

# Accepted for good, a jump forward does what the clock says: that is what
# accepting means.
ok(set_clock('2125-01-01 00:00:00+00'), 'the clock jumps again');
ok(stays_accepted(), 'and somebody says that it is right');
ok(wait_until($node, 'SELECT count(*) = 0 FROM t'), 'then it is');

# ----------------------------------------------------------- small steps

sql("ALTER SYSTEM SET retention.max_clock_step = 0");
ok(set_clock(''), 'the clock jumps back while nobody watches it');
sql('SELECT retention.accept_clock()');
sleep 2;
is( sql('SELECT clock_suspended_since IS NULL FROM retention._processes()'),
	't', 'max_clock_step = 0 turns the guard off');
sql("INSERT INTO t VALUES (1, '2010-01-01Z')");
ok(wait_until($node, 'SELECT count(*) = 0 FROM t'),
	'and what is due is found at once, whatever was planned by the other clock')
  or diag(sql('SELECT next_run, now() FROM retention.policies'));

without_crash($node);
$node->stop;
done_testing();
