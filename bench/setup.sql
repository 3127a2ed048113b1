-- What the benches measure on, and against.

-- A row as wide as many are: 174 bytes of heap, 47 rows a page.
CREATE FUNCTION work_rows(n bigint) RETURNS TABLE (id bigint, step bigint,
	customer integer, status integer, email text, name text, note text)
LANGUAGE sql AS $$
	SELECT g, g, (g % 100000)::integer, (g % 100)::integer,
		'customer' || lpad((g % 100000)::text, 6, '0') || '@example.com',
		'Name of ' || lpad((g % 100000)::text, 8, '0'),
		repeat(chr(97 + (g % 26)::integer), 62)
	FROM generate_series(1, n) g
$$;

-- Makes the table t of n rows. The step of a row says how many days old it
-- is; an hour less, so that no row becomes due while we measure.
CREATE PROCEDURE make_t(n bigint, days text)
LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS t;
	EXECUTE format('CREATE TABLE t AS
		SELECT id, now() - (%s) * interval ''1 day'' + interval ''1 hour''
				AS created_at,
			customer, status, email, name, note
		FROM work_rows(%s)', days, n);
	ALTER TABLE t ALTER created_at SET NOT NULL, ADD PRIMARY KEY (id);
END
$$;

-- The loop that everybody writes.
CREATE PROCEDURE ctid_loop() LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	LOOP
		DELETE FROM t WHERE ctid IN (
			SELECT ctid FROM t
			WHERE created_at < now() - interval '180 days'
			LIMIT 10000);
		GET DIAGNOSTICS n = ROW_COUNT;
		COMMIT;
		EXIT WHEN n = 0;
	END LOOP;
END
$$;

-- The same rows in a partition for each of 365 days.
CREATE PROCEDURE make_parted(n bigint) LANGUAGE plpgsql AS $$
DECLARE
	today timestamptz := date_trunc('day', now());
BEGIN
	DROP TABLE IF EXISTS parted;
	CREATE TABLE parted (id bigint, created_at timestamptz, customer integer,
		status integer, email text, name text, note text,
		PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
	FOR day IN 0..364 LOOP
		EXECUTE format(
			'CREATE TABLE parted_%s PARTITION OF parted FOR VALUES FROM (%L) TO (%L)',
			day, today - day * interval '1 day',
			today - (day - 1) * interval '1 day');
	END LOOP;
	-- The day that the cutoff cuts through stays empty.
	INSERT INTO parted
	SELECT id, today - d * interval '1 day' + interval '12 hours',
		customer, status, email, name, note
	FROM work_rows(n),
		LATERAL (SELECT step % 364 + (step % 364 >= 180)::integer) s(d);
END
$$;

-- What DETACH and DROP of the partitions 181 to 364 cost by themselves, each
-- in a transaction, and what reading their keys costs.
CREATE PROCEDURE drop_parts() LANGUAGE plpgsql AS $$
BEGIN
	FOR day IN 181..364 LOOP
		EXECUTE format('ALTER TABLE parted DETACH PARTITION parted_%s', day);
		EXECUTE format('DROP TABLE parted_%s', day);
		COMMIT;
	END LOOP;
END
$$;

CREATE PROCEDURE read_parts() LANGUAGE plpgsql AS $$
DECLARE
	key numeric;
BEGIN
	FOR day IN 181..364 LOOP
		-- Not min or max, which an index would answer.
		EXECUTE format('SELECT sum(id), count(created_at) FROM ONLY parted_%s',
			day) INTO key;
		COMMIT;
	END LOOP;
END
$$;

-- What everybody writes to keep deleted rows.
CREATE FUNCTION jsonb_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO soft_log (tab, at, who, row_data)
	VALUES (tg_table_name, now(), current_user, to_jsonb(old));
	RETURN NULL;
END
$$;
