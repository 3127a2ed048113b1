# What the record of a deletion takes on disk, indexes and TOAST included.

log_size()
{
	sql -c "SELECT pg_total_relation_size('retention.deletion')"
}

bench_log()
{
	local before after

	windows_rows=$(rows 2000000)
	windows_left=$((windows_rows - $(due_of "$windows_rows")))
	build_windows
	before=$(log_size)
	windows_retention >/dev/null
	after=$(log_size)
	at_most "log: bytes per deleted row" "$(calc '($1 - $2) / $3' \
		"$after" "$before" "$(due_of "$windows_rows")")" 20
}
