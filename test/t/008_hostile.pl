# Triggers of a hostile owner, with workers running: whatever they do, what
# the WAL says about governed tables and what the records say is the same,
# transaction by transaction.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RetentionTest;
use Test::More;

my $node = new_node(
	'hostile',
	wal_level => 'logical',
	'retention.naptime' => '1h',
	'retention.batch_rows' => 40,
	'retention.batch_timeout' => '3s');
$node->start;
with_extension($node);

sub sql { return $node->safe_psql('postgres', @_) }

sql('CREATE ROLE mallory; GRANT CREATE ON SCHEMA public TO mallory');
oracle_slot($node);

# Each trigger has a table of 100 rows of its own, all due, and its body.
# What it deletes itself in a governed table is no work of the policy: such a
# batch must not go through.
my %triggers = (
	none => [ 'BEFORE DELETE ON %s FOR EACH ROW', 'RETURN OLD;' ],
	refuses => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		'IF OLD.id % 7 = 0 THEN RETURN NULL; END IF; RETURN OLD;' ],
	raises => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		"IF OLD.id % 13 = 0 THEN RAISE EXCEPTION 'never %', OLD.id; END IF; RETURN OLD;" ],
	raises_after => [ 'AFTER DELETE ON %s FOR EACH ROW',
		"IF OLD.id % 13 = 0 THEN RAISE EXCEPTION 'never %', OLD.id; END IF; RETURN OLD;" ],
	eats => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		'IF OLD.id % 10 = 0 THEN DELETE FROM public.%s WHERE id = OLD.id + 1; END IF; RETURN OLD;' ],
	eats_after => [ 'AFTER DELETE ON %s FOR EACH ROW',
		'IF OLD.id % 10 = 0 THEN DELETE FROM public.%s WHERE id = OLD.id + 1; END IF; RETURN OLD;' ],
	eats_statement => [ 'AFTER DELETE ON %s FOR EACH STATEMENT',
		'IF pg_trigger_depth() = 1 THEN DELETE FROM public.%s WHERE id > 90; END IF; RETURN NULL;' ],
	eats_other => [ 'AFTER DELETE ON %s FOR EACH ROW',
		'DELETE FROM public.prey WHERE id = OLD.id; RETURN OLD;' ],
	puts_back => [ 'AFTER DELETE ON %s FOR EACH ROW',
		"IF OLD.id %% 10 = 0 THEN INSERT INTO public.%s VALUES (OLD.id, OLD.at); END IF; RETURN OLD;" ],
	swaps => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		'UPDATE public.%s SET at = now() WHERE id = OLD.id + 1; RETURN OLD;' ],
	truncates => [ 'AFTER DELETE ON %s FOR EACH STATEMENT',
		'TRUNCATE public.%s; RETURN NULL;' ],
	hides => [ 'BEFORE DELETE ON %s FOR EACH ROW', q{
		BEGIN
			DELETE FROM public.%s WHERE id = OLD.id + 1 AND OLD.id %% 10 = 0;
			RAISE EXCEPTION 'undo it';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		RETURN OLD;} ],
	writes_log => [ 'BEFORE DELETE ON %s FOR EACH ROW', q{
		BEGIN
			DELETE FROM retention.deletion;
		EXCEPTION WHEN insufficient_privilege THEN NULL;
		END;
		RETURN OLD;} ],
	calls_us => [ 'BEFORE DELETE ON %s FOR EACH ROW', q{
		BEGIN
			CALL retention.run_due();
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		RETURN OLD;} ],
	drops_policy => [ 'AFTER DELETE ON %s FOR EACH STATEMENT',
		"PERFORM retention.drop_policy('%s_delete'); RETURN NULL;" ],
	becomes => [ 'BEFORE DELETE ON %s FOR EACH ROW', q{
		BEGIN
			RESET ROLE;
			ALTER ROLE mallory SUPERUSER;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		RETURN OLD;} ],
	sleeps => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		'IF OLD.id = 50 THEN PERFORM pg_sleep(3600); END IF; RETURN OLD;' ],
	cancels => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		"IF OLD.id = 50 THEN RAISE EXCEPTION 'stop' USING ERRCODE = 'query_canceled'; END IF; RETURN OLD;" ],
	dies => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		"IF OLD.id = 50 THEN RAISE EXCEPTION 'die' USING ERRCODE = 'admin_shutdown'; END IF; RETURN OLD;" ],
	deadlocks => [ 'BEFORE DELETE ON %s FOR EACH ROW',
		"IF OLD.id = 50 THEN RAISE EXCEPTION 'stop' USING ERRCODE = 'deadlock_detected'; END IF; RETURN OLD;" ],
);

