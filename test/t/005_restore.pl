# Dump and restore. What comes out elsewhere is complete, and nothing is
# purged there before somebody has looked at it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

# The workers of both clusters are on: they must do nothing wrong by
# themselves.
my $old = new_node('old');
my $new = new_node('new', 'retention.naptime' => '1s');
$old->start;
$new->start;

sub old_sql { return $old->safe_psql('postgres', @_) }

with_extension($old);
old_sql(q{
	CREATE ROLE clerk;
	CREATE SCHEMA "Odd ""schema" AUTHORIZATION clerk;
	CREATE TABLE "Odd ""schema"."Odd table" (
		gone int, also_gone text, id int PRIMARY KEY,
		at timestamptz NOT NULL, kind text);
	ALTER TABLE "Odd ""schema"."Odd table" DROP COLUMN gone, DROP COLUMN also_gone;
	ALTER TABLE "Odd ""schema"."Odd table" OWNER TO clerk;
	INSERT INTO "Odd ""schema"."Odd table"
		SELECT i, now() - i * interval '1 day', CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END
		FROM generate_series(1, 100) i;
	CREATE TABLE parted (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
	INSERT INTO parted SELECT i, '2020-02-01Z' FROM generate_series(1, 10) i;
	CREATE TABLE dropped (id int PRIMARY KEY, at timestamptz);
	INSERT INTO dropped VALUES (1, '2020-01-01'), (2, '2020-01-01');
	SELECT retention.add_policy('"Odd ""schema"."Odd table"', 'delete', '90 days', 'at',
		filter => 'kind = ''a''', name => 'Odd: policy', every => '1 hour',
		run_window => '00:00-24:00', rate => 5000, zone => 'Asia/Tokyo');
	SELECT retention.add_policy('"Odd ""schema"."Odd table"', 'keep', '95 days', 'at',
		filter => 'id = 92', name => 'kept');
	SELECT retention.add_policy('parted', 'delete', '1000 years', 'at', every => '1 hour');
	SELECT retention.add_policy('dropped', 'delete', '30 days', 'at', every => '0')});
ok( wait_until($old, q{SELECT count(*) = 1 FROM retention.runs WHERE policy = 'Odd: policy'
		AND state = 'succeeded'}),
	'there is a history to dump');
old_sql(q{CALL retention.run_policy('dropped_delete')});
old_sql('DROP TABLE dropped');
old_sql(q{SELECT retention.pause_policy('parted_delete', 'it is my wish')});

# The rows that were purged come back with the restore of an older backup:
# here, by hand.
old_sql(q{INSERT INTO "Odd ""schema"."Odd table"
	SELECT i, now() - i * interval '1 day', 'a' FROM generate_series(94, 98, 2) i});

my @evidence = (
	q{SELECT policy, action, after, clock, filter, zone, every, run_window, rate, max_fraction, owner
		FROM retention.policies ORDER BY policy},
	q{SELECT policy, relation, state, rows, batches, cutoff AT TIME ZONE 'UTC' FROM retention.runs
		WHERE relation IS NOT NULL ORDER BY run_id},
	q{SELECT deletion_id, run_id, policy, rows, txid, digests FROM retention.deletion ORDER BY 1},
	q{SELECT policy, version, operation FROM retention.policy_history WHERE operation NOT LIKE 'restore%'
		ORDER BY changed_at, policy, version},
	q{SELECT key FROM retention.digest_key},
	q{SELECT relation_id, name FROM retention.relation ORDER BY 1});

my $dump = $old->basedir . '/dump.sql';
my $archive = $old->basedir . '/dump.tar';
$old->command_ok([ 'pg_dump', '-f', $dump, $old->connstr('postgres') ],
	'pg_dump, plain');
$old->command_ok([ 'pg_dump', '-Fc', '-f', $archive, $old->connstr('postgres') ],
	'pg_dump, custom');
$new->safe_psql('postgres', 'CREATE ROLE clerk');

# What a restored database must be like, whatever restored it.
sub check_restored
{
	my ($node, $database, $how) = @_;
	my $sql = sub { return $node->safe_psql($database, @_) };

	is($sql->($_), old_sql($_), "$how: equal: " . substr($_, 0, 60))
	  for @evidence;

	# Workers look at the database all the time; give them the time for it.
	ok( wait_until($node, "SELECT count(*) = 4 FROM retention.policies
			WHERE state = 'paused' OR action = 'keep'",
			database => $database, seconds => 20),
		"$how: every policy that deletes is paused")
	  or diag($sql->('SELECT policy, action, state, reason FROM retention.policies'));
	is( $sql->(q{SELECT count(*) FROM "Odd ""schema"."Odd table" WHERE id >= 90}),
		9, "$how: nothing was purged");
	is( $sql->('SELECT count(*) FROM parted'), 10, "$how: no partition either");
	like( $sql->(q{SELECT reason FROM retention.policies WHERE policy = 'Odd: policy'}),
		qr/restored from another database/, "$how: the reason is shown");
	is( $sql->(q{SELECT count(*) FROM retention.health
			WHERE subject = 'Odd: policy' AND finding LIKE '%restored from another database%'}),
		1, "$how: health says so");
	is( $sql->(q{SELECT count(*) FROM retention.runs WHERE state = 'running'}),
		0, "$how: no run is running");
	is( $sql->(q{SELECT relation, relation = '"Odd ""schema"."Odd table"'::regclass
			FROM retention.policies WHERE policy = 'Odd: policy'}),
		q{"Odd ""schema"."Odd table"|t}, "$how: the policy knows its table");
	is( $sql->(q{SELECT count(*), min(rows) > 1 FROM retention.find_deletion('"Odd ""schema"."Odd table"', '96')}),
		'1|t', "$how: find_deletion still answers");
	is( $sql->(q{SELECT count(*) FROM retention.find_deletion('"Odd ""schema"."Odd table"', '97')}),
		0, "$how: for what was deleted only");
	is( $sql->(q{SELECT due, kept FROM retention.preview('Odd: policy')}),
		'4|1', "$how: columns are found by name, not by number");
	my ($code, undef, $stderr) =
	  $node->psql($database, q{CALL retention.run_policy('Odd: policy')});
	like($stderr, qr/is paused: restored from another database/,
		"$how: a run by hand is refused");
	$sql->('CALL retention.run_due()');
	is( $sql->(q{SELECT count(*) FROM "Odd ""schema"."Odd table" WHERE id >= 90}),
		9, "$how: run_due() does nothing either");

	$sql->(q{SELECT retention.resume_policy('Odd: policy')});
	ok( wait_until($node, q{SELECT count(*) = 6 FROM "Odd ""schema"."Odd table" WHERE id >= 90},
			database => $database),
		"$how: a resumed policy works");
	is( $sql->(q{SELECT string_agg(id::text, ',' ORDER BY id) FROM "Odd ""schema"."Odd table" WHERE id >= 90}),
		'91,92,93,95,97,99', "$how: on the rows it should, and keeps hold");
	is( $sql->(q{SELECT max(deletion_id) > 0 AND count(*) = count(DISTINCT deletion_id)
			FROM retention.deletion}),
		't', "$how: ids go on");
	is( $sql->(q{SELECT retention.add_policy('parted', 'delete', '900 years', 'at', name => 'fresh')}),
		'fresh', "$how: new policies can be made");
	ok( wait_until($node, q{SELECT count(*) = 1 FROM retention.runs
			WHERE policy = 'fresh' AND state = 'succeeded'}, database => $database),
		"$how: and run");
	return;
}

# The target's workers look while psql restores statement by statement.
$new->safe_psql('postgres', 'CREATE DATABASE plain');
$new->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $new->connstr('plain') ],
	'psql restores the plain dump');
