-- Makes the partitions of the next 14 days, those that are not there yet; as often as you like.
--
-- To keep 90 days of events: DROP TABLE events_2026_01_01; one day after the other. Sums stay.
\set ON_ERROR_STOP on
SET timezone = 'UTC';
DO $$
DECLARE
    whole TEXT;
    day DATE;
BEGIN
    FOREACH whole IN ARRAY ARRAY['events', 'kpi_events'] LOOP
        FOR day IN SELECT now()::date + ahead FROM generate_series(0, 14) AS ahead LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                whole || to_char(day, '_YYYY_MM_DD'), whole, day::timestamptz, (day + 1)::timestamptz);
        END LOOP;
    END LOOP;
END $$;
