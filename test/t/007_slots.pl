# Many policies, few processes: no free slot for a worker is no failure, one
# bad policy stops no other, and a round with nothing to do is cheap.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;
use POSIX ();

plan skip_all => 'needs /proc' unless -e "/proc/$$/stat";

# --------------------------------------------------- no slot for a worker

# One slot each for the launchers of logical replication and of retention,
# and one for whoever is first.
my $node = new_node(
	'slots',
	'max_worker_processes' => 3,
	'max_parallel_workers' => 1,
	'max_parallel_workers_per_gather' => 1,
	'parallel_setup_cost' => 0,
	'parallel_tuple_cost' => 0,
	'min_parallel_table_scan_size' => 0,
	'retention.naptime' => '1s');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

sql('CREATE TABLE big AS SELECT i FROM generate_series(1, 100000) i; ANALYZE big');
sql(q{CREATE FUNCTION hold_on(float8) RETURNS float8 LANGUAGE plpgsql PARALLEL SAFE
	AS $$ BEGIN PERFORM pg_sleep($1); RETURN $1; END $$});
ok( wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'retention worker'"),
	'no worker is there');

# A parallel query that keeps its worker.
my $hog = start_background($node,
	'SELECT count(hold_on(CASE WHEN i % 50000 = 1 THEN 600 ELSE 0 END)) FROM big');
ok( wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'parallel worker'"),
	'the last slot is taken');

for my $n (1 .. 5)
{
	sql(qq{
		CREATE TABLE s$n (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO s$n VALUES (1, '2020-01-01Z');
		SELECT retention.add_policy('s$n', 'delete', '30 days', 'at')});
}
ok( wait_until($node, "SELECT count(*) = 1 FROM retention.health
		WHERE finding LIKE 'no background worker slot has been free since%'"),
	'health says that no slot is free');
sleep 3;
my $log = slurp_file($node->logfile);
is(scalar(() = $log =~ /no background worker slot is free/g),
	1, 'the log says so once');
is(sql('SELECT count(*) FROM retention.runs'), 0, 'no run failed');

sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE query LIKE '%hold_on%' AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
finish_background($hog);
ok( wait_until($node, "SELECT count(*) = 5 FROM retention.runs WHERE state = 'succeeded' AND rows = 1"),
	'everything is served once a slot is free');
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.health"),
	'and health has nothing to say')
  or diag(sql('SELECT * FROM retention.health'));
$log = slurp_file($node->logfile);
is(scalar(() = $log =~ /no background worker slot is free/g),
	1, 'one line for one episode');
without_crash($node);
$node->stop;

# ---------------------------------------------------------- many policies

$node = new_node('many', 'retention.naptime' => '1h',
	'retention.max_workers' => 2, 'retention.enabled' => 'off');
$node->start;
with_extension($node);

# Five policies on each of 200 tables, each of which has a row of its own.
sql(q{
	CREATE TABLE late (id int, at timestamptz);
	SELECT retention.add_policy('late', 'delete', '30 days', 'at', every => '1 day');
	DO $$
	BEGIN
		FOR t IN 1..200 LOOP
			EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, at timestamptz NOT NULL)', t);
			EXECUTE format('INSERT INTO t%s SELECT i, ''2020-01-01Z'' FROM generate_series(1, 5) i', t);
			FOR n IN 1..5 LOOP
				PERFORM retention.add_policy(format('t%s', t)::regclass, 'delete', '30 days', 'at',
					filter => format('id = %s', n), name => format('t%s_%s', t, n), every => '1 day');
			END LOOP;
		END LOOP;
	END $$});

