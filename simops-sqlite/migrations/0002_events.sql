-- The event log, and counts per run so that metrics of a long run need no scan.

-- Events are never deleted and have one writer, so a plain rowid grows in the order of commits.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY,
    uid         BLOB NOT NULL UNIQUE,
    run_id      TEXT,
    agent_id    INTEGER,
    event_type  TEXT NOT NULL,
    -- How an action came about, out of the metadata; empty for what is no action.
    mode        TEXT NOT NULL,
    description TEXT NOT NULL,
    metadata    TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run_id, id);
CREATE INDEX events_by_type ON events (event_type, id);
-- A rare type in a great run is found without reading the run.
CREATE INDEX events_by_run_and_type ON events (run_id, event_type, id);
-- Covers the counts since a time.
CREATE INDEX events_by_time ON events (created_at, event_type, mode);

CREATE TABLE event_counts (
    run_id     TEXT NOT NULL,
    event_type TEXT NOT NULL,
    mode       TEXT NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (run_id, event_type, mode)
) STRICT, WITHOUT ROWID;
