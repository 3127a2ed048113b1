# What the TAP tests of retention share: nodes with the library preloaded,
# waiting with deadlines, server processes, and the oracle that compares the
# WAL with the deletion records.
package RetentionTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  new_node with_extension start_background finish_background
  wait_until server_pids worker_pids crash_backend without_crash oracle_slot oracle_sql
  seconds_of has_extension_files
);

# A node with the library preloaded, not started. Settings come last.
sub new_node
{
	my ($name, %settings) = @_;
	my $streaming = delete $settings{allows_streaming};
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init($streaming ? (allows_streaming => $streaming) : ());
	$settings{shared_preload_libraries} //= 'retention';
	$settings{fsync} //= 'off';
	$settings{autovacuum} //= 'off';
	$settings{restart_after_crash} //= 'on';
	$settings{log_line_prefix} //= '%m [%p] %b ';
	$node->append_conf('postgresql.conf',
		join("\n", map { "$_ = '$settings{$_}'" } sort keys %settings));
	return $node;
}

sub with_extension
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres',
		'CREATE EXTENSION pgcrypto; CREATE EXTENSION retention');
	return;
}

# Polls until a query says "t". False after so many seconds.
sub wait_until
{
	my ($node, $query, %params) = @_;
	my $deadline = time + ($params{seconds} // 60);

	while (time < $deadline)
	{
		my ($code, $stdout) =
		  $node->psql($params{database} // 'postgres', $query);
		return 1 if defined $stdout && $code == 0 && $stdout eq 't';
		usleep(100_000);
	}
	diag("gave up waiting for: $query");
	return 0;
}

# The processes below a postmaster, pid => title. Without a connection, so
# also while the server is in recovery. Linux only.
sub server_pids
{
	my ($node) = @_;
	my ($postmaster) = eval {
		slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	};
	my %pids;

	return %pids unless defined $postmaster;
	open(my $children, '<', "/proc/$postmaster/task/$postmaster/children")
	  or return %pids;
	for my $pid (split ' ', <$children> // '')
	{
		open(my $title, '<', "/proc/$pid/cmdline") or next;
		$pids{$pid} = <$title> // '';
		$pids{$pid} =~ s/\0.*//s;
	}
	return %pids;
}

sub worker_pids
{
	my ($node) = @_;
	my %pids = server_pids($node);

	return grep { $pids{$_} =~ /: retention worker/ } sort keys %pids;
}

# Kills a backend with -9, and waits until the server, which restarts all its
# processes for that, has noticed and takes connections again. False when the
# backend was not there, or the server does not come back.
sub crash_backend
{
	my ($node, $pid) = @_;
	my %before = server_pids($node);
	my ($checkpointer) = grep { $before{$_} =~ /: checkpointer/ } keys %before;
	my $deadline = time + 60;

	return 0 if !$pid || !kill('KILL', $pid);
	while ($checkpointer && time < $deadline)
	{
		my %now = server_pids($node);

		last if !exists $now{$checkpointer};
		usleep(1000);
	}
	return wait_until($node, 'SELECT true');
}

# Starts a command in a session of its own, without waiting for its end.
# Output and errors come from finish_background().
sub start_background
{
	my ($node, $sql, %params) = @_;
	my %session = (stdout => '', stderr => '');

	$session{run} = IPC::Run::start(
		[
			$node->installed_command('psql'), '-XAtq',
			'-v', 'ON_ERROR_STOP=1',
			'-d', $node->connstr($params{database} // 'postgres'),
			map { ('-c', $_) } ref $sql ? @$sql : $sql
		],
		'<', \undef, '>', \$session{stdout}, '2>', \$session{stderr},
		IPC::Run::timeout($params{seconds} // 120));
	return \%session;
}

sub finish_background
{
	my ($session) = @_;

	$session->{code} = eval { $session->{run}->finish } ? 0 : 1;
	$session->{run}->kill_kill if $@;
	return $session;
}

# How long something takes, in seconds.
sub seconds_of
{
	my ($code) = @_;
	my $start = time;

	$code->();
	return time - $start;
}

# No process of the node crashed on its own.
sub without_crash
{
	my ($node, $killed) = @_;
	my $log = slurp_file($node->logfile);
	my @signals = $log =~ /was terminated by signal (\d+)/g;

	@signals = grep { $_ != 9 } @signals if $killed;
	unlike($log, qr/PANIC:|TRAP: /, $node->name . ': no assertion failed');
	is(scalar @signals, 0, $node->name . ': no process crashed');
	return;
}

# The oracle: a logical slot sees every DELETE with its transaction. Needs
# wal_level = logical.
sub oracle_slot
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres',
		"SELECT pg_create_logical_replication_slot('oracle', 'test_decoding')"
	);
	return;
}

# Deletions by transaction and table, from the WAL and from the records, and
# where they differ. $tables: a regular expression for qualified names. Makes
# the tables wal_deletes, recorded and mismatch, in a schema of their own.
sub oracle_sql
{
	my ($tables) = @_;

	return <<"SQL";
CREATE SCHEMA IF NOT EXISTS oracle;
CREATE UNLOGGED TABLE oracle.wal AS
	SELECT xid::text::bigint AS xid, data
	FROM pg_logical_slot_get_changes('oracle', NULL, NULL,
		'skip-empty-xacts', '1', 'include-xids', '0')
	WHERE data ~ '^table ($tables): DELETE: ';
CREATE TABLE oracle.wal_deletes AS
	SELECT xid, substring(data from '^table (.*?): DELETE: ') AS leaf,
		count(*) AS rows
	FROM oracle.wal
	GROUP BY 1, 2;
CREATE TABLE oracle.recorded AS
	SELECT txid::text::bigint % (2::bigint ^ 32)::bigint AS xid, leaf,
		sum(rows)::bigint AS rows,
		sum(length(digests)) / 16 AS digests
	FROM retention.deletion
	WHERE leaf ~ '^($tables)\$'
	GROUP BY 1, 2;
CREATE VIEW oracle.mismatch AS
	SELECT xid, leaf, w.rows AS in_wal, r.rows AS recorded, r.digests
	FROM oracle.wal_deletes w
		FULL JOIN oracle.recorded r USING (xid, leaf)
	WHERE w.rows IS DISTINCT FROM r.rows OR r.digests IS DISTINCT FROM r.rows;
SQL
}

# Whether an extension can be created on this installation.
sub has_extension_files
{
	my ($node, $extension) = @_;
	my $sharedir = $node->config_data('--sharedir');

	chomp $sharedir;
	return -e "$sharedir/extension/$extension.control";
}

1;