# Some of them are bad, each in its way.
sql(q{
	DROP TABLE t1;
	ALTER TABLE t2 DROP COLUMN at;
	ALTER TABLE t3 ALTER COLUMN id TYPE bigint;
	CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN RAISE EXCEPTION 'not from %', TG_TABLE_NAME USING ERRCODE = 'XX000'; END $$;
	CREATE TRIGGER raises BEFORE DELETE ON t4 FOR EACH STATEMENT EXECUTE FUNCTION raises();
	CREATE TRIGGER raises BEFORE DELETE ON t5 FOR EACH ROW EXECUTE FUNCTION raises();
	CREATE FUNCTION cancels() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN RAISE EXCEPTION 'as if cancelled' USING ERRCODE = 'query_canceled'; END $$;
	CREATE TRIGGER cancels BEFORE DELETE ON t6 FOR EACH ROW EXECUTE FUNCTION cancels();
	CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN RAISE EXCEPTION 'as if shut down' USING ERRCODE = 'admin_shutdown'; END $$;
	CREATE TRIGGER dies BEFORE DELETE ON t7 FOR EACH ROW EXECUTE FUNCTION dies();
	ALTER TABLE t8 OWNER TO pg_database_owner;
	CREATE RULE keep_all AS ON DELETE TO t9 DO INSTEAD NOTHING;
	ALTER TABLE t10 RENAME COLUMN at TO happened_at});

$node->append_conf('postgresql.conf', 'retention.enabled = on');
$node->reload;
my $good = 191 * 5;
my $seconds = seconds_of(sub {
	ok( wait_until($node, "SELECT count(DISTINCT policy) = $good FROM retention.runs
			WHERE state = 'succeeded' AND rows = 1", seconds => 120),
		'every good policy is run');
});
note("$good policies took $seconds s");
is( sql(q{SELECT count(DISTINCT policy) FROM retention.runs
		WHERE state = 'succeeded' AND rows = 1 AND policy LIKE 't10\_%'}),
	5, 'a column that was renamed is followed');
is( sql("SELECT string_agg(DISTINCT substring(policy from '^t[0-9]+'), ',' ORDER BY substring(policy from '^t[0-9]+'))
		FROM retention.policies WHERE state <> 'active' AND policy !~ '^t[67]_'"),
	't1,t2,t3,t4,t8,t9', 'bad policies are stopped, and they alone')
  or diag(sql("SELECT policy, state, reason FROM retention.policies WHERE state <> 'active' ORDER BY 1"));
is( sql("SELECT count(*) FROM retention.health WHERE severity = 'critical'") > 0,
	1, 'health lists them');
is( sql("SELECT count(*) FROM (SELECT policy FROM retention.runs WHERE state = 'succeeded'
		AND policy !~ '^t[67]_' GROUP BY policy HAVING count(*) > 1) p"),
	0, 'no policy ran twice')
  or diag(sql("SELECT policy, count(*), array_agg(pid), array_agg(started_at) FROM retention.runs WHERE state = 'succeeded'
		GROUP BY policy HAVING count(*) > 1 LIMIT 5"));
is( sql("SELECT count(DISTINCT pid) > 1 FROM retention.runs"),
	't', 'two workers shared the work');
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.run WHERE state = 'running'"),
	'no run is left running');

# What a look at a thousand policies costs when none is due. Those that fail
# for now are retried: they would be due.
sql("SELECT retention.drop_policy(policy) FROM retention.policies
	WHERE policy ~ '^t([1-9])_'");
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.policies WHERE next_run < now()"),
	'nothing is due');
sql(q{DO $$
	BEGIN
		FOR t IN 11..19 LOOP
			FOR n IN 6..10 LOOP
				PERFORM retention.add_policy(format('t%s', t)::regclass, 'delete', '30 days', 'at',
					name => format('t%s_%s', t, n), every => '1 day');
			END LOOP;
		END LOOP;
	END $$});
ok( wait_until($node, "SELECT count(*) = 1001 AND bool_and(next_run > now()) FROM retention.policies"),
	'there are a thousand policies');

my $ticks_per_second = POSIX::sysconf(POSIX::_SC_CLK_TCK());

sub cpu_seconds
{
	my ($pid) = @_;
	my ($fields) = slurp_file("/proc/$pid/stat") =~ /\) (.*)/;
	my @fields = split ' ', $fields;

	return ($fields[11] + $fields[12]) / $ticks_per_second;
}

my $session = $node->background_psql('postgres');
my $rounds = 'CALL retention.run_due();' x 10;
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('CALL retention.run_due()');
my $before = cpu_seconds($pid);
$session->query_safe($rounds);
my $cpu = (cpu_seconds($pid) - $before) / 10;
cmp_ok($cpu, '<', 1, 'a round with nothing due costs less than a second');
note("a round over 1001 policies costs $cpu s of CPU");
$session->quit;

without_crash($node);
$node->stop;
done_testing();
