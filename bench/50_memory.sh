# The private memory of the process that purges: RssAnon, as VmHWM would count
# the shared buffers it touched. The peak of samples while it runs.

memory_of_purge()
{
	local client pid='' now peak=0

	windows_rows=$1
	build_windows
	PGAPPNAME=bench_memory sql \
		-c "CALL retention.run_policy('p', confirm => true)" &
	client=$!
	while kill -0 $client 2>/dev/null; do
		if [ -z "$pid" ]; then
			pid=$(sql -c "SELECT pid FROM pg_stat_activity
				WHERE application_name = 'bench_memory'")
		else
			now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" \
				2>/dev/null) || true
			[ "${now:-0}" -le "$peak" ] || peak=$now
		fi
		sleep 0.02
	done
	wait $client
	check_run
	[ "$peak" -gt 0 ] || die "the run was too short to be sampled"
	calc '$1 / 1024' "$peak"
}

bench_memory()
{
	local small large

	small=$(memory_of_purge "$(rows 2000000)")
	large=$(memory_of_purge "$(rows 20000000)")
	at_most "memory: purging $(due_of "$(rows 2000000)") rows" "$small" 64 " MB"
	at_most "memory: purging $(due_of "$(rows 20000000)") rows" "$large" 64 " MB"
	at_most "memory: ten times the rows" "$(calc '$1 / $2' "$large" "$small")" 1.2 x
}
