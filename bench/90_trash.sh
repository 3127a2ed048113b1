# Soft delete: what it costs to put deleted rows into the trash, to take them
# back, and to be rid of them, beside what people use for it otherwise.

trash_rows=400000

make_soft()
{
	sql -c 'DROP TABLE IF EXISTS soft, soft_log, soft_typed' \
		-c "SELECT retention.purge_trash(deleted_before => 'infinity')" \
		-c "CREATE TABLE soft AS SELECT id, now() AS created_at, customer,
			status, email, name, note FROM work_rows($trash_rows)" \
		-c 'ALTER TABLE soft ADD PRIMARY KEY (id)' \
		-c 'CREATE TABLE soft_typed (LIKE soft, deleted_at timestamptz, deleted_by text)' \
		-c 'CREATE TABLE soft_log (id bigserial PRIMARY KEY, tab text, at timestamptz,
			who text, row_data jsonb)' >/dev/null
}

build_soft()
{
	make_soft
	settle soft
}

bulk_delete='DELETE FROM soft'

trash_bare()
{
	timed "$bulk_delete"
}

trash_retention()
{
	sql -c "SELECT retention.enable_trash('soft')" >/dev/null
	timed "$bulk_delete"
}

# What everybody writes: each row as jsonb, by a row trigger in PL/pgSQL.
trash_jsonb()
{
	sql -c 'CREATE TRIGGER jsonb_log AFTER DELETE ON soft
		FOR EACH ROW EXECUTE FUNCTION jsonb_log()'
	timed "$bulk_delete"
}

# The Debian package of a trash in C, where it can be had.
has_tablelog()
{
	[ -n "$(sql -c "SELECT 1 FROM pg_available_extensions WHERE name = 'table_log'")" ]
}

trash_tablelog()
{
	sql -c 'CREATE EXTENSION IF NOT EXISTS table_log' \
		-c "SELECT table_log_init(5, 'public', 'soft', 'public', 'soft_tablelog')" >/dev/null
	timed "$bulk_delete"
	sql -c 'DROP TABLE soft, soft_tablelog CASCADE'
}

# The way back: against a plain INSERT ... SELECT from a typed table.
restore_typed()
{
	sql -c 'INSERT INTO soft_typed SELECT *, now(), current_user FROM soft' \
		-c "$bulk_delete" -c 'VACUUM soft' -c CHECKPOINT
	timed 'INSERT INTO soft SELECT id, created_at, customer, status, email, name, note FROM soft_typed'
}

restore_retention()
{
	local time left

	sql -c "SELECT retention.enable_trash('soft')" -c "$bulk_delete" \
		-c 'VACUUM soft' -c CHECKPOINT >/dev/null
	time=$(timed "SELECT count(*) FROM retention.restore_deletion(
		(SELECT max(deletion_id) FROM retention.deletions WHERE action = 'trash'))")
	check_left soft $trash_rows
	left=$(sql -c 'SELECT count(*) FROM retention.trash_chunk')
	[ "$left" = 0 ] || die "the trash is not empty after the restore"
	echo "$time"
}

# A day of the trash: what the worker does, against the DELETE of the rows.
purge_retention()
{
	sql -c "SELECT retention.enable_trash('soft')" -c "$bulk_delete" >/dev/null
	sql -c CHECKPOINT
	# the day is over when its table says so
	sql -c "DO \$\$
		DECLARE
			day text;
		BEGIN
			SELECT min(tableoid::regclass::text) INTO day FROM retention.trash_chunk;
			EXECUTE format('ALTER TABLE %s RENAME TO trash_20200101', day);
		END \$\$"
	timed 'CALL retention.run_due()'
	[ -z "$(sql -c "SELECT to_regclass('retention.trash_20200101')")" ] ||
		die "the day was not purged"
}

bench_trash()
{
	local bare ours jsonb repetitions=5

	trash_rows=$(rows 400000)
	interleave build_soft trash_retention trash_bare trash_jsonb
	bare=$(median trash_bare)
	ours=$(median trash_retention)
	jsonb=$(median trash_jsonb)
	result "trash: $trash_rows rows in one DELETE, bare" "$bare ms"
	result "trash: retention" "$ours ms"
	result "trash: row trigger with jsonb" "$jsonb ms"
	if has_tablelog; then
		repetitions=1
		interleave build_soft trash_tablelog
		result "trash: table_log" "$(median trash_tablelog) ms"
	else
		result "trash: table_log" "not here"
	fi
	at_most "trash: retention / bare DELETE" "$(calc '$1 / $2' "$ours" "$bare")" 2.3 x
	at_least "trash: jsonb trigger / retention" "$(calc '$1 / $2' "$jsonb" "$ours")" 5 x

	repetitions=3
	interleave build_soft restore_retention restore_typed
	result "trash: INSERT ... SELECT from a typed table" "$(median restore_typed) ms"
	result "trash: restore_deletion" "$(median restore_retention) ms"
	at_most "trash: restore / INSERT ... SELECT" \
		"$(calc '$1 / $2' "$(median restore_retention)" "$(median restore_typed)")" 2 x

	trash_rows=$(rows 1000000)
	interleave build_soft purge_retention trash_bare
	result "trash: purge of a day of $trash_rows rows" "$(median purge_retention) ms"
	at_most "trash: purge of a day / bare DELETE" \
		"$(calc '$1 / $2' "$(median purge_retention)" "$(median trash_bare)")" 0.2 x
}

# ------------------------------------------------------------ one row at a time

oltp_latency()
{
	local clients=$1

	sql -c CHECKPOINT
	"$bindir/pgbench" -n -c "$clients" -j 2 -M prepared -T "$(seconds 8)" \
		-f "$root/bench/soft_delete.sql" bench 2>/dev/null </dev/null |
		sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
}

build_oltp()
{
	make_soft
	sql -c 'DROP SEQUENCE IF EXISTS soft_next' -c 'CREATE SEQUENCE soft_next'
	settle soft
}

oltp_bare_1()      { oltp_latency 1; }
oltp_bare_8()      { oltp_latency 8; }
oltp_jsonb_8()
{
	sql -c 'CREATE TRIGGER jsonb_log AFTER DELETE ON soft
		FOR EACH ROW EXECUTE FUNCTION jsonb_log()'
	oltp_latency 8
}
oltp_retention_1() { sql -c "SELECT retention.enable_trash('soft')" >/dev/null; oltp_latency 1; }
oltp_retention_8() { sql -c "SELECT retention.enable_trash('soft')" >/dev/null; oltp_latency 8; }

bench_trash_oltp()
{
	local repetitions=5

	trash_rows=$(rows 400000)
	interleave build_oltp oltp_retention_1 oltp_bare_1 oltp_retention_8 \
		oltp_bare_8 oltp_jsonb_8
	for clients in 1 8; do
		result "trash: one row at a time, $clients clients, bare" \
			"$(median oltp_bare_$clients) ms"
		at_most "trash: one row at a time, $clients clients, retention / bare" \
			"$(calc '$1 / $2' "$(median oltp_retention_$clients)" "$(median oltp_bare_$clients)")" 1.2 x
	done
	result "trash: one row at a time, 8 clients, jsonb trigger / bare" \
		"$(calc '$1 / $2' "$(median oltp_jsonb_8)" "$(median oltp_bare_8)")x"
}
