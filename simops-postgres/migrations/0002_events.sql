-- The event log, and counts per run so that metrics of a long run need no scan.

CREATE TABLE events (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid         UUID NOT NULL UNIQUE,
    run_id      TEXT COLLATE "C",
    agent_id    BIGINT,
    event_type  TEXT COLLATE "C" NOT NULL,
    -- How an action came about, out of the metadata; empty for what is no action.
    mode        TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    metadata    JSON NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    -- What it is about, and whether it makes somebody keep a rule, out of type and metadata.
    category    TEXT COLLATE "C" NOT NULL,
    enforcement BOOLEAN NOT NULL
);
CREATE INDEX events_by_run ON events (run_id, id);
CREATE INDEX events_by_type ON events (event_type, id);
-- A rare type in a great run is found without reading the run.
CREATE INDEX events_by_run_and_type ON events (run_id, event_type, id);
-- Holds all that a window is counted by, so that the events themselves are not read.
CREATE INDEX events_by_time
    ON events (created_at, id) INCLUDE (event_type, mode, agent_id, category, enforcement);

CREATE TABLE event_counts (
    run_id     TEXT COLLATE "C" NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    mode       TEXT COLLATE "C" NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (run_id, event_type, mode)
);
