-- Indexes in the order in which events are listed: by time, and then by id.

DROP INDEX IF EXISTS events_by_run;
CREATE INDEX events_by_run ON events (run_id, created_at, id);
DROP INDEX IF EXISTS events_by_run_and_type;
CREATE INDEX events_by_run_and_type ON events (run_id, event_type, created_at, id);
DROP INDEX IF EXISTS events_by_type;
-- Missing where the table has been partitioned.
CREATE INDEX IF NOT EXISTS events_by_type_and_time ON events (event_type, created_at, id);
