-- Indexes in the order in which events are listed: by time, and then by id.

-- Holds all that a window is counted by, so that the events themselves are not read.
DROP INDEX IF EXISTS events_by_time;
CREATE INDEX events_by_time
    ON events (created_at, id, event_type, mode, agent_id, category, enforcement);
DROP INDEX IF EXISTS events_by_run;
CREATE INDEX events_by_run ON events (run_id, created_at);
DROP INDEX IF EXISTS events_by_run_and_type;
CREATE INDEX events_by_run_and_type ON events (run_id, event_type, created_at);
-- Covered by events_by_type_and_time.
DROP INDEX IF EXISTS events_by_type;
