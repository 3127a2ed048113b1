# kill -9 of the worker at random moments, many times, while a million rows
# go. Afterwards an independent witness, logical decoding, must agree with the
# deletion records transaction by transaction, and with the rows that are
# left.
#
# RETENTION_KILLS (100) and RETENTION_ROWS (1000000) make it smaller.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'needs /proc' unless -e "/proc/$$/task/$$/children";

my $kills = $ENV{RETENTION_KILLS} || 100;
my $rows = $ENV{RETENTION_ROWS} || 1_000_000;

# So few rows in a batch that the work lasts for more than all the kills: a
# worker lives for a few dozen batches.
my $batch_rows = int($rows / $kills / 150) || 1;

my $seed = $ENV{RETENTION_SEED} || time;
srand($seed);
note("RETENTION_SEED=$seed");

my $node = new_node(
	'crash',
	wal_level => 'logical',
	'retention.batch_target' => '10ms',
	'retention.batch_rows' => $batch_rows,
	'retention.naptime' => '1h',
	'max_wal_size' => '4GB');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

# One in ten rows is not due, all over the table.
my $all = int($rows * 10 / 9);
sql("CREATE TABLE victim (id bigint PRIMARY KEY, at timestamptz NOT NULL)");
sql("INSERT INTO victim
	SELECT i, '2020-01-01Z'::timestamptz
		+ CASE WHEN i % 10 = 0 THEN interval '1000 years' ELSE '0' END
	FROM generate_series(1, $all) i");
$rows = sql("SELECT count(*) FROM victim WHERE id % 10 <> 0");
oracle_slot($node);
sql('CHECKPOINT');
sql("SELECT retention.add_policy('victim', 'delete', '30 days', 'at',
	max_fraction => 1)");

# ------------------------------------------------------------------ kills

# Waits for a worker other than the last one killed and kills it after a
# while. Every moment has its turn, but few kills come before the first batch:
# a policy that crashes without getting anywhere has to wait.
my $killed = 0;
my $give_up = time + 60;
my $last = 0;
my $idle_since = time;

while ($killed < $kills && time < $give_up)
{
	my ($pid) = grep { $_ != $last } worker_pids($node);
	if (!defined $pid)
	{
		# After crashes before its first batch the policy waits ever longer;
		# the test does not want to (nor to change the policy, as
		# resume_policy() would).
		if (time - $idle_since > 3)
		{
			eval {
				$node->psql('postgres',
					"UPDATE retention.policy SET next_run = now(), failures = 0;
					SELECT retention._wake()");
			};
			$idle_since = time;
		}
		usleep(2_000);
		next;
	}
	$idle_since = time;
	usleep(int(rand() < 0.1 ? rand(30_000) : 30_000 + rand(70_000)));
	next unless kill 'KILL', $pid;
	$last = $pid;
	$killed++;
	$give_up = time + 60;
}
is($killed, $kills, "a worker was killed $kills times");

# -------------------------------------------------------------- clean run

ok( wait_until($node, "SELECT count(*) = 0 FROM victim WHERE id % 10 <> 0",
		seconds => 180),
	'the work goes on by itself until all is gone');
ok( wait_until($node, "SELECT state = 'succeeded' FROM retention.runs
		ORDER BY run_id DESC LIMIT 1"),
	'the last run succeeds');

is(sql("SELECT count(*) FROM retention.run WHERE state = 'running'"),
	0, 'no run is left running');
is( sql("SELECT count(*) FROM retention.run WHERE state NOT IN ('succeeded', 'crashed')"),
	0, 'all others crashed');
my $crashed = sql("SELECT count(*) FROM retention.run WHERE state = 'crashed'");
cmp_ok($crashed, '<=', $kills, 'not more of them than kills');
cmp_ok($crashed, '>=', $kills / 4, 'and most kills hit a run');
is( sql("SELECT count(*) FROM retention.run WHERE finished_at < started_at
			OR finished_at IS NULL"),
	0, 'every run has an end');
is( sql("SELECT count(*) FROM retention.run r
		WHERE rows <> (SELECT coalesce(sum(rows), 0) FROM retention.deletion d
			WHERE d.run_id = r.run_id)
		OR batches <> (SELECT count(*) FROM retention.deletion d
			WHERE d.run_id = r.run_id)"),
	0, 'every run counts what its records count');

# ----------------------------------------------------------------- oracle

sql(oracle_sql('public\.victim'));
is(sql('SELECT sum(rows) FROM oracle.wal_deletes'), $rows,
	"the WAL has $rows deletions");
is(sql('SELECT count(*) FROM oracle.mismatch'),
	0, 'in each transaction the records count what the WAL has')
  or diag(sql('SELECT * FROM oracle.mismatch LIMIT 20'));
is( sql("SELECT count(*), count(DISTINCT id) FROM (
		SELECT substring(data from 'id\\[bigint\\]:(\\d+)') AS id
		FROM oracle.wal) w"),
	"$rows|$rows", 'no row was deleted twice');
is( sql("SELECT count(*), min(id % 10), max(id % 10) FROM victim"),
	int($all / 10) . '|0|0', 'all rows that are not due are there');
is( sql("SELECT count(*) FROM (
			SELECT xid, substring(data from 'id\\[bigint\\]:(\\d+)') AS id
			FROM oracle.wal ORDER BY random() LIMIT 100) w
		WHERE (SELECT array_agg(d.txid::text::bigint % (2::bigint ^ 32)::bigint)
			FROM retention.find_deletion('victim', w.id) d) IS DISTINCT FROM ARRAY[w.xid]"),
	0, 'find_deletion() finds each row in its transaction, once');

note("$crashed runs crashed, "
	  . sql('SELECT count(*) FROM retention.deletion') . ' batches');
without_crash($node, 1);
$node->stop;
done_testing();
