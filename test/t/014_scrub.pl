# Scrubbing that is killed with -9, again and again: in the middle of a
# statement, between batches, at the trash. A row is as it was or scrubbed as a
# whole, whoever looks and whenever; in the end all that is due is scrubbed,
# once, and recorded, which logical decoding bears witness to. Then: a worker
# that comes back looks only at what has become due since.

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

my $node = new_node(
	'scrub',
	wal_level => 'logical',
	'retention.enabled' => 'off',
	'retention.batch_rows' => 100,
	'retention.naptime' => '1s');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

sub set
{
	my ($setting, $value) = @_;

	sql("ALTER SYSTEM SET $setting = '$value'");
	sql('SELECT pg_reload_conf()');
	wait_until($node, "SELECT current_setting('$setting') = '$value'");
	return;
}

# --- the table: one row in ten is not due, and one in six is in the trash
#
# gate() is asked for each row that is due. At one of them it waits, so that a
# process can be found, and killed, in the middle of a statement.

sql(q{
	CREATE TABLE gate (stop_at int);
	INSERT INTO gate VALUES (0);
	CREATE FUNCTION gate(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 10000 AS $$
	BEGIN
		IF id = (SELECT stop_at FROM public.gate) THEN
			PERFORM pg_sleep(300);
		END IF;
		RETURN true;
	END $$;
	CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, phone varchar(20), at timestamptz NOT NULL);
	INSERT INTO people
	SELECT i, 'Yamada ' || i, 'taro' || i || '@example.com', '090-' || lpad(i::text, 8, '0'),
		CASE WHEN i % 10 = 0 THEN now() + '1000 years' ELSE '2020-01-01Z' END
	FROM generate_series(1, 12000) i;
	SELECT retention.tag_pii('people', 'name', 'name', 'mask', '{"first": 1}', clock => 'at', filter => 'gate(id)');
	SELECT retention.tag_pii('people', 'email', 'email', 'tombstone', clock => 'at', filter => 'gate(id)');
	SELECT retention.tag_pii('people', 'phone', 'phone', 'mask_phone', clock => 'at', filter => 'gate(id)');
	SELECT retention.alter_policy('people_scrub', max_fraction => 1);
	SELECT retention.enable_trash('people')});
# in many commands, so that the trash is many chunks
sql(join(';', map { "DELETE FROM people WHERE id > 10000 AND id % 100 = $_" } 0 .. 99));
sql(q{
	CREATE TABLE not_due AS SELECT ctid AS at, xmin::text AS xid, p::text AS value FROM people p WHERE id % 10 = 0;
	CREATE TABLE not_due_trash AS SELECT row_data FROM retention.trash WHERE (row_data ->> 'id')::int % 10 = 0;
	CREATE FUNCTION parts_scrubbed(name text, email text, phone text) RETURNS int LANGUAGE sql
	RETURN (name ~ '^Y\*+$')::int + (email ~ '^erased-[0-9a-f]{32}@erased\.invalid$')::int + (phone ~ '^\*\*\*-\*\*\*\*\d{4}$')::int;
	CREATE VIEW trashed AS SELECT (row_data ->> 'id')::int AS id, row_data ->> 'name' AS name, row_data ->> 'email' AS email, row_data ->> 'phone' AS phone
	FROM retention.trash WHERE relation = 'people'::regclass;
	CREATE VIEW look AS
	WITH here AS (SELECT id, parts_scrubbed(name, email, phone) AS parts FROM people),
		trash AS (SELECT id, parts_scrubbed(name, email, phone) AS parts FROM trashed),
		record AS (SELECT leaf, rows FROM retention.deletions WHERE relation = 'people'::regclass AND action = 'scrub')
	SELECT (SELECT count(*) FROM here WHERE parts NOT IN (0, 3)) + (SELECT count(*) FROM trash WHERE parts NOT IN (0, 3)) AS half,
		(SELECT count(*) FROM here WHERE parts = 3) - (SELECT coalesce(sum(rows), 0) FROM record WHERE leaf <> 'retention.trash') AS unrecorded,
		(SELECT count(*) FROM trash WHERE parts = 3) - (SELECT coalesce(sum(rows), 0) FROM record WHERE leaf = 'retention.trash') AS unrecorded_trash,
		(SELECT count(*) FROM here WHERE parts = 3 AND id % 10 = 0) + (SELECT count(*) FROM trash WHERE parts = 3 AND id % 10 = 0) AS too_early,
		(SELECT count(*) FROM here WHERE parts = 0 AND id % 10 <> 0) AS left_here,
		(SELECT count(*) FROM trash WHERE parts = 0 AND id % 10 <> 0) AS left_trash});
