# One row in a thousand is due, scattered, and an index leads with the clock:
# no table scan, so a table twice as large with as many due rows costs no more.

# Every $index_step-th row is 200 days old, the rest 0 to 179.
build_index()
{
	sql -c "CALL make_t($index_rows,
			'CASE WHEN step % $index_step = 0 THEN 200 ELSE step % 180 END')" \
		-c 'CREATE INDEX ON t (created_at)'
	settle t
	policy t
}

build_index_once()
{
	index_rows=$(rows 5000000)
	index_step=1000
	build_index
}

build_index_twice()
{
	index_rows=$(rows 10000000)
	index_step=2000
	build_index
}

index_bare()
{
	timed "DELETE FROM t WHERE created_at < now() - interval '180 days'"
}

index_retention()
{
	run_policy t $((index_rows - index_rows / index_step))
}

index_retention_twice()
{
	index_retention
}

bench_index()
{
	local ours bare twice

	interleave build_index_once index_retention index_bare
	interleave build_index_twice index_retention_twice
	ours=$(median index_retention)
	bare=$(median index_bare)
	twice=$(median index_retention_twice)
	result "index: $(rows 5000) of $(rows 5000000) rows, bare DELETE" "$bare ms"
	result "index: retention" "$ours ms"
	result "index: retention, table twice as large" "$twice ms"
	at_most "index: retention / bare DELETE" "$(calc '$1 / $2' "$ours" "$bare")" 2 x
	at_most "index: twice the table / once" "$(calc '$1 / $2' "$twice" "$ours")" 1.3 x
}
