-- Creates the missing partitions of the next 14 days. Can be run at any time.
\set ON_ERROR_STOP on
SET timezone = 'UTC';
DO $$
DECLARE
    whole TEXT;
    day DATE;
BEGIN
    FOREACH whole IN ARRAY ARRAY['events', 'usage', 'kpi_events'] LOOP
        FOR day IN SELECT now()::date + ahead FROM generate_series(0, 14) AS ahead LOOP
            BEGIN
                EXECUTE format(
                    'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    whole || to_char(day, '_YYYY_MM_DD'), whole, day::timestamptz,
                    (day + 1)::timestamptz);
            EXCEPTION WHEN check_violation THEN
                -- After two weeks without a run, rows of this day are in the default partition and stay there.
                RAISE NOTICE '% of % stays in %_other', day, whole, whole;
            END;
        END LOOP;
    END LOOP;
END $$;