check_restored($new, 'plain', 'plain');

$new->safe_psql('postgres', 'CREATE DATABASE archive');
$new->command_ok([ 'pg_restore', '-j', '2', '-d', $new->connstr('archive'), $archive ],
	'pg_restore restores the archive with two jobs');
check_restored($new, 'archive', 'archive');

# The same cluster, another database.
old_sql('CREATE DATABASE copy');
$old->command_ok([ 'psql', '-Xq', '-1', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $old->connstr('copy') ],
	'psql restores into another database of the same cluster');
check_restored($old, 'copy', 'same cluster');

# CREATE DATABASE ... TEMPLATE is a copy too.
ok( wait_until($old, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'copy'"),
	'nobody is connected');
old_sql('CREATE DATABASE twin TEMPLATE copy');
$old->safe_psql('twin', 'CALL retention.run_due()');
is( $old->safe_psql('twin', "SELECT count(*) FROM retention.policies
		WHERE state = 'active' AND action <> 'keep'"),
	0, 'the policies of a copied database are paused');

# A rename is no copy.
ok( wait_until($old, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'copy'"),
	'nobody is connected');
old_sql('ALTER DATABASE copy RENAME TO renamed');
$old->safe_psql('renamed', 'CALL retention.run_due()');
is( $old->safe_psql('renamed', "SELECT state FROM retention.policies WHERE policy = 'Odd: policy'"),
	'active', 'the policies of a renamed database go on');

without_crash($_) for $old, $new;
$old->stop;
$new->stop;
done_testing();
