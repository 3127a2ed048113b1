# What the loaded library costs those who do not use it: pgbench on tables
# without a policy, with the library preloaded and the launcher at work, and
# without.

# Transactions per second: idle_tps [pgbench option...]
idle_tps()
{
	# after a restart the buffers are empty
	sql -c "SELECT sum(pg_prewarm(oid)) FROM pg_class
		WHERE relname LIKE 'pgbench%' AND relkind IN ('r', 'i')" >/dev/null
	sql -c CHECKPOINT
	"$bindir/pgbench" -n -c 4 -j 2 -M prepared -T "$(seconds 7)" "$@" bench \
		2>/dev/null </dev/null | sed -n 's/^tps = \([0-9.]*\) .*/\1/p'
}

with="retention.enabled = on"
without="shared_preload_libraries = ''"

idle_with()          { restart_with "$with"; idle_tps; }
idle_without()       { restart_with "$without"; idle_tps; }
idle_read_with()     { restart_with "$with"; idle_tps -S; }
idle_read_without()  { restart_with "$without"; idle_tps -S; }

make_pgbench()
{
	[ -n "$(sql -c "SELECT to_regclass('pgbench_accounts')")" ] ||
		"$bindir/pgbench" -q -i -s 20 bench >/dev/null 2>&1 </dev/null
}

bench_idle()
{
	local repetitions=11 tps_with tps_without

	make_pgbench
	interleave : idle_with idle_without
	interleave : idle_read_with idle_read_without
	restart_with ''

	tps_with=$(median idle_with)
	tps_without=$(median idle_without)
	at_least "idle: TPC-B with / without the library" \
		"$(calc '$1 / $2' "$tps_with" "$tps_without")" 0.97 x
	tps_with=$(median idle_read_with)
	tps_without=$(median idle_read_without)
	at_least "idle: SELECT only with / without the library" \
		"$(calc '$1 / $2' "$tps_with" "$tps_without")" 0.97 x
}