is(sql('SELECT * FROM look'), '0|0|0|0|9000|1800', 'nothing is scrubbed yet');
oracle_slot($node);

my ($kills, $looks, $wrong) = (0, 0, 0);

# One look, in one snapshot. Returns what is left of the table and the trash.
sub look
{
	my $seen = sql('SELECT * FROM look');
	my ($half, $unrecorded, $unrecorded_trash, $too_early, $here, $trash) = split /\|/, $seen;

	$looks++;
	if ($half || $unrecorded || $unrecorded_trash || $too_early)
	{
		$wrong++;
		diag("look $looks: $seen");
	}
	return ($here, $trash);
}

# The process that waits at the gate.
sub at_gate
{
	my $pid;
	my $deadline = time + 120;

	while (time < $deadline)
	{
		$pid = sql(q{SELECT min(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
		return $pid if $pid;
		usleep(20_000);
	}
	return 0;
}

sub start_worker
{
	sql('UPDATE retention.policy SET next_run = now(), failures = 0; SELECT retention._wake()');
	return;
}

sub start_call
{
	return start_background($node, 'CALL retention.run_policy(\'people_scrub\', confirm => true)');
}

# Kills whoever comes to a row, and leads the next one to the next row.
sub kill_at
{
	my ($by, @rows) = @_;
	my $left = 0;

	sql("UPDATE gate SET stop_at = $rows[0]");
	if ($by eq 'worker')
	{
		start_worker();
		set('retention.enabled', 'on');
	}
	for my $i (0 .. $#rows)
	{
		my $session = $by eq 'call' ? start_call() : undef;
		my $pid = at_gate();
		my ($here, $trash) = look();

		# what was committed before the kill stays
		cmp_ok($here, '<', $left, "$by at row $rows[$i]: less is left") if $left > 0;
		$left = $here;
		# the next worker comes by itself
		set('retention.enabled', 'off') if $by eq 'worker' && $i == $#rows;
		sql('UPDATE gate SET stop_at = ' . ($rows[ $i + 1 ] // 0));
		$kills++ if crash_backend($node, $pid);
		finish_background($session) if $session;
		look();
	}
	return;
}

# Kills one after the other when each has scrubbed some rows and then some
# time has passed, at whatever it is just then.
sub kill_after
{
	my ($by, @microseconds) = @_;

	if ($by eq 'worker')
	{
		start_worker();
		set('retention.enabled', 'on');
	}
	for my $time (@microseconds)
	{
		my $session = $by eq 'call' ? start_call() : undef;
		my $pid = '';
		my $deadline = time + 60;

		while ($pid eq '' && time < $deadline)
		{
			usleep(2_000);
			$pid = sql(q{SELECT r.pid FROM retention.run r JOIN pg_stat_activity a USING (pid)
				WHERE r.state = 'running' AND r.rows >= 100});
		}
		usleep($time);
		$kills++ if crash_backend($node, $pid);
		finish_background($session) if $session;
		look();
	}
	stop_workers() if $by eq 'worker';
	return;
}

sub stop_workers
{
	set('retention.enabled', 'off');
	return wait_until($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'retention worker'});
}

# --- kill -9 in the middle of statements

kill_at('worker', 333, 1044, 1755, 2466, 3177);
kill_at('call', 3888, 4599, 5311, 6022);
is($kills, 9, 'nine were killed in the middle of a batch');

# --- and between them: batches that are hardly more than their records

sql('UPDATE gate SET stop_at = 0');
set('retention.batch_rows', 2);
kill_after('worker', 1_000, 4_000, 9_000, 16_000);
kill_after('call', 2_000, 7_000, 13_000);
note("$kills kills");
set('retention.batch_rows', 100);

# --- and at the trash, where a run comes last

my @in_trash = split /\n/, sql(q{SELECT id FROM trashed WHERE id IN (10777, 11385, 11992) ORDER BY id % 100});
kill_at('worker', $in_trash[0]);
my ($here, $trash) = look();
is($here, 0, 'of the table nothing is left');
cmp_ok($trash, '>', 0, 'of the trash there is');
kill_at('call', @in_trash[1, 2]);
cmp_ok($kills, '>=', 12, "$kills kills");

# --- the end

start_worker();
set('retention.enabled', 'on');
ok( wait_until($node, q{SELECT state = 'succeeded' AND started_by = 'retention worker' FROM retention.run ORDER BY run_id DESC LIMIT 1},
		seconds => 120),
	'a worker comes to the end');
is(sql('SELECT * FROM look'), '0|0|0|0|0|0', 'all that is due is scrubbed, and recorded');
is($wrong, 0, "no half row and no row without a record in $looks looks");
stop_workers();
sql('CALL retention.run_policy(\'people_scrub\', confirm => true)');
is( sql('SELECT state, rows, blocked FROM retention.run ORDER BY run_id DESC LIMIT 1'),
	'succeeded|0|0', 'another run finds nothing');

is( sql(q{SELECT count(*) FROM not_due n WHERE NOT EXISTS (
		SELECT FROM people p WHERE p.ctid = n.at AND p.xmin::text = n.xid AND p::text = n.value)}),
	0, 'rows that are not due were not touched');
is( sql(q{SELECT count(*) FROM ((TABLE not_due_trash EXCEPT
		SELECT row_data FROM retention.trash) UNION ALL SELECT NULL FROM not_due_trash HAVING count(*) <> 200) n}),
	0, 'nor in the trash');
is( sql(q{SELECT count(*), count(DISTINCT email) FROM (SELECT email FROM people UNION ALL SELECT email FROM trashed) e}),
	'12000|12000', 'tombstones are unique, in the trash too');
is( sql(q{SELECT count(*) FROM retention.run r
		WHERE rows <> (SELECT coalesce(sum(rows), 0) FROM retention.deletion d WHERE d.run_id = r.run_id)
		OR state NOT IN ('succeeded', 'crashed', 'paused') OR finished_at IS NULL}),
	0, 'every run has an end, and counts what its records count');
is(sql(q{SELECT count(*) FROM retention.run WHERE state = 'crashed'}), $kills, 'as many crashed as were killed');

# what the WAL says: an UPDATE is one row, once, in the transaction of a record
sql(q{
	CREATE UNLOGGED TABLE wal AS
	SELECT xid::text::bigint AS xid, substring(data from 'id\[integer\]:(\d+)')::int AS id
	FROM pg_logical_slot_get_changes('oracle', NULL, NULL, 'skip-empty-xacts', '1', 'include-xids', '0')
	WHERE data ~ '^table public\.people: UPDATE: '});
is(sql('SELECT count(*), count(DISTINCT id) FROM wal'), '9000|9000', 'no row was scrubbed twice');
is( sql(q{SELECT count(*) FROM (SELECT xid, count(*) AS rows FROM wal GROUP BY 1) w
		FULL JOIN (SELECT txid::text::bigint % (2::bigint ^ 32)::bigint AS xid, sum(rows)::bigint AS rows, sum(length(digests)) / 16 AS digests
			FROM retention.deletion WHERE action = 'scrub' AND leaf = 'public.people' GROUP BY 1) r USING (xid)
		WHERE w.rows IS DISTINCT FROM r.rows OR r.digests IS DISTINCT FROM r.rows}),
	0, 'in each transaction the records count what the WAL has');
is( sql(q{SELECT count(*) FROM (SELECT id, xid FROM wal ORDER BY id % 97, id LIMIT 50) w
		WHERE (SELECT array_agg(d.txid::text::bigint % (2::bigint ^ 32)::bigint) FROM retention.find_deletion('people', w.id::text) d
			WHERE d.action = 'scrub') IS DISTINCT FROM ARRAY[w.xid]}),
	0, 'find_deletion() finds each row in its transaction, once');
sql(q{SELECT pg_drop_replication_slot('oracle'); SELECT retention.drop_policy('people_scrub')});

# --- a worker that comes back looks at what has become due since

sql(q{
	CREATE TABLE visits (id int PRIMARY KEY, who text, at timestamptz NOT NULL);
	INSERT INTO visits SELECT i, 'visitor ' || i, now() - interval '1 day' - i * interval '1 second' FROM generate_series(1, 200000) i;
	CREATE INDEX ON visits (at);
	ANALYZE visits;
	SELECT retention.tag_pii('visits', 'who', 'name', 'mask', '{"first": 1}', after => '1 hour', clock => 'at')});
set('retention.batch_rows', 100000);
# the first run takes the whole table, which somebody has to agree to
sql(q{CALL retention.run_policy('visits_scrub', confirm => true); VACUUM ANALYZE visits});
my $left = q{SELECT count(*) FROM visits WHERE who LIKE 'visitor%'};
is(sql($left), 0, '200,000 rows are scrubbed');

# Blocks of the table and its indexes that a run of a worker looks at. What it
# counted is there when it has gone.
sub blocks_of_run
{
	my $blocks = q{SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit FROM pg_statio_all_tables WHERE relname = 'visits'};
	my $last = sql('SELECT max(run_id) FROM retention.run');
	my $before = sql($blocks);

	start_worker();
	set('retention.enabled', 'on');
	my $ended = wait_until($node, "SELECT state = 'succeeded' FROM retention.run WHERE run_id > $last ORDER BY run_id DESC LIMIT 1");
	$ended &&= stop_workers();
	return $ended ? sql($blocks) - $before : 'the run did not end';
}

my $size = sql(q{SELECT relpages FROM pg_class WHERE relname = 'visits'});
my $nothing = blocks_of_run();
cmp_ok($nothing, '<', 100, "of $size blocks a worker that finds nothing looks at $nothing");

# what is due since, beside a row that was written with an old clock
sql(q{
	INSERT INTO visits SELECT i, 'visitor ' || i, now() - interval '1 hour' + interval '1 ms' FROM generate_series(200001, 200100) i;
	INSERT INTO visits VALUES (0, 'visitor 0', '2020-01-01Z')});
wait_until($node, q{SELECT max(at) < now() - interval '1 hour' FROM visits});
my $some = blocks_of_run();
# it gathers the statistics anew, which reads the table once
cmp_ok($some - $size, '<', 1500, "one that finds 100 rows looks at $some");
is(sql($left), 1, 'and scrubs them');
is(sql(q{SELECT id FROM visits WHERE who LIKE 'visitor%'}), 0, 'the row with the old clock waits');
sql(q{CALL retention.run_policy('visits_scrub')});
is(sql($left), 0, 'until somebody runs the policy by hand');

# or for the worker's look at everything, once a day
sql(q{UPDATE visits SET who = 'visitor 7' WHERE id = 7; ANALYZE visits});
blocks_of_run();
is(sql($left), 1, 'what is written again with an old clock, too');
sql(q{UPDATE retention.policy SET swept_at = swept_at - interval '25 hours' WHERE name = 'visits_scrub'});
cmp_ok(blocks_of_run(), '>', $size, 'once a day all is looked at');
is(sql($left), 0, 'and found');

without_crash($node, 1);
$node->stop;
done_testing();
