# Scrubbing: all rows of a table at once, against one bare UPDATE to the same
# values; and a run that comes back to a table that is scrubbed but for some
# rows, against an UPDATE of those by the index on the clock.

scrub_rows=500000

# Tags the columns of the table t, due all of them.
tag_columns()
{
	local name=$1

	sql -c "SELECT retention.drop_policy(policy) FROM retention.policies" \
		-c "SELECT retention.tag_pii('t', 'name', 'name', $name,
			after => '180 days', clock => 'created_at')" \
		-c "SELECT retention.tag_pii('t', 'email', 'email', 'null',
			after => '180 days', clock => 'created_at')" \
		-c "SELECT retention.tag_pii('t', 'note', 'other', 'constant', '{\"value\": \"-\"}',
			after => '180 days', clock => 'created_at')" >/dev/null
}

build_masked()
{
	sql -c "CALL make_t($scrub_rows, '200')"
	settle t
	tag_columns "'mask', '{\"first\": 1}'"
}

build_pseudonyms()
{
	sql -c "CALL make_t($scrub_rows, '200')"
	settle t
	tag_columns "'pseudonym', NULL"
}

check_scrubbed()
{
	local left

	left=$(sql -c "SELECT count(*) FROM t WHERE email IS NOT NULL OR note <> '-'
		OR name LIKE 'Name%'")
	[ "$left" = "$1" ] || die "t: $left rows are not scrubbed, not $1"
}

run_scrub()
{
	local time

	time=$(timed "CALL retention.run_policy('t_scrub', confirm => true)")
	check_run
	check_scrubbed 0
	echo "$time"
}

scrub_bare()
{
	timed "UPDATE t SET name = $1, email = NULL, note = '-'
		WHERE created_at < now() - interval '180 days'"
	check_scrubbed 0
}

scrub_mask_bare()            { scrub_bare "retention.mask(name, 1)"; }
scrub_mask_retention()       { run_scrub; }
scrub_pseudonym_bare()       { scrub_bare "retention.pseudonym(name)"; }
scrub_pseudonym_retention()  { run_scrub; }

# ------------------------------------------------------- what is newly due

# All but each $scrub_step-th row are old, and scrubbed; those have become due
# since, as far as the policy knows.
build_scrubbed()
{
	sql -c "CALL make_t($scrub_rows, 'CASE WHEN step % $scrub_step = 0
			THEN 179 ELSE 200 + step % 500 END')" \
		-c 'CREATE INDEX ON t (created_at)'
	tag_columns "'mask', '{\"first\": 1}'"
	sql -c "CALL retention.run_policy('t_scrub', confirm => true)" \
		-c "UPDATE t SET created_at = created_at - interval '26 hours' WHERE id % $scrub_step = 0" \
		-c "UPDATE retention.policy SET next_run = now(),
			scrubbed_to = scrubbed_to - interval '2 hours' WHERE name = 't_scrub'"
	settle t
}

# A run as it comes by itself, not one by hand, which would look at all rows.
scrub_again_retention()
{
	timed 'CALL retention.run_due()'
	check_run
	check_scrubbed 0
}

scrub_again_bare()
{
	timed "UPDATE t SET name = retention.mask(name, 1), email = NULL, note = '-'
		WHERE created_at < now() - interval '180 days'
			AND created_at >= now() - interval '181 days'"
	check_scrubbed 0
}

# A scrub gathers the statistics anew, which hold values of before.
scrub_again_analyzed()
{
	local update

	update=$(scrub_again_bare)
	calc '$1 + $2' "$update" "$(timed 'ANALYZE t')"
}

bench_scrub()
{
	local repetitions=5 method rows

	rows=$(rows 500000)
	scrub_rows=$rows
	interleave build_masked scrub_mask_retention scrub_mask_bare
	interleave build_pseudonyms scrub_pseudonym_retention scrub_pseudonym_bare
	for method in mask pseudonym; do
		result "scrub: $rows rows, $method / null / constant, bare UPDATE" \
			"$(median scrub_${method}_bare) ms"
		result "scrub: retention" "$(median scrub_${method}_retention) ms"
		at_most "scrub: $method, retention / bare UPDATE" \
			"$(calc '$1 / $2' "$(median scrub_${method}_retention)" \
				"$(median scrub_${method}_bare)")" 1.15 x
	done

	repetitions=3
	scrub_rows=$(rows 1000000)
	scrub_step=1000
	interleave build_scrubbed scrub_again_retention scrub_again_bare \
		scrub_again_analyzed
	result "scrub: $((scrub_rows / scrub_step)) rows newly due of $scrub_rows, bare UPDATE" \
		"$(median scrub_again_bare) ms"
	result "scrub: again, retention" "$(median scrub_again_retention) ms"
	result "scrub: again, retention / bare UPDATE" \
		"$(calc '$1 / $2' "$(median scrub_again_retention)" "$(median scrub_again_bare)")x"
	result "scrub: again, retention / bare UPDATE and ANALYZE" \
		"$(calc '$1 / $2' "$(median scrub_again_retention)" "$(median scrub_again_analyzed)")x"
}
