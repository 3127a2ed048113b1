# A standby looks and does nothing; once it is promoted, the work goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1,
	'retention.naptime' => '1h');
$primary->start;
with_extension($primary);

$primary->safe_psql('postgres', q{
	CREATE TABLE done (id int PRIMARY KEY, at timestamptz NOT NULL);
	CREATE TABLE slow (LIKE done INCLUDING ALL);
	CREATE TABLE later (LIKE done INCLUDING ALL);
	INSERT INTO done SELECT i, now() - interval '60 days' FROM generate_series(1, 20) i;
	INSERT INTO slow SELECT i, now() - interval '60 days' FROM generate_series(1, 60) i;
	INSERT INTO later SELECT i, now() - i * interval '10 days' FROM generate_series(1, 6) i;
	SELECT retention.add_policy('done', 'delete', '30 days', 'at');
	SELECT retention.add_policy('later', 'delete', '30 days', 'at', every => '0')});
ok( wait_until($primary, "SELECT count(*) = 0 FROM done"),
	'the primary works');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# A run that goes on for longer than the primary will live.
$primary->safe_psql('postgres',
	"SELECT retention.add_policy('slow', 'delete', '30 days', 'at', rate => 2)");
ok( wait_until($standby, "SELECT count(*) = 1 FROM retention.runs
		WHERE policy = 'slow_delete' AND state = 'running' AND rows > 0"),
	'the standby sees a run of the primary');

# ------------------------------------------------------------- the standby

sub standby_query { return $standby->safe_psql('postgres', @_) }

my %pids = server_pids($standby);
is(scalar(grep { /retention/ } values %pids), 0,
	'a standby has neither launcher nor workers');
is( standby_query("SELECT relation, due, held, kept FROM retention.preview('later_delete')"),
	'later|4|0|0', 'preview works there');
is( standby_query("SELECT count(*) FROM retention.explain_row('later', '6')"),
	1, 'so does explain_row');
is( standby_query("SELECT count(*) FROM retention.find_deletion('done', '7')"),
	1, 'and find_deletion');
is( standby_query("SELECT count(*) FROM retention.health WHERE severity = 'critical'"),
	0, 'a standby is not ill');
is(standby_query('SELECT count(*) FROM retention.progress'),
	0, 'nothing is going on there');
for my $command ("CALL retention.run_policy('later_delete')",
	'CALL retention.run_due()',
	"SELECT retention.pause_policy('later_delete', 'x')",
	"SELECT retention.add_policy('later', 'delete', '1 day', 'at', name => 'x')")
{
	my ($code, undef, $stderr) = $standby->psql('postgres', $command);
	isnt($code, 0, "refused on a standby: $command");
	like($stderr, qr/ERROR:  cannot execute .* (during recovery|in a read-only transaction)/,
		'with a clear error');
}

# --------------------------------------------------------------- promotion

$primary->stop('immediate');
$standby->promote;
ok( wait_until($standby, "SELECT count(*) = 2 FROM retention.runs
		WHERE policy = 'slow_delete' AND rows > 0"),
	'after the promotion the work goes on');
is( standby_query("SELECT state, rows = (SELECT sum(d.rows) FROM retention.deletions d
				WHERE d.run_id = r.run_id)
		FROM retention.runs r WHERE policy = 'slow_delete'
		ORDER BY run_id LIMIT 1"),
	'crashed|t', 'the run of the old primary crashed');
is( standby_query("SELECT string_agg(DISTINCT state, ',') FROM retention.policies"),
	'active', 'no policy was paused');
standby_query("SELECT retention.alter_policy('slow_delete', rate => 0)");
standby_query("SELECT retention.resume_policy('slow_delete')");
ok( wait_until($standby, "SELECT count(*) = 0 FROM slow"),
	'until all is gone');
ok( wait_until($standby, "SELECT count(*) = 0 FROM retention.run WHERE state = 'running'"),
	'no run is left running');
is( standby_query("SELECT sum(rows), sum(length(digests)) / 16
		FROM retention.deletions WHERE policy = 'slow_delete'"),
	'60|60', 'every row is recorded once');
standby_query("CALL retention.run_policy('later_delete')");
is(standby_query('SELECT count(*) FROM later'), 2, 'runs by hand work too');

without_crash($standby);
$standby->stop;
done_testing();
