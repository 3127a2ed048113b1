# A scheduling round with 1000 policies on 200 tables, none of them due: the
# processor time of a new session.

bench_schedule()
{
	local ticks

	sql -c "SELECT retention.drop_policy(policy) FROM retention.policies" \
		>/dev/null
	sql -f "$root/bench/schedule.sql" >/dev/null
	sql -c 'CALL retention.run_due()'
	[ "$(sql -c "SELECT count(*) FROM retention.runs
		WHERE state = 'succeeded' AND policy LIKE 'many\_%'")" = 1000 ] ||
		die "the first round did not run every policy"

	# Before and after the round, from /proc, in the session itself.
	ticks=$(sql -f "$root/bench/round.sql" | awk '
		NR == 1 { before = $1 } END { print $1 - before }')
	at_most "schedule: CPU of a round, 1000 policies, none due" \
		"$(calc '$1 / $2' "$ticks" "$(getconf CLK_TCK)")" 1 " s"
}
