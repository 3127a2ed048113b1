# What the benches share. Sourced by bench/run after test/lib.sh.

quick=
repetitions=3

# A number of rows, or a tenth of it with --quick.
rows()
{
	if [ -n "$quick" ]; then
		echo $(($1 / 10))
	else
		echo "$1"
	fi
}

# Seconds to measure for, or a quarter of them.
seconds()
{
	if [ -n "$quick" ]; then
		echo $((($1 + 3) / 4))
	else
		echo "$1"
	fi
}

# ------------------------------------------------------------- measurements

# The time of one statement in milliseconds.
timed()
{
	local out

	out=$("$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c '\timing on' \
		-c "$1" </dev/null) || return 1
	sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' <<<"$out" | tail -n 1
}

# Measures candidates by turns: interleave BUILD CANDIDATE... Each candidate is
# a function that prints a figure; BUILD makes what it needs before each.
# Figures go to $work/times/CANDIDATE.
interleave()
{
	local build=$1 turn candidate figure

	shift
	mkdir -p "$work/times"
	for candidate in "$@"; do
		rm -f "$work/times/$candidate"
	done
	for ((turn = 1; turn <= repetitions; turn++)); do
		for candidate in "$@"; do
			$build
			figure=$($candidate)
			[ -n "$figure" ]
			echo "$figure" >>"$work/times/$candidate"
			say "   $candidate: $figure"
		done
	done
}

median()
{
	sort -n "$work/times/$1" | awk '
		{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Calculates with awk, as bash has no fractions: calc '$1 / $2' 3 4
calc()
{
	local expression=$1

	shift
	awk "{ printf \"%.3f\", $expression }" <<<"$*"
}

# -------------------------------------------------------------------- results

# result FIGURE VALUE [BOUND OK]
result()
{
	printf '%s|%s|%s|%s\n' "$1" "$2" "${3:-}" "${4:-}" >>"$work/results"
}

# A figure that is good when it is at most, or at least, its bound.
at_most()
{
	judge "$1" "$2" '<=' "$3" "${4:-}"
}

at_least()
{
	judge "$1" "$2" '>=' "$3" "${4:-}"
}

judge()
{
	local figure=$1 value=$2 operator=$3 bound=$4 unit=$5 ok

	ok=$(awk "BEGIN { print ($value $operator $bound) ? \"yes\" : \"no\" }")
	result "$figure" "$value$unit" "$operator $bound$unit" "$ok"
}

# ------------------------------------------------------------ the work tables

# Right after building: everything frozen, analyzed, cached, flushed.
settle()
{
	sql -c "VACUUM (FREEZE, ANALYZE) $1" \
		-c "SELECT count(pg_prewarm(oid)) FROM pg_class
			WHERE oid = '$1'::regclass
				OR oid IN (SELECT indexrelid FROM pg_index
					WHERE indrelid = '$1'::regclass)" \
		-c 'CHECKPOINT' >/dev/null
}

# A policy by hand only, on a table that was made anew.
policy()
{
	sql -c "SELECT retention.drop_policy(policy) FROM retention.policies" \
		-c "SELECT retention.add_policy('$1', 'delete', '180 days',
			'created_at', name => 'p', every => NULL, max_fraction => 1
			${2:+, $2})" >/dev/null
}

# Runs the policy p and checks that the run succeeded and left so many rows.
run_policy()
{
	local table=$1 left=$2 time

	time=$(timed "CALL retention.run_policy('p', confirm => true)")
	check_run
	check_left "$table" "$left"
	echo "$time"
}

check_run()
{
	local run

	run=$(sql -c "SELECT state || coalesce(': ' || error, '')
		FROM retention.runs ORDER BY run_id DESC LIMIT 1")
	[ "$run" = succeeded ] || die "the run $run"
}

check_left()
{
	local left

	left=$(sql -c "SELECT count(*) FROM $1")
	[ "$left" = "$2" ] || die "$1: $left rows are left, not $2"
}
