# 184 of 365 daily partitions are past the cutoff. They go whole, but the
# digests of their keys are recorded, so the keys must be read.

build_partitions()
{
	sql -c "CALL make_parted($(rows 2000000))" \
		-c 'VACUUM (FREEZE, ANALYZE) parted' \
		-c "SELECT count(pg_prewarm(oid)) FROM pg_class
			WHERE relname LIKE 'parted\_%' AND relkind IN ('r', 'i')" \
		-c CHECKPOINT >/dev/null
	policy parted
}

partitions_drop()
{
	timed 'CALL drop_parts()'
}

partitions_read()
{
	timed 'CALL read_parts()'
}

partitions_retention()
{
	local time

	time=$(timed "CALL retention.run_policy('p', confirm => true)")
	check_run
	[ "$(sql -c "SELECT count(*) FROM parted
		WHERE created_at < now() - interval '180 days'")" = 0 ] ||
		die "rows that are due are left"
	echo "$time"
}

bench_partitions()
{
	local ours drop read

	interleave build_partitions partitions_retention partitions_drop \
		partitions_read
	ours=$(median partitions_retention)
	drop=$(median partitions_drop)
	read=$(median partitions_read)
	result "partitions: plain DETACH and DROP of 184" "$drop ms"
	result "partitions: reading their keys" "$read ms"
	result "partitions: both" "$(calc '$1 + $2' "$drop" "$read") ms"
	result "partitions: retention" "$ours ms"
	at_most "partitions: retention / both" \
		"$(calc '$1 / ($2 + $3)' "$ours" "$drop" "$read")" 1.3 x
}
