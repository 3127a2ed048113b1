# A policy in the hands of the real pg_cron, without our workers and beside
# them. pg_cron counts in minutes, so this test waits for one twice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

# pg_cron connects by libpq to cron.host, which may be a socket directory.
my $node = new_node(
	'cron',
	'shared_preload_libraries' => 'pg_cron',
	'cron.database_name' => 'postgres',
	'retention.naptime' => '1h');
if (!has_extension_files($node, 'pg_cron'))
{
	plan skip_all => 'pg_cron is not installed';
}
$node->append_conf('postgresql.conf', "cron.host = '" . $node->host . "'");
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

sub make_table
{
	my ($name) = @_;

	sql(qq{
		CREATE TABLE $name (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO $name SELECT i, now() - interval '60 days'
			FROM generate_series(1, 10) i});
	return;
}

# -------------------------------------------- without pg_cron, and without us

make_table('crondata');
sql("SELECT retention.add_policy('crondata', 'delete', '30 days', 'at')");
my ($code, $stdout, $stderr) = $node->psql('postgres',
	"SELECT retention.schedule('crondata_delete', '* * * * *')");
like($stderr, qr/extension "pg_cron" is not in this database/,
	'schedule() wants the extension');
sql('CREATE EXTENSION pg_cron');

is( sql("SELECT count(*) FROM retention.health WHERE finding LIKE '%not preloaded%'"),
	1, 'health says that there are no workers');
is(sql('SELECT preloaded FROM retention._processes()'), 'f', 'they are not there');
make_table('handmade');
sql("SELECT retention.add_policy('handmade', 'delete', '30 days', 'at', every => '0')");
sql("CALL retention.run_policy('handmade_delete')");
is(sql('SELECT count(*) FROM handmade'), 0, 'runs by hand work without preloading');
is(sql('SELECT count(*) FROM retention.progress'), 0, 'progress is empty');
($code, $stdout, $stderr) = $node->psql('postgres', 'SELECT retention.accept_clock()');
like($stderr, qr/not preloaded/, 'accept_clock() says what is missing');

# ----------------------------------------------------------------- a real job

my $job = sql("SELECT retention.schedule('crondata_delete', '* * * * *')");
is( sql("SELECT schedule, command FROM cron.job WHERE jobid = $job"),
	"* * * * *|CALL retention.run_policy('crondata_delete')",
	'schedule() makes a job of pg_cron');
is( sql("SELECT cron, cron_job = $job FROM retention.policies WHERE policy = 'crondata_delete'"),
	'* * * * *|t', 'the policy knows it');
sql('CALL retention.run_due()');
is(sql('SELECT count(*) FROM crondata'), 10, 'run_due() leaves the policy alone');
is( sql("SELECT retention.schedule('crondata_delete', '* * * * *') <> $job"),
	't', 'scheduled again it gets a new job');
is(sql('SELECT count(*) FROM cron.job'), 1, 'and the old one is gone');

ok( wait_until($node, "SELECT state = 'succeeded' AND rows = 10 AND started_by = 'postgres'
		FROM retention.runs WHERE policy = 'crondata_delete'", seconds => 90),
	'pg_cron runs the policy')
  or diag(sql('SELECT * FROM cron.job_run_details'));
is(sql('SELECT count(*) FROM crondata'), 0, 'the rows are gone');
ok( wait_until($node, "SELECT count(*) = 1 FROM cron.job_run_details WHERE status = 'succeeded'"),
	'pg_cron is content');

# --------------------------------------------------------- both preloaded

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron,retention'");
$node->restart;
make_table('witness');
sql("INSERT INTO crondata VALUES (1, now() - interval '60 days')");
sql("SELECT retention.alter_policy('crondata_delete', every => '1 second')");
sql("SELECT retention.add_policy('witness', 'delete', '30 days', 'at', every => '1 second')");
ok( wait_until($node, "SELECT count(*) >= 3 FROM retention.runs WHERE policy = 'witness_delete'"),
	'with both preloaded, workers run what is theirs');
is( sql("SELECT count(*) FROM retention.runs WHERE policy = 'crondata_delete'
		AND started_by = 'retention worker'"),
	0, 'and leave alone what is in the hands of pg_cron');

sql("SELECT retention.unschedule('crondata_delete')");
is(sql('SELECT count(*) FROM cron.job'), 0, 'unschedule() removes the job');
ok( wait_until($node, "SELECT count(*) > 0 FROM retention.runs WHERE policy = 'crondata_delete'
		AND started_by = 'retention worker'"),
	'and the workers take the policy back');
($code, $stdout, $stderr) = $node->psql('postgres',
	"SELECT retention.unschedule('crondata_delete')");
like($stderr, qr/was not handed to pg_cron/, 'unschedule() twice is an error');

sql("SELECT retention.schedule('crondata_delete', '0 3 * * *')");
sql("SELECT retention.drop_policy('crondata_delete')");
is(sql('SELECT count(*) FROM cron.job'), 0, 'drop_policy() removes the job');

# A job that somebody else removed is no obstacle.
$job = sql("SELECT retention.schedule('witness_delete', '0 3 * * *')");
sql("SELECT cron.unschedule($job)");
sql("SELECT retention.unschedule('witness_delete')");
is(sql("SELECT cron IS NULL AND cron_job IS NULL FROM retention.policies WHERE policy = 'witness_delete'"),
	't', 'a job that is gone already is no obstacle');

# A policy whose name wants quoting, of a role that is no superuser.
sql(q{
	CREATE ROLE owner1 LOGIN;
	GRANT USAGE ON SCHEMA cron TO owner1;
	GRANT CREATE ON SCHEMA public TO owner1;
	SET ROLE owner1;
	CREATE TABLE theirs (id int PRIMARY KEY, at timestamptz);
	INSERT INTO theirs VALUES (1, '2020-01-01');
	SELECT retention.add_policy('theirs', 'delete', '30 days', 'at', name => 'it''s "theirs"');
	SELECT retention.schedule('it''s "theirs"', '* * * * *')});
is( sql('SELECT username, command FROM cron.job'),
	q{owner1|CALL retention.run_policy('it''s "theirs"')},
	'the job belongs to who made it');
ok( wait_until($node, 'SELECT count(*) = 0 FROM theirs', seconds => 90),
	'and runs with their rights')
  or diag(sql('SELECT * FROM cron.job_run_details'));
is( sql(q{SELECT started_by FROM retention.runs WHERE policy = 'it''s "theirs"' ORDER BY run_id LIMIT 1}),
	'owner1', 'the run says who started it');
sql(q{SELECT retention.drop_policy('it''s "theirs"')});
is(sql('SELECT count(*) FROM cron.job'), 0,
	'a superuser who drops the policy removes the job of another');

sql('DROP EXTENSION pg_cron');
is( sql("SELECT retention.pause_policy('witness_delete', 'x')"), '',
	'policies live on without pg_cron');

without_crash($node);
$node->stop;
done_testing();
