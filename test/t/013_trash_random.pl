# Random tables, random rows, deleted in random ways, the table changed in the
# meantime: what comes back is what was there. The seed is told, and can be
# given as RETENTION_SEED.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $seed = $ENV{RETENTION_SEED} // (time ^ $$);
my $rounds = 60;
srand($seed);
note("RETENTION_SEED=$seed");

my $node = new_node('random', 'retention.enabled' => 'off');
$node->start;
with_extension($node);

# A type, and an expression of i for a value of it; sometimes null.
my @types = (
	[ 'integer',       '(i * 7919) % 1000 - 500' ],
	[ 'bigint',        '(i::bigint << 40) - 5' ],
	[ 'smallint',      'i % 30' ],
	[ 'numeric',       '(i / 7.0)::numeric(20,10)' ],
	[ 'numeric(12,3)', 'i * 1.5' ],
	[ 'real',          '(1 / (i + 0.1))::real' ],
	[ 'float8',        'CASE i % 4 WHEN 0 THEN \'-0\'::float8 WHEN 1 THEN \'nan\' ELSE sqrt(i) END' ],
	[ 'boolean',       'i % 2 = 0' ],
	[ 'text',          'repeat(md5(i::text), i % 5)' ],
	[ 'text',          'CASE WHEN i % 10 = 0 THEN repeat(md5(i::text), 3000) ELSE \'\' END' ],
	[ 'varchar(40)',   'md5(i::text)' ],
	[ 'char(8)',       'left(md5(i::text), i % 8)' ],
	[ 'bytea',         'decode(repeat(md5(i::text), i % 40), \'hex\')' ],
	[ 'uuid',          'md5(i::text)::uuid' ],
	[ 'date',          '\'2000-01-01\'::date + i' ],
	[ 'timestamptz',   '\'2000-01-01Z\'::timestamptz + i * interval \'1 hour 1 microsecond\'' ],
	[ 'interval',      'make_interval(months => i % 5 - 2, days => -i, secs => i / 3.0)' ],
	[ 'json',          'format(\'{"b":  %s, "a": "%s"}\', i, md5(i::text))::json' ],
	[ 'jsonb',         'jsonb_build_object(\'k\', i, \'l\', jsonb_build_array(NULL, i * 0.10))' ],
	[ 'integer[]',     'ARRAY[[i, NULL], [2, 3]]' ],
	[ 'text[]',        '(\'[\' || i || \':\' || i + 1 || \']={"",x}\')::text[]' ],
	[ 'mood',          '(ARRAY[\'sad\', \'ok\', \'happy\'])[i % 3 + 1]::mood' ],
	[ 'mood[]',        'ARRAY[NULL, \'ok\']::mood[]' ],
	[ 'pair',          'ROW(i, \'sad\', \'x\')::pair' ],
	[ 'pair[]',        'ARRAY[ROW(i, NULL, md5(i::text))::pair]' ],
	[ 'int4range',     'int4range(i, i + 5)' ],
	[ 'inet',          '(\'10.0.\' || i % 256 || \'.1/8\')::inet' ],
	[ 'positive',      'i + 1' ],
	[ 'bit varying',   'i::bit(12)::varbit' ],
	[ 'tsvector',      'to_tsvector(\'simple\', \'a b \' || i)' ]);
$node->safe_psql('postgres', q{
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TYPE pair AS (a integer, m mood, t text);
	CREATE DOMAIN positive AS integer CHECK (VALUE > 0)});

sub pick { return $_[ int(rand(@_)) ] }

