-- Digests, and reports of runs.

-- `place` is the order in which they were made; a digest whose status changes keeps it.
CREATE TABLE digests (
    place       INTEGER PRIMARY KEY,
    slug        TEXT NOT NULL UNIQUE,
    anchor_date TEXT NOT NULL,
    status      TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX digests_by_anchor ON digests (anchor_date, place);

CREATE TABLE reports (
    run_id     TEXT    NOT NULL,
    ended_at   INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, ended_at)
) STRICT;

-- Events of one type in a window, and the last of a type before a time.
CREATE INDEX events_by_type_and_time ON events (event_type, created_at);