sql(q{
	SET ROLE mallory;
	CREATE TABLE prey (id int PRIMARY KEY, at timestamptz NOT NULL);
	INSERT INTO prey SELECT i, now() FROM generate_series(1, 100) i;
	SELECT retention.add_policy('prey', 'delete', '30 days', 'at')});
for my $name (sort keys %triggers)
{
	my ($when, $body) = @{ $triggers{$name} };
	my $table = "t_$name";

	$_ =~ s/%s/$table/g, $_ =~ s/%%/%/g for $when, $body;
	sql(qq{
		SET ROLE mallory;
		CREATE TABLE $table (id int PRIMARY KEY, at timestamptz NOT NULL);
		INSERT INTO $table SELECT i, '2020-01-01Z' FROM generate_series(1, 100) i;
		CREATE FUNCTION f_$name() RETURNS trigger LANGUAGE plpgsql
			AS \$f\$ BEGIN $body END \$f\$;
		CREATE TRIGGER tr $when EXECUTE FUNCTION f_$name();
		SELECT retention.add_policy('$table', 'delete', '30 days', 'at', max_fraction => 1)});
}
my $policies = keys(%triggers) + 1;
ok( wait_until($node, "SELECT count(DISTINCT policy) = $policies FROM retention.runs
		WHERE state <> 'running'", seconds => 120),
	'every policy was run to an end')
  or diag(sql("SELECT policy, state FROM retention.policies WHERE policy NOT IN
		(SELECT policy FROM retention.runs WHERE state <> 'running')"));
ok( wait_until($node, "SELECT count(*) = 0 FROM retention.run WHERE state = 'running'"),
	'no run is left running');

sub left { return sql("SELECT count(*) FROM t_$_[0]") }

is(left('none'), 0, 'a harmless trigger');
is(left('refuses'), 14, 'rows that a trigger refuses stay');
is(left('raises'), 7, 'rows that a trigger raises for stay');
is(left('raises_after'), 7, 'also after the deletion');
is(left('cancels'), 1, 'also as if cancelled');
is(left('dies'), 1, 'also as if shut down');
is(left('deadlocks'), 1, 'also as if in a deadlock');
is(left('writes_log'), 0, 'the log is out of reach');
is(sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"),
	'f', 'nobody has become a superuser');
is( sql("SELECT count(*) FROM retention.health WHERE finding ~ 'could not be deleted|broken|paused|failed'") >= 5,
	1, 'health tells of it');

sql(oracle_sql('public\.(t_\w+|prey)'));
is(sql("SELECT count(*) FROM oracle.mismatch WHERE leaf = 'public.prey'
		AND in_wal IS DISTINCT FROM recorded"),
	0, 'also of another table that a trigger deletes from, without digests')
  or diag(sql("SELECT * FROM oracle.mismatch WHERE leaf = 'public.prey'"));
is( sql("SELECT r.rows, r.rows = (SELECT sum(d.rows) FROM retention.deletions d WHERE d.run_id = r.run_id)
		FROM retention.runs r WHERE policy = 't_drops_policy_delete'"),
	'100|t', 'what a trigger makes of policies is no deletion');
is(sql("SELECT count(*) FROM oracle.mismatch WHERE leaf <> 'public.prey'"),
	0, 'in each transaction the records count what the WAL has')
  or diag(sql('SELECT * FROM oracle.mismatch LIMIT 20'));
cmp_ok(sql('SELECT sum(rows) FROM oracle.wal_deletes'), '>', 1000,
	'of many rows');
note(sql("SELECT r.policy, r.state, r.rows, r.blocked, r.error, p.state FROM retention.runs r
	LEFT JOIN retention.policies p USING (policy) ORDER BY run_id"));

without_crash($node);
$node->stop;
done_testing();
