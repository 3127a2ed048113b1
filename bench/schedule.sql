-- 200 tables with five policies each, none of which will find a row.
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		EXECUTE format('CREATE TABLE many_%s (
			id bigint PRIMARY KEY, created_at timestamptz NOT NULL)', i);
		EXECUTE format('INSERT INTO many_%s
			SELECT g, now() FROM generate_series(1, 10) g', i);
		FOR p IN 1..5 LOOP
			PERFORM retention.add_policy(format('many_%s', i)::regclass,
				'delete', make_interval(years => p), 'created_at',
				name => format('many_%s_%s', i, p), every => '1 day');
		END LOOP;
	END LOOP;
END
$$;
