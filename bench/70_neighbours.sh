# The application beside a purge: pgbench at half of what the machine can do,
# so that latency means something, with and without a purge that is limited to
# 5000 rows a second.

# The 99th percentile in milliseconds, from the log of every transaction.
p99()
{
	local dir=$work/pgbench_log

	rm -rf "$dir"
	mkdir "$dir"
	sql -c CHECKPOINT
	(cd "$dir" && "$bindir/pgbench" -n -c 4 -j 2 -M prepared -R "$pace" -l \
		-T "$(seconds 10)" bench >out 2>&1 </dev/null)
	# Errors are part of the result.
	sed -n 's/^number of failed transactions: \([0-9]*\) .*/\1/p' "$dir/out" \
		>>"$work/neighbour_errors"
	cat "$dir"/pgbench_log.* | awk '{ print $3 }' | sort -n | awk '
		{ v[NR] = $1 }
		END { printf "%.3f\n", v[int(NR * 0.99)] / 1000 }'
}

neighbours_alone()
{
	p99
}

neighbours_beside()
{
	local client before after

	before=$(sql -c 'SELECT count(*) FROM t')
	PGAPPNAME=bench_purge sql \
		-c "CALL retention.run_policy('p', confirm => true)" \
		>/dev/null 2>&1 &
	client=$!
	p99
	kill -0 $client 2>/dev/null || die "the purge ended before the measurement"
	sql -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'bench_purge'" >/dev/null
	wait $client || true
	after=$(sql -c 'SELECT count(*) FROM t')
	[ "$after" -lt "$before" ] || die "the purge did nothing"
	say "   purged $((before - after)) rows meanwhile" >&2
}

deadlocks()
{
	sql -c "SELECT deadlocks FROM pg_stat_database WHERE datname = 'bench'"
}

bench_neighbours()
{
	local alone beside before pace
	local repetitions=9

	make_pgbench
	# Not a tenth of it with --quick: the purge must last.
	windows_rows=2000000
	build_windows
	policy t 'rate => 5000'
	pace=$("$bindir/pgbench" -n -c 4 -j 2 -M prepared -T "$(seconds 12)" bench \
		2>/dev/null </dev/null | awk '/^tps/ { print int($3 / 2) }')
	: >"$work/neighbour_errors"
	before=$(deadlocks)

	interleave : neighbours_alone neighbours_beside
	alone=$(median neighbours_alone)
	beside=$(median neighbours_beside)
	result "neighbours: TPC-B at $pace tps, p99" "$alone ms"
	result "neighbours: beside a purge of 5000 rows/s, p99" "$beside ms"
	at_most "neighbours: p99 beside / alone" "$(calc '$1 / $2' "$beside" "$alone")" 1.1 x
	at_most "neighbours: failed transactions" \
		"$(awk '{ n += $1 } END { print n + 0 }' "$work/neighbour_errors")" 0
	at_most "neighbours: deadlocks" "$(($(deadlocks) - before))" 0
}
