-- Partitions `events`, `usage` and `kpi_events` by UTC day. Run once, with all simops processes
-- stopped: psql "$DATABASE_URL" -f deploy/postgres/partition.sql
--
-- Then run each day, with a role that owns the tables: deploy/postgres/partitions-ahead.sql
\set ON_ERROR_STOP on
SET timezone = 'UTC';
BEGIN;
LOCK TABLE events, usage, kpi_events;

ALTER TABLE events RENAME TO events_whole;
CREATE SEQUENCE events_ids;
SELECT setval('events_ids', coalesce(max(id), 1), max(id) IS NOT NULL) FROM events_whole;
CREATE TABLE events (LIKE events_whole) PARTITION BY RANGE (created_at);
ALTER TABLE events ALTER COLUMN id SET DEFAULT nextval('events_ids');
ALTER SEQUENCE events_ids OWNED BY events.id;

ALTER TABLE usage RENAME TO usage_whole;
CREATE SEQUENCE usage_places;
SELECT setval('usage_places', coalesce(max(place), 1), max(place) IS NOT NULL) FROM usage_whole;
CREATE TABLE usage (LIKE usage_whole) PARTITION BY RANGE (created_at);
ALTER TABLE usage ALTER COLUMN place SET DEFAULT nextval('usage_places');
ALTER SEQUENCE usage_places OWNED BY usage.place;

ALTER TABLE kpi_events RENAME TO kpi_events_whole;
CREATE SEQUENCE kpi_events_ids;
SELECT setval('kpi_events_ids', coalesce(max(id), 1), max(id) IS NOT NULL) FROM kpi_events_whole;
CREATE TABLE kpi_events (LIKE kpi_events_whole) PARTITION BY RANGE (occurred_at);
ALTER TABLE kpi_events ALTER COLUMN id SET DEFAULT nextval('kpi_events_ids');
ALTER SEQUENCE kpi_events_ids OWNED BY kpi_events.id;

-- Rows before the first partition or after the last one.
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE TABLE usage_other PARTITION OF usage DEFAULT;
CREATE TABLE kpi_events_other PARTITION OF kpi_events DEFAULT;

DO $$
DECLARE
    of_day RECORD;
BEGIN
    FOR of_day IN
        SELECT 'events' AS whole, day::date AS day FROM generate_series(
            (SELECT min(created_at) FROM events_whole)::date::timestamp, now()::date + 14, '1 day') AS day
        UNION ALL
        SELECT 'usage', day::date FROM generate_series(
            (SELECT min(created_at) FROM usage_whole)::date::timestamp, now()::date + 14, '1 day') AS day
        UNION ALL
        SELECT 'kpi_events', day::date FROM generate_series(
            (SELECT min(occurred_at) FROM kpi_events_whole)::date::timestamp, now()::date + 14, '1 day') AS day
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            of_day.whole || to_char(of_day.day, '_YYYY_MM_DD'), of_day.whole,
            of_day.day::timestamptz, (of_day.day + 1)::timestamptz);
    END LOOP;
END $$;

INSERT INTO events SELECT * FROM events_whole ORDER BY id;
INSERT INTO usage SELECT * FROM usage_whole ORDER BY place;
INSERT INTO kpi_events SELECT * FROM kpi_events_whole ORDER BY id;
DROP TABLE events_whole, usage_whole, kpi_events_whole;

ALTER TABLE events ADD PRIMARY KEY (id, created_at), ADD UNIQUE (uid, created_at);
CREATE INDEX events_by_run ON events (run_id, created_at, id);
CREATE INDEX events_by_run_and_type ON events (run_id, event_type, created_at, id);
CREATE INDEX events_by_type_and_time ON events (event_type, created_at, id);
CREATE INDEX events_by_time
    ON events (created_at, id)
    INCLUDE (event_type, mode, agent_id, agent, category, enforcement);
ALTER TABLE usage ADD PRIMARY KEY (id, created_at), ADD UNIQUE (place, created_at);
CREATE INDEX usage_by_run ON usage (run_id, created_at) INCLUDE (success);
CREATE INDEX usage_by_time ON usage (created_at);
ALTER TABLE kpi_events ADD PRIMARY KEY (id, occurred_at), ADD UNIQUE (uid, occurred_at);
COMMIT;
ANALYZE events, usage, kpi_events;
