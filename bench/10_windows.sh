# Half of a large table is due: block windows against one bare DELETE, and
# against the loop that everybody writes. Deletion records are on, always.

# Rows with these steps are due: 184 in 365, in runs, as in a table that got
# its rows in another order than their age.
due_of()
{
	local n=$1

	echo $((n / 365 * 184 + (n % 365 > 180 ? n % 365 - 180 : 0)))
}

build_windows()
{
	sql -c "CALL make_t($windows_rows, 'step % 365')"
	settle t
	policy t
}

windows_bare()
{
	timed "DELETE FROM t WHERE created_at < now() - interval '180 days'"
}

windows_ctid_loop()
{
	timed 'CALL ctid_loop()'
	check_left t "$windows_left"
}

windows_retention()
{
	run_policy t "$windows_left"
}

bench_windows()
{
	local repetitions=5

	windows_rows=$(rows 2000000)
	windows_left=$((windows_rows - $(due_of "$windows_rows")))
	interleave build_windows windows_retention windows_bare windows_ctid_loop

	local ours bare loop
	ours=$(median windows_retention)
	bare=$(median windows_bare)
	loop=$(median windows_ctid_loop)
	result "windows: $(due_of "$windows_rows") of $windows_rows rows, bare DELETE" "$bare ms"
	result "windows: retention" "$ours ms"
	result "windows: loop of ctid LIMIT 10000" "$loop ms"
	at_most "windows: retention / bare DELETE" "$(calc '$1 / $2' "$ours" "$bare")" 1.15 x
	at_least "windows: ctid loop / retention" "$(calc '$1 / $2' "$loop" "$ours")" 5 x
}
