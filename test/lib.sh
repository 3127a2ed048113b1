# What the scripts in test/, demo/, bench/ and .ci/ share: finding or
# installing PostgreSQL, building a copy of the tree, throwaway clusters,
# cleaning up. Sourced, never run.
#
# A script that sources this calls start_work once; everything it makes is
# under $work then, and is stopped and removed when the script ends, however
# it ends.

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
oldest_major=15
work=

# ---------------------------------------------------------------- messages

say()
{
	printf -- '-- %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "$0" "$*" >&2
	exit 1
}

# The comment at the top of a script is its help.
usage()
{
	sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

# Runs a command whose failure is not ours. "if" would not do: bash ignores
# set -e in all that a condition calls. Sets $status.
attempt()
{
	set +e
	(set -e; "$@")
	status=$?
	set -e
}

# Runs a command whose output matters only when it fails.
quietly()
{
	local step=$1 log
	shift
	log=$work/log/${step//[^a-z0-9]/_}.log
	if ! "$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		die "$step failed"
	fi
}

# ------------------------------------------------------- work and clean-up

is_root()
{
	[ "$(id -u)" = 0 ]
}

# PostgreSQL refuses to run as root.
server_user()
{
	if id -u postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# Runs a command as the user whom the server runs as. Root's home is closed to
# that user, so HOME moves too.
as_server()
{
	if is_root; then
		runuser -u "$(server_user)" -- env HOME="${work:-/}" "$@"
	else
		"$@"
	fi
}

start_work()
{
	work=$(mktemp -d "${TMPDIR:-/tmp}/retention-XXXXXX")
	trap end_work EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir "$work/log"
}

# The server's user does not exist before PostgreSQL is installed, so the
# directory is handed over afterwards.
share_work()
{
	local old=$work

	is_root || return 0
	chown -R "$(server_user)" "$work"
	if ! as_server test -x "$work"; then
		work=$(mktemp -d /tmp/retention-XXXXXX)
		mv "$old/log" "$work/"
		rmdir "$old"
		chown -R "$(server_user)" "$work"
	fi
}

end_work()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP    # a second signal must not leave things behind
	cd /
	stop_all "$work"
	if [ -n "${RETENTION_KEEP:-}" ]; then
		say "kept: $work"
	else
		rm -rf --one-file-system "$work"
	fi
	exit "$status"
}

# Stops every server whose data directory is below a directory of ours,
# whoever of us started it.
stop_all()
{
	local pidfile

	find "$1" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
		cluster_stop "$(dirname "$pidfile")"
	done
}

# What outlives a script: chroots, the demo's cluster.
cache_dir()
{
	if is_root; then
		echo /var/cache/retention
	else
		echo "${XDG_CACHE_HOME:-$HOME/.cache}/retention"
	fi
}

# -------------------------------------------------------------- PostgreSQL

# The major version of a pg_config, or nothing.
major_of()
{
	"$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
}

# Debian's pg_config also comes with libpq-dev alone, of another version than
# the server perhaps: it counts only with PGXS and a server behind it.
is_usable()
{
	local major

	command -v "$1" >/dev/null 2>&1 || return 1
	major=$(major_of "$1")
	[ -n "$major" ] && [ "$major" -ge "$oldest_major" ] &&
		[ -e "$("$1" --pgxs)" ] && [ -x "$("$1" --bindir)/postgres" ]
}

# The highest major version of a Debian server that is installed, if any.
installed_major()
{
	local dir major best=

	for dir in /usr/lib/postgresql/*; do
		major=${dir##*/}
		[ -x "$dir/bin/postgres" ] && [ "$major" -ge "$oldest_major" ] ||
			continue
		if [ -z "$best" ] || [ "$major" -gt "$best" ]; then
			best=$major
		fi
	done
	echo "$best"
}

# The major version that the distribution's package "postgresql" stands for.
distribution_major()
{
	apt-cache show postgresql 2>/dev/null |
		sed -n 's/^Depends:.*postgresql-\([0-9]*\).*/\1/p' | sort -n | tail -n 1
}

apt_updated=
apt_update()
{
	[ -z "$apt_updated" ] || return 0
	say "apt-get update"
	# A third party's broken source is no reason to stop here.
	apt-get -qq -o Acquire::Retries=3 update \
		>"$work/log/apt_update.log" 2>&1 </dev/null || true
	apt_updated=1
}

apt_install()
{
	command -v apt-get >/dev/null ||
		die "missing, and this is no Debian to install it on: $*"
	is_root ||
		die "missing: $* (install the packages, or run this as root)"
	apt_update
	say "apt-get install $*"
	DEBIAN_FRONTEND=noninteractive quietly "apt-get install" \
		apt-get -q -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
		install --no-install-recommends "$@"
}

# Settles PG_CONFIG: the one given, the one in PATH, another that is
# installed, the distribution's own, in this order.
find_postgres()
{
	local major candidate origin=found

	if [ -n "${PG_CONFIG:-}" ]; then
		origin=given
		candidate=$(command -v "$PG_CONFIG") ||
			die "PG_CONFIG: not found: $PG_CONFIG"
		PG_CONFIG=$(realpath -s "$candidate")
		major=$(major_of "$PG_CONFIG")
		[ -n "$major" ] && [ "$major" -ge "$oldest_major" ] ||
			die "$PG_CONFIG: PostgreSQL $oldest_major or later is needed," \
				"this is $("$PG_CONFIG" --version)"
	elif is_usable pg_config; then
		PG_CONFIG=$(command -v pg_config)
		major=$(major_of "$PG_CONFIG")
	else
		major=$(installed_major)
		if [ -z "$major" ]; then
			origin=installed
			! is_root || apt_update
			major=$(distribution_major)
			[ -n "$major" ] ||
				die "no PostgreSQL found and no package to install (PG_CONFIG?)"
			[ "$major" -ge "$oldest_major" ] ||
				die "the distribution's PostgreSQL is $major," \
					"$oldest_major or later is needed"
		fi
		PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
	fi
	export PG_CONFIG
	install_missing "$major"

	bindir=$("$PG_CONFIG" --bindir)
	sharedir=$("$PG_CONFIG" --sharedir)
	pkglibdir=$("$PG_CONFIG" --pkglibdir)
	version=$("$PG_CONFIG" --version)
	say "$version ($origin: $PG_CONFIG)"
	share_work
}

# Installs what is missing, for the test suites too when $with_tests is set.
# Packages are known only for a PostgreSQL of Debian's own layout; of another
# one's the parts that tests can do without are left out.
with_tests=
install_missing()
{
	local major=$1 bin share pgxs debian='' packages=()

	bin=$("$PG_CONFIG" --bindir 2>/dev/null) || bin=/usr/lib/postgresql/$major/bin
	share=$("$PG_CONFIG" --sharedir 2>/dev/null) || share=/usr/share/postgresql/$major
	pgxs=$("$PG_CONFIG" --pgxs 2>/dev/null) || pgxs=
	[ "$bin" != "/usr/lib/postgresql/$major/bin" ] || debian=1

	if [ -n "$debian" ]; then
		[ -x "$bin/postgres" ] || packages+=("postgresql-$major")
		[ -x "$bin/psql" ] || packages+=("postgresql-client-$major")
		# libpq-dev's pg_config names a PGXS that may not be there.
		[ -e "${pgxs:-/nowhere}" ] || packages+=("postgresql-server-dev-$major")
		[ -e "$share/extension/pg_cron.control" ] ||
			packages+=("postgresql-$major-cron")
	else
		[ -x "$bin/postgres" ] && [ -e "$pgxs" ] ||
			die "$PG_CONFIG: no server and PGXS belong to it"
	fi
	command -v make >/dev/null || packages+=(make)
	command -v gcc >/dev/null || packages+=(gcc libc6-dev)
	command -v perl >/dev/null || packages+=(perl)
	if [ -n "$with_tests" ]; then
		[ -z "$debian" ] || [ -e "$share/extension/pgtap.control" ] ||
			packages+=("postgresql-$major-pgtap")
		command -v prove >/dev/null || packages+=(perl)
		command -v pg_prove >/dev/null ||
			packages+=(libtap-parser-sourcehandler-pgtap-perl)
		perl -MIPC::Run -e 1 2>/dev/null || packages+=(libipc-run-perl)
	fi
	[ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
}

preload_libraries()
{
	if [ -e "$sharedir/extension/pg_cron.control" ]; then
		echo "retention,pg_cron"
	else
		echo "retention"
	fi
}

# ------------------------------------------------------------------- build

# A copy of the sources, without what was built in place: the work tree stays
# clean, and the server's user can read it wherever the original is.
copy_tree()
{
	mkdir -p "$2"
	tar -C "$1" -cf - --anchored --no-wildcards-match-slash \
		--exclude=./.git --exclude='./retention--*.sql' \
		--exclude=./results --exclude=./output_iso --exclude=./tmp_check \
		--exclude=./log --exclude='./src/*.o' --exclude='./src/*.bc' \
		--exclude='./*.so' . |
		tar -C "$2" -xf - --no-same-owner
}

# Builds a copy of the tree with the given make arguments and installs it.
# The copy is in $work/tree afterwards and belongs to the server's user.
build_and_install()
{
	[ -w "$pkglibdir" ] ||
		die "make install writes to $pkglibdir: run this as root," \
			"or with the PG_CONFIG of a PostgreSQL of yours"

	# Two runs that install into the same PostgreSQL wait for each other.
	exec 9<"$pkglibdir"
	if ! flock -n 9; then
		say "waiting for another run that uses $pkglibdir"
		flock 9
	fi

	rm -rf "$work/tree"
	copy_tree "$root" "$work/tree"
	say "make${*:+ $*}"
	quietly make make -s -C "$work/tree" -j "$(nproc)" "$@"
	quietly "make install" make -s -C "$work/tree" install "$@"
	! is_root || chown -R "$(server_user)" "$work/tree"
}

# ---------------------------------------------------------------- clusters

# Makes a cluster in $1/data; settings come from standard input.
cluster_init()
{
	local dir=$1

	cd /    # where we are may be closed to the server's user
	as_server mkdir -p -m 700 "$dir/socket"
	quietly initdb as_server "$bindir/initdb" -D "$dir/data" -U postgres \
		-A trust -E UTF8 --locale=C --no-sync
	{
		# No network, and a socket in a directory of its own: the port is
		# only a name, and no other cluster minds it.
		echo "listen_addresses = ''"
		echo "port = 5432"
		echo "unix_socket_directories = '$dir/socket'"
		cat
	} | as_server tee -a "$dir/data/postgresql.conf" >/dev/null
}

# Starts it and points libpq at it. The lock of build_and_install (9) must
# not go to a server that may outlive us.
cluster_start()
{
	local dir=$1

	if ! as_server "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" \
		-w -t 120 start >"$work/log/pg_ctl.log" 2>&1 </dev/null 9<&-; then
		cat "$work/log/pg_ctl.log" >&2
		as_server tail -n 50 "$dir/server.log" >&2 || true
		die "the cluster in $dir does not start"
	fi
	export PGHOST=$dir/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# Stops the server of a data directory, if there is one.
cluster_stop()
{
	local data=$1 mode

	for mode in fast immediate; do
		as_server "${bindir:-}/pg_ctl" -D "$data" status >/dev/null 2>&1 ||
			return 0
		as_server "$bindir/pg_ctl" -D "$data" -m "$mode" -w -t 30 stop \
			>/dev/null 2>&1 || true
	done
}

# psql for scripts: no startup file, stops at the first error, bare values.
sql()
{
	"$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@" </dev/null
}

# --------------------------------------------------------------- summaries

# Adds up lines of the form "N passed, N failed, N skipped".
sum_counts()
{
	awk '
	/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
		passed += $1; failed += $3; skipped += $5
	}
	END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }'
}