for my $round (1 .. $rounds)
{
	my $rows = int(rand(80));
	my $partitioned = rand() < 0.4;
	my $has_key = rand() < 0.7;
	my @columns = map { { name => "c$_", type => pick(@types), null => rand() < 0.4 } } 1 .. 1 + int(rand(8));
	my $list = join(', ', map { "$_->{name} $_->{type}[0]" } @columns);
	my $values = join(', ', map { $_->{null} ? "CASE WHEN i % 3 <> 0 THEN $_->{type}[1] END" : $_->{type}[1] } @columns);
	my @sql = ('SET client_min_messages TO warning',
		'CREATE TABLE parent (id integer PRIMARY KEY)',
		"INSERT INTO parent SELECT generate_series(0, 9)",
		'CREATE TABLE t (gone text, id integer NOT NULL' . ($has_key ? ' PRIMARY KEY' : '') .
		  ", parent integer REFERENCES parent ON DELETE CASCADE, $list)" . ($partitioned ? ' PARTITION BY RANGE (id)' : ''));
	my @leaves = ('t');

	if ($partitioned)
	{
		push @sql, 'CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (0) TO (20)';
		# the columns of this one have other numbers
		push @sql, "CREATE TABLE t_1 (x integer, $list, id integer NOT NULL, gone text, parent integer)",
		  'ALTER TABLE t_1 DROP COLUMN x',
		  'ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES FROM (20) TO (1000)';
		@leaves = ('t_0', 't_1');
	}
	push @sql, 'ALTER TABLE t DROP COLUMN gone' if rand() < 0.5;
	push @sql, "SELECT retention.enable_trash('t')",
	  'INSERT INTO t (id, parent, ' . join(', ', map { $_->{name} } @columns) . ") SELECT i, i % 10, $values FROM generate_series(0, $rows - 1) i",
	  'CREATE TABLE before AS SELECT * FROM t', 'CREATE TABLE parents AS SELECT * FROM parent';

	# one command, or several
	for (1 .. 1 + int(rand(3)))
	{
		my $leaf = pick(@leaves);
		my $n = int(rand(10));

		push @sql, pick(
			'DELETE FROM t', "DELETE FROM t WHERE id % 10 >= $n", "DELETE FROM $leaf WHERE id % 10 < $n",
			"TRUNCATE t", "TRUNCATE $leaf",
			"DELETE FROM parent WHERE id = $n",
			"MERGE INTO t USING parent p ON p.id = t.parent WHEN MATCHED AND t.id % 10 = $n THEN DELETE",
			"WITH d AS (DELETE FROM t WHERE id % 10 = $n RETURNING 1) SELECT count(*) FROM d",
			"DO 'BEGIN DELETE FROM t WHERE id % 10 = $n; DELETE FROM t WHERE id % 10 = ($n + 1) % 10; END'",
			"DO 'BEGIN BEGIN DELETE FROM t; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN DELETE FROM t WHERE id % 10 = $n; END; END'");
	}

	# the table goes on to live
	my %renamed;
	if (rand() < 0.3)
	{
		push @sql, "ALTER TABLE t RENAME c1 TO \"C 1\"", "ALTER TABLE t ADD c1 text DEFAULT 'another one'";
		$renamed{c1} = '"C 1"';
	}
	push @sql, "ALTER TABLE t ADD late integer NOT NULL DEFAULT 5" if rand() < 0.3;
	push @sql, "ALTER TABLE t RENAME TO renamed" if rand() < 0.2;
	my $table = $sql[-1] =~ /RENAME TO/ ? 'renamed' : 't';

	push @sql, "INSERT INTO parent SELECT * FROM parents ON CONFLICT DO NOTHING",
	  "SELECT count(*) FROM (SELECT DISTINCT deletion_id FROM retention.trash) d, LATERAL retention.restore_deletion(d.deletion_id)";
	my ($code, $stdout, $stderr) = $node->psql('postgres', join(";\n", @sql) . ';');
	is($code, 0, "round $round: all commands work") or diag("$stderr\n" . join(";\n", @sql));

	my $old = join(', ', 'id', 'parent', map { $_->{name} } @columns);
	my $new = join(', ', 'id', 'parent', map { $renamed{ $_->{name} } // $_->{name} } @columns);
	my $same = $node->safe_psql('postgres', qq{
		SELECT (SELECT count(*) FROM $table) = $rows
			AND NOT EXISTS (SELECT FROM (SELECT id, ROW($old) AS r FROM before) b
				WHERE NOT EXISTS (SELECT FROM (SELECT id, ROW($new) AS r FROM $table) n WHERE n.id = b.id AND n.r *= b.r))
			AND NOT EXISTS (SELECT FROM retention.trash)});
	is($same, 't', "round $round: $rows rows, all as they were") or diag(join(";\n", @sql));
	$node->safe_psql('postgres',
		"DROP TABLE $table, before, parent, parents CASCADE; SELECT retention.purge_trash(deleted_before => 'infinity')");
}

without_crash($node);
$node->stop;
done_testing();
